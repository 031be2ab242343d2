use proptest::prelude::*;

use crate::pipeline::judge::{HostilityModel, OperatingPoint};

/// A table row of one threshold for all, in hundredths.
fn point(false_alerts_a_day: f64, at: i32) -> OperatingPoint {
    OperatingPoint { false_alerts_a_day, suspect_at: at, clear_at: at - 385, hostile_at: at }
}

fn with(table: Vec<OperatingPoint>) -> HostilityModel {
    HostilityModel::builtin().unwrap().with_operating_points(table)
}

fn reread(model: &HostilityModel) -> Result<HostilityModel, String> {
    HostilityModel::parse(&model.text("")).map_err(|error| error.0)
}

#[test]
fn the_point_with_the_greatest_budget_that_is_not_above_the_asked_one_is_in_force() {
    let model = with(vec![point(1.0, 300), point(3.0, 250), point(10.0, 40)]);
    let check = |budget: f64, expected: i32| {
        let model = model.for_budget(budget).unwrap();
        assert_eq!(
            (model.suspect_at, model.clear_at, model.hostile_at),
            (expected, expected - 385, expected),
            "{budget}"
        );
    };
    check(1.0, 300);
    check(2.99, 300);
    check(3.0, 250);
    check(9.0, 250);
    check(10_000.0, 40);
    assert_eq!((model.suspect_at, reread(&model).unwrap().suspect_at), (300, 300), "the smallest until one is asked");
}

#[test]
fn a_budget_below_all_points_is_refused_with_what_to_do() {
    let told = with(vec![point(3.0, 250)]).for_budget(1.0).unwrap_err().0;
    assert!(told.contains("no operating point for 1 false alerts a day or fewer, the least is for 3"), "{told}");
    assert!(told.contains("raise models.false_alerts_a_day"), "{told}");
    assert!(with(vec![point(3.0, 250)]).for_budget(f64::NAN).is_err());
}

#[test]
fn a_table_with_faults_is_refused_with_every_fault() {
    let check = |table: Vec<OperatingPoint>, expected: &[&str]| {
        let told = reread(&with(table)).unwrap_err();
        for expected in expected {
            assert!(told.contains(expected), "`{expected}` is not in {told}");
        }
    };
    check(Vec::new(), &["operating_point: 1 to 16 tables [[operating_point]] with false_alerts_a_day", "found 0"]);
    check((1_i16..18).map(|n| point(f64::from(n), 0)).collect(), &["found 17"]);
    check(vec![point(1.0, 100), point(1.0, 100)], &["for 1 a day: it must be above the one before, 1"]);
    check(
        vec![point(3.0, 100), point(1.0, 101)],
        &["for 1 a day: it must be above the one before, 3", "hostile_at must not be above that of a smaller budget"],
    );
    check(vec![point(0.0, 100), point(1.0, 100)], &["false_alerts_a_day: a number above 0 is needed, found 0"]);
    check(vec![point(-1.5, 100)], &["a number above 0 is needed, found -1.5"]);
    check(
        vec![OperatingPoint { suspect_at: 2_001, ..point(1.0, 100) }],
        &["operating_point for 1 a day: suspect_at: a number between -20 and 20 is needed, found 20.01"],
    );
    check(vec![OperatingPoint { clear_at: 101, ..point(1.0, 100) }], &["clear_at must not be above suspect_at"]);
}

#[test]
fn a_table_that_lacks_a_key_or_has_one_more_is_refused_by_its_name() {
    let text = HostilityModel::builtin().unwrap().text("");
    let told = |from: &str, to: &str| HostilityModel::parse(&text.replacen(from, to, 1)).unwrap_err().0;
    assert!(told("\nclear_at = ", "\n# clear_at = ").contains("clear_at"));
    assert!(told("\nclear_at = ", "\nhorizon = 1\nclear_at = ").contains("horizon"));
    assert!(told("false_alerts_a_day = 1.0", "false_alerts_a_day = nan").contains("above 0 is needed, found NaN"));
}

proptest! {
    #[test]
    fn a_smaller_budget_never_has_a_lower_threshold(
        rows in proptest::collection::vec((1_u32..10_000, -1_000_i32..1_500), 1..6),
        asked in proptest::collection::vec(0.0_f64..110.0, 2),
    ) {
        let table = rows.iter().map(|(budget, at)| point(f64::from(*budget) / 100.0, *at)).collect();
        // Whatever is read without a fault keeps the law.
        let Ok(model) = reread(&with(table)) else { return Ok(()) };
        let mut asked = asked;
        asked.sort_by(f64::total_cmp);
        if let [Ok(less), Ok(more)] = [asked[0], asked[1]].map(|budget| model.for_budget(budget)) {
            prop_assert!(less.suspect_at >= more.suspect_at && less.hostile_at >= more.hostile_at);
            prop_assert!(less.clear_at >= more.clear_at);
        }
    }
}
