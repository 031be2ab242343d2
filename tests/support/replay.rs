//! `panicsift replay` as a user runs it, with what it leaves, and the demo's events to run it on.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// What a replay left. All of it is text, or the run was refused here.
#[derive(Debug, PartialEq)]
pub(crate) struct Replayed {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
    /// Empty where the replay ended before it wrote them.
    pub(crate) assignments: String,
    /// Empty where the replay ended before it wrote them.
    pub(crate) alerts: String,
}

impl Replayed {
    /// The lines about events, whole.
    pub(crate) fn assigned(&self) -> Vec<Value> {
        json_lines(&self.assignments)
    }

    /// The ids of the events that have a line, in their order.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.assigned().iter().map(|line| line["event_id"].as_str().unwrap().to_owned()).collect()
    }

    /// The log lines with this message.
    pub(crate) fn told(&self, message: &str) -> Vec<Value> {
        let lines = self.err.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["message"] == message).collect()
    }

    /// A count of the last log line.
    pub(crate) fn count(&self, key: &str) -> u64 {
        self.told("the replay is done").last().unwrap_or_else(|| panic!("{}", self.err))[key].as_u64().unwrap()
    }
}

/// A file of the demo's data.
pub(crate) fn demo(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/demo").join(name)
}

/// The first `n_max` events of the demo.
pub(crate) fn demo_lines(n_max: usize) -> Vec<String> {
    let file = File::open(demo("events.jsonl.gz")).unwrap();
    BufReader::new(flate2::read::GzDecoder::new(file)).lines().take(n_max).map(Result::unwrap).collect()
}

/// One JSON value a line.
pub(crate) fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Runs a replay in `dir` over `inputs` (`-` is `stdin`) with the demo's address tables.
pub(crate) fn replay(dir: &Path, inputs: &[&str], stdin: &[u8]) -> Replayed {
    let tables = [demo("asn.mmdb"), demo("country.mmdb")];
    let [asn, country] = tables.each_ref().map(|path| path.to_str().unwrap());
    replay_with(dir, &[&["--asn", asn, "--country", country], inputs].concat(), stdin)
}

/// Runs a replay in `dir` with these words behind the outputs.
pub(crate) fn replay_with(dir: &Path, words: &[&str], stdin: &[u8]) -> Replayed {
    let written = ["assignments.out", "alerts.out"].map(|name| dir.join(name));
    for path in &written {
        drop(std::fs::remove_file(path));
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_panicsift"));
    command.args(["--log-format", "json", "replay", "--assignments", "assignments.out", "--alerts", "alerts.out"]);
    command.args(words).current_dir(dir).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        // A replay that reads no standard input ends before all of it is taken.
        scope.spawn(move || drop(input.write_all(stdin)));
        child.wait_with_output().unwrap()
    });
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let [assignments, alerts] = written.map(|path| text(std::fs::read(path).unwrap_or_default()));
    let (out, err) = (text(output.stdout), text(output.stderr));
    Replayed { code: output.status.code(), out, err, assignments, alerts }
}
