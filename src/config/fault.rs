//! Faults of a configuration: where, what was found, what is allowed.
//!
//! Pure. All faults of a file are gathered and told at once, one a line, in the order of their key paths. Text from the
//! file is neutralised and bounded before it is kept; the value of a key that may hold a secret is never taken up.

use std::fmt;

use crate::pipeline::neutral;

/// Longest piece of the file that a fault quotes, in bytes: enough to find it, and a line stays a line.
const QUOTED_BYTES_MAX: usize = 80;

/// One step of a key path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Segment {
    /// Index in an array.
    Index(usize),
    /// Key of a table.
    Key(String),
}

/// A key path such as `destination[1].url`. Orders as the paths read, indices by number.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyPath(pub(super) Vec<Segment>);

impl KeyPath {
    /// This path and one key more.
    pub(super) fn key(&self, name: &str) -> Self {
        let mut path = self.clone();
        path.0.push(Segment::Key(name.to_owned()));
        path
    }

    /// This path and one index more.
    pub(super) fn index(&self, index: usize) -> Self {
        let mut path = self.clone();
        path.0.push(Segment::Index(index));
        path
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bare =
            |key: &str| !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        for (place, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Index(index) => write!(out, "[{index}]")?,
                Segment::Key(key) => {
                    out.write_str(if place == 0 { "" } else { "." })?;
                    if bare(key) {
                        out.write_str(key)?;
                    } else {
                        write!(out, "\"{}\"", plain(key))?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// Where; empty for a fault of the file as a whole.
    pub path: KeyPath,
    /// What was found.
    pub found: String,
    /// What is allowed, or what to do.
    pub allowed: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.0.is_empty() {
            write!(out, "{}: ", self.path)?;
        }
        write!(out, "{}; {}", self.found, self.allowed)
    }
}

/// All faults of a configuration, in the order of their paths; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFaults(Vec<Fault>);

impl ConfigFaults {
    /// The faults.
    pub fn faults(&self) -> &[Fault] {
        &self.0
    }

    /// The faults for machines: `{"valid": false, "faults": [{"path", "found", "allowed"}]}`.
    pub fn to_json(&self) -> serde_json::Value {
        let fault = |fault: &Fault| serde_json::json!({"path": fault.path.to_string(), "found": fault.found, "allowed": fault.allowed});
        serde_json::json!({"valid": false, "faults": self.0.iter().map(fault).collect::<Vec<_>>()})
    }

    /// A single fault of the file as a whole.
    pub(super) fn whole(found: String, allowed: &str) -> Self {
        Self(vec![Fault { path: KeyPath::default(), found, allowed: allowed.to_owned() }])
    }
}

impl fmt::Display for ConfigFaults {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, fault) in self.0.iter().enumerate() {
            out.write_str(if place == 0 { "" } else { "\n" })?;
            write!(out, "{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigFaults {}

/// Gathers faults; one path is told once, and the first word on it stands.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    /// Notes a fault.
    pub(super) fn push(&mut self, path: KeyPath, found: impl Into<String>, allowed: impl Into<String>) {
        let again = self.0.iter().any(|fault| fault.path == path);
        if !again {
            self.0.push(Fault { path, found: found.into(), allowed: allowed.into() });
        }
    }

    /// Whether nothing is wrong so far.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Paths with a fault so far.
    pub(super) fn paths(&self) -> impl Iterator<Item = &KeyPath> {
        self.0.iter().map(|fault| &fault.path)
    }

    /// The faults in order, or nothing where there are none.
    pub(super) fn finish(mut self) -> Result<(), ConfigFaults> {
        if self.0.is_empty() {
            return Ok(());
        }
        self.0.sort();
        Err(ConfigFaults(self.0))
    }
}

/// Text of the file, fit to be shown: one line, printable, bounded.
pub(super) fn plain(text: &str) -> String {
    neutral::line(text, QUOTED_BYTES_MAX).into_owned()
}

/// The name among `known` that `name` was most likely meant to be: at most a third of its letters differ.
pub(super) fn nearest<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    known
        .into_iter()
        .map(|candidate| (edits(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.chars().count() / 3).max(1))
        .min()
        .map(|(_, candidate)| candidate)
}

/// Letters to insert, delete or replace to get from one name to the other (Levenshtein); names are cut at 64 letters.
fn edits(from: &str, to: &str) -> usize {
    let letters = |text: &str| text.chars().take(64).collect::<Vec<_>>();
    let (from, to) = (letters(from), letters(to));
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut next = vec![i + 1];
        let mut left = i + 1;
        for ((b, diagonal), above) in to.iter().zip(&row).zip(row.iter().skip(1)) {
            left = (diagonal + usize::from(a != b)).min(above + 1).min(left + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(segments: &[&str]) -> KeyPath {
        segments.iter().fold(KeyPath::default(), |path, text| match text.parse() {
            Ok(index) => path.index(index),
            Err(_) => path.key(text),
        })
    }

    #[test]
    fn a_path_reads_as_it_would_be_written_in_the_file() {
        let check = |segments: &[&str], expected: &str| assert_eq!(path(segments).to_string(), expected);
        check(&["destination", "1", "url"], "destination[1].url");
        check(&["source", "librdkafka", "enable.auto.commit"], "source.librdkafka.\"enable.auto.commit\"");
        check(&["a\u{1b}[31m"], "\"a\\u{1b}[31m\"");
        check(&[""], "\"\"");
    }

    #[test]
    fn paths_order_by_number_within_an_array() {
        assert!(path(&["destination", "2"]) < path(&["destination", "10"]));
    }

    #[test]
    fn a_slip_is_recognised_and_a_stranger_is_not() {
        let known = ["brokers", "topics", "group"];
        let check = |name: &str, expected: Option<&str>| assert_eq!(nearest(name, known), expected);
        check("broker", Some("brokers"));
        check("topisc", Some("topics"));
        check("flavour", None);
        check("", None);
        check(&"x".repeat(100_000), None);
    }

    #[test]
    fn quoted_text_is_one_bounded_printable_line() {
        let shown = plain(&format!("a\n\u{202e}b{}", "c".repeat(1_000)));
        assert_eq!(shown.len(), QUOTED_BYTES_MAX);
        assert!(shown.starts_with("a\\u{a}\\u{202e}b"), "{shown}");
    }

    #[test]
    fn a_path_is_told_once() {
        let mut faults = Faults::default();
        faults.push(path(&["a"]), "first", "x");
        faults.push(path(&["a"]), "second", "y");
        assert_eq!(faults.finish().unwrap_err().to_string(), "a: first; x");
    }
}
