//! What is taken for a sample of ordinary requests, and what is refused and why.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;
use crate::pipeline::decode::contract::request_sample_schema;
use crate::pipeline::decode::{Decoded, Feed, decode};
use crate::pipeline::event::{Carrier, Millis, PanicEvent, Position, RawRecord};

const SENT_AT: Millis = Millis(1_789_372_802_849);

/// A sample in the order in which a recovery layer writes its keys.
const SAMPLE: &str = r#"{"sample_id":"4b96","ts":"2026-09-14T08:00:02.849Z","service":"shop","release":"4.17.2",
"endpoint":"POST /v1/orders","method":"POST","path":"/v1/orders","query":[["page","1"]],"status":201,
"client":{"ip":"192.0.2.7","user_agent":"App/8"},"token":{"id_hash":"12d3","scope":"orders:write","valid":true},
"request":{"id":"7390","content_type":"application/json","content_length":9,"payload":"{\"a\": 1}\n",
"payload_encoding":"utf8","payload_truncated":false,"idempotency_key":null,"attempt":1},"latency_ms":null,"sample_rate":0.05}"#;

fn decoded<'a>(feed: &Feed, payload: &'a str) -> Decoded<'a> {
    let position = Position { topic: "ordinary", partition: 0, offset: 3 };
    decode(feed, RawRecord { position, broker_time: None, headers: &[], payload: payload.as_bytes() })
}

/// `SAMPLE` with other values; `null` takes a key away.
fn with(changes: &Value) -> String {
    let mut sample: Value = serde_json::from_str(SAMPLE).unwrap();
    for (key, value) in changes.as_object().unwrap() {
        sample[key] = value.clone();
    }
    sample.to_string()
}

fn samples<'a>(feed: &Feed, payload: &'a str) -> Vec<(PanicEvent<'a>, u32)> {
    let Decoded { carrier, pieces, refusal } = decoded(feed, payload);
    assert_eq!((carrier, refusal), (Carrier::RequestSample, None));
    let sample = |piece| match piece {
        Piece::Sample { request, one_in } => (request, one_in),
        other => panic!("{other:?}"),
    };
    pieces.into_iter().map(sample).collect()
}

#[track_caller]
fn check_refused(payload: &str, reason: Reason, detail: &str) {
    let feed = Feed { carrier: Some(Carrier::RequestSample), ..Feed::default() };
    let Decoded { pieces, refusal, .. } = decoded(&feed, payload);
    let refusal = refusal.unwrap_or_else(|| panic!("{payload} is taken"));
    assert_eq!((refusal.reason, pieces.len()), (reason, 0), "{refusal:?}");
    assert!(refusal.detail.starts_with(detail), "{refusal:?}");
}

#[test]
fn a_sample_is_known_by_itself_and_read_like_an_event() {
    let (request, one_in) = samples(&Feed::default(), SAMPLE).remove(0);
    assert_eq!((request.event_id.as_ref(), request.time, one_in), ("4b96", SENT_AT, 20));
    assert_eq!((request.service.as_ref(), request.status), ("shop", Some(201)));
    assert_eq!(request.client.ip, Some("192.0.2.7".parse().unwrap()));
    assert_eq!(request.token.and_then(|token| token.valid), Some(true));
    assert_eq!((request.panic.message.as_ref(), request.notes.n_unknown_keys), ("", 0));
    assert_eq!(request.query.len(), 1);
    // The order of keys is the producer's business.
    let (head, tail) = (r#""sample_id":"4b96","#, SAMPLE.strip_suffix('}').unwrap());
    let turned = tail.replace(head, "") + r#","sample_id":"4b96"}"#;
    assert_eq!(samples(&Feed::default(), &turned).remove(0).0.event_id, "4b96");
}

#[test]
fn a_sample_is_taken_alone_in_an_array_and_a_line_each() {
    let one = with(&json!({}));
    for both in [format!("[{one},{one}]"), format!("{one}\n{one}\n")] {
        assert_eq!(samples(&Feed::default(), &both).len(), 2);
    }
}

#[test]
fn a_rate_is_a_share_or_the_n_of_one_in_n() {
    let check = |rate: &str, expected: u32| {
        let text = SAMPLE.replace("0.05", rate);
        assert_eq!(samples(&Feed::default(), &text).remove(0).1, expected, "{rate}");
    };
    for (rate, expected) in [("0.05", 20), ("20", 20), ("20.0", 20), ("1", 1), ("1.0", 1), ("5e-2", 20), ("0.3", 3)] {
        check(rate, expected);
    }
    check("0.000001", 1_000_000);
    check("1000000", 1_000_000);
}

#[test]
fn a_rate_that_would_make_one_record_outweigh_all_others_is_refused() {
    for rate in ["0", "0.0", "-0.0", "-0.05", "-20", "1e-300", "0.0000009", "1e300", "1000001", "18446744073709551615"]
    {
        check_refused(&SAMPLE.replace("0.05", rate), Reason::BadValue, "sample_rate: a share from 0.000001 to 1");
    }
    check_refused(&SAMPLE.replace("0.05", "\"0.05\""), Reason::WrongType, "sample_rate: a number");
    check_refused(&SAMPLE.replace("0.05", "[20]"), Reason::WrongType, "sample_rate: a number");
    check_refused(&SAMPLE.replace("0.05", "null"), Reason::MissingKey, "sample_rate: a number");
    check_refused(&SAMPLE.replace("0.05", "NaN"), Reason::NotJson, "");
    check_refused(&SAMPLE.replace("0.05", "1e999"), Reason::BadValue, "");
}

#[test]
fn what_is_no_sample_is_refused_by_name() {
    check_refused(&with(&json!({"ts": null})), Reason::MissingKey, "ts: a date and time");
    check_refused(&with(&json!({"service": null})), Reason::MissingKey, "service: a text");
    check_refused(&with(&json!({"service": " "})), Reason::BadValue, "service: a text that is not empty");
    check_refused(&with(&json!({"sample_id": ""})), Reason::BadValue, "sample_id: a text that is not empty");
    check_refused(&with(&json!({"sample_id": "i".repeat(2_000)})), Reason::TooLong, "sample_id: at most 1024 bytes");
    check_refused(&with(&json!({"status": 99})), Reason::BadValue, "status: a whole number from 100 to 999");
    check_refused(&with(&json!({"client": {"ip": "192.0.2.7:80"}})), Reason::BadValue, "client.ip: ");
    let broken = json!({"request": {"payload": "?", "payload_encoding": "base64"}});
    check_refused(&with(&broken), Reason::BadValue, "request.payload: standard base64");
    check_refused("[]x", Reason::NotJson, "");
    let deep = format!("{{\"x\":{}{}}}", "[".repeat(200), "]".repeat(200));
    check_refused(&deep, Reason::TooDeep, "");
}

#[test]
fn a_sample_that_tells_of_a_panic_is_refused() {
    for panic in [json!({}), json!({"message": "boom"})] {
        check_refused(
            &with(&json!({"panic": panic})),
            Reason::BadValue,
            "panic: a sample is of a request that did not",
        );
    }
    // Nothing is told by null, and an event without its panic is the very form.
    let feed = Feed { carrier: Some(Carrier::RequestSample), ..Feed::default() };
    assert_eq!(samples(&feed, &with(&json!({"panic": null, "handled": true}))).len(), 1);
}

#[test]
fn an_id_may_be_that_of_an_event_or_none() {
    let feed = Feed { carrier: Some(Carrier::RequestSample), ..Feed::default() };
    let id = |changes: &Value| samples(&feed, &with(changes)).remove(0).0.event_id.into_owned();
    assert_eq!(id(&json!({"sample_id": null, "event_id": "e-1"})), "e-1");
    assert_eq!(id(&json!({"event_id": "e-1"})), "4b96");
    assert!(id(&json!({"sample_id": null})).ends_with("#0"));
}

#[test]
fn a_bad_sample_costs_the_others_of_its_record_nothing() {
    let text = format!("[{},{}]", with(&json!({"sample_rate": 0})), with(&json!({})));
    let Decoded { pieces, refusal, .. } = decoded(&Feed::default(), &text);
    assert_eq!((pieces.len(), refusal.unwrap().detail.starts_with("item 0: sample_rate")), (1, true));
}

#[test]
fn the_topic_names_the_tenant_where_a_sample_does_not() {
    let feed = Feed { tenant: "acme".to_owned(), ..Feed::default() };
    assert_eq!(samples(&feed, SAMPLE).remove(0).0.tenant, "acme");
    assert_eq!(samples(&feed, &with(&json!({"tenant": "other"}))).remove(0).0.tenant, "other");
}

#[test]
fn half_a_surrogate_pair_in_a_body_loses_no_sample() {
    let text = SAMPLE.replace("App/8", "App\\ud800");
    assert_eq!(samples(&Feed::default(), &text).remove(0).0.client.user_agent.as_deref(), Some("App\u{fffd}"));
}

#[test]
fn decoder_and_schema_know_the_same_keys() {
    let schema = request_sample_schema();
    let published: BTreeSet<&str> = schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
    let known: BTreeSet<&str> = KEYS.into_iter().collect();
    assert_eq!(known.len(), KEYS.len());
    assert!(published.is_subset(&known), "{published:?}");
    let without_meaning: Vec<&str> = known.difference(&published).copied().collect();
    assert_eq!(without_meaning, ["event_id", "handled", "isolate", "panic", "recovery", "retry", "side_effects"]);
    assert_eq!(schema["required"], json!(["ts", "service", "sample_rate"]));
    assert!(jsonschema::validator_for(&schema).unwrap().is_valid(&serde_json::from_str(SAMPLE).unwrap()));
}
