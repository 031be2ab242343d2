//! Pairs: `application/x-www-form-urlencoded` bodies and query strings.
//!
//! A set of names with the kinds of their values; a name that comes again adds its kind. Positions in names
//! (`items[12][sku]`) are dropped. A percent sign that begins no escape is kept, and told as `Broken`. Cost:
//! linear.

use std::borrow::Cow;

use super::Parse;
use super::ValueKind;
use super::label::{Class, Label, class_of};
use super::lexical::TextFacts;
use super::outline::{Outline, Tag};

/// Reads a form body.
pub(super) fn read(bytes: &[u8], outline: &mut Outline<'_>) -> Parse {
    let n_open = outline.n_open();
    let mut parse = if outline.open(Label::Element, Tag::Group) { Parse::Sound } else { Parse::Limited };
    for pair in bytes.split(|byte| *byte == b'&') {
        if pair.is_empty() && bytes.len() == pair.len() {
            break;
        }
        let mut halves = pair.splitn(2, |byte| *byte == b'=');
        let (name, is_name_sound) = decoded(halves.next().unwrap_or_default(), true);
        let (value, is_value_sound) = decoded(halves.next().unwrap_or_default(), true);
        if !(is_name_sound && is_value_sound) && parse == Parse::Sound {
            parse = Parse::Broken;
        }
        if !enter(&name, &value, outline) {
            parse = Parse::Limited;
            break;
        }
    }
    outline.close_to(n_open);
    parse
}

/// Enters one decoded pair; false when the node budget is spent.
pub(super) fn enter(name: &[u8], value: &[u8], outline: &mut Outline<'_>) -> bool {
    outline.text(Label::Name(&without_positions(name)), value, value_tag)
}

/// The tag of a value that comes as a text.
pub(super) fn value_tag(facts: &TextFacts, text: &[u8]) -> Tag {
    match facts.kind {
        ValueKind::EmptyText => Tag::EmptyText,
        ValueKind::NumericText if facts.is_whole => Tag::Int,
        ValueKind::NumericText => Tag::Float,
        _ if matches!(text, b"true" | b"false") => Tag::Bool,
        _ => match class_of(text) {
            Some(Class::Uuid) => Tag::Uuid,
            Some(Class::Date) => Tag::Date,
            Some(Class::Email) => Tag::Email,
            _ => Tag::Text,
        },
    }
}

/// A name with the digits between brackets dropped.
fn without_positions(name: &[u8]) -> Cow<'_, [u8]> {
    if !name.contains(&b'[') {
        return Cow::Borrowed(name);
    }
    let mut kept = Vec::with_capacity(name.len());
    let mut in_position = false;
    for byte in name {
        in_position = (in_position && byte.is_ascii_digit()) || *byte == b'[';
        if !(in_position && byte.is_ascii_digit()) {
            kept.push(*byte);
        }
    }
    Cow::Owned(kept)
}

/// A text with its percent escapes resolved (and plus signs, where they mean spaces), and whether all escapes were
/// whole.
pub(super) fn decoded(text: &[u8], plus_is_space: bool) -> (Cow<'_, [u8]>, bool) {
    if !text.iter().any(|byte| *byte == b'%' || (plus_is_space && *byte == b'+')) {
        return (Cow::Borrowed(text), true);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut is_sound = true;
    let mut rest = text;
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'+' if plus_is_space => out.push(b' '),
            b'%' => {
                let digit = |at: usize| tail.get(at).and_then(|byte| char::from(*byte).to_digit(16));
                if let (Some(high), Some(low)) = (digit(0), digit(1)) {
                    out.push(u8::try_from(high * 16 + low).unwrap_or(b'%'));
                    rest = tail.get(2..).unwrap_or_default();
                } else {
                    is_sound = false;
                    out.push(b'%');
                }
            }
            byte => out.push(*byte),
        }
    }
    (Cow::Owned(out), is_sound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_resolved_and_faults_told() {
        let check = |text: &str, expected: &str, sound: bool| {
            assert_eq!(decoded(text.as_bytes(), true), (expected.as_bytes().into(), sound), "{text}");
        };
        check("a+b%20c", "a b c", true);
        check("50%+off", "50% off", false);
        check("%", "%", false);
        check("%4", "%4", false);
        check("", "", true);
    }

    #[test]
    fn positions_in_names_are_dropped() {
        assert_eq!(without_positions(b"items[12][sku2]").as_ref(), b"items[][sku2]");
        assert_eq!(without_positions(b"a[").as_ref(), b"a[");
    }
}
