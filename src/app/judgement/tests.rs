use super::*;
use crate::pipeline::judge::OperatingPoint;

/// A context with a model file of these words, for a SOC that bears so many false alerts a day; its faults as told.
fn judged(model: &str, false_alerts_a_day: f64, alerts: &AlertSettings) -> Result<Context, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hostility.toml");
    std::fs::write(&path, model).unwrap();
    let models = ModelSettings { hostility: Some(path), false_alerts_a_day, ..ModelSettings::default() };
    let keys = Keys::derive(b"a secret of the tests");
    context(keys, Tables::open(None, None).0, &models, &Rhythm::default(), alerts).map_err(|error| format!("{error:#}"))
}

fn model(table: &[(f64, i32)]) -> String {
    let point = |(false_alerts_a_day, at): &(f64, i32)| OperatingPoint {
        false_alerts_a_day: *false_alerts_a_day,
        suspect_at: *at,
        clear_at: *at - 100,
        hostile_at: *at,
    };
    HostilityModel::builtin().unwrap().with_operating_points(table.iter().map(point).collect()).text("")
}

#[test]
fn the_budget_of_the_configuration_takes_its_operating_point() {
    let model = model(&[(1.0, 300), (3.0, 200)]);
    let check = |budget: f64, threshold: Option<f64>, expected: [i32; 2]| {
        let alerts = AlertSettings { threshold, ..AlertSettings::default() };
        let hostility = judged(&model, budget, &alerts).unwrap().hostility;
        assert_eq!([hostility.suspect_at, hostility.hostile_at], expected, "{budget}, {threshold:?}");
    };
    check(1.0, None, [300, 300]);
    check(5.0, None, [200, 200]);
    check(5.0, Some(4.5), [200, 450]);
}

#[test]
fn a_model_without_the_asked_operating_point_is_refused_with_the_key_to_change() {
    let check = |model: &str, budget: f64, expected: &[&str]| {
        let told = judged(model, budget, &AlertSettings::default()).err().unwrap();
        for expected in ["the hostility model (models.hostility)"].iter().chain(expected) {
            assert!(told.contains(expected), "`{expected}` is not in {told}");
        }
    };
    check(&model(&[(3.0, 200)]), 1.0, &["no operating point for 1 false alerts a day", "models.false_alerts_a_day"]);
    check(&model(&[]), 1.0, &["1 to 16 tables [[operating_point]]"]);
    check(&model(&[(1.0, 200), (3.0, 300)]), 1.0, &["suspect_at must not be above that of a smaller budget"]);
}

#[test]
fn the_built_in_model_has_operating_points_for_one_three_and_ten_false_alerts_a_day() {
    let builtin = HostilityModel::builtin().unwrap();
    for budget in [1.0, 3.0, 10.0] {
        assert!(builtin.for_budget(budget).is_ok(), "{budget}");
    }
    assert_eq!(builtin.for_budget(1.0).unwrap(), builtin, "until a budget is asked, the smallest holds");
    assert!(builtin.for_budget(0.5).is_err());
}
