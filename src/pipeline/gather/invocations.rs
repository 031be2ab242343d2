//! Invocations of Workers, told piece by piece by a streaming tail, put together by their id.
//!
//! Parts may come in any order and more than once: they are put in the order of their sequence, and of two with one
//! number the first counts. An invocation is whole when its outcome and all parts before it are there; else when
//! nothing was heard of it for the time of the policy. One without a panic goes without a trace. Parts that come
//! after the end begin anew, and give panics under the same ids, which are known by then.
//!
//! Limits: [`INVOCATIONS_MAX`] invocations, [`PARTS_MAX`] parts and [`BYTES_MAX`] of text wait; of more the oldest
//! invocations go on as they are, and are counted. Cost: two map entries an invocation, one a part.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, VecDeque};

use super::{Desk, Gathered, Place};
use crate::pipeline::decode::{Ending, Invocation, Part, Tells, events};
use crate::pipeline::event::{Carrier, Millis, PanicEvent};

/// Invocations that wait: 500 a second that take 30 s each.
pub const INVOCATIONS_MAX: usize = 16_384;

/// Parts that wait, all invocations together.
pub const PARTS_MAX: usize = 262_144;

/// Most parts of one invocation that are kept; workerd itself stops at 256 KiB of a trace.
pub const PARTS_OF_ONE_MAX: usize = 4_096;

/// Bytes of text that all waiting parts have together, as far as they say something.
pub const BYTES_MAX: usize = 64 << 20;

/// How long an invocation waits for its next part in event time: the longest pause that a Worker makes with its client
/// waiting is a fetch of some minutes.
pub const WAIT_MILLIS: i64 = 5 * Millis::MINUTE;

/// Service of a Worker whose onset never came, on a topic that names none.
const UNKNOWN_SERVICE: &str = "unknown";

/// What waits, by the invocation's id.
#[derive(Debug, Default)]
pub(super) struct Invocations {
    open: HashMap<Box<str>, Open>,
    due: VecDeque<(Millis, Box<str>, u64)>,
    n_parts: usize,
    n_bytes: usize,
    n_taken: u64,
}

/// An invocation that is not whole.
#[derive(Debug)]
struct Open {
    number: u64,
    until: Millis,
    places: Vec<Place>,
    first: Place,
    first_sequence: u64,
    parts: BTreeMap<u64, Tells<'static>>,
    last: Option<u64>,
    time: Millis,
    service: Cow<'static, str>,
    tenant: Cow<'static, str>,
    n_bytes: usize,
}

impl Invocations {
    /// Takes a part, which waits for the others `until` then.
    pub(super) fn take(
        &mut self,
        place: Place,
        (id, part): (Cow<'_, str>, Part<'_>),
        until: Millis,
        desk: &mut Desk<'_>,
    ) {
        let id: Box<str> = id.into();
        let number = self.n_taken;
        self.n_taken += 1;
        let open = self.open.entry(id.clone()).or_insert_with(|| {
            self.due.push_back((until, id.clone(), number));
            Open::new(number, place.clone())
        });
        open.until = open.until.max(until);
        if open.places.len() < PARTS_OF_ONE_MAX {
            let (n_parts, n_bytes) = (open.parts.len(), open.n_bytes);
            desk.held.hold(&place);
            open.add(place, part.into_owned());
            self.n_parts += 1;
            debug_assert!(open.parts.len() - n_parts <= 1);
            self.n_bytes += open.n_bytes - n_bytes;
        }
        if open.is_whole() {
            self.close(&id, desk);
        }
        while self.open.len() > INVOCATIONS_MAX || self.n_parts > PARTS_MAX || self.n_bytes > BYTES_MAX {
            let Some((_, id, number)) = self.due.pop_front() else { break };
            if self.open.get(&id).is_some_and(|open| open.number == number) {
                self.close(&id, desk);
                desk.counts.crowded_out += 1;
            }
        }
        self.forget_dues();
    }

    /// Lets go of all that has waited until `now`.
    pub(super) fn expire(&mut self, now: Millis, desk: &mut Desk<'_>) {
        while self.due.front().is_some_and(|(at, ..)| *at < now) {
            let Some((_, id, number)) = self.due.pop_front() else { break };
            match self.open.get(&id).filter(|open| open.number == number).map(|open| open.until) {
                // More of it came in the meantime.
                Some(until) if until >= now => self.due.push_back((until, id, number)),
                Some(_) => self.close(&id, desk),
                None => {}
            }
        }
    }

    /// Most invocations are whole long before they are due: their entries go when they outnumber the rest.
    fn forget_dues(&mut self) {
        if self.due.len() > 2 * self.open.len() + 1_024 {
            let open = &self.open;
            self.due.retain(|(_, id, number)| open.get(id).is_some_and(|open| open.number == *number));
        }
    }

    fn close(&mut self, id: &str, desk: &mut Desk<'_>) {
        let Some(open) = self.open.remove(id) else { return };
        self.n_parts -= open.places.len();
        self.n_bytes -= open.n_bytes;
        for place in &open.places {
            desk.held.release(place);
        }
        let first = open.first.clone();
        desk.whole.extend(open.events(id).into_iter().map(|event| Gathered { place: first.clone(), event }));
    }
}

impl Open {
    fn new(number: u64, first: Place) -> Self {
        Self {
            number,
            until: Millis(i64::MIN),
            places: Vec::new(),
            first,
            first_sequence: u64::MAX,
            parts: BTreeMap::new(),
            last: None,
            time: Millis(i64::MAX),
            service: Cow::Borrowed(""),
            tenant: Cow::Borrowed(""),
            n_bytes: 0,
        }
    }

    fn add(&mut self, place: Place, part: Part<'static>) {
        // A part without a number stands behind those that came before it.
        let next = || self.parts.last_key_value().map_or(0, |(last, _)| last.saturating_add(1));
        let sequence = part.sequence.unwrap_or_else(next);
        if sequence < self.first_sequence {
            self.first_sequence = sequence;
            self.first = place.clone();
        }
        self.places.push(place);
        self.time = self.time.min(part.time);
        if self.service.is_empty() {
            self.service = part.service;
        }
        if self.tenant.is_empty() {
            self.tenant = part.tenant;
        }
        if matches!(part.tells, Tells::Outcome(_)) {
            self.last = Some(sequence);
        }
        if let std::collections::btree_map::Entry::Vacant(slot) = self.parts.entry(sequence) {
            self.n_bytes += n_bytes(&part.tells);
            slot.insert(part.tells);
        }
    }

    /// Whether the end was told, and all that stands before it.
    fn is_whole(&self) -> bool {
        self.last.is_some_and(|last| u64::try_from(self.parts.len()).is_ok_and(|n_parts| n_parts > last))
    }

    fn events(self, id: &str) -> Vec<PanicEvent<'static>> {
        let mut invocation = Invocation { time: Some(self.time), ..Invocation::default() };
        invocation.key = Some(format!("tail:{id}"));
        let mut status = None;
        for tells in self.parts.into_values() {
            match tells {
                Tells::Onset(base) => invocation.base = *base,
                Tells::Sign(sign) => invocation.signs.push(sign),
                Tells::Return(told) => status = status.or(told),
                Tells::Outcome(Ending::Unknown) | Tells::Nothing => {}
                Tells::Outcome(ending) => invocation.ending = ending,
            }
        }
        let base = &mut invocation.base;
        base.status = base.status.or(status);
        base.carrier = Carrier::CloudflareTail;
        if base.service.is_empty() {
            base.service = if self.service.is_empty() { Cow::Borrowed(UNKNOWN_SERVICE) } else { self.service };
        }
        if base.tenant.is_empty() {
            base.tenant = self.tenant;
        }
        let timed = |(event, at): (PanicEvent<'static>, Option<Millis>)| PanicEvent {
            time: at.unwrap_or(self.time),
            carrier: Carrier::CloudflareTail,
            ..event
        };
        events(invocation).into_iter().map(timed).collect()
    }
}

/// About how much text a part has.
fn n_bytes(tells: &Tells<'_>) -> usize {
    match tells {
        Tells::Onset(event) => n_event_bytes(event),
        Tells::Sign(sign) => sign.n_bytes(),
        Tells::Return(_) | Tells::Outcome(_) | Tells::Nothing => 0,
    }
}

fn n_event_bytes(event: &PanicEvent<'_>) -> usize {
    let text = |text: &Option<Cow<'_, str>>| text.as_ref().map_or(0, |text| text.len());
    let query: usize = event.query.iter().map(|(name, value)| name.len() + value.len()).sum();
    size_of::<PanicEvent<'_>>() + text(&event.path) + text(&event.client.user_agent) + query
}

#[cfg(test)]
mod tests;
