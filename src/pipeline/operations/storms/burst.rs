//! Whether a route, or a whole service, panics far more than it usually does.
//!
//! Reads the ledger's five-minute pages. What counts now is the page that holds the newest moment and the one before
//! it, five to ten minutes of event time; what is usual is what the day before these pages had, and the hour before
//! them, both without what belonged to a storm. A burst is told when all of this holds:
//!
//! 1. at least [`REQUESTS_MIN`] requests that panicked, and [`SERVICE_REQUESTS_MIN`] of a service none of whose routes
//!    bursts. What continues an earlier request does not count, nor do announced tests, here and in all that is usual
//!    (see `requests` below for clients that do nothing but try again);
//! 2. at least [`TIMES_USUAL`] times as many as the hour before had in the same time. This keeps a morning, on which
//!    traffic grows over hours, from being a storm; it is not asked where less than [`RECENT_MIN_MILLIS`] are left of
//!    the hour;
//! 3. at least [`TIMES_USUAL`] times as many as the day before had in the same time;
//! 4. a probability of less than [`P_MAX`] under a Poisson process with the rate that the day leaves
//!    ([`burst_probability`]). Panics come in clumps (a batch job, a client that tries again), so counts are divided by
//!    how much the pages of the day vary: the variance of a page over its mean, at least 1.
//!
//! **False alarms.** A full page has 112 accounts, so that in a day some 112 × 288 pages, each with a few windows that do
//! not overlap much, are looked at: 10^5 tests. With `P_MAX` that is one false burst in ten days at the very most, if
//! clumps were all that the model leaves out; rules 1 to 3 ask for more than rule 4 wherever less than ten are usual.
//!
//! A service that is known for less than [`WARM_UP_MILLIS`] has no usual: nothing is a burst then, and
//! [`Usual::is_known`] says so. Events that come so late that their page is neither of the two are counted in the
//! ledger and looked at by nobody here.
//!
//! Cost: rule 1 looks at two pages, rule 2 at twelve for each route that passed rule 1, rules 3 and 4 at 288 for each
//! route that passed rule 2, at most [`WEIGHED_MAX`] of these a time, the largest first.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::pipeline::event::{Id, Millis};
use crate::pipeline::operations::interval::burst_probability;
use crate::pipeline::operations::ledger::{Ledger, Page, RouteKey, Span, Tier};
use crate::pipeline::operations::tally::{Counter, Tally};
use crate::pipeline::sample::{count_f64, millis_f64};

/// Requests from which on a burst is worth anybody's night.
pub const REQUESTS_MIN: u64 = 20;

/// The same of a service none of whose routes bursts: that is how traffic grows every morning, so it takes more.
pub const SERVICE_REQUESTS_MIN: u64 = 60;

/// How many times the usual a burst has at least.
pub const TIMES_USUAL: f64 = 3.0;

/// The probability that a burst stays below.
pub const P_MAX: f64 = 1e-6;

/// How long a service is known before anything can be called usual.
pub const WARM_UP_MILLIS: i64 = 30 * Millis::MINUTE;

/// How much of the hour before must be left for it to have a say.
const RECENT_MIN_MILLIS: i64 = 15 * Millis::MINUTE;

/// Bursts that are weighed against their day at one time: 288 pages each, which bounds what an epoch costs.
const WEIGHED_MAX: usize = 16;

/// Days in which a service that was healthy all day is looked for.
pub(super) const KNOWN_DAYS: i64 = 8;

/// One five-minute page.
pub(super) const PAGE: i64 = 5 * Millis::MINUTE;

/// What a burst is of: a route of a service, or (`None`) all of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) service: Id,
    pub(super) route: Option<RouteKey>,
}

impl Place {
    /// Its tallies in a page.
    fn tallies<'p>(self, page: &'p Page) -> Box<dyn Iterator<Item = &'p Tally> + 'p> {
        match self.route {
            Some(route) => Box::new(page.route(self.service, route).map(|(_, tally)| tally)),
            None => Box::new(page.of_service(self.service).map(|(_, tally)| tally)),
        }
    }

    fn requests(self, page: &Page) -> u64 {
        self.tallies(page).map(requests).sum()
    }
}

/// Events of no announced test.
pub(super) fn unannounced(tally: &Tally) -> u64 {
    tally.get(Counter::Events).saturating_sub(tally.get(Counter::BurnAnnounced))
}

/// How often an ordinary client sends a request at most.
const ATTEMPTS_MAX: u64 = 4;

/// Requests that panicked and that nobody announced: those that continue no earlier one, but at least a quarter of the
/// events. A client that tries again makes its panics come in clumps, which a Poisson process knows nothing of.
pub(super) fn requests(tally: &Tally) -> u64 {
    let events = unannounced(tally);
    tally.get(Counter::Originals).clamp(events.div_ceil(ATTEMPTS_MAX), events)
}

/// What is usual: requests that panicked in a time before, and how they clump.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usual {
    /// Requests that panicked, retries left out.
    pub requests: u64,
    /// Events.
    pub events: u64,
    /// Milliseconds in which they came: whole pages, without those that belonged to a storm.
    pub millis: i64,
    /// Sum of the squares of the pages' counts.
    pub(super) squares: u64,
}

impl Usual {
    /// Whether enough time went by to call anything usual.
    pub fn is_known(&self) -> bool {
        self.millis >= WARM_UP_MILLIS
    }

    /// Events that are usual in so many milliseconds; `None` where nothing is known.
    pub fn expected(&self, millis: i64) -> Option<f64> {
        self.scaled(self.events, millis)
    }

    /// The same for requests.
    pub fn expected_requests(&self, millis: i64) -> Option<f64> {
        self.scaled(self.requests, millis)
    }

    fn scaled(&self, n: u64, millis: i64) -> Option<f64> {
        (self.millis > 0).then(|| count_f64(n) * millis_f64(millis) / millis_f64(self.millis))
    }

    /// The variance of a page's count over its mean, at least 1.
    pub fn clumping(&self) -> f64 {
        let pages = millis_f64(self.millis / PAGE);
        if self.requests == 0 || pages < 1.0 {
            return 1.0;
        }
        let mean = count_f64(self.requests) / pages;
        ((count_f64(self.squares) / pages - mean * mean) / mean).max(1.0)
    }

    /// How likely so many requests or more are in `millis` ([`burst_probability`] of the counts without their clumps).
    pub fn probability(&self, requests: u64, millis: i64) -> f64 {
        let clumps = self.clumping();
        let clumped = |n: u64| rounded(count_f64(n) / clumps);
        let exposure = |millis: i64| u64::try_from(millis).unwrap_or(0);
        burst_probability(clumped(requests), exposure(millis), clumped(self.requests), exposure(self.millis))
    }

    /// What is usual in two places together, over the time that is known of both.
    pub(super) fn with(self, other: Self) -> Self {
        let millis = self.millis.min(other.millis);
        let scaled = |usual: Self, n: u64| {
            let of = count_f64(u64::try_from(usual.millis).unwrap_or(0).max(1));
            rounded(count_f64(n) * millis_f64(millis) / of)
        };
        let sum = |f: fn(&Self) -> u64| scaled(self, f(&self)).saturating_add(scaled(other, f(&other)));
        let requests = sum(|usual| usual.requests);
        Self { requests, events: sum(|usual| usual.events), millis, squares: sum(|usual| usual.squares) }
    }

    pub(super) fn add(&mut self, requests: u64, events: u64) {
        self.requests = self.requests.saturating_add(requests);
        self.events = self.events.saturating_add(events);
        self.squares = self.squares.saturating_add(requests.saturating_mul(requests));
    }
}

/// The nearest count; probabilities need whole ones.
fn rounded(n: f64) -> u64 {
    // Counts of a page stop at 2^32, so this is exact; `as` saturates.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rounded count below 2^53")]
    let whole = n.round().max(0.0) as u64;
    whole
}

/// What counts now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    /// Start of the earlier page.
    pub(super) from: Millis,
    /// The newest moment.
    pub(super) now: Millis,
}

impl Window {
    pub(super) fn at(now: Millis) -> Self {
        Self { from: Tier::FiveMinutes.start(now.plus(-1)).plus(-PAGE), now }
    }

    pub(super) fn millis(self) -> i64 {
        self.now.since(self.from)
    }

    pub(super) fn span(self) -> Span {
        Span { from: self.from, to: self.from.plus(2 * PAGE), tier: Tier::FiveMinutes }
    }
}

/// Far more than usual.
#[derive(Debug, Clone, Copy)]
pub(super) struct Burst {
    pub(super) place: Place,
    /// Start of the page in which it began.
    pub(super) from: Millis,
    pub(super) usual: Usual,
}

/// Finds bursts. `set_aside` says of a place which stretches belonged to storms.
pub(super) struct Watch<'l, F> {
    pub(super) ledger: &'l Ledger,
    pub(super) window: Window,
    pub(super) set_aside: F,
}

impl<F: Fn(Place) -> Vec<(Millis, Millis)>> Watch<'_, F> {
    /// The routes that burst, the largest first; those of which `skip` is true are not looked at.
    pub(super) fn routes(&self, skip: impl Fn(Place) -> bool) -> Vec<Burst> {
        let mut now: BTreeMap<Place, u64> = BTreeMap::new();
        for (account, tally) in self.ledger.pages(self.window.span()).flat_map(|(_, page)| page.accounts()) {
            if let Some(service) = account.service {
                *now.entry(Place { service, route: Some(account.route) }).or_default() += requests(tally);
            }
        }
        self.weigh(now.into_iter().filter(|(place, _)| !skip(*place)))
    }

    /// The services that burst as a whole.
    pub(super) fn services(&self, skip: impl Fn(Id) -> bool) -> Vec<Burst> {
        let mut now: BTreeMap<Place, u64> = BTreeMap::new();
        for (account, tally) in self.ledger.pages(self.window.span()).flat_map(|(_, page)| page.accounts()) {
            if let Some(service) = account.service {
                *now.entry(Place { service, route: None }).or_default() += requests(tally);
            }
        }
        let many = now.into_iter().filter(|(_, requests)| *requests >= SERVICE_REQUESTS_MIN);
        self.weigh(many.filter(|(place, _)| !skip(place.service)))
    }

    fn weigh(&self, places: impl Iterator<Item = (Place, u64)>) -> Vec<Burst> {
        let many = places.filter(|(place, events)| *events >= REQUESTS_MIN && self.exceeds_hour(*place, *events));
        let mut many: Vec<(Place, u64)> = many.collect();
        many.sort_by_key(|(place, events)| (std::cmp::Reverse(*events), *place));
        many.truncate(WEIGHED_MAX);
        many.into_iter().filter_map(|(place, events)| self.burst(place, events)).collect()
    }

    fn exceeds_hour(&self, place: Place, events: u64) -> bool {
        let hour = self.usual(place, Millis::HOUR);
        let expected = hour.expected_requests(self.window.millis()).unwrap_or(0.0);
        hour.millis < RECENT_MIN_MILLIS || count_f64(events) >= TIMES_USUAL * expected
    }

    fn burst(&self, place: Place, events: u64) -> Option<Burst> {
        let usual = self.usual(place, Millis::DAY);
        let expected = usual.expected_requests(self.window.millis()).filter(|_| usual.is_known())?;
        let is_burst =
            count_f64(events) >= TIMES_USUAL * expected && usual.probability(events, self.window.millis()) < P_MAX;
        is_burst.then(|| Burst { place, from: self.began(place, usual), usual })
    }

    /// The earlier page, if it has more than its share already.
    fn began(&self, place: Place, usual: Usual) -> Millis {
        let first = Span { to: self.window.from.plus(PAGE), ..self.window.span() };
        let events: u64 = self.ledger.pages(first).map(|(_, page)| place.requests(page)).sum();
        let expected = usual.expected_requests(PAGE).unwrap_or(0.0);
        let is_in = events > 1 && count_f64(events) >= 2.0 * expected;
        if is_in { self.window.from } else { self.window.from.plus(PAGE) }
    }

    /// What is usual at a place, from as much time before the window as `back` says.
    fn usual(&self, place: Place, back: i64) -> Usual {
        let (back, to) = (self.window.from.plus(-back), self.window.from);
        // The first page of a service is left out: the service may have begun in the middle of it.
        let Some(from) = self.known_since(place.service).map(|first| first.plus(PAGE).max(back)) else {
            return Usual::default();
        };
        let aside = (self.set_aside)(place);
        let aside = |start: Millis| aside.iter().any(|(begin, end)| *begin < start.plus(PAGE) && start < *end);
        let mut usual = Usual::default();
        let mut start = from;
        while start < to {
            usual.millis += if aside(start) { 0 } else { PAGE };
            start = start.plus(PAGE);
        }
        let span = Span { from, to, tier: Tier::FiveMinutes };
        for (_, page) in self.ledger.pages(span).filter(|(start, _)| !aside(*start)) {
            usual.add(place.requests(page), place.tallies(page).map(unannounced).sum());
        }
        usual
    }

    fn known_since(&self, service: Id) -> Option<Millis> {
        known_since(self.ledger, service, self.window.from)
    }
}

/// Since when a service is known, at most a day and a page before `from`: by its first panic, or by requests of a traffic
/// feed. A service that was healthy all day is known by what it did in the weeks before.
fn known_since(ledger: &Ledger, service: Id, from: Millis) -> Option<Millis> {
    let is_in = |page: &Page| {
        page.of_service(service).next().is_some() || page.requests().any(|(demand, _)| demand.service == Some(service))
    };
    let day = Span { from: from.plus(-Millis::DAY - PAGE), to: from, tier: Tier::FiveMinutes };
    let before =
        Span { from: from.plus(-KNOWN_DAYS * Millis::DAY), to: day.from.plus(-Millis::HOUR), tier: Tier::Hours };
    if ledger.pages(before).rev().any(|(_, page)| is_in(page)) {
        return Some(day.from);
    }
    ledger.pages(day).find(|(_, page)| is_in(page)).map(|(start, _)| start)
}
