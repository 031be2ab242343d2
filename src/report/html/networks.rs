//! Networks: whose addresses the events came from, and how many of them from suspects.
//!
//! Counts are those of the cells, so that no event is counted for two clusters. What cells do not name one by one and
//! what the tables do not know are lines of their own: the column adds up to all events. Suspects' events are counted
//! over all that they sent, also what has faded from the cells since; where that is more, the bar stays full.

use std::collections::BTreeMap;
use std::io;

use anyhow::Result;

use super::facts::{Card, Facts};
use super::figures::{
    bar, cluster_link, counted, grouped, grouped_len, number, percent, scrolling, table_head, td_number, td_spare,
    words,
};
use super::markup::{Markup, attr, tag};
use crate::pipeline::alert::Verdict;
use crate::pipeline::census::NetworkSeen;

/// Networks that get a line; further ones are one line together.
const NETWORKS_MAX: usize = 40;

/// Hostile clusters that are named for a network.
const CLUSTERS_NAMED: usize = 3;

/// Writes the section.
pub(super) fn fill(facts: &Facts<'_>, m: &mut Markup<'_>) -> Result<()> {
    let census = &facts.census;
    if census.networks.is_empty() {
        let words =
            "No address table named a network: set tables.asn in the configuration, or no event had an address.";
        return Ok(m.leaf(tag::P, &[], words)?);
    }
    let mut networks: Vec<(u64, &NetworkSeen)> = census.networks.iter().map(|(asn, seen)| (*asn, seen)).collect();
    networks.sort_by_key(|(asn, seen)| (std::cmp::Reverse(seen.of_suspects), std::cmp::Reverse(seen.events), *asn));
    let hostile = hostile_by_network(facts);
    scrolling("Networks", m, |m| {
        m.within(tag::TABLE, &[attr::class("sort")], |m| {
            let columns = [
                words("network"),
                words("organisation"),
                number("events"),
                number("share").spare(),
                number("of suspects"),
                words("events, suspects' in front"),
                words("hostile clusters").spare(),
            ];
            table_head(&columns, m)?;
            let whole = networks.iter().map(|(_, seen)| seen.events.max(seen.of_suspects)).max().unwrap_or(0);
            let mut n_told = 0;
            m.within(tag::TBODY, &[], |m| {
                for (asn, seen) in networks.iter().take(NETWORKS_MAX) {
                    if m.is_full() {
                        break;
                    }
                    n_told += 1;
                    let clusters = hostile.get(asn).map_or(&[][..], Vec::as_slice);
                    m.within(tag::TR, &[], |m| row(*asn, seen, (whole, census.n_events), clusters, m))?;
                }
                Ok(())
            })?;
            rest(facts, networks.get(n_told..).unwrap_or_default(), m)
        })
    })?;
    let words = "A row's bar is drawn to the largest network. Suspects first, then by events. A suspect's events are \
                 counted over all that it sent.";
    Ok(m.leaf(tag::P, &[attr::class("quiet")], words)?)
}

fn row(
    asn: u64,
    seen: &NetworkSeen,
    (whole, all): (u64, u64),
    clusters: &[&Card<'_>],
    m: &mut Markup<'_>,
) -> io::Result<()> {
    m.leaf(tag::TD, &[attr::class("id")], format!("AS{asn}"))?;
    m.within(tag::TD, &[], |m| m.leaf(tag::BDI, &[], seen.organisation.as_deref().unwrap_or("–")))?;
    td_number(grouped(seen.events), m)?;
    td_spare(percent(seen.events, all), m)?;
    td_number(grouped(seen.of_suspects), m)?;
    let honest = seen.events.saturating_sub(seen.of_suspects);
    m.within(tag::TD, &[attr::class("wide")], |m| bar(&[("bad", seen.of_suspects), ("part", honest)], whole, m))?;
    m.within(tag::TD, &[attr::class("ids spare"), attr::sort_value(clusters.len())], |m| {
        for card in clusters.iter().take(CLUSTERS_NAMED) {
            cluster_link(card, m)?;
            m.text(" ")?;
        }
        match clusters.len().saturating_sub(CLUSTERS_NAMED) {
            0 => Ok(()),
            more => m.leaf(tag::SPAN, &[attr::class("quiet")], format!("and {more} more")),
        }
    })
}

/// What has no line of its own, so that the column adds up.
fn rest(facts: &Facts<'_>, untold: &[(u64, &NetworkSeen)], m: &mut Markup<'_>) -> io::Result<()> {
    let census = &facts.census;
    let events: u64 = untold.iter().map(|(_, seen)| seen.events).sum();
    let of_suspects: u64 = untold.iter().map(|(_, seen)| seen.of_suspects).sum();
    let lines = [
        (format!("{} further networks", grouped_len(untold.len())), events, Some(of_suspects)),
        ("not named one by one in their cells".to_owned(), census.n_network_unnamed, None),
        ("not in the tables, or without an address".to_owned(), census.n_network_unknown, None),
    ];
    m.within(tag::TFOOT, &[], |m| {
        for (name, events, of_suspects) in lines.into_iter().filter(|(_, events, _)| *events > 0) {
            m.within(tag::TR, &[], |m| {
                m.leaf(tag::TD, &[attr::colspan(2)], name)?;
                td_number(grouped(events), m)?;
                td_spare(percent(events, census.n_events), m)?;
                td_number(of_suspects.map(grouped).unwrap_or_default(), m)?;
                m.leaf(tag::TD, &[], "")?;
                m.leaf(tag::TD, &[attr::class("spare")], "")
            })?;
        }
        m.within(tag::TR, &[attr::class("sum")], |m| {
            m.leaf(tag::TD, &[attr::colspan(2)], format!("all, {}", counted(census.n_events, "event")))?;
            td_number(grouped(census.n_events), m)?;
            td_spare(percent(census.n_events, census.n_events), m)?;
            td_number("", m)?;
            m.leaf(tag::TD, &[], "")?;
            m.leaf(tag::TD, &[attr::class("spare")], "")
        })
    })
}

/// The hostile clusters that are told, by the networks that their suspects came from.
fn hostile_by_network<'f, 's>(facts: &'f Facts<'s>) -> BTreeMap<u64, Vec<&'f Card<'s>>> {
    let mut by_network: BTreeMap<u64, Vec<&Card<'_>>> = BTreeMap::new();
    for card in facts.cards.iter().filter(|card| card.portrait.verdict == Verdict::Hostile) {
        for asn in card.tenant.networks_of(card.cluster) {
            by_network.entry(asn).or_default().push(card);
        }
    }
    by_network
}
