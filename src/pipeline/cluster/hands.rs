//! Suspects into hands: which of them are one party.
//!
//! Takes the suspects of one tenant as [`Suspect`]s; gives for each the hand that it is of, and how many ties of each
//! kind hold a hand together. Cells are no part of it: two scanners that find the same panic site are two hands all the
//! same, and one that goes from route to route is one. Two suspects are tied by
//!
//! * **a token** that the service accepted: whoever bears it is one party;
//! * **an address**, when no more than [`HandRules::address_minutes`] lie between the two;
//! * **a program in a network**: the same client family with the same content type, from the same network to the same
//!   route, when no more than [`HandRules::conduct_minutes`] lie between the two there;
//! * **what they do**: of all places (site, route, client family with content type) that the two have been to, a share of
//!   [`HandRules::alike`] is common, with no more than [`HandRules::conduct_minutes`] between. So a botnet is one hand
//!   by its nodes, which do the same each, and a scanner that has been everywhere is none of them.
//!
//! Hands are the connected components of these ties. One that sent no more than [`THIN_EVENTS`] altogether says too little
//! of itself to be told apart: it goes with the hand that brought the same client family with the same content type to the
//! same route at most [`HandRules::address_minutes`] from it (where there are several, with the one with which it has most
//! places in common, then with the oldest). It goes with one alone, chosen before any other has moved, so that no two
//! hands that stand by themselves are ever joined through it.
//!
//! The first three ties cost a sort: of those who share a key, in the order of their first events, each is tied to the one
//! before it that was seen last, which is near enough if any is. The last looks at the [`COMPARED`] before each at
//! [`PLACES`] of its places, so it may miss a tie and never invents one.
//! The answer depends on the suspects alone, not on their order. Bounds: the caller's suspects, [`PLACES`] places of each
//! in the index, [`VISITS_MAX`] visits and [`NETWORKS_MAX`] networks of each, and [`COMPARISONS`] comparisons of what two
//! did. That bound is never met with up to 1,024 suspects of whom up to 128 are thin. Beyond these, where hardly two are
//! alike, each is held against fewer: a tie of conduct may be missed, so that more hands are told, and a thin hand may go
//! with another of those that are near it than the likest. Nothing is tied that would not be near or alike without the
//! bound. Cost: some 2 ms for 4,096 nodes of a botnet, some 40 ms for as many that were chosen to be dear.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::model::HandRules;
use crate::pipeline::event::{Id, Millis};
use crate::pipeline::observation::Actor;
use crate::pipeline::sample::mix;

/// Visits of one suspect that are looked at: what a ledger holds.
pub const VISITS_MAX: usize = 64;
/// Places of one suspect under which others look for it: those with the smallest mixed id, so that two who have much in
/// common have some of these in common.
const PLACES: usize = 8;
/// Suspects at a place that each is held against.
const COMPARED: usize = 8;
/// Networks of one suspect that are looked at: a token's party has one, a prefix seldom two.
const NETWORKS_MAX: usize = 4;
/// Comparisons of what two suspects did, for conduct and for company each, shared out among those who look: without a
/// bound 4,096 suspects could make a million, for half a second. At least [`COMPARED_MIN`] for each.
const COMPARISONS: usize = 65_536;
/// Comparisons that everybody has, however many look: all that a node with two places can need.
const COMPARED_MIN: usize = 2 * COMPARED;
/// Events up to which a hand does not stand by itself: what a node of a botnet sends in a campaign.
const THIN_EVENTS: u64 = 32;

/// From when until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// First event.
    pub first: Millis,
    /// Last event.
    pub last: Millis,
}

impl Span {
    /// Milliseconds between two spans; 0 where they overlap.
    fn gap(self, other: Self) -> i64 {
        self.first.max(other.first).since(self.last.min(other.last)).max(0)
    }

    fn with(self, other: Self) -> Self {
        Self { first: self.first.min(other.first), last: self.last.max(other.last) }
    }
}

/// What a suspect did at one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visit {
    /// Panic site.
    pub site: Id,
    /// Route.
    pub route: Id,
    /// Client family, content type and whether there was a token, as one id.
    pub program: Id,
    /// When.
    pub span: Span,
}

/// A suspect as others are likened to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspect {
    /// Who it is; no two of a call are the same.
    pub actor: Actor,
    /// How many events it sent.
    pub events: u64,
    /// From its first event to its last.
    pub span: Span,
    /// The token that it uses, where the service accepted it.
    pub token: Option<Id>,
    /// Its addresses, as far as they are known.
    pub addresses: Vec<Id>,
    /// Its networks, as far as they are known.
    pub networks: Vec<Id>,
    /// Where it has been; beyond [`VISITS_MAX`] they are not looked at.
    pub visits: Vec<Visit>,
}

/// What ties two suspects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tie {
    /// A token.
    Token,
    /// An address.
    Address,
    /// A program in a network.
    Network,
    /// What they do.
    Conduct,
    /// A program on a route, for one that sent too little to stand by itself.
    Company,
}

/// Suspects of one hand, and what ties them: the ties that the hand needs to be one, by kind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hand {
    /// Its suspects, ascending.
    pub actors: Vec<Actor>,
    /// Needed ties by kind; one less than actors altogether.
    pub ties: BTreeMap<Tie, u32>,
}

/// The hands of these suspects, by their smallest actor. A hand's ties are counted in the order of [`Tie`]: whoever is
/// tied by a token already needs no other tie.
pub fn hands(rules: &HandRules, suspects: &[Suspect]) -> Vec<Hand> {
    let mut order: Vec<&Suspect> = suspects.iter().collect();
    order.sort_by_key(|suspect| suspect.actor);
    let minutes = |minutes: u32| i64::from(minutes) * Millis::MINUTE;
    let mut forest = Forest::new(order.len());
    let profiles: Vec<Profile> = order.iter().map(|suspect| Profile::of(suspect)).collect();
    let tokens = keyed(&order, |suspect| suspect.token.map(|token| (token, suspect.span)).into_iter().collect());
    forest.sweep(tokens, i64::MAX, Tie::Token);
    let at = |suspect: &Suspect| suspect.addresses.iter().map(|address| (*address, suspect.span)).collect();
    forest.sweep(keyed(&order, at), minutes(rules.address_minutes), Tie::Address);
    forest.sweep(keyed(&order, programs), minutes(rules.conduct_minutes), Tie::Network);
    forest.liken(&profiles, rules.alike, minutes(rules.conduct_minutes));
    forest.attach(&order, &profiles, minutes(rules.address_minutes));
    forest.into_hands(&order)
}

/// A key that a suspect has, since when, until when, and its number.
type Keyed = (Id, Span, usize);

fn keyed(order: &[&Suspect], keys: impl Fn(&Suspect) -> Vec<(Id, Span)>) -> Vec<Keyed> {
    let all = order.iter().enumerate();
    all.flat_map(|(number, suspect)| keys(suspect).into_iter().map(move |(key, span)| (key, span, number))).collect()
}

/// What `key` makes of the visits of a suspect, ascending, each with when it was.
fn spans(suspect: &Suspect, key: impl Fn(&Visit) -> Id) -> Vec<(Id, Span)> {
    let visits = suspect.visits.iter().take(VISITS_MAX);
    let mut all: Vec<(Id, Span)> = visits.map(|visit| (key(visit), visit.span)).collect();
    all.sort_unstable_by_key(|(key, _)| *key);
    all.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        if same {
            kept.1 = kept.1.with(next.1);
        }
        same
    });
    all
}

/// Programs with routes.
fn routes(suspect: &Suspect) -> Vec<(Id, Span)> {
    spans(suspect, |visit| Id(mix(mix(visit.program.0) ^ visit.route.0)))
}

/// Networks with programs and routes.
fn programs(suspect: &Suspect) -> Vec<(Id, Span)> {
    let of = |network: &Id| {
        let network = network.0;
        spans(suspect, move |visit| Id(mix(mix(network ^ mix(visit.program.0)) ^ visit.route.0)))
    };
    suspect.networks.iter().take(NETWORKS_MAX).flat_map(of).collect()
}

/// The places of a suspect, ascending, each with when it was there.
#[derive(Debug, Default)]
struct Profile {
    places: Vec<(Id, Span)>,
    /// The bits of its places: what two have in common has its bits in both.
    bits: [u64; 4],
    /// Places less bits: so many more than the common bits can be common.
    spare: u32,
}

impl Profile {
    fn of(suspect: &Suspect) -> Self {
        let places = spans(suspect, |visit| Id(mix(mix(visit.site.0 ^ mix(visit.program.0)) ^ visit.route.0)));
        let mut bits = [0_u64; 4];
        for (place, _) in &places {
            if let Some(word) = bits.get_mut(usize::try_from(place.0 >> 62).unwrap_or(0)) {
                *word |= 1 << (place.0 >> 56 & 63);
            }
        }
        let n_bits: u32 = bits.iter().map(|word| word.count_ones()).sum();
        let spare = u32::try_from(places.len()).unwrap_or(u32::MAX).saturating_sub(n_bits);
        Self { places, bits, spare }
    }

    /// Places in common, at about the same time, if there are at least so many of them.
    fn common(&self, other: &Self, reach: i64, least: u32) -> Option<u32> {
        let both: u32 = self.bits.iter().zip(&other.bits).map(|(a, b)| (a & b).count_ones()).sum();
        if both + self.spare.min(other.spare) < least {
            return None;
        }
        let (mut ours, mut theirs) = (self.places.as_slice(), other.places.as_slice());
        let mut common = 0_u32;
        while let ([(place, span), our_rest @ ..], [(other, other_span), their_rest @ ..]) = (ours, theirs) {
            let both = place == other && span.gap(*other_span) <= reach;
            common += u32::from(both);
            let (we, they) = (place <= other, other <= place);
            ours = if we { our_rest } else { ours };
            theirs = if they { their_rest } else { theirs };
        }
        Some(common).filter(|common| *common >= least)
    }

    /// Whether the two have at least this share of their places in common, at about the same time.
    fn is_like(&self, other: &Self, alike: f64, reach: i64) -> bool {
        let both = u32::try_from(self.places.len() + other.places.len()).unwrap_or(u32::MAX);
        let enough = |common: u32| f64::from(common) >= alike * f64::from(both.saturating_sub(common).max(1));
        // A place less than what is enough, whatever is rounded how.
        let share = alike * f64::from(both) / (1.0 + alike) - 1.0;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of places, at most 128")]
        let least = share.max(1.0) as u32;
        self.common(other, reach, least).is_some_and(enough)
    }
}

/// Disjoint sets of suspects, and what tied them.
#[derive(Debug)]
struct Forest {
    parents: Vec<usize>,
    ties: Vec<(usize, Tie)>,
}

impl Forest {
    fn new(n: usize) -> Self {
        Self { parents: (0..n).collect(), ties: Vec::new() }
    }

    fn root(&mut self, of: usize) -> usize {
        let mut root = of;
        while let Some(parent) = self.parents.get(root).copied().filter(|parent| *parent != root) {
            // Halves the path; parents have smaller numbers, so this ends.
            let above = self.parents.get(parent).copied().unwrap_or(parent);
            if let Some(slot) = self.parents.get_mut(root) {
                *slot = above;
            }
            root = above;
        }
        root
    }

    fn is_tied(&mut self, a: usize, b: usize) -> bool {
        self.root(a) == self.root(b)
    }

    fn tie(&mut self, a: usize, b: usize, tie: Tie) {
        let (a, b) = (self.root(a), self.root(b));
        if a != b {
            if let Some(slot) = self.parents.get_mut(a.max(b)) {
                *slot = a.min(b);
            }
            self.ties.push((a, tie));
        }
    }

    /// Ties all who share a key and are within reach of each other.
    fn sweep(&mut self, mut keys: Vec<Keyed>, reach: i64, tie: Tie) {
        keys.sort_unstable();
        for same in keys.chunk_by(|a, b| a.0 == b.0) {
            let mut latest: Option<(Millis, usize)> = None;
            for (_, span, number) in same {
                if let Some((_, before)) = latest.filter(|(last, _)| span.first.since(*last) <= reach) {
                    self.tie(before, *number, tie);
                }
                latest = latest.max(Some((span.last, *number)));
            }
        }
    }

    /// Ties those who do the same.
    fn liken(&mut self, profiles: &[Profile], alike: f64, reach: i64) {
        let mut index: Vec<Keyed> = Vec::new();
        for (number, Profile { places, .. }) in profiles.iter().enumerate() {
            index.extend(places.iter().take(PLACES).map(|(place, span)| (*place, *span, number)));
        }
        index.sort_unstable();
        let mut rooms = vec![room(profiles.len()); profiles.len()];
        for same in index.chunk_by(|a, b| a.0 == b.0) {
            for (at, (_, _, number)) in same.iter().enumerate() {
                let (Some(one), Some(room)) = (profiles.get(*number), rooms.get_mut(*number)) else { continue };
                for (_, _, before) in same.iter().take(at).rev().take(COMPARED) {
                    if *room == 0 {
                        break;
                    }
                    if self.is_tied(*number, *before) {
                        continue;
                    }
                    *room -= 1;
                    if profiles.get(*before).is_some_and(|other| one.is_like(other, alike, reach)) {
                        self.tie(*number, *before, Tie::Conduct);
                    }
                }
            }
        }
    }

    /// Lets each thin hand go with another one, if there is one near.
    fn attach(&mut self, order: &[&Suspect], profiles: &[Profile], reach: i64) {
        let roots: Vec<usize> = (0..order.len()).map(|number| self.root(number)).collect();
        let mut sizes = vec![(0_u64, Millis(i64::MAX)); order.len()];
        for (root, suspect) in roots.iter().zip(order) {
            if let Some((events, first)) = sizes.get_mut(*root) {
                *events = events.saturating_add(suspect.events);
                *first = suspect.span.first.min(*first);
            }
        }
        let is_thin = |root: &usize| sizes.get(*root).is_some_and(|(events, _)| *events <= THIN_EVENTS);
        let n_thin = roots.iter().enumerate().filter(|(number, root)| number == *root && is_thin(root)).count();
        if n_thin == 0 {
            return;
        }
        let mut at_routes = keyed(order, routes);
        at_routes.sort_unstable();
        let mut searches: Vec<Search> = vec![Search { room: room(n_thin), ..Search::default() }; order.len()];
        for same in at_routes.chunk_by(|a, b| a.0 == b.0) {
            for (at, (_, span, number)) in same.iter().enumerate() {
                let (Some(root), Some(one)) = (roots.get(*number).filter(|root| is_thin(root)), profiles.get(*number))
                else {
                    continue;
                };
                let Some(search) = searches.get_mut(*root).filter(|search| search.room > 0) else { continue };
                let around = same.iter().skip(at.saturating_sub(COMPARED)).take(2 * COMPARED + 1);
                for (_, _, other) in around.filter(|(_, theirs, _)| span.gap(*theirs) <= reach) {
                    let (Some(into), Some(two)) = (roots.get(*other), profiles.get(*other)) else { continue };
                    let Some((_, first)) = sizes.get(*into).filter(|_| into != root) else { continue };
                    search.look((one, two), reach, (Reverse(*first), *into, *number, *other));
                }
            }
        }
        for (_, (_, _, number, other)) in searches.into_iter().filter_map(|search| search.best) {
            self.tie(number, other, Tie::Company);
        }
    }

    fn into_hands(mut self, order: &[&Suspect]) -> Vec<Hand> {
        let mut hands: BTreeMap<usize, Hand> = BTreeMap::new();
        for (number, suspect) in order.iter().enumerate() {
            hands.entry(self.root(number)).or_default().actors.push(suspect.actor);
        }
        for (number, tie) in std::mem::take(&mut self.ties) {
            let root = self.root(number);
            if let Some(hand) = hands.get_mut(&root) {
                *hand.ties.entry(tie).or_default() += 1;
            }
        }
        hands.into_values().collect()
    }
}

/// Comparisons for each of so many.
fn room(n: usize) -> usize {
    (COMPARISONS / n.max(1)).max(COMPARED_MIN)
}

/// How old another hand is (the older is the greater), its root, and who is tied to whom.
type Host = (Reverse<Millis>, usize, usize, usize);

/// The search of a thin hand for company.
#[derive(Debug, Clone, Default)]
struct Search {
    /// Places in common with the likest, and that one.
    best: Option<(u32, Host)>,
    /// Comparisons left.
    room: usize,
}

impl Search {
    /// Holds one of its suspects against one of another hand.
    fn look(&mut self, (one, two): (&Profile, &Profile), reach: i64, host: Host) {
        if self.room == 0 || self.best.is_some_and(|(_, best)| best == host) {
            return;
        }
        self.room -= 1;
        let least = self.best.map_or(0, |(common, best)| common + u32::from(host <= best));
        if let Some(common) = one.common(two, reach, least) {
            self.best = Some((common, host));
        }
    }
}

#[cfg(test)]
mod tests;
