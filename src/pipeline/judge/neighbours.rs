//! Who else is near: sums over the actors that share a cell, a site, a client family, a network or an address.
//!
//! Each actor counts once in each neighbourhood, with the mean of what it did; what a reader gets is always the mean
//! of the *others*, shrunk towards nothing when they are few. Sums are whole numbers, so joining and leaving are exact
//! and the order does not matter.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::pipeline::event::{Id, Millis};
use crate::pipeline::observation::CellKey;

use super::by_id::IdMap;
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
    /// Share of exact repeats among its events after the first, hundredths.
    pub centirepeats: i32,
}

/// Sums over the actors of one neighbourhood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Neighbourhood {
    /// Actors in it.
    pub actors: u32,
    centibits: i64,
    centipoints: i64,
    centirepeats: i64,
    /// First event of anyone here.
    pub first: Option<Millis>,
    /// Last event of anyone here.
    pub last: Option<Millis>,
}

impl Neighbourhood {
    /// Mean surprise in bits, shrunk.
    pub fn bits(&self) -> f64 {
        self.shrunk(self.centibits)
    }

    /// Mean points, shrunk.
    pub fn points(&self) -> f64 {
        self.shrunk(self.centipoints)
    }

    /// Mean share of exact repeats, shrunk.
    pub fn repeats(&self) -> f64 {
        self.shrunk(self.centirepeats)
    }

    /// The same without an actor that said `word` here.
    #[must_use]
    fn without(self, word: Word) -> Self {
        Self {
            actors: self.actors.saturating_sub(1),
            centibits: self.centibits.saturating_sub(i64::from(word.centibits)),
            centipoints: self.centipoints.saturating_sub(i64::from(word.centipoints)),
            centirepeats: self.centirepeats.saturating_sub(i64::from(word.centirepeats)),
            ..self
        }
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

    fn shrunk(&self, sum: i64) -> f64 {
        let sum = i32::try_from(sum).unwrap_or(if sum < 0 { i32::MIN } else { i32::MAX });
        f64::from(sum) / 100.0 / (f64::from(self.actors) + HALF_BELIEVED)
    }
}

/// The neighbourhoods as one actor sees them: without itself, and without the other parties that use its token. Those
/// may be its owner's other programs, so they are no strangers whose conduct would say something.
#[derive(Debug)]
pub struct Strangers<'r> {
    /// All neighbourhoods.
    pub neighbours: &'r Neighbours,
    /// What the actor says of itself.
    pub own: Word,
    /// The parties that use its token, with the neighbourhoods that they joined.
    pub parties: Vec<(&'r BTreeSet<Id>, Word)>,
}

impl Strangers<'_> {
    /// A neighbourhood without itself and its token's parties.
    pub fn at(&self, place: Id) -> Neighbourhood {
        let present = self.parties.iter().filter(|(joined, _)| joined.contains(&place));
        present.fold(self.with_parties_at(place), |here, (_, word)| here.without(*word))
    }

    /// A neighbourhood without itself.
    pub fn with_parties_at(&self, place: Id) -> Neighbourhood {
        self.neighbours.at(place).without(self.own)
    }
}

/// A neighbourhood and its news.
#[derive(Debug, Default)]
struct Place {
    here: Neighbourhood,
    /// When it last changed, by [`Neighbours::now`].
    changed_at: u64,
    /// Waits to be stored.
    unsaved: bool,
}

/// All neighbourhoods.
#[derive(Debug, Default)]
pub struct Neighbours {
    places: IdMap<Place>,
    /// Places that changed since they were last stored; some may stand twice.
    changed: Vec<Id>,
    /// Counts changes.
    n_changes: u64,
    /// When a neighbourhood was last forgotten.
    forgot_at: u64,
}

impl Neighbours {
    /// An actor comes to a neighbourhood with its word; `false` when there is no room.
    pub fn join(&mut self, place: Id, word: Word) -> bool {
        if self.places.len() >= NEIGHBOURHOODS_MAX && !self.places.contains_key(&place) {
            return false;
        }
        self.places.entry(place).or_default();
        self.change(place, |here| {
            here.actors += 1;
            here.centibits += i64::from(word.centibits);
            here.centipoints += i64::from(word.centipoints);
            here.centirepeats += i64::from(word.centirepeats);
        });
        true
    }

    /// Somebody sent something here.
    pub fn seen(&mut self, place: Id, first: Millis, last: Millis) {
        self.change(place, |here| {
            here.first = Some(here.first.map_or(first, |known| known.min(first)));
            here.last = Some(here.last.map_or(last, |known| known.max(last)));
        });
    }

    /// An actor that is in a neighbourhood says something else than before.
    pub fn correct(&mut self, place: Id, before: Word, now: Word) {
        if before == now {
            return;
        }
        self.change(place, |here| {
            here.centibits += i64::from(now.centibits) - i64::from(before.centibits);
            here.centipoints += i64::from(now.centipoints) - i64::from(before.centipoints);
            here.centirepeats += i64::from(now.centirepeats) - i64::from(before.centirepeats);
        });
    }

    /// An actor leaves; an empty neighbourhood is forgotten.
    pub fn leave(&mut self, place: Id, word: Word) {
        self.change(place, |here| {
            here.actors = here.actors.saturating_sub(1);
            here.centibits -= i64::from(word.centibits);
            here.centipoints -= i64::from(word.centipoints);
            here.centirepeats -= i64::from(word.centirepeats);
        });
        if self.places.get(&place).is_some_and(|known| known.here.actors == 0) {
            self.places.remove(&place);
            self.forgot_at = self.n_changes;
        }
    }

    fn change(&mut self, place: Id, apply: impl FnOnce(&mut Neighbourhood)) {
        let Some(known) = self.places.get_mut(&place) else { return };
        let before = known.here;
        apply(&mut known.here);
        if known.here == before {
            return;
        }
        self.n_changes += 1;
        known.changed_at = self.n_changes;
        if !known.unsaved {
            known.unsaved = true;
            self.changed.push(place);
        }
    }

    /// A neighbourhood; an empty one where nobody is.
    pub fn at(&self, place: Id) -> Neighbourhood {
        self.places.get(&place).map(|known| known.here).unwrap_or_default()
    }

    /// This moment, in changes.
    pub fn now(&self) -> u64 {
        self.n_changes
    }

    /// When a neighbourhood last changed, or when it may have been forgotten.
    pub fn changed_at(&self, place: Id) -> u64 {
        self.places.get(&place).map_or(self.forgot_at, |known| known.changed_at)
    }

    /// Neighbourhoods that changed since the last call; `None` where one is gone.
    pub fn take_changed(&mut self) -> Vec<(Id, Option<&Neighbourhood>)> {
        let mut changed = std::mem::take(&mut self.changed);
        changed.sort_unstable();
        changed.dedup();
        for place in &changed {
            if let Some(known) = self.places.get_mut(place) {
                known.unsaved = false;
            }
        }
        changed.into_iter().map(|place| (place, self.places.get(&place).map(|known| &known.here))).collect()
    }

    /// Puts back a neighbourhood that was kept.
    pub fn restore(&mut self, place: Id, here: Neighbourhood) {
        if self.places.len() < NEIGHBOURHOODS_MAX {
            self.places.insert(place, Place { here, ..Place::default() });
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

/// The neighbourhood of all who use a token, apart from those of other kinds.
pub fn token_place(token: Id) -> Id {
    mix(Id(0x7_0CE4), token)
}

/// The neighbourhood of all who reach a panic site by a route.
pub fn site_place(cell: &CellKey) -> Id {
    mix(mix(cell.service, cell.route), cell.site)
}
