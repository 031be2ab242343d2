//! The destinations of the configuration as they stand in the file: one struct for each `kind`.
//!
//! Like [`super`], nothing is checked here beyond type and range. Keys that several kinds share have the same name,
//! meaning and default in each; they are repeated rather than nested, so that a destination reads as one flat table.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Properties, SecretSource};
use crate::pipeline::brief::searches::Places;

/// A place that alerts are sent to, by its `kind`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[schemars(title = "destination")]
pub(in crate::config) enum DestinationFile {
    /// One alert a line in a file, rotated by size.
    File(FileDestinationFile),
    /// Splunk HTTP Event Collector.
    Splunk(SplunkFile),
    /// Elasticsearch or OpenSearch, by the bulk interface.
    Elastic(ElasticFile),
    /// A Kafka topic, keyed by cluster.
    Kafka(KafkaDestinationFile),
}

/// The data stream of a destination that names none; its dataset is also that of every document.
pub const DEFAULT_DATA_STREAM: &str = Places::DATA_STREAM;

/// Days that alerts are kept where nothing else is said: a year, as incident reviews ask for.
pub const DEFAULT_RETENTION_DAYS: u32 = 365;

/// Whether a lane looks for an index template before it writes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum TemplateCheck {
    /// It does, and waits until there is one.
    #[default]
    Required,
    /// It writes without looking.
    Off,
}

/// One address, or several.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline, title = "addresses")]
pub(in crate::config) enum Addresses {
    /// The only one.
    One(String),
    /// The preferred first.
    Several(#[schemars(length(min = 1, max = 32))] Vec<String>),
}

/// Whether a Splunk destination asks for acknowledgements.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AckMode {
    /// Where the token has it.
    #[default]
    Auto,
    /// Always; without it nothing is sent.
    Required,
    /// Never.
    Off,
}

/// One alert a line in a file.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(in crate::config) struct FileDestinationFile {
    /// Name of the destination in logs, metrics and the outbox; it must stay the same.
    #[schemars(required, length(min = 1, max = 64))]
    pub(in crate::config) name: Option<String>,
    /// The file; relative paths count from the folder of this configuration.
    #[schemars(required, length(min = 1))]
    pub(in crate::config) path: Option<String>,
    /// How a line looks.
    #[serde(default)]
    pub(in crate::config) format: LineFormat,
    /// IANA private enterprise number of the structured data, with the format `syslog`; absent: 32473, which is kept for
    /// documentation.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub(in crate::config) enterprise_number: Option<u32>,
    /// Size at which a new file is begun; the old ones stay, numbered, until somebody takes them away.
    #[serde(default = "default_rotate_bytes")]
    #[schemars(range(min = 65_536, max = 1_099_511_627_776_u64))]
    pub(in crate::config) rotate_bytes: u64,
}

/// How an alert looks as a line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(in crate::config) enum LineFormat {
    /// JSON, the contract `alert.v1`.
    #[default]
    Native,
    /// JSON, Elastic Common Schema.
    Ecs,
    /// JSON, OCSF Detection Finding.
    Ocsf,
    /// Common Event Format.
    Cef,
    /// Log Event Extended Format 2.0.
    Leef,
    /// Syslog message, RFC 5424.
    Syslog,
}

/// How an alert looks as a record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(in crate::config) enum RecordFormat {
    /// The contract `alert.v1`.
    #[default]
    Native,
    /// Elastic Common Schema.
    Ecs,
    /// OCSF Detection Finding.
    Ocsf,
}

/// Splunk HTTP Event Collector.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(in crate::config) struct SplunkFile {
    /// Name of the destination in logs, metrics and the outbox; it must stay the same.
    #[schemars(required, length(min = 1, max = 64))]
    pub(in crate::config) name: Option<String>,
    /// Where the collector listens, such as `https://splunk.example:8088`; several addresses of one Splunk: an array, the
    /// preferred first, the others for when it fails.
    #[schemars(required)]
    pub(in crate::config) url: Option<Addresses>,
    /// The collector's token.
    #[schemars(required)]
    pub(in crate::config) token: Option<SecretSource>,
    /// Index; absent: the token's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub(in crate::config) index: Option<String>,
    /// Host of the events; absent: Splunk takes the sender's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub(in crate::config) host: Option<String>,
    /// Source of the events.
    #[serde(default = "default_splunk_source")]
    #[schemars(length(min = 1, max = 1024))]
    pub(in crate::config) source: String,
    /// Sourcetype of the events.
    #[serde(default = "default_sourcetype")]
    #[schemars(length(min = 1, max = 1024))]
    pub(in crate::config) sourcetype: String,
    /// Indexer acknowledgement: `auto` uses it where the token has it and says which it is, `required` sends nothing
    /// without it, `off` takes an answer for enough.
    #[serde(default)]
    pub(in crate::config) ack: AckMode,
    /// Time between two questions for acknowledgements.
    #[serde(default = "default_ack_poll_ms")]
    #[schemars(range(min = 10, max = 600_000))]
    pub(in crate::config) ack_poll_ms: u64,
    /// What is not acknowledged after this time is sent again, under the same ids.
    #[serde(default = "default_ack_timeout_ms")]
    #[schemars(range(min = 1_000, max = 86_400_000))]
    pub(in crate::config) ack_timeout_ms: u64,
    /// PEM file of the authority that signed the server's certificate; absent: the well-known ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub(in crate::config) ca_file: Option<String>,
    /// PEM file of our own certificate, for a server that wants one; together with `client_key_file`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub(in crate::config) client_cert_file: Option<String>,
    /// PEM file of its key, not encrypted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub(in crate::config) client_key_file: Option<String>,
    /// Name that the server's certificate must bear, where it is not the host of the address.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub(in crate::config) server_name: Option<String>,
    /// Whether requests are compressed.
    #[serde(default = "default_gzip")]
    pub(in crate::config) gzip: bool,
    /// Longest wait for an answer.
    #[serde(default = "default_timeout_ms")]
    #[schemars(range(min = 100, max = 600_000))]
    pub(in crate::config) timeout_ms: u64,
    /// Most alerts in one request.
    #[serde(default = "default_batch_alerts_max")]
    #[schemars(range(min = 1, max = 10_000))]
    pub(in crate::config) batch_alerts_max: u32,
    /// Most bytes in one request, before compression.
    #[serde(default = "default_request_bytes_max")]
    #[schemars(range(min = 65_536, max = 104_857_600))]
    pub(in crate::config) batch_bytes_max: u64,
    /// Longest pause between two attempts; the first pauses are shorter.
    #[serde(default = "default_retry_delay_ms_max")]
    #[schemars(range(min = 100, max = 3_600_000))]
    pub(in crate::config) retry_delay_ms_max: u64,
}

/// Elasticsearch or OpenSearch.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(in crate::config) struct ElasticFile {
    /// Name of the destination in logs, metrics and the outbox; it must stay the same.
    #[schemars(required, length(min = 1, max = 64))]
    pub(in crate::config) name: Option<String>,
    /// Where the server listens, such as `https://elastic.example:9200`; several nodes of one cluster: an array, the
    /// preferred first, the others for when it fails.
    #[schemars(required)]
    pub(in crate::config) url: Option<Addresses>,
    /// Data stream that the alerts are created in.
    #[serde(default = "default_data_stream")]
    #[schemars(length(min = 1, max = 255))]
    pub(in crate::config) data_stream: String,
    /// Whether the lane looks for an index template before it writes: `required` keeps it on hold until there is one
    /// (`panicsift setup elastic` makes it), `off` writes without looking.
    #[serde(default)]
    pub(in crate::config) template_check: TemplateCheck,
    /// Days that `panicsift setup elastic` has the server keep an index after it was rolled over.
    #[serde(default = "default_retention_days")]
    #[schemars(range(min = 1, max = 36_500))]
    pub(in crate::config) retention_days: u32,
    /// API key as the server gave it (base64 of id and key). Not together with `user`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) api_key: Option<SecretSource>,
    /// User, together with `password`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub(in crate::config) user: Option<String>,
    /// The user's password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) password: Option<SecretSource>,
    /// PEM file of the authority that signed the server's certificate; absent: the well-known ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub(in crate::config) ca_file: Option<String>,
    /// PEM file of our own certificate, for a server that wants one; together with `client_key_file`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub(in crate::config) client_cert_file: Option<String>,
    /// PEM file of its key, not encrypted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub(in crate::config) client_key_file: Option<String>,
    /// Name that the server's certificate must bear, where it is not the host of the address.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub(in crate::config) server_name: Option<String>,
    /// Whether requests are compressed.
    #[serde(default = "default_gzip")]
    pub(in crate::config) gzip: bool,
    /// Longest wait for an answer.
    #[serde(default = "default_timeout_ms")]
    #[schemars(range(min = 100, max = 600_000))]
    pub(in crate::config) timeout_ms: u64,
    /// Most alerts in one request.
    #[serde(default = "default_batch_alerts_max")]
    #[schemars(range(min = 1, max = 10_000))]
    pub(in crate::config) batch_alerts_max: u32,
    /// Most bytes in one request, before compression.
    #[serde(default = "default_request_bytes_max")]
    #[schemars(range(min = 65_536, max = 104_857_600))]
    pub(in crate::config) batch_bytes_max: u64,
    /// Longest pause between two attempts; the first pauses are shorter.
    #[serde(default = "default_retry_delay_ms_max")]
    #[schemars(range(min = 100, max = 3_600_000))]
    pub(in crate::config) retry_delay_ms_max: u64,
}

/// A Kafka topic.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(in crate::config) struct KafkaDestinationFile {
    /// Name of the destination in logs, metrics and the outbox; it must stay the same.
    #[schemars(required, length(min = 1, max = 64))]
    pub(in crate::config) name: Option<String>,
    /// Brokers, each as `host:port`; absent: those of the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    pub(in crate::config) brokers: Option<Vec<String>>,
    /// Topic that the alerts are written to.
    #[schemars(required, length(min = 1, max = 249))]
    pub(in crate::config) topic: Option<String>,
    /// How a record looks.
    #[serde(default)]
    pub(in crate::config) format: RecordFormat,
    /// Longest wait for the brokers to take an alert.
    #[serde(default = "default_timeout_ms")]
    #[schemars(range(min = 100, max = 600_000))]
    pub(in crate::config) timeout_ms: u64,
    /// Longest pause between two attempts; the first pauses are shorter.
    #[serde(default = "default_retry_delay_ms_max")]
    #[schemars(range(min = 100, max = 3_600_000))]
    pub(in crate::config) retry_delay_ms_max: u64,
    /// Any librdkafka property, by its own name; what panicsift promises depends on is refused.
    #[serde(default)]
    pub(in crate::config) librdkafka: Properties,
}

fn default_rotate_bytes() -> u64 {
    64 * 1024 * 1024
}

fn default_splunk_source() -> String {
    "panicsift".to_owned()
}

fn default_sourcetype() -> String {
    Places::SOURCETYPE.to_owned()
}

/// Splunk's advice is 10 s for many forwarders; one lane asks with one small request.
fn default_ack_poll_ms() -> u64 {
    2_000
}

/// Splunk's advice.
fn default_ack_timeout_ms() -> u64 {
    300_000
}

fn default_data_stream() -> String {
    DEFAULT_DATA_STREAM.to_owned()
}

fn default_retention_days() -> u32 {
    DEFAULT_RETENTION_DAYS
}

fn default_gzip() -> bool {
    true
}

fn default_timeout_ms() -> u64 {
    10_000
}

fn default_batch_alerts_max() -> u32 {
    200
}

/// Splunk's and Elastic's own advice begins well below their limits (800 kB and 100 MB).
fn default_request_bytes_max() -> u64 {
    512 * 1024
}

fn default_retry_delay_ms_max() -> u64 {
    60_000
}
