//! The one integration test binary; each module says in a sentence what it holds.
//!
//! `cfg(test)` tells the linter that these modules are tests throughout, their helpers included.

/// Servers, scripts and values that the tests below share.
#[cfg(test)]
mod support;

/// Every kind of bad input beside good records: named with its place, and the good ones are processed.
#[cfg(test)]
mod bad_input;
/// The binary as a user meets it: help, exit codes, faults, schemas, completions, manual pages, closed pipes.
#[cfg(test)]
mod cli;
/// The published contracts and the demo's data: schemas, types, examples and labels agree.
#[cfg(test)]
mod contracts;
/// Dead letters in all three forms: listed, shown, opened, replayed once, purged; the bound on their share.
#[cfg(test)]
mod dead_letters;
/// Alerts to scripted destinations: outage, poison, order, a crash between delivery and settling.
#[cfg(test)]
mod delivery;
/// Canaries in everything that a sender chooses: on no disk and in no output, but for dead letters that keep bytes.
#[cfg(test)]
mod leaks;
/// The embedded broker: every record once, over a restart in the middle.
#[cfg(test)]
mod mock_broker;
/// Alerts that wait or were refused, and what an operator does to them beside a lane that runs.
#[cfg(test)]
mod outbox;
/// The cluster report over a store and after a replay: its forms, its sums, what a sender chose in it.
#[cfg(test)]
mod report;
/// The whole path on the demo's events: exactness over order, restart and crash, alerts' lives, secrets, the demo.
#[cfg(test)]
mod story;
/// The house rules that no lint holds: layers, doors, sizes, headers, names.
#[cfg(test)]
mod tidy;

/// Alerts to OpenSearch and Elasticsearch themselves, where one is told of.
#[cfg(test)]
mod elastic_live;
/// The Kafka edge on Apache Kafka itself, where one is told of: see `tests/servers`.
#[cfg(test)]
mod kafka_live;
/// The scripts that start and stop the real servers.
#[cfg(test)]
mod servers_live;
/// The whole service as a user runs it, on Apache Kafka: stop, start, rebalance, kill, every record once.
#[cfg(test)]
mod service_live;
