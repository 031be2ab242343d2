//! The layer as a service meets it: requests in, answers and events out, each event valid against the contract.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http_body::Frame;
use http_body_util::BodyExt;
use panic_events::{Event, Facts, PanicLayer, Settings, TokenKey};
use serde_json::{Value, json};
use tokio::sync::mpsc::Receiver;
use tower::ServiceExt;

/// A router behind the layer, and its events.
struct Service {
    app: Router,
    events: Receiver<Event>,
}

impl Service {
    fn new(router: Router, settings: Settings) -> Self {
        let (layer, events) = PanicLayer::new(settings);
        Self { app: router.layer(layer), events }
    }

    async fn send(&self, request: Request<Body>) -> Response {
        self.app.clone().oneshot(request).await.unwrap()
    }

    /// The next event; it must be there already.
    fn event(&mut self) -> Value {
        let event = self.events.try_recv().unwrap();
        let event: Value = serde_json::from_slice(&event.json).unwrap();
        assert_valid(&event);
        event
    }

    fn assert_no_event(&mut self) {
        assert!(self.events.try_recv().is_err());
    }
}

/// What of `n` requests to a router is told as ordinary, all of them drawn.
async fn samples(router: Router, requests: Vec<Request<Body>>) -> Vec<Value> {
    let (layer, mut events, mut samples) = PanicLayer::with_samples(settings(), NonZeroU32::MIN);
    let app = router.layer(layer);
    for request in requests {
        drop(app.clone().oneshot(request).await.unwrap().into_body().collect().await);
    }
    drop((app, events.try_recv()));
    let schema = include_str!("../../../../schemas/request-sample.v1.json");
    let schema = jsonschema::validator_for(&serde_json::from_str(schema).unwrap()).unwrap();
    let mut told = Vec::new();
    while let Ok(sample) = samples.try_recv() {
        let sample: Value = serde_json::from_slice(&sample.json).unwrap();
        assert!(schema.is_valid(&sample), "{sample:#}");
        told.push(sample);
    }
    told
}

#[tokio::test]
async fn what_did_not_panic_is_told_as_ordinary_and_what_did_is_not() {
    async fn refused() -> StatusCode {
        StatusCode::UNPROCESSABLE_ENTITY
    }
    let router = Router::new().route("/v1/orders", post(order)).route("/v1/no", get(refused));
    let good = r#"{"name":"a"}"#;
    let requests = vec![
        request("POST", "/v1/orders?page=1", good),
        request("POST", "/v1/orders", "{}"),
        request("GET", "/v1/no", ""),
        request("GET", "/v1/nowhere", ""),
    ];
    let told = samples(router, requests).await;
    let seen: Vec<(&Value, &Value)> = told.iter().map(|sample| (&sample["endpoint"], &sample["status"])).collect();
    let route = |route: &str| json!(route);
    assert_eq!(
        seen,
        [(&route("POST /v1/orders"), &json!(200)), (&route("GET /v1/no"), &json!(422)), (&Value::Null, &json!(404)),]
    );
    assert_eq!((&told[0]["request"]["payload"], &told[0]["sample_rate"]), (&json!(good), &json!(1)));
    assert_eq!((&told[0]["query"], &told[0]["service"]), (&json!([["page", "1"]]), &json!("shop")));
    assert!(told.iter().all(|sample| sample.get("panic").is_none() && sample.get("event_id").is_none()));
}

#[tokio::test]
async fn samples_that_nobody_takes_are_dropped_and_counted_and_without_a_wish_there_are_none() {
    let settings = Settings { events_max: 2, ..settings() };
    let (layer, events, samples) = PanicLayer::with_samples(settings.clone(), NonZeroU32::MIN);
    let lost = (layer.dropped(), layer.dropped_samples());
    let app = Router::new().route("/", get(async || "well")).layer(layer);
    for _ in 0..5 {
        drop(app.clone().oneshot(request("GET", "/", "")).await.unwrap());
    }
    assert_eq!((samples.len(), events.len(), lost.0.count(), lost.1.count()), (2, 0, 0, 3));
    let (layer, events) = PanicLayer::new(settings);
    let lost = layer.dropped_samples();
    let app = Router::new().route("/", get(async || "well")).layer(layer);
    drop(app.oneshot(request("GET", "/", "")).await.unwrap());
    assert_eq!((events.len(), lost.count()), (0, 0));
}

fn settings() -> Settings {
    Settings::new("shop")
}

fn assert_valid(event: &Value) {
    let schema = include_str!("../../../../schemas/panic-event.v1.json");
    let schema = jsonschema::validator_for(&serde_json::from_str(schema).unwrap()).unwrap();
    let faults: Vec<String> = schema.iter_errors(event).map(|fault| fault.to_string()).collect();
    assert!(faults.is_empty(), "{faults:?} in {event:#}");
}

fn request(method: &str, uri: &str, body: impl Into<Body>) -> Request<Body> {
    Request::builder().method(method).uri(uri).body(body.into()).unwrap()
}

async fn order(body: Bytes) -> String {
    let order: Value = serde_json::from_slice(&body).unwrap();
    order["name"].as_str().unwrap().to_owned()
}

async fn always() -> String {
    panic!("always")
}

async fn unreadable(body: Bytes) -> String {
    panic!("{} bytes", body.len())
}

fn orders() -> Router {
    Router::new().route("/v1/orders/{id}", post(order))
}

#[tokio::test]
async fn a_panic_becomes_a_500_and_an_event_that_tells_both_sides() {
    let key = TokenKey::new(b"a secret");
    let name = key.name("https://login.example", "the token");
    let noted = name.clone();
    let note = axum::middleware::map_request(move |request: Request<Body>| {
        let facts = Facts::current().unwrap();
        facts.token(noted.clone(), vec!["orders:write".to_owned()], true);
        facts.attempt(2);
        facts.tenant("acme");
        facts.side_effect("db_write");
        facts.side_effect("db_write");
        facts.side_effect("mail");
        std::future::ready(request)
    });
    let mut service = Service::new(orders().layer(note), Settings { release: Some("1.2.3".to_owned()), ..settings() });
    let body = r#"{"name": 7}"#;
    let mut sent = request("POST", "/v1/orders/17?page=1&q=gr%C3%B6%C3%9Fe", body);
    let headers = [
        ("authorization", "Bearer the token"),
        ("cookie", "session=the session"),
        ("content-length", "11"),
        ("content-type", "application/json"),
        ("idempotency-key", "8e03978e"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("user-agent", "acme/2.9"),
        ("x-request-id", "r-1"),
    ];
    for (name, value) in headers {
        sent.headers_mut().insert(name, value.parse().unwrap());
    }
    sent.extensions_mut().insert(ConnectInfo(SocketAddr::from(([203, 0, 113, 9], 4711))));
    let answer = service.send(sent).await;
    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let answer = answer.into_body().collect().await.unwrap().to_bytes();
    assert!(!String::from_utf8_lossy(&answer).contains("unwrap"), "the answer keeps the panic to itself");

    let raw = service.events.try_recv().unwrap();
    assert_eq!(raw.key, "203.0.113.9");
    for secret in ["the token", "the session"] {
        assert!(!String::from_utf8_lossy(&raw.json).contains(secret), "{secret}");
    }
    let event: Value = serde_json::from_slice(&raw.json).unwrap();
    assert_valid(&event);
    let expected = json!({
        "service": "shop", "release": "1.2.3", "tenant": "acme", "endpoint": "POST /v1/orders/{id}", "method": "POST",
        "path": "/v1/orders/17", "query": [["page", "1"], ["q", "größe"]], "status": 500, "handled": true,
        "client": {"ip": "203.0.113.9", "user_agent": "acme/2.9"},
        "token": {"id_hash": name, "scope": ["orders:write"], "valid": true},
        "request": {
            "id": "r-1", "content_type": "application/json", "content_length": 11, "payload": body,
            "payload_encoding": "utf8", "payload_truncated": false, "idempotency_key": "8e03978e", "attempt": 2,
        },
        "recovery": {"outcome": "degraded", "boundary": "panic-events/0.1.0 tower layer"},
        "side_effects": [{"kind": "db_write", "count": 2}, {"kind": "mail", "count": 1}],
        "trace": {"trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "b7ad6b7169203331"},
    });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&event[key], value, "{key}");
    }
    let panic = &event["panic"];
    assert_eq!(panic["message"], "called `Option::unwrap()` on a `None` value");
    assert_eq!(panic["file"], "tests/layer.rs");
    assert!(panic["line"].as_u64() > Some(0) && panic["column"].as_u64() > Some(0));
    let frames: Vec<&str> = panic["backtrace"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    assert!(frames.iter().take(3).any(|name| name.contains("layer::order")), "{frames:?}");
    assert!(frames.len() <= 32 && !frames.iter().any(|name| name.contains("panicking::panic")), "{frames:?}");
    service.assert_no_event();
}

#[tokio::test]
async fn without_a_panic_the_answer_is_as_it_was_and_nothing_is_told() {
    let mut service = Service::new(orders(), settings());
    let answer = service.send(request("POST", "/v1/orders/1", r#"{"name":"chair"}"#)).await;
    assert_eq!((answer.status(), answer.body().size_hint().exact()), (StatusCode::OK, Some(5)));
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "chair");
    let unknown = service.send(request("GET", "/nowhere", "")).await;
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
    service.assert_no_event();
}

#[tokio::test]
async fn a_body_is_kept_up_to_the_bound_and_the_event_says_that_it_was_cut() {
    let settings = || Settings { body_bytes_max: 4, ..settings() };
    for (body, expected) in [
        ("1234", json!(["1234", "utf8", false, 4])),
        ("12345", json!(["1234", "utf8", true, 5])),
        ("123ü", json!(["123", "utf8", true, 5])),
        ("", json!(["", "utf8", false, 0])),
    ] {
        let mut service = Service::new(Router::new().route("/", post(unreadable)), settings());
        service.send(request("POST", "/", body)).await;
        let request = &service.event()["request"];
        let kept =
            ["payload", "payload_encoding", "payload_truncated", "content_length"].map(|key| request[key].clone());
        assert_eq!(Value::from(kept.to_vec()), expected, "{body}");
    }
    let none = Settings { body_bytes_max: 0, ..settings() };
    let mut service = Service::new(Router::new().route("/", post(unreadable)), none);
    service.send(request("POST", "/", "secret")).await;
    let event = service.event();
    assert_eq!((&event["request"]["payload"], &event["request"]["content_length"]), (&Value::Null, &json!(6)));
}

#[tokio::test]
async fn a_handler_that_panics_in_the_middle_of_a_body_leaves_what_it_had_read() {
    let handler = async |body: Body| -> String {
        let mut body = body;
        drop(body.frame().await);
        panic!("after the first part");
    };
    let mut service = Service::new(Router::new().route("/", post(handler)), settings());
    let parts = Parts(vec![None, Some("never read"), Some("first ")]);
    service.send(request("POST", "/", Body::new(parts))).await;
    let request = &service.event()["request"];
    assert_eq!((&request["payload"], &request["payload_truncated"]), (&json!("first "), &json!(true)));
    assert_eq!(request["content_length"], Value::Null);
}

#[tokio::test]
async fn a_panic_before_the_body_is_read_has_no_payload() {
    let mut service = Service::new(Router::new().route("/", post(always)), settings());
    service.send(request("POST", "/", Body::new(Parts(vec![Some("unread")])))).await;
    assert_eq!(service.event()["request"]["payload"], Value::Null);
}

#[tokio::test]
async fn a_panic_in_a_streaming_answer_cuts_it_off_and_is_told_with_the_status_that_was_sent() {
    let handler = async || Response::new(Body::new(Parts(vec![Some("never"), None, Some("second"), Some("first")])));
    let mut service = Service::new(Router::new().route("/", get(handler)), settings());
    let answer = service.send(request("GET", "/", "")).await;
    assert_eq!(answer.status(), StatusCode::OK);
    service.assert_no_event();
    let mut body = answer.into_body();
    for expected in ["first", "second"] {
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), expected);
    }
    assert!(body.frame().await.unwrap().is_err(), "the client must not take it for whole");
    assert!(body.frame().await.is_none());
    let event = service.event();
    assert_eq!(event["panic"]["message"], "called `Option::unwrap()` on a `None` value");
    assert_eq!((&event["status"], &event["recovery"]["outcome"]), (&json!(200), &json!("degraded")));
}

#[tokio::test]
async fn nested_panics_give_one_event_of_the_one_that_came_out() {
    let handler = async || -> String {
        assert!(std::panic::catch_unwind(|| panic!("caught by the handler")).is_err());
        panic!("came out");
    };
    let caught = async || {
        assert!(std::panic::catch_unwind(|| panic!("caught by the handler")).is_err());
        "well"
    };
    let router = Router::new().route("/out", get(handler)).route("/caught", get(caught));
    let mut service = Service::new(router, settings());
    service.send(request("GET", "/out", "")).await;
    assert_eq!(service.event()["panic"]["message"], "came out");
    service.assert_no_event();
    assert_eq!(service.send(request("GET", "/caught", "")).await.status(), StatusCode::OK);
    service.assert_no_event();
}

#[tokio::test]
async fn a_watched_task_is_told_with_its_request_and_its_join_error_is_as_ever() {
    let handler = async || -> String {
        let work = async {
            tokio::task::yield_now().await;
            panic!("in the task")
        };
        let task = tokio::spawn(Facts::current().unwrap().watch(work));
        task.await.unwrap()
    };
    let mut service = Service::new(Router::new().route("/report", get(handler)), settings());
    assert_eq!(service.send(request("GET", "/report", "")).await.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let child = service.event();
    assert_eq!((&child["panic"]["message"], &child["endpoint"]), (&json!("in the task"), &json!("GET /report")));
    let recovery = &child["recovery"];
    assert_eq!((&recovery["outcome"], &recovery["boundary"]), (&json!("unknown"), &json!("tokio::task")));
    let parent = service.event();
    let message = parent["panic"]["message"].as_str().unwrap();
    assert!(message.contains("JoinError::Panic") && message.contains("in the task"), "{message}");
    assert_eq!(child["isolate"], parent["isolate"]);
    assert_ne!(child["event_id"], parent["event_id"]);
    service.assert_no_event();
}

#[tokio::test]
async fn a_poisoned_lock_gives_an_event_of_its_own_for_each_victim() {
    static LOCK: Mutex<u32> = Mutex::new(0);
    let handler = async |body: String| {
        let mut held = LOCK.lock().unwrap();
        *held += u32::try_from(body.len()).unwrap();
        assert!(!body.is_empty(), "an empty body");
    };
    let mut service = Service::new(Router::new().route("/", post(handler)), settings());
    assert_eq!(service.send(request("POST", "/", "good")).await.status(), StatusCode::OK);
    service.send(request("POST", "/", "")).await;
    assert_eq!(service.event()["panic"]["message"], "an empty body");
    service.send(request("POST", "/", "good")).await;
    assert!(service.event()["panic"]["message"].as_str().unwrap().contains("PoisonError"));
}

#[tokio::test]
async fn a_full_channel_costs_the_event_and_not_the_request() {
    let (layer, mut events) = PanicLayer::new(Settings { events_max: 1, ..settings() });
    let dropped = layer.dropped();
    let app: Router = Router::new().route("/", get(always)).layer(layer);
    for _ in 0..3 {
        let answer = app.clone().oneshot(request("GET", "/", "")).await.unwrap();
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
    assert_eq!(dropped.count(), 2);
    assert!(events.try_recv().is_ok() && events.try_recv().is_err());
    drop(events);
    app.oneshot(request("GET", "/", "")).await.unwrap();
    assert_eq!(dropped.count(), 3);
}

#[tokio::test]
async fn the_answer_is_the_users_and_hostile_texts_are_bounded() {
    let answer = || (StatusCode::UNPROCESSABLE_ENTITY, "no").into_response();
    let handler = async || -> String { std::panic::panic_any("ü".repeat(100_000)) };
    let mut service = Service::new(Router::new().fallback(handler), Settings { answer, ..settings() });
    let mut sent = request("GET", &format!("/{}?{}", "x".repeat(20_000), "a&".repeat(5_000)), "");
    sent.headers_mut().insert("user-agent", "y".repeat(20_000).parse().unwrap());
    sent.headers_mut().insert("content-type", axum::http::HeaderValue::from_bytes(b"\xff\xfe").unwrap());
    assert_eq!(service.send(sent).await.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let event = service.event();
    assert_eq!((&event["status"], &event["endpoint"]), (&json!(422), &Value::Null));
    assert_eq!(event["panic"]["message"].as_str().unwrap().len(), 8 << 10);
    assert_eq!(event["client"]["user_agent"].as_str().unwrap().len(), 1 << 10);
    assert_eq!(event["query"].as_array().unwrap().len(), 256);
    assert_eq!(event["request"]["content_type"], Value::Null);
    assert!(event.to_string().len() < 64 << 10);
}

/// A body of parts, from the last to the first; an absent one is unwrapped.
struct Parts(Vec<Option<&'static str>>);

impl HttpBody for Parts {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop().map(|part| Ok(Frame::data(Bytes::from(part.unwrap())))))
    }
}
