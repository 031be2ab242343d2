use std::borrow::Cow;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::pipeline::cell::testing::{event, key};
use crate::pipeline::classify::Classified;

/// An event at one of `sites` sites, in one of `releases` releases.
fn at(n: u64, site: u64, release: Option<u64>) -> Observation<'static> {
    let mut o = event(n, key(site % 3, site, n % 5, 0));
    o.release = release.map(|release| Cow::Owned(format!("1.{release}")));
    o
}

fn inventory<'o>(events: impl IntoIterator<Item = &'o Observation<'static>>) -> Surfaces {
    let mut surfaces = Surfaces::default();
    events.into_iter().for_each(|o| surfaces.observe(o));
    surfaces
}

/// What a store would hold.
fn bytes(surfaces: &Surfaces) -> Vec<u8> {
    let rows: Vec<_> = surfaces.iter().collect();
    postcard::to_stdvec(&(rows, surfaces.level())).unwrap()
}

fn n_events(surfaces: &Surfaces) -> u64 {
    surfaces.iter().map(|(_, counts)| counts.n).sum()
}

#[test]
fn a_row_counts_what_became_of_its_events() {
    let mut events = Vec::new();
    for n in 0..60_u64 {
        let mut o = at(n, 1, Some(3));
        o.panic = Arc::new(Classified { class: "index_oob".to_owned(), ..(*o.panic).clone() });
        o.recovery = RecoveryOutcome::ALL[usize::try_from(n % 6).unwrap()];
        o.status = (n % 3 != 0).then_some(if n % 2 == 0 { 500 } else { 999 });
        o.time = Millis(1_000 + i64::try_from(n).unwrap());
        events.push(o);
    }
    let surfaces = inventory(&events);
    let rows: Vec<_> = surfaces.iter().collect();
    let [(key, counts)] = rows.as_slice() else { panic!("{} rows", rows.len()) };
    let tenant = events[0].cell.tenant;
    assert_eq!(key.release, ReleaseKey::One(text_id(tenant, "1.3")));
    assert_eq!(key.place.unwrap().class, text_id(tenant, "index_oob"));
    assert_eq!((counts.n, counts.first, counts.last), (60, Millis(1_000), Millis(1_059)));
    assert_eq!(counts.recoveries, [10; 6]);
    assert_eq!(counts.recovered(RecoveryOutcome::Aborted), 10);
    assert_eq!((counts.statuses.get(500), counts.statuses.get(999)), (20, 20));
    assert_eq!(counts.status_classes, [0, 0, 0, 0, 20, 0, 0, 0, 20]);
    assert_eq!(counts.routes.len_estimate(), 5);
}

#[test]
fn an_untold_release_is_told_from_the_others() {
    let surfaces = inventory(&[at(0, 1, None), at(10, 1, Some(1)), at(20, 1, Some(2))]);
    let releases: Vec<ReleaseKey> = surfaces.iter().map(|(key, _)| key.release).collect();
    assert_eq!(releases.len(), 3);
    assert!(releases.contains(&ReleaseKey::Untold) && !releases.contains(&ReleaseKey::Others));
}

#[test]
fn a_full_table_gives_up_releases_before_sites_and_loses_no_event() {
    let check = |sites: u64, releases: u64, sites_stand: bool| {
        let surfaces =
            inventory(&(0..sites * releases).map(|n| at(n * 10, n % sites, Some(n / sites))).collect::<Vec<_>>());
        assert!(surfaces.iter().len() <= ROWS_MAX, "{} rows", surfaces.iter().len());
        assert!(surfaces.level() > 0);
        assert_eq!(n_events(&surfaces), sites * releases);
        let standing: BTreeSet<Id> = surfaces.iter().filter_map(|(key, _)| Some(key.place?.site)).collect();
        assert_eq!(standing.len() as u64 == sites, sites_stand, "{} of {sites} sites", standing.len());
        assert!(standing.len() > ROWS_MAX / 4 || sites_stand);
    };
    check(100, 90, true);
    check(3, 2_500, true);
    check(3_000, 2, true);
    check(9_000, 1, false);
}

#[test]
fn a_full_table_stays_small_in_the_store() {
    let mut widest = 0;
    // Every status and many routes on every site: the worst that an honest producer can do.
    let mut surfaces = Surfaces::default();
    for n in 0..400_000_u64 {
        let mut o = at(n * 10, n % 4_000, Some(0));
        o.cell.route = Id(mix(n));
        o.status = Some(100 + u16::try_from(n / 4_000 * 9 % 900).unwrap());
        o.recovery = RecoveryOutcome::ALL[usize::try_from(n / 4_000 % 6).unwrap()];
        o.time = Millis(1_790_000_000_000 + i64::try_from(n).unwrap());
        surfaces.observe(&o);
    }
    assert_eq!((surfaces.level(), surfaces.iter().len()), (0, 4_000));
    for row in surfaces.take_rows() {
        let n_bytes = row.key.len() + row.value.map_or(0, |value| value.len());
        widest = widest.max(n_bytes);
    }
    // Eight bytes of the tenant come before; counts above 127 take more: up to 10 bytes each where these take one or two.
    assert!(widest + 8 <= ROW_BYTES_MAX, "{widest}");
}

#[test]
fn what_is_silent_for_a_year_goes_and_detail_comes_back() {
    let mut surfaces = inventory(&(0..9_000).map(|n| at(n * 10, n % 100, Some(n / 100))).collect::<Vec<_>>());
    let mut late = at(7, 5, Some(1));
    late.time = Millis(0).plus(400 * Millis::DAY);
    surfaces.observe(&late);
    surfaces.take_rows();
    let level = surfaces.level();
    assert!(level > 0);
    surfaces.forget(Millis(0).plus(380 * Millis::DAY));
    assert_eq!((surfaces.iter().len(), surfaces.level()), (1, level - 1));
    let rows = surfaces.take_rows();
    assert!(rows.iter().filter(|row| row.kind == "surface" && row.value.is_none()).count() > 1_000);
    assert_eq!(rows.iter().filter(|row| row.kind == "surface_level").count(), 1);
    surfaces.forget(Millis(0).plus(800 * Millis::DAY));
    assert_eq!(surfaces.iter().len(), 0);
}

#[test]
fn what_a_store_kept_comes_back_whole_and_goes_on() {
    let events: Vec<_> = (0..6_000).map(|n| at(n, n % 90, Some(n / 60))).collect();
    let (before, after) = events.split_at(5_000);
    let mut surfaces = inventory(before);
    let mut stored = BTreeMap::new();
    let mut level = 0;
    let keep = |surfaces: &mut Surfaces, stored: &mut BTreeMap<Vec<u8>, Vec<u8>>, level: &mut u8| {
        for row in surfaces.take_rows() {
            match (row.kind, row.value) {
                ("surface_level", Some(value)) => *level = postcard::from_bytes(&value).unwrap(),
                (_, Some(value)) => drop(stored.insert(row.key, value)),
                (_, None) => drop(stored.remove(&row.key)),
            }
        }
    };
    keep(&mut surfaces, &mut stored, &mut level);
    for o in after {
        surfaces.observe(o);
    }
    keep(&mut surfaces, &mut stored, &mut level);
    let read = stored.iter().map(|(k, v)| (postcard::from_bytes(k).unwrap(), postcard::from_bytes(v).unwrap()));
    let mut restored = Surfaces::restore(read, level);
    assert_eq!(bytes(&restored), bytes(&surfaces));
    assert_eq!(restored, surfaces);
    assert!(restored.take_rows().is_empty());
}

/// Keys from few to far more than there is room for: up to 7,000 distinct (site, release).
fn many() -> impl Strategy<Value = Vec<(u64, u64, Option<u64>)>> {
    let few = (0..40_u64, 0..4_u64, proptest::option::of(0..3_u64));
    proptest::collection::vec(few, 0..60)
}

proptest! {
    #[test]
    fn order_and_partition_change_nothing(
        picks in many(), flood in 0_u64..3, cut in 0_usize..60, seed in any::<u64>(),
    ) {
        let mut events: Vec<_> = picks.iter().map(|(n, site, release)| at(*n, *site, *release)).collect();
        // Now and then a flood that fills the table with releases, or with sites.
        let n_flood = if flood > 0 && seed.is_multiple_of(32) { 4_200 } else { 0 };
        events.extend((0..n_flood).map(|n| at(n * 10, if flood == 1 { n % 50 } else { n }, Some(n / 50))));
        let one = inventory(&events);
        let mut shuffled: Vec<_> = events.iter().enumerate().collect();
        shuffled.sort_by_key(|(at, _)| mix(seed ^ *at as u64));
        let other = inventory(shuffled.iter().map(|(_, o)| *o));
        prop_assert_eq!(bytes(&one), bytes(&other));
        let (left, right) = shuffled.split_at(cut.min(shuffled.len()));
        let mut merged = inventory(right.iter().map(|(_, o)| *o));
        merged.merge(&inventory(left.iter().map(|(_, o)| *o)));
        prop_assert_eq!(bytes(&one), bytes(&merged));
        prop_assert_eq!(n_events(&one), events.len() as u64);
    }

    #[test]
    fn giving_up_detail_in_steps_is_giving_it_up_at_once(
        site in any::<u64>(), release in proptest::option::of(any::<u64>()), a in 0..=LEVEL_MAX, b in 0..=LEVEL_MAX,
    ) {
        let place = Place { service: Id(1), surface: Surface::Bounds, class: Id(2), site: Id(site) };
        let release = release.map_or(ReleaseKey::Untold, |id| ReleaseKey::One(Id(id)));
        let key = SurfaceKey { place: Some(place), release };
        let (low, high) = (a.min(b), a.max(b));
        prop_assert_eq!(stands_as(stands_as(key, low), high), stands_as(key, high));
    }
}
