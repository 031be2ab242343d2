//! The poll thread: the only place where records come out of librdkafka.
//!
//! One turn: commit if asked, hand over the chunk if it is due, poll. It never blocks longer than
//! [`ROOM_WAIT_MAX`] (or a revoke's bounded wait): when the queue stays full it pauses the partitions and polls on, so
//! that `max.poll.interval.ms` is kept however slow the loop is. Pausing throws librdkafka's prefetched records away,
//! hence the short wait first.
//!
//! Errors: what goes away by itself (brokers down, time-outs) is shown in the status and retried by librdkafka; what
//! does not (authorisation, a topic that is not there, a place that is gone) ends the source with what to do.
//!
//! Cost: one `memcpy` of each payload into the batch's arena.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::metadata::MetadataTopic;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;

use super::context::{Context, commit_decided};
use super::handoff::{Chunk, End, Handoff, Key};
use super::{BatchLimits, ConsumerSettings, now};
use crate::pipeline::event::{Batch, Millis, Position};

/// How long a poll may sleep: commits and stops wait at most this long.
const POLL_WAIT_MAX: Duration = Duration::from_millis(50);
/// How long the thread waits for room before it pauses.
const ROOM_WAIT_MAX: Duration = Duration::from_millis(500);
/// Records between two looks at the clock and the flags.
const TURN_RECORDS_MAX: usize = 256;
/// How long a question to a broker may take (metadata, watermarks); asked only when something is wrong.
const ASK_WAIT_MAX: Duration = Duration::from_secs(5);
/// Time between two such questions about a missing topic.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(5);

pub(super) struct Poller {
    consumer: BaseConsumer<Context>,
    handoff: Arc<Handoff>,
    topics: Vec<String>,
    limits: BatchLimits,
    topic_grace: Duration,
    chunk: Chunk,
    first_at: Option<Instant>,
    /// Generation whose partitions are paused.
    paused_at: Option<u64>,
    /// Since when a topic is suspected missing, and when a broker is to be asked about it.
    suspect: Option<(Instant, Instant)>,
    ever_assigned: bool,
}

impl Poller {
    pub(super) fn new(consumer: BaseConsumer<Context>, handoff: Arc<Handoff>, settings: &ConsumerSettings) -> Self {
        Self {
            consumer,
            handoff,
            topics: settings.topics.clone(),
            limits: settings.batch,
            topic_grace: settings.topic_grace,
            chunk: Chunk::default(),
            first_at: None,
            paused_at: None,
            suspect: None,
            ever_assigned: false,
        }
    }

    /// Until the source is closed. The consumer leaves its group when it is dropped at the end.
    pub(super) fn run(mut self) {
        while !self.handoff.is_stopped() {
            if let Err(end) = self.turn() {
                if let End::Fatal(why) | End::Gone(why) = &end {
                    tracing::error!(why, "the kafka source ends");
                }
                self.handoff.end(end);
                break;
            }
        }
        // No more records are wanted, but the loop may still decide its last batch and commit.
        while !self.handoff.is_closing() {
            self.pause();
            self.serve();
            drop(self.consumer.poll(POLL_WAIT_MAX));
        }
        commit_decided(&self.consumer, &self.handoff);
    }

    fn turn(&mut self) -> Result<(), End> {
        self.serve();
        self.drop_what_was_revoked();
        self.check_topics()?;
        let wait = self.hand_over_when_due();
        for _ in 0..TURN_RECORDS_MAX {
            match self.consumer.poll(wait) {
                None => break,
                Some(Ok(message)) => {
                    if self.chunk.generation != self.handoff.generation() {
                        // The rebalance came in this very poll: what was read before it is checked first.
                        self.chunk = self.handoff.keep_owned(&self.chunk);
                    }
                    push(&mut self.chunk.batch, &message);
                    self.first_at.get_or_insert_with(now);
                    if self.is_full() {
                        break;
                    }
                }
                Some(Err(error)) => return self.judge(&error),
            }
        }
        Ok(())
    }

    fn serve(&self) {
        if self.handoff.take_commit_due() {
            commit_decided(&self.consumer, &self.handoff);
        }
        let polled_at = now();
        self.handoff.polled(polled_at);
    }

    fn drop_what_was_revoked(&mut self) {
        if self.chunk.generation != self.handoff.generation() {
            self.chunk = self.handoff.keep_owned(&self.chunk);
            if self.chunk.batch.is_empty() {
                self.first_at = None;
            }
        }
    }

    fn is_full(&self) -> bool {
        self.limits.n_records_max <= self.chunk.batch.len() || self.limits.n_bytes_max <= self.chunk.batch.n_bytes()
    }

    /// Hands the chunk over if it is full or old enough; gives how long the next poll may sleep.
    fn hand_over_when_due(&mut self) -> Duration {
        let Some(first_at) = self.first_at else {
            return POLL_WAIT_MAX;
        };
        let age = now().saturating_duration_since(first_at);
        if !self.is_full() && age < self.limits.wait_max {
            return self.limits.wait_max.saturating_sub(age).min(POLL_WAIT_MAX);
        }
        let wait = if self.paused_at.is_some() { Duration::ZERO } else { ROOM_WAIT_MAX };
        match self.handoff.offer(std::mem::take(&mut self.chunk), wait) {
            Ok(()) => {
                self.chunk.generation = self.handoff.generation();
                self.first_at = None;
                self.resume();
            }
            Err(chunk) => {
                self.chunk = chunk;
                self.pause();
            }
        }
        POLL_WAIT_MAX
    }

    /// Pauses all partitions, those that came after an earlier pause too.
    fn pause(&mut self) {
        let generation = self.handoff.generation();
        if self.paused_at == Some(generation) {
            return;
        }
        let paused = self.consumer.assignment().and_then(|partitions| self.consumer.pause(&partitions));
        match paused {
            Ok(()) => self.paused_at = Some(generation),
            Err(error) => tracing::warn!(%error, "partitions could not be paused"),
        }
        self.handoff.count(|status| status.paused = true);
    }

    fn resume(&mut self) {
        if self.paused_at.is_none() {
            return;
        }
        match self.consumer.assignment().and_then(|partitions| self.consumer.resume(&partitions)) {
            Ok(()) => {
                self.paused_at = None;
                self.handoff.count(|status| status.paused = false);
            }
            Err(error) => tracing::warn!(%error, "partitions could not be resumed"),
        }
    }

    /// What an error from `poll` means for the source.
    fn judge(&mut self, error: &KafkaError) -> Result<(), End> {
        use RDKafkaErrorCode as Code;
        if let KafkaError::PartitionEOF(partition) = error {
            return self.reached_end(*partition);
        }
        if matches!(error, KafkaError::MessageConsumptionFatal(_)) {
            return Err(End::Fatal(format!("{error}: restart the service")));
        }
        match error.rdkafka_error_code() {
            Some(Code::TopicAuthorizationFailed) => Err(not_allowed(&self.topics.join(", "))),
            Some(Code::GroupAuthorizationFailed) => {
                Err(End::Fatal("not allowed to use the consumer group: give this user the ACL `Read` on it".into()))
            }
            Some(code @ (Code::Authentication | Code::SaslAuthenticationFailed | Code::SSL)) if !self.is_known() => {
                Err(End::Fatal(format!(
                    "the brokers do not accept us ({code}): check user, password, mechanism and certificates; {}",
                    self.last_words()
                )))
            }
            Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) => Err(self.what_is_gone()),
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition) => {
                self.suspect_topics();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Whether the cluster ever gave us partitions: before that a refusal is a wrong setting, after it a fault.
    fn is_known(&mut self) -> bool {
        self.ever_assigned |= !self.handoff.owned().is_empty();
        self.ever_assigned
    }

    fn last_words(&self) -> String {
        self.handoff.status().last_error.unwrap_or_default()
    }

    // ---- topics that are not there ------------------------------------------------------------------------------

    fn suspect_topics(&mut self) {
        let at = now();
        self.suspect.get_or_insert((at, at + self.topic_grace));
    }

    /// Asks a broker once the grace is over: some members of a large group own nothing and are well.
    fn check_topics(&mut self) -> Result<(), End> {
        if self.suspect.is_none() && !self.is_known() {
            self.suspect_topics();
        }
        let Some((since, ask_at)) = self.suspect else {
            return Ok(());
        };
        let at = now();
        if at < ask_at {
            return Ok(());
        }
        self.suspect = Some((since, at + ASK_AGAIN_AFTER));
        for topic in &self.topics {
            let Ok(metadata) = self.consumer.fetch_metadata(Some(topic), ASK_WAIT_MAX) else {
                return Ok(());
            };
            let found = metadata.topics().iter().find(|found| found.name() == topic);
            match found.and_then(MetadataTopic::error) {
                Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) => {
                    return Err(End::Fatal(format!(
                        "topic `{topic}` is not there after {} s: create it or correct the setting `topics`",
                        (at - since).as_secs()
                    )));
                }
                Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED) => return Err(not_allowed(topic)),
                _ => {}
            }
        }
        self.suspect = None;
        self.ever_assigned = true;
        Ok(())
    }

    // ---- the end, and places that are gone ----------------------------------------------------------------------

    fn reached_end(&mut self, partition: i32) -> Result<(), End> {
        self.handoff.note(&self.chunk.batch);
        let ours: Vec<Key> = self.handoff.owned().into_keys().filter(|key| key.1 == partition).collect();
        let is_only_one = ours.len() == 1;
        let mut all = false;
        for key in ours {
            // rdkafka names the partition but not the topic; with several topics the broker is asked which it was.
            all |= (is_only_one || self.is_at_end(&key)) && self.handoff.reached_end(&key);
        }
        if !all {
            return Ok(());
        }
        let mut chunk = std::mem::take(&mut self.chunk);
        while !chunk.batch.is_empty() && !self.handoff.is_stopped() {
            match self.handoff.offer(chunk, ROOM_WAIT_MAX) {
                Ok(()) => break,
                Err(back) => chunk = back,
            }
            drop(self.consumer.poll(Duration::ZERO));
            self.pause();
        }
        Err(End::Closed)
    }

    fn is_at_end(&self, key: &Key) -> bool {
        let next = self.handoff.owned().get(key).and_then(|owned| owned.next).unwrap_or(0);
        self.consumer.fetch_watermarks(&key.0, key.1, ASK_WAIT_MAX).is_ok_and(|(_, high)| high <= next)
    }

    /// Says which partition's place is gone, and how many records with it.
    fn what_is_gone(&self) -> End {
        self.handoff.note(&self.chunk.batch);
        let mut said = Vec::new();
        for (key, owned) in self.handoff.owned() {
            let (topic, partition) = (&key.0, key.1);
            let Some(next) = owned.next.or_else(|| self.committed(&key)) else {
                return End::Fatal(format!(
                    "{topic}[{partition}] has neither a checkpoint nor a committed offset: for the first start set \
                     `offset_reset` to `earliest` or `latest`"
                ));
            };
            match self.consumer.fetch_watermarks(topic, partition, ASK_WAIT_MAX) {
                Ok((low, _)) if next < low => said.push(format!(
                    "{topic}[{partition}]: {} records, offsets {next} to {}, were deleted before they were read",
                    low - next,
                    low - 1
                )),
                Ok((_, high)) if high < next => said.push(format!(
                    "{topic}[{partition}]: we stand at {next} but the topic ends at {high}; was it made anew?"
                )),
                _ => {}
            }
        }
        if said.is_empty() {
            said.push(format!("a partition cannot be read where we stand: {}", self.last_words()));
        }
        said.push(
            "to go on without them set `offset_reset` to `earliest` (or `latest`) for one start; lengthen the topic's \
             retention"
                .into(),
        );
        End::Gone(said.join("; "))
    }

    fn committed(&self, key: &Key) -> Option<i64> {
        let mut asked = TopicPartitionList::new();
        asked.add_partition(&key.0, key.1);
        let answer = self.consumer.committed_offsets(asked, ASK_WAIT_MAX).ok()?;
        match answer.find_partition(&key.0, key.1)?.offset() {
            Offset::Offset(next) => Some(next),
            _ => None,
        }
    }
}

fn not_allowed(topics: &str) -> End {
    End::Fatal(format!("not allowed to read {topics}: give this user the ACL `Read` on the topic"))
}

fn push(batch: &mut Batch, message: &BorrowedMessage<'_>) {
    let position = Position { topic: message.topic(), partition: message.partition(), offset: message.offset() };
    // A record without a value (a tombstone) is a record without bytes, which the decoder refuses by name.
    batch.push(position, message.timestamp().to_millis().map(Millis), message.payload().unwrap_or_default());
}
