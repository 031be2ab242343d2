//! Delivery: from the outbox to each destination, nothing lost, in order, never one destination in another's way.
//!
//! A destination is a pure protocol and a shared sender. The protocol ([`Wire`]) turns alerts into a request and reads
//! the reply; it knows no network and no clock, so that every reply a server ever gave can be a row of a test. The
//! sender ([`HttpClient`]) knows the network and no protocol. A [`NdjsonFile`] and a [`TopicOutlet`] are
//! destinations with neither.
//!
//! One lane a destination ([`lane`]): take what waits, send it, read what became of it ([`Reading`]), write the final
//! answers down, and decide how to go on ([`pace`]): at once, after a back-off, or on hold with slow probes. Whatever
//! is not finally answered waits in the outbox; a crash between the reply and the note of it repeats the alert under
//! the same id. So: at least once, under a stable id.
//!
//! Never here: what an alert means. Costs one request and one transaction a batch.

pub mod file;
pub mod http;
pub mod lane;
pub mod pace;
pub mod topic;

use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

pub use self::file::{FileSettings, NdjsonFile};
pub use self::http::{HttpClient, HttpError, HttpOutlet, HttpSettings, Login};
pub use self::lane::{Lane, LaneError};
pub use self::pace::PaceLimits;
pub use self::topic::TopicOutlet;
pub use super::store::Fate;

use super::admin::Health;
use super::store::Outbox;
use crate::pipeline::alert::Alert;

/// Wait between two looks at what waits.
const LOOK_WAIT: Duration = Duration::from_millis(50);

/// Bytes of a destination's own words that are kept.
const WORDS_BYTES_MAX: usize = 400;

/// The methods that destinations need.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Method {
    /// To look.
    Get,
    /// To hand over.
    #[default]
    Post,
    /// To set up.
    Put,
}

/// What is to be sent. Endpoint and login are the client's.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Path and query; they come after the endpoint's address.
    pub path: String,
    /// `Content-Type`; empty: none.
    pub content_type: &'static str,
    /// More headers, by lower-case name.
    pub headers: Vec<(&'static str, String)>,
    /// The body, not compressed.
    pub body: Vec<u8>,
}

/// What came back.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// `Retry-After` in seconds, also where it was a date.
    pub retry_after_secs: Option<u64>,
    /// `Location`, for redirects, which are never followed.
    pub location: Option<String>,
    /// `name=value` of each `Set-Cookie`, bounded.
    pub cookies: Vec<String>,
    /// Which endpoint answered, by its place in the configuration.
    pub endpoint: usize,
    /// The address that answered.
    pub peer: Option<SocketAddr>,
    /// The body, cut at the client's limit.
    pub body: Vec<u8>,
}

/// What a reply says about one alert of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// Final, with the destination's words where it has any.
    Final(Fate, String),
    /// Not taken this time; it may be taken unchanged later.
    Retry(String),
    /// Not taken for want of room; later, and less at once.
    Overloaded(String),
    /// Not taken until somebody changes something at the destination.
    Hold(String),
}

/// A request that was handed over and has no answer yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What a reply says about a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// Every alert was taken.
    Accepted {
        /// The destination asks for less from now on.
        slow_down: bool,
        /// What proves it: where it was taken and under which number.
        receipt: String,
    },
    /// Handed over; whether it was taken comes later, from [`Outlet::poll`], under this ticket.
    Pending {
        /// The number of the request, never given twice by an outlet.
        ticket: Ticket,
        /// The destination asks for less from now on.
        slow_down: bool,
    },
    /// One word for each alert, in the order they were sent.
    Words(Vec<Word>),
    /// Nothing was taken; the same may be taken later.
    Retry {
        /// The destination's words.
        why: String,
        /// How long it asks to be left alone.
        after: Option<Duration>,
        /// It is overloaded rather than broken: send less.
        slow_down: bool,
    },
    /// Nothing is taken until somebody changes something (credentials, index, template, address).
    Hold {
        /// What is wrong, in the destination's words.
        why: String,
    },
    /// An alert of the request cannot be taken as it is.
    Poison {
        /// Which one, as the destination counts; it is tried alone before it is believed.
        suspect: Option<usize>,
        /// The destination's words.
        why: String,
    },
    /// The request is too large.
    TooLarge {
        /// The destination's words.
        why: String,
    },
}

impl Reading {
    /// The destination's words, where it is about the whole request and not through.
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Accepted { .. } | Self::Pending { .. } | Self::Words(_) => None,
            Self::Retry { why, .. } | Self::Hold { why } | Self::Poison { why, .. } | Self::TooLarge { why } => {
                Some(why)
            }
        }
    }

    /// The name in metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Accepted { slow_down: false, .. } => "accepted",
            Self::Accepted { slow_down: true, .. } => "accepted_slow_down",
            Self::Pending { slow_down: false, .. } => "handed_over",
            Self::Pending { slow_down: true, .. } => "handed_over_slow_down",
            Self::Words(said) if said.iter().all(|word| matches!(word, Word::Final(..))) => "accepted",
            Self::Words(_) => "in_part",
            Self::Retry { .. } => "retry",
            Self::Hold { .. } => "hold",
            Self::Poison { .. } => "poison",
            Self::TooLarge { .. } => "too_large",
        }
    }
}

/// The protocol of a destination, without network and clock.
pub trait Wire: Send + Sync {
    /// Turns alerts (at least one) into one request.
    fn encode(&self, alerts: &[Alert]) -> Request;
    /// Reads the reply to a request that carried `n_sent` alerts. Must never take silence or nonsense for "accepted".
    fn read(&self, reply: &Reply, n_sent: usize) -> Reading;
}

/// A future that is boxed, so that lanes of all kinds fit one type.
pub type Sending<'a> = Pin<Box<dyn Future<Output = Reading> + Send + 'a>>;

/// What an outlet found out about requests that were handed over.
#[derive(Debug, Default)]
pub struct Polled {
    /// Those that have an answer now. Accepted: taken for good. Anything else: not known to be taken, to be sent again.
    pub told: Vec<(Ticket, Reading)>,
    /// Why it could not be asked; the requests it concerns keep waiting.
    pub trouble: Option<Reading>,
}

/// The same for [`Outlet::poll`].
pub type Polling<'a> = Pin<Box<dyn Future<Output = Polled> + Send + 'a>>;

/// Where a lane ends: HTTP, a file, a topic. Must be safe to drop while it is sending.
pub trait Outlet: Send + Sync {
    /// Sends alerts (at least one, at most one a cluster) and says what became of them; durable where it says so.
    fn send<'a>(&'a mut self, alerts: &'a [Alert]) -> Sending<'a>;

    /// Asks once what became of requests that were handed over. What it tells it tells once: the lane writes it down
    /// before it does anything else.
    fn poll(&mut self) -> Polling<'_> {
        Box::pin(std::future::ready(Polled::default()))
    }

    /// How long until it wants to be polled; `None`: it does not.
    fn next_poll(&self) -> Option<Duration> {
        None
    }
}

/// Limits of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// Alerts in one request.
    pub alerts_max: usize,
    /// Bytes of alert JSON in one request; a destination's envelope comes on top.
    pub bytes_max: usize,
}

impl Default for BatchLimits {
    /// 200 alerts, 800 kB: under the 1 MB that Splunk recommends, with room for the envelope.
    fn default() -> Self {
        Self { alerts_max: 200, bytes_max: 800_000 }
    }
}

/// Runs every lane until `shutdown` turns true (or its sender is gone). Each lane ends by itself after the request in
/// flight; the first lane that cannot go on (its store is gone) ends all.
pub async fn deliver(
    lanes: Vec<Lane>,
    health: Arc<Health>,
    wakeup: watch::Receiver<u64>,
    shutdown: watch::Receiver<bool>,
) -> Result<(), LaneError> {
    let mut running = JoinSet::new();
    for lane in lanes {
        running.spawn(lane.run(Arc::clone(&health), wakeup.clone(), shutdown.clone()));
    }
    while let Some(ended) = running.join_next().await {
        match ended {
            Ok(result) => result?,
            Err(error) => return Err(LaneError::Died(error.to_string())),
        }
    }
    Ok(())
}

/// Waits until each of `destinations` has answered (a refusal is an answer) every alert that was committed to the store
/// at `store` before the call, or until `patience` is over; returns whether they have. The lanes must be running. Costs
/// a count over an index a look.
pub async fn drained(store: &Path, destinations: &[&str], patience: Duration) -> Result<bool, LaneError> {
    let all_answered = async {
        for destination in destinations {
            answered(store.to_owned(), (*destination).to_owned()).await?;
        }
        Ok(true)
    };
    tokio::time::timeout(patience, all_answered).await.unwrap_or(Ok(false))
}

/// Waits until nothing waits for a destination.
async fn answered(store: PathBuf, destination: String) -> Result<(), LaneError> {
    let broken = |error| LaneError::Store { destination: destination.clone(), error };
    let name = destination.clone();
    let mut outbox = lane::blocking(move || Outbox::open(&store, &name)).await?.map_err(broken)?;
    loop {
        let (n_waiting, back) = lane::blocking(move || (outbox.n_waiting(), outbox)).await?;
        if n_waiting.map_err(broken)? == 0 {
            return Ok(());
        }
        outbox = back;
        tokio::time::sleep(LOOK_WAIT).await;
    }
}

/// A destination's words as they may be kept and logged: one line, printable, bounded.
pub fn words(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes.get(..bytes.len().min(WORDS_BYTES_MAX)).unwrap_or_default());
    let mut kept = String::new();
    for part in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|part| !part.is_empty()) {
        if !kept.is_empty() {
            kept.push(' ');
        }
        kept.extend(part.chars().map(|c| if is_printable(c) { c } else { '\u{fffd}' }));
    }
    kept
}

/// No control, no direction override, no invisible joiner: nothing that changes how a line is shown.
fn is_printable(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(input: &[u8], expected: &str) {
        assert_eq!(words(input), expected);
    }

    #[test]
    fn words_of_a_destination_become_one_printable_bounded_line() {
        check(b"", "");
        check(b"{\"text\":\"Invalid token\"}\n", "{\"text\":\"Invalid token\"}");
        check(b"<html>\r\n\t<b>busy</b>\x00", "<html> <b>busy</b>");
        check(b"a\x1b[31mred", "a [31mred");
        check("x\u{202e}y".as_bytes(), "x\u{fffd}y");
        check(b"\xff\xfe", "\u{fffd}\u{fffd}");
        assert_eq!(words(&[b'a'; 10_000]).len(), WORDS_BYTES_MAX);
    }
}
