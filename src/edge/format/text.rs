//! What the text formats have in common: bounded, printable values, and lists as one value.

use std::fmt::Write;

use crate::pipeline::alert::{Alert, Counted, Finding, NetworkCount, Technique};
use crate::pipeline::event::Millis;
use crate::pipeline::neutral;

/// Bytes of an id of ours; they have 32 at most.
pub(super) const ID_BYTES_MAX: usize = 40;

/// Bytes of one name in a list, so that a long one does not push the others out.
const NAME_BYTES_MAX: usize = 120;

/// Names in a list; an alert's lists are cut there too.
const NAMES_MAX: usize = 20;

/// Pieces of evidence that make the reason of an alert.
const REASONS_MAX: usize = 3;

/// Findings that make the reason of an operations alert: how large, how unusual, and the cause.
const FINDINGS_MAX: usize = 5;

/// Findings that are written out where a format has room for all.
const FINDINGS_TOLD_MAX: usize = 32;

/// Points above this, either way, are no points of ours.
const POINTS_MAX: f64 = 1e6;

/// Appends `text` as one printable line of at most `bytes_max` bytes, with a backslash before each of `special` (these
/// are not counted).
pub(super) fn put_escaped(line: &mut String, text: &str, bytes_max: usize, special: &[char]) {
    for c in neutral::line(text, bytes_max).chars() {
        if special.contains(&c) {
            line.push('\\');
        }
        line.push(c);
    }
}

/// Appends `text` as one printable line of at most `bytes_max` bytes, each of `special` as `\u{…}`: for a format that
/// knows no escape.
pub(super) fn put_visible(line: &mut String, text: &str, bytes_max: usize, special: &[char]) {
    let mut visible = String::with_capacity(text.len());
    for c in text.chars() {
        if special.contains(&c) {
            put(&mut visible, format_args!("\\u{{{:x}}}", u32::from(c)));
        } else {
            visible.push(c);
        }
    }
    line.push_str(&neutral::line(&visible, bytes_max));
}

/// Appends what was formatted.
pub(super) fn put(line: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    line.write_fmt(what).unwrap_or_default();
}

/// A text in an error message.
pub(super) fn shown(text: &str) -> String {
    neutral::line(text, NAME_BYTES_MAX).into_owned()
}

/// Milliseconds since 1970; `None` where the alert holds no time.
pub(super) fn millis(time: &str) -> Option<i64> {
    Millis::parse(time).map(|Millis(millis)| millis)
}

/// Names with a comma between them, in the alert's order.
pub(super) fn names(counted: &[Counted]) -> String {
    joined(counted.iter().map(|one| one.name.as_str()))
}

/// `AS64500 Example Networks`, with a comma between them.
pub(super) fn networks(counted: &[NetworkCount]) -> String {
    let text = |network: &NetworkCount| {
        let number = network.asn.map_or_else(|| "unknown network".to_owned(), |asn| format!("AS{asn}"));
        match &network.organisation {
            Some(organisation) => format!("{number} {organisation}"),
            None => number,
        }
    };
    let texts: Vec<String> = counted.iter().take(NAMES_MAX).map(text).collect();
    joined(texts.iter().map(String::as_str))
}

/// The alert's addresses, with a comma between them.
pub(super) fn addresses(alert: &Alert) -> String {
    let texts: Vec<String> = super::addresses(alert).take(NAMES_MAX).map(|address| address.to_string()).collect();
    texts.join(", ")
}

/// What the alert rests on in words: what an analyst said of it, the weightiest evidence, the findings whose limit is
/// passed.
pub(super) fn reason(alert: &Alert) -> String {
    let met = alert.findings.iter().filter(|finding| finding.met && finding.limit.is_some());
    let evidence = alert.portrait.evidence.iter().map(|one| one.words.as_str());
    let analyst = alert.portrait.overruled.as_ref().map(|word| word.sentence(&alert.cluster, alert.portrait.points));
    let words: Vec<&str> = analyst
        .iter()
        .map(String::as_str)
        .chain(evidence.take(REASONS_MAX))
        .chain(met.take(FINDINGS_MAX).map(|one| one.words.as_str()))
        .collect();
    words.join("; ")
}

/// The technique with its reason; nothing where there is none.
pub(super) fn technique(alert: &Alert) -> String {
    let words = |technique: &Technique| format!("{} {}: {}", technique.id, technique.name, technique.reason);
    alert.portrait.technique.as_ref().map(words).unwrap_or_default()
}

/// All findings in words, for people.
pub(super) fn findings(alert: &Alert) -> String {
    let words = |finding: &Finding| format!("{}: {}", finding.name, finding.words);
    let words: Vec<String> = alert.findings.iter().take(FINDINGS_TOLD_MAX).map(words).collect();
    words.join("; ")
}

/// Points with two decimals.
pub(super) fn points(points: f64) -> Option<String> {
    (points.abs() <= POINTS_MAX).then(|| format!("{points:.2}"))
}

fn joined<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.take(NAMES_MAX).map(|name| neutral::line(name, NAME_BYTES_MAX)).collect();
    names.join(", ")
}
