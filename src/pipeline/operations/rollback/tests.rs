use super::*;
use crate::pipeline::event::Id;
use crate::pipeline::operations::releases::tests::{add, requests};

/// Two hours of the old release with `old` panics a page, then half an hour of the new one; the criteria at its end.
fn judge(old: u64, new: u64, with_requests: Option<(u64, u64)>) -> Vec<Criterion> {
    let mut ledger = Ledger::default();
    for page in 0..24 {
        add(&mut ledger, (page, 1), "1.0", old, false);
        if let Some((n, _)) = with_requests {
            requests(&mut ledger, (page, 1), "1.0", n);
        }
    }
    for page in 24..30 {
        add(&mut ledger, (page, 1), "1.1", new, false);
        if let Some((_, n)) = with_requests {
            requests(&mut ledger, (page, 1), "1.1", n);
        }
    }
    let now = Millis(30 * PAGE_MILLIS);
    let line = Line::newest(&ledger, now).into_iter().next().unwrap();
    criteria(&ledger, &line, &Rule::usual(), "api", now)
}

fn standing(criteria: &[Criterion], measure: Measure) -> Standing {
    criteria.iter().find(|criterion| criterion.measure == measure).unwrap().standing
}

#[test]
fn a_release_that_panics_ten_times_as_often_should_go() {
    let found = judge(5, 50, None);
    assert_eq!(standing(&found, Measure::PanicShare), Standing::Met);
    assert_eq!(standing(&found, Measure::Amplification), Standing::NotMet);
    let words = found[1].words(&Names::default());
    assert!(words.starts_with("panic_share: 10.0 ("), "{words}");
    assert!(
        words.contains("no request totals are known") && words.ends_with("300 events in 30 minutes: met"),
        "{words}"
    );
}

#[test]
fn ten_events_roll_nothing_back() {
    let found = judge(1, 2, None);
    assert_eq!(standing(&found, Measure::PanicShare), Standing::NotEnoughData);
    assert!(found[1].words(&Names::default()).contains("12 events in 30 minutes, 30 are needed"), "{found:?}");
    let found = judge(1, 4, None);
    assert_eq!((found[1].events, found[1].standing), (24, Standing::NotEnoughData));
    // Thirty-six in place of six: more than three times as many, but the interval begins below.
    let found = judge(1, 6, None);
    assert_eq!(standing(&found, Measure::PanicShare), Standing::Leaning, "{found:?}");
}

#[test]
fn more_traffic_is_no_worse_release() {
    let found = judge(5, 50, Some((100, 1_000)));
    assert_eq!(standing(&found, Measure::PanicShare), Standing::NotMet);
    let found = judge(5, 5, Some((1_000, 50)));
    assert_eq!(standing(&found, Measure::PanicShare), Standing::Met, "{found:?}");
}

#[test]
fn a_rule_holds_for_its_services_alone() {
    let mut ledger = Ledger::default();
    (0..24).for_each(|page| add(&mut ledger, (page, 1), "1.0", 5, false));
    (24..30).for_each(|page| add(&mut ledger, (page, 1), "1.1", 50, false));
    let now = Millis(30 * PAGE_MILLIS);
    let line = Line::newest(&ledger, now).into_iter().next().unwrap();
    let mut rules = Rule::usual();
    rules.iter_mut().skip(1).for_each(|rule| rule.services = vec!["other".to_owned()]);
    assert_eq!(criteria(&ledger, &line, &rules, "api", now).len(), 1);
    assert_eq!(criteria(&ledger, &line, &rules, "other", now).len(), 4);
    assert_eq!(criteria(&ledger, &line, &[], "api", now), []);
}

#[test]
fn a_release_that_is_gone_runs_no_more() {
    let mut ledger = Ledger::default();
    (0..24).for_each(|page| add(&mut ledger, (page, 1), "1.0", 5, false));
    (24..26).for_each(|page| add(&mut ledger, (page, 1), "1.1", 50, false));
    let line = Line::newest(&ledger, Millis(26 * PAGE_MILLIS)).into_iter().next().unwrap();
    let runs = |page: i64| is_running(&ledger, &line, &Rule::usual(), Millis(page * PAGE_MILLIS));
    assert_eq!([26, 31, 32, 40].map(runs), [true, true, false, false]);
}

#[test]
fn what_was_as_bad_before_is_not_mended_by_going_back() {
    let rule = Rule { measure: Measure::UnhandledShare, ..Rule::usual().swap_remove(2) };
    let check = |now: (u64, u64), before: (u64, u64), expected: Standing| {
        let (now, before) = (share(now.0, now.1).unwrap(), share(before.0, before.1).unwrap());
        assert_eq!(stands(&rule, now, before), expected);
    };
    check((50, 100), (1, 100), Standing::Met);
    check((50, 100), (50, 100), Standing::NotMet);
    check((12, 100), (1, 100), Standing::Leaning);
    check((2, 100), (1, 100), Standing::NotMet);
    let falling = Rule { measure: Measure::RecoveryShare, limit: 0.2, ..rule };
    let (low, high) = (share(1, 100).unwrap(), share(60, 100).unwrap());
    assert_eq!(stands(&falling, low, high), Standing::Met);
    assert_eq!(stands(&falling, high, low), Standing::NotMet);
}

#[test]
fn numbers_without_a_limit_are_told_as_such() {
    let check = |low, estimate, high, expected: &str| assert_eq!(number(Interval { low, estimate, high }), expected);
    check(1.25, 2.5, 5.0, "2.5 (1.2 to 5.0)");
    check(1.25, 2.5, f64::INFINITY, "2.5 (at least 1.2)");
    check(1.25, f64::INFINITY, f64::INFINITY, "at least 1.2");
    assert_eq!(amplification(0, 0), None);
    assert_eq!(Names::default().text(Id(1)).len(), 16);
}
