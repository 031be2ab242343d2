//! The topic destination: one alert a record, keyed by its cluster, acknowledged before it counts as delivered.
//!
//! Takes alerts, writes their JSON (`alert.v1`) as values. The key keeps the changes of a cluster in one partition, in
//! order. A repeat bears the same `alert_id`. Settings that Kafka refuses hold the lane, and are tried anew with each
//! probe (a certificate may have been put in place); brokers that do not acknowledge are a destination that is down.
//!
//! A request in which something is too large is sent again record by record: a broker refuses a whole batch for one of
//! them, and only what is too large alone is refused for good. The others are then in the topic twice.

use super::{Fate, Outlet, Reading, Sending, Word, words};
use crate::edge::kafka::ProducerSettings;
use crate::edge::kafka::produce::{KafkaAlerts, ProduceError};
use crate::pipeline::alert::Alert;

/// A topic that alerts are written to.
pub struct TopicOutlet {
    settings: ProducerSettings,
    client: Option<KafkaAlerts>,
}

impl TopicOutlet {
    /// A destination that connects with the first alert.
    pub fn new(settings: ProducerSettings) -> Self {
        Self { settings, client: None }
    }

    async fn write(&mut self, alerts: &[Alert]) -> Reading {
        let mut values = Vec::with_capacity(alerts.len());
        for (at, alert) in alerts.iter().enumerate() {
            match serde_json::to_vec(alert) {
                Ok(value) => values.push(value),
                Err(error) => return Reading::Poison { suspect: Some(at), why: error.to_string() },
            }
        }
        let items: Vec<(&str, &[u8])> =
            alerts.iter().zip(&values).map(|(alert, value)| (alert.cluster.as_str(), value.as_slice())).collect();
        let client = match self.client.take().filter(|client| !client.is_dead()) {
            Some(client) => client,
            None => match KafkaAlerts::start(&self.settings) {
                Ok(client) => client,
                Err(error) => return read(&error),
            },
        };
        let client = self.client.insert(client);
        match (client.send(&items).await, items.as_slice()) {
            (Ok(()), _) => Reading::Accepted { slow_down: false, receipt: String::new() },
            (Err(error @ ProduceError::TooLarge { .. }), [_]) => Reading::Words(vec![refused(&error)]),
            (Err(ProduceError::TooLarge { .. }), _) => one_by_one(client, &items).await,
            (Err(error), _) => read(&error),
        }
    }
}

impl Outlet for TopicOutlet {
    fn send<'a>(&'a mut self, alerts: &'a [Alert]) -> Sending<'a> {
        Box::pin(self.write(alerts))
    }
}

/// Each alone, up to the first that is not acknowledged: a broker that is away is not waited for once an alert.
async fn one_by_one(client: &mut KafkaAlerts, items: &[(&str, &[u8])]) -> Reading {
    let mut said = Vec::with_capacity(items.len());
    for item in items.chunks(1) {
        said.push(match client.send(item).await {
            Ok(()) => Word::Final(Fate::Delivered, String::new()),
            Err(error @ ProduceError::TooLarge { .. }) => refused(&error),
            Err(error) => {
                said.resize(items.len(), Word::Retry(words(error.to_string().as_bytes())));
                break;
            }
        });
    }
    Reading::Words(said)
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
