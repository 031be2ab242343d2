//! All that is remembered between batches, and the rows in which a store keeps it.
//!
//! Reads observations through [`super::fold`]; gives rows that changed, and is rebuilt from rows. Time is event time,
//! cut into epochs; an epoch is closed when an event of a later one comes, or when the caller says that time has passed.
//!
//! Bounds: [`TENANTS_MAX`] tenants (names of tenants are the producers', not the senders'); a tenant's own bounds.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::alert::{Category, Verdict};
use super::cluster::ClusteringModel;
use super::event::{Id, Millis};
use super::judge::HostilityModel;
use super::observation::{Actor, ByTime, CellKey, Observation, OrdinaryRequest};
use super::recent::Recent;
use super::reorder::Reorder;
use super::rulings::Rulings;
use super::tenant::{Standing, Tenant, Whereabouts};
use super::{Context, Step};

/// Tenants of one deployment; the events of further ones are counted with the last.
pub const TENANTS_MAX: usize = 64;

/// How often faded cells are looked for.
const FORGET_EVERY_MILLIS: i64 = Millis::HOUR;

/// An event this far ahead of all others does not move the epoch by itself: one broken clock must not close them all.
const AHEAD_MILLIS: i64 = Millis::DAY;

/// The years from 2000 to 2199: events of other times have a broken clock, however many they are, and never move the
/// epoch. (Moved to the year 9999 it would never end: nobody would be judged any more, and all cells would be forgotten.)
const CREDIBLE: std::ops::Range<Millis> = Millis(946_684_800_000)..Millis(7_258_118_400_000);

/// One row of the state that a batch changed; the store keeps rows and does not know what they mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateRow {
    /// Which collection it belongs to (`cell`, `actor`, `cluster`, `name`, …).
    pub kind: &'static str,
    /// Key within the collection: the tenant's id, then the collection's own key.
    pub key: Vec<u8>,
    /// Its new value; `None` when it is gone.
    pub value: Option<Vec<u8>>,
}

impl StateRow {
    /// A row with key and value in their binary form (postcard); `None` only if they cannot be written.
    pub fn of<V: Serialize>(kind: &'static str, key: &impl Serialize, value: Option<&V>) -> Option<Self> {
        let key = postcard::to_stdvec(key).ok()?;
        let value = match value {
            Some(value) => Some(postcard::to_stdvec(value).ok()?),
            None => None,
        };
        Some(Self { kind, key, value })
    }
}

/// The memory of a deployment.
#[derive(Debug, Default)]
pub struct State {
    pub(super) tenants: BTreeMap<Id, Tenant>,
    pub(super) recent: Recent,
    /// Events whose turn has not come.
    pub(super) reorder: Reorder,
    pub(super) clock: Clock,
    /// The clock as it was last put into a row.
    pub(super) clock_stored: Clock,
    cell_limits: super::cells::CellLimits,
    /// What analysts say: an input, kept by whoever gives it.
    rulings: Arc<Rulings>,
}

/// How much is remembered, over all tenants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Size {
    /// Cells.
    pub cells: usize,
    /// Living clusters.
    pub clusters: usize,
    /// Of these, the ones that are held for hostile.
    pub hostile: usize,
    /// Of these, the ones that are held for benign.
    pub benign: usize,
    /// Clusters whose alert is open.
    pub open_alerts: usize,
}

/// Where event time stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, serde::Deserialize)]
pub(super) struct Clock {
    /// Start of the open epoch; nothing before the first event.
    pub(super) epoch: Option<Millis>,
    /// When faded cells were last looked for.
    forgot: Millis,
    /// Events in a row that were far ahead.
    ahead: u8,
}

impl State {
    /// No memory.
    pub fn new(clustering: &ClusteringModel) -> Self {
        Self { cell_limits: clustering.cell_limits(), ..Self::default() }
    }

    /// Takes up what analysts say now, all of it; it is applied to every cluster when the next epoch is closed.
    pub fn take_up(&mut self, rulings: Rulings) {
        self.rulings = Arc::new(rulings);
        for tenant in self.tenants.values_mut() {
            tenant.take_up(&self.rulings);
        }
    }

    /// What analysts say.
    pub fn rulings(&self) -> &Rulings {
        &self.rulings
    }

    /// Whether the event is there for the first time.
    pub(super) fn is_new(&mut self, o: &Observation<'_>) -> bool {
        self.recent.insert(o.event)
    }

    /// Takes in the next event in order: the requests before it, the end of the epochs before it, itself.
    pub(super) fn take(&mut self, context: &Context, o: &Observation<'_>, ordinary: &mut ByTime<'_>, step: &mut Step) {
        self.hear(ordinary.before(o.time.min(self.epoch_end(context))));
        self.close_epochs(context, o.time, step);
        self.hear(ordinary.before(o.time));
        self.observe(o, step);
    }

    /// Counts an event.
    fn observe(&mut self, o: &Observation<'_>, step: &mut Step) {
        step.late += u64::from(self.clock.epoch.is_some_and(|epoch| o.time < epoch));
        self.tenant_mut(o.cell.tenant).observe(o);
    }

    /// Takes in requests that did not panic. They move no epoch.
    pub(super) fn hear(&mut self, requests: &[OrdinaryRequest]) {
        for request in requests {
            self.tenant_mut(request.tenant).hear(request);
        }
    }

    /// End of the open epoch; the end of time before the first event.
    pub fn epoch_end(&self, context: &Context) -> Millis {
        let length = i64::from(context.clustering.epoch_secs.max(1)) * Millis::SECOND;
        self.clock.epoch.map_or(Millis(i64::MAX), |open| open.plus(length))
    }

    /// The tenant of this id, known or new; where there is no room for a new one, the last.
    pub(super) fn tenant_mut(&mut self, id: Id) -> &mut Tenant {
        let id = if self.tenants.contains_key(&id) || !self.is_full() {
            id
        } else {
            self.tenants.last_key_value().map_or(id, |(last, _)| *last)
        };
        let (limits, rulings) = (self.cell_limits, &self.rulings);
        self.tenants.entry(id).or_insert_with(|| {
            let mut tenant = Tenant::new(limits);
            tenant.take_up(rulings);
            tenant
        })
    }

    /// Closes the epochs that end at or before `time`, if that is a time at all. However long nothing happened, two closings say all: one at the
    /// end of the epoch that had events, one now.
    pub(super) fn close_epochs(&mut self, context: &Context, time: Millis, step: &mut Step) {
        if !CREDIBLE.contains(&time) {
            return;
        }
        let length = i64::from(context.clustering.epoch_secs.max(1)) * Millis::SECOND;
        let start = Millis(time.0.div_euclid(length).saturating_mul(length));
        let Some(open) = self.clock.epoch else {
            self.clock.epoch = Some(start);
            return;
        };
        if start <= open {
            self.clock.ahead = 0;
            return;
        }
        if time.since(open) > AHEAD_MILLIS && self.clock.ahead == 0 {
            self.clock.ahead = 1;
            return;
        }
        self.clock.ahead = 0;
        self.clock.epoch = Some(start);
        self.close_at(context, open.plus(length), step);
        if start > open.plus(length) {
            self.close_at(context, start, step);
        }
    }

    /// Counts what still waits for its turn and closes the open epoch, although no later event has come: the end of a
    /// replay.
    pub fn close_last(&mut self, context: &Context) -> Step {
        let mut step = Step::default();
        for waited in self.reorder.flush() {
            if let Ok(observation) = postcard::from_bytes(&waited) {
                self.take(context, &observation, &mut ByTime::of(&[]), &mut step);
            }
        }
        let length = i64::from(context.clustering.epoch_secs.max(1)) * Millis::SECOND;
        if let Some(open) = self.clock.epoch {
            self.close_at(context, open.plus(length), &mut step);
        }
        step.rows = self.take_rows();
        step
    }

    fn close_at(&mut self, context: &Context, now: Millis, step: &mut Step) {
        step.epochs += 1;
        let forget = now.since(self.clock.forgot) >= FORGET_EVERY_MILLIS;
        for (id, tenant) in &mut self.tenants {
            if forget {
                tenant.forget(*id, now);
            }
            let told_before = step.alerts.len();
            tenant.close(context, now, step);
            tenant.watch_budgets(*id, context, now, step);
            for alert in step.alerts.iter_mut().skip(told_before) {
                // Operations are alerted on situations, which do not know whose they are; nor does a cluster that is gone.
                if alert.category != Category::HostileInput || alert.portrait.tenant.is_empty() {
                    alert.portrait.tenant = tenant.name(*id);
                }
            }
        }
        if forget {
            self.clock.forgot = now;
        }
    }

    /// The tenants, with their ids.
    pub fn tenants(&self) -> impl Iterator<Item = (Id, &Tenant)> {
        self.tenants.iter().map(|(id, tenant)| (*id, tenant))
    }

    /// The tenant that holds what was told of the tenant `id`.
    pub fn tenant(&self, id: Id) -> Option<&Tenant> {
        let last = || self.tenants.last_key_value().map(|(_, tenant)| tenant).filter(|_| self.is_full());
        self.tenants.get(&id).or_else(last)
    }

    fn is_full(&self) -> bool {
        self.tenants.len() >= TENANTS_MAX
    }

    /// How much is remembered.
    pub fn size(&self) -> Size {
        let mut size = Size::default();
        for tenant in self.tenants.values() {
            size.cells += tenant.cells.len();
            size.clusters += tenant.clusters.clusters().len();
            for (_, standing) in tenant.clusters() {
                match standing.map(Standing::verdict) {
                    Some(Verdict::Hostile) => size.hostile += 1,
                    Some(Verdict::Benign) => size.benign += 1,
                    Some(Verdict::Undecided) | None => {}
                }
            }
            size.open_alerts += tenant.standings.values().filter(|s| s.life.open_since.is_some()).count();
        }
        size
    }

    /// Where an event with this cell key and sender stands now.
    pub fn whereabouts(&self, cell: &CellKey, actor: Actor) -> Whereabouts {
        self.tenants.get(&cell.tenant).map(|tenant| tenant.whereabouts(cell, actor)).unwrap_or_default()
    }

    /// Points of an event's sender at this moment under `model`; `None` for who is not remembered.
    pub fn points(&self, model: &HostilityModel, cell: &CellKey, actor: Actor) -> Option<f64> {
        self.tenants.get(&cell.tenant)?.record.weigh(model, &actor).map(|weighed| weighed.points())
    }

    /// Start of the open epoch.
    pub fn now(&self) -> Option<Millis> {
        self.clock.epoch
    }

    /// The rows that changed since the last call.
    pub(super) fn take_rows(&mut self) -> Vec<StateRow> {
        let mut rows = self.recent.take_rows();
        rows.extend(self.reorder.take_rows());
        if self.clock != self.clock_stored {
            rows.extend(StateRow::of("clock", &(), Some(&self.clock)));
            self.clock_stored = self.clock;
        }
        for (id, tenant) in &mut self.tenants {
            rows.extend(tenant.take_rows(*id));
        }
        rows
    }
}
