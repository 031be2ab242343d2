//! What may be typed after `panicsift triage`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::report::period::Instant;
use crate::report::triage::{Form, Look};

/// Options of `triage`.
#[derive(Debug, Args)]
pub struct TriageArgs {
    /// The store of the service
    #[arg(long, value_name = "PATH", default_value = "/var/lib/panicsift/panicsift.db")]
    pub store: PathBuf,
    /// Also tell what ended since then: 90m, 6h, 2d ago, or a time such as 2026-11-05T14:00:00Z [default: 6h]
    #[arg(long, value_name = "WHEN")]
    pub since: Option<Instant>,
    /// Look again every so many seconds until Ctrl-C [default: 5]
    #[arg(
        long,
        value_name = "SECS",
        num_args = 0..=1,
        default_missing_value = "5",
        value_parser = clap::value_parser!(u32).range(1..=3_600)
    )]
    pub watch: Option<u32>,
    /// Form of the answer
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub format: TriageForm,
}

/// Forms of an answer of `triage`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TriageForm {
    /// For people
    Table,
    /// For machines; one object a look
    Json,
}

impl TriageArgs {
    /// The store, and what is to be looked at.
    pub fn look(self) -> (PathBuf, Look) {
        let form = match self.format {
            TriageForm::Table => Form::People,
            TriageForm::Json => Form::Machines,
        };
        let every = self.watch.map(|secs| Duration::from_secs(secs.into()));
        (self.store, Look { since: self.since, every, form })
    }
}
