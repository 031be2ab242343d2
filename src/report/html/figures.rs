//! Small pieces that several sections use: figures with their thousands apart, chips, links, bars, heads of tables.

use std::fmt::Display;
use std::io;

use super::facts::Card;
use super::markup::{Markup, attr, tag};
use crate::pipeline::alert::{Severity, Verdict};

/// Between thousands: narrow, and never broken.
const APART: char = '\u{202f}';

/// `12 345`, with narrow spaces.
pub(super) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let first = digits.len() % 3;
    let mut shown = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && at % 3 == first {
            shown.push(APART);
        }
        shown.push(digit);
    }
    shown
}

/// The same of a number of things in memory.
pub(super) fn grouped_len(n: usize) -> String {
    grouped(u64::try_from(n).unwrap_or(u64::MAX))
}

/// `1 event`, `1 234 events`.
pub(super) fn counted(n: u64, word: &str) -> String {
    let ending = if n == 1 { "" } else { "s" };
    format!("{} {word}{ending}", grouped(n))
}

/// `37 %` of the whole, to the nearest; `<1 %` of what is there but hardly; nothing of nothing.
pub(super) fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "–".to_owned();
    }
    let (part, whole) = (u128::from(part), u128::from(whole));
    match (part * 100 + whole / 2) / whole {
        0 if part > 0 => "<1 %".to_owned(),
        100 if part < whole => ">99 %".to_owned(),
        share => format!("{share} %"),
    }
}

/// `part` of `whole` in `steps`, rounded up, so that what is there is seen; never more than all.
pub(super) fn share(part: u64, whole: u64, steps: u64) -> u64 {
    let steps = u128::from(steps);
    let share = (u128::from(part.min(whole)) * steps).div_ceil(u128::from(whole.max(1)));
    u64::try_from(share).unwrap_or(u64::MAX)
}

/// A column of a table.
pub(super) struct Column {
    pub(super) title: &'static str,
    /// Whether numbers stand in it.
    pub(super) is_number: bool,
    /// Whether it gives way on a narrow screen.
    pub(super) is_spare: bool,
}

/// A column of texts.
pub(super) const fn words(title: &'static str) -> Column {
    Column { title, is_number: false, is_spare: false }
}

/// A column of numbers.
pub(super) const fn number(title: &'static str) -> Column {
    Column { title, is_number: true, is_spare: false }
}

impl Column {
    /// The same column, left out on a narrow screen.
    pub(super) const fn spare(self) -> Self {
        Self { is_spare: true, ..self }
    }
}

/// The head of a table.
pub(super) fn table_head(columns: &[Column], m: &mut Markup<'_>) -> io::Result<()> {
    m.within(tag::THEAD, &[], |m| {
        m.within(tag::TR, &[], |m| {
            for Column { title, is_number, is_spare } in columns {
                let class = [if *is_number { "n" } else { "" }, if *is_spare { "spare" } else { "" }].join(" ");
                let mut attributes = vec![attr::scope("col")];
                attributes.extend(Some(class.trim()).filter(|class| !class.is_empty()).map(attr::class));
                m.leaf(tag::TH, &attributes, title)?;
            }
            Ok(())
        })
    })
}

/// A cell with a number.
pub(super) fn td_number(text: impl Display, m: &mut Markup<'_>) -> io::Result<()> {
    m.leaf(tag::TD, &[attr::class("n")], text)
}

/// A cell with a number that gives way.
pub(super) fn td_spare(text: impl Display, m: &mut Markup<'_>) -> io::Result<()> {
    m.leaf(tag::TD, &[attr::class("n spare")], text)
}

/// A verdict, to be told by its word as well as by its colour.
pub(super) fn verdict_chip(verdict: Verdict, m: &mut Markup<'_>) -> io::Result<()> {
    let class = match verdict {
        Verdict::Hostile => "chip hostile",
        Verdict::Undecided => "chip undecided",
        Verdict::Benign => "chip benign",
    };
    m.leaf(tag::SPAN, &[attr::class(class)], verdict.name())
}

/// A severity, as above.
pub(super) fn severity_mark(severity: Severity, m: &mut Markup<'_>) -> io::Result<()> {
    let class = match severity {
        Severity::Low => "sev low",
        Severity::Medium => "sev medium",
        Severity::High => "sev high",
        Severity::Critical => "sev critical",
    };
    m.leaf(tag::SPAN, &[attr::class(class)], severity.name())
}

/// A cluster's id, as a link where it is shown in full.
pub(super) fn cluster_link(card: &Card<'_>, m: &mut Markup<'_>) -> io::Result<()> {
    match &card.place {
        Some(place) => m.leaf(tag::A, &[attr::class("id"), attr::to(place)], &card.id),
        None => m.leaf(tag::SPAN, &[attr::class("id")], &card.id),
    }
}

/// A bar from the left; `parts` are shares of `whole` with the class of each.
pub(super) fn bar(parts: &[(&'static str, u64)], whole: u64, m: &mut Markup<'_>) -> io::Result<()> {
    const STEPS: u64 = 100;
    let picture = [
        attr::class("bar"),
        attr::view_box(format!("0 0 {STEPS} 8")),
        attr::preserve_aspect_ratio("none"),
        attr::aria_hidden("true"),
    ];
    m.within(tag::SVG, &picture, |m| {
        let mut x = 0;
        for (class, part) in parts.iter().filter(|(_, part)| *part > 0) {
            let width = share(*part, whole, STEPS).min(STEPS.saturating_sub(x));
            m.void(tag::RECT, &[attr::class(class), attr::x(x), attr::width(width), attr::height(8)])?;
            x = x.saturating_add(width);
        }
        Ok(())
    })
}

/// A bar of one part in a list, with as few bytes as there can be: a page has thousands.
pub(super) fn small_bar(part: u64, whole: u64, m: &mut Markup<'_>) -> io::Result<()> {
    m.within(tag::SVG, &[attr::view_box("0 0 100 8")], |m| {
        m.void(tag::RECT, &[attr::width(share(part, whole, 100)), attr::height(8)])
    })
}

/// A table within a frame of its own, which scrolls where the screen is too narrow.
pub(super) fn scrolling(
    label: &str,
    m: &mut Markup<'_>,
    fill: impl FnOnce(&mut Markup<'_>) -> io::Result<()>,
) -> io::Result<()> {
    let frame = [attr::class("scroll"), attr::role("region"), attr::aria_label(label), attr::tabindex(0)];
    m.within(tag::DIV, &frame, fill)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        let check = |n: u64, expected: &str| assert_eq!(grouped(n).replace(APART, " "), expected);
        check(0, "0");
        check(999, "999");
        check(1_000, "1 000");
        check(12_345, "12 345");
        check(1_234_567, "1 234 567");
        check(u64::MAX, "18 446 744 073 709 551 615");
    }

    #[test]
    fn a_share_is_never_more_than_all_and_never_hides_what_is_there() {
        let check = |part: u64, whole: u64, expected: u64| assert_eq!(share(part, whole, 100), expected);
        check(0, 10, 0);
        check(1, 1_000_000, 1);
        check(5, 10, 50);
        check(11, 10, 100);
        check(0, 0, 0);
        check(u64::MAX, u64::MAX, 100);
    }

    #[test]
    fn a_percentage_is_told_honestly() {
        let check = |part: u64, whole: u64, expected: &str| assert_eq!(percent(part, whole), expected);
        check(0, 0, "–");
        check(0, 5, "0 %");
        check(1, 1_000, "<1 %");
        check(999, 1_000, ">99 %");
        check(1_000, 1_000, "100 %");
        check(1, 3, "33 %");
    }
}
