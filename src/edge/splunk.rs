//! Splunk's HTTP Event Collector (HEC) as a pure protocol.
//!
//! Takes alerts, gives one request of concatenated event envelopes; reads the JSON `code` of the reply and not the HTTP
//! status alone (a wrong token arrives as 400, like a broken event; full queues arrive as 200). Nothing that is not a
//! HEC answer is taken for "accepted": a proxy's HTML page with status 200 is a retry. Codes 0 to 22 are Splunk's
//! published list, 23 to 27 are as later versions answer.
//!
//! HEC has no idempotency key: a repeat after a crash is a second event. Each carries `alert_id` as an indexed field,
//! by which `| dedup alert_id` folds it. [`SplunkWire`] is HEC without indexer acknowledgement: a token that demands it
//! (codes 10 and 11) holds the lane and says so. [`SplunkOutlet`] speaks it: [`acks`] keeps what is not acknowledged yet.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::deliver::{Login, Reading, Reply, Request, Wire, words};
use super::format::cim;
use crate::pipeline::alert::Alert;
use crate::pipeline::event::Millis;
use crate::secret::Credential;

mod acks;
mod outlet;

pub use self::acks::AckTimes;
pub use self::outlet::{AckMode, SplunkOutlet};

/// Where HEC takes event envelopes.
const EVENT_PATH: &str = "/services/collector/event";

/// Settings of a Splunk destination.
#[derive(Debug, Clone)]
pub struct SplunkSettings {
    /// Index; the token's own when absent.
    pub index: Option<String>,
    /// `host` of the events; Splunk fills in the sender's address when absent.
    pub host: Option<String>,
    /// `source` of the events.
    pub source: String,
    /// `sourcetype` of the events.
    pub sourcetype: String,
}

/// How HEC is told the token.
pub fn login(token: Credential) -> Login {
    Login::Token { scheme: "Splunk", secret: token }
}

/// An operator may write the whole address of the collector: what requests have in common.
pub fn base(url: &str) -> &str {
    url.split("/services/collector").next().unwrap_or_default().trim_end_matches('/')
}

/// The protocol.
#[derive(Debug, Clone)]
pub struct SplunkWire {
    settings: SplunkSettings,
}

impl SplunkWire {
    /// The protocol with these settings.
    pub fn new(settings: SplunkSettings) -> Self {
        Self { settings }
    }
}

impl Wire for SplunkWire {
    fn encode(&self, alerts: &[Alert]) -> Request {
        let mut body = Vec::new();
        for alert in alerts {
            let start = body.len();
            match serde_json::to_writer(&mut body, &self.envelope(alert)) {
                Ok(()) => body.push(b'\n'),
                // Cannot happen with these types; an event that is missing is answered like one that is broken.
                Err(_) => body.truncate(start),
            }
        }
        Request { path: EVENT_PATH.to_owned(), content_type: "application/json", body, ..Request::default() }
    }

    fn read(&self, reply: &Reply, _n_sent: usize) -> Reading {
        let said = Said::parse(&reply.body);
        let why = match said.code {
            Some(code) => format!("HTTP {}, code {code}: {}", reply.status, words(said.text.as_bytes())),
            None => format!("HTTP {}, not a HEC answer: {}", reply.status, words(&reply.body)),
        };
        let after = reply.retry_after_secs.map(Duration::from_secs);
        match class(reply.status, said.code) {
            Class::Accepted => Reading::Accepted { slow_down: false, receipt: not_acknowledged(reply, said.code) },
            Class::AcceptedSlowDown => {
                Reading::Accepted { slow_down: true, receipt: not_acknowledged(reply, said.code) }
            }
            Class::Retry => Reading::Retry { why, after, slow_down: false },
            Class::Overloaded => Reading::Retry { why, after, slow_down: true },
            Class::Hold => Reading::Hold { why },
            Class::Acknowledgement => Reading::Hold {
                why: format!(
                    "{why}; this token wants indexer acknowledgement, set ack = \"auto\" or use a token without it"
                ),
            },
            Class::Poison => Reading::Poison { suspect: said.invalid_event, why },
            Class::TooLarge => Reading::TooLarge { why },
        }
    }
}

/// The proof where there is no better one: the collector took the request, and whether it was indexed is not known.
fn not_acknowledged(reply: &Reply, code: Option<i64>) -> String {
    format!("answered {} code {}, not acknowledged", reply.status, code.unwrap_or_default())
}

/// What a status and a code mean for a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Taken.
    Accepted,
    /// Taken, and the queues are nearly full.
    AcceptedSlowDown,
    /// Later.
    Retry,
    /// Later, and less.
    Overloaded,
    /// Not before somebody changes something.
    Hold,
    /// The token's acknowledgement setting and ours do not fit.
    Acknowledgement,
    /// An event is wrong.
    Poison,
    /// The request is too large.
    TooLarge,
}

/// The table. `code` is the JSON code of the reply's body, if it had one.
pub fn class(status: u16, code: Option<i64>) -> Class {
    let is_success = (200..300).contains(&status);
    if status == 413 {
        return Class::TooLarge;
    }
    match code {
        Some(0) if is_success => Class::Accepted,
        Some(24 | 25) if is_success => Class::AcceptedSlowDown,
        // 17 is the health page's answer: the address is wrong.
        Some(1..=4 | 7 | 16 | 17 | 21 | 22) => Class::Hold,
        Some(5 | 6 | 12 | 13 | 15) if !is_success => Class::Poison,
        Some(8 | 18 | 19 | 20 | 23) => Class::Retry,
        Some(9 | 26 | 27) => Class::Overloaded,
        Some(10 | 11 | 14) => Class::Acknowledgement,
        Some(_) | None => class_of_status(status),
    }
}

/// Without a code that is known: a proxy, a load balancer, a newer Splunk. A success that nobody vouches for is none.
fn class_of_status(status: u16) -> Class {
    match status {
        300..=399 | 401 | 403 | 407 => Class::Hold,
        429 => Class::Overloaded,
        _ => Class::Retry,
    }
}

/// What a reply's body says, read leniently: it may be HTML, a bare JSON string, or nothing.
#[derive(Debug, Default, Deserialize)]
struct Said {
    #[serde(default)]
    text: String,
    code: Option<i64>,
    #[serde(rename = "invalid-event-number")]
    invalid_event: Option<usize>,
    /// The acknowledgement number, whatever it is: one that is no number is none.
    #[serde(rename = "ackId")]
    ack_id: Option<serde_json::Value>,
}

impl Said {
    fn parse(body: &[u8]) -> Self {
        serde_json::from_slice(body).unwrap_or_default()
    }

    fn ack_id(&self) -> Option<u64> {
        self.ack_id.as_ref().and_then(serde_json::Value::as_u64)
    }
}

#[derive(Serialize)]
struct Envelope<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    source: &'a str,
    sourcetype: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<&'a str>,
    event: cim::Event<'a>,
    fields: cim::Fields<'a>,
}

impl SplunkWire {
    fn envelope<'a>(&'a self, alert: &'a Alert) -> Envelope<'a> {
        Envelope {
            time: epoch_seconds(&alert.at),
            host: self.settings.host.as_deref(),
            source: &self.settings.source,
            sourcetype: &self.settings.sourcetype,
            index: self.settings.index.as_deref(),
            event: cim::Event::of(alert),
            fields: cim::Fields::of(alert),
        }
    }
}

/// HEC's `time`: seconds with milliseconds as written, no detour by a float. Before 1970: absent, Splunk takes its own.
fn epoch_seconds(at: &str) -> Option<Box<RawValue>> {
    let Millis(millis) = Millis::parse(at)?;
    let millis = u64::try_from(millis).ok()?;
    RawValue::from_string(format!("{}.{:03}", millis / 1_000, millis % 1_000)).ok()
}

#[cfg(test)]
mod tests;
