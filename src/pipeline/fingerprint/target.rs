//! The target of a request: path parameters where the route's template is known, and query pairs.
//!
//! Enters a group of its own into the term: parameter names with the kinds of their values, query names with theirs.
//! The fixed parts of a route are in the cell's route, not in the shape. Without a template the path has traits but
//! no structure. [`record`] tells which numbered record the path asks for. Cost: linear.

use super::RecordNumber;
use super::form::{decoded, enter, value_tag};
use super::label::Label;
use super::lexical::study;
use super::marks;
use super::outline::{Outline, Tag};
use crate::pipeline::event::PanicEvent;
use crate::pipeline::keys::Keys;

/// Longest number of a record: what a 64-bit type holds for sure.
const RECORD_DIGITS_MAX: usize = 18;

/// Enters the target of `event` into `outline`.
pub(super) fn read(event: &PanicEvent<'_>, outline: &mut Outline<'_>) {
    let n_open = outline.n_open();
    outline.open(Label::Attribute(b"target"), Tag::Group);
    if let Some(path) = event.path.as_deref() {
        let path = path.as_bytes();
        outline.marks |= odd_target(path, true);
        match event.endpoint.as_deref().map(template_of).filter(|template| is_template(template)) {
            Some(template) => parameters(template, path, outline),
            None if event.endpoint.is_some() => outline.marks |= study(path).marks & marks::TRAVERSAL,
            None => whole_path(path, outline),
        }
    }
    if !event.query.is_empty() {
        outline.open(Label::Attribute(b"query"), Tag::Group);
        for (name, value) in &event.query {
            outline.marks |= odd_target(name.as_bytes(), false) | odd_target(value.as_bytes(), false);
            if !enter(name.as_bytes(), value.as_bytes(), outline) {
                break;
            }
        }
    }
    outline.close_to(n_open);
}

/// The numbered record that `event` asks for.
pub(super) fn record(keys: &Keys, event: &PanicEvent<'_>) -> Option<RecordNumber> {
    let reads = event.method.as_deref().is_none_or(|method| ["GET", "HEAD"].contains(&method));
    event.path.as_deref().filter(|_| reads).and_then(|path| numbered(keys, path))
}

/// The number in a path.
fn numbered(keys: &Keys, path: &str) -> Option<RecordNumber> {
    let path = path.split('?').next().unwrap_or_default();
    let (path, _) = decoded(path.as_bytes(), false);
    let numbers = path.split(|byte| *byte == b'/').filter_map(|segment| {
        let n_digits = segment.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
        let (before, digits) = segment.split_at_checked(segment.len().checked_sub(n_digits)?)?;
        let is_version = before == b"v" && n_digits <= 2;
        let may_be = (1..=RECORD_DIGITS_MAX).contains(&n_digits) && !is_version;
        may_be.then_some((before, digits))
    });
    let (before, digits) = numbers.max_by_key(|(_, digits)| digits.len())?;
    let number = digits.iter().fold(0, |number: u64, digit| number * 10 + u64::from(digit - b'0'));
    let block = keys.names(&[before, &(number >> 4).to_le_bytes()]);
    Some(RecordNumber { block, place: u8::try_from(number & 15).unwrap_or(0) })
}

/// The route without its method.
fn template_of(endpoint: &str) -> &str {
    endpoint.split_once(' ').map_or(endpoint, |(_, route)| route.trim_start())
}

fn is_template(route: &str) -> bool {
    let may_be = route.bytes().any(|byte| matches!(byte, b'{' | b'<' | b':' | b'*'));
    may_be && route.split('/').any(|part| parameter_name(part).is_some())
}

/// The parameter's name in one part of a template: `{id}`, `{id}.json`, `:id`, `<id>`, `*rest`, `{*rest}`.
fn parameter_name(part: &str) -> Option<&str> {
    let name = match part.as_bytes().first()? {
        b':' | b'*' => part.get(1..)?,
        _ => {
            let start = part.bytes().position(|byte| matches!(byte, b'{' | b'<'))?;
            let inner = part.get(start + 1..)?;
            inner.get(..inner.bytes().position(|byte| matches!(byte, b'}' | b'>' | b':'))?)?
        }
    };
    Some(name.trim_start_matches('*'))
}

/// Enters each parameter; a path that does not follow its template is a fact of the structure.
fn parameters(template: &str, path: &[u8], outline: &mut Outline<'_>) {
    outline.marks |= study(path).marks & marks::TRAVERSAL;
    outline.open(Label::Attribute(b"path"), Tag::Group);
    let path = path.split(|byte| *byte == b'?').next().unwrap_or_default();
    let mut rest = Some(path.strip_prefix(b"/").unwrap_or(path));
    let mut is_aligned = true;
    for part in template.trim_start_matches('/').split('/') {
        let Some(found) = rest else {
            is_aligned = false;
            break;
        };
        let takes_all = part.starts_with('*') || part.starts_with("{*");
        let end = if takes_all { None } else { found.iter().position(|byte| *byte == b'/') };
        let (segment, tail) = match end.and_then(|end| found.split_at_checked(end)) {
            Some((segment, tail)) => (segment, tail.get(1..)),
            None => (found, None),
        };
        rest = tail;
        if let Some(name) = parameter_name(part) {
            let (value, _) = decoded(segment, false);
            outline.text(Label::Name(name.as_bytes()), &value, value_tag);
        } else if segment != part.as_bytes() {
            is_aligned = false;
        }
    }
    if !is_aligned || rest.is_some_and(|rest| !rest.is_empty()) {
        outline.fact(Label::Attribute(b"off template"));
    }
    outline.close();
}

/// Traits of a path whose template is not known.
fn whole_path(path: &[u8], outline: &mut Outline<'_>) {
    let facts = study(path);
    outline.marks |= facts.marks;
    let scalar = outline.text_scalar(Tag::Text, &facts);
    outline.side_field(b"path", scalar);
}

/// The mark of bytes that no ordinary client sends in a target. Query pairs may come decoded, so a bare percent sign
/// is a fault in a path alone.
fn odd_target(text: &[u8], is_raw: bool) -> u16 {
    let has_control = text.iter().any(|byte| *byte < 0x20 || *byte == 0x7F);
    let has_escaped_nul = || text.windows(3).any(|window| window == b"%00");
    let is_odd = has_control || (text.contains(&b'%') && (has_escaped_nul() || (is_raw && !decoded(text, false).1)));
    if is_odd { marks::ODD_TARGET } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_found_in_every_common_template_syntax() {
        for (part, expected) in [
            ("{id}", Some("id")),
            (":id", Some("id")),
            ("<id>", Some("id")),
            ("*rest", Some("rest")),
            ("{*rest}", Some("rest")),
            ("{id:[0-9]+}", Some("id")),
            ("{id}.json", Some("id")),
            ("orders", None),
            ("", None),
            ("{", None),
        ] {
            assert_eq!(parameter_name(part), expected, "{part}");
        }
    }

    #[test]
    fn a_record_is_the_longest_number_that_ends_a_segment() {
        let keys = Keys::derive(b"test");
        let record = |path| numbered(&keys, path);
        let same_block = |a, b| record(a).unwrap().block == record(b).unwrap().block;
        assert_eq!(record("/v1/orders/96002").unwrap().place, 2);
        assert!(
            same_block("/v1/orders/96000", "/v1/orders/96015") && !same_block("/v1/orders/96000", "/v1/orders/96016")
        );
        assert!(!same_block("/v1/orders/A-96000", "/v1/orders/B-96000"), "numbers of two series");
        assert_eq!(record("/accounts/100345/statements/2026"), record("/accounts/100345"), "of two the longer");
        assert_eq!(record("/rooms/12/beds/34"), record("/beds/34"), "of equals the last");
        assert_eq!(record("/orders/9600%32?page=1234567"), record("/orders/96002"), "decoded, without the query");
        for path in ["", "/", "/v1/orders", "/v12", "/orders/96002A", "/orders/9999999999999999999"] {
            assert_eq!(record(path), None, "{path}");
        }
    }

    #[test]
    fn only_reads_ask_for_a_record() {
        let asks = |method: Option<&'static str>| {
            let event = PanicEvent {
                method: method.map(Into::into),
                path: Some("/v1/devices/96002/readings".into()),
                ..PanicEvent::default()
            };
            record(&Keys::derive(b"test"), &event).is_some()
        };
        assert_eq!(
            [None, Some("GET"), Some("HEAD"), Some("POST"), Some("PUT")].map(asks),
            [true, true, true, false, false]
        );
    }

    #[test]
    fn odd_targets_are_marked() {
        for (text, is_raw, expected) in [
            ("/a%00", true, true),
            ("/a%zz", true, true),
            ("50% off", false, false),
            ("a\u{1}", false, true),
            ("/v1/a%20b", true, false),
        ] {
            assert_eq!(odd_target(text.as_bytes(), is_raw) != 0, expected, "{text}");
        }
    }
}
