//! Rows into clusters: which cells belong together.
//!
//! Reads rows that the caller made from the cells of one tenant, each without what its suspects sent; gives, for every
//! row, the component that it is in. Two rows are near when they have the same site and route and shapes alike (see
//! [`Metric`]): one fault, however many meet it. Suspects are no part of this: they are joined as senders, by [`hands`],
//! whatever cells they touched.
//!
//! Who sent a row joins nothing. A second view that joined rows with the same few senders chained whole services to one
//! cluster, since every customer with two faults is a link; without it the agreement with what really caused the panics
//! (adjusted mutual information) rose from .78 to .86 and from .78 to .80 on two labelled sets and fell from .85 to .82 on a
//! third, where one client's faults on several routes are several clusters now. Nobody can lay a bridge between two faults
//! by sending both.
//!
//! linfa's DBSCAN with `min_points = 2` finds the connected components of that graph, which do not depend on the order of
//! the rows; an index of our own ([`index`]) gives it neighbourhoods that are thinned but keep every component whole.
//! linfa's `BallTree` is never used: duplicate rows make it recurse until the stack is gone.
//!
//! Bounds: [`ROWS_MAX`] rows. Cost: one look at each pair of distinct shapes of one site and route.
//! [`components`] validates and does not panic; a caller that wants to survive a fault in linfa all the same wraps it in
//! `catch_unwind` and falls back to [`exact_components`].

pub mod hands;
pub mod identity;
pub mod index;
pub mod model;

use std::collections::{BTreeMap, HashSet};

use linfa::Float;
use linfa::traits::Transformer;
use linfa_clustering::Dbscan;
use linfa_nn::distance::Distance;
use ndarray::{Array2, ArrayView, Dimension};
use serde::{Deserialize, Serialize};

pub use self::model::ClusteringModel;

use super::cells::OVERFLOW_ID;
use super::event::Id;
use super::fingerprint::Sketch;
use super::observation::{Actor, CellKey};
use index::BlockIndex;

/// Rows of one call: four times what one tenant's cells can make, carved in two.
pub const ROWS_MAX: usize = 65_536;
/// A distance that joins nothing.
const APART: f64 = 2.0;
/// Slots of a sketch.
const SLOTS: usize = 64;

/// What a cluster is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RowKey {
    /// A cell, without what suspects sent into it.
    Cell(CellKey),
    /// A sender that the judge suspects, with all that it sent: the tenant's id, and its own.
    Sender(Id, Actor),
}

impl RowKey {
    /// The cell, where it is one.
    pub fn cell(&self) -> Option<&CellKey> {
        match self {
            Self::Cell(cell) => Some(cell),
            Self::Sender(..) => None,
        }
    }

    /// The suspect, where it is one.
    pub fn sender(&self) -> Option<&Actor> {
        match self {
            Self::Cell(_) => None,
            Self::Sender(_, actor) => Some(actor),
        }
    }
}

/// One row: a cell without the suspects' share.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Its name; no two rows of a call share it.
    pub key: CellKey,
    /// Shape.
    pub sketch: Sketch,
}

/// Why rows could not be clustered.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ClusterError {
    /// Too many rows.
    #[error("{n_rows} rows to cluster, at most {ROWS_MAX} are possible: lower the cap on cells")]
    TooManyRows {
        /// Rows given.
        n_rows: usize,
    },
    /// Two rows of one name.
    #[error("row {row} of the clustering has the same key as an earlier one")]
    RepeatedKey {
        /// Position of the second one.
        row: usize,
    },
    /// linfa refused the parameters.
    #[error("linfa refused to cluster: {0}")]
    Linfa(String),
}

/// The distance of rows: `.7 · (1 − shape similarity)`, the factor being the model's.
///
/// Rows of different tenants, services, panic sites or routes are [`APART`], and so are overflow rows of a service, whose
/// sites are unknown. The feature matrix has one column, the number of the row, and the distance looks the row up: ids stay whole (a
/// 64-bit id is no `f64`), and a sketch is compared in one go. A matrix of numbers from 0 to 65,535 has no NaN and no
/// rounding. It borrows the rows, which linfa's traits allow, so nothing is copied or counted.
#[derive(Debug, Clone)]
pub struct Metric<'r> {
    rows: &'r [Row],
    /// Shape term by number of equal slots.
    shape: [f64; SLOTS + 1],
}

impl<'r> Metric<'r> {
    /// The metric over these rows.
    pub fn new(model: &ClusteringModel, rows: &'r [Row]) -> Self {
        // One-byte slots agree by chance once in 256: the estimate takes that out (b-bit minwise hashing, Li and
        // König 2010).
        const CHANCE: f64 = 1.0 / 256.0;
        let mut shape = [0.0; SLOTS + 1];
        let mut agreement = 0.0;
        for term in &mut shape {
            let similarity: f64 = (agreement - CHANCE) / (1.0 - CHANCE);
            *term = model.shape_weight * (1.0 - similarity.max(0.0));
            agreement += 1.0 / 64.0;
        }
        Self { rows, shape }
    }

    /// The distance of two rows by number; [`APART`] for a number that is no row.
    pub fn between(&self, a: usize, b: usize) -> f64 {
        let (Some(a), Some(b)) = (self.rows.get(a), self.rows.get(b)) else { return APART };
        if a.key.block() != b.key.block() || a.key.site == OVERFLOW_ID {
            return APART;
        }
        // Bytes summed as bytes: 64 at most, and the compiler compares many at once.
        let equal: u8 = a.sketch.0.iter().zip(&b.sketch.0).map(|(x, y)| u8::from(x == y)).sum();
        self.shape.get(usize::from(equal)).copied().unwrap_or(APART)
    }
}

impl<F: Float> Distance<F> for Metric<'_> {
    fn distance<D: Dimension>(&self, a: ArrayView<F, D>, b: ArrayView<F, D>) -> F {
        let number = |view: ArrayView<F, D>| view.first().and_then(F::to_usize).unwrap_or(usize::MAX);
        F::cast(self.between(number(a), number(b)))
    }
}

/// For every row the position of the row with the smallest key in its component; a row that is near to none is its own
/// component. Independent of the order of the rows (but for the positions themselves). No rows give no labels.
pub fn components(model: &ClusteringModel, rows: &[Row]) -> Result<Vec<usize>, ClusterError> {
    validate(rows)?;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let metric = Metric::new(model, rows);
    let index = BlockIndex::new(rows, model.eps);
    let numbers = (0_u32..).take(rows.len()).map(f64::from).collect();
    let matrix: Array2<f64> =
        Array2::from_shape_vec((rows.len(), 1), numbers).map_err(|error| ClusterError::Linfa(error.to_string()))?;
    let found = Dbscan::params_with(2, metric, index)
        .tolerance(model.eps)
        .transform(&matrix)
        .map_err(|error| ClusterError::Linfa(error.to_string()))?;
    Ok(canonical(rows, found.iter().copied()))
}

/// The clustering that needs no distance: rows with the same service, site and route are one component.
/// Labels as from [`components`].
pub fn exact_components(rows: &[Row]) -> Vec<usize> {
    let mut blocks = BTreeMap::new();
    let labels: Vec<Option<usize>> = rows
        .iter()
        .map(|row| {
            let next = blocks.len();
            Some(*blocks.entry(row.key.block()).or_insert(next))
        })
        .collect();
    canonical(rows, labels.into_iter())
}

fn validate(rows: &[Row]) -> Result<(), ClusterError> {
    if rows.len() > ROWS_MAX {
        return Err(ClusterError::TooManyRows { n_rows: rows.len() });
    }
    let mut seen = HashSet::with_capacity(rows.len());
    for (position, row) in rows.iter().enumerate() {
        if !seen.insert(row.key) {
            return Err(ClusterError::RepeatedKey { row: position });
        }
    }
    Ok(())
}

/// Names every component after its smallest row.
fn canonical(rows: &[Row], labels: impl Iterator<Item = Option<usize>> + Clone) -> Vec<usize> {
    let mut smallest: BTreeMap<usize, (CellKey, usize)> = BTreeMap::new();
    for ((position, row), label) in rows.iter().enumerate().zip(labels.clone()) {
        if let Some(label) = label {
            let best = smallest.entry(label).or_insert((row.key, position));
            *best = (*best).min((row.key, position));
        }
    }
    let of = |label: usize| smallest.get(&label).map(|(_, position)| *position);
    labels.enumerate().map(|(position, label)| label.and_then(of).unwrap_or(position)).collect()
}

#[cfg(test)]
mod tests;
