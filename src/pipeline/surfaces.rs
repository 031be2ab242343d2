//! The surface inventory: where a service panics, by surface, class, site and release, over the months of a migration.
//!
//! Reads observations; gives one bounded summary for each (service, surface, class, site, release): how many, since
//! when, what became of them, what was answered, on how many routes. Cells cannot answer this: they mix releases, and
//! are forgotten after some days. Holds ids and counts alone: no address, no sender, no value of a payload.
//!
//! Every summary is a function of the *multiset* of events: counts, minima, maxima and bottom-k sets. So is the table:
//! what stands in it follows from the set of keys that ever came (see [`stands_as`]), hence order and partition change
//! nothing, not one byte of the rows. Only [`Surfaces::forget`] looks at time, and that is event time.
//!
//! Bounds: [`ROWS_MAX`] rows a tenant. Sites and classes come from code and model, so no sender can fill it; releases
//! come from producers, and a service that is deployed daily has many. A table that is full gives up detail where it
//! costs least: first releases are told together for a fair sample of sites, then sites for a fair sample of them.
//! Nothing is lost: what has no row of its own counts in the row that stands for it. Some 110 bytes a row in the
//! store, at most [`ROW_BYTES_MAX`]; `observe` costs one look-up.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::cell::text_id;
use super::classify::Surface;
use super::event::{Id, Millis, RecoveryOutcome};
use super::observation::Observation;
use super::sample::{KeyedCounts, KeyedSet, mix};
use super::state::StateRow;

pub mod replacements;

/// Rows of one tenant: a hundred sites over forty releases; some 2 MB.
pub const ROWS_MAX: usize = 4_096;

/// Largest stored form of a row (key and value) in bytes, which a test holds: 8 statuses and 16 routes dominate.
pub const ROW_BYTES_MAX: usize = 480;

/// Statuses of a row that are counted one by one: services answer panics with one or two.
const STATUSES_KEPT: usize = 8;

/// Routes of a row that are told apart exactly: a site is reached over a handful; beyond, the number is estimated with
/// a standard error of 27 %.
const ROUTES_KEPT: usize = 16;

/// A row that nothing was added to for this long is forgotten: a year covers releases, seasons and their comparison.
const FORGET_AFTER_MILLIS: i64 = 366 * Millis::DAY;

/// With fewer rows than this the table may have a level of detail more: it at most doubles the rows.
const ROOMY_ROWS: usize = ROWS_MAX / 4;

/// From this level on no release has a row of its own: one in 2^16 would still have one below.
const RELEASES_TOGETHER: u8 = 16;

/// The highest level: next to no site has a row of its own.
const LEVEL_MAX: u8 = RELEASES_TOGETHER + 64;

/// Which release a row is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ReleaseKey {
    /// This one ([`text_id`]).
    One(Id),
    /// The producer does not say.
    Untold,
    /// All that have no row of their own.
    Others,
}

/// Where a row's panics happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// Service.
    pub service: Id,
    /// The habit that they come from.
    pub surface: Surface,
    /// Panic class ([`text_id`]).
    pub class: Id,
    /// Panic site.
    pub site: Id,
}

/// What a row is about. `place` is `None` in the one row for the sites that have no row of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SurfaceKey {
    /// Where.
    pub place: Option<Place>,
    /// In which release.
    pub release: ReleaseKey,
}

/// The row for everything without a row of its own.
const REST: SurfaceKey = SurfaceKey { place: None, release: ReleaseKey::Others };

/// One row. Counts are events; `n` less the sum of a list is the number of events without that fact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SurfaceCounts {
    /// Events.
    pub n: u64,
    /// Earliest event time.
    pub first: Millis,
    /// Latest event time.
    pub last: Millis,
    /// By recovery outcome, in the order of [`RecoveryOutcome::ALL`].
    pub recoveries: [u64; 6],
    /// By HTTP status that the client got.
    pub statuses: KeyedCounts<STATUSES_KEPT>,
    /// By the first digit of that status, from 1 to 9: servers answer beyond 599.
    pub status_classes: [u64; 9],
    /// Routes.
    pub routes: KeyedSet<ROUTES_KEPT>,
    /// The line that the latest event with one names, and when that was: lines move with each release.
    pub line: Option<(Millis, u32)>,
}

impl Default for SurfaceCounts {
    fn default() -> Self {
        Self {
            n: 0,
            first: Millis(i64::MAX),
            last: Millis(i64::MIN),
            recoveries: [0; 6],
            statuses: KeyedCounts::default(),
            status_classes: [0; 9],
            routes: KeyedSet::default(),
            line: None,
        }
    }
}

impl SurfaceCounts {
    fn add(&mut self, o: &Observation<'_>) {
        self.n = self.n.saturating_add(1);
        self.first = self.first.min(o.time);
        self.last = self.last.max(o.time);
        for (count, outcome) in self.recoveries.iter_mut().zip(RecoveryOutcome::ALL) {
            *count = count.saturating_add(u64::from(outcome == o.recovery));
        }
        if let Some(status) = o.status {
            self.statuses.add(u64::from(status));
            let class = usize::from(status / 100).checked_sub(1);
            if let Some(count) = class.and_then(|class| self.status_classes.get_mut(class)) {
                *count = count.saturating_add(1);
            }
        }
        self.routes.insert(o.cell.route);
        self.line = self.line.max(o.line.map(|line| (o.time, line)));
    }

    /// Adds all of another row.
    pub fn merge(&mut self, other: &Self) {
        self.n = self.n.saturating_add(other.n);
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        let counts = self.recoveries.iter_mut().chain(&mut self.status_classes);
        for (count, other) in counts.zip(other.recoveries.iter().chain(&other.status_classes)) {
            *count = count.saturating_add(*other);
        }
        self.statuses.merge(&other.statuses);
        self.routes.merge(&other.routes);
        self.line = self.line.max(other.line);
    }

    /// Events with an outcome.
    pub fn recovered(&self, outcome: RecoveryOutcome) -> u64 {
        self.recoveries
            .iter()
            .zip(RecoveryOutcome::ALL)
            .find(|(_, known)| *known == outcome)
            .map_or(0, |(count, _)| *count)
    }
}

/// The inventory of one tenant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surfaces {
    rows: BTreeMap<SurfaceKey, SurfaceCounts>,
    /// How much detail was given up (see [`stands_as`]).
    level: u8,
    dirty: BTreeSet<SurfaceKey>,
    /// The level as it was last put into a row.
    level_stored: u8,
}

impl Surfaces {
    /// Counts an event.
    pub fn observe(&mut self, o: &Observation<'_>) {
        let tenant = o.cell.tenant;
        let place = Place {
            service: o.cell.service,
            surface: o.panic.surface,
            class: text_id(tenant, &o.panic.class),
            site: o.cell.site,
        };
        let release = o.release.as_deref().map_or(ReleaseKey::Untold, |text| ReleaseKey::One(text_id(tenant, text)));
        self.row(SurfaceKey { place: Some(place), release }).add(o);
        self.fit();
    }

    /// Adds all of another inventory of the same tenant.
    pub fn merge(&mut self, other: &Self) {
        self.raise(other.level);
        for (key, counts) in &other.rows {
            self.row(*key).merge(counts);
        }
        self.fit();
    }

    /// The rows, by key.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&SurfaceKey, &SurfaceCounts)> {
        self.rows.iter()
    }

    /// How much detail was given up: 0 for none, up to 16 for the releases of all but one site in 2^level, above that
    /// for sites.
    pub fn level(&self) -> u8 {
        self.level
    }

    /// Forgets the rows that nothing was added to for a year of event time before `now`.
    pub fn forget(&mut self, now: Millis) {
        let dirty = &mut self.dirty;
        self.rows.retain(|key, counts| {
            let stays = now.since(counts.last) <= FORGET_AFTER_MILLIS;
            if !stays {
                dirty.insert(*key);
            }
            stays
        });
        // Detail comes back for what is still to come, a level at a time.
        if self.rows.len() < ROOMY_ROWS {
            self.level = self.level.saturating_sub(1);
        }
    }

    /// The ids whose names a report shows.
    pub fn names(&self) -> impl Iterator<Item = Id> {
        self.rows.keys().flat_map(|key| {
            let place = key.place.map(|place| [place.service, place.class, place.site]);
            let release = match key.release {
                ReleaseKey::One(id) => Some(id),
                ReleaseKey::Untold | ReleaseKey::Others => None,
            };
            place.into_iter().flatten().chain(release)
        })
    }

    /// Where an event of `key` is counted.
    fn row(&mut self, key: SurfaceKey) -> &mut SurfaceCounts {
        let key = stands_as(key, self.level);
        self.dirty.insert(key);
        self.rows.entry(key).or_default()
    }

    /// Gives up detail until the rows fit.
    fn fit(&mut self) {
        while self.rows.len() > ROWS_MAX && self.level < LEVEL_MAX {
            self.raise(self.level + 1);
        }
    }

    fn raise(&mut self, level: u8) {
        if level <= self.level {
            return;
        }
        self.level = level.min(LEVEL_MAX);
        let moved: Vec<SurfaceKey> =
            self.rows.keys().filter(|key| stands_as(**key, self.level) != **key).copied().collect();
        for key in moved {
            if let Some(counts) = self.rows.remove(&key) {
                self.dirty.insert(key);
                self.row(key).merge(&counts);
            }
        }
    }

    /// The rows that changed since the last call.
    pub(super) fn take_rows(&mut self) -> Vec<StateRow> {
        let dirty = std::mem::take(&mut self.dirty);
        let rows = dirty.iter().map(|key| StateRow::of("surface", key, self.rows.get(key)));
        let mut rows: Vec<StateRow> = rows.flatten().collect();
        if self.level != self.level_stored {
            rows.extend(StateRow::of("surface_level", &(), Some(&self.level)));
            self.level_stored = self.level;
        }
        rows
    }

    /// Puts back what a store kept.
    pub(super) fn restore(rows: impl IntoIterator<Item = (SurfaceKey, SurfaceCounts)>, level: u8) -> Self {
        Self { rows: rows.into_iter().collect(), level, level_stored: level, dirty: BTreeSet::new() }
    }
}

/// The key under which `key` is counted at a level: its own; that of all releases of its place; that of the rest.
///
/// At level `l` up to [`RELEASES_TOGETHER`] a (place, release) stands for itself when the hash of both begins with `l`
/// zero bits; above, the same is asked of the place alone. The level that a set of keys needs only grows with the set,
/// and `stands_as(stands_as(key, a), b)` is `stands_as(key, b)` for `a <= b`: so the level that is reached in the end,
/// and what stands at it, does not depend on the order in which keys came.
fn stands_as(key: SurfaceKey, level: u8) -> SurfaceKey {
    let Some(place) = key.place else { return REST };
    let hash = mix(place.site.0 ^ mix(place.class.0 ^ mix(place.service.0)));
    if level > RELEASES_TOGETHER {
        let zeros = u32::from(level - RELEASES_TOGETHER);
        return if hash.leading_zeros() >= zeros { SurfaceKey { release: ReleaseKey::Others, ..key } } else { REST };
    }
    let release = match key.release {
        ReleaseKey::One(id) => id.0,
        ReleaseKey::Untold => 0,
        ReleaseKey::Others => return key,
    };
    let stands = level < RELEASES_TOGETHER && mix(hash ^ release).leading_zeros() >= u32::from(level);
    if stands { key } else { SurfaceKey { release: ReleaseKey::Others, ..key } }
}

#[cfg(test)]
mod tests;
