use proptest::prelude::*;

use super::*;

fn held(campaign: &str, hostile: bool, n_events: u32, points: f64) -> Held {
    Held { campaign: campaign.to_owned(), hostile, n_events, points }
}

/// As many senders of campaigns at `points` as the probability there says, `slope` and `offset` given.
fn drawn(slope: f64, offset: f64) -> Vec<Held> {
    let mut all = Vec::new();
    for step in -40_i32..=40 {
        let points = f64::from(step) / 4.0;
        let probability = 1.0 / (1.0 + (-(offset + slope * points)).exp());
        for (hostile, share) in [(true, probability), (false, 1.0 - probability)] {
            let n_events = (share * 10_000.0).round();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 10,000")]
            all.push(held(if hostile { "scan" } else { "bug" }, hostile, n_events as u32, points));
        }
    }
    all
}

#[test]
fn the_line_that_the_senders_were_drawn_from_is_found_at_the_stated_share() {
    // Half of what is drawn is hostile: at one in twenty the log odds are lower by those of that share.
    let map = learn(drawn(0.8, 0.0).iter()).unwrap();
    let lower = (BASE_RATE / (1.0 - BASE_RATE)).ln();
    assert!((map.slope - 0.8).abs() < 0.03 && (map.offset - lower).abs() < 0.03, "{map:?}, and {lower} was drawn");
}

#[test]
fn a_clear_case_is_likely_and_never_certain() {
    let clear: Vec<Held> = (0..20)
        .flat_map(|n| {
            let name = n.to_string();
            [held(&name, true, 50, 5.0 + f64::from(n) / 10.0), held(&name, false, 300, -4.0 - f64::from(n) / 10.0)]
        })
        .collect();
    let map = learn(clear.iter()).unwrap();
    assert!((0.9..0.9999).contains(&map.probability(6.0)), "{map:?}: {}", map.probability(6.0));
    assert!(map.probability(-5.0) < 0.01, "{map:?}: {}", map.probability(-5.0));
}

#[test]
fn who_is_hostile_at_fewer_points_than_who_is_honest_gives_a_map_that_still_rises() {
    let turned = [held("scan", true, 9, -3.0), held("bug", false, 9, 3.0), held("app", false, 9, 2.0)];
    assert!(learn(turned.iter()).unwrap().slope >= SLOPE_MIN);
}

#[test]
fn one_kind_alone_teaches_nothing() {
    assert_eq!(learn([].iter()), None);
    assert_eq!(learn([held("scan", true, 9, 3.0)].iter()), None);
    assert_eq!(learn([held("bug", false, 9, 3.0)].iter()), None);
}

proptest! {
    #[test]
    fn whatever_was_held_out_gives_a_map_that_rises_and_is_finite(
        all in proptest::collection::vec((0_u8..6, any::<bool>(), 1_u32..5_000, -40.0_f64..40.0), 0..60),
    ) {
        let all: Vec<Held> =
            all.into_iter().map(|(name, hostile, n, points)| held(&name.to_string(), hostile, n, points)).collect();
        if let Some(map) = learn(all.iter()) {
            prop_assert!(map.slope >= SLOPE_MIN && map.slope <= SLOPE_MAX, "{:?}", map);
            prop_assert!(map.offset.is_finite() && map.offset.abs() <= OFFSET_MAX, "{:?}", map);
            prop_assert!(map.probability(3.0) <= map.probability(3.5));
            prop_assert_eq!(learn(all.iter()), Some(map));
        }
    }
}
