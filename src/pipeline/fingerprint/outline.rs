//! The builder that every format's reader talks to: it writes the canonical term and gathers the fields.
//!
//! A term is the structure as bytes: `node = label tag [flags length children]`. Children of a container are sorted
//! by their bytes, and repeats of one child are dropped, when the container closes; so neither order nor number of
//! repeats matters, and equal structures are equal bytes. Labels and lengths delimit themselves: no two structures
//! share a term. Everything lies in four buffers that live as long as the worker; a body costs no allocation once
//! they have grown.
//!
//! Limits: 4,096 nodes, 32 levels, 256 keys an object, 64 fields. What is beyond a limit leaves a flag in the term.
//! Cost: a node is one keyed hash for its path, a text one more for its pattern, a container a sort of its children.

use super::label::{Label, n_following};
use super::lexical::{TextFacts, study};
use super::number::Number;
use super::{FieldTrait, ValueKind, marks};
use crate::pipeline::event::Id;
use crate::pipeline::keys::Keys;

/// Nodes of one request that are read; an attacker's 200,000-element array costs no more than these.
const NODES_MAX: usize = 4_096;
/// Levels that enter the term.
const TERM_DEPTH_MAX: usize = 32;
/// Keys of one object that enter the term.
const KEYS_MAX: usize = 256;
/// Fields whose traits are kept.
pub(super) const FIELDS_MAX: usize = 64;
/// Nesting from which a body is deep: honest bodies of the measured services stop at 6.
const DEEP_MIN: usize = 8;
/// Bytes of a container's flags and length.
const HEAD_BYTES: usize = 5;
/// Flag of a container: a key stood twice in it.
const FLAG_DUPLICATE: u8 = 1;
/// Flag of a container: something in it was beyond a limit.
const FLAG_LIMIT: u8 = 2;

/// What a node is; the value is its byte in the term.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Tag {
    Null = b'n',
    Bool = b'b',
    Int = b'i',
    Float = b'f',
    Text = b's',
    EmptyText = b'e',
    Uuid = b'u',
    Date = b'd',
    Email = b'@',
    Mark = b'!',
    Object = b'{',
    Array = b'[',
    Element = b'<',
    Group = b'(',
}

impl Tag {
    /// Whether a node with this byte has children.
    pub(super) fn is_container(byte: u8) -> bool {
        matches!(byte, b'{' | b'[' | b'<' | b'(')
    }
}

/// A value as a reader hands it over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scalar {
    pub(super) tag: Tag,
    pub(super) kind: ValueKind,
    pub(super) size_log2: u8,
    pub(super) negative: bool,
    pub(super) classes: u16,
    pub(super) pattern: Id,
}

impl Scalar {
    /// A value without size or text.
    pub(super) fn plain(tag: Tag, kind: ValueKind) -> Self {
        Self { tag, kind, size_log2: 0, negative: false, classes: 0, pattern: Id(0) }
    }

    /// A number.
    pub(super) fn number(number: Number) -> Self {
        let (tag, kind) = if number.is_float { (Tag::Float, ValueKind::Float) } else { (Tag::Int, ValueKind::Int) };
        Self { size_log2: number.size_log2, negative: number.negative, ..Self::plain(tag, kind) }
    }
}

#[derive(Debug, Clone, Copy)]
struct Part {
    /// The first eight bytes, so that most comparisons are one of integers.
    prefix: u64,
    start: usize,
    end: usize,
}

#[derive(Debug)]
struct Frame {
    tag: Tag,
    flags: u8,
    /// Where its flags and length stand.
    head: usize,
    /// Where its node begins.
    start: usize,
    first_part: usize,
    n_members: usize,
    path: Id,
    element_path: Option<Id>,
    field: Option<usize>,
}

/// The buffers of a builder, kept between requests.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    pub(super) term: Vec<u8>,
    spare: Vec<u8>,
    parts: Vec<Part>,
    frames: Vec<Frame>,
}

/// The builder.
#[derive(Debug)]
pub(super) struct Outline<'k> {
    keys: &'k Keys,
    pub(super) buffers: Buffers,
    pub(super) fields: Vec<FieldTrait>,
    cursor: usize,
    n_nodes: usize,
    /// Open containers that are beyond a limit and not in the term.
    n_beyond: usize,
    /// Deepest nesting since the last [`Outline::begin_body`].
    pub(super) depth: usize,
    base_depth: usize,
    /// Bits of [`marks`].
    pub(super) marks: u16,
    /// The node budget is spent.
    pub(super) is_limited: bool,
}

impl<'k> Outline<'k> {
    pub(super) fn new(keys: &'k Keys, mut buffers: Buffers) -> Self {
        buffers.term.clear();
        buffers.parts.clear();
        buffers.frames.clear();
        Self {
            keys,
            buffers,
            fields: Vec::new(),
            cursor: 0,
            n_nodes: 0,
            n_beyond: 0,
            depth: 0,
            base_depth: 0,
            marks: 0,
            is_limited: false,
        }
    }

    /// Nesting is counted from here on.
    pub(super) fn begin_body(&mut self) {
        self.base_depth = self.buffers.frames.len();
        self.depth = 0;
    }

    /// Opens a container; false when the node budget is spent and nothing was opened.
    pub(super) fn open(&mut self, label: Label<'_>, tag: Tag) -> bool {
        if !self.admit() {
            return false;
        }
        let nesting = (self.buffers.frames.len() + self.n_beyond + 1).saturating_sub(self.base_depth);
        self.depth = self.depth.max(nesting);
        if nesting >= DEEP_MIN {
            self.marks |= marks::DEEP;
        }
        if !self.has_room() || self.buffers.frames.len() >= TERM_DEPTH_MAX {
            self.flag_limit();
            self.n_beyond += 1;
            return true;
        }
        let start = self.buffers.term.len();
        let path = self.label(label);
        self.buffers.term.push(tag as u8);
        let head = self.buffers.term.len();
        self.buffers.term.extend_from_slice(&[0; HEAD_BYTES]);
        let kind = if tag == Tag::Array { ValueKind::Array } else { ValueKind::Object };
        let field = if tag == Tag::Group {
            None
        } else {
            let scalar = Scalar::plain(tag, kind);
            self.field(path, scalar)
        };
        let first_part = self.buffers.parts.len();
        let frame = Frame { tag, flags: 0, head, start, first_part, n_members: 0, path, element_path: None, field };
        self.buffers.frames.push(frame);
        true
    }

    /// Closes the container opened last: sorts its children, drops repeats, writes flags and length.
    pub(super) fn close(&mut self) {
        if self.n_beyond > 0 {
            self.n_beyond -= 1;
            return;
        }
        let Some(mut frame) = self.buffers.frames.pop() else { return };
        self.sort_children(&mut frame);
        let body = frame.head + HEAD_BYTES;
        let length = u32::try_from(self.buffers.term.len().saturating_sub(body)).unwrap_or(u32::MAX);
        if let Some([flags, rest @ ..]) = self.buffers.term.get_mut(frame.head..body) {
            *flags = frame.flags;
            rest.copy_from_slice(&length.to_le_bytes());
        }
        if let Some(field) = frame.field.and_then(|index| self.fields.get_mut(index)) {
            field.size_log2 = field.size_log2.max(bit_length(frame.n_members));
        }
        self.adopt(frame.start);
    }

    /// Closes all that is open.
    pub(super) fn close_all(&mut self) {
        while self.n_beyond > 0 || !self.buffers.frames.is_empty() {
            self.close();
        }
    }

    /// Number of containers that are open.
    pub(super) fn n_open(&self) -> usize {
        self.buffers.frames.len() + self.n_beyond
    }

    /// Closes containers until `n_open` are left.
    pub(super) fn close_to(&mut self, n_open: usize) {
        while self.n_open() > n_open {
            self.close();
        }
    }

    /// Enters a value; false when the node budget is spent.
    pub(super) fn scalar(&mut self, label: Label<'_>, scalar: Scalar) -> bool {
        if !self.admit() {
            return false;
        }
        if !self.has_room() {
            self.flag_limit();
            return true;
        }
        let start = self.buffers.term.len();
        let path = self.label(label);
        self.buffers.term.push(scalar.tag as u8);
        self.adopt(start);
        self.field(path, scalar);
        true
    }

    /// Enters a text under the tag that `tag_of` chooses; its marks count even beyond the limits.
    pub(super) fn text(&mut self, label: Label<'_>, text: &[u8], tag_of: impl Fn(&TextFacts, &[u8]) -> Tag) -> bool {
        let facts = study(text);
        self.marks |= facts.marks;
        let scalar = self.text_scalar(tag_of(&facts, text), &facts);
        self.scalar(label, scalar)
    }

    /// A text as a value.
    pub(super) fn text_scalar(&self, tag: Tag, facts: &TextFacts) -> Scalar {
        Scalar {
            tag,
            kind: facts.kind,
            size_log2: bit_length(facts.n_chars),
            negative: facts.negative,
            classes: facts.classes,
            pattern: self.keys.name(facts.pattern()),
        }
    }

    /// Traits that are a pattern alone.
    pub(super) fn pattern_scalar(&self, pattern: &[u8]) -> Scalar {
        Scalar { pattern: self.keys.name(pattern), ..Scalar::plain(Tag::Text, ValueKind::Text) }
    }

    /// Enters a fact of the structure that is no value.
    pub(super) fn fact(&mut self, label: Label<'_>) {
        self.node(label, Tag::Mark);
    }

    /// Enters a node without traits.
    pub(super) fn node(&mut self, label: Label<'_>, tag: Tag) {
        if self.admit() && self.has_room() {
            let start = self.buffers.term.len();
            label.write(&mut self.buffers.term);
            self.buffers.term.push(tag as u8);
            self.adopt(start);
        }
    }

    /// Keeps traits of a field that is not a node: `name` below the container that is open.
    pub(super) fn side_field(&mut self, name: &[u8], scalar: Scalar) {
        let parent = self.buffers.frames.last().map_or(Id(0), |frame| frame.path);
        let path = self.keys.names(&[&parent.0.to_le_bytes(), b"side", name]);
        self.field(path, scalar);
    }

    fn admit(&mut self) -> bool {
        self.n_nodes += 1;
        self.is_limited |= self.n_nodes > NODES_MAX;
        if let Some(frame) = self.buffers.frames.last_mut()
            && self.n_beyond == 0
        {
            frame.n_members += 1;
        }
        !self.is_limited
    }

    fn has_room(&self) -> bool {
        self.n_beyond == 0
            && self.buffers.frames.last().is_none_or(|frame| frame.tag != Tag::Object || frame.n_members <= KEYS_MAX)
    }

    fn flag_limit(&mut self) {
        if let Some(frame) = self.buffers.frames.last_mut() {
            frame.flags |= FLAG_LIMIT;
        }
    }

    /// Writes a label and gives the path it leads to.
    fn label(&mut self, label: Label<'_>) -> Id {
        let start = self.buffers.term.len();
        label.write(&mut self.buffers.term);
        let frame = self.buffers.frames.last_mut();
        if let (Label::Element, Some(Frame { element_path: Some(path), .. })) = (label, &frame) {
            return *path;
        }
        let parent = frame.as_ref().map_or(Id(0), |frame| frame.path);
        // One hash over label and parent's path; the label delimits itself, so no two paths are the same bytes.
        let end = self.buffers.term.len();
        self.buffers.term.extend_from_slice(&parent.0.to_le_bytes());
        let path = self.keys.name(self.buffers.term.get(start..).unwrap_or_default());
        self.buffers.term.truncate(end);
        if let (Label::Element, Some(frame)) = (label, frame) {
            frame.element_path = Some(path);
        }
        path
    }

    /// Makes the node that begins at `start` a child of the open container; a neighbour's repeat is dropped at once.
    fn adopt(&mut self, start: usize) {
        let Buffers { term, parts, frames, .. } = &mut self.buffers;
        let Some(frame) = frames.last() else { return };
        let node = term.get(start..).unwrap_or_default();
        let before = parts.get(frame.first_part..).and_then(<[Part]>::last);
        if frame.tag != Tag::Object && before.is_some_and(|part| term.get(part.start..part.end) == Some(node)) {
            term.truncate(start);
            return;
        }
        let prefix = node.first_chunk::<8>().copied().unwrap_or_else(|| {
            let mut padded = [0; 8];
            padded.iter_mut().zip(node).for_each(|(slot, byte)| *slot = *byte);
            padded
        });
        parts.push(Part { prefix: u64::from_be_bytes(prefix), start, end: term.len() });
    }

    fn sort_children(&mut self, frame: &mut Frame) {
        let Buffers { term, spare, parts, .. } = &mut self.buffers;
        let Some(children) = parts.get_mut(frame.first_part..) else { return };
        let bytes = |part: &Part| term.get(part.start..part.end).unwrap_or_default();
        let order = |a: &Part, b: &Part| a.prefix.cmp(&b.prefix).then_with(|| bytes(a).cmp(bytes(b)));
        // Strictly ascending means sorted and without repeats: nothing has to move.
        let is_ready = children.windows(2).all(|pair| matches!(pair, [a, b] if order(a, b).is_lt()));
        if !is_ready {
            children.sort_unstable_by(order);
        }
        if frame.tag == Tag::Object
            && children.windows(2).any(|pair| matches!(pair, [a, b] if same_key(bytes(a), bytes(b))))
        {
            frame.flags |= FLAG_DUPLICATE;
            self.marks |= marks::DUPLICATE_KEY;
        }
        if !is_ready {
            spare.clear();
            let mut before: &[u8] = &[];
            for part in children.iter() {
                if bytes(part) != before {
                    before = bytes(part);
                    spare.extend_from_slice(before);
                }
            }
            term.truncate(frame.head + HEAD_BYTES);
            term.extend_from_slice(spare);
        }
        parts.truncate(frame.first_part);
    }

    /// Keeps a field's traits: a path seen before gathers (classes by *or*, the greater size, the first kind and
    /// pattern), a new one takes the next place while there is one.
    fn field(&mut self, path: Id, scalar: Scalar) -> Option<usize> {
        let is_here = |field: &FieldTrait| field.path == path;
        let known = if self.fields.get(self.cursor).is_some_and(is_here) {
            Some(self.cursor)
        } else {
            self.fields.iter().position(is_here)
        };
        if let Some(index) = known
            && let Some(field) = self.fields.get_mut(index)
        {
            if family(field.kind) != family(scalar.kind) {
                self.marks |= marks::MIXED_ARRAY;
            }
            field.classes |= scalar.classes;
            field.size_log2 = field.size_log2.max(scalar.size_log2);
            field.negative |= scalar.negative;
            self.cursor = index + 1;
            return known;
        }
        if self.fields.len() >= FIELDS_MAX {
            return None;
        }
        if self.fields.is_empty() {
            self.fields.reserve(16);
        }
        let Scalar { kind, size_log2, negative, classes, pattern, .. } = scalar;
        self.fields.push(FieldTrait { path, kind, size_log2, negative, classes, pattern });
        self.cursor = self.fields.len();
        Some(self.fields.len() - 1)
    }
}

/// Kinds that pass as one in an array: whole numbers among fractions and empty texts among texts are ordinary.
fn family(kind: ValueKind) -> ValueKind {
    match kind {
        ValueKind::Float => ValueKind::Int,
        ValueKind::EmptyText | ValueKind::NumericText => ValueKind::Text,
        kind => kind,
    }
}

/// Whether two nodes stand under one literal key. Class tokens stand for many keys and are never "the same".
fn same_key(a: &[u8], b: &[u8]) -> bool {
    let key = |node: &[u8]| -> Option<usize> {
        let first = *node.first()?;
        (first < super::label::ATTRIBUTE).then(|| 1 + n_following(first))
    };
    key(a).is_some_and(|length| a.get(..length) == b.get(..length))
}

/// Number of bits needed to write `n`.
pub(super) fn bit_length(n: usize) -> u8 {
    u8::try_from(usize::BITS - n.leading_zeros()).unwrap_or(u8::MAX)
}
