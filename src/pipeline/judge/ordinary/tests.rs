//! Small worlds in which some requests do not panic.

use std::collections::BTreeMap;

use super::*;
use crate::pipeline::fingerprint::chars;
use crate::pipeline::judge::HostilityModel;
use crate::pipeline::judge::evidence::{Fact, Facts};
use crate::pipeline::judge::lessons;
use crate::pipeline::judge::normal::{Item, Profile, Sender, Trust};
use crate::pipeline::judge::tests::{
    AFTER, field, honest, is_suspect, keep, keyed, mixed, model, mutated, ordinary_day,
};
use crate::pipeline::observation::{ByTime, Observation};

/// The same request without the panic: one of twenty.
fn served(o: &Observation<'_>) -> OrdinaryRequest {
    OrdinaryRequest {
        sample: keyed(o.event.0 ^ 1),
        time: o.time,
        tenant: o.cell.tenant,
        tenant_name: "".into(),
        service: o.cell.service,
        route: o.cell.route,
        shape: o.cell.shape,
        actor: o.actor,
        prefix: o.source.prefix_id,
        token: o.token.clone(),
        agent_family: o.agent_family,
        media_type: o.media_type,
        format: o.format,
        traits: o.traits.clone(),
        answer: Answer::Served,
        one_in: 20,
        is_expected: false,
    }
}

fn rejected(o: &Observation<'_>) -> OrdinaryRequest {
    OrdinaryRequest { answer: Answer::Rejected, ..served(o) }
}

/// A request of a customer with a value such as no other customer's panic ever had.
fn wide(who: u64, n: u64, second: i64) -> Observation<'static> {
    let mut o = honest(who, n, second);
    let mut odd = field(22, 44, chars::DIGIT);
    odd.size_log2 = 9;
    o.traits.fields = vec![o.traits.fields[0], o.traits.fields[1], odd];
    o
}

fn hear(record: &mut Record, requests: &[OrdinaryRequest]) {
    for request in requests {
        record.observe_ordinary(request);
    }
}

/// Surprise of all of an actor's events, in hundredths of a bit.
fn centibits(record: &Record, o: &Observation<'_>) -> u32 {
    record.actors().find(|(actor, _)| **actor == o.actor).map_or(0, |(_, conduct)| conduct.centibits())
}

/// Surprise of a newcomer's wide value after a day of customers and these requests.
fn surprise_after(heard: &[OrdinaryRequest]) -> u32 {
    let (mut record, model) = (Record::default(), model());
    ordinary_day(&mut record, &model);
    hear(&mut record, heard);
    let newcomer = wide(500, 1, AFTER + 100);
    record.observe(&newcomer);
    centibits(&record, &newcomer)
}

fn served_wide(who: impl Iterator<Item = u64>) -> Vec<OrdinaryRequest> {
    who.map(|who| served(&wide(who, who, AFTER))).collect()
}

#[test]
fn a_value_that_others_are_served_with_surprises_nobody_when_it_panics() {
    let without = surprise_after(&[]);
    assert!(without > 300, "{without}");
    assert_eq!(surprise_after(&served_wide(100..105)), 0);
}

#[test]
fn one_other_teaches_nothing_by_what_is_served_and_two_do() {
    assert!(surprise_after(&served_wide(100..101)) > 300);
    assert!(surprise_after(&served_wide(std::iter::repeat_n(100, 50))) > 300);
    assert_eq!(surprise_after(&served_wide(100..102)), 0);
}

#[test]
fn a_sender_stays_the_witness_that_it_was_first() {
    let (trust, mut refunds) = (Trust::default(), Vec::new());
    let from = |actor: u32, prefix: u16| Sender { actor, prefix };
    let mut profile = Profile::default();
    for n in 10..14 {
        profile.pass_by(from(u32::from(n), n));
    }
    let item = Item { category: 0, token: 1 };
    profile.weigh(item, from(1, 1), &trust, &mut refunds);
    // The same token from elsewhere: no second witness, and no other prefix than its first.
    assert!(!profile.weigh(item, from(1, 2), &trust, &mut refunds).first_time);
    assert_eq!(profile.weigh(item, from(3, 2), &trust, &mut refunds).centibits, 0);
    assert!(profile.weigh(item, from(4, 1), &trust, &mut refunds).first_time);
}

#[test]
fn what_is_rejected_or_fails_or_was_announced_becomes_no_normal() {
    let without = surprise_after(&[]);
    let changed = |change: fn(&mut OrdinaryRequest)| {
        let mut heard = served_wide(100..140);
        heard.iter_mut().for_each(change);
        surprise_after(&heard)
    };
    assert_eq!(changed(|request| request.answer = Answer::Rejected), without);
    assert_eq!(changed(|request| request.answer = Answer::Failed), without);
    assert_eq!(changed(|request| request.is_expected = true), without);
}

#[test]
fn nobody_is_surprised_by_what_is_served_and_nobody_makes_his_own_panics_known() {
    let (mut record, model) = (Record::default(), model());
    ordinary_day(&mut record, &model);
    let own = wide(500, 1, AFTER + 100);
    for n in 0..40 {
        record.observe_ordinary(&served(&wide(500, n, AFTER)));
    }
    assert_eq!(record.actors().count(), 60);
    record.observe(&own);
    assert!(centibits(&record, &own) > 300);
    let before = centibits(&record, &own);
    record.observe_ordinary(&served(&mutated(500, 7, AFTER + 101)));
    assert_eq!(centibits(&record, &own), before);
}

#[test]
fn the_points_for_what_turns_out_to_be_served_go_back() {
    let (mut record, model) = (Record::default(), model());
    ordinary_day(&mut record, &model);
    let newcomer = wide(500, 1, AFTER);
    record.observe(&newcomer);
    assert!(centibits(&record, &newcomer) > 300);
    hear(&mut record, &served_wide(100..103));
    assert_eq!(centibits(&record, &newcomer), 0);
}

/// Each of these mutates for a while, and is judged.
fn attack(record: &mut Record, model: &HostilityModel, actors: impl Iterator<Item = u64>) {
    for who in actors {
        for n in 0..10 {
            record.observe(&mutated(who, n, AFTER + i64::try_from(n).unwrap()));
        }
        record.close_epoch(model, Millis((AFTER + 10) * Millis::SECOND));
    }
}

#[test]
fn a_suspect_teaches_nothing_by_what_is_served_to_it() {
    let (mut record, model) = (Record::default(), model());
    ordinary_day(&mut record, &model);
    // Two would do, if their word counted.
    let suspects = 700..702_u64;
    attack(&mut record, &model, suspects.clone());
    let all_suspect = suspects.clone().all(|who| is_suspect(&record, &mutated(who, 0, 0)));
    assert!(all_suspect, "{}", record.current_suspects().len());
    hear(&mut record, &served_wide(suspects.clone()));
    let newcomer = wide(500, 1, AFTER + 100);
    record.observe(&newcomer);
    assert!(centibits(&record, &newcomer) > 300);
}

#[test]
fn what_senders_were_served_before_they_became_suspects_counts_no_more() {
    let (mut record, model) = (Record::default(), model());
    ordinary_day(&mut record, &model);
    let suspects = 700..702_u64;
    hear(&mut record, &served_wide(suspects.clone()));
    attack(&mut record, &model, suspects.clone());
    assert!(suspects.clone().all(|who| is_suspect(&record, &mutated(who, 0, 0))));
    let newcomer = wide(500, 1, AFTER + 100);
    record.observe(&newcomer);
    assert!(centibits(&record, &newcomer) > 300);
}

/// Facts of an actor after its event and these requests.
fn facts(heard: &[OrdinaryRequest]) -> Facts {
    let (mut record, model) = (Record::default(), model());
    let o = honest(1, 1, AFTER);
    record.observe(&o);
    hear(&mut record, heard);
    record.weigh(&model, &o.actor).unwrap().facts
}

#[test]
fn how_often_a_sender_is_served_and_rejected_is_counted_by_what_samples_stand_for() {
    let o = honest(1, 1, AFTER);
    let check = |heard: &[OrdinaryRequest], (expected_served, expected_rejected): (f64, f64)| {
        let facts = facts(heard);
        let [served, rejected] = [Fact::Served, Fact::Rejected].map(|fact| facts.get(usize::from(fact as u8)));
        assert!((served - expected_served).abs() < 1e-9, "{served}");
        assert!((rejected - expected_rejected).abs() < 1e-9, "{rejected}");
    };
    check(&[], (0.0, 0.0));
    check(&[served(&o)], (21_f64.log2(), 0.0));
    check(&[served(&o), served(&o), rejected(&o)], (41_f64.log2(), 20.0 / 80.0));
    check(&[1, 1, 1].map(|one_in| OrdinaryRequest { one_in, ..rejected(&o) }), (0.0, 3.0 / 23.0));
    check(&[OrdinaryRequest { answer: Answer::Failed, ..served(&o) }], (0.0, 0.0));
    // Somebody else's, and its own at a service where it never panicked.
    check(&[served(&honest(2, 1, AFTER))], (0.0, 0.0));
    check(&[OrdinaryRequest { service: keyed(9_999), ..served(&o) }], (0.0, 0.0));
}

#[test]
fn counters_follow_what_a_sender_does_now_and_never_overflow() {
    let o = honest(1, 1, AFTER);
    let mut ended = Ended::default();
    let most = |answer| OrdinaryRequest { answer, one_in: 1_000_000, ..served(&o) };
    for _ in 0..100_000 {
        ended.count(&most(Answer::Served));
    }
    assert!((128_000_000..=256_000_000).contains(&ended.served), "{ended:?}");
    for _ in 0..2_000 {
        ended.count(&most(Answer::Rejected));
    }
    assert!(ended.rejected_share() > 0.98, "{ended:?}");
}

#[test]
fn a_flood_of_senders_stays_within_bounds_and_the_silent_go_first() {
    let mut record = Record::default();
    let mut store = BTreeMap::new();
    for n in 0..40_000 {
        let who = if n % 50 == 0 { 7 } else { 100_000 + n };
        record.observe_ordinary(&served(&honest(who, n, AFTER + i64::try_from(n).unwrap())));
        if n % 5_000 == 0 {
            keep(&mut store, &mut record);
        }
    }
    keep(&mut store, &mut record);
    let is_known = |who: u64| {
        let o = honest(who, 0, 0);
        record.ordinary.of(o.actor, std::iter::once(o.cell.service)) != Ended::default()
    };
    assert!(is_known(7) && is_known(139_999) && !is_known(100_001));
    let n_rows = store.keys().filter(|(kind, _)| *kind == "ordinary").count();
    assert!((SENDERS_KEPT..=SENDERS_MAX).contains(&n_rows), "{n_rows}");
    assert_eq!(record.ordinary.senders.len(), n_rows);
    assert_eq!(record.actors().count(), 0);
}

#[test]
fn services_without_number_stay_within_bounds() {
    let mut ordinary = Ordinary::default();
    for n in 0..2_000 {
        ordinary.hear(keyed(n), Millis(1_000));
    }
    assert_eq!((ordinary.services.len(), ordinary.take_changed_services().len()), (SERVICES_MAX, SERVICES_MAX));
    assert!(ordinary.is_heard(keyed(0), Millis(1_000)));
}

#[test]
fn routes_that_never_panic_leave_room_for_those_that_do() {
    let (mut record, model) = (Record::default(), model());
    for n in 0..3_000 {
        for who in 0..4 {
            let mut o = honest(who, n, AFTER);
            o.cell.route = keyed(5_000_000 + n);
            record.observe_ordinary(&served(&o));
        }
    }
    assert_eq!(record.normal.len(), 4_096);
    ordinary_day(&mut record, &model);
    let newcomer = wide(500, 1, AFTER + 100);
    record.observe(&newcomer);
    assert!(centibits(&record, &newcomer) > 300);
}

#[test]
fn a_service_is_heard_for_a_day_after_its_last_sample() {
    let mut record = Record::default();
    let o = honest(1, 1, AFTER);
    let unknown = OrdinaryRequest { actor: Actor::Unknown, ..served(&o) };
    let hears = |record: &Record, services: &[Id], hours: i64| {
        record.hears_ordinary(services.iter().copied(), o.time.plus(hours * Millis::HOUR))
    };
    assert!(!hears(&record, &[o.cell.service], 0));
    record.observe_ordinary(&unknown);
    assert!(hears(&record, &[o.cell.service], 0) && hears(&record, &[o.cell.service], 23));
    assert!(!hears(&record, &[o.cell.service], 25));
    assert!(!hears(&record, &[], 0) && !hears(&record, &[o.cell.service, keyed(9_999)], 0));
}

#[test]
fn a_restart_after_any_batch_changes_nothing_that_is_said_later() {
    let (mut record, model) = (Record::default(), believing());
    let mut store = BTreeMap::new();
    ordinary_day(&mut record, &model);
    let mut restarted: Option<Record> = None;
    for n in 0..400 {
        if n % 37 == 0 {
            keep(&mut store, restarted.as_mut().unwrap_or(&mut record));
            let rows = store.iter().map(|((kind, key), value)| (*kind, key.as_slice(), value.as_slice()));
            let (again, unreadable) = Record::restore(rows);
            assert_eq!(unreadable, 0);
            restarted = Some(again);
        }
        let again = restarted.as_mut().unwrap();
        let (o, other) = (mixed(n), mixed(n * 31 + 7));
        let ordinary = if n % 3 == 0 { rejected(&other) } else { served(&other) };
        for record in [&mut record, &mut *again] {
            record.observe(&o);
            record.observe_ordinary(&OrdinaryRequest { time: o.time, ..ordinary.clone() });
        }
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
}

/// A model that makes much of ordinary requests.
fn believing() -> HostilityModel {
    let mut text = include_str!("../../../../models/hostility.toml").to_owned();
    for (name, points) in [("served", "-0.5, -0.5, -0.5"), ("rejected", "1.0, 1.0, 1.0")] {
        let (before, after) = text.split_once(&format!("name = \"{name}\"")).unwrap();
        text = format!("{before}name = \"{name}\"{}", after.replacen("0.0, 0.0, 0.0", points, 1));
    }
    HostilityModel::parse(&text).unwrap()
}

#[test]
fn a_request_that_is_later_than_an_event_changes_nothing_in_what_is_said_of_it() {
    let model = believing();
    let seen: Vec<Observation<'static>> = (0..200).map(mixed).collect();
    let mut ordinary: Vec<OrdinaryRequest> = (0..600)
        .map(|n| OrdinaryRequest {
            time: Millis((AFTER + i64::try_from(n).unwrap() / 3) * 1_000 + 1),
            ..served(&mixed(n * 7 + 3))
        })
        .collect();
    OrdinaryRequest::put_in_order(&mut ordinary);
    let whole = lessons::run(&seen, ByTime::of(&ordinary), &model, 5).lessons;
    let bare = lessons::run(&seen, ByTime::of(&[]), &model, 5).lessons;
    assert_ne!(whole, bare);
    for cut in [0, 150, 377, 600] {
        let (known, later) = ordinary.split_at(cut);
        let until = later.first().map_or(Millis(i64::MAX), |first| first.time);
        let told = lessons::run(&seen, ByTime::of(known), &model, 5).lessons;
        let before =
            |lessons: &[lessons::Lesson]| lessons.iter().take_while(|it| it.at <= until).cloned().collect::<Vec<_>>();
        assert_eq!(before(&told), before(&whole), "{cut}");
    }
}
