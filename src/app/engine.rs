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
use crate::edge::{DeadLetters, Gap, Pull, Source};
use crate::pipeline::event::{Batch, Checkpoint, Millis, Rejection};
use crate::pipeline::observation::Observation;
use crate::pipeline::state::State;
use crate::pipeline::{Context, Memos, Step, examine, fold};

/// What one turn of the loop came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// A batch was decided.
    Decided,
    /// The source went on behind records that are gone.
    Jumped,
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

impl Fates {
    /// Records that have a fate.
    pub fn total(&self) -> u64 {
        self.observed + self.duplicate + self.rejected + self.covered
    }
}

/// What an engine is made of: what it reads, where it writes, what it judges by.
pub struct Parts<S, D> {
    /// Where records come from.
    pub source: S,
    /// Where refused ones go.
    pub dead_letters: D,
    /// The store; the state is read from it.
    pub store: Store,
    /// Where `source` starts: the store's checkpoint.
    pub checkpoint: Checkpoint,
    /// What records are judged with; replaced as a whole between batches.
    pub context: watch::Receiver<Arc<Context>>,
    /// Bound on refused records.
    pub refused_share: RefusedShare,
}

/// The loop and all that it owns.
pub struct Engine<S, D> {
    source: S,
    dead_letters: D,
    store: Store,
    state: State,
    checkpoint: Checkpoint,
    context: watch::Receiver<Arc<Context>>,
    /// Counts up when there are new alerts.
    new_alerts: watch::Sender<u64>,
    refused_share: RefusedShare,
    memos: Memos,
    fates: Fates,
    gone: Option<String>,
}

impl<S: Source, D: DeadLetters> Engine<S, D> {
    /// Takes up the state where the store has it.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub fn start(parts: Parts<S, D>) -> anyhow::Result<Self> {
        let Parts { source, dead_letters, store, checkpoint, context, refused_share } = parts;
        let clustering = context.borrow().clustering.clone();
        let (state, n_unreadable) = State::restore(&clustering, |kind| store.load_state(kind))?;
        if n_unreadable > 0 {
            tracing::error!(rows = n_unreadable, "rows of the store could not be read and are left out");
        }
        let new_alerts = watch::Sender::new(0);
        let (memos, fates) = (Memos::default(), Fates::default());
        Ok(Self {
            source,
            dead_letters,
            store,
            state,
            checkpoint,
            context,
            new_alerts,
            refused_share,
            memos,
            fates,
            gone: None,
        })
    }

    /// What it reads.
    pub fn source(&self) -> &S {
        &self.source
    }

    /// The source, to be closed when the loop is over; everything else is let go of.
    pub fn into_source(self) -> S {
        self.source
    }

    /// The store, for what is done between batches.
    pub fn store_mut(&mut self) -> &mut Store {
        &mut self.store
    }

    /// Tells when there are new alerts.
    pub fn new_alerts(&self) -> watch::Receiver<u64> {
        self.new_alerts.subscribe()
    }

    /// What became of the records since the start.
    pub fn fates(&self) -> Fates {
        self.fates
    }

    /// Start of the open epoch of event time.
    pub fn epoch(&self) -> Option<Millis> {
        self.state.now()
    }

    /// The last gap in the source, in words.
    pub fn gone(&self) -> Option<&str> {
        self.gone.as_deref()
    }

    /// Waits for the next batch and decides it. When there is none, epochs are closed up to `idle_until()`, the time up
    /// to which no further event is expected, if that can be said. `now` is real time, for the dead letters' share.
    ///
    /// # Errors
    /// Whatever keeps a batch from its fate: the source's end without a way on, dead letters or a store that refuse, too
    /// many bad records. The engine is then of no more use: its memory may be ahead of the store.
    pub async fn turn(&mut self, now: Millis, idle_until: impl FnOnce() -> Option<Millis>) -> anyhow::Result<Turn> {
        match self.source.next().await? {
            Pull::Batch(batch) => {
                let began = super::steady_clock();
                self.decide(&batch, None, now).await?;
                admin::count_commit(super::steady_clock().saturating_duration_since(began));
                Ok(Turn::Decided)
            }
            Pull::Gap(gaps) => self.jump(&gaps).map(|()| Turn::Jumped),
            Pull::Idle => self.decide(&Batch::default(), idle_until(), now).await.map(|()| Turn::Idle),
            Pull::Closed => Ok(Turn::AtEnd),
        }
    }

    /// Writes a jump over records that are gone into the store, before anything that comes after it.
    fn jump(&mut self, gaps: &[Gap]) -> anyhow::Result<()> {
        for gap in gaps {
            tracing::error!(%gap, going_on_at = gap.to, "records are gone");
            admin::count_gone(gap.n_records());
            if gap.end.is_some() {
                self.checkpoint.rewind(&gap.topic, gap.partition, gap.to);
                self.store.rewind(&gap.topic, gap.partition, gap.to)?;
            } else {
                self.checkpoint.set(&gap.topic, gap.partition, gap.to);
            }
        }
        self.gone = gaps.last().map(ToString::to_string);
        self.store.commit(&[], &[], &self.checkpoint)?;
        Ok(self.source.commit(&self.checkpoint)?)
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
    ///
    /// # Errors
    /// A store that refuses.
    pub fn close(&mut self) -> anyhow::Result<()> {
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
pub struct RefusedShare {
    share_max: f64,
    window_millis: i64,
    records_min: u64,
    began: Millis,
    n_records: u64,
    n_refused: u64,
}

impl RefusedShare {
    /// Nothing was refused yet.
    pub fn new(settings: &DeadLetterSettings) -> Self {
        Self {
            share_max: settings.share_max,
            window_millis: i64::try_from(settings.window.as_millis()).unwrap_or(i64::MAX),
            records_min: settings.window_records_min,
            began: Millis(0),
            n_records: 0,
            n_refused: 0,
        }
    }

    pub(super) fn check(&mut self, now: Millis, n_records: usize, n_refused: usize) -> anyhow::Result<()> {
        // A clock that was set back must not make the window last until it has caught up.
        if now.since(self.began) > self.window_millis || now < self.began {
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
