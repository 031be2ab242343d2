//! What the poll thread and the async source share: a short queue, who owns which partition, the checkpoint.
//!
//! Ownership decides what may be handed out. Each change of it has a number (generation); a chunk carries the number
//! under which it was read, and a record is handed out only if its partition has been owned without a break since.
//! So records of a partition that was taken from us (and perhaps given back) can never be handed out late. After each
//! change nothing is handed out until [`Handoff::confirm`] says that all partitions of the topics are ours.
//!
//! One mutex, taken once per batch and per rebalance, never while anything is awaited. Bound: [`QUEUE_CHUNKS_MAX`]
//! chunks in the queue, one being filled, one in the hands of the loop.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::now;
use super::status::{Brokers, PartitionStatus, SourceStatus};
use crate::edge::{Gap, SourceError};
use crate::pipeline::event::{Batch, Checkpoint, Position};

/// Chunks that wait for the loop: one keeps it busy while the next is read.
const QUEUE_CHUNKS_MAX: usize = 1;

/// Records read under one generation of ownership.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    /// What is gone before the records of the batch begin.
    pub(super) gaps: Vec<Gap>,
    pub(super) batch: Batch,
    pub(super) generation: u64,
}

impl Chunk {
    pub(super) fn is_empty(&self) -> bool {
        self.gaps.is_empty() && self.batch.is_empty()
    }
}

/// Why no more records come.
#[derive(Debug, Clone)]
pub(super) enum End {
    Closed,
    Fatal(String),
    Gone(String),
}

/// What the queue has for the loop.
pub(super) enum Taken {
    Batch(Batch),
    Gaps(Vec<Gap>),
    Nothing,
    Closed,
}

/// A partition while it is ours.
#[derive(Debug, Default, Clone)]
pub(super) struct Owned {
    since: u64,
    /// The offset to be read next, if known.
    pub(super) next: Option<i64>,
    pub(super) high: Option<i64>,
    leader_lost: bool,
    at_end: bool,
}

/// Topic and partition.
pub(super) type Key = (String, i32);

#[derive(Default)]
struct State {
    queue: VecDeque<Chunk>,
    owned: BTreeMap<Key, Owned>,
    /// How far the loop is.
    checkpoint: Checkpoint,
    /// How far the store is: what may be committed.
    stored: Checkpoint,
    /// Whether all partitions of the topics are known to be ours under the present generation.
    whole: bool,
    in_flight: bool,
    revoking: bool,
    end: Option<End>,
    status: SourceStatus,
    polled_at: Option<Instant>,
}

pub(super) struct Handoff {
    state: Mutex<State>,
    /// Signals the poll thread: room in the queue, nothing in flight, or stopped.
    changed: Condvar,
    /// Signals the loop: a chunk, an end, or a revoke that is over.
    arrived: Notify,
    generation: AtomicU64,
    stopped: AtomicBool,
    closing: AtomicBool,
    commit_due: AtomicBool,
    reassign_due: AtomicBool,
}

impl Handoff {
    pub(super) fn new(checkpoint: Checkpoint) -> Self {
        Self {
            state: Mutex::new(State { stored: checkpoint.clone(), checkpoint, ..State::default() }),
            changed: Condvar::new(),
            arrived: Notify::new(),
            generation: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            commit_due: AtomicBool::new(false),
            reassign_due: AtomicBool::new(false),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic under this lock leaves no half-made change: each is a single insert, removal or flag.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// No more batches; the poll thread goes on serving commits and rebalances.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        drop(self.lock());
        self.changed.notify_all();
        self.arrived.notify_one();
    }

    /// The poll thread commits, leaves the group and ends.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Release);
        self.stop();
    }

    /// The first end that is named stays.
    pub(super) fn end(&self, end: End) {
        self.lock().end.get_or_insert(end);
        self.arrived.notify_one();
    }

    // ---- for the loop -------------------------------------------------------------------------------------------

    /// Whatever was handed out before is decided; gives the next batch. Cost: O(1), or O(records) after a rebalance.
    pub(super) fn take(&self) -> Result<Taken, SourceError> {
        let mut state = self.lock();
        state.in_flight = false;
        let taken = if self.is_stopped() {
            Ok(Taken::Closed)
        } else if state.revoking {
            Ok(Taken::Nothing)
        } else {
            state.take(self.generation())
        };
        drop(state);
        self.changed.notify_all();
        taken
    }

    /// Waits until [`Self::take`] may have something new; a signal given meanwhile is not lost.
    pub(super) async fn arrival(&self) {
        self.arrived.notified().await;
    }

    /// Remembers how far the loop is, for the next commit and for later assignments. The loop's word is the last one, so
    /// that a partition that was made anew can begin again.
    pub(super) fn decided(&self, stored: &Checkpoint, decided: &Checkpoint) {
        let mut state = self.lock();
        state.checkpoint.clone_from(decided);
        state.stored.clone_from(stored);
        drop(state);
        self.commit_due.store(true, Ordering::Release);
    }

    /// A copy of the status; cost O(assigned partitions).
    pub(super) fn status(&self) -> SourceStatus {
        let state = self.lock();
        let mut status = state.status.clone();
        status.last_poll_age = state.polled_at.map(|at| now().saturating_duration_since(at)).unwrap_or_default();
        status.partitions = state
            .owned
            .iter()
            .map(|((topic, partition), owned)| PartitionStatus {
                topic: topic.clone(),
                partition: *partition,
                next_read: owned.next,
                next_decided: state.checkpoint.next_offset(topic, *partition),
                high_watermark: owned.high,
                leader_lost: owned.leader_lost,
            })
            .collect();
        status
    }

    /// The poll thread leaves the group and joins it anew.
    pub(super) fn reassign(&self) {
        self.reassign_due.store(true, Ordering::Release);
    }

    /// The next offset that is not decided yet.
    pub(super) fn next_decided(&self, topic: &str, partition: i32) -> Option<i64> {
        self.lock().checkpoint.next_offset(topic, partition)
    }

    // ---- for the poll thread ------------------------------------------------------------------------------------

    /// Puts a chunk in the queue, waiting at most `wait` for room; gives it back when there is none.
    pub(super) fn offer(&self, chunk: Chunk, wait: Duration) -> Result<(), Box<Chunk>> {
        let is_full = |state: &mut State| state.queue.len() >= QUEUE_CHUNKS_MAX && !self.is_stopped();
        let (mut state, waited) =
            self.changed.wait_timeout_while(self.lock(), wait, is_full).unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() && state.queue.len() >= QUEUE_CHUNKS_MAX {
            return Err(Box::new(chunk));
        }
        state.note(&chunk.batch);
        state.queue.push_back(chunk);
        drop(state);
        self.arrived.notify_one();
        Ok(())
    }

    /// Notes how far `batch` reads, before it is offered.
    pub(super) fn note(&self, batch: &Batch) {
        self.lock().note_positions(batch);
    }

    /// The chunk without what is no longer ours, under the current generation.
    pub(super) fn keep_owned(&self, chunk: &Chunk) -> Chunk {
        let generation = self.generation();
        self.lock().owned_part(chunk, generation)
    }

    /// Takes note of new partitions and gives back where each starts: the checkpoint's next offset, if there is one.
    pub(super) fn assigned(&self, keys: Vec<Key>) -> Vec<(Key, Option<i64>)> {
        let since = self.generation.fetch_add(1, Ordering::AcqRel) + 1;
        let mut state = self.lock();
        state.status.n_rebalances += 1;
        state.whole = false;
        let mut starts = Vec::with_capacity(keys.len());
        for key in keys {
            let next = state.checkpoint.next_offset(&key.0, key.1);
            state.owned.insert(key.clone(), Owned { since, next, ..Owned::default() });
            starts.push((key, next));
        }
        starts
    }

    /// Waits, at most `wait`, until the loop has decided what it holds; until [`Self::revoked`] it gets nothing new.
    pub(super) fn await_decided(&self, wait: Duration) -> bool {
        let mut state = self.lock();
        state.revoking = true;
        let busy = |state: &mut State| state.in_flight && !self.is_closing();
        let (state, _) = self.changed.wait_timeout_while(state, wait, busy).unwrap_or_else(PoisonError::into_inner);
        !state.in_flight
    }

    pub(super) fn revoked(&self, keys: &[Key]) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        let mut state = self.lock();
        state.status.n_rebalances += 1;
        for key in keys {
            state.owned.remove(key);
        }
        state.whole = false;
        state.revoking = false;
        drop(state);
        self.arrived.notify_one();
    }

    /// Says whether the partitions of `generation` are all there are; `hold` is why nothing may be handed out. Without
    /// effect when ownership has changed since. Returns whether the hold is another one than before.
    pub(super) fn confirm(&self, generation: u64, n_partitions: Option<usize>, hold: Option<String>) -> bool {
        let mut state = self.lock();
        if generation != self.generation() {
            return false;
        }
        state.whole = hold.is_none();
        let changed = state.status.hold != hold;
        state.status.hold = hold;
        state.status.n_partitions = n_partitions.or(state.status.n_partitions);
        drop(state);
        self.arrived.notify_one();
        changed
    }

    /// Notes from where a partition is read from now on.
    pub(super) fn moved(&self, key: &Key, next: i64) {
        if let Some(owned) = self.lock().owned.get_mut(key) {
            owned.next = Some(next);
        }
    }

    /// Whether a reassignment was asked for since the last call.
    pub(super) fn take_reassign_due(&self) -> bool {
        self.reassign_due.swap(false, Ordering::AcqRel)
    }

    /// Whether a commit was asked for since the last call.
    pub(super) fn take_commit_due(&self) -> bool {
        self.commit_due.swap(false, Ordering::AcqRel)
    }

    /// Next offsets of the partitions that are ours, as far as they are stored.
    pub(super) fn committable(&self) -> Vec<(Key, i64)> {
        let state = self.lock();
        let next = |key: &Key| state.stored.next_offset(&key.0, key.1);
        state.owned.keys().filter_map(|key| Some((key.clone(), next(key)?))).collect()
    }

    pub(super) fn owned(&self) -> BTreeMap<Key, Owned> {
        self.lock().owned.clone()
    }

    /// Marks a partition as read to its end; true when all that are ours are.
    pub(super) fn reached_end(&self, key: &Key) -> bool {
        let mut state = self.lock();
        if let Some(owned) = state.owned.get_mut(key) {
            owned.at_end = true;
        }
        !state.owned.is_empty() && state.owned.values().all(|owned| owned.at_end)
    }

    /// What statistics say of a partition; a high watermark that is not known leaves the last one.
    pub(super) fn measured(&self, key: &Key, high: Option<i64>, leader_lost: bool) {
        if let Some(owned) = self.lock().owned.get_mut(key) {
            owned.high = high.or(owned.high);
            owned.leader_lost = leader_lost;
        }
    }

    pub(super) fn set_brokers(&self, brokers: Brokers) {
        self.lock().status.brokers = brokers;
    }

    pub(super) fn polled(&self, at: Instant) {
        self.lock().polled_at = Some(at);
    }

    /// Changes the counters of the status.
    pub(super) fn count(&self, change: impl FnOnce(&mut SourceStatus)) {
        change(&mut self.lock().status);
    }
}

impl State {
    fn take(&mut self, generation: u64) -> Result<Taken, SourceError> {
        while self.whole
            && let Some(chunk) = self.queue.pop_front()
        {
            let n_read = chunk.batch.len();
            let mut kept = if chunk.generation == generation { chunk } else { self.owned_part(&chunk, generation) };
            self.status.n_revoked_records += (n_read - kept.batch.len()) as u64;
            if !kept.gaps.is_empty() {
                let gaps = std::mem::take(&mut kept.gaps);
                self.queue.push_front(kept);
                self.in_flight = true;
                return Ok(Taken::Gaps(gaps));
            }
            if !kept.batch.is_empty() {
                self.in_flight = true;
                return Ok(Taken::Batch(kept.batch));
            }
        }
        match &self.end {
            None => Ok(Taken::Nothing),
            Some(End::Closed) => Ok(Taken::Closed),
            Some(End::Fatal(why)) => Err(SourceError::Fatal(why.clone())),
            Some(End::Gone(why)) => Err(SourceError::Gone(why.clone())),
        }
    }

    fn owned_part(&self, chunk: &Chunk, generation: u64) -> Chunk {
        let is_ours = |topic: &str, partition: i32| {
            self.owned.get(&(topic.to_owned(), partition)).is_some_and(|owned| owned.since <= chunk.generation)
        };
        let mut kept = Chunk { generation, ..Chunk::default() };
        kept.gaps.extend(chunk.gaps.iter().filter(|gap| is_ours(&gap.topic, gap.partition)).cloned());
        for record in chunk.batch.iter() {
            let Position { topic, partition, .. } = record.position;
            if is_ours(topic, partition) {
                kept.batch.push_record(&record);
            }
        }
        kept
    }

    fn note(&mut self, batch: &Batch) {
        self.status.n_records += batch.len() as u64;
        self.status.n_bytes += batch.n_bytes() as u64;
        self.note_positions(batch);
    }

    /// Records of one partition come in runs: only the first and the last of a run are looked at.
    fn note_positions(&mut self, batch: &Batch) {
        let mut records = batch.iter().map(|record| record.position).peekable();
        let mut run_start = None;
        while let Some(position) = records.next() {
            let first = run_start.get_or_insert(position).offset;
            let is_last_of_run =
                records.peek().is_none_or(|next| next.partition != position.partition || next.topic != position.topic);
            if !is_last_of_run {
                continue;
            }
            run_start = None;
            if let Some(owned) = self.owned.get_mut(&(position.topic.to_owned(), position.partition)) {
                let gap = first.saturating_sub(owned.next.unwrap_or(first));
                self.status.n_skipped_offsets += u64::try_from(gap).unwrap_or(0);
                let mut read = Checkpoint::default();
                read.advance(position);
                owned.next = read.next_offset(position.topic, position.partition);
            }
        }
    }
}

#[cfg(test)]
mod tests;
