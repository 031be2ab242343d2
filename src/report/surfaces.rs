//! `surfaces`: where services panic, by surface, class, site and release, and what to write there instead.
//!
//! Reads the inventory that the store keeps, two models (what each class of panic should have been answered, what to
//! write in its place) and nothing else; never writes. Answers in four forms: a table for people, JSON and CSV for
//! machines, SARIF 2.1.0 for code hosts ([`sarif`]). Sites, files, services and releases are producers' text and
//! neutralised for each.
//!
//! Beside the counts stands the mismatch report: how many of a row's answers contradict what the model says of its
//! class, as far as their status was counted one by one.
//!
//! Costs what restoring the state costs and some microseconds a row; rows are bounded by the inventory.

mod place;
mod row;
mod sarif;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use self::row::{Contradictions, Row};
use super::sheet::{Cell, Sheet, printable};
use super::{Format, Page, restore};
use crate::config::ModelSettings;
use crate::edge::store::Store;
use crate::pipeline::classify::{PanicModel, Surface};
use crate::pipeline::state::State;
use crate::pipeline::surfaces::replacements::{Replacements, surface_name};

/// Rows that a table tells unless another number is asked for: about a screen, with the replacements below.
const LISTED_USUALLY: usize = 20;

/// Columns for people.
const FOR_PEOPLE: [&str; 10] =
    ["surface", "class", "events", "became", "mismatch", "routes", "first", "last", "release", "site"];

/// Columns for spreadsheets.
const FOR_MACHINES: [&str; 27] = [
    "tenant",
    "service",
    "surface",
    "class",
    "site",
    "release",
    "releases",
    "first_seen",
    "last_seen",
    "events",
    "recovered",
    "degraded",
    "escaped",
    "aborted",
    "suspected_abort",
    "unknown",
    "routes",
    "statuses",
    "suggested_status",
    "retry",
    "problem_type",
    "blames_service",
    "blames_client",
    "retry_invited",
    "phase1",
    "phase2",
    "example",
];

/// Which rows are meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Only this service.
    pub service: Option<String>,
    /// Only this release.
    pub release: Option<String>,
    /// Most rows; `None`: as many as the form usually tells.
    pub limit: Option<usize>,
}

/// Form of the answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Form {
    /// For people.
    #[default]
    Table,
    /// For machines, one object.
    Json,
    /// For spreadsheets, one row for each row.
    Csv,
    /// For code hosts: SARIF 2.1.0.
    Sarif,
}

/// What rows are explained with.
#[derive(Debug, Clone)]
pub struct Knowledge {
    /// What each class should have been answered.
    pub panics: PanicModel,
    /// What to write in place of code that panics.
    pub replacements: Replacements,
}

impl Knowledge {
    /// Reads the models that `models` names, and takes the built-in ones for the others.
    ///
    /// # Errors
    /// A file that cannot be read, or a model with faults.
    pub fn of(models: &ModelSettings) -> Result<Self> {
        let text = |path: Option<&Path>| {
            path.map(|path| std::fs::read_to_string(path).with_context(|| path.display().to_string())).transpose()
        };
        let panics = match text(models.panics.as_deref())? {
            Some(text) => PanicModel::parse(&text),
            None => PanicModel::builtin(),
        };
        let replacements = match text(models.replacements.as_deref())? {
            Some(text) => Replacements::parse(&text),
            None => Replacements::builtin(),
        };
        Ok(Self {
            panics: panics.context("the model of panic messages (models.panics)")?,
            replacements: replacements.context("the model of replacements (models.replacements)")?,
        })
    }
}

/// Tells the inventory of the store at `store`, to `out`.
///
/// # Errors
/// A store or a model that is not there or cannot be read.
pub fn answer(
    store: &Path,
    selection: &Selection,
    models: &ModelSettings,
    form: Form,
    out: &mut dyn Write,
) -> Result<()> {
    let knowledge = Knowledge::of(models)?;
    let state = restore(&Store::open_read_only(store)?)?;
    tell(&state, selection, &knowledge, form, out)
}

/// Tells the inventory of a state.
///
/// # Errors
/// `out` cannot be written.
pub fn tell(
    state: &State,
    selection: &Selection,
    knowledge: &Knowledge,
    form: Form,
    out: &mut dyn Write,
) -> Result<()> {
    let mut rows = row::rows(state, selection, knowledge);
    let n_all = rows.len();
    let usual = if form == Form::Table { LISTED_USUALLY } else { usize::MAX };
    rows.truncate(selection.limit.unwrap_or(usual));
    match form {
        Form::Table => for_people(&rows, n_all, knowledge, &mut Page { format: Format::Table, out }),
        Form::Json => {
            Page { format: Format::Json, out }.object(&serde_json::to_value(inventory(&rows, n_all, knowledge))?)
        }
        Form::Csv => Page { format: Format::Csv, out }.sheet(&sheet(&rows, knowledge)),
        Form::Sarif => Page { format: Format::Json, out }.object(&sarif::log(&rows, knowledge)),
    }
}

/// The answer for machines.
#[derive(Serialize)]
struct Inventory<'r> {
    /// Versions of the models that explain it.
    models: BTreeMap<&'static str, String>,
    /// Rows there are, told or not.
    n_rows: usize,
    rows: &'r [Row],
    /// What is to be said of each class in the rows.
    classes: Vec<Explained>,
}

/// What is to be said of a class.
#[derive(Serialize)]
struct Explained {
    class: String,
    surface: &'static str,
    /// What the client should be told; absent for a class that the model does not know.
    #[serde(skip_serializing_if = "Option::is_none")]
    suggested: Option<Suggested>,
    phase1: String,
    phase2: String,
    example: String,
}

#[derive(Serialize)]
struct Suggested {
    status: u16,
    retry: &'static str,
    advice: String,
    problem_type: String,
    title: String,
}

fn explained(class: &str, surface: Surface, knowledge: &Knowledge) -> Explained {
    let replacement = knowledge.replacements.of(class, surface);
    Explained {
        class: class.to_owned(),
        surface: surface_name(surface),
        suggested: knowledge.panics.response(class).map(|response| Suggested {
            status: response.status,
            retry: response.retry.name(),
            advice: printable(&response.advice),
            problem_type: printable(&response.problem_type),
            title: printable(&response.title),
        }),
        phase1: replacement.phase1.clone(),
        phase2: replacement.phase2.clone(),
        example: replacement.example.clone(),
    }
}

/// Each class of the rows once, in the order of the rows.
fn classes(rows: &[Row], knowledge: &Knowledge) -> Vec<Explained> {
    let mut known = std::collections::BTreeSet::new();
    let first = rows.iter().filter(|row| known.insert((row.class.as_deref(), row.surface)));
    first.filter_map(|row| Some(explained(row.class.as_deref()?, row.surface?, knowledge))).collect()
}

fn inventory<'r>(rows: &'r [Row], n_rows: usize, knowledge: &Knowledge) -> Inventory<'r> {
    let models = [("panics", knowledge.panics.version()), ("replacements", knowledge.replacements.version())];
    let models = models.into_iter().map(|(model, version)| (model, printable(version))).collect();
    Inventory { models, n_rows, rows, classes: classes(rows, knowledge) }
}

fn sheet(rows: &[Row], knowledge: &Knowledge) -> Sheet {
    let mut sheet = Sheet::new(&FOR_MACHINES);
    for row in rows {
        let said = row.class.as_deref().zip(row.surface).map(|(class, surface)| explained(class, surface, knowledge));
        let suggested = said.as_ref().and_then(|said| said.suggested.as_ref());
        let mut cells: Vec<Cell> = vec![
            row.tenant.as_str().into(),
            row.service.clone().into(),
            row.surface.map(surface_name).into(),
            row.class.clone().into(),
            row.site.clone().into(),
            row.release.clone().into(),
            row.releases.name().into(),
            row.first_seen.as_str().into(),
            row.last_seen.as_str().into(),
            row.events.into(),
        ];
        cells.extend(row.outcomes().map(Cell::from));
        let Contradictions { blames_service, blames_client, retry_invited } = row.contradictions;
        cells.extend([
            row.routes.into(),
            joined(row.statuses.iter().map(|(status, n)| format!("{status} ({n})"))).into(),
            suggested.map(|suggested| u64::from(suggested.status)).into(),
            suggested.map(|suggested| suggested.retry).into(),
            suggested.map(|suggested| suggested.problem_type.clone()).into(),
            blames_service.into(),
            blames_client.into(),
            retry_invited.into(),
        ]);
        cells.extend(said.into_iter().flat_map(|said| [said.phase1, said.phase2, said.example]).map(Cell::from));
        sheet.push(cells);
    }
    sheet
}

/// `3 escaped, 12 recovered`: what became of events, the worst first.
fn became(outcomes: [u64; 6]) -> String {
    const WORDS: [&str; 6] = ["recovered", "degraded", "escaped", "aborted", "suspected abort", "unknown"];
    let known = outcomes.iter().zip(WORDS).filter(|(n, _)| **n > 0);
    known.rev().map(|(n, word)| format!("{n} {word}")).collect::<Vec<_>>().join(", ")
}

fn joined(texts: impl Iterator<Item = String>) -> String {
    texts.collect::<Vec<_>>().join("; ")
}

fn for_people(rows: &[Row], n_all: usize, knowledge: &Knowledge, page: &mut Page<'_>) -> Result<()> {
    if rows.is_empty() {
        return page.line("no panics are in the inventory, or none of what was asked for");
    }
    let mut sheet = Sheet::new(&FOR_PEOPLE);
    for row in rows {
        let day = |time: &str| time.chars().take(10).collect::<String>();
        sheet.push(vec![
            row.surface.map(surface_name).into(),
            row.class.clone().into(),
            row.events.into(),
            became(row.outcomes()).into(),
            row.contradictions.n_most().into(),
            row.routes.into(),
            day(&row.first_seen).into(),
            day(&row.last_seen).into(),
            row.release_shown().into(),
            row.site.as_deref().unwrap_or("sites without a row of their own").into(),
        ]);
    }
    page.sheet(&sheet)?;
    page.line("")?;
    let mut sheet = Sheet::new(&["class", "answer", "phase", "what_to_write"]);
    for said in classes(rows, knowledge) {
        let answer = said.suggested.as_ref().map(|it| format!("{}, retry {}", it.status, it.retry.replace('_', " ")));
        sheet.push(vec![said.class.into(), answer.into(), "1".into(), said.phase1.into()]);
        sheet.push(vec!["".into(), "".into(), "2".into(), said.phase2.into()]);
        sheet.push(vec!["".into(), "".into(), "e.g.".into(), said.example.into()]);
    }
    page.sheet(&sheet)?;
    page.line("")?;
    page.words(&last_line(rows, n_all))
}

fn last_line(rows: &[Row], n_all: usize) -> String {
    let n_events: u64 = rows.iter().map(|row| row.events).sum();
    let mut sum = Contradictions::default();
    for row in rows {
        sum.add(row.contradictions);
    }
    let more = if rows.len() < n_all { " (--limit N for more)" } else { "" };
    let told = format!("{} of {n_all} rows{more}, {n_events} events", rows.len());
    let Contradictions { blames_service, blames_client, retry_invited } = sum;
    if sum == Contradictions::default() {
        return format!("{told}; no answer contradicts its class");
    }
    format!(
        "{told}; {blames_service} answered 5xx where the class says 4xx, {blames_client} the other way round, \
         {retry_invited} invited to a retry that the class advises against"
    )
}
