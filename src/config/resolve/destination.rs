//! The meaning of destinations: unique names, addresses, logins, one writer for each file.
//!
//! Part of [`super`]; the same rules hold.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Scene;
use crate::config::fault::{KeyPath, plain};
use crate::config::file::destination::{
    Addresses, DestinationFile, ElasticFile, FileDestinationFile, KafkaDestinationFile, LineFormat, RecordFormat,
    SplunkFile,
};
use crate::config::{
    AlertFormat, DeadLetterPlace, DestinationKind, DestinationSettings, ElasticLogin, HttpSettings,
    KafkaSourceSettings, PropertyValue,
};

/// Beginnings of the properties that say how to reach brokers; a destination on the source's brokers takes them over.
const CONNECTION_PREFIXES: [&str; 4] = ["security.", "sasl.", "ssl.", "enable.ssl."];

/// All destinations, in order; `None` where one is faulty.
pub(super) fn all(
    files: &[Option<DestinationFile>],
    source: Option<&KafkaSourceSettings>,
    scene: &mut Scene<'_>,
) -> Vec<Option<DestinationSettings>> {
    let mut names: Vec<&str> = Vec::new();
    let mut settings = Vec::new();
    for (place, file) in files.iter().enumerate() {
        let at = KeyPath::default().key("destination").index(place);
        let Some(file) = file else {
            settings.push(None);
            continue;
        };
        let (name, kind) = match file {
            DestinationFile::File(file) => (&file.name, written(file, &at, scene)),
            DestinationFile::Splunk(file) => (&file.name, splunk(file, &at, scene)),
            DestinationFile::Elastic(file) => (&file.name, elastic(file, &at, scene)),
            DestinationFile::Kafka(file) => (&file.name, kafka(file, &at, source, scene)),
        };
        if let Some(name) = name {
            name_fits(name, &names, &at.key("name"), scene);
            names.push(name);
        }
        settings.push(kind.zip(name.clone()).map(|(kind, name)| DestinationSettings { name, kind }));
    }
    settings
}

/// A file has one writer: two destinations, the store and the dead letters never share one.
pub(super) fn one_writer_a_file(
    files: &[Option<DestinationFile>],
    settings: &[Option<DestinationSettings>],
    (state, dead_letters): (&Path, &DeadLetterPlace),
    scene: &mut Scene<'_>,
) {
    let mut taken: Vec<(PathBuf, &str)> = vec![(state.to_owned(), "state.path")];
    if let DeadLetterPlace::File(path) = dead_letters {
        let at = KeyPath::default().key("dead_letters").key("path");
        if path == state {
            scene.faults.push(at, "state.path names the same file", "each needs a file of its own");
        }
        taken.push((path.clone(), "dead_letters.path"));
    }
    debug_assert_eq!(files.len(), settings.len());
    for (place, settings) in settings.iter().enumerate() {
        let Some(DestinationSettings { name, kind: DestinationKind::File { path, .. } }) = settings else { continue };
        if let Some((_, by)) = taken.iter().find(|(other, _)| other == path) {
            let at = KeyPath::default().key("destination").index(place).key("path");
            scene.faults.push(at, format!("{} names the same file", plain(by)), "each needs a file of its own");
        }
        taken.push((path.clone(), name));
    }
}

fn name_fits(name: &str, earlier: &[&str], at: &KeyPath, scene: &mut Scene<'_>) {
    if earlier.contains(&name) {
        scene.faults.push(at.clone(), format!("the name \"{}\" stands twice", plain(name)), "each name must be unique");
    }
    if !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')) {
        let allowed = "letters, digits, \"-\", \"_\" and \".\" are allowed in a name";
        scene.faults.push(at.clone(), format!("found \"{}\"", plain(name)), allowed);
    }
}

/// The private enterprise number of RFC 5612, for documentation: whoever has one of their own sets it.
const DOCUMENTATION_ENTERPRISE: u32 = 32_473;

fn written(file: &FileDestinationFile, at: &KeyPath, scene: &mut Scene<'_>) -> Option<DestinationKind> {
    let format = match file.format {
        LineFormat::Native => AlertFormat::Native,
        LineFormat::Ecs => AlertFormat::Ecs,
        LineFormat::Ocsf => AlertFormat::Ocsf,
        LineFormat::Cef => AlertFormat::Cef,
        LineFormat::Leef => AlertFormat::Leef,
        LineFormat::Syslog => {
            AlertFormat::Syslog { enterprise_number: file.enterprise_number.unwrap_or(DOCUMENTATION_ENTERPRISE) }
        }
    };
    if file.enterprise_number.is_some() && file.format != LineFormat::Syslog {
        let found = "only the format \"syslog\" has such a number";
        scene.faults.push(at.key("enterprise_number"), found, "take it away, or set the format");
    }
    Some(DestinationKind::File { path: scene.path(file.path.as_ref()?), format, rotate_bytes: file.rotate_bytes })
}

fn splunk(file: &SplunkFile, at: &KeyPath, scene: &mut Scene<'_>) -> Option<DestinationKind> {
    let http = HttpSettings {
        urls: urls(file.url.as_ref(), &at.key("url"), scene),
        ca_file: scene.existing(&at.key("ca_file"), file.ca_file.as_ref()),
        client_cert_file: scene.existing(&at.key("client_cert_file"), file.client_cert_file.as_ref()),
        client_key_file: scene.existing(&at.key("client_key_file"), file.client_key_file.as_ref()),
        server_name: file.server_name.clone(),
        gzip: file.gzip,
        timeout: Duration::from_millis(file.timeout_ms),
        batch_alerts_max: usize::try_from(file.batch_alerts_max).unwrap_or(usize::MAX),
        batch_bytes_max: usize::try_from(file.batch_bytes_max).unwrap_or(usize::MAX),
        retry_delay_max: Duration::from_millis(file.retry_delay_ms_max),
    };
    tls(&http, at, scene);
    if file.ack_poll_ms >= file.ack_timeout_ms {
        let found = format!("{} is not less than ack_timeout_ms", file.ack_poll_ms);
        scene.faults.push(at.key("ack_poll_ms"), found, "what is given up must have been asked for before");
    }
    Some(DestinationKind::Splunk {
        http,
        token: scene.credential(&at.key("token"), file.token.as_ref()?)?,
        index: file.index.clone(),
        host: file.host.clone(),
        source: file.source.clone(),
        sourcetype: file.sourcetype.clone(),
        ack: file.ack,
        ack_poll: Duration::from_millis(file.ack_poll_ms),
        ack_timeout: Duration::from_millis(file.ack_timeout_ms),
    })
}

fn elastic(file: &ElasticFile, at: &KeyPath, scene: &mut Scene<'_>) -> Option<DestinationKind> {
    let http = HttpSettings {
        urls: urls(file.url.as_ref(), &at.key("url"), scene),
        ca_file: scene.existing(&at.key("ca_file"), file.ca_file.as_ref()),
        client_cert_file: scene.existing(&at.key("client_cert_file"), file.client_cert_file.as_ref()),
        client_key_file: scene.existing(&at.key("client_key_file"), file.client_key_file.as_ref()),
        server_name: file.server_name.clone(),
        gzip: file.gzip,
        timeout: Duration::from_millis(file.timeout_ms),
        batch_alerts_max: usize::try_from(file.batch_alerts_max).unwrap_or(usize::MAX),
        batch_bytes_max: usize::try_from(file.batch_bytes_max).unwrap_or(usize::MAX),
        retry_delay_max: Duration::from_millis(file.retry_delay_ms_max),
    };
    tls(&http, at, scene);
    data_stream(&file.data_stream, &at.key("data_stream"), scene);
    Some(DestinationKind::Elastic {
        http,
        login: login(file, at, scene)?,
        data_stream: file.data_stream.clone(),
        template_check: file.template_check,
        retention_days: file.retention_days,
    })
}

/// Certificates and names belong to TLS; a key that would have no effect is a mistake about what is protected.
fn tls(http: &HttpSettings, at: &KeyPath, scene: &mut Scene<'_>) {
    let set = [
        ("client_cert_file", http.client_cert_file.is_some()),
        ("client_key_file", http.client_key_file.is_some()),
        ("server_name", http.server_name.is_some()),
    ];
    if http.urls.iter().any(|url| url.starts_with("http://")) {
        for (key, _) in set.iter().filter(|(_, is_set)| *is_set) {
            scene.faults.push(at.key(key), "an address without TLS is set", "every address must begin with https://");
        }
    }
    let pair = "client_cert_file and client_key_file belong together";
    match (&http.client_cert_file, &http.client_key_file) {
        (Some(_), None) => scene.faults.push(at.key("client_key_file"), "missing", pair),
        (None, Some(_)) => scene.faults.push(at.key("client_cert_file"), "missing", pair),
        (Some(_), Some(_)) | (None, None) => {}
    }
    if let Some(name) = &http.server_name
        && (!super::host_fits(name) || name.starts_with('[') || name.parse::<std::net::IpAddr>().is_ok())
    {
        let found = format!("found \"{}\"", plain(name));
        scene.faults.push(at.key("server_name"), found, "a host name is expected, such as splunk.example");
    }
}

/// The addresses of a destination, all different.
fn urls(addresses: Option<&Addresses>, at: &KeyPath, scene: &mut Scene<'_>) -> Vec<String> {
    let several = match addresses {
        // That it is missing has been noted before.
        None => return Vec::new(),
        Some(Addresses::One(address)) => return vec![url(address, at, scene)],
        Some(Addresses::Several(several)) => several,
    };
    let mut urls: Vec<String> = Vec::new();
    for (place, address) in several.iter().enumerate() {
        let at = at.index(place);
        let address = url(address, &at, scene);
        if urls.contains(&address) {
            scene.faults.push(at, "this address stands twice", "each address must be another one");
        }
        urls.push(address);
    }
    urls
}

/// The rules of Elasticsearch for names of data streams.
fn data_stream(name: &str, at: &KeyPath, scene: &mut Scene<'_>) {
    let forbidden = |c: char| c.is_uppercase() || c.is_whitespace() || "\\/*?\"<>|,#:".contains(c) || c.is_control();
    if name.contains(forbidden) || name.starts_with(['-', '_', '+', '.']) {
        let allowed = "small letters, digits, \"-\", \"_\" and \".\" are allowed, the first a letter or digit";
        scene.faults.push(at.clone(), format!("found \"{}\"", plain(name)), allowed);
    }
}

fn login(file: &ElasticFile, at: &KeyPath, scene: &mut Scene<'_>) -> Option<ElasticLogin> {
    let one_login = "use api_key, or user and password, or none of them";
    match (&file.api_key, &file.user, &file.password) {
        (None, None, None) => Some(ElasticLogin::None),
        (Some(key), None, None) => scene.credential(&at.key("api_key"), key).map(ElasticLogin::ApiKey),
        (None, Some(user), Some(password)) => scene
            .credential(&at.key("password"), password)
            .map(|password| ElasticLogin::Basic { user: user.clone(), password }),
        (None, Some(_), None) => {
            scene.faults.push(at.key("password"), "missing", one_login);
            None
        }
        (None, None, Some(_)) => {
            scene.faults.push(at.key("user"), "missing", one_login);
            None
        }
        (Some(_), ..) => {
            scene.faults.push(at.key("api_key"), "two logins are set", one_login);
            None
        }
    }
}

fn kafka(
    file: &KafkaDestinationFile,
    at: &KeyPath,
    source: Option<&KafkaSourceSettings>,
    scene: &mut Scene<'_>,
) -> Option<DestinationKind> {
    if let Some(topic) = &file.topic {
        scene.topic(&at.key("topic"), topic);
        if file.brokers.is_none() && source.is_some_and(|source| source.topics.contains(topic)) {
            let found = format!("\"{}\" is also read as a source", plain(topic));
            scene.faults.push(at.key("topic"), found, "alerts need a topic of their own");
        }
    }
    let own = scene.properties(&at.key("librdkafka"), &file.librdkafka);
    let (brokers, properties) = if let Some(brokers) = &file.brokers {
        scene.brokers(&at.key("brokers"), brokers);
        (brokers.clone(), own)
    } else {
        let source = source?;
        let mut properties: BTreeMap<String, PropertyValue> = source
            .properties
            .iter()
            .filter(|(name, _)| CONNECTION_PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        properties.extend(own);
        (source.brokers.clone(), properties)
    };
    Some(DestinationKind::Kafka {
        brokers,
        topic: file.topic.clone()?,
        format: match file.format {
            RecordFormat::Native => AlertFormat::Native,
            RecordFormat::Ecs => AlertFormat::Ecs,
            RecordFormat::Ocsf => AlertFormat::Ocsf,
        },
        timeout: Duration::from_millis(file.timeout_ms),
        retry_delay_max: Duration::from_millis(file.retry_delay_ms_max),
        properties,
    })
}

/// An address of a server: scheme, host, port and path; a user in it would be a secret in plain text.
fn url(text: &str, at: &KeyPath, scene: &mut Scene<'_>) -> String {
    let expected = "http:// or https:// with a host is expected, such as https://siem.example:8088";
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let authority = rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    match authority {
        Some(authority) if authority.contains('@') => {
            scene.faults.push(at.clone(), "found a user inside the address", "use the keys for tokens and passwords");
        }
        Some(authority) if authority_fits(authority) => {
            if text.contains(['?', '#']) || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
                scene.faults.push(at.clone(), "found a query, a fragment or a space", expected);
            }
        }
        _ if text.contains('@') => scene.faults.push(at.clone(), "found something else", expected),
        _ => scene.faults.push(at.clone(), format!("found \"{}\"", plain(text)), expected),
    }
    text.trim_end_matches('/').to_owned()
}

/// Host, and a port that is a number where there is one.
fn authority_fits(authority: &str) -> bool {
    if super::host_fits(authority) {
        return true;
    }
    authority
        .rsplit_once(':')
        .is_some_and(|(host, port)| super::host_fits(host) && port.parse::<u16>().is_ok_and(|port| port != 0))
}
