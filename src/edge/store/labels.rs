//! What analysts said of clusters, kept beside a running service.
//!
//! A connection of its own, without the owner's lock, as an operator's on the outbox: each word is one transaction. The
//! newest line about a cluster stands; earlier ones stay below it and tell who overruled whom, the newest
//! [`HISTORY_MAX`] a cluster. The service asks for the number of the newest line ([`super::Store::newest_label`], one
//! look-up) and reads the words again when it is another one. Bound: [`CLUSTERS_MAX`] clusters with a word.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, Row, Transaction, TransactionBehavior, params};

use super::{StoreError, now_ms, schema};
use crate::pipeline::alert::Verdict;
use crate::pipeline::cluster::identity::ClusterId;
use crate::pipeline::event::Millis;
use crate::pipeline::rulings::{Call, Ruling, Rulings};

/// Lines about one cluster that are kept.
const HISTORY_MAX: i64 = 100;

/// Clusters that have a line: far more than people label in a year.
const CLUSTERS_MAX: i64 = 20_000;

/// One line of the account: a word, or that it was taken back.
#[derive(Debug, Clone, PartialEq)]
pub struct Label {
    /// The cluster that it was said of.
    pub cluster: ClusterId,
    /// The word; `None`: the one before was taken back.
    pub call: Option<Call>,
    /// Why; neutralised and bounded by the caller, as `by` is.
    pub why: String,
    /// Who said it.
    pub by: String,
    /// When (Unix, wall clock, milliseconds); the desk sets it.
    pub at_ms: i64,
    /// The judge's own verdict at that time.
    pub judge: Verdict,
    /// The judge's points at that time.
    pub points: f64,
}

/// What a word is about to be said of, as a report finds it.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelSubject {
    /// The living cluster.
    pub cluster: ClusterId,
    /// That the id which was typed became part of it, in words.
    pub alias: Option<String>,
    /// The judge's own verdict now.
    pub judge: Verdict,
    /// The judge's points now.
    pub points: f64,
    /// Living clusters that come from it, and that the word reaches.
    pub descendants: Vec<ClusterId>,
}

/// An analyst's hold on the words.
#[derive(Debug)]
pub struct LabelDesk {
    connection: Connection,
    path: PathBuf,
}

impl LabelDesk {
    /// Opens the words of a store that is there, also while a service has it.
    ///
    /// # Errors
    /// The store is missing, of another version, or cannot be written.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { connection: schema::connect_existing(path)?, path: path.to_owned() })
    }

    /// Writes a line down, now; a dry run does the same and takes it back. Gives the line that stood before.
    ///
    /// # Errors
    /// There is nothing to take back, or no room ([`StoreError::Label`]); or the store cannot be written. Nothing was
    /// changed then.
    pub fn say(&mut self, label: &Label, dry_run: bool) -> Result<Option<Label>, StoreError> {
        let path = &self.path;
        let mut run = || -> rusqlite::Result<Result<Option<Label>, String>> {
            let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let before = about(&transaction, label.cluster)?;
            let stood = before.clone().filter(|before| before.call.is_some());
            if label.call.is_none() && stood.is_none() {
                return Ok(Err(format!("no word on {} stands that could be taken back", label.cluster)));
            }
            if before.is_none() && n_clusters(&transaction)? >= CLUSTERS_MAX {
                return Ok(Err(format!("{CLUSTERS_MAX} clusters have a word, and there is room for no more")));
            }
            write(&transaction, &Label { at_ms: now_ms(), ..label.clone() })?;
            if dry_run {
                transaction.rollback()?;
            } else {
                transaction.commit()?;
            }
            Ok(Ok(stood))
        };
        let done = run().map_err(|e| schema::explain(path, &e))?;
        done.map_err(|detail| StoreError::Label { path: path.clone(), detail })
    }
}

/// All lines that are kept, in the order in which they were written.
pub(super) fn history(connection: &Connection) -> rusqlite::Result<Vec<Label>> {
    connection
        .prepare_cached("SELECT cluster, word, why, who, at_ms, judge, points FROM label ORDER BY id")?
        .query_map([], read)?
        .collect()
}

/// The words that stand.
pub(super) fn rulings(connection: &Connection) -> rusqlite::Result<Rulings> {
    connection
        .prepare_cached(
            "SELECT cluster, word, why, who, at_ms, judge, points FROM label
             WHERE id IN (SELECT max(id) FROM label GROUP BY cluster)",
        )?
        .query_map([], read)?
        .filter_map(|label| label.map(|label| Some((label.cluster, ruling(label)?))).transpose())
        .collect()
}

fn ruling(label: Label) -> Option<Ruling> {
    Some(Ruling { call: label.call?, why: label.why, by: label.by, at: Millis(label.at_ms) })
}

/// Number of the newest line; 0 where there is none.
pub(super) fn newest(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("SELECT coalesce(max(id), 0) FROM label")?.query_row([], |row| row.get(0))
}

/// Writes lines down as they are, in their order.
pub(super) fn copy(connection: &mut Connection, labels: &[Label]) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    labels.iter().try_for_each(|label| write(&transaction, label))?;
    transaction.commit()
}

fn write(transaction: &Transaction<'_>, label: &Label) -> rusqlite::Result<()> {
    let Label { cluster, call, why, by, at_ms, judge, points } = label;
    let (cluster, word) = (cluster.to_string(), call.map(Call::name));
    transaction
        .prepare_cached(
            "INSERT INTO label (cluster, word, why, who, at_ms, judge, points) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![cluster, word, why, by, at_ms, judge.name(), points])?;
    transaction
        .prepare_cached(
            "DELETE FROM label WHERE cluster = ?1 AND id NOT IN
             (SELECT id FROM label WHERE cluster = ?1 ORDER BY id DESC LIMIT ?2)",
        )?
        .execute(params![cluster, HISTORY_MAX])
        .map(drop)
}

/// The newest line about a cluster.
fn about(connection: &Connection, cluster: ClusterId) -> rusqlite::Result<Option<Label>> {
    let mut found = connection.prepare_cached(
        "SELECT cluster, word, why, who, at_ms, judge, points FROM label WHERE cluster = ?1 ORDER BY id DESC LIMIT 1",
    )?;
    found.query_map([cluster.to_string()], read)?.next().transpose()
}

fn n_clusters(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("SELECT count(DISTINCT cluster) FROM label", [], |row| row.get(0))
}

fn read(row: &Row<'_>) -> rusqlite::Result<Label> {
    // Only we write here, so a text that is none of ours is damage.
    let none_of_ours = |at| rusqlite::Error::InvalidColumnType(at, "label".to_owned(), rusqlite::types::Type::Text);
    let (cluster, word, judge): (String, Option<String>, String) = (row.get(0)?, row.get(1)?, row.get(5)?);
    let judged = [Verdict::Hostile, Verdict::Benign, Verdict::Undecided].into_iter().find(|v| v.name() == judge);
    Ok(Label {
        cluster: ClusterId::named(&cluster).ok_or_else(|| none_of_ours(0))?,
        call: word.map(|word| Call::named(&word).ok_or_else(|| none_of_ours(1))).transpose()?,
        why: row.get(2)?,
        by: row.get(3)?,
        at_ms: row.get(4)?,
        judge: judged.ok_or_else(|| none_of_ours(5))?,
        points: row.get(6)?,
    })
}

#[cfg(test)]
mod tests;
