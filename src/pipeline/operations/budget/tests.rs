use std::collections::BTreeSet;

use proptest::prelude::*;

use super::alarm::pair_states;
use super::slo::{AlarmRule, MILLION};
use super::*;
use crate::pipeline::alert::Severity;
use crate::pipeline::cell::testing::{event, id, key};
use crate::pipeline::event::RecoveryOutcome;
use crate::pipeline::observation::Observation;
use crate::pipeline::operations::chains::Link;
use crate::pipeline::operations::gate::Gate;
use crate::pipeline::operations::ledger::Demand;
use crate::pipeline::operations::tally::Circumstances;
use crate::pipeline::sample::mix;
use crate::pipeline::surfaces::ReleaseKey;

const CALM: Circumstances = Circumstances {
    hostile: false,
    gate: Gate::Safe,
    link: Link { continues: false, changed_before: false, gate_before: None },
    poisoned: None,
};

fn slo(objective: f64, window_days: u32) -> Slo {
    Slo {
        name: "checkout".to_owned(),
        tenant: String::new(),
        service: "shop".to_owned(),
        routes: Vec::new(),
        budget_ppm: Slo::budget_of(objective).unwrap(),
        window_days,
        counts: [Burn::Real].into(),
        alarm: Some(AlarmRule { limits: [None; 3], events_min: AlarmRule::EVENTS_MIN }),
    }
}

/// A panic of service 1 on a route.
fn panic_at(n: u64, route: u64, minute: i64, effect: Burn) -> (Observation<'static>, Circumstances) {
    let mut o = event(n, key(1, 1, route, 1));
    o.time = Millis(minute * Millis::MINUTE);
    o.has_template = true;
    o.expected = (effect == Burn::Announced).then(|| "test".into());
    (o.recovery, o.status) = match effect {
        Burn::Real | Burn::Hostile | Burn::Announced => (RecoveryOutcome::Escaped, Some(500)),
        Burn::Transient => (RecoveryOutcome::Recovered, Some(400)),
        Burn::Unknown => (RecoveryOutcome::Unknown, None),
    };
    (o, Circumstances { hostile: effect == Burn::Hostile, ..CALM })
}

fn count(ledger: &mut Ledger, n: u64, minute: i64, effect: Burn) {
    for one in 0..n {
        let (o, circumstances) = panic_at(one, 1, minute, effect);
        ledger.observe(&o, circumstances);
    }
}

/// Requests of service 1 in the five minutes from `minute` on.
fn ask(ledger: &mut Ledger, minute: i64, requests: u64) {
    let demand = Demand { service: Some(id(1)), route: id(1), release: ReleaseKey::Untold };
    ledger.count_requests(Millis(minute * Millis::MINUTE), demand, requests).unwrap();
}

fn scope(ledger: &Ledger, routes: &[u64]) -> Scope {
    Scope::new(&Owners::of(ledger), id(1), routes.iter().map(|n| id(*n)).collect())
}

fn figures(slo: &Slo, ledger: &mut Ledger, minute: i64) -> Figures {
    ledger.settle();
    let scope = scope(ledger, &[]);
    Figures::of(slo, &scope, ledger, Millis(minute * Millis::MINUTE))
}

fn window<'f>(figures: &'f Figures, name: &str) -> &'f Window {
    figures.windows.iter().find(|window| window.name == name).unwrap()
}

#[test]
fn a_burn_rate_is_the_failed_share_over_the_share_that_may_fail() {
    let check = |objective: f64, bad: u64, requests: u64, expected: Option<f64>| {
        assert_eq!(slo(objective, 30).burn(bad, requests), expected, "{bad} of {requests}");
    };
    check(0.999, 1, 1_000, Some(1.0));
    check(0.99, 144, 1_000, Some(14.4));
    check(0.9, 1, 10, Some(1.0));
    check(0.999_999, 3, 1_000_000, Some(3.0));
    check(0.99, 0, 10, Some(0.0));
    check(0.99, 10, 0, None);
    check(0.99, u64::MAX, u64::MAX, None);
}

#[test]
fn an_objective_leaves_a_budget_that_is_whole_parts_of_a_million() {
    let check = |objective: f64, expected: Option<u32>| assert_eq!(Slo::budget_of(objective), expected, "{objective}");
    check(0.999, Some(1_000));
    check(0.9995, Some(500));
    check(0.999_999, Some(1));
    check(0.000_001, Some(MILLION - 1));
    for wrong in [0.0, 1.0, -0.5, 1.5, f64::NAN, f64::INFINITY, 0.999_999_9, 1e-9] {
        check(wrong, None);
    }
}

#[test]
fn limits_follow_from_the_share_of_the_budget_and_the_window() {
    let check = |days: u32, expected: &[f64]| {
        let limits: Vec<f64> = slo(0.999, days).pairs().map(|pair| pair.limit).collect();
        assert_eq!(limits, expected, "{days} days");
    };
    // Table 5-8 of the workbook.
    check(30, &[14.4, 6.0, 1.0]);
    check(28, &[13.44, 5.6, 1.0]);
    check(7, &[3.36, 1.4, 1.0]);
    check(3, &[1.44, 1.0, 1.0]);
    check(1, &[1.0, 1.0]);
    let mut own = slo(0.999, 30);
    own.alarm = Some(AlarmRule { limits: [Some(20.0), None, Some(2.0)], events_min: 1 });
    assert_eq!(own.pairs().map(|pair| pair.limit).collect::<Vec<_>>(), [20.0, 6.0, 2.0]);
}

#[test]
fn without_requests_there_are_counts_and_no_rates() {
    let mut ledger = Ledger::default();
    count(&mut ledger, 4, 3, Burn::Real);
    count(&mut ledger, 2, 3, Burn::Hostile);
    let slo = slo(0.99, 30);
    let found = figures(&slo, &mut ledger, 5);
    let five = window(&found, "5m");
    assert_eq!((five.events.counted(&slo), five.events.total(), five.requests), (4, 6, 0));
    assert_eq!((five.burn_counted(&slo), five.burn(&slo, Burn::Hostile), found.budget), (None, None, None));
}

#[test]
fn panics_without_requests_beside_them_are_in_the_split_and_in_no_rate() {
    let mut ledger = Ledger::default();
    count(&mut ledger, 50, 1, Burn::Real);
    count(&mut ledger, 3, 6, Burn::Real);
    ask(&mut ledger, 5, 100);
    let slo = slo(0.99, 30);
    let found = figures(&slo, &mut ledger, 10);
    let half_hour = window(&found, "30m");
    assert_eq!(half_hour.events.total(), 53);
    assert_eq!(half_hour.burn_counted(&slo), Some(3.0));
    assert_eq!((half_hour.covered_millis, half_hour.known_millis), (5 * Millis::MINUTE, 10 * Millis::MINUTE));
}

#[test]
fn fewer_requests_than_panics_give_no_rate() {
    let mut ledger = Ledger::default();
    count(&mut ledger, 12, 1, Burn::Transient);
    ask(&mut ledger, 0, 11);
    let slo = slo(0.99, 30);
    let found = figures(&slo, &mut ledger, 5);
    assert_eq!((window(&found, "5m").burn_counted(&slo), found.budget), (None, None));
}

#[test]
fn a_budget_says_what_is_known_and_what_that_is_of_the_whole_window() {
    let mut ledger = Ledger::default();
    for page in 0..12 {
        ask(&mut ledger, page * 5, 100);
    }
    count(&mut ledger, 6, 58, Burn::Real);
    count(&mut ledger, 90, 58, Burn::Hostile);
    let slo = slo(0.99, 1);
    let found = figures(&slo, &mut ledger, 60);
    assert_eq!(window(&found, "5m").burn(&slo, Burn::Hostile), Some(90.0));
    let budget = found.budget.unwrap();
    // 12 of 1,200 may fail and 6 did; an hour is a 24th of the day; 23.5/24 are left, which last 47 hours at half the pace.
    assert!((budget.allowed - 12.0).abs() < 1e-9 && (budget.used - 0.5).abs() < 1e-12, "{budget:?}");
    assert!((budget.remaining - (1.0 - 0.5 / 24.0)).abs() < 1e-12, "{budget:?}");
    assert_eq!(budget.exhausted_in_millis, None);
    count(&mut ledger, 60, 59, Burn::Real);
    let budget = figures(&slo, &mut ledger, 60).budget.unwrap();
    // 5.5 times too fast: 1 − 5.5/24 of a day, over 5.5.
    assert_eq!(budget.exhausted_in_millis, Some(12_109_090), "{budget:?}");
    count(&mut ledger, 400, 59, Burn::Real);
    let spent = figures(&slo, &mut ledger, 60).budget.unwrap();
    assert!(spent.remaining < 0.0 && spent.exhausted_in_millis == Some(0), "{spent:?}");
}

#[test]
fn named_routes_are_told_from_the_others_and_what_lost_its_route_is_said() {
    let mut ledger = Ledger::default();
    for n in 0..300 {
        let (mut o, circumstances) = panic_at(n, 1_000 + n, 1, Burn::Real);
        o.has_template = false;
        ledger.observe(&o, circumstances);
    }
    count(&mut ledger, 5, 1, Burn::Real);
    ledger.settle();
    let found = Figures::of(&slo(0.99, 30), &scope(&ledger, &[1]), &ledger, Millis(5 * Millis::MINUTE));
    let five = window(&found, "5m");
    assert_eq!((five.events.total(), five.n_elsewhere), (5, 209));
    assert_eq!(window(&figures(&slo(0.99, 30), &mut ledger, 5), "5m").events.total(), 305);
}

#[test]
fn requests_without_a_service_are_of_whose_panics_their_route_has() {
    let demand = |route: u64| Demand { service: None, route: id(route), release: ReleaseKey::Untold };
    let check = |panics: &[(u64, u64)], routes: &[u64], asked: u64, expected: bool| {
        let mut ledger = Ledger::default();
        for (service, route) in panics {
            ledger.observe(&event(1, key(*service, 1, *route, 1)), CALM);
        }
        ledger.settle();
        assert_eq!(scope(&ledger, routes).asks(&demand(asked)), expected, "{panics:?} {routes:?} {asked}");
    };
    check(&[(1, 1), (2, 2)], &[], 1, true);
    check(&[(1, 1), (2, 2)], &[], 2, false);
    check(&[(1, 1), (2, 2)], &[], 3, false);
    // Nobody panics there, and the objective names it.
    check(&[(1, 1), (2, 2)], &[3], 3, true);
    check(&[(1, 1), (2, 1)], &[1], 1, false);
    // The only service there is.
    check(&[(1, 1)], &[], 3, true);
    check(&[(1, 1)], &[1], 3, false);
    check(&[(2, 1)], &[], 1, false);
}

#[test]
fn windows_end_where_requests_end_while_the_feed_is_only_late() {
    let mut ledger = Ledger::default();
    (0..6).for_each(|page| ask(&mut ledger, page * 5, 10));
    let check = |minute: i64, expected: i64| {
        let end = end_of_data(&ledger, &scope(&ledger, &[]), Millis(minute * Millis::MINUTE));
        assert_eq!(end, Millis(expected * Millis::MINUTE), "at minute {minute}");
    };
    check(30, 30);
    check(29, 25);
    check(44, 30);
    check(85, 30);
    // An hour later it is not late, it is gone.
    check(90, 90);
}

/// What fires when an hour of `requests` a page fails as `failing` says, page by page from its end.
#[track_caller]
fn check_alarm(requests: u64, failing: &[u64], expected: &[Severity]) {
    let mut ledger = Ledger::default();
    for page in 0..12 {
        ask(&mut ledger, page * 5, requests);
    }
    for (page, n) in (1..).zip(failing) {
        count(&mut ledger, *n, 60 - page * 5, Burn::Real);
    }
    ledger.settle();
    let (slo, scope) = (slo(0.99, 30), scope(&ledger, &[]));
    let found = Figures::of(&slo, &scope, &ledger, Millis(Millis::HOUR));
    let states = pair_states(&slo, |millis| found.windows.iter().find(|window| window.millis == millis).cloned());
    let firing: Vec<Severity> = states.iter().filter(|state| state.fires()).map(|state| state.pair.severity).collect();
    assert_eq!(firing, expected, "{states:#?}");
}

#[test]
fn both_windows_must_burn_and_a_handful_tells_nobody() {
    use Severity::{Critical, High};
    // Every fifth request of an hour.
    check_alarm(100, &[20; 12], &[Critical]);
    check_alarm(100, &[], &[]);
    // It is over: the last five minutes are calm.
    check_alarm(100, &[0, 45, 45, 45, 45, 45, 45, 45, 45, 45, 45, 45], &[High]);
    // Nine of twelve requests failed, and yet that is a handful.
    check_alarm(1, &[1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0], &[]);
    // Ten are enough, where hardly anybody succeeds.
    check_alarm(1, &[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0], &[Critical, High]);
    // At the limit by estimate, below it by what is sure: 26 of 180.
    check_alarm(15, &[3, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2], &[]);
    // One minute of trouble in a quiet hour.
    check_alarm(100, &[90], &[]);
}

#[test]
fn ten_minutes_of_data_do_not_speak_for_six_hours() {
    let mut ledger = Ledger::default();
    ask(&mut ledger, 0, 100);
    ask(&mut ledger, 5, 100);
    count(&mut ledger, 60, 1, Burn::Real);
    count(&mut ledger, 60, 6, Burn::Real);
    ledger.settle();
    let (slo, scope) = (slo(0.99, 30), scope(&ledger, &[]));
    let found = Figures::of(&slo, &scope, &ledger, Millis(10 * Millis::MINUTE));
    let states = pair_states(&slo, |millis| found.windows.iter().find(|window| window.millis == millis).cloned());
    // 60 times too fast for a sixth of an hour is at most 10 times too fast for the hour.
    assert!(states.iter().all(|state| !state.fires()), "{states:#?}");
    assert!(states.first().unwrap().long_burn_at_least.unwrap() < 10.0);
}

proptest! {
    #[test]
    fn the_split_adds_up_and_order_changes_nothing(
        events in prop::collection::vec((0_u64..30, 0_u64..40, 0_i64..4_000, 0_usize..5), 1..200),
        asked in prop::collection::btree_map(0_i64..800, 1_u64..50, 0..60),
        at in 1_i64..4_200,
        seed in any::<u64>(),
    ) {
        let book = |order: &[(u64, u64, i64, usize)], seed: u64| {
            let mut ledger = Ledger::default();
            for (n, event) in order.iter().enumerate() {
                let (o, circumstances) = panic_at(event.0, event.1, event.2, Burn::ALL[event.3]);
                ledger.observe(&o, circumstances);
                if mix(seed ^ n as u64).is_multiple_of(9) {
                    ledger.settle();
                }
            }
            for (page, n) in &asked {
                ask(&mut ledger, page * 5, *n);
            }
            ledger.settle();
            ledger
        };
        let mut other = events.clone();
        other.sort_by_key(|(n, route, minute, _)| mix(seed ^ n ^ route << 8 ^ minute.unsigned_abs() << 20));
        let ledgers = [book(&events, 0), book(&other, seed)];
        let routes: BTreeSet<Id> = if seed.is_multiple_of(2) { BTreeSet::new() } else { [id(1), id(2)].into() };
        let slo = slo(0.995, 1 + u32::try_from(seed % 5).unwrap());
        let found = ledgers.each_ref().map(|ledger| {
            let scope = Scope::new(&Owners::of(ledger), id(1), routes.clone());
            Figures::of(&slo, &scope, ledger, end_of_data(ledger, &scope, Millis(at * Millis::MINUTE)))
        });
        prop_assert_eq!(&found[0], &found[1]);
        for window in &found[0].windows {
            let of_ours = |route: u64| routes.is_empty() || routes.contains(&id(route));
            let span = window.span.from..window.span.to;
            let inside = events.iter().filter(|(_, route, minute, _)| {
                of_ours(*route) && span.contains(&Millis(minute * Millis::MINUTE))
            });
            let whole = inside.count() as u64;
            prop_assert_eq!(window.events.total(), whole);
            prop_assert_eq!(Burn::ALL.map(|burn| window.events.get(burn)).iter().sum::<u64>(), whole);
            if let Some(all) = slo.burn(window.events_with_requests.total(), window.requests).filter(|_| window.has_rates()) {
                let sum: f64 = Burn::ALL.iter().filter_map(|burn| window.burn(&slo, *burn)).sum();
                prop_assert!((sum - all).abs() <= 1e-9 * all.max(1.0), "{} {}", sum, all);
            }
        }
    }
}
