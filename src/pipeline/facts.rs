//! What operations count of one panic: ids and closed words, small enough to keep one for each event of a batch.
//!
//! Made by [`super::fold`] of events that were there for the first time; read by the edge's metrics, which have no other
//! way to know what was a repetition. No address, no sender, no text of an event. 96 bytes.

use super::cell::text_id;
use super::classify::Surface;
use super::event::{Id, RecoveryOutcome, RetryOutcome};
use super::observation::Observation;
use super::operations::tally::handled;

/// One panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PanicFact {
    /// Tenant.
    pub tenant: Id,
    /// Service.
    pub service: Id,
    /// Route; `None` where the producer has no name for it: senders can make new paths.
    pub route: Option<Id>,
    /// Release, if it is told ([`text_id`]).
    pub release: Option<Id>,
    /// Panic class ([`text_id`] of the class id).
    pub class: Id,
    /// What the code did that panicked.
    pub surface: Surface,
    /// Whether the panic was caught, if that is known.
    pub handled: Option<bool>,
    /// What became of the fault.
    pub recovery: RecoveryOutcome,
    /// What became of retries.
    pub retry: RetryOutcome,
    /// Milliseconds that the request took.
    pub latency_ms: Option<u32>,
}

impl PanicFact {
    /// That of an event.
    pub fn of(o: &Observation<'_>) -> Self {
        let tenant = o.cell.tenant;
        Self {
            tenant,
            service: o.cell.service,
            route: o.has_template.then_some(o.cell.route),
            release: o.release.as_deref().map(|release| text_id(tenant, release)),
            class: text_id(tenant, &o.panic.class),
            surface: o.panic.surface,
            handled: handled(o),
            recovery: o.recovery,
            retry: o.aftermath.retry,
            latency_ms: o.latency_ms,
        }
    }
}
