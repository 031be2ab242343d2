//! Who may be near a row: an exact index for connected components, made for hostile rows.
//!
//! Takes rows, gives linfa neighbourhoods that are *thinned*: not every pair within reach is named, but every component
//! stays whole, which is all that `min_points = 2` uses (wrong for any other `min_points`). Every candidate is
//! filtered by the real distance, so no edge is ever invented.
//!
//! Candidates are rows of one (tenant, service, site, route): others are never near. Rows with the same sketch hang on the
//! first of them, and only those firsts are compared pair by pair: quadratic in the block's distinct shapes, of which
//! [`crate::pipeline::cells`] allows 80.

use std::collections::HashMap;

use linfa::Float;
use linfa_nn::distance::Distance;
use linfa_nn::{BuildError, NearestNeighbour, NearestNeighbourIndex, NnError};
use ndarray::{ArrayBase, ArrayView1, ArrayView2, Data, Ix2};

use super::{OVERFLOW_ID, Row};
use crate::pipeline::event::Id;
use crate::pipeline::fingerprint::Sketch;

/// Candidates for every row.
#[derive(Debug, Clone)]
pub struct BlockIndex {
    /// The block of each row; none for overflow rows.
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

impl BlockIndex {
    /// Works out the candidates of all rows: two look-ups a row.
    pub fn new(rows: &[Row], eps: f64) -> Self {
        let mut index = Self {
            block_of: vec![None; rows.len()],
            first_of: (0..).take(rows.len()).collect(),
            twins: HashMap::new(),
            firsts: Vec::new(),
            eps,
        };
        index.add_blocks(rows);
        index
    }

    fn add_blocks(&mut self, rows: &[Row]) {
        let mut blocks: HashMap<[Id; 4], u32> = HashMap::new();
        let mut sketches: HashMap<(u32, &[u8; 64]), u32> = HashMap::new();
        for (number, row) in (0_u32..).zip(rows).filter(|(_, row)| row.key.site != OVERFLOW_ID) {
            let next = u32::try_from(self.firsts.len()).unwrap_or(u32::MAX);
            let block = *blocks.entry(row.key.block()).or_insert_with(|| {
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

    /// Candidates of a row: itself and those of its block. Some may be named twice.
    fn candidates(&self, row: usize) -> impl Iterator<Item = u32> {
        let number = u32::try_from(row).unwrap_or(u32::MAX);
        let first = self.first_of.get(row).copied().unwrap_or(number);
        let block = self.block_of.get(row).copied().flatten();
        let firsts = block.filter(|_| first == number).and_then(|block| self.firsts.get(at(block)));
        let twins = self.twins.get(&number);
        std::iter::once(number)
            .chain(std::iter::once(first).filter(move |first| *first != number))
            .chain(firsts.into_iter().flatten().copied().filter(move |other| *other != number))
            .chain(twins.into_iter().flatten().copied())
    }
}

fn at(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

impl NearestNeighbour for BlockIndex {
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
