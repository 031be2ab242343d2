//! JSON on one line of printable characters.
//!
//! `serde_json` escapes what JSON demands, U+0000 to U+001F. Here everything else that a terminal or a viewer does not
//! show as itself (DEL, C1, direction overrides, joiners, line and paragraph separators) is written as `\uXXXX` too.
//! Readers get the very same text back; people see what is there.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

use crate::pipeline::neutral::is_shown;

/// Appends `value` as compact JSON on one line, without a line end.
///
/// # Errors
/// A value that is no JSON; `out` may then hold a part of it.
pub fn write<T: Serialize>(value: &T, out: &mut Vec<u8>) -> serde_json::Result<()> {
    value.serialize(&mut Serializer::with_formatter(out, Shown))
}

struct Shown;

impl Formatter for Shown {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some((plain, tail)) = rest.find(|c| !is_shown(c)).and_then(|at| rest.split_at_checked(at)) {
            writer.write_all(plain.as_bytes())?;
            let mut tail = tail.chars();
            if let Some(c) = tail.next() {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
            rest = tail.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}
