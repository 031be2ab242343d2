use proptest::prelude::*;

use super::*;
use crate::pipeline::judge::evidence::FACTS_LEN;

fn builtin() -> HostilityModel {
    HostilityModel::builtin().unwrap()
}

fn reread(model: &HostilityModel) -> HostilityModel {
    HostilityModel::parse(&model.text("A header\n\nof three lines.")).unwrap()
}

#[test]
fn the_text_of_a_model_is_read_as_that_model() {
    assert_eq!(reread(&builtin()), builtin());
    assert_eq!(builtin().at(-250, 300, 400), builtin().at(-250, -250, 400), "nobody is cleared who is a suspect");
}

#[test]
fn the_header_of_a_text_is_comments_alone() {
    let text = builtin().text("version = 1\n\n[caps]");
    assert!(text.starts_with("# version = 1\n#\n# [caps]\n"), "{text}");
}

#[test]
fn a_fact_that_taught_nothing_stays_and_says_nothing() {
    let fitted = Fitted { bias: 0.5, bins: vec![Vec::new(); FACTS_LEN] };
    let model = builtin().refit(&fitted, "new");
    assert_eq!((model.version.as_str(), model.bias), ("new", 50));
    assert!(model.bins.iter().all(|bins| bins.steps == [(NEVER, 0)]));
    assert_eq!(reread(&model), model);
}

#[test]
fn a_model_from_the_future_is_refused_by_what_is_new_in_it() {
    let text = builtin().text("");
    let refused = |text: &str| HostilityModel::parse(text).unwrap_err().0;
    assert!(refused(&text.replace("bias =", "horizon = 3\nbias =")).contains("horizon"));
    assert!(refused(&text.replace("\"marks\"", "\"telepathy\"")).contains("evidence telepathy: no such fact"));
    assert!(refused(&text.replace("lexical = 5.0\n", "")).contains("its group has no cap"));
    assert!(refused(&text.replace("company = 0.3", "company = nan")).contains("company"));
}

proptest! {
    #[test]
    fn whatever_was_learned_is_read_as_it_was_written(
        bias in -8.0_f64..8.0,
        learned in proptest::collection::vec(
            proptest::collection::btree_map(-1_999_i32..1_999, -5.0_f64..5.0, 0..7), FACTS_LEN),
        suspect_at in -2_000_i32..2_000,
    ) {
        let bins = learned.into_iter().map(|steps| {
            steps.into_iter().map(|(cut, points)| (f64::from(cut) / 100.0, points)).collect()
        });
        let model = builtin().refit(&Fitted { bias, bins: bins.collect() }, "learned");
        let suspect_at = suspect_at.max(-1_900);
        let point = |false_alerts_a_day, suspect_at| OperatingPoint {
            false_alerts_a_day, suspect_at, clear_at: suspect_at - 100, hostile_at: suspect_at,
        };
        let model = model.with_operating_points(vec![point(0.5, suspect_at), point(7.25, suspect_at.min(0))]);
        prop_assert_eq!(reread(&model), model);
    }
}
