use super::*;
use crate::pipeline::cell::testing::{event, id, key};
use crate::pipeline::cell::text_id;
use crate::pipeline::operations::chains::Link;
use crate::pipeline::operations::gate::Gate;
use crate::pipeline::operations::ledger::Demand;
use crate::pipeline::operations::tally::Circumstances;

pub(crate) const fn circumstances(hostile: bool) -> Circumstances {
    let link = Link { continues: false, changed_before: false, gate_before: None };
    Circumstances { hostile, gate: Gate::Safe, link, poisoned: None }
}

pub(crate) fn release(name: &str) -> ReleaseKey {
    ReleaseKey::One(text_id(id(1), name))
}

/// Adds `n` panics of a release on a route within five minutes from `page` on.
pub(crate) fn add(ledger: &mut Ledger, (page, route): (i64, u64), name: &'static str, n: u64, hostile: bool) {
    for at in 0..n {
        let mut o = event(2 * at, key(1, 1, route, 1));
        o.release = Some(name.into());
        o.expected = None;
        o.time = Millis(page * PAGE_MILLIS + i64::try_from(at * 300_000 / n).unwrap());
        ledger.observe(&o, circumstances(hostile));
    }
    ledger.settle();
}

pub(crate) fn requests(ledger: &mut Ledger, (page, route): (i64, u64), name: &str, n: u64) {
    let demand = Demand { service: Some(id(1)), route: id(route), release: release(name) };
    ledger.count_requests(Millis(page * PAGE_MILLIS), demand, n).unwrap();
}

fn line(ledger: &Ledger, page: i64) -> Option<Line> {
    Line::newest(ledger, Millis(page * PAGE_MILLIS)).into_iter().next()
}

fn recent(ledger: &Ledger, line: &Line, pages: std::ops::Range<i64>) -> Sheet {
    let at = |page: i64| Millis(page * PAGE_MILLIS);
    Sheet::of(
        ledger,
        Span { from: at(pages.start), to: at(pages.end), tier: Tier::FiveMinutes },
        line.service,
        line.new,
    )
}

#[test]
fn the_newest_release_is_held_against_the_one_before_it() {
    let mut ledger = Ledger::default();
    (0..20).for_each(|page| add(&mut ledger, (page, 1), "1.0", 10, false));
    assert_eq!(line(&ledger, 20), None);
    (18..24).for_each(|page| add(&mut ledger, (page, 1), "1.1", 40, false));
    let line = line(&ledger, 24).unwrap();
    assert_eq!((line.new, line.old, line.since), (release("1.1"), release("1.0"), Millis(18 * PAGE_MILLIS)));
    assert_eq!((line.reference.whole.events, line.reference.whole.honest), (200, 200));
}

#[test]
fn what_was_there_when_the_account_began_is_not_new() {
    let mut ledger = Ledger::default();
    (0..20).for_each(|page| add(&mut ledger, (page, 1), "1.0", 10, false));
    (2..20).for_each(|page| add(&mut ledger, (page, 1), "1.1", 10, false));
    assert_eq!(line(&ledger, 20), None);
    assert_eq!(line(&Ledger::default(), 20), None);
}

#[test]
fn without_requests_a_release_is_held_against_the_busiest_time_before_it() {
    let mut ledger = Ledger::default();
    (0..20).for_each(|page| add(&mut ledger, (page, 1), "1.0", if page == 7 { 60 } else { 10 }, false));
    (20..23).for_each(|page| add(&mut ledger, (page, 1), "1.1", 40, false));
    let line = line(&ledger, 23).unwrap();
    let pace = line.pace(&recent(&ledger, &line, 20..23), 3, None).unwrap();
    assert_eq!((pace.new, pace.old), (120, 80));
    assert_eq!(pace.denominator, Denominator::Busiest { millis: 15 * Millis::MINUTE });
    assert!((pace.ratio.estimate - 1.5).abs() < 1e-12);
}

#[test]
fn with_requests_only_pages_with_totals_count() {
    let mut ledger = Ledger::default();
    for page in 0..20 {
        add(&mut ledger, (page, 1), "1.0", 10, false);
        requests(&mut ledger, (page, 1), "1.0", 1_000);
    }
    (20..24).for_each(|page| add(&mut ledger, (page, 1), "1.1", 40, false));
    (20..22).for_each(|page| requests(&mut ledger, (page, 1), "1.1", 500));
    let line = line(&ledger, 23).unwrap();
    let pace = line.pace(&recent(&ledger, &line, 20..24), 4, Some(RouteKey::Named(id(1)))).unwrap();
    assert_eq!((pace.new, pace.old), (80, 200));
    assert_eq!(pace.denominator, Denominator::Requests { new: 1_000, old: 20_000 });
    assert!((pace.ratio.estimate - 8.0).abs() < 1e-12);
}

#[test]
fn hostile_panics_make_no_release_worse() {
    let mut ledger = Ledger::default();
    (0..20).for_each(|page| add(&mut ledger, (page, 1), "1.0", 10, false));
    (20..23).for_each(|page| add(&mut ledger, (page, 1), "1.1", 400, true));
    (20..23).for_each(|page| add(&mut ledger, (page, 1), "1.1", 10, false));
    let line = line(&ledger, 23).unwrap();
    let sheet = recent(&ledger, &line, 20..23);
    assert_eq!((sheet.whole.events, line.pace(&sheet, 3, None).unwrap().new), (1_230, 30));
}

#[test]
fn the_busiest_time_is_the_same_as_by_trying_all() {
    let counts: [u64; 12] = [3, 0, 7, 1, 1, 9, 0, 0, 4, 4, 4, 100];
    let mut sheet = Sheet::default();
    for (page, n) in (0..).zip(counts) {
        if n > 0 {
            sheet.pages.entry(None).or_default().insert(Millis(page * PAGE_MILLIS), n);
        }
    }
    for width in 1..=11_usize {
        let expected = counts[..11].windows(width).map(|part| part.iter().sum::<u64>()).max().unwrap();
        let width = i64::try_from(width).unwrap();
        assert_eq!(sheet.busiest(None, width, Millis(11 * PAGE_MILLIS)), expected, "{width}");
    }
    assert_eq!(sheet.busiest(Some(RouteKey::Rest), 3, Millis(0)), 0);
}
