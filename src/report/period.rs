//! Stretches of time as they are typed: `2026-11-05T14:00:00Z`, `90m` ago, `14:00 to 15:00` as two of them.
//!
//! *Ago* counts from the end of what the ledger holds, not from the clock on the wall: a store of yesterday's replay
//! answers about yesterday. A stretch is told in whole pages of the ledger, so what is meant and what is told may differ
//! by minutes; whoever reports says which pages they were.

use std::str::FromStr;

use anyhow::{Result, bail};

use crate::pipeline::event::Millis;
use crate::pipeline::operations::ledger::{Ledger, Span};

/// A point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instant {
    /// This one.
    At(Millis),
    /// So many milliseconds before the end.
    Ago(i64),
}

impl FromStr for Instant {
    type Err = String;

    /// RFC 3339 with an offset, or a whole number with `m`, `h` or `d`.
    fn from_str(typed: &str) -> Result<Self, String> {
        let unit = |unit: char| match unit {
            'm' => Some(Millis::MINUTE),
            'h' => Some(Millis::HOUR),
            'd' => Some(Millis::DAY),
            _ => None,
        };
        let ago = typed.char_indices().next_back().and_then(|(at, last)| {
            let number: i64 = typed.get(..at)?.parse().ok().filter(|n| (1..100_000).contains(n))?;
            Some(number * unit(last)?)
        });
        let at = || Millis::parse(typed).map(Self::At);
        ago.map(Self::Ago).or_else(at).ok_or_else(|| {
            format!("{typed:?} is no time: write 2026-11-05T14:00:00Z, or how long ago, such as 90m, 6h or 7d")
        })
    }
}

/// A stretch of time; what is not said is the first or the last that the ledger holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Period {
    /// From here on.
    pub from: Option<Instant>,
    /// To here, exclusive.
    pub to: Option<Instant>,
}

impl FromStr for Period {
    type Err = String;

    /// Two points in time with `..` between them; either may be left out.
    fn from_str(typed: &str) -> Result<Self, String> {
        let (from, to) = typed.split_once("..").ok_or_else(|| {
            format!(
                "{typed:?} is no stretch of time: write FROM..TO, such as 2026-11-01T00:00:00Z..2026-11-02T00:00:00Z"
            )
        })?;
        let point = |typed: &str| if typed.is_empty() { Ok(None) } else { typed.parse().map(Some) };
        Ok(Self { from: point(from)?, to: point(to)? })
    }
}

impl Period {
    /// The pages of the ledger that cover it.
    ///
    /// # Errors
    /// A ledger without events, an end that is not after the beginning, and a stretch in which the ledger has nothing
    /// because it lies before or after all that it holds.
    pub fn resolve(self, ledger: &Ledger) -> Result<Span> {
        let Some(all) = ledger.extent() else {
            bail!("the store has no events to report on yet");
        };
        let point = |instant| match instant {
            Instant::At(at) => at,
            Instant::Ago(millis) => all.to.plus(-millis),
        };
        let (from, to) = (self.from.map_or(all.from, point), self.to.map_or(all.to, point));
        if to <= from {
            bail!("the period ends at {to}, which is not after its beginning, {from}");
        }
        if to <= all.from || from >= all.to {
            bail!("nothing is known of {from} to {to}: the store holds {} to {}", all.from, all.to);
        }
        Ok(ledger.span(from, to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::operations::ledger::{Demand, Tier};
    use crate::pipeline::surfaces::ReleaseKey;

    fn ledger() -> Ledger {
        let mut ledger = Ledger::default();
        let demand = Demand { service: None, route: crate::pipeline::event::Id(1), release: ReleaseKey::Untold };
        for n in [0, 11] {
            ledger.count_requests(Millis(n * 5 * Millis::MINUTE), demand, 1).unwrap();
        }
        ledger
    }

    #[test]
    fn times_are_typed_as_dates_or_as_how_long_ago() {
        let check = |typed: &str, expected| assert_eq!(typed.parse::<Instant>().ok(), expected, "{typed}");
        check("90m", Some(Instant::Ago(90 * Millis::MINUTE)));
        check("6h", Some(Instant::Ago(6 * Millis::HOUR)));
        check("7d", Some(Instant::Ago(7 * Millis::DAY)));
        check("1970-01-01T00:00:01Z", Some(Instant::At(Millis(1_000))));
        for wrong in ["", "h", "-3h", "0h", "3", "3s", "999999999999999999999d", "1970-01-01", "3h ", "é"] {
            check(wrong, None);
        }
    }

    #[test]
    fn a_period_is_told_in_whole_pages() {
        let period: Period = "1970-01-01T00:07:00Z..1970-01-01T00:12:00Z".parse().unwrap();
        let span = period.resolve(&ledger()).unwrap();
        let minutes = |n: i64| Millis(n * Millis::MINUTE);
        assert_eq!(span, Span { from: minutes(5), to: minutes(15), tier: Tier::FiveMinutes });
        assert_eq!(Period::default().resolve(&ledger()).unwrap().to, minutes(60));
        let last = Period { from: Some(Instant::Ago(10 * Millis::MINUTE)), to: None };
        assert_eq!(last.resolve(&ledger()).unwrap().from, minutes(50));
    }

    #[test]
    fn what_cannot_be_answered_is_said() {
        let check = |typed: &str, expected: &str| {
            let error = typed.parse::<Period>().unwrap().resolve(&ledger()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check("1970-01-01T00:12:00Z..1970-01-01T00:07:00Z", "not after its beginning");
        check("1971-01-01T00:00:00Z..1971-01-02T00:00:00Z", "nothing is known");
        assert!(Period::default().resolve(&Ledger::default()).unwrap_err().to_string().contains("no events"));
        assert!("1h".parse::<Period>().unwrap_err().contains("FROM..TO"));
    }
}
