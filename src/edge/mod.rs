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

use std::future::Future;

use crate::pipeline::event::{Batch, Checkpoint, Rejection};

/// What a source has to say.
#[derive(Debug)]
pub enum Pull {
    /// Records, in order per partition.
    Batch(Batch),
    /// Nothing came within the poll time; the loop may close an epoch or look at its timers.
    Idle,
    /// The source is at its end (files) or was told to stop.
    Closed,
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
    fn commit(&mut self, checkpoint: &Checkpoint) -> Result<(), SourceError>;
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

/// Where refused records go: a topic, or a file. Durable on return.
pub trait DeadLetters {
    /// Writes all of them, or says why not.
    fn write(&mut self, rejections: &[Rejection<'_>]) -> impl Future<Output = Result<(), DeadLetterError>> + Send;
}
