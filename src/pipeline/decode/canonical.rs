//! The keys of `panic-event.v1` and what each of them fills.
//!
//! Reads through the seeds of [`super::reader`] and gives a [`PanicEvent`] plus what only the whole record can settle
//! (missing keys, the payload's encoding, the recovery). The tables below are the decoder's word on which keys there
//! are; a test holds them and the published schema together.
//!
//! Two kinds of text: what the *producer* writes (ids and names) is refused when it is too long, since a cut id is
//! another id; what the *client* can write (path, query, headers, message) is cut and counted, since otherwise a long
//! header would be a way to stay unseen. Never: a payload's meaning. Cost: see [`super`].

use std::borrow::Cow;
use std::net::IpAddr;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::de::{MapAccess, SeqAccess};

use super::reader::{Entry, Fault, Item, Items, Leaf, Object, Trace};
use super::{
    FRAMES_MAX, FREE_TEXT_BYTES_MAX, LATENCY_MS_MAX, NAME_BYTES_MAX, QUERY_PAIRS_MAX, Refusal, SCOPES_MAX,
    SIDE_EFFECTS_MAX,
};
use crate::pipeline::event::{
    Client, Millis, PanicEvent, PanicFacts, Payload, Reason, RecoveryOutcome, Request, Retry, TokenFacts,
};

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

#[derive(Default)]
struct SideEffectWire<'a> {
    kind: Option<Cow<'a, str>>,
    count: Option<u64>,
}

impl<'a> Wire<'a> {
    /// The event and the producer's time, once the record was read to its end.
    pub(super) fn settle(self) -> Result<(PanicEvent<'a>, Millis), Refusal> {
        let mut event = self.event;
        let missing = |key: &str, what: &str| Refusal {
            reason: Reason::MissingKey,
            detail: format!("{key}: {what} is needed, and the key is missing or null"),
        };
        // Empty ids were refused where they stood, so that an empty one here was never there.
        if event.event_id.is_empty() {
            return Err(missing("event_id", "a text"));
        }
        let sent_at = self.sent_at.ok_or_else(|| missing("ts", "a date and time"))?;
        if event.service.is_empty() {
            return Err(missing("service", "a text"));
        }
        event.panic = self.panic.facts;
        event.panic.message = self.panic.message.ok_or_else(|| missing("panic.message", "a text"))?;
        event.request = self.request.request;
        event.request.payload = payload(self.request.payload, self.request.is_base64)?;
        event.recovery = self.recovery.outcome.unwrap_or_else(|| super::derive_recovery(event.handled, event.status));
        event.boundary = self.recovery.boundary;
        event.recovery_latency_ms = self.recovery.latency_ms;
        Ok((event, sent_at))
    }
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

/// The table of an object's keys, in the order in which producers write them.
macro_rules! keys {
    ($type:ty, $at:literal, |$into:ident, $value:ident| { $($key:literal => $read:expr,)* }) => {
        impl<'de> Object<'de> for $type {
            const AT: &'static str = $at;
            const KEYS: &'static [&'static str] = &[$($key),*];

            fn read<A: MapAccess<'de>>(&mut self, key: usize, $value: &mut Entry<'_, '_, A>) -> Result<(), A::Error> {
                let $into = self;
                let slot = 0_usize;
                $(
                    if key == slot {
                        $read;
                        return Ok(());
                    }
                    let slot = slot + 1;
                )*
                debug_assert_eq!(slot, Self::KEYS.len());
                $value.skip()
            }
        }
    };
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
    "panic" => value.object(&mut wire.panic)?,
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
        wire.event.side_effects = value.list(SideEffect, SIDE_EFFECTS_MAX)?.unwrap_or_default();
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

/// A name that must say something.
#[derive(Clone, Copy)]
struct Id;

impl<'de> Leaf<'de> for Id {
    type Out = Cow<'de, str>;
    const NEEDS: &'static str = "a text";

    fn text(self, text: Cow<'de, str>, trace: &Trace) -> Result<Self::Out, Fault> {
        if text.trim().is_empty() {
            return Err(Fault::Value("a text that is not empty is needed"));
        }
        Name.text(text, trace)
    }
}

/// A text that the producer writes.
#[derive(Clone, Copy)]
struct Name;

impl<'de> Leaf<'de> for Name {
    type Out = Cow<'de, str>;
    const NEEDS: &'static str = "a text";

    fn text(self, text: Cow<'de, str>, _trace: &Trace) -> Result<Self::Out, Fault> {
        if text.len() > NAME_BYTES_MAX { Err(Fault::TooLong(NAME_BYTES_MAX)) } else { Ok(text) }
    }
}

/// A text that the client may have written.
#[derive(Clone, Copy)]
struct FreeText;

impl<'de> Leaf<'de> for FreeText {
    type Out = Cow<'de, str>;
    const NEEDS: &'static str = "a text";
    const IS_FREE_TEXT: bool = true;

    fn text(self, text: Cow<'de, str>, trace: &Trace) -> Result<Self::Out, Fault> {
        if text.len() <= FREE_TEXT_BYTES_MAX {
            return Ok(text);
        }
        trace.note_cut();
        Ok(cut(text, FREE_TEXT_BYTES_MAX))
    }
}

/// The longest beginning of `text` of at most `bytes_max` bytes that ends between two characters.
fn cut(text: Cow<'_, str>, bytes_max: usize) -> Cow<'_, str> {
    let end = text.floor_char_boundary(bytes_max);
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.get(..end).unwrap_or_default()),
        Cow::Owned(mut text) => {
            text.truncate(end);
            Cow::Owned(text)
        }
    }
}

/// A request body, bounded by the record alone.
#[derive(Clone, Copy)]
struct Body;

impl<'de> Leaf<'de> for Body {
    type Out = Cow<'de, str>;
    const NEEDS: &'static str = "a text";
    const IS_FREE_TEXT: bool = true;

    fn text(self, text: Cow<'de, str>, _trace: &Trace) -> Result<Self::Out, Fault> {
        Ok(text)
    }
}

/// Whether the body is base64.
#[derive(Clone, Copy)]
struct Encoding;

impl<'de> Leaf<'de> for Encoding {
    type Out = bool;
    const NEEDS: &'static str = "a text";

    fn text(self, text: Cow<'de, str>, _trace: &Trace) -> Result<bool, Fault> {
        match text.as_ref() {
            "utf8" => Ok(false),
            "base64" => Ok(true),
            _ => Err(Fault::Value("utf8 or base64 is needed")),
        }
    }
}

/// A date and time.
#[derive(Clone, Copy)]
struct Time;

impl<'de> Leaf<'de> for Time {
    type Out = Millis;
    const NEEDS: &'static str = "a text";

    fn text(self, text: Cow<'de, str>, _trace: &Trace) -> Result<Millis, Fault> {
        Millis::parse(&text).ok_or(Fault::Value("an RFC 3339 date and time with an offset is needed"))
    }
}

/// An address. Zones (`%eth0`), ports and brackets are not part of one.
#[derive(Clone, Copy)]
struct Address;

impl<'de> Leaf<'de> for Address {
    type Out = IpAddr;
    const NEEDS: &'static str = "a text";

    fn text(self, text: Cow<'de, str>, _trace: &Trace) -> Result<IpAddr, Fault> {
        let address = text.parse::<IpAddr>().map_err(|_| Fault::Value("an IPv4 or IPv6 address is needed"))?;
        Ok(address.to_canonical())
    }
}

/// What became of the fault.
#[derive(Clone, Copy)]
struct Outcome;

impl<'de> Leaf<'de> for Outcome {
    type Out = RecoveryOutcome;
    const NEEDS: &'static str = "a text";

    fn text(self, text: Cow<'de, str>, _trace: &Trace) -> Result<RecoveryOutcome, Fault> {
        Ok(match text.as_ref() {
            "recovered" => RecoveryOutcome::Recovered,
            "degraded" => RecoveryOutcome::Degraded,
            "escaped" => RecoveryOutcome::Escaped,
            "aborted" => RecoveryOutcome::Aborted,
            "suspected_abort" => RecoveryOutcome::SuspectedAbort,
            "unknown" => RecoveryOutcome::Unknown,
            _ => {
                return Err(Fault::Value(
                    "recovered, degraded, escaped, aborted, suspected_abort or unknown is needed",
                ));
            }
        })
    }
}

/// True or false.
#[derive(Clone, Copy)]
struct Truth;

impl Leaf<'_> for Truth {
    type Out = bool;
    const NEEDS: &'static str = "true or false";

    fn truth(self, truth: bool) -> Result<bool, Fault> {
        Ok(truth)
    }
}

/// An HTTP status. Some servers answer beyond 599 (999 is seen), none below 100.
#[derive(Clone, Copy)]
struct Status;

const STATUS: Fault = Fault::Value("a whole number from 100 to 999 is needed");

impl Leaf<'_> for Status {
    type Out = u16;
    const NEEDS: &'static str = "a number";

    fn whole(self, number: u64) -> Result<u16, Fault> {
        u16::try_from(number).ok().filter(|status| (100..=999).contains(status)).ok_or(STATUS)
    }

    fn number(self, _number: f64) -> Result<u16, Fault> {
        Err(STATUS)
    }
}

/// A line, a column or an attempt.
#[derive(Clone, Copy)]
struct Count32;

const COUNT_32: Fault = Fault::Value("a whole number from 0 to 4294967295 is needed");

impl Leaf<'_> for Count32 {
    type Out = u32;
    const NEEDS: &'static str = "a number";

    fn whole(self, number: u64) -> Result<u32, Fault> {
        u32::try_from(number).map_err(|_| COUNT_32)
    }

    fn number(self, _number: f64) -> Result<u32, Fault> {
        Err(COUNT_32)
    }
}

/// A length or a count.
#[derive(Clone, Copy)]
struct Count64;

impl Leaf<'_> for Count64 {
    type Out = u64;
    const NEEDS: &'static str = "a number";

    fn whole(self, number: u64) -> Result<u64, Fault> {
        Ok(number)
    }

    fn number(self, _number: f64) -> Result<u64, Fault> {
        Err(Fault::Value("a whole number from 0 to 18446744073709551615 is needed"))
    }
}

/// Milliseconds that something took.
#[derive(Clone, Copy)]
struct Latency;

impl Leaf<'_> for Latency {
    type Out = f64;
    const NEEDS: &'static str = "a number";

    fn whole(self, number: u64) -> Result<f64, Fault> {
        // Exact below 2^32, and everything above the limit is refused whatever it is rounded to.
        u32::try_from(number).map_err(|_| LATENCY).and_then(|number| self.number(f64::from(number)))
    }

    fn number(self, number: f64) -> Result<f64, Fault> {
        if (0.0..=LATENCY_MS_MAX).contains(&number) { Ok(number) } else { Err(LATENCY) }
    }
}

const LATENCY: Fault = Fault::Value("milliseconds from 0 to 2592000000 (30 days) are needed");

/// A function name of a backtrace.
#[derive(Clone, Copy)]
struct Frame;

impl<'de> Item<'de> for Frame {
    type Out = Cow<'de, str>;
    const LIST: &'static str = "an array of texts";

    fn next<A: SeqAccess<'de>>(self, list: &mut Items<'_, '_, A>) -> Result<Option<Self::Out>, A::Error> {
        list.leaf(FreeText)
    }
}

/// A query pair; an object of texts is taken as well.
#[derive(Clone, Copy)]
struct QueryPair;

impl<'de> Item<'de> for QueryPair {
    type Out = (Cow<'de, str>, Cow<'de, str>);
    const LIST: &'static str = "an array of pairs of texts";
    const IS_OBJECT_TAKEN: bool = true;

    fn next<A: SeqAccess<'de>>(self, list: &mut Items<'_, '_, A>) -> Result<Option<Self::Out>, A::Error> {
        list.pair(FreeText)
    }

    fn take_entry(self, key: Cow<'de, str>, value: Cow<'de, str>, trace: &Trace) -> Result<Self::Out, Fault> {
        Ok((FreeText.text(key, trace)?, FreeText.text(value, trace)?))
    }
}

/// A scope. A text is a list at spaces and commas (OAuth, GitHub); the texts of an array are whole, since Cloudflare's
/// permission names have spaces in them.
#[derive(Clone, Copy)]
struct Scope;

impl<'de> Item<'de> for Scope {
    type Out = Cow<'de, str>;
    const LIST: &'static str = "a text or an array of texts";

    fn next<A: SeqAccess<'de>>(self, list: &mut Items<'_, '_, A>) -> Result<Option<Self::Out>, A::Error> {
        list.leaf(FreeText)
    }

    fn take_text(self, text: Cow<'de, str>, trace: &Trace) -> Result<Vec<Self::Out>, Fault> {
        let is_separator = |c: char| c == ',' || c.is_ascii_whitespace();
        let mut scopes: Vec<Self::Out> = match FreeText.text(text, trace)? {
            Cow::Borrowed(text) => {
                text.split(is_separator).filter(|scope| !scope.is_empty()).take(SCOPES_MAX + 1).map(Cow::from).collect()
            }
            Cow::Owned(text) => text
                .split(is_separator)
                .filter(|scope| !scope.is_empty())
                .take(SCOPES_MAX + 1)
                .map(|scope| Cow::from(scope.to_owned()))
                .collect(),
        };
        if scopes.len() > SCOPES_MAX {
            scopes.truncate(SCOPES_MAX);
            trace.note_cut();
        }
        Ok(scopes)
    }
}

/// A kind of side effect and how often it happened before the panic; once, where the producer does not count.
#[derive(Clone, Copy)]
struct SideEffect;

impl<'de> Item<'de> for SideEffect {
    type Out = (Cow<'de, str>, u64);
    const LIST: &'static str = "an array of objects";

    fn next<A: SeqAccess<'de>>(self, list: &mut Items<'_, '_, A>) -> Result<Option<Self::Out>, A::Error> {
        let mut effect = SideEffectWire::default();
        if !list.object(&mut effect)? {
            return Ok(None);
        }
        match effect.kind {
            Some(kind) => Ok(Some((kind, effect.count.unwrap_or(1)))),
            None => Err(list.refuse(Reason::MissingKey, "an object with the key kind is needed")),
        }
    }
}
