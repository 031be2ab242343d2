//! OTLP as Protobuf.
//!
//! Both kinds of request have one outline (field 1: resources; in each, field 1 the resource and fields 2 the scopes; in
//! each, fields 2 the items), so the bytes are walked along it and only items that hold the words of a panic become
//! messages. An item that breaks is refused alone; memory is bounded by one item, not by what a request of a million
//! empty ones would unfold to.
//!
//! **Logs or traces** is told from the items, by fields that have different wire types: a log record has its time as a
//! fixed 64-bit field 1, 11 or its severity as a number in field 2; a span has 16 bytes in field 1, 8 bytes in field 2,
//! a number in field 6 or a fixed 64-bit field 7 or 8. A request whose items say neither is silent, and so are metrics.
//!
//! Limits: [`FIELDS_MAX`] fields of an item; prost's limit of 100 levels. Cost: a walk over the fields and a search in
//! each item; some microseconds for an item with a stack trace.

use std::borrow::Cow;

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

use super::super::found::Find;
use super::super::loose::Value;
use super::super::{Refusal, SCOPES_MAX, foreign};
use super::exception::{Told, tell};
use super::facts::Facts;
use crate::pipeline::event::Reason;

/// Most fields of an item: attributes, events, links. SDKs keep 128 of each by default.
const FIELDS_MAX: usize = 4_096;

/// Words, one of which every panic's record has: `exception.type`, `panic.payload`, `panicked at`, `panicsift.…`.
const WORDS: [&[u8]; 2] = [b"exception", b"panic"];

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wire<'a> {
    Number,
    Fixed64,
    Fixed32,
    Bytes(&'a [u8]),
}

/// The fields of a message; after a break it gives nothing.
struct Fields<'a> {
    rest: &'a [u8],
    is_broken: bool,
}

impl<'a> Fields<'a> {
    fn of(message: &'a [u8]) -> Self {
        Self { rest: message, is_broken: false }
    }

    fn field(&mut self) -> Option<(u64, Wire<'a>)> {
        let (tag, rest) = foreign::varint(self.rest)?;
        let (wire, rest) = match tag & 7 {
            0 => (Wire::Number, foreign::varint(rest)?.1),
            1 => (Wire::Fixed64, rest.get(8..)?),
            2 => {
                let (length, rest) = foreign::varint(rest)?;
                let (bytes, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
                (Wire::Bytes(bytes), rest)
            }
            5 => (Wire::Fixed32, rest.get(4..)?),
            _ => return None,
        };
        self.rest = rest;
        (tag >> 3 != 0).then_some((tag >> 3, wire))
    }

    /// The messages in the fields of that number.
    fn messages(mut self, number: u64) -> impl Iterator<Item = Result<&'a [u8], Refusal>> {
        std::iter::from_fn(move || {
            loop {
                match self.next()? {
                    Ok((field, Wire::Bytes(bytes))) if field == number => return Some(Ok(bytes)),
                    Ok(_) => {}
                    Err(refusal) => return Some(Err(refusal)),
                }
            }
        })
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Wire<'a>), Refusal>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() || self.is_broken {
            return None;
        }
        let field = self.field();
        self.is_broken = field.is_none();
        Some(field.ok_or_else(|| broken("the record: Protobuf (or JSON) is needed, and it breaks")))
    }
}

fn broken(detail: &str) -> Refusal {
    Refusal { reason: Reason::BadValue, detail: detail.to_owned() }
}

/// The kind of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signal {
    Logs,
    Traces,
}

/// Reads one request, and adds the panics that it tells of to the finds.
pub(super) fn read<'a>(payload: &'a [u8], find: &mut Find<'_, 'a>) -> Result<(), Refusal> {
    let Some(signal) = signal(payload)? else { return Ok(()) };
    let mut number = 0;
    for resource in Fields::of(payload).messages(1) {
        read_resource(signal, resource?, &mut number, find)?;
    }
    Ok(())
}

/// Tells logs from traces by the first item that says it. Errors: bytes that break before it.
fn signal(payload: &[u8]) -> Result<Option<Signal>, Refusal> {
    for resource in Fields::of(payload).messages(1) {
        for scope in Fields::of(resource?).messages(2) {
            for item in Fields::of(scope?).messages(2) {
                if let Some(signal) = signal_of(item?) {
                    return Ok(Some(signal));
                }
            }
        }
    }
    Ok(None)
}

fn signal_of(item: &[u8]) -> Option<Signal> {
    let (mut is_log, mut is_span, mut is_neither) = (false, false, false);
    let (mut has_trace_id, mut has_span_id) = (false, false);
    for field in Fields::of(item).take(FIELDS_MAX) {
        match field.ok()? {
            (1 | 11, Wire::Fixed64) | (2 | 7, Wire::Number) => is_log = true,
            (1, Wire::Bytes(id)) => has_trace_id = id.len() == 16,
            (2, Wire::Bytes(id)) => has_span_id = id.len() == 8,
            (6, Wire::Number) | (7 | 8, Wire::Fixed64) => is_span = true,
            // A metric's sum.
            (7, Wire::Bytes(_)) => is_neither = true,
            _ => {}
        }
    }
    match (is_log, has_trace_id && has_span_id) {
        (true, false) if !is_span && !is_neither => Some(Signal::Logs),
        (false, true) if !is_neither => Some(Signal::Traces),
        _ => None,
    }
}

fn read_resource<'a>(
    signal: Signal,
    message: &'a [u8],
    number: &mut usize,
    find: &mut Find<'_, 'a>,
) -> Result<(), Refusal> {
    let mut resource = None;
    for scope in Fields::of(message).messages(2) {
        for item in Fields::of(scope?).messages(2) {
            let item = item?;
            *number += 1;
            if !holds_words(item) {
                continue;
            }
            let resource = resource.get_or_insert_with(|| resource_facts(message));
            if let Err(refusal) = read_item(signal, item, resource, find) {
                find.refuse_item(*number - 1, refusal);
            }
        }
    }
    Ok(())
}

fn holds_words(item: &[u8]) -> bool {
    WORDS.iter().any(|word| item.windows(word.len()).any(|window| window == *word))
}

/// The attributes of the resource; a broken one says nothing.
fn resource_facts(message: &[u8]) -> Facts<'static> {
    let resource = Fields::of(message).messages(1).next().and_then(Result::ok);
    let resource = resource.filter(|bytes| Fields::of(bytes).take(FIELDS_MAX + 1).count() <= FIELDS_MAX);
    let attributes = resource.and_then(|bytes| Resource::decode(bytes).ok()).map(|resource| resource.attributes);
    facts(attributes.unwrap_or_default())
}

fn read_item<'a>(signal: Signal, item: &'a [u8], resource: &Facts<'a>, find: &mut Find<'_, 'a>) -> Result<(), Refusal> {
    if Fields::of(item).take(FIELDS_MAX + 1).count() > FIELDS_MAX {
        let detail = format!("at most {FIELDS_MAX} fields are read");
        return Err(Refusal { reason: Reason::TooManyNodes, detail });
    }
    match signal {
        Signal::Logs => {
            let record = LogRecord::decode(item).map_err(|_| broken("the log record: Protobuf breaks"))?;
            let nanos = [record.time_unix_nano, record.observed_time_unix_nano].into_iter().find(|nanos| *nanos > 0);
            let mut attributes = facts(record.attributes);
            let body = match record.body.and_then(|body| body.value) {
                Some(Any::KvlistValue(list)) => {
                    attributes.merge(facts(list.values));
                    Value::Nothing
                }
                Some(Any::StringValue(text)) => Value::Text(Cow::Owned(text)),
                _ => Value::Nothing,
            };
            let (trace_id, span_id) = (hex(&record.trace_id), hex(&record.span_id));
            tell(Told { nanos, trace_id, span_id, body, facts: attributes }, &Facts::default(), resource, find)
        }
        Signal::Traces => {
            let span = Span::decode(item).map_err(|_| broken("the span: Protobuf breaks"))?;
            let of_span = facts(span.attributes);
            for event in span.events {
                let nanos = [event.time_unix_nano, span.end_time_unix_nano].into_iter().find(|nanos| *nanos > 0);
                let (trace_id, span_id) = (hex(&span.trace_id), hex(&span.span_id));
                let facts = facts(event.attributes);
                tell(Told { nanos, trace_id, span_id, body: Value::Nothing, facts }, &of_span, resource, find)?;
            }
            Ok(())
        }
    }
}

fn facts(attributes: Vec<KeyValue>) -> Facts<'static> {
    let mut facts = Facts::default();
    for KeyValue { key, value, .. } in attributes {
        facts.add(Cow::Owned(key), value_of(value));
    }
    facts
}

fn value_of(any: Option<AnyValue>) -> Value<'static> {
    let text = |item: AnyValue| match item.value {
        Some(Any::StringValue(text)) => Some(Cow::Owned(text)),
        _ => None,
    };
    match any.and_then(|any| any.value) {
        Some(Any::StringValue(text)) => Value::Text(Cow::Owned(text)),
        Some(Any::BoolValue(truth)) => Value::Truth(truth),
        Some(Any::IntValue(number)) => u64::try_from(number).map_or(Value::Nothing, Value::Whole),
        Some(Any::DoubleValue(number)) if number.is_finite() => Value::Number(number),
        Some(Any::ArrayValue(list)) => {
            let texts: Vec<_> = list.values.into_iter().filter_map(text).take(SCOPES_MAX).collect();
            if texts.is_empty() { Value::Nothing } else { Value::List(texts) }
        }
        _ => Value::Nothing,
    }
}

fn hex(id: &[u8]) -> Cow<'static, str> {
    /// Bytes of a trace id; a span id has eight.
    const ID_BYTES_MAX: usize = 16;
    if id.len() > ID_BYTES_MAX {
        return Cow::Borrowed("");
    }
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    Cow::Owned(id.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect())
}
