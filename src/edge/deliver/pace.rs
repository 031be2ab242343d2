//! How a lane goes on after a reading: how much to send next, and when.
//!
//! Pure: takes what became of the last request, gives the pause before the next one. Exponential back-off with full
//! jitter. The width of a request is halved when the destination is overloaded, finds a request too large or poisoned;
//! it doubles again with each request that goes through, but only grows by an eighth of its bound after an overload. The
//! window, the number of requests that may wait for their acknowledgement, is halved by an overload and grows by one
//! with each acknowledgement. Costs nothing.

use std::time::Duration;

/// A destination that asks to be left alone for longer is asked again all the same after this time.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(10);

/// So many refusals without one alert taken in between mean that the destination refuses everything, and that it is
/// not the alerts that are wrong: from then on at most one is refused a probe.
const REFUSALS_IN_A_ROW_MAX: u32 = 8;

/// Requests that may wait for their acknowledgement before the first one came.
const WINDOW_START: usize = 8;

/// At most so many wait for their acknowledgement: with 200 alerts each and 10 s until one comes, 1,280 alerts/s.
const WINDOW_MAX: usize = 64;

/// After an overload the width grows by this part of its bound.
const GENTLE_STEPS: usize = 8;

/// The times of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PaceLimits {
    /// Upper bound of the first pause.
    pub delay_min: Duration,
    /// Upper bound of every later pause.
    pub delay_max: Duration,
    /// Time between two probes of a lane on hold.
    pub hold: Duration,
}

impl Default for PaceLimits {
    /// 500 ms doubling to 60 s; a probe a minute while on hold.
    fn default() -> Self {
        Self { delay_min: Duration::from_millis(500), delay_max: Duration::from_mins(1), hold: Duration::from_mins(1) }
    }
}

/// What became of the last request, as far as the pace goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Went {
    /// Through.
    Well {
        /// The destination asks for less.
        slow_down: bool,
    },
    /// Not through; the same later.
    Badly {
        /// How long the destination asks to be left alone.
        after: Option<Duration>,
        /// Overloaded: send less.
        slow_down: bool,
    },
    /// Some alerts through, some not: go on soon, or one alert that fails for ever would hold up all others.
    InPart {
        /// Overloaded: send less.
        slow_down: bool,
    },
    /// Somebody has to change something.
    OnHold,
    /// Too large or poisoned, and more than one alert in it: send half.
    TooWide,
    /// One alert alone was refused.
    Refused,
}

/// How fast and how wide a lane sends.
#[derive(Debug, Clone)]
pub struct Pace {
    limits: PaceLimits,
    width_max: usize,
    width: usize,
    window: usize,
    /// There was an overload since the width was at its bound.
    is_gentle: bool,
    n_failures: u32,
    n_refusals: u32,
}

impl Pace {
    /// A lane that may send `width_max` alerts at once.
    pub fn new(limits: PaceLimits, width_max: usize) -> Self {
        let width_max = width_max.max(1);
        Self {
            limits,
            width_max,
            width: width_max,
            window: WINDOW_START,
            is_gentle: false,
            n_failures: 0,
            n_refusals: 0,
        }
    }

    /// How many alerts the next request may carry.
    pub fn width(&self) -> usize {
        self.width
    }

    /// How many requests may wait for their acknowledgement.
    pub fn window(&self) -> usize {
        self.window
    }

    /// An acknowledgement came.
    pub fn acknowledged(&mut self) {
        self.window = self.window.saturating_add(1).min(WINDOW_MAX);
    }

    /// The pause before the next request, after the last one `went`; `random` is any 64 random bits.
    pub fn after(&mut self, went: Went, n_sent: usize, random: u64) -> Duration {
        match went {
            Went::Well { slow_down } => {
                self.n_failures = 0;
                self.n_refusals = 0;
                if slow_down {
                    self.ease(n_sent);
                    return self.jittered(random);
                }
                self.widen();
                Duration::ZERO
            }
            Went::Badly { after, slow_down } => {
                self.n_failures = self.n_failures.saturating_add(1);
                if slow_down {
                    self.ease(n_sent);
                }
                after.unwrap_or_default().min(RETRY_AFTER_MAX).saturating_add(self.jittered(random))
            }
            Went::InPart { slow_down } => {
                self.n_failures = 1;
                self.n_refusals = 0;
                if slow_down {
                    self.ease(n_sent);
                }
                self.jittered(random)
            }
            Went::OnHold => {
                self.n_failures = self.n_failures.saturating_add(1);
                self.limits.hold
            }
            Went::TooWide => {
                self.halve(n_sent);
                Duration::ZERO
            }
            Went::Refused => {
                self.n_failures = 0;
                self.n_refusals = self.n_refusals.saturating_add(1);
                if self.refuses_everything() { self.limits.hold } else { Duration::ZERO }
            }
        }
    }

    /// Whether one alert after the other was refused and none taken.
    pub fn refuses_everything(&self) -> bool {
        self.n_refusals >= REFUSALS_IN_A_ROW_MAX
    }

    fn ease(&mut self, n_sent: usize) {
        self.halve(n_sent);
        self.is_gentle = true;
        self.window = (self.window / 2).max(1);
    }

    fn widen(&mut self) {
        let more = if self.is_gentle { (self.width_max / GENTLE_STEPS).max(1) } else { self.width };
        self.width = self.width.saturating_add(more).min(self.width_max);
        self.is_gentle &= self.width < self.width_max;
    }

    fn halve(&mut self, n_sent: usize) {
        self.width = (n_sent.min(self.width) / 2).max(1);
    }

    /// Anything from nothing to the bound that doubles with each failure (full jitter: lanes that failed together do
    /// not come back together).
    fn jittered(&self, random: u64) -> Duration {
        let doublings = self.n_failures.saturating_sub(1).min(31);
        let bound = self.limits.delay_min.saturating_mul(1 << doublings).min(self.limits.delay_max);
        let bound_ms = u64::try_from(bound.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(random % bound_ms.saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: PaceLimits = PaceLimits {
        delay_min: Duration::from_millis(100),
        delay_max: Duration::from_secs(1),
        hold: Duration::from_mins(1),
    };

    const BADLY: Went = Went::Badly { after: None, slow_down: false };
    const WELL: Went = Went::Well { slow_down: false };

    /// Feeds outcomes with the random bits that give the longest pause; expects pauses in ms and the width at the end.
    #[track_caller]
    fn check(outcomes: &[(Went, u64, u64)], width: usize) {
        let mut pace = Pace::new(LIMITS, 8);
        for (step, (went, random, pause_ms)) in outcomes.iter().enumerate() {
            let n_sent = pace.width();
            assert_eq!(pace.after(*went, n_sent, *random).as_millis(), u128::from(*pause_ms), "step {step}");
        }
        assert_eq!(pace.width(), width);
    }

    #[test]
    fn pauses_double_up_to_their_bound_and_start_again_after_a_success() {
        check(&[(BADLY, 100, 100), (BADLY, 200, 200), (BADLY, 400, 400), (BADLY, 800, 800), (BADLY, 1_000, 1_000)], 8);
        check(&[(BADLY, 100, 100), (BADLY, 200, 200), (WELL, 5, 0), (BADLY, 100, 100)], 8);
    }

    #[test]
    fn jitter_is_anything_from_nothing_to_the_bound() {
        check(&[(BADLY, 0, 0)], 8);
        check(&[(BADLY, 101, 0)], 8);
        check(&[(BADLY, u64::MAX, u64::MAX % 101)], 8);
    }

    #[test]
    fn a_wish_to_be_left_alone_is_respected_within_reason() {
        let wish = |secs| Went::Badly { after: Some(Duration::from_secs(secs)), slow_down: false };
        check(&[(wish(7), 50, 7_050)], 8);
        check(&[(wish(u64::MAX), 50, 600_050)], 8);
    }

    #[test]
    fn width_halves_under_load_and_doubles_with_success() {
        check(&[(Went::TooWide, 0, 0)], 4);
        check(&[(Went::TooWide, 0, 0); 9], 1);
        check(&[(Went::TooWide, 0, 0), (WELL, 0, 0), (WELL, 0, 0), (WELL, 0, 0)], 8);
        check(&[(Went::Badly { after: None, slow_down: true }, 0, 0)], 4);
        check(&[(Went::Well { slow_down: true }, 42, 42)], 4);
    }

    #[test]
    fn after_an_overload_width_and_window_grow_step_by_step() {
        let mut pace = Pace::new(LIMITS, 80);
        let overload = Went::Badly { after: None, slow_down: true };
        assert_eq!((pace.width(), pace.window()), (80, 8));
        pace.after(overload, 80, 0);
        pace.after(overload, 40, 0);
        assert_eq!((pace.width(), pace.window()), (20, 2));
        pace.after(WELL, 20, 0);
        pace.acknowledged();
        assert_eq!((pace.width(), pace.window()), (30, 3));
        for _ in 0..100 {
            pace.after(WELL, 1, 0);
            pace.acknowledged();
        }
        assert_eq!((pace.width(), pace.window()), (80, 64));
        pace.after(Went::TooWide, 80, 0);
        pace.after(WELL, 40, 0);
        assert_eq!(pace.width(), 80, "what was too large was no overload");
        (0..20).for_each(|_| pace.after(overload, 1, 0).is_zero().then_some(()).unwrap());
        assert_eq!((pace.width(), pace.window()), (1, 1));
    }

    #[test]
    fn a_request_that_went_through_in_part_starts_the_pauses_again() {
        let in_part = |slow_down| Went::InPart { slow_down };
        check(&[(BADLY, 100, 100), (BADLY, 200, 200), (in_part(false), 100, 100), (in_part(false), 100, 100)], 8);
        check(&[(in_part(true), 100, 100)], 4);
    }

    #[test]
    fn a_lane_on_hold_probes_slowly() {
        check(&[(Went::OnHold, 9, 60_000), (Went::OnHold, 9, 60_000)], 8);
    }

    #[test]
    fn a_destination_that_refuses_everything_is_slowed_to_one_refusal_a_probe() {
        let mut outcomes = vec![(Went::Refused, 0, 0); 7];
        outcomes.push((Went::Refused, 0, 60_000));
        outcomes.push((Went::Refused, 0, 60_000));
        outcomes.push((WELL, 0, 0));
        outcomes.push((Went::Refused, 0, 0));
        check(&outcomes, 8);
    }
}
