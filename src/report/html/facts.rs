//! What the sections of the page tell of, gathered once: the clusters by rank with their portraits, and the census.
//!
//! Reads the state and the store's counts; neither escapes nor writes. Holds the portraits of the clusters that are
//! told, some kilobytes each.

use anyhow::Result;

use super::markup::Anchor;
use crate::edge::store::{Fate, OutboxCount, Store};
use crate::pipeline::alert::{Portrait, Verdict};
use crate::pipeline::census::Census;
use crate::pipeline::cluster::identity::Cluster;
use crate::pipeline::event::Millis;
use crate::pipeline::sample::Minutes;
use crate::pipeline::tenant::{Standing, Tenant};
use crate::report::list::{Ranked, ranked};
use crate::report::{Memory, Selection};

/// Clusters that are shown in full, those of the highest rank: some 5 kB each.
pub(super) const SHOWN_IN_FULL_MAX: usize = 100;

/// A cluster that is told.
pub(super) struct Card<'s> {
    pub(super) tenant: &'s Tenant,
    pub(super) cluster: &'s Cluster,
    pub(super) id: String,
    pub(super) portrait: Portrait,
    pub(super) minutes: Minutes,
    /// Since when its alert is open.
    pub(super) open_since: Option<Millis>,
    /// Whether the judge has spoken.
    pub(super) is_judged: bool,
    /// Where it is shown in full, if it is.
    pub(super) place: Option<Anchor>,
}

/// A tenant in the overview.
pub(super) struct TenantLine {
    pub(super) name: String,
    pub(super) n_events: u64,
    pub(super) n_cells: usize,
    pub(super) n_clusters: usize,
    pub(super) n_hostile: usize,
}

/// Everything.
pub(super) struct Facts<'s> {
    pub(super) memory: Memory<'s>,
    /// By rank, the first ones.
    pub(super) cards: Vec<Card<'s>>,
    /// Clusters of any kind, told or not, by verdict.
    pub(super) n_hostile: usize,
    pub(super) n_undecided: usize,
    pub(super) n_benign: usize,
    pub(super) n_open: usize,
    /// Over all tenants.
    pub(super) census: Census,
    pub(super) tenants: Vec<TenantLine>,
    /// Alerts by destination and fate.
    pub(super) outbox: Vec<OutboxCount>,
}

impl<'s> Facts<'s> {
    pub(super) fn gather(memory: Memory<'s>, limit: usize) -> Result<Self> {
        let (ranked, _) = ranked(memory.state, Selection::default());
        let cards = ranked.iter().take(limit).enumerate().map(|(at, ranked)| Card::of(ranked, at)).collect();
        let outbox = memory.store.map(Store::outbox_counts).transpose()?.unwrap_or_default();
        let mut facts = Self {
            memory,
            cards,
            n_hostile: 0,
            n_undecided: 0,
            n_benign: 0,
            n_open: 0,
            census: Census::default(),
            tenants: Vec::new(),
            outbox,
        };
        for (id, tenant) in memory.state.tenants() {
            facts.count(tenant, tenant.name(id));
        }
        Ok(facts)
    }

    fn count(&mut self, tenant: &'s Tenant, name: String) {
        let (mut n_clusters, mut n_hostile) = (0, 0);
        for (_, standing) in tenant.clusters() {
            n_clusters += 1;
            match standing.map(Standing::verdict).unwrap_or_default() {
                Verdict::Hostile => n_hostile += 1,
                Verdict::Undecided => self.n_undecided += 1,
                Verdict::Benign => self.n_benign += 1,
            }
            self.n_open += usize::from(standing.is_some_and(|standing| standing.life.open_since.is_some()));
        }
        self.n_hostile += n_hostile;
        let census = tenant.census();
        self.tenants.push(TenantLine {
            name,
            n_events: census.n_events,
            n_cells: census.n_cells,
            n_clusters,
            n_hostile,
        });
        self.census.merge(census);
    }

    /// Clusters of any kind, told or not.
    pub(super) fn n_clusters(&self) -> usize {
        self.n_hostile + self.n_undecided + self.n_benign
    }

    /// Alerts that stand so with any destination; `None`: they wait.
    pub(super) fn n_alerts(&self, standing: impl Fn(Option<Fate>) -> bool) -> u64 {
        self.outbox.iter().filter(|count| standing(count.fate)).map(|count| count.alerts).sum()
    }
}

impl<'s> Card<'s> {
    fn of(ranked: &Ranked<'s>, rank: usize) -> Self {
        let Ranked { tenant, cluster, .. } = *ranked;
        let standing = ranked.standing;
        let id = cluster.id.to_string();
        Self {
            tenant,
            cluster,
            place: (rank < SHOWN_IN_FULL_MAX).then(|| Anchor::of(&id)),
            portrait: tenant.portrait(cluster),
            minutes: tenant.timeline(cluster),
            open_since: standing.and_then(|standing| standing.life.open_since),
            is_judged: standing.is_some(),
            id,
        }
    }

    /// Events with this outcome.
    pub(super) fn recovered(&self, outcome: &str) -> u64 {
        self.portrait.recovery.iter().find(|counted| counted.name == outcome).map_or(0, |counted| counted.events)
    }
}
