//! The cluster report as a user meets it, over a store of real events and one hostile one, and after a replay.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

use panicsift::edge::store::{Fate, Outbox, Settlement, Store};
use panicsift::pipeline::event::{Batch, Checkpoint, Position};
use panicsift::pipeline::state::State;
use panicsift::pipeline::{Memos, examine, fold};
use panicsift::report::{self, Format, Question, Selection};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::context;

/// Events of the store: the first alert is opened among the first 1,500, and a cluster with an alert has become part of
/// another one by then.
const N_EVENTS: usize = 2_000;

/// What tries to be a command of a terminal or a spreadsheet.
const ESCAPES: &str = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{202e}\r\n";
const FORMULA: &str = "=cmd|'/c calc'!A1";

/// A store with its clusters, and what the state that it was written from tells of itself.
struct Written {
    bytes: Vec<u8>,
    exported: String,
}

static WRITTEN: LazyLock<Written> = LazyLock::new(write_store);

fn demo(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/demo").join(name)
}

fn lines(n_max: usize) -> Vec<String> {
    let file = std::fs::File::open(demo("events.jsonl.gz")).unwrap();
    BufReader::new(flate2::read::GzDecoder::new(file)).lines().take(n_max).map(Result::unwrap).collect()
}

/// A real event, of a sender who chose every text that he can.
fn hostile(line: &str) -> String {
    let mut event: Value = serde_json::from_str(line).unwrap();
    event["event_id"] = format!("{FORMULA}{ESCAPES}").into();
    event["endpoint"] = format!("{FORMULA}{ESCAPES}").into();
    event["service"] = format!("{FORMULA}{ESCAPES}").into();
    event["release"] = format!("@SUM(1){ESCAPES}").into();
    event["client"]["user_agent"] = format!("{FORMULA}{ESCAPES}").into();
    event["token"]["scope"] = format!("+{FORMULA}{ESCAPES}").into();
    event["panic"]["file"] = format!("{FORMULA}{ESCAPES}").into();
    event["panic"]["message"] = format!("{FORMULA}{ESCAPES}").into();
    event.to_string()
}

fn write_store() -> Written {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("panicsift.db");
    let mut store = Store::open(&path).unwrap();
    let context = context();
    let (mut state, mut memos) = (State::new(&context.clustering), Memos::default());
    let mut events = lines(N_EVENTS);
    events.push(hostile(events.last().unwrap()));
    for (part, events) in events.chunks(500).enumerate() {
        let mut batch = Batch::default();
        for (at, event) in events.iter().enumerate() {
            let offset = i64::try_from(part * 500 + at).unwrap();
            batch.push(Position { topic: "panics", partition: 3, offset }, None, event.as_bytes());
        }
        let seen: Vec<_> =
            batch.iter().map(|record| examine(&context, &mut memos, record).into_observation().unwrap()).collect();
        let step = fold(&context, &mut state, seen, None);
        store.commit(&step.rows, &step.alerts, &Checkpoint::default()).unwrap();
    }
    let step = state.close_last(&context);
    store.commit(&step.rows, &step.alerts, &Checkpoint::default()).unwrap();
    let mut outbox = Outbox::open(&path, "splunk").unwrap();
    for pending in outbox.pending(100, 1 << 20).unwrap() {
        let detail = format!("{FORMULA}{ESCAPES}");
        outbox.settle(&[Settlement { seq: pending.seq, fate: Fate::Refused, detail, attempts: 7 }]).unwrap();
    }
    drop((outbox, store));
    let mut exported = Vec::new();
    report::tell(&state, None, &Question::Export(Selection::default()), Format::Json, &mut exported).unwrap();
    Written { bytes: std::fs::read(path).unwrap(), exported: String::from_utf8(exported).unwrap() }
}

/// A copy of the store in a folder of its own.
struct Shelf {
    dir: TempDir,
}

impl Shelf {
    fn with(bytes: &[u8]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("panicsift.db"), bytes).unwrap();
        Self { dir }
    }

    fn new() -> Self {
        Self::with(&WRITTEN.bytes)
    }

    /// Asks; gives standard output. Nothing in it may steer a terminal.
    fn ask(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "{arguments:?}\n{out}\n{err}");
        assert!(err.is_empty(), "{err}");
        assert_inert(&out);
        out
    }

    /// Asks what must be refused; gives standard error.
    fn refused(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", text(&output.stderr));
        assert!(output.stdout.is_empty(), "{}", text(&output.stdout));
        text(&output.stderr)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = panicsift();
        command.arg("report").args(arguments).arg("--store").arg(self.dir.path().join("panicsift.db"));
        command.output().unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.ask(&[arguments, &["--format", "json"]].concat())).unwrap()
    }

    fn hostile_cluster(&self) -> String {
        let list = self.json(&["list", "--verdict", "hostile"]);
        list[0]["cluster"].as_str().expect("no cluster is hostile").to_owned()
    }
}

fn panicsift() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_panicsift"));
    command.stdin(Stdio::null());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn assert_inert(out: &str) {
    let active = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    assert!(!out.contains(active), "{out:?}");
}

/// The fields of a CSV, without its head.
fn records(csv: &str) -> Vec<Vec<String>> {
    let read = csv::Reader::from_reader(csv.as_bytes()).into_records();
    read.map(|record| record.unwrap().iter().map(str::to_owned).collect()).collect()
}

#[test]
fn a_replay_ends_with_its_clusters_as_a_table_or_as_json() {
    let dir = tempfile::tempdir().unwrap();
    let events = dir.path().join("events.jsonl");
    std::fs::write(&events, lines(300).join("\n")).unwrap();
    let replay = |more: &[&str]| {
        let output =
            panicsift().arg("replay").arg(&events).arg("--asn").arg(demo("asn.mmdb")).args(more).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let table = replay(&[]);
    assert!(table.starts_with("cluster "), "{table}");
    assert!(table.lines().all(|line| line.chars().count() <= 120), "{table}");
    let all: Value = serde_json::from_str(&replay(&["--json"])).unwrap();
    let n_all = all.as_array().unwrap().len();
    let last = table.lines().last().unwrap();
    assert_eq!(last, format!("{} of {n_all} clusters; --json tells all of them", n_all.min(20)));
    let events: u64 = all.as_array().unwrap().iter().map(|cluster| cluster["events"].as_u64().unwrap()).sum();
    assert_eq!(events, 300);
}

#[test]
fn the_list_is_the_same_as_table_json_and_csv() {
    let shelf = Shelf::new();
    let json = shelf.json(&["list"]);
    let ids: Vec<_> = json.as_array().unwrap().iter().map(|row| row["cluster"].as_str().unwrap()).collect();
    assert!(ids.len() > 20, "too few clusters to see a limit: {}", ids.len());
    let csv = shelf.ask(&["list", "--format", "csv"]);
    assert!(csv.starts_with("cluster,tenant,verdict,points,threshold,severity,events,"), "{csv}");
    assert_eq!(records(&csv).iter().map(|row| row[0].as_str()).collect::<Vec<_>>(), ids);
    let table = shelf.ask(&["list"]);
    let shown: Vec<_> =
        table.lines().filter(|line| line.starts_with("c-")).filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(shown, ids[..20]);
    assert!(table.lines().all(|line| line.chars().count() <= 120), "{table}");
    let last = table.lines().last().unwrap();
    let expected =
        format!("20 of {} clusters (--limit N for more); ask next: panicsift report explain {}", ids.len(), ids[0]);
    assert_eq!(last, expected);
}

#[test]
fn limit_and_verdict_choose() {
    let shelf = Shelf::new();
    let all = shelf.json(&["list"]);
    for verdict in ["hostile", "benign", "undecided"] {
        let expected: Vec<_> = all.as_array().unwrap().iter().filter(|row| row["verdict"] == verdict).collect();
        let chosen = shelf.json(&["list", "--verdict", verdict]);
        assert_eq!(chosen.as_array().unwrap().iter().collect::<Vec<_>>(), expected, "{verdict}");
        assert!(!expected.is_empty(), "{verdict}");
    }
    assert_eq!(shelf.json(&["list", "--limit", "3"]).as_array().unwrap()[..], all.as_array().unwrap()[..3]);
    assert_eq!(shelf.ask(&["export", "--limit", "2", "--format", "json"]).lines().count(), 2);
}

#[test]
fn what_a_store_tells_is_what_the_state_told_that_wrote_it() {
    let shelf = Shelf::new();
    let objects = |exported: &str| -> Vec<Value> {
        let read = exported.lines().map(|line| serde_json::from_str(line).unwrap());
        read.map(|mut object: Value| {
            object["alerts"].take();
            object
        })
        .collect()
    };
    let (kept, told) = (objects(&shelf.ask(&["export", "--format", "json"])), objects(&WRITTEN.exported));
    assert!(!kept.is_empty());
    assert_eq!(kept, told);
}

#[test]
fn an_explanation_adds_up_to_the_last_digit() {
    let shelf = Shelf::new();
    let cluster = shelf.hostile_cluster();
    let table = shelf.ask(&["explain", &cluster]);
    let last = table.lines().find(|line| line.starts_with("sum ")).unwrap();
    let (sum, points) = last.strip_prefix("sum ").and_then(|rest| rest.split_once(" = points ")).expect(last);
    assert_eq!(sum, points);
    let lines = records(&shelf.ask(&["explain", &cluster, "--format", "csv"]));
    let (total, lines) = lines.split_last().unwrap();
    let hundredths = |text: &str| -> i64 {
        let points: f64 = text.parse().unwrap();
        format!("{points:.2}").replace('.', "").parse().unwrap()
    };
    assert!(lines.len() > 5, "{lines:?}");
    let mut running = 0;
    for line in lines {
        running += hundredths(&line[2]);
        assert_eq!(running, hundredths(&line[3]), "{line:?}");
        assert!(table.contains(&line[1]), "{} is missing in\n{table}", line[1]);
    }
    assert_eq!((running, running), (hundredths(&total[2]), hundredths(points)));
    assert_eq!(total[4], last);
    let json = shelf.json(&["explain", &cluster]);
    assert_eq!((&json["sum"], &json["rounded"]), (&json["points"], &Value::Bool(false)));
    assert_eq!(json["lines"].as_array().unwrap().len(), lines.len());
    assert!(lines.iter().all(|line| matches!(&*line[0], "evidence" | "defence")), "{lines:?}");
}

#[test]
fn an_explanation_proves_where_each_alert_came_from_and_where_it_got_to() {
    let shelf = Shelf::new();
    let cluster = shelf.hostile_cluster();
    let table = shelf.ask(&["explain", &cluster]);
    let json = shelf.json(&["explain", &cluster]);
    let alerts = json["alerts"].as_array().unwrap();
    assert!(!alerts.is_empty(), "{json}");
    let mut n_examples = 0;
    for alert in alerts {
        // The last words about a cluster that became part of another have none.
        for example in alert["examples"].as_array().unwrap() {
            assert_eq!((&example["topic"], &example["partition"]), (&"panics".into(), &3.into()), "{alert}");
            assert!(table.contains(&format!("from panics 3@{} (event ", example["offset"])), "{table}");
            n_examples += 1;
        }
        let [siem] = &alert["destinations"].as_array().unwrap()[..] else { panic!("{alert}") };
        let told = (&siem["destination"], &siem["fate"], &siem["attempts"]);
        assert_eq!(told, (&"splunk".into(), &"refused".into(), &7.into()));
        assert!(siem["words"].is_string() && siem["receipt"].is_null() && siem["at"].is_string(), "{siem}");
        assert!(
            table.contains(alert["alert_id"].as_str().unwrap()) && table.contains("to splunk: refused at "),
            "{table}"
        );
    }
    assert!(n_examples > 0, "{json}");
}

#[test]
fn an_explanation_without_evidence_says_why_there_is_none() {
    let shelf = Shelf::new();
    for (verdict, why) in [("benign", "honest fault"), ("undecided", "too few different senders")] {
        let list = shelf.json(&["list", "--verdict", verdict]);
        let unsuspected = list.as_array().unwrap().iter().find(|row| row["points"] == 0.0).unwrap();
        let out = shelf.ask(&["explain", unsuspected["cluster"].as_str().unwrap()]);
        assert!(out.contains(why), "{out}");
        assert!(out.ends_with("\nsum 0.00 = points 0.00\n"), "{out}");
    }
}

#[test]
fn a_cluster_is_shown_with_its_members_its_times_and_its_alerts() {
    let shelf = Shelf::new();
    let cluster = shelf.hostile_cluster();
    let table = shelf.ask(&["show", &cluster]);
    assert!(table.starts_with(&format!("{cluster}: hostile, ")), "{table}");
    for part in [
        "events by minute, 2026-09-14",
        "▁",
        "\nservice ",
        "\nnetwork ",
        "\ncountry ",
        "\nshape ",
        "\nsite ",
        "\nroute ",
        "\nclass ",
        "\nrelease ",
        "\nagent ",
        "\nrecovery ",
        "\naddress (sample)",
        "\nexample ",
        " at panics 3 ",
        "\nalert opened at ",
        "\n  splunk: refused at ",
        " after 7 request(s)",
    ] {
        assert!(table.contains(part), "{part:?} is missing in\n{table}");
    }
    assert!(table.lines().all(|line| line.starts_with("  splunk") || line.chars().count() <= 120), "{table}");
    let json = shelf.json(&["show", &cluster]);
    assert_eq!(json["alerts"][0]["change"], "opened");
    assert_eq!(json["alerts"][0]["deliveries"][0]["fate"], "refused");
    assert_eq!(json["alerts"][0]["deliveries"][0]["attempts"], 7);
    let organisations =
        json["networks"].as_array().unwrap().iter().filter(|network| network["organisation"].is_string());
    assert!(organisations.count() > 0, "{}", json["networks"]);
    let csv = records(&shelf.ask(&["show", &cluster, "--format", "csv"]));
    for part in ["title", "verdict", "network", "shape", "example", "minute", "hour", "alert", "delivery"] {
        assert!(csv.iter().any(|row| row[0] == part), "{part} is missing in {csv:?}");
    }
}

#[test]
fn the_beginning_of_an_id_is_enough_where_it_is_the_only_one() {
    let shelf = Shelf::new();
    let cluster = shelf.hostile_cluster();
    let beginning: String = cluster.chars().take(12).collect();
    for typed in [&beginning, beginning.trim_start_matches("c-"), &cluster.to_uppercase()] {
        assert_eq!(shelf.json(&["explain", typed])["cluster"], cluster.as_str(), "{typed}");
    }
    let fault = shelf.refused(&["show", "c-"]);
    assert!(fault.contains("clusters begin with c-: c-"), "{fault}");
    assert!(fault.contains(" more; type more of the id"), "{fault}");
}

#[test]
fn an_id_that_became_part_of_another_cluster_is_followed_and_said() {
    let shelf = Shelf::new();
    let exported = shelf.ask(&["export", "--format", "json"]);
    let all: Vec<Value> = exported.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let living: Vec<_> = all.iter().map(|object| &object["cluster"]).collect();
    let parent = |object: &&Value| object["lineage"].as_array().unwrap().iter().any(|id| !living.contains(&id));
    let heir = all.iter().find(parent).expect("no cluster became part of another one: take more events");
    let merged = heir["lineage"].as_array().unwrap().iter().find(|id| !living.contains(id)).unwrap().as_str().unwrap();
    let heir = heir["cluster"].as_str().unwrap();
    let said = format!("{merged} became part of {heir}\n");
    assert!(shelf.ask(&["show", merged]).starts_with(&said));
    assert!(shelf.ask(&["explain", merged]).starts_with(&said));
    assert_eq!(shelf.json(&["show", merged])["alias"], merged);
    assert_eq!(shelf.json(&["show", merged])["cluster"], heir);
}

#[test]
fn a_cluster_that_is_not_there_is_refused_with_those_that_are() {
    let shelf = Shelf::new();
    let fault = shelf.refused(&["explain", "c-zz\u{1b}[2J"]);
    assert!(fault.starts_with("error: no cluster is called c-zz\\u{1b}[2J: there are c-"), "{fault}");
    assert!(fault.contains("`panicsift report list` ranks them"), "{fault}");
    assert_inert(&fault);
}

#[test]
fn what_a_sender_chose_is_inert_in_every_form() {
    let shelf = Shelf::new();
    let exported = shelf.ask(&["export", "--format", "json"]);
    let all = exported.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let named = |object: &Value| object["services"].to_string().contains("=cmd");
    let cluster = all.into_iter().find(named).expect("the hostile event is in no cluster")["cluster"].to_string();
    let cluster = cluster.trim_matches('"');
    assert!(shelf.ask(&["show", cluster]).contains("]0;owned"), "the text is not shown at all");
    let probed = shelf.hostile_cluster();
    for question in
        [vec!["list"], vec!["export"], vec!["show", cluster], vec!["explain", cluster], vec!["show", &probed]]
    {
        shelf.ask(&question);
        shelf.ask(&[&question[..], &["--format", "json"]].concat());
        let csv = shelf.ask(&[&question[..], &["--format", "csv"]].concat());
        for field in records(&csv).into_iter().flatten() {
            let formula = field.starts_with(['=', '+', '-', '@']) && field.parse::<f64>().is_err();
            assert!(!formula, "{question:?}: a spreadsheet would compute {field:?}");
        }
    }
}

#[test]
fn an_empty_store_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("panicsift.db");
    drop(Store::open(&path).unwrap());
    let shelf = Shelf { dir };
    assert_eq!(shelf.ask(&["list"]), "the store holds no clusters yet: nothing has been clustered\n");
    assert_eq!(shelf.json(&["list"]), serde_json::json!([]));
    assert_eq!(shelf.ask(&["export", "--format", "json"]), "");
    assert_eq!(shelf.ask(&["export", "--format", "csv"]).lines().count(), 1);
    assert!(shelf.refused(&["show", "c-1"]).contains("there are no clusters yet"));
}

#[test]
fn a_store_that_is_not_there_or_of_another_version_is_refused() {
    let nothing = Shelf { dir: tempfile::tempdir().unwrap() };
    assert!(nothing.refused(&["list"]).contains("there is no store"));
    assert!(!nothing.dir.path().join("panicsift.db").exists(), "asking made a store");
    let mut bytes = WRITTEN.bytes.clone();
    // The version of the schema, `user_version`, in the head of every SQLite file.
    bytes[60..64].copy_from_slice(&999_u32.to_be_bytes());
    let fault = Shelf::with(&bytes).refused(&["list"]);
    assert!(fault.contains("the store has version 999"), "{fault}");
}

#[test]
fn a_reader_of_a_report_who_goes_away_is_no_failure() {
    let shelf = Shelf::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let store = shelf.dir.path().join("panicsift.db");
    let output =
        panicsift().args(["report", "export", "--store"]).arg(store).stdout(writer).stderr(Stdio::piped()).output();
    let output = output.unwrap();
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
}
