//! From points to the probability that an alert shows: a line through log odds, learned on what the weights did not see.
//!
//! Points are log odds as the fit saw them, on the campaigns that it learned from and at their share of all events. On
//! others they say too much. [`Calibration`] maps them: log odds of the probability = `offset` + `slope` * points
//! (Platt 1999), learned by a training on campaigns that were left out, at a stated share of hostile events. More points
//! never give a smaller probability.

use serde::{Deserialize, Serialize};

/// Probabilities nearer to 0 or 1 than this are not told: no model knows so much.
const CERTAINTY: f64 = 0.001;
/// Slopes above this are no calibration: a training's points are never that much too small.
const SLOPE_MAX: f64 = 10.0;

/// The map, as it stands in a model file.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Share of hostile events at which the probabilities hold.
    pub base_rate: f64,
    /// Log odds for each point, above 0.
    pub slope: f64,
    /// Log odds at no points.
    pub offset: f64,
}

impl Calibration {
    /// What points were held for before there was a map: the logistic function of the points themselves.
    pub const NONE: Self = Self { base_rate: 0.5, slope: 1.0, offset: 0.0 };

    /// Notes what is wrong with it.
    pub(super) fn check(&self, faults: &mut Vec<String>) {
        if !(self.base_rate > 0.0 && self.base_rate < 1.0) {
            faults.push(format!("calibration.base_rate: a share between 0 and 1 is needed, found {}", self.base_rate));
        }
        if !(self.slope > 0.0 && self.slope <= SLOPE_MAX) {
            faults.push(format!(
                "calibration.slope: a number above 0, {SLOPE_MAX} at most, is needed, found {}",
                self.slope
            ));
        }
        if !(self.offset.is_finite() && self.offset.abs() <= super::POINTS_MAX) {
            let most = super::POINTS_MAX;
            faults.push(format!(
                "calibration.offset: a number between -{most} and {most} is needed, found {}",
                self.offset
            ));
        }
    }

    /// The probability that who has these points is hostile.
    pub fn probability(&self, points: f64) -> f64 {
        1.0 / (1.0 + (-(self.offset + self.slope * points)).exp())
    }

    /// The same as it is told, from 0.001 to 0.999: to three digits, so that it is the same on every machine.
    pub fn confidence(&self, points: f64) -> f64 {
        ((self.probability(points) / CERTAINTY).round() * CERTAINTY).clamp(CERTAINTY, 1.0 - CERTAINTY)
    }
}

#[cfg(test)]
mod tests;
