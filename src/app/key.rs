//! The deployment's secret, from which all keyed names are derived.
//!
//! The configuration names one, or the service makes one at its first start and keeps it beside the store, readable by
//! its owner alone. A store remembers which secret it was written under (as a hash) and is refused under another one:
//! its names would mean nothing.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::edge::store::Store;
use crate::pipeline::keys::Keys;
use crate::secret::Secret;

/// Random bytes of a secret that is made here.
const SECRET_BYTES: usize = 32;
/// The store's note of the secret.
const NOTE: &str = "privacy_key_id";

/// The keys for the store at `path`.
pub(super) fn keys(configured: Option<&Secret>, path: &Path, store: &mut Store) -> Result<Keys> {
    let secret = match configured {
        Some(secret) => secret.expose().as_bytes().to_vec(),
        None => kept_beside(path)?,
    };
    let id = id_of(&secret);
    match store.meta(NOTE)? {
        Some(known) if known != id => bail!(
            "{}: the store was written under another privacy key, and its names mean nothing under this one; give the \
             old key (privacy.key, or {}), or begin with a new store",
            path.display(),
            key_file(path).display()
        ),
        Some(_) => {}
        None => store.set_meta(NOTE, &id)?,
    }
    Ok(Keys::derive(&secret))
}

/// The keys that a store was written under, to read it: the given secret, else the one beside it, else that of a replay
/// or of the demo.
///
/// # Errors
/// None of these is the one that the store has noted. A replay notes none: what is given, or its own secret, is believed.
pub(super) fn of_store(given: Option<&Secret>, path: &Path, store: &Store) -> Result<Keys> {
    let noted = store.meta(NOTE)?;
    let given = given.map(|secret| secret.expose().as_bytes().to_vec());
    let public = [super::replay::REPLAY_SECRET, super::demo::DEMO_SECRET.as_bytes()].map(<[u8]>::to_vec);
    let candidates = match given {
        Some(given) => vec![given],
        None => std::fs::read(key_file(path)).into_iter().chain(public).collect(),
    };
    let fits = |secret: &&Vec<u8>| noted.as_ref().is_none_or(|noted| *noted == id_of(secret));
    match candidates.iter().find(fits) {
        Some(secret) => Ok(Keys::derive(secret)),
        None => bail!(
            "{}: the store was written under another privacy key, and its names mean nothing under this one; give that \
             key (--key-file, or privacy.key in --config)",
            path.display()
        ),
    }
}

/// What is noted of a secret.
fn id_of(secret: &[u8]) -> String {
    let id = blake3::derive_key("panicsift 2026-11 id of the secret v1", secret);
    blake3::hash(&id).to_hex().to_string()
}

fn key_file(store: &Path) -> PathBuf {
    let mut name = store.as_os_str().to_owned();
    name.push(".key");
    PathBuf::from(name)
}

fn kept_beside(store: &Path) -> Result<Vec<u8>> {
    let path = key_file(store);
    match std::fs::read(&path) {
        Ok(secret) if secret.len() >= SECRET_BYTES => Ok(secret),
        Ok(secret) => bail!("{}: {} bytes, at least {SECRET_BYTES} are needed", path.display(), secret.len()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => make(&path),
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}

fn make(path: &Path) -> Result<Vec<u8>> {
    let mut secret = vec![0; SECRET_BYTES];
    getrandom::fill(&mut secret).map_err(|error| anyhow::anyhow!("the system gives no random bytes: {error}"))?;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(&secret).and_then(|()| file.sync_all()).with_context(|| path.display().to_string())?;
    tracing::info!(path = %path.display(), "made a privacy key; keep it with the store");
    Ok(secret)
}
