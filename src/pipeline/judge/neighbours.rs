//! Who else is near: sums over the actors that share a cell, a site, a client family, a network or an address.
//!
//! Each actor counts once in each neighbourhood, with the mean of what it did; what a reader gets is always the mean
//! of the *others*, shrunk towards nothing when they are few. Sums are whole numbers, so joining and leaving are exact
//! and the order does not matter.

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use crate::pipeline::event::{Id, Millis};
use crate::pipeline::observation::CellKey;

use super::observe::mix;

/// Neighbourhoods that are remembered; joining another one beyond that does nothing.
const NEIGHBOURHOODS_MAX: usize = 32_768;
/// Others at which half of their mean is believed.
const HALF_BELIEVED: f64 = 2.0;

/// What an actor says of itself to its neighbourhoods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Word {
    /// Mean surprise of its events, hundredths of a bit.
    pub centibits: i32,
    /// Its points from its own conduct, hundredths.
    pub centipoints: i32,
}

/// Sums over the actors of one neighbourhood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Neighbourhood {
    /// Actors in it.
    pub actors: u32,
    centibits: i64,
    centipoints: i64,
    /// First event of anyone here.
    pub first: Option<Millis>,
    /// Last event of anyone here.
    pub last: Option<Millis>,
}

impl Neighbourhood {
    /// Others than the one that asks.
    pub fn others(&self) -> u32 {
        self.actors.saturating_sub(1)
    }

    /// Mean surprise of the others in bits, shrunk.
    pub fn bits_of_others(&self, own: Word) -> f64 {
        self.shrunk(self.centibits, own.centibits)
    }

    /// Mean points of the others, shrunk.
    pub fn points_of_others(&self, own: Word) -> f64 {
        self.shrunk(self.centipoints, own.centipoints)
    }

    /// Minutes between its first and its last event.
    pub fn minutes(&self) -> f64 {
        match (self.first, self.last) {
            (Some(first), Some(last)) => {
                f64::from(u32::try_from(last.since(first) / Millis::MINUTE).unwrap_or(u32::MAX))
            }
            _ => 0.0,
        }
    }

    fn shrunk(&self, sum: i64, own: i32) -> f64 {
        let others = sum.saturating_sub(i64::from(own));
        let others = i32::try_from(others).unwrap_or(if others < 0 { i32::MIN } else { i32::MAX });
        f64::from(others) / 100.0 / (f64::from(self.others()) + HALF_BELIEVED)
    }
}

/// All neighbourhoods.
#[derive(Debug, Default)]
pub struct Neighbours {
    places: HashMap<Id, Neighbourhood>,
    changed: BTreeSet<Id>,
}

impl Neighbours {
    /// An actor comes to a neighbourhood with its word; `false` when there is no room.
    pub fn join(&mut self, place: Id, word: Word) -> bool {
        if self.places.len() >= NEIGHBOURHOODS_MAX && !self.places.contains_key(&place) {
            return false;
        }
        let here = self.places.entry(place).or_default();
        here.actors += 1;
        here.centibits += i64::from(word.centibits);
        here.centipoints += i64::from(word.centipoints);
        self.changed.insert(place);
        true
    }

    /// Somebody sent something here.
    pub fn seen(&mut self, place: Id, first: Millis, last: Millis) {
        if let Some(here) = self.places.get_mut(&place) {
            here.first = Some(here.first.map_or(first, |known| known.min(first)));
            here.last = Some(here.last.map_or(last, |known| known.max(last)));
        }
    }

    /// An actor that is in a neighbourhood says something else than before.
    pub fn correct(&mut self, place: Id, before: Word, now: Word) {
        if before == now {
            return;
        }
        if let Some(here) = self.places.get_mut(&place) {
            here.centibits += i64::from(now.centibits) - i64::from(before.centibits);
            here.centipoints += i64::from(now.centipoints) - i64::from(before.centipoints);
            self.changed.insert(place);
        }
    }

    /// An actor leaves; an empty neighbourhood is forgotten.
    pub fn leave(&mut self, place: Id, word: Word) {
        let Some(here) = self.places.get_mut(&place) else { return };
        here.actors = here.actors.saturating_sub(1);
        here.centibits -= i64::from(word.centibits);
        here.centipoints -= i64::from(word.centipoints);
        if here.actors == 0 {
            self.places.remove(&place);
        }
        self.changed.insert(place);
    }

    /// A neighbourhood; an empty one where nobody is.
    pub fn at(&self, place: Id) -> Neighbourhood {
        self.places.get(&place).copied().unwrap_or_default()
    }

    /// Neighbourhoods that changed since the last call; `None` where one is gone.
    pub fn take_changed(&mut self) -> Vec<(Id, Option<&Neighbourhood>)> {
        let changed = std::mem::take(&mut self.changed);
        changed.into_iter().map(|place| (place, self.places.get(&place))).collect()
    }

    /// Puts back a neighbourhood that was kept.
    pub fn restore(&mut self, place: Id, here: Neighbourhood) {
        if self.places.len() < NEIGHBOURHOODS_MAX {
            self.places.insert(place, here);
        }
    }

    /// Number of neighbourhoods.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
}

/// The neighbourhood of all who touch a cell.
pub fn cell_place(cell: &CellKey) -> Id {
    let [low, high] =
        [cell.shape.0 & u128::from(u64::MAX), cell.shape.0 >> 64].map(|half| u64::try_from(half).unwrap_or(0));
    mix(mix(site_place(cell), Id(low)), Id(high))
}

/// The neighbourhood of all who reach a panic site by a route.
pub fn site_place(cell: &CellKey) -> Id {
    mix(mix(cell.service, cell.route), cell.site)
}
