//! `CloudEvents` 1.0 around any carrier.
//!
//! Reads the two modes of the Kafka binding. Binary: the headers `ce_specversion`, `ce_id`, `ce_source`, `ce_time`, and the
//! record's bytes are the data. Structured: JSON with `specversion` at its top, or `content-type`
//! `application/cloudevents+json`; a JSON array of them is a batch. What is within is read like a record of the same
//! topic: by its header `panicsift-carrier`, by the topic's carrier, by `datacontenttype`, by its content.
//!
//! `data` that is a text is that text's content; any other JSON is read as it stands; `data_base64` is decoded first.
//! An event within that has no id is named by `source` and `id`, which are unique together by the standard; one without
//! a time takes `time`. Without `data` there is nothing to tell: silent. A `CloudEvent` within a `CloudEvent` is
//! refused: one level is enough for everybody, and the sender must not choose how deep the reader goes.
//!
//! Limits: [`BATCH_MAX`]. Cost: a look at the first keys of a record that is none; one pass over the JSON of one that is,
//! a copy of escaped or base64 data.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::found::Around;
use super::loose::{self, Value, object};
use super::{Decoded, Feed, Piece, Refusal, decode_carrier, detect};
use crate::pipeline::event::{Header, Millis, RawRecord, Reason};

/// Most events of a batch.
const BATCH_MAX: usize = 1_000;

/// Reads a record that is a `CloudEvent` or a batch of them; `None` for any other.
pub(super) fn unwrapped<'a>(feed: &Feed, record: RawRecord<'a>) -> Option<Decoded<'a>> {
    let media_type = record.header("content-type").unwrap_or_default();
    let is_structured =
        media_type.trim_start().starts_with("application/cloudevents") || detect::is_cloud_event(record.payload);
    if let Some(version) = record.header("ce_specversion") {
        if is_structured {
            return Some(refused(feed, nested()));
        }
        if let Err(refusal) = version_1(version) {
            return Some(refused(feed, refusal));
        }
        let time = record.header("ce_time").and_then(Millis::parse);
        let around = around(record.header("ce_source"), record.header("ce_id"), time);
        return Some(decode_carrier(feed, record, record.payload, around));
    }
    if !is_structured {
        return None;
    }
    Some(structured(feed, record).unwrap_or_else(|refusal| refused(feed, refusal)))
}

fn refusal(reason: Reason, detail: &str) -> Refusal {
    Refusal { reason, detail: detail.to_owned() }
}

fn nested() -> Refusal {
    refusal(Reason::UnsupportedEncoding, "the record: a CloudEvent within a CloudEvent is not read")
}

fn refused<'a>(feed: &Feed, refusal: Refusal) -> Decoded<'a> {
    Decoded { carrier: feed.carrier.unwrap_or_default(), pieces: Vec::new(), refusal: Some(refusal) }
}

fn version_1(version: &str) -> Result<(), Refusal> {
    if version == "1.0" { Ok(()) } else { Err(refusal(Reason::BadValue, "specversion: 1.0 is needed")) }
}

fn around(source: Option<&str>, id: Option<&str>, time: Option<Millis>) -> Around {
    let name = id.filter(|id| !id.is_empty()).map(|id| format!("{}#{id}", source.unwrap_or_default()));
    Around { name, time }
}

object! {
    /// The attributes that are read.
    Wire<'a> {
        specversion: Value<'a> = "specversion",
        id: Value<'a> = "id",
        source: Value<'a> = "source",
        time: Value<'a> = "time",
        datacontenttype: Value<'a> = "datacontenttype",
        data: Raw<'a> = "data",
        data_base64: Value<'a> = "data_base64",
    }
}

/// JSON as it stands; `null` counts as absent.
#[derive(Debug, Default)]
struct Raw<'a>(Option<&'a str>);

impl<'de: 'a, 'a> Deserialize<'de> for Raw<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&'de RawValue>::deserialize(deserializer)?.get();
        Ok(Self(Some(raw).filter(|raw| *raw != "null")))
    }
}

/// One event, or a batch of them.
fn structured<'a>(feed: &Feed, record: RawRecord<'a>) -> Result<Decoded<'a>, Refusal> {
    let text = std::str::from_utf8(record.payload).map_err(|error| Refusal {
        reason: Reason::NotUtf8,
        detail: format!("the record: UTF-8 is needed, and it breaks after {} bytes", error.valid_up_to()),
    })?;
    let text = text.trim_start_matches('\u{feff}').trim_ascii_start();
    if !text.starts_with('[') {
        return one(feed, record, text);
    }
    let events: Vec<&'a RawValue> = serde_json::from_str(text).map_err(|error| loose::explained(&error, text))?;
    let mut all = Decoded { carrier: feed.carrier.unwrap_or_default(), pieces: Vec::new(), refusal: None };
    for (number, event) in events.into_iter().enumerate() {
        if number == BATCH_MAX {
            all.refusal.get_or_insert(refusal(Reason::TooManyNodes, "the batch: at most 1000 events are read"));
            break;
        }
        let decoded = one(feed, record, event.get()).unwrap_or_else(|refusal| refused(feed, refusal));
        if number == 0 {
            all.carrier = decoded.carrier;
        }
        all.pieces.extend(decoded.pieces);
        if let Some(refusal) = decoded.refusal {
            let detail = format!("event {number}: {}", refusal.detail);
            all.refusal.get_or_insert(Refusal { detail, ..refusal });
        }
    }
    Ok(all)
}

/// One event in structured mode.
fn one<'a>(feed: &Feed, record: RawRecord<'a>, text: &'a str) -> Result<Decoded<'a>, Refusal> {
    // Half of a surrogate pair in an attribute: the attributes are the producer's, and he is told.
    let wire: Wire<'a> = serde_json::from_str(text).map_err(|error| loose::explained(&error, text))?;
    if wire.is_wrong {
        return Err(refusal(Reason::WrongType, "the record: an object is needed"));
    }
    let Value::Text(version) = &wire.specversion else {
        return Err(refusal(Reason::MissingKey, "specversion: a text is needed"));
    };
    version_1(version)?;
    let (source, id) = (wire.source.name(), wire.id.name());
    let around = around(source.as_deref(), id.as_deref(), wire.time.time());
    let inner_headers = headers(record, wire.datacontenttype.name());
    let inner = RawRecord { headers: &inner_headers, ..record };
    match data(&wire)? {
        None => Ok(Decoded { carrier: feed.carrier.unwrap_or_default(), pieces: Vec::new(), refusal: None }),
        Some(Cow::Borrowed(bytes)) => within(feed, inner, bytes, around),
        Some(Cow::Owned(bytes)) => {
            let decoded = within(feed, inner, &bytes, around)?;
            let pieces = decoded.pieces.into_iter().map(Piece::into_owned).collect();
            Ok(Decoded { carrier: decoded.carrier, pieces, refusal: decoded.refusal })
        }
    }
}

/// Reads what was within.
fn within<'a>(feed: &Feed, inner: RawRecord<'_>, bytes: &'a [u8], around: Around) -> Result<Decoded<'a>, Refusal> {
    let is_named = inner.header("content-type").is_some_and(|name| name.starts_with("application/cloudevents"));
    if is_named || detect::is_cloud_event(bytes) {
        return Err(nested());
    }
    Ok(decode_carrier(feed, inner, bytes, around))
}

/// The headers that hold for what is within: the outer ones, with its own content type.
fn headers(record: RawRecord<'_>, media_type: Option<Cow<'_, str>>) -> Vec<Header> {
    let outer = record.headers.iter().filter(|header| header.name == "panicsift-carrier").cloned();
    let own = media_type.map(|name| Header { name: "content-type".to_owned(), value: name.into_owned() });
    outer.chain(own).collect()
}

/// The bytes of the data.
fn data<'a>(wire: &Wire<'a>) -> Result<Option<Cow<'a, [u8]>>, Refusal> {
    match (&wire.data, &wire.data_base64) {
        (Raw(None), Value::Nothing) => Ok(None),
        (Raw(None), Value::Text(text)) => {
            let bytes = STANDARD.decode(text.as_bytes());
            let bytes = bytes.map_err(|_| refusal(Reason::BadValue, "data_base64: standard base64 is needed"))?;
            Ok(Some(Cow::Owned(bytes)))
        }
        (Raw(None), _) => Err(refusal(Reason::WrongType, "data_base64: a text is needed")),
        (Raw(Some(_)), Value::Text(_)) => Err(refusal(Reason::BadValue, "data_base64: not needed beside data")),
        (Raw(Some(raw)), _) if !raw.starts_with('"') => Ok(Some(Cow::Borrowed(raw.as_bytes()))),
        (Raw(Some(raw)), _) => {
            let text: Value<'a> = serde_json::from_str(raw)
                .or_else(|_| serde_json::from_str(&loose::mended(raw)).map(Value::into_owned))
                .map_err(|error| loose::explained(&error, raw))?;
            Ok(text.body().map(|text| match text {
                Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
                Cow::Owned(text) => Cow::Owned(text.into_bytes()),
            }))
        }
    }
}

#[cfg(test)]
mod tests;
