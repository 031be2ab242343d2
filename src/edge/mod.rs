//! Everything that can fail because the world did.
//!
//! The traits between the loop in [`crate::app`] and the outside; nothing else. Each has two implementations.

pub mod files;
pub mod kafka;

pub mod tables;

pub mod store;

pub mod format;

pub mod deliver;
pub mod elastic;
pub mod splunk;

pub mod admin;

use std::fmt;
use std::future::Future;

use crate::pipeline::event::{Batch, Checkpoint, Rejection};

/// What a source has to say.
#[derive(Debug)]
pub enum Pull {
    /// Records, in order per partition.
    Batch(Batch),
    /// Records are gone and the source goes on without them, as its settings say. Comes after all that was read before
    /// the gap and before all that comes after it.
    Gap(Vec<Gap>),
    /// Nothing came within the poll time; the loop may close an epoch or look at its timers.
    Idle,
    /// The source is at its end (files) or was told to stop.
    Closed,
}

/// A place in a source that is gone, and where the source goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// The offset that was to be read next.
    pub from: i64,
    /// The offset that is read next now: the oldest one that is left.
    pub to: i64,
    /// Where the topic ends, if that is before `from`: it was made anew, and its offsets begin again.
    pub end: Option<i64>,
}

impl Gap {
    /// Records that are known to be gone; how many a topic that was made anew had is not known.
    pub fn n_records(&self) -> u64 {
        u64::try_from(self.to.saturating_sub(self.from)).unwrap_or(0)
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { topic, partition, from, to, end } = self;
        match end {
            None => write!(
                f,
                "{topic}[{partition}]: {} records, offsets {from} to {}, were deleted before they were read",
                self.n_records(),
                to.saturating_sub(1)
            ),
            Some(end) => {
                write!(f, "{topic}[{partition}]: we stand at {from} but the topic ends at {end}; was it made anew?")
            }
        }
    }
}

/// A source that cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Pointless to retry: configuration, authorisation, a topic that is not there.
    #[error("the source cannot go on: {0}")]
    Fatal(String),
    /// The source's place is gone (truncated topic): said with the counts.
    #[error("records are gone: {0}")]
    Gone(String),
    /// A file could not be read.
    #[error("{path}: {error}")]
    File {
        /// Path of the file.
        path: String,
        /// What the system said.
        error: std::io::Error,
    },
}

/// Where records come from: Kafka, or files.
pub trait Source {
    /// Resolves to the next batch. All that was handed out before is decided when this is called.
    fn next(&mut self) -> impl Future<Output = Result<Pull, SourceError>> + Send;
    /// Tells the outside how far we are. Advisory: the store is the truth.
    /// `decided` is how far the loop is; `stored` stays behind it where pieces of events wait for each other.
    fn commit(&mut self, stored: &Checkpoint, decided: &Checkpoint) -> Result<(), SourceError>;
}

/// Dead letters that could not be written: the batch must not be committed.
#[derive(Debug, thiserror::Error)]
#[error("dead letters could not be written to {place}: {error}")]
pub struct DeadLetterError {
    /// Topic or file.
    pub place: String,
    /// What went wrong.
    pub error: String,
}

/// Writes a dead letter as bytes (`dead-letter.v1`).
pub type EncodeLetter = Box<dyn Fn(&Rejection<'_>) -> Vec<u8> + Send + Sync>;

/// Where refused records go: a topic, or a file. Durable on return.
pub trait DeadLetters {
    /// Writes all of them, or says why not.
    fn write(&mut self, rejections: &[Rejection<'_>]) -> impl Future<Output = Result<(), DeadLetterError>> + Send;
}
