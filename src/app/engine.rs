//! The loop: one batch after another, each of them whole or not at all.
//!
//! Reads a [`Source`], writes dead letters, the store and the source's offsets, in that order. Asks for the next batch
//! only when nothing is in flight. Ends with an error when the store or the dead letters refuse, or when more than the
//! allowed share of records is bad: the checkpoint then stands before the batch, and the next start repeats it.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use tokio::sync::{Notify, watch};

use crate::edge::store::Store;
use crate::edge::{DeadLetters, Pull, Source, admin};
use crate::pipeline::event::{Batch, Checkpoint, Millis, Rejection};
use crate::pipeline::observation::Observation;
use crate::pipeline::state::State;
use crate::pipeline::{Context, Memos, Step, examine, fold};

/// What one turn of the loop came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// A batch was decided, or there was none for now.
    Going,
    /// The source is at its end.
    AtEnd,
}

/// Counts since the start; every record is in exactly one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Fates {
    /// Records that became part of the state.
    pub(crate) observed: u64,
    /// Records whose event was there already.
    pub(crate) duplicate: u64,
    /// Records in the dead letters.
    pub(crate) rejected: u64,
    /// Records that an earlier run had decided.
    pub(crate) covered: u64,
}

/// The loop and all that it owns.
pub(crate) struct Engine<S, D> {
    pub(crate) source: S,
    pub(crate) dead_letters: D,
    pub(crate) store: Store,
    pub(crate) state: State,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) memos: Memos,
    /// What records are judged with; replaced as a whole between batches.
    pub(crate) context: watch::Receiver<Arc<Context>>,
    /// Rung when there are new alerts.
    pub(crate) new_alerts: Arc<Notify>,
    /// Share of refused records above which the loop stops rather than dead-letter a whole topic.
    pub(crate) refused_share_max: f64,
    pub(crate) fates: Fates,
}

/// Records after which the share of refused ones is looked at.
const SHARE_WINDOW: u64 = 1_000;

impl<S: Source, D: DeadLetters> Engine<S, D> {
    /// Waits for the next batch and decides it.
    pub(crate) async fn turn(&mut self, now: impl Fn() -> Millis) -> anyhow::Result<Turn> {
        match self.source.next().await? {
            Pull::Batch(batch) => self.decide(&batch, None).await?,
            Pull::Idle => self.decide(&Batch::default(), Some(now())).await?,
            Pull::Closed => return Ok(Turn::AtEnd),
        }
        Ok(Turn::Going)
    }

    /// The straight line. `until` closes epochs up to a time without events.
    pub(crate) async fn decide(&mut self, batch: &Batch, until: Option<Millis>) -> anyhow::Result<()> {
        let context = Arc::clone(&self.context.borrow_and_update());
        let (seen, refused, n_covered) = self.examine_all(&context, batch);
        assert_eq!(seen.len() + refused.len() + n_covered, batch.len(), "a record without a fate");
        let n_seen = seen.len() as u64;
        let step = fold(&context, &mut self.state, &seen, until);
        self.count(n_seen, refused.len() as u64, n_covered as u64, &step);
        if !refused.is_empty() {
            self.dead_letters.write(&refused).await?;
        }
        self.check_share()?;
        if batch.is_empty() && step.rows.is_empty() && step.alerts.is_empty() {
            return Ok(());
        }
        tokio::task::block_in_place(|| self.store.commit(&step.rows, &step.alerts, &self.checkpoint))
            .context("the batch was not committed")?;
        if !step.alerts.is_empty() {
            self.new_alerts.notify_waiters();
        }
        self.source.commit(&self.checkpoint)?;
        Ok(())
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

    fn count(&mut self, n_seen: u64, n_refused: u64, n_covered: u64, step: &Step) {
        let n_duplicates = step.duplicates.len() as u64;
        self.fates.duplicate += n_duplicates;
        self.fates.observed += n_seen - n_duplicates;
        self.fates.rejected += n_refused;
        self.fates.covered += n_covered;
        admin::count_step(n_seen, n_refused, n_covered, step);
    }

    fn check_share(&self) -> anyhow::Result<()> {
        let Fates { observed, duplicate, rejected, .. } = self.fates;
        let total = observed + duplicate + rejected;
        #[expect(clippy::cast_precision_loss, reason = "a share; counts beyond 2^53 are centuries away")]
        let share = rejected as f64 / total.max(1) as f64;
        if total >= SHARE_WINDOW && share > self.refused_share_max {
            bail!(
                "{rejected} of {total} records were refused, more than dead_letters.share_max allows; \
                 look at the dead letters: the topic may hold another format"
            );
        }
        Ok(())
    }
}
