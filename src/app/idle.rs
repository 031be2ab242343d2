//! Up to when no further event is expected while nothing comes: what closes the last epochs of a stream that falls silent.
//!
//! The wall clock says it, less a grace for what is under way. But a wall clock can be set: forward, and epochs would be
//! closed whose events are still to come; back, and nothing would be closed until it has caught up. So each look holds it
//! against a clock that only goes on. After a step the wall clock is not believed; time then goes on from the open epoch
//! as the steady clock runs, which closes late rather than wrongly, until events and wall clock agree again.
//!
//! Pure: both clocks are passed in.

use std::time::Duration;

use crate::pipeline::event::Millis;

/// Events that are under way still find their epoch open.
const GRACE_MILLIS: i64 = Millis::MINUTE;
/// Clocks that differ by more between two looks: one of them was set. Slewing stays far below.
const STEP_MILLIS_MIN: i64 = 5 * Millis::SECOND;
/// Events this close before the wall clock confirm it.
const AGREE_MILLIS_MAX: i64 = 2 * Millis::MINUTE;

/// Two clocks at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    /// The wall clock.
    pub(super) wall: Millis,
    /// Time since some start, which only goes on.
    pub(super) steady: Duration,
}

impl Reading {
    fn steady_millis_since(self, earlier: Duration) -> i64 {
        i64::try_from(self.steady.saturating_sub(earlier).as_millis()).unwrap_or(i64::MAX)
    }
}

/// Knows the time of a stream that is silent.
#[derive(Debug, Default)]
pub(super) struct IdleClock {
    last: Option<Reading>,
    stepped: bool,
    /// The epoch of the newest events, and when they came.
    epoch: Option<(Millis, Duration)>,
}

impl IdleClock {
    /// Events came, the newest of them in the epoch that starts at `epoch`.
    pub(super) fn heard(&mut self, at: Reading, epoch: Option<Millis>) {
        if self.epoch.map(|(epoch, _)| epoch) != epoch {
            self.epoch = epoch.map(|epoch| (epoch, at.steady));
            let ago = epoch.map(|epoch| at.wall.since(epoch));
            self.stepped &= !ago.is_some_and(|ago| (0..=AGREE_MILLIS_MAX).contains(&ago));
        }
    }

    /// Takes a look. By how many milliseconds the wall clock was set since the last look, if it was.
    pub(super) fn look(&mut self, at: Reading) -> Option<i64> {
        let last = self.last.replace(at)?;
        let step = at.wall.since(last.wall).saturating_sub(at.steady_millis_since(last.steady));
        let is_step = step.saturating_abs() > STEP_MILLIS_MIN;
        self.stepped |= is_step;
        is_step.then_some(step)
    }

    /// Up to when no further event is expected, at the moment of the last look.
    pub(super) fn until(&self) -> Option<Millis> {
        let at = self.last?;
        if !self.stepped {
            return Some(at.wall.plus(-GRACE_MILLIS));
        }
        let (epoch, seen) = self.epoch?;
        Some(epoch.plus(at.steady_millis_since(seen)).plus(-GRACE_MILLIS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: i64 = 1_750_000_000_000;

    /// What is expected after looks at (wall and steady seconds since noon, epoch of the newest events), in seconds since noon.
    #[track_caller]
    fn check(looks: &[(i64, u64, Option<i64>)], steps: &[i64], until: Option<i64>) {
        let mut clock = IdleClock::default();
        let at = |secs: i64| Millis(NOON + secs * Millis::SECOND);
        let mut told = Vec::new();
        for (wall, steady, epoch) in looks {
            let reading = Reading { wall: at(*wall), steady: Duration::from_secs(*steady) };
            told.extend(clock.look(reading).map(|millis| millis / Millis::SECOND));
            clock.heard(reading, epoch.map(at));
        }
        assert_eq!(told, steps);
        assert_eq!(clock.until(), until.map(at));
    }

    #[test]
    fn a_clock_that_goes_is_believed_less_the_grace() {
        check(&[], &[], None);
        check(&[(0, 0, None)], &[], Some(-60));
        check(&[(0, 0, Some(-900)), (100, 100, Some(-900)), (204, 201, Some(-900))], &[], Some(144));
    }

    #[test]
    fn a_clock_that_is_set_forward_closes_nothing_early() {
        // A year ahead: five seconds after the epoch was seen only those have passed.
        check(&[(0, 0, Some(-10)), (31_536_005, 5, Some(-10))], &[31_536_000], Some(-65));
    }

    #[test]
    fn a_clock_that_is_set_back_closes_in_due_time_all_the_same() {
        check(&[(0, 0, Some(-10)), (-3_595, 5, Some(-10))], &[-3_600], Some(-65));
        check(&[(0, 0, Some(-10)), (-3_595, 5, Some(-10)), (-3_500, 100, Some(-10))], &[-3_600], Some(30));
    }

    #[test]
    fn a_clock_that_was_set_is_believed_again_when_events_agree_with_it() {
        // Set right after an hour behind: the next events are of now.
        check(&[(-3_600, 0, Some(-3_610)), (5, 5, Some(-3_610)), (20, 20, Some(10))], &[3_600], Some(-40));
        // Set wrong: they are not.
        check(&[(0, 0, Some(-10)), (3_605, 5, Some(-10)), (3_620, 20, Some(10))], &[3_600], Some(-50));
        check(&[(0, 0, Some(-10)), (-3_595, 5, Some(-10)), (-3_580, 20, Some(10))], &[-3_600], Some(-50));
    }

    #[test]
    fn without_an_epoch_a_clock_that_was_set_says_nothing() {
        check(&[(0, 0, None), (3_605, 5, None)], &[3_600], None);
    }
}
