//! Cloudflare Logpush, data set `workers_trace_events`: the items of [`super::tail`] with other capitals.
//!
//! Reads a record, an array or a line each. Keys are read in either letter case at every level, since Cloudflare's
//! own pages show both. What marks a cut (`<<<Logpush: exception messages truncated>>>`) is taken off and counted.
//! There is no stack: an exception is a panic only where a log says so, and a panic that only an exception tells of
//! stays unseen.
//!
//! What the carrier can know: message, file, line, column, the script, its version, ray id, method, path, query,
//! status. What it cannot: the client (an event waits for the log of its request, which the data set `http_requests`
//! has under the same ray id: see `gather/requests.rs`), body, token, frames, isolate. Recovery: the table of
//! [`super::tail`].
//!
//! Source: cloudflare-docs, `workers_trace_events.md` and `logpush.mdx`; Elastic's fixture of the integration. Not
//! seen in production.
//!
//! Limits and cost: as [`super::tail`].

use super::found::Find;
use super::tail::{ItemWire, Settled, events};
use super::{Refusal, items};

/// Reads one record.
///
/// Errors: what is no JSON, or no item of a trace.
pub(super) fn read<'a>(payload: &'a [u8], find: &mut Find<'_, 'a>) -> Result<(), Refusal> {
    items::each(payload, find, |text, find| {
        let Settled { invocation, ray, refusal } = ItemWire::read(text)?.settle()?;
        for (event, at) in events(invocation) {
            match &ray {
                Some(ray) if event.client.ip.is_none() => find.awaiting(ray.clone(), event, at)?,
                _ => find.event(event, at)?,
            }
        }
        refusal.map_or(Ok(()), Err)
    })
}

#[cfg(test)]
mod tests;
