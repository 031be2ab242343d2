//! From settings to edges: where alerts, refused records and events are.
//!
//! Only translation, key by key; nothing is opened but what a destination's constructor opens.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::config::{
    self, AlertFormat, DeadLetterPlace, DestinationKind, DestinationSettings, ElasticLogin, HttpSettings,
    KafkaSourceSettings, OffsetReset, OnGap, PropertyValue, RawBytes, Settings,
};
use crate::edge::deliver::{BatchLimits, FileSettings, HttpClient, Lane, Login, NdjsonFile, PaceLimits, TopicOutlet};
use crate::edge::elastic::{ElasticOutlet, ElasticSettings};
use crate::edge::files::FileDeadLetters;
use crate::edge::format::Format;
use crate::edge::kafka::produce::KafkaDeadLetters;
use crate::edge::kafka::{self, ConsumerSettings, ProducerSettings};
use crate::edge::splunk::{AckTimes, SplunkOutlet, SplunkSettings, SplunkWire};
use crate::edge::{DeadLetterError, DeadLetters, deliver, splunk};
use crate::pipeline::decode::contract::DeadLetter;
use crate::pipeline::event::Rejection;
use crate::secret::seal::seal;

/// Size at which a new dead letter file is begun.
const DEAD_LETTER_FILE_BYTES: u64 = 64 << 20;

/// The lane of a destination, reading the store at `store`.
pub(super) fn lane(settings: &DestinationSettings, store: &Path) -> Result<Lane> {
    let name = settings.name.clone();
    let (outlet, batch, pace): (Box<dyn deliver::Outlet>, _, _) = match &settings.kind {
        DestinationKind::File { path, format, rotate_bytes } => {
            let file = FileSettings { name: name.clone(), path: path.clone(), rotate_bytes: *rotate_bytes };
            (
                Box::new(NdjsonFile::new(&file).with_format(as_format(*format))),
                BatchLimits::default(),
                PaceLimits::default(),
            )
        }
        DestinationKind::Splunk { http, token, index, host, source, sourcetype, ack, ack_poll, ack_timeout } => {
            let (sending, batch, pace) = sending(http);
            let wire = SplunkWire::new(SplunkSettings {
                index: index.clone(),
                host: host.clone(),
                source: source.clone(),
                sourcetype: sourcetype.clone(),
            });
            let urls: Vec<String> = http.urls.iter().map(|url| splunk::base(url).to_owned()).collect();
            let client = HttpClient::new(&name, &urls, splunk::login(token.clone()), &sending).context(name.clone())?;
            let acks = (ack_mode(*ack), AckTimes { poll: *ack_poll, timeout: *ack_timeout });
            (Box::new(SplunkOutlet::new(&name, wire, client, acks)), batch, pace)
        }
        DestinationKind::Elastic { http, login, data_stream, template_check, .. } => {
            let (_, batch, pace) = sending(http);
            let stream = ElasticSettings { data_stream: data_stream.clone() };
            let client = elastic_client(&name, http, login)?;
            (Box::new(ElasticOutlet::new(name.clone(), client, &stream, *template_check)), batch, pace)
        }
        DestinationKind::Kafka { brokers, topic, format, timeout, retry_delay_max, properties } => {
            let mut producer = ProducerSettings::new(brokers.clone(), topic.clone());
            producer.deadline = *timeout;
            producer.properties = plain(properties);
            let pace = PaceLimits { delay_max: *retry_delay_max, ..PaceLimits::default() };
            (Box::new(TopicOutlet::new(producer).with_format(as_format(*format))), BatchLimits::default(), pace)
        }
    };
    Ok(Lane::new(name, store, outlet).with_limits(batch, pace))
}

/// The client of an Elastic destination, for its lane and for `setup`.
pub(super) fn elastic_client(name: &str, http: &HttpSettings, login: &ElasticLogin) -> Result<HttpClient> {
    HttpClient::new(name, &http.urls, self::login(login), &sending(http).0).context(name.to_owned())
}

fn as_format(format: AlertFormat) -> Format {
    match format {
        AlertFormat::Native => Format::Native,
        AlertFormat::Ecs => Format::Ecs,
        AlertFormat::Ocsf => Format::Ocsf,
        AlertFormat::Cef => Format::Cef,
        AlertFormat::Leef => Format::Leef,
        AlertFormat::Syslog { enterprise_number } => Format::Syslog { enterprise_number },
    }
}

fn sending(http: &HttpSettings) -> (deliver::HttpSettings, BatchLimits, PaceLimits) {
    let sending = deliver::HttpSettings {
        ca_file: http.ca_file.clone(),
        client_cert_file: http.client_cert_file.clone(),
        client_key_file: http.client_key_file.clone(),
        server_name: http.server_name.clone(),
        gzip: http.gzip,
        timeout_ms: u64::try_from(http.timeout.as_millis()).unwrap_or(u64::MAX),
    };
    let batch = BatchLimits { alerts_max: http.batch_alerts_max, bytes_max: http.batch_bytes_max };
    (sending, batch, PaceLimits { delay_max: http.retry_delay_max, ..PaceLimits::default() })
}

fn ack_mode(mode: config::AckMode) -> splunk::AckMode {
    match mode {
        config::AckMode::Auto => splunk::AckMode::Auto,
        config::AckMode::Required => splunk::AckMode::Required,
        config::AckMode::Off => splunk::AckMode::Off,
    }
}

fn login(login: &ElasticLogin) -> Login {
    match login {
        ElasticLogin::None => Login::None,
        ElasticLogin::ApiKey(key) => Login::Token { scheme: "ApiKey", secret: key.clone() },
        ElasticLogin::Basic { user, password } => Login::Basic { user: user.clone(), password: password.clone() },
    }
}

/// The consumer of the input topics.
pub(super) fn consumer(settings: &KafkaSourceSettings) -> ConsumerSettings {
    let mut consumer = ConsumerSettings::new(settings.brokers.clone(), settings.topics.clone(), settings.group.clone());
    consumer.offset_reset = match settings.offset_reset {
        OffsetReset::Error => kafka::OffsetReset::Error,
        OffsetReset::Earliest => kafka::OffsetReset::Earliest,
        OffsetReset::Latest => kafka::OffsetReset::Latest,
    };
    consumer.on_gap = match settings.on_gap {
        OnGap::Stop => kafka::OnGap::Stop,
        OnGap::Continue => kafka::OnGap::Continue,
    };
    consumer.batch.n_records_max = settings.batch_records_max;
    consumer.batch.n_bytes_max = settings.batch_bytes_max;
    consumer.batch.wait_max = settings.batch_wait;
    consumer.properties = plain(&settings.properties);
    consumer
}

fn plain(properties: &BTreeMap<String, PropertyValue>) -> BTreeMap<String, String> {
    properties.iter().map(|(name, value)| (name.clone(), value.expose().to_owned())).collect()
}

/// Where refused records go: one of the two that the configuration knows.
pub(super) enum DeadLetterSink {
    /// A topic.
    Topic(KafkaDeadLetters),
    /// A file.
    File(FileDeadLetters),
}

impl DeadLetterSink {
    /// Opens what the settings name.
    pub(super) fn open(settings: &Settings) -> Result<Self> {
        match &settings.dead_letters.place {
            DeadLetterPlace::Topic(topic) => {
                let mut producer = ProducerSettings::new(settings.source.brokers.clone(), topic.clone());
                producer.properties = shared_with_producers(&settings.source.properties);
                let raw = settings.dead_letters.raw.clone();
                let letters = KafkaDeadLetters::start(&producer, move |rejection| letter(rejection, &raw))?
                    .or_without_bytes(letter_without_bytes);
                Ok(Self::Topic(letters))
            }
            DeadLetterPlace::File(path) => Self::file(path, settings.dead_letters.raw.clone()),
        }
    }

    /// A file; `raw` says what is kept of a record's bytes.
    pub(super) fn file(path: &Path, raw: RawBytes) -> Result<Self> {
        let encode = move |rejection: &Rejection<'_>| letter(rejection, &raw);
        Ok(Self::File(FileDeadLetters::open(path, DEAD_LETTER_FILE_BYTES, encode)?))
    }
}

impl DeadLetters for DeadLetterSink {
    async fn write(&mut self, rejections: &[Rejection<'_>]) -> Result<(), DeadLetterError> {
        match self {
            Self::Topic(topic) => topic.write(rejections).await,
            Self::File(file) => file.write(rejections).await,
        }
    }
}

/// What a producer to the source's brokers needs of the consumer's properties: how to get in.
pub(super) fn shared_with_producers(properties: &BTreeMap<String, PropertyValue>) -> BTreeMap<String, String> {
    const ACCESS: [&str; 4] = ["security.", "sasl.", "ssl.", "enable.ssl."];
    let access = properties.iter().filter(|(name, _)| ACCESS.iter().any(|prefix| name.starts_with(prefix)));
    access.map(|(name, value)| (name.clone(), value.expose().to_owned())).collect()
}

fn letter(rejection: &Rejection<'_>, raw: &RawBytes) -> Vec<u8> {
    let letter = DeadLetter::new(rejection, Some(super::wall_clock()));
    let payload = rejection.record.payload;
    encoded(&match raw {
        RawBytes::Keep => letter,
        RawBytes::Hash => letter.hashed(payload),
        RawBytes::Sealed(recipients) => match seal(recipients, payload) {
            Ok(sealed) => letter.sealed(&sealed),
            Err(error) => {
                // Never in the clear instead: the bytes are still at the record's position.
                tracing::error!(%error, "a dead letter is kept with the hash of its bytes alone");
                letter.hashed(payload)
            }
        },
    })
}

/// For a topic that does not take the record's bytes: they are still at the record's position in the input topic.
fn letter_without_bytes(rejection: &Rejection<'_>) -> Vec<u8> {
    encoded(&DeadLetter::new(rejection, Some(super::wall_clock())).hashed(rejection.record.payload))
}

fn encoded(letter: &DeadLetter) -> Vec<u8> {
    // A letter is texts and numbers: it always has a JSON form.
    serde_json::to_vec(letter).unwrap_or_default()
}
