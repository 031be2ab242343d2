use proptest::prelude::*;

use super::*;
use crate::pipeline::cell::testing::{event, id, key};
use crate::pipeline::classify::{Bucket, Classified};
use crate::pipeline::operations::gate::{GateFacts, gate};

const ALONE: Link = Link { continues: false, changed_before: false, gate_before: None };

/// An event of a POST: whether it has a key, what it had changed, what its class says.
fn post(n: u64, keyed: bool, changes: Option<u64>, bucket: Bucket) -> Observation<'static> {
    let mut o = event(n, key(1, 1, 1, 1));
    o.route = "POST /v1/x".into();
    o.idempotency = keyed.then(|| id(n));
    o.aftermath.n_side_effects = changes;
    o.panic = std::sync::Arc::new(Classified { class: "c".to_owned(), bucket, ..(*o.panic).clone() });
    o
}

fn table(events: &[Observation<'_>]) -> Policies {
    let mut table = Policies::default();
    for o in events {
        table.observe(o, gate(GateFacts::of(o)), ALONE);
    }
    table
}

#[track_caller]
fn check(events: &[Observation<'_>], gate: Gate, reason: GateReason) {
    let table = table(events);
    let (_, policy) = table.rows().next().unwrap();
    let word = policy.word().unwrap();
    assert_eq!((table.rows().len(), word.gate, word.reason), (1, gate, reason), "{policy:?}");
}

#[test]
fn a_route_whose_requests_sometimes_bear_keys_is_safe_with_the_key_alone() {
    let (with, without) = (post(1, true, Some(1), Bucket::RetrySafe), post(2, false, None, Bucket::RetrySafe));
    check(&[with, without], Gate::SafeWithKey, GateReason::Keyed);
    let (with, without) = (post(1, true, Some(0), Bucket::RetrySafe), post(2, false, Some(1), Bucket::RetrySafe));
    check(&[with, without], Gate::SafeWithKey, GateReason::Unchanged);
}

#[test]
fn one_request_that_had_changed_something_forbids_what_a_thousand_would_allow() {
    let mut events: Vec<_> = (0..1_000).map(|n| post(n, false, Some(0), Bucket::RetrySafe)).collect();
    check(&events, Gate::Safe, GateReason::Unchanged);
    events.push(post(1_000, false, Some(1), Bucket::RetrySafe));
    check(&events, Gate::Never, GateReason::ChangedWithoutKey);
}

#[test]
fn the_strictest_word_has_its_most_frequent_reason() {
    let events = [
        post(1, false, None, Bucket::RetrySafe),
        post(2, false, Some(2), Bucket::RetrySafe),
        post(3, false, Some(2), Bucket::RetryAfterFix),
    ];
    check(&events, Gate::Never, GateReason::ChangedWithoutKey);
    check(&[post(1, true, None, Bucket::RetryAfterFix)], Gate::AfterFix, GateReason::FailsAgain);
    check(&[post(1, true, None, Bucket::NeverRetry)], Gate::Never, GateReason::Harmful);
}

#[test]
fn retries_count_by_the_word_on_the_attempt_before_or_else_on_themselves() {
    let o = post(1, false, None, Bucket::RetrySafe);
    let mut table = Policies::default();
    let word = gate(GateFacts::of(&o));
    let by_ordinal = Link { continues: true, ..ALONE };
    table.observe(&o, word, by_ordinal);
    table.observe(&o, word, Link { gate_before: Some(Gate::AfterFix), ..by_ordinal });
    table.observe(&o, word, Link { gate_before: Some(Gate::Safe), ..by_ordinal });
    table.observe(&o, word, ALONE);
    let (_, policy) = table.rows().next().unwrap();
    assert_eq!((policy.retries, policy.retried_unsafe, policy.retried_hopeless), (3, 1, 1));
    let changed = post(1, true, Some(1), Bucket::RetrySafe);
    let before = Link { continues: true, changed_before: true, gate_before: Some(Gate::SafeWithKey) };
    table.observe(&changed, gate(GateFacts::of(&changed)), before);
    assert_eq!(table.rows().next().unwrap().1.repeated_side_effects, 1);
}

#[test]
fn a_flood_of_guessed_routes_leaves_the_named_ones_alone_and_nothing_uncounted() {
    let mut table = Policies::default();
    for n in 0..6_000 {
        let mut o = event(n, key(n % 40, 1, n, 1));
        o.has_template = n < 200;
        table.observe(&o, gate(GateFacts::of(&o)), ALONE);
    }
    assert!(table.rows().len() <= POLICIES_MAX + RESTS_MAX + 1, "{}", table.rows().len());
    assert_eq!(table.rows().filter(|(key, _)| matches!(key.route, RouteKey::Named(_))).count(), 200);
    assert_eq!(table.rows().map(|(_, policy)| policy.events()).sum::<u64>(), 6_000);
}

#[test]
fn rows_bring_the_table_back() {
    let mut table = table(&(0..3_000).map(|n| event(n, key(n % 20, 1, n % 1_000, 1))).collect::<Vec<_>>());
    let read = |row: &StateRow| {
        Some((postcard::from_bytes(&row.key).unwrap(), postcard::from_bytes(row.value.as_deref()?).unwrap()))
    };
    let rows = table.take_rows();
    assert_eq!(Policies::restore(rows.iter().filter_map(read)), table);
    assert!(table.take_rows().is_empty());
}

proptest! {
    #[test]
    fn order_and_partition_change_nothing(
        numbers in prop::collection::vec((0..400_u64, 0..30_u64, 0..200_u64), 0..300), cut in 0..300_usize, turn in 0..300_usize
    ) {
        let made = |(n, service, route): &(u64, u64, u64)| {
            let mut o = event(*n, key(*service, 1, *route, 1));
            o.has_template = *n % 3 == 0;
            o.idempotency = (*n % 2 == 0).then(|| id(*n));
            o
        };
        let events: Vec<_> = numbers.iter().map(made).collect();
        let whole = table(&events);
        let mut turned = events.clone();
        turned.rotate_left(turn % events.len().max(1));
        turned.reverse();
        let (left, right) = turned.split_at(cut.min(turned.len()));
        let mut parts = table(left);
        parts.merge(&table(right));
        prop_assert!(whole.rows().eq(parts.rows()));
    }
}
