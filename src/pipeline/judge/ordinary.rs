//! Requests that did not panic: who is served, and who is turned away.
//!
//! Reads samples ([`OrdinaryRequest`]) in the order of time. What was served teaches the normal
//! ([`super::observe::learn`]): shapes, kinds, sizes, classes, patterns, content types, clients and tokens at each route
//! and field, with the sender as a witness as for panics. A suspect teaches nothing. Nobody gets points for an ordinary
//! request, and what was rejected makes nothing normal: whoever probes is mostly rejected.
//!
//! For each sender and service it counts how many requests were served and how many rejected, by what a sample stands for:
//! evidence for the defence, and evidence, of a sender in the services where it panics. (How often somebody panics says
//! nothing by itself: an honest client with a fault panics always, one that probes seldom.) A sender that panicked is
//! weighed anew when its counts change.
//!
//! Bounds: [`SENDERS_MAX`] senders (each with a service), apart from those who panicked, so that many customers do not
//! crowd out a suspect; those that were silent longest go first. [`SERVICES_MAX`] services. Counters are halved after
//! [`HALVE_AT`] samples of a sender, so that what it does now outweighs what it did. Cost: that of learning a panic,
//! without its clusters.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::observe;
use super::{Record, witness};
use crate::pipeline::event::{Id, Millis};
use crate::pipeline::observation::{Actor, Answer, OrdinaryRequest};

/// Senders of ordinary requests that are remembered, each with a service; some 60 bytes each.
const SENDERS_MAX: usize = 16_384;
/// Senders that are kept when there are more: an eighth goes at a time, so that looking for the oldest is rare.
const SENDERS_KEPT: usize = SENDERS_MAX / 8 * 7;
/// Services of which samples were heard: their names are the producers'.
const SERVICES_MAX: usize = 256;
/// Samples after which a sender's counters are halved.
const HALVE_AT: u32 = 256;
/// A service is heard as long as its last sample is no older: nights without traffic are shorter.
const HEARD_MILLIS: i64 = Millis::DAY;
/// Times of services are kept to this, so that not every sample changes a row.
const HEARD_STEP_MILLIS: i64 = 10 * Millis::MINUTE;
/// Requests, all of them well, that the share of rejected ones starts from.
const PRIOR_REQUESTS: f64 = 20.0;

/// How the ordinary requests of one sender ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ended {
    /// Last sample.
    last: Millis,
    /// Samples (halved with the rest).
    samples: u32,
    /// Requests that were served, by what the samples stand for.
    pub served: u64,
    /// Requests that were rejected.
    pub rejected: u64,
}

/// A sender in a service.
pub(super) type Who = (Actor, Id);

impl Ended {
    fn count(&mut self, request: &OrdinaryRequest) {
        if self.samples >= HALVE_AT {
            (self.samples, self.served, self.rejected) = (self.samples / 2, self.served / 2, self.rejected / 2);
        }
        self.last = self.last.max(request.time);
        self.samples += 1;
        let requests = u64::from(request.one_in);
        match request.answer {
            Answer::Served => self.served = self.served.saturating_add(requests),
            Answer::Rejected => self.rejected = self.rejected.saturating_add(requests),
            Answer::Failed => {}
        }
    }

    fn and(self, other: Self) -> Self {
        Self {
            last: self.last.max(other.last),
            samples: self.samples.saturating_add(other.samples),
            served: self.served.saturating_add(other.served),
            rejected: self.rejected.saturating_add(other.rejected),
        }
    }

    /// Doublings of one more than the requests that were served.
    pub fn served_doublings(self) -> f64 {
        (count_f64(self.served) + 1.0).log2()
    }

    /// Share of rejected ones, as if [`PRIOR_REQUESTS`] more had been served.
    pub fn rejected_share(self) -> f64 {
        let rejected = count_f64(self.rejected);
        rejected / (rejected + count_f64(self.served) + PRIOR_REQUESTS)
    }
}

/// Counts as a number; they stay below 256 times a million.
fn count_f64(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// What is remembered of ordinary requests beside the normal.
#[derive(Debug, Default)]
pub(super) struct Ordinary {
    senders: BTreeMap<Who, Ended>,
    /// When each service was last heard of.
    services: BTreeMap<Id, Millis>,
    changed_senders: Vec<Who>,
    changed_services: Vec<Id>,
}

impl Ordinary {
    /// How the requests of a sender to some services ended; of services that stand several times in a row once.
    pub(super) fn of(&self, actor: Actor, services: impl Iterator<Item = Id>) -> Ended {
        let mut last = None;
        let distinct = services.filter(|service| last.replace(*service) != Some(*service));
        let known = distinct.filter_map(|service| self.senders.get(&(actor, service)));
        known.fold(Ended::default(), |sum, ended| sum.and(*ended))
    }

    /// Whether samples of a service were heard in the day before `now`.
    pub(super) fn is_heard(&self, service: Id, now: Millis) -> bool {
        self.services.get(&service).is_some_and(|last| now.since(*last) <= HEARD_MILLIS + HEARD_STEP_MILLIS)
    }

    /// Counts a request; gives who is forgotten for it.
    fn count(&mut self, request: &OrdinaryRequest) -> Vec<Who> {
        let who = (request.actor, request.service);
        self.senders.entry(who).or_default().count(request);
        self.changed_senders.push(who);
        if self.senders.len() > SENDERS_MAX { self.make_room() } else { Vec::new() }
    }

    fn hear(&mut self, service: Id, time: Millis) {
        let heard = Millis(time.0.div_euclid(HEARD_STEP_MILLIS).saturating_mul(HEARD_STEP_MILLIS));
        let known = self.services.get(&service).copied();
        if known.is_some_and(|known| heard <= known) || (known.is_none() && self.services.len() >= SERVICES_MAX) {
            return;
        }
        self.services.insert(service, heard);
        self.changed_services.push(service);
    }

    /// Forgets those who were silent longest, ties by id.
    fn make_room(&mut self) -> Vec<Who> {
        let mut order: Vec<(Millis, Who)> = self.senders.iter().map(|(who, ended)| (ended.last, *who)).collect();
        order.sort_unstable();
        order.truncate(order.len().saturating_sub(SENDERS_KEPT));
        let gone: Vec<Who> = order.into_iter().map(|(_, who)| who).collect();
        for who in &gone {
            self.senders.remove(who);
        }
        self.changed_senders.extend(&gone);
        gone
    }

    /// Senders that changed since the last call; `None` for who is forgotten.
    pub(super) fn take_changed_senders(&mut self) -> Vec<(Who, Option<Ended>)> {
        let mut changed = std::mem::take(&mut self.changed_senders);
        changed.sort_unstable();
        changed.dedup();
        changed.into_iter().map(|who| (who, self.senders.get(&who).copied())).collect()
    }

    /// Services that were heard of anew since the last call.
    pub(super) fn take_changed_services(&mut self) -> Vec<(Id, Option<Millis>)> {
        let mut changed = std::mem::take(&mut self.changed_services);
        changed.sort_unstable();
        changed.dedup();
        changed.into_iter().map(|service| (service, self.services.get(&service).copied())).collect()
    }

    /// Puts back a sender that was kept.
    pub(super) fn restore_sender(&mut self, who: Who, ended: Ended) {
        self.senders.insert(who, ended);
    }

    /// Puts back a service that was kept.
    pub(super) fn restore_service(&mut self, service: Id, heard: Millis) {
        self.services.insert(service, heard);
    }
}

impl Record {
    /// Takes in a request that did not panic, in order of arrival. One that was announced is no more heard than its panics
    /// are; one of nobody in particular says only that its service is sampled.
    pub fn observe_ordinary(&mut self, request: &OrdinaryRequest) {
        self.ordinary.hear(request.service, request.time);
        if request.actor == Actor::Unknown || request.is_expected {
            return;
        }
        let forgotten = self.ordinary.count(request);
        for actor in forgotten.into_iter().map(|(actor, _)| actor).chain([request.actor]) {
            if let Some(dossier) = self.actors.get_mut(&actor) {
                dossier.touch(actor, &mut self.touched, &mut self.changed);
            }
        }
        let who = witness(request.token.as_ref(), request.prefix);
        if request.answer == Answer::Served && self.trust.counts(who) {
            let refunds = observe::learn(&mut self.normal, &self.trust, request, who);
            self.refund(&refunds);
        }
    }

    /// Whether samples of all of `services`, and of one at least, were heard in the day before `now`.
    pub fn hears_ordinary(&self, mut services: impl Iterator<Item = Id>, now: Millis) -> bool {
        let first = services.next();
        first.into_iter().chain(services).all(|service| self.ordinary.is_heard(service, now)) && first.is_some()
    }
}

#[cfg(test)]
mod tests;
