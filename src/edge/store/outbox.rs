//! The outbox: alerts that were decided, and what became of each at each destination.
//!
//! An alert is written once, in the transaction of its batch. A destination's answer is a row of `delivery`; an alert
//! without one waits. An [`Outbox`] is one lane's own connection: it reads what waits for its destination, in the
//! order in which it was decided, and writes down the answers.
//!
//! A destination that is new to the store gets every alert that is still kept. Costs: reading a page of waiting
//! alerts is a range scan from the lane's floor, below which all is answered; the floor is found by one pass at start.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, Row, Transaction, TransactionBehavior, params};

use super::{StoreError, now_ms, schema};
use crate::pipeline::alert::Alert;

/// What finally became of an alert at a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fate {
    /// Taken.
    Delivered,
    /// It was there already, under the same id.
    Repeated,
    /// Taken, but put aside by the destination (Elastic's failure store).
    Degraded,
    /// Refused for good, in the destination's own words; stays in the outbox to be seen.
    Refused,
    /// Left out: a later change of the same cluster, told in its place, says all that it said. (Killed in the moment
    /// between, a lane may have sent it all the same; the order is kept then, too.)
    Superseded,
    /// Given up by an operator; the detail says by whom and why.
    Dropped,
}

impl Fate {
    /// Every fate, for tables and metrics.
    pub const ALL: [Self; 6] =
        [Self::Delivered, Self::Repeated, Self::Degraded, Self::Refused, Self::Superseded, Self::Dropped];

    /// The name in the store and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Repeated => "repeated",
            Self::Degraded => "degraded",
            Self::Refused => "refused",
            Self::Superseded => "superseded",
            Self::Dropped => "dropped",
        }
    }

    /// Whether the destination has the alert.
    pub fn is_taken(self) -> bool {
        matches!(self, Self::Delivered | Self::Repeated | Self::Degraded)
    }

    /// The fate of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fate| fate.name() == name)
    }
}

/// An alert that waits for a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// Its place in the outbox.
    pub seq: i64,
    /// Its cluster: the changes of one cluster are told in order.
    pub cluster: String,
    /// The alert as JSON.
    pub body: String,
}

/// A destination's final answer about an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// Its place in the outbox.
    pub seq: i64,
    /// What became of it.
    pub fate: Fate,
    /// The destination's words, bounded and on one line.
    pub detail: String,
    /// Requests that carried it.
    pub attempts: u32,
}

/// A row of the delivery table, for the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Name of the destination.
    pub destination: String,
    /// What became of it.
    pub fate: Fate,
    /// The destination's words.
    pub detail: String,
    /// Requests that carried it.
    pub attempts: u32,
    /// When the answer was written down (Unix, wall clock, milliseconds).
    pub at_ms: i64,
}

/// A lane's own connection to the outbox.
#[derive(Debug)]
pub struct Outbox {
    connection: Connection,
    path: PathBuf,
    destination: String,
    /// Every alert up to this one has its answer.
    floor: i64,
    /// The last intervention of an operator that the floor knows of: one that came later may have taken answers back.
    known_intervention: i64,
}

impl Outbox {
    /// Opens the outbox of a store that is there already, for the destination of this name.
    pub fn open(path: &Path, destination: &str) -> Result<Self, StoreError> {
        let connection = schema::connect_existing(path)?;
        let prepare = || -> rusqlite::Result<(i64, i64)> {
            remember(&connection, destination)?;
            let known_intervention = last_intervention(&connection)?;
            Ok((known_intervention, floor(&connection, destination, 0)?))
        };
        let (known_intervention, floor) = prepare().map_err(|e| schema::explain(path, &e))?;
        let (path, destination) = (path.to_owned(), destination.to_owned());
        Ok(Self { connection, path, destination, floor, known_intervention })
    }

    /// Up to `n_max` alerts that wait, oldest first; stops before `bytes_max` of JSON, but gives at least one.
    pub fn pending(&self, n_max: usize, bytes_max: usize) -> Result<Vec<Pending>, StoreError> {
        self.pending_after(0, n_max, bytes_max)
    }

    /// The same for alerts after the place `after` in the outbox.
    pub fn pending_after(&self, after: i64, n_max: usize, bytes_max: usize) -> Result<Vec<Pending>, StoreError> {
        self.read_pending(after.max(self.floor), n_max, bytes_max).map_err(|e| schema::explain(&self.path, &e))
    }

    /// The number of the last intervention of an operator that [`Self::raise_floor`] met; another one than before means
    /// that what was read of the outbox may no longer hold.
    pub fn known_intervention(&self) -> i64 {
        self.known_intervention
    }

    /// Writes answers down, all or none. An alert that has its answer already keeps it, but for one that an operator
    /// dropped while it was under way: that the destination took it is the truth.
    pub fn settle(&mut self, settlements: &[Settlement]) -> Result<(), StoreError> {
        let path = &self.path;
        let write = |connection: &mut Connection, destination: &str| -> rusqlite::Result<()> {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            insert(&transaction, destination, settlements)?;
            transaction.commit()
        };
        write(&mut self.connection, &self.destination).map_err(|e| schema::explain(path, &e))
    }

    /// Alerts that wait for this destination.
    pub fn n_waiting(&self) -> Result<u64, StoreError> {
        self.count_waiting().map_err(|e| schema::explain(&self.path, &e))
    }

    /// Moves the floor up over alerts that were answered in the meantime; finds it anew, by one pass, after an operator
    /// intervened (in whatever process), since an alert below it may wait again.
    pub fn raise_floor(&mut self) -> Result<(), StoreError> {
        self.find_floor().map_err(|e| schema::explain(&self.path, &e))
    }

    /// The intervention is looked up first: one that comes between the two is met by the next call.
    fn find_floor(&mut self) -> rusqlite::Result<()> {
        let intervention = last_intervention(&self.connection)?;
        let known = if intervention == self.known_intervention { self.floor } else { 0 };
        self.floor = floor(&self.connection, &self.destination, known)?;
        self.known_intervention = intervention;
        Ok(())
    }

    fn read_pending(&self, after: i64, n_max: usize, bytes_max: usize) -> rusqlite::Result<Vec<Pending>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT seq, cluster, body FROM outbox AS o WHERE seq > ?2
             AND NOT EXISTS (SELECT 1 FROM delivery AS d WHERE d.destination = ?1 AND d.seq = o.seq)
             ORDER BY seq LIMIT ?3",
        )?;
        let limit = i64::try_from(n_max).unwrap_or(i64::MAX);
        let mut rows = statement.query(params![self.destination, after, limit])?;
        let mut pending: Vec<Pending> = Vec::new();
        let mut n_bytes = 0_usize;
        while let Some(row) = rows.next()? {
            let alert = Pending { seq: row.get(0)?, cluster: row.get(1)?, body: row.get(2)? };
            n_bytes = n_bytes.saturating_add(alert.body.len());
            if n_bytes > bytes_max && !pending.is_empty() {
                break;
            }
            pending.push(alert);
        }
        Ok(pending)
    }

    fn count_waiting(&self) -> rusqlite::Result<u64> {
        let mut statement = self.connection.prepare_cached(COUNT_WAITING)?;
        let n: i64 = statement.query_row(params![self.destination, self.floor], |row| row.get(0))?;
        Ok(u64::try_from(n).unwrap_or(0))
    }
}

/// All alerts above the floor less those that have their answer. `+seq` keeps SQLite from walking the table with its
/// bodies: any index will do, and is twenty times smaller.
const COUNT_WAITING: &str = "SELECT (SELECT count(*) FROM outbox WHERE +seq > ?2)
    - (SELECT count(*) FROM delivery WHERE destination = ?1 AND seq > ?2)";

/// Below the first alert that waits, or the last alert of all. One statement, hence one snapshot: an alert that is
/// written in between must not be passed over.
const FLOOR: &str = "SELECT coalesce(
        (SELECT seq - 1 FROM outbox AS o WHERE seq > ?2
         AND NOT EXISTS (SELECT 1 FROM delivery AS d WHERE d.destination = ?1 AND d.seq = o.seq)
         ORDER BY seq LIMIT 1),
        (SELECT max(seq) FROM outbox),
        ?2)";

/// The number of the last intervention; 0 when there was none. Numbers are never given twice.
fn last_intervention(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("SELECT coalesce(max(id), 0) FROM intervention")?.query_row([], |row| row.get(0))
}

/// Notes that a destination of this name reads the outbox. Writes only for one that is new, so that a full disk keeps
/// no lane from its start.
fn remember(connection: &Connection, destination: &str) -> rusqlite::Result<()> {
    let is_known: bool = connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM destination WHERE name = ?1)")?
        .query_row([destination], |row| row.get(0))?;
    if !is_known {
        connection.execute("INSERT OR IGNORE INTO destination VALUES (?1, ?2)", params![destination, now_ms()])?;
    }
    Ok(())
}

fn floor(connection: &Connection, destination: &str, known: i64) -> rusqlite::Result<i64> {
    let found: i64 = connection.prepare_cached(FLOOR)?.query_row(params![destination, known], |row| row.get(0))?;
    Ok(found.max(known))
}

/// Alerts that wait for a destination, by two counts over indexes.
pub(super) fn n_waiting(connection: &Connection, destination: &str) -> rusqlite::Result<u64> {
    let n: i64 = connection.prepare_cached(COUNT_WAITING)?.query_row(params![destination, 0], |row| row.get(0))?;
    Ok(u64::try_from(n).unwrap_or(0))
}

/// Appends alerts within the batch's transaction.
pub(super) fn append(transaction: &Transaction<'_>, alerts: &[Alert], now_ms: i64) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached(
        "INSERT INTO outbox (alert_id, cluster, body, created_ms) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (alert_id) DO NOTHING",
    )?;
    for alert in alerts {
        let body =
            serde_json::to_string(alert).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
        statement.execute(params![alert.alert_id, alert.cluster, body, now_ms])?;
    }
    Ok(())
}

/// Takes answered alerts and their answers out.
pub(super) fn prune(
    connection: &mut Connection,
    destinations: &[&str],
    before_ms: i64,
    n_max: i64,
) -> rusqlite::Result<usize> {
    let names = serde_json::to_string(destinations)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let seqs: Vec<i64> = transaction
        .prepare_cached(
            "SELECT seq FROM outbox AS o WHERE created_ms < ?1 AND NOT EXISTS (
                SELECT 1 FROM json_each(?2) AS wanted WHERE NOT EXISTS (
                    SELECT 1 FROM delivery AS d WHERE d.destination = wanted.value AND d.seq = o.seq))
             ORDER BY created_ms LIMIT ?3",
        )?
        .query_map(params![before_ms, names, n_max], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for seq in &seqs {
        transaction.prepare_cached("DELETE FROM delivery WHERE seq = ?1")?.execute([seq])?;
        transaction.prepare_cached("DELETE FROM intervention WHERE seq = ?1")?.execute([seq])?;
        transaction.prepare_cached("DELETE FROM outbox WHERE seq = ?1")?.execute([seq])?;
    }
    transaction.commit()?;
    Ok(seqs.len())
}

/// Reads the columns destination, fate, detail, attempts, `at_ms`.
pub(super) fn read_delivery(row: &Row<'_>) -> rusqlite::Result<Delivery> {
    let fate: String = row.get(1)?;
    let fate = Fate::named(&fate).ok_or(rusqlite::Error::IntegralValueOutOfRange(1, 0))?;
    Ok(Delivery { destination: row.get(0)?, fate, detail: row.get(2)?, attempts: row.get(3)?, at_ms: row.get(4)? })
}

fn insert(transaction: &Transaction<'_>, destination: &str, settlements: &[Settlement]) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached(
        "INSERT INTO delivery (destination, seq, fate, detail, attempts, at_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (destination, seq) DO UPDATE SET fate = excluded.fate, detail = excluded.detail,
            attempts = excluded.attempts, at_ms = excluded.at_ms
         WHERE fate = 'dropped' AND excluded.fate IN ('delivered', 'repeated', 'degraded')",
    )?;
    let at_ms = now_ms();
    for one in settlements {
        statement.execute(params![destination, one.seq, one.fate.name(), one.detail, one.attempts, at_ms])?;
    }
    Ok(())
}
