//! Shapes: of what structures the bodies in each cluster are, how many, and how alike.
//!
//! One row a cluster, hostile ones first, then those with the most shapes: its most frequent shape in the words of its coarse class, the
//! share of events that it has, and how near the others are to it by their sketches. A fuzzer has many shapes alike, a
//! broken client one. Shapes are keyed names; no value of a payload is anywhere near.

use std::io;

use anyhow::Result;

use super::facts::{Card, Facts};
use super::figures::{
    bar, cluster_link, counted, grouped, grouped_len, number, percent, scrolling, table_head, td_number, td_spare,
    verdict_chip, words,
};
use super::markup::{Markup, attr, tag};
use crate::pipeline::alert::Verdict;
use crate::pipeline::census::ShapeSeen;
use crate::pipeline::fingerprint::{Format, coarse_words};

/// Clusters that get a row.
const ROWS_MAX: usize = 40;

/// Writes the section.
pub(super) fn fill(facts: &Facts<'_>, m: &mut Markup<'_>) -> Result<()> {
    if facts.cards.is_empty() {
        return Ok(m.leaf(tag::P, &[], "There are no clusters yet.")?);
    }
    let mut cards: Vec<&Card<'_>> = facts.cards.iter().collect();
    cards.sort_by_key(|card| {
        (card.portrait.verdict != Verdict::Hostile, std::cmp::Reverse(card.portrait.counts.shapes))
    });
    let mut n_rows = 0;
    scrolling("Shapes by cluster", m, |m| {
        m.within(tag::TABLE, &[attr::class("sort")], |m| {
            let columns = [
                words("cluster"),
                words("verdict"),
                number("shapes"),
                number("events"),
                words("share of the most frequent shape"),
                number("of it").spare(),
                number("likeness"),
                words("the most frequent shape"),
            ];
            table_head(&columns, m)?;
            m.within(tag::TBODY, &[], |m| {
                for card in cards.into_iter().take(ROWS_MAX) {
                    if m.is_full() {
                        break;
                    }
                    n_rows += 1;
                    m.within(tag::TR, &[], |m| row(card, m))?;
                }
                Ok(())
            })
        })
    })?;
    let words = format!(
        "{} of {} clusters, hostile ones first, then those with the most shapes. Likeness: the mean Jaccard similarity of the other shapes to the most frequent one by \
         their sketches, weighed by events; 1.00 is the same structure.",
        grouped_len(n_rows),
        grouped_len(facts.n_clusters())
    );
    Ok(m.leaf(tag::P, &[attr::class("quiet")], words)?)
}

fn row(card: &Card<'_>, m: &mut Markup<'_>) -> io::Result<()> {
    let shapes = card.tenant.shapes_of(card.cluster);
    let events: u64 = shapes.iter().map(|shape| shape.events).sum();
    let main = shapes.first();
    let of_main = main.map_or(0, |shape| shape.events);
    m.within(tag::TD, &[], |m| cluster_link(card, m))?;
    let rank = match card.portrait.verdict {
        Verdict::Hostile => 2,
        Verdict::Undecided => 1,
        Verdict::Benign => 0,
    };
    m.within(tag::TD, &[attr::sort_value(rank)], |m| verdict_chip(card.portrait.verdict, m))?;
    td_number(grouped_len(shapes.len()), m)?;
    td_number(grouped(events), m)?;
    let share = attr::sort_value(percent(of_main, events));
    m.within(tag::TD, &[attr::class("wide"), share], |m| {
        bar(&[("part", of_main), ("rest", events.saturating_sub(of_main))], events, m)
    })?;
    td_spare(percent(of_main, events), m)?;
    td_number(likeness(&shapes).map(|mean| format!("{mean:.2}")).unwrap_or_default(), m)?;
    m.within(tag::TD, &[attr::class("what")], |m| main.map_or(Ok(()), |main| m.text(shape_words(main))))
}

/// Mean likeness of the other shapes to the first, weighed by events; nothing where there are no others.
fn likeness(shapes: &[ShapeSeen]) -> Option<f64> {
    let weight = |shape: &ShapeSeen| crate::pipeline::sample::count_f64(shape.events);
    let others = shapes.get(1..)?;
    let sum: f64 = others.iter().map(|shape| shape.likeness * weight(shape)).sum();
    let whole: f64 = others.iter().map(weight).sum();
    (whole > 0.0).then(|| sum / whole)
}

/// `json, depth 2, 8 to 15 keys, …` and the name.
fn told(shape: &ShapeSeen, m: &mut Markup<'_>) -> io::Result<()> {
    m.text(shape_words(shape))?;
    m.text(" ")?;
    m.leaf(tag::CODE, &[attr::class("quiet")], shape.shape)
}

/// What a shape is, in words.
fn shape_words(shape: &ShapeSeen) -> String {
    let format = shape.format.map_or("no body", format_name);
    let folded = if shape.is_folded { "many shapes folded into one, the least of them " } else { "" };
    format!("{folded}{format}, {}", coarse_words(shape.coarse))
}

fn format_name(format: Format) -> &'static str {
    match format {
        Format::Empty => "no body",
        Format::Json => "JSON",
        Format::Ndjson => "JSON lines",
        Format::Form => "form",
        Format::Multipart => "multipart",
        Format::Table => "table",
        Format::Xml => "XML",
        Format::Text => "text",
        Format::Binary => "binary",
        Format::ProducerShape => "named by the producer",
    }
}

/// The shapes of one cluster, the most frequent ones.
pub(super) fn of_one(card: &Card<'_>, n_max: usize, m: &mut Markup<'_>) -> io::Result<()> {
    let shapes = card.tenant.shapes_of(card.cluster);
    let events: u64 = shapes.iter().map(|shape| shape.events).sum();
    m.leaf(tag::H3, &[], format!("{} of {}", counted(card.portrait.counts.shapes, "shape"), counted(events, "event")))?;
    m.within(tag::TABLE, &[attr::class("plain")], |m| {
        table_head(&[number("events"), words("").spare(), number("likeness"), words("shape")], m)?;
        m.within(tag::TBODY, &[], |m| {
            for shape in shapes.iter().take(n_max) {
                m.within(tag::TR, &[], |m| {
                    td_number(grouped(shape.events), m)?;
                    let share = [attr::class("wide spare")];
                    m.within(tag::TD, &share, |m| bar(&[("part", shape.events)], events, m))?;
                    td_number(format!("{:.2}", shape.likeness), m)?;
                    m.within(tag::TD, &[], |m| told(shape, m))
                })?;
            }
            Ok(())
        })
    })?;
    match shapes.len().saturating_sub(n_max) {
        0 => Ok(()),
        more => m.leaf(tag::P, &[attr::class("quiet")], format!("and {} more", grouped_len(more))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::event::ShapeId;

    fn shape(events: u64, likeness: f64) -> ShapeSeen {
        ShapeSeen { shape: ShapeId(1), events, format: Some(Format::Json), coarse: 0, likeness, is_folded: false }
    }

    #[test]
    fn likeness_is_the_mean_of_the_others_by_their_events() {
        let check = |shapes: &[ShapeSeen], expected: Option<f64>| assert_eq!(likeness(shapes), expected);
        check(&[], None);
        check(&[shape(5, 1.0)], None);
        check(&[shape(5, 1.0), shape(3, 0.5), shape(1, 1.0)], Some(0.625));
        check(&[shape(0, 1.0), shape(0, 0.5)], None);
    }
}
