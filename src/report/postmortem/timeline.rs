//! The timeline of a post-mortem: what began, grew, was told, was acknowledged and ended, in event time.
//!
//! Reads pages, clusters, releases and alerts; gives rows in order of time. A service grows from the first page of five
//! minutes (or of an hour, or a day, where the store knows no finer) that holds at least [`BURST_TIMES`] as many events as
//! its baseline lets expect, and so many that chance would make them once in a million; it is back at the end of the
//! last such page. Bounded by [`TOLD_MAX`]: alerts and new clusters beyond are counted elsewhere.

use std::collections::BTreeMap;

use super::super::document::{Section, Table, Value, Words, clock, decimal};
use super::super::scope::{Exposure, Scope, events};
use super::clusters::{Seen, Stretches, Turn};
use super::figures::Release;
use crate::edge::store::Sent;
use crate::pipeline::event::Millis;
use crate::pipeline::operations::interval::burst_probability;
use crate::pipeline::operations::ledger::Span;
use crate::pipeline::sample::count_f64;

/// Rows of the timeline.
const TOLD_MAX: usize = 60;

/// New or grown clusters in the timeline.
const CLUSTERS_MAX: usize = 8;

/// How many times as many events as expected make a burst.
const BURST_TIMES: f64 = 3.0;

/// How unlikely they must be by chance: a day has 288 pages of five minutes, and a deployment some ten services.
const BURST_PROBABILITY: f64 = 1e-6;

/// One line; the rank orders what happened at one time: it began before it was told.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Moment {
    at: Millis,
    rank: u8,
    what: Words,
}

/// What the timeline is made of.
pub(super) struct Facts<'f> {
    pub(super) stretches: &'f Stretches,
    pub(super) seen: &'f [Seen],
    pub(super) releases: &'f [Release],
    pub(super) sent: &'f [Sent],
    /// Events of the period.
    pub(super) n_events: u64,
}

/// A burst of a service.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Burst {
    pub(super) service: String,
    /// Start of its first page.
    pub(super) from: Millis,
    /// End of its last page.
    pub(super) to: Millis,
    /// Events of the page with the most, its start, and what was expected of a page.
    pub(super) peak: (u64, Millis),
    pub(super) expected: f64,
}

/// The section.
pub(super) fn section(scope: &Scope<'_>, facts: &Facts<'_>) -> Section {
    let mut moments = Vec::new();
    let mut note = |at: Millis, rank: u8, what: Words| moments.push(Moment { at, rank, what });
    let (span, _) = &facts.stretches.now;
    for (service, (at, n)) in peaks(scope, *span) {
        let page = span.tier.words();
        note(at, 3, Words::new("Most events of ").name(&service).say(format!(": {n} in the {page} from here on.")));
    }
    for burst in bursts(scope, facts.stretches) {
        let expected = decimal(burst.expected);
        let service = || Words::default().name(&burst.service);
        note(
            burst.from,
            1,
            service().say(format!(" grows to three times its usual {expected} events a page, and more.")),
        );
        note(burst.to, 4, service().say(" is below three times its usual number of events again."));
    }
    for release in facts.releases.iter().filter(|release| release.is_new) {
        let words = || Words::new("Release ").name(&release.name).say(" of ").name(&release.service);
        if let Some(at) = release.first {
            note(at, 0, words().say(" is seen for the first time (to the page)."));
        }
        let last = release.last.filter(|last| *last < span.to);
        if let Some(at) = last {
            note(at, 5, words().say(" is not seen any more."));
        }
    }
    clusters(facts, *span, &mut note);
    for Sent { alert, deliveries, .. } in facts.sent {
        let Some(at) = Millis::parse(&alert.at) else { continue };
        let mut words = Words::new(format!(
            "Alert {} {}: {} {} ",
            alert.alert_id,
            alert.change.name(),
            alert.category.name().replace('_', " "),
            alert.cluster
        ));
        words = words.say("(").name(&alert.portrait.title).say(")");
        if let Some(first) = deliveries.iter().filter(|one| one.fate.is_taken()).min_by_key(|one| one.at_ms) {
            let at = clock(Millis(first.at_ms));
            words = words.say("; acknowledged by ").name(&first.destination).say(format!(" at {at} of its clock"));
        }
        note(at, 2, words.say("."));
    }
    table(moments)
}

fn table(mut moments: Vec<Moment>) -> Section {
    moments.sort_by_key(|moment| (moment.at, moment.rank));
    let mut section = Section::new("timeline", "Timeline (UTC, event time)");
    let mut table = Table::new("timeline", &[("at", "at"), ("what", "what")]);
    let n_more = moments.len().saturating_sub(TOLD_MAX);
    for moment in moments.into_iter().take(TOLD_MAX) {
        table.push(vec![Value::Time(Some(moment.at)), Value::Words(moment.what)]);
    }
    section.table(table);
    if n_more > 0 {
        section.say(format!("{n_more} later entries are left out here; the sections below count everything."));
    }
    section
}

fn clusters(facts: &Facts<'_>, span: Span, note: &mut impl FnMut(Millis, u8, Words)) {
    let inside = |at: &Millis| *at >= span.from && *at < span.to;
    for seen in facts.seen.iter().filter(|seen| seen.matters(facts.n_events)).take(CLUSTERS_MAX) {
        let words = |what: &str| Words::new(format!("Cluster {} {what}: ", seen.id)).with(seen.place.words());
        let first = seen.ever.first.filter(inside).filter(|_| seen.turn == Turn::New);
        if let Some(at) = first {
            note(at, 1, words("begins").say("."));
        }
        let last = seen.ever.last.filter(inside);
        if let Some(at) = last {
            note(at, 4, words("has its last event").say("."));
        }
    }
}

/// The page with the most events of each service (the first of several), with its start.
fn peaks(scope: &Scope<'_>, span: Span) -> BTreeMap<String, (Millis, u64)> {
    let mut peaks: BTreeMap<String, (Millis, u64)> = BTreeMap::new();
    for (start, services) in by_page(scope, span) {
        for (service, n) in services {
            let peak = peaks.entry(service).or_insert((start, 0));
            if n > peak.1 {
                *peak = (start, n);
            }
        }
    }
    peaks
}

/// Events by page and service.
fn by_page(scope: &Scope<'_>, span: Span) -> BTreeMap<Millis, BTreeMap<String, u64>> {
    let mut pages: BTreeMap<Millis, BTreeMap<String, u64>> = BTreeMap::new();
    for part in scope.parts() {
        for (start, page) in part.ledger().pages(span) {
            for (account, tally) in page.accounts().filter(|(account, _)| part.has(account.service)) {
                let count = pages.entry(start).or_default().entry(part.service(account.service)).or_default();
                *count += events(tally);
            }
        }
    }
    pages
}

/// What grew against the baseline, by service.
pub(super) fn bursts(scope: &Scope<'_>, stretches: &Stretches) -> Vec<Burst> {
    let Some((before, exposure)) = &stretches.before else { return Vec::new() };
    let usual = scope.tallies(*before, |part, account| Some(part.service(account.service)));
    let (span, _) = &stretches.now;
    let page = Exposure { millis: span.tier.millis().unsigned_abs(), ..Exposure::default() };
    let mut bursts: BTreeMap<String, Burst> = BTreeMap::new();
    for (start, services) in by_page(scope, *span) {
        for (service, n) in services {
            let before = usual.get(&service).map_or(0, events);
            if exposure.millis == 0 || before == 0 {
                continue;
            }
            let expected = count_f64(before) * count_f64(page.millis) / count_f64(exposure.millis);
            let unlikely = burst_probability(n, page.millis, before, exposure.millis) < BURST_PROBABILITY;
            if count_f64(n) < BURST_TIMES * expected || !unlikely {
                continue;
            }
            let to = start.plus(span.tier.millis());
            let new = Burst { service: service.clone(), from: start, to, peak: (n, start), expected };
            let burst = bursts.entry(service).or_insert(new);
            burst.to = to;
            if n > burst.peak.0 {
                burst.peak = (n, start);
            }
        }
    }
    bursts.into_values().collect()
}
