//! A cluster in the words of an alert and of a report.
//!
//! Reads the merged summary of the cluster's events and how many of them stand in which cell; gives lists of names with
//! counts, the most frequent first, each cut at [`LISTED_MAX`]. Ids become texts here. Every text was neutralised
//! before it was learnt.

use std::collections::{BTreeMap, BTreeSet};

use super::alert::{Counted, Counts, Example, NetworkCount, Portrait, Severity};
use super::cell::{Cell, country_letters};
use super::event::{Id, Millis, RecoveryOutcome, ShapeId};
use super::names::Names;
use super::observation::CellKey;

/// Entries of one list in an alert.
const LISTED_MAX: usize = 20;

/// Events from which on a cluster matters at the next level, whatever else it is.
const EVENTS_MEDIUM: u64 = 50;
/// As above.
const EVENTS_HIGH: u64 = 500;
/// Addresses from which on a campaign counts as distributed.
const ADDRESSES_MEDIUM: u64 = 10;

/// Faults that left their boundary.
fn lost(summary: &Cell) -> u64 {
    summary.recovered(RecoveryOutcome::Escaped) + summary.recovered(RecoveryOutcome::Aborted)
}

/// Impact alone: how much, how wide, and whether the fault left its boundary. For what nobody is held to mean; a hostile
/// cluster has [`super::brief::severity`].
pub(super) fn severity(events: u64, lost: u64, addresses: u64) -> Severity {
    if lost > 0 && events >= EVENTS_HIGH {
        Severity::Critical
    } else if lost > 0 || events >= EVENTS_HIGH {
        Severity::High
    } else if events >= EVENTS_MEDIUM || addresses >= ADDRESSES_MEDIUM {
        Severity::Medium
    } else {
        Severity::Low
    }
}

/// What a portrait is drawn from.
#[derive(Debug, Default)]
pub struct Sitting {
    /// All events of the cluster together.
    pub summary: Cell,
    /// Events by cell.
    pub parts: BTreeMap<CellKey, u64>,
    /// Samples of ordinary requests to its services are there.
    pub ordinary_traffic: bool,
}

impl Sitting {
    /// The cluster's lists, counts and severity; verdict, evidence and lineage are the caller's to add.
    pub fn draw(&self, names: &Names) -> Portrait {
        let summary = &self.summary;
        let text = |id: u64| names.text(Id(id));
        let counts = self.counts();
        Portrait {
            title: self.title(names, counts),
            severity: severity(counts.events, lost(summary), counts.addresses),
            first_event: summary.first.to_string(),
            last_event: summary.last.to_string(),
            counts,
            tenant: self.parts.keys().next().map(|key| names.text(key.tenant)).unwrap_or_default(),
            services: self.by(|key| names.text(key.service)),
            sites: self.by(|key| names.text(key.site)),
            routes: self.by(|key| names.text(key.route)),
            shapes: self.by(|key| key.shape.to_string()),
            classes: listed(summary.classes.iter().map(|(id, n)| (text(id), n))),
            networks: self.networks(names),
            countries: listed(summary.countries.iter().filter_map(|(code, n)| Some((country(code)?, n)))),
            addresses: summary.shown.values().map(ToString::to_string).collect(),
            agents: listed(summary.agents.iter().map(|(id, n)| (text(id), n))),
            token_scopes: listed(summary.scopes.iter().map(|(id, n)| (text(id), n))),
            releases: listed(summary.releases.iter().map(|(id, n)| (text(id), n))),
            expected: listed(summary.expected.iter().map(|(id, n)| (text(id), n))),
            ordinary_traffic: self.ordinary_traffic,
            recovery: self.recovery(),
            examples: self.examples(),
            ..Portrait::default()
        }
    }

    fn counts(&self) -> Counts {
        let distinct =
            |name: fn(&CellKey) -> (Id, ShapeId)| self.parts.keys().map(name).collect::<BTreeSet<_>>().len() as u64;
        Counts {
            events: self.parts.values().sum(),
            actors: self.summary.actors.len_estimate(),
            addresses: self.summary.addresses.len_estimate(),
            shapes: distinct(|key| (Id(0), key.shape)),
            sites: distinct(|key| (key.site, ShapeId(0))),
            routes: distinct(|key| (key.route, ShapeId(0))),
        }
    }

    /// `38 addresses of 4 networks on POST /v1/orders: 214 events, 90 shapes, 3 sites in 11 minutes`.
    fn title(&self, names: &Names, counts: Counts) -> String {
        let n_networks = self.summary.asns.iter().len() as u64;
        let mut routes = self.by(|key| names.text(key.route)).into_iter();
        let first = routes.next().map_or_else(|| "an unknown route".to_owned(), |route| route.name);
        let more = counts.routes.saturating_sub(1);
        let elsewhere = if more == 0 { String::new() } else { format!(" and {}", plural(more, "other route")) };
        let expected = listed(self.summary.expected.iter().map(|(id, n)| (names.text(Id(id)), n)));
        format!(
            "{}{} on {first}{elsewhere}: {}, {}, {} in {}{}",
            plural(counts.addresses, "address"),
            if n_networks > 1 { format!(" of {n_networks} networks") } else { String::new() },
            plural(counts.events, "event"),
            plural(counts.shapes, "shape"),
            plural(counts.sites, "site"),
            plural(self.minutes(), "minute"),
            announced(&expected),
        )
    }

    /// Minutes from the first event to the last, begun ones counted.
    pub(super) fn minutes(&self) -> u64 {
        let whole = self.summary.last.0.saturating_sub(self.summary.first.0) / Millis::MINUTE;
        u64::try_from(whole).unwrap_or(0).saturating_add(1)
    }

    fn by(&self, name: impl Fn(&CellKey) -> String) -> Vec<Counted> {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for (key, events) in &self.parts {
            *counts.entry(name(key)).or_default() += events;
        }
        listed(counts.into_iter())
    }

    fn networks(&self, names: &Names) -> Vec<NetworkCount> {
        let mut networks: Vec<NetworkCount> = self
            .summary
            .asns
            .iter()
            .map(|(asn, events)| NetworkCount {
                asn: u32::try_from(asn).ok(),
                organisation: Some(asn_name_id(asn)).filter(|id| names.knows(*id)).map(|id| names.text(id)),
                events,
            })
            .collect();
        networks.sort_by(|a, b| b.events.cmp(&a.events).then(a.asn.cmp(&b.asn)));
        networks.truncate(LISTED_MAX);
        networks
    }

    fn recovery(&self) -> Vec<Counted> {
        let outcomes = RecoveryOutcome::ALL.into_iter();
        listed(outcomes.map(|outcome| (outcome.name().to_owned(), self.summary.recovered(outcome))))
    }

    fn examples(&self) -> Vec<Example> {
        let copy = |example: &super::cell::CellExample| Example {
            event_id: example.event_id.clone(),
            topic: example.topic.clone(),
            partition: example.partition,
            offset: example.offset,
        };
        self.summary.examples.values().map(copy).collect()
    }
}

/// The id under which an autonomous system's organisation is learnt.
pub fn asn_name_id(asn: u64) -> Id {
    Id(super::sample::mix(asn ^ u64::from_be_bytes(*b"asn name")))
}

fn country(code: u64) -> Option<String> {
    country_letters(code).map(|letters| letters.iter().map(|letter| char::from(*letter)).collect())
}

/// The most frequent first (then by name), none without events, at most [`LISTED_MAX`].
pub(super) fn listed(counts: impl Iterator<Item = (String, u64)>) -> Vec<Counted> {
    let mut list: Vec<Counted> =
        counts.filter(|(_, events)| *events > 0).map(|(name, events)| Counted { name, events }).collect();
    list.sort_by(|a, b| b.events.cmp(&a.events).then_with(|| a.name.cmp(&b.name)));
    list.truncate(LISTED_MAX);
    list
}

/// What a title says of an announced test; nothing where there is none.
pub(super) fn announced(expected: &[Counted]) -> String {
    expected.first().map(|test| format!("; {} announced: {}", test.events, test.name)).unwrap_or_default()
}

/// `1 event`, `2 events`, `3 addresses`.
pub(super) fn plural(n: u64, word: &str) -> String {
    match (n, word.ends_with('s')) {
        (1, _) => format!("1 {word}"),
        (_, true) => format!("{n} {word}es"),
        (_, false) => format!("{n} {word}s"),
    }
}
