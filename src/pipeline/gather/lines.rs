//! The lines of a log → panics: a bounded re-assembler, keyed by where the lines came from.
//!
//! Reads [`LogLine`]s in the order of their partition. Lines of one process and stream, of one partition, belong
//! together ([`block`] puts a panic together of them); what was told of one process is compared, since one panic may be
//! told several times ([`told`]): by the hook's block, by `tracing-panic`, by the producer's structured line, by the layer
//! that caught it, by the runtime that then ended the process. All that is one event.
//!
//! A panic waits for [`GatherPolicy::lines_wait_millis`](super::GatherPolicy) after its last line, by the broker's time
//! where there is one. The same lines in the same order of each source give the same events, however they are cut
//! into records and batches and whatever stands between them, as long as no source runs ahead of another by more than
//! that wait.
//!
//! **What cannot be done.** Standard error has no sign for whose line a line is. Two panics that write line by line at the same time
//! in one stream are told apart by order: a line goes to the oldest panic that has no message yet, else to the newest.
//! An agent that spreads one source over several partitions tears its panics apart: key the records by their source.
//! After a crash lines are read again from the oldest panic that waits; a `Service panicked` line whose panic was done
//! before then counts once more, as a panic without a place.
//!
//! Limits: [`PROCESSES_MAX`] processes, [`STREAMS_MAX`] streams of one, [`TOLD_MAX`] panics of one that wait,
//! [`LINE_BYTES_MAX`] bytes of a line in parts, [`BYTES_MAX`] bytes together. Of more the least recent
//! goes on as it is and is counted. Cost: nothing but a check while no panic is open; a map lookup and a copy a line else.

mod block;
mod told;

use std::collections::HashMap;

use self::block::{Block, Stream};
use self::told::Telling;
use super::{Desk, Gathered, Place};
use crate::pipeline::decode::text::{self, LINES_MAX, json, line};
use crate::pipeline::decode::{LogLine, LogText};
use crate::pipeline::event::{Millis, PanicEvent, RecoveryOutcome};

/// How long a service waits: hooks, layers and agents tell of one panic within a second.
pub const LINES_WAIT_MILLIS: i64 = 2_000;

/// Processes whose panics wait: pods of a large cluster that all crash at once.
pub const PROCESSES_MAX: usize = 1_024;

/// Streams of one process: standard output, standard error, and one that has no name.
pub const STREAMS_MAX: usize = 4;

/// Panics of one process that wait.
pub const TOLD_MAX: usize = 64;

/// Most bytes of a line that comes in parts; the rest of it is dropped.
pub const LINE_BYTES_MAX: usize = 256 << 10;

/// Bytes of messages and parts that wait together.
pub const BYTES_MAX: usize = 32 << 20;

/// What waits, by process.
#[derive(Debug, Default)]
pub(super) struct Lines {
    processes: HashMap<Box<str>, Process>,
    n_bytes: usize,
    n_taken: u64,
    key: String,
}

/// A process whose panics wait.
#[derive(Debug, Default)]
struct Process {
    streams: Vec<(Box<str>, Stream)>,
    told: Vec<Telling>,
    touched: u64,
    n_bytes: usize,
}

/// Until when waits what came now.
#[derive(Debug, Clone, Copy)]
struct When {
    until: Millis,
}

/// Where a line stood, and what all events of its text have.
#[derive(Debug)]
struct Origin<'l> {
    place: &'l Place,
    seed: Option<&'l PanicEvent<'static>>,
    when: When,
    n_events: u32,
    /// Whether the envelope names the service, which no line may change then.
    is_named: bool,
}

impl Origin<'_> {
    /// An event of this text, named by its place among them.
    fn event(&mut self) -> Option<PanicEvent<'static>> {
        let mut event = self.seed?.clone();
        if self.n_events > 0 {
            event.event_id = format!("{}.{}", event.event_id, self.n_events).into();
        }
        self.n_events += 1;
        Some(event)
    }
}

impl Lines {
    /// Takes a record's lines; whether they were of use. Event time passes to theirs.
    pub(super) fn line(
        &mut self,
        place: &Place,
        line: LogLine<'_>,
        (now, wait): (&mut Millis, i64),
        desk: &mut Desk<'_>,
    ) -> bool {
        match line {
            LogLine::Unread { .. } if self.processes.is_empty() => false,
            LogLine::Unread { payload, broker_time } => {
                let mut is_used = false;
                for text in text::open(&payload, broker_time) {
                    is_used |= self.text(place, text, (now, wait), desk);
                }
                is_used
            }
            LogLine::Read(text) => self.text(place, *text, (now, wait), desk),
        }
    }

    /// Lets go of all that has waited until `now`.
    pub(super) fn expire(&mut self, now: Millis, desk: &mut Desk<'_>) {
        let n_bytes = &mut self.n_bytes;
        self.processes.retain(|_, process| {
            process.expire(now, desk);
            process.measure(n_bytes);
            !process.is_empty()
        });
    }

    fn text(&mut self, place: &Place, text: LogText<'_>, (now, wait): (&mut Millis, i64), desk: &mut Desk<'_>) -> bool {
        *now = (*now).max(text.waits_from().unwrap_or(*now));
        self.find(place, &text);
        if text.seed.is_none() && !self.processes.contains_key(self.key.as_str()) {
            return false;
        }
        self.n_taken += 1;
        let when = When { until: now.plus(wait) };
        let process = self.processes.entry(self.key.as_str().into()).or_default();
        process.touched = self.n_taken;
        process.expire(*now, desk);
        let is_used = process.text(place, text, when, desk);
        if wait == 0 {
            process.close(desk);
        }
        process.measure(&mut self.n_bytes);
        if process.is_empty() {
            self.processes.remove(self.key.as_str());
        }
        while self.processes.len() > PROCESSES_MAX || self.n_bytes > BYTES_MAX {
            if !self.let_one_go(desk) {
                break;
            }
        }
        is_used
    }

    /// Writes the key of a text's process: its partition, since there is no order between two, and its names.
    fn find(&mut self, place: &Place, text: &LogText<'_>) {
        let Self { key, .. } = self;
        key.clear();
        key.push_str(&place.topic);
        key.push('\0');
        key.push_str(&place.partition.to_string());
        key.push('\0');
        key.push_str(&text.process);
    }

    /// Lets the process go of which nothing was heard for longest; whether there was one.
    fn let_one_go(&mut self, desk: &mut Desk<'_>) -> bool {
        let oldest = self.processes.iter().min_by_key(|(_, process)| process.touched).map(|(key, _)| key.clone());
        let Some(mut process) = oldest.and_then(|key| self.processes.remove(&key)) else { return false };
        process.close(desk);
        process.measure(&mut self.n_bytes);
        desk.counts.crowded_out += 1;
        true
    }
}

impl Process {
    fn is_empty(&self) -> bool {
        self.told.is_empty() && self.streams.iter().all(|(_, stream)| stream.is_empty())
    }

    /// Brings the count of all bytes up to date.
    fn measure(&mut self, all: &mut usize) {
        let streams: usize = self.streams.iter().map(|(_, stream)| stream.n_bytes()).sum();
        let told: usize = self.told.iter().map(Telling::n_bytes).sum();
        *all = (*all + streams + told).saturating_sub(self.n_bytes);
        self.n_bytes = streams + told;
    }

    /// Lets go of what has waited until `now`.
    fn expire(&mut self, now: Millis, desk: &mut Desk<'_>) {
        for at in 0..self.streams.len() {
            while let Some(block) = self.streams.get_mut(at).and_then(|(_, stream)| stream.overdue(now, desk)) {
                self.settle(block, desk);
            }
        }
        self.told.retain_mut(|telling| {
            let stays = telling.until() >= now;
            if !stays {
                telling.go(desk);
            }
            stays
        });
    }

    /// Lets go of everything.
    fn close(&mut self, desk: &mut Desk<'_>) {
        self.expire(Millis(i64::MAX), desk);
    }

    /// Takes the lines of a text; whether they were of use.
    fn text(&mut self, place: &Place, text: LogText<'_>, when: When, desk: &mut Desk<'_>) -> bool {
        let at = self.stream(&text.stream, desk);
        let Some((_, stream)) = self.streams.get_mut(at) else { return false };
        let mut seed = text.seed.map(|seed| seed.into_owned());
        let (mut words, is_named) = (text.text, text.service.is_some());
        let mut first = place.clone();
        if text.is_partial || stream.is_partial() {
            match stream.join(&words, (place, seed.take(), when), text.is_partial, desk) {
                Some((place, event, whole)) => (first, seed, words) = (place, event, whole.into()),
                None => return true,
            }
        }
        let mut origin = Origin { place: &first, seed: seed.as_ref(), when, n_events: 0, is_named };
        let mut is_used = false;
        let empty = words.is_empty().then_some("");
        for line in words.lines().chain(empty).take(LINES_MAX) {
            is_used |= self.line(at, line, &mut origin, desk);
        }
        is_used
    }

    /// The place of a stream among those known; the last one stands for all beyond [`STREAMS_MAX`].
    fn stream(&mut self, name: &str, desk: &mut Desk<'_>) -> usize {
        if let Some(at) = self.streams.iter().position(|(known, _)| **known == *name) {
            return at;
        }
        if self.streams.len() >= STREAMS_MAX {
            self.expire_last(desk);
        }
        self.streams.push((name.into(), Stream::default()));
        self.streams.len() - 1
    }

    fn expire_last(&mut self, desk: &mut Desk<'_>) {
        let Some((_, mut stream)) = self.streams.pop() else { return };
        while let Some(block) = stream.overdue(Millis(i64::MAX), desk) {
            self.settle(block, desk);
        }
    }

    /// Takes a line; whether it was of use.
    fn line(&mut self, at: usize, raw: &str, origin: &mut Origin<'_>, desk: &mut Desk<'_>) -> bool {
        let plain = line::plain(raw);
        let read = line::read(&plain);
        let Some((_, stream)) = self.streams.get_mut(at) else { return false };
        match read {
            line::Line::Header(header) => {
                let done = stream.begin(&header, origin, desk);
                self.settle_all(done, desk);
                true
            }
            line::Line::Json(text) => match json::read(text) {
                Ok(told) if !matches!(told, json::Told::Nothing) => self.json(at, told, origin, desk),
                _ => stream.log(raw, origin.when),
            },
            line::Line::Log => stream.log(raw, origin.when),
            line::Line::Plain | line::Line::Note | line::Line::Backtrace => {
                let (is_used, done) = stream.go_on(&read, raw, origin.when);
                self.settle_all(done.into_iter().collect(), desk);
                is_used
            }
            line::Line::Aborting | line::Line::Fatal(_) | line::Line::Died(..) => {
                let done = stream.end_all();
                self.settle_all(done, desk);
                self.ended(&read, origin, desk)
            }
            line::Line::Caught(message) => {
                let done = stream.end_written();
                self.settle_all(done, desk);
                let Some(event) = origin.event() else { return false };
                let telling = Telling::caught(event, message, origin.place, origin.when.until);
                self.tell(telling, desk);
                true
            }
            line::Line::Fields(words) => {
                let done = stream.end_written();
                self.settle_all(done, desk);
                let Some(event) = origin.event() else { return false };
                self.tell(Telling::fields(event, words, origin.place, origin.when.until), desk);
                true
            }
        }
    }

    /// Takes a log line in JSON that tells of a panic.
    fn json(&mut self, at: usize, told: json::Told<'_>, origin: &mut Origin<'_>, desk: &mut Desk<'_>) -> bool {
        let done = self.streams.get_mut(at).map(|(_, stream)| stream.end_written()).unwrap_or_default();
        self.settle_all(done, desk);
        let Some(event) = origin.event() else { return false };
        if let Some(telling) = Telling::json((event, origin.is_named), told, origin.place, origin.when.until) {
            self.tell(telling, desk);
        }
        true
    }

    /// The process ended, with a panic before it or without.
    fn ended(&mut self, line: &line::Line<'_>, origin: &mut Origin<'_>, desk: &mut Desk<'_>) -> bool {
        match line {
            line::Line::Died(words, thread) => {
                let Some(mut event) = origin.event() else { return false };
                event.panic.message = (*words).to_owned().into();
                event.panic.thread = thread.map(|thread| thread.to_owned().into());
                event.recovery = RecoveryOutcome::Aborted;
                self.tell(Telling::died(event, origin.place, origin.when.until), desk);
                true
            }
            line::Line::Fatal(words) if !self.end_newest() => {
                let Some(mut event) = origin.event() else { return false };
                event.panic.message = format!("fatal runtime error: {words}").into();
                event.recovery = RecoveryOutcome::Aborted;
                self.tell(Telling::died(event, origin.place, origin.when.until), desk);
                true
            }
            line::Line::Fatal(_) => true,
            _ => self.end_newest(),
        }
    }

    /// Marks the newest panic as one that ended the process, and those of the same thread that led to it.
    fn end_newest(&mut self) -> bool {
        let Some(newest) = self.told.iter().rev().find(|telling| telling.may_end()) else { return false };
        let thread = newest.thread();
        for telling in self.told.iter_mut().filter(|telling| telling.may_end() && telling.thread() == thread) {
            telling.end();
        }
        true
    }

    fn settle_all(&mut self, blocks: Vec<Block>, desk: &mut Desk<'_>) {
        for block in blocks {
            self.settle(block, desk);
        }
    }

    fn settle(&mut self, block: Block, desk: &mut Desk<'_>) {
        let telling = block.telling();
        desk.held.release(telling.place());
        self.tell(telling, desk);
    }

    /// Joins what is told to what was told of the same panic, or keeps it.
    fn tell(&mut self, telling: Telling, desk: &mut Desk<'_>) {
        if let Some(known) = self.told.iter_mut().find(|known| known.is_of(&telling)) {
            known.join(telling);
        } else {
            desk.held.hold(telling.place());
            self.told.push(telling);
        }
        if self.told.len() > TOLD_MAX {
            self.told.remove(0).go(desk);
            desk.counts.crowded_out += 1;
        }
    }
}

impl Telling {
    /// Hands the event on.
    fn go(&mut self, desk: &mut Desk<'_>) {
        desk.held.release(self.place());
        let (place, event) = self.take();
        desk.whole.push(Gathered { place, event });
    }
}

#[cfg(test)]
mod tests;
