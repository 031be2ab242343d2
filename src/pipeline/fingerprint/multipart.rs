//! `multipart/form-data`: names, file or value, declared type and kind of content of each part.
//!
//! The boundary comes from the content type, or else from the first line. Sizes are traits, not structure. A last
//! boundary that never comes means `CutShort`; a part without headers, `Broken`. Cost: linear.

use super::Parse;
use super::binary;
use super::form::value_tag;
use super::label::Label;
use super::lexical::study;
use super::outline::{Outline, Tag};

/// Longest boundary that RFC 2046 allows.
const BOUNDARY_BYTES_MAX: usize = 70;

/// Reads a body.
pub(super) fn read(body: &[u8], content_type: &str, outline: &mut Outline<'_>) -> Parse {
    let n_open = outline.n_open();
    outline.open(Label::Element, Tag::Group);
    let delimiter = delimiter(body, content_type);
    let mut rest = body;
    let mut parse = Parse::CutShort;
    let mut is_preamble = true;
    loop {
        let next = find(rest, &delimiter);
        let part = next.and_then(|at| rest.get(..at)).unwrap_or(rest);
        if !is_preamble {
            let part = part.strip_suffix(b"\r\n").unwrap_or(part);
            match read_part(part, outline) {
                Parse::Limited => {
                    parse = Parse::Limited;
                    break;
                }
                Parse::Broken => parse = Parse::Broken,
                _ => {}
            }
        }
        is_preamble = false;
        let Some(at) = next else { break };
        rest = rest.get(at + delimiter.len()..).unwrap_or_default();
        if rest.starts_with(b"--") {
            parse = if parse == Parse::Broken { Parse::Broken } else { Parse::Sound };
            break;
        }
    }
    outline.close_to(n_open);
    parse
}

/// `--` and the boundary.
fn delimiter(body: &[u8], content_type: &str) -> Vec<u8> {
    let told = content_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then(|| value.trim().trim_matches('"').as_bytes())
    });
    let first_line = body.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    let boundary = told.or_else(|| first_line.strip_prefix(b"--")).unwrap_or_default();
    let boundary = boundary.get(..BOUNDARY_BYTES_MAX).unwrap_or(boundary);
    [b"--", boundary].concat()
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

fn read_part(part: &[u8], outline: &mut Outline<'_>) -> Parse {
    let part = part.strip_prefix(b"\r\n").or_else(|| part.strip_prefix(b"\n")).unwrap_or(part);
    let blank = find(part, b"\r\n\r\n").map(|at| (at, 4)).or_else(|| find(part, b"\n\n").map(|at| (at, 2)));
    let (headers, content) = match blank {
        Some((at, gap)) => (part.get(..at).unwrap_or_default(), part.get(at + gap..).unwrap_or_default()),
        None => (part, &[][..]),
    };
    let disposition = header(headers, b"content-disposition").unwrap_or_default();
    let name = parameter(disposition, b"name").unwrap_or_default();
    let file_name = parameter(disposition, b"filename");
    if !outline.open(Label::Name(name), Tag::Element) {
        return Parse::Limited;
    }
    if let Some(media_type) = header(headers, b"content-type") {
        let essence =
            media_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
        outline.fact(Label::Name(&essence));
    }
    if let Some(file_name) = file_name {
        outline.text(Label::Attribute(b"filename"), file_name, |_, _| Tag::Text);
        outline.fact(Label::Attribute(if content.is_empty() { b"empty" } else { binary::signature(content) }));
        let scalar = outline.text_scalar(Tag::Text, &study(content.get(..binary::LOOK_BYTES_MAX).unwrap_or(content)));
        let size_log2 = super::outline::bit_length(content.len());
        outline.side_field(b"content", super::outline::Scalar { size_log2, ..scalar });
    } else {
        outline.text(Label::Element, content, value_tag);
    }
    outline.close();
    if blank.is_none() || name.is_empty() { Parse::Broken } else { Parse::Sound }
}

/// The value of a header.
fn header<'b>(headers: &'b [u8], name: &[u8]) -> Option<&'b [u8]> {
    headers.split(|byte| *byte == b'\n').find_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (key, value) = line.split_at_checked(colon)?;
        key.trim_ascii().eq_ignore_ascii_case(name).then(|| value.get(1..).unwrap_or_default().trim_ascii())
    })
}

/// The value of a parameter, quotes dropped.
fn parameter<'b>(value: &'b [u8], name: &[u8]) -> Option<&'b [u8]> {
    value.split(|byte| *byte == b';').skip(1).find_map(|piece| {
        let equals = piece.iter().position(|byte| *byte == b'=')?;
        let (key, value) = piece.split_at_checked(equals)?;
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        let value = value.strip_prefix(b"\"").unwrap_or(value);
        key.trim_ascii().eq_ignore_ascii_case(name).then(|| value.strip_suffix(b"\"").unwrap_or(value))
    })
}
