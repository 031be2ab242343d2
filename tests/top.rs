//! The live view as a user meets it: one frame as text, refusals, and a terminal that is given back.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use panicsift::edge::store::{Outbox, Store};
use panicsift::pipeline::event::{Batch, Checkpoint, Position};
use panicsift::pipeline::state::State;
use panicsift::pipeline::{Memos, examine, fold};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::context;

/// The first alert is opened among so many events.
const N_EVENTS: usize = 2_000;

/// What tries to be a command of a terminal.
const ESCAPES: &str = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{202e}\r\n";

/// A store of real events and of one whose sender chose every text that he can; an alert of it waits.
static STORE: LazyLock<(TempDir, PathBuf)> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("panicsift.db");
    let file =
        std::fs::File::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/demo/events.jsonl.gz")).unwrap();
    let lines = BufReader::new(flate2::read::GzDecoder::new(file)).lines().take(N_EVENTS);
    let mut events: Vec<String> = lines.map(Result::unwrap).collect();
    let mut hostile: Value = serde_json::from_str(events.last().unwrap()).unwrap();
    for place in ["/event_id", "/endpoint", "/service", "/client/user_agent", "/token/scope", "/panic/file"] {
        *hostile.pointer_mut(place).unwrap() = format!("x{ESCAPES}").into();
    }
    events.push(hostile.to_string());
    let mut batch = Batch::default();
    for (event, offset) in events.iter().zip(0..) {
        batch.push(Position { topic: "panics", partition: 0, offset }, None, event.as_bytes());
    }
    let context = context();
    let (mut state, mut memos) = (State::new(&context.clustering), Memos::default());
    let seen: Vec<_> =
        batch.iter().map(|record| examine(&context, &mut memos, record).into_observation().unwrap()).collect();
    let steps = [fold(&context, &mut state, seen, None), state.close_last(&context)];
    let mut store = Store::open(&path).unwrap();
    for step in steps {
        store.commit(&step.rows, &step.alerts, &Checkpoint::default()).unwrap();
    }
    drop(Outbox::open(&path, "siem").unwrap());
    (dir, path)
});

fn store() -> &'static str {
    STORE.1.to_str().unwrap()
}

fn top(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_panicsift"));
    // Nobody listens at this port: the view must do without.
    command.args(["top", "--admin", "http://127.0.0.1:1"]).args(arguments).stdin(Stdio::null());
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn one_frame_is_printed_as_text_and_is_inert() {
    let output = top(&["--store", store(), "--once"]);
    let out = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    for expected in [
        "panicsift top: ",
        " hostile, ",
        "open alert",
        "service not reached: http://127.0.0.1:1: ",
        "newest event 2026-09-14 ",
        "clusters by points, open alerts (!) first",
        "severity",
        "!c-",
        "destinations",
        "siem",
        "not known",
    ] {
        assert!(out.contains(expected), "{expected:?} is not in\n{out}");
    }
    assert!(!out.contains(['\u{1b}', '\u{7}', '\u{202e}', '\r']), "{out:?}");
    assert!(!out.contains("quit"), "a frame as text knows no keys\n{out}");
    assert!(output.stderr.is_empty(), "{}", text(&output.stderr));
}

#[test]
fn what_cannot_be_shown_is_refused_with_a_cure() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("none.db");
    let no_store = dir.path().join("text.db");
    std::fs::write(
        &no_store,
        "this is no database, it is a text that is a good deal longer than one hundred bytes, so \
                               that nobody takes it for an empty file",
    )
    .unwrap();
    let check = |arguments: &[&str], code: i32, expected: &str| {
        let output = top(arguments);
        let err = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {err}");
        assert!(err.contains(expected) && output.stdout.is_empty(), "{arguments:?}: {err}");
    };
    for once in [&["--once"][..], &[]] {
        check(&[&["--store", missing.to_str().unwrap()], once].concat(), 1, "there is no store");
        check(&[&["--store", no_store.to_str().unwrap()], once].concat(), 1, "not a panicsift store");
    }
    check(&["--store", store()], 1, "--once");
    check(&["--store", store(), "--interval", "0"], 2, "is not in");
    check(&["--store", store(), "--interval", "3601"], 2, "is not in");
}

#[test]
fn an_address_that_is_none_is_refused_as_a_wrong_command_line() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_panicsift"));
    let output = command.args(["top", "--once", "--admin", "https://127.0.0.1:9464"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("http://HOST:PORT"), "{}", text(&output.stderr));
}

/// Runs the view in a terminal of 80 by 24 with a setting of the environment (`NAME=value`, or none), does `deed` with its keyboard and its process id once the first frame is
/// there, and gives all that the terminal was sent, with the exit code and the terminal's settings after it.
fn in_a_terminal(setting: &str, deed: impl FnOnce(&mut dyn Write, &str)) -> String {
    let dir = tempfile::tempdir().unwrap();
    let steps = dir.path().join("steps.sh");
    let (binary, store) = (env!("CARGO_BIN_EXE_panicsift"), store());
    let lines = format!(
        "stty rows 24 cols 80\n\
         {setting} sh -c 'echo pid=$$.; exec \"{binary}\" top --store \"{store}\" --admin http://127.0.0.1:1'\n\
         echo code=$?.\nstty -a\n"
    );
    std::fs::write(&steps, lines).unwrap();
    let mut child = Command::new("script")
        .args(["-qec", &format!("sh '{}'", steps.display()), "/dev/null"])
        .env("TERM", "xterm-256color")
        .env_remove("NO_COLOR")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("`script` of util-linux gives the test its terminal");
    let (mut keyboard, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let (tell, told) = std::sync::mpsc::sync_channel(64);
    let reading = std::thread::spawn(move || {
        let mut buffer = [0; 4_096];
        while let Ok(n @ 1..) = screen.read(&mut buffer) {
            if tell.send(buffer[..n].to_vec()).is_err() {
                break;
            }
        }
    });
    let mut shown = Vec::new();
    let mut deed = Some(deed);
    while let Ok(part) = told.recv_timeout(Duration::from_mins(1)) {
        shown.extend(part);
        let sent = text(&shown);
        // A destination is on the screen: the store was read.
        if sent.contains("refused")
            && sent.contains("siem")
            && let Some(deed) = deed.take()
        {
            let pid = sent.split("pid=").nth(1).and_then(|rest| rest.split('.').next()).unwrap().to_owned();
            deed(&mut keyboard, &pid);
        }
    }
    drop(keyboard);
    drop(child.kill());
    child.wait().unwrap();
    reading.join().unwrap();
    assert!(deed.is_none(), "the first frame did not come: {}", text(&shown));
    text(&shown)
}

/// The terminal was taken and given back, and the process ended as one that was done.
fn check_given_back(shown: &str) {
    let (_, after) = shown.split_once("\u{1b}[?1049h").expect("the alternate screen was entered");
    let (frames, after) = after.rsplit_once("\u{1b}[?1049l").expect("the alternate screen was left");
    assert!(frames.contains("\u{1b}[?25l") && after.contains("\u{1b}[?25h"), "the cursor is shown again: {after:?}");
    assert!(after.contains("code=0."), "{after:?}");
    let settings: Vec<&str> = after.split_whitespace().collect();
    assert!(["icanon", "echo", "isig", "opost"].iter().all(|setting| settings.contains(setting)), "{after:?}");
    assert!(!shown.contains("\u{1b}]0;") && !shown.contains('\u{202e}'), "a sender's text reached the terminal");
}

#[test]
fn q_leaves_and_the_terminal_is_as_it_was() {
    let shown = in_a_terminal("", |keyboard, _| keyboard.write_all(b"?jsv\rq").unwrap());
    check_given_back(&shown);
    assert!(shown.contains("\u{1b}[38;"), "a hostile cluster has its colour: {shown:?}");
}

#[test]
fn no_color_keeps_colours_away() {
    let shown = in_a_terminal("NO_COLOR=1", |keyboard, _| keyboard.write_all(b"q").unwrap());
    check_given_back(&shown);
    assert!(!shown.contains("\u{1b}[38;") && !shown.contains("\u{1b}[48;"), "{shown:?}");
}

#[test]
fn control_c_and_sigterm_leave_the_terminal_as_it_was() {
    check_given_back(&in_a_terminal("", |keyboard, _| keyboard.write_all(b"\x03").unwrap()));
    check_given_back(&in_a_terminal("", |_, pid| {
        assert!(Command::new("kill").args(["-TERM", pid]).status().unwrap().success());
    }));
}
