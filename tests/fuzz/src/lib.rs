//! The pure core of panicsift, compiled by itself: fuzzing needs neither Kafka nor SQLite nor TLS, and builds in a
//! fraction of the time without them. It is the same source, not a copy.

#[path = "../../../src/pipeline/mod.rs"]
pub mod pipeline;
