//! JSON, read tolerantly: structure up to the point where it ends or breaks.
//!
//! One pass with an explicit stack of brackets; nothing recurses. What JSON forbids but can be read (raw control
//! characters, unknown escapes, leading zeros) is read and makes the body `Broken`; anything else ends the reading.
//! Cost: linear in the bytes read.

use super::label::Label;
use super::number::Number;
use super::outline::{Outline, Scalar, Tag};
use super::{Parse, ValueKind, marks};

/// Buffers of the reader, kept between requests.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// Open brackets: true for an object.
    brackets: Vec<bool>,
    key: Vec<u8>,
    text: Vec<u8>,
}

/// Reads one value from the start of `bytes` into `outline`: how it read, and how many bytes it took. What it opened
/// is closed.
pub(super) fn read(bytes: &[u8], outline: &mut Outline<'_>, scratch: &mut Scratch) -> (Parse, usize) {
    let n_open = outline.n_open();
    scratch.brackets.clear();
    let mut reader = Reader { bytes, at: 0, outline, scratch, is_soft_broken: false };
    let end = match reader.document() {
        Ok(()) if reader.is_soft_broken => Parse::Broken,
        Ok(()) => Parse::Sound,
        Err(end) => end,
    };
    let used = reader.at;
    outline.close_to(n_open);
    (end, used)
}

/// Reads a whole body: one value and nothing after it but white space.
pub(super) fn read_body(bytes: &[u8], outline: &mut Outline<'_>, scratch: &mut Scratch) -> Parse {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let (parse, used) = read(bytes, outline, scratch);
    let has_rest = bytes.iter().skip(used).any(|byte| !is_space(*byte));
    if parse == Parse::Sound && has_rest { Parse::Broken } else { parse }
}

/// Reads one value a line; a line that does not read leaves its fact, and the next one is read.
pub(super) fn read_lines(bytes: &[u8], outline: &mut Outline<'_>, scratch: &mut Scratch) -> Parse {
    let n_open = outline.n_open();
    outline.open(Label::Element, Tag::Array);
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let mut parse = Parse::Sound;
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.iter().all(|byte| is_space(*byte))) {
        match read_body(line, outline, scratch) {
            Parse::Sound => parse = if parse == Parse::CutShort { Parse::Broken } else { parse },
            Parse::Limited => {
                parse = Parse::Limited;
                break;
            }
            end => {
                // A line cut short in the middle of the body is a broken body; as the last line it is a cut one.
                let is_first_fault = parse == Parse::Sound;
                parse = if is_first_fault { end } else { Parse::Broken };
                outline.fact(Label::Attribute(b"broken line"));
            }
        }
    }
    outline.close_to(n_open);
    parse
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// A key or text as it was found.
#[derive(Clone, Copy)]
enum Piece<'b> {
    /// As it stands in the body.
    Raw(&'b [u8]),
    /// Its escapes resolved, in the scratch buffer.
    Unescaped,
}

impl<'b> Piece<'b> {
    fn bytes<'s>(self, buffer: &'s [u8]) -> &'s [u8]
    where
        'b: 's,
    {
        match self {
            Self::Raw(bytes) => bytes,
            Self::Unescaped => buffer,
        }
    }
}

struct Reader<'b, 'o, 'k> {
    bytes: &'b [u8],
    at: usize,
    outline: &'o mut Outline<'k>,
    scratch: &'o mut Scratch,
    is_soft_broken: bool,
}

impl<'b> Reader<'b, '_, '_> {
    fn peek(&mut self) -> Result<u8, Parse> {
        while let Some(byte) = self.bytes.get(self.at) {
            if !is_space(*byte) {
                return Ok(*byte);
            }
            self.at += 1;
        }
        Err(Parse::CutShort)
    }

    fn document(&mut self) -> Result<(), Parse> {
        let mut key = None;
        loop {
            let is_open = self.value(key.take())?;
            // After a value: close what closes, up to the next comma; after an opening bracket: its first member.
            let mut expects_member = is_open;
            loop {
                let Some(is_object) = self.scratch.brackets.last().copied() else { return Ok(()) };
                let byte = self.peek()?;
                let closing = if is_object { b'}' } else { b']' };
                if byte == closing {
                    self.at += 1;
                    self.scratch.brackets.pop();
                    self.outline.close();
                    expects_member = false;
                    continue;
                }
                if !expects_member {
                    if byte != b',' {
                        return Err(Parse::Broken);
                    }
                    self.at += 1;
                    if self.peek()? == closing {
                        return Err(Parse::Broken);
                    }
                }
                if is_object {
                    key = Some(self.key()?);
                }
                break;
            }
        }
    }

    /// A key and its colon.
    fn key(&mut self) -> Result<Piece<'b>, Parse> {
        if self.peek()? != b'"' {
            return Err(Parse::Broken);
        }
        let mut buffer = std::mem::take(&mut self.scratch.key);
        let (piece, is_whole) = self.string(&mut buffer);
        self.scratch.key = buffer;
        if !is_whole {
            return Err(Parse::CutShort);
        }
        if self.peek()? != b':' {
            return Err(Parse::Broken);
        }
        self.at += 1;
        Ok(piece)
    }

    /// One value; true when it is a container that now is open.
    fn value(&mut self, key: Option<Piece<'b>>) -> Result<bool, Parse> {
        match self.peek()? {
            byte @ (b'{' | b'[') => {
                self.at += 1;
                let is_object = byte == b'{';
                let tag = if is_object { Tag::Object } else { Tag::Array };
                let label = key.map_or(Label::Element, |piece| Label::Name(piece.bytes(&self.scratch.key)));
                if !self.outline.open(label, tag) {
                    return Err(Parse::Limited);
                }
                self.scratch.brackets.push(is_object);
                Ok(true)
            }
            b'"' => {
                let mut buffer = std::mem::take(&mut self.scratch.text);
                let (piece, is_whole) = self.string(&mut buffer);
                let label = key.map_or(Label::Element, |piece| Label::Name(piece.bytes(&self.scratch.key)));
                let is_admitted = self.outline.text(label, piece.bytes(&buffer), |_, _| Tag::Text);
                self.scratch.text = buffer;
                ended(is_admitted, is_whole)
            }
            b'-' | b'0'..=b'9' => self.number(key),
            _ => self.word(key),
        }
    }

    fn number(&mut self, key: Option<Piece<'b>>) -> Result<bool, Parse> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some((number, used)) = Number::prefix(rest) else {
            return Err(if rest.len() == 1 { Parse::CutShort } else { Parse::Broken });
        };
        self.at += used;
        self.is_soft_broken |= !number.is_json;
        self.outline.marks |= number.marks;
        self.scalar(key, Scalar::number(number))
    }

    fn word(&mut self, key: Option<Piece<'b>>) -> Result<bool, Parse> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let words: [(&[u8], Scalar); 3] = [
            (b"true", Scalar::plain(Tag::Bool, ValueKind::Bool)),
            (b"false", Scalar::plain(Tag::Bool, ValueKind::Bool)),
            (b"null", Scalar::plain(Tag::Null, ValueKind::Null)),
        ];
        for (word, scalar) in words {
            if rest.starts_with(word) {
                self.at += word.len();
                return self.scalar(key, scalar);
            }
            if word.starts_with(rest) {
                return Err(Parse::CutShort);
            }
        }
        Err(Parse::Broken)
    }

    fn scalar(&mut self, key: Option<Piece<'b>>, scalar: Scalar) -> Result<bool, Parse> {
        let label = key.map_or(Label::Element, |piece| Label::Name(piece.bytes(&self.scratch.key)));
        ended(self.outline.scalar(label, scalar), true)
    }

    /// The string whose opening quote is next, and whether its closing quote came.
    fn string(&mut self, buffer: &mut Vec<u8>) -> (Piece<'b>, bool) {
        self.at += 1;
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let plain = n_plain(rest);
        let (head, tail) = rest.split_at_checked(plain).unwrap_or((rest, &[]));
        match tail.first() {
            Some(b'"') => {
                self.at += plain + 1;
                (Piece::Raw(head), true)
            }
            None => {
                self.at += plain;
                (Piece::Raw(head), false)
            }
            Some(_) => {
                buffer.clear();
                buffer.extend_from_slice(head);
                self.at += plain;
                (Piece::Unescaped, self.escaped(buffer))
            }
        }
    }

    /// The rest of a string that has escapes; whether its closing quote came.
    fn escaped(&mut self, buffer: &mut Vec<u8>) -> bool {
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            let plain = n_plain(rest);
            buffer.extend_from_slice(rest.get(..plain).unwrap_or_default());
            self.at += plain;
            match rest.get(plain) {
                None => return false,
                Some(b'"') => {
                    self.at += 1;
                    return true;
                }
                Some(byte) if *byte != b'\\' => {
                    self.is_soft_broken = true;
                    buffer.push(*byte);
                    self.at += 1;
                }
                Some(_) => {
                    let Some(escape) = rest.get(plain + 1) else {
                        self.at += 1;
                        return false;
                    };
                    self.at += 2;
                    match escape {
                        b'"' | b'\\' | b'/' => buffer.push(*escape),
                        b'b' => buffer.push(8),
                        b'f' => buffer.push(12),
                        b'n' => buffer.push(b'\n'),
                        b'r' => buffer.push(b'\r'),
                        b't' => buffer.push(b'\t'),
                        b'u' => self.unicode(buffer),
                        _ => {
                            self.is_soft_broken = true;
                            buffer.push(*escape);
                        }
                    }
                }
            }
        }
    }

    /// What follows `\u`; half of a surrogate pair becomes the replacement character and a mark.
    fn unicode(&mut self, buffer: &mut Vec<u8>) {
        let Some(first) = self.hex4(self.at) else {
            self.is_soft_broken = true;
            return;
        };
        self.at += 4;
        let mut code = first;
        if (0xD800..0xDC00).contains(&first)
            && self.bytes.get(self.at..self.at + 2) == Some(b"\\u")
            && let Some(second) = self.hex4(self.at + 2)
            && (0xDC00..0xE000).contains(&second)
        {
            self.at += 6;
            code = 0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00);
        }
        let character = char::from_u32(code).unwrap_or_else(|| {
            self.outline.marks |= marks::ODD_CODE_POINT;
            char::REPLACEMENT_CHARACTER
        });
        buffer.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    }

    fn hex4(&self, at: usize) -> Option<u32> {
        let digits = self.bytes.get(at..at.checked_add(4)?)?;
        digits.iter().try_fold(0, |sum, digit| Some(sum * 16 + char::from(*digit).to_digit(16)?))
    }
}

fn ended(is_admitted: bool, is_whole: bool) -> Result<bool, Parse> {
    match (is_admitted, is_whole) {
        (false, _) => Err(Parse::Limited),
        (true, false) => Err(Parse::CutShort),
        (true, true) => Ok(false),
    }
}

/// How many bytes come before the first quote, backslash or control character; eight at a time.
fn n_plain(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let zero_in = |word: u64| word.wrapping_sub(ONES) & !word & HIGHS;
    let (words, _) = bytes.as_chunks::<8>();
    let mut n = 0;
    for chunk in words {
        let word = u64::from_le_bytes(*chunk);
        let below_space = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
        if zero_in(word ^ (ONES * 0x22)) | zero_in(word ^ (ONES * 0x5C)) | below_space != 0 {
            break;
        }
        n += 8;
    }
    n + bytes.iter().skip(n).take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..=0x1F)).count()
}
