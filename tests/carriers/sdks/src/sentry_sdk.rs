//! Envelopes by the transport of the sentry crate.

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex};

use sentry::protocol::{Attachment, Context, Request, User, Value};
use sentry::{ClientOptions, Envelope, Transport};

/// A transport that keeps what it is to send.
#[derive(Default)]
struct Capture(Mutex<Vec<Envelope>>);

impl Transport for Capture {
    fn send_envelope(&self, envelope: Envelope) {
        self.0.lock().expect("no poison").push(envelope);
    }
}

pub fn capture(folder: &Path) {
    fs::create_dir_all(folder).expect("the folder is made");
    let transport = Arc::new(Capture::default());
    let options = ClientOptions::new()
        .dsn("https://key@sentry.example.com/1")
        .transport(Arc::clone(&transport))
        .release("checkout@4.2.0")
        .environment("production")
        .server_name("node-7")
        .auto_session_tracking(true);
    let guard = sentry::init(options);
    sentry::configure_scope(|scope| scope.set_tag("service", "shop-checkout"));
    request(|| crate::faults::index(&[1, 2, 3], 9));
    sentry::with_scope(
        |scope| {
            scope.set_context("panicsift", Context::Other(convention()));
            scope.add_attachment(Attachment {
                buffer: vec![0x0a, 0xff, 0x00, b'\n', b'{'],
                filename: "core.bin".to_owned(),
                ..Attachment::default()
            });
        },
        || request(|| crate::faults::parse("x300")),
    );
    sentry::capture_message("no panic", sentry::Level::Info);
    sentry::end_session();
    drop(guard);
    drop(std::panic::take_hook());
    let envelopes = transport.0.lock().expect("no poison");
    for (number, envelope) in envelopes.iter().enumerate() {
        let mut bytes = Vec::new();
        envelope.to_writer(&mut bytes).expect("an envelope in memory");
        fs::write(folder.join(format!("envelope_{number}.txt")), bytes).expect("the file is written");
    }
    assert!(envelopes.len() >= 3, "two panics and a message");
}

/// panicsift's convention: what a stock event cannot tell.
fn convention() -> BTreeMap<String, Value> {
    let facts = [
        ("recovery_outcome", "degraded"),
        ("token_scope", "orders:read orders:write"),
        ("token_id_hash", "3c9e"),
        ("payload", "{\"at\": 9}"),
    ];
    let facts = facts.map(|(name, value)| (name.to_owned(), Value::from(value)));
    facts.into_iter().chain([("status".to_owned(), Value::from(500))]).collect()
}

fn request(work: impl FnOnce() -> u8) {
    sentry::with_scope(
        |scope| {
            scope.set_user(Some(User { ip_address: Some("203.0.113.7".parse().expect("an address")), ..User::default() }));
            scope.set_transaction(Some("POST /v1/orders"));
            scope.add_event_processor(|mut event| {
                let headers = [("content-type", "application/json"), ("idempotency-key", "\"k1\""), ("user-agent", "curl/8.5.0")];
                event.request = Some(Request {
                    url: Some("http://api.example.com/v1/orders".parse().expect("a URL")),
                    method: Some("POST".to_owned()),
                    query_string: Some("page=2&q=a%20b".to_owned()),
                    headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
                    ..Request::default()
                });
                Some(event)
            });
        },
        || drop(catch_unwind(AssertUnwindSafe(work))),
    );
}
