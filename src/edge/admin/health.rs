//! What the parts of the service say of themselves, and whether that makes it ready.
//!
//! Takes notes (`turned`, `progressed`, `lane`, …), gives a [`HealthReport`]. The rule is a pure function of the notes
//! and the time since the start; the clock is read at the door alone. Never keeps more than one note a part.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use metrics::gauge;
use serde::{Deserialize, Serialize};

use super::{LAG, LANE_ON_HOLD, OUTBOX_WAITING};

/// How a lane does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", content = "why", rename_all = "snake_case")]
pub enum LaneState {
    /// Nothing waits.
    Idle,
    /// Alerts go through.
    Delivering,
    /// The destination is down or overloaded; with the last reason.
    Retrying(String),
    /// Somebody has to change something; with the destination's words.
    OnHold(String),
}

/// How the source does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", content = "detail", rename_all = "snake_case")]
pub enum SourceState {
    /// Not yet connected.
    Starting,
    /// Reads so many partitions (files: 1).
    Reading(usize),
    /// Cannot read, and why (no partition assigned, broker away, a second member in the group).
    Waiting(String),
    /// At its end.
    Closed,
}

/// Times after which silence means standstill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealthLimits {
    /// The loop turns at least this often while it is alive (an idle poll is a turn too).
    pub turn_max: Duration,
    /// While records wait, something is committed at least this often.
    pub progress_max: Duration,
}

impl Default for HealthLimits {
    /// Two minutes without a turn is death (the longest lawful turn is a batch of slow dead letters); a minute without
    /// progress while records wait is a standstill.
    fn default() -> Self {
        Self { turn_max: Duration::from_mins(2), progress_max: Duration::from_mins(1) }
    }
}

/// What `/readyz` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthReport {
    /// Whether there is no reason against it.
    pub ready: bool,
    /// What stands against it.
    pub reasons: Vec<String>,
    /// What is poorer than it could be, and does not stand against it.
    pub notes: Vec<String>,
    /// How the source does.
    pub source: SourceState,
    /// Records that wait in the topic; absent while it is not known.
    pub lag_records: Option<u64>,
    /// Seconds since the last commit; absent before the first.
    pub progress_age_secs: Option<u64>,
    /// The lanes by name.
    pub lanes: BTreeMap<String, LaneReport>,
}

/// A lane in the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneReport {
    /// How it does.
    #[serde(flatten)]
    pub state: LaneState,
    /// Alerts that wait for it.
    pub waiting: u64,
}

/// The notes of all parts. Shared; every call is short.
#[derive(Debug)]
pub struct Health {
    started: Instant,
    limits: HealthLimits,
    notes: Mutex<Notes>,
}

/// Times are since the start.
#[derive(Debug, Clone)]
struct Notes {
    last_turn: Option<Duration>,
    last_progress: Option<Duration>,
    source: SourceState,
    lag_records: Option<u64>,
    /// Since when records wait.
    waiting_since: Option<Duration>,
    gone: Option<String>,
    store_fault: Option<String>,
    outbox_full: bool,
    absent_tables: BTreeMap<String, String>,
    lanes: BTreeMap<String, LaneReport>,
}

impl Health {
    /// Nothing is known yet, and the service is not ready.
    pub fn new(limits: HealthLimits) -> Self {
        let notes = Notes {
            last_turn: None,
            last_progress: None,
            source: SourceState::Starting,
            lag_records: None,
            waiting_since: None,
            gone: None,
            store_fault: None,
            outbox_full: false,
            absent_tables: BTreeMap::new(),
            lanes: BTreeMap::new(),
        };
        Self { started: now(), limits, notes: Mutex::new(notes) }
    }

    /// The loop came round: with a batch or with an idle poll.
    pub fn turned(&self) {
        let at = self.since_start();
        self.lock().last_turn = Some(at);
    }

    /// A batch was committed.
    pub fn progressed(&self) {
        let at = self.since_start();
        self.lock().last_progress = Some(at);
    }

    /// Records that wait in the topic; `None` when it cannot be told.
    #[expect(clippy::cast_precision_loss, reason = "a gauge; nobody reads the last digit of such a lag")]
    pub fn lag(&self, records: Option<u64>) {
        if let Some(records) = records {
            gauge!(LAG).set(records as f64);
        }
        let at = self.since_start();
        let mut notes = self.lock();
        notes.lag_records = records;
        notes.waiting_since = notes.waiting_since.or(Some(at)).filter(|_| records.is_some_and(|records| records > 0));
    }

    /// Records are gone and the service goes on without them; in words, the last ones.
    pub fn gone(&self, what: &str) {
        self.lock().gone = Some(what.to_owned());
    }

    /// How the source does.
    pub fn source(&self, state: SourceState) {
        self.lock().source = state;
    }

    /// The store cannot be written, and why; `None` when it can.
    pub fn store(&self, fault: Option<String>) {
        self.lock().store_fault = fault;
    }

    /// The outbox is at its bound, so that the source is paused; or no longer.
    pub fn outbox_full(&self, full: bool) {
        self.lock().outbox_full = full;
    }

    /// A table is absent, and why; `None` when it is there.
    pub fn table(&self, name: &str, absent: Option<String>) {
        let mut notes = self.lock();
        match absent {
            Some(why) => notes.absent_tables.insert(name.to_owned(), why),
            None => notes.absent_tables.remove(name),
        };
    }

    /// How a lane does. Returns whether it does otherwise than before (a new reason alone is no change).
    pub fn lane(&self, destination: &str, state: LaneState) -> bool {
        let on_hold = if matches!(state, LaneState::OnHold(_)) { 1.0 } else { 0.0 };
        gauge!(LANE_ON_HOLD, "destination" => destination.to_owned()).set(on_hold);
        let mut notes = self.lock();
        let lane = notes.lane(destination);
        let changed = std::mem::discriminant(&lane.state) != std::mem::discriminant(&state);
        lane.state = state;
        changed
    }

    /// Alerts that wait for a destination.
    #[expect(clippy::cast_precision_loss, reason = "a gauge; the outbox is bounded far below 2^52")]
    pub fn waiting(&self, destination: &str, alerts: u64) {
        gauge!(OUTBOX_WAITING, "destination" => destination.to_owned()).set(alerts as f64);
        self.lock().lane(destination).waiting = alerts;
    }

    /// Whether the loop turns. True before its first turn: a slow start is not a death.
    pub fn is_alive(&self) -> bool {
        let now = self.since_start();
        self.lock().last_turn.is_none_or(|turn| now.saturating_sub(turn) <= self.limits.turn_max)
    }

    /// Whether the service makes progress, and what stands against it.
    pub fn report(&self) -> HealthReport {
        let now = self.since_start();
        let notes = self.lock().clone();
        judge(notes, self.limits, now)
    }

    fn since_start(&self) -> Duration {
        now().saturating_duration_since(self.started)
    }

    /// A note is one assignment, so that a panic elsewhere leaves nothing half-written.
    fn lock(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Notes {
    fn lane(&mut self, destination: &str) -> &mut LaneReport {
        self.lanes.entry(destination.to_owned()).or_insert_with(|| LaneReport { state: LaneState::Idle, waiting: 0 })
    }
}

/// The rule.
fn judge(notes: Notes, limits: HealthLimits, now: Duration) -> HealthReport {
    let mut reasons = Vec::new();
    match notes.last_turn {
        None => reasons.push("the loop has not started".to_owned()),
        Some(turn) if now.saturating_sub(turn) > limits.turn_max => {
            reasons.push(format!("the loop stands still for {} s", now.saturating_sub(turn).as_secs()));
        }
        Some(_) => {}
    }
    match &notes.source {
        SourceState::Starting => reasons.push("the source is not connected".to_owned()),
        SourceState::Waiting(why) => reasons.push(format!("the source waits: {why}")),
        SourceState::Reading(_) | SourceState::Closed => {}
    }
    // What waits for a second is no standstill, however long nothing had come before.
    let silence = now.saturating_sub(notes.last_progress.max(notes.waiting_since).unwrap_or_default());
    if notes.lag_records.is_some_and(|lag| lag > 0) && silence > limits.progress_max {
        reasons.push(format!("records wait and nothing was committed for {} s", silence.as_secs()));
    }
    if let Some(fault) = &notes.store_fault {
        reasons.push(format!("the store cannot be written: {fault}"));
    }
    if notes.outbox_full {
        reasons.push("the outbox is full: the source is paused until alerts are delivered".to_owned());
    }
    let mut remarks: Vec<String> =
        notes.absent_tables.iter().map(|(name, why)| format!("table {name} is absent: {why}")).collect();
    remarks.extend(notes.gone.as_ref().map(|what| format!("records are gone: {what}")));
    for (name, lane) in &notes.lanes {
        match &lane.state {
            LaneState::OnHold(why) => reasons.push(format!("destination {name} is on hold: {why}")),
            LaneState::Retrying(why) => remarks.push(format!("destination {name} is tried again: {why}")),
            LaneState::Idle | LaneState::Delivering => {}
        }
    }
    HealthReport {
        ready: reasons.is_empty(),
        reasons,
        notes: remarks,
        source: notes.source,
        lag_records: notes.lag_records,
        progress_age_secs: notes.last_progress.map(|at| now.saturating_sub(at).as_secs()),
        lanes: notes.lanes,
    }
}

#[expect(clippy::disallowed_methods, reason = "how long ago something happened is a fact of this machine")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A service that reads, behind by ten records, told everything a second ago.
    fn well() -> Notes {
        Notes {
            last_turn: Some(Duration::from_secs(999)),
            last_progress: Some(Duration::from_secs(999)),
            source: SourceState::Reading(2),
            lag_records: Some(10),
            waiting_since: Some(Duration::from_secs(1)),
            gone: None,
            store_fault: None,
            outbox_full: false,
            absent_tables: BTreeMap::new(),
            lanes: BTreeMap::new(),
        }
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut Notes), reasons: &[&str], remarks: &[&str]) {
        let mut notes = well();
        change(&mut notes);
        let report = judge(notes, HealthLimits::default(), Duration::from_secs(1_000));
        assert_eq!(
            (report.ready, report.reasons, report.notes),
            (
                reasons.is_empty(),
                reasons.iter().map(|text| (*text).to_owned()).collect(),
                remarks.iter().map(|text| (*text).to_owned()).collect(),
            )
        );
    }

    fn lane(state: LaneState) -> impl FnOnce(&mut Notes) {
        |notes| notes.lane("splunk").state = state
    }

    #[test]
    fn a_service_that_advances_is_ready() {
        check(|_| {}, &[], &[]);
    }

    #[test]
    fn a_service_that_is_caught_up_is_ready_however_long_nothing_came() {
        check(|n| (n.last_progress, n.lag_records) = (None, Some(0)), &[], &[]);
    }

    #[test]
    fn a_service_that_is_present_and_stuck_is_not_ready() {
        check(
            |n| n.last_progress = Some(Duration::from_mins(15)),
            &["records wait and nothing was committed for 100 s"],
            &[],
        );
        check(|n| n.last_progress = None, &["records wait and nothing was committed for 999 s"], &[]);
        check(|n| (n.last_progress, n.waiting_since) = (None, Some(Duration::from_secs(950))), &[], &[]);
        check(|n| n.last_turn = Some(Duration::from_secs(800)), &["the loop stands still for 200 s"], &[]);
    }

    #[test]
    fn every_fault_is_named() {
        check(|n| n.last_turn = None, &["the loop has not started"], &[]);
        check(|n| n.source = SourceState::Starting, &["the source is not connected"], &[]);
        check(
            |n| n.source = SourceState::Waiting("no partition is assigned".to_owned()),
            &["the source waits: no partition is assigned"],
            &[],
        );
        check(|n| n.store_fault = Some("full".to_owned()), &["the store cannot be written: full"], &[]);
        check(|n| n.outbox_full = true, &["the outbox is full: the source is paused until alerts are delivered"], &[]);
        check(
            lane(LaneState::OnHold("Invalid token".to_owned())),
            &["destination splunk is on hold: Invalid token"],
            &[],
        );
    }

    #[test]
    fn what_is_merely_poorer_is_said_and_not_held_against_it() {
        check(
            |n| drop(n.absent_tables.insert("asn".to_owned(), "no such file".to_owned())),
            &[],
            &["table asn is absent: no such file"],
        );
        check(|n| n.gone = Some("t[0]: 40 records".to_owned()), &[], &["records are gone: t[0]: 40 records"]);
        check(lane(LaneState::Retrying("timeout".to_owned())), &[], &["destination splunk is tried again: timeout"]);
    }

    #[test]
    fn a_lane_tells_when_it_changes_and_not_when_it_repeats_itself() {
        let health = Health::new(HealthLimits::default());
        assert!(health.lane("a", LaneState::OnHold("x".to_owned())));
        assert!(!health.lane("a", LaneState::OnHold("y".to_owned())));
        assert!(health.lane("a", LaneState::Delivering));
    }
}
