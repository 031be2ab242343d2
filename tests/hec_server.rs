//! The scripted HEC server is what delivery is proved against, so it is held to Splunk's documentation itself: tokens,
//! indexes, channels, acknowledgement ids and their end, and the faults it can play.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::hec::{Acks, Balancer, Fault, HecServer, Indexing, Rules, Token};

const CHANNEL: &str = "0b51e0ca-8a0c-4b5c-9d4f-6a6f6e6f0001";
const OTHER_CHANNEL: &str = "0b51e0ca-8a0c-4b5c-9d4f-6a6f6e6f0002";

/// A client that believes nothing and tells all.
struct Client {
    http: reqwest::Client,
    url: String,
    channel: Option<&'static str>,
    authorization: &'static str,
    cookie: Option<String>,
}

/// Status and body of a reply; `None` where the connection broke.
type Told = Option<(u16, Value)>;

impl Client {
    fn new(server: &HecServer) -> Self {
        // Another test may have installed it.
        drop(rustls::crypto::ring::default_provider().install_default());
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_millis(300)).build().unwrap();
        Self { http, url: server.url(), channel: Some(CHANNEL), authorization: "Splunk t0ken", cookie: None }
    }

    async fn post(&mut self, path: &str, body: impl Into<reqwest::Body>) -> Told {
        let mut request = self.http.post(format!("{}/services/collector{path}", self.url)).body(body);
        if !self.authorization.is_empty() {
            request = request.header("authorization", self.authorization);
        }
        if let Some(channel) = self.channel {
            request = request.header("X-Splunk-Request-Channel", channel);
        }
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", cookie);
        }
        let reply = request.send().await.ok()?;
        if let Some(cookie) = reply.headers().get("set-cookie") {
            self.cookie = cookie.to_str().unwrap().split(';').next().map(str::to_owned);
        }
        let (status, body) = (reply.status().as_u16(), reply.text().await.unwrap());
        Some((status, serde_json::from_str(&body).unwrap_or(Value::String(body))))
    }

    /// Sends events of these alert ids.
    async fn send(&mut self, ids: &[&str]) -> Told {
        let body: Vec<String> = ids.iter().map(|id| event(id).to_string()).collect();
        self.post("/event", body.concat()).await
    }

    /// The ack id that sending these gives.
    async fn ack_id(&mut self, ids: &[&str]) -> u64 {
        let (status, body) = self.send(ids).await.unwrap();
        assert_eq!((status, &body["code"]), (200, &json!(0)), "{body}");
        body["ackId"].as_u64().unwrap()
    }

    /// What the server says of these ack ids.
    async fn asked(&mut self, ids: &[u64]) -> Value {
        let (status, body) = self.post("/ack", json!({"acks": ids}).to_string()).await.unwrap();
        assert_eq!(status, 200, "{body}");
        body["acks"].clone()
    }
}

fn event(id: &str) -> Value {
    json!({"event": {"id": id}, "fields": {"alert_id": id}})
}

#[tokio::test]
async fn an_ack_id_counts_from_zero_in_each_channel_and_is_told_true_once() {
    let server = HecServer::start(Rules::with_acks()).await;
    let mut client = Client::new(&server);
    assert_eq!(client.ack_id(&["a", "b"]).await, 0);
    assert_eq!(client.ack_id(&["c"]).await, 1);
    client.channel = Some(OTHER_CHANNEL);
    assert_eq!(client.ack_id(&["d"]).await, 0);
    client.channel = Some(CHANNEL);
    assert_eq!(client.asked(&[0, 1, 2]).await, json!({"0": true, "1": true, "2": false}));
    assert_eq!(client.asked(&[0, 1]).await, json!({"0": false, "1": false}));
    assert_eq!(server.index().ids(), ["a", "b", "c", "d"]);
}

#[tokio::test]
async fn the_channel_may_be_in_the_query() {
    let server = HecServer::start(Rules::with_acks()).await;
    let mut client = Client::new(&server);
    client.channel = None;
    let taken = client.post(&format!("?channel={CHANNEL}"), event("a").to_string()).await;
    assert_eq!(taken, Some((200, json!({"text": "Success", "code": 0, "ackId": 0}))));
    let told = client.post(&format!("/ack?channel={CHANNEL}"), r#"{"acks":[0]}"#).await;
    assert_eq!(told, Some((200, json!({"acks": {"0": true}}))));
}

#[tokio::test]
async fn an_event_is_acknowledged_when_it_is_in_the_index_and_not_before() {
    for indexing in [Indexing::After(Duration::from_millis(150)), Indexing::AfterPolls(2)] {
        let server = HecServer::start(Rules { indexing, ..Rules::with_acks() }).await;
        let mut client = Client::new(&server);
        assert_eq!(client.ack_id(&["a"]).await, 0);
        assert_eq!((server.index().ids(), server.index().n_queued()), (vec![], 1), "{indexing:?}");
        assert_eq!(client.asked(&[0]).await, json!({"0": false}));
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(client.asked(&[0]).await, json!({"0": true}), "{indexing:?}");
        assert_eq!((server.index().ids(), server.index().n_queued()), (vec!["a".to_owned()], 0));
    }
}

#[tokio::test]
async fn acks_that_never_come_leave_the_event_in_the_queue_or_in_the_index() {
    for (rules, indexed) in [
        (Rules { indexing: Indexing::Never, ..Rules::with_acks() }, 0),
        (Rules { acks: Acks::Lost, ..Rules::with_acks() }, 1),
    ] {
        let server = HecServer::start(rules).await;
        let mut client = Client::new(&server);
        client.ack_id(&["a"]).await;
        for _ in 0..3 {
            assert_eq!(client.asked(&[0]).await, json!({"0": false}));
        }
        assert_eq!(server.index().ids().len(), indexed);
    }
}

#[tokio::test]
async fn a_restart_keeps_the_index_and_loses_acks_and_maybe_the_queue() {
    for loses_queue in [false, true] {
        let indexing = Indexing::After(Duration::from_millis(100));
        let mut server = HecServer::start(Rules { indexing, loses_queue, ..Rules::with_acks() }).await;
        let mut client = Client::new(&server);
        client.ack_id(&["a"]).await;
        tokio::time::sleep(Duration::from_millis(150)).await;
        client.ack_id(&["b"]).await;
        server.stop().await;
        assert_eq!(client.send(&["c"]).await, None, "nobody listens");
        server.start_again().await;
        assert_eq!(client.asked(&[0, 1]).await, json!({"0": false, "1": false}), "forgotten, whatever is indexed");
        // The same id for another request: whoever still waits for the old one is told a falsehood.
        assert_eq!(client.ack_id(&["d"]).await, 0);
        tokio::time::sleep(Duration::from_millis(150)).await;
        assert_eq!(client.asked(&[0]).await, json!({"0": true}));
        let kept = if loses_queue { vec!["a", "d"] } else { vec!["a", "b", "d"] };
        assert_eq!(server.index().ids(), kept);
    }
}

#[tokio::test]
async fn a_silent_restart_counts_from_zero_behind_a_connection_that_stays() {
    let mut server = HecServer::start(Rules::with_acks()).await;
    let mut client = Client::new(&server);
    assert_eq!((client.ack_id(&["a"]).await, client.ack_id(&["b"]).await), (0, 1));
    server.forget();
    assert_eq!(client.ack_id(&["c"]).await, 0);
    server.restart().await;
    assert_eq!(client.ack_id(&["d"]).await, 0, "as it does when the connection breaks");
}

#[tokio::test]
async fn peers_behind_one_address_give_the_same_ids_and_a_cookie_keeps_them_apart() {
    let server = HecServer::start(Rules { balancer: Balancer::Blind(2), ..Rules::with_acks() }).await;
    let mut client = Client::new(&server);
    assert_eq!((client.ack_id(&["a"]).await, client.ack_id(&["b"]).await), (0, 0), "two peers, one channel");
    assert_eq!(client.cookie, None);

    let server = HecServer::start(Rules { balancer: Balancer::Sticky(2), ..Rules::with_acks() }).await;
    let mut client = Client::new(&server);
    assert_eq!((client.ack_id(&["a"]).await, client.ack_id(&["b"]).await), (0, 1));
    let cookie = client.cookie.clone().unwrap();
    server.forget();
    assert_eq!(client.ack_id(&["c"]).await, 0);
    assert_ne!(client.cookie, Some(cookie), "a new cookie says that the old one is good for nothing");
}

#[tokio::test]
async fn what_splunk_refuses_is_refused_with_its_code_and_the_number_of_the_event() {
    let tokens = [
        ("plain", Token { index: "main".to_owned(), indexes: vec!["security".to_owned()], ..Token::default() }),
        ("acked", Token { index: "main".to_owned(), acks: true, ..Token::default() }),
        ("off", Token { index: "main".to_owned(), is_disabled: true, ..Token::default() }),
    ];
    let tokens = tokens.map(|(value, token)| (value.to_owned(), token)).into();
    let server = HecServer::start(Rules { tokens, ..Rules::default() }).await;
    let good = event("a").to_string();
    let nested = json!({"event": "e", "fields": {"alert_id": {"a": 1}}}).to_string();
    let elsewhere = json!({"event": "e", "index": "elsewhere"}).to_string();
    let refusals: [(&str, Option<&'static str>, &str, u16, Value); 12] = [
        ("", None, &good, 401, json!({"text": "Token is required", "code": 2})),
        ("Basic eDp5", None, &good, 401, json!({"text": "Invalid authorization", "code": 3})),
        ("Splunk other", None, &good, 403, json!({"text": "Invalid token", "code": 4})),
        ("Splunk off", None, &good, 403, json!({"text": "Token disabled", "code": 1})),
        ("Splunk acked", None, &good, 400, json!({"text": "Data channel is missing", "code": 10})),
        ("Splunk acked", Some("no-guid"), &good, 400, json!({"text": "Invalid data channel", "code": 11})),
        ("Splunk plain", None, "", 400, json!({"text": "No data", "code": 5})),
        ("Splunk plain", None, "{\"event\":\"e\"}{\"event\"", 400, refused(6, 1, "Invalid data format")),
        ("Splunk plain", None, "{}", 400, refused(12, 0, "Event field is required")),
        ("Splunk plain", None, "{\"event\":\"\"}", 400, refused(13, 0, "Event field cannot be blank")),
        ("Splunk plain", None, &nested, 400, refused(15, 0, "Error in handling indexed fields")),
        ("Splunk plain", None, &elsewhere, 400, refused(7, 0, "Incorrect index")),
    ];
    for (authorization, channel, body, status, expected) in refusals {
        let mut client = Client { channel, authorization, ..Client::new(&server) };
        assert_eq!(client.post("/event", body.to_owned()).await, Some((status, expected)), "{authorization} {body}");
    }
    let mut client = Client { authorization: "Splunk plain", ..Client::new(&server) };
    let disabled = Some((400, json!({"text": "ACK is disabled", "code": 14})));
    assert_eq!(client.post("/ack", r#"{"acks":[0]}"#).await, disabled);
    assert_eq!(server.index().events(), vec![], "nothing of a refused request is taken");
    let own = json!({"event": "e", "index": "security"});
    assert!(client.post("/event", own.to_string() + &good).await.is_some_and(|(status, _)| status == 200));
    let taken = server.index().events();
    let indexes: Vec<&str> = taken.iter().map(|event| event.index.as_str()).collect();
    assert_eq!((indexes, taken[0].token.as_str()), (vec!["security", "main"], "plain"));
    assert_eq!((taken[0].channel.as_deref(), &taken[0].envelope), (Some(CHANNEL), &own));
}

fn refused(code: u16, at: usize, text: &str) -> Value {
    json!({"text": text, "code": code, "invalid-event-number": at})
}

#[tokio::test]
async fn the_events_before_an_invalid_one_are_taken_where_the_rules_say_so() {
    let server = HecServer::start(Rules { keeps_before_invalid: true, ..Rules::default() }).await;
    let mut client = Client::new(&server);
    let body = format!("{}{}{{}}{}", event("a"), event("b"), event("c"));
    assert_eq!(client.post("", body).await, Some((400, refused(12, 2, "Event field is required"))));
    assert_eq!(server.index().ids(), ["a", "b"]);
}

#[tokio::test]
async fn faults_happen_before_or_after_the_events_are_taken() {
    let server = HecServer::start(Rules::with_acks()).await;
    let mut client = Client::new(&server);
    for (fault, id) in [(Fault::CutBefore, "a"), (Fault::CutAfter, "b"), (Fault::Silence, "c")] {
        server.next_events(fault);
        assert_eq!(client.send(&[id]).await, None);
    }
    server.next_events(Fault::Delay(Duration::from_millis(100)));
    assert_eq!(client.ack_id(&["d"]).await, 2);
    assert_eq!(server.index().ids(), ["b", "c", "d"]);
    // The answer that said `true` is lost on the way, and is not given again.
    server.next_acks(Fault::CutAfter);
    assert_eq!(client.post("/ack", r#"{"acks":[2]}"#).await, None);
    assert_eq!(client.asked(&[2]).await, json!({"2": false}));
    server.next_events(Fault::CutBefore);
    server.calm();
    assert_eq!(client.ack_id(&["e"]).await, 3);
}

#[tokio::test]
async fn a_literal_reply_takes_the_events_where_it_says_so() {
    let server = HecServer::start(Rules::with_acks()).await;
    let mut client = Client::new(&server);
    for name in ["queue-nearly-full", "server-busy", "proxy-page", "success-without-ack-id"] {
        server.next_events(Fault::Reply(name.to_owned()));
    }
    let full = json!({"text": "HEC queue is approaching its capacity limit", "code": 24, "ackId": 0});
    assert_eq!(client.send(&["a"]).await, Some((200, full)));
    assert_eq!(client.send(&["b"]).await, Some((503, json!({"text": "Server is busy", "code": 9}))));
    assert_eq!(client.send(&["c"]).await.unwrap().1, json!("<html><body>Please log in</body></html>"));
    assert_eq!(client.send(&["d"]).await, Some((200, json!({"text": "Success", "code": 0}))));
    assert_eq!(server.index().ids(), ["a", "d"]);
}

#[tokio::test]
async fn health_is_told_and_other_paths_are_not_there() {
    let server = HecServer::start(Rules::default()).await;
    let mut client = Client::new(&server);
    assert_eq!(client.post("/health", "").await, Some((200, json!({"text": "HEC is healthy", "code": 17}))));
    server.change(|rules| rules.is_healthy = false);
    let full = json!({"text": "HEC is unhealthy, queues are full", "code": 18});
    assert_eq!(client.post("/health/1.0", "").await, Some((503, full)));
    assert_eq!(client.post("/nowhere", "").await.unwrap().0, 404);
    assert_eq!(server.received().len(), 3);
}
