//! The clusters of the highest rank with all that is known of each: when, why, where, who, what was told.
//!
//! Closed until somebody opens one; the first ones with an open alert are open. Lists are cut where `report show` is not
//! ([`LISTED_MAX`]). A cluster that finds no room keeps its place, so that links to it lead somewhere, and the command
//! that shows it.

use std::io;

use anyhow::Result;

use super::facts::{Card, Facts, SHOWN_IN_FULL_MAX};
use super::figures::{grouped, grouped_len, severity_mark, small_bar, verdict_chip};
use super::markup::{Anchor, Markup, attr, tag};
use super::picture::{self, Timeline, Window};
use super::{alerts, evidence, shapes};
use crate::pipeline::alert::Counted;
use crate::pipeline::event::Millis;
use crate::pipeline::sample::{HOURS_KEPT, MINUTES_KEPT};
use crate::report::{explain, show};

/// Names of one list.
const LISTED_MAX: usize = 6;

/// Addresses and examples of a cluster.
const SAMPLED_MAX: usize = 8;

/// Clusters that are open from the start.
const OPEN_MAX: usize = 3;

/// Writes the section.
pub(super) fn fill(facts: &Facts<'_>, m: &mut Markup<'_>) -> Result<()> {
    if facts.cards.is_empty() {
        return Ok(m.leaf(tag::P, &[], "There are no clusters yet.")?);
    }
    let shown = facts.cards.iter().filter_map(|card| Some((card, card.place.as_ref()?)));
    for (at, (card, place)) in shown.enumerate() {
        let is_open = at < OPEN_MAX && card.open_since.is_some();
        if m.is_full() {
            stub(card, place, m)?;
        } else {
            cluster(facts, card, place, is_open, m)?;
        }
    }
    if facts.n_clusters() > SHOWN_IN_FULL_MAX {
        let words = format!(
            "The {} clusters of the highest rank; panicsift report show CLUSTER tells all of any other.",
            grouped_len(SHOWN_IN_FULL_MAX)
        );
        m.leaf(tag::P, &[attr::class("quiet")], words)?;
    }
    Ok(())
}

fn stub(card: &Card<'_>, place: &Anchor, m: &mut Markup<'_>) -> io::Result<()> {
    let words = format!("{}: no room on this page; panicsift report show {}", card.id, card.id);
    m.leaf(tag::P, &[attr::id(place), attr::class("quiet")], words)
}

fn cluster(facts: &Facts<'_>, card: &Card<'_>, place: &Anchor, is_open: bool, m: &mut Markup<'_>) -> Result<()> {
    let told = show::told(facts.memory, card.cluster)?;
    let mut attributes = vec![attr::id(place), attr::class("card")];
    if is_open {
        attributes.push(attr::open(""));
    }
    Ok(m.within(tag::DETAILS, &attributes, |m| {
        m.within(tag::SUMMARY, &[], |m| summary(card, m))?;
        m.within(tag::DIV, &[attr::class("body")], |m| {
            if let Some(words) = explain::analyst(&card.id, &card.portrait) {
                m.leaf(tag::P, &[], words)?;
            }
            times(card, m)?;
            evidence::fill(card, m)?;
            brief(card, m)?;
            lists(card, m)?;
            m.within(tag::DIV, &[attr::class("columns")], |m| {
                m.within(tag::DIV, &[], |m| shapes::of_one(card, LISTED_MAX, m))?;
                m.within(tag::DIV, &[], |m| {
                    if facts.memory.store.is_some() {
                        alerts::of_one(&told, m)?;
                    }
                    samples(card, m)
                })
            })?;
            let words = format!("Ask on: panicsift report show {0}; panicsift report explain {0}", card.id);
            m.leaf(tag::P, &[attr::class("quiet")], words)
        })
    })?)
}

fn summary(card: &Card<'_>, m: &mut Markup<'_>) -> io::Result<()> {
    let portrait = &card.portrait;
    verdict_chip(portrait.verdict, m)?;
    m.text(" ")?;
    severity_mark(portrait.severity, m)?;
    m.text(" ")?;
    m.leaf(tag::SPAN, &[attr::class("id")], &card.id)?;
    m.text(" ")?;
    m.leaf(tag::SPAN, &[attr::class("points")], format!("{:.2} points", portrait.points))?;
    m.text(" ")?;
    m.leaf(tag::BDI, &[attr::class("title")], &portrait.title)
}

/// Technique and next step of a hostile cluster.
fn brief(card: &Card<'_>, m: &mut Markup<'_>) -> io::Result<()> {
    if let Some(line) = show::technique_line(&card.portrait) {
        m.leaf(tag::P, &[], line)?;
    }
    if card.portrait.next_step.is_empty() {
        return Ok(());
    }
    m.leaf(tag::P, &[], format!("Next: {}.", card.portrait.next_step))
}

fn times(card: &Card<'_>, m: &mut Markup<'_>) -> io::Result<()> {
    let portrait = &card.portrait;
    m.leaf(tag::H3, &[], "When")?;
    let n_of_senders: u64 = portrait.recovery.iter().map(|outcome| outcome.events).sum();
    let more = if n_of_senders > portrait.counts.events {
        let all = grouped(n_of_senders);
        format!(
            " Times, networks and what follows from senders count all {all} events of its cells, or of its suspects."
        )
    } else {
        String::new()
    };
    let words = format!("First event {}, last {}.{more}", portrait.first_event, portrait.last_event);
    m.leaf(tag::P, &[attr::class("quiet")], words)?;
    let (hours, minutes): (Vec<_>, Vec<_>) = (card.minutes.hours().collect(), card.minutes.minutes().collect());
    m.within(tag::DIV, &[attr::class("columns")], |m| {
        for (bucket, length, n, counts) in
            [("hour", Millis::HOUR, HOURS_KEPT, &hours), ("minute", Millis::MINUTE, MINUTES_KEPT, &minutes)]
        {
            if let Some(window) = Window::around(counts, length, n) {
                picture::timeline(&Timeline { what: "events", bucket, window }, counts, m)?;
            }
        }
        Ok(())
    })
}

/// The portrait's lists side by side, each with its bars.
fn lists(card: &Card<'_>, m: &mut Markup<'_>) -> io::Result<()> {
    m.leaf(tag::H3, &[], "Where, who, what")?;
    m.within(tag::DIV, &[attr::class("lists")], |m| {
        // Shapes have a table of their own.
        for (name, counted) in show::named_lists(&card.portrait).into_iter().filter(|(name, _)| *name != "shape") {
            if !counted.is_empty() {
                m.within(tag::DIV, &[attr::class("list")], |m| list(name, &counted, m))?;
            }
        }
        Ok(())
    })
}

fn list(name: &str, counted: &[Counted], m: &mut Markup<'_>) -> io::Result<()> {
    let whole: u64 = counted.iter().map(|counted| counted.events).fold(0, u64::saturating_add);
    m.leaf(tag::H4, &[], name)?;
    m.within(tag::UL, &[], |m| {
        for Counted { name, events } in counted.iter().take(LISTED_MAX) {
            m.within(tag::LI, &[], |m| {
                m.leaf(tag::BDI, &[], name)?;
                m.leaf(tag::SPAN, &[], grouped(*events))?;
                small_bar(*events, whole, m)
            })?;
        }
        match counted.len().saturating_sub(LISTED_MAX) {
            0 => Ok(()),
            more => m.leaf(tag::LI, &[attr::class("quiet")], format!("and {more} more")),
        }
    })
}

/// Events and addresses to look at, lineage, and what its secondary panics go back to.
fn samples(card: &Card<'_>, m: &mut Markup<'_>) -> io::Result<()> {
    let portrait = &card.portrait;
    if !portrait.examples.is_empty() {
        m.leaf(tag::H3, &[], "Events to look at")?;
        m.within(tag::UL, &[], |m| {
            for example in portrait.examples.iter().take(SAMPLED_MAX) {
                m.within(tag::LI, &[], |m| {
                    m.leaf(tag::BDI, &[attr::class("id")], &example.event_id)?;
                    let place = format!(" at {} {}@{}", example.topic, example.partition, example.offset);
                    m.leaf(tag::BDI, &[attr::class("quiet")], place)
                })?;
            }
            Ok(())
        })?;
    }
    if !portrait.addresses.is_empty() {
        m.leaf(tag::H3, &[], format!("Addresses, a sample of {}", grouped(portrait.counts.addresses)))?;
        let shown: Vec<&str> = portrait.addresses.iter().take(SAMPLED_MAX).map(String::as_str).collect();
        m.leaf(tag::P, &[attr::class("id")], shown.join("  "))?;
    }
    if let Some(causation) = card.tenant.causation(card.cluster) {
        m.leaf(tag::H3, &[], "Consequences")?;
        m.leaf(tag::P, &[], show::consequence_line(&causation))?;
    }
    if !portrait.lineage.is_empty() {
        m.leaf(tag::H3, &[], "Lineage")?;
        m.leaf(tag::P, &[attr::class("id")], portrait.lineage.join("  "))?;
    }
    Ok(())
}
