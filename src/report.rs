//! The cluster report: questions to the store, answered as a table, JSON or CSV.
//!
//! Reads the store only; never writes. The forms of an answer are in [`sheet`]; what a cluster looks like is the
//! pipeline's portrait of it, the same that an alert carries.

pub mod sheet;

use std::io::Write;
use std::path::Path;

use anyhow::{Result, bail};

use crate::edge::store::Store;
use crate::pipeline::alert::{Portrait, Verdict};
use crate::pipeline::cluster::ClusteringModel;
use crate::pipeline::cluster::identity::Cluster;
use crate::pipeline::state::State;
use crate::pipeline::tenant::Tenant;
use sheet::Sheet;

/// Clusters that `list` tells unless another number is asked for.
const LISTED_USUALLY: usize = 20;

/// Form of an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Table,
    /// For machines
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

/// A cluster with its portrait.
struct Ranked<'s> {
    tenant: &'s Tenant,
    cluster: &'s Cluster,
    portrait: Portrait,
}

/// Answers a question from the store at `store`, to `out`.
///
/// # Errors
/// A store that is not there or cannot be read, and a cluster id that no cluster, or more than one, has.
pub fn answer(store: &Path, question: &Question, format: Format, out: &mut dyn Write) -> Result<()> {
    let store = Store::open_read_only(store)?;
    let mut model = ClusteringModel::builtin()?;
    // What the service kept is shown as it is: no cap of this process folds it further.
    model.caps.cells_per_tenant = u32::MAX;
    let (state, n_unreadable) = State::restore(&model, |kind| store.load_state(kind))?;
    if n_unreadable > 0 {
        tracing::warn!(rows = n_unreadable, "rows of the store could not be read and are left out");
    }
    match question {
        Question::List(selection) => list(&state, *selection, format, out),
        Question::Show(_) | Question::Explain(_) | Question::Export(_) => bail!("not yet"),
    }
}

/// Ranks the clusters of a state: hostile ones first, then by points, then by events.
pub fn list(state: &State, selection: Selection, format: Format, out: &mut dyn Write) -> Result<()> {
    let mut sheet =
        Sheet::new(&["cluster", "verdict", "points", "severity", "events", "addresses", "last_event", "title"]);
    let ranked = ranked(state, selection);
    let n_all = ranked.len();
    for Ranked { cluster, portrait, .. } in ranked.into_iter().take(selection.limit.unwrap_or(LISTED_USUALLY)) {
        sheet.push(vec![
            cluster.id.to_string().into(),
            portrait.verdict.name().into(),
            portrait.points.into(),
            portrait.severity.name().into(),
            portrait.counts.events.into(),
            portrait.counts.addresses.into(),
            portrait.last_event.into(),
            portrait.title.into(),
        ]);
    }
    out.write_all(sheet.render(format, None).as_bytes())?;
    if format == Format::Table {
        writeln!(out, "{n_all} clusters")?;
    }
    Ok(())
}

fn ranked(state: &State, selection: Selection) -> Vec<Ranked<'_>> {
    let all = state.tenants().flat_map(|(_, tenant)| tenant.clusters().map(move |(cluster, _)| (tenant, cluster)));
    let mut ranked: Vec<Ranked<'_>> = all
        .map(|(tenant, cluster)| Ranked { tenant, cluster, portrait: tenant.portrait(cluster) })
        .filter(|ranked| selection.verdict.is_none_or(|wanted| ranked.portrait.verdict == wanted))
        .collect();
    let order = |verdict| match verdict {
        Verdict::Hostile => 0,
        Verdict::Undecided => 1,
        Verdict::Benign => 2,
    };
    ranked.sort_by(|a, b| {
        let (left, right) = (&a.portrait, &b.portrait);
        order(left.verdict)
            .cmp(&order(right.verdict))
            .then(right.points.total_cmp(&left.points))
            .then(right.counts.events.cmp(&left.counts.events))
            .then(a.cluster.id.cmp(&b.cluster.id))
    });
    ranked
}
