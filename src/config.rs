//! The configuration: a TOML file becomes [`Settings`], or a list of everything that is wrong with it.
//!
//! Reads the file, the files and environment variables that secrets name, and whether named files are there; nothing
//! else in this crate reads the environment. Never substitutes text inside the file, never shows a secret, never stops
//! at the first fault. Three passes: TOML, then form (types, ranges, names of keys, against the JSON Schema that
//! `panicsift schema config.v1` prints), then meaning (relations between keys, addresses, files). What comes out cannot
//! be invalid, so no one checks again. A file has at most 1 MiB; the cost is one schema compilation, some milliseconds.

mod fault;
mod file;
mod resolve;
mod structure;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use fault::{ConfigFaults, Fault, KeyPath};
pub use file::destination::{AckMode, DEFAULT_DATA_STREAM, DEFAULT_RETENTION_DAYS, TemplateCheck};
pub use file::{LogFormat, LogLevel, OffsetReset, OnGap};

use ipnet::IpNet;

use crate::pipeline::brief::searches::Places;
use crate::pipeline::decode::Feeds;
use crate::pipeline::event::Millis;
use crate::pipeline::operations::Rules;
use crate::secret::seal::Recipient;
use crate::secret::{Credential, Secret};
use fault::Faults;

/// Largest configuration file; real ones have some kilobytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// A checked configuration. Paths are absolute or count from the working directory; secrets are read.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Where events come from.
    pub source: KafkaSourceSettings,
    /// The store.
    pub state: StateSettings,
    /// Key of the names of tokens and structures; `None`: the service makes one and keeps it beside the store.
    pub privacy_key: Option<Secret>,
    /// Address tables.
    pub tables: TableSettings,
    /// Model files in place of the built-in ones.
    pub models: ModelSettings,
    /// Rhythm of clustering.
    pub clustering: ClusteringSettings,
    /// When an alert is raised.
    pub alerts: AlertSettings,
    /// Where alerts go, in the order of the file; names are unique.
    pub destinations: Vec<DestinationSettings>,
    /// Where refused records go.
    pub dead_letters: DeadLetterSettings,
    /// Where metrics and health are served.
    pub admin_listen: SocketAddr,
    /// The log.
    pub log: LogSettings,
    /// Bounds of the process.
    pub limits: LimitSettings,
    /// Things that are allowed and yet worth a look, such as an address table that is not there yet; to be logged.
    pub warnings: Vec<String>,
    effective: String,
}

/// A Kafka consumer group.
#[derive(Debug, Clone, PartialEq)]
pub struct KafkaSourceSettings {
    /// Brokers as `host:port`; at least one.
    pub brokers: Vec<String>,
    /// Topics; at least one.
    pub topics: Vec<String>,
    /// What is said of single topics.
    pub feeds: Feeds,
    /// How long a panic waits for the log of its request, in event time; zero: it does not.
    pub join_wait: Duration,
    /// Consumer group.
    pub group: String,
    /// Where to begin without a checkpoint.
    pub offset_reset: OffsetReset,
    /// What to do when our place is gone.
    pub on_gap: OnGap,
    /// Most records in a batch.
    pub batch_records_max: usize,
    /// Most bytes in a batch.
    pub batch_bytes_max: usize,
    /// Longest wait for a batch to fill.
    pub batch_wait: Duration,
    /// librdkafka properties, to be set before our own.
    pub properties: BTreeMap<String, PropertyValue>,
}

/// Value of a librdkafka property. `Debug` does not show secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PropertyValue {
    /// May be shown.
    Plain(String),
    /// A password or key.
    Secret(Secret),
}

impl PropertyValue {
    /// The text that librdkafka gets.
    pub fn expose(&self) -> &str {
        match self {
            Self::Plain(text) => text,
            Self::Secret(secret) => secret.expose(),
        }
    }
}

/// The store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateSettings {
    /// The SQLite file.
    pub path: PathBuf,
    /// How long a cell is kept after its last event.
    pub retention: Duration,
}

/// Address tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSettings {
    /// Address to autonomous system.
    pub asn: Option<PathBuf>,
    /// Address to country.
    pub country: Option<PathBuf>,
    /// How often the files are looked at.
    pub check_interval: Duration,
}

impl Default for TableSettings {
    fn default() -> Self {
        resolve::tables(&file::TablesFile::default(), Path::new(""))
    }
}

/// Model files in place of the built-in ones, which exist when the settings are made, and the operating point.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelSettings {
    /// Panic messages.
    pub panics: Option<PathBuf>,
    /// Token scopes.
    pub scopes: Option<PathBuf>,
    /// Clustering.
    pub clustering: Option<PathBuf>,
    /// Hostility.
    pub hostility: Option<PathBuf>,
    /// False alerts a day that the SOC can bear, a tenant.
    pub false_alerts_a_day: f64,
    /// Replacements of code that panics.
    pub replacements: Option<PathBuf>,
}

impl Default for ModelSettings {
    fn default() -> Self {
        Self {
            panics: None,
            scopes: None,
            clustering: None,
            hostility: None,
            false_alerts_a_day: file::ModelsFile::default().false_alerts_a_day,
            replacements: None,
        }
    }
}

/// Rhythm of clustering.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusteringSettings {
    /// Event time between two clusterings.
    pub epoch: Duration,
    /// How long an event waits, in event time, for earlier ones.
    pub order_wait: Duration,
}

impl Default for ClusteringSettings {
    fn default() -> Self {
        let file::ClusteringFile { epoch_secs, order_wait_secs } = file::ClusteringFile::default();
        Self { epoch: Duration::from_secs(epoch_secs), order_wait: Duration::from_secs(order_wait_secs) }
    }
}

/// When an alert is raised; `None` leaves the hostility model's value.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AlertSettings {
    /// Points from which a cluster counts as hostile.
    pub threshold: Option<f64>,
    /// Shortest time between two alerts of one cluster.
    pub cooldown: Option<Duration>,
    /// Silence after which an open alert is closed.
    pub quiet: Option<Duration>,
    /// Clusters that are opened with an alert each within an hour.
    pub digest_above: Option<u32>,
    /// Tests that were announced.
    pub expected: Vec<ExpectedSettings>,
    /// What operations are told by: declarations, limits, criteria, objectives.
    pub operations: Rules,
    /// Where alerts go, for the searches in them: the first destination of each kind.
    pub places: Places,
}

/// A test that was announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedSettings {
    /// What it is, with its ticket.
    pub reason: String,
    /// Event time from which on it holds.
    pub from: Millis,
    /// Event time at which it ends; after `from`.
    pub until: Millis,
    /// Networks that send; none is everyone.
    pub sources: Vec<IpNet>,
    /// Tokens that send, by the producers' ids; there is a source or a token.
    pub tokens: Vec<String>,
    /// Services; all when empty.
    pub services: Vec<String>,
    /// Routes; all when empty.
    pub routes: Vec<String>,
}

/// A destination: its unique name, and what its kind needs.
#[derive(Debug, Clone, PartialEq)]
pub struct DestinationSettings {
    /// Name in logs, metrics and the outbox: letters, digits, `-`, `_`, `.`.
    pub name: String,
    /// What it is.
    pub kind: DestinationKind,
}

/// What a destination is.
#[derive(Debug, Clone, PartialEq)]
pub enum DestinationKind {
    /// One alert a line in a file.
    File {
        /// The file.
        path: PathBuf,
        /// How a line looks.
        format: AlertFormat,
        /// Size at which a new file is begun.
        rotate_bytes: u64,
    },
    /// Splunk HTTP Event Collector.
    Splunk {
        /// How requests are sent.
        http: HttpSettings,
        /// The collector's token.
        token: Credential,
        /// Index; `None`: the token's own.
        index: Option<String>,
        /// Host; `None`: the sender's address.
        host: Option<String>,
        /// Source.
        source: String,
        /// Sourcetype.
        sourcetype: String,
        /// Whether acknowledgements are asked for.
        ack: AckMode,
        /// Time between two questions for them.
        ack_poll: Duration,
        /// Time after which one is given up, and the alerts are sent again.
        ack_timeout: Duration,
    },
    /// Elasticsearch or OpenSearch.
    Elastic {
        /// How requests are sent.
        http: HttpSettings,
        /// Who we are.
        login: ElasticLogin,
        /// Data stream.
        data_stream: String,
        /// Whether an index template is looked for.
        template_check: TemplateCheck,
        /// Days that an index is kept after its rollover.
        retention_days: u32,
    },
    /// A Kafka topic.
    Kafka {
        /// Brokers as `host:port`.
        brokers: Vec<String>,
        /// Topic.
        topic: String,
        /// How a record looks.
        format: AlertFormat,
        /// Longest wait for the brokers to take an alert.
        timeout: Duration,
        /// Longest pause between two attempts.
        retry_delay_max: Duration,
        /// librdkafka properties, to be set before our own.
        properties: BTreeMap<String, PropertyValue>,
    },
}

/// How an alert looks where the destination does not say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AlertFormat {
    /// The contract `alert.v1`.
    #[default]
    Native,
    /// Elastic Common Schema.
    Ecs,
    /// OCSF Detection Finding.
    Ocsf,
    /// Common Event Format.
    Cef,
    /// Log Event Extended Format 2.0.
    Leef,
    /// Syslog message, RFC 5424.
    Syslog {
        /// IANA private enterprise number of the structured data.
        enterprise_number: u32,
    },
}

/// How requests to an HTTP destination are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpSettings {
    /// `http://` or `https://`, host, optional port and path; no user, no trailing slash. At least one, all different,
    /// the preferred first.
    pub urls: Vec<String>,
    /// PEM file of the authority; it exists when the settings are made.
    pub ca_file: Option<PathBuf>,
    /// PEM file of our certificate; it exists when the settings are made, and so does the key's.
    pub client_cert_file: Option<PathBuf>,
    /// PEM file of its key; there when the certificate's is.
    pub client_key_file: Option<PathBuf>,
    /// The name that the server's certificate must bear; all addresses are then `https://`.
    pub server_name: Option<String>,
    /// Whether requests are compressed.
    pub gzip: bool,
    /// Longest wait for an answer.
    pub timeout: Duration,
    /// Most alerts in a request.
    pub batch_alerts_max: usize,
    /// Most bytes in a request, before compression.
    pub batch_bytes_max: usize,
    /// Longest pause between two attempts.
    pub retry_delay_max: Duration,
}

/// Who we are for Elasticsearch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ElasticLogin {
    /// Nobody: a server without security.
    None,
    /// API key in the server's own form (base64 of id and key).
    ApiKey(Credential),
    /// User and password.
    Basic {
        /// User.
        user: String,
        /// Password.
        password: Credential,
    },
}

/// Where refused records go.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadLetterSettings {
    /// Topic or file.
    pub place: DeadLetterPlace,
    /// What is kept of a record's bytes.
    pub raw: RawBytes,
    /// Share of refused records above which the service stops; 1.0 never does.
    pub share_max: f64,
    /// Window of that share.
    pub window: Duration,
    /// Records that the window must hold before its share counts.
    pub window_records_min: u64,
}

/// What is kept of a refused record's bytes.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum RawBytes {
    /// The bytes.
    #[default]
    Keep,
    /// The bytes, sealed to any of these (at least one).
    Sealed(Vec<Recipient>),
    /// Their hash and number.
    Hash,
}

/// Topic or file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeadLetterPlace {
    /// A topic on the brokers of the source.
    Topic(String),
    /// A file, one JSON object a line.
    File(PathBuf),
}

/// The log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogSettings {
    /// Least important level that is written.
    pub level: LogLevel,
    /// Form of a line.
    pub format: LogFormat,
}

/// Bounds of the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitSettings {
    /// Alerts that may wait.
    pub outbox_alerts_max: u64,
    /// Time without progress after which the service is not ready.
    pub stall: Duration,
    /// Time for deliveries under way at the end.
    pub shutdown: Duration,
}

impl Default for LimitSettings {
    fn default() -> Self {
        resolve::limits(&file::LimitsFile::default())
    }
}

impl Settings {
    /// Reads a configuration file. Relative paths in it count from its folder. Gives every fault at once.
    pub fn load(path: &Path) -> Result<Self, ConfigFaults> {
        let text = read_text(path, FILE_BYTES_MAX).map_err(|error| {
            ConfigFaults::whole(format!("{}: {error}", path.display()), "name a file that can be read")
        })?;
        let base_dir = path.parent().unwrap_or(Path::new(""));
        Self::parse(&text, base_dir, &environment)
    }

    /// The same over a text: `base_dir` is the folder that relative paths count from, `env` gives environment variables.
    pub fn parse(text: &str, base_dir: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigFaults> {
        let table: toml::Table = text.parse().map_err(|error| syntax_fault(text, &error))?;
        let mut faults = Faults::default();
        let config = structure::read(table, &mut faults);
        let settings = config.and_then(|config| resolve::resolve(&config, base_dir, env, &mut faults));
        faults.finish()?;
        settings.ok_or_else(|| {
            ConfigFaults::whole("the configuration could not be read".to_owned(), "report this as a bug")
        })
    }

    /// The configuration in force, defaults filled in, as TOML; secrets stand as `***` and where they come from.
    pub fn render_redacted(&self) -> &str {
        &self.effective
    }
}

/// The JSON Schema of the file: the contract `schemas/config.v1.json`.
pub fn schema() -> serde_json::Value {
    structure::schema()
}

/// Reads a key file named on the command line, by the rules of `privacy.key`.
pub fn read_key_file(path: &Path) -> Result<Secret, ConfigFaults> {
    let mut faults = Faults::default();
    let key = resolve::key_file(path, &mut faults);
    faults.finish()?;
    key.ok_or_else(|| ConfigFaults::whole("the key could not be read".to_owned(), "name a file that can be read"))
}

/// Reads a file with age identities, named on the command line, by the rules of `privacy.key`'s file.
pub fn read_identity_file(path: &Path) -> Result<Secret, ConfigFaults> {
    read_key_file(path)
}

/// Whether the user asked for output without colour (`NO_COLOR` set to anything but nothing).
pub fn no_color() -> bool {
    environment("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// Who runs this process, as far as the environment says: who called `sudo`, else who is logged in. Not proved.
pub fn operator_name() -> Option<String> {
    ["SUDO_USER", "LOGNAME", "USER"].into_iter().filter_map(environment).find(|name| !name.trim().is_empty())
}

/// The environment; a variable that is not Unicode counts as absent.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Reads a text file of at most `bytes_max`.
fn read_text(path: &Path, bytes_max: u64) -> std::io::Result<String> {
    use std::io::Read;
    let mut text = String::new();
    std::fs::File::open(path)?.take(bytes_max + 1).read_to_string(&mut text)?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > bytes_max {
        return Err(std::io::Error::other(format!("the file has more than {bytes_max} bytes")));
    }
    Ok(text)
}

/// A fault of TOML itself, with line and column from 1. The line itself is not shown: it may hold a secret.
fn syntax_fault(text: &str, error: &toml::de::Error) -> ConfigFaults {
    let start = error.span().map_or(0, |span| span.start);
    let before = text.get(..start).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    let message = error.message().lines().next().unwrap_or_default();
    ConfigFaults::whole(
        format!("line {line}, column {column}: {}", fault::plain(message)),
        "the file must be TOML; text values stand in double quotes",
    )
}

#[cfg(test)]
mod tests;
