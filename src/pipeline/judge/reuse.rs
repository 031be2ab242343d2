//! Who sent the same idempotency key before, and with what: bounded memory.
//!
//! Two generations of equal capacity: when the young one is full it becomes the old one and the old one is forgotten.
//! A flood of new keys makes this memory shorter and nothing else. Keeps keyed hashes only.
//!
//! A generation is stored in chunks of [`CHUNK_LEN`] firsts in the order of their coming. Firsts are only ever added,
//! so that a batch writes what is new and the rest of one chunk: some 40 bytes a first and 3 kB.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::by_id::IdMap;
use super::normal::Sender;
use crate::pipeline::event::Id;

/// Keys in one generation.
const GENERATION_MAX: usize = 8_192;
/// Firsts in one stored row: some 2.5 kB, rewritten until it is full.
const CHUNK_LEN: usize = 64;

/// Whoever first sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct First {
    /// The sender.
    pub sender: Sender,
    /// The content that came with it.
    pub content: Id,
}

/// Which rows of a memory: generation, then chunk of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ChunkKey {
    generation: u64,
    chunk: u32,
}

/// Firsts with their keys, in the order of their coming.
pub type Chunk = Vec<(Id, First)>;

/// One generation.
#[derive(Debug, Default)]
struct Generation {
    number: u64,
    known: IdMap<First>,
    /// The keys in the order of their coming.
    order: Vec<Id>,
    /// How many of them stand in rows.
    n_stored: usize,
}

impl Generation {
    fn put(&mut self, key: Id, first: First) {
        if self.known.insert(key, first).is_none() {
            self.order.push(key);
        }
    }

    /// Chunks with firsts that do not stand in rows.
    fn take_changed(&mut self) -> impl Iterator<Item = (ChunkKey, Option<Chunk>)> + '_ {
        let news = self.order.len() > self.n_stored;
        let full = if news { self.n_stored / CHUNK_LEN } else { usize::MAX };
        self.n_stored = self.order.len();
        (0..).zip(self.order.chunks(CHUNK_LEN)).skip(full).map(|(chunk, keys)| {
            let firsts = keys.iter().filter_map(|key| Some((*key, *self.known.get(key)?))).collect();
            (ChunkKey { generation: self.number, chunk }, Some(firsts))
        })
    }
}

/// A memory of firsts.
#[derive(Debug, Default)]
pub struct Firsts {
    young: Generation,
    old: Generation,
    /// Stored chunks of generations that are forgotten.
    gone: Vec<ChunkKey>,
}

impl Firsts {
    /// Whoever was first with `key`; remembers `first` when nobody was.
    pub fn meet(&mut self, key: Id, first: First) -> Option<First> {
        if let Some(known) = self.young.known.get(&key) {
            return Some(*known);
        }
        let known = self.old.known.get(&key).copied();
        if self.young.order.len() >= GENERATION_MAX {
            self.grow_old();
        }
        self.young.put(key, known.unwrap_or(first));
        known
    }

    fn grow_old(&mut self) {
        let next = Generation { number: self.young.number + 1, ..Generation::default() };
        let old = std::mem::replace(&mut self.old, std::mem::replace(&mut self.young, next));
        let chunks = (0..).zip(old.order.chunks(CHUNK_LEN)).take(old.n_stored.div_ceil(CHUNK_LEN));
        self.gone.extend(chunks.map(|(chunk, _)| ChunkKey { generation: old.number, chunk }));
    }

    /// The chunks that changed since the last call; `None` where one is gone.
    pub fn take_changed(&mut self) -> Vec<(ChunkKey, Option<Chunk>)> {
        let gone = self.gone.drain(..).map(|key| (key, None));
        gone.chain(self.old.take_changed()).chain(self.young.take_changed()).collect()
    }

    /// Rebuilds a memory from its chunks: the two latest generations of them.
    pub fn restore(chunks: BTreeMap<ChunkKey, Chunk>) -> Self {
        let mut firsts = Self::default();
        let Some(latest) = chunks.keys().next_back().map(|key| key.generation) else { return firsts };
        firsts.young.number = latest;
        firsts.old.number = latest.saturating_sub(1);
        for (key, chunk) in chunks {
            let generation = match key.generation {
                number if number == latest => &mut firsts.young,
                number if number == firsts.old.number => &mut firsts.old,
                _ => {
                    firsts.gone.push(key);
                    continue;
                }
            };
            for (key, first) in chunk {
                if generation.order.len() < GENERATION_MAX {
                    generation.put(key, first);
                }
            }
            generation.n_stored = generation.order.len();
        }
        firsts
    }
}
