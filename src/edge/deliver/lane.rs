//! A lane: everything that waits for one destination, sent in order until it has its answer.
//!
//! Takes what waits from the outbox, sends it, writes answers down, decides how to go on. Several requests may be handed
//! over and wait for their acknowledgement; an acknowledgement is written down before anything else happens. What is sent,
//! in which order, and what a reading comes to is [`memory`]'s business, which is pure; here are store, clock and tasks.
//!
//! Blocking work of the store is done on tokio's blocking threads.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use self::memory::{Memory, Outcome, Shipment};
use super::pace::{Pace, PaceLimits, Went};
use super::{BatchLimits, Outlet, Polled, Reading};
use crate::edge::admin::{self, Health, LaneState};
use crate::edge::store::{Fate, Outbox, Pending, Settlement, StoreError};

mod memory;

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

    /// Delivers until `shutdown`; the request in flight is finished and its answer written down. What was handed over
    /// and not acknowledged by then is sent again after the next start.
    pub async fn run(
        self,
        health: Arc<Health>,
        wakeup: watch::Receiver<u64>,
        shutdown: watch::Receiver<bool>,
    ) -> Result<(), LaneError> {
        let (path, name) = (self.store.clone(), self.name.clone());
        let broken = |error| LaneError::Store { destination: self.name.clone(), error };
        let outbox = blocking(move || Outbox::open(&path, &name)).await?.map_err(broken)?;
        let memory = Memory::new(Pace::new(self.pace, self.batch.alerts_max), self.batch);
        let mut running = Running {
            known_intervention: outbox.known_intervention(),
            outbox: Arc::new(Mutex::new(outbox)),
            memory,
            lane: self,
            health,
            wakeup,
            shutdown,
            not_before: Instant::now(),
            n_requests: 0,
            is_on_hold: false,
        };
        while !is_over(&running.shutdown) {
            running.turn().await?;
        }
        if running.memory.n_under_way() > 0 {
            running.acknowledge().await?;
        }
        Ok(())
    }
}

/// A lane at work.
struct Running {
    lane: Lane,
    outbox: Arc<Mutex<Outbox>>,
    memory: Memory,
    health: Arc<Health>,
    wakeup: watch::Receiver<u64>,
    shutdown: watch::Receiver<bool>,
    /// Nothing is sent before.
    not_before: Instant,
    n_requests: u32,
    known_intervention: i64,
    /// The last request put the lane on hold: that something else is to be sent again does not make it better.
    is_on_hold: bool,
}

impl Running {
    /// One step: acknowledgements that are due, else a request, else a wait.
    async fn turn(&mut self) -> Result<(), LaneError> {
        self.wakeup.borrow_and_update();
        if self.lane.outlet.next_poll() == Some(Duration::ZERO) {
            return self.acknowledge().await;
        }
        let pause = self.not_before.saturating_duration_since(Instant::now());
        if !pause.is_zero() {
            self.rest(pause).await;
            return Ok(());
        }
        if !self.memory.has_window() {
            self.rest(IDLE_POLL).await;
            return Ok(());
        }
        let Some(is_all_read) = self.fill().await? else { return Ok(()) };
        let shipment = self.memory.choose();
        if !shipment.alerts.is_empty() || !shipment.unreadable.is_empty() {
            return self.ship(shipment).await;
        }
        if is_all_read {
            if self.memory.n_under_way() == 0 {
                self.n_requests = 0;
                self.health.waiting(&self.lane.name, 0);
                self.health.lane(&self.lane.name, LaneState::Idle);
            }
            self.idle().await;
        }
        Ok(())
    }

    /// Reads on in the outbox. Tells whether all that waits was read, `None` when the store could not be read now.
    async fn fill(&mut self) -> Result<Option<bool>, LaneError> {
        let (room, after) = self.memory.room();
        let ask = Ask {
            after,
            n_max: room,
            bytes_max: self.lane.batch.bytes_max,
            count: self.n_requests.is_multiple_of(COUNT_EVERY_REQUESTS),
            known_intervention: self.known_intervention,
        };
        let page = match self.on_disk(move |outbox| outbox_page(outbox, ask)).await? {
            Ok(page) => page,
            Err(error) if may_pass(&error) => {
                self.store_trouble(&error);
                self.rest(STORE_RETRY).await;
                return Ok(None);
            }
            Err(error) => return Err(self.broken(error)),
        };
        if page.intervention != self.known_intervention {
            self.known_intervention = page.intervention;
            self.memory.forget();
        }
        if let Some(n_waiting) = page.n_waiting {
            self.health.waiting(&self.lane.name, n_waiting);
        }
        Ok(Some(self.memory.hold(page.alerts)))
    }

    /// Sends a request and sees to its answer.
    async fn ship(&mut self, shipment: Shipment) -> Result<(), LaneError> {
        self.n_requests = self.n_requests.wrapping_add(1);
        let n_sent = shipment.alerts.len();
        let mut outcome = if shipment.alerts.is_empty() {
            Outcome { settlements: Vec::new(), went: Went::Refused, state: LaneState::Delivering }
        } else {
            let reading = self.lane.outlet.send(&shipment.alerts).await;
            admin::count_request(&self.lane.name, reading.name());
            self.memory.digest(reading, shipment.sent)
        };
        outcome.settlements.extend(shipment.unreadable);
        self.write_down(outcome.settlements).await?;
        self.is_on_hold = matches!(outcome.state, LaneState::OnHold(_));
        self.tell(&outcome.state);
        self.pause_after(outcome.went, n_sent);
        Ok(())
    }

    /// Asks for acknowledgements and sees to them: what came is written down before anything else.
    async fn acknowledge(&mut self) -> Result<(), LaneError> {
        let Polled { told, trouble } = self.lane.outlet.poll().await;
        let (mut settlements, mut states, mut worst) = (Vec::new(), Vec::new(), None);
        for (ticket, reading) in told {
            admin::count_acknowledgement(&self.lane.name, reading.name());
            let Some((outcome, n_sent)) = self.memory.digest_ticket(ticket, reading) else { continue };
            settlements.extend(outcome.settlements);
            states.push(outcome.state);
            if !matches!(outcome.went, Went::Well { .. }) {
                worst = Some((outcome.went, n_sent));
            }
        }
        if !settlements.is_empty() {
            self.n_requests = self.n_requests.wrapping_add(1);
        }
        self.write_down(settlements).await?;
        for state in states.iter().filter(|_| !self.is_on_hold) {
            self.tell(state);
        }
        if let Some((went, n_sent)) = worst {
            self.pause_after(went, n_sent);
        }
        match trouble {
            Some(Reading::Hold { why }) => self.tell(&LaneState::OnHold(why)),
            Some(reading) => self.tell(&LaneState::Retrying(reading.why().unwrap_or_default().to_owned())),
            None => {}
        }
        Ok(())
    }

    fn pause_after(&mut self, went: Went, n_sent: usize) {
        let delay = self.memory.pace.after(went, n_sent, random());
        let now = Instant::now();
        self.not_before = self.not_before.max(now.checked_add(delay).unwrap_or(now));
    }

    /// Writes the answers down, however long it takes: what was answered must not be sent again for want of a note.
    async fn write_down(&mut self, settlements: Vec<Settlement>) -> Result<(), LaneError> {
        let settlements = Arc::new(settlements);
        loop {
            if settlements.is_empty() {
                return Ok(());
            }
            let notes = Arc::clone(&settlements);
            match self.on_disk(move |outbox| outbox.settle(&notes)).await? {
                Ok(()) => break,
                Err(error) if may_pass(&error) => self.store_trouble(&error),
                Err(error) => return Err(self.broken(error)),
            }
            if is_over(&self.shutdown) {
                return Ok(());
            }
            pause(STORE_RETRY, &mut self.shutdown).await;
        }
        for one in settlements.iter() {
            admin::count_fate(&self.lane.name, one.fate.name());
            if one.fate == Fate::Refused {
                tracing::warn!(destination = self.lane.name, seq = one.seq, why = one.detail, "alert refused for good");
            }
        }
        Ok(())
    }

    /// Tells health, and the log when something changed.
    fn tell(&self, state: &LaneState) {
        if self.health.lane(&self.lane.name, state.clone()) {
            let destination = &self.lane.name;
            match state {
                LaneState::OnHold(why) => tracing::error!(destination, why, "delivery on hold"),
                LaneState::Retrying(why) => tracing::warn!(destination, why, "delivery is tried again"),
                LaneState::Delivering => tracing::info!(destination, "delivering"),
                LaneState::Idle => {}
            }
        }
    }

    /// Until `time` is over, acknowledgements are due, or the service ends.
    async fn rest(&mut self, time: Duration) {
        let time = self.lane.outlet.next_poll().map_or(time, |until| until.min(time));
        pause(time, &mut self.shutdown).await;
    }

    /// The same, or until there is something new to send.
    async fn idle(&mut self) {
        let time = self.lane.outlet.next_poll();
        let due = async {
            match time {
                Some(time) => tokio::time::sleep(time).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.shutdown.changed() => {}
            () = woken(&mut self.wakeup) => {}
            () = due => {}
        }
    }

    /// Does something with the outbox on a thread that may wait.
    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Outbox) -> T + Send + 'static,
    ) -> Result<T, LaneError> {
        let outbox = Arc::clone(&self.outbox);
        blocking(move || work(&mut outbox.lock().unwrap_or_else(PoisonError::into_inner))).await
    }

    fn store_trouble(&self, error: &StoreError) {
        self.tell(&LaneState::Retrying(error.to_string()));
    }

    fn broken(&self, error: StoreError) -> LaneError {
        LaneError::Store { destination: self.lane.name.clone(), error }
    }
}

/// What is to be read of the outbox.
#[derive(Clone, Copy)]
struct Ask {
    after: i64,
    n_max: usize,
    bytes_max: usize,
    count: bool,
    known_intervention: i64,
}

struct Page {
    alerts: Vec<Pending>,
    n_waiting: Option<u64>,
    intervention: i64,
}

fn outbox_page(outbox: &mut Outbox, ask: Ask) -> Result<Page, StoreError> {
    outbox.raise_floor()?;
    let intervention = outbox.known_intervention();
    // After an intervention all is read again, so that this page must begin at the floor.
    let after = if intervention == ask.known_intervention { ask.after } else { 0 };
    let alerts = outbox.pending_after(after, ask.n_max, ask.bytes_max)?;
    let n_waiting = if ask.count { Some(outbox.n_waiting()?) } else { None };
    Ok(Page { alerts, n_waiting, intervention })
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
