//! A scripted bulk server: keeps documents by `_id` and answers item by item as Elasticsearch does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::http::{Answer, Received, ScriptedServer};

/// Documents by id, and the order in which they came.
#[derive(Default)]
struct Documents {
    by_id: BTreeMap<String, String>,
    order: Vec<String>,
}

/// What a bulk server holds.
#[derive(Clone, Default)]
pub(crate) struct Stream(Arc<Mutex<Documents>>);

impl Stream {
    /// Ids in the order in which they were created.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.0.lock().unwrap().order.clone()
    }
}

/// What is said of an item instead of taking it: status and error type.
pub(crate) type Trouble = (u16, &'static str);

/// Starts a server that asks `trouble` about each item (request number, alert id) before it takes it.
pub(crate) async fn start(
    trouble: impl Fn(usize, &str) -> Option<Trouble> + Send + Sync + 'static,
) -> (ScriptedServer, Stream) {
    let stream = Stream::default();
    let taken = stream.clone();
    let server = ScriptedServer::start(move |n, request| answer(&taken, request, |id| trouble(n, id))).await;
    (server, stream)
}

fn answer(stream: &Stream, request: &Received, trouble: impl Fn(&str) -> Option<Trouble>) -> Answer {
    assert!(request.body.ends_with('\n'), "a bulk request ends with a newline");
    let lines: Vec<&str> = request.body.lines().collect();
    let mut documents = stream.0.lock().unwrap();
    let mut items = Vec::new();
    for pair in lines.chunks(2) {
        let action: serde_json::Value = serde_json::from_str(pair[0]).unwrap();
        let id = action["create"]["_id"].as_str().unwrap().to_owned();
        let failed = trouble(&id)
            .or_else(|| documents.by_id.contains_key(&id).then_some((409, "version_conflict_engine_exception")));
        let item = if let Some((status, kind)) = failed {
            serde_json::json!({"_id": id, "status": status, "error": {"type": kind, "reason": "as scripted"}})
        } else {
            documents.by_id.insert(id.clone(), pair[1].to_owned());
            documents.order.push(id.clone());
            let seq_no = documents.order.len() - 1;
            serde_json::json!({"_id": id, "_version": 1, "result": "created", "_seq_no": seq_no, "status": 201})
        };
        items.push(serde_json::json!({"create": item}));
    }
    Answer::new(200, serde_json::json!({"took": 1, "errors": false, "items": items}).to_string())
}
