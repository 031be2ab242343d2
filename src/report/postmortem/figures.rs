//! What became of the panics of a period: recovery, retries, releases.
//!
//! Reads the ledger. Recovery success is the share of events that were contained *and* answered properly among those of
//! which it is told what became of them; an error answer is contained, and no success.

use std::collections::{BTreeMap, BTreeSet};

use super::super::document::{Section, Table, Value, Words};
use super::super::scope::{Exposure, Part, Per, Scope, compare, events};
use crate::pipeline::event::{Millis, RecoveryOutcome, RetryOutcome};
use crate::pipeline::operations::interval::{Interval, share};
use crate::pipeline::operations::ledger::{Account, Span, Tier};
use crate::pipeline::operations::tally::{Counter, Tally};
use crate::pipeline::sample::count_f64;
use crate::pipeline::surfaces::ReleaseKey;

/// Rows of a table that are told.
const TOLD_MAX: usize = 20;

/// Share of the handled among the events of which it is told.
pub(super) fn handled(tally: &Tally) -> Option<Interval> {
    let handled = tally.get(Counter::Handled);
    share(handled, handled.saturating_add(tally.get(Counter::Unhandled)))
}

/// Share of the recovered among the events of which the outcome is told.
pub(super) fn success(tally: &Tally) -> Option<Interval> {
    let known = events(tally).saturating_sub(tally.recovered(RecoveryOutcome::Unknown));
    share(tally.recovered(RecoveryOutcome::Recovered), known)
}

/// The section on recovery.
pub(super) fn recovery(scope: &Scope<'_>, span: Span, total: &Tally) -> Section {
    let mut section = Section::new("recovery", "Recovery");
    section.say(
        "Success is a panic that was contained and answered properly (below 500), among those of which the outcome is \
         told; intervals are of 95 % (Wilson).",
    );
    let by_boundary = scope.tallies(span, |part, account| {
        let boundary = account.boundary.map_or_else(String::new, |id| part.tenant.name(id));
        Some((part.service(account.service), boundary))
    });
    if by_boundary.keys().all(|(_, boundary)| boundary.is_empty()) && events(total) > 0 {
        section.say("No producer names the boundary that contained a panic, so the rates are by service alone.");
    }
    let mut table = Table::new(
        "recovery",
        &[
            ("service", "service"),
            ("boundary", "boundary"),
            ("events", "events"),
            ("handled", "handled"),
            ("success", "recovery success"),
            ("recovered", "recovered"),
            ("degraded", "degraded"),
            ("escaped", "escaped"),
            ("aborted", "aborted"),
            ("suspected_abort", "suspected abort"),
            ("unknown", "not told"),
            ("user_visible", "user-visible"),
            ("recovery_p50_ms", "recovery p50"),
        ],
    );
    let mut rows: Vec<(&(String, String), &Tally)> = by_boundary.iter().collect();
    rows.sort_by(|a, b| (events(b.1), a.0).cmp(&(events(a.1), b.0)));
    for ((service, boundary), tally) in rows.iter().take(TOLD_MAX) {
        let boundary = if boundary.is_empty() { Value::Missing } else { Value::name(boundary) };
        let mut row = vec![
            Value::name(service),
            boundary,
            Value::Count(events(tally)),
            Value::Share(handled(tally)),
            Value::Share(success(tally)),
        ];
        row.extend(RecoveryOutcome::ALL.map(|outcome| Value::Count(tally.recovered(outcome))));
        row.push(Value::Count(tally.get(Counter::UserVisible)));
        row.push(Value::Duration(tally.recovery_latency.quantile_ms(500).map(i64::from)));
        table.push(row);
    }
    section.table(table);
    left_out(&mut section, rows.len());
    let (incidents, told) = (total.get(Counter::PoisoningIncidents), total.get(Counter::IsolateTold));
    section.say(match (incidents, told) {
        (0, 0) => "No event names its isolate, so nobody can say whether one was left poisoned.".to_owned(),
        _ => format!(
            "Isolates left poisoned by a panic they survived: {incidents}; requests that failed on them: {}; events that \
             name their isolate: {told}.",
            total.get(Counter::Poisoned)
        ),
    });
    section
}

/// The section on retries.
pub(super) fn retries(scope: &Scope<'_>, span: Span) -> Section {
    let mut section = Section::new("retries", "Retries");
    section.say(
        "What became of a retry is what producers tell. Amplification is events per original request, tied by \
         idempotency key or attempt. Unsafe: a retry of a request that must never be retried; hopeless: of one that \
         could not succeed unchanged.",
    );
    let by_service = scope.tallies(span, |part, account| Some(part.service(account.service)));
    let mut table = Table::new(
        "retries",
        &[
            ("service", "service"),
            ("events", "events"),
            ("originals", "original requests"),
            ("amplification", "amplification"),
            ("succeeded", "succeeded"),
            ("failed", "failed"),
            ("not_retried", "not retried"),
            ("not_told", "not told"),
            ("success", "success of retries told"),
            ("unsafe", "unsafe"),
            ("hopeless", "hopeless"),
            ("repeated_side_effects", "repeated side effects"),
        ],
    );
    for (service, tally) in &by_service {
        let told = |outcome| tally.retried(outcome);
        let (succeeded, failed) = (told(RetryOutcome::Succeeded), told(RetryOutcome::Failed));
        let originals = tally.get(Counter::Originals);
        let amplification = (originals > 0).then(|| count_f64(events(tally)) / count_f64(originals));
        table.push(vec![
            Value::name(service),
            Value::Count(events(tally)),
            Value::Count(originals),
            Value::Number(amplification),
            Value::Count(succeeded),
            Value::Count(failed),
            Value::Count(told(RetryOutcome::NotRetried)),
            Value::Count(told(RetryOutcome::Unknown)),
            Value::Share(share(succeeded, succeeded.saturating_add(failed))),
            Value::Count(tally.get(Counter::RetriedUnsafe)),
            Value::Count(tally.get(Counter::RetriedHopeless)),
            Value::Count(tally.get(Counter::RepeatedSideEffects)),
        ]);
    }
    section.table(table);
    section
}

/// A release in the period.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Release {
    pub(super) service: String,
    pub(super) name: String,
    pub(super) tally: Tally,
    /// Requests of it, where a feed tells them.
    pub(super) requests: u64,
    /// Start of the first page with an event of it, of all that the store holds.
    pub(super) first: Option<Millis>,
    /// End of the last such page.
    pub(super) last: Option<Millis>,
    /// Its first page lies in the period.
    pub(super) is_new: bool,
    /// Its route with the most events.
    pub(super) top_route: Option<TopRoute>,
    /// Its rate per request as a multiple of that of the service's other releases in period and baseline.
    pub(super) ratio: Option<Interval>,
}

/// The route on which most events of a release came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TopRoute {
    pub(super) route: String,
    /// Events of the release on it.
    pub(super) now: u64,
    /// Events of all releases on it in the baseline.
    pub(super) before: u64,
}

/// The busiest route of each release; ties by name.
fn top_routes(scope: &Scope<'_>, span: Span, before: Option<Span>) -> BTreeMap<(String, String), TopRoute> {
    let name = |part: &Part<'_>, account: &Account| account.route.id().map(|id| part.tenant.name(id));
    let now = scope.tallies(span, |part, account| {
        let route = name(part, account)?;
        Some((part.service(account.service), part.release(account.release), route))
    });
    let earlier = before.map(|before| {
        scope.tallies(before, |part, account| Some((part.service(account.service), name(part, account)?)))
    });
    let mut top: BTreeMap<(String, String), TopRoute> = BTreeMap::new();
    for ((service, release, route), tally) in now {
        let n = events(&tally);
        let key = (service.clone(), release);
        if top.get(&key).is_none_or(|top| n > top.now) {
            let before = earlier.as_ref().and_then(|earlier| earlier.get(&(service, route.clone()))).map_or(0, events);
            top.insert(key, TopRoute { route, now: n, before });
        }
    }
    top
}

/// The releases of the period that are told one by one, by service, then by events.
pub(super) fn releases(scope: &Scope<'_>, span: Span, before: Option<Span>) -> Vec<Release> {
    let named = |part: &Part<'_>, account: &Account| {
        let is_one = matches!(account.release, ReleaseKey::One(_));
        is_one.then(|| (part.service(account.service), part.release(account.release)))
    };
    let now = scope.tallies(span, named);
    let earlier = before.map(|before| scope.tallies(before, named)).unwrap_or_default();
    let requests_now = scope.requests_by_release(span);
    let requests_before = before.map(|before| scope.requests_by_release(before)).unwrap_or_default();
    let (lives, mut top_routes) = (lives(scope), top_routes(scope, span, before));
    let mut releases: Vec<Release> = Vec::new();
    for ((service, name), tally) in &now {
        let key = (service.clone(), name.clone());
        let requests = requests_now.get(&key).copied().unwrap_or(0);
        let (first, last) = lives.get(&key).map_or((None, None), |life| (Some(life.first), Some(life.last)));
        let others = |tallies: &BTreeMap<(String, String), Tally>, requests: &BTreeMap<(String, String), u64>| {
            let of = |other: &(String, String)| other.0 == *service && other.1 != *name;
            let panics: u64 = tallies.iter().filter(|(key, _)| of(key)).map(|(_, tally)| events(tally)).sum();
            let requests: u64 = requests.iter().filter(|(key, _)| of(key)).map(|(_, n)| *n).sum();
            (panics, requests)
        };
        let (a, b) = (others(&now, &requests_now), others(&earlier, &requests_before));
        let other = Exposure { requests: a.1 + b.1, ..Exposure::default() };
        let own = Exposure { requests, ..Exposure::default() };
        let ratio = match compare(events(tally), &own, a.0 + b.0, &other) {
            (ratio, Per::Request) => ratio,
            (_, Per::Time) => None,
        };
        let is_new = first.is_some_and(|first| first >= span.from && first > scope.extent().0);
        let top_route = top_routes.remove(&key);
        let ((service, name), tally) = (key, tally.clone());
        releases.push(Release { service, name, tally, requests, first, last, is_new, top_route, ratio });
    }
    releases.sort_by(|a, b| {
        (&a.service, std::cmp::Reverse(events(&a.tally)), &a.name).cmp(&(
            &b.service,
            std::cmp::Reverse(events(&b.tally)),
            &b.name,
        ))
    });
    releases
}

/// When a release was seen, in pages of the finest tier that reaches as far.
struct Life {
    /// Start of the first page.
    first: Millis,
    first_tier: Tier,
    /// End of the last page.
    last: Millis,
    last_tier: Tier,
}

impl Life {
    /// Takes in a page; pages come from the coarsest tier to the finest, and in each in order.
    fn see(&mut self, start: Millis, tier: Tier) {
        let end = start.plus(tier.millis());
        let first_page = self.first..self.first.plus(self.first_tier.millis());
        if tier < self.first_tier && first_page.contains(&start) {
            (self.first, self.first_tier) = (start, tier);
        }
        let is_same_tier = tier == self.last_tier && end > self.last;
        let is_finer = tier < self.last_tier && end > self.last.plus(-self.last_tier.millis()) && end <= self.last;
        if is_same_tier || is_finer {
            (self.last, self.last_tier) = (end, tier);
        }
    }
}

/// When each release was seen, by service and name.
fn lives(scope: &Scope<'_>) -> BTreeMap<(String, String), Life> {
    let mut lives: BTreeMap<(String, String), Life> = BTreeMap::new();
    for tier in Tier::ALL.into_iter().rev() {
        let all = Span { from: Millis(i64::MIN), to: Millis(i64::MAX), tier };
        for part in scope.parts() {
            for (start, page) in part.ledger().pages(all) {
                let releases: BTreeSet<(String, String)> = page
                    .accounts()
                    .filter(|(account, _)| part.has(account.service) && matches!(account.release, ReleaseKey::One(_)))
                    .map(|(account, _)| (part.service(account.service), part.release(account.release)))
                    .collect();
                for key in releases {
                    let last = start.plus(tier.millis());
                    let new = Life { first: start, first_tier: tier, last, last_tier: tier };
                    lives.entry(key).or_insert(new).see(start, tier);
                }
            }
        }
    }
    lives
}

/// The section on releases.
pub(super) fn release_section(releases: &[Release]) -> Section {
    let mut section = Section::new("releases", "Releases");
    if releases.is_empty() {
        section.say("No event of the period names its release.");
        return section;
    }
    let has_requests = releases.iter().any(|release| release.requests > 0);
    section.say(if has_requests {
        "The ratio is of panics per request, against the service's other releases in period and baseline (exact \
         interval of 95 %)."
    } else {
        "No traffic feed tells requests by release, so there are counts and no rates: a release that gets more traffic \
         panics more."
    });
    let mut table = Table::new(
        "releases",
        &[
            ("service", "service"),
            ("release", "release"),
            ("events", "events"),
            ("user_visible", "user-visible"),
            ("handled", "handled"),
            ("requests", "requests"),
            ("ratio", "ratio"),
            ("first_seen", "first seen"),
            ("last_seen", "last seen before"),
            ("top_route", "most on"),
        ],
    );
    for one in releases.iter().take(TOLD_MAX) {
        table.push(vec![
            Value::name(&one.service),
            Value::name(&one.name),
            Value::Count(events(&one.tally)),
            Value::Count(one.tally.get(Counter::UserVisible)),
            Value::Share(handled(&one.tally)),
            if one.requests > 0 { Value::Count(one.requests) } else { Value::Missing },
            Value::Ratio(one.ratio),
            Value::Time(one.first),
            Value::Time(one.last),
            one.top_route.as_ref().map_or(Value::Missing, |top| Value::name(&top.route)),
        ]);
    }
    section.table(table);
    left_out(&mut section, releases.len());
    section
}

fn left_out(section: &mut Section, n_rows: usize) {
    if n_rows > TOLD_MAX {
        section.say(Words::new(format!("{} further rows are left out here.", n_rows - TOLD_MAX)));
    }
}
