//! Who sent the same content, or the same idempotency key, before: bounded memory of both.
//!
//! Two generations of equal capacity: when the young one is full it becomes the old one and the old one is forgotten.
//! A flood of new contents makes this memory shorter and nothing else. Keeps keyed hashes only.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::normal::Sender;
use crate::pipeline::event::Id;

/// Contents or keys in one generation.
const GENERATION_MAX: usize = 8_192;

/// Whoever first sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct First {
    /// The sender.
    pub sender: Sender,
    /// Its client family, mixed with the content type.
    pub family: Id,
    /// The content (for a key), or the route (for a content).
    pub what: Id,
}

/// A memory of firsts.
#[derive(Debug, Default)]
pub struct Firsts {
    young: HashMap<Id, First>,
    old: HashMap<Id, First>,
}

impl Firsts {
    /// Whoever was first with `key`; remembers `first` when nobody was.
    pub fn meet(&mut self, key: Id, first: First) -> Option<First> {
        if let Some(known) = self.young.get(&key) {
            return Some(*known);
        }
        let known = self.old.get(&key).copied();
        if self.young.len() >= GENERATION_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, known.unwrap_or(first));
        known
    }
}
