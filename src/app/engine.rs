//! The loop: one batch after another, each of them whole or not at all.
//!
//! Reads a [`Source`], writes dead letters, the store and the source's offsets, in that order. Asks for the next batch
//! only when nothing is in flight. Ends with an error when the store or the dead letters refuse, or when more than the
//! allowed share of records is bad: the checkpoint then stands before the batch, and the next start repeats it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use tokio::sync::watch;

use crate::config::DeadLetterSettings;
use crate::edge::admin::{self, BatchCounts, Telemetry};
use crate::edge::store::Store;
use crate::edge::{DeadLetters, Gap, Pull, Source};
use crate::pipeline::decode::{Refusal, RequestTotal};
use crate::pipeline::event::{Batch, Checkpoint, Millis, Position, RawRecord, Rejection};
use crate::pipeline::observation::{Heard, Observation};
use crate::pipeline::operations::budget::alarm::GRACE_MILLIS;
use crate::pipeline::operations::budget::budgets;
use crate::pipeline::operations::ledger::Tier;
use crate::pipeline::requests::{RequestFact, attribute, count_requests, refusal_of};
use crate::pipeline::sift::{Sift, Sifted, Whole};
use crate::pipeline::state::State;
use crate::pipeline::{Context, Step, fold};

/// How often is looked for words of analysts: they are applied at the end of an epoch, which is longer.
const LISTEN_EVERY_MILLIS: i64 = Millis::SECOND;

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
    /// Records that were read and tell of no panic.
    pub silent: u64,
    /// Records that tell a part of a panic, or of a request that may have met one.
    pub gathered: u64,
    /// Records whose request totals became part of the account.
    pub counted: u64,
    /// Records whose ordinary requests were learned from.
    pub sampled: u64,
}

impl Fates {
    /// Records that have a fate.
    pub fn total(&self) -> u64 {
        let of_panics = self.observed + self.duplicate + self.rejected + self.covered + self.silent + self.gathered;
        of_panics + self.counted + self.sampled
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
    /// What the store has of it.
    stored: Checkpoint,
    context: watch::Receiver<Arc<Context>>,
    /// Counts up when there are new alerts.
    new_alerts: watch::Sender<u64>,
    refused_share: RefusedShare,
    sift: Sift,
    fates: Fates,
    telemetry: Telemetry,
    gone: Option<String>,
    /// The five minutes for which error budgets were last shown.
    budgets_shown: Option<Millis>,
    /// The newest word of an analyst that was taken up, and when was last looked for another one.
    heard: Option<(i64, Millis)>,
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
        let (sift, fates) = (Sift::default(), Fates::default());
        Ok(Self {
            source,
            dead_letters,
            store,
            state,
            stored: checkpoint.clone(),
            checkpoint,
            context,
            new_alerts,
            refused_share,
            sift,
            fates,
            telemetry: Telemetry::default(),
            gone: None,
            budgets_shown: None,
            heard: None,
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

    /// What records are judged with at present.
    pub fn context(&self) -> Arc<Context> {
        Arc::clone(&self.context.borrow())
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

    /// Waits for the next batch and decides it. When there is none, or none but samples of ordinary requests, epochs are
    /// closed up to `idle_until()`, the time up to which no further event is expected, if that can be said. `now` is real
    /// time, for the dead letters' share and for how often analysts' words are looked for.
    ///
    /// # Errors
    /// Whatever keeps a batch from its fate: the source's end without a way on, dead letters or a store that refuse, too
    /// many bad records. The engine is then of no more use: its memory may be ahead of the store.
    pub async fn turn(&mut self, now: Millis, idle_until: impl FnOnce() -> Option<Millis>) -> anyhow::Result<Turn> {
        self.hear(now)?;
        match self.source.next().await? {
            Pull::Batch(batch) => {
                let began = super::steady_clock();
                self.decide(&batch, idle_until, now).await?;
                admin::count_commit(super::steady_clock().saturating_duration_since(began));
                Ok(Turn::Decided)
            }
            Pull::Gap(gaps) => self.jump(&gaps).map(|()| Turn::Jumped),
            Pull::Idle => self.decide(&Batch::default(), idle_until, now).await.map(|()| Turn::Idle),
            Pull::Closed => Ok(Turn::AtEnd),
        }
    }

    /// Takes up what analysts said since the last look, a second ago.
    fn hear(&mut self, now: Millis) -> anyhow::Result<()> {
        let heard = match self.heard {
            // A clock that was set back must not make us deaf until it has caught up.
            Some((_, looked)) if (0..LISTEN_EVERY_MILLIS).contains(&now.since(looked)) => return Ok(()),
            heard => heard.map(|(newest, _)| newest),
        };
        let newest = self.store.newest_label()?;
        if heard != Some(newest) {
            let rulings = self.store.rulings()?;
            if heard.is_some() || rulings.iter().len() > 0 {
                tracing::info!(standing = rulings.iter().len(), "words of analysts are taken up");
            }
            self.state.take_up(rulings);
        }
        self.heard = Some((newest, now));
        Ok(())
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
        self.stored = self.sift.held_back(&self.checkpoint);
        self.store.commit(&[], &[], &self.stored)?;
        Ok(self.source.commit(&self.stored, &self.checkpoint)?)
    }

    /// The straight line. `idle_until` closes epochs up to a time without panics; `now` is for the dead letters' share.
    async fn decide(
        &mut self,
        batch: &Batch,
        idle_until: impl FnOnce() -> Option<Millis>,
        now: Millis,
    ) -> anyhow::Result<()> {
        let context = self.current_context();
        let (mut heard, mut records) = self.sift_all(&context, batch);
        self.count_requests(&context, &mut records);
        assert_eq!(records.total(), batch.len(), "a record without a fate");
        // Samples come all the time: panics would wait for a moment without any.
        let until = if records.are_samples() { idle_until() } else { None };
        let mut whole = self.sift.whole(until);
        self.join(&context, &mut whole, &mut heard.panics);
        let step = fold(&context, &mut self.state, heard, until);
        self.count(&records, &whole, &step);
        self.show_budgets(&context, &step);
        if !records.refused.is_empty() {
            self.dead_letters.write(&records.refused).await?;
        }
        self.refused_share.check(now, batch.len(), records.refused.len())?;
        self.commit(batch, &step)
    }

    /// Closes the last epoch at the end of a source that ends.
    ///
    /// # Errors
    /// A store that refuses.
    pub fn close(&mut self) -> anyhow::Result<()> {
        let context = self.current_context();
        let (mut whole, mut seen) = (self.sift.flush(), Vec::new());
        self.join(&context, &mut whole, &mut seen);
        let step = fold(&context, &mut self.state, seen, None);
        self.count(&Records::default(), &whole, &step);
        self.commit(&Batch::default(), &step)?;
        let step = self.state.close_last(&context);
        self.commit(&Batch::default(), &step)
    }

    /// Adds the events that were put together of several records.
    fn join<'b>(&mut self, context: &Context, whole: &'b mut Whole, seen: &mut Vec<Observation<'b>>) {
        for refusal in self.sift.observe(context, whole, seen) {
            tracing::error!(detail = refusal.detail, "an event that was put together of several records is lost");
        }
    }

    /// Commits what changed, and the checkpoint as far as nothing that waits needs to be read again.
    fn commit(&mut self, batch: &Batch, step: &Step) -> anyhow::Result<()> {
        let checkpoint = self.sift.held_back(&self.checkpoint);
        if batch.is_empty() && step.rows.is_empty() && step.alerts.is_empty() && checkpoint == self.stored {
            return Ok(());
        }
        tokio::task::block_in_place(|| self.store.commit(&step.rows, &step.alerts, &checkpoint))
            .context("the batch was not committed")?;
        if !step.alerts.is_empty() {
            self.new_alerts.send_modify(|n| *n += 1);
        }
        self.source.commit(&checkpoint, &self.checkpoint)?;
        self.stored = checkpoint;
        Ok(())
    }

    /// The context to judge a batch by. What was remembered under another one is forgotten.
    fn current_context(&mut self) -> Arc<Context> {
        if self.context.has_changed().unwrap_or(false) {
            self.sift.forget();
        }
        Arc::clone(&self.context.borrow_and_update())
    }

    fn sift_all<'b>(&mut self, context: &Context, batch: &'b Batch) -> (Heard<'b>, Records<'b>) {
        let (mut heard, mut records) = (Heard::default(), Records::default());
        for record in batch.iter() {
            if self.checkpoint.covers(record.position) {
                records.covered += 1;
                continue;
            }
            self.checkpoint.advance(record.position);
            match self.sift.take(context, record, &mut heard) {
                Sifted::Seen(1) => records.of_one += 1,
                Sifted::Seen(n) => {
                    records.of_several.insert(record.position, n);
                }
                Sifted::Gathered => records.gathered += 1,
                Sifted::Silent => records.silent += 1,
                Sifted::Sampled => records.sampled += 1,
                Sifted::Totals => records.of_totals.push((record, self.sift.take_totals())),
                Sifted::Refused(Refusal { reason, detail }) => {
                    records.refused.push(Rejection { record, reason, detail });
                }
            }
        }
        (heard, records)
    }

    /// Counts the request totals of a batch, and gives each of their records its fate. What stood beside a fault in a
    /// record that is refused already is counted all the same.
    fn count_requests(&mut self, context: &Context, records: &mut Records<'_>) {
        let stray = self.sift.take_totals();
        count_totals(context, &mut self.state, &stray, &mut records.requests);
        for (record, totals) in std::mem::take(&mut records.of_totals) {
            match count_totals(context, &mut self.state, &totals, &mut records.requests) {
                (_, Some(Refusal { reason, detail })) => records.refused.push(Rejection { record, reason, detail }),
                (0, None) => records.repeated += 1,
                (_, None) => records.counted += 1,
            }
        }
        attribute(&self.state, &mut records.requests);
    }

    fn count(&mut self, records: &Records<'_>, whole: &Whole, step: &Step) {
        let duplicate = records.duplicates(whole, step);
        let batch = BatchCounts {
            observed: records.n_telling().saturating_sub(duplicate),
            duplicate: duplicate + records.repeated,
            counted: records.counted,
            sampled: records.sampled,
            covered: records.covered,
            silent: records.silent,
            gathered: records.gathered,
            rejections: &records.refused,
            late: step.late,
            epochs: step.epochs,
            rows_clustered: step.n_rows_clustered,
            fallbacks: step.fallbacks,
            alerts: &step.alerts,
        };
        self.fates.observed += batch.observed;
        self.fates.duplicate += batch.duplicate;
        self.fates.rejected += records.refused.len() as u64;
        self.fates.covered += batch.covered;
        self.fates.silent += batch.silent;
        self.fates.gathered += batch.gathered;
        self.fates.counted += batch.counted;
        self.fates.sampled += batch.sampled;
        admin::count_batch(&batch);
        admin::count_detections(&step.alerts);
        let state = &self.state;
        self.telemetry.count(&step.panics, &records.requests, |tenant, id| state.tenant(tenant)?.known_name(id));
        admin::count_gathered(&self.sift.counts());
        if step.epochs > 0 {
            let size = self.state.size();
            admin::gauge_state(&size);
        }
    }

    /// Shows the error budgets, once in five minutes: they are made of pages of five minutes.
    fn show_budgets(&mut self, context: &Context, step: &Step) {
        let Some(now) = self.state.now().filter(|_| step.epochs > 0 && !context.operations.slos.is_empty()) else {
            return;
        };
        let slot = Some(Tier::FiveMinutes.start(now.plus(-GRACE_MILLIS)));
        if slot == self.budgets_shown {
            return;
        }
        self.budgets_shown = slot;
        for (slo, figures) in budgets(context, &self.state, now) {
            admin::show_budget(slo, &figures);
        }
    }
}

/// Counts totals; gives how many of them were new, and the first fault, if one stands against the account.
fn count_totals(
    context: &Context,
    state: &mut State,
    totals: &[RequestTotal<'_>],
    counted: &mut Vec<RequestFact>,
) -> (usize, Option<Refusal>) {
    let (n_before, mut refusal) = (counted.len(), None);
    for total in totals {
        match count_requests(context, state, total) {
            Ok(fact) => counted.push(fact),
            Err(fault) => refusal = refusal.or_else(|| refusal_of(fault)),
        }
    }
    (counted.len() - n_before, refusal)
}

/// The records of a batch by what they came to; each is in exactly one of these.
#[derive(Debug, Default)]
struct Records<'b> {
    /// Records of one event.
    of_one: u64,
    /// Records of several events, and how many.
    of_several: BTreeMap<Position<'b>, usize>,
    refused: Vec<Rejection<'b>>,
    covered: u64,
    silent: u64,
    gathered: u64,
    /// Records of request totals that have no fate yet.
    of_totals: Vec<(RawRecord<'b>, Vec<RequestTotal<'static>>)>,
    counted: u64,
    sampled: u64,
    repeated: u64,
    /// What was counted of them.
    requests: Vec<RequestFact>,
}

impl Records<'_> {
    fn total(&self) -> usize {
        let rest =
            self.of_one + self.covered + self.silent + self.gathered + self.counted + self.repeated + self.sampled;
        usize::try_from(rest).unwrap_or(usize::MAX) + self.of_several.len() + self.refused.len()
    }

    /// Whether there are none but samples of ordinary requests.
    fn are_samples(&self) -> bool {
        usize::try_from(self.sampled).is_ok_and(|n_samples| n_samples == self.total())
    }

    /// Records that tell of panics.
    fn n_telling(&self) -> u64 {
        self.of_one + self.of_several.len() as u64
    }

    /// Of these, the ones all of whose panics had been there already. What was put together of several records, or
    /// stood in a record with a fault, was counted with that record.
    fn duplicates(&self, whole: &Whole, step: &Step) -> u64 {
        if step.duplicates.is_empty() {
            return 0;
        }
        let faulty = self.refused.iter().map(|rejection| rejection.record.position);
        let elsewhere: BTreeSet<Position<'_>> = whole.positions().chain(faulty).collect();
        let mut n_records = 0;
        let mut of_several: BTreeMap<Position<'_>, usize> = BTreeMap::new();
        for (topic, partition, offset) in &step.duplicates {
            let position = Position { topic, partition: *partition, offset: *offset };
            if self.of_several.contains_key(&position) {
                *of_several.entry(position).or_default() += 1;
            } else if !elsewhere.contains(&position) {
                n_records += 1;
            }
        }
        let all = of_several.iter().filter(|(position, n)| self.of_several.get(position) == Some(n)).count();
        n_records + all as u64
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
