use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};

use super::super::decode;
use super::*;
use crate::pipeline::event::{Carrier, PanicEvent, Position};

const PANIC: &str = r#"{"event_id":"e-1","ts":"2026-11-22T10:00:00Z","service":"shop","panic":{"message":"boom"}}"#;
const SENTRY: &str =
    r#"{"sdk":{},"exception":[{"type":"panic","value":"boom"}],"platform":"native","release":"shop@1"}"#;
const TRACES: &[u8] = include_bytes!("../../../../tests/data/carriers/otlp/traces.pb");

fn record<'a>(headers: &'a [Header], payload: &'a [u8]) -> RawRecord<'a> {
    let position = Position { topic: "events", partition: 0, offset: 7 };
    RawRecord { position, broker_time: None, headers, payload }
}

fn header(name: &str, value: &str) -> Header {
    Header { name: name.to_owned(), value: value.to_owned() }
}

/// The carrier, the events and the refusal of a record.
fn read(feed: &Feed, headers: &[Header], payload: &[u8]) -> (Carrier, Vec<PanicEvent<'static>>, Option<Refusal>) {
    let decoded = decode(feed, record(headers, payload));
    let event = |piece: Piece<'_>| match piece {
        Piece::Event(event) => event.into_owned(),
        other => panic!("{other:?}"),
    };
    (decoded.carrier, decoded.pieces.into_iter().map(event).collect(), decoded.refusal)
}

fn wrapped(keys: &Json) -> String {
    let mut event =
        json!({"specversion": "1.0", "id": "a-7", "source": "/shop", "type": "x", "time": "2026-11-22T11:00:00Z"});
    event.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    event.to_string()
}

#[test]
fn data_is_read_as_json_text_and_base64() {
    let panic: Json = serde_json::from_str(PANIC).unwrap();
    for data in [json!({"data": panic}), json!({"data": PANIC}), json!({"data_base64": STANDARD.encode(PANIC)})] {
        let (carrier, events, refusal) = read(&Feed::default(), &[], wrapped(&data).as_bytes());
        assert_eq!((carrier, refusal), (Carrier::Canonical, None), "{data}");
        assert_eq!(events.iter().map(|event| event.event_id.as_ref()).collect::<Vec<_>>(), ["e-1"], "{data}");
    }
}

#[test]
fn any_carrier_may_be_within() {
    let data = json!({"data_base64": STANDARD.encode(TRACES), "datacontenttype": "application/x-protobuf"});
    let (carrier, events, refusal) = read(&Feed::default(), &[], wrapped(&data).as_bytes());
    assert_eq!((carrier, events.len(), refusal), (Carrier::Otlp, 1, None));
    let envelope = format!("{{}}\n{{\"type\":\"event\"}}\n{SENTRY}");
    let (carrier, events, refusal) = read(&Feed::default(), &[], wrapped(&json!({"data": envelope})).as_bytes());
    assert_eq!((carrier, events.len(), refusal), (Carrier::Sentry, 1, None));
}

#[test]
fn the_envelope_names_an_event_without_an_id_and_tells_its_time() {
    let at = Millis::parse("2026-11-22T11:00:00Z").unwrap();
    let sentry: Json = serde_json::from_str(SENTRY).unwrap();
    let (_, events, _) = read(&Feed::default(), &[], wrapped(&json!({"data": sentry})).as_bytes());
    assert_eq!(
        events.iter().map(|event| (event.event_id.as_ref(), event.time)).collect::<Vec<_>>(),
        [("/shop#a-7", at)]
    );
    let headers = [
        header("ce_specversion", "1.0"),
        header("ce_id", "a-7"),
        header("ce_source", "/shop"),
        header("ce_time", "2026-11-22T11:00:00Z"),
        header("content-type", "application/json"),
    ];
    let (carrier, binary, refusal) = read(&Feed::default(), &headers, SENTRY.as_bytes());
    assert_eq!((carrier, refusal), (Carrier::Sentry, None));
    assert_eq!(binary, events, "both modes tell the same");
}

#[test]
fn several_events_without_ids_within_one_envelope_have_different_names() {
    let array = format!("[{SENTRY},{SENTRY}]");
    let array: Json = serde_json::from_str(&array).unwrap();
    let (_, events, _) = read(&Feed::default(), &[], wrapped(&json!({"data": array})).as_bytes());
    let ids: Vec<&str> = events.iter().map(|event| event.event_id.as_ref()).collect();
    assert_eq!(ids, ["/shop#a-7", "/shop#a-7#1"]);
}

#[test]
fn the_topics_carrier_is_that_of_what_is_within() {
    let feed = Feed { carrier: Some(Carrier::Sentry), ..Feed::default() };
    let sentry: Json = serde_json::from_str(SENTRY).unwrap();
    let (carrier, events, refusal) = read(&feed, &[], wrapped(&json!({"data": sentry})).as_bytes());
    assert_eq!((carrier, events.len(), refusal), (Carrier::Sentry, 1, None));
}

#[test]
fn one_bad_event_of_a_batch_is_refused_alone() {
    let good = wrapped(&json!({"data": PANIC}));
    let other = wrapped(&json!({"data": PANIC.replace("e-1", "e-2")}));
    let batch = format!("[{good},5,{},{other}]", wrapped(&json!({"data": "{\"ts\":1,\"event_id\":\"x\"}"})));
    for headers in [Vec::new(), vec![header("content-type", "application/cloudevents-batch+json; charset=utf-8")]] {
        let (_, events, refusal) = read(&Feed::default(), &headers, batch.as_bytes());
        assert_eq!(events.iter().map(|event| event.event_id.as_ref()).collect::<Vec<_>>(), ["e-1", "e-2"]);
        let refusal = refusal.unwrap();
        assert_eq!(
            (refusal.reason, refusal.detail.as_str()),
            (Reason::WrongType, "event 1: the record: an object is needed")
        );
    }
}

#[test]
fn an_event_without_data_is_silent() {
    for data in [json!({}), json!({"data": null}), json!({"data": {"hello": 1}, "datacontenttype": "application/json"})]
    {
        let feed = Feed { carrier: Some(Carrier::Sentry), ..Feed::default() };
        let (_, events, refusal) = read(&feed, &[], wrapped(&data).as_bytes());
        assert_eq!((events.len(), refusal), (0, None), "{data}");
    }
}

#[test]
fn what_breaks_the_standard_is_refused_with_what_is_needed() {
    let check = |keys: Json, reason: Reason, words: &str| {
        let (_, events, refusal) = read(&Feed::default(), &[], wrapped(&keys).as_bytes());
        let refusal = refusal.unwrap_or_else(|| panic!("{keys} is not refused"));
        assert_eq!((events.len(), refusal.reason, refusal.detail.as_str()), (0, reason, words), "{keys}");
    };
    check(json!({"specversion": "0.3"}), Reason::BadValue, "specversion: 1.0 is needed");
    check(json!({"specversion": 1}), Reason::MissingKey, "specversion: a text is needed");
    check(json!({"data_base64": "%"}), Reason::BadValue, "data_base64: standard base64 is needed");
    check(json!({"data_base64": 5}), Reason::WrongType, "data_base64: a text is needed");
    check(json!({"data": 1, "data_base64": ""}), Reason::BadValue, "data_base64: not needed beside data");
    let nested = "the record: a CloudEvent within a CloudEvent is not read";
    let inner: Json = serde_json::from_str(&wrapped(&json!({"data": PANIC}))).unwrap();
    check(json!({"data": inner}), Reason::UnsupportedEncoding, nested);
    check(json!({"data": inner.to_string()}), Reason::UnsupportedEncoding, nested);
    check(json!({"data_base64": STANDARD.encode(inner.to_string())}), Reason::UnsupportedEncoding, nested);
    let (_, _, refusal) = read(&Feed::default(), &[header("ce_specversion", "1.0")], inner.to_string().as_bytes());
    assert_eq!(refusal.map(|refusal| refusal.detail).as_deref(), Some(nested));
    let (_, _, refusal) = read(&Feed::default(), &[header("ce_specversion", "2.0")], PANIC.as_bytes());
    assert_eq!(refusal.map(|refusal| refusal.reason), Some(Reason::BadValue));
}

#[test]
fn every_beginning_of_an_event_is_refused_or_silent_and_does_no_harm() {
    let whole = wrapped(&json!({"data": PANIC}));
    for end in 0..whole.len() {
        let headers = [header("content-type", "application/cloudevents+json")];
        let (_, events, refusal) = read(&Feed::default(), &headers, whole.get(..end).unwrap().as_bytes());
        assert!(events.is_empty() && refusal.is_some(), "{end}");
    }
    let deep = format!("{{\"specversion\":\"1.0\",\"data\":{}", "[".repeat(500_000));
    let (_, events, refusal) = read(&Feed::default(), &[], deep.as_bytes());
    assert!(events.is_empty() && refusal.is_some());
}

#[test]
fn a_lone_surrogate_in_the_data_does_not_hide_the_panic() {
    let text = r#"{"specversion":"1.0","id":"1","source":"s","data":"{\"exception\":{\"type\":\"panic\",\"value\":\"a\ud800b\"},\"platform\":\"x\",\"release\":\"shop@1\",\"timestamp\":1}"}"#;
    let feed = Feed { carrier: Some(Carrier::Sentry), ..Feed::default() };
    let (_, events, refusal) = read(&feed, &[], text.as_bytes());
    assert_eq!(refusal, None);
    assert_eq!(events.iter().map(|event| event.panic.message.as_ref()).collect::<Vec<_>>(), ["a\u{fffd}b"]);
}
