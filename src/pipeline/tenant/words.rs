//! Analysts' words on a tenant's clusters: taken up, and asked for. The rule is [`rulings`](crate::pipeline::rulings)'.

use std::sync::Arc;

use super::{Standing, Tenant, Whereabouts};
use crate::pipeline::alert::Verdict;
use crate::pipeline::cluster::identity::ClusterId;
use crate::pipeline::event::Millis;
use crate::pipeline::observation::{Actor, CellKey};
use crate::pipeline::rulings::Rulings;

impl Standing {
    /// The verdict that holds: an analyst's word, else the judge's.
    pub fn verdict(&self) -> Verdict {
        self.overruled.as_ref().map_or(self.judgement.verdict, |overruled| overruled.word)
    }
}

impl Tenant {
    /// Takes up what analysts say now, in place of what they said before; it is applied when the next epoch is closed.
    pub(in crate::pipeline) fn take_up(&mut self, rulings: &Arc<Rulings>) {
        self.rulings = Arc::clone(rulings);
        let (descents, all) = (&self.descents, self.standings.iter());
        let reruled = all.filter(|(id, standing)| {
            descents.overruled(**id, rulings, standing.judgement.verdict) != standing.overruled
        });
        self.reruled.extend(reruled.map(|(id, _)| *id));
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
