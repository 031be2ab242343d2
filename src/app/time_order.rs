//! Records of several files in the order of their event time, with bounded memory.
//!
//! A replay decides on event time, so its records must come in that order. Files are nearly in order (a service logs as
//! it goes); each is read [`LOOKAHEAD`] records ahead and the earliest record of all of them goes first. A record that
//! is further out of place than that comes late and is counted as any late event is. The time is read from the `ts` key
//! of a canonical record, and of any other from what its decoder finds first; a record without one goes with its
//! predecessor. Cost: one more look at each record, some 0.5 µs; for other carriers one more decoding.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

use serde::Deserialize;

use crate::edge::{Pull, Source, SourceError};
use crate::pipeline::decode::{Feed, LogLine, Piece, decode};
use crate::pipeline::event::{Batch, Carrier, Checkpoint, Millis, Position, RawRecord};

/// Records that each file is read ahead: some 10 MB at 1.2 kB a record.
const LOOKAHEAD: usize = 8_192;

/// Records of a batch that is handed on.
const BATCH_RECORDS: usize = 2_000;

/// A record that waits for its turn; the order of the fields is the order of the records.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Waiting {
    time: Millis,
    file: usize,
    offset: i64,
    topic: String,
    payload: Vec<u8>,
}

/// A file read ahead.
struct Ahead<S> {
    source: S,
    feed: Feed,
    waiting: BinaryHeap<Reverse<Waiting>>,
    last_time: Millis,
    at_end: bool,
}

impl<S: Source> Ahead<S> {
    async fn fill(&mut self, file: usize) -> Result<(), SourceError> {
        while !self.at_end && self.waiting.len() < LOOKAHEAD {
            match self.source.next().await? {
                // Files have no gaps.
                Pull::Idle | Pull::Gap(_) => {}
                Pull::Closed => self.at_end = true,
                Pull::Batch(batch) => self.waiting.extend(batch.iter().map(|record| {
                    self.last_time = time_of(&self.feed, record).unwrap_or(self.last_time);
                    Reverse(Waiting {
                        time: self.last_time,
                        file,
                        offset: record.position.offset,
                        topic: record.position.topic.to_owned(),
                        payload: record.payload.to_owned(),
                    })
                })),
            }
        }
        Ok(())
    }
}

/// Several sources of one file each as one source, earliest record first; of equal times the first file's.
pub(super) struct TimeOrder<S> {
    files: Vec<Ahead<S>>,
}

impl<S: Source> TimeOrder<S> {
    /// Reads from all of `sources`, of whose records `feed` is known.
    pub(super) fn new(sources: Vec<S>, feed: &Feed) -> Self {
        Self { files: Vec::new() }.and(sources, feed)
    }

    /// Reads from these as well.
    pub(super) fn and(mut self, sources: Vec<S>, feed: &Feed) -> Self {
        let (waiting, last_time) = (BinaryHeap::new, Millis(i64::MIN));
        let ahead = |source| Ahead { source, feed: feed.clone(), waiting: waiting(), last_time, at_end: false };
        self.files.extend(sources.into_iter().map(ahead));
        self
    }

    fn earliest(&self) -> Option<usize> {
        let heads = self.files.iter().enumerate().filter_map(|(file, ahead)| Some((ahead.waiting.peek()?, file)));
        heads.max_by(|(a, _), (b, _)| a.cmp(b)).map(|(_, file)| file)
    }
}

impl<S: Source + Send> Source for TimeOrder<S> {
    async fn next(&mut self) -> Result<Pull, SourceError> {
        let mut batch = Batch::default();
        while batch.len() < BATCH_RECORDS {
            for (file, ahead) in self.files.iter_mut().enumerate() {
                ahead.fill(file).await?;
            }
            let ahead = self.earliest().and_then(|file| self.files.get_mut(file));
            let Some(Reverse(next)) = ahead.and_then(|ahead| ahead.waiting.pop()) else { break };
            let position = Position { topic: &next.topic, partition: 0, offset: next.offset };
            batch.push(position, None, &next.payload);
        }
        Ok(if batch.is_empty() { Pull::Closed } else { Pull::Batch(batch) })
    }

    fn commit(&mut self, _stored: &Checkpoint, _decided: &Checkpoint) -> Result<(), SourceError> {
        Ok(())
    }
}

/// When a record's first event, or what it tells of one, happened. Canonical records, and samples, have it in one place.
fn time_of(feed: &Feed, record: RawRecord<'_>) -> Option<Millis> {
    let has_ts = feed.carrier.is_none_or(|carrier| matches!(carrier, Carrier::Canonical | Carrier::RequestSample));
    event_time(record.payload).filter(|_| has_ts).or_else(|| match decode(feed, record).pieces.first()? {
        Piece::Event(event) | Piece::Awaiting { event, .. } => Some(event.time),
        Piece::Request { facts, .. } => Some(facts.time),
        Piece::Line(LogLine::Read(text)) => text.time,
        Piece::Invocation { part, .. } => Some(part.time),
        Piece::Total(total) => Some(total.end()),
        Piece::Sample { request, .. } => Some(request.time),
        Piece::Line(LogLine::Unread { .. }) => None,
    })
}

/// The `ts` of a record, if it has a readable one.
pub(super) fn event_time(record: &[u8]) -> Option<Millis> {
    #[derive(Deserialize)]
    struct Stamp<'a> {
        #[serde(borrow)]
        ts: Cow<'a, str>,
    }
    let stamp: Stamp<'_> = serde_json::from_slice(record).ok()?;
    Millis::parse(&stamp.ts)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of one batch.
    struct File(Option<Batch>);

    impl Source for File {
        async fn next(&mut self) -> Result<Pull, SourceError> {
            Ok(self.0.take().map_or(Pull::Closed, Pull::Batch))
        }

        fn commit(&mut self, _stored: &Checkpoint, _decided: &Checkpoint) -> Result<(), SourceError> {
            Ok(())
        }
    }

    fn file(name: &str, seconds: &[Option<u32>]) -> File {
        let mut batch = Batch::default();
        for (offset, second) in (0..).zip(seconds) {
            let line = second.map_or("not json".to_owned(), |s| format!("{{\"ts\":\"2026-01-01T00:00:{s:02}Z\"}}"));
            batch.push(Position { topic: name, partition: 0, offset }, None, line.as_bytes());
        }
        File(Some(batch))
    }

    async fn check(files: Vec<File>, expected: &[&str]) {
        let mut order = TimeOrder::new(files, &Feed::default());
        let mut found = Vec::new();
        while let Ok(Pull::Batch(batch)) = order.next().await {
            found.extend(batch.iter().map(|record| format!("{}{}", record.position.topic, record.position.offset)));
        }
        assert_eq!(found, expected);
    }

    #[tokio::test]
    async fn files_are_merged_by_time_and_a_single_one_is_put_in_order() {
        let files = vec![file("a", &[Some(1), Some(5)]), file("b", &[Some(3), Some(2)])];
        check(files, &["a0", "b1", "b0", "a1"]).await;
    }

    #[tokio::test]
    async fn of_equal_times_the_first_file_goes_first() {
        check(vec![file("a", &[Some(1), Some(1)]), file("b", &[Some(1)])], &["a0", "a1", "b0"]).await;
    }

    #[tokio::test]
    async fn a_record_without_a_time_stays_behind_the_one_before_it() {
        check(vec![file("a", &[Some(4), None, Some(9)]), file("b", &[Some(6)])], &["a0", "a1", "b0", "a2"]).await;
    }

    #[tokio::test]
    async fn no_files_and_empty_files_give_no_records() {
        check(vec![], &[]).await;
        check(vec![file("a", &[])], &[]).await;
    }
}
