//! The Kafka edge against the embedded broker: nothing to install, so these run everywhere.

use std::sync::Arc;
use std::time::Duration;

use panicsift::edge::kafka::embedded::{EmbeddedBroker, EmbeddedError, N_PARTITIONS};
use panicsift::edge::kafka::produce::{AlertRecord, KafkaAlerts, KafkaDeadLetters};
use panicsift::edge::kafka::{ConsumerSettings, ProducerSettings};
use panicsift::edge::{DeadLetters, SourceError};
use panicsift::pipeline::event::{Checkpoint, Position, RawRecord, Reason, Rejection};

use crate::support::kafka::{PATIENCE, Reader, assert_exactly_once, read_back, unique};

/// Ordinary lines, and among them what is bad: empty, not UTF-8, NUL, 2 MiB.
fn lines(n_lines: usize) -> Vec<Vec<u8>> {
    (0..n_lines)
        .map(|n| match n {
            700 => Vec::new(),
            1_700 => vec![0xff, 0xfe, 0x00, b'\n'],
            2_700 => vec![b'x'; 2 << 20],
            _ => format!("{{\"event_id\":\"e{n}\",\"filler\":\"{}\"}}", "f".repeat(n % 900)).into_bytes(),
        })
        .collect()
}

fn start(topic: &str, checkpoint: Checkpoint, broker: &EmbeddedBroker) -> Reader {
    let mut settings = broker.consumer_settings(topic, "readers");
    settings.batch.n_records_max = 300;
    settings.idle_after = Duration::from_millis(50);
    Reader::start(&settings, EmbeddedBroker::start_positions(topic, N_PARTITIONS, checkpoint))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_record_is_read_once_across_a_restart_from_the_checkpoint() {
    let lines = Arc::new(lines(5_000));
    let broker = Arc::new(EmbeddedBroker::start().unwrap());
    broker.create_topic("events", N_PARTITIONS).unwrap();
    let produced = {
        let (broker, lines) = (Arc::clone(&broker), Arc::clone(&lines));
        tokio::task::spawn_blocking(move || {
            let values = lines.iter().map(Vec::as_slice);
            broker.produce_all(("events", N_PARTITIONS), values, |_| 0, |_| {}).unwrap();
        })
    };
    let mut first = start("events", Checkpoint::default(), &broker);
    first.turn_until(|reader| 2_000 <= reader.seen.len()).await;
    let first_values = first.values.clone();
    let (checkpoint, first_seen) = first.close().await;
    produced.await.unwrap();

    let mut second = start("events", checkpoint, &broker);
    second.turn_until(|reader| lines.len() <= first_seen.len() + reader.seen.len()).await;
    let second_values = second.values.clone();
    let (_, second_seen) = second.close().await;
    assert_exactly_once([&first_seen, &second_seen], N_PARTITIONS, lines.len());
    for ((partition, offset), value) in first_values.iter().chain(&second_values) {
        let n = usize::try_from(offset * i64::from(N_PARTITIONS) + i64::from(*partition)).unwrap();
        assert!(*value == lines[n], "line {n} came back changed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_producer_waits_for_a_slow_reader_so_that_the_broker_drops_nothing() {
    // 40 MiB through one partition that keeps 5.
    let lines: Vec<Vec<u8>> = (0..40_u8).map(|n| vec![n; 1 << 20]).collect();
    let broker = Arc::new(EmbeddedBroker::start().unwrap());
    broker.create_topic("events", 1).unwrap();
    let mut settings = broker.consumer_settings("events", "readers");
    settings.batch.n_records_max = 1;
    let start = EmbeddedBroker::start_positions("events", 1, Checkpoint::default());
    let mut reader = Reader::start(&settings, start);
    let watch = reader.source.watch();
    let produced = {
        let broker = Arc::clone(&broker);
        tokio::task::spawn_blocking(move || {
            let decided = |partition| watch.next_decided("events", partition).unwrap_or(0);
            broker.produce_all(("events", 1), lines.iter().map(Vec::as_slice), decided, |_| {})
        })
    };
    while reader.seen.len() < 40 {
        reader.turn().await.unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    produced.await.unwrap().unwrap();
    let (_, seen) = reader.close().await;
    assert_exactly_once([&seen], 1, 40);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_the_broker_dropped_are_an_error_with_their_number() {
    let broker = Arc::new(EmbeddedBroker::start().unwrap());
    broker.create_topic("events", 1).unwrap();
    let sender = Arc::clone(&broker);
    let lines: Vec<Vec<u8>> = (0..20_u64)
        .map(|n| {
            (0..1 << 17)
                .flat_map(|m| (n + 1).wrapping_mul(m + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes())
                .collect()
        })
        .collect();
    // A reader that claims to have read all, so that the producer does not wait.
    tokio::task::spawn_blocking(move || {
        sender.produce_all(("events", 1), lines.iter().map(Vec::as_slice), |_| i64::MAX, |_| {}).unwrap();
    })
    .await
    .unwrap();
    let start = EmbeddedBroker::start_positions("events", 1, Checkpoint::default());
    let mut reader = Reader::start(&broker.consumer_settings("events", "readers"), start);
    let error = reader.error().await;
    assert!(
        matches!(&error, SourceError::Gone(why) if why.contains("events[0]") && why.contains("deleted")),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_is_to_stop_at_the_end_closes_after_the_last_record() {
    let broker = Arc::new(EmbeddedBroker::start().unwrap());
    broker.create_topic("events", 4).unwrap();
    let lines = lines(100);
    let sender = Arc::clone(&broker);
    tokio::task::spawn_blocking(move || {
        sender.produce_all(("events", 4), lines.iter().map(Vec::as_slice), |_| 0, |_| {}).unwrap();
    })
    .await
    .unwrap();
    let mut settings = broker.consumer_settings("events", "readers");
    settings.stop_at_end = true;
    let mut reader = Reader::start(&settings, EmbeddedBroker::start_positions("events", 4, Checkpoint::default()));
    reader.turn_until(|_| false).await;
    let (_, seen) = reader.close().await;
    assert_exactly_once([&seen], 4, 100);
}

#[tokio::test]
async fn a_stopped_source_is_closed_at_once() {
    let broker = EmbeddedBroker::start().unwrap();
    broker.create_topic("events", 1).unwrap();
    let mut reader = start("events", Checkpoint::default(), &broker);
    reader.source.stop_handle().stop();
    assert_eq!(reader.turn().await.unwrap(), None);
    reader.close().await;
}

fn rejection(offset: i64, payload: &[u8]) -> Rejection<'_> {
    let position = Position { topic: "in", partition: 3, offset };
    let record = RawRecord { position, broker_time: None, headers: &[], payload };
    Rejection { record, reason: Reason::NotJson, detail: String::new() }
}

#[tokio::test]
async fn dead_letters_and_alerts_stand_in_their_topic_when_the_call_returns() {
    let broker = EmbeddedBroker::start().unwrap();
    broker.create_topic("dead", 1).unwrap();
    let settings = ProducerSettings::new(vec![broker.brokers().to_owned()], "dead".into());
    let mut letters = KafkaDeadLetters::start(&settings, |it| it.record.payload.to_vec()).unwrap();
    letters.write(&[rejection(41, b"one"), rejection(42, b"")]).await.unwrap();
    letters.write(&[]).await.unwrap();
    let stored = read_back(broker.brokers(), "dead");
    assert_eq!(stored.iter().map(|it| it.key.as_str()).collect::<Vec<_>>(), ["in-3-41", "in-3-42"]);
    assert_eq!(stored[0].value, b"one");
    let headers: Vec<_> = stored[0].headers.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(headers, ["offset=41", "partition=3", "reason=not_json", "topic=in"]);

    let mut alerts = KafkaAlerts::start(&settings).unwrap();
    alerts.send(&[AlertRecord { key: "cluster-1", value: b"{}", headers: Vec::new() }]).await.unwrap();
    assert_eq!(read_back(broker.brokers(), "dead")[2].key, "cluster-1");
}

#[tokio::test]
async fn a_letter_that_is_too_large_for_the_topic_goes_without_its_bytes_and_alone() {
    let broker = EmbeddedBroker::start().unwrap();
    broker.create_topic("dead", 1).unwrap();
    let mut settings = ProducerSettings::new(vec![broker.brokers().to_owned()], "dead".into());
    settings.properties.insert("message.max.bytes".into(), "10000".into());
    let large = vec![b'x'; 20_000];
    let rejections = [rejection(1, b"small"), rejection(2, &large), rejection(3, b"small too")];
    let whole = |it: &Rejection<'_>| it.record.payload.to_vec();
    let mut letters = KafkaDeadLetters::start(&settings, whole).unwrap();
    let error = letters.write(&rejections).await.unwrap_err().to_string();
    assert!(error.contains("20000 bytes") && error.contains("max.message.bytes"), "{error}");

    broker.create_topic("dead-2", 1).unwrap();
    settings.topic = "dead-2".into();
    let mut letters = KafkaDeadLetters::start(&settings, whole).unwrap().or_without_bytes(|_| b"too large".to_vec());
    letters.write(&rejections).await.unwrap();
    let mut last = std::collections::BTreeMap::new();
    last.extend(read_back(broker.brokers(), "dead-2").into_iter().map(|it| (it.key, it.value)));
    let values: Vec<_> = last.values().map(|value| String::from_utf8_lossy(value).into_owned()).collect();
    assert_eq!(values, ["small", "too large", "small too"]);
}

#[tokio::test]
async fn dead_letters_that_no_broker_takes_are_an_error_within_the_deadline() {
    let mut settings = ProducerSettings::new(vec!["127.0.0.1:1".to_owned()], unique("nowhere"));
    settings.deadline = Duration::from_millis(300);
    let mut letters = KafkaDeadLetters::start(&settings, |_| Vec::new()).unwrap();
    let written = tokio::time::timeout(PATIENCE, letters.write(&[rejection(1, b"x")])).await.unwrap();
    let error = written.unwrap_err().to_string();
    assert!(error.contains("nowhere") && error.contains("no acknowledgement"), "{error}");
}

#[tokio::test]
async fn brokers_that_are_down_are_shown_and_not_an_error() {
    let settings = ConsumerSettings::new(vec!["127.0.0.1:1".to_owned()], vec!["events".into()], "readers".into());
    let mut reader = Reader::start(&settings, Checkpoint::default());
    let is_down = |reader: &Reader| reader.source.status().brokers == panicsift::edge::kafka::status::Brokers::Down;
    reader.turn_until(is_down).await;
    assert!(reader.source.status().last_error.is_some());
    assert!(reader.source.close(PATIENCE).await);
}

#[test]
fn a_topic_is_made_once() {
    let broker = EmbeddedBroker::start().unwrap();
    broker.create_topic("events", 2).unwrap();
    assert!(matches!(broker.create_topic("events", 2), Err(EmbeddedError::Start(why)) if why.contains("events")));
}
