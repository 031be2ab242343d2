//! The one integration test binary; each module says in a sentence what it holds.
//!
//! `cfg(test)` tells the linter that these modules are tests throughout, their helpers included.

#[cfg(test)]
mod support;

#[cfg(test)]
mod delivery;
#[cfg(test)]
mod elastic_live;
