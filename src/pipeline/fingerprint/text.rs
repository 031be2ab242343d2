//! Text: lines, and segments where a sign divides the lines into fields (HL7 and its like).
//!
//! A segment is named by its first field when that is a short word in capitals; its structure is the class of its
//! number of fields. Other text has the class of its number of lines and its coarse character classes. Cost:
//! linear.

use super::label::Label;
use super::lexical::study;
use super::outline::{Outline, Scalar, Tag, bit_length};
use super::{Parse, ValueKind, chars};

/// Longest first field that can name a segment.
const NAME_BYTES_MAX: usize = 8;

/// Enters a body.
pub(super) fn read(body: &[u8], outline: &mut Outline<'_>) -> Parse {
    let n_open = outline.n_open();
    outline.open(Label::Element, Tag::Group);
    let lines = || body.split(|byte| matches!(byte, b'\r' | b'\n')).filter(|line| !line.is_empty());
    let is_segment = |line: &[u8]| segment_name(line).is_some();
    let is_segmented = lines().take(2).count() == 2 && lines().take(2).all(is_segment);
    let is_sound = if is_segmented {
        lines().all(|line| segment(line, outline))
    } else {
        plain(body, lines().count(), outline);
        true
    };
    outline.close_to(n_open);
    if is_sound { Parse::Sound } else { Parse::Limited }
}

/// The name of a line that is a segment.
fn segment_name(line: &[u8]) -> Option<&[u8]> {
    let end = line.iter().position(|byte| *byte == b'|')?;
    let name = line.get(..end)?;
    let is_word = name.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    (is_word && !name.is_empty() && name.len() <= NAME_BYTES_MAX).then_some(name)
}

/// Enters one segment; false when the node budget is spent.
fn segment(line: &[u8], outline: &mut Outline<'_>) -> bool {
    let Some(name) = segment_name(line) else {
        return outline.text(Label::Attribute(b"stray"), line, |_, _| Tag::Text);
    };
    if !outline.open(Label::Name(name), Tag::Element) {
        return false;
    }
    let mut n_fields = 0_usize;
    for (index, field) in line.split(|byte| *byte == b'|').enumerate().skip(1) {
        n_fields = index;
        if !field.is_empty() && index < super::outline::FIELDS_MAX {
            let facts = study(field);
            outline.marks |= facts.marks;
            let scalar = outline.text_scalar(Tag::Text, &facts);
            outline.side_field(&index.to_le_bytes(), scalar);
        }
    }
    outline.fact(Label::Attribute(&[b"fields ", [bit_length(n_fields)].as_slice()].concat()));
    outline.close();
    true
}

fn plain(body: &[u8], n_lines: usize, outline: &mut Outline<'_>) {
    let facts = study(body);
    outline.marks |= facts.marks;
    let lines: &[u8] = match n_lines {
        0 => b"no line",
        1 => b"one line",
        _ => b"lines",
    };
    outline.fact(Label::Attribute(lines));
    for (class, name) in [
        (chars::META_SIGN, b"meta".as_slice()),
        (chars::CONTROL, b"control"),
        (chars::ODD, b"odd"),
        (chars::FOREIGN_LETTER | chars::PICTOGRAPH | chars::OTHER, b"beyond ascii"),
    ] {
        if facts.classes & class != 0 {
            outline.fact(Label::Attribute(name));
        }
    }
    let scalar = outline.text_scalar(Tag::Text, &facts);
    outline.side_field(b"text", scalar);
    let line_count = Scalar { size_log2: bit_length(n_lines), ..Scalar::plain(Tag::Array, ValueKind::Array) };
    outline.side_field(b"lines", line_count);
}
