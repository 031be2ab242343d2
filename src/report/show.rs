//! `show`: one cluster with all that is known of it.
//!
//! Reads the portrait, the timeline, and from the store the alerts of the cluster and of those that became part of it,
//! with what became of each at every destination. Lists are bounded by the portrait, alerts by [`ALERTS_MAX`].

use anyhow::Result;
use serde::Serialize;

use super::find::Found;
use super::sheet::{Cell, Sheet, printable};
use super::timeline::Timeline;
use super::{Format, Memory, Page, explain};
use crate::pipeline::alert::{Change, Counted, Portrait, Queries, Severity};
use crate::pipeline::causes::Causation;
use crate::pipeline::cluster::identity::Cluster;
use crate::pipeline::event::Millis;
use crate::pipeline::tenant::Tenant;

/// Alerts of one cluster that are told, the newest: a life has a handful.
const ALERTS_MAX: usize = 50;

/// Causes of secondary panics that people are told; machines get all.
const CAUSES_SHOWN: usize = 5;

/// A cluster with all that is known of it.
#[derive(Serialize)]
pub(super) struct Full {
    pub(super) cluster: String,
    /// The id that was asked for, where it is an alias.
    #[serde(skip_serializing_if = "Option::is_none")]
    alias: Option<String>,
    /// First event of the rows that named it (RFC 3339).
    born: String,
    /// Cells, or suspects, that it consists of.
    members: usize,
    #[serde(flatten)]
    pub(super) portrait: Portrait,
    timeline: Timeline,
    /// What its secondary panics go back to; absent where it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    consequence: Option<Causation>,
    /// The digest that tells it in place of an alert of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    /// Alerts, the oldest first.
    alerts: Vec<Told>,
}

/// An alert and what became of it.
#[derive(Serialize)]
pub(super) struct Told {
    pub(super) alert_id: String,
    cluster: String,
    pub(super) change: Change,
    ordinal: u32,
    pub(super) at: String,
    pub(super) severity: Severity,
    /// Where to see the rest, as the alert said.
    #[serde(skip_serializing_if = "Option::is_none")]
    queries: Option<Queries>,
    /// One for each destination that has given its answer; others still wait for it.
    pub(super) deliveries: Vec<Answered>,
}

/// A destination's answer.
#[derive(Serialize)]
pub(super) struct Answered {
    destination: String,
    fate: &'static str,
    detail: String,
    attempts: u32,
    /// Wall clock (RFC 3339).
    at: String,
}

impl Full {
    /// Gathers what is known of a cluster.
    pub(super) fn of(memory: Memory<'_>, tenant: &Tenant, cluster: &Cluster) -> Result<Self> {
        Ok(Self {
            cluster: cluster.id.to_string(),
            alias: None,
            born: cluster.born.to_string(),
            members: cluster.members.len(),
            portrait: tenant.portrait(cluster),
            timeline: Timeline::of(&tenant.timeline(cluster)),
            consequence: tenant.causation(cluster),
            digest: tenant.digest_of(cluster.id).map(str::to_owned),
            alerts: told(memory, cluster)?,
        })
    }
}

/// The newest alerts of a cluster, the oldest of them first; none without a store.
pub(super) fn told(memory: Memory<'_>, cluster: &Cluster) -> Result<Vec<Told>> {
    let Some(store) = memory.store else { return Ok(Vec::new()) };
    let mut alerts = Vec::new();
    for id in std::iter::once(cluster.id).chain(cluster.merged.iter().copied()) {
        alerts.extend(store.alerts_of(&id.to_string())?);
    }
    alerts.sort_by(|a, b| (&a.at, a.ordinal, &a.cluster).cmp(&(&b.at, b.ordinal, &b.cluster)));
    let surplus = alerts.len().saturating_sub(ALERTS_MAX);
    let mut told = Vec::new();
    for alert in alerts.into_iter().skip(surplus) {
        let answers = store.deliveries_of(&alert.alert_id)?;
        let deliveries = answers.into_iter().map(|answer| Answered {
            destination: printable(&answer.destination),
            fate: answer.fate.name(),
            detail: printable(&answer.detail),
            attempts: answer.attempts,
            at: Millis(answer.at_ms).to_string(),
        });
        told.push(Told {
            alert_id: alert.alert_id,
            cluster: alert.cluster,
            change: alert.change,
            ordinal: alert.ordinal,
            at: alert.at,
            severity: alert.portrait.severity,
            queries: alert.portrait.queries,
            deliveries: deliveries.collect(),
        });
    }
    Ok(told)
}

/// Tells all about one cluster.
pub(super) fn show(memory: Memory<'_>, found: &Found<'_>, page: &mut Page<'_>) -> Result<()> {
    let mut full = Full::of(memory, found.tenant, found.cluster)?;
    full.alias = found.alias.map(|id| id.to_string());
    match page.format {
        Format::Table => {
            if let Some(alias) = found.alias_line() {
                page.line(&alias)?;
            }
            for_people(memory, &full, page)
        }
        Format::Json => page.object(&serde_json::to_value(&full)?),
        Format::Csv => {
            let mut sheet = Sheet::new(&["part", "events", "name"]);
            scalars(&full, &mut sheet);
            lists(&full.portrait, &mut sheet, false);
            for (part, buckets) in [("minute", &full.timeline.by_minute), ("hour", &full.timeline.by_hour)] {
                for bucket in buckets {
                    sheet.push(vec![part.into(), bucket.events.into(), bucket.at.as_str().into()]);
                }
            }
            if let Some(causation) = &full.consequence {
                let unknown = causation.n_secondary.saturating_sub(causation.n_known);
                sheet.push(vec!["cause unknown".into(), unknown.into(), Cell::Empty]);
                for cause in &causation.causes {
                    sheet.push(vec!["consequence of".into(), cause.events.into(), cause.site.as_str().into()]);
                }
            }
            for alert in &full.alerts {
                sheet.push(vec!["alert".into(), Cell::Empty, alert_line(alert).into()]);
                for answer in &alert.deliveries {
                    sheet.push(vec!["delivery".into(), Cell::Empty, answer_line(answer).into()]);
                }
            }
            page.sheet(&sheet)
        }
    }
}

fn for_people(memory: Memory<'_>, full: &Full, page: &mut Page<'_>) -> Result<()> {
    let portrait = &full.portrait;
    page.line(&format!(
        "{}: {}, {:.2} points (hostile from {:.2} on), severity {}",
        full.cluster,
        portrait.verdict.name(),
        portrait.points,
        portrait.threshold,
        portrait.severity.name()
    ))?;
    page.words(&printable(&portrait.title))?;
    if let Some(words) = explain::analyst(&full.cluster, portrait) {
        page.words(&words)?;
    }
    brief(portrait, page)?;
    page.line(&format!(
        "{} events from {} to {}, {} actors, {} addresses, {} members",
        portrait.counts.events,
        portrait.first_event,
        portrait.last_event,
        portrait.counts.actors,
        portrait.counts.addresses,
        full.members
    ))?;
    let n_of_senders: u64 = portrait.recovery.iter().map(|outcome| outcome.events).sum();
    if n_of_senders > portrait.counts.events {
        page.line(&format!(
            "times, networks and what follows from senders count all {n_of_senders} events of its suspects"
        ))?;
    }
    page.line("")?;
    for line in full.timeline.lines() {
        page.line(line)?;
    }
    page.line("")?;
    let mut sheet = Sheet::new(&["by", "events", "name"]);
    lists(portrait, &mut sheet, true);
    page.sheet(&sheet)?;
    page.line("")?;
    if !portrait.lineage.is_empty() {
        page.line(&format!("lineage: {}", printable(&portrait.lineage.join(", "))))?;
    }
    if let Some(causation) = &full.consequence {
        page.words(&consequence_line(causation))?;
    }
    if memory.store.is_some() {
        alerts(full, page)?;
    }
    page.line(&format!("ask next: panicsift report explain {}", full.cluster))
}

/// How sure, which technique, what next: for a hostile cluster.
fn brief(portrait: &Portrait, page: &mut Page<'_>) -> Result<()> {
    if let Some(line) = technique_line(portrait) {
        page.words(&line)?;
    }
    if !portrait.next_step.is_empty() {
        page.words(&format!("next: {}", printable(&portrait.next_step)))?;
    }
    Ok(())
}

/// `technique T1190 Exploit Public-Facing Application (Initial Access): content that …; hostile with probability 0.97`.
pub(super) fn technique_line(portrait: &Portrait) -> Option<String> {
    let sure =
        portrait.confidence.map(|confidence| format!("hostile with probability {confidence:.3} under the model"));
    let technique = portrait
        .technique
        .as_ref()
        .map(|one| format!("technique {} {} ({}): {}", one.id, one.name, one.tactic, printable(&one.reason)));
    let parts: Vec<String> = technique.into_iter().chain(sure).collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// `consequence of f (a.rs) in c-1: 40 of 50 secondary events; cause unknown for 10`.
pub(super) fn consequence_line(causation: &Causation) -> String {
    let Causation { n_secondary, n_known, causes } = causation;
    let unknown = n_secondary.saturating_sub(*n_known);
    if causes.is_empty() {
        return format!("{n_secondary} secondary events (consequences of earlier panics): cause unknown for {unknown}");
    }
    let told = causes.iter().take(CAUSES_SHOWN).map(|cause| {
        let clusters = cause.clusters.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
        let at = if clusters.is_empty() { String::new() } else { format!(" in {clusters}") };
        format!("consequence of {}{at}: {} of {n_secondary} secondary events", printable(&cause.site), cause.events)
    });
    format!("{}; cause unknown for {unknown}", told.collect::<Vec<_>>().join("; "))
}

fn alerts(full: &Full, page: &mut Page<'_>) -> Result<()> {
    if let Some(digest) = &full.digest {
        page.line(&format!("told by {digest}: more clusters opened within an hour than have an alert each"))?;
    }
    if full.alerts.is_empty() {
        return page.line("no alert was told of it");
    }
    for alert in &full.alerts {
        page.line(&format!("alert {}", alert_line(alert)))?;
        for answer in &alert.deliveries {
            page.line(&format!("  {}", answer_line(answer)))?;
        }
        if alert.deliveries.is_empty() {
            page.line("  no destination has answered yet")?;
        }
    }
    Ok(())
}

fn alert_line(alert: &Told) -> String {
    let Told { change, at, severity, alert_id, cluster, .. } = alert;
    format!("{} at {at}, {}, id {alert_id}, of {cluster}", change.name(), severity.name())
}

pub(super) fn answer_line(answer: &Answered) -> String {
    let Answered { destination, fate, detail, attempts, at } = answer;
    let words = if detail.is_empty() { String::new() } else { format!(": {detail}") };
    format!("{destination}: {fate} at {at} after {attempts} request(s){words}")
}

/// What there is one of.
fn scalars(full: &Full, sheet: &mut Sheet) {
    let portrait = &full.portrait;
    let mut put = |part: &str, text: &str| sheet.push(vec![part.into(), Cell::Empty, text.into()]);
    put("cluster", &full.cluster);
    if let Some(alias) = &full.alias {
        put("alias", alias);
    }
    put("title", &portrait.title);
    put("verdict", portrait.verdict.name());
    put("points", &portrait.points.to_string());
    put("threshold", &portrait.threshold.to_string());
    if let Some(words) = explain::analyst(&full.cluster, portrait) {
        put("analyst", &words);
    }
    put("severity", portrait.severity.name());
    if let Some(confidence) = portrait.confidence {
        put("confidence", &confidence.to_string());
    }
    if let Some(technique) = &portrait.technique {
        put("technique", &format!("{} {}: {}", technique.id, technique.name, technique.reason));
    }
    if !portrait.next_step.is_empty() {
        put("next_step", &portrait.next_step);
    }
    if let Some(digest) = &full.digest {
        put("digest", digest);
    }
    put("first_event", &portrait.first_event);
    put("last_event", &portrait.last_event);
    put("ordinary_traffic", if portrait.ordinary_traffic { "true" } else { "false" });
    put("born", &full.born);
    put("model", &portrait.model);
    sheet.push(vec!["events".into(), portrait.counts.events.into(), Cell::Empty]);
}

/// The lists of a portrait by their names, as texts with counts.
pub(super) fn named_lists(portrait: &Portrait) -> Vec<(&'static str, Vec<Counted>)> {
    let tenant = Some(portrait.tenant.clone()).filter(|tenant| !tenant.is_empty());
    let tenant = tenant.map(|name| Counted { name, events: portrait.counts.events });
    let networks = portrait.networks.iter().map(|network| Counted {
        name: match (network.asn, &network.organisation) {
            (Some(asn), Some(organisation)) => format!("AS{asn} {organisation}"),
            (Some(asn), None) => format!("AS{asn}"),
            (None, Some(organisation)) => organisation.clone(),
            (None, None) => "not in the tables".to_owned(),
        },
        events: network.events,
    });
    vec![
        ("tenant", tenant.into_iter().collect()),
        ("service", portrait.services.clone()),
        ("network", networks.collect()),
        ("country", portrait.countries.clone()),
        ("scope", portrait.token_scopes.clone()),
        ("shape", portrait.shapes.clone()),
        ("site", portrait.sites.clone()),
        ("route", portrait.routes.clone()),
        ("class", portrait.classes.clone()),
        ("release", portrait.releases.clone()),
        ("agent", portrait.agents.clone()),
        ("recovery", portrait.recovery.clone()),
        ("expected", portrait.expected.clone()),
    ]
}

/// The lists of a portrait as rows; `once`: what a row is about stands on the first of its kind alone.
fn lists(portrait: &Portrait, sheet: &mut Sheet, once: bool) {
    let mut before = "";
    let mut put = |part: &'static str, events: Cell, name: String| {
        let told = if once && part == before { "" } else { part };
        before = part;
        sheet.push(vec![told.into(), events, name.into()]);
    };
    for (part, counted) in named_lists(portrait) {
        for Counted { name, events } in counted {
            put(part, events.into(), name);
        }
    }
    for address in &portrait.addresses {
        put("address (sample)", Cell::Text(String::new()), address.clone());
    }
    for example in &portrait.examples {
        let name = format!("{} at {} {} {}", example.event_id, example.topic, example.partition, example.offset);
        put("example", Cell::Text(String::new()), name);
    }
    for id in portrait.lineage.iter().filter(|_| !once) {
        put("lineage", Cell::Empty, id.clone());
    }
}
