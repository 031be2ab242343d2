//! One printable line out of any text, for what must be shown though a stranger wrote it.
//!
//! Routes, sites, releases, agent names, services, organisations. Reads a text, gives the same text when it is harmless
//! (borrowed: the ordinary case costs one pass over its bytes), else one in which every control, format (bidi,
//! zero-width, tag), private-use, line-breaking or invisible character is a visible `\u{…}`. Never more than the asked
//! bytes. Quoting for a medium (HTML, CSV, CEF) is the medium's own business and comes after.

use std::borrow::Cow;
use std::fmt::Write;

/// What stands for the part that did not fit.
const CUT: char = '…';

/// Characters that are not shown as themselves, as inclusive ranges in order: Unicode 16.0 general categories Cf, Co,
/// Zl, Zp and the property `Default_Ignorable_Code_Point`. (Cc is asked of `char::is_control`.)
const INVISIBLE: &[(u32, u32)] = &[
    (0x00AD, 0x00AD),
    (0x034F, 0x034F),
    (0x0600, 0x0605),
    (0x061C, 0x061C),
    (0x06DD, 0x06DD),
    (0x070F, 0x070F),
    (0x0890, 0x0891),
    (0x08E2, 0x08E2),
    (0x115F, 0x1160),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x200B, 0x200F),
    (0x2028, 0x202E),
    (0x2060, 0x206F),
    (0x3164, 0x3164),
    (0xE000, 0xF8FF),
    (0xFE00, 0xFE0F),
    (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0),
    (0xFFF0, 0xFFFB),
    (0x110BD, 0x110BD),
    (0x110CD, 0x110CD),
    (0x13430, 0x1343F),
    (0x1BCA0, 0x1BCA3),
    (0x1D173, 0x1D17A),
    (0xE0000, 0xE0FFF),
    (0xF0000, 0x0010_FFFF),
];

/// `text` as one printable line of at most `bytes_max` bytes, cut between characters and then ended by `…` (where
/// three bytes are too many, by nothing). Doing it twice changes nothing.
pub fn line(text: &str, bytes_max: usize) -> Cow<'_, str> {
    let harmless = text.bytes().all(|b| (b' '..=b'~').contains(&b)) || text.chars().all(is_shown);
    if harmless && text.len() <= bytes_max {
        return Cow::Borrowed(text);
    }
    let room = bytes_max.saturating_sub(CUT.len_utf8());
    let mut shown = String::with_capacity(text.len().min(bytes_max));
    // Up to here the text fits together with the mark of the cut.
    let mut fits = 0;
    for c in text.chars() {
        if is_shown(c) {
            shown.push(c);
        } else {
            // Writing to a String cannot fail.
            write!(shown, "\\u{{{:x}}}", u32::from(c)).unwrap_or_default();
        }
        if shown.len() <= room {
            fits = shown.len();
        }
        if shown.len() > bytes_max {
            shown.truncate(fits);
            if bytes_max >= CUT.len_utf8() {
                shown.push(CUT);
            }
            break;
        }
    }
    Cow::Owned(shown)
}

/// Whether a character is shown as itself: no control, format, private-use, line-breaking or invisible one.
pub fn is_shown(c: char) -> bool {
    let code = u32::from(c);
    !c.is_control()
        && INVISIBLE
            .binary_search_by(|&(first, last)| {
                if last < code {
                    std::cmp::Ordering::Less
                } else if first > code {
                    std::cmp::Ordering::Greater
                } else {
                    std::cmp::Ordering::Equal
                }
            })
            .is_err()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, bytes_max: usize, expected: &str) {
        assert_eq!(line(text, bytes_max), expected, "{text:?} within {bytes_max}");
    }

    #[test]
    fn harmless_text_is_borrowed() {
        assert!(matches!(line("POST /v1/orders/{id}", 100), Cow::Borrowed(_)));
        assert!(matches!(line("Bücher/日本", 100), Cow::Borrowed(_)));
        assert!(matches!(line("", 0), Cow::Borrowed(_)));
    }

    #[test]
    fn dangerous_characters_become_visible() {
        check("a\nb\r\u{0}", 100, "a\\u{a}b\\u{d}\\u{0}");
        check("\u{1b}[2J", 100, "\\u{1b}[2J");
        check("evil\u{202e}gnp.exe", 100, "evil\\u{202e}gnp.exe");
        check("a\u{200b}b\u{feff}", 100, "a\\u{200b}b\\u{feff}");
        check("\u{85}\u{2028}\u{e000}\u{e0041}", 100, "\\u{85}\\u{2028}\\u{e000}\\u{e0041}");
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        check("abcdef", 6, "abcdef");
        check("abcdefg", 6, "abc…");
        check("ééé", 5, "é…");
        check("abc", 2, "");
        check("abc", 0, "");
        check("\u{202e}\u{202e}", 12, "\\u{202e}…");
    }

    #[test]
    fn every_invisible_character_of_unicode_is_caught() {
        let invisible = regex::Regex::new(r"^[\p{Cc}\p{Cf}\p{Co}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]$")
            .expect("the property is known to the regex crate");
        let mut n_caught = 0;
        for c in (0..=0x0010_FFFF).filter_map(char::from_u32) {
            if invisible.is_match(c.encode_utf8(&mut [0; 4])) {
                assert!(!is_shown(c), "U+{:04X}", u32::from(c));
                n_caught += 1;
            }
        }
        assert!(n_caught > 100_000, "the test looked at too little: {n_caught}");
    }

    proptest! {
        #[test]
        fn the_line_is_bounded_printable_and_stable(text in any::<String>(), bytes_max in 0_usize..80) {
            let once = line(&text, bytes_max);
            prop_assert!(once.len() <= bytes_max);
            prop_assert!(once.chars().all(is_shown));
            prop_assert_eq!(line(&once, bytes_max), once.as_ref());
        }
    }
}
