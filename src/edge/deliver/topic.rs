//! The topic destination: one alert a record, keyed by its cluster, acknowledged before it counts as delivered.
//!
//! Takes alerts, writes each in the chosen format as a value. The key keeps the changes of a cluster in one partition, in
//! order. Headers: `content-type`, `format`, `alert_id`; a repeat bears the same `alert_id`. The proof of a delivery is
//! `TOPIC-PARTITION@OFFSET`. Settings that Kafka refuses hold the lane, and are tried anew with each probe (a
//! certificate may have been put in place); brokers that do not acknowledge are a destination that is down.
//!
//! A request in which something is too large is sent again record by record: a broker refuses a whole batch for one of
//! them, and only what is too large alone is refused for good. The others are then in the topic twice.

use super::{Fate, Outlet, Reading, Sending, Word, words};
use crate::edge::format::{Format, encode};
use crate::edge::kafka::ProducerSettings;
use crate::edge::kafka::produce::{AlertRecord, KafkaAlerts, Place, ProduceError};
use crate::pipeline::alert::Alert;

/// A topic that alerts are written to.
pub struct TopicOutlet {
    settings: ProducerSettings,
    format: Format,
    client: Option<KafkaAlerts>,
}

impl TopicOutlet {
    /// A destination for `alert.v1` that connects with the first alert.
    pub fn new(settings: ProducerSettings) -> Self {
        Self { settings, format: Format::default(), client: None }
    }

    /// The same in another format.
    #[must_use]
    pub fn with_format(mut self, format: Format) -> Self {
        self.format = format;
        self
    }

    async fn write(&mut self, alerts: &[Alert]) -> Reading {
        let mut values = Vec::with_capacity(alerts.len());
        for (at, alert) in alerts.iter().enumerate() {
            let mut value = Vec::new();
            if let Err(error) = encode(self.format, alert, &mut value) {
                return Reading::Poison { suspect: Some(at), why: words(error.to_string().as_bytes()) };
            }
            values.push(value);
        }
        let records: Vec<AlertRecord<'_>> =
            alerts.iter().zip(&values).map(|(alert, value)| record(self.format, alert, value)).collect();
        let client = match self.client.take().filter(|client| !client.is_dead()) {
            Some(client) => client,
            None => match KafkaAlerts::start(&self.settings) {
                Ok(client) => client,
                Err(error) => return read(&error),
            },
        };
        let client = self.client.insert(client);
        let topic = &self.settings.topic;
        match (client.send(&records).await, records.as_slice()) {
            (Ok(places), _) => Reading::Words(places.iter().map(|place| taken(topic, *place)).collect()),
            (Err(error @ ProduceError::TooLarge { .. }), [_]) => Reading::Words(vec![refused(&error)]),
            (Err(ProduceError::TooLarge { .. }), _) => one_by_one(client, topic, &records).await,
            (Err(error), _) => read(&error),
        }
    }
}

impl Outlet for TopicOutlet {
    fn send<'a>(&'a mut self, alerts: &'a [Alert]) -> Sending<'a> {
        Box::pin(self.write(alerts))
    }
}

fn record<'a>(format: Format, alert: &'a Alert, value: &'a [u8]) -> AlertRecord<'a> {
    let headers =
        vec![("content-type", format.content_type()), ("format", format.name()), ("alert_id", alert.alert_id.as_str())];
    AlertRecord { key: &alert.cluster, value, headers }
}

/// Each alone, up to the first that is not acknowledged: a broker that is away is not waited for once an alert.
async fn one_by_one(client: &mut KafkaAlerts, topic: &str, records: &[AlertRecord<'_>]) -> Reading {
    let mut said = Vec::with_capacity(records.len());
    for record in records.chunks(1) {
        match client.send(record).await {
            Ok(places) => said.extend(places.iter().map(|place| taken(topic, *place))),
            Err(error @ ProduceError::TooLarge { .. }) => said.push(refused(&error)),
            Err(error) => {
                said.resize(records.len(), Word::Retry(words(error.to_string().as_bytes())));
                break;
            }
        }
    }
    Reading::Words(said)
}

fn taken(topic: &str, Place { partition, offset }: Place) -> Word {
    Word::Final(Fate::Delivered, format!("{topic}-{partition}@{offset}"))
}

fn refused(error: &ProduceError) -> Word {
    Word::Final(Fate::Refused, words(error.to_string().as_bytes()))
}

fn read(error: &ProduceError) -> Reading {
    let why = words(error.to_string().as_bytes());
    match error {
        ProduceError::Settings { .. } => Reading::Hold { why },
        ProduceError::TooLarge { .. } => Reading::TooLarge { why },
        ProduceError::NotWritten { .. } => Reading::Retry { why, after: None, slow_down: false },
    }
}
