//! Lists of templates as both servers give them, and who wins.

use super::*;

fn names() -> TemplateNames {
    TemplateNames::of("logs-panicsift.alert-default")
}

fn look(status: u16, body: &str) -> Result<Found, Reading> {
    read_templates(&Reply { status, body: body.as_bytes().to_vec(), ..Reply::default() }, &names())
}

/// A template of a list: name, pattern, priority, and the rest as JSON.
fn one(name: &str, pattern: &str, priority: i64, rest: &str) -> String {
    format!(
        r#"{{"name":"{name}","index_template":{{"index_patterns":["{pattern}"],"priority":{priority}{}{rest}}}}}"#,
        if rest.is_empty() { "" } else { "," }
    )
}

const OURS: &str = r#""version":3,"composed_of":["logs-panicsift.alert@mappings"],"_meta":{"managed_by":"panicsift"},
    "data_stream":{"timestamp_field":{"name":"@timestamp"}}"#;
const STREAM: &str = r#""data_stream":{"hidden":false,"allow_custom_routing":false}"#;

#[track_caller]
fn check(templates: &[String], expected: &str) {
    let found = look(200, &format!(r#"{{"index_templates":[{}]}}"#, templates.join(","))).unwrap();
    let told = match &found {
        Found::Ready => "ready".to_owned(),
        Found::Older(version) => format!("older {version}"),
        Found::Missing(why) => format!("missing: {why}"),
        Found::InTheWay(why) => format!("in the way: {why}"),
    };
    assert!(told.starts_with(expected), "{told}");
}

#[test]
fn the_matching_template_with_the_highest_priority_decides() {
    let ours = one("logs-panicsift.alert", "logs-panicsift.alert-*", 250, OURS);
    let logs = one("logs", "logs-*-*", 100, STREAM);
    let other = one("metrics", "metrics-*-*", 900, STREAM);
    check(&[ours.clone(), logs.clone(), other.clone()], "ready");
    check(&[], "missing: no index template matches logs-panicsift.alert-default");
    check(std::slice::from_ref(&other), "missing: no index template matches");
    check(std::slice::from_ref(&logs), "missing: the index template of panicsift is missing; logs (priority 100)");
    check(&[one("all", "*", 900, STREAM), ours.clone()], "in the way: index template all (priority 900) takes");
    check(&[one("all", "*", 900, ""), ours], "in the way: index template all (priority 900) takes");
}

#[test]
fn a_template_of_the_operator_s_that_is_composed_of_our_mappings_will_do() {
    let theirs = format!(r#""composed_of":["x","logs-panicsift.alert@mappings"],{STREAM}"#);
    check(&[one("soc", "logs-panicsift.alert-default", 500, &theirs)], "ready");
    let plain = r#""composed_of":["logs-panicsift.alert@mappings"]"#;
    check(
        &[one("soc", "logs-panicsift.alert-default", 500, plain)],
        "in the way: index template soc (priority 500) wins",
    );
}

#[test]
fn an_earlier_version_is_told_and_a_later_one_will_do() {
    let of_version = |n: u64| OURS.replace("\"version\":3", &format!("\"version\":{n}"));
    check(&[one("logs-panicsift.alert", "logs-panicsift.alert-*", 250, &of_version(1))], "older 1");
    check(&[one("logs-panicsift.alert", "logs-panicsift.alert-*", 250, &of_version(99))], "ready");
}

#[test]
fn a_list_cut_to_nothing_is_an_empty_list_and_other_answers_are_none() {
    assert!(matches!(look(200, "{}"), Ok(Found::Missing(_))));
    assert!(matches!(look(200, "<html>log in</html>"), Err(Reading::Hold { .. })));
    assert!(matches!(look(200, ""), Err(Reading::Hold { .. })));
    assert!(matches!(look(200, r#"{"index_templates":[{"name":1}]}"#), Err(Reading::Hold { .. })));
    for status in [301, 400, 401, 403, 404, 405, 410] {
        assert!(matches!(look(status, ""), Err(Reading::Hold { .. })), "{status}");
    }
    for status in [408, 500, 502, 503] {
        assert!(matches!(look(status, ""), Err(Reading::Retry { slow_down: false, .. })), "{status}");
    }
    assert!(matches!(look(429, ""), Err(Reading::Retry { slow_down: true, .. })));
    let Err(Reading::Hold { why }) = look(403, r#"{"error":{"type":"security_exception"}}"#) else { panic!() };
    assert!(why.contains("indices:admin/index_template/get"), "{why}");
    assert!(why.contains("template_check = \"off\""), "{why}");
    assert!(why.contains("security_exception"), "{why}");
}

#[track_caller]
fn check_match(pattern: &str, name: &str, expected: bool) {
    assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
}

#[test]
fn patterns_match_as_both_servers_match_them() {
    check_match("logs-x-*", "logs-x-default", true);
    check_match("logs-x-*", "logs-x", false);
    check_match("logs-x-*", "logs-x-", true);
    check_match("*", "", true);
    check_match("", "", true);
    check_match("", "x", false);
    check_match("a", "a", true);
    check_match("a", "ab", false);
    check_match("*b*", "abc", true);
    check_match("a**c", "abc", true);
    check_match("a*b*c", "aXbYc", true);
    check_match("a*b*c", "aXcYb", false);
    check_match("*-*-*", "logs-x", false);
    check_match("a*a", "a", false);
    check_match("logs-?-x", "logs-a-x", false);
}

#[test]
fn what_bears_the_name_today_is_read_where_it_is_told() {
    let read = |status: u16, body: &str| {
        read_namesake(&Reply { status, body: body.as_bytes().to_vec(), ..Reply::default() }, &names())
    };
    let index = r#"{"indices":[{"name":"logs-panicsift.alert-default","attributes":["open"]}],"data_streams":[]}"#;
    let stream = r#"{"indices":[],"data_streams":[{"name":"logs-panicsift.alert-default","backing_indices":["x"]}]}"#;
    assert_eq!(read(200, index), Namesake::Index);
    assert_eq!(read(200, stream), Namesake::Stream);
    assert_eq!(read(200, r#"{"indices":[],"aliases":[],"data_streams":[]}"#), Namesake::Unknown);
    assert_eq!(read(200, r#"{"indices":[{"name":"another"}]}"#), Namesake::Unknown);
    assert_eq!(read(403, index), Namesake::Unknown);
    assert_eq!(read(404, ""), Namesake::Unknown);
    assert_eq!(read(200, "nonsense"), Namesake::Unknown);
}

proptest::proptest! {
    #[test]
    fn a_pattern_made_from_a_name_matches_it(name in "[a-z.-]{0,20}", cuts in proptest::collection::vec(0_usize..20, 0..4)) {
        let mut pattern = name.clone();
        for cut in cuts {
            let at = cut.min(pattern.len());
            pattern.insert(at, '*');
        }
        proptest::prop_assert!(matches(&pattern, &name));
        let longer = format!("{name}x");
        proptest::prop_assert!(!matches(&name, &longer));
    }
}
