//! A scripted HTTP server: answers what it is told to, and remembers what it was sent.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// A request as it came, its body unpacked.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    /// `GET`, `POST`, `PUT`.
    pub(crate) method: String,
    /// Path with query.
    pub(crate) path: String,
    /// Headers by lower-case name.
    pub(crate) headers: BTreeMap<String, String>,
    /// The body after gzip.
    pub(crate) body: String,
}

/// An answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
    /// HTTP status.
    pub(crate) status: u16,
    /// Headers.
    pub(crate) headers: BTreeMap<String, String>,
    /// Body.
    pub(crate) body: String,
    /// Never sent: the connection stays open and silent.
    pub(crate) never: bool,
}

impl Answer {
    /// A status with a body.
    pub(crate) fn new(status: u16, body: impl Into<String>) -> Self {
        Self { status, body: body.into(), ..Self::default() }
    }

    /// A literal reply from a file of `tests/data`: `{"status", "headers", "body"}`, the body a text or JSON.
    pub(crate) fn literal(text: &str) -> Self {
        let reply: serde_json::Value = serde_json::from_str(text).unwrap();
        let headers = reply["headers"].as_object().into_iter().flatten();
        Self {
            status: u16::try_from(reply["status"].as_u64().unwrap()).unwrap(),
            headers: headers.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect(),
            body: reply["body"].as_str().map_or_else(|| reply["body"].to_string(), str::to_owned),
            never: false,
        }
    }
}

type Script = dyn Fn(usize, &Received) -> Answer + Send + Sync;

struct Shared {
    script: Box<Script>,
    received: Mutex<Vec<Received>>,
}

/// A server on a port of its own; ends when it is dropped.
pub(crate) struct ScriptedServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

impl ScriptedServer {
    /// Starts a server that answers the request of this number (from 0) as `script` says.
    pub(crate) async fn start(script: impl Fn(usize, &Received) -> Answer + Send + Sync + 'static) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), script).await
    }

    /// The same on an address that is known before.
    pub(crate) async fn start_at(
        address: SocketAddr,
        script: impl Fn(usize, &Received) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { script: Box::new(script), received: Mutex::default() });
        let router = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, shared, _tasks: tasks }
    }

    /// `http://127.0.0.1:port`
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Everything it was sent so far.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.shared.received.lock().unwrap().clone()
    }
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let headers: BTreeMap<String, String> =
        headers.iter().map(|(name, value)| (name.as_str().to_owned(), value.to_str().unwrap().to_owned())).collect();
    let mut text = String::new();
    if headers.get("content-encoding").is_some_and(|encoding| encoding == "gzip") {
        flate2::read::GzDecoder::new(&body[..]).read_to_string(&mut text).unwrap();
    } else {
        text = String::from_utf8(body.to_vec()).unwrap();
    }
    let request = Received { method: method.to_string(), path: uri.to_string(), headers, body: text };
    let answer = {
        let mut received = shared.received.lock().unwrap();
        received.push(request);
        (shared.script)(received.len() - 1, received.last().unwrap())
    };
    if answer.never {
        std::future::pending::<()>().await;
    }
    let mut response = (StatusCode::from_u16(answer.status).unwrap(), answer.body).into_response();
    for (name, value) in answer.headers {
        let name = axum::http::HeaderName::try_from(name).unwrap();
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}
