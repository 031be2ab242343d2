//! Address tables: files in the format of maxmind.com (`.mmdb`) with networks and countries.
//!
//! The only user of `maxminddb`. Reads files whole into memory (no memory map: a file that is overwritten in place must
//! not change under a reader), gives [`Tables`], which answer through [`Lookup`]. A table that is missing or broken is
//! absent, said in [`TableStatus`], and never stops the stream. Never writes, never downloads.
//!
//! Field layouts: `autonomous_system_number` and `autonomous_system_organization` (GeoLite2, DB-IP), `asn` with
//! `as_name` or `name` (ipinfo.io); `country.iso_code` (GeoLite2), `country_code`, `country` (ipinfo.io). Numbers of every
//! width and numbers in texts are read.
//!
//! Limits: [`TABLE_BYTES_MAX`] a file, [`ORGANISATION_BYTES_MAX`] a name, [`INTERNED_MAX`] names kept. Cost: a lookup in
//! both tables is well under a microsecond, one lock included.

mod row;

use std::collections::HashMap;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use maxminddb::{Reader, WithinOptions};

use self::row::{AsnRow, CountryRow};
use crate::pipeline::enrich::{Lookup, Network};
use crate::pipeline::neutral;

/// Largest table file that is loaded, in bytes; the largest that vendors sell has some 500 MB.
pub const TABLE_BYTES_MAX: u64 = 1 << 30;

/// Most bytes of an organisation's name.
pub const ORGANISATION_BYTES_MAX: usize = 80;

/// Most organisation names kept; there are some 80,000 in the world.
pub const INTERNED_MAX: usize = 100_000;

/// How many networks of a new table are read before it is used: enough to see its layout.
const PROBED_NETWORKS: usize = 64;

/// Why a table is absent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// The file cannot be read. Mend the path or its permissions; it is tried again when the file changes.
    #[error("address table {path} cannot be read ({error}); check the path and its permissions")]
    File {
        /// Path of the file.
        path: PathBuf,
        /// What the system said.
        error: String,
    },
    /// More bytes than a table may have.
    #[error("address table {path} has {n_bytes} bytes, at most {TABLE_BYTES_MAX} are read")]
    TooLarge {
        /// Path of the file.
        path: PathBuf,
        /// Its size in bytes.
        n_bytes: u64,
    },
    /// Not an `.mmdb` file, or a damaged one. Replace it.
    #[error("address table {path} is not a whole MaxMind DB file ({error}); replace it")]
    Format {
        /// Path of the file.
        path: PathBuf,
        /// What the reader said.
        error: String,
    },
    /// An `.mmdb` file without the fields that are needed, for instance a city table given as an ASN table.
    #[error("address table {path} ({database_type}) has none of the fields {fields}; give a table of another kind")]
    Fields {
        /// Path of the file.
        path: PathBuf,
        /// The type that the file says it is.
        database_type: String,
        /// The fields looked for.
        fields: &'static str,
    },
}

/// What a table is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Asn,
    Country,
}

impl Kind {
    fn fields(self) -> &'static str {
        match self {
            Self::Asn => "autonomous_system_number, asn",
            Self::Country => "country.iso_code, country_code, country",
        }
    }
}

/// State of one table, for metrics and readiness.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TableStatus {
    /// Its path; `None` when none is configured.
    pub path: Option<PathBuf>,
    /// Lookups use it.
    pub present: bool,
    /// When the vendor built it, in seconds since the Unix epoch.
    pub build_epoch: Option<u64>,
    /// Why it is absent, or why its newer file was refused.
    pub error: Option<String>,
}

/// Both tables as they were loaded. Never changes; the owner swaps the whole for a newer one.
#[derive(Debug, Clone)]
pub struct Tables {
    asn: Slot,
    country: Slot,
    organisations: Arc<Interned>,
}

/// A configured table: the file's state when it was last tried, and the content if that went well.
#[derive(Debug, Clone)]
struct Slot {
    kind: Kind,
    path: Option<PathBuf>,
    stamp: Arc<Mutex<Option<Stamp>>>,
    reader: Option<Arc<Reader<Vec<u8>>>>,
    error: Arc<Mutex<Option<TableError>>>,
}

/// What tells a changed file: modification time and length; `None` for a file that is not there.
type Stamp = Option<(SystemTime, u64)>;

impl Tables {
    /// Loads the tables that are configured. One that fails is absent; why is in the list and in its status.
    pub fn open(asn: Option<&Path>, country: Option<&Path>) -> (Self, Vec<TableError>) {
        let asn = Slot::load(Kind::Asn, asn);
        let country = Slot::load(Kind::Country, country);
        let errors = [&asn, &country].into_iter().filter_map(Slot::error).collect();
        (Self { asn, country, organisations: Arc::default() }, errors)
    }

    /// State of the ASN table and of the country table.
    pub fn status(&self) -> [TableStatus; 2] {
        [self.asn.status(), self.country.status()]
    }

    /// Looks whether a file changed since it was last tried. `None`: no. `Some(Ok)`: tables to swap in, checked; a
    /// file that did not change is shared, not read again. `Some(Err)`: the newer file is refused and these tables stay
    /// as they are; it is tried again when it changes once more. Reads files: call it off the hot path.
    pub fn reload_if_changed(&self) -> Option<Result<Self, TableError>> {
        let mut newer = self.clone();
        let mut changed = false;
        for (slot, old) in [(&mut newer.asn, &self.asn), (&mut newer.country, &self.country)] {
            if !old.changed() {
                continue;
            }
            changed = true;
            let loaded = Slot::load(old.kind, old.path.as_deref());
            if let Some(error) = loaded.error() {
                old.refuse(&loaded, &error);
                return Some(Err(error));
            }
            *slot = loaded;
        }
        // Names of networks that are gone are dropped with the old tables.
        newer.organisations = Arc::default();
        changed.then_some(Ok(newer))
    }
}

impl Lookup for Tables {
    /// Both facts; a table that is absent, does not know the address or is damaged there says nothing.
    fn network(&self, address: IpAddr) -> Network {
        let asn = self.asn.reader.as_deref().and_then(|table| asn_row(table, address));
        let country = self.country.reader.as_deref().and_then(|table| country_row(table, address));
        Network {
            asn: asn.as_ref().and_then(AsnRow::number),
            organisation: asn.as_ref().and_then(AsnRow::organisation).map(|name| self.organisations.get(name)),
            country: country.and_then(|row| row.code()),
        }
    }
}

fn asn_row(table: &Reader<Vec<u8>>, address: IpAddr) -> Option<AsnRow<'_>> {
    table.lookup(address).ok()?.decode().ok()?
}

fn country_row(table: &Reader<Vec<u8>>, address: IpAddr) -> Option<CountryRow<'_>> {
    table.lookup(address).ok()?.decode().ok()?
}

impl Slot {
    fn load(kind: Kind, path: Option<&Path>) -> Self {
        // Stamped before it is read: a change in between is seen as one more change.
        let stamp = path.map(stamp);
        let (reader, error) = match path.map(|path| read(kind, path)) {
            None => (None, None),
            Some(Ok(reader)) => (Some(Arc::new(reader)), None),
            Some(Err(error)) => (None, Some(error)),
        };
        Self {
            kind,
            path: path.map(Path::to_owned),
            stamp: Arc::new(Mutex::new(stamp)),
            reader,
            error: Arc::new(Mutex::new(error)),
        }
    }

    fn error(&self) -> Option<TableError> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn changed(&self) -> bool {
        self.path.as_deref().map(stamp) != *self.stamp.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the content and remembers that `loaded` was tried and why it was refused.
    fn refuse(&self, loaded: &Self, error: &TableError) {
        let tried = *loaded.stamp.lock().unwrap_or_else(PoisonError::into_inner);
        *self.stamp.lock().unwrap_or_else(PoisonError::into_inner) = tried;
        *self.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.clone());
    }

    fn status(&self) -> TableStatus {
        TableStatus {
            path: self.path.clone(),
            present: self.reader.is_some(),
            build_epoch: self.reader.as_ref().map(|reader| reader.metadata().build_epoch),
            error: self.error().map(|error| error.to_string()),
        }
    }
}

fn stamp(path: &Path) -> Stamp {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

/// Reads a table and checks that it can answer what it is for.
fn read(kind: Kind, path: &Path) -> Result<Reader<Vec<u8>>, TableError> {
    let file = |error: std::io::Error| TableError::File { path: path.to_owned(), error: error.to_string() };
    let n_bytes = fs::metadata(path).map_err(file)?.len();
    if n_bytes > TABLE_BYTES_MAX {
        return Err(TableError::TooLarge { path: path.to_owned(), n_bytes });
    }
    let bytes = fs::read(path).map_err(file)?;
    let format = |error: maxminddb::MaxMindDbError| TableError::Format {
        path: path.to_owned(),
        error: neutral::line(&error.to_string(), 200).into_owned(),
    };
    let reader = Reader::from_source(bytes).map_err(format)?;
    let mut useful = false;
    for network in reader.networks(WithinOptions::default()).map_err(format)?.take(PROBED_NETWORKS) {
        let network = network.map_err(format)?;
        useful |= match kind {
            Kind::Asn => network.decode::<AsnRow<'_>>().map_err(format)?.and_then(|row| row.number()).is_some(),
            Kind::Country => network.decode::<CountryRow<'_>>().map_err(format)?.and_then(|row| row.code()).is_some(),
        };
    }
    if useful {
        return Ok(reader);
    }
    Err(TableError::Fields {
        path: path.to_owned(),
        database_type: neutral::line(&reader.metadata().database_type, 60).into_owned(),
        fields: kind.fields(),
    })
}

/// Organisation names, each kept once, neutralised and bounded.
#[derive(Debug, Default)]
struct Interned(Mutex<HashMap<Box<str>, Arc<str>>>);

impl Interned {
    fn get(&self, name: &str) -> Arc<str> {
        let shown = neutral::line(name, ORGANISATION_BYTES_MAX);
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = names.get(shown.as_ref()) {
            return Arc::clone(known);
        }
        let new: Arc<str> = Arc::from(shown.as_ref());
        if names.len() < INTERNED_MAX {
            names.insert(shown.into(), Arc::clone(&new));
        }
        new
    }
}

#[cfg(test)]
mod tests;
