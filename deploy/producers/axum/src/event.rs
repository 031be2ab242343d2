//! The records: `panic-event.v1`, written from what the hook, the request and the application said, and
//! `request-sample.v1`, which is the same without a panic.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::facts::Noted;
use crate::hook::Report;
use crate::layer::Seen;

/// Longest message, in bytes: room for any real one; std prints whole inputs in some.
const MESSAGE_BYTES_MAX: usize = 8 << 10;

/// Longest header value that is copied, in bytes; the longest agent names are some hundred.
const HEADER_BYTES_MAX: usize = 1 << 10;

/// Longest path that is copied, in bytes.
const PATH_BYTES_MAX: usize = 8 << 10;

/// Most pairs of a query: as many as panicsift reads.
const QUERY_PAIRS_MAX: usize = 256;

/// An event, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Key of the record: the client's address, so that a client's events stay in order. Without one, the event's id.
    pub key: String,
    /// A `panic-event.v1` object, or a `request-sample.v1` one where it was sampled.
    pub json: Vec<u8>,
}

/// How a panic ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ending {
    /// What the client got, where it is known.
    pub(crate) status: Option<u16>,
    /// A word of `recovery.outcome`.
    pub(crate) outcome: &'static str,
    /// What contained it.
    pub(crate) boundary: &'static str,
}

impl Event {
    pub(crate) fn new(report: &Report, seen: &Seen, noted: &Noted, ending: Ending) -> Self {
        let of_panic = json!({
            "handled": true,
            "panic": panic(report),
            "isolate": {"id": *PROCESS},
            "recovery": {"outcome": ending.outcome, "boundary": ending.boundary},
            "side_effects": noted.side_effects.iter().map(|(kind, n)| json!({"kind": kind, "count": n})).collect::<Value>(),
        });
        Self::of("event_id", seen, noted, ending.status, of_panic)
    }

    /// A request that did not panic: one of `one_in`.
    pub(crate) fn sample(seen: &Seen, noted: &Noted, status: u16, one_in: u32) -> Self {
        Self::of("sample_id", seen, noted, Some(status), json!({"sample_rate": one_in}))
    }

    /// The record of a request under an id of this kind, with what else is known.
    fn of(id_key: &str, seen: &Seen, noted: &Noted, status: Option<u16>, more: Value) -> Self {
        let id = next_id();
        let client = seen.client();
        let mut json = json!({
            id_key: id,
            "ts": humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
            "service": seen.settings().service,
            "release": seen.settings().release,
            "host": seen.settings().host,
            "tenant": noted.tenant,
            "endpoint": seen.route.as_ref().map(|route| format!("{} {route}", seen.method)),
            "method": seen.method.as_str(),
            "path": cut(seen.uri.path(), PATH_BYTES_MAX),
            "query": query(seen.uri.query().unwrap_or_default()),
            "status": status,
            "latency_ms": seen.started.elapsed().as_secs_f64() * 1_000.0,
            "client": {"ip": client.map(|ip| ip.to_string()), "user_agent": seen.header("user-agent").map(header)},
            "token": noted.token.as_ref().map(|token| {
                json!({"id_hash": token.id_hash, "scope": token.scopes, "valid": token.is_valid})
            }),
            "request": request(seen, noted),
            "trace": trace(seen.header("traceparent").unwrap_or_default()),
        });
        if let (Value::Object(all), Value::Object(more)) = (&mut json, more) {
            all.extend(more);
        }
        Self { key: client.map_or(id, |ip| ip.to_string()), json: json.to_string().into_bytes() }
    }
}

/// Names this process; another one after each start.
static PROCESS: LazyLock<String> = LazyLock::new(|| {
    // Each `RandomState` has keys of its own from the system's randomness; 128 bits collide never.
    let random = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", random(), random())
});

fn next_id() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    format!("{}-{}", *PROCESS, COUNT.fetch_add(1, Ordering::Relaxed))
}

fn panic(report: &Report) -> Value {
    let place = report.place.as_ref();
    json!({
        "message": cut(&report.message, MESSAGE_BYTES_MAX),
        "file": place.map(|(file, ..)| file),
        "line": place.map(|(_, line, _)| line),
        "column": place.map(|(.., column)| column),
        "thread": report.thread,
        "backtrace": report.frames,
    })
}

fn request(seen: &Seen, noted: &Noted) -> Value {
    let body = seen.body.taken();
    let announced = seen.header("content-length").and_then(|length| length.parse().ok());
    let length: Option<u64> = announced.or(body.is_whole.then_some(body.n_bytes));
    let is_cut = length.is_none_or(|length| u64::try_from(body.bytes.len()).is_ok_and(|kept| kept < length));
    let (payload, encoding) = payload(body.bytes, is_cut);
    json!({
        "id": seen.header("x-request-id").map(header),
        "content_type": seen.header("content-type").map(header),
        "content_length": length,
        "payload": payload,
        "payload_encoding": encoding,
        "payload_truncated": payload.as_ref().map(|_| is_cut),
        "idempotency_key": seen.header("idempotency-key").map(header),
        "attempt": noted.attempt,
    })
}

/// The body as text where it is text, else as base64; nothing where nothing of it was kept.
fn payload(mut bytes: Vec<u8>, is_cut: bool) -> (Option<String>, Option<&'static str>) {
    if let Err(error) = std::str::from_utf8(&bytes)
        && is_cut
        && error.error_len().is_none()
    {
        // The cut went through a letter.
        bytes.truncate(error.valid_up_to());
    }
    match String::from_utf8(bytes) {
        Ok(text) if text.is_empty() && is_cut => (None, None),
        Ok(text) => (Some(text), Some("utf8")),
        Err(error) => (Some(STANDARD.encode(error.as_bytes())), Some("base64")),
    }
}

fn query(query: &str) -> Value {
    form_urlencoded::parse(query.as_bytes()).take(QUERY_PAIRS_MAX).map(|(name, value)| json!([name, value])).collect()
}

/// `00-TRACE-SPAN-FLAGS`.
fn trace(parent: &str) -> Option<Value> {
    let mut parts = parent.split('-').skip(1);
    let (trace, span) = (parts.next()?, parts.next()?);
    (trace.len() == 32 && span.len() == 16).then(|| json!({"trace_id": trace, "span_id": span}))
}

fn header(value: &str) -> &str {
    cut(value, HEADER_BYTES_MAX)
}

fn cut(text: &str, bytes_max: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes_max)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_text_where_it_can_be() {
        let check = |bytes: &[u8], is_cut, expected: (Option<&str>, Option<&'static str>)| {
            assert_eq!(payload(bytes.to_vec(), is_cut), (expected.0.map(str::to_owned), expected.1), "{bytes:?}");
        };
        check(b"", true, (None, None));
        check(b"", false, (Some(""), Some("utf8")));
        check(b"{}", false, (Some("{}"), Some("utf8")));
        check("Stühle".as_bytes(), false, (Some("Stühle"), Some("utf8")));
        check(b"St\xc3", true, (Some("St"), Some("utf8")));
        check(b"St\xc3", false, (Some("U3TD"), Some("base64")));
        check(b"\xff\xfe", true, (Some("//4="), Some("base64")));
        check(b"\xc3", true, (None, None));
    }

    #[test]
    fn a_trace_is_taken_from_a_whole_header_only() {
        let whole = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(trace(whole).unwrap()["span_id"], "b7ad6b7169203331");
        for broken in ["", "00", "00-short-b7ad6b7169203331-01", "00-0af7651916cd43dd8448eb211c80319c"] {
            assert_eq!(trace(broken), None, "{broken}");
        }
    }

    #[test]
    fn ids_are_unique_and_texts_are_cut_between_letters() {
        assert_ne!(next_id(), next_id());
        assert_eq!((cut("aü", 2), cut("aü", 3), cut("", 3)), ("a", "aü", ""));
        assert_eq!(query("a=1&a=%32&%E2%98%83"), json!([["a", "1"], ["a", "2"], ["☃", ""]]));
        assert_eq!(query(&"a&".repeat(1_000)).as_array().unwrap().len(), QUERY_PAIRS_MAX);
    }
}
