//! The vocabulary: what a record, an event and an observation are.
//!
//! Does nothing by itself; every other module of the pipeline reads and writes these types. They are domain types:
//! the wire's JSON is known to [`super::decode`] alone, a destination's JSON to that destination alone.
//!
//! Borrowing: a [`Batch`] owns the bytes of its records in one arena; [`RawRecord`], [`PanicEvent`] and
//! [`Observation`](super::observation::Observation) borrow from it, so that an ordinary record costs no allocation on its way to a cell.
//!
//! Never here: a clock, a disk, a payload's value beyond the life of its batch.

pub(in crate::pipeline) mod owned;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::ops::Range;

use serde::{Deserialize, Serialize};

/// Milliseconds since the Unix epoch (UTC). Event time unless a name says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Millis(pub i64);

impl Millis {
    /// One second.
    pub const SECOND: i64 = 1_000;
    /// One minute.
    pub const MINUTE: i64 = 60 * Self::SECOND;
    /// One hour.
    pub const HOUR: i64 = 60 * Self::MINUTE;
    /// One day.
    pub const DAY: i64 = 24 * Self::HOUR;

    /// Reads an RFC 3339 date and time with an offset (`2026-09-14T08:00:00.849Z`); `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>().ok().map(|at| Self(at.as_millisecond()))
    }

    /// This time moved by `millis` (saturating at the ends of the range).
    #[must_use]
    pub fn plus(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// Milliseconds from `earlier` to `self`; negative when `self` is the earlier one.
    pub fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Millis {
    /// RFC 3339 in UTC with milliseconds; times outside the years -9999 to 9999 as plain milliseconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(at) => write!(f, "{at:.3}"),
            Err(_) => write!(f, "{}ms", self.0),
        }
    }
}

/// A record's place: topic (or file name), partition, offset (or line number from 0), all inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position<'a> {
    /// Topic name, or the path of a file.
    pub topic: &'a str,
    /// Partition; 0 for files.
    pub partition: i32,
    /// Offset; the line number, counted from 0, for files.
    pub offset: i64,
}

impl fmt::Display for Position<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]@{}", self.topic, self.partition, self.offset)
    }
}

/// The *next* offset of every partition that was read. Only this type adds one to an offset.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    next: BTreeMap<String, BTreeMap<i32, i64>>,
}

impl Checkpoint {
    /// Whether the record at `position` has its fate already.
    pub fn covers(&self, position: Position<'_>) -> bool {
        self.next_offset(position.topic, position.partition).is_some_and(|next| position.offset < next)
    }

    /// Marks the record at `position`, and with it all before it, as decided. Never moves back.
    pub fn advance(&mut self, position: Position<'_>) {
        self.set(position.topic, position.partition, position.offset.saturating_add(1));
    }

    /// Sets the next offset of a partition, unless it stands further already.
    pub fn set(&mut self, topic: &str, partition: i32, next: i64) {
        if !self.next.contains_key(topic) {
            self.next.insert(topic.to_owned(), BTreeMap::new());
        }
        if let Some(partitions) = self.next.get_mut(topic) {
            let slot = partitions.entry(partition).or_insert(next);
            *slot = (*slot).max(next);
        }
    }

    /// Sets the next offset of a partition that was made anew: the only way back.
    pub fn rewind(&mut self, topic: &str, partition: i32, next: i64) {
        if let Some(slot) = self.next.get_mut(topic).and_then(|partitions| partitions.get_mut(&partition)) {
            *slot = next;
        } else {
            self.set(topic, partition, next);
        }
    }

    /// The offset to read next, if the partition was ever read.
    pub fn next_offset(&self, topic: &str, partition: i32) -> Option<i64> {
        self.next.get(topic)?.get(&partition).copied()
    }

    /// All (topic, partition, next offset), in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, i32, i64)> {
        self.next.iter().flat_map(|(topic, partitions)| {
            partitions.iter().map(move |(partition, next)| (topic.as_str(), *partition, *next))
        })
    }
}

/// Records as a source handed them over, their bytes in one arena.
#[derive(Debug, Default)]
pub struct Batch {
    topics: Vec<String>,
    arena: Vec<u8>,
    headers: Vec<Header>,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    topic: usize,
    partition: i32,
    offset: i64,
    broker_time: Option<Millis>,
    headers: Range<usize>,
    payload: Range<usize>,
}

/// A header of a record that says how its bytes are to be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Header {
    /// Name, in lower case.
    pub name: String,
    /// Value, as text.
    pub value: String,
}

impl Header {
    /// Most headers of a record that are kept.
    pub const PER_RECORD_MAX: usize = 16;
    /// Most bytes of a value; a longer one says nothing that is read here.
    pub const VALUE_BYTES_MAX: usize = 1_024;

    /// Names of those that are taken along. Of `CloudEvents` they are the ones that name and date the event: the others
    /// may hold anything.
    const NAMES: [&str; 8] = [
        "panicsift-carrier",
        "content-type",
        "ce_specversion",
        "ce_id",
        "ce_source",
        "ce_type",
        "ce_time",
        "ce_datacontenttype",
    ];

    /// The header, if it is one that says how a record is to be read.
    pub fn of_interest(name: &str, value: &[u8]) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let value = std::str::from_utf8(value).ok().filter(|value| value.len() <= Self::VALUE_BYTES_MAX)?;
        Self::NAMES.contains(&name.as_str()).then(|| Self { name, value: value.to_owned() })
    }
}

impl Batch {
    /// Appends a record without headers; its bytes are copied.
    pub fn push(&mut self, position: Position<'_>, broker_time: Option<Millis>, payload: &[u8]) {
        self.push_record(&RawRecord { position, broker_time, headers: &[], payload });
    }

    /// Appends a record; its bytes and headers are copied.
    pub fn push_record(&mut self, record: &RawRecord<'_>) {
        let RawRecord { position, broker_time, headers, payload } = *record;
        let topic = self.topics.iter().position(|name| name == position.topic).unwrap_or_else(|| {
            self.topics.push(position.topic.to_owned());
            self.topics.len() - 1
        });
        let (first_byte, first_header) = (self.arena.len(), self.headers.len());
        self.arena.extend_from_slice(payload);
        self.headers.extend(headers.iter().take(Header::PER_RECORD_MAX).cloned());
        self.entries.push(Entry {
            topic,
            partition: position.partition,
            offset: position.offset,
            broker_time,
            headers: first_header..self.headers.len(),
            payload: first_byte..self.arena.len(),
        });
    }

    /// The records in the order they were pushed.
    pub fn iter(&self) -> impl Iterator<Item = RawRecord<'_>> {
        self.entries.iter().map(|entry| RawRecord {
            position: Position {
                topic: self.topics.get(entry.topic).map_or("", String::as_str),
                partition: entry.partition,
                offset: entry.offset,
            },
            broker_time: entry.broker_time,
            headers: self.headers.get(entry.headers.clone()).unwrap_or_default(),
            payload: self.arena.get(entry.payload.clone()).unwrap_or_default(),
        })
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of all records together.
    pub fn n_bytes(&self) -> usize {
        self.arena.len()
    }
}

/// A record: bytes at a position. Lives as long as its batch, so that the dead letters get the very bytes.
#[derive(Debug, Clone, Copy)]
pub struct RawRecord<'a> {
    /// Where it stood.
    pub position: Position<'a>,
    /// The broker's (or producer's) timestamp of the record; `None` for files.
    pub broker_time: Option<Millis>,
    /// Headers that say how to read it, at most [`Header::PER_RECORD_MAX`].
    pub headers: &'a [Header],
    /// The record's value.
    pub payload: &'a [u8],
}

impl<'a> RawRecord<'a> {
    /// The value of a header; `name` in lower case.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.iter().find(|header| header.name == name).map(|header| header.value.as_str())
    }
}

/// Why a record was refused. Closed: the name is the metric's label and the dead letter's `reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The record has no bytes, or white space alone.
    Empty,
    /// More bytes than a record may have.
    TooLarge,
    /// Not UTF-8.
    NotUtf8,
    /// Not JSON.
    NotJson,
    /// Nested deeper than a record may be.
    TooDeep,
    /// More keys or values than a record may have.
    TooManyNodes,
    /// A text longer than its field may be.
    TooLong,
    /// A key that must be there is not.
    MissingKey,
    /// A value of another JSON type than its key asks for.
    WrongType,
    /// The right type, but not a value its key allows (a date, an address, a number out of range).
    BadValue,
    /// An encoding that is not read, named in the detail (Avro, Protobuf).
    UnsupportedEncoding,
    /// A request total that contradicts one that was counted, or comes when its window is no longer kept.
    NotCounted,
    /// A fault of our own, caught at the record's fence.
    Internal,
}

impl Reason {
    /// Every reason, for tables and metrics.
    pub const ALL: [Self; 13] = [
        Self::Empty,
        Self::TooLarge,
        Self::NotUtf8,
        Self::NotJson,
        Self::TooDeep,
        Self::TooManyNodes,
        Self::TooLong,
        Self::MissingKey,
        Self::WrongType,
        Self::BadValue,
        Self::UnsupportedEncoding,
        Self::NotCounted,
        Self::Internal,
    ];

    /// The name used in dead letters, metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooLarge => "too_large",
            Self::NotUtf8 => "not_utf8",
            Self::NotJson => "not_json",
            Self::TooDeep => "too_deep",
            Self::TooManyNodes => "too_many_nodes",
            Self::TooLong => "too_long",
            Self::MissingKey => "missing_key",
            Self::WrongType => "wrong_type",
            Self::BadValue => "bad_value",
            Self::UnsupportedEncoding => "unsupported_encoding",
            Self::NotCounted => "not_counted",
            Self::Internal => "internal",
        }
    }
}

/// A refused record, as it goes to the dead letters.
#[derive(Debug, Clone)]
pub struct Rejection<'a> {
    /// The record with its bytes.
    pub record: RawRecord<'a>,
    /// The named reason.
    pub reason: Reason,
    /// Where in the record and what would be right: `panic.message: a text is needed, found a number`. Our own
    /// words and key names only, never a value of the record.
    pub detail: String,
}

/// What became of the fault that the event tells of.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum RecoveryOutcome {
    /// Contained, and the caller got a proper answer.
    Recovered,
    /// Contained, but the caller got less than asked for (an error answer).
    Degraded,
    /// Left the boundary that was to contain it.
    Escaped,
    /// The process or isolate ended.
    Aborted,
    /// Looks like an abort; the carrier cannot tell it from a hang.
    SuspectedAbort,
    /// The carrier does not say.
    #[default]
    Unknown,
}

impl RecoveryOutcome {
    /// Every outcome, in the order in which summaries count them.
    pub const ALL: [Self; 6] =
        [Self::Recovered, Self::Degraded, Self::Escaped, Self::Aborted, Self::SuspectedAbort, Self::Unknown];

    /// The name used in events, alerts, metrics and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Recovered => "recovered",
            Self::Degraded => "degraded",
            Self::Escaped => "escaped",
            Self::Aborted => "aborted",
            Self::SuspectedAbort => "suspected_abort",
            Self::Unknown => "unknown",
        }
    }

    /// The outcome of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.name() == name)
    }
}

/// The form in which a panic was told of.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Carrier {
    /// `panic-event.v1`, written by a recovery layer.
    #[default]
    Canonical,
    /// Cloudflare: trace items as a Tail Worker gets them, or the events of a streaming tail.
    CloudflareTail,
    /// Cloudflare: the Logpush data set `workers_trace_events`.
    CloudflareLogpush,
    /// Cloudflare: the Logpush data set `http_requests`. It tells of no panic, but of the requests that met one.
    CloudflareHttpRequests,
    /// Sentry: an event, or an envelope around one.
    Sentry,
    /// OpenTelemetry: logs or traces as OTLP, JSON or Protobuf.
    Otlp,
    /// What a Rust program writes to standard error or into its log, with or without a log agent's envelope.
    Text,
    /// `request-totals.v1`: how many requests there were, panicking or not. It tells of no panic, but of how rare they are.
    RequestTotals,
    /// `request-sample.v1`: one in so many of the requests that did not panic. It tells of no panic, but of what is ordinary.
    RequestSample,
}

impl Carrier {
    /// Every carrier.
    pub const ALL: [Self; 9] = [
        Self::Canonical,
        Self::CloudflareTail,
        Self::CloudflareLogpush,
        Self::CloudflareHttpRequests,
        Self::Sentry,
        Self::Otlp,
        Self::Text,
        Self::RequestTotals,
        Self::RequestSample,
    ];

    /// The name used in the configuration, in headers, metrics and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Canonical => "canonical",
            Self::CloudflareTail => "cloudflare_tail",
            Self::CloudflareLogpush => "cloudflare_logpush",
            Self::CloudflareHttpRequests => "cloudflare_http_requests",
            Self::Sentry => "sentry",
            Self::Otlp => "otlp",
            Self::Text => "text",
            Self::RequestTotals => "request_totals",
            Self::RequestSample => "request_sample",
        }
    }

    /// The carrier of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|carrier| carrier.name() == name)
    }
}

/// A decoded panic recovery event, in the words of `schemas/panic-event.v1.json`. Texts borrow from the record where
/// the JSON has no escapes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PanicEvent<'a> {
    /// Unique id given by the producer.
    pub event_id: Cow<'a, str>,
    /// Event time after the clock rule (see [`super::decode`]).
    pub time: Millis,
    /// The producer's clock was out of bounds and `time` is the broker's.
    pub clock_replaced: bool,
    /// Name of the service.
    pub service: Cow<'a, str>,
    /// Whose service it is, where one deployment serves several; empty means the default tenant.
    pub tenant: Cow<'a, str>,
    /// Release of the service.
    pub release: Option<Cow<'a, str>>,
    /// Host or node.
    pub host: Option<Cow<'a, str>>,
    /// Region or zone.
    pub region: Option<Cow<'a, str>>,
    /// Route template, with the method in front where the producer puts it there: `POST /v1/orders/{id}`.
    pub endpoint: Option<Cow<'a, str>>,
    /// HTTP method.
    pub method: Option<Cow<'a, str>>,
    /// Path as requested.
    pub path: Option<Cow<'a, str>>,
    /// Query pairs in their order.
    pub query: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// HTTP status that the client got.
    pub status: Option<u16>,
    /// Whether the panic was caught.
    pub handled: Option<bool>,
    /// The panic itself.
    pub panic: PanicFacts<'a>,
    /// Who sent the request, as far as the network knows.
    pub client: Client<'a>,
    /// The token presented, if any.
    pub token: Option<TokenFacts<'a>>,
    /// The request.
    pub request: Request<'a>,
    /// Milliseconds from request to answer.
    pub latency_ms: Option<f64>,
    /// Isolate, process or worker that ran it.
    pub isolate: Option<Cow<'a, str>>,
    /// What became of retries, as far as it is known.
    pub retry: Option<Retry<'a>>,
    /// What became of the fault; derived where the producer does not say (see [`super::decode`]).
    pub recovery: RecoveryOutcome,
    /// The boundary that contained it (`tower::CatchPanic`, `wasm-bindgen`, …).
    pub boundary: Option<Cow<'a, str>>,
    /// Milliseconds that the recovery took.
    pub recovery_latency_ms: Option<f64>,
    /// Side effects before the panic: kind and count. An empty list says that there were none; `None` says nothing.
    pub side_effects: Option<Vec<(Cow<'a, str>, u64)>>,
    /// W3C trace id.
    pub trace_id: Option<Cow<'a, str>>,
    /// The form in which it came.
    pub carrier: Carrier,
    /// What the decoder noticed about the record.
    pub notes: DecodeNotes,
}

/// What the decoder noticed and did not refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DecodeNotes {
    /// Keys that the schema does not know.
    pub n_unknown_keys: u32,
    /// Keys that stood twice in one object (the first one counts).
    pub n_duplicate_keys: u32,
    /// Texts and lists that were cut to what is kept of them.
    pub n_cut: u32,
}

/// What panicked, as told.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PanicFacts<'a> {
    /// The message: attacker text until masked.
    pub message: Cow<'a, str>,
    /// Source file.
    pub file: Option<Cow<'a, str>>,
    /// Line, from 1.
    pub line: Option<u32>,
    /// Column, from 1.
    pub column: Option<u32>,
    /// Thread name.
    pub thread: Option<Cow<'a, str>>,
    /// Function names, innermost first, at most [`super::decode::FRAMES_MAX`].
    pub backtrace: Vec<Cow<'a, str>>,
}

/// The client as the service saw it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Client<'a> {
    /// Address; IPv4-mapped IPv6 is turned into IPv4.
    pub ip: Option<IpAddr>,
    /// `User-Agent` header.
    pub user_agent: Option<Cow<'a, str>>,
    /// Autonomous system as the carrier tells it; our own table has the last word.
    pub asn: Option<u32>,
    /// Country as the carrier tells it: ISO 3166, two upper case letters; our own table has the last word.
    pub country: Option<[u8; 2]>,
}

/// A token as the service saw it. The token itself is never in an event.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TokenFacts<'a> {
    /// The producer's own hash of it; hashed again under our key before anything keeps it.
    pub id_hash: Option<Cow<'a, str>>,
    /// Scopes, as separate texts (split by the decoder at spaces and commas, or given as an array).
    pub scopes: Vec<Cow<'a, str>>,
    /// Whether the service accepted it.
    pub valid: Option<bool>,
}

/// The request that panicked.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Request<'a> {
    /// Request id.
    pub id: Option<Cow<'a, str>>,
    /// `Content-Type` header.
    pub content_type: Option<Cow<'a, str>>,
    /// Bytes of the body as sent.
    pub content_length: Option<u64>,
    /// The body.
    pub payload: Payload<'a>,
    /// The body was cut by the producer.
    pub payload_truncated: bool,
    /// `Idempotency-Key` header; hashed before anything keeps it.
    pub idempotency_key: Option<Cow<'a, str>>,
    /// Attempt, from 1.
    pub attempt: Option<u32>,
    /// The shape, from a producer that keeps payloads at home.
    pub shape: Option<Cow<'a, str>>,
}

/// A request body.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Payload<'a> {
    /// None was recorded.
    #[default]
    Absent,
    /// Text.
    Text(Cow<'a, str>),
    /// Bytes that are not UTF-8 (base64 on the wire).
    Bytes(Vec<u8>),
}

impl Payload<'_> {
    /// The body's bytes; empty when there is none.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Absent => &[],
            Self::Text(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }
}

/// What is known about retries of the request.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Retry<'a> {
    /// The producer's word: `not_retried`, `succeeded`, `failed`, `unknown`, …
    pub outcome: Cow<'a, str>,
    /// From when on this is known; before it, nothing may be concluded from `outcome`.
    pub known_at: Option<Millis>,
}

/// What a producer says became of retries of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub enum RetryOutcome {
    /// Nobody says, or nobody knows.
    #[default]
    Unknown,
    /// Nobody tried again.
    NotRetried,
    /// A later attempt did.
    Succeeded,
    /// No later attempt did.
    Failed,
}

impl RetryOutcome {
    /// Every outcome.
    pub const ALL: [Self; 4] = [Self::Succeeded, Self::Failed, Self::NotRetried, Self::Unknown];

    /// `succeeded`, `failed`, `not_retried` or `unknown`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::NotRetried => "not_retried",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }

    /// The outcome that a producer's word means; any other word says nothing.
    pub fn told(word: &str) -> Self {
        match word {
            "succeeded" | "success" => Self::Succeeded,
            "failed" | "failure" => Self::Failed,
            "not_retried" => Self::NotRetried,
            _ => Self::Unknown,
        }
    }
}

/// A keyed 64-bit name of a text: the same text has the same id under one deployment key, and nobody without the
/// key can find a second text for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Id(pub u64);

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The 128-bit name of a payload's structure (see [`super::fingerprint`]), shown as `s1:` and 32 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct ShapeId(pub u128);

impl fmt::Display for ShapeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s1:{:032x}", self.0)
    }
}
