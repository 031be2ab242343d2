//! What the decoder takes and what it refuses, beginning with hostile input.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::net::IpAddr;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::contract::{DeadLetter, Kept, dead_letter_schema, panic_event_schema};
use super::*;
use crate::pipeline::event::{DecodeNotes, Payload, Position, Rejection};

const POSITION: Position<'static> = Position { topic: "panics", partition: 0, offset: 7 };

/// A record with every key that there is.
const FULL: &str = r#"{"event_id":"e-1","ts":"2026-09-14T08:00:00.849Z","service":"shop","release":"4.17.2",
"endpoint":"POST /v1/orders","method":"POST","path":"/v1/orders","query":[["q","a b"],["page","1"]],"status":500,
"handled":true,"panic":{"message":"index out of bounds: the len is 3 but the index is 7","file":"shop/src/orders.rs",
"line":8,"column":72,"thread":"isolate-10","backtrace":["core::panicking::panic","shop::orders::create"]},
"client":{"ip":"192.0.2.7","user_agent":"curl/8"},"token":{"id_hash":"3c9e","scope":"orders:read orders:write","valid":true},
"request":{"id":"r-1","content_type":"application/json","content_length":9,"payload":"{\"a\": 1}\n","payload_encoding":"utf8",
"payload_truncated":false,"idempotency_key":"k-1","attempt":2,"shape":"s1:00"},"latency_ms":115.5,
"isolate":{"id":"6b6f8ad6","slot":10},"retry":{"outcome":"failed","known_at":"2026-09-14T08:00:09Z"},"tenant":"acme",
"host":"node-1","region":"weur","recovery":{"outcome":"recovered","boundary":"tower::CatchPanic","latency_ms":3},
"side_effects":[{"kind":"db_write","count":2}],"trace":{"trace_id":"0af7","span_id":"b7ad"}}"#;

const SMALL: &str = r#"{"event_id":"e","ts":"2026-09-14T08:00:00Z","service":"s","panic":{"message":"m"}}"#;

/// As a record of a topic that is known to be canonical.
fn decode(record: RawRecord<'_>) -> Result<PanicEvent<'_>, Refusal> {
    let feed = Feed { carrier: Some(Carrier::Canonical), ..Feed::default() };
    super::decode(&feed, record).into_event()
}

fn record(payload: &[u8]) -> RawRecord<'_> {
    RawRecord { position: POSITION, broker_time: None, headers: &[], payload }
}

/// `SMALL` with one more key, or with a key's value replaced.
fn with(path: &str, value: &str) -> String {
    let mut event: Value = serde_json::from_str(SMALL).unwrap();
    let marker = "\u{1}value\u{1}";
    let mut slot = &mut event;
    for key in path.split('.') {
        slot = &mut slot[key];
    }
    *slot = json!(marker);
    event.to_string().replace(&json!(marker).to_string(), value)
}

fn read(payload: &str) -> PanicEvent<'_> {
    decode(record(payload.as_bytes())).unwrap()
}

#[track_caller]
fn check_refused(payload: impl AsRef<[u8]>, reason: Reason, detail: &str) {
    let refusal = decode(record(payload.as_ref())).expect_err("must be refused");
    assert_eq!(refusal.reason, reason, "{}", refusal.detail);
    assert!(refusal.detail.starts_with(detail), "{} does not begin with {detail}", refusal.detail);
    assert!(refusal.detail.len() < 300 && !refusal.detail.contains(char::is_control), "{}", refusal.detail);
}

#[test]
fn every_key_of_the_contract_is_read() {
    let event = read(FULL);
    assert_eq!((event.event_id.as_ref(), event.service.as_ref(), event.tenant.as_ref()), ("e-1", "shop", "acme"));
    assert_eq!(event.time, Millis::parse("2026-09-14T08:00:00.849Z").unwrap());
    assert_eq!((event.release.as_deref(), event.host.as_deref()), (Some("4.17.2"), Some("node-1")));
    assert_eq!((event.region.as_deref(), event.path.as_deref()), (Some("weur"), Some("/v1/orders")));
    assert_eq!((event.endpoint.as_deref(), event.method.as_deref()), (Some("POST /v1/orders"), Some("POST")));
    assert_eq!(event.query, [("q".into(), "a b".into()), ("page".into(), "1".into())]);
    assert_eq!((event.status, event.handled, event.latency_ms), (Some(500), Some(true), Some(115.5)));
    assert_eq!(event.panic.message, "index out of bounds: the len is 3 but the index is 7");
    assert_eq!((event.panic.file.as_deref(), event.panic.line), (Some("shop/src/orders.rs"), Some(8)));
    assert_eq!((event.panic.column, event.panic.thread.as_deref()), (Some(72), Some("isolate-10")));
    assert_eq!(event.panic.backtrace, ["core::panicking::panic", "shop::orders::create"]);
    assert_eq!(event.client.ip, Some("192.0.2.7".parse().unwrap()));
    assert_eq!(event.client.user_agent.as_deref(), Some("curl/8"));
    let token = event.token.unwrap();
    assert_eq!((token.id_hash.as_deref(), token.valid), (Some("3c9e"), Some(true)));
    assert_eq!(token.scopes, ["orders:read", "orders:write"]);
    assert_eq!(event.request.payload, Payload::Text("{\"a\": 1}\n".into()));
    assert_eq!((event.request.id.as_deref(), event.request.shape.as_deref()), (Some("r-1"), Some("s1:00")));
    assert_eq!(
        (event.request.content_type.as_deref(), event.request.content_length),
        (Some("application/json"), Some(9))
    );
    assert_eq!((event.request.idempotency_key.as_deref(), event.request.attempt), (Some("k-1"), Some(2)));
    assert_eq!(event.isolate.as_deref(), Some("6b6f8ad6"));
    let retry = event.retry.unwrap();
    assert_eq!((retry.outcome.as_ref(), retry.known_at), ("failed", Millis::parse("2026-09-14T08:00:09Z")));
    assert_eq!((event.recovery, event.boundary.as_deref()), (RecoveryOutcome::Recovered, Some("tower::CatchPanic")));
    assert_eq!((event.recovery_latency_ms, event.trace_id.as_deref()), (Some(3.0), Some("0af7")));
    assert_eq!(event.side_effects, Some(vec![("db_write".into(), 2)]));
    assert_eq!(event.notes, DecodeNotes::default());
}

#[test]
fn texts_without_escapes_borrow_from_the_record() {
    let event = read(FULL);
    assert!(matches!(event.event_id, Cow::Borrowed(_)));
    assert!(matches!(event.path, Some(Cow::Borrowed(_))));
    assert!(matches!(event.panic.backtrace[1], Cow::Borrowed(_)));
    assert!(matches!(event.query[0], (Cow::Borrowed(_), Cow::Borrowed(_))));
    assert!(matches!(event.token.unwrap().scopes[1], Cow::Borrowed(_)));
}

#[test]
fn four_keys_are_enough_and_each_of_them_is_needed() {
    assert_eq!(read(SMALL).request.payload, Payload::Absent);
    for path in ["event_id", "ts", "service", "panic.message"] {
        check_refused(with(path, "null"), Reason::MissingKey, &format!("{path}: "));
    }
    check_refused(with("panic", "null"), Reason::MissingKey, "panic.message: ");
    check_refused("{}", Reason::MissingKey, "event_id: ");
    check_refused(with("event_id", r#""""#), Reason::BadValue, "event_id: a text that is not empty is needed");
    check_refused(with("service", r#"" \t ""#), Reason::BadValue, "service: ");
}

#[test]
fn a_wrong_type_is_refused_with_the_path_of_its_key() {
    let wrong = |path: &str, value: &str, detail: &str| check_refused(with(path, value), Reason::WrongType, detail);
    wrong("panic.message", "7", "panic.message: a text is needed, found a number");
    wrong("panic", r#""boom""#, "panic: an object is needed, found a text");
    wrong("status", r#""500""#, "status: a number is needed, found a text");
    wrong("handled", "1", "handled: true or false is needed, found a number");
    wrong("client", "[]", "client: an object is needed, found an array");
    wrong("client.ip", "3232235777", "client.ip: a text is needed, found a number");
    wrong("query", "true", "query: an array of pairs of texts is needed, found a truth value");
    wrong("query", r#"[["a","b"],["c"]]"#, "query[1]: a pair of two texts is needed, found less");
    wrong("query", r#"[["a","b","c"]]"#, "query[0]: a pair of two texts is needed, found more");
    wrong("query", r#"[["a",1]]"#, "query[0]: a text is needed, found a number");
    wrong("query", r#"{"a":1}"#, "query: a text is needed, found a number");
    wrong("panic.backtrace", r#"["a",null]"#, "panic.backtrace[1]: a text is needed, found null");
    wrong("panic.backtrace", r#""a\nb""#, "panic.backtrace: an array of texts is needed, found a text");
    wrong("token.scope", "{}", "token.scope: ");
    wrong("side_effects", r#"[{"kind":"a"},7]"#, "side_effects[1]: an object is needed, found a number");
    wrong("side_effects", r#"[{"kind":"a"},{"kind":7}]"#, "side_effects[1].kind: a text is needed, found a number");
    wrong("request.payload", r#"{"a":1}"#, "request.payload: a text is needed, found an object");
    wrong("ts", "1757836800", "ts: a text is needed, found a number");
}

#[test]
fn a_value_that_its_key_does_not_allow_is_refused_with_what_is_allowed() {
    let bad = |path: &str, value: &str, detail: &str| check_refused(with(path, value), Reason::BadValue, detail);
    bad("ts", r#""yesterday""#, "ts: an RFC 3339 date and time with an offset is needed");
    bad("ts", r#""2026-09-14T08:00:00""#, "ts: ");
    bad("ts", r#""2026-02-30T08:00:00Z""#, "ts: ");
    bad("retry.known_at", r#""soon""#, "retry.known_at: ");
    bad("client.ip", r#""1.2.3.4:80""#, "client.ip: an IPv4 or IPv6 address is needed");
    bad("client.ip", r#""1.2.3""#, "client.ip: ");
    bad("status", "99", "status: a whole number from 100 to 999 is needed");
    bad("status", "70000", "status: ");
    bad("status", "-1", "status: ");
    bad("status", "200.5", "status: ");
    bad("panic.line", "4294967296", "panic.line: a whole number from 0 to 4294967295 is needed");
    bad("panic.column", "-4", "panic.column: ");
    bad("request.attempt", "1e3", "request.attempt: ");
    bad("request.content_length", "-1", "request.content_length: ");
    bad("latency_ms", "-0.5", "latency_ms: milliseconds from 0");
    bad("latency_ms", "-9223372036854775809", "latency_ms: ");
    bad("latency_ms", "18446744073709551615", "latency_ms: ");
    bad("latency_ms", "1e999", "latency_ms: a number within range is needed");
    bad("recovery.latency_ms", "-1", "recovery.latency_ms: ");
    bad("recovery.outcome", r#""fine""#, "recovery.outcome: recovered, degraded,");
    bad("request.payload_encoding", r#""hex""#, "request.payload_encoding: utf8 or base64 is needed");
}

#[test]
fn numbers_that_json_does_not_have_are_refused_by_name() {
    for word in ["NaN", "nan", "Infinity", "-Infinity", "inf"] {
        let detail = "latency_ms: a number is needed; NaN and Infinity are not JSON";
        check_refused(with("latency_ms", word), Reason::NotJson, detail);
    }
    check_refused(with("latency_ms", "nothing"), Reason::NotJson, "latency_ms: JSON breaks");
}

#[test]
fn a_side_effect_without_a_kind_is_refused_and_one_without_a_count_counts_once() {
    check_refused(with("side_effects", "[{\"count\":1}]"), Reason::MissingKey, "side_effects[0]: ");
    assert_eq!(read(&with("side_effects", r#"[{"kind":"mail"}]"#)).side_effects, Some(vec![("mail".into(), 1)]));
}

#[test]
fn records_that_are_no_json_object_are_refused_by_what_they_are() {
    check_refused("", Reason::Empty, "the record: ");
    check_refused(" \t\r\n ", Reason::Empty, "the record: ");
    check_refused("\u{feff}", Reason::Empty, "the record: ");
    check_refused("hello", Reason::NotJson, "the record: a JSON object is needed");
    check_refused("[{}]", Reason::WrongType, "the record: an object is needed, found an array");
    check_refused("null", Reason::WrongType, "the record: an object is needed, found null");
    check_refused(" 12", Reason::WrongType, "the record: an object is needed, found a number");
    check_refused("\"{}\"", Reason::WrongType, "the record: an object is needed, found a text");
    check_refused("{", Reason::NotJson, "the record: JSON breaks: EOF");
    check_refused(format!("{SMALL} {SMALL}"), Reason::NotJson, "the record: JSON breaks: trailing characters");
    check_refused(format!("{SMALL}x"), Reason::NotJson, "the record: ");
    check_refused(b"{\"event_id\":\"\xff\"}", Reason::NotUtf8, "the record: UTF-8 is needed, and it breaks after 13");
    check_refused(b"\xff\x00\x01", Reason::NotUtf8, "the record: ");
    check_refused(b"\0", Reason::NotJson, "the record: ");
}

#[test]
fn framed_json_is_read_and_other_encodings_are_refused_by_name() {
    let framed = [b"\x00\x00\x00\x00\x07".as_slice(), SMALL.as_bytes()].concat();
    assert_eq!(decode(record(&framed)).unwrap(), read(SMALL));
    let marked = format!("\u{feff}{SMALL}");
    assert_eq!(read(&marked), read(SMALL));
    let foreign = |bytes: &[u8], name: &str| {
        check_refused(bytes, Reason::UnsupportedEncoding, "the record: JSON is needed, found ");
        let detail = decode(record(bytes)).unwrap_err().detail;
        assert!(detail.contains(name), "{detail} does not name {name}");
    };
    foreign(b"\x00\x00\x00\x01\x02\x06abc\x02", "schema id 258 and a body that looks like Avro");
    foreign(b"\x00\x00\x00\x00\x09\x00\x0a\x03abc\x10\x96\x01", "schema id 9 and a body that looks like Protobuf");
    foreign(b"Obj\x01\x04\x14avro.codec", "Avro object container");
    foreign(b"\x0a\x03abc\x10\x96\x01", "Protobuf");
    foreign(b"\x1f\x8b\x08\x00\x00", "gzip");
    foreign(b"\xff\xfe{\x00}\x00", "UTF-16");
    check_refused(b"\x00\x00\x00\x00\x07", Reason::Empty, "the record: ");
}

#[test]
fn a_record_beyond_its_bytes_depth_or_nodes_is_refused() {
    check_refused(with("x", &format!("\"{}\"", "a".repeat(2 << 20))), Reason::TooLarge, "the record: at most 1048576");
    check_refused(with("x", &format!("{{{}}}", "\"a\":1,".repeat(1_000_000))), Reason::TooLarge, "the record: ");
    let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    check_refused(with("x", &nested(10_000)), Reason::TooDeep, "the record: at most 32 levels");
    check_refused(with("panic.x", &nested(10_000)), Reason::TooDeep, "panic: at most 32 levels");
    check_refused(with("x", &r#"{"a":"#.repeat(10_000)), Reason::NotJson, "the record: ");
    assert_eq!(read(&with("x", &nested(32))).notes.n_unknown_keys, 1);
    check_refused("[".repeat(500_000), Reason::NotJson, "the record: ");
    check_refused(nested(10_000), Reason::WrongType, "the record: an object is needed, found an array");
    check_refused(with("query", &nested(10_000)), Reason::WrongType, "query[0]: ");
    let members = |n: usize| (0..n).map(|i| format!("\"{i:x}\":1")).collect::<Vec<_>>().join(",");
    check_refused(with("x", &format!("{{{}}}", members(90_000))), Reason::TooManyNodes, "the record: at most 65536");
    let flat = SMALL.replacen('{', &format!("{{{},", members(40_000)), 1);
    check_refused(flat, Reason::TooManyNodes, "the record: at most 65536");
    let twice = SMALL.replacen('{', &format!("{{{}", "\"status\":200,".repeat(40_000)), 1);
    check_refused(twice, Reason::TooManyNodes, "status: at most 65536");
}

#[test]
fn brackets_inside_texts_are_not_depth() {
    let payload = "[".repeat(10_000);
    let event = with("request.payload", &json!(payload).to_string());
    assert_eq!(read(&event).request.payload, Payload::Text(payload.into()));
    let unknown = with("x", &json!(format!("\\\"{}", "[{".repeat(10_000))).to_string());
    assert_eq!(read(&unknown).notes.n_unknown_keys, 1);
}

#[test]
fn what_the_producer_writes_is_refused_when_too_long_and_what_the_client_writes_is_cut() {
    let long = |n: usize| json!("é".repeat(n)).to_string();
    check_refused(with("event_id", &long(513)), Reason::TooLong, "event_id: at most 1024 bytes are taken");
    check_refused(with("request.shape", &long(513)), Reason::TooLong, "request.shape: ");
    assert_eq!(read(&with("service", &long(512))).service.len(), 1_024);
    let event = with("panic.message", &format!("\"a{}\"", "é".repeat(40_000)));
    let event = read(&event);
    assert_eq!(event.panic.message.len(), FREE_TEXT_BYTES_MAX - 1);
    assert_eq!(event.notes.n_cut, 1);
}

#[test]
fn lists_are_cut_to_their_first_items() {
    let check_list = |path: &str, item: &str, kept: usize, n: fn(&PanicEvent<'_>) -> usize| {
        for (n_items, n_cut) in [(kept, 0), (kept + 1, 1), (5_000, 1)] {
            let payload = with(path, &format!("[{}]", vec![item; n_items].join(",")));
            let event = read(&payload);
            assert_eq!((n(&event), event.notes.n_cut), (kept, n_cut), "{path} with {n_items}");
        }
    };
    check_list("panic.backtrace", r#""f""#, FRAMES_MAX, |event| event.panic.backtrace.len());
    check_list("query", r#"["a","b"]"#, QUERY_PAIRS_MAX, |event| event.query.len());
    check_list("token.scope", r#""a""#, SCOPES_MAX, |event| event.token.as_ref().unwrap().scopes.len());
    check_list("side_effects", r#"{"kind":"a"}"#, SIDE_EFFECTS_MAX, |event| {
        event.side_effects.as_ref().map_or(0, Vec::len)
    });
    let scopes = with("token.scope", &json!("a,b ".repeat(1_000)).to_string());
    assert_eq!(read(&scopes).token.unwrap().scopes.len(), SCOPES_MAX);
}

#[test]
fn unknown_keys_are_counted_and_of_repeated_keys_the_first_counts() {
    let event = r#"{"event_id":"e","ts":"2026-09-14T08:00:00Z","service":"first","later":{"a":[1,"}"]},
        "service":"second","panic":{"message":"m","message":7,"new":null,"new":1}}"#;
    let event = read(event);
    assert_eq!(event.service, "first");
    assert_eq!(event.notes, DecodeNotes { n_unknown_keys: 3, n_duplicate_keys: 2, n_cut: 0 });
}

#[test]
fn a_key_written_with_escapes_is_the_same_key() {
    assert_eq!(read(&SMALL.replace("\"service\"", r#""\u0073ervice""#)).service, "s");
}

#[test]
fn null_counts_as_absent() {
    for path in super::canonical::known_paths() {
        if ["event_id", "ts", "service", "panic", "panic.message"].contains(&path.as_str()) || path.contains("[]") {
            continue;
        }
        let payload = with(&path, "null");
        let event = read(&payload);
        assert_eq!(PanicEvent { token: None, ..event }, read(SMALL), "{path}");
    }
}

#[test]
fn scopes_are_split_in_texts_and_whole_in_arrays() {
    let check_scopes = |json: &str, expected: &[&str]| {
        assert_eq!(read(&with("token.scope", json)).token.unwrap().scopes, expected);
    };
    check_scopes(r#""repo, user""#, &["repo", "user"]);
    check_scopes(r#"" a  b,,c ""#, &["a", "b", "c"]);
    check_scopes(r#""a\tb""#, &["a", "b"]);
    check_scopes(r#"["Workers Scripts Write","a,b"]"#, &["Workers Scripts Write", "a,b"]);
    check_scopes(r#""""#, &[]);
}

#[test]
fn a_query_may_be_an_object_of_texts() {
    let payload = with("query", r#"{"q":"a\nb","page":"1"}"#);
    assert_eq!(read(&payload).query, [("q".into(), "a\nb".into()), ("page".into(), "1".into())]);
}

#[test]
fn mapped_addresses_become_ipv4() {
    let check_address = |text: &str, expected: &str| {
        let expected: IpAddr = expected.parse().unwrap();
        assert_eq!(read(&with("client.ip", &json!(text).to_string())).client.ip, Some(expected));
    };
    check_address("::ffff:192.0.2.7", "192.0.2.7");
    check_address("::FFFF:c000:207", "192.0.2.7");
    check_address("2001:DB8::1", "2001:db8::1");
    check_address("::1", "::1");
}

#[test]
fn base64_payloads_become_text_where_they_are_text_and_bytes_where_not() {
    let check_payload = |base64: &str, expected: Payload<'_>| {
        let request = format!(r#"{{"payload":"{base64}","payload_encoding":"base64"}}"#);
        assert_eq!(read(&with("request", &request)).request.payload, expected);
        let reversed = format!(r#"{{"payload_encoding":"base64","payload":"{base64}"}}"#);
        assert_eq!(read(&with("request", &reversed)).request.payload, expected);
    };
    check_payload("aGk=", Payload::Text("hi".into()));
    check_payload("aGk", Payload::Text("hi".into()));
    check_payload("", Payload::Text("".into()));
    check_payload("/wA=", Payload::Bytes(vec![0xff, 0]));
    for broken in ["a", "a*==", "aGk=aGk=", "aG k="] {
        let request = format!(r#"{{"payload":"{broken}","payload_encoding":"base64"}}"#);
        check_refused(with("request", &request), Reason::BadValue, "request.payload: standard base64 is needed");
    }
}

#[test]
fn the_brokers_time_replaces_one_that_is_out_of_bounds() {
    let broker = Millis::parse("2026-09-14T08:00:00Z").unwrap();
    let check_time = |ts: &str, replaced: bool| {
        let payload = with("ts", &json!(ts).to_string());
        let timed = RawRecord { broker_time: Some(broker), ..record(payload.as_bytes()) };
        let event = decode(timed).unwrap();
        let expected = if replaced { broker } else { Millis::parse(ts).unwrap() };
        assert_eq!((event.time, event.clock_replaced), (expected, replaced), "{ts}");
        let untimed = read(&payload);
        assert_eq!((untimed.time, untimed.clock_replaced), (Millis::parse(ts).unwrap(), false));
    };
    check_time("2026-09-14T08:05:00.000Z", false);
    check_time("2026-09-14T08:05:00.001Z", true);
    check_time("2026-09-13T08:00:00.000Z", false);
    check_time("2026-09-13T07:59:59.999Z", true);
    check_time("2026-09-14T10:00:00+02:00", false);
    check_time("0001-01-01T00:00:00Z", true);
    check_time("9999-12-30T00:00:00Z", true);
    check_refused(with("ts", r#""9999-12-31T23:59:59.999Z""#), Reason::BadValue, "ts: ");
    check_refused(with("ts", r#""99999-01-01T00:00:00Z""#), Reason::BadValue, "ts: ");
    let payload = with("ts", r#""0001-01-01T00:00:00Z""#);
    let odd = RawRecord { broker_time: Some(Millis(i64::MAX)), ..record(payload.as_bytes()) };
    assert!(decode(odd).unwrap().clock_replaced);
}

#[test]
fn the_recovery_is_derived_where_the_producer_does_not_say_it() {
    use RecoveryOutcome::{Degraded, Escaped, Recovered, Unknown};
    let check_recovery = |handled: Option<bool>, status: Option<u16>, expected| {
        assert_eq!(derive_recovery(handled, status), expected, "{handled:?} {status:?}");
        let mut event: Value = serde_json::from_str(SMALL).unwrap();
        event["handled"] = json!(handled);
        event["status"] = json!(status);
        assert_eq!(read(&event.to_string()).recovery, expected);
    };
    check_recovery(Some(true), Some(422), Recovered);
    check_recovery(Some(true), Some(500), Degraded);
    check_recovery(Some(true), Some(503), Degraded);
    check_recovery(Some(true), None, Recovered);
    check_recovery(Some(false), Some(200), Escaped);
    check_recovery(Some(false), None, Escaped);
    check_recovery(None, Some(404), Recovered);
    check_recovery(None, Some(500), Degraded);
    check_recovery(None, Some(502), Unknown);
    check_recovery(None, Some(504), Unknown);
    check_recovery(None, Some(505), Degraded);
    check_recovery(None, None, Unknown);
    let told = with("recovery.outcome", r#""suspected_abort""#);
    assert_eq!(read(&told).recovery, RecoveryOutcome::SuspectedAbort);
}

/// Every text field, with a value around which the hostile text is put.
const TEXTS: [&str; 21] = [
    "event_id",
    "service",
    "release",
    "endpoint",
    "method",
    "path",
    "tenant",
    "host",
    "region",
    "panic.message",
    "panic.file",
    "panic.thread",
    "client.user_agent",
    "token.id_hash",
    "request.id",
    "request.content_type",
    "request.payload",
    "request.idempotency_key",
    "request.shape",
    "isolate.id",
    "retry.outcome",
];

#[test]
fn control_characters_are_kept_in_every_text_and_never_shown_in_a_refusal() {
    let hostile = "\0\u{1b}]0;owned\u{7}\u{9b}31m\u{202e}\r\n=cmd|'x'!A1";
    for path in TEXTS {
        let payload = with(path, &json!(hostile).to_string());
        let shown = format!("{:?}", read(&payload));
        assert!(shown.contains("owned"), "{path}");
    }
    for path in super::canonical::known_paths() {
        let path = path.replace("side_effects[].", "side_effects.");
        let payload = with(&path, &json!({ "\u{1b}key": [hostile] }).to_string());
        if let Err(refusal) = decode(record(payload.as_bytes())) {
            let is_ours = !refusal.detail.contains("owned") && !refusal.detail.contains("key\u{1b}");
            assert!(is_ours && !refusal.detail.contains(char::is_control), "{}", refusal.detail);
        }
        let payload = with(&path, &json!(hostile).to_string());
        if let Err(refusal) = decode(record(payload.as_bytes())) {
            assert!(!refusal.detail.contains("owned"), "{}", refusal.detail);
        }
    }
}

#[test]
fn raw_control_characters_in_a_text_are_not_json() {
    check_refused(SMALL.replace("\"m\"", "\"\u{1b}[31m\""), Reason::NotJson, "panic.message: JSON breaks");
}

#[test]
fn lone_surrogates_become_replacement_characters_in_what_the_client_wrote() {
    let check_text = |json: &str, expected: &str| {
        assert_eq!(read(&with("panic.message", json)).panic.message, expected);
        let event = with("request.payload", json);
        assert_eq!(read(&event).request.payload, Payload::Text(expected.into()));
    };
    check_text(r#""a\ud800b""#, "a\u{fffd}b");
    check_text(r#""\udfff\ud800""#, "\u{fffd}\u{fffd}");
    check_text(r#""é\ud83d\ude00\ud83d""#, "é😀\u{fffd}");
    check_text(r#""\ud800\ud800\udc00""#, "\u{fffd}\u{10000}");
    check_refused(with("panic.message", r#""\ud8""#), Reason::NotJson, "panic.message: JSON breaks");
    check_refused(with("service", r#""\ud800""#), Reason::NotJson, "service: JSON breaks");
}

#[test]
fn a_record_with_a_lone_surrogate_is_refused_for_its_other_faults_as_any_record() {
    let check_type = |json: &str, found: &str| {
        let payload = SMALL.replacen('{', r#"{"path":"\ud800","#, 1).replace("\"m\"", json);
        check_refused(payload, Reason::WrongType, &format!("panic.message: a text is needed, found {found}"));
    };
    check_type("[7]", "an array");
    check_type("true", "a truth value");
    check_type("{}", "an object");
    check_type("-1.5", "a number");
    check_type("7", "a number");
    let missing = SMALL.replacen('{', r#"{"path":"\ud800","#, 1).replace("\"m\"", "null");
    check_refused(missing, Reason::MissingKey, "panic.message: ");
}

/// All property paths of a schema, `[]` for the items of a list.
fn property_paths(schema: &Value, at: &str, into: &mut BTreeSet<String>) {
    for (key, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
        property_paths(property, &path, into);
        into.insert(path);
    }
    for branch in ["anyOf", "oneOf"] {
        for choice in schema[branch].as_array().into_iter().flatten() {
            property_paths(choice, at, into);
        }
    }
    if schema["items"].is_object() {
        property_paths(&schema["items"], &format!("{at}[]"), into);
    }
}

#[test]
fn decoder_and_schema_know_the_same_keys() {
    let mut published = BTreeSet::new();
    property_paths(&panic_event_schema(), "", &mut published);
    let known: BTreeSet<String> = super::canonical::known_paths().into_iter().collect();
    assert_eq!(published, known);
    assert!(known.len() > 40);
    let schema = panic_event_schema();
    assert_eq!(schema["required"], json!(["event_id", "ts", "service", "panic"]));
    assert_eq!(schema["properties"]["panic"]["required"], json!(["message"]));
}

#[test]
fn decoder_and_schema_take_the_same_full_record() {
    let event: Value = serde_json::from_str(FULL).unwrap();
    assert_valid(&panic_event_schema(), &event);
    assert_eq!(read(FULL).notes.n_unknown_keys, 0);
    let mut full = BTreeSet::new();
    value_paths(&event, "", &mut full);
    assert_eq!(full, super::canonical::known_paths().into_iter().collect(), "the full record has every key");
}

fn value_paths(value: &Value, at: &str, into: &mut BTreeSet<String>) {
    for (key, value) in value.as_object().into_iter().flatten() {
        let path = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
        value_paths(value, &path, into);
        into.insert(path);
    }
    for value in value.as_array().into_iter().flatten() {
        value_paths(value, &format!("{at}[]"), into);
    }
}

#[track_caller]
fn assert_valid(schema: &Value, instance: &Value) {
    let validator = jsonschema::validator_for(schema).unwrap();
    let faults: Vec<String> =
        validator.iter_errors(instance).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert_eq!(faults, Vec::<String>::new());
}

#[test]
fn a_dead_letter_gives_back_the_very_bytes() {
    for bytes in [b"".as_slice(), b"{\"a\":\0\x1b\xff", SMALL.as_bytes()] {
        let record = RawRecord { broker_time: Some(Millis(0)), ..record(bytes) };
        let rejection = Rejection { record, reason: Reason::NotJson, detail: "the record: …".to_owned() };
        let letter = DeadLetter::new(&rejection, None);
        let line = serde_json::to_string(&letter).unwrap();
        assert_valid(&dead_letter_schema(), &serde_json::from_str(&line).unwrap());
        let again: DeadLetter = serde_json::from_str(&line).unwrap();
        assert_eq!(again, letter);
        assert_eq!(again.payload().unwrap(), bytes);
        assert_eq!((again.offset, again.broker_time.as_deref()), (7, Some("1970-01-01T00:00:00.000Z")));
        assert_eq!(DeadLetter { payload_bytes: 99, ..again }.payload(), None);
    }
}

#[test]
fn a_dead_letter_says_what_it_holds_and_keeps_its_name_whatever_it_holds() {
    let letter = |payload: &'static [u8], broker_time| {
        let record = RawRecord { broker_time, ..record(payload) };
        DeadLetter::new(&Rejection { record, reason: Reason::NotJson, detail: String::new() }, Some(Millis(7)))
    };
    let check = |letter: &DeadLetter, expected: Kept| {
        let value = serde_json::to_value(letter).unwrap();
        assert_valid(&dead_letter_schema(), &value);
        assert_eq!(serde_json::from_value::<DeadLetter>(value).unwrap().kept(), expected);
    };
    check(&letter(b"{", None), Kept::Bytes(b"{".to_vec()));
    check(&letter(b"", None), Kept::Bytes(Vec::new()));
    check(&letter(b"{", None).sealed(b"age"), Kept::Sealed(b"age".to_vec()));
    check(&letter(b"{", None).hashed(b"{"), Kept::Nothing);
    check(&DeadLetter { payload_base64: String::new(), ..letter(b"{", None) }, Kept::Nothing);
    check(&DeadLetter { payload_bytes: 2, ..letter(b"{", None) }, Kept::Damaged);
    check(&DeadLetter { payload_age_base64: Some("?".to_owned()), ..letter(b"{", None) }, Kept::Damaged);
    let hashed = serde_json::to_string(&letter(b"{", None).hashed(b"{")).unwrap();
    assert!(hashed.contains(&blake3::hash(b"{").to_hex().to_string()) && !hashed.contains("ew=="), "{hashed}");

    let id = letter(b"{", None).id();
    assert_eq!(
        (id.len(), letter(b"{", None).hashed(b"{").id(), letter(b"{", None).sealed(b"x").id()),
        (32, id.clone(), id.clone())
    );
    assert_eq!(DeadLetter { refused_at: None, reason: Reason::Empty, ..letter(b"{", None) }.id(), id, "written twice");
    for other in [
        letter(b"{ ", None),
        letter(b"{", Some(Millis(0))),
        DeadLetter { offset: 8, ..letter(b"{", None) },
        DeadLetter { partition: 9, ..letter(b"{", None) },
        DeadLetter { topic: "others".to_owned(), ..letter(b"{", None) },
    ] {
        assert_ne!(other.id(), id, "{other:?}");
    }
}

#[test]
fn every_example_is_taken_or_refused_as_its_name_says() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/examples");
    let (mut n_good, mut n_bad) = (0, 0);
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if !name.starts_with("panic-event.") {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        if let Some(case) = name.strip_prefix("panic-event.bad.") {
            let refusal = decode(record(&bytes)).expect_err(name);
            assert_eq!(refusal.reason.name(), case.split('.').next().unwrap(), "{name}: {}", refusal.detail);
            n_bad += 1;
        } else {
            let event = decode(record(&bytes)).unwrap_or_else(|refusal| panic!("{name}: {}", refusal.detail));
            assert_eq!(event.notes.n_unknown_keys > 0, name.contains("unknown"), "{name}");
            assert_valid(&panic_event_schema(), &serde_json::from_slice(&bytes).unwrap());
            n_good += 1;
        }
    }
    assert!(n_good >= 8 && n_bad >= 12, "{n_good} good and {n_bad} bad examples were found");
}

proptest! {
    #[test]
    fn a_mutated_record_never_panics_and_decodes_the_same_twice(
        edits in prop::collection::vec((0..FULL.len(), any::<u8>(), 0..4_u8), 1..6),
    ) {
        let mut bytes = FULL.as_bytes().to_vec();
        for (at, byte, kind) in edits {
            if bytes.is_empty() {
                break;
            }
            let at = at % bytes.len();
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => { bytes.remove(at); }
                _ => bytes.truncate(at.max(1)),
            }
        }
        let first = decode(record(&bytes));
        prop_assert_eq!(&first, &decode(record(&bytes)));
        if let Err(refusal) = first {
            prop_assert!(!refusal.detail.contains(char::is_control) && refusal.detail.len() < 300);
        }
    }

    #[test]
    fn any_bytes_are_an_event_or_a_refusal(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(decode(record(&bytes)).is_err());
    }

    #[test]
    fn any_json_value_under_any_key_is_an_event_or_a_refusal(
        at in 0..48_usize,
        value in prop::sample::select(vec!["null", "true", "-1", "1e308", "\"\"", "\"\\u0000\"", "[]", "{}", "[[]]", "[[1,2]]", "{\"a\":{}}"]),
    ) {
        let paths = super::canonical::known_paths();
        let path = paths[at % paths.len()].replace("side_effects[].", "side_effects.");
        let payload = with(&path, value);
        prop_assert_eq!(decode(record(payload.as_bytes())), decode(record(payload.as_bytes())));
    }
}

#[test]
fn what_is_written_of_an_event_is_read_back_as_the_same_event() {
    for payload in [FULL, SMALL] {
        let event = read(payload);
        let text = written::written(&event, true).to_string();
        assert_eq!(PanicEvent { notes: DecodeNotes::default(), ..read(&text) }, event, "{text}");
    }
}

#[test]
fn values_are_written_only_when_they_are_asked_for() {
    let secret = "s3cr3t";
    let with_secrets = FULL.replace("a b", secret).replace("k-1", secret).replace("\\\"a\\\": 1", secret);
    let event = read(&with_secrets);
    assert_eq!(written::written(&event, true).to_string().matches(secret).count(), 3);
    assert_eq!(written::written(&event, false).to_string().matches(secret).count(), 0);
}
