//! Why a cluster got its verdict, as bars that a reader adds up again.
//!
//! The same account as `report explain`, line by line in hundredths: each bar begins where the sum so far ends, to the
//! right for what speaks for hostile, to the left for the defence; the threshold is a line through all of them. The last
//! line is the sum, held against the judge's points. A prior is a line like the others.

use std::io;

use super::facts::Card;
use super::figures::{number, table_head, td_number, words};
use super::markup::{Markup, attr, tag};
use crate::report::explain::{Account, Hundredths, Line, why};

/// Width of the scale in its own units.
const WIDTH: i64 = 400;
/// Height of a bar.
const HEIGHT: i64 = 12;

/// From points to places on the scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Scale {
    least: i64,
    most: i64,
}

impl Scale {
    /// The scale that holds nought, the threshold and every sum.
    fn of(account: &Account<'_>) -> Self {
        let places = account.lines.iter().map(|line| line.sum.0).chain([0, account.threshold.0]);
        let (least, most) = places.fold((0, 0), |(least, most), at| (at.min(least), at.max(most)));
        Self { least, most }
    }

    fn at(self, Hundredths(points): Hundredths) -> i64 {
        let (from, whole) =
            (i128::from(points) - i128::from(self.least), i128::from(self.most) - i128::from(self.least));
        i64::try_from(from * i128::from(WIDTH) / whole.max(1)).unwrap_or(WIDTH)
    }
}

/// The verdict in a sentence, and the account, if anything was added up.
pub(super) fn fill(card: &Card<'_>, m: &mut Markup<'_>) -> io::Result<()> {
    let account = Account::of(&card.portrait);
    m.leaf(tag::H3, &[], "Why")?;
    m.leaf(tag::P, &[], format!("{}.", sentence(&why(card.is_judged, &card.portrait))))?;
    if account.lines.is_empty() {
        return Ok(());
    }
    let scale = Scale::of(&account);
    m.within(
        tag::DIV,
        &[attr::class("scroll"), attr::tabindex(0), attr::role("region"), attr::aria_label("Evidence")],
        |m| {
            m.within(tag::TABLE, &[attr::class("plain account")], |m| {
                table_head(
                    &[
                        words("evidence"),
                        number("points"),
                        number("sum"),
                        words("from nought to the threshold"),
                        words("in words"),
                    ],
                    m,
                )?;
                m.within(tag::TBODY, &[], |m| {
                    let mut before = Hundredths(0);
                    for line in &account.lines {
                        m.within(tag::TR, &[], |m| row(line, before, scale, account.threshold, m))?;
                        before = line.sum;
                    }
                    Ok(())
                })?;
                m.within(tag::TFOOT, &[], |m| {
                    m.within(tag::TR, &[attr::class("sum")], |m| {
                        m.leaf(tag::TD, &[], "all")?;
                        m.leaf(tag::TD, &[attr::colspan(2), attr::class("n")], account.last_line())?;
                        m.leaf(tag::TD, &[attr::colspan(2)], format!("hostile from {} on", account.threshold))
                    })
                })
            })
        },
    )?;
    if account.rounded {
        let words = "Some numbers are no whole hundredths: they are rounded here, and the sum is that of rounded ones.";
        m.leaf(tag::P, &[attr::class("quiet")], words)?;
    }
    Ok(())
}

fn row(line: &Line<'_>, before: Hundredths, scale: Scale, threshold: Hundredths, m: &mut Markup<'_>) -> io::Result<()> {
    m.leaf(tag::TD, &[], &line.evidence.name)?;
    let sign = if line.points.0 > 0 { "+" } else { "" };
    td_number(format!("{sign}{}", line.points), m)?;
    td_number(line.sum, m)?;
    m.within(tag::TD, &[attr::class("step")], |m| step(before, line.sum, scale, threshold, m))?;
    m.leaf(tag::TD, &[attr::class("what")], &line.evidence.words)
}

/// A bar from one sum to the next.
fn step(
    before: Hundredths,
    after: Hundredths,
    scale: Scale,
    threshold: Hundredths,
    m: &mut Markup<'_>,
) -> io::Result<()> {
    let (from, to) = (scale.at(before), scale.at(after));
    let picture = [
        attr::class("bar"),
        attr::view_box(format!("0 0 {WIDTH} {HEIGHT}")),
        attr::preserve_aspect_ratio("none"),
        attr::aria_hidden("true"),
    ];
    m.within(tag::SVG, &picture, |m| {
        let class = if after > before { "bad" } else { "good" };
        let (x, width) = (from.min(to), from.abs_diff(to).max(1));
        m.void(tag::RECT, &[attr::class(class), attr::x(x), attr::width(width), attr::y(2), attr::height(HEIGHT - 4)])?;
        for (class, at) in [("nought", scale.at(Hundredths(0))), ("threshold", scale.at(threshold))] {
            m.void(tag::LINE, &[attr::class(class), attr::x1(at), attr::x2(at), attr::y1(0), attr::y2(HEIGHT)])?;
        }
        Ok(())
    })
}

/// With its first letter in upper case.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::alert::{Evidence, Portrait};

    fn portrait(threshold: f64, points: &[f64]) -> Portrait {
        let line = |points: &f64| Evidence { name: "n".to_owned(), points: *points, words: "w".to_owned() };
        let (evidence, counter_evidence) = points.iter().map(line).partition(|line| line.points > 0.0);
        Portrait { threshold, evidence, counter_evidence, ..Portrait::default() }
    }

    #[test]
    fn the_scale_holds_every_sum_nought_and_the_threshold() {
        let check = |threshold: f64, points: &[f64], expected: (i64, i64)| {
            let portrait = portrait(threshold, points);
            let scale = Scale::of(&Account::of(&portrait));
            assert_eq!((scale.least, scale.most), expected, "{points:?}");
            let (least, most) = (scale.at(Hundredths(scale.least)), scale.at(Hundredths(scale.most)));
            assert!(least == 0 && (0..=WIDTH).contains(&most), "{least} {most}");
        };
        check(3.5, &[], (0, 350));
        check(3.5, &[4.0, 2.0, -1.0], (0, 600));
        check(3.5, &[-2.0], (-200, 350));
        check(0.0, &[], (0, 0));
        check(f64::MAX, &[f64::MIN, f64::MAX], (0, 0));
    }

    #[test]
    fn a_sentence_begins_with_a_capital() {
        let check = |text: &str, expected: &str| assert_eq!(sentence(text), expected);
        check("it is", "It is");
        check("", "");
        check("7.15 points", "7.15 points");
    }
}
