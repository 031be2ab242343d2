//! An event as `panic-event.v1`, for those who look at what the decoders made of a record.
//!
//! Takes a [`PanicEvent`] of any carrier; gives the JSON of the canonical form, without the keys of which nothing is
//! known. What a client sent and a token's owner keeps to himself (the body, the values of the query, the idempotency
//! key) is left out unless it is asked for, and the sizes say that it was there. Never on the path of a record. A test
//! holds that the canonical decoder reads it back as the same event.

use std::fmt::Display;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::pipeline::event::{PanicEvent, Payload, RecoveryOutcome};

/// An object under construction: what is absent is not written.
#[derive(Default)]
struct Object(Map<String, Value>);

impl Object {
    fn with(mut self, key: &str, value: Option<impl Into<Value>>) -> Self {
        self.0.extend(value.map(|value| (key.to_owned(), value.into())));
        self
    }

    fn text(self, key: &str, text: Option<impl Display>) -> Self {
        self.with(key, text.map(|text| text.to_string()))
    }

    /// The object, if anything is in it.
    fn some(self) -> Option<Value> {
        (!self.0.is_empty()).then_some(Value::Object(self.0))
    }
}

/// The event as JSON; with the body, the query's values and the idempotency key where `values` is set.
pub fn written(event: &PanicEvent<'_>, values: bool) -> Value {
    let query = |(name, value): &(_, _)| {
        let (name, value): (&std::borrow::Cow<'_, str>, &std::borrow::Cow<'_, str>) = (name, value);
        json!([name, if values { value.as_ref() } else { "" }])
    };
    let outcome = (event.recovery != RecoveryOutcome::Unknown).then(|| json!(event.recovery));
    let effect = |(kind, count): &(std::borrow::Cow<'_, str>, u64)| json!({"kind": kind, "count": count});
    let object = Object::default()
        .text("event_id", Some(&event.event_id))
        .text("ts", Some(event.time))
        .text("service", Some(&event.service))
        .text("tenant", Some(&event.tenant).filter(|tenant| !tenant.is_empty()))
        .text("release", event.release.as_ref())
        .text("host", event.host.as_ref())
        .text("region", event.region.as_ref())
        .text("endpoint", event.endpoint.as_ref())
        .text("method", event.method.as_ref())
        .text("path", event.path.as_ref())
        .with("query", list(event.query.iter().map(query)))
        .with("status", event.status)
        .with("handled", event.handled)
        .with("panic", panic(event))
        .with("client", client(event))
        .with("token", token(event))
        .with("request", request(event, values))
        .with("latency_ms", event.latency_ms)
        .with("isolate", Object::default().text("id", event.isolate.as_ref()).some())
        .with("retry", retry(event))
        .with(
            "recovery",
            Object::default()
                .with("outcome", outcome)
                .text("boundary", event.boundary.as_ref())
                .with("latency_ms", event.recovery_latency_ms)
                .some(),
        )
        .with(
            "side_effects",
            event.side_effects.as_ref().map(|effects| Value::Array(effects.iter().map(effect).collect())),
        )
        .with("trace", Object::default().text("trace_id", event.trace_id.as_ref()).some());
    Value::Object(object.0)
}

fn list(items: impl Iterator<Item = Value>) -> Option<Value> {
    let items: Vec<Value> = items.collect();
    (!items.is_empty()).then_some(Value::Array(items))
}

fn panic(event: &PanicEvent<'_>) -> Option<Value> {
    let panic = &event.panic;
    Object::default()
        .text("message", Some(&panic.message))
        .text("file", panic.file.as_ref())
        .with("line", panic.line)
        .with("column", panic.column)
        .text("thread", panic.thread.as_ref())
        .with("backtrace", list(panic.backtrace.iter().map(|frame| json!(frame))))
        .some()
}

fn client(event: &PanicEvent<'_>) -> Option<Value> {
    Object::default().text("ip", event.client.ip).text("user_agent", event.client.user_agent.as_ref()).some()
}

fn token(event: &PanicEvent<'_>) -> Option<Value> {
    let token = event.token.as_ref()?;
    let object = Object::default()
        .text("id_hash", token.id_hash.as_ref())
        .with("scope", list(token.scopes.iter().map(|scope| json!(scope))))
        .with("valid", token.valid);
    Some(Value::Object(object.0))
}

fn request(event: &PanicEvent<'_>, values: bool) -> Option<Value> {
    let request = &event.request;
    let n_bytes = u64::try_from(request.payload.bytes().len()).ok().filter(|n_bytes| *n_bytes > 0);
    let (payload, encoding) = match &request.payload {
        Payload::Text(text) if values => (Some(text.to_string()), None),
        Payload::Bytes(bytes) if values => (Some(STANDARD.encode(bytes)), Some("base64")),
        _ => (None, None),
    };
    Object::default()
        .text("id", request.id.as_ref())
        .text("content_type", request.content_type.as_ref())
        .with("content_length", request.content_length.or(n_bytes))
        .with("payload", payload)
        .with("payload_encoding", encoding)
        .with("payload_truncated", request.payload_truncated.then_some(true))
        .text("idempotency_key", request.idempotency_key.as_ref().filter(|_| values))
        .with("attempt", request.attempt)
        .text("shape", request.shape.as_ref())
        .some()
}

fn retry(event: &PanicEvent<'_>) -> Option<Value> {
    let retry = event.retry.as_ref()?;
    Object::default().text("outcome", Some(&retry.outcome)).text("known_at", retry.known_at).some()
}
