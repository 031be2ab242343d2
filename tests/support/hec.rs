//! A scripted Splunk HEC server: literal replies first, in the order of the script, then it takes what it is sent.
//!
//! It stands in for a Splunk that cannot be had here; its replies are those that Splunk documents, word for word.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use super::http::{Answer, Received, ScriptedServer};

/// What a HEC server has indexed: the ids of alerts in their order, repeats included.
#[derive(Clone, Default)]
pub(crate) struct Index(Arc<Mutex<Vec<String>>>);

impl Index {
    /// The ids so far.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// Takes all events of a request.
    pub(crate) fn take(&self, request: &Received) {
        self.0.lock().unwrap().extend(ids(request));
    }
}

/// The ids of the alerts in a request: envelopes one after the other, as Splunk reads them.
pub(crate) fn ids(request: &Received) -> Vec<String> {
    serde_json::Deserializer::from_str(&request.body)
        .into_iter::<serde_json::Value>()
        .map(|envelope| envelope.unwrap()["fields"]["alert_id"].as_str().unwrap().to_owned())
        .collect()
}

/// A literal reply of `tests/data/hec`.
pub(crate) fn reply(name: &str) -> Answer {
    let path = format!("{}/tests/data/hec/{name}.json", env!("CARGO_MANIFEST_DIR"));
    Answer::literal(&std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}")))
}

/// Starts a server that gives the named replies first (a reply of class 200 with code 0, 24 or 25 takes the events).
pub(crate) async fn start(script: &[&str]) -> (ScriptedServer, Index) {
    start_at("127.0.0.1:0".parse().unwrap(), script).await
}

/// The same on an address that is known before.
pub(crate) async fn start_at(address: SocketAddr, script: &[&str]) -> (ScriptedServer, Index) {
    let index = Index::default();
    let taken = index.clone();
    let script: Mutex<VecDeque<String>> = Mutex::new(script.iter().map(|name| (*name).to_owned()).collect());
    let server = ScriptedServer::start_at(address, move |_, request| {
        let name = script.lock().unwrap().pop_front().unwrap_or_else(|| "success".to_owned());
        if matches!(name.as_str(), "success" | "queue-nearly-full") {
            taken.take(request);
        }
        reply(&name)
    })
    .await;
    (server, index)
}
