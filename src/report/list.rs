//! `list`: the clusters by rank, and what to ask next.
//!
//! Reads standings and counts of all clusters, draws the portraits of those that are told. Machines get all clusters
//! and more columns; people get twenty and a last line that says how many there are.

use anyhow::Result;

use super::sheet::{Cell, Sheet};
use super::{Format, Memory, Page, Selection, explain};
use crate::pipeline::alert::{Portrait, Verdict};
use crate::pipeline::cluster::identity::Cluster;
use crate::pipeline::state::State;
use crate::pipeline::tenant::{Standing, Tenant};

/// Clusters that a table tells unless another number is asked for: about a screen.
const LISTED_USUALLY: usize = 20;

/// Columns for people: they fit 120 columns with a title of some 50.
const FOR_PEOPLE: [&str; 7] = ["cluster", "verdict", "points", "severity", "events", "last_event", "title"];
/// Columns for machines.
const FOR_MACHINES: [&str; 13] = [
    "cluster",
    "tenant",
    "verdict",
    "points",
    "threshold",
    "severity",
    "events",
    "actors",
    "addresses",
    "first_event",
    "last_event",
    "analyst",
    "title",
];

/// A cluster and what it is ranked by.
pub(super) struct Ranked<'s> {
    pub(super) tenant: &'s Tenant,
    pub(super) cluster: &'s Cluster,
    pub(super) standing: Option<&'s Standing>,
    verdict: Verdict,
    points: f64,
    n_events: u64,
}

/// The clusters of a state that are selected: hostile ones first, then by points, then by events; and how many there
/// are of any kind.
pub(super) fn ranked(state: &State, selection: Selection) -> (Vec<Ranked<'_>>, usize) {
    let mut n_all = 0;
    let mut ranked = Vec::new();
    for (_, tenant) in state.tenants() {
        for (cluster, standing) in tenant.clusters() {
            n_all += 1;
            let (verdict, points) =
                standing.map(|standing| (standing.verdict(), standing.judgement.points)).unwrap_or_default();
            if selection.verdict.is_none_or(|wanted| verdict == wanted) {
                ranked.push(Ranked { tenant, cluster, standing, verdict, points, n_events: tenant.n_events(cluster) });
            }
        }
    }
    let order = |verdict| match verdict {
        Verdict::Hostile => 0,
        Verdict::Undecided => 1,
        Verdict::Benign => 2,
    };
    ranked.sort_by(|a, b| {
        order(a.verdict)
            .cmp(&order(b.verdict))
            .then(b.points.total_cmp(&a.points))
            .then(b.n_events.cmp(&a.n_events))
            .then(a.cluster.id.cmp(&b.cluster.id))
    });
    (ranked, n_all)
}

/// Tells the ranking.
pub(super) fn list(memory: Memory<'_>, selection: Selection, page: &mut Page<'_>) -> Result<()> {
    let (ranked, n_all) = ranked(memory.state, selection);
    let people = page.format == Format::Table;
    let usual = if people { LISTED_USUALLY } else { usize::MAX };
    let limit = selection.limit.unwrap_or(usual);
    let mut sheet = Sheet::new(if people { &FOR_PEOPLE[..] } else { &FOR_MACHINES[..] });
    let mut analysts = Vec::new();
    for Ranked { tenant, cluster, .. } in ranked.iter().take(limit) {
        let portrait = tenant.portrait(cluster);
        let id = cluster.id.to_string();
        analysts.extend(explain::analyst(&id, &portrait).map(|words| format!("{id}: {words}")));
        sheet.push(if people { for_people(id, portrait) } else { for_machines(id, portrait) });
    }
    if !people {
        return page.sheet(&sheet);
    }
    if !sheet.is_empty() {
        page.sheet(&sheet)?;
    }
    for words in analysts {
        page.words(&words)?;
    }
    page.line(&last_line(memory, selection, &ranked, n_all, limit))
}

fn for_people(id: String, portrait: Portrait) -> Vec<Cell> {
    vec![
        id.into(),
        portrait.verdict.name().into(),
        portrait.points.into(),
        portrait.severity.name().into(),
        portrait.counts.events.into(),
        to_the_minute(&portrait.last_event).into(),
        portrait.title.into(),
    ]
}

fn for_machines(id: String, portrait: Portrait) -> Vec<Cell> {
    let analyst = explain::analyst(&id, &portrait);
    vec![
        id.into(),
        portrait.tenant.into(),
        portrait.verdict.name().into(),
        portrait.points.into(),
        portrait.threshold.into(),
        portrait.severity.name().into(),
        portrait.counts.events.into(),
        portrait.counts.actors.into(),
        portrait.counts.addresses.into(),
        portrait.first_event.into(),
        portrait.last_event.into(),
        analyst.into(),
        portrait.title.into(),
    ]
}

/// `2026-09-14 08:00` of an RFC 3339 time in UTC.
pub(super) fn to_the_minute(time: &str) -> String {
    time.chars().take(16).map(|c| if c == 'T' { ' ' } else { c }).collect()
}

fn last_line(memory: Memory<'_>, selection: Selection, ranked: &[Ranked<'_>], n_all: usize, limit: usize) -> String {
    let Some(first) = ranked.first() else {
        return match selection.verdict {
            Some(verdict) if n_all > 0 => format!("0 of {n_all} clusters: none is {}", verdict.name()),
            _ if memory.store.is_some() => "the store holds no clusters yet: nothing has been clustered".to_owned(),
            _ => "no clusters: there was no event to cluster".to_owned(),
        };
    };
    let n_shown = ranked.len().min(limit);
    let kind = selection.verdict.map(|verdict| format!(" {}", verdict.name())).unwrap_or_default();
    let told = format!("{n_shown} of {}{kind} clusters", ranked.len());
    if memory.store.is_none() {
        return format!("{told}; --json tells all of them");
    }
    let more = if n_shown < ranked.len() { " (--limit N for more)" } else { "" };
    format!("{told}{more}; ask next: panicsift report explain {}", first.cluster.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_to_the_minute() {
        let check = |time: &str, expected: &str| assert_eq!(to_the_minute(time), expected);
        check("2026-09-14T08:00:00.849Z", "2026-09-14 08:00");
        check("", "");
    }

    #[test]
    fn a_state_without_events_says_so() {
        let check = |verdict, expected: &str| {
            let mut out = Vec::new();
            let selection = Selection { limit: None, verdict };
            super::super::list(&State::default(), selection, Format::Table, &mut out).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        };
        check(None, "no clusters: there was no event to cluster\n");
        check(Some(Verdict::Hostile), "no clusters: there was no event to cluster\n");
    }
}
