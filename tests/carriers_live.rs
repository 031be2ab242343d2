//! The join of Logpush's two data sets on Apache Kafka: panics on one topic, the logs of their requests on another.

use serde_json::{Value, json};

use panicsift::pipeline::event::Millis;

use crate::support::kafka::{Sent, create_topic, produce_at, unique};
use crate::support::servers::live_address;
use crate::support::service::{Place, panicsift};

/// Panics, each of a request of its own, from an address of its own.
const N_PANICS: u64 = 60;

fn ray(n: u64) -> String {
    format!("8f0a{n:012x}")
}

fn panic(n: u64, at: Millis) -> Sent {
    let record = json!({
        "EventTimestampMs": at.0, "Outcome": "exception", "ScriptName": "api",
        "Event": {"RayID": ray(n), "Request": {"URL": format!("https://a.example/v1/x?n={n}"), "Method": "POST"}},
        "Logs": [{"Level": "error", "TimestampMs": at.0,
            "Message": ["Critical", "Error: Rust panic: panicked at src/a.rs:1:2:\nindex out of bounds: the len is 3 but the index is 9"]}],
        "Exceptions": [],
    });
    Sent { partition: 0, time: at.0, value: record.to_string().into_bytes() }
}

fn log(n: u64, at: Millis) -> Sent {
    let record = json!({
        "RayID": ray(n), "ClientIP": format!("203.0.113.{n}"), "ClientRequestMethod": "POST", "ClientRequestPath": "/v1/x",
        "EdgeResponseStatus": 500, "EdgeStartTimestamp": at.0 * 1_000_000,
    });
    Sent { partition: 0, time: at.0, value: record.to_string().into_bytes() }
}

/// The panics wait; the service is killed while they do; the next one reads them again and joins each of them once.
#[tokio::test(flavor = "multi_thread")]
async fn live_panics_that_wait_for_their_requests_survive_a_kill_and_are_joined_once() {
    const NAME: &str = "live_panics_that_wait_for_their_requests_survive_a_kill_and_are_joined_once";
    let Some(brokers) = live_address("PANICSIFT_TEST_KAFKA", NAME) else { return };
    let place = Place::new(&brokers, 1, 7, "").await;
    let logs = unique("requests");
    create_topic(&brokers, &logs, 1, &[("message.timestamp.after.max.ms", "9223372036854775807")]).await;
    place.edit(&format!("topics = [\"{}\"]", place.topic), &format!("topics = [\"{}\", \"{logs}\"]", place.topic));
    let feeds = format!(
        "join_wait_secs = 3600\n[source.feed.{}]\ncarrier = \"cloudflare_logpush\"\n[source.feed.{logs}]\n\
         carrier = \"cloudflare_http_requests\"\n[source.librdkafka]",
        place.topic
    );
    place.edit("[source.librdkafka]", &feeds);
    let at = panicsift::app::wall_clock().plus(-15 * Millis::MINUTE);
    let panics: Vec<Sent> = (0..N_PANICS).map(|n| panic(n, at)).collect();
    let requests: Vec<Sent> = (0..N_PANICS).map(|n| log(n, at)).collect();
    let gathered = "panicsift_records_total{fate=\"gathered\"}";

    produce_at(&brokers, &place.topic, &panics).await;
    produce_at(&brokers, &logs, &requests[..20]).await;
    let mut service = place.start();
    service.wait("for what waits", |it| it.metrics().sum(gathered) == N_PANICS + 20).await;
    service.kill();
    let n_before = place.n_events_stored();
    assert!(n_before <= 20, "{n_before} events although 40 wait");

    produce_at(&brokers, &logs, &requests[20..]).await;
    let service = place.start();
    service.all_clustered(&place, N_PANICS).await;
    assert_eq!(service.stop().await, Some(0));
    let store = place.store();
    let told = panicsift(&["report", "export", "--format", "json", "--store", store.to_str().unwrap()]);
    let clusters: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let sum = |count: &str| clusters.iter().map(|cluster| cluster["counts"][count].as_u64().unwrap()).sum::<u64>();
    assert_eq!((sum("events"), place.n_events_stored()), (N_PANICS, N_PANICS));
    // 60 of one cell are told exactly.
    assert_eq!(sum("addresses"), N_PANICS, "{told}");
}
