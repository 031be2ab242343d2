//! Alone in the group, or on hold.
//!
//! panicsift clusters what it sees, so an instance that sees half a topic makes half clusters, and two instances make
//! two truths. Hence the rule: records are handed out only while **every** partition of the topics is ours. Whatever
//! else is the case is said in words (readiness, log, metric), and nothing is read until it is over. Two instances on one
//! group both hold; when one of them leaves, the other one has all partitions again and goes on from its own checkpoint.
//!
//! Here is the judgement and the questions to the brokers behind it; [`super::handoff`] holds the records back. Asked
//! after each rebalance, and again every few seconds while on hold; a question takes milliseconds, at worst
//! [`ASK_WAIT_MAX`] a topic.

use std::collections::BTreeSet;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::groups::GroupInfo;
use rdkafka::metadata::MetadataPartition;

use super::context::Context;
use super::handoff::Key;
use crate::pipeline::neutral;

/// How long a question to a broker may take.
pub(super) const ASK_WAIT_MAX: Duration = Duration::from_secs(5);
/// Members of the group that are told by name.
const MEMBERS_TOLD_MAX: usize = 4;

/// How many partitions are ours, and why that is not enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Share {
    /// Partitions of all topics.
    pub(super) n_partitions: usize,
    /// Why nothing is read; `None` when all are ours.
    pub(super) hold: Option<String>,
}

/// Asks how many partitions the topics have, and holds that against what is ours. An error says what could not be asked.
pub(super) fn share(
    consumer: &BaseConsumer<Context>,
    topics: &[String],
    group: &str,
    ours: &BTreeSet<Key>,
) -> Result<Share, String> {
    let mut all = BTreeSet::new();
    for topic in topics {
        let metadata = consumer
            .fetch_metadata(Some(topic), ASK_WAIT_MAX)
            .map_err(|error| format!("the partitions of topic {topic} cannot be asked for: {error}"))?;
        let found = metadata.topics().iter().filter(|found| found.name() == topic);
        let partitions = found.flat_map(|found| found.partitions().iter().map(MetadataPartition::id));
        all.extend(partitions.map(|partition| (topic.clone(), partition)));
    }
    let n_missing = all.difference(ours).count();
    let hold = (n_missing > 0).then(|| words(ours.len(), all.len(), group, &members(consumer, group)));
    Ok(Share { n_partitions: all.len(), hold })
}

/// The members of the group as (client, host). Empty where the brokers do not tell: groups of the new protocol
/// (KIP-848) are not described by the call that librdkafka has for it.
fn members(consumer: &BaseConsumer<Context>, group: &str) -> Vec<(String, String)> {
    let Ok(list) = consumer.fetch_group_list(Some(group), ASK_WAIT_MAX) else {
        return Vec::new();
    };
    let found = list.groups().iter().filter(|found| found.name() == group).flat_map(GroupInfo::members);
    found.map(|member| (member.client_id().to_owned(), member.client_host().to_owned())).collect()
}

fn words(n_ours: usize, n_all: usize, group: &str, members: &[(String, String)]) -> String {
    let mut said = format!("{n_ours} of {n_all} partitions are ours: the group {group} has another member");
    if members.len() > 1 {
        // A client may call itself anything.
        let told = members.iter().take(MEMBERS_TOLD_MAX);
        let told: Vec<String> =
            told.map(|(client, host)| neutral::line(&format!("{client} at {host}"), 100).into_owned()).collect();
        let more = if members.len() > MEMBERS_TOLD_MAX { ", …" } else { "" };
        said = format!("{said} ({} in all: {}{more})", members.len(), told.join(", "));
    }
    said + "; nothing is read until all are ours: stop the other one, or give it a group of its own"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(members: &[(&str, &str)], expected: &str) {
        let members: Vec<_> = members.iter().map(|(client, host)| ((*client).into(), (*host).into())).collect();
        let said = words(2, 4, "g", &members);
        let end = "; nothing is read until all are ours: stop the other one, or give it a group of its own";
        assert_eq!(said, format!("2 of 4 partitions are ours: the group g has another member{expected}{end}"));
    }

    #[test]
    fn the_hold_names_the_members_where_they_are_known() {
        check(&[], "");
        check(&[("panicsift", "/10.0.0.1")], "");
        let two = [("panicsift", "/10.0.0.1"), ("rdkafka", "/10.0.0.2")];
        check(&two, " (2 in all: panicsift at /10.0.0.1, rdkafka at /10.0.0.2)");
    }

    #[test]
    fn a_group_of_many_and_a_member_with_a_hostile_name_stay_one_short_line() {
        let name = "x\n\u{1b}[31m".repeat(5_000);
        let many: Vec<_> = (0..1_000).map(|_| (name.clone(), "h".to_owned())).collect();
        let said = words(2, 4, "g", &many);
        assert!(said.len() < 1_000 && !said.contains(['\n', '\u{1b}']), "{said}");
        assert!(said.contains("1000 in all") && said.contains(", …"), "{said}");
    }
}
