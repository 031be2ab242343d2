//! Error budgets as metrics, set anew when there is something new to say.
//!
//! Takes an objective and its figures; labels are the objective's name, the series and the window, all of the
//! configuration or closed lists. What cannot be said is `NaN`, never an old value. Costs some 10 µs an objective.

use metrics::gauge;

use crate::pipeline::operations::budget::Figures;
use crate::pipeline::operations::budget::slo::Slo;
use crate::pipeline::operations::tally::Burn;
use crate::pipeline::sample::count_f64;

/// Panics in an objective's window, by `slo` and `series`.
const SLO_EVENTS: &str = "panicsift_slo_events";
/// Requests in an objective's window, by `slo`.
const SLO_REQUESTS: &str = "panicsift_slo_requests";
/// Burn rate, by `slo`, `series` (those of events, and `counted`) and `window`.
const SLO_BURN_RATE: &str = "panicsift_slo_burn_rate";
/// What is left of an objective's error budget, by `slo`: 1 is all, 0 nothing.
const SLO_BUDGET_REMAINING: &str = "panicsift_slo_budget_remaining";
/// Share of an objective's window for which requests are known, by `slo`.
const SLO_COVERAGE: &str = "panicsift_slo_coverage";

/// The series of what burns the budget, beside those of [`Burn`].
const COUNTED: &str = "counted";

/// Tells the metrics page what these are.
pub(super) fn describe() {
    use metrics::describe_gauge;
    describe_gauge!(SLO_EVENTS, "panics in an objective's window, by what they do to its budget");
    describe_gauge!(SLO_REQUESTS, "requests in an objective's window");
    describe_gauge!(SLO_BURN_RATE, "how many times too fast an error budget burns");
    describe_gauge!(SLO_BUDGET_REMAINING, "what is left of an error budget, 1 is all of it");
    describe_gauge!(SLO_COVERAGE, "share of an objective's window for which requests are known");
}

/// Shows how an error budget stands.
pub fn show_budget(slo: &Slo, figures: &Figures) {
    let name = || slo.name.clone();
    for window in &figures.windows {
        for series in Burn::ALL {
            let burn = window.burn(slo, series).unwrap_or(f64::NAN);
            gauge!(SLO_BURN_RATE, "slo" => name(), "series" => series.name(), "window" => window.name.clone())
                .set(burn);
        }
        let burn = window.burn_counted(slo).unwrap_or(f64::NAN);
        gauge!(SLO_BURN_RATE, "slo" => name(), "series" => COUNTED, "window" => window.name.clone()).set(burn);
    }
    if let Some(own) = figures.own() {
        for series in Burn::ALL {
            gauge!(SLO_EVENTS, "slo" => name(), "series" => series.name()).set(count_f64(own.events.get(series)));
        }
        gauge!(SLO_EVENTS, "slo" => name(), "series" => COUNTED).set(count_f64(own.events.counted(slo)));
        gauge!(SLO_REQUESTS, "slo" => name()).set(count_f64(own.requests));
        gauge!(SLO_COVERAGE, "slo" => name()).set(own.coverage());
    }
    let remaining = figures.budget.map_or(f64::NAN, |budget| budget.remaining);
    gauge!(SLO_BUDGET_REMAINING, "slo" => name()).set(remaining);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;
    use crate::pipeline::event::{Id, Millis};
    use crate::pipeline::operations::budget::slo::Scope;
    use crate::pipeline::operations::ledger::{Demand, Ledger};
    use crate::pipeline::operations::owners::Owners;
    use crate::pipeline::surfaces::ReleaseKey;

    #[test]
    fn a_budget_has_its_series_and_what_cannot_be_said_is_no_number() {
        let slo = Slo {
            name: "checkout".to_owned(),
            tenant: String::new(),
            service: "shop".to_owned(),
            routes: Vec::new(),
            budget_ppm: 1_000,
            window_days: 30,
            counts: [Burn::Real].into(),
            alarm: None,
        };
        let mut ledger = Ledger::default();
        let demand = Demand { service: Some(Id(1)), route: Id(2), release: ReleaseKey::Untold };
        ledger.count_requests(Millis(0), demand, 400).unwrap();
        let scope = Scope::new(&Owners::default(), Id(1), BTreeSet::new());
        let page = |end: i64| {
            let recorder = PrometheusBuilder::new().build_recorder();
            let figures = Figures::of(&slo, &scope, &ledger, Millis(end * Millis::MINUTE));
            metrics::with_local_recorder(&recorder, || show_budget(&slo, &figures));
            recorder.handle().render()
        };
        let told = page(5);
        for line in [
            "panicsift_slo_requests{slo=\"checkout\"} 400",
            "panicsift_slo_events{slo=\"checkout\",series=\"counted\"} 0",
            "panicsift_slo_burn_rate{slo=\"checkout\",series=\"hostile\",window=\"5m\"} 0",
            "panicsift_slo_budget_remaining{slo=\"checkout\"} 1",
        ] {
            assert!(told.lines().any(|found| found == line), "{line} is not in\n{told}");
        }
        // Eight windows of six series, six counts, and three more.
        assert_eq!(told.lines().filter(|line| line.starts_with("panicsift_")).count(), 57, "{told}");
        assert!(page(20).contains("series=\"real\",window=\"5m\"} NaN"));
    }
}
