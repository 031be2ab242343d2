//! What a report on operations is about: the tenants of a store, or one service of theirs, in stretches of time.
//!
//! Reads ledgers; gives sums by names rather than ids, over all tenants (where there is more than one, a service is
//! named `tenant/service`). A stretch is told in whole pages; where tenants have pages of different length, the longest
//! is taken for all. Costs a pass over the pages of the stretch.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use super::period::{Instant, Period};
use super::sheet::printable;
use crate::pipeline::event::{Id, Millis};
use crate::pipeline::operations::interval::{Interval, rate_ratio};
use crate::pipeline::operations::ledger::{Account, Demand, Ledger, Span, Tier};
use crate::pipeline::operations::owners::Owners;
use crate::pipeline::operations::tally::{Counter, Tally};
use crate::pipeline::state::State;
use crate::pipeline::surfaces::ReleaseKey;
use crate::pipeline::tenant::Tenant;

/// Services that a fault names.
const NAMED_MAX: usize = 20;

/// All time, for what is asked of everything that a ledger holds.
const ALWAYS: Span = Span { from: Millis(i64::MIN), to: Millis(i64::MAX), tier: Tier::Days };

/// What accounts without a service of their own are called.
const REST: &str = "(further services)";

/// One tenant of a report.
pub(super) struct Part<'s> {
    pub(super) tenant: &'s Tenant,
    /// `tenant/`, or nothing where there is one tenant.
    prefix: String,
    /// The service that is asked for.
    service: Option<Id>,
}

impl Part<'_> {
    /// The tenant's ledger.
    pub(super) fn ledger(&self) -> &Ledger {
        self.tenant.operations().ledger()
    }

    /// A service's name.
    pub(super) fn service(&self, id: Option<Id>) -> String {
        format!("{}{}", self.prefix, id.map_or_else(|| REST.to_owned(), |id| self.tenant.name(id)))
    }

    /// A release's name.
    pub(super) fn release(&self, release: ReleaseKey) -> String {
        match release {
            ReleaseKey::One(id) => self.tenant.name(id),
            ReleaseKey::Untold => "(not told)".to_owned(),
            ReleaseKey::Others => "(others)".to_owned(),
        }
    }

    /// Whether something of a service is asked for.
    pub(super) fn has(&self, service: Option<Id>) -> bool {
        self.service.is_none() || self.service == service
    }
}

/// What is asked about.
pub(super) struct Scope<'s> {
    parts: Vec<Part<'s>>,
    /// From the start of the first page to the end of what is known.
    extent: (Millis, Millis),
}

impl<'s> Scope<'s> {
    /// All of a state, or the services of this name.
    ///
    /// # Errors
    /// A state without events, and a service that nothing is known of; the error names those that exist.
    pub(super) fn of(state: &'s State, service: Option<&str>) -> Result<Self> {
        let tenants: Vec<(Id, &Tenant)> =
            state.tenants().filter(|(_, tenant)| tenant.operations().ledger().extent().is_some()).collect();
        let several = tenants.len() > 1;
        let extents = tenants.iter().filter_map(|(_, tenant)| tenant.operations().ledger().extent());
        let known = extents.map(|span| (span.from, span.to)).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
        let Some((from, to)) = known else { bail!("the store has no events to report on yet") };
        let mut parts = Vec::new();
        let mut names = BTreeSet::new();
        for (id, tenant) in tenants {
            let prefix = if several { format!("{}/", tenant.name(id)) } else { String::new() };
            let part = Part { tenant, prefix, service: None };
            let services: BTreeSet<Id> = part.ledger().tallies(ALWAYS, |account| account.service).into_keys().collect();
            names.extend(services.iter().map(|id| part.service(Some(*id))));
            match service {
                None => parts.push(part),
                Some(wanted) => {
                    let of_name = |id: &&Id| part.service(Some(**id)) == wanted || part.tenant.name(**id) == wanted;
                    let found = services.iter().find(of_name).copied();
                    parts.extend(found.map(|id| Part { service: Some(id), ..part }));
                }
            }
        }
        if parts.is_empty() {
            let shown: Vec<String> = names.iter().take(NAMED_MAX).map(|name| printable(name)).collect();
            let more = names.len().saturating_sub(shown.len());
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let wanted = printable(service.unwrap_or_default());
            bail!("nothing is known of a service {wanted}; there are {}{more}", shown.join(", "));
        }
        Ok(Self { parts, extent: (from, to.max(state.now().unwrap_or(to))) })
    }

    /// The tenants.
    pub(super) fn parts(&self) -> &[Part<'s>] {
        &self.parts
    }

    /// What the store knows of: from and to.
    pub(super) fn extent(&self) -> (Millis, Millis) {
        self.extent
    }

    /// The whole pages that cover a period.
    ///
    /// # Errors
    /// An end that is not after the beginning, and a stretch that lies before or after all that the store holds.
    pub(super) fn resolve(&self, period: Period) -> Result<Span> {
        let (first, last) = self.extent;
        let point = |instant| match instant {
            Instant::At(at) => at,
            Instant::Ago(millis) => last.plus(-millis),
        };
        let (from, to) = (period.from.map_or(first, point), period.to.map_or(last, point));
        if to <= from {
            bail!("the period ends at {to}, which is not after its beginning, {from}");
        }
        if to <= first || from >= last {
            bail!("nothing is known of {from} to {to}: the store holds {first} to {last}");
        }
        Ok(self.span(from, to))
    }

    /// The whole pages that cover `from` to `to`, of the tier that all tenants still have.
    pub(super) fn span(&self, from: Millis, to: Millis) -> Span {
        let spans = self.parts.iter().map(|part| part.ledger().span(from, to));
        let fallback = Span { from, to, tier: Tier::Days };
        spans.max_by_key(|span| span.tier).unwrap_or(fallback)
    }

    /// What is counted in a span, by what `key` makes of an account.
    pub(super) fn tallies<K: Ord>(
        &self,
        span: Span,
        key: impl Fn(&Part<'s>, &Account) -> Option<K>,
    ) -> BTreeMap<K, Tally> {
        let mut sums: BTreeMap<K, Tally> = BTreeMap::new();
        for part in &self.parts {
            let of_part =
                part.ledger().tallies(span, |account| part.has(account.service).then(|| key(part, account)).flatten());
            for (key, tally) in of_part {
                sums.entry(key).or_default().merge(&tally);
            }
        }
        sums
    }

    /// Everything that is counted in a span.
    pub(super) fn total(&self, span: Span) -> Tally {
        self.tallies(span, |_, _| Some(())).remove(&()).unwrap_or_default()
    }

    /// Request totals of a span, by what `key` makes of a service and what the feed counts.
    fn requests<K: Ord>(&self, span: Span, key: impl Fn(&Part<'s>, Option<Id>, &Demand) -> K) -> BTreeMap<K, u64> {
        let mut sums: BTreeMap<K, u64> = BTreeMap::new();
        for part in &self.parts {
            let owners = Owners::of(part.ledger());
            let of_part = part.ledger().requests(span, |demand| {
                let service = owners.service(demand);
                part.has(service).then(|| key(part, service, demand))
            });
            for (key, n) in of_part {
                let sum = sums.entry(key).or_default();
                *sum = sum.saturating_add(n);
            }
        }
        sums
    }

    /// Requests by service and release.
    pub(super) fn requests_by_release(&self, span: Span) -> BTreeMap<(String, String), u64> {
        self.requests(span, |part, service, demand| (part.service(service), part.release(demand.release)))
    }

    /// What a rate in a span is divided by.
    pub(super) fn exposure(&self, span: Span) -> Exposure {
        let (first, last) = self.extent;
        let millis = span.to.min(last).since(span.from.max(first)).max(0);
        let (mut requests, mut gaps) = (0_u64, BTreeSet::new());
        for part in &self.parts {
            let owners = Owners::of(part.ledger());
            for (start, page) in part.ledger().pages(span) {
                let told: Vec<(Option<Id>, u64)> = page
                    .requests()
                    .map(|(demand, n)| (owners.service(demand), n))
                    .filter(|(id, _)| part.has(*id))
                    .collect();
                requests = told.iter().fold(requests, |sum, (_, n)| sum.saturating_add(*n));
                let told: BTreeSet<Option<Id>> = told.iter().filter(|(_, n)| *n > 0).map(|(id, _)| *id).collect();
                let mut panicked = page.accounts().map(|(account, _)| account.service).filter(|id| part.has(*id));
                if panicked.any(|service| !told.contains(&service)) {
                    gaps.insert(start);
                }
            }
        }
        Exposure { millis: u64::try_from(millis).unwrap_or(0), requests, gaps: gaps.len() as u64 }
    }
}

/// What a rate is divided by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Exposure {
    /// Milliseconds that the store knows of.
    pub(super) millis: u64,
    /// Requests that a traffic feed told of; 0 without a feed.
    pub(super) requests: u64,
    /// Pages with panics of a service that no feed told requests of.
    pub(super) gaps: u64,
}

impl Exposure {
    /// Whether the requests are all that there were, as far as can be seen.
    fn has_requests(&self) -> bool {
        self.requests > 0 && self.gaps == 0
    }
}

/// What two rates were divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Per {
    /// Requests, which a traffic feed told for all of both stretches.
    Request,
    /// Time, since no feed told of requests, or not of all: more traffic looks like more panics then.
    Time,
}

impl Per {
    /// `per request` or `per hour`.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Request => "per request",
            Self::Time => "by time, since no traffic feed tells all requests",
        }
    }
}

/// The rate of `k1` in `now` as a multiple of that of `k0` in `before`, and what both were divided by.
pub(super) fn compare(k1: u64, now: &Exposure, k0: u64, before: &Exposure) -> (Option<Interval>, Per) {
    if now.has_requests() && before.has_requests() {
        return (rate_ratio(k1, now.requests, k0, before.requests), Per::Request);
    }
    (rate_ratio(k1, now.millis, k0, before.millis), Per::Time)
}

/// Events of a tally.
pub(super) fn events(tally: &Tally) -> u64 {
    tally.get(Counter::Events)
}

#[cfg(test)]
mod tests;
