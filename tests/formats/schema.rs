//! The JSON forms against what their public schemas say: field names, types, allowed values, required attributes.
//!
//! The tables are transcribed, each from the source that its comment names; none is read from the writers.

use std::collections::BTreeSet;
use std::net::IpAddr;

use panicsift::edge::format::{Format, cim};
use panicsift::pipeline::alert::{Alert, Category, Change, Severity};
use proptest::prelude::*;
use serde_json::{Map, Value};

use super::{document, example, hostile, texts};

/// ECS 9.0 field reference: the type of each field that a document may have.
const ECS_FIELDS: [(&str, &str); 47] = [
    ("@timestamp", "date"),
    ("message", "match_only_text"),
    ("tags", "keyword"),
    ("ecs.version", "keyword"),
    ("event.kind", "keyword"),
    ("event.category", "keyword"),
    ("event.type", "keyword"),
    ("event.id", "keyword"),
    ("event.code", "keyword"),
    ("event.action", "keyword"),
    ("event.module", "keyword"),
    ("event.dataset", "keyword"),
    ("event.provider", "keyword"),
    ("event.severity", "long"),
    ("event.risk_score", "float"),
    ("event.sequence", "long"),
    ("event.start", "date"),
    ("event.end", "date"),
    ("event.duration", "long"),
    ("event.reason", "keyword"),
    ("rule.id", "keyword"),
    ("rule.name", "keyword"),
    ("rule.category", "keyword"),
    ("rule.ruleset", "keyword"),
    ("rule.version", "keyword"),
    ("threat.framework", "keyword"),
    ("threat.technique.id", "keyword"),
    ("threat.technique.name", "keyword"),
    ("threat.technique.subtechnique.id", "keyword"),
    ("threat.technique.subtechnique.name", "keyword"),
    ("threat.tactic.id", "keyword"),
    ("threat.tactic.name", "keyword"),
    ("source.ip", "ip"),
    ("source.as.number", "long"),
    ("source.as.organization.name", "keyword"),
    ("source.geo.country_iso_code", "keyword"),
    ("related.ip", "ip"),
    ("service.name", "keyword"),
    ("service.version", "keyword"),
    ("user_agent.name", "keyword"),
    ("observer.name", "keyword"),
    ("observer.product", "keyword"),
    ("observer.vendor", "keyword"),
    ("observer.type", "keyword"),
    ("observer.version", "keyword"),
    ("data_stream.dataset", "constant_keyword"),
    ("data_stream.namespace", "constant_keyword"),
];

/// ECS 9.0, "ECS categorization field: event.category": the types that each of our categories allows.
const ECS_TYPES: [(&str, [&str; 3]); 2] =
    [("intrusion_detection", ["allowed", "denied", "info"]), ("web", ["access", "error", "info"])];

/// Every leaf with its dotted name; elements of an array bear the array's name.
fn leaves<'a>(name: &str, value: &'a Value, found: &mut Vec<(String, &'a Value)>) {
    match value {
        Value::Object(keys) => {
            for (key, value) in keys {
                let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                leaves(&name, value, found);
            }
        }
        Value::Array(values) => {
            assert!(!values.is_empty(), "{name} is an empty list");
            for value in values {
                leaves(name, value, found);
            }
        }
        leaf => found.push((name.to_owned(), leaf)),
    }
}

fn is_of(kind: &str, value: &Value) -> bool {
    match kind {
        "date" => value.as_str().is_some_and(|text| text.parse::<jiff::Timestamp>().is_ok()),
        "ip" => value.as_str().is_some_and(|text| text.parse::<IpAddr>().is_ok()),
        "long" => value.is_i64() || value.is_u64(),
        "float" => value.is_number(),
        _ => value.is_string(),
    }
}

fn check_ecs(alert: &Alert) {
    let mut document = document(Format::Ecs, alert);
    let whole = document.as_object_mut().unwrap().remove("panicsift").unwrap();
    assert_eq!(&serde_json::from_value::<Alert>(whole).unwrap(), alert);
    let mut found = Vec::new();
    leaves("", &document, &mut found);
    for (name, value) in &found {
        let (_, kind) =
            ECS_FIELDS.iter().find(|(known, _)| known == name).unwrap_or_else(|| panic!("{name} is no field of ECS"));
        assert!(is_of(kind, value), "{name} is to be a {kind}: {value}");
    }
    for must in ["@timestamp", "message", "ecs.version", "event.kind", "event.severity", "rule.name", "event.reason"] {
        assert!(found.iter().any(|(name, _)| name == must), "{must} is missing");
    }
    let is_security = alert.category == Category::HostileInput;
    assert_eq!(found.iter().any(|(name, _)| name == "related.ip"), !alert.portrait.addresses.is_empty());
    // What Elastic Security's rule "External Alerts" asks for, and what operations alerts must not have.
    assert_eq!(document["event"]["kind"], if is_security { "alert" } else { "event" });
    assert_eq!(document["event"]["category"].as_array().unwrap().contains(&"intrusion_detection".into()), is_security);
    assert_eq!(document["rule"]["category"].as_str().unwrap().starts_with("operations: "), !is_security);
    assert!(!["endgame", "endpoint", "cloud_defend"].contains(&document["event"]["module"].as_str().unwrap()));
    // Its severity mapping knows these four.
    assert!([21, 47, 73, 99].contains(&document["event"]["severity"].as_u64().unwrap()));
    let types = document["event"]["type"].as_array().unwrap();
    for category in document["event"]["category"].as_array().unwrap() {
        let (_, allowed) = ECS_TYPES.iter().find(|(name, _)| category == name).expect("a category of ECS");
        assert!(types.iter().all(|one| allowed.contains(&one.as_str().unwrap())), "{category} with {types:?}");
    }
}

/// OCSF 1.8.0, `events/findings/detection_finding.json` over `finding.json` over `base_event.json`: name, type, and
/// whether it is required.
const FINDING: [(&str, &str, bool); 27] = [
    ("activity_id", "integer", true),
    ("activity_name", "string", false),
    ("category_uid", "integer", true),
    ("category_name", "string", false),
    ("class_uid", "integer", true),
    ("class_name", "string", false),
    ("type_uid", "integer", true),
    ("type_name", "string", false),
    ("severity_id", "integer", true),
    ("severity", "string", false),
    ("status_id", "integer", false),
    ("status", "string", false),
    ("is_alert", "boolean", false),
    ("time", "integer", true),
    ("start_time", "integer", false),
    ("end_time", "integer", false),
    ("count", "integer", false),
    ("message", "string", false),
    ("metadata", "object", true),
    ("finding_info", "object", true),
    ("evidences", "array", false),
    ("resources", "array", false),
    ("observables", "array", false),
    ("unmapped", "object", false),
    ("duration", "integer", false),
    ("confidence_score", "integer", false),
    ("remediation", "object", false),
];

/// The objects below: `objects/metadata.json`, `product.json`, `finding_info.json`, `analytic.json`,
/// `network_endpoint.json`, `resource_details.json`, `observable.json`, `attack.json` and `remediation.json`.
const METADATA: [(&str, &str, bool); 5] = [
    ("version", "string", true),
    ("product", "object", true),
    ("uid", "string", false),
    ("event_code", "string", false),
    ("sequence", "integer", false),
];
const PRODUCT: [(&str, &str, bool); 3] =
    [("name", "string", true), ("vendor_name", "string", false), ("version", "string", false)];
const FINDING_INFO: [(&str, &str, bool); 11] = [
    ("uid", "string", true),
    ("title", "string", false),
    ("desc", "string", false),
    ("analytic", "object", false),
    ("created_time", "integer", false),
    ("modified_time", "integer", false),
    ("first_seen_time", "integer", false),
    ("last_seen_time", "integer", false),
    ("related_events_count", "integer", false),
    ("types", "array", false),
    ("attacks", "array", false),
];
const ATTACK: [(&str, &str, bool); 3] =
    [("tactic", "object", false), ("technique", "object", false), ("sub_technique", "object", false)];
/// `objects/tactic.json`, `technique.json` and `sub_technique.json`, each over `_entity.json`.
const ATTACK_ENTRY: [(&str, &str, bool); 2] = [("uid", "string", false), ("name", "string", false)];
const REMEDIATION: [(&str, &str, bool); 1] = [("desc", "string", true)];
const ANALYTIC: [(&str, &str, bool); 4] =
    [("type_id", "integer", true), ("type", "string", false), ("name", "string", false), ("version", "string", false)];
const ENDPOINT: [(&str, &str, bool); 1] = [("ip", "string", true)];
const RESOURCE: [(&str, &str, bool); 2] = [("name", "string", true), ("type", "string", false)];
const OBSERVABLE: [(&str, &str, bool); 4] =
    [("name", "string", true), ("type_id", "integer", true), ("type", "string", false), ("value", "string", false)];

/// Enumerations of the same files: attribute, value, caption of the attribute beside it.
const ACTIVITIES: [(u64, &str); 3] = [(1, "Create"), (2, "Update"), (3, "Close")];
const SEVERITIES: [(u64, &str); 8] = [
    (0, "Unknown"),
    (1, "Informational"),
    (2, "Low"),
    (3, "Medium"),
    (4, "High"),
    (5, "Critical"),
    (6, "Fatal"),
    (99, "Other"),
];
const STATUSES: [(u64, &str); 6] =
    [(1, "New"), (2, "In Progress"), (3, "Suppressed"), (4, "Resolved"), (5, "Archived"), (6, "Deleted")];
const ANALYTICS: [(u64, &str); 5] =
    [(0, "Unknown"), (1, "Rule"), (2, "Behavioral"), (3, "Statistical"), (4, "Learning (ML/DL)")];

fn check_object(value: &Value, known: &[(&str, &str, bool)]) {
    let object: &Map<String, Value> = value.as_object().unwrap();
    for (name, value) in object {
        let (_, kind, _) =
            known.iter().find(|(known, ..)| known == name).unwrap_or_else(|| panic!("{name} is unknown"));
        let fits = match *kind {
            // OCSF's integer_t has 32 bits, its timestamp_t and long_t 64.
            "integer" => value.is_i64() || value.is_u64(),
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "array" => value.as_array().is_some_and(|values| !values.is_empty()),
            _ => value.is_object(),
        };
        assert!(fits, "{name} is to be of type {kind}: {value}");
    }
    for (name, _, required) in known {
        assert!(!required || object.contains_key(*name), "{name} is required");
    }
}

fn check_caption(of: &Value, attribute: &str, caption: &str, captions: &[(u64, &str)]) {
    let pair = (of[attribute].as_u64().unwrap(), of[caption].as_str().unwrap());
    assert!(captions.contains(&pair), "{attribute}: {pair:?}");
}

fn check_ocsf(alert: &Alert) {
    let finding = document(Format::Ocsf, alert);
    check_object(&finding, &FINDING);
    check_object(&finding["metadata"], &METADATA);
    check_object(&finding["metadata"]["product"], &PRODUCT);
    check_object(&finding["finding_info"], &FINDING_INFO);
    check_object(&finding["finding_info"]["analytic"], &ANALYTIC);
    if let Some(attacks) = finding["finding_info"].get("attacks") {
        for attack in attacks.as_array().unwrap() {
            check_object(attack, &ATTACK);
            attack.as_object().unwrap().values().for_each(|entry| check_object(entry, &ATTACK_ENTRY));
        }
    }
    if let Some(remediation) = finding.get("remediation") {
        check_object(remediation, &REMEDIATION);
    }
    let list = |key: &str| finding.get(key).map(|list| list.as_array().unwrap().clone()).unwrap_or_default();
    assert_eq!(list("evidences").len(), list("observables").len());
    for evidence in &list("evidences") {
        // At least one of the artifacts; ours is the source.
        check_object(evidence, &[("src_endpoint", "object", true)]);
        check_object(&evidence["src_endpoint"], &ENDPOINT);
    }
    for resource in finding["resources"].as_array().unwrap() {
        check_object(resource, &RESOURCE);
    }
    for observable in &list("observables") {
        check_object(observable, &OBSERVABLE);
        assert_eq!((observable["type_id"].as_u64(), observable["type"].as_str()), (Some(2), Some("IP Address")));
        assert!(observable["value"].as_str().unwrap().parse::<IpAddr>().is_ok());
    }
    assert_eq!((finding["category_uid"].as_u64(), finding["class_uid"].as_u64()), (Some(2), Some(2004)));
    let type_uid = 2004 * 100 + finding["activity_id"].as_u64().unwrap();
    assert_eq!(finding["type_uid"].as_u64(), Some(type_uid));
    check_caption(&finding, "activity_id", "activity_name", &ACTIVITIES);
    check_caption(&finding, "severity_id", "severity", &SEVERITIES);
    check_caption(&finding, "status_id", "status", &STATUSES);
    check_caption(&finding["finding_info"]["analytic"], "type_id", "type", &ANALYTICS);
    let types = finding["finding_info"]["types"][0].as_str().unwrap();
    assert_eq!(types == "hostile input", alert.category == Category::HostileInput);
    assert_eq!(finding["metadata"]["version"], "1.8.0");
    assert_eq!(finding["finding_info"]["uid"], alert.cluster);
    assert_eq!(finding["metadata"]["uid"], alert.alert_id);
    assert_eq!(&serde_json::from_value::<Alert>(finding["unmapped"]["panicsift"].clone()).unwrap(), alert);
}

/// The data models "Alerts" and "Intrusion Detection" (`data_models/Alerts.json` and `IDS_Attacks.json` of
/// splunk/pytest-splunk-addon): fields that they require, and the values where they name them.
const CIM_REQUIRED: [(&str, &[&str]); 15] = [
    ("app", &[]),
    ("description", &[]),
    ("dest", &[]),
    ("id", &[]),
    ("severity", &["critical", "high", "medium", "low", "informational"]),
    ("signature", &[]),
    ("signature_id", &[]),
    ("src", &[]),
    ("type", &["alarm", "alert", "event", "task", "warning"]),
    ("user", &[]),
    ("action", &["allowed", "blocked"]),
    ("category", &[]),
    ("dvc", &[]),
    ("ids_type", &["network", "host", "application"]),
    ("vendor_product", &[]),
];

fn check_cim(alert: &Alert) {
    let event = serde_json::to_value(cim::Event::of(alert)).unwrap();
    let is_security = alert.category == Category::HostileInput;
    for (name, values) in CIM_REQUIRED {
        // Of the data model "Intrusion Detection" alone, to which operations alerts do not belong.
        if !is_security && ["action", "ids_type", "src"].contains(&name) {
            assert!(event.get(name).is_none(), "{name}: an operations alert is no intrusion");
            continue;
        }
        let value = event.get(name).unwrap_or_else(|| panic!("{name} is missing"));
        assert!(values.is_empty() || values.contains(&value.as_str().unwrap()), "{name}: {value}");
        assert!(value.is_string() || value.as_array().is_some_and(|list| list.iter().all(Value::is_string)), "{name}");
    }
    let known: Vec<&str> = CIM_REQUIRED.iter().map(|(name, _)| *name).collect();
    let more = ["dest_type", "mitre_technique_id", "subject", "panicsift"];
    assert!(event.as_object().unwrap().keys().all(|key| known.contains(&key.as_str()) || more.contains(&key.as_str())));
    // HEC refuses fields that are not flat (code 15).
    let fields = serde_json::to_value(cim::Fields::of(alert)).unwrap();
    assert!(fields.as_object().unwrap().values().all(Value::is_string), "{fields}");
    assert_eq!(fields["alert_id"], alert.alert_id);
    assert_eq!(fields["category"], alert.category.name());
}

#[test]
fn every_category_fits_its_schemas_and_has_names_of_its_own() {
    let mut rules = BTreeSet::new();
    for category in Category::ALL {
        let from = if category == Category::HostileInput { "raised" } else { "storm" };
        let alert = Alert { category, ..example(from) };
        check_ecs(&alert);
        check_ocsf(&alert);
        check_cim(&alert);
        let ecs = document(Format::Ecs, &alert);
        rules.insert((ecs["rule"]["name"].clone().to_string(), ecs["event"]["action"].to_string()));
        // The findings are what an operations alert rests on.
        assert_eq!(ecs["event"]["reason"].as_str().unwrap().contains("times the usual"), from == "storm");
    }
    assert_eq!(rules.len(), Category::ALL.len());
}

#[test]
fn every_change_and_severity_fits_its_schemas() {
    for change in ["opened", "raised", "closed"] {
        for severity in [Severity::Low, Severity::Medium, Severity::High, Severity::Critical] {
            let mut alert = example(change);
            alert.portrait.severity = severity;
            check_ecs(&alert);
            check_ocsf(&alert);
            check_cim(&alert);
        }
    }
}

#[test]
fn a_finding_is_created_updated_and_closed_with_its_cluster() {
    let told = [("opened", 1, 1, true, 0), ("raised", 2, 1, true, 1), ("closed", 3, 4, false, 1)];
    for (change, activity, status, is_alert, n_modified) in told {
        let finding = document(Format::Ocsf, &example(change));
        let numbers = (finding["activity_id"].as_u64(), finding["type_uid"].as_u64(), finding["status_id"].as_u64());
        assert_eq!(numbers, (Some(activity), Some(200_400 + activity), Some(status)), "{change}");
        assert_eq!(finding["is_alert"], is_alert);
        let times = &finding["finding_info"];
        let there = |key: &str| usize::from(times.get(key).is_some());
        assert_eq!((there("created_time"), there("modified_time")), (1 - n_modified, n_modified), "{change}");
    }
}

#[test]
fn an_alert_without_lists_is_still_whole() {
    let mut alert = example("raised");
    alert.portrait.addresses = vec!["192.0.2.7".to_owned()];
    let portrait = &mut alert.portrait;
    let lists = [&mut portrait.routes, &mut portrait.sites, &mut portrait.agents, &mut portrait.countries];
    lists.into_iter().for_each(Vec::clear);
    portrait.networks.clear();
    alert.change = Change::Closed;
    check_ecs(&alert);
    check_ocsf(&alert);
    check_cim(&alert);
}

proptest! {
    #[test]
    fn every_hostile_alert_fits_its_schemas(texts in texts()) {
        let alert = hostile(&texts, false);
        check_ecs(&alert);
        check_ocsf(&alert);
        check_cim(&alert);
    }
}
