//! Which format a body is: what its content type says, checked against what stands there.
//!
//! The declared format wins where the body can be read as it at all; otherwise the body decides and the difference
//! is told. Reads at most the first 1,024 bytes beside one UTF-8 check. No content type, `text/plain` and
//! `application/octet-stream` declare nothing.

use super::Format;

/// Bytes that are looked at to tell a text format.
const LOOK_BYTES_MAX: usize = 1024;

/// The format a content type names; `None` when it names none that has a structure of its own.
pub(super) fn declared(content_type: &str) -> Option<Format> {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let (kind, subtype) = essence.split_once('/')?;
    let is = |name: &str| subtype.eq_ignore_ascii_case(name);
    let ends_in = |suffix: &str| {
        subtype
            .len()
            .checked_sub(suffix.len())
            .and_then(|at| subtype.get(at..))
            .is_some_and(|end| end.eq_ignore_ascii_case(suffix))
    };
    if is("json") || ends_in("+json") {
        Some(Format::Json)
    } else if is("x-ndjson") || is("ndjson") || is("jsonl") || is("x-jsonlines") || is("json-seq") {
        Some(Format::Ndjson)
    } else if is("x-www-form-urlencoded") {
        Some(Format::Form)
    } else if kind.eq_ignore_ascii_case("multipart") {
        Some(Format::Multipart)
    } else if is("csv") || is("tab-separated-values") {
        Some(Format::Table)
    } else if is("xml") || ends_in("+xml") {
        Some(Format::Xml)
    } else {
        let is_media = ["image", "audio", "video", "font"].iter().any(|name| kind.eq_ignore_ascii_case(name));
        is_media.then_some(Format::Binary)
    }
}

/// The format of a body, and whether it contradicts the declared one.
pub(super) fn choose(declared: Option<Format>, body: &[u8]) -> (Format, bool) {
    if body.is_empty() {
        return (Format::Empty, false);
    }
    match declared {
        Some(format) if fits(format, body) => (format, false),
        Some(format) => {
            let found = sniff(body);
            (found, found != format)
        }
        None => (sniff(body), false),
    }
}

fn first_sign(body: &[u8]) -> Option<u8> {
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    body.iter().find(|byte| !byte.is_ascii_whitespace()).copied()
}

/// Whether a body can be read as `format` at all.
fn fits(format: Format, body: &[u8]) -> bool {
    let first = first_sign(body);
    match format {
        Format::Json | Format::Ndjson => {
            // Words and numbers are JSON too, and so is what a broken client cut at its start; XML and binary are not.
            matches!(first, Some(b'{' | b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n'))
                && !(matches!(first, Some(b't' | b'f' | b'n')) && sniff(body) == Format::Form)
        }
        Format::Xml => first == Some(b'<'),
        Format::Multipart => body.starts_with(b"--") || look(body).windows(4).any(|window| window == b"\r\n--"),
        Format::Form => !matches!(first, Some(b'{' | b'[' | b'<')) && !is_binary(body),
        Format::Table => !matches!(first, Some(b'{' | b'<')) && !has_nul(body),
        _ => true,
    }
}

fn look(body: &[u8]) -> &[u8] {
    body.get(..LOOK_BYTES_MAX).unwrap_or(body)
}

fn has_nul(body: &[u8]) -> bool {
    look(body).contains(&0)
}

/// Whether a body is bytes rather than text: control characters, or much that is not UTF-8. A few bytes of an older
/// character set do not make a text binary.
fn is_binary(body: &[u8]) -> bool {
    let look = look(body);
    let n_controls = look.iter().filter(|byte| matches!(byte, 0..=8 | 14..=31 | 127)).count();
    let n_invalid: usize = look.utf8_chunks().map(|chunk| chunk.invalid().len()).sum();
    n_controls * 20 > look.len() || n_invalid * 5 > look.len() || (n_controls > 0 && n_invalid > 0)
}

/// The format of a body that nothing was said about.
fn sniff(body: &[u8]) -> Format {
    if is_binary(body) {
        return Format::Binary;
    }
    let text = look(body);
    match first_sign(body) {
        Some(b'{') if is_lines_of_objects(text) => Format::Ndjson,
        Some(b'{' | b'[') => Format::Json,
        Some(b'<') if begins_tag(text) => Format::Xml,
        Some(b'-') if text.starts_with(b"--") && contains(text, b"ontent-") => Format::Multipart,
        Some(_) if is_pairs(text) => Format::Form,
        Some(_) if is_table(text) => Format::Table,
        _ => Format::Text,
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

fn is_lines_of_objects(text: &[u8]) -> bool {
    contains(text, b"}\n{") || contains(text, b"}\r\n{")
}

fn begins_tag(text: &[u8]) -> bool {
    let start = text.iter().position(|byte| *byte == b'<');
    let next = start.and_then(|at| text.get(at + 1));
    next.is_some_and(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'?' | b'!' | b'_'))
}

/// `name=value&…` on one line, without a bare space.
fn is_pairs(text: &[u8]) -> bool {
    let is_name = |name: &[u8]| {
        !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_-.[]%+".contains(byte))
    };
    !text.iter().any(u8::is_ascii_whitespace)
        && text.split(|byte| *byte == b'&').all(|pair| {
            let mut halves = pair.splitn(2, |byte| *byte == b'=');
            halves.next().is_some_and(is_name) && (halves.next().is_some() || text.contains(&b'&'))
        })
        && text.contains(&b'=')
}

/// Two lines or more with one number, at least one, of the same separator.
fn is_table(text: &[u8]) -> bool {
    [b',', b';', b'\t'].iter().any(|separator| {
        let count = |line: &[u8]| line.iter().map(|byte| usize::from(byte == separator)).sum::<usize>();
        let mut lines = text.split(|byte| *byte == b'\n').map(count);
        match (lines.next(), lines.next()) {
            (Some(first), Some(second)) => first > 0 && first == second,
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(content_type: &str, body: &str, expected: (Format, bool)) {
        assert_eq!(choose(declared(content_type), body.as_bytes()), expected, "{content_type} {body:?}");
    }

    #[test]
    fn the_declared_format_wins_where_it_can() {
        check("application/json; charset=utf-8", "{\"a\":1", (Format::Json, false));
        check("application/problem+JSON", " [", (Format::Json, false));
        check("application/x-www-form-urlencoded", "a=1", (Format::Form, false));
        check("text/csv", "one\ntwo", (Format::Table, false));
        check("text/xml", "<a/>", (Format::Xml, false));
        check("image/png", "anything", (Format::Binary, false));
    }

    #[test]
    fn a_body_that_contradicts_its_type_is_told() {
        check("application/json", "<a/>", (Format::Xml, true));
        check("application/xml", "{\"a\":1}", (Format::Json, true));
        check("application/x-www-form-urlencoded", "{\"a\":1}", (Format::Json, true));
        check("application/json", "a=1&b=2", (Format::Form, true));
        check("multipart/form-data; boundary=x", "hello", (Format::Text, true));
    }

    #[test]
    fn an_undeclared_body_is_recognised() {
        check("", "", (Format::Empty, false));
        check("", "{\"a\":1}\n{\"a\":2}\n", (Format::Ndjson, false));
        check("text/plain", "{\"a\":1}", (Format::Json, false));
        check("", "a=1&b=2", (Format::Form, false));
        check("", "a;b\n1;2\n", (Format::Table, false));
        check("", "hello, world", (Format::Text, false));
        check("application/octet-stream", "\u{1}\u{2}\u{3}\u{0}", (Format::Binary, false));
        check("", "   ", (Format::Text, false));
    }
}
