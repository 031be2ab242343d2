use proptest::prelude::*;

use super::*;
use crate::pipeline::cell::testing::{id, key};
use crate::pipeline::sample::mix;

fn model() -> ClusteringModel {
    ClusteringModel::builtin().unwrap()
}

/// A row of (site, route) with a sketch in which slot i is 1 for the set bits of `bits`.
fn row(number: u64, site: u64, bits: u64) -> Row {
    let mut sketch = [0_u8; 64];
    for (i, slot) in sketch.iter_mut().enumerate() {
        *slot = u8::try_from((bits >> i) & 1).unwrap();
    }
    Row { key: key(site % 2, site, site, number), sketch: Sketch(sketch) }
}

/// Every pair, by union-find; named like [`components`].
fn naive(model: &ClusteringModel, rows: &[Row]) -> Vec<usize> {
    let metric = Metric::new(model, rows);
    let mut label: Vec<usize> = (0..rows.len()).collect();
    for i in 0..rows.len() {
        for j in 0..i {
            if metric.between(i, j) < model.eps && label[i] != label[j] {
                let (from, to) = (label[i], label[j]);
                label.iter_mut().filter(|l| **l == from).for_each(|l| *l = to);
            }
        }
    }
    canonical(rows, label.into_iter().map(Some))
}

fn crowd() -> impl Strategy<Value = Vec<Row>> {
    let one = (0_u64..12, 0_u64..40, 0_u32..40, 0_u64..30);
    proptest::collection::vec(one, 0..120).prop_map(|rows| {
        rows.into_iter()
            .enumerate()
            .map(|(number, (site, seed, flips, odd))| {
                let bits = if flips == 0 { 0 } else { mix(seed) & mix(seed + 77) & mix(u64::from(flips)) };
                let mut row = row(number as u64, site, bits);
                if odd == 29 {
                    (row.key.site, row.key.route) = (OVERFLOW_ID, OVERFLOW_ID);
                }
                if odd == 28 {
                    row.key.tenant = id(2);
                }
                row
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn the_index_finds_the_components_that_every_pair_would_give(rows in crowd()) {
        prop_assert_eq!(components(&model(), &rows).unwrap(), naive(&model(), &rows));
    }

    #[test]
    fn the_order_of_rows_does_not_matter(rows in crowd(), seed: u64) {
        let mut shuffled = rows.clone();
        shuffled.sort_by_key(|r| mix(r.key.route.0 ^ u64::from(r.sketch.0[3]) ^ seed));
        let named = |rows: &[Row]| -> BTreeMap<CellKey, CellKey> {
            let labels = components(&model(), rows).unwrap();
            rows.iter().zip(labels).map(|(r, l)| (r.key, rows[l].key)).collect()
        };
        prop_assert_eq!(named(&rows), named(&shuffled));
    }
}

fn distance(a: Row, b: Row) -> f64 {
    let rows = [a, b];
    let metric = Metric::new(&model(), &rows);
    assert!((metric.between(0, 1) - metric.between(1, 0)).abs() < 1e-15);
    metric.between(0, 1)
}

#[test]
fn shapes_join_within_a_site_and_route_only() {
    assert!(distance(row(1, 1, 0), row(2, 1, 0x3ff)) < 0.2999, "54 of 64 slots agree");
    assert!(distance(row(1, 1, 0), row(2, 1, u64::MAX)) >= 0.7 - 1e-12);
    assert!(distance(row(1, 1, 0), row(2, 3, 0)) >= APART);
    let mut other_route = row(2, 1, 0);
    other_route.key.route = id(9);
    assert!(distance(row(1, 1, 0), other_route) >= APART);
}

#[test]
fn tenants_stay_apart() {
    let mut alien = row(1, 1, 0);
    alien.key.tenant = id(2);
    assert!(distance(row(1, 1, 0), alien) >= APART);
}

fn labels(rows: &[Row]) -> Vec<usize> {
    let mut labels = components(&model(), rows).unwrap();
    labels.sort_unstable();
    labels.dedup();
    labels
}

#[test]
fn eight_thousand_identical_rows_are_one_component() {
    let rows: Vec<Row> = (0..8_192).map(|n| row(n, 1, 7)).collect();
    assert_eq!(labels(&rows).len(), 1);
}

#[test]
fn eight_thousand_rows_that_share_nothing_are_as_many_components() {
    let rows: Vec<Row> = (0..8_192).map(|n| row(n, n, 1 << (n % 64))).collect();
    assert_eq!(labels(&rows).len(), 8_192);
}

#[test]
fn faulty_rows_are_refused_by_position() {
    let rows = vec![row(1, 1, 0), row(1, 1, 0)];
    assert_eq!(components(&model(), &rows), Err(ClusterError::RepeatedKey { row: 1 }));
    assert_eq!(components(&model(), &[]), Ok(vec![]));
}

#[test]
fn the_fallback_groups_by_exact_site_and_route() {
    let rows = vec![row(2, 1, 0), row(1, 1, u64::MAX), row(3, 2, 0)];
    let smallest = usize::from(rows[1].key < rows[0].key);
    assert_eq!(exact_components(&rows), [smallest, smallest, 2]);
}
