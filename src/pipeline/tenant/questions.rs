//! What reports and the other parts of the pipeline ask a tenant: read only, a look-up or one pass each.

use super::{Standing, Tenant, Whereabouts};
use crate::pipeline::alert::Verdict;
use crate::pipeline::cluster::identity::{Alias, Cluster, ClusterId};
use crate::pipeline::event::{Id, Millis};
use crate::pipeline::names::Names;
use crate::pipeline::observation::{Actor, CellKey};
use crate::pipeline::operations::Operations;
use crate::pipeline::sample::Minutes;
use crate::pipeline::surfaces::Surfaces;

impl Standing {
    /// The verdict that holds: an analyst's word, else the judge's.
    pub fn verdict(&self) -> Verdict {
        self.overruled.as_ref().map_or(self.judgement.verdict, |overruled| overruled.word)
    }
}

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

    /// When the events of a living cluster happened: by minute over the last hour before the newest, by hour over the
    /// last 48 hours.
    pub fn timeline(&self, cluster: &Cluster) -> Minutes {
        self.sitting(cluster).summary.minutes
    }

    /// Living clusters that a word on `id` reaches, unless a nearer one is said, by ascending id.
    pub fn reached_from(&self, id: ClusterId) -> impl Iterator<Item = ClusterId> {
        self.clusters.clusters().map(|cluster| cluster.id).filter(move |of| self.descents.reaches(id, *of))
    }

    /// The cluster that holds an event with this cell key and sender, and the cluster whose word holds for that one, as
    /// words stand now. `None` too for an event that was never counted: one from outside its cell's time.
    pub fn ruled(&self, cell: &CellKey, actor: Actor, time: Millis) -> Option<(ClusterId, ClusterId)> {
        let counted = self.cells.get(&self.cells.resolve(cell))?;
        let Whereabouts { cluster, .. } = self.whereabouts(cell, actor);
        let cluster = cluster.filter(|_| (counted.first..=counted.last).contains(&time))?;
        Some((cluster, self.descents.origin(cluster, &self.rulings)?))
    }
}
