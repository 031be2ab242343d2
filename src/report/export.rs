//! `export`: all clusters with all they hold, one after another.
//!
//! JSON has one object a line, with everything that `show` tells; CSV one row a cluster, with lists as
//! `name (events); name (events)`; a table has the columns of `list` for all clusters. One cluster at a time is held in
//! JSON; rows of the others are held until the last.

use anyhow::Result;

use super::list::{self, ranked};
use super::sheet::{Cell, Sheet};
use super::show::{Full, named_lists};
use super::{Format, Memory, Page, Selection};
use crate::pipeline::alert::Counted;

/// Columns before the lists.
const COLUMNS: [&str; 15] = [
    "cluster",
    "title",
    "verdict",
    "points",
    "threshold",
    "severity",
    "first_event",
    "last_event",
    "events",
    "actors",
    "addresses",
    "shapes",
    "sites",
    "routes",
    "model",
];

/// Writes the clusters out.
pub(super) fn export(memory: Memory<'_>, selection: Selection, page: &mut Page<'_>) -> Result<()> {
    let selection = Selection { limit: Some(selection.limit.unwrap_or(usize::MAX)), ..selection };
    if page.format == Format::Table {
        return list::list(memory, selection, page);
    }
    let (ranked, _) = ranked(memory.state, selection);
    let chosen = ranked.iter().take(selection.limit.unwrap_or(usize::MAX));
    if page.format == Format::Json {
        for ranked in chosen {
            let full = Full::of(memory, ranked.tenant, ranked.cluster)?;
            page.line(&serde_json::to_string(&full)?)?;
        }
        return Ok(());
    }
    let lists = named_lists(&crate::pipeline::alert::Portrait::default());
    let columns: Vec<String> = lists.iter().map(|(name, _)| format!("by_{name}")).collect();
    let own = ["address_sample", "examples", "lineage"];
    let all: Vec<&str> = COLUMNS.into_iter().chain(columns.iter().map(String::as_str)).chain(own).collect();
    let mut sheet = Sheet::new(&all);
    for ranked in chosen {
        sheet.push(row(&Full::of(memory, ranked.tenant, ranked.cluster)?));
    }
    page.sheet(&sheet)
}

fn row(full: &Full) -> Vec<Cell> {
    let portrait = &full.portrait;
    let counts = portrait.counts;
    let mut row: Vec<Cell> = vec![
        full.cluster.as_str().into(),
        portrait.title.as_str().into(),
        portrait.verdict.name().into(),
        portrait.points.into(),
        portrait.threshold.into(),
        portrait.severity.name().into(),
        portrait.first_event.as_str().into(),
        portrait.last_event.as_str().into(),
        counts.events.into(),
        counts.actors.into(),
        counts.addresses.into(),
        counts.shapes.into(),
        counts.sites.into(),
        counts.routes.into(),
        portrait.model.as_str().into(),
    ];
    row.extend(named_lists(portrait).into_iter().map(|(_, counted)| joined(&counted).into()));
    let examples = portrait
        .examples
        .iter()
        .map(|example| format!("{} at {} {} {}", example.event_id, example.topic, example.partition, example.offset));
    row.push(portrait.addresses.join("; ").into());
    row.push(examples.collect::<Vec<_>>().join("; ").into());
    row.push(portrait.lineage.join("; ").into());
    row
}

fn joined(counted: &[Counted]) -> String {
    counted.iter().map(|counted| format!("{} ({})", counted.name, counted.events)).collect::<Vec<_>>().join("; ")
}
