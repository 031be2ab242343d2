//! Payload → shape id, sketch, traits. (interface; the body follows)

use serde::{Deserialize, Serialize};

use super::event::{Id, ShapeId};

/// 64 one-byte MinHash slots over the shape's sub-structures: the share of equal slots estimates how near two shapes
/// are (Jaccard ≈ (matches/64 − 1/256) / (1 − 1/256)).
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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
    /// Format characters, private use, surrogate escapes, noncharacters, replacement character.
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
    /// A control, private-use, noncharacter or lone-surrogate code point in a text.
    pub const ODD_CODE_POINT: u16 = 1 << 4;
    /// One text with four or more different meta signs.
    pub const META_MIX: u16 = 1 << 5;
    /// A text, or a run of one character, of 1,024 characters or more.
    pub const LONG_TEXT: u16 = 1 << 6;
    /// A number that no 64-bit type holds, or with an exponent beyond ±308.
    pub const EXTREME_NUMBER: u16 = 1 << 7;
    /// Container or scalar of another kind than the one before it in the same array.
    pub const MIXED_ARRAY: u16 = 1 << 8;
    /// The body's format is not what its content type says.
    pub const FORMAT_MISMATCH: u16 = 1 << 9;
    /// The path or query has bytes that no ordinary client sends (raw control, `%00`, invalid escapes).
    pub const ODD_TARGET: u16 = 1 << 10;
}

/// Traits of a request that are safe to keep, for the judge.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Traits {
    /// Bits of [`marks`].
    pub marks: u16,
    /// Up to 64 fields, in order of first appearance: path parameters, query, then body.
    pub fields: Vec<FieldTrait>,
    /// Deepest nesting of the body.
    pub depth: u8,
    /// Length class of the body: bit length of its number of bytes.
    pub body_log2: u8,
    /// How the body read.
    pub parse: Parse,
}

/// All that the fingerprint says of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Fingerprint {
    /// Name of the structure.
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
