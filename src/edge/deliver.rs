//! Delivery: from the outbox to each destination, nothing lost, in order, never one destination in another's way.
//!
//! A destination is a pure protocol and a shared sender. The protocol ([`Wire`]) turns alerts into a request and reads
//! the reply; it knows no network and no clock, so that every reply a server ever gave can be a row of a test. The
//! sender ([`HttpOutlet`]) knows the network and no protocol. A [`NdjsonFile`] is a destination without a network; a
//! Kafka topic is one by implementing [`Outlet`].
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

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

pub use self::file::{FileSettings, NdjsonFile};
pub use self::http::{HttpOutlet, HttpSettings};
pub use self::lane::{Lane, LaneError};
pub use self::pace::PaceLimits;

use super::admin::Health;
use super::store::Fate;
use crate::pipeline::alert::Alert;
use crate::secret::Secret;

/// Bytes of a destination's own words that are kept.
const WORDS_BYTES_MAX: usize = 400;

/// What is to be sent: method is always POST.
#[derive(Debug)]
pub struct Request {
    /// Whole address.
    pub url: String,
    /// `Content-Type`.
    pub content_type: &'static str,
    /// `Authorization`, if the destination wants one.
    pub authorization: Option<Secret>,
    /// The body, not compressed.
    pub body: Vec<u8>,
}

/// What came back.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// `Retry-After` in seconds; a date there is not read, the lane's own back-off then counts.
    pub retry_after_secs: Option<u64>,
    /// `Location`, for redirects, which are never followed.
    pub location: Option<String>,
    /// The body, cut at the sender's limit.
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

/// What a reply says about a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// Every alert was taken.
    Accepted {
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

/// The protocol of a destination, without network and clock.
pub trait Wire: Send + Sync {
    /// Turns alerts (at least one) into one request.
    fn encode(&self, alerts: &[Alert]) -> Request;
    /// Reads the reply to a request that carried `n_sent` alerts. Must never take silence or nonsense for "accepted".
    fn read(&self, reply: &Reply, n_sent: usize) -> Reading;
}

/// A future that is boxed, so that lanes of all kinds fit one type.
pub type Sending<'a> = Pin<Box<dyn Future<Output = Reading> + Send + 'a>>;

/// Where a lane ends: HTTP, a file, a topic. Must be safe to drop while it is sending.
pub trait Outlet: Send + Sync {
    /// Sends alerts (at least one, at most one a cluster) and says what became of them; durable where it says so.
    fn send<'a>(&'a mut self, alerts: &'a [Alert]) -> Sending<'a>;
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
