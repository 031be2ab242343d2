//! The life of a destination on each real server that is named in the environment: not prepared, prepared, alerts in,
//! read back, sent again, rolled over.
//!
//! `PANICSIFT_TEST_OPENSEARCH` and `PANICSIFT_TEST_ELASTICSEARCH` hold the address of a server without security.
//! Without them the test says loudly that it was skipped, and with `CI_LIVE=1` it fails. Each run has a data set of its
//! own, so that a server may serve several.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use panicsift::edge::admin::{Health, HealthLimits};
use panicsift::edge::deliver::{BatchLimits, HttpClient, HttpSettings, Lane, Login, PaceLimits, deliver};
use panicsift::edge::elastic::{ElasticOutlet, ElasticSettings, TemplateCheck};
use panicsift::edge::store::{Delivery, Fate, Store};
use panicsift::pipeline::alert::{Alert, Change};
use panicsift::pipeline::brief::searches::{self, Places};
use panicsift::pipeline::event::Checkpoint;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::support::alert;
use crate::support::servers::live_address;

const N_ALERTS: usize = 50;

/// Kibana's prebuilt rule for external alerts asks this, every five minutes.
const EXTERNAL_ALERTS: &str = "event.kind:alert AND NOT event.module:(endgame OR endpoint OR cloud_defend)";

fn id(n: usize) -> String {
    format!("live-{n:03}")
}

/// A server, a store with alerts, and a data stream of this run's own.
struct Bench {
    url: String,
    dir: tempfile::TempDir,
    store: Store,
    alerts: Vec<Alert>,
    data_stream: String,
    client: reqwest::Client,
}

impl Bench {
    fn new(url: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(&dir.path().join("store.db")).unwrap();
        let alerts: Vec<Alert> = (0..N_ALERTS).map(|n| alert(&id(n), &format!("c-{n}"), Change::Opened)).collect();
        store.commit(&[], &alerts, &Checkpoint::default()).unwrap();
        let unique: String = dir.path().to_string_lossy().chars().filter(char::is_ascii_alphanumeric).collect();
        let data_stream = format!("logs-panicsift.{}-default", unique.to_ascii_lowercase());
        // Building a client of ours installs the TLS provider that this one needs too.
        drop(HttpClient::new("elastic", &[url.to_owned()], Login::None, &HttpSettings::default()).unwrap());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let bench = Self { url: url.to_owned(), dir, store, alerts, data_stream, client };
        let config = format!(
            "[source]\nbrokers = [\"k:9092\"]\ntopics = [\"t\"]\n[[destination]]\nkind = \"elastic\"\nname = \"elastic\"\n\
             url = \"{url}\"\ndata_stream = \"{}\"\nretention_days = 30\n",
            bench.data_stream
        );
        std::fs::write(bench.config(), config).unwrap();
        bench
    }

    fn config(&self) -> PathBuf {
        self.dir.path().join("config.toml")
    }

    fn setup(&self) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_panicsift"));
        command.args(["setup", "elastic", "--config"]).arg(self.config()).output().unwrap()
    }

    async fn call(&self, method: reqwest::Method, path: &str, body: Value) -> (u16, Value) {
        let request = self.client.request(method, format!("{}/{path}", self.url));
        let request = request.header("content-type", "application/json");
        let request = if body.is_null() { request } else { request.body(body.to_string()) };
        let reply = request.send().await.unwrap();
        let status = reply.status().as_u16();
        let text = reply.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.call(reqwest::Method::GET, path, Value::Null).await
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.call(reqwest::Method::POST, path, body).await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    async fn search(&self, body: Value) -> Value {
        self.post(&format!("{}/_refresh", self.data_stream), Value::Null).await;
        self.post(&format!("{}/_search", self.data_stream), body).await
    }

    /// Whether anything bears the stream's name.
    async fn exists(&self) -> bool {
        let (_, found) = self.get(&format!("_resolve/index/{}", self.data_stream)).await;
        ["indices", "data_streams", "aliases"]
            .iter()
            .any(|kind| found[kind].as_array().is_some_and(|it| !it.is_empty()))
    }

    /// Runs a lane under this name until nothing waits; `while_held` is called once when it is first on hold. Returns how
    /// each alert fared.
    async fn run(&self, name: &str, while_held: impl AsyncFn(&str)) -> Vec<Delivery> {
        let client =
            HttpClient::new(name, std::slice::from_ref(&self.url), Login::None, &HttpSettings::default()).unwrap();
        let stream = ElasticSettings { data_stream: self.data_stream.clone() };
        let outlet = ElasticOutlet::new("elastic", client, &stream, TemplateCheck::Required);
        let batch = BatchLimits { alerts_max: 20, ..BatchLimits::default() };
        let pace = PaceLimits { hold: Duration::from_millis(200), ..PaceLimits::default() };
        let lane = Lane::new(name, self.dir.path().join("store.db"), Box::new(outlet)).with_limits(batch, pace);
        let health = Arc::new(Health::new(HealthLimits::default()));
        let (wakeup, shutdown) = (watch::Sender::new(0), watch::Sender::new(false));
        let delivered = async {
            let mut was_held = false;
            for _ in 0..1_200 {
                if self.store.n_waiting(name).unwrap() == 0 {
                    break;
                }
                let reasons = health.report().reasons.join("; ");
                if !was_held && reasons.contains("on hold") {
                    was_held = true;
                    while_held(&reasons).await;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            shutdown.send_replace(true);
        };
        let running = deliver(vec![lane], Arc::clone(&health), wakeup.subscribe(), shutdown.subscribe());
        let (ended, ()) = tokio::join!(running, delivered);
        ended.unwrap();
        assert_eq!(self.store.n_waiting(name).unwrap(), 0, "{:?}", health.report());
        let delivery = |n: usize| {
            let deliveries = self.store.deliveries_of(&id(n)).unwrap();
            deliveries.into_iter().find(|one| one.destination == name).unwrap()
        };
        (0..N_ALERTS).map(delivery).collect()
    }
}

#[track_caller]
fn check_fates(deliveries: &[Delivery], expected: Fate) {
    let fates: Vec<Fate> = deliveries.iter().map(|one| one.fate).collect();
    assert_eq!(fates, vec![expected; N_ALERTS]);
}

#[track_caller]
fn told(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{out}\n{err}");
    out.into_owned()
}

async fn check(url: &str) {
    let bench = Bench::new(url);
    let first = bench
        .run("first", async |reasons| {
            assert!(reasons.contains("panicsift setup elastic --config FILE --destination elastic"), "{reasons}");
            assert!(reasons.contains(&bench.data_stream), "{reasons}");
            // Some probes of a lane on hold later there is still nothing.
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert!(!bench.exists().await, "an index was made without a template");
            let told = told(&bench.setup());
            assert!(told.starts_with("elastic: installed"), "{told}");
        })
        .await;
    check_fates(&first, Fate::Delivered);
    let again = told(&bench.setup());
    assert!(again.starts_with("elastic: already current"), "{again}");
    assert!(!again.contains("created") && !again.contains("updated"), "{again}");

    check_proof(&bench, &first[7].detail).await;
    check_fates(&bench.run("again", async |reasons| panic!("{reasons}")).await, Fate::Repeated);
    check_documents(&bench).await;
    check_queries(&bench).await;

    // The documented limit: the _id guards one index, and a rollover begins another.
    bench.post(&format!("{}/_rollover", bench.data_stream), json!({})).await;
    check_fates(&bench.run("rolled-over", async |reasons| panic!("{reasons}")).await, Fate::Delivered);
    let counted = json!({"size": 0, "track_total_hits": true, "aggs": {"ids": {"cardinality": {"field": "event.id"}}}});
    let found = bench.search(counted).await;
    assert_eq!(found["hits"]["total"]["value"], 2 * N_ALERTS);
    assert_eq!(found["aggregations"]["ids"]["value"], N_ALERTS, "event.id folds them");
    check_mappings(&bench).await;
    check_update(&bench).await;
}

/// What a delivery says is where the document is.
async fn check_proof(bench: &Bench, detail: &str) {
    let field = |name: &str| {
        let found = detail.split(' ').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        found.unwrap_or_else(|| panic!("{detail} has no {name}")).to_owned()
    };
    assert_eq!(field("_id"), id(7));
    assert!(field("_index").starts_with(&format!(".ds-{}-", bench.data_stream)), "{detail}");
    let (status, document) = bench.get(&format!("{}/_doc/{}", field("_index"), field("_id"))).await;
    assert_eq!(status, 200, "{document}");
    assert_eq!(document["_seq_no"].to_string(), field("_seq_no"));
}

/// The external-alerts rule finds all of them, by fields of the types that it expects, and the whole alert is in each.
async fn check_documents(bench: &Bench) {
    let query = json!({
        "size": 1_000,
        "query": {"bool": {"filter": [
            {"query_string": {"query": EXTERNAL_ALERTS}},
            {"term": {"source.ip": "192.0.2.0/24"}},
            {"range": {"event.severity": {"gte": 21}}},
            {"range": {"@timestamp": {"lte": "now"}}}
        ]}},
        "sort": [{"event.id": "asc"}]
    });
    let found = bench.search(query).await;
    let hits = found["hits"]["hits"].as_array().unwrap();
    let ids: Vec<&str> = hits.iter().map(|hit| hit["_id"].as_str().unwrap()).collect();
    assert_eq!(ids, (0..N_ALERTS).map(id).collect::<Vec<_>>());
    let kept: Alert = serde_json::from_value(hits[7]["_source"]["panicsift"].clone()).unwrap();
    assert_eq!(kept, bench.alerts[7], "the whole alert is in the document");
}

/// The searches that an alert brings along find its alert, and hostile names in them stay names. Servers without ES|QL
/// (OpenSearch, Elasticsearch as its tests build it) cannot be asked: then it is said that they were not.
async fn check_queries(bench: &Bench) {
    let places = Places { data_stream: bench.data_stream.clone(), ..Places::default() };
    let alert = &bench.alerts[7];
    let found = searches::of(&places, alert.change, &alert.cluster, &alert.portrait).esql;
    let ask = async |query: &str| bench.call(reqwest::Method::POST, "_query", json!({ "query": query })).await;
    let (status, answer) = ask(&found.alerts).await;
    if [400, 404, 405].contains(&status)
        && answer["error"]["type"] != "parsing_exception"
        && answer["columns"].is_null()
    {
        eprintln!("SKIPPED: elastic_live asks no ES|QL of {}, which has none: {answer}", bench.url);
        return;
    }
    assert_eq!(status, 200, "{}: {answer}", found.alerts);
    let clusters: Vec<&Value> = answer["values"].as_array().unwrap().iter().map(|row| &row[1]).collect();
    assert_eq!(clusters, [&json!(alert.cluster)]);
    let (status, answer) = ask(&found.events).await;
    assert_eq!(status, 200, "{}: {answer}", found.events);
    let mut portrait = alert.portrait.clone();
    portrait.lineage =
        ["a\" | DROP panicsift.cluster | WHERE \"", "\\", "a\r\nb", "`x` $y *", "\u{202e}é"].map(str::to_owned).into();
    let hostile = searches::of(&places, alert.change, "nobody", &portrait).esql;
    let (status, answer) = ask(&hostile.alerts).await;
    assert_eq!((status, &answer["values"]), (200, &json!([])), "{}: {answer}", hostile.alerts);
}

/// Fields are those that were named: an unknown one is kept and not mapped, neither under our object nor at the top, and
/// a value that does not fit its field costs that field and not the document.
async fn check_mappings(bench: &Bench) {
    let document = json!({
        "@timestamp": "2026-09-14T08:00:00Z",
        "unheard": "x",
        "source": {"ip": "no address"},
        "panicsift": {"unheard": {"of": 1}, "cluster": "c"}
    });
    let path = format!("{}/_create/unheard-of?refresh=true", bench.data_stream);
    let (status, answer) = bench.call(reqwest::Method::PUT, &path, document).await;
    assert_eq!(status, 201, "{answer}");
    let (_, mapping) = bench.get(&format!("{}/_mapping", bench.data_stream)).await;
    let (_, index) = mapping.as_object().unwrap().iter().next().unwrap();
    let fields = &index["mappings"]["properties"];
    assert!(fields.get("unheard").is_none() && fields["panicsift"]["properties"].get("unheard").is_none(), "{fields}");
    assert_eq!(fields["panicsift"]["properties"]["cluster"]["type"], "keyword");
    assert_eq!(fields["event"]["properties"]["severity"]["type"], "long");
    let query = json!({"query": {"term": {"panicsift.unheard.of": 1}}});
    assert_eq!(bench.search(query).await["hits"]["total"]["value"], 0);
}

/// A component that was changed by hand is put right again, what is another's is left alone, the operator's own too.
async fn check_update(bench: &Bench) {
    let stem = bench.data_stream.strip_suffix("-default").unwrap();
    let path = |name: &str| format!("_component_template/{stem}@{name}");
    let put = async |name: &str, body: Value| {
        let (status, answer) = bench.call(reqwest::Method::PUT, &path(name), body).await;
        assert_eq!(status, 200, "{answer}");
    };
    let (_, custom) = bench.get(&path("custom")).await;
    assert_eq!(custom["component_templates"][0]["name"], format!("{stem}@custom"));
    put("custom", json!({"template": {"settings": {"number_of_replicas": 0}}})).await;
    put("settings", json!({"template": {}, "version": 0, "_meta": {"managed_by": "panicsift"}})).await;
    let mended = told(&bench.setup());
    assert!(mended.contains(&format!("updated            component template {stem}@settings")), "{mended}");
    assert!(mended.contains(&format!("yours, left alone  component template {stem}@custom")), "{mended}");
    assert!(mended.contains("_rollover"), "{mended}");
    let (_, custom) = bench.get(&path("custom")).await;
    let replicas = &custom["component_templates"][0]["component_template"]["template"]["settings"]["index"];
    assert_eq!(replicas["number_of_replicas"], "0", "the operator's is kept");

    put("settings", json!({"template": {}, "_meta": {"managed_by": "somebody else"}})).await;
    let refused = bench.setup();
    assert_eq!(refused.status.code(), Some(1));
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(error.contains("is not panicsift's"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_opensearch_is_prepared_and_gets_every_alert_once() {
    let test = "elastic_live on OpenSearch";
    if let Some(url) = live_address("PANICSIFT_TEST_OPENSEARCH", test) {
        check(&url).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_elasticsearch_is_prepared_and_gets_every_alert_once() {
    let test = "elastic_live on Elasticsearch";
    if let Some(url) = live_address("PANICSIFT_TEST_ELASTICSEARCH", test) {
        check(&url).await;
    }
}
