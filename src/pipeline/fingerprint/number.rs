//! Numbers as texts: their kind, magnitude and the two marks a number can earn.
//!
//! Reads digits; gives buckets, never a value. Never parses into a float, so ten thousand digits cost one pass.

use super::marks;

/// Longest run of digits in a *text* that is still an ordinary identifier: an IBAN has 34 places.
const IDENTIFIER_DIGITS_MAX: usize = 34;
/// Largest decimal exponent of a finite `f64`.
const EXPONENT_MAX: i32 = 308;
/// Exponents are clamped here, so that sums of them cannot overflow.
const EXPONENT_CLAMP: i32 = 100_000;
/// What is added to a float's decimal exponent, so that small numbers fit into a byte.
const EXPONENT_BIAS: i32 = 64;
/// Widths at which integers of common types end.
const BOUNDARY_BITS: [u32; 9] = [7, 8, 15, 16, 31, 32, 53, 63, 64];
/// How near to a power of two counts as being at the boundary.
const BOUNDARY_NEAR: u128 = 2;
/// Numbers up to here are too common to mean anything.
const BOUNDARY_ABOVE: u128 = 100;

/// What is known of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Number {
    /// It has a fraction or an exponent.
    pub(super) is_float: bool,
    /// It has a minus sign.
    pub(super) negative: bool,
    /// Bit length of a whole number; decimal exponent plus 64 of a float.
    pub(super) size_log2: u8,
    /// `BOUNDARY_NUMBER`, `EXTREME_NUMBER`.
    pub(super) marks: u16,
    /// Digits before the point, leading zeros not counted.
    n_digits: usize,
    /// Its grammar is JSON's (no plus sign, no leading zero, digits on both sides of the point).
    pub(super) is_json: bool,
}

impl Number {
    /// Reads a number at the start of `bytes`: what it is and how many bytes it took.
    pub(super) fn prefix(bytes: &[u8]) -> Option<(Self, usize)> {
        let mut rest = bytes;
        let negative = rest.first() == Some(&b'-');
        let has_plus = rest.first() == Some(&b'+');
        if negative || has_plus {
            rest = rest.get(1..).unwrap_or_default();
        }
        let (whole, after) = split_digits(rest);
        let (fraction, after) = match after.split_first() {
            Some((b'.', tail)) => {
                let (digits, after) = split_digits(tail);
                (Some(digits), after)
            }
            _ => (None, after),
        };
        if whole.is_empty() && fraction.is_none_or(<[u8]>::is_empty) {
            return None;
        }
        let (exponent, after) = split_exponent(after);
        let is_json = !has_plus
            && !whole.is_empty()
            && (whole.len() == 1 || whole.first() != Some(&b'0'))
            && fraction.is_none_or(|digits| !digits.is_empty());
        let number = if fraction.is_some() || exponent.is_some() {
            float(whole, fraction.unwrap_or_default(), exponent.unwrap_or(0))
        } else {
            integer(whole, negative)
        };
        Some((Self { negative, is_json, ..number }, bytes.len() - after.len()))
    }

    /// Reads `text` as a number from end to end; long runs of digits are identifiers, not extreme numbers.
    pub(super) fn whole(text: &[u8]) -> Option<Self> {
        if !text.first().is_some_and(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.')) {
            return None;
        }
        let (mut number, used) = Self::prefix(text)?;
        if !number.is_float && number.n_digits <= IDENTIFIER_DIGITS_MAX {
            number.marks &= !marks::EXTREME_NUMBER;
        }
        (used == text.len()).then_some(number)
    }
}

fn split_digits(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(bytes.len());
    bytes.split_at_checked(end).unwrap_or((bytes, &[]))
}

/// The exponent, if a whole one stands there.
fn split_exponent(bytes: &[u8]) -> (Option<i32>, &[u8]) {
    let Some((b'e' | b'E', tail)) = bytes.split_first() else { return (None, bytes) };
    let (negative, tail) = match tail.split_first() {
        Some((b'-', tail)) => (true, tail),
        Some((b'+', tail)) => (false, tail),
        _ => (false, tail),
    };
    let (digits, after) = split_digits(tail);
    if digits.is_empty() {
        return (None, bytes);
    }
    let size = digits
        .iter()
        .fold(0_i32, |sum, digit| sum.saturating_mul(10).saturating_add(i32::from(digit - b'0')).min(EXPONENT_CLAMP));
    (Some(if negative { -size } else { size }), after)
}

fn significant(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().position(|digit| *digit != b'0').unwrap_or(digits.len());
    digits.get(zeros..).unwrap_or_default()
}

fn integer(digits: &[u8], negative: bool) -> Number {
    let digits = significant(digits);
    // 38 digits always fit into 128 bits; of longer ones only the length counts.
    let magnitude = (digits.len() <= 38).then(|| {
        digits.iter().fold(0_u128, |sum, digit| sum.saturating_mul(10).saturating_add(u128::from(digit - b'0')))
    });
    let bits = match magnitude {
        Some(magnitude) => usize::try_from(u128::BITS - magnitude.leading_zeros()).unwrap_or(0),
        None => digits.len().saturating_mul(10) / 3,
    };
    let largest = if negative { 1_u128 << 63 } else { u128::from(u64::MAX) };
    let mut found = 0;
    if magnitude.is_none_or(|magnitude| magnitude > largest) {
        found |= marks::EXTREME_NUMBER;
    }
    let at_boundary = |magnitude: u128| {
        magnitude > BOUNDARY_ABOVE
            && BOUNDARY_BITS.iter().any(|bits| magnitude.abs_diff(1_u128 << bits) <= BOUNDARY_NEAR)
    };
    if magnitude.is_some_and(at_boundary) {
        found |= marks::BOUNDARY_NUMBER;
    }
    Number {
        is_float: false,
        negative,
        size_log2: u8::try_from(bits).unwrap_or(u8::MAX),
        marks: found,
        n_digits: digits.len(),
        is_json: true,
    }
}

fn float(whole: &[u8], fraction: &[u8], exponent: i32) -> Number {
    let leading = significant(whole);
    let small = significant(fraction);
    let is_zero = leading.is_empty() && small.is_empty();
    let clamp = |n: usize| i32::try_from(n).unwrap_or(EXPONENT_CLAMP).min(EXPONENT_CLAMP);
    let place = if leading.is_empty() { -clamp(fraction.len() - small.len()) - 1 } else { clamp(leading.len()) - 1 };
    let decimal = place.saturating_add(exponent);
    let size = if is_zero { 0 } else { decimal.saturating_add(EXPONENT_BIAS).clamp(0, i32::from(u8::MAX)) };
    let is_extreme = exponent.abs() > EXPONENT_MAX || (!is_zero && decimal.abs() > EXPONENT_MAX);
    Number {
        is_float: true,
        negative: false,
        size_log2: u8::try_from(size).unwrap_or(u8::MAX),
        marks: if is_extreme { marks::EXTREME_NUMBER } else { 0 },
        n_digits: leading.len(),
        is_json: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<(bool, u8, u16)>) {
        let found =
            Number::prefix(text.as_bytes()).map(|(number, _)| (number.is_float, number.size_log2, number.marks));
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn whole_numbers_are_sized_by_bits() {
        check("0", Some((false, 0, 0)));
        check("1", Some((false, 1, 0)));
        check("-7", Some((false, 3, 0)));
        check("1000", Some((false, 10, 0)));
    }

    #[test]
    fn the_ends_of_integer_types_are_marked() {
        for text in ["127", "256", "32767", "-32769", "65535", "2147483648", "9007199254740993", "-9223372036854775808"]
        {
            let (number, _) = Number::prefix(text.as_bytes()).unwrap();
            assert_eq!(number.marks, marks::BOUNDARY_NUMBER, "{text}");
        }
        check("100", Some((false, 7, 0)));
        check("131", Some((false, 8, 0)));
    }

    #[test]
    fn numbers_that_no_type_holds_are_extreme() {
        check("18446744073709551620", Some((false, 65, marks::EXTREME_NUMBER)));
        check(&"9".repeat(10_000), Some((false, 255, marks::EXTREME_NUMBER)));
        check("1e400", Some((true, 255, marks::EXTREME_NUMBER)));
        check("1e99999999999999999999", Some((true, 255, marks::EXTREME_NUMBER)));
        check("1e-309", Some((true, 0, marks::EXTREME_NUMBER)));
    }

    #[test]
    fn floats_are_sized_by_their_decimal_exponent() {
        check("0.0", Some((true, 0, 0)));
        check("1.5", Some((true, 64, 0)));
        check("12.5", Some((true, 65, 0)));
        check("0.05", Some((true, 62, 0)));
        check("1e3", Some((true, 67, 0)));
    }

    #[test]
    fn an_account_number_in_a_text_is_not_extreme() {
        assert_eq!(Number::whole(b"3902837600124090474053712134").unwrap().marks, 0);
        assert_eq!(Number::whole("9".repeat(35).as_bytes()).unwrap().marks, marks::EXTREME_NUMBER);
        assert_eq!(Number::whole(b"12a"), None);
        assert_eq!(Number::whole(b""), None);
        assert_eq!(Number::whole(b"-"), None);
    }

    #[test]
    fn what_json_forbids_is_read_and_told() {
        for text in ["01", "+1", "1.", ".5"] {
            assert!(!Number::prefix(text.as_bytes()).unwrap().0.is_json, "{text}");
        }
        assert!(Number::prefix(b"-").is_none());
    }
}
