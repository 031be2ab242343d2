use proptest::prelude::*;

use super::*;
use crate::pipeline::cell::testing::{event, id, key};
use crate::pipeline::operations::chains::Link;
use crate::pipeline::operations::gate::Gate;
use crate::pipeline::operations::tally::Circumstances;

/// Adds `originals` requests with `retries` retries, evenly over five minutes from `minute` on.
fn add(ledger: &mut Ledger, minute: i64, originals: u64, retries: u64) {
    for n in 0..originals + retries {
        let mut o = event(n, key(1, 1, 1, 1));
        o.time = Millis(minute * Millis::MINUTE + i64::try_from(n * 300_000 / (originals + retries)).unwrap());
        let link = Link { continues: n >= originals, changed_before: false, gate_before: None };
        ledger.observe(&o, Circumstances { hostile: false, gate: Gate::Safe, link, poisoned: None });
    }
}

/// Two hours of `usual` originals and retries a page, then a quarter of an hour of `now`; the cascade, if it is one.
fn check(usual: (u64, u64), now: (u64, u64), is_open: bool) -> Option<Cascade> {
    let mut ledger = Ledger::default();
    (0..24).for_each(|page| add(&mut ledger, page * 5, usual.0, usual.1));
    (24..27).for_each(|page| add(&mut ledger, page * 5, now.0, now.1));
    ledger.settle();
    let found = cascades(&ledger, &CascadeLimits::default(), Millis(135 * Millis::MINUTE), |_| is_open);
    found.into_iter().find(|cascade| cascade.holds)
}

#[test]
fn retries_that_multiply_are_a_cascade() {
    let cascade = check((10, 2), (30, 90), false).unwrap();
    assert_eq!((cascade.retries.events, cascade.retries.originals, cascade.busiest), (360, 90, 6));
    assert!((cascade.amplification.estimate - 4.0).abs() < 1e-12, "{:?}", cascade.amplification);
    assert_eq!(cascade.place, (id(1), RouteKey::Named(id(1))));
}

#[test]
fn a_client_that_always_retries_is_none() {
    assert_eq!(check((10, 30), (12, 36), false), None);
}

#[test]
fn a_trickle_is_none_however_steep() {
    assert_eq!(check((1, 0), (1, 16), false), None);
}

#[test]
fn many_originals_with_few_retries_are_none() {
    assert_eq!(check((10, 1), (300, 60), false), None);
}

#[test]
fn an_open_cascade_stays_until_it_has_calmed() {
    assert!(check((10, 30), (12, 36), true).is_some());
    assert!(check((10, 30), (12, 3), true).is_none());
}

#[test]
fn what_grew_over_twenty_minutes_is_held_against_the_time_before_that() {
    let mut ledger = Ledger::default();
    (0..24).for_each(|page| add(&mut ledger, page * 5, 10, 1));
    (24..28).for_each(|page| add(&mut ledger, page * 5, 20, 15 * u64::try_from(page - 23).unwrap()));
    ledger.settle();
    let found = cascades(&ledger, &CascadeLimits::default(), Millis(140 * Millis::MINUTE), |_| false);
    assert!(found.iter().any(|cascade| cascade.holds && cascade.busiest == 3), "{found:?}");
}

#[test]
fn without_an_hour_before_it_nothing_is_called_a_cascade() {
    let mut ledger = Ledger::default();
    (0..3).for_each(|page| add(&mut ledger, page * 5, 30, 90));
    ledger.settle();
    let found = cascades(&ledger, &CascadeLimits::default(), Millis(15 * Millis::MINUTE), |_| false);
    assert_eq!(found.iter().map(|cascade| (cascade.holds, cascade.growth)).collect::<Vec<_>>(), [(false, None)]);
}

#[test]
fn retries_without_originals_have_a_lower_bound_and_no_more() {
    let retries = Retries { events: 10, originals: 0, ..Retries::default() };
    let found = retries.amplification().unwrap();
    // Wilson's upper end of 0 of 10 is 0.2775.
    assert!((found.low - 1.0 / 0.277_53).abs() < 1e-3 && found.estimate.is_infinite() && found.high.is_infinite());
    assert_eq!(Retries::default().amplification(), None);
}

#[test]
fn nothing_is_found_in_nothing() {
    let limits = CascadeLimits::default();
    assert_eq!(cascades(&Ledger::default(), &limits, Millis(0), |_| true), []);
    assert_eq!(cascades(&Ledger::default(), &limits, Millis(i64::MAX), |_| true), []);
    assert_eq!(cascades(&Ledger::default(), &limits, Millis(i64::MIN), |_| true), []);
}

proptest! {
    #[test]
    fn the_amplification_is_at_least_one_and_inside_its_interval(originals in 0..500_u64, retries in 0..500_u64) {
        let found = Retries { events: originals + retries, originals, ..Retries::default() }.amplification();
        prop_assert_eq!(found.is_none(), originals + retries == 0);
        if let Some(Interval { low, estimate, high }) = found {
            prop_assert!(low >= 1.0 - 1e-12 && low <= estimate && estimate <= high);
        }
    }
}
