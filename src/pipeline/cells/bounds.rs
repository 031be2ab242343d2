//! The bounds of a tenant's cells, and how ids are sampled under them.
//!
//! Takes limits, ids and levels; says what stands for itself and what an overflow cell is called. Pure arithmetic on
//! keyed ids; [`super`] says why this cannot be steered from outside.

use crate::pipeline::event::{Id, Millis, ShapeId};
use crate::pipeline::observation::CellKey;
use crate::pipeline::sample::mix;

/// Overflow cells of a block, of a service, of the tenant.
pub const OVERFLOW_CELLS: u32 = 16;
/// The id that stands for "several sites", "several routes", "several services". A keyed hash equals it with a
/// probability of 2^-64.
pub const OVERFLOW_ID: Id = Id(u64::from_be_bytes(*b"overflow"));

/// The bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CellLimits {
    /// Exact shapes of one (service, site, route).
    pub shapes_per_block_max: u32,
    /// Cells of a tenant, overflow cells of services and tenant (at most 16 × 103) not counted.
    pub cells_per_tenant_max: u32,
    /// Cells whose weight is below a hundredth on both horizons are forgotten this long after their last event.
    pub forget_after_ms: i64,
    /// The short and the long half-life.
    pub half_lives_ms: [i64; 2],
}

impl Default for CellLimits {
    fn default() -> Self {
        Self {
            shapes_per_block_max: 64,
            cells_per_tenant_max: 8_192,
            forget_after_ms: 48 * Millis::HOUR,
            half_lives_ms: [30 * Millis::MINUTE, Millis::DAY],
        }
    }
}

impl CellLimits {
    /// Cells that a block may come to, and what a block demands once it has folded.
    pub(super) fn block_max(&self) -> u32 {
        self.shapes_per_block_max.max(1).saturating_add(OVERFLOW_CELLS)
    }

    pub(super) fn services_max(&self) -> usize {
        usize::try_from((self.cells_per_tenant_max / self.block_max()).max(1)).unwrap_or(usize::MAX)
    }

    /// Cells that one service may have after so many halvings.
    pub(super) fn share(&self, halvings: u8) -> u32 {
        self.cells_per_tenant_max.checked_shr(u32::from(halvings)).unwrap_or(0).max(self.block_max())
    }
}

/// Whether a hash stands for itself at this level.
pub(super) fn stands(hash: u64, level: u8) -> bool {
    hash.leading_zeros() >= u32::from(level)
}

pub(super) fn shape_stands(shape: ShapeId, level: u8) -> bool {
    shape.0.leading_zeros() >= u32::from(level)
}

pub(super) fn overflow_shape(bits: u128) -> ShapeId {
    ShapeId((u128::from(OVERFLOW_ID.0) << 64) | (bits % u128::from(OVERFLOW_CELLS)))
}

/// Whether the key names an overflow cell (of a block, a service or the tenant).
pub fn is_overflow(key: &CellKey) -> bool {
    key.shape.0 >> 64 == u128::from(OVERFLOW_ID.0)
}

pub(super) fn block_hash(site: Id, route: Id) -> u64 {
    mix(site.0 ^ mix(route.0))
}
