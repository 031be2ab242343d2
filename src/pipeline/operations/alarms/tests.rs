use super::*;
use crate::pipeline::alert::Severity;

const STORM: AlarmKey = AlarmKey { category: Category::Storm, subject: Id(7) };

fn word(holds: bool, minute: i64) -> Word {
    Word { holds, severity: Severity::Medium, last_event: Millis(minute * Millis::MINUTE) }
}

fn turn(alarms: &mut Alarms, holds: bool, minute: i64) -> Option<Told> {
    alarms.turn(&AlertPolicy::default(), STORM, word(holds, minute), Millis(minute * Millis::MINUTE))
}

#[test]
fn a_situation_is_told_once_and_closed_under_the_same_name() {
    let mut alarms = Alarms::default();
    assert_eq!(turn(&mut alarms, false, 0), None);
    let opened = turn(&mut alarms, true, 1).unwrap();
    assert_eq!((opened.change, opened.ordinal, opened.since), (Change::Opened, 0, Millis(Millis::MINUTE)));
    assert!(opened.name.starts_with("storm-"));
    assert_eq!(turn(&mut alarms, true, 2), None);
    assert_eq!(alarms.open().count(), 1);
    assert_eq!(turn(&mut alarms, false, 3), None);
    let closed = turn(&mut alarms, false, 4).unwrap();
    assert_eq!((closed.change, closed.ordinal, &closed.name), (Change::Closed, 1, &opened.name));
    assert_eq!(alarms.open().count(), 0);
}

#[test]
fn what_never_held_is_not_followed_and_what_was_closed_long_ago_is_forgotten() {
    let mut alarms = Alarms::default();
    turn(&mut alarms, false, 0);
    assert_eq!(alarms.iter().len(), 0);
    turn(&mut alarms, true, 1);
    (2..4).for_each(|minute| drop(turn(&mut alarms, false, minute)));
    alarms.forget(Millis(49 * Millis::HOUR));
    assert_eq!(alarms.closed().count(), 1);
    alarms.forget(Millis(51 * Millis::HOUR));
    assert_eq!(alarms.iter().len(), 0);
}

#[test]
fn what_holds_again_after_it_cooled_down_is_a_new_situation() {
    let mut alarms = Alarms::default();
    let first = turn(&mut alarms, true, 1).unwrap();
    (2..4).for_each(|minute| drop(turn(&mut alarms, false, minute)));
    assert_eq!(turn(&mut alarms, true, 30), None, "it cools down for an hour");
    let again = turn(&mut alarms, true, 90).unwrap();
    assert_eq!((again.change, again.ordinal), (Change::Opened, 0));
    assert_ne!(again.name, first.name);
}

#[test]
fn there_is_room_for_so_many_and_what_was_closed_first_gives_way() {
    let mut alarms = Alarms::default();
    let mut say = |n: u64, holds: bool, minute: i64| {
        let key = AlarmKey { subject: Id(n), ..STORM };
        alarms.turn(&AlertPolicy::default(), key, word(holds, minute), Millis(minute * Millis::MINUTE)).is_some()
    };
    assert!((0..256).all(|n| say(n, true, 0)));
    assert!(!say(300, true, 1), "nothing that is open gives way");
    for minute in [2, 3] {
        say(7, false, minute);
    }
    for minute in [4, 5] {
        say(5, false, minute);
    }
    assert!(say(300, true, 6));
    assert_eq!(alarms.iter().len(), ALARMS_MAX);
    let closed: Vec<Id> = alarms.closed().map(|(key, ..)| key.subject).collect();
    assert_eq!(closed, [Id(5)]);
}

#[test]
fn rows_bring_the_situations_back() {
    let mut alarms = Alarms::default();
    turn(&mut alarms, true, 1);
    let read = |row: &StateRow| {
        (postcard::from_bytes(&row.key).unwrap(), postcard::from_bytes(row.value.as_ref().unwrap()).unwrap())
    };
    assert_eq!(Alarms::restore(alarms.take_rows().iter().map(read)), alarms);
}
