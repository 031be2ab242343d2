//! What waits, what comes out, and what the checkpoint waits for.

use std::borrow::Cow;

use proptest::prelude::*;

use super::requests::{EVENTS_MAX, REQUESTS_MAX};
use super::*;
use crate::pipeline::decode::RequestFacts;
use crate::pipeline::event::{Client, Payload, Request};

const POLICY: GatherPolicy = GatherPolicy { join_wait_millis: 60_000, lines_wait_millis: 2_000, ..GatherPolicy::FILES };

fn at(topic: &str, offset: i64) -> Position<'_> {
    Position { topic, partition: 0, offset }
}

fn panic(ray: &str, second: i64) -> Piece<'static> {
    let event = PanicEvent { time: Millis(second * 1_000), ..PanicEvent::default() };
    Piece::Awaiting { ray: Cow::Owned(ray.to_owned()), event }
}

fn request(ray: &str, second: i64, ip: &str) -> Piece<'static> {
    let client = Client { ip: Some(ip.parse().unwrap()), ..Client::default() };
    let facts = RequestFacts { time: Millis(second * 1_000), client, status: Some(500), ..RequestFacts::default() };
    Piece::Request { ray: Cow::Owned(ray.to_owned()), facts }
}

/// Offset and address of what is whole.
fn told(whole: &[Gathered]) -> Vec<(i64, String)> {
    let ip = |event: &PanicEvent<'_>| event.client.ip.map_or_else(|| "none".to_owned(), |ip| ip.to_string());
    whole.iter().map(|gathered| (gathered.place.offset, ip(&gathered.event))).collect()
}

#[test]
fn a_panic_and_its_requests_log_find_each_other_in_either_order() {
    for log_first in [false, true] {
        let mut gather = Gather::default();
        let mut pieces =
            [(at("panics", 3), panic("8f0a", 10)), (at("requests", 9), request("8f0a", 11, "203.0.113.9"))];
        if log_first {
            pieces.reverse();
        }
        for (position, piece) in pieces {
            assert!(gather.take(&POLICY, position, piece));
        }
        assert_eq!(told(&gather.whole(None)), [(3, "203.0.113.9".to_owned())]);
        assert_eq!(gather.counts().joined, 1);
    }
}

#[test]
fn a_log_serves_every_panic_of_its_request_and_only_the_first_log_counts() {
    let mut gather = Gather::default();
    gather.take(&POLICY, at("panics", 0), panic("8f0a", 10));
    gather.take(&POLICY, at("panics", 1), panic("8f0a", 10));
    gather.take(&POLICY, at("requests", 0), request("8f0a", 11, "203.0.113.9"));
    assert!(!gather.take(&POLICY, at("requests", 1), request("8f0a", 11, "198.51.100.1")));
    gather.take(&POLICY, at("panics", 2), panic("8f0a", 12));
    let expected = [0, 1, 2].map(|offset| (offset, "203.0.113.9".to_owned()));
    assert_eq!(told(&gather.whole(None)), expected);
}

#[test]
fn a_join_fills_in_and_never_changes_what_the_panic_says() {
    let mut gather = Gather::default();
    let client = Client { ip: Some("192.0.2.1".parse().unwrap()), ..Client::default() };
    let event = PanicEvent { time: Millis(10_000), client, status: Some(200), ..PanicEvent::default() };
    gather.take(&POLICY, at("panics", 0), Piece::Awaiting { ray: Cow::Borrowed("8f0a"), event });
    gather.take(&POLICY, at("requests", 0), request("8f0a", 10, "203.0.113.9"));
    let whole = gather.whole(None);
    assert_eq!(told(&whole), [(0, "192.0.2.1".to_owned())]);
    assert_eq!(whole[0].event.status, Some(200));
}

#[test]
fn without_its_log_a_panic_goes_on_when_its_time_is_over() {
    let mut gather = Gather::default();
    gather.take(&POLICY, at("panics", 0), panic("8f0a", 10));
    assert!(gather.whole(None).is_empty());
    gather.take(&POLICY, at("panics", 1), panic("8f0b", 70));
    assert!(gather.whole(None).is_empty(), "it waits to the end of its minute");
    assert_eq!(told(&gather.whole(Some(Millis(70_001)))), [(0, "none".to_owned())]);
    assert_eq!(told(&gather.flush()), [(1, "none".to_owned())]);
    assert_eq!((gather.counts().missed, gather.is_empty()), (2, true));
}

#[test]
fn the_checkpoint_stays_behind_the_oldest_piece_that_waits() {
    let mut gather = Gather::default();
    let mut checkpoint = Checkpoint::default();
    for offset in 0..5 {
        checkpoint.advance(at("panics", offset));
        checkpoint.advance(at("requests", offset));
    }
    assert_eq!(gather.held_back(&checkpoint), checkpoint);
    gather.take(&POLICY, at("panics", 2), panic("8f0a", 10));
    gather.take(&POLICY, at("panics", 4), panic("8f0b", 10));
    gather.take(&POLICY, at("requests", 3), request("8f0c", 10, "192.0.2.1"));
    let back = gather.held_back(&checkpoint);
    assert_eq!((back.next_offset("panics", 0), back.next_offset("requests", 0)), (Some(2), Some(3)));
    gather.take(&POLICY, at("requests", 4), request("8f0a", 10, "192.0.2.1"));
    assert_eq!(gather.held_back(&checkpoint).next_offset("panics", 0), Some(4));
    gather.flush();
    assert_eq!(gather.held_back(&checkpoint), checkpoint);
}

#[test]
fn a_flood_of_panics_and_logs_is_bounded_and_loses_no_panic() {
    let mut gather = Gather::default();
    for offset in 0..10_000 {
        gather.take(&POLICY, at("panics", offset), panic(&format!("p{offset}"), 10));
    }
    assert_eq!(gather.counts().crowded_out, 10_000 - EVENTS_MAX as u64);
    for offset in 0..100_000 {
        gather.take(&POLICY, at("requests", offset), request(&format!("r{offset}"), 10, "192.0.2.1"));
    }
    let held: usize = gather.held.offsets.values().map(BTreeMap::len).sum();
    assert_eq!(held, EVENTS_MAX + REQUESTS_MAX);
    assert_eq!(gather.flush().len(), 10_000);
    assert!(gather.is_empty());
}

#[test]
fn panics_that_found_their_log_take_no_room_from_those_that_wait() {
    let mut gather = Gather::default();
    gather.take(&POLICY, at("panics", 0), panic("waits", 10));
    for offset in 1..20_000 {
        let ray = format!("p{offset}");
        gather.take(&POLICY, at("panics", offset), panic(&ray, 10));
        gather.take(&POLICY, at("requests", offset), request(&ray, 10, "192.0.2.1"));
    }
    assert_eq!(gather.whole(None).len(), 19_999);
    assert_eq!((gather.counts().crowded_out, gather.counts().missed), (0, 0));
    assert_eq!(told(&gather.flush()), [(0, "none".to_owned())]);
}

#[test]
fn large_bodies_do_not_wait_in_any_number() {
    let mut gather = Gather::default();
    let body = "x".repeat(1 << 20);
    for offset in 0..100 {
        let request = Request { payload: Payload::Text(Cow::Borrowed(&body)), ..Request::default() };
        let event = PanicEvent { request, ..PanicEvent::default() };
        gather.take(&POLICY, at("panics", offset), Piece::Awaiting { ray: Cow::Owned(format!("{offset}")), event });
    }
    assert_eq!(gather.whole(None).len(), 68, "32 of one MiB wait");
    assert_eq!(gather.flush().len(), 32);
}

proptest! {
    #[test]
    fn whatever_comes_every_panic_comes_out_once_and_nothing_is_held_in_the_end(
        pieces in proptest::collection::vec((0..3_u8, 0..6_u8, 0..300_i64), 0..200),
    ) {
        let mut gather = Gather::default();
        let (mut n_panics, mut out) = (0, Vec::new());
        for (offset, (kind, ray, second)) in (0..).zip(pieces) {
            let ray = ray.to_string();
            match kind {
                0 => {
                    n_panics += 1;
                    gather.take(&POLICY, at("panics", offset), panic(&ray, second));
                }
                1 => drop(gather.take(&POLICY, at("requests", offset), request(&ray, second, "192.0.2.1"))),
                _ => out.extend(gather.whole(Some(Millis(second * 1_000)))),
            }
        }
        out.extend(gather.flush());
        let mut offsets: Vec<i64> = out.iter().map(|gathered| gathered.place.offset).collect();
        offsets.sort_unstable();
        offsets.dedup();
        prop_assert_eq!(offsets.len(), n_panics);
        prop_assert_eq!(out.len(), n_panics);
        prop_assert!(gather.is_empty() && gather.held.offsets.is_empty());
    }
}
