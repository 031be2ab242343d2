//! `explain`: why a cluster got its verdict, added up so that a person can add it up again.
//!
//! Where an analyst's word holds it stands beside the judge's sum, which it does not change.
//!
//! Points are whole hundredths when the judge speaks; they are summed here as whole hundredths, not as floats. Where a
//! stored number is none (a foreign or damaged store), the answer says that lines are rounded.

use anyhow::Result;
use serde_json::json;

use super::find::Found;
use super::sheet::Sheet;
use super::{Format, Memory, Page, proof};
use crate::pipeline::alert::{Evidence, Portrait, Verdict};

/// A number of points as it is shown and summed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Hundredths(pub(super) i64);

impl Hundredths {
    /// The nearest hundredths, and whether that is the number itself. No number at all is nought, and rounded.
    fn of(points: f64) -> (Self, bool) {
        let text = format!("{points:.2}");
        let whole = text.replace('.', "").parse().ok().map(Self);
        (whole.unwrap_or_default(), whole.is_some_and(|whole| whole.points() == Some(points)))
    }

    fn points(self) -> Option<f64> {
        self.to_string().parse().ok()
    }
}

impl std::fmt::Display for Hundredths {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (whole, part) = (self.0.unsigned_abs() / 100, self.0.unsigned_abs() % 100);
        write!(f, "{}{whole}.{part:02}", if self.0 < 0 { "-" } else { "" })
    }
}

/// One line of the sum.
pub(super) struct Line<'p> {
    side: &'static str,
    pub(super) evidence: &'p Evidence,
    pub(super) points: Hundredths,
    /// Of all lines up to this one.
    pub(super) sum: Hundredths,
}

/// A verdict, added up.
pub(super) struct Account<'p> {
    pub(super) lines: Vec<Line<'p>>,
    sum: Hundredths,
    points: Hundredths,
    pub(super) threshold: Hundredths,
    /// Whether some number was no whole number of hundredths.
    pub(super) rounded: bool,
}

impl<'p> Account<'p> {
    pub(super) fn of(portrait: &'p Portrait) -> Self {
        let (points, points_exact) = Hundredths::of(portrait.points);
        let (threshold, _) = Hundredths::of(portrait.threshold);
        let mut account = Self { lines: Vec::new(), sum: Hundredths(0), points, threshold, rounded: !points_exact };
        let sides = portrait.evidence.iter().map(|line| ("evidence", line));
        for (side, evidence) in sides.chain(portrait.counter_evidence.iter().map(|line| ("defence", line))) {
            let (points, exact) = Hundredths::of(evidence.points);
            account.rounded |= !exact;
            account.sum = Hundredths(account.sum.0.saturating_add(points.0));
            account.lines.push(Line { side, evidence, points, sum: account.sum });
        }
        account
    }

    /// `sum 6.21 = points 6.21`.
    pub(super) fn last_line(&self) -> String {
        let sign = if self.sum == self.points { "=" } else { "is not" };
        format!("sum {} {sign} points {}", self.sum, self.points)
    }
}

/// Tells why.
pub(super) fn explain(memory: Memory<'_>, found: &Found<'_>, page: &mut Page<'_>) -> Result<()> {
    let portrait = found.tenant.portrait(found.cluster);
    let account = Account::of(&portrait);
    match page.format {
        Format::Table => {
            for_people(found, &portrait, &account, page)?;
            proof::for_people(memory, found.cluster, page)
        }
        Format::Json => {
            let lines: Vec<_> = account
                .lines
                .iter()
                .map(|line| {
                    json!({"side": line.side, "name": line.evidence.name, "points": line.points.points(),
                           "sum": line.sum.points(), "words": line.evidence.words})
                })
                .collect();
            page.object(&json!({
                "cluster": found.cluster.id.to_string(), "alias": found.alias.map(|id| id.to_string()),
                "title": portrait.title, "verdict": portrait.verdict, "overruled": portrait.overruled,
                "threshold": account.threshold.points(), "points": account.points.points(),
                "confidence": portrait.confidence, "technique": portrait.technique,
                "sum": account.sum.points(), "rounded": account.rounded,
                "model": portrait.model, "ordinary_traffic": portrait.ordinary_traffic,
                "why": why(found.standing.is_some(), &portrait), "lines": lines,
                "alerts": proof::objects(memory, found.cluster)?,
            }))
        }
        Format::Csv => {
            let mut sheet = sheet(&account);
            let total = vec![
                "total".into(),
                "sum".into(),
                account.points.points().into(),
                account.sum.points().into(),
                account.last_line().into(),
            ];
            sheet.push(total);
            page.sheet(&sheet)
        }
    }
}

fn sheet(account: &Account<'_>) -> Sheet {
    let mut sheet = Sheet::new(&["side", "name", "points", "sum", "words"]);
    for Line { side, evidence, points, sum } in &account.lines {
        sheet.push(vec![
            (*side).into(),
            evidence.name.as_str().into(),
            points.points().into(),
            sum.points().into(),
            evidence.words.as_str().into(),
        ]);
    }
    sheet
}

fn for_people(found: &Found<'_>, portrait: &Portrait, account: &Account<'_>, page: &mut Page<'_>) -> Result<()> {
    if let Some(alias) = found.alias_line() {
        page.line(&alias)?;
    }
    page.line(&format!("{} is {}", found.cluster.id, portrait.verdict.name()))?;
    page.words(&super::sheet::printable(&portrait.title))?;
    if let Some(words) = analyst(&found.cluster.id.to_string(), portrait) {
        page.words(&words)?;
    }
    page.line("")?;
    if !account.lines.is_empty() {
        page.sheet(&sheet(account))?;
        page.line("")?;
    }
    page.line(&why(found.standing.is_some(), portrait))?;
    if let Some(line) = super::show::technique_line(portrait) {
        page.words(&line)?;
    }
    if !portrait.model.is_empty() {
        page.line(&format!("weights by the models {}", super::sheet::printable(&portrait.model)))?;
    }
    page.line(if portrait.ordinary_traffic {
        "samples of ordinary requests to its services were there to judge by"
    } else {
        "no samples of ordinary requests to its services: judged by panics alone"
    })?;
    if account.rounded {
        page.line("some numbers are no whole hundredths: they are rounded here, and the sum is that of rounded ones")?;
    }
    page.line(&account.last_line())
}

/// The analyst's word that holds, and the judge's own beside it: one printable line.
pub(super) fn analyst(id: &str, portrait: &Portrait) -> Option<String> {
    let overruled = portrait.overruled.as_ref()?;
    Some(super::sheet::printable(&overruled.sentence(id, portrait.points)))
}

/// The judge's verdict in a sentence.
pub(super) fn why(is_judged: bool, portrait: &Portrait) -> String {
    if !is_judged {
        return "it has not been judged yet: it is judged when the epoch of its newest events ends".to_owned();
    }
    let suspects = !portrait.evidence.is_empty() || !portrait.counter_evidence.is_empty();
    let (points, threshold) = (Hundredths::of(portrait.points).0, Hundredths::of(portrait.threshold).0);
    match portrait.overruled.as_ref().map_or(portrait.verdict, |overruled| overruled.judge) {
        Verdict::Hostile => format!("{points} points: hostile from {threshold} on"),
        Verdict::Undecided if suspects => {
            format!("{points} points are not enough to call it hostile, which takes {threshold}; its sender is suspect")
        }
        Verdict::Undecided => format!(
            "no sender in it is suspect, so nothing is added up (hostile from {threshold} on); too few different senders \
             do it to call it an honest fault"
        ),
        Verdict::Benign => format!(
            "no sender in it is suspect, so nothing is added up (hostile from {threshold} on); so many different \
             senders do it that it is an honest fault"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn portrait(points: f64, lines: &[f64]) -> Portrait {
        let line = |points: &f64| Evidence { name: "n".to_owned(), points: *points, words: "w".to_owned() };
        let (evidence, counter_evidence) = lines.iter().map(line).partition(|line| line.points > 0.0);
        Portrait { points, evidence, counter_evidence, ..Portrait::default() }
    }

    #[test]
    fn hundredths_are_kept_to_the_last_digit() {
        let check = |points: f64, shown: &str, exact: bool| {
            let (hundredths, is_exact) = Hundredths::of(points);
            assert_eq!((hundredths.to_string().as_str(), is_exact), (shown, exact), "{points}");
        };
        check(0.0, "0.00", true);
        check(-0.05, "-0.05", true);
        check(-12.3, "-12.30", true);
        check(0.001, "0.00", false);
        check(-0.001, "0.00", false);
        check(f64::NAN, "0.00", false);
        check(f64::INFINITY, "0.00", false);
    }

    #[test]
    fn lines_add_up_although_floats_would_not() {
        let check = |points: f64, lines: &[f64], last: &str, rounded: bool| {
            let portrait = portrait(points, lines);
            let account = Account::of(&portrait);
            assert_eq!((account.last_line().as_str(), account.rounded), (last, rounded));
        };
        check(0.3, &[0.1, 0.2], "sum 0.30 = points 0.30", false);
        check(-0.1, &[0.7, -0.8], "sum -0.10 = points -0.10", false);
        check(1.0, &[0.7], "sum 0.70 is not points 1.00", false);
        check(0.333, &[0.333], "sum 0.33 = points 0.33", true);
        check(0.0, &[], "sum 0.00 = points 0.00", false);
    }
}
