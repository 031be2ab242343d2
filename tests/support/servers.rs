//! Real servers, started by the scripts in `tests/servers/` and stopped when the value is dropped.
//!
//! Should the test process be killed, a watcher that the script left behind ends the server within a second.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A server that a test may start.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Kafka,
    OpenSearch,
    OpenSearchSecure,
    Elasticsearch,
}

impl Kind {
    fn script(self) -> &'static str {
        match self {
            Self::Kafka => "kafka.sh",
            Self::OpenSearch => "opensearch.sh",
            Self::OpenSearchSecure => "opensearch_secure.sh",
            Self::Elasticsearch => "elasticsearch.sh",
        }
    }
}

/// A running server. Its data live in a folder of their own, removed with it.
pub(crate) struct Server {
    kind: Kind,
    folder: tempfile::TempDir,
    /// `host:port` for Kafka, a URL for the others.
    pub(crate) address: String,
}

impl Server {
    /// Fetches (the first time), starts and awaits it.
    pub(crate) fn start(kind: Kind) -> Self {
        Self::start_with(kind, &[])
    }

    /// The same under environment variables of the script's, such as `OPENSEARCH_SETTINGS`.
    pub(crate) fn start_with(kind: Kind, variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::Builder::new().prefix("panicsift-server-").tempdir().unwrap();
        let arguments = ["start", path(folder.path()), &std::process::id().to_string()];
        let address = run_with(kind.script(), &arguments, variables);
        Self { kind, folder, address }
    }

    /// Where its certificates and passwords are.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// SIGKILL, as when the machine is lost.
    pub(crate) fn kill(&self) {
        run(self.kind, &["kill", path(self.folder.path())]);
    }

    /// SIGTERM, and waits.
    pub(crate) fn stop(&self) {
        run(self.kind, &["stop", path(self.folder.path())]);
    }

    /// Starts it again on the same data and address.
    pub(crate) fn restart(&self) {
        run(self.kind, &["start", path(self.folder.path()), &std::process::id().to_string()]);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        run(self.kind, &["kill", path(self.folder.path())]);
        if matches!(self.kind, Kind::Elasticsearch) {
            run(self.kind, &["clean", path(self.folder.path())]);
        }
    }
}

fn path(folder: &Path) -> &str {
    folder.to_str().unwrap()
}

fn run(kind: Kind, arguments: &[&str]) -> String {
    run_with(kind.script(), arguments, &[])
}

fn run_with(script: &str, arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let script: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "servers", script].iter().collect();
    let mut command = Command::new(&script);
    let output = command.args(arguments).envs(variables.iter().copied()).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{} {arguments:?}: {}", script.display(), String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A cluster of three Kafka nodes that runs already; its nodes 1 to 3 can be killed and started again.
pub(crate) struct KafkaCluster {
    folder: PathBuf,
}

impl KafkaCluster {
    /// The one that `tests/servers/kafka_cluster.sh start` made in `folder`.
    pub(crate) fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// `host:port` of every node.
    pub(crate) fn brokers(&self) -> String {
        std::fs::read_to_string(self.folder.join("address")).unwrap().trim().to_owned()
    }

    /// SIGKILL to one node.
    pub(crate) fn kill_node(&self, node: i32) {
        run_with("kafka_cluster.sh", &["kill-node", path(&self.folder), &node.to_string()], &[]);
    }

    /// Starts a node again on its data and awaits it.
    pub(crate) fn start_node(&self, node: i32) {
        run_with("kafka_cluster.sh", &["start-node", path(&self.folder), &node.to_string()], &[]);
    }
}

/// The address in the environment variable `name`; `None`, loudly, when the test is to be skipped. Where live tests
/// are a must (`CI_LIVE=1`), a missing address is a failure.
#[expect(clippy::disallowed_methods, reason = "tests are told by the environment which servers there are")]
pub(crate) fn live_address(name: &str, test: &str) -> Option<String> {
    if let Ok(address) = std::env::var(name) {
        assert!(address.contains(':'), "{name} must be host:port, not `{address}`");
        return Some(address);
    }
    assert!(std::env::var("CI_LIVE").as_deref() != Ok("1"), "{name} is not set, but CI_LIVE=1 asks for live tests");
    say(&format!("SKIPPED: {test} needs {name}=host:port (tests/servers starts one)"));
    None
}

/// The folder in the environment variable `name`; `None`, loudly, when the test is to be skipped. `maker` is the command
/// that prepares it.
#[expect(clippy::disallowed_methods, reason = "tests are told by the environment what there is")]
pub(crate) fn live_folder(name: &str, test: &str, maker: &str) -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os(name) {
        return Some(
            std::fs::canonicalize(&folder).unwrap_or_else(|error| panic!("{name}={}: {error}", folder.display())),
        );
    }
    assert!(std::env::var("CI_LIVE").as_deref() != Ok("1"), "{name} is not set, but CI_LIVE=1 asks for live tests");
    say(&format!("SKIPPED: {test} needs {name}=PATH ({maker} prepares one)"));
    None
}

/// The test harness swallows what passing tests print, but not what is written to the stream itself.
pub(crate) fn say(line: &str) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// The number in the environment variable `name`, or `otherwise`.
#[expect(clippy::disallowed_methods, reason = "whoever starts a long test says how long")]
pub(crate) fn wished(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}: no number")))
}

/// A port that nobody listens on now, below those from which outgoing connections are made: it stays free between the
/// runs of a server that is stopped and started.
pub(crate) fn free_port() -> u16 {
    loop {
        let [low, high, ..] = unique_bytes();
        let port = 20_000 + u16::from_le_bytes([low, high]) % 12_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn unique_bytes() -> [u8; 8] {
    RandomState::new().build_hasher().finish().to_le_bytes()
}

/// Whether tests may start servers of their own (`PANICSIFT_START_SERVERS=1` or `CI_LIVE=1`); says so loudly if not.
#[expect(clippy::disallowed_methods, reason = "tests are told by the environment which servers there are")]
pub(crate) fn may_start_servers(test: &str) -> bool {
    let is_set = |name| std::env::var(name).as_deref() == Ok("1");
    let may = is_set("PANICSIFT_START_SERVERS") || is_set("CI_LIVE");
    if !may {
        say(&format!("SKIPPED: {test} starts servers; allow it with PANICSIFT_START_SERVERS=1"));
    }
    may
}
