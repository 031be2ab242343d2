//! Releases beside each other: what became of their panics, and of how many requests.
//!
//! Reads pages of the ledger; gives [`Figures`] of a release, a [`Line`] of succession (which release is new, which one
//! stood before it, and what that one was like), and [`Pace`]: the rate of honest panics of the one as a multiple of the
//! other's. Pure; holds ids and counts.
//!
//! Two denominators are possible, and a [`Pace`] says which one it has. With request totals both rates are panics a
//! request, and only pages for which totals are known count. Without them nothing is known of traffic: then the new
//! release is held against the *busiest* stretch of equal length that the old one had in the day before, so that a
//! morning's rise is no bad release. Panics that the judge holds for hostile, and announced tests, are left out of both.
//!
//! Costs one pass over a day of five-minute pages for [`histories`] and [`Line`] (done once a page), and one over the
//! newest pages for the rest.

use std::collections::BTreeMap;

use super::interval::{Interval, rate_ratio};
use super::ledger::{Ledger, Page, RouteKey, Span, Tier};
use super::tally::{Counter, Tally};
use crate::pipeline::event::{Id, Millis};
use crate::pipeline::sample::count_f64;
use crate::pipeline::surfaces::ReleaseKey;

/// How long a release counts as new, and how far back the one before it is looked at.
pub const NEW_FOR_MILLIS: i64 = Millis::DAY;

/// How much must be known before a release is called new, and of a release before it is compared with: what is met in
/// the first hour of an account was perhaps there before it.
pub const HISTORY_MIN_MILLIS: i64 = Millis::HOUR;

/// Milliseconds of a page of the finest tier.
pub(super) const PAGE_MILLIS: i64 = 5 * Millis::MINUTE;

/// What is counted of a release, or of one of its routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Panics.
    pub events: u64,
    /// Of these, neither hostile nor announced.
    pub honest: u64,
    /// Original requests.
    pub originals: u64,
    /// Caught.
    pub handled: u64,
    /// Not caught.
    pub unhandled: u64,
    /// Honest ones that the user saw as a failure.
    pub real: u64,
    /// Honest ones that were made good.
    pub transient: u64,
    /// Retries of which it is told that a later attempt succeeded.
    pub retry_succeeded: u64,
    /// Requests, where a traffic feed tells them.
    pub requests: u64,
    /// Honest panics in pages for which requests are known.
    pub counted: u64,
}

impl Figures {
    fn add(&mut self, tally: &Tally, requests_known: bool) {
        let honest = honest(tally);
        self.events += tally.get(Counter::Events);
        self.honest += honest;
        self.originals += tally.get(Counter::Originals);
        self.handled += tally.get(Counter::Handled);
        self.unhandled += tally.get(Counter::Unhandled);
        self.real += tally.get(Counter::BurnReal);
        self.transient += tally.get(Counter::BurnTransient);
        self.retry_succeeded += tally.get(Counter::RetrySucceeded);
        self.counted += if requests_known { honest } else { 0 };
    }
}

/// Panics of a line of the account that are neither hostile nor announced.
pub fn honest(tally: &Tally) -> u64 {
    let others = tally.get(Counter::BurnHostile) + tally.get(Counter::BurnAnnounced);
    tally.get(Counter::Events).saturating_sub(others)
}

/// A release in a stretch of time: all of it, and its routes that have an account of their own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sheet {
    /// Everything.
    pub whole: Figures,
    /// By route, only those that producers name.
    pub routes: BTreeMap<RouteKey, Figures>,
    /// Honest panics by page: of everything under `None`, of routes under their key.
    pages: BTreeMap<Option<RouteKey>, BTreeMap<Millis, u64>>,
}

impl Sheet {
    /// What the pages of a span say of a release.
    pub fn of(ledger: &Ledger, span: Span, service: Id, release: ReleaseKey) -> Self {
        let mut sheet = Self::default();
        for (start, page) in ledger.pages(span) {
            sheet.add(start, page, service, release);
        }
        sheet
    }

    fn add(&mut self, start: Millis, page: &Page, service: Id, release: ReleaseKey) {
        let mut requests: BTreeMap<Id, u64> = BTreeMap::new();
        for (demand, n) in page.requests() {
            if demand.release == release && demand.service.is_none_or(|of| of == service) {
                let sum = requests.entry(demand.route).or_default();
                *sum = sum.saturating_add(n);
            }
        }
        let total: u64 = requests.values().sum();
        self.whole.requests += total;
        for (account, tally) in page.accounts() {
            if account.service != Some(service) || account.release != release {
                continue;
            }
            self.whole.add(tally, total > 0);
            *self.pages.entry(None).or_default().entry(start).or_default() += honest(tally);
            if let RouteKey::Named(id) = account.route {
                let of_route = requests.contains_key(&id);
                self.routes.entry(account.route).or_default().add(tally, of_route);
                *self.pages.entry(Some(account.route)).or_default().entry(start).or_default() += honest(tally);
            }
        }
        for (id, n) in requests {
            self.routes.entry(RouteKey::Named(id)).or_default().requests += n;
        }
    }

    /// Whether nothing is known of the release.
    pub fn is_empty(&self) -> bool {
        self.whole.events == 0 && self.whole.requests == 0
    }

    fn figures(&self, route: Option<RouteKey>) -> Figures {
        route.map_or(self.whole, |route| self.routes.get(&route).copied().unwrap_or_default())
    }

    /// Most honest panics in `n_pages` pages in a row that end at or before `until`.
    fn busiest(&self, route: Option<RouteKey>, n_pages: i64, until: Millis) -> u64 {
        let Some(pages) = self.pages.get(&route) else { return 0 };
        let width = n_pages.saturating_mul(PAGE_MILLIS);
        let mut sum = 0_u64;
        let mut most = 0;
        let mut tail = pages.range(..until);
        for (start, n) in pages.range(..until) {
            sum += n;
            while let Some((_, gone)) = tail.clone().next().filter(|(first, _)| start.since(**first) >= width) {
                sum -= gone;
                tail.next();
            }
            most = most.max(sum);
        }
        most
    }
}

/// When a release was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct History {
    /// Start of the first page with a panic or a request of it.
    pub first: Millis,
    /// End of the last one.
    pub last: Millis,
    /// Its honest panics.
    pub honest: u64,
}

/// When the releases of each service were there, in the day and a bit before `before`.
pub fn histories(ledger: &Ledger, before: Millis) -> BTreeMap<(Id, ReleaseKey), History> {
    let mut histories: BTreeMap<(Id, ReleaseKey), History> = BTreeMap::new();
    let mut see = |service: Id, release: ReleaseKey, start: Millis, honest: u64| {
        let fresh = History { first: start, last: start.plus(PAGE_MILLIS), honest: 0 };
        let history = histories.entry((service, release)).or_insert(fresh);
        history.last = start.plus(PAGE_MILLIS);
        history.honest += honest;
    };
    for (start, page) in ledger.pages(day_before(before)) {
        for (account, tally) in page.accounts() {
            if let (Some(service), ReleaseKey::One(_)) = (account.service, account.release) {
                see(service, account.release, start, honest(tally));
            }
        }
        for (demand, _) in page.requests().filter(|(_, n)| *n > 0) {
            if let (Some(service), ReleaseKey::One(_)) = (demand.service, demand.release) {
                see(service, demand.release, start, 0);
            }
        }
    }
    histories
}

/// The pages that tell which release is new: those of a day, and of the hour before it.
fn day_before(before: Millis) -> Span {
    let from = Tier::FiveMinutes.start(before.plus(-NEW_FOR_MILLIS - HISTORY_MIN_MILLIS));
    Span { from, to: before, tier: Tier::FiveMinutes }
}

/// A new release of a service and the one before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Service.
    pub service: Id,
    /// The new release.
    pub new: ReleaseKey,
    /// The one before it: of those that were there an hour before, the one with the most honest panics.
    pub old: ReleaseKey,
    /// Start of the first page of the new one.
    pub since: Millis,
    /// What the old one was like in the day before, up to the page that is open.
    pub reference: Sheet,
}

impl Line {
    /// The newest release of each service that has a release before it, at `before` (the start of a page).
    pub fn newest(ledger: &Ledger, before: Millis) -> Vec<Self> {
        let histories = histories(ledger, before);
        let mut newest: BTreeMap<Id, (Millis, ReleaseKey)> = BTreeMap::new();
        for ((service, release), history) in &histories {
            let mine = (history.first, *release);
            newest.entry(*service).and_modify(|best| *best = mine.max(*best)).or_insert(mine);
        }
        let lines = newest.into_iter();
        lines.filter_map(|(service, (_, new))| Self::of(ledger, &histories, (service, new), before)).collect()
    }

    /// A release and the one before it, at `before`; `None` where nothing was before it.
    pub fn of(
        ledger: &Ledger,
        histories: &BTreeMap<(Id, ReleaseKey), History>,
        (service, new): (Id, ReleaseKey),
        before: Millis,
    ) -> Option<Self> {
        let since = histories.get(&(service, new))?.first;
        let known_from = histories.iter().filter(|((of, _), _)| *of == service).map(|(_, history)| history.first).min();
        if since.since(known_from?) < HISTORY_MIN_MILLIS {
            return None;
        }
        let old = histories.iter().filter(|((of, release), history)| {
            *of == service && *release != new && since.since(history.first) >= HISTORY_MIN_MILLIS
        });
        let ((_, old), _) = old.max_by_key(|((_, release), history)| (history.honest, *release))?;
        let reference = Sheet::of(ledger, day_before(before), service, *old);
        Some(Self { service, new, old: *old, since, reference })
    }

    /// The rate of honest panics of the new release in `now` as a multiple of the old one's, on a route or on the whole;
    /// `None` where there is nothing to compare.
    pub fn pace(&self, now: &Sheet, n_pages: i64, route: Option<RouteKey>) -> Option<Pace> {
        let Rates { new, old, denominator } = self.rates(now, n_pages, route)?;
        let (e1, e0) = denominator.exposures();
        Some(Pace { route, new, old, denominator, ratio: rate_ratio(new, e1, old, e0)? })
    }

    /// What a pace is made of; cheap, where its interval is not.
    pub(super) fn rates(&self, now: &Sheet, n_pages: i64, route: Option<RouteKey>) -> Option<Rates> {
        let (mine, theirs) = (now.figures(route), self.reference.figures(route));
        let rates = if now.whole.requests > 0 {
            let denominator = Denominator::Requests { new: mine.requests, old: theirs.requests };
            Rates { new: mine.counted, old: theirs.counted, denominator }
        } else {
            let millis = n_pages.saturating_mul(PAGE_MILLIS);
            let old = self.reference.busiest(route, n_pages, self.since);
            Rates { new: mine.honest, old, denominator: Denominator::Busiest { millis } }
        };
        let (e1, e0) = rates.denominator.exposures();
        (e1 > 0 && e0 > 0 && rates.new + rates.old > 0).then_some(rates)
    }
}

/// Two rates before they are divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rates {
    pub(super) new: u64,
    old: u64,
    denominator: Denominator,
}

impl Rates {
    /// The one as a multiple of the other; infinite where there was none before.
    pub(super) fn estimate(&self) -> f64 {
        let (e1, e0) = self.denominator.exposures();
        count_f64(self.new) / count_f64(self.old) * (count_f64(e0) / count_f64(e1))
    }
}

/// What rates are shares of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denominator {
    /// Requests of both releases.
    Requests {
        /// Of the new one.
        new: u64,
        /// Of the old one.
        old: u64,
    },
    /// Time: as much of it as the new release had, against the busiest as long a time of the old one.
    Busiest {
        /// Milliseconds.
        millis: i64,
    },
}

impl Denominator {
    /// Of the new release and of the old one, in one unit.
    fn exposures(self) -> (u64, u64) {
        match self {
            Self::Requests { new, old } => (new, old),
            Self::Busiest { millis } => {
                let length = u64::try_from(millis).unwrap_or(0);
                (length, length)
            }
        }
    }
}

/// A rate as a multiple of another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// The route; `None`: the whole release.
    pub route: Option<RouteKey>,
    /// Honest panics of the new release.
    pub new: u64,
    /// Those of the old one.
    pub old: u64,
    /// What the rates are shares of.
    pub denominator: Denominator,
    /// The multiple.
    pub ratio: Interval,
}

#[cfg(test)]
pub(super) mod tests;
