//! The retry policy as a TOML file that a client library can read.
//!
//! Pure: rows in, text out. Its keys are explained in its own head. Written by the `toml` crate, so that no name can
//! break out of its quotes.

use anyhow::Result;
use serde::Serialize;

use super::Row;
use crate::pipeline::operations::gate::Gate;
use crate::report::sheet::printable;

/// What a reader needs to know.
const HEAD: &str =
    "# Retry policy, made by `panicsift report retry-policy --format toml` from the panics that services survived.
#
# version      version of this form: 1
# [[policy]]   one table for each route and panic class that was met; whatever is not here is not known
#   tenant     tenant; empty for the default one
#   service    service
#   route      method and template; absent: all other routes of the service
#   class      panic class, as in the events; absent: any
#   retry      may the request be sent again:
#                \"safe\"           yes
#                \"safe_with_key\"  yes, with the idempotency key that the first attempt had, and not without
#                \"after_fix\"      not unchanged: it would fail again
#                \"never\"          no: it could do twice what must be done once, or only harm
#   with_key, without_key
#              the same for requests with and without a key; absent: none was met
#   reason     why, as a word; why: the same as a sentence with its numbers
#   attempts_max
#              attempts in all, the first included
#   events     panics that it rests on
";

/// Attempts in all where a request may be sent again: one more may succeed where the fault passes, and a second retry
/// only adds to the load of a service that is in trouble.
const ATTEMPTS_MAX: u32 = 2;

#[derive(Serialize)]
struct File {
    version: u32,
    policy: Vec<Entry>,
}

#[derive(Serialize)]
struct Entry {
    tenant: String,
    service: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<String>,
    retry: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    with_key: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    without_key: Option<&'static str>,
    reason: &'static str,
    why: String,
    attempts_max: u32,
    events: u64,
}

/// The file.
pub(super) fn render(rows: &[Row]) -> Result<String> {
    let entry = |row: &Row| Entry {
        tenant: printable(&row.tenant),
        service: printable(&row.service),
        route: row.route.as_deref().map(printable),
        class: row.class.as_deref().map(printable),
        retry: row.word.gate.name(),
        with_key: row.strictest(true),
        without_key: row.strictest(false),
        reason: row.word.reason.name(),
        why: row.why(),
        attempts_max: if row.word.gate <= Gate::SafeWithKey { ATTEMPTS_MAX } else { 1 },
        events: row.policy.events(),
    };
    let file = File { version: 1, policy: rows.iter().map(entry).collect() };
    Ok(format!("{HEAD}\n{}", toml::to_string(&file)?))
}
