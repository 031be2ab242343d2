//! The poll thread: the only place where records come out of librdkafka.
//!
//! One turn: commit if asked, see whose the partitions are, hand over the chunk if it is due, poll. Beside the questions
//! to brokers after a rebalance or an error it never blocks longer than [`ROOM_WAIT_MAX`] (or a revoke's bounded wait): when the queue stays full it pauses the partitions and polls on, so
//! that `max.poll.interval.ms` is kept however slow the loop is. Pausing throws librdkafka's prefetched records away,
//! hence the short wait first.
//!
//! Errors mean what [`fault`] says: what goes away by itself is shown in the status and retried by librdkafka; what does
//! not ends the source with what to do. Places that are gone are [`place`]'s, a second member in the group is [`solo`]'s.
//!
//! Cost: one `memcpy` of each payload into the batch's arena.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer, RebalanceProtocol};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::metadata::MetadataTopic;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;

use super::context::{Context, commit_decided};
use super::fault::{self, Meaning};
use super::handoff::{Chunk, End, Handoff, Key};
use super::place::{self, Trouble};
use super::solo::{self, ASK_WAIT_MAX};
use super::{BatchLimits, ConsumerSettings, OffsetReset, OnGap, now};
use crate::pipeline::event::{Batch, Header, Millis, Position, RawRecord};

/// How long a poll may sleep: commits and stops wait at most this long.
const POLL_WAIT_MAX: Duration = Duration::from_millis(50);
/// How long the thread waits for room before it pauses.
const ROOM_WAIT_MAX: Duration = Duration::from_millis(500);
/// Records between two looks at the clock and the flags.
const TURN_RECORDS_MAX: usize = 256;
/// Time between two questions about a missing topic, or about the partitions that are not ours.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(5);
/// Wait for further errors of the same kind before the places of all partitions are looked at.
const LOOK_AFTER: Duration = Duration::from_millis(300);
/// A topic that ends before the place we stand at is looked at twice, this long apart: a broker that just became leader
/// may not know the end yet, and to begin anew for nothing would count everything twice.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(2);

pub(super) struct Poller {
    consumer: BaseConsumer<Context>,
    handoff: Arc<Handoff>,
    topics: Vec<String>,
    group: String,
    limits: BatchLimits,
    topic_grace: Duration,
    offset_reset: OffsetReset,
    on_gap: OnGap,
    chunk: Chunk,
    first_at: Option<Instant>,
    /// The queue was full: the loop is slower than the topic.
    is_full_up: bool,
    /// Whether the partitions of that generation were last paused or resumed; new ones come paused.
    paused: Option<(u64, bool)>,
    /// Generation of which is known whether all partitions are ours; while they are not, when to ask again.
    share_of: Option<(u64, Option<Instant>)>,
    /// When the places of all partitions are to be looked at.
    look_at: Option<Instant>,
    /// A topic was found to end before our place, and is looked at once more.
    is_second_look: bool,
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
            group: settings.group.clone(),
            limits: settings.batch,
            topic_grace: settings.topic_grace,
            offset_reset: settings.offset_reset,
            on_gap: settings.on_gap,
            chunk: Chunk::default(),
            first_at: None,
            is_full_up: false,
            paused: None,
            share_of: None,
            look_at: None,
            is_second_look: false,
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
            self.is_full_up = true;
            self.pause_or_resume();
            self.serve();
            drop(self.consumer.poll(POLL_WAIT_MAX));
        }
        commit_decided(&self.consumer, &self.handoff);
    }

    fn turn(&mut self) -> Result<(), End> {
        self.serve();
        self.drop_what_was_revoked();
        self.check_topics()?;
        self.check_share();
        let wait = self.hand_over_when_due();
        self.look_at_places()?;
        self.pause_or_resume();
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
        if self.handoff.take_reassign_due() {
            self.join_anew();
        }
        let polled_at = now();
        self.handoff.polled(polled_at);
    }

    fn drop_what_was_revoked(&mut self) {
        if self.chunk.generation != self.handoff.generation() {
            self.chunk = self.handoff.keep_owned(&self.chunk);
            if self.chunk.is_empty() {
                self.first_at = None;
            }
        }
    }

    /// Unsubscribes and subscribes: the brokers take the partitions away and give them anew.
    fn join_anew(&self) {
        let topics: Vec<&str> = self.topics.iter().map(String::as_str).collect();
        self.consumer.unsubscribe();
        if let Err(error) = self.consumer.subscribe(&topics) {
            tracing::error!(%error, "the topics could not be subscribed to again");
        }
    }

    fn is_full(&self) -> bool {
        self.limits.n_records_max <= self.chunk.batch.len() || self.limits.n_bytes_max <= self.chunk.batch.n_bytes()
    }

    /// Hands the chunk over if it is full or old enough; gives how long the next poll may sleep.
    fn hand_over_when_due(&mut self) -> Duration {
        let Some(first_at) = self.first_at else {
            self.is_full_up = false;
            return POLL_WAIT_MAX;
        };
        let at = now();
        let age = at.saturating_duration_since(first_at);
        // Before the places are looked at everything that came before has to be on its way.
        let is_due = self.is_full() || !self.chunk.gaps.is_empty() || self.look_at.is_some_and(|look_at| look_at <= at);
        if !is_due && age < self.limits.wait_max {
            return self.limits.wait_max.saturating_sub(age).min(POLL_WAIT_MAX);
        }
        let is_paused = self.paused.is_some_and(|(_, is_paused)| is_paused);
        let wait = if is_paused { Duration::ZERO } else { ROOM_WAIT_MAX };
        match self.handoff.offer(std::mem::take(&mut self.chunk), wait) {
            Ok(()) => {
                self.chunk.generation = self.handoff.generation();
                self.first_at = None;
                self.is_full_up = false;
            }
            Err(chunk) => {
                self.chunk = *chunk;
                self.is_full_up = true;
            }
        }
        POLL_WAIT_MAX
    }

    /// Pauses all partitions while the queue is full or not all are ours, and resumes them afterwards.
    fn pause_or_resume(&mut self) {
        self.handoff.count(|status| status.paused = self.is_full_up);
        let generation = self.handoff.generation();
        let pause = self.is_full_up || self.share_of != Some((generation, None));
        if self.paused == Some((generation, pause)) {
            return;
        }
        let done = self.consumer.assignment().and_then(|partitions| {
            if pause { self.consumer.pause(&partitions) } else { self.consumer.resume(&partitions) }
        });
        match done {
            Ok(()) => self.paused = Some((generation, pause)),
            Err(error) => tracing::warn!(%error, pause, "partitions could not be paused or resumed"),
        }
    }

    /// Asks, after each change of ownership, whether all partitions are ours; while they are not, again and again.
    fn check_share(&mut self) {
        let (generation, at) = (self.handoff.generation(), now());
        let is_known = self
            .share_of
            .is_some_and(|(known, again_at)| known == generation && again_at.is_none_or(|again_at| at < again_at));
        // Before the first assignment there is nothing to hold back.
        if is_known || generation == 0 {
            return;
        }
        let ours = self.handoff.owned().into_keys().collect();
        let (n_partitions, hold) = match solo::share(&self.consumer, &self.topics, &self.group, &ours) {
            Ok(share) => (Some(share.n_partitions), share.hold),
            Err(why) => (None, Some(why)),
        };
        self.share_of = Some((generation, hold.is_some().then(|| now() + ASK_AGAIN_AFTER)));
        let changed = self.handoff.confirm(generation, n_partitions, hold.clone());
        match hold {
            Some(why) if changed => tracing::warn!(why, "nothing is read"),
            None if changed => tracing::info!(n_partitions, "all partitions are ours, reading goes on"),
            _ => {}
        }
    }

    // ---- places that are gone -----------------------------------------------------------------------------------

    /// Once what came before is handed over: finds the places that are gone, and stops or jumps, as the settings say.
    fn look_at_places(&mut self) -> Result<(), End> {
        if self.look_at.is_none_or(|look_at| now() < look_at) || !self.chunk.is_empty() {
            return Ok(());
        }
        let found = match place::look(&self.consumer, &self.handoff) {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(%error, "the places of the partitions cannot be looked at, trying again");
                self.look_at = Some(now() + ASK_AGAIN_AFTER);
                return Ok(());
            }
        };
        let is_beyond = found.iter().any(|(_, trouble)| matches!(trouble, Trouble::Beyond { .. }));
        self.look_at = (is_beyond && !self.is_second_look).then(|| now() + LOOK_AGAIN_AFTER);
        self.is_second_look = self.look_at.is_some();
        if self.is_second_look {
            return Ok(());
        }
        let jumps = place::decide(&found, self.offset_reset, self.on_gap)?;
        for jump in jumps {
            self.handoff.moved(&jump.key, jump.to);
            self.chunk.gaps.extend(jump.gap);
        }
        if !self.chunk.gaps.is_empty() {
            self.chunk.generation = self.handoff.generation();
            self.first_at.get_or_insert_with(now);
        }
        self.fetch_anew();
        Ok(())
    }

    /// Begins to fetch all partitions anew, from where they are to be read next: librdkafka gives up a partition whose
    /// place is gone, and does not say which one it was.
    fn fetch_anew(&mut self) {
        let mut places = TopicPartitionList::new();
        for ((topic, partition), owned) in self.handoff.owned() {
            let place = owned.next.map_or(Offset::Stored, Offset::Offset);
            if let Err(error) = places.add_partition_offset(&topic, partition, place) {
                tracing::error!(%error, topic, partition, "a place cannot be told to librdkafka");
            }
        }
        let done = match self.consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => {
                self.consumer.incremental_unassign(&places).and_then(|()| self.consumer.incremental_assign(&places))
            }
            _ => self.consumer.assign(&places),
        };
        if let Err(error) = done {
            tracing::error!(%error, "partitions could not be fetched anew");
            self.look_at = Some(now() + ASK_AGAIN_AFTER);
        }
        self.paused = None;
    }

    /// Acts on what an error from `poll` means.
    fn judge(&mut self, error: &KafkaError) -> Result<(), End> {
        if let KafkaError::PartitionEOF(partition) = error {
            return self.reached_end(*partition);
        }
        // It was told and counted by the context, where every error comes by.
        match fault::read(error).1 {
            Meaning::Fatal(what_to_do) => {
                let topics = self.topics.join(", ");
                Err(End::Fatal(format!("{what_to_do} ({error}; topics {topics}, group {})", self.group)))
            }
            Meaning::NotAccepted if !self.is_known() => Err(End::Fatal(format!(
                "the brokers do not accept us ({error}): check user, password, mechanism and certificates; {}",
                self.last_words()
            ))),
            Meaning::Place => {
                // The same is about to be said of other partitions: one look is to find them all.
                self.look_at.get_or_insert(now() + LOOK_AFTER);
                Ok(())
            }
            Meaning::AskForTopics => {
                self.suspect_topics();
                Ok(())
            }
            Meaning::NotAccepted | Meaning::Wait | Meaning::Nothing => Ok(()),
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

    // ---- the end ------------------------------------------------------------------------------------------------

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
                Err(back) => chunk = *back,
            }
            self.is_full_up = true;
            self.pause_or_resume();
            drop(self.consumer.poll(Duration::ZERO));
        }
        Err(End::Closed)
    }

    fn is_at_end(&self, key: &Key) -> bool {
        let next = self.handoff.owned().get(key).and_then(|owned| owned.next).unwrap_or(0);
        self.consumer.fetch_watermarks(&key.0, key.1, ASK_WAIT_MAX).is_ok_and(|(_, high)| high <= next)
    }
}

fn not_allowed(topic: &str) -> End {
    End::Fatal(format!("not allowed to read {topic}: give this user the ACL `Read` on the topic"))
}

fn push(batch: &mut Batch, message: &BorrowedMessage<'_>) {
    let position = Position { topic: message.topic(), partition: message.partition(), offset: message.offset() };
    // A record without a value (a tombstone) is a record without bytes, which the decoder refuses by name.
    let headers: Vec<Header> = message.headers().map_or(Vec::new(), |headers| {
        let told = headers.iter().filter_map(|header| Header::of_interest(header.key, header.value?));
        told.take(Header::PER_RECORD_MAX).collect()
    });
    batch.push_record(&RawRecord {
        position,
        broker_time: message.timestamp().to_millis().map(Millis),
        headers: &headers,
        payload: message.payload().unwrap_or_default(),
    });
}

#[cfg(test)]
mod tests;
