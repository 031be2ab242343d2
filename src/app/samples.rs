//! Samples of ordinary requests in a replay: kept back until panics have come as far.
//!
//! A replay has its records in the order of time, and reads them in batches. A sample that is later than all panics at
//! hand may be later than the end of the open epoch too, and what is judged then must not know it. So it waits for a later
//! panic. Bound: [`HELD_MAX`] samples wait; of more the earliest go first, a little too early, in an hour without a panic.

use std::path::PathBuf;

use crate::pipeline::decode::{Feed, Feeds};
use crate::pipeline::event::{Carrier, Millis};
use crate::pipeline::observation::OrdinaryRequest;

/// Samples that wait, some 1 kB each.
const HELD_MAX: usize = 1 << 16;

/// What is known of the records of a replay: those of `samples` are samples, of all others `feed` is known.
pub(super) fn feeds(samples: &[PathBuf], feed: &Feed) -> Feeds {
    let of_samples = of_samples(feed);
    let topics = samples.iter().map(|path| (path.display().to_string(), of_samples.clone()));
    Feeds::new(topics.collect(), feed.clone())
}

/// What is known of samples beside events of which `feed` is known.
pub(super) fn of_samples(feed: &Feed) -> Feed {
    Feed { carrier: Some(Carrier::RequestSample), ..feed.clone() }
}

/// Samples that wait for their time.
#[derive(Debug, Default)]
pub(super) struct HeldSamples {
    held: Vec<OrdinaryRequest>,
    /// Samples so far.
    pub(super) n_taken: u64,
}

impl HeldSamples {
    /// Keeps these back.
    pub(super) fn hold(&mut self, requests: Vec<OrdinaryRequest>) {
        self.n_taken += requests.len() as u64;
        self.held.extend(requests);
    }

    /// Gives those before `time`.
    pub(super) fn before(&mut self, time: Millis) -> Vec<OrdinaryRequest> {
        OrdinaryRequest::put_in_order(&mut self.held);
        let n_due = self.held.partition_point(|request| request.time < time);
        let n_over = self.held.len().saturating_sub(HELD_MAX);
        let later = self.held.split_off(n_due.max(n_over));
        std::mem::replace(&mut self.held, later)
    }
}
