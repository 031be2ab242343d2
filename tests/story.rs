//! The whole path on the demo's events: as a library, as `replay`, as `demo`.
//!
//! What is promised of it holds here: the same input gives the same output, however it is packed, cut and interleaved;
//! each event counts once; a restart and a crash change nothing; alerts have a life that adds up; no value of a payload
//! and no token is in anything that is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use panicsift::edge::store::Store;
use panicsift::pipeline::alert::{Alert, Category, Change, Severity};
use panicsift::pipeline::cluster::RowKey;
use panicsift::pipeline::event::{Batch, Checkpoint, Millis, Position};
use panicsift::pipeline::judge::HostilityModel;
use panicsift::pipeline::state::State;
use panicsift::pipeline::{Context, Memos, Step, examine, fold};
use panicsift::report::{self, Format, Question, Selection};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::context;
use crate::support::replay::{Replayed, demo_lines, json_lines, replay};

/// Events of most tests: two alerts are opened and raised among them.
const N_EVENTS: usize = 1_700;

static LINES: LazyLock<Vec<String>> = LazyLock::new(|| demo_lines(N_EVENTS));

/// The replay that others are compared with: of a plain file called `events`.
static PLAIN: LazyLock<Replayed> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path(), "events", &LINES);
    replay(dir.path(), &["events"], b"")
});

fn written(dir: &Path, name: &str, lines: &[impl AsRef<str>]) {
    let lines: Vec<&str> = lines.iter().map(AsRef::as_ref).collect();
    std::fs::write(dir.join(name), lines.join("\n") + "\n").unwrap();
}

/// Alerts or clusters without the places of their examples, which differ with the files' names.
fn placeless(text: &str) -> Vec<Value> {
    let mut objects = json_lines(text);
    for example in objects.iter_mut().flat_map(|object| object["examples"].as_array_mut().unwrap()) {
        for place in ["topic", "partition", "offset"] {
            example[place].take();
        }
    }
    for object in &mut objects {
        // Streams are named after topics.
        if let Some(search) = object.pointer_mut("/queries/esql/events") {
            let text = search.as_str().unwrap_or_default();
            let behind = text.split_once(" | ").map_or(String::new(), |(_, behind)| behind.to_owned());
            *search = Value::String(behind);
        }
    }
    objects
}

// ---------------------------------------------------------------------------------------------------- determinism

#[test]
fn the_same_events_give_the_same_bytes_however_they_are_packed() {
    let plain = &*PLAIN;
    assert_eq!(plain.code, Some(0), "{}", plain.err);
    assert!(json_lines(&plain.alerts).len() >= 3, "too few alerts to compare: {}", plain.alerts);
    assert_eq!(plain.count("observed"), N_EVENTS as u64);

    let dir = tempfile::tempdir().unwrap();
    let mut packed = GzEncoder::new(File::create(dir.path().join("events")).unwrap(), Compression::fast());
    packed.write_all((LINES.join("\n") + "\n").as_bytes()).unwrap();
    packed.finish().unwrap();
    let gzip = replay(dir.path(), &["events"], b"");
    assert_eq!((&gzip.out, &gzip.alerts), (&plain.out, &plain.alerts));
    assert_eq!(gzip.assignments, plain.assignments);
}

#[test]
fn a_second_run_and_standard_input_give_the_same() {
    let plain = &*PLAIN;
    let dir = tempfile::tempdir().unwrap();
    written(dir.path(), "events", &LINES);
    let again = replay(dir.path(), &["events"], b"");
    assert_eq!((&again.out, &again.alerts), (&plain.out, &plain.alerts));
    assert_eq!(again.assignments, plain.assignments);

    let piped = replay(dir.path(), &["-"], LINES.join("\n").as_bytes());
    assert_eq!((&piped.out, &piped.assignments), (&plain.out, &plain.assignments));
    assert_eq!(placeless(&piped.alerts), placeless(&plain.alerts));
}

#[test]
fn two_files_in_either_order_give_what_one_gives() {
    let dir = tempfile::tempdir().unwrap();
    let (odd, even): (Vec<_>, Vec<_>) = (0..).zip(LINES.iter()).partition(|(at, _)| at % 3 == 0);
    written(dir.path(), "a", &odd.into_iter().map(|(_, line)| line).collect::<Vec<_>>());
    written(dir.path(), "b", &even.into_iter().map(|(_, line)| line).collect::<Vec<_>>());
    for inputs in [["a", "b"], ["b", "a"]] {
        let both = replay(dir.path(), &inputs, b"");
        assert_eq!((&both.out, &both.assignments), (&PLAIN.out, &PLAIN.assignments), "{inputs:?}");
        assert_eq!(placeless(&both.alerts), placeless(&PLAIN.alerts), "{inputs:?}");
    }
}

#[test]
fn each_event_has_one_line_and_a_repeated_one_counts_once() {
    let event_id =
        |line: &String| serde_json::from_str::<Value>(line).unwrap()["event_id"].as_str().unwrap().to_owned();
    let expected: BTreeSet<String> = LINES.iter().map(event_id).collect();
    let ids = PLAIN.ids();
    assert_eq!(ids.len(), N_EVENTS);
    assert_eq!(ids.into_iter().collect::<BTreeSet<_>>(), expected);

    let dir = tempfile::tempdir().unwrap();
    written(dir.path(), "events", &LINES);
    written(dir.path(), "copy", &LINES);
    for inputs in [["events", "copy"], ["events", "events"]] {
        let twice = replay(dir.path(), &inputs, b"");
        assert_eq!((twice.count("observed"), twice.count("duplicate")), (N_EVENTS as u64, N_EVENTS as u64));
        assert_eq!(twice.assignments, PLAIN.assignments, "{inputs:?}");
        assert_eq!((&twice.out, &twice.alerts), (&PLAIN.out, &PLAIN.alerts), "{inputs:?}");
    }
}

#[test]
fn what_the_lines_say_of_an_event_is_what_the_clusters_say() {
    let clusters = alerts_by_cluster(&json_lines(&PLAIN.alerts));
    let mut covered = 0;
    for line in PLAIN.assigned() {
        let cluster = line["cluster"].as_str().unwrap_or_else(|| panic!("{line} stands nowhere"));
        if let Some(alerted_at) = line["alerted_at"].as_str() {
            covered += 1;
            let opened = clusters.get(cluster).unwrap_or_else(|| panic!("{line}: no alert"))[0]["at"].as_str().unwrap();
            assert!(opened <= alerted_at, "{line} was covered before {opened}");
        } else {
            assert!(!clusters.contains_key(cluster) || line["verdict"] != "hostile", "{line} is covered by an alert");
        }
    }
    assert!(covered > 20, "only {covered} events are covered by an alert");
}

// ---------------------------------------------------------------------------------------------------- as a library

/// The pipeline with its state.
struct Pipeline {
    context: Context,
    state: State,
    memos: Memos,
}

impl Pipeline {
    fn new() -> Self {
        let context = context();
        let state = State::new(&context.clustering);
        Self { context, state, memos: Memos::default() }
    }

    fn restored(store: &Store) -> Self {
        let context = context();
        let (state, n_unreadable) = State::restore(&context.clustering, |kind| store.load_state(kind)).unwrap();
        assert_eq!(n_unreadable, 0);
        Self { context, state, memos: Memos::default() }
    }

    fn take(&mut self, batch: &Batch) -> Step {
        let seen: Vec<_> = batch
            .iter()
            .map(|record| examine(&self.context, &mut self.memos, record).into_observation().unwrap())
            .collect();
        fold(&self.context, &mut self.state, seen, None)
    }

    /// Takes events in batches of 200, one partition, offsets from `first`.
    fn take_all(&mut self, first: i64, lines: &[String], mut then: impl FnMut(Step)) {
        let mut offset = first;
        for part in lines.chunks(200) {
            let mut batch = Batch::default();
            for line in part {
                batch.push(Position { topic: "panics", partition: 0, offset }, None, line.as_bytes());
                offset += 1;
            }
            then(self.take(&batch));
        }
    }

    fn exported(&self) -> String {
        exported(&self.state)
    }
}

fn exported(state: &State) -> String {
    let mut out = Vec::new();
    report::tell(state, None, &Question::Export(Selection::default()), Format::Json, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// The records of one batch, as `n_partitions` that are read one after another give them.
fn interleaved(lines: &[String], n_partitions: usize) -> Batch {
    let mut batch = Batch::default();
    for partition in (0..n_partitions).rev() {
        for (offset, line) in (0..).zip(lines.iter().skip(partition).step_by(n_partitions)) {
            let partition = i32::try_from(partition).unwrap();
            batch.push(Position { topic: "panics", partition, offset }, None, line.as_bytes());
        }
    }
    batch
}

/// With no room for alerts of their own all but the critical clusters are told by a digest, and none is lost; what a
/// store keeps in the middle goes on the same.
#[test]
fn a_flood_is_told_by_one_digest_at_a_time_and_survives_a_restart() {
    let quiet = |mut pipeline: Pipeline| {
        pipeline.context.alerts.digest_above = 0;
        pipeline
    };
    let told_by_digests = |state: &State| -> BTreeMap<String, String> {
        let clusters =
            state.tenants().flat_map(|(_, tenant)| tenant.clusters().map(move |(cluster, _)| (tenant, cluster)));
        clusters.filter_map(|(of, one)| Some((one.id.to_string(), of.digest_of(one.id)?.to_owned()))).collect()
    };
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(&dir.path().join("state.db")).unwrap();
    let mut pipeline = quiet(Pipeline::new());
    let (mut alerts, mut offset, mut was_restored) = (Vec::new(), 0, false);
    for part in LINES.chunks(200) {
        pipeline.take_all(offset, part, |step| {
            store.commit(&step.rows, &step.alerts, &Checkpoint::default()).unwrap();
            alerts.extend(step.alerts);
        });
        offset += 200;
        let told = told_by_digests(&pipeline.state);
        if !was_restored && !told.is_empty() {
            was_restored = true;
            assert_eq!(told_by_digests(&Pipeline::restored(&store).state), told);
        }
    }
    assert!(was_restored, "no cluster was ever told by a digest");

    let hostile = alerts.iter().filter(|alert| alert.category == Category::HostileInput);
    let (digests, own): (Vec<&Alert>, Vec<&Alert>) = hostile.partition(|alert| alert.cluster.starts_with("digest-"));
    assert!(
        own.iter()
            .filter(|alert| alert.change == Change::Opened)
            .all(|alert| { alert.portrait.severity == Severity::Critical && alert.ordinal == 0 })
    );
    let mut open: Option<&str> = None;
    for alert in &digests {
        assert_eq!(open.is_none(), alert.change == Change::Opened, "{}", alert.portrait.title);
        open = (alert.change != Change::Closed).then_some(alert.cluster.as_str());
    }
    let first = digests.first().expect("a digest");
    assert!(first.portrait.title.contains("further hostile cluster"), "{}", first.portrait.title);
    assert_eq!(first.findings[0].name, "clusters");
    assert!(first.findings[1].words.contains(&first.findings[1].name), "{:?}", first.findings);
    for (_, tenant) in pipeline.state.tenants() {
        for (cluster, standing) in tenant.clusters() {
            let is_open = standing.is_some_and(|standing| standing.life.open_since.is_some());
            let own_open = own.iter().rfind(|alert| alert.cluster == cluster.id.to_string());
            let own_open = own_open.is_some_and(|alert| alert.change != Change::Closed);
            let digest = tenant.digest_of(cluster.id);
            assert_eq!(is_open, own_open || digest.is_some(), "{}", cluster.id);
            assert!(digest.is_none_or(|digest| Some(digest) == open && !own_open), "{}", cluster.id);
        }
    }
}

/// Within a batch: batches are cut elsewhere when there are more partitions, and the epochs that a batch closes are
/// closed before the next one is seen.
#[test]
fn the_number_of_partitions_changes_no_cluster() {
    let mut found = Vec::new();
    for n_partitions in [1, 3, 8] {
        let mut pipeline = Pipeline::new();
        let mut alerts = Vec::new();
        for part in LINES.chunks(850) {
            alerts.extend(pipeline.take(&interleaved(part, n_partitions)).alerts);
        }
        alerts.extend(pipeline.state.close_last(&pipeline.context).alerts);
        let alerts: Vec<String> = alerts.iter().map(|alert| serde_json::to_string(alert).unwrap()).collect();
        found.push((n_partitions, placeless(&pipeline.exported()), placeless(&alerts.join("\n"))));
    }
    let [(_, clusters, alerts), others @ ..] = &found[..] else { panic!() };
    assert!(clusters.len() > 20 && alerts.len() >= 3, "{} clusters, {} alerts", clusters.len(), alerts.len());
    for (n_partitions, other_clusters, other_alerts) in others {
        assert_eq!(other_clusters, clusters, "{n_partitions} partitions");
        assert_eq!(other_alerts, alerts, "{n_partitions} partitions");
    }
}

fn store_in(dir: &TempDir) -> (PathBuf, Store) {
    let path = dir.path().join("state.db");
    let store = Store::open(&path).unwrap();
    (path, store)
}

/// What is promised of a restart: no cell and no event is lost or counts twice, the clusters are at once those of before,
/// every cell finds its cluster again, and alerts' lives go on without a gap or a repetition. (That no verdict and no alert
/// is another is held by `tests/invariance.rs`, over the loop itself.)
#[test]
fn a_restart_in_the_middle_loses_no_event_and_no_cluster() {
    let (before, after) = LINES.split_at(N_EVENTS / 2);
    let after_at = i64::try_from(before.len()).unwrap();
    let mut at_once = Pipeline::new();
    at_once.take_all(0, before, drop);
    let half = members(&at_once.state);
    at_once.take_all(after_at, after, drop);
    at_once.state.close_last(&at_once.context);

    let dir = tempfile::tempdir().unwrap();
    let (path, mut store) = store_in(&dir);
    let mut alerts = Vec::new();
    let mut commit = |store: &mut Store, step: Step| {
        store.commit(&step.rows, &step.alerts, &Checkpoint::default()).unwrap();
        alerts.extend(step.alerts.iter().map(|alert| serde_json::to_value(alert).unwrap()));
    };
    Pipeline::new().take_all(0, before, |step| commit(&mut store, step));
    drop(store);
    let mut store = Store::open(&path).unwrap();
    let mut restarted = Pipeline::restored(&store);
    assert_eq!(members(&restarted.state), half);
    restarted.take_all(after_at, after, |step| commit(&mut store, step));
    let step = restarted.state.close_last(&restarted.context);
    commit(&mut store, step);

    assert_eq!(restarted.state.now(), at_once.state.now());
    assert_eq!(restarted.state.size().cells, at_once.state.size().cells);
    assert_eq!(clustered_cells(&restarted.state), clustered_cells(&at_once.state));
    let expected = events_by_place(&at_once.state);
    assert_eq!(expected.iter().filter(|(place, _)| place.starts_with("site")).map(|(_, n)| n).sum::<u64>(), 1_700);
    assert_eq!(events_by_place(&restarted.state), expected);
    // Silence closes what is open, also what was opened before the restart.
    let later = restarted.state.now().unwrap().plus(7 * Millis::HOUR);
    let step = fold(&restarted.context, &mut restarted.state, Vec::new(), Some(later));
    commit(&mut store, step);
    assert_eq!(restarted.state.size().open_alerts, 0);
    let changes = check_lives(&alerts);
    assert!(changes["opened"] > 0 && changes["closed"] == changes["opened"], "{changes:?}");
    // What the store has at the end is what was in memory.
    assert_eq!(Pipeline::restored(&store).exported(), restarted.exported());
}

#[test]
fn a_cell_that_was_new_when_the_service_stopped_gets_its_cluster_after_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let (_, mut store) = store_in(&dir);
    let [first, .., last] = &LINES[..] else { panic!() };
    Pipeline::new().take_all(0, std::slice::from_ref(first), |step| {
        store.commit(&step.rows, &step.alerts, &Checkpoint::default()).unwrap();
    });
    let mut restarted = Pipeline::restored(&store);
    assert_eq!(clustered_cells(&restarted.state).len(), 0);
    restarted.take_all(1, std::slice::from_ref(last), drop);
    restarted.state.close_last(&restarted.context);
    assert_eq!((restarted.state.size().cells, clustered_cells(&restarted.state).len()), (2, 2));
}

/// Members of each cluster.
fn members(state: &State) -> BTreeMap<String, String> {
    let clusters = state.tenants().flat_map(|(_, tenant)| tenant.clusters());
    clusters.map(|(cluster, _)| (cluster.id.to_string(), format!("{:?}", cluster.members))).collect()
}

/// The cells that stand in a cluster of cells.
fn clustered_cells(state: &State) -> BTreeSet<String> {
    let clusters = state.tenants().flat_map(|(_, tenant)| tenant.clusters());
    clusters
        .flat_map(|(cluster, _)| cluster.members.iter().filter_map(RowKey::cell).map(|cell| format!("{cell:?}")))
        .collect()
}

/// Events by site and by route over all clusters.
fn events_by_place(state: &State) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for cluster in json_lines(&exported(state)) {
        for (kind, list) in [("site", &cluster["sites"]), ("route", &cluster["routes"])] {
            for place in list.as_array().unwrap() {
                *counts.entry(format!("{kind} {}", place["name"])).or_default() += place["events"].as_u64().unwrap();
            }
        }
    }
    counts
}

#[test]
fn a_crash_before_the_commit_leaves_the_state_of_the_batch_before() {
    let dir = tempfile::tempdir().unwrap();
    let (path, mut store) = store_in(&dir);
    let mut pipeline = Pipeline::new();
    let mut checkpoint = Checkpoint::default();
    let (kept, lost) = LINES.split_at(1_000);
    pipeline.take_all(0, kept, |step| {
        checkpoint.set("panics", 0, 1_000);
        store.commit(&step.rows, &step.alerts, &checkpoint).unwrap();
    });
    let before = pipeline.exported();
    pipeline.take_all(1_000, lost, drop);
    assert_ne!(pipeline.exported(), before, "the batches that were lost changed nothing");
    drop((pipeline, store));

    let store = Store::open(&path).unwrap();
    assert_eq!(store.load_checkpoint().unwrap(), checkpoint);
    let mut again = Pipeline::restored(&store);
    assert_eq!(again.exported(), before);
    // The records come again from the checkpoint on: none of them is taken for a repetition, and those before are.
    let mut n_repeated = 0;
    again.take_all(1_000, lost, |step| n_repeated += step.duplicates.len());
    assert_eq!(n_repeated, 0);
    again.take_all(0, kept, |step| n_repeated += step.duplicates.len());
    assert_eq!(n_repeated, kept.len());
}

// ---------------------------------------------------------------------------------------------------- alerts

fn alerts_by_cluster(alerts: &[Value]) -> BTreeMap<String, Vec<Value>> {
    let mut by_cluster: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for alert in alerts {
        by_cluster.entry(alert["cluster"].as_str().unwrap().to_owned()).or_default().push(alert.clone());
    }
    by_cluster
}

/// The laws of alerts' lives; gives how often each change was told.
fn check_lives(alerts: &[Value]) -> BTreeMap<String, usize> {
    let ids: BTreeSet<_> = alerts.iter().map(|alert| alert["alert_id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), alerts.len(), "an alert id stands twice");
    let mut changes = BTreeMap::new();
    for (cluster, life) in alerts_by_cluster(alerts) {
        let mut open = false;
        let mut at = String::new();
        for (ordinal, alert) in life.iter().enumerate() {
            let change = alert["change"].as_str().unwrap();
            *changes.entry(change.to_owned()).or_default() += 1;
            assert_eq!(alert["ordinal"], ordinal, "{cluster}: {change}");
            assert_eq!(open, change != "opened", "{cluster}: {change} at {}", alert["at"]);
            open = change != "closed";
            let told_at = alert["at"].as_str().unwrap();
            assert!(*at <= *told_at, "{cluster}: {change} at {told_at} after {at}");
            told_at.clone_into(&mut at);
            check_sums(alert);
        }
    }
    changes
}

fn check_sums(alert: &Value) {
    let points = |key: &str| -> f64 {
        alert[key].as_array().unwrap().iter().map(|evidence| evidence["points"].as_f64().unwrap()).sum()
    };
    let (sum, told) = (points("evidence") + points("counter_evidence"), alert["points"].as_f64().unwrap());
    assert!((sum - told).abs() < 1e-6, "{sum} are told as {told}: {alert}");
    // Operations alerts are on situations, of which the judge says nothing.
    if alert["change"] != "closed" && alert["category"] == "hostile_input" {
        assert_eq!(alert["verdict"], "hostile", "{alert}");
        assert!(told >= alert["threshold"].as_f64().unwrap(), "{alert}");
        assert!(alert["first_event"].as_str() <= alert["last_event"].as_str(), "{alert}");
        let sites: u64 = alert["sites"].as_array().unwrap().iter().map(|site| site["events"].as_u64().unwrap()).sum();
        let n_sites = alert["counts"]["sites"].as_u64().unwrap();
        assert!(n_sites > 20 || sites == alert["counts"]["events"].as_u64().unwrap(), "{alert}");
    }
}

#[test]
fn alerts_of_a_replay_have_a_life_that_adds_up() {
    let changes = check_lives(&json_lines(&PLAIN.alerts));
    assert!(changes["opened"] > 0 && changes["closed"] > 0, "{changes:?}");
}

// ---------------------------------------------------------------------------------------------------- expected things

/// The demo's events under a test that was announced for everyone from `from` on.
fn replay_expecting(from: &str) -> Replayed {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path(), "events", &LINES);
    let config = format!(
        "[source]\nbrokers = [\"localhost:9092\"]\ntopics = [\"t\"]\n[[expected]]\nreason = \"a load test\"\n\
         ticket = \"SEC-7\"\nfrom = \"{from}\"\nuntil = \"2100-01-01T00:00:00Z\"\n\
         sources = [\"0.0.0.0/1\", \"128.0.0.0/1\", \"2000::/3\"]\n"
    );
    std::fs::write(dir.path().join("config.toml"), config).unwrap();
    replay(dir.path(), &["--json", "--config", "config.toml", "events"], b"")
}

#[test]
fn an_announced_test_is_counted_under_its_reason_and_raises_no_alert() {
    let expected = replay_expecting("2020-01-01T00:00:00Z");
    assert_eq!(expected.code, Some(0), "{}", expected.err);
    assert_eq!(expected.alerts, "");
    assert_eq!(expected.ids(), PLAIN.ids());
    let listed: Vec<Value> = serde_json::from_str(&expected.out).unwrap();
    assert!(!listed.is_empty());
    for cluster in &listed {
        let title = cluster["title"].as_str().unwrap();
        assert!(title.ends_with(&format!("; {} announced: a load test (SEC-7)", cluster["events"])), "{cluster}");
        assert_ne!(cluster["verdict"], "hostile");
    }
}

#[test]
fn before_its_time_an_announcement_changes_nothing() {
    let early = replay_expecting("2099-01-01T00:00:00Z");
    assert_eq!(placeless(&early.alerts), placeless(&PLAIN.alerts));
}

// ---------------------------------------------------------------------------------------------------- secrets

/// What a value is replaced by: a word that nothing else holds and that no mask takes for a number.
fn canary(place: &str) -> String {
    format!("qzcanary{place}wxyjkvq")
}

const MESSAGES: [&str; 7] = [
    "called `Result::unwrap()` on an `Err` value: \"{}\"",
    "byte index 3 is out of bounds of `{}`",
    "byte index 3 is not a char boundary; it is inside 'é' (bytes 2..4) of `{}`",
    "begin <= end (4 <= 2) when slicing `{}`",
    "no entry found for key \"{}\"",
    "cannot access key \"{}\" in JSON string",
    "assertion `left == right` failed\n  left: \"{}\"\n right: \"{}\"",
];

/// The demo's events with a canary in every place whose values may not be kept.
fn with_canaries() -> Vec<String> {
    let seeded = |(at, line): (usize, &String)| {
        let mut event: Value = serde_json::from_str(line).unwrap();
        let append = |value: &mut Value, place: &str| {
            let text = value.as_str().unwrap_or_default();
            *value = format!("{text}{}", canary(place)).into();
        };
        if event["token"].is_object() {
            append(&mut event["token"]["id_hash"], "token");
        }
        append(&mut event["request"]["idempotency_key"], "idempotency");
        for pair in event["query"].as_array_mut().unwrap() {
            append(&mut pair[1], "query");
        }
        if event["request"]["payload_encoding"] == "utf8" {
            let payload = event["request"]["payload"].as_str().unwrap_or_default();
            let value = canary("payload");
            let seeded = match serde_json::from_str::<Value>(payload) {
                Ok(Value::Object(mut object)) => {
                    object.insert("note".to_owned(), value.into());
                    Value::Object(object).to_string()
                }
                _ => format!("{payload}{value}"),
            };
            event["request"]["payload"] = seeded.into();
        } else if let Some(bytes) = event["request"]["payload"].as_str() {
            let mut bytes = STANDARD.decode(bytes).unwrap();
            bytes.extend(canary("payload").bytes());
            event["request"]["payload"] = STANDARD.encode(bytes).into();
        }
        if at % 5 == 0 {
            event["panic"]["message"] = MESSAGES[at / 5 % MESSAGES.len()].replace("{}", &canary("message")).into();
        }
        event.to_string()
    };
    LINES.iter().enumerate().map(seeded).collect()
}

fn assert_no_canary(place: &str, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes).to_lowercase();
    let told = text.split_once("qzcanary").map(|(_, after)| after.chars().take(20).collect::<String>());
    assert_eq!(told, None, "{place} tells a value");
}

#[test]
fn no_value_of_a_payload_a_token_or_a_message_is_told_or_kept() {
    let lines = with_canaries();
    for place in ["token", "idempotency", "query", "payload", "message"] {
        assert!(lines.iter().any(|line| line.contains(&canary(place))), "{place}");
    }
    let dir = tempfile::tempdir().unwrap();
    written(dir.path(), "events", &lines);
    for form in [&["events"][..], &["--json", "events"]] {
        let replayed = replay(dir.path(), form, b"");
        assert_eq!(replayed.count("observed"), N_EVENTS as u64);
        assert!(!replayed.alerts.is_empty(), "no alert that could tell anything");
        for (place, text) in [
            ("alerts", &replayed.alerts),
            ("assignments", &replayed.assignments),
            ("standard output", &replayed.out),
            ("standard error", &replayed.err),
        ] {
            assert_no_canary(place, text.as_bytes());
        }
    }

    let (_, mut store) = store_in(&dir);
    let mut pipeline = Pipeline::new();
    pipeline.take_all(0, &lines, |step| {
        store.commit(&step.rows, &step.alerts, &Checkpoint::default()).unwrap();
    });
    let step = pipeline.state.close_last(&pipeline.context);
    store.commit(&step.rows, &step.alerts, &Checkpoint::default()).unwrap();
    assert_no_canary("the export", pipeline.exported().as_bytes());
    // The log beside the store, too, while it is open.
    let mut n_bytes = 0;
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_str().unwrap().starts_with("state.db") {
            let bytes = std::fs::read(&path).unwrap();
            n_bytes += bytes.len();
            assert_no_canary(&path.display().to_string(), &bytes);
        }
    }
    assert!(n_bytes > 100_000, "the store holds only {n_bytes} bytes");
    drop(store);
}

// ---------------------------------------------------------------------------------------------------- the demo

const DEMO_EVENTS: u64 = 4_386;

#[test]
fn the_demo_ends_with_its_report_and_leaves_what_it_says() {
    let dir = tempfile::tempdir().unwrap();
    let out_dir = dir.path().join("demo");
    let output = Command::new(env!("CARGO_BIN_EXE_panicsift"))
        .args(["demo", "--dir"])
        .arg(&out_dir)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(0), "{err}");
    assert!(!err.contains("panicked") && !err.contains("ERROR"), "{err}");
    assert!(out.starts_with("cluster "), "{out}");
    assert!(out.contains(&format!("\n{DEMO_EVENTS} events were observed and 1 record was refused.")), "{out}");
    check_demo_report(&out_dir, &out);
    check_demo_alerts(&out_dir);
    check_demo_dead_letter(&out_dir);
    check_readme_example(&out_dir);
    assert_nothing_runs_in(&out_dir);
    // Nobody holds the store any more.
    drop(Store::open(&out_dir.join("state.db")).unwrap());
}

/// The numbers of the screen and of the store add up.
fn check_demo_report(dir: &Path, out: &str) {
    let store = dir.join("state.db");
    let mut listed = Vec::new();
    let question = Question::List(Selection { limit: Some(usize::MAX), verdict: None });
    report::answer(&store, &question, Format::Json, &mut listed).unwrap();
    let clusters: Value = serde_json::from_slice(&listed).unwrap();
    let clusters = clusters.as_array().unwrap();
    let events: u64 = clusters.iter().map(|cluster| cluster["events"].as_u64().unwrap()).sum();
    assert_eq!(events, DEMO_EVENTS, "the clusters hold another number of events than were observed");
    assert!(out.contains(&format!("20 of {} clusters", clusters.len())), "{out}");
    let shown = out.lines().filter(|line| line.starts_with("c-")).filter_map(|line| line.split_whitespace().next());
    let ranked = clusters.iter().map(|cluster| cluster["cluster"].as_str().unwrap());
    assert!(shown.eq(ranked.take(20)), "{out}");
    for said in out.lines().filter_map(|line| line.trim().strip_prefix("panicsift report list --store ")) {
        assert!(said.starts_with(store.to_str().unwrap()), "{said}");
    }
}

/// The README's example of a verdict that is added up: each of its lines, and that they add up.
fn check_readme_example(dir: &Path) {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let (_, rest) = readme.split_once("explain c-9923` adds up").unwrap();
    let (_, rest) = rest.split_once("| fact | points | what was seen |\n|---|---|---|\n").unwrap();
    let shown: Vec<&str> = rest.lines().take_while(|line| line.starts_with('|')).collect();
    let mut out = Vec::new();
    report::answer(&dir.join("state.db"), &Question::Explain("c-9923".to_owned()), Format::Json, &mut out).unwrap();
    let told: Value = serde_json::from_slice(&out).unwrap();
    let lines = told["lines"].as_array().unwrap().iter();
    let row = |line: &Value| {
        let [name, words] = ["name", "words"].map(|key| line[key].as_str().unwrap());
        format!("| {name} | {:+.2} | {words} |", line["points"].as_f64().unwrap())
    };
    assert_eq!(shown, lines.map(row).collect::<Vec<_>>());
    let points = |row: &&str| row.split(" | ").nth(1).unwrap().parse::<f64>().unwrap();
    let sum: f64 = shown.iter().map(points).sum();
    let model = HostilityModel::builtin().unwrap();
    let [above, below, company] =
        [model.hostile_at - model.suspect_at, model.suspect_at - model.clear_at, model.company]
            .map(|n| f64::from(n) / 100.0);
    assert!((below - 1.0).abs() < 1e-9, "README: a suspect is let go a point below");
    let words = [
        format!("they come to {sum:.2},"),
        format!("{:.2} are asked", told["threshold"].as_f64().unwrap()),
        format!("A hand is hostile {above} points above the threshold for suspects"),
        format!("({company} points for each doubling)"),
    ];
    let readme = readme.replace('\n', " ");
    assert!(words.iter().all(|words| readme.contains(words)), "{words:?}");
}

fn check_demo_alerts(dir: &Path) {
    let schema = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/alert.v1.json")).unwrap();
    let schema = jsonschema::validator_for(&serde_json::from_slice(&schema).unwrap()).unwrap();
    let alerts = json_lines(&std::fs::read_to_string(dir.join("alerts.ndjson")).unwrap());
    for alert in &alerts {
        assert!(schema.is_valid(alert), "{alert}");
        serde_json::from_value::<Alert>(alert.clone()).unwrap();
    }
    let changes = check_lives(&alerts);
    let opened = changes["opened"];
    assert!((2..=40).contains(&opened), "{opened} alerts for 8 campaigns");
    let store = Store::open_read_only(&dir.join("state.db")).unwrap();
    assert_eq!(store.n_waiting("alerts-file").unwrap(), 0);
}

fn check_demo_dead_letter(dir: &Path) {
    let letters = json_lines(&std::fs::read_to_string(dir.join("dead-letters.ndjson")).unwrap());
    let [letter] = &letters[..] else { panic!("{} dead letters", letters.len()) };
    let bytes = STANDARD.decode(letter["payload_base64"].as_str().unwrap_or_else(|| panic!("{letter}"))).unwrap();
    let expected = br#"{"event_id": "demo-bad-record", "ts": "yesterday", "service": "storefront-api"}"#;
    assert_eq!(bytes, expected);
    assert_eq!(letter["topic"], "panic-events", "{letter}");
}

/// No process has the folder on its command line or as its own.
fn assert_nothing_runs_in(dir: &Path) {
    let name = dir.to_str().unwrap();
    for entry in std::fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
        let words = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&words).contains(name), "{} is left running", entry.path().display());
    }
}
