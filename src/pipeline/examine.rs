//! One record → what it says: decode, classify, enrich, fingerprint.
//!
//! Reads a record and the [`Context`]; gives [`Observation`]s that borrow from the record, pieces that wait for others,
//! or a refusal with its reason. Holds the first panic fence: a fault of ours costs one record ([`Reason::Internal`]), never the batch. No
//! memory but the [`Memos`], which change the price of an answer and never the answer.

use std::borrow::Cow;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::Context;
use super::classify::{Classified, classify_memoised};
use super::decode::{Decoded, Piece, Refusal, RequestTotal, decode};
use super::enrich::{self, Scopes};
use super::event::{Id, Millis, PanicEvent, Position, RawRecord, Reason, RetryOutcome};
use super::expected::Sent;
use super::fingerprint::{Fingerprint, ShapeMemo, fingerprint};
use super::judge::observe::mix;
use super::keys::Keys;
use super::memo::Memo;
use super::names::NAME_BYTES_MAX;
use super::neutral;
use super::observation::{Actor, Aftermath, Answer, CellKey, Observation, OrdinaryRequest, Source, TokenUse};

/// Path segments that a route keeps when the producer gives no template.
const PATH_SEGMENTS_MAX: usize = 8;

/// Longest agent name that is kept, in bytes.
const AGENT_BYTES_MAX: usize = 40;

/// Longest event id that is kept, in bytes; longer ones are told apart by their hash all the same.
const EVENT_ID_BYTES_MAX: usize = 128;

/// What a worker remembers between records.
#[derive(Debug)]
pub struct Memos {
    messages: Memo<Box<str>, Arc<Classified>>,
    sources: Memo<IpAddr, Source>,
    scopes: Memo<Box<str>, Scopes>,
    shapes: ShapeMemo,
    sites: Memo<Id, Arc<str>>,
}

impl Default for Memos {
    /// Empty memos: some thousand messages, sites and scopes, 65,536 addresses (about 20 MB when full).
    fn default() -> Self {
        Self {
            messages: Memo::new(4_096),
            sources: Memo::new(65_536),
            scopes: Memo::new(4_096),
            shapes: ShapeMemo::default(),
            sites: Memo::new(4_096),
        }
    }
}

/// What one record says.
#[derive(Debug, Default)]
pub struct Examined<'a> {
    /// The panics that it tells of.
    pub observations: Vec<Observation<'a>>,
    /// Pieces of panics that other records tell more of.
    pub parts: Vec<Piece<'a>>,
    /// How many requests there were.
    pub totals: Vec<RequestTotal<'a>>,
    /// Requests that did not panic.
    pub ordinary: Vec<OrdinaryRequest>,
    /// Why it, or an item of it, is refused.
    pub refusal: Option<Refusal>,
}

impl<'a> Examined<'a> {
    /// The observation of a record that tells of one panic alone.
    ///
    /// Errors: why it is refused; `missing_key` for a record that tells of no panic by itself.
    pub fn into_observation(self) -> Result<Observation<'a>, Refusal> {
        let none = || Refusal { reason: Reason::MissingKey, detail: "the record: it tells of no panic".to_owned() };
        match self.refusal {
            Some(refusal) => Err(refusal),
            None => self.observations.into_iter().next().ok_or_else(none),
        }
    }
}

/// What one record says, or why it is refused; a record may say nothing.
///
/// Some microseconds a record of 1.1 kB; see `tests/bench`.
pub fn examine<'a>(context: &Context, memos: &mut Memos, record: RawRecord<'a>) -> Examined<'a> {
    fenced(memos, |memos| {
        let Decoded { pieces, refusal, .. } = decode(context.feeds.of(record.position.topic), record);
        let mut examined = Examined { refusal, ..Examined::default() };
        let joins = context.gathering.join_wait_millis > 0;
        for piece in pieces {
            match piece {
                Piece::Event(event) => examined.observations.push(observation(context, memos, record.position, event)),
                Piece::Awaiting { event, .. } if !joins => {
                    examined.observations.push(observation(context, memos, record.position, event));
                }
                Piece::Total(total) => examined.totals.push(total),
                Piece::Sample { request, one_in } => {
                    examined.ordinary.push(ordinary(context, memos, &request, one_in));
                }
                part => examined.parts.push(part),
            }
        }
        examined
    })
    .unwrap_or_else(|refusal| Examined { refusal: Some(refusal), ..Examined::default() })
}

/// What an event says that was put together of several records; `position` is that of the first.
///
/// Errors: a fault of ours.
pub(super) fn observe_event<'a>(
    context: &Context,
    memos: &mut Memos,
    position: Position<'a>,
    event: PanicEvent<'a>,
) -> Result<Observation<'a>, Refusal> {
    fenced(memos, |memos| observation(context, memos, position, event))
}

/// The fence: a panic of ours becomes a refusal, and the memos, which it may have left in a bad state, are new.
fn fenced<T>(memos: &mut Memos, work: impl FnOnce(&mut Memos) -> T) -> Result<T, Refusal> {
    let attempt = catch_unwind(AssertUnwindSafe(|| work(&mut *memos)));
    attempt.map_err(|_| {
        *memos = Memos::default();
        own_fault()
    })
}

/// The refusal of a record that met a fault of ours.
pub(super) fn own_fault() -> Refusal {
    let detail = "a fault of panicsift's own; the record is kept, please report it".to_owned();
    Refusal { reason: Reason::Internal, detail }
}

fn observation<'a>(
    context: &Context,
    memos: &mut Memos,
    position: Position<'a>,
    event: PanicEvent<'a>,
) -> Observation<'a> {
    let panic = classify_memoised(&context.panics, &mut memos.messages, &event.panic.message);
    let sender = Sender::of(context, memos, &event);
    let print = fingerprint(&context.keys, &mut memos.shapes, &event);
    let site = site(&context.keys, &mut memos.sites, &event, &panic.masked);
    let mut observation = observe(&context.keys, position, event, Findings { panic, sender, print, site });
    observation.expected = context.expected.reason(&observation);
    observation.idempotent = context.operations.declared.covers(&observation);
    observation
}

/// What a request that did not panic says; its names end here.
fn ordinary(context: &Context, memos: &mut Memos, request: &PanicEvent<'_>, one_in: u32) -> OrdinaryRequest {
    let keys = &context.keys;
    let Sender { source, token, agent_family, .. } = Sender::of(context, memos, request);
    let print = fingerprint(keys, &mut memos.shapes, request);
    let route = route(request);
    let service = shown(Cow::Borrowed(&request.service), NAME_BYTES_MAX);
    let sent = Sent { time: request.time, source: &source, token: token.as_ref(), service: &service, route: &route };
    OrdinaryRequest {
        sample: keys.names(&[request.tenant.as_bytes(), request.service.as_bytes(), request.event_id.as_bytes()]),
        time: request.time,
        tenant: keys.name(request.tenant.as_bytes()),
        tenant_name: shown(Cow::Borrowed(&request.tenant), NAME_BYTES_MAX).into(),
        service: keys.name(request.service.as_bytes()),
        route: keys.name(route.as_bytes()),
        shape: print.shape,
        actor: actor(token.as_ref(), &source, agent_family),
        prefix: source.prefix_id,
        is_expected: context.expected.reason_of(&sent).is_some(),
        token,
        agent_family,
        media_type: request.request.content_type.as_ref().map(|whole| media_type(keys, whole)),
        format: print.format,
        traits: print.traits,
        answer: Answer::of(request.status),
        one_in,
    }
}

/// Who sent it.
struct Sender<'a> {
    source: Source,
    token: Option<TokenUse>,
    agent_name: Cow<'a, str>,
    agent_family: Option<Id>,
}

impl<'a> Sender<'a> {
    fn of(context: &Context, memos: &mut Memos, event: &PanicEvent<'a>) -> Self {
        let keys = &context.keys;
        let source = enrich::source(keys, &mut memos.sources, &*context.lookup, event.client.ip);
        let token = event.token.as_ref().map(|facts| enrich::token(keys, &context.scopes, &mut memos.scopes, facts));
        let agent_name = agent_name(event.client.user_agent.as_ref());
        let agent_family = event.client.user_agent.as_ref().map(|_| keys.name(agent_name.as_bytes()));
        Self { source: enrich::hinted(source, &event.client), token, agent_name, agent_family }
    }
}

/// What the stages found.
struct Findings<'a> {
    panic: Arc<Classified>,
    sender: Sender<'a>,
    print: Fingerprint,
    site: (Id, Arc<str>),
}

fn observe<'a>(keys: &Keys, position: Position<'a>, event: PanicEvent<'a>, found: Findings<'a>) -> Observation<'a> {
    let Findings { panic, sender, print, site: (site, site_text) } = found;
    let Sender { source, token, agent_name, agent_family } = sender;
    let route = route(&event);
    let id = |text: &Option<Cow<'a, str>>| text.as_ref().map(|text| keys.name(text.as_bytes()));
    let media_type = event.request.content_type.as_ref().map(|whole| media_type(keys, whole));
    let service = keys.name(event.service.as_bytes());
    let tenant = keys.name(event.tenant.as_bytes());
    let cell = CellKey { tenant, service, site, route: keys.name(route.as_bytes()), shape: print.shape };
    let (retry_succeeded, aftermath) = (retry_succeeded(&event), aftermath(&event));
    Observation {
        position,
        event: keys.names(&[event.tenant.as_bytes(), event.service.as_bytes(), event.event_id.as_bytes()]),
        event_id: shown(event.event_id, EVENT_ID_BYTES_MAX),
        time: event.time,
        clock_replaced: event.clock_replaced,
        cell,
        actor: actor(token.as_ref(), &source, agent_family),
        tenant: shown(event.tenant, NAME_BYTES_MAX),
        service: shown(event.service, NAME_BYTES_MAX),
        expected: None,
        has_template: event.endpoint.is_some(),
        idempotent: false,
        route,
        site: site_text,
        line: event.panic.line,
        release: event.release.clone().map(|release| shown(release, NAME_BYTES_MAX)),
        panic,
        recovery: event.recovery,
        status: event.status,
        source,
        token,
        agent: id(&event.client.user_agent),
        agent_family,
        agent_name,
        media_type,
        idempotency: event.request.idempotency_key.as_ref().map(|key| keys.idempotency(key.as_bytes())),
        attempt: event.request.attempt.unwrap_or(1).max(1),
        retry_succeeded,
        aftermath,
        latency_ms: event.latency_ms.and_then(whole_millis),
        isolate: id(&event.isolate),
        format: print.format,
        coarse: print.coarse,
        sketch: print.sketch,
        content: print.content,
        traits: print.traits,
    }
}

/// A valid token with client and network stands for its bearer, so that whoever stole it is told from its owner; without
/// one the source prefix does.
pub fn actor(token: Option<&TokenUse>, source: &Source, agent_family: Option<Id>) -> Actor {
    match token {
        Some(TokenUse { id: Some(id), valid: Some(true), .. }) => {
            let network = Id(source.network.asn.map_or(0, u64::from));
            Actor::Token(mix(mix(*id, agent_family.unwrap_or_default()), network))
        }
        _ => source.prefix_id.map_or(Actor::Unknown, Actor::Prefix),
    }
}

/// The panic site: its id and its words. The message is masked, lines are left out (they move with each release).
fn site(keys: &Keys, memo: &mut Memo<Id, Arc<str>>, event: &PanicEvent<'_>, masked: &str) -> (Id, Arc<str>) {
    let file = event.panic.file.as_deref().unwrap_or_default();
    let function = own_function(event).unwrap_or_default();
    let parts = [event.service.as_bytes(), file.as_bytes(), function.as_bytes(), masked.as_bytes()];
    let id = keys.names(&parts);
    let text = memo.get(&id).unwrap_or_else(|| {
        let words = match (function, file) {
            ("", "") => format!("unknown site: {masked}"),
            ("", file) => file.to_owned(),
            (function, "") => function.to_owned(),
            (function, file) => format!("{function} ({file})"),
        };
        memo.put(id, neutral::line(&words, NAME_BYTES_MAX).into())
    });
    (id, text)
}

/// The innermost frame of the service's own code: of the crate that the panicking file belongs to where the path says
/// so (`storefront/src/…`), else the first frame that is not the standard library's or a runtime's.
fn own_function<'e>(event: &'e PanicEvent<'_>) -> Option<&'e str> {
    const FOREIGN: [&str; 8] = ["core", "std", "alloc", "tokio", "rt", "futures", "wasm_bindgen", "rust_begin_unwind"];
    let own = event.panic.file.as_deref().and_then(|file| file.split_once("/src/")).map(|(path, _)| {
        let name = path.rsplit('/').next().unwrap_or(path);
        name.replace('-', "_")
    });
    let krate = |frame: &'e str| frame.trim_start_matches('<').split("::").next().unwrap_or(frame);
    let frames = || event.panic.backtrace.iter().map(AsRef::as_ref);
    own.and_then(|own| frames().find(|frame| krate(frame) == own))
        .or_else(|| frames().find(|frame| !FOREIGN.contains(&krate(frame))))
}

/// Method and template; method and masked path where the producer gives no template.
fn route<'a>(event: &PanicEvent<'a>) -> Cow<'a, str> {
    let method = event.method.as_deref().unwrap_or_default();
    match &event.endpoint {
        Some(endpoint) if method.is_empty() || endpoint.starts_with(method) => shown(endpoint.clone(), NAME_BYTES_MAX),
        Some(endpoint) => shown(Cow::Owned(format!("{method} {endpoint}")), NAME_BYTES_MAX),
        None => {
            let path = event.path.as_deref().unwrap_or_default();
            let segments = path.split('/').take(PATH_SEGMENTS_MAX).map(masked_segment);
            let masked = segments.collect::<Vec<_>>().join("/");
            shown(Cow::Owned(format!("{method} {masked}").trim().to_owned()), NAME_BYTES_MAX)
        }
    }
}

/// A path segment that looks like a value stands for any value.
fn masked_segment(segment: &str) -> &str {
    let plain = segment.len() <= 32 && segment.bytes().all(|b| b.is_ascii_lowercase() || b"-_.".contains(&b));
    let version = segment.strip_prefix('v').is_some_and(|rest| rest.len() <= 2 && rest.parse::<u8>().is_ok());
    if plain || version { segment } else { "{}" }
}

/// The user agent's first product name, up to a slash or a space.
fn agent_name<'a>(agent: Option<&Cow<'a, str>>) -> Cow<'a, str> {
    let first = |agent: &str| agent.find(['/', ' ']).unwrap_or(agent.len());
    match agent {
        None => Cow::Borrowed(""),
        Some(Cow::Borrowed(agent)) => neutral::line(agent.get(..first(agent)).unwrap_or(agent), AGENT_BYTES_MAX),
        Some(Cow::Owned(agent)) => {
            Cow::Owned(neutral::line(agent.get(..first(agent)).unwrap_or(agent), AGENT_BYTES_MAX).into_owned())
        }
    }
}

/// The content type without its parameters (a multipart boundary differs in every request), in lower case.
fn media_type(keys: &Keys, content_type: &str) -> Id {
    let bare = content_type.split(';').next().unwrap_or_default().trim();
    if bare.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return keys.name(bare.to_ascii_lowercase().as_bytes());
    }
    keys.name(bare.as_bytes())
}

/// What was known of the retry when the event was sent; later knowledge says nothing about it.
fn retry_succeeded(event: &PanicEvent<'_>) -> Option<bool> {
    let retry = event.retry.as_ref()?;
    if retry.known_at.is_some_and(|known_at| known_at > event.time) {
        return None;
    }
    match RetryOutcome::told(&retry.outcome) {
        RetryOutcome::Succeeded => Some(true),
        RetryOutcome::Failed => Some(false),
        RetryOutcome::NotRetried | RetryOutcome::Unknown => None,
    }
}

/// What the producer says of the time after the panic.
fn aftermath<'a>(event: &PanicEvent<'a>) -> Aftermath<'a> {
    let name = |text: &Option<Cow<'a, str>>| text.clone().map(|text| shown(text, NAME_BYTES_MAX));
    let counted = |of: fn(&str) -> bool| {
        let effects = event.side_effects.as_ref()?.iter().filter(|(kind, _)| of(kind));
        Some(effects.fold(0, |sum: u64, (_, count)| sum.saturating_add(*count)))
    };
    Aftermath {
        handled: event.handled,
        boundary: name(&event.boundary),
        recovery_latency_ms: event.recovery_latency_ms.and_then(whole_millis),
        retry: event.retry.as_ref().map_or(RetryOutcome::Unknown, |retry| RetryOutcome::told(&retry.outcome)),
        n_side_effects: counted(|kind| !opens_breaker(kind)),
        n_breakers_opened: counted(opens_breaker).unwrap_or(0),
        region: name(&event.region),
    }
}

/// Whether this kind of side effect is a circuit breaker that opened, which is no change of the service's data.
fn opens_breaker(kind: &str) -> bool {
    matches!(kind, "circuit_breaker_open" | "circuit_open" | "breaker_open")
}

/// Whole milliseconds, at most a day.
fn whole_millis(millis: f64) -> Option<u32> {
    #[expect(clippy::cast_precision_loss, reason = "a day in milliseconds is far below 2^53")]
    let day = Millis::DAY as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=86,400,000 before")]
    millis.is_finite().then(|| millis.clamp(0.0, day).round() as u32)
}

/// A text of the event as it may be shown and kept: one printable line, bounded.
pub(super) fn shown(text: Cow<'_, str>, bytes_max: usize) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => neutral::line(text, bytes_max),
        Cow::Owned(text) => Cow::Owned(neutral::line(&text, bytes_max).into_owned()),
    }
}
