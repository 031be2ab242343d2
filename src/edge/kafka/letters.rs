//! A dead letter topic, read once from its beginning to the end that it has now.
//!
//! Without a group and without commits: who looks changes nothing. Reads each partition to the end that the brokers
//! told at the start; what comes later is not read. Blocking. Memory is librdkafka's queue and one record.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::metadata::{MetadataPartition, MetadataTopic};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::{ClientContext, consumer::ConsumerContext};

use super::{RESERVED_FOR_CONSUMERS, apply, base_config, context, creation_error, now};
use crate::edge::SourceError;

/// How long the brokers may take to tell what the topic holds.
const METADATA_WAIT: Duration = Duration::from_secs(15);
/// How long no record may come before that is an error.
const RECORD_WAIT: Duration = Duration::from_secs(30);
/// One wait for a record.
const POLL_WAIT: Duration = Duration::from_millis(100);

struct Logs;

impl ClientContext for Logs {
    fn log(&self, level: rdkafka::config::RDKafkaLogLevel, facility: &str, message: &str) {
        context::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(%error, reason, "kafka consumer reports an error");
    }
}

impl ConsumerContext for Logs {}

/// Hands every record of `topic` to `each`, as partition, offset and value, partition by partition in any order.
/// `properties` are librdkafka's, for how to get in.
///
/// # Errors
/// [`SourceError::Fatal`] when the brokers do not answer, the topic is not there or may not be read; what `each` says.
pub fn read_topic<E: From<SourceError>>(
    brokers: &[String],
    topic: &str,
    properties: &BTreeMap<String, String>,
    mut each: impl FnMut(i32, i64, &[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let consumer = connect(brokers, properties)?;
    let mut ends = assign(&consumer, topic)?;
    let mut last_at = now();
    while !ends.is_empty() {
        let Some(polled) = consumer.poll(POLL_WAIT) else {
            retire(&consumer, topic, &mut ends)?;
            if last_at.elapsed() > RECORD_WAIT && !ends.is_empty() {
                let n_secs = RECORD_WAIT.as_secs();
                return Err(fatal(topic, &format!("no record came within {n_secs} s before its end")).into());
            }
            continue;
        };
        last_at = now();
        let message = polled.map_err(|error| fatal(topic, &error))?;
        let (partition, offset) = (message.partition(), message.offset());
        let Some(end) = ends.get(&partition).copied() else { continue };
        if offset < end {
            each(partition, offset, message.payload().unwrap_or_default())?;
        }
        if end <= offset.saturating_add(1) {
            ends.remove(&partition);
        }
    }
    Ok(())
}

fn connect(brokers: &[String], properties: &BTreeMap<String, String>) -> Result<BaseConsumer<Logs>, SourceError> {
    let mut config: ClientConfig = base_config(brokers);
    // librdkafka wants a name even where no group is joined; nothing is ever committed under it.
    config
        .set("group.id", "panicsift-dead-letters")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error");
    apply(&mut config, properties, &RESERVED_FOR_CONSUMERS).map_err(SourceError::Fatal)?;
    BaseConsumer::from_config_and_context(&config, Logs).map_err(|error| SourceError::Fatal(creation_error(&error)))
}

/// Assigns every partition that holds something from its beginning; gives the ends.
fn assign(consumer: &BaseConsumer<Logs>, topic: &str) -> Result<BTreeMap<i32, i64>, SourceError> {
    let metadata = consumer.fetch_metadata(Some(topic), METADATA_WAIT).map_err(|error| fatal(topic, &error))?;
    let partitions = metadata.topics().iter().filter(|it| it.name() == topic).flat_map(MetadataTopic::partitions);
    let ids: Vec<i32> = partitions.map(MetadataPartition::id).collect();
    if ids.is_empty() {
        return Err(fatal(topic, &"the brokers know no such topic, or do not let us see it"));
    }
    let (mut list, mut ends) = (TopicPartitionList::new(), BTreeMap::new());
    for id in ids {
        let (low, high) = consumer.fetch_watermarks(topic, id, METADATA_WAIT).map_err(|error| fatal(topic, &error))?;
        if low < high {
            list.add_partition_offset(topic, id, Offset::Offset(low)).map_err(|error| fatal(topic, &error))?;
            ends.insert(id, high);
        }
    }
    consumer.assign(&list).map_err(|error| fatal(topic, &error))?;
    Ok(ends)
}

/// Partitions that were read to their end although no record stood last: ends of transactions and records that were
/// compacted away take offsets, too.
fn retire(consumer: &BaseConsumer<Logs>, topic: &str, ends: &mut BTreeMap<i32, i64>) -> Result<(), SourceError> {
    let positions = consumer.position().map_err(|error| fatal(topic, &error))?;
    for element in positions.elements_for_topic(topic) {
        if let Offset::Offset(next) = element.offset()
            && ends.get(&element.partition()).is_some_and(|end| *end <= next)
        {
            ends.remove(&element.partition());
        }
    }
    Ok(())
}

fn fatal(topic: &str, error: &dyn std::fmt::Display) -> SourceError {
    SourceError::Fatal(format!("topic `{topic}` cannot be read: {error}"))
}
