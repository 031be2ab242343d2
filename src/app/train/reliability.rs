//! Whether probabilities are honest: what was told beside what was true.
//!
//! Reads a probability and the truth, one event or one alert at a time; gives the reliability table, the mean squared
//! error (Brier 1950) and the mean distance of what was told from what was true over ten equal bins (expected
//! calibration error). Sets differ in how much of them is hostile, and a map holds at one share: both errors are also
//! given as if the hostile ones were that share.

use std::fmt;

/// Bins of the table.
const BINS: usize = 10;

/// One bin: those of which about the same probability is told. Honest first, then hostile.
#[derive(Debug, Clone, Copy, Default)]
struct Bin {
    n: [u32; 2],
    told: [f64; 2],
}

/// Probabilities and truths, counted.
#[derive(Debug, Clone, Default)]
pub(super) struct Reliability {
    bins: [Bin; BINS],
    squares: [f64; 2],
}

/// Brier and ECE.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Errors {
    pub(super) brier: f64,
    pub(super) ece: f64,
}

impl Reliability {
    /// Counts one.
    pub(super) fn add(&mut self, told: f64, hostile: bool) {
        let truth = if hostile { 1.0 } else { 0.0 };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "0 to 10, and the last bin is kept"
        )]
        let at = (told * 10.0) as usize;
        let kind = usize::from(hostile);
        if let Some(squares) = self.squares.get_mut(kind) {
            *squares += (told - truth) * (told - truth);
        }
        let Some(bin) = self.bins.get_mut(at.min(BINS - 1)) else { return };
        if let (Some(n), Some(sum)) = (bin.n.get_mut(kind), bin.told.get_mut(kind)) {
            *n += 1;
            *sum += told;
        }
    }

    /// How many honest and hostile ones there are.
    fn n(&self) -> [f64; 2] {
        let n = |kind: usize| self.bins.iter().filter_map(|bin| bin.n.get(kind)).sum::<u32>();
        [f64::from(n(0)), f64::from(n(1))]
    }

    /// The errors of what was counted.
    pub(super) fn errors(&self) -> Errors {
        self.weighed([1.0, 1.0])
    }

    /// The errors as if the hostile ones were this share; `None` where there are not both kinds.
    pub(super) fn errors_at(&self, share: f64) -> Option<Errors> {
        let [honest, hostile] = self.n();
        (honest > 0.0 && hostile > 0.0).then(|| self.weighed([(1.0 - share) / honest, share / hostile]))
    }

    fn weighed(&self, weights: [f64; 2]) -> Errors {
        let sum = |parts: [f64; 2]| parts.iter().zip(weights).map(|(part, weight)| part * weight).sum::<f64>();
        let all = sum(self.n());
        if all <= 0.0 {
            return Errors::default();
        }
        let distance = |bin: &Bin| (sum(bin.told) - sum([0.0, f64::from(bin.n[1])])).abs();
        Errors { brier: sum(self.squares) / all, ece: self.bins.iter().map(distance).sum::<f64>() / all }
    }
}

impl fmt::Display for Reliability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let filled = self.bins.iter().filter(|bin| bin.n != [0, 0]).map(|bin| {
            let n = bin.n.iter().sum::<u32>();
            let told = bin.told.iter().sum::<f64>() / f64::from(n);
            format!("{told:.2} told {:.2} true ({n})", f64::from(bin.n[1]) / f64::from(n))
        });
        let Errors { brier, ece } = self.errors();
        write!(f, "Brier {brier:.3}, ECE {ece:.3}: {}", filled.collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests;
