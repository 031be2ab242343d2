//! How an error budget is told: to people, to machines, to spreadsheets.
//!
//! Part of [`super`]. Pure: takes figures, gives lines and values. What is not known is a dash, `null` or an empty cell.

use anyhow::Result;
use serde_json::{Value, json};

use super::super::Page;
use super::super::sheet::{Cell, Sheet, printable};
use crate::pipeline::alert::Severity;
use crate::pipeline::event::Millis;
use crate::pipeline::operations::budget::alarm::{PairState, minutes};
use crate::pipeline::operations::budget::slo::Slo;
use crate::pipeline::operations::budget::{Figures, Split, Window};
use crate::pipeline::operations::ledger::Tier;
use crate::pipeline::operations::tally::Burn;

/// Columns for spreadsheets.
const FOR_MACHINES: [&str; 23] = [
    "slo",
    "tenant",
    "service",
    "objective",
    "window",
    "from",
    "to",
    "page",
    "covered_secs",
    "requests",
    "events",
    "counted",
    "real",
    "transient",
    "hostile",
    "announced",
    "unknown",
    "burn_counted",
    "burn_real",
    "burn_transient",
    "burn_hostile",
    "burn_announced",
    "burn_unknown",
];

/// An objective with all that is told of it.
pub(super) struct Told {
    pub(super) slo: Slo,
    pub(super) figures: Figures,
    /// Empty where the objective is not alerted, or not known.
    pub(super) pairs: Vec<PairState>,
    /// The open alert: its name, since when, how severe.
    pub(super) open: Option<(String, Millis, Severity)>,
    /// What else is to be known, in sentences.
    pub(super) notes: Vec<String>,
}

/// What limits the figures, in sentences.
pub(super) fn notes(slo: &Slo, figures: &Figures, at: Millis) -> Vec<String> {
    let mut notes = Vec::new();
    let Some(own) = figures.own() else { return notes };
    if own.requests == 0 {
        notes.push(
            "there is no denominator: no requests of it are known, so there are counts and no rates; a traffic feed \
             brings them"
                .to_owned(),
        );
    }
    let gaps = figures.windows.iter().filter(|window| window.requests > 0 && !window.has_rates());
    notes.extend(gaps.map(|window| {
        let panics = window.events_with_requests.total();
        format!(
            "{}: {} requests are fewer than {panics} panics; the traffic feed has gaps, so there are no rates",
            window.name, window.requests
        )
    }));
    if figures.end < Tier::FiveMinutes.start(at) {
        notes.push(format!("no requests after {} are known: the windows end there", figures.end));
    }
    if own.n_elsewhere > 0 {
        notes.push(format!(
            "{} panics of the service are on routes that the ledger had no room for; they are in none of these counts",
            own.n_elsewhere
        ));
    }
    let unknown = own.events.get(Burn::Unknown);
    if unknown > 0 && !slo.counts.contains(&Burn::Unknown) {
        let with = own.burn_counted(slo).zip(own.burn(slo, Burn::Unknown));
        let with = with.map(|(counted, unknown)| {
            format!("; with them it would burn {} times the even pace", rate(counted + unknown))
        });
        notes.push(format!(
            "of {unknown} panics nobody says what became of them; they do not burn the budget{}",
            with.unwrap_or_default()
        ));
    }
    notes
}

/// A rate with three digits that matter.
fn rate(rate: f64) -> String {
    match rate {
        _ if rate >= 100.0 => format!("{rate:.0}"),
        _ if rate >= 10.0 => format!("{rate:.1}"),
        _ if rate >= 1.0 => format!("{rate:.2}"),
        _ if rate >= 0.001 => format!("{rate:.3}"),
        _ if rate > 0.0 => "<0.001".to_owned(),
        _ => "0".to_owned(),
    }
}

/// `3 h 20 min`, `2 d 4 h`: two units, to the minute below.
fn span_words(millis: i64) -> String {
    let (days, hours, minutes) =
        (millis / Millis::DAY, millis % Millis::DAY / Millis::HOUR, millis % Millis::HOUR / Millis::MINUTE);
    match (days, hours) {
        (0, 0) => format!("{minutes} min"),
        (0, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

fn counts_words(slo: &Slo) -> String {
    slo.counts.iter().map(|burn| burn.name()).collect::<Vec<_>>().join(" and ")
}

fn windows_sheet(figures: &Figures) -> Sheet {
    let mut columns = vec!["window", "pages", "covered", "requests", "panics"];
    columns.extend(Burn::ALL.map(Burn::name));
    let mut sheet = Sheet::new(&columns);
    for window in &figures.windows {
        let mut row: Vec<Cell> = vec![
            window.name.as_str().into(),
            window.span.tier.words().into(),
            format!("{} of {}", minutes(window.covered_millis), minutes(window.millis)).into(),
            (window.requests > 0).then_some(window.requests).into(),
            window.events.total().into(),
        ];
        row.extend(Burn::ALL.map(|burn| Cell::from(window.events.get(burn))));
        sheet.push(row);
    }
    sheet
}

fn burn_sheet(slo: &Slo, figures: &Figures) -> Sheet {
    let mut columns = vec!["burn_rate", "failed", "counted"];
    columns.extend(Burn::ALL.map(Burn::name));
    let mut sheet = Sheet::new(&columns);
    for window in figures.windows.iter().filter(|window| window.has_rates()) {
        let failed = window.events_with_requests.counted(slo);
        let mut row: Vec<Cell> =
            vec![window.name.as_str().into(), failed.into(), window.burn_counted(slo).map(rate).into()];
        row.extend(Burn::ALL.map(|burn| Cell::from(window.burn(slo, burn).map(rate))));
        sheet.push(row);
    }
    sheet
}

impl Told {
    /// The objective, its windows, its budget, its alert.
    pub(super) fn for_people(&self, page: &mut Page<'_>) -> Result<()> {
        let Self { slo, figures, .. } = self;
        page.words(&format!(
            "{}: {} of requests to {} in {} d, up to {}; burnt by {}",
            slo.name,
            slo.objective_words(),
            printable(&slo.subject()),
            slo.window_days,
            figures.end,
            counts_words(slo)
        ))?;
        for note in &self.notes {
            page.words(&format!("note: {}", printable(note)))?;
        }
        page.line("")?;
        page.sheet(&windows_sheet(figures))?;
        let burn = burn_sheet(slo, figures);
        if !burn.is_empty() {
            page.line("")?;
            page.sheet(&burn)?;
        }
        page.line("")?;
        self.budget_for_people(page)?;
        self.alert_for_people(page)
    }

    fn budget_for_people(&self, page: &mut Page<'_>) -> Result<()> {
        let Self { slo, figures, .. } = self;
        let (Some(budget), Some(own)) = (figures.budget, figures.own()) else {
            return page.line("budget: it cannot be said how much is used without requests for its window");
        };
        let failed = own.events_with_requests.counted(slo);
        page.words(&format!(
            "budget: {failed} of {:.1} failures that {} requests allow ({:.2} %), known for {} of {} d",
            budget.allowed,
            own.requests,
            100.0 * budget.used,
            span_words(own.covered_millis),
            slo.window_days,
        ))?;
        let left = 100.0 * budget.remaining;
        let assumed = if own.covered_millis < own.millis {
            ", if the rest of the window was as busy and without faults"
        } else {
            ""
        };
        page.words(&format!("left: {left:.2} % of the budget of {} d{assumed}", slo.window_days))?;
        match budget.exhausted_in_millis {
            Some(0) => page.line("exhausted: it is spent"),
            Some(millis) => page.words(&format!(
                "exhausted: in {} at the pace of the last hour, if nothing old leaves the window before",
                span_words(millis)
            )),
            None => page.line("exhausted: not within a window at the pace of the last hour"),
        }
    }

    fn alert_for_people(&self, page: &mut Page<'_>) -> Result<()> {
        match (&self.open, self.slo.alarm.is_some()) {
            (_, false) => return page.line("alert: off"),
            (Some((name, since, severity)), _) => {
                page.line(&format!("alert: {name}, {}, open since {since}", severity.name()))?;
            }
            (None, _) => page.line("alert: none is open")?,
        }
        if self.pairs.is_empty() {
            return Ok(());
        }
        page.line("")?;
        let columns = ["severity", "limit", "long", "burns", "at_least", "failed", "short", "burns_now", "fires"];
        let mut sheet = Sheet::new(&columns);
        for state in &self.pairs {
            sheet.push(vec![
                state.pair.severity.name().into(),
                rate(state.pair.limit).into(),
                state.long.name.as_str().into(),
                state.long_burn.map(rate).into(),
                state.long_burn_at_least.map(rate).into(),
                state.n_counted.into(),
                state.short.name.as_str().into(),
                state.short_burn.map(rate).into(),
                if state.fires() { "yes" } else { "no" }.into(),
            ]);
        }
        page.sheet(&sheet)
    }

    /// The same for machines.
    pub(super) fn object(&self) -> Value {
        let Self { slo, figures, .. } = self;
        let budget = figures.budget.map(|budget| {
            json!({
                "allowed": budget.allowed, "used": budget.used, "used_of_window": budget.used_of_window,
                "remaining": budget.remaining,
                "exhausted_in_secs": budget.exhausted_in_millis.map(|millis| millis / Millis::SECOND),
            })
        });
        let open = self.open.as_ref().map(
            |(name, since, severity)| json!({ "alert": name, "since": since.to_string(), "severity": severity.name() }),
        );
        json!({
            "name": slo.name, "tenant": printable(&slo.tenant), "service": printable(&slo.service),
            "routes": slo.routes.iter().map(|route| printable(route)).collect::<Vec<_>>(),
            "objective": slo.objective(), "window_days": slo.window_days,
            "counts": slo.counts.iter().map(|burn| burn.name()).collect::<Vec<_>>(),
            "end": figures.end.to_string(),
            "windows": figures.windows.iter().map(|window| window_object(slo, window)).collect::<Vec<_>>(),
            "budget": budget,
            "alert": slo.alarm.map(|rule| json!({
                "events_min": rule.events_min, "open": open,
                "pairs": self.pairs.iter().map(pair_object).collect::<Vec<_>>(),
            })),
            "notes": self.notes.iter().map(|note| printable(note)).collect::<Vec<_>>(),
        })
    }
}

fn split_object(slo: &Slo, split: &Split) -> Value {
    json!({
        "total": split.total(), "counted": split.counted(slo),
        "real": split.get(Burn::Real), "transient": split.get(Burn::Transient), "hostile": split.get(Burn::Hostile),
        "announced": split.get(Burn::Announced), "unknown": split.get(Burn::Unknown),
    })
}

fn window_object(slo: &Slo, window: &Window) -> Value {
    let burn = |series| window.burn(slo, series);
    let rates = window.has_rates().then(|| {
        json!({
            "counted": window.burn_counted(slo),
            "real": burn(Burn::Real), "transient": burn(Burn::Transient), "hostile": burn(Burn::Hostile),
            "announced": burn(Burn::Announced), "unknown": burn(Burn::Unknown),
        })
    });
    json!({
        "window": window.name, "secs": window.millis / Millis::SECOND,
        "from": window.span.from.to_string(), "to": window.span.to.to_string(),
        "page_secs": window.span.tier.millis() / Millis::SECOND,
        "known_secs": window.known_millis / Millis::SECOND, "covered_secs": window.covered_millis / Millis::SECOND,
        "requests": (window.requests > 0).then_some(window.requests),
        "events": split_object(slo, &window.events),
        "events_with_requests": split_object(slo, &window.events_with_requests),
        "events_elsewhere": window.n_elsewhere,
        "burn_rates": rates,
    })
}

fn pair_object(state: &PairState) -> Value {
    json!({
        "severity": state.pair.severity.name(), "limit": state.pair.limit,
        "long_window": state.long.name, "long_burn_rate": state.long_burn,
        "long_burn_rate_at_least": state.long_burn_at_least, "failed": state.n_counted,
        "short_window": state.short.name, "short_burn_rate": state.short_burn,
        "fires": state.fires(),
    })
}

/// One row for each window of each objective.
pub(super) fn sheet(told: &[Told]) -> Sheet {
    let mut sheet = Sheet::new(&FOR_MACHINES);
    for Told { slo, figures, .. } in told {
        for window in &figures.windows {
            let seconds = |millis: i64| u64::try_from(millis / Millis::SECOND).unwrap_or(0);
            let mut row: Vec<Cell> = vec![
                slo.name.as_str().into(),
                slo.tenant.as_str().into(),
                slo.service.as_str().into(),
                slo.objective().into(),
                window.name.as_str().into(),
                window.span.from.to_string().into(),
                window.span.to.to_string().into(),
                window.span.tier.words().into(),
                seconds(window.covered_millis).into(),
                (window.requests > 0).then_some(window.requests).into(),
                window.events.total().into(),
                window.events.counted(slo).into(),
            ];
            row.extend(Burn::ALL.map(|burn| Cell::from(window.events.get(burn))));
            row.push(window.burn_counted(slo).into());
            row.extend(Burn::ALL.map(|burn| Cell::from(window.burn(slo, burn))));
            sheet.push(row);
        }
    }
    sheet
}
