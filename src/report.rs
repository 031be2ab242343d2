//! The cluster report: questions to the store, answered as a table, JSON or CSV.
//!
//! Reads the store only; never writes. The forms of an answer are in [`sheet`].

pub mod sheet;

use std::io::Write;
use std::path::Path;

use anyhow::{Result, anyhow};

use crate::pipeline::alert::Verdict;

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

/// Answers a question from the store at `store`, to `out`.
pub fn answer(store: &Path, question: &Question, format: Format, _out: &mut dyn Write) -> Result<()> {
    Err(anyhow!("the report is not wired in this build ({}, {question:?}, {format:?})", store.display()))
}
