//! The lives of operations alerts: storms, retry cascades, error budgets.
//!
//! Reads, once an epoch, how each situation stands; says what to tell, by the same state machine as a hostile cluster's
//! ([`Life`]): opened once, raised seldom, closed with hysteresis. A situation is a [`Category`] and a subject; its name
//! in alerts (`storm-…`) follows from both and from when it was first opened, and stays until it is closed for good.
//!
//! Bounds: [`ALARMS_MAX`] situations a tenant. What is closed is remembered for [`REMEMBERED_MILLIS`], for those who ask in
//! the morning, and gives way to what begins. A situation that holds again after it has cooled down is a new one.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::pipeline::alert::{Category, Change};
use crate::pipeline::event::{Id, Millis};
use crate::pipeline::life::{AlertPolicy, Life, Word};
use crate::pipeline::state::StateRow;

/// Situations that are followed for one tenant: one or two a route at the very worst of times.
pub const ALARMS_MAX: usize = 256;

/// How long a situation is remembered after it was closed: as long as five-minute pages reach back.
pub const REMEMBERED_MILLIS: i64 = 50 * Millis::HOUR;

/// What a situation is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AlarmKey {
    /// What kind it is.
    pub category: Category,
    /// What it is about: a keyed id that says it within its kind (a route, a release, an objective).
    pub subject: Id,
}

/// How a situation stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// Its alerts.
    pub life: Life,
    /// When it began.
    pub since: Millis,
}

/// A change in a situation's life, to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// What happened.
    pub change: Change,
    /// Ordinal of the change, from 0.
    pub ordinal: u32,
    /// Name of the situation in alerts.
    pub name: String,
    /// When the situation began.
    pub since: Millis,
}

/// The situations of one tenant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Alarms {
    alarms: BTreeMap<AlarmKey, Alarm>,
    changed: BTreeSet<AlarmKey>,
}

impl Alarms {
    /// Takes in how a situation stands now; gives the change to tell. A situation that does not hold and is not followed
    /// costs one look-up.
    pub fn turn(&mut self, policy: &AlertPolicy, key: AlarmKey, word: Word, now: Millis) -> Option<Told> {
        if word.holds && self.is_over(policy, key, now) {
            self.alarms.remove(&key);
        }
        if !self.alarms.contains_key(&key) && (!word.holds || !self.make_room()) {
            return None;
        }
        let alarm = self.alarms.entry(key).or_insert_with(|| Alarm { since: now, ..Alarm::default() });
        let (before, ordinal) = (alarm.clone(), alarm.life.next_ordinal);
        if word.holds && alarm.life.open_since.is_none() {
            alarm.since = now;
        }
        let change = alarm.life.turn(policy, word, now);
        let told = change.map(|change| Told { change, ordinal, name: name(key, &alarm.life), since: alarm.since });
        if *alarm != before || before.life.next_ordinal == 0 {
            self.changed.insert(key);
        }
        told
    }

    /// Whether a situation's alert is open.
    pub fn is_open(&self, key: AlarmKey) -> bool {
        self.alarms.get(&key).is_some_and(|alarm| alarm.life.open_since.is_some())
    }

    /// Whether the situation was closed so lately that it is not opened again now.
    pub fn is_cooling(&self, policy: &AlertPolicy, key: AlarmKey, now: Millis) -> bool {
        let closed = self.alarms.get(&key).filter(|alarm| alarm.life.open_since.is_none());
        closed.and_then(|alarm| alarm.life.last_change).is_some_and(|last| now.since(last) < policy.cooldown_millis)
    }

    /// Those whose alert is open, with their names.
    pub fn open(&self) -> impl Iterator<Item = (AlarmKey, &Alarm, String)> {
        let open = self.alarms.iter().filter(|(_, alarm)| alarm.life.open_since.is_some());
        open.map(|(key, alarm)| (*key, alarm, name(*key, &alarm.life)))
    }

    /// Those whose alert was closed and that are not forgotten yet, with their names.
    pub fn closed(&self) -> impl Iterator<Item = (AlarmKey, &Alarm, String)> {
        let closed = self.alarms.iter().filter(|(_, alarm)| alarm.life.open_since.is_none());
        closed.map(|(key, alarm)| (*key, alarm, name(*key, &alarm.life)))
    }

    /// Whether the situation was closed and has cooled down.
    fn is_over(&self, policy: &AlertPolicy, key: AlarmKey, now: Millis) -> bool {
        let is_closed = self.alarms.get(&key).is_some_and(|alarm| alarm.life.open_since.is_none());
        is_closed && !self.is_cooling(policy, key, now)
    }

    /// Whether there is room for one more: what was closed first gives way, ties by key.
    fn make_room(&mut self) -> bool {
        if self.alarms.len() < ALARMS_MAX {
            return true;
        }
        let closed = self.alarms.iter().filter(|(_, alarm)| alarm.life.open_since.is_none());
        let Some(first) = closed.min_by_key(|(key, alarm)| (alarm.life.last_change, **key)).map(|(key, _)| *key) else {
            return false;
        };
        self.alarms.remove(&first);
        self.changed.insert(first);
        true
    }

    /// All that are remembered, open or closed.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&AlarmKey, &Alarm)> {
        self.alarms.iter()
    }

    /// Forgets what was closed long ago.
    pub fn forget(&mut self, now: Millis) {
        let changed = &mut self.changed;
        self.alarms.retain(|key, alarm| {
            let recent = alarm.life.last_change.is_some_and(|last| now.since(last) < REMEMBERED_MILLIS);
            let stays = alarm.life.open_since.is_some() || recent;
            if !stays {
                changed.insert(*key);
            }
            stays
        });
    }

    /// The rows that changed since the last call.
    pub(super) fn take_rows(&mut self) -> Vec<StateRow> {
        let changed = std::mem::take(&mut self.changed);
        changed.iter().filter_map(|key| StateRow::of("alarm", key, self.alarms.get(key))).collect()
    }

    /// Puts back what a store kept.
    pub(super) fn restore(alarms: impl IntoIterator<Item = (AlarmKey, Alarm)>) -> Self {
        Self { alarms: alarms.into_iter().collect(), changed: BTreeSet::new() }
    }
}

/// `storm-` and 16 hex digits.
fn name(key: AlarmKey, life: &Life) -> String {
    let begun = life.first_opened.unwrap_or_default();
    let hash = blake3::hash(format!("{} {} {}", key.category.name(), key.subject, begun.0).as_bytes());
    let digits: String = hash.to_hex().chars().take(16).collect();
    format!("{}-{digits}", key.category.prefix())
}

#[cfg(test)]
mod tests;
