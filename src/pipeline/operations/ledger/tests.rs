use proptest::prelude::*;

use super::*;
use crate::pipeline::cell::testing::{event, id, key};
use crate::pipeline::operations::chains::Link;
use crate::pipeline::operations::gate::Gate;
use crate::pipeline::operations::tally::Counter;

const CALM: Circumstances = Circumstances {
    hostile: false,
    gate: Gate::Safe,
    link: Link { continues: false, changed_before: false, gate_before: None },
    poisoned: None,
};

fn at(n: u64, service: u64, route: u64, minute: i64) -> Observation<'static> {
    let mut o = event(n, key(service, 1, route, 1));
    o.time = Millis(minute * Millis::MINUTE);
    o
}

fn whole(ledger: &Ledger, tier: Tier) -> u64 {
    let pages = ledger.books.get(&tier).into_iter().flat_map(|book| book.pages.values());
    pages.flat_map(|page| page.accounts.values()).map(|tally| tally.get(Counter::Events)).sum()
}

#[test]
fn an_event_counts_once_in_each_tier() {
    let mut ledger = Ledger::default();
    (0..30).for_each(|n| ledger.observe(&at(n, 1, n % 3, i64::try_from(n).unwrap()), CALM));
    ledger.settle();
    for tier in Tier::ALL {
        assert_eq!(whole(&ledger, tier), 30, "{tier:?}");
    }
    let span = ledger.span(Millis(0), Millis(10 * Millis::MINUTE));
    assert_eq!((span.tier, ledger.pages(span).count()), (Tier::FiveMinutes, 2));
}

#[test]
fn a_flood_of_guessed_routes_leaves_the_named_ones_alone_and_nothing_uncounted() {
    let mut ledger = Ledger::default();
    for n in 0..600 {
        let mut o = at(n, n % 2, n % 300, 1);
        o.release = None;
        o.has_template = n % 300 < 40;
        ledger.observe(&o, CALM);
    }
    ledger.settle();
    let (_, page) = ledger.pages(ledger.span(Millis(0), Millis(1))).next().unwrap();
    let named = page.accounts().filter(|(account, _)| matches!(account.route, RouteKey::Named(_))).count();
    assert_eq!(named, 40);
    assert!(page.accounts().len() <= ACCOUNTS_MAX + RESTS_MAX + 1);
    assert_eq!(page.accounts().map(|(_, tally)| tally.get(Counter::Events)).sum::<u64>(), 600);
}

#[test]
fn a_flood_of_services_ends_in_one_rest() {
    let mut ledger = Ledger::default();
    (0..5_000).for_each(|n| ledger.observe(&at(n, n, n, 1), CALM));
    ledger.settle();
    let (_, page) = ledger.pages(ledger.span(Millis(0), Millis(1))).next().unwrap();
    assert!(page.accounts().len() <= ACCOUNTS_MAX + RESTS_MAX + 1, "{}", page.accounts().len());
    assert_eq!(page.accounts().map(|(_, tally)| tally.get(Counter::Events)).sum::<u64>(), 5_000);
}

#[test]
fn a_page_is_counted_when_each_of_its_windows_has_a_total() {
    let mut ledger = Ledger::default();
    let demand = |route| Demand { service: None, route: id(route), release: ReleaseKey::Untold };
    let whole = |ledger: &Ledger, tier: Tier| {
        ledger.books[&tier].pages.values().map(|page| page.is_counted(tier)).collect::<Vec<_>>()
    };
    for n in 0..12 {
        assert_eq!(ledger.books.get(&Tier::Hours).map(|_| whole(&ledger, Tier::Hours)), (n > 0).then(|| vec![false]));
        for route in 1..3 {
            ledger.count_requests(Millis(n * 5 * Millis::MINUTE), demand(route), 1).unwrap();
        }
    }
    assert_eq!((whole(&ledger, Tier::Hours), whole(&ledger, Tier::Days)), (vec![true], vec![false]));
    assert_eq!(whole(&ledger, Tier::FiveMinutes), vec![true; 12]);
    ledger.observe(&at(1, 1, 1, 70), CALM);
    ledger.settle();
    assert_eq!(whole(&ledger, Tier::FiveMinutes).iter().filter(|counted| !**counted).count(), 1);
}

#[test]
fn request_totals_count_once_and_a_second_word_is_named() {
    let mut ledger = Ledger::default();
    let demand = Demand { service: None, route: id(1), release: ReleaseKey::Untold };
    let five = |n: i64| Millis(n * 5 * Millis::MINUTE);
    assert_eq!(ledger.count_requests(five(1), demand, 12), Ok(()));
    assert_eq!(ledger.count_requests(five(1), demand, 12), Err(DemandFault::Repeated));
    assert_eq!(ledger.count_requests(five(1), demand, 13), Err(DemandFault::Contradicts { counted: 12 }));
    assert_eq!(ledger.count_requests(five(2), demand, 8), Ok(()));
    assert_eq!(ledger.count_requests(Millis(1), demand, 8), Err(DemandFault::Misaligned));
    let hour = ledger.books[&Tier::Hours].pages.values().next().unwrap();
    assert_eq!(hour.requests().map(|(_, n)| n).collect::<Vec<_>>(), [20]);
    for n in 1..300 {
        let other = Demand { route: id(1_000 + n), ..demand };
        let expected = if n < 256 { Ok(()) } else { Err(DemandFault::Full) };
        assert_eq!(ledger.count_requests(five(3), other, 1), if n <= 255 { expected } else { Err(DemandFault::Full) });
    }
    for n in 10..700 {
        let _kept_or_not = ledger.count_requests(five(n), demand, 1);
    }
    assert_eq!(ledger.count_requests(five(4), demand, 1), Err(DemandFault::TooOld));
}

#[test]
fn what_was_dropped_from_five_minutes_is_told_by_the_hour() {
    let mut ledger = Ledger::default();
    for hour in 0..80 {
        (0..12).for_each(|n| ledger.observe(&at(n, 1, 1, hour * 60 + i64::try_from(n).unwrap() * 5), CALM));
    }
    ledger.settle();
    let span = ledger.span(Millis(61 * Millis::MINUTE), Millis(119 * Millis::MINUTE));
    assert_eq!(span, Span { from: Millis(Millis::HOUR), to: Millis(2 * Millis::HOUR), tier: Tier::Hours });
    let recent = ledger.span(Millis(79 * Millis::HOUR), Millis(80 * Millis::HOUR));
    assert_eq!(recent.tier, Tier::FiveMinutes);
    let all = ledger.extent().unwrap();
    assert_eq!((all.from.0, all.to.0, all.tier), (0, 80 * Millis::HOUR, Tier::Hours));
    assert_eq!(whole(&ledger, Tier::Hours), 960);
}

#[test]
fn a_broken_clock_costs_a_page_and_not_the_others() {
    let mut ledger = Ledger::default();
    (0..40).for_each(|n| ledger.observe(&at(n, 1, 1, 5 * i64::try_from(n).unwrap()), CALM));
    ledger.observe(&at(99, 1, 1, 9_000_000_000), CALM);
    ledger.settle();
    assert_eq!(whole(&ledger, Tier::FiveMinutes), 41);
}

#[test]
fn rows_bring_the_ledger_back() {
    let mut ledger = Ledger::default();
    (0..2_000).for_each(|n| ledger.observe(&at(n, n % 3, n % 50, i64::try_from(n).unwrap() * 3), CALM));
    let demand = Demand { service: Some(id(1)), route: id(1), release: ReleaseKey::One(id(4)) };
    ledger.count_requests(Millis(5_400 * Millis::MINUTE), demand, 3).unwrap();
    let rows = ledger.take_rows();
    let read = |kind: &'static str| rows.iter().filter(move |row| row.kind == kind);
    let pages = read("ledger").filter_map(|row| {
        Some((postcard::from_bytes(&row.key).unwrap(), postcard::from_bytes(row.value.as_ref()?).unwrap()))
    });
    let reaches = read("ledger_reach").filter_map(|row| {
        Some((postcard::from_bytes(&row.key).unwrap(), postcard::from_bytes(row.value.as_ref()?).unwrap()))
    });
    assert_eq!(Ledger::restore(pages, reaches), ledger);
    assert!(ledger.take_rows().is_empty());
}

proptest! {
    #[test]
    fn order_and_partition_change_nothing(
        events in prop::collection::vec((0_u64..40, 0_u64..3, 0_u64..200, 0_i64..90, any::<bool>()), 1..400),
        cut in 0_usize..400,
        seed in any::<u64>(),
    ) {
        let book = |ledger: &mut Ledger, (n, service, route, minute, named): (u64, u64, u64, i64, bool)| {
            let mut o = at(n, service, route, minute);
            o.has_template = named;
            ledger.observe(&o, Circumstances { hostile: n % 2 == 0, ..CALM });
        };
        let mut straight = Ledger::default();
        for event in &events {
            book(&mut straight, *event);
        }
        straight.settle();
        let mut shuffled = events.clone();
        shuffled.sort_by_key(|(n, service, route, minute, _)| mix(seed ^ n ^ service << 8 ^ route << 16 ^ minute.unsigned_abs() << 32));
        let mut other = Ledger::default();
        for (at, event) in shuffled.iter().enumerate() {
            book(&mut other, *event);
            if at == cut % events.len() || at % 7 == 0 {
                other.settle();
            }
        }
        other.settle();
        prop_assert_eq!(&straight.books, &other.books);
        prop_assert_eq!(whole(&straight, Tier::Days), events.len() as u64);
    }
}
