//! Looking: only what changed is read, what is read is enough, and faults come and go.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Duration;

use crate::app::judgement::{self, Rhythm};
use crate::app::top::sheet;
use crate::config::{AlertSettings, ModelSettings};
use crate::edge::store::Outbox;
use crate::edge::tables::Tables;
use crate::pipeline::alert::Verdict;
use crate::pipeline::event::{Batch, Checkpoint, Position};
use crate::pipeline::keys::Keys;
use crate::pipeline::{Memos, examine, fold};

use super::*;

/// Events of the store: the first alert is opened among them.
const N_EVENTS: usize = 2_000;

/// Writes a store as a service leaves it after real events.
fn write(path: &Path) {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/demo");
    let (tables, faults) = Tables::open(Some(&demo.join("asn.mmdb")), Some(&demo.join("country.mmdb")));
    assert!(faults.is_empty(), "{faults:?}");
    let (keys, models) = (Keys::derive(b"a secret of the tests"), ModelSettings::default());
    let context = judgement::context(keys, tables, &models, &Rhythm::default(), &AlertSettings::default()).unwrap();
    let file = std::fs::File::open(demo.join("events.jsonl.gz")).unwrap();
    let mut batch = Batch::default();
    let lines = BufReader::new(flate2::read::GzDecoder::new(file)).lines().take(N_EVENTS).map(Result::unwrap);
    for (line, offset) in lines.zip(0..) {
        batch.push(Position { topic: "panics", partition: 0, offset }, None, line.as_bytes());
    }
    let (mut state, mut memos) = (State::new(&context.clustering), Memos::default());
    let seen: Vec<_> =
        batch.iter().map(|record| examine(&context, &mut memos, record).into_observation().unwrap()).collect();
    let step = fold(&context, &mut state, seen, None);
    let last = state.close_last(&context);
    let mut store = Store::open(path).unwrap();
    store.commit(&step.rows, &step.alerts, &Checkpoint::default()).unwrap();
    store.commit(&last.rows, &last.alerts, &Checkpoint::default()).unwrap();
    drop(Outbox::open(path, "siem").unwrap());
}

/// Nobody is asked at this port: connections to it are refused.
fn looker(path: &Path) -> Looker {
    let admin = AdminPort::parse("http://127.0.0.1:1").unwrap();
    let interval = Duration::from_secs(2);
    Looker::new(&TopOptions { store: path.to_owned(), admin, interval, once: false, color: false }).unwrap()
}

#[test]
fn what_is_read_is_enough_for_all_that_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("panicsift.db");
    write(&path);
    let view = looker(&path).look(false);
    let store = Store::open_read_only(&path).unwrap();
    let (state, _) = State::restore(&ClusteringModel::uncapped().unwrap(), |kind| store.load_state(kind)).unwrap();
    let whole = Memory::of(state, Vec::new());
    assert!(whole.clusters.len() > 10 && whole.n_of(Verdict::Hostile) > 0 && whole.n_open() > 0, "{whole:?}");
    assert_eq!(view.memory.clusters, whole.clusters);
    for row in &whole.clusters {
        let (read, whole) = (&view.memory.state, &whole.state);
        assert_eq!(sheet::of_cluster(read, row.id), sheet::of_cluster(whole, row.id), "{}", row.id);
    }
    let waiting: Vec<(&str, u64)> = view.destinations.iter().map(|one| (one.name.as_str(), one.waiting)).collect();
    assert_eq!(waiting.len(), 1);
    assert!(waiting[0].0 == "siem" && waiting[0].1 > 0, "{waiting:?}");
    assert!(view.store.fault.is_none() && view.store.n_unreadable == 0, "{:?}", view.store);
}

#[test]
fn a_store_to_which_nothing_was_committed_is_not_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("panicsift.db");
    let mut store = Store::open(&path).unwrap();
    let mut looker = looker(&path);
    let first = looker.look(false);
    assert!(Arc::ptr_eq(&first.memory, &looker.look(true).memory), "nothing was committed");
    store.set_meta("a", "1").unwrap();
    looker.resting_until = steady_clock().checked_add(Duration::from_hours(1));
    assert!(Arc::ptr_eq(&first.memory, &looker.look(false).memory), "it rests");
    let urgent = looker.look(true);
    assert!(!Arc::ptr_eq(&first.memory, &urgent.memory), "who asks for it gets it");
    store.set_meta("a", "2").unwrap();
    looker.resting_until = Some(steady_clock());
    assert!(!Arc::ptr_eq(&urgent.memory, &looker.look(false).memory), "it has rested");
}

#[test]
fn a_fault_is_told_beside_what_was_seen_and_goes_with_its_cause() {
    let dir = tempfile::tempdir().unwrap();
    let (path, aside) = (dir.path().join("panicsift.db"), dir.path().join("aside.db"));
    Store::open(&path).unwrap().set_meta("a", "1").unwrap();
    drop(Outbox::open(&path, "siem").unwrap());
    let mut looker = looker(&path);
    assert_eq!(looker.look(false).store.fault, None);
    std::fs::rename(&path, &aside).unwrap();
    let faulty = looker.look(true);
    assert!(faulty.store.fault.unwrap().contains("there is no store"));
    assert_eq!(faulty.destinations.len(), 1, "what was seen is still shown");
    std::fs::write(&path, b"something else").unwrap();
    assert!(looker.look(true).store.fault.unwrap().contains("not a panicsift store"));
    std::fs::rename(&aside, &path).unwrap();
    assert_eq!(looker.look(true).store.fault, None);
}

#[test]
fn a_service_that_does_not_answer_is_named_with_its_address() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("panicsift.db");
    let mut looker = looker(&path);
    let Service::NotReached { why } = looker.look(false).service else { panic!("nobody is there") };
    assert!(why.starts_with("http://127.0.0.1:1: "), "{why}");
}

#[test]
fn a_rate_needs_two_answers_of_one_process() {
    let dir = tempfile::tempdir().unwrap();
    let mut looker = looker(&dir.path().join("panicsift.db"));
    assert_eq!(looker.rate(Some(100.0)), None);
    let begun = steady_clock().checked_sub(Duration::from_secs(10)).unwrap();
    looker.records = Some((begun, 100.0));
    let rate = looker.rate(Some(600.0)).unwrap();
    assert!((45.0..=50.0).contains(&rate), "{rate}");
    looker.records = Some((begun, 600.0));
    assert_eq!(looker.rate(Some(5.0)), None, "it was started anew");
    assert_eq!(looker.rate(None), None);
    assert_eq!(looker.rate(Some(5.0)), None);
}
