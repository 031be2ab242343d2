//! Kafka: the only door to rdkafka (librdkafka 2.12).
//!
//! * [`source::KafkaSource`] reads topics as a consumer group; a thread of its own owns the client.
//! * [`produce::KafkaDeadLetters`] and [`produce::KafkaAlerts`] write, durable on return.
//! * [`letters`] reads a dead letter topic from its beginning to its end.
//! * [`embedded::EmbeddedBroker`] is librdkafka's mock cluster, for `demo` and tests only: it keeps 5 MiB a partition,
//!   in memory, and drops the oldest without a word.
//!
//! This file turns settings into librdkafka's properties. Whoever deploys may set any property, save those that our
//! promises rest on; these are refused by name. Never here: a record's bytes in a log line.

pub mod source;
pub mod status;

mod poll;

mod fault;
mod place;
mod solo;

mod context;
mod handoff;

pub mod produce;

pub mod letters;

pub mod embedded;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;

/// Where to begin in a partition that has neither a checkpoint nor a committed offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OffsetReset {
    /// Stop and say so; nothing is skipped unseen.
    #[default]
    Error,
    /// From the oldest record that is still there.
    Earliest,
    /// Only what comes from now on.
    Latest,
}

/// What to do when the place we want to read is no longer there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnGap {
    /// Stop and say how many records of which partitions are gone.
    #[default]
    Stop,
    /// Say it, and go on with the oldest record that is there.
    Continue,
}

/// When a batch is cut: whichever comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// Records in a batch.
    pub n_records_max: usize,
    /// Bytes of payload in a batch (the last record may go over it).
    pub n_bytes_max: usize,
    /// Time since the first record of the batch arrived.
    pub wait_max: Duration,
}

impl Default for BatchLimits {
    /// 10,000 records, 8 MiB, 200 ms: large enough to amortise a transaction, small enough to hold three in memory.
    fn default() -> Self {
        Self { n_records_max: 10_000, n_bytes_max: 8 << 20, wait_max: Duration::from_millis(200) }
    }
}

/// What a [`source::KafkaSource`] needs to know.
#[derive(Debug, Clone)]
pub struct ConsumerSettings {
    /// Brokers to ask first, each `host:port`.
    pub brokers: Vec<String>,
    /// Topics to read.
    pub topics: Vec<String>,
    /// Consumer group.
    pub group: String,
    /// Where to begin without any place.
    pub offset_reset: OffsetReset,
    /// What to do when our place is gone.
    pub on_gap: OnGap,
    /// When a batch is cut.
    pub batch: BatchLimits,
    /// How long `next()` waits for records before it says `Idle`.
    pub idle_after: Duration,
    /// How long a revoke waits for the batch in flight; must be well below `max.poll.interval.ms`.
    pub revoke_wait_max: Duration,
    /// How long a topic may be missing before that is an error (topics just made are missing for a moment).
    pub topic_grace: Duration,
    /// Close when every assigned partition was read to its end once (demo and tests).
    pub stop_at_end: bool,
    /// Any librdkafka property, applied last. May hold secrets, hence no part of an error message.
    pub properties: BTreeMap<String, String>,
}

impl ConsumerSettings {
    /// Settings with the defaults of this module for `brokers`, `topics` and `group`.
    pub fn new(brokers: Vec<String>, topics: Vec<String>, group: String) -> Self {
        Self {
            brokers,
            topics,
            group,
            offset_reset: OffsetReset::default(),
            on_gap: OnGap::default(),
            batch: BatchLimits::default(),
            idle_after: Duration::from_millis(500),
            revoke_wait_max: Duration::from_secs(10),
            topic_grace: Duration::from_secs(30),
            stop_at_end: false,
            properties: BTreeMap::new(),
        }
    }

    fn client_config(&self) -> Result<ClientConfig, String> {
        let mut config = base_config(&self.brokers);
        config
            .set("group.id", &self.group)
            // A place that is not there is always an error, so that nothing is skipped unseen; see `place`.
            .set("auto.offset.reset", "error")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("enable.partition.eof", if self.stop_at_end { "true" } else { "false" })
            // The default of 1000 costs a factor of 3 to 4 once we are slower than the fetcher.
            .set("fetch.queue.backoff.ms", "10")
            .set("statistics.interval.ms", "2000");
        // KIP-848 groups are assigned by the broker and refuse a client's strategy.
        if self.properties.get("group.protocol").map(String::as_str) != Some("consumer") {
            config.set("partition.assignment.strategy", "cooperative-sticky");
        }
        apply(&mut config, &self.properties, &RESERVED_FOR_CONSUMERS)?;
        Ok(config)
    }
}

/// What a producer needs to know.
#[derive(Debug, Clone)]
pub struct ProducerSettings {
    /// Brokers to ask first, each `host:port`.
    pub brokers: Vec<String>,
    /// Topic to write.
    pub topic: String,
    /// How long a call may take until all of its records are acknowledged by all in-sync replicas.
    pub deadline: Duration,
    /// Any librdkafka property, applied last. May hold secrets.
    pub properties: BTreeMap<String, String>,
}

impl ProducerSettings {
    /// Settings with a deadline of 30 s for `brokers` and `topic`.
    pub fn new(brokers: Vec<String>, topic: String) -> Self {
        Self { brokers, topic, deadline: Duration::from_secs(30), properties: BTreeMap::new() }
    }

    fn client_config(&self) -> Result<ClientConfig, String> {
        let mut config = base_config(&self.brokers);
        config
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("compression.type", "lz4")
            .set("linger.ms", "5")
            // The broker has the last word on sizes; a dead letter is larger than the record that it holds.
            .set("message.max.bytes", "16777216")
            .set("message.timeout.ms", self.deadline.as_millis().max(1_000).to_string());
        apply(&mut config, &self.properties, &RESERVED_FOR_PRODUCERS)?;
        Ok(config)
    }
}

/// Property and the setting that holds it, or the promise that forbids it.
type Reserved = (&'static str, &'static str);

const RESERVED_FOR_CONSUMERS: [Reserved; 8] = [
    ("bootstrap.servers", "it is the setting `brokers`"),
    ("metadata.broker.list", "it is the setting `brokers`"),
    ("group.id", "it is the setting `group`"),
    ("auto.offset.reset", "it is a setting of its own"),
    ("enable.auto.commit", "offsets are committed only after the store has them"),
    ("enable.auto.offset.store", "offsets are committed only after the store has them"),
    ("enable.partition.eof", "the source decides when it is at its end"),
    ("test.mock.num.brokers", "it would replace the brokers"),
];

const RESERVED_FOR_PRODUCERS: [Reserved; 7] = [
    ("bootstrap.servers", "it is the setting `brokers`"),
    ("metadata.broker.list", "it is the setting `brokers`"),
    ("acks", "what was written is durable only with `all`"),
    ("request.required.acks", "what was written is durable only with `all`"),
    ("enable.idempotence", "retries must not write twice"),
    ("delivery.report.only.error", "each acknowledgement is awaited"),
    ("test.mock.num.brokers", "it would replace the brokers"),
];

fn base_config(brokers: &[String]) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", brokers.join(","))
        .set("client.id", "panicsift")
        // A broker that is back is found within a second, not after librdkafka's default of ten.
        .set("reconnect.backoff.max.ms", "1000")
        .set_log_level(RDKafkaLogLevel::Warning);
    config
}

fn apply(config: &mut ClientConfig, given: &BTreeMap<String, String>, reserved: &[Reserved]) -> Result<(), String> {
    for (key, value) in given {
        if let Some((_, why)) = reserved.iter().find(|(name, _)| name == key) {
            return Err(format!("the librdkafka property `{key}` cannot be set: {why}"));
        }
        config.set(key, value);
    }
    Ok(())
}

/// What librdkafka said of a configuration, without the value it dislikes: that may be a secret.
fn creation_error(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, _, key, _) => {
            format!("librdkafka refuses the property `{key}` or its value; see its CONFIGURATION.md")
        }
        other => other.to_string(),
    }
}

#[expect(clippy::disallowed_methods, reason = "batches are cut by elapsed time; event time is never read here")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(key: &str, expected: &str) {
        let mut settings = ConsumerSettings::new(vec!["h:1".into()], vec!["t".into()], "g".into());
        settings.properties.insert(key.into(), "x".into());
        let said = settings.client_config().map(|config| config.get(key).unwrap_or_default().to_owned());
        match said {
            Ok(value) => assert_eq!(value, expected),
            Err(error) => assert!(error.contains(key) && error.contains(expected), "{error}"),
        }
    }

    #[test]
    fn properties_that_would_break_a_promise_are_refused_by_name() {
        check("enable.auto.commit", "only after the store");
        check("enable.auto.offset.store", "only after the store");
        check("enable.partition.eof", "at its end");
        check("group.id", "setting `group`");
        check("bootstrap.servers", "setting `brokers`");
    }

    #[test]
    fn any_other_property_passes_and_wins_over_the_default() {
        check("fetch.queue.backoff.ms", "x");
        check("sasl.username", "x");
    }

    #[test]
    fn a_group_of_the_new_protocol_names_no_strategy() {
        let mut settings = ConsumerSettings::new(vec!["h:1".into()], vec!["t".into()], "g".into());
        assert_eq!(settings.client_config().unwrap().get("partition.assignment.strategy"), Some("cooperative-sticky"));
        settings.properties.insert("group.protocol".into(), "consumer".into());
        assert_eq!(settings.client_config().unwrap().get("partition.assignment.strategy"), None);
    }

    #[test]
    fn a_producer_waits_for_all_replicas_and_writes_once() {
        let config = ProducerSettings::new(vec!["h:1".into()], "t".into()).client_config().unwrap();
        assert_eq!((config.get("acks"), config.get("enable.idempotence")), (Some("all"), Some("true")));
    }

    #[test]
    fn the_value_of_a_refused_property_is_not_told() {
        let mut settings = ProducerSettings::new(vec!["h:1".into()], "t".into());
        settings.properties.insert("linger.ms".into(), "hunter2".into());
        let config = settings.client_config().unwrap();
        let error = config.create_native_config().err().unwrap();
        let said = creation_error(&error);
        assert!(said.contains("linger.ms") && !said.contains("hunter2"), "{said}");
    }
}
