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

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::deliver::{BatchLimits, HttpSettings, Reading, Reply, Request, Wire};
use crate::pipeline::alert::{Alert, Change, Severity};
use crate::secret::Secret;

mod answer;
mod ecs;

pub use self::ecs::Document;

/// What of an answer is sent to us: all that is read, and nothing else. A refusal of 10,000 alerts with causes and stack
/// traces would be larger than is read.
const ANSWER_FILTER: &str = "filter_path=status,error.type,error.reason,items.*._index,items.*._id,items.*._seq_no,\
     items.*.status,items.*.failure_store,items.*.error.type,items.*.error.reason";

/// How we say who we are.
#[derive(Debug, Clone, Default)]
pub enum ElasticAuth {
    /// Not at all.
    #[default]
    None,
    /// The `encoded` form of an API key (base64 of `id:key`).
    ApiKey(Secret),
    /// User and password.
    Basic {
        /// Name of the user.
        user: String,
        /// The password.
        password: Secret,
    },
}

/// Settings of an Elasticsearch or OpenSearch destination.
#[derive(Debug, Clone)]
pub struct ElasticSettings {
    /// Name of the destination.
    pub name: String,
    /// Scheme, host, port and path if any (`https://elastic.example:9200`).
    pub url: String,
    /// Name of the data stream (`logs-panicsift.alert-default`).
    pub data_stream: String,
    /// Who we are.
    pub auth: ElasticAuth,
    /// Certificates, compression, time.
    pub http: HttpSettings,
    /// Size of a request.
    pub batch: BatchLimits,
}

/// The protocol.
#[derive(Debug, Clone)]
pub struct ElasticWire {
    url: String,
    data_stream: String,
    authorization: Option<Secret>,
}

impl ElasticWire {
    /// The protocol with these settings.
    pub fn new(settings: &ElasticSettings) -> Self {
        let authorization = match &settings.auth {
            ElasticAuth::None => None,
            ElasticAuth::ApiKey(key) => Some(Secret::new(format!("ApiKey {}", key.expose()))),
            ElasticAuth::Basic { user, password } => {
                let pair = STANDARD.encode(format!("{user}:{}", password.expose()));
                Some(Secret::new(format!("Basic {pair}")))
            }
        };
        Self {
            url: format!("{}/_bulk?{ANSWER_FILTER}", settings.url.trim_end_matches('/')),
            data_stream: settings.data_stream.clone(),
            authorization,
        }
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
        Request {
            url: self.url.clone(),
            content_type: "application/x-ndjson",
            authorization: self.authorization.clone(),
            body,
        }
    }

    fn read(&self, reply: &Reply, n_sent: usize) -> Reading {
        answer::read(reply, n_sent, &self.data_stream)
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
