//! How the source is: for metrics and readiness. A snapshot, taken without asking a broker.
//!
//! High watermarks and broker states come from librdkafka's statistics, every 2 s; the rest is our own bookkeeping.

use std::collections::{BTreeMap, HashMap, HashSet};
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
    /// As of the last statistics nobody leads it, or its leader cannot be reached: nothing can be read from it.
    pub leader_lost: bool,
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
    brokers: HashMap<String, BrokerStatistics>,
    #[serde(default)]
    topics: HashMap<String, TopicStatistics>,
}

#[derive(Deserialize)]
struct BrokerStatistics {
    nodeid: i32,
    state: String,
}

impl BrokerStatistics {
    /// A connection is sought and not had. One that nobody needed for a while is closed without being sought (`INIT`).
    fn is_lost(&self) -> bool {
        matches!(self.state.as_str(), "DOWN" | "TRY_CONNECT" | "CONNECT")
    }
}

#[derive(Deserialize)]
struct TopicStatistics {
    partitions: HashMap<String, PartitionStatistics>,
}

#[derive(Deserialize)]
struct PartitionStatistics {
    partition: i32,
    leader: i32,
    hi_offset: i64,
}

/// Takes what is needed out of a statistics document; one that cannot be read changes nothing.
pub(super) fn read_statistics(document: &[u8], handoff: &Handoff) {
    let Ok(statistics) = serde_json::from_slice::<Statistics>(document) else {
        return;
    };
    let is_up = statistics.brokers.values().any(|broker| broker.state == "UP");
    handoff.set_brokers(if is_up { Brokers::Up } else { Brokers::Down });
    let lost: HashSet<i32> = statistics.brokers.values().filter(|it| it.is_lost()).map(|it| it.nodeid).collect();
    for (topic, TopicStatistics { partitions }) in statistics.topics {
        for PartitionStatistics { partition, leader, hi_offset } in partitions.into_values() {
            let leader_lost = leader < 0 || lost.contains(&leader);
            handoff.measured(&(topic.clone(), partition), (0 <= hi_offset).then_some(hi_offset), leader_lost);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::handoff::Key;
    use super::*;
    use crate::pipeline::event::Checkpoint;

    fn check(next_read: Option<i64>, next_decided: Option<i64>, high_watermark: Option<i64>, lag: Option<u64>) {
        let partition = PartitionStatus {
            topic: "t".into(),
            partition: 0,
            next_read,
            next_decided,
            high_watermark,
            leader_lost: false,
        };
        assert_eq!(partition.lag(), lag);
    }

    /// Statistics of three brokers, one of which is lost and one unused, and of partitions led by each and by nobody.
    #[test]
    fn a_partition_whose_leader_is_lost_is_told_apart() {
        let handoff = Handoff::new(Checkpoint::default());
        let keys: Vec<Key> = (0..4).map(|partition| ("t".to_owned(), partition)).collect();
        handoff.assigned(keys);
        let document = r#"{"brokers": {
            "a:1/1": {"nodeid": 1, "state": "UP"},
            "b:1/2": {"nodeid": 2, "state": "TRY_CONNECT"},
            "c:1/3": {"nodeid": 3, "state": "INIT"}
        }, "topics": {"t": {"partitions": {
            "0": {"partition": 0, "leader": 1, "hi_offset": 7},
            "1": {"partition": 1, "leader": 2, "hi_offset": 7},
            "2": {"partition": 2, "leader": 3, "hi_offset": 7},
            "3": {"partition": 3, "leader": -1, "hi_offset": -1001},
            "-1": {"partition": -1, "leader": -1, "hi_offset": -1001}
        }}}}"#;
        read_statistics(document.as_bytes(), &handoff);
        let status = handoff.status();
        assert_eq!(status.brokers, Brokers::Up);
        let lost: Vec<bool> = status.partitions.iter().map(|partition| partition.leader_lost).collect();
        assert_eq!(lost, [false, true, false, true]);
        let high: Vec<Option<i64>> = status.partitions.iter().map(|partition| partition.high_watermark).collect();
        assert_eq!(high, [Some(7), Some(7), Some(7), None]);
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
