//! The built service beside the embedded broker: a whole run without anything to install.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use panicsift::edge::kafka::embedded::{EmbeddedBroker, N_PARTITIONS, Outgoing};
use panicsift::pipeline::event::Millis;
use serde_json::Value;
use tempfile::TempDir;

/// Longest wait for the service: a debug build on two busy cores.
const PATIENCE: Duration = Duration::from_mins(2);
/// Wait between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// A broker, a folder and a configuration.
pub(crate) struct Solo {
    pub(crate) dir: TempDir,
    broker: EmbeddedBroker,
    admin: SocketAddr,
}

impl Solo {
    /// `dead_letters` is TOML for that table.
    pub(crate) fn new(dead_letters: &str) -> Self {
        Self::over(&[("panics", N_PARTITIONS)], "", dead_letters)
    }

    /// The same over other topics of so many partitions; `feeds` is TOML for `[source]`.
    pub(crate) fn over(topics: &[(&str, i32)], feeds: &str, dead_letters: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let broker = EmbeddedBroker::start().unwrap();
        for (topic, n_partitions) in topics {
            broker.create_topic(topic, *n_partitions).unwrap();
        }
        let topics: Vec<&str> = topics.iter().map(|(topic, _)| *topic).collect();
        // Free now; nobody else takes it within the moment until the service does.
        let admin = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let toml = format!(
            r#"
[source]
brokers = ["{}"]
topics = {topics:?}
group = "solo"
offset_reset = "earliest"
batch_wait_ms = 50
{feeds}
[source.librdkafka]
"group.protocol" = "consumer"
"fetch.wait.max.ms" = "10"
[state]
path = "store.db"
[dead_letters]
path = "dead.jsonl"
{dead_letters}
[admin]
listen = "{admin}"
[log]
level = "debug"
format = "json"
[[destination]]
kind = "file"
name = "file"
path = "alerts.jsonl"
"#,
            broker.brokers()
        );
        std::fs::write(dir.path().join("config.toml"), toml).unwrap();
        Self { dir, broker, admin }
    }

    /// A file in its folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Puts records into the topic, one partition after the other in turn.
    pub(crate) fn send(&self, records: &[Vec<u8>]) {
        let values = records.iter().map(Vec::as_slice);
        self.broker.produce_all(("panics", N_PARTITIONS), values, |_| 0, |_| {}).unwrap();
    }

    /// Puts records into the first partition of a topic, in their order, as of a quarter of an hour ago: nothing more is
    /// expected of that time, so that nobody waits for it.
    pub(crate) fn send_in_order(&self, topic: &str, records: &[Vec<u8>]) {
        let time = Some(panicsift::app::wall_clock().plus(-15 * Millis::MINUTE));
        let values = records.iter().map(|payload| Outgoing { payload, time });
        self.broker.produce_all((topic, 1), values, |_| 0, |_| {}).unwrap();
    }

    fn start(&self) -> Child {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.path("log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_panicsift"));
        command.args(["run", "--config"]).arg(self.path("config.toml"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// The dead letters of the file.
    pub(crate) fn dead_letters(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.path("dead.jsonl")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Runs the service until it ends by itself; its exit code and its log.
    pub(crate) async fn run_until_it_ends(&self) -> (Option<i32>, String) {
        let mut child = Guard(self.start());
        let ended = tokio::time::timeout(PATIENCE, child.ended()).await;
        (ended.unwrap_or_else(|_| panic!("it does not end: {}", self.log())), self.log())
    }

    /// Runs the service until `is_done` says so of its metrics, then stops it; its last metrics.
    pub(crate) async fn run_until(&self, is_done: impl Fn(&str) -> bool) -> String {
        let mut child = Guard(self.start());
        let id = child.0.id().to_string();
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                let metrics = self.page("/metrics").unwrap_or_default();
                if is_done(&metrics) {
                    return metrics;
                }
                assert!(child.0.try_wait().unwrap().is_none(), "it ended: {}", self.log());
                tokio::time::sleep(LOOK).await;
            }
        });
        let metrics = waited.await.unwrap_or_else(|_| panic!("never done: {:?} {}", self.page("/metrics"), self.log()));
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let code = tokio::time::timeout(PATIENCE, child.ended()).await.expect("it stops when it is told to");
        assert_eq!(code, Some(0), "{}", self.log());
        metrics
    }

    fn page(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.admin).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply).ok()?;
        Some(reply.split_once("\r\n\r\n")?.1.to_owned())
    }
}

/// Killed when the value is dropped.
struct Guard(Child);

impl Guard {
    async fn ended(&mut self) -> Option<i32> {
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code();
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
