//! The first screen: how much there is, what needs a look first, when it happened, whose it is.
//!
//! What needs a look is chosen by four rules, in this order: alerts that are open; alerts that no destination took;
//! faults that left their boundary although nobody is hostile; clusters a little short of the threshold. Each says why.

use std::io;

use anyhow::Result;

use super::facts::{Card, Facts};
use super::figures::{
    bar, cluster_link, counted, grouped, grouped_len, number, percent, scrolling, severity_mark, table_head, td_number,
    verdict_chip, words,
};
use super::markup::{Markup, attr, tag};
use super::picture::{self, Timeline, Window};
use crate::edge::store::Fate;
use crate::pipeline::alert::{Severity, Verdict};
use crate::pipeline::event::{Millis, RecoveryOutcome};
use crate::pipeline::sample::HOURS_KEPT;
use crate::report::list::to_the_minute;

/// Clusters that one rule of "look at first" names.
const LOOKS_MAX: usize = 6;

/// Points below the threshold at which a cluster is worth a look: one more line of evidence.
const SHORT_POINTS: f64 = 1.0;

/// Writes the section.
pub(super) fn fill(facts: &Facts<'_>, m: &mut Markup<'_>) -> Result<()> {
    tiles(facts, m)?;
    m.within(tag::DIV, &[attr::class("columns")], |m| {
        m.within(tag::DIV, &[], |m| looks(facts, m))?;
        m.within(tag::DIV, &[], |m| {
            whole_time(facts, m)?;
            recoveries(facts, m)
        })
    })?;
    if facts.tenants.len() > 1 {
        tenants(facts, m)?;
    }
    Ok(())
}

/// One figure with its name and what it consists of.
fn tile(name: &str, figure: &str, words: &str, m: &mut Markup<'_>) -> io::Result<()> {
    m.within(tag::DIV, &[attr::class("tile")], |m| {
        m.leaf(tag::DT, &[], name)?;
        m.leaf(tag::DD, &[attr::class("figure")], figure)?;
        m.leaf(tag::DD, &[attr::class("quiet")], words)
    })
}

fn tiles(facts: &Facts<'_>, m: &mut Markup<'_>) -> io::Result<()> {
    let census = &facts.census;
    let lost: u64 = census
        .recovered()
        .filter(|(outcome, _)| matches!(outcome, RecoveryOutcome::Escaped | RecoveryOutcome::Aborted))
        .map(|(_, events)| events)
        .sum();
    m.within(tag::DL, &[attr::class("tiles")], |m| {
        tile("Open alerts", &grouped_len(facts.n_open), &alerts_words(facts), m)?;
        let others = format!("{} undecided, {} benign", grouped_len(facts.n_undecided), grouped_len(facts.n_benign));
        tile("Hostile clusters", &grouped_len(facts.n_hostile), &others, m)?;
        let suspects = u64::try_from(census.n_suspects).unwrap_or(u64::MAX);
        tile("Suspects", &grouped(suspects), "senders whose evidence is weighed", m)?;
        tile("Events", &grouped(census.n_events), &format!("in {} cells", grouped_len(census.n_cells)), m)?;
        let share = format!("{} of all: escaped or aborted", percent(lost, census.n_events));
        tile("Faults that got out", &grouped(lost), &share, m)
    })
}

/// `12 delivered, 1 waits, 2 refused`.
fn alerts_words(facts: &Facts<'_>) -> String {
    if facts.memory.store.is_none() {
        return "no store, so none was sent".to_owned();
    }
    if facts.outbox.is_empty() {
        return "no destination reads them yet".to_owned();
    }
    let taken = facts.n_alerts(|fate| fate.is_some_and(Fate::is_taken));
    let waiting = facts.n_alerts(|fate| fate.is_none());
    let refused = facts.n_alerts(|fate| fate == Some(Fate::Refused));
    format!("sent: {} taken, {} waiting, {} refused", grouped(taken), grouped(waiting), grouped(refused))
}

fn looks(facts: &Facts<'_>, m: &mut Markup<'_>) -> io::Result<()> {
    m.leaf(tag::H3, &[], "Look at first")?;
    let open: Vec<&Card<'_>> = by_severity(facts.cards.iter().filter(|card| card.open_since.is_some()));
    let loose: Vec<&Card<'_>> = by_severity(facts.cards.iter().filter(|card| is_loose(card)));
    let short: Vec<&Card<'_>> = facts.cards.iter().filter(|card| is_short(card)).collect();
    let stuck = stuck(facts);
    if open.is_empty() && loose.is_empty() && short.is_empty() && stuck.is_empty() {
        return m.leaf(tag::P, &[], "Nothing: no alert is open, none is held up, and no fault left its boundary.");
    }
    m.within(tag::OL, &[attr::class("looks")], |m| {
        for card in open.iter().take(LOOKS_MAX) {
            if m.is_full() {
                break;
            }
            look(card, &open_words(card), m)?;
        }
        for (words, command) in stuck {
            m.within(tag::LI, &[], |m| {
                m.leaf(tag::BDI, &[], words)?;
                m.text(": ")?;
                m.leaf(tag::CODE, &[], command)
            })?;
        }
        for card in loose.iter().take(LOOKS_MAX) {
            if m.is_full() {
                break;
            }
            look(card, &loose_words(card), m)?;
        }
        for card in short.iter().take(LOOKS_MAX) {
            if m.is_full() {
                break;
            }
            let portrait = &card.portrait;
            let words = format!("{:.2} points, hostile from {:.2} on", portrait.points, portrait.threshold);
            look(card, &words, m)?;
        }
        Ok(())
    })?;
    let left_out: usize = [open.len(), loose.len(), short.len()].map(|n| n.saturating_sub(LOOKS_MAX)).iter().sum();
    if left_out > 0 {
        let words = format!("and {} more of these kinds in the table below", grouped_len(left_out));
        m.leaf(tag::P, &[attr::class("quiet")], words)?;
    }
    Ok(())
}

fn by_severity<'c, 's>(cards: impl Iterator<Item = &'c Card<'s>>) -> Vec<&'c Card<'s>> {
    let mut cards: Vec<&Card<'_>> = cards.collect();
    cards.sort_by_key(|card| std::cmp::Reverse(card.portrait.severity));
    cards
}

fn look(card: &Card<'_>, words: &str, m: &mut Markup<'_>) -> io::Result<()> {
    m.within(tag::LI, &[], |m| {
        verdict_chip(card.portrait.verdict, m)?;
        m.text(" ")?;
        severity_mark(card.portrait.severity, m)?;
        m.text(" ")?;
        cluster_link(card, m)?;
        m.text(" ")?;
        m.leaf(tag::SPAN, &[attr::class("why")], words)?;
        m.leaf(tag::P, &[attr::class("title")], &card.portrait.title)
    })
}

fn open_words(card: &Card<'_>) -> String {
    let since = card.open_since.map(|at| to_the_minute(&at.to_string())).unwrap_or_default();
    format!("alert open since {since}, {:.2} points", card.portrait.points)
}

/// Whether faults got out although the cluster is not hostile.
fn is_loose(card: &Card<'_>) -> bool {
    card.open_since.is_none() && card.portrait.verdict != Verdict::Hostile && card.portrait.severity >= Severity::High
}

fn loose_words(card: &Card<'_>) -> String {
    let told: Vec<String> = ["escaped", "aborted"]
        .into_iter()
        .map(|outcome| (outcome, card.recovered(outcome)))
        .filter(|(_, events)| *events > 0)
        .map(|(outcome, events)| format!("{} {outcome}", grouped(events)))
        .collect();
    if told.is_empty() {
        return format!("{}, not hostile so far", counted(card.portrait.counts.events, "event"));
    }
    format!("not hostile so far, but faults got out: {}", told.join(", "))
}

/// Whether one more line of evidence would make it hostile.
fn is_short(card: &Card<'_>) -> bool {
    let portrait = &card.portrait;
    let has_evidence = !portrait.evidence.is_empty();
    portrait.verdict == Verdict::Undecided
        && card.open_since.is_none()
        && has_evidence
        && portrait.severity < Severity::High
        && portrait.points >= portrait.threshold - SHORT_POINTS
}

/// Destinations that hold up or refused alerts, with the command that lists these.
fn stuck(facts: &Facts<'_>) -> Vec<(String, String)> {
    let told = facts.outbox.iter().filter(|count| count.alerts > 0).filter_map(|count| {
        let (fate, happened) = match count.fate {
            None => ("waiting", "waiting for"),
            Some(Fate::Refused) => ("refused", "refused by"),
            Some(_) => return None,
        };
        let destination = &count.destination;
        let words = format!("{} {happened} {destination}", counted(count.alerts, "alert"));
        Some((words, format!("panicsift outbox list --destination {destination} --fate {fate}")))
    });
    told.take(LOOKS_MAX).collect()
}

/// The window of the store: up to two days before its newest event; nothing without events.
pub(super) fn hours(facts: &Facts<'_>) -> Option<Window> {
    let counts: Vec<(i64, u32)> = facts.census.minutes.hours().collect();
    Window::around(&counts, Millis::HOUR, HOURS_KEPT)
}

fn whole_time(facts: &Facts<'_>, m: &mut Markup<'_>) -> io::Result<()> {
    let Some(window) = hours(facts) else { return Ok(()) };
    m.leaf(tag::H3, &[], "When")?;
    let counts: Vec<(i64, u32)> = facts.census.minutes.hours().collect();
    picture::timeline(&Timeline { what: "events", bucket: "hour", window }, &counts, m)
}

fn recoveries(facts: &Facts<'_>, m: &mut Markup<'_>) -> io::Result<()> {
    let census = &facts.census;
    m.leaf(tag::H3, &[], "What became of the faults")?;
    m.within(tag::TABLE, &[attr::class("plain")], |m| {
        table_head(&[words("outcome"), number("events"), number("share"), words("")], m)?;
        m.within(tag::TBODY, &[], |m| {
            for (outcome, events) in census.recovered().filter(|(_, events)| *events > 0) {
                let class = match outcome {
                    RecoveryOutcome::Recovered => "good",
                    RecoveryOutcome::Escaped | RecoveryOutcome::Aborted => "bad",
                    _ => "part",
                };
                m.within(tag::TR, &[], |m| {
                    m.leaf(tag::TD, &[], outcome.name().replace('_', " "))?;
                    td_number(grouped(events), m)?;
                    td_number(percent(events, census.n_events), m)?;
                    m.within(tag::TD, &[attr::class("wide")], |m| bar(&[(class, events)], census.n_events, m))
                })?;
            }
            Ok(())
        })
    })
}

fn tenants(facts: &Facts<'_>, m: &mut Markup<'_>) -> io::Result<()> {
    m.leaf(tag::H3, &[], "Tenants")?;
    scrolling("Tenants", m, |m| {
        m.within(tag::TABLE, &[attr::class("sort")], |m| {
            let columns = [words("tenant"), number("events"), number("cells"), number("clusters"), number("hostile")];
            table_head(&columns, m)?;
            m.within(tag::TBODY, &[], |m| {
                for tenant in &facts.tenants {
                    if m.is_full() {
                        break;
                    }
                    m.within(tag::TR, &[], |m| {
                        let name = if tenant.name.is_empty() { "(the default tenant)" } else { &tenant.name };
                        m.within(tag::TD, &[], |m| m.leaf(tag::BDI, &[], name))?;
                        td_number(grouped(tenant.n_events), m)?;
                        td_number(grouped_len(tenant.n_cells), m)?;
                        td_number(grouped_len(tenant.n_clusters), m)?;
                        td_number(grouped_len(tenant.n_hostile), m)
                    })?;
                }
                Ok(())
            })
        })
    })
}
