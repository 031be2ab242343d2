//! What one log line or one exception of a Worker says of a panic.
//!
//! Reads `logs[]` and `exceptions[]` of a trace item; gives [`Sign`]s. The texts are those that worker-rs's panic
//! hook and shims, wasm-bindgen and workerd write, in all their releases:
//!
//! | text | written by | sign |
//! |---|---|---|
//! | `["Critical", "Error: Rust panic: panicked at FILE:L:C:\nMSG"]` | panic hook, worker 0.6.7 and later | panic |
//! | `["Error: Critical Rust panic: panicked at …"]` | worker 0.6.5, 0.6.6 | panic, if backed |
//! | `["panicked at …\n\nStack:\n\n…"]` | `console_error_panic_hook` | panic, if backed |
//! | `["Critical", "RuntimeError: unreachable"]` | the shim of panic=abort | trap |
//! | `[{"panic_event": {…}}]` | the producer | the event itself |
//! | exception, its stack begins with `PanicError: ` | wasm-bindgen, panic=unwind | caught panic |
//! | exception `Module terminated` and its like | wasm-bindgen | use of a dead instance |
//! | exception of the runtime that code hung | workerd | hang, or an abort |
//!
//! A text of one argument may be a line of input that the service printed, so that it counts only where the error
//! object is told beside it, or where the invocation failed. `Reinitializing Wasm application` tells of the
//! invocation before, which told it itself. Never: a guess from the exception's name, which is `Error` for all of
//! them.
//!
//! Limits: [`super::SIGNS_MAX`]. Cost: a comparison for what is no sign; some allocations for what is one.

use std::borrow::Cow;

use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

use super::super::canonical;
use super::super::field::FreeText;
use super::super::list::{Item, Items};
use super::super::reader::{self, Entry, Object, keys, text_of_raw};
use super::super::trace::Trace;
use super::super::{FREE_TEXT_BYTES_MAX, Refusal};
use super::frames::{self, Stack};
use super::stamp::Stamp;
use crate::pipeline::event::owned::owned;
use crate::pipeline::event::{Millis, PanicEvent};

/// What wasm-bindgen says of a panic whose payload is no text.
pub(super) const NO_MESSAGE: &str = "No panic message available";

/// How the runtime's words begin when an invocation waited for something that never came: the newer and the older text.
const HANGS: [&str; 2] = [
    "The Workers runtime canceled this request because it detected that your Worker's code had hung",
    "The script will never generate a response",
];

/// What wasm-bindgen answers to the use of an instance that a trap had ended.
const DEAD: [&str; 3] = [
    "Module terminated",
    "Invalid stale object from previous Wasm instance",
    "Cannot invoke closure from previous WASM instance",
];

/// The shadow stack's end, as V8 calls it: no `RuntimeError`.
const STACK_OVERFLOW: &str = "Maximum call stack size exceeded";

/// How Logpush ends a text that it cut.
const CUT_MARKS: [&str; 2] = ["<<<Logpush: exception messages truncated>>>", "<<<Logpush: messages truncated>>>"];

/// What a log line or an exception says.
#[derive(Debug, Clone, PartialEq)]
pub enum Sign<'a> {
    /// The panic hook's line.
    Panic(Panic<'a>),
    /// WebAssembly stopped.
    Trap(Trap<'a>),
    /// The producer's own event.
    Told {
        /// The event.
        event: Box<PanicEvent<'a>>,
        /// The producer's time.
        at: Millis,
    },
    /// An exception that nobody caught.
    Uncaught {
        /// Its message.
        message: Cow<'a, str>,
        /// It is a panic by its stack; else it may be one, if a log says so.
        is_panic: bool,
        /// When.
        at: Option<Millis>,
    },
    /// The runtime gave the invocation up.
    Hang {
        /// Its words.
        message: Cow<'a, str>,
        /// When.
        at: Option<Millis>,
    },
    /// An instance was used that had ended.
    Dead {
        /// Its words.
        message: Cow<'a, str>,
        /// When.
        at: Option<Millis>,
    },
}

/// WebAssembly stopped, by a log of the shim or an exception.
#[derive(Debug, Clone, PartialEq)]
pub struct Trap<'a> {
    /// The engine's words.
    pub(super) message: Cow<'a, str>,
    /// Function names, innermost first.
    pub(super) frames: Vec<Cow<'a, str>>,
    /// Whether the panic machinery stopped it; `None`: not told.
    pub(super) of_panic: Option<bool>,
    /// When.
    pub(super) at: Option<Millis>,
    /// An exception tells of it.
    pub(super) is_thrown: bool,
}

/// A panic as the hook tells it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Panic<'a> {
    /// The message; empty where the payload is no text.
    pub(super) message: Cow<'a, str>,
    /// File, line, column.
    pub(super) place: Option<(Cow<'a, str>, u32, u32)>,
    /// Function names, innermost first.
    pub(super) frames: Vec<Cow<'a, str>>,
    /// When.
    pub(super) at: Option<Millis>,
    /// It stands in the only argument, without an error object: the service may have printed input.
    pub(super) needs_backing: bool,
    /// The text was cut.
    pub(super) is_cut: bool,
}

impl Sign<'_> {
    /// About how much text it has.
    pub fn n_bytes(&self) -> usize {
        let all = |texts: &[Cow<'_, str>]| texts.iter().map(|text| text.len()).sum::<usize>();
        match self {
            Self::Panic(panic) => panic.message.len() + all(&panic.frames),
            Self::Trap(trap) => trap.message.len() + all(&trap.frames),
            Self::Told { event, .. } => {
                event.request.payload.bytes().len() + event.panic.message.len() + all(&event.panic.backtrace)
            }
            Self::Uncaught { message, .. } | Self::Hang { message, .. } | Self::Dead { message, .. } => message.len(),
        }
    }

    /// The same with texts of its own.
    pub fn into_owned(self) -> Sign<'static> {
        let own_all = |texts: Vec<Cow<'_, str>>| texts.into_iter().map(owned).collect();
        match self {
            Self::Panic(panic) => Sign::Panic(Panic {
                message: owned(panic.message),
                place: panic.place.map(|(file, line, column)| (owned(file), line, column)),
                frames: own_all(panic.frames),
                ..panic
            }),
            Self::Trap(trap) => Sign::Trap(Trap { message: owned(trap.message), frames: own_all(trap.frames), ..trap }),
            Self::Told { event, at } => Sign::Told { event: Box::new(event.into_owned()), at },
            Self::Uncaught { message, is_panic, at } => Sign::Uncaught { message: owned(message), is_panic, at },
            Self::Hang { message, at } => Sign::Hang { message: owned(message), at },
            Self::Dead { message, at } => Sign::Dead { message: owned(message), at },
        }
    }
}

/// A line of the console as it stands on the wire.
#[derive(Default)]
pub(super) struct LogWire<'a> {
    pub(super) level: Option<Cow<'a, str>>,
    pub(super) message: Option<&'a str>,
    pub(super) errors: Option<&'a str>,
    pub(super) at: Option<Millis>,
}

keys!(LogWire<'de>, "logs[]", |log, value| {
    "timestamp" => log.at = value.leaf(Stamp)?.flatten(),
    "timestampMs" => log.at = value.leaf(Stamp)?.flatten().or(log.at),
    "level" => log.level = value.leaf(FreeText)?,
    "message" => log.message = value.raw()?,
    "errorInfo" => log.errors = value.raw()?,
});

/// An exception as it stands on the wire.
#[derive(Default)]
pub(super) struct ExceptionWire<'a> {
    pub(super) name: Option<&'a str>,
    pub(super) message: Option<&'a str>,
    pub(super) stack: Option<&'a str>,
    pub(super) at: Option<Millis>,
}

keys!(ExceptionWire<'de>, "exceptions[]", |exception, value| {
    "timestamp" => exception.at = value.leaf(Stamp)?.flatten(),
    "timestampMs" => exception.at = value.leaf(Stamp)?.flatten().or(exception.at),
    "name" => exception.name = value.raw()?,
    "message" => exception.message = value.raw()?,
    "stack" => exception.stack = value.raw()?,
});

/// A log that says something, of a list of them.
#[derive(Clone, Copy)]
pub(super) struct Logs;

impl<'de> Item<'de> for Logs {
    type Out = Result<Sign<'de>, Refusal>;
    const LIST: &'static str = "an array of objects";

    fn next<A: SeqAccess<'de>>(self, list: &mut Items<'_, '_, A>) -> Result<Option<Self::Out>, A::Error> {
        loop {
            let mut log = LogWire::default();
            if !list.object(&mut log)? {
                return Ok(None);
            }
            if let Some(sign) = of_log(&log) {
                return Ok(Some(sign));
            }
        }
    }
}

/// An exception that may say something, of a list of them.
#[derive(Clone, Copy)]
pub(super) struct Exceptions;

impl<'de> Item<'de> for Exceptions {
    type Out = Sign<'de>;
    const LIST: &'static str = "an array of objects";

    fn next<A: SeqAccess<'de>>(self, list: &mut Items<'_, '_, A>) -> Result<Option<Self::Out>, A::Error> {
        loop {
            let mut exception = ExceptionWire::default();
            if !list.object(&mut exception)? {
                return Ok(None);
            }
            if let Some(sign) = of_exception(&exception) {
                return Ok(Some(sign));
            }
        }
    }
}

/// What a log line says; an event of the producer's that cannot be read is refused.
pub(super) fn of_log<'a>(log: &LogWire<'a>) -> Option<Result<Sign<'a>, Refusal>> {
    if !log.level.as_deref().is_some_and(|level| level.eq_ignore_ascii_case("error")) {
        return None;
    }
    let [first, second] = arguments(log.message?);
    let first = first?;
    if let Some(told) = told(&first) {
        return Some(told);
    }
    let text = text_of(first)?;
    let (text, position) = match second {
        Some(second) if text == "Critical" => (text_of(second)?, 1),
        _ => (text, 0),
    };
    let errors = log.errors.and_then(|errors| nth(errors, position));
    let stack = errors.map(|error| error_stack(&error)).unwrap_or_default();
    let is_object = stack.is_some();
    let stack = stack.unwrap_or_default();
    if let Some(mut panic) = hook(&text) {
        panic.frames = stack.frames;
        panic.at = log.at;
        panic.needs_backing = position == 0 && !is_object;
        return Some(Ok(Sign::Panic(panic)));
    }
    let is_trap = position == 1 && (text.starts_with("RuntimeError: ") || text.ends_with(STACK_OVERFLOW));
    is_trap.then(|| {
        let message = if stack.is_out_of_memory { Cow::Owned(format!("{text} (rust_oom)")) } else { text };
        let of_panic = is_object.then_some(stack.is_panic);
        Ok(Sign::Trap(Trap { message, frames: stack.frames, of_panic, at: log.at, is_thrown: false }))
    })
}

/// What an exception says.
pub(super) fn of_exception<'a>(exception: &ExceptionWire<'a>) -> Option<Sign<'a>> {
    let at = exception.at;
    let message = text_of_raw(exception.message?)?;
    let message = match message.strip_prefix("Uncaught ") {
        Some(rest) => Cow::Owned(rest.trim_start_matches("(in response) ").to_owned()),
        None => message,
    };
    if HANGS.iter().any(|hang| message.starts_with(hang)) {
        return Some(Sign::Hang { message, at });
    }
    let bare = message.strip_prefix("Error: ").unwrap_or(&message);
    if DEAD.contains(&bare) {
        return Some(Sign::Dead { message: Cow::Owned(bare.to_owned()), at });
    }
    let starts = |raw: Option<&str>, words: &str| {
        raw.and_then(|raw| raw.trim_ascii_start().strip_prefix('"')).is_some_and(|text| text.starts_with(words))
    };
    if starts(exception.stack, "PanicError: ") || starts(exception.name, "PanicError\"") {
        return Some(Sign::Uncaught { message, is_panic: true, at });
    }
    let is_trap = starts(exception.stack, "RuntimeError: ") || starts(exception.name, "RuntimeError\"");
    let is_overflow = message.ends_with(STACK_OVERFLOW);
    if is_trap || is_overflow {
        let stack = exception.stack.and_then(text_of_raw).map(|stack| frames::read(&stack)).unwrap_or_default();
        if stack.is_wasm {
            let bare = message.strip_prefix("RuntimeError: ").unwrap_or(&message);
            let name = if is_overflow { "" } else { "RuntimeError: " };
            let oom = if stack.is_out_of_memory { " (rust_oom)" } else { "" };
            let message = Cow::Owned(format!("{name}{bare}{oom}"));
            let of_panic = Some(stack.is_panic);
            return Some(Sign::Trap(Trap { message, frames: stack.frames, of_panic, at, is_thrown: true }));
        }
    }
    Some(Sign::Uncaught { message, is_panic: false, at })
}

/// The producer's event in a log's first argument: an object, or the text of one, with the key `panic_event`.
fn told<'a>(argument: &Cow<'a, str>) -> Option<Result<Sign<'a>, Refusal>> {
    const KEY: &str = "panic_event";
    if !argument.contains(KEY) {
        return None;
    }
    let object = match argument {
        Cow::Borrowed(raw) if raw.starts_with('"') => text_of_raw(raw)?,
        Cow::Borrowed(raw) => Cow::Borrowed(*raw),
        Cow::Owned(raw) if raw.starts_with('"') => Cow::Owned(text_of_raw(raw)?.into_owned()),
        Cow::Owned(raw) => Cow::Owned(raw.clone()),
    };
    let sign = |(event, at): (PanicEvent<'a>, Millis)| Sign::Told { event: Box::new(event), at };
    let read = match object {
        Cow::Borrowed(object) => canonical::event(event_in(object)?).map(sign),
        Cow::Owned(object) => canonical::event(event_in(&object)?).map(|(event, at)| sign((event.into_owned(), at))),
    };
    Some(read.map_err(|refusal| Refusal { detail: format!("panic_event: {}", refusal.detail), ..refusal }))
}

#[derive(Default)]
struct LineWire<'a> {
    event: Option<&'a str>,
}

keys!(LineWire<'de>, "logs[].message[0]", |line, value| {
    "panic_event" => line.event = value.raw()?,
});

fn event_in(object: &str) -> Option<&str> {
    let mut line = LineWire::default();
    reader::read(object, &Trace::default(), &mut line).ok()?;
    line.event.filter(|event| event.starts_with('{'))
}

/// The panic that a hook's text tells of.
pub(super) fn hook(text: &str) -> Option<Panic<'static>> {
    let bare = text.strip_prefix("Error: ").unwrap_or(text);
    let (bare, is_critical) = bare.strip_prefix("Critical ").map_or((bare, false), |bare| (bare, true));
    let (bare, is_named) = bare.strip_prefix("Rust panic: ").map_or((bare, false), |bare| (bare, true));
    let after = bare.strip_prefix("panicked at ")?;
    let (after, trailer) = after.split_once("\n\nStack:\n\n").map_or((after, false), |(after, _)| (after, true));
    if !(is_critical || is_named || trailer) {
        return None;
    }
    let (after, is_cut) = without_cut_mark(after);
    let (place, message) = place_and_message(after);
    let place = place.map(|(file, line, column)| (Cow::Owned(file.to_owned()), line, column));
    Some(Panic { message: Cow::Owned(bounded(message).to_owned()), place, is_cut, ..Panic::default() })
}

fn bounded(text: &str) -> &str {
    text.get(..text.floor_char_boundary(FREE_TEXT_BYTES_MAX)).unwrap_or(text)
}

/// The text without the mark of Logpush that it was cut, and whether it was.
pub(super) fn without_cut_mark(text: &str) -> (&str, bool) {
    let cut = CUT_MARKS.iter().find_map(|mark| text.strip_suffix(mark));
    cut.map_or((text, false), |text| (text.trim_end(), true))
}

/// `FILE:L:C:\nMSG`, `FILE:L:C` without a message, and, up to Rust 1.72, `'MSG', FILE:L:C`.
fn place_and_message(text: &str) -> (Option<Place<'_>>, &str) {
    if let Some((message, place)) = text.strip_prefix('\'').and_then(|quoted| quoted.rsplit_once("', ")) {
        return (place_of(place), message);
    }
    let (line, message) = text.split_once('\n').unwrap_or((text, ""));
    match place_of(line.strip_suffix(':').unwrap_or(line)) {
        Some(place) => (Some(place), message),
        None => (None, text),
    }
}

type Place<'a> = (&'a str, u32, u32);

fn place_of(text: &str) -> Option<Place<'_>> {
    let mut parts = text.trim_end().rsplitn(3, ':');
    let (column, line, file) = (parts.next()?, parts.next()?, parts.next()?);
    Some((file, line.parse().ok()?, column.parse().ok()?))
}

/// The first two arguments of a console call, as JSON: of an array, of the text of one, or of a bare text.
fn arguments(message: &str) -> [Option<Cow<'_, str>>; 2] {
    let message = message.trim_ascii();
    if message.starts_with('[') {
        return [nth(message, 0), nth(message, 1)];
    }
    match text_of_raw(message) {
        Some(text) if text.starts_with('[') => [0, 1].map(|n| nth(&text, n).map(|raw| Cow::Owned(raw.into_owned()))),
        _ => [Some(Cow::Borrowed(message)), None],
    }
}

fn text_of(argument: Cow<'_, str>) -> Option<Cow<'_, str>> {
    match argument {
        Cow::Borrowed(raw) => text_of_raw(raw),
        Cow::Owned(raw) => text_of_raw(&raw).map(|text| Cow::Owned(text.into_owned())),
    }
}

/// The item at `position` of a JSON array, as it stands.
fn nth(array: &str, position: usize) -> Option<Cow<'_, str>> {
    struct Nth(usize);

    impl<'de> Visitor<'de> for Nth {
        type Value = Option<&'de str>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an array")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut found = None;
            let mut at = 0_usize;
            while let Some(item) = list.next_element::<&'de serde_json::value::RawValue>()? {
                if at == self.0 {
                    found = Some(item.get());
                }
                at += 1;
            }
            Ok(found)
        }
    }

    let mut deserializer = serde_json::Deserializer::from_str(array);
    deserializer.deserialize_seq(Nth(position)).ok().flatten().map(Cow::Borrowed)
}

#[derive(Default)]
struct ErrorWire<'a> {
    stack: Option<&'a str>,
}

keys!(ErrorWire<'de>, "logs[].errorInfo[]", |error, value| {
    "stack" => error.stack = value.raw()?,
});

/// The stack of an error object that was logged; `None` where there was no such object.
fn error_stack(error: &str) -> Option<Stack> {
    let mut wire = ErrorWire::default();
    if !error.starts_with('{') {
        return None;
    }
    reader::read(error, &Trace::folded(), &mut wire).ok()?;
    Some(wire.stack.and_then(text_of_raw).map(|stack| frames::read(&stack)).unwrap_or_default())
}

#[cfg(test)]
mod tests;
