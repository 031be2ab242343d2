//! Bytes without a structure that we know: what they begin with, how long they are, which bytes they are made of.
//!
//! Structure is the file signature (or, without one, the first two bytes' classes) and the class of the length; the
//! profile over sixteen classes of bytes is a trait. Reads at most 4,096 bytes.

use super::label::Label;
use super::lexical::study;
use super::outline::{Outline, Scalar, Tag, bit_length};

/// Bytes that are looked at.
pub(super) const LOOK_BYTES_MAX: usize = 4096;

/// File formats that services are sent, by their first bytes.
const SIGNATURES: [(&[u8], &[u8]); 16] = [
    (b"\x89PNG\r\n\x1a\n", b"png"),
    (b"\xFF\xD8\xFF", b"jpeg"),
    (b"GIF8", b"gif"),
    (b"RIFF", b"riff"),
    (b"%PDF", b"pdf"),
    (b"PK\x03\x04", b"zip"),
    (b"PK\x05\x06", b"zip"),
    (b"\x1F\x8B", b"gzip"),
    (b"\x28\xB5\x2F\xFD", b"zstd"),
    (b"BZh", b"bzip2"),
    (b"\xFD7zXZ\x00", b"xz"),
    (b"\x7FELF", b"elf"),
    (b"MZ", b"pe"),
    (b"\x00asm", b"wasm"),
    (b"II*\x00", b"tiff"),
    (b"<?xml", b"xml"),
];

/// The name of a content's file format; `bytes` or `text` where it has none.
pub(super) fn signature(content: &[u8]) -> &'static [u8] {
    let known = SIGNATURES.iter().find(|(first, _)| content.starts_with(first)).map(|(_, name)| *name);
    known.unwrap_or_else(|| {
        let look = content.get(..LOOK_BYTES_MAX).unwrap_or(content);
        if look.iter().any(|byte| matches!(byte, 0..=8 | 14..=31 | 127..)) { b"bytes" } else { b"text" }
    })
}

/// Enters a body.
pub(super) fn read(body: &[u8], outline: &mut Outline<'_>) {
    let n_open = outline.n_open();
    outline.open(Label::Element, Tag::Group);
    let name = signature(body);
    outline.fact(Label::Attribute(name));
    if matches!(name, b"bytes" | b"text") {
        let first: Vec<u8> = body.iter().take(2).map(|byte| byte >> 4).collect();
        outline.fact(Label::Attribute(&[b"first ", first.as_slice()].concat()));
    }
    outline.fact(Label::Attribute(&[b"length ", [bit_length(body.len())].as_slice()].concat()));
    let look = body.get(..LOOK_BYTES_MAX).unwrap_or(body);
    let size_log2 = bit_length(body.len());
    let all = outline.text_scalar(Tag::Text, &study(look));
    outline.side_field(b"bytes", Scalar { size_log2, ..all });
    for (side, facts) in [(b"head".as_slice(), classes(body)), (b"profile", profile(look))] {
        let scalar = outline.pattern_scalar(&facts);
        outline.side_field(side, Scalar { size_log2, ..scalar });
    }
    outline.close_to(n_open);
}

/// Classes of the first eight bytes: their upper halves.
fn classes(body: &[u8]) -> Vec<u8> {
    body.iter().take(8).map(|byte| byte >> 4).collect()
}

/// How much of the bytes each of the sixteen upper halves has: none, under 1/16, under 1/4, more.
fn profile(look: &[u8]) -> Vec<u8> {
    let mut counts = [0_usize; 16];
    for byte in look {
        if let Some(count) = counts.get_mut(usize::from(byte >> 4)) {
            *count += 1;
        }
    }
    let share = |count: usize| match count {
        0 => 0,
        _ if count * 16 < look.len() => 1,
        _ if count * 4 < look.len() => 2,
        _ => 3,
    };
    counts.iter().map(|count| share(*count)).collect()
}
