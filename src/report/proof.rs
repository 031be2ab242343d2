//! The delivery proof: from the records that an alert rests on to what each destination said of it.
//!
//! Reads the alerts of a cluster, and of those that became part of it, with their examples' positions, every
//! destination's answer or that it still waits, the receipt that the destination gave (Splunk's acknowledgement id and
//! channel, Elastic's `_id` and `_seq_no`, a topic's partition and offset, a file's offset), and what operators did.
//! Tells the newest [`ALERTS_MAX`] alerts. Costs a pass over the outbox for each of those clusters.

use anyhow::Result;
use serde_json::{Value, json};

use super::sheet::printable;
use super::{Memory, Page};
use crate::edge::store::{Fate, Intervened, OutboxChoice, OutboxLine, Store, WAITING};
use crate::pipeline::alert::Alert;
use crate::pipeline::cluster::identity::Cluster;
use crate::pipeline::event::Millis;

/// Alerts of one cluster that are proved, the newest: a life has a handful.
const ALERTS_MAX: usize = 50;

/// An alert, where it came from and where it got to.
struct Proof {
    alert: Alert,
    lines: Vec<OutboxLine>,
    interventions: Vec<Intervened>,
}

/// The proofs of a cluster's alerts, the oldest first; none without a store.
fn proofs(store: &Store, cluster: &Cluster) -> Result<Vec<Proof>> {
    let mut proofs = Vec::new();
    for id in std::iter::once(cluster.id).chain(cluster.merged.iter().copied()) {
        let id = id.to_string();
        let choice = OutboxChoice { cluster: Some(id.clone()), ..OutboxChoice::default() };
        let lines = store.outbox_lines(&choice, usize::MAX)?;
        for alert in store.alerts_of(&id)? {
            let lines = lines.iter().filter(|line| line.alert_id == alert.alert_id).cloned().collect();
            proofs.push(Proof { alert, lines, interventions: Vec::new() });
        }
    }
    let order = |alert: &Alert| (alert.at.clone(), alert.ordinal, alert.cluster.clone());
    proofs.sort_by_cached_key(|proof| order(&proof.alert));
    let mut newest = proofs.split_off(proofs.len().saturating_sub(ALERTS_MAX));
    for proof in &mut newest {
        proof.interventions = store.interventions_of(&proof.alert.alert_id)?;
    }
    Ok(newest)
}

/// Tells the proofs in lines; nothing where there is no store or no alert.
pub(super) fn for_people(memory: Memory<'_>, cluster: &Cluster, page: &mut Page<'_>) -> Result<()> {
    let Some(store) = memory.store else { return Ok(()) };
    for Proof { alert, lines, interventions } in proofs(store, cluster)? {
        page.line("")?;
        page.line(&format!("alert {}, {} at {}", alert.alert_id, alert.change.name(), printable(&alert.at)))?;
        for example in &alert.portrait.examples {
            let place = format!("{} {}@{}", example.topic, example.partition, example.offset);
            page.line(&printable(&format!("  from {place} (event {})", example.event_id)))?;
        }
        for line in &lines {
            page.line(&printable(&format!("  {}", standing(line))))?;
        }
        if lines.is_empty() {
            page.line("  no destination reads the outbox yet")?;
        }
        for one in &interventions {
            page.line(&printable(&format!("  {}", deed(one))))?;
        }
    }
    Ok(())
}

fn standing(line: &OutboxLine) -> String {
    let OutboxLine { destination, detail, attempts, created_ms, .. } = line;
    let Some((fate, at)) = line.fate.zip(line.at_ms) else {
        return format!("to {destination}: waiting since {}", Millis(*created_ms));
    };
    let kind = if fate.is_taken() { ", receipt" } else { "" };
    let words = if detail.is_empty() { String::new() } else { format!("{kind}: {detail}") };
    format!("to {destination}: {} at {} after {attempts} request(s){words}", fate.name(), Millis(at))
}

fn deed(one: &Intervened) -> String {
    let Intervened { action, destination, who, why, fate_before, detail_before, at_ms } = one;
    let was = fate_before.map_or(WAITING, Fate::name);
    let words = if detail_before.is_empty() { String::new() } else { format!(", {detail_before}") };
    let why = if why.is_empty() { String::new() } else { format!(": {why}") };
    format!("{action} for {destination} by {who} at {} (was {was}{words}){why}", Millis(*at_ms))
}

/// The same as JSON: one object an alert.
pub(super) fn objects(memory: Memory<'_>, cluster: &Cluster) -> Result<Vec<Value>> {
    let Some(store) = memory.store else { return Ok(Vec::new()) };
    let destination = |line: &OutboxLine| {
        let taken = line.fate.is_some_and(Fate::is_taken);
        let words = Some(printable(&line.detail)).filter(|words| !words.is_empty());
        json!({
            "destination": printable(&line.destination), "fate": line.fate.map_or(WAITING, Fate::name),
            "attempts": line.attempts, "at": line.at_ms.map(|at| Millis(at).to_string()),
            "receipt": words.as_ref().filter(|_| taken), "words": words.as_ref().filter(|_| !taken),
        })
    };
    let intervention = |one: &Intervened| {
        json!({
            "action": one.action, "destination": printable(&one.destination), "who": printable(&one.who),
            "why": printable(&one.why), "fate_before": one.fate_before.map_or(WAITING, Fate::name),
            "words_before": printable(&one.detail_before), "at": Millis(one.at_ms).to_string(),
        })
    };
    let object = |Proof { alert, lines, interventions }: &Proof| {
        json!({
            "alert_id": alert.alert_id, "cluster": alert.cluster, "change": alert.change, "at": alert.at,
            "written_at": lines.first().map(|line| Millis(line.created_ms).to_string()),
            "examples": alert.portrait.examples,
            "destinations": lines.iter().map(destination).collect::<Vec<_>>(),
            "interventions": interventions.iter().map(intervention).collect::<Vec<_>>(),
        })
    };
    Ok(proofs(store, cluster)?.iter().map(object).collect())
}
