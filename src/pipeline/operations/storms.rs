//! Storms: bursts of contained panics, told once each.
//!
//! Reads the ledger once an epoch of event time: [`burst`] says which routes panic far more than usual, and this module
//! makes storms of them, so that one storm gives one alert. A storm belongs to a service. A route that bursts
//!
//! * joins an open storm of its service that has the same [`Culprit`]: the same release at any time, the same customer, the
//!   same panic class, or hostile senders or retries as the storm has, within [`JOIN_MILLIS`] of its beginning;
//! * else it opens a storm of its own. Where no route bursts and none has an open storm, but the whole service does, the
//!   storm is the service's with all its routes.
//! * A release whose first panic came after an open storm began, and which bursts on that storm's routes over what they
//!   had in the hour before it, opens a storm of its own, and its panics leave the other one: an attack must not hide a bad
//!   release.
//!
//! A storm is over when its routes have been below [`TIMES_ENDED`] times the usual (or below [`REQUESTS_ENDED`] requests) for
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

use self::burst::{Burst, P_MAX, PAGE, Place, REQUESTS_MIN, TIMES_USUAL, Usual, Watch, Window};
use self::cause::Cause;
use self::picture::Picture;
use super::alarms::{AlarmKey, Alarms};
use super::ledger::{Account, Ledger, Page, RouteKey, Span, Tier};
use super::tally::Tally;
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

/// Requests in five to ten minutes below which a storm ends, whatever is usual.
pub const REQUESTS_ENDED: u64 = 10;

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
    /// What it was laid to when it was found.
    pub culprit: Culprit,
    /// Only panics of this release belong to it.
    pub only: Option<Id>,
    /// Panics of these releases do not: they have storms of their own.
    pub without: BTreeSet<Id>,
    /// Its name in alerts.
    pub name: String,
}

/// What a storm is laid to when it is found, so that routes with the same trouble join it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Culprit {
    /// This release.
    Release(Id),
    /// The customer in this slot ([`super::tally::Breadth::busiest_slot`]).
    Customer(usize),
    /// Hostile senders.
    Hostile,
    /// Retries.
    Retries,
    /// Nothing is named; most panics are of this class.
    Class(Option<Id>),
}

impl Culprit {
    fn of(picture: &Picture) -> Self {
        let release = picture.releases.first().map(|(release, _)| *release);
        let slot = picture.tally.breadth.as_ref().and_then(|breadth| breadth.busiest_slot());
        match (picture.cause(), release, slot) {
            (Cause::Release, Some(ReleaseKey::One(id)), _) => Self::Release(id),
            (Cause::OneCustomer, _, Some(slot)) => Self::Customer(slot),
            (Cause::Hostile, ..) => Self::Hostile,
            (Cause::RetryCascade, ..) => Self::Retries,
            _ => Self::Class(picture.classes.first().map(|(id, _)| *id)),
        }
    }
}

impl Storm {
    /// Whether an account of its service belongs to it.
    pub fn covers(&self, account: &Account) -> bool {
        let release = match account.release {
            ReleaseKey::One(id) => Some(id),
            ReleaseKey::Untold | ReleaseKey::Others => None,
        };
        self.has(account.route)
            && (self.only.is_none() || self.only == release)
            && !release.is_some_and(|release| self.without.contains(&release))
    }

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

    fn window_requests(&self, ledger: &Ledger, window: Window) -> u64 {
        picture::members(self, ledger, window.span()).map(|(_, _, tally)| burst::requests(tally)).sum()
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

/// Where changes are decided and told.
struct Desk<'d> {
    alarms: &'d mut Alarms,
    alerts: &'d mut Vec<Alert>,
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
        let elsewhere = self
            .storms
            .values()
            .filter(|other| other.service != storm.service && other.from <= to && other.to.unwrap_or(now) >= from);
        let services: BTreeSet<Id> = elsewhere.map(|other| other.service).collect();
        Picture::of(storm, ledger, names, services.len() as u64, now)
    }

    /// Looks at the end of an epoch at what goes on; what is to be told goes onto `alerts`.
    pub fn close(&mut self, scene: Scene<'_>, alarms: &mut Alarms, alerts: &mut Vec<Alert>) {
        let desk = &mut Desk { alarms, alerts };
        for key in self.open().collect::<Vec<_>>() {
            self.follow(key, scene, desk);
            self.split(key, scene, desk);
        }
        for burst in self.bursts(scene) {
            let alarm = alarm(subject(burst.place, None));
            // A picture is dear, and a burst that cools down would ask for it at every epoch.
            if !desk.alarms.is_cooling(scene.policy, alarm, scene.now) {
                self.place(burst, scene, desk);
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

    /// Puts a burst into the open storm that it belongs to, or begins one.
    fn place(&mut self, burst: Burst, scene: Scene<'_>, desk: &mut Desk<'_>) {
        let mut storm = begun(burst, scene.now);
        let picture = self.picture(&storm, scene.ledger, scene.names, scene.now);
        storm.culprit = Culprit::of(&picture);
        if !self.join(burst, storm.culprit, scene.now) {
            self.open_one(storm, subject(burst.place, None), scene, desk);
        }
    }

    /// Whether the burst is a part of an open storm.
    fn join(&mut self, burst: Burst, culprit: Culprit, now: Millis) -> bool {
        let Some(route) = burst.place.route else { return false };
        let joins = |storm: &Storm| {
            storm.service == burst.place.service
                && storm.culprit == culprit
                && (matches!(culprit, Culprit::Release(_)) || now.since(storm.opened) <= JOIN_MILLIS)
        };
        let Some(key) = self.open().find(|key| self.storms.get(key).is_some_and(joins)) else { return false };
        if let Some(storm) = self.storms.get_mut(&key) {
            storm.routes.insert(route);
            if storm.routes.len() > ROUTES_MAX {
                storm.routes.clear();
            }
            storm.from = storm.from.min(burst.from);
            storm.usual = storm.usual.with(burst.usual);
            storm.above = now;
            self.changed.insert(key);
        }
        true
    }

    /// Begins a storm for a release that came after the storm of `key` began and bursts on its routes.
    fn split(&mut self, key: StormKey, scene: Scene<'_>, desk: &mut Desk<'_>) {
        let Some(storm) = self.storms.get(&key).filter(|storm| storm.to.is_none() && storm.only.is_none()) else {
            return;
        };
        let Some((release, burst)) = newcomer(storm, scene) else { return };
        let is_told = self.open_storms().any(|other| other.culprit == Culprit::Release(release));
        let subject = subject(burst.place, Some(release));
        if is_told || desk.alarms.is_cooling(scene.policy, alarm(subject), scene.now) {
            return;
        }
        let (routes, culprit) = (storm.routes.clone(), Culprit::Release(release));
        let own = Storm { routes, culprit, only: Some(release), ..begun(burst, scene.now) };
        if self.open_one(own, subject, scene, desk)
            && let Some(storm) = self.storms.get_mut(&key)
        {
            storm.without.insert(release);
            self.changed.insert(key);
        }
    }

    fn open_one(&mut self, mut storm: Storm, subject: Id, scene: Scene<'_>, desk: &mut Desk<'_>) -> bool {
        if self.open().count() >= OPEN_MAX {
            return false;
        }
        let picture = self.picture(&storm, scene.ledger, scene.names, scene.now);
        let word = Word { holds: true, severity: picture.severity(), last_event: scene.now };
        let Some(told) = desk.alarms.turn(scene.policy, alarm(subject), word, scene.now) else { return false };
        storm.name.clone_from(&told.name);
        let portrait = picture.portrait(&storm, scene.names, scene.model);
        desk.alerts.push(Alert::of_operations(Category::Storm, &told, scene.now, portrait, picture.findings()));
        let key = StormKey { from: storm.from, subject };
        self.changed.insert(key);
        self.storms.insert(key, storm);
        true
    }

    fn follow(&mut self, key: StormKey, scene: Scene<'_>, desk: &mut Desk<'_>) {
        let Some(mut storm) = self.storms.get(&key).cloned() else { return };
        let window = Window::at(scene.now);
        let requests = storm.window_requests(scene.ledger, window);
        let usual = storm.usual.expected_requests(window.millis()).unwrap_or(0.0);
        let above = requests >= REQUESTS_ENDED && count_f64(requests) >= TIMES_ENDED * usual;
        if above && scene.now.since(storm.above) >= NOTED_MILLIS {
            storm.above = scene.now;
        }
        let lasts = scene.now.since(storm.from) < LASTS_MAX_MILLIS;
        let holds = lasts && scene.now.since(storm.above) < CALM_MILLIS;
        let severity = picture::severity(&counted(&storm, scene));
        let word = Word { holds, severity, last_event: storm.above };
        let told = desk.alarms.turn(scene.policy, alarm(key.subject), word, scene.now);
        if told.as_ref().is_some_and(|told| told.change == Change::Closed) {
            // Over with the page in which it was last above the line, but for one that goes on as the new usual.
            let last_page = Tier::FiveMinutes.start(storm.above.plus(-1)).plus(PAGE);
            storm.to = Some(if lasts { last_page.min(scene.now) } else { scene.now });
            storm.became_usual = !lasts;
        }
        if told.is_none() && !holds && !desk.alarms.open().any(|(key_of, ..)| key_of == alarm(key.subject)) {
            // Its alarm is not followed any more, which only a damaged store brings about.
            storm.to = Some(scene.now);
        }
        if let Some(told) = told {
            let picture = self.picture(&storm, scene.ledger, scene.names, scene.now);
            let mut portrait = picture.portrait(&storm, scene.names, scene.model);
            if told.change == Change::Closed {
                let end = if lasts { "over" } else { "no storm any more but the new usual" };
                portrait.title = format!("{end}: {}", portrait.title);
            }
            desk.alerts.push(Alert::of_operations(Category::Storm, &told, scene.now, portrait, picture.findings()));
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
    let span =
        Span { from: storm.from, to: Tier::FiveMinutes.start(scene.now.plus(-1)).plus(PAGE), tier: Tier::FiveMinutes };
    let mut sum = Tally::default();
    for (_, _, tally) in picture::members(storm, scene.ledger, span) {
        sum.merge_counts(tally);
    }
    sum
}

/// A release that first panicked after the storm began, and bursts on its routes over the hour before it came.
fn newcomer(storm: &Storm, scene: Scene<'_>) -> Option<(Id, Burst)> {
    let window = Window::at(scene.now);
    let mut releases: BTreeMap<Id, u64> = BTreeMap::new();
    for (_, account, tally) in picture::members(storm, scene.ledger, window.span()) {
        if let ReleaseKey::One(id) = account.release {
            *releases.entry(id).or_default() += burst::requests(tally);
        }
    }
    let (release, requests) = releases.into_iter().max_by_key(|(_, n)| *n)?;
    if requests < REQUESTS_MIN {
        return None;
    }
    // Anywhere in the service: a release that was there when the storm began is no news on one of its routes.
    let span = Span { to: window.span().to, ..past_hour(storm.opened) };
    let is_there =
        |page: &Page| page.of_service(storm.service).any(|(account, _)| account.release == ReleaseKey::One(release));
    let first = scene.ledger.pages(span).find(|(_, page)| is_there(page)).map(|(start, _)| start)?;
    if first <= Tier::FiveMinutes.start(storm.opened) {
        return None;
    }
    let mut usual = Usual { millis: Millis::HOUR, ..Usual::default() };
    for (_, page) in scene.ledger.pages(past_hour(first)) {
        let covered = || page.of_service(storm.service).filter(|(account, _)| storm.covers(account));
        let sum = |count: fn(&Tally) -> u64| covered().map(|(_, tally)| count(tally)).sum::<u64>();
        usual.add(sum(burst::requests), sum(burst::unannounced));
    }
    let expected = usual.expected_requests(window.millis())?;
    let bursts = count_f64(requests) >= TIMES_USUAL * expected && usual.probability(requests, window.millis()) < P_MAX;
    let place = Place { service: storm.service, route: storm.routes.first().copied() };
    bursts.then(|| (release, Burst { place, from: first.max(window.from), usual }))
}

/// The whole pages of the hour before a page.
fn past_hour(before: Millis) -> Span {
    let to = Tier::FiveMinutes.start(before);
    Span { from: to.plus(-Millis::HOUR), to, tier: Tier::FiveMinutes }
}

/// A storm that has just been found.
fn begun(burst: Burst, now: Millis) -> Storm {
    let Place { service, route } = burst.place;
    Storm {
        service,
        routes: route.into_iter().collect(),
        from: burst.from,
        opened: now,
        above: now,
        to: None,
        became_usual: false,
        usual: burst.usual,
        culprit: Culprit::Class(None),
        only: None,
        without: BTreeSet::new(),
        name: String::new(),
    }
}

fn alarm(subject: Id) -> AlarmKey {
    AlarmKey { category: Category::Storm, subject }
}

/// The subject of an alarm on a place, or on a release there.
fn subject(place: Place, release: Option<Id>) -> Id {
    let (kind, route) = match place.route {
        None => (0, 0),
        Some(RouteKey::Named(id)) => (1, id.0),
        Some(RouteKey::Guessed(id)) => (2, id.0),
        Some(RouteKey::Rest) => (3, 0),
    };
    let parts = [kind, route, release.map_or(0, |id| id.0)];
    Id(parts.into_iter().fold(mix(place.service.0), |hash, part| mix(hash ^ part)))
}

#[cfg(test)]
mod tests;
