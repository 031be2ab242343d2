//! `dead-letters list` and `show`: what was refused, why, and what it looks like.
//!
//! Gathers letters as they are read, keeps the newest few of them without their bytes, and counts all by reason. The
//! bytes of a record are an attacker's: they are told as printable ASCII with escapes, or written out raw on request.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use anyhow::Result;
use serde_json::json;

use super::sheet::{Sheet, printable};
use super::{Format, Page};
use crate::pipeline::decode::contract::{DeadLetter, Kept};

/// Letters that a table tells unless another number is asked for: about a screen.
const LISTED_USUALLY: usize = 20;
/// Letters that machines get unless another number is asked for; all of them are in memory for the answer.
const LISTED_FOR_MACHINES: usize = 10_000;
/// Bytes of a record that are shown; `--raw` writes all of them.
const SHOWN_BYTES_MAX: usize = 16 << 10;

/// A letter without its bytes.
struct Line {
    id: String,
    place: String,
    kept: &'static str,
    letter: DeadLetter,
}

/// The letters that fit, as they come.
pub struct Listing {
    format: Format,
    limit: usize,
    /// By time and arrival: the partitions of a topic come one after another.
    newest: BTreeMap<(String, u64), Line>,
    by_reason: BTreeMap<&'static str, u64>,
    n_letters: u64,
}

impl Listing {
    /// An empty list; `limit` is the number of letters that are told one by one.
    pub fn new(format: Format, limit: Option<usize>) -> Self {
        let usual = if format == Format::Table { LISTED_USUALLY } else { LISTED_FOR_MACHINES };
        let limit = limit.unwrap_or(usual);
        Self { format, limit, newest: BTreeMap::new(), by_reason: BTreeMap::new(), n_letters: 0 }
    }

    /// Takes a letter that stands at `place`.
    pub fn add(&mut self, place: &str, mut letter: DeadLetter) {
        self.n_letters += 1;
        *self.by_reason.entry(letter.reason.name()).or_default() += 1;
        let kept = kept(&letter);
        let id = letter.id();
        (letter.payload_base64, letter.payload_age_base64) = (String::new(), None);
        // RFC 3339 in UTC sorts as text.
        let at = letter.refused_at.clone().or_else(|| letter.broker_time.clone()).unwrap_or_default();
        self.newest.insert((at, self.n_letters), Line { id, place: place.to_owned(), kept, letter });
        if self.newest.len() > self.limit {
            self.newest.pop_first();
        }
    }

    /// Tells the list. `replayed` are the ids of letters that were replayed, `n_unreadable` counts what is no letter.
    ///
    /// # Errors
    /// `out` cannot be written.
    pub fn tell(self, replayed: &BTreeSet<String>, n_unreadable: u64, out: &mut dyn Write) -> Result<()> {
        let sheet = self.sheet(replayed);
        let page = &mut Page { format: self.format, out };
        match self.format {
            Format::Csv => page.sheet(&sheet),
            Format::Json => page.object(&json!({
                "letters": self.n_letters, "unreadable": n_unreadable, "by_reason": self.by_reason,
                "newest": sheet.objects().collect::<Vec<_>>(),
            })),
            Format::Table => {
                if self.n_letters > 0 {
                    let mut counts = Sheet::new(&["letters", "reason"]);
                    self.by_reason.iter().for_each(|(reason, n)| counts.push(vec![(*n).into(), (*reason).into()]));
                    page.sheet(&counts)?;
                    page.line("")?;
                }
                for line in self.newest.values() {
                    page.line(&printable(&sentence(line, replayed)))?;
                }
                if n_unreadable > 0 {
                    page.line(&format!("{n_unreadable} lines or records are no dead letters"))?;
                }
                page.line(&self.last_line())
            }
        }
    }

    fn last_line(&self) -> String {
        let Some((_, newest)) = self.newest.last_key_value() else { return "no dead letters".to_owned() };
        let n_told = u64::try_from(self.newest.len()).unwrap_or(u64::MAX);
        let of = if n_told < self.n_letters { " (the newest; --limit N for more)" } else { "" };
        format!("{n_told} of {} letters{of}; ask next: panicsift dead-letters show {}", self.n_letters, newest.id)
    }

    fn sheet(&self, replayed: &BTreeSet<String>) -> Sheet {
        let mut sheet = Sheet::new(&[
            "letter",
            "place",
            "reason",
            "topic",
            "partition",
            "offset",
            "broker_time",
            "refused_at",
            "bytes",
            "kept",
            "replayed",
            "detail",
        ]);
        for Line { id, place, kept, letter } in self.newest.values() {
            sheet.push(vec![
                id.as_str().into(),
                place.as_str().into(),
                letter.reason.name().into(),
                letter.topic.as_str().into(),
                letter.partition.to_string().into(),
                letter.offset.to_string().into(),
                letter.broker_time.clone().into(),
                letter.refused_at.clone().into(),
                letter.payload_bytes.into(),
                (*kept).into(),
                if replayed.contains(id) { "yes" } else { "no" }.into(),
                letter.detail.as_str().into(),
            ]);
        }
        sheet
    }
}

fn kept(letter: &DeadLetter) -> &'static str {
    match letter.kept() {
        Kept::Bytes(_) => "bytes",
        Kept::Sealed(_) => "sealed",
        Kept::Nothing if letter.payload_blake3.is_some() => "hash",
        Kept::Nothing => "nothing",
        Kept::Damaged => "damaged",
    }
}

fn sentence(line: &Line, replayed: &BTreeSet<String>) -> String {
    let Line { id, kept, letter, .. } = line;
    let at = letter.refused_at.as_deref().or(letter.broker_time.as_deref()).unwrap_or("no time");
    let note = if replayed.contains(id) { ", replayed" } else { "" };
    format!(
        "{id} {at} {} {}@{}, {} bytes ({kept}{note}): {}: {}",
        letter.topic,
        letter.partition,
        letter.offset,
        letter.payload_bytes,
        letter.reason.name(),
        letter.detail
    )
}

/// Shows one letter; `payload` are the record's bytes, or why they cannot be had.
///
/// # Errors
/// `out` cannot be written.
pub fn show(place: &str, letter: &DeadLetter, payload: &Result<Vec<u8>>, out: &mut dyn Write) -> Result<()> {
    let page = &mut Page { format: Format::Table, out };
    page.line(&printable(&format!("letter {} at {place}", letter.id())))?;
    page.line(&printable(&format!("reason {}: {}", letter.reason.name(), letter.detail)))?;
    let time = |at: &Option<String>| at.clone().unwrap_or_else(|| "-".to_owned());
    page.line(&printable(&format!(
        "record {} {}@{}, broker time {}, refused at {}",
        letter.topic,
        letter.partition,
        letter.offset,
        time(&letter.broker_time),
        time(&letter.refused_at)
    )))?;
    let hash = letter.payload_blake3.as_ref().map(|hash| format!(", BLAKE3 {hash}")).unwrap_or_default();
    page.line(&printable(&format!("bytes {} ({}){hash}", letter.payload_bytes, kept(letter))))?;
    page.line("")?;
    match payload {
        Ok(bytes) => {
            let shown = bytes.get(..SHOWN_BYTES_MAX.min(bytes.len())).unwrap_or_default();
            page.line(&shown.escape_ascii().to_string())?;
            if shown.len() < bytes.len() {
                page.line(&format!("and {} bytes more; --raw writes all of them", bytes.len() - shown.len()))?;
            }
            Ok(())
        }
        Err(error) => page.line(&printable(&format!("no bytes: {error:#}"))),
    }
}
