//! Rollback criteria: whether a new release is so much worse than the one before it that it should go.
//!
//! Reads a [`Line`] of succession, the newest pages of the ledger, and [`Rule`]s; gives a [`Criterion`] for each rule,
//! with every number that it rests on. A criterion is met only when the *interval* lies beyond the limit, so that ten
//! events roll back nothing, and, but for the panic share, which is a comparison by itself, only when the new release is
//! also worse than the old one: what was as bad before is not mended by going back.
//!
//! Pure. Costs some microseconds a rule and route.

use std::collections::BTreeMap;

use super::interval::{Interval, share};
use super::ledger::{Ledger, RouteKey, Span, Tier};
use super::releases::{Denominator, Figures, Line, PAGE_MILLIS, Pace, Sheet};
use crate::pipeline::alert::Finding;
use crate::pipeline::event::{Id, Millis};
use crate::pipeline::names::Names;

/// Most rules in force.
pub const RULES_MAX: usize = 32;

/// What a rule measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Measure {
    /// Panics for each original request.
    Amplification,
    /// Panics as a multiple of the old release's, on the whole or on its worst route.
    PanicShare,
    /// Share of panics that were not caught.
    UnhandledShare,
    /// Share of honest panics that were made good: answered below 500, or a retry succeeded.
    RecoveryShare,
}

impl Measure {
    /// Every measure.
    pub const ALL: [Self; 4] = [Self::Amplification, Self::PanicShare, Self::UnhandledShare, Self::RecoveryShare];

    /// `amplification`, `panic_share`, `unhandled_share` or `recovery_share`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Amplification => "amplification",
            Self::PanicShare => "panic_share",
            Self::UnhandledShare => "unhandled_share",
            Self::RecoveryShare => "recovery_share",
        }
    }

    /// Whether less is worse.
    fn falls(self) -> bool {
        self == Self::RecoveryShare
    }
}

/// A rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// What is measured.
    pub measure: Measure,
    /// From here on it is too much (for [`Measure::RecoveryShare`]: too little).
    pub limit: f64,
    /// How many five-minute pages up to now are looked at, at least 1.
    pub window_pages: i64,
    /// Events in that window from which on the measure says anything.
    pub events_min: u64,
    /// Services that it holds for; all when empty.
    pub services: Vec<String>,
}

impl Rule {
    /// What holds when nothing is configured. The limits were chosen on the labelled sets and are proved on no other; the
    /// last two are strict, since a share also changes with what is panicking.
    pub fn usual() -> Vec<Self> {
        let rule = |measure, limit| Self { measure, limit, window_pages: 6, events_min: 30, services: Vec::new() };
        vec![
            rule(Measure::Amplification, 2.0),
            rule(Measure::PanicShare, 3.0),
            rule(Measure::UnhandledShare, 0.1),
            rule(Measure::RecoveryShare, 0.01),
        ]
    }

    fn holds_for(&self, service: &str) -> bool {
        self.services.is_empty() || self.services.iter().any(|name| name == service)
    }

    /// The pages that it looks at, up to `now`: the open one counts.
    fn window(&self, now: Millis) -> Span {
        let open = Tier::FiveMinutes.start(now.plus(-1));
        let from = open.plus(-(self.window_pages.max(1) - 1).saturating_mul(PAGE_MILLIS));
        Span { from, to: open.plus(PAGE_MILLIS), tier: Tier::FiveMinutes }
    }
}

/// How a criterion stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Too few events to say.
    NotEnoughData,
    /// The limit is not passed.
    NotMet,
    /// The estimate lies beyond the limit, its interval does not.
    Leaning,
    /// The whole interval lies beyond the limit.
    Met,
}

impl Standing {
    /// `not enough data`, `not met`, `leaning` or `met`.
    pub fn words(self) -> &'static str {
        match self {
            Self::NotEnoughData => "not enough data",
            Self::NotMet => "not met",
            Self::Leaning => "leaning",
            Self::Met => "met",
        }
    }
}

/// What a rule says of a release.
#[derive(Debug, Clone, PartialEq)]
pub struct Criterion {
    /// What was measured.
    pub measure: Measure,
    /// The limit.
    pub limit: f64,
    /// The pages that were looked at.
    pub window: Span,
    /// Events in them that the measure rests on.
    pub events: u64,
    /// Events that it needs.
    pub events_min: u64,
    /// The measure; `None` without data.
    pub value: Option<Interval>,
    /// The same of the old release; `None` without data, and for the panic share, which has it in it.
    pub before: Option<Interval>,
    /// What the panic share was compared by.
    pub pace: Option<Pace>,
    /// How it stands.
    pub standing: Standing,
}

/// What the rules say of the new release of a line at `now`; rules for other services are left out.
pub fn criteria(ledger: &Ledger, line: &Line, rules: &[Rule], service: &str, now: Millis) -> Vec<Criterion> {
    let rules = rules.iter().filter(|rule| rule.holds_for(service));
    // Most rules look at one window.
    let mut sheets: BTreeMap<Millis, Sheet> = BTreeMap::new();
    rules
        .map(|rule| {
            let window = rule.window(now);
            let window = Span { from: window.from.max(line.since), ..window };
            let made = || Sheet::of(ledger, window, line.service, line.new);
            criterion(line, rule, window, sheets.entry(window.from).or_insert_with(made))
        })
        .collect()
}

/// Whether there is anything of the release in the longest window of the rules: if not, it is gone.
pub fn is_running(ledger: &Ledger, line: &Line, rules: &[Rule], now: Millis) -> bool {
    let longest = rules.iter().max_by_key(|rule| rule.window_pages);
    longest.is_some_and(|rule| !Sheet::of(ledger, rule.window(now), line.service, line.new).is_empty())
}

fn criterion(line: &Line, rule: &Rule, window: Span, sheet: &Sheet) -> Criterion {
    let empty = Criterion {
        measure: rule.measure,
        limit: rule.limit,
        window,
        events: 0,
        events_min: rule.events_min,
        value: None,
        before: None,
        pace: None,
        standing: Standing::NotEnoughData,
    };
    if rule.measure == Measure::PanicShare {
        return panic_share(line, rule, sheet, &empty);
    }
    let (events, value) = measured(rule.measure, &sheet.whole);
    let (_, before) = measured(rule.measure, &line.reference.whole);
    let standing = match (value, before) {
        (Some(value), Some(before)) if events >= rule.events_min => stands(rule, value, before),
        _ => Standing::NotEnoughData,
    };
    Criterion { events, value, before, standing, ..empty }
}

/// Beyond the limit, and worse than before.
fn stands(rule: &Rule, value: Interval, before: Interval) -> Standing {
    let beyond = |end: f64, estimate: f64| {
        if rule.measure.falls() { end < rule.limit && end < estimate } else { end > rule.limit && end > estimate }
    };
    let near_end = if rule.measure.falls() { value.high } else { value.low };
    if beyond(near_end, before.estimate) {
        Standing::Met
    } else if beyond(value.estimate, before.estimate) {
        Standing::Leaning
    } else {
        Standing::NotMet
    }
}

fn measured(measure: Measure, figures: &Figures) -> (u64, Option<Interval>) {
    let Figures { events, originals, handled, unhandled, real, transient, .. } = *figures;
    match measure {
        Measure::Amplification | Measure::PanicShare => (events, amplification(events, originals)),
        Measure::UnhandledShare => (handled + unhandled, share(unhandled, handled + unhandled)),
        Measure::RecoveryShare => (real + transient, share(transient, real + transient)),
    }
}

/// The worst of the whole release and its routes, of those with enough events: the one whose interval begins highest. An
/// interval costs more than all else here, so only those over the limit get one, and else the highest alone.
fn panic_share(line: &Line, rule: &Rule, sheet: &Sheet, empty: &Criterion) -> Criterion {
    let n_pages = (empty.window.millis() / PAGE_MILLIS).max(1);
    let routes =
        sheet.routes.iter().filter(|(_, figures)| figures.honest >= rule.events_min).map(|(key, _)| Some(*key));
    let rates = std::iter::once(None).chain(routes).filter_map(|route| {
        let rates = line.rates(sheet, n_pages, route).filter(|rates| rates.new >= rule.events_min)?;
        Some((rates.estimate(), route))
    });
    let mut rates: Vec<(f64, Option<RouteKey>)> = rates.collect();
    rates.sort_by(|a, b| b.0.total_cmp(&a.0));
    let n_over = rates.iter().take_while(|(estimate, _)| *estimate > rule.limit).count().max(1);
    let paces = rates.iter().take(n_over).filter_map(|(_, route)| line.pace(sheet, n_pages, *route));
    let worst = paces.max_by(|a, b| a.ratio.low.total_cmp(&b.ratio.low));
    let Some(pace) = worst else { return Criterion { events: sheet.whole.honest, ..empty.clone() } };
    let standing = if pace.ratio.low > rule.limit {
        Standing::Met
    } else if pace.ratio.estimate > rule.limit {
        Standing::Leaning
    } else {
        Standing::NotMet
    };
    Criterion { events: pace.new, value: Some(pace.ratio), pace: Some(pace), standing, ..empty.clone() }
}

/// Events for each original request. Of `events` panics `originals` begin a request: their share has Wilson's interval,
/// and the amplification is its inverse. Without originals (the requests began before, or their first attempt did not
/// panic) only a lower bound is left. `None` without events.
pub fn amplification(events: u64, originals: u64) -> Option<Interval> {
    let share = share(originals, events)?;
    Some(Interval { low: 1.0 / share.high, estimate: 1.0 / share.estimate, high: 1.0 / share.low })
}

impl Criterion {
    /// The number with its limit, as an alert and a report tell it.
    pub fn finding(&self, names: &Names) -> Finding {
        Finding {
            name: self.measure.name().to_owned(),
            value: self.value.map(|value| if value.estimate.is_finite() { value.estimate } else { value.low }),
            limit: Some(self.limit),
            met: self.standing == Standing::Met,
            words: self.words(names),
        }
    }

    /// `29.3 times as many panics a request as before on POST /v1/quote (21.8 to 39.6; limit 3; 505 events in 30 minutes): met`.
    pub fn words(&self, names: &Names) -> String {
        let minutes = self.window.millis() / Millis::MINUTE;
        let standing = self.standing.words();
        let measure = self.measure.name();
        let Self { events, events_min, limit, .. } = self;
        let Some(value) = self.value.filter(|_| self.standing != Standing::NotEnoughData) else {
            return format!("{measure}: {standing}: {events} events in {minutes} minutes, {events_min} are needed");
        };
        let said = match self.measure {
            Measure::Amplification => format!("{} events for each original request", number(value)),
            Measure::PanicShare => self.pace.map_or_else(String::new, |pace| pace_words(&pace, names)),
            Measure::UnhandledShare => format!("{} of panics not caught", percent(value)),
            Measure::RecoveryShare => format!("{} of honest panics made good", percent(value)),
        };
        let before = self.before.map_or_else(String::new, |before| match self.measure {
            Measure::UnhandledShare | Measure::RecoveryShare => format!(", {} before", percent(before)),
            Measure::Amplification | Measure::PanicShare => format!(", {} before", number(before)),
        });
        format!("{measure}: {said}{before}; limit {limit}, {events} events in {minutes} minutes: {standing}")
    }
}

/// `29.3 times as many panics a request as before on POST /v1/quote (21.8 to 39.6): 505 of 1200 requests, 52 of 3600`.
pub fn pace_words(pace: &Pace, names: &Names) -> String {
    let on_route = pace.route.and_then(RouteKey::id).map_or_else(String::new, |id| format!(" on {}", names.text(id)));
    let (new, old) = (pace.new, pace.old);
    let multiple = number(pace.ratio);
    match pace.denominator {
        Denominator::Requests { new: of_new, old: of_old } => {
            format!(
                "{multiple} times as many panics a request as before{on_route}: {new} in {of_new} requests, {old} in {of_old}"
            )
        }
        Denominator::Busiest { millis } => {
            let minutes = millis / Millis::MINUTE;
            format!(
                "{multiple} times as many panics as in the busiest {minutes} minutes before{on_route}: {new}, then {old} (no \
                 request totals are known)"
            )
        }
    }
}

/// `3.4 (2.9 to 4.1)`, or `at least 2.9` where nothing limits it.
pub fn number(value: Interval) -> String {
    let Interval { low, estimate, high } = value;
    if !estimate.is_finite() {
        return format!("at least {low:.1}");
    }
    if high.is_finite() {
        format!("{estimate:.1} ({low:.1} to {high:.1})")
    } else {
        format!("{estimate:.1} (at least {low:.1})")
    }
}

/// `12.5 % (10.1 to 15.4)`.
pub fn percent(value: Interval) -> String {
    let Interval { low, estimate, high } = value;
    format!("{:.1} % ({:.1} to {:.1})", estimate * 100.0, low * 100.0, high * 100.0)
}

/// What a rollback alert is about: a service and a release.
pub(super) fn subject(line: &Line) -> Id {
    let release = super::ledger::release_id(line.new).unwrap_or(Id(0));
    Id(crate::pipeline::sample::mix(line.service.0 ^ crate::pipeline::sample::mix(release.0)))
}

#[cfg(test)]
mod tests;
