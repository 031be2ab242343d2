//! Facts about an actor, and the points that they are worth.
//!
//! A [`Fact`] is a number that a person can recompute from counters; the model gives each fact a few bins with points,
//! each group of facts a cap. The sum is exact (whole hundredths), and what a cap took away is a line of its own.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::actors::{Aspect, Conduct, FewIds};
use super::neighbours::{Neighbourhood, Strangers, cell_place, site_place};
use super::ordinary::Ended;
use crate::pipeline::event::Id;

/// What is looked at. The discriminant is the index in [`FACTS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Fact {
    /// Mean surprise of structure: shapes, fields, kinds.
    Structure,
    /// Mean surprise of values: sizes, classes, patterns.
    Values,
    /// Mean surprise of lexical marks.
    Marks,
    /// Mean surprise of how bodies (do not) parse.
    Syntax,
    /// Mean surprise of client and content type.
    Client,
    /// Mean surprise of the way of presenting tokens.
    Access,
    /// Mean surprise of sites.
    Sites,
    /// Share of events that discovered something.
    DiscoveryRate,
    /// Share of events in cells new to the actor.
    Variety,
    /// log2 of routes.
    Breadth,
    /// log2 of sites per route.
    SiteSpread,
    /// log2 of the client families that use its token; 0 for those of the family that used it first.
    TokenClients,
    /// 1 for a party that uses a token, and was the first to.
    TokenFirst,
    /// log2 of refused tokens.
    RefusedTokens,
    /// Share of idempotency keys used again with other content.
    ReusedKeys,
    /// Mean surprise of others at its sites.
    SiteOthers,
    /// Mean surprise of others in its cells.
    CellOthers,
    /// Mean surprise of others of its client family at the route.
    FamilyOthers,
    /// Mean surprise of others of its network.
    NetworkOthers,
    /// Own surprise less that of the others at its sites.
    Relative,
    /// log2 of others in its cells.
    Crowd,
    /// log2 minutes that its cells have lived.
    Age,
    /// Share of exact repeats.
    Repeats,
    /// Share of genuine retries.
    Retries,
    /// log2 of the networks that use its token; 0 for those of the network that used it first.
    TokenNetworks,
    /// Share of events with lexical marks that are not usual at their route.
    Marked,
    /// log2 of events with lexical marks that are not usual at their route.
    Markings,
    /// Mean surprise of the others that use its token.
    TokenOthers,
    /// log2 of one more than the exact repeats that others in its place would have sent, and it did not.
    Unrepeated,
    /// log2 of one more than its requests that were served; 0 where there are no samples of them.
    Served,
    /// Share of its requests without a panic that were rejected; 0 where there are no samples of them.
    Rejected,
    /// Mean doublings of the records near those that it asks for, without an accepted token, that were asked for as well.
    Enumeration,
}

/// Number of [`Fact`]s.
pub const FACTS_LEN: usize = 32;

/// Mean doublings of records near its own from which on nothing that a sender does is what others there do: one in five
/// of the fifteen next to each.
const WALK_DOUBLINGS: f64 = 2.0;

/// Name and words of each fact, in the order of [`Fact`].
pub const FACTS: [(&str, &str); FACTS_LEN] = [
    ("structure", "bits an event by which its shapes, fields and kinds of value are new to this route"),
    ("values", "bits an event by which its sizes, characters and patterns are new to these fields"),
    ("marks", "bits an event of lexical marks that nobody else's requests bear here"),
    ("syntax", "bits an event by which its bodies fail to parse in a way of their own"),
    ("client", "bits an event by which its client and content type are new to this route"),
    ("access", "bits an event by which its way of presenting a token is new to this route"),
    ("sites", "bits an event by which it reaches panic sites that nobody else reaches"),
    ("discovery_rate", "of its events found something new"),
    ("variety", "of its events were the first of their kind from this sender"),
    ("breadth", "doublings of routes"),
    ("site_spread", "doublings of panic sites a route"),
    ("token_clients", "doublings of client programs that use its token, which another one used first"),
    ("token_first", "of 1: it was the first of those who use its token"),
    ("refused_tokens", "doublings of tokens that the service refused"),
    ("reused_keys", "of its events use an idempotency key again for something else"),
    ("site_others", "bits an event that others bring to the same panic sites"),
    ("cell_others", "bits an event that others bring with the same shape at the same site"),
    ("family_others", "bits an event that others bring with the same client program"),
    ("network_others", "bits an event that others bring from the same network"),
    ("relative", "bits an event more than others at the same panic sites"),
    ("crowd", "doublings of others that do the same"),
    ("age", "doublings of minutes that the same has been going on"),
    ("repeats", "of its events are exact repeats"),
    ("retries", "of its events are genuine retries"),
    ("token_networks", "doublings of networks that use its token, which another one used first"),
    ("marked", "of its events bear lexical marks that are not usual here"),
    ("markings", "doublings of events with lexical marks that are not usual here"),
    ("token_others", "bits an event that others bring with the same token"),
    ("unrepeated", "doublings of exact repeats that others at the same panic sites would have sent, and it did not"),
    ("served", "doublings of its requests that were served, by samples of ordinary traffic"),
    ("rejected", "of its requests without a panic were rejected, by samples of ordinary traffic"),
    ("enumeration", "doublings an event of records numbered next to its own that were asked for within the hour"),
];

/// The facts about one actor.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Facts(pub [f64; FACTS_LEN]);

impl Facts {
    fn set(&mut self, fact: Fact, value: f64) {
        if let Some(slot) = self.0.get_mut(usize::from(fact as u8)) {
            *slot = value;
        }
    }

    /// The value of a fact.
    pub fn get(&self, fact: usize) -> f64 {
        self.0.get(fact).copied().unwrap_or(0.0)
    }

    /// Works out all facts of an actor and its surroundings.
    pub fn of(conduct: &Conduct, near: &Near) -> Self {
        let mut facts = Self::default();
        facts.novelty(conduct);
        facts.doing(conduct);
        let events = f64::from(conduct.events);
        facts.set(Fact::SiteOthers, near.site);
        facts.set(Fact::CellOthers, near.cell);
        facts.set(Fact::FamilyOthers, near.family);
        facts.set(Fact::NetworkOthers, near.network);
        facts.set(Fact::Relative, f64::from(conduct.centibits()) / 100.0 / (events + 1.0) - near.site);
        facts.set(Fact::TokenClients, near.token.clients);
        facts.set(Fact::TokenNetworks, near.token.networks);
        facts.set(Fact::TokenOthers, near.token_others);
        facts.set(Fact::TokenFirst, near.token.first);
        let due = near.repeats * (events - 1.0) - f64::from(conduct.repeats());
        facts.set(Fact::Unrepeated, (due.max(0.0) + 1.0).log2());
        // Others are at the same place, and do not go along the numbers there.
        let company = 1.0 - (facts.get(Fact::Enumeration as usize) / WALK_DOUBLINGS).min(1.0);
        facts.set(Fact::Crowd, near.crowd * company);
        facts.set(Fact::Age, near.age * company);
        facts.set(Fact::Served, near.ordinary.served_doublings());
        facts.set(Fact::Rejected, near.ordinary.rejected_share());
        facts
    }

    fn novelty(&mut self, conduct: &Conduct) {
        // Two events' worth of nothing: one odd event is not a habit.
        let mean = |aspects: &[Aspect]| conduct.bits(aspects) / (f64::from(conduct.events) + 2.0);
        self.set(Fact::Structure, mean(&[Aspect::Shape, Aspect::Path, Aspect::Kind]));
        self.set(Fact::Values, mean(&[Aspect::Size, Aspect::Classes, Aspect::Pattern]));
        self.set(Fact::Marks, mean(&[Aspect::Mark]));
        self.set(Fact::Syntax, mean(&[Aspect::Parse]));
        self.set(Fact::Client, mean(&[Aspect::Media, Aspect::Client]));
        self.set(Fact::Access, mean(&[Aspect::Access]));
        self.set(Fact::Sites, mean(&[Aspect::Site]));
    }

    fn doing(&mut self, conduct: &Conduct) {
        let events = f64::from(conduct.events);
        let share = |count: u32, prior: f64| f64::from(count) / (events + prior);
        let doublings = |count: u32| f64::from(count.max(1)).log2();
        self.set(Fact::DiscoveryRate, share(conduct.discoveries, 2.0));
        self.set(Fact::Variety, share(conduct.new_cells.saturating_sub(1), 2.0));
        self.set(Fact::Breadth, doublings(conduct.routes.count()));
        self.set(Fact::SiteSpread, doublings(conduct.sites.count()) - doublings(conduct.routes.count()));
        self.set(Fact::RefusedTokens, f64::from(conduct.refused_tokens.count() + 1).log2());
        self.set(Fact::ReusedKeys, share(conduct.reused_keys, 1.0));
        self.set(Fact::Repeats, share(conduct.repeats(), 2.0));
        self.set(Fact::Retries, share(conduct.retries, 2.0));
        self.set(Fact::Marked, share(conduct.marked, 2.0));
        self.set(Fact::Markings, doublings(conduct.marked + 1));
        self.set(Fact::Enumeration, f64::from(conduct.walked) / 100.0 / (events + 2.0));
    }
}

/// Who else uses an actor's token.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct TokenCompany {
    /// 1 where it uses a token, and nobody used that before it.
    pub first: f64,
    /// log2 of the client families that use the token, 0 for those of the first one's family.
    pub clients: f64,
    /// log2 of the networks that use the token, 0 for those of the first one's network.
    pub networks: f64,
}

impl TokenCompany {
    /// Reads an actor and the others who use its token. An owner's other programs, and a fleet of one program, are
    /// common; another program in another network is what a thief is.
    pub fn of(own: &Conduct, others: &[&Conduct]) -> Self {
        let all = || others.iter().copied().chain([own]);
        let Some(first) = all().min_by_key(|conduct| conduct.first) else { return Self::default() };
        let count = |thing: fn(&Conduct) -> Id| {
            let distinct: BTreeSet<Id> = all().map(thing).collect();
            let distinct = u32::try_from(distinct.len()).unwrap_or(u32::MAX);
            if thing(own) == thing(first) { 0.0 } else { f64::from(distinct).log2() }
        };
        Self {
            first: if own.first <= first.first { 1.0 } else { 0.0 },
            clients: count(|conduct| conduct.client),
            networks: count(Conduct::network),
        }
    }
}

/// Means over the neighbourhoods of an actor.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Near {
    /// Mean surprise of others at its sites, weighed by its events there.
    pub site: f64,
    /// The same in its cells.
    pub cell: f64,
    /// The greatest of its client families.
    pub family: f64,
    /// The greatest of its networks.
    pub network: f64,
    /// log2 of one more than the others in its cells, mean.
    pub crowd: f64,
    /// log2 of one more than the minutes its cells have lived, mean.
    pub age: f64,
    /// Who else uses its token.
    pub token: TokenCompany,
    /// Mean surprise of the others that use its token.
    pub token_others: f64,
    /// Mean share of exact repeats of others at its sites, weighed by its events there.
    pub repeats: f64,
    /// How its requests ended that did not panic; nothing where no samples are there.
    pub ordinary: Ended,
    /// Points of others: cell, family, network, address.
    pub points: [f64; 4],
}

impl Near {
    /// Reads the neighbourhoods of an actor.
    pub fn of(conduct: &Conduct, strangers: &Strangers<'_>) -> Self {
        let mut near = Self::default();
        let mut weight = 0.0;
        for (key, touch) in conduct.ledger.iter() {
            let events = f64::from(touch.events);
            let here = strangers.at(cell_place(key));
            weight += events;
            let site = strangers.at(site_place(key));
            near.site += events * site.bits();
            near.repeats += events * site.repeats();
            near.cell += events * here.bits();
            near.crowd += events * f64::from(here.actors + 1).log2();
            near.age += events * (here.minutes() + 1.0).log2();
            let [points, ..] = &mut near.points;
            *points += events * here.points();
        }
        if weight > 0.0 {
            let [points, ..] = &mut near.points;
            for sum in [&mut near.site, &mut near.cell, &mut near.crowd, &mut near.age, &mut near.repeats, points] {
                *sum /= weight;
            }
        }
        let greatest = |places: &FewIds, value: &dyn Fn(Neighbourhood) -> f64| {
            let all = places.iter().map(|place| value(strangers.at(place)));
            all.reduce(|a, b| if b.abs() > a.abs() { b } else { a }).unwrap_or(0.0)
        };
        near.family = greatest(&conduct.families, &|here| here.bits());
        near.network = greatest(&conduct.asns, &|here| here.bits());
        if let Some(token) = conduct.token.map(|token| strangers.with_parties_at(token)) {
            near.token_others = token.bits();
        }
        let [_, family, network, address] = &mut near.points;
        *family = greatest(&conduct.families, &|here| here.points());
        *network = greatest(&conduct.asns, &|here| here.points());
        *address = greatest(&conduct.addresses, &|here| here.points());
        near
    }
}
