//! The clustering model: distance, reach, bounds and horizons, as written in `models/clustering.toml`.
//!
//! Takes the text of the file, gives the model or *all* its faults at once, each with its key and what is allowed.
//! Reads no file itself.

use serde::Deserialize;

use crate::pipeline::cells::CellLimits;
use crate::pipeline::event::Millis;
use crate::pipeline::model::{self, Faults, ModelError};

/// The file that is built in.
const BUILTIN: &str = include_str!("../../../models/clustering.toml");

/// The largest cap on the shapes of a place that a model may have. (Not more: the number of services that stand for
/// themselves is the cap on cells divided by this.)
const SHAPES_PER_BLOCK_MAX: u32 = 1_024;

/// What two rows are measured by, and how long they are remembered.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusteringModel {
    /// Name of this version, stamped on alerts.
    pub version: String,
    /// Seconds of event time between two clusterings.
    pub epoch_secs: u32,
    /// Rows join below this distance.
    pub eps: f64,
    /// Times the share of the shapes' sub-structures that differ: the distance of two rows of one site and route.
    pub shape_weight: f64,
    /// When suspects are one hand.
    pub hands: HandRules,
    /// Bounds.
    pub caps: Caps,
    /// Horizons.
    pub memory: Memory,
    /// How a cluster is recognised.
    pub identity: Identity,
}

/// When suspects are one hand.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HandRules {
    /// Minutes that may lie between two suspects at one address.
    pub address_minutes: u32,
    /// Minutes that may lie between two suspects who are one by what they do.
    pub conduct_minutes: u32,
    /// Share of the places of both together that both must have been to.
    pub alike: f64,
}

/// Bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Caps {
    /// Exact shapes of one (service, site, route).
    pub shapes_per_block: u32,
    /// Cells of one tenant.
    pub cells_per_tenant: u32,
}

/// Horizons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// Short and long half-life.
    pub half_life_minutes: [u32; 2],
    /// Silence after which a faded cell is forgotten.
    pub forget_after_hours: u32,
    /// Life of an alias.
    pub alias_hours: u32,
}

/// How a cluster is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Share of its weight that a cluster must keep together to live on.
    pub survive: f64,
    /// Share of an old cluster's weight that makes a new one a split of it.
    pub split: f64,
}

impl ClusteringModel {
    /// The model that is built in.
    ///
    /// # Errors
    /// None in a build whose tests passed: the file is embedded and tested.
    pub fn builtin() -> Result<Self, ModelError> {
        Self::parse(BUILTIN)
    }

    /// A model under which what a service kept stays as it is: no cap folds it further, whatever the service's caps were.
    ///
    /// # Errors
    /// As [`Self::builtin`].
    pub fn uncapped() -> Result<Self, ModelError> {
        let mut model = Self::builtin()?;
        model.caps.cells_per_tenant = u32::MAX;
        model.caps.shapes_per_block = SHAPES_PER_BLOCK_MAX;
        Ok(model)
    }

    /// Reads a model; names every fault of its values.
    pub fn parse(text: &str) -> Result<Self, ModelError> {
        let model: Self = model::typed(text)?;
        model.faults().into_result(Some(model))
    }

    /// Bounds for [`crate::pipeline::cells::Cells`].
    pub fn cell_limits(&self) -> CellLimits {
        CellLimits {
            shapes_per_block_max: self.caps.shapes_per_block,
            cells_per_tenant_max: self.caps.cells_per_tenant,
            forget_after_ms: i64::from(self.memory.forget_after_hours).saturating_mul(Millis::HOUR),
            half_lives_ms: self.memory.half_life_minutes.map(|m| i64::from(m).saturating_mul(Millis::MINUTE)),
        }
    }

    fn faults(&self) -> Faults {
        let (eps, caps, memory, hands) = (self.eps, &self.caps, &self.memory, &self.hands);
        let version_ok = !self.version.is_empty() && self.version.len() <= 64;
        let rules = [
            (version_ok, "version", "1 to 64 bytes"),
            ((1..=3600).contains(&self.epoch_secs), "epoch_secs", "1 to 3600"),
            (eps > 0.0 && eps <= 1.0, "eps", "above 0 and up to 1"),
            ((0.0..=1.0).contains(&self.shape_weight), "shape_weight", "0 to 1"),
            ((1..=43_200).contains(&hands.address_minutes), "hands.address_minutes", "1 to 43200"),
            ((1..=43_200).contains(&hands.conduct_minutes), "hands.conduct_minutes", "1 to 43200"),
            (hands.alike > 0.0 && hands.alike <= 1.0, "hands.alike", "above 0 and up to 1"),
            ((1..=SHAPES_PER_BLOCK_MAX).contains(&caps.shapes_per_block), "caps.shapes_per_block", "1 to 1024"),
            ((1024..=16_384).contains(&caps.cells_per_tenant), "caps.cells_per_tenant", "1024 to 16384"),
            (
                memory.half_life_minutes.iter().all(|m| (1..=43_200).contains(m)),
                "memory.half_life_minutes",
                "each 1 to 43200",
            ),
            ((1..=8_760).contains(&memory.forget_after_hours), "memory.forget_after_hours", "1 to 8760"),
            ((1..=8_760).contains(&memory.alias_hours), "memory.alias_hours", "1 to 8760"),
            ((0.5..=1.0).contains(&self.identity.survive), "identity.survive", "0.5 to 1"),
            (self.identity.split > 0.0 && self.identity.split <= 1.0, "identity.split", "above 0 and up to 1"),
        ];
        let mut faults = Faults::default();
        for (_, place, allowed) in rules.into_iter().filter(|(holds, ..)| !holds) {
            faults.add(place, allowed);
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_builtin_model_is_sound() {
        let model = ClusteringModel::builtin().unwrap();
        assert_eq!(model.cell_limits(), CellLimits::default());
        assert_eq!(model.epoch_secs, 5);
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let text = BUILTIN
            .replace("alike = 0.3", "alike = 0.0")
            .replace("shape_weight = 0.7", "shape_weight = nan")
            .replace("survive = 0.5", "survive = 0.4");
        let faults = ClusteringModel::parse(&text).unwrap_err().faults;
        assert_eq!(faults.len(), 3, "{faults:?}");
        for (fault, key) in faults.iter().zip(["shape_weight", "hands.alike", "identity.survive"]) {
            assert_eq!(fault.place, key);
        }
    }

    #[test]
    fn an_unknown_or_missing_key_is_refused() {
        for text in [BUILTIN.replace("eps =", "epsilon ="), String::new()] {
            let error = ClusteringModel::parse(&text).unwrap_err();
            assert!(error.faults.iter().all(|fault| fault.place == "the whole text"), "{error}");
        }
    }
}
