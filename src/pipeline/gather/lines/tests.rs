//! Whole texts, as programs really write them, through decoder and gatherer.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;
use crate::pipeline::decode::{Feed, decode};
use crate::pipeline::event::{Carrier, Checkpoint, Position, RawRecord, Reason};
use crate::pipeline::gather::{Gather, GatherPolicy};

const POLICY: GatherPolicy = GatherPolicy { join_wait_millis: 0, ..GatherPolicy::FILES };

/// 2026-11-21T05:20:00Z.
const START: i64 = 1_795_238_400_000;

fn feed() -> Feed {
    Feed { carrier: Some(Carrier::Text), service: "shop".to_owned(), tenant: String::new(), time: None }
}

/// Records of topic `logs` in partition 0, each with the broker's time in milliseconds after [`START`].
fn gathered(records: &[(i64, &[u8])]) -> Vec<PanicEvent<'static>> {
    let mut gather = Gather::default();
    for (offset, (millis, payload)) in (0..).zip(records) {
        let refusal = take(&mut gather, offset, Some(Millis(START + millis)), payload);
        assert_eq!(refusal, None, "{}", String::from_utf8_lossy(payload));
    }
    finish(gather)
}

fn take(gather: &mut Gather, offset: i64, broker_time: Option<Millis>, payload: &[u8]) -> Option<Reason> {
    let position = Position { topic: "logs", partition: 0, offset };
    let decoded = decode(&feed(), RawRecord { position, broker_time, headers: &[], payload });
    for piece in decoded.pieces {
        gather.take(&POLICY, position, piece);
    }
    decoded.refusal.map(|refusal| refusal.reason)
}

fn finish(mut gather: Gather) -> Vec<PanicEvent<'static>> {
    let events = gather.flush();
    assert!(gather.is_empty(), "everything held is released");
    events.into_iter().map(|gathered| gathered.event).collect()
}

/// What of an event is compared: `OUTCOME THREAD FILE:LINE:COLUMN MESSAGE | FRAMES`.
fn shown(event: &PanicEvent<'_>) -> String {
    let panic = &event.panic;
    let mut text = format!("{:?} {}", event.recovery, panic.thread.as_deref().unwrap_or("-")).to_lowercase();
    let number = |number: Option<u32>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    let file = panic.file.as_deref().unwrap_or("-");
    let file = file.rsplit_once("library/").map_or(file, |(_, file)| file);
    write!(text, " {file}:{}:{} {:?}", number(panic.line), number(panic.column), panic.message).unwrap();
    if !panic.backtrace.is_empty() {
        write!(text, " | {}", panic.backtrace.join(" < ")).unwrap();
    }
    text
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let lines: Vec<(i64, &[u8])> = text.lines().map(|line| (0, line.as_bytes())).collect();
    for (how, records) in [("line by line", lines), ("in one record", vec![(0, text.as_bytes())])] {
        let events: Vec<String> = gathered(&records).iter().map(shown).collect();
        assert_eq!(events, expected, "{how}:\n{text}");
    }
}

/// The cases of a file that `regenerate.sh` wrote.
fn cases(file: &str) -> Vec<(String, String)> {
    let path = format!("{}/tests/data/carriers/text/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let case = |case: &str| case.split_once('\n').map(|(name, text)| (name.to_owned(), text.to_owned()));
    text.split("### ").filter_map(case).collect()
}

#[test]
fn really_panicking_programs_of_four_releases_are_read_alike() {
    for release in ["1.63.0", "1.72.1", "1.85.1", "1.95.0"] {
        let is_quoted = release < "1.73";
        for (name, text) in cases(&format!("stderr_rust-{release}-backtrace-0.txt")) {
            let lines: Vec<(i64, &[u8])> = text.lines().map(|line| (0, line.as_bytes())).collect();
            let events: Vec<String> = gathered(&lines).iter().map(shown).collect();
            let whole: Vec<String> = gathered(&[(0, text.as_bytes())]).iter().map(shown).collect();
            assert_eq!(events, whole, "{release} {name}");
            let told = |expected: &[&str]| {
                assert_eq!(events.len(), expected.len(), "{release} {name}: {events:#?}");
                for (event, expected) in events.iter().zip(expected) {
                    assert!(event.contains(expected), "{release} {name}: {expected} in {events:#?}");
                }
            };
            match name.as_str() {
                "literal" => told(&["unknown main cases.rs:8:20 \"boom 1\""]),
                "multi_line" => told(&["main cases.rs:9:23 \"multi\\n\\nline\\n  left: 1\\n right: 2\""]),
                "empty" => told(&["main cases.rs:10:18 \"\""]),
                "quotes" => told(&["main cases.rs:11:19 \"it's 'quoted', src/fake.rs:1:1\""]),
                "index" => told(&["worker-7 cases.rs:12:"]),
                "unnamed" => told(&["<unnamed> cases.rs:13:37 \"boom 2\""]),
                "any" => told(&["main cases.rs:14:16 \"Box<dyn Any>\""]),
                "unwrap" => told(&["ParseIntError { kind: InvalidDigit }"]),
                "twice" => told(&["cases.rs:47:5 \"said again\"", "cases.rs:47:5 \"said again\""]),
                "cannot_unwind" if release < "1.81" => told(&["unknown main cases.rs:42:5 \"in ffi\""]),
                "cannot_unwind" => told(&[
                    "aborted main cases.rs:42:5 \"in ffi\"",
                    "\"panic in a function that cannot unwind\" | cases::in_ffi",
                ]),
                "while_unwinding" if events.len() == 2 => told(&[
                    "aborted main cases.rs:24:9 \"first\"",
                    "aborted main cases.rs:37:9 \"second\" | <cases::Bomb",
                ]),
                "while_unwinding" => told(&[
                    "aborted main cases.rs:24:9 \"first\"",
                    "aborted main cases.rs:37:9 \"second\" | <cases::Bomb",
                    "aborted main core/src/panicking.rs",
                ]),
                "stack_overflow" => told(&["aborted main -:-:- \"thread 'main'"]),
                "out_of_memory" => told(&["aborted - -:-:- \"memory allocation of 9223372036854775807 bytes failed\""]),
                "fake_block" if is_quoted => {
                    told(&["main src/forged.rs:1:1", "main cases.rs:30:23 \"x\\nnote: run with"]);
                }
                "fake_block" => told(&["main cases.rs:30:23 \"x\"", "main src/forged.rs:1:1 \"forged\""]),
                name => panic!("{name} is not known"),
            }
        }
    }
}

#[test]
fn backtraces_short_and_full_give_the_programs_own_functions_innermost_first() {
    for release in ["1.63.0", "1.72.1", "1.85.1", "1.95.0"] {
        for level in ["1", "full"] {
            let cases = cases(&format!("stderr_rust-{release}-backtrace-{level}.txt"));
            let (_, text) = cases.iter().find(|(name, _)| name == "index").unwrap();
            let events = gathered(&[(0, text.as_bytes())]);
            let frames = &events[0].panic.backtrace;
            assert_eq!(events.len(), 1, "{release} {level}");
            assert!(frames[0].starts_with("cases::CASES::{{closure}}"), "{release} {level}: {frames:?}");
            assert!(frames.iter().all(|frame| frame.starts_with("cases::")), "{release} {level}: {frames:?}");
        }
    }
}

/// A block as Rust 1.91 and later write it.
fn block(thread: &str, at: &str, message: &str) -> String {
    format!("\nthread '{thread}' (17) panicked at {at}:\n{message}\n")
}

const NOTE: &str = "note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace";

#[test]
fn wordings_of_all_kinds() {
    check("panicked at src/lib.rs:3:9:\nboom", &["unknown - src/lib.rs:3:9 \"boom\""]);
    check("Error: Rust panic: panicked at src/lib.rs:3:9", &["unknown - src/lib.rs:3:9 \"Box<dyn Any>\""]);
    check(
        "panicked at src/lib.rs:3:9:\nboom\n\nStack:\n\nError\n    at shop.wasm:1\n",
        &["unknown - src/lib.rs:3:9 \"boom\""],
    );
    check(
        "2026-11-21T05:20:00Z ERROR panic: thread 'main' panicked at 'boom': src/main.rs:4",
        &["unknown main src/main.rs:4:- \"boom\""],
    );
    check(
        "2026-11-21T05:20:00Z ERROR tracing_panic: A panic occurred panic.payload=\"a \\\"b\\\"\" panic.location=\"src/main.rs:4:5\"",
        &["unknown - src/main.rs:4:5 \"a \\\"b\\\"\""],
    );
    check(
        "{\"timestamp\":\"2026-11-21T05:20:00Z\",\"level\":\"ERROR\",\"fields\":{\"message\":\"panicked at src/a.rs:1:2:\\nboom\"},\"target\":\"shop\"}",
        &["unknown - src/a.rs:1:2 \"boom\""],
    );
    check(
        "fatal runtime error: Rust cannot catch foreign exceptions, aborting",
        &["aborted - -:-:- \"fatal runtime error: Rust cannot catch foreign exceptions, aborting\""],
    );
}

#[test]
fn what_only_looks_like_a_panic_is_silent() {
    for text in [
        "thread 'main' panicked at midnight",
        "a mechanic panicked at src/x.rs",
        "2026-11-21T05:20:00Z  INFO ua: thread 'main' panicked at src/x.rs:1:1:",
        "2026-11-21T05:20:00Z ERROR task 5 panicked with message \"boom\"",
        "2026-11-21T05:20:00Z ERROR they wrote Service panicked: boom",
        "Service panicked: boom",
        "thread caused non-unwinding panic. aborting.",
        "{\"message\":\"Service panicked: boom\",\"target\":\"shop\",\"level\":\"ERROR\"}",
        "exited with code 134 after a panic",
        "stack backtrace:\n   0: panic::me",
        "{panic}",
        "\u{1b}[31mpanic",
        "",
    ] {
        check(text, &[]);
    }
}

#[test]
fn a_caught_panic_is_one_event_with_its_block_and_is_degraded() {
    let caught = "2026-11-21T05:20:00.5Z ERROR request{method=GET}: tower_http::catch_panic: Service panicked: boom 1";
    let one = "degraded main src/a.rs:3:9 \"boom 1\"";
    check(&format!("{}{NOTE}\n{caught}", block("main", "src/a.rs:3:9", "boom 1")), &[one]);
    check(&format!("{}{caught}", block("main", "src/a.rs:3:9", "boom 1")), &[one]);
    check(&format!("{caught}\n{}", block("main", "src/a.rs:3:9", "boom 1")), &[one]);
    check(&block("main", "src/a.rs:3:9", "boom 1"), &["unknown main src/a.rs:3:9 \"boom 1\""]);
    check(caught, &["degraded - -:-:- \"boom 1\""]);
    check(
        &format!("{}{caught}", block("main", "src/a.rs:3:9", "other")),
        &["unknown main src/a.rs:3:9 \"other\"", "degraded - -:-:- \"boom 1\""],
    );
    let twice =
        format!("{}{}{caught}\n{caught}", block("a", "src/a.rs:3:9", "boom 1"), block("b", "src/a.rs:3:9", "boom 1"));
    check(&twice, &["degraded a src/a.rs:3:9 \"boom 1\"", "degraded b src/a.rs:3:9 \"boom 1\""]);
    let no_text = "2026-11-21T05:20:00Z ERROR tower_http::catch_panic: Service panicked but `CatchPanic` was unable to downcast the panic info";
    check(
        &format!("{}{no_text}", block("main", "src/a.rs:3:9", "Box<dyn Any>")),
        &["degraded main src/a.rs:3:9 \"Box<dyn Any>\""],
    );
}

#[test]
fn colours_do_not_hide_a_caught_panic() {
    let caught = "\u{1b}[2m2026-11-21T05:20:00Z\u{1b}[0m \u{1b}[31mERROR\u{1b}[0m \u{1b}[2mtower_http::catch_panic\u{1b}[0m\u{1b}[2m:\u{1b}[0m Service panicked: boom";
    check(caught, &["degraded - -:-:- \"boom\""]);
}

#[test]
fn a_json_line_of_tower_http_brings_method_and_path() {
    let line = r#"{"timestamp":"2026-11-21T05:20:00Z","level":"ERROR","fields":{"message":"Service panicked: boom"},"target":"tower_http::catch_panic","span":{"method":"POST","uri":"/v1/orders?x=1","name":"request"}}"#;
    let text = format!("{}{line}", block("main", "src/a.rs:3:9", "boom"));
    let events = gathered(&[(0, text.as_bytes())]);
    assert_eq!(events.len(), 1);
    let told = (events[0].method.as_deref(), events[0].path.as_deref(), events[0].boundary.as_deref());
    assert_eq!(told, (Some("POST"), Some("/v1/orders"), Some("tower_http::catch_panic")));
}

#[test]
fn the_real_line_of_tracing_panic_has_message_place_and_frames() {
    let path = format!("{}/tests/data/carriers/text/tracing_panic_json_line.jsonl", env!("CARGO_MANIFEST_DIR"));
    let line = std::fs::read_to_string(path).unwrap();
    let expected = "unknown - src/main.rs:24:92 \"index out of bounds: the len is 0 but the index is 3\" | sp::main::{{closure}} < sp::main";
    check(&line, &[expected]);
    let both =
        format!("{}{line}", block("main", "src/main.rs:24:92", "index out of bounds: the len is 0 but the index is 3"));
    check(&both, &[&expected.replace("unknown -", "unknown main")]);
}

const STRUCTURED: &str = r#"{"panic_event":{"event_id":"e1","ts":"2026-11-21T05:20:00Z","service":"cart","status":422,"handled":true,"panic":{"message":"boom","file":"src/a.rs","line":3},"client":{"ip":"203.0.113.9"}}}"#;

#[test]
fn the_structured_line_wins_and_is_joined_with_the_block() {
    for text in [format!("{}{STRUCTURED}", block("main", "src/a.rs:3:9", "boom")), STRUCTURED.to_owned()] {
        let events = gathered(&[(0, text.as_bytes())]);
        assert_eq!(events.len(), 1, "{text}");
        let event = &events[0];
        assert_eq!((event.event_id.as_ref(), event.service.as_ref()), ("e1", "cart"));
        assert_eq!((event.recovery, event.client.ip.is_some()), (RecoveryOutcome::Recovered, true));
    }
}

#[test]
fn an_envelopes_service_is_above_that_of_a_structured_line() {
    let record = format!(
        "{{\"log\":{},\"kubernetes\":{{\"container_name\":\"web\"}}}}",
        serde_json::to_string(STRUCTURED).unwrap()
    );
    let events = gathered(&[(0, record.as_bytes())]);
    assert_eq!(events[0].service, "web");
}

#[test]
fn a_structured_line_that_breaks_its_contract_is_refused() {
    let mut gather = Gather::default();
    let refused = take(&mut gather, 0, Some(Millis(START)), br#"{"panic_event":{"event_id":"e1","ts":"x"}}"#);
    assert_eq!(refused, Some(Reason::BadValue));
}

#[test]
fn a_log_line_between_header_and_message_is_passed_over_and_one_behind_it_ends_it() {
    let log = "2026-11-21T05:20:00Z  INFO shop: hello";
    let text = format!("thread 'main' panicked at src/a.rs:1:2:\n{log}\nboom\n{log}\nnot of it");
    check(&text, &["unknown main src/a.rs:1:2 \"boom\""]);
    check(
        &format!("thread 'main' panicked at src/a.rs:1:2:\n{log}\n{NOTE}"),
        &[&format!("unknown main src/a.rs:1:2 {log:?}")],
    );
}

#[test]
fn two_threads_that_write_line_by_line_are_told_apart_by_order() {
    let text = "thread 'a' panicked at src/a.rs:1:2:\nthread 'b' panicked at src/b.rs:1:2:\nfirst\nsecond\n";
    check(text, &["unknown a src/a.rs:1:2 \"first\"", "unknown b src/b.rs:1:2 \"second\""]);
}

#[test]
fn a_silence_longer_than_the_wait_ends_a_message() {
    let header = b"thread 'main' panicked at src/a.rs:1:2:";
    let of = |records: &[(i64, &[u8])]| gathered(records).iter().map(shown).collect::<Vec<_>>();
    assert_eq!(of(&[(0, header), (1_900, b"boom"), (3_800, b"more")]), ["unknown main src/a.rs:1:2 \"boom\\nmore\""]);
    assert_eq!(of(&[(0, header), (100, b"boom"), (2_200, b"late")]), ["unknown main src/a.rs:1:2 \"boom\""]);
}

#[test]
fn a_panic_without_a_time_or_a_service_is_refused() {
    let header = b"thread 'main' panicked at src/a.rs:1:2:";
    let mut gather = Gather::default();
    assert_eq!(take(&mut gather, 0, None, header), Some(Reason::MissingKey));
    assert_eq!(take(&mut gather, 0, None, b"nothing of a panic here"), None);
    let position = Position { topic: "logs", partition: 0, offset: 0 };
    let record = RawRecord { position, broker_time: Some(Millis(START)), headers: &[], payload: header };
    let nameless = Feed { service: String::new(), ..feed() };
    assert_eq!(decode(&nameless, record).refusal.map(|refusal| refusal.reason), Some(Reason::MissingKey));
}

#[test]
fn broken_json_that_seems_to_tell_of_a_panic_is_refused_and_other_is_not() {
    let mut gather = Gather::default();
    let time = Some(Millis(START));
    assert_eq!(take(&mut gather, 0, time, br#"{"log":"thread 'main' panicked at src"#), Some(Reason::NotJson));
    assert_eq!(take(&mut gather, 0, time, br#"{"log":"hello"#), None);
    assert_eq!(take(&mut gather, 0, time, br#"[{"log":"panic"},"#), Some(Reason::NotJson));
}

#[test]
fn the_checkpoint_stays_behind_an_open_panic() {
    let mut gather = Gather::default();
    let mut checkpoint = Checkpoint::default();
    for (offset, line) in (0..).zip([&b"hello"[..], b"thread 'main' panicked at src/a.rs:1:2:", b"boom", b"more"]) {
        checkpoint.advance(Position { topic: "logs", partition: 0, offset });
        take(&mut gather, offset, Some(Millis(START)), line);
    }
    assert_eq!(gather.held_back(&checkpoint).next_offset("logs", 0), Some(1));
    assert_eq!(
        gather.whole(Some(Millis(START + LINES_WAIT_MILLIS + 1))).len()
            + gather.whole(Some(Millis(START + 99_999))).len(),
        1
    );
    assert_eq!(gather.held_back(&checkpoint), checkpoint);
}

#[test]
fn a_flood_is_bounded_and_loses_no_panic() {
    let mut gather = Gather::default();
    for pod in 0..3_000_i64 {
        let line = format!(
            "{{\"log\":\"thread 'main' panicked at src/a.rs:1:2:\",\"kubernetes\":{{\"pod_name\":\"p{pod}\"}}}}"
        );
        take(&mut gather, pod, Some(Millis(START)), line.as_bytes());
    }
    assert_eq!(gather.lines.processes.len(), PROCESSES_MAX);
    assert_eq!(gather.counts().crowded_out, 3_000 - PROCESSES_MAX as u64);
    assert_eq!(finish(gather).len(), 3_000);

    let mut gather = Gather::default();
    for offset in 0..3_000 {
        take(
            &mut gather,
            offset,
            Some(Millis(START)),
            format!("thread 'main' panicked at src/a.rs:{offset}:2:").as_bytes(),
        );
    }
    assert!(gather.lines.n_bytes < 1 << 20, "{}", gather.lines.n_bytes);
    assert_eq!(finish(gather).len(), 3_000);

    let record = "thread 'main' panicked at src/a.rs:1:2:\nx\n".repeat(LINES_MAX / 2);
    assert_eq!(gathered(&[(0, record.as_bytes())]).len(), LINES_MAX / 2);
}

#[test]
fn long_messages_are_cut_and_noted() {
    let text = format!("thread 'main' panicked at src/a.rs:1:2:\n{}\n", "x".repeat(256 << 10));
    let events = gathered(&[(0, text.as_bytes())]);
    assert!(events[0].panic.message.len() <= crate::pipeline::decode::FREE_TEXT_BYTES_MAX);
    assert_eq!(events[0].notes.n_cut, 1);
    let text = format!("thread 'main' panicked at src/a.rs:1:2:\n{}", "y\n".repeat(100_000));
    let events = gathered(&[(0, text.as_bytes())]);
    assert_eq!((events.len(), events[0].panic.message.lines().count()), (1, block::MESSAGE_LINES_MAX));
}

#[test]
fn a_line_in_parts_is_put_together() {
    let cri = |tag: &str, text: &str| format!("2026-11-21T05:20:00.1Z stderr {tag} {text}");
    let records = [cri("P", "thread 'main' panicked at "), cri("F", "src/a.rs:1:2:"), cri("P", "bo"), cri("F", "om")];
    let records: Vec<(i64, &[u8])> = records.iter().map(|record| (0, record.as_bytes())).collect();
    let events: Vec<String> = gathered(&records).iter().map(shown).collect();
    assert_eq!(events, ["unknown main src/a.rs:1:2 \"boom\""]);
}

/// Texts that sources write in the property below: blocks, log lines, fakes and ends.
const WRITTEN: [&str; 12] = [
    "thread 'main' (7) panicked at src/a.rs:1:2:",
    "thread 'b' panicked at 'quoted', src/b.rs:1:2",
    "thread 'c' panicked at 'open",
    "end', src/c.rs:4:5",
    "boom",
    "",
    NOTE,
    "stack backtrace:",
    "   0: shop::cart",
    "2026-11-21T05:20:00Z ERROR tower_http::catch_panic: Service panicked: boom",
    "thread caused non-unwinding panic. aborting.",
    "thread 'd' has overflowed its stack",
];

/// What comes out, by service, without the ids, which name places.
fn out(gather: &mut Gather, until: Option<Millis>, into: &mut Vec<(String, String)>) {
    let whole = gather.whole(until).into_iter();
    into.extend(whole.map(|gathered| (gathered.event.service.to_string(), shown(&gathered.event))));
}

proptest! {
    #[test]
    fn records_batches_and_neighbours_do_not_change_what_comes_out(
        lines in proptest::collection::vec((0..3_usize, 0..WRITTEN.len(), 0..3_u8), 0..60),
    ) {
        let record = |source: usize, text: &str| format!(
            "{{\"log\":{},\"kubernetes\":{{\"container_name\":\"s{source}\"}}}}", serde_json::to_string(text).unwrap(),
        );
        // One after the other, line by line, a batch each.
        let mut apart = Vec::new();
        let mut gather = Gather::default();
        let mut offset = 0;
        for source in 0..3 {
            for (_, text, _) in lines.iter().filter(|(of, ..)| *of == source) {
                take(&mut gather, offset, Some(Millis(START)), record(source, WRITTEN[*text]).as_bytes());
                out(&mut gather, None, &mut apart);
                offset += 1;
            }
        }
        out(&mut gather, Some(Millis(i64::MAX)), &mut apart);
        prop_assert!(gather.is_empty());
        // All at once, lines of one source that follow each other in one record where the dice say so.
        let mut mixed = Vec::new();
        let mut gather = Gather::default();
        let mut waiting: Vec<Vec<&str>> = vec![Vec::new(); 3];
        for (offset, (source, text, dice)) in (0..).zip(&lines) {
            waiting[*source].push(WRITTEN[*text]);
            if *dice > 0 {
                let text = std::mem::take(&mut waiting[*source]).join("\n") + "\n";
                take(&mut gather, offset, Some(Millis(START)), record(*source, &text).as_bytes());
            }
            if *dice > 1 {
                out(&mut gather, None, &mut mixed);
            }
        }
        for (source, rest) in waiting.iter().enumerate().filter(|(_, rest)| !rest.is_empty()) {
            take(&mut gather, 1_000, Some(Millis(START)), record(source, &(rest.join("\n") + "\n")).as_bytes());
        }
        out(&mut gather, Some(Millis(i64::MAX)), &mut mixed);
        prop_assert!(gather.is_empty());
        apart.sort();
        mixed.sort();
        prop_assert_eq!(apart, mixed);
    }

    #[test]
    fn whatever_comes_nothing_is_held_in_the_end(
        lines in proptest::collection::vec((0..4_u8, 0..WRITTEN.len(), 0..6_000_i64), 0..80),
    ) {
        let mut gather = Gather::default();
        for (offset, (kind, text, millis)) in (0..).zip(lines) {
            let text = WRITTEN[text];
            let payload = match kind {
                0 => text.to_owned(),
                1 => format!("2026-11-21T05:20:00Z stderr P {text}"),
                2 => format!("2026-11-21T05:20:00Z stdout F {text}"),
                _ => format!("{{\"message\":{}}}", serde_json::to_string(text).unwrap()),
            };
            take(&mut gather, offset, Some(Millis(START + millis)), payload.as_bytes());
            if millis % 5 == 0 {
                gather.whole(None);
            }
        }
        gather.flush();
        prop_assert!(gather.is_empty());
        prop_assert_eq!(gather.lines.n_bytes, 0);
    }
}
