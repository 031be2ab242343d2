//! A shop whose handlers really panic, each in a way that is found in real services, and a producer that sends what the
//! layer tells to Kafka.
//!
//! ```sh
//! BROKERS=127.0.0.1:9092 TOPIC=panic-events LISTEN=127.0.0.1:8080 cargo run --example shop --features kafka
//! curl -H 'content-type: application/json' -d '{"items":[]}' http://127.0.0.1:8080/v1/orders
//! ```
//!
//! `PROXIES=1` takes the client's address from `x-forwarded-for`. SIGTERM or Ctrl-C ends it; what was told is sent first.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "its handlers are to panic as careless ones do"
)]

mod kafka;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http_body::Frame;
use panic_events::{Facts, PanicLayer, Settings, TokenKey};
use serde_json::{Value, json};

const PRODUCTS: [&str; 3] = ["chair", "table", "lamp"];

/// What the handlers share.
#[derive(Clone)]
struct Shop {
    token_key: TokenKey,
    coupons: Arc<Mutex<Vec<String>>>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let setting = |name: &str| std::env::var(name).map_err(|_| format!("{name} is not set"));
    let (layer, events) = PanicLayer::new(Settings {
        release: Some(env!("CARGO_PKG_VERSION").to_owned()),
        proxies: setting("PROXIES").map_or(Ok(0), |number| number.parse())?,
        ..Settings::new("storefront-api")
    });
    let dropped = layer.dropped();
    let producer = tokio::spawn(kafka::send(kafka::producer(&setting("BROKERS")?)?, setting("TOPIC")?, events));

    let shop = Shop { token_key: TokenKey::new(setting("TOKEN_KEY")?.as_bytes()), coupons: Arc::default() };
    let app = Router::new()
        .route("/v1/orders", post(order))
        .route("/v1/prices", post(price))
        .route("/v1/products/{number}", get(product))
        .route("/v1/search", get(search))
        .route("/v1/coupons", post(coupon))
        .route("/v1/report", get(report))
        .route("/v1/export", get(export))
        .layer(from_fn_with_state(shop.clone(), identify))
        .with_state(shop)
        // The outermost layer of all that may panic; after the routes, so that it knows which of them it was.
        .layer(layer);

    let listener = tokio::net::TcpListener::bind(setting("LISTEN")?).await?;
    println!("listening on {}", listener.local_addr()?);
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, app).with_graceful_shutdown(told_to_stop()).await?;

    // With the server gone the last sender is gone, and the producer's channel ends.
    let sent = producer.await?;
    println!("{sent} events sent, {} dropped", dropped.count());
    Ok(())
}

async fn told_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

/// Stands for whatever checks tokens in your service: it alone knows who they belong to and what they may do.
async fn identify(State(shop): State<Shop>, request: Request, next: Next) -> Response {
    if let Some(facts) = Facts::current() {
        note(&shop, request.headers(), &facts);
    }
    next.run(request).await
}

fn note(shop: &Shop, headers: &HeaderMap, facts: &Facts) {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(token) = header("authorization").and_then(|value| value.strip_prefix("Bearer ")) {
        let scopes: &[&str] =
            if token.starts_with("admin") { &["orders:admin"] } else { &["orders:read", "orders:write"] };
        let scopes = scopes.iter().map(|&scope| scope.to_owned()).collect();
        facts.token(shop.token_key.name("https://login.example", token), scopes, true);
    }
    if let Some(attempt) = header("x-attempt").and_then(|attempt| attempt.parse().ok()) {
        facts.attempt(attempt);
    }
}

/// Trusts that a body is JSON and has what it should.
async fn order(body: Bytes) -> Json<Value> {
    let order: Value = serde_json::from_slice(&body).unwrap();
    if let Some(facts) = Facts::current() {
        facts.side_effect("db_write");
    }
    let quantity = order["items"][0]["quantity"].as_u64().expect("a quantity");
    Json(json!({"taken": quantity}))
}

/// Trusts that prices are small.
async fn price(Json(price): Json<Value>) -> Json<Value> {
    let number = |key: &str| u32::try_from(price[key].as_u64().unwrap_or_default()).unwrap();
    Json(json!({"cents": number("quantity") * number("unit_price_cents")}))
}

/// Trusts that a number is one of the shop's.
async fn product(Path(number): Path<usize>) -> &'static str {
    PRODUCTS[number]
}

/// Trusts that eight bytes end between two letters.
async fn search(Query(query): Query<BTreeMap<String, String>>) -> String {
    let words = query.get("q").map_or("", String::as_str);
    format!("nothing like {}", if words.len() > 8 { &words[..8] } else { words })
}

/// Trusts its input while it holds a lock, which makes victims of all who come later.
async fn coupon(State(shop): State<Shop>, body: String) -> StatusCode {
    let mut used = shop.coupons.lock().unwrap();
    assert!(body.len() < 64, "a coupon of {} letters", body.len());
    used.push(body);
    StatusCode::CREATED
}

/// Trusts a task of its own.
async fn report(Query(query): Query<BTreeMap<String, String>>) -> String {
    let days = query.get("days").cloned().unwrap_or_default();
    let work = async move { 365 / days.parse::<u32>().unwrap_or_default() };
    let task = match Facts::current() {
        Some(facts) => tokio::spawn(facts.watch(work)),
        None => tokio::spawn(work),
    };
    format!("{} reports", task.await.unwrap())
}

/// Panics when half of the answer is with the client.
async fn export() -> Response {
    let mut lines = [Some("chair"), Some("table"), None].into_iter();
    let next = move || lines.next().map(|line| Bytes::from(line.unwrap()));
    Body::new(Lines { next, is_due: false }).into_response()
}

/// A body of lines, each of which has to be waited for.
struct Lines<F> {
    next: F,
    is_due: bool,
}

impl<F: FnMut() -> Option<Bytes> + Unpin> HttpBody for Lines<F> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.is_due = !self.is_due;
        if self.is_due {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready((self.next)().map(|line| Ok(Frame::data(line))))
    }
}
