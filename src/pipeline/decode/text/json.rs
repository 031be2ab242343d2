//! JSON that a program logs: tracing's lines, `tracing-panic`, `human-panic`, and the producer's structured line.
//!
//! Reads one JSON object by the names of its keys; gives a [`Told`]. Of a tracing span only documented names are taken:
//! those of tower-http's `DefaultMakeSpan` (`method`, `uri`) and of OpenTelemetry's HTTP conventions.
//!
//! Never: a `serde_json::Value`, a recursion. Limits: [`KEYS_MAX`] keys of an object, [`SPANS_MAX`] spans. Cost: one pass
//! over the object, a second one over each value that is used.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::super::field::FreeText;
use super::super::reader::LeafSeed;
use super::super::site::stable_file;
use super::super::trace::Trace;
use super::super::{FRAMES_MAX, FREE_TEXT_BYTES_MAX, Refusal, canonical};
use super::{frame, line};
use crate::pipeline::event::{Client, Millis, PanicEvent, PanicFacts, RecoveryOutcome};

/// Keys of an object that are looked at: Kubernetes' labels and annotations are some dozens.
const KEYS_MAX: usize = 512;

/// Spans of a line that are looked at, outermost first.
const SPANS_MAX: usize = 32;

/// What a JSON object tells.
#[derive(Debug)]
pub(in crate::pipeline) enum Told<'a> {
    /// No panic.
    Nothing,
    /// The producer's structured line: a whole event, and its time.
    Structured(PanicEvent<'a>, Millis),
    /// One panic in one line: message, location, frames and facts of the request as far as they are there.
    Panic(PanicEvent<'a>, Option<Millis>),
    /// A layer caught a panic; its message where it could be read, and facts of the request.
    Caught(Option<Cow<'a, str>>, PanicEvent<'a>, Option<Millis>),
    /// A log line whose message is a panic's text as `PanicHookInfo` shows it.
    Words(Cow<'a, str>, PanicEvent<'a>, Option<Millis>),
}

/// Calls `each` with the keys and values of an object.
pub(super) fn entries<'a>(json: &'a str, each: &mut dyn FnMut(&str, &'a RawValue)) -> Result<(), serde_json::Error> {
    let mut parser = serde_json::Deserializer::from_str(json);
    Entries(each).deserialize(&mut parser)?;
    parser.end()
}

struct Entries<'e, 'a>(&'e mut dyn FnMut(&str, &'a RawValue));

impl<'a> DeserializeSeed<'a> for Entries<'_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, parser: D) -> Result<(), D::Error> {
        parser.deserialize_map(self)
    }
}

impl<'a> Visitor<'a> for Entries<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        for _ in 0..KEYS_MAX {
            let Some(key) = map.next_key::<Key<'a>>()? else { return Ok(()) };
            (self.0)(&key.0, map.next_value::<&'a RawValue>()?);
        }
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

#[derive(serde::Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// The text that a value is; lone surrogates become U+FFFD. `None` for any other value. Cut to `FREE_TEXT_BYTES_MAX`
/// only by those who keep it.
pub(super) fn words(value: &RawValue) -> Option<Cow<'_, str>> {
    let json = value.get();
    let bare = json.strip_prefix('"')?.strip_suffix('"')?;
    if !bare.contains('\\') {
        return Some(Cow::Borrowed(bare));
    }
    let trace = Trace::lenient();
    let seed = LeafSeed { trace: &trace, leaf: super::super::field::Body };
    seed.deserialize(&mut serde_json::Deserializer::from_str(json)).ok().flatten()
}

/// A short text of a field, bounded.
fn short(value: &RawValue) -> Option<Cow<'_, str>> {
    let trace = Trace::lenient();
    let seed = LeafSeed { trace: &trace, leaf: FreeText };
    seed.deserialize(&mut serde_json::Deserializer::from_str(value.get())).ok().flatten()
}

/// The keys of a log line that say something, as they stand.
#[derive(Default)]
struct Wire<'a> {
    message: Option<&'a RawValue>,
    payload: Option<&'a RawValue>,
    location: Option<&'a RawValue>,
    backtrace: Option<&'a RawValue>,
    panic_event: Option<&'a RawValue>,
    explanation: Option<&'a RawValue>,
    cause: Option<&'a RawValue>,
    target: Option<&'a RawValue>,
    level: Option<&'a RawValue>,
    time: Option<&'a RawValue>,
    fields: Option<&'a RawValue>,
    span: Option<&'a RawValue>,
    spans: Option<&'a RawValue>,
    is_event: [bool; 3],
}

impl<'a> Wire<'a> {
    fn take(&mut self, key: &str, value: &'a RawValue) {
        let slot = match key {
            "message" => &mut self.message,
            "panic.payload" => &mut self.payload,
            "panic.location" => &mut self.location,
            "panic.backtrace" => &mut self.backtrace,
            "panic_event" => &mut self.panic_event,
            "explanation" => &mut self.explanation,
            "cause" => &mut self.cause,
            "target" => &mut self.target,
            "level" => &mut self.level,
            "timestamp" => &mut self.time,
            "fields" => &mut self.fields,
            "span" => &mut self.span,
            "spans" => &mut self.spans,
            _ => {
                for (seen, name) in self.is_event.iter_mut().zip(["panic", "ts", "event_id"]) {
                    *seen |= name == key;
                }
                return;
            }
        };
        slot.get_or_insert(value);
    }
}

/// What a JSON object tells; nothing, where it is no JSON.
///
/// Errors: a structured line that breaks its contract.
pub(in crate::pipeline) fn read(json: &str) -> Result<Told<'_>, Refusal> {
    let mut wire = Wire::default();
    if entries(json, &mut |key, value| wire.take(key, value)).is_err() {
        return Ok(Told::Nothing);
    }
    if let Some(fields) = wire.fields
        && entries(fields.get(), &mut |key, value| wire.take(key, value)).is_err()
    {
        return Ok(Told::Nothing);
    }
    if wire.is_event == [true; 3] {
        return canonical::event(json).map(|(event, at)| Told::Structured(event, at));
    }
    if let Some(event) = wire.panic_event {
        // A record of the emitter may carry the name of its schema alone, beside the event's keys.
        if event.get().starts_with('{') {
            return canonical::event(event.get()).map(|(event, at)| Told::Structured(event, at));
        }
    }
    Ok(logged(&wire))
}

fn logged<'a>(wire: &Wire<'a>) -> Told<'a> {
    let at = wire.time.and_then(words).and_then(|time| Millis::parse(&time));
    if let (Some(explanation), Some(cause)) = (wire.explanation.and_then(short), wire.cause.and_then(short)) {
        let backtrace = wire.backtrace.and_then(words);
        return Told::Panic(reported(&explanation, cause, backtrace.as_deref()), at);
    }
    let mut facts = request(wire);
    if wire.payload.is_some() || wire.location.is_some() {
        facts.panic = PanicFacts {
            message: wire.payload.and_then(short).unwrap_or(Cow::Borrowed(line::NO_TEXT)),
            backtrace: frames(wire.backtrace.and_then(words)),
            ..PanicFacts::default()
        };
        place(&mut facts.panic, wire.location.and_then(short).as_deref());
        return Told::Panic(facts, at);
    }
    let Some(message) = wire.message.and_then(words) else { return Told::Nothing };
    let is_catcher = wire.target.and_then(words).is_some_and(|target| target == "tower_http::catch_panic");
    if is_catcher && let Some(line::Line::Caught(caught)) = line::caught(&message) {
        return Told::Caught(caught.map(bounded).map(Cow::Owned), facts, at);
    }
    let is_error = wire.level.and_then(words).is_none_or(|level| level.eq_ignore_ascii_case("error"));
    let first = message.lines().next().unwrap_or_default();
    if is_error && line::header(first).is_some() {
        return Told::Words(message, facts, at);
    }
    Told::Nothing
}

fn bounded(text: &str) -> String {
    text.get(..text.floor_char_boundary(FREE_TEXT_BYTES_MAX)).unwrap_or_default().to_owned()
}

fn frames(backtrace: Option<Cow<'_, str>>) -> Vec<Cow<'_, str>> {
    match backtrace {
        Some(Cow::Borrowed(text)) => frame::functions(text, FRAMES_MAX),
        Some(Cow::Owned(text)) => {
            frame::functions(&text, FRAMES_MAX).into_iter().map(|name| Cow::Owned(name.into_owned())).collect()
        }
        None => Vec::new(),
    }
}

fn place(panic: &mut PanicFacts<'_>, location: Option<&str>) {
    if let Some(at) = location.and_then(line::location) {
        at.put_into(panic);
    }
}

/// The panic of a `human-panic` report: `Panic occurred in file 'FILE' at line LINE` and the cause.
pub(super) fn reported<'a>(explanation: &str, cause: Cow<'a, str>, backtrace: Option<&str>) -> PanicEvent<'a> {
    let place = explanation
        .split_once("Panic occurred in file '")
        .and_then(|(_, rest)| rest.split_once("' at line "))
        .and_then(|(file, rest)| {
            let digits = rest.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
            Some((file, digits.parse().ok()?))
        });
    let backtrace = backtrace.map_or(Vec::new(), |text| {
        frame::functions(text, FRAMES_MAX).into_iter().map(|name| Cow::Owned(name.into_owned())).collect()
    });
    let panic = PanicFacts {
        message: cause,
        file: place.map(|(file, _)| Cow::Owned(stable_file(Cow::Borrowed(file)).into_owned())),
        line: place.map(|(_, line)| line),
        backtrace,
        ..PanicFacts::default()
    };
    PanicEvent { panic, ..PanicEvent::default() }
}

/// What the spans of a line say of the request; the innermost one counts.
fn request<'a>(wire: &Wire<'a>) -> PanicEvent<'a> {
    let mut event = PanicEvent::default();
    let mut take = |span: &'a RawValue| {
        // A span that is no object says nothing.
        drop(entries(span.get(), &mut |key, value| span_field(&mut event, key, value)));
    };
    if let Some(list) = wire.spans {
        let spans: Vec<&'a RawValue> = serde_json::from_str(list.get()).unwrap_or_default();
        let n_skipped = spans.len().saturating_sub(SPANS_MAX);
        spans.into_iter().skip(n_skipped).for_each(&mut take);
    }
    if let Some(span) = wire.span {
        take(span);
    }
    event.recovery = RecoveryOutcome::Unknown;
    event
}

fn span_field<'a>(event: &mut PanicEvent<'a>, key: &str, value: &'a RawValue) {
    match key {
        "method" | "http.method" | "http.request.method" => event.method = short(value),
        "uri" | "url.path" | "http.target" => {
            event.path = short(value).map(|uri| Cow::Owned(uri.split('?').next().unwrap_or_default().to_owned()));
        }
        "http.route" => event.endpoint = short(value),
        "client.address" => event.client = Client { ip: address(value), ..std::mem::take(&mut event.client) },
        "user_agent.original" | "http.user_agent" => event.client.user_agent = short(value),
        "trace_id" => event.trace_id = short(value),
        _ => {}
    }
}

fn address(value: &RawValue) -> Option<std::net::IpAddr> {
    words(value)?.parse::<std::net::IpAddr>().ok().map(|address| address.to_canonical())
}
