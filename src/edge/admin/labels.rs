//! Which names have a series of their own: the busiest few, so that no producer makes as many series as it likes.
//!
//! Takes names with their events; says of each whether it has a label. The first names get one; later a name that is
//! twice as busy takes the place of the least busy one, whose events count under `other` from then on. What was counted
//! under a label stays there, so every series only ever grows. Pure; the same names in the same order get the same labels.
//!
//! Bounds: `places` labels at a time, `ever_max` over the life of the process (a scrape shows them all), and as many names
//! again that are waiting (Metwally et al. 2005, "space saving"). Cost: a look-up in some ten names; a new name in a full
//! table a walk over them.

use std::collections::{BTreeMap, BTreeSet};

/// Events after which what was counted weighs half: a name that was busy yesterday gives way to one that is busy today.
const HALF_LIFE_EVENTS: u64 = 65_536;

/// A name must lead by so many events beside the double: two names that take turns keep what they have.
const LEAD_EVENTS: u64 = 64;

/// The names that have labels.
#[derive(Debug, Clone)]
pub(super) struct Labels<K> {
    places: usize,
    ever_max: usize,
    held: BTreeMap<K, u64>,
    waiting: BTreeMap<K, u64>,
    ever: BTreeSet<K>,
    events: u64,
}

impl<K: Ord + Clone> Labels<K> {
    /// No names; `places` at a time, `ever_max` in all.
    pub(super) fn new(places: usize, ever_max: usize) -> Self {
        Self { places, ever_max, held: BTreeMap::new(), waiting: BTreeMap::new(), ever: BTreeSet::new(), events: 0 }
    }

    /// Whether `name`, of which `events` more have come, has a label.
    pub(super) fn has(&mut self, name: &K, events: u64) -> bool {
        self.age(events);
        if let Some(busy) = self.held.get_mut(name) {
            *busy = busy.saturating_add(events);
            return true;
        }
        let may_be_named = self.ever.contains(name) || self.ever.len() < self.ever_max;
        if may_be_named && self.held.len() < self.places {
            self.give(name, events);
            return true;
        }
        let busy = self.wait(name, events);
        let idlest = self.held.iter().min_by_key(|(_, busy)| **busy).map(|(name, busy)| (name.clone(), *busy));
        let Some((idlest, least)) = idlest.filter(|_| may_be_named) else { return false };
        if busy <= least.saturating_mul(2).saturating_add(LEAD_EVENTS) {
            return false;
        }
        self.waiting.remove(name);
        self.held.remove(&idlest);
        self.give(name, busy);
        true
    }

    fn give(&mut self, name: &K, busy: u64) {
        self.held.insert(name.clone(), busy);
        self.ever.insert(name.clone());
    }

    /// Counts a name that waits; a new one in a full table takes the place, and the count, of the least busy.
    fn wait(&mut self, name: &K, events: u64) -> u64 {
        let mut before = self.waiting.get(name).copied().unwrap_or(0);
        if before == 0 && self.waiting.len() >= self.places {
            let idlest = self.waiting.iter().min_by_key(|(_, busy)| **busy).map(|(name, busy)| (name.clone(), *busy));
            if let Some((idlest, busy)) = idlest {
                self.waiting.remove(&idlest);
                before = busy;
            }
        }
        let busy = before.saturating_add(events);
        self.waiting.insert(name.clone(), busy);
        busy
    }

    fn age(&mut self, events: u64) {
        self.events = self.events.saturating_add(events);
        if self.events >= HALF_LIFE_EVENTS {
            self.events = 0;
            self.held.values_mut().chain(self.waiting.values_mut()).for_each(|busy| *busy /= 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_names_get_labels_and_a_flood_of_others_gets_none() {
        let mut labels = Labels::new(3, 6);
        for name in 0..3 {
            assert!(labels.has(&name, 10), "{name}");
        }
        assert!((3..20_000).all(|name| !labels.has(&name, 1) || name > 100));
        assert!(labels.ever.len() <= 6);
    }

    #[test]
    fn a_name_that_is_twice_as_busy_takes_the_place_of_the_idlest() {
        let mut labels = Labels::new(2, 4);
        assert!(labels.has(&"old", 100) && labels.has(&"older", 300));
        assert!(!labels.has(&"new", 200));
        assert!(!labels.has(&"new", 64));
        assert!(labels.has(&"new", 1));
        assert!(!labels.has(&"old", 1) && labels.has(&"older", 1));
    }

    #[test]
    fn what_was_busy_long_ago_gives_way() {
        let mut labels = Labels::new(1, 2);
        assert!(labels.has(&"4.1", 60_000));
        let turned = (1..400_000).find(|_| labels.has(&"4.2", 1));
        assert!(turned.is_some_and(|turned| turned < 140_000), "{turned:?}");
    }

    proptest! {
        #[test]
        fn no_stream_of_names_gets_more_labels_than_there_are(
            stream in prop::collection::vec((0_u16..400, 1_u64..5_000), 0..2_000),
            places in 1_usize..8,
        ) {
            let mut labels = Labels::new(places, 2 * places);
            let mut labelled = BTreeSet::new();
            for (name, events) in stream {
                if labels.has(&name, events) {
                    labelled.insert(name);
                }
                prop_assert!(labels.held.len() <= places && labels.waiting.len() <= places);
            }
            prop_assert!(labelled.len() <= 2 * places);
        }
    }
}
