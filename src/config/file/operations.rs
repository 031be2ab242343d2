//! What the operator says of retries and releases, as it stands in the file.
//!
//! Like [`super`], nothing is checked here beyond type and range.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Routes of a service whose requests may be sent twice although their method does not say so.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "idempotent")]
pub(in crate::config) struct IdempotentFile {
    /// The service.
    #[schemars(required, length(min = 1, max = 1024))]
    pub(in crate::config) service: Option<String>,
    /// Its routes, as reports show them (`POST /v1/quote`); one that ends in `*` stands for all that begin so.
    #[schemars(required, length(min = 1, max = 100))]
    pub(in crate::config) routes: Option<Vec<String>>,
}

/// When retries count as a cascade: both intervals must lie above their limits.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(title = "cascade")]
pub(in crate::config) struct CascadeFile {
    /// Panics for each original request.
    #[schemars(range(min = 1.0, max = 100.0))]
    pub(in crate::config) amplification: f64,
    /// Retries as a multiple of those in the busiest as long time of the day before.
    #[schemars(range(min = 1.0, max = 1000.0))]
    pub(in crate::config) growth: f64,
    /// Retries in the window without which nothing is a cascade.
    #[schemars(range(min = 10, max = 1_000_000))]
    pub(in crate::config) retries_min: u64,
    /// Length of the window, a multiple of 5.
    #[schemars(range(min = 5, max = 1_440))]
    pub(in crate::config) window_minutes: u32,
}

impl Default for CascadeFile {
    fn default() -> Self {
        Self { amplification: 1.5, growth: 3.0, retries_min: 50, window_minutes: 15 }
    }
}

/// A criterion for going back to the release before.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "rollback")]
pub(in crate::config) struct RollbackFile {
    /// What is measured of the new release.
    #[schemars(required)]
    pub(in crate::config) measure: Option<MeasureFile>,
    /// The limit that the interval must lie beyond: above, for `recovery_share` below. Shares are from 0 to 1.
    #[schemars(required, range(min = 0.0, max = 1000.0))]
    pub(in crate::config) limit: Option<f64>,
    /// Length of the window, a multiple of 5.
    #[serde(default = "default_window_minutes")]
    #[schemars(range(min = 5, max = 1_440))]
    pub(in crate::config) window_minutes: u32,
    /// Events in the window without which the criterion says nothing.
    #[serde(default = "default_events_min")]
    #[schemars(range(min = 10, max = 1_000_000))]
    pub(in crate::config) events_min: u64,
    /// Services that it holds for; all when absent.
    #[serde(default)]
    #[schemars(length(max = 100))]
    pub(in crate::config) services: Vec<String>,
}

/// What a criterion measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum MeasureFile {
    /// Panics for each original request.
    Amplification,
    /// Rate of honest panics as a multiple of the old release's, on the whole or on the worst route.
    PanicShare,
    /// Share of panics that were not caught.
    UnhandledShare,
    /// Share of honest panics that were made good.
    RecoveryShare,
}

fn default_window_minutes() -> u32 {
    30
}

fn default_events_min() -> u64 {
    30
}
