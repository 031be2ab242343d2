//! Events in the order of event time, in whatever order they come: each waits until none that is earlier is expected.
//!
//! Partitions are read side by side and producers send late, so that events come out of order; and who was first, what
//! was usual until then, which epoch is over depend on the order. An event waits until one has come that is later by
//! more than [`order_wait_millis`](super::gather::GatherPolicy::order_wait_millis) (that is said of the two newest, so
//! that one broken clock alone hurries nobody), or until the caller says that time has passed. While no event comes
//! further behind than that, what is folded is the same sequence whatever the order, the partitions and the batches
//! were. With a wait of 0 nobody waits; then only the events of one batch are put in order.
//!
//! What waits is kept as it is stored, and stored with the batch in which it came: after a crash it waits again, and no
//! record needs to be read twice. A row holds up to [`CHUNK_LEN`] events that came together; it is written once and goes
//! when the last of them has gone. Which of them have gone is known by the rank of the last one: they go in order.
//!
//! Bounds: [`BYTES_MAX`] of events wait; of more, the earliest go, and order is promised for less than the wait. Cost:
//! some microseconds an event that waits (written once, read once), nothing for others.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::event::{Id, Millis};
use super::observation::Observation;
use super::state::StateRow;

/// Bytes of events that wait: some 50,000 of 0.7 kB, which is 800 a second for a minute.
const BYTES_MAX: usize = 32 << 20;

/// Events in one row: some 180 kB, so that few rows are written and the row of a straggler is no burden.
const CHUNK_LEN: usize = 256;

/// Kind of the rows of events that wait.
pub(super) const WAITING: &str = "waiting";
/// Kind of the row that says how far they have gone.
pub(super) const PASSED: &str = "passed";

/// An event's place in the order: time; a panic before its consequence, where a clock stands still; the event's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Rank(Millis, bool, Id);

impl Rank {
    /// That of an event.
    pub(super) fn of(o: &Observation<'_>) -> Self {
        Self(o.time, o.panic.secondary, o.event)
    }
}

/// An event that waits.
#[derive(Debug)]
struct Waiting {
    /// It, as it is stored.
    bytes: Box<[u8]>,
    /// Number of its row; none until it is stored.
    chunk: Option<u64>,
}

/// The events that wait.
#[derive(Debug, Default)]
pub struct Reorder {
    waiting: BTreeMap<Rank, Waiting>,
    n_bytes: usize,
    /// The two newest times, the newest first.
    newest: [Option<Millis>; 2],
    /// The last that went.
    passed: Option<Rank>,
    passed_stored: Option<Rank>,
    /// By the number of a row: how many of its events still wait.
    chunks: BTreeMap<u64, usize>,
    n_chunks: u64,
    /// Came since rows were last taken.
    unsaved: Vec<Rank>,
    /// Rows all of whose events have gone.
    emptied: Vec<u64>,
}

impl Reorder {
    /// Keeps those of `seen` (new events, in order) that have to wait, and gives the ones that waited and go now, in
    /// order. Nobody is to come who is before `until`.
    pub(super) fn exchange(
        &mut self,
        seen: &mut Vec<Observation<'_>>,
        wait_millis: i64,
        until: Option<Millis>,
    ) -> Vec<Box<[u8]>> {
        if wait_millis <= 0 && self.waiting.is_empty() {
            return Vec::new();
        }
        for o in seen.iter() {
            self.hear(o.time);
        }
        let [_, expected] = self.newest;
        let expected = expected.map_or(Millis(i64::MIN), |time| time.plus(-wait_millis));
        let expected = if wait_millis > 0 { expected.max(until.unwrap_or(expected)) } else { Millis(i64::MAX) };
        let n_due = seen.partition_point(|o| o.time < expected || self.passed.is_some_and(|last| Rank::of(o) <= last));
        for early in seen.drain(n_due..) {
            self.keep(&early);
        }
        self.passed = self.passed.max(seen.last().map(Rank::of));
        self.take_while(|rank, n_bytes| rank.0 < expected || n_bytes > BYTES_MAX)
    }

    /// Gives all that wait, in order: nobody is to come.
    pub(super) fn flush(&mut self) -> Vec<Box<[u8]>> {
        self.take_while(|_, _| true)
    }

    fn hear(&mut self, time: Millis) {
        let [first, second] = self.newest;
        self.newest =
            if first.is_none_or(|first| time > first) { [Some(time), first] } else { [first, second.max(Some(time))] };
    }

    /// An event that cannot be written cannot wait, and there is none: it is made of numbers and texts.
    fn keep(&mut self, o: &Observation<'_>) {
        let Ok(bytes) = postcard::to_stdvec(o) else { return };
        self.n_bytes += bytes.len();
        self.unsaved.push(Rank::of(o));
        self.waiting.insert(Rank::of(o), Waiting { bytes: bytes.into(), chunk: None });
    }

    /// Takes the first ones as long as `goes` says so of rank and bytes that wait.
    fn take_while(&mut self, goes: impl Fn(Rank, usize) -> bool) -> Vec<Box<[u8]>> {
        let mut gone = Vec::new();
        while let Some(entry) = self.waiting.first_entry().filter(|entry| goes(*entry.key(), self.n_bytes)) {
            let (rank, Waiting { bytes, chunk }) = entry.remove_entry();
            self.n_bytes = self.n_bytes.saturating_sub(bytes.len());
            self.passed = self.passed.max(Some(rank));
            if let Some((number, n_left)) = chunk.and_then(|number| Some((number, self.chunks.get_mut(&number)?))) {
                *n_left = n_left.saturating_sub(1);
                if *n_left == 0 {
                    self.chunks.remove(&number);
                    self.emptied.push(number);
                }
            }
            gone.push(bytes);
        }
        gone
    }

    /// The rows that changed since the last call.
    pub(super) fn take_rows(&mut self) -> Vec<StateRow> {
        let mut rows = Vec::new();
        let came = std::mem::take(&mut self.unsaved);
        let still: Vec<Rank> = came.into_iter().filter(|rank| self.waiting.contains_key(rank)).collect();
        for part in still.chunks(CHUNK_LEN) {
            let mut value = Vec::new();
            for rank in part {
                if let Some(waiting) = self.waiting.get_mut(rank) {
                    waiting.chunk = Some(self.n_chunks);
                    value.extend_from_slice(&waiting.bytes);
                }
            }
            rows.push(chunk_row(self.n_chunks, Some(value)));
            self.chunks.insert(self.n_chunks, part.len());
            self.n_chunks += 1;
        }
        rows.extend(std::mem::take(&mut self.emptied).into_iter().map(|number| chunk_row(number, None)));
        if self.passed != self.passed_stored {
            rows.extend(StateRow::of(PASSED, &(), self.passed.as_ref()));
            self.passed_stored = self.passed;
        }
        rows
    }

    /// Puts back what a store kept: the rows of both kinds. Also gives the number of rows that could not be read.
    pub(super) fn restore(waiting: Vec<(Vec<u8>, Vec<u8>)>, passed: Option<&[u8]>) -> (Self, usize) {
        let passed_row = passed.map(postcard::from_bytes::<Rank>);
        let mut n_unreadable = usize::from(matches!(passed_row, Some(Err(_))));
        let passed = passed_row.and_then(Result::ok);
        let mut reorder = Self { passed, passed_stored: passed, ..Self::default() };
        for (key, value) in waiting {
            let whole = key.first_chunk::<8>().map(|key| u64::from_be_bytes(*key));
            let read = whole.and_then(|number| reorder.restore_chunk(number, &value));
            n_unreadable += usize::from(read.is_none());
        }
        (reorder, n_unreadable)
    }

    /// `None` for a row that cannot be read to its end; what could be waits.
    fn restore_chunk(&mut self, number: u64, value: &[u8]) -> Option<()> {
        self.n_chunks = self.n_chunks.max(number.saturating_add(1));
        let (mut rest, mut n_left) = (value, 0);
        let mut read_one = || {
            let (o, behind) = postcard::take_from_bytes::<Observation<'_>>(rest).ok()?;
            let (bytes, _) = rest.split_at_checked(rest.len().saturating_sub(behind.len()))?;
            rest = behind;
            Some((o.time, Rank::of(&o), bytes))
        };
        let mut read = Vec::new();
        while let Some(one) = read_one() {
            read.push(one);
        }
        for (time, rank, bytes) in read {
            if self.passed.is_none_or(|passed| rank > passed) {
                self.hear(time);
                self.n_bytes += bytes.len();
                self.waiting.insert(rank, Waiting { bytes: bytes.into(), chunk: Some(number) });
                n_left += 1;
            }
        }
        if n_left > 0 {
            self.chunks.insert(number, n_left);
        } else {
            self.emptied.push(number);
        }
        rest.is_empty().then_some(())
    }
}

fn chunk_row(number: u64, value: Option<Vec<u8>>) -> StateRow {
    StateRow { kind: WAITING, key: number.to_be_bytes().to_vec(), value }
}

#[cfg(test)]
mod tests;
