//! Pictures of time: bars by minute and by hour as SVG, drawn here, so that they need no script.
//!
//! Pure but for the writing. A picture has one path however many bars it shows; what it says is told in words beside it
//! (`title` and `desc`, for those who do not see it, and a caption for all). The scale begins at nought, and every
//! bucket with an event has a bar that is seen.

use std::io;

use super::figures::{counted, share};
use super::markup::{Markup, attr, tag};
use crate::pipeline::event::Millis;
use crate::report::list::to_the_minute;

/// Height of a picture in its own units: bars are rounded up to whole ones.
const HEIGHT: u64 = 48;
/// Height of a picture in a row of a table.
const SPARK_HEIGHT: u64 = 16;
/// Fewest buckets of a picture.
const BUCKETS_MIN: i64 = 12;
/// Width of a bucket; the bar in it is three wide (the style's stroke), the rest is the gap.
const STEP: i64 = 4;
/// Middle of the first bar.
const MIDDLE: i64 = 2;

/// Buckets of one length, up to and including the last one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    /// Milliseconds of a bucket.
    pub(super) length: i64,
    /// The last bucket, counted from the Unix epoch.
    pub(super) last: i64,
    /// How many.
    pub(super) n: i64,
}

impl Window {
    /// The window that ends with the last of these buckets and holds all of them, within bounds: never so short that a
    /// moment looks like a trend, never longer than `n_max`. Nothing without buckets.
    pub(super) fn around(counts: &[(i64, u32)], length: i64, n_max: i64) -> Option<Self> {
        let ((first, _), (last, _)) = (counts.first()?, counts.last()?);
        let n = last.saturating_sub(*first).saturating_add(1).clamp(BUCKETS_MIN.min(n_max), n_max);
        Some(Self { length, last: *last, n })
    }

    fn first(self) -> i64 {
        self.last.saturating_sub(self.n - 1)
    }

    fn start_of(self, bucket: i64) -> String {
        to_the_minute(&Millis(bucket.saturating_mul(self.length)).to_string())
    }

    /// Counts within the window, as (bucket, events).
    fn within(self, counts: &[(i64, u32)]) -> impl Iterator<Item = (i64, u32)> + '_ {
        counts.iter().copied().filter(move |(at, n)| *n > 0 && (self.first()..=self.last).contains(at))
    }

    /// The bars, as the data of one path of upright strokes: from the foot of one to its head, and over to the next foot.
    fn path(self, counts: &[(i64, u32)], height: u64) -> String {
        let most = self.within(counts).map(|(_, n)| u64::from(n)).max().unwrap_or(0);
        let mut before: Option<(i64, u64)> = None;
        let strokes = self.within(counts).map(|(at, n)| {
            let tall = share(u64::from(n), most, height);
            let over = match before.replace((at, tall)) {
                None => format!("M{} {height}", (at - self.first()) * STEP + MIDDLE),
                Some((last, down)) => format!("m{} {down}", (at - last) * STEP),
            };
            format!("{over}v-{tall}")
        });
        strokes.collect()
    }

    fn view_box(self, height: u64) -> String {
        format!("0 0 {} {height}", self.n * STEP)
    }
}

/// A row's picture: bars without words, on the window that all rows share. What it shows, `words` say.
pub(super) fn spark(window: Window, counts: &[(i64, u32)], m: &mut Markup<'_>) -> io::Result<()> {
    let path = window.path(counts, SPARK_HEIGHT);
    if path.is_empty() {
        return m.leaf(tag::SPAN, &[attr::class("quiet")], "earlier");
    }
    let most = window.within(counts).map(|(_, n)| n).max().unwrap_or(0);
    let picture = [
        attr::class("spark"),
        attr::view_box(window.view_box(SPARK_HEIGHT)),
        attr::preserve_aspect_ratio("none"),
        attr::role("img"),
        attr::aria_label(format!("at most {most} an hour")),
    ];
    m.within(tag::SVG, &picture, |m| m.void(tag::PATH, &[attr::d(path)]))
}

/// What a timeline is about.
pub(super) struct Timeline<'t> {
    /// What is counted: `events`.
    pub(super) what: &'t str,
    /// Name of a bucket: `minute`, `hour`.
    pub(super) bucket: &'t str,
    pub(super) window: Window,
}

/// A picture with a caption, its largest count and the times of its ends.
pub(super) fn timeline(about: &Timeline<'_>, counts: &[(i64, u32)], m: &mut Markup<'_>) -> io::Result<()> {
    let Timeline { what, bucket, window } = about;
    let shown: Vec<(i64, u32)> = window.within(counts).collect();
    let Some((peak_at, most)) = shown.iter().copied().max_by_key(|(at, n)| (*n, std::cmp::Reverse(*at))) else {
        return Ok(());
    };
    let sum: u64 = shown.iter().map(|(_, n)| u64::from(*n)).sum();
    let end = window.start_of(window.last.saturating_add(1));
    m.within(tag::FIGURE, &[attr::class("time")], |m| {
        let caption = format!("{what} by {bucket}: {} at most, at {}", most, window.start_of(peak_at));
        m.leaf(tag::FIGCAPTION, &[], caption)?;
        let picture = [
            attr::class("bars"),
            attr::view_box(window.view_box(HEIGHT)),
            attr::preserve_aspect_ratio("none"),
            attr::role("img"),
        ];
        m.within(tag::SVG, &picture, |m| {
            m.leaf(tag::TITLE, &[], format!("{what} by {bucket}"))?;
            let words = format!(
                "{} in {} of {} {bucket}s from {} to {end} UTC; the most, {most}, from {} on",
                counted(sum, "event"),
                shown.len(),
                window.n,
                window.start_of(window.first()),
                window.start_of(peak_at)
            );
            m.leaf(tag::DESC, &[], words)?;
            day_lines(*window, m)?;
            m.void(tag::PATH, &[attr::d(window.path(counts, HEIGHT))])
        })?;
        m.within(tag::DIV, &[attr::class("ends"), attr::aria_hidden("true")], |m| {
            m.leaf(tag::SPAN, &[], window.start_of(window.first()))?;
            m.leaf(tag::SPAN, &[], end)
        })
    })
}

/// A line at each midnight.
fn day_lines(window: Window, m: &mut Markup<'_>) -> io::Result<()> {
    let buckets_a_day = (Millis::DAY / window.length.max(1)).max(1);
    for at in (window.first()..=window.last).filter(|at| at.rem_euclid(buckets_a_day) == 0).take(8) {
        let x = (at - window.first()) * STEP;
        let line = [attr::class("day"), attr::x1(x), attr::x2(x), attr::y1(0), attr::y2(HEIGHT)];
        m.void(tag::LINE, &line)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOURS: Window = Window { length: Millis::HOUR, last: 47, n: 48 };

    #[test]
    fn bars_stand_where_their_buckets_are_and_grow_with_their_counts() {
        let check = |counts: &[(i64, u32)], expected: &str| assert_eq!(HOURS.path(counts, 16), expected, "{counts:?}");
        check(&[], "");
        check(&[(0, 4)], "M2 16v-16");
        check(&[(0, 1), (47, 1_000)], "M2 16v-1m188 1v-16");
        check(&[(3, 2), (4, 1)], "M14 16v-16m4 16v-8");
        check(&[(0, 0)], "");
        check(&[(-1, 5), (48, 5)], "");
        check(&[(i64::MIN, 5), (i64::MAX, 5)], "");
    }

    #[test]
    fn a_picture_says_in_words_what_it_shows() {
        let mut out = Vec::new();
        let about = Timeline { what: "events", bucket: "hour", window: HOURS };
        timeline(&about, &[(1, 2), (5, 7)], &mut Markup::new(&mut out)).unwrap();
        let html = String::from_utf8(out).unwrap();
        for told in [
            "<figcaption>events by hour: 7 at most, at 1970-01-01 05:00</figcaption>",
            "<title>events by hour</title>",
            "9 events in 2 of 48 hours from 1970-01-01 00:00 to 1970-01-03 00:00 UTC; the most, 7, from 1970-01-01 05:00 on",
            "<line class=\"day\" x1=\"96\" x2=\"96\" y1=\"0\" y2=\"48\"/>",
        ] {
            assert!(html.contains(told), "{told}\n{html}");
        }
    }

    #[test]
    fn a_window_holds_what_there_is_within_bounds() {
        let check = |counts: &[(i64, u32)], expected: Option<(i64, i64)>| {
            let window = Window::around(counts, Millis::HOUR, 48);
            assert_eq!(window.map(|window| (window.last, window.n)), expected, "{counts:?}");
        };
        check(&[], None);
        check(&[(7, 1)], Some((7, 12)));
        check(&[(7, 1), (26, 1)], Some((26, 20)));
        check(&[(i64::MIN, 1), (i64::MAX, 1)], Some((i64::MAX, 48)));
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        let mut out = Vec::new();
        let about = Timeline { what: "events", bucket: "hour", window: HOURS };
        timeline(&about, &[(90, 2)], &mut Markup::new(&mut out)).unwrap();
        assert!(out.is_empty());
    }
}
