//! Asking: our own endpoint is understood, and whatever else may stand at a port does no harm.

use std::net::TcpListener;
use std::sync::Arc;

use metrics_exporter_prometheus::PrometheusBuilder;

use super::*;
use crate::edge::admin::{Health, HealthLimits, LaneState, SourceState, router};

#[test]
fn an_address_is_a_host_and_a_port_and_nothing_else() {
    let check = |url: &str, expected: bool| assert_eq!(AdminPort::parse(url).is_ok(), expected, "{url:?}");
    check("http://127.0.0.1:9464", true);
    check("http://[::1]:9464/", true);
    check("http://panicsift.internal:80", true);
    check("https://127.0.0.1:9464", false);
    check("127.0.0.1:9464", false);
    check("http://127.0.0.1", false);
    check("http://127.0.0.1:0", false);
    check("http://:9464", false);
    check("http://127.0.0.1:94640", false);
    check("http://127.0.0.1:9464/metrics", false);
    check("http://me:secret@127.0.0.1:9464", false);
    check("http://a\r\nX-Y: z:80", false);
    check(&format!("http://{}:80", "a".repeat(400)), false);
    check("", false);
}

#[test]
fn a_counter_is_summed_over_its_labels() {
    let check =
        |text: &str, expected: Option<f64>| assert_eq!(total(text, "panicsift_records_total"), expected, "{text:?}");
    let page = "# HELP panicsift_records_total records\npanicsift_records_total{fate=\"observed\"} 40\n\
                panicsift_records_total{fate=\"a } 7\"} 2\npanicsift_records_total_other 9\nother 1\n";
    check(page, Some(42.0));
    check("panicsift_records_total 7", Some(7.0));
    check("panicsift_records_total NaN", None);
    check("panicsift_records_total{", None);
    check("", None);
}

/// A server at a free port that answers every connection with `answer`, then closes it.
fn standing(answer: Vec<u8>) -> AdminPort {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = AdminPort::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 1_024];
            if stream.read(&mut request).is_ok() {
                // Whoever asked may have had enough.
                drop(stream.write_all(&answer));
            }
        }
    });
    port
}

#[test]
fn what_is_no_admin_endpoint_is_said_to_be_none() {
    let check = |answer: &[u8], expected: &str| {
        let error = standing(answer.to_vec()).ask().unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    check(b"", "does not speak HTTP");
    check(b"SSH-2.0-OpenSSH_9.2\r\n", "does not speak HTTP");
    check(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "not there");
    check(b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\n\r\n", "not there");
    check(b"HTTP/1.1 200 OK\r\n\r\n<html>", "no report");
    check(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{}", "end of file");
    check(b"HTTP/9\r\n\r\n", "does not speak HTTP");
    check(&vec![b'x'; ANSWER_BYTES_MAX + 1], "without end");
}

#[test]
fn nobody_and_whoever_never_answers_cost_a_bounded_time() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = AdminPort::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let begun = now();
    assert!(matches!(port.ask(), Err(AskError::TooSlow)));
    assert!(now() - begun < 3 * PATIENCE);
    drop(listener);
    assert!(matches!(port.ask(), Err(AskError::Unreachable(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_own_endpoint_is_understood() {
    let health = Arc::new(Health::new(HealthLimits::default()));
    health.turned();
    health.source(SourceState::Reading(3));
    health.lag(Some(12));
    health.lane("siem", LaneState::OnHold("Invalid token".to_owned()));
    health.waiting("siem", 4);
    let recorder = PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&recorder, || {
        metrics::counter!(RECORDS, "fate" => "observed").increment(40);
        metrics::counter!(RECORDS, "fate" => "rejected").increment(2);
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = AdminPort::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    let routes = router(Arc::clone(&health), recorder.handle());
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move { axum::serve(listener, routes).await.unwrap() });
    let answer = tokio::task::spawn_blocking(move || port.ask()).await.unwrap().unwrap();
    assert_eq!(answer.records, Some(42.0));
    assert_eq!(answer.health, health.report());
    assert!(!answer.health.ready, "a lane on hold is told although the status is 503");
}
