//! The events of a streaming tail: an invocation told piece by piece.
//!
//! Reads one `TailEvent` (workerd's `types/defines/trace.d.ts`, in its older and newer forms); gives a [`Part`] of
//! the invocation, which waits for the others under its id (see `gather/invocations.rs`). The parts say what a trace
//! item says, and are put together by the same rules. Never: a part that is refused for its place in the stream; what
//! is out of order is put in order.
//!
//! Cost: as a trace item.

use std::borrow::Cow;

use serde::de::MapAccess;

use super::super::field::{Count64, FreeText, Name};
use super::super::found::Find;
use super::super::reader::{Entry, Object, keys, text_of_raw};
use super::super::trace::Trace;
use super::super::{Piece, Refusal, event_time};
use super::request::{EventWire, status};
use super::signs::{ExceptionWire, LogWire, Sign, of_exception, of_log};
use super::stamp::Stamp;
use super::{Ending, object, version_id};
use crate::pipeline::event::owned::owned;
use crate::pipeline::event::{Carrier, Millis, PanicEvent, Reason};

/// Most bytes of an invocation's id: Cloudflare's have 32 or 36 characters.
const ID_BYTES_MAX: usize = 128;

/// A part of an invocation.
#[derive(Debug, Clone, PartialEq)]
pub struct Part<'a> {
    /// When, after the clock rule.
    pub time: Millis,
    /// Its place in the stream, from 0.
    pub sequence: Option<u64>,
    /// Service of a Worker that names none; it may be empty.
    pub service: Cow<'a, str>,
    /// Tenant of a Worker that names none; it may be empty.
    pub tenant: Cow<'a, str>,
    /// What it tells.
    pub tells: Tells<'a>,
}

/// What a part of an invocation tells.
#[derive(Debug, Clone, PartialEq)]
pub enum Tells<'a> {
    /// What woke the Worker.
    Onset(Box<PanicEvent<'a>>),
    /// A log or an exception that says something.
    Sign(Sign<'a>),
    /// The status of the answer.
    Return(Option<u16>),
    /// How the invocation ended; nothing follows.
    Outcome(Ending),
    /// Nothing of a panic; it counts towards the end alone.
    Nothing,
}

impl Part<'_> {
    /// The same with texts of its own.
    pub fn into_owned(self) -> Part<'static> {
        Part {
            time: self.time,
            sequence: self.sequence,
            service: owned(self.service),
            tenant: owned(self.tenant),
            tells: match self.tells {
                Tells::Onset(event) => Tells::Onset(Box::new(event.into_owned())),
                Tells::Sign(sign) => Tells::Sign(sign.into_owned()),
                Tells::Return(status) => Tells::Return(status),
                Tells::Outcome(ending) => Tells::Outcome(ending),
                Tells::Nothing => Tells::Nothing,
            },
        }
    }
}

#[derive(Default)]
struct StreamWire<'a> {
    invocation: Option<Cow<'a, str>>,
    at: Option<Millis>,
    sequence: Option<u64>,
    event: EventPart<'a>,
}

keys!(StreamWire<'de>, "", |wire, value| {
    "invocationId" => wire.invocation = value.leaf(Name)?,
    "timestamp" => wire.at = value.leaf(Stamp)?.flatten(),
    "sequence" => wire.sequence = value.leaf(Count64)?,
    "event" => value.object(&mut wire.event)?,
});

#[derive(Default)]
struct EventPart<'a> {
    kind: Option<Cow<'a, str>>,
    script: Option<Cow<'a, str>>,
    namespace: Option<Cow<'a, str>>,
    version: Option<&'a str>,
    info: Option<&'a str>,
    outcome: Option<Cow<'a, str>>,
    log: LogWire<'a>,
    name: Option<&'a str>,
    stack: Option<&'a str>,
    truncated: bool,
}

keys!(EventPart<'de>, "event", |part, value| {
    "type" => part.kind = value.leaf(Name)?,
    "scriptName" => part.script = value.leaf(Name)?,
    "dispatchNamespace" => part.namespace = value.leaf(Name)?,
    "scriptVersion" => part.version = value.raw()?,
    "info" => part.info = value.raw()?,
    "outcome" => part.outcome = value.leaf(FreeText)?,
    "level" => part.log.level = value.leaf(FreeText)?,
    "message" => part.log.message = value.raw()?,
    "errorInfo" => part.log.errors = value.raw()?,
    "name" => part.name = value.raw()?,
    "stack" => part.stack = value.raw()?,
    "truncated" => part.truncated = value.raw()? == Some("true"),
    "attributes" => value.raw()?,
    "attachment" => value.raw()?,
});

#[derive(Default)]
struct ReturnWire {
    status: Option<u16>,
}

keys!(ReturnWire, "event.info", |info, value| {
    "statusCode" => info.status = value.raw()?.and_then(status),
});

/// Reads one event of a streaming tail.
///
/// Errors: no invocation's id, no event, no time.
pub(super) fn read<'a>(text: &'a str, find: &mut Find<'_, 'a>) -> Result<(), Refusal> {
    let missing = |detail: &str| Refusal { reason: Reason::MissingKey, detail: detail.to_owned() };
    let mut wire = StreamWire::default();
    object(text, &Trace::folded(), &mut wire)?;
    let id = wire.invocation.filter(|id| !id.is_empty() && id.len() <= ID_BYTES_MAX);
    let id = id.ok_or_else(|| missing("invocationId: a text of at most 128 bytes is needed"))?;
    let broker_time = find.record().broker_time;
    let sent_at = wire.at.or(broker_time).ok_or_else(|| missing("timestamp: neither it nor its record has a time"))?;
    let (time, _) = event_time(sent_at, broker_time);
    let (tells, refusal) = tells(wire.event, time)?;
    if let Tells::Onset(event) = &tells
        && event.service.is_empty()
        && find.feed().service.is_empty()
    {
        return Err(missing(
            "event.scriptName: it names no service, and its topic's configuration (source.feed.NAME.service) none",
        ));
    }
    let (service, tenant) = match &tells {
        // What says nothing needs no words.
        Tells::Nothing | Tells::Return(_) | Tells::Outcome(_) => (String::new(), String::new()),
        Tells::Onset(_) | Tells::Sign(_) => (find.feed().service.clone(), find.feed().tenant.clone()),
    };
    let part = Part { time, sequence: wire.sequence, service: service.into(), tenant: tenant.into(), tells };
    find.piece(Piece::Invocation { id, part });
    refusal.map_or(Ok(()), Err)
}

/// What a part tells, and why an event of the producer's in it cannot be read.
fn tells(event: EventPart<'_>, at: Millis) -> Result<(Tells<'_>, Option<Refusal>), Refusal> {
    let Some(kind) = event.kind.as_deref() else {
        let detail = "event.type: a text is needed, and the key is missing or null".to_owned();
        return Err(Refusal { reason: Reason::MissingKey, detail });
    };
    let tells = match kind {
        "onset" => {
            let mut base = PanicEvent {
                service: event.script.unwrap_or_default(),
                tenant: event.namespace.unwrap_or_default(),
                release: version_id(event.version),
                carrier: Carrier::CloudflareTail,
                ..PanicEvent::default()
            };
            event.info.map(EventWire::read).transpose()?.unwrap_or_default().fill(&mut base);
            Tells::Onset(Box::new(base))
        }
        "log" => match of_log(&LogWire { at: Some(at), ..event.log }) {
            Some(Ok(sign)) => Tells::Sign(sign),
            Some(Err(refusal)) => return Ok((Tells::Nothing, Some(refusal))),
            None => Tells::Nothing,
        },
        "exception" => {
            let message = event.log.message;
            let wire = ExceptionWire { name: event.name, message, stack: event.stack, at: Some(at) };
            of_exception(&wire).map_or(Tells::Nothing, Tells::Sign)
        }
        "return" => {
            let mut info = ReturnWire::default();
            if let Some(text) = event.info.filter(|text| text_of_raw(text).is_none()) {
                object(text, &Trace::folded(), &mut info)?;
            }
            Tells::Return(info.status)
        }
        "outcome" => Tells::Outcome(event.outcome.as_deref().map(Ending::named).unwrap_or_default()),
        _ => Tells::Nothing,
    };
    Ok((tells, None))
}
