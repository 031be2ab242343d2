//! The rows that are clustered, kept between epochs so that only what changed is clustered again.
//!
//! Connected components change only around rows that changed: a new edge has a changed row at one of its ends, and so
//! has one that is gone. [`Rows::region`] gives all rows whose component could be another one than before: the changed
//! ones, everything they could be near to (same site and route, a common actor), and all fellow members of these.
//! Clustering the region alone therefore gives the same clusters as clustering everything.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::cluster::Row;
use super::event::{Id, ShapeId};
use super::observation::CellKey;

/// Rows by key, with what is needed to find their possible neighbours.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    all: BTreeMap<CellKey, Row>,
    by_actor: HashMap<Id, BTreeSet<CellKey>>,
}

impl Rows {
    /// Puts a row in place of the one with its key, or takes it away. Whether edges of the graph may have changed:
    /// a weight alone changes none.
    pub fn set(&mut self, key: CellKey, row: Option<Row>) -> bool {
        let alike = |old: &Row, new: &Row| old.sketch == new.sketch && old.actors == new.actors;
        match (self.all.get_mut(&key), row) {
            (None, None) => false,
            (Some(old), Some(new)) if alike(old, &new) => {
                old.weight = new.weight;
                false
            }
            (_, row) => {
                self.remove(&key);
                if let Some(row) = row {
                    self.insert(row);
                }
                true
            }
        }
    }

    fn remove(&mut self, key: &CellKey) {
        let Some(row) = self.all.remove(key) else { return };
        for id in row.actors.ids() {
            drop_from(&mut self.by_actor, *id, key);
        }
    }

    fn insert(&mut self, row: Row) {
        for id in row.actors.ids() {
            self.by_actor.entry(*id).or_default().insert(row.key);
        }
        self.all.insert(row.key, row);
    }

    /// The row of a key.
    pub fn get(&self, key: &CellKey) -> Option<&Row> {
        self.all.get(key)
    }

    /// All rows by ascending key.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Row> {
        self.all.values()
    }

    /// All rows whose component may have changed when the rows of `changed` did. `cluster_of` names the cluster that a
    /// row was in, `members` gives a cluster's rows. Each block, actor and cluster is looked at once.
    pub fn region<'r, C: Ord, M: IntoIterator<Item = CellKey>>(
        &'r self,
        changed: &BTreeSet<CellKey>,
        cluster_of: impl Fn(&CellKey) -> Option<C>,
        members: impl Fn(&C) -> M,
    ) -> Vec<&'r Row> {
        let mut near = changed.clone();
        let (mut blocks, mut actors) = (BTreeSet::new(), BTreeSet::new());
        for key in changed {
            let first = CellKey { shape: ShapeId(0), ..*key };
            if blocks.insert(first) {
                let last = CellKey { shape: ShapeId(u128::MAX), ..first };
                near.extend(self.all.range(first..=last).map(|(key, _)| *key));
            }
            let Some(row) = self.all.get(key) else { continue };
            for id in row.actors.ids().iter().filter(|id| actors.insert(**id)) {
                near.extend(self.by_actor.get(id).into_iter().flatten());
            }
        }
        let clusters: BTreeSet<C> = near.iter().filter_map(cluster_of).collect();
        near.extend(clusters.iter().flat_map(members));
        near.iter().filter_map(|key| self.all.get(key)).collect()
    }
}

fn drop_from(index: &mut HashMap<Id, BTreeSet<CellKey>>, id: Id, key: &CellKey) {
    if let Some(keys) = index.get_mut(&id) {
        keys.remove(key);
        if keys.is_empty() {
            index.remove(&id);
        }
    }
}
