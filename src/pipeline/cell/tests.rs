use proptest::prelude::*;

use super::testing::{event, id, key};
use super::*;
use crate::pipeline::observation::Actor;

fn bytes(cell: &Cell) -> Vec<u8> {
    postcard::to_stdvec(cell).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_order_and_any_partition_give_the_same_bytes(
        numbers in proptest::collection::vec(0_u64..2_000, 0..200), parts in 1_usize..9, seed: u64,
    ) {
        let mut whole = Cell::default();
        for n in &numbers {
            whole.add(&event(*n, key(1, 1, 1, 1)));
        }
        let mut shuffled = numbers.clone();
        shuffled.sort_by_key(|n| crate::pipeline::sample::mix(n ^ seed));
        let mut cells = vec![Cell::default(); parts];
        for (i, n) in shuffled.iter().enumerate() {
            cells[(i * 31 + 7) % parts].add(&event(*n, key(1, 1, 1, 1)));
        }
        let mut merged = Cell::default();
        for cell in &cells {
            merged.merge(cell);
        }
        prop_assert_eq!(bytes(&whole), bytes(&merged));
        prop_assert_eq!(postcard::from_bytes::<Cell>(&bytes(&whole)).unwrap(), whole);
    }
}

#[test]
fn an_event_is_counted_under_every_fact_it_has() {
    let mut cell = Cell::default();
    let e = event(30, key(1, 1, 1, 1));
    cell.add(&e);
    assert_eq!((cell.n, cell.first, cell.last), (1, e.time, e.time));
    assert_eq!(cell.releases.get(text_id(id(1), "1.6").0), 1);
    assert_eq!(cell.scopes.get(text_id(id(1), "read write").0), 1);
    assert_eq!(cell.classes.get(text_id(id(1), "class-0").0), 1);
    assert_eq!(cell.countries.get(country_code(*b"AK")), 1);
    assert_eq!(country_letters(country_code(*b"AK")), Some(*b"AK"));
    assert_eq!((cell.recovered(RecoveryOutcome::Recovered), cell.recovered(RecoveryOutcome::Escaped)), (1, 0));
    assert_eq!(cell.parsed(Parse::Sound), 1);
    assert_eq!(cell.marks.iter().sum::<u64>(), 4, "30 has four bits");
    assert_eq!((cell.token_validity, cell.n_secondary, cell.statuses.get(510)), ([1, 0, 0], 1, 1));
    assert_eq!(cell.examples.values().next().unwrap().event_id, "event-30");
    assert_eq!((cell.coarse, cell.sketch), (30, e.sketch));
}

#[test]
fn a_long_event_id_is_cut_between_characters() {
    let mut e = event(1, key(1, 1, 1, 1));
    e.event_id = "é".repeat(100_000).into();
    let mut cell = Cell::default();
    cell.add(&e);
    assert_eq!(cell.examples.values().next().unwrap().event_id, "é".repeat(64));
}

#[test]
fn a_cell_of_a_hundred_thousand_hostile_events_stays_small() {
    let mut cell = Cell::default();
    for n in 0..100_000 {
        let mut e = event(n, key(1, 1, 1, 1));
        e.source.address_id = Some(id(n));
        e.source.prefix_id = Some(id(n));
        e.actor = Actor::Prefix(id(n));
        e.content = id(n);
        e.release = Some(format!("{n}").into());
        cell.add(&e);
    }
    let size = bytes(&cell).len();
    assert!(size < 6_144, "{size} bytes");
    assert!((80_000..120_000).contains(&cell.actors.len_estimate()) || cell.actors.len_estimate() < 160_000);
}

#[test]
fn stored_bytes_that_are_cut_are_refused() {
    let stored = bytes(&Cell::default());
    assert!(postcard::from_bytes::<Cell>(&stored[..stored.len() - 3]).is_err());
}
