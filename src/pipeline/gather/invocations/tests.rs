//! Streams of real words in any order, with gaps and repeats, and floods of them.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::pipeline::decode::{Decoded, Feed, decode};
use crate::pipeline::event::{Position, RawRecord, RecoveryOutcome};
use crate::pipeline::gather::{Gather, GatherPolicy};

const POLICY: GatherPolicy =
    GatherPolicy { join_wait_millis: 60_000, invocation_wait_millis: 60_000, ..GatherPolicy::FILES };
const START: i64 = 1_795_330_796_000;
const HOOK: &str = "Error: Rust panic: panicked at src/a.rs:1:2:\nboom";

fn part(id: &str, sequence: u64, event: &Value) -> String {
    let at = Millis(START + i64::try_from(sequence).unwrap()).to_string();
    json!({"invocationId": id, "spanContext": {"traceId": "t", "spanId": "s"}, "timestamp": at,
        "sequence": sequence, "event": event})
    .to_string()
}

/// A fetch that panics, as a streaming tail tells it.
fn stream(id: &str) -> Vec<String> {
    let onset = json!({"type": "onset", "executionModel": "stateless", "scriptName": "api", "scriptTags": [],
        "scriptVersion": {"id": "v-1"}, "info": {"type": "fetch", "method": "POST", "url": "https://a.example/v1/x?q=1",
        "cfJson": {"asn": 64_500, "country": "NL", "colo": "AMS"}, "headers": [
            {"name": "cf-connecting-ip", "value": "203.0.113.9"}, {"name": "cf-ray", "value": "8f0aaaaaaaaaaaaa-AMS"},
            {"name": "authorization", "value": "REDACTED"}]}});
    let events = [
        onset,
        json!({"type": "spanOpen", "name": "fetch"}),
        json!({"type": "log", "level": "error", "message": ["Critical", HOOK]}),
        json!({"type": "exception", "name": "Error", "message": "boom", "stack": "PanicError: boom\n    at x"}),
        json!({"type": "return", "info": {"type": "fetch", "statusCode": 500}}),
        json!({"type": "outcome", "outcome": "exception", "cpuTime": 0, "wallTime": 0}),
    ];
    (0..).zip(&events).map(|(sequence, event)| part(id, sequence, event)).collect()
}

/// Takes records at offsets from `first`; gives what is whole by then.
fn take(gather: &mut Gather, first: i64, records: &[String]) -> Vec<Gathered> {
    let feed = Feed { carrier: Some(Carrier::CloudflareTail), ..Feed::default() };
    for (offset, record) in (first..).zip(records) {
        let position = Position { topic: "tail", partition: 0, offset };
        let raw = RawRecord { position, broker_time: None, headers: &[], payload: record.as_bytes() };
        let Decoded { pieces, refusal, .. } = decode(&feed, raw);
        assert_eq!(refusal, None);
        for piece in pieces {
            gather.take(&POLICY, position, piece);
        }
    }
    gather.whole(None)
}

#[track_caller]
fn check(whole: &[Gathered]) {
    assert_eq!(whole.len(), 1);
    let event = &whole[0].event;
    assert_eq!((event.panic.message.as_ref(), event.panic.file.as_deref()), ("boom", Some("src/a.rs")));
    assert_eq!((event.service.as_ref(), event.release.as_deref(), event.status), ("api", Some("v-1"), Some(500)));
    assert_eq!(event.client.ip, Some("203.0.113.9".parse().unwrap()));
    assert_eq!(
        (event.client.asn, event.client.country, event.region.as_deref()),
        (Some(64_500), Some(*b"NL"), Some("AMS"))
    );
    assert_eq!((event.path.as_deref(), event.request.id.as_deref()), (Some("/v1/x"), Some("8f0aaaaaaaaaaaaa")));
    assert_eq!((event.recovery, event.carrier), (RecoveryOutcome::Degraded, Carrier::CloudflareTail));
    assert_eq!((event.event_id.as_ref(), event.time), ("tail:i-1:0", Millis(START + 3)));
    assert_eq!(whole[0].place.offset, 0);
}

#[test]
fn an_invocation_is_whole_at_its_outcome_and_not_before() {
    let mut gather = Gather::default();
    let parts = stream("i-1");
    assert!(take(&mut gather, 0, &parts[..5]).is_empty());
    check(&take(&mut gather, 5, &parts[5..]));
    assert!(gather.is_empty());
}

#[test]
fn the_parts_of_one_record_are_put_together_too() {
    let mut gather = Gather::default();
    let array = format!("[{}]", stream("i-1").join(","));
    check(&take(&mut gather, 0, &[array]));
    assert!(gather.is_empty());
}

#[test]
fn the_older_form_says_the_same() {
    let texts = |part: String| {
        let cf = "{\"asn\":64500,\"country\":\"NL\",\"colo\":\"AMS\"}";
        let message = "[\"Critical\",\"Error: Rust panic: panicked at src/a.rs:1:2:\\nboom\"]";
        let mut value: Value = serde_json::from_str(&part).unwrap();
        if value["event"]["type"] == "onset" {
            value["event"]["info"]["cfJson"] = json!(cf);
        }
        if value["event"]["type"] == "log" {
            value["event"]["message"] = json!(message);
        }
        value.to_string()
    };
    let parts: Vec<String> = stream("i-1").into_iter().map(texts).collect();
    check(&take(&mut Gather::default(), 0, &parts));
}

#[test]
fn an_invocation_without_a_panic_leaves_nothing() {
    let mut gather = Gather::default();
    let events = [
        json!({"type": "onset", "scriptName": "api", "info": {"type": "fetch"}}),
        json!({"type": "return"}),
        json!({"type": "outcome", "outcome": "ok"}),
    ];
    let parts: Vec<String> = (0..).zip(&events).map(|(n, event)| part("i-1", n, event)).collect();
    assert!(take(&mut gather, 0, &parts).is_empty());
    assert!(gather.is_empty());
}

#[test]
fn without_its_outcome_a_panic_goes_on_when_nothing_was_heard_for_the_time() {
    let mut gather = Gather::default();
    assert!(take(&mut gather, 0, &stream("i-1")[..4]).is_empty());
    assert!(gather.whole(Some(Millis(START + 60_003))).is_empty());
    let whole = gather.whole(Some(Millis(START + 60_004)));
    assert_eq!((whole.len(), whole[0].event.recovery), (1, RecoveryOutcome::Recovered));
    assert!(gather.is_empty());
}

#[test]
fn a_worker_whose_onset_never_came_is_named_unknown() {
    let mut gather = Gather::default();
    take(&mut gather, 0, &stream("i-1")[2..]);
    let whole = gather.flush();
    assert_eq!((whole.len(), whole[0].event.service.as_ref()), (1, "unknown"));
}

#[test]
fn a_part_that_cannot_be_read_is_refused_with_its_place() {
    let feed = Feed { carrier: Some(Carrier::CloudflareTail), ..Feed::default() };
    let position = Position { topic: "tail", partition: 0, offset: 0 };
    for (payload, detail) in [
        (
            r#"{"invocationId":"","timestamp":1795330796000,"event":{"type":"log"}}"#,
            "invocationId: a text of at most 128",
        ),
        (r#"{"invocationId":"i","event":{"type":"log"}}"#, "timestamp: neither it nor its record has a time"),
        (r#"{"invocationId":"i","timestamp":1795330796000,"event":{}}"#, "event.type: a text is needed"),
        (r#"{"invocationId":"i","timestamp":1795330796000,"event":[]}"#, "event: an object is needed, found an array"),
        (
            r#"{"invocationId":"i","timestamp":1795330796000,"event":{"type":"onset"}}"#,
            "event.scriptName: it names no service",
        ),
    ] {
        let raw = RawRecord { position, broker_time: None, headers: &[], payload: payload.as_bytes() };
        let refusal = decode(&feed, raw).refusal.unwrap();
        assert!(refusal.detail.starts_with(detail), "{}", refusal.detail);
    }
}

#[test]
fn a_flood_of_invocations_and_of_parts_is_bounded() {
    let mut gather = Gather::default();
    let logs: Vec<String> = (0..INVOCATIONS_MAX + 100).map(|n| stream(&format!("i-{n}")).swap_remove(2)).collect();
    assert_eq!(take(&mut gather, 0, &logs).len(), 100);
    assert_eq!(gather.counts().crowded_out, 100);
    assert_eq!(gather.flush().len(), INVOCATIONS_MAX);
    assert!(gather.is_empty());
    let mut gather = Gather::default();
    let one: Vec<String> = (0..5_000).map(|n| part("i", n, &json!({"type": "spanOpen"}))).collect();
    take(&mut gather, 0, &one);
    assert_eq!(gather.held.offsets.values().map(BTreeMap::len).sum::<usize>(), PARTS_OF_ONE_MAX);
    assert!(gather.flush().is_empty() && gather.is_empty());
}

proptest! {
    #[test]
    fn in_any_order_and_more_than_once_the_same_panic_comes_out(
        order in Just((0..6_usize).collect::<Vec<_>>()).prop_shuffle(),
        again in proptest::collection::vec(0..6_usize, 0..6),
    ) {
        let mut gather = Gather::default();
        let parts = stream("i-1");
        let mut whole = Vec::new();
        // Repeats of parts that came already, in front of the last one.
        let (last, first) = order.split_last().unwrap();
        let repeats = again.iter().filter(|n| first.contains(n));
        for (offset, n) in (0..).zip(first.iter().chain(repeats).chain([last])) {
            whole.extend(take(&mut gather, offset, &parts[*n..=*n]));
        }
        prop_assert!(gather.is_empty() && gather.held.offsets.is_empty());
        prop_assert_eq!(whole.len(), 1);
        let event = &whole[0].event;
        prop_assert_eq!((event.panic.message.as_ref(), event.status), ("boom", Some(500)));
        prop_assert_eq!((event.event_id.as_ref(), event.recovery), ("tail:i-1:0", RecoveryOutcome::Degraded));
    }
}
