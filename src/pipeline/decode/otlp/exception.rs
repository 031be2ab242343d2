//! An exception → the panic that it is, if it is one.
//!
//! Reads the attributes of a log record or span event with those of its span and resource; gives an event. The rules
//! stand in the head of [`super`].

use std::borrow::Cow;
use std::net::IpAddr;

use super::super::convention::{self, set};
use super::super::found::Find;
use super::super::loose::Value;
use super::super::site::{self, stable_file};
use super::super::{Refusal, derive_recovery, url};
use super::facts::{Facts, Key};
use crate::pipeline::event::{Millis, PanicEvent, Payload, RecoveryOutcome, TokenFacts};

/// A log record or a span event.
#[derive(Debug)]
pub(super) struct Told<'a> {
    /// Nanoseconds since 1970.
    pub(super) nanos: Option<u64>,
    /// In lower case hexadecimal, or empty.
    pub(super) trace_id: Cow<'a, str>,
    /// In lower case hexadecimal, or empty.
    pub(super) span_id: Cow<'a, str>,
    /// The body of a log record.
    pub(super) body: Value<'a>,
    /// Its attributes.
    pub(super) facts: Facts<'a>,
}

/// Adds the panic to the finds, if it is one.
pub(super) fn tell<'a>(
    told: Told<'a>,
    span: &Facts<'a>,
    resource: &Facts<'a>,
    find: &mut Find<'_, 'a>,
) -> Result<(), Refusal> {
    let around = Layers { layers: [&told.facts, span, resource] };
    let Some(mut event) = panic(&told, &around) else { return Ok(()) };
    take_request(&mut event, &around);
    take_source(&mut event, &around);
    let mut outcome = None;
    for (name, value) in around.layers.into_iter().flat_map(|facts| &facts.own) {
        convention::apply(&mut event, name, value);
        set(&mut outcome, convention::outcome(name, value));
    }
    if event.service.is_empty() {
        event.service = around.name(Key::ServiceName).or_else(|| around.name(Key::ScriptName)).unwrap_or_default();
    }
    let is_escaped = told.facts.get(Key::ExceptionEscaped).and_then(Value::truth) == Some(true);
    let is_thrown = matches!(around.get(Key::CloudflareOutcome), Some(Value::Text(word)) if word == "exception");
    if is_escaped {
        set(&mut event.handled, Some(false));
    }
    let is_thrown = is_thrown && event.handled.is_none();
    let otherwise = if is_thrown { RecoveryOutcome::Escaped } else { derive_recovery(event.handled, event.status) };
    event.recovery = outcome.unwrap_or(otherwise);
    let millis = told.nanos.and_then(|nanos| i64::try_from(nanos / 1_000_000).ok());
    event.event_id = id(&told, &event);
    event.trace_id = Some(told.trace_id).filter(|id| !id.is_empty());
    find.event(event, millis.map(Millis))
}

/// The attributes of an exception and of what it stands in.
struct Layers<'l, 'a> {
    layers: [&'l Facts<'a>; 3],
}

impl<'l, 'a> Layers<'l, 'a> {
    fn get(&self, key: Key) -> Option<&'l Value<'a>> {
        self.layers.iter().find_map(|facts| facts.get(key))
    }

    fn name(&self, key: Key) -> Option<Cow<'a, str>> {
        self.get(key).and_then(Value::name)
    }

    fn free_text(&self, key: Key) -> Option<Cow<'a, str>> {
        self.get(key).and_then(Value::free_text)
    }
}

/// The panic, if it is one.
fn panic<'a>(told: &Told<'a>, around: &Layers<'_, 'a>) -> Option<PanicEvent<'a>> {
    let own = |key: Key| told.facts.get(key).and_then(Value::free_text);
    let says_so = told.facts.own.iter().any(|(name, value)| convention::outcome(name, value).is_some());
    if !says_so && !speaks_rust(around) {
        return None;
    }
    let stack = own(Key::ExceptionStack).or_else(|| own(Key::PanicBacktrace));
    let message = own(Key::ExceptionMessage).or_else(|| own(Key::PanicPayload));
    let body = told.body.free_text().or_else(|| own(Key::BodyMessage));
    let line = [&message, &stack, &body].into_iter().flatten().find_map(site::told);
    let location = own(Key::PanicLocation);
    let is_named = own(Key::ExceptionType).is_some_and(|kind| is_panic_type(&kind));
    let is_traced = location.is_some() || told.facts.get(Key::PanicPayload).is_some();
    if !(says_so || line.is_some() || is_named || is_traced) {
        return None;
    }
    let mut event = PanicEvent::default();
    let mut place = location.as_ref().and_then(site::place);
    let panic = &mut event.panic;
    // A message that is more than the first line tells is the exception's own.
    panic.message = match line {
        Some(line) => {
            panic.thread = line.thread;
            place = Some(line.place);
            match &message {
                Some(message) if site::told(message).is_none() => message.clone(),
                _ => line.message,
            }
        }
        None => message.or(body).unwrap_or_default(),
    };
    let (site, backtrace) = stack.as_ref().map(site::printed).unwrap_or_default();
    panic.backtrace = backtrace;
    let place = place.or(site).or_else(|| code(&told.facts));
    if let Some(place) = place {
        panic.file = Some(stable_file(place.file));
        panic.line = place.line;
        panic.column = place.column;
    }
    if panic.backtrace.is_empty() {
        panic.backtrace.extend(own(Key::CodeFunction));
    }
    set(&mut panic.thread, own(Key::ThreadName));
    Some(event)
}

/// Where the record was written: with a hook that says so, where the panic was.
fn code<'a>(facts: &Facts<'a>) -> Option<site::Place<'a>> {
    let file = facts.get(Key::CodeFile)?.free_text()?;
    let number = |key: Key| facts.get(key).and_then(Value::whole_32);
    Some(site::Place { file, line: number(Key::CodeLine), column: number(Key::CodeColumn) })
}

/// Whether the telemetry can be a Rust program's; it need not say so.
fn speaks_rust(around: &Layers<'_, '_>) -> bool {
    match around.get(Key::Language) {
        Some(Value::Text(language)) => matches!(language.as_ref(), "rust" | "webjs" | "nodejs"),
        _ => true,
    }
}

/// Whether an exception's type is a panic by its name.
fn is_panic_type(kind: &str) -> bool {
    let last = kind.rsplit("::").next().unwrap_or_default().trim();
    ["panic", "PanicError", "rust panic", "PanicInfo", "PanicHookInfo"]
        .iter()
        .any(|name| last.eq_ignore_ascii_case(name))
}

fn take_request<'a>(event: &mut PanicEvent<'a>, around: &Layers<'_, 'a>) {
    let url = around.free_text(Key::Url);
    event.method = around.free_text(Key::Method);
    event.path = around.free_text(Key::Path).or_else(|| url.as_ref().and_then(url::path));
    event.query = around.free_text(Key::Query).map(|query| url::query(&query)).unwrap_or_default();
    if event.query.is_empty() {
        event.query = url.as_ref().map(url::query_of).unwrap_or_default();
    }
    event.endpoint = around.free_text(Key::Route);
    event.status = around.get(Key::Status).and_then(Value::status);
    let request = &mut event.request;
    request.id = around.free_text(Key::RayId).or_else(|| around.free_text(Key::RayHeader));
    set(&mut request.id, around.free_text(Key::RequestIdHeader));
    request.content_type = around.free_text(Key::ContentType);
    request.content_length =
        around.get(Key::BodySize).or_else(|| around.get(Key::ContentLengthHeader)).and_then(Value::whole);
    request.payload = around.get(Key::BodyContent).and_then(Value::body).map_or(Payload::Absent, Payload::Text);
    request.idempotency_key = around.free_text(Key::Idempotency);
    // A resend count of 0 is the first attempt.
    request.attempt = around.get(Key::ResendCount).and_then(Value::whole_32).map(|count| count.saturating_add(1));
    if let Some(Value::Text(body)) = around.get(Key::BodyContent) {
        let n_bytes = u64::try_from(body.len()).unwrap_or(u64::MAX);
        request.payload_truncated = request.content_length.is_some_and(|length| length > n_bytes);
    }
}

fn take_source<'a>(event: &mut PanicEvent<'a>, around: &Layers<'_, 'a>) {
    let address = around.free_text(Key::ClientAddress).or_else(|| around.free_text(Key::PeerAddress));
    event.client.ip = address.and_then(|address| address.trim().parse().ok()).map(|ip: IpAddr| ip.to_canonical());
    event.client.user_agent = around.free_text(Key::UserAgent).or_else(|| around.free_text(Key::UserAgentHeader));
    event.client.asn = around.get(Key::Asn).and_then(Value::whole_32);
    event.client.country = around.free_text(Key::Country).and_then(|code| {
        let code: [u8; 2] = code.as_bytes().try_into().ok()?;
        code.iter().all(u8::is_ascii_uppercase).then_some(code)
    });
    event.release = around.name(Key::ServiceVersion).or_else(|| around.name(Key::ScriptVersion));
    event.isolate = around.name(Key::InstanceId);
    event.host = around.name(Key::HostName);
    event.region = around.name(Key::Region).or_else(|| around.name(Key::Colo));
    if let Some(scope) = around.get(Key::Scope) {
        event.token = Some(TokenFacts { scopes: scope.scopes(), ..TokenFacts::default() });
    }
}

/// The panic's name: see the head of [`super`]. Empty where there is neither a trace nor a time.
fn id<'a>(told: &Told<'_>, event: &PanicEvent<'_>) -> Cow<'a, str> {
    /// A log and a span event of one hook are microseconds apart.
    const BUCKET_NANOS: u64 = 100_000_000;
    let nanos = told.nanos.unwrap_or(0);
    let mut hasher = blake3::Hasher::new();
    if !told.trace_id.is_empty() && !told.span_id.is_empty() {
        hasher.update(told.trace_id.as_bytes()).update(told.span_id.as_bytes());
        hasher.update(&(nanos / BUCKET_NANOS).to_le_bytes());
    } else if nanos == 0 {
        return Cow::Borrowed("");
    } else {
        hasher.update(&nanos.to_le_bytes());
        for text in [&event.service, event.isolate.as_ref().unwrap_or(&Cow::Borrowed(""))] {
            hasher.update(text.as_bytes()).update(&[0]);
        }
        hasher.update(event.panic.file.as_deref().unwrap_or_default().as_bytes()).update(&[0]);
        hasher.update(&event.panic.line.unwrap_or(0).to_le_bytes());
    }
    hasher.update(event.panic.message.as_bytes());
    Cow::Owned(hasher.finalize().to_hex().chars().take(32).collect())
}
