//! `panicsift outbox` and the delivery proof as an operator meets them, beside a lane that runs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use panicsift::edge::admin::{Health, HealthLimits};
use panicsift::edge::deliver::{self, Lane, Outlet, Reading, Sending, Word};
use panicsift::edge::store::{Fate, Outbox, Settlement, Store};
use panicsift::pipeline::alert::{Alert, Change};
use panicsift::pipeline::event::Checkpoint;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::watch;

/// A store with an alert of one cluster for each change, and one of a second cluster.
struct Bench {
    dir: TempDir,
    _store: Store,
}

fn alert(id: &str, cluster: &str, change: Change) -> Alert {
    let mut alert: Alert = serde_json::from_str(include_str!("data/alert.json")).unwrap();
    (alert.alert_id, alert.cluster, alert.change) = (id.to_owned(), cluster.to_owned(), change);
    alert
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(&dir.path().join("store.db")).unwrap();
        let alerts = [
            alert("a1", "c-1", Change::Opened),
            alert("a2", "c-1", Change::Raised),
            alert("b1", "c-2", Change::Opened),
        ];
        store.commit(&[], &alerts, &Checkpoint::default()).unwrap();
        Self { dir, _store: store }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("store.db")
    }

    fn answer(&self, answers: &[(i64, Fate, &str)]) {
        let settlement = |(seq, fate, words): &(i64, Fate, &str)| Settlement {
            seq: *seq,
            fate: *fate,
            detail: (*words).to_owned(),
            attempts: 2,
        };
        let settlements: Vec<_> = answers.iter().map(settlement).collect();
        Outbox::open(&self.path(), "siem").unwrap().settle(&settlements).unwrap();
    }

    /// Exit code, standard output and standard error.
    fn run(&self, words: &[&str]) -> (i32, String, String) {
        run(&self.path(), words)
    }

    fn done(&self, words: &[&str]) -> String {
        let (code, out, err) = self.run(words);
        assert_eq!((code, err.as_str()), (0, ""), "{words:?}");
        out
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.done(&["list", "--format", "json"])).unwrap()
    }
}

fn run(store: &Path, words: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_panicsift"))
        .arg("outbox")
        .args(words)
        .arg("--store")
        .arg(store)
        .env("SUDO_USER", "alice")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_list_counts_what_waits_and_quotes_what_was_refused() {
    let bench = Bench::new();
    assert_eq!(bench.done(&["list"]), "no destination has read this outbox yet\n");
    bench.answer(&[
        (1, Fate::Refused, "HTTP 400, code 6: \u{1b}[2J Invalid data format"),
        (3, Fate::Delivered, "ack 9"),
    ]);
    let table = bench.done(&["list"]);
    assert!(table.contains("Invalid data format") && !table.contains('\u{1b}'), "{table}");
    assert!(table.contains("panicsift outbox retry --all"), "{table}");
    let json = bench.json();
    let siem = &json["destinations"][0];
    assert_eq!((&siem["waiting"], &siem["refused"], &siem["delivered"]), (&1.into(), &1.into(), &1.into()), "{siem}");
    assert!(siem["oldest_waiting_secs"].is_u64(), "{siem}");
    assert_eq!(json["alerts"].as_array().unwrap().len(), 1, "only the refused one: {json}");
    let csv = bench.done(&["list", "--fate", "waiting", "--fate", "delivered", "--format", "csv"]);
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines.len(), 3, "{csv}");
    assert!(lines[1].starts_with("siem,waiting,a2,c-1,raised,") && lines[2].contains("delivered,b1"), "{csv}");
}

#[test]
fn what_is_typed_wrongly_is_refused_and_changes_nothing() {
    let bench = Bench::new();
    bench.answer(&[(1, Fate::Refused, "no"), (2, Fate::Refused, "no")]);
    let check = |words: &[&str], code: i32, said: &str| {
        let (found, out, err) = bench.run(words);
        assert_eq!((found, out.as_str()), (code, ""), "{words:?}: {err}");
        assert!(err.contains(said), "{words:?}: {err}");
    };
    check(&["retry"], 2, "--all");
    check(&["retry", "--cluster", "c-9"], 1, "no refused alert fits");
    check(&["drop", "--all", "--yes"], 2, "--why");
    check(&["drop", "--all", "--why", "gone"], 2, "--yes");
    check(&["drop", "--why", "gone", "--yes"], 2, "--all");
    check(&["drop", "--all", "--why", " ", "--yes"], 1, "a reason is needed");
    check(&["drop", "--alert", "zz", "--why", "gone", "--yes"], 1, "no alert that waits or was refused fits");
    assert_eq!(run(&bench.dir.path().join("none.db"), &["list"]).0, 1);
    let siem = &bench.json()["destinations"][0];
    assert_eq!((&siem["waiting"], &siem["refused"]), (&1.into(), &2.into()));
}

#[test]
fn a_retry_and_a_drop_tell_what_they_did_and_a_dry_run_what_they_would_do() {
    let bench = Bench::new();
    bench.answer(&[(1, Fate::Refused, "no"), (2, Fate::Delivered, "")]);
    let left = bench.done(&["retry", "--all", "--dry-run"]);
    assert!(left.contains("would: 0 alerts wait again") && left.contains("1 alerts are left as they are"), "{left}");
    let out = bench.done(&["retry", "--cluster", "c-1", "--out-of-order"]);
    assert!(out.contains("siem: a1, opened of c-1, was refused: wait again"), "{out}");
    assert_eq!(bench.json()["destinations"][0]["waiting"], 2);
    let drop = ["drop", "--destination", "siem", "--why", "the index is gone"];
    let dry = bench.done(&[&drop[..], &["--dry-run"]].concat());
    assert!(dry.contains("would: 2 alerts dropped (2 waited, 0 were refused)"), "{dry}");
    assert_eq!(bench.json()["destinations"][0]["waiting"], 2, "a dry run changes nothing");
    let out = bench.done(&[&drop[..], &["--yes"]].concat());
    assert!(out.contains("2 alerts dropped (2 waited, 0 were refused)"), "{out}");
    let told = bench.done(&["list", "--fate", "dropped"]);
    assert!(told.contains("by alice: the index is gone"), "{told}");
}

/// Refuses until it is mended, then takes everything; remembers what it took.
struct Siem {
    mended: Arc<Mutex<bool>>,
    took: Arc<Mutex<Vec<String>>>,
}

impl Outlet for Siem {
    fn send<'a>(&'a mut self, alerts: &'a [Alert]) -> Sending<'a> {
        let mended = *self.mended.lock().unwrap();
        let words = alerts.iter().map(|alert| {
            if mended {
                self.took.lock().unwrap().push(alert.alert_id.clone());
                Word::Final(Fate::Delivered, "receipt 7".to_owned())
            } else {
                Word::Final(Fate::Refused, "the index is closed".to_owned())
            }
        });
        let reading = Reading::Words(words.collect());
        Box::pin(async move { reading })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_lane_sends_what_an_operator_retries_in_order() {
    let bench = Bench::new();
    let (mended, took) = (Arc::new(Mutex::new(false)), Arc::default());
    let siem = Siem { mended: Arc::clone(&mended), took: Arc::clone(&took) };
    let health = Arc::new(Health::new(HealthLimits::default()));
    let (wake, wakeup) = watch::channel(0_u64);
    let (stop, stopped) = watch::channel(false);
    let lane = Lane::new("siem", bench.path(), Box::new(siem));
    let mut running = tokio::task::JoinSet::new();
    running.spawn(deliver::deliver(vec![lane], health, wakeup, stopped));
    let patience = std::time::Duration::from_mins(1);
    let is_drained = || async { deliver::drained(&bench.path(), &["siem"], patience).await.unwrap() };
    assert!(is_drained().await);
    assert_eq!(bench.json()["destinations"][0]["refused"], 3);
    *mended.lock().unwrap() = true;
    assert!(bench.done(&["retry", "--all", "--why", "opened again"]).contains("3 alerts wait again"));
    wake.send_modify(|n| *n += 1);
    assert!(is_drained().await);
    stop.send_replace(true);
    running.join_next().await.unwrap().unwrap().unwrap();
    let took: Vec<String> = took.lock().unwrap().clone();
    assert_eq!(took.len(), 3, "{took:?}");
    let at = |id: &str| took.iter().position(|one| one == id).unwrap();
    assert!(at("a1") < at("a2"), "{took:?}");
}
