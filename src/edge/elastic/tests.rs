//! The request.

use super::*;

#[test]
fn an_alert_becomes_an_action_and_an_ecs_document() {
    let alert: Alert = serde_json::from_str(include_str!("../../../tests/data/alert.json")).unwrap();
    let wire = ElasticWire::new(&ElasticSettings { data_stream: "logs-panicsift.alert-default".to_owned() });
    let request = wire.encode(&[alert]);
    assert!(request.path.starts_with("/_bulk?filter_path=status,"), "{}", request.path);
    assert!(!request.path.contains(' '), "{}", request.path);
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
