//! What may be typed for `report telemetry`, and for any report over a stretch of time.
//!
//! Only types and words; times are parsed by the report, which knows them.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::report::period::{Instant, Period};
use crate::report::telemetry::{By, Selection};

/// Options of `report telemetry`.
#[derive(Debug, Args)]
pub struct TelemetryArgs {
    /// What rows are about
    #[arg(long, value_name = "WHAT", default_value = "endpoint")]
    pub by: ByArg,
    /// From here on: a time such as 2026-11-05T14:00:00Z, or how long before the end, such as 90m, 6h or 7d
    #[arg(long, value_name = "TIME")]
    pub from: Option<Instant>,
    /// To here, exclusive: as --from
    #[arg(long, value_name = "TIME")]
    pub to: Option<Instant>,
    /// The same as --from
    #[arg(long, value_name = "TIME", conflicts_with = "from")]
    pub since: Option<Instant>,
    /// Only this service
    #[arg(long, value_name = "NAME")]
    pub service: Option<String>,
    /// Most rows to tell, those with the most panics [default: 20 as a table, else all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: Option<u32>,
    /// Configuration whose model of panics says of which surface a class is [default: the built-in one]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// What rows are about, as it is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ByArg {
    /// Route
    Endpoint,
    /// Release
    Release,
    /// Service
    Service,
    /// What became of the fault
    Outcome,
    /// What the code did that panicked
    Surface,
    /// Panic class
    Class,
    /// What contained the panic
    Boundary,
}

impl From<ByArg> for By {
    fn from(typed: ByArg) -> Self {
        match typed {
            ByArg::Endpoint => Self::Endpoint,
            ByArg::Release => Self::Release,
            ByArg::Service => Self::Service,
            ByArg::Outcome => Self::Outcome,
            ByArg::Surface => Self::Surface,
            ByArg::Class => Self::Class,
            ByArg::Boundary => Self::Boundary,
        }
    }
}

impl From<TelemetryArgs> for Selection {
    fn from(typed: TelemetryArgs) -> Self {
        let limit = typed.limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let period = Period { from: typed.from.or(typed.since), to: typed.to };
        Self { by: typed.by.into(), period, service: typed.service, limit }
    }
}
