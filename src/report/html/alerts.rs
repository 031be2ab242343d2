//! Alerts told, the newest first, and what became of each at every destination.
//!
//! Reads the newest [`ALERTS_MAX`] alerts that the store still keeps, also those of clusters that are no more. A
//! destination that reads the outbox and has not answered is told as waiting.

use std::collections::BTreeMap;
use std::io;

use anyhow::Result;

use super::facts::Facts;
use super::figures::{counted, grouped, number, scrolling, severity_mark, table_head, td_number, words};
use super::markup::{Anchor, Markup, attr, tag};
use crate::edge::store::{Delivery, Fate, Store, WAITING};
use crate::pipeline::alert::{Alert, Category};
use crate::report::list::to_the_minute;

/// Alerts that get a row.
const ALERTS_MAX: usize = 100;

/// Alerts of one cluster, the newest: a life has a handful.
const OF_ONE_MAX: usize = 10;

/// Destinations with their fates that are counted, before the table.
const STANDINGS_MAX: usize = 40;

/// Longest answer of a destination that is told, in characters: the whole is told by `outbox list`.
const DETAIL_CHARS_MAX: usize = 120;

/// Writes the section.
pub(super) fn fill(facts: &Facts<'_>, m: &mut Markup<'_>) -> Result<()> {
    let Some(store) = facts.memory.store else {
        return Ok(m.leaf(tag::P, &[], "There is no store, so nothing was sent.")?);
    };
    destinations(facts, m)?;
    let alerts = store.newest_alerts(ALERTS_MAX + 1)?;
    if alerts.is_empty() {
        return Ok(m.leaf(tag::P, &[], "No alert was told.")?);
    }
    let rows = alerts.iter().take(ALERTS_MAX).map(|alert| Ok((alert, answers(facts, store, alert)?)));
    let rows: Vec<(&Alert, Vec<Answer>)> = rows.collect::<Result<_>>()?;
    let shown: BTreeMap<&str, &Anchor> =
        facts.cards.iter().filter_map(|card| Some((card.id.as_str(), card.place.as_ref()?))).collect();
    let mut n_rows = 0;
    scrolling("Alerts", m, |m| {
        m.within(tag::TABLE, &[attr::class("sort")], |m| {
            let columns = [
                words("decided at"),
                words("change"),
                words("severity"),
                words("about"),
                number("points"),
                words("delivery"),
            ];
            table_head(&columns, m)?;
            m.within(tag::TBODY, &[], |m| {
                for (alert, answers) in &rows {
                    if m.is_full() {
                        break;
                    }
                    n_rows += 1;
                    m.within(tag::TR, &[], |m| row(alert, shown.get(alert.cluster.as_str()).copied(), answers, m))?;
                }
                Ok(())
            })
        })
    })?;
    if n_rows < alerts.len() {
        let words = format!("The newest {n_rows}; panicsift outbox list tells all that are kept.");
        m.leaf(tag::P, &[attr::class("quiet")], words)?;
    }
    Ok(())
}

/// What one destination said.
struct Answer {
    destination: String,
    fate: Option<Fate>,
    words: String,
}

fn answers(facts: &Facts<'_>, store: &Store, alert: &Alert) -> Result<Vec<Answer>> {
    let given = store.deliveries_of(&alert.alert_id)?;
    let mut answers: BTreeMap<String, Answer> = BTreeMap::new();
    for count in &facts.outbox {
        let destination = count.destination.clone();
        answers.insert(destination.clone(), Answer { destination, fate: None, words: String::new() });
    }
    for Delivery { destination, fate, detail, attempts, .. } in given {
        let detail: String = detail.chars().take(DETAIL_CHARS_MAX).collect();
        let requests = if attempts == 1 { String::new() } else { format!(" after {attempts} requests") };
        let detail = if detail.is_empty() { String::new() } else { format!(": {detail}") };
        let words = format!("{requests}{detail}");
        answers.insert(destination.clone(), Answer { destination, fate: Some(fate), words });
    }
    Ok(answers.into_values().collect())
}

fn row(alert: &Alert, place: Option<&Anchor>, answers: &[Answer], m: &mut Markup<'_>) -> io::Result<()> {
    m.leaf(tag::TD, &[attr::class("when")], to_the_minute(&alert.at))?;
    m.leaf(tag::TD, &[], alert.change.name())?;
    let severity = alert.portrait.severity;
    m.within(tag::TD, &[attr::sort_value(severity as u8)], |m| severity_mark(severity, m))?;
    let is_hostile = alert.category == Category::HostileInput;
    m.within(tag::TD, &[], |m| {
        match place {
            Some(place) => m.leaf(tag::A, &[attr::class("id"), attr::to(place)], &alert.cluster)?,
            None => m.leaf(tag::SPAN, &[attr::class("id")], &alert.cluster)?,
        }
        // A cluster is told below; a situation of operations has no other place.
        if is_hostile { Ok(()) } else { m.leaf(tag::DIV, &[attr::class("quiet")], &alert.portrait.title) }
    })?;
    td_number(if is_hostile { format!("{:.2}", alert.portrait.points) } else { "–".to_owned() }, m)?;
    m.within(tag::TD, &[attr::class("what")], |m| {
        if answers.is_empty() {
            return m.leaf(tag::SPAN, &[attr::class("quiet")], "no destination reads it yet");
        }
        for answer in answers {
            m.within(tag::DIV, &[], |m| {
                m.leaf(tag::BDI, &[], &answer.destination)?;
                m.text(" ")?;
                fate_chip(answer.fate, m)?;
                m.leaf(tag::BDI, &[attr::class("quiet")], &answer.words)
            })?;
        }
        Ok(())
    })
}

/// What became of it, by its word as well as by its colour.
fn fate_chip(fate: Option<Fate>, m: &mut Markup<'_>) -> io::Result<()> {
    let class = match fate {
        None => "chip undecided",
        Some(Fate::Refused | Fate::Dropped) => "chip hostile",
        Some(fate) if fate.is_taken() => "chip benign",
        Some(_) => "chip",
    };
    m.leaf(tag::SPAN, &[attr::class(class)], fate.map_or(WAITING, Fate::name))
}

/// How many stand how with each destination.
fn destinations(facts: &Facts<'_>, m: &mut Markup<'_>) -> io::Result<()> {
    let told: Vec<_> = facts.outbox.iter().filter(|count| count.alerts > 0).collect();
    if told.is_empty() {
        return Ok(());
    }
    m.within(tag::UL, &[attr::class("inline")], |m| {
        for count in told.into_iter().take(STANDINGS_MAX) {
            m.within(tag::LI, &[], |m| {
                m.leaf(tag::BDI, &[], &count.destination)?;
                m.text(" ")?;
                fate_chip(count.fate, m)?;
                m.text(format!(" {}", grouped(count.alerts)))
            })?;
        }
        Ok(())
    })
}

/// The alerts of one cluster, as `show` tells them.
pub(super) fn of_one(told: &[crate::report::show::Told], m: &mut Markup<'_>) -> io::Result<()> {
    let n = u64::try_from(told.len()).unwrap_or(u64::MAX);
    m.leaf(tag::H3, &[], counted(n, "alert"))?;
    if told.is_empty() {
        return m.leaf(tag::P, &[attr::class("quiet")], "None was told of it.");
    }
    let n_left_out = told.len().saturating_sub(OF_ONE_MAX);
    if n_left_out > 0 {
        m.leaf(tag::P, &[attr::class("quiet")], format!("{n_left_out} earlier ones, and:"))?;
    }
    m.within(tag::UL, &[], |m| {
        for alert in told.iter().skip(n_left_out) {
            if m.is_full() {
                break;
            }
            m.within(tag::LI, &[], |m| {
                m.text(format!("{} at {}, ", alert.change.name(), to_the_minute(&alert.at)))?;
                severity_mark(alert.severity, m)?;
                m.leaf(tag::SPAN, &[attr::class("quiet")], format!(", id {}", alert.alert_id))?;
                for answer in &alert.deliveries {
                    m.leaf(tag::DIV, &[attr::class("quiet")], crate::report::show::answer_line(answer))?;
                }
                if alert.deliveries.is_empty() {
                    m.leaf(tag::DIV, &[attr::class("quiet")], "no destination has answered yet")?;
                }
                Ok(())
            })?;
        }
        Ok(())
    })
}
