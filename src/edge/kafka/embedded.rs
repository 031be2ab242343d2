//! A broker inside this process: librdkafka's mock cluster. For `demo` and tests; never a durable default.
//!
//! What it is not (measured with librdkafka 2.12.1): it keeps 5 MiB or 100,000 batches a partition in memory and drops
//! the oldest without an error; no admin calls; transactions are a sham. Hence [`EmbeddedBroker::produce_all`] waits
//! for the consumer: what was produced and is not decided stays below [`UNREAD_BYTES_MAX`] a partition.
//!
//! The cluster listens on 127.0.0.1 and a port of its own, and is gone when the value is dropped.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};

use super::{ConsumerSettings, OffsetReset, context};
use crate::pipeline::event::{Checkpoint, Millis};

/// Bytes a partition may hold that are not decided: below the mock's 5 MiB, with room for its own overhead.
const UNREAD_BYTES_MAX: usize = 4 << 20;
/// Records a partition may hold that are not decided: each may be a batch of its own, of which the mock keeps 100,000.
const UNREAD_RECORDS_MAX: usize = 50_000;
/// Partitions of a topic: with fewer the limits above slow the consumer down.
pub const N_PARTITIONS: i32 = 16;
/// Wait between two looks at the consumer.
const LOOK_WAIT: Duration = Duration::from_millis(5);
/// How long the consumer may make no progress before producing gives up.
const STALL_MAX: Duration = Duration::from_mins(1);
/// How long the last records may take to be acknowledged.
const FLUSH_MAX: Duration = Duration::from_secs(30);

/// The embedded broker failed.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// It did not start, or a topic could not be made.
    #[error("the embedded broker cannot start: {0}")]
    Start(String),
    /// A record was not taken.
    #[error("the embedded broker did not take record {n_sent}: {error}")]
    Produce {
        /// Records taken before.
        n_sent: usize,
        /// What librdkafka said.
        error: String,
    },
    /// The consumer stopped reading; going on would lose records.
    #[error("the consumer of the embedded broker read nothing for {0} s")]
    Stalled(u64),
}

/// Counts the records that were not acknowledged.
#[derive(Default)]
struct Refused(AtomicUsize);

impl ClientContext for Refused {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        context::log(level, facility, message);
    }
}

impl ProducerContext for Refused {
    type DeliveryOpaque = ();

    fn delivery(&self, delivery: &DeliveryResult<'_>, (): ()) {
        if delivery.is_err() {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A record to be produced.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// Its value.
    pub payload: &'a [u8],
    /// Its timestamp; the time of sending when absent.
    pub time: Option<Millis>,
}

impl<'a> From<&'a [u8]> for Outgoing<'a> {
    fn from(payload: &'a [u8]) -> Self {
        Self { payload, time: None }
    }
}

/// A broker in this process, and a producer to it.
pub struct EmbeddedBroker {
    // The mock cluster belongs to the client that was made with `test.mock.num.brokers`.
    producer: BaseProducer<Refused>,
    brokers: String,
}

impl EmbeddedBroker {
    /// Starts it; a few milliseconds.
    ///
    /// # Errors
    /// [`EmbeddedError::Start`].
    pub fn start() -> Result<Self, EmbeddedError> {
        let start = |error: KafkaError| EmbeddedError::Start(error.to_string());
        let producer: BaseProducer<Refused> = super::base_config(&["localhost".to_owned()])
            .set("test.mock.num.brokers", "1")
            .set("compression.type", "lz4")
            .set("linger.ms", "5")
            .set("message.max.bytes", "16777216")
            .create_with_context(Refused::default())
            .map_err(start)?;
        let brokers = mock(&producer)?.bootstrap_servers();
        Ok(Self { producer, brokers })
    }

    /// `host:port` of the broker.
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// Makes a topic.
    ///
    /// # Errors
    /// [`EmbeddedError::Start`], for a name that is taken or not allowed.
    pub fn create_topic(&self, topic: &str, n_partitions: i32) -> Result<(), EmbeddedError> {
        mock(&self.producer)?
            .create_topic(topic, n_partitions, 1)
            .map_err(|error| EmbeddedError::Start(format!("topic `{topic}`: {error}")))
    }

    /// Answers the next requests of a kind with these errors, one each.
    #[cfg(test)]
    pub(super) fn refuse(&self, request: rdkafka::types::RDKafkaApiKey, errors: &[rdkafka::types::RDKafkaRespErr]) {
        mock(&self.producer).unwrap().request_errors(request, errors);
    }

    /// Where a consumer of `topic` starts: the first record of each partition, where `checkpoint` has nothing later.
    /// With it the consumer needs no `offset_reset`, and a record that the mock dropped is an error, not a silence.
    pub fn start_positions(topic: &str, n_partitions: i32, mut checkpoint: Checkpoint) -> Checkpoint {
        for partition in 0..n_partitions {
            checkpoint.set(topic, partition, 0);
        }
        checkpoint
    }

    /// Settings for a consumer of this broker: joins at once (KIP-848), fetches at once, and stops rather than lose
    /// records. Start it at [`Self::start_positions`].
    pub fn consumer_settings(&self, topic: &str, group: &str) -> ConsumerSettings {
        let mut settings = ConsumerSettings::new(vec![self.brokers.clone()], vec![topic.to_owned()], group.to_owned());
        settings.offset_reset = OffsetReset::Error;
        settings.properties.insert("group.protocol".into(), "consumer".into());
        settings.properties.insert("fetch.wait.max.ms".into(), "10".into());
        settings
    }

    /// Produces `lines` over `n_partitions` in turn (line `i` to partition `i % n_partitions`, so offset
    /// `i / n_partitions` in a new topic) and returns when all are acknowledged. Blocks: run it on a thread of its
    /// own. `next_decided(partition)` tells how far the consumer is; `progress(n)` is called after each record.
    ///
    /// # Errors
    /// [`EmbeddedError::Produce`], [`EmbeddedError::Stalled`].
    pub fn produce_all<'a, L: Into<Outgoing<'a>>>(
        &self,
        (topic, n_partitions): (&str, i32),
        lines: impl IntoIterator<Item = L>,
        next_decided: impl Fn(i32) -> i64,
        mut progress: impl FnMut(usize),
    ) -> Result<(), EmbeddedError> {
        let mut unread: Vec<Unread> = (0..n_partitions.max(1)).map(Unread::new).collect();
        let n_in_turn = unread.len();
        let mut n_sent_in_all = 0;
        for (n_sent, line) in lines.into_iter().map(Into::into).enumerate() {
            if let Some(partition) = unread.get_mut(n_sent % n_in_turn) {
                partition.await_room(line.payload.len(), &next_decided, || self.producer.poll(LOOK_WAIT))?;
                self.produce(topic, partition.partition, line)
                    .map_err(|error| EmbeddedError::Produce { n_sent, error: error.to_string() })?;
                partition.lines.push_back(line.payload.len());
                partition.n_bytes += line.payload.len();
            }
            n_sent_in_all = n_sent + 1;
            progress(n_sent_in_all);
        }
        let failed = |n_sent, error| Err(EmbeddedError::Produce { n_sent, error });
        if let Err(error) = self.producer.flush(FLUSH_MAX) {
            return failed(n_sent_in_all, error.to_string());
        }
        match self.producer.context().0.load(Ordering::Relaxed) {
            0 => Ok(()),
            n_refused => {
                failed(n_sent_in_all.saturating_sub(n_refused), format!("{n_refused} records were not acknowledged"))
            }
        }
    }

    fn produce(&self, topic: &str, partition: i32, line: Outgoing<'_>) -> Result<(), KafkaError> {
        let mut record = BaseRecord::<(), [u8]>::to(topic).partition(partition).payload(line.payload);
        if let Some(Millis(time)) = line.time {
            record = record.timestamp(time);
        }
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((error, back)) => {
                    if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                        return Err(error);
                    }
                    record = back;
                    self.producer.poll(LOOK_WAIT);
                }
            }
        }
    }
}

fn mock(producer: &BaseProducer<Refused>) -> Result<MockCluster<'_, Refused>, EmbeddedError> {
    producer.client().mock_cluster().ok_or_else(|| EmbeddedError::Start("librdkafka has no mock cluster".into()))
}

/// What a partition holds that the consumer has not decided.
struct Unread {
    partition: i32,
    /// Sizes of the lines from offset `first` on.
    lines: VecDeque<usize>,
    first: i64,
    n_bytes: usize,
}

impl Unread {
    fn new(partition: i32) -> Self {
        Self { partition, lines: VecDeque::new(), first: 0, n_bytes: 0 }
    }

    fn has_room(&self, n_bytes: usize) -> bool {
        // One line larger than the limit may stand alone.
        self.lines.is_empty()
            || (self.n_bytes.saturating_add(n_bytes) <= UNREAD_BYTES_MAX && self.lines.len() < UNREAD_RECORDS_MAX)
    }

    fn forget_before(&mut self, next: i64) {
        while self.first < next {
            let Some(n_bytes) = self.lines.pop_front() else {
                return;
            };
            self.n_bytes -= n_bytes;
            self.first += 1;
        }
    }

    fn await_room(
        &mut self,
        n_bytes: usize,
        next_decided: &impl Fn(i32) -> i64,
        look: impl Fn(),
    ) -> Result<(), EmbeddedError> {
        let mut progress_at = super::now();
        while !self.has_room(n_bytes) {
            let first = self.first;
            self.forget_before(next_decided(self.partition));
            let at = super::now();
            if first < self.first {
                progress_at = at;
            } else if STALL_MAX < at.saturating_duration_since(progress_at) {
                return Err(EmbeddedError::Stalled(STALL_MAX.as_secs()));
            } else {
                look();
                std::thread::sleep(LOOK_WAIT);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_never_holds_more_than_the_mock_keeps() {
        let mut unread = Unread::new(0);
        let decided = std::cell::Cell::new(0_i64);
        for _ in 0..100 {
            unread.await_room(1 << 20, &|_| decided.get(), || decided.set(decided.get() + 1)).unwrap();
            unread.lines.push_back(1 << 20);
            unread.n_bytes += 1 << 20;
            assert!(unread.n_bytes <= UNREAD_BYTES_MAX);
        }
        assert_eq!(decided.get(), 96);
    }
}
