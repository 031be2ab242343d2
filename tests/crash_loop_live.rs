//! The promise itself: whatever is killed whenever, no record and no alert is lost, doubled or silent.
//!
//! The built program reads a stream that a seed determines while it is killed again and again at moments that the seed
//! chooses, while another member joins its group, its broker is killed and started again, its HEC server (with indexer
//! acknowledgement, and a queue that a restart loses) breaks connections, restarts and stays away, and its OpenSearch
//! refuses to be written to. Then it is let run to the end, and everything is counted by code that knows nothing of it.
//!
//! `PANICSIFT_CRASHES` (60), `PANICSIFT_CRASH_SEED` (1); with `PANICSIFT_CRASH_WITHOUT_ACK=1` it should fail. Needs
//! `PANICSIFT_TEST_OPENSEARCH`, and starts a broker of its own, since it kills it.

use std::sync::Arc;
use std::time::Duration;

use panicsift::edge::deliver::{HttpSettings, Login};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use crate::support::elastic;
use crate::support::hec::{Fault, HecServer, Indexing, Rules};
use crate::support::kafka::unique;
use crate::support::servers::{Kind, Server, free_port, live_address, may_start_servers, say, wished};
use crate::support::service::{Place, Running};

mod stream;
mod verdict;

use stream::{Dice, Record};
use verdict::{Received, Verdict};

const N_PARTITIONS: i32 = 3;
const RECORDS_PER_CRASH: u64 = 150;
/// Records of a transaction: few, so that there are many moments to be killed at.
const BATCH_RECORDS_MAX: usize = 40;
/// Once in so many cycles the broker goes away, in this one of them, and is back before this one.
const BROKER_EVERY: u64 = 20;
const BROKER_AWAY: u64 = 10;
const BROKER_BACK: u64 = 12;
/// Time that the HEC server needs from taking an event to having it in its index: most kills and restarts fall into it.
const INDEXING: Duration = Duration::from_millis(300);
/// Settings of a member of the group that is told by its session alone, and of one that has a name.
const ORDINARY: &str = "\"client.id\" = \"panicsift\"";
const STATIC: &str = "\"group.instance.id\" = \"one\"";
/// Longest wait for something to happen before a kill that should come right after it.
const EVENT_WAIT: Duration = Duration::from_millis(2_500);

/// What was done to the service.
#[derive(Debug, Default)]
struct Tally {
    kills: u64,
    rebalances: u64,
    broker: u64,
    receiver: u64,
    /// Cycles in which records were decided.
    working: u64,
    /// Ends that nobody asked for, with the exit status.
    ended: Vec<String>,
}

impl Tally {
    fn n_faults(&self) -> u64 {
        self.kills + self.rebalances + self.broker + self.receiver
    }
}

/// Everything around the service.
struct Field {
    broker: Arc<Server>,
    place: Place,
    hec: HecServer,
    is_hec_away: bool,
    documents: Documents,
    is_blocked: bool,
    is_static: bool,
    dice: Dice,
    tally: Tally,
    broker_comes_back: Option<JoinHandle<()>>,
}

/// Without acknowledgement the HEC server's restarts lose alerts, and the loop must find them missing.
fn is_acked() -> bool {
    wished("PANICSIFT_CRASH_WITHOUT_ACK", 0) == 0
}

fn destinations(hec: &HecServer, documents: &Documents) -> String {
    let ack = if is_acked() { "required" } else { "off" };
    format!(
        r#"
[[destination]]
kind = "splunk"
name = "splunk"
url = "{}"
token = {{ file = "privacy-key" }}
ack = "{ack}"
ack_poll_ms = 100
ack_timeout_ms = 3000
timeout_ms = 1000
batch_alerts_max = 20
retry_delay_ms_max = 200
[[destination]]
kind = "elastic"
name = "opensearch"
url = "{}"
data_stream = "{}"
batch_alerts_max = 20
retry_delay_ms_max = 200
[alerts]
threshold = 3.0
cooldown_secs = 30
quiet_secs = 30
"#,
        hec.url(),
        documents.url,
        documents.stream
    )
}

impl Field {
    async fn new(opensearch: &str, seed: u64) -> Self {
        let broker = tokio::task::spawn_blocking(|| Server::start(Kind::Kafka)).await.unwrap();
        let with_acks = if is_acked() { Rules::with_acks() } else { Rules::default() };
        let rules = Rules { indexing: Indexing::After(INDEXING), loses_queue: true, ..with_acks };
        let hec = HecServer::start_at(([127, 0, 0, 1], free_port()).into(), rules).await;
        let documents = Documents::new(opensearch).await;
        let more = destinations(&hec, &documents);
        let place = Place::new(&broker.address, N_PARTITIONS, BATCH_RECORDS_MAX, &more).await;
        // A killed member's place is given up soon enough for a loop of a second.
        let session = r#""session.timeout.ms" = "1500""#;
        place.edit(r#""session.timeout.ms" = "6000""#, &[session, ORDINARY].join("\n"));
        Self {
            broker: Arc::new(broker),
            place,
            hec,
            is_hec_away: false,
            documents,
            is_blocked: false,
            is_static: false,
            dice: Dice::new(seed),
            tally: Tally::default(),
            broker_comes_back: None,
        }
    }

    fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.dice.below(to - from))
    }

    /// Now and then the next start is that of an ordinary member, whose place in the group is only given up when its
    /// session has timed out; otherwise that of a static one, which takes its old place at once.
    fn choose_membership(&mut self) {
        let is_static = !self.dice.one_in(8);
        if is_static != self.is_static {
            let (from, to) = if is_static { (ORDINARY, STATIC) } else { (STATIC, ORDINARY) };
            self.place.edit(from, to);
            self.is_static = is_static;
        }
    }

    /// Starts the service, waits for a moment, does something to its surroundings, waits, kills it.
    async fn cycle(&mut self) {
        self.choose_membership();
        self.trouble_requests();
        let mut service = self.place.start();
        let decided = self.wait_for_a_moment(&mut service).await;
        self.disturb().await;
        let rest = self.millis(0, 150);
        tokio::time::sleep(rest).await;
        self.tally.working += u64::from(decided || service.metrics().fates().decided() > 0);
        if let Some(ended) = service.has_ended() {
            self.tally.ended.push(format!("{ended}{}", service.told()));
        }
        service.kill();
        self.tally.kills += 1;
    }

    /// A moment at random, or one soon after the first records were decided, or after an alert was sent.
    async fn wait_for_a_moment(&mut self, service: &mut Running) -> bool {
        let until = Instant::now() + EVENT_WAIT;
        let n_sent = self.hec.n_received();
        let what = self.dice.below(4);
        let at_random = self.millis(50, 800);
        if what == 0 {
            tokio::time::sleep(at_random).await;
            return false;
        }
        while Instant::now() < until && service.has_ended().is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
            if what < 3 && service.metrics().fates().decided() > 0 {
                return true;
            }
            if what == 3 && self.hec.n_received() > n_sent {
                return false;
            }
        }
        false
    }

    /// What happens to the next requests at the HEC server.
    fn trouble_requests(&mut self) {
        if !self.dice.one_in(3) {
            return;
        }
        self.tally.receiver += 1;
        for _ in 0..=self.dice.below(4) {
            let delay = self.millis(10, 300);
            let fault = match self.dice.below(7) {
                0 | 1 => Fault::CutBefore,
                2 | 3 => Fault::CutAfter,
                4 => Fault::Silence,
                5 => Fault::Delay(delay),
                _ => Fault::Reply("server-busy".to_owned()),
            };
            if self.dice.one_in(3) {
                self.hec.next_acks(fault);
            } else {
                self.hec.next_events(fault);
            }
        }
    }

    /// Until events are taken and not in the index, for a moment: that is when a restart of their server hurts.
    async fn until_queued(&self) {
        let until = Instant::now() + EVENT_WAIT / 4;
        while self.hec.index().n_queued() == 0 && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// One thing, or nothing.
    async fn disturb(&mut self) {
        if self.is_hec_away {
            self.hec.start_again().await;
            self.is_hec_away = false;
        }
        let pause = self.millis(1, 200);
        let what = self.dice.below(16);
        if what < 4 {
            self.until_queued().await;
        }
        match what {
            0 | 1 => {
                self.hec.stop().await;
                tokio::time::sleep(pause).await;
                self.hec.start_again().await;
                self.tally.receiver += 1;
            }
            2 => {
                self.hec.stop().await;
                self.is_hec_away = true;
                self.tally.receiver += 1;
            }
            3 => {
                self.hec.forget();
                self.tally.receiver += 1;
            }
            4 | 5 => {
                self.is_blocked = !self.is_blocked;
                self.documents.block(self.is_blocked).await;
                self.tally.receiver += 1;
            }
            6 | 7 => {
                let (brokers, topic) = (self.place.brokers.clone(), self.place.topic.clone());
                let (group, time) = (self.place.group.clone(), Duration::from_millis(200) + pause);
                tokio::task::spawn_blocking(move || visit(&brokers, &topic, &group, time)).await.unwrap();
                self.tally.rebalances += 1;
            }
            _ => {}
        }
    }

    /// Kills or stops the broker and starts it again, while the loop goes on.
    async fn restart_broker(&mut self) {
        self.broker_is_back().await;
        let (broker, is_kill, pause) = (Arc::clone(&self.broker), self.dice.one_in(2), self.millis(10, 1_000));
        self.tally.broker += 1;
        self.broker_comes_back = Some(tokio::task::spawn_blocking(move || {
            if is_kill {
                broker.kill();
            } else {
                broker.stop();
            }
            std::thread::sleep(pause);
            broker.restart();
        }));
    }

    async fn broker_is_back(&mut self) {
        if let Some(task) = self.broker_comes_back.take() {
            task.await.unwrap();
        }
    }

    /// Everything is well again.
    async fn calm(&mut self) {
        self.broker_is_back().await;
        self.hec.calm();
        if self.is_hec_away {
            self.hec.start_again().await;
        }
        self.documents.block(false).await;
    }

    /// Lets the service run to the end of all that there is to do.
    async fn finish(&mut self, ends: &[i64], n_events: u64) {
        let mut service = self.place.start();
        service.ready().await;
        let ends: Vec<Option<i64>> = ends.iter().copied().map(Some).collect();
        let mut committed = self.place.committed();
        while committed != ends {
            service.wait("further in the topic", |_| self.place.committed() != committed).await;
            committed = self.place.committed();
        }
        for name in ["file", "splunk", "opensearch"] {
            let mut n_waiting = self.place.n_waiting(name);
            while n_waiting > 0 {
                service.wait(&format!("to tell {name} more"), |_| self.place.n_waiting(name) < n_waiting).await;
                n_waiting = self.place.n_waiting(name);
            }
        }
        assert_eq!(service.stop().await, Some(0));
        assert_eq!(self.place.committed(), ends);
        assert_eq!(self.place.n_events_stored(), n_events, "events in cells");
    }

    async fn received(&self) -> Vec<Received> {
        let in_file = self.place.alerts().iter().map(|alert| alert["alert_id"].as_str().unwrap().to_owned()).collect();
        vec![
            Received { name: "file", ids: in_file, may_repeat: true },
            Received { name: "splunk", ids: self.hec.index().ids(), may_repeat: true },
            Received { name: "opensearch", ids: self.documents.ids().await, may_repeat: false },
        ]
    }
}

/// Joins the group for a moment, reads, decides nothing, leaves.
fn visit(brokers: &str, topic: &str, group: &str, time: Duration) {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", group)
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", "1500")
        .set("heartbeat.interval.ms", "200")
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    consumer.subscribe(&[topic]).unwrap();
    let until = Instant::now() + time;
    while Instant::now() < until {
        // The broker may be away just now.
        drop(consumer.poll(Duration::from_millis(20)));
    }
}

/// Sends the stream, up to as many records as it is told.
struct Feeder {
    allowed: watch::Sender<u64>,
    task: JoinSet<()>,
}

impl Feeder {
    fn start(place: &Place, records: Arc<Vec<Record>>) -> Self {
        let producer: FutureProducer = ClientConfig::new()
            .set("bootstrap.servers", &place.brokers)
            .set("enable.idempotence", "true")
            .set("message.timeout.ms", "300000")
            .set("reconnect.backoff.max.ms", "500")
            .set("linger.ms", "5")
            .create()
            .unwrap();
        let (allowed, mut told) = watch::channel(0);
        let topic = place.topic.clone();
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut sent = Vec::new();
            for (at, record) in records.iter().enumerate() {
                told.wait_for(|allowed| *allowed > at as u64).await.unwrap();
                if at % 25 == 0 {
                    // They come while the service is at work, and not before it has begun.
                    tokio::time::sleep(Duration::from_millis(40)).await;
                }
                let one = FutureRecord::<(), [u8]>::to(&topic).partition(record.partition).timestamp(record.time);
                sent.push(producer.send_result(one.payload(&record.value)).map_err(|(error, _)| error).unwrap());
            }
            for one in sent {
                one.await.unwrap().map_err(|(error, _)| error).unwrap();
            }
        });
        Self { allowed, task }
    }

    fn allow(&self, n: u64) {
        self.allowed.send_modify(|allowed| *allowed += n);
    }

    async fn finish(mut self) {
        self.allowed.send_replace(u64::MAX);
        while let Some(ended) = self.task.join_next().await {
            ended.unwrap();
        }
    }
}

/// The data stream that the alerts go to.
struct Documents {
    client: reqwest::Client,
    url: String,
    stream: String,
}

impl Documents {
    async fn new(url: &str) -> Self {
        // Another test may have installed it.
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let stream = unique("logs-panicsift.crash").to_ascii_lowercase();
        let it = Self { client, url: url.to_owned(), stream: stream.clone() };
        elastic::prepare(url, Login::None, &HttpSettings::default(), &stream).await;
        it.ask(reqwest::Method::PUT, &format!("_data_stream/{stream}"), &Value::Null).await;
        it
    }

    async fn ask(&self, method: reqwest::Method, path: &str, body: &Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = self.client.request(method, format!("{}/{path}", self.url)).body(body);
        let reply = request.header("content-type", "application/json").send().await.unwrap();
        let (status, body) = (reply.status(), reply.text().await.unwrap());
        assert!(status.is_success(), "{path}: {status} {body}");
        serde_json::from_str(&body).unwrap()
    }

    async fn block(&self, is_blocked: bool) {
        let path = format!("{}/_settings", self.stream);
        self.ask(reqwest::Method::PUT, &path, &json!({"index.blocks.write": is_blocked})).await;
    }

    /// The ids of the alerts that the documents hold, one for each document.
    async fn ids(&self) -> Vec<String> {
        self.ask(reqwest::Method::POST, &format!("{}/_refresh", self.stream), &Value::Null).await;
        let first = json!({"size": 2_000, "sort": ["_doc"]});
        let mut page = self.ask(reqwest::Method::POST, &format!("{}/_search?scroll=1m", self.stream), &first).await;
        let mut ids = Vec::new();
        loop {
            let hits = page["hits"]["hits"].as_array().unwrap();
            if hits.is_empty() {
                return ids;
            }
            ids.extend(hits.iter().map(|hit| hit["_source"]["panicsift"]["alert_id"].as_str().unwrap().to_owned()));
            let next = json!({"scroll": "1m", "scroll_id": page["_scroll_id"]});
            page = self.ask(reqwest::Method::POST, "_search/scroll", &next).await;
        }
    }
}

/// The verdict is worth something only if it can be another one: each kind of fault, made on paper, is found.
fn check_verdict(place: &Place, records: &[Record], receivers: &[Received]) {
    let found = |records: &[Record], receivers: &[Received]| {
        let verdict = Verdict::of(place, records, receivers);
        [verdict.lost.n, verdict.doubled.n, verdict.silent.n]
    };
    let changed = |from: fn(&stream::Kind) -> bool, to: stream::Kind| {
        let mut records = records.to_vec();
        records.iter_mut().find(|record| from(&record.kind)).unwrap().kind = to;
        found(&records, receivers)
    };
    let nowhere = stream::Kind::New(["a", "b", "c"].map(str::to_owned));
    assert_eq!(changed(|kind| *kind == stream::Kind::Repeat, nowhere), [1, 0, 0], "an event that is in no cell");
    assert_eq!(changed(|kind| matches!(kind, stream::Kind::New(_)), stream::Kind::Repeat), [0, 1, 0], "one too many");
    assert_eq!(changed(|kind| *kind == stream::Kind::Repeat, stream::Kind::Bad), [0, 0, 1], "no dead letter");
    let held = |change: fn(&mut Vec<String>)| {
        let mut receivers = receivers.to_vec();
        for receiver in &mut receivers {
            change(&mut receiver.ids);
        }
        found(records, &receivers)
    };
    let drop_first = |ids: &mut Vec<String>| {
        let first = ids[0].clone();
        ids.retain(|id| *id != first);
    };
    assert_eq!(held(drop_first), [3, 0, 0], "an alert that is nowhere");
    assert_eq!(held(|ids| ids.push(ids[0].clone())), [0, 1, 0], "an alert twice where that may not be");
    assert_eq!(held(|ids| ids.push("other".to_owned())), [0, 0, 3], "an alert that never was");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn live_service_loses_doubles_and_silences_nothing_however_often_it_is_killed() {
    const NAME: &str = "live_service_loses_doubles_and_silences_nothing_however_often_it_is_killed";
    let Some(opensearch) = live_address("PANICSIFT_TEST_OPENSEARCH", NAME) else { return };
    if !may_start_servers(NAME) {
        return;
    }
    let (n_crashes, seed) = (wished("PANICSIFT_CRASHES", 60), wished("PANICSIFT_CRASH_SEED", 1));
    let n_records = n_crashes * RECORDS_PER_CRASH;
    let records = Arc::new(stream::generate(usize::try_from(n_records).unwrap(), N_PARTITIONS, seed));
    let mut field = Field::new(&opensearch, seed).await;
    let feeder = Feeder::start(&field.place, Arc::clone(&records));
    let began = Instant::now();
    for cycle in 0..n_crashes {
        feeder.allow(RECORDS_PER_CRASH);
        match cycle % BROKER_EVERY {
            BROKER_AWAY => field.restart_broker().await,
            BROKER_BACK => field.broker_is_back().await,
            _ => {}
        }
        field.cycle().await;
    }
    let looped = began.elapsed();
    field.calm().await;
    feeder.finish().await;
    let n_events = stream::count(&records).values().sum();
    field.finish(&stream::ends(&records, N_PARTITIONS), n_events).await;

    let receivers = field.received().await;
    let verdict = Verdict::of(&field.place, &records, &receivers);
    let Tally { kills, rebalances, broker, receiver, working, ended } = &field.tally;
    say(&format!(
        "crash loop: faults {} (kills {kills}, rebalances {rebalances}, broker {broker}, receiver {receiver}), records \
         {n_records}, lost {}, doubled {}, silent {}",
        field.tally.n_faults(),
        verdict.lost.n,
        verdict.doubled.n,
        verdict.silent.n
    ));
    let repeats: Vec<String> = receivers.iter().map(|one| format!("{} {}", one.name, one.repeats())).collect();
    say(&format!(
        "crash loop: seed {seed}, {} alerts (repeated under their id: {}; superseded {}), {working} of {kills} kills at \
         work, {:.0} s of kills, {:.0} s in all",
        verdict.n_alerts,
        repeats.join(", "),
        verdict.n_superseded,
        looped.as_secs_f64(),
        began.elapsed().as_secs_f64()
    ));
    assert!(verdict.lost.n + verdict.doubled.n + verdict.silent.n == 0, "{verdict:?}");
    assert!(ended.is_empty(), "the service ended by itself: {ended:?}");
    // In a long loop the clusters of the first campaigns take in the later ones: alerts do not grow with the stream.
    let n_alerts_min = (n_crashes / 2).min(100);
    assert!(verdict.n_alerts as u64 >= n_alerts_min, "a loop without alerts proves little: {}", verdict.n_alerts);
    assert!(working * 4 >= *kills, "kills should hit a service at work: {working} of {kills}");
    check_verdict(&field.place, &records, &receivers);
}
