//! How a store is opened: whose file it is, of which version, sound or not; and what SQLite's errors mean.
//!
//! Takes a path, gives a connection that is ready to use or a [`StoreError`] that says what to do. Never changes a
//! file that is not a store. Costs one read of the whole file for the service (`quick_check`), nothing for a reader.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::{BUSY_WAIT, StoreError};

/// `PSFT`: stands in the header of every store, so that no other SQLite file is taken for one.
const APPLICATION_ID: i64 = 0x5053_4654;

/// Each brings a store from the version that is its index to the next one. Only ever append.
const MIGRATIONS: [&str; 4] = [
    "
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID, STRICT;
    CREATE TABLE state (
        kind TEXT NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, PRIMARY KEY (kind, key)
    ) WITHOUT ROWID, STRICT;
    CREATE TABLE checkpoint (
        topic TEXT NOT NULL, partition INTEGER NOT NULL, next INTEGER NOT NULL, PRIMARY KEY (topic, partition)
    ) WITHOUT ROWID, STRICT;
    CREATE TABLE outbox (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        alert_id TEXT NOT NULL UNIQUE,
        cluster TEXT NOT NULL,
        body TEXT NOT NULL,
        created_ms INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX outbox_cluster ON outbox (cluster, seq);
    CREATE INDEX outbox_created ON outbox (created_ms);
    CREATE TABLE delivery (
        destination TEXT NOT NULL,
        seq INTEGER NOT NULL,
        fate TEXT NOT NULL,
        detail TEXT NOT NULL,
        attempts INTEGER NOT NULL,
        at_ms INTEGER NOT NULL,
        PRIMARY KEY (destination, seq)
    ) WITHOUT ROWID, STRICT;
    CREATE INDEX delivery_seq ON delivery (seq);
",
    // Who reads the outbox, what operators did to it, and which dead letters were replayed. Cells have another form (a
    // count of announced events): those of version 1 cannot be read and begin anew; outbox and checkpoint stay.
    "
    DELETE FROM state;
    CREATE TABLE destination (name TEXT PRIMARY KEY, since_ms INTEGER NOT NULL) WITHOUT ROWID, STRICT;
    INSERT INTO destination SELECT destination, min(at_ms) FROM delivery GROUP BY destination;
    CREATE TABLE intervention (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        action TEXT NOT NULL,
        destination TEXT NOT NULL,
        seq INTEGER NOT NULL,
        who TEXT NOT NULL,
        why TEXT NOT NULL,
        fate_before TEXT,
        detail_before TEXT NOT NULL,
        attempts_before INTEGER NOT NULL,
        at_ms INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX intervention_seq ON intervention (seq);
    CREATE TABLE letter_replay (
        letter TEXT PRIMARY KEY,
        done INTEGER NOT NULL,
        target TEXT NOT NULL,
        who TEXT NOT NULL,
        begun_ms INTEGER NOT NULL,
        done_ms INTEGER
    ) WITHOUT ROWID, STRICT;
",
    // Actors have other ids (a token apart by client and network), and they, neighbourhoods, places of the normal and
    // standings another form: those of version 2 cannot be read, and cells and clusters name them. All of it begins anew;
    // outbox and checkpoint stay. What analysts say of clusters, line by line; no word: the one before is taken back.
    "
    DELETE FROM state;
    CREATE TABLE label (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        cluster TEXT NOT NULL,
        word TEXT,
        why TEXT NOT NULL,
        who TEXT NOT NULL,
        at_ms INTEGER NOT NULL,
        judge TEXT NOT NULL,
        points REAL NOT NULL
    ) STRICT;
    CREATE INDEX label_cluster ON label (cluster, id);
",
    // Senders, clusters and standings have other forms, so that those of version 3 cannot be read. State begins anew;
    // outbox, checkpoint and labels stay.
    "
    DELETE FROM state;
",
];

/// The version that this panicsift writes.
#[expect(clippy::cast_possible_wrap, reason = "a count of migrations; `try_from` is not const")]
pub const SCHEMA_VERSION: i64 = MIGRATIONS.len() as i64;

/// The write-ahead log is cut back to this size when it was folded in.
const WAL_BYTES_MAX: i64 = 64 << 20;

/// Times that the owner's lock is tried, 20 ms apart: a program that is just being started by a thread of the former owner
/// holds the lock along with its other files until it is loaded.
const LOCK_TRIES: u32 = 25;

/// Locks the file beside the store that says who owns it.
pub(super) fn lock_owner(path: &Path) -> Result<File, StoreError> {
    for _ in 1..LOCK_TRIES {
        if let Some(lock) = lock_beside(path, ".lock")? {
            return Ok(lock);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    lock_beside(path, ".lock")?.ok_or_else(|| StoreError::InUse(path.to_owned()))
}

/// Locks the file beside the store whose name goes on with `ending`; `None` while another process has it.
pub(super) fn lock_beside(path: &Path, ending: &str) -> Result<Option<File>, StoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    let unwritable = |error: &std::io::Error| match error.kind() {
        std::io::ErrorKind::StorageFull => StoreError::Full(path.to_owned()),
        _ => StoreError::Unwritable { path: path.to_owned(), detail: error.to_string() },
    };
    let lock = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(false)
        .open(PathBuf::from(name))
        .map_err(|error| unwritable(&error))?;
    match lock.try_lock() {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(unwritable(&error)),
    }
}

/// A connection that may write and make the file.
pub(super) fn connect(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(path, flags).map_err(|e| explain(path, &e))
}

/// A connection that writes to a store that is there already, as a delivery lane does.
pub(super) fn connect_existing(path: &Path) -> Result<Connection, StoreError> {
    if !path.exists() {
        return Err(StoreError::Missing(path.to_owned()));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|e| explain(path, &e))?;
    require_current(&connection, path)?;
    tune(&connection).map_err(|e| explain(path, &e))?;
    Ok(connection)
}

/// A connection that reads only.
pub(super) fn connect_read_only(path: &Path) -> Result<Connection, StoreError> {
    if !path.exists() {
        return Err(StoreError::Missing(path.to_owned()));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|e| explain(path, &e))?;
    connection.busy_timeout(BUSY_WAIT).map_err(|e| explain(path, &e))?;
    require_current(&connection, path)?;
    Ok(connection)
}

/// Checks whose file it is, and makes or updates the tables; leaves the connection tuned.
pub(super) fn prepare(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    connection.busy_timeout(BUSY_WAIT).map_err(|e| explain(path, &e))?;
    let found = version(connection, path)?;
    if found > SCHEMA_VERSION {
        return Err(StoreError::Version { path: path.to_owned(), found, known: SCHEMA_VERSION });
    }
    tune(connection).map_err(|e| explain(path, &e))?;
    if found > 0 {
        check_soundness(connection, path)?;
    }
    migrate(connection, found).map_err(|e| explain(path, &e))
}

/// The version of the store; 0 for a file that is empty or new.
fn version(connection: &Connection, path: &Path) -> Result<i64, StoreError> {
    let read = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(|e| explain(path, &e));
    let application = read("PRAGMA application_id")?;
    let version = read("PRAGMA user_version")?;
    if application == APPLICATION_ID {
        return Ok(version);
    }
    let n_tables = read("SELECT count(*) FROM sqlite_schema")?;
    if application == 0 && version == 0 && n_tables == 0 {
        return Ok(0);
    }
    Err(StoreError::NotAStore { path: path.to_owned(), what: "a database of another program".to_owned() })
}

fn require_current(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let path = path.to_owned();
    match version(connection, &path)? {
        SCHEMA_VERSION => Ok(()),
        0 => Err(StoreError::Missing(path)),
        found if found < SCHEMA_VERSION => Err(StoreError::Old { path, found, known: SCHEMA_VERSION }),
        found => Err(StoreError::Version { path, found, known: SCHEMA_VERSION }),
    }
}

/// WAL and full durability (see the module above); answers of pragmas are not needed.
fn tune(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_WAIT)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "journal_size_limit", WAL_BYTES_MAX)
}

fn check_soundness(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let said: String =
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(|e| explain(path, &e))?;
    if said == "ok" {
        return Ok(());
    }
    Err(StoreError::Damaged { path: path.to_owned(), detail: said.replace('\n', " ") })
}

/// All missing steps in one transaction: a store is of one version or of the next, never between.
fn migrate(connection: &mut Connection, found: i64) -> rusqlite::Result<()> {
    if found == SCHEMA_VERSION {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
    for step in MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or(0)) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    transaction.commit()
}

/// What an error of SQLite means for whoever runs the service.
pub(super) fn explain(path: &Path, error: &rusqlite::Error) -> StoreError {
    let path = path.to_owned();
    let detail = error.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => StoreError::NotAStore { path, what: "not an SQLite file".to_owned() },
        Some(ErrorCode::DatabaseCorrupt) => StoreError::Damaged { path, detail },
        Some(ErrorCode::DiskFull) => StoreError::Full(path),
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            StoreError::Unwritable { path, detail }
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::InUse(path),
        _ => StoreError::Failed { path, detail },
    }
}
