//! Refusals of servers with security: certificates, credentials, rights, and what only the whole cluster can be set to.

use std::path::Path;

use panicsift::edge::deliver::{HttpSettings, Login, Reading};
use panicsift::edge::store::Fate;
use panicsift::pipeline::alert::Change;
use panicsift::secret::Credential;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::RwLock;

use super::node::{Node, Way, basic, read, trusting};
use super::sending::Sending;
use crate::support::alert;
use crate::support::kafka::unique;

const OPENSEARCH: (&str, &str) = ("PANICSIFT_TEST_OPENSEARCH_SECURE", "admin");
const ELASTICSEARCH: (&str, &str) = ("PANICSIFT_TEST_ELASTICSEARCH_SECURE", "elastic");

/// What is set for a whole server is set for every test there: who does that is alone.
static OPENSEARCH_TURN: RwLock<()> = RwLock::const_new(());
static ELASTICSEARCH_TURN: RwLock<()> = RwLock::const_new(());

/// A test on each of the servers with security.
macro_rules! on_both {
    ($name:ident) => {
        on_both!($name, read);
    };
    (alone: $name:ident) => {
        on_both!($name, write);
    };
    ($name:ident, $turn:ident) => {
        mod $name {
            use super::{ELASTICSEARCH, ELASTICSEARCH_TURN, Node, OPENSEARCH, OPENSEARCH_TURN};

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn opensearch() {
                let _turn = OPENSEARCH_TURN.$turn().await;
                if let Some((node, folder)) = Node::secure(OPENSEARCH.0, OPENSEARCH.1, stringify!($name)) {
                    super::$name(&node, &folder).await;
                }
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn elasticsearch() {
                let _turn = ELASTICSEARCH_TURN.$turn().await;
                if let Some((node, folder)) = Node::secure(ELASTICSEARCH.0, ELASTICSEARCH.1, stringify!($name)) {
                    super::$name(&node, &folder).await;
                }
            }
        }
    };
}

fn api_key(key: &str) -> Login {
    Login::Token { scheme: "ApiKey", secret: Credential::fixed(key) }
}

/// As `writer` with its password.
fn as_writer(node: &Node, folder: &Path) -> Way {
    node.way(basic("writer", &read(folder, "writer.password")), trusting(folder, "ca.pem"))
}

on_both!(a_certificate_of_another_authority_holds_the_lane_and_the_right_one_delivers);
async fn a_certificate_of_another_authority_holds_the_lane_and_the_right_one_delivers(node: &Node, folder: &Path) {
    node.prepare().await;
    let mut sending = Sending::new();
    sending.put(0..20);
    let right = as_writer(node, folder);
    for wrong in [trusting(folder, "other-ca.pem"), HttpSettings::default()] {
        sending.start(&Way { http: wrong, ..right.clone() });
        sending.holds(&["certificate is not trusted", "ca_file", "UnknownIssuer"]).await;
        sending.stop().await;
    }
    sending.start(&right);
    sending.ends_with_all(Fate::Delivered).await;
    assert_eq!(node.ids().await, sending.ids());
}

on_both!(a_wrong_password_holds_the_lane_and_the_right_one_delivers);
async fn a_wrong_password_holds_the_lane_and_the_right_one_delivers(node: &Node, folder: &Path) {
    node.prepare().await;
    let mut sending = Sending::new();
    sending.put(0..20);
    let right = as_writer(node, folder);
    // In a file, as a service has it: it is mended there, without a restart.
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("password");
    std::fs::write(&file, "not the password").unwrap();
    let password = Credential::in_file("not the password", &file);
    sending.start(&Way { login: Login::Basic { user: "writer".to_owned(), password }, ..right });
    sending.holds(&["HTTP 401"]).await;
    std::fs::write(&file, read(folder, "writer.password")).unwrap();
    sending.ends_with_all(Fate::Delivered).await;
    assert_eq!(node.ids().await, sending.ids());
}

on_both!(a_user_without_the_right_to_write_holds_the_lane_until_somebody_grants_it);
async fn a_user_without_the_right_to_write_holds_the_lane_until_somebody_grants_it(node: &Node, folder: &Path) {
    node.prepare().await;
    let mut sending = Sending::new();
    sending.put(0..20);
    let (user, password) = (unique("novice"), "Aa1-a long password of the tests");
    let users = if is_opensearch(folder) { "_plugins/_security/api/internalusers" } else { "_security/user" };
    let without = json!({"password": password, "roles": []});
    let without = if is_opensearch(folder) { json!({ "password": password }) } else { without };
    node.ask(Method::PUT, &format!("{users}/{user}"), &without).await;
    sending.start(&node.way(basic(&user, password), trusting(folder, "ca.pem")));
    sending.holds(&["403", "security_exception"]).await;
    let with = if is_opensearch(folder) {
        json!({"password": password, "opendistro_security_roles": ["writer"]})
    } else {
        json!({"roles": ["writer"]})
    };
    node.ask(Method::PUT, &format!("{users}/{user}"), &with).await;
    sending.ends_with_all(Fate::Delivered).await;
    node.ask(Method::DELETE, &format!("{users}/{user}"), &Value::Null).await;
    assert_eq!(node.ids().await, sending.ids());
}

on_both!(a_login_that_may_write_and_no_more_sees_that_the_template_is_missing_and_that_it_is_there);
async fn a_login_that_may_write_and_no_more_sees_that_the_template_is_missing_and_that_it_is_there(
    node: &Node,
    folder: &Path,
) {
    let mut sending = Sending::new();
    sending.put(0..20);
    sending.start(&as_writer(node, folder));
    sending.holds(&["panicsift setup elastic"]).await;
    let (status, said) = node.try_ask(Method::GET, &format!("{}/_search", node.stream), "").await;
    assert_eq!(status, 404, "nothing was made: {said}");
    node.prepare().await;
    sending.ends_with_all(Fate::Delivered).await;
    assert_eq!(node.ids().await, sending.ids());
}

on_both!(a_stream_that_the_user_may_not_write_to_holds_the_lane);
async fn a_stream_that_the_user_may_not_write_to_holds_the_lane(node: &Node, folder: &Path) {
    let mut sending = Sending::new();
    sending.put(0..20);
    let elsewhere = unique("logs-elsewhere").to_ascii_lowercase();
    sending.start(&Way { stream: elsewhere, ..as_writer(node, folder) }.without_a_look());
    sending.holds(&["403", "security_exception"]).await;
    sending.stop().await;
}

on_both!(alone: a_cluster_that_is_read_only_holds_the_lane_until_it_is_not);
async fn a_cluster_that_is_read_only_holds_the_lane_until_it_is_not(node: &Node, folder: &Path) {
    node.prepare().await;
    let mut sending = Sending::new();
    sending.put(0..10);
    sending.start(&as_writer(node, folder));
    sending.drained().await;
    node.set_cluster(&json!({"cluster.blocks.read_only": true})).await;
    sending.put(10..30);
    sending.holds(&["403", "cluster_block_exception", "cluster read-only (api)"]).await;
    node.set_cluster(&json!({"cluster.blocks.read_only": null})).await;
    sending.ends_with_all(Fate::Delivered).await;
    assert_eq!(node.ids().await, sending.ids());
}

on_both!(alone: a_cluster_that_is_full_of_shards_holds_the_lane_until_there_is_room);
async fn a_cluster_that_is_full_of_shards_holds_the_lane_until_there_is_room(node: &Node, folder: &Path) {
    node.prepare().await;
    node.set_cluster(&json!({"cluster.max_shards_per_node": 1})).await;
    let mut sending = Sending::new();
    sending.put(0..100);
    sending.start(&as_writer(node, folder));
    sending.until_it_says(&["destination elastic is on hold", "maximum", "shards open"]).await;
    node.set_cluster(&json!({"cluster.max_shards_per_node": null})).await;
    sending.ends_with_all(Fate::Delivered).await;
    assert_eq!(node.ids().await, sending.ids());
}

on_both!(alone: a_disk_over_the_flood_stage_watermark_holds_the_lane_until_there_is_room);
async fn a_disk_over_the_flood_stage_watermark_holds_the_lane_until_there_is_room(node: &Node, folder: &Path) {
    node.prepare().await;
    let mut sending = Sending::new();
    sending.put(0..10);
    sending.start(&as_writer(node, folder));
    sending.drained().await;
    // No disk has so much room. The server looks at it every ten seconds, more often is not to be had.
    let watermark = |value: Value| {
        json!({
            "cluster.info.update.interval": "10s",
            "cluster.routing.allocation.disk.threshold_enabled": true,
            "cluster.routing.allocation.disk.watermark.low": value.clone(),
            "cluster.routing.allocation.disk.watermark.high": value.clone(),
            "cluster.routing.allocation.disk.watermark.flood_stage": value,
        })
    };
    node.set_cluster(&watermark(json!("900tb"))).await;
    node.until(|node| async move {
        let settings =
            node.ask(Method::GET, &format!("{}/_settings?flat_settings=true", node.stream), &Value::Null).await;
        settings.to_string().contains("index.blocks.read_only_allow_delete\":\"true")
    })
    .await;
    sending.put(10..30);
    sending.holds(&["429 cluster_block_exception", "flood-stage watermark"]).await;
    node.set_cluster(&watermark(json!("1kb"))).await;
    sending.ends_with_all(Fate::Delivered).await;
    let default: Value = watermark(Value::Null);
    let mut default = default.as_object().unwrap().clone();
    default.values_mut().for_each(|value| *value = Value::Null);
    node.set_cluster(&default.into()).await;
    assert_eq!(node.ids().await, sending.ids());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_key_delivers_and_one_that_is_wrong_revoked_or_without_rights_holds_the_lane() {
    const NAME: &str = "an_api_key_delivers_and_one_that_is_wrong_revoked_or_without_rights_holds_the_lane";
    let _turn = ELASTICSEARCH_TURN.read().await;
    let Some((node, folder)) = Node::secure(ELASTICSEARCH.0, ELASTICSEARCH.1, NAME) else { return };
    node.prepare().await;
    let rights: Value = json!({"cluster": ["none"], "indices": []});
    let body = json!({"name": unique("key"), "role_descriptors": {"none": rights}});
    let made = node.ask(Method::POST, "_security/api_key", &body).await;
    let (id, key) = (made["id"].as_str().unwrap(), made["encoded"].as_str().unwrap());
    let http = trusting(&folder, "ca.pem");
    let mut sending = Sending::new();
    sending.put(0..20);
    sending.start(&node.way(api_key("bm8ga2V5OmF0IGFsbA=="), http.clone()));
    sending.holds(&["HTTP 401", "unable to authenticate"]).await;
    sending.stop().await;

    sending.start(&node.way(api_key(key), http.clone()));
    sending.holds(&["HTTP 403", "unauthorized for API key"]).await;
    let rights = json!({"cluster": ["monitor", "indices:admin/index_template/get"], "indices": [{"names": ["logs-panicsift.*"],
        "privileges": ["create_doc", "auto_configure", "view_index_metadata"]}]});
    node.ask(Method::PUT, &format!("_security/api_key/{id}"), &json!({"role_descriptors": {"all": rights}})).await;
    sending.drained().await;

    node.ask(Method::DELETE, "_security/api_key", &json!({"ids": [id]})).await;
    sending.put(20..40);
    sending.holds(&["HTTP 401", "invalidated"]).await;
    sending.stop().await;
    sending.start(&node.way(api_key(&read(&folder, "writer.api-key")), http));
    sending.ends_with_all(Fate::Delivered).await;
    assert_eq!(node.ids().await, sending.ids());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_over_the_limits_of_elasticsearch_are_split_until_it_takes_them() {
    const NAME: &str = "requests_over_the_limits_of_elasticsearch_are_split_until_it_takes_them";
    let _turn = ELASTICSEARCH_TURN.read().await;
    let Some((node, folder)) = Node::secure(ELASTICSEARCH.0, ELASTICSEARCH.1, NAME) else { return };
    node.prepare().await;
    let mut sending = Sending::new();
    sending.put(0..300);
    sending.start_as("elastic", &as_writer(&node, &folder), 300);
    sending.until_read("413", |reading| matches!(reading, Reading::TooLarge { .. })).await;
    sending
        .until_read("429 of indexing pressure", |reading| {
            matches!(reading, Reading::Retry { why, slow_down: true, .. }
                if why.starts_with("HTTP 429") && why.contains("rejected_execution_exception"))
        })
        .await;
    sending.ends_with_all(Fate::Delivered).await;
    assert_eq!(node.ids().await, sending.ids());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_failure_store_took_is_degraded_and_the_others_are_delivered() {
    const NAME: &str = "what_the_failure_store_took_is_degraded_and_the_others_are_delivered";
    let _turn = ELASTICSEARCH_TURN.read().await;
    let Some((node, folder)) = Node::secure(ELASTICSEARCH.0, ELASTICSEARCH.1, NAME) else { return };
    let mapping = json!({"properties": {"@timestamp": {"type": "date"},
        "event": {"properties": {"id": {"type": "long"}}}}, "dynamic": false});
    node.template(json!({"mappings": mapping, "data_stream_options": {"failure_store": {"enabled": true}}})).await;
    let mut sending = Sending::new();
    sending.put(0..15);
    sending.put_alerts(&[alert("no number", "c-poison", Change::Opened)]);
    sending.put(15..30);
    sending.start(&as_writer(&node, &folder).without_a_look());
    sending.drained().await;
    sending.stop().await;
    let (fate, words) = sending.fate("no number");
    assert!(fate == Fate::Degraded && words.contains("put into the failure store"), "{fate:?} {words}");
    let good: Vec<String> = sending.ids().into_iter().filter(|id| id != "no number").collect();
    for id in &good {
        assert_eq!(sending.fate(id).0, Fate::Delivered, "{id}");
    }
    assert_eq!(node.ids().await, good);
    let failures = format!("{}::failures", node.stream);
    node.ask(Method::POST, &format!("{failures}/_refresh"), &Value::Null).await;
    let found = node.ask(Method::POST, &format!("{failures}/_search"), &Value::Null).await;
    let kept = &found["hits"]["hits"][0]["_source"]["document"]["source"]["event"]["id"];
    assert_eq!((&found["hits"]["total"]["value"], kept), (&json!(1), &json!("no number")), "{found}");
}

/// Which of the two lives in this folder.
fn is_opensearch(folder: &Path) -> bool {
    folder.join("reader.password").exists()
}
