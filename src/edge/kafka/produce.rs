//! Dead letters and alerts to Kafka topics, durable on return.
//!
//! Durable: acknowledged by all in-sync replicas (`acks=all`), written once (`enable.idempotence`). A call hands over
//! all of its records, then awaits each acknowledgement, until a deadline; after an error some records may stand in
//! the topic, so a retry may write them twice: both kinds have stable keys.
//!
//! Bound: librdkafka's own queue; when it is full the call waits.

use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::future_producer::DeliveryFuture;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};
use tokio::time::Instant;

use super::{ProducerSettings, context, creation_error};
use crate::edge::{DeadLetterError, DeadLetters, EncodeLetter};
use crate::pipeline::event::{self, Rejection};

/// Wait between two tries when librdkafka's queue is full.
const QUEUE_FULL_WAIT: Duration = Duration::from_millis(20);

/// Records that were not written.
#[derive(Debug, thiserror::Error)]
pub enum ProduceError {
    /// A setting is refused; retrying is pointless.
    #[error("the kafka producer for topic `{topic}` cannot start: {reason}")]
    Settings {
        /// Topic.
        topic: String,
        /// Which setting, and why.
        reason: String,
    },
    /// A record is larger than the topic takes; retrying is pointless until the topic takes more.
    #[error(
        "a record of {n_bytes} bytes is too large for topic `{topic}`: raise `max.message.bytes` of the topic (and \
         `message.max.bytes` of the brokers)"
    )]
    TooLarge {
        /// Topic.
        topic: String,
        /// Bytes of the record's value.
        n_bytes: usize,
    },
    /// Not acknowledged; may be retried.
    #[error("topic `{topic}` did not take {n_failed} of {n_sent} records: {error}")]
    NotWritten {
        /// Topic.
        topic: String,
        /// Records without an acknowledgement.
        n_failed: usize,
        /// Records of the call.
        n_sent: usize,
        /// First error.
        error: String,
    },
}

struct Logs;

impl ClientContext for Logs {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        context::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(%error, reason, "kafka producer reports an error");
    }
}

struct Producer {
    client: FutureProducer<Logs>,
    topic: String,
    deadline: Duration,
}

struct Record<'a> {
    key: &'a str,
    value: &'a [u8],
    headers: Option<OwnedHeaders>,
    /// Milliseconds since the Unix epoch; `None`: now.
    timestamp: Option<i64>,
}

impl Producer {
    fn start(settings: &ProducerSettings) -> Result<Self, ProduceError> {
        let refused = |reason| ProduceError::Settings { topic: settings.topic.clone(), reason };
        let config = settings.client_config().map_err(refused)?;
        let client = config.create_with_context(Logs).map_err(|error| refused(creation_error(&error)))?;
        Ok(Self { client, topic: settings.topic.clone(), deadline: settings.deadline })
    }

    /// Where each record stands, in their order.
    async fn send(&self, records: impl Iterator<Item = Record<'_>>) -> Result<Vec<Place>, ProduceError> {
        let end_at = deadline_after(self.deadline);
        let mut sent = Vec::new();
        let mut places = Vec::new();
        for record in records {
            sent.push((record.value.len(), self.enqueue(record, end_at).await?));
        }
        let n_sent = sent.len();
        let mut errors = Vec::new();
        for (n_bytes, delivery) in sent {
            let error = match tokio::time::timeout_at(end_at, delivery).await {
                Ok(Ok(Ok(taken))) => {
                    places.push(Place { partition: taken.partition, offset: taken.offset });
                    continue;
                }
                Ok(Ok(Err((error, _)))) if is_too_large(&error) => {
                    return Err(ProduceError::TooLarge { topic: self.topic.clone(), n_bytes });
                }
                Ok(Ok(Err((error, _)))) => error.to_string(),
                Ok(Err(_)) => "the producer was closed".to_owned(),
                Err(_) => format!("no acknowledgement within {} s", self.deadline.as_secs()),
            };
            errors.push(error);
        }
        let n_failed = errors.len();
        match errors.into_iter().next() {
            None => Ok(places),
            Some(error) => Err(ProduceError::NotWritten { topic: self.topic.clone(), n_failed, n_sent, error }),
        }
    }

    async fn enqueue(&self, record: Record<'_>, end_at: Instant) -> Result<DeliveryFuture, ProduceError> {
        let n_bytes = record.value.len();
        let mut waiting = FutureRecord::to(&self.topic).key(record.key).payload(record.value);
        waiting.headers = record.headers;
        waiting.timestamp = record.timestamp;
        loop {
            let (error, back) = match self.client.send_result(waiting) {
                Ok(delivery) => return Ok(delivery),
                Err(refused) => refused,
            };
            if is_too_large(&error) {
                return Err(ProduceError::TooLarge { topic: self.topic.clone(), n_bytes });
            }
            let is_full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
            if !is_full || end_at <= deadline_after(Duration::ZERO) {
                let error = error.to_string();
                return Err(ProduceError::NotWritten { topic: self.topic.clone(), n_failed: 1, n_sent: 1, error });
            }
            tokio::time::sleep(QUEUE_FULL_WAIT).await;
            waiting = back;
        }
    }
}

fn is_too_large(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidMessageSize)
    )
}

fn deadline_after(wait: Duration) -> Instant {
    Instant::from_std(super::now() + wait)
}

/// Dead letters to a topic. Key: `topic-partition-offset` of the record; headers `reason`, `topic`, `partition`,
/// `offset`.
pub struct KafkaDeadLetters {
    producer: Producer,
    encode: EncodeLetter,
    encode_without_bytes: Option<EncodeLetter>,
}

impl KafkaDeadLetters {
    /// Connects in the background; brokers that are down are seen at the first write.
    ///
    /// # Errors
    /// [`ProduceError::Settings`].
    pub fn start(
        settings: &ProducerSettings,
        encode: impl Fn(&Rejection<'_>) -> Vec<u8> + Send + Sync + 'static,
    ) -> Result<Self, ProduceError> {
        Ok(Self { producer: Producer::start(settings)?, encode: Box::new(encode), encode_without_bytes: None })
    }

    /// How to write a letter that the topic finds too large: without it one record near the broker's limit would stop
    /// the service for good. The record itself is still at its position in the input topic.
    #[must_use]
    pub fn or_without_bytes(mut self, encode: impl Fn(&Rejection<'_>) -> Vec<u8> + Send + Sync + 'static) -> Self {
        self.encode_without_bytes = Some(Box::new(encode));
        self
    }

    async fn send(&self, rejections: &[Rejection<'_>], encode: &EncodeLetter) -> Result<(), ProduceError> {
        let letters: Vec<(String, Vec<u8>)> = rejections.iter().map(|it| (key(it), encode(it))).collect();
        let records = letters.iter().zip(rejections).map(|((key, value), rejection)| Record {
            key,
            value,
            headers: Some(headers(rejection)),
            timestamp: None,
        });
        self.producer.send(records).await.map(drop)
    }
}

impl DeadLetters for KafkaDeadLetters {
    async fn write(&mut self, rejections: &[Rejection<'_>]) -> Result<(), DeadLetterError> {
        let mut written = self.send(rejections, &self.encode).await;
        if let (Err(ProduceError::TooLarge { .. }), Some(smaller)) = (&written, &self.encode_without_bytes) {
            // Rare, so one by one: only the letters that are too large lose their bytes.
            written = Ok(());
            for rejection in rejections.chunks(1) {
                let mut one = self.send(rejection, &self.encode).await;
                if matches!(one, Err(ProduceError::TooLarge { .. })) {
                    one = self.send(rejection, smaller).await;
                }
                written = written.and(one);
            }
        }
        written.map_err(|error| DeadLetterError {
            place: format!("topic {}", self.producer.topic),
            error: error.to_string(),
        })
    }
}

fn key(rejection: &Rejection<'_>) -> String {
    let position = rejection.record.position;
    format!("{}-{}-{}", position.topic, position.partition, position.offset)
}

fn headers(rejection: &Rejection<'_>) -> OwnedHeaders {
    let position = rejection.record.position;
    let (partition, offset) = (position.partition.to_string(), position.offset.to_string());
    OwnedHeaders::new_with_capacity(4)
        .insert(Header { key: "reason", value: Some(rejection.reason.name()) })
        .insert(Header { key: "topic", value: Some(position.topic) })
        .insert(Header { key: "partition", value: Some(&partition) })
        .insert(Header { key: "offset", value: Some(&offset) })
}

/// An alert as a record.
#[derive(Debug, Clone)]
pub struct AlertRecord<'a> {
    /// Key: what keeps the changes of a cluster in order.
    pub key: &'a str,
    /// Value.
    pub value: &'a [u8],
    /// Names and values of the headers.
    pub headers: Vec<(&'static str, &'a str)>,
}

/// Where a record stands in its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
}

/// Alerts to a topic.
pub struct KafkaAlerts {
    producer: Producer,
}

impl KafkaAlerts {
    /// Connects in the background; brokers that are down are seen at the first send.
    ///
    /// # Errors
    /// [`ProduceError::Settings`].
    pub fn start(settings: &ProducerSettings) -> Result<Self, ProduceError> {
        Ok(Self { producer: Producer::start(settings)? })
    }

    /// Writes all records and returns where each stands when all are acknowledged, or says why not.
    ///
    /// # Errors
    /// [`ProduceError::TooLarge`] is pointless to retry as it is; [`ProduceError::NotWritten`] may be retried.
    pub async fn send(&mut self, records: &[AlertRecord<'_>]) -> Result<Vec<Place>, ProduceError> {
        let headers_of = |alert: &AlertRecord<'_>| {
            let headers = OwnedHeaders::new_with_capacity(alert.headers.len());
            let insert = |headers: OwnedHeaders, (key, value): &(&'static str, &str)| {
                headers.insert(Header { key, value: Some(*value) })
            };
            alert.headers.iter().fold(headers, insert)
        };
        let records = records.iter().map(|alert| Record {
            key: alert.key,
            value: alert.value,
            headers: Some(headers_of(alert)),
            timestamp: None,
        });
        self.producer.send(records).await
    }

    /// Whether this client will never write again, whatever the brokers do: the promise to write once was broken, and
    /// only a new client can begin anew.
    pub fn is_dead(&self) -> bool {
        self.producer.client.client().fatal_error().is_some()
    }
}

/// A record that goes into its topic once more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayedRecord {
    /// Id of the dead letter that it comes from: its key, and the header `panicsift-replay`.
    pub letter: String,
    /// Headers that say how it is to be read.
    pub headers: Vec<event::Header>,
    /// The very bytes.
    pub payload: Vec<u8>,
    /// The broker's time of the record when it first came (Unix, milliseconds): event times are checked against it.
    pub broker_time_ms: Option<i64>,
}

/// Records from dead letters into the input topic again.
pub struct KafkaReplays {
    producer: Producer,
}

impl KafkaReplays {
    /// Connects in the background; brokers that are down are seen at the first write.
    ///
    /// # Errors
    /// [`ProduceError::Settings`].
    pub fn start(settings: &ProducerSettings) -> Result<Self, ProduceError> {
        Ok(Self { producer: Producer::start(settings)? })
    }

    /// Writes all records and returns when all are acknowledged, or says why not; some may then stand in the topic.
    ///
    /// # Errors
    /// As [`KafkaAlerts::send`].
    pub async fn send(&mut self, records: &[ReplayedRecord]) -> Result<(), ProduceError> {
        let records = records.iter().map(|one| Record {
            key: &one.letter,
            value: &one.payload,
            headers: Some(one.headers.iter().fold(
                OwnedHeaders::new().insert(Header { key: "panicsift-replay", value: Some(&one.letter) }),
                |headers, one| headers.insert(Header { key: &one.name, value: Some(&one.value) }),
            )),
            timestamp: one.broker_time_ms,
        });
        self.producer.send(records).await.map(drop)
    }
}
