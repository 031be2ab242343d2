use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::pipeline::cell::testing::{event, id, key};
use crate::pipeline::classify::Classified;
use crate::pipeline::sample::mix;

const MINUTE: i64 = 60;

/// A primary panic of site `site` at `second` in isolate `isolate`.
fn primary(n: u64, site: u64, isolate: Option<u64>, second: i64) -> Observation<'static> {
    let mut o = event(n, key(1, site, 0, 0));
    o.time = Millis(second * Millis::SECOND);
    o.isolate = isolate.map(id);
    o.panic = Arc::new(Classified { class: "index_oob".to_owned(), secondary: false, ..(*o.panic).clone() });
    o
}

fn secondary(n: u64, class: &str, site: u64, isolate: Option<u64>, second: i64) -> Observation<'static> {
    let mut o = primary(n, site, isolate, second);
    let poisons = ["mutex_poison", "once_poison", "module_terminated"].contains(&class);
    let bucket = if poisons { Bucket::IsolateReset } else { Bucket::RetrySafe };
    o.panic = Arc::new(Classified { class: class.to_owned(), secondary: true, bucket, ..(*o.panic).clone() });
    o
}

fn causes(events: &[Observation<'static>]) -> Causes {
    let mut causes = Causes::default();
    for o in events {
        causes.observe(o, o.cell);
    }
    causes
}

/// Cause sites with their events, of the cell of secondary site `site`.
fn told(causes: &Causes, site: u64) -> Vec<(u64, u64)> {
    let known = |cause: &CellKey| (0..200).find(|n| id(*n) == cause.site).unwrap();
    let consequence = causes.of(&key(1, site, 0, 0));
    let mut told: Vec<(u64, u64)> =
        consequence.map(|c| c.by_cause.iter().map(|(cause, n)| (known(cause), *n)).collect()).unwrap_or_default();
    told.sort_unstable();
    told
}

#[test]
fn a_consequence_goes_back_to_the_latest_primary_panic_of_its_isolate() {
    let check = |events: &[Observation<'static>], expected: &[(u64, u64)]| {
        assert_eq!(told(&causes(events), 9), expected);
    };
    let join = |n, isolate, second| secondary(n, "child_panic", 9, isolate, second);
    check(&[primary(1, 3, Some(1), 0), join(2, Some(1), 5)], &[(3, 1)]);
    check(&[primary(1, 3, Some(1), 0), primary(2, 4, Some(1), 3), join(3, Some(1), 5)], &[(4, 1)]);
    // The same instant: clocks stand still while a Worker computes.
    check(&[primary(1, 3, Some(1), 5), join(2, Some(1), 5)], &[(3, 1)]);
    // What has not happened yet is no cause.
    check(&[primary(1, 3, Some(1), 0), primary(2, 4, Some(1), 6), join(3, Some(1), 5)], &[(3, 1)]);
    check(&[primary(1, 3, Some(1), 6), join(2, Some(1), 5)], &[]);
    // Another isolate, another service, no isolate: unknown.
    check(&[primary(1, 3, Some(2), 0), join(2, Some(1), 5)], &[]);
    check(&[primary(1, 3, None, 0), join(2, None, 5)], &[]);
    check(&[primary(1, 3, Some(1), 0), join(2, None, 5)], &[]);
    let mut elsewhere = primary(1, 3, Some(1), 0);
    elsewhere.cell.service = id(77);
    check(&[elsewhere, join(2, Some(1), 5)], &[]);
    // A consequence is no cause.
    let chain = [primary(1, 3, Some(1), 0), secondary(2, "mutex_poison", 8, Some(1), 2), join(3, Some(1), 5)];
    check(&chain, &[(3, 1)]);
    // Within the hour, and not beyond.
    check(&[primary(1, 3, Some(1), 0), join(2, Some(1), 60 * MINUTE)], &[(3, 1)]);
    check(&[primary(1, 3, Some(1), 0), join(2, Some(1), 60 * MINUTE + 1)], &[]);
}

#[test]
fn a_poisoned_lock_keeps_its_cause_while_it_goes_on_failing() {
    let poison = |n, second| secondary(n, "mutex_poison", 9, Some(1), second);
    let mut events = vec![primary(1, 3, Some(1), 0), poison(2, 5)];
    // Later primary panics did not poison what was poisoned already, however long it goes on.
    for n in 0..10 {
        events.push(primary(10 + n, 4, Some(1), 10 + i64::try_from(n).unwrap() * 30 * MINUTE));
        events.push(poison(30 + n, 20 + i64::try_from(n).unwrap() * 30 * MINUTE));
    }
    assert_eq!(told(&causes(&events), 9), [(3, 11)]);
    // After an hour of silence it is another story: the process may be another one under the same name.
    events.push(primary(50, 5, Some(1), 420 * MINUTE));
    events.push(poison(51, 421 * MINUTE));
    assert_eq!(told(&causes(&events), 9), [(3, 11), (5, 1)]);
    // A task's end follows its own panic.
    let mut joins = causes(&events[..2]);
    joins.observe(&primary(60, 4, Some(1), 6), key(1, 4, 0, 0));
    joins.observe(&secondary(61, "child_panic", 10, Some(1), 7), key(1, 10, 0, 0));
    assert_eq!(told(&joins, 10), [(4, 1)]);
}

#[test]
fn the_first_request_that_meets_a_poisoned_isolate_is_an_incident() {
    use Poisoning::{First, Further};
    let check = |events: &[Observation<'static>], expected: &[Option<Poisoning>]| {
        let mut causes = Causes::default();
        let told: Vec<_> = events.iter().map(|o| causes.observe(o, o.cell)).collect();
        assert_eq!(told, expected);
    };
    let poison = |n, site, isolate, second| secondary(n, "mutex_poison", site, isolate, second);
    let cause = || primary(1, 3, Some(1), 0);
    check(
        &[cause(), poison(2, 9, Some(1), 5), poison(3, 8, Some(1), 6), poison(4, 9, Some(2), 7)],
        &[None, Some(First), Some(Further), Some(First)],
    );
    // The panic that poisoned it comes later, or never: the isolate is poisoned all the same.
    check(&[poison(2, 9, Some(1), 5), cause()], &[Some(First), None]);
    check(&[poison(2, 9, Some(1), 5), poison(3, 9, Some(1), 4)], &[Some(First), Some(Further)]);
    // A module that was terminated and a start-up that broke poison the isolate; a task's end does not.
    check(
        &[cause(), secondary(2, "module_terminated", 9, Some(1), 5), secondary(3, "once_poison", 9, Some(1), 6)],
        &[None, Some(First), Some(Further)],
    );
    check(&[cause(), secondary(2, "child_panic", 9, Some(1), 5)], &[None, None]);
    // Nobody can say of an isolate that has no name.
    check(&[primary(1, 3, None, 0), poison(2, 9, None, 5)], &[None, None]);
    // A primary panic is none, whatever it asks for.
    let mut trap = cause();
    trap.panic = Arc::new(Classified { bucket: Bucket::IsolateReset, ..(*trap.panic).clone() });
    check(&[trap], &[None]);
    // After an hour without one it is another incident.
    check(
        &[poison(2, 9, Some(1), 0), poison(3, 9, Some(1), 60 * MINUTE), poison(4, 9, Some(1), 120 * MINUTE + 1)],
        &[Some(First), Some(Further), Some(First)],
    );
}

#[test]
fn many_failing_sites_push_out_the_longest_silent_one_alone() {
    let mut events = vec![primary(1, 3, Some(1), 0)];
    for site in 100..106 {
        events.push(secondary(site, "mutex_poison", site, Some(1), i64::try_from(site).unwrap()));
    }
    let causes = causes(&events);
    assert!((100..106).all(|site| told(&causes, site) == [(3, 1)]));
    let isolate = causes.isolates.values().next().unwrap();
    let held: Vec<Id> = isolate.held.iter().map(|held| held.site).collect();
    assert_eq!(held, [102, 103, 104, 105].map(id));
}

#[test]
fn a_flood_of_isolates_and_cells_stays_within_its_bounds() {
    let mut causes = Causes::default();
    for n in 0..10_000_u64 {
        let second = i64::try_from(n / 10).unwrap();
        let mut o = primary(n, 3, Some(n), second);
        o.cell.route = id(n);
        causes.observe(&o, o.cell);
        let mut consequence = secondary(20_000 + n, "mutex_poison", 9, Some(n), second);
        consequence.cell.route = id(n);
        causes.observe(&consequence, consequence.cell);
        assert!(causes.isolates.len() <= ISOLATES_MAX && causes.consequences.len() <= CONSEQUENCES_MAX);
        assert!(causes.poisoned.len() <= ISOLATES_MAX);
    }
    assert!(causes.isolates.contains_key(&(id(1), id(9_999))));
    assert!(!causes.isolates.contains_key(&(id(1), id(0))));
    // One cell with causes in many: the least are kept, all are counted.
    let mut one = Causes::default();
    for n in 0..100_u64 {
        let o = primary(n, 100 + n, Some(1), i64::try_from(n).unwrap());
        one.observe(&o, o.cell);
        let consequence = secondary(1_000 + n, "child_panic", 9, Some(1), i64::try_from(n).unwrap());
        one.observe(&consequence, consequence.cell);
    }
    let consequence = one.of(&key(1, 9, 0, 0)).unwrap();
    assert_eq!((consequence.by_cause.len(), consequence.n_known()), (CAUSES_KEPT, 100));
}

#[test]
fn the_size_of_an_isolate_in_the_store_is_bounded() {
    let mut events = Vec::new();
    for n in 0..20_u64 {
        let second = 1_790_000_000 + i64::try_from(n).unwrap();
        events.push(primary(n, n, Some(1), second));
        events.push(secondary(100 + n, "mutex_poison", 100 + n, Some(1), second));
    }
    let rows = causes(&events).take_rows();
    let isolates: Vec<usize> =
        rows.iter().filter(|row| row.kind == "isolate").filter_map(|row| Some(row.value.as_ref()?.len())).collect();
    assert_eq!(isolates.len(), 1);
    // Four primaries and four sites with a cell's key each: at most 70 bytes a key.
    assert!(isolates[0] <= 2 + 4 * 90 + 4 * 90, "{isolates:?}");
}

#[test]
fn folded_cells_are_followed_on_both_sides_and_forgotten_ones_forgotten() {
    let events = [primary(1, 3, Some(1), 0), secondary(2, "mutex_poison", 9, Some(1), 5)];
    let mut causes = causes(&events);
    let (from, to) = (key(1, 9, 0, 0), key(1, 90, 0, 0));
    let (cause, cause_to) = (key(1, 3, 0, 0), key(1, 30, 0, 0));
    causes.follow(|cell| match cell {
        cell if *cell == from => to,
        cell if *cell == cause => cause_to,
        cell => *cell,
    });
    assert_eq!(told(&causes, 9), []);
    assert_eq!(told(&causes, 90), [(30, 1)]);
    causes.forget(Millis(30 * MINUTE * 1_000), |_| true);
    assert_eq!((causes.isolates.len(), causes.consequences.len()), (1, 1));
    causes.forget(Millis(100 * MINUTE * 1_000), |_| false);
    assert_eq!((causes.isolates.len(), causes.consequences.len(), causes.poisoned.len()), (0, 0, 0));
    let rows = causes.take_rows();
    assert!(!rows.is_empty() && rows.iter().all(|row| row.value.is_none()));
}

#[test]
fn what_a_store_kept_comes_back_whole() {
    let mut events = Vec::new();
    for n in 0..300_u64 {
        let second = i64::try_from(n * 7).unwrap();
        events.push(primary(n, n % 11, Some(n % 13), second));
        events.push(secondary(1_000 + n, "mutex_poison", 50 + n % 5, Some(n % 17), second + 3));
    }
    let mut causes = causes(&events);
    let rows = causes.take_rows();
    let read = |kind: &'static str| rows.iter().filter(move |row| row.kind == kind);
    let value = |row: &StateRow| row.value.clone().unwrap();
    let isolates = read("isolate")
        .map(|row| (postcard::from_bytes(&row.key).unwrap(), postcard::from_bytes(&value(row)).unwrap()));
    let cells = read("consequence")
        .map(|row| (postcard::from_bytes(&row.key).unwrap(), postcard::from_bytes(&value(row)).unwrap()));
    let poisoned = read("poisoned")
        .map(|row| (postcard::from_bytes(&row.key).unwrap(), postcard::from_bytes(&value(row)).unwrap()));
    assert_eq!(Causes::restore(isolates, cells, poisoned), causes);
}

proptest! {
    /// What is promised of order: causes that are there before their consequences may have come in any order.
    #[test]
    fn the_order_in_which_primary_panics_came_changes_nothing(
        panics in proptest::collection::vec((0..8_u64, 0..3_u64, 0..5_000_i64), 0..40), seed in any::<u64>(),
    ) {
        let events: Vec<_> =
            (0..).zip(&panics).map(|(n, (site, isolate, second))| primary(n, *site, Some(*isolate), *second)).collect();
        let mut shuffled: Vec<_> = events.iter().enumerate().collect();
        shuffled.sort_by_key(|(at, _)| mix(seed ^ *at as u64));
        let shuffled: Vec<_> = shuffled.into_iter().map(|(_, o)| o.clone()).collect();
        let after: Vec<_> = (0..3).map(|n| secondary(1_000 + n, "mutex_poison", 9, Some(n), 5_000)).collect();
        prop_assert_eq!(causes(&[events, after.clone()].concat()), causes(&[shuffled, after].concat()));
    }

    #[test]
    fn parts_of_a_consequence_add_up_in_any_order(
        picks in proptest::collection::vec((0..30_u64, 1..5_u64), 0..60), cut in 0_usize..60, seed in any::<u64>(),
    ) {
        let sum = |picks: &[(u64, u64)]| {
            let mut sum = Consequence::default();
            for (n, events) in picks {
                sum.add(key(1, *n, 0, 0), *events);
            }
            sum
        };
        let mut shuffled = picks.clone();
        shuffled.sort_by_key(|(n, events)| mix(seed ^ n ^ events << 8));
        let (left, right) = shuffled.split_at(cut.min(shuffled.len()));
        let mut merged = sum(right);
        merged.merge(&sum(left));
        prop_assert_eq!(merged, sum(&picks));
    }
}
