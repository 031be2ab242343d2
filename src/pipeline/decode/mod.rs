//! Bytes → event: the canonical JSON of `schemas/panic-event.v1.json`, or a refusal with a name.
//!
//! Reads one record's bytes and its broker time. Gives a [`PanicEvent`] that borrows from the bytes, or a [`Refusal`]
//! that says which key is wrong and what would be right. Known keys are read, unknown ones measured, counted and
//! dropped; `null` counts as absent; of a repeated key the first one counts. JSON behind Confluent's wire framing is
//! read, Avro, Protobuf and compressed records are refused by name.
//!
//! **Clock rule.** The event's own time counts. Devices have broken clocks, so a time outside
//! \[broker time − 24 h, broker time + 5 min\] is replaced by the broker's and flagged. Without a broker time (files)
//! there is no rule.
//!
//! Never: a value of the record in a refusal's words, a panic, a recursion that the record steers, a
//! `serde_json::Value`. Texts are kept raw (NUL, terminal escapes and all): who shows one neutralises it.
//!
//! Limits: the constants below. Cost: linear; one UTF-8 check and one pass over the bytes, an allocation for each list
//! and each text with escapes.

mod canonical;
mod field;
mod foreign;
mod list;
mod reader;
mod trace;

pub mod contract;

#[cfg(test)]
mod tests;

use crate::pipeline::event::{Millis, PanicEvent, RawRecord, Reason, RecoveryOutcome};
use canonical::Wire;
use trace::Trace;

/// Most bytes of a record: Kafka's own default limit of a message.
pub const RECORD_BYTES_MAX: usize = 1 << 20;
/// Most levels of a value that is dropped because its key is not known. The envelope itself has four.
pub const DEPTH_MAX: usize = 32;
/// Most keys and values of a record together, payload aside: far above any real event (about 60), far below what
/// would hold a worker up.
pub const NODES_MAX: usize = 65_536;
/// Most bytes of a name or id that the producer writes; a longer one is refused.
pub const NAME_BYTES_MAX: usize = 1_024;
/// Most bytes of a text that the client may have written; a longer one is cut. Servers take headers and request lines
/// of at most 8 to 64 KiB.
pub const FREE_TEXT_BYTES_MAX: usize = 64 << 10;
/// Most frames of a backtrace that are kept: the innermost ones, which tell the site.
pub const FRAMES_MAX: usize = 64;
/// Most query pairs that are kept.
pub const QUERY_PAIRS_MAX: usize = 256;
/// Most scopes of a token that are kept.
pub const SCOPES_MAX: usize = 256;
/// Most side effects that are kept.
pub const SIDE_EFFECTS_MAX: usize = 64;
/// Longest latency: 30 days, longer than any request lives.
pub const LATENCY_MS_MAX: f64 = 2_592_000_000.0;
/// How far an event's clock may be behind the broker's.
pub const CLOCK_BEHIND_MS_MAX: i64 = Millis::DAY;
/// How far an event's clock may be ahead of the broker's.
pub const CLOCK_AHEAD_MS_MAX: i64 = 5 * Millis::MINUTE;

/// Why a record is not an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The name: the metric's label and the dead letter's `reason`.
    pub reason: Reason,
    /// The key's path and what would be right, in our own words; never a value or a key of the record.
    pub detail: String,
}

/// Decodes one record.
///
/// Errors: the first fault met, as a [`Refusal`]. Cost: see the module.
pub fn decode(record: RawRecord<'_>) -> Result<PanicEvent<'_>, Refusal> {
    let n_bytes = record.payload.len();
    if n_bytes > RECORD_BYTES_MAX {
        let detail = format!("the record: at most {RECORD_BYTES_MAX} bytes are read, found {n_bytes}");
        return Err(Refusal { reason: Reason::TooLarge, detail });
    }
    let text = foreign::json_text(record.payload)?;
    let mut trace = Trace::default();
    let mut wire = Wire::default();
    let mut read = reader::read(text, &trace, &mut wire);
    if read.as_ref().is_err_and(foreign::is_lone_surrogate) {
        (trace, wire) = (Trace::lenient(), Wire::default());
        read = reader::read(text, &trace, &mut wire);
    }
    read.map_err(|error| foreign::explain(&error, &trace, text))?;
    let (mut event, sent_at) = wire.settle()?;
    event.notes = trace.notes();
    (event.time, event.clock_replaced) = event_time(sent_at, record.broker_time);
    Ok(event)
}

/// The clock rule: the time that counts, and whether it is the broker's.
fn event_time(sent_at: Millis, broker_time: Option<Millis>) -> (Millis, bool) {
    match broker_time {
        Some(broker) if !(-CLOCK_BEHIND_MS_MAX..=CLOCK_AHEAD_MS_MAX).contains(&sent_at.since(broker)) => (broker, true),
        _ => (sent_at, false),
    }
}

/// What became of the fault, where the producer does not say it in `recovery.outcome`.
///
/// | `handled` | `status` | outcome | why |
/// |---|---|---|---|
/// | true | below 500 | recovered | caught, and the client got a proper answer (a 422 is one: the input was bad) |
/// | true | 500 and above | degraded | caught, and the client got less than it asked for |
/// | true | none | recovered | caught, and nothing says that a caller was hurt: queue workers have no status |
/// | false | any | escaped | the producer's word; an answer below 500 had left before the panic (streaming, tasks) |
/// | none | below 500 | recovered | nobody gives a proper answer to a request whose fault was not contained |
/// | none | 502 to 504 | unknown | also what a proxy answers for a worker that died |
/// | none | other, 500 and above | degraded | an answer of the service itself |
/// | none | none | unknown | nothing is known |
///
/// Abort is never derived: a process that ended cannot have said so.
pub fn derive_recovery(handled: Option<bool>, status: Option<u16>) -> RecoveryOutcome {
    match (handled, status) {
        (Some(false), _) => RecoveryOutcome::Escaped,
        (Some(true), None) | (_, Some(..500)) => RecoveryOutcome::Recovered,
        (None, None | Some(502..=504)) => RecoveryOutcome::Unknown,
        (_, Some(500..)) => RecoveryOutcome::Degraded,
    }
}
