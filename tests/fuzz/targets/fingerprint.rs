//! Any body under any content type has a shape, in bounded work, and the same one twice.
#![no_main]

use std::borrow::Cow;

use libfuzzer_sys::fuzz_target;
use panicsift_fuzz::pipeline::event::{PanicEvent, Payload};
use panicsift_fuzz::pipeline::fingerprint::{ShapeMemo, fingerprint};
use panicsift_fuzz::pipeline::keys::Keys;

const CONTENT_TYPES: [Option<&str>; 9] = [
    None,
    Some("application/json"),
    Some("application/x-www-form-urlencoded"),
    Some("multipart/form-data; boundary=x"),
    Some("text/csv"),
    Some("application/xml"),
    Some("application/x-ndjson"),
    Some("text/plain"),
    Some("application/octet-stream"),
];

fuzz_target!(|input: &[u8]| {
    let Some((choice, body)) = input.split_first() else { return };
    let mut event = PanicEvent::default();
    event.request.content_type = CONTENT_TYPES[usize::from(*choice) % CONTENT_TYPES.len()].map(Cow::Borrowed);
    event.request.payload = match std::str::from_utf8(body) {
        Ok(text) => Payload::Text(Cow::Borrowed(text)),
        Err(_) => Payload::Bytes(body.to_vec()),
    };
    let keys = Keys::derive(b"fuzz");
    let first = fingerprint(&keys, &mut ShapeMemo::default(), &event);
    let again = fingerprint(&keys, &mut ShapeMemo::default(), &event);
    assert_eq!(first, again);
    assert!(first.traits.fields.len() <= 64);
});
