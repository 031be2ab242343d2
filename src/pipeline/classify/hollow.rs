//! A printed error without the values that it quotes, so that the words of a value are not taken for the error's own.
//!
//! Reads an error as `Debug` or `Display` printed it and gives it back with quoted values emptied: `unknown field ``,
//! expected `a``. A quotation is a value where a word stands right before it (`string "x"`, `named `x``, `found 'x'`), or
//! the name of a field that is not one that errors keep their words in (`User { name: "x" }`). Elsewhere it is the
//! error's own text (`Error("EOF while parsing a value", …)`, `Custom { kind: Other, error: "…" }`) and stays.
//!
//! Quotations inside quotations are told by their backslashes, so no depth needs a stack. Limits: a value that is quoted
//! like an error's text (`NotFound("x")`), or not at all, stays. Cost: one pass, and a copy when there is a value.

use std::borrow::Cow;

/// Fields that errors keep their own words in: std, anyhow, prost, toml, and what `thiserror` users write.
const TEXT_FIELDS: [&str; 10] =
    ["cause", "context", "description", "detail", "err", "error", "message", "msg", "reason", "source"];

/// A quotation mark with the backslashes before it.
#[derive(Clone, Copy)]
struct Mark {
    start: usize,
    end: usize,
    quote: u8,
}

impl Mark {
    /// How deep in other quotations it stands: 1 at the surface.
    fn bytes(self) -> usize {
        self.end.saturating_sub(self.start)
    }
}

/// `error` without its quoted values.
pub(super) fn hollow(error: &str) -> Cow<'_, str> {
    let mut kept = String::new();
    let (mut copied, mut at, mut in_struct) = (0, 0, false);
    while let Some(mark) = next_mark(error, at) {
        in_struct = in_struct || error.get(at..mark.start).is_some_and(|between| between.contains('{'));
        at = mark.end;
        if !opens_value(error.get(..mark.start).unwrap_or_default(), in_struct) {
            continue;
        }
        let Some((value_end, after)) = closing(error, mark) else { continue };
        kept.push_str(error.get(copied..mark.end).unwrap_or_default());
        (copied, at) = (value_end, after);
    }
    if copied == 0 {
        return Cow::Borrowed(error);
    }
    kept.push_str(error.get(copied..).unwrap_or_default());
    Cow::Owned(kept)
}

/// The first quotation mark at or behind `from`.
fn next_mark(text: &str, from: usize) -> Option<Mark> {
    let bytes = text.as_bytes();
    let found = bytes.iter().skip(from).position(|b| matches!(b, b'"' | b'`' | b'\''))?;
    let at = from.saturating_add(found);
    let quote = *bytes.get(at)?;
    let n_backslashes = bytes.get(from..at)?.iter().rev().take_while(|b| **b == b'\\').count();
    Some(Mark { start: at.saturating_sub(n_backslashes), end: at.saturating_add(1), quote })
}

/// Whether what stands before a quotation mark says that a value follows.
fn opens_value(before: &str, in_struct: bool) -> bool {
    let Some(before) = before.strip_suffix(' ') else { return false };
    if before.ends_with(|c: char| c.is_alphanumeric()) {
        return true;
    }
    let Some(before) = before.strip_suffix(':') else { return false };
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let field = before.rsplit(|c| !is_name(c)).next().unwrap_or_default();
    let is_field = before.strip_suffix(field).is_some_and(|lead| lead.ends_with([' ', '\n']));
    in_struct && is_field && !field.is_empty() && !TEXT_FIELDS.contains(&field)
}

/// Where the value that `open` starts ends, and where to read on. A value whose end was cut off ends with the text, but
/// for an apostrophe, which may be just that.
fn closing(text: &str, open: Mark) -> Option<(usize, usize)> {
    let mut at = open.end;
    while let Some(mark) = next_mark(text, at) {
        if mark.quote == open.quote && mark.bytes() == open.bytes() {
            return Some((mark.start, mark.end));
        }
        // The quotation around it ends: its own end is missing.
        if mark.quote == b'"' && mark.bytes() < open.bytes() {
            return Some((mark.start, mark.start));
        }
        at = mark.end;
    }
    (open.quote != b'\'').then_some((text.len(), text.len()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(error: &str, expected: &str) {
        assert_eq!(hollow(error), expected, "{error}");
    }

    #[test]
    fn values_are_emptied_and_an_errors_own_words_stay() {
        check("unknown field `zz`, expected `a`", "unknown field ``, expected ``");
        check("invalid type: string \"x\", expected u8", "invalid type: string \"\", expected u8");
        check(
            r#"Error("invalid type: string \"x \\\" y\", expected u8", line: 1, column: 8)"#,
            r#"Error("invalid type: string \"\", expected u8", line: 1, column: 8)"#,
        );
        check("User { name: \"x\", id: 3 }", "User { name: \"\", id: 3 }");
        check("found 'x' here", "found '' here");
        check("Error(ParseChar { character: '\"', index: 0 })", "Error(ParseChar { character: '', index: 0 })");
        for own in [
            "Error(\"EOF while parsing a value\", line: 1, column: 0)",
            "Custom { kind: Other, error: \"channel closed\" }",
            "Error { kind: InvalidData, message: \"stream did not contain valid UTF-8\" }",
            "\"invalid digit found in string\"",
            "decode body: \"invalid digit found in string\"",
            "the caller's own and the users' words",
            "",
            "\"",
        ] {
            check(own, own);
        }
    }

    #[test]
    fn a_value_whose_end_is_missing_ends_with_what_is_around_it() {
        check("string \"x", "string \"");
        check("\"user `x\" at line 1", "\"user `\" at line 1".replace("`\" at line 1", "`").as_str());
        check(r#"Error("string \"x", line: 1)"#, r#"Error("string \"", line: 1)"#);
        check("user 'x", "user 'x");
    }

    proptest! {
        #[test]
        fn nothing_is_added_and_twice_is_once(error in "([a-z]{0,3}|[ :{}(),\\\\\"`'\n]|é){0,60}") {
            let once = hollow(&error).into_owned();
            prop_assert!(once.len() <= error.len());
            let mut rest = error.chars();
            prop_assert!(once.chars().all(|c| rest.any(|other| other == c)), "{error:?} {once:?}");
        }

        #[test]
        fn a_quoted_value_is_gone_at_every_depth(value in "[a-zA-Z {}:(]{1,20}", depth in 0_usize..6) {
            let mut error = format!("{:?}", format!("named {:?}", format!("zq{value}")));
            for _ in 0..depth {
                error = format!("Wrap({error:?})");
            }
            prop_assert!(!hollow(&error).contains("zq"), "{error}");
        }
    }
}
