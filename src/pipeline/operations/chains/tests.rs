use super::*;
use crate::pipeline::cell::testing::{event, id, key};

fn attempt(idempotency: Option<u64>, ordinal: u32, minute: i64) -> Observation<'static> {
    let mut o = event(1, key(1, 1, 1, 1));
    o.idempotency = idempotency.map(id);
    o.attempt = ordinal;
    o.time = Millis(minute * Millis::MINUTE);
    o
}

#[test]
fn a_second_event_under_one_key_continues_the_first_whatever_its_ordinal() {
    let mut chains = Chains::default();
    assert_eq!(chains.link(&attempt(Some(1), 1, 0), Gate::AfterFix), Link::default());
    let link = chains.link(&attempt(Some(1), 1, 1), Gate::Safe);
    assert_eq!(link, Link { continues: true, changed_before: false, gate_before: Some(Gate::AfterFix) });
    assert!(!chains.link(&attempt(Some(2), 1, 1), Gate::Safe).continues);
}

#[test]
fn without_a_key_the_ordinal_tells() {
    let mut chains = Chains::default();
    assert_eq!(chains.link(&attempt(None, 1, 0), Gate::Safe), Link::default());
    assert_eq!(chains.link(&attempt(None, 3, 0), Gate::Safe), Link { continues: true, ..Link::default() });
}

#[test]
fn a_key_of_yesterday_begins_anew() {
    let mut chains = Chains::default();
    chains.link(&attempt(Some(1), 1, 0), Gate::Safe);
    assert!(!chains.link(&attempt(Some(1), 1, 361), Gate::Safe).continues);
}

#[test]
fn what_any_attempt_changed_is_remembered() {
    let mut chains = Chains::default();
    let mut first = attempt(Some(1), 1, 0);
    first.aftermath.n_side_effects = Some(2);
    chains.link(&first, Gate::Safe);
    assert!(chains.link(&attempt(Some(1), 2, 1), Gate::Safe).changed_before);
    assert!(chains.link(&attempt(Some(1), 3, 2), Gate::Safe).changed_before);
}

#[test]
fn a_flood_of_keys_is_bounded_and_the_latest_stay() {
    let mut chains = Chains::default();
    for n in 0..20_000 {
        chains.link(&attempt(Some(n), 1, i64::try_from(n / 100).unwrap()), Gate::Safe);
    }
    assert!(chains.chains.len() <= CHAINS_MAX);
    assert!(chains.link(&attempt(Some(19_999), 2, 200), Gate::Safe).gate_before.is_some());
    assert!(chains.link(&attempt(Some(0), 2, 200), Gate::Safe).gate_before.is_none());
}

#[test]
fn stored_chains_go_on_and_old_ones_are_forgotten() {
    let mut chains = Chains::default();
    chains.link(&attempt(Some(1), 1, 0), Gate::Never);
    chains.link(&attempt(Some(2), 1, 300), Gate::Never);
    let read = |row: StateRow| {
        let key: ChainKey = postcard::from_bytes(&row.key).unwrap();
        Some((key, postcard::from_bytes::<Chain>(&row.value?).unwrap()))
    };
    let mut restored = Chains::restore(chains.take_rows().into_iter().filter_map(read));
    assert_eq!(restored, chains);
    restored.forget(Millis(400 * Millis::MINUTE));
    assert_eq!(restored.take_rows().iter().filter(|row| row.value.is_none()).count(), 1);
    assert!(restored.link(&attempt(Some(2), 2, 400), Gate::Safe).continues);
}
