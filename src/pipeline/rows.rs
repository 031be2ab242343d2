//! The rows that are clustered, kept between epochs so that only what changed is clustered again.
//!
//! Connected components change only around rows that changed: a new edge has a changed row at one of its ends, and so
//! has one that is gone. [`Rows::region`] gives all rows whose component could be another one than before: the changed
//! ones, everything they could be near to (same site and route), and all fellow members of these.
//! Clustering the region alone therefore gives the same clusters as clustering everything.

use std::collections::{BTreeMap, BTreeSet};

use super::cluster::Row;
use super::event::ShapeId;
use super::observation::CellKey;

/// Rows by key: those of one site and route stand together.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    all: BTreeMap<CellKey, Row>,
}

impl Rows {
    /// Puts a row in place of the one with its key, or takes it away; whether edges of the graph may have changed.
    pub fn set(&mut self, key: CellKey, row: Option<Row>) -> bool {
        match (self.all.get(&key), row) {
            (None, None) => false,
            (Some(old), Some(new)) if old.sketch == new.sketch => false,
            (_, Some(row)) => {
                self.all.insert(key, row);
                true
            }
            (Some(_), None) => {
                self.all.remove(&key);
                true
            }
        }
    }

    /// All rows whose component may have changed when the rows of `changed` did. `cluster_of` names the cluster that a
    /// row was in, `members` gives a cluster's rows. Each block and cluster is looked at once.
    pub fn region<'r, C: Ord, M: IntoIterator<Item = CellKey>>(
        &'r self,
        changed: &BTreeSet<CellKey>,
        cluster_of: impl Fn(&CellKey) -> Option<C>,
        members: impl Fn(&C) -> M,
    ) -> Vec<&'r Row> {
        let mut near = changed.clone();
        let mut blocks = BTreeSet::new();
        for key in changed {
            let first = CellKey { shape: ShapeId(0), ..*key };
            if blocks.insert(first) {
                let last = CellKey { shape: ShapeId(u128::MAX), ..first };
                near.extend(self.all.range(first..=last).map(|(key, _)| *key));
            }
        }
        let clusters: BTreeSet<C> = near.iter().filter_map(cluster_of).collect();
        near.extend(clusters.iter().flat_map(members));
        near.iter().filter_map(|key| self.all.get(key)).collect()
    }
}
