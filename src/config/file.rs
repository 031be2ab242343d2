//! The configuration as it stands in the file, key by key.
//!
//! These structs are the wire form: serde fills in the defaults, schemars turns the doc comments into the JSON Schema
//! that `panicsift schema` prints and that every file is checked against. Nothing here is checked beyond type and range;
//! [`super::resolve`] makes the typed [`super::Settings`] of it. Keys carry their unit (`_secs`, `_ms`, `_bytes`).
//! A required key is an `Option` here and required by the schema: so a table that misses one is still read, and all its
//! other faults are told in the same go.

pub(in crate::config) mod destination;
pub(in crate::config) mod expected;
pub(in crate::config) mod operations;
pub(in crate::config) mod slo;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use destination::DestinationFile;
use expected::ExpectedFile;
use operations::{CascadeFile, IdempotentFile, RollbackFile};
use slo::SloFile;

use crate::pipeline::event::Carrier;

/// The whole file. Only `[source]` is required.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "panicsift configuration, version 1")]
pub(in crate::config) struct FileConfig {
    /// Where panic recovery events are read from.
    #[schemars(required)]
    pub(in crate::config) source: Option<SourceFile>,
    /// Where cells, clusters, the outbox and the checkpoint are kept.
    #[serde(default)]
    pub(in crate::config) state: StateFile,
    /// How names of payloads, tokens and addresses are keyed.
    #[serde(default)]
    pub(in crate::config) privacy: PrivacyFile,
    /// Address tables (.mmdb files). They may be absent: events then carry no network.
    #[serde(default)]
    pub(in crate::config) tables: TablesFile,
    /// Models to use in place of the built-in ones.
    #[serde(default)]
    pub(in crate::config) models: ModelsFile,
    /// The rhythm of clustering.
    #[serde(default)]
    pub(in crate::config) clustering: ClusteringFile,
    /// When an alert is raised; a key that is absent leaves the value of the hostility model.
    #[serde(default)]
    pub(in crate::config) alerts: AlertsFile,
    /// Tests that were announced: one table for each.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub(in crate::config) expected: Vec<ExpectedFile>,
    /// Routes whose requests may be sent twice although their method does not say so: one table for each service.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub(in crate::config) idempotent: Vec<IdempotentFile>,
    /// When retries count as a cascade.
    #[serde(default)]
    pub(in crate::config) cascade: CascadeFile,
    /// When a release should go: one table for each criterion. Without any, four usual ones hold.
    #[serde(default)]
    #[schemars(length(max = 32))]
    pub(in crate::config) rollback: Vec<RollbackFile>,
    /// Service level objectives: one table for each.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub(in crate::config) slo: Vec<SloFile>,
    /// Where alerts are sent: one table for each destination. Without any, alerts wait in the outbox for the report.
    #[serde(default)]
    pub(in crate::config) destination: Vec<Option<DestinationFile>>,
    /// Where refused records go, with their reason, position and bytes.
    #[serde(default)]
    pub(in crate::config) dead_letters: DeadLettersFile,
    /// The port for metrics and health.
    #[serde(default)]
    pub(in crate::config) admin: AdminFile,
    /// What is logged, and how. Logs go to standard error.
    #[serde(default)]
    pub(in crate::config) log: LogFile,
    /// Bounds of the process.
    #[serde(default)]
    pub(in crate::config) limits: LimitsFile,
}

/// A secret: where it is read from. It is never written into the configuration itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(title = "secret")]
pub(in crate::config) enum SecretSource {
    /// Path of a file that holds nothing but the secret; a line end after it is cut off.
    File(String),
    /// Name of an environment variable that holds the secret.
    Env(String),
}

impl Serialize for SecretSource {
    /// The effective configuration shows where a secret comes from and never what it is.
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::File(path) => out.serialize_str(&format!("*** (from the file {path})")),
            Self::Env(name) => out.serialize_str(&format!("*** (from the environment variable {name})")),
        }
    }
}

/// A librdkafka property: text, number, yes or no, or a secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(title = "property")]
pub(in crate::config) enum Property {
    /// `true` or `false`.
    Flag(bool),
    /// A whole number.
    Number(i64),
    /// A fraction.
    Fraction(f64),
    /// Text as librdkafka documents it.
    Text(String),
    /// A password or key, as `{ file = "…" }` or `{ env = "…" }`.
    Secret(SecretSource),
}

/// Properties by their librdkafka name.
pub(in crate::config) type Properties = BTreeMap<String, Property>;

/// Where events come from.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct SourceFile {
    /// What kind of source it is: only `kafka` today (`replay` reads files).
    #[serde(default)]
    pub(in crate::config) kind: SourceKind,
    /// Brokers to ask first, each as `host:port`.
    #[schemars(required, length(min = 1, max = 100))]
    pub(in crate::config) brokers: Option<Vec<String>>,
    /// Topics that carry panic recovery events.
    #[schemars(required, length(min = 1, max = 100))]
    pub(in crate::config) topics: Option<Vec<String>>,
    /// What is known of a topic, by its name: `[source.feed.NAME]`. A topic without a table is read by what its records
    /// look like.
    #[serde(default)]
    #[schemars(extend("maxProperties" = 100))]
    pub(in crate::config) feed: BTreeMap<String, FeedFile>,
    /// How long, in event time, a panic from Cloudflare Logpush waits for the `http_requests` log of its request, which
    /// knows the client. Absent: 60 where a topic has the carrier `cloudflare_http_requests`, else nobody waits.
    #[schemars(range(max = 3600))]
    pub(in crate::config) join_wait_secs: Option<u32>,
    /// Consumer group.
    #[serde(default = "default_group")]
    #[schemars(length(min = 1, max = 249))]
    pub(in crate::config) group: String,
    /// Where to begin where the store has no checkpoint: `error` stops and says so, `earliest` reads all that the topic
    /// still holds, `latest` only what comes from now on.
    #[serde(default)]
    pub(in crate::config) offset_reset: OffsetReset,
    /// What to do when records are gone before they were read, or a topic was made anew under its old name: `stop` ends
    /// the service and says how many records of which partition are gone, `continue` says it and goes on with the oldest
    /// record that is there.
    #[serde(default)]
    pub(in crate::config) on_gap: OnGap,
    /// Most records in one batch (one transaction of the store).
    #[serde(default = "default_batch_records_max")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(in crate::config) batch_records_max: u32,
    /// Most bytes in one batch; one record may have 1 MiB.
    #[serde(default = "default_batch_bytes_max")]
    #[schemars(range(min = 1_048_576, max = 1_073_741_824))]
    pub(in crate::config) batch_bytes_max: u64,
    /// Longest wait for a batch to fill.
    #[serde(default = "default_batch_wait_ms")]
    #[schemars(range(min = 1, max = 60_000))]
    pub(in crate::config) batch_wait_ms: u64,
    /// Any librdkafka property, by its own name; what panicsift promises depends on is refused.
    #[serde(default)]
    pub(in crate::config) librdkafka: Properties,
}

/// What is known of a topic.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct FeedFile {
    /// The form of all its records; absent: told from each record.
    pub(in crate::config) carrier: Option<Carrier>,
    /// Service of the events whose carrier names none (plain standard error).
    #[schemars(length(min = 1, max = 1024))]
    pub(in crate::config) service: Option<String>,
    /// Tenant of the events whose carrier names none.
    #[schemars(length(min = 1, max = 1024))]
    pub(in crate::config) tenant: Option<String>,
}

/// Kind of source.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum SourceKind {
    /// A consumer group on Apache Kafka.
    #[default]
    Kafka,
}

/// Where to begin without a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OffsetReset {
    /// Stop and say so: nothing is skipped or repeated unseen.
    #[default]
    Error,
    /// From the oldest record that the topic still holds.
    Earliest,
    /// Only what comes from now on.
    Latest,
}

/// What to do when the place in a topic is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnGap {
    /// Stop and say how many records are gone.
    #[default]
    Stop,
    /// Say it and go on with the oldest record that is there.
    Continue,
}

fn default_group() -> String {
    "panicsift".to_owned()
}

fn default_batch_records_max() -> u32 {
    10_000
}

fn default_batch_bytes_max() -> u64 {
    16 * 1024 * 1024
}

fn default_batch_wait_ms() -> u64 {
    200
}

/// Where state is kept.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct StateFile {
    /// The SQLite file; relative paths count from the folder of this configuration.
    #[schemars(length(min = 1))]
    pub(in crate::config) path: String,
    /// How long a cell is kept after its last event.
    #[schemars(range(min = 1, max = 87_600))]
    pub(in crate::config) retention_hours: u64,
}

impl Default for StateFile {
    fn default() -> Self {
        Self { path: "/var/lib/panicsift/panicsift.db".to_owned(), retention_hours: 48 }
    }
}

/// How names are keyed.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct PrivacyFile {
    /// Key of the hashes that stand for tokens and payload structure, 16 bytes or more. Absent: made once and kept
    /// beside the store. Another key makes all names new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) key: Option<SecretSource>,
}

/// Address tables.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct TablesFile {
    /// Address to autonomous system, such as GeoLite2-ASN.mmdb.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub(in crate::config) asn: Option<String>,
    /// Address to country, such as GeoLite2-Country.mmdb.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub(in crate::config) country: Option<String>,
    /// How often the files are looked at for a newer version, which is then loaded while running.
    #[schemars(range(min = 1, max = 86_400))]
    pub(in crate::config) check_secs: u64,
}

impl Default for TablesFile {
    fn default() -> Self {
        Self { asn: None, country: None, check_secs: 60 }
    }
}

/// Models in place of the built-in ones.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct ModelsFile {
    /// Panic messages to class, surface and bucket.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub(in crate::config) panics: Option<String>,
    /// Token scopes to read, write and admin.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub(in crate::config) scopes: Option<String>,
    /// Weights, reach and bounds of clustering.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub(in crate::config) clustering: Option<String>,
    /// Weights of evidence and thresholds of the judge.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub(in crate::config) hostility: Option<String>,
    /// False alerts a day that the SOC can bear, a tenant: the operating point of the hostility model with the greatest
    /// budget that is not above this is in force.
    #[schemars(range(min = 0.001, max = 10_000.0))]
    pub(in crate::config) false_alerts_a_day: f64,
    /// What to write in place of code that panics; `report surfaces` tells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub(in crate::config) replacements: Option<String>,
}

impl Default for ModelsFile {
    fn default() -> Self {
        Self {
            panics: None,
            scopes: None,
            clustering: None,
            hostility: None,
            false_alerts_a_day: 1.0,
            replacements: None,
        }
    }
}

/// The rhythm of clustering.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct ClusteringFile {
    /// Event time between two clusterings.
    #[schemars(range(min = 1, max = 3_600))]
    pub(in crate::config) epoch_secs: u64,
    /// How far events may come out of the order of their time without changing a verdict or an alert: each waits so long,
    /// in event time, for earlier ones, and alerts come as much later. 0: only the events of one batch are put in order.
    #[schemars(range(max = 600))]
    pub(in crate::config) order_wait_secs: u64,
}

impl Default for ClusteringFile {
    fn default() -> Self {
        Self { epoch_secs: 10, order_wait_secs: 0 }
    }
}

/// When an alert is raised.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct AlertsFile {
    /// Points from which a cluster counts as hostile, in place of the hostility model's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -100.0, max = 100.0))]
    pub(in crate::config) threshold: Option<f64>,
    /// Shortest time between two alerts of one cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 604_800))]
    pub(in crate::config) cooldown_secs: Option<u64>,
    /// Silence after which an open alert is closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2_592_000))]
    pub(in crate::config) quiet_secs: Option<u64>,
    /// Hostile clusters of one tenant that are opened with an alert each within an hour of event time; what opens beyond
    /// is told by one digest.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000))]
    pub(in crate::config) digest_above: Option<u32>,
}

/// Where refused records go: a topic or a file.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct DeadLettersFile {
    /// Topic for refused records, on the brokers of the source. Not together with `path`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 249))]
    pub(in crate::config) topic: Option<String>,
    /// File for refused records, one JSON object a line. Without `topic` and `path` it is dead-letters.jsonl beside the
    /// store.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub(in crate::config) path: Option<String>,
    /// What is kept of a refused record's bytes: "keep" keeps them, "sealed" keeps them so that only the owner of a key
    /// can read them, "hash" keeps their BLAKE3 hash and their number.
    pub(in crate::config) raw: RawBytes,
    /// Whom bytes are sealed to, each of which can open them alone: X25519 recipients of age (`age-keygen` makes them).
    /// Needed for "sealed", and only for it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(in crate::config) recipients: Vec<String>,
    /// Share of refused records in the window above which the service stops and says so, rather than refuse a whole
    /// topic. 1.0 never stops.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub(in crate::config) share_max: f64,
    /// Length of that window.
    #[schemars(range(min = 1, max = 86_400))]
    pub(in crate::config) window_secs: u64,
    /// Records that the window must hold before its share counts.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub(in crate::config) window_records_min: u64,
}

impl Default for DeadLettersFile {
    fn default() -> Self {
        Self {
            topic: None,
            path: None,
            raw: RawBytes::default(),
            recipients: Vec::new(),
            share_max: 0.5,
            window_secs: 300,
            window_records_min: 1_000,
        }
    }
}

/// What is kept of a refused record's bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum RawBytes {
    /// The bytes.
    #[default]
    Keep,
    /// The bytes, sealed.
    Sealed,
    /// Their hash and number.
    Hash,
}

/// The port for metrics and health.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct AdminFile {
    /// Address and port to listen on. It has no password: keep it on a network of your own.
    pub(in crate::config) listen: String,
}

impl Default for AdminFile {
    fn default() -> Self {
        Self { listen: "127.0.0.1:9464".to_owned() }
    }
}

/// What is logged.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct LogFile {
    /// The least important level that is written.
    pub(in crate::config) level: LogLevel,
    /// Form of a line.
    pub(in crate::config) format: LogFormat,
}

/// Levels of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// Only what stops work.
    Error,
    /// Also what needs a look.
    Warn,
    /// Also what happened, a few lines a minute.
    #[default]
    Info,
    /// Also each batch.
    Debug,
    /// Also each step.
    Trace,
}

/// Forms of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// Bounds of the process.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct LimitsFile {
    /// Alerts that may wait for their destinations; at the bound the source is paused and readiness says why.
    #[schemars(range(min = 1, max = 100_000_000))]
    pub(in crate::config) outbox_alerts_max: u64,
    /// Time without progress, while there is work, after which the service is not ready and joins its group anew; after
    /// as much again it ends, so that it is started again.
    #[schemars(range(min = 1, max = 86_400))]
    pub(in crate::config) stall_secs: u64,
    /// Time for deliveries under way when the service is told to stop; the rest waits in the outbox.
    #[schemars(range(min = 1, max = 3_600))]
    pub(in crate::config) shutdown_secs: u64,
}

impl Default for LimitsFile {
    fn default() -> Self {
        Self { outbox_alerts_max: 100_000, stall_secs: 120, shutdown_secs: 20 }
    }
}
