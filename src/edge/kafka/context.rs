//! librdkafka's callbacks. All of them run on the poll thread, inside `poll()`.
//!
//! A revoke waits for the batch that the loop holds, so that its last commit goes out while the partition is still
//! ours; the wait is bounded, and after it the store's word counts: whoever reads the partition next starts from the
//! committed offset and may see the same records again.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;

use super::fault::{self, Meaning};
use super::handoff::{Handoff, Key};
use super::place;
use super::status::{Brokers, read_statistics};

/// What librdkafka logs a commit under that a broker refused.
const COMMIT_FAILED: &str = "COMMITFAIL";

pub(super) struct Context {
    pub(super) handoff: Arc<Handoff>,
    pub(super) revoke_wait_max: Duration,
    /// Where to begin in a partition without any place; `None` leaves that to be an error.
    pub(super) first_start: Option<Offset>,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // rdkafka 0.39 asks for commit events but sets no callback, without which librdkafka 2.12 makes none for a commit
        // that nobody waits for: it logs the failure instead, and that line is all there is to count.
        if facility == COMMIT_FAILED {
            self.handoff.count(|status| status.n_commit_errors += 1);
        }
        log(level, facility, message);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        read_statistics(statistics, &self.handoff);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            self.handoff.set_brokers(Brokers::Down);
        }
        let (kind, meaning) = fault::read(&error);
        if meaning != Meaning::Nothing {
            tracing::warn!(%error, reason, "kafka reports an error");
            self.handoff.count(|status| {
                *status.n_errors.entry(kind).or_default() += 1;
                status.last_error = Some(format!("{error}: {reason}"));
            });
        }
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, event: RDKafkaRespErr, partitions: &mut TopicPartitionList) {
        let applied = match event {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.assign(consumer, partitions),
            _ => self.revoke(consumer, partitions),
        };
        if let Err(error) = applied {
            tracing::error!(%error, "a rebalance could not be applied");
            self.handoff.count(|status| status.last_error = Some(error.to_string()));
        }
    }
}

impl Context {
    /// New partitions come paused: the poll thread first asks whether they are all there are.
    fn assign(&self, consumer: &BaseConsumer<Self>, partitions: &mut TopicPartitionList) -> KafkaResult<()> {
        let starts = self.handoff.assigned(keys(partitions));
        let placeless: Vec<&Key> = starts.iter().filter(|(_, next)| next.is_none()).map(|(key, _)| key).collect();
        // When the brokers do not answer, librdkafka asks again by itself; only who begins where is then an error first.
        let committed = place::committed(consumer, &placeless);
        for (key, next) in &starts {
            let start = match (next, &committed) {
                (Some(next), _) => Some(Offset::Offset(*next)),
                (None, Ok(committed)) => place::offset_in(committed, key)
                    .inspect(|next| self.handoff.moved(key, *next))
                    .map_or(self.first_start, |next| Some(Offset::Offset(next))),
                (None, Err(_)) => None,
            };
            if let Some(start) = start {
                partitions.set_partition_offset(&key.0, key.1, start)?;
            }
        }
        tracing::info!(n_partitions = starts.len(), "partitions assigned");
        match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_assign(partitions)?,
            _ => consumer.assign(partitions)?,
        }
        consumer.pause(partitions)
    }

    fn revoke(&self, consumer: &BaseConsumer<Self>, partitions: &TopicPartitionList) -> KafkaResult<()> {
        let lost = consumer.assignment_lost();
        if !lost {
            if !self.handoff.await_decided(self.revoke_wait_max) {
                tracing::warn!("partitions are given up before their last batch was decided");
            }
            commit_decided(consumer, &self.handoff);
        }
        let revoked = keys(partitions);
        self.handoff.revoked(&revoked);
        tracing::info!(n_partitions = revoked.len(), lost, "partitions revoked");
        match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_unassign(partitions),
            _ => consumer.unassign(),
        }
    }
}

/// Commits what the loop has decided of the partitions that are ours, without waiting: a refusal comes as a log line.
pub(super) fn commit_decided(consumer: &BaseConsumer<Context>, handoff: &Handoff) {
    let mut offsets = TopicPartitionList::new();
    for ((topic, partition), next) in handoff.committable() {
        // An offset below zero cannot be told to Kafka; a checkpoint never holds one that Kafka gave us.
        if offsets.add_partition_offset(&topic, partition, Offset::Offset(next)).is_err() {
            handoff.count(|status| status.n_commit_errors += 1);
        }
    }
    if offsets.count() == 0 {
        return;
    }
    if let Err(error) = consumer.commit(&offsets, CommitMode::Async) {
        tracing::warn!(%error, "offsets were not committed; the store still has them");
        handoff.count(|status| status.n_commit_errors += 1);
    }
}

fn keys(partitions: &TopicPartitionList) -> Vec<Key> {
    partitions.elements().iter().map(|element| (element.topic().to_owned(), element.partition())).collect()
}

/// librdkafka's log lines as ours.
pub(super) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
            tracing::error!(facility, message, "librdkafka");
        }
        RDKafkaLogLevel::Warning => tracing::warn!(facility, message, "librdkafka"),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => tracing::info!(facility, message, "librdkafka"),
        RDKafkaLogLevel::Debug => tracing::debug!(facility, message, "librdkafka"),
    }
}
