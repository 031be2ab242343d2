//! All cells of one tenant, within bounds that no sender can push.
//!
//! Takes observations and other `Cells`, gives cells by key. What does not fit is *folded*: its cell is merged into an
//! overflow cell, so nothing is lost but detail. Folding is decided by adaptive distinct sampling (Gibbons 2001): an id
//! stands for itself while it has at least `level` leading zero bits, and the level is the smallest at which the ids
//! fit. Ids are keyed hashes, so nobody outside can choose which ids stay.
//!
//! 1. **Shapes**: a (service, site, route) block has at most 64 exact shapes; others go to one of 16 overflow cells of
//!    the block, chosen by the shape's own bits. (Not by sender: a merged cell can no longer be split by sender, and a
//!    rule that looks at single events would make the result depend on when the level rose.)
//! 2. **Blocks**: a tenant has at most 8,192 cells. While they do not fit, the share that one service may have is
//!    halved (8,192, 4,096, …, 80), and only services above the share fold blocks, into 16 overflow cells a service.
//!    A flood in one service never touches the cells of a service that keeps within its share.
//! 3. **Services**: at most 102 services (8,192 / 80); others fold into 16 overflow cells of the tenant.
//!
//! The content is a function of the set of keys and the multiset of events. Every level is the smallest that satisfies
//! a bound on a demand that only grows with the set: a block demands its number of shapes, or 80 once it has folded; a
//! service demands the sum of its blocks, or its full share once it has folded. What is kept under a level is complete
//! for every higher level, so levels that rise step by step end where one look at everything would have put them.
//! Forgetting is the exception by nature: levels fall back only when the overflow cells that bear them are forgotten.
//!
//! The weakness: within the service under attack, honest blocks fold in the same proportion as hostile ones (at random,
//! and not at the attacker's choice). Names of services are the producers', not the senders'.
//!
//! Cost: an event to a known cell is one search among 8,192 keys; folding is linear in what it folds.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::cell::{Cell, Fold};
use super::event::{Id, Millis, ShapeId};
use super::keys::IdSet;
use super::observation::{CellKey, Observation};

pub mod bounds;

pub use self::bounds::{CellLimits, OVERFLOW_CELLS, OVERFLOW_ID, is_overflow};

use self::bounds::{block_hash, overflow_shape, shape_stands, stands};

/// Weight below which a cell may be forgotten.
const FORGOTTEN_WEIGHT: f64 = 0.01;

/// Site and route.
type BlockKey = (Id, Id);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Block {
    level: u8,
    n_shapes: u32,
}

impl Block {
    fn demand(self, limits: &CellLimits) -> u32 {
        if self.level == 0 { self.n_shapes } else { limits.block_max() }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Service {
    level: u8,
    /// Sum of what its standing blocks demand.
    demand: u32,
    blocks: HashMap<BlockKey, Block>,
}

/// The cells of one tenant. The caller keeps tenants apart: one `Cells` each.
#[derive(Debug, Clone, Default)]
pub struct Cells {
    limits: CellLimits,
    by_key: BTreeMap<CellKey, Cell>,
    dirty: IdSet<CellKey>,
    /// Keys from and to which cells were folded since they were asked for.
    folded: BTreeSet<CellKey>,
    services: BTreeMap<Id, Service>,
    service_level: u8,
    halvings: u8,
}

impl PartialEq for Cells {
    /// Equal limits and equal cells; what is still to be stored does not count.
    fn eq(&self, other: &Self) -> bool {
        self.limits == other.limits && self.by_key == other.by_key
    }
}

impl Cells {
    /// No cells.
    pub fn new(limits: CellLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Cells as they were stored. Not dirty, unless `limits` are tighter than those under which they were stored and
    /// something had to be folded.
    pub fn restore(limits: CellLimits, stored: impl IntoIterator<Item = (CellKey, Cell)>) -> Self {
        let mut restored = Self { limits, by_key: stored.into_iter().collect(), ..Self::default() };
        restored.recount();
        restored.fit_all();
        restored
    }

    /// Counts an event; gives the key of the cell where it landed.
    pub fn add(&mut self, event: &Observation<'_>) -> CellKey {
        // An exact cell that exists stands for itself, whatever the levels are.
        if let Some(cell) = self.by_key.get_mut(&event.cell) {
            cell.add(event);
            self.dirty.insert(event.cell);
            return event.cell;
        }
        let key = self.resolve(&event.cell);
        self.dirty.insert(key);
        match self.by_key.entry(key) {
            Entry::Occupied(mut cell) => {
                cell.get_mut().add(event);
                key
            }
            Entry::Vacant(vacant) => {
                let cell = vacant.insert(Cell::default());
                cell.add(event);
                self.settle(key);
                self.resolve(&event.cell)
            }
        }
    }

    /// Adds all cells of another collection of the same tenant.
    pub fn merge(&mut self, other: &Self) {
        for (key, cell) in &other.by_key {
            self.absorb(*key, cell);
        }
    }

    /// Adds one cell under its key, as from a worker's delta; gives the key of the cell where it landed.
    pub fn absorb(&mut self, key: CellKey, cell: &Cell) -> CellKey {
        if is_overflow(&key) {
            self.raise(key, cell.fold);
        }
        let landed = self.resolve(&key);
        self.dirty.insert(landed);
        let fresh = !self.by_key.contains_key(&landed);
        let target = self.by_key.entry(landed).or_default();
        let fold = target.fold;
        target.merge(cell);
        // The levels of a cell that was folded on its way are not the levels of the cell that took it in.
        target.fold = fold;
        // Raising a level folds cells, maybe into this very one, and so changes demands even where no cell is new.
        if fresh || is_overflow(&key) {
            self.settle(landed);
        }
        self.resolve(&key)
    }

    /// The key under which an event with this key is counted now: its own, or that of the overflow cell of its block,
    /// its service or the tenant.
    pub fn resolve(&self, key: &CellKey) -> CellKey {
        let service = self.services.get(&key.service);
        if key.service == OVERFLOW_ID || !stands(key.service.0, self.service_level) {
            let shape = if key.service == OVERFLOW_ID { key.shape } else { overflow_shape(u128::from(key.service.0)) };
            return CellKey { service: OVERFLOW_ID, site: OVERFLOW_ID, route: OVERFLOW_ID, shape, ..*key };
        }
        let Some(service) = service else { return *key };
        if key.site == OVERFLOW_ID {
            return *key;
        }
        let hash = block_hash(key.site, key.route);
        if !stands(hash, service.level) {
            return CellKey { site: OVERFLOW_ID, route: OVERFLOW_ID, shape: overflow_shape(u128::from(hash)), ..*key };
        }
        match service.blocks.get(&(key.site, key.route)) {
            Some(block) if !is_overflow(key) && !shape_stands(key.shape, block.level) => {
                CellKey { shape: overflow_shape(key.shape.0), ..*key }
            }
            _ => *key,
        }
    }

    /// Forgets the cells that weigh next to nothing on both horizons and have been silent for 48 hours (see
    /// [`CellLimits`]). Gives the forgotten keys, ascending.
    pub fn forget(&mut self, now: Millis) -> Vec<CellKey> {
        let limits = self.limits;
        let faded = |cell: &Cell| {
            now.since(cell.last) > limits.forget_after_ms
                && limits.half_lives_ms.iter().all(|half| cell.minutes.weight(now, *half) < FORGOTTEN_WEIGHT)
        };
        let gone: Vec<CellKey> = self.by_key.iter().filter(|(_, cell)| faded(cell)).map(|(key, _)| *key).collect();
        for key in &gone {
            self.by_key.remove(key);
            self.dirty.insert(*key);
        }
        if !gone.is_empty() {
            self.recount();
            self.fit_all();
        }
        gone
    }

    /// Takes note that everything is stored: the keys that changed since the last call, ascending, each with its cell,
    /// or `None` where the cell is gone.
    pub fn take_dirty(&mut self) -> impl ExactSizeIterator<Item = (CellKey, Option<&Cell>)> {
        let mut keys: Vec<CellKey> = std::mem::take(&mut self.dirty).into_iter().collect();
        keys.sort_unstable();
        let cells = &self.by_key;
        keys.into_iter().map(move |key| (key, cells.get(&key)))
    }

    /// The keys that were folded, or took a folded cell in, since the last call.
    pub fn take_folded(&mut self) -> BTreeSet<CellKey> {
        std::mem::take(&mut self.folded)
    }

    /// All cells by ascending key.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&CellKey, &Cell)> {
        self.by_key.iter()
    }

    /// The cell under exactly this key.
    pub fn get(&self, key: &CellKey) -> Option<&Cell> {
        self.by_key.get(key)
    }

    /// Number of cells.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether there is no cell.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// Takes over the levels of an overflow cell that comes from elsewhere.
    fn raise(&mut self, key: CellKey, fold: Fold) {
        if key.service == OVERFLOW_ID {
            self.raise_services(key.tenant, fold.level);
            self.halve(key.tenant, fold.halvings);
        } else if key.site == OVERFLOW_ID {
            self.halve(key.tenant, fold.halvings);
            if stands(key.service.0, self.service_level) {
                self.services.entry(key.service).or_default();
                self.raise_blocks(key, fold.level);
            }
        } else if self.resolve(&key) == key {
            self.services.entry(key.service).or_default().blocks.entry((key.site, key.route)).or_default();
            self.raise_shapes(key, fold.level);
        }
    }

    /// Books a cell that has just come into being, and folds until all bounds hold again.
    fn settle(&mut self, key: CellKey) {
        self.book(&key);
        self.stamp(&key);
        self.fit_block(key);
        self.fit_tenant(key.tenant);
    }

    /// Counts a cell in its block and service.
    fn book(&mut self, key: &CellKey) {
        if key.service == OVERFLOW_ID {
            return;
        }
        let service = self.services.entry(key.service).or_default();
        if key.site == OVERFLOW_ID {
            return;
        }
        let block = service.blocks.entry((key.site, key.route)).or_default();
        let before = block.demand(&self.limits);
        if !is_overflow(key) {
            block.n_shapes = block.n_shapes.saturating_add(1);
        }
        let after = block.demand(&self.limits);
        service.demand = service.demand.saturating_sub(before).saturating_add(after);
    }

    fn fit_block(&mut self, key: CellKey) {
        let n_max = self.limits.shapes_per_block_max.max(1);
        // At level 128 only the shape 0 stands.
        while let Some(block) = self.block(&key).filter(|b| b.n_shapes > n_max && b.level < 128) {
            self.raise_shapes(key, block.level.saturating_add(1));
        }
    }

    fn fit_tenant(&mut self, tenant: Id) {
        while self.services.len() > self.limits.services_max() && self.service_level < 64 {
            self.raise_services(tenant, self.service_level.saturating_add(1));
        }
        // More services than shares: each has the smallest one, however many stand now.
        while self.limits.share(self.halvings) > self.limits.block_max()
            && (self.service_level > 0 || self.demand() > u64::from(self.limits.cells_per_tenant_max))
        {
            self.halve(tenant, self.halvings.saturating_add(1));
        }
        self.fit_services(tenant);
    }

    fn fit_services(&mut self, tenant: Id) {
        let share = self.limits.share(self.halvings);
        let over: Vec<Id> = self.services.iter().filter(|(_, s)| s.demand > share).map(|(id, _)| *id).collect();
        for service in over {
            let key = service_key(tenant, service, ShapeId(0));
            while let Some(level) =
                self.services.get(&service).filter(|s| s.demand > share && s.level < 64).map(|s| s.level)
            {
                self.raise_blocks(key, level.saturating_add(1));
            }
        }
    }

    /// What all services demand of the tenant's bound.
    fn demand(&self) -> u64 {
        let share = self.limits.share(self.halvings);
        self.services.values().map(|s| u64::from(if s.level > 0 { share } else { s.demand.min(share) })).sum()
    }

    fn block(&self, key: &CellKey) -> Option<Block> {
        self.services.get(&key.service)?.blocks.get(&(key.site, key.route)).copied()
    }

    /// Raises the level of a block's shapes and folds those that no longer stand.
    fn raise_shapes(&mut self, key: CellKey, level: u8) {
        let limits = self.limits;
        let Some(service) = self.services.get_mut(&key.service) else { return };
        let Some(block) = service.blocks.get_mut(&(key.site, key.route)).filter(|b| b.level < level) else { return };
        let before = block.demand(&limits);
        block.level = level;
        let range = CellKey { shape: ShapeId(0), ..key }..=CellKey { shape: ShapeId(u128::MAX), ..key };
        let exact = self.by_key.range(range).map(|(k, _)| *k).filter(|k| !is_overflow(k));
        let (standing, folded): (Vec<_>, Vec<_>) = exact.partition(|k| shape_stands(k.shape, level));
        block.n_shapes = u32::try_from(standing.len()).unwrap_or(u32::MAX);
        service.demand = service.demand.saturating_sub(before).saturating_add(block.demand(&limits));
        self.fold(&folded);
        self.stamp_range(CellKey { shape: overflow_shape(0), ..key }..=CellKey { shape: overflow_shape(15), ..key });
    }

    /// Raises the level of a service's blocks and folds those that no longer stand.
    fn raise_blocks(&mut self, key: CellKey, level: u8) {
        let limits = self.limits;
        let Some(service) = self.services.get_mut(&key.service).filter(|s| s.level < level) else { return };
        service.level = level;
        let mut folded_blocks: Vec<BlockKey> = Vec::new();
        service.blocks.retain(|(site, route), _| {
            let stays = stands(block_hash(*site, *route), level);
            if !stays {
                folded_blocks.push((*site, *route));
            }
            stays
        });
        service.demand = service.blocks.values().fold(0, |sum, b| sum.saturating_add(b.demand(&limits)));
        let mut folded: Vec<CellKey> = Vec::new();
        for (site, route) in folded_blocks {
            let low = CellKey { site, route, shape: ShapeId(0), ..key };
            folded.extend(self.by_key.range(low..=CellKey { shape: ShapeId(u128::MAX), ..low }).map(|(k, _)| *k));
        }
        self.fold(&folded);
        self.stamp_service(key.tenant, key.service);
    }

    /// Raises the level of the tenant's services and folds those that no longer stand.
    fn raise_services(&mut self, tenant: Id, level: u8) {
        if level <= self.service_level {
            return;
        }
        self.service_level = level;
        self.services.retain(|service, _| stands(service.0, level));
        let folded: Vec<CellKey> =
            self.by_key.keys().filter(|k| k.service != OVERFLOW_ID && !stands(k.service.0, level)).copied().collect();
        self.fold(&folded);
        self.stamp_service(tenant, OVERFLOW_ID);
    }

    /// Halves the share of a service until it was halved so often.
    fn halve(&mut self, tenant: Id, halvings: u8) {
        if halvings <= self.halvings {
            return;
        }
        self.halvings = halvings;
        self.fit_services(tenant);
        let mut services: Vec<Id> = self.services.keys().copied().collect();
        services.push(OVERFLOW_ID);
        for service in services {
            self.stamp_service(tenant, service);
        }
    }

    /// Moves cells to where their keys resolve now.
    fn fold(&mut self, keys: &[CellKey]) {
        for key in keys {
            let target = self.resolve(key);
            if target == *key {
                continue;
            }
            if let Some(cell) = self.by_key.remove(key) {
                self.dirty.insert(*key);
                self.dirty.insert(target);
                self.folded.extend([*key, target]);
                let into = self.by_key.entry(target).or_default();
                let fold = into.fold;
                into.merge(&cell);
                into.fold = fold;
                self.stamp(&target);
            }
        }
    }

    fn stamp_service(&mut self, tenant: Id, service: Id) {
        let low = service_key(tenant, service, overflow_shape(0));
        self.stamp_range(low..=CellKey { shape: overflow_shape(15), ..low });
    }

    fn stamp_range(&mut self, range: std::ops::RangeInclusive<CellKey>) {
        let keys: Vec<CellKey> = self.by_key.range(range).map(|(k, _)| *k).collect();
        for key in keys {
            self.stamp(&key);
        }
    }

    /// Writes the present levels into an overflow cell.
    fn stamp(&mut self, key: &CellKey) {
        if !is_overflow(key) {
            return;
        }
        let service_level = self.services.get(&key.service).map_or(0, |s| s.level);
        let now = if key.service == OVERFLOW_ID {
            Fold { level: self.service_level, halvings: self.halvings }
        } else if key.site == OVERFLOW_ID {
            Fold { level: service_level, halvings: self.halvings }
        } else {
            Fold { level: self.block(key).map_or(0, |b| b.level), halvings: 0 }
        };
        if let Some(cell) = self.by_key.get_mut(key).filter(|cell| cell.fold != now) {
            cell.fold = now;
            self.dirty.insert(*key);
        }
    }

    /// Works out all levels and counts from the cells alone.
    fn recount(&mut self) {
        self.services.clear();
        (self.service_level, self.halvings) = (0, 0);
        for (key, cell) in self.by_key.iter().filter(|(key, _)| is_overflow(key)) {
            self.halvings = self.halvings.max(cell.fold.halvings);
            if key.service == OVERFLOW_ID {
                self.service_level = self.service_level.max(cell.fold.level);
                continue;
            }
            let service = self.services.entry(key.service).or_default();
            if key.site == OVERFLOW_ID {
                service.level = service.level.max(cell.fold.level);
            } else {
                let block = service.blocks.entry((key.site, key.route)).or_default();
                block.level = block.level.max(cell.fold.level);
            }
        }
        for service in self.services.values_mut() {
            service.demand = service.blocks.values().fold(0, |sum, b| sum.saturating_add(b.demand(&self.limits)));
        }
        let keys: Vec<CellKey> = self.by_key.keys().copied().collect();
        for key in keys {
            self.book(&key);
        }
    }

    fn fit_all(&mut self) {
        let blocks: BTreeSet<CellKey> = self.by_key.keys().map(|k| CellKey { shape: ShapeId(0), ..*k }).collect();
        for key in &blocks {
            self.fit_block(*key);
        }
        if let Some(key) = blocks.first() {
            self.fit_tenant(key.tenant);
        }
        let overflow: Vec<CellKey> = self.by_key.keys().filter(|k| is_overflow(k)).copied().collect();
        for key in overflow {
            self.stamp(&key);
        }
    }
}

fn service_key(tenant: Id, service: Id, shape: ShapeId) -> CellKey {
    CellKey { tenant, service, site: OVERFLOW_ID, route: OVERFLOW_ID, shape }
}

#[cfg(test)]
mod tests;
