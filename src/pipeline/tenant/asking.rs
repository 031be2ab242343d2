//! What reports and exports ask of a tenant: names, clusters with their standing, and where an event stands.
//!
//! Changes nothing. Each answer costs a look-up, but for [`Tenant::n_events`], which looks at every cell of its cluster.

use std::collections::{BTreeMap, BTreeSet};

use super::{Standing, Tenant, Whereabouts};
use crate::pipeline::cell::Cell;
use crate::pipeline::cluster::RowKey;
use crate::pipeline::cluster::identity::{Alias, Cluster, ClusterId};
use crate::pipeline::event::Id;
use crate::pipeline::names::Names;
use crate::pipeline::observation::{Actor, CellKey};
use crate::pipeline::operations::Operations;
use crate::pipeline::surfaces::Surfaces;

impl Tenant {
    /// The surface inventory.
    pub fn surfaces(&self) -> &Surfaces {
        &self.surfaces
    }

    /// What operations ask.
    pub fn operations(&self) -> &Operations {
        &self.operations
    }

    /// What ids are called.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// What an id is called, or its digits.
    pub fn name(&self, id: Id) -> String {
        self.names.text(id)
    }

    /// What an id is called, if that is known.
    pub fn known_name(&self, id: Id) -> Option<String> {
        self.names.knows(id).then(|| self.names.text(id))
    }

    /// The living clusters with their standing.
    pub fn clusters(&self) -> impl Iterator<Item = (&Cluster, Option<&Standing>)> {
        self.clusters.clusters().map(|cluster| (cluster, self.standings.get(&cluster.id)))
    }

    /// Ids of clusters that became part of a living one, and where each leads.
    pub fn aliases(&self) -> impl Iterator<Item = (ClusterId, Alias)> {
        self.clusters.aliases()
    }

    /// Events of a living cluster, as its portrait counts them, without drawing it.
    pub fn n_events(&self, cluster: &Cluster) -> u64 {
        self.cells_of(cluster).map(|(_, _, events)| events).sum()
    }

    /// Where an event with this cell key and sender stands now.
    pub fn whereabouts(&self, cell: &CellKey, actor: Actor) -> Whereabouts {
        let suspect = self.suspect_since.get(&actor).copied();
        let row = match suspect {
            Some(_) => self.sender(&actor),
            None => Some(RowKey::Cell(self.cells.resolve(cell))),
        };
        let Some(id) = row.and_then(|row| self.clusters.of(&row)) else {
            return Whereabouts::default();
        };
        let Some(standing) = self.standings.get(&id) else {
            return Whereabouts { cluster: Some(id), ..Whereabouts::default() };
        };
        let alerted_at = standing.life.first_opened.map(|at| suspect.map_or(at, |since| at.max(since)));
        Whereabouts { cluster: Some(id), verdict: standing.verdict(), alerted_at }
    }

    /// The cells that a cluster's events are in, ascending, each with how many of its events are the cluster's.
    pub(in crate::pipeline) fn cells_of(&self, cluster: &Cluster) -> impl Iterator<Item = (CellKey, &Cell, u64)> {
        let mut shares: BTreeMap<CellKey, u64> = BTreeMap::new();
        for row in &cluster.members {
            match row {
                RowKey::Cell(key) => {
                    let others = self.cells.get(key).map_or(0, |cell| self.events_of_others(key, cell));
                    *shares.entry(*key).or_default() += others;
                }
                RowKey::Sender(_, actor) => {
                    for key in self.shares.cells_of(actor) {
                        *shares.entry(*key).or_default() += self.shares.events(key, actor);
                    }
                }
            }
        }
        let known = move |(key, events): (CellKey, u64)| {
            let cell = self.cells.get(&key)?;
            Some((key, cell, events.min(cell.n)))
        };
        shares.into_iter().filter_map(known)
    }

    /// Events of a cell that no suspect sent.
    pub(in crate::pipeline) fn events_of_others(&self, key: &CellKey, cell: &Cell) -> u64 {
        cell.n - self.shares.of(key).map(|(_, events)| *events).sum::<u64>().min(cell.n)
    }

    /// The clusters that hold events of a cell: its own, and those of the suspects in it.
    pub(in crate::pipeline) fn clusters_at(&self, cell: &CellKey) -> BTreeSet<ClusterId> {
        let senders = self.shares.of(cell).filter_map(|(actor, _)| self.sender(actor));
        let rows = std::iter::once(RowKey::Cell(*cell)).chain(senders);
        rows.filter_map(|row| self.clusters.of(&row)).collect()
    }

    /// The row of a suspect; `None` where every cell that it touched is forgotten.
    pub(in crate::pipeline) fn sender(&self, actor: &Actor) -> Option<RowKey> {
        self.shares.cells_of(actor).next().map(|cell| RowKey::Sender(cell.tenant, *actor))
    }
}
