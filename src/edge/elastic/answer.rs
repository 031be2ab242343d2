//! What an answer to a bulk request says, alert by alert.
//!
//! Takes status and body of a reply, gives a [`Reading`]. Pure, one pass over the body, no recursion beyond the JSON
//! parser's own bound. The status decides. The error is looked at for one thing alone: whether it speaks of the state of
//! the destination (a block, a closed index, no room for another shard, an ingest pipeline that is gone), which lasts
//! until somebody acts, whatever status it bears; a flood-stage block comes as 429 and looks like overload otherwise,
//! the others as 400 and look like a bad alert. Both servers word these the same, while they differ in those of overload
//! and of mapping.
//!
//! Only a shape that is known is taken for "accepted": as many items as were sent, each of a `create`, a status of 2xx
//! without an error. Everything else is sent again, which is harmless: the `_id` is ours.

use std::time::Duration;

use serde::Deserialize;

use crate::edge::deliver::{Fate, Reading, Reply, Word, words};

/// Error types that speak of the index or the cluster and not of the alert or of load; the last one is what both servers
/// say when the cluster may have no more shards.
const INDEX_STATE: [&str; 3] = ["cluster_block_exception", "index_closed_exception", "validation_exception"];

/// How both servers begin to say that the pipeline of the index is gone, under a type that means anything.
const MISSING_PIPELINE: (&str, &str) = ("illegal_argument_exception", "pipeline with id [");

/// What a server says of the failure store where it played no part.
const FAILURE_STORE_UNUSED: [&str; 2] = ["not_applicable_or_unknown", "not_enabled"];

/// Reads the answer to a request with `n_sent` alerts for the stream `data_stream`.
pub(super) fn read(reply: &Reply, n_sent: usize, data_stream: &str) -> Reading {
    let after = reply.retry_after_secs.map(Duration::from_secs);
    let why = || format!("HTTP {}: {}", reply.status, words(&reply.body));
    match reply.status {
        200 => read_items(&reply.body, n_sent, data_stream),
        413 => Reading::TooLarge { why: why() },
        429 if speaks_of_the_index(&reply.body) => Reading::Hold { why: why() },
        429 => Reading::Retry { why: why(), after, slow_down: true },
        // The body is well-formed by construction: a request that is refused as a whole is refused for its address,
        // its rights or the state of the index, never for an alert.
        300..=399 | 400..=407 | 409..=412 | 414..=428 | 430..=499 => Reading::Hold { why: why() },
        _ => Reading::Retry { why: why(), after, slow_down: false },
    }
}

/// An error of the whole request.
#[derive(Deserialize)]
struct Whole {
    error: ItemError,
}

fn speaks_of_the_index(body: &[u8]) -> bool {
    serde_json::from_slice(body).is_ok_and(|whole: Whole| whole.error.is_index_state())
}

#[derive(Deserialize)]
struct Answer {
    items: Vec<Outcome>,
}

#[derive(Deserialize)]
struct Outcome {
    create: Item,
}

/// What a bulk answer says of one item.
#[derive(Debug, Default, Deserialize)]
struct Item {
    status: u16,
    #[serde(rename = "_index", default)]
    index: String,
    #[serde(rename = "_id", default)]
    id: String,
    #[serde(rename = "_seq_no")]
    seq_no: Option<u64>,
    failure_store: Option<String>,
    error: Option<ItemError>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum ItemError {
    Told {
        #[serde(rename = "type", default)]
        kind: String,
        #[serde(default)]
        reason: Option<String>,
    },
    /// Very old servers, and requests that no handler takes, give a text.
    Text(String),
}

impl ItemError {
    fn kind(&self) -> &str {
        match self {
            Self::Told { kind, .. } => kind,
            Self::Text(_) => "",
        }
    }

    fn is_index_state(&self) -> bool {
        let (kind, beginning) = MISSING_PIPELINE;
        INDEX_STATE.contains(&self.kind()) || (self.kind() == kind && self.reason().starts_with(beginning))
    }

    fn reason(&self) -> &str {
        match self {
            Self::Told { reason, .. } => reason.as_deref().unwrap_or_default(),
            Self::Text(text) => text,
        }
    }
}

fn read_items(body: &[u8], n_sent: usize, data_stream: &str) -> Reading {
    let answer: Answer = match serde_json::from_slice(body) {
        Ok(answer) => answer,
        Err(error) => {
            // An answer that was cut comes whole when there is less to say: half as many alerts next time.
            let slow_down = error.is_eof() && !body.is_empty();
            let why = format!("HTTP 200, not a bulk answer ({error}): {}", words(body));
            return Reading::Retry { why, after: None, slow_down };
        }
    };
    if answer.items.len() != n_sent {
        let why = format!("{} answers to {n_sent} alerts; all are sent again", answer.items.len());
        return Reading::Retry { why, after: None, slow_down: false };
    }
    Reading::Words(answer.items.into_iter().map(|outcome| read_item(&outcome.create, data_stream)).collect())
}

/// The table: what an item's answer means.
fn read_item(item: &Item, data_stream: &str) -> Word {
    let kind = item.error.as_ref().map_or("", ItemError::kind);
    let reason = item.error.as_ref().map_or("", ItemError::reason);
    let why = || words(format!("{} {kind}: {reason}", item.status).as_bytes());
    match item.status {
        // A success that contradicts itself, or does not say of which document it speaks.
        200..=299 if item.error.is_some() || item.id.is_empty() => Word::Retry(why()),
        200..=299 => read_taken(item, data_stream),
        409 => Word::Final(Fate::Repeated, place(item)),
        400..500 if item.error.as_ref().is_some_and(ItemError::is_index_state) => Word::Hold(why()),
        429 => Word::Overloaded(why()),
        401 | 403 | 404 => Word::Hold(why()),
        400 | 413 => Word::Final(Fate::Refused, why()),
        _ => Word::Retry(why()),
    }
}

/// An item that was taken: into the stream, or aside.
fn read_taken(item: &Item, data_stream: &str) -> Word {
    let aside = |what: &str| Word::Final(Fate::Degraded, format!("{}, {what}", place(item)));
    match item.failure_store.as_deref() {
        None => {}
        Some(told) if FAILURE_STORE_UNUSED.contains(&told) => {}
        Some("used") => return aside("put into the failure store"),
        Some(told) => return Word::Retry(words(format!("{} with failure_store {told}", item.status).as_bytes())),
    }
    if item.index == data_stream {
        return aside("put into a plain index: no data stream has this name");
    }
    Word::Final(Fate::Delivered, place(item))
}

/// Where it stands, as a proof that can be looked up: `_index=.ds-x-000001 _id=a-1 _seq_no=17`.
fn place(item: &Item) -> String {
    let seq_no = item.seq_no.map(|seq_no| format!(" _seq_no={seq_no}")).unwrap_or_default();
    words(format!("_index={} _id={}{seq_no}", item.index, item.id).as_bytes())
}

#[cfg(test)]
mod tests;
