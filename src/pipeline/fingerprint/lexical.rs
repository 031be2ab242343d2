//! What a text looks like, without what it says: character classes, length, coarse pattern, marks.
//!
//! Reads one text (any bytes), of a long one the first 64 KiB (the rest only counts); gives [`TextFacts`]. Keeps no
//! character of it. Cost: linear; looks for path traversal only where two dots or a percent sign occur.

use super::number::Number;
use super::{ValueKind, chars, marks};

/// Characters from which a text is long; free-text fields of honest forms mostly stop at 1,000.
const LONG_CHARS_MIN: usize = 1024;
/// Different meta signs from which one text mixes several syntaxes.
const META_MIX_MIN: u32 = 4;
/// Bytes of one text that are looked at; a longer text costs no more than to count its characters.
const LOOK_BYTES_MAX: usize = 64 * 1024;
/// Runs that a pattern tells.
const PATTERN_RUNS_MAX: usize = 24;
/// Runs of this length and longer look alike.
const RUN_CUT: u8 = 3;

/// Signs that ordinary texts have (bits by ASCII code).
const COMMON_SIGNS: u128 = ascii_set(b".,-_:/@+!?");
const BREAKS: u128 = ascii_set(b"\t\r\n");
const LOWER: u128 = ascii_range(b'a', b'z');
const UPPER: u128 = ascii_range(b'A', b'Z');
const DIGITS: u128 = ascii_range(b'0', b'9');
const SPACE: u128 = 1 << b' ';
const CONTROLS: u128 = (ascii_range(0, 0x1F) | (1 << 0x7F)) & !BREAKS;
const META_SIGNS: u128 = !(COMMON_SIGNS | BREAKS | LOWER | UPPER | DIGITS | SPACE | CONTROLS);

const fn ascii_set(signs: &[u8]) -> u128 {
    let mut set = 0;
    let mut rest = signs;
    while let [sign, tail @ ..] = rest {
        set |= 1 << *sign;
        rest = tail;
    }
    set
}

const fn ascii_range(first: u8, last: u8) -> u128 {
    let mut set = 0;
    let mut code = first;
    while code <= last {
        set |= 1 << code;
        code += 1;
    }
    set
}

/// What is known of a text.
#[derive(Debug, Clone, Copy)]
pub(super) struct TextFacts {
    /// Characters; an invalid byte sequence counts as one.
    pub(super) n_chars: usize,
    /// Bits of [`chars`].
    pub(super) classes: u16,
    /// Bits of [`marks`].
    pub(super) marks: u16,
    /// `Text`, `EmptyText` or `NumericText`.
    pub(super) kind: ValueKind,
    /// It reads as a number with a minus sign.
    pub(super) negative: bool,
    /// It reads as a whole number.
    pub(super) is_whole: bool,
    pattern: Pattern,
}

impl TextFacts {
    /// The coarse pattern as bytes to be hashed: symbol and run length in turn.
    pub(super) fn pattern(&self) -> &[u8] {
        self.pattern.bytes.as_flattened().get(..2 * self.pattern.n_runs).unwrap_or_default()
    }
}

#[derive(Debug, Clone, Copy)]
struct Pattern {
    bytes: [[u8; 2]; PATTERN_RUNS_MAX],
    n_runs: usize,
    symbol: u8,
    run: u8,
}

impl Pattern {
    #[inline]
    fn push(&mut self, symbol: u8) {
        if symbol == self.symbol {
            self.run = (self.run + 1).min(RUN_CUT);
        } else {
            self.flush();
            self.symbol = symbol;
            self.run = 1;
        }
    }

    fn flush(&mut self) {
        if self.run > 0
            && let Some(slot) = self.bytes.get_mut(self.n_runs)
        {
            *slot = [self.symbol, self.run];
            self.n_runs += 1;
        }
    }
}

/// Looks at a text.
pub(super) fn study(whole: &[u8]) -> TextFacts {
    let (text, uncounted) = whole.split_at_checked(LOOK_BYTES_MAX).unwrap_or((whole, &[]));
    let mut pattern = Pattern { bytes: [[0; 2]; PATTERN_RUNS_MAX], n_runs: 0, symbol: 0, run: 0 };
    let (mut seen, mut beyond, mut is_odd) = (0_u128, 0_u16, false);
    let n_chars;
    if text.is_ascii() {
        n_chars = text.len();
        let mut bytes = text.iter();
        for byte in bytes.by_ref() {
            seen |= 1_u128 << (byte & 0x7F);
            pattern.push(ascii_symbol(*byte));
            if pattern.n_runs == PATTERN_RUNS_MAX {
                break;
            }
        }
        for byte in bytes {
            seen |= 1_u128 << (byte & 0x7F);
        }
    } else {
        let mut reader = Beyond { in_flag: false, n_chars: 0, seen: 0, classes: 0, is_odd: false };
        for chunk in text.utf8_chunks() {
            for character in chunk.valid().chars() {
                pattern.push(reader.take(character));
            }
            if !chunk.invalid().is_empty() {
                reader.n_chars += 1;
                reader.classes |= chars::ODD;
                pattern.push(0x85);
            }
        }
        (n_chars, seen, beyond, is_odd) = (reader.n_chars, reader.seen, reader.classes, reader.is_odd);
    }
    pattern.flush();
    // Bytes that do not continue a character of UTF-8 begin one.
    let n_chars = n_chars + uncounted.iter().map(|byte| usize::from(byte & 0xC0 != 0x80)).sum::<usize>();
    let number = Number::whole(whole);
    let mut found = number.map_or(0, |number| number.marks);
    if is_odd || seen & CONTROLS != 0 {
        found |= marks::ODD_CODE_POINT;
    }
    if n_chars >= LONG_CHARS_MIN {
        found |= marks::LONG_TEXT;
    }
    if (seen & META_SIGNS).count_ones() >= META_MIX_MIN {
        found |= marks::META_MIX;
    }
    if traverses(text, seen) {
        found |= marks::TRAVERSAL;
    }
    let kind = match (n_chars, number) {
        (0, _) => ValueKind::EmptyText,
        (_, Some(_)) => ValueKind::NumericText,
        _ => ValueKind::Text,
    };
    TextFacts {
        n_chars,
        classes: beyond | ascii_classes(seen),
        marks: found,
        kind,
        negative: number.is_some_and(|number| number.negative),
        is_whole: number.is_some_and(|number| !number.is_float),
        pattern,
    }
}

/// The character classes of a set of ASCII codes.
fn ascii_classes(seen: u128) -> u16 {
    [
        (LOWER, chars::LOWER),
        (UPPER, chars::UPPER),
        (DIGITS, chars::DIGIT),
        (SPACE, chars::SPACE),
        (BREAKS, chars::BREAK),
        (COMMON_SIGNS, chars::COMMON_SIGN),
        (META_SIGNS, chars::META_SIGN),
        (CONTROLS, chars::CONTROL),
    ]
    .iter()
    .fold(0, |classes, (set, class)| if seen & set == 0 { classes } else { classes | class })
}

#[inline]
fn ascii_symbol(byte: u8) -> u8 {
    match byte {
        b'a'..=b'z' => b'a',
        b'A'..=b'Z' => b'A',
        b'0'..=b'9' => b'9',
        b'\t' | b'\r' | b'\n' => b'\n',
        0..=0x1F | 0x7F => 1,
        sign => sign,
    }
}

/// Whether the text climbs a path (`../`, `..\`, `%2e%2e`) or is percent-encoded twice (`%25xx`).
fn traverses(text: &[u8], seen: u128) -> bool {
    let may_climb = seen & (1 << b'.') != 0 && seen & ascii_set(b"/\\") != 0;
    let climbs = || text.windows(3).any(|window| matches!(window, b"../" | b"..\\"));
    let may_encode = seen & (1 << b'%') != 0;
    let encodes = || {
        text.windows(5)
            .any(|window| matches!(window, [b'%', b'2', b'5', a, b] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit()))
            || text.windows(6).any(|window| window.eq_ignore_ascii_case(b"%2e%2e"))
    };
    (may_climb && climbs()) || (may_encode && encodes())
}

/// Reader of text that is not ASCII alone.
struct Beyond {
    in_flag: bool,
    n_chars: usize,
    seen: u128,
    classes: u16,
    is_odd: bool,
}

impl Beyond {
    fn take(&mut self, character: char) -> u8 {
        self.n_chars += 1;
        if let Ok(byte) = u8::try_from(character)
            && byte.is_ascii()
        {
            self.in_flag = false;
            self.seen |= 1_u128 << byte;
            return ascii_symbol(byte);
        }
        let code = u32::from(character);
        // A black flag followed by tag characters is the flag of a region: ordinary. Tags elsewhere are hidden text.
        let is_tag = (0xE_0020..=0xE_007F).contains(&code);
        if is_tag && self.in_flag {
            self.classes |= chars::PICTOGRAPH;
            return 0x82;
        }
        self.in_flag = code == 0x1_F3F4;
        let (class, symbol) = beyond_ascii(character);
        self.classes |= class;
        self.is_odd |= class == chars::CONTROL || (class == chars::ODD && is_never_ordinary(code));
        symbol
    }
}

/// Class and pattern symbol of a character beyond ASCII. Without Unicode tables: blocks, and what the standard
/// library knows of letters; characters unassigned within an assigned plane pass as `OTHER`.
fn beyond_ascii(character: char) -> (u16, u8) {
    match u32::from(character) {
        0x80..=0x9F => (chars::CONTROL, 1),
        0xC0..=0xD6
        | 0xD8..=0xF6
        | 0xF8..=0x024F
        | 0x0400..=0x0481
        | 0x048A..=0x052F
        | 0x3041..=0x3096
        | 0x30A1..=0x30FA
        | 0x4E00..=0x9FFF
        | 0xAC00..=0xD7A3 => (chars::FOREIGN_LETTER, 0x81),
        0x200C..=0x200D | 0xFE00..=0xFE0F => (chars::OTHER, 0x83),
        0xAD
        | 0x061C
        | 0x180E
        | 0x200B..=0x200F
        | 0x202A..=0x202E
        | 0x2060..=0x206F
        | 0xFEFF
        | 0xFFF0..=0xFFFF
        | 0xFDD0..=0xFDEF
        | 0xE000..=0xF8FF
        | 0x4_0000..=0xE_00FF
        | 0xF_0000.. => (chars::ODD, 0x84),
        code if code & 0xFFFE == 0xFFFE => (chars::ODD, 0x84),
        0x2600..=0x27BF | 0x2B00..=0x2BFF | 0x20E3 | 0x1_F000..=0x1_FAFF => (chars::PICTOGRAPH, 0x82),
        0x0300..=0x036F | 0x1AB0..=0x1AFF | 0x1DC0..=0x1DFF | 0x20D0..=0x20FF | 0xFE20..=0xFE2F => {
            (chars::FOREIGN_LETTER, 0x81)
        }
        _ if character.is_alphabetic() => (chars::FOREIGN_LETTER, 0x81),
        _ => (chars::OTHER, 0x83),
    }
}

/// Odd characters that no keyboard, editor or messenger produces: private use, noncharacters, tags outside of flags,
/// unassigned planes. Format characters and the replacement character come with pasted text and are not among them.
fn is_never_ordinary(code: u32) -> bool {
    matches!(code, 0xE000..=0xF8FF | 0xFDD0..=0xFDEF | 0x4_0000..=0xE_00FF | 0xF_0000..) || code & 0xFFFE == 0xFFFE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, classes: u16, found: u16) {
        let facts = study(text.as_bytes());
        assert_eq!((facts.classes, facts.marks), (classes, found), "{text:?}");
    }

    #[test]
    fn ordinary_texts_earn_no_mark() {
        check("", 0, 0);
        check("Main Street 5", chars::LOWER | chars::UPPER | chars::DIGIT | chars::SPACE, 0);
        check("Bücherregal", chars::LOWER | chars::UPPER | chars::FOREIGN_LETTER, 0);
        check("ok 👍🏽", chars::LOWER | chars::SPACE | chars::PICTOGRAPH, 0);
    }

    #[test]
    fn flags_of_regions_and_joined_emoji_are_not_odd() {
        check("\u{1F3F4}\u{E0067}\u{E0062}\u{E0073}\u{E007F}", chars::PICTOGRAPH, 0);
        check("\u{1F9DF}\u{200D}\u{2642}\u{FE0F}", chars::PICTOGRAPH | chars::OTHER, 0);
    }

    #[test]
    fn hidden_and_impossible_characters_are_odd() {
        check("\u{E0067}", chars::ODD, marks::ODD_CODE_POINT);
        check("\u{E000}", chars::ODD, marks::ODD_CODE_POINT);
        check("\u{1FFFE}", chars::ODD, marks::ODD_CODE_POINT);
        check("\u{0}", chars::CONTROL, marks::ODD_CODE_POINT);
        check("\u{85}", chars::CONTROL, marks::ODD_CODE_POINT);
        check("\u{200B}", chars::ODD, 0);
    }

    #[test]
    fn climbing_and_double_encoding_are_marked() {
        for text in ["../etc", "a/..\\b", "%2E%2e", "%252e", "x%25ffy"] {
            assert_eq!(study(text.as_bytes()).marks & marks::TRAVERSAL, marks::TRAVERSAL, "{text}");
        }
        for text in ["a..b", "../", "100%", "%25", "%2e"] {
            assert_eq!(study(text.as_bytes()).marks & marks::TRAVERSAL != 0, text == "../", "{text}");
        }
    }

    #[test]
    fn many_meta_signs_and_length_are_marked() {
        assert_eq!(study(b"<a b=\"c\">").marks, marks::META_MIX);
        assert_eq!(study(b"O'Brien & Sons").marks, 0);
        assert_eq!(study(&[b'a'; 1024]).marks, marks::LONG_TEXT);
        assert_eq!(study(&[b'a'; 1023]).marks, 0);
        let long = "é".repeat(LOOK_BYTES_MAX);
        assert_eq!(study(long.as_bytes()).n_chars, LOOK_BYTES_MAX);
    }

    #[test]
    fn the_pattern_keeps_form_and_drops_value() {
        assert_eq!(study(b"A-503999").pattern(), study(b"B-12345").pattern());
        assert_ne!(study(b"A-5").pattern(), study(b"A_5").pattern());
        assert_eq!(study(&b"a1".repeat(1000)).pattern().len(), 48);
        assert_eq!(study("é1".as_bytes()).pattern(), [0x81, 1, b'9', 1]);
    }

    #[test]
    fn bytes_that_are_not_utf8_are_odd_but_not_fatal() {
        let facts = study(b"caf\xE9 \xFF");
        assert_eq!((facts.classes & chars::ODD, facts.n_chars), (chars::ODD, 6));
    }
}
