//! Which events were seen lately: the same event id twice is a duplicate, not two events.
//!
//! Producers send again, and a topic that was re-created or replayed holds an event twice. The last [`RECENT_MAX`]
//! event ids (keyed 64-bit hashes) are remembered in order of arrival. An event that comes again after more than
//! that many others counts twice; the limit is stated because a limit there must be. About 24 bytes an event.

use std::collections::VecDeque;

use super::event::Id;
use super::keys::IdSet;
use super::state::StateRow;

/// Events that are remembered (some 6 MB; at 1,000 events a second over four minutes, at a usual 10 over seven hours).
pub const RECENT_MAX: usize = 1 << 18;

/// Event ids a row: rows are rewritten whole, so that they are small, and many, so that few are rewritten.
const CHUNK: usize = 1 << 10;

/// The last event ids, oldest first.
#[derive(Debug, Clone, Default)]
pub struct Recent {
    seen: IdSet<Id>,
    order: VecDeque<Id>,
    /// Number of ids that ever went through; the place of the newest.
    n_total: u64,
    /// `n_total` at the last [`Recent::take_rows`].
    n_stored: u64,
}

impl Recent {
    /// Remembers `event`; whether it was new.
    pub fn insert(&mut self, event: Id) -> bool {
        if !self.seen.insert(event) {
            return false;
        }
        self.order.push_back(event);
        self.n_total += 1;
        if self.order.len() > RECENT_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        true
    }

    /// Rows that hold what came since the last call. A row is a ring slot, so their number is bounded.
    pub fn take_rows(&mut self) -> Vec<StateRow> {
        let n_oldest = self.n_total - self.order.len() as u64;
        let first = self.n_stored.max(n_oldest);
        let mut rows = Vec::new();
        let mut start = first - first % CHUNK as u64;
        while start < self.n_total {
            let end = self.n_total.min(start + CHUNK as u64);
            let mut value = start.to_be_bytes().to_vec();
            for place in start.max(n_oldest)..end {
                let id = usize::try_from(place - n_oldest).ok().and_then(|index| self.order.get(index));
                value.extend_from_slice(&id.copied().unwrap_or_default().0.to_be_bytes());
            }
            let slot = start / CHUNK as u64 % (RECENT_MAX / CHUNK + 1) as u64;
            rows.push(StateRow { kind: "recent", key: slot.to_be_bytes().to_vec(), value: Some(value) });
            start = end;
        }
        self.n_stored = self.n_total;
        rows
    }

    /// Puts back what a store kept; `rows` are the values in any order.
    pub fn restore(rows: impl Iterator<Item = Vec<u8>>) -> Self {
        let mut chunks: Vec<(u64, Vec<Id>)> = rows
            .filter_map(|row| {
                let (start, ids) = row.split_first_chunk::<8>()?;
                let ids = ids.as_chunks::<8>().0.iter().map(|id| Id(u64::from_be_bytes(*id))).collect();
                Some((u64::from_be_bytes(*start), ids))
            })
            .collect();
        chunks.sort_unstable_by_key(|(start, _)| *start);
        let mut recent = Self::default();
        for (start, ids) in chunks {
            recent.n_total = recent.n_total.max(start);
            for id in ids {
                recent.insert(id);
            }
        }
        recent.n_stored = recent.n_total;
        recent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_new_once_and_the_memory_is_bounded() {
        let mut recent = Recent::default();
        assert!(recent.insert(Id(7)));
        assert!(!recent.insert(Id(7)));
        for id in 0..RECENT_MAX as u64 {
            recent.insert(Id(1_000 + id));
        }
        assert_eq!(recent.order.len(), RECENT_MAX);
        assert!(recent.insert(Id(7)), "forgotten after as many others as are remembered");
    }

    #[test]
    fn what_a_store_kept_comes_back_whole() {
        let mut recent = Recent::default();
        let mut slots = std::collections::BTreeMap::new();
        for id in 0..(RECENT_MAX + 5_000) as u64 {
            recent.insert(Id(id));
            if id % 777 == 0 {
                slots.extend(recent.take_rows().into_iter().map(|row| (row.key, row.value)));
            }
        }
        slots.extend(recent.take_rows().into_iter().map(|row| (row.key, row.value)));
        assert!(slots.len() <= RECENT_MAX / CHUNK + 1);
        let mut back = Recent::restore(slots.into_values().flatten());
        for id in 5_000..(RECENT_MAX + 5_000) as u64 {
            assert!(!back.insert(Id(id)), "{id} was lost");
        }
        assert!(back.insert(Id(u64::MAX)));
    }
}
