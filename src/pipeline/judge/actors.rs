//! What one sender did: bounded counters and the ledger of the cells it touched.
//!
//! Counters are whole numbers. They are halved when an actor has sent [`HALVE_AT`] events since the last halving, so
//! that what it does now outweighs what it did long ago (a token that was stolen is judged from the change on), and
//! so that no counter overflows. Nothing here reads a payload or a name.

use serde::{Deserialize, Serialize};

use super::normal::Crowd;
use crate::pipeline::event::{Id, Millis};
use crate::pipeline::observation::CellKey;
use crate::pipeline::short_map::{ShortMap, grow};

/// Events after which all counters are halved.
const HALVE_AT: u32 = 256;
/// Cells in a ledger. Beyond it, cells are counted and not named.
const LEDGER_MAX: usize = 64;
/// Hundredths of the doublings from 1 to 1 + n, by n: whole numbers, the same on every machine.
const CENTIDOUBLINGS: [u32; 16] = [0, 100, 158, 200, 232, 258, 281, 300, 317, 332, 346, 358, 370, 381, 391, 400];
/// Neighbourhoods of one kind that an actor is remembered in.
const PLACES_MAX: usize = 6;

/// What an event was surprising for. The discriminant is the index of its sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Aspect {
    /// A shape that nobody else sends to this route.
    Shape,
    /// A field that nobody else sends to this route.
    Path,
    /// A kind of value that nobody else has at this field.
    Kind,
    /// A size that nobody else has at this field.
    Size,
    /// Character classes that nobody else has at this field.
    Classes,
    /// A pattern of characters that nobody else has at this field.
    Pattern,
    /// A lexical mark that nobody else's requests to this route bear.
    Mark,
    /// A way of not parsing that nobody else's bodies here have.
    Parse,
    /// A content type that nobody else sends here.
    Media,
    /// A client that nobody else uses here with this content type.
    Client,
    /// A way of (not) presenting a token that nobody else has here.
    Access,
    /// A panic site of this route that nobody else reaches.
    Site,
}

/// Number of [`Aspect`]s.
pub const ASPECTS: usize = 12;

/// One cell in an actor's ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Touch {
    /// Events.
    pub events: u32,
    /// First event.
    pub first: Millis,
    /// Last event.
    pub last: Millis,
    /// Surprise of these events together, in hundredths of a bit.
    pub centibits: u32,
    /// Client family and content type of the latest event, mixed.
    pub family: Id,
}

/// A small set of ids, first come, bounded.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FewIds(Vec<Id>);

impl FewIds {
    /// Adds an id while there is room.
    pub fn add(&mut self, id: Id) {
        if self.0.len() < PLACES_MAX && !self.0.contains(&id) {
            grow(&mut self.0);
            self.0.push(id);
        }
    }

    /// The ids.
    pub fn iter(&self) -> impl Iterator<Item = Id> + '_ {
        self.0.iter().copied()
    }
}

/// Counters of one actor.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Conduct {
    /// First event.
    pub first: Millis,
    /// Last event.
    pub last: Millis,
    /// Events ever.
    pub events_ever: u64,
    /// Events (halved with the rest).
    pub events: u32,
    /// Surprise by [`Aspect`], first time only, in hundredths of a bit.
    pub surprise: [u32; ASPECTS],
    /// Events that brought something of 3 bits or more for the first time.
    pub discoveries: u32,
    /// Events with something that nobody else sends, repeated or not.
    pub odd: u32,
    /// Events whose lexical marks are not usual at their route.
    pub marked: u32,
    /// Events whose content this actor had not sent before.
    pub fresh: u32,
    /// Events that are the first of this actor in their cell.
    pub new_cells: u32,
    /// Exact repeats with attempt above 1 or the same idempotency key: genuine retries.
    pub retries: u32,
    /// Events whose idempotency key came with other content before, or from another prefix.
    pub reused_keys: u32,
    /// For each numbered record that it asked for, but the first: doublings of the records near it that were asked for,
    /// hundredths.
    pub walked: u32,
    /// Events with a token that the service refused.
    pub refused: u32,
    contents: [u64; 8],
    /// The numbered records that it asked for.
    records: Crowd,
    /// Distinct networks.
    pub networks: Crowd,
    /// Distinct client families.
    pub agents: Crowd,
    /// Distinct prefixes.
    pub prefixes: Crowd,
    /// Distinct routes.
    pub routes: Crowd,
    /// Distinct sites.
    pub sites: Crowd,
    /// Distinct tokens that the service refused.
    pub refused_tokens: Crowd,
    /// Distinct tokens, accepted or not.
    pub tokens: Crowd,
    /// The place of the token that it uses, where the service accepted it.
    pub token: Option<Id>,
    /// The client family of its first event; 0 where none is told.
    pub client: Id,
    /// Client families with content type and route.
    pub families: FewIds,
    /// Networks, as ids.
    pub asns: FewIds,
    /// Addresses.
    pub addresses: FewIds,
    /// The cells it touched.
    pub ledger: ShortMap<CellKey, Touch>,
}

impl Conduct {
    /// The network of its first event; 0 where none is known.
    pub fn network(&self) -> Id {
        self.asns.iter().next().unwrap_or_default()
    }

    /// Adds surprise to the sum of an [`Aspect`].
    pub fn add_surprise_at(&mut self, sum: u8, centibits: u16) {
        if let Some(sum) = self.surprise.get_mut(usize::from(sum)) {
            *sum = sum.saturating_add(u32::from(centibits));
        }
    }

    /// Takes surprise back.
    pub fn refund(&mut self, sum: u8, centibits: u16) {
        if let Some(sum) = self.surprise.get_mut(usize::from(sum)) {
            *sum = sum.saturating_sub(u32::from(centibits));
        }
    }

    /// Sum of some aspects, in bits.
    pub fn bits(&self, aspects: &[Aspect]) -> f64 {
        let centibits: u32 = aspects
            .iter()
            .filter_map(|aspect| self.surprise.get(usize::from(*aspect as u8)))
            .fold(0, |a, b| a.saturating_add(*b));
        f64::from(centibits) / 100.0
    }

    /// Exact repeats.
    pub fn repeats(&self) -> u32 {
        self.events.saturating_sub(self.fresh)
    }

    /// Share of exact repeats among the events after the first, hundredths.
    pub fn centirepeats(&self) -> i32 {
        let share = self.repeats().saturating_mul(100) / self.events.saturating_sub(1).max(1);
        i32::try_from(share.min(100)).unwrap_or(100)
    }

    /// All surprise, in hundredths of a bit.
    pub fn centibits(&self) -> u32 {
        self.surprise.iter().fold(0, |sum, part| sum.saturating_add(*part))
    }

    /// Notes a content; whether it is new for this actor (a 512-bit set: a few per cent of new ones pass as repeats).
    pub fn note_content(&mut self, content: Id) -> bool {
        let slot = usize::try_from((content.0 >> 32) & 7).unwrap_or(0);
        let bit = 1 << (content.0 & 63);
        self.contents.get_mut(slot).is_some_and(|word| {
            let new = *word & bit == 0;
            *word |= bit;
            new
        })
    }

    /// Notes that it asked for a numbered record near which `n_near` others (15 at most) were asked for. The first record
    /// is its own affair, and one that it asks for again (or that looks like it in a set of 64 bits) is no step.
    pub fn note_record(&mut self, record: Id, n_near: u32) {
        let is_first = self.records == Crowd::default();
        let is_new = self.records.add(u32::try_from(record.0 >> 32).unwrap_or(0));
        if is_new && !is_first {
            let step = usize::try_from(n_near).ok().and_then(|n_near| CENTIDOUBLINGS.get(n_near));
            self.walked = self.walked.saturating_add(step.copied().unwrap_or(0));
        }
    }

    /// Notes the event in the ledger; whether the cell is new to the actor.
    pub fn touch(&mut self, cell: CellKey, time: Millis, centibits: u32, family: Id) -> bool {
        let room = self.ledger.len() < LEDGER_MAX;
        match self.ledger.get_mut(&cell) {
            Some(touch) => {
                touch.events = touch.events.saturating_add(1);
                touch.first = touch.first.min(time);
                touch.last = touch.last.max(time);
                touch.centibits = touch.centibits.saturating_add(centibits);
                touch.family = family;
                false
            }
            None if room => {
                self.ledger.insert(cell, Touch { events: 1, first: time, last: time, centibits, family });
                true
            }
            None => true,
        }
    }

    /// Counts the event; halves everything when it is time.
    pub fn count(&mut self, time: Millis) {
        if self.events_ever == 0 {
            self.first = time;
        }
        self.first = self.first.min(time);
        self.last = self.last.max(time);
        self.events_ever = self.events_ever.saturating_add(1);
        if self.events >= HALVE_AT {
            self.halve();
        }
        self.events += 1;
    }

    fn halve(&mut self) {
        let counters = [
            &mut self.events,
            &mut self.discoveries,
            &mut self.odd,
            &mut self.marked,
            &mut self.fresh,
            &mut self.new_cells,
            &mut self.retries,
            &mut self.reused_keys,
            &mut self.walked,
            &mut self.refused,
        ];
        for counter in counters.into_iter().chain(self.surprise.iter_mut()) {
            *counter /= 2;
        }
        self.contents = [0; 8];
        self.records = Crowd::default();
    }
}
