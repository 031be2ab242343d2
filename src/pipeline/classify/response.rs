//! Panic class → what the client should have been told, and how the answer that it got contradicts that.
//!
//! Reads the status, the retry advice and the problem type that `models/panics.toml` gives each class; gives a
//! [`Response`], and for an answer's status its [`Mismatch`]es. Pure; costs two comparisons.
//!
//! What an answer says about retries is read from its status alone, with the meaning that RFC 9110 §15, RFC 6585 §4 (429)
//! and RFC 8470 §5.2 (425) give it; 500 is among them because clients' retry layers take it for passing. Nothing is said
//! about an answer below 400: a panic behind an answer that was sent already (`wait_until`) is no contradiction.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::super::model::{Faults, Section};

/// Longest title of a problem type, in bytes: a line of a table.
const TITLE_BYTES_MAX: usize = 80;

/// Longest name of a problem type, in bytes.
const PROBLEM_BYTES_MAX: usize = 40;

/// Longest text that the names of problem types are appended to, in bytes.
const PROBLEM_BASE_BYTES_MAX: usize = 120;

/// Whether the same request may be sent again.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum RetryAdvice {
    /// At once.
    Safe,
    /// After a pause, or when the broken instance was replaced.
    Later,
    /// Not before the request, or the service, has changed: unchanged it fails again.
    AfterChange,
    /// Not at all: it can only do harm, or nothing can be known of it.
    #[default]
    Never,
}

impl RetryAdvice {
    /// The name as data carries it: `safe`, `later`, `after_change`, `never`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Safe => "safe",
            Self::Later => "later",
            Self::AfterChange => "after_change",
            Self::Never => "never",
        }
    }

    /// Whether the unchanged request may do when it is sent again.
    pub fn allows_unchanged(self) -> bool {
        matches!(self, Self::Safe | Self::Later)
    }
}

/// What a client should be told about a panic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// HTTP status, 400 to 599.
    pub status: u16,
    /// Whether the same request may be sent again.
    pub retry: RetryAdvice,
    /// About retries, in words, for whoever runs the service.
    pub advice: String,
    /// RFC 9457 `type`: a URI, unless the model says otherwise a URN such as `urn:panicsift:problem:index-out-of-bounds`.
    /// A name, not an address; no two classes share one.
    pub problem_type: String,
    /// RFC 9457 `title`, for the client: it says nothing of the code.
    pub title: String,
}

/// How an answer contradicts the [`Response`] of the panic's class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mismatch {
    /// The answer takes the blame for what the request's data did (5xx where the class says 4xx): input that should be
    /// refused looks like an outage.
    BlamesService {
        /// What the client got.
        answered: u16,
        /// What the class says.
        suggested: u16,
    },
    /// The answer blames the client for what the service did (4xx where the class says 5xx).
    BlamesClient {
        /// What the client got.
        answered: u16,
        /// What the class says.
        suggested: u16,
    },
    /// The answer invites to send again what should not be sent again as it is.
    RetryInvited {
        /// What the client got.
        answered: u16,
        /// What the class says.
        advice: RetryAdvice,
    },
}

impl Mismatch {
    /// A stable name without its numbers: `blames_service`, `blames_client`, `retry_invited`.
    pub fn name(self) -> &'static str {
        match self {
            Self::BlamesService { .. } => "blames_service",
            Self::BlamesClient { .. } => "blames_client",
            Self::RetryInvited { .. } => "retry_invited",
        }
    }
}

/// In words: `answered 500 where the class says 422`, `retry invited (503) where the class says never`.
impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BlamesService { answered, suggested } | Self::BlamesClient { answered, suggested } => {
                write!(f, "answered {answered} where the class says {suggested}")
            }
            Self::RetryInvited { answered, advice } => {
                write!(f, "retry invited ({answered}) where the class says {}", advice.name())
            }
        }
    }
}

/// Whether an answer with this status invites to send the same request again: 408, 425, 429, 500, 502, 503, 504.
pub fn invites_retry(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504)
}

/// How an answer with `status` contradicts `response`: at most one mismatch about who is to blame and one about retries.
/// None for the suggested status itself, for no answer, and for a status that is not an error's.
pub fn mismatches(response: &Response, status: Option<u16>) -> Vec<Mismatch> {
    let mut found = Vec::new();
    let Some(answered) = status.filter(|status| (400..600).contains(status) && *status != response.status) else {
        return found;
    };
    let suggested = response.status;
    match (suggested < 500, answered < 500) {
        (true, false) => found.push(Mismatch::BlamesService { answered, suggested }),
        // 429, 408 and 425 ask for patience and blame nobody.
        (false, true) if !invites_retry(answered) => found.push(Mismatch::BlamesClient { answered, suggested }),
        _ => {}
    }
    if invites_retry(answered) && !response.retry.allows_unchanged() {
        found.push(Mismatch::RetryInvited { answered, advice: response.retry });
    }
    found
}

/// The text that every problem type of a model starts with. A fault if the file has none, or no URI can start so.
pub(super) fn problem_base(file: &Section<'_>, faults: &mut Faults) -> String {
    let base: String = file.required("problem_base", faults).unwrap_or_default();
    let scheme = base.split_once(':').map_or("", |(scheme, _)| scheme);
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    // What RFC 3986 §2 lets stand in a URI, but for `#`.
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/?[]@!$&'()*+,;=%".contains(&b);
    if !is_scheme || !base.bytes().all(allowed) || base.len() > PROBLEM_BASE_BYTES_MAX {
        faults
            .add(file.place("problem_base"), format_args!("a URI of at most {PROBLEM_BASE_BYTES_MAX} bytes is needed"));
    }
    base
}

/// The answer that one `[[class]]` suggests.
pub(super) fn read(section: &Section<'_>, problem_base: &str, faults: &mut Faults) -> Response {
    let status: u16 = section.required("status", faults).unwrap_or(500);
    if !(400..600).contains(&status) {
        faults.add(section.place("status"), "a status of an error is needed, 400 to 599");
    }
    let retry: RetryAdvice = section.required("retry", faults).unwrap_or_default();
    if invites_retry(status) && status != 500 && !retry.allows_unchanged() {
        faults
            .add(section.place("retry"), format_args!("the status {status} invites a retry; safe or later is needed"));
    }
    let problem: String = section.required("problem", faults).unwrap_or_default();
    let is_name = problem.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if problem.is_empty() || !is_name || problem.len() > PROBLEM_BYTES_MAX {
        let fault = format_args!("1 to {PROBLEM_BYTES_MAX} lower case letters, digits and - are needed");
        faults.add(section.place("problem"), fault);
    }
    let title: String = section.required("title", faults).unwrap_or_default();
    if title.is_empty() || title.len() > TITLE_BYTES_MAX || title.contains(char::is_control) {
        faults.add(section.place("title"), format_args!("one line of 1 to {TITLE_BYTES_MAX} bytes is needed"));
    }
    Response {
        status,
        retry,
        advice: section.required("advice", faults).unwrap_or_default(),
        problem_type: format!("{problem_base}{problem}"),
        title,
    }
}

#[cfg(test)]
mod tests;
