//! The layer: runs the handler and the body of its answer where a panic is caught, answers for it, and tells of it.

use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{ConnectInfo, MatchedPath, Request};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header, request::Parts};
use axum::response::{IntoResponse, Response};
use http_body::{Frame, SizeHint};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tower_layer::Layer;
use tower_service::Service;

use crate::body::{Copy, copied};
use crate::event::{Ending, Event};
use crate::facts::Facts;
use crate::hook::{self, Report};
use crate::ordinary::Draw;

/// What contains the panics of handlers.
const BOUNDARY: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"), " tower layer");

/// Headers that are copied where they come. Never `authorization` or `cookie`.
const HEADERS: [&str; 6] =
    ["content-length", "content-type", "idempotency-key", "traceparent", "user-agent", "x-request-id"];

/// How a service tells of its panics.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Name of the service.
    pub service: String,
    /// Its release.
    pub release: Option<String>,
    /// Host or node it runs on.
    pub host: Option<String>,
    /// Bytes of a body that are kept. 0: none, for services whose payloads must not leave them.
    pub body_bytes_max: usize,
    /// Frames of a backtrace that are kept. 0: none is taken; a panic then costs 0.1 ms instead of 0.5.
    pub frames_max: usize,
    /// Events that may wait for the producer; the next one is dropped and counted. Each takes up to about six times
    /// `body_bytes_max` (control characters are written `\u0000`).
    pub events_max: usize,
    /// Proxies in front that append to `x-forwarded-for`: the client's address is this many from its right end. 0: the
    /// address of the connection, as `into_make_service_with_connect_info::<SocketAddr>()` tells it. Too high a number
    /// lets clients choose their address.
    pub proxies: usize,
    /// What the client gets when the handler panicked.
    pub answer: fn() -> Response,
}

impl Settings {
    /// 32 KiB of a body, 32 frames, 256 events, no proxy, a plain 500.
    pub fn new(service: &str) -> Self {
        Self {
            service: service.to_owned(),
            release: None,
            host: None,
            body_bytes_max: 32 << 10,
            frames_max: 32,
            events_max: 256,
            proxies: 0,
            answer: internal_server_error,
        }
    }
}

/// RFC 9457, and not a word of the panic: its message may hold the input of somebody else.
fn internal_server_error() -> Response {
    let problem = r#"{"type":"about:blank","title":"Internal Server Error","status":500}"#;
    (StatusCode::INTERNAL_SERVER_ERROR, [(header::CONTENT_TYPE, "application/problem+json")], problem).into_response()
}

/// What all requests share.
#[derive(Debug)]
struct Core {
    settings: Settings,
    events: Sender<Event>,
    dropped: Dropped,
    draw: Draw,
    /// Nobody listens where none is drawn.
    samples: Option<Sender<Event>>,
    dropped_samples: Dropped,
}

/// Counts the events that found the channel full or closed.
#[derive(Debug, Clone, Default)]
pub struct Dropped(Arc<AtomicU64>);

impl Dropped {
    /// How many, since the start.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Wraps services so that their panics are answered and told.
#[derive(Debug, Clone)]
pub struct PanicLayer(Arc<Core>);

impl PanicLayer {
    /// The layer, and where its events come out. Installs the panic hook over the one that is there: call it after
    /// other hooks were set.
    pub fn new(settings: Settings) -> (Self, Receiver<Event>) {
        Self::of(settings, Draw::new(0), None)
    }

    /// The same with `request-sample.v1` records of one in `one_in` of the requests that do not panic, which come out of
    /// the second receiver, once their answer is written or given up. 1: of all of them.
    pub fn with_samples(settings: Settings, one_in: NonZeroU32) -> (Self, Receiver<Event>, Receiver<Event>) {
        let (sender, samples) = channel(settings.events_max.max(1));
        let (layer, events) = Self::of(settings, Draw::new(one_in.get()), Some(sender));
        (layer, events, samples)
    }

    fn of(settings: Settings, draw: Draw, samples: Option<Sender<Event>>) -> (Self, Receiver<Event>) {
        hook::install();
        let (events, receiver) = channel(settings.events_max.max(1));
        let (dropped, dropped_samples) = (Dropped::default(), Dropped::default());
        (Self(Arc::new(Core { settings, events, dropped, draw, samples, dropped_samples })), receiver)
    }

    /// The count of lost events, for a metric.
    pub fn dropped(&self) -> Dropped {
        self.0.dropped.clone()
    }

    /// The count of lost samples.
    pub fn dropped_samples(&self) -> Dropped {
        self.0.dropped_samples.clone()
    }
}

impl<S> Layer<S> for PanicLayer {
    type Service = PanicService<S>;

    fn layer(&self, inner: S) -> PanicService<S> {
        PanicService { inner, core: Arc::clone(&self.0) }
    }
}

/// A service whose panics are answered and told.
#[derive(Debug, Clone)]
pub struct PanicService<S> {
    inner: S,
    core: Arc<Core>,
}

impl<S> Service<Request> for PanicService<S>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let (parts, body) = request.into_parts();
        let (body, copy) = copied(body, self.core.settings.body_bytes_max);
        let facts = Facts::of(Seen::new(&self.core, &parts, copy));
        let request = Request::from_parts(parts, body);
        // The one that was polled ready is the one that is called.
        let next = self.inner.clone();
        let mut service = std::mem::replace(&mut self.inner, next);
        Box::pin(serve(facts, move || service.call(request)))
    }
}

async fn serve<F>(facts: Facts, call: impl FnOnce() -> F) -> Result<Response, Infallible>
where
    F: Future<Output = Result<Response, Infallible>>,
{
    let frames_max = facts.seen().frames_max();
    let served = match hook::catch(frames_max, || facts.scope(call)) {
        Ok(work) => {
            let mut work = pin!(work);
            std::future::poll_fn(|context| {
                match hook::catch(frames_max, || facts.scope(|| work.as_mut().poll(context))) {
                    Ok(poll) => poll.map(Ok),
                    Err(panic) => Poll::Ready(Err(panic)),
                }
            })
            .await
        }
        Err(panic) => Err(panic),
    };
    match served {
        Ok(Ok(response)) => {
            let status = response.status();
            Ok(response.map(|body| Body::new(Told { body: Some(body), status, facts })))
        }
        Ok(Err(never)) => match never {},
        Err((report, _)) => {
            let answer = (facts.seen().settings().answer)();
            facts.seen().tell(&report, &facts, Ending::degraded(answer.status()));
            Ok(answer)
        }
    }
}

impl Ending {
    /// Contained; the client got an error, or half of what it asked for.
    fn degraded(status: StatusCode) -> Self {
        Self { status: Some(status.as_u16()), outcome: "degraded", boundary: BOUNDARY }
    }
}

/// What the layer sees of a request: cheap to take, since most requests never need it.
#[derive(Debug)]
pub(crate) struct Seen {
    core: Arc<Core>,
    pub(crate) started: Instant,
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) route: Option<MatchedRoute>,
    pub(crate) body: Copy,
    headers: HeaderMap,
    peer: Option<IpAddr>,
    is_drawn: bool,
    /// A panic of it was told.
    panicked: AtomicBool,
}

/// The route's template.
#[derive(Debug)]
pub(crate) struct MatchedRoute(MatchedPath);

impl std::fmt::Display for MatchedRoute {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.0.as_str())
    }
}

impl Seen {
    fn new(core: &Arc<Core>, parts: &Parts, body: Copy) -> Self {
        let mut headers = HeaderMap::with_capacity(HEADERS.len());
        for name in HEADERS {
            if let Some(value) = parts.headers.get(name) {
                headers.insert(name, value.clone());
            }
        }
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| address.ip());
        Self {
            core: Arc::clone(core),
            started: Instant::now(),
            method: parts.method.clone(),
            uri: parts.uri.clone(),
            route: parts.extensions.get::<MatchedPath>().cloned().map(MatchedRoute),
            body,
            headers,
            peer: client(&parts.headers, core.settings.proxies, peer),
            is_drawn: core.draw.next(),
            panicked: AtomicBool::new(false),
        }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.core.settings
    }

    pub(crate) fn frames_max(&self) -> usize {
        self.core.settings.frames_max
    }

    pub(crate) fn client(&self) -> Option<IpAddr> {
        self.peer
    }

    /// A header, where it came and is visible ASCII.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Tells of the request as an ordinary one, if it is one and was drawn.
    fn sample(&self, facts: &Facts, status: StatusCode) {
        let Some(samples) = self.core.samples.as_ref().filter(|_| self.is_drawn) else { return };
        if self.panicked.load(Ordering::Relaxed) {
            return;
        }
        let sample = Event::sample(self, &facts.noted(), status.as_u16(), self.core.draw.one_in());
        if samples.try_send(sample).is_err() {
            self.core.dropped_samples.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn tell(&self, report: &Report, facts: &Facts, ending: Ending) {
        self.panicked.store(true, Ordering::Relaxed);
        let event = Event::new(report, self, &facts.noted(), ending);
        if self.core.events.try_send(event).is_err() {
            self.core.dropped.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A panic of a task that the request spawned: what the client gets is not known yet.
    pub(crate) fn tell_child(&self, report: &Report, facts: &Facts) {
        self.tell(report, facts, Ending { status: None, outcome: "unknown", boundary: "tokio::task" });
    }
}

/// The client's address: the `proxies`-th from the right of `x-forwarded-for`, since what is further left the client may
/// have written itself. Without proxies, and where the header is short or no address, the one of the connection.
fn client(headers: &HeaderMap, proxies: usize, peer: Option<IpAddr>) -> Option<IpAddr> {
    let lines = headers.get_all("x-forwarded-for");
    let addresses = lines.iter().rev().filter_map(|line| line.to_str().ok()).flat_map(|line| line.rsplit(','));
    let told = proxies.checked_sub(1).and_then(|at| addresses.map(str::trim).nth(at));
    told.and_then(|address| address.parse().ok()).or(peer)
}

/// The body of an answer. A panic in it is told and cuts the answer off: its head is with the client already.
struct Told {
    body: Option<Body>,
    status: StatusCode,
    facts: Facts,
}

impl HttpBody for Told {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Self { body, status, facts } = &mut *self;
        let Some(inner) = body.as_mut() else { return Poll::Ready(None) };
        match hook::catch(facts.seen().frames_max(), || facts.scope(|| Pin::new(inner).poll_frame(context))) {
            Ok(poll) => poll,
            Err((report, _)) => {
                *body = None;
                facts.seen().tell(&report, facts, Ending::degraded(*status));
                Poll::Ready(Some(Err(axum::Error::new("the answer was cut off"))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, HttpBody::size_hint)
    }
}

/// The answer is over: written to its end, or given up by whoever asked.
impl Drop for Told {
    fn drop(&mut self) {
        self.facts.seen().sample(&self.facts, self.status);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clients_address_is_counted_from_the_trusted_end() {
        let check = |lines: &[&str], proxies, expected: &str| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append("x-forwarded-for", line.parse().unwrap());
            }
            let found = client(&headers, proxies, Some([127, 0, 0, 1].into()));
            assert_eq!(found, Some(expected.parse().unwrap()), "{lines:?} {proxies}");
        };
        check(&["203.0.113.9"], 0, "127.0.0.1");
        check(&["203.0.113.9"], 1, "203.0.113.9");
        check(&["10.9.8.7, 203.0.113.9"], 1, "203.0.113.9");
        check(&["10.9.8.7, 203.0.113.9, 192.0.2.1"], 2, "203.0.113.9");
        check(&["10.9.8.7", "203.0.113.9,2001:db8::1"], 1, "2001:db8::1");
        check(&["10.9.8.7", "203.0.113.9,2001:db8::1"], 3, "10.9.8.7");
        check(&["unknown"], 1, "127.0.0.1");
        check(&["203.0.113.9"], 2, "127.0.0.1");
        check(&[], 1, "127.0.0.1");
    }
}
