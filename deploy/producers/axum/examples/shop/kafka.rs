//! Sends events to Kafka, off the way of every request.

use std::time::Duration;

use panic_events::Event;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use tokio::sync::mpsc::Receiver;

/// Wait before a full queue of the producer is tried again; meanwhile the channel takes what comes, and drops the rest.
const QUEUE_WAIT: Duration = Duration::from_millis(100);

/// Longest wait at the end for what is under way.
const FLUSH_WAIT: Duration = Duration::from_secs(10);

/// A producer that neither loses nor doubles a record while the brokers are away for some minutes.
pub(crate) fn producer(brokers: &str) -> Result<FutureProducer, KafkaError> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("enable.idempotence", "true").set("compression.type", "zstd");
    // Events are small and rare: what is full first is this bound, not the memory.
    config.set("queue.buffering.max.kbytes", "16384").set("linger.ms", "20");
    config.create()
}

/// Sends until the last layer is gone; how many records the brokers took over.
pub(crate) async fn send(producer: FutureProducer, topic: String, mut events: Receiver<Event>) -> usize {
    let mut n_sent = 0;
    while let Some(Event { key, json }) = events.recv().await {
        let headers = OwnedHeaders::new()
            .insert(Header { key: "content-type", value: Some("application/json") })
            .insert(Header { key: "panicsift-carrier", value: Some("canonical") });
        let mut record = FutureRecord::to(&topic).key(&key).payload(&json).headers(headers);
        loop {
            match producer.send_result(record) {
                // What becomes of it is the producer's to retry.
                Ok(_delivery) => break n_sent += 1,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), again)) => {
                    record = again;
                    tokio::time::sleep(QUEUE_WAIT).await;
                }
                Err((error, _)) => break eprintln!("an event of {} bytes was not sent: {error}", json.len()),
            }
        }
    }
    if let Err(error) = producer.flush(FLUSH_WAIT) {
        eprintln!("{} events were not sent: {error}", producer.in_flight_count());
    }
    n_sent
}
