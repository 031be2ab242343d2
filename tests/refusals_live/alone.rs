//! Refusals of servers that a test has for itself: one with room for next to nothing, and one that is killed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use panicsift::edge::deliver::{Reading, Word};
use panicsift::edge::store::Fate;
use panicsift::pipeline::alert::{Alert, Change};
use reqwest::Method;
use tokio::task::JoinSet;

use super::node::{Node, basic, read, trusting};
use super::sending::Sending;
use crate::support::alert;
use crate::support::servers::{Kind, Server, may_start_servers};

/// A request of more than 100 kB is too large, one of more than 40 kB is too much at once; one thread writes, and one
/// request may wait for it.
const SETTINGS: &str = "http.max_content_length=100kb indexing_pressure.memory.limit=40kb node.processors=1 \
                        thread_pool.write.size=1 thread_pool.write.queue_size=1";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_room_is_asked_for_less_until_it_takes_everything() {
    if !may_start_servers("a_node_without_room_is_asked_for_less_until_it_takes_everything") {
        return;
    }
    let server = Server::start_with(Kind::OpenSearch, &[("OPENSEARCH_SETTINGS", SETTINGS)]);
    too_large_and_too_much(&Node::at(&server.address)).await;
    an_alert_that_is_too_large_by_itself(&Node::at(&server.address)).await;
    a_full_queue(&Node::at(&server.address)).await;
}

/// 413 and the 429 of the whole request.
async fn too_large_and_too_much(node: &Node) {
    node.prepare().await;
    let mut sending = Sending::new();
    sending.put(0..200);
    sending.start(&node.open_way());
    sending.until_read("413", |reading| matches!(reading, Reading::TooLarge { .. })).await;
    sending
        .until_read("429 of indexing pressure", |reading| {
            matches!(reading, Reading::Retry { why, slow_down: true, .. }
                if why.starts_with("HTTP 429") && why.contains("rejected_execution_exception"))
        })
        .await;
    sending.ends_with_all(Fate::Delivered).await;
    assert_eq!(node.ids().await, sending.ids());
    let widths = sending.widths();
    assert!(widths.starts_with(&[200, 100]), "{widths:?}");
    // Some eight alerts go through at once, and after each that did the width grows back and is halved twice: three
    // requests for eight alerts, 75 in all, and some to find that out.
    assert!(widths.len() <= 90, "{widths:?}");
}

/// One alert that is over the limit alone is refused; the others are not.
async fn an_alert_that_is_too_large_by_itself(node: &Node) {
    node.prepare().await;
    let mut large: Alert = alert("large", "c-large", Change::Opened);
    large.portrait.title = "x".repeat(150_000);
    let mut sending = Sending::new();
    sending.put(0..10);
    sending.put_alerts(&[large]);
    sending.put(10..20);
    sending.start(&node.open_way());
    sending.drained().await;
    sending.stop().await;
    let (fate, words) = sending.fate("large");
    assert_eq!(fate, Fate::Refused);
    assert!(words.contains("413"), "{words}");
    let good: Vec<String> = sending.ids().into_iter().filter(|id| id != "large").collect();
    assert_eq!(node.ids().await, good);
    for id in good {
        assert_eq!(sending.fate(&id).0, Fate::Delivered, "{id}");
    }
}

/// The 429 of single items while others keep the one thread busy.
async fn a_full_queue(node: &Node) {
    node.prepare().await;
    let mut sending = Sending::new();
    sending.put(0..200);
    let is_over = Arc::new(AtomicBool::new(false));
    let mut crowd = JoinSet::new();
    for n in 0..24 {
        crowd.spawn(press(Node::at(&node.url), n, Arc::clone(&is_over)));
    }
    sending.start_as("elastic", &node.open_way(), 4);
    let is_rejected = |word: &Word| matches!(word, Word::Overloaded(why) if why.starts_with("429 rejected_execution"));
    sending
        .until_read("429 of items", |reading| matches!(reading, Reading::Words(said) if said.iter().any(is_rejected)))
        .await;
    is_over.store(true, Ordering::Relaxed);
    while let Some(ended) = crowd.join_next().await {
        ended.unwrap();
    }
    sending.ends_with_all(Fate::Delivered).await;
    assert_eq!(node.ids().await, sending.ids());
}

/// Writes into an index of its own as fast as it is let.
async fn press(node: Node, n: usize, is_over: Arc<AtomicBool>) {
    let index = format!("crowd-{n}");
    let document = format!("{{\"index\":{{\"_index\":\"{index}\"}}}}\n{{\"text\":\"{}\"}}\n", "word ".repeat(20));
    let body = document.repeat(8);
    while !is_over.load(Ordering::Relaxed) {
        node.try_ask(Method::POST, "_bulk", &body).await;
    }
}

/// Connections refused and cut, and the 503 of the whole server: security does not know its users for some seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_and_comes_back_without_its_users_costs_only_time() {
    if !may_start_servers("a_server_that_is_killed_and_comes_back_without_its_users_costs_only_time") {
        return;
    }
    let server = Server::start(Kind::OpenSearchSecure);
    let folder = server.folder();
    let node = Node::in_folder(folder, "admin");
    node.prepare().await;
    let mut sending = Sending::new();
    sending.put(0..400);
    let login = basic("writer", &read(folder, "writer.password"));
    let way = node.way(login, trusting(folder, "ca.pem"));
    sending.start_as("elastic", &way, 2);
    sending.until_requests(20).await;
    server.kill();
    sending.until_it_says(&["destination elastic is tried again", "Connection refused"]).await;
    server.restart();
    sending
        .until_read("503", |reading| {
            matches!(reading, Reading::Retry { why, .. }
                if why.contains("HTTP 503") && why.contains("OpenSearch Security not initialized"))
        })
        .await;
    sending.drained().await;
    sending.stop().await;
    for id in sending.ids() {
        // What was stored when the answer was cut off is found to be there.
        assert!(matches!(sending.fate(&id).0, Fate::Delivered | Fate::Repeated), "{id} {:?}", sending.fate(&id));
    }
    assert_eq!(node.ids().await, sending.ids());
}
