//! `outbox retry` and `outbox drop`: what an operator does to alerts that wait or were refused.
//!
//! Takes what was typed, gives one sentence a fact and the counts. Both may be done while the service runs: its lanes
//! see it before their next request. Nothing is deleted; who did it, why and when stays with the alert.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

pub use crate::edge::store::OutboxChoice;
use crate::edge::store::{Fate, Intervention, OutboxDesk, OutboxLine};
use crate::pipeline::neutral;

/// Longest reason and name that are kept, in bytes.
const WORDS_BYTES_MAX: usize = 400;

/// Alerts that are named one by one; the rest is counted.
const NAMED_MAX: usize = 20;

/// Who intervenes in the outbox of which store.
#[derive(Debug, Clone)]
pub struct Operator {
    /// The store.
    pub store: PathBuf,
    /// Who, as far as is known.
    pub who: Option<String>,
    /// Why.
    pub why: String,
    /// Tell what it would do, and do nothing.
    pub dry_run: bool,
}

impl Operator {
    fn intervention(&self) -> Intervention {
        let words = |text: &str| neutral::line(text.trim(), WORDS_BYTES_MAX).into_owned();
        let who = self.who.as_deref().map_or_else(|| "an unknown operator".to_owned(), words);
        Intervention { who, why: words(&self.why), dry_run: self.dry_run }
    }

    fn tell(&self, out: &mut dyn Write, line: &str) -> Result<()> {
        let told = if self.dry_run { "would: " } else { "" };
        Ok(writeln!(out, "{told}{line}")?)
    }
}

/// Makes refused alerts of a choice (dropped ones, too, where `choice.standings` says so) wait again.
///
/// # Errors
/// Nothing fits the choice; or the store cannot be written, and nothing was changed.
pub fn retry(operator: &Operator, choice: &OutboxChoice, out_of_order: bool, out: &mut dyn Write) -> Result<()> {
    let retried = open(&operator.store)?.retry(choice, &operator.intervention(), out_of_order)?;
    if retried.waiting.is_empty() && retried.out_of_order.is_empty() && is_narrow(choice) {
        bail!("no refused alert fits; `panicsift outbox list` tells which there are");
    }
    name(operator, "wait again", &retried.waiting, out)?;
    operator.tell(out, &format!("{} alerts wait again", retried.waiting.len()))?;
    if !retried.out_of_order.is_empty() {
        name(operator, "left as it is", &retried.out_of_order, out)?;
        let n = retried.out_of_order.len();
        let why = "their destination has a later change of the cluster; --out-of-order sends them all the same";
        operator.tell(out, &format!("{n} alerts are left as they are: {why}"))?;
    }
    Ok(())
}

/// Gives up the alerts of a choice that wait or were refused.
///
/// # Errors
/// There is no reason, or nothing fits the choice; or the store cannot be written, and nothing was changed.
pub fn give_up(operator: &Operator, choice: &OutboxChoice, out: &mut dyn Write) -> Result<()> {
    let by = operator.intervention();
    if by.why.is_empty() {
        bail!("a reason is needed: it stays with the alerts");
    }
    let dropped = open(&operator.store)?.give_up(choice, &by)?;
    if dropped.is_empty() && is_narrow(choice) {
        bail!("no alert that waits or was refused fits; `panicsift outbox list` tells which there are");
    }
    name(operator, "dropped", &dropped, out)?;
    let n_waiting = dropped.iter().filter(|line| line.fate.is_none()).count();
    let n = dropped.len();
    operator.tell(out, &format!("{n} alerts dropped ({n_waiting} waited, {} were refused)", n - n_waiting))
}

fn open(store: &Path) -> Result<OutboxDesk> {
    Ok(OutboxDesk::open(store)?)
}

/// Whether something certain was named, so that meeting nothing is a mistake.
fn is_narrow(choice: &OutboxChoice) -> bool {
    choice.destination.is_some() || choice.cluster.is_some() || choice.alert.is_some()
}

fn name(operator: &Operator, what: &str, lines: &[OutboxLine], out: &mut dyn Write) -> Result<()> {
    for line in lines.iter().take(NAMED_MAX) {
        let OutboxLine { destination, alert_id, change, cluster, .. } = line;
        let was = line.fate.map_or("waiting", Fate::name);
        let told = format!("{destination}: {alert_id}, {change} of {cluster}, was {was}: {what}");
        operator.tell(out, &neutral::line(&told, 2 * WORDS_BYTES_MAX))?;
    }
    if let Some(more) = lines.len().checked_sub(NAMED_MAX).filter(|more| *more > 0) {
        operator.tell(out, &format!("and {more} more: {what}"))?;
    }
    Ok(())
}
