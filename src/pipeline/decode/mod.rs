//! Bytes → events: what one record tells, in whatever form it was carried, or a refusal with a name.
//!
//! Reads one record's bytes, headers and broker time, and what the configuration says of its topic. Gives [`Decoded`]:
//! the carrier, and the [`Piece`]s found. Most are whole [`PanicEvent`]s that borrow from the bytes; some wait for what
//! other records tell (see [`super::gather`]). A record may tell of no panic at all: that is no fault. A [`Refusal`] says
//! which key is wrong and what would be right.
//!
//! One file a carrier; which one a record is of stands in [`detect`]. Known keys are read, unknown ones measured, counted
//! and dropped; `null` counts as absent; of a repeated key the first one counts.
//!
//! **Clock rule.** The event's own time counts. Devices have broken clocks, so a time outside
//! \[broker time − 24 h, broker time + 5 min\] is replaced by the broker's and flagged. Without a broker time (files)
//! there is no rule.
//!
//! Never: a value of the record in a refusal's words, a panic, a recursion that the record steers, a
//! `serde_json::Value`. Texts are kept raw (NUL, terminal escapes and all): who shows one neutralises it. Nothing is
//! claimed that the carrier does not say: what became of the fault is read by each carrier's own table.
//!
//! Limits: the constants below. Cost: linear; one UTF-8 check and one pass over the bytes, an allocation for each list
//! and each text with escapes.

mod detect;

mod canonical;
mod cloud_events;
mod otlp;
mod sentry;

mod http_requests;
mod logpush;
mod tail;

mod request_sample;
mod request_totals;

mod found;
mod items;

mod convention;
mod field;
mod foreign;
mod list;
mod loose;
mod reader;
mod site;
mod trace;
mod url;

pub(in crate::pipeline) mod text;

pub mod contract;
pub mod written;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;

use self::found::{Around, Find};
pub use self::request_sample::ONE_IN_MAX;
pub use self::request_totals::traffic::{Traffic, TrafficRow, read_traffic};
pub use self::request_totals::{REQUESTS_MAX, RequestTotal};
pub use self::tail::{Ending, Invocation, Part, Tells, events};
pub use self::text::{LogLine, LogText};
use super::event::owned::owned;
use super::event::{Carrier, Client, Millis, PanicEvent, RawRecord, Reason, RecoveryOutcome};

/// What a service is called that neither an event of a file nor whoever reads the file names. A request total takes it for
/// no service: it is then one of the service that has its route.
pub const UNNAMED_SERVICE: &str = "unnamed";

/// Most bytes of a record: Kafka's own default limit of a message.
pub const RECORD_BYTES_MAX: usize = 1 << 20;
/// Most levels of a value that is dropped because its key is not known. The envelope itself has four.
pub const DEPTH_MAX: usize = 32;
/// Most keys and values of a record together, payload aside: far above any real event (about 60), far below what
/// would hold a worker up.
pub const NODES_MAX: usize = 65_536;
/// Most bytes of a name or id that the producer writes; a longer one is refused.
pub const NAME_BYTES_MAX: usize = 1_024;
/// Most bytes of a text that the client may have written; a longer one is cut. Servers take headers and request lines
/// of at most 8 to 64 KiB.
pub const FREE_TEXT_BYTES_MAX: usize = 64 << 10;
/// Most frames of a backtrace that are kept: the innermost ones, which tell the site.
pub const FRAMES_MAX: usize = 64;
/// Most query pairs that are kept.
pub const QUERY_PAIRS_MAX: usize = 256;
/// Most scopes of a token that are kept.
pub const SCOPES_MAX: usize = 256;
/// Most side effects that are kept.
pub const SIDE_EFFECTS_MAX: usize = 64;
/// Longest latency: 30 days, longer than any request lives.
pub const LATENCY_MS_MAX: f64 = 2_592_000_000.0;
/// How far an event's clock may be behind the broker's.
pub const CLOCK_BEHIND_MS_MAX: i64 = Millis::DAY;
/// How far an event's clock may be ahead of the broker's.
pub const CLOCK_AHEAD_MS_MAX: i64 = 5 * Millis::MINUTE;

/// Why a record is not an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The name: the metric's label and the dead letter's `reason`.
    pub reason: Reason,
    /// The key's path and what would be right, in our own words; never a value or a key of the record.
    pub detail: String,
}

/// What the configuration says of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Feed {
    /// The carrier of all its records; `None`: told from each record.
    pub carrier: Option<Carrier>,
    /// The service of events whose carrier names none; empty: such an event is refused.
    pub service: String,
    /// The tenant of events whose carrier names none.
    pub tenant: String,
    /// When events happened that neither they nor their records date, as in a file of standard error; `None`: such an
    /// event is refused.
    pub time: Option<Millis>,
}

/// What the configuration says of all topics.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Feeds {
    topics: BTreeMap<String, Feed>,
    other: Feed,
}

impl Feeds {
    /// `topics` by their name; `other` holds for every topic that is not among them.
    pub fn new(topics: BTreeMap<String, Feed>, other: Feed) -> Self {
        Self { topics, other }
    }

    /// What is said of a topic.
    pub fn of(&self, topic: &str) -> &Feed {
        self.topics.get(topic).unwrap_or(&self.other)
    }

    /// Whether a topic is known to carry this, so that others may wait for it.
    pub fn has(&self, carrier: Carrier) -> bool {
        self.topics.values().chain([&self.other]).any(|feed| feed.carrier == Some(carrier))
    }
}

/// Something that a record tells.
#[derive(Debug, Clone, PartialEq)]
pub enum Piece<'a> {
    /// A panic, with all that will ever be known of it.
    Event(PanicEvent<'a>),
    /// A panic whose client is told by another topic, under the ray id of the request.
    Awaiting {
        /// Ray id, without the colo.
        ray: Cow<'a, str>,
        /// What is known so far.
        event: PanicEvent<'a>,
    },
    /// What a request log tells of one request.
    Request {
        /// Ray id, without the colo.
        ray: Cow<'a, str>,
        /// What it tells.
        facts: RequestFacts<'a>,
    },
    /// Lines of a log, of which events are made.
    Line(LogLine<'a>),
    /// What a streaming tail tells of one invocation of a Worker.
    Invocation {
        /// The invocation's id.
        id: Cow<'a, str>,
        /// What is told.
        part: Part<'a>,
    },
    /// How many requests a route had in a window of time.
    Total(RequestTotal<'a>),
    /// A request that did not panic.
    Sample {
        /// The request, in the form of an event without its panic.
        request: PanicEvent<'a>,
        /// It stands for so many, from 1 to [`ONE_IN_MAX`].
        one_in: u32,
    },
}

impl Piece<'_> {
    /// The same with texts of its own.
    pub fn into_owned(self) -> Piece<'static> {
        match self {
            Self::Event(event) => Piece::Event(event.into_owned()),
            Self::Awaiting { ray, event } => Piece::Awaiting { ray: owned(ray), event: event.into_owned() },
            Self::Request { ray, facts } => Piece::Request { ray: owned(ray), facts: facts.into_owned() },
            Self::Line(line) => Piece::Line(line.into_owned()),
            Self::Invocation { id, part } => Piece::Invocation { id: owned(id), part: part.into_owned() },
            Self::Total(total) => Piece::Total(total.into_owned()),
            Self::Sample { request, one_in } => Piece::Sample { request: request.into_owned(), one_in },
        }
    }
}

/// What a request log tells of one request.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RequestFacts<'a> {
    /// When it was received.
    pub time: Millis,
    /// Who sent it.
    pub client: Client<'a>,
    /// HTTP method.
    pub method: Option<Cow<'a, str>>,
    /// Path as requested.
    pub path: Option<Cow<'a, str>>,
    /// HTTP status that the client got.
    pub status: Option<u16>,
}

impl RequestFacts<'_> {
    /// The same with texts of its own.
    pub fn into_owned(self) -> RequestFacts<'static> {
        let own = |text: Option<Cow<'_, str>>| text.map(owned);
        RequestFacts {
            time: self.time,
            client: Client { user_agent: own(self.client.user_agent), ..self.client },
            method: own(self.method),
            path: own(self.path),
            status: self.status,
        }
    }
}

/// What a record tells.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded<'a> {
    /// The form in which it came.
    pub carrier: Carrier,
    /// What was found; nothing, where the record tells of no panic.
    pub pieces: Vec<Piece<'a>>,
    /// Why the record, or an item of it, could not be read.
    pub refusal: Option<Refusal>,
}

impl<'a> Decoded<'a> {
    /// The event of a record that tells of one alone.
    ///
    /// Errors: why it is refused; `missing_key` for a record that tells of no panic.
    pub fn into_event(self) -> Result<PanicEvent<'a>, Refusal> {
        let none = || Refusal { reason: Reason::MissingKey, detail: "the record: it tells of no panic".to_owned() };
        match (self.refusal, self.pieces.into_iter().next()) {
            (Some(refusal), _) => Err(refusal),
            (None, Some(Piece::Event(event) | Piece::Awaiting { event, .. })) => Ok(event),
            (None, _) => Err(none()),
        }
    }
}

/// Decodes one record of a topic of which `feed` is known. Cost: see the module.
pub fn decode<'a>(feed: &Feed, record: RawRecord<'a>) -> Decoded<'a> {
    let n_bytes = record.payload.len();
    if n_bytes > RECORD_BYTES_MAX {
        let detail = format!("the record: at most {RECORD_BYTES_MAX} bytes are read, found {n_bytes}");
        let refusal = Some(Refusal { reason: Reason::TooLarge, detail });
        return Decoded { carrier: feed.carrier.unwrap_or_default(), pieces: Vec::new(), refusal };
    }
    if let Some(decoded) = cloud_events::unwrapped(feed, record) {
        return decoded;
    }
    decode_carrier(feed, record, record.payload, Around::default())
}

/// Decodes what is in no envelope, or was taken out of one: `payload`, told from `record` because it may borrow from
/// elsewhere than the record's headers.
fn decode_carrier<'a>(feed: &Feed, record: RawRecord<'_>, payload: &'a [u8], around: Around) -> Decoded<'a> {
    let record = RawRecord { payload, ..record };
    let carrier = match detect::carrier(feed, &record) {
        Ok(carrier) => carrier,
        Err(refusal) => return Decoded { carrier: Carrier::default(), pieces: Vec::new(), refusal: Some(refusal) },
    };
    let mut find = Find::new(record, feed, carrier).within(around);
    let read = match carrier {
        Carrier::Canonical => canonical::read(payload, &mut find),
        Carrier::CloudflareTail => tail::read(payload, &mut find),
        Carrier::CloudflareLogpush => logpush::read(payload, &mut find),
        Carrier::CloudflareHttpRequests => http_requests::read(payload, &mut find),
        Carrier::Sentry => sentry::read(payload, &mut find),
        Carrier::Otlp => otlp::read(payload, &mut find),
        Carrier::Text => text::read(payload, &mut find),
        Carrier::RequestTotals => request_totals::read(payload, &mut find),
        Carrier::RequestSample => request_sample::read(payload, &mut find),
    };
    let (pieces, fault) = find.finish();
    Decoded { carrier, pieces, refusal: read.err().or(fault) }
}

/// The clock rule: the time that counts, and whether it is the broker's.
fn event_time(sent_at: Millis, broker_time: Option<Millis>) -> (Millis, bool) {
    match broker_time {
        Some(broker) if !(-CLOCK_BEHIND_MS_MAX..=CLOCK_AHEAD_MS_MAX).contains(&sent_at.since(broker)) => (broker, true),
        _ => (sent_at, false),
    }
}

/// What became of the fault, where the producer does not say it in `recovery.outcome`.
///
/// | `handled` | `status` | outcome | why |
/// |---|---|---|---|
/// | true | below 500 | recovered | caught, and the client got a proper answer (a 422 is one: the input was bad) |
/// | true | 500 and above | degraded | caught, and the client got less than it asked for |
/// | true | none | recovered | caught, and nothing says that a caller was hurt: queue workers have no status |
/// | false | any | escaped | the producer's word; an answer below 500 had left before the panic (streaming, tasks) |
/// | none | below 500 | recovered | nobody gives a proper answer to a request whose fault was not contained |
/// | none | 502 to 504 | unknown | also what a proxy answers for a worker that died |
/// | none | other, 500 and above | degraded | an answer of the service itself |
/// | none | none | unknown | nothing is known |
///
/// Abort is never derived: a process that ended cannot have said so.
pub fn derive_recovery(handled: Option<bool>, status: Option<u16>) -> RecoveryOutcome {
    match (handled, status) {
        (Some(false), _) => RecoveryOutcome::Escaped,
        (Some(true), None) | (_, Some(..500)) => RecoveryOutcome::Recovered,
        (None, None | Some(502..=504)) => RecoveryOutcome::Unknown,
        (_, Some(500..)) => RecoveryOutcome::Degraded,
    }
}
