use std::borrow::Cow;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, span};
use proptest::prelude::*;
use prost::Message;
use serde_json::{Value as Json, json};

use super::super::{Decoded, Feed, Piece, decode};
use super::*;
use crate::pipeline::event::{
    Carrier, Client, Millis, PanicEvent, PanicFacts, Payload, Position, RawRecord, RecoveryOutcome, Request, TokenFacts,
};

const LOGS_JSON: &[u8] = include_bytes!("../../../../tests/data/carriers/otlp/logs.json");
const LOGS_PROTOBUF: &[u8] = include_bytes!("../../../../tests/data/carriers/otlp/logs.pb");
const TRACES_JSON: &[u8] = include_bytes!("../../../../tests/data/carriers/otlp/traces.json");
const TRACES_PROTOBUF: &[u8] = include_bytes!("../../../../tests/data/carriers/otlp/traces.pb");

fn read(payload: &[u8]) -> Decoded<'_> {
    let position = Position { topic: "otlp", partition: 0, offset: 7 };
    let feed = Feed { carrier: Some(Carrier::Otlp), service: "topic".to_owned(), ..Feed::default() };
    decode(&feed, RawRecord { position, broker_time: Some(Millis(1_795_382_200_000)), headers: &[], payload })
}

fn events(payload: &[u8]) -> (Vec<PanicEvent<'_>>, Option<Refusal>) {
    let decoded = read(payload);
    let event = |piece| match piece {
        Piece::Event(event) => event,
        other => panic!("{other:?}"),
    };
    (decoded.pieces.into_iter().map(event).collect(), decoded.refusal)
}

#[expect(clippy::unnecessary_wraps, reason = "the fields that it fills are optional")]
fn text(text: &str) -> Option<Cow<'_, str>> {
    Some(Cow::Borrowed(text))
}

/// Takes off what is another in every run: ids and times; gives the first two frames.
fn of_run(event: &mut PanicEvent<'_>) -> Vec<String> {
    assert_eq!(event.event_id.len(), 32);
    assert_eq!(event.trace_id.as_ref().map(|id| id.len()), Some(32));
    assert_eq!(event.time.0 / 86_400_000, 20_779, "2026-11-22");
    event.event_id = "".into();
    event.trace_id = None;
    event.time = Millis(0);
    event.panic.backtrace.drain(..).take(2).map(Cow::into_owned).collect()
}

fn expected_of_sdk(message: &'static str, line: u32, column: u32) -> PanicEvent<'static> {
    PanicEvent {
        service: "checkout".into(),
        release: text("4.2.0"),
        host: text("node-7"),
        region: text("eu-west-1"),
        isolate: text("627cc493-f310-47de-96bd-71410b7dec09"),
        panic: PanicFacts {
            message: message.into(),
            file: text("src/main.rs"),
            line: Some(line),
            column: Some(column),
            ..PanicFacts::default()
        },
        carrier: Carrier::Otlp,
        ..PanicEvent::default()
    }
}

#[test]
fn the_exporters_logs_tell_three_panics_in_either_encoding() {
    let parse = "called `Result::unwrap()` on an `Err` value: ParseIntError { kind: InvalidDigit }";
    let expected = [
        expected_of_sdk(parse, 26, 22),
        expected_of_sdk("index out of bounds: the len is 0 but the index is 0", 21, 9),
        expected_of_sdk("index out of bounds: the len is 3 but the index is 9", 21, 9),
    ];
    for payload in [LOGS_JSON, LOGS_PROTOBUF] {
        let (mut told, refusal) = events(payload);
        assert_eq!(refusal, None);
        // The exporter groups by scope, in no particular order.
        told.sort_by(|a, b| a.panic.message.cmp(&b.panic.message));
        let frames: Vec<Vec<String>> = told.iter_mut().map(of_run).collect();
        let index = "panicsift_sdk_captures::faults::index";
        let firsts: Vec<Option<&str>> = frames.iter().map(|frames| frames.first().map(String::as_str)).collect();
        assert_eq!(firsts, [None, Some(index), Some(index)]);
        assert_eq!(told, expected);
    }
}

#[test]
fn the_exporters_traces_tell_the_request_as_well() {
    let mut expected = expected_of_sdk("index out of bounds: the len is 3 but the index is 9", 21, 9);
    expected.endpoint = text("/v1/orders");
    expected.method = text("POST");
    expected.path = text("/v1/orders");
    expected.query = vec![("page".into(), "2".into()), ("q".into(), "a b".into())];
    expected.status = Some(500);
    expected.recovery = RecoveryOutcome::Degraded;
    expected.client = Client { ip: "203.0.113.7".parse().ok(), user_agent: text("curl/8.5.0"), ..Client::default() };
    expected.token = Some(TokenFacts {
        id_hash: text("3c9e"),
        scopes: vec!["orders:read".into(), "orders:write".into()],
        valid: None,
    });
    expected.request = Request {
        content_type: text("application/json"),
        content_length: Some(14),
        payload: Payload::Text("{\"at\": 9}".into()),
        idempotency_key: text("\"8e03978e\""),
        ..Request::default()
    };
    for payload in [TRACES_JSON, TRACES_PROTOBUF] {
        let (mut told, refusal) = events(payload);
        assert_eq!(refusal, None);
        for event in &mut told {
            of_run(event);
        }
        assert_eq!(told, [expected.clone()]);
    }
}

#[test]
fn a_panic_told_by_a_log_and_by_its_span_has_one_id() {
    for (logs, traces) in [(LOGS_JSON, TRACES_JSON), (LOGS_PROTOBUF, TRACES_PROTOBUF)] {
        let (logs, traces) = (events(logs).0, events(traces).0);
        assert!(logs.iter().any(|log| traces.iter().any(|event| event.event_id == log.event_id)));
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the fields that it fills are optional")]
fn wrapped(value: any_value::Value) -> Option<AnyValue> {
    Some(AnyValue { value: Some(value) })
}

fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: wrapped(value), ..KeyValue::default() }
}

fn string(text: &str) -> any_value::Value {
    any_value::Value::StringValue(text.to_owned())
}

fn log(attributes: &[(&str, &str)], body: &str) -> LogRecord {
    LogRecord {
        time_unix_nano: 1_795_382_111_519_000_001,
        body: wrapped(string(body)),
        attributes: attributes.iter().map(|(key, value)| attribute(key, string(value))).collect(),
        ..LogRecord::default()
    }
}

fn logs(records: Vec<LogRecord>, resource: &[(&str, &str)]) -> ExportLogsServiceRequest {
    let attributes = resource.iter().map(|(key, value)| attribute(key, string(value))).collect();
    let scope_logs = vec![ScopeLogs { log_records: records, ..ScopeLogs::default() }];
    let resource = Some(Resource { attributes, ..Resource::default() });
    ExportLogsServiceRequest { resource_logs: vec![ResourceLogs { resource, scope_logs, ..ResourceLogs::default() }] }
}

fn traces(spans: Vec<Span>) -> ExportTraceServiceRequest {
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    ExportTraceServiceRequest { resource_spans: vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }] }
}

/// OTLP's JSON, written after the standard: ids in hexadecimal, 64-bit numbers as texts.
fn json_any(value: Option<&AnyValue>) -> Json {
    match value.and_then(|any| any.value.as_ref()) {
        Some(any_value::Value::StringValue(text)) => json!({"stringValue": text}),
        Some(any_value::Value::BoolValue(truth)) => json!({"boolValue": truth}),
        Some(any_value::Value::IntValue(number)) => json!({"intValue": number.to_string()}),
        Some(any_value::Value::DoubleValue(number)) => json!({"doubleValue": number}),
        Some(any_value::Value::ArrayValue(list)) => {
            let values: Vec<Json> = list.values.iter().map(|value| json_any(Some(value))).collect();
            json!({"arrayValue": {"values": values}})
        }
        Some(any_value::Value::KvlistValue(list)) => json!({"kvlistValue": {"values": json_attributes(&list.values)}}),
        _ => json!({}),
    }
}

fn json_attributes(attributes: &[KeyValue]) -> Json {
    attributes.iter().map(|pair| json!({"key": pair.key, "value": json_any(pair.value.as_ref())})).collect()
}

fn hex(id: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap();
    id.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

fn json_logs(request: &ExportLogsServiceRequest) -> String {
    let record = |record: &LogRecord| {
        json!({"timeUnixNano": record.time_unix_nano.to_string(),
            "observedTimeUnixNano": record.observed_time_unix_nano.to_string(), "body": json_any(record.body.as_ref()),
            "attributes": json_attributes(&record.attributes), "traceId": hex(&record.trace_id),
            "spanId": hex(&record.span_id)})
    };
    let scope = |scope: &ScopeLogs| json!({"logRecords": scope.log_records.iter().map(record).collect::<Vec<_>>()});
    let resource = |of: &ResourceLogs| {
        let attributes = of.resource.as_ref().map(|resource| json_attributes(&resource.attributes));
        json!({"resource": {"attributes": attributes}, "scopeLogs": of.scope_logs.iter().map(scope).collect::<Vec<_>>()})
    };
    json!({"resourceLogs": request.resource_logs.iter().map(resource).collect::<Vec<_>>()}).to_string()
}

fn json_traces(request: &ExportTraceServiceRequest) -> String {
    let event = |event: &span::Event| {
        json!({"timeUnixNano": event.time_unix_nano.to_string(), "name": event.name,
            "attributes": json_attributes(&event.attributes)})
    };
    let span = |span: &Span| {
        json!({"traceId": hex(&span.trace_id), "spanId": hex(&span.span_id),
            "endTimeUnixNano": span.end_time_unix_nano.to_string(), "attributes": json_attributes(&span.attributes),
            "events": span.events.iter().map(event).collect::<Vec<_>>()})
    };
    let scope = |scope: &ScopeSpans| json!({"spans": scope.spans.iter().map(span).collect::<Vec<_>>()});
    let resource = |of: &ResourceSpans| json!({"scopeSpans": of.scope_spans.iter().map(scope).collect::<Vec<_>>()});
    json!({"resourceSpans": request.resource_spans.iter().map(resource).collect::<Vec<_>>()}).to_string()
}

/// The panic of one log record, in both encodings; `None` for silence.
#[track_caller]
fn told(attributes: &[(&str, &str)], body: &str, resource: &[(&str, &str)]) -> Option<PanicEvent<'static>> {
    let request = logs(vec![log(attributes, body)], resource);
    let (json, protobuf) = (json_logs(&request), request.encode_to_vec());
    let (json, protobuf) = (events(json.as_bytes()), events(&protobuf));
    assert_eq!(json, protobuf);
    assert_eq!(json.1, None);
    json.0.into_iter().next().map(PanicEvent::into_owned)
}

#[test]
fn only_what_says_that_it_is_a_panic_is_one() {
    let is = |attributes: &[(&str, &str)], body: &str| told(attributes, body, &[]).is_some();
    assert!(is(&[("exception.type", "panic"), ("exception.message", "boom")], ""));
    assert!(is(&[("exception.type", "std::panic"), ("exception.message", "boom")], ""));
    assert!(is(&[("exception.type", "PanicError"), ("exception.message", "boom")], ""));
    assert!(is(&[("exception.message", "panicked at src/main.rs:1:2:\nboom")], ""));
    assert!(is(&[("exception.stacktrace", "thread 'main' panicked at src/main.rs:1:2:\nboom")], ""));
    assert!(is(&[], "Rust panic: panicked at src/main.rs:1:2:\nboom"));
    assert!(is(&[("panic.payload", "boom"), ("panic.location", "src/main.rs:1:2")], "A panic occurred"));
    assert!(is(&[("panicsift.recovery.outcome", "recovered"), ("exception.message", "boom")], ""));
    for (attributes, body) in [
        (vec![("exception.type", "io::Error"), ("exception.message", "index out of bounds")], ""),
        (vec![("exception.type", "io::Error"), ("exception.message", "x\npanicked at src/main.rs:1:2:\nfake")], ""),
        (vec![("exception.message", "called `Option::unwrap()` on a `None` value")], ""),
        (vec![("exception.type", "KernelPanicked")], ""),
        (vec![("panicsift.recovery.outcome", "eaten")], ""),
        (vec![], "user wrote: panicked at src/main.rs:1:2:\nfake"),
        (vec![], "panic"),
    ] {
        assert!(!is(&attributes, body), "{attributes:?} {body}");
    }
}

#[test]
fn panics_of_other_languages_are_silent() {
    let attributes = [("exception.type", "panic"), ("exception.message", "runtime error: index out of range [9]")];
    let in_language = |language| told(&attributes, "", &[("telemetry.sdk.language", language)]).is_some();
    assert!(!in_language("go") && !in_language("java"));
    assert!(in_language("rust") && in_language("nodejs") && in_language("webjs"));
}

#[test]
fn old_names_and_new_names_say_the_same() {
    let panic = [("exception.type", "panic"), ("exception.message", "boom")];
    let new = [
        ("http.request.method", "POST"),
        ("url.path", "/x"),
        ("url.query", "a=1"),
        ("http.response.status_code", "422"),
        ("user_agent.original", "curl/8"),
        ("client.address", "192.0.2.7"),
        ("code.file.path", "src/a.rs"),
        ("code.line.number", "7"),
        ("code.function.name", "shop::f"),
        ("http.request.body.size", "9"),
        ("http.request.resend_count", "1"),
    ];
    let old = [
        ("http.method", "POST"),
        ("http.target", "/x?a=1"),
        ("http.status_code", "422"),
        ("http.user_agent", "curl/8"),
        ("net.peer.ip", "192.0.2.7"),
        ("code.filepath", "src/a.rs"),
        ("code.lineno", "7"),
        ("code.function", "shop::f"),
        ("http.request_content_length", "9"),
        ("http.resend_count", "1"),
    ];
    let told = |attributes: &[(&'static str, &'static str)]| told(&[&panic, attributes].concat(), "", &[]).unwrap();
    let (new, old) = (told(&new), told(&old));
    assert_eq!(new, old);
    assert_eq!((new.status, new.recovery), (Some(422), RecoveryOutcome::Recovered));
    assert_eq!((new.panic.file.as_deref(), new.panic.line), (Some("src/a.rs"), Some(7)));
    assert_eq!((new.request.attempt, new.request.content_length), (Some(2), Some(9)));
    assert_eq!(new.client.ip, "192.0.2.7".parse().ok());
    assert_eq!(new.query, [(Cow::from("a"), Cow::from("1"))]);
}

#[test]
fn the_peer_behind_a_proxy_is_not_the_client() {
    let attributes = [("exception.type", "panic"), ("network.peer.address", "10.0.0.9")];
    assert_eq!(told(&attributes, "", &[]).unwrap().client.ip, None);
}

#[test]
fn nothing_is_claimed_of_the_recovery_that_is_not_said() {
    let outcome = |key: &'static str, value: &'static str| {
        told(&[("exception.type", "panic"), (key, value)], "", &[]).unwrap().recovery
    };
    assert_eq!(outcome("exception.escaped", "true"), RecoveryOutcome::Escaped);
    assert_eq!(outcome("exception.escaped", "false"), RecoveryOutcome::Unknown);
    assert_eq!(outcome("cloudflare.outcome", "exception"), RecoveryOutcome::Escaped);
    assert_eq!(outcome("cloudflare.outcome", "ok"), RecoveryOutcome::Unknown);
    assert_eq!(outcome("http.response.status_code", "500"), RecoveryOutcome::Degraded);
    assert_eq!(outcome("http.response.status_code", "503"), RecoveryOutcome::Unknown);
    assert_eq!(outcome("panicsift.recovery.outcome", "aborted"), RecoveryOutcome::Aborted);
    assert_eq!(outcome("panicsift.handled", "true"), RecoveryOutcome::Recovered);
}

#[test]
fn a_worker_tells_its_ray_network_and_version() {
    let resource = [("cloudflare.script_name", "api"), ("cloudflare.script_version.id", "v7")];
    let attributes = [
        ("exception.type", "PanicError"),
        ("exception.message", "boom"),
        ("cloudflare.ray_id", "8f0a"),
        ("cloudflare.asn", "64500"),
        ("cloudflare.colo", "AMS"),
        ("geo.country.code", "NL"),
        ("url.full", "https://a.example/v1/x?q=1"),
    ];
    let told = told(&attributes, "", &resource).unwrap();
    assert_eq!((told.service.as_ref(), told.release.as_deref()), ("api", Some("v7")));
    assert_eq!((told.client.asn, told.client.country), (Some(64_500), Some(*b"NL")));
    assert_eq!((told.request.id.as_deref(), told.region.as_deref()), (Some("8f0a"), Some("AMS")));
    assert_eq!(told.path.as_deref(), Some("/v1/x"));
}

#[test]
fn the_time_is_the_records_the_observers_or_the_brokers() {
    let time = |time_unix_nano, observed_time_unix_nano| {
        let record = LogRecord { time_unix_nano, observed_time_unix_nano, ..log(&[("exception.type", "panic")], "") };
        let request = logs(vec![record], &[]);
        let (json, protobuf) = (json_logs(&request), request.encode_to_vec());
        let (json, protobuf) = (events(json.as_bytes()).0, events(&protobuf).0);
        let name = |events: &[PanicEvent<'_>]| {
            events.first().map(|event| (event.time.0, event.event_id.starts_with("otlp[0]@7")))
        };
        // Without any time Protobuf has no field that only a log record has, but for its attributes.
        if time_unix_nano + observed_time_unix_nano > 0 {
            assert_eq!(name(&json), name(&protobuf));
        }
        name(&json)
    };
    assert_eq!(time(1_795_382_111_519_000_001, 7), Some((1_795_382_111_519, false)));
    assert_eq!(time(0, 1_795_382_111_520_000_000), Some((1_795_382_111_520, false)));
    assert_eq!(time(0, 0), Some((1_795_382_200_000, true)));
    assert_eq!(time(u64::MAX, 0), Some((1_795_382_200_000, false)), "the clock rule");
}

#[test]
fn json_may_be_snake_case_with_plain_numbers_and_an_array_of_requests() {
    let request = logs(vec![log(&[("exception.type", "panic"), ("exception.message", "boom")], "")], &[]);
    let json = json_logs(&request);
    let snake = json
        .replace("resourceLogs", "resource_logs")
        .replace("scopeLogs", "scope_logs")
        .replace("logRecords", "log_records")
        .replace("timeUnixNano", "time_unix_nano")
        .replace("\"1795382111519000001\"", "1795382111519000001")
        .replace("stringValue", "string_value");
    assert_eq!(events(snake.as_bytes()), events(json.as_bytes()));
    assert_eq!(events(json.as_bytes()).0.len(), 1);
    let other = json.replace("boom", "bang");
    let array = format!("\n [{json},{other}]");
    assert_eq!(events(array.as_bytes()).0.len(), 2);
}

#[test]
fn a_body_of_names_and_values_counts_as_attributes() {
    let values = vec![attribute("exception.type", string("panic")), attribute("message", string("boom"))];
    let body = wrapped(any_value::Value::KvlistValue(KeyValueList { values }));
    let request = logs(vec![LogRecord { body, ..log(&[], "") }], &[]);
    let (json, protobuf) = (json_logs(&request), request.encode_to_vec());
    assert_eq!(events(json.as_bytes()), events(&protobuf));
    assert_eq!(events(&protobuf).0.first().map(|event| event.panic.message.as_ref()), Some("boom"));
}

/// A field of a message that holds bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut framed = vec![number << 3 | 2];
    prost::encoding::encode_varint(u64::try_from(bytes.len()).unwrap(), &mut framed);
    framed.extend(bytes);
    framed
}

#[test]
fn requests_that_tell_neither_logs_nor_traces_are_silent() {
    // A metric: name, description, sum.
    let metric = [field(1, b"panic_exception_"), field(2, b"panicked"), field(7, b"")].concat();
    let metrics = field(1, &field(2, &field(2, &metric)));
    let ambiguous = logs(vec![LogRecord { time_unix_nano: 0, ..log(&[("exception.type", "panic")], "") }], &[]);
    for bytes in [metrics, ambiguous.encode_to_vec(), logs(vec![], &[]).encode_to_vec(), vec![]] {
        assert_eq!(events(&bytes), (vec![], None));
    }
    for json in ["{}", "[]", "{\"resourceLogs\":[]}", "{\"resourceMetrics\":[{}]}", "{\"resourceSpans\":null}"] {
        assert_eq!(events(json.as_bytes()), (vec![], None), "{json}");
    }
}

#[test]
fn one_bad_item_is_refused_and_the_others_are_read() {
    let request = logs(vec![log(&[("exception.type", "panic")], "")], &[("service.name", "shop")]);
    let json = json_logs(&request).replace("\"logRecords\":[", "\"logRecords\":[5,");
    let (found, refusal) = events(json.as_bytes());
    assert_eq!((found.len(), refusal.unwrap().detail.as_str()), (1, "item 0: an object is needed"));

    // A log record whose body says that it is longer than it is.
    let mut bad = log(&[("exception.type", "panic")], "").encode_to_vec();
    bad.extend([0x2a, 0x02, 0x0a, 0x7f]);
    let good = log(&[("exception.type", "panic")], "").encode_to_vec();
    let scope = [field(2, &bad), field(2, &good)].concat();
    let record = field(1, &field(2, &scope));
    let (found, refusal) = events(&record);
    let refusal = refusal.unwrap();
    assert_eq!((found.len(), refusal.reason), (1, Reason::BadValue));
    assert_eq!(refusal.detail, "item 0: the log record: Protobuf breaks");
}

#[test]
fn what_is_not_otlp_is_refused() {
    let check = |record: &[u8], reason: Reason| {
        let (found, refusal) = events(record);
        assert_eq!((found.len(), refusal.map(|refusal| refusal.reason)), (0, Some(reason)), "{record:?}");
    };
    check(b"{", Reason::NotJson);
    check(b"{\"resourceLogs\":5}", Reason::WrongType);
    check(b"{\"resourceLogs\":[{\"scopeLogs\":{}}]}", Reason::WrongType);
    check(b"{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":\"x\"}]}]}", Reason::WrongType);
    check(b"{\"resourceSpans\":[7]}", Reason::WrongType);
    check(b"{\"a\":\"\xff\"}", Reason::NotUtf8);
    check(b"\x0a\x05\x12", Reason::BadValue);
    check(b"ordinary words", Reason::BadValue);
    check(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", Reason::BadValue);
}

#[test]
fn a_request_of_a_million_empty_items_costs_nothing() {
    let items = [0x12_u8, 0x00].repeat(500_000);
    let record = field(1, &field(2, &items));
    assert_eq!(events(&record), (vec![], None));
    let json = format!("{{\"resourceLogs\":[{{\"scopeLogs\":[{{\"logRecords\":[{}{{}}]}}]}}]}}", "{},".repeat(300_000));
    assert_eq!(events(json.as_bytes()), (vec![], None));
    let deep = format!("{{\"resourceLogs\":{}", "[".repeat(500_000));
    assert!(events(deep.as_bytes()).1.is_some());
}

#[test]
fn attributes_nested_beyond_reason_are_refused_and_not_followed() {
    let mut value = string("panic");
    for _ in 0..200 {
        value = any_value::Value::ArrayValue(ArrayValue { values: vec![AnyValue { value: Some(value) }] });
    }
    let mut record = log(&[("exception.type", "panic")], "");
    record.attributes.push(attribute("x", value));
    let request = logs(vec![record], &[]).encode_to_vec();
    let (found, refusal) = events(&request);
    assert_eq!((found.len(), refusal.map(|refusal| refusal.reason)), (0, Some(Reason::BadValue)));
}

#[test]
fn a_lone_surrogate_in_a_message_does_not_hide_the_panic() {
    let request = logs(vec![log(&[("exception.type", "panic"), ("exception.message", "SURROGATE")], "")], &[]);
    let json = json_logs(&request).replace("SURROGATE", "a\\ud800b");
    let (found, refusal) = events(json.as_bytes());
    assert_eq!(refusal, None);
    assert_eq!(found.first().map(|event| event.panic.message.as_ref()), Some("a\u{fffd}b"));
}

fn values() -> impl Strategy<Value = any_value::Value> {
    prop_oneof![
        "[ -~]{0,12}".prop_map(|text| string(&text)),
        "panicked at src/[a-z]{1,3}\\.rs:[1-9]:[1-9]:\n[a-z]{0,5}".prop_map(|text| string(&text)),
        (0..i64::MAX).prop_map(any_value::Value::IntValue),
        any::<bool>().prop_map(any_value::Value::BoolValue),
        prop::collection::vec("[a-z:]{0,5}", 0..3).prop_map(|texts| {
            let values = texts.iter().map(|text| AnyValue { value: Some(string(text)) }).collect();
            any_value::Value::ArrayValue(ArrayValue { values })
        }),
    ]
}

fn keys() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "exception.type",
        "exception.message",
        "exception.stacktrace",
        "exception.escaped",
        "panic.payload",
        "panic.location",
        "code.file.path",
        "code.line.number",
        "http.route",
        "http.response.status_code",
        "client.address",
        "http.request.header.content-type",
        "panicsift.token.scope",
        "panicsift.recovery.outcome",
        "service.name",
        "cloudflare.asn",
        "http.request.body.content",
        "url.full",
        "enduser.scope",
        "other",
    ])
    .prop_map(str::to_owned)
}

fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    let pair = (keys(), values()).prop_map(|(key, value)| attribute(&key, value));
    let panic = Just(attribute("exception.type", string("panic")));
    prop::collection::vec(prop_oneof![3 => pair, 1 => panic], 0..8)
}

proptest! {
    #[test]
    fn json_and_protobuf_of_one_request_tell_the_same(
        records in prop::collection::vec((attributes(), values(), any::<[u8; 16]>(), any::<u32>()), 0..4),
        spans in prop::collection::vec((attributes(), attributes(), any::<[u8; 16]>(), any::<u32>()), 0..4),
    ) {
        let record = |(attributes, body, trace, nanos): &(Vec<KeyValue>, any_value::Value, [u8; 16], u32)| LogRecord {
            time_unix_nano: 1_795_382_111_000_000_000 + u64::from(*nanos),
            attributes: attributes.clone(),
            body: wrapped(body.clone()),
            trace_id: trace.to_vec(),
            span_id: trace.iter().copied().take(8).collect(),
            ..LogRecord::default()
        };
        let request = logs(records.iter().map(record).collect(), &[("service.name", "shop")]);
        let (json, protobuf) = (json_logs(&request), request.encode_to_vec());
        prop_assert_eq!(events(json.as_bytes()), events(&protobuf));
        let span = |(of_span, of_event, trace, nanos): &(Vec<KeyValue>, Vec<KeyValue>, [u8; 16], u32)| Span {
            trace_id: trace.to_vec(),
            span_id: trace.iter().copied().take(8).collect(),
            end_time_unix_nano: 1_795_382_111_000_000_000,
            attributes: of_span.clone(),
            events: vec![span::Event {
                time_unix_nano: 1_795_382_111_000_000_000 + u64::from(*nanos),
                name: "exception".to_owned(),
                attributes: of_event.clone(),
                ..span::Event::default()
            }],
            ..Span::default()
        };
        let request = traces(spans.iter().map(span).collect());
        let (json, protobuf) = (json_traces(&request), request.encode_to_vec());
        prop_assert_eq!(events(json.as_bytes()), events(&protobuf));
    }

    #[test]
    fn a_cut_or_changed_request_never_panics(end in 0..LOGS_PROTOBUF.len(), at in 0..LOGS_PROTOBUF.len(), byte: u8) {
        for whole in [LOGS_PROTOBUF, LOGS_JSON, TRACES_PROTOBUF] {
            let mut record = whole.get(..end.min(whole.len())).unwrap().to_vec();
            if let Some(slot) = record.get_mut(at) {
                *slot = byte;
            }
            prop_assert_eq!(read(&record), read(&record));
        }
    }
}
