//! Payload → shape id, sketch, traits.
//!
//! Reads a request's target and body; gives the name of their *structure* (the same for the same structure, whatever
//! the values, the order of keys, the order and number of array elements), a sketch that says how near two structures
//! are, and lexical traits in buckets. Keeps no value: names of fields and patterns leave as keyed ids, lengths as bit
//! lengths.
//!
//! The way of a body: its content type and its first bytes choose a format ([`sniff`]); the format's reader ([`json`],
//! [`form`], [`multipart`], [`table`], [`xml`], [`text`], [`binary`]) walks it once and tells an [`outline::Outline`],
//! which writes the canonical term and gathers the fields; the term's keyed BLAKE3 hash is the shape. Hash, sketch and
//! coarse class are functions of the term, so a memo keyed by the whole term holds them for structures seen before.
//!
//! Never: recurses over input, keeps a value, panics, refuses. Limits: 4,096 nodes, 32 levels and 256 keys an object
//! enter the term, 64 fields have traits, 512 windows enter a sketch; what is beyond is told by a flag in the term.

mod binary;
mod form;
mod json;
mod label;
mod lexical;
mod multipart;
mod number;
mod outline;
mod sketch;
mod sniff;
mod table;
mod target;
#[cfg(test)]
mod tests;
mod text;
mod xml;

use serde::{Deserialize, Serialize};

pub use self::sketch::coarse_words;

use self::label::Label;
use self::outline::{Buffers, Outline, bit_length};
use super::event::{Id, PanicEvent, Payload, ShapeId};
use super::keys::Keys;
use super::memo::Memo;

/// 64 one-byte MinHash slots over the shape's sub-structures: the share of equal slots estimates how near two shapes
/// are (Jaccard ≈ (matches/64 − 1/256) / (1 − 1/256)). See [`Sketch::similarity`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sketch(pub [u8; 64]);

/// What the body turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// No body.
    #[default]
    Empty,
    /// JSON.
    Json,
    /// JSON, one value a line.
    Ndjson,
    /// `application/x-www-form-urlencoded`.
    Form,
    /// `multipart/form-data`.
    Multipart,
    /// Comma, semicolon or tab separated table.
    Table,
    /// XML.
    Xml,
    /// Text of no known structure.
    Text,
    /// Bytes of no known structure.
    Binary,
    /// Only the producer's own shape name is known.
    ProducerShape,
}

/// Whether the body reads as what it says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Parse {
    /// It does, or there is nothing to read.
    #[default]
    Sound,
    /// It ends too early (and the producer did not say that it cut it).
    CutShort,
    /// It breaks its own syntax at some point; the structure up to there counts.
    Broken,
    /// A limit of ours ended the reading.
    Limited,
}

/// What kind of value stands at a field path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueKind {
    /// `null`.
    #[default]
    Null,
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Int,
    /// A number with fraction or exponent.
    Float,
    /// A text.
    Text,
    /// A text that is empty.
    EmptyText,
    /// A text that reads as a number.
    NumericText,
    /// An array.
    Array,
    /// An object.
    Object,
}

/// Traits of one scalar (or container) value that are safe to keep: buckets, never the value.
///
/// Values at one path (the elements of an array, repeated names, a table's column) are one field: classes by *or*, the
/// greatest size, negative if one is, kind and pattern of the first. Values in forms, queries, paths, tables and XML
/// are texts here even where they read as numbers; a binary body has the fields `bytes`, `head` and `profile`, whose
/// patterns tell its first bytes and the shares of sixteen classes of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FieldTrait {
    /// Keyed id of the field path (container path and key, array positions dropped, data-like keys as class tokens).
    pub path: Id,
    /// Kind of value.
    pub kind: ValueKind,
    /// Length in bits: texts by characters, arrays and objects by members, whole numbers by magnitude
    /// (0 → 0, 1 → 1, 2..=3 → 2, 4..=7 → 3 …), floats by decimal exponent plus 64.
    pub size_log2: u8,
    /// Sign of a number.
    pub negative: bool,
    /// Which character classes occur (see [`chars`]).
    pub classes: u16,
    /// Keyed id of the text's coarse pattern: runs of character classes (letters by case, digits, each other
    /// printable sign as itself), runs cut at 3, at most 24 runs. 0 for values that are not texts.
    pub pattern: Id,
}

/// Bits of [`FieldTrait::classes`].
pub mod chars {
    /// `a-z`.
    pub const LOWER: u16 = 1;
    /// `A-Z`.
    pub const UPPER: u16 = 1 << 1;
    /// `0-9`.
    pub const DIGIT: u16 = 1 << 2;
    /// Space.
    pub const SPACE: u16 = 1 << 3;
    /// Tab, carriage return, newline.
    pub const BREAK: u16 = 1 << 4;
    /// `. , - _ : / @ +` and the like that ordinary texts have.
    pub const COMMON_SIGN: u16 = 1 << 5;
    /// The rest of printable ASCII (brackets, quotes, backslash, percent, …): signs that mean something to an interpreter.
    pub const META_SIGN: u16 = 1 << 6;
    /// Letters and marks beyond ASCII.
    pub const FOREIGN_LETTER: u16 = 1 << 7;
    /// Emoji and pictographs.
    pub const PICTOGRAPH: u16 = 1 << 8;
    /// Other assigned characters beyond ASCII.
    pub const OTHER: u16 = 1 << 9;
    /// Control characters (C0 but tab, CR, LF; DEL; C1), NUL included.
    pub const CONTROL: u16 = 1 << 10;
    /// Format characters, private use, noncharacters, the replacement character, bytes that are not UTF-8.
    pub const ODD: u16 = 1 << 11;
}

/// Bits of [`Traits::marks`]: small generic lexical facts about the request, none of them a signature.
pub mod marks {
    /// A key stood twice in one object.
    pub const DUPLICATE_KEY: u16 = 1;
    /// Nested 8 deep or more.
    pub const DEEP: u16 = 1 << 1;
    /// A whole number within 2 of ±2^k for k in {7, 8, 15, 16, 31, 32, 53, 63, 64}, |n| > 100.
    pub const BOUNDARY_NUMBER: u16 = 1 << 2;
    /// `../`, `..\`, `%2e%2e`, or a double percent encoding (`%25xx`).
    pub const TRAVERSAL: u16 = 1 << 3;
    /// A control, private-use, noncharacter or lone-surrogate code point in a text, a tag character outside of a flag,
    /// or one of the planes that have no characters.
    pub const ODD_CODE_POINT: u16 = 1 << 4;
    /// One text with four or more different meta signs ([`super::chars::META_SIGN`]).
    pub const META_MIX: u16 = 1 << 5;
    /// A text, or a run of one character, of 1,024 characters or more.
    pub const LONG_TEXT: u16 = 1 << 6;
    /// A number that no 64-bit type holds, or with an exponent beyond ±308; in texts only from 35 digits on, since
    /// account numbers have up to 34.
    pub const EXTREME_NUMBER: u16 = 1 << 7;
    /// Values of different kinds at one path, as in an array; whole numbers and fractions count as one kind, and all
    /// texts do.
    pub const MIXED_ARRAY: u16 = 1 << 8;
    /// The body cannot be read as what its content type says. `text/plain` and `application/octet-stream` say nothing.
    pub const FORMAT_MISMATCH: u16 = 1 << 9;
    /// The path or query has bytes that no ordinary client sends (raw control, `%00`, invalid escapes).
    pub const ODD_TARGET: u16 = 1 << 10;
}

/// Which numbered record a request asks for: the longest run of digits that ends a segment of its path (of equals the
/// last; a version as in `/v2/` is none). Only reads ask: whoever writes to a record writes to its own, and the devices of
/// a fleet have numbers in a row. Keyed: what can be told is whether two numbers at one route are of one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordNumber {
    /// Keyed id of what stands before the digits in the segment, and of the number without its last four bits: sixteen
    /// numbers in a row.
    pub block: Id,
    /// Its place among the sixteen, from 0: four bits are all that is known of the number.
    pub place: u8,
}

/// Traits of a request that are safe to keep, for the judge.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Traits {
    /// Bits of [`marks`].
    pub marks: u16,
    /// Up to 64 fields, in order of first appearance: path parameters, query, then body.
    pub fields: Vec<FieldTrait>,
    /// Deepest nesting of the body; more than 255 is 255.
    pub depth: u8,
    /// Length class of the body: bit length of its number of bytes.
    pub body_log2: u8,
    /// How the body read.
    pub parse: Parse,
    /// The numbered record that it asks for; `None` where no segment of the path ends in digits.
    pub record: Option<RecordNumber>,
}

/// All that the fingerprint says of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Fingerprint {
    /// Name of the structure: format, state of the body (cut, broken, limited), kinds of path parameters and query
    /// pairs, and the body's term. Method and route are not in it: they are in the cell's key.
    pub shape: ShapeId,
    /// Coarse class: depth, key-count and node-count buckets and flags; for overflow cells.
    pub coarse: u16,
    /// How near it is to others.
    pub sketch: Sketch,
    /// What the body is.
    pub format: Format,
    /// Keyed id of method, target and body together: equal for an exact repeat.
    pub content: Id,
    /// Traits for the judge.
    pub traits: Traits,
}

/// Structures that a worker remembers; with terms of [`MEMO_TERM_BYTES_MAX`] at most 16 MiB.
const MEMO_TERMS_MAX: usize = 4_096;
/// Longest term that is remembered; ordinary bodies have terms of 100 to 600 bytes.
const MEMO_TERM_BYTES_MAX: usize = 4_096;
/// First bytes of every term: version of the shape, so that a change of the rules renames every shape.
const VERSION: &[u8] = b"shape v1";
/// Bytes before the first node: version, format, state of the body.
const HEAD_BYTES: usize = VERSION.len() + 2;
/// Bit of the state: the producer cut the body.
const STATE_TRUNCATED: u8 = 1 << 4;
/// Bit of the state: there was a body, which the producer did not record.
const STATE_WITHHELD: u8 = 1 << 5;

/// What is a function of the term alone.
#[derive(Debug, Clone, Copy)]
struct Named {
    shape: ShapeId,
    sketch: Sketch,
    coarse: u16,
}

/// What a worker remembers between fingerprints: names of structures, and buffers. Changes no answer.
#[derive(Debug)]
pub struct ShapeMemo {
    names: Memo<Box<[u8]>, Named>,
    buffers: Buffers,
    json: json::Scratch,
    n_hits: u64,
    n_misses: u64,
}

impl Default for ShapeMemo {
    fn default() -> Self {
        Self {
            names: Memo::new(MEMO_TERMS_MAX),
            buffers: Buffers::default(),
            json: json::Scratch::default(),
            n_hits: 0,
            n_misses: 0,
        }
    }
}

impl ShapeMemo {
    /// How many fingerprints found their structure remembered, and how many did not.
    pub fn hits_and_misses(&self) -> (u64, u64) {
        (self.n_hits, self.n_misses)
    }
}

/// The fingerprint of an event's request. A function of `keys` and `event`; `memo` only makes it cheaper.
///
/// Cost: about 2 µs of one core for a body of 200 bytes with nine fields whose structure is remembered; bounded by the
/// body's length and 4,096 nodes (5 ms for 15 MB of keys, the dearest of the bombs in the tests).
pub fn fingerprint(keys: &Keys, memo: &mut ShapeMemo, event: &PanicEvent<'_>) -> Fingerprint {
    let mut outline = Outline::new(keys, std::mem::take(&mut memo.buffers));
    outline.buffers.term.extend_from_slice(VERSION);
    outline.buffers.term.extend_from_slice(&[0; 2]);
    target::read(event, &mut outline);
    outline.begin_body();
    let (format, parse) = read_body(keys, event, &mut outline, &mut memo.json);
    outline.close_all();

    let request = &event.request;
    let body = request.payload.bytes();
    let mut state = parse as u8;
    if request.payload_truncated {
        state |= STATE_TRUNCATED;
    }
    if format == Format::Empty && request.payload == Payload::Absent && request.content_length.is_some_and(|n| n > 0) {
        state |= STATE_WITHHELD;
    }
    if let Some([format_slot, state_slot]) = outline.buffers.term.get_mut(VERSION.len()..HEAD_BYTES) {
        *format_slot = format as u8;
        *state_slot = state;
    }
    let Named { shape, sketch, coarse } = name(keys, memo, &outline.buffers.term, state);
    let traits = Traits {
        marks: outline.marks,
        fields: std::mem::take(&mut outline.fields),
        depth: u8::try_from(outline.depth).unwrap_or(u8::MAX),
        body_log2: bit_length(body.len()),
        parse,
        record: target::record(keys, event),
    };
    memo.buffers = outline.buffers;
    Fingerprint { shape, coarse, sketch, format, content: content(keys, event, body), traits }
}

/// Reads the body into the outline: what it is and how it read.
fn read_body(
    keys: &Keys,
    event: &PanicEvent<'_>,
    outline: &mut Outline<'_>,
    scratch: &mut json::Scratch,
) -> (Format, Parse) {
    let request = &event.request;
    let body = request.payload.bytes();
    if let (true, Some(shape)) = (body.is_empty(), request.shape.as_deref()) {
        // The producer's name says all: the target is left out, lest one shape have many names.
        outline.buffers.term.truncate(HEAD_BYTES);
        outline.fact(Label::Name(blake3::keyed_hash(keys.shape(), shape.as_bytes()).as_bytes()));
        return (Format::ProducerShape, Parse::Sound);
    }
    let content_type = request.content_type.as_deref().unwrap_or_default();
    let (format, is_mismatch) = sniff::choose(sniff::declared(content_type), body);
    if is_mismatch {
        outline.marks |= marks::FORMAT_MISMATCH;
    }
    let parse = match format {
        Format::Empty | Format::ProducerShape => Parse::Sound,
        Format::Json => json::read_body(body, outline, scratch),
        Format::Ndjson => json::read_lines(body, outline, scratch),
        Format::Form => form::read(body, outline),
        Format::Multipart => multipart::read(body, content_type, outline),
        Format::Table => table::read(body, outline),
        Format::Xml => xml::read(body, outline),
        Format::Text => text::read(body, outline),
        Format::Binary => {
            binary::read(body, outline);
            Parse::Sound
        }
    };
    let parse = match parse {
        Parse::CutShort if request.payload_truncated => Parse::Sound,
        _ if outline.is_limited => Parse::Limited,
        parse => parse,
    };
    (format, parse)
}

/// The names of a term: from the memo where the very same bytes were named before.
fn name(keys: &Keys, memo: &mut ShapeMemo, term: &[u8], state: u8) -> Named {
    if let Some(named) = memo.names.get(term) {
        memo.n_hits += 1;
        return named;
    }
    memo.n_misses += 1;
    let hash = blake3::keyed_hash(keys.shape(), term);
    let shape = hash.as_bytes().first_chunk().map_or(0, |half| u128::from_be_bytes(*half));
    let sketch_key = blake3::keyed_hash(keys.shape(), b"sketch v1");
    let sketch_key = sketch_key.as_bytes().first_chunk().copied().unwrap_or_default();
    let nodes = term.get(HEAD_BYTES..).unwrap_or_default();
    let is_faulty = state & !(STATE_TRUNCATED | STATE_WITHHELD) != 0;
    let flags = u16::from(is_faulty)
        | (u16::from(state & STATE_TRUNCATED != 0) << 1)
        | (u16::from(state & STATE_WITHHELD != 0) << 2);
    let named = Named {
        shape: ShapeId(shape),
        sketch: sketch::sketch(nodes, &sketch_key),
        coarse: sketch::coarse(nodes, flags),
    };
    if term.len() <= MEMO_TERM_BYTES_MAX {
        memo.names.put(term.into(), named);
    }
    named
}

/// The id of the whole request: method, path, query, body.
fn content(keys: &Keys, event: &PanicEvent<'_>, body: &[u8]) -> Id {
    let method = event.method.as_deref().unwrap_or_default().as_bytes();
    let path = event.path.as_deref().unwrap_or_default().as_bytes();
    if event.query.is_empty() {
        return keys.content(&[method, path, body]);
    }
    let mut parts: Vec<&[u8]> = Vec::with_capacity(3 + 2 * event.query.len());
    parts.extend([method, path, body]);
    parts.extend(event.query.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]));
    keys.content(&parts)
}
