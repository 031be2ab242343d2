//! What was told of one panic, and by whom: the same panic may be told once by each teller.
//!
//! Two tellings are of one panic when their messages begin alike (their first lines, as far as both go), their places do
//! not contradict each other, and no teller told both. The structured line says most and wins; else each says what the others
//! left out. Cost: a comparison with each panic of the process that waits.

use std::borrow::Cow;

use crate::pipeline::decode::FREE_TEXT_BYTES_MAX;
use crate::pipeline::decode::text::{json, line};
use crate::pipeline::event::{Millis, PanicEvent, RecoveryOutcome};
use crate::pipeline::gather::Place;

/// Bytes of a message that are compared.
const COMPARED_BYTES: usize = 512;

/// Who tells of a panic: one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Teller(u8);

/// The hook's block, or the text of `PanicHookInfo`.
const BLOCK: Teller = Teller(1);
/// `tracing-panic`, or another log line that has it all.
const LOGGED: Teller = Teller(2);
/// The layer that caught it.
const CAUGHT: Teller = Teller(4);
/// The producer's structured line.
const STRUCTURED: Teller = Teller(8);
/// The runtime, of an end without a panic.
const DIED: Teller = Teller(16);

/// A panic as told so far.
#[derive(Debug)]
pub(super) struct Telling {
    tellers: Teller,
    event: Box<PanicEvent<'static>>,
    place: Place,
    until: Millis,
    /// Thread name and number; numbers are not kept in events.
    thread: (Option<String>, Option<String>),
}

impl Telling {
    /// A panic told by its block.
    pub(super) fn block(event: Box<PanicEvent<'static>>, number: Option<String>, place: Place, until: Millis) -> Self {
        let thread = (event.panic.thread.as_deref().map(str::to_owned), number);
        Self { tellers: BLOCK, event, place, until, thread }
    }

    /// An end without a panic.
    pub(super) fn died(event: PanicEvent<'static>, place: &Place, until: Millis) -> Self {
        Self { tellers: DIED, event: Box::new(event), place: place.clone(), until, thread: (None, None) }
    }

    /// A panic that a layer caught; its message where it was a text.
    pub(super) fn caught(mut event: PanicEvent<'static>, message: Option<&str>, place: &Place, until: Millis) -> Self {
        event.panic.message = bounded(message.unwrap_or(line::NO_TEXT)).into();
        event.recovery = RecoveryOutcome::Degraded;
        event.boundary = Some("tower_http::catch_panic".into());
        event.handled = Some(true);
        Self { tellers: CAUGHT, event: Box::new(event), place: place.clone(), until, thread: (None, None) }
    }

    /// A panic that `tracing-panic` logged as text: `panic.payload="…" panic.location="…"`.
    pub(super) fn fields(mut event: PanicEvent<'static>, words: &str, place: &Place, until: Millis) -> Self {
        event.panic.message = quoted(words, "panic.payload=\"").unwrap_or_default().into();
        if let Some(at) = quoted(words, "panic.location=\"").as_deref().and_then(line::location) {
            at.put_into(&mut event.panic);
        }
        Self { tellers: LOGGED, event: Box::new(event), place: place.clone(), until, thread: (None, None) }
    }

    /// A panic that a log line in JSON tells, with whether its envelope names the service; `None` where it tells of none.
    pub(super) fn json(
        (seed, is_named): (PanicEvent<'static>, bool),
        told: json::Told<'_>,
        place: &Place,
        until: Millis,
    ) -> Option<Self> {
        let telling = |tellers, event| Self {
            tellers,
            event: Box::new(event),
            place: place.clone(),
            until,
            thread: (None, None),
        };
        match told {
            json::Told::Nothing => None,
            json::Told::Structured(event, _) => {
                Some(telling(STRUCTURED, structured(event.into_owned(), seed, is_named)))
            }
            json::Told::Panic(event, _) => Some(telling(LOGGED, seeded(event.into_owned(), seed))),
            json::Told::Caught(message, event, _) => {
                Some(Self::caught(seeded(event.into_owned(), seed), message.as_deref(), place, until))
            }
            json::Told::Words(words, event, _) => {
                let mut event = seeded(event.into_owned(), seed);
                shown(&mut event, &words);
                Some(telling(LOGGED, event))
            }
        }
    }

    /// Where its first line stood.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Until when it waits.
    pub(super) fn until(&self) -> Millis {
        self.until
    }

    /// Bytes that it takes, roughly.
    pub(super) fn n_bytes(&self) -> usize {
        let frames: usize = self.event.panic.backtrace.iter().map(|frame| frame.len()).sum();
        size_of::<Self>() + size_of::<PanicEvent<'_>>() + self.event.panic.message.len() + frames
    }

    /// The thread that panicked, as far as it is told.
    pub(super) fn thread(&self) -> (Option<String>, Option<String>) {
        self.thread.clone()
    }

    /// Whether the runtime's last words may be about this.
    pub(super) fn may_end(&self) -> bool {
        self.tellers.0 & (BLOCK.0 | LOGGED.0 | DIED.0) != 0
    }

    /// The process ended by it.
    pub(super) fn end(&mut self) {
        if self.tellers.0 & STRUCTURED.0 == 0 {
            self.event.recovery = RecoveryOutcome::Aborted;
        }
    }

    /// Whether both are told of the same panic.
    pub(super) fn is_of(&self, other: &Self) -> bool {
        if self.tellers.0 & other.tellers.0 != 0 || (self.tellers.0 | other.tellers.0) & DIED.0 != 0 {
            return false;
        }
        let (ours, theirs) = (&self.event.panic, &other.event.panic);
        let agree = match (ours.file.as_deref(), theirs.file.as_deref()) {
            (Some(our_file), Some(their_file)) => (our_file, ours.line) == (their_file, theirs.line),
            _ => true,
        };
        agree && compared(&ours.message) == compared(&theirs.message)
    }

    /// Takes what another telling of the same panic says.
    pub(super) fn join(&mut self, other: Self) {
        let until = self.until.max(other.until);
        let tellers = Teller(self.tellers.0 | other.tellers.0);
        let is_theirs = other.tellers == STRUCTURED;
        let outcome = stronger(self.event.recovery, other.event.recovery);
        let (mut event, less) =
            if is_theirs { (other.event, &*self.event) } else { (std::mem::take(&mut self.event), &*other.event) };
        if tellers.0 & STRUCTURED.0 == 0 {
            event.recovery = outcome;
        }
        complete(&mut event, less);
        if self.thread == (None, None) {
            self.thread = other.thread;
        }
        (self.event, self.until, self.tellers) = (event, until, tellers);
    }

    /// The event and its place; what stays behind says nothing any more.
    pub(super) fn take(&mut self) -> (Place, PanicEvent<'static>) {
        (self.place.clone(), std::mem::take(&mut *self.event))
    }
}

/// Of two words on the outcome the one that says more.
fn stronger(a: RecoveryOutcome, b: RecoveryOutcome) -> RecoveryOutcome {
    let rank = |outcome| match outcome {
        RecoveryOutcome::Aborted => 2,
        RecoveryOutcome::Unknown => 0,
        _ => 1,
    };
    if rank(b) > rank(a) { b } else { a }
}

/// What two messages are compared by: the first line, bounded.
fn compared(message: &str) -> &str {
    let line = message.lines().next().unwrap_or_default().trim_end();
    line.get(..line.floor_char_boundary(COMPARED_BYTES)).unwrap_or_default()
}

fn bounded(text: &str) -> String {
    text.get(..text.floor_char_boundary(FREE_TEXT_BYTES_MAX)).unwrap_or_default().to_owned()
}

/// Fills in what an event leaves out.
fn complete(event: &mut PanicEvent<'static>, less: &PanicEvent<'static>) {
    if event.panic.file.is_none() {
        event.panic.file.clone_from(&less.panic.file);
        (event.panic.line, event.panic.column) = (less.panic.line, less.panic.column);
    }
    if event.panic.message.len() < less.panic.message.len() && event.panic.message.lines().nth(1).is_none() {
        // A log line has the first line of a message alone.
        event.panic.message.clone_from(&less.panic.message);
    }
    if event.panic.backtrace.is_empty() {
        event.panic.backtrace.clone_from(&less.panic.backtrace);
    }
    let fill = |slot: &mut Option<Cow<'static, str>>, other: &Option<Cow<'static, str>>| {
        if slot.is_none() {
            slot.clone_from(other);
        }
    };
    fill(&mut event.panic.thread, &less.panic.thread);
    fill(&mut event.method, &less.method);
    fill(&mut event.path, &less.path);
    fill(&mut event.endpoint, &less.endpoint);
    fill(&mut event.boundary, &less.boundary);
    fill(&mut event.trace_id, &less.trace_id);
    fill(&mut event.client.user_agent, &less.client.user_agent);
    fill(&mut event.release, &less.release);
    fill(&mut event.host, &less.host);
    fill(&mut event.isolate, &less.isolate);
    event.client.ip = event.client.ip.or(less.client.ip);
    event.handled = event.handled.or(less.handled);
}

/// The facts of a log line, with what the envelope and the topic say.
fn seeded(facts: PanicEvent<'static>, seed: PanicEvent<'static>) -> PanicEvent<'static> {
    PanicEvent {
        endpoint: facts.endpoint,
        method: facts.method,
        path: facts.path,
        panic: facts.panic,
        client: facts.client,
        trace_id: facts.trace_id,
        ..seed
    }
}

/// The producer's event. Its time is the seed's, to which the clock rule was applied; the words of the envelope and of
/// the configuration on service and tenant are above the text's.
fn structured(event: PanicEvent<'static>, seed: PanicEvent<'static>, is_named: bool) -> PanicEvent<'static> {
    PanicEvent {
        time: seed.time,
        clock_replaced: seed.clock_replaced,
        carrier: seed.carrier,
        tenant: if seed.tenant.is_empty() { event.tenant } else { seed.tenant },
        service: if is_named { seed.service } else { event.service },
        host: event.host.or(seed.host),
        release: event.release.or(seed.release),
        isolate: event.isolate.or(seed.isolate),
        ..event
    }
}

/// Location and message of a text as `PanicHookInfo` shows it.
fn shown(event: &mut PanicEvent<'static>, words: &str) {
    let (first, rest) = words.split_once('\n').unwrap_or((words, ""));
    let Some(header) = line::header(first) else { return };
    event.panic.thread = header.thread.map(|thread| thread.to_owned().into());
    let mut location = header.location;
    let message = match header.message {
        line::Words::Follow => rest,
        line::Words::Whole(message) => message,
        line::Words::Begin(message) => {
            match words.split_once(message).map(|(_, tail)| tail).and_then(line::end_of_quotes) {
                Some((_, at)) => {
                    location = Some(at);
                    message
                }
                None => message,
            }
        }
    };
    event.panic.message = bounded(message).into();
    if let Some(at) = location {
        at.put_into(&mut event.panic);
    }
}

/// The text in quotes behind `key`, as `Debug` writes it.
fn quoted(words: &str, key: &str) -> Option<String> {
    let (_, rest) = words.split_once(key)?;
    let mut text = String::new();
    let mut letters = rest.chars();
    loop {
        match letters.next()? {
            '"' => return Some(text),
            '\\' => match letters.next()? {
                'n' => text.push('\n'),
                't' => text.push('\t'),
                'r' => text.push('\r'),
                letter => text.push(letter),
            },
            letter => text.push(letter),
        }
        if text.len() > FREE_TEXT_BYTES_MAX {
            return Some(text);
        }
    }
}
