//! What is taken of a request's log, and what hostile ones do.

use serde_json::{Value, json};

use crate::pipeline::decode::{Decoded, Feed, Piece, RequestFacts, decode};
use crate::pipeline::event::{Carrier, Millis, Position, RawRecord, Reason};

fn decoded(payload: &str) -> Decoded<'_> {
    let feed = Feed { carrier: Some(Carrier::CloudflareHttpRequests), ..Feed::default() };
    let position = Position { topic: "requests", partition: 0, offset: 3 };
    decode(&feed, RawRecord { position, broker_time: None, headers: &[], payload: payload.as_bytes() })
}

fn record() -> Value {
    json!({"RayID": "8f0aaaaaaaaaaaaa", "ParentRayID": "00", "ClientIP": "203.0.113.9", "ClientASN": 64_500,
        "ClientCountry": "nl", "ClientRequestMethod": "POST", "ClientRequestPath": "/v1/x",
        "ClientRequestURI": "/v1/x?q=1", "ClientRequestUserAgent": "ua/1", "EdgeResponseStatus": 500,
        "EdgeStartTimestamp": 1_795_330_796_612_000_000_i64, "JA4": "t13d", "BotScore": 3, "WorkerSubrequest": false})
}

fn facts(payload: &str) -> (String, RequestFacts<'_>) {
    let Decoded { mut pieces, refusal, .. } = decoded(payload);
    assert_eq!((refusal, pieces.len()), (None, 1));
    match pieces.remove(0) {
        Piece::Request { ray, facts } => (ray.into_owned(), facts),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_client_and_the_request_are_taken() {
    let text = record().to_string();
    let (ray, facts) = facts(&text);
    assert_eq!((ray.as_str(), facts.time), ("8f0aaaaaaaaaaaaa", Millis(1_795_330_796_612)));
    assert_eq!(facts.client.ip, Some("203.0.113.9".parse().unwrap()));
    assert_eq!((facts.client.asn, facts.client.country), (Some(64_500), Some(*b"NL")));
    assert_eq!(
        (facts.method.as_deref(), facts.path.as_deref(), facts.status),
        (Some("POST"), Some("/v1/x"), Some(500))
    );
    assert_eq!(facts.client.user_agent.as_deref(), Some("ua/1"));
}

#[test]
fn times_are_read_in_every_unit_that_can_be_asked_for() {
    let at = |time: Value| {
        let mut record = record();
        record["EdgeStartTimestamp"] = time;
        facts(&record.to_string()).1.time
    };
    assert_eq!(at(json!("2026-11-22T06:59:56.612Z")), Millis(1_795_330_796_612));
    assert_eq!(at(json!(1_795_330_796_612_i64)), Millis(1_795_330_796_612));
    assert_eq!(at(json!(1_795_330_796)), Millis(1_795_330_796_000));
}

#[test]
fn facts_that_make_no_sense_are_absent() {
    let text = json!({"RayID": "8f0a", "EdgeStartTimestamp": 1_795_330_796, "ClientIP": "", "ClientASN": 0,
        "ClientCountry": "XX", "ClientRequestURI": "/a?b=c", "EdgeResponseStatus": 0, "ClientRequestUserAgent": ""});
    let text = text.to_string();
    let (_, facts) = facts(&text);
    let expected = RequestFacts { time: facts.time, path: Some("/a".into()), ..RequestFacts::default() };
    assert_eq!(facts, expected);
}

#[test]
fn half_a_character_in_an_agent_does_not_lose_the_log() {
    let text = record().to_string().replace("ua/1", "ua\\ud800");
    assert_eq!(facts(&text).1.client.user_agent.as_deref(), Some("ua\u{fffd}"));
}

#[test]
fn without_a_ray_or_a_time_a_log_is_refused() {
    for (key, value, reason, detail) in [
        ("RayID", json!(null), Reason::MissingKey, "RayID: a text is needed"),
        ("RayID", json!("a b"), Reason::BadValue, "RayID: letters and digits are needed, at most 64"),
        ("RayID", json!(7), Reason::WrongType, "RayID: a text is needed, found a number"),
        (
            "EdgeStartTimestamp",
            json!(0),
            Reason::MissingKey,
            "EdgeStartTimestamp: neither it nor its record has a time",
        ),
    ] {
        let mut record = record();
        record[key] = value;
        let text = record.to_string();
        let refusal = decoded(&text).refusal.unwrap();
        assert_eq!((refusal.reason, refusal.detail.as_str()), (reason, detail));
    }
}
