//! What an operator is promised: nothing is deleted, order is kept, and a running lane sees it at once.

use super::super::{Outbox, Settlement, Store};
use super::*;
use crate::pipeline::alert::{Alert, Change};
use crate::pipeline::event::Checkpoint;

/// A store with the lives of two clusters: opened, raised and closed of `c1` (1, 2, 3), opened of `c2` (4).
struct Bench {
    dir: tempfile::TempDir,
    store: Store,
    lane: Outbox,
}

impl Bench {
    fn new(answers: &[(i64, Fate)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.db");
        let mut store = Store::open(&path).unwrap();
        let alert = |id: &str, cluster: &str, change| {
            let mut alert: Alert = serde_json::from_str(include_str!("../../../../tests/data/alert.json")).unwrap();
            (alert.alert_id, alert.cluster, alert.change) = (id.to_owned(), cluster.to_owned(), change);
            alert
        };
        let alerts = [
            alert("a1", "c1", Change::Opened),
            alert("a2", "c1", Change::Raised),
            alert("a3", "c1", Change::Closed),
            alert("b1", "c2", Change::Opened),
        ];
        store.commit(&[], &alerts, &Checkpoint::default()).unwrap();
        let mut lane = Outbox::open(&path, "siem").unwrap();
        let words = |fate| if fate == Fate::Refused { "code 6" } else { "" };
        let settlement =
            |(seq, fate): &(i64, Fate)| Settlement { seq: *seq, fate: *fate, detail: words(*fate).into(), attempts: 3 };
        lane.settle(&answers.iter().map(settlement).collect::<Vec<_>>()).unwrap();
        lane.raise_floor().unwrap();
        Self { dir, store, lane }
    }

    fn desk(&self) -> OutboxDesk {
        OutboxDesk::open(&self.dir.path().join("store.db")).unwrap()
    }

    /// What the lane reads next, as it runs.
    fn page(&mut self) -> Vec<i64> {
        self.lane.raise_floor().unwrap();
        self.lane.pending(100, usize::MAX).unwrap().iter().map(|one| one.seq).collect()
    }

    fn fate(&self, alert: &str) -> Option<(Fate, String)> {
        self.store.deliveries_of(alert).unwrap().pop().map(|one| (one.fate, one.detail))
    }
}

fn by(why: &str) -> Intervention {
    Intervention { who: "alice".into(), why: why.into(), dry_run: false }
}

fn seqs(lines: &[OutboxLine]) -> Vec<i64> {
    lines.iter().map(|line| line.seq).collect()
}

const ALL_REFUSED: [(i64, Fate); 4] =
    [(1, Fate::Refused), (2, Fate::Refused), (3, Fate::Refused), (4, Fate::Delivered)];

#[test]
fn a_running_lane_sees_what_waits_again_although_its_floor_is_above() {
    let mut bench = Bench::new(&ALL_REFUSED);
    assert_eq!(bench.page(), Vec::<i64>::new());
    let retried = bench.desk().retry(&OutboxChoice::default(), &by("mended"), false).unwrap();
    assert_eq!((seqs(&retried.waiting), seqs(&retried.out_of_order)), (vec![1, 2, 3], vec![]));
    assert_eq!(bench.page(), vec![1, 2, 3]);
    assert_eq!(bench.lane.n_waiting().unwrap(), 3);
    let path = bench.dir.path().join("store.db");
    assert_eq!(Outbox::open(&path, "siem").unwrap().pending(9, usize::MAX).unwrap().len(), 3, "after a restart");
    let past = bench.store.interventions_of("a1").unwrap();
    let [was] = &past[..] else { panic!("{past:?}") };
    assert_eq!((was.action.as_str(), was.who.as_str(), was.why.as_str()), ("retry", "alice", "mended"));
    assert_eq!((was.fate_before, was.detail_before.as_str()), (Some(Fate::Refused), "code 6"));
}

#[test]
fn a_retry_that_would_come_after_a_later_change_is_left_alone_unless_it_is_wanted() {
    let check = |answers: &[(i64, Fate)], anyway: bool, waiting: &[i64], out_of_order: &[i64]| {
        let mut bench = Bench::new(answers);
        let retried = bench.desk().retry(&OutboxChoice::default(), &by(""), anyway).unwrap();
        assert_eq!((seqs(&retried.waiting), seqs(&retried.out_of_order)), (waiting.to_vec(), out_of_order.to_vec()));
        assert_eq!(bench.page(), waiting);
    };
    let opened_was_refused = [(1, Fate::Refused), (2, Fate::Delivered), (3, Fate::Refused), (4, Fate::Refused)];
    check(&opened_was_refused, false, &[3, 4], &[1]);
    check(&opened_was_refused, true, &[1, 3, 4], &[]);
    let repeated = [(1, Fate::Refused), (2, Fate::Refused), (3, Fate::Repeated), (4, Fate::Refused)];
    check(&repeated, false, &[4], &[1, 2]);
    // A later change that was refused or dropped, too, is nothing that the destination has.
    check(&[(1, Fate::Refused), (2, Fate::Refused), (3, Fate::Dropped), (4, Fate::Delivered)], false, &[1, 2, 3], &[]);
}

#[test]
fn a_choice_is_by_destination_cluster_alert_and_standing() {
    let bench = Bench::new(&[(1, Fate::Refused), (2, Fate::Delivered), (3, Fate::Refused)]);
    let check = |destination: &str, cluster: &str, alert: &str, standings: &[Option<Fate>], expected: &[i64]| {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let choice = OutboxChoice {
            destination: some(destination),
            cluster: some(cluster),
            alert: some(alert),
            standings: standings.to_vec(),
        };
        assert_eq!(seqs(&bench.store.outbox_lines(&choice, 100).unwrap()), expected, "{choice:?}");
    };
    check("", "", "", &[], &[1, 2, 3, 4]);
    check("siem", "", "", &[], &[1, 2, 3, 4]);
    check("other", "", "", &[], &[]);
    check("", "c1", "", &[], &[1, 2, 3]);
    check("", "c", "b", &[], &[4]);
    check("", "%", "", &[], &[]);
    check("", "", "a1", &[], &[1]);
    check("", "", "", &[None], &[4]);
    check("", "", "", &[None, Some(Fate::Refused)], &[1, 3, 4]);
    check("", "c1", "", &[Some(Fate::Delivered)], &[2]);
}

#[test]
fn what_is_given_up_stays_with_its_reason_and_never_goes_out() {
    let mut bench = Bench::new(&[(1, Fate::Refused), (2, Fate::Delivered)]);
    let dropped = bench.desk().give_up(&OutboxChoice::default(), &by("the index is gone")).unwrap();
    assert_eq!(seqs(&dropped), vec![1, 3, 4], "what was delivered is not given up");
    assert_eq!(bench.page(), Vec::<i64>::new());
    assert_eq!(bench.fate("a1"), Some((Fate::Dropped, "by alice: the index is gone".into())));
    assert_eq!(bench.fate("a2"), Some((Fate::Delivered, String::new())));
    assert_eq!(bench.store.interventions_of("a1").unwrap()[0].detail_before, "code 6", "the words are kept");
    assert_eq!(bench.store.interventions_of("b1").unwrap()[0].fate_before, None, "it waited");
    assert_eq!(bench.store.outbox_lines(&OutboxChoice::default(), 100).unwrap().len(), 4, "no row is deleted");
}

#[test]
fn an_alert_that_was_under_way_when_it_was_given_up_gets_the_destination_s_answer() {
    let mut bench = Bench::new(&[]);
    bench.desk().give_up(&OutboxChoice::default(), &by("")).unwrap();
    let settlement = |seq, fate| Settlement { seq, fate, detail: "ack 7".into(), attempts: 1 };
    bench.lane.settle(&[settlement(1, Fate::Delivered), settlement(2, Fate::Refused)]).unwrap();
    assert_eq!(bench.fate("a1"), Some((Fate::Delivered, "ack 7".into())));
    assert_eq!(bench.fate("a2").unwrap().0, Fate::Dropped, "a refusal changes nothing");
}

#[test]
fn a_dry_run_says_the_same_and_does_nothing() {
    let mut bench = Bench::new(&ALL_REFUSED);
    let dry = Intervention { dry_run: true, ..by("") };
    assert_eq!(bench.desk().retry(&OutboxChoice::default(), &dry, false).unwrap().waiting.len(), 3);
    assert_eq!(bench.desk().give_up(&OutboxChoice::default(), &dry).unwrap().len(), 3);
    assert_eq!(bench.page(), Vec::<i64>::new());
    assert_eq!((bench.fate("a1").unwrap().0, bench.store.interventions_of("a1").unwrap()), (Fate::Refused, vec![]));
}

#[test]
fn counts_are_by_destination_and_fate_with_the_oldest_and_know_destinations_without_alerts() {
    let bench = Bench::new(&[(1, Fate::Refused), (2, Fate::Delivered)]);
    drop(Outbox::open(&bench.dir.path().join("store.db"), "archive").unwrap());
    let counts = bench.store.outbox_counts().unwrap();
    let told: Vec<_> = counts.iter().map(|one| (one.destination.as_str(), one.fate, one.alerts)).collect();
    assert_eq!(
        told,
        vec![
            ("archive", None, 4),
            ("siem", None, 2),
            ("siem", Some(Fate::Delivered), 1),
            ("siem", Some(Fate::Refused), 1)
        ]
    );
    assert!(counts.iter().all(|one| one.oldest_ms > 0));
    let empty = Store::open_in_memory().unwrap();
    assert_eq!(empty.outbox_counts().unwrap(), vec![]);
}

#[test]
fn what_was_pruned_takes_its_interventions_along_and_a_lane_goes_on() {
    let mut bench = Bench::new(&[(1, Fate::Refused)]);
    let choice = OutboxChoice { alert: Some("a1".into()), ..OutboxChoice::default() };
    bench.desk().give_up(&choice, &by("")).unwrap();
    assert_eq!(bench.page(), vec![2, 3, 4]);
    assert_eq!(bench.store.prune(&["siem"], i64::MAX).unwrap(), 1);
    let n: i64 = bench.desk().connection.query_row("SELECT count(*) FROM intervention", [], |row| row.get(0)).unwrap();
    assert_eq!(n, 0);
    assert_eq!(bench.page(), vec![2, 3, 4]);
}
