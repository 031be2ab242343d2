//! The published forms: `panic-event.v1` as producers write it, `dead-letter.v1` as refused records are kept.
//!
//! Wire types, for schemas, dead letters and documentation only: the path reads records through [`super::decode`],
//! which is faster and says where a fault is. A test holds the two together key by key. Never on the path of a good
//! record. Cost: a dead letter copies its record once.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::{Deserialize, Serialize};

use super::{FRAMES_MAX, LATENCY_MS_MAX, ONE_IN_MAX, QUERY_PAIRS_MAX, SCOPES_MAX, SIDE_EFFECTS_MAX};
use crate::pipeline::event::{Header, Millis, Reason, RecoveryOutcome, Rejection};

/// Value of `schema` in a dead letter.
pub const DEAD_LETTER_SCHEMA: &str = "dead-letter.v1";

/// The schema of a panic recovery event, as JSON Schema 2020-12.
pub fn panic_event_schema() -> serde_json::Value {
    root_schema::<PanicEventRecord>()
}

/// The schema of a dead letter, as JSON Schema 2020-12.
pub fn dead_letter_schema() -> serde_json::Value {
    root_schema::<DeadLetter>()
}

/// The schema of a request total, as JSON Schema 2020-12.
pub fn request_totals_schema() -> serde_json::Value {
    root_schema::<RequestTotalRecord>()
}

/// The schema of a sample of ordinary requests, as JSON Schema 2020-12.
pub fn request_sample_schema() -> serde_json::Value {
    root_schema::<RequestSampleRecord>()
}

fn root_schema<T: JsonSchema>() -> serde_json::Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<T>().to_value()
}

/// A panic that a Rust service survived (or did not), with the request that met it. One JSON object a Kafka record, or
/// a line. Unknown keys are allowed, counted and dropped; `null` counts as absent; of a repeated key the first counts.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(title = "panicsift panic event, version 1")]
pub struct PanicEventRecord {
    /// Unique id, given by the producer: a record with an id that was seen is a repetition. At most 1024 bytes.
    #[schemars(regex(pattern = r"\S"))]
    pub event_id: String,
    /// When the panic happened: RFC 3339 with an offset. Where the broker's time is known, one that lies more than 24
    /// hours before or 5 minutes after it is replaced by the broker's.
    #[schemars(extend("format" = "date-time"))]
    pub ts: String,
    /// Name of the service. At most 1024 bytes.
    #[schemars(regex(pattern = r"\S"))]
    pub service: String,
    /// Release of the service.
    pub release: Option<String>,
    /// Route template, with the method in front where the producer puts it there: `POST /v1/orders/{id}`.
    pub endpoint: Option<String>,
    /// HTTP method.
    pub method: Option<String>,
    /// Path as requested, without the query.
    pub path: Option<String>,
    /// The query.
    pub query: Option<Query>,
    /// HTTP status that the client got.
    #[schemars(range(min = 100, max = 999))]
    pub status: Option<u16>,
    /// Whether the panic was caught at a boundary.
    pub handled: Option<bool>,
    /// The panic.
    pub panic: PanicRecord,
    /// Who sent the request.
    pub client: Option<ClientRecord>,
    /// The token that came with the request, if any; never the token itself.
    pub token: Option<TokenRecord>,
    /// The request.
    pub request: Option<RequestRecord>,
    /// Milliseconds from the request to its answer.
    #[schemars(range(min = 0, max = LATENCY_MS_MAX))]
    pub latency_ms: Option<f64>,
    /// Isolate, process or worker that ran the request.
    pub isolate: Option<IsolateRecord>,
    /// What became of retries of the request.
    pub retry: Option<RetryRecord>,
    /// Whose service it is, where one deployment serves several. Absent: the default tenant.
    pub tenant: Option<String>,
    /// Host or node.
    pub host: Option<String>,
    /// Region or zone.
    pub region: Option<String>,
    /// What became of the fault.
    pub recovery: Option<RecoveryRecord>,
    /// What the request had changed before it panicked; the first 64 are kept.
    #[schemars(extend("x-kept-max" = SIDE_EFFECTS_MAX))]
    pub side_effects: Option<Vec<SideEffectRecord>>,
    /// Place in a distributed trace.
    pub trace: Option<TraceRecord>,
}

/// A query: pairs in their order, or an object of texts. The first 256 pairs are kept.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(extend("x-kept-max" = QUERY_PAIRS_MAX))]
pub enum Query {
    /// Name and value of each pair, decoded, in the order of the request.
    Pairs(Vec<(String, String)>),
    /// Names and values, where the producer has no order.
    Object(BTreeMap<String, String>),
}

/// The panic, as the panic hook saw it.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
pub struct PanicRecord {
    /// The panic's message. Often carries text of the client; it is masked before anything keeps it.
    pub message: String,
    /// Source file.
    pub file: Option<String>,
    /// Line, from 1.
    pub line: Option<u32>,
    /// Column, from 1.
    pub column: Option<u32>,
    /// Name of the thread.
    pub thread: Option<String>,
    /// Function names, innermost first; the first 64 are kept.
    #[schemars(extend("x-kept-max" = FRAMES_MAX))]
    pub backtrace: Option<Vec<String>>,
}

/// The client as the service saw it.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
pub struct ClientRecord {
    /// IPv4 or IPv6 address, without port, brackets or zone. An IPv4-mapped one counts as IPv4.
    pub ip: Option<String>,
    /// `User-Agent` header.
    pub user_agent: Option<String>,
}

/// A token's facts.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
pub struct TokenRecord {
    /// The producer's keyed hash of the token's id.
    pub id_hash: Option<String>,
    /// Scopes of the token; the first 256 are kept.
    pub scope: Option<TokenScope>,
    /// Whether the service accepted the token.
    pub valid: Option<bool>,
}

/// Scopes: a text that is split at spaces and commas, or an array of texts that are taken whole.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(extend("x-kept-max" = SCOPES_MAX))]
pub enum TokenScope {
    /// `orders:read orders:write`
    Text(String),
    /// `["Workers Scripts Write"]`
    List(Vec<String>),
}

/// The request.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
pub struct RequestRecord {
    /// Request id.
    pub id: Option<String>,
    /// `Content-Type` header.
    pub content_type: Option<String>,
    /// Bytes of the body as sent, before any cut.
    pub content_length: Option<u64>,
    /// The body, in the encoding that `payload_encoding` names. Absent: none was recorded.
    pub payload: Option<String>,
    /// How the body is written. Absent: `utf8`.
    pub payload_encoding: Option<PayloadEncoding>,
    /// The producer cut the body.
    pub payload_truncated: Option<bool>,
    /// `Idempotency-Key` header. Only a keyed hash of it is kept.
    pub idempotency_key: Option<String>,
    /// Which attempt this is, from 1.
    pub attempt: Option<u32>,
    /// Shape of the body, from a producer that fingerprints at the source and keeps the payload at home.
    pub shape: Option<String>,
}

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PayloadEncoding {
    /// As text.
    Utf8,
    /// As standard base64, for bodies that are not UTF-8.
    Base64,
}

/// Isolate, process or worker.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
pub struct IsolateRecord {
    /// Id; another one after each restart.
    pub id: Option<String>,
    /// Place in its pool. Checked, and not used.
    pub slot: Option<u64>,
}

/// What became of retries.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
pub struct RetryRecord {
    /// `not_retried`, `succeeded`, `failed`, `unknown`, or another word of the producer.
    pub outcome: Option<String>,
    /// From when on the outcome is known: RFC 3339 with an offset. Nothing is concluded from it before.
    #[schemars(extend("format" = "date-time"))]
    pub known_at: Option<String>,
}

/// What became of the fault. Absent: derived from `handled` and `status`.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
pub struct RecoveryRecord {
    /// The outcome.
    pub outcome: Option<RecoveryOutcome>,
    /// What contained it: `tower::CatchPanic`, `wasm-bindgen`, …
    pub boundary: Option<String>,
    /// Milliseconds that the recovery took.
    #[schemars(range(min = 0, max = LATENCY_MS_MAX))]
    pub latency_ms: Option<f64>,
}

/// A kind of change that the request had made before it panicked.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
pub struct SideEffectRecord {
    /// `db_write`, `kv_put`, `fetch`, `mail`, … in the producer's words.
    pub kind: String,
    /// How often. Absent: once.
    pub count: Option<u64>,
}

/// Place in a distributed trace.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
pub struct TraceRecord {
    /// W3C trace id.
    pub trace_id: Option<String>,
    /// W3C span id. Checked, and not used.
    pub span_id: Option<String>,
}

/// How many requests a route of a release had in a window of five minutes, panicking or not: what panics are divided by.
/// One JSON object a Kafka record, an array of them, or one a line; as CSV for `replay --traffic` the keys are columns.
/// Unknown keys are allowed and dropped; `null` counts as absent. A window is told once: the same total again is a
/// repetition, another total for it is refused.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(title = "panicsift request total, version 1")]
pub struct RequestTotalRecord {
    /// Start of the window: RFC 3339 with an offset, a multiple of five minutes. Not ahead of the record's own time.
    #[schemars(extend("format" = "date-time"))]
    pub window_start: String,
    /// Length of the window in seconds. Absent: 300, and no other is counted.
    #[schemars(range(min = 300, max = 300))]
    pub window_secs: Option<u64>,
    /// Route as `panicsift report telemetry` names it, method in front: `POST /v1/orders/{id}`.
    #[schemars(regex(pattern = r"\S"))]
    pub endpoint: String,
    /// Service. Absent: that of the topic's configuration, else the one that has the route.
    pub service: Option<String>,
    /// Tenant. Absent: that of the topic's configuration, else the default one.
    pub tenant: Option<String>,
    /// Release. Absent: rates by release have no denominator then.
    pub release: Option<String>,
    /// Requests, panicking or not.
    #[schemars(range(min = 0, max = 1_000_000_000_000_u64))]
    pub requests: u64,
}

/// One in so many of the requests that did not panic: a panic event without the panic, and how rare it is to be told of.
/// One JSON object a Kafka record, an array of them, or one a line. Whether a request is told of is decided before its
/// handler runs and by nothing of its sender (by a keyed hash of its id), so that the samples are of ordinary traffic as it
/// is. Unknown keys are allowed, counted and dropped; `null` counts as absent; of a repeated key the first counts. A record
/// with the key `panic` is refused.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(title = "panicsift sample of ordinary requests, version 1")]
pub struct RequestSampleRecord {
    /// Id of the sample, given by the producer. At most 1024 bytes. A sample that is sent twice counts twice.
    #[schemars(regex(pattern = r"\S"))]
    pub sample_id: Option<String>,
    /// When the request came: RFC 3339 with an offset. Where the broker's time is known, one that lies more than 24 hours
    /// before or 5 minutes after it is replaced by the broker's.
    #[schemars(extend("format" = "date-time"))]
    pub ts: String,
    /// Name of the service. At most 1024 bytes.
    #[schemars(regex(pattern = r"\S"))]
    pub service: String,
    /// Release of the service.
    pub release: Option<String>,
    /// Route template, with the method in front where the producer puts it there: `POST /v1/orders/{id}`.
    pub endpoint: Option<String>,
    /// HTTP method.
    pub method: Option<String>,
    /// Path as requested, without the query.
    pub path: Option<String>,
    /// The query.
    pub query: Option<Query>,
    /// HTTP status that the client got. Below 400, or absent: the request was served. From 400 to 499: it was rejected.
    #[schemars(range(min = 100, max = 999))]
    pub status: Option<u16>,
    /// Who sent the request.
    pub client: Option<ClientRecord>,
    /// The token that came with the request, if any; never the token itself.
    pub token: Option<TokenRecord>,
    /// The request.
    pub request: Option<RequestRecord>,
    /// Milliseconds from the request to its answer.
    #[schemars(range(min = 0, max = LATENCY_MS_MAX))]
    pub latency_ms: Option<f64>,
    /// Whose service it is, where one deployment serves several. Absent: the default tenant.
    pub tenant: Option<String>,
    /// Host or node.
    pub host: Option<String>,
    /// Region or zone.
    pub region: Option<String>,
    /// Place in a distributed trace.
    pub trace: Option<TraceRecord>,
    /// Share of the requests that is told of (`0.05`), or the N of 1 in N (`20`); 1 is every request.
    #[schemars(range(min = 0.000_001, max = ONE_IN_MAX))]
    pub sample_rate: f64,
}

/// A record that was refused: why, where it stood, and its very bytes, so that it can be replayed once the cause is
/// mended. The bytes are always base64: whatever they are, the letter is one line of printable ASCII around them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[schemars(title = "panicsift dead letter, version 1")]
pub struct DeadLetter {
    /// Always `dead-letter.v1`.
    #[schemars(extend("const" = DEAD_LETTER_SCHEMA))]
    pub schema: String,
    /// The named reason.
    pub reason: Reason,
    /// Where in the record and what would be right. Never a value of the record.
    pub detail: String,
    /// Topic, or path of the file.
    pub topic: String,
    /// Partition; 0 for files.
    pub partition: i32,
    /// Offset; the line number, counted from 0, for files.
    pub offset: i64,
    /// The broker's time of the record: RFC 3339. Absent for files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub broker_time: Option<String>,
    /// When the record was refused: RFC 3339. Absent in a replay, which has no clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub refused_at: Option<String>,
    /// The record's headers that say how it is to be read (`content-type`, `panicsift-carrier`, those of `CloudEvents`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<Header>,
    /// Bytes of the record.
    pub payload_bytes: u64,
    /// The record's bytes in standard base64 with padding. Empty where they are sealed, or are not kept.
    pub payload_base64: String,
    /// The record's bytes sealed to the recipients that the configuration names: a binary age file in standard base64
    /// with padding (`dead_letters.raw = "sealed"`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload_age_base64: Option<String>,
    /// BLAKE3 hash of the record's bytes in hexadecimal, where the bytes are not kept (`dead_letters.raw = "hash"`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9a-f]{64}$"))]
    pub payload_blake3: Option<String>,
}

/// What a dead letter holds of its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// The very bytes.
    Bytes(Vec<u8>),
    /// The bytes, sealed: an age file.
    Sealed(Vec<u8>),
    /// No bytes. They may still be at the record's position.
    Nothing,
    /// Something that is not what the letter says of it.
    Damaged,
}

impl DeadLetter {
    /// The letter for a refused record; `refused_at` is the edge's clock, if it has one.
    pub fn new(rejection: &Rejection<'_>, refused_at: Option<Millis>) -> Self {
        let record = &rejection.record;
        Self {
            schema: DEAD_LETTER_SCHEMA.to_owned(),
            reason: rejection.reason,
            detail: rejection.detail.clone(),
            topic: record.position.topic.to_owned(),
            partition: record.position.partition,
            offset: record.position.offset,
            broker_time: record.broker_time.map(|at| at.to_string()),
            refused_at: refused_at.map(|at| at.to_string()),
            headers: record.headers.to_vec(),
            payload_bytes: u64::try_from(record.payload.len()).unwrap_or(u64::MAX),
            payload_base64: STANDARD.encode(record.payload),
            payload_age_base64: None,
            payload_blake3: None,
        }
    }

    /// The same without the bytes, and with their hash: `payload` is the record's bytes.
    #[must_use]
    pub fn hashed(mut self, payload: &[u8]) -> Self {
        self.payload_base64 = String::new();
        self.payload_blake3 = Some(blake3::hash(payload).to_hex().to_string());
        self
    }

    /// The same with the bytes sealed: `sealed` is an age file of them.
    #[must_use]
    pub fn sealed(mut self, sealed: &[u8]) -> Self {
        self.payload_base64 = String::new();
        self.payload_age_base64 = Some(STANDARD.encode(sealed));
        self
    }

    /// Names the letter: a hash of the record's position, time and size, in 32 hexadecimal digits. A record that was
    /// refused twice, since its batch came again, has one name; a record at the same offset of a topic that was made
    /// anew has another broker time, and so another name.
    pub fn id(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.topic.as_bytes()).update(&[0]);
        hasher.update(&self.partition.to_le_bytes()).update(&self.offset.to_le_bytes());
        hasher.update(&self.payload_bytes.to_le_bytes());
        hasher.update(self.broker_time.as_deref().unwrap_or_default().as_bytes());
        hasher.finalize().to_hex().chars().take(32).collect()
    }

    /// What the letter holds of its record.
    pub fn kept(&self) -> Kept {
        if let Some(sealed) = &self.payload_age_base64 {
            return STANDARD.decode(sealed).map_or(Kept::Damaged, Kept::Sealed);
        }
        if self.payload_base64.is_empty() && self.payload_bytes > 0 {
            return Kept::Nothing;
        }
        self.payload().map_or(Kept::Damaged, Kept::Bytes)
    }

    /// The record's very bytes, for a replay; `None` when the letter was damaged: no base64, or another length.
    pub fn payload(&self) -> Option<Vec<u8>> {
        let bytes = STANDARD.decode(&self.payload_base64).ok()?;
        u64::try_from(bytes.len()).is_ok_and(|n_bytes| n_bytes == self.payload_bytes).then_some(bytes)
    }
}
