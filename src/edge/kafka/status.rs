//! How the source is: for metrics and readiness. A snapshot, taken without asking a broker.
//!
//! High watermarks and broker states come from librdkafka's statistics, every 2 s; the rest is our own bookkeeping.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

pub use super::fault::Kind;
use super::handoff::Handoff;

/// Whether any broker answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Brokers {
    /// Not known yet.
    #[default]
    Unknown,
    /// At least one connection stands.
    Up,
    /// None does; librdkafka goes on trying.
    Down,
}

/// A partition that is assigned to us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionStatus {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset that will be read next; `None` until the first record when there was no checkpoint.
    pub next_read: Option<i64>,
    /// Offset from which on nothing is decided yet; `None` when nothing is.
    pub next_decided: Option<i64>,
    /// Offset of the next record to be written, as of the last statistics (up to 2 s old).
    pub high_watermark: Option<i64>,
}

impl PartitionStatus {
    /// Records not decided yet; `None` while it is not known.
    pub fn lag(&self) -> Option<u64> {
        let at = self.next_decided.or(self.next_read)?;
        u64::try_from(self.high_watermark?.saturating_sub(at)).ok().or(Some(0))
    }
}

/// The source at a moment.
#[derive(Debug, Clone, Default)]
pub struct SourceStatus {
    /// Partitions that are ours, in order.
    pub partitions: Vec<PartitionStatus>,
    /// Partitions that the topics have, as of the last rebalance; `None` while it is not known.
    pub n_partitions: Option<usize>,
    /// Why nothing is read although partitions are ours: not all of them are.
    pub hold: Option<String>,
    /// Whether brokers answer.
    pub brokers: Brokers,
    /// Time since the poll thread last polled: seconds mean that it hangs.
    pub last_poll_age: Duration,
    /// Partitions are paused because the loop is slower than the topic.
    pub paused: bool,
    /// Records queued for the loop so far.
    pub n_records: u64,
    /// Bytes of these.
    pub n_bytes: u64,
    /// Assignments and revocations so far.
    pub n_rebalances: u64,
    /// Records that were read and not handed out because their partition was taken away.
    pub n_revoked_records: u64,
    /// Offsets between the place we stood at and the next record: deleted before they were read (with `offset_reset`
    /// other than `error`), compacted, or marks of transactions.
    pub n_skipped_offsets: u64,
    /// Offset commits that a broker refused. Not fatal: the store is the truth.
    pub n_commit_errors: u64,
    /// Errors so far, by what they were about.
    pub n_errors: BTreeMap<Kind, u64>,
    /// Last thing that librdkafka complained of.
    pub last_error: Option<String>,
}

/// The part of librdkafka's statistics that is read (STATISTICS.md).
#[derive(Deserialize)]
struct Statistics {
    #[serde(default)]
    brokers: std::collections::HashMap<String, BrokerStatistics>,
    #[serde(default)]
    topics: std::collections::HashMap<String, TopicStatistics>,
}

#[derive(Deserialize)]
struct BrokerStatistics {
    state: String,
}

#[derive(Deserialize)]
struct TopicStatistics {
    partitions: std::collections::HashMap<String, PartitionStatistics>,
}

#[derive(Deserialize)]
struct PartitionStatistics {
    partition: i32,
    hi_offset: i64,
}

/// Takes what is needed out of a statistics document; one that cannot be read changes nothing.
pub(super) fn read_statistics(document: &[u8], handoff: &Handoff) {
    let Ok(statistics) = serde_json::from_slice::<Statistics>(document) else {
        return;
    };
    let is_up = statistics.brokers.values().any(|broker| broker.state == "UP");
    handoff.set_brokers(if is_up { Brokers::Up } else { Brokers::Down });
    for (topic, TopicStatistics { partitions }) in statistics.topics {
        for partition in partitions.into_values().filter(|partition| 0 <= partition.hi_offset) {
            handoff.set_high_watermark(&(topic.clone(), partition.partition), partition.hi_offset);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(next_read: Option<i64>, next_decided: Option<i64>, high_watermark: Option<i64>, lag: Option<u64>) {
        let partition = PartitionStatus { topic: "t".into(), partition: 0, next_read, next_decided, high_watermark };
        assert_eq!(partition.lag(), lag);
    }

    #[test]
    fn lag_counts_from_what_is_decided_and_is_never_negative() {
        check(Some(20), Some(10), Some(30), Some(20));
        check(Some(20), None, Some(30), Some(10));
        check(None, None, Some(30), None);
        check(Some(20), Some(10), None, None);
        check(Some(40), Some(40), Some(30), Some(0));
    }
}
