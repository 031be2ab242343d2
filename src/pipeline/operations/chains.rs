//! Retries tied to the request that they repeat, by its idempotency key.
//!
//! Reads observations with the gate's word on them; says whether an event continues an earlier request, and how that
//! stood. Without a key only the attempt's ordinal tells: a second one continues something, a first one nothing, and a
//! user who presses the button again is a new request.
//!
//! Holds keyed ids of keys, never a key. Bounds: [`CHAINS_MAX`] chains a tenant, each for [`WITHIN_MILLIS`] after its
//! last event; the longest silent ones go first. Costs one look-up.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::gate::Gate;
use crate::pipeline::event::{Id, Millis};
use crate::pipeline::observation::Observation;
use crate::pipeline::state::StateRow;

/// How long after a request another one with its key is a retry: the draft on idempotency keys leaves the time to the
/// server, servers keep keys for hours to a day; back-offs that were met last minutes.
pub const WITHIN_MILLIS: i64 = 6 * Millis::HOUR;

/// Chains that are remembered for one tenant: some 1 MB.
pub const CHAINS_MAX: usize = 16_384;

/// Chains that are kept when there are too many: an eighth goes at a time, so that evicting is rare.
const CHAINS_KEPT: usize = CHAINS_MAX / 8 * 7;

/// A request: its service and the keyed id of its idempotency key.
pub(super) type ChainKey = (Id, Id);

/// What is known of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Chain {
    /// Time of its latest event.
    last: Millis,
    /// An attempt had changed something.
    changed: bool,
    /// The gate's word on the latest attempt.
    gate: Gate,
}

/// How an event hangs together with earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Link {
    /// It repeats an earlier request.
    pub continues: bool,
    /// An earlier attempt that is known had changed something.
    pub changed_before: bool,
    /// The gate's word on the attempt before; `None` for an original request, and for an attempt before that is not
    /// known.
    pub gate_before: Option<Gate>,
}

/// The chains of one tenant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chains {
    chains: BTreeMap<ChainKey, Chain>,
    changed: BTreeSet<ChainKey>,
}

impl Chains {
    /// How the event hangs together with earlier ones; it is remembered for later ones.
    pub fn link(&mut self, o: &Observation<'_>, gate: Gate) -> Link {
        let by_ordinal = Link { continues: o.attempt > 1, ..Link::default() };
        let Some(idempotency) = o.idempotency else { return by_ordinal };
        let key = (o.cell.service, idempotency);
        self.make_room(key);
        self.changed.insert(key);
        let changed = o.aftermath.n_side_effects.is_some_and(|n| n > 0);
        let known = self.chains.get(&key).filter(|chain| o.time.since(chain.last) <= WITHIN_MILLIS).copied();
        let chain = Chain {
            last: known.map_or(o.time, |before| before.last.max(o.time)),
            changed: changed || known.is_some_and(|before| before.changed),
            gate,
        };
        self.chains.insert(key, chain);
        match known {
            Some(before) => Link { continues: true, changed_before: before.changed, gate_before: Some(before.gate) },
            None => by_ordinal,
        }
    }

    /// Forgets chains that nothing can continue any more at `now`.
    pub fn forget(&mut self, now: Millis) {
        let changed = &mut self.changed;
        self.chains.retain(|key, chain| {
            let stays = now.since(chain.last) <= WITHIN_MILLIS;
            if !stays {
                changed.insert(*key);
            }
            stays
        });
    }

    fn make_room(&mut self, newcomer: ChainKey) {
        if self.chains.len() < CHAINS_MAX || self.chains.contains_key(&newcomer) {
            return;
        }
        let mut order: Vec<(Millis, ChainKey)> = self.chains.iter().map(|(key, chain)| (chain.last, *key)).collect();
        order.sort_unstable();
        for (_, key) in order.into_iter().take(CHAINS_MAX - CHAINS_KEPT) {
            self.chains.remove(&key);
            self.changed.insert(key);
        }
    }

    /// The rows that changed since the last call.
    pub(super) fn take_rows(&mut self) -> Vec<StateRow> {
        let changed = std::mem::take(&mut self.changed);
        changed.iter().filter_map(|key| StateRow::of("chain", key, self.chains.get(key))).collect()
    }

    /// Puts back what a store kept.
    pub(super) fn restore(chains: impl IntoIterator<Item = (ChainKey, Chain)>) -> Self {
        Self { chains: chains.into_iter().collect(), changed: BTreeSet::new() }
    }
}

#[cfg(test)]
mod tests;
