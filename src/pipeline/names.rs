//! Texts behind ids: what a service, route, site, release, scope set, agent or network is called.
//!
//! Cells and actors hold ids alone; whoever shows them to a person asks here. Texts are neutralised before they come
//! in. Bounded: at [`NAMES_MAX`] nothing new is taken until [`Names::keep`] has dropped what nobody refers to any more,
//! and an id without a text is shown as its digits.

use std::collections::BTreeSet;

use super::event::Id;
use super::keys::IdMap;
use super::state::StateRow;

/// Most texts that are kept for one tenant (at 200 bytes each some 13 MB; ordinary deployments need hundreds).
pub const NAMES_MAX: usize = 65_536;

/// Longest text that is kept, in bytes.
pub const NAME_BYTES_MAX: usize = 200;

/// Texts by id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    texts: IdMap<Id, Box<str>>,
    dirty: BTreeSet<Id>,
}

impl Names {
    /// Learns the text of `id`, unless it is known or the table is full. `text` must be neutralised.
    pub fn learn(&mut self, id: Id, text: &str) {
        if self.texts.contains_key(&id) || self.texts.len() >= NAMES_MAX {
            return;
        }
        let end = text.floor_char_boundary(NAME_BYTES_MAX);
        self.texts.insert(id, text.get(..end).unwrap_or_default().into());
        self.dirty.insert(id);
    }

    /// The text of `id`, or its digits.
    pub fn text(&self, id: Id) -> String {
        self.texts.get(&id).map_or_else(|| id.to_string(), ToString::to_string)
    }

    /// Whether `id` is known.
    pub fn knows(&self, id: Id) -> bool {
        self.texts.contains_key(&id)
    }

    /// Number of texts.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// Forgets every text that `used` does not name.
    pub fn keep(&mut self, used: &BTreeSet<Id>) {
        let gone: Vec<Id> = self.texts.keys().filter(|id| !used.contains(id)).copied().collect();
        for id in gone {
            self.texts.remove(&id);
            self.dirty.insert(id);
        }
    }

    /// The rows that changed since the last call, under `prefix` (the tenant's key).
    pub fn take_rows(&mut self, prefix: &[u8]) -> Vec<StateRow> {
        std::mem::take(&mut self.dirty)
            .into_iter()
            .map(|id| StateRow {
                kind: "name",
                key: [prefix, &id.0.to_be_bytes()].concat(),
                value: self.texts.get(&id).map(|text| text.as_bytes().to_vec()),
            })
            .collect()
    }

    /// Puts back a text that a store kept.
    pub fn restore(&mut self, id: Id, text: &[u8]) {
        self.texts.insert(id, String::from_utf8_lossy(text).into());
    }
}
