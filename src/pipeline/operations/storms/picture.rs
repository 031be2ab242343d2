//! A storm as the ledger shows it: how many, where, whom, contained or not, what changed just before.
//!
//! Takes a [`Storm`] and the ledger, gives a [`Picture`] with every number, and an alert's portrait, title and findings
//! from it. The same storm and ledger give the same picture, whoever asks and in whatever order the events came: all
//! that is read is a sum, a maximum or a set. Times are those of pages: five minutes are the finest that is kept.
//!
//! Cost: one pass over the day's pages for releases, classes and routes that were there before, some hundred
//! microseconds; asked for when something is told and by reports, not once an epoch.

use std::collections::{BTreeMap, BTreeSet};

use super::Storm;
use super::burst::{KNOWN_DAYS, PAGE, requests, unannounced};
use super::cause::{Cause, Facts, Scored, TopRelease};
use crate::pipeline::alert::Severity;
use crate::pipeline::event::{Id, Millis};
use crate::pipeline::names::Names;
use crate::pipeline::operations::interval::{Interval, rate_ratio};
use crate::pipeline::operations::ledger::{Account, Ledger, Page, RouteKey, Span, Tier, release_id};
use crate::pipeline::operations::tally::{Counter, Tally};
use crate::pipeline::sample::count_f64;
use crate::pipeline::surfaces::ReleaseKey;

/// How long before a storm a change is worth telling.
pub const CHANGES_MILLIS: i64 = 30 * Millis::MINUTE;

/// Changes that are told.
const CHANGES_MAX: usize = 8;

/// Panic classes of the environment and of resources (`models/panics.toml`, surfaces `environment` and `resource`; a
/// test compares).
pub(super) const ENVIRONMENT: [&str; 7] =
    ["alloc", "capacity", "environment", "platform_limit", "runtime_hang", "stack_overflow", "wasm_trap_memory"];

/// Share of faults that left their boundary from which on a storm is critical, if it is large as well.
const LOST_CRITICAL: f64 = 0.2;

/// The same for the next severity, whatever its size.
const LOST_HIGH: f64 = 0.05;

/// Events from which on a storm matters at the next level.
const EVENTS_MEDIUM: u64 = 100;
/// As above.
const EVENTS_HIGH: u64 = 1_000;

/// A storm's looks.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// Start of the page in which it began.
    pub from: Millis,
    /// Where the account ends: now, or when it was over.
    pub to: Millis,
    /// Everything that was counted, announced tests too.
    pub tally: Tally,
    /// Events without those of announced tests.
    pub events: u64,
    /// Requests among them, retries left out.
    pub requests: u64,
    /// Events that are usual in the same time; `None` where nothing is known.
    pub expected: Option<f64>,
    /// How likely so many are in so much time by what is usual.
    pub probability: f64,
    /// By route, the most first.
    pub routes: Vec<(RouteKey, u64)>,
    /// By release, the most first.
    pub releases: Vec<(ReleaseKey, u64)>,
    /// By class, the most first.
    pub classes: Vec<(Id, u64)>,
    /// By region, the most first.
    pub regions: Vec<(Id, u64)>,
    /// The rate of the release with the most events, as a multiple of what all others usually have here.
    pub release_ratio: Option<Interval>,
    /// What causes are scored by.
    pub facts: Facts,
    /// What changed just before, the earliest first.
    pub changes: Vec<Change>,
}

/// Something that changed shortly before a storm, or with it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// Start of the page in which it was first seen.
    pub at: Millis,
    /// What it was.
    pub words: String,
}

impl Picture {
    /// The picture of a storm at `now`; `others`: services that are in another storm.
    pub fn of(storm: &Storm, ledger: &Ledger, names: &Names, others: u64, now: Millis) -> Self {
        let to = storm.to.unwrap_or(now);
        let span =
            Span { from: storm.from, to: Tier::FiveMinutes.start(to.plus(-1)).plus(PAGE), tier: Tier::FiveMinutes };
        let parts = Parts::of(storm, ledger, span);
        let events = unannounced(&parts.tally);
        let millis = to.since(storm.from).max(0);
        let past = Past::of(storm, ledger);
        let releases = most(parts.releases.iter().map(|(key, n)| (*key, *n)));
        let classes = most(parts.tally.classes.iter().map(|(id, n)| (Id(id), n)));
        let breadth = parts.tally.breadth.clone().unwrap_or_default();
        let release = releases.first().and_then(|(key, n)| Some((release_id(*key)?, *n)));
        let exposure = |millis: i64| u64::try_from(millis).unwrap_or(0);
        let release_ratio = release
            .and_then(|(_, n)| rate_ratio(n, exposure(millis), storm.usual.events, exposure(storm.usual.millis)));
        let facts = Facts {
            events,
            hostile: parts.tally.get(Counter::BurnHostile),
            originals: parts.tally.get(Counter::Originals),
            secondary: parts.tally.get(Counter::Secondary),
            environment: classes.iter().filter(|(id, _)| is_environment(&names.text(*id))).map(|(_, n)| n).sum(),
            class: classes.first().map(|(id, n)| (names.text(*id), *n)),
            release: release.map(|(id, events)| TopRelease {
                name: names.text(id),
                events,
                age_millis: past.release_since(id).map(|since| storm.from.since(since)),
                elsewhere: elsewhere(storm, ledger, span, id),
            }),
            customer_share: breadth.largest_customer_share(),
            customers: breadth.customers.len_estimate(),
            routes: parts.routes.len() as u64,
            other_services: others,
        };
        Self {
            from: storm.from,
            to,
            events,
            expected: storm.usual.expected(millis).filter(|_| storm.usual.is_known()),
            requests: parts.requests,
            probability: storm.usual.probability(parts.requests, millis),
            changes: past.changes(&parts, storm, names),
            routes: most(parts.routes.into_iter()),
            releases,
            classes,
            regions: most(breadth.regions.iter().map(|(id, n)| (Id(id), n))),
            release_ratio,
            facts,
            tally: parts.tally,
        }
    }

    /// The causes, the likeliest first.
    pub fn ranked(&self) -> Vec<Scored> {
        self.facts.rank()
    }

    /// The cause that is named.
    pub fn cause(&self) -> Cause {
        self.facts.cause()
    }

    /// Faults that left their boundary or ended their process.
    pub fn lost(&self) -> u64 {
        lost(&self.tally)
    }

    /// How much it matters.
    pub fn severity(&self) -> Severity {
        severity(&self.tally)
    }

    /// Customers, at least about so many.
    pub fn customers(&self) -> u64 {
        self.facts.customers
    }

    /// Isolates.
    pub fn isolates(&self) -> u64 {
        self.tally.breadth.as_ref().map_or(0, |breadth| breadth.isolates.len_estimate())
    }
}

/// By impact alone: faults that were lost, then how many users saw a failure, and size.
pub(super) fn severity(tally: &Tally) -> Severity {
    let events = tally.get(Counter::Events);
    let of = |n: u64| if events == 0 { 0.0 } else { count_f64(n) / count_f64(events) };
    let (lost, seen) = (of(lost(tally)), tally.get(Counter::UserVisible));
    if lost >= LOST_CRITICAL && events >= EVENTS_MEDIUM {
        Severity::Critical
    } else if lost >= LOST_HIGH || seen >= EVENTS_HIGH {
        Severity::High
    } else if events >= EVENTS_HIGH || seen >= EVENTS_MEDIUM {
        Severity::Medium
    } else {
        Severity::Low
    }
}

fn lost(tally: &Tally) -> u64 {
    [Counter::Escaped, Counter::Aborted, Counter::SuspectedAbort].map(|counter| tally.get(counter)).iter().sum()
}

fn is_environment(class: &str) -> bool {
    ENVIRONMENT.contains(&class)
}

/// The most first, then in the order of their keys.
fn most<K: Ord>(counts: impl Iterator<Item = (K, u64)>) -> Vec<(K, u64)> {
    let mut list: Vec<(K, u64)> = counts.filter(|(_, n)| *n > 0).collect();
    list.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    list
}

/// The storm's events, added up.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) tally: Tally,
    requests: u64,
    routes: BTreeMap<RouteKey, u64>,
    releases: BTreeMap<ReleaseKey, u64>,
}

impl Parts {
    fn of(storm: &Storm, ledger: &Ledger, span: Span) -> Self {
        let mut parts = Self::default();
        for (account, tally) in members(storm, ledger, span).map(|(_, account, tally)| (account, tally)) {
            let events = unannounced(tally);
            *parts.routes.entry(account.route).or_default() += events;
            *parts.releases.entry(account.release).or_default() += events;
            parts.requests += requests(tally);
            parts.tally.merge(tally);
        }
        parts.routes.retain(|_, events| *events > 0);
        parts
    }
}

/// The accounts of a storm's routes, page by page.
pub(super) fn members<'l>(
    storm: &'l Storm,
    ledger: &'l Ledger,
    span: Span,
) -> impl Iterator<Item = (Millis, &'l Account, &'l Tally)> {
    let of_service = move |(start, page): (Millis, &'l Page)| {
        page.of_service(storm.service).map(move |(account, tally)| (start, account, tally))
    };
    ledger.pages(span).flat_map(of_service).filter(|(_, account, _)| storm.covers(account))
}

/// Events of a release, and all events, that the service had in the same time outside the storm.
fn elsewhere(storm: &Storm, ledger: &Ledger, span: Span, release: Id) -> (u64, u64) {
    let accounts = ledger.pages(span).flat_map(|(_, page)| page.of_service(storm.service));
    let outside = accounts.filter(|(account, _)| !storm.has(account.route));
    outside.fold((0, 0), |(its, all), (account, tally)| {
        let events = unannounced(tally);
        (its + if release_id(account.release) == Some(release) { events } else { 0 }, all + events)
    })
}

/// What was there in the days before the storm, and in which page it was first seen, storm included.
struct Past {
    /// First page of each release of the service.
    releases: BTreeMap<Id, Millis>,
    /// First page of the service.
    service: Option<Millis>,
    /// Classes of the storm's routes before it.
    classes: BTreeSet<Id>,
    /// Whether classes beyond those that are kept were counted.
    classes_overflow: bool,
    /// The storm's routes that had panicked before it.
    routes: BTreeSet<RouteKey>,
    /// Isolates left poisoned shortly before the storm or in its first pages: how many, and when first.
    poisoned: (u64, Option<Millis>),
}

impl Past {
    fn of(storm: &Storm, ledger: &Ledger) -> Self {
        let mut past = Self {
            releases: BTreeMap::new(),
            service: None,
            classes: BTreeSet::new(),
            classes_overflow: false,
            routes: BTreeSet::new(),
            poisoned: (0, None),
        };
        let from = storm.from.plus(-Millis::DAY);
        let weeks =
            Span { from: storm.from.plus(-KNOWN_DAYS * Millis::DAY), to: from.plus(-Millis::HOUR), tier: Tier::Hours };
        for (start, page) in ledger.pages(weeks) {
            for (account, _) in page.of_service(storm.service) {
                past.know(start, account);
            }
        }
        // Two pages of the storm itself: what it began with.
        let span = Span { from, to: storm.from.plus(2 * PAGE), tier: Tier::FiveMinutes };
        for (start, page) in ledger.pages(span) {
            for (account, tally) in page.of_service(storm.service) {
                past.add(storm, start, account, tally);
            }
        }
        past
    }

    fn know(&mut self, start: Millis, account: &Account) {
        self.service.get_or_insert(start);
        if let Some(release) = release_id(account.release) {
            self.releases.entry(release).or_insert(start);
        }
    }

    fn add(&mut self, storm: &Storm, start: Millis, account: &Account, tally: &Tally) {
        self.know(start, account);
        if storm.has(account.route) && start < storm.from {
            self.routes.insert(account.route);
            self.classes.extend(tally.classes.iter().map(|(id, _)| Id(id)));
            self.classes_overflow |= tally.classes.other() > 0;
        }
        let incidents = tally.get(Counter::PoisoningIncidents);
        if incidents > 0 && start >= storm.from.plus(-CHANGES_MILLIS) {
            let (n, first) = self.poisoned;
            self.poisoned = (n + incidents, first.or(Some(start)));
        }
    }

    /// When a release first panicked, if the service had panicked under none or another one before.
    fn release_since(&self, release: Id) -> Option<Millis> {
        let since = *self.releases.get(&release)?;
        self.service.filter(|service| *service < since).map(|_| since)
    }

    fn changes(&self, parts: &Parts, storm: &Storm, names: &Names) -> Vec<Change> {
        let mut changes = Vec::new();
        let recent = storm.from.plus(-CHANGES_MILLIS);
        for release in self.releases.keys() {
            if let Some(at) = self.release_since(*release).filter(|at| *at >= recent) {
                changes.push(Change { at, words: format!("release {} first panicked", names.text(*release)) });
            }
        }
        let at = storm.from;
        for route in parts.routes.keys().filter(|route| !self.routes.contains(route)) {
            let words = format!("{} had not panicked in the day before", route_text(*route, names));
            changes.push(Change { at, words });
        }
        let is_new = |id: &Id| !self.classes.contains(id) && !self.classes_overflow && !self.routes.is_empty();
        for class in parts.tally.classes.iter().map(|(id, _)| Id(id)).filter(is_new) {
            changes.push(Change { at, words: format!("panic class {} is new on these routes", names.text(class)) });
        }
        if let (n, Some(at)) = self.poisoned {
            let words = if n == 1 {
                "a panic left an isolate poisoned".to_owned()
            } else {
                format!("panics left {n} isolates poisoned")
            };
            changes.push(Change { at, words });
        }
        changes.sort();
        changes.truncate(CHANGES_MAX);
        changes
    }
}

/// What a route is called.
pub(super) fn route_text(route: RouteKey, names: &Names) -> String {
    route.id().map_or_else(|| "all other routes".to_owned(), |id| names.text(id))
}
