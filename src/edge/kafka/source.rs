//! `KafkaSource`: records of a consumer group as batches, for the loop.
//!
//! Starts each partition at the store's checkpoint where there is one, else at the group's committed offset, else as
//! `offset_reset` says. Hands out a batch, and a rebalance that takes partitions away waits (bounded) until the next
//! call of `next()`. Hands out nothing while not all partitions of the topics are ours (see `solo`). Never commits by itself: [`Source::commit`] is told what is decided, and only partitions that are
//! ours at that time are committed.
//!
//! Shutdown: [`SourceStop::stop`], then `next()` says `Closed`; commit; [`KafkaSource::close`] (leaves the group).
//! A source that is only dropped leaves the group in the background.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::Offset;

use super::context::Context;
use super::handoff::{Handoff, Taken};
use super::poll::Poller;
use super::status::SourceStatus;
use super::{ConsumerSettings, OffsetReset, creation_error};
use crate::edge::{Pull, Source, SourceError};
use crate::pipeline::event::Checkpoint;

/// Time between two looks at whether the poll thread has ended, while closing.
const CLOSE_LOOK: Duration = Duration::from_millis(20);

/// Records of a consumer group.
pub struct KafkaSource {
    handoff: Arc<Handoff>,
    idle_after: Duration,
    thread: Option<JoinHandle<()>>,
    ended: Arc<AtomicBool>,
}

/// Stops a source from elsewhere.
#[derive(Clone)]
pub struct SourceStop(Arc<Handoff>);

impl SourceStop {
    /// From now on `next()` says `Closed`; what was queued is read again at the next start.
    pub fn stop(&self) {
        self.0.stop();
    }
}

/// Looks at a source from elsewhere: metrics, readiness, the demo's back-pressure.
#[derive(Clone)]
pub struct SourceWatch(Arc<Handoff>);

impl SourceWatch {
    /// A snapshot; cost O(assigned partitions), asks no broker.
    pub fn status(&self) -> SourceStatus {
        self.0.status()
    }

    /// Leaves the group and joins it anew: a cure for a source that stands still. Nothing is lost or repeated by it.
    pub fn reassign(&self) {
        self.0.reassign();
    }

    /// Offset of `topic` and `partition` from which on nothing is decided yet; `None` when nothing is.
    pub fn next_decided(&self, topic: &str, partition: i32) -> Option<i64> {
        self.0.next_decided(topic, partition)
    }
}

impl KafkaSource {
    /// Subscribes; partitions come while `next()` is awaited. `checkpoint` is the store's. Brokers that are down are
    /// no error here: librdkafka goes on trying, and the status says so.
    ///
    /// # Errors
    /// [`SourceError::Fatal`] when a setting is refused, naming it.
    pub fn start(settings: &ConsumerSettings, checkpoint: Checkpoint) -> Result<Self, SourceError> {
        let handoff = Arc::new(Handoff::new(checkpoint));
        let first_start = match settings.offset_reset {
            OffsetReset::Error => None,
            OffsetReset::Earliest => Some(Offset::Beginning),
            OffsetReset::Latest => Some(Offset::End),
        };
        let (own, revoke_wait_max) = (Arc::clone(&handoff), settings.revoke_wait_max);
        let context = Context { handoff: own, revoke_wait_max, first_start };
        let config = settings.client_config().map_err(SourceError::Fatal)?;
        let consumer: BaseConsumer<Context> =
            config.create_with_context(context).map_err(|error| SourceError::Fatal(creation_error(&error)))?;
        let topics: Vec<&str> = settings.topics.iter().map(String::as_str).collect();
        consumer
            .subscribe(&topics)
            .map_err(|error| SourceError::Fatal(format!("cannot subscribe to {}: {error}", topics.join(", "))))?;
        let poller = Poller::new(consumer, Arc::clone(&handoff), settings);
        let ended = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&ended);
        let thread = std::thread::Builder::new()
            .name("kafka-poll".into())
            .spawn(move || {
                poller.run();
                ends.store(true, Ordering::Release);
            })
            .map_err(|error| SourceError::Fatal(format!("no thread for kafka: {error}")))?;
        Ok(Self { handoff, idle_after: settings.idle_after, thread: Some(thread), ended })
    }

    /// A handle that stops this source.
    pub fn stop_handle(&self) -> SourceStop {
        SourceStop(Arc::clone(&self.handoff))
    }

    /// A handle that looks at this source.
    pub fn watch(&self) -> SourceWatch {
        SourceWatch(Arc::clone(&self.handoff))
    }

    /// A snapshot of the source.
    pub fn status(&self) -> SourceStatus {
        self.handoff.status()
    }

    /// Commits what was told last, leaves the group and waits for that at most `wait`; `false` when it took longer
    /// (brokers down): then the group notices after its session time-out.
    pub async fn close(mut self, wait: Duration) -> bool {
        self.handoff.close();
        let ended = Arc::clone(&self.ended);
        let waited = tokio::time::timeout(wait, async {
            while !ended.load(Ordering::Acquire) {
                tokio::time::sleep(CLOSE_LOOK).await;
            }
        })
        .await;
        // Joining a thread that has set its flag takes no time; a panic in it was told by the panic hook.
        waited.is_ok() && self.thread.take().is_some_and(|thread| thread.join().is_ok())
    }
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        self.handoff.close();
    }
}

impl Source for KafkaSource {
    async fn next(&mut self) -> Result<Pull, SourceError> {
        let idle = tokio::time::sleep(self.idle_after);
        tokio::pin!(idle);
        loop {
            match self.handoff.take()? {
                Taken::Batch(batch) => return Ok(Pull::Batch(batch)),
                Taken::Gaps(gaps) => return Ok(Pull::Gap(gaps)),
                Taken::Closed => return Ok(Pull::Closed),
                Taken::Nothing => {}
            }
            if self.thread.as_ref().is_some_and(JoinHandle::is_finished) {
                return Err(SourceError::Fatal("the kafka thread has died: see the log, restart the service".into()));
            }
            tokio::select! {
                () = self.handoff.arrival() => {}
                () = &mut idle => return Ok(Pull::Idle),
            }
        }
    }

    fn commit(&mut self, stored: &Checkpoint, decided: &Checkpoint) -> Result<(), SourceError> {
        self.handoff.decided(stored, decided);
        Ok(())
    }
}
