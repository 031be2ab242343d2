//! The table of clusters by rank: one row each, to be sorted and filtered, with when it happened over the last two days.
//!
//! All rows share one window of time, that before the newest event of the store, so that what happened together is seen
//! together. The service has a column where there is more than one. Rows that find no room are counted; `panicsift report list` has them all.

use std::collections::BTreeSet;
use std::io;

use anyhow::Result;

use super::facts::{Card, Facts};
use super::figures::{
    cluster_link, grouped, grouped_len, number, scrolling, severity_mark, table_head, td_number, td_spare,
    verdict_chip, words,
};
use super::markup::{Anchor, Markup, attr, tag};
use super::overview;
use super::picture::{self, Window};
use crate::pipeline::alert::{Counted, Verdict};
use crate::report::list::to_the_minute;

/// Writes the section.
pub(super) fn fill(facts: &Facts<'_>, m: &mut Markup<'_>) -> Result<()> {
    if facts.cards.is_empty() {
        return Ok(m.leaf(tag::P, &[], "There are no clusters yet: nothing has been clustered.")?);
    }
    filter_field(m)?;
    let mut n_rows = 0;
    scrolling("Clusters", m, |m| table(facts, &mut n_rows, m))?;
    let told = if n_rows < facts.n_clusters() {
        format!(
            "{} of {} clusters, those of the highest rank; panicsift report list --limit N ranks all of them.",
            grouped_len(n_rows),
            grouped_len(facts.n_clusters())
        )
    } else {
        format!("All {} clusters.", grouped_len(n_rows))
    };
    let pictures =
        "The pictures count events by hour over the two days before the newest event, each to its own scale.";
    Ok(m.leaf(tag::P, &[attr::class("quiet")], format!("{told} {pictures}"))?)
}

/// Where the script filters; without it the field is not shown.
fn filter_field(m: &mut Markup<'_>) -> io::Result<()> {
    let (field, table) = (Anchor::of("filter"), Anchor::of("clusters-table"));
    m.within(tag::P, &[attr::class("filter"), attr::hidden("")], |m| {
        m.leaf(tag::LABEL, &[attr::for_id(&field)], "Filter")?;
        m.text(" ")?;
        m.void(
            tag::INPUT,
            &[
                attr::kind("search"),
                attr::id(&field),
                attr::aria_controls(&table),
                attr::spellcheck("false"),
                attr::placeholder("words that a row must hold: hostile orders   ( / )"),
            ],
        )?;
        m.text(" ")?;
        m.leaf(tag::OUTPUT, &[attr::for_id(&field), attr::class("quiet")], "")
    })
}

fn table(facts: &Facts<'_>, n_rows: &mut usize, m: &mut Markup<'_>) -> io::Result<()> {
    let id = attr::id(&Anchor::of("clusters-table"));
    m.within(tag::TABLE, &[id, attr::class("sort clusters")], |m| {
        let mut columns = vec![
            words("cluster"),
            words("verdict"),
            words("severity"),
            number("points"),
            number("events"),
            number("senders").spare(),
            number("addr.").spare(),
            number("shapes").spare(),
            words("last event").spare(),
            words("when").spare(),
        ];
        let services: BTreeSet<&str> =
            facts.cards.iter().flat_map(|card| &card.portrait.services).map(|service| service.name.as_str()).collect();
        let tells_service = services.len() > 1;
        columns.extend(tells_service.then(|| words("service")));
        columns.extend([words("route"), words("class").spare()]);
        table_head(&columns, m)?;
        let window = overview::hours(facts);
        m.within(tag::TBODY, &[], |m| {
            for card in &facts.cards {
                if m.is_full() {
                    break;
                }
                m.within(tag::TR, &[], |m| row(card, window, tells_service, m))?;
                *n_rows += 1;
            }
            Ok(())
        })
    })
}

fn row(card: &Card<'_>, window: Option<Window>, tells_service: bool, m: &mut Markup<'_>) -> io::Result<()> {
    let portrait = &card.portrait;
    let counts = portrait.counts;
    m.within(tag::TD, &[], |m| cluster_link(card, m))?;
    let rank = match portrait.verdict {
        Verdict::Hostile => 2,
        Verdict::Undecided => 1,
        Verdict::Benign => 0,
    };
    m.within(tag::TD, &[attr::sort_value(rank)], |m| verdict_chip(portrait.verdict, m))?;
    let severity = attr::sort_value(portrait.severity as u8);
    m.within(tag::TD, &[severity], |m| severity_mark(portrait.severity, m))?;
    td_number(format!("{:.2}", portrait.points), m)?;
    td_number(grouped(counts.events), m)?;
    td_spare(grouped(counts.actors), m)?;
    td_spare(grouped(counts.addresses), m)?;
    td_spare(grouped(counts.shapes), m)?;
    m.leaf(tag::TD, &[attr::class("when spare")], to_the_minute(&portrait.last_event))?;
    m.within(tag::TD, &[attr::class("spare")], |m| match window {
        Some(window) => picture::spark(window, &card.minutes.hours().collect::<Vec<_>>(), m),
        None => Ok(()),
    })?;
    if tells_service {
        first_of(&portrait.services, "", m)?;
    }
    first_of(&portrait.routes, "what", m)?;
    first_of(&portrait.classes, "spare", m)
}

/// The most frequent of a list, and how many others there are.
fn first_of(list: &[Counted], class: &'static str, m: &mut Markup<'_>) -> io::Result<()> {
    let attributes: Vec<_> = Some(class).filter(|class| !class.is_empty()).map(attr::class).into_iter().collect();
    m.within(tag::TD, &attributes, |m| {
        let Some(first) = list.first() else { return Ok(()) };
        m.leaf(tag::BDI, &[], &first.name)?;
        match list.len().saturating_sub(1) {
            0 => Ok(()),
            more => m.leaf(tag::SPAN, &[attr::class("quiet")], format!(" +{more}")),
        }
    })
}
