//! What woke a Worker: a request, or something else, in the words of a trace, of Logpush and of a streaming tail.
//!
//! Reads the `event` of an item or the `info` of an onset; fills an event's request, client and route. A header that
//! reads `REDACTED` is absent. Values that make no sense (an address that is none) are absent: Cloudflare wrote them,
//! nobody would mend the record. What has no request gets a route of its own kind: `queue orders`, `scheduled`,
//! `alarm`, `email`, `rpc method`.
//!
//! Cost: one pass over the request, a second one over its headers and facts of the network.

use std::borrow::Cow;
use std::net::IpAddr;

use serde::de::{MapAccess, SeqAccess};

use super::super::field::{FreeText, cut};
use super::super::list::{Item, Items};
use super::super::reader::{self, Entry, Object, keys, text_of_raw};
use super::super::trace::Trace;
use super::super::{FREE_TEXT_BYTES_MAX, NAME_BYTES_MAX, Refusal, url};
use super::object;
use crate::pipeline::event::PanicEvent;

/// Most headers of a streamed onset that are looked at: servers take some hundred.
const HEADERS_MAX: usize = 512;

/// Most bytes of a ray id: Cloudflare's have 16 characters.
const RAY_BYTES_MAX: usize = 64;

/// What Cloudflare writes in place of what it does not show.
const REDACTED: &str = "REDACTED";

/// The `event` of an item, or the `info` of an onset, as it stands on the wire.
#[derive(Default)]
pub(in super::super) struct EventWire<'a> {
    request: RequestWire<'a>,
    response: ResponseWire,
    ray: Option<&'a str>,
    kind: Option<&'a str>,
    queue: Option<&'a str>,
    rpc_method: Option<&'a str>,
    cron: Option<&'a str>,
    mail: bool,
    scheduled: bool,
    socket: bool,
}

keys!(EventWire<'de>, "event", |wire, value| {
    "request" => value.object(&mut wire.request)?,
    "response" => value.object(&mut wire.response)?,
    "rayId" => wire.ray = value.raw()?,
    "type" => wire.kind = value.raw()?,
    "method" => wire.request.method = value.raw()?,
    "url" => wire.request.url = value.raw()?,
    "headers" => wire.request.headers = value.raw()?,
    "cf" => wire.request.cf = value.raw()?,
    "cfJson" => wire.request.cf = value.raw()?.or(wire.request.cf),
    "queue" => wire.queue = value.raw()?,
    "queueName" => wire.queue = value.raw()?.or(wire.queue),
    "rpcMethod" => wire.rpc_method = value.raw()?,
    "methodName" => wire.rpc_method = value.raw()?.or(wire.rpc_method),
    "cron" => wire.cron = value.raw()?,
    "scheduledTime" => wire.scheduled = value.raw()?.is_some(),
    "mailFrom" => wire.mail = value.raw()?.is_some(),
    "getWebSocketEvent" => wire.socket = value.raw()?.is_some(),
    "info" => value.raw()?,
    "traces" => value.raw()?,
});

#[derive(Default)]
struct RequestWire<'a> {
    method: Option<&'a str>,
    url: Option<&'a str>,
    headers: Option<&'a str>,
    cf: Option<&'a str>,
}

keys!(RequestWire<'de>, "event.request", |request, value| {
    "url" => request.url = value.raw()?,
    "method" => request.method = value.raw()?,
    "headers" => request.headers = value.raw()?,
    "cf" => request.cf = value.raw()?,
});

#[derive(Default)]
struct ResponseWire {
    status: Option<u16>,
}

keys!(ResponseWire, "event.response", |response, value| {
    "status" => response.status = value.raw()?.and_then(status),
});

/// An HTTP status, as a number or the text of one; `None` for 0, which stands for no answer.
pub(super) fn status(raw: &str) -> Option<u16> {
    raw.trim_matches('"').parse().ok().filter(|status| (100..=999).contains(status))
}

impl<'a> EventWire<'a> {
    /// Reads an `event`; of `null` nothing.
    ///
    /// Errors: anything but an object.
    pub(super) fn read(text: &'a str) -> Result<Self, Refusal> {
        let mut wire = Self::default();
        object(text, &Trace::folded(), &mut wire)?;
        Ok(wire)
    }

    /// Fills an event; gives the ray id of the request.
    pub(super) fn fill(self, event: &mut PanicEvent<'a>) -> Option<Cow<'a, str>> {
        let text = |raw: Option<&'a str>| raw.and_then(text_of_raw).map(|text| cut(text, FREE_TEXT_BYTES_MAX));
        event.endpoint = self.route();
        event.status = self.response.status;
        event.method = text(self.request.method).filter(|method| !method.is_empty());
        if let Some(url) = text(self.request.url) {
            (event.path, event.query) = (url::path(&url), url::query_of(&url));
        }
        let mut ray = self.ray.and_then(text_of_raw).and_then(ray_of);
        if let Some(headers) = self.request.headers {
            ray = ray.or(fill_headers(headers, event));
        }
        if let Some(cf) = self.request.cf {
            fill_network(cf, event);
        }
        event.request.id.clone_from(&ray);
        ray
    }

    /// The route of what is no request.
    fn route(&self) -> Option<Cow<'a, str>> {
        let named = |kind: &str, name: Option<&str>| {
            let name = name.and_then(text_of_raw).unwrap_or_default();
            cut(Cow::Owned(format!("{kind} {name}").trim_end().to_owned()), NAME_BYTES_MAX)
        };
        let kind = self.kind.and_then(text_of_raw);
        let kind = kind.as_deref().unwrap_or_default();
        Some(match kind {
            _ if self.request.url.is_some() => return None,
            _ if self.queue.is_some() => named("queue", self.queue),
            _ if self.rpc_method.is_some() => named("rpc", self.rpc_method),
            "jsrpc" => Cow::Borrowed("rpc"),
            _ if self.cron.is_some() => Cow::Borrowed("scheduled"),
            _ if self.mail => Cow::Borrowed("email"),
            _ if self.scheduled => Cow::Borrowed("alarm"),
            _ if self.socket || kind == "hibernatableWebSocket" => Cow::Borrowed("websocket"),
            _ => return None,
        })
    }
}

/// A ray id without the place of the data centre; `None` for what cannot be one.
pub(in super::super) fn ray_of(text: Cow<'_, str>) -> Option<Cow<'_, str>> {
    let end = text.find('-').unwrap_or(text.len());
    let ray = cut(text, end);
    let is_one = (1..=RAY_BYTES_MAX).contains(&ray.len()) && ray.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_one.then_some(ray)
}

#[derive(Default)]
struct HeadersWire<'a> {
    address: Option<&'a str>,
    ray: Option<&'a str>,
    agent: Option<&'a str>,
    content_type: Option<&'a str>,
    content_length: Option<&'a str>,
    idempotency_key: Option<&'a str>,
}

keys!(HeadersWire<'de>, "event.request.headers", |headers, value| {
    "cf-connecting-ip" => headers.address = value.raw()?,
    "cf-ray" => headers.ray = value.raw()?,
    "content-length" => headers.content_length = value.raw()?,
    "content-type" => headers.content_type = value.raw()?,
    "idempotency-key" => headers.idempotency_key = value.raw()?,
    "user-agent" => headers.agent = value.raw()?,
});

/// A header of a streamed onset.
#[derive(Default)]
struct HeaderWire<'a> {
    name: Option<Cow<'a, str>>,
    value: Option<&'a str>,
}

keys!(HeaderWire<'de>, "event.info.headers[]", |header, value| {
    "name" => header.name = value.leaf(FreeText)?,
    "value" => header.value = value.raw()?,
});

/// One header after another, kept where it is known.
#[derive(Clone, Copy)]
struct HeaderItem;

impl<'de> Item<'de> for HeaderItem {
    type Out = HeaderWire<'de>;
    const LIST: &'static str = "an array of objects";

    fn next<A: SeqAccess<'de>>(self, list: &mut Items<'_, '_, A>) -> Result<Option<Self::Out>, A::Error> {
        let mut header = HeaderWire::default();
        Ok(list.object(&mut header)?.then_some(header))
    }
}

/// Fills in what the headers tell; gives the ray id. Headers that cannot be read tell nothing.
fn fill_headers<'a>(headers: &'a str, event: &mut PanicEvent<'a>) -> Option<Cow<'a, str>> {
    let mut wire = HeadersWire::default();
    if headers.starts_with('[') {
        for HeaderWire { name, value } in header_list(headers) {
            let slot = match name.as_deref().unwrap_or_default() {
                name if name.eq_ignore_ascii_case("cf-connecting-ip") => &mut wire.address,
                name if name.eq_ignore_ascii_case("cf-ray") => &mut wire.ray,
                name if name.eq_ignore_ascii_case("content-length") => &mut wire.content_length,
                name if name.eq_ignore_ascii_case("content-type") => &mut wire.content_type,
                name if name.eq_ignore_ascii_case("idempotency-key") => &mut wire.idempotency_key,
                name if name.eq_ignore_ascii_case("user-agent") => &mut wire.agent,
                _ => continue,
            };
            *slot = slot.or(value);
        }
    } else {
        reader::read(headers, &Trace::folded(), &mut wire).ok()?;
    }
    let text = |raw: Option<&'a str>| {
        let text = raw.and_then(text_of_raw).filter(|text| text != REDACTED && !text.is_empty());
        text.map(|text| cut(text, FREE_TEXT_BYTES_MAX))
    };
    event.client.ip = text(wire.address).and_then(|ip| ip.parse::<IpAddr>().ok()).map(|ip| ip.to_canonical());
    event.client.user_agent = text(wire.agent);
    event.request.content_type = text(wire.content_type);
    event.request.content_length = text(wire.content_length).and_then(|length| length.parse().ok());
    event.request.idempotency_key = text(wire.idempotency_key);
    text(wire.ray).and_then(ray_of)
}

fn header_list(headers: &str) -> Vec<HeaderWire<'_>> {
    let trace = Trace::folded();
    let seed = super::super::list::ListSeed { trace: &trace, item: HeaderItem, n_max: HEADERS_MAX };
    let mut deserializer = serde_json::Deserializer::from_str(headers);
    let read = serde::de::DeserializeSeed::deserialize(seed, &mut deserializer);
    read.ok().flatten().unwrap_or_default()
}

#[derive(Default)]
struct NetworkWire<'a> {
    asn: Option<&'a str>,
    country: Option<&'a str>,
    colo: Option<&'a str>,
}

keys!(NetworkWire<'de>, "event.request.cf", |network, value| {
    "asn" => network.asn = value.raw()?,
    "country" => network.country = value.raw()?,
    "colo" => network.colo = value.raw()?,
});

/// Fills in the network that Cloudflare saw. A streamed onset has the facts as an object, or as the text of one.
fn fill_network<'a>(cf: &'a str, event: &mut PanicEvent<'a>) {
    let text = if cf.starts_with('"') { text_of_raw(cf).unwrap_or_default() } else { Cow::Borrowed(cf) };
    let mut wire = NetworkWire::default();
    if reader::read(&text, &Trace::folded(), &mut wire).is_err() {
        return;
    }
    event.client.asn = wire.asn.and_then(asn);
    event.client.country = wire.country.and_then(text_of_raw).and_then(|country| self::country(&country));
    event.region = wire
        .colo
        .and_then(text_of_raw)
        .filter(|colo| colo.len() <= NAME_BYTES_MAX)
        .map(|colo| Cow::Owned(colo.into_owned()));
}

/// The number of an autonomous system; 0 is none.
pub(in super::super) fn asn(raw: &str) -> Option<u32> {
    raw.trim_matches('"').parse().ok().filter(|asn| *asn != 0)
}

/// A country by its two letters; Cloudflare's `XX` (unknown) and `T1` (Tor) are none.
pub(in super::super) fn country(text: &str) -> Option<[u8; 2]> {
    let [a, b] = <[u8; 2]>::try_from(text.as_bytes()).ok()?.map(|byte| byte.to_ascii_uppercase());
    let is_one = a.is_ascii_uppercase() && b.is_ascii_uppercase() && (a, b) != (b'X', b'X');
    is_one.then_some([a, b])
}
