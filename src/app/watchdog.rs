//! The stall watchdog: a source that is there, has records waiting, and decides nothing.
//!
//! Takes what is seen at a time; advises to join the group anew after a period without progress, and to end the process
//! after a second one: the orchestrator's restart is the last cure, and a silent standstill is no state to stay in. Pure:
//! time is passed in. What explains the silence (a broker or a leader that is away, another member in the group, nothing to read) is
//! no standstill and said elsewhere.

use std::time::Duration;

/// What is seen of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sight {
    /// There is nothing to do, or a known reason not to do it.
    AtRest,
    /// Partitions are ours and records wait, or nobody can say whether they do.
    Waiting,
    /// No partition is ours: that comes and goes while a group is joined, and neither begins nor ends a standstill.
    Away,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Advice {
    /// Nothing.
    GoOn,
    /// Leave the group and join it anew.
    Reassign,
    /// End the process: joining anew did not help either. For how long nothing was decided.
    GiveUp(Duration),
}

/// Watches for progress.
#[derive(Debug)]
pub(super) struct Watchdog {
    period: Duration,
    still: Option<Still>,
}

/// A time without progress.
#[derive(Debug, Clone, Copy)]
struct Still {
    since: Duration,
    n_decided: u64,
    reassigned: bool,
}

impl Watchdog {
    /// Advises after each `period` without progress.
    pub(super) fn new(period: Duration) -> Self {
        Self { period, still: None }
    }

    /// Takes a look at `at` (any clock that only goes on), when `n_decided` records have been decided in all.
    pub(super) fn look(&mut self, at: Duration, sight: Sight, n_decided: u64) -> Advice {
        let Some(still) = self.still.as_mut().filter(|still| still.n_decided == n_decided && sight != Sight::AtRest)
        else {
            let begins = sight == Sight::Waiting;
            self.still = begins.then_some(Still { since: at, n_decided, reassigned: false });
            return Advice::GoOn;
        };
        let silence = at.saturating_sub(still.since);
        if silence >= self.period.saturating_mul(2) {
            return Advice::GiveUp(silence);
        }
        if silence >= self.period && !still.reassigned {
            still.reassigned = true;
            return Advice::Reassign;
        }
        Advice::GoOn
    }

    /// For how long nothing was decided, once that is longer than a period.
    pub(super) fn still_for(&self, at: Duration) -> Option<Duration> {
        let silence = at.saturating_sub(self.still.as_ref()?.since);
        (silence >= self.period).then_some(silence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD_SECS: u64 = 100;

    /// What is advised on looks at (seconds, what is seen, records decided), without what is nothing.
    #[track_caller]
    fn check(looks: &[(u64, Sight, u64)], expected: &[(u64, Advice)]) {
        let mut watchdog = Watchdog::new(Duration::from_secs(PERIOD_SECS));
        let advised = looks.iter().map(|(at, sight, n)| (*at, watchdog.look(Duration::from_secs(*at), *sight, *n)));
        let advised: Vec<_> = advised.filter(|(_, advice)| *advice != Advice::GoOn).collect();
        assert_eq!(advised, expected);
    }

    fn give_up(secs: u64) -> Advice {
        Advice::GiveUp(Duration::from_secs(secs))
    }

    #[test]
    fn a_source_that_stands_still_is_joined_anew_once_and_then_given_up() {
        use Sight::Waiting;
        check(
            &[
                (0, Waiting, 5),
                (99, Waiting, 5),
                (100, Waiting, 5),
                (150, Waiting, 5),
                (199, Waiting, 5),
                (200, Waiting, 5),
            ],
            &[(100, Advice::Reassign), (200, give_up(200))],
        );
    }

    #[test]
    fn a_group_that_is_joined_anew_in_vain_is_given_up_all_the_same() {
        use Sight::{Away, Waiting};
        check(
            &[(0, Waiting, 5), (100, Waiting, 5), (101, Away, 5), (104, Waiting, 5), (205, Away, 5)],
            &[(100, Advice::Reassign), (205, give_up(205))],
        );
    }

    #[test]
    fn progress_starts_the_time_again() {
        use Sight::Waiting;
        check(
            &[
                (0, Waiting, 5),
                (90, Waiting, 6),
                (180, Waiting, 6),
                (190, Waiting, 6),
                (280, Waiting, 7),
                (379, Waiting, 7),
            ],
            &[(190, Advice::Reassign)],
        );
    }

    #[test]
    fn a_source_without_work_or_with_a_known_reason_never_stands_still() {
        use Sight::{AtRest, Away, Waiting};
        check(&[(0, AtRest, 0), (1_000, AtRest, 0), (2_000, Waiting, 0), (2_099, Waiting, 0)], &[]);
        check(&[(0, Away, 0), (1_000, Away, 0), (5_000, Away, 0)], &[]);
        check(&[(0, Waiting, 0), (99, AtRest, 0), (150, Waiting, 0), (249, Waiting, 0)], &[]);
    }

    #[test]
    fn how_long_it_stands_is_told_after_a_period() {
        let mut watchdog = Watchdog::new(Duration::from_secs(PERIOD_SECS));
        watchdog.look(Duration::from_secs(10), Sight::Waiting, 0);
        assert_eq!(watchdog.still_for(Duration::from_secs(109)), None);
        assert_eq!(watchdog.still_for(Duration::from_secs(110)), Some(Duration::from_secs(100)));
    }
}
