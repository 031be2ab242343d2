//! `kpi`: did the migration pay off? Four figures against a baseline, each with its data and its interval.
//!
//! Reads the ledger and the outbox of a store, and maybe a file that this command wrote earlier; never writes. A goal is
//! met when the whole interval of 95 % lies on its side, not met when the whole interval lies on the other; between the
//! two there is not enough data, whatever the estimate says. What producers do not tell "cannot be said from these
//! events". Rates are per request where a traffic feed told all requests of both stretches, else by time, with that said.
//!
//! 1. **User-visible failures**: panics answered with 5xx that no retry made good, and panics that left their boundary;
//!    goal: reduced by 30 %.
//! 2. **Circuit breakers**: activations that producers tell among the side effects of a panic; goal: reduced by 50 %.
//! 3. **Detection to containment**: from the first alert of a hostile cluster or of a situation to its last event (0
//!    where nothing came after the alert); one that is still open is longer than any that is not. Goal: median below 5
//!    minutes.
//! 4. **Poisoned isolates**: times that an isolate survived a panic and later requests failed because of it; goal: none.

mod measures;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use serde::Serialize;

use self::measures::{Containment, Measures};
use super::document::{decimal, duration};
use super::period::{Instant, Period};
use super::scope::{Per, Scope, compare};
use super::sheet::{Cell, Sheet};
use super::{Format, Page, restore_operations};
use crate::edge::store::Store;
use crate::pipeline::event::Millis;
use crate::pipeline::operations::interval::{Interval, count};

/// What machines know the answer by; a baseline file must be of it.
const SCHEMA: &str = "kpi.v1";

/// Goal: user-visible failures are reduced by this share.
const USER_VISIBLE_GOAL: f64 = 0.30;

/// Goal: activations of circuit breakers are reduced by this share.
const BREAKERS_GOAL: f64 = 0.50;

/// Goal: from detection to containment the median is below this.
const CONTAINMENT_GOAL_MILLIS: i64 = 5 * Millis::MINUTE;

/// What to compare with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Baseline {
    /// Nothing: the figures are told, and can be kept as a baseline for later.
    #[default]
    None,
    /// A stretch of the same store.
    Stretch(Period),
    /// A file that this command wrote.
    File(PathBuf),
}

/// What is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Question {
    /// The stretch that is told; begins after a baseline of the same store if nothing else is said.
    pub period: Period,
    /// What it is compared with.
    pub baseline: Baseline,
    /// Only this service.
    pub service: Option<String>,
}

/// How a goal stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Standing {
    /// Met.
    Met,
    /// Not met.
    NotMet,
    /// Not enough data for either.
    NotEnoughData,
    /// The events do not tell.
    CannotBeSaid,
    /// There is no baseline to say it against.
    NoBaseline,
}

impl Standing {
    fn words(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::NotMet => "not met",
            Self::NotEnoughData => "not enough data",
            Self::CannotBeSaid => "cannot be said from these events",
            Self::NoBaseline => "no baseline",
        }
    }
}

/// One figure.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Kpi {
    name: &'static str,
    goal: &'static str,
    standing: Standing,
    /// In the baseline.
    baseline: Option<u64>,
    /// In the period.
    now: Option<u64>,
    /// The figure that the goal is about, with its interval: a reduction as a share, milliseconds, or a number.
    value: Option<Interval>,
    /// What a rate was divided by.
    per: Option<Per>,
    /// The same in words, with all numbers.
    words: String,
}

/// The answer.
#[derive(Serialize)]
struct Answer {
    schema: &'static str,
    service: Option<String>,
    period: Measures,
    baseline: Option<Measures>,
    kpis: Vec<Kpi>,
}

/// Tells the figures of the store at `store`, to `out`; CSV holds the same columns as the table.
///
/// # Errors
/// A store or a baseline file that is not there or cannot be read, a service that is not known, a period the wrong way
/// round or without anything known of it, a baseline that overlaps it or has no events.
pub fn answer(store: &Path, question: &Question, format: Format, out: &mut dyn Write) -> Result<()> {
    let store = Store::open_read_only(store)?;
    let state = restore_operations(&store)?;
    let service = question.service.as_deref();
    let scope = Scope::of(&state, service)?;
    let mut period = question.period;
    let baseline = match &question.baseline {
        Baseline::None => None,
        Baseline::File(path) => Some(measures::read(path, service)?),
        Baseline::Stretch(typed) => {
            let span = scope.resolve(*typed)?;
            period.from = period.from.or(Some(Instant::At(span.to)));
            let measures = measures::measure(&scope, &store, span, service)?;
            if measures.events == 0 {
                bail!("the baseline, {} to {}, has no events: there is nothing to compare with", span.from, span.to);
            }
            Some(measures)
        }
    };
    let span = scope.resolve(period)?;
    if let Some((from, to)) = baseline.as_ref().and_then(measures::stretch)
        && from < span.to
        && span.from < to
    {
        let pages = span.tier.words();
        bail!("the baseline, {from} to {to}, overlaps the period, {} to {} in pages of {pages}", span.from, span.to);
    }
    let now = measures::measure(&scope, &store, span, service)?;
    let kpis = kpis(&now, baseline.as_ref());
    let answer = Answer { schema: SCHEMA, service: question.service.clone(), period: now, baseline, kpis };
    tell(&answer, &mut Page { format, out })
}

fn kpis(now: &Measures, before: Option<&Measures>) -> Vec<Kpi> {
    let user_visible = reduction(
        now,
        before,
        |measures| Some(measures.user_visible),
        &Goal {
            name: "user_visible_failures",
            words: "reduced by 30 %",
            share: USER_VISIBLE_GOAL,
            of: "user-visible failures by panics (5xx that no retry made good, or not contained)",
        },
    );
    let breakers = reduction(
        now,
        before,
        |measures| measures.breakers_opened,
        &Goal {
            name: "circuit_breaker_activations",
            words: "reduced by 50 %",
            share: BREAKERS_GOAL,
            of: "circuit breakers that opened",
        },
    );
    vec![user_visible, breakers, containment(now, before), poisoning(now, before)]
}

/// A goal that is a reduction.
struct Goal {
    name: &'static str,
    words: &'static str,
    share: f64,
    of: &'static str,
}

fn reduction(now: &Measures, before: Option<&Measures>, get: impl Fn(&Measures) -> Option<u64>, goal: &Goal) -> Kpi {
    let Goal { name, words: goal, share, of } = *goal;
    let (k1, k0) = (get(now), before.and_then(&get));
    let kpi = |standing, value, per, words| Kpi { name, goal, standing, baseline: k0, now: k1, value, per, words };
    let Some(k1) = k1 else {
        return kpi(Standing::CannotBeSaid, None, None, format!("no producer tells of {of}"));
    };
    let Some(before) = before else {
        return kpi(Standing::NoBaseline, None, None, format!("{k1} {of}; there is nothing to compare with"));
    };
    let Some(k0) = k0 else {
        let words = format!("{k1} {of}; no producer of the baseline tells of any");
        return kpi(Standing::CannotBeSaid, None, None, words);
    };
    let (ratio, per) = compare(k1, &now.exposure, k0, &before.exposure);
    let Some(ratio) = ratio else {
        let words = format!("{k1} {of}, {k0} in the baseline: there is nothing to reduce");
        return kpi(Standing::NotEnoughData, None, Some(per), words);
    };
    let value = Interval { low: 1.0 - ratio.high, estimate: 1.0 - ratio.estimate, high: 1.0 - ratio.low };
    let standing = if value.low >= share {
        Standing::Met
    } else if value.high < share {
        Standing::NotMet
    } else {
        Standing::NotEnoughData
    };
    let percent = |x: f64| if x.is_finite() { format!("{:.1} %", x * 100.0) } else { "no limit".to_owned() };
    let ends = format!("{} to {}", percent(value.low), percent(value.high));
    let words =
        format!("{k1} {of}, {k0} in the baseline: reduced by {} ({ends}), {}", percent(value.estimate), per.words());
    kpi(standing, Some(value), Some(per), words)
}

fn containment(now: &Measures, before: Option<&Measures>) -> Kpi {
    let Containment { n, n_open, median_ms, low_ms, high_ms, has_interval } = now.containment;
    let (standing, interval) = if !has_interval {
        (Standing::NotEnoughData, "too few for an interval".to_owned())
    } else if high_ms.is_some_and(|high| high < CONTAINMENT_GOAL_MILLIS) {
        (Standing::Met, span(low_ms, high_ms))
    } else if low_ms.is_none_or(|low| low >= CONTAINMENT_GOAL_MILLIS) {
        (Standing::NotMet, span(low_ms, high_ms))
    } else {
        (Standing::NotEnoughData, span(low_ms, high_ms))
    };
    let middle = median_ms.map_or_else(|| "still open".to_owned(), duration);
    let earlier = before.and_then(|before| before.containment.median_ms);
    let earlier = earlier.map_or_else(String::new, |ms| format!("; in the baseline {}", duration(ms)));
    let handled = match now.handled_told {
        0 => "whether panics were handled is not told".to_owned(),
        told => format!("of the panics themselves {} of {told} were contained at their boundary", now.handled),
    };
    let words = if n == 0 {
        format!("nothing was first alerted in the period; {handled}")
    } else {
        format!(
            "median from first alert to last event {middle} ({interval}), of {n}, {n_open} of them still open{earlier}; \
             {handled}"
        )
    };
    let millis = |ms: i64| crate::pipeline::sample::count_f64(ms.unsigned_abs());
    let value = median_ms.filter(|_| has_interval).map(|middle| Interval {
        low: low_ms.map_or(f64::INFINITY, millis),
        estimate: millis(middle),
        high: high_ms.map_or(f64::INFINITY, millis),
    });
    let milliseconds = |ms: Option<i64>| ms.map(i64::unsigned_abs);
    Kpi {
        name: "detection_to_containment",
        goal: "median below 5 min",
        standing,
        baseline: milliseconds(before.and_then(|before| before.containment.median_ms)),
        now: milliseconds(median_ms),
        value,
        per: None,
        words,
    }
}

fn span(low: Option<i64>, high: Option<i64>) -> String {
    let end = |end: Option<i64>| end.map_or_else(|| "still open".to_owned(), duration);
    format!("{} to {}", end(low), end(high))
}

fn poisoning(now: &Measures, before: Option<&Measures>) -> Kpi {
    let baseline = before.and_then(|before| before.poisoning_incidents);
    let (standing, value, words) = match now.poisoning_incidents {
        None => (Standing::CannotBeSaid, None, "no event of the period names its isolate".to_owned()),
        Some(n) => {
            let standing = if n == 0 { Standing::Met } else { Standing::NotMet };
            let value = count(n);
            let ends = format!("{} to {}", decimal(value.low), decimal(value.high));
            let earlier = baseline.map_or_else(String::new, |n| format!("; {n} in the baseline"));
            let words = format!(
                "{n} isolates were left poisoned by a panic they survived ({ends} are to be expected of such a period), and \
                 {} requests failed on them{earlier}; {} of {} events name their isolate",
                now.poisoned, now.isolate_told, now.events
            );
            (standing, Some(value), words)
        }
    };
    let (name, goal) = ("poisoned_isolates", "none");
    Kpi { name, goal, standing, baseline, now: now.poisoning_incidents, value, per: None, words }
}

fn tell(answer: &Answer, page: &mut Page<'_>) -> Result<()> {
    if page.format == Format::Json {
        return page.object(&serde_json::to_value(answer)?);
    }
    let people = page.format == Format::Table;
    let for_people: &[&str] = &["kpi", "goal", "standing", "baseline", "now"];
    let mut sheet =
        Sheet::new(if people { for_people } else { &["kpi", "goal", "standing", "baseline", "now", "data"] });
    for kpi in &answer.kpis {
        let shown = |n: Option<u64>| match n {
            Some(ms) if people && kpi.name == "detection_to_containment" => {
                duration(i64::try_from(ms).unwrap_or(i64::MAX)).into()
            }
            n => Cell::from(n),
        };
        let mut row: Vec<Cell> = vec![kpi.name.replace('_', " ").into(), kpi.goal.into(), kpi.standing.words().into()];
        row.extend([shown(kpi.baseline), shown(kpi.now), kpi.words.as_str().into()]);
        sheet.push(row);
    }
    page.sheet(&sheet)?;
    if !people {
        return Ok(());
    }
    for kpi in &answer.kpis {
        page.line("")?;
        page.words(&format!("{}: {}.", kpi.name.replace('_', " "), kpi.words))?;
    }
    page.line("")?;
    let of = |measures: &Measures| {
        let requests = match measures.exposure.requests {
            0 => "no requests told".to_owned(),
            n => format!("{n} requests"),
        };
        format!("{} to {}, {} panics, {requests}", measures.from, measures.to, measures.events)
    };
    page.words(&format!("period: {}", of(&answer.period)))?;
    match &answer.baseline {
        Some(baseline) => page.words(&format!("baseline: {}", of(baseline)))?,
        None => page.words("baseline: none; keep this with --format json, and give it later as --baseline-file")?,
    }
    page.words("a goal is met, or not, when the whole interval of 95 % lies on its side")
}

#[cfg(test)]
mod tests;
