//! Cloudflare's trace items, as a Tail Worker gets them: what a Worker's invocation was, logged and threw.
//!
//! Reads a `TraceItem`, an array of them or one a line, and the events of a streaming tail ([`stream`]). Gives one
//! event a panic, however many logs and exceptions tell of it ([`panics`]); several panics of one invocation are
//! several events. Keys are read in either letter case, since Logpush has the same items with other capitals
//! ([`super::logpush`]).
//!
//! What the carrier can know: message, file, line and column (from the hook's line in the log, never from an
//! exception), frames (from `errorInfo`, where workerd is new enough), the script, its version, the client's address
//! and agent, the network and country that Cloudflare saw, ray id, method, path, query, status. What it cannot: the
//! body, the token (its header is `REDACTED`, which is no value), the idempotency key, the attempt, the isolate. A
//! Durable Object, a queue, an alarm and an RPC call have no client. The namespace of a dispatched script is taken
//! for its tenant: it is the only group that Cloudflare names.
//!
//! What cannot be told: `queue` and `email` handlers of worker-rs turn an `Err` into a panic, which looks like any
//! other. A hang looks like an abort in a build with unwinding, and is told as `suspected_abort` even where the
//! Worker is not written in Rust. A service that prints input as `console.error("Critical", …)` lets its sender fake
//! a panic, and one that prints input as a JSON object lets him fake a producer's line.
//!
//! What became of the fault:
//!
//! | told | outcome |
//! |---|---|
//! | trap (`RuntimeError`), with or without a panic before it | `aborted` |
//! | an instance was used that a trap had ended | `aborted` |
//! | the runtime's hang text, and no panic that was caught | `suspected_abort` |
//! | `PanicError`, invocation failed or answered 500 and above | `degraded` |
//! | `PanicError`, invocation ok (`wait_until`) | `recovered` |
//! | the hook's line alone, invocation ok, answered below 500 (`spawn_local`) | `recovered` |
//! | the hook's line alone, invocation ok, answered 500 and above | `degraded` |
//! | anything else | `unknown` |
//!
//! Source: workers-rs 0.6.5 to 0.8.5, wasm-bindgen 0.2.127 and workerd's `trace.c++`; captures of workerd
//! 2026-11-17 (`tests/data/carriers`).
//!
//! Limits: [`SIGNS_MAX`] logs and exceptions that say something an item. Cost: one pass over the bytes, and a second
//! one over what says something.

mod frames;
mod panics;
mod request;
mod signs;
mod stamp;
mod stream;

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use super::field::{FreeText, Name};
use super::found::Find;
use super::reader::{self, Entry, Object, keys};
use super::trace::Trace;
use super::{Refusal, foreign, items};
use crate::pipeline::event::{Millis, PanicEvent, Reason};
use serde::de::MapAccess;

pub use self::panics::{Invocation, events};
use self::request::EventWire;
pub(super) use self::request::{asn, country, ray_of};
use self::signs::{Exceptions, Logs, Sign};
pub(super) use self::stamp::Stamp;
pub use self::stream::{Part, Tells};

/// Most logs, and most exceptions, of an item that say something: a loop of panics says nothing new.
const SIGNS_MAX: usize = 256;

/// How an invocation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ending {
    /// Nobody says, or it cannot be told.
    #[default]
    Unknown,
    /// The handler returned.
    Ok,
    /// It did not, or was stopped.
    Failed,
}

impl Ending {
    /// Outcomes by `outcome.capnp`. A client that went away says nothing of the handler.
    fn named(name: &str) -> Self {
        const FAILED: [&str; 7] = [
            "exception",
            "exceededCpu",
            "exceededMemory",
            "exceededWallTime",
            "internalError",
            "killSwitch",
            "aborted",
        ];
        match name {
            _ if name.eq_ignore_ascii_case("ok") => Self::Ok,
            _ if FAILED.iter().any(|failed| failed.eq_ignore_ascii_case(name)) => Self::Failed,
            _ => Self::Unknown,
        }
    }
}

/// Reads one record.
///
/// Errors: what is no JSON, or no item of a trace.
pub(super) fn read<'a>(payload: &'a [u8], find: &mut Find<'_, 'a>) -> Result<(), Refusal> {
    items::each(payload, find, |text, find| {
        let wire = ItemWire::read(text)?;
        if wire.invocation_id.is_some() {
            return stream::read(text, find);
        }
        let Settled { invocation, refusal, .. } = wire.settle()?;
        for (event, at) in panics::events(invocation) {
            find.event(event, at)?;
        }
        refusal.map_or(Ok(()), Err)
    })
}

/// An item as it stands on the wire.
#[derive(Default)]
pub(super) struct ItemWire<'a> {
    outcome: Option<Cow<'a, str>>,
    script: Option<Cow<'a, str>>,
    time: Option<Millis>,
    event: Option<&'a str>,
    logs: Option<Vec<Result<Sign<'a>, Refusal>>>,
    exceptions: Option<Vec<Sign<'a>>>,
    version: Option<&'a str>,
    namespace: Option<Cow<'a, str>>,
    entrypoint: Option<Cow<'a, str>>,
    is_truncated: bool,
    invocation_id: Option<&'a str>,
    n_cut: u32,
}

keys!(ItemWire<'de>, "", |wire, value| {
    "truncated" => wire.is_truncated = value.raw()? == Some("true"),
    "outcome" => wire.outcome = value.leaf(FreeText)?,
    "scriptName" => wire.script = value.leaf(Name)?,
    "exceptions" => wire.exceptions = value.list(Exceptions, SIGNS_MAX)?,
    "logs" => wire.logs = value.list(Logs, SIGNS_MAX)?,
    "eventTimestamp" => wire.time = value.leaf(Stamp)?.flatten(),
    "eventTimestampMs" => wire.time = value.leaf(Stamp)?.flatten().or(wire.time),
    "event" => wire.event = value.raw()?,
    "scriptVersion" => wire.version = value.raw()?,
    "dispatchNamespace" => wire.namespace = value.leaf(Name)?,
    "entrypoint" => wire.entrypoint = value.leaf(Name)?,
    "invocationId" => wire.invocation_id = value.raw()?,
    // Anything that the service hands over, of any depth.
    "diagnosticsChannelEvents" => value.raw()?,
    "tailAttributes" => value.raw()?,
});

impl<'a> ItemWire<'a> {
    /// Reads an item.
    pub(super) fn read(text: &'a str) -> Result<Self, Refusal> {
        let trace = Trace::folded();
        let mut wire = Self::default();
        object(text, &trace, &mut wire)?;
        wire.n_cut = trace.notes().n_cut;
        let tells = [wire.outcome.is_some(), wire.logs.is_some(), wire.exceptions.is_some(), wire.time.is_some()];
        if !tells.contains(&true) && wire.invocation_id.is_none() {
            let detail = "the item: one of outcome, logs, exceptions and eventTimestamp is needed".to_owned();
            return Err(Refusal { reason: Reason::MissingKey, detail });
        }
        Ok(wire)
    }

    /// What is known of the invocation.
    ///
    /// Errors: an `event` that is no object.
    pub(super) fn settle(self) -> Result<Settled<'a>, Refusal> {
        let mut settled = Settled::default();
        let (logs, exceptions) = (self.logs.unwrap_or_default(), self.exceptions.unwrap_or_default());
        // Most items of a trace tell of no panic: they cost no more than this.
        if logs.is_empty() && exceptions.is_empty() {
            return Ok(settled);
        }
        let event = self.event.map(EventWire::read).transpose()?.unwrap_or_default();
        let mut base = PanicEvent {
            service: self.script.unwrap_or_default(),
            tenant: self.namespace.unwrap_or_default(),
            release: version_id(self.version),
            ..PanicEvent::default()
        };
        let ray = event.fill(&mut base);
        base.notes.n_cut = self.n_cut.saturating_add(u32::from(self.is_truncated));
        let mut signs = Vec::with_capacity(logs.len() + exceptions.len());
        for sign in logs {
            match sign {
                Ok(sign) => signs.push(sign),
                Err(refusal) => settled.refusal = settled.refusal.or(Some(refusal)),
            }
        }
        signs.extend(exceptions);
        let ending = self.outcome.as_deref().map(Ending::named).unwrap_or_default();
        let entrypoint = self.entrypoint.as_deref().unwrap_or_default();
        let key = ray.as_deref().zip(self.time).map(|(ray, time)| format!("cf:{ray}:{}:{entrypoint}", time.0));
        settled.invocation = Invocation { base, key, time: self.time, ending, signs };
        settled.ray = ray;
        Ok(settled)
    }
}

/// What an item comes to.
#[derive(Default)]
pub(super) struct Settled<'a> {
    /// What is known of the invocation.
    pub(super) invocation: Invocation<'a>,
    /// The ray id of its request.
    pub(super) ray: Option<Cow<'a, str>>,
    /// Why an event of the producer's cannot be read; the rest counts all the same.
    pub(super) refusal: Option<Refusal>,
}

/// Reads an object of a carrier whose keys come in either letter case.
fn object<'a, T: Object<'a>>(text: &'a str, trace: &Trace, into: &mut T) -> Result<(), Refusal> {
    reader::read(text, trace, into).map_err(|error| foreign::explain(&error, trace, text))
}

#[derive(Default)]
struct VersionWire<'a> {
    id: Option<&'a str>,
}

keys!(VersionWire<'de>, "scriptVersion", |version, value| {
    "id" => version.id = value.raw()?,
});

/// The id of a script's version; it is not worth a refusal.
fn version_id(version: Option<&str>) -> Option<Cow<'_, str>> {
    let mut wire = VersionWire::default();
    reader::read(version?, &Trace::folded(), &mut wire).ok()?;
    wire.id.and_then(reader::text_of_raw).filter(|id| id.len() <= super::NAME_BYTES_MAX && !id.is_empty())
}
