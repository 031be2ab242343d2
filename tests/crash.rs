//! Crash points: the loop is ended between every two of its steps, in every batch, and started again from its store.
//!
//! The steps: pull, examine, fold, write dead letters, commit to the store, tell the offsets, send, settle. Each is cut
//! from outside, by what the loop is given: a source, dead letters and a destination that end it, a trigger in the
//! store's file that refuses the transaction, a metric whose counting panics. Whatever is in memory is thrown away; the
//! next life begins with what the store has. (Between pull and fold there is no point of its own for `examine`: it changes
//! nothing but its own return value, so that an end before and after it are the same.)
//!
//! In one run every batch is cut once at the same point, so a run a point makes every pair of point and batch. What must
//! hold at the end: state and alerts are those of lives that were never cut but begun anew before each batch, each cell
//! counts what an uninterrupted run counts, each bad record is in the dead letters, each alert is at the destination.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use panicsift::app::engine::{Engine, Parts, Turn};
use panicsift::edge::admin::{Health, HealthLimits, RECORDS};
use panicsift::edge::deliver::{BatchLimits, Lane, Outlet, PaceLimits, Reading, Sending, deliver};
use panicsift::edge::store::Store;
use panicsift::edge::{DeadLetterError, DeadLetters, Pull, Source, SourceError};
use panicsift::pipeline::Context;
use panicsift::pipeline::alert::Alert;
use panicsift::pipeline::cell::Cell;
use panicsift::pipeline::event::{Batch, Checkpoint, Millis, Position, Rejection};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::support::replay::demo_lines;
use crate::support::{any_refused_share, context};

/// Where a life ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Point {
    /// The batch is read, nothing is done with it.
    Pulled,
    /// It is in the state in memory.
    Folded,
    /// The first half of its dead letters is written.
    HalfRefused,
    /// All of them are.
    Refused,
    /// State, alerts and checkpoint are within a transaction that does not end.
    InTransaction,
    /// They are in the store, and nobody was told.
    Committed,
    /// The group knows the offsets, too.
    Told,
    /// The destination has not got the alerts yet.
    Sending,
    /// It has, and nobody wrote that down.
    Sent,
    /// It is written down.
    Settled,
}

/// Partition and offset of the first record of a batch.
type Place = (i32, i64);

/// Reason and bytes of a bad record.
type Letter = (String, Vec<u8>);

/// Ends each batch once at its point.
#[derive(Default)]
struct Fuse {
    point: Option<Point>,
    /// The batch under way.
    batch: Place,
    /// Batches that were cut.
    cut: BTreeSet<Place>,
    /// The last cut stopped a task that cannot say so itself.
    blown: bool,
}

/// What outlives a life: the outside, and the fuse.
#[derive(Clone, Default)]
struct Outside {
    fuse: Arc<Mutex<Fuse>>,
    letters: Arc<Mutex<Vec<(Place, Letter)>>>,
    offsets: Arc<Mutex<Checkpoint>>,
    received: Arc<Mutex<Vec<Alert>>>,
}

fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    // A cut by panic happens under no lock of ours but the recorder's own, whose value is whole.
    shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Outside {
    fn blows(&self, point: Point) -> bool {
        let mut fuse = locked(&self.fuse);
        let batch = fuse.batch;
        fuse.point == Some(point) && fuse.cut.insert(batch)
    }
}

fn cut() -> SourceError {
    SourceError::Fatal("cut".to_owned())
}

/// The stream as a topic of two partitions, read from a checkpoint on.
struct Topic {
    checkpoint: Checkpoint,
    outside: Outside,
    store: PathBuf,
}

const TOPIC: &str = "panics";
const BATCH_RECORDS: usize = 200;

impl Source for Topic {
    async fn next(&mut self) -> Result<Pull, SourceError> {
        let mut batch = Batch::default();
        for ((partition, offset), bytes) in RECORDS_OF_TOPIC.iter() {
            let position = Position { topic: TOPIC, partition: *partition, offset: *offset };
            if batch.len() < BATCH_RECORDS && !self.checkpoint.covers(position) {
                batch.push(position, None, bytes);
                self.checkpoint.advance(position);
            }
        }
        let Some(first) = batch.iter().next().map(|record| (record.position.partition, record.position.offset)) else {
            return Ok(Pull::Closed);
        };
        locked(&self.outside.fuse).batch = first;
        if self.outside.blows(Point::Pulled) {
            return Err(cut());
        }
        if self.outside.blows(Point::InTransaction) {
            on_store(
                &self.store,
                "CREATE TRIGGER cut BEFORE INSERT ON checkpoint BEGIN SELECT raise(ABORT, 'cut'); END",
            );
        }
        Ok(Pull::Batch(batch))
    }

    fn commit(&mut self, checkpoint: &Checkpoint, _decided: &Checkpoint) -> Result<(), SourceError> {
        if self.outside.blows(Point::Committed) {
            return Err(cut());
        }
        locked(&self.outside.offsets).clone_from(checkpoint);
        if self.outside.blows(Point::Told) { Err(cut()) } else { Ok(()) }
    }
}

fn on_store(path: &Path, sql: &str) {
    rusqlite::Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

struct Letters(Outside);

impl DeadLetters for Letters {
    async fn write(&mut self, rejections: &[Rejection<'_>]) -> Result<(), DeadLetterError> {
        let half = self.0.blows(Point::HalfRefused);
        let n_written = if half { rejections.len() / 2 } else { rejections.len() };
        for Rejection { record, reason, .. } in rejections.iter().take(n_written) {
            let place = (record.position.partition, record.position.offset);
            locked(&self.0.letters).push((place, (reason.name().to_owned(), record.payload.to_vec())));
        }
        if half || self.0.blows(Point::Refused) {
            return Err(DeadLetterError { place: "topic".to_owned(), error: "cut".to_owned() });
        }
        Ok(())
    }
}

/// Takes alerts; at its point it hangs, and the life is ended around it.
struct Receiver(Outside);

impl Outlet for Receiver {
    fn send<'a>(&'a mut self, alerts: &'a [Alert]) -> Sending<'a> {
        Box::pin(async move {
            if self.0.blows(Point::Sending) {
                locked(&self.0.fuse).blown = true;
                return std::future::pending().await;
            }
            locked(&self.0.received).extend(alerts.iter().cloned());
            if self.0.blows(Point::Sent) {
                locked(&self.0.fuse).blown = true;
                return std::future::pending().await;
            }
            Reading::Accepted { slow_down: false, receipt: String::new() }
        })
    }
}

/// Panics when the records of a batch are counted, which is when it is folded.
struct Bomb(Outside);

impl Recorder for Bomb {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        assert!(key.name() != RECORDS || !self.0.blows(Point::Folded), "cut");
        Counter::noop()
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

/// Bad records, strewn among the good ones: three of them beside each other, so that half of a batch's letters is some.
const BAD: [&[u8]; 5] = [b"<html>502</html>", b"", b"{\"event_id\":7}", b"{\"event_id\":\"\xff\"}", b"[1,2"];

/// The topic: demo events in turn over two partitions, with bad records in each batch.
static RECORDS_OF_TOPIC: LazyLock<Vec<(Place, Vec<u8>)>> = LazyLock::new(|| {
    let mut values: Vec<Vec<u8>> = demo_lines(1_700).into_iter().map(String::into_bytes).collect();
    for (at, bad) in (7..1_700).step_by(180).flat_map(|at| [at, at + 1, at + 2]).zip(BAD.iter().cycle()) {
        values.insert(at, bad.to_vec());
    }
    let place = |n: i64| (i32::try_from(n % 2).unwrap(), n / 2);
    (0_i64..).map(place).zip(values).collect()
});

static CONTEXT: LazyLock<Arc<Context>> = LazyLock::new(|| Arc::new(context()));

/// A run through lives: its store, and what is outside.
struct Run {
    dir: TempDir,
    store: PathBuf,
    outside: Outside,
    n_lives: usize,
}

/// How a life ended.
enum Life {
    Cut,
    /// A life that was to end before the next batch.
    Over,
    AtEnd,
}

impl Run {
    /// Through all records, each batch cut at `point`; without a point, lives of `batches_max` batches.
    fn through(runtime: &Runtime, point: Option<Point>, batches_max: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let outside = Outside::default();
        locked(&outside.fuse).point = point;
        let store = dir.path().join("store.db");
        let mut run = Self { store, outside, n_lives: 0, dir };
        while !matches!(run.live(runtime, batches_max), Life::AtEnd) {
            assert!(run.n_lives < 1_000, "no life gets further");
        }
        run
    }

    fn live(&mut self, runtime: &Runtime, batches_max: usize) -> Life {
        self.n_lives += 1;
        let store = Store::open(&self.store).unwrap();
        // Left by a cut within the transaction.
        on_store(&self.store, "DROP TRIGGER IF EXISTS cut");
        let mut engine = engine(&self.outside, &self.store, store);
        let bomb = Bomb(self.outside.clone());
        for n_batches in 0.. {
            if !runtime.block_on(self.deliver()) {
                return Life::Cut;
            }
            if n_batches == batches_max {
                return Life::Over;
            }
            let turn = || metrics::with_local_recorder(&bomb, || runtime.block_on(engine.turn(Millis(0), || None)));
            match catch_unwind(AssertUnwindSafe(turn)) {
                Ok(Ok(Turn::Decided)) => {}
                Ok(Ok(Turn::AtEnd)) => break,
                Ok(Ok(other)) => panic!("{other:?}"),
                Ok(Err(_)) | Err(_) => return Life::Cut,
            }
        }
        // The last epoch is closed by an end that is not cut: there is no batch to be cut.
        locked(&self.outside.fuse).point = None;
        runtime.block_on(async { tokio::task::block_in_place(|| engine.close()) }).unwrap();
        assert!(runtime.block_on(self.deliver()));
        Life::AtEnd
    }

    /// Delivers what waits; false when that was cut.
    async fn deliver(&self) -> bool {
        let waiting = || Store::open_read_only(&self.store).unwrap().n_waiting("receiver").unwrap();
        if waiting() == 0 {
            return true;
        }
        let lane = Lane::new("receiver", &self.store, Box::new(Receiver(self.outside.clone())))
            .with_limits(BatchLimits::default(), PaceLimits::default());
        let (wakeup, shutdown) = (watch::Sender::new(0), watch::Sender::new(false));
        let mut tasks = JoinSet::new();
        let health = Arc::new(Health::new(HealthLimits::default()));
        tasks.spawn(deliver(vec![lane], health, wakeup.subscribe(), shutdown.subscribe()));
        while waiting() > 0 {
            if std::mem::take(&mut locked(&self.outside.fuse).blown) {
                tasks.shutdown().await;
                return false;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        if self.outside.blows(Point::Settled) {
            tasks.shutdown().await;
            return false;
        }
        shutdown.send_replace(true);
        tasks.join_all().await.into_iter().for_each(|lane| lane.unwrap());
        true
    }

    /// Rows of the state by kind and key.
    fn state(&self) -> BTreeMap<(String, Vec<u8>), Vec<u8>> {
        let connection = rusqlite::Connection::open(&self.store).unwrap();
        let mut rows = connection.prepare("SELECT kind, key, value FROM state").unwrap();
        let rows = rows.query_map([], |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?)));
        rows.unwrap().map(Result::unwrap).collect()
    }

    fn counts(&self) -> BTreeMap<Vec<u8>, u64> {
        let cells = Store::open_read_only(&self.store).unwrap().load_state("cell").unwrap();
        cells.into_iter().map(|(key, cell)| (key, postcard::from_bytes::<Cell>(&cell).unwrap().n)).collect()
    }

    fn checkpoint(&self) -> Checkpoint {
        Store::open_read_only(&self.store).unwrap().load_checkpoint().unwrap()
    }

    /// The alerts that arrived, each once, as text in the order of their first arrival.
    fn alerts(&self) -> Vec<String> {
        let mut ids = BTreeSet::new();
        let received = locked(&self.outside.received);
        let first = received.iter().filter(|alert| ids.insert(alert.alert_id.clone()));
        first.map(|alert| serde_json::to_string(alert).unwrap()).collect()
    }
}

fn engine(outside: &Outside, path: &Path, store: Store) -> Engine<Topic, Letters> {
    let checkpoint = store.load_checkpoint().unwrap();
    let (_, context) = watch::channel(Arc::clone(&CONTEXT));
    let source = Topic { checkpoint: checkpoint.clone(), outside: outside.clone(), store: path.to_owned() };
    let dead_letters = Letters(outside.clone());
    Engine::start(Parts { source, dead_letters, store, checkpoint, context, refused_share: any_refused_share() })
        .unwrap()
}

/// What the dead letters hold of each bad record; a letter that stands twice is the same twice.
fn folded(outside: &Outside) -> BTreeMap<Place, Letter> {
    let mut by_place = BTreeMap::new();
    for (place, letter) in locked(&outside.letters).iter() {
        assert_eq!(by_place.entry(*place).or_insert_with(|| letter.clone()), letter, "{place:?}");
    }
    by_place
}

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap());

/// One life from the first record to the last.
static WHOLE: LazyLock<Run> = LazyLock::new(|| Run::through(&RUNTIME, None, usize::MAX));

/// A life for each batch, each ended in order.
static ANEW: LazyLock<Run> = LazyLock::new(|| Run::through(&RUNTIME, None, 1));

fn n_batches() -> usize {
    RECORDS_OF_TOPIC.len().div_ceil(BATCH_RECORDS)
}

#[test]
fn lives_that_end_in_order_count_what_one_life_counts() {
    let (whole, anew) = (&*WHOLE, &*ANEW);
    assert_eq!((whole.n_lives, anew.n_lives), (1, n_batches() + 1));
    assert_eq!(whole.counts(), anew.counts());
    assert_eq!(whole.counts().values().sum::<u64>(), 1_700);
    assert!(anew.alerts().len() >= 3, "{} alerts", anew.alerts().len());
    assert_eq!(folded(&whole.outside), folded(&anew.outside));
    let n_bad = RECORDS_OF_TOPIC.len() - 1_700;
    assert_eq!((folded(&whole.outside).len(), locked(&whole.outside.letters).len()), (n_bad, n_bad));
}

#[track_caller]
fn check(point: Point) {
    let (whole, anew) = (&*WHOLE, &*ANEW);
    let run = Run::through(&RUNTIME, Some(point), usize::MAX);
    let n_cut = locked(&run.outside.fuse).cut.len();
    let is_of_alerts = matches!(point, Point::Sending | Point::Sent | Point::Settled);
    assert_eq!(run.n_lives, n_cut + 1);
    // Batches without an alert send nothing.
    assert!(n_cut == n_batches() || (is_of_alerts && n_cut >= 2), "{n_cut} of {} batches were cut", n_batches());
    assert_eq!(run.counts(), whole.counts());
    assert_eq!(folded(&run.outside), folded(&whole.outside));
    assert_eq!(run.checkpoint(), whole.checkpoint());
    assert_eq!(*locked(&run.outside.offsets), run.checkpoint(), "the offsets are at the end");
    if !is_of_alerts {
        assert!(run.state() == anew.state(), "the state is another one");
        assert_eq!(run.alerts(), anew.alerts());
    }
    let n_received = locked(&run.outside.received).len();
    match point {
        Point::Sent => assert_eq!(n_received, run.alerts().len() + n_cut_alerts(&run), "what is not noted comes again"),
        _ => assert_eq!(n_received, run.alerts().len(), "an alert came twice"),
    }
    check_order(&run);
}

/// Alerts that came more than once.
fn n_cut_alerts(run: &Run) -> usize {
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for alert in locked(&run.outside.received).iter() {
        *times.entry(alert.alert_id.clone()).or_default() += 1;
    }
    assert!(times.values().all(|n| *n <= 2) && times.values().any(|n| *n == 2), "{times:?}");
    times.values().filter(|n| **n == 2).count()
}

#[test]
fn a_life_that_ends_after_the_pull_costs_nothing() {
    check(Point::Pulled);
}

#[test]
fn a_life_that_ends_after_the_fold_costs_nothing() {
    check(Point::Folded);
}

#[test]
fn a_life_that_ends_among_its_dead_letters_costs_nothing() {
    check(Point::HalfRefused);
}

#[test]
fn a_life_that_ends_between_its_dead_letters_and_the_store_costs_nothing() {
    check(Point::Refused);
}

#[test]
fn a_life_that_ends_within_the_transaction_costs_nothing() {
    check(Point::InTransaction);
}

#[test]
fn a_life_that_ends_between_the_store_and_the_offsets_costs_nothing() {
    check(Point::Committed);
}

#[test]
fn a_life_that_ends_after_the_offsets_costs_nothing() {
    check(Point::Told);
}

#[test]
fn a_life_that_ends_before_its_alerts_are_sent_costs_nothing() {
    check(Point::Sending);
}

#[test]
fn a_life_that_ends_before_it_notes_what_was_sent_repeats_it_under_the_same_ids() {
    check(Point::Sent);
}

#[test]
fn a_life_that_ends_after_it_noted_what_was_sent_costs_nothing() {
    check(Point::Settled);
}

/// Pages overwritten by somebody else while the service runs. It may not notice as long as it reads none of them: what it
/// works with is in memory and in the log beside the file. The next life looks the whole file through, and refuses it.
#[test]
fn a_store_that_is_damaged_in_use_is_refused_by_the_next_life_at_the_latest() {
    let mut run =
        Run { dir: tempfile::tempdir().unwrap(), store: PathBuf::new(), outside: Outside::default(), n_lives: 0 };
    run.store = run.dir.path().join("store.db");
    assert!(matches!(run.live(&RUNTIME, 3), Life::Over));
    let mut engine = engine(&run.outside, &run.store, Store::open(&run.store).unwrap());
    let mut bytes = std::fs::read(&run.store).unwrap();
    bytes.iter_mut().skip(4_096).for_each(|byte| *byte ^= 0x5a);
    std::fs::write(&run.store, bytes).unwrap();
    for _ in 0..3 {
        if let Err(error) = RUNTIME.block_on(engine.turn(Millis(0), || None)) {
            let said = format!("{error:#}");
            assert!(said.contains("the batch was not committed") && said.contains("the store is damaged"), "{said}");
            break;
        }
    }
    drop(engine);
    let said = Store::open(&run.store).unwrap_err().to_string();
    assert!(said.contains("is damaged") && said.contains("bring back a copy"), "{said}");
}

/// Each cluster's alerts first arrived in the order of their life, none left out.
fn check_order(run: &Run) {
    let mut next: BTreeMap<String, u64> = BTreeMap::new();
    for alert in run.alerts() {
        let alert: serde_json::Value = serde_json::from_str(&alert).unwrap();
        let ordinal = next.entry(alert["cluster"].to_string()).or_default();
        assert_eq!(alert["ordinal"], *ordinal, "{alert}");
        *ordinal += 1;
    }
}
