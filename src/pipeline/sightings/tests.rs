use proptest::prelude::*;

use super::*;
use crate::pipeline::cell::Cell;
use crate::pipeline::cell::testing::{event, id, key};
use crate::pipeline::judge::actors::Conduct;

fn cell(minutes: &[i64]) -> Cell {
    let mut cell = Cell::default();
    for (n, minute) in (0..).zip(minutes) {
        let mut o = event(n, key(1, 1, 1, 1));
        o.time = Millis(minute * Millis::MINUTE + 30_000);
        cell.add(&o);
    }
    cell
}

/// Everybody's share of the cell but the suspects'.
fn others() -> [Share; 1] {
    [Share { cell: key(1, 1, 1, 1), of: None }]
}

/// The shares of these suspects, as a cluster of them has them.
fn of(sightings: &Sightings, suspects: &[u64]) -> Vec<Share> {
    let rows: Vec<RowKey> = suspects.iter().map(|n| RowKey::Sender(id(1), Actor::Token(id(*n)))).collect();
    sightings.shares(&rows)
}

/// What is read of a store with one cell, of which suspects have a share that the ledger tells.
fn sightings(cell: &Cell, suspects: &[(u64, &[i64])]) -> Sightings {
    let tenant = id(1).0.to_be_bytes();
    let own = |key: &[u8]| [&tenant[..], key].concat();
    let cell_key = own(&postcard::to_stdvec(&key(1, 1, 1, 1)).unwrap());
    let actors: Vec<(Vec<u8>, Vec<u8>)> = suspects
        .iter()
        .map(|(actor, minutes)| {
            let mut conduct = Conduct::default();
            for minute in *minutes {
                conduct.touch(key(1, 1, 1, 1), Millis(minute * Millis::MINUTE + 30_000), 0, id(0));
            }
            // What follows the conduct in a dossier is not read.
            let value = [postcard::to_stdvec(&conduct).unwrap(), vec![0xff; 40]].concat();
            (own(&postcard::to_stdvec(&Actor::Token(id(*actor))).unwrap()), value)
        })
        .collect();
    let load = |kind: &str| -> Result<Stored, ()> {
        Ok(match kind {
            "cell" => vec![(cell_key.clone(), postcard::to_stdvec(cell).unwrap())],
            "suspect" => actors.iter().map(|(key, _)| (key.clone(), Vec::new())).collect(),
            _ => Vec::new(),
        })
    };
    let load_one = |kind: &str, wanted: &[u8]| {
        assert_eq!(kind, "actor");
        Ok(actors.iter().find(|(key, _)| key == wanted).map(|(_, value)| value.clone()))
    };
    let (sightings, n_unreadable) = Sightings::read(load, load_one).unwrap();
    assert_eq!(n_unreadable, 0);
    sightings
}

fn minutes(from: i64, to: i64) -> Range<Millis> {
    Millis(from * Millis::MINUTE)..Millis(to * Millis::MINUTE)
}

#[track_caller]
fn check(cell_minutes: &[i64], wanted: Range<Millis>, low: u64, high: u64) {
    let sightings = sightings(&cell(cell_minutes), &[]);
    assert_eq!(sightings.within(&others(), &wanted), Reckoning { low, high }, "{cell_minutes:?}");
}

#[test]
fn a_cell_tells_its_last_hour_by_the_minute_and_two_days_by_the_hour() {
    let day = 24 * 60;
    check(&[10, 20, 30], minutes(0, 100), 3, 3);
    check(&[10, 20, 30], minutes(15, 25), 1, 1);
    check(&[10, 20, 30], minutes(40, 50), 0, 0);
    // The first two are known by their hour alone.
    check(&[10, 20, 130], minutes(0, 60), 2, 2);
    check(&[10, 20, 25, 130], minutes(15, 22), 0, 2);
    // But the first and the last event are known by themselves.
    check(&[10, 20, 130], minutes(0, 15), 1, 2);
    check(&[10, 20, 130], minutes(15, 131), 1, 2);
    // A whole hour that ends where the minutes begin is no doubt.
    check(&[70, 130, 185], minutes(60, 126), 1, 1);
    // Before the 48 hours nothing is known but that it was after the first event.
    check(&[0, 100, 4 * day], minutes(0, day), 1, 2);
    check(&[0, 4 * day], minutes(-day, 3 * day), 1, 1);
}

#[test]
fn suspects_and_everyone_share_a_cell_without_counting_twice() {
    let sightings = sightings(&cell(&[10, 20, 30, 40]), &[(7, &[20, 30]), (8, &[40])]);
    let both = of(&sightings, &[7, 8]);
    let check = |shares: &[Share], wanted: &Range<Millis>, low, high| {
        assert_eq!(sightings.within(shares, wanted), Reckoning { low, high }, "{shares:?} {wanted:?}");
    };
    check(&both, &minutes(0, 100), 3, 3);
    check(&others(), &minutes(0, 100), 1, 1);
    // Two events from 20 to 30: one of them, both or none may lie before 25.
    check(&both, &minutes(0, 25), 0, 2);
    check(&others(), &minutes(0, 25), 0, 2);
    check(&both, &minutes(35, 100), 1, 1);
    check(&others(), &minutes(35, 100), 0, 0);
    let ever = sightings.ever(&both);
    let at = |minute: i64| Some(Millis(minute * Millis::MINUTE + 30_000));
    assert_eq!(ever, Sighting { events: 3, first: at(20), last: at(40) });
    assert_eq!(sightings.ever(&[&both[..], &others()].concat()).events, 4);
    assert_eq!(sightings.ever(&of(&sightings, &[8])), Sighting { events: 1, first: at(40), last: at(40) });
    assert_eq!(sightings.shares(&[RowKey::Cell(key(1, 1, 1, 1))]), others());
}

#[test]
fn a_cell_that_is_forgotten_has_nothing_and_a_broken_row_is_counted() {
    let known = sightings(&cell(&[10]), &[]);
    let other = Share { cell: key(2, 2, 2, 2), of: None };
    assert!(known.knows(&[other, others()[0]]) && !known.knows(&[other]) && of(&known, &[7]).is_empty());
    assert_eq!(known.within(&[other], &minutes(0, 100)), Reckoning::default());
    let load = |kind: &str| -> Result<Stored, ()> {
        Ok(if kind == "cell" { vec![(vec![1], vec![2]), (vec![0; 60], vec![0xff; 3])] } else { Vec::new() })
    };
    assert_eq!(Sightings::read(load, |_, _| Ok(None)).unwrap().1, 2);
}

proptest! {
    /// The truth lies between the two ends, whatever the stretch, and the beginning of a row is read as the whole is.
    #[test]
    fn the_truth_lies_between_the_ends(
        events in proptest::collection::vec(0..6_000_i64, 1..60), from in -10..6_010_i64, length in 1..3_000_i64,
    ) {
        let cell = cell(&events);
        let sightings = sightings(&cell, &[]);
        let times = sightings.cells.values().next().unwrap();
        prop_assert_eq!((times.n, times.first, times.last, &times.minutes), (cell.n, cell.first, cell.last, &cell.minutes));
        let wanted = minutes(from, from + length);
        let truth = events.iter().filter(|minute| **minute >= from && **minute < from + length).count() as u64;
        let told = sightings.within(&others(), &wanted);
        prop_assert!(told.low <= truth && truth <= told.high, "{told:?} {truth}");
    }
}
