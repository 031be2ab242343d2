//! The one HTTP sender: takes a request of any protocol, gives its reply, or reads the failure.
//!
//! TLS by rustls with the ring provider, always verified: by the system's certificates, or by a file of the operator's
//! and nothing else. Redirects are not followed (a token would go with them), proxies of the environment are not
//! looked at, bodies may be gzipped, replies are cut at [`REPLY_BYTES_MAX`]. Failures of the network are a
//! [`Reading`]: a certificate that does not verify holds the lane, everything else is tried again.

use std::error::Error;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Once;
use std::time::Duration;

use flate2::{Compression, write::GzEncoder};
use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER};

use super::{Outlet, Reading, Reply, Request, Sending, Wire, words};
use crate::pipeline::alert::Alert;

/// Bytes of a reply that are read. A bulk reply has some 200 bytes an alert without errors, 2 kB with.
const REPLY_BYTES_MAX: usize = 8 << 20;

/// Time for TCP and TLS; a part of the whole timeout, so that an address that swallows packets is found out early.
const CONNECT_TIMEOUT_MAX: Duration = Duration::from_secs(10);

/// Below this size gzip is not worth its header.
const GZIP_BYTES_MIN: usize = 1_024;

/// A sender that cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The certificate file cannot be read.
    #[error("{path}: the certificate file cannot be read: {error}")]
    CaFile {
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
    /// The client could not be made (no system certificates, say).
    #[error("the HTTP client cannot be made: {0}; where the system has no certificates, name a ca_file")]
    Client(String),
}

/// Settings of the sender that every HTTP destination has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpSettings {
    /// Certificates (PEM) that are trusted instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Compress bodies.
    pub gzip: bool,
    /// Time for a whole request, milliseconds.
    pub timeout_ms: u64,
}

impl Default for HttpSettings {
    /// The system's certificates, gzip, 30 s.
    fn default() -> Self {
        Self { ca_file: None, gzip: true, timeout_ms: 30_000 }
    }
}

/// A protocol with a network under it.
pub struct HttpOutlet<W> {
    wire: W,
    client: reqwest::Client,
    gzip: bool,
}

impl<W: Wire> HttpOutlet<W> {
    /// Builds the client; opens no connection.
    pub fn new(wire: W, settings: &HttpSettings) -> Result<Self, HttpError> {
        install_crypto();
        let timeout = Duration::from_millis(settings.timeout_ms);
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("panicsift/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .timeout(timeout)
            .connect_timeout(timeout.min(CONNECT_TIMEOUT_MAX));
        if let Some(path) = &settings.ca_file {
            let pem = std::fs::read(path).map_err(|error| HttpError::CaFile { path: path.clone(), error })?;
            let certificates = reqwest::Certificate::from_pem_bundle(&pem).unwrap_or_default();
            if certificates.is_empty() {
                return Err(HttpError::NoCertificate { path: path.clone() });
            }
            builder = builder.tls_certs_only(certificates);
        }
        let client = builder.build().map_err(|error| HttpError::Client(chain(&error)))?;
        Ok(Self { wire, client, gzip: settings.gzip })
    }

    async fn exchange(&self, request: Request) -> Result<Reply, reqwest::Error> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(request.content_type));
        if let Some(secret) = &request.authorization {
            // A secret that is no header value is refused by the destination, which holds the lane and says so.
            if let Ok(mut value) = HeaderValue::from_str(secret.expose()) {
                value.set_sensitive(true);
                headers.insert(AUTHORIZATION, value);
            }
        }
        let mut body = request.body;
        if self.gzip
            && body.len() >= GZIP_BYTES_MIN
            && let Some(packed) = gzip(&body)
        {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            body = packed;
        }
        let mut response = self.client.post(&request.url).headers(headers).body(body).send().await?;
        let text = |name| response.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let mut reply = Reply {
            status: response.status().as_u16(),
            retry_after_secs: text(RETRY_AFTER).and_then(|secs| secs.trim().parse().ok()),
            location: text(LOCATION).map(|location| words(location.as_bytes())),
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
}

impl<W: Wire> Outlet for HttpOutlet<W> {
    fn send<'a>(&'a mut self, alerts: &'a [Alert]) -> Sending<'a> {
        Box::pin(async move {
            match self.exchange(self.wire.encode(alerts)).await {
                Ok(reply) if (300..400).contains(&reply.status) => Reading::Hold {
                    why: format!(
                        "answered with a redirect ({}) to {}; redirects are not followed, name the right address",
                        reply.status,
                        reply.location.as_deref().unwrap_or("nowhere"),
                    ),
                },
                Ok(reply) => self.wire.read(&reply, alerts.len()),
                Err(error) => read_failure(&error),
            }
        })
    }
}

/// The ring provider becomes the process's; a provider that is there already stays.
fn install_crypto() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
}

fn gzip(body: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    encoder.write_all(body).ok()?;
    encoder.finish().ok()
}

/// A certificate that does not verify stays so until somebody does something; everything else may pass.
fn read_failure(error: &reqwest::Error) -> Reading {
    let why = words(chain(error).as_bytes());
    if is_certificate_fault(error) {
        return Reading::Hold { why: format!("the server's certificate is not trusted, name a ca_file: {why}") };
    }
    Reading::Retry { why, after: None, slow_down: false }
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

fn is_certificate_fault(error: &reqwest::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if matches!(innermost(error).downcast_ref(), Some(rustls::Error::InvalidCertificate(_))) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// An error of the system may hold one of rustls, or another of the system that does; `source` passes over these.
fn innermost<'a>(mut error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    while let Some(inner) = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        error = inner;
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    struct NoWire;

    impl Wire for NoWire {
        fn encode(&self, _: &[Alert]) -> Request {
            Request { url: String::new(), content_type: "", authorization: None, body: Vec::new() }
        }
        fn read(&self, _: &Reply, _: usize) -> Reading {
            Reading::Accepted { slow_down: false }
        }
    }

    #[track_caller]
    fn check_ca_file(content: Option<&[u8]>, expected: &str) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        if let Some(content) = content {
            std::fs::write(&path, content).unwrap();
        }
        let settings = HttpSettings { ca_file: Some(path), ..HttpSettings::default() };
        let error = HttpOutlet::new(NoWire, &settings).err().unwrap().to_string();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn a_certificate_file_that_is_none_is_refused_by_name() {
        check_ca_file(None, "cannot be read");
        check_ca_file(Some(b"hello"), "no PEM certificate");
        check_ca_file(Some(b""), "no PEM certificate");
    }
}
