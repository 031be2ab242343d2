//! OpenTelemetry: logs and traces as OTLP, in Protobuf or JSON.
//!
//! Reads `ExportLogsServiceRequest` and `ExportTraceServiceRequest` (one a record, as the Collector's Kafka exporter
//! writes them; JSON also as an array of them). Gives an event for each log record and each span event that tells of a
//! Rust panic; everything else is silent. Protobuf goes through the published messages of `opentelemetry-proto`, item by
//! item; JSON through types of our own, since the published ones take neither `snake_case` keys nor a broken item among
//! sound ones, and copy every text. A test holds that both give the same events.
//!
//! **Which exceptions are panics.** Never guessed from the words of an error:
//! * the exception's type is `panic`, `PanicError`, `rust panic` or a path that ends in one (`std::panic`), or
//! * its message, its stack trace or the log's body *begins* with a panic's own first line (`panicked at FILE:L:C:`), or
//! * the fields of the tracing-panic crate are there (`panic.payload`, `panic.location`), or
//! * the producer says what became of it (`panicsift.recovery.outcome`);
//!
//! and `telemetry.sdk.language`, where it is told, is one that a Rust program can have (`rust`, and `webjs` or `nodejs`
//! for Workers): a Go panic is none.
//!
//! **Where a panic's facts stand**: on the log record or span event, then on its span (HTTP, user), then on the resource
//! (service, instance, host). Names of the semantic conventions 1.44 and the older ones (`http.method`, `http.url`,
//! `net.peer.ip`, …). `network.peer.address` is not the client's: behind a proxy it is the proxy's. What the conventions
//! have no name for is told as [`super::convention`] says. **What cannot be known**: a log record has no HTTP facts
//! unless the hook puts them there, and is not joined with its span here. The column and the line come from the text or
//! the stack trace; `code.*` counts last, since logging bridges put the log statement's own place there.
//!
//! A panic told by a log and by its span has one id when both came from the hook: trace, span, message, and the tenth of
//! a second; the first one counts. Without a trace the id is made of time, service, instance, message and place.
//!
//! | what is told | outcome |
//! |---|---|
//! | `panicsift.recovery.outcome` | that |
//! | `exception.escaped` = true, `cloudflare.outcome` = `exception` | escaped |
//! | `panicsift.handled`, `http.response.status_code` | as in `panic-event.v1` ([`super::derive_recovery`]) |
//! | severity, span status, any other outcome of Cloudflare | unknown: they say that something failed, not what became of it |
//!
//! Limits: those of [`super::loose`]; [`protobuf`] has its own. Cost: JSON one pass; Protobuf a walk over the fields, and
//! the messages of those items that hold the words of a panic.

mod exception;
mod facts;
mod json;
mod protobuf;

use super::found::Find;
use super::loose::read_mended;
use super::{Refusal, foreign};
use crate::pipeline::event::Reason;

/// Reads one record.
///
/// Errors: bytes that are neither JSON nor Protobuf; lists that are none.
pub(super) fn read<'a>(payload: &'a [u8], find: &mut Find<'_, 'a>) -> Result<(), Refusal> {
    let body = payload.strip_prefix(b"\xef\xbb\xbf").unwrap_or(payload).trim_ascii();
    let is_json = matches!(body.first(), Some(b'{' | b'['));
    // Field 1 is a line feed, so that Protobuf may look like JSON behind one.
    if !is_json || (payload.first() == Some(&0x0a) && foreign::is_protobuf(payload)) {
        return protobuf::read(payload, find);
    }
    let text = std::str::from_utf8(body).map_err(|error| Refusal {
        reason: Reason::NotUtf8,
        detail: format!("the record: UTF-8 is needed, and it breaks after {} bytes", error.valid_up_to()),
    })?;
    read_mended(text, find, json::read)
}

#[cfg(test)]
mod tests;
