//! Topics, records and sources for tests; speaks to a broker by itself, so that it checks ours independently.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use panicsift::edge::kafka::source::KafkaSource;
use panicsift::edge::kafka::{ConsumerSettings, OffsetReset};
use panicsift::edge::{Gap, Pull, Source, SourceError};
use panicsift::pipeline::event::{Checkpoint, Position};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

/// Longest wait for anything that should come in a second.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// As many replicas of a topic as the broker makes when nobody says otherwise: one, on a cluster of three all.
const REPLICAS_OF_THE_BROKER: i32 = -1;

/// A name that no other test of this or another run has.
pub(crate) fn unique(word: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let folder = tempfile::Builder::new().prefix("n").tempdir().unwrap();
    let random = folder.path().file_name().unwrap().to_str().unwrap().replace('.', "");
    format!("{word}-{}-{random}", COUNT.fetch_add(1, Ordering::Relaxed))
}

fn client(brokers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers);
    config
}

fn admin(brokers: &str) -> AdminClient<DefaultClientContext> {
    client(brokers).create().unwrap()
}

/// Makes a topic and waits until the broker leads all of its partitions.
pub(crate) async fn create_topic(brokers: &str, topic: &str, n_partitions: i32, settings: &[(&str, &str)]) {
    let mut new = NewTopic::new(topic, n_partitions, TopicReplication::Fixed(REPLICAS_OF_THE_BROKER));
    for (key, value) in settings {
        new = new.set(key, value);
    }
    let made = admin(brokers).create_topics([&new], &AdminOptions::new()).await.unwrap();
    assert_eq!(made, [Ok(topic.to_owned())]);
    let consumer: BaseConsumer = client(brokers).create().unwrap();
    loop {
        let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).unwrap();
        let led = metadata
            .topics()
            .iter()
            .flat_map(rdkafka::metadata::MetadataTopic::partitions)
            .filter(|partition| 0 <= partition.leader())
            .count();
        if i32::try_from(led).unwrap() == n_partitions {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Deletes all records of a partition before `offset`, as retention would.
pub(crate) async fn delete_records(brokers: &str, topic: &str, partition: i32, offset: i64) {
    let mut before = TopicPartitionList::new();
    before.add_partition_offset(topic, partition, Offset::Offset(offset)).unwrap();
    let done = admin(brokers).delete_records(&before, &AdminOptions::new()).await.unwrap();
    done.elements().iter().for_each(|element| element.error().unwrap());
}

/// Appends values, value `i` to partition `i % n_partitions`.
pub(crate) async fn produce(brokers: &str, topic: &str, n_partitions: i32, values: &[Vec<u8>]) {
    let producer: FutureProducer = client(brokers).set("linger.ms", "5").create().unwrap();
    let mut sent = Vec::new();
    for (value, partition) in values.iter().zip((0..n_partitions).cycle()) {
        let record = FutureRecord::<(), [u8]>::to(topic).partition(partition).payload(value);
        sent.push(producer.send_result(record).map_err(|(error, _)| error).unwrap());
    }
    for delivery in sent {
        delivery.await.unwrap().map_err(|(error, _)| error).unwrap();
    }
}

/// A record to be sent.
pub(crate) struct Sent {
    pub(crate) partition: i32,
    /// Its time, in milliseconds since 1970.
    pub(crate) time: i64,
    pub(crate) value: Vec<u8>,
}

/// Appends records with times of their own, large ones too; each once, also over the loss of a broker.
pub(crate) async fn produce_at(brokers: &str, topic: &str, records: &[Sent]) {
    produce_slowly(brokers, topic, records, Duration::ZERO).await;
}

/// The same with a pause after every ten records.
pub(crate) async fn produce_slowly(brokers: &str, topic: &str, records: &[Sent], pause: Duration) {
    let mut config = client(brokers);
    config.set("linger.ms", "5").set("message.max.bytes", "8388608").set("enable.idempotence", "true");
    let producer: FutureProducer = config.create().unwrap();
    let mut sent = Vec::new();
    for ten in records.chunks(10) {
        for Sent { partition, time, value } in ten {
            let record = FutureRecord::<(), [u8]>::to(topic).partition(*partition).timestamp(*time).payload(value);
            sent.push(producer.send_result(record).map_err(|(error, _)| error).unwrap());
        }
        tokio::time::sleep(pause).await;
    }
    for delivery in sent {
        delivery.await.unwrap().map_err(|(error, _)| error).unwrap();
    }
}

/// The node that leads a partition, and one of those that follow.
pub(crate) fn leader_and_follower(brokers: &str, topic: &str, partition: i32) -> (i32, i32) {
    let consumer: BaseConsumer = client(brokers).create().unwrap();
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).unwrap();
    let found = metadata.topics()[0].partitions().iter().find(|one| one.id() == partition).unwrap();
    let leader = found.leader();
    (leader, found.replicas().iter().copied().find(|replica| *replica != leader).unwrap())
}

/// A member of a group that reads and neither decides nor commits anything.
pub(crate) struct Bystander(BaseConsumer);

impl Bystander {
    /// Joins; it has partitions only after some [`Bystander::turn`]s.
    pub(crate) fn join(brokers: &str, topic: &str, group: &str) -> Self {
        let consumer: BaseConsumer = client(brokers)
            .set("group.id", group)
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", "6000")
            .set("heartbeat.interval.ms", "500")
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "earliest")
            .create()
            .unwrap();
        consumer.subscribe(&[topic]).unwrap();
        Self(consumer)
    }

    /// Polls once; the partitions that it holds.
    pub(crate) fn turn(&self) -> Vec<i32> {
        if let Some(record) = self.0.poll(Duration::from_millis(50)) {
            drop(record.unwrap());
        }
        self.0
            .assignment()
            .unwrap()
            .elements()
            .iter()
            .map(rdkafka::topic_partition_list::TopicPartitionListElem::partition)
            .collect()
    }
}

/// Commits an offset for a group from outside.
pub(crate) fn commit_for(brokers: &str, group: &str, topic: &str, partition: i32, next: i64) {
    let consumer: BaseConsumer = client(brokers).set("group.id", group).create().unwrap();
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(topic, partition, Offset::Offset(next)).unwrap();
    consumer.commit(&offsets, CommitMode::Sync).unwrap();
}

/// What a group has committed.
pub(crate) fn committed(brokers: &str, group: &str, topic: &str, n_partitions: i32) -> Vec<Option<i64>> {
    let consumer: BaseConsumer = client(brokers).set("group.id", group).create().unwrap();
    let mut asked = TopicPartitionList::new();
    asked.add_partition_range(topic, 0, n_partitions - 1);
    let answer = consumer.committed_offsets(asked, PATIENCE).unwrap();
    let next = |element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| match element.offset() {
        Offset::Offset(next) => Some(next),
        _ => None,
    };
    answer.elements().iter().map(next).collect()
}

/// A record as read back: key, value, headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) key: String,
    pub(crate) value: Vec<u8>,
    pub(crate) headers: BTreeMap<String, String>,
}

/// All records of a topic's partition 0, read to its present end.
pub(crate) fn read_back(brokers: &str, topic: &str) -> Vec<Stored> {
    use rdkafka::message::Headers;
    let consumer: BaseConsumer = client(brokers).set("group.id", unique("reader")).create().unwrap();
    let (low, high) = consumer.fetch_watermarks(topic, 0, PATIENCE).unwrap();
    let mut all = TopicPartitionList::new();
    all.add_partition_offset(topic, 0, Offset::Beginning).unwrap();
    consumer.assign(&all).unwrap();
    let mut stored = Vec::new();
    while i64::try_from(stored.len()).unwrap() < high - low {
        let message = consumer.poll(PATIENCE).unwrap().unwrap();
        let headers = message.headers().map_or_else(BTreeMap::new, |headers| {
            let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
            headers.iter().map(|header| (header.key.to_owned(), text(header.value))).collect()
        });
        stored.push(Stored {
            // Some producers key by a hash, which is no text.
            key: String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned(),
            value: message.payload().unwrap_or_default().to_vec(),
            headers,
        });
    }
    stored
}

/// Settings that make a live test quick: short heartbeats, small batches, from the first record.
pub(crate) fn quick_settings(brokers: &str, topic: &str, group: &str) -> ConsumerSettings {
    let mut settings = ConsumerSettings::new(vec![brokers.to_owned()], vec![topic.to_owned()], group.to_owned());
    settings.offset_reset = OffsetReset::Earliest;
    settings.batch.n_records_max = 100;
    settings.batch.wait_max = Duration::from_millis(50);
    settings.idle_after = Duration::from_millis(100);
    for (key, value) in [
        ("session.timeout.ms", "6000"),
        ("heartbeat.interval.ms", "500"),
        ("fetch.wait.max.ms", "50"),
        ("topic.metadata.refresh.interval.ms", "1000"),
    ] {
        settings.properties.insert(key.into(), value.into());
    }
    settings
}

/// Reads as the loop does and remembers how often each position was handed out.
pub(crate) struct Reader {
    pub(crate) source: KafkaSource,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) seen: BTreeMap<(i32, i64), u32>,
    pub(crate) values: BTreeMap<(i32, i64), Vec<u8>>,
    pub(crate) gaps: Vec<Gap>,
}

impl Reader {
    pub(crate) fn start(settings: &ConsumerSettings, checkpoint: Checkpoint) -> Self {
        let source = KafkaSource::start(settings, checkpoint.clone()).unwrap();
        Self { source, checkpoint, seen: BTreeMap::new(), values: BTreeMap::new(), gaps: Vec::new() }
    }

    /// One turn of the loop; the number of records, or `None` at the end.
    pub(crate) async fn turn(&mut self) -> Result<Option<usize>, SourceError> {
        let batch = match self.source.next().await? {
            Pull::Batch(batch) => batch,
            Pull::Idle => return Ok(Some(0)),
            Pull::Gap(gaps) => {
                for gap in &gaps {
                    if gap.end.is_some() {
                        self.checkpoint.rewind(&gap.topic, gap.partition, gap.to);
                    } else {
                        self.checkpoint.set(&gap.topic, gap.partition, gap.to);
                    }
                }
                self.gaps.extend(gaps);
                self.source.commit(&self.checkpoint, &self.checkpoint)?;
                return Ok(Some(0));
            }
            Pull::Closed => return Ok(None),
        };
        for record in batch.iter() {
            let Position { partition, offset, .. } = record.position;
            *self.seen.entry((partition, offset)).or_default() += 1;
            self.values.insert((partition, offset), record.payload.to_vec());
            self.checkpoint.advance(record.position);
        }
        self.source.commit(&self.checkpoint, &self.checkpoint)?;
        Ok(Some(batch.len()))
    }

    /// Turns until `is_done`, at most [`PATIENCE`].
    pub(crate) async fn turn_until(&mut self, is_done: impl Fn(&Self) -> bool) {
        let done =
            tokio::time::timeout(PATIENCE, async { while !is_done(self) && self.turn().await.unwrap().is_some() {} });
        assert!(done.await.is_ok(), "gave up after {} records: {:?}", self.seen.len(), self.source.status());
    }

    /// The error that ends the source.
    pub(crate) async fn error(&mut self) -> SourceError {
        let ended = async {
            loop {
                if let Err(error) = self.turn().await {
                    return error;
                }
            }
        };
        tokio::time::timeout(PATIENCE, ended).await.unwrap()
    }

    /// Leaves the group.
    pub(crate) async fn close(self) -> (Checkpoint, BTreeMap<(i32, i64), u32>) {
        assert!(self.source.close(PATIENCE).await, "the group was not left in time");
        (self.checkpoint, self.seen)
    }
}

/// Each position of `n_records` over `n_partitions` in turn, exactly once.
pub(crate) fn assert_exactly_once<'a>(
    seen: impl IntoIterator<Item = &'a BTreeMap<(i32, i64), u32>>,
    n_partitions: i32,
    n_records: usize,
) {
    let mut total: BTreeMap<(i32, i64), u32> = BTreeMap::new();
    for (position, count) in seen.into_iter().flatten() {
        *total.entry(*position).or_default() += count;
    }
    let twice: Vec<_> = total.iter().filter(|(_, count)| **count != 1).collect();
    assert!(twice.is_empty(), "read more than once: {twice:?}");
    let in_turn = (0_i64..).flat_map(|offset| (0..n_partitions).map(move |partition| (partition, offset)));
    let missing: Vec<_> = in_turn.take(n_records).filter(|position| !total.contains_key(position)).collect();
    assert!(missing.is_empty() && total.len() == n_records, "{} read, missing {missing:?}", total.len());
}
