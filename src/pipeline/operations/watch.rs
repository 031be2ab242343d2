//! Watching retries and releases: what is told of cascades and rollback criteria, once an epoch.
//!
//! Reads the ledger's newest pages, the limits and the rules; turns the lives of [`Category::RetryCascade`] and
//! [`Category::Rollback`] situations and writes their alerts. The lines of succession are found once a page and kept
//! beside the state; they follow from the ledger, so a start finds the same ones. Event time only.
//!
//! Bounds: those of [`Alarms`]. Costs one pass over the newest pages an epoch and one over a day of them a page.

use std::collections::BTreeSet;

use super::alarms::{AlarmKey, Alarms, Told};
use super::cascade::{self, Cascade, Place, cascades};
use super::ledger::{Account, Ledger, RouteKey, Span, Tier, release_id};
use super::releases::{Line, PAGE_MILLIS, Sheet};
use super::rollback::{self, Criterion, Standing, criteria, is_running, number};
use super::tally::{Counter, Tally};
use crate::pipeline::alert::{Alert, Category, Counted, Counts, Finding, Portrait, Severity};
use crate::pipeline::event::{Id, Millis, RecoveryOutcome};
use crate::pipeline::life::Word;
use crate::pipeline::names::Names;
use crate::pipeline::portrait::{listed, severity};
use crate::pipeline::{Context, Step};

/// What follows from the ledger and is not worth finding at each epoch.
#[derive(Debug, Clone, Default)]
pub(super) struct Lines {
    /// Start of the page at which they were found.
    at: Option<Millis>,
    lines: Vec<Line>,
}

impl PartialEq for Lines {
    /// A memo: it says nothing that the ledger does not.
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Lines {}

/// What the watch looks at.
pub(super) struct Lookout<'s> {
    pub(super) ledger: &'s Ledger,
    pub(super) context: &'s Context,
    pub(super) names: &'s Names,
    pub(super) now: Millis,
}

impl Lookout<'_> {
    /// Turns all situations, and tells what changed.
    pub(super) fn look(&self, lines: &mut Lines, alarms: &mut Alarms, step: &mut Step) {
        let page = Tier::FiveMinutes.start(self.now.plus(-1));
        if lines.at != Some(page) {
            *lines = Lines { at: Some(page), lines: Line::newest(self.ledger, page) };
        }
        self.cascades(&lines.lines, alarms, step);
        self.rollbacks(&lines.lines, alarms, step);
    }

    fn cascades(&self, lines: &[Line], alarms: &mut Alarms, step: &mut Step) {
        let key = |subject| AlarmKey { category: Category::RetryCascade, subject };
        let limits = &self.context.operations.cascade;
        let found = cascades(self.ledger, limits, self.now, |place| alarms.is_open(key(cascade::subject(place))));
        let window = limits.window(self.now);
        let mut met: BTreeSet<Id> = BTreeSet::new();
        for cascade in found {
            let (subject, place) = (cascade::subject(cascade.place), cascade.place);
            met.insert(subject);
            let severity = severity(cascade.retries.events, cascade.retries.unhandled, 0);
            let word = Word { holds: cascade.holds, severity, last_event: self.now };
            let Some(told) = alarms.turn(&self.context.alerts, key(subject), word, self.now) else { continue };
            let title = self.cascade_title(&cascade, window);
            let line = lines.iter().find(|line| line.service == place.0);
            let mut findings = self.cascade_findings(&cascade);
            findings.extend(line.into_iter().flat_map(|line| self.judged(line)).map(|c| c.finding(self.names)));
            let tally = self.tally(window, |account| at_place(account, place));
            let portrait = self.portrait(title, severity, &tally, &told);
            step.alerts.push(Alert::of_operations(Category::RetryCascade, &told, self.now, portrait, findings));
        }
        self.calm(Category::RetryCascade, &met, alarms, step);
    }

    /// `retries of POST /v1/x: 3.4 events for each original request in 15 minutes, growing; 212 retries, 0 succeeded`.
    fn cascade_title(&self, cascade: &Cascade, window: Span) -> String {
        let route = cascade.place.1.id().map_or_else(String::new, |id| self.names.text(id));
        let Cascade { retries, amplification, .. } = cascade;
        let times = if amplification.estimate.is_finite() {
            format!("{:.1}", amplification.estimate)
        } else {
            format!("at least {:.1}", amplification.low)
        };
        // The open page is not whole yet, so what grows is told by the two before it.
        let mut whole = retries.pages.iter().rev().filter(|(start, _)| start.plus(PAGE_MILLIS) <= self.now);
        let grows = matches!((whole.next(), whole.next()), (Some((_, late)), Some((_, early))) if late > early);
        format!(
            "retries of {route}: {times} events for each original request in {} minutes{}; {} retries, {} succeeded",
            window.millis() / Millis::MINUTE,
            if grows { ", growing" } else { "" },
            retries.retries(),
            retries.succeeded,
        )
    }

    fn cascade_findings(&self, cascade: &Cascade) -> Vec<Finding> {
        let limits = &self.context.operations.cascade;
        let Cascade { retries, amplification, growth, busiest, .. } = cascade;
        let finite = |x: f64, low: f64| Some(if x.is_finite() { x } else { low });
        let grown = growth.map_or_else(
            || "too little is known of the time before".to_owned(),
            |growth| {
                format!(
                    "{} times the retries of the busiest as long time of the day before, {} against {busiest}; limit {}",
                    number(growth),
                    retries.retries(),
                    limits.growth
                )
            },
        );
        let counted = |name: &str, n: u64, words: String| Finding {
            name: name.to_owned(),
            value: Some(crate::pipeline::sample::count_f64(n)),
            limit: None,
            met: false,
            words,
        };
        vec![
            Finding {
                name: "amplification".to_owned(),
                value: finite(amplification.estimate, amplification.low),
                limit: Some(limits.amplification),
                met: amplification.low > limits.amplification,
                words: format!(
                    "{} events for each original request: {} events, {} originals; limit {}",
                    number(*amplification),
                    retries.events,
                    retries.originals,
                    limits.amplification
                ),
            },
            Finding {
                name: "retry_growth".to_owned(),
                value: growth.and_then(|growth| finite(growth.estimate, growth.low)),
                limit: Some(limits.growth),
                met: growth.is_some_and(|growth| growth.low > limits.growth),
                words: grown,
            },
            counted(
                "retries",
                retries.retries(),
                format!(
                    "{} retries in the window, {} events of which a later attempt succeeded",
                    retries.retries(),
                    retries.succeeded
                ),
            ),
            counted(
                "repeated_side_effects",
                retries.repeated_side_effects,
                format!("{} retries changed again what had been changed", retries.repeated_side_effects),
            ),
        ]
    }

    fn judged(&self, line: &Line) -> Vec<Criterion> {
        criteria(self.ledger, line, &self.context.operations.rollback, &self.names.text(line.service), self.now)
    }

    fn rollbacks(&self, lines: &[Line], alarms: &mut Alarms, step: &mut Step) {
        let mut met: BTreeSet<Id> = BTreeSet::new();
        for line in lines {
            let key = AlarmKey { category: Category::Rollback, subject: rollback::subject(line) };
            let criteria = self.judged(line);
            let worst = criteria.iter().map(|criterion| criterion.standing).max();
            // What was met stays so until the measure itself is on the right side again, or the release is gone.
            let holds = match worst {
                Some(Standing::Met) => true,
                Some(Standing::Leaning | Standing::NotEnoughData) => {
                    alarms.is_open(key) && is_running(self.ledger, line, &self.context.operations.rollback, self.now)
                }
                Some(Standing::NotMet) | None => false,
            };
            met.insert(key.subject);
            let window = Span { from: line.since, to: self.now, tier: Tier::FiveMinutes };
            let recent = Span { from: window.from.max(self.now.plus(-Millis::HOUR)), ..window };
            let mut word = Word { holds, severity: Severity::Low, last_event: self.now };
            if holds {
                let figures = Sheet::of(self.ledger, recent, line.service, line.new).whole;
                word.severity = severity(figures.events, figures.unhandled, 0);
            }
            let Some(told) = alarms.turn(&self.context.alerts, key, word, self.now) else { continue };
            let findings = criteria.iter().map(|criterion| criterion.finding(self.names)).collect();
            let of_release = |account: &Account| account.service == Some(line.service) && account.release == line.new;
            let lines = self.tally(recent, of_release);
            let portrait = self.portrait(self.rollback_title(line, &criteria), word.severity, &lines, &told);
            step.alerts.push(Alert::of_operations(Category::Rollback, &told, self.now, portrait, findings));
        }
        self.calm(Category::Rollback, &met, alarms, step);
    }

    /// `release 4.18.0 of api, after 4.17.2: 1 of 4 rollback criteria met: panic_share: …`.
    fn rollback_title(&self, line: &Line, criteria: &[Criterion]) -> String {
        let release = |key| release_id(key).map_or_else(|| "an unnamed one".to_owned(), |id| self.names.text(id));
        let met: Vec<String> =
            criteria.iter().filter(|c| c.standing == Standing::Met).map(|c| c.words(self.names)).collect();
        let head = format!(
            "release {} of {}, after {}: {} of {} rollback criteria met",
            release(line.new),
            self.names.text(line.service),
            release(line.old),
            met.len(),
            criteria.len()
        );
        met.first().map_or_else(|| head.clone(), |first| format!("{head}: {first}"))
    }

    /// Turns the open situations of a kind that nothing speaks for any more.
    fn calm(&self, category: Category, met: &BTreeSet<Id>, alarms: &mut Alarms, step: &mut Step) {
        let gone: Vec<AlarmKey> = alarms
            .open()
            .map(|(key, ..)| key)
            .filter(|key| key.category == category && !met.contains(&key.subject))
            .collect();
        for key in gone {
            let word = Word { holds: false, severity: Severity::Low, last_event: self.now };
            let Some(told) = alarms.turn(&self.context.alerts, key, word, self.now) else { continue };
            let title = match category {
                Category::RetryCascade => "retries are back to what is usual".to_owned(),
                _ => "the release is gone, or no longer the newest".to_owned(),
            };
            let title = self.closed_title(category, key.subject, &told).unwrap_or(title);
            let portrait = self.portrait(title, Severity::Low, &[], &told);
            step.alerts.push(Alert::of_operations(category, &told, self.now, portrait, Vec::new()));
        }
    }

    /// What a situation was about, found again in the pages since it began.
    fn closed_title(&self, category: Category, subject: Id, told: &Told) -> Option<String> {
        let since = Span {
            from: Tier::FiveMinutes.start(told.since.plus(-PAGE_MILLIS)),
            to: self.now,
            tier: Tier::FiveMinutes,
        };
        let mut accounts = self.ledger.pages(since).flat_map(|(_, page)| page.accounts()).map(|(account, _)| account);
        if category != Category::RetryCascade {
            return None;
        }
        let place = |account: &Account| -> Option<Place> { Some((account.service?, account.route)) };
        let of = accounts.find_map(|account| place(account).filter(|place| cascade::subject(*place) == subject))?;
        let (service, route) = (self.names.text(of.0), of.1.id().map(|id| self.names.text(id)).unwrap_or_default());
        Some(format!("retries of {route} at {service} are back to what is usual"))
    }

    /// The lines of the account that `wanted` names, in a span.
    fn tally(&self, span: Span, wanted: impl Fn(&Account) -> bool) -> Vec<(Account, Tally)> {
        self.ledger.tallies(span, |account| wanted(account).then_some(*account)).into_iter().collect()
    }

    fn portrait(&self, title: String, severity: Severity, lines: &[(Account, Tally)], told: &Told) -> Portrait {
        let name = |id: Option<Id>| id.map_or_else(|| "others".to_owned(), |id| self.names.text(id));
        let by = |key: &dyn Fn(&Account) -> String| {
            let mut counts = std::collections::BTreeMap::<String, u64>::new();
            for (account, tally) in lines {
                *counts.entry(key(account)).or_default() += tally.get(Counter::Events);
            }
            listed(counts.into_iter())
        };
        let whole = sum(lines);
        Portrait {
            title,
            severity,
            first_event: told.since.to_string(),
            last_event: self.now.to_string(),
            counts: counts(lines, &whole),
            services: by(&|account| name(account.service)),
            routes: by(&|account| name(account.route.id())),
            releases: by(&|account| name(release_id(account.release))),
            classes: listed(whole.classes.iter().map(|(id, n)| (self.names.text(Id(id)), n))),
            recovery: recovery(&whole),
            model: self.context.version.clone(),
            ..Portrait::default()
        }
    }
}

fn at_place(account: &Account, (service, route): Place) -> bool {
    account.service == Some(service) && account.route == route
}

fn sum(lines: &[(Account, Tally)]) -> Tally {
    let mut whole = Tally::default();
    for (_, tally) in lines {
        whole.merge(tally);
    }
    whole
}

fn counts(lines: &[(Account, Tally)], whole: &Tally) -> Counts {
    let routes: BTreeSet<RouteKey> = lines.iter().map(|(account, _)| account.route).collect();
    let actors = whole.breadth.as_ref().map_or(0, |breadth| breadth.customers.len_estimate());
    Counts { events: whole.get(Counter::Events), actors, routes: routes.len() as u64, ..Counts::default() }
}

fn recovery(whole: &Tally) -> Vec<Counted> {
    let outcomes = RecoveryOutcome::ALL.into_iter();
    listed(outcomes.map(|outcome| (outcome.name().to_owned(), whole.recovered(outcome))))
}
