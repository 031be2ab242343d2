//! The store: state, checkpoint and outbox in one SQLite file, changed together or not at all.
//!
//! [`Store::commit`] writes what a batch changed (state rows, alerts, checkpoint) in one transaction; that transaction
//! is the batch's fate. The store keeps rows and does not know what they mean.
//!
//! **Connections.** These write: the engine's (this type; it also holds the owner's lock), one per delivery lane
//! ([`Outbox`]), and those of an operator's commands ([`OutboxDesk`], [`ReplayAccount`], [`LabelDesk`]). Each has its own connection: a
//! lane never waits for the engine's thread and neither knows the other.
//! SQLite lets one write at a time; each writes for milliseconds and waits for the others up to [`BUSY_WAIT`]. In WAL
//! mode readers ([`Store::open_read_only`], the report) wait for nobody and hold up nobody.
//!
//! **Durability.** `synchronous = FULL`. With `NORMAL` a power failure could take back the last commits; state and
//! checkpoint would go back together, but an alert that was already told to the SIEM would be gone from the outbox,
//! and the batches read again may be cut elsewhere, so that another alert could bear the same id. With `FULL` whatever
//! was sent was on the disk before. It costs one `fsync` a batch: 5 to 11 ms a commit against 2 to 4 ms, 50 rows of
//! 1.5 kB and an alert (unoptimised build, two busy cores).
//!
//! **One owner.** A file beside the store (`….lock`) is locked by the operating system while a [`Store`] is open; it is
//! free again when the process ends, however it ends. The store itself is not locked that way, since SQLite's own
//! locks on it would be lost with ours.
//!
//! Blocking, and called by the engine's thread; the clock is read for the column `created_ms` alone, which nothing
//! decides by except [`Store::prune`].

mod labels;
mod operator;
mod outbox;
mod replays;
mod schema;
mod sent;
mod watch;

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rusqlite::{Connection, OptionalExtension, params};

pub use self::labels::{Label, LabelDesk, LabelSubject};
pub use self::operator::{
    Intervened, Intervention, OutboxChoice, OutboxCount, OutboxDesk, OutboxLine, Retried, WAITING,
};
pub use self::outbox::{Delivery, Fate, Outbox, Pending, Settlement};
pub use self::replays::{ReplayAccount, ReplayStanding};
pub use self::schema::SCHEMA_VERSION;
pub use self::sent::Sent;
pub use self::watch::{Stamp, Watch};

use crate::pipeline::alert::Alert;
use crate::pipeline::event::Checkpoint;
use crate::pipeline::rulings::Rulings;
use crate::pipeline::state::StateRow;

/// How long a writer waits for another one before it gives up: far more than a transaction takes.
pub const BUSY_WAIT: Duration = Duration::from_secs(10);

/// Alerts that one call of [`Store::prune`] takes at most, so that it never holds up a batch for long.
const PRUNE_ALERTS_MAX: i64 = 1_000;

/// A key within its collection, and its value.
pub type KeyValue = (Vec<u8>, Vec<u8>);

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Opened for reading, and there is nothing.
    #[error("{0}: there is no store; a store is made by the first run of the service")]
    Missing(PathBuf),
    /// Some other file.
    #[error("{path}: this is not a panicsift store ({what}); name another path, nothing was changed")]
    NotAStore {
        /// Path of the file.
        path: PathBuf,
        /// What it is instead, as far as can be told.
        what: String,
    },
    /// Written by a newer panicsift.
    #[error(
        "{path}: the store has version {found}, this panicsift reads up to {known}; run the newer panicsift that \
         wrote it, or move the file away and start from the topic again"
    )]
    Version {
        /// Path of the file.
        path: PathBuf,
        /// Version that the file has.
        found: i64,
        /// Newest version that is known here.
        known: i64,
    },
    /// Opened for reading, but an older version that only the service may bring up to date.
    #[error(
        "{path}: the store has version {found}, {known} is needed; start the service once, it brings it up to date"
    )]
    Old {
        /// Path of the file.
        path: PathBuf,
        /// Version that the file has.
        found: i64,
        /// Version that is needed.
        known: i64,
    },
    /// SQLite finds the file broken.
    #[error(
        "{path}: the store is damaged ({detail}); move it away with its -wal and -shm files and start from the topic \
         again, or bring back a copy"
    )]
    Damaged {
        /// Path of the file.
        path: PathBuf,
        /// What SQLite said.
        detail: String,
    },
    /// Another process has it.
    #[error("{0}: another panicsift uses this store; stop it, or give this one a store of its own")]
    InUse(PathBuf),
    /// Another replay of dead letters keeps its account there.
    #[error("{0}: another replay of dead letters is under way; wait for its end")]
    Replaying(PathBuf),
    /// Read-only file, directory or file system, or no right to write.
    #[error("{path}: the store cannot be written ({detail}); check owner, rights and mount of its directory")]
    Unwritable {
        /// Path of the file.
        path: PathBuf,
        /// What the system said.
        detail: String,
    },
    /// A word that cannot be said.
    #[error("{path}: {detail}")]
    Label {
        /// Path of the file.
        path: PathBuf,
        /// Why not.
        detail: String,
    },
    /// No room.
    #[error("{0}: the disk is full; make room, the service goes on from its checkpoint")]
    Full(PathBuf),
    /// Anything else.
    #[error("{path}: {detail}")]
    Failed {
        /// Path of the file.
        path: PathBuf,
        /// What SQLite or the system said.
        detail: String,
    },
}

/// The engine's hold on the store: the only writer of state and checkpoint.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    path: PathBuf,
    /// Held, never read: the operating system frees it when the process ends.
    _owner: Option<File>,
}

impl Store {
    /// Opens the store at `path`, makes it if there is none, and brings an older version up to date. Looks the whole
    /// file through for damage (200 MB: 0.6 s when the system has it in memory).
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let owner = schema::lock_owner(path)?;
        let mut connection = schema::connect(path)?;
        schema::prepare(&mut connection, path)?;
        Ok(Self { connection, path: path.to_owned(), _owner: Some(owner) })
    }

    /// A store that lives in memory and ends with this value: replay without a file, and tests.
    pub fn open_in_memory() -> Result<Self, StoreError> {
        let path = PathBuf::from(":memory:");
        let mut connection = Connection::open_in_memory().map_err(|e| schema::explain(&path, &e))?;
        schema::prepare(&mut connection, &path)?;
        Ok(Self { connection, path, _owner: None })
    }

    /// Opens the store to read it, also while a service writes to it. Each call reads the newest commit.
    pub fn open_read_only(path: &Path) -> Result<Self, StoreError> {
        let connection = schema::connect_read_only(path)?;
        Ok(Self { connection, path: path.to_owned(), _owner: None })
    }

    /// Writes what a batch changed: all of it, or nothing. An alert whose id is there already is not written again.
    pub fn commit(&mut self, rows: &[StateRow], alerts: &[Alert], checkpoint: &Checkpoint) -> Result<(), StoreError> {
        let path = &self.path;
        write_batch(&mut self.connection, rows, alerts, checkpoint).map_err(|e| schema::explain(path, &e))
    }

    /// Sets the place in a partition that was made anew, whose offsets begin again: the only way back.
    pub fn rewind(&mut self, topic: &str, partition: i32, next: i64) -> Result<(), StoreError> {
        self.connection
            .execute(
                "INSERT INTO checkpoint (topic, partition, next) VALUES (?1, ?2, ?3)
                 ON CONFLICT (topic, partition) DO UPDATE SET next = excluded.next",
                params![topic, partition, next],
            )
            .map(|_| ())
            .map_err(|e| schema::explain(&self.path, &e))
    }

    /// Where to go on reading.
    pub fn load_checkpoint(&self) -> Result<Checkpoint, StoreError> {
        let mut checkpoint = Checkpoint::default();
        let rows = self.rows("SELECT topic, partition, next FROM checkpoint", params![], |row| {
            Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?))
        })?;
        for (topic, partition, next) in rows {
            checkpoint.set(&topic, partition, next);
        }
        Ok(checkpoint)
    }

    /// All rows of a collection as (key, value), in the order of their keys.
    pub fn load_state(&self, kind: &str) -> Result<Vec<KeyValue>, StoreError> {
        self.rows("SELECT key, value FROM state WHERE kind = ?1 ORDER BY key", [kind], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
    }

    /// The value of one row of a collection.
    pub fn load_row(&self, kind: &str, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let rows =
            self.rows("SELECT value FROM state WHERE kind = ?1 AND key = ?2", params![kind, key], |row| row.get(0));
        Ok(rows?.pop())
    }

    /// The newest `n_max` alerts that were decided from `from` on and before `to` (event time as alerts write it, RFC
    /// 3339 in UTC with milliseconds), in the order in which they were decided; each with what became of it. One pass
    /// over the outbox.
    pub fn alerts_between(&self, from: &str, to: &str, n_max: usize) -> Result<Vec<Sent>, StoreError> {
        sent::between(&self.connection, from, to, n_max).map_err(|e| schema::explain(&self.path, &e))
    }

    /// The changes of a cluster that are still kept, oldest first.
    pub fn alerts_of(&self, cluster: &str) -> Result<Vec<Alert>, StoreError> {
        let bodies: Vec<String> =
            self.rows("SELECT body FROM outbox WHERE cluster = ?1 ORDER BY seq", [cluster], |row| row.get(0))?;
        self.read_alerts(&bodies)
    }

    /// The newest `n_max` alerts that are still kept, the newest first. Reads no more rows than that.
    pub fn newest_alerts(&self, n_max: usize) -> Result<Vec<Alert>, StoreError> {
        let n_max = i64::try_from(n_max).unwrap_or(i64::MAX);
        let bodies: Vec<String> =
            self.rows("SELECT body FROM outbox ORDER BY seq DESC LIMIT ?1", [n_max], |row| row.get(0))?;
        self.read_alerts(&bodies)
    }

    fn read_alerts(&self, bodies: &[String]) -> Result<Vec<Alert>, StoreError> {
        let read = |body: &String| {
            serde_json::from_str(body).map_err(|error| StoreError::Damaged {
                path: self.path.clone(),
                detail: format!("an alert cannot be read: {error}"),
            })
        };
        bodies.iter().map(read).collect()
    }

    /// What became of an alert at each destination that has its answer.
    pub fn deliveries_of(&self, alert_id: &str) -> Result<Vec<Delivery>, StoreError> {
        self.rows(
            "SELECT destination, fate, detail, attempts, at_ms FROM delivery
             WHERE seq = (SELECT seq FROM outbox WHERE alert_id = ?1) ORDER BY destination",
            [alert_id],
            outbox::read_delivery,
        )
    }

    /// What operators did to an alert, in order.
    pub fn interventions_of(&self, alert_id: &str) -> Result<Vec<Intervened>, StoreError> {
        operator::interventions(&self.connection, alert_id).map_err(|e| schema::explain(&self.path, &e))
    }

    /// Every destination that ever read the outbox, with its alerts counted by what became of them.
    pub fn outbox_counts(&self) -> Result<Vec<OutboxCount>, StoreError> {
        operator::counts(&self.connection).map_err(|e| schema::explain(&self.path, &e))
    }

    /// Up to `n_max` alerts of the outbox that are chosen, by destination and age.
    pub fn outbox_lines(&self, choice: &OutboxChoice, n_max: usize) -> Result<Vec<OutboxLine>, StoreError> {
        let n_max = i64::try_from(n_max).unwrap_or(i64::MAX);
        operator::chosen(&self.connection, choice, n_max).map_err(|e| schema::explain(&self.path, &e))
    }

    /// The words of analysts that stand.
    pub fn rulings(&self) -> Result<Rulings, StoreError> {
        labels::rulings(&self.connection).map_err(|e| schema::explain(&self.path, &e))
    }

    /// The number of the newest line that an analyst wrote; 0 where there is none. One look-up.
    pub fn newest_label(&self) -> Result<i64, StoreError> {
        labels::newest(&self.connection).map_err(|e| schema::explain(&self.path, &e))
    }

    /// All that analysts said, and took back, in order; of a cluster the newest hundred lines.
    pub fn labels(&self) -> Result<Vec<Label>, StoreError> {
        labels::history(&self.connection).map_err(|e| schema::explain(&self.path, &e))
    }

    /// Writes down what analysts said according to another store.
    pub fn copy_labels(&mut self, said: &[Label]) -> Result<(), StoreError> {
        labels::copy(&mut self.connection, said).map_err(|e| schema::explain(&self.path, &e))
    }

    /// Ids of the dead letters that were replayed for good.
    pub fn replayed_letters(&self) -> Result<BTreeSet<String>, StoreError> {
        replays::done(&self.connection).map_err(|e| schema::explain(&self.path, &e))
    }

    /// Alerts that wait for a destination. One pass over the outbox (some 20 ms for 100,000).
    pub fn n_waiting(&self, destination: &str) -> Result<u64, StoreError> {
        outbox::n_waiting(&self.connection, destination).map_err(|e| schema::explain(&self.path, &e))
    }

    /// A remembered text (`shape key id`, `model version`, …).
    pub fn meta(&self, key: &str) -> Result<Option<String>, StoreError> {
        self.connection
            .query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0))
            .optional()
            .map_err(|e| schema::explain(&self.path, &e))
    }

    /// Remembers a text.
    pub fn set_meta(&mut self, key: &str, value: &str) -> Result<(), StoreError> {
        self.connection
            .execute("INSERT INTO meta VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = excluded.value", [key, value])
            .map(|_| ())
            .map_err(|e| schema::explain(&self.path, &e))
    }

    /// Takes alerts out that were written before `before_ms` (Unix, wall clock) and have their answer from every one
    /// of `destinations`; at most [`PRUNE_ALERTS_MAX`] a call. Returns how many were taken.
    pub fn prune(&mut self, destinations: &[&str], before_ms: i64) -> Result<usize, StoreError> {
        let path = &self.path;
        outbox::prune(&mut self.connection, destinations, before_ms, PRUNE_ALERTS_MAX)
            .map_err(|e| schema::explain(path, &e))
    }

    fn rows<T>(
        &self,
        sql: &str,
        parameters: impl rusqlite::Params,
        read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let query = || -> rusqlite::Result<Vec<T>> {
            self.connection.prepare_cached(sql)?.query_map(parameters, read)?.collect()
        };
        query().map_err(|e| schema::explain(&self.path, &e))
    }
}

/// One transaction: rows, alerts, checkpoint. Dropping the transaction on the way undoes all of it.
fn write_batch(
    connection: &mut Connection,
    rows: &[StateRow],
    alerts: &[Alert],
    checkpoint: &Checkpoint,
) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    {
        let mut put = transaction.prepare_cached(
            "INSERT INTO state (kind, key, value) VALUES (?1, ?2, ?3)
             ON CONFLICT (kind, key) DO UPDATE SET value = excluded.value",
        )?;
        let mut remove = transaction.prepare_cached("DELETE FROM state WHERE kind = ?1 AND key = ?2")?;
        for row in rows {
            match &row.value {
                Some(value) => put.execute(params![row.kind, row.key, value])?,
                None => remove.execute(params![row.kind, row.key])?,
            };
        }
        outbox::append(&transaction, alerts, now_ms())?;
        let mut advance = transaction.prepare_cached(
            "INSERT INTO checkpoint (topic, partition, next) VALUES (?1, ?2, ?3)
             ON CONFLICT (topic, partition) DO UPDATE SET next = max(next, excluded.next)",
        )?;
        for (topic, partition, next) in checkpoint.iter() {
            advance.execute(params![topic, partition, next])?;
        }
    }
    transaction.commit()
}

/// Milliseconds of the wall clock since the Unix epoch.
#[expect(clippy::disallowed_methods, reason = "when a row was written is a fact of this machine, not of the events")]
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
