//! What may be typed after `report retry-policy` and `report releases`.

use std::path::PathBuf;

use clap::Args;

use crate::report::period::{Instant, Period};

/// Options of `report retry-policy`.
#[derive(Debug, Args)]
pub struct RetryPolicyArgs {
    /// Only this service
    #[arg(long, value_name = "NAME")]
    pub service: Option<String>,
}

/// Options of `report releases`.
#[derive(Debug, Args)]
pub struct ReleasesArgs {
    /// Only this service
    #[arg(long, value_name = "NAME")]
    pub service: Option<String>,
    /// From here on: a time such as 2026-11-05T14:00:00Z, or how long before the end, such as 6h
    #[arg(long, value_name = "TIME")]
    pub from: Option<Instant>,
    /// To here
    #[arg(long, value_name = "TIME")]
    pub to: Option<Instant>,
    /// Configuration whose rollback criteria are used [default: the usual ones]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

impl ReleasesArgs {
    /// The period that is asked about.
    pub fn period(&self) -> Period {
        Period { from: self.from, to: self.to }
    }
}
