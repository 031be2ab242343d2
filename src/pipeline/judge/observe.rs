//! One event against the normal of others: how surprising it is, by aspect.
//!
//! Looks at every field of the request at its own place (route and path) and at the request as a whole at its route;
//! of several surprises of one aspect the greatest counts. Gives the surprises, the things they were for, and the
//! loans that the event calls back. Cost: one look-up a field and four small searches.
//!
//! A request that did not panic ([`learn`]) makes what it brings known in the same places, and has no site; nobody is
//! surprised by it.

use super::actors::{ASPECTS, Aspect};
use super::normal::{Item, Loan, Normal, Refund, Sender, Surprise, Trust};
use crate::pipeline::event::Id;
use crate::pipeline::fingerprint::{FieldTrait, Format, Traits, ValueKind};
use crate::pipeline::observation::{Actor, Observation, OrdinaryRequest, TokenUse};

/// Fields of a request that are looked at.
const FIELDS_MAX: usize = 32;
/// Category of panic sites at a route: only those who panic can bring one.
pub(super) const SITES: u8 = 7;

/// A request, panicking or not.
#[derive(Debug, Clone, Copy)]
struct Request<'o> {
    route: Id,
    shape: u128,
    format: Format,
    traits: &'o Traits,
    media_type: Option<Id>,
    agent_family: Option<Id>,
    token: Option<&'o TokenUse>,
}

/// The greatest surprise of one aspect.
#[derive(Debug, Clone, Copy, Default)]
struct Greatest {
    surprise: Surprise,
    at: Option<(Id, Item)>,
}

/// What was surprising about an event.
#[derive(Debug, Default)]
pub struct Surprises {
    greatest: [Greatest; ASPECTS],
    /// Loans that this event calls back.
    pub refunds: Vec<Refund>,
}

impl Surprises {
    fn note(&mut self, aspect: Aspect, place: Id, item: Item, surprise: Surprise) {
        let Some(greatest) = self.greatest.get_mut(usize::from(aspect as u8)) else { return };
        // What is new to the sender itself counts before what it repeats: only the former is evidence.
        if (surprise.first_time, surprise.centibits) > (greatest.surprise.first_time, greatest.surprise.centibits)
            && surprise.centibits > 0
        {
            *greatest = Greatest { surprise, at: Some((place, item)) };
        }
    }

    /// Aspects with the hundredths of a bit that they are new by.
    pub fn first_times(&self) -> impl Iterator<Item = (u8, u16)> + '_ {
        (0..).zip(&self.greatest).filter(|(_, g)| g.surprise.first_time).map(|(at, g)| (at, g.surprise.centibits))
    }

    /// Whether anything in it is not sent by anybody else.
    pub fn is_odd(&self, bits_min_centi: u16) -> bool {
        self.greatest.iter().any(|greatest| greatest.surprise.centibits >= bits_min_centi)
    }

    /// Whether its lexical marks are not usual here.
    pub fn is_marked(&self) -> bool {
        self.greatest.get(usize::from(Aspect::Mark as u8)).is_some_and(|greatest| greatest.surprise.centibits > 0)
    }

    /// Tells the places that the points were lent.
    pub fn lend(&self, normal: &mut Normal, actor: Actor) {
        for (sum, greatest) in (0..).zip(&self.greatest) {
            if let (true, Some((place, item))) = (greatest.surprise.first_time, greatest.at)
                && let Some(profile) = normal.at(place)
            {
                profile.lend(item, Loan { actor, sum, centibits: greatest.surprise.centibits });
            }
        }
    }
}

/// Weighs an event against what others sent and learns it.
pub fn weigh(normal: &mut Normal, trust: &Trust, o: &Observation<'_>, who: Sender) -> Surprises {
    let mut found = Surprises::default();
    let route = route_place(o);
    let request = Request {
        route,
        shape: o.cell.shape.0,
        format: o.format,
        traits: &o.traits,
        media_type: o.media_type,
        agent_family: o.agent_family,
        token: o.token.as_ref(),
    };
    let mut refunds = Vec::new();
    for field in request.fields() {
        let place = mix(route, field.path);
        let Some(profile) = normal.at(place) else { continue };
        for (aspect, category, token) in field_items(field) {
            let item = Item { category, token };
            let surprise = profile.weigh(item, who, trust, &mut refunds);
            found.note(aspect, place, item, surprise);
        }
        profile.visit(who);
    }
    if let Some(profile) = normal.at(route) {
        let mut weigh = |aspect: Aspect, category: u8, token: u64| {
            let item = Item { category, token };
            let surprise = profile.weigh(item, who, trust, &mut refunds);
            found.note(aspect, route, item, surprise);
        };
        for (aspect, category, token) in request.items() {
            weigh(aspect, category, token);
        }
        weigh(Aspect::Site, SITES, o.cell.site.0);
        profile.visit(who);
    }
    found.refunds = refunds;
    found
}

/// Learns from a request that did not panic; gives the loans that it calls back. Cost: that of [`weigh`].
pub fn learn(normal: &mut Normal, trust: &Trust, o: &OrdinaryRequest, who: Sender) -> Vec<Refund> {
    let request = Request {
        route: mix(o.service, o.route),
        shape: o.shape.0,
        format: o.format,
        traits: &o.traits,
        media_type: o.media_type,
        agent_family: o.agent_family,
        token: o.token.as_ref(),
    };
    let mut refunds = Vec::new();
    for field in request.fields() {
        let Some(profile) = normal.at_ordinary(mix(request.route, field.path)) else { continue };
        for (_, category, token) in field_items(field) {
            profile.learn(Item { category, token }, who, trust, &mut refunds);
        }
        profile.pass_by(who);
    }
    if let Some(profile) = normal.at_ordinary(request.route) {
        for (_, category, token) in request.items() {
            profile.learn(Item { category, token }, who, trust, &mut refunds);
        }
        profile.pass_by(who);
    }
    refunds
}

impl<'o> Request<'o> {
    fn fields(&self) -> impl Iterator<Item = &'o FieldTrait> + use<'o> {
        self.traits.fields.iter().take(FIELDS_MAX)
    }

    /// What is looked at at the route.
    fn items(&self) -> impl Iterator<Item = (Aspect, u8, u64)> + use<'o> {
        let marks = self.traits.marks;
        let paths = self.fields().map(|field| (Aspect::Path, 1, field.path.0));
        let marks = (0..16).filter(move |bit| marks & (1 << bit) != 0).map(|bit| (Aspect::Mark, 2, bit));
        paths.chain(marks).chain(self.whole())
    }

    /// Of the request as a whole.
    fn whole(&self) -> [(Aspect, u8, u64); 5] {
        let media = self.media_type.map_or(0, |id| id.0);
        let client = mix(Id(media), self.agent_family.unwrap_or_default()).0;
        let access = match self.token {
            None => 0,
            Some(token) => 1 + u64::from(token.valid == Some(false)) + 2 * u64::from(token.tier as u8),
        };
        let shape = u64::try_from(self.shape & u128::from(u64::MAX)).unwrap_or(0);
        let parse = u64::from(self.format as u8) << 8 | u64::from(self.traits.parse as u8);
        [
            (Aspect::Shape, 0, shape),
            (Aspect::Parse, 3, media ^ parse),
            (Aspect::Media, 4, media),
            (Aspect::Client, 5, client),
            (Aspect::Access, 6, access),
        ]
    }
}

fn field_items(field: &FieldTrait) -> impl Iterator<Item = (Aspect, u8, u64)> {
    let kind = u64::from(field.kind as u8);
    let size = kind << 16 | u64::from(field.negative) << 8 | u64::from(field.size_log2);
    let is_text = matches!(field.kind, ValueKind::Text | ValueKind::NumericText);
    let text = [(Aspect::Classes, 2, u64::from(field.classes)), (Aspect::Pattern, 3, field.pattern.0)];
    [(Aspect::Kind, 0, kind), (Aspect::Size, 1, size)].into_iter().chain(text.into_iter().filter(move |_| is_text))
}

/// The place of a route in the normal.
pub fn route_place(o: &Observation<'_>) -> Id {
    mix(o.cell.service, o.cell.route)
}

/// One id from two (both keyed already, so a plain mixer will do).
pub fn mix(a: Id, b: Id) -> Id {
    let x = (a.0.rotate_left(23) ^ b.0).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    Id(x ^ (x >> 29))
}
