//! The request.

use super::*;

fn wire(auth: ElasticAuth) -> ElasticWire {
    ElasticWire::new(&ElasticSettings {
        name: "elastic".to_owned(),
        url: "https://elastic.example:9200/".to_owned(),
        data_stream: "logs-panicsift.alert-default".to_owned(),
        auth,
        http: HttpSettings::default(),
        batch: BatchLimits::default(),
    })
}

#[test]
fn an_alert_becomes_an_action_and_an_ecs_document() {
    let alert: Alert = serde_json::from_str(include_str!("../../../tests/data/alert.json")).unwrap();
    let request = wire(ElasticAuth::ApiKey(Secret::new("a2V5"))).encode(&[alert]);
    assert!(request.url.starts_with("https://elastic.example:9200/_bulk?filter_path=status,"), "{}", request.url);
    assert!(!request.url.contains(' '), "{}", request.url);
    assert_eq!(request.authorization.as_ref().unwrap().expose(), "ApiKey a2V5");
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

#[test]
fn user_and_password_become_a_basic_header_and_nothing_shows_them() {
    let wire = wire(ElasticAuth::Basic { user: "u".to_owned(), password: Secret::new("p") });
    assert_eq!(wire.authorization.as_ref().unwrap().expose(), "Basic dTpw");
    assert!(!format!("{wire:?}").contains("dTpw"));
}
