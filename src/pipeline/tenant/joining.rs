//! Suspects into clusters: hands ([`hands`](crate::pipeline::cluster::hands)) with a name, and what ties them in words.
//!
//! Runs when a suspect came, went or did something. All suspects of the tenant are looked at then; only hands that are
//! another set of senders than a cluster of the last epoch go through the identification, so that whoever is not
//! concerned is neither judged nor stored anew.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Tenant, long_half_life};
use crate::pipeline::Step;
use crate::pipeline::alert::Evidence;
use crate::pipeline::cluster::hands::{Hand, Span, Suspect, Tie, Visit, hands};
use crate::pipeline::cluster::identity::{Cluster, ClusterId, Member};
use crate::pipeline::cluster::{ClusteringModel, RowKey};
use crate::pipeline::event::{Id, Millis};
use crate::pipeline::observation::Actor;
use crate::pipeline::portrait::plural;

/// Name of the line among the evidence that says how little is known yet. It has no points.
const WARM_UP_LINE: &str = "warm_up";
/// For so long a service's normal is said to be unknown. (Within the first hour from an empty store, six false alerts came
/// in thirty starts on honest events alone, five times the budget's rate; counted under the weights of 2026-11-22.)
const WARM_UP_MILLIS: i64 = Millis::HOUR;
/// Name of the line among the evidence that says what joins the senders of a cluster. It has no points.
const LINE: &str = "one_hand";

impl Tenant {
    /// Joins suspects anew if any changed; gives the clusters that were or are concerned.
    pub(super) fn regroup_suspects(
        &mut self,
        model: &ClusteringModel,
        now: Millis,
        step: &mut Step,
    ) -> BTreeSet<ClusterId> {
        if !std::mem::take(&mut self.suspects_changed) {
            return BTreeSet::new();
        }
        let suspects: Vec<Suspect> = self.suspect_since.keys().filter_map(|actor| self.suspect(actor)).collect();
        let joined = catch_unwind(AssertUnwindSafe(|| hands(&model.hands, &suspects))).unwrap_or_else(|_| {
            step.fallbacks += 1;
            let alone = |suspect: &Suspect| Hand { actors: vec![suspect.actor], ties: BTreeMap::new() };
            suspects.iter().map(alone).collect()
        });
        let rows = |hand: &Hand| hand.actors.iter().filter_map(|actor| self.sender(actor)).collect::<Vec<_>>();
        let mut named: Vec<(Vec<RowKey>, BTreeMap<Tie, u32>)> = Vec::new();
        for hand in joined {
            let mut rows = rows(&hand);
            rows.sort_unstable();
            named.push((rows, hand.ties));
        }
        let there: BTreeSet<RowKey> = named.iter().flat_map(|(rows, _)| rows.iter().copied()).collect();
        let clusters = self.clusters.clusters();
        let senders = clusters.flat_map(|cluster| &cluster.members).filter(|row| row.sender().is_some());
        let gone: BTreeSet<RowKey> = senders.filter(|row| !there.contains(row)).copied().collect();
        let is_known = |rows: &[RowKey]| {
            let cluster = rows.first().and_then(|row| self.clusters.get(self.clusters.of(row)?));
            cluster.is_some_and(|cluster| cluster.members == rows)
        };
        let changed = named.iter().filter(|(rows, _)| !is_known(rows));
        let components: Vec<Vec<Member>> =
            changed.map(|(rows, _)| rows.iter().map(|row| self.member(model, *row, now)).collect()).collect();
        let concerned = self.identify(model, &gone, &components, now);
        let ties = named.into_iter().filter_map(|(rows, ties)| Some((self.clusters.of(rows.first()?)?, ties)));
        self.ties = ties.collect();
        concerned
    }

    /// Notes that a service was heard of.
    pub(super) fn hear_of(&mut self, service: Id, time: Millis) {
        let since = self.heard_since.entry(service).or_insert(time);
        *since = time.min(*since);
    }

    /// Since when services are heard of, from the cells alone.
    pub(super) fn know_services(&mut self) {
        self.heard_since.clear();
        let heard: Vec<(Id, Millis)> = self.cells.iter().map(|(key, cell)| (key.service, cell.first)).collect();
        for (service, first) in heard {
            self.hear_of(service, first);
        }
    }

    /// That a cluster of suspects is judged before its services' normal is known; nothing where it is known.
    pub(super) fn warm_up_in_words(&self, cluster: &Cluster) -> Option<Evidence> {
        let suspects = cluster.members.iter().filter_map(RowKey::sender);
        let last = suspects.clone().filter_map(|actor| self.record.summary(actor)).map(|summary| summary.last).max()?;
        let mut services = suspects.flat_map(|actor| self.shares.cells_of(actor)).map(|cell| cell.service);
        let is_new =
            |service: Id| self.heard_since.get(&service).is_some_and(|since| last.since(*since) < WARM_UP_MILLIS);
        let words = "one of its services was heard of for less than an hour: what is usual there is still being learnt, and \
                     false alerts come more often than later";
        services.any(is_new).then(|| Evidence { name: WARM_UP_LINE.to_owned(), points: 0.0, words: words.to_owned() })
    }

    fn member(&self, model: &ClusteringModel, key: RowKey, now: Millis) -> Member {
        let summary = key.sender().and_then(|actor| self.record.summary(actor));
        Member {
            key,
            weight: summary.map_or(0.0, |summary| summary.minutes.weight(now, long_half_life(model))),
            first: summary.map_or(now, |summary| summary.first),
        }
    }

    /// A suspect as others are likened to it; `None` where all that it touched is forgotten.
    fn suspect(&self, actor: &Actor) -> Option<Suspect> {
        self.sender(actor)?;
        let summary = self.record.summary(actor)?;
        let visits = self.record.ledger(actor).map(|(cell, touch)| Visit {
            site: cell.site,
            route: cell.route,
            program: touch.family,
            span: Span { first: touch.first, last: touch.last },
        });
        Some(Suspect {
            actor: *actor,
            events: summary.n,
            span: Span { first: summary.first, last: summary.last },
            token: self.record.token(actor),
            addresses: summary.addresses.iter().collect(),
            networks: summary.asns.iter().map(|(asn, _)| Id(asn)).collect(),
            visits: visits.collect(),
        })
    }

    /// What joins the senders of a cluster, for people; nothing where it has one.
    pub(super) fn ties_in_words(&self, cluster: &Cluster, model: &ClusteringModel) -> Option<Evidence> {
        let ties = self.ties.get(&cluster.id).filter(|ties| !ties.is_empty())?;
        let hands = &model.hands;
        let part = |(tie, n): (&Tie, &u32)| {
            let by = match tie {
                Tie::Token => "by a token".to_owned(),
                Tie::Address => format!("by an address, within {} minutes", hands.address_minutes),
                Tie::Network => {
                    format!("by client program, network and route, within {} minutes", hands.conduct_minutes)
                }
                Tie::Company => format!(
                    "by client program and route, within {} minutes, where it sent too little to stand by itself",
                    hands.address_minutes
                ),
                Tie::Conduct => {
                    format!("by client program, routes and panic sites, within {} minutes", hands.conduct_minutes)
                }
            };
            format!("{n} {by}")
        };
        let n: u64 = ties.values().map(|n| u64::from(*n)).sum();
        let parts: Vec<String> = ties.iter().map(part).collect();
        let words =
            format!("{} are told as one; what ties each to the others: {}", plural(n + 1, "sender"), parts.join("; "));
        Some(Evidence { name: LINE.to_owned(), points: 0.0, words })
    }
}
