//! What a producer may add to somebody else's form so that panicsift learns what that form cannot say.
//!
//! Names, each behind `panicsift.` as an attribute of OTLP or a tag or `extra` of Sentry, and by itself in Sentry's
//! `contexts.panicsift`; a dot in them may be an underscore:
//!
//! | name | what it says |
//! |---|---|
//! | `recovery.outcome` | `recovered`, `degraded`, `escaped`, `aborted`, `suspected_abort` or `unknown` |
//! | `recovery.boundary`, `recovery.latency_ms` | what contained the fault, and how long that took |
//! | `handled` | whether the panic was caught |
//! | `token.scope`, `token.id_hash`, `token.valid` | scopes (a text or a list), the producer's hash, whether it was taken |
//! | `request.payload`, `request.payload_truncated` | the body, and whether the producer cut it |
//! | `request.shape` | the body's shape, where the body stays at home |
//! | `request.idempotency_key`, `request.attempt`, `request.id` | of the request |
//! | `service`, `tenant`, `region`, `isolate`, `endpoint`, `status`, `latency_ms` | as in `panic-event.v1` |
//!
//! `request.` may be left out, and `payload_shape` is another name of `request.shape`. Values of another type are as if
//! they were not there. Cost: one comparison of texts a name.

use std::borrow::Cow;

use super::LATENCY_MS_MAX;
use super::loose::Value;
use crate::pipeline::event::{PanicEvent, Payload, RecoveryOutcome, TokenFacts};

/// What stands before a name.
pub(super) const PREFIX: &str = "panicsift.";

/// Puts what a name says into the event, unless it is known. `name` is without the prefix.
///
/// `event.recovery` stays untouched: see [`outcome`].
pub(super) fn apply<'a>(event: &mut PanicEvent<'a>, name: &str, value: &Value<'a>) {
    let dotted: Cow<'_, str> =
        if name.contains('.') { Cow::Owned(name.replace('.', "_")) } else { Cow::Borrowed(name) };
    let name = dotted.strip_prefix("request_").unwrap_or(&dotted);
    let request = &mut event.request;
    match name {
        "token_scope" | "token_id_hash" | "token_valid" => token(event.token.get_or_insert_default(), name, value),
        "recovery_boundary" | "boundary" => set(&mut event.boundary, value.name()),
        "recovery_latency_ms" => set(&mut event.recovery_latency_ms, latency(value)),
        "handled" => set(&mut event.handled, value.truth()),
        "payload" if request.payload == Payload::Absent => {
            request.payload = value.body().map_or(Payload::Absent, Payload::Text);
        }
        "payload_truncated" => request.payload_truncated |= value.truth() == Some(true),
        "shape" | "payload_shape" => set(&mut request.shape, value.name()),
        "idempotency_key" => set(&mut request.idempotency_key, value.free_text()),
        "attempt" => set(&mut request.attempt, value.whole_32()),
        "id" => set(&mut request.id, value.free_text()),
        "service" if event.service.is_empty() => event.service = value.name().unwrap_or_default(),
        "tenant" if event.tenant.is_empty() => event.tenant = value.name().unwrap_or_default(),
        "region" => set(&mut event.region, value.name()),
        "isolate" | "isolate_id" => set(&mut event.isolate, value.name()),
        "endpoint" => set(&mut event.endpoint, value.free_text()),
        "status" => set(&mut event.status, value.status()),
        "latency_ms" => set(&mut event.latency_ms, latency(value)),
        _ => {}
    }
}

/// The outcome, where the name is that of it and the value one of its words.
pub(super) fn outcome(name: &str, value: &Value<'_>) -> Option<RecoveryOutcome> {
    if !matches!(name, "recovery" | "recovery.outcome" | "recovery_outcome") {
        return None;
    }
    match value {
        Value::Text(word) => RecoveryOutcome::named(word),
        _ => None,
    }
}

fn token<'a>(facts: &mut TokenFacts<'a>, name: &str, value: &Value<'a>) {
    match name {
        "token_scope" if facts.scopes.is_empty() => facts.scopes = value.scopes(),
        "token_id_hash" => set(&mut facts.id_hash, value.name()),
        "token_valid" => set(&mut facts.valid, value.truth()),
        _ => {}
    }
}

fn latency(value: &Value<'_>) -> Option<f64> {
    value.number().filter(|millis| (0.0..=LATENCY_MS_MAX).contains(millis))
}

/// Fills what is not known yet.
pub(super) fn set<T>(slot: &mut Option<T>, value: Option<T>) {
    if slot.is_none() {
        *slot = value;
    }
}
