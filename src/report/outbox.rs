//! `outbox list`: what waits for each destination, since when, and what was refused, in the destination's own words.
//!
//! Reads the store only, also while a service writes it. People get counts and the alerts asked for, at most
//! [`LISTED_USUALLY`]; JSON holds both; CSV holds the alerts alone. Costs one pass over the outbox a destination.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use anyhow::Result;
use serde_json::json;

use super::sheet::{Cell, Sheet};
use super::{Format, Page};
pub use crate::edge::store::{Fate, OutboxChoice, WAITING};
use crate::edge::store::{OutboxCount, OutboxLine, Store};
use crate::pipeline::event::Millis;

/// Alerts that a table tells unless another number is asked for: about a screen.
const LISTED_USUALLY: usize = 20;

/// What is asked of the outbox.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutboxQuestion {
    /// Which alerts are told one by one; counts are always of all.
    pub choice: OutboxChoice,
    /// Most of them.
    pub limit: Option<usize>,
}

/// What one destination has, has not, and refused.
struct Account {
    destination: String,
    counts: BTreeMap<&'static str, u64>,
    oldest_waiting: Option<Millis>,
}

impl Account {
    fn all(counts: &[OutboxCount]) -> Vec<Self> {
        let mut accounts: Vec<Self> = Vec::new();
        for one in counts {
            if accounts.last().is_none_or(|last| last.destination != one.destination) {
                let destination = one.destination.clone();
                accounts.push(Self { destination, counts: BTreeMap::new(), oldest_waiting: None });
            }
            let Some(account) = accounts.last_mut() else { continue };
            account.counts.insert(standing(one.fate), one.alerts);
            if one.fate.is_none() && one.alerts > 0 {
                account.oldest_waiting = Some(Millis(one.oldest_ms));
            }
        }
        accounts
    }

    fn count(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or_default()
    }
}

fn standing(fate: Option<Fate>) -> &'static str {
    fate.map_or(WAITING, Fate::name)
}

/// Tells how the outbox of the store at `store` stands; `now` is the wall clock, for ages.
///
/// # Errors
/// A store that is not there or cannot be read, and an output that cannot be written.
pub fn list(store: &Path, question: &OutboxQuestion, now: Millis, format: Format, out: &mut dyn Write) -> Result<()> {
    let store = Store::open_read_only(store)?;
    let accounts = Account::all(&store.outbox_counts()?);
    let usual = if format == Format::Table { LISTED_USUALLY } else { usize::MAX };
    let limit = question.limit.unwrap_or(usual);
    let mut lines = store.outbox_lines(&question.choice, limit.saturating_add(1))?;
    let is_cut = lines.len() > limit;
    lines.truncate(limit);
    let page = &mut Page { format, out };
    match format {
        Format::Table => for_people(&accounts, &lines, is_cut, now, page),
        Format::Json => {
            let destinations: Vec<_> = accounts.iter().map(|account| object(account, now)).collect();
            let alerts: Vec<_> = sheet(&lines).objects().collect();
            page.object(&json!({"destinations": destinations, "alerts": alerts}))
        }
        Format::Csv => page.sheet(&sheet(&lines)),
    }
}

fn object(account: &Account, now: Millis) -> serde_json::Value {
    let mut told = json!({
        "destination": super::sheet::printable(&account.destination),
        "waiting": account.count(WAITING),
        "oldest_waiting_since": account.oldest_waiting.map(|at| at.to_string()),
        "oldest_waiting_secs": account.oldest_waiting.map(|at| now.since(at).max(0) / 1_000),
    });
    for fate in Fate::ALL {
        if let Some(object) = told.as_object_mut() {
            object.insert(fate.name().to_owned(), account.count(fate.name()).into());
        }
    }
    told
}

fn for_people(
    accounts: &[Account],
    lines: &[OutboxLine],
    is_cut: bool,
    now: Millis,
    page: &mut Page<'_>,
) -> Result<()> {
    if accounts.is_empty() {
        return page.line("no destination has read this outbox yet");
    }
    let fates = Fate::ALL.map(Fate::name);
    let mut sheet = Sheet::new(&[&["destination", WAITING, "oldest"], &fates[..]].concat());
    for account in accounts {
        let oldest = account.oldest_waiting.map(|at| age(now.since(at)));
        let mut row: Vec<Cell> =
            vec![account.destination.as_str().into(), account.count(WAITING).into(), oldest.into()];
        row.extend(fates.iter().map(|fate| Cell::from(account.count(fate))));
        sheet.push(row);
    }
    page.sheet(&sheet)?;
    if !lines.is_empty() {
        page.line("")?;
    }
    for line in lines {
        page.line(&sentence(line))?;
    }
    if is_cut {
        page.line("there are more (--limit N for more)")?;
    }
    let n_refused: u64 = accounts.iter().map(|account| account.count(Fate::Refused.name())).sum();
    if n_refused > 0 {
        page.line("once the cause is mended: panicsift outbox retry --all")?;
    }
    Ok(())
}

/// `siem refused alert 1a2b, opened of c-12, at …, after 3 request(s): HTTP 400, code 6`.
fn sentence(line: &OutboxLine) -> String {
    let at = line.at_ms.map_or_else(|| format!("since {}", Millis(line.created_ms)), |at| format!("at {}", Millis(at)));
    let requests = if line.attempts == 0 { String::new() } else { format!(" after {} request(s)", line.attempts) };
    let words = if line.detail.is_empty() { String::new() } else { format!(": {}", line.detail) };
    let OutboxLine { destination, alert_id, change, cluster, .. } = line;
    let told =
        format!("{destination}: {} {alert_id}, {change} of {cluster}, {at}{requests}{words}", standing(line.fate));
    super::sheet::printable(&told)
}

fn sheet(lines: &[OutboxLine]) -> Sheet {
    let mut sheet = Sheet::new(&[
        "destination",
        "fate",
        "alert_id",
        "cluster",
        "change",
        "written_at",
        "attempts",
        "answered_at",
        "words",
    ]);
    for line in lines {
        sheet.push(vec![
            line.destination.as_str().into(),
            standing(line.fate).into(),
            line.alert_id.as_str().into(),
            line.cluster.as_str().into(),
            line.change.as_str().into(),
            Millis(line.created_ms).to_string().into(),
            u64::from(line.attempts).into(),
            line.at_ms.map(|at| Millis(at).to_string()).into(),
            line.detail.as_str().into(),
        ]);
    }
    sheet
}

/// `12 s`, `4 min`, `3 h 5 min`, `2 d 4 h`; a clock that was set back gives `0 s`.
fn age(millis: i64) -> String {
    let secs = millis.max(0) / 1_000;
    match (secs / 86_400, secs / 3_600 % 24, secs / 60 % 60) {
        (0, 0, 0) => format!("{secs} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::age;

    #[test]
    fn an_age_is_told_in_its_two_largest_units() {
        let check = |millis: i64, expected: &str| assert_eq!(age(millis), expected);
        check(-5, "0 s");
        check(59_999, "59 s");
        check(60_000, "1 min");
        check(3_600_000, "1 h 0 min");
        check(86_399_000, "23 h 59 min");
        check(187_200_000, "2 d 4 h");
    }
}
