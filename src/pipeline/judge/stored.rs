//! A record as rows, and back.
//!
//! A record that was stored after a batch and restored goes on as if nothing had happened: all that later verdicts
//! depend on has a row. What has none is made anew from the rows (the suspects, whose word counts, who is to be
//! weighed) or only saves work (what was already heard). Only what changed is written.

use std::collections::BTreeMap;

use serde::Serialize;

use super::actors::{Conduct, Touch};
use super::numbers::{Block, BlockKey, Numbers};
use super::reuse::{Chunk, ChunkKey, Firsts};
use super::{Dossier, Record};
use crate::pipeline::observation::{Actor, CellKey};
use crate::pipeline::short_map::ShortMap;
use crate::pipeline::state::StateRow;

/// Kinds of rows that [`Record::take_dirty`] gives and [`Record::restore`] takes.
pub const KINDS: [&str; 8] = ["actor", "normal", "near", "reuse", "swept", "ordinary", "sampled", "numbers"];

/// Rows that are only understood together.
#[derive(Debug, Default)]
struct Generations {
    firsts: BTreeMap<ChunkKey, Chunk>,
    numbers: BTreeMap<BlockKey, Block>,
}

impl Record {
    /// The rows that changed since the last call.
    pub fn take_dirty(&mut self) -> Vec<StateRow> {
        let mut rows = Vec::new();
        let mut changed = std::mem::take(&mut self.changed);
        changed.sort_unstable();
        changed.dedup();
        for actor in changed {
            if let Some(dossier) = self.actors.get_mut(&actor) {
                dossier.unsaved = false;
            }
            rows.extend(row("actor", &actor, self.actors.get(&actor)));
        }
        rows.extend(self.normal.take_changed().iter().filter_map(|(place, profile)| row("normal", place, *profile)));
        rows.extend(self.neighbours.take_changed().iter().filter_map(|(place, here)| row("near", place, *here)));
        let chunks = self.keys.take_changed();
        rows.extend(chunks.iter().filter_map(|(key, chunk)| row("reuse", key, chunk.as_ref())));
        let blocks = self.numbers.take_changed();
        rows.extend(blocks.iter().filter_map(|(key, block)| row("numbers", key, block.as_ref())));
        let senders = self.ordinary.take_changed_senders();
        rows.extend(senders.iter().filter_map(|(actor, ended)| row("ordinary", actor, ended.as_ref())));
        let services = self.ordinary.take_changed_services();
        rows.extend(services.iter().filter_map(|(service, heard)| row("sampled", service, heard.as_ref())));
        if self.swept != self.swept_stored {
            self.swept_stored = self.swept;
            rows.extend(row("swept", &(), Some(&self.swept)));
        }
        rows
    }

    /// Rebuilds a record from rows that were kept; rows that cannot be read are counted and left out.
    pub fn restore<'a>(rows: impl Iterator<Item = (&'a str, &'a [u8], &'a [u8])>) -> (Self, usize) {
        let mut record = Self::default();
        let mut generations = Generations::default();
        let mut unreadable = 0;
        for (kind, key, value) in rows {
            if record.restore_row(&mut generations, kind, key, value).is_none() {
                unreadable += 1;
            }
        }
        record.keys = Firsts::restore(generations.firsts);
        record.numbers = Numbers::restore(generations.numbers);
        let strongest = |(actor, dossier): (&Actor, &Dossier)| Some((*actor, dossier.strongest.clone()?));
        record.suspects = record.actors.iter().filter_map(strongest).collect();
        let waiting = record.actors.iter().filter(|(_, dossier)| dossier.waiting);
        record.touched = waiting.map(|(actor, _)| *actor).collect();
        for (actor, dossier) in &record.actors {
            // Who waits joins in the next epoch.
            if let Some(token) = dossier.conduct.token.filter(|_| !dossier.joined.is_empty()) {
                record.parties.entry(token).or_default().insert(*actor);
            }
        }
        record.distrust();
        (record, unreadable)
    }

    fn restore_row(&mut self, generations: &mut Generations, kind: &str, key: &[u8], value: &[u8]) -> Option<()> {
        match kind {
            "actor" => {
                self.actors.insert(postcard::from_bytes(key).ok()?, postcard::from_bytes(value).ok()?);
            }
            "normal" => self.normal.restore(postcard::from_bytes(key).ok()?, postcard::from_bytes(value).ok()?),
            "near" => self.neighbours.restore(postcard::from_bytes(key).ok()?, postcard::from_bytes(value).ok()?),
            "reuse" => {
                generations.firsts.insert(postcard::from_bytes(key).ok()?, postcard::from_bytes(value).ok()?);
            }
            "numbers" => {
                generations.numbers.insert(postcard::from_bytes(key).ok()?, postcard::from_bytes(value).ok()?);
            }
            "ordinary" => {
                self.ordinary.restore_sender(postcard::from_bytes(key).ok()?, postcard::from_bytes(value).ok()?);
            }
            "sampled" => {
                self.ordinary.restore_service(postcard::from_bytes(key).ok()?, postcard::from_bytes(value).ok()?);
            }
            "swept" => {
                self.swept = postcard::from_bytes(value).ok()?;
                self.swept_stored = self.swept;
            }
            _ => return None,
        }
        Some(())
    }
}

/// The cells that an actor touched, out of its stored row (of the kind `actor`) without the rest of it: a dossier begins
/// with the conduct. `None` for a row that cannot be read.
pub fn touches(dossier: &[u8]) -> Option<ShortMap<CellKey, Touch>> {
    let (conduct, _) = postcard::take_from_bytes::<Conduct>(dossier).ok()?;
    Some(conduct.ledger)
}

fn row<K: Serialize, V: Serialize>(kind: &'static str, key: &K, value: Option<&V>) -> Option<StateRow> {
    let key = postcard::to_stdvec(key).ok()?;
    let value = match value {
        Some(value) => Some(postcard::to_stdvec(value).ok()?),
        None => None,
    };
    Some(StateRow { kind, key, value })
}
