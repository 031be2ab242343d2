//! The built program as a service in a process of its own: its configuration, its admin port, its end.
//!
//! Each [`Place`] has a folder, topics and a group of its own, so that tests may run side by side on one broker.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use panicsift::edge::store::Store;
use panicsift::pipeline::cell::Cell;
use panicsift::pipeline::event::Millis;
use serde_json::Value;
use tempfile::TempDir;

use super::kafka::{Sent, committed, create_topic, unique};
use super::servers::free_port;

/// Longest wait for the service to do what it should: a debug build on two busy cores.
const PATIENCE: Duration = Duration::from_mins(1);
/// Wait between two looks.
const LOOK: Duration = Duration::from_millis(50);
/// Events are moved by whole epochs, so that they fall into the same ones as unmoved.
const EPOCH_MILLIS: i64 = 10_000;

/// Words that are in payloads and tokens and must be nowhere else.
pub(crate) const PAYLOAD_CANARY: &str = "kanarienpayload";
/// The one of tokens.
pub(crate) const TOKEN_CANARY: &str = "kanarientoken";

fn demo(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/demo").join(name)
}

/// The first `n` demo events with canaries in their payloads and tokens, moved in time by whole epochs so that the last
/// one was a quarter of an hour ago: as if they had just been sent.
#[expect(clippy::disallowed_methods, reason = "the service closes epochs by the clock, so its events are of today")]
pub(crate) fn recent_events(n: usize) -> Vec<(Millis, String)> {
    let file = File::open(demo("events.jsonl.gz")).unwrap();
    let lines = BufReader::new(flate2::read::GzDecoder::new(file)).lines().take(n);
    let events: Vec<Value> = lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    let at = |event: &Value| Millis::parse(event["ts"].as_str().unwrap()).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    let until = i64::try_from(now).unwrap() - 15 * Millis::MINUTE;
    let shift = (until - at(events.last().unwrap()).0) / EPOCH_MILLIS * EPOCH_MILLIS;
    events
        .into_iter()
        .map(|mut event| {
            let time = at(&event).plus(shift);
            event["ts"] = time.to_string().into();
            with_canaries(&mut event);
            (time, event.to_string())
        })
        .collect()
}

/// Waits until an epoch of the service has just begun, for events of now that shall be judged together.
#[expect(clippy::disallowed_methods, reason = "the service closes epochs by the clock")]
pub(crate) async fn epoch_begins() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    let epoch = u128::try_from(EPOCH_MILLIS).unwrap();
    let left = u64::try_from(epoch - now % epoch).unwrap();
    tokio::time::sleep(Duration::from_millis(left)).await;
}

fn with_canaries(event: &mut Value) {
    if event["request"]["payload_encoding"] == "utf8"
        && let Some(Value::String(payload)) = event.pointer_mut("/request/payload")
    {
        *payload = payload.replace(":\"", &format!(":\"{PAYLOAD_CANARY}"));
    }
    if let Some(Value::String(token)) = event.pointer_mut("/token/id_hash") {
        token.insert_str(0, TOKEN_CANARY);
    }
}

/// Events as records, one partition after the other in turn.
pub(crate) fn in_turn(events: &[(Millis, String)], n_partitions: i32) -> Vec<Sent> {
    let record = |((time, event), partition): (&(Millis, String), i32)| Sent {
        partition,
        time: time.0,
        value: event.clone().into_bytes(),
    };
    events.iter().zip((0..n_partitions).cycle()).map(record).collect()
}

/// Where a service lives: its folder, topics, group and address.
pub(crate) struct Place {
    dir: TempDir,
    pub(crate) brokers: String,
    pub(crate) topic: String,
    pub(crate) group: String,
    pub(crate) dead_letters: String,
    pub(crate) n_partitions: i32,
    admin: SocketAddr,
}

impl Place {
    /// Makes the topics and writes the configuration; `more` is TOML that comes last.
    pub(crate) async fn new(brokers: &str, n_partitions: i32, batch_records_max: usize, more: &str) -> Self {
        let place = Self {
            dir: tempfile::Builder::new().prefix("panicsift-service-").tempdir().unwrap(),
            brokers: brokers.to_owned(),
            topic: unique("panics"),
            group: unique("service"),
            dead_letters: unique("refused"),
            n_partitions,
            admin: ([127, 0, 0, 1], free_port()).into(),
        };
        // Record times are those of the events; retention must not take them for old.
        let any_time = ("message.timestamp.after.max.ms", "9223372036854775807");
        let roomy = [("max.message.bytes", "8388608"), ("retention.ms", "-1"), any_time];
        create_topic(brokers, &place.topic, n_partitions, &roomy).await;
        create_topic(brokers, &place.dead_letters, 1, &roomy).await;
        std::fs::write(place.config(), place.toml(batch_records_max, more)).unwrap();
        place
    }

    fn toml(&self, batch_records_max: usize, more: &str) -> String {
        let Self { topic, group, dead_letters, admin, .. } = self;
        let brokers: Vec<&str> = self.brokers.split(',').collect();
        let (asn, country) = (demo("asn.mmdb"), demo("country.mmdb"));
        std::fs::write(self.path("privacy-key"), "a secret of the live tests").unwrap();
        format!(
            r#"
[source]
brokers = {brokers:?}
topics = ["{topic}"]
group = "{group}"
offset_reset = "earliest"
batch_records_max = {batch_records_max}
batch_wait_ms = 50
[source.librdkafka]
"session.timeout.ms" = "6000"
"heartbeat.interval.ms" = "500"
"fetch.wait.max.ms" = "50"
[state]
path = "store.db"
[privacy]
key = {{ file = "privacy-key" }}
[tables]
asn = "{}"
country = "{}"
[dead_letters]
topic = "{dead_letters}"
[admin]
listen = "{admin}"
[[destination]]
kind = "file"
name = "file"
path = "alerts.jsonl"
{more}
"#,
            asn.display(),
            country.display()
        )
    }

    /// Another service of the same group on the same topic, with a folder and an address of its own.
    pub(crate) fn twin(&self) -> Self {
        let twin = Self {
            dir: tempfile::Builder::new().prefix("panicsift-service-").tempdir().unwrap(),
            brokers: self.brokers.clone(),
            topic: self.topic.clone(),
            group: self.group.clone(),
            dead_letters: self.dead_letters.clone(),
            n_partitions: self.n_partitions,
            admin: ([127, 0, 0, 1], free_port()).into(),
        };
        std::fs::write(twin.config(), twin.toml(20, "")).unwrap();
        twin
    }

    /// Changes its configuration.
    pub(crate) fn edit(&self, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.config()).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(self.config(), text.replacen(from, to, 1)).unwrap();
    }

    /// A file in its folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Its configuration.
    pub(crate) fn config(&self) -> PathBuf {
        self.path("panicsift.toml")
    }

    /// Alerts that wait for a destination.
    pub(crate) fn n_waiting(&self, destination: &str) -> u64 {
        Store::open_read_only(&self.store()).unwrap().n_waiting(destination).unwrap()
    }

    /// The store.
    pub(crate) fn store(&self) -> PathBuf {
        self.path("store.db")
    }

    /// What the group has committed, by partition.
    pub(crate) fn committed(&self) -> Vec<Option<i64>> {
        committed(&self.brokers, &self.group, &self.topic, self.n_partitions)
    }

    /// Records that are decided as the store has it, by partition. While no service runs.
    pub(crate) fn decided(&self) -> Vec<i64> {
        let checkpoint = Store::open_read_only(&self.store()).unwrap().load_checkpoint().unwrap();
        (0..self.n_partitions).map(|partition| checkpoint.next_offset(&self.topic, partition).unwrap_or(0)).collect()
    }

    /// Events in all cells of the store: those that were observed, clustered or not. While no service runs.
    pub(crate) fn n_events_stored(&self) -> u64 {
        let cells = Store::open_read_only(&self.store()).unwrap().load_state("cell").unwrap();
        cells.iter().map(|(_, cell)| postcard::from_bytes::<Cell>(cell).unwrap().n).sum()
    }

    /// The alerts that the file destination holds; a line that is being written is none yet.
    pub(crate) fn alerts(&self) -> Vec<Value> {
        std::fs::read_to_string(self.path("alerts.jsonl"))
            .unwrap_or_default()
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'))
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Events in all clusters, as `panicsift report` counts them in the store.
    pub(crate) fn n_events_clustered(&self) -> u64 {
        let store = self.store();
        let told = panicsift(&["report", "export", "--format", "json", "--store", store.to_str().unwrap()]);
        told.lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["counts"]["events"].as_u64().unwrap())
            .sum()
    }

    /// Starts the service.
    pub(crate) fn start(&self) -> Running {
        self.start_by(Command::new(env!("CARGO_BIN_EXE_panicsift")))
    }

    /// Starts the service where no file may grow beyond so many KiB, as on a disk that is full. The signal that comes
    /// with that limit is ignored, so that a write fails as it does on a full disk.
    pub(crate) fn start_with_files_up_to(&self, kib: u32) -> Running {
        let mut shell = Command::new("bash");
        let script = format!("trap '' XFSZ; ulimit -f {kib}; exec \"$0\" \"$@\"");
        shell.args(["-c", &script, env!("CARGO_BIN_EXE_panicsift")]);
        self.start_by(shell)
    }

    fn start_by(&self, mut command: Command) -> Running {
        let log = OpenOptions::new().create(true).append(true).open(self.path("log")).unwrap();
        let child = command
            .args(["run", "--no-color", "--config"])
            .arg(self.config())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Running { child, admin: self.admin, log: self.path("log") }
    }
}

/// Runs the program to its end; its standard output.
pub(crate) fn panicsift(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_panicsift")).args(arguments).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// How many records had which fate, as `/metrics` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Fates {
    pub(crate) observed: u64,
    pub(crate) duplicate: u64,
    pub(crate) rejected: u64,
    pub(crate) covered: u64,
}

impl Fates {
    /// Records that were decided.
    pub(crate) fn decided(self) -> u64 {
        self.observed + self.duplicate + self.rejected
    }
}

/// A page of metrics.
pub(crate) struct Metrics(String);

impl Metrics {
    /// The sum of the series whose line begins with `series`.
    pub(crate) fn sum(&self, series: &str) -> u64 {
        let value = |line: &str| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap();
        self.0.lines().filter(|line| line.starts_with(series)).map(value).sum()
    }

    /// The fates.
    pub(crate) fn fates(&self) -> Fates {
        let fate = |name| self.sum(&format!("panicsift_records_total{{fate=\"{name}\"}}"));
        Fates {
            observed: fate("observed"),
            duplicate: fate("duplicate"),
            rejected: fate("rejected"),
            covered: fate("covered"),
        }
    }
}

/// A service that runs; killed when the value is dropped.
pub(crate) struct Running {
    child: Child,
    admin: SocketAddr,
    log: PathBuf,
}

impl Running {
    /// Status and body of a page of the admin port; `None` while nobody listens.
    pub(crate) fn page(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(self.admin).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply).ok()?;
        let (head, body) = reply.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    /// The metrics; an empty page while nobody listens.
    pub(crate) fn metrics(&self) -> Metrics {
        Metrics(self.page("/metrics").map(|(_, body)| body).unwrap_or_default())
    }

    /// Waits until the service is ready.
    pub(crate) async fn ready(&mut self) {
        self.wait("to be ready", |it| it.page("/readyz").is_some_and(|(status, _)| status == 200)).await;
    }

    /// Waits until `is_so`; says what was awaited, and the end of the log, when it never is.
    pub(crate) async fn wait(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let waited = tokio::time::timeout(PATIENCE, async {
            while !is_so(self) {
                let ended = self.child.try_wait().unwrap();
                assert!(ended.is_none(), "the service ended ({ended:?}) before it came {what}: {}", self.told());
                tokio::time::sleep(LOOK).await;
            }
        });
        let waited = waited.await;
        assert!(waited.is_ok(), "it never came {what}: {:?} {}", self.page("/readyz"), self.told());
    }

    /// Waits until each of `n_events` is in a cluster of the store: epochs are closed once nothing comes any more.
    pub(crate) async fn all_clustered(&self, place: &Place, n_events: u64) {
        for _ in 0..200 {
            if place.n_events_clustered() == n_events {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
        panic!("{} of {n_events} events are in clusters: {}", place.n_events_clustered(), self.told());
    }

    /// Waits until it ends by itself; the exit code and the end of its log.
    pub(crate) async fn ended(mut self) -> (Option<i32>, String) {
        let ended = tokio::time::timeout(PATIENCE, async {
            loop {
                match self.child.try_wait().unwrap() {
                    Some(status) => break status.code(),
                    None => tokio::time::sleep(LOOK).await,
                }
            }
        });
        let ended = ended.await;
        (ended.unwrap_or_else(|_| panic!("it did not end: {}", self.told())), self.told())
    }

    /// SIGTERM; the exit code.
    pub(crate) async fn stop(mut self) -> Option<i32> {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let ended = tokio::time::timeout(PATIENCE, async {
            loop {
                match self.child.try_wait().unwrap() {
                    Some(status) => break status.code(),
                    None => tokio::time::sleep(LOOK).await,
                }
            }
        });
        let ended = ended.await;
        ended.unwrap_or_else(|_| panic!("it did not stop: {}", self.told()))
    }

    /// SIGKILL, as when the machine is lost.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// How it ended, if it did.
    pub(crate) fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// The end of what it wrote to standard error.
    pub(crate) fn told(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        format!("\n{}", lines[lines.len().saturating_sub(30)..].join("\n"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
