//! Masking: which words of a message may be kept.
//!
//! A fixed wording is kept by its rule's own words, so nothing of the input can be in it. Free text is another matter:
//! nobody can know which of its words the programmer wrote. Kept are at most [`WORDS_MAX`] plain words of its first
//! line, up to the first `: ` (behind it `expect` and most programmers put the value). Masked are quoted and bracketed
//! parts, numbers, words with digits, long words, words with unusual characters.
//!
//! What can still pass: a plain word of at most [`WORD_BYTES_MAX`] ASCII letters that a program puts bare into a free
//! text (`panic!("no plan {name}")`), and an unknown error type whose `Debug` prints input that looks like the name of a
//! type. Cost: linear in the first [`LINE_BYTES_MAX`] bytes.

use super::head;

/// What stands for a masked part.
pub(super) const HOLE: &str = "<*>";

/// Most words kept of a free text: programmers' messages are shorter, pasted input is longer.
const WORDS_MAX: usize = 12;

/// Longest word kept, in bytes: longer ones are tokens, paths, hashes.
const WORD_BYTES_MAX: usize = 24;

/// Shortest run of the letters a to f that is taken for hexadecimal, in bytes.
const HEX_BYTES_MIN: usize = 8;

/// Most changes from a small to a capital letter in a word that is kept: `JoinHandleTaskError` has three.
const CASE_RISES_MAX: usize = 4;

/// Most bytes of a first line that are looked at.
const LINE_BYTES_MAX: usize = 1 << 10;

/// Longest name of a type that is kept, in bytes.
const TYPE_BYTES_MAX: usize = 40;

/// Most digits in the name of a type (`FromUtf16Error` has two).
const TYPE_DIGITS_MAX: usize = 2;

/// `text` with every run of digits replaced by `#`; for wordings that are fixed but for their numbers.
pub(super) fn numbers(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    for c in text.chars() {
        if !c.is_ascii_digit() {
            masked.push(c);
        } else if !masked.ends_with('#') {
            masked.push('#');
        }
    }
    masked
}

/// `first: second`, or whichever there is.
pub(super) fn join(first: String, second: Option<&str>) -> String {
    match second {
        Some(second) if first.is_empty() => second.to_owned(),
        Some(second) if !second.is_empty() => format!("{first}: {second}"),
        _ => first,
    }
}

/// The name of the type or variant with which a printed error starts, if it looks like one: `ParseIntError` of
/// `ParseIntError { kind: Empty }`.
pub(super) fn skeleton(error: &str) -> Option<&str> {
    let end = error.bytes().position(|b| !b.is_ascii_alphanumeric() && b != b':' && b != b'_').unwrap_or(error.len());
    let (name, rest) = error.split_at_checked(end)?;
    let n_digits = name.bytes().filter(u8::is_ascii_digit).count();
    let is_type = name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.len() <= TYPE_BYTES_MAX
        && n_digits <= TYPE_DIGITS_MAX
        && name.bytes().any(|b| b.is_ascii_lowercase())
        && (rest.is_empty() || rest.starts_with('(') || rest.starts_with(" {"));
    is_type.then_some(name)
}

/// The plain words of a free text, everything else as [`HOLE`] or `#`.
pub(super) fn free_text(text: &str) -> String {
    let line = text.split(['\n', '\r']).next().unwrap_or_default();
    let cut = line.len() > LINE_BYTES_MAX;
    let line = head(line, LINE_BYTES_MAX);
    let (line, has_value) = line.split_once(": ").map_or((line, false), |(line, _)| (line, true));
    let mut words = Words::default();
    let mut rest = line;
    while let Some(opening) = opening(rest) {
        let (before, quoted) = rest.split_at_checked(opening).unwrap_or((rest, ""));
        words.add(before);
        words.push(HOLE);
        // To the last closing mark: text inside may hold closing marks of its own.
        let closing = quoted.chars().next().map_or('"', closing_of);
        rest = match quoted.char_indices().skip(1).filter(|(_, c)| *c == closing).last() {
            Some((at, _)) => quoted.split_at_checked(at + closing.len_utf8()).map_or("", |(_, rest)| rest),
            None => "",
        };
    }
    words.add(rest);
    if cut {
        words.push(HOLE);
    }
    join(words.kept, has_value.then_some(HOLE))
}

/// Where the first quoted or bracketed part starts. An apostrophe inside a word opens nothing.
fn opening(text: &str) -> Option<usize> {
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        if matches!(c, '"' | '`' | '[' | '{' | '(' | '<') || (c == '\'' && !before.is_alphanumeric()) {
            return Some(at);
        }
        before = c;
    }
    None
}

fn closing_of(opening: char) -> char {
    match opening {
        '[' => ']',
        '{' => '}',
        '(' => ')',
        '<' => '>',
        quote => quote,
    }
}

/// Words kept so far; holes that follow each other are one.
#[derive(Default)]
struct Words {
    kept: String,
    n_words: usize,
}

impl Words {
    fn add(&mut self, text: &str) {
        for word in text.split_whitespace() {
            let core = word.trim_end_matches([',', '.', ';', ':', '!', '?']);
            if is_number(core) {
                self.push("#");
            } else if is_plain(core) {
                self.push(core);
            } else if !core.is_empty() {
                self.push(HOLE);
            }
        }
    }

    fn push(&mut self, word: &str) {
        let repeats = word == HOLE && self.kept.ends_with(HOLE);
        if repeats || self.n_words >= WORDS_MAX {
            return;
        }
        if !self.kept.is_empty() {
            self.kept.push(' ');
        }
        self.kept.push_str(word);
        self.n_words += 1;
    }
}

fn is_number(word: &str) -> bool {
    word.bytes().any(|b| b.is_ascii_digit())
        && word
            .bytes()
            .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b',' | b':' | b'-' | b'+' | b'/' | b'%' | b'_'))
}

fn is_plain(word: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphabetic() || matches!(b, b'-' | b'_' | b'\'' | b':' | b'/');
    let hexadecimal = word.len() >= HEX_BYTES_MIN && word.bytes().all(|b| b.is_ascii_hexdigit());
    !word.is_empty()
        && word.len() <= WORD_BYTES_MAX
        && word.starts_with(|c: char| c.is_ascii_alphabetic())
        && word.ends_with(|c: char| c.is_ascii_alphabetic())
        && word.bytes().all(inner)
        && !hexadecimal
        && is_spelt_as_words_are(word)
}

/// Whether the letters' case is that of a word or of an identifier: no program's text is spelt `sk_live_QwErTy`.
fn is_spelt_as_words_are(word: &str) -> bool {
    let n_rises =
        word.bytes().zip(word.bytes().skip(1)).filter(|(a, b)| a.is_ascii_lowercase() && b.is_ascii_uppercase());
    let is_mixed = word.bytes().any(|b| b.is_ascii_lowercase()) && word.bytes().any(|b| b.is_ascii_uppercase());
    n_rises.count() <= CASE_RISES_MAX && !(is_mixed && word.contains('_') && !word.contains("::"))
}
