//! One event of Sentry, and the panic that it tells of.
//!
//! Reads the event's JSON; gives an event, or nothing where it tells of no panic. Cost: one pass.

use std::borrow::Cow;

use super::super::convention::{self, PREFIX, set};
use super::super::derive_recovery;
use super::super::found::Find;
use super::super::loose::{Broken, List, Pairs, Value, object};
use super::super::site::{Place, StackFrame, below_machinery, stable_file, told};
use super::super::url;
use super::refusal;
use crate::pipeline::event::{PanicEvent, Payload, Reason};

object! {
    /// An event, as far as it is read.
    Event<'a> {
        id: Value<'a> = "event_id",
        timestamp: Value<'a> = "timestamp",
        release: Value<'a> = "release",
        server_name: Value<'a> = "server_name",
        transaction: Value<'a> = "transaction",
        transaction_info: TransactionInfo<'a> = "transaction_info",
        exception: Exceptions<'a> = "exception",
        user: User<'a> = "user",
        request: Request<'a> = "request",
        contexts: Contexts<'a> = "contexts",
        tags: Pairs<'a> = "tags",
        extra: Pairs<'a> = "extra",
    }
}

object! {
    /// How the transaction got its name.
    TransactionInfo<'a> {
        source: Value<'a> = "source",
    }
}

object! {
    /// Who sent the request.
    User<'a> {
        ip_address: Value<'a> = "ip_address",
    }
}

object! {
    /// The request.
    Request<'a> {
        url: Value<'a> = "url",
        method: Value<'a> = "method",
        query_string: Query<'a> = "query_string",
        data: Body<'a> = "data",
        headers: Pairs<'a> = "headers",
        env: Pairs<'a> = "env",
    }
}

object! {
    /// The contexts that are read.
    Contexts<'a> {
        panicsift: Pairs<'a> = "panicsift",
        trace: TraceContext<'a> = "trace",
        response: ResponseContext<'a> = "response",
    }
}

object! {
    /// Place in a trace.
    TraceContext<'a> {
        trace_id: Value<'a> = "trace_id",
    }
}

object! {
    /// What was answered.
    ResponseContext<'a> {
        status_code: Value<'a> = "status_code",
    }
}

object! {
    /// The exceptions where they are an object; one of them, where it stands alone.
    ExceptionObject<'a> {
        values: List<Exception<'a>> = "values",
        kind: Value<'a> = "type",
        value: Value<'a> = "value",
        mechanism: Mechanism<'a> = "mechanism",
        stacktrace: Stack<'a> = "stacktrace",
    }
}

object! {
    /// An exception.
    Exception<'a> {
        kind: Value<'a> = "type",
        value: Value<'a> = "value",
        mechanism: Mechanism<'a> = "mechanism",
        stacktrace: Stack<'a> = "stacktrace",
    }
}

object! {
    /// How an exception was noticed.
    Mechanism<'a> {
        kind: Value<'a> = "type",
    }
}

object! {
    /// A backtrace, oldest frame first.
    Stack<'a> {
        frames: List<SentryFrame<'a>> = "frames",
    }
}

object! {
    /// A frame.
    SentryFrame<'a> {
        function: Value<'a> = "function",
        abs_path: Value<'a> = "abs_path",
        filename: Value<'a> = "filename",
        lineno: Value<'a> = "lineno",
        colno: Value<'a> = "colno",
    }
}

mod either;
use self::either::{Body, Exceptions, Query};

/// Reads one event, and adds the panic that it tells of to the finds.
pub(super) fn read_event<'x>(text: &'x str, find: &mut Find<'_, 'x>) -> Result<(), Broken> {
    let event: Event<'x> = serde_json::from_str(text)?;
    let wrong = |key: &str, needed: &str| refusal(Reason::WrongType, &format!("{key}: {needed} is needed"));
    if event.is_wrong {
        return Err(wrong("the event", "an object").into());
    }
    if event.exception.0.is_wrong {
        return Err(wrong("exception", "an object or an array").into());
    }
    if let Some(number) = event.exception.0.wrong_item {
        return Err(wrong(&format!("exception.values[{number}]"), "an object").into());
    }
    let sent_at = event.timestamp.time();
    if let Some(panic) = panic_event(event) {
        find.event(panic, sent_at)?;
    }
    Ok(())
}

/// Whether an exception is a Rust panic.
fn is_panic(exception: &Exception<'_>) -> bool {
    let is = |value: &Value<'_>, word: &str| matches!(value, Value::Text(text) if text == word);
    is(&exception.mechanism.kind, "panic")
        || is(&exception.kind, "panic")
        || is(&exception.kind, "PanicError")
        || matches!(&exception.value, Value::Text(text) if told(text).is_some())
}

fn panic_event(wire: Event<'_>) -> Option<PanicEvent<'_>> {
    let exception = wire.exception.0.items.into_iter().rfind(is_panic)?;
    let mut event = PanicEvent { event_id: wire.id.name().unwrap_or_default(), ..PanicEvent::default() };
    take_panic(&mut event, exception);
    event.release = wire.release.name();
    event.host = wire.server_name.name();
    event.trace_id = wire.contexts.trace.trace_id.free_text();
    event.status = wire.contexts.response.status_code.status();
    if !matches!(&wire.transaction_info.source, Value::Text(source) if source == "url") {
        event.endpoint = wire.transaction.free_text().filter(|name| name.contains('/'));
    }
    take_request(&mut event, &wire.request);
    let address = wire.user.ip_address.free_text().or_else(|| wire.request.env.get("REMOTE_ADDR")?.free_text());
    event.client.ip =
        address.and_then(|address| address.trim().parse().ok()).map(|ip: std::net::IpAddr| ip.to_canonical());
    let prefixed = wire.tags.0.iter().chain(&wire.extra.0);
    let prefixed = prefixed.filter_map(|(name, value)| Some((name.strip_prefix(PREFIX)?, value)));
    let plain = wire.contexts.panicsift.0.iter().map(|(name, value)| (name.as_ref(), value));
    let mut outcome = None;
    for (name, value) in plain.chain(prefixed) {
        convention::apply(&mut event, name, value);
        set(&mut outcome, convention::outcome(name, value));
    }
    event.recovery = outcome.unwrap_or_else(|| derive_recovery(event.handled, event.status));
    if event.service.is_empty() {
        event.service = service(&wire.tags, event.release.as_ref());
    }
    Some(event)
}

/// The tag `service`, or the name in the release (`name@version`; without an `@` it is a version alone).
fn service<'a>(tags: &Pairs<'a>, release: Option<&Cow<'a, str>>) -> Cow<'a, str> {
    if let Some(service) = tags.get("service").and_then(Value::name) {
        return service;
    }
    match release {
        Some(Cow::Borrowed(release)) => {
            release.rsplit_once('@').map_or(Cow::Borrowed(""), |(name, _)| Cow::Borrowed(name))
        }
        Some(Cow::Owned(release)) => {
            release.rsplit_once('@').map_or(Cow::Borrowed(""), |(name, _)| Cow::Owned(name.to_owned()))
        }
        None => Cow::Borrowed(""),
    }
}

fn take_panic<'a>(event: &mut PanicEvent<'a>, exception: Exception<'a>) {
    let frames = exception.stacktrace.frames.items.into_iter().rev().map(|frame| {
        let file = frame.abs_path.free_text().or_else(|| frame.filename.free_text());
        let (line, column) = (frame.lineno.whole_32(), frame.colno.whole_32());
        let place = file.map(|file| Place { file, line, column });
        StackFrame { function: frame.function.free_text().unwrap_or_default(), place }
    });
    let (site, backtrace) = below_machinery(frames);
    event.panic.backtrace = backtrace;
    let mut site = site;
    event.panic.message = exception.value.free_text().unwrap_or_default();
    if let Some(told) = told(&event.panic.message) {
        site = Some(told.place);
        event.panic.message = told.message;
        event.panic.thread = told.thread;
    }
    if let Some(place) = site {
        event.panic.file = Some(stable_file(place.file));
        event.panic.line = place.line;
        event.panic.column = place.column;
    }
}

fn take_request<'a>(event: &mut PanicEvent<'a>, request: &Request<'a>) {
    let header = |name: &str| request.headers.get(name).and_then(Value::free_text);
    event.method = request.method.free_text();
    if let Some(address) = request.url.free_text() {
        event.path = url::path(&address);
        event.query = url::query_of(&address);
    }
    if event.query.is_empty() {
        event.query = request.query_string.pairs();
    }
    event.client.user_agent = header("user-agent");
    event.request.content_type = header("content-type");
    event.request.content_length = request.headers.get("content-length").and_then(Value::whole);
    event.request.idempotency_key = header("idempotency-key").or_else(|| header("x-idempotency-key"));
    event.request.id = header("cf-ray").or_else(|| header("x-request-id"));
    event.request.payload = request.data.0.clone().map_or(Payload::Absent, Payload::Text);
}
