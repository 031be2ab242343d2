//! Alerts of a stretch of time with what became of them, for whoever looks back.
//!
//! Reads outbox and deliveries in one pass; never writes. An alert whose body cannot be read is left out and counted by
//! the caller as missing: it was written by this program, so that is a fault of ours.

use rusqlite::{Connection, params};

use super::outbox::{Delivery, read_delivery};
use crate::pipeline::alert::Alert;

/// An alert and the answers to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Sent {
    /// The alert.
    pub alert: Alert,
    /// One for each destination that has given its answer, by name.
    pub deliveries: Vec<Delivery>,
    /// Destinations that know of the outbox and have not answered yet.
    pub n_waiting: u64,
}

/// The newest `n_max` alerts of a stretch of time, by their place in the outbox.
pub(super) fn between(connection: &Connection, from: &str, to: &str, n_max: usize) -> rusqlite::Result<Vec<Sent>> {
    let n_destinations: i64 = connection.query_row("SELECT count(*) FROM destination", [], |row| row.get(0))?;
    let mut statement = connection.prepare_cached(
        "SELECT seq, body FROM outbox WHERE json_extract(body, '$.at') >= ?1 AND json_extract(body, '$.at') < ?2
         ORDER BY seq DESC LIMIT ?3",
    )?;
    let n_max = i64::try_from(n_max).unwrap_or(i64::MAX);
    let bodies: Vec<(i64, String)> = statement
        .query_map(params![from, to, n_max], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut sent = Vec::with_capacity(bodies.len());
    for (seq, body) in bodies.into_iter().rev() {
        let alert = serde_json::from_str(&body)
            .map_err(|error| rusqlite::Error::FromSqlConversionFailure(1, rusqlite::types::Type::Text, error.into()))?;
        let deliveries = deliveries(connection, seq)?;
        let n_answered = i64::try_from(deliveries.len()).unwrap_or(i64::MAX);
        let n_waiting = u64::try_from(n_destinations.saturating_sub(n_answered)).unwrap_or(0);
        sent.push(Sent { alert, deliveries, n_waiting });
    }
    Ok(sent)
}

fn deliveries(connection: &Connection, seq: i64) -> rusqlite::Result<Vec<Delivery>> {
    connection
        .prepare_cached(
            "SELECT destination, fate, detail, attempts, at_ms FROM delivery WHERE seq = ?1 ORDER BY destination",
        )?
        .query_map([seq], read_delivery)?
        .collect()
}
