//! Whose requests those of a traffic feed are that names no service.
//!
//! Reads the account of panics: a route belongs to the service in which alone it panics, and every route to the only
//! service there is. Nobody can say more. Costs a look at every account of the last year, some milliseconds at most.

use std::collections::{BTreeMap, BTreeSet};

use super::ledger::{Demand, Ledger, Span, Tier};
use crate::pipeline::event::{Id, Millis};

/// Services of routes, as far as panics tell them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owners {
    /// Services in which each route panicked.
    by_route: BTreeMap<Id, BTreeSet<Id>>,
    /// The only service there is.
    sole: Option<Id>,
}

impl Owners {
    /// Those of a ledger.
    pub fn of(ledger: &Ledger) -> Self {
        let days = Span { from: Millis(i64::MIN), to: Millis(i64::MAX), tier: Tier::Days };
        let (mut by_route, mut services) = (BTreeMap::<Id, BTreeSet<Id>>::new(), BTreeSet::new());
        for (account, _) in ledger.pages(days).flat_map(|(_, page)| page.accounts()) {
            services.insert(account.service);
            if let (Some(service), Some(route)) = (account.service, account.route.id()) {
                by_route.entry(route).or_default().insert(service);
            }
        }
        let sole = services.first().copied().flatten().filter(|_| services.len() == 1);
        Self { by_route, sole }
    }

    /// The service of a request total; `None` where nobody can say.
    pub fn service(&self, demand: &Demand) -> Option<Id> {
        demand.service.or_else(|| self.owner(demand.route)).or(self.sole)
    }

    /// The only service in which a route panicked.
    pub fn owner(&self, route: Id) -> Option<Id> {
        let services = self.by_route.get(&route).filter(|services| services.len() == 1);
        services.and_then(|services| services.first().copied())
    }

    /// Routes that panicked, in whatever service.
    pub fn routes(&self) -> impl Iterator<Item = Id> {
        self.by_route.keys().copied()
    }

    /// Whether any service panicked on the route.
    pub fn is_known(&self, route: Id) -> bool {
        self.by_route.contains_key(&route)
    }

    /// The only service there is.
    pub fn sole(&self) -> Option<Id> {
        self.sole
    }
}
