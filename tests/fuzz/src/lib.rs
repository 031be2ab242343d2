//! The pure parts of panicsift, the core and the formats of alerts, compiled by themselves: fuzzing needs neither Kafka
//! nor SQLite nor TLS, and builds in a fraction of the time without them. It is the same source, not a copy.

#[path = "../../../src/pipeline/mod.rs"]
pub mod pipeline;

#[path = "../../../src/edge/format/mod.rs"]
pub mod format;
