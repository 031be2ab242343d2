//! Every row of the signature table from captures of workerd, and what hostile records do.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::pipeline::classify::{PanicModel, classify};
use crate::pipeline::decode::{Decoded, Feed, Piece, decode};
use crate::pipeline::event::{Carrier, Millis, PanicEvent, Position, RawRecord, Reason, RecoveryOutcome};

const UNWIND: &str = include_str!("../../../../tests/data/carriers/tail_unwind_workerd-2026-11-17.json");
const ABORT: &str = include_str!("../../../../tests/data/carriers/tail_abort_workerd-2026-11-17.json");
const BACKGROUND: &str = include_str!("../../../../tests/data/carriers/tail_unwind_waituntil_spawn_poison.json");

fn decoded(payload: &str) -> Decoded<'_> {
    let feed =
        Feed { carrier: Some(Carrier::CloudflareTail), service: "shop".to_owned(), tenant: String::new(), time: None };
    let position = Position { topic: "tail", partition: 0, offset: 7 };
    decode(&feed, RawRecord { position, broker_time: None, headers: &[], payload: payload.as_bytes() })
}

fn events(payload: &str) -> Vec<PanicEvent<'_>> {
    let Decoded { pieces, refusal, .. } = decoded(payload);
    assert_eq!(refusal, None);
    let event = |piece| match piece {
        Piece::Event(event) => event,
        other => panic!("{other:?}"),
    };
    pieces.into_iter().map(event).collect()
}

/// Path, message, place and outcome, one line a panic.
fn told(payload: &str) -> Vec<String> {
    let line = |event: &PanicEvent<'_>| {
        let panic = &event.panic;
        let place = panic.file.as_ref().zip(panic.line).zip(panic.column);
        let place = place.map_or("?".to_owned(), |((file, line), column)| format!("{file}:{line}:{column}"));
        let route = event.path.as_ref().or(event.endpoint.as_ref()).map_or("?", |route| route.as_ref());
        format!("{route} | {} | {place} | {:?}", panic.message, event.recovery)
    };
    events(payload).iter().map(line).collect()
}

const HANG: &str = "The Workers runtime canceled this request because it detected that your Worker's code had hung and \
                    would never generate a response. Refer to: \
                    https://developers.cloudflare.com/workers/observability/errors/";

#[test]
fn a_build_with_unwinding_tells_each_panic_once_and_an_abort_as_a_hang() {
    let hang = |path: &str| format!("{path} | {HANG} | ? | SuspectedAbort");
    let expected = [
        "/unwrap | called `Option::unwrap()` on a `None` value | src/lib.rs:8:68 | Degraded",
        "/json | called `Result::unwrap()` on an `Err` value: Error(\"key must be a string\", line: 1, column: 2) | src/lib.rs:9:67 | Degraded",
        "/idx | index out of bounds: the len is 3 but the index is 9 | src/lib.rs:10:79 | Degraded",
        "/slice | end byte index 2 is not a char boundary; it is inside 'é' (bytes 1..3 of string) | src/lib.rs:11:72 | Degraded",
        "/any | No panic message available | src/lib.rs:12:17 | Degraded",
        &hang("/trap"),
        &hang("/so"),
        &hang("/oom"),
    ];
    assert_eq!(told(UNWIND), expected);
}

#[test]
fn a_build_with_abort_tells_panic_trap_and_hang_as_one() {
    let expected = [
        "/unwrap | called `Option::unwrap()` on a `None` value | src/lib.rs:8:68 | Aborted",
        "/json | called `Result::unwrap()` on an `Err` value: Error(\"key must be a string\", line: 1, column: 2) | src/lib.rs:9:67 | Aborted",
        "/idx | index out of bounds: the len is 3 but the index is 9 | src/lib.rs:10:79 | Aborted",
        "/slice | end byte index 2 is not a char boundary; it is inside 'é' (bytes 1..3 of string) | src/lib.rs:11:72 | Aborted",
        "/any | No panic message available | src/lib.rs:12:17 | Aborted",
        "/trap | RuntimeError: unreachable | ? | Aborted",
        "/so | RuntimeError: memory access out of bounds | ? | Aborted",
        "/oom | RuntimeError: unreachable (rust_oom) | ? | Aborted",
    ];
    assert_eq!(told(ABORT), expected);
}

#[test]
fn traps_and_hangs_have_classes_of_their_own() {
    let model = PanicModel::builtin().unwrap();
    let classes = |capture| -> Vec<String> {
        events(capture).iter().skip(5).map(|event| classify(&model, &event.panic.message).class).collect()
    };
    assert_eq!(classes(ABORT), ["wasm_trap_unreachable", "wasm_trap_memory", "alloc"]);
    assert_eq!(classes(UNWIND), ["runtime_hang"; 3]);
}

#[test]
fn panics_in_the_background_are_seen_though_the_outcome_is_ok() {
    let expected = [
        "/wait | index out of bounds: the len is 0 but the index is 7 | src/lib.rs:12:119 | Recovered",
        "/spawn | index out of bounds: the len is 0 but the index is 7 | src/lib.rs:13:139 | Recovered",
        "/poison | while holding lock | src/lib.rs:14:114 | Degraded",
        "/poison | called `Result::unwrap()` on an `Err` value: PoisonError { .. } | src/lib.rs:14:93 | Degraded",
        "/post | body must be json: Error(\"EOF while parsing a value\", line: 1, column: 0) | src/lib.rs:15:114 | Degraded",
    ];
    assert_eq!(told(BACKGROUND), expected);
}

#[test]
fn each_capture_is_told_with_the_same_words_one_by_one_and_line_by_line() {
    for capture in [UNWIND, ABORT, BACKGROUND] {
        let items: Vec<Value> = serde_json::from_str(capture).unwrap();
        let lines: Vec<String> = items.iter().map(Value::to_string).collect();
        let whole = told(capture);
        assert_eq!(lines.iter().flat_map(|line| told(line)).collect::<Vec<_>>(), whole);
        assert_eq!(told(&lines.join("\n")), whole);
        assert_eq!(items.iter().flat_map(|item| told(&format!("{item:#}"))).collect::<Vec<_>>(), whole);
    }
}

#[test]
fn the_request_and_its_client_are_taken_and_what_is_redacted_is_absent() {
    let all = events(UNWIND);
    let event = &all[0];
    assert_eq!(event.event_id, "cf:8f0aaaaaaaaaaaaa:1795330796612::0");
    assert_eq!((event.service.as_ref(), event.carrier), ("shop", Carrier::CloudflareTail));
    assert_eq!(event.time, Millis(1_795_330_796_619));
    assert_eq!(event.method.as_deref(), Some("GET"));
    assert_eq!(event.query, [("k".into(), "x".into())]);
    assert_eq!(event.client.ip, Some("203.0.113.9".parse().unwrap()));
    assert_eq!(event.client.user_agent.as_deref(), Some("ua/1"));
    assert_eq!((event.client.asn, event.client.country), (Some(64_500), Some(*b"NL")));
    assert_eq!(event.region.as_deref(), Some("AMS"));
    assert_eq!(event.request.id.as_deref(), Some("8f0aaaaaaaaaaaaa"));
    assert_eq!((&event.request.idempotency_key, &event.token, event.status), (&None, &None, None));
    assert_eq!(event.boundary.as_deref(), Some("wasm-bindgen"));
}

#[test]
fn frames_are_those_of_the_panic_and_begin_below_its_machinery() {
    let all = events(ABORT);
    let frames: Vec<&str> = all[0].panic.backtrace.iter().map(AsRef::as_ref).take(4).collect();
    let expected = [
        "core::panicking::panic_fmt",
        "core::panicking::panic",
        "core::option::unwrap_failed",
        "pw::_worker_fetch::fetch::{closure#0}",
    ];
    assert_eq!(frames, expected);
    assert_eq!(all[6].panic.backtrace, ["pw::fetch_fetch_glue::{closure#0}::r"]);
    let spawned = &events(BACKGROUND)[1];
    assert_eq!(
        spawned.panic.backtrace.last().map(AsRef::as_ref),
        Some("pw::fetch_fetch_glue::{closure#0}::{closure#1}")
    );
}

/// An item with these logs and exceptions.
#[expect(clippy::needless_pass_by_value, reason = "calls read better")]
fn item(outcome: &str, logs: Value, exceptions: Value) -> Value {
    json!({"scriptName": "api", "outcome": outcome, "eventTimestamp": 1_795_330_796_612_i64, "truncated": false,
        "event": {"request": {"method": "POST", "url": "https://a.example/v1/x?q=1",
            "headers": {"cf-connecting-ip": "198.51.100.7", "cf-ray": "8f0aaaaaaaaaaaab-AMS"}}},
        "logs": logs, "exceptions": exceptions})
}

#[expect(clippy::needless_pass_by_value, reason = "calls read better")]
fn log(arguments: Value) -> Value {
    json!({"level": "error", "timestamp": 1_795_330_796_615_i64, "message": arguments})
}

fn thrown(message: &str, stack: &str) -> Value {
    json!({"name": "Error", "message": message, "timestamp": 1_795_330_796_620_i64, "stack": stack})
}

#[track_caller]
fn check(item: &Value, expected: &[&str]) {
    assert_eq!(told(&item.to_string()), expected);
}

const HOOK: &str = "Error: Rust panic: panicked at src/a.rs:1:2:\nboom";

#[test]
fn several_panics_of_one_invocation_are_several_events() {
    let other = "Error: Rust panic: panicked at src/b.rs:3:4:\nbang";
    let logs = json!([log(json!(["Critical", HOOK])), log(json!(["Critical", other]))]);
    let exceptions =
        json!([thrown("boom", "PanicError: boom\n    at x"), thrown("bang", "PanicError: bang\n    at x")]);
    let item = item("exception", logs, exceptions);
    check(&item, &["/v1/x | boom | src/a.rs:1:2 | Degraded", "/v1/x | bang | src/b.rs:3:4 | Degraded"]);
    let text = item.to_string();
    let ids: Vec<_> = events(&text).into_iter().map(|event| event.event_id.into_owned()).collect();
    assert_eq!(ids, ["cf:8f0aaaaaaaaaaaab:1795330796612::0", "cf:8f0aaaaaaaaaaaab:1795330796612::1"]);
}

#[test]
fn the_same_panic_twice_in_one_invocation_counts_twice() {
    let logs = json!([log(json!(["Critical", HOOK])), log(json!(["Critical", HOOK]))]);
    let exceptions = json!([thrown("boom", "PanicError: boom"), thrown("boom", "PanicError: boom")]);
    let line = "/v1/x | boom | src/a.rs:1:2 | Degraded";
    check(&item("exception", logs, exceptions), &[line, line]);
}

#[test]
fn older_texts_of_the_hook_are_known() {
    for arguments in [
        json!(["Error: Critical Rust panic: panicked at src/a.rs:1:2:\nboom"]),
        json!(["Critical Rust panic: panicked at src/a.rs:1:2:\nboom"]),
        json!(["Critical", "Rust panic: panicked at src/a.rs:1:2:\nboom"]),
        json!(["Critical", "Error: Rust panic: panicked at 'boom', src/a.rs:1:2"]),
        json!(["panicked at src/a.rs:1:2:\nboom\n\nStack:\n\nError\n    at x"]),
        json!("[\"Critical\",\"Error: Rust panic: panicked at src/a.rs:1:2:\\nboom\"]"),
    ] {
        let hung = json!([{"name": "Error", "message": HANG}]);
        check(&item("exception", json!([log(arguments)]), hung), &["/v1/x | boom | src/a.rs:1:2 | SuspectedAbort"]);
    }
}

#[test]
fn a_panic_without_its_line_is_known_by_its_stack_alone() {
    let item = item("exception", json!([]), json!([thrown("boom", "PanicError: boom\n    at index.js:621:21")]));
    check(&item, &["/v1/x | boom | ? | Degraded"]);
}

#[test]
fn what_is_no_panic_is_silent() {
    let hostile = "Error: Critical Rust panic: panicked at src/a.rs:1:2:\nboom";
    for quiet in [
        item("exception", json!([]), json!([thrown("x is not a function", "TypeError: x is not a function")])),
        item(
            "exception",
            json!([]),
            json!([thrown("Maximum call stack size exceeded", "RangeError: M\n at f (a.js:1)")]),
        ),
        item("ok", json!([log(json!(["handled app error"]))]), json!([])),
        item("ok", json!([log(json!([hostile]))]), json!([])),
        item("ok", json!([log(json!(["panicked at src/a.rs:1:2:\nboom\n\nStack:\n\nError"]))]), json!([])),
        item("ok", json!([{"level": "log", "message": ["Reinitializing Wasm application"]}]), json!([])),
        item("ok", json!([{"level": "log", "message": ["Critical", HOOK]}]), json!([])),
        item("exceededCpu", json!([]), json!([{"name": "Error", "message": "Worker exceeded CPU time limit."}])),
        item("exception", json!([log(json!(["Critical", "Error: no panic"]))]), json!([])),
        item("exception", json!([log(json!(["Critical", "panicked at src/a.rs:1:2:\nboom"]))]), json!([])),
    ] {
        check(&quiet, &[]);
    }
}

#[test]
fn dead_instances_and_traps_that_are_thrown_are_faults_of_their_own() {
    let dead = thrown("Module terminated", "Error: Module terminated\n    at x");
    check(&item("exception", json!([]), json!([dead, dead])), &["/v1/x | Module terminated | ? | Aborted"]);
    let wasm =
        "RangeError: Maximum call stack size exceeded\n    at pw.wasm.pw::r (wasm://wasm/a:wasm-function[1]:0x1)";
    let overflow = thrown("Maximum call stack size exceeded", wasm);
    check(
        &item("exception", json!([]), json!([overflow])),
        &["/v1/x | Maximum call stack size exceeded | ? | Aborted"],
    );
    let trap = thrown("divide by zero", "RuntimeError: divide by zero\n    at pw.wasm.pw::f (wasm://wasm/a:1)");
    check(&item("exception", json!([]), json!([trap])), &["/v1/x | RuntimeError: divide by zero | ? | Aborted"]);
}

#[test]
fn a_trap_that_is_logged_and_thrown_is_one() {
    let logs = json!([log(json!(["Critical", "RuntimeError: divide by zero"]))]);
    let trap = thrown("divide by zero", "RuntimeError: divide by zero\n    at pw.wasm.pw::f (wasm://wasm/a:1)");
    check(&item("exception", logs, json!([trap])), &["/v1/x | RuntimeError: divide by zero | ? | Aborted"]);
}

#[test]
fn a_trap_that_its_stack_tells_to_be_another_does_not_end_the_panic_before_it() {
    let elsewhere = json!({"level": "error", "message": ["Critical", "RuntimeError: divide by zero"],
        "errorInfo": [null, {"name": "RuntimeError", "stack": "    at pw.wasm.pw::f (wasm://wasm/a:1)"}]});
    let logs = json!([log(json!(["Critical", HOOK])), elsewhere]);
    let exceptions = json!([thrown("boom", "PanicError: boom")]);
    let expected = ["/v1/x | boom | src/a.rs:1:2 | Degraded", "/v1/x | RuntimeError: divide by zero | ? | Aborted"];
    check(&item("exception", logs, exceptions), &expected);
}

#[test]
fn what_is_no_request_has_a_route_of_its_kind() {
    for (event, route) in [
        (json!({"queue": "orders", "batchSize": 3}), "queue orders"),
        (json!({"scheduledTime": 1, "cron": "* * * * *"}), "scheduled"),
        (json!({"scheduledTime": "2026-11-22T00:00:00Z"}), "alarm"),
        (json!({"mailFrom": "a@b", "rcptTo": "c@d", "rawSize": 1}), "email"),
        (json!({"rpcMethod": "add"}), "rpc add"),
        (json!({"getWebSocketEvent": {"webSocketEventType": "message"}}), "websocket"),
        (json!(null), "?"),
    ] {
        let mut item =
            item("exception", json!([log(json!(["Critical", HOOK]))]), json!([thrown("boom", "PanicError: boom")]));
        item["event"] = event;
        item["executionModel"] = json!("durableObject");
        check(&item, &[&format!("{route} | boom | src/a.rs:1:2 | Degraded")]);
        let text = item.to_string();
        assert_eq!(events(&text)[0].event_id, "tail[0]@7#0", "without a ray the record's place names it");
    }
}

#[expect(clippy::needless_pass_by_value, reason = "calls read better")]
fn producers(value: Value) -> Value {
    log(json!([value]))
}

fn line() -> Value {
    json!({"panic_event": {"event_id": "p-1", "ts": "2026-11-22T06:59:56.612Z", "service": "orders",
        "panic": {"message": "boom"}, "request": {"payload": "{\"a\":1}"}}})
}

#[test]
fn the_producers_line_wins_and_is_joined_with_its_item() {
    let as_text = json!(line().to_string());
    let elsewhere = thrown("boom", "PanicError: boom");
    for line in [line(), as_text] {
        for logs in [
            json!([log(json!(["Critical", HOOK])), producers(line.clone())]),
            json!([producers(line.clone()), log(json!(["Critical", HOOK]))]),
        ] {
            let text = item("exception", logs, json!([elsewhere])).to_string();
            let all = events(&text);
            assert_eq!(all.len(), 1);
            let event = &all[0];
            assert_eq!((event.event_id.as_ref(), event.service.as_ref()), ("p-1", "orders"));
            assert_eq!(event.client.ip, Some("198.51.100.7".parse().unwrap()));
            assert_eq!((event.panic.file.as_deref(), event.panic.line), (Some("src/a.rs"), Some(1)));
            assert_eq!(event.recovery, RecoveryOutcome::Degraded);
            assert_eq!(event.request.payload.bytes(), b"{\"a\":1}");
            assert_eq!(event.request.id.as_deref(), Some("8f0aaaaaaaaaaaab"));
            assert_eq!(event.carrier, Carrier::CloudflareTail);
        }
    }
}

#[test]
fn a_producers_line_that_cannot_be_read_is_refused_and_the_panic_counts_all_the_same() {
    let broken = producers(json!({"panic_event": {"event_id": "p-1"}}));
    let text = item("exception", json!([broken, log(json!(["Critical", HOOK]))]), json!([])).to_string();
    let Decoded { pieces, refusal, .. } = decoded(&text);
    assert_eq!(pieces.len(), 1);
    let refusal = refusal.unwrap();
    assert_eq!((refusal.reason, refusal.detail.starts_with("panic_event: ts:")), (Reason::MissingKey, true));
}

#[test]
fn a_producers_line_without_any_other_sign_is_its_own_event() {
    let text = item("ok", json!([producers(line())]), json!([])).to_string();
    assert_eq!(told(&text), ["/v1/x | boom | ? | Unknown"]);
}

#[test]
fn script_version_and_namespace_are_service_release_and_tenant() {
    let mut item = item("exception", json!([log(json!(["Critical", HOOK]))]), json!([]));
    item["scriptVersion"] = json!({"id": "v-9", "tag": "x"});
    item["dispatchNamespace"] = json!("customers");
    item["entrypoint"] = json!("Admin");
    let text = item.to_string();
    let event = &events(&text)[0];
    assert_eq!(
        (event.service.as_ref(), event.release.as_deref(), event.tenant.as_ref()),
        ("api", Some("v-9"), "customers")
    );
    assert_eq!(event.event_id, "cf:8f0aaaaaaaaaaaab:1795330796612:Admin:0");
    assert_eq!(event.recovery, RecoveryOutcome::Unknown);
}

#[test]
fn keys_in_either_case_say_the_same() {
    let text = item("exception", json!([log(json!(["Critical", HOOK]))]), json!([thrown("boom", "PanicError: boom")]));
    let text = text.to_string();
    let upper =
        text.replace("\"logs\"", "\"LOGS\"").replace("\"message\"", "\"Message\"").replace("\"url\"", "\"URL\"");
    assert_eq!(told(&upper), told(&text));
}

#[test]
fn a_truncated_trace_is_noted() {
    let exceptions = json!([thrown("boom", "PanicError: boom"),
        {"name": "Error", "message": "Trace resource limit exceeded; subsequent exceptions not recorded."}]);
    let mut item = item("exception", json!([]), exceptions);
    item["truncated"] = json!(true);
    let text = item.to_string();
    let all = events(&text);
    assert_eq!((all.len(), all[0].notes.n_cut), (1, 1));
}

#[test]
fn a_bad_item_costs_the_others_nothing() {
    let good = item("exception", json!([log(json!(["Critical", HOOK]))]), json!([]));
    for (bad, reason, detail) in [
        (
            json!({"scriptName": 5, "outcome": "ok"}),
            Reason::WrongType,
            "item 1: scriptName: a text is needed, found a number",
        ),
        (
            json!({"outcome": "ok", "logs": {}}),
            Reason::WrongType,
            "item 1: logs: an array of objects is needed, found an object",
        ),
        (
            json!({"outcome": "ok", "logs": [5]}),
            Reason::WrongType,
            "item 1: logs[0]: an object is needed, found a number",
        ),
        (
            json!({}),
            Reason::MissingKey,
            "item 1: the item: one of outcome, logs, exceptions and eventTimestamp is needed",
        ),
        (json!([]), Reason::WrongType, "item 1: the record: an object is needed, found an array"),
        (json!(null), Reason::MissingKey, "item 1: the item"),
    ] {
        let text = json!([good, bad, good]).to_string();
        let Decoded { pieces, refusal, .. } = decoded(&text);
        let refusal = refusal.unwrap();
        assert_eq!((pieces.len(), refusal.reason), (2, reason), "{}", refusal.detail);
        assert!(refusal.detail.starts_with(detail), "{}", refusal.detail);
    }
}

#[test]
fn what_is_no_json_is_refused_without_a_value() {
    for (payload, reason) in [
        ("{\"outcome\":\"ok\",\"logs\":[{\"lev", Reason::NotJson),
        ("[{\"outcome\":\"ok\"}", Reason::NotJson),
        ("[{\"outcome\":\"ok\"}]x", Reason::NotJson),
        ("\"secret\"", Reason::WrongType),
        ("", Reason::Empty),
        ("secret", Reason::NotJson),
    ] {
        let refusal = decoded(payload).refusal.unwrap();
        assert_eq!(refusal.reason, reason, "{payload}: {}", refusal.detail);
        assert!(!refusal.detail.contains("secret"));
    }
}

#[test]
fn clocks_at_nothing_fall_back_to_the_item_and_then_to_the_record() {
    let mut log = log(json!(["Critical", HOOK]));
    log["timestamp"] = json!(0);
    let mut item = item("exception", json!([log]), json!([]));
    let text = item.to_string();
    assert_eq!(events(&text)[0].time, Millis(1_795_330_796_612));
    item["eventTimestamp"] = json!(0);
    let text = item.to_string();
    let refusal = decoded(&text).refusal.unwrap();
    assert_eq!(refusal.detail, "the event: neither it nor its record has a time");
    let feed = Feed { carrier: Some(Carrier::CloudflareTail), ..Feed::default() };
    let position = Position { topic: "tail", partition: 0, offset: 7 };
    let broker_time = Some(Millis(1_795_330_800_000));
    let record = RawRecord { position, broker_time, headers: &[], payload: text.as_bytes() };
    let event = decode(&feed, record).into_event().unwrap();
    assert_eq!((event.time, event.event_id.as_ref()), (Millis(1_795_330_800_000), "tail[0]@7#0"));
}

#[test]
fn hostile_headers_and_addresses_are_absent() {
    for (header, value) in [("cf-ray", "8f0a' OR 1=1"), ("cf-ray", ""), ("cf-connecting-ip", "203.0.113.9:80")] {
        let mut item = item("exception", json!([log(json!(["Critical", HOOK]))]), json!([]));
        item["event"]["request"]["headers"][header] = json!(value);
        let text = item.to_string();
        let event = &events(&text)[0];
        assert!(event.request.id.is_none() || event.client.ip.is_none());
    }
    let long = "9".repeat(100);
    let mut item = item("exception", json!([log(json!(["Critical", HOOK]))]), json!([]));
    item["event"]["request"]["headers"]["cf-ray"] = json!(long);
    let text = item.to_string();
    assert_eq!(events(&text)[0].request.id, None);
}

#[test]
fn lone_surrogates_and_deep_values_in_what_the_client_wrote_hide_no_panic() {
    let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
    let text =
        item("exception", json!([{"level": "error", "message": ["@@"]}, log(json!(["Critical", HOOK]))]), json!([]));
    let mut text = text.to_string().replace("\"@@\"", &deep).replace("boom", "b\\ud800m").replace("q=1", "q=\\udfff");
    text.insert_str(1, &format!("\"diagnosticsChannelEvents\":[{deep}],"));
    let all = events(&text);
    assert_eq!((all.len(), all[0].panic.message.as_ref()), (1, "b\u{fffd}m"));
    assert_eq!(all[0].query, [("q".into(), "\u{fffd}".into())]);
}

#[test]
fn a_message_that_fakes_another_panic_within_itself_stays_one() {
    let faked =
        format!("{HOOK}\n\nthread 'main' panicked at src/z.rs:9:9:\nfake\nError: Rust panic: panicked at x:1:1:");
    let item = item("exception", json!([log(json!(["Critical", faked]))]), json!([]));
    let text = item.to_string();
    let all = events(&text);
    assert_eq!((all.len(), all[0].panic.file.as_deref()), (1, Some("src/a.rs")));
}

#[test]
fn items_of_256_kib_are_read() {
    let long = format!("Error: Rust panic: panicked at src/a.rs:1:2:\n{}", "é".repeat(128 << 10));
    let text = item("exception", json!([log(json!(["Critical", long]))]), json!([])).to_string();
    assert_eq!(events(&text)[0].panic.message.len(), 64 << 10);
    let quiet: Vec<Value> = (0..4_000).map(|n| json!({"level": "log", "message": [n]})).collect();
    let mut logs = Value::from(quiet);
    logs.as_array_mut().unwrap().push(log(json!(["Critical", HOOK])));
    let text = item("exception", logs, json!([])).to_string();
    assert_eq!(events(&text).len(), 1, "many logs before it hide no panic");
    let storm: Vec<Value> = (0..2_000).map(|_| log(json!(["Critical", HOOK]))).collect();
    let text = item("exception", Value::from(storm), json!([])).to_string();
    assert_eq!(events(&text).len(), super::SIGNS_MAX);
}

proptest! {
    #[test]
    fn whatever_is_cut_off_a_capture_is_read_or_refused(cut in 0..30_000_usize) {
        let end = BACKGROUND.floor_char_boundary(cut.min(BACKGROUND.len() - 3));
        prop_assert!(decoded(BACKGROUND.get(..end).unwrap()).refusal.is_some());
    }
}
