//! What may be typed behind `report budget`.

use std::path::PathBuf;

use clap::Args;

use crate::pipeline::operations::budget::slo::{AlarmRule, Slo, WINDOW_DAYS_MAX};
use crate::pipeline::operations::tally::Burn;
use crate::report::budget::Question;
use crate::report::period::Instant;

/// The name of an objective that is typed.
const TYPED: &str = "typed";

/// Options of `report budget`.
#[derive(Debug, Args)]
pub struct BudgetArgs {
    /// Only the objective of this name
    #[arg(long, value_name = "NAME")]
    pub slo: Option<String>,
    /// Configuration whose objectives are told [default: those that the store's service has]
    #[arg(long, value_name = "FILE", conflicts_with = "service")]
    pub config: Option<PathBuf>,
    /// When: a time with an offset, or how long before the end of the store, such as 90m, 6h or 7d [default: the end]
    #[arg(long, value_name = "TIME")]
    pub at: Option<Instant>,
    /// In place of configured objectives, one of this service
    #[arg(
        long,
        value_name = "NAME",
        requires = "objective",
        conflicts_with = "slo",
        help_heading = "An objective of your own"
    )]
    pub service: Option<String>,
    /// Its tenant [default: the default one]
    #[arg(long, value_name = "NAME", requires = "service", help_heading = "An objective of your own")]
    pub tenant: Option<String>,
    /// Its route, as reports show it; may be given several times [default: all]
    #[arg(long, value_name = "ROUTE", requires = "service", help_heading = "An objective of your own")]
    pub route: Vec<String>,
    /// Share of requests that must not fail, such as 0.999
    #[arg(long, value_name = "SHARE", requires = "service", value_parser = budget_ppm, help_heading = "An objective of your own")]
    pub objective: Option<u32>,
    /// Length of its window in days, from 1d to 32d
    #[arg(long, value_name = "DAYS", requires = "service", default_value = "30d", value_parser = window_days, help_heading = "An objective of your own")]
    pub window: u32,
}

impl BudgetArgs {
    /// What is asked.
    pub fn question(self) -> Question {
        let typed = self.service.zip(self.objective).map(|(service, budget_ppm)| Slo {
            name: TYPED.to_owned(),
            tenant: self.tenant.unwrap_or_default(),
            service,
            routes: self.route,
            budget_ppm,
            window_days: self.window,
            counts: [Burn::Real].into(),
            alarm: Some(AlarmRule { limits: [None; 3], events_min: AlarmRule::EVENTS_MIN }),
        });
        Question { name: self.slo, typed, at: self.at }
    }
}

/// An objective as the share that may fail, in parts of a million.
fn budget_ppm(typed: &str) -> Result<u32, String> {
    let objective = typed.parse().ok().and_then(Slo::budget_of);
    objective.ok_or_else(|| {
        format!(
            "{typed:?} is no objective: write a number above 0 and below 1 with at most six decimals, such as 0.999"
        )
    })
}

fn window_days(typed: &str) -> Result<u32, String> {
    let days = typed.strip_suffix('d').unwrap_or(typed).parse().ok();
    days.filter(|days| (1..=WINDOW_DAYS_MAX).contains(days))
        .ok_or_else(|| format!("{typed:?} is no window: write a number of days from 1d to {WINDOW_DAYS_MAX}d"))
}
