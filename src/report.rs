//! The cluster report: questions to the store, answered as a table, JSON or CSV.
//!
//! Reads the store only; never writes. The forms of an answer are in [`sheet`]; what a cluster looks like is the
//! pipeline's portrait of it, the same that an alert carries, drawn for the clusters that are told and no others. A
//! replay asks the same questions of its state, without a store and so without what became of alerts.
//!
//! Every text is one printable, bounded line. Costs what restoring the state costs (read once, seconds for the largest)
//! and some tens of microseconds a cluster.

pub mod budget;
pub mod dead_letters;
pub mod document;
mod explain;
mod export;
mod find;
pub mod html;
pub mod kpi;
pub mod label;
mod list;
mod lives;
pub mod outbox;
pub mod period;
pub mod postmortem;
mod proof;
pub mod releases;
pub mod retry_policy;
mod scope;
pub mod sheet;
mod show;
pub mod surfaces;
pub mod telemetry;
mod timeline;
pub mod triage;

use std::io::Write;
use std::path::Path;

use anyhow::Result;
use serde_json::Value;

use crate::edge::store::Store;
use crate::pipeline::alert::Verdict;
use crate::pipeline::cluster::ClusteringModel;
use crate::pipeline::state::State;

/// Width of a table in columns where standard output is no terminal: what most screens and mail programs show.
const COLUMNS_ELSEWHERE: u16 = 120;

/// Form of an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Table,
    /// For machines; one object a line for export
    Json,
    /// For spreadsheets
    Csv,
}

/// Which clusters are meant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Selection {
    /// Most clusters; `None`: as many as the question usually tells.
    pub limit: Option<usize>,
    /// Only clusters with this verdict.
    pub verdict: Option<Verdict>,
}

/// What is asked. Clusters are named by their id or the beginning of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// Rank the clusters.
    List(Selection),
    /// One cluster with all that is known.
    Show(String),
    /// Why one cluster got its verdict, added up.
    Explain(String),
    /// All clusters with all they hold.
    Export(Selection),
}

/// What is asked of: the state, and the store that it comes from, if there is one.
#[derive(Clone, Copy)]
struct Memory<'s> {
    state: &'s State,
    store: Option<&'s Store>,
}

/// Where an answer goes, and in which form.
struct Page<'o> {
    format: Format,
    out: &'o mut dyn Write,
}

impl Page<'_> {
    fn line(&mut self, text: &str) -> Result<()> {
        Ok(writeln!(self.out, "{text}")?)
    }

    /// A sentence, broken at spaces where it is longer than the page is wide.
    fn words(&mut self, text: &str) -> Result<()> {
        let width = usize::from(width());
        let mut line = String::new();
        for word in text.split(' ') {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
                self.line(&std::mem::take(&mut line))?;
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        self.line(&line)
    }

    fn object(&mut self, value: &Value) -> Result<()> {
        Ok(writeln!(self.out, "{value:#}")?)
    }

    fn sheet(&mut self, sheet: &sheet::Sheet) -> Result<()> {
        Ok(self.out.write_all(sheet.render(self.format, Some(width())).as_bytes())?)
    }
}

/// Columns of the screen, or what fits most.
fn width() -> u16 {
    terminal_size::terminal_size_of(std::io::stdout()).map_or(COLUMNS_ELSEWHERE, |(width, _)| width.0)
}

/// Answers a question from the store at `store`, to `out`.
///
/// # Errors
/// A store that is not there or cannot be read, and a cluster id that no cluster, or more than one, has.
pub fn answer(store: &Path, question: &Question, format: Format, out: &mut dyn Write) -> Result<()> {
    let store = Store::open_read_only(store)?;
    tell(&restore(&store)?, Some(&store), question, format, out)
}

/// The state that a store holds.
fn restore(store: &Store) -> Result<State> {
    let (state, n_unreadable) = State::restore(&uncapped()?, |kind| store.load_state(kind))?;
    if n_unreadable > 0 {
        tracing::warn!(rows = n_unreadable, "rows of the store could not be read and are left out");
    }
    Ok(state)
}

/// The kinds of rows that reports on operations are made of: no cells, which are most of a store.
const OPERATIONS: [&str; 10] =
    ["clock", "name", "ledger", "ledger_reach", "retry_policy", "alarm", "storm", "cluster", "alias", "standing"];

/// What operations ask, from a store: the account of panics over time, the situations and how clusters stand, in some
/// ten milliseconds where the whole state takes hundreds. Clusters have no events, cells or portraits then.
fn restore_operations(store: &Store) -> Result<State> {
    let (state, n_unreadable) = State::restore_kinds(&uncapped()?, &OPERATIONS, |kind| store.load_state(kind))?;
    if n_unreadable > 0 {
        tracing::warn!(rows = n_unreadable, "rows of the store could not be read and are left out");
    }
    Ok(state)
}

/// A model under which what the service kept stays as it is.
fn uncapped() -> Result<ClusteringModel> {
    Ok(ClusteringModel::uncapped()?)
}

/// Answers a question from a state; `store` says what became of alerts, where there is one.
///
/// # Errors
/// As [`answer`].
pub fn tell(
    state: &State,
    store: Option<&Store>,
    question: &Question,
    format: Format,
    out: &mut dyn Write,
) -> Result<()> {
    let memory = Memory { state, store };
    let page = &mut Page { format, out };
    match question {
        Question::List(selection) => list::list(memory, *selection, page),
        Question::Show(cluster) => show::show(memory, &find::find(state, cluster)?, page),
        Question::Explain(cluster) => explain::explain(memory, &find::find(state, cluster)?, page),
        Question::Export(selection) => export::export(memory, *selection, page),
    }
}

/// Ranks the clusters of a state that has no store: hostile ones first, then by points, then by events.
///
/// # Errors
/// `out` cannot be written.
pub fn list(state: &State, selection: Selection, format: Format, out: &mut dyn Write) -> Result<()> {
    tell(state, None, &Question::List(selection), format, out)
}

#[cfg(test)]
mod tests {
    use super::uncapped;
    use crate::pipeline::cell::testing::{event, key};
    use crate::pipeline::cells::{CellLimits, Cells};

    #[test]
    fn cells_that_a_service_folded_are_shown_as_it_kept_them() {
        let check = |services: u64, sites: u64, shapes: u64| {
            let limits = CellLimits { shapes_per_block_max: 4, cells_per_tenant_max: 100, ..CellLimits::default() };
            let mut cells = Cells::new(limits);
            for n in 0..services * sites * shapes {
                cells.add(&event(n, key(n % services, n / services % sites, 0, n / services / sites)));
            }
            let kept = || cells.iter().map(|(key, cell)| (*key, cell.clone()));
            let restored = Cells::restore(uncapped().unwrap().cell_limits(), kept());
            assert!(restored.iter().map(|(key, _)| *key).eq(kept().map(|(key, _)| key)), "{services} {sites} {shapes}");
        };
        check(1, 2, 3);
        check(1, 1, 50);
        check(2, 60, 3);
        check(1, 200, 1);
        check(40, 3, 2);
    }
}
