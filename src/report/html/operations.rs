//! Operations: what the people on call were alerted on, and what became of panics, by service and release.
//!
//! Reads the lives of operations alerts, with the words of the alert that was told last, and the ledger over all that it
//! holds. Every panic burns an error budget in one of five ways, so the columns of a row add up to its panics.

use std::collections::BTreeMap;
use std::io;

use anyhow::Result;

use super::facts::Facts;
use super::figures::{
    counted, grouped, number, percent, scrolling, severity_mark, table_head, td_number, td_spare, words,
};
use super::markup::{Markup, attr, tag};
use crate::pipeline::alert::{Category, Severity};
use crate::pipeline::event::Millis;
use crate::pipeline::operations::tally::{Burn, Counter, Tally};
use crate::pipeline::surfaces::ReleaseKey;
use crate::report::list::to_the_minute;

/// Situations that get a row: those that are open, then those that ended last.
const SITUATIONS_MAX: usize = 50;

/// Releases that get a row, those with the most panics.
const RELEASES_MAX: usize = 40;

/// Writes the section.
pub(super) fn fill(facts: &Facts<'_>, m: &mut Markup<'_>) -> Result<()> {
    let situations = situations(facts)?;
    let n_open = situations.iter().filter(|one| one.to.is_none()).count();
    let told = match (n_open, situations.len()) {
        (0, 0) => "No storm, retry cascade, rollback or error budget was alerted in the last two days.".to_owned(),
        (0, _) => "None of these is open.".to_owned(),
        (n, _) => format!("{n} of these are open."),
    };
    m.leaf(tag::P, &[], told)?;
    if !situations.is_empty() {
        situation_table(&situations, m)?;
    }
    Ok(release_table(facts, m)?)
}

struct Situation {
    category: Category,
    severity: Severity,
    since: Millis,
    /// When it ended; `None`: it is open.
    to: Option<Millis>,
    title: String,
}

fn situations(facts: &Facts<'_>) -> Result<Vec<Situation>> {
    let mut situations = Vec::new();
    for (_, tenant) in facts.memory.state.tenants() {
        let alarms = tenant.operations().alarms();
        let open = alarms.open().map(|(key, alarm, name)| (key, alarm, name, None));
        let closed = alarms.closed().map(|(key, alarm, name)| (key, alarm, name, alarm.life.last_change));
        for (key, alarm, name, to) in open.chain(closed) {
            let last =
                facts.memory.store.map(|store| store.alerts_of(&name)).transpose()?.and_then(|mut all| all.pop());
            let title = last.map_or(name, |alert| alert.portrait.title);
            let (category, severity) = (key.category, alarm.life.told);
            situations.push(Situation { category, severity, since: alarm.since, to, title });
        }
    }
    situations.sort_by_key(|one| (one.to.is_some(), std::cmp::Reverse((one.to, one.severity)), one.since));
    Ok(situations)
}

fn situation_table(situations: &[Situation], m: &mut Markup<'_>) -> io::Result<()> {
    scrolling("Storms, cascades, rollbacks, budgets", m, |m| {
        m.within(tag::TABLE, &[attr::class("sort")], |m| {
            let columns =
                [words("since"), words("until"), words("kind"), words("severity"), words("what was told last")];
            table_head(&columns, m)?;
            m.within(tag::TBODY, &[], |m| {
                for one in situations.iter().take(SITUATIONS_MAX) {
                    if m.is_full() {
                        break;
                    }
                    m.within(tag::TR, &[], |m| {
                        m.leaf(tag::TD, &[attr::class("when")], to_the_minute(&one.since.to_string()))?;
                        let until = one.to.map_or_else(|| "open".to_owned(), |to| to_the_minute(&to.to_string()));
                        m.leaf(tag::TD, &[attr::class("when")], until)?;
                        m.leaf(tag::TD, &[], one.category.name().replace('_', " "))?;
                        m.within(tag::TD, &[attr::sort_value(one.severity as u8)], |m| severity_mark(one.severity, m))?;
                        m.within(tag::TD, &[attr::class("what")], |m| m.leaf(tag::BDI, &[], &one.title))
                    })?;
                }
                Ok(())
            })
        })
    })
}

fn release_table(facts: &Facts<'_>, m: &mut Markup<'_>) -> io::Result<()> {
    let mut rows: BTreeMap<(String, String), Tally> = BTreeMap::new();
    let mut extent: Option<(Millis, Millis)> = None;
    for (_, tenant) in facts.memory.state.tenants() {
        let ledger = tenant.operations().ledger();
        let Some(span) = ledger.extent() else { continue };
        extent = Some(extent.map_or((span.from, span.to), |(from, to)| (from.min(span.from), to.max(span.to))));
        for ((service, release), tally) in ledger.tallies(span, |account| Some((account.service, account.release))) {
            let service = service.map_or_else(|| "further services".to_owned(), |id| tenant.name(id));
            let release = match release {
                ReleaseKey::One(id) => tenant.name(id),
                ReleaseKey::Untold => "not told".to_owned(),
                ReleaseKey::Others => "others".to_owned(),
            };
            rows.entry((service, release)).or_default().merge_without_breadth(&tally);
        }
    }
    let Some((from, to)) = extent else { return Ok(()) };
    let mut rows: Vec<((String, String), Tally)> = rows.into_iter().collect();
    rows.sort_by(|a, b| b.1.get(Counter::Events).cmp(&a.1.get(Counter::Events)).then_with(|| a.0.cmp(&b.0)));
    let (from, to) = (to_the_minute(&from.to_string()), to_the_minute(&to.to_string()));
    m.leaf(tag::H3, &[], format!("What became of panics, {from} to {to}"))?;
    scrolling("What became of panics", m, |m| {
        m.within(tag::TABLE, &[attr::class("sort")], |m| {
            let columns = [
                words("service"),
                words("release"),
                number("panics"),
                number("caught").spare(),
                number("real failures"),
                number("made good"),
                number("hostile"),
                number("announced").spare(),
                number("not known").spare(),
            ];
            table_head(&columns, m)?;
            m.within(tag::TBODY, &[], |m| {
                for ((service, release), tally) in rows.iter().take(RELEASES_MAX) {
                    if m.is_full() {
                        break;
                    }
                    m.within(tag::TR, &[], |m| release_row((service, release), tally, m))?;
                }
                Ok(())
            })
        })
    })?;
    let more = rows.len().saturating_sub(RELEASES_MAX);
    let more =
        if more > 0 { format!(" {} more have fewer panics.", counted(more as u64, "release")) } else { String::new() };
    let words = format!(
        "Real failures were seen by users; made good: answered below 500, or a retry succeeded; hostile: held for hostile \
         when they came. panicsift triage, report releases and report budget tell more.{more}"
    );
    m.leaf(tag::P, &[attr::class("quiet")], words)
}

fn release_row((service, release): (&str, &str), tally: &Tally, m: &mut Markup<'_>) -> io::Result<()> {
    let get = |burn: Burn| tally.get(burn.counter());
    m.within(tag::TD, &[], |m| m.leaf(tag::BDI, &[], service))?;
    m.within(tag::TD, &[], |m| m.leaf(tag::BDI, &[], release))?;
    td_number(grouped(tally.get(Counter::Events)), m)?;
    let (handled, unhandled) = (tally.get(Counter::Handled), tally.get(Counter::Unhandled));
    td_spare(percent(handled, handled + unhandled), m)?;
    td_number(grouped(get(Burn::Real)), m)?;
    td_number(grouped(get(Burn::Transient)), m)?;
    td_number(grouped(get(Burn::Hostile)), m)?;
    td_spare(grouped(get(Burn::Announced)), m)?;
    td_spare(grouped(get(Burn::Unknown)), m)
}
