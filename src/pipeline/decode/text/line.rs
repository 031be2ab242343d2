//! What one line of a program's output says of a panic, by its wording alone.
//!
//! Reads a line without its line end and without colours; gives a [`Line`] that borrows from it. The wordings are those
//! of Rust's standard library from 1.63 to 1.97 (`library/std/src/panicking.rs`, `rt.rs`, `alloc.rs`, the stack guard's
//! handler), of `tower-http` 0.6 and of `log-panics` 2.1. A line that begins as a log line does (a date, a level) tells of
//! a panic only at the level `ERROR`: hooks and layers log there, and what a client sent is seldom logged there.
//!
//! Never: a guess. `panicked at` without a location is an ordinary line. Cost: some prefix checks; a search in log lines
//! alone.

use std::borrow::Cow;

use super::super::site::stable_file;
use crate::pipeline::event::PanicFacts;

/// What a line says.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::pipeline) enum Line<'a> {
    /// A panic begins; its message follows, or stands in the same line.
    Header(Header<'a>),
    /// A panic's message is over: how to get a backtrace.
    Note,
    /// A panic's message is over: its backtrace follows.
    Backtrace,
    /// The panic told last ended the process.
    Aborting,
    /// The runtime gave up; its words.
    Fatal(&'a str),
    /// The process ended without a panic: the line, and the thread's name where it has one.
    Died(&'a str, Option<&'a str>),
    /// A layer caught a panic; its message where it could be read.
    Caught(Option<&'a str>),
    /// A panic told in one log line by `tracing-panic`, as fields.
    Fields(&'a str),
    /// A JSON object.
    Json(&'a str),
    /// A line of a log: no part of a message.
    Log,
    /// Anything else.
    Plain,
}

/// The first line of a panic.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::pipeline) struct Header<'a> {
    /// Thread name, where it is told.
    pub(in crate::pipeline) thread: Option<&'a str>,
    /// The operating system's number of the thread, from Rust 1.91 on.
    pub(in crate::pipeline) number: Option<&'a str>,
    /// Where it panicked; `None` as long as a message in quotes goes on.
    pub(in crate::pipeline) location: Option<Location<'a>>,
    /// The message, as far as this line has it.
    pub(in crate::pipeline) message: Words<'a>,
}

/// Where a panic's message stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::pipeline) enum Words<'a> {
    /// In the lines that follow (from Rust 1.73 on).
    Follow,
    /// In quotes in this line, and the quotes do not end in it (up to Rust 1.72).
    Begin(&'a str),
    /// In this line, whole.
    Whole(&'a str),
}

/// A place in the source.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::pipeline) struct Location<'a> {
    /// Source file.
    pub(in crate::pipeline) file: &'a str,
    /// Line, from 1.
    pub(in crate::pipeline) line: u32,
    /// Column, from 1, where it is told.
    pub(in crate::pipeline) column: Option<u32>,
}

impl Location<'_> {
    /// Tells a panic's facts where it happened.
    pub(in crate::pipeline) fn put_into(self, panic: &mut PanicFacts<'_>) {
        panic.file = Some(stable_file(Cow::Borrowed(self.file)).into_owned().into());
        panic.line = Some(self.line);
        panic.column = self.column;
    }
}

/// What std prints for a payload that is no text; `PanicHookInfo` prints nothing then.
pub(in crate::pipeline) const NO_TEXT: &str = "Box<dyn Any>";

impl Line<'_> {
    /// Whether this alone begins an event, so that the record must be read whatever came before it.
    pub(in crate::pipeline) fn tells(&self) -> bool {
        matches!(self, Self::Header(_) | Self::Fatal(_) | Self::Died(..) | Self::Caught(_) | Self::Fields(_))
    }
}

/// What a line says. `line` has no colours (see [`plain`]).
pub(in crate::pipeline) fn read(line: &str) -> Line<'_> {
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.starts_with('{') {
        return if line.trim_end().ends_with('}') { Line::Json(line) } else { Line::Plain };
    }
    if let Some(line) = of_runtime(line) {
        return line;
    }
    if let Some(header) = header(line) {
        return Line::Header(header);
    }
    match log_words(line) {
        Some((true, words)) => logged(words),
        Some((false, _)) => Line::Log,
        None => Line::Plain,
    }
}

/// The lines that only the runtime writes, from their beginning.
fn of_runtime(line: &str) -> Option<Line<'_>> {
    const ABORTING: [&str; 3] = [
        "thread caused non-unwinding panic. aborting.",
        "thread panicked while panicking. aborting.",
        "thread panicked while processing panic. aborting.",
    ];
    if line.starts_with("note: run with `RUST_BACKTRACE=")
        || line.starts_with("note: Run with `RUST_BACKTRACE=")
        || line.starts_with("note: Some details are omitted, run with `RUST_BACKTRACE=")
    {
        return Some(Line::Note);
    }
    if line.trim_end() == "stack backtrace:" {
        return Some(Line::Backtrace);
    }
    if ABORTING.contains(&line.trim_end()) {
        return Some(Line::Aborting);
    }
    if let Some(words) = line.strip_prefix("fatal runtime error: ") {
        return Some(Line::Fatal(words.trim_end()));
    }
    let n_bytes = line.strip_prefix("memory allocation of ").and_then(|rest| rest.split_once(" bytes failed"));
    if n_bytes.is_some_and(|(n_bytes, _)| is_number(n_bytes)) {
        return Some(Line::Died(line.trim_end(), None));
    }
    let (thread, _, rest) = thread(line)?;
    (rest.trim_end() == "has overflowed its stack").then(|| Line::Died(line.trim_end(), Some(thread)))
}

/// What a log line at the level `ERROR` says, from behind its level.
fn logged(words: &str) -> Line<'_> {
    let begins = |at: usize| at == 0 || words.get(..at).is_some_and(|before| before.ends_with(": "));
    for beginning in ["thread '", "panicked at "] {
        if let Some(at) = words.find(beginning).filter(|at| begins(*at))
            && let Some(header) = words.get(at..).and_then(header)
        {
            return Line::Header(header);
        }
    }
    if words.contains("panic.payload=\"") && words.contains("A panic occurred") {
        return Line::Fields(words);
    }
    caught(words).unwrap_or(Line::Log)
}

/// The words of tower-http's `CatchPanic` layer, as a [`Line::Caught`].
pub(super) fn caught(words: &str) -> Option<Line<'_>> {
    let at = words.find("Service panicked")?;
    let (before, words) = words.split_at_checked(at)?;
    if !(before.is_empty() || before.ends_with("catch_panic: ")) {
        return None;
    }
    if let Some(message) = words.strip_prefix("Service panicked: ") {
        return Some(Line::Caught(Some(message)));
    }
    words.starts_with("Service panicked but `CatchPanic` was unable to downcast").then_some(Line::Caught(None))
}

/// A panic's first line: `[thread 'NAME' [(ID) ]]panicked at …`, as standard error or `PanicHookInfo` writes it.
pub(in crate::pipeline) fn header(line: &str) -> Option<Header<'_>> {
    const WRAPPERS: [&str; 5] = ["Uncaught ", "Error: ", "PanicError: ", "Critical ", "Rust panic: "];
    if let Some((thread, number, rest)) = thread(line) {
        let (location, message) = told(rest.strip_prefix("panicked at ")?, true)?;
        return Some(Header { thread: Some(thread), number, location, message });
    }
    let bare = WRAPPERS.iter().fold(line, |line, wrapper| line.strip_prefix(wrapper).unwrap_or(line));
    let (location, message) = told(bare.strip_prefix("panicked at ")?, false)?;
    Some(Header { thread: None, number: None, location, message })
}

/// `thread 'NAME' [(ID) ]`: the name, the number, and what follows.
fn thread(line: &str) -> Option<(&str, Option<&str>, &str)> {
    let (name, rest) = line.strip_prefix("thread '")?.split_once("' ")?;
    match rest.strip_prefix('(').and_then(|rest| rest.split_once(") ")) {
        Some((number, rest)) if is_number(number) => Some((name, Some(number), rest)),
        _ => Some((name, None, rest)),
    }
}

/// What follows `panicked at `: location and message in the order of their release.
fn told(words: &str, may_go_on: bool) -> Option<(Option<Location<'_>>, Words<'_>)> {
    if let Some(quoted) = words.strip_prefix('\'') {
        return match end_of_quotes(quoted) {
            Some((message, location)) => Some((Some(location), Words::Whole(message))),
            None => may_go_on.then_some((None, Words::Begin(quoted))),
        };
    }
    let words = words.trim_end();
    if let Some(place) = words.strip_suffix(':') {
        return location(place).filter(|place| place.column.is_some()).map(|place| (Some(place), Words::Follow));
    }
    let place = location(words).filter(|place| place.column.is_some())?;
    Some((Some(place), Words::Whole(NO_TEXT)))
}

/// The end of a message in quotes, and the location behind it: `', FILE:L:C` or, of log-panics, `': FILE:L`.
pub(in crate::pipeline) fn end_of_quotes(line: &str) -> Option<(&str, Location<'_>)> {
    let ends = |end| line.rsplit_once(end).and_then(|(message, place)| Some((message, location(place.trim_end())?)));
    ends("', ").or_else(|| ends("': "))
}

/// `FILE:L:C` or `FILE:L`.
pub(in crate::pipeline) fn location(text: &str) -> Option<Location<'_>> {
    let (front, last) = text.rsplit_once(':')?;
    let last = number(last)?;
    let (file, line, column) = match front.rsplit_once(':').and_then(|(file, line)| Some((file, number(line)?))) {
        Some((file, line)) => (file, line, Some(last)),
        None => (front, last, None),
    };
    (!file.trim().is_empty()).then_some(Location { file, line, column })
}

fn number(text: &str) -> Option<u32> {
    is_number(text).then(|| text.parse().ok()).flatten()
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Of a line that begins as logs do: whether its level is `ERROR`, and what follows it. `None`: no log line.
fn log_words(line: &str) -> Option<(bool, &str)> {
    let line = line.trim_start_matches([' ', '[']);
    let date = |bytes: &[u8]| {
        let is = |at: usize, byte: u8| bytes.get(at) == Some(&byte);
        let digits = [0, 1, 2, 3, 5, 6, 8, 9, 11, 12].iter().all(|at| bytes.get(*at).is_some_and(u8::is_ascii_digit));
        digits && is(4, b'-') && is(7, b'-') && (is(10, b'T') || is(10, b' '))
    };
    let is_dated = date(line.as_bytes());
    // Date and time may have a space between them: the level is looked for among the first words.
    let mut rest = line;
    for _ in 0..3 {
        let (word, after) = rest.split_once([' ', ']']).unwrap_or((rest, ""));
        match word.trim_matches(['[', ']']) {
            "ERROR" => return Some((true, after.trim_start_matches([' ', ']']))),
            "WARN" | "INFO" | "DEBUG" | "TRACE" => return Some((false, after)),
            _ if !is_dated => return None,
            _ => rest = after.trim_start(),
        }
    }
    Some((false, rest))
}

/// The line without the escapes that colour it.
pub(in crate::pipeline) fn plain(line: &str) -> Cow<'_, str> {
    if !line.contains('\u{1b}') {
        return Cow::Borrowed(line);
    }
    let mut bare = String::with_capacity(line.len());
    let mut parts = line.split("\u{1b}[");
    bare.push_str(parts.next().unwrap_or_default());
    for part in parts {
        bare.push_str(part.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';').get(1..).unwrap_or_default());
    }
    Cow::Owned(bare)
}

#[cfg(test)]
mod tests;
