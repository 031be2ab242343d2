//! Which ordinary requests are told of: one in so many, decided before anything is known of them.
//!
//! The draw is a keyed hash of a number that this process gives each request, so that nothing of its sender enters, nobody
//! outside can foresee it, and a request that panics was drawn as often as any other. (An id that the client may choose
//! would not do: who sends one id for ever is told of always or never.)

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

/// Draws requests.
#[derive(Debug)]
pub(crate) struct Draw {
    one_in: u32,
    /// Has keys of its own from the system's randomness.
    keys: RandomState,
    next: AtomicU64,
}

impl Draw {
    /// Draws one in `one_in`; none for 0.
    pub(crate) fn new(one_in: u32) -> Self {
        Self { one_in, keys: RandomState::new(), next: AtomicU64::new(0) }
    }

    /// Whether the next request is told of, should it not panic.
    pub(crate) fn next(&self) -> bool {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        // A bias of 2^-32 at most.
        self.one_in > 0 && self.keys.hash_one(number).is_multiple_of(u64::from(self.one_in))
    }

    /// What `sample_rate` says.
    pub(crate) fn one_in(&self) -> u32 {
        self.one_in
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_so_many_is_drawn_and_no_run_of_requests_is_like_another() {
        let drawn = |draw: &Draw| (0..20_000).filter(|_| draw.next()).collect::<Vec<i32>>();
        assert_eq!(drawn(&Draw::new(0)).len(), 0);
        assert_eq!(drawn(&Draw::new(1)).len(), 20_000);
        let (one, other) = (drawn(&Draw::new(20)), drawn(&Draw::new(20)));
        // Six standard deviations, 31 each.
        assert!((815..=1_185).contains(&one.len()), "{}", one.len());
        assert_ne!(one, other);
    }
}
