use std::borrow::Cow;

use proptest::prelude::*;

use super::super::{Decoded, Feed, Piece, RECORD_BYTES_MAX, decode};
use super::*;
use crate::pipeline::event::{
    Carrier, Client, PanicEvent, PanicFacts, Payload, Position, RawRecord, RecoveryOutcome, Request, TokenFacts,
};

const ARRAY: &[u8] = include_bytes!("../../../../tests/data/carriers/sentry/event_array.json");
const ENVELOPE: &[u8] = include_bytes!("../../../../tests/data/carriers/sentry/envelope_0.txt");
const WITH_ATTACHMENT: &[u8] = include_bytes!("../../../../tests/data/carriers/sentry/envelope_1.txt");
const MESSAGE: &[u8] = include_bytes!("../../../../tests/data/carriers/sentry/envelope_2.txt");

const SMALL: &str = r#"{"event_id":"e","timestamp":1795331557,"release":"shop@1","platform":"native","exception":{"values":[{"type":"panic","value":"boom"}]}}"#;

fn read(payload: &[u8]) -> Decoded<'_> {
    let position = Position { topic: "sentry", partition: 0, offset: 7 };
    let feed = Feed { carrier: Some(Carrier::Sentry), ..Feed::default() };
    decode(&feed, RawRecord { position, broker_time: None, headers: &[], payload })
}

fn events(payload: &[u8]) -> (Vec<PanicEvent<'_>>, Option<Refusal>) {
    let decoded = read(payload);
    let event = |piece| match piece {
        Piece::Event(event) => event,
        other => panic!("{other:?}"),
    };
    (decoded.pieces.into_iter().map(event).collect(), decoded.refusal)
}

/// The only event of a record without a fault.
fn event(payload: &[u8]) -> PanicEvent<'_> {
    let (mut events, refusal) = events(payload);
    assert_eq!((events.len(), refusal), (1, None));
    events.remove(0)
}

#[expect(clippy::unnecessary_wraps, reason = "the fields that it fills are optional")]
fn text(text: &str) -> Option<Cow<'_, str>> {
    Some(Cow::Borrowed(text))
}

#[test]
fn the_captured_array_is_one_panic() {
    let expected = PanicEvent {
        event_id: "62074afd9afd4acc91e89f702fe781e4".into(),
        time: Millis(1_795_331_557_618),
        service: "sp".into(),
        release: text("sp@0.3.1"),
        host: text("vm"),
        method: text("POST"),
        path: text("/v1/items"),
        query: vec![("abc".into(), "".into())],
        panic: PanicFacts { message: "called `Option::unwrap()` on a `None` value".into(), ..PanicFacts::default() },
        client: Client { ip: "203.0.113.7".parse().ok(), ..Client::default() },
        request: Request {
            content_type: text("application/json"),
            idempotency_key: text("\"k1\""),
            ..Request::default()
        },
        trace_id: text("03f1f0bfb62c7409e1934306f33491e1"),
        carrier: Carrier::Sentry,
        ..PanicEvent::default()
    };
    assert_eq!(event(ARRAY), expected);
}

/// What both envelopes of the SDK have in common.
fn of_sdk(event: &mut PanicEvent<'_>) -> Vec<String> {
    event.event_id = "".into();
    event.trace_id = None;
    event.time = Millis(0);
    event.panic.backtrace.drain(..).take(2).map(Cow::into_owned).collect()
}

fn expected_of_sdk(service: &'static str, message: &'static str) -> PanicEvent<'static> {
    PanicEvent {
        service: service.into(),
        release: text("checkout@4.2.0"),
        host: text("node-7"),
        endpoint: text("POST /v1/orders"),
        method: text("POST"),
        path: text("/v1/orders"),
        query: vec![("page".into(), "2".into()), ("q".into(), "a b".into())],
        panic: PanicFacts { message: message.into(), file: text("src/main.rs"), ..PanicFacts::default() },
        client: Client { ip: "203.0.113.7".parse().ok(), user_agent: text("curl/8.5.0"), ..Client::default() },
        request: Request {
            content_type: text("application/json"),
            idempotency_key: text("\"k1\""),
            ..Request::default()
        },
        carrier: Carrier::Sentry,
        ..PanicEvent::default()
    }
}

#[test]
fn the_sdks_envelope_tells_the_panic_and_its_frame_tells_the_site() {
    let mut told = event(ENVELOPE);
    assert_eq!(told.event_id.len(), 32);
    assert_eq!(told.time.0 / 86_400_000, 20_779, "2026-11-22");
    let frames = of_sdk(&mut told);
    let mut expected = expected_of_sdk("shop-checkout", "index out of bounds: the len is 3 but the index is 9");
    expected.panic.line = Some(21);
    assert_eq!(told, expected);
    assert!(frames.first().is_some_and(|frame| frame.contains("faults::index")), "{frames:?}");
}

#[test]
fn the_convention_tells_what_a_stock_event_cannot_and_attachments_are_passed_over() {
    let mut told = event(WITH_ATTACHMENT);
    of_sdk(&mut told);
    let message = "called `Result::unwrap()` on an `Err` value: ParseIntError { kind: InvalidDigit }";
    let mut expected = expected_of_sdk("shop-checkout", message);
    expected.panic.line = Some(26);
    expected.status = Some(500);
    expected.recovery = RecoveryOutcome::Degraded;
    expected.request.payload = Payload::Text("{\"at\": 9}".into());
    expected.token = Some(TokenFacts {
        id_hash: text("3c9e"),
        scopes: vec!["orders:read".into(), "orders:write".into()],
        valid: None,
    });
    assert_eq!(told, expected);
}

#[test]
fn what_is_no_panic_is_silent() {
    let envelope = |kind: &str, item: &str| format!("{{}}\n{{\"type\":\"{kind}\"}}\n{item}\n");
    let others = [
        String::from_utf8(MESSAGE.to_vec()).unwrap(),
        envelope("transaction", SMALL),
        envelope("session", "{}"),
        envelope("client_report", "no JSON at all"),
        envelope("log", "{\"items\":[]}"),
        "{\"event_id\":\"1\"}".to_owned(),
        "{\"exception\":null,\"event_id\":\"1\"}".to_owned(),
        "{\"exception\":{\"values\":[{\"type\":\"io::Error\",\"value\":\"x\\npanicked at a.rs:1:1:\"}]}}".to_owned(),
        "[]".to_owned(),
    ];
    for record in others {
        assert_eq!(events(record.as_bytes()), (vec![], None), "{record}");
    }
}

#[test]
fn exceptions_are_an_object_an_array_or_one_alone() {
    let other = r#"{"type":"Error","value":"x"}"#;
    let panic = r#"{"type":"x","value":"boom","mechanism":{"type":"panic","handled":true}}"#;
    for exception in [
        panic.to_owned(),
        format!("[{panic}]"),
        format!("[{panic},{other}]"),
        format!("{{\"values\":[{other},{panic}]}}"),
        r#"{"values":[{"type":"PanicError","value":"boom"}]}"#.to_owned(),
        r#"[{"type":"Error","value":"Rust panic: panicked at src/lib.rs:1:2:\nboom"}]"#.to_owned(),
    ] {
        let record = format!("{{\"release\":\"a@1\",\"timestamp\":1,\"exception\":{exception}}}");
        let told = event(record.as_bytes());
        assert_eq!(told.panic.message, "boom", "{exception}");
        assert_eq!(told.recovery, RecoveryOutcome::Unknown, "handled says nothing: {exception}");
    }
}

/// `SMALL` with more keys.
fn with(keys: &str) -> String {
    SMALL.replacen('{', &format!("{{{keys},"), 1)
}

#[test]
fn the_client_is_the_user_or_the_servers_peer() {
    let ip = |keys: &str| event(with(keys).as_bytes()).client.ip.map(|ip| ip.to_string());
    assert_eq!(ip(r#""user":{"ip_address":"::ffff:192.0.2.7"}"#).as_deref(), Some("192.0.2.7"));
    assert_eq!(ip(r#""user":{"ip_address":"{{auto}}"}"#), None);
    assert_eq!(ip(r#""request":{"env":{"REMOTE_ADDR":"192.0.2.8"}}"#).as_deref(), Some("192.0.2.8"));
    assert_eq!(ip(r#""user":5,"request":[]"#), None);
}

#[test]
fn headers_bodies_and_queries_come_in_two_forms() {
    let headers = [
        r#"{"User-Agent":"curl/8","CF-Ray":"8f0a","Content-Length":"2"}"#,
        r#"[["User-Agent","curl/8"],["CF-Ray","8f0a"],["Content-Length","2"]]"#,
    ];
    let bodies = [(r#""{}""#, "{}"), (r#"{"a": [1]}"#, r#"{"a": [1]}"#), (r#""a\ud800b""#, "a\u{fffd}b"), ("7", "7")];
    let queries = [r#""?a=1&b=x%20y""#, r#"{"a":"1","b":"x y"}"#, r#"[["a","1"],["b","x y"]]"#];
    for headers in headers {
        for (body, expected) in bodies {
            for query in queries {
                let keys =
                    format!(r#""request":{{"headers":{headers},"data":{body},"query_string":{query},"url":"/x"}}"#);
                let record = with(&keys);
                let told = event(record.as_bytes());
                assert_eq!(told.client.user_agent, text("curl/8"));
                assert_eq!((told.request.id, told.request.content_length), (text("8f0a"), Some(2)));
                assert_eq!(told.request.payload, Payload::Text(expected.into()));
                assert_eq!(told.query, [("a".into(), "1".into()), ("b".into(), Cow::from("x y"))]);
            }
        }
    }
}

#[test]
fn the_service_is_the_tag_the_releases_name_or_the_topics() {
    let service = |keys: &str, release: &str| {
        let record = with(keys).replace("shop@1", release);
        let feed = Feed { carrier: Some(Carrier::Sentry), service: "topic".to_owned(), ..Feed::default() };
        let position = Position { topic: "sentry", partition: 0, offset: 7 };
        let record = RawRecord { position, broker_time: None, headers: &[], payload: record.as_bytes() };
        decode(&feed, record).into_event().unwrap().service.into_owned()
    };
    assert_eq!(service(r#""tags":{"service":"tagged"}"#, "shop@1"), "tagged");
    assert_eq!(service(r#""tags":[["service","tagged"]]"#, "shop@1"), "tagged");
    assert_eq!(service(r#""tags":[]"#, "@scope/shop@1"), "@scope/shop");
    assert_eq!(service(r#""tags":null"#, "4.2.0"), "topic");
    assert_eq!(service(r#""extra":{"panicsift.service":"extra"}"#, "shop@1"), "extra");
}

#[test]
fn the_clock_may_be_a_number_a_date_absent_or_broken() {
    let time = |timestamp: &str, head: &str| {
        let record = format!("{head}\n{{\"type\":\"event\"}}\n{}", SMALL.replace("1795331557", timestamp));
        let (events, refusal) = events(record.as_bytes());
        (events.first().map(|event| event.time.0), refusal.map(|refusal| refusal.reason))
    };
    let sent = r#"{"sent_at":"2026-11-22T07:12:38Z"}"#;
    assert_eq!(time("1795331557.25", "{}"), (Some(1_795_331_557_250), None));
    assert_eq!(time("\"2026-11-22T07:12:37Z\"", "{}"), (Some(1_795_331_557_000), None));
    for broken in ["0", "null", "-1", "\"yesterday\"", "[]"] {
        assert_eq!(time(broken, sent), (Some(1_795_331_558_000), None), "{broken}");
        assert_eq!(time(broken, "{}"), (None, Some(Reason::MissingKey)), "{broken}");
    }
}

#[test]
fn one_bad_item_of_an_envelope_is_refused_and_the_others_are_read() {
    let other = SMALL.replace("\"e\"", "\"f\"");
    let length = SMALL.len();
    let envelope = format!(
        "{{}}\n{{\"type\":\"event\",\"length\":{length}}}\n{SMALL}\n{{\"type\":\"event\"}}\n{{\"exception\":5}}\n\
         {{\"type\":\"attachment\",\"length\":3}}\n\n\n{{\n{{\"type\":\"event\"}}\n{other}"
    );
    let (found, refusal) = events(envelope.as_bytes());
    assert_eq!(found.iter().map(|event| event.event_id.as_ref()).collect::<Vec<_>>(), ["e", "f"]);
    let refusal = refusal.unwrap();
    assert_eq!(refusal.detail, "item 1: exception: an object or an array is needed");
    assert_eq!(refusal.reason, Reason::WrongType);
}

#[test]
fn one_bad_event_of_an_array_is_refused_and_the_others_are_read() {
    let array = format!("[{SMALL},5,{{\"exception\":[7]}},{}]", SMALL.replace("\"e\"", "\"f\""));
    let (found, refusal) = events(array.as_bytes());
    assert_eq!(found.len(), 2);
    assert_eq!(refusal.unwrap().detail, "item 1: the event: an object is needed (and 1 more items)");
}

#[test]
fn envelopes_that_break_are_refused_where_they_break() {
    let check = |rest: &str, reason: Reason, words: &str| {
        let record = format!("{{}}\n{{\"type\":\"event\"}}\n{SMALL}\n{rest}");
        let (found, refusal) = events(record.as_bytes());
        let refusal = refusal.unwrap();
        assert_eq!((found.len(), refusal.reason), (1, reason), "{rest}");
        assert!(refusal.detail.starts_with(words), "{}", refusal.detail);
    };
    check("x", Reason::NotJson, "item 1: the item's headers");
    check("[]", Reason::NotJson, "item 1: the item's headers");
    check("{\"type\":\"event\",\"length\":9}\n{}", Reason::BadValue, "item 1: length:");
    check("{\"type\":\"event\",\"length\":-1}\n{}", Reason::BadValue, "item 1: length:");
    check("{\"type\":\"event\"}\n{\"a\":", Reason::NotJson, "item 1: the record: JSON breaks");
    check("{\"type\":\"event\",\"length\":0}\n", Reason::Empty, "item 1: the record: it has no bytes");
    let many = "{\"type\":\"x\",\"length\":0}\n\n".repeat(ITEMS_MAX + 1);
    check(&many, Reason::TooManyNodes, &format!("item {ITEMS_MAX}: too many items"));
}

#[test]
fn what_is_not_sentrys_is_refused() {
    let check = |record: &[u8], reason: Reason| {
        let (found, refusal) = events(record);
        assert_eq!((found.len(), refusal.map(|refusal| refusal.reason)), (0, Some(reason)));
    };
    check(b"", Reason::Empty);
    check(b"{", Reason::NotJson);
    check(b"5", Reason::WrongType);
    check(b"\"x\"", Reason::WrongType);
    check(b"[{]", Reason::NotJson);
    check(b"{\"exception\":\"x\"}", Reason::WrongType);
    check(b"{\"exception\":[\"x\"]}", Reason::WrongType);
    check(b"{\"a\":\"\xff\"}", Reason::NotUtf8);
    check(&vec![b' '; RECORD_BYTES_MAX + 1], Reason::TooLarge);
    check("{\"exception\":".repeat(60_000).as_bytes(), Reason::NotJson);
}

#[test]
fn deep_and_wide_values_under_keys_that_are_not_read_do_no_harm() {
    for value in ["[".repeat(200_000) + &"]".repeat(200_000), format!("[{}1]", "1,".repeat(400_000))] {
        for key in ["breadcrumbs", "tags", "user"] {
            let keys = format!("\"{key}\":{value}");
            let record = with(&keys);
            let (found, refusal) = events(record.as_bytes());
            // What the parser itself will not nest is refused, everything else is read.
            assert!(found.len() == 1 || refusal.is_some(), "{key}");
        }
    }
}

#[test]
fn hostile_texts_stay_in_their_field() {
    let message = "a\\u0000\\u001b[2J\\ud800\\npanicked at src/evil.rs:1:1:\\nfake";
    let record = SMALL.replace("boom", message);
    let told = event(record.as_bytes());
    assert_eq!(told.panic.message, "a\u{0}\u{1b}[2J\u{fffd}\npanicked at src/evil.rs:1:1:\nfake");
    assert_eq!(told.panic.file, None, "a line further down is the sender's");
    let long = SMALL.replace("boom", &"x".repeat(256 << 10));
    assert_eq!(event(long.as_bytes()).panic.message.len(), super::super::FREE_TEXT_BYTES_MAX);
}

proptest! {
    #[test]
    fn a_cut_or_changed_envelope_never_panics(end in 0..WITH_ATTACHMENT.len(), at in 0..WITH_ATTACHMENT.len(), byte: u8) {
        let mut record = WITH_ATTACHMENT.get(..end).unwrap().to_vec();
        if let Some(slot) = record.get_mut(at) {
            *slot = byte;
        }
        let decoded = read(&record);
        prop_assert!(decoded.pieces.len() <= 2);
        prop_assert_eq!(&decoded, &read(&record));
    }
}
