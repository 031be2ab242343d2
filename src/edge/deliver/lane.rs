//! A lane: everything that waits for one destination, sent in order until it has its answer.
//!
//! Order: an alert is never in a request together with an earlier one of its own cluster, and never sent before that
//! one has its final answer; so "opened" is answered before "raised" whatever is retried, refused or split between
//! them. Between clusters there is no order to keep.
//!
//! Nobody is refused on a suspicion: an alert that a destination calls bad is sent alone first, and so is one of a
//! request that is refused as a whole, by halving. Where every alert is refused it is rather the destination that is
//! wrong: refusals then go at the pace of a hold.
//!
//! Blocking work of the store is done on tokio's blocking threads. The state of a lane is one page of the outbox.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::pace::{Pace, PaceLimits, Went};
use super::{BatchLimits, Outlet, Reading, Word, words};
use crate::edge::admin::{self, Health, LaneState};
use crate::edge::store::{Fate, Outbox, Pending, Settlement, StoreError};
use crate::pipeline::alert::Alert;

/// How long an idle lane sleeps when nobody wakes it.
const IDLE_POLL: Duration = Duration::from_secs(5);

/// How long a lane waits for a store that cannot be written just now (full disk, busy).
const STORE_RETRY: Duration = Duration::from_secs(2);

/// What waits is counted once in so many requests: the count is a pass over all that waits.
const COUNT_EVERY_REQUESTS: u32 = 16;

/// A lane that cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum LaneError {
    /// The outbox is gone or broken.
    #[error("destination {destination}: {error}")]
    Store {
        /// Name of the destination.
        destination: String,
        /// What is wrong with the store.
        error: StoreError,
    },
    /// A fault of our own.
    #[error("a delivery task ended: {0}")]
    Died(String),
}

/// One destination with its outlet and its limits.
pub struct Lane {
    name: String,
    store: PathBuf,
    outlet: Box<dyn Outlet>,
    batch: BatchLimits,
    pace: PaceLimits,
}

/// Alerts of one request, with their places in the outbox.
#[derive(Debug, Default)]
struct Shipment {
    seqs: Vec<i64>,
    alerts: Vec<Alert>,
    unreadable: Vec<Settlement>,
}

/// What a lane remembers between two requests.
struct Memory {
    pace: Pace,
    /// Requests that carried an alert which has no answer yet.
    attempts: BTreeMap<i64, u32>,
    /// An alert that the destination pointed at: it goes alone.
    suspect: Option<i64>,
    /// The destination pointed at an innocent one: halve from now on.
    points_wrongly: bool,
}

/// What a reading comes to.
struct Outcome {
    settlements: Vec<Settlement>,
    went: Went,
    state: LaneState,
}

impl Lane {
    /// A lane named `name` (unique, and stable over restarts: it is the key of its answers) from the store at `store`.
    pub fn new(name: impl Into<String>, store: impl Into<PathBuf>, outlet: Box<dyn Outlet>) -> Self {
        Self {
            name: name.into(),
            store: store.into(),
            outlet,
            batch: BatchLimits::default(),
            pace: PaceLimits::default(),
        }
    }

    /// The same with other limits.
    #[must_use]
    pub fn with_limits(mut self, batch: BatchLimits, pace: PaceLimits) -> Self {
        self.batch = batch;
        self.pace = pace;
        self
    }

    /// Name of the destination.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Delivers until `shutdown`; the request in flight is finished and its answer written down.
    pub async fn run(
        mut self,
        health: Arc<Health>,
        mut wakeup: watch::Receiver<u64>,
        mut shutdown: watch::Receiver<bool>,
    ) -> Result<(), LaneError> {
        let (path, name) = (self.store.clone(), self.name.clone());
        let mut outbox = blocking(move || Outbox::open(&path, &name)).await?.map_err(|e| self.broken(e))?;
        let mut memory = Memory::new(Pace::new(self.pace, self.batch.alerts_max));
        let mut n_requests = 0_u32;
        while !is_over(&shutdown) {
            wakeup.borrow_and_update();
            let count = n_requests.is_multiple_of(COUNT_EVERY_REQUESTS);
            let limits = self.batch;
            let (back, page) = blocking(move || (outbox_page(&mut outbox, limits, count), outbox)).await.map(swap)?;
            outbox = back;
            let page = match page {
                Ok(page) => page,
                Err(error) if may_pass(&error) => {
                    self.store_trouble(&health, &error);
                    pause(STORE_RETRY, &mut shutdown).await;
                    continue;
                }
                Err(error) => return Err(self.broken(error)),
            };
            if let Some(n_waiting) = page.n_waiting {
                health.waiting(&self.name, n_waiting);
            }
            if page.alerts.is_empty() {
                n_requests = 0;
                health.lane(&self.name, LaneState::Idle);
                tokio::select! {
                    _ = shutdown.changed() => {}
                    () = woken(&mut wakeup) => {}
                }
                continue;
            }
            n_requests = n_requests.wrapping_add(1);
            let shipment = memory.choose(page.alerts);
            let (outcome, n_sent) = self.ship(&mut memory, shipment).await;
            outbox = self.write_down(outbox, outcome.settlements, &health, &mut shutdown).await?;
            self.tell(&health, &outcome.state);
            let delay = memory.pace.after(outcome.went, n_sent, random());
            pause(delay, &mut shutdown).await;
        }
        Ok(())
    }

    async fn ship(&mut self, memory: &mut Memory, shipment: Shipment) -> (Outcome, usize) {
        let n_sent = shipment.alerts.len();
        let mut outcome = if shipment.alerts.is_empty() {
            Outcome { settlements: Vec::new(), went: Went::Refused, state: LaneState::Delivering }
        } else {
            let reading = self.outlet.send(&shipment.alerts).await;
            admin::count_request(&self.name, reading.name());
            memory.digest(reading, &shipment.seqs)
        };
        outcome.settlements.extend(shipment.unreadable);
        (outcome, n_sent)
    }

    /// Writes the answers down, however long it takes: what was answered must not be sent again for want of a note.
    async fn write_down(
        &self,
        mut outbox: Outbox,
        settlements: Vec<Settlement>,
        health: &Health,
        shutdown: &mut watch::Receiver<bool>,
    ) -> Result<Outbox, LaneError> {
        let settlements = Arc::new(settlements);
        loop {
            if settlements.is_empty() {
                return Ok(outbox);
            }
            let notes = Arc::clone(&settlements);
            let (back, written) = blocking(move || (outbox.settle(&notes), outbox)).await.map(swap)?;
            outbox = back;
            match written {
                Ok(()) => break,
                Err(error) if may_pass(&error) => self.store_trouble(health, &error),
                Err(error) => return Err(self.broken(error)),
            }
            if is_over(shutdown) {
                return Ok(outbox);
            }
            pause(STORE_RETRY, shutdown).await;
        }
        for one in settlements.iter() {
            admin::count_fate(&self.name, one.fate.name());
            if one.fate == Fate::Refused {
                tracing::warn!(destination = self.name, seq = one.seq, why = one.detail, "alert refused for good");
            }
        }
        Ok(outbox)
    }

    /// Tells health, and the log when something changed.
    fn tell(&self, health: &Health, state: &LaneState) {
        if health.lane(&self.name, state.clone()) {
            match state {
                LaneState::OnHold(why) => tracing::error!(destination = self.name, why, "delivery on hold"),
                LaneState::Retrying(why) => tracing::warn!(destination = self.name, why, "delivery is tried again"),
                LaneState::Delivering => tracing::info!(destination = self.name, "delivering"),
                LaneState::Idle => {}
            }
        }
    }

    fn store_trouble(&self, health: &Health, error: &StoreError) {
        self.tell(health, &LaneState::Retrying(error.to_string()));
    }

    fn broken(&self, error: StoreError) -> LaneError {
        LaneError::Store { destination: self.name.clone(), error }
    }
}

impl Memory {
    fn new(pace: Pace) -> Self {
        Self { pace, attempts: BTreeMap::new(), suspect: None, points_wrongly: false }
    }

    /// The alerts of the next request: at most the pace's width, at most one a cluster, a suspect alone.
    fn choose(&mut self, page: Vec<Pending>) -> Shipment {
        let suspect = self.suspect.filter(|suspect| page.iter().any(|one| one.seq == *suspect));
        self.suspect = suspect;
        let mut clusters = BTreeSet::new();
        let mut shipment = Shipment::default();
        for pending in page {
            if shipment.alerts.len() >= self.pace.width() {
                break;
            }
            let Pending { seq, cluster, body } = pending;
            if suspect.is_some_and(|suspect| suspect != seq) || !clusters.insert(cluster) {
                continue;
            }
            match serde_json::from_str(&body) {
                Ok(alert) => {
                    shipment.seqs.push(seq);
                    shipment.alerts.push(alert);
                    let attempts = self.attempts.entry(seq).or_default();
                    *attempts = attempts.saturating_add(1);
                }
                Err(error) => shipment.unreadable.push(Settlement {
                    seq,
                    fate: Fate::Refused,
                    detail: words(format!("panicsift: the stored alert cannot be read: {error}").as_bytes()),
                    attempts: 0,
                }),
            }
        }
        shipment
    }

    /// What a reading comes to for the alerts at `seqs`.
    fn digest(&mut self, reading: Reading, seqs: &[i64]) -> Outcome {
        match reading {
            Reading::Accepted { slow_down, receipt } => {
                self.points_wrongly |= self.suspect.take().is_some();
                let settlements = seqs.iter().map(|seq| self.answer(*seq, Fate::Delivered, receipt.clone())).collect();
                Outcome { settlements, went: Went::Well { slow_down }, state: LaneState::Delivering }
            }
            Reading::Words(said) => self.digest_words(said, seqs),
            Reading::Retry { why, after, slow_down } => {
                nothing(Went::Badly { after, slow_down }, LaneState::Retrying(why))
            }
            Reading::Hold { why } => nothing(Went::OnHold, LaneState::OnHold(why)),
            Reading::Poison { suspect, why } => {
                let suspect = suspect.filter(|_| !self.points_wrongly).and_then(|at| seqs.get(at));
                match (seqs, suspect) {
                    ([alone], _) => self.refuse(*alone, why),
                    (_, Some(seq)) => {
                        self.suspect = Some(*seq);
                        nothing(Went::Well { slow_down: false }, LaneState::Delivering)
                    }
                    (_, None) => nothing(Went::TooWide, LaneState::Delivering),
                }
            }
            Reading::TooLarge { why } => match seqs {
                [alone] => self.refuse(*alone, why),
                _ => nothing(Went::TooWide, LaneState::Delivering),
            },
        }
    }

    fn digest_words(&mut self, said: Vec<Word>, seqs: &[i64]) -> Outcome {
        if said.len() != seqs.len() {
            let why = format!("{} answers to {} alerts", said.len(), seqs.len());
            return nothing(Went::Badly { after: None, slow_down: false }, LaneState::Retrying(why));
        }
        let is_refusal = |word: &Word| matches!(word, Word::Final(Fate::Refused, _));
        if said.iter().all(is_refusal) {
            return match (seqs, said.into_iter().next()) {
                ([alone], Some(Word::Final(_, why))) => self.refuse(*alone, why),
                _ => nothing(Went::TooWide, LaneState::Delivering),
            };
        }
        self.points_wrongly |= self.suspect.take().is_some();
        let mut outcome = nothing(Went::Well { slow_down: false }, LaneState::Delivering);
        let mut overloaded = false;
        for (word, seq) in said.into_iter().zip(seqs) {
            match word {
                Word::Final(fate, detail) => outcome.settlements.push(self.answer(*seq, fate, detail)),
                Word::Hold(why) => outcome.state = LaneState::OnHold(why),
                Word::Retry(why) | Word::Overloaded(why) if matches!(outcome.state, LaneState::OnHold(_)) => drop(why),
                Word::Retry(why) => outcome.state = LaneState::Retrying(why),
                Word::Overloaded(why) => {
                    overloaded = true;
                    outcome.state = LaneState::Retrying(why);
                }
            }
        }
        outcome.went = match (&outcome.state, outcome.settlements.is_empty()) {
            (LaneState::OnHold(_), _) => Went::OnHold,
            (LaneState::Retrying(_), true) => Went::Badly { after: None, slow_down: overloaded },
            (LaneState::Retrying(_), false) => Went::InPart { slow_down: overloaded },
            (LaneState::Idle | LaneState::Delivering, _) => Went::Well { slow_down: false },
        };
        outcome
    }

    fn refuse(&mut self, seq: i64, why: String) -> Outcome {
        self.suspect = None;
        let settlement = self.answer(seq, Fate::Refused, why);
        let state = if self.pace.refuses_everything() {
            LaneState::OnHold(format!("every alert is refused, the last one so: {}", settlement.detail))
        } else {
            LaneState::Delivering
        };
        Outcome { settlements: vec![settlement], went: Went::Refused, state }
    }

    fn answer(&mut self, seq: i64, fate: Fate, detail: String) -> Settlement {
        Settlement { seq, fate, detail, attempts: self.attempts.remove(&seq).unwrap_or(1) }
    }
}

fn nothing(went: Went, state: LaneState) -> Outcome {
    Outcome { settlements: Vec::new(), went, state }
}

struct Page {
    alerts: Vec<Pending>,
    n_waiting: Option<u64>,
}

fn outbox_page(outbox: &mut Outbox, limits: BatchLimits, count: bool) -> Result<Page, StoreError> {
    outbox.raise_floor()?;
    let alerts = outbox.pending(limits.alerts_max.max(1), limits.bytes_max)?;
    let n_waiting = if alerts.is_empty() {
        Some(0)
    } else if count {
        Some(outbox.n_waiting()?)
    } else {
        None
    };
    Ok(Page { alerts, n_waiting })
}

/// Trouble that ends when somebody makes room or lets go; the others do not end by waiting.
fn may_pass(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Full(_) | StoreError::InUse(_) | StoreError::Unwritable { .. } | StoreError::Failed { .. }
    )
}

/// Runs what waits for the disk on a thread that may wait.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, LaneError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| LaneError::Died(error.to_string()))
}

fn swap<A, B>((a, b): (A, B)) -> (B, A) {
    (b, a)
}

/// The service ends, or whoever would say so is gone.
fn is_over(shutdown: &watch::Receiver<bool>) -> bool {
    *shutdown.borrow() || shutdown.has_changed().is_err()
}

/// Until somebody says that there is something, and not for ever; nobody left to say so is no reason to spin.
async fn woken(wakeup: &mut watch::Receiver<u64>) {
    let told = tokio::time::timeout(IDLE_POLL, wakeup.changed()).await;
    if matches!(told, Ok(Err(_))) {
        tokio::time::sleep(IDLE_POLL).await;
    }
}

/// Sleeps, unless the service ends.
async fn pause(delay: Duration, shutdown: &mut watch::Receiver<bool>) {
    if delay.is_zero() {
        return;
    }
    tokio::select! {
        _ = shutdown.changed() => {}
        () = tokio::time::sleep(delay) => {}
    }
}

/// 64 bits from the operating system's randomness by way of the hash maps' keys; good enough to spread retries.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests;
