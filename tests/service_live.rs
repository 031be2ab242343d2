//! The whole service as a user runs it: the built program with a configuration file, on a real Apache Kafka when
//! `PANICSIFT_TEST_KAFKA=host:port` names one (`tests/servers/kafka.sh start DIR` gives one).
//!
//! What is checked is what can be seen from outside: exit code, metrics, committed offsets, the store's report, the
//! dead letter topic, and what each destination holds.

use std::collections::BTreeSet;
use std::time::Duration;

use panicsift::edge::deliver::{HttpSettings, Login};
use panicsift::pipeline::decode::contract::DeadLetter;
use panicsift::pipeline::event::{Millis, Reason};
use serde_json::{Value, json};

use crate::support::kafka::{Bystander, Sent, create_topic, delete_records, produce_at, read_back, unique};
use crate::support::servers::live_address;
use crate::support::service::{Fates, PAYLOAD_CANARY, Place, Running, TOKEN_CANARY, in_turn, panicsift, recent_events};
use crate::support::{elastic, hec};

/// A record for each way to be refused, and its reason.
fn bad_records() -> Vec<(Reason, Vec<u8>)> {
    let mut large = br#"{"event_id":"large","request":{"payload":""#.to_vec();
    large.resize(3 << 19, b'x');
    vec![
        (Reason::NotJson, b"<html>502 Bad Gateway</html>".to_vec()),
        (Reason::WrongType, br#"{"event_id":["a"],"ts":1,"service":null}"#.to_vec()),
        (Reason::Empty, Vec::new()),
        (Reason::TooLarge, large),
        (Reason::NotUtf8, b"{\"event_id\":\"\xff\xfe\"}".to_vec()),
    ]
}

/// Puts the bad records among the good ones, the same number of records apart, all into partition 0; as they must come
/// out as dead letters: offset, reason, bytes.
fn strew(records: &mut Vec<Sent>, bad: &[(Reason, Vec<u8>)]) -> Vec<(i64, Reason, Vec<u8>)> {
    let apart = records.len() / bad.len();
    let mut strewn = Vec::new();
    for (n, (reason, value)) in bad.iter().enumerate() {
        let at = n * apart + 1;
        let time = records[at].time;
        records.insert(at, Sent { partition: 0, time, value: value.clone() });
        let offset = records[..at].iter().filter(|record| record.partition == 0).count();
        strewn.push((i64::try_from(offset).unwrap(), *reason, value.clone()));
    }
    strewn
}

/// Position, reason and bytes of all dead letters, in the order of the offsets.
fn dead_letters(place: &Place) -> Vec<(i64, Reason, Vec<u8>)> {
    let letter = |stored: &[u8]| {
        let letter: DeadLetter = serde_json::from_slice(stored).unwrap();
        (letter.offset, letter.reason, letter.payload().unwrap())
    };
    let stored = read_back(&place.brokers, &place.dead_letters);
    let mut letters: Vec<_> = stored.iter().map(|stored| letter(&stored.value)).collect();
    letters.sort_by_key(|letter| letter.0);
    letters
}

fn ids<'a>(alerts: impl IntoIterator<Item = &'a Value>) -> Vec<String> {
    let mut ids: Vec<_> = alerts.into_iter().map(|alert| alert["alert_id"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    ids
}

/// A server of documents, and the data stream that a test has there.
struct Documents {
    client: reqwest::Client,
    url: String,
    stream: String,
}

impl Documents {
    /// Prepares the server for the stream.
    async fn new(url: &str, stream: &str) -> Self {
        // Another test may have installed it.
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let it = Self { client, url: url.to_owned(), stream: stream.to_owned() };
        elastic::prepare(url, Login::None, &HttpSettings::default(), stream).await;
        it
    }

    async fn ask(&self, method: reqwest::Method, path: &str, body: String) -> Value {
        let request = self.client.request(method, format!("{}/{path}", self.url)).body(body);
        let reply = request.header("content-type", "application/json").send().await.unwrap();
        let (status, body) = (reply.status(), reply.text().await.unwrap());
        assert!(status.is_success(), "{path}: {status} {body}");
        serde_json::from_str(&body).unwrap()
    }

    /// Ids of the alerts in the stream, in order.
    async fn ids(&self) -> Vec<String> {
        let stream = &self.stream;
        self.ask(reqwest::Method::POST, &format!("{stream}/_refresh"), String::new()).await;
        let found =
            self.ask(reqwest::Method::POST, &format!("{stream}/_search"), json!({"size": 1_000}).to_string()).await;
        ids(found["hits"]["hits"].as_array().unwrap().iter().map(|hit| &hit["_source"]["panicsift"]))
    }
}

/// The five kinds of destinations of a test.
struct Destinations {
    hec: hec::Index,
    _splunk: hec::HecServer,
    topic: String,
    documents: [Documents; 2],
    toml: String,
}

impl Destinations {
    async fn new(brokers: &str, [opensearch, elasticsearch]: [&str; 2]) -> Self {
        let topic = unique("alerts");
        create_topic(brokers, &topic, 1, &[]).await;
        let (splunk, hec) = hec::start(&[]).await;
        let stream = unique("logs-panicsift.service").to_ascii_lowercase();
        let documents = [Documents::new(opensearch, &stream).await, Documents::new(elasticsearch, &stream).await];
        let toml = format!(
            r#"
[[destination]]
kind = "kafka"
name = "topic"
topic = "{topic}"
[[destination]]
kind = "splunk"
name = "splunk"
url = "{}"
token = {{ file = "privacy-key" }}
[[destination]]
kind = "elastic"
name = "opensearch"
url = "{opensearch}"
data_stream = "{stream}"
[[destination]]
kind = "elastic"
name = "elasticsearch"
url = "{elasticsearch}"
data_stream = "{stream}"
"#,
            splunk.url()
        );
        Self { hec, _splunk: splunk, topic, documents, toml }
    }

    /// What each of them holds, with its name.
    async fn held(&self, place: &Place) -> Vec<(&'static str, Vec<String>)> {
        let in_topic = read_back(&place.brokers, &self.topic);
        let in_topic: Vec<Value> =
            in_topic.iter().map(|stored| serde_json::from_slice(&stored.value).unwrap()).collect();
        let mut in_splunk = self.hec.ids();
        in_splunk.sort();
        let [opensearch, elasticsearch] = &self.documents;
        vec![
            ("file", ids(&place.alerts())),
            ("topic", ids(&in_topic)),
            ("splunk", in_splunk),
            ("opensearch", opensearch.ids().await),
            ("elasticsearch", elasticsearch.ids().await),
        ]
    }
}

/// Ids of the alerts that a replay of the same events raises under the same configuration.
fn replayed(place: &Place, events: &[(Millis, String)]) -> Vec<String> {
    let (input, out) = (place.path("events.jsonl"), place.path("replayed.jsonl"));
    let lines: Vec<&str> = events.iter().map(|(_, event)| event.as_str()).collect();
    std::fs::write(&input, lines.join("\n")).unwrap();
    let config = place.config();
    let path = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    panicsift(&["replay", &path(&input), "--alerts", &path(&out), "--config", &path(&config)]);
    let alerts: Vec<Value> =
        std::fs::read_to_string(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    ids(&alerts)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_service_decides_each_record_once_and_tells_each_destination_the_same_alerts() {
    const NAME: &str = "live_service_decides_each_record_once_and_tells_each_destination_the_same_alerts";
    let Some(brokers) = live_address("PANICSIFT_TEST_KAFKA", NAME) else { return };
    let Some(opensearch) = live_address("PANICSIFT_TEST_OPENSEARCH", NAME) else { return };
    let Some(elasticsearch) = live_address("PANICSIFT_TEST_ELASTICSEARCH", NAME) else { return };
    let destinations = Destinations::new(&brokers, [&opensearch, &elasticsearch]).await;
    let place = Place::new(&brokers, 1, 500, &destinations.toml).await;
    let events = recent_events(1_400);
    let (first, more) = events.split_at(1_000);
    for canary in [PAYLOAD_CANARY, TOKEN_CANARY] {
        assert!(first.iter().filter(|(_, event)| event.contains(canary)).count() > 50);
    }
    let expected = replayed(&place, first);
    assert!(expected.len() >= 2, "the slice holds hostile campaigns: {expected:?}");

    let mut records = in_turn(first, 1);
    let bad = strew(&mut records, &bad_records());
    let n_records = i64::try_from(records.len()).unwrap();
    produce_at(&brokers, &place.topic, &records).await;
    let mut service = place.start();
    service.ready().await;
    service.wait("to the end of the topic", |_| place.committed() == [Some(n_records)]).await;
    service.all_clustered(&place, 1_000).await;
    let n_told = expected.len() as u64 * 5;
    service.wait("to tell all alerts", |it| it.metrics().sum("panicsift_deliveries_total") == n_told).await;
    let fates = Fates { observed: 1_000, rejected: 5, ..Fates::default() };
    assert_eq!(service.metrics().fates(), fates);
    for reason in bad.iter().map(|(_, reason, _)| reason.name()) {
        assert_eq!(service.metrics().sum(&format!("panicsift_rejections_total{{reason=\"{reason}\"}}")), 1);
    }
    assert_eq!(service.stop().await, Some(0));

    assert_eq!(place.committed(), [Some(n_records)]);
    assert_eq!(dead_letters(&place), bad);
    for (name, held) in destinations.held(&place).await {
        assert_eq!(held, expected, "{name}");
    }
    let alerts = place.alerts();
    assert!(alerts.iter().any(|alert| alert["verdict"] == "hostile" && alert["change"] == "opened"), "{alerts:?}");
    assert_no_canary(&place);

    // Again on the same store: nothing is decided twice, and it goes on with what comes.
    let mut service = place.start();
    service.ready().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(service.metrics().fates().decided(), 0, "nothing new has come");
    produce_at(&brokers, &place.topic, &in_turn(more, 1)).await;
    service.wait("to the end of the topic", |_| place.committed() == [Some(n_records + 400)]).await;
    assert_eq!(service.metrics().fates(), Fates { observed: 400, ..Fates::default() });
    service.all_clustered(&place, 1_400).await;
    assert_every_question_is_answered(&place);
    assert_eq!(service.stop().await, Some(0));
    assert_eq!(dead_letters(&place), bad, "no dead letter twice");
    let held = destinations.held(&place).await;
    let (_, in_file) = &held[0];
    assert_eq!(in_file.iter().collect::<BTreeSet<_>>().len(), in_file.len(), "no alert twice");
    assert!(expected.iter().all(|id| in_file.contains(id)));
    for (name, ids) in &held {
        assert_eq!(ids, in_file, "{name}");
    }
    assert_no_canary(&place);
}

/// Neither the alerts nor the store hold a word of a payload or the token's value.
/// What the people on call ask has an answer while the service runs, and the ledger has the events that were sent.
fn assert_every_question_is_answered(place: &Place) {
    let store = place.store().display().to_string();
    let page = place.path("night.html").display().to_string();
    let questions: [&[&str]; 10] = [
        &["triage"],
        &["top", "--once"],
        &["report", "telemetry", "--by", "endpoint", "--since", "6h"],
        &["report", "releases"],
        &["report", "retry-policy", "--format", "envoy"],
        &["report", "budget", "--service", "storefront-api", "--objective", "0.99", "--window", "1d"],
        &["report", "postmortem", "--from", "1h", "--format", "md"],
        &["report", "postmortem", "--from", "1h", "--format", "html"],
        &["report", "kpi"],
        &["report", "html", "--out", &page],
    ];
    for question in questions {
        let told = panicsift(&[question, &["--store", &store]].concat());
        assert!(question.contains(&"--out") || told.lines().count() > 3, "{question:?}: {told}");
    }
    let told = panicsift(&["report", "telemetry", "--by", "service", "--format", "json", "--store", &store]);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["tenants"][0]["all"]["panics"], 1_400, "{told}");
}

fn assert_no_canary(place: &Place) {
    for name in ["alerts.jsonl", "store.db", "store.db-wal", "log"] {
        let text = std::fs::read(place.path(name)).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        for canary in [PAYLOAD_CANARY, TOKEN_CANARY] {
            assert!(!text.contains(canary), "{canary} in {name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_service_goes_on_where_it_was_told_to_stop_on_two_partitions() {
    const NAME: &str = "live_service_goes_on_where_it_was_told_to_stop_on_two_partitions";
    let Some(brokers) = live_address("PANICSIFT_TEST_KAFKA", NAME) else { return };
    let place = Place::new(&brokers, 2, 10, "").await;
    let events = recent_events(600);
    let (first, more) = events.split_at(200);
    produce_at(&brokers, &place.topic, &in_turn(first, 2)).await;
    let mut service = place.start();
    service.wait("to the ends of the topic", |_| place.committed() == [Some(100), Some(100)]).await;
    assert_eq!(service.metrics().fates(), Fates { observed: 200, ..Fates::default() });
    assert_eq!(service.stop().await, Some(0));

    // This run is told to stop in the middle: what it decided is in the store and told to the brokers.
    produce_at(&brokers, &place.topic, &in_turn(more, 2)).await;
    let mut service = place.start();
    service.wait("to the middle", |it| it.metrics().fates().observed >= 50).await;
    assert_eq!(service.stop().await, Some(0));
    let decided = place.decided();
    let n_decided: i64 = decided.iter().sum();
    assert!((250..600).contains(&n_decided), "{decided:?}");
    assert_eq!(place.committed(), [Some(decided[0]), Some(decided[1])]);

    let mut service = place.start();
    service.wait("to the ends of the topic", |_| place.committed() == [Some(300), Some(300)]).await;
    let left = u64::try_from(600 - n_decided).unwrap();
    assert_eq!(service.metrics().fates(), Fates { observed: left, ..Fates::default() });
    assert_eq!(service.stop().await, Some(0));
    assert_eq!(place.n_events_stored(), 600);
    let alerts = ids(&place.alerts());
    assert!(!alerts.is_empty());
    assert_eq!(alerts.iter().collect::<BTreeSet<_>>().len(), alerts.len(), "no alert twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_service_decides_each_record_once_through_a_rebalance() {
    const NAME: &str = "live_service_decides_each_record_once_through_a_rebalance";
    let Some(brokers) = live_address("PANICSIFT_TEST_KAFKA", NAME) else { return };
    let place = Place::new(&brokers, 2, 20, "").await;
    let events = recent_events(700);
    let (before, rest) = events.split_at(300);
    let (during, after) = rest.split_at(300);
    produce_at(&brokers, &place.topic, &in_turn(before, 2)).await;
    let mut service = place.start();
    service.wait("to begin", |it| it.metrics().fates().decided() >= 20).await;

    let bystander = Bystander::join(&brokers, &place.topic, &place.group);
    let mut taken = Vec::new();
    for _ in 0..600 {
        taken = bystander.turn();
        if taken.len() == 1 {
            break;
        }
    }
    assert_eq!(taken.len(), 1, "the bystander got its share");
    service.wait("to hold", |it| bystander.turn() == taken && is_held(it)).await;
    // Whoever sees half a topic must not make half clusters: not even of the half that is left to it.
    produce_at(&brokers, &place.topic, &in_turn(during, 2)).await;
    let (decided, committed) = (service.metrics().fates().decided(), place.committed());
    for _ in 0..40 {
        assert_eq!(bystander.turn(), taken);
    }
    assert_eq!((service.metrics().fates().decided(), place.committed()), (decided, committed));
    assert!(is_held(&service));
    drop(bystander);
    produce_at(&brokers, &place.topic, &in_turn(after, 2)).await;
    service.wait("to the ends of the topic", |_| place.committed() == [Some(350), Some(350)]).await;
    service.ready().await;
    let fates = service.metrics().fates();
    assert_eq!((fates.observed, fates.duplicate, fates.rejected), (700, 0, 0));
    assert_eq!(service.metrics().sum("panicsift_source_on_hold"), 0);
    service.all_clustered(&place, 700).await;
    assert_eq!(service.stop().await, Some(0));
}

/// Whether the service says in readiness and in its metrics that another member of the group has partitions.
fn is_held(service: &Running) -> bool {
    let named = |(status, body): (u16, String)| status == 503 && body.contains("1 of 2 partitions are ours");
    service.page("/readyz").is_some_and(named) && service.metrics().sum("panicsift_source_on_hold") == 1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_service_twice_in_one_group_holds_both_until_one_is_gone() {
    const NAME: &str = "live_service_twice_in_one_group_holds_both_until_one_is_gone";
    let Some(brokers) = live_address("PANICSIFT_TEST_KAFKA", NAME) else { return };
    let place = Place::new(&brokers, 2, 20, "").await;
    let twin = place.twin();
    let events = recent_events(500);
    let (before, after) = events.split_at(300);
    produce_at(&brokers, &place.topic, &in_turn(before, 2)).await;
    let mut first = place.start();
    first.wait("to the ends of the topic", |_| place.committed() == [Some(150), Some(150)]).await;
    let mut second = twin.start();
    second.wait("to hold", is_held).await;
    first.wait("to hold", is_held).await;
    produce_at(&brokers, &place.topic, &in_turn(after, 2)).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!((first.metrics().fates().decided(), second.metrics().fates().decided()), (300, 0));
    assert_eq!(second.stop().await, Some(0));
    first.wait("to the ends of the topic", |_| place.committed() == [Some(250), Some(250)]).await;
    assert_eq!(first.metrics().fates(), Fates { observed: 500, ..Fates::default() });
    assert!(first.metrics().sum("panicsift_batches_total") >= 25);
    assert_eq!(first.metrics().sum("panicsift_batch_seconds_count"), first.metrics().sum("panicsift_batches_total"));
    assert_eq!(first.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_service_whose_records_are_gone_ends_and_says_how_many() {
    const NAME: &str = "live_service_whose_records_are_gone_ends_and_says_how_many";
    let Some(brokers) = live_address("PANICSIFT_TEST_KAFKA", NAME) else { return };
    let place = Place::new(&brokers, 2, 50, "").await;
    let events = recent_events(300);
    produce_at(&brokers, &place.topic, &in_turn(&events[..100], 2)).await;
    let mut service = place.start();
    service.wait("to the ends of the topic", |_| place.committed() == [Some(50), Some(50)]).await;
    assert_eq!(service.stop().await, Some(0));
    produce_at(&brokers, &place.topic, &in_turn(&events[100..], 2)).await;
    delete_records(&brokers, &place.topic, 1, 80).await;
    let (code, log) = place.start().ended().await;
    assert_eq!(code, Some(1), "{log}");
    let said = format!("{}[1]: 30 records, offsets 50 to 79, were deleted before they were read", place.topic);
    assert!(log.contains(&said) && log.contains("source.on_gap"), "{log}");

    place.edit("[source]", "[source]\non_gap = \"continue\"");
    let mut service = place.start();
    service.wait("to the ends of the topic", |_| place.committed() == [Some(150), Some(150)]).await;
    assert_eq!(service.metrics().sum("panicsift_records_gone_total"), 30);
    let (status, ready) = service.page("/readyz").unwrap();
    assert!(status == 200 && ready.contains(&format!("records are gone: {said}")), "{status} {ready}");
    assert_eq!(service.stop().await, Some(0));
    assert_eq!(place.n_events_stored(), 270);
}

/// A limit on the size of files stands for a full disk: it is the file system that refuses.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_service_whose_store_cannot_be_written_ends_says_so_and_goes_on_when_it_can() {
    const NAME: &str = "live_service_whose_store_cannot_be_written_ends_says_so_and_goes_on_when_it_can";
    let Some(brokers) = live_address("PANICSIFT_TEST_KAFKA", NAME) else { return };
    let place = Place::new(&brokers, 2, 50, "").await;
    let events = recent_events(400);
    produce_at(&brokers, &place.topic, &in_turn(&events, 2)).await;
    let (code, log) = place.start_with_files_up_to(200).ended().await;
    assert!(code == Some(1) && log.contains("the batch was not committed"), "{code:?} {log}");
    let n_before: i64 = place.decided().iter().sum();
    assert!(n_before < 400, "all of it had room");
    assert_eq!(place.n_events_stored(), u64::try_from(n_before).unwrap());

    let mut service = place.start();
    service.wait("to the ends of the topic", |_| place.committed() == [Some(200), Some(200)]).await;
    assert_eq!(service.stop().await, Some(0));
    assert_eq!(place.n_events_stored(), 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_service_decides_each_record_once_when_it_is_killed_in_the_middle() {
    const NAME: &str = "live_service_decides_each_record_once_when_it_is_killed_in_the_middle";
    let Some(brokers) = live_address("PANICSIFT_TEST_KAFKA", NAME) else { return };
    let place = Place::new(&brokers, 2, 5, "").await;
    let mut records = in_turn(&recent_events(600), 2);
    let bad = strew(&mut records, &bad_records());
    produce_at(&brokers, &place.topic, &records).await;
    let mut service = place.start();
    service.wait("to the middle", |it| it.metrics().fates().decided() >= 100).await;
    service.kill();
    // What the store holds is decided, whatever the killed one's metrics said last.
    let decided = place.decided();
    let n_before = u64::try_from(decided.iter().sum::<i64>()).unwrap();
    assert!((100..605).contains(&n_before), "{n_before} of 605 records were decided before the kill");
    let n_bad_before = bad.iter().filter(|(offset, ..)| *offset < decided[0]).count() as u64;
    assert_eq!(place.n_events_stored(), n_before - n_bad_before);

    let mut service = place.start();
    service.wait("to the ends of the topic", |_| place.committed() == [Some(305), Some(300)]).await;
    let fates = service.metrics().fates();
    assert_eq!((fates.decided(), fates.duplicate), (605 - n_before, 0));
    assert_eq!(service.stop().await, Some(0));
    assert_eq!(place.n_events_stored(), 600);
    // A dead letter is written before its batch is committed, so a kill between the two repeats it, byte for byte.
    let mut letters = dead_letters(&place);
    letters.dedup();
    assert_eq!(letters, bad);
}
