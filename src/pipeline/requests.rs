//! Requests that were served, panicking or not, into the account of panics: what turns counts into rates.
//!
//! Takes [`RequestTotal`]s; names and ids are made as those of events are, so that a route of the feed is the route of its
//! panics. Counts each total once: the same total again is a repetition, another total for the same window is refused,
//! since nobody can say which one is right. A tenant or a service that never panicked may have requests, too. Totals move
//! no epoch: a window that is over says nothing about events that are on their way.
//!
//! Cost: some look-ups and hashes, about 2 µs a total.

use std::collections::BTreeMap;

use super::Context;
use super::cell::text_id;
use super::decode::{Refusal, RequestTotal};
use super::event::{Id, Reason};
use super::examine::shown;
use super::names::NAME_BYTES_MAX;
use super::operations::ledger::{Demand, DemandFault};
use super::operations::owners::Owners;
use super::state::State;
use super::surfaces::ReleaseKey;

/// Requests that were counted, by ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestFact {
    /// Tenant.
    pub tenant: Id,
    /// What they were requests of.
    pub demand: Demand,
    /// How many.
    pub n: u64,
}

/// Counts a total.
///
/// # Errors
/// Why it is not counted.
pub fn count_requests(
    context: &Context,
    state: &mut State,
    total: &RequestTotal<'_>,
) -> Result<RequestFact, DemandFault> {
    let shown = |text: &str| shown(std::borrow::Cow::Borrowed(text), NAME_BYTES_MAX).into_owned();
    let tenant = context.keys.name(total.tenant.as_bytes());
    let service = total.service.as_ref().map(|service| (context.keys.name(service.as_bytes()), shown(service)));
    let route_text = shown(&total.endpoint);
    let route = context.keys.name(route_text.as_bytes());
    let release = total.release.as_ref().map(|release| shown(release)).map(|text| (text_id(tenant, &text), text));
    let demand = Demand {
        service: service.as_ref().map(|(id, _)| *id),
        route,
        release: release.as_ref().map_or(ReleaseKey::Untold, |(id, _)| ReleaseKey::One(*id)),
    };
    let memory = state.tenant_mut(tenant);
    memory.operations.ledger_mut().count_requests(total.window_start, demand, total.requests)?;
    memory.names.learn(tenant, &shown(&total.tenant));
    memory.names.learn(route, &route_text);
    for (id, text) in [service, release].into_iter().flatten() {
        memory.names.learn(id, &text);
    }
    Ok(RequestFact { tenant, demand, n: total.requests })
}

/// The refusal of a total that stands against the account; `None` for a mere repetition.
pub fn refusal_of(fault: DemandFault) -> Option<Refusal> {
    let detail = match fault {
        DemandFault::Repeated => return None,
        DemandFault::Contradicts { .. } => "requests: another total was counted for this window before, and stays",
        DemandFault::TooOld => "window_start: the account reaches 50 hours back, and this window lies before that",
        DemandFault::Misaligned => "window_start: a multiple of five minutes is needed",
        DemandFault::Full => "endpoint: 256 routes and releases have totals in this window, and no more are counted",
    };
    Some(Refusal { reason: Reason::NotCounted, detail: detail.to_owned() })
}

/// Names the services of facts whose feed does not, as far as the account of panics knows them.
pub fn attribute(state: &State, facts: &mut [RequestFact]) {
    let mut owners: BTreeMap<Id, Owners> = BTreeMap::new();
    for fact in facts.iter_mut().filter(|fact| fact.demand.service.is_none()) {
        let known = owners.entry(fact.tenant).or_insert_with(|| {
            state.tenant(fact.tenant).map(|tenant| Owners::of(tenant.operations().ledger())).unwrap_or_default()
        });
        fact.demand.service = known.service(&fact.demand);
    }
}
