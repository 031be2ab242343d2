//! Looks at the store and asks the service; gives what is to be seen.
//!
//! **Cost.** A look at a store to which nothing was committed costs microseconds. Otherwise the kinds of rows in
//! [`KINDS_READ`] are restored, at one moment of the store: 8,192 cells in 8,600 clusters (57 MB) in 0.5 to 1 s on two
//! busy cores, 0.2 s of it computing, with 90 MB of memory. After each reading the store is left alone for
//! [`REST_TIMES`] as long as the reading took, so that no more than a tenth of a core goes into it however short the
//! interval is (3.5 % were measured while that store was written without a pause). What is shown says how old it is.
//!
//! A store that cannot be read is looked at again the next time; until then what was read last is shown, with the fault.

use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;

use super::super::{plain, steady_clock, wall_clock};
use super::TopOptions;
use super::view::{Destination, Memory, Service, Situation, StoreSight, View};
use crate::edge::admin::{AdminPort, HealthReport};
use crate::edge::store::{OutboxCount, Stamp, Store, StoreError, Watch};
use crate::pipeline::cluster::ClusteringModel;
use crate::pipeline::state::State;

/// The kinds of rows that clusters and their portraits are made of. What only the next judgement needs stays unread:
/// recent events, the learned normal, neighbours, reused contents; as do the surfaces and causes that nothing here shows.
const KINDS_READ: [&str; 9] = ["clock", "name", "cell", "actor", "suspect", "cluster", "alias", "standing", "alarm"];

/// The store is left alone for this many times as long as the last reading of it took.
const REST_TIMES: u32 = 9;

/// Looks, again and again.
#[derive(Debug)]
pub(super) struct Looker {
    watch: Watch,
    admin: AdminPort,
    /// The admin port as it was typed.
    address: String,
    model: ClusteringModel,
    memory: Arc<Memory>,
    counts: Vec<OutboxCount>,
    sight: StoreSight,
    /// What the store was when it was read last.
    stamp: Option<Stamp>,
    /// Until when a store that has changed is left alone.
    resting_until: Option<Instant>,
    /// Records that the service had read, and when it said so.
    records: Option<(Instant, f64)>,
}

impl Looker {
    /// Nothing was looked at yet.
    ///
    /// # Errors
    /// None in a build whose tests passed: the clustering model is embedded.
    pub(super) fn new(options: &TopOptions) -> Result<Self> {
        Ok(Self {
            watch: Watch::new(&options.store),
            admin: options.admin.clone(),
            address: plain(&options.admin.to_string()),
            model: ClusteringModel::uncapped()?,
            memory: Arc::default(),
            counts: Vec::new(),
            sight: StoreSight { path: plain(&options.store.display().to_string()), ..StoreSight::default() },
            stamp: None,
            resting_until: None,
            records: None,
        })
    }

    /// Whether there is a store that can be read at all, without reading it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn check(&mut self) -> Result<(), StoreError> {
        self.watch.look().map(drop)
    }

    /// What was seen last, without another look.
    pub(super) fn unseen(&self) -> View {
        self.view(Service::NotReached { why: "not asked yet".to_owned() }, None)
    }

    /// Takes a look; an urgent one does not wait until the store has rested.
    pub(super) fn look(&mut self, urgent: bool) -> View {
        if let Err(error) = self.read_store(urgent) {
            self.watch.close();
            self.stamp = None;
            self.sight.fault = Some(plain(&error.to_string()));
        }
        match self.admin.ask() {
            Ok(answer) => {
                let rate = self.rate(answer.records);
                self.view(Service::of(&answer.health, rate), Some(&answer.health))
            }
            Err(error) => {
                self.records = None;
                self.view(Service::NotReached { why: plain(&format!("{}: {error}", self.address)) }, None)
            }
        }
    }

    /// Reads the store if something was committed since it was read last.
    fn read_store(&mut self, urgent: bool) -> Result<(), StoreError> {
        let begun = steady_clock();
        let (store, stamp) = self.watch.look()?;
        let changed = self.stamp != Some(stamp);
        if changed && !urgent && self.resting_until.is_some_and(|until| begun < until) {
            return Ok(());
        }
        if changed {
            let read = read(store, &self.model);
            let read = read.map(|(memory, n_unreadable, counts)| (Arc::new(memory), n_unreadable, counts));
            // A reading that fails is paid for, too.
            let ended = steady_clock();
            let took = ended.saturating_duration_since(begun);
            self.resting_until = ended.checked_add(took.saturating_mul(REST_TIMES));
            (self.memory, self.sight.n_unreadable, self.counts) = read?;
            (self.stamp, self.sight.took) = (Some(stamp), took);
        }
        self.sight.read_at = Some(wall_clock());
        self.sight.fault = None;
        Ok(())
    }

    /// Records a second since the answer before; `None` for the first one, and when the service was started anew.
    fn rate(&mut self, records: Option<f64>) -> Option<f64> {
        let now = steady_clock();
        let before = std::mem::replace(&mut self.records, records.map(|records| (now, records)));
        let (at, before) = before?;
        let secs = now.saturating_duration_since(at).as_secs_f64();
        Some((records? - before) / secs).filter(|rate| rate.is_finite() && *rate >= 0.0)
    }

    fn view(&self, service: Service, health: Option<&HealthReport>) -> View {
        View {
            memory: Arc::clone(&self.memory),
            destinations: Destination::all(&self.counts, health.map(|health| &health.lanes)),
            service,
            store: self.sight.clone(),
        }
    }
}

/// What is needed of a store, as it was at one moment; and the number of rows that could not be read.
fn read(store: &Store, model: &ClusteringModel) -> Result<(Memory, usize, Vec<OutboxCount>), StoreError> {
    store.at_one_moment(|store| {
        let (state, n_unreadable) = State::restore_kinds(model, &KINDS_READ, |kind| store.load_state(kind))?;
        let situations = situations(&state, store)?;
        Ok((Memory::of(state, situations), n_unreadable, store.outbox_counts()?))
    })
}

/// What operations are alerted on now, in the words of the alert that was told last.
fn situations(state: &State, store: &Store) -> Result<Vec<Situation>, StoreError> {
    let mut situations = Vec::new();
    for (_, tenant) in state.tenants() {
        for (key, alarm, name) in tenant.operations().alarms().open() {
            let told = store.alerts_of(&name)?.pop();
            let title = plain(&told.map_or(name, |alert| alert.portrait.title));
            let (category, severity) = (key.category, alarm.life.told);
            situations.push(Situation { category, severity, since: alarm.since, title });
        }
    }
    situations.sort_by(|a, b| b.severity.cmp(&a.severity).then_with(|| a.since.cmp(&b.since)));
    Ok(situations)
}

#[cfg(test)]
mod tests;
