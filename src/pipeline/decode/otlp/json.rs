//! OTLP as JSON.
//!
//! Reads keys in `lowerCamelCase`, as the standard asks, and in `snake_case`; whole numbers as text or number, ids in
//! either case; unknown keys are passed over. A list that is none breaks the contract and is refused, an item of one
//! that is no object is refused alone.

use std::borrow::Cow;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::super::Refusal;
use super::super::found::Find;
use super::super::loose::{Broken, Key, List, Value, object, other_visits};
use super::exception::{Told, tell};
use super::facts::Facts;
use crate::pipeline::event::Reason;

object! {
    /// A request of either kind.
    Request<'a> {
        logs: List<ResourceItem<'a>> = "resourceLogs" | "resource_logs",
        spans: List<ResourceItem<'a>> = "resourceSpans" | "resource_spans",
    }
}

object! {
    /// What one resource sent.
    ResourceItem<'a> {
        resource: Resource<'a> = "resource",
        scopes: List<Scope<'a>> = "scopeLogs" | "scope_logs" | "scopeSpans" | "scope_spans"
            | "instrumentationLibraryLogs" | "instrumentation_library_logs"
            | "instrumentationLibrarySpans" | "instrumentation_library_spans",
    }
    idle ResourceItem::says_nothing
}

object! {
    /// A resource.
    Resource<'a> {
        attributes: Facts<'a> = "attributes",
    }
}

object! {
    /// What one scope sent.
    Scope<'a> {
        records: List<LogRecord<'a>> = "logRecords" | "log_records" | "logs",
        spans: List<Span<'a>> = "spans",
    }
    idle Scope::says_nothing
}

object! {
    /// A log record.
    LogRecord<'a> {
        time: Value<'a> = "timeUnixNano" | "time_unix_nano",
        observed: Value<'a> = "observedTimeUnixNano" | "observed_time_unix_nano",
        body: Body<'a> = "body",
        attributes: Facts<'a> = "attributes",
        trace_id: Value<'a> = "traceId" | "trace_id",
        span_id: Value<'a> = "spanId" | "span_id",
    }
    idle LogRecord::says_nothing
}

object! {
    /// A span.
    Span<'a> {
        trace: Value<'a> = "traceId" | "trace_id",
        id: Value<'a> = "spanId" | "span_id",
        end: Value<'a> = "endTimeUnixNano" | "end_time_unix_nano",
        attributes: Facts<'a> = "attributes",
        events: List<SpanEvent<'a>> = "events",
    }
    idle Span::says_nothing
}

object! {
    /// An event of a span.
    SpanEvent<'a> {
        time: Value<'a> = "timeUnixNano" | "time_unix_nano",
        attributes: Facts<'a> = "attributes",
    }
    idle SpanEvent::says_nothing
}

object! {
    /// A body: a text, or names and values.
    Body<'a> {
        text: Value<'a> = "stringValue" | "string_value",
        map: BodyMap<'a> = "kvlistValue" | "kvlist_value",
    }
}

object! {
    /// A list of values.
    AnyArray<'a> {
        values: List<AnyText<'a>> = "values",
    }
}

object! {
    /// An item of a list of values.
    AnyText<'a> {
        text: Value<'a> = "stringValue" | "string_value",
    }
}

object! {
    /// Names and values.
    BodyMap<'a> {
        values: Facts<'a> = "values",
    }
}

object! {
    /// A value of an attribute; lists of texts are read one level deep.
    Any<'a> {
        text: Value<'a> = "stringValue" | "string_value",
        whole: Value<'a> = "intValue" | "int_value",
        number: Value<'a> = "doubleValue" | "double_value",
        truth: Value<'a> = "boolValue" | "bool_value",
        array: AnyArray<'a> = "arrayValue" | "array_value",
    }
}

object! {
    /// An attribute.
    KeyValue<'a> {
        key: Value<'a> = "key",
        value: Any<'a> = "value",
    }
}

impl ResourceItem<'_> {
    fn says_nothing(&self) -> bool {
        is_idle(&self.scopes)
    }
}

impl Scope<'_> {
    fn says_nothing(&self) -> bool {
        is_idle(&self.records) && is_idle(&self.spans)
    }
}

impl LogRecord<'_> {
    fn says_nothing(&self) -> bool {
        self.attributes.is_empty() && self.body.map.values.is_empty() && self.body.text == Value::Nothing
    }
}

impl Span<'_> {
    fn says_nothing(&self) -> bool {
        is_idle(&self.events)
    }
}

impl SpanEvent<'_> {
    fn says_nothing(&self) -> bool {
        self.attributes.is_empty()
    }
}

fn is_idle<T>(list: &List<T>) -> bool {
    list.items.is_empty() && !list.is_wrong && list.wrong_item.is_none()
}

/// The value of whichever key is there.
fn of_any<'a>([text, whole, number, truth]: [Value<'a>; 4], array: AnyArray<'a>) -> Value<'a> {
    if text != Value::Nothing {
        return text;
    }
    if let Some(whole) = whole.whole() {
        return Value::Whole(whole);
    }
    if let Some(number) = number.number() {
        return Value::Number(number);
    }
    if truth != Value::Nothing {
        return truth;
    }
    let texts: Vec<Cow<'a, str>> = array.values.items.into_iter().filter_map(|item| item.text.body()).collect();
    if texts.is_empty() { Value::Nothing } else { Value::List(texts) }
}

struct FactsVisitor;

impl<'de> Visitor<'de> for FactsVisitor {
    type Value = Facts<'de>;

    other_visits!(Facts::default(); text);

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut facts = Facts::default();
        while let Some(KeyValue { key, value: any, .. }) = list.next_element()? {
            if let Value::Text(key) = key {
                facts.add(key, of_any([any.text, any.whole, any.number, any.truth], any.array));
            }
        }
        Ok(facts)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut facts = Facts::default();
        while let Some(Key(name)) = map.next_key()? {
            facts.add(name, map.next_value()?);
        }
        Ok(facts)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Facts<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FactsVisitor)
    }
}

/// Reads a request, or an array of them, and adds the panics that it tells of to the finds.
pub(super) fn read<'x>(text: &'x str, find: &mut Find<'_, 'x>) -> Result<(), Broken> {
    let requests: Vec<Request<'x>> = if text.starts_with('[') {
        let list: List<Request<'x>> = serde_json::from_str(text)?;
        note_wrong(&list, find);
        list.items
    } else {
        vec![serde_json::from_str(text)?]
    };
    for request in requests {
        check_list(&request.logs, "resourceLogs")?;
        check_list(&request.spans, "resourceSpans")?;
        for list in [request.logs, request.spans] {
            note_wrong(&list, find);
            for item in list.items {
                resource(item, find)?;
            }
        }
    }
    Ok(())
}

fn check_list<T>(list: &List<T>, key: &str) -> Result<(), Refusal> {
    if list.is_wrong {
        return Err(Refusal { reason: Reason::WrongType, detail: format!("{key}: an array is needed") });
    }
    Ok(())
}

/// Refuses the items of a list that are no objects, and those beyond what is kept.
fn note_wrong<T>(list: &List<T>, find: &mut Find<'_, '_>) {
    if let Some(number) = list.wrong_item {
        let detail = "an object is needed".to_owned();
        find.refuse_item(number, Refusal { reason: Reason::WrongType, detail });
    }
    if list.is_cut {
        let detail = "more items than are read".to_owned();
        find.refuse_item(list.items.len(), Refusal { reason: Reason::TooManyNodes, detail });
    }
}

fn resource<'x>(item: ResourceItem<'x>, find: &mut Find<'_, 'x>) -> Result<(), Refusal> {
    check_list(&item.scopes, "scopeLogs or scopeSpans")?;
    note_wrong(&item.scopes, find);
    for scope in item.scopes.items {
        check_list(&scope.records, "logRecords")?;
        check_list(&scope.spans, "spans")?;
        note_wrong(&scope.records, find);
        note_wrong(&scope.spans, find);
        for record in scope.records.items {
            let LogRecord { time, observed, body, mut attributes, trace_id, span_id, .. } = record;
            attributes.merge(body.map.values);
            let nanos = [time, observed].iter().filter_map(Value::whole).find(|nanos| *nanos > 0);
            let told =
                Told { nanos, trace_id: hex(&trace_id), span_id: hex(&span_id), body: body.text, facts: attributes };
            tell(told, &Facts::default(), &item.resource.attributes, find)?;
        }
        for span in scope.spans.items {
            spans_events(span, &item.resource.attributes, find)?;
        }
    }
    Ok(())
}

fn spans_events<'x>(span: Span<'x>, resource: &Facts<'x>, find: &mut Find<'_, 'x>) -> Result<(), Refusal> {
    check_list(&span.events, "events")?;
    note_wrong(&span.events, find);
    for event in span.events.items {
        let nanos = [&event.time, &span.end].into_iter().filter_map(Value::whole).find(|nanos| *nanos > 0);
        let (trace_id, span_id) = (hex(&span.trace), hex(&span.id));
        let told = Told { nanos, trace_id, span_id, body: Value::Nothing, facts: event.attributes };
        tell(told, &span.attributes, resource, find)?;
    }
    Ok(())
}

/// An id in hexadecimal, in lower case; empty for anything else.
fn hex<'x>(id: &Value<'x>) -> Cow<'x, str> {
    match id {
        Value::Text(id) if id.len() <= 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            if id.bytes().any(|byte| byte.is_ascii_uppercase()) {
                Cow::Owned(id.to_ascii_lowercase())
            } else {
                id.clone()
            }
        }
        _ => Cow::Borrowed(""),
    }
}
