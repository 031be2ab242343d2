//! One cell: the mergeable summary of all events that share a [`CellKey`](super::observation::CellKey).
//!
//! Reads observations, gives counts, bounded samples and times. `add` and `merge` are sums, minima, maxima and
//! bottom-k sets, so the content is a function of the multiset of events: any order and any partition gives the same
//! bytes. A cell holds ids, never names: a table elsewhere says what an id is called ([`text_id`] makes the ids of
//! those texts that come without one). It holds source addresses and event ids in plain text, as bounded samples for
//! the people who look into an alert, and no value of a payload.
//!
//! Limits: see the constants; at most some 6 kB, typically below 2 kB. `add` costs well under a microsecond.

use std::hash::Hasher;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

use super::event::{Id, Millis, RecoveryOutcome};
use super::fingerprint::{Format, Parse, Sketch};
use super::observation::Observation;
use super::sample::{KeyedCounts, KeyedSet, Latencies, Minutes};
use super::short_map::ShortMap;

/// Source prefixes kept exactly; beyond it their number is an estimate.
/// A compile-time size, as are the next four: stored cells are only mergeable when all of them agree.
pub const PREFIXES_KEPT: usize = 16;
/// Distinct addresses, actors and contents kept: the estimate above has a standard error of 13 %.
pub const IDS_KEPT: usize = 64;
/// Addresses kept in plain text, for the analyst.
pub const ADDRESSES_SHOWN: usize = 16;
/// Events kept as examples.
pub const EXAMPLES_KEPT: usize = 3;
/// Bytes of a kept event id or topic: a UUID has 36, the longest Kafka topic 249 (cut to this).
pub const EXAMPLE_TEXT_BYTES_MAX: usize = 128;
/// Number of mark bits that are counted; all bits of `Traits::marks`.
const MARK_BITS: usize = 16;

/// An event to look at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CellExample {
    /// The producer's event id, at most [`EXAMPLE_TEXT_BYTES_MAX`] bytes.
    pub event_id: String,
    /// Topic or file, at most [`EXAMPLE_TEXT_BYTES_MAX`] bytes.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
}

/// The summary. Counts are events; `n` less a counter's total is the number of events without that fact. The first four
/// fields stay the first four: [`super::sightings`] reads no further.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    /// Events.
    pub n: u64,
    /// Earliest event time; `i64::MAX` in an empty cell.
    pub first: Millis,
    /// Latest event time; `i64::MIN` in an empty cell.
    pub last: Millis,
    /// When.
    pub minutes: Minutes,
    /// Source prefixes (keyed ids).
    pub prefixes: KeyedSet<PREFIXES_KEPT>,
    /// Source addresses (keyed ids).
    pub addresses: KeyedSet<IDS_KEPT>,
    /// A sample of addresses in plain text: those with the smallest keyed ids.
    pub shown: ShortMap<Id, IpAddr>,
    /// Customers: token or prefix ids; unknown ones are not counted.
    pub actors: KeyedSet<IDS_KEPT>,
    /// Distinct exact contents.
    pub contents: KeyedSet<IDS_KEPT>,
    /// By autonomous system.
    pub asns: KeyedCounts<16>,
    /// By country: the two letters as a big-endian number (see [`country_code`]).
    pub countries: KeyedCounts<16>,
    /// By release ([`text_id`]).
    pub releases: KeyedCounts<8>,
    /// By scope set ([`text_id`] of the joined scopes); events without a token are not counted.
    pub scopes: KeyedCounts<8>,
    /// By token validity: accepted, refused, not said.
    pub token_validity: [u64; 3],
    /// By user agent family.
    pub agents: KeyedCounts<8>,
    /// By panic class ([`text_id`] of the class id).
    pub classes: KeyedCounts<8>,
    /// By HTTP status.
    pub statuses: KeyedCounts<8>,
    /// By content type.
    pub media_types: KeyedCounts<8>,
    /// By recovery outcome, in the order of `RecoveryOutcome`.
    pub recoveries: [u64; 6],
    /// By how the body read, in the order of `Parse`.
    pub parses: [u64; 4],
    /// By mark bit, bit 0 first.
    pub marks: [u64; MARK_BITS],
    /// Events with an idempotency key.
    pub n_idempotent: u64,
    /// Events whose attempt was not the first.
    pub n_repeated_attempts: u64,
    /// Events whose retry is known to have succeeded.
    pub n_retry_succeeded: u64,
    /// Announced events, by their reason ([`text_id`]).
    pub expected: KeyedCounts<8>,
    /// Consequences of earlier panics.
    pub n_secondary: u64,
    /// Events whose clock was replaced by the broker's.
    pub n_clock_replaced: u64,
    /// How long the requests took.
    pub latencies: Latencies,
    /// The events with the smallest keyed event ids.
    pub examples: ShortMap<Id, CellExample>,
    /// Sketch of the shape; in a cell of many shapes the smallest of each slot.
    #[serde(with = "sketch_bytes")]
    pub sketch: Sketch,
    /// Coarse class (the smallest seen).
    pub coarse: u16,
    /// What the body is (the smallest seen, in the order of `Format`).
    pub format: Option<Format>,
    /// For overflow cells only: the sampling levels of their block or service (see [`super::cells`]).
    pub fold: Fold,
}

/// What an overflow cell remembers about the folding that filled it; merges by maximum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Fold {
    /// Sampling level: ids with this many leading zero bits stand for themselves.
    pub level: u8,
    /// How often the tenant's share for one service was halved.
    pub halvings: u8,
}

impl Default for Cell {
    fn default() -> Self {
        Self {
            n: 0,
            first: Millis(i64::MAX),
            last: Millis(i64::MIN),
            minutes: Minutes::default(),
            prefixes: KeyedSet::default(),
            addresses: KeyedSet::default(),
            shown: ShortMap::default(),
            actors: KeyedSet::default(),
            contents: KeyedSet::default(),
            asns: KeyedCounts::default(),
            countries: KeyedCounts::default(),
            releases: KeyedCounts::default(),
            scopes: KeyedCounts::default(),
            token_validity: [0; 3],
            agents: KeyedCounts::default(),
            classes: KeyedCounts::default(),
            statuses: KeyedCounts::default(),
            media_types: KeyedCounts::default(),
            recoveries: [0; 6],
            parses: [0; 4],
            marks: [0; MARK_BITS],
            n_idempotent: 0,
            n_repeated_attempts: 0,
            n_retry_succeeded: 0,
            expected: KeyedCounts::default(),
            n_secondary: 0,
            n_clock_replaced: 0,
            latencies: Latencies::default(),
            examples: ShortMap::default(),
            sketch: Sketch([u8::MAX; 64]),
            coarse: u16::MAX,
            format: None,
            fold: Fold::default(),
        }
    }
}

impl Cell {
    /// Counts an event.
    pub fn add(&mut self, event: &Observation<'_>) {
        self.n = self.n.saturating_add(1);
        self.first = self.first.min(event.time);
        self.last = self.last.max(event.time);
        self.minutes.add(event.time);
        self.add_source(event);
        self.add_request(event);
        self.add_fault(event);
        if let Some(example) = room_for(&self.examples, event.event, EXAMPLES_KEPT).then(|| CellExample {
            event_id: cut(&event.event_id),
            topic: cut(event.position.topic),
            partition: event.position.partition,
            offset: event.position.offset,
        }) {
            keep_example(&mut self.examples, event.event, example);
        }
        self.add_shape(&event.sketch, event.coarse, Some(event.format));
    }

    fn add_source(&mut self, event: &Observation<'_>) {
        let source = &event.source;
        if let Some(prefix) = source.prefix_id {
            self.prefixes.insert(prefix);
        }
        if let Some(id) = source.address_id {
            self.addresses.insert(id);
            if let Some(address) = source.address
                && room_for(&self.shown, id, ADDRESSES_SHOWN)
            {
                keep_smallest(&mut self.shown, id, address, ADDRESSES_SHOWN);
            }
        }
        if let Some(id) = event.customer() {
            self.actors.insert(id);
        }
        if let Some(asn) = source.network.asn {
            self.asns.add(u64::from(asn));
        }
        if let Some(letters) = source.network.country {
            self.countries.add(country_code(letters));
        }
        if let Some(token) = &event.token {
            self.scopes.add(text_id(event.cell.tenant, &token.scopes).0);
            let slot = match token.valid {
                Some(true) => 0,
                Some(false) => 1,
                None => 2,
            };
            bump(&mut self.token_validity, slot);
        }
        if let Some(family) = event.agent_family {
            self.agents.add(family.0);
        }
    }

    fn add_request(&mut self, event: &Observation<'_>) {
        self.contents.insert(event.content);
        if let Some(id) = event.media_type {
            self.media_types.add(id.0);
        }
        bump(&mut self.parses, parse_slot(event.traits.parse));
        let mut marks = event.traits.marks;
        while marks != 0 {
            bump(&mut self.marks, usize::try_from(marks.trailing_zeros()).unwrap_or(MARK_BITS));
            marks &= marks - 1;
        }
        self.n_idempotent = self.n_idempotent.saturating_add(u64::from(event.idempotency.is_some()));
        self.n_repeated_attempts = self.n_repeated_attempts.saturating_add(u64::from(event.attempt > 1));
        self.n_retry_succeeded = self.n_retry_succeeded.saturating_add(u64::from(event.retry_succeeded == Some(true)));
        if let Some(ms) = event.latency_ms {
            self.latencies.add(ms);
        }
        if let Some(reason) = &event.expected {
            self.expected.add(text_id(event.cell.tenant, reason).0);
        }
    }

    fn add_fault(&mut self, event: &Observation<'_>) {
        if let Some(release) = &event.release {
            self.releases.add(text_id(event.cell.tenant, release).0);
        }
        self.classes.add(text_id(event.cell.tenant, &event.panic.class).0);
        if let Some(status) = event.status {
            self.statuses.add(u64::from(status));
        }
        bump(&mut self.recoveries, recovery_slot(event.recovery));
        self.n_secondary = self.n_secondary.saturating_add(u64::from(event.panic.secondary));
        self.n_clock_replaced = self.n_clock_replaced.saturating_add(u64::from(event.clock_replaced));
    }

    fn add_shape(&mut self, sketch: &Sketch, coarse: u16, format: Option<Format>) {
        for (slot, new) in self.sketch.0.iter_mut().zip(sketch.0) {
            *slot = (*slot).min(new);
        }
        self.coarse = self.coarse.min(coarse);
        self.format = match (self.format, format) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }

    /// Adds all of another cell.
    pub fn merge(&mut self, other: &Self) {
        self.n = self.n.saturating_add(other.n);
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.minutes.merge(&other.minutes);
        self.prefixes.merge(&other.prefixes);
        self.addresses.merge(&other.addresses);
        for (id, address) in other.shown.iter() {
            keep_smallest(&mut self.shown, *id, *address, ADDRESSES_SHOWN);
        }
        self.actors.merge(&other.actors);
        self.contents.merge(&other.contents);
        self.asns.merge(&other.asns);
        self.countries.merge(&other.countries);
        self.releases.merge(&other.releases);
        self.scopes.merge(&other.scopes);
        self.agents.merge(&other.agents);
        self.classes.merge(&other.classes);
        self.statuses.merge(&other.statuses);
        self.media_types.merge(&other.media_types);
        add_all(&mut self.token_validity, &other.token_validity);
        add_all(&mut self.recoveries, &other.recoveries);
        add_all(&mut self.parses, &other.parses);
        add_all(&mut self.marks, &other.marks);
        self.n_idempotent = self.n_idempotent.saturating_add(other.n_idempotent);
        self.n_repeated_attempts = self.n_repeated_attempts.saturating_add(other.n_repeated_attempts);
        self.n_retry_succeeded = self.n_retry_succeeded.saturating_add(other.n_retry_succeeded);
        self.n_secondary = self.n_secondary.saturating_add(other.n_secondary);
        self.expected.merge(&other.expected);
        self.n_clock_replaced = self.n_clock_replaced.saturating_add(other.n_clock_replaced);
        self.latencies.merge(&other.latencies);
        for (id, example) in other.examples.iter() {
            if room_for(&self.examples, *id, EXAMPLES_KEPT) {
                keep_example(&mut self.examples, *id, example.clone());
            }
        }
        self.add_shape(&other.sketch, other.coarse, other.format);
        self.fold.level = self.fold.level.max(other.fold.level);
        self.fold.halvings = self.fold.halvings.max(other.fold.halvings);
    }

    /// Events with a certain recovery outcome.
    pub fn recovered(&self, outcome: RecoveryOutcome) -> u64 {
        self.recoveries.get(recovery_slot(outcome)).copied().unwrap_or(0)
    }

    /// Events whose body read in a certain way.
    pub fn parsed(&self, parse: Parse) -> u64 {
        self.parses.get(parse_slot(parse)).copied().unwrap_or(0)
    }
}

/// The id under which a cell counts a text that comes without an id: release, scope set, panic class. Keyed by the
/// tenant's id, which is itself a keyed hash that no outsider knows (SipHash-1-3, some 15 ns).
pub fn text_id(tenant: Id, text: &str) -> Id {
    // The second half of the key only keeps these ids apart from other uses of the tenant's id.
    const USE: u64 = u64::from_be_bytes(*b"celltext");
    let mut hasher = SipHasher13::new_with_keys(tenant.0, USE);
    hasher.write(text.as_bytes());
    Id(hasher.finish())
}

/// The number under which a country is counted: its two letters, the first one in the higher byte.
pub fn country_code(letters: [u8; 2]) -> u64 {
    u64::from(u16::from_be_bytes(letters))
}

/// The letters of a [`country_code`]; `None` for a number that is none.
pub fn country_letters(code: u64) -> Option<[u8; 2]> {
    u16::try_from(code).ok().map(u16::to_be_bytes)
}

fn recovery_slot(outcome: RecoveryOutcome) -> usize {
    match outcome {
        RecoveryOutcome::Recovered => 0,
        RecoveryOutcome::Degraded => 1,
        RecoveryOutcome::Escaped => 2,
        RecoveryOutcome::Aborted => 3,
        RecoveryOutcome::SuspectedAbort => 4,
        RecoveryOutcome::Unknown => 5,
    }
}

fn parse_slot(parse: Parse) -> usize {
    match parse {
        Parse::Sound => 0,
        Parse::CutShort => 1,
        Parse::Broken => 2,
        Parse::Limited => 3,
    }
}

fn bump(counts: &mut [u64], slot: usize) {
    if let Some(count) = counts.get_mut(slot) {
        *count = count.saturating_add(1);
    }
}

fn add_all(counts: &mut [u64], others: &[u64]) {
    for (count, other) in counts.iter_mut().zip(others) {
        *count = count.saturating_add(*other);
    }
}

/// Whether `id` would enter (or already stands in) a bottom-k map of `k` entries.
fn room_for<V>(kept: &ShortMap<Id, V>, id: Id, k: usize) -> bool {
    kept.len() < k || kept.last_key().is_some_and(|last| id <= *last)
}

/// Inserts into a bottom-k map. Where one id comes with two values, the smaller value stays: order must not matter.
fn keep_smallest<V: Ord>(kept: &mut ShortMap<Id, V>, id: Id, value: V, k: usize) {
    if let Some(old) = kept.get_mut(&id) {
        if value < *old {
            *old = value;
        }
    } else if room_for(kept, id, k) {
        if kept.len() >= k {
            kept.pop_last();
        }
        kept.insert(id, value);
    }
}

fn keep_example(kept: &mut ShortMap<Id, CellExample>, id: Id, example: CellExample) {
    keep_smallest(kept, id, example, EXAMPLES_KEPT);
}

/// The longest beginning of `text` that fits, cut between characters.
fn cut(text: &str) -> String {
    let end = text.floor_char_boundary(EXAMPLE_TEXT_BYTES_MAX.min(text.len()));
    text.get(..end).unwrap_or_default().to_owned()
}

/// Sketches as bytes.
pub(super) mod sketch_bytes {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Sketch;

    pub(in crate::pipeline) fn serialize<S: Serializer>(sketch: &Sketch, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(&sketch.0)
    }

    pub(in crate::pipeline) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Sketch, D::Error> {
        let bytes = Vec::<u8>::deserialize(from)?;
        let n_bytes = bytes.len();
        let slots = bytes.try_into().map_err(|_| D::Error::custom(format!("a sketch of {n_bytes} bytes, not 64")))?;
        Ok(Sketch(slots))
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) mod testing;
