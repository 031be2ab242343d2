//! The whole table of HEC answers, and the envelope.

use super::*;

fn settings(index: Option<&str>) -> SplunkSettings {
    SplunkSettings {
        index: index.map(str::to_owned),
        host: None,
        source: "panicsift".to_owned(),
        sourcetype: "panicsift:alert".to_owned(),
    }
}

#[track_caller]
fn check(status: u16, body: &str, expected: &str) {
    let reply = Reply { status, retry_after_secs: Some(3), body: body.as_bytes().to_vec(), ..Reply::default() };
    let reading = match SplunkWire::new(settings(None)).read(&reply, 5) {
        Reading::Accepted { slow_down: false, .. } => "accepted".to_owned(),
        Reading::Accepted { slow_down: true, .. } => "accepted, slow down".to_owned(),
        Reading::Retry { slow_down: false, after, .. } => format!("retry {}", after.unwrap().as_secs()),
        Reading::Retry { slow_down: true, after, .. } => format!("overloaded {}", after.unwrap().as_secs()),
        Reading::Hold { why } if why.contains("acknowledgement") => "hold: acknowledgement".to_owned(),
        Reading::Hold { .. } => "hold".to_owned(),
        Reading::Poison { suspect, .. } => format!("poison {suspect:?}"),
        Reading::TooLarge { .. } => "too large".to_owned(),
        Reading::Words(_) => "words".to_owned(),
        Reading::Pending { .. } => "pending".to_owned(),
    };
    assert_eq!(reading, expected, "{status} {body}");
}

/// Every code with the status it comes with.
#[test]
fn every_code_of_the_collector_has_its_class() {
    let table: [(u16, i64, &str); 28] = [
        (200, 0, "accepted"),
        (403, 1, "hold"),
        (401, 2, "hold"),
        (401, 3, "hold"),
        (403, 4, "hold"),
        (400, 5, "poison None"),
        (400, 6, "poison None"),
        (400, 7, "hold"),
        (500, 8, "retry 3"),
        (503, 9, "overloaded 3"),
        (400, 10, "hold: acknowledgement"),
        (400, 11, "hold: acknowledgement"),
        (400, 12, "poison None"),
        (400, 13, "poison None"),
        (400, 14, "hold: acknowledgement"),
        (400, 15, "poison None"),
        (400, 16, "hold"),
        (200, 17, "hold"),
        (503, 18, "retry 3"),
        (503, 19, "retry 3"),
        (503, 20, "retry 3"),
        (400, 21, "hold"),
        (400, 22, "hold"),
        (503, 23, "retry 3"),
        (200, 24, "accepted, slow down"),
        (200, 25, "accepted, slow down"),
        (429, 26, "overloaded 3"),
        (429, 27, "overloaded 3"),
    ];
    for (status, code, expected) in table {
        check(status, &format!(r#"{{"text":"x","code":{code}}}"#), expected);
    }
}

#[test]
fn the_event_that_is_pointed_at_is_read() {
    check(400, r#"{"text":"Invalid data format","code":6,"invalid-event-number":3}"#, "poison Some(3)");
    check(400, r#"{"text":"Error in handling indexed fields","code":15,"invalid-event-number":0}"#, "poison Some(0)");
}

#[test]
fn what_is_no_answer_of_a_collector_is_never_taken_for_accepted() {
    check(200, "", "retry 3");
    check(200, "<html>Please log in</html>", "retry 3");
    check(200, "\"ok\"", "retry 3");
    check(200, "{}", "retry 3");
    check(200, "[]", "retry 3");
    check(204, "", "retry 3");
    check(200, r#"{"text":"?","code":99}"#, "retry 3");
    check(200, r#"{"text":"Invalid data format","code":6}"#, "retry 3");
    check(503, r#"{"text":"Success","code":0}"#, "retry 3");
}

#[test]
fn replies_without_a_code_are_read_by_their_status() {
    check(413, "<html>413 Request Entity Too Large</html>", "too large");
    check(413, r#"{"text":"x","code":6}"#, "too large");
    check(404, "<html>not found</html>", "retry 3");
    check(408, "", "retry 3");
    check(400, "\"bad gzip\"", "retry 3");
    check(500, "\"Internal Server Error\"", "retry 3");
    check(502, "<html>Bad Gateway</html>", "retry 3");
    check(429, "", "overloaded 3");
    check(401, "Unauthorized", "hold");
    check(403, "<html>", "hold");
    check(302, "", "hold");
}

#[test]
fn an_alert_becomes_one_envelope_a_line() {
    let alert: Alert = serde_json::from_str(include_str!("../../../tests/data/alert.json")).unwrap();
    let request = SplunkWire::new(settings(Some("security"))).encode(&[alert.clone(), alert]);
    assert_eq!(request.path, "/services/collector/event");
    let body = String::from_utf8(request.body).unwrap();
    assert_eq!(body.lines().count(), 2);
    assert!(body.contains(r#""time":1789372800.849,"#), "{body}");
    let envelope: serde_json::Value = serde_json::from_str(body.lines().next().unwrap()).unwrap();
    assert_eq!(envelope["index"], "security");
    assert!(envelope.get("host").is_none());
    assert_eq!(envelope["fields"]["alert_id"], "a-0001");
    assert!(envelope["fields"].as_object().unwrap().values().all(serde_json::Value::is_string), "flat, or code 15");
    assert_eq!(envelope["event"]["type"], "alert");
    assert_eq!(envelope["event"]["src"][1], "2001:db8::7");
    assert_eq!(envelope["event"]["dest"][0], "orders");
    assert_eq!(envelope["event"]["severity"], "high");
    assert_eq!(envelope["event"]["panicsift"]["counts"]["events"], 42);
}

#[test]
fn a_time_that_the_collector_cannot_hold_is_left_out() {
    let time = |at: &str| epoch_seconds(at).map(|raw| raw.get().to_owned());
    assert_eq!(time("1970-01-01T00:00:00.007Z").as_deref(), Some("0.007"));
    assert_eq!(time("9999-12-30T00:00:00Z").as_deref(), Some("253402128000.000"));
    assert_eq!(time("0001-01-01T00:00:00Z"), None);
    assert_eq!(time("yesterday"), None);
}

#[test]
fn an_address_with_the_collectors_path_is_the_same_as_one_without() {
    for url in [
        "https://s:8088",
        "https://s:8088/",
        "https://s:8088/services/collector",
        "https://s:8088/services/collector/event/",
    ] {
        assert_eq!(base(url), "https://s:8088");
    }
    assert_eq!(base("https://s/proxied/"), "https://s/proxied");
}

/// One literal reply for each row of the protocol; the lane's view of it without acknowledgement.
#[test]
fn every_literal_reply_has_its_class() {
    let table = [
        ("ack-disabled", "hold: acknowledgement"),
        ("ack-full", "overloaded 3"),
        ("ack-nearly-full", "accepted, slow down"),
        ("bad-gateway", "retry 3"),
        ("bare-string", "retry 3"),
        ("channel-missing", "hold: acknowledgement"),
        ("empty", "retry 3"),
        ("event-blank", "poison Some(1)"),
        ("event-required", "poison Some(0)"),
        ("gateway-timeout", "retry 3"),
        ("healthy", "hold"),
        ("incorrect-index", "hold"),
        ("indexed-fields", "poison Some(2)"),
        ("internal-error", "retry 3"),
        ("internal-server-error", "retry 3"),
        ("invalid-authorization", "hold"),
        ("invalid-channel", "hold: acknowledgement"),
        ("invalid-data-format", "poison Some(3)"),
        ("invalid-token", "hold"),
        ("invalid-token-400", "hold"),
        ("no-data", "poison None"),
        ("not-found", "retry 3"),
        ("proxy-page", "retry 3"),
        ("query-authorization", "hold"),
        ("queue-full", "overloaded 3"),
        ("queue-nearly-full", "accepted, slow down"),
        ("redirect", "hold"),
        ("request-timeout", "retry 3"),
        ("server-busy", "overloaded 3"),
        ("shutting-down", "retry 3"),
        ("success", "accepted"),
        ("success-without-ack-id", "accepted"),
        ("token-disabled", "hold"),
        ("token-off", "hold"),
        ("token-required", "hold"),
        ("too-large", "too large"),
        ("unauthorized-page", "hold"),
        ("unhealthy-acks", "retry 3"),
        ("unhealthy-both", "retry 3"),
        ("unhealthy-queues", "retry 3"),
    ];
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/hec");
    for (name, expected) in table {
        let text = std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
        let reply: serde_json::Value = serde_json::from_str(&text).unwrap();
        let body = reply["body"].as_str().map_or_else(|| reply["body"].to_string(), str::to_owned);
        check(u16::try_from(reply["status"].as_u64().unwrap()).unwrap(), &body, expected);
    }
    let n_files = std::fs::read_dir(&folder)
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|extension| extension == "json"));
    assert_eq!(n_files.count(), table.len(), "a literal reply without a row");
}
