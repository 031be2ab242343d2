//! The keys of `panic-event.v1` and what each of them fills.
//!
//! Reads through the seeds of [`super::reader`] and gives a [`PanicEvent`] plus what only the whole record can settle
//! (missing keys, the payload's encoding, the recovery). The tables below are the decoder's word on which keys there
//! are; a test holds them and the published schema together.
//!
//! Never: a payload's meaning. Cost: see [`super`].

use std::borrow::Cow;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::de::MapAccess;

use super::field::{
    Address, Body, Count32, Count64, Encoding, Frame, FreeText, Id, Latency, Name, Outcome, QueryPair, Scope,
    SideEffect, SideEffectWire, Status, Time, Truth,
};
use super::found::Find;
use super::reader::{self, Entry, Object, keys};
use super::trace::Trace;
use super::{FRAMES_MAX, QUERY_PAIRS_MAX, Refusal, SCOPES_MAX, SIDE_EFFECTS_MAX, foreign};
use crate::pipeline::event::{
    Client, Millis, PanicEvent, PanicFacts, Payload, Reason, RecoveryOutcome, Request, Retry, TokenFacts,
};

/// Reads one record.
///
/// Errors: the first fault met.
pub(super) fn read<'a>(payload: &'a [u8], find: &mut Find<'_, 'a>) -> Result<(), Refusal> {
    let text = foreign::json_text(payload)?;
    let (event, sent_at) = event(text)?;
    find.event(event, Some(sent_at))
}

/// Reads one event from the JSON of an object; carriers that have one within them read it here, too.
pub(super) fn event(text: &str) -> Result<(PanicEvent<'_>, Millis), Refusal> {
    let (wire, trace) = wire_of::<Wire<'_>>(text)?;
    let (mut event, sent_at) = wire.settle()?;
    event.notes = trace.notes();
    Ok((event, sent_at))
}

/// Reads an object as it stands on the wire; a lone surrogate in a free text becomes U+FFFD.
pub(super) fn wire_of<'a, T: Object<'a> + Default>(text: &'a str) -> Result<(T, Trace), Refusal> {
    let mut trace = Trace::default();
    let mut wire = T::default();
    let mut read = reader::read(text, &trace, &mut wire);
    if read.as_ref().is_err_and(foreign::is_lone_surrogate) {
        (trace, wire) = (Trace::lenient(), T::default());
        read = reader::read(text, &trace, &mut wire);
    }
    read.map_err(|error| foreign::explain(&error, &trace, text))?;
    Ok((wire, trace))
}

/// A record as it stands on the wire: the event, and what is settled at its end.
#[derive(Default)]
pub(super) struct Wire<'a> {
    event: PanicEvent<'a>,
    sent_at: Option<Millis>,
    panic: PanicWire<'a>,
    request: RequestWire<'a>,
    recovery: RecoveryWire<'a>,
}

#[derive(Default)]
struct PanicWire<'a> {
    facts: PanicFacts<'a>,
    message: Option<Cow<'a, str>>,
    is_told: bool,
}

#[derive(Default)]
struct RequestWire<'a> {
    request: Request<'a>,
    payload: Option<Cow<'a, str>>,
    is_base64: bool,
}

#[derive(Default)]
struct RecoveryWire<'a> {
    outcome: Option<RecoveryOutcome>,
    boundary: Option<Cow<'a, str>>,
    latency_ms: Option<f64>,
}

#[derive(Default)]
struct RetryWire<'a> {
    outcome: Option<Cow<'a, str>>,
    known_at: Option<Millis>,
}

#[derive(Default)]
struct IsolateWire<'a> {
    id: Option<Cow<'a, str>>,
}

#[derive(Default)]
struct TraceWire<'a> {
    trace_id: Option<Cow<'a, str>>,
}

impl<'a> Wire<'a> {
    /// The event and the producer's time, once the record was read to its end.
    pub(super) fn settle(mut self) -> Result<(PanicEvent<'a>, Millis), Refusal> {
        // Empty ids were refused where they stood, so that an empty one here was never there.
        if self.event.event_id.is_empty() {
            return Err(missing("event_id", "a text"));
        }
        let message = self.panic.message.take();
        let (mut event, sent_at) = self.settle_request()?;
        event.panic.message = message.ok_or_else(|| missing("panic.message", "a text"))?;
        Ok((event, sent_at))
    }

    /// Whether the record has the key of a panic.
    pub(super) fn tells_of_panic(&self) -> bool {
        self.panic.is_told
    }

    /// The same but for what only a panic has: its message and an id.
    pub(super) fn settle_request(self) -> Result<(PanicEvent<'a>, Millis), Refusal> {
        let mut event = self.event;
        let sent_at = self.sent_at.ok_or_else(|| missing("ts", "a date and time"))?;
        if event.service.is_empty() {
            return Err(missing("service", "a text"));
        }
        event.panic = self.panic.facts;
        event.request = self.request.request;
        event.request.payload = payload(self.request.payload, self.request.is_base64)?;
        event.recovery = self.recovery.outcome.unwrap_or_else(|| super::derive_recovery(event.handled, event.status));
        event.boundary = self.recovery.boundary;
        event.recovery_latency_ms = self.recovery.latency_ms;
        Ok((event, sent_at))
    }
}

/// The refusal of a record that lacks a key.
pub(super) fn missing(key: &str, what: &str) -> Refusal {
    let detail = format!("{key}: {what} is needed, and the key is missing or null");
    Refusal { reason: Reason::MissingKey, detail }
}

/// Padding is not asked for: a producer that cuts a body may cut it off.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The body's bytes. Base64 of valid UTF-8 becomes text, so that one body has one shape however it was carried.
fn payload(text: Option<Cow<'_, str>>, is_base64: bool) -> Result<Payload<'_>, Refusal> {
    let Some(text) = text else { return Ok(Payload::Absent) };
    if !is_base64 {
        return Ok(Payload::Text(text));
    }
    let bytes = BASE64.decode(text.as_bytes()).map_err(|_| Refusal {
        reason: Reason::BadValue,
        detail: "request.payload: standard base64 is needed where request.payload_encoding is base64".to_owned(),
    })?;
    Ok(match String::from_utf8(bytes) {
        Ok(text) => Payload::Text(Cow::Owned(text)),
        Err(error) => Payload::Bytes(error.into_bytes()),
    })
}

keys!(Wire<'de>, "", |wire, value| {
    "event_id" => wire.event.event_id = value.leaf(Id)?.unwrap_or_default(),
    "ts" => wire.sent_at = value.leaf(Time)?,
    "service" => wire.event.service = value.leaf(Id)?.unwrap_or_default(),
    "release" => wire.event.release = value.leaf(Name)?,
    "endpoint" => wire.event.endpoint = value.leaf(FreeText)?,
    "method" => wire.event.method = value.leaf(FreeText)?,
    "path" => wire.event.path = value.leaf(FreeText)?,
    "query" => wire.event.query = value.list(QueryPair, QUERY_PAIRS_MAX)?.unwrap_or_default(),
    "status" => wire.event.status = value.leaf(Status)?,
    "handled" => wire.event.handled = value.leaf(Truth)?,
    "panic" => wire.panic.is_told = value.object(&mut wire.panic)?,
    "client" => value.object(&mut wire.event.client)?,
    "token" => {
        let mut token = TokenFacts::default();
        wire.event.token = value.object(&mut token)?.then_some(token);
    },
    "request" => value.object(&mut wire.request)?,
    "latency_ms" => wire.event.latency_ms = value.leaf(Latency)?,
    "isolate" => {
        let mut isolate = IsolateWire::default();
        value.object(&mut isolate)?;
        wire.event.isolate = isolate.id;
    },
    "retry" => {
        let mut retry = RetryWire::default();
        value.object(&mut retry)?;
        let known_at = retry.known_at;
        wire.event.retry = retry.outcome.map(|outcome| Retry { outcome, known_at });
    },
    "tenant" => wire.event.tenant = value.leaf(Name)?.unwrap_or_default(),
    "host" => wire.event.host = value.leaf(Name)?,
    "region" => wire.event.region = value.leaf(Name)?,
    "recovery" => value.object(&mut wire.recovery)?,
    "side_effects" => {
        wire.event.side_effects = value.list(SideEffect, SIDE_EFFECTS_MAX)?;
    },
    "trace" => {
        let mut trace = TraceWire::default();
        value.object(&mut trace)?;
        wire.event.trace_id = trace.trace_id;
    },
});

keys!(PanicWire<'de>, "panic", |panic, value| {
    "message" => panic.message = value.leaf(FreeText)?,
    "file" => panic.facts.file = value.leaf(FreeText)?,
    "line" => panic.facts.line = value.leaf(Count32)?,
    "column" => panic.facts.column = value.leaf(Count32)?,
    "thread" => panic.facts.thread = value.leaf(FreeText)?,
    "backtrace" => panic.facts.backtrace = value.list(Frame, FRAMES_MAX)?.unwrap_or_default(),
});

keys!(Client<'de>, "client", |client, value| {
    "ip" => client.ip = value.leaf(Address)?,
    "user_agent" => client.user_agent = value.leaf(FreeText)?,
});

keys!(TokenFacts<'de>, "token", |token, value| {
    "id_hash" => token.id_hash = value.leaf(Name)?,
    "scope" => token.scopes = value.list(Scope, SCOPES_MAX)?.unwrap_or_default(),
    "valid" => token.valid = value.leaf(Truth)?,
});

keys!(RequestWire<'de>, "request", |wire, value| {
    "id" => wire.request.id = value.leaf(FreeText)?,
    "content_type" => wire.request.content_type = value.leaf(FreeText)?,
    "content_length" => wire.request.content_length = value.leaf(Count64)?,
    "payload" => wire.payload = value.leaf(Body)?,
    "payload_encoding" => wire.is_base64 = value.leaf(Encoding)?.unwrap_or_default(),
    "payload_truncated" => wire.request.payload_truncated = value.leaf(Truth)?.unwrap_or_default(),
    "idempotency_key" => wire.request.idempotency_key = value.leaf(FreeText)?,
    "attempt" => wire.request.attempt = value.leaf(Count32)?,
    "shape" => wire.request.shape = value.leaf(Name)?,
});

keys!(IsolateWire<'de>, "isolate", |isolate, value| {
    "id" => isolate.id = value.leaf(Name)?,
    "slot" => value.leaf(Count64)?,
});

keys!(RetryWire<'de>, "retry", |retry, value| {
    "outcome" => retry.outcome = value.leaf(Name)?,
    "known_at" => retry.known_at = value.leaf(Time)?,
});

keys!(RecoveryWire<'de>, "recovery", |recovery, value| {
    "outcome" => recovery.outcome = value.leaf(Outcome)?,
    "boundary" => recovery.boundary = value.leaf(Name)?,
    "latency_ms" => recovery.latency_ms = value.leaf(Latency)?,
});

keys!(SideEffectWire<'de>, "side_effects[]", |effect, value| {
    "kind" => effect.kind = value.leaf(Name)?,
    "count" => effect.count = value.leaf(Count64)?,
});

keys!(TraceWire<'de>, "trace", |trace, value| {
    "trace_id" => trace.trace_id = value.leaf(FreeText)?,
    "span_id" => value.leaf(FreeText)?,
});

/// Every key path that is read, for the test that compares them with the schema.
#[cfg(test)]
pub(super) fn known_paths() -> Vec<String> {
    fn paths<'de, T: Object<'de>>() -> impl Iterator<Item = String> {
        let joint = if T::AT.is_empty() { "" } else { "." };
        T::KEYS.iter().map(move |key| format!("{}{joint}{key}", T::AT))
    }
    let mut all: Vec<String> = paths::<Wire<'_>>().collect();
    all.extend(paths::<PanicWire<'_>>().chain(paths::<Client<'_>>()).chain(paths::<TokenFacts<'_>>()));
    all.extend(paths::<RequestWire<'_>>().chain(paths::<IsolateWire<'_>>()).chain(paths::<RetryWire<'_>>()));
    all.extend(paths::<RecoveryWire<'_>>().chain(paths::<SideEffectWire<'_>>()).chain(paths::<TraceWire<'_>>()));
    all
}
