//! Panics, requests and detection as series: what an operations team looks at before it shifts traffic.
//!
//! Reads what a batch came to as ids and closed words, and asks for the names of the ids; adds to the process's metrics,
//! which begin at 0 with the process as counters do. Every event that was there for the first time is counted once in each
//! of the series below, so their sums agree.
//!
//! Labels are names that producers wrote: services, releases, routes and panic classes, neutralised and cut. Never an
//! address, an id, a sender, nor a path that a sender can make up: a route without a template counts under `other`, and
//! so does everything for which [`Labels`] has no place. Bounds: the constants below; at most some thousand series, and
//! some tens as a rule. Cost: about 1 µs for each distinct combination of a batch.

use std::collections::BTreeMap;

use metrics::{counter, histogram};

use super::labels::Labels;
use super::{DETECTION_DELAY, PANIC_LATENCY, PANICS, PANICS_BY_CLASS, RECOVERIES, REQUESTS, RETRIES};
use crate::pipeline::alert::{Alert, Category, Change};
use crate::pipeline::event::{Id, Millis};
use crate::pipeline::facts::PanicFact;
use crate::pipeline::neutral;
use crate::pipeline::requests::RequestFact;
use crate::pipeline::surfaces::ReleaseKey;
use crate::pipeline::surfaces::replacements::surface_name;

/// Services with a label at a time, and over the life of the process.
const SERVICES: (usize, usize) = (16, 32);
/// Releases of a service: two live side by side, with room for a rollback; new ones come every week.
const RELEASES: (usize, usize) = (4, 16);
/// Routes of all services.
const ROUTES: (usize, usize) = (20, 60);
/// Panic classes: the model has some forty.
const CLASSES: (usize, usize) = (48, 96);

/// Longest label, in bytes.
const LABEL_BYTES_MAX: usize = 100;

/// What has no label of its own.
const OTHER: &str = "other";
/// A release that nobody tells.
const UNTOLD: &str = "untold";

/// The names that have labels, over the life of the process.
#[derive(Debug)]
pub struct Telemetry {
    services: Labels<String>,
    releases: BTreeMap<String, Labels<String>>,
    routes: Labels<(String, String)>,
    classes: Labels<String>,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            services: Labels::new(SERVICES.0, SERVICES.1),
            releases: BTreeMap::new(),
            routes: Labels::new(ROUTES.0, ROUTES.1),
            classes: Labels::new(CLASSES.0, CLASSES.1),
        }
    }
}

/// Service, release and route as labels.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    service: String,
    release: String,
    route: String,
}

/// Service, release and route as they are told: ids of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Spot {
    tenant: Id,
    service: Option<Id>,
    release: ReleaseKey,
    route: Option<Id>,
}

impl Telemetry {
    /// Counts a batch: its panics, and the requests that its totals told of. `name_of` gives the name of a tenant's id.
    pub fn count(
        &mut self,
        panics: &[PanicFact],
        requests: &[RequestFact],
        name_of: impl Fn(Id, Id) -> Option<String>,
    ) {
        let named = |tenant, id| {
            let text = name_of(tenant, id)?;
            Some(neutral::line(&text, LABEL_BYTES_MAX).into_owned())
        };
        let mut by_spot: BTreeMap<Spot, Vec<&PanicFact>> = BTreeMap::new();
        for fact in panics {
            by_spot.entry(spot_of(fact)).or_default().push(fact);
        }
        for (spot, facts) in by_spot {
            let place = self.place(spot, facts.len() as u64, &named);
            count_panics(&place, &facts);
            self.count_classes(&place, &facts, &named);
        }
        let mut by_spot: BTreeMap<Spot, u64> = BTreeMap::new();
        for RequestFact { tenant, demand, n } in requests {
            let spot =
                Spot { tenant: *tenant, service: demand.service, release: demand.release, route: Some(demand.route) };
            let sum = by_spot.entry(spot).or_default();
            *sum = sum.saturating_add(*n);
        }
        for (spot, n) in by_spot {
            // Requests win nobody a label: routes are ranked by their panics.
            let Place { service, release, route } = self.place(spot, 0, &named);
            counter!(REQUESTS, "service" => service, "release" => release, "route" => route).increment(n);
        }
    }

    /// The labels of a place with so many events.
    fn place(&mut self, spot: Spot, events: u64, named: &impl Fn(Id, Id) -> Option<String>) -> Place {
        let name = |id: Id| named(spot.tenant, id);
        let service = spot.service.and_then(name).filter(|service| self.services.has(service, events));
        let Some(service) = service else {
            return Place { service: OTHER.to_owned(), release: OTHER.to_owned(), route: OTHER.to_owned() };
        };
        let releases = self.releases.entry(service.clone()).or_insert_with(|| Labels::new(RELEASES.0, RELEASES.1));
        let release = match spot.release {
            ReleaseKey::One(id) => name(id).filter(|release| releases.has(release, events)),
            ReleaseKey::Untold => Some(UNTOLD.to_owned()),
            ReleaseKey::Others => None,
        };
        let route = spot.route.and_then(name).map(|route| (service.clone(), route));
        let route = route.filter(|route| self.routes.has(route, events)).map(|(_, route)| route);
        let or_other = |label: Option<String>| label.unwrap_or_else(|| OTHER.to_owned());
        Place { service, release: or_other(release), route: or_other(route) }
    }

    fn count_classes(&mut self, place: &Place, facts: &[&PanicFact], named: &impl Fn(Id, Id) -> Option<String>) {
        for ((tenant, class, surface), n) in
            super::count::tally(facts.iter().map(|fact| (fact.tenant, fact.class, fact.surface)))
        {
            let class = named(tenant, class).filter(|class| self.classes.has(class, n));
            let class = class.unwrap_or_else(|| OTHER.to_owned());
            let (service, surface) = (place.service.clone(), surface_name(surface));
            counter!(PANICS_BY_CLASS, "service" => service, "surface" => surface, "class" => class).increment(n);
        }
    }
}

fn spot_of(fact: &PanicFact) -> Spot {
    let release = fact.release.map_or(ReleaseKey::Untold, ReleaseKey::One);
    Spot { tenant: fact.tenant, service: Some(fact.service), release, route: fact.route }
}

fn count_panics(place: &Place, facts: &[&PanicFact]) {
    let Place { service, release, route } = place;
    let labels = || (service.clone(), release.clone());
    for (handled, n) in super::count::tally(facts.iter().map(|fact| fact.handled)) {
        let (service, release) = labels();
        let handled = handled.map_or("unknown", |handled| if handled { "true" } else { "false" });
        let route = route.clone();
        counter!(PANICS, "service" => service, "release" => release, "route" => route, "handled" => handled)
            .increment(n);
    }
    for (outcome, n) in super::count::tally(facts.iter().map(|fact| fact.recovery.name())) {
        let (service, release) = labels();
        counter!(RECOVERIES, "service" => service, "release" => release, "outcome" => outcome).increment(n);
    }
    for (outcome, n) in super::count::tally(facts.iter().map(|fact| fact.retry.name())) {
        let (service, release) = labels();
        counter!(RETRIES, "service" => service, "release" => release, "outcome" => outcome).increment(n);
    }
    let (service, release) = labels();
    let latency = histogram!(PANIC_LATENCY, "service" => service, "release" => release);
    facts.iter().filter_map(|fact| fact.latency_ms).for_each(|ms| latency.record(f64::from(ms) / 1_000.0));
}

/// Counts how long it took to open alerts on hostile input: from the first event of the cluster, in event time.
pub fn count_detections(alerts: &[Alert]) {
    let opened = |alert: &&Alert| alert.change == Change::Opened && alert.category == Category::HostileInput;
    for alert in alerts.iter().filter(opened) {
        let times = Millis::parse(&alert.portrait.first_event).zip(Millis::parse(&alert.at));
        let delay = times.and_then(|(first, at)| u32::try_from(at.since(first)).ok());
        if let Some(delay) = delay {
            histogram!(DETECTION_DELAY).record(f64::from(delay) / 1_000.0);
        }
    }
}

#[cfg(test)]
mod tests;
