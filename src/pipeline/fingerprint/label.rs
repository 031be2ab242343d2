//! Keys and names as they enter a term: literal, or as a class where the key is itself data.
//!
//! Reads one name; gives its encoding. The rule looks at the name alone (no memory), so every worker decides alike.
//! Cost: one pass over at most 65 bytes.

/// Longest name that enters a term literally; longer ones are data or an attack, and become one class.
const NAME_BYTES_MAX: usize = 64;
/// First byte of an attribute's encoding is this plus its length; a key's is the length alone.
pub(super) const ATTRIBUTE: u8 = 0x80;
/// First (and only) byte of a class token is this plus the class.
pub(super) const CLASS: u8 = 0xE0;
/// First (and only) byte of a position in an array.
pub(super) const ELEMENT: u8 = 0xFF;
/// Shortest run of hexadecimal digits that is taken for data rather than for a word.
const HEX_DIGITS_MIN: usize = 8;

/// What stands before a value.
#[derive(Debug, Clone, Copy)]
pub(super) enum Label<'a> {
    /// Nothing: a position in an array, a line, a root.
    Element,
    /// A key, column, parameter or element name.
    Name(&'a [u8]),
    /// An XML attribute, or a property of a part that its sender did not name.
    Attribute(&'a [u8]),
}

impl Label<'_> {
    /// Appends the encoding: self-delimiting, since the first byte tells how many follow.
    pub(super) fn write(self, out: &mut Vec<u8>) {
        let (base, name) = match self {
            Label::Element => return out.push(ELEMENT),
            Label::Name(name) => (0, name),
            Label::Attribute(name) => (ATTRIBUTE, name),
        };
        match (class_of(name), u8::try_from(name.len())) {
            (None, Ok(length)) => {
                out.push(base | length);
                out.extend_from_slice(name);
            }
            (class, _) => out.push(CLASS | class.unwrap_or(Class::Long) as u8),
        }
    }
}

/// Number of bytes that follow the first byte of an encoded label.
pub(super) fn n_following(first: u8) -> usize {
    usize::from(match first {
        CLASS.. => 0,
        ATTRIBUTE.. => first & !ATTRIBUTE,
        length => length,
    })
}

/// What a name that is data looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// More than 64 bytes.
    Long,
    /// Digits alone, with or without a sign.
    Decimal,
    /// Eight or more hexadecimal digits, at least one of them 0-9.
    Hex,
    /// 8-4-4-4-12 hexadecimal digits.
    Uuid,
    /// Begins with `2026-11-22`.
    Date,
    /// Something at something with a dot.
    Email,
}

/// The class of a name that looks like data; `None` for a name that is a word.
pub(super) fn class_of(name: &[u8]) -> Option<Class> {
    if name.len() > NAME_BYTES_MAX {
        return Some(Class::Long);
    }
    let (mut n_digits, mut n_hex_letters, mut n_hyphens, mut has_at) = (0_usize, 0_usize, 0_usize, false);
    for byte in name {
        match byte {
            b'0'..=b'9' => n_digits += 1,
            b'a'..=b'f' | b'A'..=b'F' => n_hex_letters += 1,
            b'-' => n_hyphens += 1,
            b'@' => has_at = true,
            _ => {}
        }
    }
    if n_digits > 0 {
        let n_hex = n_digits + n_hex_letters;
        if n_digits == name.len() || (n_hyphens == 1 && name.first() == Some(&b'-') && n_digits + 1 == name.len()) {
            return Some(Class::Decimal);
        }
        if n_hex >= HEX_DIGITS_MIN && n_hex == name.len() {
            return Some(Class::Hex);
        }
        if name.len() == 36 && n_hyphens == 4 && n_hex == 32 {
            return Some(Class::Uuid);
        }
        if n_hyphens >= 2 && begins_with_date(name) {
            return Some(Class::Date);
        }
    }
    (has_at && is_email(name)).then_some(Class::Email)
}

fn begins_with_date(name: &[u8]) -> bool {
    let matches = name.iter().zip(b"0000-00-00").filter(|(byte, form)| match form {
        b'-' => **byte == b'-',
        _ => byte.is_ascii_digit(),
    });
    matches.count() == 10 && name.get(10).is_none_or(|next| matches!(next, b'T' | b't' | b' '))
}

fn is_email(name: &[u8]) -> bool {
    let mut halves = name.splitn(2, |byte| *byte == b'@');
    let (local, domain) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
    let has_inner_dot = domain.split(|byte| *byte == b'.').filter(|piece| !piece.is_empty()).count() >= 2;
    !local.is_empty() && has_inner_dot && !name.iter().any(|byte| byte.is_ascii_whitespace() || *byte == b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, expected: Option<Class>) {
        assert_eq!(class_of(name.as_bytes()), expected, "{name}");
    }

    #[test]
    fn names_that_are_data_become_classes() {
        check("12345", Some(Class::Decimal));
        check("-7", Some(Class::Decimal));
        check("deadbee1", Some(Class::Hex));
        check("cbad5b6d-df5c-4cdc-8dbc-fb19f4844665", Some(Class::Uuid));
        check("2026-11-22", Some(Class::Date));
        check("2026-11-22T10:00:00Z", Some(Class::Date));
        check("a.b@example.org", Some(Class::Email));
        check(&"k".repeat(65), Some(Class::Long));
    }

    #[test]
    fn names_that_are_words_stay() {
        for name in ["", "-", "id", "sku2", "dead1", "facade", "2026-11-22x", "@type", "a@b", "x@y z.w", "addr_1"] {
            check(name, None);
        }
        check(&"k".repeat(64), None);
    }
}
