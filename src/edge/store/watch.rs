//! A store that is looked at again and again while a service writes it, and that may be replaced meanwhile.
//!
//! Keeps one read-only connection open and says by a [`Stamp`] whether anything was committed since; that costs some
//! microseconds, so that whoever watches reads only what is new. A file that was moved away, made anew or put in place
//! of the old one is opened anew: a connection would go on reading the file that it once opened, also when nobody can
//! see that one any more. Never writes and holds up nobody.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{Store, StoreError, schema};

/// What a store was when it was looked at: another stamp means that something may have been committed since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// How many times it was opened: numbers of different connections say nothing of each other.
    opening: u64,
    /// SQLite's number of commits by other connections.
    commits: i64,
}

/// A path at which a store is watched.
#[derive(Debug)]
pub struct Watch {
    path: PathBuf,
    open: Option<Opened>,
    n_openings: u64,
}

#[derive(Debug)]
struct Opened {
    store: Store,
    file: FileIdentity,
}

/// Device and number of a file: another file at the same path has others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileIdentity(u64, u64);

impl Watch {
    /// Watches the store at `path`, which need not be there yet.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), open: None, n_openings: 0 }
    }

    /// The store as it is now, and its stamp.
    ///
    /// # Errors
    /// What [`Store::open_read_only`] says of the file; the next call tries again.
    pub fn look(&mut self) -> Result<(&Store, Stamp), StoreError> {
        // Taken before the opening: a file that is replaced in between is met by the next call.
        let file = identity(&self.path)?;
        let kept = self.open.take().filter(|opened| opened.file == file);
        let opened = if let Some(opened) = kept {
            opened
        } else {
            self.n_openings += 1;
            Opened { store: Store::open_read_only(&self.path)?, file }
        };
        let commits = opened
            .store
            .connection
            .query_row("PRAGMA data_version", [], |row| row.get(0))
            .map_err(|error| schema::explain(&self.path, &error))?;
        let stamp = Stamp { opening: self.n_openings, commits };
        Ok((&self.open.insert(opened).store, stamp))
    }

    /// Gives the connection up, after a fault met while reading.
    pub fn close(&mut self) {
        self.open = None;
    }
}

impl Store {
    /// Reads several things as they were at one moment, whatever is committed meanwhile. The write-ahead log cannot be
    /// cut back past that moment before `read` is done.
    ///
    /// # Errors
    /// Those of `read`; it must not ask for a moment of its own.
    pub fn at_one_moment<T>(&self, read: impl FnOnce(&Self) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let moment = self.connection.unchecked_transaction().map_err(|error| schema::explain(&self.path, &error))?;
        let read = read(self)?;
        // It has written nothing, so that its end can change nothing.
        moment.commit().map_err(|error| schema::explain(&self.path, &error))?;
        Ok(read)
    }
}

fn identity(path: &Path) -> Result<FileIdentity, StoreError> {
    let found = std::fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => StoreError::Missing(path.to_owned()),
        _ => StoreError::Failed { path: path.to_owned(), detail: error.to_string() },
    })?;
    Ok(FileIdentity(found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::event::Checkpoint;

    #[test]
    fn a_stamp_changes_with_commits_and_only_with_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.db");
        let mut watch = Watch::new(&path);
        assert!(matches!(watch.look(), Err(StoreError::Missing(_))));
        let mut store = Store::open(&path).unwrap();
        let first = watch.look().unwrap().1;
        assert_eq!(watch.look().unwrap().1, first);
        store.set_meta("a", "1").unwrap();
        let second = watch.look().unwrap().1;
        assert_ne!(second, first);
        store.commit(&[], &[], &Checkpoint::default()).unwrap();
        assert_eq!(watch.look().unwrap().1, second, "a transaction that wrote nothing is no commit");
        watch.close();
        assert_ne!(watch.look().unwrap().1, second, "what happened before an opening is not known");
    }

    #[test]
    fn a_store_that_took_the_place_of_another_is_the_one_that_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let (path, aside) = (dir.path().join("store.db"), dir.path().join("other.db"));
        for (path, word) in [(&path, "old"), (&aside, "new")] {
            Store::open(path).unwrap().set_meta("which", word).unwrap();
        }
        let mut watch = Watch::new(&path);
        let which = |watch: &mut Watch| watch.look().unwrap().0.meta("which").unwrap();
        assert_eq!(which(&mut watch).as_deref(), Some("old"));
        let before = watch.look().unwrap().1;
        std::fs::rename(&aside, &path).unwrap();
        assert_eq!(which(&mut watch).as_deref(), Some("new"));
        assert_ne!(watch.look().unwrap().1, before);
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(watch.look(), Err(StoreError::Missing(_))));
    }

    #[test]
    fn what_is_read_at_one_moment_belongs_together() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.db");
        let mut writer = Store::open(&path).unwrap();
        writer.set_meta("a", "1").unwrap();
        let reader = Store::open_read_only(&path).unwrap();
        let read = reader.at_one_moment(|store| {
            let before = store.meta("a")?;
            writer.set_meta("a", "2")?;
            Ok((before, store.meta("a")?))
        });
        assert_eq!(read.unwrap(), (Some("1".to_owned()), Some("1".to_owned())));
        assert_eq!(reader.meta("a").unwrap().as_deref(), Some("2"));
    }

    #[test]
    fn a_file_that_is_no_store_is_refused_and_looked_at_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.db");
        std::fs::write(&path, "no store at all, but longer than a header of SQLite would have to be: ".repeat(20))
            .unwrap();
        let mut watch = Watch::new(&path);
        assert!(matches!(watch.look(), Err(StoreError::NotAStore { .. })));
        std::fs::remove_file(&path).unwrap();
        Store::open(&path).unwrap().set_meta("a", "1").unwrap();
        assert!(watch.look().is_ok());
    }
}
