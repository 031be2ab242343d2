//! Clusters of a post-mortem: which are new, which grew, which vanished, and which are hostile.
//!
//! Reads clusters with their standings, and when the events of their cells happened ([`Sightings`]); never a portrait.
//! A cluster counts as new when nothing of it was in the baseline; as grown when its rate at least doubled and the exact
//! interval of the ratio lies above 1 even if all that cannot be told is counted against it; as vanished when nothing of
//! it is in the period. What cannot be told for want of resolution is none of these. All are counted; listed are those
//! of which chance is no explanation, since a cluster of two events a day comes and goes.

use std::collections::BTreeMap;
use std::ops::Range;

use super::super::document::{Section, Table, Value, Words, plural};
use super::super::scope::{Exposure, Part, Scope, compare};
use crate::pipeline::alert::Verdict;
use crate::pipeline::cluster::identity::Cluster;
use crate::pipeline::event::{Id, Millis};
use crate::pipeline::operations::interval::Interval;
use crate::pipeline::operations::ledger::Span;
use crate::pipeline::sightings::{Reckoning, Share, Sighting, Sightings};
use crate::pipeline::tenant::Standing;

/// Clusters of one kind that are told: the rest is counted.
const TOLD_MAX: usize = 10;

/// How many times as many events make a cluster grow, at least.
const GROWN_TIMES: f64 = 2.0;

/// Events from which on a cluster is worth a line at the top of the page.
const MATTERS_EVENTS: u64 = 10;

/// One in so many of the period's events, likewise.
const MATTERS_ONE_IN: u64 = 100;

/// How a cluster stands against the baseline.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Turn {
    /// Nothing of it was in the baseline; without one: its first event lies in the period.
    New,
    /// Its rate grew so many times.
    Grown(Interval),
    /// Nothing of it is in the period.
    Vanished,
    /// As before, or it cannot be told.
    Other,
}

/// A cluster as the post-mortem sees it.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) id: String,
    pub(super) verdict: Verdict,
    /// Its busiest route and site, and how many others there are.
    pub(super) place: Place,
    pub(super) now: Reckoning,
    pub(super) before: Reckoning,
    pub(super) ever: Sighting,
    pub(super) turn: Turn,
}

impl Seen {
    /// Whether it is new or grown, and large enough for the top of a page about `n_events` events.
    pub(super) fn matters(&self, n_events: u64) -> bool {
        let turned = matches!(self.turn, Turn::New | Turn::Grown(_));
        turned && self.now.low >= MATTERS_EVENTS && self.now.low >= n_events / MATTERS_ONE_IN
    }

    /// Whether chance is no explanation for its coming or going.
    fn is_news(&self, stretches: &Stretches) -> bool {
        let Some((_, before)) = &stretches.before else { return true };
        let (ratio, _) = compare(self.now.low, &stretches.now.1, self.before.low, before);
        ratio.is_some_and(|ratio| ratio.low > 1.0 || ratio.high < 1.0)
    }
}

/// Where a cluster panics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) service: String,
    pub(super) route: String,
    pub(super) site: String,
    pub(super) other_routes: usize,
}

impl Place {
    /// `GET /x and 2 other routes, at site`.
    pub(super) fn words(&self) -> Words {
        let others = match self.other_routes {
            0 => ", at ".to_owned(),
            1 => " and 1 other route, at ".to_owned(),
            n => format!(" and {n} other routes, at "),
        };
        Words::default().name(&self.route).say(others).name(&self.site)
    }
}

/// The two stretches that are compared.
pub(super) struct Stretches {
    pub(super) now: (Span, Exposure),
    pub(super) before: Option<(Span, Exposure)>,
}

/// All clusters of a scope that have events in either stretch, by their events in the period, then by id; and how many
/// living clusters have no cell any more.
pub(super) fn seen(scope: &Scope<'_>, sightings: &Sightings, stretches: &Stretches) -> (Vec<Seen>, u64) {
    let (mut all, mut n_forgotten) = (Vec::new(), 0);
    for part in scope.parts() {
        for (cluster, standing) in part.tenant.clusters() {
            if !sightings.knows(&sightings.shares(&cluster.members)) {
                n_forgotten += 1;
                continue;
            }
            all.extend(one(part, cluster, standing, sightings, stretches));
        }
    }
    all.retain(|seen: &Seen| seen.now.high > 0 || seen.before.high > 0);
    all.sort_by(|a, b| (b.now.high, b.before.high, &a.id).cmp(&(a.now.high, a.before.high, &b.id)));
    (all, n_forgotten)
}

fn one(
    part: &Part<'_>,
    cluster: &Cluster,
    standing: Option<&Standing>,
    sightings: &Sightings,
    stretches: &Stretches,
) -> Option<Seen> {
    let mut shares = sightings.shares(&cluster.members);
    shares.retain(|share| part.has(Some(share.cell.service)));
    if shares.is_empty() {
        return None;
    }
    let within = |span: &Span| sightings.within(&shares, &range(span));
    let now = within(&stretches.now.0);
    let before = stretches.before.as_ref().map(|(span, _)| within(span)).unwrap_or_default();
    let ever = sightings.ever(&shares);
    Some(Seen {
        id: cluster.id.to_string(),
        verdict: standing.map(Standing::verdict).unwrap_or_default(),
        place: place(part, &shares, sightings),
        now,
        before,
        ever,
        turn: turn(now, before, ever, stretches),
    })
}

/// The stretch of a span.
pub(super) fn range(span: &Span) -> Range<Millis> {
    span.from..span.to
}

fn turn(now: Reckoning, before: Reckoning, ever: Sighting, stretches: &Stretches) -> Turn {
    let (period, exposure) = &stretches.now;
    let Some((_, exposure_before)) = &stretches.before else {
        let begins = ever.first.is_some_and(|first| range(period).contains(&first));
        return if begins { Turn::New } else { Turn::Other };
    };
    if before.high == 0 && now.low > 0 {
        return Turn::New;
    }
    if now.high == 0 && before.low > 0 {
        return Turn::Vanished;
    }
    let (ratio, _) = compare(now.low, exposure, before.high, exposure_before);
    match ratio {
        Some(ratio) if before.low > 0 && ratio.low > 1.0 && ratio.estimate >= GROWN_TIMES => Turn::Grown(ratio),
        _ => Turn::Other,
    }
}

/// The route and site with the most events ever; ties by name.
fn place(part: &Part<'_>, shares: &[Share], sightings: &Sightings) -> Place {
    let mut routes: BTreeMap<Id, u64> = BTreeMap::new();
    let mut sites: BTreeMap<Id, u64> = BTreeMap::new();
    let mut services: BTreeMap<Id, u64> = BTreeMap::new();
    for share in shares {
        let events = sightings.ever(std::slice::from_ref(share)).events;
        *routes.entry(share.cell.route).or_default() += events;
        *sites.entry(share.cell.site).or_default() += events;
        *services.entry(share.cell.service).or_default() += events;
    }
    let name = |id: Id| part.tenant.name(id);
    let busiest = |counts: &BTreeMap<Id, u64>| {
        let named = counts.iter().map(|(id, n)| (std::cmp::Reverse(*n), name(*id), *id));
        named.min().map(|(_, text, id)| (text, id))
    };
    let service = busiest(&services).map(|(_, id)| part.service(Some(id))).unwrap_or_default();
    let text = |counts| busiest(counts).map(|(text, _)| text).unwrap_or_default();
    Place { service, route: text(&routes), site: text(&sites), other_routes: routes.len().saturating_sub(1) }
}

/// The section on clusters.
pub(super) fn section<'s>(seen: &'s [Seen], n_forgotten: u64, stretches: &Stretches) -> Section {
    let mut section = Section::new("clusters", "Clusters");
    let of = |wanted: fn(&Turn) -> bool| seen.iter().filter(|seen| wanted(&seen.turn)).collect::<Vec<_>>();
    let new = of(|turn| *turn == Turn::New);
    let grown = of(|turn| matches!(turn, Turn::Grown(_)));
    let vanished = of(|turn| *turn == Turn::Vanished);
    let n_other = seen.len() - new.len() - grown.len() - vanished.len();
    if stretches.before.is_some() {
        section.say(format!(
            "{} new (nothing of them in the baseline), {} grown (rate at least doubled, interval above 1), {} vanished, \
             {n_other} as before or not to be told. Listed are those of which chance is no explanation.",
            new.len(),
            grown.len(),
            vanished.len(),
        ));
    } else {
        section.say(format!(
            "{} began in the period (their first event ever lies in it), {n_other} were there before. Without a baseline \
             nobody can say which grew or vanished.",
            new.len()
        ));
    }
    let news = |seen: Vec<&'s Seen>| seen.into_iter().filter(|seen| seen.is_news(stretches)).collect::<Vec<_>>();
    table(&mut section, "new", "New", &news(new));
    table(&mut section, "grown", "Grown", &grown);
    let mut by_before = news(vanished);
    by_before.sort_by(|a, b| (b.before.high, &a.id).cmp(&(a.before.high, &b.id)));
    table(&mut section, "vanished", "Vanished", &by_before);
    let n_open: u64 =
        seen.iter().filter(|seen| seen.now.exact().is_none() || seen.before.exact().is_none()).map(|_| 1).sum();
    if n_open > 0 {
        section.say(format!(
            "Cells know their last hour by the minute and 48 hours by the hour: of {} the events in a stretch can only \
             be told as at least and at most.",
            plural(n_open, "cluster")
        ));
    }
    if n_forgotten > 0 {
        section.say(format!("{} without any cell left, told by alerts alone.", plural(n_forgotten, "cluster")));
    }
    section
}

fn table(section: &mut Section, id: &'static str, title: &str, seen: &[&Seen]) {
    if seen.is_empty() {
        return;
    }
    let more = seen.len().saturating_sub(TOLD_MAX);
    let cut = if more > 0 { format!(", the {TOLD_MAX} largest of {}", seen.len()) } else { String::new() };
    section.say(format!("{title}{cut}:"));
    let mut table = Table::new(
        id,
        &[
            ("cluster", "cluster"),
            ("verdict", "verdict"),
            ("events", "events"),
            ("baseline_events", "in baseline"),
            ("ratio", "ratio"),
            ("first_event", "first event"),
            ("last_event", "last event"),
            ("place", "where"),
        ],
    );
    for one in seen.iter().take(TOLD_MAX) {
        let ratio = if let Turn::Grown(ratio) = one.turn { Some(ratio) } else { None };
        table.push(vec![
            Value::words(one.id.as_str()),
            Value::words(one.verdict.name()),
            Value::Reckoned(one.now),
            Value::Reckoned(one.before),
            Value::Ratio(ratio),
            Value::Time(one.ever.first),
            Value::Time(one.ever.last),
            Value::Words(one.place.words()),
        ]);
    }
    section.table(table);
}
