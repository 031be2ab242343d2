//! The loop: one batch after another, each of them whole or not at all.
//!
//! Reads a [`Source`], writes dead letters, the store and the source's offsets, in that order. Asks for the next batch
//! only when nothing is in flight. Ends with an error when the store or the dead letters refuse, or when more than the
//! allowed share of records is bad: the checkpoint then stands before the batch, and the next start repeats it.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use tokio::sync::watch;

use crate::config::DeadLetterSettings;
use crate::edge::admin::{self, BatchCounts};
use crate::edge::store::Store;
use crate::edge::{DeadLetters, Pull, Source};
use crate::pipeline::event::{Batch, Checkpoint, Millis, Rejection};
use crate::pipeline::observation::Observation;
use crate::pipeline::state::State;
use crate::pipeline::{Context, Memos, Step, examine, fold};

/// What one turn of the loop came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// A batch was decided.
    Decided,
    /// There was nothing to decide.
    Idle,
    /// The source is at its end.
    AtEnd,
}

/// Counts since the start; every record is in exactly one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fates {
    /// Records that became part of the state.
    pub observed: u64,
    /// Records whose event was there already.
    pub duplicate: u64,
    /// Records in the dead letters.
    pub rejected: u64,
    /// Records that an earlier run had decided.
    pub covered: u64,
}

/// The loop and all that it owns.
pub(crate) struct Engine<S, D> {
    pub(crate) source: S,
    pub(crate) dead_letters: D,
    pub(crate) store: Store,
    pub(crate) state: State,
    pub(crate) checkpoint: Checkpoint,
    /// What records are judged with; replaced as a whole between batches.
    pub(crate) context: watch::Receiver<Arc<Context>>,
    /// Counts up when there are new alerts.
    pub(crate) new_alerts: watch::Sender<u64>,
    pub(crate) refused_share: RefusedShare,
    pub(crate) memos: Memos,
    pub(crate) fates: Fates,
}

impl<S: Source, D: DeadLetters> Engine<S, D> {
    /// Waits for the next batch and decides it. When there is none, epochs are closed up to `idle_until()`, the time up
    /// to which no further event is expected, if that can be said.
    pub(crate) async fn turn(&mut self, now: Millis, idle_until: impl Fn() -> Option<Millis>) -> anyhow::Result<Turn> {
        match self.source.next().await? {
            Pull::Batch(batch) => self.decide(&batch, None, now).await?,
            Pull::Idle => {
                self.decide(&Batch::default(), idle_until(), now).await?;
                return Ok(Turn::Idle);
            }
            Pull::Closed => return Ok(Turn::AtEnd),
        }
        Ok(Turn::Decided)
    }

    /// The straight line. `until` closes epochs up to a time without events; `now` is for the dead letters' share.
    async fn decide(&mut self, batch: &Batch, until: Option<Millis>, now: Millis) -> anyhow::Result<()> {
        let context = self.current_context();
        let (seen, refused, n_covered) = self.examine_all(&context, batch);
        assert_eq!(seen.len() + refused.len() + n_covered, batch.len(), "a record without a fate");
        let (n_seen, step) = (seen.len(), fold(&context, &mut self.state, seen, until));
        self.count(n_seen, &refused, n_covered, &step);
        if !refused.is_empty() {
            self.dead_letters.write(&refused).await?;
        }
        self.refused_share.check(now, batch.len(), refused.len())?;
        self.commit(batch, &step)
    }

    /// Closes the last epoch at the end of a source that ends.
    pub(crate) fn close(&mut self) -> anyhow::Result<()> {
        let context = self.current_context();
        let step = self.state.close_last(&context);
        self.commit(&Batch::default(), &step)
    }

    fn commit(&mut self, batch: &Batch, step: &Step) -> anyhow::Result<()> {
        if batch.is_empty() && step.rows.is_empty() && step.alerts.is_empty() {
            return Ok(());
        }
        let Self { store, checkpoint, .. } = self;
        tokio::task::block_in_place(|| store.commit(&step.rows, &step.alerts, checkpoint))
            .context("the batch was not committed")?;
        if !step.alerts.is_empty() {
            self.new_alerts.send_modify(|n| *n += 1);
        }
        Ok(self.source.commit(&self.checkpoint)?)
    }

    /// The context to judge a batch by. What was remembered under another one is forgotten.
    fn current_context(&mut self) -> Arc<Context> {
        if self.context.has_changed().unwrap_or(false) {
            self.memos = Memos::default();
        }
        Arc::clone(&self.context.borrow_and_update())
    }

    fn examine_all<'b>(
        &mut self,
        context: &Context,
        batch: &'b Batch,
    ) -> (Vec<Observation<'b>>, Vec<Rejection<'b>>, usize) {
        let (mut seen, mut refused, mut n_covered) = (Vec::with_capacity(batch.len()), Vec::new(), 0);
        for record in batch.iter() {
            if self.checkpoint.covers(record.position) {
                n_covered += 1;
                continue;
            }
            self.checkpoint.advance(record.position);
            match examine(context, &mut self.memos, record) {
                Ok(observation) => seen.push(observation),
                Err(refusal) => refused.push(Rejection { record, reason: refusal.reason, detail: refusal.detail }),
            }
        }
        (seen, refused, n_covered)
    }

    fn count(&mut self, n_seen: usize, refused: &[Rejection<'_>], n_covered: usize, step: &Step) {
        let n_duplicates = step.duplicates.len() as u64;
        self.fates.duplicate += n_duplicates;
        self.fates.observed += n_seen as u64 - n_duplicates;
        self.fates.rejected += refused.len() as u64;
        self.fates.covered += n_covered as u64;
        admin::count_batch(&BatchCounts {
            observed: n_seen as u64 - n_duplicates,
            duplicate: n_duplicates,
            covered: n_covered as u64,
            rejections: refused,
            late: step.late,
            epochs: step.epochs,
            rows_clustered: step.n_rows_clustered,
            fallbacks: step.fallbacks,
            alerts: &step.alerts,
        });
        if step.epochs > 0 {
            let size = self.state.size();
            admin::gauge_state(size.cells, size.clusters, size.open_alerts);
        }
    }
}

/// The share of refused records in a window of time: over its bound the loop stops rather than dead-letter a topic.
#[derive(Debug, Clone)]
pub(crate) struct RefusedShare {
    share_max: f64,
    window_millis: i64,
    records_min: u64,
    began: Millis,
    n_records: u64,
    n_refused: u64,
}

impl RefusedShare {
    pub(crate) fn new(settings: &DeadLetterSettings) -> Self {
        Self {
            share_max: settings.share_max,
            window_millis: i64::try_from(settings.window.as_millis()).unwrap_or(i64::MAX),
            records_min: settings.window_records_min,
            began: Millis(0),
            n_records: 0,
            n_refused: 0,
        }
    }

    fn check(&mut self, now: Millis, n_records: usize, n_refused: usize) -> anyhow::Result<()> {
        if now.since(self.began) > self.window_millis {
            (self.began, self.n_records, self.n_refused) = (now, 0, 0);
        }
        self.n_records += n_records as u64;
        self.n_refused += n_refused as u64;
        #[expect(clippy::cast_precision_loss, reason = "a share; no window holds 2^53 records")]
        let share = self.n_refused as f64 / self.n_records.max(1) as f64;
        if self.n_records >= self.records_min && share > self.share_max {
            bail!(
                "{} of {} records were refused within the window, more than dead_letters.share_max allows; look at the \
                 dead letters: the topic may hold another format",
                self.n_refused,
                self.n_records
            );
        }
        Ok(())
    }
}
