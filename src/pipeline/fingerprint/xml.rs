//! XML, read tolerantly: elements, attributes, kinds of text.
//!
//! One pass with an explicit stack of names. Entities and document types are never expanded, only told; namespaces
//! are part of the name. Tags that do not match, bare ampersands and stray signs make the body `Broken`; a body that
//! ends inside is `CutShort`. Repeated elements are a set. Cost: linear.

use super::Parse;
use super::ValueKind;
use super::label::Label;
use super::lexical::TextFacts;
use super::outline::{Outline, Tag};

/// Reads a body.
pub(super) fn read(body: &[u8], outline: &mut Outline<'_>) -> Parse {
    let n_open = outline.n_open();
    outline.open(Label::Element, Tag::Group);
    outline.begin_body();
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    let mut reader = Reader { rest: body, names: Vec::new(), outline, has_root: false, is_soft_broken: false };
    let parse = match reader.document() {
        Ok(()) if reader.is_soft_broken => Parse::Broken,
        Ok(()) => Parse::Sound,
        Err(end) => end,
    };
    outline.close_to(n_open);
    parse
}

struct Reader<'b, 'o, 'k> {
    rest: &'b [u8],
    names: Vec<&'b [u8]>,
    outline: &'o mut Outline<'k>,
    has_root: bool,
    is_soft_broken: bool,
}

impl<'b> Reader<'b, '_, '_> {
    fn document(&mut self) -> Result<(), Parse> {
        loop {
            let at = self.rest.iter().position(|byte| *byte == b'<');
            let text = self.take(at.unwrap_or(self.rest.len()));
            self.content(text)?;
            if at.is_none() {
                let is_whole = self.names.is_empty() && self.has_root;
                return if is_whole { Ok(()) } else { Err(Parse::CutShort) };
            }
            self.markup()?;
        }
    }

    fn take(&mut self, n: usize) -> &'b [u8] {
        let (head, tail) = self.rest.split_at_checked(n).unwrap_or((self.rest, &[]));
        self.rest = tail;
        head
    }

    /// Everything up to and with `end`, `end` left out.
    fn until(&mut self, end: &[u8]) -> Result<&'b [u8], Parse> {
        let at = self.rest.windows(end.len()).position(|window| window == end).ok_or(Parse::CutShort)?;
        let found = self.take(at);
        self.take(end.len());
        Ok(found)
    }

    /// Text between tags.
    fn content(&mut self, text: &'b [u8]) -> Result<(), Parse> {
        let trimmed = text.trim_ascii();
        if trimmed.is_empty() {
            return Ok(());
        }
        if self.names.is_empty() {
            self.is_soft_broken = true;
        }
        self.references(trimmed);
        self.value(Label::Element, trimmed)
    }

    fn value(&mut self, label: Label<'_>, text: &[u8]) -> Result<(), Parse> {
        if self.outline.text(label, text, tag_of) { Ok(()) } else { Err(Parse::Limited) }
    }

    /// Looks at the references in a text: bare ampersands break it, entities of its own are told.
    fn references(&mut self, text: &[u8]) {
        let mut pieces = text.split(|byte| *byte == b'&');
        pieces.next();
        for piece in pieces {
            let name = piece.iter().position(|byte| *byte == b';').and_then(|end| piece.get(..end));
            match name {
                Some(b"amp" | b"lt" | b"gt" | b"quot" | b"apos") => {}
                Some([b'#', digits @ ..]) if !digits.is_empty() => {}
                Some(name) if !name.is_empty() && name.iter().all(|byte| is_name_byte(*byte)) => {
                    self.outline.fact(Label::Attribute(b"entity"));
                }
                _ => self.is_soft_broken = true,
            }
        }
    }

    /// One piece of markup; the next byte is `<`.
    fn markup(&mut self) -> Result<(), Parse> {
        if self.rest.starts_with(b"<!--") {
            self.take(4);
            self.until(b"-->").map(drop)
        } else if self.rest.starts_with(b"<![CDATA[") {
            self.take(9);
            let text = self.until(b"]]>")?;
            if text.is_empty() { Ok(()) } else { self.value(Label::Element, text) }
        } else if self.rest.starts_with(b"<!") {
            self.declaration()
        } else if self.rest.starts_with(b"<?") {
            self.until(b"?>").map(drop)
        } else if self.rest.starts_with(b"</") {
            self.take(2);
            let name = self.until(b">")?.trim_ascii();
            if self.names.pop() != Some(name) {
                return Err(Parse::Broken);
            }
            self.outline.close();
            Ok(())
        } else {
            self.take(1);
            self.element()
        }
    }

    /// A document type or a declaration in one: told, never followed.
    fn declaration(&mut self) -> Result<(), Parse> {
        self.outline.fact(Label::Attribute(b"declaration"));
        let mut n_brackets = 0_usize;
        let mut quote = None;
        for (at, byte) in self.rest.iter().enumerate() {
            match (quote, byte) {
                (Some(open), byte) if open == *byte => quote = None,
                (None, b'"' | b'\'') => quote = Some(*byte),
                (None, b'[') => n_brackets += 1,
                (None, b']') => n_brackets = n_brackets.saturating_sub(1),
                (None, b'>') if n_brackets == 0 => {
                    let text = self.take(at + 1);
                    if text.windows(8).any(|window| window.eq_ignore_ascii_case(b"<!ENTITY")) {
                        self.outline.fact(Label::Attribute(b"entity declaration"));
                    }
                    return Ok(());
                }
                _ => {}
            }
        }
        Err(Parse::CutShort)
    }

    fn name(&mut self) -> &'b [u8] {
        let end = self.rest.iter().position(|byte| !is_name_byte(*byte)).unwrap_or(self.rest.len());
        self.take(end)
    }

    /// An opening tag with its attributes.
    fn element(&mut self) -> Result<(), Parse> {
        let name = self.name();
        if name.is_empty() {
            return Err(if self.rest.is_empty() { Parse::CutShort } else { Parse::Broken });
        }
        if self.rest.is_empty() {
            return Err(Parse::CutShort);
        }
        if self.names.is_empty() && self.has_root {
            self.is_soft_broken = true;
        }
        self.has_root = true;
        if !self.outline.open(Label::Name(name), Tag::Element) {
            return Err(Parse::Limited);
        }
        self.names.push(name);
        loop {
            self.rest = self.rest.trim_ascii_start();
            match self.rest.first() {
                None => return Err(Parse::CutShort),
                Some(b'>') => {
                    self.take(1);
                    return Ok(());
                }
                Some(b'/') => {
                    self.take(1);
                    if self.rest.first() != Some(&b'>') {
                        return Err(if self.rest.is_empty() { Parse::CutShort } else { Parse::Broken });
                    }
                    self.take(1);
                    self.names.pop();
                    self.outline.close();
                    return Ok(());
                }
                Some(_) => self.attribute()?,
            }
        }
    }

    fn attribute(&mut self) -> Result<(), Parse> {
        let name = self.name();
        self.rest = self.rest.trim_ascii_start();
        let is_assigned = self.rest.first() == Some(&b'=');
        if self.rest.is_empty() {
            return Err(Parse::CutShort);
        }
        if name.is_empty() || !is_assigned {
            return Err(Parse::Broken);
        }
        self.take(1);
        self.rest = self.rest.trim_ascii_start();
        let quote = match self.rest.first() {
            None => return Err(Parse::CutShort),
            Some(quote @ (b'"' | b'\'')) => [*quote],
            Some(_) => return Err(Parse::Broken),
        };
        self.take(1);
        let value = self.until(&quote)?;
        self.references(value);
        self.is_soft_broken |= value.contains(&b'<');
        self.value(Label::Attribute(name), value)
    }
}

/// Texts of XML are empty, numbers, or texts; fractions do not make another kind, since nobody writes `.00` reliably.
fn tag_of(facts: &TextFacts, _: &[u8]) -> Tag {
    match facts.kind {
        ValueKind::EmptyText => Tag::EmptyText,
        ValueKind::NumericText => Tag::Int,
        _ => Tag::Text,
    }
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte) || !byte.is_ascii()
}
