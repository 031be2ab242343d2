//! From points to probabilities: a line through log odds, learned on campaigns that the weights did not see.
//!
//! Reads the points that senders of campaigns came to under a model that was fitted without these campaigns, and what is
//! true of them; gives a [`Calibration`]. A campaign counts with the root of its events, as in the fit; hostile and honest
//! ones together weigh what [`BASE_RATE`] says, not what the sets happen to have. The slope is pulled a little towards
//! 1, so that a few campaigns that are told apart without a fault give no certainty.

use std::collections::BTreeMap;

use crate::pipeline::judge::Calibration;

/// Share of hostile events at which probabilities hold: of panics in production 1 to 5 % are hostile.
pub(super) const BASE_RATE: f64 = 0.05;
/// Least slope: points always say something.
const SLOPE_MIN: f64 = 0.05;
/// Greatest slope.
const SLOPE_MAX: f64 = 3.0;
/// Greatest distance of the offset from 0.
const OFFSET_MAX: f64 = 15.0;
/// Steps of Newton's method; it ends after less than ten.
const STEPS: usize = 50;
/// Pull of the slope towards 1, on a total weight of 1: it decides where nothing is between honest and hostile.
const PULL: f64 = 1e-3;

/// A sender of a campaign that was left out.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Held {
    /// The campaign that most of its events are of.
    pub(super) campaign: String,
    pub(super) hostile: bool,
    pub(super) n_events: u32,
    pub(super) points: f64,
}

/// One sender as it counts.
struct Counted {
    points: f64,
    truth: f64,
    weight: f64,
}

/// Learns the map; `None` unless there are senders of both kinds.
pub(super) fn learn<'h>(held: impl Iterator<Item = &'h Held> + Clone) -> Option<Calibration> {
    let counted = counted(held)?;
    let (mut slope, mut offset) = (1.0_f64, 0.0_f64);
    for _ in 0..STEPS {
        let [mut by_slope, mut by_offset] = [PULL * (slope - 1.0), 0.0];
        let [mut slopes, mut both, mut offsets] = [PULL, 0.0, 0.0];
        for Counted { points, truth, weight } in &counted {
            let probability = 1.0 / (1.0 + (-(offset + slope * points)).exp());
            let miss = weight * (probability - truth);
            let bend = weight * (probability * (1.0 - probability)).max(1e-9);
            by_slope += miss * points;
            by_offset += miss;
            slopes += bend * points * points;
            both += bend * points;
            offsets += bend;
        }
        let determinant = (slopes * offsets - both * both).max(f64::MIN_POSITIVE);
        let step = |number: f64| number.clamp(-1.0, 1.0);
        let by = [offsets * by_slope - both * by_offset, slopes * by_offset - both * by_slope];
        let [slope_step, offset_step] = by.map(|by| step(by / determinant));
        slope = (slope - slope_step).clamp(SLOPE_MIN, SLOPE_MAX);
        offset = (offset - offset_step).clamp(-OFFSET_MAX, OFFSET_MAX);
    }
    let short = |number: f64| (number * 1_000.0).round() / 1_000.0;
    Some(Calibration { base_rate: BASE_RATE, slope: short(slope), offset: short(offset) })
}

/// What each sender counts.
fn counted<'h>(held: impl Iterator<Item = &'h Held> + Clone) -> Option<Vec<Counted>> {
    let mut campaigns: BTreeMap<(bool, &str), f64> = BTreeMap::new();
    for one in held.clone() {
        *campaigns.entry((one.hostile, one.campaign.as_str())).or_default() += f64::from(one.n_events);
    }
    let of = |hostile: bool| campaigns.iter().filter(move |((kind, _), _)| *kind == hostile).map(|(_, n)| n.sqrt());
    let (honest, hostile): (f64, f64) = (of(false).sum(), of(true).sum());
    let counted = held.map(|one| {
        let events = campaigns.get(&(one.hostile, one.campaign.as_str())).copied().unwrap_or(1.0);
        let share = f64::from(one.n_events) / events.sqrt();
        let (class, truth) = if one.hostile { (BASE_RATE / hostile, 1.0) } else { ((1.0 - BASE_RATE) / honest, 0.0) };
        Counted { points: one.points, truth, weight: class * share }
    });
    (honest > 0.0 && hostile > 0.0).then(|| counted.collect())
}

#[cfg(test)]
mod tests;
