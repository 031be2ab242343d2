//! What the four figures are made of, for one stretch of time; and the same out of a file that was written earlier.
//!
//! Reads the ledger and the outbox, or a JSON file of this command (`--format json`), whose `period` is taken. A file is
//! as foreign as any input: bounded, of a version that is known, and refused where its numbers contradict each other.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::super::lives::{self, Begun, Median, median};
use super::super::scope::{Exposure, Scope, events};
use super::super::sheet::printable;
use super::SCHEMA;
use crate::edge::store::Store;
use crate::pipeline::event::Millis;
use crate::pipeline::operations::ledger::{Span, Tier};
use crate::pipeline::operations::tally::Counter;

/// Bytes of a baseline file: one has some two thousand.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// Counts of one stretch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Measures {
    /// Start of its first page (RFC 3339).
    pub(super) from: String,
    /// End of its last page (RFC 3339).
    pub(super) to: String,
    /// Length of its pages in words.
    pub(super) pages_of: String,
    /// What rates are divided by.
    pub(super) exposure: Exposure,
    /// Panics.
    pub(super) events: u64,
    /// Failures that users saw: answered with 5xx and not made good by a retry, or not contained.
    pub(super) user_visible: u64,
    /// Answered with 5xx, made good or not.
    pub(super) server_errors: u64,
    /// Circuit breakers that opened; `None`: no producer tells of any.
    pub(super) breakers_opened: Option<u64>,
    /// Events that name their isolate.
    pub(super) isolate_told: u64,
    /// Requests that met a poisoned isolate.
    pub(super) poisoned: u64,
    /// Times that an isolate was left poisoned; `None`: no event names its isolate.
    pub(super) poisoning_incidents: Option<u64>,
    /// From first alert to last event, over what was first alerted in the stretch.
    pub(super) containment: Containment,
    /// Handled panics.
    pub(super) handled: u64,
    /// Panics of which it is told whether they were handled.
    pub(super) handled_told: u64,
}

/// How long what was alerted went on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Containment {
    /// Situations and clusters.
    pub(super) n: u64,
    /// Those of them that are still open.
    pub(super) n_open: u64,
    /// Median, milliseconds; `None`: none, or it falls among those that are open.
    pub(super) median_ms: Option<i64>,
    /// Lower end of its interval; `None`: too few, or open.
    pub(super) low_ms: Option<i64>,
    /// Upper end of its interval; `None`: too few, or open.
    pub(super) high_ms: Option<i64>,
    /// There are enough for an interval.
    pub(super) has_interval: bool,
}

impl From<Median> for Containment {
    fn from(median: Median) -> Self {
        let (low_ms, high_ms) = median.ends.unwrap_or_default();
        let has_interval = median.ends.is_some();
        Self { n: median.n, n_open: median.n_open, median_ms: median.middle, low_ms, high_ms, has_interval }
    }
}

/// Counts a span.
///
/// # Errors
/// The store cannot be read.
pub(super) fn measure(scope: &Scope<'_>, store: &Store, span: Span, service: Option<&str>) -> Result<Measures> {
    let total = scope.total(span);
    let ever = scope.total(Span { from: Millis(i64::MIN), to: Millis(i64::MAX), tier: Tier::Days });
    let get = |counter| total.get(counter);
    let tells_breakers = ever.get(Counter::BreakersOpened) > 0;
    let tells_isolates = get(Counter::IsolateTold) > 0 || ever.get(Counter::PoisoningIncidents) > 0;
    let sent = store.alerts_between(&span.from.to_string(), &span.to.to_string(), lives::ALERTS_MAX)?;
    let about: Vec<_> =
        sent.into_iter().filter(|sent| service.is_none_or(|service| lives::is_about(&sent.alert, service))).collect();
    let begun = lives::begun(store, &about, |_| None)?;
    Ok(Measures {
        from: span.from.to_string(),
        to: span.to.to_string(),
        pages_of: span.tier.words().to_owned(),
        exposure: scope.exposure(span),
        events: events(&total),
        user_visible: get(Counter::UserVisible),
        server_errors: get(Counter::ServerError),
        breakers_opened: tells_breakers.then(|| get(Counter::BreakersOpened)),
        isolate_told: get(Counter::IsolateTold),
        poisoned: get(Counter::Poisoned),
        poisoning_incidents: tells_isolates.then(|| get(Counter::PoisoningIncidents)),
        containment: median(begun.iter().map(Begun::after_alert)).into(),
        handled: get(Counter::Handled),
        handled_told: get(Counter::Handled).saturating_add(get(Counter::Unhandled)),
    })
}

/// What is read of a file; the rest of it is what was said of these numbers then.
#[derive(Deserialize)]
struct Earlier {
    service: Option<String>,
    period: Measures,
}

/// The measures of a file that was written by `report kpi --format json`, of the same service.
///
/// # Errors
/// A file that cannot be read, is too large, no such file, of another version or service, or contradicts itself.
pub(super) fn read(path: &Path, service: Option<&str>) -> Result<Measures> {
    let shown = || path.display().to_string();
    let mut text = String::new();
    let file = File::open(path).with_context(shown)?;
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).with_context(shown)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        bail!("{}: more than {FILE_BYTES_MAX} bytes, which no baseline has", shown());
    }
    let schema: serde_json::Value = serde_json::from_str(&text).with_context(shown)?;
    let schema = schema.get("schema").and_then(serde_json::Value::as_str).unwrap_or("nothing");
    if schema != SCHEMA {
        let schema = printable(schema);
        bail!("{}: this is {schema}, not {SCHEMA}; write it with `panicsift report kpi --format json`", shown());
    }
    let earlier: Earlier = serde_json::from_str(&text).with_context(shown)?;
    if earlier.service.as_deref() != service {
        let told = |service: Option<&str>| service.map_or("all services".to_owned(), printable);
        let (theirs, ours) = (told(earlier.service.as_deref()), told(service));
        bail!("{}: the baseline is of {theirs}, and {ours} is asked for: they cannot be compared", shown());
    }
    contradiction(&earlier.period).map_or(Ok(earlier.period.clone()), |why| bail!("{}: {why}", shown()))
}

/// What cannot be true of measures.
fn contradiction(measures: &Measures) -> Option<&'static str> {
    let Measures { exposure, events, .. } = measures;
    let span = Millis::parse(&measures.from).zip(Millis::parse(&measures.to));
    let parts = [measures.user_visible, measures.server_errors, measures.poisoned, measures.isolate_told];
    match span {
        None => Some("its times are none"),
        Some((from, to)) if to <= from => Some("its period ends before it begins"),
        Some((from, to)) if exposure.millis > to.since(from).unsigned_abs() => {
            Some("it knows of more time than it spans")
        }
        _ if exposure.millis == 0 => Some("it spans no time"),
        _ if *events == 0 => Some("it has no events: there is nothing to compare with"),
        _ if parts.iter().any(|n| n > events) => Some("a part of its events is more than all of them"),
        _ if measures.handled > measures.handled_told || measures.handled_told > *events => {
            Some("more events are handled than there are")
        }
        _ => None,
    }
}

/// The stretch that measures are of.
pub(super) fn stretch(measures: &Measures) -> Option<(Millis, Millis)> {
    Millis::parse(&measures.from).zip(Millis::parse(&measures.to))
}
