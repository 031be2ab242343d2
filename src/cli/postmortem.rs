//! What may be typed after `panicsift report postmortem` and `panicsift report kpi`.

use std::path::PathBuf;

use clap::Args;

use crate::report::kpi::{self, Baseline};
use crate::report::period::{Instant, Period};
use crate::report::postmortem;

/// Which stretch of time is meant.
#[derive(Debug, Clone, Args)]
pub struct PeriodArgs {
    /// Begin here: 2026-11-17T14:00:00Z, or 90m, 6h, 7d before the end [default: all that the store holds]
    #[arg(long, value_name = "TIME")]
    pub from: Option<Instant>,
    /// End here, exclusive
    #[arg(long, value_name = "TIME")]
    pub to: Option<Instant>,
    /// Only this service
    #[arg(long, value_name = "NAME")]
    pub service: Option<String>,
}

/// Options of `report postmortem`.
#[derive(Debug, Clone, Args)]
pub struct PostmortemArgs {
    /// The period.
    #[command(flatten)]
    pub period: PeriodArgs,
    /// What to compare with [default: as long a time just before]
    #[arg(long, value_name = "FROM..TO")]
    pub baseline: Option<Period>,
    /// Write into this file
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

impl PostmortemArgs {
    /// What is asked, and the file that is to be written.
    pub fn question(self) -> (postmortem::Question, Option<PathBuf>) {
        let PeriodArgs { from, to, service } = self.period;
        (postmortem::Question { period: Period { from, to }, baseline: self.baseline, service }, self.out)
    }
}

/// Options of `report kpi`.
#[derive(Debug, Clone, Args)]
pub struct KpiArgs {
    /// The period [default: from the end of the baseline on].
    #[command(flatten)]
    pub period: PeriodArgs,
    /// What to compare with
    #[arg(long, value_name = "FROM..TO", conflicts_with = "baseline_file")]
    pub baseline: Option<Period>,
    /// What to compare with: an answer of this command in JSON, of earlier or of another store
    #[arg(long, value_name = "FILE")]
    pub baseline_file: Option<PathBuf>,
}

impl From<KpiArgs> for kpi::Question {
    fn from(typed: KpiArgs) -> Self {
        let PeriodArgs { from, to, service } = typed.period;
        let file = typed.baseline_file.map(Baseline::File);
        let baseline = typed.baseline.map(Baseline::Stretch).or(file).unwrap_or_default();
        Self { period: Period { from, to }, baseline, service }
    }
}
