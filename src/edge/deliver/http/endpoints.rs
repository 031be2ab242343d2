//! Which of several endpoints is asked next.
//!
//! Pure: time is passed in. The endpoints stand in the operator's order of preference. The first that is well is used;
//! one that failed rests, twice as long with each failure, and is then asked again with the next request. When all of
//! them rest, the one whose rest ends first is asked all the same: how fast to go on is the lane's business. One healthy
//! endpoint is enough.

use std::time::{Duration, Instant};

/// Rest after the first failure.
const REST_MIN: Duration = Duration::from_secs(1);

/// Longest rest: so long may an endpoint that is back stay unused.
const REST_MAX: Duration = Duration::from_mins(1);

/// Health of the endpoints of one destination, by their place in the configuration.
#[derive(Debug)]
pub(super) struct Endpoints {
    rests: Vec<Rest>,
    in_use: Option<usize>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Rest {
    n_failures: u32,
    until: Option<Instant>,
}

impl Endpoints {
    /// `n` endpoints that are taken for well.
    pub(super) fn new(n: usize) -> Self {
        Self { rests: vec![Rest::default(); n], in_use: None }
    }

    /// The endpoint to ask now, none of `tried`. `None` when each was tried, or all that were not are resting and at
    /// least one was tried.
    pub(super) fn choose(&self, tried: &[usize], now: Instant) -> Option<usize> {
        let untried = || self.rests.iter().enumerate().filter(|(at, _)| !tried.contains(at));
        let well = untried().find(|(_, rest)| rest.until.is_none_or(|until| until <= now));
        let first_back = || untried().min_by_key(|(_, rest)| rest.until).filter(|_| tried.is_empty());
        well.or_else(first_back).map(|(at, _)| at)
    }

    /// An endpoint answered as it should. Returns whether another one was in use before.
    pub(super) fn is_well(&mut self, at: usize) -> bool {
        if let Some(rest) = self.rests.get_mut(at) {
            *rest = Rest::default();
        }
        self.in_use.replace(at) != Some(at)
    }

    /// An endpoint failed. Returns how long it rests.
    pub(super) fn failed(&mut self, at: usize, now: Instant) -> Duration {
        let Some(rest) = self.rests.get_mut(at) else { return Duration::ZERO };
        let doublings = rest.n_failures.min(16);
        let length = REST_MIN.saturating_mul(1 << doublings).min(REST_MAX);
        *rest = Rest { n_failures: rest.n_failures.saturating_add(1), until: now.checked_add(length) };
        length
    }

    /// The endpoint that answered last as it should.
    pub(super) fn in_use(&self) -> Option<usize> {
        self.in_use
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "an origin for times that the test makes up")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn the_first_that_is_well_is_asked() {
        let (mut endpoints, start) = (Endpoints::new(3), start());
        assert_eq!(endpoints.choose(&[], start), Some(0));
        endpoints.failed(0, start);
        assert_eq!(endpoints.choose(&[0], start), Some(1));
        assert_eq!(endpoints.choose(&[], start), Some(1));
        endpoints.failed(1, start);
        assert_eq!(endpoints.choose(&[0, 1], start), Some(2));
    }

    #[test]
    fn an_endpoint_that_failed_is_asked_again_after_its_rest_which_doubles() {
        let (mut endpoints, start) = (Endpoints::new(2), start());
        let lengths: Vec<u64> = (0..8).map(|_| endpoints.failed(0, start).as_secs()).collect();
        assert_eq!(lengths, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(endpoints.choose(&[], start + Duration::from_secs(59)), Some(1));
        assert_eq!(endpoints.choose(&[], start + REST_MAX), Some(0));
        endpoints.is_well(0);
        assert_eq!(endpoints.failed(0, start).as_secs(), 1);
    }

    #[test]
    fn when_all_rest_the_first_that_is_back_is_asked_and_only_that() {
        let (mut endpoints, start) = (Endpoints::new(3), start());
        for (at, n_failures) in [(0, 3), (1, 1), (2, 2)] {
            for _ in 0..n_failures {
                endpoints.failed(at, start);
            }
        }
        assert_eq!(endpoints.choose(&[], start), Some(1));
        assert_eq!(endpoints.choose(&[1], start), None);
        assert_eq!(Endpoints::new(1).choose(&[0], start), None);
    }

    #[test]
    fn a_change_of_the_endpoint_in_use_is_told_once() {
        let (mut endpoints, start) = (Endpoints::new(2), start());
        assert_eq!((endpoints.is_well(0), endpoints.is_well(0)), (true, false));
        endpoints.failed(0, start);
        assert_eq!((endpoints.is_well(1), endpoints.in_use()), (true, Some(1)));
    }
}
