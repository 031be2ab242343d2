//! Whatever a destination does, in any order: once it is well again every alert is delivered, in order, and its fate is
//! known; and nothing is called delivered that the destination does not have.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::pipeline::alert::{Alert, Change, Severity};

/// What happens to one request.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// Taken and answered.
    Accept,
    /// Taken; it is acknowledged when it is asked for.
    HandOver,
    /// Said to be taken; the destination loses it, and the acknowledgement never comes.
    Vanish,
    /// Taken, and the acknowledgement never comes.
    Forget,
    /// Taken, and the answer is lost.
    CutAfter,
    /// Not taken.
    Retry,
    Hold,
    /// Taken up to the alert at fault, which is pointed at (or one beside it, or none).
    Poison(u8),
    /// More than so many are too large.
    TooLarge(u8),
    /// Each item has its own word.
    Words(u8),
}

/// What happens between two requests.
#[derive(Debug, Clone, Copy)]
enum Between {
    Nothing,
    /// Acknowledgements are asked for; those under way whose turn it is are answered.
    Poll,
    /// Everything that waits for its acknowledgement is given up.
    Overdue,
    /// The process ends and starts again.
    Restart,
}

/// What the destination has: by cluster, places in the order in which they came first.
#[derive(Default)]
struct Destination {
    has: BTreeMap<String, Vec<i64>>,
    /// Requests that were handed over, and whether they will be acknowledged.
    open: BTreeMap<Ticket, bool>,
    n_tickets: u64,
}

/// Alerts that wait and those that are settled.
struct Model {
    alerts: Vec<Pending>,
    poisoned: BTreeSet<i64>,
    settled: BTreeMap<i64, Fate>,
    destination: Destination,
}

impl Model {
    fn take(&mut self, sent: &[(i64, String)]) {
        for (seq, cluster) in sent {
            let has = self.destination.has.entry(cluster.clone()).or_default();
            if !has.contains(seq) {
                has.push(*seq);
            }
        }
    }

    fn has(&self, seq: i64) -> bool {
        self.destination.has.values().flatten().any(|known| *known == seq)
    }

    fn answer(&mut self, step: Step, sent: &[(i64, String)]) -> Reading {
        let bad = sent.iter().position(|(seq, _)| self.poisoned.contains(seq));
        match (step, bad) {
            (Step::Retry, _) => retry(),
            (Step::Hold, _) => Reading::Hold { why: "403".to_owned() },
            (Step::TooLarge(n), _) if sent.len() > usize::from(n).max(1) => Reading::TooLarge { why: "413".to_owned() },
            (Step::Words(n), _) => self.words(n, sent),
            (step, Some(at)) => {
                let pointing = if let Step::Poison(n) = step { n } else { 0 };
                let suspect = match pointing % 3 {
                    0 => Some(at),
                    1 => Some(at + 1),
                    _ => None,
                };
                poison(suspect)
            }
            (Step::Accept | Step::Poison(_) | Step::TooLarge(_), None) => {
                self.take(sent);
                ACCEPTED
            }
            (Step::CutAfter, None) => {
                self.take(sent);
                retry()
            }
            (Step::HandOver | Step::Vanish | Step::Forget, None) => {
                if !matches!(step, Step::Vanish) {
                    self.take(sent);
                }
                self.destination.n_tickets += 1;
                let ticket = Ticket(self.destination.n_tickets);
                self.destination.open.insert(ticket, matches!(step, Step::HandOver));
                Reading::Pending { ticket, slow_down: self.destination.n_tickets.is_multiple_of(5) }
            }
        }
    }

    fn words(&mut self, n: u8, sent: &[(i64, String)]) -> Reading {
        let mut said = Vec::new();
        for (at, one) in sent.iter().enumerate() {
            said.push(match (usize::from(n) + at) % 4 {
                _ if self.poisoned.contains(&one.0) => Word::Final(Fate::Refused, "400".to_owned()),
                0 => Word::Retry("503".to_owned()),
                1 => Word::Overloaded("429".to_owned()),
                2 if n.is_multiple_of(3) => Word::Hold("403".to_owned()),
                _ => {
                    self.take(std::slice::from_ref(one));
                    Word::Final(Fate::Delivered, String::new())
                }
            });
        }
        Reading::Words(said)
    }

    fn note(&mut self, settlements: &[Settlement]) {
        for one in settlements {
            let before = self.settled.insert(one.seq, one.fate);
            assert!(before.is_none(), "{} is settled twice: {before:?}, {:?}", one.seq, one.fate);
            match one.fate {
                Fate::Refused => assert!(self.poisoned.contains(&one.seq), "{} was good and is refused", one.seq),
                Fate::Superseded => {}
                _ => assert!(self.has(one.seq), "{} is called delivered and is not there", one.seq),
            }
        }
    }

    /// The outbox after a place, a page of it.
    fn page(&self, (n_max, after): (usize, i64)) -> Vec<Pending> {
        let waiting = self.alerts.iter().filter(|one| one.seq > after && !self.settled.contains_key(&one.seq));
        waiting.take(n_max).cloned().collect()
    }

    fn turn(&mut self, memory: &mut Memory, step: Step) {
        if !memory.has_window() {
            return;
        }
        while !memory.hold(self.page(memory.room())) && memory.room().0 > 0 {}
        let shipment = memory.choose();
        if shipment.sent.is_empty() {
            return;
        }
        let cluster_of = |seq| self.alerts.iter().find(|one| one.seq == seq).unwrap().cluster.clone();
        let sent: Vec<(i64, String)> = seqs(&shipment.sent).into_iter().map(|seq| (seq, cluster_of(seq))).collect();
        let clusters: BTreeSet<&String> = sent.iter().map(|(_, cluster)| cluster).collect();
        assert_eq!(clusters.len(), sent.len(), "two of a cluster in one request");
        let outcome = memory.digest(self.answer(step, &sent), shipment.sent);
        self.note(&outcome.settlements);
        memory.pace.after(outcome.went, sent.len(), 0);
    }

    fn between(&mut self, memory: &mut Memory, between: Between) {
        let told: Vec<(Ticket, Reading)> = match between {
            Between::Nothing => return,
            Between::Restart => {
                *memory = super::memory();
                self.destination.open.clear();
                return;
            }
            Between::Poll => {
                let due: Vec<Ticket> =
                    self.destination.open.iter().filter(|(_, comes)| **comes).map(|(ticket, _)| *ticket).collect();
                due.into_iter().step_by(2).map(|ticket| (ticket, ACCEPTED)).collect()
            }
            Between::Overdue => self.destination.open.keys().map(|ticket| (*ticket, retry())).collect(),
        };
        for (ticket, reading) in told {
            self.destination.open.remove(&ticket);
            let (outcome, _) = memory.digest_ticket(ticket, reading).expect("known to the lane");
            self.note(&outcome.settlements);
        }
    }
}

/// All of it: a stream of changes, what happens to requests, then a destination that is well.
fn play(alerts: Vec<(u8, u8, u8)>, poisoned: &BTreeSet<i64>, script: &[(Step, Between)]) {
    let mut pending = page(&vec![""; alerts.len()]);
    let mut is_open = BTreeSet::new();
    for (one, (cluster, change, severity)) in pending.iter_mut().zip(alerts) {
        one.cluster = format!("c{}", cluster % 5);
        let mut alert: Alert = serde_json::from_str(&one.body).unwrap();
        alert.change = match change % 3 {
            _ if is_open.insert(one.cluster.clone()) => Change::Opened,
            0 | 1 => Change::Raised,
            _ => {
                is_open.remove(&one.cluster);
                Change::Closed
            }
        };
        alert.portrait.severity = [Severity::Low, Severity::High, Severity::Critical][usize::from(severity % 3)];
        one.body = serde_json::to_string(&alert).unwrap();
    }
    let mut model = Model {
        alerts: pending,
        poisoned: poisoned.clone(),
        settled: BTreeMap::new(),
        destination: Destination::default(),
    };
    let mut memory = super::memory();
    for (step, between) in script {
        model.turn(&mut memory, *step);
        model.between(&mut memory, *between);
    }
    let mut n_turns = 0;
    while model.settled.len() < model.alerts.len() && n_turns < 1_000 {
        n_turns += 1;
        model.between(&mut memory, Between::Overdue);
        model.turn(&mut memory, Step::Accept);
    }
    check(&model);
}

#[track_caller]
fn check(model: &Model) {
    for one in &model.alerts {
        let fate = model.settled.get(&one.seq);
        let alert: Alert = serde_json::from_str(&one.body).unwrap();
        match fate {
            None => panic!("{} has no fate", one.seq),
            Some(Fate::Refused) => assert!(model.poisoned.contains(&one.seq)),
            Some(Fate::Superseded) => {
                assert_eq!(alert.change, Change::Raised);
                let said = model.alerts.iter().any(|later| {
                    let told: Alert = serde_json::from_str(&later.body).unwrap();
                    later.seq > one.seq
                        && later.cluster == one.cluster
                        && model.has(later.seq)
                        && told.portrait.severity >= alert.portrait.severity
                });
                assert!(said, "{} is given up and nothing says the same", one.seq);
            }
            Some(_) => assert!(model.has(one.seq)),
        }
    }
    for places in model.destination.has.values() {
        let delivered: Vec<i64> =
            places.iter().copied().filter(|seq| model.settled.get(seq) != Some(&Fate::Superseded)).collect();
        assert!(delivered.is_sorted(), "out of order: {delivered:?}");
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Accept),
        4 => Just(Step::HandOver),
        1 => Just(Step::Vanish),
        1 => Just(Step::Forget),
        1 => Just(Step::CutAfter),
        1 => Just(Step::Retry),
        1 => Just(Step::Hold),
        2 => any::<u8>().prop_map(Step::Poison),
        1 => (1_u8..9).prop_map(Step::TooLarge),
        2 => any::<u8>().prop_map(Step::Words),
    ]
}

fn between() -> impl Strategy<Value = Between> {
    prop_oneof![
        6 => Just(Between::Nothing),
        3 => Just(Between::Poll),
        1 => Just(Between::Overdue),
        1 => Just(Between::Restart),
    ]
}

proptest! {
    #[test]
    fn every_alert_is_delivered_in_order_and_has_one_fate(
        alerts in prop::collection::vec(any::<(u8, u8, u8)>(), 1..60),
        poisoned in prop::collection::btree_set(1_i64..60, 0..3),
        script in prop::collection::vec((step(), between()), 0..80),
    ) {
        play(alerts, &poisoned, &script);
    }
}
