use std::time::Duration;

use super::gather::{Scene, Situation};
use super::*;
use crate::pipeline::alert::{Category, Finding, Severity};
use crate::pipeline::event::Millis;

fn situation(n: i64, category: Category) -> Situation {
    let finding = |n: i64| Finding {
        name: "amplification".to_owned(),
        value: Some(3.0),
        limit: Some(2.0),
        met: true,
        words: format!(
            "{n}.0 panics a request where 2 are allowed, which is told in many words that do not fit a line"
        ),
    };
    Situation {
        category,
        name: format!("{}-{n:016x}", category.prefix()),
        tenant: String::new(),
        severity: Severity::High,
        title: format!("situation {n} with a title that is so long that it takes a second line on a narrow screen"),
        since: Millis(n * Millis::MINUTE),
        to: None,
        findings: (0..5).map(finding).collect(),
        picture: None,
    }
}

fn scene(n_open: i64) -> Scene {
    let categories = [Category::RetryCascade, Category::Rollback, Category::ErrorBudget];
    let open = (0..n_open).zip(categories.into_iter().cycle()).map(|(n, category)| situation(n, category));
    Scene {
        at: Some(Millis(Millis::HOUR)),
        since: Some(Millis(0)),
        open: open.collect(),
        recent: vec![Situation { to: Some(Millis(Millis::HOUR)), ..situation(99, Category::RetryCascade) }],
        hostile_clusters: 2,
        hour: None,
    }
}

#[test]
fn a_screen_has_no_line_too_long_and_none_too_many() {
    for columns in [40, 80, 200] {
        for n_open in [0, 1, 2, 5, 60] {
            let drawn = screen::draw(&scene(n_open), columns, Some(24));
            assert!(drawn.lines().count() < 24, "{drawn}");
            assert!(drawn.lines().all(|line| line.chars().count() <= usize::from(columns)), "{drawn}");
        }
    }
    assert!(screen::draw(&scene(60), 80, Some(24)).contains("more lines"));
    assert!(!screen::draw(&scene(60), 80, None).contains("more lines"));
}

#[test]
fn every_kind_of_situation_is_counted_and_told_with_its_findings() {
    let drawn = screen::draw(&scene(3), 80, None);
    assert!(drawn.contains("0 storms, 1 retry cascade, 1 rollback, 1 error budget; 2 hostile clusters"), "{drawn}");
    assert!(drawn.contains("3.0 panics a request") || drawn.contains("0.0 panics a request"), "{drawn}");
    let calm = screen::draw(&scene(0), 80, None);
    assert!(calm.contains("Nothing is going on: no storm,"), "{calm}");
    let nothing = Scene { at: None, ..scene(0) };
    assert!(screen::draw(&nothing, 80, None).contains("nothing can be said"));
}

#[test]
fn machines_get_the_same_keys_whatever_goes_on() {
    let keys = |scene: &Scene| scene.object().as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&scene(0)), keys(&scene(3)));
    assert_eq!(scene(1).object()["open"][0]["findings"].as_array().unwrap().len(), 5);
}

#[test]
fn a_store_that_cannot_be_read_costs_a_line_and_no_more() {
    let look = Look { since: None, every: Some(Duration::from_secs(1)), form: Form::People };
    let mut out = Vec::new();
    look_again(Path::new("/nowhere/panicsift.db"), &look, true, &mut out).unwrap();
    let told = String::from_utf8(out).unwrap().replace('\n', " ");
    assert!(told.starts_with(CLEAR) && told.contains("looking again") && told.contains("there is no store"), "{told}");
    let mut out = Vec::new();
    look_again(Path::new("/nowhere/x.db"), &Look { form: Form::Machines, ..look }, false, &mut out).unwrap();
    let told: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(told["schema"], gather::SCHEMA);
}
