//! What clustering and judging may look at: one event after decode, classify, enrich and fingerprint.
//!
//! An [`Observation`] has names (borrowed, to be shown to people), keyed ids (to be counted) and traits; no value of
//! the payload, no token, no idempotency key, no unmasked message. So it may be stored while it waits for its turn
//! ([`super::reorder`]).

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::by_value;
use super::cell::sketch_bytes;
use super::classify::Classified;
use super::enrich::{AddressKind, Network, ScopeTier};
use super::event::{Id, Millis, Position, RecoveryOutcome, RetryOutcome, ShapeId};
use super::fingerprint::{Format, Sketch, Traits};

/// The exact key of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CellKey {
    /// Tenant.
    pub tenant: Id,
    /// Service.
    pub service: Id,
    /// Panic site: service, file, function, masked message.
    pub site: Id,
    /// Route template (with method).
    pub route: Id,
    /// Payload shape.
    pub shape: ShapeId,
}

impl CellKey {
    /// All of it but the shape: tenant, service, panic site, route.
    pub fn block(&self) -> [Id; 4] {
        [self.tenant, self.service, self.site, self.route]
    }
}

/// Who sent it: a valid token as one client uses it from one network, else the source prefix (/24, /48).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Actor {
    /// A token that the service accepted, with the client's family and network (keyed id of all three).
    Token(Id),
    /// A source prefix (keyed id of the network address).
    Prefix(Id),
    /// Nobody in particular.
    Unknown,
}

/// The source of a request.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Source {
    /// The address; addresses are shown to the SOC, they are not payload.
    pub address: Option<IpAddr>,
    /// Keyed id of the address.
    pub address_id: Option<Id>,
    /// Keyed id of its /24 or /48.
    pub prefix_id: Option<Id>,
    /// What kind of address it is.
    pub kind: AddressKind,
    /// Outside facts.
    pub network: Network,
}

/// The token of a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenUse {
    /// Keyed id.
    pub id: Option<Id>,
    /// Whether the service accepted it.
    pub valid: Option<bool>,
    /// How far it reaches.
    pub tier: ScopeTier,
    /// Its scopes, sorted, without repeats, joined by one space, or by `; ` where a name has a space in it; names, bounded
    /// by the decoder.
    #[serde(with = "by_value::text")]
    pub scopes: Arc<str>,
}

/// What the producer says of the time after the panic: what contained it, what was done about it, what it left behind.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Aftermath<'a> {
    /// Whether the panic was caught.
    pub handled: Option<bool>,
    /// The boundary that contained it.
    pub boundary: Option<Cow<'a, str>>,
    /// Milliseconds that the recovery took, whole, at most a day.
    pub recovery_latency_ms: Option<u32>,
    /// What became of retries, as told at any time: an account may know what a decision at `time` may not
    /// (cf. [`Observation::retry_succeeded`]).
    pub retry: RetryOutcome,
    /// Changes that the request had made before it panicked; `None`: not told.
    pub n_side_effects: Option<u64>,
    /// Circuit breakers that opened.
    pub n_breakers_opened: u64,
    /// Region or zone.
    pub region: Option<Cow<'a, str>>,
}

/// One event as the rest of the pipeline sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Observation<'a> {
    /// Where the record stood.
    #[serde(borrow)]
    pub position: Position<'a>,
    /// The producer's id of the event.
    pub event_id: Cow<'a, str>,
    /// Keyed id of (tenant, service, event id): the same event twice is a duplicate.
    pub event: Id,
    /// Event time.
    pub time: Millis,
    /// The time is the broker's, since the producer's clock was out of bounds.
    pub clock_replaced: bool,
    /// Key of its cell.
    pub cell: CellKey,
    /// Who sent it.
    pub actor: Actor,

    /// Tenant name.
    pub tenant: Cow<'a, str>,
    /// Service name.
    pub service: Cow<'a, str>,
    /// The reason under which the event was announced (see [`super::expected`]); the judge does not hear of it then.
    #[serde(with = "by_value::text_if_any")]
    pub expected: Option<Arc<str>>,
    /// Route: method and template, or method and masked path where no template is told.
    pub route: Cow<'a, str>,
    /// The route is the producer's own name for it, so that no sender can make new ones.
    pub has_template: bool,
    /// The route is declared idempotent, whatever its method (see [`super::operations::idempotent`]).
    pub idempotent: bool,
    /// Site in words: `function (file)`, neutralised.
    #[serde(with = "by_value::text")]
    pub site: Arc<str>,
    /// Line of the panic in its file, from 1; no part of the site, since it moves with each release.
    pub line: Option<u32>,
    /// Release.
    pub release: Option<Cow<'a, str>>,

    /// What kind of panic it was, and its message without values.
    #[serde(with = "by_value::value")]
    pub panic: Arc<Classified>,
    /// What became of the fault.
    pub recovery: RecoveryOutcome,
    /// Status that the client got.
    pub status: Option<u16>,

    /// Source.
    pub source: Source,
    /// Token, if one was presented.
    pub token: Option<TokenUse>,
    /// Keyed id of the whole user agent.
    pub agent: Option<Id>,
    /// Keyed id of the user agent's first product name (up to `/` or space).
    pub agent_family: Option<Id>,
    /// That product name, neutralised, at most 40 bytes.
    pub agent_name: Cow<'a, str>,
    /// Keyed id of the content type (without parameters).
    pub media_type: Option<Id>,
    /// Keyed id of the idempotency key.
    pub idempotency: Option<Id>,
    /// Attempt, from 1.
    pub attempt: u32,
    /// The request's retry succeeded, as far as that was known at `time` (a later `known_at` says nothing).
    pub retry_succeeded: Option<bool>,
    /// The time after the panic.
    pub aftermath: Aftermath<'a>,
    /// Milliseconds from request to answer, whole, at most a day.
    pub latency_ms: Option<u32>,
    /// Keyed id of the isolate.
    pub isolate: Option<Id>,

    /// What the body is.
    pub format: Format,
    /// Coarse shape class.
    pub coarse: u16,
    /// Sketch of the shape.
    #[serde(with = "sketch_bytes")]
    pub sketch: Sketch,
    /// Keyed id of the content: equal for an exact repeat.
    pub content: Id,
    /// Lexical traits.
    pub traits: Traits,
}

/// What became of a request that did not panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Answer {
    /// All was well: a status below 400, or none (queue workers have none).
    Served,
    /// The service would not have it: a status from 400 to 499.
    Rejected,
    /// The service failed without a panic.
    Failed,
}

impl Answer {
    /// By the status that the client got.
    pub fn of(status: Option<u16>) -> Self {
        match status {
            None | Some(..400) => Self::Served,
            Some(400..500) => Self::Rejected,
            Some(500..) => Self::Failed,
        }
    }
}

/// One request that did not panic, and for how many such requests it stands. Whole by itself: nothing of it is shown, so
/// that it has ids and traits alone, but for the tenant's name.
#[derive(Debug, Clone, PartialEq)]
pub struct OrdinaryRequest {
    /// Keyed id of (tenant, service, sample id): settles the order of equal times.
    pub sample: Id,
    /// Event time.
    pub time: Millis,
    /// Tenant.
    pub tenant: Id,
    /// Its name.
    pub tenant_name: Box<str>,
    /// Service.
    pub service: Id,
    /// Route template (with method).
    pub route: Id,
    /// Payload shape.
    pub shape: ShapeId,
    /// Who sent it.
    pub actor: Actor,
    /// Keyed id of the source's /24 or /48.
    pub prefix: Option<Id>,
    /// Token, if one was presented.
    pub token: Option<TokenUse>,
    /// Keyed id of the user agent's first product name.
    pub agent_family: Option<Id>,
    /// Keyed id of the content type (without parameters).
    pub media_type: Option<Id>,
    /// What the body is.
    pub format: Format,
    /// Lexical traits.
    pub traits: Traits,
    /// What became of it.
    pub answer: Answer,
    /// How many requests it stands for.
    pub one_in: u32,
    /// It was announced (see [`super::expected`]); the judge does not hear of it then.
    pub is_expected: bool,
}

impl OrdinaryRequest {
    /// Puts requests in the order of time.
    pub fn put_in_order(requests: &mut [Self]) {
        requests.sort_by_key(|request| (request.time, request.sample));
    }
}

/// What a batch says of the traffic: panics, and samples of requests without one.
#[derive(Debug, Clone, Default)]
pub struct Heard<'a> {
    /// The panics.
    pub panics: Vec<Observation<'a>>,
    /// The others.
    pub ordinary: Vec<OrdinaryRequest>,
}

impl<'a> From<Vec<Observation<'a>>> for Heard<'a> {
    fn from(panics: Vec<Observation<'a>>) -> Self {
        Self { panics, ordinary: Vec::new() }
    }
}

/// Ordinary requests in the order of time, of which each is taken once.
#[derive(Debug, Clone, Copy)]
pub struct ByTime<'o>(&'o [OrdinaryRequest]);

impl<'o> ByTime<'o> {
    /// These, which are in order.
    pub fn of(requests: &'o [OrdinaryRequest]) -> Self {
        Self(requests)
    }

    /// Takes those before `time` that are left.
    pub fn before(&mut self, time: Millis) -> &'o [OrdinaryRequest] {
        let (due, rest) = self.0.split_at_checked(self.0.partition_point(|it| it.time < time)).unwrap_or((self.0, &[]));
        self.0 = rest;
        due
    }

    /// Takes all that are left.
    pub fn rest(&mut self) -> &'o [OrdinaryRequest] {
        std::mem::take(&mut self.0)
    }
}

impl Observation<'_> {
    /// Whom its service knows: the bearer of a token that was accepted, whatever the client and the network, else the
    /// source prefix.
    pub fn customer(&self) -> Option<Id> {
        let token = self.token.as_ref().filter(|token| token.valid == Some(true)).and_then(|token| token.id);
        token.or(self.source.prefix_id)
    }
}
