//! How sure a share, a ratio of rates or a burst is: the statistics that operations are told with their numbers.
//!
//! Takes counts, gives intervals of 95 % and probabilities; `None` where there is nothing to divide by. Pure, some
//! microseconds a call. The distributions are those of the `statrs` crate.

use serde::Serialize;
use statrs::distribution::{Beta, Binomial, ContinuousCDF, DiscreteCDF, Gamma, NegativeBinomial};

use crate::pipeline::sample::count_f64;

/// The normal deviate of a two-sided interval of 95 %.
const Z: f64 = 1.959_963_984_540_054;

/// Half of what an interval of 95 % leaves out.
const TAIL: f64 = 0.025;

/// An estimate with its interval of 95 %.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Estimate.
    pub estimate: f64,
    /// Upper end; infinite where the data set no limit (JSON: `null`).
    pub high: f64,
}

/// The share `k / n` with Wilson's score interval (Wilson 1927); `None` without cases. More than `n` counts as `n`.
pub fn share(k: u64, n: u64) -> Option<Interval> {
    if n == 0 {
        return None;
    }
    let (n_cases, hits) = (count_f64(n), count_f64(k.min(n)));
    let estimate = hits / n_cases;
    let spread = Z * Z / n_cases;
    let centre = (estimate + spread / 2.0) / (1.0 + spread);
    let half = Z / (1.0 + spread) * (estimate * (1.0 - estimate) / n_cases + spread / (4.0 * n_cases)).sqrt();
    // At the ends the formula is exact but for rounding.
    let low = if k == 0 { 0.0 } else { (centre - half).max(0.0) };
    let high = if k >= n { 1.0 } else { (centre + half).min(1.0) };
    Some(Interval { low, estimate, high })
}

/// The rate `k1 / e1` as a multiple of the rate `k0 / e0`, with the exact interval that follows from the binomial
/// distribution of `k1` given `k1 + k0` (Clopper and Pearson 1934 on the share of events; Przyborowski and Wilenski 1940
/// on the two rates). Exposures are requests or milliseconds, both of one kind. `None` without events or exposure.
pub fn rate_ratio(k1: u64, e1: u64, k0: u64, e0: u64) -> Option<Interval> {
    if k1.saturating_add(k0) == 0 || e1 == 0 || e0 == 0 {
        return None;
    }
    let (new, old) = (count_f64(k1), count_f64(k0));
    let scale = count_f64(e0) / count_f64(e1);
    let ratio = |share: f64| if share >= 1.0 { f64::INFINITY } else { share / (1.0 - share) * scale };
    let low = if k1 == 0 { 0.0 } else { ratio(Beta::new(new, old + 1.0).ok()?.inverse_cdf(TAIL)) };
    let high = if k0 == 0 { f64::INFINITY } else { ratio(Beta::new(new + 1.0, old).ok()?.inverse_cdf(1.0 - TAIL)) };
    let estimate = if k0 == 0 { f64::INFINITY } else { new / old * scale };
    Some(Interval { low, estimate, high })
}

/// The mean of a Poisson process that showed `k` events, with its exact interval (Garwood 1936).
pub fn count(k: u64) -> Interval {
    let estimate = count_f64(k);
    let quantile = |shape: f64, at: f64| Gamma::new(shape, 1.0).map_or(estimate, |gamma| gamma.inverse_cdf(at));
    let low = if k == 0 { 0.0 } else { quantile(estimate, TAIL) };
    Interval { low, estimate, high: quantile(estimate + 1.0, 1.0 - TAIL) }
}

/// The ranks (from 1) of two of `n` ordered values between which the median of what they were drawn from lies with 95 %,
/// whatever its distribution (Conover 1971); `None` below 6 values, where no two do.
pub fn median_ranks(n: u64) -> Option<(u64, u64)> {
    let heads = Binomial::new(0.5, n).ok()?;
    let below = (0..n / 2).take_while(|k| heads.cdf(*k) <= TAIL).count();
    let low = u64::try_from(below).ok().filter(|low| *low > 0)?;
    Some((low, n + 1 - low))
}

/// How likely `k` or more events are in a time of `exposure` when `k0` came in a baseline of `exposure0`: a Poisson
/// process whose rate has the gamma distribution that the baseline leaves (Jeffreys' prior, shape ½), so that a short
/// baseline makes nothing certain. 1 for no events; exposures are in one unit, and without a baseline nothing is unlikely.
pub fn burst_probability(k: u64, exposure: u64, k0: u64, exposure0: u64) -> f64 {
    let Some(before) = k.checked_sub(1) else { return 1.0 };
    if exposure == 0 || exposure0 == 0 {
        return 1.0;
    }
    let (now, then) = (count_f64(exposure), count_f64(exposure0));
    NegativeBinomial::new(count_f64(k0) + 0.5, then / (then + now)).map_or(1.0, |predicted| predicted.sf(before))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(found: Option<Interval>, low: f64, estimate: f64, high: f64) {
        let Interval { low: a, estimate: b, high: c } = found.unwrap();
        let near = |x: f64, y: f64| (x - y).abs() <= 5e-4 * y.abs().max(1.0) || (x.is_infinite() && y.is_infinite());
        assert!(near(a, low) && near(b, estimate) && near(c, high), "{found:?}");
    }

    #[test]
    fn a_share_has_the_interval_of_wilson() {
        check(share(8, 10), 0.4902, 0.8, 0.9433);
        check(share(10, 100), 0.0552, 0.1, 0.1744);
        check(share(0, 10), 0.0, 0.0, 0.2775);
        check(share(10, 10), 0.7225, 1.0, 1.0);
        assert_eq!(share(0, 0), None);
    }

    #[test]
    fn a_ratio_of_rates_has_the_exact_interval() {
        // From the interval of Clopper and Pearson for 8 of 10: 0.4439 to 0.9748.
        check(rate_ratio(8, 100, 2, 100), 0.7983, 4.0, 38.67);
        check(rate_ratio(8, 200, 2, 100), 0.3991, 2.0, 19.33);
        check(rate_ratio(0, 100, 3, 100), 0.0, 0.0, 2.4200);
        check(rate_ratio(5, 100, 0, 100), 0.9165, f64::INFINITY, f64::INFINITY);
        assert_eq!(rate_ratio(0, 100, 0, 100), None);
        assert_eq!(rate_ratio(1, 0, 1, 100), None);
    }

    #[test]
    fn a_count_has_the_interval_of_garwood() {
        let check = |k, low, high| check(Some(count(k)), low, count_f64(k), high);
        check(0, 0.0, 3.6889);
        check(1, 0.0253, 5.5716);
        check(10, 4.7954, 18.3904);
        check(100, 81.3640, 121.6272);
    }

    #[test]
    fn a_median_lies_between_two_ranks() {
        for n in 0..6 {
            assert_eq!(median_ranks(n), None, "{n}");
        }
        // Conover's table.
        assert_eq!(median_ranks(6), Some((1, 6)));
        assert_eq!(median_ranks(10), Some((2, 9)));
        assert_eq!(median_ranks(20), Some((6, 15)));
        assert_eq!(median_ranks(100), Some((40, 61)));
    }

    #[test]
    fn ten_events_do_not_make_a_release_worse() {
        let found = rate_ratio(7, 1_000, 3, 1_000).unwrap();
        assert!(found.estimate > 2.0 && found.low < 1.0, "{found:?}");
    }

    #[test]
    fn a_burst_is_unlikely_by_how_much_it_exceeds_a_long_baseline() {
        assert!((burst_probability(0, 5, 100, 100) - 1.0).abs() < 1e-12);
        let usual = burst_probability(5, 5, 100, 100);
        let storm = burst_probability(60, 5, 100, 100);
        assert!((0.3..0.7).contains(&usual) && storm < 1e-12, "{usual} {storm}");
        // The same excess after a short baseline says less.
        assert!(burst_probability(30, 5, 5, 5) > 1e3 * burst_probability(30, 5, 100, 100));
        assert!((burst_probability(9, 5, 0, 0) - 1.0).abs() < 1e-12);
        // By hand: shape ½, one unit each: P(X ≥ 1) = 1 − √½.
        assert!((burst_probability(1, 1, 0, 1) - (1.0 - 0.5_f64.sqrt())).abs() < 1e-9);
    }
}
