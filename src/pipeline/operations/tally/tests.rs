use std::borrow::Cow;

use super::*;
use crate::pipeline::cell::testing::{event, key};
use crate::pipeline::event::Id;
use crate::pipeline::observation::Actor;
use crate::pipeline::operations::chains::Link;

fn circumstances(hostile: bool) -> Circumstances {
    Circumstances { hostile, gate: Gate::Safe, link: Link::default(), poisoned: None }
}

#[test]
fn the_burn_of_an_event_is_what_the_user_saw_of_it() {
    use RecoveryOutcome::{Aborted, Degraded, Escaped, Recovered, SuspectedAbort, Unknown};
    use RetryOutcome::{Failed, NotRetried, Succeeded};
    let check = |recovery, status, retry, expected| {
        assert_eq!(Burn::of_effect(recovery, status, retry), expected, "{recovery:?} {status:?} {retry:?}");
    };
    check(Recovered, Some(422), NotRetried, Burn::Transient);
    check(Recovered, None, NotRetried, Burn::Transient);
    check(Degraded, Some(500), NotRetried, Burn::Real);
    check(Degraded, Some(500), Failed, Burn::Real);
    check(Degraded, Some(500), Succeeded, Burn::Transient);
    check(Degraded, Some(404), NotRetried, Burn::Transient);
    check(Escaped, Some(200), Succeeded, Burn::Real);
    check(Aborted, None, NotRetried, Burn::Real);
    check(SuspectedAbort, None, NotRetried, Burn::Real);
    check(Unknown, None, NotRetried, Burn::Unknown);
    check(Unknown, Some(503), NotRetried, Burn::Real);
    check(Unknown, Some(200), NotRetried, Burn::Transient);
}

#[test]
fn every_split_of_a_tally_adds_up_to_its_events() {
    let mut tally = Tally::default();
    for n in 0..400 {
        let mut o = event(n, key(1, 1, 1, 1));
        o.status = [None, Some(500), Some(404)].into_iter().cycle().nth(usize::try_from(n).unwrap()).unwrap();
        o.recovery = RecoveryOutcome::Unknown;
        o.aftermath.retry = RetryOutcome::ALL[usize::try_from(n % 4).unwrap()];
        tally.add(&o, circumstances(n.is_multiple_of(9)));
    }
    let sum = |counters: &[Counter]| counters.iter().map(|counter| tally.get(*counter)).sum::<u64>();
    assert_eq!(sum(&Burn::ALL.map(Burn::counter)), 400);
    assert_eq!(sum(&Gate::ALL.map(Gate::counter)), 400);
    assert_eq!(RetryOutcome::ALL.iter().map(|outcome| tally.retried(*outcome)).sum::<u64>(), 400);
    let attempts = [Counter::Attempt1, Counter::Attempt2, Counter::Attempt3, Counter::AttemptLater];
    assert_eq!(sum(&attempts), 400);
    assert!(Burn::ALL.iter().all(|burn| tally.get(burn.counter()) > 0), "every kind is there: {tally:?}");
}

#[test]
fn a_stored_tally_reads_back_and_one_without_a_counter_counts_nothing_by_it() {
    let mut tally = Tally::default();
    (0..50).for_each(|n| tally.add(&event(n, key(1, 1, 1, 1)), circumstances(false)));
    let stored = postcard::to_stdvec(&tally).unwrap();
    assert_eq!(postcard::from_bytes::<Tally>(&stored).unwrap(), tally);
    let older = postcard::to_stdvec(&vec![(0_u8, 7_u32), (250, 9)]).unwrap();
    let counts: Counts = postcard::from_bytes(&older).unwrap();
    assert_eq!(counts.0.iter().map(|n| u64::from(*n)).sum::<u64>(), 7, "an unknown number is left out");
}

#[test]
fn a_customer_with_the_lions_share_is_seen_among_many() {
    let share = |customers: std::ops::Range<u64>, of_one: u64| {
        let mut breadth = Breadth::default();
        for customer in customers.chain((0..of_one).map(|_| 1)) {
            let mut o = event(customer, key(1, 1, 1, 1));
            o.actor = Actor::Token(Id(mix(customer)));
            breadth.add(&o);
        }
        breadth.largest_customer_share()
    };
    let even = share(0..600, 0);
    assert!(even < 0.1, "{even}");
    let skewed = share(0..600, 1_399);
    assert!((0.65..0.75).contains(&skewed), "1,400 of 1,999 are {skewed}");
    assert!(share(0..0, 0).abs() < f64::EPSILON);
    assert!((share(1..2, 9) - 1.0).abs() < f64::EPSILON);
}

#[test]
fn what_was_not_told_as_handled_follows_from_the_outcome() {
    let check = |told: Option<bool>, recovery, expected: (u64, u64)| {
        let mut o = event(1, key(1, 1, 1, 1));
        (o.aftermath.handled, o.recovery) = (told, recovery);
        let mut tally = Tally::default();
        tally.add(&o, circumstances(false));
        assert_eq!((tally.get(Counter::Handled), tally.get(Counter::Unhandled)), expected);
    };
    check(Some(false), RecoveryOutcome::Recovered, (0, 1));
    check(None, RecoveryOutcome::Degraded, (1, 0));
    check(None, RecoveryOutcome::SuspectedAbort, (0, 1));
    check(None, RecoveryOutcome::Unknown, (0, 0));
}

#[test]
fn regions_and_isolates_are_counted_only_where_they_are_told() {
    let mut breadth = Breadth::default();
    let mut o = event(2, key(1, 1, 1, 1));
    breadth.add(&o);
    o.aftermath.region = Some(Cow::Borrowed("eu-1"));
    o.isolate = Some(Id(4));
    breadth.add(&o);
    assert_eq!((breadth.regions.total(), breadth.isolates.len_estimate()), (1, 1));
}
