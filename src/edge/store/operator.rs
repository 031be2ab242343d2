//! What an operator sees of the outbox and does to it, also while a service runs.
//!
//! A connection of its own, without the owner's lock: each deed is one transaction, as an answer of a lane is. Nothing
//! is ever deleted: an answer that is taken back goes into the table `intervention` with who did it, why and when, and
//! stays there as long as its alert is kept. A lane looks up the last intervention before each page and finds its
//! floor anew when there is one ([`super::Outbox::raise_floor`]), so it sees at once what waits again.
//!
//! Costs: a listing is one pass over the outbox a destination; a deed is one pass and two rows an alert, and holds up
//! other writers for as long.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, Row, Transaction, TransactionBehavior, params};

use super::outbox::Fate;
use super::{StoreError, now_ms, schema};

/// Which alerts of which destinations are meant. All that is named must be so; nothing named means everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutboxChoice {
    /// Name of the destination.
    pub destination: Option<String>,
    /// The cluster's id, or its beginning.
    pub cluster: Option<String>,
    /// The alert's id, or its beginning.
    pub alert: Option<String>,
    /// Where they stand; `None` among them is "waiting". Empty: anywhere.
    pub standings: Vec<Option<Fate>>,
}

/// An alert as it stands with one destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxLine {
    /// Name of the destination.
    pub destination: String,
    /// Its place in the outbox.
    pub seq: i64,
    /// Id of the alert.
    pub alert_id: String,
    /// Id of its cluster.
    pub cluster: String,
    /// `opened`, `raised` or `closed`.
    pub change: String,
    /// When it was written (Unix, wall clock, milliseconds).
    pub created_ms: i64,
    /// What became of it; `None`: it waits.
    pub fate: Option<Fate>,
    /// The destination's words, or the operator's.
    pub detail: String,
    /// Requests that carried it.
    pub attempts: u32,
    /// When it got its fate (Unix, wall clock, milliseconds).
    pub at_ms: Option<i64>,
}

/// How many alerts stand so with a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxCount {
    /// Name of the destination.
    pub destination: String,
    /// What became of them; `None`: they wait.
    pub fate: Option<Fate>,
    /// How many.
    pub alerts: u64,
    /// When the oldest of them was written (Unix, wall clock, milliseconds).
    pub oldest_ms: i64,
}

/// Who intervenes, and why; both neutralised and bounded by the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intervention {
    /// Who.
    pub who: String,
    /// Why.
    pub why: String,
    /// Find out what it would do, and do nothing.
    pub dry_run: bool,
}

/// What a retry came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retried {
    /// Alerts that wait again.
    pub waiting: Vec<OutboxLine>,
    /// Alerts left alone: the destination has a later change of their cluster, so they would come out of order.
    pub out_of_order: Vec<OutboxLine>,
}

/// What happened to an alert before it came to stand as it stands now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intervened {
    /// `retry` or `drop`.
    pub action: String,
    /// Name of the destination.
    pub destination: String,
    /// Who.
    pub who: String,
    /// Why.
    pub why: String,
    /// What it had been; `None`: it waited.
    pub fate_before: Option<Fate>,
    /// The destination's words before.
    pub detail_before: String,
    /// When (Unix, wall clock, milliseconds).
    pub at_ms: i64,
}

/// An operator's hold on the outbox.
#[derive(Debug)]
pub struct OutboxDesk {
    connection: Connection,
    path: PathBuf,
}

impl OutboxDesk {
    /// Opens the outbox of a store that is there, also while a service has it.
    ///
    /// # Errors
    /// The store is missing, of another version, or cannot be written.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { connection: schema::connect_existing(path)?, path: path.to_owned() })
    }

    /// Makes refused (or dropped) alerts wait again. An alert whose destination has a later change of the same cluster
    /// is left alone, unless `out_of_order`: the destination would read "opened" after "raised". Alerts of one cluster
    /// that wait again together go out in their order, before later changes that wait.
    ///
    /// # Errors
    /// The store cannot be written; then nothing was changed.
    pub fn retry(
        &mut self,
        choice: &OutboxChoice,
        by: &Intervention,
        out_of_order: bool,
    ) -> Result<Retried, StoreError> {
        self.deed(by, |transaction| {
            let mut retried = Retried::default();
            for line in chosen(transaction, choice, i64::MAX)? {
                if !matches!(line.fate, Some(Fate::Refused | Fate::Dropped)) {
                    continue;
                }
                if !out_of_order && is_overtaken(transaction, &line)? {
                    retried.out_of_order.push(line);
                    continue;
                }
                note(transaction, "retry", &line, by)?;
                transaction
                    .prepare_cached("DELETE FROM delivery WHERE destination = ?1 AND seq = ?2")?
                    .execute(params![line.destination, line.seq])?;
                retried.waiting.push(line);
            }
            Ok(retried)
        })
    }

    /// Gives alerts up that wait or were refused. They stay in the store with the fate `dropped`; one that is under way
    /// at this moment and is taken gets the fate that the destination gives it after all. Returns what was given up.
    ///
    /// # Errors
    /// The store cannot be written; then nothing was changed.
    pub fn give_up(&mut self, choice: &OutboxChoice, by: &Intervention) -> Result<Vec<OutboxLine>, StoreError> {
        self.deed(by, |transaction| {
            let mut lines = chosen(transaction, choice, i64::MAX)?;
            lines.retain(|line| matches!(line.fate, None | Some(Fate::Refused)));
            for line in &lines {
                note(transaction, "drop", line, by)?;
                transaction
                    .prepare_cached(
                        "INSERT INTO delivery (destination, seq, fate, detail, attempts, at_ms)
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (destination, seq) DO UPDATE SET
                            fate = excluded.fate, detail = excluded.detail, at_ms = excluded.at_ms",
                    )?
                    .execute(params![
                        line.destination,
                        line.seq,
                        Fate::Dropped.name(),
                        format!("by {}: {}", by.who, by.why),
                        line.attempts,
                        now_ms()
                    ])?;
            }
            Ok(lines)
        })
    }

    /// One transaction; a dry run does the same and takes it back.
    fn deed<T>(
        &mut self,
        by: &Intervention,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let path = &self.path;
        let run = || -> rusqlite::Result<T> {
            let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = work(&transaction)?;
            if by.dry_run {
                transaction.rollback()?;
            } else {
                transaction.commit()?;
            }
            Ok(done)
        };
        run().map_err(|e| schema::explain(path, &e))
    }
}

/// Alerts by destination and fate.
pub(super) fn counts(connection: &Connection) -> rusqlite::Result<Vec<OutboxCount>> {
    connection
        .prepare_cached(
            "SELECT t.name, d.fate, count(o.seq), coalesce(min(o.created_ms), 0) FROM destination AS t
             LEFT JOIN outbox AS o ON true LEFT JOIN delivery AS d ON d.destination = t.name AND d.seq = o.seq
             GROUP BY t.name, d.fate ORDER BY t.name, d.fate",
        )?
        .query_map([], |row| {
            let alerts: i64 = row.get(2)?;
            Ok(OutboxCount {
                destination: row.get(0)?,
                fate: fate(row, 1)?,
                alerts: u64::try_from(alerts).unwrap_or(0),
                oldest_ms: row.get(3)?,
            })
        })?
        .collect()
}

/// Up to `n_max` alerts of the choice, by destination and place.
pub(super) fn chosen(connection: &Connection, choice: &OutboxChoice, n_max: i64) -> rusqlite::Result<Vec<OutboxLine>> {
    let names: Vec<&str> = choice.standings.iter().map(|fate| fate.map_or(WAITING, Fate::name)).collect();
    let standings =
        serde_json::to_string(&names).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    connection
        .prepare_cached(
            "SELECT t.name, o.seq, o.alert_id, o.cluster, coalesce(json_extract(o.body, '$.change'), ''),
                o.created_ms, d.fate, coalesce(d.detail, ''), coalesce(d.attempts, 0), d.at_ms
             FROM destination AS t CROSS JOIN outbox AS o
             LEFT JOIN delivery AS d ON d.destination = t.name AND d.seq = o.seq
             WHERE (?1 IS NULL OR t.name = ?1)
             AND (?2 IS NULL OR substr(o.cluster, 1, length(?2)) = ?2)
             AND (?3 IS NULL OR substr(o.alert_id, 1, length(?3)) = ?3)
             AND (?4 = '[]' OR coalesce(d.fate, 'waiting') IN (SELECT value FROM json_each(?4)))
             ORDER BY t.name, o.seq LIMIT ?5",
        )?
        .query_map(params![choice.destination, choice.cluster, choice.alert, standings, n_max], |row| {
            Ok(OutboxLine {
                destination: row.get(0)?,
                seq: row.get(1)?,
                alert_id: row.get(2)?,
                cluster: row.get(3)?,
                change: row.get(4)?,
                created_ms: row.get(5)?,
                fate: fate(row, 6)?,
                detail: row.get(7)?,
                attempts: row.get(8)?,
                at_ms: row.get(9)?,
            })
        })?
        .collect()
}

/// What operators did to an alert, in order.
pub(super) fn interventions(connection: &Connection, alert_id: &str) -> rusqlite::Result<Vec<Intervened>> {
    connection
        .prepare_cached(
            "SELECT action, destination, who, why, fate_before, detail_before, at_ms FROM intervention
             WHERE seq = (SELECT seq FROM outbox WHERE alert_id = ?1) ORDER BY id",
        )?
        .query_map([alert_id], |row| {
            Ok(Intervened {
                action: row.get(0)?,
                destination: row.get(1)?,
                who: row.get(2)?,
                why: row.get(3)?,
                fate_before: fate(row, 4)?,
                detail_before: row.get(5)?,
                at_ms: row.get(6)?,
            })
        })?
        .collect()
}

/// The standing of an alert that has no fate yet.
pub const WAITING: &str = "waiting";

fn fate(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<Fate>> {
    let name: Option<String> = row.get(at)?;
    name.map(|name| Fate::named(&name).ok_or(rusqlite::Error::IntegralValueOutOfRange(at, 0))).transpose()
}

/// Whether the destination has a later change of the alert's cluster.
fn is_overtaken(transaction: &Transaction<'_>, line: &OutboxLine) -> rusqlite::Result<bool> {
    transaction
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM outbox AS o JOIN delivery AS d ON d.seq = o.seq AND d.destination = ?1
             WHERE o.cluster = ?2 AND o.seq > ?3 AND d.fate IN ('delivered', 'repeated', 'degraded'))",
        )?
        .query_row(params![line.destination, line.cluster, line.seq], |row| row.get(0))
}

fn note(transaction: &Transaction<'_>, action: &str, line: &OutboxLine, by: &Intervention) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO intervention
                (action, destination, seq, who, why, fate_before, detail_before, attempts_before, at_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            action,
            line.destination,
            line.seq,
            by.who,
            by.why,
            line.fate.map(Fate::name),
            line.detail,
            line.attempts,
            now_ms()
        ])
        .map(drop)
}

#[cfg(test)]
mod tests;
