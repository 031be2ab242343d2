//! The retry policy: what the gate said of each route and class, and what retries really did.
//!
//! Reads observations with the gate's word and the chain that they continue; gives one [`Policy`] for each service, route
//! and panic class, over all time. A report turns it into a file that clients and proxies read. Holds ids and counts; no
//! address, no key, no value of a payload.
//!
//! Like the ledger's accounts, the table is a function of the *multiset* of its events: it keeps the rows with the least
//! rank (the producers' own routes first, then in the order of a hash), and the others count together in the rest of
//! their service. Bounds: [`POLICIES_MAX`] rows of some 250 bytes. Costs one look-up an event.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::chains::Link;
use super::gate::{Gate, GateReason};
use super::ledger::{RESTS_MAX, RouteKey};
use crate::pipeline::cell::text_id;
use crate::pipeline::event::{Id, Millis, RecoveryOutcome, RetryOutcome};
use crate::pipeline::observation::Observation;
use crate::pipeline::sample::mix;
use crate::pipeline::state::StateRow;

/// Rows that stand for themselves: two hundred routes with ten classes each.
pub const POLICIES_MAX: usize = 2_048;

/// What a row is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PolicyKey {
    /// Service; `None`: all that have no rest of their own.
    pub service: Option<Id>,
    /// Route.
    pub route: RouteKey,
    /// Panic class ([`text_id`] of the class id); `None` in a rest.
    pub class: Option<Id>,
}

impl PolicyKey {
    const REST: Self = Self { service: None, route: RouteKey::Rest, class: None };

    fn of(o: &Observation<'_>) -> Self {
        Self {
            service: Some(o.cell.service),
            route: if o.has_template { RouteKey::Named(o.cell.route) } else { RouteKey::Guessed(o.cell.route) },
            class: Some(text_id(o.cell.tenant, &o.panic.class)),
        }
    }

    /// Whether it is a rest, of a service or of all.
    pub fn is_rest(&self) -> bool {
        self.route == RouteKey::Rest
    }

    fn rank(self) -> Rank {
        let parts = [self.service, self.route.id(), self.class];
        let hash = parts.iter().fold(0, |hash, part| mix(hash ^ part.map_or(0, |id| id.0)));
        (!matches!(self.route, RouteKey::Named(_)), hash, self)
    }
}

/// Order of rows in a full table.
type Rank = (bool, u64, PolicyKey);

/// The gate's word on some of a row's events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word {
    /// The strictest word.
    pub gate: Gate,
    /// Its most frequent reason.
    pub reason: GateReason,
    /// Events with this word.
    pub events: u64,
}

/// What is known of retries on one route after one class of panic.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Events by whether there was a key, and the gate's reason: at most fourteen.
    reasons: BTreeMap<(bool, GateReason), u64>,
    /// Answers of 500 to 599 by their status: at most a hundred.
    pub statuses: BTreeMap<u16, u64>,
    /// Panics after which nobody answered: they left their boundary, and no status is told.
    pub unanswered: u64,
    /// Events of routes that were declared idempotent.
    pub declared: u64,
    /// Events before which the request had changed something.
    pub with_side_effects: u64,
    /// Events that continue an earlier request.
    pub retries: u64,
    /// Events of which it is told that a later attempt succeeded.
    pub retry_succeeded: u64,
    /// Events of which it is told that no later attempt did.
    pub retry_failed: u64,
    /// Events of which it is told that nobody tried again.
    pub not_retried: u64,
    /// Retries although the word was never. The word is that on the attempt before; where that is not known (no key, or
    /// it did not panic), the one on the retry itself: it is the same request.
    pub retried_unsafe: u64,
    /// Retries of requests that could not succeed unchanged, in the same way.
    pub retried_hopeless: u64,
    /// Retries that changed something again that an earlier attempt had changed; known by the key alone.
    pub repeated_side_effects: u64,
    /// Event times of the first and the last event.
    pub seen: Option<(Millis, Millis)>,
}

impl Policy {
    /// Counts an event.
    fn add(&mut self, o: &Observation<'_>, (gate, reason): (Gate, GateReason), link: Link) {
        *self.reasons.entry((o.idempotency.is_some(), reason)).or_default() += 1;
        if let Some(status) = o.status.filter(|status| (500..600).contains(status)) {
            *self.statuses.entry(status).or_default() += 1;
        }
        let lost =
            matches!(o.recovery, RecoveryOutcome::Escaped | RecoveryOutcome::Aborted | RecoveryOutcome::SuspectedAbort);
        self.unanswered += u64::from(lost && o.status.is_none());
        self.declared += u64::from(o.idempotent);
        let changed = o.aftermath.n_side_effects.is_some_and(|n| n > 0);
        self.with_side_effects += u64::from(changed);
        match o.aftermath.retry {
            RetryOutcome::Succeeded => self.retry_succeeded += 1,
            RetryOutcome::Failed => self.retry_failed += 1,
            RetryOutcome::NotRetried => self.not_retried += 1,
            RetryOutcome::Unknown => {}
        }
        if link.continues {
            let before = link.gate_before.unwrap_or(gate);
            self.retries += 1;
            self.retried_unsafe += u64::from(before == Gate::Never);
            self.retried_hopeless += u64::from(before == Gate::AfterFix);
            self.repeated_side_effects += u64::from(changed && link.changed_before);
        }
        self.see(Some((o.time, o.time)));
    }

    fn see(&mut self, other: Option<(Millis, Millis)>) {
        self.seen = match (self.seen, other) {
            (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
            (mine, theirs) => mine.or(theirs),
        };
    }

    /// Adds all of another.
    pub fn merge(&mut self, other: &Self) {
        for (key, n) in &other.reasons {
            *self.reasons.entry(*key).or_default() += n;
        }
        for (status, n) in &other.statuses {
            *self.statuses.entry(*status).or_default() += n;
        }
        self.unanswered += other.unanswered;
        self.declared += other.declared;
        self.with_side_effects += other.with_side_effects;
        self.retries += other.retries;
        self.retry_succeeded += other.retry_succeeded;
        self.retry_failed += other.retry_failed;
        self.not_retried += other.not_retried;
        self.retried_unsafe += other.retried_unsafe;
        self.retried_hopeless += other.retried_hopeless;
        self.repeated_side_effects += other.repeated_side_effects;
        self.see(other.seen);
    }

    /// Events.
    pub fn events(&self) -> u64 {
        self.reasons.values().sum()
    }

    /// Events with an idempotency key.
    pub fn keyed(&self) -> u64 {
        self.reasons.iter().filter(|((keyed, _), _)| *keyed).map(|(_, n)| n).sum()
    }

    /// Events by the gate's word.
    pub fn said(&self, gate: Gate) -> u64 {
        self.reasons.iter().filter(|((_, reason), _)| reason.gate() == gate).map(|(_, n)| n).sum()
    }

    /// Events by the gate's reason, with and without a key.
    pub fn reasons(&self) -> impl Iterator<Item = (bool, GateReason, u64)> {
        self.reasons.iter().map(|((keyed, reason), n)| (*keyed, *reason, *n))
    }

    /// The strictest word on requests with a key (or on those without); `None` if there were none.
    pub fn strictest(&self, keyed: bool) -> Option<Word> {
        let mine = || self.reasons().filter(move |(with_key, ..)| *with_key == keyed);
        let gate = mine().map(|(_, reason, _)| reason.gate()).max()?;
        let strict = || mine().filter(move |(_, reason, _)| reason.gate() == gate);
        let events = strict().map(|(.., n)| n).sum();
        let (_, reason, _) = strict().max_by_key(|(_, reason, n)| (*n, std::cmp::Reverse(*reason)))?;
        Some(Word { gate, reason, events })
    }

    /// The word for the route: the strictest that the evidence demands; where requests may be sent again with their key
    /// and some had none, it is [`Gate::SafeWithKey`], since with the key is then the only way.
    pub fn word(&self) -> Option<Word> {
        match (self.strictest(true), self.strictest(false)) {
            (Some(with), Some(without)) if with.gate <= Gate::SafeWithKey && without.gate > with.gate => {
                Some(Word { gate: Gate::SafeWithKey, ..with })
            }
            (Some(with), Some(without)) => Some(if without.gate >= with.gate { without } else { with }),
            (with, without) => with.or(without),
        }
    }
}

/// The table of one tenant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policies {
    rows: BTreeMap<PolicyKey, Policy>,
    /// The rows that stand for themselves, in the order in which they give way, the last first.
    ranked: BTreeSet<Rank>,
    changed: BTreeSet<PolicyKey>,
}

impl Policies {
    /// Counts an event with the gate's word on it.
    pub fn observe(&mut self, o: &Observation<'_>, word: (Gate, GateReason), link: Link) {
        let mut one = Policy::default();
        one.add(o, word, link);
        self.book(PolicyKey::of(o), &one);
    }

    /// Adds all of another table.
    pub fn merge(&mut self, other: &Self) {
        for (key, policy) in &other.rows {
            self.book(*key, policy);
        }
    }

    fn book(&mut self, key: PolicyKey, policy: &Policy) {
        self.rows.entry(key).or_default().merge(policy);
        self.changed.insert(key);
        if !key.is_rest() {
            self.ranked.insert(key.rank());
        }
        if self.ranked.len() > POLICIES_MAX
            && let Some((.., last)) = self.ranked.pop_last()
        {
            self.give_way(last, PolicyKey { service: last.service, ..PolicyKey::REST });
        }
        let rest_of_service = |key: &&PolicyKey| key.is_rest() && key.service.is_some();
        if self.rows.len() > self.ranked.len() + RESTS_MAX
            && self.rows.keys().filter(rest_of_service).count() > RESTS_MAX
            && let Some(last) = self.rows.keys().filter(rest_of_service).max_by_key(|key| key.rank()).copied()
        {
            self.give_way(last, PolicyKey::REST);
        }
    }

    fn give_way(&mut self, from: PolicyKey, to: PolicyKey) {
        if let Some(policy) = self.rows.remove(&from) {
            self.rows.entry(to).or_default().merge(&policy);
            self.changed.extend([from, to]);
        }
    }

    /// The rows, in the order of their keys.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = (&PolicyKey, &Policy)> {
        self.rows.iter()
    }

    /// The ids whose names a report shows.
    pub fn names(&self) -> impl Iterator<Item = Id> {
        self.rows.keys().flat_map(|key| [key.service, key.route.id(), key.class].into_iter().flatten())
    }

    /// The rows that changed since the last call.
    pub(super) fn take_rows(&mut self) -> Vec<StateRow> {
        let changed = std::mem::take(&mut self.changed);
        changed.iter().filter_map(|key| StateRow::of("retry_policy", key, self.rows.get(key))).collect()
    }

    /// Puts back what a store kept.
    pub(super) fn restore(rows: impl IntoIterator<Item = (PolicyKey, Policy)>) -> Self {
        let rows: BTreeMap<PolicyKey, Policy> = rows.into_iter().collect();
        let ranked = rows.keys().filter(|key| !key.is_rest()).map(|key| key.rank()).collect();
        Self { rows, ranked, changed: BTreeSet::new() }
    }
}

#[cfg(test)]
mod tests;
