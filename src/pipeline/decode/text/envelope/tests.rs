//! Envelopes of every agent, literally.

use super::*;

/// `STREAM|SERVICE|RELEASE|HOST|ISOLATE|MILLIS|TEXT`, of every text; `…` at the end of one that goes on.
#[track_caller]
fn check(payload: &str, expected: &[&str]) {
    let texts = open(payload.as_bytes()).unwrap();
    let name = |name: &Option<Cow<'_, str>>| name.as_deref().unwrap_or("-").to_owned();
    let shown = texts.iter().map(|text| {
        let time = text.time.map_or_else(|| "-".to_owned(), |time| time.0.to_string());
        let names = [name(&text.service), name(&text.release), name(&text.host), name(&text.isolate), time].join("|");
        format!("{}|{names}|{}{}", text.stream, text.text, if text.is_partial { "…" } else { "" })
    });
    assert_eq!(shown.collect::<Vec<_>>(), expected, "{payload}");
}

#[test]
fn fluent_bit_tells_pod_and_labels() {
    check(
        r#"{"date":1795330796.612,"log":"boom","stream":"stderr","kubernetes":{"pod_name":"shop-1","namespace_name":"prod","container_name":"web","host":"node-7","container_image":"reg:5000/shop:1.4.2","labels":{"app.kubernetes.io/name":"shop"}}}"#,
        &["stderr|shop|1.4.2|node-7|shop-1|1795330796612|boom"],
    );
    check(r#"{"log":"x","time":"2026-11-21T05:20:00.5Z","kubernetes":{"labels":null}}"#, &["|-|-|-|-|1795238400500|x"]);
}

#[test]
fn vector_docker_and_journald_are_known_by_their_keys() {
    check(
        r#"{"message":"boom","timestamp":"2026-11-21T05:20:00Z","host":"h1","source_type":"kubernetes_logs","stream":"stderr","file":"/var/log/x.log","kubernetes":{"pod_name":"p","pod_namespace":"n","container_name":"c","pod_labels":{"app.kubernetes.io/name":"s","app.kubernetes.io/version":"2"},"pod_node_name":"k"}}"#,
        &["stderr|s|2|h1|p|1795238400000|boom"],
    );
    check(
        "{\"log\":\"boom\\n\",\"stream\":\"stderr\",\"time\":\"2026-11-21T05:20:00.000000001Z\"}",
        &["stderr|-|-|-|-|1795238400000|boom\n"],
    );
    check(
        r#"{"MESSAGE":[98,111,255],"_PID":"712","_HOSTNAME":"h1","_SYSTEMD_UNIT":"shop.service","SYSLOG_IDENTIFIER":"x","__REALTIME_TIMESTAMP":"1795238400000001"}"#,
        &["|shop|-|h1|712|1795238400000|bo\u{fffd}"],
    );
}

#[test]
fn prefixed_lines_bring_their_own_time_and_stream() {
    check(
        "2026-11-21T05:20:00.5+00:00 stderr F boom\n2026-11-21T05:20:01Z stdout P half",
        &["stderr|-|-|-|-|1795238400500|boom", "stdout|-|-|-|-|1795238401000|half…"],
    );
    check(r#"{"log":"2026-11-21T05:20:00Z stderr F boom"}"#, &["stderr|-|-|-|-|1795238400000|boom"]);
    check("<11>1 2026-11-21T05:20:00Z h1 shop 712 - - boom", &["|shop|-|h1|712|1795238400000|boom"]);
    check("<11>1 2026-11-21T05:20:00Z h1 shop 712 - [a b=\"c\"] boom", &["|shop|-|h1|712|1795238400000|boom"]);
    for text in ["2026-11-21T05:20:00Z stderr", "<11>1 - -", "<x>1 a b c d e f", "2026 stderr F x"] {
        check(text, &[&format!("|-|-|-|-|-|{text}")]);
    }
}

#[test]
fn several_objects_are_several_texts_and_a_log_line_is_its_own() {
    check(r#"[{"log":"a"},{"msg":"b"},3]"#, &["|-|-|-|-|-|a", "|-|-|-|-|-|b"]);
    check("{\"log\":\"a\"}\n{\"log\":\"b\"}", &["|-|-|-|-|-|a", "|-|-|-|-|-|b"]);
    check(r#"{"fields":{"message":"x"}}"#, &[r#"|-|-|-|-|-|{"fields":{"message":"x"}}"#]);
    check(r#"{"log":{"panic_event":{}}}"#, &[r#"|-|-|-|-|-|{"panic_event":{}}"#]);
    check("{\"fields\":{}}\nthread", &["|-|-|-|-|-|{\"fields\":{}}\nthread"]);
    check("{words in braces", &["|-|-|-|-|-|{words in braces"]);
}

#[test]
fn clocks_at_zero_wrong_types_and_lone_surrogates_do_no_harm() {
    for time in ["0", "\"0\"", "null", "-5", "1e99", "\"\"", "{}", "99999999999999999999999", "0.0", "12"] {
        check(&format!(r#"{{"log":"x","time":{time}}}"#), &["|-|-|-|-|-|x"]);
    }
    check(r#"{"log":"a\ud800b","stream":7,"kubernetes":[],"host":{}}"#, &["7|-|-|-|-|-|a\u{fffd}b"]);
    check(r#"{"log":null,"message":"m","log":"late"}"#, &["|-|-|-|-|-|m"]);
    let odd = r#"{"log":["a",{}],"kubernetes":{"labels":[[]]}}"#;
    check(odd, &[&format!("|-|-|-|-|-|{odd}")]);
}

#[test]
fn depth_and_numbers_of_items_and_keys_are_bounded() {
    let deep = format!(r#"{{"x":{}{},"log":"y"}}"#, "[".repeat(100_000), "]".repeat(100_000));
    check(&deep, &["|-|-|-|-|-|y"]);
    let wide = format!("[{}{{}}]", "{},".repeat(ITEMS_MAX));
    assert_eq!(open(wide.as_bytes()).unwrap_err().reason, Reason::TooManyNodes);
    let keys: Vec<String> = (0..100_000).map(|key| format!("\"k{key}\":0")).collect();
    let many = format!("{{\"log\":\"y\",{},\"stream\":\"late\"}}", keys.join(","));
    check(&many, &["|-|-|-|-|-|y"]);
}

#[test]
fn every_cut_of_a_record_is_read_or_refused() {
    let whole =
        r#"{"log":"thread 'main' panicked at a.rs:1:2:\n\ud83d","stream":"stderr","kubernetes":{"labels":{"a":"é"}}}"#;
    for end in 0..whole.len() {
        if let Err(refusal) = open(&whole.as_bytes()[..end]) {
            assert_eq!(refusal.reason, Reason::NotJson);
        }
    }
}
