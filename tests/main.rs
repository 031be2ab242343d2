//! The one integration test binary; each module says in a sentence what it holds.
#![expect(clippy::unwrap_used, reason = "in a test an unwrap is the assertion")]

// Servers, scripts and doubles that the tests below share.
mod support;

// The binary as a user meets it: help, exit codes, faults, schemas, completions, manual pages, closed pipes.
mod cli;
// The embedded broker: every record once, over a restart in the middle.
mod mock_broker;
// The house rules that no lint holds: layers, doors, sizes, headers, names.
mod tidy;

// Apache Kafka itself, where one is told of: see `tests/servers`.
mod kafka_live;
// The scripts that start and stop the real servers.
mod servers_live;
