//! When a cluster's events happened: buckets, and a line of bars that shows them.
//!
//! Pure. Empty buckets between the first and the last are shown, too; no line is longer than [`BARS_MAX`].

use serde::Serialize;

use super::list::to_the_minute;
use crate::pipeline::event::Millis;
use crate::pipeline::sample::Minutes;

/// Bars of one line: an hour of minutes; two days of hours are fewer.
const BARS_MAX: i64 = 60;

/// Bars from one eighth to full.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// A bucket without events.
const NO_BAR: char = '·';

/// Events of one bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Bucket {
    /// Start of the bucket (RFC 3339).
    pub(super) at: String,
    /// Events in it.
    pub(super) events: u64,
}

/// By minute over the last hour before the newest event, by hour over the last two days; empty ones are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Timeline {
    pub(super) by_minute: Vec<Bucket>,
    pub(super) by_hour: Vec<Bucket>,
    #[serde(skip)]
    lines: Vec<String>,
}

impl Timeline {
    /// The timeline of these minutes and hours.
    pub(super) fn of(minutes: &Minutes) -> Self {
        let by_minute: Vec<(i64, u32)> = minutes.minutes().collect();
        let by_hour: Vec<(i64, u32)> = minutes.hours().collect();
        let mut lines = drawn("minute", &by_minute, Millis::MINUTE);
        if by_hour.len() > 1 {
            lines.extend(drawn("hour", &by_hour, Millis::HOUR));
        }
        Self { by_minute: buckets(&by_minute, Millis::MINUTE), by_hour: buckets(&by_hour, Millis::HOUR), lines }
    }

    /// For each of the two a line of words and a line of bars.
    pub(super) fn lines(&self) -> &[String] {
        &self.lines
    }
}

fn start(bucket: i64, length: i64) -> String {
    Millis(bucket.saturating_mul(length)).to_string()
}

fn buckets(counts: &[(i64, u32)], length: i64) -> Vec<Bucket> {
    counts.iter().map(|(at, n)| Bucket { at: start(*at, length), events: u64::from(*n) }).collect()
}

fn drawn(name: &str, counts: &[(i64, u32)], length: i64) -> Vec<String> {
    let (Some((first, _)), Some((last, _))) = (counts.first(), counts.last()) else { return Vec::new() };
    let most = counts.iter().map(|(_, n)| *n).max().unwrap_or(0);
    let span = format!("{} to {}", to_the_minute(&start(*first, length)), to_the_minute(&start(*last, length)));
    vec![format!("events by {name}, {span}, at most {most}:"), bars(counts, most)]
}

/// One bar a bucket, from the first to the last; the tallest is `most`.
fn bars(counts: &[(i64, u32)], most: u32) -> String {
    let (Some((first, _)), Some((last, _))) = (counts.first(), counts.last()) else { return String::new() };
    let first = (*first).max(last.saturating_sub(BARS_MAX - 1));
    (first..=*last)
        .map(|bucket| {
            let events = counts.iter().find(|(at, _)| *at == bucket).map_or(0, |(_, n)| *n);
            let eighths = (u64::from(events) * 8).div_ceil(u64::from(most.max(1)));
            let place = usize::try_from(eighths).unwrap_or(0).checked_sub(1);
            place.and_then(|place| BARS.get(place)).copied().unwrap_or(NO_BAR)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_grow_with_their_counts_and_gaps_are_seen() {
        let check = |counts: &[(i64, u32)], expected: &str| {
            let most = counts.iter().map(|(_, n)| *n).max().unwrap_or(0);
            assert_eq!(bars(counts, most), expected, "{counts:?}");
        };
        check(&[(5, 8), (6, 4), (9, 1)], "█▄··▁");
        check(&[(0, 1)], "█");
        check(&[(0, 1), (1, u32::MAX)], "▁█");
        check(&[], "");
        check(&[(-2, 0), (-1, 0)], "··");
    }

    #[test]
    fn a_line_is_bounded_however_far_apart_its_buckets_are() {
        assert_eq!(bars(&[(i64::MIN, 1), (i64::MAX - 1, 1)], 1).chars().count(), 60);
    }

    #[test]
    fn minutes_and_hours_are_told_with_their_times() {
        let mut minutes = Minutes::default();
        for (minute, n) in [(0, 2), (3, 1), (90, 1)] {
            (0..n).for_each(|_| minutes.add(Millis(minute * Millis::MINUTE)));
        }
        let timeline = Timeline::of(&minutes);
        // The first minutes lie more than an hour before the newest.
        assert_eq!(timeline.by_minute, [Bucket { at: "1970-01-01T01:30:00.000Z".to_owned(), events: 1 }]);
        assert_eq!(timeline.by_hour.iter().map(|bucket| bucket.events).collect::<Vec<_>>(), [3, 1]);
        assert_eq!(
            timeline.lines(),
            [
                "events by minute, 1970-01-01 01:30 to 1970-01-01 01:30, at most 1:",
                "█",
                "events by hour, 1970-01-01 00:00 to 1970-01-01 01:00, at most 3:",
                "█▃",
            ]
        );
    }
}
