//! A scripted HTTP server: answers what it is told to, and remembers what it was sent.
//!
//! It stands on the HTTP library itself and not on a router, so that it can do what a server that dies does: reset a
//! connection in place of an answer, and take all connections with it when it ends.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
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
    /// The body after gzip; empty where it was no gzip although it said so, or no UTF-8.
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
    /// Never sent: the connection is reset.
    pub(crate) cut: bool,
    /// How long it takes to be sent.
    pub(crate) delay: Duration,
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
            ..Self::default()
        }
    }

    /// The connection is reset in its place.
    pub(crate) fn cut(self) -> Self {
        Self { cut: true, ..self }
    }
}

type Script = dyn Fn(usize, &Received) -> Answer + Send + Sync;

struct Shared {
    script: Box<Script>,
    received: Mutex<Vec<Received>>,
}

/// A server on a port of its own; ends, with all its connections, when it is dropped.
pub(crate) struct ScriptedServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
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
        let shared = Arc::new(Shared { script: Box::new(script), received: Mutex::default() });
        let mut server = Self { address, shared, tasks: JoinSet::new() };
        server.start_again().await;
        server
    }

    /// Ends as a server that is killed: nobody listens any more, and open connections break.
    pub(crate) async fn stop(&mut self) {
        self.tasks.shutdown().await;
    }

    /// Listens again, on the same address.
    pub(crate) async fn start_again(&mut self) {
        let listener = bind(self.address).await;
        self.address = listener.local_addr().unwrap();
        let shared = Arc::clone(&self.shared);
        self.tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    Ok((stream, _)) = listener.accept() => {
                        connections.spawn(converse(stream, Arc::clone(&shared)));
                    }
                    Some(_) = connections.join_next() => {}
                }
            }
        });
    }

    /// `http://127.0.0.1:port`
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many requests it was sent so far.
    pub(crate) fn n_received(&self) -> usize {
        self.shared.received.lock().unwrap().len()
    }

    /// Everything it was sent so far.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.shared.received.lock().unwrap().clone()
    }
}

/// A port may be in use for a moment more, by whoever called from it.
async fn bind(address: SocketAddr) -> TcpListener {
    for _ in 0..100 {
        if let Ok(listener) = TcpListener::bind(address).await {
            return listener;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    TcpListener::bind(address).await.unwrap()
}

/// The error that resets a connection.
#[derive(Debug, thiserror::Error)]
#[error("the connection is cut")]
struct Cut;

async fn converse(stream: TcpStream, shared: Arc<Shared>) {
    stream.set_nodelay(true).unwrap();
    let service = service_fn(move |request| answer(Arc::clone(&shared), request));
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    if (&mut connection).await.is_err() {
        // Closing a socket that does not linger sends RST and not FIN.
        drop(connection.into_parts().io.into_inner().set_zero_linger());
    }
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Cut> {
    let request = received(request).await?;
    let answer = {
        let mut received = shared.received.lock().unwrap();
        received.push(request);
        (shared.script)(received.len() - 1, received.last().unwrap())
    };
    if answer.never {
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(answer.delay).await;
    if answer.cut {
        return Err(Cut);
    }
    let mut response = Response::builder().status(answer.status);
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    Ok(response.body(Full::from(answer.body)).unwrap())
}

async fn received(request: Request<Incoming>) -> Result<Received, Cut> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Cut)?.to_bytes();
    let text = |value: &hyper::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers: BTreeMap<String, String> =
        head.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
    let mut unpacked = Vec::new();
    if headers.get("content-encoding").is_some_and(|encoding| encoding == "gzip") {
        drop(flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut unpacked));
    } else {
        unpacked = body.to_vec();
    }
    let body = String::from_utf8(unpacked).unwrap_or_default();
    Ok(Received { method: head.method.to_string(), path: head.uri.to_string(), headers, body })
}
