//! The meaning of a configuration: file structs become [`Settings`], or every fault of meaning is told.
//!
//! Takes structs whose form is right; reads the files and variables that secrets name, and whether model and certificate
//! files are there. Relations between keys are checked here, so that none of them is checked while running. A part that
//! is missing or faulty never hides the faults of the others.

mod destination;
mod expected;
mod operations;
mod slo;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::fault::{Faults, KeyPath, plain};
use super::file::{
    AdminFile, AlertsFile, DeadLettersFile, FeedFile, FileConfig, LimitsFile, ModelsFile, Properties, Property,
    SecretSource, SourceFile, TablesFile,
};
use super::{
    AlertSettings, ClusteringSettings, DeadLetterPlace, DeadLetterSettings, DestinationKind, DestinationSettings,
    KafkaSourceSettings, LimitSettings, LogSettings, ModelSettings, PropertyValue, RawBytes, Settings, StateSettings,
    TableSettings,
};
use crate::pipeline::brief::searches::Places;
use crate::pipeline::decode::{Feed, Feeds};
use crate::pipeline::event::Carrier;
use crate::pipeline::operations::Rules;
use crate::secret::seal::Recipient;
use crate::secret::{Credential, Secret};

/// How long panics wait for the logs of their requests where some are read: Logpush's batches are a minute apart.
const JOIN_WAIT: Duration = Duration::from_mins(1);
/// Longest secret; certificates with their chain stay well below.
const SECRET_BYTES_MAX: u64 = 64 * 1024;
/// Shortest privacy key: below it hashes of short tokens can be guessed.
const PRIVACY_KEY_BYTES_MIN: usize = 16;
/// Longest topic name of Kafka is in the schema; these are its letters.
const TOPIC_LETTERS: &str = "letters, digits, \".\", \"_\" and \"-\" are allowed in a topic";

/// Properties on which the promises rest, and what to use in their place.
const RESERVED: [(&str, &str); 12] = [
    ("bootstrap.servers", "use the key brokers"),
    ("metadata.broker.list", "use the key brokers"),
    ("group.id", "use the key group"),
    ("auto.offset.reset", "use the key offset_reset"),
    ("enable.auto.commit", "offsets are committed only after the store's transaction"),
    ("enable.auto.offset.store", "offsets are stored only after the store's transaction"),
    ("enable.partition.eof", "panicsift sets it itself"),
    ("enable.idempotence", "alerts and dead letters are always written idempotently"),
    ("acks", "alerts and dead letters are always written with acks=all"),
    ("request.required.acks", "alerts and dead letters are always written with acks=all"),
    ("delivery.report.only.error", "each acknowledgement is awaited"),
    ("test.mock.num.brokers", "it would replace the brokers"),
];

/// Properties that hold secrets and so must not stand in the file.
const SECRET_PROPERTIES: [&str; 6] = [
    "sasl.password",
    "sasl.oauthbearer.client.secret",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.password",
    "sasl.oauthbearer.config",
];

/// What every part needs: where relative paths begin, the environment, and where faults go.
pub(super) struct Scene<'a> {
    base_dir: &'a Path,
    env: &'a dyn Fn(&str) -> Option<String>,
    faults: &'a mut Faults,
}

/// Makes settings of the file structs; `None` where a part is missing, its fault noted.
pub(super) fn resolve(
    config: &FileConfig,
    base_dir: &Path,
    env: &dyn Fn(&str) -> Option<String>,
    faults: &mut Faults,
) -> Option<Settings> {
    let mut scene = Scene { base_dir, env, faults };
    let source = config.source.as_ref().map(|file| source(file, &mut scene));
    let state_path = scene.path(&config.state.path);
    let tables = tables(&config.tables, base_dir);
    let privacy_key = privacy_key(config.privacy.key.as_ref(), &mut scene);
    let models = models(&config.models, &mut scene);
    let alerts = alerts(&config.alerts, &mut scene);
    let expected = expected::all(&config.expected, &mut scene);
    let (slos, doubtful_slos) = slo::all(&config.slo, &mut scene);
    let operations = operations::rules(config, slos, &mut scene);
    let dead_letters = dead_letters(&config.dead_letters, source.as_ref(), &state_path, &mut scene);
    let destinations = destination::all(&config.destination, source.as_ref(), &mut scene);
    destination::one_writer_a_file(&config.destination, &destinations, (&state_path, &dead_letters.place), &mut scene);
    let admin_listen = admin(&config.admin, &mut scene);
    if !scene.faults.is_empty() {
        return None;
    }
    let effective = toml::to_string(config).map_err(|error| {
        scene.faults.push(KeyPath::default(), format!("it cannot be written back: {error}"), "report this as a bug");
    });
    let destinations = destinations.into_iter().collect::<Option<Vec<_>>>()?;
    let places = places(&destinations);
    Some(Settings {
        source: source?,
        state: StateSettings { path: state_path, retention: Duration::from_hours(config.state.retention_hours) },
        privacy_key,
        warnings: [warnings(&tables), doubtful_slos].concat(),
        tables,
        models,
        clustering: ClusteringSettings {
            epoch: Duration::from_secs(config.clustering.epoch_secs),
            order_wait: Duration::from_secs(config.clustering.order_wait_secs),
        },
        alerts: AlertSettings { expected, operations, places, ..alerts },
        destinations,
        dead_letters,
        admin_listen: admin_listen?,
        log: LogSettings { level: config.log.level, format: config.log.format },
        limits: limits(&config.limits),
        effective: effective.ok()?,
    })
}

/// Bounds of the process.
pub(super) fn limits(file: &LimitsFile) -> LimitSettings {
    LimitSettings {
        outbox_alerts_max: file.outbox_alerts_max,
        stall: Duration::from_secs(file.stall_secs),
        shutdown: Duration::from_secs(file.shutdown_secs),
    }
}

/// Address tables. That one is not there is no fault: it may come later, and the stream must not wait for it.
pub(super) fn tables(file: &TablesFile, base_dir: &Path) -> TableSettings {
    TableSettings {
        asn: file.asn.as_ref().map(|path| base_dir.join(path)),
        country: file.country.as_ref().map(|path| base_dir.join(path)),
        check_interval: Duration::from_secs(file.check_secs),
    }
}

/// The key of names from a file that the command line names.
pub(super) fn key_file(path: &Path, faults: &mut Faults) -> Option<Secret> {
    let mut scene = Scene { base_dir: Path::new(""), env: &|_| None, faults };
    privacy_key(Some(&SecretSource::File(path.to_string_lossy().into_owned())), &mut scene)
}

/// What is allowed and yet worth a look.
fn warnings(tables: &TableSettings) -> Vec<String> {
    let missing = |(key, path): (&str, &Option<PathBuf>)| {
        let path = path.as_ref().filter(|path| !path.is_file())?;
        Some(format!("{key}: there is no file {}; events carry no network until it is there", path.display()))
    };
    [("tables.asn", &tables.asn), ("tables.country", &tables.country)].into_iter().filter_map(missing).collect()
}

impl Scene<'_> {
    /// A path of the file, counted from the configuration's folder.
    fn path(&self, text: &str) -> PathBuf {
        self.base_dir.join(text)
    }

    /// A file that must be there.
    fn existing(&mut self, at: &KeyPath, text: Option<&String>) -> Option<PathBuf> {
        let path = self.path(text?);
        if !path.is_file() {
            self.faults.push(
                at.clone(),
                format!("there is no file {}", path.display()),
                "name a file that can be read",
            );
        }
        Some(path)
    }

    /// Reads a secret from where it is kept, for good.
    fn secret(&mut self, at: &KeyPath, source: &SecretSource) -> Option<Secret> {
        self.credential(at, source).map(|credential| credential.secret().clone())
    }

    /// Reads a secret from where it is kept, and notes where to read it again.
    fn credential(&mut self, at: &KeyPath, source: &SecretSource) -> Option<Credential> {
        let (found, text) = match source {
            SecretSource::File(path) => {
                let path = self.path(path);
                let text = super::read_text(&path, SECRET_BYTES_MAX);
                (format!("the file {}", path.display()), text.map_err(|error| error.to_string()))
            }
            SecretSource::Env(name) => {
                let text = (self.env)(name).ok_or_else(|| "it is not set".to_owned());
                (format!("the environment variable {}", plain(name)), text)
            }
        };
        match text {
            Ok(text) if text.trim().is_empty() => {
                self.faults.push(at.clone(), format!("{found} is empty"), "put the secret there and nothing else");
                None
            }
            Ok(text) => {
                let text = text.trim_end_matches(['\r', '\n']);
                Some(match source {
                    SecretSource::File(path) => Credential::in_file(text, self.path(path)),
                    SecretSource::Env(_) => Credential::fixed(text),
                })
            }
            Err(error) => {
                self.faults.push(at.clone(), format!("{found} cannot be read: {error}"), "put the secret there");
                None
            }
        }
    }

    /// Broker addresses.
    fn brokers(&mut self, at: &KeyPath, brokers: &[String]) {
        for (place, broker) in brokers.iter().enumerate() {
            let port =
                broker.rsplit_once(':').filter(|(host, _)| host_fits(host)).and_then(|(_, port)| port.parse().ok());
            if port.is_none_or(|port: u16| port == 0) {
                self.faults.push(at.index(place), format!("found \"{}\"", plain(broker)), "host:port is expected");
            }
        }
    }

    /// A topic name.
    fn topic(&mut self, at: &KeyPath, topic: &str) {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if !topic.chars().all(fits) || matches!(topic, "." | "..") {
            self.faults.push(at.clone(), format!("found \"{}\"", plain(topic)), TOPIC_LETTERS);
        }
    }

    /// librdkafka properties: nothing that a promise rests on, no secret as plain text.
    fn properties(&mut self, at: &KeyPath, file: &Properties) -> BTreeMap<String, PropertyValue> {
        let mut properties = BTreeMap::new();
        for (name, property) in file {
            let at = at.key(name);
            if let Some((_, instead)) = RESERVED.iter().find(|(reserved, _)| reserved == name) {
                self.faults.push(at, "this property cannot be set", *instead);
                continue;
            }
            let value = match property {
                Property::Secret(source) => self.secret(&at, source).map(PropertyValue::Secret),
                _ if SECRET_PROPERTIES.contains(&name.as_str()) => {
                    self.faults.push(at, "found a secret as plain text", super::structure::SECRET_FORMS);
                    None
                }
                Property::Flag(flag) => Some(PropertyValue::Plain(flag.to_string())),
                Property::Number(number) => Some(PropertyValue::Plain(number.to_string())),
                Property::Fraction(number) => Some(PropertyValue::Plain(number.to_string())),
                Property::Text(text) => Some(PropertyValue::Plain(text.clone())),
            };
            properties.extend(value.map(|value| (name.clone(), value)));
        }
        properties
    }
}

/// A name or an address, IPv6 in brackets.
fn host_fits(host: &str) -> bool {
    let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match inner {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')),
    }
}

fn source(file: &SourceFile, scene: &mut Scene<'_>) -> KafkaSourceSettings {
    let at = KeyPath::default().key("source");
    let brokers = file.brokers.clone().unwrap_or_default();
    let topics = file.topics.clone().unwrap_or_default();
    scene.brokers(&at.key("brokers"), &brokers);
    for (place, topic) in topics.iter().enumerate() {
        let at = at.key("topics").index(place);
        if topics.iter().take(place).any(|other| other == topic) {
            scene.faults.push(at, format!("\"{}\" stands twice", plain(topic)), "name each topic once");
        } else if topic.is_empty() {
            scene.faults.push(at, "found an empty text", TOPIC_LETTERS);
        } else {
            scene.topic(&at, topic);
        }
    }
    let feeds = feeds(file, &at, scene);
    // Half a panic is told at once where no topic is known to tell the other half.
    let join_wait = match file.join_wait_secs {
        Some(secs) => Duration::from_secs(secs.into()),
        None if feeds.has(Carrier::CloudflareHttpRequests) => JOIN_WAIT,
        None => Duration::ZERO,
    };
    let settings = KafkaSourceSettings {
        brokers,
        topics,
        feeds,
        join_wait,
        group: file.group.clone(),
        offset_reset: file.offset_reset,
        on_gap: file.on_gap,
        batch_records_max: usize::try_from(file.batch_records_max).unwrap_or(usize::MAX),
        batch_bytes_max: usize::try_from(file.batch_bytes_max).unwrap_or(usize::MAX),
        batch_wait: Duration::from_millis(file.batch_wait_ms),
        properties: scene.properties(&at.key("librdkafka"), &file.librdkafka),
    };
    poll_interval(&settings, &at, scene);
    settings
}

/// What is said of the topics; of those that are not read, nothing may be said.
fn feeds(file: &SourceFile, at: &KeyPath, scene: &mut Scene<'_>) -> Feeds {
    let read = file.topics.as_deref().unwrap_or_default();
    let feed = |(name, topic): (&String, &FeedFile)| {
        if !read.contains(name) {
            let found = format!("\"{}\" is not among the topics", plain(name));
            scene.faults.push(at.key("feed").key(name), found, "name it in source.topics, or remove its table");
        }
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let feed =
            Feed { carrier: topic.carrier, service: text(&topic.service), tenant: text(&topic.tenant), time: None };
        (name.clone(), feed)
    };
    Feeds::new(file.feed.iter().map(feed).collect(), Feed::default())
}

/// A batch must be asked for well inside the time after which the brokers give the partitions away.
fn poll_interval(settings: &KafkaSourceSettings, at: &KeyPath, scene: &mut Scene<'_>) {
    const NAME: &str = "max.poll.interval.ms";
    let interval =
        settings.properties.get(NAME).and_then(|value| value.expose().parse().ok()).map(Duration::from_millis);
    let least = settings.batch_wait.saturating_mul(2);
    if interval.is_some_and(|interval| interval < least) {
        let allowed = format!("at least twice batch_wait_ms, {} ms, is needed", least.as_millis());
        scene.faults.push(at.key("librdkafka").key(NAME), "too short", allowed);
    }
}

fn privacy_key(source: Option<&SecretSource>, scene: &mut Scene<'_>) -> Option<Secret> {
    let at = KeyPath::default().key("privacy").key("key");
    let key = scene.secret(&at, source?)?;
    if key.expose().len() < PRIVACY_KEY_BYTES_MIN {
        scene.faults.push(at, "the key is too short", format!("at least {PRIVACY_KEY_BYTES_MIN} bytes are needed"));
    }
    Some(key)
}

fn models(file: &ModelsFile, scene: &mut Scene<'_>) -> ModelSettings {
    let at = KeyPath::default().key("models");
    ModelSettings {
        panics: scene.existing(&at.key("panics"), file.panics.as_ref()),
        scopes: scene.existing(&at.key("scopes"), file.scopes.as_ref()),
        clustering: scene.existing(&at.key("clustering"), file.clustering.as_ref()),
        hostility: scene.existing(&at.key("hostility"), file.hostility.as_ref()),
        false_alerts_a_day: file.false_alerts_a_day,
        replacements: scene.existing(&at.key("replacements"), file.replacements.as_ref()),
    }
}

fn alerts(file: &AlertsFile, scene: &mut Scene<'_>) -> AlertSettings {
    if let (Some(cooldown), Some(quiet)) = (file.cooldown_secs, file.quiet_secs)
        && quiet < cooldown
    {
        let allowed = format!("at least cooldown_secs, {cooldown}, is needed, or an alert closes before it may grow");
        scene.faults.push(KeyPath::default().key("alerts").key("quiet_secs"), format!("found {quiet}"), allowed);
    }
    AlertSettings {
        threshold: file.threshold,
        cooldown: file.cooldown_secs.map(Duration::from_secs),
        quiet: file.quiet_secs.map(Duration::from_secs),
        digest_above: file.digest_above,
        expected: Vec::new(),
        operations: Rules::default(),
        places: Places::default(),
    }
}

/// Where alerts go, for the searches in them: the first destination of each kind.
fn places(destinations: &[DestinationSettings]) -> Places {
    let mut places = Places::default();
    for destination in destinations.iter().rev() {
        match &destination.kind {
            DestinationKind::Splunk { index, sourcetype, .. } => {
                places.splunk_index.clone_from(index);
                places.splunk_sourcetype.clone_from(sourcetype);
            }
            DestinationKind::Elastic { data_stream, .. } => places.data_stream.clone_from(data_stream),
            DestinationKind::File { .. } | DestinationKind::Kafka { .. } => {}
        }
    }
    places
}

fn dead_letters(
    file: &DeadLettersFile,
    source: Option<&KafkaSourceSettings>,
    state_path: &Path,
    scene: &mut Scene<'_>,
) -> DeadLetterSettings {
    let at = KeyPath::default().key("dead_letters");
    let place = match (&file.topic, &file.path) {
        (Some(_), Some(_)) => {
            let at = at.key("path");
            scene.faults.push(at, "topic and path are both set", "refused records go to one place: keep one of them");
            DeadLetterPlace::File(PathBuf::new())
        }
        (Some(topic), None) => {
            let at = at.key("topic");
            scene.topic(&at, topic);
            if source.is_some_and(|source| source.topics.contains(topic)) {
                let found = format!("\"{}\" is also read as a source", plain(topic));
                scene.faults.push(at, found, "refused records need a topic of their own");
            }
            DeadLetterPlace::Topic(topic.clone())
        }
        (None, Some(path)) => DeadLetterPlace::File(scene.path(path)),
        (None, None) => DeadLetterPlace::File(state_path.with_file_name("dead-letters.jsonl")),
    };
    let raw = raw_bytes(file, &at, scene);
    DeadLetterSettings {
        place,
        raw,
        share_max: file.share_max,
        window: Duration::from_secs(file.window_secs),
        window_records_min: file.window_records_min,
    }
}

/// What is kept of refused records; sealing needs somebody who can open it again.
fn raw_bytes(file: &DeadLettersFile, at: &KeyPath, scene: &mut Scene<'_>) -> RawBytes {
    let at = at.key("recipients");
    let mut recipients = Vec::new();
    for (index, text) in file.recipients.iter().enumerate() {
        match Recipient::parse(text) {
            Ok(recipient) => recipients.push(recipient),
            // Not quoted: it may be the secret key, pasted by mistake.
            Err(error) => {
                scene.faults.push(at.index(index), format!("found a text of {} bytes", text.len()), error.to_string());
            }
        }
    }
    let is_sealed = file.raw == super::file::RawBytes::Sealed;
    match (is_sealed, file.recipients.is_empty()) {
        (true, true) => scene.faults.push(at, "no recipient", "raw = \"sealed\" needs whom bytes are sealed to"),
        (false, false) => {
            scene.faults.push(
                at,
                "recipients without raw = \"sealed\"",
                "nothing would be sealed: set raw, or remove them",
            );
        }
        _ => {}
    }
    match file.raw {
        super::file::RawBytes::Keep => RawBytes::Keep,
        super::file::RawBytes::Sealed => RawBytes::Sealed(recipients),
        super::file::RawBytes::Hash => RawBytes::Hash,
    }
}

fn admin(file: &AdminFile, scene: &mut Scene<'_>) -> Option<SocketAddr> {
    let listen = file.listen.parse().ok();
    if listen.is_none() {
        let at = KeyPath::default().key("admin").key("listen");
        let allowed = "an address and a port are expected, such as 127.0.0.1:9464 or [::]:9464";
        scene.faults.push(at, format!("found \"{}\"", plain(&file.listen)), allowed);
    }
    listen
}
