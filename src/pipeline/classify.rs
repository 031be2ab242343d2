//! Message → class, surface, bucket: what kind of panic it was, and what may be kept of its words.
//!
//! Reads the message and a [`PanicModel`] (`models/panics.toml`); gives a [`Classified`]. Never keeps, logs or returns a
//! value that the message carries: panic messages hold attacker text (a sliced string, the bytes of a
//! `FromUtf8Error`, `unknown field` and the field).
//!
//! Two stages, in the order of the model's rules: the outer message, then the error that `unwrap` or `expect` printed.
//! Free text is `custom` and never guessed. No recursion: nested errors are found by searching the printed error once.
//!
//! Limits: [`EXAMINED_BYTES_MAX`] bytes of a message are looked at, [`MASKED_BYTES_MAX`] are kept. Cost: two passes of a
//! lazy DFA, 1 to 3 µs, 10 µs where no message is like another; a remembered message costs one lookup, some 50 ns.
//!
//! What cannot be told: a program that puts input at the start of a message (`panic!("{input}")`) lets its sender choose
//! the class, and one that ends a free text with raw input lets it claim to be a consequence (`: PoisonError { .. }`).
//! A consequence that anyhow prints below `Caused by:` is not told: raw input with line feeds could say the same.

mod hollow;
mod mask;
mod model;
mod response;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use self::model::PanicModel;
use self::model::Tail;
pub use self::response::{Mismatch, Response, RetryAdvice, invites_retry, mismatches};
use super::memo::Memo;

/// Most bytes of a message that are looked at: any wording has said what it is long before, and what it quotes is not
/// wanted. It bounds what a hostile message costs: 8 KiB took 110 to 150 µs, a message of ordinary length 2 µs.
pub const EXAMINED_BYTES_MAX: usize = 2 << 10;

/// Most bytes of a masked message.
pub const MASKED_BYTES_MAX: usize = 200;

/// Longest message that is remembered, in bytes: longer ones carry input and do not come twice.
pub const MEMO_BYTES_MAX: usize = 512;

/// The careless habit that a panic came from.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Surface {
    /// `unwrap` and `expect` on a path that input reaches.
    UnwrapExpect,
    /// Input taken for well formed.
    Deserialization,
    /// Index, slice, split.
    Bounds,
    /// Overflow, division, conversion.
    Arithmetic,
    /// A state that was thought impossible.
    StateInvariant,
    /// The boundary to another language or runtime.
    Ffi,
    /// Memory, stack, limits.
    Resource,
    /// Files, variables, clocks.
    Environment,
    /// Cannot be told.
    #[default]
    Unknown,
}

/// What recovery may do next.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Bucket {
    /// The same request may succeed when sent again.
    RetrySafe,
    /// The same request fails until somebody changes it or the code.
    RetryAfterFix,
    /// Sending it again can only do harm.
    #[default]
    NeverRetry,
    /// The isolate or process must be given up first.
    IsolateReset,
}

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Classified {
    /// Class id, such as `index_oob`; `custom` for free text.
    pub class: String,
    /// Surface.
    pub surface: Surface,
    /// Bucket.
    pub bucket: Bucket,
    /// A consequence of an earlier panic (poisoned lock, child task): its sender bears no evidence.
    pub secondary: bool,
    /// The message without its values: digits, quoted texts and payload bytes are placeholders. At most
    /// `MASKED_BYTES_MAX` bytes, one line, printable.
    pub masked: String,
}

/// Classifies `message`. The same message and model give the same answer; see the module's head for the cost.
pub fn classify(model: &PanicModel, message: &str) -> Classified {
    let text = bare(head(message, EXAMINED_BYTES_MAX));
    let (class, masked) = match model.outer(text) {
        Some(rule) => {
            let fixed = rule.mask.clone().unwrap_or_else(|| mask::numbers(text));
            match &rule.tail {
                Tail::None => (rule.class, fixed),
                Tail::Words(after) => {
                    // In the first line alone: the values of `left` and `right` follow in lines of their own.
                    let line = text.lines().next().unwrap_or_default();
                    let words = line.split_once(after.as_str()).map(|(_, words)| mask::free_text(words));
                    (rule.class, mask::join(fixed, words.as_deref()))
                }
                Tail::Error(after) => {
                    let error = text.split_once(after.as_str()).map_or("", |(_, error)| error);
                    let class = model.inner(error).unwrap_or(rule.class);
                    (class, mask::join(fixed, Some(mask::skeleton(error).unwrap_or(mask::HOLE))))
                }
            }
        }
        None => match model.inner(text) {
            Some(class) => {
                let words = text.split_once(": ").map_or(String::new(), |(words, _)| mask::free_text(words));
                (class, mask::join(words, Some(&format!("<{}>", model.class(class).id))))
            }
            None => (model.custom(), mask::free_text(text)),
        },
    };
    let class = model.class(class);
    Classified {
        class: class.id.clone(),
        surface: class.surface,
        bucket: class.bucket,
        secondary: class.secondary,
        masked: head(&masked, MASKED_BYTES_MAX).to_owned(),
    }
}

/// [`classify`], remembered: a known message of at most [`MEMO_BYTES_MAX`] bytes costs one lookup. The memo belongs to
/// one model; whoever swaps the model starts a new memo.
pub fn classify_memoised(
    model: &PanicModel,
    memo: &mut Memo<Box<str>, Arc<Classified>>,
    message: &str,
) -> Arc<Classified> {
    if message.len() > MEMO_BYTES_MAX {
        return Arc::new(classify(model, message));
    }
    match memo.get(message) {
        Some(known) => known,
        None => memo.put(message.into(), Arc::new(classify(model, message))),
    }
}

/// The message without what carriers put around it: `Uncaught`, tower-http's `Service panicked: `, the error's name,
/// worker-rs's `Rust panic: `, the
/// location of `PanicHookInfo` and of standard error in all its forms, the note and stack behind it.
fn bare(message: &str) -> &str {
    const WRAPPERS: [&str; 7] = [
        "Service panicked: ",
        "Uncaught (in response) ",
        "Uncaught ",
        "Error: ",
        "PanicError: ",
        "Critical ",
        "Rust panic: ",
    ];
    // The third is anyhow's, the last console_error_panic_hook's.
    const TRAILERS: [&str; 4] =
        ["\nnote: run with `RUST_BACKTRACE", "\nstack backtrace:", "\n\nStack backtrace:", "\n\nStack:\n\n"];
    let mut text = message.trim_start_matches('\n');
    // A carrier wraps at most once in each way, in this order.
    for wrapper in WRAPPERS {
        text = text.strip_prefix(wrapper).unwrap_or(text);
    }
    text = without_location(text);
    for trailer in TRAILERS {
        text = text.split_once(trailer).map_or(text, |(text, _)| text);
    }
    text.trim_end_matches('\n')
}

/// Strips `[thread 'NAME' [(ID)] ]panicked at FILE:L:C:\n` and, for Rust up to 1.72, `panicked at 'MESSAGE', FILE:L:C`.
fn without_location(text: &str) -> &str {
    let (line, rest) = text.split_once('\n').unwrap_or((text, ""));
    let after = match line.strip_prefix("panicked at ") {
        Some(after) => Some(after),
        None if line.starts_with("thread '") => line.split_once(" panicked at ").map(|(_, after)| after),
        None => None,
    };
    let Some(after) = after else { return text };
    if after.starts_with('\'') {
        let quoted = text.split_once("panicked at '").map_or("", |(_, quoted)| quoted);
        return quoted.rsplit_once("', ").map_or(quoted, |(message, _)| message);
    }
    let place = after.strip_suffix(':').unwrap_or(after);
    let numbers =
        place.rsplitn(3, ':').take(2).all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    if numbers { rest } else { text }
}

/// The first `bytes_max` bytes of `text`, cut before a character that does not fit.
fn head(text: &str, bytes_max: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes_max)).unwrap_or(text)
}

#[cfg(test)]
mod tests;
