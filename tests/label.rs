//! Analysts' words on the demo's events: said while a service holds the store, applied in a replay, shown, taken back,
//! and exported as a set that `train` reads.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use flate2::read::GzDecoder;
use panicsift::app::engine::{Engine, Parts};
use panicsift::edge::store::Store;
use panicsift::edge::{DeadLetterError, DeadLetters, Pull, Source, SourceError};
use panicsift::pipeline::alert::{Alert, Change, Verdict};
use panicsift::pipeline::event::{Batch, Checkpoint, Millis, Position, Rejection};
use panicsift::pipeline::judge::HostilityModel;
use panicsift::pipeline::rulings::Call;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::replay::{Replayed, demo, demo_lines, replay};
use crate::support::{any_refused_share, context};

/// Events of most tests: a campaign's alert is opened and raised among them.
const N_EVENTS: usize = 3_000;

static LINES: LazyLock<Vec<String>> = LazyLock::new(|| demo_lines(N_EVENTS));

/// A folder with events, and the store of their replay.
struct Bench {
    dir: TempDir,
}

/// What the replay without words left.
struct Unlabelled {
    store: Vec<u8>,
    replayed: Replayed,
}

static UNLABELLED: LazyLock<Unlabelled> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("events"), LINES.join("\n") + "\n").unwrap();
    let replayed = replay(dir.path(), &["events", "--store", "panicsift.db"], b"");
    assert_eq!(replayed.code, Some(0), "{}", replayed.err);
    Unlabelled { store: std::fs::read(dir.path().join("panicsift.db")).unwrap(), replayed }
});

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("events"), LINES.join("\n") + "\n").unwrap();
        std::fs::write(dir.path().join("panicsift.db"), &UNLABELLED.store).unwrap();
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn run(&self, words: &[&str]) -> Output {
        run(self.dir.path(), words)
    }

    /// Standard output of a command that is done; nothing in it steers a terminal.
    fn done(&self, words: &[&str]) -> String {
        done(self.dir.path(), words)
    }

    fn label(&self, words: &[&str]) -> String {
        self.done(&[&["label", "--store", "panicsift.db"], words].concat())
    }

    fn json(&self, words: &[&str]) -> Value {
        serde_json::from_str(&self.done(words)).unwrap()
    }

    /// The rows of `report list` by cluster.
    fn list(&self, store: &str) -> BTreeMap<String, Value> {
        let rows = self.json(&["report", "list", "--store", store, "--format", "json"]);
        rows.as_array().unwrap().iter().map(|row| (row["cluster"].as_str().unwrap().to_owned(), row.clone())).collect()
    }

    /// The cluster of this verdict with the most events.
    fn largest(&self, verdict: &str) -> String {
        let rows = self.list("panicsift.db");
        let of = rows.values().filter(|row| row["verdict"] == verdict);
        let largest = of.max_by_key(|row| row["events"].as_u64()).unwrap();
        largest["cluster"].as_str().unwrap().to_owned()
    }

    fn replay_with_words(&self, store: &str) -> Replayed {
        let replayed = replay(self.dir.path(), &["events", "--store", store, "--labels", "panicsift.db"], b"");
        assert_eq!(replayed.code, Some(0), "{}", replayed.err);
        replayed
    }
}

fn run(dir: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_panicsift")).args(words).current_dir(dir).output().unwrap()
}

fn done(dir: &Path, words: &[&str]) -> String {
    let output = run(dir, words);
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr).into_owned());
    assert!(output.status.success(), "{words:?}: {out}{err}");
    assert!(out.chars().all(|c| c == '\n' || !c.is_control()), "{out:?}");
    out
}

fn alerts_of(replayed: &Replayed, cluster: &str) -> Vec<Alert> {
    let alerts = replayed.alerts.lines().map(|line| serde_json::from_str::<Alert>(line).unwrap());
    alerts.filter(|alert| alert.cluster == cluster).collect()
}

/// Verdicts of the events of a cluster.
fn verdicts(replayed: &Replayed, cluster: &str) -> BTreeSet<String> {
    let lines = replayed.assigned();
    let of = lines.iter().filter(|line| line["cluster"] == cluster);
    of.map(|line| line["verdict"].as_str().unwrap().to_owned()).collect()
}

fn one(text: &str) -> BTreeSet<String> {
    BTreeSet::from([text.to_owned()])
}

// ------------------------------------------------------------------------------------------------------- a replay

#[test]
fn words_turn_the_verdicts_of_a_replay_and_nothing_that_the_judge_thinks() {
    let bench = Bench::new();
    let (hostile, undecided) = (bench.largest("hostile"), bench.largest("undecided"));
    assert_eq!(alerts_of(&UNLABELLED.replayed, &hostile)[0].change, Change::Opened);
    assert!(alerts_of(&UNLABELLED.replayed, &undecided).is_empty());
    bench.label(&[&hostile, "benign", "--why", "our own load test", "--by", "alice"]);
    bench.label(&[&undecided, "hostile", "--why", "as on Monday", "--by", "bob"]);

    let labelled = bench.replay_with_words("labelled.db");
    assert!(alerts_of(&labelled, &hostile).is_empty(), "no alert opens for what is benign");
    assert_eq!((verdicts(&labelled, &hostile), verdicts(&labelled, &undecided)), (one("benign"), one("hostile")));
    let opened = &alerts_of(&labelled, &undecided)[0];
    assert_eq!((opened.change, opened.portrait.verdict), (Change::Opened, Verdict::Hostile));
    let told = opened.portrait.overruled.as_ref().unwrap();
    assert_eq!((told.word, told.judge, told.by.as_str()), (Verdict::Hostile, Verdict::Undecided, "bob"));
    assert_eq!((told.why.as_str(), told.cluster.as_str()), ("as on Monday", undecided.as_str()));
    assert!(opened.portrait.points < opened.portrait.threshold, "the points are the judge's");

    // The judge's own: the same points and the same clusters as without words.
    let points = |store| -> Vec<(String, Value, Value)> {
        let rows = bench.list(store).into_iter();
        rows.map(|(id, row)| (id, row["points"].clone(), row["events"].clone())).collect()
    };
    assert_eq!(points("labelled.db"), points("panicsift.db"));
    let cells = |replayed: &Replayed| -> Vec<(Value, Value)> {
        let lines = replayed.assigned().into_iter();
        lines.map(|line| (line["event_id"].clone(), line["cluster"].clone())).collect()
    };
    assert_eq!(cells(&labelled), cells(&UNLABELLED.replayed));

    // Exact: the same words give the same bytes, and a store of a replay has the words of the one that it took them from.
    let again = bench.replay_with_words("again.db");
    assert_eq!((&again.alerts, &again.assignments), (&labelled.alerts, &labelled.assignments));
    let words = |store| bench.json(&["label", "--store", store, "--list", "--format", "json"]);
    assert_eq!(words("labelled.db"), words("panicsift.db"));
}

#[test]
fn a_word_reaches_what_was_split_off_unless_another_one_is_said_of_that() {
    let bench = Bench::new();
    // The clusters of the demo that a piece was split from, and the piece.
    let store = Store::open_read_only(&bench.path("panicsift.db")).unwrap();
    let (state, _) = panicsift::pipeline::state::State::restore(
        &panicsift::pipeline::cluster::ClusteringModel::builtin().unwrap(),
        |kind| store.load_state(kind),
    )
    .unwrap();
    let living: BTreeSet<_> = state.tenants().flat_map(|(_, t)| t.clusters().map(|(c, _)| c.id)).collect();
    let mut pieces = state.tenants().flat_map(|(_, t)| t.clusters().filter_map(|(c, _)| Some((c.split_from?, c.id))));
    let (whole, piece) = pieces.find(|(whole, _)| living.contains(whole)).unwrap();
    let (whole, piece) = (whole.to_string(), piece.to_string());
    let told = bench.label(&[&whole, "hostile", "--why", "w"]);
    assert!(told.contains(&format!("it is so too for what comes from it: {piece}")), "{told}");

    let labelled = bench.replay_with_words("labelled.db");
    assert_eq!((verdicts(&labelled, &whole), verdicts(&labelled, &piece)), (one("hostile"), one("hostile")));
    let told = alerts_of(&labelled, &piece).remove(0).portrait.overruled.unwrap();
    assert_eq!(told.cluster, whole);
    let explained = bench.done(&["report", "explain", "--store", "labelled.db", &piece]);
    assert!(explained.contains(&format!("analyst: hostile (by {} of {whole}", told.by)), "{explained}");

    // A word outlives its cluster, and can be taken back then.
    let gone = state.tenants().find_map(|(_, t)| t.aliases().next()).unwrap().0;
    let label = panicsift::edge::store::Label {
        cluster: gone,
        call: Some(Call::Hostile),
        why: "w".to_owned(),
        by: "bob".to_owned(),
        at_ms: 0,
        judge: Verdict::Benign,
        points: -2.0,
    };
    panicsift::edge::store::LabelDesk::open(&bench.path("panicsift.db")).unwrap().say(&label, false).unwrap();
    let said = bench.label(&[&gone.to_string(), "hostile", "--why", "of its heir", "--dry-run"]);
    assert!(said.contains(&format!("{gone} became part of ")), "{said}");
    let back = bench.label(&[&gone.to_string(), "--withdraw", "--why", "w"]);
    assert!(back.contains(&format!("the word on {gone} is taken back")), "{back}");

    bench.label(&[&piece, "benign", "--why", "not this one"]);
    let labelled = bench.replay_with_words("other.db");
    assert_eq!((verdicts(&labelled, &whole), verdicts(&labelled, &piece)), (one("hostile"), one("benign")));
}

// ------------------------------------------------------------------------------------------------- what is shown

#[test]
fn every_report_tells_who_overruled_whom_and_hostile_texts_stay_texts() {
    const WHY: &str = "=cmd|'/c calc'!A1 <script>alert(1)</script> \u{1b}]0;owned\u{7}\u{202e}\r\n|";
    let bench = Bench::new();
    let hostile = bench.largest("hostile");
    bench.label(&[&hostile, "benign", "--why", WHY, "--by", "<b>alice</b>"]);
    bench.replay_with_words("labelled.db");
    let ask = |words: &[&str]| bench.done(&[&["report", "--store", "labelled.db"], words].concat());
    let points = bench.list("panicsift.db")[&hostile]["points"].as_f64().unwrap();
    let judge = format!("the judge says hostile at {points:.2} points");
    for question in [&["list", "--limit", "500"][..], &["show", &hostile], &["explain", &hostile]] {
        // Long sentences are broken at spaces.
        let out = ask(question).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(out.contains("analyst: benign (by <b>alice</b>: =cmd|"), "{question:?}: {out}");
        assert!(out.contains(&judge), "{question:?}: {out}");
    }
    let explained: Value = serde_json::from_str(&ask(&["explain", &hostile, "--format", "json"])).unwrap();
    assert_eq!((&explained["verdict"], &explained["overruled"]["judge"]), (&"benign".into(), &"hostile".into()));
    assert_eq!(explained["points"].as_f64(), Some(points));
    assert!(explained["why"].as_str().unwrap().contains("hostile from"), "{explained}");
    let csv = ask(&["list", "--format", "csv"]);
    assert!(csv.contains("analyst: benign (by <b>alice</b>"), "{csv}");

    bench.done(&["report", "html", "--store", "labelled.db", "--out", "page.html"]);
    let html = std::fs::read_to_string(bench.path("page.html")).unwrap();
    assert!(html.contains("analyst: benign (by &lt;b&gt;alice&lt;/b&gt;"), "the page does not tell it");
    assert!(!html.contains("<script>alert") && !html.contains("<b>alice"), "a text became markup");

    let csv = bench.label(&["--format", "csv"]);
    assert!(csv.contains("'=cmd|"), "a formula stays a text: {csv}");
    let rows = bench.json(&["label", "--store", "panicsift.db", "--format", "json"]);
    assert_eq!(
        (&rows[0]["word"], &rows[0]["judge"], &rows[0]["stands"]),
        (&"benign".into(), &"hostile".into(), &"yes".into())
    );
    assert!(rows[0]["why"].as_str().unwrap().contains("\\u{1b}]0;owned"), "{rows}");
}

#[test]
fn words_are_listed_replaced_and_taken_back_and_a_dry_run_says_nothing() {
    let bench = Bench::new();
    assert!(bench.label(&[]).contains("no analyst has said anything yet"));
    let hostile = bench.largest("hostile");
    let dry = bench.label(&[&hostile, "benign", "--why", "w", "--dry-run"]);
    assert!(dry.starts_with(&format!("would: {hostile} is benign")), "{dry}");
    assert!(bench.label(&["--list"]).contains("no analyst has said anything yet"));

    // The beginning of an id does, without the `c-` too.
    let beginning: String = hostile.chars().skip(2).take(6).collect();
    bench.label(&[&beginning, "benign", "--why", "a test", "--by", "alice"]);
    let told = bench.label(&[&hostile, "hostile", "--why", "no test", "--by", "bob"]);
    assert!(told.contains("alice had said benign: a test"), "{told}");
    bench.label(&[&hostile, "--withdraw", "--why", "unsure", "--by", "bob"]);
    let rows = bench.json(&["label", "--store", "panicsift.db", "--list", "--format", "json"]);
    let column =
        |name: &str| -> Vec<&str> { rows.as_array().unwrap().iter().map(|r| r[name].as_str().unwrap()).collect() };
    assert_eq!(column("word"), ["benign", "hostile", "withdrawn"]);
    assert_eq!(column("stands"), ["no", "no", "no"]);
    assert_eq!(column("by"), ["alice", "bob", "bob"]);
    let overrules = column("overrules");
    assert!(overrules[0].starts_with("the judge: hostile, "), "{overrules:?}");
    assert!(overrules[1].starts_with("nobody, the judge agrees: ") && overrules[1].ends_with("; alice: benign"));
    assert_eq!(overrules[2], "bob: hostile");
}

#[test]
fn what_cannot_be_said_is_refused_with_what_can() {
    let bench = Bench::new();
    let hostile = bench.largest("hostile");
    let check = |words: &[&str], code: i32, expected: &[&str]| {
        let output = bench.run(&[&["label", "--store", "panicsift.db"], words].concat());
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{words:?}: {err}");
        for part in expected {
            assert!(err.contains(part), "{words:?}: {err}");
        }
        assert!(err.chars().all(|c| c == '\n' || !c.is_control()), "{err:?}");
    };
    check(&["c-zz\u{1b}[2J", "benign", "--why", "w"], 1, &["no cluster is called", "there are c-", &hostile]);
    check(&["c-", "benign", "--why", "w"], 1, &["clusters begin with c-", "type more of the id"]);
    check(&["storm-1", "benign", "--why", "w"], 1, &["is no cluster but a situation"]);
    check(&[&hostile, "--withdraw", "--why", "w"], 1, &["no word on", "stands that could be taken back"]);
    check(&[&hostile, "benign", "--why", " \t"], 1, &["a reason is needed"]);
    check(&[&hostile, "benign"], 2, &["--why"]);
    check(&[&hostile, "maybe", "--why", "w"], 2, &["possible values: hostile, benign"]);
    check(&[&hostile, "--why", "w"], 2, &["WORD"]);
    check(&[&hostile, "benign", "--withdraw", "--why", "w"], 2, &["cannot be used with"]);
    check(&["--why", "w"], 2, &["CLUSTER"]);
    let missing = bench.run(&["label", "--store", "none.db", "c-1", "benign", "--why", "w"]);
    assert!(String::from_utf8_lossy(&missing.stderr).contains("there is no store"), "{missing:?}");
    let rows = bench.json(&["label", "--store", "panicsift.db", "--format", "json"]);
    assert_eq!(rows, Value::Array(Vec::new()), "nothing of it was kept");
}

// -------------------------------------------------------------------------------------- beside a running service

/// The demo's events, fifty a pull.
struct Topic {
    n_read: usize,
}

impl Source for Topic {
    async fn next(&mut self) -> Result<Pull, SourceError> {
        let mut batch = Batch::default();
        for (at, line) in LINES.iter().enumerate().skip(self.n_read).take(50) {
            let offset = i64::try_from(at).unwrap();
            batch.push(Position { topic: "panics", partition: 0, offset }, None, line.as_bytes());
        }
        self.n_read += batch.len();
        Ok(if batch.is_empty() { Pull::Closed } else { Pull::Batch(batch) })
    }

    fn commit(&mut self, _stored: &Checkpoint, _decided: &Checkpoint) -> Result<(), SourceError> {
        Ok(())
    }
}

struct NoLetters;

impl DeadLetters for NoLetters {
    async fn write(&mut self, letters: &[Rejection<'_>]) -> Result<(), DeadLetterError> {
        assert!(letters.is_empty());
        Ok(())
    }
}

/// A service that holds the store, from where the store has it.
struct Service {
    engine: Engine<Topic, NoLetters>,
    store: PathBuf,
    n_turns: i64,
}

impl Service {
    fn start(store: PathBuf) -> Self {
        let opened = Store::open(&store).unwrap();
        let checkpoint = opened.load_checkpoint().unwrap();
        let n_read = checkpoint.iter().map(|(_, _, next)| usize::try_from(next).unwrap()).sum();
        let parts = Parts {
            source: Topic { n_read },
            dead_letters: NoLetters,
            store: opened,
            checkpoint,
            context: tokio::sync::watch::channel(std::sync::Arc::new(context())).1,
            refused_share: any_refused_share(),
        };
        Self { engine: Engine::start(parts).unwrap(), store, n_turns: 0 }
    }

    /// Decides batches, ten seconds each, until `is_done` with the alerts so far.
    async fn run_until(&mut self, is_done: impl Fn(&[Alert]) -> bool) -> Vec<Alert> {
        for _ in 0..N_EVENTS {
            let now = Millis(10 * Millis::SECOND * self.n_turns);
            self.n_turns += 1;
            let turn = self.engine.turn(now, || None).await.unwrap();
            let mut alerts = Store::open_read_only(&self.store).unwrap().newest_alerts(usize::MAX).unwrap();
            alerts.reverse();
            if is_done(&alerts) {
                return alerts;
            }
            assert_ne!(turn, panicsift::app::engine::Turn::AtEnd, "it never came to that");
        }
        unreachable!("the demo ends")
    }
}

fn changes(alerts: &[Alert], cluster: &str) -> Vec<Change> {
    alerts.iter().filter(|alert| alert.cluster == cluster).map(|alert| alert.change).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_service_closes_and_opens_alerts_by_words_of_another_process() {
    let dir = tempfile::tempdir().unwrap();
    let mut service = Service::start(dir.path().join("panicsift.db"));
    let say = |words: &[&str]| done(dir.path(), &[&["label", "--store", "panicsift.db"], words].concat());
    let alerts = service.run_until(|alerts| alerts.iter().any(|alert| alert.change == Change::Raised)).await;
    let cluster = alerts.iter().find(|alert| alert.change == Change::Raised).unwrap().cluster.clone();

    say(&[&cluster, "benign", "--why", "our own scanner", "--by", "alice"]);
    let alerts = service.run_until(|alerts| changes(alerts, &cluster).contains(&Change::Closed)).await;
    let closed = alerts.iter().rfind(|alert| alert.cluster == cluster).unwrap();
    assert_eq!((closed.change, closed.portrait.verdict), (Change::Closed, Verdict::Benign));
    let told = closed.portrait.overruled.as_ref().unwrap();
    assert_eq!((told.word, told.judge, told.why.as_str()), (Verdict::Benign, Verdict::Hostile, "our own scanner"));
    let sentence = told.sentence(&cluster, closed.portrait.points);
    assert!(
        sentence.starts_with("analyst: benign (by alice: our own scanner), the judge says hostile at "),
        "{sentence}"
    );
    let mut cef = Vec::new();
    panicsift::edge::format::encode(panicsift::edge::format::Format::Cef, closed, &mut cef).unwrap();
    let cef = String::from_utf8(cef).unwrap();
    assert!(cef.contains("reason=analyst: benign (by alice: our own scanner)"), "{cef}");

    // The service ends and starts again: the word still holds, and nothing is told twice.
    let n_alerts = changes(&alerts, &cluster).len();
    let store = service.store.clone();
    drop(service);
    let mut service = Service::start(store);
    let n_looks = std::cell::Cell::new(0);
    let alerts = service.run_until(|_| n_looks.replace(n_looks.get() + 1) == 3).await;
    assert_eq!(changes(&alerts, &cluster).len(), n_alerts);

    // Taken back: the judge's own verdict opens the alert again, without a cooldown.
    say(&[&cluster, "--withdraw", "--why", "it was not ours"]);
    let opened_again = |alerts: &[Alert]| changes(alerts, &cluster).last() == Some(&Change::Opened);
    let alerts = service.run_until(opened_again).await;
    assert_eq!(alerts.iter().rfind(|alert| alert.cluster == cluster).unwrap().portrait.overruled, None);

    // And a word on what the judge is undecided about opens one.
    let list = done(dir.path(), &["report", "list", "--store", "panicsift.db", "--format", "json"]);
    let rows: Vec<Value> = serde_json::from_str(&list).unwrap();
    let undecided = rows.iter().filter(|row| row["verdict"] == "undecided");
    let undecided = undecided.max_by_key(|row| row["events"].as_u64()).unwrap()["cluster"].as_str().unwrap().to_owned();
    assert_eq!(changes(&alerts, &undecided), []);
    say(&[&undecided, "hostile", "--why", "the same tool"]);
    let alerts = service.run_until(|alerts| !changes(alerts, &undecided).is_empty()).await;
    let opened = alerts.iter().find(|alert| alert.cluster == undecided).unwrap();
    assert_eq!((opened.change, opened.portrait.overruled.as_ref().unwrap().word), (Change::Opened, Verdict::Hostile));
    assert_eq!(service.engine.store_mut().rulings().unwrap().iter().next().unwrap().1.call, Call::Hostile);
}

// ------------------------------------------------------------------------------------------------------- the export

fn packed_lines(path: &Path) -> Vec<String> {
    BufReader::new(GzDecoder::new(File::open(path).unwrap())).lines().map(Result::unwrap).collect()
}

#[test]
fn labelled_events_are_a_set_that_train_reads() {
    let bench = Bench::new();
    let asn = demo("asn.mmdb");
    let asn = asn.to_str().unwrap();
    let export = |out: &str| {
        let words = ["label", "export", "--store", "panicsift.db", "--events", "events", "--asn", asn, "--out", out];
        bench.run(&words)
    };
    let none = export("none");
    assert!(String::from_utf8_lossy(&none.stderr).contains("no word stands"), "{none:?}");

    let (hostile, benign) = (bench.largest("hostile"), bench.largest("benign"));
    bench.label(&[&hostile, "hostile", "--why", "a scanner"]);
    bench.label(&[&benign, "benign", "--why", "shoppers"]);
    let exported = export("set");
    let told = String::from_utf8(exported.stdout).unwrap();
    assert!(exported.status.success(), "{}", String::from_utf8_lossy(&exported.stderr));

    // The labels are what the replay's own lines say, for the labelled clusters and no others.
    let lines = UNLABELLED.replayed.assigned();
    let expected: BTreeMap<String, (bool, String)> = lines
        .iter()
        .filter_map(|line| {
            let cluster = line["cluster"].as_str().filter(|id| *id == hostile || *id == benign)?;
            Some((line["event_id"].as_str().unwrap().to_owned(), (cluster == hostile, cluster.to_owned())))
        })
        .collect();
    let labels = packed_lines(&bench.path("set/labels.jsonl.gz"));
    let found: BTreeMap<String, (bool, String)> = labels
        .iter()
        .map(|line| {
            let label: Value = serde_json::from_str(line).unwrap();
            assert_eq!(label["kind"], "labelled");
            assert_eq!(label.as_object().unwrap().len(), 4);
            let campaign = label["campaign"].as_str().unwrap().to_owned();
            (label["event_id"].as_str().unwrap().to_owned(), (label["hostile"].as_bool().unwrap(), campaign))
        })
        .collect();
    let reached: BTreeSet<&str> = found.values().map(|(_, campaign)| campaign.as_str()).collect();
    assert!(expected.iter().all(|(id, label)| found.get(id) == Some(label)), "{} of {}", found.len(), expected.len());
    assert!(reached.contains(hostile.as_str()) && reached.contains(benign.as_str()));
    assert!(told.starts_with(&format!("{} events of {} clusters are in set\n", found.len(), reached.len())), "{told}");
    let events = packed_lines(&bench.path("set/events.jsonl.gz"));
    assert_eq!(events.len(), found.len());
    let originals: BTreeSet<&str> = LINES.iter().map(String::as_str).collect();
    assert!(events.iter().all(|event| originals.contains(event.as_str())), "events are as they were");
    let taken = export("set");
    assert!(String::from_utf8_lossy(&taken.stderr).contains("there is a set already"), "{taken:?}");

    // Training reads it; what analysts called benign alone is a reference.
    bench.label(&[&hostile, "--withdraw", "--why", "for the reference"]);
    assert!(export("quiet").status.success());
    let trained = bench.run(&["train", "set", "--reference", "quiet", "--asn", asn, "--out", "model.toml"]);
    assert!(trained.status.success(), "{}", String::from_utf8_lossy(&trained.stderr));
    let model = std::fs::read_to_string(bench.path("model.toml")).unwrap();
    assert!(HostilityModel::parse(&model).is_ok(), "{model}");
}

#[test]
fn an_export_tells_which_words_found_no_event_and_leaves_no_half_set() {
    let bench = Bench::new();
    let (hostile, undecided) = (bench.largest("hostile"), bench.largest("undecided"));
    bench.label(&[&hostile, "hostile", "--why", "w"]);
    bench.label(&[&undecided, "benign", "--why", "w"]);
    let lines = UNLABELLED.replayed.assigned();
    let of_hostile: BTreeSet<&str> =
        lines.iter().filter(|line| line["cluster"] == hostile).map(|line| line["event_id"].as_str().unwrap()).collect();
    let id = |line: &&String| serde_json::from_str::<Value>(line).unwrap()["event_id"].as_str().unwrap().to_owned();
    let some: Vec<&String> = LINES.iter().filter(|line| of_hostile.contains(id(line).as_str())).collect();
    let mut doubled = some.clone();
    doubled.extend(some.iter().take(3));
    let text = doubled.iter().map(|line| line.as_str()).collect::<Vec<_>>().join("\n") + "\nno event\n";
    std::fs::write(bench.path("some"), text).unwrap();
    let asn = demo("asn.mmdb");
    let asn = asn.to_str().unwrap();
    let export = ["label", "export", "--store", "panicsift.db", "--asn", asn];
    let told = bench.done(&[&export[..], &["--events", "some", "--out", "sets/of/ours"]].concat());
    assert!(told.contains(&format!("{} events of 1 clusters", some.len())), "{told}");
    assert!(told.contains(&format!("{undecided}: no event is benign by this word")), "{told}");
    assert!(told.contains("3 repeated ones, 1 lines that are not one whole event"), "{told}");

    // Events that the store never counted, though they look the same, have no label.
    let later: Vec<String> = some.iter().map(|line| line.replace("\"2026-09-14T", "\"2026-09-24T")).collect();
    std::fs::write(bench.path("later"), later.join("\n")).unwrap();
    let refused = bench.run(&[&export[..], &["--events", "later", "--out", "later-set"]].concat());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("no event of the files is in a cluster"), "{refused:?}");
    let left: Vec<_> = std::fs::read_dir(bench.path("later-set")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");

    std::fs::write(bench.path("key"), "another key, which is long enough to be one").unwrap();
    let keyed = bench.run(&[&export[..], &["--events", "some", "--out", "keyed", "--key-file", "key"]].concat());
    let err = String::from_utf8_lossy(&keyed.stderr);
    assert!(err.contains("--key-file"), "{err}");
}
