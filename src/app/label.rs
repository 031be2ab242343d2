//! `label`: an analyst's word on a cluster, and the labelled events that come of all words.
//!
//! Takes what was typed and the cluster that was found, gives sentences. A word may be said while the service runs: it
//! looks for new ones every second and applies them at the end of its epoch. Nothing is deleted; who said what, why and
//! when stays below the newest word.

mod export;

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Result, bail};

pub use self::export::{ExportOrder, export};
use crate::edge::store::{Label, LabelDesk, LabelSubject};
use crate::pipeline::neutral;
pub use crate::pipeline::rulings::Call;

/// Longest reason that is kept, in bytes: a few sentences and a ticket. It stands in every alert of the cluster.
const WHY_BYTES_MAX: usize = 400;

/// Longest name that is kept, in bytes.
const BY_BYTES_MAX: usize = 100;

/// Descendants that are named one by one; the rest is counted.
const NAMED_MAX: usize = 8;

/// What an analyst says.
#[derive(Debug, Clone)]
pub struct LabelOrder {
    /// The store.
    pub store: PathBuf,
    /// The word; `None`: the one that stands is taken back.
    pub call: Option<Call>,
    /// Why.
    pub why: String,
    /// Who, as far as is known.
    pub by: Option<String>,
    /// Tell what it would do, and do nothing.
    pub dry_run: bool,
}

/// Keeps an analyst's word on a cluster, or takes it back.
///
/// # Errors
/// There is no reason, or nothing to take back; or the store cannot be written, and nothing was changed.
pub fn say(order: &LabelOrder, subject: &LabelSubject, out: &mut dyn Write) -> Result<()> {
    let why = neutral::line(order.why.trim(), WHY_BYTES_MAX).into_owned();
    if why.is_empty() {
        bail!("a reason is needed (--why TEXT): it stands in the alerts of the cluster");
    }
    let by = order.by.as_deref().map(str::trim).filter(|by| !by.is_empty()).unwrap_or("unknown");
    let by = neutral::line(by, BY_BYTES_MAX).into_owned();
    let LabelSubject { cluster, judge, points, .. } = *subject;
    let label = Label { cluster, call: order.call, why, by, at_ms: 0, judge, points };
    let before = LabelDesk::open(&order.store)?.say(&label, order.dry_run)?;
    let told = if order.dry_run { "would: " } else { "" };
    for line in sentences(&label, before.as_ref(), subject) {
        writeln!(out, "{told}{line}")?;
    }
    Ok(())
}

fn sentences(label: &Label, before: Option<&Label>, subject: &LabelSubject) -> Vec<String> {
    let Label { cluster, call, why, by, judge, points, .. } = label;
    let mut lines: Vec<String> = subject.alias.iter().cloned().collect();
    let judged = format!("the judge says {} at {points:.2} points", judge.name());
    let said = |call: Call| format!("{cluster} is {} (by {by}: {why}); {judged}", call.name());
    let none = || format!("the word on {cluster} is taken back (by {by}: {why}); {judged}");
    lines.push(call.map_or_else(none, said));
    if let Some((before, old)) = before.and_then(|before| Some((before, before.call?))) {
        lines.push(format!("{} had said {}: {}", before.by, old.name(), before.why));
    }
    if let [first, ..] = subject.descendants.as_slice() {
        let named: Vec<String> = subject.descendants.iter().take(NAMED_MAX).map(ToString::to_string).collect();
        let more = subject.descendants.len().saturating_sub(named.len());
        let rest = if more == 0 { String::new() } else { format!(" and {more} more") };
        lines.push(format!(
            "it is so too for what comes from it: {}{rest}; say another word on one of them (panicsift label {first} …) \
             where it is not",
            named.join(", ")
        ));
    }
    lines
}

#[cfg(test)]
mod tests;
