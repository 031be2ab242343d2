//! Every way in which OpenSearch and Elasticsearch refuse alerts, provoked on the servers themselves.
//!
//! Each test sees the lane do the right thing meanwhile (nothing lost, nothing spun, the server's own words in health)
//! and, once the cause is gone, everything delivered, each alert once. `PANICSIFT_TEST_OPENSEARCH` and
//! `PANICSIFT_TEST_ELASTICSEARCH` hold addresses of servers without security, `PANICSIFT_TEST_OPENSEARCH_SECURE` and
//! `PANICSIFT_TEST_ELASTICSEARCH_SECURE` the folders of those with it (`tests/servers`). What only a node with settings
//! of its own refuses is tried on one that the test starts.

mod node;
mod sending;

mod alone;
mod secure;

use panicsift::edge::deliver::{HttpSettings, Login, Reading};
use panicsift::edge::store::Fate;
use panicsift::pipeline::alert::Change;
use reqwest::Method;
use serde_json::{Value, json};

use self::node::Node;
use self::sending::Sending;
use crate::support::alert;

/// A test on each of the servers without security.
macro_rules! on_both {
    ($name:ident) => {
        mod $name {
            use crate::refusals_live::Node;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn opensearch() {
                if let Some(node) = Node::plain("PANICSIFT_TEST_OPENSEARCH", stringify!($name)) {
                    super::$name(node).await;
                }
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn elasticsearch() {
                if let Some(node) = Node::plain("PANICSIFT_TEST_ELASTICSEARCH", stringify!($name)) {
                    super::$name(node).await;
                }
            }
        }
    };
}

on_both!(a_block_on_the_index_holds_the_lane_until_it_is_lifted);
async fn a_block_on_the_index_holds_the_lane_until_it_is_lifted(node: Node) {
    node.prepare().await;
    let mut sending = Sending::new();
    sending.put(0..10);
    sending.start(&node.open_way());
    sending.drained().await;
    let blocks = [
        ("write", ["403 cluster_block_exception", "index write (api)"]),
        ("read_only", ["403 cluster_block_exception", "index read-only (api)"]),
        // Comes as 429, and is no overload.
        ("read_only_allow_delete", ["429 cluster_block_exception", "flood-stage watermark"]),
    ];
    for (n, (block, words)) in blocks.into_iter().enumerate() {
        let block = format!("index.blocks.{block}");
        node.set(&json!({ &block: true })).await;
        sending.put(10 + n * 20..30 + n * 20);
        sending.holds(&words).await;
        assert_eq!(sending.n_waiting(), 20);
        node.set(&json!({ &block: Value::Null })).await;
        sending.drained().await;
    }
    sending.ends_with_all(Fate::Delivered).await;
    assert_eq!(node.ids().await, sending.ids());
}

on_both!(an_alert_that_the_mapping_refuses_is_refused_alone_with_the_words_of_the_server);
async fn an_alert_that_the_mapping_refuses_is_refused_alone_with_the_words_of_the_server(node: Node) {
    let mapping = json!({"properties": {"@timestamp": {"type": "date"},
        "event": {"properties": {"id": {"type": "long"}}}}, "dynamic": false});
    node.template(json!({ "mappings": mapping })).await;
    let mut sending = Sending::new();
    sending.put(0..15);
    sending.put_alerts(&[alert("no number", "c-poison", Change::Opened)]);
    sending.put(15..30);
    sending.start(&node.open_way().without_a_look());
    sending.drained().await;
    sending.stop().await;
    let (fate, words) = sending.fate("no number");
    assert_eq!(fate, Fate::Refused);
    assert!(words.starts_with("400 ") && words.contains("parsing_exception"), "{words}");
    assert!(words.contains("failed to parse field [event.id] of type [long]"), "{words}");
    let good: Vec<String> = sending.ids().into_iter().filter(|id| id != "no number").collect();
    for id in &good {
        assert_eq!(sending.fate(id).0, Fate::Delivered, "{id}");
    }
    assert_eq!(node.ids().await, good);
    assert_eq!(sending.n_requests(), 1, "the others do not wait for it");
}

on_both!(a_pipeline_that_is_not_there_holds_the_lane_until_it_is);
async fn a_pipeline_that_is_not_there_holds_the_lane_until_it_is(node: Node) {
    node.prepare().await;
    let mut sending = Sending::new();
    sending.put(0..10);
    sending.start(&node.open_way());
    sending.drained().await;
    // Both servers call it an illegal argument of the alert.
    node.set(&json!({"index.default_pipeline": "no-such-pipeline"})).await;
    sending.put(10..100);
    let words = "pipeline with id [no-such-pipeline] does not exist";
    sending.until_it_says(&["destination elastic is on hold", words]).await;
    node.set(&json!({"index.default_pipeline": "_none"})).await;
    sending.ends_with_all(Fate::Delivered).await;
    assert_eq!(node.ids().await, sending.ids());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_index_holds_the_lane_until_it_is_opened() {
    const NAME: &str = "a_closed_index_holds_the_lane_until_it_is_opened";
    // OpenSearch does not let anybody close the index that is written to.
    let Some(node) = Node::plain("PANICSIFT_TEST_ELASTICSEARCH", NAME) else { return };
    node.prepare().await;
    let mut sending = Sending::new();
    sending.put(0..10);
    sending.start(&node.open_way());
    sending.drained().await;
    let (index, _) = node.documents(&node.stream).await.swap_remove(0);
    node.ask(Method::POST, &format!("{index}/_close"), &Value::Null).await;
    sending.put(10..30);
    sending.holds(&["400 index_closed_exception"]).await;
    node.ask(Method::POST, &format!("{index}/_open"), &Value::Null).await;
    sending.ends_with_all(Fate::Delivered).await;
    assert_eq!(node.ids().await, sending.ids());
}

on_both!(a_rollover_in_the_middle_loses_and_repeats_nothing);
async fn a_rollover_in_the_middle_loses_and_repeats_nothing(node: Node) {
    node.prepare().await;
    let mut sending = Sending::new();
    sending.put(0..300);
    sending.start_as("elastic", &node.open_way(), 5);
    for n_requests in [10, 30] {
        sending.until_requests(n_requests).await;
        node.ask(Method::POST, &format!("{}/_rollover", node.stream), &Value::Null).await;
    }
    sending.ends_with_all(Fate::Delivered).await;
    let documents = node.documents(&node.stream).await;
    assert_eq!(documents.iter().map(|(_, id)| id.clone()).collect::<Vec<_>>(), sending.ids());
    let newest = documents.iter().map(|(index, _)| index.clone()).max().unwrap();
    let in_newest = |id: &String| documents.iter().any(|(index, other)| other == id && *index == newest);

    // The limit that the README states: `_id` guards the newest index alone. What is sent again after a rollover is a
    // second document with the same `event.id`, by which it can be folded.
    sending.start_as("again", &node.open_way(), 200);
    sending.drained().await;
    sending.stop().await;
    for id in sending.ids() {
        let expected = if in_newest(&id) { Fate::Repeated } else { Fate::Delivered };
        assert_eq!(sending.fate(&id).0, expected, "{id}");
    }
    let mut ids = node.ids().await;
    assert!(ids.len() > 300, "{}", ids.len());
    ids.dedup();
    assert_eq!(ids, sending.ids());
}

on_both!(a_shard_that_is_nowhere_costs_time_and_repeats_nothing);
async fn a_shard_that_is_nowhere_costs_time_and_repeats_nothing(node: Node) {
    let nowhere = "index.routing.allocation.require._name";
    node.template(json!({"settings": {"number_of_replicas": 0, nowhere: "no such node"}})).await;
    let mut sending = Sending::new();
    sending.put(0..20);
    let impatient = HttpSettings { timeout_ms: 1_000, ..HttpSettings::default() };
    sending.start(&node.way(Login::None, impatient).without_a_look());
    sending.until_requests(3).await;
    sending.until_it_says(&["destination elastic is tried again", "timed out"]).await;
    assert_eq!(sending.n_waiting(), 20);
    node.set(&json!({ nowhere: Value::Null })).await;
    sending.drained().await;
    sending.stop().await;
    // The requests that were given up are carried out by the server all the same, and `_id` folds them.
    for id in sending.ids() {
        assert!(matches!(sending.fate(&id).0, Fate::Delivered | Fate::Repeated), "{:?}", sending.fate(&id));
    }
    assert_eq!(node.ids().await, sending.ids());
}

on_both!(a_circuit_breaker_slows_the_lane_down_and_costs_nothing);
async fn a_circuit_breaker_slows_the_lane_down_and_costs_nothing(node: Node) {
    // The breaker is the node's, and the tests beside this one need the node. So a request that is refused is one that
    // the breaker counts by its length: not compressed, and wider than any other test's.
    node.prepare().await;
    let limit = "network.breaker.inflight_requests.limit";
    node.set_cluster(&json!({ limit: "300kb" })).await;
    let mut sending = Sending::new();
    // As many as one request may hold by its bytes.
    sending.put(0..300);
    let plain = HttpSettings { gzip: false, ..HttpSettings::default() };
    sending.start_as("elastic", &node.way(Login::None, plain), 300);
    sending
        .until_read("a circuit breaker", |reading| {
            matches!(reading, Reading::Retry { why, slow_down: true, .. }
                if why.starts_with("HTTP 429") && why.contains("circuit_breaking_exception"))
        })
        .await;
    sending.ends_with_all(Fate::Delivered).await;
    node.set_cluster(&json!({ limit: Value::Null })).await;
    let widths = sending.widths();
    assert!(widths[0] == 300 && widths.iter().any(|width| *width < 150), "{widths:?}");
    assert_eq!(node.ids().await, sending.ids());
}
