//! Who may be near a row: an exact index for connected components, made for hostile rows.
//!
//! Takes rows, gives linfa neighbourhoods that are *thinned*: not every pair within reach is named, but every component
//! stays whole, which is all that `min_points = 2` uses (wrong for any other `min_points`). Every candidate is
//! filtered by the real distance, so no edge is ever invented. Two kinds of edges, each a cover of one view:
//!
//! * **Structure**: rows of one (tenant, service, site, route). Rows with the same sketch hang on the first of
//!   them, and only those firsts are compared pair by pair: quadratic in the block's distinct shapes, of which
//!   [`crate::pipeline::cells`] allows 80.
//! * **Actors**: rows with the same set of actors hang on the first of them. Two different sets that are near share a
//!   subset `I` which each reaches by leaving out at most 2 of its at most 8 actors: `(a + b) / (|I| + a + b) < eps`
//!   needs `a < 8 · eps < 3`. Under each such subset, all sets hang on the one that leaves out fewest: it is near to
//!   every set that is near to any other under that subset, since leaving out less only brings sets nearer. So each
//!   set has at most 37 edges, whatever the others are, and popular actors cost nothing extra.
//!
//! Subsets are told apart by a 64-bit hash of keyed ids; among the 300,000 of the worst case two collide with a
//! probability of some 2^-29, and a collision can only lose an edge between them.

use std::collections::HashMap;

use linfa::Float;
use linfa_nn::distance::Distance;
use linfa_nn::{BuildError, NearestNeighbour, NearestNeighbourIndex, NnError};
use ndarray::{ArrayBase, ArrayView1, ArrayView2, Data, Ix2};

use super::{OVERFLOW_ID, Row};
use crate::pipeline::event::Id;
use crate::pipeline::fingerprint::Sketch;
use crate::pipeline::sample::mix;

/// Largest set of actors for which the index is exact, hence the largest gate.
pub const ACTORS_MAX: usize = 8;
/// Largest eps for which the index is exact: a set of 8 must need no more than 2 left out (8 · eps ≤ 3).
pub const EPS_MAX: f64 = 0.375;

/// Candidates for every row.
#[derive(Debug, Clone)]
pub struct StarIndex {
    /// Edges of the actor view, both ways.
    stars: Vec<Vec<u32>>,
    /// The block of each row, if it takes part in the structure view.
    block_of: Vec<Option<u32>>,
    /// The first row with the same sketch in the same block; itself for firsts and rows without a block.
    first_of: Vec<u32>,
    /// By first: the other rows of its sketch.
    twins: HashMap<u32, Vec<u32>>,
    /// By block: the firsts.
    firsts: Vec<Vec<u32>>,
    /// Distance from which on rows are not near.
    eps: f64,
}

impl StarIndex {
    /// Works out the candidates of all rows. Some 40 steps and one sort a row; exact for `eps` up to [`EPS_MAX`] and
    /// sets of up to [`ACTORS_MAX`] (larger sets join nothing).
    pub fn new(rows: &[Row], eps: f64) -> Self {
        let mut index = Self {
            stars: vec![Vec::new(); rows.len()],
            block_of: vec![None; rows.len()],
            first_of: (0..).take(rows.len()).collect(),
            twins: HashMap::new(),
            firsts: Vec::new(),
            eps,
        };
        index.add_blocks(rows);
        let representatives = index.add_equal_sets(rows);
        index.add_near_sets(&representatives, eps);
        for edges in &mut index.stars {
            edges.sort_unstable();
            edges.dedup();
        }
        index
    }

    fn add_blocks(&mut self, rows: &[Row]) {
        let mut blocks: HashMap<(Id, Id, Id, Id), u32> = HashMap::new();
        let mut sketches: HashMap<(u32, &[u8; 64]), u32> = HashMap::new();
        for (number, row) in (0_u32..).zip(rows).filter(|(_, row)| row.site != OVERFLOW_ID) {
            let next = u32::try_from(self.firsts.len()).unwrap_or(u32::MAX);
            let cell = &row.key;
            let block = *blocks.entry((cell.tenant, cell.service, row.site, row.route)).or_insert_with(|| {
                self.firsts.push(Vec::new());
                next
            });
            let Sketch(slots) = &row.sketch;
            let first = *sketches.entry((block, slots)).or_insert(number);
            if let Some(slot) = self.block_of.get_mut(at(number)) {
                *slot = Some(block);
            }
            if let Some(slot) = self.first_of.get_mut(at(number)) {
                *slot = first;
            }
            if first != number {
                self.twins.entry(first).or_default().push(number);
            } else if let Some(firsts) = self.firsts.get_mut(at(block)) {
                firsts.push(number);
            }
        }
    }

    /// Ties rows of one actor set together; gives the first row of each set with a seed that keeps tenants
    /// apart.
    fn add_equal_sets<'r>(&mut self, rows: &'r [Row]) -> Vec<(u32, u64, &'r [Id])> {
        let mut firsts: HashMap<(Id, &[Id]), u32> = HashMap::new();
        let mut representatives = Vec::new();
        for (number, row) in (0_u32..).zip(rows) {
            let ids = row.actors.ids();
            if ids.is_empty() {
                continue;
            }
            let tenant = row.key.tenant;
            let first = *firsts.entry((tenant, ids)).or_insert(number);
            if first != number {
                self.tie(first, number);
            } else if ids.len() <= ACTORS_MAX {
                representatives.push((number, mix(tenant.0), ids));
            }
        }
        representatives
    }

    fn add_near_sets(&mut self, representatives: &[(u32, u64, &[Id])], eps: f64) {
        let mut n_sets: HashMap<u64, u32> = HashMap::new();
        for id in representatives.iter().flat_map(|(_, seed, ids)| ids.iter().map(|id| mix(id.0 ^ *seed))) {
            *n_sets.entry(id).or_default() += 1;
        }
        let is_shared = |hash: &u64| n_sets.get(hash).is_some_and(|n| *n > 1);
        let mut subsets: Vec<(u64, u8, u32)> = Vec::new();
        for (number, seed, ids) in representatives {
            let (n_ids, mut hashes) = (u8::try_from(ids.len()).unwrap_or(u8::MAX), [0_u64; ACTORS_MAX]);
            for (hash, id) in hashes.iter_mut().zip(*ids) {
                *hash = mix(id.0 ^ seed);
            }
            let members = hashes.get_mut(..ids.len()).unwrap_or_default();
            // Whoever is in this set alone is in no subset that it shares: those come first, and all are left out.
            members.sort_unstable_by_key(|hash| (is_shared(hash), *hash));
            let n_alone = members.iter().take_while(|hash| !is_shared(hash)).count();
            let whole = members.iter().fold(*seed, |sum, hash| sum.wrapping_add(*hash));
            let reach = |left_out: u8| f64::from(left_out) < eps * f64::from(n_ids);
            if n_alone == 0 {
                subsets.push((whole, 0, *number));
            }
            if !reach(1) || n_alone > 2 {
                continue;
            }
            for (i, one) in members.iter().enumerate().take(if n_alone == 0 { ACTORS_MAX } else { 1 }) {
                if n_alone < 2 {
                    subsets.push((whole.wrapping_sub(*one), 1, *number));
                }
                if reach(2) {
                    let rest = members.iter().skip(i + 1).take(if n_alone < 2 { ACTORS_MAX } else { 1 });
                    subsets.extend(rest.map(|two| (whole.wrapping_sub(*one).wrapping_sub(*two), 2, *number)));
                }
            }
        }
        subsets.sort_unstable();
        for same in subsets.chunk_by(|a, b| a.0 == b.0) {
            if let [(_, _, hub), others @ ..] = same {
                for (_, _, other) in others {
                    self.tie(*hub, *other);
                }
            }
        }
    }

    fn tie(&mut self, a: u32, b: u32) {
        if a == b {
            return;
        }
        for (from, to) in [(a, b), (b, a)] {
            if let Some(edges) = self.stars.get_mut(at(from)) {
                edges.push(to);
            }
        }
    }

    /// Candidates of a row: itself, those of its block, those of its stars. Some may be named twice.
    fn candidates(&self, row: usize) -> impl Iterator<Item = u32> {
        let number = u32::try_from(row).unwrap_or(u32::MAX);
        let first = self.first_of.get(row).copied().unwrap_or(number);
        let block = self.block_of.get(row).copied().flatten();
        let firsts = block.filter(|_| first == number).and_then(|block| self.firsts.get(at(block)));
        let twins = self.twins.get(&number);
        let stars = self.stars.get(row);
        std::iter::once(number)
            .chain(std::iter::once(first).filter(move |first| *first != number))
            .chain(firsts.into_iter().flatten().copied().filter(move |other| *other != number))
            .chain(twins.into_iter().flatten().copied())
            .chain(stars.into_iter().flatten().copied())
    }
}

fn at(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

impl NearestNeighbour for StarIndex {
    fn from_batch_with_leaf_size<'a, F: Float, DT: Data<Elem = F>, D: 'a + Distance<F>>(
        &self,
        batch: &'a ArrayBase<DT, Ix2>,
        _leaf_size: usize,
        dist_fn: D,
    ) -> Result<Box<dyn 'a + Send + Sync + NearestNeighbourIndex<F>>, BuildError> {
        if batch.ncols() == 0 {
            return Err(BuildError::ZeroDimension);
        }
        let mut near = vec![Vec::new(); batch.nrows()];
        for row in 0..batch.nrows() {
            for other in self.candidates(row).map(at).filter(|other| row < *other && *other < batch.nrows()) {
                let distance = dist_fn.distance(batch.row(row), batch.row(other));
                if distance < F::cast(self.eps) {
                    for (from, to) in [(row, other), (other, row)] {
                        if let Some(list) = near.get_mut(from) {
                            list.push((to, distance));
                        }
                    }
                }
            }
        }
        Ok(Box::new(Search { near, rows: batch.view(), distance: dist_fn }))
    }
}

struct Search<'a, F: Float, D> {
    /// By row: the others within the reach of the index, each pair measured once; some may be named twice.
    near: Vec<Vec<(usize, F)>>,
    rows: ArrayView2<'a, F>,
    distance: D,
}

impl<F: Float, D: Distance<F>> NearestNeighbourIndex<F> for Search<'_, F, D> {
    /// The nearest of all rows, by looking at each: the thinned neighbourhoods are not made for this. Not used by
    /// DBSCAN.
    fn k_nearest(&self, point: ArrayView1<'_, F>, k: usize) -> Result<Vec<(ArrayView1<'_, F>, usize)>, NnError> {
        if point.len() != self.rows.ncols() {
            return Err(NnError::WrongDimension);
        }
        let mut all: Vec<(F, usize)> = self
            .rows
            .rows()
            .into_iter()
            .enumerate()
            .map(|(number, row)| (self.distance.distance(point.reborrow(), row), number))
            .collect();
        all.sort_by(|(a, i), (b, j)| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal).then(i.cmp(j)));
        Ok(all.into_iter().take(k).map(|(_, number)| (self.rows.row(number), number)).collect())
    }

    /// The row itself and its near ones; `range` is the index's own eps or less.
    fn within_range(&self, point: ArrayView1<'_, F>, range: F) -> Result<Vec<(ArrayView1<'_, F>, usize)>, NnError> {
        if point.len() != self.rows.ncols() {
            return Err(NnError::WrongDimension);
        }
        let row = point.first().and_then(F::to_usize).filter(|row| *row < self.rows.nrows());
        let near = row.and_then(|row| self.near.get(row)).into_iter().flatten();
        let within = near.filter(|(_, distance)| *distance < range).map(|(other, _)| *other);
        Ok(row.into_iter().chain(within).map(|other| (self.rows.row(other), other)).collect())
    }
}
