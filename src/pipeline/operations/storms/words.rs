//! A storm in the words of an alert: title, portrait, findings.
//!
//! Pure; takes a [`Picture`] and the names. Every text in it is a name that was neutralised before it was learnt, or
//! ours. Numbers that were not measured are absent (`null`), never made up.

use super::Storm;
use super::burst::{P_MAX, REQUESTS_MIN, TIMES_USUAL};
use super::cause::{Cause, NAMED_AT, percent};
use super::picture::{Picture, route_text};
use crate::pipeline::alert::{Counted, Counts, Finding, Portrait};
use crate::pipeline::event::{Millis, RecoveryOutcome};
use crate::pipeline::names::Names;
use crate::pipeline::operations::tally::Counter;
use crate::pipeline::sample::count_f64;
use crate::pipeline::surfaces::ReleaseKey;

/// Entries of one list in an alert.
const LISTED_MAX: usize = 20;

impl Picture {
    /// `storm on POST /v1/x: 312 panics in 10 minutes where 4 are usual; release 4.18.0 has 98 % of them; contained; 41
    /// customers`.
    pub fn title(&self, storm: &Storm, names: &Names) -> String {
        let parts = [
            self.headline(storm, names),
            self.cause_in_brief(),
            self.containment(),
            plural(self.customers(), "customer"),
        ];
        parts.join("; ")
    }

    fn headline(&self, storm: &Storm, names: &Names) -> String {
        let place = match self.routes.split_first() {
            Some(((route, _), [])) => route_text(*route, names),
            Some(((route, _), more)) => {
                format!("{} and {}", route_text(*route, names), plural(more.len() as u64, "other route"))
            }
            None => names.text(storm.service),
        };
        let usual = match self.expected {
            Some(expected) if expected < 0.95 => format!("where {expected:.1} are usual"),
            Some(expected) => format!("where {expected:.0} are usual"),
            None => "no baseline yet".to_owned(),
        };
        format!("storm on {place}: {} in {}, {usual}", plural(self.events, "panic"), self.minutes())
            .replace(", where", " where")
    }

    fn minutes(&self) -> String {
        let minutes = (self.to.since(self.from) + Millis::MINUTE / 2) / Millis::MINUTE;
        plural(u64::try_from(minutes).unwrap_or(0).max(1), "minute")
    }

    /// The named cause in a few words.
    pub fn cause_in_brief(&self) -> String {
        match self.ranked().into_iter().next().filter(|first| first.score >= NAMED_AT) {
            None => "cause unknown".to_owned(),
            Some(first) => match (first.cause, &self.facts.release) {
                (Cause::Release, Some(release)) => {
                    let share = count_f64(release.events) / count_f64(self.events.max(1));
                    format!("release {} has {} of them", release.name, percent(share))
                }
                (Cause::Hostile, _) => {
                    let share = count_f64(self.facts.hostile) / count_f64(self.events.max(1));
                    format!("{} of them hostile", percent(share))
                }
                (Cause::RetryCascade, _) => {
                    format!("a retry cascade, {:.1} panics a request", self.facts.amplification().unwrap_or(1.0))
                }
                (Cause::OneCustomer, _) => format!("one customer has {} of them", percent(self.facts.customer_share)),
                _ => format!("{} routes fail together", self.facts.routes),
            },
        }
    }

    /// `contained`, `not contained: 12 of 312 left their boundary`, or that nobody says.
    pub fn containment(&self) -> String {
        let (lost, n) = (self.lost(), self.tally.get(Counter::Events));
        let told = self.tally.get(Counter::Handled) + self.tally.get(Counter::Unhandled);
        if lost > 0 {
            format!("not contained: {lost} of {n} left their boundary")
        } else if self.tally.get(Counter::Unhandled) > 0 {
            format!("not contained: {} of {n} were not caught", self.tally.get(Counter::Unhandled))
        } else if told == 0 {
            "nobody says whether contained".to_owned()
        } else {
            "contained".to_owned()
        }
    }

    /// What an alert shows of it.
    pub fn portrait(&self, storm: &Storm, names: &Names, model: &str) -> Portrait {
        let listed = |counts: Vec<(String, u64)>| -> Vec<Counted> {
            counts.into_iter().take(LISTED_MAX).map(|(name, events)| Counted { name, events }).collect()
        };
        let n = self.tally.get(Counter::Events);
        let outcomes = RecoveryOutcome::ALL.map(|outcome| (outcome.name().to_owned(), self.tally.recovered(outcome)));
        let release = |release: ReleaseKey| match release {
            ReleaseKey::One(id) => Some(names.text(id)),
            ReleaseKey::Untold | ReleaseKey::Others => None,
        };
        Portrait {
            title: self.title(storm, names),
            severity: self.severity(),
            first_event: self.from.to_string(),
            last_event: self.to.to_string(),
            counts: Counts {
                events: n,
                actors: self.customers(),
                routes: self.routes.len() as u64,
                ..Counts::default()
            },
            services: listed(vec![(names.text(storm.service), n)]),
            routes: listed(self.routes.iter().map(|(route, n)| (route_text(*route, names), *n)).collect()),
            classes: listed(self.classes.iter().map(|(id, n)| (names.text(*id), *n)).collect()),
            releases: listed(self.releases.iter().filter_map(|(key, n)| Some((release(*key)?, *n))).collect()),
            recovery: listed(outcomes.into_iter().filter(|(_, n)| *n > 0).collect()),
            model: model.to_owned(),
            ..Portrait::default()
        }
    }

    /// The numbers that the alert rests on: the burst, the causes, the blast radius, what changed before.
    pub fn findings(&self) -> Vec<Finding> {
        let mut findings = self.burst_findings();
        for scored in self.ranked() {
            findings.push(Finding {
                name: format!("cause_{}", scored.cause.name()),
                value: Some(scored.score),
                limit: Some(NAMED_AT),
                met: scored.score >= NAMED_AT,
                words: scored.words,
            });
        }
        findings.extend(self.radius());
        findings.extend(self.changes.iter().map(|change| Finding {
            name: "changed_before".to_owned(),
            value: None,
            limit: None,
            met: true,
            words: format!("{}: {}", change.at, change.words),
        }));
        let cause = self.cause();
        findings.push(Finding {
            name: "next_action".to_owned(),
            value: None,
            limit: None,
            met: true,
            words: format!("{}: {}", cause.name(), cause.action()),
        });
        findings
    }

    fn burst_findings(&self) -> Vec<Finding> {
        let events = count_f64(self.events);
        let times = self.expected.filter(|expected| *expected > 0.0).map(|expected| events / expected);
        let usual = match self.expected {
            Some(expected) => format!("{expected:.1} are usual in that time"),
            None => "what is usual is not known yet".to_owned(),
        };
        let (p, minutes) = (self.probability, self.minutes());
        vec![
            finding("events", Some(events), None, format!("{} panics in {minutes}", self.events)),
            finding(
                "requests",
                Some(count_f64(self.requests)),
                Some(count_f64(REQUESTS_MIN)),
                format!("{} requests panicked, retries left out", self.requests),
            ),
            finding("expected", self.expected, None, usual),
            finding(
                "times_usual",
                times,
                Some(TIMES_USUAL),
                times.map_or_else(|| "nothing was usual".to_owned(), |times| format!("{times:.1} times the usual")),
            ),
            Finding {
                met: p < P_MAX,
                ..finding("probability", Some(p), Some(P_MAX), format!("probability of as many by chance: {p:.1e}"))
            },
        ]
    }

    fn radius(&self) -> Vec<Finding> {
        let n = self.tally.get(Counter::Events);
        let count = |name, n: u64, words: String| finding(name, Some(count_f64(n)), None, words);
        let seen = self.tally.get(Counter::UserVisible);
        let mut radius = vec![
            count("routes", self.routes.len() as u64, plural(self.routes.len() as u64, "route")),
            count("customers", self.customers(), plural(self.customers(), "customer")),
            count("regions", self.regions.len() as u64, plural(self.regions.len() as u64, "region")),
            count("isolates", self.isolates(), plural(self.isolates(), "isolate")),
            count("user_visible", seen, format!("{seen} of {n} were seen by users as failures")),
            count("lost", self.lost(), self.containment()),
        ];
        if let (Some(ratio), Some(release)) = (self.release_ratio, &self.facts.release) {
            let words = if ratio.estimate.is_infinite() {
                format!("release {} panics here, where nothing was usual", release.name)
            } else {
                format!(
                    "release {} panics here at {:.1} times the rate that was usual (95 %: {:.1} to {:.1})",
                    release.name, ratio.estimate, ratio.low, ratio.high
                )
            };
            let value = ratio.estimate.is_finite().then_some(ratio.estimate);
            radius.push(Finding { value, ..finding("release_rate_ratio", value, Some(1.0), words) });
        }
        radius
    }
}

/// A finding that is met where its value reaches its limit.
fn finding(name: &str, value: Option<f64>, limit: Option<f64>, words: String) -> Finding {
    let met = value.zip(limit).is_none_or(|(value, limit)| value >= limit);
    Finding { name: name.to_owned(), value, limit, met, words }
}

fn plural(n: u64, word: &str) -> String {
    if n == 1 { format!("1 {word}") } else { format!("{n} {word}s") }
}
