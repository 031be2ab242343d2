//! What reports and exports ask of a tenant: names, clusters with their standing, and where an event stands.
//!
//! Changes nothing. Each answer costs a look-up, but for [`Tenant::n_events`], which looks at every cell of its cluster.

use std::collections::BTreeSet;

use super::{Standing, Tenant, Whereabouts};
use crate::pipeline::cell::Cell;
use crate::pipeline::cluster::identity::{Alias, Cluster, ClusterId};
use crate::pipeline::cluster::{Party, RowKey};
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
        self.cells_of(cluster).map(|(row, cell)| self.rows_events(row, cell)).sum()
    }

    /// Where an event with this cell key and sender stands now.
    pub fn whereabouts(&self, cell: &CellKey, actor: Actor) -> Whereabouts {
        let cell = self.cells.resolve(cell);
        let suspect = self.suspect_since.get(&actor).copied();
        let party = if suspect.is_some() { Party::Suspects } else { Party::Everyone };
        // A suspect that touched more cells than its ledger has room for stands where the rest of it stands.
        let elsewhere =
            || self.shares.cells_of(&actor).find_map(|cell| self.clusters.of(&RowKey { cell: *cell, party }));
        let Some(id) = self
            .clusters
            .of(&RowKey { cell, party })
            .filter(|_| suspect.is_none() || self.shares.has(&cell, &actor))
            .or_else(elsewhere)
        else {
            return Whereabouts::default();
        };
        let Some(standing) = self.standings.get(&id) else {
            return Whereabouts { cluster: Some(id), ..Whereabouts::default() };
        };
        let alerted_at = standing.life.first_opened.map(|at| suspect.map_or(at, |since| at.max(since)));
        Whereabouts { cluster: Some(id), verdict: standing.verdict(), alerted_at }
    }

    /// The cells that a cluster's rows are about, with these rows; a cell comes twice where suspects have a share of it.
    pub(in crate::pipeline) fn cells_of<'t>(
        &'t self,
        cluster: &'t Cluster,
    ) -> impl Iterator<Item = (&'t RowKey, &'t Cell)> {
        cluster.members.iter().filter_map(|row| Some((row, self.cells.get(&row.cell)?)))
    }

    /// Events of one party's share of a cell.
    pub(in crate::pipeline) fn rows_events(&self, row: &RowKey, cell: &Cell) -> u64 {
        let suspects: u64 = self.shares.of(&row.cell).map(|(_, events)| *events).sum::<u64>().min(cell.n);
        if row.party == Party::Suspects { suspects } else { cell.n - suspects }
    }

    /// The suspects who have a share of its cells.
    pub(in crate::pipeline) fn suspects_of(&self, cluster: &Cluster) -> BTreeSet<Actor> {
        let shares = cluster.members.iter().filter(|row| row.party == Party::Suspects);
        shares.flat_map(|row| self.shares.of(&row.cell)).map(|(actor, _)| *actor).collect()
    }
}
