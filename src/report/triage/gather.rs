//! What is happening now, as data: open situations, recent ones, and the last hour.
//!
//! Gives a [`Scene`], which the screen and the JSON are made of. Situations stand in the order of severity, then the
//! longest first. Bounded by the alarms of a tenant (256) and its storms (128).

use anyhow::Result;
use serde_json::{Value, json};

use super::super::period::Instant;
use super::super::restore_operations;
use crate::edge::store::Store;
use crate::pipeline::alert::{Alert, Category, Finding, Severity};
use crate::pipeline::event::Millis;
use crate::pipeline::operations::alarms::Alarm;
use crate::pipeline::operations::ledger::{Span, Tier};
use crate::pipeline::operations::storms::Storm;
use crate::pipeline::operations::storms::cause::Cause;
use crate::pipeline::operations::storms::picture::Picture;
use crate::pipeline::operations::tally::{Counter, Tally};
use crate::pipeline::sample::count_f64;
use crate::pipeline::state::State;
use crate::pipeline::tenant::Tenant;

/// The value of `schema` in the JSON.
pub(super) const SCHEMA: &str = "triage.v1";

/// How far back ended situations are told, unless another time is asked for.
const RECENT_MILLIS: i64 = 6 * Millis::HOUR;

/// One situation.
pub(super) struct Situation {
    pub(super) category: Category,
    pub(super) name: String,
    pub(super) tenant: String,
    pub(super) severity: Severity,
    pub(super) title: String,
    pub(super) since: Millis,
    /// When it ended; `None` while it is open.
    pub(super) to: Option<Millis>,
    pub(super) findings: Vec<Finding>,
    /// A storm as the ledger shows it.
    pub(super) picture: Option<Picture>,
}

/// Panics of one stretch of time, beside what came before.
pub(super) struct Hour {
    pub(super) from: Millis,
    pub(super) to: Millis,
    pub(super) tally: Tally,
    pub(super) routes: u64,
    /// Events that the day before had in as much time; `None` where nothing is known of it.
    pub(super) usual: Option<f64>,
}

/// What is happening now.
pub(super) struct Scene {
    /// Up to here the service has looked; `None`: it has seen nothing yet.
    pub(super) at: Option<Millis>,
    pub(super) since: Option<Millis>,
    pub(super) open: Vec<Situation>,
    pub(super) recent: Vec<Situation>,
    pub(super) hostile_clusters: u64,
    pub(super) hour: Option<Hour>,
}

impl Scene {
    /// What the store shows.
    pub(super) fn of(store: &Store, since: Option<Instant>) -> Result<Self> {
        let state = restore_operations(store)?;
        let at = state.now();
        let since = at.map(|at| match since {
            Some(Instant::At(since)) => since,
            Some(Instant::Ago(millis)) => at.plus(-millis),
            None => at.plus(-RECENT_MILLIS),
        });
        let mut scene = Self { at, since, open: Vec::new(), recent: Vec::new(), hostile_clusters: 0, hour: None };
        if let (Some(at), Some(since)) = (at, since) {
            for (id, tenant) in state.tenants() {
                let place = Place { store, tenant, name: tenant.name(id), at };
                scene.open.extend(place.open()?);
                scene.recent.extend(place.recent(since)?);
                let hostile = tenant.clusters().filter_map(|(_, standing)| standing);
                scene.hostile_clusters += hostile.filter(|one| one.life.open_since.is_some()).count() as u64;
            }
            scene.hour = Some(hour(&state, at));
        }
        scene.open.sort_by_key(|one| (std::cmp::Reverse(one.severity), one.since, one.name.clone()));
        scene.recent.sort_by_key(|one| (std::cmp::Reverse(one.to), one.name.clone()));
        Ok(scene)
    }

    /// Open situations of a kind.
    pub(super) fn n_open(&self, category: Category) -> u64 {
        self.open.iter().filter(|one| one.category == category).count() as u64
    }

    /// The same for machines.
    pub(super) fn object(&self) -> Value {
        let time = |at: Option<Millis>| at.map(|at| at.to_string());
        json!({
            "schema": SCHEMA,
            "at": time(self.at),
            "since": time(self.since),
            "open": self.open.iter().map(Situation::object).collect::<Vec<_>>(),
            "recent": self.recent.iter().map(Situation::object).collect::<Vec<_>>(),
            "hostile_clusters": self.hostile_clusters,
            "last_hour": self.hour.as_ref().map(Hour::object),
        })
    }
}

impl Situation {
    /// The cause of a storm.
    pub(super) fn cause(&self) -> Option<Cause> {
        self.picture.as_ref().map(Picture::cause)
    }

    fn object(&self) -> Value {
        let mut told = json!({
            "category": self.category.name(),
            "name": self.name,
            "tenant": self.tenant,
            "severity": self.severity.name(),
            "title": self.title,
            "since": self.since.to_string(),
            "to": self.to.map(|to| to.to_string()),
            "findings": self.findings,
        });
        if let (Some(picture), Some(object)) = (&self.picture, told.as_object_mut()) {
            object.insert("storm".to_owned(), storm_object(picture));
        }
        told
    }
}

fn storm_object(picture: &Picture) -> Value {
    let counter = |counter: Counter| picture.tally.get(counter);
    let changes: Vec<Value> =
        picture.changes.iter().map(|change| json!({"at": change.at.to_string(), "words": change.words})).collect();
    json!({
        "cause": picture.cause().name(),
        "causes": picture.ranked(),
        "next_action": picture.cause().action(),
        "events": picture.events,
        "expected": picture.expected,
        "probability": picture.probability,
        "contained": picture.lost() == 0 && counter(Counter::Unhandled) == 0,
        "lost": picture.lost(),
        "handled": counter(Counter::Handled),
        "unhandled": counter(Counter::Unhandled),
        "user_visible": counter(Counter::UserVisible),
        "hostile": counter(Counter::BurnHostile),
        "originals": counter(Counter::Originals),
        "routes": picture.routes.len(),
        "customers": picture.customers(),
        "largest_customer_share": picture.facts.customer_share,
        "isolates": picture.isolates(),
        "regions": picture.regions.len(),
        "changed_before": changes,
    })
}

impl Hour {
    /// Share that was caught, of those of which it is told.
    pub(super) fn handled(&self) -> Option<f64> {
        let (handled, unhandled) = (self.tally.get(Counter::Handled), self.tally.get(Counter::Unhandled));
        (handled + unhandled > 0).then(|| count_f64(handled) / count_f64(handled + unhandled))
    }

    fn object(&self) -> Value {
        json!({
            "from": self.from.to_string(),
            "to": self.to.to_string(),
            "events": self.tally.get(Counter::Events),
            "usual": self.usual,
            "routes": self.routes,
            "handled_share": self.handled(),
            "user_visible": self.tally.get(Counter::UserVisible),
        })
    }
}

/// Where situations are found.
struct Place<'s> {
    store: &'s Store,
    tenant: &'s Tenant,
    name: String,
    at: Millis,
}

impl Place<'_> {
    fn open(&self) -> Result<Vec<Situation>> {
        let operations = self.tenant.operations();
        let mut open = Vec::new();
        for (key, alarm, name) in operations.alarms().open() {
            let storm = operations
                .storms()
                .iter()
                .map(|(_, storm)| storm)
                .find(|storm| storm.name == name && storm.to.is_none());
            open.push(match storm {
                Some(storm) => self.storm(storm),
                None => self.told(key.category, alarm, name, None)?,
            });
        }
        Ok(open)
    }

    fn recent(&self, since: Millis) -> Result<Vec<Situation>> {
        let operations = self.tenant.operations();
        let ended = |storm: &&Storm| storm.to.is_some_and(|to| to >= since);
        let storms = operations.storms().iter().map(|(_, storm)| storm).filter(ended);
        let mut recent: Vec<Situation> = storms.map(|storm| self.storm(storm)).collect();
        for (key, alarm, name) in operations.alarms().closed() {
            let to = alarm.life.last_change.filter(|to| *to >= since);
            if to.is_some() && key.category != Category::Storm {
                recent.push(self.told(key.category, alarm, name, to)?);
            }
        }
        Ok(recent)
    }

    fn storm(&self, storm: &Storm) -> Situation {
        let operations = self.tenant.operations();
        let picture = operations.storms().picture(storm, operations.ledger(), self.tenant.names(), self.at);
        Situation {
            category: Category::Storm,
            name: storm.name.clone(),
            tenant: self.name.clone(),
            severity: picture.severity(),
            title: picture.title(storm, self.tenant.names()),
            since: storm.from,
            to: storm.to,
            findings: picture.findings(),
            picture: Some(picture),
        }
    }

    /// A situation as its last alert told it.
    fn told(&self, category: Category, alarm: &Alarm, name: String, to: Option<Millis>) -> Result<Situation> {
        let last: Option<Alert> = self.store.alerts_of(&name)?.pop();
        let (title, findings) = match last {
            Some(alert) => (alert.portrait.title, alert.findings),
            None => (format!("{}: its alerts are not kept any more", category.name()), Vec::new()),
        };
        let (tenant, severity, since) = (self.name.clone(), alarm.life.told, alarm.since);
        Ok(Situation { category, name, tenant, severity, title, since, to, findings, picture: None })
    }
}

/// The last hour in whole pages, over all tenants.
fn hour(state: &State, at: Millis) -> Hour {
    let to = Tier::FiveMinutes.start(at).plus(Tier::FiveMinutes.millis());
    let from = to.plus(-Millis::HOUR);
    let day = from.plus(-Millis::DAY);
    let (mut tally, mut before, mut routes, mut known) = (Tally::default(), 0, 0, None);
    for (_, tenant) in state.tenants() {
        let ledger = tenant.operations().ledger();
        let span = |from, to| Span { from, to, tier: Tier::FiveMinutes };
        let by_route = ledger.tallies(span(from, to), |account| Some((account.service, account.route)));
        routes += by_route.len() as u64;
        for one in by_route.values() {
            tally.merge(one);
        }
        for (start, page) in ledger.pages(span(day, from)) {
            known = Some(known.map_or(start, |known: Millis| known.min(start)));
            before += page.accounts().map(|(_, one)| one.get(Counter::Events)).sum::<u64>();
        }
    }
    let hours = known.map(|known| from.since(known)).filter(|millis| *millis >= Millis::HOUR);
    let whole = |millis: i64| count_f64(u64::try_from(millis).unwrap_or(0));
    let usual = hours.map(|millis| count_f64(before) * whole(Millis::HOUR) / whole(millis));
    Hour { from, to: at.max(from), tally, routes, usual }
}
