//! What a Rust program writes to standard error or into its log, with or without a log agent's envelope.
//!
//! Reads a record of a log topic; gives [`Piece::Line`]s, of which [`crate::pipeline::gather`] makes events: a panic's
//! lines may stand in several records, and one panic may be told by several of them. Most lines of a log tell nothing:
//! a search for a few words comes before anything else, and what has none of them is handed on unread, to be read only
//! where a panic's lines are just being put together.
//!
//! | what a text says | outcome |
//! |---|---|
//! | a panic's block, `tracing-panic`, a `human-panic` report, `PanicHookInfo`'s text | unknown: the hook runs before anybody can catch |
//! | tower-http's `Service panicked`, alone or with the block of the same panic | degraded (the client gets a 500) |
//! | `… non-unwinding panic. aborting.`, `thread panicked while …` after a block | aborted |
//! | `fatal runtime error: …`, `… has overflowed its stack`, `memory allocation of … failed` | aborted |
//! | the structured line (`{"panic_event": {…}}`, or a bare event) | what it says; it wins over the others |
//!
//! A `JoinError`'s text (`task 5 panicked with message "…"`) is no panic: the hook told of it before, with its place;
//! where somebody silenced the hook, it says neither where nor when. Lines of an exit (`exited with code 134`) are none
//! either.
//!
//! **What text can know:** message, location, thread; functions, where `RUST_BACKTRACE` is set; time, service, host, pod
//! or process and release, where an agent tells them. **What it cannot know:** client, token, payload, idempotency key,
//! side effects; route, method and address only where a span of the same log line has them.
//!
//! **What can be forged.** Whoever writes to a standard error can write anything there, and a message with line breaks
//! looks like several lines. So a client whose words a program puts into its message can end that message early, and
//! can make up further panics and structured lines *of that same source*: service, host and process come from the
//! envelope, never from the text, as soon as the envelope (or syslog) names a service. The panic itself always comes out, with
//! its true location and the beginning of its message. In a topic without envelopes a structured line's own service
//! counts, and there nothing keeps lines of one program from speaking for another.
//!
//! Limits: those of [`envelope`] and of the gatherer. Cost: a search of the record's bytes; some microseconds for
//! what tells of a panic.

use std::borrow::Cow;
use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::found::Find;
use super::{NAME_BYTES_MAX, Piece, Refusal};
use crate::pipeline::event::owned::owned;
use crate::pipeline::event::{Millis, PanicEvent};

pub(in crate::pipeline) mod line;

pub(in crate::pipeline) mod frame;

mod envelope;
pub(in crate::pipeline) mod json;

#[cfg(test)]
mod tests;

/// Most lines of one record that are read: a backtrace has some hundred.
pub(in crate::pipeline) const LINES_MAX: usize = 16_384;

/// One of these stands in every record that tells of a panic. journald writes a text that does not print as an array of
/// bytes, which shows none of them.
static WORDS: LazyLock<[Finder<'static>; 6]> = LazyLock::new(|| {
    ["anic", "fatal runtime error", "overflowed its stack", "memory allocation of ", "MESSAGE\":[", "MESSAGE\": ["]
        .map(Finder::new)
});

/// A record of a log.
#[derive(Debug, Clone, PartialEq)]
pub enum LogLine<'a> {
    /// It tells nothing by itself, but may go on with what another record began.
    Unread {
        /// The record's bytes.
        payload: Cow<'a, [u8]>,
        /// The broker's time.
        broker_time: Option<Millis>,
    },
    /// A text of it, read.
    Read(Box<LogText<'a>>),
}

/// A text of a log and where it came from.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LogText<'a> {
    /// Names of the process that wrote it, as far as they are told; empty for plain text.
    pub process: Cow<'a, str>,
    /// `stderr`, `stdout` or nothing: lines of one stream are in order.
    pub stream: Cow<'a, str>,
    /// Service, where the envelope names one.
    pub service: Option<Cow<'a, str>>,
    /// Release.
    pub release: Option<Cow<'a, str>>,
    /// Host.
    pub host: Option<Cow<'a, str>>,
    /// Pod or process.
    pub isolate: Option<Cow<'a, str>>,
    /// When it was written.
    pub time: Option<Millis>,
    /// When the broker got it.
    pub broker_time: Option<Millis>,
    /// One line or several.
    pub text: Cow<'a, str>,
    /// Its last line goes on in the next record of this stream.
    pub is_partial: bool,
    /// Of a text that tells of a panic: what every event of it has. `None` for one that can only go on.
    pub seed: Option<Box<PanicEvent<'a>>>,
}

impl LogLine<'_> {
    /// The same with bytes of its own.
    pub fn into_owned(self) -> LogLine<'static> {
        match self {
            Self::Unread { payload, broker_time } => {
                LogLine::Unread { payload: Cow::Owned(payload.into_owned()), broker_time }
            }
            Self::Read(text) => LogLine::Read(Box::new(text.into_owned())),
        }
    }
}

impl LogText<'_> {
    /// The same with texts of its own.
    pub fn into_owned(self) -> LogText<'static> {
        LogText {
            process: owned(self.process),
            stream: owned(self.stream),
            service: self.service.map(owned),
            release: self.release.map(owned),
            host: self.host.map(owned),
            isolate: self.isolate.map(owned),
            text: owned(self.text),
            seed: self.seed.map(|seed| Box::new(seed.into_owned())),
            ..self
        }
    }

    /// The time that counts for waiting: the broker's, which no producer chooses, else its own.
    pub(in crate::pipeline) fn waits_from(&self) -> Option<Millis> {
        self.broker_time.or(self.time)
    }
}

/// Reads one record.
///
/// Errors: JSON that breaks and seems to tell of a panic; a panic without a time or a service; a structured line that breaks its
/// contract.
pub(super) fn read<'a>(payload: &'a [u8], find: &mut Find<'_, 'a>) -> Result<(), Refusal> {
    let broker_time = find.record().broker_time;
    if !WORDS.iter().any(|word| word.find(payload).is_some()) {
        // An empty line may be one of a message.
        find.piece(Piece::Line(LogLine::Unread { payload: Cow::Borrowed(payload), broker_time }));
        return Ok(());
    }
    let mut texts = envelope::open(payload)?;
    if let [text] = texts.as_mut_slice()
        && let Some(report) = report(&text.text)
    {
        let (event, at) = (with_origin(report, text), text.time);
        return find.event(event, at);
    }
    let n_texts = texts.len();
    for (item, mut text) in texts.into_iter().enumerate() {
        match seed(&text, find) {
            Ok(seed) => text.seed = seed,
            Err(refusal) if n_texts == 1 => return Err(refusal),
            Err(refusal) => {
                find.refuse_item(item, refusal);
                continue;
            }
        }
        text.broker_time = broker_time;
        find.piece(Piece::Line(LogLine::Read(Box::new(text))));
    }
    Ok(())
}

/// The texts of a record that was handed on unread; none, where they cannot be read.
pub(in crate::pipeline) fn open(payload: &[u8], broker_time: Option<Millis>) -> Vec<LogText<'_>> {
    let mut texts = envelope::open(payload).unwrap_or_default();
    for text in &mut texts {
        text.broker_time = broker_time;
    }
    texts
}

/// What every event of a text has, if the text tells of one.
///
/// Errors: it does, and has no time or no service; a structured line that breaks its contract.
fn seed<'a>(text: &LogText<'a>, find: &Find<'_, 'a>) -> Result<Option<Box<PanicEvent<'a>>>, Refusal> {
    let mut tells = text.is_partial;
    let mut base = PanicEvent::default();
    let mut sent_at = text.time;
    for line in text.text.lines().take(LINES_MAX) {
        let line = line::plain(line);
        match line::read(&line) {
            line::Line::Json(json) => match json::read(json)? {
                json::Told::Nothing => {}
                json::Told::Structured(event, at) => {
                    base.service = Cow::Owned(event.service.into_owned());
                    (tells, sent_at) = (true, sent_at.or(Some(at)));
                }
                json::Told::Panic(_, at) | json::Told::Caught(_, _, at) | json::Told::Words(_, _, at) => {
                    (tells, sent_at) = (true, sent_at.or(at));
                }
            },
            line => tells |= line.tells(),
        }
        if tells {
            break;
        }
    }
    if !tells {
        return Ok(None);
    }
    find.complete(with_origin(base, text), sent_at.or_else(|| own_time(&text.text))).map(|event| Some(Box::new(event)))
}

/// The time that a log line itself tells at its beginning, where nobody around it does.
fn own_time(text: &str) -> Option<Millis> {
    let first = line::plain(text.lines().next()?);
    Millis::parse(first.trim_start_matches('[').split([' ', ']']).next()?)
}

/// An event with what the envelope says of its origin.
fn with_origin<'a>(event: PanicEvent<'a>, text: &LogText<'a>) -> PanicEvent<'a> {
    let service = text.service.clone().unwrap_or_else(|| event.service.clone());
    PanicEvent {
        service,
        release: text.release.clone().or_else(|| event.release.clone()),
        host: text.host.clone().or_else(|| event.host.clone()),
        isolate: text.isolate.clone().or_else(|| event.isolate.clone()),
        ..event
    }
}

/// A `human-panic` report as it writes it into a file.
#[derive(serde::Deserialize)]
struct Report {
    name: Option<String>,
    crate_version: Option<String>,
    explanation: String,
    cause: String,
    backtrace: Option<String>,
}

/// The panic of a text that is a whole `human-panic` report (TOML; 2.0, and 1.x with its keys in quotes).
fn report(text: &str) -> Option<PanicEvent<'static>> {
    let start = text.trim_start();
    if !(start.starts_with("name") || start.starts_with("\"name\"")) || !text.contains("explanation") {
        return None;
    }
    let report: Report = toml::from_str(text).ok()?;
    let mut event = json::reported(&report.explanation, Cow::Owned(report.cause), report.backtrace.as_deref());
    let named = |name: Option<String>| name.filter(|name| name.len() <= NAME_BYTES_MAX);
    event.service = Cow::Owned(named(report.name).unwrap_or_default());
    event.release = named(report.crate_version).map(Cow::Owned);
    Some(event)
}
