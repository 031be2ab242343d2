use proptest::prelude::*;

use super::*;
use crate::pipeline::cell::testing::{event, id, key, shape};
use crate::pipeline::sample::mix;

fn small() -> CellLimits {
    CellLimits { shapes_per_block_max: 4, cells_per_tenant_max: 100, ..CellLimits::default() }
}

fn bytes(cells: &Cells) -> Vec<u8> {
    postcard::to_stdvec(&cells.by_key).unwrap()
}

fn all(limits: CellLimits, events: &[(u64, CellKey)]) -> Cells {
    let mut cells = Cells::new(limits);
    for (n, key) in events {
        cells.add(&event(*n, *key));
    }
    cells
}

fn total(cells: &Cells) -> u64 {
    cells.iter().map(|(_, c)| c.n).sum()
}

/// Services, sites, routes and shapes in very different numbers: every bound is hit in some case.
fn crowd() -> impl Strategy<Value = Vec<(u64, CellKey)>> {
    (1_u64..9, 1_u64..60, 1_u64..4, 1_u64..30).prop_flat_map(|(services, sites, routes, shapes)| {
        let one = (0..services, 0..sites, 0..routes, 0..shapes, 0_u64..500);
        proptest::collection::vec(one, 0..400).prop_map(|keys| {
            // Uneven services: the first one gets the crowd.
            keys.into_iter()
                .map(|(service, site, route, shape, n)| (n, key(service * (n % 2), site, route, shape)))
                .collect()
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_content_depends_on_the_events_alone(events in crowd(), parts in 1_usize..6, seed: u64) {
        let whole = all(small(), &events);
        prop_assert_eq!(total(&whole), events.len() as u64);
        let mut shuffled = events.clone();
        shuffled.sort_by_key(|(n, key)| mix(n ^ seed ^ key.site.0 ^ key.service.0));
        let mut pieces = vec![Cells::new(small()); parts];
        for (i, (n, key)) in shuffled.iter().enumerate() {
            pieces[i % parts].add(&event(*n, *key));
        }
        let mut merged = Cells::new(small());
        for piece in &pieces {
            merged.merge(piece);
        }
        prop_assert_eq!(bytes(&whole), bytes(&merged));
    }

    #[test]
    fn stored_rows_and_a_crash_change_nothing(events in crowd(), crash in 0_usize..400) {
        let whole = all(small(), &events);
        let mut stored: BTreeMap<CellKey, Cell> = BTreeMap::new();
        let mut cells = Cells::new(small());
        for (i, (n, key)) in events.iter().enumerate() {
            if i == crash {
                cells = Cells::restore(small(), stored.clone());
                prop_assert_eq!(cells.take_dirty().count(), 0);
            }
            let landed = cells.add(&event(*n, *key));
            prop_assert!(cells.get(&landed).is_some());
            prop_assert_eq!(cells.resolve(key), landed);
            for (key, cell) in cells.take_dirty() {
                match cell {
                    Some(cell) => { stored.insert(key, cell.clone()); }
                    None => { stored.remove(&key); }
                }
            }
        }
        prop_assert_eq!(&stored, &cells.by_key);
        prop_assert_eq!(bytes(&whole), bytes(&cells));
    }

    #[test]
    fn the_bounds_hold(events in crowd()) {
        let cells = all(small(), &events);
        let exact = cells.iter().filter(|(k, _)| k.site != OVERFLOW_ID).count();
        prop_assert!(exact <= 100, "{} cells", exact);
        prop_assert!(cells.services.len() <= small().services_max());
        let mut recounted = cells.clone();
        recounted.recount();
        prop_assert_eq!(&recounted.services, &cells.services);
        prop_assert_eq!((recounted.halvings, recounted.service_level), (cells.halvings, cells.service_level));
    }
}

#[test]
fn ten_thousand_shapes_of_one_block_make_at_most_eighty_cells() {
    let mut cells = Cells::default();
    for n in 0..10_000 {
        cells.add(&event(n, key(1, 1, 1, n)));
    }
    let exact = cells.iter().filter(|(k, _)| !is_overflow(k)).count();
    assert!((20..=64).contains(&exact), "{exact}");
    assert!(cells.len() <= 80);
    assert_eq!(total(&cells), 10_000);
}

#[test]
fn a_flood_of_blocks_in_one_service_leaves_the_others_alone() {
    let mut cells = Cells::default();
    let honest: Vec<CellKey> = (0..40).map(|n| key(2 + n % 4, n, n, n)).collect();
    for (n, key) in honest.iter().enumerate() {
        cells.add(&event(n as u64, *key));
    }
    for n in 0..30_000 {
        cells.add(&event(n, key(1, n, n, n)));
    }
    assert!(cells.len() <= 8_192 + 103 * 16, "{}", cells.len());
    for key in &honest {
        assert_eq!(cells.resolve(key), *key);
        assert_eq!(cells.get(key).unwrap().n, 1);
    }
    assert_eq!(total(&cells), 30_040);
}

#[test]
fn more_services_than_there_is_room_for_fold_into_sixteen_cells() {
    let mut cells = Cells::default();
    for n in 0..1_000 {
        cells.add(&event(n, key(n, 1, 1, 1)));
    }
    assert!(cells.len() <= 102 + 16, "{}", cells.len());
    assert_eq!(total(&cells), 1_000);
}

#[test]
fn faded_cells_are_forgotten_and_their_levels_with_them() {
    let mut cells = Cells::default();
    for n in 0..1_000 {
        cells.add(&event(n, key(1, 1, 1, n)));
    }
    assert_ne!(cells.resolve(&key(1, 1, 1, 1)).shape, shape(1).max(ShapeId(1)));
    let last = cells.iter().map(|(_, c)| c.last).max().unwrap();
    cells.take_dirty().for_each(drop);
    assert_eq!(cells.forget(last.plus(40 * Millis::HOUR)), []);
    let n = cells.len();
    assert_eq!(cells.forget(last.plus(60 * Millis::DAY)).len(), n);
    assert!(cells.is_empty());
    assert_eq!(cells.take_dirty().filter(|(_, cell)| cell.is_none()).count(), n);
    assert!((0..50).all(|s| cells.resolve(&key(1, 1, 1, s)) == key(1, 1, 1, s)));
}

#[test]
fn an_empty_collection_resolves_every_key_to_itself() {
    let cells = Cells::default();
    assert_eq!(cells.resolve(&key(1, 2, 3, 4)), key(1, 2, 3, 4));
    assert!(!is_overflow(&CellKey { tenant: id(1), ..key(1, 2, 3, 4) }));
}
