use super::*;

fn counted(all: &[(f64, bool, usize)]) -> Reliability {
    let mut reliability = Reliability::default();
    for (told, hostile, n) in all {
        (0..*n).for_each(|_| reliability.add(*told, *hostile));
    }
    reliability
}

#[test]
fn what_is_told_is_compared_with_what_is_true() {
    let sure = 0.98;
    let reliability = counted(&[(sure, true, 5), (sure, false, 2), (0.02, true, 2), (0.02, false, 3)]);
    let Errors { brier, ece } = reliability.errors();
    let (near, far) = ((1.0 - sure) * (1.0 - sure), sure * sure);
    assert!((brier - (8.0 * near + 4.0 * far) / 12.0).abs() < 1e-12, "{brier}");
    assert!((ece - ((7.0 * sure - 5.0).abs() + (5.0 * 0.02_f64 - 2.0).abs()) / 12.0).abs() < 1e-12, "{ece}");
    assert_eq!(reliability.to_string(), "Brier 0.320, ECE 0.313: 0.02 told 0.40 true (5), 0.98 told 0.71 true (7)");
}

#[test]
fn probabilities_that_are_true_have_no_calibration_error_at_the_share_where_they_are() {
    // Of 100 of which 0.25 is told, 25 are hostile.
    let honest = counted(&[(0.25, true, 25), (0.25, false, 75)]);
    assert!(honest.errors().ece < 1e-12);
    assert!(honest.errors_at(0.25).unwrap().ece < 1e-12);
    let rarer = honest.errors_at(0.05).unwrap().ece;
    assert!((rarer - 0.20).abs() < 1e-12, "at one in twenty, 0.25 is told of what is 0.05: {rarer}");
}

#[test]
fn the_ends_of_the_scale_are_in_the_first_and_the_last_bin() {
    let ends = counted(&[(0.0, false, 1), (1.0, true, 1)]);
    assert_eq!(ends.to_string(), "Brier 0.000, ECE 0.000: 0.00 told 0.00 true (1), 1.00 told 1.00 true (1)");
}

#[test]
fn nothing_at_all_and_one_kind_alone_have_no_panic() {
    assert_eq!(Reliability::default().errors(), Errors::default());
    assert_eq!(Reliability::default().errors_at(0.05), None);
    assert_eq!(counted(&[(0.5, false, 3)]).errors_at(0.05), None);
    assert!((counted(&[(0.5, false, 3)]).errors().brier - 0.25).abs() < 1e-12);
}
