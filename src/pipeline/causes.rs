//! Secondary panics tied to their cause: which panic a poisoned lock, a failed task or a terminated module goes back to.
//!
//! Reads observations; gives for each cell of secondary events the cells of the panics that caused them, with counts.
//! A cause is claimed only within one isolate (or process) that both events name: the same service and release is not
//! enough, since its other instances panic at the same time. What is not claimed here is "cause unknown".
//!
//! Which panic it is:
//!
//! * A task's end (`JoinError`), a future that is asked again and a module that has been terminated follow their panic
//!   at once: the latest primary panic at or before the event.
//! * A lock or a `Once` stays poisoned until the process is replaced, and what poisoned it is the panic that held it:
//!   one before the *first* failure of this site in the isolate, and after its last success, which nobody tells. The
//!   latest primary panic before the first failure is the likeliest; panics after it did not poison what was poisoned
//!   already. So the cause is found at the first failure and stays for the site while it goes on failing.
//! * A panic that a failed lock causes is itself secondary and never a cause: blame goes to the root.
//!
//! A primary panic counts as a cause for [`WITHIN_MILLIS`]; so long, too, a site that is silent keeps its cause.
//!
//! Whether an isolate was left poisoned needs no cause: a secondary panic whose class asks for a new isolate
//! ([`Bucket::IsolateReset`]: a lock or a `Once` is poisoned, a module has been terminated) is an innocent request that
//! fails because an earlier panic was survived, also where that panic's own event comes later or never. The first such
//! request of an isolate is an incident; one that comes after [`WITHIN_MILLIS`] without any counts as another, since the
//! isolate may be another one under the same name.
//!
//! Order: the four latest primary panics of an isolate do not depend on the order of arrival, and a batch is put in
//! order before it is folded, at equal times primary panics first. Then what holds is: a secondary event that comes in
//! a batch before its cause has no cause, or an older one. Counts of cause cells are sums and bottom-k sets.
//!
//! Bounds: [`ISOLATES_MAX`] isolates and [`CONSEQUENCES_MAX`] cells a tenant. Isolates are named by producers. Holds
//! ids and counts; costs one look-up for a primary panic and two for a secondary one.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize, Serializer};

use super::classify::Bucket;
use super::cluster::identity::{Cluster, ClusterId};
use super::event::{Id, Millis};
use super::observation::{CellKey, Observation};
use super::operations::tally::Poisoning;
use super::state::StateRow;
use super::tenant::Tenant;

/// How long after a primary panic a secondary one may be its consequence. A poisoned lock is met by the next request
/// that wants it: in a service with traffic within seconds, on a rarely used route within the hour. Beyond, an isolate
/// has had many panics, and naming one of them would be a guess.
pub const WITHIN_MILLIS: i64 = Millis::HOUR;

/// Isolates that are remembered for one tenant: the active ones of the last hour; at most some 2.6 MB.
pub const ISOLATES_MAX: usize = 4_096;

/// Isolates that are kept when there are too many: an eighth goes at a time, so that evicting is rare.
const ISOLATES_KEPT: usize = ISOLATES_MAX / 8 * 7;

/// Latest primary panics of an isolate: enough for a secondary event that comes with an older time than the newest.
const PRIMARIES_KEPT: usize = 4;

/// Failing sites of an isolate whose cause is kept: one a poisoned lock, roughly.
const HELD_KEPT: usize = 4;

/// Cells of secondary events for which causes are counted; a service has one for each route that needs the lock.
pub const CONSEQUENCES_MAX: usize = 4_096;

/// Cause cells of one secondary cell: the least by their keyed ids, which is a fair sample.
pub const CAUSES_KEPT: usize = 8;

/// Classes whose failure stays until the process is replaced. Other models that split them get the rule for the rest:
/// the latest primary panic.
const STAYING: [&str; 2] = ["mutex_poison", "once_poison"];

/// A primary panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Primary {
    time: Millis,
    event: Id,
    cell: CellKey,
}

/// A site that fails since a primary panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Held {
    site: Id,
    cause: CellKey,
    last: Millis,
}

/// What is known of one isolate.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Isolate {
    /// The latest, ascending.
    primaries: Vec<Primary>,
    /// By first failure.
    held: Vec<Held>,
}

/// The isolate of an event: service and the isolate's own id.
pub(super) type IsolateKey = (Id, Id);

/// Where the secondary events of one cell come from. `CellKey`s have the tenant of their events.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consequence {
    /// Events by the cell of their cause: the [`CAUSES_KEPT`] least cells.
    pub by_cause: BTreeMap<CellKey, u64>,
    /// Events with a known cause in a cell beyond these.
    pub other: u64,
}

impl Consequence {
    /// Events with a known cause.
    pub fn n_known(&self) -> u64 {
        self.by_cause.values().fold(self.other, |sum, n| sum.saturating_add(*n))
    }

    /// Adds events; a bottom-k map, whose content depends on the sum alone (cf. [`super::sample::KeyedCounts`]).
    fn add(&mut self, cause: CellKey, events: u64) {
        let full = self.by_cause.len() >= CAUSES_KEPT;
        if full && self.by_cause.last_key_value().is_some_and(|(last, _)| cause > *last) {
            self.other = self.other.saturating_add(events);
            return;
        }
        let count = self.by_cause.entry(cause).or_default();
        *count = count.saturating_add(events);
        if self.by_cause.len() > CAUSES_KEPT
            && let Some((_, evicted)) = self.by_cause.pop_last()
        {
            self.other = self.other.saturating_add(evicted);
        }
    }

    /// Adds all of another.
    pub fn merge(&mut self, other: &Self) {
        self.other = self.other.saturating_add(other.other);
        for (cause, events) in &other.by_cause {
            self.add(*cause, *events);
        }
    }
}

impl Isolate {
    fn last(&self) -> Millis {
        let held = self.held.iter().map(|held| held.last);
        held.chain(self.primaries.last().map(|primary| primary.time)).max().unwrap_or(Millis(i64::MIN))
    }

    fn note(&mut self, primary: Primary) {
        if let Err(at) = self.primaries.binary_search(&primary) {
            self.primaries.insert(at, primary);
            let surplus = self.primaries.len().saturating_sub(PRIMARIES_KEPT);
            self.primaries.drain(..surplus);
        }
    }

    /// The latest primary panic at or before `time`.
    fn latest(&self, time: Millis) -> Option<CellKey> {
        let primary = self.primaries.iter().rev().find(|primary| primary.time <= time)?;
        (time.since(primary.time) <= WITHIN_MILLIS).then_some(primary.cell)
    }

    /// The cause of a failure at `site`, which stays while the site goes on failing.
    fn held(&mut self, site: Id, time: Millis) -> Option<CellKey> {
        if let Some(held) = self.held.iter_mut().find(|held| held.site == site)
            && time.since(held.last) <= WITHIN_MILLIS
        {
            held.last = held.last.max(time);
            return Some(held.cause);
        }
        let cause = self.latest(time)?;
        self.held.retain(|held| held.site != site);
        if self.held.len() >= HELD_KEPT
            && let Some(silent) = self.held.iter().enumerate().min_by_key(|(_, held)| (held.last, held.site))
        {
            let at = silent.0;
            self.held.remove(at);
        }
        self.held.push(Held { site, cause, last: time });
        Some(cause)
    }
}

/// The causes of one tenant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Causes {
    isolates: BTreeMap<IsolateKey, Isolate>,
    /// Isolates that were left poisoned, with the latest request that met it.
    poisoned: BTreeMap<IsolateKey, Millis>,
    consequences: BTreeMap<CellKey, Consequence>,
    changed_isolates: BTreeSet<IsolateKey>,
    changed_poisoned: BTreeSet<IsolateKey>,
    changed_cells: BTreeSet<CellKey>,
}

impl Causes {
    /// Takes in an event that was counted in the cell `landed`. Says whether it met something in its isolate that an
    /// earlier panic had left poisoned: first, or again.
    pub fn observe(&mut self, o: &Observation<'_>, landed: CellKey) -> Option<Poisoning> {
        let isolate = o.isolate?;
        let key = (o.cell.service, isolate);
        if !o.panic.secondary {
            self.make_room(key);
            let primary = Primary { time: o.time, event: o.event, cell: landed };
            self.isolates.entry(key).or_default().note(primary);
            self.changed_isolates.insert(key);
            return None;
        }
        let poisoning = self.meet_poison(o, key);
        let cause = self.isolates.get_mut(&key).and_then(|known| {
            if STAYING.contains(&o.panic.class.as_str()) {
                self.changed_isolates.insert(key);
                known.held(o.cell.site, o.time)
            } else {
                known.latest(o.time)
            }
        });
        if let Some(cause) = cause
            && (self.consequences.len() < CONSEQUENCES_MAX || self.consequences.contains_key(&landed))
        {
            self.consequences.entry(landed).or_default().add(cause, 1);
            self.changed_cells.insert(landed);
        }
        poisoning
    }

    /// Notes a request that met a poisoned isolate; `None` for another kind of consequence.
    fn meet_poison(&mut self, o: &Observation<'_>, key: IsolateKey) -> Option<Poisoning> {
        if o.panic.bucket != Bucket::IsolateReset {
            return None;
        }
        if self.poisoned.len() >= ISOLATES_MAX && !self.poisoned.contains_key(&key) {
            let gone = longest_silent(self.poisoned.iter().map(|(key, last)| (*last, *key)));
            for key in gone {
                self.poisoned.remove(&key);
                self.changed_poisoned.insert(key);
            }
        }
        self.changed_poisoned.insert(key);
        let before = self.poisoned.get(&key).copied();
        self.poisoned.insert(key, before.map_or(o.time, |last| last.max(o.time)));
        let goes_on = before.is_some_and(|last| o.time.since(last) <= WITHIN_MILLIS);
        Some(if goes_on { Poisoning::Further } else { Poisoning::First })
    }

    /// Where the secondary events of a cell come from; `None` when no cause is known of any.
    pub fn of(&self, cell: &CellKey) -> Option<&Consequence> {
        self.consequences.get(cell)
    }

    /// Follows cells that were folded into others, on both sides; `resolve` says where a cell is now.
    pub fn follow(&mut self, resolve: impl Fn(&CellKey) -> CellKey) {
        let moved = |consequence: &Consequence| consequence.by_cause.keys().any(|cause| resolve(cause) != *cause);
        let stale: Vec<CellKey> = self
            .consequences
            .iter()
            .filter(|(cell, consequence)| resolve(cell) != **cell || moved(consequence))
            .map(|(cell, _)| *cell)
            .collect();
        for cell in stale {
            let Some(before) = self.consequences.remove(&cell) else { continue };
            let mut now = Consequence { other: before.other, ..Consequence::default() };
            before.by_cause.iter().for_each(|(cause, events)| now.add(resolve(cause), *events));
            let to = resolve(&cell);
            self.consequences.entry(to).or_default().merge(&now);
            self.changed_cells.extend([cell, to]);
        }
    }

    /// Forgets isolates that can be no cause any more at `now`, and the cells that are not `kept`.
    pub fn forget(&mut self, now: Millis, kept: impl Fn(&CellKey) -> bool) {
        let over = self.isolates.iter().filter(|(_, isolate)| now.since(isolate.last()) > WITHIN_MILLIS);
        let over: Vec<IsolateKey> = over.map(|(key, _)| *key).collect();
        for key in over {
            self.isolates.remove(&key);
            self.changed_isolates.insert(key);
        }
        let (poisoned, changed) = (&mut self.poisoned, &mut self.changed_poisoned);
        poisoned.retain(|key, last| {
            let stays = now.since(*last) <= WITHIN_MILLIS;
            if !stays {
                changed.insert(*key);
            }
            stays
        });
        let gone: Vec<CellKey> = self.consequences.keys().filter(|cell| !kept(cell)).copied().collect();
        for cell in gone {
            self.consequences.remove(&cell);
            self.changed_cells.insert(cell);
        }
    }

    /// The sites that caused something, for their names.
    pub fn sites(&self) -> impl Iterator<Item = Id> {
        self.consequences.values().flat_map(|consequence| consequence.by_cause.keys().map(|cell| cell.site))
    }

    /// The longest silent isolates go when there are too many, ties by id.
    fn make_room(&mut self, newcomer: IsolateKey) {
        if self.isolates.len() < ISOLATES_MAX || self.isolates.contains_key(&newcomer) {
            return;
        }
        for key in longest_silent(self.isolates.iter().map(|(key, it)| (it.last(), *key))) {
            self.isolates.remove(&key);
            self.changed_isolates.insert(key);
        }
    }

    /// The rows that changed since the last call.
    pub(super) fn take_rows(&mut self) -> Vec<StateRow> {
        let isolates = std::mem::take(&mut self.changed_isolates);
        let isolates = isolates.iter().map(|key| StateRow::of("isolate", key, self.isolates.get(key)));
        let cells = std::mem::take(&mut self.changed_cells);
        let cells = cells.iter().map(|cell| StateRow::of("consequence", cell, self.consequences.get(cell)));
        let poisoned = std::mem::take(&mut self.changed_poisoned);
        let poisoned = poisoned.iter().map(|key| StateRow::of("poisoned", key, self.poisoned.get(key)));
        isolates.chain(cells).chain(poisoned).flatten().collect()
    }

    /// Puts back what a store kept.
    pub(super) fn restore(
        isolates: impl IntoIterator<Item = (IsolateKey, Isolate)>,
        consequences: impl IntoIterator<Item = (CellKey, Consequence)>,
        poisoned: impl IntoIterator<Item = (IsolateKey, Millis)>,
    ) -> Self {
        let (isolates, poisoned) = (isolates.into_iter().collect(), poisoned.into_iter().collect());
        Self { isolates, poisoned, consequences: consequences.into_iter().collect(), ..Self::default() }
    }
}

/// The isolates that go when there are too many: the longest silent ones, ties by id.
fn longest_silent(isolates: impl Iterator<Item = (Millis, IsolateKey)>) -> Vec<IsolateKey> {
    let mut order: Vec<(Millis, IsolateKey)> = isolates.collect();
    order.sort_unstable();
    let surplus = order.len().saturating_sub(ISOLATES_KEPT);
    order.into_iter().take(surplus).map(|(_, key)| key).collect()
}

/// What a cluster's secondary events go back to, for a report.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Causation {
    /// Secondary events of the cluster's cells.
    pub n_secondary: u64,
    /// Those of them whose cause is known.
    pub n_known: u64,
    /// The causes that are told, the most frequent first; their events may be fewer than `n_known`.
    pub causes: Vec<Cause>,
}

/// One cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// The panic site in words.
    pub site: String,
    /// The clusters that hold the cell of the causing panics: of everyone's share and of the suspects'.
    #[serde(serialize_with = "as_texts")]
    pub clusters: BTreeSet<ClusterId>,
    /// Secondary events.
    pub events: u64,
}

fn as_texts<S: Serializer>(ids: &BTreeSet<ClusterId>, to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(ids.iter().map(ToString::to_string))
}

impl Tenant {
    /// What the secondary events of a cluster's cells go back to; `None` for a cluster without any. Costs a look-up for
    /// each of its cells.
    pub fn causation(&self, cluster: &Cluster) -> Option<Causation> {
        let cells: BTreeMap<CellKey, u64> =
            self.cells_of(cluster).map(|(key, cell, _)| (key, cell.n_secondary)).collect();
        let mut told = Causation { n_secondary: cells.values().sum(), ..Causation::default() };
        let mut by_site: BTreeMap<Id, Cause> = BTreeMap::new();
        for (cell, n_secondary) in &cells {
            let Some(consequence) = self.causes.of(cell) else { continue };
            told.n_known = told.n_known.saturating_add(consequence.n_known().min(*n_secondary));
            for (cause, events) in &consequence.by_cause {
                let cell = self.cells.resolve(cause);
                let one = by_site.entry(cause.site).or_insert_with(|| Cause {
                    site: self.names.text(cause.site),
                    clusters: BTreeSet::new(),
                    events: 0,
                });
                one.events = one.events.saturating_add(*events);
                one.clusters.extend(self.clusters_at(&cell));
            }
        }
        told.causes = by_site.into_values().collect();
        told.causes.sort_by(|a, b| b.events.cmp(&a.events).then_with(|| a.site.cmp(&b.site)));
        (told.n_secondary > 0).then_some(told)
    }
}

#[cfg(test)]
mod tests;
