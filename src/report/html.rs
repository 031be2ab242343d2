//! `html`: what the store holds as one page to look at, to print and to send on.
//!
//! One self-contained file: it asks nothing of any network, and its content security policy forbids it to. It reads
//! without a script; the script ([`frame`]) sorts and filters tables, switches between dark and light, and no more. All
//! that a stranger chose goes through [`markup`], the only writer there is.
//!
//! The page is [`SECTIONS`], one function each: a further section is one more entry there. Each has its room in bytes,
//! and stops adding items when that is used up, so that no page is larger than [`PAGE_BYTES_MAX`], whatever strangers
//! called things. It is written as it goes; head and overview leave first. The same store gives the same bytes.
//!
//! Costs what restoring the state costs, one pass over the cells, and the portraits of the clusters that are told.

mod alerts;
mod clusters;
mod evidence;
mod facts;
mod figures;
mod frame;
mod full;
mod markup;
mod networks;
mod operations;
mod overview;
mod picture;
mod shapes;

use std::fs::File;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};

use self::facts::Facts;
use self::markup::Markup;
use super::{Memory, restore};
use crate::edge::store::Store;
use crate::pipeline::state::State;

/// Largest page in bytes: what a mail program takes and a browser shows at once.
pub const PAGE_BYTES_MAX: usize = 1_500_000;

/// Bytes of the page from which on no section adds an item: the largest item (a cluster in full whose every name is
/// 200 bytes of quotes, at six bytes each) and the end of the page fit above it.
const SPENT_BYTES_MAX: u64 = 1_320_000;

/// A part of the page with its own heading and place in the navigation.
struct Section {
    /// Anchor.
    name: &'static str,
    title: &'static str,
    /// Bytes after which it adds no further item.
    room_bytes: u64,
    fill: fn(&Facts<'_>, &mut Markup<'_>) -> Result<()>,
}

/// The page from top to bottom. The rooms were set by what 500 clusters of a real store need (see each section for what
/// it leaves out when it has too little).
const SECTIONS: [Section; 7] = [
    Section { name: "overview", title: "Overview", room_bytes: 60_000, fill: overview::fill },
    Section { name: "operations", title: "Operations", room_bytes: 40_000, fill: operations::fill },
    Section { name: "clusters", title: "Clusters", room_bytes: 440_000, fill: clusters::fill },
    Section { name: "networks", title: "Networks", room_bytes: 30_000, fill: networks::fill },
    Section { name: "shapes", title: "Shapes", room_bytes: 45_000, fill: shapes::fill },
    Section { name: "alerts", title: "Alerts", room_bytes: 70_000, fill: alerts::fill },
    Section { name: "full", title: "Clusters in full", room_bytes: 650_000, fill: full::fill },
];

/// Writes the page of the store at `store` to `out`; of the clusters by rank the first `n_max`.
///
/// # Errors
/// A store that is not there or cannot be read; `out` cannot be written.
pub fn answer(store: &Path, n_max: usize, out: &mut dyn Write) -> Result<()> {
    let store = Store::open_read_only(store)?;
    tell(&restore(&store)?, Some(&store), n_max, out)
}

/// The same to the file at `path`, which is there as a whole or stays as it was.
///
/// # Errors
/// As [`answer`]; the file, or a new one beside it, cannot be written.
pub fn save(store: &Path, n_max: usize, path: &Path) -> Result<()> {
    let told = || path.display().to_string();
    if path.exists() && !path.is_file() {
        // A pipe or a device cannot be put in place as a whole.
        return answer(store, n_max, &mut File::create(path).with_context(told)?);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    // The page holds addresses and names: it is for its owner, who may give it to others.
    let mut file = tempfile::NamedTempFile::new_in(folder).with_context(told)?;
    let mut out = std::io::BufWriter::new(file.as_file_mut());
    answer(store, n_max, &mut out)?;
    out.flush().with_context(told)?;
    drop(out);
    file.persist(path).with_context(told)?;
    Ok(())
}

/// Writes the page of a state; `store` says what became of alerts, where there is one.
///
/// # Errors
/// The store cannot be read; `out` cannot be written.
pub fn tell(state: &State, store: Option<&Store>, n_max: usize, out: &mut dyn Write) -> Result<()> {
    let facts = Facts::gather(Memory { state, store }, n_max)?;
    let page = &mut Markup::new(out);
    frame::page(&facts, &SECTIONS, page)?;
    Ok(page.flush()?)
}
