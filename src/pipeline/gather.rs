//! What belongs together and comes apart: the pieces of one panic that stand in several records.
//!
//! Reads [`Piece`]s with the position of their record; gives whole events. A panic that a request log may know more
//! of waits here for it ([`requests`]), and the lines of a log become panics ([`lines`]). Time is that of the events: nothing waits by a clock, so that a replay gathers
//! as the service did.
//!
//! **Nothing of it is stored.** What waits holds values of payloads, and these never reach the state. Instead the
//! checkpoint that is stored stays behind the oldest piece that waits ([`Gather::held_back`]): after a crash the records
//! are read again, and the events that had been counted already are known by their ids.
//!
//! Limits: those of each kind of piece. What has no room goes on as it is, and is counted. Cost: a map entry a piece.

pub mod invocations;
pub mod lines;
pub mod requests;

use std::collections::BTreeMap;
use std::sync::Arc;

use self::invocations::Invocations;
use self::lines::Lines;
use self::requests::Requests;
use super::decode::Piece;
use super::event::{Checkpoint, Millis, PanicEvent, Position};

/// How long pieces wait for each other, in event time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GatherPolicy {
    /// How long a panic waits for the log of its request, and that log for it. 0: nobody waits.
    pub join_wait_millis: i64,
    /// How long the lines of one panic, and the lines that tell of it once more, wait for each other. 0: a panic's
    /// lines stand in one record.
    pub lines_wait_millis: i64,
    /// How long an invocation of a streaming tail waits for its next part.
    pub invocation_wait_millis: i64,
    /// How long a whole event waits for earlier ones that are still to come ([`super::reorder`]). 0: for those of its
    /// batch alone.
    pub order_wait_millis: i64,
}

impl GatherPolicy {
    /// For files: any carrier may be among them, and they end, and with them the wait. They are read in the order of time.
    pub const FILES: Self = Self {
        join_wait_millis: Millis::MINUTE,
        lines_wait_millis: lines::LINES_WAIT_MILLIS,
        invocation_wait_millis: invocations::WAIT_MILLIS,
        order_wait_millis: 0,
    };
}

/// Where a piece came from: a position that owns its words.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Topic or file.
    pub topic: Arc<str>,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
}

impl Place {
    /// The position, borrowed.
    pub fn position(&self) -> Position<'_> {
        Position { topic: &self.topic, partition: self.partition, offset: self.offset }
    }
}

/// An event that became whole, and where its first piece stood.
#[derive(Debug, Clone, PartialEq)]
pub struct Gathered {
    /// Where its first piece stood.
    pub place: Place,
    /// The event.
    pub event: PanicEvent<'static>,
}

/// What became of pieces since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GatherCounts {
    /// Panics whose request's log was found.
    pub joined: u64,
    /// Panics that went on without it: it did not come in time.
    pub missed: u64,
    /// Pieces that had to go for want of room.
    pub crowded_out: u64,
}

/// The pieces that wait.
#[derive(Debug, Default)]
pub struct Gather {
    topics: Vec<Arc<str>>,
    requests: Requests,
    lines: Lines,
    invocations: Invocations,
    held: Held,
    whole: Vec<Gathered>,
    counts: GatherCounts,
    now: Millis,
}

impl Gather {
    /// Takes a piece of the record at `position`; whether it waits or helped another (else it was of no use).
    pub fn take(&mut self, policy: &GatherPolicy, position: Position<'_>, piece: Piece<'_>) -> bool {
        let place = self.place(position);
        let desk = &mut Desk { held: &mut self.held, whole: &mut self.whole, counts: &mut self.counts };
        match piece {
            Piece::Event(event) => {
                desk.whole.push(Gathered { place, event: event.into_owned() });
                true
            }
            Piece::Awaiting { ray, event } => {
                self.now = self.now.max(event.time);
                let until = self.now.plus(policy.join_wait_millis);
                self.requests.event(place, (&ray, event), until, desk);
                true
            }
            Piece::Line(line) => self.lines.line(&place, line, (&mut self.now, policy.lines_wait_millis), desk),
            Piece::Request { ray, facts } => {
                self.now = self.now.max(facts.time);
                let until = self.now.plus(policy.join_wait_millis);
                policy.join_wait_millis > 0 && self.requests.request(place, (&ray, facts), until, desk)
            }
            Piece::Invocation { id, part } => {
                self.now = self.now.max(part.time);
                let until = self.now.plus(policy.invocation_wait_millis);
                self.invocations.take(place, (id, part), until, desk);
                true
            }
            // Whole by itself, and counted elsewhere.
            Piece::Total(_) | Piece::Sample { .. } => false,
        }
    }

    /// Lets event time pass to the newest piece's, and to `until` where that is later; gives what is whole.
    pub fn whole(&mut self, until: Option<Millis>) -> Vec<Gathered> {
        self.now = self.now.max(until.unwrap_or(self.now));
        let desk = &mut Desk { held: &mut self.held, whole: &mut self.whole, counts: &mut self.counts };
        self.requests.expire(self.now, desk);
        self.lines.expire(self.now, desk);
        self.invocations.expire(self.now, desk);
        std::mem::take(&mut self.whole)
    }

    /// Gives everything, as it is: nothing will follow.
    pub fn flush(&mut self) -> Vec<Gathered> {
        self.whole(Some(Millis(i64::MAX)))
    }

    /// The checkpoint that may be stored: no partition of it further than the oldest of its pieces that wait.
    #[must_use]
    pub fn held_back(&self, checkpoint: &Checkpoint) -> Checkpoint {
        let mut back = checkpoint.clone();
        for ((topic, partition), offsets) in &self.held.offsets {
            if let Some((oldest, _)) = offsets.first_key_value()
                && back.next_offset(topic, *partition).is_some_and(|next| *oldest < next)
            {
                back.rewind(topic, *partition, *oldest);
            }
        }
        back
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.held.offsets.is_empty() && self.whole.is_empty()
    }

    /// What became of pieces since the start.
    pub fn counts(&self) -> GatherCounts {
        self.counts
    }

    fn place(&mut self, position: Position<'_>) -> Place {
        let known = self.topics.iter().find(|topic| ***topic == *position.topic);
        let topic = known.cloned().unwrap_or_else(|| {
            let topic: Arc<str> = position.topic.into();
            self.topics.push(Arc::clone(&topic));
            topic
        });
        Place { topic, partition: position.partition, offset: position.offset }
    }
}

/// What the kinds of piece work on together.
#[derive(Debug)]
struct Desk<'g> {
    held: &'g mut Held,
    whole: &'g mut Vec<Gathered>,
    counts: &'g mut GatherCounts,
}

/// The records whose pieces wait: how many pieces each has.
#[derive(Debug, Default)]
struct Held {
    offsets: BTreeMap<(Arc<str>, i32), BTreeMap<i64, u32>>,
}

impl Held {
    fn hold(&mut self, place: &Place) {
        let partition = self.offsets.entry((Arc::clone(&place.topic), place.partition)).or_default();
        *partition.entry(place.offset).or_default() += 1;
    }

    fn release(&mut self, place: &Place) {
        let key = (Arc::clone(&place.topic), place.partition);
        let Some(partition) = self.offsets.get_mut(&key) else { return };
        if let Some(n_pieces) = partition.get_mut(&place.offset) {
            *n_pieces -= 1;
            if *n_pieces == 0 {
                partition.remove(&place.offset);
            }
        }
        if partition.is_empty() {
            self.offsets.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests;
