//! Indexer acknowledgement against a scripted collector that behaves as Splunk documents it, and as balancers spoil it.

use panicsift::edge::splunk::{AckMode, AckTimes, SplunkOutlet};

use super::*;
use crate::support::hec::{Acks, Balancer, Fault, HecServer, Indexing, Rules};

/// Quick enough for a test; what is lost is sent again soon.
const TIMES: AckTimes = AckTimes { poll: Duration::from_millis(15), timeout: Duration::from_millis(400) };

fn outlet(url: &str, mode: AckMode) -> Box<dyn Outlet> {
    outlet_by(url, mode, TIMES)
}

fn outlet_by(url: &str, mode: AckMode, times: AckTimes) -> Box<dyn Outlet> {
    let wire = SplunkWire::new(SplunkSettings {
        index: None,
        host: None,
        source: "panicsift".to_owned(),
        sourcetype: "panicsift:alert".to_owned(),
    });
    let login = splunk::login(Credential::fixed("t0ken"));
    let client = HttpClient::new("splunk", &[url.to_owned()], login, &http()).unwrap();
    Box::new(SplunkOutlet::new("splunk", wire, client, (mode, times)))
}

/// Every alert is in the index, whatever is there twice.
#[track_caller]
fn check_indexed(server: &HecServer, ids: &[String]) {
    let indexed: BTreeSet<String> = server.index().ids().into_iter().collect();
    assert_eq!(indexed, ids.iter().cloned().collect());
}

fn n_event_requests(server: &HecServer) -> usize {
    server.received().iter().filter(|request| request.path.starts_with("/services/collector/event")).count()
}

fn on_hold(bench: &Bench) -> Option<String> {
    match bench.lane("splunk") {
        Some(LaneState::OnHold(why)) => Some(why),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_delivered_is_indexed_and_its_proof_is_kept() {
    for mode in [AckMode::Auto, AckMode::Required] {
        let server = HecServer::start(Rules { indexing: Indexing::AfterPolls(2), ..Rules::with_acks() }).await;
        let mut bench = Bench::new();
        let ids = bench.put_many(25);
        bench.run(vec![("splunk", outlet(&server.url(), mode))]);
        bench.drained("splunk").await;
        assert_eq!(server.index().ids(), ids, "all, and none twice");
        let (fate, receipt, attempts) = bench.fate("a-000");
        let channel = server.received()[1].headers["x-splunk-request-channel"].clone();
        assert_eq!((fate, attempts), (Fate::Delivered, 1));
        assert_eq!(receipt, format!("{} channel {channel} ack 0", server.url()));
        bench.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_requests_wait_for_their_acknowledgement_and_no_cluster_twice() {
    let server = HecServer::start(Rules { indexing: Indexing::Never, ..Rules::with_acks() }).await;
    let mut bench = Bench::new();
    let alerts: Vec<Alert> =
        (0..60).map(|n| alert(&format!("a-{n:03}"), &format!("c-{}", n % 30), Change::Opened)).collect();
    bench.put(&alerts);
    let patient = AckTimes { timeout: Duration::from_mins(1), ..TIMES };
    bench.run(vec![("splunk", outlet_by(&server.url(), AckMode::Auto, patient))]);
    bench.until("all of the first round", |_| server.index().n_queued() == 30).await;
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert_eq!((n_event_requests(&server), server.index().n_queued()), (3, 30));
    assert_eq!(bench.store.n_waiting("splunk").unwrap(), 60);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledgement_that_never_comes_is_never_taken_for_one() {
    let server = HecServer::start(Rules { acks: Acks::Lost, ..Rules::with_acks() }).await;
    let mut bench = Bench::new();
    let ids = bench.put_many(5);
    bench.run(vec![("splunk", outlet(&server.url(), AckMode::Auto))]);
    bench.until("sent again", |_| server.index().ids().len() >= 15).await;
    assert_eq!(bench.store.n_waiting("splunk").unwrap(), 5);
    server.change(|rules| rules.acks = Acks::On);
    bench.drained("splunk").await;
    check_indexed(&server, &ids);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_to_the_question_is_taken_for_an_acknowledgement() {
    let server = HecServer::start(Rules { indexing: Indexing::Never, ..Rules::with_acks() }).await;
    let mut bench = Bench::new();
    bench.put_many(5);
    let patient = AckTimes { timeout: Duration::from_mins(1), ..TIMES };
    bench.run(vec![("splunk", outlet_by(&server.url(), AckMode::Auto, patient))]);
    bench.until("handed over", |_| server.index().n_queued() == 5).await;
    let n_before = server.received().len();
    for answer in ["proxy-page", "empty", "success", "not-found", "internal-error", "queue-full"] {
        server.next_acks(Fault::Reply(answer.to_owned()));
    }
    server.next_acks(Fault::CutBefore);
    bench.until("asked", |_| server.received().len() >= n_before + 5).await;
    assert_eq!(bench.store.n_waiting("splunk").unwrap(), 5);
    assert!(
        matches!(bench.lane("splunk"), Some(LaneState::Retrying(why)) if why.starts_with("acknowledgements cannot"))
    );
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_forgets_what_it_was_given_gets_it_again() {
    let rules = Rules { indexing: Indexing::Never, loses_queue: true, ..Rules::with_acks() };
    let server = HecServer::start(rules).await;
    let mut bench = Bench::new();
    let mut ids = bench.put_many(5);
    bench.run(vec![("splunk", outlet(&server.url(), AckMode::Auto))]);
    bench.until("handed over", |_| server.index().n_queued() == 5).await;
    server.forget();
    server.change(|rules| rules.indexing = Indexing::After(Duration::ZERO));
    // Its numbers begin at 0 again, on the channel that the first request has number 0 on.
    bench.put(&[alert("later", "c-later", Change::Opened)]);
    ids.push("later".to_owned());
    bench.drained("splunk").await;
    check_indexed(&server, &ids);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_answer_was_cut_off_is_sent_again_on_another_channel() {
    let server = HecServer::start(Rules::with_acks()).await;
    server.next_events(Fault::CutAfter);
    let mut bench = Bench::new();
    let ids = bench.put_many(5);
    bench.run(vec![("splunk", outlet(&server.url(), AckMode::Auto))]);
    bench.drained("splunk").await;
    assert_eq!(server.index().ids(), [ids.clone(), ids].concat());
    let channels: BTreeSet<Option<String>> = server.index().events().into_iter().map(|event| event.channel).collect();
    assert_eq!(channels.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_acknowledgement_auto_delivers_and_says_what_it_knows() {
    let (server, index) = hec::start(&[]).await;
    let mut bench = Bench::new();
    let ids = bench.put_many(5);
    bench.run(vec![("splunk", outlet(&server.url(), AckMode::Auto))]);
    bench.drained("splunk").await;
    assert_eq!(index.ids(), ids);
    assert_eq!(bench.fate("a-000").1, "answered 200 code 0, not acknowledged");
    assert!(
        server.received()[0].path.starts_with("/services/collector/ack?channel="),
        "asked before anything was sent"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_acknowledgement_required_sends_nothing_and_says_why() {
    let (server, _) = hec::start(&[]).await;
    let mut bench = Bench::new();
    let ids = bench.put_many(5);
    bench.run(vec![("splunk", outlet(&server.url(), AckMode::Required))]);
    bench.until("on hold", |bench| on_hold(bench).is_some_and(|why| why.contains("ack = \"required\""))).await;
    assert_eq!(n_event_requests(&server), 0);
    server.change(|rules| rules.acks = Acks::On);
    bench.drained("splunk").await;
    assert_eq!(server.index().ids(), ids);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_stops_to_acknowledge_has_what_waited_sent_again() {
    let server = HecServer::start(Rules { indexing: Indexing::Never, ..Rules::with_acks() }).await;
    let mut bench = Bench::new();
    let ids = bench.put_many(5);
    let patient = AckTimes { timeout: Duration::from_mins(1), ..TIMES };
    bench.run(vec![("splunk", outlet_by(&server.url(), AckMode::Auto, patient))]);
    bench.until("handed over", |_| server.index().n_queued() == 5).await;
    server.change(|rules| (rules.acks, rules.indexing) = (Acks::Off, Indexing::After(Duration::ZERO)));
    bench.drained("splunk").await;
    check_indexed(&server, &ids);
    assert_eq!(bench.fate("a-000").1, "answered 200 code 0, not acknowledged");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_success_without_its_number_is_none_where_numbers_are_given() {
    let server = HecServer::start(Rules::with_acks()).await;
    server.next_events(Fault::Reply("success-without-ack-id".to_owned()));
    let mut bench = Bench::new();
    let ids = bench.put_many(5);
    bench.run(vec![("splunk", outlet(&server.url(), AckMode::Auto))]);
    bench.drained("splunk").await;
    assert_eq!(server.index().ids(), [ids.clone(), ids].concat(), "sent again");
    assert!(bench.fate("a-000").1.contains(" ack "), "{:?}", bench.fate("a-000"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_is_not_liked_is_replaced() {
    let server = HecServer::start(Rules::with_acks()).await;
    server.next_events(Fault::Reply("channel-missing".to_owned()));
    let mut bench = Bench::new();
    let ids = bench.put_many(5);
    bench.run(vec![("splunk", outlet(&server.url(), AckMode::Auto))]);
    bench.drained("splunk").await;
    assert_eq!(server.index().ids(), ids);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_balancer_with_sticky_sessions_is_followed_and_a_blind_one_is_named() {
    let server = HecServer::start(Rules { balancer: Balancer::Sticky(3), ..Rules::with_acks() }).await;
    let mut bench = Bench::new();
    let ids = bench.put_many(25);
    bench.run(vec![("splunk", outlet(&server.url(), AckMode::Auto))]);
    bench.drained("splunk").await;
    assert_eq!(server.index().ids(), ids);
    bench.stop().await;
    // The same numbers stand for other requests at the other indexers, and nothing there is ever indexed.
    server.change(|rules| (rules.balancer, rules.indexing) = (Balancer::Blind(3), Indexing::Never));
    let more: Vec<Alert> = (0..40).map(|n| alert(&format!("b-{n}"), &format!("d-{n}"), Change::Opened)).collect();
    bench.put(&more);
    let slow = AckTimes { poll: Duration::from_secs(1), timeout: Duration::from_mins(1) };
    bench.run(vec![("splunk", outlet_by(&server.url(), AckMode::Auto, slow))]);
    bench.until("named", |bench| on_hold(bench).is_some_and(|why| why.contains("sticky sessions"))).await;
    assert_eq!(bench.store.n_waiting("splunk").unwrap(), 40);
    bench.stop().await;
}
