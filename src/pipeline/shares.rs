//! Which suspects touched which cell, and how often: the part of a cell that is carved out of it.
//!
//! A busy cell holds honest senders and, maybe, one that probes. The judge suspects senders, not cells; their events in
//! a cell are a share that is counted and judged with them, apart from the cell. This is the bookkeeping of it, from the suspects' ledgers.

use std::collections::{BTreeMap, BTreeSet};

use super::observation::{Actor, CellKey};

/// Shares of suspects, by cell and by actor.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shares {
    by_cell: BTreeMap<CellKey, BTreeMap<Actor, u64>>,
    by_actor: BTreeMap<Actor, BTreeSet<CellKey>>,
}

impl Shares {
    /// Replaces what `actor` holds; none when it is no suspect any more. Gives the cells whose shares changed.
    pub fn set(&mut self, actor: Actor, ledger: &BTreeMap<CellKey, u64>) -> BTreeSet<CellKey> {
        let mut changed = BTreeSet::new();
        for cell in self.by_actor.remove(&actor).unwrap_or_default() {
            if ledger.contains_key(&cell) {
                continue;
            }
            changed.insert(cell);
            if let Some(actors) = self.by_cell.get_mut(&cell) {
                actors.remove(&actor);
                if actors.is_empty() {
                    self.by_cell.remove(&cell);
                }
            }
        }
        for (cell, events) in ledger {
            if self.by_cell.entry(*cell).or_default().insert(actor, *events) != Some(*events) {
                changed.insert(*cell);
            }
        }
        if !ledger.is_empty() {
            self.by_actor.insert(actor, ledger.keys().copied().collect());
        }
        changed
    }

    /// The suspects in a cell with their events.
    pub fn of(&self, cell: &CellKey) -> impl ExactSizeIterator<Item = (&Actor, &u64)> + Clone {
        const NONE: &BTreeMap<Actor, u64> = &BTreeMap::new();
        self.by_cell.get(cell).unwrap_or(NONE).iter()
    }

    /// Events of `actor` in `cell`.
    pub fn events(&self, cell: &CellKey, actor: &Actor) -> u64 {
        self.by_cell.get(cell).and_then(|actors| actors.get(actor)).copied().unwrap_or(0)
    }

    /// The cells that an actor has a share of.
    pub fn cells_of(&self, actor: &Actor) -> impl Iterator<Item = &CellKey> {
        self.by_actor.get(actor).into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::super::event::{Id, ShapeId};
    use super::*;

    fn cell(n: u64) -> CellKey {
        CellKey { tenant: Id(0), service: Id(0), site: Id(n), route: Id(0), shape: ShapeId(0) }
    }

    #[test]
    fn what_an_actor_holds_is_replaced_and_the_changed_cells_are_named() {
        let mut shares = Shares::default();
        let (anna, ben) = (Actor::Token(Id(1)), Actor::Prefix(Id(2)));
        shares.set(ben, &BTreeMap::from([(cell(1), 9)]));
        assert_eq!(shares.set(anna, &BTreeMap::from([(cell(1), 1), (cell(2), 2)])), BTreeSet::from([cell(1), cell(2)]));
        assert_eq!(shares.set(anna, &BTreeMap::from([(cell(2), 2), (cell(3), 1)])), BTreeSet::from([cell(1), cell(3)]));
        assert_eq!(shares.of(&cell(1)).collect::<Vec<_>>(), [(&ben, &9)]);
        assert_eq!(shares.set(anna, &BTreeMap::new()), BTreeSet::from([cell(2), cell(3)]));
        assert_eq!(shares.of(&cell(2)).len(), 0);
        assert_eq!(shares.cells_of(&ben).collect::<Vec<_>>(), [&cell(1)]);
    }
}
