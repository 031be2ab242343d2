//! Names and the shape of what is installed.

use super::*;

#[track_caller]
fn check_names(data_stream: &str, stem: &str, pattern: &str) {
    let names = TemplateNames::of(data_stream);
    assert_eq!((names.stem.as_str(), names.pattern.as_str()), (stem, pattern));
}

#[test]
fn a_name_of_three_parts_gives_a_template_for_every_namespace_and_another_one_for_itself() {
    check_names("logs-panicsift.alert-default", "logs-panicsift.alert", "logs-panicsift.alert-*");
    check_names("logs-panicsift.alert-prod-eu", "logs-panicsift.alert", "logs-panicsift.alert-*");
    check_names("alerts", "alerts", "alerts");
    check_names("security-alerts", "security-alerts", "security-alerts");
    check_names("a--b", "a--b", "a--b");
    check_names("a-b-", "a-b-", "a-b-");
}

#[test]
fn parts_come_in_an_order_in_which_they_can_be_made() {
    let names = TemplateNames::of("logs-panicsift.alert-default");
    for product in [Product::Elasticsearch, Product::OpenSearch] {
        let parts = parts(&names, product, Some(30));
        let kinds: Vec<Kind> = parts.iter().map(|part| part.kind).collect();
        assert_eq!(kinds, [Kind::Policy, Kind::Component, Kind::Component, Kind::Custom, Kind::Template]);
        let template = &parts[4].body;
        for component in template["composed_of"].as_array().unwrap() {
            assert!(parts[..4].iter().any(|part| component == part.name.as_str()), "{component}");
        }
        assert_eq!(template["data_stream"], json!({}));
        assert!(template["priority"].as_u64().unwrap() > 200);
    }
}

#[test]
fn retention_is_in_the_policy_of_the_server_s_own_kind_and_nowhere_where_there_is_none() {
    let names = TemplateNames::of("logs-panicsift.alert-default");
    let elastic = parts(&names, Product::Elasticsearch, Some(30));
    assert_eq!(elastic[0].path, "_ilm/policy/logs-panicsift.alert");
    assert_eq!(elastic[0].body.pointer("/policy/phases/delete/min_age").unwrap(), "30d");
    assert_eq!(elastic[2].body.pointer("/template/settings/index/lifecycle/name").unwrap(), "logs-panicsift.alert");
    let open = parts(&names, Product::OpenSearch, Some(30));
    assert_eq!(open[0].path, "_plugins/_ism/policies/logs-panicsift.alert");
    assert_eq!(open[0].body.pointer("/policy/states/0/transitions/0/conditions/min_rollover_age").unwrap(), "30d");
    assert_eq!(open[0].body.pointer("/policy/ism_template/0/index_patterns/0").unwrap(), "logs-panicsift.alert-*");
    assert!(open[2].body.pointer("/template/settings/index/lifecycle").is_none());
    for product in [Product::Elasticsearch, Product::OpenSearch] {
        let none = parts(&names, product, None);
        assert_eq!(none.len(), 4);
        assert!(!render(&none).contains("lifecycle"), "nothing names a policy that cannot be");
    }
}

#[test]
fn what_is_printed_are_requests_that_a_console_takes() {
    let names = TemplateNames::of("logs-panicsift.alert-default");
    let text = render(&parts(&names, Product::Elasticsearch, Some(365)));
    let requests: Vec<&str> = text.split("PUT ").skip(1).collect();
    assert_eq!(requests.len(), 5);
    for request in requests {
        let (path, body) = request.split_once('\n').unwrap();
        assert!(path.starts_with('_'), "{path}");
        serde_json::from_str::<Value>(body).unwrap();
    }
}
