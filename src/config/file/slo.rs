//! Service level objectives as they stand in the file.
//!
//! Like [`super`], nothing is checked here beyond type and range.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::pipeline::operations::budget::slo::AlarmRule;
use crate::pipeline::operations::tally::Burn;

/// A service level objective: its error budget is watched, alerted and reported (`panicsift report budget`). Its rates need
/// the request totals of a traffic feed; without one there are counts alone, and no alert.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "slo")]
pub(in crate::config) struct SloFile {
    /// Name in reports, alerts and metrics: letters, digits, "-", "_" and "."; unique.
    #[schemars(required, length(min = 1, max = 64))]
    pub(in crate::config) name: Option<String>,
    /// Service that it is about.
    #[schemars(required, length(min = 1, max = 200))]
    pub(in crate::config) service: Option<String>,
    /// Tenant of the service; absent: the default one.
    #[serde(default)]
    #[schemars(length(max = 200))]
    pub(in crate::config) tenant: String,
    /// Routes that it is about, as reports show them (`POST /v1/orders`); all of the service when absent.
    #[serde(default)]
    #[schemars(length(max = 100))]
    pub(in crate::config) routes: Vec<String>,
    /// Share of requests that must not fail, above 0 and below 1, with at most six decimals.
    #[schemars(required)]
    pub(in crate::config) objective: Option<f64>,
    /// Length of the window, sliding, that the objective is about.
    #[serde(default = "default_window_days")]
    #[schemars(range(min = 1, max = 32))]
    pub(in crate::config) window_days: u32,
    /// What burns the budget. "real": the user saw a failure that nobody meant; "transient": contained and made good;
    /// "hostile": caused by somebody held for hostile; "announced": part of an announced test; "unknown": nobody says what
    /// became of it.
    #[serde(default = "default_counts")]
    #[schemars(length(min = 1, max = 5))]
    pub(in crate::config) counts: Vec<Burn>,
    /// Whether an alert is raised when the budget burns too fast.
    #[serde(default = "default_alert")]
    pub(in crate::config) alert: bool,
    /// Failed requests that a window must hold before there is an alert.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(in crate::config) alert_events_min: Option<u64>,
    /// Burn rate from which an hour is critical, while the last 5 minutes burn so fast, too. Absent: the rate that spends
    /// 2 % of the budget in an hour (14.4 for 30 days), at least 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.1, max = 1_000_000.0))]
    pub(in crate::config) burn_1h: Option<f64>,
    /// Burn rate from which 6 hours are of high severity, while the last 30 minutes burn so fast, too. Absent: the rate that
    /// spends 5 % of the budget in 6 hours (6 for 30 days), at least 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.1, max = 1_000_000.0))]
    pub(in crate::config) burn_6h: Option<f64>,
    /// Burn rate from which 3 days are of medium severity, while the last 6 hours burn so fast, too. Absent: the rate that
    /// spends 10 % of the budget in 3 days (1 for 30 days), at least 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.1, max = 1_000_000.0))]
    pub(in crate::config) burn_3d: Option<f64>,
}

fn default_window_days() -> u32 {
    30
}

fn default_counts() -> Vec<Burn> {
    vec![Burn::Real]
}

fn default_alert() -> bool {
    true
}

impl SloFile {
    /// The limits of the pairs, the fastest first.
    pub(in crate::config) fn limits(&self) -> [Option<f64>; 3] {
        [self.burn_1h, self.burn_6h, self.burn_3d]
    }

    /// Failed requests that the long window must hold.
    pub(in crate::config) fn events_min(&self) -> u64 {
        self.alert_events_min.unwrap_or(AlarmRule::EVENTS_MIN)
    }
}
