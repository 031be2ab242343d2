//! The series against a naive count, and names that are there to make many of them.

use std::collections::BTreeSet;

use metrics_exporter_prometheus::PrometheusBuilder;

use super::*;
use crate::pipeline::classify::Surface;
use crate::pipeline::event::{RecoveryOutcome, RetryOutcome};
use crate::pipeline::operations::ledger::Demand;

const TENANT: Id = Id(7);

fn fact(service: u64, release: Option<u64>, route: Option<u64>) -> PanicFact {
    PanicFact {
        tenant: TENANT,
        service: Id(service),
        route: route.map(Id),
        release: release.map(Id),
        class: Id(1),
        surface: Surface::Bounds,
        handled: Some(true),
        recovery: RecoveryOutcome::Unknown,
        retry: RetryOutcome::NotRetried,
        latency_ms: Some(40),
    }
}

fn request(service: Option<u64>, route: u64, n: u64) -> RequestFact {
    let demand = Demand { service: service.map(Id), route: Id(route), release: ReleaseKey::One(Id(3)) };
    RequestFact { tenant: TENANT, demand, n }
}

fn name(_: Id, id: Id) -> Option<String> {
    (id != Id(0)).then(|| format!("n{}", id.0))
}

/// The series after these batches, without comments.
fn page(batches: &[(Vec<PanicFact>, Vec<RequestFact>)], name: impl Fn(Id, Id) -> Option<String>) -> Vec<String> {
    let recorder = PrometheusBuilder::new().set_buckets(&[0.05, 1.0]).unwrap().build_recorder();
    let mut telemetry = Telemetry::default();
    metrics::with_local_recorder(&recorder, || {
        for (panics, requests) in batches {
            telemetry.count(panics, requests, &name);
        }
    });
    let page = recorder.handle().render();
    let mut lines: Vec<String> =
        page.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

fn sum(lines: &[String], series: &str) -> u64 {
    let lines = lines.iter().filter(|line| line.starts_with(&format!("{series}{{")));
    lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
}

#[test]
fn a_panic_counts_once_in_each_series_under_its_names() {
    let facts = vec![fact(1, Some(3), Some(2)), fact(1, Some(3), Some(2)), fact(1, None, None)];
    let lines = page(&[(facts.clone(), vec![request(Some(1), 2, 500), request(None, 9, 7)]), (facts, vec![])], name);
    let expected = [
        "panicsift_panic_latency_seconds_bucket{service=\"n1\",release=\"n3\",le=\"+Inf\"} 4",
        "panicsift_panic_latency_seconds_bucket{service=\"n1\",release=\"n3\",le=\"0.05\"} 4",
        "panicsift_panic_latency_seconds_count{service=\"n1\",release=\"untold\"} 2",
        "panicsift_panics_by_class_total{service=\"n1\",surface=\"bounds\",class=\"n1\"} 6",
        "panicsift_panics_total{service=\"n1\",release=\"n3\",route=\"n2\",handled=\"true\"} 4",
        "panicsift_panics_total{service=\"n1\",release=\"untold\",route=\"other\",handled=\"true\"} 2",
        "panicsift_recoveries_total{service=\"n1\",release=\"n3\",outcome=\"unknown\"} 4",
        "panicsift_requests_total{service=\"n1\",release=\"n3\",route=\"n2\"} 500",
        "panicsift_requests_total{service=\"other\",release=\"other\",route=\"other\"} 7",
        "panicsift_retries_total{service=\"n1\",release=\"untold\",outcome=\"not_retried\"} 2",
    ];
    for line in expected {
        assert!(lines.iter().any(|found| found == line), "{line}\n{lines:#?}");
    }
}

#[test]
fn a_flood_of_names_ends_in_other_and_nothing_is_lost() {
    let flood = |n: u64| fact(n % 500, Some(n % 700), Some(n % 900));
    let batches: Vec<_> = (0..40)
        .map(|batch| ((0..500).map(|n| flood(batch * 500 + n)).collect(), vec![request(Some(batch), batch * 31, 10)]))
        .collect();
    let lines = page(&batches, name);
    assert!(lines.len() < 4_000, "{} series", lines.len());
    let labels = |label: &str| -> BTreeSet<&str> {
        lines
            .iter()
            .filter_map(|line| line.split_once(&format!("{label}=\"")))
            .filter_map(|(_, rest)| rest.split('"').next())
            .collect()
    };
    assert!(labels("service").len() <= SERVICES.1 + 1);
    assert!(labels("route").len() <= ROUTES.1 + 1);
    for series in ["panicsift_panics_total", "panicsift_panics_by_class_total", "panicsift_recoveries_total"] {
        assert_eq!(sum(&lines, series), 20_000, "{series}");
    }
    assert_eq!(sum(&lines, "panicsift_panic_latency_seconds_count"), 20_000);
    assert_eq!(sum(&lines, "panicsift_requests_total"), 400);
}

#[test]
fn every_series_only_ever_grows() {
    let batch = |n: u64| vec![fact(n % 90, Some(n), Some(n % 70)); 30];
    let batches: Vec<_> = (0..120).map(|n| (batch(n), Vec::new())).collect();
    let (before, after) = (page(&batches[..60], name), page(&batches, name));
    for line in before.iter().filter(|line| !line.contains("quantile")) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let now = after.iter().find(|line| line.rsplit_once(' ').unwrap().0 == series).expect(series);
        let now = now.rsplit_once(' ').unwrap().1;
        assert!(now.parse::<f64>().unwrap() >= value.parse::<f64>().unwrap(), "{series}");
    }
}

#[test]
fn hostile_names_break_no_line_and_an_unknown_id_is_no_label() {
    let evil = |_: Id, id: Id| match id {
        Id(0) => None,
        _ => Some(format!("\"}} 1\n# x\\{}\u{202e}\u{1b}[31m{}", id.0, "long".repeat(100))),
    };
    let lines = page(&[(vec![fact(1, Some(3), Some(0)), fact(0, None, None)], vec![])], evil);
    assert_eq!(sum(&lines, "panicsift_panics_total"), 2);
    for line in &lines {
        assert!(line.starts_with("panicsift_") && line.len() < 500, "{line}");
        assert!(!line.contains(|c: char| c.is_control() || c == '\u{202e}'), "{line}");
    }
    assert!(
        lines.iter().any(|line| line.contains("service=\"other\",release=\"other\",route=\"other\"")),
        "{lines:#?}"
    );
}

#[test]
fn the_delay_of_a_detection_is_that_of_hostile_clusters_alone() {
    let mut alert: Alert = serde_json::from_str(include_str!("../../../../tests/data/alert.json")).unwrap();
    alert.change = Change::Opened;
    alert.category = Category::HostileInput;
    alert.portrait.first_event = "2026-09-14T08:00:00.000Z".to_owned();
    alert.at = "2026-09-14T08:00:40.500Z".to_owned();
    let storm = Alert { category: Category::Storm, ..alert.clone() };
    let raised = Alert { change: Change::Raised, ..alert.clone() };
    let backwards = Alert { at: "2026-09-14T07:00:00.000Z".to_owned(), ..alert.clone() };
    let recorder = PrometheusBuilder::new().set_buckets(&[60.0]).unwrap().build_recorder();
    metrics::with_local_recorder(&recorder, || count_detections(&[alert, storm, raised, backwards]));
    let page = recorder.handle().render();
    for line in ["_bucket{le=\"60\"} 1", "_sum 40.5", "_count 1"] {
        assert!(page.contains(&format!("{DETECTION_DELAY}{line}\n")), "{page}");
    }
}
