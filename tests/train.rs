//! `panicsift train` on a cut of the demo's labelled events: what it writes, that it writes it again, what it refuses.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output};

use flate2::read::GzDecoder;
use panicsift::pipeline::judge::HostilityModel;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::replay::{demo, demo_lines};

/// Events of each campaign in a small set.
const N_EACH: usize = 40;
const HOSTILE: [&str; 3] = ["naughty-strings", "form-scanner", "botnet-mutator"];
const HONEST: [&str; 3] = ["bg-shoppers", "stale-links", "scroll-widget"];
const QUIET: [&str; 3] = ["newsletter-coupon", "mobile-520-nulls", "partner-b2b"];

/// Events and labels of some campaigns of the demo.
fn cut(campaigns: &[&str]) -> (Vec<String>, Vec<String>) {
    let labels = BufReader::new(GzDecoder::new(File::open(demo("labels.jsonl.gz")).unwrap()));
    let mut n_of = std::collections::BTreeMap::new();
    let lines = demo_lines(usize::MAX).into_iter().zip(labels.lines().map(Result::unwrap)).filter(|(_, label)| {
        let campaign = serde_json::from_str::<Value>(label).unwrap()["campaign"].as_str().unwrap().to_owned();
        let n: &mut usize = n_of.entry(campaign.clone()).or_default();
        *n += 1;
        campaigns.contains(&campaign.as_str()) && *n <= N_EACH
    });
    lines.unzip()
}

fn write(folder: &Path, events: &[String], labels: &[String]) {
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("events.jsonl"), events.join("\n") + "\n").unwrap();
    std::fs::write(folder.join("labels.jsonl"), labels.join("\n") + "\n").unwrap();
}

/// A folder with the sets `mixed`, `honest`, `hostile` and `quiet`.
fn sets() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mixed = [HOSTILE, HONEST].concat();
    for (name, campaigns) in [("mixed", &mixed[..]), ("honest", &HONEST), ("hostile", &HOSTILE), ("quiet", &QUIET)] {
        let (events, labels) = cut(campaigns);
        assert_eq!(events.len(), campaigns.len() * N_EACH);
        write(&dir.path().join(name), &events, &labels);
    }
    dir
}

fn train(dir: &Path, words: &[&str]) -> Output {
    let asn = demo("asn.mmdb");
    let mut command = Command::new(env!("CARGO_BIN_EXE_panicsift"));
    command.args(["train", "--asn", asn.to_str().unwrap()]).args(words).current_dir(dir);
    command.output().unwrap()
}

/// Trains on what cannot be trained on: it fails, says all of `told`, and leaves the model file as it was.
fn check_refused(dir: &Path, words: &[&str], told: &[&str]) {
    std::fs::write(dir.join("model.toml"), "the model that runs").unwrap();
    let output = train(dir, &[words, &["--out", "model.toml"]].concat());
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{words:?} was taken");
    for word in told {
        assert!(err.contains(word), "{words:?}: `{word}` is not in {err}");
    }
    assert_eq!(std::fs::read_to_string(dir.join("model.toml")).unwrap(), "the model that runs");
}

#[test]
fn the_same_sets_give_the_same_model_byte_for_byte_and_it_can_be_used() {
    let dir = sets();
    let words = ["mixed", "--reference", "quiet", "--model-version", "test.1", "--out"];
    let trained: Vec<(String, String)> = ["one.toml", "two.toml"]
        .map(|name| {
            let output = train(dir.path(), &[&words[..], &[name]].concat());
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let out = String::from_utf8(output.stdout).unwrap();
            (std::fs::read_to_string(dir.path().join(name)).unwrap(), out)
        })
        .into();
    assert_eq!(trained[0], trained[1]);
    let (text, told) = &trained[0];
    let model = HostilityModel::parse(text).unwrap();
    assert_eq!(model.version, "test.1");
    let thresholds = [1.0, 3.0, 10.0].map(|budget| model.for_budget(budget).unwrap().suspect_at);
    assert!(thresholds.is_sorted_by(|less, more| less >= more), "{thresholds:?}");
    assert_eq!(text.matches("[[operating_point]]").count(), 3, "{text}");
    assert!(text.contains("[calibration]\nbase_rate = 0.05\nslope = "), "{text}");
    assert!(text.contains("train mixed --reference quiet --model-version test.1 --out FILE\n"), "{text}");
    for budget in ["1 a day", "3 a day", "10 a day"] {
        assert!(told.contains(&format!("on what it was trained on, {budget}")), "{told}");
    }
    assert!(told.contains("  quiet: 0 false events"), "the budget of a short day is no alert: {told}");
    // A model is a start for the next one.
    let again = train(dir.path(), &["mixed", "--reference", "quiet", "--model", "one.toml"]);
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
}

/// Each event as if it had been answered with this and no panic.
fn answered(events: &[String], status: u16) -> Vec<String> {
    let sample = |event: &String| {
        let mut sample: Value = serde_json::from_str(event).unwrap();
        for key in ["event_id", "panic"] {
            sample.as_object_mut().unwrap().remove(key);
        }
        sample["sample_id"] = json!(format!("s-{}", sample["request"]["id"]));
        sample["status"] = status.into();
        sample["sample_rate"] = 20.into();
        sample.to_string()
    };
    events.iter().map(sample).collect()
}

#[test]
fn samples_in_a_set_are_learned_from_unless_they_are_left_out() {
    let dir = sets();
    let made = |name: &str, words: &[&str]| {
        let output = train(dir.path(), &[&["mixed", "--reference", "quiet", "--out", name], words].concat());
        let err = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{err}");
        let text = std::fs::read_to_string(dir.path().join(name)).unwrap();
        let weights: Vec<String> = text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
        (text, weights, err)
    };
    let (bare, bare_weights, _) = made("bare.toml", &[]);
    let samples = [answered(&cut(&HONEST).0, 200), answered(&cut(&HOSTILE).0, 404), vec!["{".to_owned()]].concat();
    std::fs::write(dir.path().join("mixed/samples.jsonl"), samples.join("\n")).unwrap();
    let (_, with, told) = made("with.toml", &[]);
    assert!(told.contains("samples=240") || told.contains("\"samples\":240"), "{told}");
    assert!(told.contains("samples are refused"), "{told}");
    assert_ne!(with, bare_weights);
    let (text, without, _) = made("without.toml", &["--without-samples"]);
    assert_eq!(without, bare_weights);
    assert!(text.contains("--without-samples") && !bare.contains("--without-samples"), "{text}");
    // Who is turned away is evidence, who is served has a defence, and each may speak for nothing else.
    let model = with.join("\n");
    for name in ["served", "rejected"] {
        assert!(model.contains(&format!("name = \"{name}\"")), "{model}");
    }
}

#[test]
fn validation_tells_all_protocols() {
    let dir = sets();
    let (events, labels) = cut(&["json-torture", "crawler"]);
    write(&dir.path().join("other"), &events, &labels);
    let words = ["mixed", "other", "--reference", "quiet", "--validate", "--figures", "figures.jsonl"];
    let output = train(dir.path(), &words);
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let wanted = [
        "model 2026-",
        "trained on other, tested on mixed:",
        "trained on mixed, tested on other:",
        "campaigns left out by turns, 5 turns:",
        "  1 a day, quiet: ",
        "within 120 s",
        "alerts each",
        "Brier",
        "ECE",
        "whole kinds left out by turns, ",
        "trained on mixed, tested on other, hostile campaigns thinned to 5 to 60 events, 3 seeds: F1 ",
        "campaigns left out, hostile campaigns from other addresses, 3 seeds: F1 ",
        "campaigns left out, hostile campaigns without tokens, 3 seeds: F1 ",
        "probabilities by event, of the points: Brier",
        "probabilities by event, calibrated: Brier",
        "probabilities by alert, calibrated: Brier",
        "if 0.05 of all events were hostile: Brier",
        "recall: ",
        "false alerts a day",
    ];
    for wanted in wanted {
        assert!(told.contains(wanted), "`{wanted}` is not in {told}");
    }
    let figures = std::fs::read_to_string(dir.path().join("figures.jsonl")).unwrap();
    let figures: Vec<Value> = figures.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of =
        |protocol: &str| figures.iter().filter(|of| of["protocol"].as_str().unwrap().starts_with(protocol)).count();
    assert_eq!(of("shipped"), 3, "{figures:?}");
    assert_eq!(of("trained on mixed, tested on other"), 3 + 3 * 3, "three budgets, three alterations with three seeds");
    assert_eq!(of("kinds left out"), 3 * 3);
    assert!(figures.iter().all(|of| of["f1"].is_number() && of["tested"].is_string()));
}

#[test]
fn one_protocol_can_be_chosen_and_one_that_is_not_known_is_refused() {
    let dir = sets();
    let told = |protocols: &str| {
        let output = train(dir.path(), &["mixed", "--reference", "quiet", protocols]);
        (
            output.status.success(),
            String::from_utf8(if output.status.success() { output.stdout } else { output.stderr }).unwrap(),
        )
    };
    let (done, out) = told("--validate=shipped");
    assert!(done && out.contains("model 2026-") && !out.contains("left out by turns"), "{out}");
    let (done, err) = told("--validate=miracles");
    assert!(!done && err.contains("miracles") && err.contains("campaigns"), "{err}");
}

#[test]
fn sets_that_teach_nothing_are_refused() {
    let dir = sets();
    let dir = dir.path();
    check_refused(dir, &["honest", "--reference", "quiet"], &["honest: hostile and honest events are needed, both"]);
    check_refused(dir, &["hostile", "--reference", "quiet"], &["hostile: hostile and honest events are needed, both"]);
    check_refused(dir, &["mixed", "--reference", "mixed"], &["mixed: the reference has hostile events"]);
    check_refused(dir, &["mixed", "--reference", "nowhere"], &["nowhere", "there is no labels.jsonl"]);
}

#[test]
fn labels_and_events_that_do_not_belong_together_are_refused() {
    let dir = sets();
    let dir = dir.path();
    let (events, labels) = cut(&[HOSTILE, HONEST].concat());
    let id = |line: &String| serde_json::from_str::<Value>(line).unwrap()["event_id"].as_str().unwrap().to_owned();
    let last = id(events.last().unwrap());
    let (fewer_events, fewer_labels) = (&events[..events.len() - 1], &labels[..labels.len() - 1]);
    let twice = |lines: &[String]| [lines, &lines[..1]].concat();
    let cases = [
        ("lost", fewer_events, &labels[..], "1 labels have no event that can be read, such as"),
        ("bare", &events[..], fewer_labels, "has no label"),
    ];
    for (name, events, labels, told) in cases {
        write(&dir.join(name), events, labels);
        check_refused(dir, &[name, "--reference", "quiet"], &[name, &last, told]);
    }
    write(&dir.join("event-twice"), &twice(&events), &labels);
    check_refused(dir, &["event-twice", "--reference", "quiet"], &["event-twice", &id(&events[0]), "stands twice"]);
    write(&dir.join("label-twice"), &events, &twice(&labels));
    check_refused(dir, &["label-twice", "--reference", "quiet"], &["label-twice", &id(&labels[0]), "stands twice"]);
    write(&dir.join("unread"), &events, &[&labels[..3], &["{\"event_id\":7}".to_owned()]].concat());
    check_refused(dir, &["unread", "--reference", "quiet"], &["labels.jsonl: line 4"]);
    write(&dir.join("empty"), &[], &labels);
    check_refused(dir, &["empty", "--reference", "quiet"], &["empty"]);
}

#[test]
fn a_model_to_start_from_that_is_broken_is_refused_with_its_faults() {
    let dir = sets();
    let builtin = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("models/hostility.toml")).unwrap();
    let first_bias = builtin.lines().find(|line| line.starts_with("bias = ")).unwrap();
    let cases = [
        (builtin.replace(first_bias, "bias = nan"), "bias: a number between"),
        (builtin.replace(first_bias, "bias = 0.1\nhorizon = 3"), "horizon"),
        (
            builtin.replace("[[evidence]]\nname = \"age\"", "[[evidence]]\nname = \"aura\""),
            "evidence aura: no such fact",
        ),
        (builtin.lines().filter(|line| !line.starts_with("lexical = ")).collect::<Vec<_>>().join("\n"), "no cap"),
    ];
    for (text, told) in cases {
        std::fs::write(dir.path().join("start.toml"), text).unwrap();
        let words = ["mixed", "--reference", "quiet", "--model", "start.toml"];
        check_refused(dir.path(), &words, &["the hostility model cannot be used", told]);
    }
}
