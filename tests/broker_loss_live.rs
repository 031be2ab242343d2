//! The service on three Kafka nodes that are killed while it works: the leader of its input, then a follower, then both.
//!
//! `PANICSIFT_TEST_KAFKA_CLUSTER` holds the folder that `tests/servers/kafka_cluster.sh start` made. Topics have three
//! replicas, and a write with `acks=all` needs two: with one node lost everything goes on, with two lost nothing may be
//! taken for written. At the end each record is counted once and the alert topic holds every alert.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use crate::support::kafka::{create_topic, leader_and_follower, produce_slowly, read_back, unique};
use crate::support::servers::{KafkaCluster, live_folder};
use crate::support::service::{Fates, Place, Running, in_turn, recent_events};

const N_EVENTS: usize = 1_200;

/// After every ten records, so that production goes on through every loss.
const PAUSE: Duration = Duration::from_millis(100);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_loss_of_a_leader_and_of_a_follower_and_of_both_costs_and_repeats_no_record() {
    const NAME: &str = "the_loss_of_a_leader_and_of_a_follower_and_of_both_costs_and_repeats_no_record";
    const MAKER: &str = "tests/servers/kafka_cluster.sh start DIR";
    let Some(folder) = live_folder("PANICSIFT_TEST_KAFKA_CLUSTER", NAME, MAKER) else { return };
    let cluster = KafkaCluster::at(folder);
    let brokers = cluster.brokers();
    let topic = unique("alerts");
    create_topic(&brokers, &topic, 1, &[]).await;
    let destination = format!("[[destination]]\nkind = \"kafka\"\nname = \"topic\"\ntopic = \"{topic}\"\n");
    let place = Place::new(&brokers, 2, 50, &destination).await;
    let records = in_turn(&recent_events(N_EVENTS), 2);
    let mut service = place.start();
    service.ready().await;
    let losing = lose_nodes(&cluster, &place, &mut service);
    tokio::join!(produce_slowly(&brokers, &place.topic, &records, PAUSE), losing);

    let half = i64::try_from(N_EVENTS / 2).unwrap();
    service.wait("to the ends of the topic", |_| place.committed() == [Some(half), Some(half)]).await;
    let fates = Fates { observed: N_EVENTS as u64, ..Fates::default() };
    assert_eq!(service.metrics().fates(), fates);
    service.all_clustered(&place, N_EVENTS as u64).await;
    let n_told = place.alerts().len() as u64;
    assert!(n_told > 0);
    let delivered = "panicsift_deliveries_total{destination=\"topic\"";
    service.wait("to tell the topic all alerts", |it| it.metrics().sum(delivered) >= n_told).await;
    assert_eq!(service.stop().await, Some(0));

    assert_eq!(place.n_events_stored(), N_EVENTS as u64);
    let in_file: Vec<String> = place.alerts().iter().map(id).collect();
    let in_topic: Vec<String> =
        read_back(&brokers, &topic).iter().map(|stored| id(&serde_json::from_slice(&stored.value).unwrap())).collect();
    let once: BTreeSet<&String> = in_file.iter().collect();
    assert_eq!(once.len(), in_file.len(), "no alert twice");
    assert_eq!(in_topic.iter().collect::<BTreeSet<_>>(), once);
}

/// Kills the leader of the input's first partition, a follower, and both at once; starts each again.
async fn lose_nodes(cluster: &KafkaCluster, place: &Place, service: &mut Running) {
    let seen = |it: &Running| it.metrics().fates().observed;
    service.wait("to begin", |it| seen(it) >= 60).await;
    let (leader, follower) = leader_and_follower(&place.brokers, &place.topic, 0);
    for node in [leader, follower] {
        let before = seen(service);
        cluster.kill_node(node);
        service.wait("to go on without one node", |it| seen(it) >= before + 50).await;
        cluster.start_node(node);
    }
    // What the group remembers of the last loss is over: without a coordinator it would be the last that is known.
    service.ready().await;
    let (leader, follower) = leader_and_follower(&place.brokers, &place.topic, 0);
    cluster.kill_node(leader);
    cluster.kill_node(follower);
    service.wait("to say what it lacks", |it| it.page("/readyz").is_some_and(lacks_its_leader)).await;
    std::thread::scope(|threads| {
        threads.spawn(|| cluster.start_node(leader));
        threads.spawn(|| cluster.start_node(follower));
    });
    service.ready().await;
}

/// Not ready, for one of the reasons that two lost nodes of three are: the first partition has no leader while one node
/// answers, and that one may lose its connections or the group its members before anybody looks.
fn lacks_its_leader((status, body): (u16, String)) -> bool {
    let reasons = ["no broker answers", "do not answer", "no partition is assigned"];
    status == 503 && reasons.iter().any(|reason| body.contains(reason))
}

fn id(alert: &Value) -> String {
    alert["alert_id"].as_str().unwrap().to_owned()
}
