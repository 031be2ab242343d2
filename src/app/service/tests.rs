//! The loop over sources that do what no broker can be made to do at will: stand still, hold, jump.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use super::*;
use crate::config::{AlertSettings, DeadLetterPlace, DeadLetterSettings, ModelSettings, RawBytes};
use crate::edge::{DeadLetterError, Gap, Pull, SourceError};
use crate::pipeline::decode::Feed;
use crate::pipeline::event::Rejection;
use crate::pipeline::keys::Keys;

/// Gives what it was told to, then nothing but idle polls; closes after so many of them.
struct Scripted {
    pulls: VecDeque<Pull>,
    n_idle: usize,
    committed: Checkpoint,
}

impl Scripted {
    fn new(pulls: Vec<Pull>, n_idle: usize) -> Self {
        Self { pulls: pulls.into(), n_idle, committed: Checkpoint::default() }
    }
}

impl Source for Scripted {
    async fn next(&mut self) -> Result<Pull, SourceError> {
        if let Some(pull) = self.pulls.pop_front() {
            return Ok(pull);
        }
        if self.n_idle == 0 {
            return Ok(Pull::Closed);
        }
        self.n_idle -= 1;
        tokio::time::sleep(Duration::from_millis(1)).await;
        Ok(Pull::Idle)
    }

    fn commit(&mut self, checkpoint: &Checkpoint, _decided: &Checkpoint) -> Result<(), SourceError> {
        self.committed = checkpoint.clone();
        Ok(())
    }
}

struct NoLetters;

impl DeadLetters for NoLetters {
    async fn write(&mut self, _: &[Rejection<'_>]) -> Result<(), DeadLetterError> {
        Ok(())
    }
}

/// What the source says of itself, and how often it was told to join anew.
struct Said {
    status: RefCell<SourceStatus>,
    n_reassigned: Cell<u32>,
}

impl Said {
    fn new(lag: Option<i64>) -> Self {
        let partition = PartitionStatus {
            topic: "t".to_owned(),
            partition: 0,
            next_read: Some(0),
            next_decided: Some(0),
            high_watermark: lag,
            leader_lost: false,
        };
        let status = SourceStatus { partitions: vec![partition], brokers: Brokers::Up, ..SourceStatus::default() };
        Self { status: RefCell::new(status), n_reassigned: Cell::new(0) }
    }
}

impl Overseen for Said {
    fn status(&self) -> SourceStatus {
        self.status.borrow().clone()
    }

    fn reassign(&self) {
        self.n_reassigned.update(|n| n + 1);
    }
}

fn engine(source: Scripted, store: Store) -> Engine<Scripted, NoLetters> {
    let keys = Keys::derive(b"a secret of the tests");
    let tables = Tables::open(None, None).0;
    let context =
        judgement::context(keys, tables, &ModelSettings::default(), &Rhythm::default(), &AlertSettings::default());
    let (sender, context) = watch::channel(Arc::new(context.unwrap()));
    drop(sender);
    let refused_share = RefusedShare::new(&DeadLetterSettings {
        place: DeadLetterPlace::File(PathBuf::new()),
        share_max: 1.0,
        window: Duration::from_mins(1),
        window_records_min: 1,
        raw: RawBytes::Keep,
    });
    let checkpoint = store.load_checkpoint().unwrap();
    Engine::start(Parts { source, dead_letters: NoLetters, store, checkpoint, context, refused_share }).unwrap()
}

const STALL: Duration = Duration::from_millis(60);

/// Runs the loop over idle polls; how it ended, how often the group was joined anew, and what readiness says.
async fn run(said: &Said, n_idle: usize) -> (Result<()>, u32, Vec<String>) {
    let mut engine = engine(Scripted::new(Vec::new(), n_idle), Store::open_in_memory().unwrap());
    let health = Health::new(HealthLimits::default());
    let bounds = Bounds { ends: false, outbox_alerts_max: 10, stall: STALL };
    let ended = run_loop(&mut engine, said, &health, &[], bounds).await;
    (ended, said.n_reassigned.get(), health.report().reasons)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_stands_still_is_joined_anew_and_then_ends_the_service() {
    for lag in [Some(5), None] {
        let (ended, n_reassigned, reasons) = run(&Said::new(lag), usize::MAX).await;
        let said = ended.unwrap_err().to_string();
        assert!(said.contains("also after the group was joined anew") && said.contains("limits.stall_secs"), "{said}");
        assert_eq!(n_reassigned, 1);
        assert!(reasons.iter().any(|reason| reason.starts_with("the source waits: it stands still")), "{reasons:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_caught_up_or_on_hold_or_without_brokers_or_leaders_may_be_silent() {
    let on_hold = Said::new(Some(5));
    on_hold.status.borrow_mut().hold = Some("1 of 2 partitions are ours".to_owned());
    let without_brokers = Said::new(Some(5));
    without_brokers.status.borrow_mut().brokers = Brokers::Down;
    let without_leader = Said::new(Some(5));
    without_leader.status.borrow_mut().partitions[0].leader_lost = true;
    for said in [Said::new(Some(0)), on_hold, without_brokers, without_leader] {
        // At a millisecond each and more these are at least three periods.
        let (ended, n_reassigned, _) = run(&said, 180).await;
        ended.unwrap();
        assert_eq!(n_reassigned, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_source_lacks_stands_against_readiness_in_its_own_words() {
    let check = |lacking: fn(&mut SourceStatus), expected: &str| {
        let said = Said::new(Some(5));
        lacking(&mut said.status.borrow_mut());
        let health = Health::new(HealthLimits::default());
        tell_source(&health, &said.status(), None);
        let reasons = health.report().reasons;
        assert!(reasons.contains(&format!("the source waits: {expected}")), "{reasons:?}");
    };
    check(|it| it.hold = Some("1 of 2 partitions are ours".to_owned()), "1 of 2 partitions are ours");
    check(|it| it.brokers = Brokers::Down, "no broker answers");
    let leaderless = |it: &mut SourceStatus| {
        let other = PartitionStatus { partition: 1, leader_lost: true, ..it.partitions[0].clone() };
        it.partitions.push(other);
    };
    check(leaderless, "the leaders of 1 of 2 partitions do not answer");
    check(|it| it.partitions.clear(), "no partition is assigned");
}

fn gap(from: i64, to: i64, end: Option<i64>) -> Pull {
    Pull::Gap(vec![Gap { topic: "t".to_owned(), partition: 0, from, to, end }])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jump_is_in_the_store_and_in_the_notes_and_only_a_topic_made_anew_goes_back() {
    for (pull, expected) in [(gap(30, 70, None), 70), (gap(30, 10, None), 30), (gap(30, 2, Some(9)), 2)] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.db");
        let mut checkpoint = Checkpoint::default();
        checkpoint.set("t", 0, 30);
        let mut store = Store::open(&path).unwrap();
        store.commit(&[], &[], &checkpoint).unwrap();
        let mut engine = engine(Scripted::new(vec![pull], 3), store);
        let health = Health::new(HealthLimits::default());
        let bounds = Bounds { ends: false, outbox_alerts_max: 10, stall: STALL };
        run_loop(&mut engine, &Said::new(Some(0)), &health, &[], bounds).await.unwrap();
        assert_eq!(engine.source().committed.next_offset("t", 0), Some(expected));
        let notes = health.report().notes;
        assert!(notes.iter().any(|note| note.starts_with("records are gone: t[0]: ")), "{notes:?}");
        drop(engine);
        assert_eq!(Store::open(&path).unwrap().load_checkpoint().unwrap().next_offset("t", 0), Some(expected));
    }
}

/// Real time is taken from a machine, so a step is put into the loop's clock by hand.
#[test]
fn a_clock_that_is_set_back_does_not_hold_the_window_of_refused_records_open() {
    let mut share = RefusedShare::new(&DeadLetterSettings {
        place: DeadLetterPlace::File(PathBuf::new()),
        share_max: 0.5,
        window: Duration::from_mins(1),
        window_records_min: 10,
        raw: RawBytes::Keep,
    });
    let at = |secs: i64| Millis(1_750_000_000_000 + secs * Millis::SECOND);
    share.check(at(0), 100, 50).unwrap();
    // An hour back: a new window, in which the fifty good ones of before do not hide what is bad now.
    assert!(share.check(at(-3_600), 20, 15).is_err());
}

/// A batch of one record.
fn batch(topic: &str, offset: i64, record: &str) -> Pull {
    let mut batch = crate::pipeline::event::Batch::default();
    batch.push(crate::pipeline::event::Position { topic, partition: 0, offset }, None, record.as_bytes());
    Pull::Batch(batch)
}

#[tokio::test(flavor = "multi_thread")]
async fn samples_that_never_cease_hold_up_no_panic_and_move_no_clock() {
    let at = |second: i64| Millis(1_789_372_800_000 + second * Millis::SECOND);
    let event = format!(r#"{{"event_id":"e","ts":"{}","service":"s","panic":{{"message":"m"}}}}"#, at(0));
    let sample = |n: i64| format!(r#"{{"sample_id":"{n}","ts":"{}","service":"s","sample_rate":1}}"#, at(n));
    let mut pulls = vec![batch("panics", 0, &event)];
    pulls.extend((0..4).map(|n| batch("ordinary", n, &sample(n * Millis::DAY))));
    let mut engine = engine(Scripted::new(pulls, 0), Store::open_in_memory().unwrap());
    engine.turn(at(0), || Some(at(900))).await.unwrap();
    assert_eq!(engine.epoch(), Some(at(0)), "a batch with a panic waits for those on their way");
    engine.turn(at(0), || None).await.unwrap();
    assert_eq!(engine.epoch(), Some(at(0)), "a sample's own time says nothing");
    engine.turn(at(0), || Some(at(900))).await.unwrap();
    assert_eq!(engine.epoch(), Some(at(900)));
    engine.turn(at(0), || Some(at(960))).await.unwrap();
    assert_eq!(engine.epoch(), Some(at(960)));
    let fates = engine.fates();
    assert_eq!((fates.observed, fates.sampled, fates.total()), (1, 3, 4));
}

#[test]
fn samples_that_wait_keep_no_source_from_being_caught_up() {
    let sampled = Feed { carrier: Some(Carrier::RequestSample), ..Feed::default() };
    let feeds = Feeds::new([("ordinary".to_owned(), sampled)].into(), Feed::default());
    let check = |lags: &[(&str, i64)], expected: bool| {
        let said = Said::new(Some(0));
        let of = |(topic, lag): &(&str, i64)| PartitionStatus {
            topic: (*topic).to_owned(),
            high_watermark: Some(*lag),
            ..said.status().partitions.remove(0)
        };
        let status = SourceStatus { partitions: lags.iter().map(of).collect(), ..said.status() };
        assert_eq!(is_caught_up(&status, &feeds), expected, "{lags:?}");
    };
    check(&[("panics", 0), ("ordinary", 70)], true);
    check(&[("panics", 3), ("ordinary", 0)], false);
    check(&[("panics", 0)], true);
    check(&[("ordinary", 0)], false);
    check(&[], false);
}

#[test]
fn nobody_is_caught_up_with_a_partition_whose_leader_is_lost() {
    let said = Said::new(Some(0));
    let feeds = Feeds::new([].into(), Feed::default());
    assert!(is_caught_up(&said.status(), &feeds));
    said.status.borrow_mut().partitions[0].leader_lost = true;
    assert!(!is_caught_up(&said.status(), &feeds));
}
