//! Sentry: events, and envelopes around them.
//!
//! Reads what the Rust SDK sends (and what a JavaScript SDK sends for a Rust Worker): one event, an array of them, or an
//! envelope: a line of headers, then items, each a line of headers and its bytes, as many as `length` says or up to the
//! line's end. Items that are no event (attachments, sessions, transactions, logs, client reports, …) are passed over.
//! Gives one panic an event: the newest value of `exception.values` whose mechanism or type is `panic`, whose type is
//! `PanicError`, or whose text is a panic's own (`Rust panic: panicked at …`). Any other event is silent.
//!
//! **What a stock event can say**: id, time, message, frames, release, host (`server_name`), method, URL, query, headers,
//! trace id. The address stands in `user.ip_address` or, from sentry-actix, in `request.env.REMOTE_ADDR`; the body in
//! `request.data`, again only from sentry-actix. **What it cannot**: the token, the side effects, the status (but for
//! `contexts.response.status_code`), and the panic's column. It has no location: file and line are those of the frame
//! that [`super::site`] finds. A producer tells the rest as [`super::convention`] says.
//!
//! The service is, in this order: the tag `service`, the name in `release` (`name@version`), the topic's.
//!
//! | what the event says | outcome |
//! |---|---|
//! | `contexts.panicsift.recovery_outcome` (or the tag, or `extra`) | that |
//! | `contexts.panicsift.handled`, a status | as in `panic-event.v1` ([`super::derive_recovery`]) |
//! | `mechanism.handled`, whatever it is | unknown: the hook runs before anybody can catch |
//!
//! Limits: [`ITEMS_MAX`] items. Cost: one pass over the JSON; items that are passed over by their length are not read.

mod event;

use serde_json::value::RawValue;

use self::event::read_event;
use super::found::Find;
use super::loose::{self, Value, object, read_mended};
use super::{Refusal, foreign};
use crate::pipeline::event::{Millis, Reason};

/// Most items of an envelope, and most events of an array. Relay takes 100 sessions and one event an envelope.
const ITEMS_MAX: usize = 1_000;

/// What an envelope says of its event.
#[derive(Debug, Clone, Copy, Default)]
struct Around {
    sent_at: Option<Millis>,
}

/// Reads one record.
///
/// Errors: a record that is neither an event nor an envelope.
pub(super) fn read<'a>(payload: &'a [u8], find: &mut Find<'_, 'a>) -> Result<(), Refusal> {
    let body = payload.strip_prefix(b"\xef\xbb\xbf").unwrap_or(payload);
    let (head, rest) = line(body);
    if let Some(around) = envelope_headers(head, rest) {
        items(around, rest, find);
        return Ok(());
    }
    match body.trim_ascii_start().first() {
        Some(b'[') => array(foreign_text(body)?, find),
        _ => read_mended(foreign::json_text(payload)?, find, read_event),
    }
}

fn foreign_text(body: &[u8]) -> Result<&str, Refusal> {
    std::str::from_utf8(body).map_err(|error| Refusal {
        reason: Reason::NotUtf8,
        detail: format!("the record: UTF-8 is needed, and it breaks after {} bytes", error.valid_up_to()),
    })
}

/// The first line, and what follows it.
fn line(bytes: &[u8]) -> (&[u8], &[u8]) {
    match bytes.iter().position(|byte| *byte == b'\n') {
        Some(at) => {
            bytes.split_at_checked(at).map_or((bytes, &[]), |(line, rest)| (line, rest.get(1..).unwrap_or(&[])))
        }
        None => (bytes, &[]),
    }
}

object! {
    /// The headers of an envelope.
    EnvelopeHeaders<'a> {
        sent_at: Value<'a> = "sent_at",
    }
}

/// The headers, where the record is an envelope: its first line is an object by itself, and something follows.
fn envelope_headers(head: &[u8], rest: &[u8]) -> Option<Around> {
    if rest.trim_ascii().is_empty() || !head.trim_ascii().ends_with(b"}") {
        return None;
    }
    let headers: EnvelopeHeaders<'_> = serde_json::from_slice(head).ok()?;
    (!headers.is_wrong).then(|| Around { sent_at: headers.sent_at.time() })
}

object! {
    /// The headers of an item.
    ItemHeaders<'a> {
        kind: Value<'a> = "type",
        length: Value<'a> = "length",
    }
}

/// Reads the items of an envelope. An item that cannot be read ends it where its end is not known.
fn items<'a>(around: Around, mut rest: &'a [u8], find: &mut Find<'_, 'a>) {
    for number in 0..=ITEMS_MAX {
        rest = rest.trim_ascii_start();
        if rest.is_empty() {
            return;
        }
        if number == ITEMS_MAX {
            return find.refuse_item(number, refusal(Reason::TooManyNodes, "too many items in an envelope"));
        }
        let (head, after) = line(rest);
        let headers = match serde_json::from_slice::<ItemHeaders<'_>>(head) {
            Ok(headers) if !headers.is_wrong => headers,
            _ => {
                return find.refuse_item(
                    number,
                    refusal(Reason::NotJson, "the item's headers: a line with a JSON object is needed"),
                );
            }
        };
        let (item, after) = match headers.length {
            Value::Nothing => line(after),
            length => {
                let n_bytes = length.whole().and_then(|length| usize::try_from(length).ok());
                let Some(parts) = n_bytes.and_then(|n_bytes| after.split_at_checked(n_bytes)) else {
                    return find.refuse_item(
                        number,
                        refusal(Reason::BadValue, "length: a number of bytes that the envelope has is needed"),
                    );
                };
                parts
            }
        };
        rest = after;
        if matches!(&headers.kind, Value::Text(kind) if kind == "event")
            && let Err(refusal) = item_event(around, item, find)
        {
            find.refuse_item(number, refusal);
        }
    }
}

fn item_event<'a>(around: Around, item: &'a [u8], find: &mut Find<'_, 'a>) -> Result<(), Refusal> {
    let text = foreign::json_text(item)?;
    find.set_time_around(around.sent_at);
    read_mended(text, find, read_event)
}

/// An array of events, as a dump of a topic has them.
fn array<'a>(text: &'a str, find: &mut Find<'_, 'a>) -> Result<(), Refusal> {
    let list: Vec<&'a RawValue> = serde_json::from_str(text).map_err(|error| loose::explained(&error, text))?;
    for (number, item) in list.into_iter().enumerate() {
        if number == ITEMS_MAX {
            find.refuse_item(number, refusal(Reason::TooManyNodes, "too many events in an array"));
            break;
        }
        if let Err(refusal) = read_mended(item.get(), find, read_event) {
            find.refuse_item(number, refusal);
        }
    }
    Ok(())
}

fn refusal(reason: Reason, detail: &str) -> Refusal {
    Refusal { reason, detail: detail.to_owned() }
}

#[cfg(test)]
mod tests;
