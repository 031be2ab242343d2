//! Places that are gone: what librdkafka cannot read on from, held against what the topic still has.
//!
//! librdkafka is told to reset nothing by itself, so each such place comes as an error; here it gets a name and numbers:
//! records deleted before they were read (the checkpoint is older than the log's start), a partition made anew (the
//! checkpoint is beyond the log's end), or no place at all (a first start). The settings decide: stop with the counts,
//! or go on at the oldest record that is there and tell the loop, which writes the jump into the store before anything
//! that comes after it.
//!
//! Pure but for [`look`], which asks a broker once for each partition, some milliseconds each.

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::context::Context;
use super::handoff::{End, Handoff, Key};
use super::solo::ASK_WAIT_MAX;
use super::{OffsetReset, OnGap};
use crate::edge::Gap;

/// What is wrong with a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// There is neither a checkpoint nor a committed offset.
    NoPlace { low: i64, high: i64 },
    /// The oldest record that is left comes later.
    Deleted { next: i64, low: i64 },
    /// The topic ends before: it was made anew, or cut off.
    Beyond { next: i64, low: i64, high: i64 },
}

/// What is wrong with a partition that is read from `next` on and holds `low` up to before `high`.
fn trouble(next: Option<i64>, low: i64, high: i64) -> Option<Trouble> {
    match next {
        None => Some(Trouble::NoPlace { low, high }),
        Some(next) if next < low => Some(Trouble::Deleted { next, low }),
        Some(next) if high < next => Some(Trouble::Beyond { next, low, high }),
        Some(_) => None,
    }
}

/// Looks at all partitions that are ours; an error means that a broker did not answer, so that nothing is known.
pub(super) fn look(consumer: &BaseConsumer<Context>, handoff: &Handoff) -> Result<Vec<(Key, Trouble)>, KafkaError> {
    let owned = handoff.owned();
    let placeless: Vec<&Key> = owned.iter().filter(|(_, it)| it.next.is_none()).map(|(key, _)| key).collect();
    let committed = committed(consumer, &placeless)?;
    let mut found = Vec::new();
    for (key, it) in &owned {
        let (low, high) = consumer.fetch_watermarks(&key.0, key.1, ASK_WAIT_MAX)?;
        let next = it.next.or_else(|| offset_in(&committed, key));
        found.extend(trouble(next, low, high).map(|trouble| (key.clone(), trouble)));
    }
    Ok(found)
}

/// The group's offsets of partitions; those that have none are not in the answer.
pub(super) fn committed(
    consumer: &BaseConsumer<Context>,
    partitions: &[&Key],
) -> Result<TopicPartitionList, KafkaError> {
    let mut asked = TopicPartitionList::new();
    for (topic, partition) in partitions {
        asked.add_partition(topic, *partition);
    }
    if asked.count() == 0 {
        return Ok(asked);
    }
    consumer.committed_offsets(asked, ASK_WAIT_MAX)
}

/// The offset of a partition in a list, if it is a plain one.
pub(super) fn offset_in(list: &TopicPartitionList, (topic, partition): &Key) -> Option<i64> {
    match list.find_partition(topic, *partition)?.offset() {
        Offset::Offset(next) => Some(next),
        _ => None,
    }
}

/// Where a partition is to be read from now on, and what the loop must be told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Jump {
    pub(super) key: Key,
    pub(super) to: i64,
    pub(super) gap: Option<Gap>,
}

/// What the settings say to do: a jump for each partition in trouble, or the end with all that is to be said.
pub(super) fn decide(found: &[(Key, Trouble)], reset: OffsetReset, on_gap: OnGap) -> Result<Vec<Jump>, End> {
    let placeless = found.iter().find(|(_, trouble)| matches!(trouble, Trouble::NoPlace { .. }));
    if let (Some(((topic, partition), _)), OffsetReset::Error) = (placeless, reset) {
        return Err(End::Fatal(format!(
            "{topic}[{partition}] has neither a checkpoint nor a committed offset: for the first start set \
             `offset_reset` to `earliest` or `latest`"
        )));
    }
    let jumps: Vec<Jump> = found.iter().map(|(key, trouble)| jump(key, trouble, reset)).collect();
    let mut said: Vec<String> = jumps.iter().filter_map(|jump| jump.gap.as_ref()).map(ToString::to_string).collect();
    if said.is_empty() || on_gap == OnGap::Continue {
        return Ok(jumps);
    }
    said.push("to go on without them set `source.on_gap` to `continue`; lengthen the topic's retention".to_owned());
    Err(End::Gone(said.join("; ")))
}

fn jump((topic, partition): &Key, trouble: &Trouble, reset: OffsetReset) -> Jump {
    let gap = |from, to, end| Some(Gap { topic: topic.clone(), partition: *partition, from, to, end });
    let (to, gap) = match *trouble {
        Trouble::NoPlace { high, .. } if reset == OffsetReset::Latest => (high, None),
        Trouble::NoPlace { low, .. } => (low, None),
        Trouble::Deleted { next, low } => (low, gap(next, low, None)),
        Trouble::Beyond { next, low, high } => (low, gap(next, low, Some(high))),
    };
    Jump { key: (topic.clone(), *partition), to, gap }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(next: Option<i64>, low: i64, high: i64, expected: Option<&Trouble>) {
        assert_eq!(trouble(next, low, high).as_ref(), expected);
    }

    #[test]
    fn a_place_is_good_from_the_oldest_record_to_the_one_that_is_still_to_come() {
        check(Some(30), 30, 70, None);
        check(Some(70), 30, 70, None);
        check(Some(0), 0, 0, None);
        check(Some(29), 30, 70, Some(&Trouble::Deleted { next: 29, low: 30 }));
        check(Some(71), 30, 70, Some(&Trouble::Beyond { next: 71, low: 30, high: 70 }));
        check(Some(1), 0, 0, Some(&Trouble::Beyond { next: 1, low: 0, high: 0 }));
        check(None, 30, 70, Some(&Trouble::NoPlace { low: 30, high: 70 }));
    }

    fn found() -> Vec<(Key, Trouble)> {
        vec![
            (("t".to_owned(), 0), Trouble::Deleted { next: 30, low: 70 }),
            (("t".to_owned(), 2), Trouble::Beyond { next: 5_000, low: 3, high: 100 }),
        ]
    }

    #[test]
    fn to_stop_is_to_say_what_is_gone_of_every_partition_and_what_to_do() {
        let Err(End::Gone(said)) = decide(&found(), OffsetReset::Earliest, OnGap::Stop) else { panic!() };
        assert!(said.contains("t[0]: 40 records, offsets 30 to 69, were deleted before they were read"), "{said}");
        assert!(said.contains("t[2]: we stand at 5000 but the topic ends at 100"), "{said}");
        assert!(said.contains("`source.on_gap`"), "{said}");
    }

    #[test]
    fn to_go_on_is_to_jump_to_the_oldest_record_and_tell_it() {
        let jumps = decide(&found(), OffsetReset::Error, OnGap::Continue).ok().unwrap();
        let told: Vec<_> = jumps.iter().map(|it| (it.to, it.gap.as_ref().map(|gap| (gap.from, gap.to)))).collect();
        assert_eq!(told, [(70, Some((30, 70))), (3, Some((5_000, 3)))]);
        assert_eq!(jumps[0].gap.as_ref().map(Gap::n_records), Some(40));
        assert_eq!(jumps[1].gap.as_ref().map(Gap::n_records), Some(0));
    }

    #[test]
    fn a_first_start_begins_where_it_is_told_to_and_loses_nothing_by_it() {
        let found = [(("t".to_owned(), 1), Trouble::NoPlace { low: 4, high: 9 })];
        for (reset, expected) in [(OffsetReset::Earliest, 4), (OffsetReset::Latest, 9)] {
            let jumps = decide(&found, reset, OnGap::Stop).ok().unwrap();
            assert_eq!(jumps, [Jump { key: ("t".to_owned(), 1), to: expected, gap: None }]);
        }
        let Err(End::Fatal(said)) = decide(&found, OffsetReset::Error, OnGap::Continue) else { panic!() };
        assert!(said.contains("t[1]") && said.contains("`offset_reset`"), "{said}");
    }

    #[test]
    fn without_trouble_nothing_is_to_be_done() {
        assert_eq!(decide(&[], OffsetReset::Error, OnGap::Stop).ok().unwrap(), []);
    }
}
