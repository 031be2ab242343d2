//! Delivery from the store to scripted servers: outages, poison, crashes, holds; every alert arrives or is visibly not.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use panicsift::edge::admin::{self, Health, HealthLimits, LaneState, SourceState};
use panicsift::edge::deliver::{
    BatchLimits, FileSettings, HttpClient, HttpOutlet, HttpSettings, Lane, LaneError, Login, NdjsonFile, Outlet,
    PaceLimits, Reading, TopicOutlet, Word, deliver, drained,
};
use panicsift::edge::elastic::{ElasticSettings, ElasticWire};
use panicsift::edge::kafka::ProducerSettings;
use panicsift::edge::kafka::embedded::EmbeddedBroker;
use panicsift::edge::splunk::{self, SplunkSettings, SplunkWire};
use panicsift::edge::store::{Fate, Outbox, Store};
use panicsift::pipeline::alert::{Alert, Change, Severity};
use panicsift::pipeline::event::Checkpoint;
use panicsift::secret::Credential;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::support::http::{Answer, ScriptedServer};
use crate::support::kafka::read_back;
use crate::support::{alert, bulk, hec, tls};

mod acks;

/// Quick enough for a test, slow enough to be seen.
const PACE: PaceLimits = PaceLimits {
    delay_min: Duration::from_millis(5),
    delay_max: Duration::from_millis(40),
    hold: Duration::from_millis(50),
};

/// Far more than any of these tests takes; reached only when something hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// A store with its delivery running.
struct Bench {
    dir: TempDir,
    store: Store,
    health: Arc<Health>,
    wakeup: watch::Sender<u64>,
    shutdown: watch::Sender<bool>,
    tasks: JoinSet<Result<(), LaneError>>,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store.db")).unwrap();
        let health = Arc::new(Health::new(HealthLimits::default()));
        let (wakeup, shutdown) = (watch::Sender::new(0), watch::Sender::new(false));
        Self { dir, store, health, wakeup, shutdown, tasks: JoinSet::new() }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("store.db")
    }

    fn put(&mut self, alerts: &[Alert]) {
        self.store.commit(&[], alerts, &Checkpoint::default()).unwrap();
        self.wakeup.send_modify(|n| *n += 1);
    }

    /// `n` alerts of as many clusters.
    fn put_many(&mut self, n: usize) -> Vec<String> {
        let ids: Vec<String> = (0..n).map(|n| format!("a-{n:03}")).collect();
        let alerts: Vec<Alert> = ids.iter().map(|id| alert(id, &format!("c-{id}"), Change::Opened)).collect();
        self.put(&alerts);
        ids
    }

    fn run(&mut self, outlets: Vec<(&str, Box<dyn Outlet>)>) {
        let batch = BatchLimits { alerts_max: 10, ..BatchLimits::default() };
        let path = self.path();
        let lanes =
            outlets.into_iter().map(|(name, outlet)| Lane::new(name, &path, outlet).with_limits(batch, PACE)).collect();
        let (health, wakeup) = (Arc::clone(&self.health), self.wakeup.subscribe());
        self.tasks.spawn(deliver(lanes, health, wakeup, self.shutdown.subscribe()));
    }

    fn lane(&self, name: &str) -> Option<LaneState> {
        self.health.report().lanes.get(name).map(|lane| lane.state.clone())
    }

    async fn until(&self, what: &str, done: impl Fn(&Self) -> bool) {
        let waited = tokio::time::timeout(PATIENCE, async {
            while !done(self) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        assert!(waited.await.is_ok(), "never: {what}; {:?}", self.health.report());
    }

    /// Waits until nothing waits for the destination.
    async fn drained(&self, name: &str) {
        self.until("drained", |bench| bench.store.n_waiting(name).unwrap() == 0).await;
    }

    /// Ends delivery as a shutdown does.
    async fn stop(&mut self) {
        self.shutdown.send_replace(true);
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap().unwrap();
        }
        self.shutdown.send_replace(false);
    }

    /// Ends delivery as a crash does: whatever was going on is gone.
    async fn crash(&mut self) {
        self.tasks.shutdown().await;
    }

    fn fate(&self, alert_id: &str) -> (Fate, String, u32) {
        let mut deliveries = self.store.deliveries_of(alert_id).unwrap();
        assert_eq!(deliveries.len(), 1, "{alert_id}");
        deliveries.pop().map(|one| (one.fate, one.detail, one.attempts)).unwrap()
    }
}

fn http() -> HttpSettings {
    HttpSettings { timeout_ms: 5_000, ..HttpSettings::default() }
}

fn splunk(url: &str) -> Box<dyn Outlet> {
    splunk_by(url, &http())
}

fn splunk_by(url: &str, http: &HttpSettings) -> Box<dyn Outlet> {
    splunk_at(&[url.to_owned()], Credential::fixed("t0ken"), http)
}

fn splunk_at(urls: &[String], token: Credential, http: &HttpSettings) -> Box<dyn Outlet> {
    let wire = SplunkWire::new(SplunkSettings {
        index: None,
        host: None,
        source: "panicsift".to_owned(),
        sourcetype: "panicsift:alert".to_owned(),
    });
    Box::new(HttpOutlet::new(wire, HttpClient::new("splunk", urls, splunk::login(token), http).unwrap()))
}

fn elastic(url: &str) -> Box<dyn Outlet> {
    let wire = ElasticWire::new(&ElasticSettings { data_stream: "logs-panicsift.alert-default".to_owned() });
    Box::new(HttpOutlet::new(wire, HttpClient::new("elastic", &[url.to_owned()], Login::None, &http()).unwrap()))
}

fn file(path: &Path, rotate_bytes: u64) -> Box<dyn Outlet> {
    Box::new(NdjsonFile::new(&FileSettings { name: "file".to_owned(), path: path.to_owned(), rotate_bytes }))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_several_requests_loses_nothing_and_repeats_nothing() {
    let script = [
        "server-busy",
        "internal-error",
        "bad-gateway",
        "proxy-page",
        "not-found",
        "empty",
        "shutting-down",
        "queue-full",
    ];
    let (server, index) = hec::start(&script).await;
    let mut bench = Bench::new();
    let ids = bench.put_many(25);
    bench.run(vec![("splunk", splunk(&server.url()))]);
    bench.drained("splunk").await;
    bench.stop().await;
    assert_eq!(index.ids(), ids);
    let request = &server.received()[0];
    assert_eq!(request.path, "/services/collector/event");
    assert_eq!(request.headers["authorization"], "Splunk t0ken");
    assert_eq!(request.headers["content-encoding"], "gzip");
    assert_eq!(bench.fate("a-000"), (Fate::Delivered, "answered 200 code 0, not acknowledged".to_owned(), 9));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_waited_for() {
    let (server, _) = hec::start(&[]).await;
    let url = server.url();
    let address = url.trim_start_matches("http://").parse().unwrap();
    drop(server);
    let mut bench = Bench::new();
    let ids = bench.put_many(3);
    bench.run(vec![("splunk", splunk(&url))]);
    bench.until("retrying", |bench| matches!(bench.lane("splunk"), Some(LaneState::Retrying(_)))).await;
    let (_server, index) = hec::start_at(address, &[]).await;
    bench.drained("splunk").await;
    assert_eq!(index.ids(), ids);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poisoned_alert_in_the_middle_costs_itself_alone_and_is_visible() {
    let index = hec::Index::default();
    let taken = index.clone();
    let server = ScriptedServer::start(move |_, request| {
        let Some(at) = hec::ids(request).iter().position(|id| id == "a-013") else {
            taken.take(request);
            return hec::reply("success");
        };
        Answer::new(400, format!(r#"{{"text":"Invalid data format","code":6,"invalid-event-number":{at}}}"#))
    })
    .await;
    let mut bench = Bench::new();
    let mut ids = bench.put_many(25);
    bench.run(vec![("splunk", splunk(&server.url()))]);
    bench.drained("splunk").await;
    ids.retain(|id| id != "a-013");
    assert_eq!(index.ids(), ids);
    let (fate, why, _) = bench.fate("a-013");
    assert_eq!((fate, why.as_str()), (Fate::Refused, "HTTP 400, code 6: Invalid data format"));
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_hold_the_lane_and_lose_nothing() {
    for trouble in ["token-disabled", "invalid-token", "incorrect-index", "channel-missing", "redirect"] {
        let (server, index) = hec::start(&[trouble; 5]).await;
        let mut bench = Bench::new();
        let ids = bench.put_many(3);
        bench.run(vec![("splunk", splunk(&server.url()))]);
        bench.until("on hold", |bench| matches!(bench.lane("splunk"), Some(LaneState::OnHold(_)))).await;
        let report = bench.health.report();
        assert!(report.reasons.iter().any(|reason| reason.starts_with("destination splunk is on hold")), "{report:?}");
        bench.drained("splunk").await;
        bench.until("free", |bench| bench.lane("splunk") == Some(LaneState::Idle)).await;
        assert_eq!(index.ids(), ids, "{trouble}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_too_large_is_split() {
    let index = hec::Index::default();
    let taken = index.clone();
    let server = ScriptedServer::start(move |_, request| {
        if hec::ids(request).len() > 3 {
            return Answer::new(413, "<html>413 Request Entity Too Large</html>");
        }
        taken.take(request);
        hec::reply("success")
    })
    .await;
    let mut bench = Bench::new();
    let ids = bench.put_many(25);
    bench.run(vec![("splunk", splunk(&server.url()))]);
    bench.drained("splunk").await;
    assert_eq!(index.ids(), ids);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_delivery_and_its_note_repeats_the_alert_under_the_same_id() {
    let index = hec::Index::default();
    let taken = index.clone();
    let server = ScriptedServer::start(move |n, request| {
        taken.take(request);
        Answer { never: n == 0, ..hec::reply("success") }
    })
    .await;
    let mut bench = Bench::new();
    let ids = bench.put_many(2);
    bench.run(vec![("splunk", splunk(&server.url()))]);
    bench.until("taken", |_| !index.ids().is_empty()).await;
    bench.crash().await;
    bench.run(vec![("splunk", splunk(&server.url()))]);
    bench.drained("splunk").await;
    assert_eq!(index.ids(), [ids.clone(), ids].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_repeats_nothing_where_the_destination_knows_the_id() {
    let (server, stream) = bulk::start(|_, _| None).await;
    let mut bench = Bench::new();
    let ids = bench.put_many(3);
    bench.run(vec![("elastic", elastic(&server.url()))]);
    bench.drained("elastic").await;
    bench.stop().await;
    // A second name is a second lane that knows nothing of the first: the same requests once more.
    bench.run(vec![("again", elastic(&server.url()))]);
    bench.drained("again").await;
    assert_eq!(stream.ids(), ids);
    let fates: Vec<Fate> = bench.store.deliveries_of("a-000").unwrap().iter().map(|one| one.fate).collect();
    assert_eq!(fates, vec![Fate::Repeated, Fate::Delivered]);
}

#[tokio::test(flavor = "multi_thread")]
async fn items_of_a_bulk_request_have_each_their_own_fate() {
    let (server, stream) = bulk::start(|n, id| match id {
        "a-001" => Some((400, "document_parsing_exception")),
        "a-002" if n < 3 => Some((500, "exception")),
        "a-003" if n < 2 => Some((503, "unavailable_shards_exception")),
        _ => None,
    })
    .await;
    let mut bench = Bench::new();
    bench.put_many(5);
    bench.run(vec![("elastic", elastic(&server.url()))]);
    bench.drained("elastic").await;
    assert_eq!(stream.ids(), ["a-000", "a-004", "a-003", "a-002"]);
    let (fate, why, _) = bench.fate("a-001");
    assert_eq!((fate, why.as_str()), (Fate::Refused, "400 document_parsing_exception: as scripted"));
    assert_eq!(bench.fate("a-002").2, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_on_the_index_holds_the_lane_and_drops_nothing() {
    for (status, kind) in [(403, "cluster_block_exception"), (429, "cluster_block_exception"), (404, "index_not_found")]
    {
        let (server, stream) = bulk::start(move |n, _| (n < 3).then_some((status, kind))).await;
        let mut bench = Bench::new();
        let ids = bench.put_many(4);
        bench.run(vec![("elastic", elastic(&server.url()))]);
        bench.until("on hold", |bench| matches!(bench.lane("elastic"), Some(LaneState::OnHold(_)))).await;
        bench.drained("elastic").await;
        assert_eq!((stream.ids(), server.received().len()), (ids, 4), "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_changes_of_a_cluster_arrive_in_their_order_whatever_is_retried() {
    let (server, stream) = bulk::start(|n, id| {
        let retried = (id == "x-opened" && n < 3) || (id == "y-raised" && n < 5);
        retried.then_some((503, "unavailable_shards_exception"))
    })
    .await;
    let mut bench = Bench::new();
    let changes = [("opened", Change::Opened), ("raised", Change::Raised), ("closed", Change::Closed)];
    let alerts: Vec<Alert> = changes
        .iter()
        .flat_map(|(word, change)| ["x", "y"].map(|cluster| alert(&format!("{cluster}-{word}"), cluster, *change)))
        .map(|mut alert| {
            // A raise that the closing would say as well could be left out.
            if alert.change == Change::Raised {
                alert.portrait.severity = Severity::Critical;
            }
            alert
        })
        .collect();
    bench.put(&alerts);
    bench.run(vec![("elastic", elastic(&server.url()))]);
    bench.drained("elastic").await;
    let arrived = stream.ids();
    for cluster in ["x", "y"] {
        let own: Vec<&String> = arrived.iter().filter(|id| id.starts_with(cluster)).collect();
        assert_eq!(own, changes.map(|(word, _)| format!("{cluster}-{word}")).iter().collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_hangs_holds_up_no_other() {
    let silent = ScriptedServer::start(|_, _| Answer { never: true, ..Answer::default() }).await;
    let (server, stream) = bulk::start(|_, _| None).await;
    let mut bench = Bench::new();
    let path = bench.dir.path().join("alerts.jsonl");
    let ids = bench.put_many(25);
    bench.run(vec![("splunk", splunk(&silent.url())), ("elastic", elastic(&server.url())), ("file", file(&path, 0))]);
    bench.drained("elastic").await;
    bench.drained("file").await;
    assert_eq!(bench.store.n_waiting("splunk").unwrap(), 25);
    assert_eq!(stream.ids(), ids);
    let lines = std::fs::read_to_string(&path).unwrap();
    let written: Vec<String> =
        lines.lines().map(|line| serde_json::from_str::<Alert>(line).unwrap().alert_id).collect();
    assert_eq!(written, ids);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_rotated_and_an_unwritable_one_is_waited_for() {
    let mut bench = Bench::new();
    let directory = bench.dir.path().join("later");
    let path = directory.join("alerts.jsonl");
    let ids = bench.put_many(25);
    bench.run(vec![("file", file(&path, 1))]);
    bench.until("retrying", |bench| matches!(bench.lane("file"), Some(LaneState::Retrying(_)))).await;
    std::fs::create_dir(&directory).unwrap();
    bench.drained("file").await;
    let n_lines: usize = ["alerts.jsonl", "alerts.jsonl.1", "alerts.jsonl.2"]
        .iter()
        .map(|name| std::fs::read_to_string(directory.join(name)).unwrap().lines().count())
        .sum();
    assert_eq!(n_lines, ids.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_are_delivered_as_they_come_and_a_shutdown_finishes_the_request_in_flight() {
    let (server, index) = hec::start(&[]).await;
    let mut bench = Bench::new();
    bench.run(vec![("splunk", splunk(&server.url()))]);
    for n in 0..5 {
        bench.put(&[alert(&format!("a-{n}"), "c", Change::Raised)]);
        bench.drained("splunk").await;
    }
    bench.stop().await;
    assert_eq!(index.ids(), ["a-0", "a-1", "a-2", "a-3", "a-4"]);
    assert_eq!(Outbox::open(&bench.path(), "splunk").unwrap().n_waiting().unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_trusted_gets_nothing_until_its_authority_is_named() {
    let url = format!("https://{}", tls::start());
    let mut bench = Bench::new();
    bench.put_many(2);
    bench.run(vec![("splunk", splunk(&url))]);
    bench.until("on hold", |bench| matches!(bench.lane("splunk"), Some(LaneState::OnHold(_)))).await;
    let Some(LaneState::OnHold(why)) = bench.lane("splunk") else { panic!("on hold") };
    assert!(why.starts_with("the server's certificate is not trusted, name a ca_file"), "{why}");
    bench.stop().await;
    assert_eq!(bench.store.n_waiting("splunk").unwrap(), 2);
    let ca_file = Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tls/ca.pem"));
    bench.run(vec![("splunk", splunk_by(&url, &HttpSettings { ca_file, ..http() }))]);
    bench.drained("splunk").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_behind_another_address_is_verified_by_the_name_that_is_set() {
    let address = tls::start();
    let ca_file = Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tls/ca.pem"));
    // Loopback too, and not in the certificate.
    let url = format!("https://127.0.0.2:{}", address.port());
    let named = |name: &str| HttpSettings { ca_file: ca_file.clone(), server_name: Some(name.to_owned()), ..http() };
    let mut bench = Bench::new();
    bench.put_many(2);
    bench.run(vec![("splunk", splunk_by(&url, &HttpSettings { ca_file: ca_file.clone(), ..http() }))]);
    bench.until("on hold", |bench| matches!(bench.lane("splunk"), Some(LaneState::OnHold(_)))).await;
    bench.stop().await;
    bench.health.lane("splunk", LaneState::Idle);
    bench.run(vec![("splunk", splunk_by(&url, &named("other.example")))]);
    bench.until("on hold", |bench| matches!(bench.lane("splunk"), Some(LaneState::OnHold(_)))).await;
    bench.stop().await;
    bench.run(vec![("splunk", splunk_by(&url, &named("localhost")))]);
    bench.drained("splunk").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_wants_a_client_certificate_gets_it_and_the_lane_holds_without() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tls");
    let url = format!("https://{}", tls::start_mutual());
    let plain = HttpSettings { ca_file: Some(data.join("ca.pem")), ..http() };
    let mut bench = Bench::new();
    bench.put_many(2);
    bench.run(vec![("splunk", splunk_by(&url, &plain))]);
    bench.until("on hold", |bench| matches!(bench.lane("splunk"), Some(LaneState::OnHold(_)))).await;
    let Some(LaneState::OnHold(why)) = bench.lane("splunk") else { panic!("on hold") };
    assert!(why.starts_with("the server does not take our certificate, see client_cert_file"), "{why}");
    bench.stop().await;
    let (client_cert_file, client_key_file) = (Some(data.join("client.pem")), Some(data.join("client.key")));
    bench.run(vec![("splunk", splunk_by(&url, &HttpSettings { client_cert_file, client_key_file, ..plain }))]);
    bench.drained("splunk").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_healthy_endpoint_is_enough_and_the_preferred_one_is_used_again_when_it_is_back() {
    let (gone, _) = hec::start(&[]).await;
    let (gone_url, gone_address) = (gone.url(), gone.url().trim_start_matches("http://").parse().unwrap());
    drop(gone);
    let (ill, _) = hec::start(&["bad-gateway"; 1_000]).await;
    let (well, index) = hec::start(&[]).await;
    let urls = [gone_url, ill.url(), well.url()];
    let mut bench = Bench::new();
    let mut ids = bench.put_many(25);
    bench.run(vec![("splunk", splunk_at(&urls, Credential::fixed("t0ken"), &http()))]);
    bench.drained("splunk").await;
    assert_eq!(index.ids(), ids);
    // The first request found it out, the two after it went straight to the one that is well.
    assert_eq!(ill.received().len(), 1);
    let (back, index_back) = hec::start_at(gone_address, &[]).await;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    ids = vec!["later".to_owned()];
    bench.put(&[alert("later", "c-later", Change::Opened)]);
    bench.drained("splunk").await;
    assert_eq!((index_back.ids(), back.received().len(), index.ids().len()), (ids, 1, 25));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_about_credentials_holds_the_lane_and_is_not_asked_of_another_endpoint() {
    let (first, _) = hec::start(&["token-disabled"; 1_000]).await;
    let (second, _) = hec::start(&[]).await;
    let mut bench = Bench::new();
    bench.put_many(2);
    let urls = [first.url(), second.url()];
    bench.run(vec![("splunk", splunk_at(&urls, Credential::fixed("t0ken"), &http()))]);
    bench.until("on hold", |bench| matches!(bench.lane("splunk"), Some(LaneState::OnHold(_)))).await;
    bench.stop().await;
    assert_eq!(second.received().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_was_changed_in_its_file_frees_the_lane_without_a_restart() {
    let index = hec::Index::default();
    let taken = index.clone();
    let server = ScriptedServer::start(move |_, request| {
        if request.headers["authorization"] != "Splunk fresh" {
            return hec::reply("invalid-token");
        }
        taken.take(request);
        hec::reply("success")
    })
    .await;
    let mut bench = Bench::new();
    let path = bench.dir.path().join("token");
    std::fs::write(&path, "stale\n").unwrap();
    let ids = bench.put_many(2);
    let credential = Credential::in_file("stale", &path);
    bench.run(vec![("splunk", splunk_at(&[server.url()], credential, &http()))]);
    bench.until("on hold", |bench| matches!(bench.lane("splunk"), Some(LaneState::OnHold(_)))).await;
    std::fs::write(&path, "fresh\n").unwrap();
    bench.drained("splunk").await;
    assert_eq!(index.ids(), ids);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_lanes_to_one_address_with_their_own_token_do_not_meet() {
    let indexes = [hec::Index::default(), hec::Index::default()];
    let taken = indexes.clone();
    let server = ScriptedServer::start(move |n, request| {
        let of = usize::from(request.headers["authorization"] == "Splunk b");
        if of == 1 && n < 4 {
            return hec::reply("token-disabled");
        }
        taken[of].take(request);
        hec::reply("success")
    })
    .await;
    let mut bench = Bench::new();
    let ids = bench.put_many(3);
    let lane = |token: &str| splunk_at(&[server.url()], Credential::fixed(token), &http());
    bench.run(vec![("a", lane("a")), ("b", lane("b"))]);
    bench.drained("a").await;
    bench.drained("b").await;
    assert_eq!(indexes.map(|index| index.ids()), [ids.clone(), ids]);
}

#[tokio::test(flavor = "multi_thread")]
async fn delivery_ends_when_whoever_would_end_it_is_gone() {
    let (server, index) = hec::start(&[]).await;
    let mut bench = Bench::new();
    let ids = bench.put_many(2);
    bench.run(vec![("splunk", splunk(&server.url()))]);
    bench.drained("splunk").await;
    drop(std::mem::replace(&mut bench.shutdown, watch::Sender::new(false)));
    let ended = tokio::time::timeout(PATIENCE, bench.tasks.join_next()).await;
    ended.unwrap().unwrap().unwrap().unwrap();
    assert_eq!(index.ids(), ids);
}

async fn get(address: std::net::SocketAddr, path: &str) -> (u16, String) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_ends_the_service_can_wait_until_every_destination_has_answered() {
    let (willing, _) = hec::start(&["success"; 1_000]).await;
    let (unwilling, _) = hec::start(&["token-disabled"; 1_000]).await;
    let mut bench = Bench::new();
    let path = bench.path();
    let (moment, all) = (Duration::from_millis(120), ["willing", "unwilling"]);
    assert!(drained(&path, &all, PATIENCE).await.unwrap(), "nothing was to be waited for");
    bench.put_many(25);
    assert!(!drained(&path, &all, moment).await.unwrap(), "no lane is running");
    bench.run(vec![("willing", splunk(&willing.url())), ("unwilling", splunk(&unwilling.url()))]);
    assert!(drained(&path, &["willing"], PATIENCE).await.unwrap());
    assert_eq!(bench.store.n_waiting("willing").unwrap(), 0);
    assert!(!drained(&path, &all, moment).await.unwrap(), "one of them is on hold");
    let error = drained(&path.with_file_name("no-store.db"), &all, PATIENCE).await.unwrap_err();
    assert!(error.to_string().contains("willing"), "{error}");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_stand_in_a_topic_under_the_id_of_their_cluster() {
    let broker = EmbeddedBroker::start().unwrap();
    broker.create_topic("alerts", 1).unwrap();
    let settings = ProducerSettings::new(vec![broker.brokers().to_owned()], "alerts".to_owned());
    let mut bench = Bench::new();
    let ids = bench.put_many(25);
    bench.run(vec![("topic", Box::new(TopicOutlet::new(settings)))]);
    bench.drained("topic").await;
    let stored = read_back(broker.brokers(), "alerts");
    let keys: Vec<&str> = stored.iter().map(|it| it.key.as_str()).collect();
    assert_eq!(keys, ids.iter().map(|id| format!("c-{id}")).collect::<Vec<_>>());
    for (it, id) in stored.iter().zip(&ids) {
        let told: Alert = serde_json::from_slice(&it.value).unwrap();
        assert_eq!(told, alert(id, &format!("c-{id}"), Change::Opened));
    }
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_that_is_too_large_for_its_topic_is_refused_alone() {
    let broker = EmbeddedBroker::start().unwrap();
    broker.create_topic("alerts", 1).unwrap();
    let mut settings = ProducerSettings::new(vec![broker.brokers().to_owned()], "alerts".to_owned());
    settings.properties.insert("message.max.bytes".to_owned(), "20000".to_owned());
    let mut large = alert("large", "c-large", Change::Opened);
    large.portrait.title = "x".repeat(30_000);
    let small = |n: usize| alert(&format!("a-{n}"), &format!("c-{n}"), Change::Opened);
    let check = async |alerts: &[Alert], expected: &[Fate]| {
        let reading = TopicOutlet::new(settings.clone()).send(alerts).await;
        let Reading::Words(said) = reading else { panic!("{reading:?}") };
        let fates = said.iter().map(|word| match word {
            Word::Final(fate, why) => {
                assert!(*fate == Fate::Delivered || why.contains("max.message.bytes"), "{why}");
                *fate
            }
            other => panic!("{other:?}"),
        });
        assert_eq!(fates.collect::<Vec<_>>(), expected);
    };
    check(&[large.clone()], &[Fate::Refused]).await;
    check(&[small(1), large, small(2)], &[Fate::Delivered, Fate::Refused, Fate::Delivered]).await;
    let stored: BTreeSet<String> = read_back(broker.brokers(), "alerts").into_iter().map(|it| it.key).collect();
    assert_eq!(stored, ["c-1", "c-2"].map(str::to_owned).into());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_does_not_acknowledge_is_tried_again_and_a_refused_setting_holds() {
    let mut settings = ProducerSettings::new(vec!["127.0.0.1:1".to_owned()], "alerts".to_owned());
    settings.deadline = Duration::from_millis(300);
    let alerts = [alert("a", "c", Change::Opened)];
    let reading = TopicOutlet::new(settings.clone()).send(&alerts).await;
    assert!(matches!(&reading, Reading::Retry { why, .. } if why.contains("no acknowledgement")), "{reading:?}");
    settings.properties.insert("acks".to_owned(), "0".to_owned());
    let reading = TopicOutlet::new(settings).send(&alerts).await;
    assert!(matches!(&reading, Reading::Hold { why } if why.contains("`acks`")), "{reading:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_endpoint_tells_what_delivery_does() {
    let metrics = admin::install_metrics().unwrap();
    let (server, _) = hec::start(&["token-disabled"; 1_000]).await;
    let mut bench = Bench::new();
    bench.put_many(3);
    // Metrics belong to the process, that is to all tests: the name is this test's own.
    bench.run(vec![("watched", splunk(&server.url()))]);
    let listener = admin::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    assert!(admin::bind(address).await.unwrap_err().to_string().contains("name another address"));
    let mut endpoint = JoinSet::new();
    let shutdown = watch::Sender::new(false);
    endpoint.spawn(admin::serve(listener, Arc::clone(&bench.health), metrics, shutdown.subscribe()));
    bench.until("on hold", |bench| matches!(bench.lane("watched"), Some(LaneState::OnHold(_)))).await;
    assert_eq!(get(address, "/livez").await, (200, "alive\n".to_owned()));
    let (status, body) = get(address, "/readyz").await;
    let report: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &report["ready"]), (503, &serde_json::Value::Bool(false)));
    assert_eq!(report["lanes"]["watched"]["state"], "on_hold");
    assert_eq!(report["lanes"]["watched"]["waiting"], 3);
    let (status, body) = get(address, "/metrics").await;
    assert_eq!(status, 200);
    assert!(body.contains(r#"panicsift_lane_on_hold{destination="watched"} 1"#), "{body}");
    assert!(body.contains(r#"panicsift_delivery_requests_total{destination="watched",outcome="hold"}"#), "{body}");
    bench.stop().await;
    bench.health.turned();
    bench.health.source(SourceState::Reading(1));
    bench.health.lane("watched", LaneState::Idle);
    assert_eq!(get(address, "/readyz").await.0, 200);
    assert_eq!(get(address, "/").await.0, 404);
    shutdown.send_replace(true);
    endpoint.join_next().await.unwrap().unwrap().unwrap();
}
