//! Where a panic happened, from the texts that other people's forms carry: a panic's own first line, and backtraces.
//!
//! Reads `panicked at FILE:L:C:` in its forms (Rust up to 1.72, from 1.73, from 1.91 with a thread number; a Worker's
//! `Rust panic: ` before it) and backtraces as `std` prints them or as frames of an SDK. A backtrace
//! begins with the panic hook and the machinery of `std`; the site is the first frame below it that is not `std`'s own,
//! which is the place that panics with `#[track_caller]` name as well. Paths of build machines are made stable: two
//! builds of one source have one file name.
//!
//! The first line counts only at the start of a text: a line further down may be what a client sent.
//!
//! Never: a value of a payload. Limits: [`LINES_MAX`]. Cost: linear, an allocation a backtrace.

use std::borrow::Cow;

use super::FRAMES_MAX;
use super::field::cut;
use crate::pipeline::event::owned::owned;

/// Most lines of a backtrace that are looked at: the site is near its top, and a runaway recursion fills the rest.
const LINES_MAX: usize = 1_024;

/// Longest function name that is kept: generic names grow without bound.
const FUNCTION_BYTES_MAX: usize = 1_024;

/// A place in a source file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Place<'a> {
    /// File as it stood there.
    pub(super) file: Cow<'a, str>,
    /// Line, from 1.
    pub(super) line: Option<u32>,
    /// Column, from 1.
    pub(super) column: Option<u32>,
}

/// What a panic's own text says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Told<'a> {
    /// The message; empty for a payload that is no text.
    pub(super) message: Cow<'a, str>,
    /// Where.
    pub(super) place: Place<'a>,
    /// Name of the thread.
    pub(super) thread: Option<Cow<'a, str>>,
}

impl Told<'_> {
    fn into_owned(self) -> Told<'static> {
        Told { message: owned(self.message), place: self.place.into_owned(), thread: self.thread.map(owned) }
    }
}

impl Place<'_> {
    fn into_owned(self) -> Place<'static> {
        Place { file: owned(self.file), ..self }
    }
}

/// Reads `[thread 'NAME' [(ID)] ]panicked at FILE:L:C:\nMESSAGE`, or the form `panicked at 'MESSAGE', FILE:L:C` of Rust up
/// to 1.72, with a carrier's words before it; `None` for any other text.
pub(super) fn told<'a>(text: &Cow<'a, str>) -> Option<Told<'a>> {
    match text {
        Cow::Borrowed(text) => told_in(text),
        Cow::Owned(text) => told_in(text).map(Told::into_owned),
    }
}

fn told_in(text: &str) -> Option<Told<'_>> {
    const WRAPPERS: [&str; 6] =
        ["Uncaught (in response) ", "Uncaught ", "Critical ", "Error: ", "PanicError: ", "Rust panic: "];
    const TRAILERS: [&str; 3] = ["\nnote: run with `RUST_BACKTRACE", "\nstack backtrace:", "\n\nStack:\n\n"];
    let mut text = text.trim_start_matches('\n');
    for wrapper in WRAPPERS {
        text = text.strip_prefix(wrapper).unwrap_or(text);
    }
    let (thread, after) = match text.strip_prefix("thread '") {
        Some(named) => {
            let (name, after) = named.split_once(" panicked at ")?;
            (Some(name.split_once('\'').map_or(name, |(name, _)| name)).filter(|name| !name.contains('\n')), after)
        }
        None => (None, text.strip_prefix("panicked at ")?),
    };
    let mut after = after;
    for trailer in TRAILERS {
        after = after.split_once(trailer).map_or(after, |(text, _)| text);
    }
    if let Some(quoted) = after.strip_prefix('\'') {
        let (message, at) = quoted.rsplit_once("', ")?;
        let place = place_in(at.lines().next()?)?;
        return Some(Told { message: Cow::Borrowed(message), place, thread: thread.map(Cow::Borrowed) });
    }
    let (line, message) = after.split_once('\n').unwrap_or((after, ""));
    let place = place_in(line.trim_end().trim_end_matches(':'))?;
    Some(Told { message: Cow::Borrowed(message.trim_end_matches('\n')), place, thread: thread.map(Cow::Borrowed) })
}

/// Reads `FILE:L:C`.
pub(super) fn place<'a>(text: &Cow<'a, str>) -> Option<Place<'a>> {
    match text {
        Cow::Borrowed(text) => place_in(text),
        Cow::Owned(text) => place_in(text).map(Place::into_owned),
    }
}

fn place_in(text: &str) -> Option<Place<'_>> {
    let (before, column) = text.rsplit_once(':')?;
    let (file, line) = before.rsplit_once(':')?;
    let number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?;
    if file.trim().is_empty() {
        return None;
    }
    Some(Place { file: Cow::Borrowed(file), line: Some(number(line)?), column: Some(number(column)?) })
}

/// A frame of a backtrace.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct StackFrame<'a> {
    /// Function, with its path where the compiler gives it.
    pub(super) function: Cow<'a, str>,
    /// Where in the function.
    pub(super) place: Option<Place<'a>>,
}

/// The site and the function names of a backtrace as `std::backtrace` prints it: see [`below_machinery`].
pub(super) fn printed<'a>(text: &Cow<'a, str>) -> Backtrace<'a> {
    match text {
        Cow::Borrowed(text) => below_machinery(frames(text).into_iter()),
        Cow::Owned(text) => {
            let (site, functions) = below_machinery(frames(text).into_iter());
            (site.map(Place::into_owned), functions.into_iter().map(owned).collect())
        }
    }
}

/// Where it happened, and the function names from there on, innermost first.
pub(super) type Backtrace<'a> = (Option<Place<'a>>, Vec<Cow<'a, str>>);

/// The frames of a backtrace as `std::backtrace` prints it, innermost first.
fn frames(text: &str) -> Vec<StackFrame<'_>> {
    let mut frames: Vec<StackFrame<'_>> = Vec::new();
    for line in text.lines().take(LINES_MAX) {
        let line = line.trim();
        if let Some(at) = line.strip_prefix("at ") {
            if let Some(frame) = frames.last_mut().filter(|frame| frame.place.is_none()) {
                frame.place = place_in(at);
            }
        } else if let Some((number, function)) = line.split_once(": ")
            && number.bytes().all(|byte| byte.is_ascii_digit())
        {
            frames.push(StackFrame { function: Cow::Borrowed(function), place: None });
        }
    }
    frames
}

/// The site and the function names of a backtrace from it on, at most [`FRAMES_MAX`]; `frames` come innermost first.
pub(super) fn below_machinery<'a>(frames: impl Iterator<Item = StackFrame<'a>>) -> Backtrace<'a> {
    let mut kept: Vec<StackFrame<'a>> = Vec::new();
    for frame in frames.take(LINES_MAX) {
        // The innermost call of the machinery is the panic's; what stands above it is the hook and what the hook calls.
        if is_entry(&frame.function) && !kept.iter().any(|frame| is_entry(&frame.function)) {
            kept.clear();
        }
        kept.push(frame);
    }
    let mut below = kept.into_iter().skip_while(is_not_own).take(FRAMES_MAX).peekable();
    let site = below.peek().and_then(|frame| frame.place.clone());
    (site, below.map(|frame| function_name(frame.function)).collect())
}

/// Whether the function is where unwinding begins.
fn is_entry(function: &str) -> bool {
    const ENTRIES: [&str; 4] = [
        "rust_begin_unwind",
        "core::panicking::",
        "std::panicking::begin_panic",
        "std::panicking::rust_panic_with_hook",
    ];
    ENTRIES.iter().any(|entry| function.contains(entry))
}

/// Whether a frame at the top of a backtrace belongs to `std`, the runtime, or the SDK that took it.
fn is_not_own(frame: &StackFrame<'_>) -> bool {
    const STD: [&str; 5] = ["core::", "std::", "alloc::", "__rust", "rust_"];
    const SDKS: [&str; 4] = ["sentry_panic::", "sentry_backtrace::", "sentry_core::", "tracing_panic::"];
    let name = frame.function.as_ref();
    let bare = name.trim_start_matches(['<', '&', '*']);
    let is_std_impl = || {
        bare.split_once(" as ")
            .is_some_and(|(of, what)| !of.contains("::") && STD.iter().any(|crate_name| what.starts_with(crate_name)))
    };
    let is_std_file = || frame.place.as_ref().is_some_and(|place| place.file.starts_with("/rustc/"));
    STD.iter().chain(&SDKS).any(|prefix| bare.starts_with(prefix))
        || name == "<unknown>"
        || is_std_impl()
        || is_std_file()
}

/// A function's name without the hashes that differ from build to build, bounded.
fn function_name(name: Cow<'_, str>) -> Cow<'_, str> {
    let bare = match name {
        Cow::Borrowed(name) => without_hashes(name),
        Cow::Owned(name) => Cow::Owned(without_hashes(&name).into_owned()),
    };
    cut(bare, FUNCTION_BYTES_MAX)
}

/// A function's name without `::h` and 16 hex digits at its end (legacy mangling), and without `[…]` of 13 to 16 hex
/// digits behind a crate's name (v0 mangling). Cost: linear.
pub(super) fn without_hashes(function: &str) -> Cow<'_, str> {
    let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let legacy = function.rsplit_once("::h").filter(|(_, hash)| hash.len() == 16 && is_hex(hash));
    let function = legacy.map_or(function, |(function, _)| function);
    if !function.contains('[') {
        return Cow::Borrowed(function);
    }
    let mut bare = String::with_capacity(function.len());
    let mut parts = function.split('[');
    bare.push_str(parts.next().unwrap_or_default());
    for part in parts {
        match part.split_once(']') {
            Some((hash, rest)) if (13..=16).contains(&hash.len()) && is_hex(hash) => bare.push_str(rest),
            _ => {
                bare.push('[');
                bare.push_str(part);
            }
        }
    }
    Cow::Owned(bare)
}

/// A file's name as it is in every build: `src/orders.rs`, `serde_json-1.0.150/src/de.rs`, `library/core/src/option.rs`.
pub(super) fn stable_file(file: Cow<'_, str>) -> Cow<'_, str> {
    match file {
        Cow::Borrowed(file) => stable(file),
        Cow::Owned(file) => Cow::Owned(stable(&file).into_owned()),
    }
}

fn stable(file: &str) -> Cow<'_, str> {
    if file.contains('\\') {
        return Cow::Owned(stable(&file.replace('\\', "/")).into_owned());
    }
    if let Some((_, crates)) = file.split_once("/registry/src/") {
        return Cow::Borrowed(crates.split_once('/').map_or(crates, |(_, of_crate)| of_crate));
    }
    if let Some((_, library)) = file.strip_prefix("/rustc/").and_then(|rest| rest.split_once('/')) {
        return Cow::Borrowed(library);
    }
    let is_absolute = file.starts_with('/') || file.get(1..3) == Some(":/");
    if !is_absolute {
        return Cow::Borrowed(file.strip_prefix("./").unwrap_or(file));
    }
    if let Some(at) = file.rfind("/src/") {
        return Cow::Borrowed(file.get(at + 1..).unwrap_or(file));
    }
    Cow::Borrowed(file.rsplit('/').next().unwrap_or(file))
}

#[cfg(test)]
mod tests;
