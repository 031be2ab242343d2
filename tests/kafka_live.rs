//! The Kafka edge against a real Apache Kafka, when `PANICSIFT_TEST_KAFKA=host:port` names one (one broker, topics may
//! be made; `tests/servers/kafka.sh start DIR` gives one).

use std::time::Duration;

use panicsift::edge::kafka::ProducerSettings;
use panicsift::edge::kafka::produce::{AlertRecord, KafkaAlerts, KafkaDeadLetters, ProduceError};
use panicsift::edge::{DeadLetters, SourceError};
use panicsift::pipeline::event::{Checkpoint, Position, RawRecord, Reason, Rejection};

use crate::support::kafka::{
    PATIENCE, Reader, assert_exactly_once, commit_for, committed, create_topic, delete_records, produce,
    quick_settings, read_back, unique,
};
use crate::support::servers::{Kind, Server, live_address, may_start_servers};

/// The broker, or a return from the test with a loud line.
macro_rules! broker_or_skip {
    ($test:literal) => {
        match live_address("PANICSIFT_TEST_KAFKA", $test) {
            Some(address) => address,
            None => return,
        }
    };
}

fn values(n_values: usize) -> Vec<Vec<u8>> {
    (0..n_values).map(|n| format!("{{\"n\":{n}}}").into_bytes()).collect()
}

async fn topic_with(brokers: &str, n_partitions: i32, n_records: usize) -> (String, String) {
    let (topic, group) = (unique("events"), unique("readers"));
    create_topic(brokers, &topic, n_partitions, &[]).await;
    produce(brokers, &topic, n_partitions, &values(n_records)).await;
    (topic, group)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_record_is_read_once_across_stop_and_start() {
    let brokers = broker_or_skip!("each_record_is_read_once_across_stop_and_start");
    let (topic, group) = topic_with(&brokers, 2, 3_000).await;
    let settings = quick_settings(&brokers, &topic, &group);
    let mut checkpoint = Checkpoint::default();
    let mut all_seen = Vec::new();
    for until in [700, 1_900, 3_000] {
        let mut reader = Reader::start(&settings, checkpoint);
        let before: usize = all_seen.iter().map(std::collections::BTreeMap::len).sum();
        reader.turn_until(|reader| until <= before + reader.seen.len()).await;
        let seen;
        (checkpoint, seen) = reader.close().await;
        all_seen.push(seen);
    }
    assert_exactly_once(&all_seen, 2, 3_000);
    assert_eq!(committed(&brokers, &group, &topic, 2), [Some(1_500), Some(1_500)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_member_holds_both_and_its_leaving_lets_the_first_go_on() {
    let brokers = broker_or_skip!("a_second_member_holds_both_and_its_leaving_lets_the_first_go_on");
    second_member(&brokers, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_member_of_a_group_of_the_new_protocol_holds_both() {
    let brokers = broker_or_skip!("a_second_member_of_a_group_of_the_new_protocol_holds_both");
    second_member(&brokers, &[("group.protocol", "consumer")]).await;
}

async fn second_member(brokers: &str, properties: &[(&str, &str)]) {
    let (topic, group) = topic_with(brokers, 4, 2_000).await;
    let mut settings = quick_settings(brokers, &topic, &group);
    for (key, value) in properties {
        settings.properties.remove("session.timeout.ms");
        settings.properties.remove("heartbeat.interval.ms");
        settings.properties.insert((*key).to_owned(), (*value).to_owned());
    }
    let is_held = |reader: &Reader| {
        let status = reader.source.status();
        let said = format!("2 of 4 partitions are ours: the group {group} has another member");
        status.partitions.len() == 2 && status.hold.is_some_and(|hold| hold.starts_with(&said))
    };

    let mut first = Reader::start(&settings, Checkpoint::default());
    first.turn_until(|reader| 500 <= reader.seen.len()).await;
    let mut second = Reader::start(&settings, Checkpoint::default());
    let both_hold = async {
        while !is_held(&first) || !is_held(&second) {
            first.turn().await.unwrap();
            second.turn().await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, both_hold).await.unwrap();
    produce(brokers, &topic, 4, &values(2_000)).await;
    let (n_first, offsets) = (first.seen.len(), committed(brokers, &group, &topic, 4));
    for _ in 0..15 {
        assert_eq!((first.turn().await.unwrap(), second.turn().await.unwrap()), (Some(0), Some(0)), "nothing is read");
    }
    assert_eq!(first.seen.len(), n_first);
    assert_eq!(committed(brokers, &group, &topic, 4), offsets, "nothing is committed");
    let (_, second_seen) = second.close().await;
    assert!(second_seen.is_empty(), "the second one never had all partitions: {second_seen:?}");

    first.turn_until(|reader| 4_000 <= reader.seen.len()).await;
    let status = first.source.status();
    assert_eq!((status.hold, status.n_partitions), (None, Some(4)));
    let (_, first_seen) = first.close().await;
    assert_exactly_once([&first_seen], 4, 4_000);
}

/// Away and back: while the first one was gone another one read on, with a store of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_comes_back_reads_on_from_its_own_checkpoint_and_not_from_the_offsets_of_the_other() {
    let brokers =
        broker_or_skip!("whoever_comes_back_reads_on_from_its_own_checkpoint_and_not_from_the_offsets_of_the_other");
    let (topic, group) = topic_with(&brokers, 2, 300).await;
    let settings = quick_settings(&brokers, &topic, &group);
    let mut first = Reader::start(&settings, Checkpoint::default());
    first.turn_until(|reader| 300 <= reader.seen.len()).await;
    let (checkpoint, first_seen) = first.close().await;
    produce(&brokers, &topic, 2, &values(200)).await;
    let mut other = Reader::start(&settings, Checkpoint::default());
    other.turn_until(|reader| 200 <= reader.seen.len()).await;
    other.close().await;
    assert_eq!(committed(&brokers, &group, &topic, 2), [Some(250), Some(250)]);

    let mut again = Reader::start(&settings, checkpoint);
    again.turn_until(|reader| 200 <= reader.seen.len()).await;
    let (_, again_seen) = again.close().await;
    assert_exactly_once([&first_seen, &again_seen], 2, 500);
}

/// Joining anew is a cure that must cost nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_is_joined_anew_in_the_middle_loses_and_repeats_nothing() {
    let brokers = broker_or_skip!("a_group_that_is_joined_anew_in_the_middle_loses_and_repeats_nothing");
    let (topic, group) = topic_with(&brokers, 2, 2_000).await;
    let mut reader = Reader::start(&quick_settings(&brokers, &topic, &group), Checkpoint::default());
    for until in [300, 900] {
        reader.turn_until(|reader| until <= reader.seen.len()).await;
        let before = reader.source.status().n_rebalances;
        reader.source.watch().reassign();
        reader.turn_until(|reader| before + 2 <= reader.source.status().n_rebalances).await;
    }
    reader.turn_until(|reader| 2_000 <= reader.seen.len()).await;
    let (_, seen) = reader.close().await;
    assert_exactly_once([&seen], 2, 2_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_checkpoint_wins_over_the_offsets_of_the_group() {
    let brokers = broker_or_skip!("the_checkpoint_wins_over_the_offsets_of_the_group");
    let (topic, group) = topic_with(&brokers, 2, 200).await;
    commit_for(&brokers, &group, &topic, 0, 90);
    commit_for(&brokers, &group, &topic, 1, 60);
    let mut checkpoint = Checkpoint::default();
    checkpoint.set(&topic, 0, 40);
    let mut reader = Reader::start(&quick_settings(&brokers, &topic, &group), checkpoint);
    reader.turn_until(|reader| 100 <= reader.seen.len()).await;
    // Partition 0 from the checkpoint, partition 1 from the group's offset.
    let expected: Vec<(i32, i64)> = (40..100).map(|o| (0, o)).chain((60..100).map(|o| (1, o))).collect();
    let (_, seen) = reader.close().await;
    assert_eq!(seen.keys().copied().collect::<Vec<_>>(), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_is_not_there_is_an_error_that_names_it_but_not_at_once() {
    let brokers = broker_or_skip!("a_topic_that_is_not_there_is_an_error_that_names_it_but_not_at_once");
    let topic = unique("missing");
    for protocol in ["classic", "consumer"] {
        let mut settings = quick_settings(&brokers, &topic, &unique("readers"));
        settings.topic_grace = Duration::from_secs(2);
        if protocol == "consumer" {
            settings
                .properties
                .retain(|key, _| !["session.timeout.ms", "heartbeat.interval.ms"].contains(&key.as_str()));
        }
        settings.properties.insert("group.protocol".into(), protocol.into());
        let mut reader = Reader::start(&settings, Checkpoint::default());
        assert_eq!(reader.turn().await.unwrap(), Some(0), "idle within the grace");
        let error = reader.error().await;
        assert!(
            matches!(&error, SourceError::Fatal(why) if why.contains(&topic) && why.contains("create it")),
            "{error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_made_within_the_grace_is_read() {
    let brokers = broker_or_skip!("a_topic_made_within_the_grace_is_read");
    let (topic, group) = (unique("late"), unique("readers"));
    let mut reader = Reader::start(&quick_settings(&brokers, &topic, &group), Checkpoint::default());
    for _ in 0..10 {
        assert_eq!(reader.turn().await.unwrap(), Some(0));
    }
    create_topic(&brokers, &topic, 2, &[]).await;
    produce(&brokers, &topic, 2, &values(50)).await;
    reader.turn_until(|reader| 50 <= reader.seen.len()).await;
    let (_, seen) = reader.close().await;
    assert_exactly_once([&seen], 2, 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_deleted_before_they_were_read_are_an_error_with_their_number() {
    let brokers = broker_or_skip!("records_deleted_before_they_were_read_are_an_error_with_their_number");
    let (topic, group) = topic_with(&brokers, 2, 200).await;
    delete_records(&brokers, &topic, 1, 70).await;
    let mut settings = quick_settings(&brokers, &topic, &group);
    settings.offset_reset = panicsift::edge::kafka::OffsetReset::Error;
    let mut checkpoint = Checkpoint::default();
    checkpoint.set(&topic, 0, 0);
    checkpoint.set(&topic, 1, 30);
    let error = Reader::start(&settings, checkpoint.clone()).error().await;
    let said = format!("{topic}[1]: 40 records, offsets 30 to 69,");
    assert!(matches!(&error, SourceError::Gone(why) if why.contains(&said)), "{error}");

    checkpoint.set(&topic, 1, 5_000);
    let error = Reader::start(&settings, checkpoint).error().await;
    assert!(matches!(&error, SourceError::Gone(why) if why.contains("5000") && why.contains("ends at 100")), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_is_to_go_on_jumps_over_what_is_gone_and_tells_it() {
    let brokers = broker_or_skip!("a_source_that_is_to_go_on_jumps_over_what_is_gone_and_tells_it");
    let (topic, group) = topic_with(&brokers, 3, 300).await;
    delete_records(&brokers, &topic, 0, 40).await;
    delete_records(&brokers, &topic, 1, 70).await;
    let mut settings = quick_settings(&brokers, &topic, &group);
    settings.offset_reset = panicsift::edge::kafka::OffsetReset::Error;
    settings.on_gap = panicsift::edge::kafka::OnGap::Continue;
    let mut checkpoint = Checkpoint::default();
    // Two partitions were cut off before the checkpoint, the third one was made anew.
    for (partition, next) in [(0, 10), (1, 30), (2, 5_000)] {
        checkpoint.set(&topic, partition, next);
    }
    let mut reader = Reader::start(&settings, checkpoint);
    reader.turn_until(|reader| 190 <= reader.seen.len()).await;
    let mut told: Vec<_> = reader.gaps.iter().map(|gap| (gap.partition, gap.from, gap.to, gap.end)).collect();
    told.sort_unstable();
    assert_eq!(told, [(0, 10, 40, None), (1, 30, 70, None), (2, 5_000, 0, Some(100))]);
    // What comes later is read, too, and the offsets of the group follow.
    produce(&brokers, &topic, 3, &values(30)).await;
    reader.turn_until(|reader| 220 <= reader.seen.len()).await;
    let (checkpoint, seen) = reader.close().await;
    let expected = (40..110).map(|o| (0, o)).chain((70..110).map(|o| (1, o))).chain((0..110).map(|o| (2, o)));
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), expected.map(|position| (position, 1)).collect::<Vec<_>>());
    assert_eq!(checkpoint.next_offset(&topic, 2), Some(110));
    assert_eq!(committed(&brokers, &group, &topic, 3), [Some(110), Some(110), Some(110)]);
}

/// Retention takes records away while the loop is slower than the topic, behind its back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_are_deleted_while_others_wait_in_the_queue_cost_only_themselves() {
    let brokers = broker_or_skip!("records_that_are_deleted_while_others_wait_in_the_queue_cost_only_themselves");
    let (topic, group) = topic_with(&brokers, 1, 3_000).await;
    let mut settings = quick_settings(&brokers, &topic, &group);
    settings.on_gap = panicsift::edge::kafka::OnGap::Continue;
    let mut reader = Reader::start(&settings, Checkpoint::default());
    reader.turn_until(|reader| 100 <= reader.seen.len()).await;
    // The queue fills, the partition is paused, and what was fetched ahead is thrown away.
    while !reader.source.status().paused {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    delete_records(&brokers, &topic, 0, 2_000).await;
    reader.turn_until(|reader| reader.seen.contains_key(&(0, 2_999))).await;
    let gone: u64 = reader.gaps.iter().map(panicsift::edge::Gap::n_records).sum();
    let (_, seen) = reader.close().await;
    assert!(seen.values().all(|n| *n == 1));
    assert_eq!(u64::try_from(seen.len()).unwrap() + gone, 3_000, "each record was read or is told to be gone");
    assert!(gone > 1_000, "{gone}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_start_begins_where_the_settings_say() {
    let brokers = broker_or_skip!("a_first_start_begins_where_the_settings_say");
    let (topic, group) = topic_with(&brokers, 2, 100).await;
    let mut settings = quick_settings(&brokers, &topic, &group);
    settings.offset_reset = panicsift::edge::kafka::OffsetReset::Latest;
    let mut reader = Reader::start(&settings, Checkpoint::default());
    reader.turn_until(|reader| reader.source.status().partitions.iter().any(|p| p.high_watermark.is_some())).await;
    produce(&brokers, &topic, 2, &values(20)).await;
    reader.turn_until(|reader| 20 <= reader.seen.len()).await;
    let (_, seen) = reader.close().await;
    assert!(seen.keys().all(|(_, offset)| *offset >= 50), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_start_that_does_not_say_where_to_begin_is_told_what_to_set() {
    let brokers = broker_or_skip!("a_first_start_that_does_not_say_where_to_begin_is_told_what_to_set");
    let (topic, group) = topic_with(&brokers, 1, 10).await;
    let mut settings = quick_settings(&brokers, &topic, &group);
    settings.offset_reset = panicsift::edge::kafka::OffsetReset::Error;
    let error = Reader::start(&settings, Checkpoint::default()).error().await;
    assert!(matches!(&error, SourceError::Fatal(why) if why.contains("`offset_reset`")), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loop_that_is_slow_pauses_the_partitions_and_stays_in_the_group() {
    let brokers = broker_or_skip!("a_loop_that_is_slow_pauses_the_partitions_and_stays_in_the_group");
    let (topic, group) = topic_with(&brokers, 2, 2_000).await;
    let mut settings = quick_settings(&brokers, &topic, &group);
    // The member would be put out of the group after 6 s without a poll.
    settings.properties.insert("max.poll.interval.ms".into(), "6000".into());
    let mut reader = Reader::start(&settings, Checkpoint::default());
    reader.turn_until(|reader| 100 <= reader.seen.len()).await;
    tokio::time::sleep(Duration::from_secs(8)).await;
    let status = reader.source.status();
    assert!(status.paused && status.partitions.len() == 2, "{status:?}");
    assert!(status.last_poll_age < Duration::from_secs(2), "{status:?}");
    reader.turn_until(|reader| 2_000 <= reader.seen.len()).await;
    let status = reader.source.status();
    assert!(!status.paused && status.n_rebalances == 1, "{status:?}");
    let (_, seen) = reader.close().await;
    assert_exactly_once([&seen], 2, 2_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_status_knows_the_lag() {
    let brokers = broker_or_skip!("the_status_knows_the_lag");
    let (topic, group) = topic_with(&brokers, 2, 100).await;
    let mut reader = Reader::start(&quick_settings(&brokers, &topic, &group), Checkpoint::default());
    let is_caught_up = |reader: &Reader| {
        let partitions = reader.source.status().partitions;
        partitions.len() == 2 && partitions.iter().all(|p| p.high_watermark == Some(50) && p.lag() == Some(0))
    };
    reader.turn_until(is_caught_up).await;
    reader.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_and_alerts_are_durable_on_return_and_a_topic_too_small_is_named() {
    let brokers = broker_or_skip!("dead_letters_and_alerts_are_durable_on_return_and_a_topic_too_small_is_named");
    let topic = unique("dead");
    create_topic(&brokers, &topic, 1, &[("max.message.bytes", "20000")]).await;
    // The broker judges the compressed size.
    let mut settings = ProducerSettings::new(vec![brokers.clone()], topic.clone());
    settings.properties.insert("compression.type".into(), "none".into());
    let large = vec![b'x'; 40_000];
    let letter = |offset, payload| {
        let record = RawRecord {
            position: Position { topic: "in", partition: 0, offset },
            broker_time: None,
            headers: &[],
            payload,
        };
        Rejection { record, reason: Reason::TooLarge, detail: String::new() }
    };
    let mut letters = KafkaDeadLetters::start(&settings, |it| it.record.payload.to_vec())
        .unwrap()
        .or_without_bytes(|_| b"too large".to_vec());
    letters.write(&[letter(1, b"small")]).await.unwrap();
    letters.write(&[letter(2, &large)]).await.unwrap();
    let stored: Vec<_> = read_back(&brokers, &topic).into_iter().map(|it| (it.key, it.value)).collect();
    assert_eq!(stored, [("in-0-1".into(), b"small".to_vec()), ("in-0-2".into(), b"too large".to_vec())]);

    let mut alerts = KafkaAlerts::start(&settings).unwrap();
    let error = alerts.send(&[AlertRecord { key: "c", value: &large, headers: Vec::new() }]).await.unwrap_err();
    assert!(matches!(&error, ProduceError::TooLarge { n_bytes: 40_000, .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_killed_and_comes_back_costs_and_repeats_no_record() {
    if !may_start_servers("a_broker_that_is_killed_and_comes_back_costs_and_repeats_no_record") {
        return;
    }
    let server = Server::start(Kind::Kafka);
    let brokers = server.address.clone();
    let (topic, group) = topic_with(&brokers, 2, 1_000).await;
    let mut reader = Reader::start(&quick_settings(&brokers, &topic, &group), Checkpoint::default());
    reader.turn_until(|reader| 200 <= reader.seen.len()).await;
    server.kill();
    for _ in 0..30 {
        reader.turn().await.unwrap();
    }
    server.restart();
    produce(&brokers, &topic, 2, &values(1_000)).await;
    reader.turn_until(|reader| 2_000 <= reader.seen.len()).await;
    let (_, seen) = reader.close().await;
    assert_exactly_once([&seen], 2, 2_000);
    server.stop();
}
