//! The one integration test binary; each module says in a sentence what it holds.
