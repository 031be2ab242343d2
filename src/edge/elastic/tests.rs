//! The table of bulk answers, and the request.

use super::*;

fn wire() -> ElasticWire {
    ElasticWire::new(&ElasticSettings { data_stream: "logs-panicsift.alert-default".to_owned() })
}

fn read(status: u16, body: &str, n_sent: usize) -> Reading {
    let reply = Reply { status, body: body.as_bytes().to_vec(), ..Reply::default() };
    wire().read(&reply, n_sent)
}

#[track_caller]
fn check_item(item: &str, expected: &str) {
    let body = format!(r#"{{"took":3,"errors":true,"items":[{{"create":{item}}}]}}"#);
    let Reading::Words(said) = read(200, &body, 1) else { panic!("{item}") };
    let word = match &said[0] {
        Word::Final(fate, _) => fate.name(),
        Word::Retry(_) => "retry",
        Word::Overloaded(_) => "overloaded",
        Word::Hold(_) => "hold",
    };
    assert_eq!(word, expected, "{item}");
}

#[track_caller]
fn check_whole(status: u16, body: &str, expected: &str) {
    let reading = match read(status, body, 1) {
        Reading::Retry { slow_down: true, .. } => "overloaded",
        Reading::Retry { .. } => "retry",
        Reading::Hold { .. } => "hold",
        Reading::TooLarge { .. } => "too large",
        Reading::Words(_) => "words",
        Reading::Pending { .. } => "pending",
        Reading::Accepted { .. } => "accepted",
        Reading::Poison { .. } => "poison",
    };
    assert_eq!(reading, expected, "{status} {body}");
}

fn error(status: u16, kind: &str) -> String {
    format!(r#"{{"_index":"i","_id":"a","status":{status},"error":{{"type":"{kind}","reason":"r"}}}}"#)
}

#[test]
fn every_answer_to_an_item_has_its_word() {
    check_item(r#"{"_index":"i","_id":"a","_version":1,"result":"created","status":201}"#, "delivered");
    check_item(r#"{"status":200}"#, "delivered");
    check_item(r#"{"status":201,"failure_store":"not_applicable_or_unknown"}"#, "delivered");
    check_item(r#"{"status":201,"failure_store":"used"}"#, "degraded");
    check_item(&error(409, "version_conflict_engine_exception"), "repeated");
    check_item(&error(429, "es_rejected_execution_exception"), "overloaded");
    check_item(&error(429, "rejected_execution_exception"), "overloaded");
    check_item(&error(429, "circuit_breaking_exception"), "overloaded");
    check_item(&error(429, "cluster_block_exception"), "hold");
    check_item(&error(403, "cluster_block_exception"), "hold");
    check_item(&error(403, "security_exception"), "hold");
    check_item(&error(404, "index_not_found_exception"), "hold");
    check_item(&error(400, "document_parsing_exception"), "refused");
    check_item(&error(400, "mapper_parsing_exception"), "refused");
    check_item(&error(400, "strict_dynamic_mapping_exception"), "refused");
    check_item(&error(500, "exception"), "retry");
    check_item(&error(503, "unavailable_shards_exception"), "retry");
    check_item(r#"{"status":503,"error":"a text, as very old servers give"}"#, "retry");
    check_item(r#"{"status":599}"#, "retry");
}

#[test]
fn answers_that_do_not_account_for_every_alert_account_for_none() {
    let one = r#"{"errors":false,"items":[{"create":{"status":201}}]}"#;
    assert!(matches!(read(200, one, 1), Reading::Words(_)));
    assert!(matches!(read(200, one, 2), Reading::Retry { .. }));
    check_whole(200, r#"{"errors":false,"items":[]}"#, "retry");
    check_whole(200, r#"{"errors":false,"items":[{"index":{"status":201}}]}"#, "retry");
    check_whole(200, r#"{"errors":false,"items":[{"create":{"sta"#, "retry");
    check_whole(200, "<html>Please log in</html>", "retry");
    check_whole(200, "", "retry");
}

#[test]
fn a_request_that_is_refused_as_a_whole_refuses_no_alert() {
    check_whole(400, r#"{"error":{"type":"illegal_argument_exception","reason":"x"},"status":400}"#, "hold");
    check_whole(401, "Unauthorized", "hold");
    check_whole(403, r#"{"error":{"type":"security_exception"}}"#, "hold");
    check_whole(404, "", "hold");
    check_whole(405, "", "hold");
    check_whole(406, "", "hold");
    check_whole(308, "", "hold");
    check_whole(408, "", "retry");
    check_whole(413, "", "too large");
    check_whole(429, r#"{"error":{"type":"es_rejected_execution_exception"}}"#, "overloaded");
    check_whole(500, "", "retry");
    check_whole(502, "<html>", "retry");
    check_whole(503, "OpenSearch Security not initialized.", "retry");
}

#[test]
fn an_alert_becomes_an_action_and_an_ecs_document() {
    let alert: Alert = serde_json::from_str(include_str!("../../../tests/data/alert.json")).unwrap();
    let request = wire().encode(&[alert]);
    assert_eq!(request.path, "/_bulk");
    let body = String::from_utf8(request.body).unwrap();
    assert!(body.ends_with('\n'));
    let lines: Vec<&str> = body.lines().collect();
    assert_eq!(lines[0], r#"{"create":{"_index":"logs-panicsift.alert-default","_id":"a-0001"}}"#);
    assert_eq!(lines.len(), 2);
    let document: serde_json::Value = serde_json::from_str(lines[1]).unwrap();
    assert_eq!(document["@timestamp"], "2026-09-14T08:00:00.849Z");
    assert_eq!(document["event"]["kind"], "alert");
    assert_eq!(document["event"]["id"], "a-0001");
    assert_eq!(document["event"]["code"], "opened");
    assert_eq!(document["event"]["severity"], 73);
    assert_eq!(document["data_stream"]["dataset"], "panicsift.alert");
    assert_eq!(document["source"]["as"]["number"][0], 64500);
    assert_eq!(document["source"]["geo"]["country_iso_code"][0], "NL");
    assert_eq!(document["related"]["ip"][0], "192.0.2.7");
    assert_eq!(document["panicsift"]["cluster"], "c-7f3a");
}
