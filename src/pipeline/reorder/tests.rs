use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::pipeline::cell::testing::{event, key};

/// The `n`th event, at this second.
fn at(second: i64, n: u64) -> Observation<'static> {
    Observation { time: Millis(second * Millis::SECOND), ..event(n, key(1, n % 4, 1, n % 9)) }
}

/// Puts a batch through; what goes, in order.
fn go(
    reorder: &mut Reorder,
    batch: &[Observation<'static>],
    wait: i64,
    until: Option<i64>,
) -> Vec<Observation<'static>> {
    let mut seen = batch.to_vec();
    seen.sort_by_key(Rank::of);
    let until = until.map(|second| Millis(second * Millis::SECOND));
    let waited = reorder.exchange(&mut seen, wait * Millis::SECOND, until);
    let mut gone = seen;
    gone.extend(waited.iter().map(|bytes| read(bytes)));
    gone.sort_by_key(Rank::of);
    gone
}

/// An event out of the bytes that it waited as.
fn read(bytes: &[u8]) -> Observation<'static> {
    let o: Observation<'_> = postcard::from_bytes(bytes).unwrap();
    assert_eq!(o.position.topic, "panics");
    let position = crate::pipeline::event::Position { topic: "panics", ..o.position };
    let owned = |text: &std::borrow::Cow<'_, str>| text.clone().into_owned().into();
    let aftermath = crate::pipeline::observation::Aftermath { boundary: None, region: None, ..o.aftermath };
    Observation {
        position,
        event_id: owned(&o.event_id),
        tenant: owned(&o.tenant),
        service: owned(&o.service),
        route: owned(&o.route),
        release: o.release.as_ref().map(owned),
        agent_name: owned(&o.agent_name),
        aftermath,
        ..o
    }
}

/// The seconds of what goes after each batch, which is given as seconds and until when nobody is expected.
#[track_caller]
fn check(wait: i64, batches: &[(&[i64], Option<i64>)], expected: &[&[i64]]) {
    let mut reorder = Reorder::default();
    let mut n = 0;
    let mut gone = Vec::new();
    for (seconds, until) in batches {
        let batch: Vec<_> = seconds
            .iter()
            .map(|second| {
                at(*second, {
                    n += 1;
                    n
                })
            })
            .collect();
        let batch = go(&mut reorder, &batch, wait, *until);
        gone.push(batch.iter().map(|o| o.time.0 / Millis::SECOND).collect::<Vec<_>>());
    }
    assert_eq!(gone, expected);
}

#[test]
fn without_a_wait_each_batch_goes_at_once_in_the_order_of_time() {
    check(0, &[(&[3, 1], None), (&[2], None)], &[&[1, 3], &[2]]);
}

#[test]
fn an_event_goes_when_two_have_come_that_are_later_by_more_than_the_wait() {
    check(60, &[(&[100, 90], None), (&[161], None), (&[170], None), (&[110], None)], &[&[], &[], &[90, 100], &[]]);
    check(60, &[(&[100], None), (&[160, 160], None), (&[161, 161], None)], &[&[], &[], &[100]]);
}

#[test]
fn one_broken_clock_hurries_nobody_and_is_waited_for_by_nobody() {
    check(60, &[(&[100, 999_999], None), (&[101], None), (&[170, 171], None)], &[&[], &[], &[100, 101]]);
}

#[test]
fn silence_lets_those_go_whom_nobody_can_precede() {
    check(60, &[(&[100, 101, 150], None), (&[], Some(101)), (&[], Some(200))], &[&[], &[100], &[101, 150]]);
}

#[test]
fn who_comes_behind_those_who_went_goes_at_once() {
    check(60, &[(&[100, 200, 201], None), (&[99, 205], None)], &[&[100], &[99]]);
}

#[test]
fn a_wait_that_is_taken_back_lets_all_go() {
    let mut reorder = Reorder::default();
    assert!(go(&mut reorder, &[at(100, 1), at(101, 2)], 60, None).is_empty());
    assert_eq!(go(&mut reorder, &[at(90, 3)], 0, None), [at(90, 3), at(100, 1), at(101, 2)]);
}

#[test]
fn of_more_than_there_is_room_for_the_earliest_go() {
    let mut reorder = Reorder::default();
    assert!(go(&mut reorder, &[at(100, 1), at(101, 2), at(102, 3)], 60, None).is_empty());
    let first = postcard::to_stdvec(&at(100, 1)).unwrap().len();
    reorder.n_bytes = BYTES_MAX + first;
    assert_eq!(go(&mut reorder, &[], 60, None), [at(100, 1)]);
    // The order of those who went stays known: whoever precedes them does not wait.
    assert_eq!(go(&mut reorder, &[at(99, 4)], 60, None), [at(99, 4)]);
}

/// A store of rows.
#[derive(Default)]
struct Kept(BTreeMap<(&'static str, Vec<u8>), Vec<u8>>);

impl Kept {
    fn keep(&mut self, rows: Vec<StateRow>) {
        for StateRow { kind, key, value } in rows {
            match value {
                Some(value) => self.0.insert((kind, key), value),
                None => self.0.remove(&(kind, key)),
            };
        }
    }

    fn chunks(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let chunks = self.0.iter().filter(|((kind, _), _)| *kind == WAITING);
        chunks.map(|((_, key), value)| (key.clone(), value.clone())).collect()
    }

    fn restored(&self) -> (Reorder, usize) {
        let passed = self.0.iter().find(|((kind, _), _)| *kind == PASSED);
        Reorder::restore(self.chunks(), passed.map(|(_, value)| value.as_slice()))
    }
}

#[test]
fn a_row_holds_who_came_together_and_goes_with_the_last_of_them() {
    let (mut reorder, mut kept) = (Reorder::default(), Kept::default());
    let many: Vec<_> = (0..300).map(|n| at(i64::try_from(n).unwrap(), n)).collect();
    go(&mut reorder, &many, 600, None);
    kept.keep(reorder.take_rows());
    assert_eq!(kept.chunks().len(), 2);
    let written = kept.chunks();
    assert_eq!(go(&mut reorder, &[], 600, Some(CHUNK_LEN.try_into().unwrap())).len(), CHUNK_LEN);
    kept.keep(reorder.take_rows());
    assert_eq!(kept.chunks(), written[1..], "the first row is gone, the second is as it was");
    assert_eq!(reorder.flush().len(), 300 - CHUNK_LEN);
    kept.keep(reorder.take_rows());
    assert!(kept.chunks().is_empty() && reorder.n_bytes == 0 && reorder.chunks.is_empty());
}

#[test]
fn a_row_that_cannot_be_read_is_counted_and_the_others_wait() {
    let (mut reorder, mut kept) = (Reorder::default(), Kept::default());
    for n in 0..3 {
        go(&mut reorder, &[at(100, n)], 60, None);
        kept.keep(reorder.take_rows());
    }
    let mut rows = kept.0.values_mut();
    rows.next().unwrap();
    rows.next().unwrap().truncate(20);
    let (mut restored, n_unreadable) = kept.restored();
    assert_eq!((n_unreadable, restored.flush().len()), (1, 2));
}

proptest! {
    #[test]
    fn any_order_within_the_wait_and_any_restart_give_the_same_sequence(
        seconds in proptest::collection::vec(0_i64..400, 1..60),
        delays in proptest::collection::vec(0_i64..=60, 60),
        cuts in proptest::collection::vec((1_usize..8, any::<bool>()), 60),
    ) {
        let mut events: Vec<_> = (0..).zip(&seconds).map(|(n, second)| at(*second, n)).collect();
        let mut arriving: Vec<(i64, Observation<'static>)> =
            events.iter().zip(&delays).map(|(o, delay)| (o.time.0 / Millis::SECOND + delay, o.clone())).collect();
        arriving.sort_by_key(|(arrives, o)| (*arrives, o.event));
        let mut arriving: &[_] = &arriving.into_iter().map(|(_, o)| o).collect::<Vec<_>>();
        let (mut reorder, mut kept, mut gone) = (Reorder::default(), Kept::default(), Vec::new());
        for (n, restarts) in cuts {
            let (batch, rest) = arriving.split_at(n.min(arriving.len()));
            arriving = rest;
            gone.extend(go(&mut reorder, batch, 60, None));
            kept.keep(reorder.take_rows());
            if restarts {
                let (restored, n_unreadable) = kept.restored();
                prop_assert_eq!(n_unreadable, 0);
                reorder = restored;
            }
        }
        gone.extend(reorder.flush().iter().map(|bytes| read(bytes)));
        events.sort_by_key(Rank::of);
        prop_assert_eq!(gone, events);
    }
}
