//! The lines of one stream → the blocks in which panics are told.
//!
//! A block begins with its header and is over with the note on backtraces, with the end of its backtrace, with the next
//! header, or when its time is over. A line that begins as log lines do is no part of a message, unless nothing else
//! follows the header. Limits: [`MESSAGE_LINES_MAX`] lines and [`FREE_TEXT_BYTES_MAX`] bytes of a message (what is beyond is cut
//! and noted), [`BACKTRACE_LINES_MAX`] lines of a backtrace, [`OPEN_MAX`] blocks of a stream. Cost: a copy of each line.

use std::collections::VecDeque;

use super::told::Telling;
use super::{LINE_BYTES_MAX, Origin, When};
use crate::pipeline::decode::text::frame::{self, Frame};
use crate::pipeline::decode::text::line::{self, Header, Line, Location, Words};
use crate::pipeline::decode::{FRAMES_MAX, FREE_TEXT_BYTES_MAX};
use crate::pipeline::event::{Millis, PanicEvent};
use crate::pipeline::gather::{Desk, Place};

/// Most lines of a message: what prints a value over several lines has some dozen.
pub(super) const MESSAGE_LINES_MAX: usize = 256;

/// Most lines of a backtrace: two a frame, and std prints any number of frames of a deep recursion.
const BACKTRACE_LINES_MAX: usize = 4_096;

/// Panics of one stream whose messages are awaited at once.
const OPEN_MAX: usize = 8;

/// What a block awaits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Lines of the message.
    Message,
    /// The end of the quotes.
    Quotes,
    /// Only what may stand behind a message.
    Over,
    /// Frames.
    Frames,
}

/// A panic whose lines are being put together.
#[derive(Debug)]
pub(super) struct Block {
    event: Box<PanicEvent<'static>>,
    number: Option<String>,
    place: Place,
    until: Millis,
    phase: Phase,
    message: String,
    n_lines: usize,
    /// A log line that directly followed the header: the message, if there is no other.
    spare: Option<String>,
}

impl Block {
    fn of(header: &Header<'_>, event: PanicEvent<'static>, origin: &Origin<'_>) -> Self {
        let mut event = Box::new(event);
        event.panic.thread = header.thread.map(|thread| thread.to_owned().into());
        let mut block = Self {
            event,
            number: header.number.map(str::to_owned),
            place: origin.place.clone(),
            until: origin.when.until,
            phase: Phase::Message,
            message: String::new(),
            n_lines: 0,
            spare: None,
        };
        if let Some(location) = header.location {
            block.locate(location);
        }
        match header.message {
            Words::Follow => {}
            Words::Begin(words) => {
                block.add(words);
                block.phase = Phase::Quotes;
            }
            Words::Whole(words) => {
                block.add(words);
                block.phase = Phase::Over;
            }
        }
        block
    }

    fn locate(&mut self, at: Location<'_>) {
        at.put_into(&mut self.event.panic);
    }

    /// Adds a line to the message, as far as there is room.
    fn add(&mut self, line: &str) {
        self.n_lines += 1;
        let room = FREE_TEXT_BYTES_MAX.saturating_sub(self.message.len() + 1);
        if self.n_lines > MESSAGE_LINES_MAX || room == 0 {
            self.event.notes.n_cut = 1;
            return;
        }
        if self.n_lines > 1 {
            self.message.push('\n');
        }
        let fits = line.get(..line.floor_char_boundary(room)).unwrap_or_default();
        self.event.notes.n_cut |= u32::from(fits.len() < line.len());
        self.message.push_str(fits);
    }

    fn is_written(&self) -> bool {
        self.n_lines > 0
    }

    fn is_told(&self) -> bool {
        self.is_written() && self.phase != Phase::Quotes
    }

    /// What was told of the panic.
    pub(super) fn telling(mut self) -> Telling {
        if self.message.is_empty() {
            self.message = self.spare.take().unwrap_or_default();
        }
        let message = self.message.trim_end_matches(['\n', '\r', ' ']);
        self.message.truncate(message.len());
        self.event.panic.message = self.message.into();
        Telling::block(self.event, self.number, self.place, self.until)
    }
}

/// The beginning of a line that came in parts.
#[derive(Debug)]
struct Part {
    place: Place,
    seed: Option<PanicEvent<'static>>,
    text: String,
    until: Millis,
}

/// One stream of a process.
#[derive(Debug, Default)]
pub(super) struct Stream {
    open: VecDeque<Block>,
    part: Option<Part>,
}

impl Stream {
    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty() && self.part.is_none()
    }

    /// Bytes that wait, roughly.
    pub(super) fn n_bytes(&self) -> usize {
        let blocks: usize = self.open.iter().map(|block| size_of::<PanicEvent<'_>>() + block.message.len()).sum();
        blocks + self.part.as_ref().map_or(0, |part| part.text.len())
    }

    /// Whether a line was begun.
    pub(super) fn is_partial(&self) -> bool {
        self.part.is_some()
    }

    /// Joins the parts of a line; gives it with the place and the seed of its first part when it is whole.
    pub(super) fn join(
        &mut self,
        words: &str,
        (place, seed, when): (&Place, Option<PanicEvent<'static>>, When),
        goes_on: bool,
        desk: &mut Desk<'_>,
    ) -> Option<(Place, Option<PanicEvent<'static>>, String)> {
        let part = self.part.get_or_insert_with(|| {
            desk.held.hold(place);
            Part { place: place.clone(), seed: None, text: String::new(), until: when.until }
        });
        let room = LINE_BYTES_MAX.saturating_sub(part.text.len());
        part.text.push_str(words.get(..words.floor_char_boundary(room)).unwrap_or_default());
        part.seed = part.seed.take().or(seed);
        part.until = when.until;
        if goes_on {
            return None;
        }
        let part = self.part.take()?;
        desk.held.release(&part.place);
        Some((part.place, part.seed, part.text))
    }

    /// A header: the panics before it that have a message are over.
    pub(super) fn begin(&mut self, header: &Header<'_>, origin: &mut Origin<'_>, desk: &mut Desk<'_>) -> Vec<Block> {
        let mut done = self.end_written();
        let Some(event) = origin.event() else { return done };
        desk.held.hold(origin.place);
        self.open.push_back(Block::of(header, event, origin));
        if self.open.len() > OPEN_MAX {
            done.extend(self.open.pop_front());
        }
        done
    }

    /// Ends the panics that have a message; one whose quotes are open goes on beside the next.
    pub(super) fn end_written(&mut self) -> Vec<Block> {
        let (done, open) = std::mem::take(&mut self.open).into_iter().partition(Block::is_told);
        self.open = open;
        Vec::from(std::convert::identity::<VecDeque<Block>>(done))
    }

    /// Ends all panics.
    pub(super) fn end_all(&mut self) -> Vec<Block> {
        Vec::from(std::mem::take(&mut self.open))
    }

    /// The oldest panic that has waited until `now`, if there is one; a part of a line that has is dropped.
    pub(super) fn overdue(&mut self, now: Millis, desk: &mut Desk<'_>) -> Option<Block> {
        if let Some(part) = self.part.take_if(|part| part.until < now) {
            desk.held.release(&part.place);
        }
        let at = self.open.iter().position(|block| block.until < now)?;
        self.open.remove(at)
    }

    /// A line of a log between the lines of panics; whether it was of use.
    pub(super) fn log(&mut self, raw: &str, when: When) -> bool {
        let Some(block) = self.open.back_mut() else { return false };
        match block.phase {
            Phase::Message if block.is_written() => block.phase = Phase::Over,
            Phase::Message => {
                let bounded = raw.get(..raw.floor_char_boundary(FREE_TEXT_BYTES_MAX)).unwrap_or_default();
                block.spare.get_or_insert_with(|| bounded.to_owned());
                block.until = when.until;
                return true;
            }
            Phase::Quotes => block.add(raw),
            Phase::Over | Phase::Frames => {}
        }
        false
    }

    /// The panic that a line belongs to: the one whose quotes it ends, the oldest that has no message, the newest.
    fn addressee(&self, line: &Line<'_>, raw: &str) -> Option<usize> {
        let newest = self.open.len().checked_sub(1);
        if *line != Line::Plain {
            return newest;
        }
        let quoted = self.open.iter().position(|block| block.phase == Phase::Quotes);
        let ended = quoted.filter(|_| line::end_of_quotes(raw).is_some());
        let unwritten = || self.open.iter().position(|block| !block.is_written() && block.phase == Phase::Message);
        ended.or_else(unwritten).or(newest)
    }

    /// A line that may belong to a panic: whether it does, and the panic that it ends.
    pub(super) fn go_on(&mut self, line: &Line<'_>, raw: &str, when: When) -> (bool, Option<Block>) {
        let Some(at) = self.addressee(line, raw) else { return (false, None) };
        let Some(block) = self.open.get_mut(at) else { return (false, None) };
        block.until = when.until;
        let is_over = match (line, block.phase) {
            (_, Phase::Quotes) => {
                match line::end_of_quotes(raw) {
                    Some((rest, at)) => {
                        block.add(rest);
                        block.locate(at);
                        block.phase = Phase::Over;
                    }
                    None => block.add(raw),
                }
                false
            }
            (Line::Backtrace, _) => {
                block.phase = Phase::Frames;
                block.n_lines = block.n_lines.max(1);
                false
            }
            (Line::Plain, Phase::Message) if ends_stack(block, raw) => true,
            (Line::Plain, Phase::Message) => {
                block.add(raw.strip_suffix('\r').unwrap_or(raw));
                false
            }
            (Line::Plain, Phase::Over) => !raw.trim().is_empty(),
            (Line::Plain, Phase::Frames) => !take_frame(block, raw),
            _ => true,
        };
        (true, if is_over { self.open.remove(at) } else { None })
    }
}

/// Whether this is where `console_error_panic_hook` puts the stack of JavaScript behind a message.
fn ends_stack(block: &Block, raw: &str) -> bool {
    raw.trim_end() == "Stack:" && block.message.ends_with('\n')
}

/// Takes a line of a backtrace; whether it was one.
fn take_frame(block: &mut Block, raw: &str) -> bool {
    block.n_lines += 1;
    if block.n_lines > MESSAGE_LINES_MAX + BACKTRACE_LINES_MAX {
        return false;
    }
    match frame::read(raw) {
        Frame::Function(function) => {
            if block.event.panic.backtrace.len() < FRAMES_MAX {
                block.event.panic.backtrace.push(function.into_owned().into());
            }
            true
        }
        Frame::Skipped => true,
        Frame::End => false,
    }
}
