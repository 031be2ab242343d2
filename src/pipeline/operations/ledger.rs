//! The ledger: how many panics met which route of which release, and what became of them, over time.
//!
//! Reads observations with their circumstances, and request totals of a traffic feed; gives [`Page`]s: one for each five
//! minutes of the last two days, each hour of the last month and each day of the last year. Cells cannot answer this:
//! they mix releases and times, and are forgotten. An [`Account`] is a service, route, release and boundary; what is
//! counted for it is a [`Tally`]. Holds ids and counts; no address, no value of a payload.
//!
//! A page is a function of the *multiset* of its events: it keeps the accounts with the least rank (a fixed order, see
//! [`Account`]), and the others count together in the rest of their service. An account that leaves has the others before
//! it for good, so what stands in the end does not depend on the order in which events came. Nothing is lost: the sum
//! over a page's accounts is the number of its events. Only how many pages are kept looks at time, and that is event
//! time.
//!
//! Bounds: [`ACCOUNTS_MAX`] accounts and [`DEMANDS_MAX`] request totals a page, [`Tier::pages_kept`] pages. A service
//! with forty routes takes some 10 MB, a tenant whose every page is full some 60 MB (reckoned from the sizes of an
//! account and of a page, not measured). `observe` costs a look-up and a [`Tally::add`]; each batch is then booked at
//! once.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::tally::{Circumstances, Tally};
use crate::pipeline::cell::text_id;
use crate::pipeline::event::{Id, Millis};
use crate::pipeline::observation::Observation;
use crate::pipeline::sample::mix;
use crate::pipeline::state::StateRow;
use crate::pipeline::surfaces::ReleaseKey;

/// Accounts of a page that stand for themselves: forty routes in two releases, with room.
pub const ACCOUNTS_MAX: usize = 96;

/// Services of a page that have a rest of their own.
pub const RESTS_MAX: usize = 16;

/// Request totals of a page.
pub const DEMANDS_MAX: usize = 256;

/// How long a page lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Tier {
    /// Five minutes: what an on-call engineer looks at.
    FiveMinutes,
    /// An hour: what an error budget is made of.
    Hours,
    /// A day: what months are compared by.
    Days,
}

impl Tier {
    /// All, the finest first.
    pub const ALL: [Self; 3] = [Self::FiveMinutes, Self::Hours, Self::Days];

    /// Milliseconds of a page.
    pub fn millis(self) -> i64 {
        match self {
            Self::FiveMinutes => 5 * Millis::MINUTE,
            Self::Hours => Millis::HOUR,
            Self::Days => Millis::DAY,
        }
    }

    /// Pages that are kept: 50 hours, 32 days, 400 days.
    pub fn pages_kept(self) -> usize {
        match self {
            Self::FiveMinutes => 600,
            Self::Hours => 768,
            Self::Days => 400,
        }
    }

    /// Start of the page that holds `time`.
    pub fn start(self, time: Millis) -> Millis {
        Millis(time.0.div_euclid(self.millis()).saturating_mul(self.millis()))
    }

    /// In words: `5 minutes`, `1 hour`, `1 day`.
    pub fn words(self) -> &'static str {
        match self {
            Self::FiveMinutes => "5 minutes",
            Self::Hours => "1 hour",
            Self::Days => "1 day",
        }
    }
}

/// A route as an account names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RouteKey {
    /// The producer's own template.
    Named(Id),
    /// A masked path: senders can make new ones, so these give way to the named ones.
    Guessed(Id),
    /// All that have no account of their own.
    Rest,
}

impl RouteKey {
    /// The route's id; `None` for the rest.
    pub fn id(self) -> Option<Id> {
        match self {
            Self::Named(id) | Self::Guessed(id) => Some(id),
            Self::Rest => None,
        }
    }
}

/// What is accounted for. In a full page the accounts with the least rank stand for themselves: named routes before
/// guessed ones, and then in the order of a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Account {
    /// Service; `None`: all that have no rest of their own.
    pub service: Option<Id>,
    /// Route.
    pub route: RouteKey,
    /// Release.
    pub release: ReleaseKey,
    /// Name of the boundary that contained the panic ([`text_id`]).
    pub boundary: Option<Id>,
}

impl Account {
    /// Everything without an account or a rest of its service.
    const REST: Self = Self { service: None, route: RouteKey::Rest, release: ReleaseKey::Others, boundary: None };

    /// That of an event.
    pub fn of(o: &Observation<'_>) -> Self {
        let tenant = o.cell.tenant;
        Self {
            service: Some(o.cell.service),
            route: if o.has_template { RouteKey::Named(o.cell.route) } else { RouteKey::Guessed(o.cell.route) },
            release: o.release.as_deref().map_or(ReleaseKey::Untold, |text| ReleaseKey::One(text_id(tenant, text))),
            boundary: o.aftermath.boundary.as_deref().map(|text| text_id(tenant, text)),
        }
    }

    fn rest_of_service(self) -> Self {
        Self { service: self.service, ..Self::REST }
    }

    fn is_rest(&self) -> bool {
        self.route == RouteKey::Rest
    }

    fn rank(&self) -> (bool, u64, Self) {
        let release = match self.release {
            ReleaseKey::One(id) => id.0,
            ReleaseKey::Untold | ReleaseKey::Others => 0,
        };
        let parts = [self.service.map_or(0, |id| id.0), self.route.id().map_or(0, |id| id.0), release];
        let hash = parts.iter().chain(&[self.boundary.map_or(0, |id| id.0)]).fold(0, |hash, part| mix(hash ^ part));
        (!matches!(self.route, RouteKey::Named(_)), hash, *self)
    }
}

/// What a traffic feed counts requests of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Demand {
    /// Service; `None` where the feed does not say: then whichever has the route.
    pub service: Option<Id>,
    /// Route: the id that an event of the same route has.
    pub route: Id,
    /// Release.
    pub release: ReleaseKey,
}

/// One stretch of time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// What became of panics.
    accounts: BTreeMap<Account, Tally>,
    /// Requests, panicking or not.
    requests: BTreeMap<Demand, u64>,
    /// Windows of five minutes of which a total was counted.
    windows: u16,
}

impl Page {
    /// The accounts, in the order of their keys.
    pub fn accounts(&self) -> impl ExactSizeIterator<Item = (&Account, &Tally)> {
        self.accounts.iter()
    }

    /// The accounts of one route of one service, found by their keys.
    pub fn route(&self, service: Id, route: RouteKey) -> impl Iterator<Item = (&Account, &Tally)> {
        let first = Account { service: Some(service), route, release: ReleaseKey::One(Id(0)), boundary: None };
        let route = move |account: &Account| account.service == Some(service) && account.route == route;
        self.accounts.range(first..).take_while(move |(account, _)| route(account))
    }

    /// The accounts of one service, found by their keys.
    pub fn of_service(&self, service: Id) -> impl Iterator<Item = (&Account, &Tally)> {
        let (route, release) = (RouteKey::Named(Id(0)), ReleaseKey::One(Id(0)));
        let first = Account { service: Some(service), route, release, boundary: None };
        self.accounts.range(first..).take_while(move |(account, _)| account.service == Some(service))
    }

    /// The request totals, in the order of their keys.
    pub fn requests(&self) -> impl ExactSizeIterator<Item = (&Demand, u64)> {
        self.requests.iter().map(|(demand, n)| (demand, *n))
    }

    /// Whether requests were counted in each of its windows of five minutes, so that all of its panics have something to
    /// be divided by; `tier` is the page's own.
    pub fn is_counted(&self, tier: Tier) -> bool {
        i64::from(self.windows) >= tier.millis() / Tier::FiveMinutes.millis()
    }

    fn book(&mut self, account: Account, tally: &Tally, with_breadth: bool) {
        let mine = self.accounts.entry(account).or_default();
        if with_breadth {
            mine.merge(tally);
        } else {
            mine.merge_without_breadth(tally);
        }
        self.fit(ACCOUNTS_MAX, |account| !account.is_rest(), Account::rest_of_service);
        self.fit(RESTS_MAX, |account| account.is_rest() && account.service.is_some(), |_| Account::REST);
    }

    /// Counts the account of the highest rank elsewhere until no more than `max` of a kind are left.
    fn fit(&mut self, max: usize, of_kind: impl Fn(&Account) -> bool, elsewhere: impl Fn(Account) -> Account) {
        if self.accounts.len() <= max {
            return;
        }
        while self.accounts.keys().filter(|account| of_kind(account)).count() > max {
            let last = self.accounts.keys().filter(|account| of_kind(account)).max_by_key(|account| account.rank());
            let Some(last) = last.copied() else { return };
            if let Some(tally) = self.accounts.remove(&last) {
                self.accounts.entry(elsewhere(last)).or_default().merge(&tally);
            }
        }
    }
}

/// Why a request total was not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DemandFault {
    /// It was counted before: the same window with the same total.
    Repeated,
    /// The window has another total already, which stays.
    Contradicts {
        /// That total.
        counted: u64,
    },
    /// The window is older than the pages that are kept.
    TooOld,
    /// The window does not begin at a multiple of five minutes.
    Misaligned,
    /// The page has no room for a further route.
    Full,
}

/// A stretch of time that the ledger can account for: whole pages of one tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Start of the first page.
    pub from: Millis,
    /// End of the last page, exclusive.
    pub to: Millis,
    /// Their tier.
    pub tier: Tier,
}

impl Span {
    /// Milliseconds.
    pub fn millis(&self) -> i64 {
        self.to.since(self.from)
    }
}

/// Pages of one tier.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Book {
    pages: BTreeMap<Millis, Page>,
    /// Pages before this time were dropped.
    reach: Option<Millis>,
}

/// The ledger of one tenant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledger {
    books: BTreeMap<Tier, Book>,
    /// What came since the last [`Ledger::settle`], by the five minutes it belongs to.
    unsettled: BTreeMap<(Millis, Account), Tally>,
    dirty: BTreeSet<(Tier, Millis)>,
    dirty_reach: BTreeSet<Tier>,
}

impl Ledger {
    /// Counts an event.
    pub fn observe(&mut self, o: &Observation<'_>, circumstances: Circumstances) {
        let start = Tier::FiveMinutes.start(o.time);
        self.unsettled.entry((start, Account::of(o))).or_default().add(o, circumstances);
    }

    /// Counts the requests of a window of five minutes that begins at `start`.
    ///
    /// # Errors
    /// Why they are not counted.
    pub fn count_requests(&mut self, start: Millis, demand: Demand, n: u64) -> Result<(), DemandFault> {
        if Tier::FiveMinutes.start(start) != start {
            return Err(DemandFault::Misaligned);
        }
        let five_minutes = self.books.entry(Tier::FiveMinutes).or_default();
        if five_minutes.reach.is_some_and(|reach| start < reach) {
            return Err(DemandFault::TooOld);
        }
        let page = five_minutes.pages.get(&start);
        let is_first = page.is_none_or(|page| page.requests.is_empty());
        match page.and_then(|page| page.requests.get(&demand)) {
            Some(counted) if *counted == n => return Err(DemandFault::Repeated),
            Some(counted) => return Err(DemandFault::Contradicts { counted: *counted }),
            None => {}
        }
        if Tier::ALL.iter().any(|tier| !self.has_room(*tier, start, &demand)) {
            return Err(DemandFault::Full);
        }
        for tier in Tier::ALL {
            let page = self.page(tier, start);
            page.windows = page.windows.saturating_add(u16::from(is_first));
            let total = page.requests.entry(demand).or_default();
            *total = total.saturating_add(n);
        }
        self.drop_old();
        Ok(())
    }

    fn has_room(&self, tier: Tier, start: Millis, demand: &Demand) -> bool {
        let page = self.books.get(&tier).and_then(|book| book.pages.get(&tier.start(start)));
        page.is_none_or(|page| page.requests.len() < DEMANDS_MAX || page.requests.contains_key(demand))
    }

    /// Books what came since the last call. Reads below see what is booked.
    pub fn settle(&mut self) {
        for ((start, account), tally) in std::mem::take(&mut self.unsettled) {
            for tier in Tier::ALL {
                self.page(tier, start).book(account, &tally, tier == Tier::FiveMinutes);
            }
        }
        self.drop_old();
    }

    fn page(&mut self, tier: Tier, time: Millis) -> &mut Page {
        let start = tier.start(time);
        self.dirty.insert((tier, start));
        self.books.entry(tier).or_default().pages.entry(start).or_default()
    }

    /// Keeps no more pages than there may be: the oldest go. A clock that is broken costs one page, not the others.
    fn drop_old(&mut self) {
        for (tier, book) in &mut self.books {
            while book.pages.len() > tier.pages_kept() {
                let Some((start, _)) = book.pages.pop_first() else { break };
                self.dirty.insert((*tier, start));
                book.reach = book.reach.max(Some(start.plus(tier.millis())));
                self.dirty_reach.insert(*tier);
            }
        }
    }

    /// The whole pages that cover `from` to `to` (exclusive), of the finest tier that still reaches back to `from`: they
    /// begin at or before `from` and end at or after `to`.
    pub fn span(&self, from: Millis, to: Millis) -> Span {
        let reaches = |tier: &Tier| {
            let reach = self.books.get(tier).and_then(|book| book.reach);
            reach.is_none_or(|reach| reach <= tier.start(from))
        };
        let tier = Tier::ALL.into_iter().find(reaches).unwrap_or(Tier::Days);
        let last = tier.start(to.plus(-1).max(from));
        Span { from: tier.start(from), to: last.plus(tier.millis()), tier }
    }

    /// The pages of a span, the oldest first; stretches without events and requests are left out.
    pub fn pages(&self, span: Span) -> impl DoubleEndedIterator<Item = (Millis, &Page)> {
        let pages = self.books.get(&span.tier).map(|book| book.pages.range(span.from..span.to));
        pages.into_iter().flatten().map(|(start, page)| (*start, page))
    }

    /// What is counted in a span, added up by what `key` makes of an account; accounts of which it makes nothing are left
    /// out.
    pub fn tallies<K: Ord>(&self, span: Span, key: impl Fn(&Account) -> Option<K>) -> BTreeMap<K, Tally> {
        let mut sums: BTreeMap<K, Tally> = BTreeMap::new();
        for (account, tally) in self.pages(span).flat_map(|(_, page)| page.accounts()) {
            if let Some(key) = key(account) {
                sums.entry(key).or_default().merge(tally);
            }
        }
        sums
    }

    /// Requests in a span, added up in the same way. Without a traffic feed there are none: nothing is known then, and
    /// nobody may divide.
    pub fn requests<K: Ord>(&self, span: Span, key: impl Fn(&Demand) -> Option<K>) -> BTreeMap<K, u64> {
        let mut sums: BTreeMap<K, u64> = BTreeMap::new();
        for (demand, n) in self.pages(span).flat_map(|(_, page)| page.requests()) {
            if let Some(key) = key(demand) {
                let sum = sums.entry(key).or_default();
                *sum = sum.saturating_add(n);
            }
        }
        sums
    }

    /// From the start of the oldest page to the end of the newest, in the finest tier that has all of it; `None` without
    /// events.
    pub fn extent(&self) -> Option<Span> {
        let all = Tier::ALL.into_iter().filter_map(|tier| {
            let pages = &self.books.get(&tier)?.pages;
            let (first, last) = (*pages.first_key_value()?.0, *pages.last_key_value()?.0);
            Some((tier, first, last.plus(tier.millis())))
        });
        let (tier, from, to) = all.reduce(|fine, coarse| {
            let complete = self.books.get(&fine.0).is_none_or(|book| book.reach.is_none());
            if complete { fine } else { coarse }
        })?;
        Some(Span { from, to, tier })
    }

    /// The ids whose names a report shows.
    pub fn names(&self) -> impl Iterator<Item = Id> {
        let pages = || self.books.values().flat_map(|book| book.pages.values());
        let accounts = pages().flat_map(|page| &page.accounts).flat_map(|(account, tally)| {
            let release = release_id(account.release);
            let ids = [account.service, account.route.id(), release, account.boundary].into_iter().flatten();
            let regions = tally.breadth.iter().flat_map(|breadth| breadth.regions.iter());
            ids.chain(tally.classes.iter().chain(regions).map(|(id, _)| Id(id)))
        });
        let requests = pages().flat_map(|page| page.requests.keys());
        accounts.chain(
            requests.flat_map(|demand| {
                [demand.service, Some(demand.route), release_id(demand.release)].into_iter().flatten()
            }),
        )
    }

    /// The rows that changed since the last call.
    pub(super) fn take_rows(&mut self) -> Vec<StateRow> {
        self.settle();
        let page = |tier: &Tier, start: &Millis| self.books.get(tier).and_then(|book| book.pages.get(start));
        let pages =
            self.dirty.iter().filter_map(|(tier, start)| StateRow::of("ledger", &(tier, start), page(tier, start)));
        let reach = |tier: &Tier| self.books.get(tier).and_then(|book| book.reach);
        let reaches =
            self.dirty_reach.iter().filter_map(|tier| StateRow::of("ledger_reach", tier, reach(tier).as_ref()));
        let rows = pages.chain(reaches).collect();
        self.dirty.clear();
        self.dirty_reach.clear();
        rows
    }

    /// Puts back what a store kept.
    pub(super) fn restore(
        pages: impl IntoIterator<Item = ((Tier, Millis), Page)>,
        reaches: impl IntoIterator<Item = (Tier, Millis)>,
    ) -> Self {
        let mut ledger = Self::default();
        for ((tier, start), page) in pages {
            ledger.books.entry(tier).or_default().pages.insert(start, page);
        }
        for (tier, reach) in reaches {
            ledger.books.entry(tier).or_default().reach = Some(reach);
        }
        ledger
    }
}

/// The id of a release that has one.
pub(super) fn release_id(release: ReleaseKey) -> Option<Id> {
    match release {
        ReleaseKey::One(id) => Some(id),
        ReleaseKey::Untold | ReleaseKey::Others => None,
    }
}

#[cfg(test)]
mod tests;
