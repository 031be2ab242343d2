//! The signs of one invocation → its panics, each once.
//!
//! One panic is told up to three times: by the hook's line, by the trap that ended it, by an exception. In the order in
//! which they stand (clocks stand still within an invocation):
//!
//! * Each line of the hook is a panic. A trap behind it ended it, unless its stack says that it came from elsewhere.
//! * An exception with the message of a panic is that panic; one that is a panic by its stack and has no line is one of
//!   its own; any other is a fault of JavaScript, and silent.
//! * The hang text is the end of a panic that nobody caught; where there is none, it is the only sign of an abort.
//! * The producer's own event stands for the panic with its message or place (or for the only one there is), and takes
//!   from it and from the invocation what it does not say.
//!
//! Never: a panic for a sign that has no backing (see [`super::signs`]). Cost: a comparison a pair of signs, at most
//! [`super::SIGNS_MAX`] squared.

use std::borrow::Cow;

use super::super::site::stable_file;
use super::Ending;
use super::signs::{NO_MESSAGE, Panic, Sign, Trap, without_cut_mark};
use crate::pipeline::event::{Client, Millis, PanicEvent, RecoveryOutcome};

/// What is known of one invocation of a Worker.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Invocation<'a> {
    /// What all its panics have in common: service, release, request, client.
    pub base: PanicEvent<'a>,
    /// Beginning of its panics' ids, where it has a name of its own.
    pub key: Option<String>,
    /// When it began.
    pub time: Option<Millis>,
    /// How it ended.
    pub ending: Ending,
    /// What it logged and threw, in order.
    pub signs: Vec<Sign<'a>>,
}

/// A panic, as far as it was put together.
#[derive(Default)]
struct Found<'a> {
    kind: Kind,
    panic: Panic<'a>,
    is_caught: bool,
    is_trapped: bool,
    is_hung: bool,
    told: Option<(Box<PanicEvent<'a>>, Millis)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Kind {
    /// The hook or an exception tells of a panic.
    #[default]
    Panic,
    /// The engine stopped the instance.
    Trap,
    /// A dead instance was used.
    Dead,
    /// The runtime gave up waiting.
    Hang,
    /// The producer alone tells of it.
    Told,
}

/// The panics of an invocation, each with its time, if one is told.
pub fn events(invocation: Invocation<'_>) -> Vec<(PanicEvent<'_>, Option<Millis>)> {
    let Invocation { base, key, time, ending, signs } = invocation;
    if signs.is_empty() {
        return Vec::new();
    }
    let found = gathered(signs, ending);
    let mut events = Vec::with_capacity(found.len());
    for (n, found) in found.into_iter().enumerate() {
        let at = found.panic.at.or(time);
        let mut event = base.clone();
        event.recovery = recovery(&found, ending, base.status);
        if found.is_caught {
            event.boundary = Some(Cow::Borrowed("wasm-bindgen"));
        }
        if let Some(key) = &key {
            event.event_id = Cow::Owned(format!("{key}:{n}"));
        }
        event.notes.n_cut = event.notes.n_cut.saturating_add(u32::from(found.panic.is_cut));
        let message = found.panic.message;
        event.panic.message = if message.is_empty() { Cow::Borrowed(NO_MESSAGE) } else { message };
        event.panic.backtrace = found.panic.frames;
        if let Some((file, line, column)) = found.panic.place {
            event.panic.file = Some(stable_file(file));
            event.panic.line = Some(line);
            event.panic.column = Some(column);
        }
        events.push(match found.told {
            Some((told, told_at)) => (joined(*told, event), Some(told_at)),
            None => (event, at),
        });
    }
    events
}

/// The signs put together.
fn gathered(signs: Vec<Sign<'_>>, ending: Ending) -> Vec<Found<'_>> {
    let is_backed = ending == Ending::Failed || signs.iter().any(is_exception);
    let (exceptions, logs): (Vec<_>, Vec<_>) = signs.into_iter().partition(is_exception);
    let mut found: Vec<Found<'_>> = Vec::new();
    let mut told = Vec::new();
    for sign in logs {
        match sign {
            Sign::Panic(panic) if is_backed || !panic.needs_backing => {
                found.push(Found { panic, ..Found::default() });
            }
            Sign::Trap(trap) => trapped(&mut found, trap),
            Sign::Told { event, at } => told.push((event, at)),
            _ => {}
        }
    }
    pair(&mut found, told);
    let mut hang = None;
    let alone = |kind, message, at| {
        let panic = Panic { message, at, ..Panic::default() };
        Found { kind, panic, ..Found::default() }
    };
    for sign in exceptions {
        match sign {
            Sign::Uncaught { message, is_panic, at } => uncaught(&mut found, message, is_panic, at),
            Sign::Dead { message, at } if found.iter().all(|found| found.kind != Kind::Dead) => {
                found.push(alone(Kind::Dead, message, at));
            }
            Sign::Hang { message, at } => hang = hang.or(Some((message, at))),
            // Else it is the trap that the log told.
            Sign::Trap(trap) if found.iter().all(|found| !found.is_trapped) => trapped(&mut found, trap),
            _ => {}
        }
    }
    if let Some((message, at)) = hang {
        if found.is_empty() {
            found.push(alone(Kind::Hang, message, at));
        } else {
            found.iter_mut().filter(|found| !found.is_caught).for_each(|found| found.is_hung = true);
        }
    }
    found
}

fn is_exception(sign: &Sign<'_>) -> bool {
    match sign {
        Sign::Uncaught { .. } | Sign::Hang { .. } | Sign::Dead { .. } => true,
        Sign::Trap(trap) => trap.is_thrown,
        Sign::Panic(_) | Sign::Told { .. } => false,
    }
}

/// A trap ends the panic before it, or is a fault of its own.
fn trapped<'a>(found: &mut Vec<Found<'a>>, trap: Trap<'a>) {
    if trap.of_panic != Some(false)
        && let Some(last) = found.last_mut().filter(|last| last.kind == Kind::Panic && !last.is_trapped)
    {
        last.is_trapped = true;
        return;
    }
    let Trap { message, frames, at, .. } = trap;
    let panic = Panic { message, frames, at, ..Panic::default() };
    found.push(Found { kind: Kind::Trap, panic, is_trapped: true, ..Found::default() });
}

/// An exception is the first panic of its message that has none yet, or a panic of its own, or none.
fn uncaught<'a>(found: &mut Vec<Found<'a>>, message: Cow<'a, str>, is_panic: bool, at: Option<Millis>) {
    let (head, is_cut) = without_cut_mark(&message);
    let is_same = |found: &&mut Found<'a>| {
        let panic = &found.panic;
        matches!(found.kind, Kind::Panic | Kind::Told)
            && !found.is_caught
            && !found.is_trapped
            && (panic.message == head
                || (panic.message.is_empty() && head == NO_MESSAGE)
                || (is_cut && panic.message.starts_with(head))
                || (panic.is_cut && head.starts_with(panic.message.as_ref())))
    };
    if let Some(panic) = found.iter_mut().find(is_same) {
        panic.is_caught = true;
        panic.panic.at = at.or(panic.panic.at);
        if panic.panic.is_cut && head.len() > panic.panic.message.len() {
            panic.panic.message = Cow::Owned(head.to_owned());
        }
        return;
    }
    if is_panic {
        let message = if is_cut { Cow::Owned(head.to_owned()) } else { message };
        let panic = Panic { message, at, is_cut, ..Panic::default() };
        found.push(Found { panic, is_caught: true, ..Found::default() });
    }
}

/// The producer's events and the panics that they stand for.
fn pair<'a>(found: &mut Vec<Found<'a>>, told: Vec<(Box<PanicEvent<'a>>, Millis)>) {
    let is_only_one = told.len() == 1 && found.len() == 1;
    for (event, at) in told {
        let is_same = |found: &&mut Found<'a>| {
            let place = found.panic.place.as_ref();
            let is_there = place.is_some_and(|(file, line, _)| {
                event.panic.file.as_ref() == Some(file) && event.panic.line == Some(*line)
            });
            found.told.is_none() && (is_only_one || is_there || event.panic.message == found.panic.message)
        };
        if let Some(found) = found.iter_mut().find(is_same) {
            found.told = Some((event, at));
        } else {
            // Its message finds the exception of the same panic.
            let panic = Panic { message: event.panic.message.clone(), ..Panic::default() };
            found.push(Found { kind: Kind::Told, panic, told: Some((event, at)), ..Found::default() });
        }
    }
}

/// What became of the fault: the table of [`super`].
fn recovery(found: &Found<'_>, ending: Ending, status: Option<u16>) -> RecoveryOutcome {
    match found.kind {
        Kind::Trap | Kind::Dead => return RecoveryOutcome::Aborted,
        Kind::Hang => return RecoveryOutcome::SuspectedAbort,
        Kind::Panic | Kind::Told if found.is_trapped => return RecoveryOutcome::Aborted,
        Kind::Panic | Kind::Told if found.is_hung => return RecoveryOutcome::SuspectedAbort,
        Kind::Panic | Kind::Told => {}
    }
    match (found.is_caught, ending, status) {
        (true, Ending::Failed, _) | (true, _, Some(500..)) | (false, Ending::Ok, Some(500..)) => {
            RecoveryOutcome::Degraded
        }
        (true, _, _) | (false, Ending::Ok, Some(_)) => RecoveryOutcome::Recovered,
        _ => RecoveryOutcome::Unknown,
    }
}

/// The producer's event, with what it does not say from what Cloudflare does.
fn joined<'a>(told: PanicEvent<'a>, seen: PanicEvent<'a>) -> PanicEvent<'a> {
    let mut event = told;
    let client = std::mem::take(&mut event.client);
    event.client = Client {
        ip: client.ip.or(seen.client.ip),
        user_agent: client.user_agent.or(seen.client.user_agent),
        asn: client.asn.or(seen.client.asn),
        country: client.country.or(seen.client.country),
    };
    if event.tenant.is_empty() {
        event.tenant = seen.tenant;
    }
    if event.panic.backtrace.is_empty() {
        event.panic.backtrace = seen.panic.backtrace;
    }
    if event.panic.file.is_none() {
        event.panic.file = seen.panic.file;
        event.panic.line = seen.panic.line;
        event.panic.column = seen.panic.column;
    }
    if event.path.is_none() {
        event.path = seen.path;
        event.query = seen.query;
    }
    if event.recovery == RecoveryOutcome::Unknown {
        event.recovery = seen.recovery;
    }
    event.release = event.release.or(seen.release);
    event.region = event.region.or(seen.region);
    event.endpoint = event.endpoint.or(seen.endpoint);
    event.method = event.method.or(seen.method);
    event.status = event.status.or(seen.status);
    event.boundary = event.boundary.or(seen.boundary);
    event.request.id = event.request.id.or(seen.request.id);
    event.request.content_type = event.request.content_type.or(seen.request.content_type);
    event.request.content_length = event.request.content_length.or(seen.request.content_length);
    event.notes.n_cut = event.notes.n_cut.saturating_add(seen.notes.n_cut);
    event
}
