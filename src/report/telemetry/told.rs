//! A section of the telemetry report in words, as rows for machines and as JSON.
//!
//! Pure: takes rows, gives cells and sentences. A rate that cannot be told is absent, and the reason stands in its place.

use anyhow::Result;
use serde_json::{Value, json};

use super::super::sheet::{Cell, Sheet};
use super::rows::{Row, windows_of};
use super::{By, Page, Section};
use crate::pipeline::event::RecoveryOutcome;
use crate::pipeline::event::RetryOutcome;
use crate::pipeline::operations::interval::{Interval, share};
use crate::pipeline::operations::ledger::Tier;
use crate::pipeline::operations::tally::{Counter, Tally};

/// Requests that a rate is told of.
const PER: f64 = 10_000.0;

/// Columns for people.
const FOR_PEOPLE: [&str; 7] = ["panics", "caught", "per_10_000_requests", "p50_ms", "p95_ms", "p99_ms", "of"];

/// Columns of parts, of which the number alone is known.
const OF_PARTS: [&str; 3] = ["panics", "per_10_000_requests", "of"];

/// Columns for people: what became of the panics, and of retries of their requests.
const WHAT_BECAME: [&str; 10] = [
    "recovered",
    "degraded",
    "escaped",
    "ended",
    "unknown",
    "retried_well",
    "retries_failed",
    "not_retried",
    "attempts_after_the_first",
    "of",
];

/// Columns for machines.
pub(super) const FOR_MACHINES: [&str; 36] = [
    "tenant",
    "service",
    "name",
    "panics",
    "handled",
    "unhandled",
    "handled_untold",
    "handled_share",
    "handled_low",
    "handled_high",
    "recovered",
    "degraded",
    "escaped",
    "aborted",
    "suspected_abort",
    "recovery_unknown",
    "retry_succeeded",
    "retry_failed",
    "not_retried",
    "retry_unknown",
    "attempt_1",
    "attempt_2",
    "attempt_3",
    "attempt_later",
    "latencies",
    "p50_ms",
    "p95_ms",
    "p99_ms",
    "windows_with_panics",
    "windows_covered",
    "panics_covered",
    "requests",
    "per_10000",
    "per_10000_low",
    "per_10000_high",
    "rate_absent_because",
];

/// Attempts that are counted apart.
const ATTEMPTS: [Counter; 4] = [Counter::Attempt1, Counter::Attempt2, Counter::Attempt3, Counter::AttemptLater];

/// Points of the latencies, in thousandths.
const QUANTILES: [u32; 3] = [500, 950, 990];

/// Panics in 10,000 requests.
///
/// Errors: why that cannot be told.
fn rate(row: &Row) -> Result<Interval, &'static str> {
    match row.requests {
        None => Err("no denominator"),
        Some(_) if row.panics > 0 && row.panics_counted == 0 => Err("no denominator: no total of these routes"),
        Some(requests) if row.panics_counted > requests => Err("no denominator: fewer requests than panics"),
        Some(requests) => {
            let Interval { low, estimate, high } = share(row.panics_counted, requests).ok_or("no requests")?;
            Ok(Interval { low: low * PER, estimate: estimate * PER, high: high * PER })
        }
    }
}

fn caught(tally: &Tally) -> Option<Interval> {
    let handled = tally.get(Counter::Handled);
    share(handled, handled + tally.get(Counter::Unhandled))
}

fn quantiles(tally: &Tally) -> [Option<u64>; 3] {
    QUANTILES.map(|permille| tally.latency.quantile_ms(permille).map(u64::from))
}

impl Section {
    /// Adds the rows to a sheet for machines.
    pub(super) fn fill(&self, sheet: &mut Sheet) {
        for (service, name, row) in &self.rows {
            sheet.push(self.cells(service.as_deref(), name, row));
        }
    }

    fn cells(&self, service: Option<&str>, name: &str, row: &Row) -> Vec<Cell> {
        let tally = row.tally.as_ref();
        let count = |of: &dyn Fn(&Tally) -> u64| Cell::from(tally.map(of));
        let counter = |counter: Counter| count(&|tally| tally.get(counter));
        let mut cells: Vec<Cell> = vec![
            self.tenant.as_str().into(),
            service.into(),
            name.into(),
            row.panics.into(),
            counter(Counter::Handled),
            counter(Counter::Unhandled),
            count(&|tally| {
                let told = tally.get(Counter::Handled) + tally.get(Counter::Unhandled);
                tally.get(Counter::Events).saturating_sub(told)
            }),
        ];
        cells.extend(of_interval(tally.and_then(caught)));
        cells.extend(RecoveryOutcome::ALL.map(|outcome| count(&|tally| tally.recovered(outcome))));
        cells.extend(RetryOutcome::ALL.map(|outcome| count(&|tally| tally.retried(outcome))));
        cells.extend(ATTEMPTS.map(counter));
        cells.push(count(&|tally| tally.latency.total()));
        cells.extend(tally.map_or([None; 3], quantiles).map(Cell::from));
        cells.extend([row.pages, row.pages_counted, row.panics_counted].map(Cell::from));
        cells.push(row.requests.into());
        let rate = rate(row);
        cells.extend(of_interval(rate.ok()));
        cells.push(rate.err().into());
        cells
    }

    /// The section as JSON.
    pub(super) fn object(&self) -> Value {
        let mut rows = Sheet::new(&FOR_MACHINES);
        self.fill(&mut rows);
        let mut all = Sheet::new(&FOR_MACHINES);
        all.push(self.cells(None, "all", &self.all));
        json!({
            "tenant": self.tenant,
            "from": self.span.from.to_string(),
            "to": self.span.to.to_string(),
            "page": self.span.tier.words(),
            "requests_of_nobody": self.requests_of_nobody,
            "all": all.objects().next(),
            "n_rows": self.n_rows,
            "rows": rows.objects().collect::<Vec<_>>(),
        })
    }

    /// The section as a table with what is to be said about it.
    pub(super) fn for_people(&self, page: &mut Page<'_>) -> Result<()> {
        let tenant = if self.tenant.is_empty() { String::new() } else { format!(" of the tenant {}", self.tenant) };
        let (from, to, pages) = (self.span.from, self.span.to, self.span.tier.words());
        page.words(&super::printable(&format!(
            "panics{tenant} by {}, {from} to {to}, in pages of {pages}",
            self.by.name()
        )))?;
        page.line("")?;
        page.sheet(&self.sheet())?;
        page.line("")?;
        if !self.by.is_part() {
            page.sheet(&self.what_became())?;
            page.line("")?;
        }
        self.remarks().iter().try_for_each(|remark| page.words(remark))
    }

    /// What a row is called, its service beside it where there are several.
    fn called(&self, service: Option<&String>, name: &str) -> Cell {
        let mut services = self.rows.iter().filter_map(|(service, ..)| service.as_ref());
        let first = services.next();
        match service.filter(|_| self.by != By::Service && services.any(|other| Some(other) != first)) {
            Some(service) => format!("{name} ({service})").into(),
            None => name.into(),
        }
    }

    fn sheet(&self) -> Sheet {
        let mut sheet = Sheet::new(if self.by.is_part() { &OF_PARTS } else { &FOR_PEOPLE });
        for (service, name, row) in &self.rows {
            let rate = rate(row).map_or_else(|_| "no denominator".to_owned(), in_words);
            let mut cells: Vec<Cell> = vec![row.panics.into()];
            if let Some(tally) = &row.tally {
                cells.extend([caught(tally).map(percent).into(), rate.into()]);
                cells.extend(quantiles(tally).map(Cell::from));
            } else {
                cells.push(rate.into());
            }
            cells.push(self.called(service.as_ref(), name));
            sheet.push(cells);
        }
        sheet
    }

    fn what_became(&self) -> Sheet {
        let mut sheet = Sheet::new(&WHAT_BECAME);
        for (service, name, row) in self.rows.iter().filter(|(.., row)| row.panics > 0) {
            let Some(tally) = &row.tally else { continue };
            let ended = tally.get(Counter::Aborted) + tally.get(Counter::SuspectedAbort);
            let later = [Counter::Attempt2, Counter::Attempt3, Counter::AttemptLater];
            let counts = [
                tally.get(Counter::Recovered),
                tally.get(Counter::Degraded),
                tally.get(Counter::Escaped),
                ended,
                tally.get(Counter::RecoveryUnknown),
                tally.get(Counter::RetrySucceeded),
                tally.get(Counter::RetryFailed),
                tally.get(Counter::NotRetried),
                later.into_iter().map(|counter| tally.get(counter)).sum(),
            ];
            let called = self.called(service.as_ref(), name);
            sheet.push(counts.map(Cell::from).into_iter().chain([called]).collect());
        }
        sheet
    }

    fn remarks(&self) -> Vec<String> {
        let more = if self.rows.len() < self.n_rows { " (--limit N for more)" } else { "" };
        let caught = self.all.tally.as_ref().and_then(caught);
        let caught = caught.map_or(String::new(), |caught| format!(", {} caught", percent(caught)));
        let told = format!("{} of {} rows{more}, {} panics{caught}", self.rows.len(), self.n_rows, self.all.panics);
        let mut remarks = vec![told];
        if self.by.is_part() {
            remarks.push(format!(
                "of each {} the account keeps the number of panics alone; by endpoint, release, service or boundary it \
                 knows what became of them",
                self.by.name()
            ));
        }
        remarks.extend(self.of_denominator());
        remarks.push(
            "p50, p95 and p99 are of panicking requests, to within bins: up to 25 % below the true value; no feed tells \
             the latency of other requests, so there is no baseline"
                .to_owned(),
        );
        remarks
    }

    fn of_denominator(&self) -> Vec<String> {
        let Row { panics, pages, pages_counted, panics_counted, requests, .. } = self.all;
        let unit = if self.span.tier == Tier::FiveMinutes { "windows" } else { "pages" };
        let Some(requests) = requests else {
            let why = "no total of requests covers this time (replay --traffic FILE, or a topic with the carrier request_totals)";
            return vec![format!("no denominator: {why}")];
        };
        let mut told =
            vec![format!("denominator covers {pages_counted} of {pages} {unit} with panics, {requests} requests")];
        if panics_counted < panics {
            let n = panics - panics_counted;
            told.push(format!("{n} panics are left out of the rates: their window has no total of their route"));
        }
        if self.span.tier != Tier::FiveMinutes {
            let windows = windows_of(self.span.tier);
            told.push(format!(
                "a page is covered when there are totals in each of its {windows} windows of five minutes"
            ));
        }
        if self.requests_of_nobody > 0 {
            let n = self.requests_of_nobody;
            told.push(format!("{n} requests are of routes whose service the feed does not name, nor any panic"));
        }
        if let Ok(rate) = rate(&self.all) {
            told.push(format!("over all {} panics in 10,000 requests", in_words(rate)));
        }
        told
    }
}

impl By {
    /// Whether rows are parts of accounts, of which only the number is kept.
    fn is_part(self) -> bool {
        matches!(self, Self::Outcome | Self::Surface | Self::Class)
    }
}

fn of_interval(interval: Option<Interval>) -> [Cell; 3] {
    let Some(Interval { low, estimate, high }) = interval else { return [Cell::Empty, Cell::Empty, Cell::Empty] };
    [estimate, low, high].map(Cell::from)
}

/// `91.7 % (91.3-92.1)`.
fn percent(Interval { low, estimate, high }: Interval) -> String {
    format!("{:.1} % ({:.1}-{:.1})", 100.0 * estimate, 100.0 * low, 100.0 * high)
}

/// `12.31 (11.80-12.85)`.
fn in_words(Interval { low, estimate, high }: Interval) -> String {
    format!("{estimate:.2} ({low:.2}-{high:.2})")
}
