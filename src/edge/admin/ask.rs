//! The other side of the endpoint: asks a running service how it does and how many records it has read.
//!
//! One `GET` in plain HTTP/1.0 a page, over a connection of its own: no TLS, no redirect, no proxy, no secret, since the
//! endpoint has none of these. Everything is bounded, whoever answers: [`ANSWER_BYTES_MAX`] bytes and [`PATIENCE`] for a
//! page, however slowly it drips. (The system's look-up of a host's name has its own patience.) Blocking; costs a
//! millisecond or two on the loopback.
//!
//! Texts of an answer are as the other side sent them: whoever shows one makes it harmless first.

use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use super::{HealthReport, RECORDS};

/// Longest page that is read: metrics of a service with a hundred destinations have 200 kB.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// Longest time for one page. An endpoint that takes longer is as good as away.
const PATIENCE: Duration = Duration::from_secs(2);

/// Addresses of one name that are tried: `localhost` has two.
const ADDRESSES_MAX: usize = 2;

/// Longest address that is taken: a host's name has 253 bytes.
const ADDRESS_BYTES_MAX: usize = 300;

/// Why the endpoint did not answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Not an address of an admin endpoint.
    #[error("the address of an admin endpoint is written http://HOST:PORT, such as http://127.0.0.1:9464")]
    Address,
    /// Nobody there, or the connection broke.
    #[error("{0}")]
    Unreachable(std::io::Error),
    /// It took too long.
    #[error("no answer within {} s", PATIENCE.as_secs())]
    TooSlow,
    /// Something answered that is no admin endpoint of a panicsift of this kind.
    #[error("what answers there is no admin endpoint of panicsift: {0}")]
    NotOurs(&'static str),
}

/// Where a service can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminPort {
    /// Host and port, as they were typed.
    authority: String,
}

impl fmt::Display for AdminPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.authority)
    }
}

/// What a service says of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// How it does.
    pub health: HealthReport,
    /// Records that it has read since its start, whatever became of them; `None` before the first.
    pub records: Option<f64>,
}

impl AdminPort {
    /// Reads `http://HOST:PORT`, with or without a slash behind.
    ///
    /// # Errors
    /// [`AskError::Address`] for anything else.
    pub fn parse(url: &str) -> Result<Self, AskError> {
        let rest = url.strip_prefix("http://").ok_or(AskError::Address)?;
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        // What cannot be in a host is refused here, so that nothing typed becomes a second header.
        let is_host = |c: char| c.is_ascii_alphanumeric() || ".-_:[]%".contains(c);
        let port =
            authority.rsplit_once(':').and_then(|(host, port)| port.parse::<u16>().ok().filter(|_| !host.is_empty()));
        let fits = authority.len() <= ADDRESS_BYTES_MAX && authority.chars().all(is_host);
        if port.is_none_or(|port| port == 0) || !fits {
            return Err(AskError::Address);
        }
        Ok(Self { authority: authority.to_owned() })
    }

    /// Asks for `/readyz` and `/metrics`.
    ///
    /// # Errors
    /// Nobody answers in time, or somebody else does.
    pub fn ask(&self) -> Result<Answer, AskError> {
        let health = self.page("/readyz", &[200, 503])?;
        let health = serde_json::from_slice(&health)
            .map_err(|_| AskError::NotOurs("/readyz holds no report that can be read"))?;
        let metrics = self.page("/metrics", &[200])?;
        Ok(Answer { health, records: total(&String::from_utf8_lossy(&metrics), RECORDS) })
    }

    /// The body of a page whose status is one of `expected`.
    fn page(&self, path: &str, expected: &[u16]) -> Result<Vec<u8>, AskError> {
        let until = now() + PATIENCE;
        let mut stream = self.connect(until)?;
        let request = format!("GET {path} HTTP/1.0\r\nHost: {}\r\nConnection: close\r\n\r\n", self.authority);
        stream.set_write_timeout(Some(left(until)?)).map_err(AskError::Unreachable)?;
        stream.write_all(request.as_bytes()).map_err(failed)?;
        let mut answer = Vec::new();
        let mut buffer = [0; 16 << 10];
        loop {
            stream.set_read_timeout(Some(left(until)?)).map_err(AskError::Unreachable)?;
            let n = match stream.read(&mut buffer) {
                Ok(n) => n,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(failed(error)),
            };
            let Some(part) = buffer.get(..n).filter(|part| !part.is_empty()) else { break };
            answer.extend_from_slice(part);
            if answer.len() > ANSWER_BYTES_MAX {
                return Err(AskError::NotOurs("it answers without end"));
            }
        }
        body(answer, expected)
    }

    fn connect(&self, until: Instant) -> Result<TcpStream, AskError> {
        let found: Vec<SocketAddr> =
            self.authority.to_socket_addrs().map_err(AskError::Unreachable)?.take(ADDRESSES_MAX).collect();
        let mut failure = AskError::Unreachable(ErrorKind::NotFound.into());
        for address in found {
            match TcpStream::connect_timeout(&address, left(until)?) {
                Ok(stream) => return Ok(stream),
                Err(error) => failure = failed(error),
            }
        }
        Err(failure)
    }
}

/// What is behind the head of an answer whose status is one of `expected` and that is whole.
fn body(mut answer: Vec<u8>, expected: &[u16]) -> Result<Vec<u8>, AskError> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.ok_or(AskError::NotOurs("it does not speak HTTP"))?;
    let body = answer.split_off(end + 4);
    let head = String::from_utf8_lossy(&answer);
    let mut lines = head.lines();
    let status = lines.next().filter(|line| line.starts_with("HTTP/1.")).and_then(|line| line.split(' ').nth(1));
    let status: u16 =
        status.and_then(|status| status.parse().ok()).ok_or(AskError::NotOurs("it does not speak HTTP"))?;
    if !expected.contains(&status) {
        return Err(AskError::NotOurs("the page is not there"));
    }
    let length =
        lines.filter_map(|line| line.split_once(':')).find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length = length.and_then(|(_, length)| length.trim().parse::<usize>().ok());
    if length.is_some_and(|length| length != body.len()) {
        return Err(AskError::Unreachable(ErrorKind::UnexpectedEof.into()));
    }
    Ok(body)
}

/// The sum over all series of a counter in Prometheus' text form; `None` where it has none, or no sum that is a number.
fn total(metrics: &str, name: &str) -> Option<f64> {
    let values = metrics.lines().filter_map(|line| line.strip_prefix(name)).filter_map(|rest| {
        let labelled = rest.starts_with('{').then(|| rest.rsplit_once('}').map(|(_, value)| value)).flatten();
        labelled.or_else(|| rest.starts_with(' ').then_some(rest))?.trim().parse::<f64>().ok()
    });
    let sum = values.fold(None, |sum: Option<f64>, value| Some(sum.unwrap_or_default() + value));
    sum.filter(|sum| sum.is_finite())
}

fn left(until: Instant) -> Result<Duration, AskError> {
    until.checked_duration_since(now()).filter(|left| !left.is_zero()).ok_or(AskError::TooSlow)
}

fn failed(error: std::io::Error) -> AskError {
    match error.kind() {
        ErrorKind::TimedOut | ErrorKind::WouldBlock => AskError::TooSlow,
        _ => AskError::Unreachable(error),
    }
}

#[expect(clippy::disallowed_methods, reason = "how long an answer takes is a fact of this machine")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests;
