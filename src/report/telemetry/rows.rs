//! The account of panics, added up by what was asked for, with the requests beside it.
//!
//! Reads a tenant's ledger page by page. A panic is *counted* in a rate when its page has a total of its route (by
//! release: of its route and release): one whose requests nobody counted would make every rate too high. A page longer
//! than five minutes has totals only when each of its windows has. Classes are added up account by account, since a merged
//! tally keeps a few of them.
//!
//! Costs one look at each account of the period, some milliseconds for a month.

use std::collections::{BTreeMap, BTreeSet};

use super::By;
use crate::pipeline::classify::{PanicModel, Surface};
use crate::pipeline::event::{Id, RecoveryOutcome};
use crate::pipeline::operations::ledger::{Account, Demand, Page, RouteKey, Span, Tier};
use crate::pipeline::operations::owners::Owners;
use crate::pipeline::operations::tally::{Counter, Tally};
use crate::pipeline::surfaces::ReleaseKey;
use crate::pipeline::tenant::Tenant;

/// What a row is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    /// Its service, where rows are a service's.
    pub(super) service: Option<Id>,
    /// What of it.
    pub(super) what: What,
}

/// What of a service a row is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    /// All of it.
    All,
    /// A route, a release, a boundary or a class.
    Named(Id),
    /// A recovery outcome.
    Outcome(RecoveryOutcome),
    /// A surface.
    Surface(Surface),
    /// The producer does not say.
    Untold,
    /// What has no account of its own.
    Other,
}

/// One row.
#[derive(Debug, Clone, Default)]
pub(super) struct Row {
    /// Panics.
    pub(super) panics: u64,
    /// What became of them; `None` where the account keeps no more than their number.
    pub(super) tally: Option<Tally>,
    /// Pages with such panics.
    pub(super) pages: u64,
    /// Of these, pages with totals of such requests.
    pub(super) pages_counted: u64,
    /// Panics with a total of their route.
    pub(super) panics_counted: u64,
    /// Requests; `None`: nobody counted any.
    pub(super) requests: Option<u64>,
}

/// A tenant's rows.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// By what was asked for.
    pub(super) by_key: BTreeMap<Key, Row>,
    /// Everything.
    pub(super) all: Row,
    /// Requests of routes whose service nobody can tell.
    pub(super) requests_of_nobody: u64,
}

/// What is asked of one tenant.
pub(super) struct Question<'q> {
    /// The tenant.
    pub(super) tenant: &'q Tenant,
    /// Pages.
    pub(super) span: Span,
    /// What rows are about.
    pub(super) by: By,
    /// Only this service.
    pub(super) service: Option<Id>,
    /// Says of which surface a class is.
    pub(super) panics: &'q PanicModel,
}

/// The totals of one page.
#[derive(Default)]
struct Totals {
    by_key: BTreeMap<Key, u64>,
    all: Option<u64>,
    of_nobody: u64,
    routes: BTreeSet<(Option<Id>, Id)>,
    releases: BTreeSet<(Option<Id>, Id, ReleaseKey)>,
}

impl Question<'_> {
    /// Adds it up.
    pub(super) fn rows(&self) -> Rows {
        let ledger = self.tenant.operations().ledger();
        let owners = Owners::of(ledger);
        let mut rows = Rows::default();
        for (_, page) in ledger.pages(self.span) {
            let totals = self.totals(page, &owners);
            rows.add_requests(&totals);
            self.add_panics(&mut rows, page, &totals);
        }
        rows
    }

    fn is_meant(&self, service: Option<Id>) -> bool {
        self.service.is_none() || self.service == service
    }

    fn totals(&self, page: &Page, owners: &Owners) -> Totals {
        let mut totals = Totals::default();
        if !page.is_counted(self.span.tier) {
            return totals;
        }
        for (demand, n) in page.requests() {
            let service = owners.service(demand);
            if !self.is_meant(service) {
                continue;
            }
            let all = totals.all.get_or_insert(0);
            *all = all.saturating_add(n);
            totals.routes.insert((service, demand.route));
            totals.releases.insert((service, demand.route, demand.release));
            let Some(key) = self.key_of_demand(service, demand) else { continue };
            if key.service.is_none() {
                totals.of_nobody = totals.of_nobody.saturating_add(n);
                continue;
            }
            let sum = totals.by_key.entry(key).or_default();
            *sum = sum.saturating_add(n);
        }
        totals
    }

    /// The row whose requests these are; `None` where all rows are parts of all requests.
    fn key_of_demand(&self, service: Option<Id>, demand: &Demand) -> Option<Key> {
        let what = match self.by {
            By::Endpoint => What::Named(demand.route),
            By::Release => release(demand.release),
            By::Service => What::All,
            By::Outcome | By::Surface | By::Class | By::Boundary => return None,
        };
        Some(Key { service, what })
    }

    fn add_panics(&self, rows: &mut Rows, page: &Page, totals: &Totals) {
        let mut of_page: BTreeMap<Key, (u64, u64)> = BTreeMap::new();
        let (mut n_all, mut n_counted) = (0, 0);
        for (account, tally) in page.accounts().filter(|(account, _)| self.is_meant(account.service)) {
            let counted = self.is_counted(account, totals);
            for (key, n) in self.parts(account, tally) {
                let sums = of_page.entry(key).or_default();
                sums.0 += n;
                sums.1 += if counted { n } else { 0 };
                if self.by.is_whole_accounts() {
                    rows.by_key.entry(key).or_default().tally.get_or_insert_default().merge_without_breadth(tally);
                }
            }
            let n = tally.get(Counter::Events);
            n_all += n;
            n_counted += if counted { n } else { 0 };
            rows.all.tally.get_or_insert_default().merge_without_breadth(tally);
        }
        for (key, (n, n_counted)) in of_page.into_iter().filter(|(_, (n, _))| *n > 0) {
            let has_total =
                if self.by.has_own_requests() { totals.by_key.contains_key(&key) } else { totals.all.is_some() };
            rows.by_key.entry(key).or_default().add(n, n_counted, has_total);
        }
        if n_all > 0 {
            rows.all.add(n_all, n_counted, totals.all.is_some());
        }
    }

    /// Whether the requests were counted that an account's panics are a part of.
    fn is_counted(&self, account: &Account, totals: &Totals) -> bool {
        let Some(route) = account.route.id() else { return false };
        let has = |service| match self.by {
            By::Release => totals.releases.contains(&(service, route, account.release)),
            _ => totals.routes.contains(&(service, route)),
        };
        has(account.service) || (!self.by.has_own_requests() && has(None))
    }

    /// The rows that an account's panics belong to, and how many of them.
    fn parts(&self, account: &Account, tally: &Tally) -> Vec<(Key, u64)> {
        let service = account.service;
        let whole = |service, what| vec![(Key { service, what }, tally.get(Counter::Events))];
        let of_all = |what| Key { service: None, what };
        match self.by {
            By::Endpoint => whole(service, account.route.id().map_or(What::Other, What::Named)),
            By::Release => whole(service, release(account.release)),
            By::Service => whole(service, service.map_or(What::Other, |_| What::All)),
            By::Boundary => whole(
                None,
                match account.boundary {
                    Some(boundary) => What::Named(boundary),
                    None if account.route == RouteKey::Rest => What::Other,
                    None => What::Untold,
                },
            ),
            By::Outcome => {
                let outcomes =
                    RecoveryOutcome::ALL.map(|outcome| (of_all(What::Outcome(outcome)), tally.recovered(outcome)));
                outcomes.into_iter().filter(|(_, n)| *n > 0).collect()
            }
            By::Class | By::Surface => {
                let named = tally.classes.iter().map(|(class, n)| (of_all(self.of_class(Id(class))), n));
                let other = Some((of_all(What::Other), tally.classes.other())).filter(|(_, n)| *n > 0);
                named.chain(other).collect()
            }
        }
    }

    fn of_class(&self, class: Id) -> What {
        if self.by == By::Class {
            return What::Named(class);
        }
        self.panics.surface(&self.tenant.name(class)).map_or(What::Other, What::Surface)
    }
}

impl Rows {
    fn add_requests(&mut self, totals: &Totals) {
        let add = |sum: &mut Option<u64>, n: u64| *sum = Some(sum.unwrap_or(0).saturating_add(n));
        for (key, n) in &totals.by_key {
            let row = self.by_key.entry(*key).or_default();
            row.tally.get_or_insert_default();
            add(&mut row.requests, *n);
        }
        if let Some(n) = totals.all {
            add(&mut self.all.requests, n);
        }
        self.requests_of_nobody = self.requests_of_nobody.saturating_add(totals.of_nobody);
    }
}

impl Row {
    fn add(&mut self, n: u64, n_counted: u64, has_total: bool) {
        self.panics += n;
        self.panics_counted += n_counted;
        self.pages += 1;
        self.pages_counted += u64::from(has_total);
    }
}

impl By {
    /// Whether a row is made of whole accounts, of which all is known.
    fn is_whole_accounts(self) -> bool {
        matches!(self, Self::Endpoint | Self::Release | Self::Service | Self::Boundary)
    }

    /// Whether requests have rows of their own, too.
    pub(super) fn has_own_requests(self) -> bool {
        matches!(self, Self::Endpoint | Self::Release | Self::Service)
    }
}

fn release(key: ReleaseKey) -> What {
    match key {
        ReleaseKey::One(id) => What::Named(id),
        ReleaseKey::Untold => What::Untold,
        ReleaseKey::Others => What::Other,
    }
}

/// How many windows of five minutes a page of a tier has.
pub(super) fn windows_of(tier: Tier) -> i64 {
    tier.millis() / Tier::FiveMinutes.millis()
}
