//! Samples of ordinary requests through the built program: merged by time, exact, and gone with their values.
//!
//! The events are a cut of the demo's; the samples are made here: the same requests without their panics.

use std::io::Write;
use std::path::Path;

use panicsift::pipeline::event::{Batch, Millis, Position};
use panicsift::pipeline::observation::Heard;
use panicsift::pipeline::sift::Sift;
use panicsift::pipeline::state::State;
use panicsift::pipeline::{Context, Step, fold};
use serde_json::{Value, json};

use crate::support::context;
use crate::support::replay::{Replayed, demo_lines, json_lines, replay};
use crate::support::service::panicsift;

/// Events of the cut: two campaigns are told within them.
const N_EVENTS: usize = 1_500;

/// The request of an event as if it had been served, so many milliseconds later.
fn sample_of(event: &str, number: usize, later_millis: i64) -> String {
    let mut sample: Value = serde_json::from_str(event).unwrap();
    let at = Millis::parse(sample["ts"].as_str().unwrap()).unwrap().plus(later_millis);
    let keys = sample.as_object_mut().unwrap();
    for key in ["event_id", "panic", "handled", "isolate", "retry"] {
        keys.remove(key);
    }
    keys.insert("sample_id".to_owned(), json!(format!("s-{number}")));
    keys.insert("ts".to_owned(), json!(at.to_string()));
    keys.insert("status".to_owned(), json!(200));
    keys.insert("sample_rate".to_owned(), json!(0.05));
    sample.to_string()
}

/// One sample of each third event.
fn samples_of(events: &[String], later_millis: i64) -> Vec<String> {
    events.iter().step_by(3).enumerate().map(|(number, event)| sample_of(event, number, later_millis)).collect()
}

/// Replays `events` with these samples, if there are any.
fn replayed(events: &[String], samples: &[String]) -> Replayed {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("events.jsonl"), events.join("\n")).unwrap();
    std::fs::write(dir.path().join("samples.jsonl"), samples.join("\n")).unwrap();
    let words: &[&str] =
        if samples.is_empty() { &["events.jsonl"] } else { &["events.jsonl", "--samples", "samples.jsonl"] };
    let replayed = replay(dir.path(), words, b"");
    assert_eq!(replayed.code, Some(0), "{}", replayed.err);
    replayed
}

/// What a replay decided.
fn decided(replayed: &Replayed) -> (&str, &str) {
    (&replayed.assignments, &replayed.alerts)
}

/// Whether ordinary traffic was there, of each alert for the SOC.
fn ordinary_traffic(replayed: &Replayed) -> Vec<bool> {
    // An alert that ends because its cluster became part of another is about nothing any more.
    let told = |alert: &Value| alert["category"] == "hostile_input" && alert["change"] != "closed";
    let alerts = json_lines(&replayed.alerts).into_iter().filter(told);
    alerts.map(|alert| alert["ordinary_traffic"].as_bool().unwrap()).collect()
}

#[test]
fn the_same_samples_give_the_same_bytes_packed_or_plain_in_any_order_of_lines() {
    let events = demo_lines(N_EVENTS);
    let samples = samples_of(&events, 500);
    let first = replayed(&events, &samples);
    assert_eq!(decided(&first), decided(&replayed(&events, &samples)));
    let turned: Vec<String> = samples.iter().rev().cloned().collect();
    assert_eq!(decided(&first), decided(&replayed(&events, &turned)));

    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("events.jsonl"), events.join("\n")).unwrap();
    for (name, part) in [("a.gz", &samples[..200]), ("b.gz", &samples[200..])] {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(part.join("\n").as_bytes()).unwrap();
        std::fs::write(dir.path().join(name), packed.finish().unwrap()).unwrap();
    }
    let packed = replay(dir.path(), &["events.jsonl", "--samples", "a.gz", "b.gz"], b"");
    assert_eq!(decided(&first), decided(&packed), "{}", packed.err);
    assert_eq!((first.count("request_samples"), first.count("refused")), (500, 0));
    assert_eq!(first.count("observed"), 1_500);
}

#[test]
fn each_alert_says_whether_ordinary_traffic_was_there() {
    let events = demo_lines(N_EVENTS);
    let without = ordinary_traffic(&replayed(&events, &[]));
    assert!(without.len() >= 2 && without.iter().all(|there| !there), "{without:?}");
    // Requests of a service that nobody panics in say nothing of those that do.
    let of = |service: &str| {
        let mut sample: Value = serde_json::from_str(&sample_of(&events[0], 0, -1_000)).unwrap();
        sample["service"] = json!(service);
        ordinary_traffic(&replayed(&events, &[sample.to_string()]))
    };
    assert_eq!(of("another"), without);
    let with = of("storefront-api");
    assert!(with.len() == without.len() && with.iter().all(|there| *there), "{with:?}");
}

#[test]
fn samples_that_are_later_than_all_events_change_nothing() {
    let events = demo_lines(N_EVENTS);
    let later = samples_of(&events, 3 * Millis::DAY);
    let (with, without) = (replayed(&events, &later), replayed(&events, &[]));
    assert_eq!(decided(&with), decided(&without));
    assert_eq!((with.count("request_samples"), with.out), (500, without.out));
}

#[test]
fn a_bad_sample_is_refused_and_told_and_the_others_are_heard() {
    let events = demo_lines(60);
    let good = sample_of(&events[0], 0, 0);
    let bad = [
        good.replace("0.05", "0"),
        good.replace("0.05", "\"often\""),
        good.replace("\"sample_id\":", "\"panic\":{\"message\":\"boom\"},\"sample_id\":"),
        "{".to_owned(),
        events[1].clone(),
    ];
    let told = replayed(&events, &[&[good], &bad[..]].concat());
    assert_eq!((told.count("request_samples"), told.count("refused"), told.count("observed")), (1, 5, 60));
    let refusals = told.told("a record is refused");
    assert!(
        refusals.iter().all(|line| line["position"].as_str().unwrap().starts_with("samples.jsonl")),
        "{refusals:?}"
    );
    assert!(!told.err.contains("boom") && !told.err.contains("often"), "{}", told.err);
}

#[test]
fn no_value_of_a_sample_is_left_anywhere() {
    const MARK: &str = "zq7-ordinary-secret";
    let events = demo_lines(300);
    let body = json!({ "note": MARK, "card": [MARK] }).to_string();
    let mark = |sample: String| {
        let mut sample: Value = serde_json::from_str(&sample).unwrap();
        sample["query"] = json!([["q", MARK]]);
        sample["request"] = json!({"content_type": "application/json", "payload": body, "idempotency_key": MARK});
        sample["token"] = json!({"id_hash": MARK, "valid": true});
        sample["path"] = json!(format!("/v1/{MARK}"));
        sample["client"]["user_agent"] = json!(format!("{MARK}/1.0"));
        sample.to_string()
    };
    let samples: Vec<String> = samples_of(&events, 0).into_iter().map(mark).collect();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("events.jsonl"), events.join("\n")).unwrap();
    std::fs::write(dir.path().join("samples"), samples.join("\n")).unwrap();
    let told = replay(dir.path(), &["events.jsonl", "--samples", "samples", "--store", "s.db"], b"");
    assert_eq!(told.count("request_samples"), 100, "{}", told.err);
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let is_input = path.ends_with("samples");
        assert_eq!(bytes.windows(MARK.len()).any(|window| window == MARK.as_bytes()), is_input, "{}", path.display());
    }
    assert!(!told.err.contains(MARK) && !told.out.contains(MARK));
}

#[test]
fn a_report_says_by_what_was_judged() {
    let events = demo_lines(300);
    let explained = |samples: &[String]| {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("events.jsonl"), events.join("\n")).unwrap();
        std::fs::write(dir.path().join("samples"), samples.join("\n")).unwrap();
        let words = ["events.jsonl", "--samples", "samples", "--store", "s.db"];
        assert_eq!(replay(dir.path(), &words, b"").code, Some(0));
        let store = dir.path().join("s.db");
        let ask = |words: &[&str]| panicsift(&[&["report"], words, &["--store", path(&store)]].concat());
        let listed: Value = serde_json::from_str(&ask(&["list", "--format", "json"])).unwrap();
        ask(&["explain", listed[0]["cluster"].as_str().unwrap()])
    };
    assert!(explained(&[]).contains("no samples of ordinary requests"));
    assert!(explained(&samples_of(&events, 0)).contains("samples of ordinary requests to its services were there"));
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// What comes of batches of records, some of them samples.
fn through(context: &Context, batches: &[Vec<String>]) -> (State, Vec<Step>) {
    let (mut state, mut sift, mut steps) = (State::new(&context.clustering), Sift::default(), Vec::new());
    for records in batches {
        let mut batch = Batch::default();
        for (record, offset) in records.iter().zip(0..) {
            batch.push(Position { topic: "t", partition: 0, offset }, None, record.as_bytes());
        }
        let mut heard = Heard::default();
        for record in batch.iter() {
            sift.take(context, record, &mut heard);
        }
        steps.push(fold(context, &mut state, heard, None));
    }
    (state, steps)
}

#[test]
fn samples_move_no_epoch_and_their_order_in_a_batch_is_nothing() {
    let context = context();
    let events = demo_lines(200);
    let samples = samples_of(&events, 20 * Millis::DAY);
    let (alone, _) = through(&context, std::slice::from_ref(&events));
    let (with, steps) = through(&context, &[events.clone(), samples.clone()]);
    assert_eq!((with.now(), steps[1].epochs), (alone.now(), 0));

    let mixed = |samples: Vec<String>| {
        let (_, steps) = through(&context, &[[events.clone(), samples].concat()]);
        let mut rows = steps.into_iter().flat_map(|step| step.rows).collect::<Vec<_>>();
        rows.sort_by(|a, b| (a.kind, &a.key).cmp(&(b.kind, &b.key)));
        rows
    };
    let samples = samples_of(&events, 500);
    assert_eq!(mixed(samples.clone()), mixed(samples.into_iter().rev().collect()));
    let (known, _) = through(&context, &[samples_of(&events, 0)]);
    assert_eq!((known.now(), known.size().cells), (None, 0));
}
