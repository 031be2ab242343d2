//! Storms on real events, recomputed from the raw lines by a second, naive implementation; `panicsift triage` as an
//! engineer on call meets it: one screen, one object a look, a store that is not there yet.
//!
//! `PANICSIFT_TEST_SETS` names a folder with larger sets (`NAME/events.jsonl.gz`) to recompute as well.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use clap::Parser;
use panicsift::cli::Cli;
use panicsift::edge::store::Store;
use panicsift::pipeline::alert::{Alert, Category, Change};
use panicsift::pipeline::event::{Batch, Checkpoint, Millis, Position};
use panicsift::pipeline::operations::storms::Storm;
use panicsift::pipeline::operations::storms::cause::Cause;
use panicsift::pipeline::operations::tally::Counter;
use panicsift::pipeline::sample::count_f64;
use panicsift::pipeline::state::State;
use panicsift::pipeline::tenant::Tenant;
use panicsift::pipeline::{Memos, examine, fold};
use serde_json::Value;

use crate::support::context;
use crate::support::replay::demo_lines;

/// What the pipeline makes of a stream.
struct Ran {
    state: State,
    alerts: Vec<Alert>,
}

/// All lines through the pipeline, `per_batch` at a time, into a store where one is given.
fn run(lines: &[String], per_batch: usize, mut store: Option<&mut Store>) -> Ran {
    let context = context();
    let (mut state, mut memos, mut alerts) = (State::new(&context.clustering), Memos::default(), Vec::new());
    for (part, lines) in lines.chunks(per_batch).enumerate() {
        let mut batch = Batch::default();
        for (at, line) in lines.iter().enumerate() {
            let offset = i64::try_from(part * per_batch + at).unwrap();
            batch.push(Position { topic: "panics", partition: 0, offset }, None, line.as_bytes());
        }
        let seen = batch.iter().map(|record| examine(&context, &mut memos, record).into_observation().unwrap());
        let step = fold(&context, &mut state, seen.collect::<Vec<_>>(), None);
        if let Some(store) = &mut store {
            store.commit(&step.rows, &step.alerts, &Checkpoint::default()).unwrap();
        }
        alerts.extend(step.alerts);
    }
    Ran { state, alerts }
}

static DEMO: LazyLock<Ran> = LazyLock::new(|| run(&demo_lines(usize::MAX), 500, None));

/// A raw event, as far as the naive implementation reads it.
struct Raw {
    at: Millis,
    service: String,
    route: String,
    release: Option<String>,
    server_error: bool,
    handled: Option<bool>,
    attempt: u64,
}

impl Raw {
    fn of(line: &str) -> Self {
        let event: Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| event[key].as_str().map(str::to_owned);
        Self {
            at: Millis::parse(event["ts"].as_str().unwrap()).unwrap(),
            service: text("service").unwrap(),
            route: text("endpoint").unwrap(),
            release: text("release"),
            server_error: event["status"].as_u64().is_some_and(|status| status >= 500),
            handled: event["handled"].as_bool(),
            attempt: event["request"]["attempt"].as_u64().unwrap_or(1),
        }
    }
}

/// Every storm that is remembered at the end is counted again from the raw events.
fn recomputed(lines: &[String], ran: &Ran) -> usize {
    let raw: Vec<Raw> = lines.iter().map(|line| Raw::of(line)).collect();
    let now = ran.state.now().unwrap();
    let mut n_storms = 0;
    for (_, tenant) in ran.state.tenants() {
        for (_, storm) in tenant.operations().storms().iter() {
            check(storm, tenant, &raw, now);
            n_storms += 1;
        }
    }
    n_storms
}

fn check(storm: &Storm, tenant: &Tenant, raw: &[Raw], now: Millis) {
    let operations = tenant.operations();
    let picture = operations.storms().picture(storm, operations.ledger(), tenant.names(), now);
    let five = 5 * Millis::MINUTE;
    let end = Millis((picture.to.0 - 1).div_euclid(five) * five + five);
    let routes: Vec<String> = storm.routes.iter().map(|route| tenant.name(route.id().unwrap())).collect();
    let without: Vec<String> = storm.without.iter().map(|id| tenant.name(*id)).collect();
    let only = storm.only.map(|id| tenant.name(id));
    let is_in = |event: &&Raw| {
        event.service == tenant.name(storm.service)
            && (routes.is_empty() || routes.contains(&event.route))
            && event.at >= storm.from
            && event.at < end
            && (only.is_none() || event.release == only)
            && !event.release.as_ref().is_some_and(|release| without.contains(release))
    };
    let mine: Vec<&Raw> = raw.iter().filter(is_in).collect();
    let count = |of: &dyn Fn(&Raw) -> bool| mine.iter().filter(|event| of(event)).count() as u64;
    assert_eq!(picture.events, mine.len() as u64, "{}", storm.name);
    let expected = [
        (Counter::Events, count(&|_| true)),
        (Counter::ServerError, count(&|event| event.server_error)),
        (Counter::Handled, count(&|event| event.handled == Some(true))),
        (Counter::Unhandled, count(&|event| event.handled == Some(false))),
        (Counter::Attempt1, count(&|event| event.attempt <= 1)),
        (Counter::Attempt2, count(&|event| event.attempt == 2)),
        (Counter::Attempt3, count(&|event| event.attempt == 3)),
        (Counter::AttemptLater, count(&|event| event.attempt > 3)),
    ];
    for (counter, n) in expected {
        assert_eq!(picture.tally.get(counter), n, "{} of {}", counter.name(), storm.name);
    }
    let by = |of: &dyn Fn(&Raw) -> Option<String>| {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        mine.iter().filter_map(|event| of(event)).for_each(|name| *counts.entry(name).or_default() += 1);
        counts
    };
    let portrait = picture.portrait(storm, tenant.names(), "m");
    let told = |list: &[panicsift::pipeline::alert::Counted]| -> BTreeMap<String, u64> {
        list.iter().map(|one| (one.name.clone(), one.events)).collect()
    };
    assert_eq!(told(&portrait.routes), by(&|event| Some(event.route.clone())), "{}", storm.name);
    assert_eq!(told(&portrait.releases), by(&|event| event.release.clone()), "{}", storm.name);
    // Shares, to the last digit.
    let (release, n) = by(&|event| event.release.clone()).into_iter().max_by_key(|(_, n)| *n).unwrap();
    let top = picture.facts.release.as_ref().unwrap();
    assert_eq!(top.events, n, "{release}");
    let retries = 1.0 - count_f64(picture.tally.get(Counter::Originals)) / count_f64(mine.len() as u64);
    let scored = picture.ranked();
    let cascade = scored.iter().find(|one| one.cause == Cause::RetryCascade).unwrap();
    assert!((cascade.score - retries).abs() < f64::EPSILON, "{} {retries}", cascade.score);
}

#[test]
fn storms_of_the_demo_are_what_the_raw_events_say() {
    assert!(recomputed(&demo_lines(usize::MAX), &DEMO) >= 3, "the check has gone blind");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "tests are told by the environment what there is")]
fn storms_of_larger_sets_are_what_the_raw_events_say() {
    let Some(sets) = std::env::var_os("PANICSIFT_TEST_SETS").map(PathBuf::from) else {
        eprintln!("SKIPPED: PANICSIFT_TEST_SETS names no folder with sets");
        return;
    };
    for entry in std::fs::read_dir(sets).unwrap() {
        let path = entry.unwrap().path().join("events.jsonl.gz");
        let Ok(file) = std::fs::File::open(&path) else { continue };
        let lines: Vec<String> =
            BufReader::new(flate2::read::GzDecoder::new(file)).lines().map(Result::unwrap).collect();
        let n_storms = recomputed(&lines, &run(&lines, 5_000, None));
        eprintln!("{}: {n_storms} storms", path.display());
    }
}

#[test]
fn a_storm_is_told_once_an_end_at_most_and_under_its_own_kind() {
    let mut lives: BTreeMap<&str, Vec<&Alert>> = BTreeMap::new();
    for alert in DEMO.alerts.iter().filter(|alert| alert.category == Category::Storm) {
        lives.entry(&alert.cluster).or_default().push(alert);
    }
    assert!(!lives.is_empty());
    for (name, alerts) in lives {
        assert!(name.starts_with("storm-"), "{name}");
        let of = |change| alerts.iter().filter(|alert| alert.change == change).count();
        assert!(of(Change::Closed) <= of(Change::Opened), "{name}");
        for alert in alerts {
            assert!(alert.portrait.title.contains("storm on "), "{}", alert.portrait.title);
            let has = |finding: &str| alert.findings.iter().any(|one| one.name == finding);
            assert!(
                ["events", "expected", "probability", "cause_release", "next_action"].map(has).iter().all(|is| *is)
            );
        }
    }
}

#[test]
fn batches_of_any_size_tell_the_same_storms() {
    let storms = |ran: &Ran| -> Vec<Alert> {
        ran.alerts.iter().filter(|alert| alert.category == Category::Storm).cloned().collect()
    };
    assert_eq!(storms(&run(&demo_lines(usize::MAX), 37, None)), storms(&DEMO));
}

/// A store of the demo's first hours, in which storms are open.
fn store(dir: &Path, lines: &[String]) -> PathBuf {
    let path = dir.join("panicsift.db");
    let mut store = Store::open(&path).unwrap();
    run(lines, 500, Some(&mut store));
    path
}

fn triage(store: &Path, more: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_panicsift"));
    let output = command.arg("triage").arg("--store").arg(store).args(more).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The lines up to the first alert of a storm and a little more.
fn until_a_storm() -> Vec<String> {
    let opened = DEMO.alerts.iter().find(|alert| alert.category == Category::Storm).unwrap();
    let at = Millis::parse(&opened.at).unwrap().plus(Millis::MINUTE);
    demo_lines(usize::MAX).into_iter().take_while(|line| Raw::of(line).at < at).collect()
}

#[test]
fn an_open_storm_is_on_the_screen_with_its_cause_and_the_next_step() {
    let dir = tempfile::tempdir().unwrap();
    let path = store(dir.path(), &until_a_storm());
    let screen = triage(&path, &[]);
    for words in ["Open: 1 storm,", "storm on ", "radius", "causes", "because", "next", "panicsift report"] {
        assert!(screen.contains(words), "{words}\n{screen}");
    }
    assert!(screen.lines().count() <= 24 && screen.lines().all(|line| line.chars().count() <= 80), "{screen}");
    let told: Value = serde_json::from_str(&triage(&path, &["--format", "json"])).unwrap();
    let keys: Vec<&str> = told.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["at", "hostile_clusters", "last_hour", "open", "recent", "schema", "since"]);
    assert_eq!(told["schema"], "triage.v1");
    let storm = &told["open"][0];
    assert_eq!(storm["category"], "storm");
    for key in ["cause", "causes", "contained", "customers", "events", "expected", "next_action", "probability"] {
        assert!(storm["storm"].get(key).is_some(), "{key}");
    }
    assert_eq!(triage(&path, &[]), screen, "the same store gives the same screen");
}

#[test]
fn a_calm_store_says_that_nothing_is_going_on_and_an_empty_one_that_nothing_can_be_said() {
    let dir = tempfile::tempdir().unwrap();
    let path = store(dir.path(), &demo_lines(60));
    let screen = triage(&path, &[]);
    assert!(screen.contains("Nothing is going on: no storm,") && screen.contains("60 panics on "), "{screen}");
    let empty = dir.path().join("empty.db");
    drop(Store::open(&empty).unwrap());
    assert!(triage(&empty, &[]).contains("nothing can be said"));
    let told: Value = serde_json::from_str(&triage(&empty, &["--format", "json"])).unwrap();
    assert_eq!((&told["at"], &told["last_hour"]), (&Value::Null, &Value::Null));
}

#[test]
fn a_look_that_finds_no_store_goes_on_looking() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("panicsift.db");
    let mut command = Command::new(env!("CARGO_BIN_EXE_panicsift"));
    command.args(["triage", "--watch", "1", "--format", "json", "--store"]).arg(&path);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap();
    assert!(next()["error"].as_str().unwrap().contains("there is no store"));
    store(dir.path(), &demo_lines(60));
    while next().get("error").is_some() {}
    assert_eq!(next()["open"], serde_json::json!([]));
    // Replaced by something that is none.
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, b"no store").unwrap();
    while next().get("error").is_none() {}
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn what_a_sender_chose_is_inert_on_the_screen() {
    let escapes = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{202e}\r\n=cmd|'/c calc'!A1";
    let mut lines = demo_lines(400);
    let last = Raw::of(lines.last().unwrap()).at;
    for n in 0..200_i64 {
        let mut event: Value = serde_json::from_str(lines.last().unwrap()).unwrap();
        event["event_id"] = format!("storm-{n}").into();
        event["ts"] = last.plus(30 * Millis::MINUTE + n * Millis::SECOND).to_string().into();
        event["endpoint"] = format!("GET /{escapes}").into();
        event["release"] = format!("9{escapes}").into();
        event["request"]["idempotency_key"] = Value::Null;
        event["request"]["attempt"] = 1.into();
        lines.push(event.to_string());
    }
    let dir = tempfile::tempdir().unwrap();
    let path = store(dir.path(), &lines);
    for more in [&[][..], &["--format", "json"]] {
        let told = triage(&path, more);
        assert!(told.contains("storm on ") && told.contains("owned"), "{told}");
        assert!(!told.contains(|c: char| c != '\n' && (c.is_control() || c == '\u{202e}')), "{told:?}");
    }
}

#[test]
fn every_next_action_is_a_command_that_exists() {
    for cause in Cause::NAMED.into_iter().chain([Cause::Unknown]) {
        let mut met = 0;
        for part in cause.action().split("panicsift ").skip(1) {
            let typed = part.split([',', ')', ';']).next().unwrap();
            let words = std::iter::once("panicsift").chain(typed.split_whitespace());
            assert!(Cli::try_parse_from(words).is_ok(), "`panicsift {typed}` is refused");
            met += 1;
        }
        assert!(met > 0, "{} has no command", cause.name());
    }
}

#[test]
fn what_is_typed_wrongly_is_refused() {
    for typed in [&["--watch", "0"][..], &["--since", "yesterday"], &["--format", "csv"]] {
        let words = ["panicsift", "triage"].iter().chain(typed);
        assert!(Cli::try_parse_from(words).is_err(), "{typed:?}");
    }
}

#[test]
fn a_situation_is_no_cluster_and_the_report_says_where_it_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = store(dir.path(), &demo_lines(60));
    let mut command = Command::new(env!("CARGO_BIN_EXE_panicsift"));
    command.args(["report", "show", "storm-0123", "--store"]).arg(&path);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut told = String::new();
    child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(told.contains("panicsift triage"), "{told}");
}
