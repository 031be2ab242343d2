//! The one HTTP client of destinations: takes a request of any protocol, gives a reply, or reads the failure.
//!
//! A destination may have several endpoints, in the operator's order of preference. A request goes to the first that is
//! well; where that one fails, to the next, at once; one that failed rests ([`endpoints`]). What a reply says about
//! credentials, an index or an alert is the destination's word and no reason to ask another endpoint. Failures of the
//! network are a [`Reading`]: certificates that do not verify, ours or theirs, and redirects hold the lane when no other
//! endpoint does better; everything else is tried again. Which endpoint is in use, and which rests, is in the log.
//!
//! [`tls`] says whom we trust, [`login`] who we are. Bodies may be gzipped, replies are cut at [`REPLY_BYTES_MAX`].
//! [`HttpClient`] serves outside a lane too (to set a destination up, to look at it); [`HttpOutlet`] is a [`Wire`] on top
//! of it. Costs what the request costs, and a read of the secret's file where it is in one.

mod endpoints;
mod login;
mod tls;

use std::error::Error;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use flate2::{Compression, write::GzEncoder};
use jiff::Timestamp;
use reqwest::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER,
    SET_COOKIE,
};

use self::endpoints::Endpoints;
pub use self::login::Login;
use super::{Method, Outlet, Reading, Reply, Request, Sending, Wire, words};
use crate::pipeline::alert::Alert;

/// Bytes of a reply that are read. A bulk reply has some 200 bytes an alert without errors, 2 kB with.
const REPLY_BYTES_MAX: usize = 8 << 20;

/// Below this size gzip is not worth its header.
const GZIP_BYTES_MIN: usize = 1_024;

/// Cookies of a reply that are kept; a load balancer sets one or two.
const COOKIES_MAX: usize = 16;

/// A cookie that is larger is not kept, as browsers do.
const COOKIE_BYTES_MAX: usize = 4_096;

/// A client that cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// A file that the settings name cannot be read.
    #[error("{path}: the file cannot be read: {error}")]
    File {
        /// Path of the file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// It can be read, but holds no certificates.
    #[error("{path}: no PEM certificate in this file; name a file with one or more BEGIN CERTIFICATE blocks")]
    NoCertificate {
        /// Path of the file.
        path: PathBuf,
    },
    /// No key that can be used.
    #[error("{path}: {what}")]
    NoKey {
        /// Path of the file.
        path: PathBuf,
        /// What is wrong, and what to do.
        what: String,
    },
    /// A certificate without its key, or the other way round.
    #[error("{path}: name both client_cert_file and client_key_file, or none of them")]
    HalfAPair {
        /// Path of the one that is named.
        path: PathBuf,
    },
    /// The address and the other settings do not fit.
    #[error("{url}: {what}")]
    Address {
        /// The address.
        url: String,
        /// What is wrong.
        what: String,
    },
    /// The client could not be made (no system certificates, say).
    #[error("the HTTP client cannot be made: {0}; where the system has no certificates, name a ca_file")]
    Client(String),
}

/// Settings of the client that every HTTP destination has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpSettings {
    /// Certificates (PEM) that are trusted instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Our certificate and its chain (PEM), for servers that want one; read at the start.
    pub client_cert_file: Option<PathBuf>,
    /// Its key (PEM, not encrypted).
    pub client_key_file: Option<PathBuf>,
    /// The name that the server's certificate must bear, in place of the address's host.
    pub server_name: Option<String>,
    /// Compress bodies.
    pub gzip: bool,
    /// Time for a whole request at one endpoint, milliseconds.
    pub timeout_ms: u64,
}

impl Default for HttpSettings {
    /// The system's certificates, none of ours, gzip, 30 s.
    fn default() -> Self {
        Self {
            ca_file: None,
            client_cert_file: None,
            client_key_file: None,
            server_name: None,
            gzip: true,
            timeout_ms: 30_000,
        }
    }
}

struct Endpoint {
    /// As the operator wrote it: the name in logs and receipts.
    name: String,
    /// What requests begin with.
    base: String,
    client: reqwest::Client,
}

/// A client for the endpoints of one destination.
pub struct HttpClient {
    destination: String,
    endpoints: Vec<Endpoint>,
    health: Mutex<Endpoints>,
    login: Arc<Mutex<Login>>,
    gzip: bool,
}

/// What to do with a reply.
enum Step<T> {
    /// It is the answer.
    Take(T),
    /// It is the answer, and the endpoint needs a rest.
    Rest(T, String),
    /// Another endpoint may do better; else it is the answer.
    Elsewhere(T, String),
}

impl HttpClient {
    /// A client for `destination` (its name in the log) at `urls` (scheme, host, port, perhaps a path; at least one, the
    /// preferred first). Opens no connection.
    pub fn new(destination: &str, urls: &[String], login: Login, settings: &HttpSettings) -> Result<Self, HttpError> {
        let endpoint = |url: &String| {
            let tls::Built { client, base } = tls::client(settings, url)?;
            Ok(Endpoint { name: url.trim_end_matches('/').to_owned(), base, client })
        };
        let endpoints: Vec<Endpoint> = urls.iter().map(endpoint).collect::<Result<_, HttpError>>()?;
        Ok(Self {
            destination: destination.to_owned(),
            health: Mutex::new(Endpoints::new(endpoints.len())),
            endpoints,
            login: Arc::new(Mutex::new(login)),
            gzip: settings.gzip,
        })
    }

    /// Sends a request to the first endpoint that serves it: not one that cannot be reached or answers 502, 503 or 504,
    /// as long as there is another. Every other reply is the destination's own, whatever its status. Redirects are a
    /// failure.
    pub async fn exchange(&self, request: &Request) -> Result<Reply, Reading> {
        let read = |reply: Reply| match reply.status {
            502..=504 => {
                let why = format!("HTTP {}", reply.status);
                Step::Elsewhere(reply, why)
            }
            _ => Step::Take(reply),
        };
        self.walk(request, read).await
    }

    /// The same, where `read` tells a reply that says nothing but "later" (another endpoint is asked at once), one that
    /// says "less" (the endpoint rests), and the others.
    pub async fn deliver(&self, request: &Request, read: impl Fn(&Reply) -> Reading + Send + Sync) -> Reading {
        let read = |reply: Reply| match read(&reply) {
            Reading::Retry { why, after, slow_down } => {
                let reading = Reading::Retry { why: why.clone(), after, slow_down };
                if slow_down { Step::Rest(reading, why) } else { Step::Elsewhere(reading, why) }
            }
            reading => Step::Take(reading),
        };
        self.walk(request, read).await.unwrap_or_else(|reading| reading)
    }

    async fn walk<T: Send>(&self, request: &Request, read: impl Fn(Reply) -> Step<T> + Send) -> Result<T, Reading> {
        let mut tried = Vec::new();
        let mut kept = None;
        while let Some(at) = self.choose(&tried) {
            tried.push(at);
            let came = match self.at(at, request).await.map(&read) {
                Ok(Step::Take(answer)) => {
                    self.is_well(at);
                    return Ok(answer);
                }
                Ok(Step::Rest(answer, why)) => {
                    self.failed(at, &why);
                    return Ok(answer);
                }
                Ok(Step::Elsewhere(answer, why)) => {
                    self.failed(at, &why);
                    Ok(answer)
                }
                Err(reading) => {
                    self.failed(at, reading.why().unwrap_or_default());
                    Err(reading)
                }
            };
            // While one of them may come back by itself, the lane is not on hold.
            if kept.is_none() || !matches!(came, Err(Reading::Hold { .. })) {
                kept = Some(came);
            }
        }
        let nowhere = || Reading::Hold { why: "no address is configured".to_owned() };
        kept.unwrap_or_else(|| Err(nowhere()))
    }

    /// The endpoint to ask next, none of `tried`; `None` when no other is worth asking now.
    pub fn choose(&self, tried: &[usize]) -> Option<usize> {
        self.health().choose(tried, now())
    }

    /// Sends a request to one endpoint (one that [`Self::choose`] gave), without a judgement on its health.
    pub async fn at(&self, endpoint: usize, request: &Request) -> Result<Reply, Reading> {
        let Some(target) = self.endpoints.get(endpoint) else {
            return Err(Reading::Hold { why: format!("there is no endpoint {endpoint}") });
        };
        let mut headers = self.authorization().await?;
        if !request.content_type.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(request.content_type));
        }
        for (name, value) in &request.headers {
            // Names are ours; a value that is no header value is left out, and the destination says what is missing.
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        let mut body = None;
        if self.gzip && request.body.len() >= GZIP_BYTES_MIN {
            body = gzip(&request.body);
        }
        if body.is_some() {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let method = match request.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Put => reqwest::Method::PUT,
        };
        let url = format!("{}{}", target.base, request.path);
        let sending =
            target.client.request(method, url).headers(headers).body(body.unwrap_or_else(|| request.body.clone()));
        let reply = receive(sending, endpoint).await.map_err(|error| read_failure(&target.name, &error))?;
        if (300..400).contains(&reply.status) {
            return Err(Reading::Hold {
                why: format!(
                    "{} answered with a redirect ({}) to {}; redirects are not followed, name the right address",
                    target.name,
                    reply.status,
                    reply.location.as_deref().unwrap_or("nowhere"),
                ),
            });
        }
        Ok(reply)
    }

    /// An endpoint answered as it should.
    pub fn is_well(&self, endpoint: usize) {
        let changed = self.health().is_well(endpoint);
        if changed && self.endpoints.len() > 1 {
            tracing::info!(destination = self.destination, endpoint = self.name(endpoint), "this endpoint is in use");
        }
    }

    /// An endpoint failed and gets its rest.
    pub fn failed(&self, endpoint: usize, why: &str) {
        let rest = self.health().failed(endpoint, now());
        if self.endpoints.len() > 1 {
            let (endpoint, rest_secs) = (self.name(endpoint), rest.as_secs());
            tracing::warn!(destination = self.destination, endpoint, why, rest_secs, "this endpoint rests");
        }
    }

    /// The address of an endpoint, as the operator wrote it.
    pub fn name(&self, endpoint: usize) -> &str {
        self.endpoints.get(endpoint).map_or("", |endpoint| endpoint.name.as_str())
    }

    /// The endpoint that answered last as it should.
    pub fn in_use(&self) -> Option<&str> {
        let at = self.health().in_use();
        at.map(|at| self.name(at))
    }

    /// A header map with who we are, the secret read anew.
    async fn authorization(&self) -> Result<HeaderMap, Reading> {
        let login = Arc::clone(&self.login);
        let header = tokio::task::spawn_blocking(move || {
            let mut login = login.lock().unwrap_or_else(PoisonError::into_inner);
            (login.reread(), login.header())
        });
        let Ok((changed, secret)) = header.await else {
            return Err(Reading::Retry { why: "a task of ours died".to_owned(), after: None, slow_down: false });
        };
        if changed {
            tracing::info!(destination = self.destination, "the secret was changed in its file; the new one is used");
        }
        let mut headers = HeaderMap::new();
        if let Some(secret) = secret {
            let Ok(mut value) = HeaderValue::from_str(secret.expose()) else {
                let why = "the secret holds characters that no HTTP header may hold".to_owned();
                return Err(Reading::Hold { why });
            };
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Ok(headers)
    }

    fn health(&self) -> MutexGuard<'_, Endpoints> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A protocol with a network under it.
pub struct HttpOutlet<W> {
    wire: W,
    client: HttpClient,
}

impl<W: Wire> HttpOutlet<W> {
    /// The protocol over this client.
    pub fn new(wire: W, client: HttpClient) -> Self {
        Self { wire, client }
    }
}

impl<W: Wire> Outlet for HttpOutlet<W> {
    fn send<'a>(&'a mut self, alerts: &'a [Alert]) -> Sending<'a> {
        Box::pin(async move {
            let request = self.wire.encode(alerts);
            let wire = &self.wire;
            self.client.deliver(&request, |reply| wire.read(reply, alerts.len())).await
        })
    }
}

async fn receive(sending: reqwest::RequestBuilder, endpoint: usize) -> Result<Reply, reqwest::Error> {
    let mut response = sending.send().await?;
    let text = |name| response.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let cookies = response.headers().get_all(SET_COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut reply = Reply {
        status: response.status().as_u16(),
        retry_after_secs: text(RETRY_AFTER).and_then(|wish| retry_after_secs(wish, text(DATE), wall_clock)),
        location: text(LOCATION).map(|location| words(location.as_bytes())),
        cookies: cookies
            .filter_map(|cookie| cookie.split(';').next())
            .filter(|cookie| cookie.len() <= COOKIE_BYTES_MAX)
            .take(COOKIES_MAX)
            .map(|cookie| cookie.trim().to_owned())
            .collect(),
        endpoint,
        peer: response.remote_addr(),
        body: Vec::new(),
    };
    while let Some(chunk) = response.chunk().await? {
        let room = REPLY_BYTES_MAX.saturating_sub(reply.body.len());
        reply.body.extend(chunk.iter().take(room));
        if chunk.len() >= room {
            break;
        }
    }
    Ok(reply)
}

/// `Retry-After` in seconds: a number, or a date, which counts from the server's own `Date` where it tells it, so that
/// two clocks need not agree. A date that is past is no wait.
fn retry_after_secs(wish: &str, date: Option<&str>, clock: impl Fn() -> Timestamp) -> Option<u64> {
    let wish = wish.trim();
    if let Ok(secs) = wish.parse() {
        return Some(secs);
    }
    let until = http_date(wish)?;
    let from = date.and_then(http_date).unwrap_or_else(clock);
    Some(u64::try_from(until.as_second().saturating_sub(from.as_second())).unwrap_or(0))
}

/// HTTP's date (IMF-fixdate) is one of RFC 2822. Its two obsolete forms are not read.
fn http_date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text.trim()).ok()
}

#[expect(clippy::disallowed_methods, reason = "a server's date is compared with ours when it does not tell its own")]
fn wall_clock() -> Timestamp {
    Timestamp::now()
}

#[expect(clippy::disallowed_methods, reason = "how long an endpoint has rested is a fact of this machine")]
fn now() -> Instant {
    Instant::now()
}

fn gzip(body: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    encoder.write_all(body).ok()?;
    encoder.finish().ok()
}

/// A certificate that does not verify stays so until somebody does something; everything else may pass.
fn read_failure(endpoint: &str, error: &reqwest::Error) -> Reading {
    let why = words(chain(error).as_bytes());
    if tls::is_certificate_fault(error) {
        let why = format!("the server's certificate is not trusted, name a ca_file: {endpoint}: {why}");
        return Reading::Hold { why };
    }
    if tls::is_client_certificate_fault(error) {
        let why = format!("the server does not take our certificate, see client_cert_file: {endpoint}: {why}");
        return Reading::Hold { why };
    }
    Reading::Retry { why: format!("{endpoint}: {why}"), after: None, slow_down: false }
}

/// An error with its causes. The address is left out: it may carry a password.
fn chain(error: &reqwest::Error) -> String {
    let mut text = if error.is_timeout() { "timeout".to_owned() } else { "request failed".to_owned() };
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(wish: &str, date: Option<&str>, expected: Option<u64>) {
        let clock = || "1994-11-06T08:49:00Z".parse().unwrap();
        assert_eq!(retry_after_secs(wish, date, clock), expected);
    }

    #[test]
    fn a_wish_to_be_left_alone_is_seconds_or_a_date_by_the_servers_own_clock() {
        check("7", None, Some(7));
        check(" 0 ", None, Some(0));
        check("Sun, 06 Nov 1994 08:49:37 GMT", None, Some(37));
        check("Sun, 06 Nov 1994 08:49:37 GMT", Some("Sun, 06 Nov 1994 08:49:30 GMT"), Some(7));
        check("Sun, 06 Nov 1994 08:49:37 GMT", Some("yesterday"), Some(37));
        check("Sun, 06 Nov 1994 08:40:37 GMT", None, Some(0));
        for nonsense in ["", "-1", "soon", "1e9", "Sun, 99 Nov 1994 08:49:37 GMT", "99999999999999999999999"] {
            check(nonsense, None, None);
        }
    }
}
