use super::*;
use crate::pipeline::cell::testing::{event, id, key};
use crate::pipeline::enrich::ScopeTier;

#[test]
fn draws_are_repeated_by_number_and_name_alone() {
    let draws = |number, name| {
        let mut draws = Draws::of(Copy { number, dealt: true }, name);
        [draws.next(), draws.next()]
    };
    assert_eq!(draws(1, "scan"), draws(1, "scan"));
    assert_ne!(draws(1, "scan"), draws(2, "scan"));
    assert_ne!(draws(1, "scan"), draws(1, "spray"));
}

#[test]
fn draws_cover_the_whole_range_and_nothing_beyond() {
    let mut draws = Draws::of(Copy { number: 1, dealt: false }, "x");
    let all: Vec<f64> = (0..10_000).map(|_| draws.unit()).collect();
    assert!(all.iter().all(|x| (0.0..1.0).contains(x)));
    let mean = all.iter().sum::<f64>() / 10_000.0;
    assert!((0.48..0.52).contains(&mean), "{mean}");
    let seen: std::collections::BTreeSet<u32> = (0..200).filter_map(|_| draws.one_of(&[1, 2, 3]).copied()).collect();
    assert_eq!(seen.len(), 3);
    assert_eq!(draws.one_of::<u32>(&[]), None);
}

/// A set of one hostile campaign with `n_hostile` events and 300 honest events, each with its label.
fn set(n_hostile: u64) -> (Vec<Observation<'static>>, Vec<Label>) {
    let observed = |n: u64| {
        let mut o = event(n, key(1, 2, 3, n % 9));
        o.token = Some(TokenUse { id: Some(id(n % 70)), valid: Some(true), tier: ScopeTier::None, scopes: "".into() });
        o.actor = actor(o.token.as_ref(), &o.source, o.agent_family);
        o
    };
    let mut seen: Vec<Observation<'static>> = (0..300 + n_hostile).map(observed).collect();
    let label = |n: u64| Label {
        event_id: format!("event-{n}"),
        hostile: n >= 300,
        campaign: if n >= 300 { "scan" } else { ["bug", "app", "shop"][usize::try_from(n % 3).unwrap()] }.to_owned(),
        kind: String::new(),
        authorised: false,
    };
    let labels: std::collections::BTreeMap<String, Label> =
        (0..300 + n_hostile).map(|n| (format!("event-{n}"), label(n))).collect();
    seen.sort_by_key(|o| (o.time, o.event));
    let labels = seen.iter().map(|o| labels[o.event_id.as_ref()].clone()).collect();
    (seen, labels)
}

fn copied(
    seen: &[Observation<'static>],
    labels: &[Label],
    number: u32,
    dealt: bool,
) -> Vec<(Observation<'static>, bool)> {
    let labels: Vec<&Label> = labels.iter().collect();
    let (seen, labels) = copy(seen, &labels, Copy { number, dealt });
    seen.into_iter().zip(labels.into_iter().map(|label| label.hostile)).collect()
}

#[test]
fn a_thinned_copy_keeps_five_to_sixty_hostile_events_and_all_honest_ones_as_they_were() {
    let (seen, labels) = set(400);
    for number in 1..40 {
        let copy = copied(&seen, &labels, number, false);
        let n_hostile = copy.iter().filter(|(_, hostile)| *hostile).count();
        assert!((5..=60).contains(&n_hostile), "{number}: {n_hostile}");
        assert_eq!(copy.len() - n_hostile, 300);
        assert!(copy.iter().all(|(o, _)| seen.contains(o)), "nothing is changed in a copy that is only thinned");
        assert!(copy.iter().zip(copy.iter().skip(1)).all(|(a, b)| a.0.time <= b.0.time), "{number}");
    }
    let (seen, labels) = set(3);
    assert_eq!(copied(&seen, &labels, 1, false).iter().filter(|(_, hostile)| *hostile).count(), 3);
}

#[test]
fn dealt_copies_have_other_addresses_programs_tokens_and_times_and_the_same_contents() {
    let (seen, labels) = set(50);
    let of = |event: Id| seen.iter().find(|o| o.event == event).unwrap();
    let mut changed = [0_u32; 5];
    for number in 1..60 {
        for (o, hostile) in copied(&seen, &labels, number, true) {
            let was = of(o.event);
            assert_eq!((&o.traits, o.content, &o.cell), (&was.traits, was.content, &was.cell));
            assert_eq!(o.actor, actor(o.token.as_ref(), &o.source, o.agent_family));
            let now = [
                o.source != was.source,
                o.agent_family != was.agent_family,
                o.time != was.time,
                hostile && o.token.is_none(),
                hostile && o.token.is_some() && o.token != was.token,
            ];
            assert!(hostile || o.token == was.token, "nobody honest loses a token");
            changed.iter_mut().zip(now).for_each(|(n, now)| *n += u32::from(now));
        }
    }
    assert!(changed.iter().all(|n| *n > 20), "{changed:?}");
}

#[test]
fn a_copy_is_always_the_same() {
    let (seen, labels) = set(80);
    assert_eq!(copied(&seen, &labels, 5, true), copied(&seen, &labels, 5, true));
    assert_ne!(copied(&seen, &labels, 5, true), copied(&seen, &labels, 6, true));
}

fn altered(how: Alteration, number: u32) -> Vec<(Observation<'static>, bool)> {
    let (seen, labels) = set(400);
    let labels: Vec<&Label> = labels.iter().collect();
    let (seen, labels) = alter(&seen, &labels, how, number);
    seen.into_iter().zip(labels.into_iter().map(|label| label.hostile)).collect()
}

#[test]
fn an_altered_set_changes_nothing_honest_and_one_thing_of_what_is_hostile() {
    let (seen, _) = set(400);
    let of = |event: Id| seen.iter().find(|o| o.event == event).unwrap();
    for how in Alteration::ALL {
        for number in 0..6 {
            let altered = altered(how, number);
            let n_hostile = altered.iter().filter(|(_, hostile)| *hostile).count();
            assert_eq!(altered.len() - n_hostile, 300, "{how:?}");
            match how {
                Alteration::Thinned => assert!((5..=60).contains(&n_hostile), "{n_hostile}"),
                Alteration::Moved | Alteration::Stripped => assert_eq!(n_hostile, 400),
            }
            for (o, hostile) in &altered {
                let was = of(o.event);
                assert_eq!((o.time, o.content, o.agent_family), (was.time, was.content, was.agent_family));
                assert_eq!(o.actor, actor(o.token.as_ref(), &o.source, o.agent_family));
                assert_eq!(o.source != was.source, *hostile && how == Alteration::Moved);
                assert_eq!(o.token != was.token, *hostile && how == Alteration::Stripped);
            }
        }
    }
}

#[test]
fn an_altered_set_is_always_the_same_and_another_with_another_number() {
    for how in [Alteration::Thinned, Alteration::Moved] {
        assert_eq!(altered(how, 1), altered(how, 1));
        assert_ne!(altered(how, 1), altered(how, 2));
    }
}
