//! The log on standard error, and what a panic writes to it.
//!
//! [`start`] is called once, by `main`. Lines are `key = value` or JSON. A panic of our own (hostile input may find one)
//! is logged through the same log, on one neutralised line, the first ten of a minute in full and then by count, so that
//! nobody can flood the disk. Reads the monotonic clock for that minute and nothing else.

use std::io::IsTerminal;
use std::panic::PanicHookInfo;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogFormat, LogLevel, LogSettings};

/// Panics that are logged in full in each window.
const PANICS_IN_FULL_MAX: u64 = 10;
/// Length of that window.
const PANIC_WINDOW: Duration = Duration::from_mins(1);
/// Longest panic message that is logged.
const PANIC_MESSAGE_CHARS_MAX: usize = 400;

/// Opens the log and installs the panic hook. A second call changes nothing.
pub fn start(settings: LogSettings, color: bool) {
    let filter = EnvFilter::new(directives(settings.level));
    let ansi = color && std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(ansi);
    let started = match settings.format {
        LogFormat::Text => builder.finish().try_init(),
        LogFormat::Json => builder.json().flatten_event(true).finish().try_init(),
    };
    if started.is_ok() {
        let gate = Mutex::new(PanicGate::default());
        std::panic::set_hook(Box::new(move |info| log_panic(&gate, info)));
    }
}

/// Our own lines from the level on; other crates never below warnings, since their debug lines may hold headers, and
/// headers hold tokens.
fn directives(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "warn,panicsift=info",
        LogLevel::Debug => "warn,panicsift=debug",
        LogLevel::Trace => "warn,panicsift=trace",
    }
}

#[expect(clippy::disallowed_methods, reason = "the rate limit counts per minute of real time")]
fn log_panic(gate: &Mutex<PanicGate>, info: &PanicHookInfo<'_>) {
    let admitted = gate.lock().unwrap_or_else(PoisonError::into_inner).admit(Instant::now());
    let Admission { in_full, withheld } = admitted;
    if withheld > 0 {
        tracing::error!(panics = withheld, "panics were withheld from the log in the last window");
    }
    if in_full {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let message = neutral(info.payload_as_str().unwrap_or("(no text)"));
        let thread = std::thread::current().name().unwrap_or("unnamed").to_owned();
        tracing::error!(place, thread, panic = message, "a fault in panicsift itself; please report it");
    }
}

/// What the log may take of one panic.
#[derive(Debug, PartialEq, Eq)]
struct Admission {
    /// Whether this panic is logged in full.
    in_full: bool,
    /// Panics of the window before that were not, to be told now.
    withheld: u64,
}

/// Counts panics in windows.
#[derive(Debug, Default)]
struct PanicGate {
    window_start: Option<Instant>,
    seen: u64,
}

impl PanicGate {
    fn admit(&mut self, now: Instant) -> Admission {
        let over = self.window_start.is_none_or(|start| now.saturating_duration_since(start) >= PANIC_WINDOW);
        let mut withheld = 0;
        if over {
            withheld = self.seen.saturating_sub(PANICS_IN_FULL_MAX);
            self.window_start = Some(now);
            self.seen = 0;
        }
        self.seen += 1;
        Admission { in_full: self.seen <= PANICS_IN_FULL_MAX, withheld }
    }
}

/// One printable line of ASCII, bounded: a panic message may carry a sender's text.
fn neutral(text: &str) -> String {
    let shown = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
    text.chars().take(PANIC_MESSAGE_CHARS_MAX).map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a moment to count from")]
    fn the_first_ten_panics_of_a_minute_are_told_and_the_rest_counted() {
        let mut gate = PanicGate::default();
        let start = Instant::now();
        let told = (0..1_000).filter(|_| gate.admit(start).in_full).count();
        assert_eq!(told, 10);
        let later = gate.admit(start + PANIC_WINDOW);
        assert_eq!(later, Admission { in_full: true, withheld: 990 });
    }

    #[test]
    fn lines_of_other_crates_are_never_below_warnings() {
        use clap::ValueEnum;
        for level in LogLevel::value_variants() {
            let own = directives(*level).contains("panicsift=");
            assert_eq!(own, directives(*level).starts_with("warn,"), "{level:?}");
            assert!(directives(*level).parse::<EnvFilter>().is_ok(), "{level:?}");
        }
    }

    #[test]
    fn a_panic_message_is_one_bounded_printable_line() {
        assert_eq!(neutral("a\n\u{1b}[31mb\u{202e}"), "a??[31mb?");
        assert_eq!(neutral(&"x".repeat(100_000)).len(), PANIC_MESSAGE_CHARS_MAX);
    }
}
