//! Elasticsearch and OpenSearch: alerts as documents of a data stream, by the bulk interface.
//!
//! [`ElasticWire`] is the protocol, pure: takes alerts, gives one NDJSON request that creates documents under our own
//! `_id`, and reads the answer item by item ([`answer`]). [`ElasticOutlet`] is a lane's end: before it writes it looks
//! ([`look`]) whether the server is prepared for the stream, since without an index template a server makes a plain
//! index and says 201. [`install()`] prepares it ([`template`], [`fields`]): that is `panicsift setup elastic`.
//!
//! Limits: the `_id` guards the present write index alone, after a rollover a repeat is a second document; `event.id`
//! folds it.

use serde::Serialize;

use super::deliver::{Reading, Reply, Request, Wire};
use super::format::ecs::Document;
use crate::pipeline::alert::Alert;

mod answer;
mod fields;
mod install;
mod look;
mod outlet;
mod template;

pub use self::install::{Done, Installed, SetupError, Step, install};
pub use self::outlet::ElasticOutlet;
pub use self::template::{Kind, Part, Product, TEMPLATE_VERSION, TemplateNames, parts, render};
pub use crate::config::TemplateCheck;

/// What of an answer is sent to us: all that is read, and nothing else. A refusal of 10,000 alerts with causes and stack
/// traces would be larger than is read.
const BULK_PATH: &str = "/_bulk?filter_path=status,error.type,error.reason,items.*._index,items.*._id,\
     items.*._seq_no,items.*.status,items.*.failure_store,items.*.error.type,items.*.error.reason";

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
        Request { path: BULK_PATH.to_owned(), content_type: "application/x-ndjson", body, ..Request::default() }
    }

    fn read(&self, reply: &Reply, n_sent: usize) -> Reading {
        answer::read(reply, n_sent, &self.data_stream)
    }
}

#[cfg(test)]
mod tests;
