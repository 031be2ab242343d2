//! The bulk interface of Elasticsearch and OpenSearch as a pure protocol.
//!
//! Takes alerts, gives one NDJSON bulk request that creates documents in a data stream under our own `_id`; reads the
//! answer item by item, in the order of the request. 409 means that the alert is there already: delivered. An answer
//! with another number of items than were sent says nothing about any of them: all are sent again, which is harmless.
//! A block on the index (full disk, read-only, missing right) holds the lane; it neither spins nor drops. Of errors the
//! status decides; the type is looked at in one case alone, a block that comes as 429.
//!
//! Limits: the `_id` guards the present write index alone, after a rollover a repeat is a second document; `event.id`
//! folds it. A missing index template is not seen here.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::deliver::{Fate, Reading, Reply, Request, Wire, Word, words};
use crate::pipeline::alert::{Alert, Change, Severity};

mod ecs;

pub use self::ecs::Document;

/// Settings of an Elasticsearch or OpenSearch destination.
#[derive(Debug, Clone)]
pub struct ElasticSettings {
    /// Name of the data stream (`logs-panicsift.alert-default`).
    pub data_stream: String,
}

/// The protocol.
#[derive(Debug, Clone)]
pub struct ElasticWire {
    data_stream: String,
}

impl ElasticWire {
    /// The protocol with these settings.
    pub fn new(settings: &ElasticSettings) -> Self {
        Self { data_stream: settings.data_stream.clone() }
    }
}

#[derive(Serialize)]
struct Action<'a> {
    create: Target<'a>,
}

#[derive(Serialize)]
struct Target<'a> {
    #[serde(rename = "_index")]
    index: &'a str,
    #[serde(rename = "_id")]
    id: &'a str,
}

impl Wire for ElasticWire {
    fn encode(&self, alerts: &[Alert]) -> Request {
        let mut body = Vec::new();
        for alert in alerts {
            let start = body.len();
            let action = Action { create: Target { index: &self.data_stream, id: &alert.alert_id } };
            let document = Document::of(alert, &self.data_stream);
            let mut write = || -> serde_json::Result<()> {
                serde_json::to_writer(&mut body, &action)?;
                body.push(b'\n');
                serde_json::to_writer(&mut body, &document)?;
                body.push(b'\n');
                Ok(())
            };
            // Cannot fail with these types; an item that is missing is found by the count of the answers.
            if write().is_err() {
                body.truncate(start);
            }
        }
        Request { path: "/_bulk".to_owned(), content_type: "application/x-ndjson", body, ..Request::default() }
    }

    fn read(&self, reply: &Reply, n_sent: usize) -> Reading {
        let after = reply.retry_after_secs.map(Duration::from_secs);
        let why = || format!("HTTP {}: {}", reply.status, words(&reply.body));
        match reply.status {
            200 => read_items(&reply.body, n_sent),
            413 => Reading::TooLarge { why: why() },
            429 => Reading::Retry { why: why(), after, slow_down: true },
            // The body is well-formed by construction: a request that is refused as a whole is refused for its address,
            // its rights or the state of the index, never for an alert.
            300..=399 | 400..=407 | 409..=412 | 414..=428 | 430..=499 => Reading::Hold { why: why() },
            _ => Reading::Retry { why: why(), after, slow_down: false },
        }
    }
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
    /// Very old servers give a text.
    Text(String),
}

fn read_items(body: &[u8], n_sent: usize) -> Reading {
    let answer: Answer = match serde_json::from_slice(body) {
        Ok(answer) => answer,
        Err(error) => {
            let why = format!("HTTP 200, not a bulk answer ({error}): {}", words(body));
            return Reading::Retry { why, after: None, slow_down: false };
        }
    };
    if answer.items.len() != n_sent {
        let why = format!("{} answers to {n_sent} alerts; all are sent again", answer.items.len());
        return Reading::Retry { why, after: None, slow_down: false };
    }
    Reading::Words(answer.items.into_iter().map(|outcome| read_item(&outcome.create)).collect())
}

/// The table: what an item's answer means.
fn read_item(item: &Item) -> Word {
    let (kind, reason) = match &item.error {
        Some(ItemError::Told { kind, reason }) => (kind.as_str(), reason.as_deref().unwrap_or_default()),
        Some(ItemError::Text(text)) => ("", text.as_str()),
        None => ("", ""),
    };
    let why = words(format!("{} {kind}: {reason}", item.status).as_bytes());
    match item.status {
        200..=299 if item.failure_store.as_deref() == Some("used") => {
            Word::Final(Fate::Degraded, "put into the failure store".to_owned())
        }
        200..=299 => Word::Final(Fate::Delivered, String::new()),
        409 => Word::Final(Fate::Repeated, String::new()),
        // The flood-stage watermark: looks like overload, and lasts until somebody makes room.
        429 if kind == "cluster_block_exception" => Word::Hold(why),
        429 => Word::Overloaded(why),
        401 | 403 | 404 => Word::Hold(why),
        400 | 413 => Word::Final(Fate::Refused, why),
        _ => Word::Retry(why),
    }
}

/// Elastic Security's numbers for its four words.
fn severity_number(severity: Severity) -> u8 {
    match severity {
        Severity::Low => 21,
        Severity::Medium => 47,
        Severity::High => 73,
        Severity::Critical => 99,
    }
}

/// What happened, in ECS's verb form.
fn action(change: Change) -> &'static str {
    match change {
        Change::Opened => "cluster-opened",
        Change::Raised => "cluster-raised",
        Change::Closed => "cluster-closed",
    }
}

#[cfg(test)]
mod tests;
