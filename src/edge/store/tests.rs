//! The store's promises: a batch is there whole or not at all, and a file that is not a sound store of ours is refused.

use super::*;
use crate::pipeline::event::Position;

fn alert(id: &str, cluster: &str) -> Alert {
    let mut alert: Alert = serde_json::from_str(include_str!("../../../tests/data/alert.json")).unwrap();
    id.clone_into(&mut alert.alert_id);
    cluster.clone_into(&mut alert.cluster);
    alert
}

fn row(key: &str, value: Option<&str>) -> StateRow {
    StateRow { kind: "cell", key: key.as_bytes().to_vec(), value: value.map(|text| text.as_bytes().to_vec()) }
}

fn checkpoint(offset: i64) -> Checkpoint {
    let mut checkpoint = Checkpoint::default();
    checkpoint.advance(Position { topic: "panics", partition: 3, offset });
    checkpoint
}

fn settlement(seq: i64, fate: Fate) -> Settlement {
    Settlement { seq, fate, detail: "told".to_owned(), attempts: 2 }
}

fn waiting(outbox: &Outbox) -> Vec<i64> {
    outbox.pending(100, usize::MAX).unwrap().iter().map(|one| one.seq).collect()
}

#[test]
fn what_was_committed_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let mut store = Store::open(&path).unwrap();
    store.commit(&[row("a", Some("1")), row("b", Some("2"))], &[alert("x", "c")], &checkpoint(41)).unwrap();
    store.commit(&[row("a", None), row("b", Some("3"))], &[alert("x", "c")], &checkpoint(7)).unwrap();
    store.set_meta("shape key id", "k1").unwrap();
    store.set_meta("shape key id", "k2").unwrap();
    drop(store);
    let store = Store::open(&path).unwrap();
    assert_eq!(store.load_state("cell").unwrap(), vec![(b"b".to_vec(), b"3".to_vec())]);
    assert_eq!(store.load_state("cluster").unwrap(), vec![]);
    assert_eq!(store.load_checkpoint().unwrap(), checkpoint(41), "a checkpoint never moves back");
    assert_eq!(store.alerts_of("c").unwrap(), vec![alert("x", "c")], "an alert is written once");
    assert_eq!(store.meta("shape key id").unwrap().as_deref(), Some("k2"));
    assert_eq!(store.meta("nothing").unwrap(), None);
}

#[test]
fn a_batch_that_fails_half_way_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let mut store = Store::open(&path).unwrap();
    store.commit(&[row("a", Some("1"))], &[], &checkpoint(1)).unwrap();
    store
        .connection
        .execute_batch("CREATE TRIGGER t BEFORE INSERT ON outbox BEGIN SELECT raise(ABORT, 'no'); END")
        .unwrap();
    assert!(store.commit(&[row("a", Some("2"))], &[alert("x", "c")], &checkpoint(2)).is_err());
    assert_eq!(store.load_state("cell").unwrap(), vec![(b"a".to_vec(), b"1".to_vec())]);
    assert_eq!(store.load_checkpoint().unwrap(), checkpoint(1));
}

#[test]
fn a_process_that_ends_within_a_transaction_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    Store::open(&path).unwrap().commit(&[row("a", Some("1"))], &[], &checkpoint(1)).unwrap();
    let writer = schema::connect(&path).unwrap();
    writer.execute_batch("BEGIN IMMEDIATE; DELETE FROM state; DELETE FROM checkpoint").unwrap();
    // What a kill leaves: the files as they are in this moment.
    let copy = dir.path().join("copy.db");
    for suffix in ["", "-wal"] {
        std::fs::copy(format!("{}{suffix}", path.display()), format!("{}{suffix}", copy.display())).unwrap();
    }
    let store = Store::open(&copy).unwrap();
    assert_eq!(store.load_state("cell").unwrap().len(), 1);
    assert_eq!(store.load_checkpoint().unwrap(), checkpoint(1));
}

#[track_caller]
fn check_refused(make: impl FnOnce(&Path), expected: &str) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    make(&path);
    let before = std::fs::read(&path).ok();
    let error = Store::open(&path).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
    assert!(error.contains("store.db"), "{error}");
    assert_eq!(std::fs::read(&path).ok(), before, "a file that is refused is not changed");
}

#[test]
fn a_file_that_is_no_store_is_refused_and_left_alone() {
    check_refused(
        |path| {
            std::fs::write(path, "a text file that is longer than a header of SQLite is, by far: ".repeat(9)).unwrap();
        },
        "not a panicsift store (not an SQLite file)",
    );
    check_refused(
        |path| Connection::open(path).unwrap().execute_batch("CREATE TABLE t (a)").unwrap(),
        "not a panicsift store (a database of another program)",
    );
}

#[test]
fn a_store_of_a_newer_version_is_refused_and_left_alone() {
    check_refused(
        |path| {
            drop(Store::open(path).unwrap());
            let connection = Connection::open(path).unwrap();
            connection.execute_batch("PRAGMA journal_mode = DELETE; PRAGMA user_version = 99").unwrap();
        },
        "has version 99, this panicsift reads up to 4; run the newer panicsift",
    );
}

#[test]
fn a_damaged_store_is_refused_with_what_to_do() {
    check_refused(
        |path| {
            let mut store = Store::open(path).unwrap();
            let rows: Vec<StateRow> = (0..500).map(|n| row(&format!("{n:04}"), Some(&"v".repeat(200)))).collect();
            store.commit(&rows, &[], &checkpoint(1)).unwrap();
            drop(store);
            let mut bytes = std::fs::read(path).unwrap();
            let middle = bytes.len() / 2;
            bytes.iter_mut().skip(middle).take(9_000).for_each(|byte| *byte ^= 0x5a);
            std::fs::write(path, bytes).unwrap();
        },
        "is damaged",
    );
}

#[test]
fn a_store_in_a_directory_that_is_not_there_cannot_be_written() {
    let error = Store::open(Path::new("/nonexistent/store.db")).unwrap_err();
    assert!(matches!(error, StoreError::Unwritable { .. }), "{error}");
}

#[test]
fn a_full_disk_is_named_and_the_store_goes_on_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(&dir.path().join("store.db")).unwrap();
    let big = "v".repeat(1 << 20);
    store.connection.execute_batch("PRAGMA max_page_count = 30").unwrap();
    let error = store.commit(&[row("a", Some(&big))], &[], &checkpoint(1)).unwrap_err();
    assert!(matches!(error, StoreError::Full(_)), "{error}");
    store.connection.execute_batch("PRAGMA max_page_count = 1000000").unwrap();
    store.commit(&[row("a", Some(&big))], &[], &checkpoint(1)).unwrap();
}

#[test]
fn a_second_owner_is_refused_until_the_first_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let first = Store::open(&path).unwrap();
    assert!(matches!(Store::open(&path).unwrap_err(), StoreError::InUse(_)));
    drop(first);
    Store::open(&path).unwrap();
}

#[test]
fn a_reader_sees_each_commit_while_the_service_writes_and_can_write_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    assert!(matches!(Store::open_read_only(&path).unwrap_err(), StoreError::Missing(_)));
    let mut store = Store::open(&path).unwrap();
    let mut reader = Store::open_read_only(&path).unwrap();
    assert_eq!(reader.load_state("cell").unwrap().len(), 0);
    store.commit(&[row("a", Some("1"))], &[], &checkpoint(1)).unwrap();
    assert_eq!(reader.load_state("cell").unwrap().len(), 1);
    let error = reader.commit(&[], &[], &checkpoint(2)).unwrap_err();
    assert!(matches!(error, StoreError::Unwritable { .. }), "{error}");
}

#[test]
fn the_outbox_gives_what_waits_in_order_and_keeps_the_first_answer() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    assert!(matches!(Outbox::open(&path, "splunk").unwrap_err(), StoreError::Missing(_)));
    let mut store = Store::open(&path).unwrap();
    let mut outbox = Outbox::open(&path, "splunk").unwrap();
    let alerts: Vec<Alert> = (0..5).map(|n| alert(&format!("x{n}"), "c")).collect();
    store.commit(&[], &alerts, &checkpoint(1)).unwrap();
    assert_eq!(waiting(&outbox), vec![1, 2, 3, 4, 5]);
    outbox.settle(&[settlement(1, Fate::Delivered), settlement(3, Fate::Refused)]).unwrap();
    outbox.settle(&[settlement(3, Fate::Delivered)]).unwrap();
    outbox.raise_floor().unwrap();
    assert_eq!((waiting(&outbox), outbox.n_waiting().unwrap()), (vec![2, 4, 5], 3));
    assert_eq!(waiting(&Outbox::open(&path, "splunk").unwrap()), vec![2, 4, 5], "after a restart");
    assert_eq!(waiting(&Outbox::open(&path, "elastic").unwrap()), vec![1, 2, 3, 4, 5], "another destination");
    assert_eq!((store.n_waiting("splunk").unwrap(), store.n_waiting("elastic").unwrap()), (3, 5));
    let fates: Vec<Fate> = store.deliveries_of("x2").unwrap().into_iter().map(|one| one.fate).collect();
    assert_eq!(fates, vec![Fate::Refused]);
}

#[test]
fn a_floor_over_everything_does_not_hide_what_comes_later() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let mut store = Store::open(&path).unwrap();
    store.commit(&[], &[alert("x1", "c")], &checkpoint(1)).unwrap();
    let mut outbox = Outbox::open(&path, "splunk").unwrap();
    outbox.settle(&[settlement(1, Fate::Delivered)]).unwrap();
    outbox.raise_floor().unwrap();
    assert_eq!(waiting(&outbox), Vec::<i64>::new());
    store.commit(&[], &[alert("x2", "c")], &checkpoint(2)).unwrap();
    outbox.raise_floor().unwrap();
    assert_eq!(waiting(&outbox), vec![2]);
}

#[test]
fn a_page_stops_at_its_bytes_but_never_before_the_first_alert() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let mut store = Store::open(&path).unwrap();
    store.commit(&[], &[alert("x1", "c"), alert("x2", "c"), alert("x3", "c")], &checkpoint(1)).unwrap();
    let outbox = Outbox::open(&path, "splunk").unwrap();
    let body = outbox.pending(1, 0).unwrap();
    assert_eq!(body.len(), 1);
    assert_eq!(outbox.pending(9, body[0].body.len() * 2).unwrap().len(), 2);
    assert_eq!(outbox.pending(2, usize::MAX).unwrap().len(), 2);
}

#[test]
fn only_what_is_old_and_answered_everywhere_is_pruned() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let mut store = Store::open(&path).unwrap();
    store.commit(&[], &[alert("x1", "c"), alert("x2", "c"), alert("x3", "c")], &checkpoint(1)).unwrap();
    Outbox::open(&path, "a").unwrap().settle(&[settlement(1, Fate::Delivered), settlement(2, Fate::Refused)]).unwrap();
    Outbox::open(&path, "b").unwrap().settle(&[settlement(2, Fate::Repeated)]).unwrap();
    assert_eq!(store.prune(&["a", "b"], 0).unwrap(), 0, "nothing is so old");
    assert_eq!(store.prune(&["a", "b"], i64::MAX).unwrap(), 1);
    assert_eq!(store.deliveries_of("x2").unwrap(), vec![]);
    assert_eq!(store.prune(&["a"], i64::MAX).unwrap(), 1, "a destination that is gone is not waited for");
    store.commit(&[], &[alert("x4", "c")], &checkpoint(2)).unwrap();
    assert_eq!(waiting(&Outbox::open(&path, "a").unwrap()), vec![3, 4], "places are never given twice");
}

#[test]
fn a_store_in_memory_does_the_same() {
    let mut store = Store::open_in_memory().unwrap();
    store.commit(&[row("a", Some("1"))], &[alert("x", "c")], &checkpoint(1)).unwrap();
    assert_eq!(store.load_state("cell").unwrap().len(), 1);
    assert_eq!(store.alerts_of("c").unwrap().len(), 1);
}

#[test]
fn a_store_of_version_1_keeps_its_outbox_and_checkpoint_and_begins_its_cells_anew() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let mut store = Store::open(&path).unwrap();
    store.commit(&[row("a", Some("1"))], &[alert("x", "c")], &checkpoint(3)).unwrap();
    Outbox::open(&path, "siem").unwrap().settle(&[settlement(1, Fate::Refused)]).unwrap();
    store
        .connection
        .execute_batch(
            "DROP TABLE destination; DROP TABLE intervention; DROP TABLE letter_replay; DROP TABLE label;
             PRAGMA user_version = 1",
        )
        .unwrap();
    drop(store);
    assert!(matches!(Outbox::open(&path, "siem").unwrap_err(), StoreError::Old { found: 1, known: 4, .. }));
    let store = Store::open(&path).unwrap();
    assert_eq!((store.load_state("cell").unwrap().len(), store.load_checkpoint().unwrap()), (0, checkpoint(3)));
    let counts = store.outbox_counts().unwrap();
    assert_eq!((counts[0].destination.as_str(), counts[0].fate), ("siem", Some(Fate::Refused)));
}

#[test]
fn a_store_of_version_3_forgets_the_senders_of_another_form_and_keeps_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let mut store = Store::open(&path).unwrap();
    store.commit(&[row("a", Some("1"))], &[alert("x", "c")], &checkpoint(3)).unwrap();
    store.connection.execute_batch("PRAGMA user_version = 3").unwrap();
    drop(store);
    let store = Store::open(&path).unwrap();
    assert_eq!((store.load_state("cell").unwrap().len(), store.load_checkpoint().unwrap()), (0, checkpoint(3)));
    assert_eq!(store.alerts_of("c").unwrap().len(), 1);
}

#[test]
fn a_store_of_version_2_forgets_the_actors_of_another_form_and_keeps_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let mut store = Store::open(&path).unwrap();
    store.commit(&[row("a", Some("1"))], &[alert("x", "c")], &checkpoint(3)).unwrap();
    store.connection.execute_batch("DROP TABLE label; PRAGMA user_version = 2").unwrap();
    drop(store);
    let store = Store::open(&path).unwrap();
    assert_eq!((store.load_state("cell").unwrap().len(), store.load_checkpoint().unwrap()), (0, checkpoint(3)));
    assert_eq!(store.alerts_of("c").unwrap().len(), 1);
}
