//! Every kind of bad input, through the binary's `replay`, with good records beside it.
//!
//! Each is told by name and with its place, the good records around it get their lines, nothing panics, and the exit
//! code is the documented one: 0 where records were bad, 1 where a file was.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::support::replay::{Replayed, demo, demo_lines, replay, replay_with};

const REFUSED: &str = "a record is refused";

/// A record that nothing is wrong with.
fn good(id: &str) -> Value {
    json!({
        "event_id": id, "ts": "2026-09-14T08:00:00.849Z", "service": "orders", "endpoint": "POST /v1/orders",
        "path": "/v1/orders", "query": [["page", "2"]], "status": 500, "handled": true,
        "panic": {"message": "index out of bounds: the len is 3 but the index is 5", "file": "orders/src/price.rs"},
        "client": {"ip": "47.252.157.24", "user_agent": "curl/8.1"},
        "request": {"content_type": "application/json", "payload": "{\"n\": 5}", "payload_encoding": "utf8"},
        "latency_ms": 12.5,
    })
}

/// The good record with `key` (a path with dots) set to the JSON text `value`.
fn with(key: &str, value: &str) -> String {
    const MARK: &str = "the value stands here";
    let mut event = good("bad");
    let pointer = format!("/{}", key.replace('.', "/"));
    let (parent, last) = pointer.rsplit_once('/').unwrap();
    event.pointer_mut(parent).unwrap()[last] = MARK.into();
    event.to_string().replace(&format!("\"{MARK}\""), value)
}

/// A JSON object of this many different keys.
fn object_of(n_keys: usize) -> String {
    let pairs: Vec<String> = (0..n_keys).map(|n| format!("\"{n}\":1")).collect();
    format!("{{{}}}", pairs.join(","))
}

fn lines(records: &[&[u8]]) -> Vec<u8> {
    records.join(&b'\n')
}

fn assert_sound(replayed: &Replayed) {
    assert!(!replayed.err.contains("panicked") && !replayed.err.contains("a fault in panicsift"), "{}", replayed.err);
    for text in [&replayed.out, &replayed.err, &replayed.assignments, &replayed.alerts] {
        let active = |c: char| (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c);
        assert!(!text.contains(active), "{text:?}");
    }
}

/// Puts each record between two good ones, all in one file; each must be refused for its reason, in its place, with
/// words that hold the part given, and the good ones must have their lines.
fn check(cases: &[(&[u8], &str, &str)]) {
    assert!(cases.len() <= 10, "more refusals than a replay tells in full");
    let good_records: Vec<Vec<u8>> = (0..=cases.len()).map(|n| good(&format!("good-{n}")).to_string().into()).collect();
    let mut records: Vec<&[u8]> = vec![&good_records[0]];
    for ((bad, _, _), after) in cases.iter().zip(&good_records[1..]) {
        records.extend([*bad, after]);
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("events"), lines(&records)).unwrap();
    let replayed = replay(dir.path(), &["events"], b"");
    assert_sound(&replayed);
    assert_eq!(replayed.code, Some(0), "{}", replayed.err);
    let expected: Vec<String> = (0..=cases.len()).map(|n| format!("good-{n}")).collect();
    let mut ids = replayed.ids();
    ids.sort_by_key(|id| id.trim_start_matches("good-").parse::<u32>().unwrap());
    assert_eq!(ids, expected);
    assert_eq!((replayed.count("observed"), replayed.count("refused")), (expected.len() as u64, cases.len() as u64));
    let told = replayed.told(REFUSED);
    assert_eq!(told.len(), cases.len(), "{}", replayed.err);
    for (n, (line, (_, reason, words))) in told.iter().zip(cases).enumerate() {
        assert_eq!(line["reason"], *reason, "{line}");
        assert_eq!(line["position"], format!("events[0]@{}", 2 * n + 1), "{line}");
        assert!(line["detail"].as_str().unwrap().contains(words), "{line}: nothing about {words:?}");
    }
}

#[test]
fn what_is_not_json_is_refused_by_name() {
    check(&[
        (b"this is no JSON", "not_json", "a JSON object is needed"),
        (b"{\"event_id\": \"half", "not_json", "JSON breaks"),
        (b"", "empty", ""),
        (b" \t\r", "empty", ""),
        (b"{\"event_id\":\"a\"} {\"event_id\":\"b\"}", "not_json", "trailing characters"),
        (b"[]", "wrong_type", ""),
        (b"null", "wrong_type", ""),
        (b"\x00\x00\x00\x00\x07\x02abc", "unsupported_encoding", ""),
    ]);
}

#[test]
fn a_value_of_a_wrong_type_is_refused_with_its_path() {
    check(&[
        (with("event_id", "7").as_bytes(), "wrong_type", "event_id"),
        (with("ts", "1757836800").as_bytes(), "wrong_type", "ts"),
        (with("service", "[\"orders\"]").as_bytes(), "wrong_type", "service"),
        (with("status", "\"500\"").as_bytes(), "wrong_type", "status"),
        (with("panic.message", "{}").as_bytes(), "wrong_type", "panic.message"),
        (with("client", "\"47.252.157.24\"").as_bytes(), "wrong_type", "client"),
        (with("client.ip", "16909060").as_bytes(), "wrong_type", "client.ip"),
        (with("request.payload", "{\"n\": 5}").as_bytes(), "wrong_type", "request.payload"),
        (with("handled", "\"yes\"").as_bytes(), "wrong_type", "handled"),
        (with("query", "[[1, 2]]").as_bytes(), "wrong_type", "query"),
    ]);
}

#[test]
fn a_number_that_is_none_a_negative_latency_and_a_bad_date_are_refused_with_their_path() {
    check(&[
        (with("latency_ms", "NaN").as_bytes(), "not_json", "latency_ms: a number is needed; NaN"),
        (with("latency_ms", "-Infinity").as_bytes(), "not_json", "latency_ms: a number is needed"),
        (with("latency_ms", "1e999").as_bytes(), "bad_value", "latency_ms"),
        (with("latency_ms", "-1").as_bytes(), "bad_value", "latency_ms"),
        (with("latency_ms", "-0.0001").as_bytes(), "bad_value", "latency_ms"),
        (with("status", "99999999999999999999").as_bytes(), "bad_value", "status"),
        (with("ts", "\"yesterday\"").as_bytes(), "bad_value", "ts"),
        (with("ts", "\"2026-02-30T00:00:00Z\"").as_bytes(), "bad_value", "ts"),
        (with("ts", "\"99999-01-01T00:00:00Z\"").as_bytes(), "bad_value", "ts"),
        (with("client.ip", "\"999.1.1.1\"").as_bytes(), "bad_value", "client.ip"),
    ]);
}

#[test]
fn bytes_that_are_no_text_are_refused_and_nul_in_the_envelope_too() {
    let mut latin = good("bad").to_string().into_bytes();
    let at = latin.windows(6).position(|part| part == b"orders").unwrap();
    latin[at] = 0xff;
    let mut nul = good("bad").to_string().into_bytes();
    nul[at] = 0;
    let mut overlong = good("bad").to_string().into_bytes();
    overlong[at..at + 2].copy_from_slice(b"\xc0\x80");
    check(&[
        (latin.as_slice(), "not_utf8", ""),
        (&nul, "not_json", "JSON breaks"),
        (&overlong, "not_utf8", ""),
        (b"\xff\xfe{\0}\0", "unsupported_encoding", "found UTF-16"),
    ]);
}

#[test]
fn records_beyond_every_size_are_refused_by_name() {
    let large = with("request.payload", &format!("\"{}\"", "a".repeat(2 << 20)));
    let endless = vec![b'{'; 6 << 20];
    let deep_envelope = with("unknown", &format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000)));
    let deep_objects = with("unknown", &format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000)));
    let deep_unclosed = "[".repeat(10_000);
    let million_keys = with("unknown", &object_of(1_000_000));
    let short_keys = with("unknown", &format!("{{{}\"z\":1}}", "\"a\":1,".repeat(150_000)));
    check(&[
        (large.as_bytes(), "too_large", "at most 1048576 bytes"),
        (&endless, "too_large", "at most 1048576 bytes"),
        (deep_envelope.as_bytes(), "too_deep", ""),
        (deep_objects.as_bytes(), "too_deep", ""),
        (deep_unclosed.as_bytes(), "not_json", "a JSON object is needed"),
        (million_keys.as_bytes(), "too_large", "at most 1048576 bytes"),
        (short_keys.as_bytes(), "too_many_nodes", ""),
    ]);
}

/// What the client may send is never a reason to refuse the record that tells of it.
#[test]
fn a_payload_of_any_depth_and_width_is_an_event() {
    let text = |payload: &str| Value::from(payload).to_string();
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    let deep_objects = format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000));
    // Ten to the sixth keys do not fit into a record of a mebibyte, which is refused by its size (above).
    let wide = format!("{{{}\"z\":1}}", "\"a\":1,".repeat(100_000));
    let distinct = object_of(60_000);
    let form = "a=1&".repeat(200_000);
    let xml = format!("{}x{}", "<a>".repeat(10_000), "</a>".repeat(10_000));
    let numbers = "[NaN, -Infinity, 1e999, -0, 00012, 0x7f]";
    let payloads = [
        ("{\"half\": ", "application/json"),
        (&deep, "application/json"),
        (&deep_objects, "application/json"),
        (&wide, "application/json"),
        (&distinct, "application/json"),
        (&form, "application/x-www-form-urlencoded"),
        (&xml, "application/xml"),
        (numbers, "application/json"),
        ("\0\0\0\u{1b}[2J\u{7}", "text/plain"),
        ("", ""),
    ];
    let mut records = Vec::new();
    for (n, (payload, content_type)) in payloads.iter().enumerate() {
        let mut event = good(&format!("odd-{n}"));
        event["request"]["content_type"] = (*content_type).into();
        let event = event.to_string().replace(&text("{\"n\": 5}"), &text(payload));
        records.push(event);
        records.push(good(&format!("good-{n}")).to_string());
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("events"), records.join("\n")).unwrap();
    let replayed = replay(dir.path(), &["events"], b"");
    assert_sound(&replayed);
    assert_eq!((replayed.code, replayed.count("refused")), (Some(0), 0), "{}", replayed.err);
    assert_eq!(replayed.ids().len(), records.len());
}

// ---------------------------------------------------------------------------------------------------- escapes

/// NUL, a title, a cleared screen, a hyperlink, a turned direction, a line of its own.
const ESCAPES: &str = "\0\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\u{202e}\r\n\u{2028}";

/// Appends the escapes to every text of a value, but for those that must be of a form.
fn escape_all(key: &str, value: &mut Value) {
    const OF_A_FORM: [&str; 4] = ["ts", "ip", "payload_encoding", "known_at"];
    match value {
        Value::String(text) if !OF_A_FORM.contains(&key) => text.push_str(ESCAPES),
        Value::Array(values) => values.iter_mut().for_each(|value| escape_all(key, value)),
        Value::Object(values) => values.iter_mut().for_each(|(key, value)| escape_all(key, value)),
        _ => {}
    }
}

/// Every text that the schema of events knows is there.
fn full(line: &str) -> Value {
    let mut event: Value = serde_json::from_str(line).unwrap();
    // The bytes that base64 stands for are anything, escapes too; its letters are not.
    event["request"]["payload_encoding"] = "utf8".into();
    event["host"] = "host".into();
    event["region"] = "region".into();
    event["recovery"] = json!({"boundary": "tower::CatchPanic"});
    event["side_effects"] = json!([{"kind": "db_write", "count": 2}]);
    event["trace"] = json!({"trace_id": "4bf92f3577b34da6", "span_id": "00f067aa0ba902b7"});
    event
}

#[test]
fn no_text_of_a_record_steers_a_terminal() {
    let events = demo_lines(1_700);
    let escaped = events.iter().map(|line| {
        let mut event = full(line);
        escape_all("", &mut event);
        event.to_string()
    });
    let mut records: Vec<String> = escaped.collect();
    // And a refused one, whose words may not quote it.
    records.push(with("status", &Value::from(ESCAPES).to_string()));
    records.push(format!(
        "{{\"{}\": {}",
        Value::from(ESCAPES).to_string().trim_matches('"'),
        ESCAPES.replace('\n', "")
    ));
    assert!(records[0].contains("storefront-api\\u0000\\u001b"), "{}", records[0]);
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("events"), records.join("\n")).unwrap();
    for words in [&["events"][..], &["--json", "events"]] {
        let replayed = replay(dir.path(), words, b"");
        assert_sound(&replayed);
        assert_eq!((replayed.code, replayed.count("refused")), (Some(0), 2), "{}", replayed.err);
        assert_eq!(replayed.ids().len(), events.len());
        assert!(replayed.alerts.contains("]0;owned"), "no alert that shows a sender's text");
    }
}

// ---------------------------------------------------------------------------------------------------- clocks

/// Alerts by cluster, change and time.
fn told(replayed: &Replayed) -> Vec<String> {
    let alerts = replayed.alerts.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    alerts.map(|alert| format!("{} {} {}", alert["cluster"], alert["change"], alert["at"])).collect()
}

#[test]
fn clocks_that_are_ages_off_change_nothing_for_the_others() {
    let events = demo_lines(1_700);
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("sound"), events.join("\n")).unwrap();
    let sound = replay(dir.path(), &["sound"], b"");
    assert!(told(&sound).len() >= 3);

    let odd: Vec<String> = ["0001-01-01T00:00:00Z", "9999-12-30T22:00:00Z", "-009998-01-02T00:00:00Z"]
        .iter()
        .flat_map(|ts| {
            (0..3).map(move |n| {
                let mut event = good(&format!("odd {ts} {n}"));
                event["ts"] = (*ts).into();
                event.to_string()
            })
        })
        .collect();
    for n_odd in [1, odd.len()] {
        // Before, among and after the others.
        let mut records = odd[..n_odd].to_vec();
        records.extend_from_slice(&events[..800]);
        records.extend_from_slice(&odd[..n_odd]);
        records.extend_from_slice(&events[800..]);
        std::fs::write(dir.path().join("odd"), records.join("\n")).unwrap();
        let replayed = replay(dir.path(), &["odd"], b"");
        assert_sound(&replayed);
        assert_eq!((replayed.code, replayed.count("refused")), (Some(0), 0), "{}", replayed.err);
        assert_eq!(replayed.count("observed"), (events.len() + n_odd) as u64);
        assert_eq!(told(&replayed), told(&sound), "{n_odd} odd clocks");
        let theirs = |replayed: &Replayed| -> Vec<Value> {
            replayed
                .assigned()
                .into_iter()
                .filter(|line| !line["event_id"].as_str().unwrap().starts_with("odd"))
                .collect()
        };
        assert_eq!(theirs(&replayed), theirs(&sound), "{n_odd} odd clocks");
    }
}

// ---------------------------------------------------------------------------------------------------- files

fn good_file(dir: &Path, name: &str, first: usize) {
    let records: Vec<String> = (first..first + 5).map(|n| good(&format!("good-{n}")).to_string()).collect();
    std::fs::write(dir.join(name), records.join("\n")).unwrap();
}

#[test]
fn a_table_that_is_none_is_a_warning_and_the_work_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    good_file(dir.path(), "events", 0);
    std::fs::write(dir.path().join("text.mmdb"), "this is a text and no table\n".repeat(50)).unwrap();
    std::fs::write(dir.path().join("empty.mmdb"), "").unwrap();
    let whole = std::fs::read(demo("asn.mmdb")).unwrap();
    std::fs::write(dir.path().join("half.mmdb"), &whole[..whole.len() / 2]).unwrap();
    for name in ["text.mmdb", "empty.mmdb", "half.mmdb", "absent.mmdb"] {
        for option in ["--asn", "--country"] {
            let replayed = replay_with(dir.path(), &[option, name, "events"], b"");
            assert_sound(&replayed);
            assert_eq!((replayed.code, replayed.ids().len()), (Some(0), 5), "{name}: {}", replayed.err);
            let told = replayed.told("an address table is absent");
            assert_eq!(told.len(), 1, "{name}: {}", replayed.err);
            assert!(told[0]["error"].as_str().unwrap().contains(name), "{}", told[0]);
        }
    }
}

#[test]
fn an_input_that_is_not_there_is_named_before_any_work_is_done() {
    let dir = tempfile::tempdir().unwrap();
    good_file(dir.path(), "events", 0);
    for (inputs, name) in [(["events", "absent.jsonl"], "absent.jsonl"), ([".", "events"], "folder")] {
        let replayed = replay(dir.path(), &inputs, b"");
        assert_sound(&replayed);
        assert_eq!(replayed.code, Some(1), "{}", replayed.err);
        assert!(replayed.err.contains("error: ") && replayed.err.contains(name), "{}", replayed.err);
        assert!(replayed.out.is_empty() && replayed.alerts.is_empty(), "{}", replayed.out);
    }
}

/// The records before the damage are read and then the replay ends: half a file silently judged would be worse.
#[test]
fn a_packed_file_that_ends_too_early_is_told_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(demo_lines(200).join("\n").as_bytes()).unwrap();
    let mut bytes = packed.finish().unwrap();
    bytes.truncate(bytes.len() / 2);
    File::create(dir.path().join("events.gz")).unwrap().write_all(&bytes).unwrap();
    let replayed = replay(dir.path(), &["events.gz"], b"");
    assert_sound(&replayed);
    assert_eq!(replayed.code, Some(1), "{}", replayed.err);
    for word in ["error: events.gz: ", "line ", "cannot be read", " lines before it were read"] {
        assert!(replayed.err.contains(word), "{word:?}: {}", replayed.err);
    }
}

#[test]
fn a_file_without_records_gives_no_clusters_and_is_no_fault() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("empty"), "").unwrap();
    for inputs in [["empty"], ["-"]] {
        let replayed = replay(dir.path(), &inputs, b"");
        assert_eq!((replayed.code, replayed.assignments.as_str()), (Some(0), ""), "{}", replayed.err);
        assert_eq!(replayed.out, "no clusters: there was no event to cluster\n");
    }
}

#[test]
fn refusals_beyond_those_told_in_full_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let records: Vec<String> = (0..50).map(|_| "no record".to_owned()).chain([good("good").to_string()]).collect();
    std::fs::write(dir.path().join("events"), records.join("\n")).unwrap();
    let replayed = replay(dir.path(), &["events"], b"");
    assert_eq!((replayed.count("refused"), replayed.told(REFUSED).len()), (50, 10));
    assert_eq!(replayed.ids(), ["good"]);
}
