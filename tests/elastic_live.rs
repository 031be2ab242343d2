//! One pass through each real server that is named in the environment: alerts in, read back, sent again, none doubled.
//!
//! `PANICSIFT_TEST_OPENSEARCH` and `PANICSIFT_TEST_ELASTICSEARCH` hold the address of an empty server without
//! security. Without them the test says loudly that it was skipped, and with `CI_LIVE=1` it fails.

use std::sync::Arc;
use std::time::Duration;

use panicsift::edge::admin::{Health, HealthLimits};
use panicsift::edge::deliver::{BatchLimits, HttpClient, HttpOutlet, HttpSettings, Lane, Login, PaceLimits, deliver};
use panicsift::edge::elastic::{ElasticSettings, ElasticWire};
use panicsift::edge::store::{Fate, Store};
use panicsift::pipeline::alert::{Alert, Change};
use panicsift::pipeline::event::Checkpoint;
use tokio::sync::watch;

use crate::support::alert;

const N_ALERTS: usize = 50;

/// The address of a server, or `None` after saying so.
#[expect(clippy::disallowed_methods, reason = "which servers there are is told by whoever starts the tests")]
fn server(variable: &str) -> Option<String> {
    let found = std::env::var(variable).ok().filter(|url| !url.is_empty());
    if found.is_none() {
        println!("SKIPPED: {variable} is not set, nothing was tried against a real server");
        let is_required = std::env::var("CI_LIVE").is_ok_and(|value| value == "1");
        assert!(!is_required, "CI_LIVE=1 and {variable} is not set");
    }
    found
}

async fn call(request: reqwest::RequestBuilder) -> serde_json::Value {
    let reply = request.header("content-type", "application/json").send().await.unwrap();
    let status = reply.status();
    let body = reply.text().await.unwrap();
    assert!(status.is_success(), "{status}: {body}");
    serde_json::from_str(&body).unwrap()
}

/// Delivers all that waits in the store under this destination's name; returns how each alert fared.
async fn run(store: &Store, path: &std::path::Path, name: &str, outlet: HttpOutlet<ElasticWire>) -> Vec<Fate> {
    let batch = BatchLimits { alerts_max: 20, ..BatchLimits::default() };
    let lane = Lane::new(name, path, Box::new(outlet)).with_limits(batch, PaceLimits::default());
    let health = Arc::new(Health::new(HealthLimits::default()));
    let (wakeup, shutdown) = (watch::Sender::new(0), watch::Sender::new(false));
    let delivered = async {
        for _ in 0..600 {
            if store.n_waiting(name).unwrap() == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        shutdown.send_replace(true);
    };
    let running = deliver(vec![lane], Arc::clone(&health), wakeup.subscribe(), shutdown.subscribe());
    let (ended, ()) = tokio::join!(running, delivered);
    ended.unwrap();
    assert_eq!(store.n_waiting(name).unwrap(), 0, "{:?}", health.report());
    (0..N_ALERTS)
        .map(|n| {
            let deliveries = store.deliveries_of(&id(n)).unwrap();
            deliveries.iter().find(|one| one.destination == name).unwrap().fate
        })
        .collect()
}

fn id(n: usize) -> String {
    format!("live-{n:03}")
}

async fn check(url: &str) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let mut store = Store::open(&path).unwrap();
    // A stream of this run's own, so that a server may serve several.
    let namespace: String = dir.path().to_string_lossy().chars().filter(char::is_ascii_alphanumeric).collect();
    let data_stream = format!("logs-panicsift.alert-{}", namespace.to_ascii_lowercase());
    let alerts: Vec<Alert> = (0..N_ALERTS).map(|n| alert(&id(n), &format!("c-{n}"), Change::Opened)).collect();
    store.commit(&[], &alerts, &Checkpoint::default()).unwrap();
    let outlet = || {
        let client = HttpClient::new("elastic", &[url.to_owned()], Login::None, &HttpSettings::default()).unwrap();
        HttpOutlet::new(ElasticWire::new(&ElasticSettings { data_stream: data_stream.clone() }), client)
    };
    // Building an outlet installs the TLS provider that this client needs too.
    drop(outlet());
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let template = serde_json::json!({
        "index_patterns": ["logs-panicsift.alert-*"],
        "data_stream": {},
        "priority": 250,
        "template": {
            "settings": {"number_of_replicas": 0},
            "mappings": {
                "dynamic": false,
                "properties": {
                    "@timestamp": {"type": "date"},
                    "event": {"properties": {"id": {"type": "keyword"}, "kind": {"type": "keyword"}}},
                    "source": {"properties": {"ip": {"type": "ip"}}},
                    "related": {"properties": {"ip": {"type": "ip"}}}
                }
            }
        }
    });
    call(client.put(format!("{url}/_index_template/panicsift-test")).body(template.to_string())).await;

    assert_eq!(run(&store, &path, "first", outlet()).await, vec![Fate::Delivered; N_ALERTS]);
    assert_eq!(run(&store, &path, "again", outlet()).await, vec![Fate::Repeated; N_ALERTS]);

    call(client.post(format!("{url}/{data_stream}/_refresh"))).await;
    let query = serde_json::json!({
        "size": 1_000,
        "query": {"bool": {"filter": [{"term": {"event.kind": "alert"}}, {"term": {"source.ip": "192.0.2.0/24"}}]}},
        "sort": [{"event.id": "asc"}]
    });
    let found = call(client.post(format!("{url}/{data_stream}/_search")).body(query.to_string())).await;
    let hits = found["hits"]["hits"].as_array().unwrap();
    let ids: Vec<&str> = hits.iter().map(|hit| hit["_id"].as_str().unwrap()).collect();
    assert_eq!(ids, (0..N_ALERTS).map(id).collect::<Vec<_>>());
    let kept: Alert = serde_json::from_value(hits[7]["_source"]["panicsift"].clone()).unwrap();
    assert_eq!(kept, alerts[7], "the whole alert is in the document");
    assert!(hits[0]["_index"].as_str().unwrap().starts_with(".ds-"), "it is a data stream");
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_reach_a_real_opensearch_once() {
    if let Some(url) = server("PANICSIFT_TEST_OPENSEARCH") {
        check(&url).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_reach_a_real_elasticsearch_once() {
    if let Some(url) = server("PANICSIFT_TEST_ELASTICSEARCH") {
        check(&url).await;
    }
}
