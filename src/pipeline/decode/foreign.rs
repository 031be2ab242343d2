//! What stands around the JSON, and what is no JSON at all: framing, other encodings, and a parser's fault in our words.
//!
//! Reads the raw bytes; gives the JSON's text or the refusal that names what was found instead. Never guesses: an
//! encoding is named when its mark is there or when the bytes walk to their end as that encoding, else the record is
//! `not_utf8` or `not_json`. Cost: one UTF-8 check for what decodes; the walks below run only over refused records.

use serde::de::IgnoredAny;

use super::trace::Trace;
use super::{DEPTH_MAX, Refusal};
use crate::pipeline::event::Reason;

/// Bytes of Confluent's wire framing: a zero and a big-endian schema id.
const FRAMING_BYTES: usize = 5;

/// Marks at the first bytes, and what they stand for.
const MARKS: [(&[u8], &str); 6] = [
    (b"Obj\x01", "an Avro object container"),
    (b"\xc3\x01", "Avro's single-object encoding"),
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
];

/// The text of the JSON object in a record: framing and a byte order mark taken off.
pub(super) fn json_text(payload: &[u8]) -> Result<&str, Refusal> {
    text_from(payload, b"{")
}

/// The same of a record that may hold an array, too.
pub(super) fn json_items(payload: &[u8]) -> Result<&str, Refusal> {
    text_from(payload, b"{[")
}

/// The text of JSON that begins with one of `openings`.
fn text_from<'a>(payload: &'a [u8], openings: &[u8]) -> Result<&'a str, Refusal> {
    let (schema, body) = unframe(payload);
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    match (body.trim_ascii_start().first(), schema) {
        (Some(opening), _) if openings.contains(opening) => {
            std::str::from_utf8(body).map_err(|error| not_utf8(error.valid_up_to()))
        }
        (None, _) => refuse(Reason::Empty, "the record: it has no bytes or white space alone"),
        (_, Some(schema)) => Err(framed(schema, body)),
        (Some(_), None) => Err(no_object(body)),
    }
}

/// The schema id and the body, where the record has Confluent's framing.
fn unframe(payload: &[u8]) -> (Option<u32>, &[u8]) {
    match payload.split_first_chunk::<FRAMING_BYTES>() {
        Some(([0, a, b, c, d], body)) => (Some(u32::from_be_bytes([*a, *b, *c, *d])), body),
        _ => (None, payload),
    }
}

fn refuse<T>(reason: Reason, detail: &str) -> Result<T, Refusal> {
    Err(Refusal { reason, detail: detail.to_owned() })
}

fn not_utf8(valid_up_to: usize) -> Refusal {
    let detail = format!("the record: UTF-8 is needed, and it breaks after {valid_up_to} bytes");
    Refusal { reason: Reason::NotUtf8, detail }
}

/// A framed record whose body is no JSON object. Confluent's Protobuf body begins with the message's index, most often
/// a single zero; what does not walk as Protobuf is taken for Avro, which has no mark of its own.
fn framed(schema: u32, body: &[u8]) -> Refusal {
    let is_protobuf = body.split_first().is_some_and(|(index, message)| *index == 0 && is_protobuf(message));
    let name = if is_protobuf { "Protobuf" } else { "Avro (or Protobuf)" };
    let detail = format!(
        "the record: JSON is needed, found Confluent framing with schema id {schema} and a body that looks like {name}"
    );
    Refusal { reason: Reason::UnsupportedEncoding, detail }
}

/// A record that does not begin with `{`.
fn no_object(body: &[u8]) -> Refusal {
    let unsupported = |name: &str| Refusal {
        reason: Reason::UnsupportedEncoding,
        detail: format!("the record: JSON is needed, found {name}"),
    };
    if let Some((_, name)) = MARKS.iter().find(|(mark, _)| body.starts_with(mark)) {
        return unsupported(name);
    }
    let is_binary = body.iter().any(|byte| byte.is_ascii_control() && !byte.is_ascii_whitespace());
    if is_binary && is_protobuf(body) {
        return unsupported("what looks like Protobuf");
    }
    let text = match std::str::from_utf8(body) {
        Ok(text) => text,
        Err(error) => return not_utf8(error.valid_up_to()),
    };
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(_) => Refusal {
            reason: Reason::WrongType,
            detail: format!("the record: an object is needed, found {}", json_type(text)),
        },
        Err(_) => Refusal { reason: Reason::NotJson, detail: "the record: a JSON object is needed".to_owned() },
    }
}

fn json_type(text: &str) -> &'static str {
    match text.trim_ascii_start().as_bytes().first() {
        Some(b'[') => "an array",
        Some(b'"') => "a text",
        Some(b't' | b'f') => "a truth value",
        Some(b'n') => "null",
        _ => "a number",
    }
}

/// Whether the bytes walk to their end as Protobuf fields, one of which has a length. Text hardly ever does: its
/// letters are tags of groups or of field types that do not exist, or lengths beyond its end.
pub(super) fn is_protobuf(mut bytes: &[u8]) -> bool {
    let mut has_length = false;
    while !bytes.is_empty() {
        let Some((tag, rest)) = varint(bytes) else { return false };
        if tag >> 3 == 0 {
            return false;
        }
        let rest = match tag & 7 {
            0 => varint(rest).map(|(_, rest)| rest),
            1 => rest.get(8..),
            2 => varint(rest).and_then(|(length, rest)| {
                has_length = true;
                usize::try_from(length).ok().and_then(|length| rest.get(length..))
            }),
            5 => rest.get(4..),
            _ => None,
        };
        let Some(rest) = rest else { return false };
        bytes = rest;
    }
    has_length
}

/// A variable-length number of at most ten bytes, and what follows it.
pub(super) fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let end = bytes.iter().take(10).position(|byte| byte & 0x80 == 0)?;
    let (number, rest) = bytes.split_at_checked(end + 1)?;
    let value = number.iter().rev().fold(0_u64, |value, byte| (value << 7) | u64::from(byte & 0x7f));
    Some((value, rest))
}

/// A parser's fault in our words. The parser's own words are used where they are fixed ones (syntax), never where they
/// could quote the record.
pub(super) fn explain(error: &serde_json::Error, trace: &Trace, text: &str) -> Refusal {
    if let Some(refusal) = trace.take_refusal() {
        return refusal;
    }
    let path = trace.path();
    let words = error.to_string();
    if words.starts_with("number out of range") {
        return Refusal { reason: Reason::BadValue, detail: format!("{path}: a number within range is needed") };
    }
    if words.starts_with("recursion limit") {
        return Refusal { reason: Reason::TooDeep, detail: format!("{path}: at most {DEPTH_MAX} levels are read") };
    }
    if is_near_nan(error, text) {
        let detail = format!("{path}: a number is needed; NaN and Infinity are not JSON");
        return Refusal { reason: Reason::NotJson, detail };
    }
    let detail = if error.is_data() {
        format!("{path}: JSON breaks at line {} column {}", error.line(), error.column())
    } else {
        format!("{path}: JSON breaks: {words}")
    };
    Refusal { reason: Reason::NotJson, detail }
}

/// Whether the parser stopped at half of a surrogate pair, which it does not take in texts.
pub(super) fn is_lone_surrogate(error: &serde_json::Error) -> bool {
    let words = error.to_string();
    error.is_syntax() && (words.starts_with("lone leading surrogate") || words.starts_with("unexpected end of hex"))
}

/// Whether the parser stopped at a word for a number that JSON does not have.
fn is_near_nan(error: &serde_json::Error, text: &str) -> bool {
    /// Longest such word with its sign.
    const WORD_BYTES_MAX: usize = 9;
    let Some(line) = text.as_bytes().split(|byte| *byte == b'\n').nth(error.line().saturating_sub(1)) else {
        return false;
    };
    let (before, after) = line.split_at_checked(error.column().saturating_sub(1)).unwrap_or((line, &[]));
    let is_word = |byte: &&u8| byte.is_ascii_alphabetic() || matches!(byte, b'-' | b'+');
    let head = before.iter().rev().take(WORD_BYTES_MAX).take_while(is_word).count();
    let tail = after.iter().take(WORD_BYTES_MAX).take_while(is_word);
    let word: String =
        before.iter().skip(before.len() - head).chain(tail).map(|byte| char::from(byte.to_ascii_lowercase())).collect();
    matches!(word.trim_start_matches(['-', '+']), "nan" | "inf" | "infinity")
}
