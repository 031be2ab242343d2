//! The path and the query of a request, from its URL.
//!
//! Takes what a client may have written, and never refuses: what is no URL has no query, and a percent sign that begins
//! no escape stays. Cost: linear, an allocation a pair with escapes.

use std::borrow::Cow;

use super::QUERY_PAIRS_MAX;

/// Name and value, decoded.
pub(super) type QueryPairs<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// The path of a URL or of a request target; `None` where there is none.
pub(super) fn path<'a>(url: &Cow<'a, str>) -> Option<Cow<'a, str>> {
    let path = part(url, |url| {
        let target = url.split_once("://").map_or(url, |(_, rest)| {
            let from = rest.find(['/', '?', '#']).and_then(|at| rest.get(at..)).unwrap_or_default();
            if from.starts_with('/') { from } else { "/" }
        });
        target.split(['?', '#']).next().unwrap_or_default()
    });
    path.starts_with('/').then_some(path)
}

/// The query of a URL, if it has one.
pub(super) fn query_of<'a>(url: &Cow<'a, str>) -> QueryPairs<'a> {
    query(&part(url, |url| {
        let whole = url.split('#').next().unwrap_or_default();
        whole.split_once('?').map_or("", |(_, query)| query)
    }))
}

/// The pairs of a query without its question mark, at most [`QUERY_PAIRS_MAX`].
pub(super) fn query<'a>(text: &Cow<'a, str>) -> QueryPairs<'a> {
    match text {
        Cow::Borrowed(text) => pairs(text).collect(),
        Cow::Owned(text) => {
            let own = |(name, value): (Cow<'_, str>, Cow<'_, str>)| {
                (Cow::Owned(name.into_owned()), Cow::Owned(value.into_owned()))
            };
            pairs(text).map(own).collect()
        }
    }
}

fn pairs(text: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    let texts = text.trim_start_matches('?').split('&').filter(|pair| !pair.is_empty()).take(QUERY_PAIRS_MAX);
    texts.map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(name), decoded(value))
    })
}

fn part<'a>(text: &Cow<'a, str>, of: impl Fn(&str) -> &str) -> Cow<'a, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(of(text)),
        Cow::Owned(text) => Cow::Owned(of(text).to_owned()),
    }
}

/// A text with its percent escapes and plus signs resolved; bytes that are not UTF-8 become U+FFFD.
fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        let digit = |at: usize| tail.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        match (byte, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(u8::try_from(high * 16 + low).unwrap_or(b'%'));
                rest = tail.get(2..).unwrap_or_default();
            }
            (b'+', ..) => bytes.push(b' '),
            (byte, ..) => bytes.push(*byte),
        }
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, expected_path: Option<&str>, expected: &[(&str, &str)]) {
        for url in [Cow::Borrowed(url), Cow::Owned(url.to_owned())] {
            assert_eq!(path(&url).as_deref(), expected_path, "{url}");
            let pairs = query_of(&url);
            let pairs: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (name.as_ref(), value.as_ref())).collect();
            assert_eq!(pairs, expected, "{url}");
        }
    }

    #[test]
    fn a_url_has_a_path_and_a_query() {
        check("http://api.example.com/v1/items?abc", Some("/v1/items"), &[("abc", "")]);
        check("https://a.example:8443/x?q=a%20b&p=1+2#f?x=1", Some("/x"), &[("q", "a b"), ("p", "1 2")]);
        check("/v1/x?=", Some("/v1/x"), &[("", "")]);
        check("https://a.example", Some("/"), &[]);
    }

    #[test]
    fn what_is_no_url_does_no_harm() {
        check("", None, &[]);
        check("wss", None, &[]);
        check("/%?%=%4&%ff=%zz&&", Some("/%"), &[("%", "%4"), ("\u{fffd}", "%zz")]);
        check("://?://", Some("/"), &[("://", "")]);
    }

    #[test]
    fn pairs_are_bounded() {
        assert_eq!(query(&Cow::Owned("a=1&".repeat(10_000))).len(), QUERY_PAIRS_MAX);
    }
}
