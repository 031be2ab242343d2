//! What was told of a period: alerts with their answers, how long detection and containment took.
//!
//! Reads alerts with the answers to them, and the lives of what was alerted ([`super::super::lives`]). Answers of
//! destinations bear the time of the machine's clock.

use std::collections::{BTreeMap, BTreeSet};

use super::super::document::{Section, Table, Value, Words, clock, plural};
use super::super::lives::{Begun, median, median_words};
use crate::edge::store::Sent;
use crate::pipeline::alert::{Category, Change};
use crate::pipeline::event::Millis;

/// Alerts that are told one by one, and lives.
const TOLD_MAX: usize = 40;

/// The section on alerts: what was told, and what each destination took.
pub(super) fn alerts(sent: &[Sent], known: impl Fn(&str) -> bool) -> Section {
    let mut section = Section::new("alerts", "Alerts and their answers");
    if sent.is_empty() {
        section.say("No alert was decided in the period.");
        return section;
    }
    let mut by_kind: BTreeMap<(Category, Change), u64> = BTreeMap::new();
    for Sent { alert, .. } in sent {
        *by_kind.entry((alert.category, alert.change)).or_default() += 1;
    }
    let kinds: Vec<String> = by_kind
        .iter()
        .map(|((category, change), n)| format!("{n} {} {}", category.name().replace('_', " "), change.name()))
        .collect();
    section.say(format!("{}: {}.", plural(sent.len() as u64, "alert"), kinds.join(", ")));
    answers(&mut section, sent);
    let mut table = Table::new(
        "alerts",
        &[
            ("at", "decided"),
            ("alert_id", "alert"),
            ("category", "about"),
            ("change", "change"),
            ("cluster", "cluster or situation"),
            ("severity", "severity"),
            ("events", "events then"),
            ("title", "what"),
            ("answers", "answers (machine's clock)"),
        ],
    );
    for Sent { alert, deliveries, .. } in sent.iter().take(TOLD_MAX) {
        let mut taken = Words::default();
        for (at, one) in deliveries.iter().enumerate() {
            let comma = if at > 0 { ", " } else { "" };
            let at = clock(Millis(one.at_ms));
            taken = taken.say(comma).name(&one.destination).say(format!(" {} {at}", one.fate.name()));
        }
        table.push(vec![
            Value::Time(Millis::parse(&alert.at)),
            Value::words(alert.alert_id.as_str()),
            Value::words(alert.category.name().replace('_', " ")),
            Value::words(alert.change.name()),
            Value::words(alert.cluster.as_str()),
            Value::words(alert.portrait.severity.name()),
            Value::Count(alert.portrait.counts.events),
            Value::name(&alert.portrait.title),
            if deliveries.is_empty() { Value::Missing } else { Value::Words(taken) },
        ]);
    }
    section.table(table);
    if sent.len() > TOLD_MAX {
        section.say(format!("{} later alerts are left out here.", sent.len() - TOLD_MAX));
    }
    let by_alerts: BTreeSet<&str> = sent
        .iter()
        .map(|sent| sent.alert.cluster.as_str())
        .filter(|name| name.starts_with("c-") && !known(name))
        .collect();
    if !by_alerts.is_empty() {
        let names: Vec<&str> = by_alerts.iter().copied().take(TOLD_MAX).collect();
        section.say(format!(
            "Known by their alerts alone, since they became part of another cluster or their cells are forgotten: {}.",
            names.join(", ")
        ));
    }
    section
}

fn answers(section: &mut Section, sent: &[Sent]) {
    let mut counts: BTreeMap<&str, BTreeMap<&'static str, u64>> = BTreeMap::new();
    for one in sent.iter().flat_map(|sent| &sent.deliveries) {
        *counts.entry(&one.destination).or_default().entry(one.fate.name()).or_default() += 1;
    }
    let mut items = Vec::new();
    for (destination, fates) in counts {
        let fates: Vec<String> = fates.iter().map(|(fate, n)| format!("{n} {fate}")).collect();
        items.push(Words::default().name(destination).say(format!(": {}", fates.join(", "))));
    }
    if items.is_empty() {
        section.say("No destination has answered any of them: the store was replayed, or nothing was delivered yet.");
    }
    section.list(items);
    let n_waiting: u64 = sent.iter().map(|sent| sent.n_waiting).sum();
    if n_waiting > 0 {
        section.say(format!("Answers that are still to come: {n_waiting} (panicsift outbox list)."));
    }
}

/// The section on how long it took.
pub(super) fn times(begun: &[Begun], recovery_ms: Option<(u32, u64)>) -> Section {
    let mut section = Section::new("times", "Detection and containment");
    match recovery_ms {
        Some((middle, n)) => section.say(format!(
            "Recovery of a single panic, as {n} events tell it: median {middle} ms (to within a quarter).",
        )),
        None => section.say("No event tells how long its recovery took."),
    }
    let hostile: Vec<&Begun> = begun.iter().filter(|one| one.category == Category::HostileInput).collect();
    if hostile.is_empty() {
        section.say("No hostile cluster was first alerted in the period, so there is no detection time to tell.");
    } else {
        section.say(format!(
            "Detection, from a hostile cluster's first event to its first alert: {}.",
            median_words(&median(hostile.iter().map(|one| one.detection())))
        ));
        section.say(format!(
            "Containment, from its first event to its last one before it was closed: {}.",
            median_words(&median(hostile.iter().map(|one| one.containment())))
        ));
    }
    let mut table = Table::new(
        "times",
        &[
            ("cluster", "cluster or situation"),
            ("category", "about"),
            ("first_event", "first event"),
            ("alerted", "first alert"),
            ("detection_ms", "detection"),
            ("last_event", "last event"),
            ("closed", "closed"),
            ("containment_ms", "containment"),
        ],
    );
    for one in begun.iter().take(TOLD_MAX) {
        table.push(vec![
            Value::words(one.name.as_str()),
            Value::words(one.category.name().replace('_', " ")),
            Value::Time(one.first_event),
            Value::Time(Some(one.alerted)),
            Value::Duration(one.detection()),
            Value::Time(one.last_event),
            Value::Time(one.closed),
            Value::Duration(one.containment()),
        ]);
    }
    section.table(table);
    section
}
