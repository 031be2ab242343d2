//! Both shapes that Cloudflare documents, what waits for its request, and hostile records.

use serde_json::{Value, json};

use crate::pipeline::decode::{Decoded, Feed, Piece, decode};
use crate::pipeline::event::{Carrier, Millis, PanicEvent, Position, RawRecord, RecoveryOutcome};

fn decoded(payload: &str) -> Decoded<'_> {
    let position = Position { topic: "logpush", partition: 0, offset: 3 };
    decode(&Feed::default(), RawRecord { position, broker_time: None, headers: &[], payload: payload.as_bytes() })
}

fn record(logs: &Value, exceptions: &Value) -> Value {
    json!({"CPUTimeMs": 1, "DispatchNamespace": "", "Entrypoint": "", "EventTimestampMs": 1_795_330_796_612_i64,
        "Event": {"RayID": "8f0aaaaaaaaaaaaa", "Request": {"URL": "https://a.example/v1/x?q=1", "Method": "POST"},
            "Response": {"Status": 500}}, "EventType": "fetch", "Exceptions": exceptions, "Logs": logs,
        "Outcome": "exception", "ScriptName": "api", "ScriptTags": [], "ScriptVersion": {"ID": "v-1"}, "WallTimeMs": 3})
}

const HOOK: &str = "Error: Rust panic: panicked at src/a.rs:1:2:\nboom";

fn documented() -> Value {
    let at = 1_795_330_796_615_i64;
    record(
        &json!([{"Level": "error", "Message": ["Critical", HOOK], "TimestampMs": at}]),
        &json!([{"Name": "Error", "Message": "boom", "TimestampMs": at}]),
    )
}

#[track_caller]
fn awaiting(payload: &str) -> (String, PanicEvent<'_>) {
    let Decoded { carrier, mut pieces, refusal } = decoded(payload);
    assert_eq!((carrier, refusal, pieces.len()), (Carrier::CloudflareLogpush, None, 1));
    match pieces.remove(0) {
        Piece::Awaiting { ray, event } => (ray.into_owned(), event),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_panic_waits_for_the_log_of_its_request() {
    let text = documented().to_string();
    let (ray, event) = awaiting(&text);
    assert_eq!(ray, "8f0aaaaaaaaaaaaa");
    assert_eq!((event.service.as_ref(), event.release.as_deref()), ("api", Some("v-1")));
    assert_eq!((event.panic.message.as_ref(), event.panic.file.as_deref()), ("boom", Some("src/a.rs")));
    assert_eq!(
        (event.method.as_deref(), event.path.as_deref(), event.status),
        (Some("POST"), Some("/v1/x"), Some(500))
    );
    assert_eq!((event.time, event.recovery), (Millis(1_795_330_796_615), RecoveryOutcome::Degraded));
    assert_eq!(event.event_id, "cf:8f0aaaaaaaaaaaaa:1795330796612::0");
    assert_eq!((event.tenant.as_ref(), event.client.ip), ("", None));
}

#[test]
fn the_shape_with_small_letters_and_bare_messages_says_the_same() {
    let text = record(
        &json!([{"level": "error", "message": format!("[\"Critical\",{}]", json!(HOOK))}]),
        &json!([{"message": "boom", "stack": "PanicError: boom\n    at x"}]),
    )
    .to_string();
    let (_, event) = awaiting(&text);
    assert_eq!((event.panic.message.as_ref(), event.panic.line), ("boom", Some(1)));
    let lower = documented().to_string().replace("\"Logs\"", "\"logs\"").replace("\"RayID\"", "\"rayId\"");
    assert_eq!(awaiting(&lower).0, "8f0aaaaaaaaaaaaa");
}

#[test]
fn a_text_that_was_cut_is_still_the_same_panic() {
    let text = record(
        &json!([{"Level": "error", "Message": ["Critical", HOOK]}]),
        &json!([{"Name": "Error", "Message": "bo<<<Logpush: exception messages truncated>>>"}]),
    )
    .to_string();
    assert_eq!(awaiting(&text).1.panic.message, "boom");
    let text = record(
        &json!([{"Level": "error", "Message": ["Critical",
            "Error: Rust panic: panicked at src/a.rs:1:2:\nbo<<<Logpush: messages truncated>>>"]}]),
        &json!([{"Name": "Error", "Message": "boom"}]),
    )
    .to_string();
    let (_, event) = awaiting(&text);
    assert_eq!((event.panic.message.as_ref(), event.notes.n_cut), ("boom", 1));
}

#[test]
fn an_exception_alone_cannot_be_told_from_any_other() {
    let text = record(&json!([]), &json!([{"Name": "Error", "Message": "boom"}])).to_string();
    assert_eq!(decoded(&text).pieces, []);
}

#[test]
fn lines_and_arrays_are_read_one_by_one_and_a_bad_one_is_refused() {
    let (a, b) = (documented().to_string(), documented().to_string());
    for payload in [format!("{a}\n{b}\n"), format!("[{a},{b}]"), format!("{a}\r\n\r\n{b}")] {
        let Decoded { pieces, refusal, .. } = decoded(&payload);
        assert_eq!((pieces.len(), refusal), (2, None));
    }
    let payload = format!("{a}\n{{\"Outcome\":\n{b}");
    let Decoded { pieces, refusal, .. } = decoded(&payload);
    assert_eq!(pieces.len(), 2);
    assert!(refusal.unwrap().detail.starts_with("item 1: outcome: JSON breaks"));
}

#[test]
fn without_a_ray_nothing_waits() {
    let mut record = documented();
    record["Event"] = json!({"Queue": "orders"});
    let text = record.to_string();
    let Decoded { pieces, .. } = decoded(&text);
    assert!(matches!(pieces.as_slice(), [Piece::Event(event)] if event.endpoint.as_deref() == Some("queue orders")));
}
