use proptest::prelude::*;

use super::*;

/// Folds `items` in a rotated order, cut into parts that are merged afterwards.
fn in_parts<S: Default, T: Copy>(items: &[T], cut: usize, add: impl Fn(&mut S, T), merge: impl Fn(&mut S, &S)) -> S {
    let at = if items.is_empty() { 0 } else { cut % items.len() };
    let mut parts = [S::default(), S::default(), S::default()];
    for (i, item) in items[at..].iter().chain(&items[..at]).rev().enumerate() {
        add(&mut parts[(i * 7 + cut) % 3], *item);
    }
    let mut whole = S::default();
    for part in parts.iter().rev() {
        merge(&mut whole, part);
    }
    whole
}

fn in_order<S: Default, T: Copy>(items: &[T], add: impl Fn(&mut S, T)) -> S {
    let mut whole = S::default();
    for item in items {
        add(&mut whole, *item);
    }
    whole
}

proptest! {
    #[test]
    fn a_keyed_set_depends_on_the_set_alone(ids in proptest::collection::vec(0_u64..40, 0..80), cut: usize) {
        let add = |s: &mut KeyedSet<8>, id| { s.insert(Id(mix(id))); };
        prop_assert_eq!(in_order(&ids, add), in_parts(&ids, cut, add, KeyedSet::merge));
    }

    #[test]
    fn keyed_counts_depend_on_the_multiset_alone(ids in proptest::collection::vec(0_u64..20, 0..120), cut: usize) {
        let whole: KeyedCounts<6> = in_order(&ids, KeyedCounts::add);
        prop_assert_eq!(whole.total(), ids.len() as u64);
        for (id, n) in whole.iter() {
            prop_assert_eq!(n, ids.iter().filter(|i| **i == id).count() as u64);
        }
        prop_assert_eq!(whole, in_parts(&ids, cut, KeyedCounts::add, KeyedCounts::merge));
    }

    #[test]
    fn minutes_depend_on_the_multiset_alone(times in proptest::collection::vec(-9_000_000_i64..300_000_000, 0..80), cut: usize) {
        let add = |s: &mut Minutes, t| s.add(Millis(t));
        prop_assert_eq!(in_order(&times, add), in_parts(&times, cut, add, Minutes::merge));
    }

    #[test]
    fn a_latency_lies_less_than_a_quarter_above_its_bin(ms: u32) {
        let start = bin_start_ms(latency_bin(ms));
        prop_assert!(start <= ms && u64::from(ms) * 4 < u64::from(start.max(1)) * 5 + 4);
    }
}

#[test]
fn a_keyed_set_is_exact_until_it_is_full_and_estimates_after() {
    let mut set = KeyedSet::<64>::default();
    for n in 0..63 {
        set.insert(Id(mix(n)));
        set.insert(Id(mix(n)));
    }
    assert_eq!((set.len_estimate(), set.is_exact()), (63, true));
    for n in 0..10_000 {
        set.insert(Id(mix(n)));
    }
    assert!(!set.is_exact());
    assert!((7_000..13_000).contains(&set.len_estimate()), "{}", set.len_estimate());
}

#[test]
fn an_evicted_count_moves_to_other() {
    let mut ids: Vec<u64> = (0..4).collect();
    ids.sort_by_key(|id| mix(*id));
    let mut counts = KeyedCounts::<2>::default();
    for id in [ids[3], ids[3], ids[2], ids[0], ids[1], ids[3]] {
        counts.add(id);
    }
    assert_eq!(counts.iter().collect::<Vec<_>>(), [(ids[0], 1), (ids[1], 1)]);
    assert_eq!((counts.other(), counts.get(ids[3]), counts.total()), (4, 0, 6));
}

#[test]
fn a_weight_halves_every_half_life_and_counts_no_event_twice() {
    let mut minutes = Minutes::default();
    for _ in 0..8 {
        minutes.add(Millis(0));
    }
    assert!((minutes.weight(Millis(0), Millis::HOUR) - 8.0).abs() < 1e-12);
    assert!((minutes.weight(Millis(2 * Millis::HOUR), Millis::HOUR) - 2.0).abs() < 1e-12);
    minutes.add(Millis(3 * Millis::HOUR));
    assert_eq!(minutes.minutes().count(), 1, "the old minute left the window");
    let expected = 1.0 + 8.0 * (-2.5_f64).exp2();
    assert!((minutes.weight(Millis(3 * Millis::HOUR), Millis::HOUR) - expected).abs() < 1e-12);
}

#[test]
fn an_event_before_the_window_is_not_counted() {
    let mut minutes = Minutes::default();
    minutes.add(Millis(100 * Millis::HOUR));
    minutes.add(Millis(0));
    assert_eq!((minutes.hours().count(), minutes.minutes().count()), (1, 1));
}

#[test]
fn times_at_the_ends_of_the_range_break_nothing() {
    let mut minutes = Minutes::default();
    for t in [i64::MIN, i64::MAX, 0] {
        minutes.add(Millis(t));
    }
    assert!(minutes.weight(Millis(i64::MIN), 0).is_finite());
    assert!(minutes.weight(Millis(i64::MAX), i64::MAX).is_finite());
}

#[test]
fn quantiles_name_the_bin() {
    let mut latencies = Latencies::default();
    assert_eq!(latencies.quantile_ms(500), None);
    for ms in [1, 10, 10, 1000] {
        latencies.add(ms);
    }
    assert_eq!(latencies.quantile_ms(500), Some(10));
    assert_eq!(latencies.quantile_ms(0), Some(1));
    assert_eq!(latencies.quantile_ms(1000), Some(896));
}
