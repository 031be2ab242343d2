//! `telemetry`: panics by endpoint, release, service, outcome, surface, class or boundary, over a stretch of time.
//!
//! Reads the account of panics that a store keeps, and the requests of a traffic feed beside it; never writes. Tells how
//! many panics there were, how many of them were caught (with Wilson's interval), what became of them and of retries, how
//! long the requests took, and how many there are in 10,000 requests. Without a feed there is no denominator, and that is
//! what is said; with gaps in it the rates are of what it covers, and how much that is stands beside them ([`rows`]).
//!
//! Latencies come from bins of a quarter of an octave: the bound that is told is at most 25 % below the true value. They
//! are of panicking requests; no feed tells those of others, so there is no baseline.
//!
//! Costs what reading the account costs, some ten milliseconds.

mod rows;
mod told;

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use self::rows::{Key, Question, Row, Rows, What};
use self::told::FOR_MACHINES;
use super::period::Period;
use super::sheet::{Sheet, printable};
use super::{Format, Page, restore_operations};
use crate::config::ModelSettings;
use crate::edge::store::Store;
use crate::pipeline::classify::PanicModel;
use crate::pipeline::event::Id;
use crate::pipeline::operations::ledger::Span;
use crate::pipeline::state::State;
use crate::pipeline::surfaces::replacements::surface_name;
use crate::pipeline::tenant::Tenant;

/// Rows that a table tells unless another number is asked for.
const LISTED_USUALLY: usize = 20;

/// Services that are named where the one that was asked for is not there.
const SERVICES_TOLD_MAX: usize = 10;

/// What rows are about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum By {
    /// Route.
    #[default]
    Endpoint,
    /// Release.
    Release,
    /// Service.
    Service,
    /// What became of the fault.
    Outcome,
    /// What the code did that panicked.
    Surface,
    /// Panic class.
    Class,
    /// What contained the panic.
    Boundary,
}

impl By {
    /// `endpoint`, `release`, …
    pub fn name(self) -> &'static str {
        match self {
            Self::Endpoint => "endpoint",
            Self::Release => "release",
            Self::Service => "service",
            Self::Outcome => "outcome",
            Self::Surface => "surface",
            Self::Class => "class",
            Self::Boundary => "boundary",
        }
    }
}

/// What is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// What rows are about.
    pub by: By,
    /// When.
    pub period: Period,
    /// Only this service.
    pub service: Option<String>,
    /// Most rows; `None`: 20 in a table, else all.
    pub limit: Option<usize>,
}

/// What is told of one tenant.
struct Section {
    tenant: String,
    span: Span,
    by: By,
    rows: Vec<(Option<String>, String, Row)>,
    n_rows: usize,
    all: Row,
    requests_of_nobody: u64,
}

/// Tells what the store at `store` holds, to `out`.
///
/// # Errors
/// A store or a model that is not there or cannot be read, and as [`tell`].
pub fn answer(
    store: &Path,
    selection: &Selection,
    models: &ModelSettings,
    format: Format,
    out: &mut dyn Write,
) -> Result<()> {
    let panics = match models.panics.as_deref() {
        Some(path) => PanicModel::parse(&std::fs::read_to_string(path).with_context(|| path.display().to_string())?),
        None => PanicModel::builtin(),
    };
    let panics = panics.context("the model of panic messages (models.panics)")?;
    tell(&restore_operations(&Store::open_read_only(store)?)?, selection, &panics, format, out)
}

/// Tells what a state holds.
///
/// # Errors
/// A period of which nothing is known, a service that is not there, and an `out` that cannot be written.
pub fn tell(
    state: &State,
    selection: &Selection,
    panics: &PanicModel,
    format: Format,
    out: &mut dyn Write,
) -> Result<()> {
    let limit = selection.limit.unwrap_or(if format == Format::Table { LISTED_USUALLY } else { usize::MAX });
    let sections = sections(state, selection, panics, limit)?;
    let page = &mut Page { format, out };
    match format {
        Format::Table => sections.iter().try_for_each(|section| section.for_people(page)),
        Format::Json => {
            let tenants: Vec<Value> = sections.iter().map(Section::object).collect();
            page.object(&json!({"report": "telemetry.v1", "by": selection.by.name(), "tenants": tenants}))
        }
        Format::Csv => {
            let mut sheet = Sheet::new(&FOR_MACHINES);
            for section in &sections {
                section.fill(&mut sheet);
            }
            page.sheet(&sheet)
        }
    }
}

/// One section for each tenant that has something to tell; the first tenant's fault where none has.
fn sections(state: &State, selection: &Selection, panics: &PanicModel, limit: usize) -> Result<Vec<Section>> {
    let (mut sections, mut fault, mut services) = (Vec::new(), None, Vec::new());
    for (id, tenant) in state.tenants() {
        let span = match selection.period.resolve(tenant.operations().ledger()) {
            Ok(span) => span,
            Err(error) => {
                fault = fault.or(Some(error));
                continue;
            }
        };
        let known = services_of(tenant);
        let mut service = None;
        if let Some(wanted) = &selection.service {
            service = known.iter().find(|(_, name)| name == wanted).map(|(id, _)| *id);
            if service.is_none() {
                services.extend(known.into_iter().map(|(_, name)| name));
                continue;
            }
        }
        let question = Question { tenant, span, by: selection.by, service, panics };
        sections.push(Section::of(tenant.name(id), &question, limit));
    }
    if !sections.is_empty() {
        return Ok(sections);
    }
    if let Some(wanted) = selection.service.as_ref().filter(|_| !services.is_empty()) {
        services.truncate(SERVICES_TOLD_MAX);
        bail!("no service {wanted:?} has panicked; there are {}", services.join(", "));
    }
    Err(fault.unwrap_or_else(|| anyhow::anyhow!("the store has no events to report on yet")))
}

/// The services that a tenant's account knows, of panics or of requests.
fn services_of(tenant: &Tenant) -> Vec<(Id, String)> {
    let ledger = tenant.operations().ledger();
    let Some(all) = ledger.extent() else { return Vec::new() };
    let of_panics = ledger.tallies(all, |account| account.service).into_keys();
    let of_requests = ledger.requests(all, |demand| demand.service).into_keys();
    let ids: std::collections::BTreeSet<Id> = of_panics.chain(of_requests).collect();
    ids.into_iter().map(|id| (id, tenant.name(id))).collect()
}

impl Section {
    fn of(tenant: String, question: &Question<'_>, limit: usize) -> Self {
        let Rows { by_key, all, requests_of_nobody } = question.rows();
        let named = |key: Key| {
            let name = |id: Id| question.tenant.name(id);
            let what = match key.what {
                What::All => key.service.map_or_else(|| "other".to_owned(), name),
                What::Named(id) => name(id),
                What::Outcome(outcome) => outcome.name().to_owned(),
                What::Surface(surface) => surface_name(surface).to_owned(),
                What::Untold => "untold".to_owned(),
                What::Other => "other".to_owned(),
            };
            (key.service.map(name), what)
        };
        let mut rows: Vec<_> = by_key
            .into_iter()
            .map(|(key, row)| {
                let (service, what) = named(key);
                let requests = if question.by.has_own_requests() { row.requests } else { all.requests };
                (service, what, Row { requests, ..row })
            })
            .collect();
        rows.sort_by(|a, b| b.2.panics.cmp(&a.2.panics).then_with(|| (&a.0, &a.1).cmp(&(&b.0, &b.1))));
        let n_rows = rows.len();
        rows.truncate(limit);
        Self { tenant, span: question.span, by: question.by, rows, n_rows, all, requests_of_nobody }
    }
}
