//! The account of replayed dead letters: so that none is replayed twice, whoever asks, and whatever breaks off.
//!
//! A letter is written down as begun before its record is produced, and as done when it was acknowledged. What is begun
//! and not done was broken off between the two: its record may be in the topic or not. One replay at a time: a file
//! beside the store (`….replay.lock`) is locked while a [`ReplayAccount`] is open.
//!
//! A connection of its own, also while a service has the store. Costs a transaction each for beginning and ending a
//! batch of letters, and a row a letter, which is kept for ever: the promise rests on it.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::{StoreError, now_ms, schema};

/// What the account says of a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReplayStanding {
    /// Never begun.
    New,
    /// Begun and broken off: its record may have been produced.
    Begun,
    /// Produced and acknowledged.
    Done,
}

/// A replay's hold on the account.
#[derive(Debug)]
pub struct ReplayAccount {
    connection: Connection,
    path: PathBuf,
    /// Held, never read: the operating system frees it when the process ends.
    _alone: File,
}

impl ReplayAccount {
    /// Opens the account of a store that is there, also while a service has it.
    ///
    /// # Errors
    /// [`StoreError::Replaying`] while another replay goes on; else as for any store.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let connection = schema::connect_existing(path)?;
        let alone = schema::lock_beside(path, ".replay.lock")?.ok_or_else(|| StoreError::Replaying(path.to_owned()))?;
        Ok(Self { connection, path: path.to_owned(), _alone: alone })
    }

    /// What the account says of a letter.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn standing(&self, letter: &str) -> Result<ReplayStanding, StoreError> {
        let done: Option<bool> = self
            .connection
            .prepare_cached("SELECT done FROM letter_replay WHERE letter = ?1")
            .and_then(|mut statement| statement.query_row([letter], |row| row.get(0)).optional())
            .map_err(|e| schema::explain(&self.path, &e))?;
        Ok(match done {
            None => ReplayStanding::New,
            Some(false) => ReplayStanding::Begun,
            Some(true) => ReplayStanding::Done,
        })
    }

    /// Writes letters down as begun, all or none, before anything is produced.
    ///
    /// # Errors
    /// The store cannot be written; then none is begun.
    pub fn begin(&mut self, letters: &[&str], target: &str, who: &str) -> Result<(), StoreError> {
        self.write(
            "INSERT INTO letter_replay (letter, done, target, who, begun_ms) VALUES (?1, 0, ?2, ?3, ?4)
             ON CONFLICT (letter) DO UPDATE SET target = excluded.target, who = excluded.who,
                begun_ms = excluded.begun_ms WHERE done = 0",
            letters,
            |letter| (letter.to_owned(), target.to_owned(), who.to_owned(), now_ms()),
        )
    }

    /// Writes letters down as done, all or none, after all were acknowledged.
    ///
    /// # Errors
    /// The store cannot be written; they then stay begun.
    pub fn end(&mut self, letters: &[&str]) -> Result<(), StoreError> {
        let sql = "UPDATE letter_replay SET done = 1, done_ms = ?2 WHERE letter = ?1";
        self.write(sql, letters, |letter| (letter.to_owned(), now_ms()))
    }

    fn write<P: rusqlite::Params>(
        &mut self,
        sql: &str,
        letters: &[&str],
        parameters: impl Fn(&str) -> P,
    ) -> Result<(), StoreError> {
        let path = &self.path;
        let mut run = || -> rusqlite::Result<()> {
            let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for letter in letters {
                transaction.prepare_cached(sql)?.execute(parameters(letter))?;
            }
            transaction.commit()
        };
        run().map_err(|e| schema::explain(path, &e))
    }
}

/// Every letter that was replayed for good.
pub(super) fn done(connection: &Connection) -> rusqlite::Result<BTreeSet<String>> {
    connection
        .prepare_cached("SELECT letter FROM letter_replay WHERE done = 1")?
        .query_map(params![], |row| row.get(0))?
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::Store;
    use super::*;

    #[test]
    fn a_letter_is_new_then_begun_then_done_over_restarts_and_never_goes_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.db");
        let store = Store::open(&path).unwrap();
        let mut account = ReplayAccount::open(&path).unwrap();
        assert_eq!(account.standing("l1").unwrap(), ReplayStanding::New);
        account.begin(&["l1", "l2"], "panics", "alice").unwrap();
        account.end(&["l1"]).unwrap();
        drop(account);
        let mut account = ReplayAccount::open(&path).unwrap();
        account.begin(&["l1"], "panics", "bob").unwrap();
        let standings = ["l1", "l2", "l3"].map(|letter| account.standing(letter).unwrap());
        assert_eq!(standings, [ReplayStanding::Done, ReplayStanding::Begun, ReplayStanding::New]);
        assert_eq!(store.replayed_letters().unwrap(), BTreeSet::from(["l1".to_owned()]));
    }

    #[test]
    fn only_one_replay_goes_on_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.db");
        drop(Store::open(&path).unwrap());
        let first = ReplayAccount::open(&path).unwrap();
        assert!(matches!(ReplayAccount::open(&path).unwrap_err(), StoreError::Replaying(_)));
        drop(first);
        ReplayAccount::open(&path).unwrap();
    }
}
