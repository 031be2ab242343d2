//! A batch's records → observations: [`examine()`] for each, and what belongs together put together.
//!
//! Holds what a worker remembers between records: [`Memos`], which change the price of an answer and never the answer,
//! and the pieces that wait ([`Gather`]). Says of every record what became of it ([`Sifted`]).

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::Context;
use super::decode::{Refusal, RequestTotal};
use super::event::{Checkpoint, Millis, PanicEvent, Position, RawRecord};
use super::examine::{self, Examined, Memos, examine, observe_event};
use super::gather::{Gather, GatherCounts, Gathered, Place};
use super::observation::{Heard, Observation};

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sifted {
    /// It told of this many panics.
    Seen(usize),
    /// What it told waits for what belongs to it, or was what another waited for.
    Gathered,
    /// It told of requests alone; their totals wait in [`Sift::take_totals`].
    Totals,
    /// It told of requests that did not panic, and of nothing else.
    Sampled,
    /// It told of no panic.
    Silent,
    /// It, or an item of it, could not be read; what could be was seen or gathered all the same.
    Refused(Refusal),
}

/// The first stage: records in, observations out.
#[derive(Debug, Default)]
pub struct Sift {
    memos: Memos,
    gather: Gather,
    totals: Vec<RequestTotal<'static>>,
}

impl Sift {
    /// Takes a record; what it tells at once is added to `heard`.
    pub fn take<'b>(&mut self, context: &Context, record: RawRecord<'b>, heard: &mut Heard<'b>) -> Sifted {
        let Examined { observations, parts, totals, ordinary, refusal } = examine(context, &mut self.memos, record);
        let has_ordinary = !ordinary.is_empty();
        heard.ordinary.extend(ordinary);
        let has_totals = !totals.is_empty();
        self.totals.extend(totals.into_iter().map(RequestTotal::into_owned));
        let n_seen = observations.len();
        heard.panics.extend(observations);
        let gather = &mut self.gather;
        let n_gathered = catch_unwind(AssertUnwindSafe(|| {
            let take = |part| usize::from(gather.take(&context.gathering, record.position, part));
            parts.into_iter().map(take).sum()
        }));
        // What waits besides goes on waiting: each piece is whole by itself, whatever became of this one.
        let Ok(n_gathered) = n_gathered else {
            return Sifted::Refused(examine::own_fault());
        };
        match (refusal, n_seen, n_gathered) {
            (Some(refusal), ..) => Sifted::Refused(refusal),
            (None, 0, 0) if has_totals => Sifted::Totals,
            (None, 0, 0) if has_ordinary => Sifted::Sampled,
            (None, 0, 0) => Sifted::Silent,
            (None, 0, _) => Sifted::Gathered,
            (None, n_seen, _) => Sifted::Seen(n_seen),
        }
    }

    /// The request totals of the records that were taken since the last call, in their order. A record that is refused for
    /// one of its items may have told of others all the same.
    pub fn take_totals(&mut self) -> Vec<RequestTotal<'static>> {
        std::mem::take(&mut self.totals)
    }

    /// The events that became whole by now; `until` lets event time pass where no record does.
    pub fn whole(&mut self, until: Option<Millis>) -> Whole {
        Whole::of(self.gather.whole(until))
    }

    /// All events that still wait, as they are: nothing will follow.
    pub fn flush(&mut self) -> Whole {
        Whole::of(self.gather.flush())
    }

    /// Adds the observations of `whole` to `seen`; gives the refusals, which only a fault of our own makes.
    pub fn observe<'b>(
        &mut self,
        context: &Context,
        whole: &'b mut Whole,
        seen: &mut Vec<Observation<'b>>,
    ) -> Vec<Refusal> {
        let mut refused = Vec::new();
        for (place, event) in whole.places.iter().zip(whole.events.drain(..)) {
            match observe_event(context, &mut self.memos, place.position(), event) {
                Ok(observation) => seen.push(observation),
                Err(refusal) => refused.push(refusal),
            }
        }
        refused
    }

    /// The checkpoint that may be stored: see [`Gather::held_back`].
    #[must_use]
    pub fn held_back(&self, checkpoint: &Checkpoint) -> Checkpoint {
        self.gather.held_back(checkpoint)
    }

    /// What became of pieces since the start.
    pub fn counts(&self) -> GatherCounts {
        self.gather.counts()
    }

    /// Forgets what was remembered under another context; what waits goes on waiting.
    pub fn forget(&mut self) {
        self.memos = Memos::default();
    }
}

/// Events that became whole; observations borrow from it.
#[derive(Debug, Default)]
pub struct Whole {
    places: Vec<Place>,
    events: Vec<PanicEvent<'static>>,
}

impl Whole {
    fn of(gathered: Vec<Gathered>) -> Self {
        let (places, events) = gathered.into_iter().map(|whole| (whole.place, whole.event)).unzip();
        Self { places, events }
    }

    /// Where the first piece of each stood.
    pub fn positions(&self) -> impl Iterator<Item = Position<'_>> {
        self.places.iter().map(Place::position)
    }
}
