//! The same events, drawn at random into partitions, orders, batches and crashes: the same verdicts and the same alerts,
//! byte for byte, as those of one partition that is read in order by one life.
//!
//! A run draws from its seed: 1, 3, 8 or 16 partitions; how far a record may come behind a later one, up to a minute of
//! event time, within its partition and by the reading of them side by side; the size of each batch; and up to eight ends
//! of the process, each between two steps of the loop at some batch, after which a new one starts from the SQLite store
//! and reads its partitions in another order than the one before would have. Bad records are strewn in.
//!
//! Compared are the line of each event (cluster, verdict, since when it is covered) and the alerts in the order of their
//! decision. Only partition and offset of alerts' examples are left out, where the run has other ones.
//!
//! `PANICSIFT_TEST_RUNS` says how many runs, `PANICSIFT_TEST_SEED` the seed of the first; the others follow it.
//! `PANICSIFT_TEST_EVENTS` says how many of the demo's events each goes through.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use panicsift::app::engine::{Engine, Parts, Turn};
use panicsift::edge::store::Store;
use panicsift::edge::{DeadLetterError, DeadLetters, Pull, Source, SourceError};
use panicsift::pipeline::Memos;
use panicsift::pipeline::event::{Batch, Checkpoint, Millis, Position, RawRecord, Rejection};
use panicsift::pipeline::examine;
use panicsift::pipeline::observation::{Actor, CellKey};
use panicsift::pipeline::sample::mix;
use panicsift::pipeline::state::State;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::support::replay::demo_lines;
use crate::support::{any_refused_share, context};

/// Events of a run where nobody says how many: hostile alerts are opened among them, and a storm.
const N_EVENTS: u64 = 1_700;
/// After so many events a bad record stands.
const BAD_EVERY: usize = 120;
const BAD: &str = "{\"event_id\":7}";
const TOPIC: &str = "panics";
/// How far records may come out of order at most, and how long events wait where they do.
const OUT_OF_ORDER_MILLIS_MAX: i64 = Millis::MINUTE;
/// Runs where nobody says how many.
const N_RUNS: u64 = 6;

/// Numbers that follow from a seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0) % sides.max(1)
    }

    fn below(&mut self, sides: usize) -> usize {
        usize::try_from(self.roll(u64::try_from(sides).unwrap())).unwrap()
    }

    fn millis(&mut self, max: i64) -> i64 {
        i64::try_from(self.roll(u64::try_from(max + 1).unwrap())).unwrap()
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

/// A record of the topic, in the order of time.
struct Record {
    time: Millis,
    line: String,
    /// What the event's line is asked by; `None` for a bad record.
    event: Option<(String, CellKey, Actor)>,
}

static RECORDS: LazyLock<Vec<Record>> = LazyLock::new(|| {
    let (context, mut memos) = (context(), Memos::default());
    let mut records = Vec::new();
    let n_events = asked("PANICSIFT_TEST_EVENTS").unwrap_or(N_EVENTS);
    for (at, line) in demo_lines(usize::try_from(n_events).unwrap()).into_iter().enumerate() {
        let position = Position { topic: TOPIC, partition: 0, offset: 0 };
        let record = RawRecord { position, broker_time: None, headers: &[], payload: line.as_bytes() };
        let seen = examine(&context, &mut memos, record).into_observation().unwrap();
        let (time, event) = (seen.time, (seen.event_id.to_string(), seen.cell, seen.actor));
        records.push(Record { time, line, event: Some(event) });
        if at % BAD_EVERY == 7 {
            records.push(Record { time, line: BAD.to_owned(), event: None });
        }
    }
    records
});

/// How a run goes.
#[derive(Debug, Clone, Copy)]
struct Plan {
    seed: u64,
    n_partitions: usize,
    /// How far a record may come behind a later one.
    out_of_order_millis: i64,
    /// How long events wait for earlier ones.
    wait_millis: i64,
    batch_max: usize,
    n_crashes: usize,
}

impl Plan {
    /// What the others are compared with.
    const PLAIN: Self =
        Self { seed: 0, n_partitions: 1, out_of_order_millis: 0, wait_millis: 0, batch_max: 400, n_crashes: 0 };

    fn drawn(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let n_partitions = [1, 3, 8, 16][usize::try_from(seed % 4).unwrap()];
        let out_of_order_millis = dice.one_of(&[0, dice_range(seed), OUT_OF_ORDER_MILLIS_MAX, OUT_OF_ORDER_MILLIS_MAX]);
        let wait_millis = if out_of_order_millis == 0 { dice.one_of(&[0, 10_000]) } else { OUT_OF_ORDER_MILLIS_MAX };
        let batch_max = dice.one_of(&[15, 60, 200, 900]);
        Self { seed, n_partitions, out_of_order_millis, wait_millis, batch_max, n_crashes: dice.below(9) }
    }

    /// Whether each record stands where it stands in the plain run.
    fn keeps_places(&self) -> bool {
        self.n_partitions == 1 && self.out_of_order_millis == 0
    }
}

/// Something between nothing and the most.
fn dice_range(seed: u64) -> i64 {
    Dice(!seed).millis(OUT_OF_ORDER_MILLIS_MAX)
}

/// Where a life ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Point {
    /// The batch is read, nothing is done with it.
    Pulled,
    /// It is in the state in memory, and its dead letters are not written. (Where it has none, the next one that has.)
    Folded,
    /// Its dead letters are; state, alerts and checkpoint are within a transaction that does not end.
    InTransaction,
    /// They are in the store, and nobody was told.
    Committed,
}

/// Ends a life, some batches on.
#[derive(Debug, Default)]
struct Fuse(Option<(usize, Point)>);

impl Fuse {
    fn blows(&self, point: Point) -> bool {
        self.0 == Some((0, point))
    }

    fn burn(&mut self) {
        if let Some((n_batches, _)) = &mut self.0 {
            *n_batches = n_batches.saturating_sub(1);
        }
    }
}

/// The records by partition, in the order of offsets.
struct Log {
    partitions: Vec<Vec<usize>>,
    /// By partition and offset: the earliest time from there on.
    earliest: Vec<Vec<Millis>>,
}

impl Log {
    fn drawn(plan: &Plan, dice: &mut Dice) -> Self {
        let mut sent: Vec<Vec<(Millis, usize)>> = vec![Vec::new(); plan.n_partitions];
        for (at, record) in RECORDS.iter().enumerate() {
            let delay = dice.millis(plan.out_of_order_millis);
            sent[dice.below(plan.n_partitions)].push((record.time.plus(delay), at));
        }
        for partition in &mut sent {
            partition.sort_unstable();
        }
        let partitions: Vec<Vec<usize>> =
            sent.into_iter().map(|partition| partition.into_iter().map(|(_, at)| at).collect()).collect();
        let earliest = |partition: &Vec<usize>| {
            let mut times: Vec<Millis> = partition.iter().map(|at| RECORDS[*at].time).collect();
            for at in (1..times.len()).rev() {
                times[at - 1] = times[at - 1].min(times[at]);
            }
            times
        };
        Self { earliest: partitions.iter().map(earliest).collect(), partitions }
    }
}

/// The topic as one life reads it.
struct Topic {
    log: Arc<Log>,
    plan: Plan,
    dice: Dice,
    /// By partition: the offset that is read next.
    next: Vec<usize>,
    /// The partition that was read last.
    current: usize,
    fuse: Arc<Mutex<Fuse>>,
    store: PathBuf,
}

fn cut() -> SourceError {
    SourceError::Fatal("cut".to_owned())
}

fn on_store(path: &Path, sql: &str) {
    rusqlite::Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

impl Topic {
    /// The partition to read from: one whose next record is not too far ahead of any that is still to be read, often the
    /// same as before.
    fn choose(&mut self) -> Option<usize> {
        let lowest = self.log.earliest.iter().zip(&self.next).filter_map(|(times, next)| times.get(*next)).min()?;
        let ahead =
            |(partition, next): (&Vec<usize>, &usize)| Some(RECORDS[*partition.get(*next)?].time.since(*lowest));
        let open: Vec<usize> = (0..self.next.len())
            .filter(|at| {
                ahead((&self.log.partitions[*at], &self.next[*at]))
                    .is_some_and(|by| by <= self.plan.out_of_order_millis)
            })
            .collect();
        if !open.contains(&self.current) || self.dice.roll(4) == 0 {
            self.current = self.dice.one_of(&open);
        }
        Some(self.current)
    }
}

impl Source for Topic {
    async fn next(&mut self) -> Result<Pull, SourceError> {
        let mut batch = Batch::default();
        for _ in 0..=self.dice.below(self.plan.batch_max) {
            let Some(partition) = self.choose() else { break };
            let offset = self.next[partition];
            let record = &RECORDS[self.log.partitions[partition][offset]];
            let [partition_id, offset_id] = [partition, offset].map(|n| i32::try_from(n).unwrap());
            let position = Position { topic: TOPIC, partition: partition_id, offset: offset_id.into() };
            batch.push(position, None, record.line.as_bytes());
            self.next[partition] += 1;
        }
        let mut fuse = self.fuse.lock().unwrap();
        if batch.is_empty() {
            // The last epoch is closed by an end that is not cut: there is no batch to be cut.
            *fuse = Fuse(None);
            return Ok(Pull::Closed);
        }
        if fuse.blows(Point::Pulled) {
            return Err(cut());
        }
        if fuse.blows(Point::InTransaction) {
            on_store(
                &self.store,
                "CREATE TRIGGER cut BEFORE INSERT ON checkpoint BEGIN SELECT raise(ABORT, 'cut'); END",
            );
        }
        Ok(Pull::Batch(batch))
    }

    fn commit(&mut self, _stored: &Checkpoint, _decided: &Checkpoint) -> Result<(), SourceError> {
        let mut fuse = self.fuse.lock().unwrap();
        if fuse.blows(Point::Committed) {
            return Err(cut());
        }
        fuse.burn();
        Ok(())
    }
}

/// Dead letters, by their places.
struct Letters {
    fuse: Arc<Mutex<Fuse>>,
    written: Arc<Mutex<BTreeSet<(i32, i64)>>>,
}

impl DeadLetters for Letters {
    async fn write(&mut self, rejections: &[Rejection<'_>]) -> Result<(), DeadLetterError> {
        if self.fuse.lock().unwrap().blows(Point::Folded) {
            return Err(DeadLetterError { place: "topic".to_owned(), error: "cut".to_owned() });
        }
        let places = rejections.iter().map(|letter| (letter.record.position.partition, letter.record.position.offset));
        self.written.lock().unwrap().extend(places);
        Ok(())
    }
}

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap());

/// A run under way.
struct Run {
    plan: Plan,
    dice: Dice,
    log: Arc<Log>,
    store: PathBuf,
    letters: Arc<Mutex<BTreeSet<(i32, i64)>>>,
    n_crashes_left: usize,
    /// Keeps the folder.
    _dir: tempfile::TempDir,
}

/// What a run came to.
struct Outcome {
    /// Each event's line.
    lines: Vec<String>,
    /// The alerts as they were stored.
    alerts: Vec<String>,
}

impl Run {
    fn through(plan: Plan) -> Outcome {
        let mut dice = Dice(plan.seed);
        let log = Arc::new(Log::drawn(&plan, &mut dice));
        // In memory where there is such a folder: what is at stake is what the store holds, not how fast a disk is.
        let memory = Path::new("/dev/shm");
        let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
        let (store, letters) = (dir.path().join("store.db"), Arc::default());
        let mut run = Self { plan, dice, log, store, letters, n_crashes_left: plan.n_crashes, _dir: dir };
        while !run.live() {}
        let n_bad = RECORDS.iter().filter(|record| record.event.is_none()).count();
        assert_eq!(run.letters.lock().unwrap().len(), n_bad, "bad records in the dead letters");
        run.told()
    }

    /// A life; whether it got to the end.
    fn live(&mut self) -> bool {
        let store = Store::open(&self.store).unwrap();
        // Left by a cut within the transaction.
        on_store(&self.store, "DROP TRIGGER IF EXISTS cut");
        let checkpoint = store.load_checkpoint().unwrap();
        let fuse = Arc::new(Mutex::new(self.fuse()));
        let partitions = (0..self.plan.n_partitions).map(|partition| i32::try_from(partition).unwrap());
        let next = |partition| checkpoint.next_offset(TOPIC, partition).unwrap_or(0);
        let source = Topic {
            log: Arc::clone(&self.log),
            plan: self.plan,
            dice: Dice(self.dice.roll(u64::MAX)),
            next: partitions.map(|partition| usize::try_from(next(partition)).unwrap()).collect(),
            current: 0,
            fuse: Arc::clone(&fuse),
            store: self.store.clone(),
        };
        let mut context = context();
        context.gathering.order_wait_millis = self.plan.wait_millis;
        let (_, context) = watch::channel(Arc::new(context));
        let dead_letters = Letters { fuse, written: Arc::clone(&self.letters) };
        let parts = Parts { source, dead_letters, store, checkpoint, context, refused_share: any_refused_share() };
        let mut engine = Engine::start(parts).unwrap();
        RUNTIME.block_on(async {
            loop {
                match engine.turn(Millis(0), || None).await {
                    Ok(Turn::Decided) => {}
                    Ok(Turn::AtEnd) => break,
                    Ok(other) => panic!("{other:?}"),
                    Err(_) => return false,
                }
            }
            tokio::task::block_in_place(|| engine.close()).unwrap();
            true
        })
    }

    /// Where the next life ends.
    fn fuse(&mut self) -> Fuse {
        if self.n_crashes_left == 0 {
            return Fuse(None);
        }
        self.n_crashes_left -= 1;
        let n_batches = 2 * RECORDS.len() / self.plan.batch_max / self.plan.n_crashes;
        let point = self.dice.one_of(&[Point::Pulled, Point::Folded, Point::InTransaction, Point::Committed]);
        Fuse(Some((self.dice.below(n_batches + 2), point)))
    }

    fn told(&self) -> Outcome {
        let connection = rusqlite::Connection::open(&self.store).unwrap();
        let mut alerts = connection.prepare("SELECT body FROM outbox ORDER BY seq").unwrap();
        let alerts = alerts.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        let store = Store::open_read_only(&self.store).unwrap();
        let model = context().clustering;
        let (state, n_unreadable) = State::restore(&model, |kind| store.load_state(kind)).unwrap();
        assert_eq!(n_unreadable, 0);
        let line = |(id, cell, actor): &(String, CellKey, Actor)| {
            let now = state.whereabouts(cell, *actor);
            let (cluster, at) = (now.cluster.map(|id| id.to_string()), now.alerted_at.map(|at| at.to_string()));
            json!({"event_id": id, "cluster": cluster, "verdict": now.verdict, "alerted_at": at}).to_string()
        };
        Outcome { lines: RECORDS.iter().filter_map(|record| record.event.as_ref()).map(line).collect(), alerts }
    }
}

/// An alert without the places of its examples.
fn placeless(alert: &str) -> String {
    let mut alert: Value = serde_json::from_str(alert).unwrap();
    for example in alert["examples"].as_array_mut().unwrap() {
        for place in ["partition", "offset"] {
            example[place].take();
        }
    }
    alert.to_string()
}

/// The first difference, in words.
fn difference(plan: &Plan, outcome: &Outcome) -> Option<String> {
    let first = |what: &str, plain: &[String], other: &[String]| {
        let n = plain.iter().zip(other).filter(|(plain, other)| plain != other).count();
        let at = plain.iter().zip(other).find(|(plain, other)| plain != other);
        (plain != other).then(|| format!("{what}: {} and {}, {n} differ, first {at:?}", plain.len(), other.len()))
    };
    let alerts = |outcome: &Outcome| {
        if plan.keeps_places() {
            outcome.alerts.clone()
        } else {
            outcome.alerts.iter().map(|alert| placeless(alert)).collect()
        }
    };
    first("lines", &PLAIN.lines, &outcome.lines).or_else(|| first("alerts", &alerts(&PLAIN), &alerts(outcome)))
}

static PLAIN: LazyLock<Outcome> = LazyLock::new(|| Run::through(Plan::PLAIN));

#[expect(clippy::disallowed_methods, reason = "tests are told by the environment how much is asked of them")]
fn asked(variable: &str) -> Option<u64> {
    Some(std::env::var(variable).ok()?.parse().unwrap_or_else(|error| panic!("{variable}: {error}")))
}

fn check(seed: u64) {
    let plan = Plan::drawn(seed);
    let again = format!("PANICSIFT_TEST_SEED={seed} PANICSIFT_TEST_RUNS=1 repeats it: {plan:?}");
    match catch_unwind(AssertUnwindSafe(|| Run::through(plan))) {
        Ok(outcome) => assert_eq!(difference(&plan, &outcome), None, "{again}"),
        Err(panic) => {
            eprintln!("{again}");
            resume_unwind(panic)
        }
    }
}

#[test]
fn order_partitions_batches_and_crashes_change_no_verdict_and_no_alert() {
    let n_opened = |category: &str| {
        let alerts = PLAIN.alerts.iter().map(|alert| serde_json::from_str::<Value>(alert).unwrap());
        alerts.filter(|alert| alert["category"] == category && alert["change"] == "opened").count()
    };
    assert!(n_opened("hostile_input") >= 3 && n_opened("storm") >= 1, "too little to compare: {:?}", PLAIN.alerts);
    let (first, n_runs) = (asked("PANICSIFT_TEST_SEED").unwrap_or(1), asked("PANICSIFT_TEST_RUNS").unwrap_or(N_RUNS));
    let next = AtomicU64::new(first);
    let seeds =
        || std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed)).take_while(|seed| *seed < first + n_runs);
    std::thread::scope(|scope| {
        let workers = [(); 2].map(|()| scope.spawn(|| seeds().for_each(check)));
        for worker in workers {
            worker.join().unwrap_or_else(|panic| resume_unwind(panic));
        }
    });
    eprintln!("{n_runs} runs, seeds from {first}");
}

/// Somebody turned suspect with the first closing after a start, so that a cell's last row went before any was known: its
/// cluster stayed, and was there when the suspect was let go.
#[test]
fn a_row_that_goes_with_the_first_closing_after_a_start_leaves_its_cluster() {
    check(25);
}

/// The comparison can fail: without the wait, a minute out of order is told apart.
#[test]
fn without_the_wait_a_minute_out_of_order_is_another_story() {
    let plan =
        Plan { seed: 7, n_partitions: 8, out_of_order_millis: OUT_OF_ORDER_MILLIS_MAX, batch_max: 100, ..Plan::PLAIN };
    assert!(difference(&plan, &Run::through(plan)).is_some());
}
