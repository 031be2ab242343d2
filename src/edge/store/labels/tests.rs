//! Words on the disk: the newest stands, earlier ones are kept, another process has the store all the while.

use super::*;
use crate::edge::store::Store;
use crate::pipeline::event::Id;

struct Bench {
    _dir: tempfile::TempDir,
    path: PathBuf,
    /// What a service holds.
    store: Store,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.db");
        let store = Store::open(&path).unwrap();
        Self { _dir: dir, path, store }
    }

    fn say(&self, cluster: u64, call: Option<Call>, by: &str) -> Result<Option<Label>, StoreError> {
        LabelDesk::open(&self.path).unwrap().say(&label(cluster, call, by), false)
    }

    fn standing(&self) -> Vec<(u64, Call, String)> {
        let rulings = self.store.rulings().unwrap();
        rulings.iter().map(|(id, ruling)| (id.0.0, ruling.call, ruling.by.clone())).collect()
    }
}

fn label(cluster: u64, call: Option<Call>, by: &str) -> Label {
    Label {
        cluster: ClusterId(Id(cluster)),
        call,
        why: "it's \"so\"; DROP TABLE label".to_owned(),
        by: by.to_owned(),
        at_ms: 0,
        judge: Verdict::Undecided,
        points: -1.25,
    }
}

#[test]
fn the_newest_word_stands_and_who_was_overruled_stays_known() {
    let bench = Bench::new();
    assert_eq!((bench.standing(), bench.store.newest_label().unwrap()), (vec![], 0));
    assert_eq!(bench.say(1, Some(Call::Benign), "alice").unwrap(), None);
    let seen = bench.store.newest_label().unwrap();
    assert_eq!(bench.standing(), [(1, Call::Benign, "alice".to_owned())]);
    let before = bench.say(1, Some(Call::Hostile), "bob").unwrap().unwrap();
    assert_eq!((before.call, before.by.as_str()), (Some(Call::Benign), "alice"));
    bench.say(u64::MAX, Some(Call::Benign), "carol").unwrap();
    assert_eq!(bench.standing(), [(1, Call::Hostile, "bob".to_owned()), (u64::MAX, Call::Benign, "carol".to_owned())]);
    assert!(bench.store.newest_label().unwrap() > seen, "a service sees that there is news");
    bench.say(1, None, "dan").unwrap();
    assert_eq!(bench.standing(), [(u64::MAX, Call::Benign, "carol".to_owned())]);
    let said: Vec<_> = bench.store.labels().unwrap().into_iter().map(|label| (label.by, label.call)).collect();
    let line = |by: &str, call| (by.to_owned(), call);
    let (hostile, benign) = (Some(Call::Hostile), Some(Call::Benign));
    assert_eq!(said, [line("alice", benign), line("bob", hostile), line("carol", benign), line("dan", None)]);
    let kept = &bench.store.labels().unwrap()[0];
    assert!(kept.at_ms > 1_700_000_000_000);
    assert_eq!(*kept, Label { at_ms: kept.at_ms, ..label(1, benign, "alice") }, "all of it is kept as it is");
}

#[test]
fn what_was_not_said_cannot_be_taken_back_nor_twice() {
    let bench = Bench::new();
    let refused = |bench: &Bench| bench.say(7, None, "alice").unwrap_err().to_string();
    assert!(refused(&bench).contains("no word on c-0000000000000007 stands"), "{}", refused(&bench));
    bench.say(7, Some(Call::Benign), "alice").unwrap();
    bench.say(7, None, "alice").unwrap();
    assert!(refused(&bench).contains("no word on"), "{}", refused(&bench));
    assert_eq!(bench.store.labels().unwrap().len(), 2);
}

#[test]
fn a_dry_run_changes_nothing_and_a_copy_everything() {
    let bench = Bench::new();
    let mut desk = LabelDesk::open(&bench.path).unwrap();
    assert_eq!(desk.say(&label(1, Some(Call::Benign), "alice"), true).unwrap(), None);
    assert_eq!((bench.standing(), bench.store.newest_label().unwrap()), (vec![], 0));
    bench.say(1, Some(Call::Benign), "alice").unwrap();
    bench.say(1, Some(Call::Hostile), "bob").unwrap();
    let mut copy = Store::open_in_memory().unwrap();
    copy.copy_labels(&bench.store.labels().unwrap()).unwrap();
    assert_eq!(copy.labels().unwrap(), bench.store.labels().unwrap());
    assert_eq!(copy.rulings().unwrap(), bench.store.rulings().unwrap());
}

#[test]
fn the_history_of_a_cluster_is_bounded_and_its_newest_lines_are_kept() {
    let bench = Bench::new();
    let mut desk = LabelDesk::open(&bench.path).unwrap();
    desk.say(&label(2, Some(Call::Benign), "other"), false).unwrap();
    for n in 0..HISTORY_MAX + 20 {
        let call = [Call::Hostile, Call::Benign][usize::from(n % 2 == 0)];
        desk.say(&label(1, Some(call), &n.to_string()), false).unwrap();
    }
    let labels = bench.store.labels().unwrap();
    assert_eq!(labels.len(), usize::try_from(HISTORY_MAX).unwrap() + 1);
    assert_eq!((labels[0].by.as_str(), labels[1].by.as_str()), ("other", "20"));
    assert_eq!(bench.standing()[0].2, (HISTORY_MAX + 19).to_string());
}

#[test]
fn a_line_that_is_none_of_ours_is_told_and_no_word() {
    let bench = Bench::new();
    bench.say(1, Some(Call::Benign), "alice").unwrap();
    for (column, text) in [("cluster", "c-1"), ("word", "maybe"), ("judge", "guilty")] {
        let foreign = rusqlite::Connection::open(&bench.path).unwrap();
        let old: String = foreign.query_row(&format!("SELECT {column} FROM label"), [], |row| row.get(0)).unwrap();
        foreign.execute(&format!("UPDATE label SET {column} = ?1"), [text]).unwrap();
        assert!(bench.store.rulings().is_err(), "{column}");
        assert!(bench.store.labels().is_err(), "{column}");
        foreign.execute(&format!("UPDATE label SET {column} = ?1"), [old]).unwrap();
    }
    assert_eq!(bench.standing().len(), 1);
}
