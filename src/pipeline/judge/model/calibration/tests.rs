use proptest::prelude::*;

use super::*;
use crate::pipeline::judge::HostilityModel;

const HALF: Calibration = Calibration { base_rate: 0.05, slope: 0.5, offset: -1.0 };

#[test]
fn a_confidence_is_a_probability_that_is_never_certain() {
    let check = |calibration: Calibration, points: f64, expected: f64| {
        assert!((calibration.confidence(points) - expected).abs() < 1e-12, "{points}");
    };
    check(Calibration::NONE, 0.0, 0.5);
    check(Calibration::NONE, 3.35, 0.966);
    check(Calibration::NONE, -3.35, 0.034);
    check(HALF, 2.0, 0.5);
    check(HALF, 0.0, 0.269);
    check(HALF, 1e9, 0.999);
    check(HALF, -1e9, 0.001);
}

#[test]
fn a_calibration_with_faults_is_refused_with_every_fault() {
    let check = |calibration: Calibration, expected: &[&str]| {
        let model = HostilityModel::builtin().unwrap().with_calibration(calibration);
        let told = HostilityModel::parse(&model.text("")).unwrap_err().0;
        assert_eq!(told.matches("calibration.").count(), expected.len(), "{told}");
        for expected in expected {
            assert!(told.contains(expected), "`{expected}` is not in {told}");
        }
    };
    check(Calibration { slope: 0.0, ..HALF }, &["calibration.slope: a number above 0, 10 at most, is needed, found 0"]);
    check(Calibration { slope: -1.0, ..HALF }, &["calibration.slope"]);
    check(Calibration { slope: 11.0, offset: -21.0, ..HALF }, &["calibration.slope", "calibration.offset"]);
    check(
        Calibration { base_rate: 1.0, ..HALF },
        &["calibration.base_rate: a share between 0 and 1 is needed, found 1"],
    );
    check(Calibration { base_rate: 0.0, ..HALF }, &["calibration.base_rate"]);
}

#[test]
fn a_model_without_a_calibration_or_with_half_of_one_is_refused_by_what_is_missing() {
    let text = HostilityModel::builtin().unwrap().with_calibration(HALF).text("");
    let told = |from: &str, to: &str| HostilityModel::parse(&text.replacen(from, to, 1)).unwrap_err().0;
    assert!(told("slope = 0.5\n", "").contains("slope"));
    assert!(told("[calibration]", "[cal]").contains("cal"));
    assert!(
        told("[calibration]\nbase_rate = 0.05\nslope = 0.5\noffset = -1.0\n", "")
            .contains("missing field `calibration`")
    );
    assert!(
        told("slope = 0.5", "slope = nan")
            .contains("calibration.slope: a number above 0, 10 at most, is needed, found NaN")
    );
    assert!(told("offset = -1.0", "offset = inf").contains("calibration.offset"));
    assert!(told("base_rate = 0.05", "base_rate = nan").contains("calibration.base_rate"));
    assert_eq!(HostilityModel::parse(&text).unwrap().calibration, HALF);
}

proptest! {
    #[test]
    fn more_points_never_give_a_smaller_probability(
        slope in 0.001_f64..10.0, offset in -20.0_f64..20.0, points in -60.0_f64..60.0, more in 0.0_f64..60.0,
    ) {
        let calibration = Calibration { base_rate: 0.05, slope, offset };
        prop_assert!(calibration.probability(points + more) >= calibration.probability(points));
        prop_assert!(calibration.confidence(points + more) >= calibration.confidence(points));
        prop_assert!((0.0..=1.0).contains(&calibration.probability(points)));
        prop_assert!((0.001..=0.999).contains(&calibration.confidence(points)));
    }
}
