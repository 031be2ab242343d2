//! The one integration test binary; each module says in a sentence what it holds.
//!
//! `cfg(test)` tells the linter that these modules are tests throughout, their helpers included.

/// Servers, scripts and values that the tests below share.
#[cfg(test)]
mod support;

/// Attackers who know the source: what each trick costs, and what still gets through.
#[cfg(test)]
mod adversary;
/// Every kind of bad input beside good records: named with its place, and the good ones are processed.
#[cfg(test)]
mod bad_input;
/// Error budgets: figures against a naive count, alarms over restarts, the report and what it refuses.
#[cfg(test)]
mod budget;
/// Every carrier by its captures: told apart, and through the whole service to a cluster.
#[cfg(test)]
mod carriers;
/// The binary as a user meets it: help, exit codes, faults, schemas, completions, manual pages, closed pipes.
#[cfg(test)]
mod cli;
/// The published contracts and the demo's data: schemas, types, examples and labels agree.
#[cfg(test)]
mod contracts;
/// Crash points: the loop ended between every two steps, in every batch, and started again.
#[cfg(test)]
mod crash;
/// Dead letters in all three forms: listed, shown, opened, replayed once, purged; the bound on their share.
#[cfg(test)]
mod dead_letters;
/// Alerts to scripted destinations: outage, poison, order, a crash between delivery and settling.
#[cfg(test)]
mod delivery;
/// Elastic destinations against scripted servers: the look before the first write, and `setup` with its refusals.
#[cfg(test)]
mod elastic_setup;
/// Alerts in each public format: its schema's facts, its grammar, hostile texts, and where they end up.
#[cfg(test)]
mod formats;
/// The scripted HEC server: it takes, acknowledges and forgets as Splunk documents it.
#[cfg(test)]
mod hec_server;
/// The page of `report html`, read by a real parser: well formed, inert, bounded, and its sums add up.
#[cfg(test)]
mod html;
/// Order, partitions, batches and crashes drawn at random: the same verdicts and alerts, byte for byte.
#[cfg(test)]
mod invariance;
/// Analysts' words: applied in a replay and by a running service, shown, taken back, exported for training.
#[cfg(test)]
mod label;
/// Canaries in everything that a sender chooses: on no disk and in no output, but for dead letters that keep bytes.
#[cfg(test)]
mod leaks;
/// The embedded broker: every record once, over a restart in the middle.
#[cfg(test)]
mod mock_broker;
/// Alerts that wait or were refused, and what an operator does to them beside a lane that runs.
#[cfg(test)]
mod outbox;
/// Post-mortems and the figures of a migration, held against the raw events; their bytes, their forms, hostile names.
#[cfg(test)]
mod postmortem;
/// What the example producers wrote when they ran, held against the contract.
#[cfg(test)]
mod producers;
/// The cluster report over a store and after a replay: its forms, its sums, what a sender chose in it.
#[cfg(test)]
mod report;
/// Retries and releases over a replay: the policy in its forms, cascades, rollback criteria, counted a second time.
#[cfg(test)]
mod retries;
/// Samples of ordinary requests beside the events: merged by time, exact, without their values.
#[cfg(test)]
mod samples;
/// Standard error of a program that really panics, compiled by the `rustc` at hand.
#[cfg(test)]
mod stderr_text;
/// The whole path on the demo's events: exactness over order, restart and crash, alerts' lives, secrets, the demo.
#[cfg(test)]
mod story;
/// The surface inventory in its four forms, and storms of consequences that blame nobody.
#[cfg(test)]
mod surfaces;
/// Panics over time, their rates and their series: against a second, naive count of the same events.
#[cfg(test)]
mod telemetry;
/// The house rules that no lint holds: layers, doors, sizes, headers, names.
#[cfg(test)]
mod tidy;
/// The live view as a user meets it: one frame as text, refusals, and a terminal that is given back.
#[cfg(test)]
mod top;
/// Training on a cut of the demo: the same model twice, the validation's protocols, sets and models that are refused.
#[cfg(test)]
mod train;
/// Storms on real events, recomputed by hand; `triage` as an engineer on call meets it.
#[cfg(test)]
mod triage;

/// The service on a Kafka of three nodes that are killed in turn.
#[cfg(test)]
mod broker_loss_live;
/// Logpush's two data sets on Apache Kafka, joined over a kill.
#[cfg(test)]
mod carriers_live;
/// The whole service killed again and again among faults of all that it talks to: nothing lost, doubled or silent.
#[cfg(test)]
mod crash_loop_live;
/// OpenSearch and Elasticsearch themselves, where one is told of: prepared by `setup`, then every alert once.
#[cfg(test)]
mod elastic_live;
/// The scripted HEC server, checked by independent clients, where they are installed.
#[cfg(test)]
mod hec_client_live;
/// The same page in a real browser, where one is told of: nothing runs, nothing is asked for, nothing overflows.
#[cfg(test)]
mod html_live;
/// The Kafka edge on Apache Kafka itself, where one is told of: see `tests/servers`.
#[cfg(test)]
mod kafka_live;
/// The producers of `deploy/producers` on a real broker: real panics of theirs as clusters and alerts.
#[cfg(test)]
mod producers_live;
/// Every way in which OpenSearch and Elasticsearch refuse, provoked on the servers themselves.
#[cfg(test)]
mod refusals_live;
/// The scripts that start and stop the real servers.
#[cfg(test)]
mod servers_live;
/// The whole service as a user runs it, on Apache Kafka: stop, start, rebalance, kill, every record once.
#[cfg(test)]
mod service_live;
