//! panicsift: tells hostile input from honest faults in the panics that Rust services survive, while they happen.
//!
//! This page is the architecture. It says how a record goes through the program, what is nowhere to be found in it, and
//! where things are; each module's head says the rest.
//!
//! # Life of a record
//!
//! ```text
//!  Kafka ─► decode ─► classify ─► enrich ─► fingerprint ─► cells ─► cluster ─► judge ─► alert ─► outbox ─► Splunk / Elastic / file
//!           └────────────────── sift ──────────────────┘ └──────────── fold ──────────────┘ └───── deliver ─────┘
//! ```
//!
//! The loop in [`app`] is that line read aloud, once a batch:
//!
//! 1. `source.next()`: the next records. The loop asks only when nothing is in flight, so a rebalance is answered the
//!    moment it asks, and nothing has to be drained.
//! 2. [`pipeline::sift`]: each record, in whatever form a [carrier](pipeline::decode) brings it, becomes
//!    [observations](pipeline::observation::Observation), or a part of one that waits for the rest
//!    ([`pipeline::gather`]), or totals of requests, which turn counts of panics into rates ([`pipeline::requests`]), or
//!    an ordinary request, which teaches what is normal ([`pipeline::judge::ordinary`]), or nothing, since it tells of no
//!    panic, or a refusal with its reason. A fault of ours costs the record that met it.
//! 3. `seen + gathered + counted + sampled + silent + refused + covered == batch`, asserted: every record has one named
//!    fate.
//! 4. [`pipeline::fold`]: observations, which may wait for earlier ones first ([`pipeline::reorder`]), go into cells,
//!    actors, the learned normal and the [ledger of operations](pipeline::operations); when an epoch of event time is
//!    over, cells become clusters and suspects [hands](pipeline::cluster::hands), both are judged, and changes in their
//!    lives, and in those of storms, cascades, releases and budgets, become alerts.
//! 5. `dead_letters.write()`: refused records, durable before anything is committed.
//! 6. `store.commit()`: changed state, alerts and checkpoint in one transaction. The store's checkpoint is the truth; it
//!    stays behind whatever waits for its other parts, so that nothing of that needs to be stored.
//! 7. `source.commit()`: offsets for those who watch the lag. Advisory.
//!
//! Stop after any of them, and the next start repeats only what is safe to repeat: state is effectively-once, dead
//! letters and alerts are at-least-once under stable ids.
//!
//! Memory is changed in step 4 and stored in step 6; between the two there is no way on but forward: if the store
//! refuses, the process ends, and the next one starts from what the store has. That is why `fold` may change the state
//! in place, without a copy of 8,192 cells to judge a batch by.
//!
//! # What is nowhere to be found
//!
//! * In [`pipeline`]: a clock, a disk, a network, the environment, a task, a metric, a log line. Time is passed in,
//!   effects are returned. Nor an `unwrap`, an index, a recursion over input.
//! * In state, alerts, logs, metrics and reports: a value of a payload, a token, an idempotency key, an unmasked
//!   message. They end with the batch that held them, or in the dead letters.
//! * Anywhere: an unbounded queue, a task outside the loop's `JoinSet`, `unsafe`, a second way to do a thing.
//!
//! # Who knows what
//!
//! `main → cli, app, report, config`; `app → edge, pipeline, config`; `report → edge::store, pipeline`;
//! `edge → pipeline, config`; `config → pipeline` (to neutralise what it quotes); `pipeline → pipeline`. Each heavy crate
//! has one door: rdkafka in `edge::kafka`, linfa in `pipeline::cluster`, maxminddb in `edge::tables`, SQLite in
//! `edge::store`, the HTTP client in `edge::deliver`, age in `secret::seal`, ratatui in `app::top`. `tests/tidy.rs` holds
//! these.
//!
//! # What operators do beside it
//!
//! `outbox` and `dead-letters` work on the store and on what was refused while the service runs, each deed one
//! transaction of its own; `label` keeps analysts' words in the store, which the service takes up before its next batch
//! and applies when an epoch ends; `setup elastic` prepares a destination; `top` watches the store and the admin port.
//! None of them is on a record's way. `train` makes a hostility model of labelled sets, with the very judge that it is for.

pub mod cli;
pub mod logging;

pub mod app;
pub mod report;

pub mod edge;
pub mod pipeline;

pub mod config;
pub mod schemas;
pub mod secret;
