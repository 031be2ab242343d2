use super::*;

fn facts() -> Facts {
    Facts {
        events: 300,
        originals: 290,
        class: Some(("option_none".to_owned(), 280)),
        customer_share: 0.05,
        customers: 120,
        routes: 1,
        ..Facts::default()
    }
}

fn release(age_millis: Option<i64>) -> TopRelease {
    TopRelease { name: "2.0".to_owned(), events: 294, age_millis, elsewhere: (0, 0) }
}

#[track_caller]
fn check(facts: &Facts, expected: Cause) {
    assert_eq!(facts.cause(), expected, "{:#?}", facts.rank());
    assert!(facts.rank().iter().all(|one| (0.0..=1.0).contains(&one.score)));
}

#[test]
fn without_evidence_nothing_is_guessed() {
    check(&facts(), Cause::Unknown);
    check(&Facts::default(), Cause::Unknown);
    assert_eq!(facts().rank().len(), Cause::NAMED.len());
}

#[test]
fn a_release_is_blamed_while_it_is_new_and_another_one_was_there_before() {
    let aged = |age| Facts { release: Some(release(age)), ..facts() };
    check(&aged(Some(0)), Cause::Release);
    check(&aged(Some(-5 * Millis::MINUTE)), Cause::Release);
    check(&aged(Some(Millis::HOUR)), Cause::Release);
    check(&aged(Some(5 * Millis::HOUR)), Cause::Release);
    check(&aged(Some(7 * Millis::HOUR)), Cause::Unknown);
    check(&aged(None), Cause::Unknown);
}

#[test]
fn one_route_depends_on_nothing_that_others_share() {
    check(&Facts { routes: 2, ..facts() }, Cause::Dependency);
    check(&Facts { environment: 300, ..facts() }, Cause::Dependency);
    check(&Facts { environment: 300, routes: 3, customer_share: 0.9, ..facts() }, Cause::OneCustomer);
    check(&Facts { secondary: 290, routes: 5, release: Some(release(Some(0))), ..facts() }, Cause::Release);
}

#[test]
fn amplification_of_two_is_a_cascade() {
    check(&Facts { originals: 150, ..facts() }, Cause::RetryCascade);
    check(&Facts { originals: 151, ..facts() }, Cause::Unknown);
    check(&Facts { originals: 0, ..facts() }, Cause::Unknown);
}

#[test]
fn causes_that_are_not_named_follow_by_their_score() {
    let ranked = Facts { hostile: 30, customer_share: 0.4, ..facts() }.rank();
    assert_eq!(ranked.first().map(|one| one.cause), Some(Cause::OneCustomer));
    assert_eq!(ranked.get(1).map(|one| one.cause), Some(Cause::Hostile));
}

#[test]
fn shares_are_told_without_rounding_all_and_nothing_up() {
    let check = |share: f64, expected: &str| assert_eq!(percent(share), expected);
    check(0.0, "0 %");
    check(0.001, "under 1 %");
    check(0.984, "98 %");
    check(0.999, "over 99 %");
    check(1.0, "100 %");
}

#[test]
fn every_action_names_a_command_that_exists() {
    for cause in Cause::NAMED.into_iter().chain([Cause::Unknown]) {
        assert!(cause.action().contains("panicsift report "), "{}", cause.name());
    }
}
