//! Small worlds: honest customers of one route, and one thing that happens among them.

use std::borrow::Cow;
use std::sync::Arc;

use super::normal::{Crowd, Item, Normal, Trust};
use super::*;
use crate::pipeline::alert::Verdict;
use crate::pipeline::classify::{Bucket, Classified, Surface};
use crate::pipeline::enrich::{AddressKind, Network, ScopeTier};
use crate::pipeline::event::{Position, RecoveryOutcome, ShapeId};
use crate::pipeline::fingerprint::{FieldTrait, Format, Parse, Sketch, Traits, ValueKind, chars, marks};
use crate::pipeline::observation::{Aftermath, Source, TokenUse};

pub(super) fn keyed(n: u64) -> Id {
    let x = n.wrapping_add(0x9E37_79B9_7F4A_7C15).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 31)).wrapping_mul(0x94D0_49BB_1331_11EB);
    Id(x ^ (x >> 29))
}

pub(super) fn field(path: u64, pattern: u64, classes: u16) -> FieldTrait {
    let pattern = keyed(pattern);
    FieldTrait { path: keyed(path), kind: ValueKind::Text, size_log2: 4, negative: false, classes, pattern }
}

/// The event of an ordinary customer: one site, one shape, three fields; contents differ.
pub(super) fn honest(who: u64, n: u64, second: i64) -> Observation<'static> {
    let shape = ShapeId(u128::from(keyed(5).0));
    let [tenant, service, site, route] = [0, 1, 2, 3].map(keyed);
    let prefix = keyed(10_000 + who);
    let letters = chars::LOWER | chars::SPACE;
    let fields = vec![field(20, 30, letters), field(21, 31 + n % 2, letters), field(22, 33, chars::DIGIT)];
    Observation {
        position: Position { topic: "panics", partition: 0, offset: 0 },
        event_id: Cow::Borrowed("e"),
        event: keyed(who * 1_000_003 + n),
        time: Millis(second * Millis::SECOND),
        clock_replaced: false,
        cell: CellKey { tenant, service, site, route, shape },
        actor: Actor::Prefix(prefix),
        tenant: Cow::Borrowed(""),
        service: Cow::Borrowed("api"),
        expected: None,
        route: Cow::Borrowed("POST /orders"),
        site: Arc::from("create (orders.rs)"),
        release: Some(Cow::Borrowed("1.0")),
        panic: Arc::new(Classified {
            class: "option_none".to_owned(),
            surface: Surface::UnwrapExpect,
            bucket: Bucket::NeverRetry,
            secondary: false,
            masked: String::new(),
        }),
        recovery: RecoveryOutcome::Degraded,
        status: Some(500),
        source: Source {
            address: None,
            address_id: Some(prefix),
            prefix_id: Some(prefix),
            kind: AddressKind::Public,
            network: Network { asn: Some(u32::try_from(who % 50).unwrap()), organisation: None, country: None },
        },
        token: None,
        agent: Some(keyed(40 + who % 5)),
        agent_family: Some(keyed(40 + who % 5)),
        agent_name: Cow::Borrowed("app"),
        media_type: Some(keyed(50)),
        idempotency: None,
        attempt: 1,
        retry_succeeded: None,
        aftermath: Aftermath::default(),
        has_template: true,
        idempotent: false,
        latency_ms: None,
        isolate: None,
        line: None,
        format: Format::Json,
        coarse: 0,
        sketch: Sketch([0; 64]),
        content: keyed(who * 7_919 + n + 1_000_000),
        traits: Traits { marks: 0, fields, depth: 1, body_log2: 7, ..Traits::default() },
    }
}

/// What a mutating client sends: every event has another shape, and now and then marks, another site, a broken body.
pub(super) fn mutated(who: u64, n: u64, second: i64) -> Observation<'static> {
    let mut o = honest(who, n, second);
    o.cell.shape = ShapeId(u128::from(keyed(100_000 + who * 1_000 + n).0));
    o.cell.site = keyed(2 + (n % 4) * 1_000);
    o.agent_family = Some(keyed(900 + who));
    o.traits.marks =
        [marks::ODD_CODE_POINT, marks::META_MIX, marks::TRAVERSAL, marks::DEEP][usize::try_from(n % 4).unwrap()];
    o.traits.parse = if n.is_multiple_of(3) { Parse::Broken } else { Parse::Sound };
    let odd = chars::META_SIGN | chars::CONTROL | u16::try_from(n % 8).unwrap();
    o.traits.fields = vec![field(20, 500 + n, odd), field(600 + n, 700, odd), field(21, 800 + n, odd)];
    o
}

pub(super) fn model() -> HostilityModel {
    HostilityModel::builtin().unwrap()
}

/// Two hours of 60 customers, an event every 20 seconds.
pub(super) fn ordinary_day(record: &mut Record, model: &HostilityModel) {
    for n in 0..360 {
        record.observe(&honest(u64::try_from(n % 60).unwrap(), u64::try_from(n).unwrap(), n * 20));
        record.close_epoch(model, Millis(n * 20_000 + 5_000));
    }
}

pub(super) const AFTER: i64 = 7_300;

pub(super) fn is_suspect(record: &Record, o: &Observation<'_>) -> bool {
    record.current_suspects().contains_key(&o.actor)
}

#[test]
fn ordinary_customers_are_no_suspects() {
    let (mut record, model) = (Record::default(), model());
    ordinary_day(&mut record, &model);
    assert_eq!(record.current_suspects().len(), 0);
}

#[test]
fn a_mutating_client_among_customers_is_a_suspect_within_ten_events() {
    let (mut record, model) = (Record::default(), model());
    ordinary_day(&mut record, &model);
    for n in 0..10 {
        record.observe(&mutated(777, u64::try_from(n).unwrap(), AFTER + n));
    }
    record.close_epoch(&model, Millis((AFTER + 10) * 1_000));
    assert!(is_suspect(&record, &mutated(777, 0, 0)));
    assert_eq!(record.current_suspects().len(), 1);
}

#[test]
fn one_odd_payload_sent_a_thousand_times_is_no_suspect() {
    let (mut record, model) = (Record::default(), model());
    ordinary_day(&mut record, &model);
    for n in 0..1_000 {
        let mut o = mutated(888, 1, AFTER + n * 30);
        o.agent_family = honest(888, 0, 0).agent_family;
        record.observe(&o);
        record.close_epoch(&model, Millis((AFTER + n * 30) * 1_000 + 5_000));
        assert!(!is_suspect(&record, &o), "after {n} events");
    }
}

#[test]
fn a_bad_release_that_five_hundred_customers_meet_is_no_attack() {
    let (mut record, model) = (Record::default(), model());
    ordinary_day(&mut record, &model);
    for n in 0..500 {
        let mut o = honest(u64::try_from(n).unwrap(), 5_000 + u64::try_from(n).unwrap(), AFTER + n);
        o.cell.site = keyed(4_242);
        o.release = Some(Cow::Borrowed("1.1"));
        record.observe(&o);
        if n % 5 == 4 {
            record.close_epoch(&model, Millis((AFTER + n) * 1_000));
        }
    }
    assert_eq!(record.current_suspects().len(), 0);
}

#[test]
fn secondary_panics_bear_no_evidence() {
    let (mut record, model) = (Record::default(), model());
    ordinary_day(&mut record, &model);
    for n in 0..20 {
        let mut o = mutated(999, u64::try_from(n).unwrap(), AFTER + n);
        o.panic = Arc::new(Classified { secondary: true, ..(*o.panic).clone() });
        record.observe(&o);
    }
    record.close_epoch(&model, Millis((AFTER + 20) * 1_000));
    let actor = mutated(999, 0, 0).actor;
    let known = record.actors().any(|(id, _)| *id == actor);
    assert_eq!((known, record.current_suspects().len()), (false, 0));
}

/// What 50 addresses send into a poisoned lock: odd payloads over many routes and sites, with refused tokens.
fn storm(second: i64) -> Vec<Observation<'static>> {
    let mut storm = Vec::new();
    for n in 0..1_000 {
        let who = 2_000 + n % 50;
        let mut o = mutated(who, n, second + i64::try_from(n / 10).unwrap());
        o.cell.route = keyed(70_000 + n % 23);
        o.cell.site = keyed(80_000 + n % 7);
        o.source.network.asn = Some(u32::try_from(n).unwrap());
        o.token =
            Some(TokenUse { id: Some(keyed(n)), valid: Some(false), tier: ScopeTier::Admin, scopes: Arc::from("*") });
        o.panic = Arc::new(Classified {
            class: "mutex_poison".to_owned(),
            secondary: true,
            surface: Surface::StateInvariant,
            ..(*o.panic).clone()
        });
        storm.push(o);
    }
    storm
}

#[test]
fn a_storm_of_consequences_makes_nobody_a_suspect_and_teaches_nothing() {
    let (mut record, model) = (Record::default(), model());
    ordinary_day(&mut record, &model);
    let mut cause = honest(1, 900_000, AFTER);
    cause.isolate = Some(keyed(1));
    record.observe(&cause);
    record.close_epoch(&model, Millis(AFTER * 1_000));
    let told = |record: &Record| format!("{:?}", record.actors().collect::<Vec<_>>());
    let before = told(&record);
    for (n, o) in storm(AFTER + 1).iter().enumerate() {
        record.observe(o);
        if n % 100 == 99 {
            record.close_epoch(&model, o.time);
            assert!(record.current_suspects().is_empty(), "after {n}");
        }
    }
    assert!(told(&record) == before, "somebody is told of, or told of otherwise");
}

#[test]
fn a_suspects_consequences_add_nothing_to_its_share() {
    let (mut record, model) = (Record::default(), model());
    ordinary_day(&mut record, &model);
    for n in 0..40 {
        record.observe(&mutated(2_000 + u64::try_from(n % 4).unwrap(), u64::try_from(n).unwrap(), AFTER + n));
    }
    record.close_epoch(&model, Millis((AFTER + 40) * 1_000));
    let suspects: Vec<Actor> = record.current_suspects().keys().copied().collect();
    assert!(!suspects.is_empty());
    let told = |record: &Record| {
        let ledgers = suspects.iter().map(|actor| record.ledger(actor).map(|(cell, _)| *cell).collect::<Vec<_>>());
        (ledgers.collect::<Vec<_>>(), format!("{:?}", record.current_suspects()))
    };
    let before = told(&record);
    for o in &storm(AFTER + 41) {
        record.observe(o);
    }
    record.close_epoch(&model, Millis((AFTER + 150) * 1_000));
    assert!(told(&record) == before, "a share or the points changed");
}

#[test]
fn the_first_senders_of_a_service_surprise_nobody() {
    let mut record = Record::default();
    record.observe(&mutated(1, 1, 0));
    record.observe(&mutated(2, 2, 1));
    assert!(record.actors().all(|(_, conduct)| conduct.centibits() == 0));
}

#[test]
fn the_lines_of_a_judgement_add_up_to_its_points() {
    let (mut record, model) = (Record::default(), model());
    ordinary_day(&mut record, &model);
    for n in 0..40 {
        record.observe(&mutated(770 + u64::try_from(n % 4).unwrap(), u64::try_from(n).unwrap(), AFTER + n));
    }
    record.close_epoch(&model, Millis((AFTER + 40) * 1_000));
    let suspects: Vec<&Weighed> = record.current_suspects().values().collect();
    assert!(suspects.len() >= 2, "{}", suspects.len());
    let (first, last) = (Millis(0), Millis(1));
    let view = ClusterView { events: 40, actors: 4, first, last, releases: &[40], suspects: &suspects };
    let judgement = judge_cluster(&model, &view);
    let lines = judgement.evidence.iter().chain(&judgement.counter_evidence);
    let sum: f64 = lines.map(|line| line.points).sum();
    assert_eq!(format!("{sum:.2}"), format!("{:.2}", judgement.points));
    assert_eq!(judgement.verdict, Verdict::Hostile);
}

#[test]
fn a_cluster_without_suspects_is_benign_when_many_do_it() {
    let check = |actors: u64, expected: Verdict| {
        let view = ClusterView { events: 9, actors, first: Millis(0), last: Millis(1), releases: &[9], suspects: &[] };
        assert_eq!(judge_cluster(&model(), &view).verdict, expected, "{actors} actors");
    };
    check(1, Verdict::Undecided);
    check(500, Verdict::Benign);
}

#[test]
fn floods_of_actors_and_fields_stay_within_bounds_and_spare_suspects() {
    let (mut record, model) = (Record::default(), model());
    ordinary_day(&mut record, &model);
    for n in 0..10 {
        record.observe(&mutated(777, u64::try_from(n).unwrap(), AFTER + n));
    }
    record.close_epoch(&model, Millis((AFTER + 10) * 1_000));
    for n in 0..12_000 {
        let mut o = honest(10_000 + n, n, AFTER + 20);
        o.traits.fields = vec![field(1_000_000 + n, n, chars::LOWER)];
        record.observe(&o);
        if n % 1_000 == 999 {
            record.close_epoch(&model, Millis((AFTER + 30) * 1_000));
            assert!(record.actors().count() <= ACTORS_MAX);
        }
    }
    assert!(record.normal.len() <= 8_192, "{} places", record.normal.len());
    assert!(is_suspect(&record, &mutated(777, 0, 0)));
}

#[test]
fn a_flood_of_actors_within_one_epoch_stays_within_bounds_and_spares_suspects() {
    let (mut record, model) = (Record::default(), model());
    ordinary_day(&mut record, &model);
    (0..10).for_each(|n| record.observe(&mutated(900, n, 86_000)));
    record.close_epoch(&model, Millis(86_000_000));
    assert!(is_suspect(&record, &mutated(900, 0, 86_000)));
    for who in 0..20_000 {
        record.observe(&honest(100_000 + who, 0, 86_001));
        assert!(record.actors().count() <= ACTORS_AT_ONCE);
    }
    assert!(record.touched.len() <= ACTORS_AT_ONCE);
    record.close_epoch(&model, Millis(86_005_000));
    assert!(is_suspect(&record, &mutated(900, 0, 86_000)));
}

#[test]
fn a_record_that_was_kept_and_restored_has_the_same_suspects() {
    let (mut record, model) = (Record::default(), model());
    ordinary_day(&mut record, &model);
    for n in 0..10 {
        record.observe(&mutated(777, u64::try_from(n).unwrap(), AFTER + n));
    }
    record.close_epoch(&model, Millis((AFTER + 10) * 1_000));
    let rows = record.take_dirty();
    let rows = rows.iter().filter_map(|row| Some((row.kind, row.key.as_slice(), row.value.as_deref()?)));
    let (restored, unreadable) = Record::restore(rows);
    assert_eq!(unreadable, 0);
    assert_eq!(restored.current_suspects(), record.current_suspects());
    let (none, unreadable) = Record::restore([("actor", &b"?"[..], &b"?"[..])].into_iter());
    assert_eq!((none.actors().count(), unreadable), (0, 1));
}

#[test]
fn what_three_others_send_too_gives_the_points_back() {
    let (mut normal, trust, place) = (Normal::default(), Trust::default(), keyed(1));
    let who = |n: u64| Sender { actor: u32::try_from(n).unwrap() * 77_777, prefix: u16::try_from(n).unwrap() };
    let profile = normal.at(place).unwrap();
    let mut refunds = Vec::new();
    for n in 0..20 {
        profile.weigh(Item { category: 0, token: 1 }, who(n), &trust, &mut refunds);
        profile.visit(who(n));
    }
    let new = Item { category: 0, token: 2 };
    let surprise = profile.weigh(new, who(50), &trust, &mut refunds);
    assert!(surprise.first_time && surprise.centibits > 200, "{surprise:?}");
    profile.lend(new, normal::Loan { actor: Actor::Unknown, sum: 0, centibits: surprise.centibits });
    for n in 51..54 {
        profile.weigh(new, who(n), &trust, &mut refunds);
    }
    assert_eq!(refunds.iter().map(|loan| loan.centibits).collect::<Vec<_>>(), [surprise.centibits]);
}

#[test]
fn a_crowd_counts_everybody_once() {
    let mut crowd = Crowd::default();
    for n in 0..80_u64 {
        crowd.add(u32::try_from(keyed(n % 40).0 >> 32).unwrap());
    }
    assert!((28..=55).contains(&crowd.count()), "{}", crowd.count());
}

#[test]
fn a_model_with_faults_is_refused_with_every_fault() {
    let text = include_str!("../../../models/hostility.toml");
    let check = |from: &str, to: &str, expected: &str| {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{from} stands in the model");
        let error = HostilityModel::parse(&changed).unwrap_err().0;
        assert!(error.contains(expected), "{error}");
    };
    let suspect_at = text.lines().find(|line| line.starts_with("suspect_at")).unwrap();
    check(suspect_at, "suspect_at = nan", "operating_point for 1 a day: suspect_at");
    check("name = \"marks\"", "name = \"mask\"", "no such fact");
    check("name = \"marks\"", "name = \"mask\"", "evidence marks: it must be there");
    check("name = \"marks\"", "name = \"values\"", "stands twice");
    check("\ncuts = [", "\ncuts = [19.0, ", "rising");
    check("group = \"novelty\"", "group = \"novel\"", "no cap");
    check("bias =", "bais =", "bais");
}

/// Honest and mutating senders by turns, with keys and contents that come again.
pub(super) fn mixed(n: u64) -> Observation<'static> {
    let second = AFTER + i64::try_from(n).unwrap();
    let mut o = if n.is_multiple_of(7) { mutated(777 + n % 3, n, second) } else { honest(n % 90, n, second) };
    if n.is_multiple_of(5) {
        o.idempotency = Some(keyed(n % 60));
        o.content = keyed(3_000_000 + n % 45);
    }
    o
}

/// What a store would hold after all rows so far.
pub(super) fn keep(store: &mut BTreeMap<(&'static str, Vec<u8>), Vec<u8>>, record: &mut Record) {
    for row in record.take_dirty() {
        match row.value {
            Some(value) => store.insert((row.kind, row.key), value),
            None => store.remove(&(row.kind, row.key)),
        };
    }
}

#[test]
fn a_restart_after_any_batch_changes_nothing_that_is_said_later() {
    let (mut record, model) = (Record::default(), model());
    let mut store = BTreeMap::new();
    ordinary_day(&mut record, &model);
    let mut restarted: Option<Record> = None;
    for n in 0..600 {
        if n % 37 == 0 {
            let before = restarted.as_mut().unwrap_or(&mut record);
            keep(&mut store, before);
            let rows = store.iter().map(|((kind, key), value)| (*kind, key.as_slice(), value.as_slice()));
            let (again, unreadable) = Record::restore(rows);
            assert_eq!(unreadable, 0);
            restarted = Some(again);
        }
        let again = restarted.as_mut().unwrap();
        let o = mixed(n);
        record.observe(&o);
        again.observe(&o);
        if n % 5 == 4 {
            let now = o.time.plus(500);
            assert_eq!(record.close_epoch(&model, now), again.close_epoch(&model, now), "event {n}");
            assert_eq!(record.current_suspects(), again.current_suspects(), "event {n}");
            for (actor, _) in record.actors() {
                assert_eq!(record.weigh(&model, actor), again.weigh(&model, actor), "event {n}");
            }
        }
    }
    assert!(!record.current_suspects().is_empty());
    let reused: u32 = record.actors().map(|(_, conduct)| conduct.reused_keys).sum();
    assert!(reused > 0);
}

#[test]
fn firsts_survive_a_restart_across_generations_and_their_rows_stay_bounded() {
    let first =
        |n: u64| reuse::First { sender: Sender { actor: u32::try_from(n).unwrap(), prefix: 1 }, content: keyed(n + 1) };
    let (mut firsts, mut rows) = (Firsts::default(), BTreeMap::new());
    for n in 0..30_000_u64 {
        firsts.meet(keyed(n), first(n));
        if n % 1_000 == 999 {
            let changed = firsts.take_changed();
            assert!(changed.iter().filter(|(_, chunk)| chunk.is_some()).count() <= 19);
            for (key, chunk) in changed {
                match chunk {
                    Some(chunk) => rows.insert(key, chunk),
                    None => rows.remove(&key),
                };
            }
        }
    }
    assert!(rows.len() <= 256, "{} rows", rows.len());
    let mut again = Firsts::restore(rows);
    assert_eq!(again.take_changed(), []);
    for n in (0..30_000_u64).rev().step_by(7) {
        assert_eq!(again.meet(keyed(n), first(7)), firsts.meet(keyed(n), first(7)), "{n}");
    }
}
