//! Storms: bursts of contained panics, told once each.
//!
//! Reads the ledger once an epoch of event time: [`burst`] says which routes panic far more than usual, and this module
//! makes storms of them, so that one storm gives one alert. A storm belongs to a service. A route that bursts
//!
//! * within [`JOIN_MILLIS`] of the beginning of an open storm of its service joins it,
//! * and so it does later where most of its panics come from the release that the storm is laid to;
//! * else it opens a storm of its own. Where no route bursts and none has an open storm, but the whole service does, the
//!   storm is the service's with all its routes.
//!
//! A storm is over when its routes have been below [`TIMES_ENDED`] times the usual (or below [`EVENTS_ENDED`] events) for
//! [`CALM_MILLIS`]; what is usual is what was usual when it began. After [`LASTS_MAX_MILLIS`] it is no storm but the new
//! usual: its alert is closed, and its pages count in later baselines, where those of other storms do not.
//!
//! What it comes from is [`cause`]'s business, how it looks [`picture`]'s and [`words`]'s. Alerts go through [`Alarms`]: opened once,
//! raised when severity grows, closed; after closing the same route opens no storm for the policy's cooldown.
//!
//! Bounds: [`OPEN_MAX`] open storms, [`STORMS_MAX`] remembered for [`REMEMBERED_MILLIS`]. Cost: see [`burst`]; an open
//! storm costs a look at its pages, at most 72. What is told costs some hundred microseconds.

pub mod burst;
pub mod cause;
pub mod picture;

mod words;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use self::burst::{Burst, PAGE, Place, Usual, Watch, Window};
use self::cause::{Cause, NAMED_AT};
use self::picture::Picture;
use super::alarms::{AlarmKey, Alarms};
use super::ledger::{Ledger, RouteKey, Span, Tier};
use super::tally::{Counter, Tally};
use crate::pipeline::alert::{Alert, Category, Change};
use crate::pipeline::event::{Id, Millis};
use crate::pipeline::life::{AlertPolicy, Word};
use crate::pipeline::names::Names;
use crate::pipeline::sample::{count_f64, mix};
use crate::pipeline::state::StateRow;
use crate::pipeline::surfaces::ReleaseKey;

/// How long after its beginning other routes of the service join a storm: what breaks many routes shows on the quiet
/// ones some minutes later.
pub const JOIN_MILLIS: i64 = 15 * Millis::MINUTE;

/// How many times the usual a storm falls below before it ends.
pub const TIMES_ENDED: f64 = 2.0;

/// Events in five to ten minutes below which a storm ends, whatever is usual.
pub const EVENTS_ENDED: u64 = 10;

/// How long it stays so: clients back off and come again.
pub const CALM_MILLIS: i64 = 15 * Millis::MINUTE;

/// How long a storm lasts at most.
pub const LASTS_MAX_MILLIS: i64 = 6 * Millis::HOUR;

/// How long a storm is remembered after its end: as long as five-minute pages reach back.
pub const REMEMBERED_MILLIS: i64 = 50 * Millis::HOUR;

/// Storms that are open at one time: more than anybody looks at.
pub const OPEN_MAX: usize = 16;

/// Storms that are remembered.
pub const STORMS_MAX: usize = 128;

/// Routes that a storm names; a storm of more is one of the whole service.
const ROUTES_MAX: usize = 32;

/// How often an open storm's last look above the line is written down: a row a minute, not one an epoch.
const NOTED_MILLIS: i64 = Millis::MINUTE;

/// What a storm is remembered by: the subject of its alarm, and when it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StormKey {
    /// Start of the page in which it began.
    pub from: Millis,
    /// Subject of its alarm.
    pub subject: Id,
}

/// A storm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Storm {
    /// Service.
    pub service: Id,
    /// Its routes; none: all of the service.
    pub routes: BTreeSet<RouteKey>,
    /// Start of the page in which it began.
    pub from: Millis,
    /// When it was found.
    pub opened: Millis,
    /// When it was last seen above the line below which it ends, to the minute.
    pub above: Millis,
    /// When it was over; `None` while it is open.
    pub to: Option<Millis>,
    /// It went on until it was called the new usual.
    pub became_usual: bool,
    /// What was usual before it.
    pub usual: Usual,
    /// The release that it was laid to when it was found.
    pub release: Option<Id>,
    /// Its name in alerts.
    pub name: String,
}

impl Storm {
    /// Whether a route of its service belongs to it.
    pub fn has(&self, route: RouteKey) -> bool {
        self.routes.is_empty() || self.routes.contains(&route)
    }

    fn concerns(&self, place: Place) -> bool {
        self.service == place.service && place.route.is_none_or(|route| self.has(route))
    }

    /// The pages that no baseline counts.
    fn aside(&self, now: Millis) -> (Millis, Millis) {
        if self.became_usual { (self.from, self.from) } else { (self.from, self.to.unwrap_or(now)) }
    }

    fn window_events(&self, ledger: &Ledger, window: Window) -> u64 {
        let place = |route| Place { service: self.service, route };
        if self.routes.is_empty() {
            window.events(ledger, place(None))
        } else {
            self.routes.iter().map(|route| window.events(ledger, place(Some(*route)))).sum()
        }
    }
}

/// What storms are told with.
#[derive(Clone, Copy)]
pub struct Scene<'s> {
    /// The account of panics.
    pub ledger: &'s Ledger,
    /// What ids are called.
    pub names: &'s Names,
    /// How patient alerts are.
    pub policy: &'s AlertPolicy,
    /// Version of the models, stamped on alerts.
    pub model: &'s str,
    /// The end of the epoch.
    pub now: Millis,
}

/// The storms of one tenant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Storms {
    storms: BTreeMap<StormKey, Storm>,
    changed: BTreeSet<StormKey>,
}

impl Storms {
    /// All that are remembered, the oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&StormKey, &Storm)> {
        self.storms.iter()
    }

    /// The picture of a storm as the ledger shows it now.
    pub fn picture(&self, storm: &Storm, ledger: &Ledger, names: &Names, now: Millis) -> Picture {
        let (from, to) = (storm.from, storm.to.unwrap_or(now));
        let elsewhere = self.storms.values().filter(|other| {
            other.service != storm.service && other.from <= to && other.to.unwrap_or(now) >= from
        });
        let services: BTreeSet<Id> = elsewhere.map(|other| other.service).collect();
        Picture::of(storm, ledger, names, services.len() as u64, now)
    }

    /// Looks at the end of an epoch at what goes on; what is to be told goes onto `alerts`.
    pub fn close(&mut self, scene: Scene<'_>, alarms: &mut Alarms, alerts: &mut Vec<Alert>) {
        for key in self.open().collect::<Vec<_>>() {
            self.follow(key, scene, alarms, alerts);
        }
        for burst in self.bursts(scene) {
            if !self.join(burst, scene) {
                self.begin(burst, scene, alarms, alerts);
            }
        }
        self.forget(scene.now);
    }

    fn open(&self) -> impl Iterator<Item = StormKey> {
        self.storms.iter().filter(|(_, storm)| storm.to.is_none()).map(|(key, _)| *key)
    }

    fn open_storms(&self) -> impl Iterator<Item = &Storm> {
        self.storms.values().filter(|storm| storm.to.is_none())
    }

    fn bursts(&self, scene: Scene<'_>) -> Vec<Burst> {
        let Scene { ledger, now, .. } = scene;
        let aside = |place: Place| {
            let concerned = self.storms.values().filter(|storm| storm.concerns(place));
            concerned.map(|storm| storm.aside(now)).collect()
        };
        let watch = Watch { ledger, window: Window::at(now), set_aside: aside };
        let is_open = |place: Place| self.open_storms().any(|storm| storm.concerns(place));
        let routes = watch.routes(is_open);
        let busy: BTreeSet<Id> = routes.iter().map(|burst| burst.place.service).collect();
        let whole = |service: Id| busy.contains(&service) || is_open(Place { service, route: None });
        let services = watch.services(whole);
        routes.into_iter().chain(services).collect()
    }

    /// Whether the burst is a part of an open storm.
    fn join(&mut self, burst: Burst, scene: Scene<'_>) -> bool {
        let Some(route) = burst.place.route else { return false };
        let release = top_release(burst, scene);
        let joins = |storm: &Storm| {
            storm.service == burst.place.service
                && (scene.now.since(storm.opened) <= JOIN_MILLIS || (release.is_some() && storm.release == release))
        };
        let Some(key) = self.open().find(|key| self.storms.get(key).is_some_and(joins)) else { return false };
        if let Some(storm) = self.storms.get_mut(&key) {
            storm.routes.insert(route);
            if storm.routes.len() > ROUTES_MAX {
                storm.routes.clear();
            }
            storm.from = storm.from.min(burst.from);
            storm.usual = storm.usual.with(burst.usual);
            storm.above = scene.now;
            self.changed.insert(key);
        }
        true
    }

    fn begin(&mut self, burst: Burst, scene: Scene<'_>, alarms: &mut Alarms, alerts: &mut Vec<Alert>) {
        if self.open().count() >= OPEN_MAX {
            return;
        }
        let Place { service, route } = burst.place;
        let mut storm = Storm {
            service,
            routes: route.into_iter().collect(),
            from: burst.from,
            opened: scene.now,
            above: scene.now,
            to: None,
            became_usual: false,
            usual: burst.usual,
            release: None,
            name: String::new(),
        };
        let picture = self.picture(&storm, scene.ledger, scene.names, scene.now);
        let word = Word { holds: true, severity: picture.severity(), last_event: scene.now };
        let key = StormKey { from: burst.from, subject: subject(burst.place) };
        let alarm = AlarmKey { category: Category::Storm, subject: key.subject };
        let Some(told) = alarms.turn(scene.policy, alarm, word, scene.now) else { return };
        storm.name.clone_from(&told.name);
        storm.release = top_release(burst, scene).filter(|_| picture.cause() == Cause::Release);
        alerts.push(Alert::of_operations(
            Category::Storm,
            &told,
            scene.now,
            picture.portrait(&storm, scene.names, scene.model),
            picture.findings(),
        ));
        self.changed.insert(key);
        self.storms.insert(key, storm);
    }

    fn follow(&mut self, key: StormKey, scene: Scene<'_>, alarms: &mut Alarms, alerts: &mut Vec<Alert>) {
        let Some(mut storm) = self.storms.get(&key).cloned() else { return };
        let window = Window::at(scene.now);
        let events = storm.window_events(scene.ledger, window);
        let usual = storm.usual.expected(window.millis()).unwrap_or(0.0);
        let above = events >= EVENTS_ENDED && count_f64(events) >= TIMES_ENDED * usual;
        if above && scene.now.since(storm.above) >= NOTED_MILLIS {
            storm.above = scene.now;
        }
        let lasts = scene.now.since(storm.from) < LASTS_MAX_MILLIS;
        let holds = lasts && scene.now.since(storm.above) < CALM_MILLIS;
        let severity = picture::severity(&counted(&storm, scene));
        let word = Word { holds, severity, last_event: storm.above };
        let alarm = AlarmKey { category: Category::Storm, subject: key.subject };
        let told = alarms.turn(scene.policy, alarm, word, scene.now);
        if told.as_ref().is_some_and(|told| told.change == Change::Closed) {
            // Over since it was last above the line, but for one that goes on as the new usual.
            storm.to = Some(if lasts { storm.above } else { scene.now });
            storm.became_usual = !lasts;
        }
        if let Some(told) = told {
            let picture = self.picture(&storm, scene.ledger, scene.names, scene.now);
            let mut portrait = picture.portrait(&storm, scene.names, scene.model);
            if told.change == Change::Closed {
                let end = if lasts { "over" } else { "no storm any more but the new usual" };
                portrait.title = format!("{end}: {}", portrait.title);
            }
            alerts.push(Alert::of_operations(Category::Storm, &told, scene.now, portrait, picture.findings()));
        }
        if self.storms.get(&key) != Some(&storm) {
            self.changed.insert(key);
            self.storms.insert(key, storm);
        }
    }

    fn forget(&mut self, now: Millis) {
        let surplus = self.storms.len().saturating_sub(STORMS_MAX);
        let gone = |storm: &Storm| storm.to.is_some_and(|to| now.since(to) >= REMEMBERED_MILLIS);
        let ended = self.storms.iter().filter(|(_, storm)| storm.to.is_some()).map(|(key, _)| *key);
        let mut old: BTreeSet<StormKey> = ended.take(surplus).collect();
        old.extend(self.storms.iter().filter(|(_, storm)| gone(storm)).map(|(key, _)| *key));
        for key in old {
            self.storms.remove(&key);
            self.changed.insert(key);
        }
    }

    /// The rows that changed since the last call.
    pub(super) fn take_rows(&mut self) -> Vec<StateRow> {
        let changed = std::mem::take(&mut self.changed);
        changed.iter().filter_map(|key| StateRow::of("storm", key, self.storms.get(key))).collect()
    }

    /// Puts back what a store kept.
    pub(super) fn restore(storms: impl IntoIterator<Item = (StormKey, Storm)>) -> Self {
        Self { storms: storms.into_iter().collect(), changed: BTreeSet::new() }
    }
}

/// What severity is read from, added up over the storm.
fn counted(storm: &Storm, scene: Scene<'_>) -> Tally {
    let span = Span { from: storm.from, to: Tier::FiveMinutes.start(scene.now.plus(-1)).plus(PAGE), tier: Tier::FiveMinutes };
    let mut sum = Tally::default();
    for (_, _, tally) in picture::members(storm, scene.ledger, span) {
        sum.merge_counts(tally);
    }
    sum
}

/// The release that has at least half of the burst's panics.
fn top_release(burst: Burst, scene: Scene<'_>) -> Option<Id> {
    let Place { service, route: Some(route) } = burst.place else { return None };
    let span = Span { from: burst.from, to: burst.from.plus(2 * PAGE), tier: Tier::FiveMinutes };
    let mut releases: BTreeMap<ReleaseKey, u64> = BTreeMap::new();
    for (account, tally) in scene.ledger.pages(span).flat_map(|(_, page)| page.route(service, route)) {
        *releases.entry(account.release).or_default() += tally.get(Counter::Events);
    }
    let total: u64 = releases.values().sum();
    let (release, n) = releases.into_iter().max_by_key(|(_, n)| *n)?;
    match release {
        ReleaseKey::One(id) if count_f64(n) >= NAMED_AT * count_f64(total) => Some(id),
        _ => None,
    }
}

/// The subject of an alarm on a place.
fn subject(place: Place) -> Id {
    let (kind, route) = match place.route {
        None => (0, 0),
        Some(RouteKey::Named(id)) => (1, id.0),
        Some(RouteKey::Guessed(id)) => (2, id.0),
        Some(RouteKey::Rest) => (3, 0),
    };
    Id([kind, route].into_iter().fold(mix(place.service.0), |hash, part| mix(hash ^ part)))
}

#[cfg(test)]
mod tests;
