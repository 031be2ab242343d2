//! Cloudflare Logpush, data set `http_requests`: it tells of no panic, but of who sent the request that met one.
//!
//! Reads a record, an array or a line each; gives a [`Piece::Request`] under the request's ray id. Times come in the
//! units that Logpush can be asked for (RFC 3339, seconds, milliseconds, nanoseconds) and are told by their size.
//! JA3, JA4, bot and firewall scores are not used.
//!
//! A subrequest that a Worker makes has a ray id of its own, and its parent's in `ParentRayID`. The parent's is no
//! key: the log tells of another request than the one that panicked, with another path and status, and its client may
//! be the Worker. The parent has a log of its own. A panic within the subrequest's Worker finds the subrequest's log.
//!
//! Never: a refusal for a fact that makes no sense; it is absent. Limits: those of [`items`]. Cost: one pass.

use std::borrow::Cow;
use std::net::IpAddr;

use serde::de::MapAccess;

use super::field::{FreeText, Name};
use super::found::Find;
use super::reader::{self, Entry, Object, keys, text_of_raw};
use super::tail::{Stamp, asn, country, ray_of};
use super::trace::Trace;
use super::{Piece, Refusal, RequestFacts, event_time, foreign, items, url};
use crate::pipeline::event::{Client, Millis, Reason};

/// A request's log as it stands on the wire.
#[derive(Default)]
struct RequestWire<'a> {
    ray: Option<Cow<'a, str>>,
    address: Option<&'a str>,
    asn: Option<&'a str>,
    country: Option<&'a str>,
    method: Option<Cow<'a, str>>,
    path: Option<Cow<'a, str>>,
    target: Option<Cow<'a, str>>,
    agent: Option<Cow<'a, str>>,
    status: Option<&'a str>,
    start: Option<Millis>,
    end: Option<Millis>,
}

keys!(RequestWire<'de>, "", |wire, value| {
    "RayID" => wire.ray = value.leaf(Name)?,
    "ClientIP" => wire.address = value.raw()?,
    "ClientASN" => wire.asn = value.raw()?,
    "ClientCountry" => wire.country = value.raw()?,
    "ClientRequestMethod" => wire.method = value.leaf(FreeText)?,
    "ClientRequestPath" => wire.path = value.leaf(FreeText)?,
    "ClientRequestURI" => wire.target = value.leaf(FreeText)?,
    "ClientRequestUserAgent" => wire.agent = value.leaf(FreeText)?,
    "EdgeResponseStatus" => wire.status = value.raw()?,
    "EdgeStartTimestamp" => wire.start = value.leaf(Stamp)?.flatten(),
    "EdgeEndTimestamp" => wire.end = value.leaf(Stamp)?.flatten(),
});

/// Reads one record.
///
/// Errors: what is no JSON; a log without a ray id, which nothing can be joined with, or without a time.
pub(super) fn read<'a>(payload: &'a [u8], find: &mut Find<'_, 'a>) -> Result<(), Refusal> {
    items::each(payload, find, request)
}

fn request<'a>(text: &'a str, find: &mut Find<'_, 'a>) -> Result<(), Refusal> {
    let missing = |detail: &str| Refusal { reason: Reason::MissingKey, detail: detail.to_owned() };
    let wire = wire(text)?;
    let ray = wire.ray.filter(|ray| !ray.is_empty()).ok_or_else(|| missing("RayID: a text is needed"))?;
    let ray = ray_of(ray).ok_or_else(|| Refusal {
        reason: Reason::BadValue,
        detail: "RayID: letters and digits are needed, at most 64".to_owned(),
    })?;
    let broker_time = find.record().broker_time;
    let sent_at = wire.start.or(wire.end).or(broker_time);
    let sent_at = sent_at.ok_or_else(|| missing("EdgeStartTimestamp: neither it nor its record has a time"))?;
    let (time, _) = event_time(sent_at, broker_time);
    let word = |text: Option<Cow<'a, str>>| text.filter(|text| !text.is_empty());
    let address = wire.address.and_then(text_of_raw).and_then(|ip| ip.parse::<IpAddr>().ok());
    let status = wire.status.and_then(|status| status.trim_matches('"').parse().ok());
    let facts = RequestFacts {
        time,
        client: Client {
            ip: address.map(|ip| ip.to_canonical()),
            user_agent: word(wire.agent),
            asn: wire.asn.and_then(asn),
            country: wire.country.and_then(text_of_raw).and_then(|text| country(&text)),
        },
        method: word(wire.method),
        path: word(wire.path).or_else(|| word(wire.target).and_then(|target| url::path(&target))),
        status: status.filter(|status| (100..=999).contains(status)),
    };
    find.piece(Piece::Request { ray, facts });
    Ok(())
}

/// What the client wrote may have half a character in it: then it is read once more, as leniently as an event.
fn wire(text: &str) -> Result<RequestWire<'_>, Refusal> {
    let mut trace = Trace::folded();
    let mut wire = RequestWire::default();
    let mut read = reader::read(text, &trace, &mut wire);
    if read.as_ref().is_err_and(foreign::is_lone_surrogate) {
        (trace, wire) = (Trace::folded_and_lenient(), RequestWire::default());
        read = reader::read(text, &trace, &mut wire);
    }
    read.map_err(|error| foreign::explain(&error, &trace, text))?;
    Ok(wire)
}

#[cfg(test)]
mod tests;
