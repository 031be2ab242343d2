//! Announced tests as they stand in the file.
//!
//! Like [`super`], nothing is checked here beyond type and range.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A test that was announced: its events are clustered, counted and reported as expected, and raise no alert. Outside its
/// time, its routes and its senders everything is judged as ever.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "expected")]
pub(in crate::config) struct ExpectedFile {
    /// What it is, for the report, such as "load test of the autumn release".
    #[schemars(required, length(min = 1, max = 200))]
    pub(in crate::config) reason: Option<String>,
    /// Where it was agreed, such as a ticket's number.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    pub(in crate::config) ticket: Option<String>,
    /// Event time from which on it holds, as RFC 3339 with an offset.
    #[schemars(required)]
    pub(in crate::config) from: Option<String>,
    /// Event time at which it ends, as RFC 3339 with an offset.
    #[schemars(required)]
    pub(in crate::config) until: Option<String>,
    /// Addresses or networks that send, such as `203.0.113.0/28`. Sources or tokens must be named.
    #[serde(default)]
    #[schemars(length(max = 100))]
    pub(in crate::config) sources: Vec<String>,
    /// Tokens that send, by the id that producers write (`token.id_hash`).
    #[serde(default)]
    #[schemars(length(max = 100))]
    pub(in crate::config) tokens: Vec<String>,
    /// Services that are tested; all when absent.
    #[serde(default)]
    #[schemars(length(max = 100))]
    pub(in crate::config) services: Vec<String>,
    /// Routes that are tested, as reports show them (`POST /v1/orders`); one that ends in `*` stands for all that begin
    /// so; all when absent.
    #[serde(default)]
    #[schemars(length(max = 100))]
    pub(in crate::config) routes: Vec<String>,
}
