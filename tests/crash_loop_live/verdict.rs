//! What came of it: the store, the dead letters and the receivers against the stream that went in.

use std::collections::{BTreeMap, BTreeSet};

use panicsift::edge::store::{Fate, Outbox, Store};
use panicsift::pipeline::cell::Cell;
use panicsift::pipeline::decode::contract::DeadLetter;
use panicsift::pipeline::event::Id;
use panicsift::pipeline::observation::CellKey;
use serde_json::Value;

use super::stream::{self, Record, Spot};
use crate::support::kafka::read_back;
use crate::support::service::Place;

/// Findings, each in words; empty lists are what is hoped for.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// Events that are in no cell, alerts that are at no receiver.
    pub(super) lost: Findings,
    /// Events that are counted twice, alerts that are there under two ids.
    pub(super) doubled: Findings,
    /// Records and alerts whose fate nobody can look up, and fates of things that never were.
    pub(super) silent: Findings,
    /// Alerts that were raised.
    pub(super) n_alerts: usize,
    /// Changes in a life that were not told because a later one, which was told, says as much; over all receivers.
    pub(super) n_superseded: usize,
}

/// How many, and the first of them in words.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) n: u64,
    words: Vec<String>,
}

impl Findings {
    fn add(&mut self, n: u64, words: impl FnOnce() -> String) {
        self.n += n;
        if n > 0 && self.words.len() < 20 {
            self.words.push(words());
        }
    }
}

/// What a receiver holds: ids of alerts, one for each time.
#[derive(Clone)]
pub(super) struct Received {
    pub(super) name: &'static str,
    pub(super) ids: Vec<String>,
    /// Whether the same id may be there more than once.
    pub(super) may_repeat: bool,
}

impl Received {
    /// Times that an alert came again under its id.
    pub(super) fn repeats(&self) -> usize {
        self.ids.len() - self.ids.iter().collect::<BTreeSet<_>>().len()
    }
}

impl Verdict {
    /// Looks at everything; no service runs any more.
    pub(super) fn of(place: &Place, records: &[Record], receivers: &[Received]) -> Self {
        let mut verdict = Self::default();
        verdict.cells(place, records);
        verdict.dead_letters(place, records);
        verdict.alerts(place, receivers);
        verdict
    }

    fn cells(&mut self, place: &Place, records: &[Record]) {
        let (expected, found) = (stream::count(records), cells(place));
        for spot in expected.keys().chain(found.keys()).collect::<BTreeSet<_>>() {
            let [expected, found] = [&expected, &found].map(|counts| counts.get(spot).copied().unwrap_or(0));
            self.lost.add(expected.saturating_sub(found), || format!("{spot:?}: {found} of {expected} events"));
            self.doubled.add(found.saturating_sub(expected), || format!("{spot:?}: {found} for {expected} events"));
        }
    }

    fn dead_letters(&mut self, place: &Place, records: &[Record]) {
        let bad = stream::bad_positions(records);
        let mut letters = BTreeMap::new();
        for stored in read_back(&place.brokers, &place.dead_letters) {
            let letter: DeadLetter = serde_json::from_slice(&stored.value).unwrap();
            letters.insert((letter.partition, letter.offset), letter.payload().unwrap());
        }
        for (position, value) in &bad {
            let is_there = letters.get(position) == Some(value);
            self.silent.add(u64::from(!is_there), || format!("bad record at {position:?} has no dead letter"));
        }
        for position in letters.keys().filter(|position| !bad.contains_key(position)) {
            self.silent.add(1, || format!("a dead letter of {position:?}, which is an event"));
        }
    }

    fn alerts(&mut self, place: &Place, receivers: &[Received]) {
        let store = Store::open_read_only(&place.store()).unwrap();
        // A destination that was never heard of is due all alerts that are kept.
        let outbox = Outbox::open(&place.store(), "nobody").unwrap();
        let alerts: Vec<Value> = outbox
            .pending(usize::MAX >> 1, usize::MAX >> 1)
            .unwrap()
            .iter()
            .map(|pending| serde_json::from_str(&pending.body).unwrap())
            .collect();
        let id = |alert: &Value| alert["alert_id"].as_str().unwrap().to_owned();
        let ids: BTreeSet<String> = alerts.iter().map(id).collect();
        self.n_alerts = ids.len();
        let turns: BTreeSet<_> = alerts.iter().map(|a| (a["cluster"].to_string(), a["ordinal"].to_string())).collect();
        self.doubled.add((alerts.len() - turns.len()) as u64, || "two alerts about one turn of a cluster".to_owned());
        for receiver in receivers {
            let held: BTreeSet<&String> = receiver.ids.iter().collect();
            let fates: BTreeMap<&String, Fate> =
                ids.iter().filter_map(|id| Some((id, fate(&store, id, receiver.name)?))).collect();
            let is_told = |alert: &Value| {
                let id = id(alert);
                held.contains(&id) && fates.get(&id).is_some_and(|fate| fate.is_taken())
            };
            let (mut n_missing, mut n_unsettled) = (0, 0);
            for (at, alert) in alerts.iter().enumerate() {
                let id = id(alert);
                let is_superseded = fates.get(&id) == Some(&Fate::Superseded)
                    && alert["change"] == "raised"
                    && alerts[at + 1..].iter().any(|later| later["cluster"] == alert["cluster"] && is_told(later));
                self.n_superseded += usize::from(is_superseded);
                n_missing += u64::from(!held.contains(&id) && !is_superseded);
                n_unsettled += u64::from(!fates.get(&id).is_some_and(|fate| fate.is_taken()) && !is_superseded);
            }
            let name = receiver.name;
            self.lost.add(n_missing, || format!("{name}: {n_missing} of {} alerts are not there", ids.len()));
            self.silent.add(n_unsettled, || format!("{name}: {n_unsettled} alerts have no good fate"));
            let unheard = held.iter().filter(|id| !ids.contains(id.as_str())).count() as u64;
            self.silent.add(unheard, || format!("{name}: {unheard} alerts that the store does not have"));
            if !receiver.may_repeat {
                let again = (receiver.ids.len() - held.len()) as u64;
                self.doubled.add(again, || format!("{name}: {again} alerts are there twice"));
            }
        }
    }
}

/// What became of an alert at a destination.
fn fate(store: &Store, alert_id: &str, destination: &str) -> Option<Fate> {
    store.deliveries_of(alert_id).unwrap().into_iter().find(|one| one.destination == destination).map(|one| one.fate)
}

/// The events of all cells by service, route and file, as the store names them.
fn cells(place: &Place) -> BTreeMap<Spot, u64> {
    let store = Store::open_read_only(&place.store()).unwrap();
    let names: BTreeMap<Vec<u8>, String> = store
        .load_state("name")
        .unwrap()
        .into_iter()
        .map(|(key, text)| (key[8..].to_vec(), String::from_utf8(text).unwrap()))
        .collect();
    let name = |id: Id| names.get(id.0.to_be_bytes().as_slice()).cloned().unwrap_or_else(|| format!("unnamed {id}"));
    let mut counts = BTreeMap::new();
    for (key, cell) in store.load_state("cell").unwrap() {
        let key: CellKey = postcard::from_bytes(&key[8..]).unwrap();
        let cell: Cell = postcard::from_bytes(&cell).unwrap();
        let site = name(key.site);
        // `function (file)`, or the file alone.
        let file =
            site.strip_suffix(')').and_then(|site| site.rsplit_once('(')).map_or(site.as_str(), |(_, file)| file);
        *counts.entry([name(key.service), name(key.route), file.to_owned()]).or_default() += cell.n;
    }
    counts
}
