//! The one integration test binary; each module says in a sentence what it holds.
#![expect(clippy::unwrap_used, reason = "in a test an unwrap is the assertion")]

// The binary as a user meets it: help, exit codes, faults, schemas, completions, manual pages, closed pipes.
mod cli;
// The house rules that no lint holds: layers, doors, sizes, headers, names.
mod tidy;
