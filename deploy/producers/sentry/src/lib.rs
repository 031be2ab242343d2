//! A `before_send` for Sentry's Rust SDK, and a way to hand its envelopes to Kafka as well.
//!
//! A Sentry event of a panic has message, frames and request line. It has neither the token nor the body, and its
//! `handled: false` says nothing: the hook runs before anybody can catch. [`note`] adds what the application knows to
//! the scope of a request, [`before_send`] adds what became of the panic and takes out what must not leave the service.
//! Both end in `contexts.panicsift`, where panicsift looks for them.
//!
//! ```
//! use panic_events_sentry::{Facts, before_send, note};
//!
//! let options = sentry::ClientOptions::new()
//!     .release(std::borrow::Cow::Borrowed("storefront@4.17.2"))
//!     .before_send(before_send(Some("tower_http::CatchPanic")));
//! let _sentry = sentry::init(options);
//! // In the request's scope, once the token is checked and the body is read:
//! note(&Facts { token_id_hash: Some("3c9e35f612df94a6".into()), ..Facts::default() });
//! ```

use std::io::Write;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use sentry::protocol::{Context, Event, Map, Value};
use sentry::{Envelope, Transport, TransportFactory, TransportOptions};

/// Key of the context.
const CONTEXT: &str = "panicsift";

/// Longest body that goes along, in bytes: Sentry refuses events of more than a megabyte.
const PAYLOAD_BYTES_MAX: usize = 32 << 10;

/// Headers that hold credentials.
const CREDENTIALS: [&str; 5] = ["authorization", "cookie", "proxy-authorization", "set-cookie", "x-api-key"];

/// What only the application knows of a request.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// A keyed hash of the token's id; never the token.
    pub token_id_hash: Option<String>,
    /// Scopes of the token.
    pub token_scope: Vec<String>,
    /// The body as text, as far as it was read.
    pub payload: Option<String>,
    /// Or, where the body stays at home, its shape.
    pub payload_shape: Option<String>,
    /// Which attempt this is, from 1.
    pub attempt: Option<u32>,
    /// Whose data the request is about.
    pub tenant: Option<String>,
}

/// Puts the facts into the current scope, in place of those that were there.
pub fn note(facts: &Facts) {
    let mut context = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            context.insert(name.to_owned(), value);
        }
    };
    put("token_id_hash", facts.token_id_hash.clone().map(Value::from));
    put("token_scope", (!facts.token_scope.is_empty()).then(|| facts.token_scope.clone().into()));
    put("attempt", facts.attempt.map(Value::from));
    put("tenant", facts.tenant.clone().map(Value::from));
    put("payload_shape", facts.payload_shape.clone().map(Value::from));
    if let Some(payload) = &facts.payload {
        let kept = payload.get(..payload.floor_char_boundary(PAYLOAD_BYTES_MAX)).unwrap_or(payload);
        put("payload", Some(kept.into()));
        put("payload_truncated", Some((kept.len() < payload.len()).into()));
    }
    sentry::configure_scope(|scope| scope.set_context(CONTEXT, Context::Other(context)));
}

/// Completes the events of panics and takes credentials out of all. `boundary` names what catches the panics of requests
/// in this service, so that each of them is answered with an error; `None` where nothing does, and the outcome is not
/// known.
pub fn before_send(boundary: Option<&'static str>) -> impl Fn(Event<'static>) -> Option<Event<'static>> + Send + Sync {
    move |mut event| {
        if let Some(request) = &mut event.request {
            request.headers.retain(|name, _| !CREDENTIALS.contains(&name.to_ascii_lowercase().as_str()));
            request.cookies = None;
        }
        let is_panic = |kind: &str| kind == "panic";
        if event.exception.values.iter().any(|exception| is_panic(&exception.ty)) {
            let context = event.contexts.entry(CONTEXT.to_owned()).or_insert_with(|| Context::Other(Map::new()));
            if let Context::Other(context) = context {
                let outcome = if boundary.is_some() { "degraded" } else { "unknown" };
                context.insert("recovery_outcome".to_owned(), outcome.into());
                if let Some(boundary) = boundary {
                    context.insert("recovery_boundary".to_owned(), boundary.into());
                    context.insert("handled".to_owned(), true.into());
                }
            }
        }
        Some(event)
    }
}

/// Sends envelopes where they went before, and a copy of each into a bounded channel: a thread of yours takes them from
/// there to Kafka, as records with the header `content-type: application/x-sentry-envelope`.
pub struct Tee {
    /// What makes the transport that sends to Sentry; `None` where there is no Sentry, only Kafka.
    pub to_sentry: Option<Arc<dyn TransportFactory>>,
    /// Where the copies go. What finds it full is not copied: a panic never waits.
    pub copies: SyncSender<Vec<u8>>,
}

impl TransportFactory for Tee {
    fn create_transport_with_options(&self, options: TransportOptions) -> Arc<dyn Transport> {
        let to_sentry = self.to_sentry.as_ref().map(|factory| factory.create_transport_with_options(options));
        Arc::new(TeeTransport { to_sentry, copies: self.copies.clone() })
    }
}

struct TeeTransport {
    to_sentry: Option<Arc<dyn Transport>>,
    copies: SyncSender<Vec<u8>>,
}

impl Transport for TeeTransport {
    fn send_envelope(&self, envelope: Envelope) {
        let mut bytes = Vec::new();
        if envelope.to_writer(&mut bytes).and_then(|()| bytes.flush()).is_ok() {
            // Full or gone: the copy is lost, the original is not.
            drop(self.copies.try_send(bytes));
        }
        if let Some(to_sentry) = &self.to_sentry {
            to_sentry.send_envelope(envelope);
        }
    }

    fn flush(&self, timeout: Duration) -> bool {
        self.to_sentry.as_ref().is_none_or(|to_sentry| to_sentry.flush(timeout))
    }

    fn shutdown(&self, timeout: Duration) -> bool {
        self.to_sentry.as_ref().is_none_or(|to_sentry| to_sentry.shutdown(timeout))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use sentry::protocol::Request;
    use sentry::{ClientOptions, Hub};
    use serde_json::json;

    use super::*;

    /// Panics under a client with these options and this scope; the event that was sent, as JSON.
    fn event(boundary: Option<&'static str>, prepare: impl Fn()) -> serde_json::Value {
        let (copies, sent) = sync_channel(4);
        let mut options = ClientOptions::new().before_send(before_send(boundary)).in_app_include(["x"]);
        options.dsn = Some("https://public@sentry.invalid/1".parse().unwrap());
        options.transport = Some(Arc::new(Tee { to_sentry: None, copies }));
        let options = sentry::apply_defaults(options);
        let hub = Arc::new(Hub::new(Some(Arc::new(options.into())), Arc::default()));
        Hub::run(hub, || {
            prepare();
            assert!(std::panic::catch_unwind(|| panic!("at the disco")).is_err());
        });
        let envelope = sent.try_recv().unwrap();
        let lines: Vec<&[u8]> = envelope.split(|byte| *byte == b'\n').collect();
        serde_json::from_slice(lines[2]).unwrap()
    }

    #[test]
    fn an_event_of_a_panic_has_what_was_noted_and_what_became_of_it() {
        let event = event(Some("tower_http::CatchPanic"), || {
            note(&Facts {
                token_id_hash: Some("3c9e35f612df94a6".to_owned()),
                token_scope: vec!["orders:write".to_owned()],
                payload: Some("{\"a\":1}".to_owned()),
                attempt: Some(2),
                ..Facts::default()
            });
        });
        assert_eq!(event["exception"]["values"][0]["value"], "at the disco");
        let expected = json!({
            "type": "unknown", "token_id_hash": "3c9e35f612df94a6", "token_scope": ["orders:write"], "attempt": 2,
            "payload": "{\"a\":1}", "payload_truncated": false,
            "recovery_outcome": "degraded", "recovery_boundary": "tower_http::CatchPanic", "handled": true,
        });
        let context = &event["contexts"]["panicsift"];
        for (name, value) in expected.as_object().unwrap().iter().filter(|(name, _)| *name != "type") {
            assert_eq!(&context[name], value, "{name} in {context}");
        }
    }

    #[test]
    fn without_a_boundary_the_outcome_is_unknown_and_credentials_never_go_along() {
        let event = event(None, || {
            let headers = [("Authorization", "Bearer secret"), ("X-Api-Key", "secret"), ("user-agent", "acme")];
            let request = Request {
                headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
                cookies: Some("session=secret".to_owned()),
                ..Request::default()
            };
            sentry::configure_scope(|scope| {
                scope.add_event_processor(move |mut event| {
                    event.request = Some(request.clone());
                    Some(event)
                });
            });
            note(&Facts { payload: Some("ü".repeat(100_000)), ..Facts::default() });
        });
        let context = &event["contexts"]["panicsift"];
        assert_eq!((&context["recovery_outcome"], &context["handled"]), (&json!("unknown"), &json!(null)));
        assert_eq!(context["payload"].as_str().unwrap().len(), PAYLOAD_BYTES_MAX);
        assert_eq!(context["payload_truncated"], true);
        assert_eq!(event["request"]["headers"], json!({"user-agent": "acme"}));
        assert!(!event.to_string().contains("secret"));
    }
}
