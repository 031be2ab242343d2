//! One line of the account: what became of the panics of one route and release in one stretch of time.
//!
//! Reads observations with what is known beside them; gives counters, latencies, and how widely the events spread.
//! Everything in a [`Tally`] is a sum, a maximum or a bottom-k set: it follows from the *multiset* of events, so order
//! and partition change nothing, not one byte. Holds ids and counts; no address, no value of a payload.
//!
//! Bounds: some 400 bytes with [`Breadth`], 250 without; counters stop at 2^32 − 1, which is no rate that one account
//! can have in a day. Adding an event costs some 50 ns.

use serde::{Deserialize, Serialize};

use super::gate::Gate;
use crate::pipeline::cell::text_id;
use crate::pipeline::event::{RecoveryOutcome, RetryOutcome};
use crate::pipeline::observation::Observation;
use crate::pipeline::sample::{KeyedCounts, KeyedSet, Latencies, mix};

/// Panic classes that are counted one by one: a route has a few.
const CLASSES_KEPT: usize = 8;

/// Customers and isolates that are told apart exactly; beyond, their number is estimated with an error of 27 %.
const BREADTH_KEPT: usize = 16;

/// Regions that are counted one by one.
const REGIONS_KEPT: usize = 4;

/// Slots over which customers are spread to see whether one of them has the lion's share.
const LOAD_SLOTS: usize = 16;

/// Status from which on the server takes the blame.
const SERVER_ERROR: u16 = 500;

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal;)+) => {
        /// What is counted. Their order is their number in the store: new ones go to the end.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Counter { $($(#[doc = $doc])+ $variant,)+ }

        impl Counter {
            /// All of them, in the order of their numbers.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$variant),+];

            /// The name used in reports and metrics.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

counters! {
    /// Panics.
    Events = "events";
    /// Contained, with a proper answer.
    Recovered = "recovered";
    /// Contained, with an error answer.
    Degraded = "degraded";
    /// Left their boundary.
    Escaped = "escaped";
    /// The process or isolate ended.
    Aborted = "aborted";
    /// It looks as if it had ended.
    SuspectedAbort = "suspected_abort";
    /// Nobody says what became of the fault.
    RecoveryUnknown = "recovery_unknown";
    /// Caught.
    Handled = "handled";
    /// Not caught.
    Unhandled = "unhandled";
    /// Answered with a status of 500 or more.
    ServerError = "server_error";
    /// The user saw a failure: [`Burn::Real`], whoever caused it.
    UserVisible = "user_visible";
    /// [`Burn::Real`].
    BurnReal = "burn_real";
    /// [`Burn::Transient`].
    BurnTransient = "burn_transient";
    /// [`Burn::Hostile`].
    BurnHostile = "burn_hostile";
    /// [`Burn::Announced`].
    BurnAnnounced = "burn_announced";
    /// [`Burn::Unknown`].
    BurnUnknown = "burn_unknown";
    /// A later attempt succeeded.
    RetrySucceeded = "retry_succeeded";
    /// No later attempt did.
    RetryFailed = "retry_failed";
    /// Nobody tried again.
    NotRetried = "not_retried";
    /// First attempts.
    Attempt1 = "attempt_1";
    /// Second attempts.
    Attempt2 = "attempt_2";
    /// Third attempts.
    Attempt3 = "attempt_3";
    /// Later attempts.
    AttemptLater = "attempt_later";
    /// Original requests: events that continue no earlier request (see [`super::chains`]).
    Originals = "originals";
    /// May be sent again: [`Gate::Safe`].
    GateSafe = "gate_safe";
    /// May be sent again with its key: [`Gate::SafeWithKey`].
    GateSafeWithKey = "gate_safe_with_key";
    /// Not before something has changed: [`Gate::AfterFix`].
    GateAfterFix = "gate_after_fix";
    /// Not at all: [`Gate::Never`].
    GateNever = "gate_never";
    /// Retries of a request that may never be retried.
    RetriedUnsafe = "retried_unsafe";
    /// Retries of a request that could not succeed unchanged.
    RetriedHopeless = "retried_hopeless";
    /// Retries that changed something again that an earlier attempt had changed.
    RepeatedSideEffects = "repeated_side_effects";
    /// Events before which the request had changed something.
    WithSideEffects = "with_side_effects";
    /// Circuit breakers that opened.
    BreakersOpened = "breakers_opened";
    /// Consequences of an earlier panic.
    Secondary = "secondary";
    /// Of these, requests that failed because a panic before them left its isolate poisoned.
    Poisoned = "poisoned";
    /// Times that a panic left an isolate poisoned: the first of its [`Counter::Poisoned`] requests.
    PoisoningIncidents = "poisoning_incidents";
    /// Events that name their isolate: without any, nobody can say whether one was left poisoned.
    IsolateTold = "isolate_told";
}

/// What a panic does to an error budget. Every event is exactly one of these, so the split adds up to the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Burn {
    /// The user saw a failure that nobody meant: not contained, or answered with 5xx and not made good by a retry.
    Real,
    /// Contained, and made good: answered below 500, or a retry succeeded.
    Transient,
    /// Caused by somebody whom the judge held for hostile when the event was counted. What was counted before stays:
    /// an account that changed after it was read would be none.
    Hostile,
    /// Part of an announced test.
    Announced,
    /// The carrier tells neither what became of it nor what was answered.
    Unknown,
}

impl Burn {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Real, Self::Transient, Self::Hostile, Self::Announced, Self::Unknown];

    /// `real`, `transient`, `hostile`, `announced` or `unknown`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Real => "real",
            Self::Transient => "transient",
            Self::Hostile => "hostile",
            Self::Announced => "announced",
            Self::Unknown => "unknown",
        }
    }

    /// The counter of this kind.
    pub fn counter(self) -> Counter {
        match self {
            Self::Real => Counter::BurnReal,
            Self::Transient => Counter::BurnTransient,
            Self::Hostile => Counter::BurnHostile,
            Self::Announced => Counter::BurnAnnounced,
            Self::Unknown => Counter::BurnUnknown,
        }
    }

    /// What an event does by itself, whoever caused it: real, transient or unknown.
    pub fn of_effect(recovery: RecoveryOutcome, status: Option<u16>, retry: RetryOutcome) -> Self {
        use RecoveryOutcome::{Aborted, Degraded, Escaped, Recovered, SuspectedAbort, Unknown};
        let server_error = status.is_some_and(|status| status >= SERVER_ERROR);
        match (recovery, status) {
            (Escaped | Aborted | SuspectedAbort, _) => Self::Real,
            (_, Some(_)) if server_error && retry != RetryOutcome::Succeeded => Self::Real,
            (_, Some(_)) | (Recovered | Degraded, None) => Self::Transient,
            (Unknown, None) => Self::Unknown,
        }
    }

    fn of(o: &Observation<'_>, circumstances: Circumstances) -> Self {
        match Self::of_effect(o.recovery, o.status, o.aftermath.retry) {
            _ if o.expected.is_some() => Self::Announced,
            _ if circumstances.hostile => Self::Hostile,
            effect => effect,
        }
    }
}

/// What is known of an event beside what it says itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Circumstances {
    /// Its cluster is held for hostile now.
    pub hostile: bool,
    /// Whether the request may be retried.
    pub gate: Gate,
    /// Whether it continues an earlier request, and how that stood.
    pub link: super::chains::Link,
    /// Whether a panic before it had left the isolate poisoned.
    pub poisoned: Option<Poisoning>,
}

/// A request that met an isolate that an earlier panic had left poisoned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Poisoning {
    /// The first one.
    First,
    /// A further one.
    Further,
}

/// How widely the events of a short time spread: kept for five-minute pages alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breadth {
    /// Customers: valid tokens, else source prefixes.
    pub customers: KeyedSet<BREADTH_KEPT>,
    /// Isolates.
    pub isolates: KeyedSet<BREADTH_KEPT>,
    /// By region ([`text_id`]).
    pub regions: KeyedCounts<REGIONS_KEPT>,
    load: [u32; LOAD_SLOTS],
}

impl Breadth {
    /// Share of the events that the busiest customer has at least, from 0 to 1; 0 without customers. Exact to within what
    /// the other customers put into the same of 16 slots, which is taken off.
    pub fn largest_customer_share(&self) -> f64 {
        let total: u64 = self.load.iter().map(|n| u64::from(*n)).sum();
        let largest = u64::from(self.load.iter().copied().max().unwrap_or(0));
        let others = total - largest;
        let by_chance = if self.customers.len_estimate() > 1 { others / (LOAD_SLOTS as u64 - 1) } else { 0 };
        let count = |n: u64| crate::pipeline::sample::count_f64(n);
        if total == 0 { 0.0 } else { count(largest.saturating_sub(by_chance)) / count(total) }
    }

    /// The slot of the busiest customer: the same customer is always in the same one, as is one in 16 of the others.
    pub fn busiest_slot(&self) -> Option<usize> {
        let busiest = self.load.iter().enumerate().max_by_key(|(slot, n)| (**n, std::cmp::Reverse(*slot)));
        busiest.filter(|(_, n)| **n > 0).map(|(slot, _)| slot)
    }

    fn add(&mut self, o: &Observation<'_>) {
        if let Some(id) = o.customer() {
            self.customers.insert(id);
            let slot = usize::try_from(mix(id.0) % LOAD_SLOTS as u64).unwrap_or(0);
            if let Some(n) = self.load.get_mut(slot) {
                *n = n.saturating_add(1);
            }
        }
        if let Some(isolate) = o.isolate {
            self.isolates.insert(isolate);
        }
        if let Some(region) = &o.aftermath.region {
            self.regions.add(text_id(o.cell.tenant, region).0);
        }
    }

    /// Adds all of another.
    pub fn merge(&mut self, other: &Self) {
        self.customers.merge(&other.customers);
        self.isolates.merge(&other.isolates);
        self.regions.merge(&other.regions);
        for (n, more) in self.load.iter_mut().zip(other.load) {
            *n = n.saturating_add(more);
        }
    }
}

/// The line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    counts: Counts,
    /// By panic class ([`text_id`] of the class id).
    pub classes: KeyedCounts<CLASSES_KEPT>,
    /// How long the requests took.
    pub latency: Latencies,
    /// How long the recoveries took.
    pub recovery_latency: Latencies,
    /// How widely they spread; `None` but in five-minute pages.
    pub breadth: Option<Box<Breadth>>,
}

impl Tally {
    /// Events (or whatever the counter counts).
    pub fn get(&self, counter: Counter) -> u64 {
        self.counts.0.get(counter as usize).map_or(0, |n| u64::from(*n))
    }

    /// Events with a recovery outcome.
    pub fn recovered(&self, outcome: RecoveryOutcome) -> u64 {
        self.get(recovery_counter(outcome))
    }

    /// Events by what became of retries.
    pub fn retried(&self, outcome: RetryOutcome) -> u64 {
        let known = [Counter::RetrySucceeded, Counter::RetryFailed, Counter::NotRetried];
        match outcome {
            RetryOutcome::Succeeded => self.get(Counter::RetrySucceeded),
            RetryOutcome::Failed => self.get(Counter::RetryFailed),
            RetryOutcome::NotRetried => self.get(Counter::NotRetried),
            RetryOutcome::Unknown => {
                self.get(Counter::Events).saturating_sub(known.into_iter().map(|counter| self.get(counter)).sum())
            }
        }
    }

    /// Counts an event.
    pub fn add(&mut self, o: &Observation<'_>, circumstances: Circumstances) {
        self.bump(Counter::Events, 1);
        self.add_outcome(o, circumstances);
        self.add_retry(o, circumstances);
        self.bump(Counter::BreakersOpened, o.aftermath.n_breakers_opened);
        self.bump(Counter::Secondary, u64::from(o.panic.secondary));
        self.bump(Counter::Poisoned, u64::from(circumstances.poisoned.is_some()));
        self.bump(Counter::PoisoningIncidents, u64::from(circumstances.poisoned == Some(Poisoning::First)));
        self.bump(Counter::IsolateTold, u64::from(o.isolate.is_some()));
        self.classes.add(text_id(o.cell.tenant, &o.panic.class).0);
        o.latency_ms.into_iter().for_each(|ms| self.latency.add(ms));
        o.aftermath.recovery_latency_ms.into_iter().for_each(|ms| self.recovery_latency.add(ms));
        self.breadth.get_or_insert_default().add(o);
    }

    fn add_outcome(&mut self, o: &Observation<'_>, circumstances: Circumstances) {
        self.bump(recovery_counter(o.recovery), 1);
        if let Some(handled) = handled(o) {
            self.bump(if handled { Counter::Handled } else { Counter::Unhandled }, 1);
        }
        self.bump(Counter::ServerError, u64::from(o.status.is_some_and(|status| status >= SERVER_ERROR)));
        let effect = Burn::of_effect(o.recovery, o.status, o.aftermath.retry);
        self.bump(Counter::UserVisible, u64::from(effect == Burn::Real));
        self.bump(Burn::of(o, circumstances).counter(), 1);
    }

    fn add_retry(&mut self, o: &Observation<'_>, circumstances: Circumstances) {
        let Circumstances { gate, link, .. } = circumstances;
        match o.aftermath.retry {
            RetryOutcome::Succeeded => self.bump(Counter::RetrySucceeded, 1),
            RetryOutcome::Failed => self.bump(Counter::RetryFailed, 1),
            RetryOutcome::NotRetried => self.bump(Counter::NotRetried, 1),
            RetryOutcome::Unknown => {}
        }
        let attempt = match o.attempt {
            0 | 1 => Counter::Attempt1,
            2 => Counter::Attempt2,
            3 => Counter::Attempt3,
            _ => Counter::AttemptLater,
        };
        self.bump(attempt, 1);
        self.bump(gate.counter(), 1);
        self.bump(Counter::Originals, u64::from(!link.continues));
        let changed = o.aftermath.n_side_effects.is_some_and(|n| n > 0);
        self.bump(Counter::WithSideEffects, u64::from(changed));
        self.bump(Counter::RepeatedSideEffects, u64::from(changed && link.changed_before));
        match link.gate_before {
            Some(Gate::Never) => self.bump(Counter::RetriedUnsafe, 1),
            Some(Gate::AfterFix) => self.bump(Counter::RetriedHopeless, 1),
            Some(Gate::Safe | Gate::SafeWithKey) | None => {}
        }
    }

    /// Adds all of another.
    pub fn merge(&mut self, other: &Self) {
        self.merge_without_breadth(other);
        if let Some(breadth) = &other.breadth {
            self.breadth.get_or_insert_default().merge(breadth);
        }
    }

    /// Adds all of another but how widely it spread.
    pub fn merge_without_breadth(&mut self, other: &Self) {
        self.merge_counts(other);
        self.classes.merge(&other.classes);
        self.latency.merge(&other.latency);
        self.recovery_latency.merge(&other.recovery_latency);
    }

    /// Adds the counters of another, and nothing else of it.
    pub fn merge_counts(&mut self, other: &Self) {
        for (n, more) in self.counts.0.iter_mut().zip(other.counts.0) {
            *n = n.saturating_add(more);
        }
    }

    fn bump(&mut self, counter: Counter, by: u64) {
        if let Some(n) = self.counts.0.get_mut(counter as usize) {
            *n = n.saturating_add(u32::try_from(by).unwrap_or(u32::MAX));
        }
    }
}

/// Whether the panic was caught: as told, else as its outcome says.
pub fn handled(o: &Observation<'_>) -> Option<bool> {
    o.aftermath.handled.or(match o.recovery {
        RecoveryOutcome::Recovered | RecoveryOutcome::Degraded => Some(true),
        RecoveryOutcome::Escaped | RecoveryOutcome::Aborted | RecoveryOutcome::SuspectedAbort => Some(false),
        RecoveryOutcome::Unknown => None,
    })
}

fn recovery_counter(outcome: RecoveryOutcome) -> Counter {
    match outcome {
        RecoveryOutcome::Recovered => Counter::Recovered,
        RecoveryOutcome::Degraded => Counter::Degraded,
        RecoveryOutcome::Escaped => Counter::Escaped,
        RecoveryOutcome::Aborted => Counter::Aborted,
        RecoveryOutcome::SuspectedAbort => Counter::SuspectedAbort,
        RecoveryOutcome::Unknown => Counter::RecoveryUnknown,
    }
}

/// The counters by their numbers. Stored as pairs of number and count, without zeros: a store that was written before
/// there was a counter reads as if nothing had been counted by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counts([u32; Counter::ALL.len()]);

impl Default for Counts {
    fn default() -> Self {
        Self([0; Counter::ALL.len()])
    }
}

impl Serialize for Counts {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let numbered = (0_u8..).zip(self.0).filter(|(_, n)| *n > 0);
        to.collect_seq(numbered.collect::<Vec<_>>())
    }
}

impl<'de> Deserialize<'de> for Counts {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let mut counts = Self::default();
        for (number, n) in Vec::<(u8, u32)>::deserialize(from)? {
            if let Some(count) = counts.0.get_mut(usize::from(number)) {
                *count = n;
            }
        }
        Ok(counts)
    }
}

#[cfg(test)]
mod tests;
