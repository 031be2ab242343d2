//! What a server is, and what stands there against what should: replies as the servers give them.

use serde_json::json;

use super::*;

#[test]
fn a_server_is_what_it_says() {
    let open =
        json!({"version": {"distribution": "opensearch", "number": "2.19.4"}, "tagline": "The OpenSearch Project"});
    let elastic =
        json!({"version": {"number": "8.19.21", "build_flavor": "default"}, "tagline": "You Know, for Search"});
    let another = json!({"version": {"distribution": "another", "number": "1", "build_flavor": "oss"}});
    assert_eq!(read_root(&open), Some(Product::OpenSearch));
    assert_eq!(read_root(&elastic), Some(Product::Elasticsearch));
    for stranger in [another, json!({"version": {"number": "1.0"}}), json!({}), json!([]), json!("x")] {
        assert_eq!(read_root(&stranger), None, "{stranger}");
    }
    let node = |node: Value| read_node(&json!({"nodes": {"id": node}}));
    assert_eq!(node(json!({"version": "8.19.21", "build_flavor": "default"})), Some(Product::Elasticsearch));
    assert_eq!(node(json!({"version": "2.19.4", "build_type": "tar"})), Some(Product::OpenSearch));
    assert_eq!(node(json!({})), None);
    assert_eq!(read_node(&json!({"nodes": {}})), None);
}

#[track_caller]
fn check_holds(present: &Value, wanted: &Value, expected: bool) {
    assert_eq!(holds(present, wanted), expected, "{present} {wanted}");
}

#[test]
fn what_stands_there_may_say_more_and_spell_it_otherwise_but_not_less() {
    let wanted = json!({"a": {"b": true, "n": 1}, "list": ["x", "y"], "stream": {}});
    check_holds(
        &json!({"a": {"b": "true", "n": "1", "more": 2}, "list": ["x", "y"], "stream": {"hidden": false}}),
        &wanted,
        true,
    );
    check_holds(&json!({"a": {"b": false, "n": 1}, "list": ["x", "y"], "stream": {}}), &wanted, false);
    check_holds(&json!({"a": {"n": 1}, "list": ["x", "y"], "stream": {}}), &wanted, false);
    check_holds(&json!({"a": {"b": true, "n": 1}, "list": ["x"], "stream": {}}), &wanted, false);
    check_holds(&json!({"a": 1, "list": ["x", "y"], "stream": {}}), &wanted, false);
    check_holds(&json!({"a": {"b": true, "n": 1}, "list": ["x", "y"]}), &wanted, false);
    check_holds(&json!(null), &json!({}), false);
}

fn parts_of(product: Product, days: u32) -> Vec<Part> {
    parts(&TemplateNames::of("logs-panicsift.alert-default"), product, Some(days))
}

#[test]
fn what_is_not_marked_as_ours_is_not_ours_and_what_is_newer_stays() {
    let all = parts_of(Product::Elasticsearch, 365);
    for part in all.iter().filter(|part| !matches!(part.kind, Kind::Custom | Kind::Policy)) {
        let product = Product::Elasticsearch;
        assert_eq!(compare(&part.body, part, product), Compared::Same, "{}", part.name);
        let mut other = part.body.clone();
        other["version"] = json!(TEMPLATE_VERSION + 1);
        assert_eq!(compare(&other, part, product), Compared::Newer, "{}", part.name);
        other["version"] = json!(0);
        assert_eq!(compare(&other, part, product), Compared::Different, "{}", part.name);
        other["_meta"] = json!({"managed_by": "somebody"});
        assert_eq!(compare(&other, part, product), Compared::NotOurs, "{}", part.name);
    }
}

/// As `GET _ilm/policy/NAME` is documented for Elasticsearch 8: what the server adds of itself is there too.
#[test]
fn an_ilm_policy_is_compared_by_version_and_retention() {
    let part = &parts_of(Product::Elasticsearch, 365)[0];
    let answer = |meta: Value| {
        json!({"logs-panicsift.alert": {
            "version": 7,
            "modified_date": "2026-11-22T17:00:00.000Z",
            "policy": {"phases": {"delete": {"min_age": "365d", "actions": {"delete": {"delete_searchable_snapshot": true}}}},
                       "_meta": meta},
            "in_use_by": {"indices": [], "data_streams": [], "composable_templates": []}
        }})
    };
    let compared = |meta: Value| {
        let present = present(&answer(meta), part).unwrap();
        assert_eq!(present.guard, "");
        compare(&present.body, part, Product::Elasticsearch)
    };
    let meta = part.body.pointer("/policy/_meta").unwrap().clone();
    assert_eq!(compared(meta.clone()), Compared::Same);
    assert_eq!(compared(json!(null)), Compared::NotOurs);
    let with = |key: &str, value: u64| {
        let mut meta = meta.clone();
        meta[key] = json!(value);
        meta
    };
    assert_eq!(compared(with("retention_days", 30)), Compared::Different);
    assert_eq!(compared(with("version", TEMPLATE_VERSION + 1)), Compared::Newer);
}

/// As `GET _plugins/_ism/policies/NAME` is documented for OpenSearch 2.
#[test]
fn an_ism_policy_is_compared_by_its_description_and_updated_under_its_number() {
    let part = &parts_of(Product::OpenSearch, 365)[0];
    let compared = |description: &str| {
        let answer = json!({
            "_id": "logs-panicsift.alert", "_version": 2, "_seq_no": 10, "_primary_term": 3,
            "policy": {"policy_id": "logs-panicsift.alert", "description": description, "schema_version": 21,
                       "default_state": "hot", "states": [], "ism_template": []}
        });
        let present = present(&answer, part).unwrap();
        assert_eq!(present.guard, "?if_seq_no=10&if_primary_term=3");
        compare(&present.body, part, Product::OpenSearch)
    };
    let description = part.body.pointer("/policy/description").unwrap().as_str().unwrap();
    assert!(description.starts_with(ISM_MARK), "{description}");
    assert_eq!(compared(description), Compared::Same);
    assert_eq!(compared(&description.replace("365", "30")), Compared::Different);
    assert_eq!(compared(&description.replace(&format!("version {TEMPLATE_VERSION}"), "version 99")), Compared::Newer);
    assert_eq!(compared("ingesting logs"), Compared::NotOurs);
}
