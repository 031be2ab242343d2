//! What the loop and the lanes count, one call each.
//!
//! Takes numbers and labels, adds them to the process's metrics; without a recorder nothing happens. Never decides
//! anything and never sees a text from an event ([`super::telemetry`] does). Reasons, changes and severities are closed lists, so that the number
//! of series is bounded. Costs some 100 ns a series, once a batch: repeated labels are added up first.

use std::collections::BTreeMap;
use std::time::Duration;

use metrics::{counter, gauge, histogram};

use super::{
    ACKNOWLEDGEMENTS, ALERTS, BATCH_SECONDS, BATCHES, CELLS, CLUSTERS, CLUSTERS_BY_VERDICT, COMMIT_ERRORS, DELIVERIES,
    DELIVERY_REQUESTS, EPOCHS, FALLBACKS, GATHERED, LATE, OFFSETS_SKIPPED, OPEN_ALERTS, PARTITIONS, REBALANCES,
    RECORDS, RECORDS_GONE, REJECTIONS, ROWS_CLUSTERED, SOURCE_ERRORS, SOURCE_ON_HOLD, SPLUNK_ACK,
};
use crate::pipeline::alert::{Alert, Verdict};
use crate::pipeline::event::Rejection;
use crate::pipeline::gather::GatherCounts;
use crate::pipeline::state::Size;

/// What a batch came to, for [`count_batch`]. Observed, duplicate, rejected, covered, silent, gathered, counted and
/// sampled records are all there were.
#[derive(Debug, Clone, Copy, Default)]
pub struct BatchCounts<'a> {
    /// Records that became part of the state.
    pub observed: u64,
    /// Records whose event was there already.
    pub duplicate: u64,
    /// Records that an earlier run had decided.
    pub covered: u64,
    /// Records that were read and tell of no panic.
    pub silent: u64,
    /// Records that tell a part of a panic.
    pub gathered: u64,
    /// Records whose request totals became part of the account.
    pub counted: u64,
    /// Records whose ordinary requests were learned from.
    pub sampled: u64,
    /// Records that were refused.
    pub rejections: &'a [Rejection<'a>],
    /// Observed events of an epoch that was closed already.
    pub late: u64,
    /// Epochs closed.
    pub epochs: u64,
    /// Rows that went through the clustering.
    pub rows_clustered: u64,
    /// Clusterings that failed and fell back to exact keys.
    pub fallbacks: u64,
    /// Alerts decided.
    pub alerts: &'a [Alert],
}

/// Counts a batch. Series without a label of their own are there from the first call on, with 0 where nothing happened:
/// an alarm on an absent series never rings.
pub fn count_batch(batch: &BatchCounts<'_>) {
    let rejected = u64::try_from(batch.rejections.len()).unwrap_or(u64::MAX);
    let fates = [
        ("observed", batch.observed),
        ("duplicate", batch.duplicate),
        ("covered", batch.covered),
        ("silent", batch.silent),
        ("gathered", batch.gathered),
        ("counted", batch.counted),
        ("sampled", batch.sampled),
        ("rejected", rejected),
    ];
    for (fate, n) in fates {
        counter!(RECORDS, "fate" => fate).increment(n);
    }
    for (reason, n) in tally(batch.rejections.iter().map(|rejection| rejection.reason.name())) {
        counter!(REJECTIONS, "reason" => reason).increment(n);
    }
    let label = |alert: &Alert| (alert.category.name(), alert.change.name(), alert.portrait.severity.name());
    for ((category, change, severity), n) in tally(batch.alerts.iter().map(label)) {
        counter!(ALERTS, "category" => category, "change" => change, "severity" => severity).increment(n);
    }
    counter!(LATE).increment(batch.late);
    counter!(EPOCHS).increment(batch.epochs);
    counter!(ROWS_CLUSTERED).increment(batch.rows_clustered);
    counter!(FALLBACKS).increment(batch.fallbacks);
}

/// Shows what became of pieces that waited for each other, since the start.
pub fn count_gathered(counts: &GatherCounts) {
    for (outcome, n) in [("joined", counts.joined), ("missed", counts.missed), ("crowded_out", counts.crowded_out)] {
        counter!(GATHERED, "outcome" => outcome).absolute(n);
    }
}

/// Counts a commit, `took` after its batch had come.
pub fn count_commit(took: Duration) {
    counter!(BATCHES).increment(1);
    histogram!(BATCH_SECONDS).record(took.as_secs_f64());
}

/// Counts records that were gone before they were read.
pub fn count_gone(records: u64) {
    counter!(RECORDS_GONE).increment(records);
}

/// What the source says of itself, in numbers.
#[derive(Debug, Clone, Default)]
pub struct SourceCounts {
    /// Partitions that are ours.
    pub assigned: usize,
    /// Partitions of the topics, if that is known.
    pub partitions: Option<usize>,
    /// Whether nothing is read because not all of them are ours.
    pub on_hold: bool,
    /// Assignments and revocations since the start.
    pub rebalances: u64,
    /// Offset commits that a broker refused since the start.
    pub commit_errors: u64,
    /// Offsets that were jumped over since the start: compacted, or marks of transactions.
    pub skipped: u64,
    /// Errors since the start, by what they were about.
    pub errors: Vec<(&'static str, u64)>,
}

/// Shows what the source says of itself.
#[expect(clippy::cast_precision_loss, reason = "gauges; nobody has 2^52 partitions")]
pub fn show_source(source: &SourceCounts) {
    gauge!(PARTITIONS, "of" => "assigned").set(source.assigned as f64);
    if let Some(partitions) = source.partitions {
        gauge!(PARTITIONS, "of" => "topics").set(partitions as f64);
    }
    gauge!(SOURCE_ON_HOLD).set(if source.on_hold { 1.0 } else { 0.0 });
    counter!(REBALANCES).absolute(source.rebalances);
    counter!(COMMIT_ERRORS).absolute(source.commit_errors);
    counter!(OFFSETS_SKIPPED).absolute(source.skipped);
    for (about, n) in &source.errors {
        counter!(SOURCE_ERRORS, "about" => *about).absolute(*n);
    }
}

/// How large the state is: cells and clusters in memory, these by verdict, and clusters whose alert is open.
#[expect(clippy::cast_precision_loss, reason = "gauges; the state is bounded far below 2^52")]
pub fn gauge_state(size: &Size) {
    gauge!(CELLS).set(size.cells as f64);
    gauge!(CLUSTERS).set(size.clusters as f64);
    gauge!(OPEN_ALERTS).set(size.open_alerts as f64);
    let undecided = size.clusters.saturating_sub(size.hostile + size.benign);
    for (verdict, n) in
        [(Verdict::Hostile, size.hostile), (Verdict::Benign, size.benign), (Verdict::Undecided, undecided)]
    {
        gauge!(CLUSTERS_BY_VERDICT, "verdict" => verdict.name()).set(n as f64);
    }
}

/// Counts a request to a destination by what it came to.
pub fn count_request(destination: &str, outcome: &'static str) {
    counter!(DELIVERY_REQUESTS, "destination" => destination.to_owned(), "outcome" => outcome).increment(1);
}

/// Counts the answer to a request that was handed over before.
pub fn count_acknowledgement(destination: &str, outcome: &'static str) {
    counter!(ACKNOWLEDGEMENTS, "destination" => destination.to_owned(), "outcome" => outcome).increment(1);
}

/// Tells whether a Splunk destination acknowledges what it indexed.
pub fn gauge_splunk_ack(destination: &str, is_on: bool) {
    gauge!(SPLUNK_ACK, "destination" => destination.to_owned()).set(if is_on { 1.0 } else { 0.0 });
}

/// Counts a destination's final answer about an alert.
pub fn count_fate(destination: &str, fate: &'static str) {
    counter!(DELIVERIES, "destination" => destination.to_owned(), "fate" => fate).increment(1);
}

pub(super) fn tally<T: Ord>(labels: impl Iterator<Item = T>) -> BTreeMap<T, u64> {
    let mut counts = BTreeMap::new();
    for label in labels {
        *counts.entry(label).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;
    use crate::pipeline::alert::Severity;
    use crate::pipeline::event::{Position, RawRecord, Reason};

    /// What stands on the metrics page after `count`, without comments.
    #[track_caller]
    fn check(count: impl FnOnce(), expected: &[&str]) {
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, count);
        let page = recorder.handle().render();
        let mut lines: Vec<&str> = page.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
        lines.sort_unstable();
        assert_eq!(lines, expected);
    }

    fn rejection(reason: Reason) -> Rejection<'static> {
        let position = Position { topic: "attacker's\ntext", partition: 0, offset: 0 };
        Rejection {
            record: RawRecord { position, broker_time: None, headers: &[], payload: b"" },
            reason,
            detail: "secret".to_owned(),
        }
    }

    fn alert(severity: Severity) -> Alert {
        let mut alert: Alert = serde_json::from_str(include_str!("../../../tests/data/alert.json")).unwrap();
        alert.portrait.severity = severity;
        alert
    }

    #[test]
    fn an_empty_batch_makes_the_series_without_adding_to_them() {
        check(
            || count_batch(&BatchCounts::default()),
            &[
                "panicsift_clustering_fallbacks_total 0",
                "panicsift_epochs_total 0",
                "panicsift_late_events_total 0",
                "panicsift_records_total{fate=\"counted\"} 0",
                "panicsift_records_total{fate=\"covered\"} 0",
                "panicsift_records_total{fate=\"duplicate\"} 0",
                "panicsift_records_total{fate=\"gathered\"} 0",
                "panicsift_records_total{fate=\"observed\"} 0",
                "panicsift_records_total{fate=\"rejected\"} 0",
                "panicsift_records_total{fate=\"sampled\"} 0",
                "panicsift_records_total{fate=\"silent\"} 0",
                "panicsift_rows_clustered_total 0",
            ],
        );
    }

    #[test]
    fn each_count_goes_to_its_own_series_and_no_text_of_an_event_becomes_a_label() {
        let rejections = [rejection(Reason::NotJson), rejection(Reason::Empty), rejection(Reason::NotJson)];
        let alerts = [alert(Severity::High), alert(Severity::Low), alert(Severity::High)];
        let batch = BatchCounts {
            observed: 10,
            duplicate: 11,
            covered: 12,
            silent: 17,
            gathered: 18,
            counted: 19,
            sampled: 20,
            rejections: &rejections,
            late: 13,
            epochs: 14,
            rows_clustered: 15,
            fallbacks: 16,
            alerts: &alerts,
        };
        check(
            || {
                count_batch(&batch);
                count_batch(&batch);
            },
            &[
                "panicsift_alerts_total{category=\"hostile_input\",change=\"opened\",severity=\"high\"} 4",
                "panicsift_alerts_total{category=\"hostile_input\",change=\"opened\",severity=\"low\"} 2",
                "panicsift_clustering_fallbacks_total 32",
                "panicsift_epochs_total 28",
                "panicsift_late_events_total 26",
                "panicsift_records_total{fate=\"counted\"} 38",
                "panicsift_records_total{fate=\"covered\"} 24",
                "panicsift_records_total{fate=\"duplicate\"} 22",
                "panicsift_records_total{fate=\"gathered\"} 36",
                "panicsift_records_total{fate=\"observed\"} 20",
                "panicsift_records_total{fate=\"rejected\"} 6",
                "panicsift_records_total{fate=\"sampled\"} 40",
                "panicsift_records_total{fate=\"silent\"} 34",
                "panicsift_rejections_total{reason=\"empty\"} 2",
                "panicsift_rejections_total{reason=\"not_json\"} 4",
                "panicsift_rows_clustered_total 30",
            ],
        );
    }

    #[test]
    fn what_the_source_says_of_itself_is_shown_as_it_was_told_last() {
        let mut source = SourceCounts {
            assigned: 2,
            partitions: Some(4),
            on_hold: true,
            rebalances: 3,
            commit_errors: 1,
            skipped: 7,
            errors: vec![("brokers", 5)],
        };
        check(
            || {
                show_source(&source);
                (source.assigned, source.on_hold) = (4, false);
                show_source(&source);
                count_gone(40);
            },
            &[
                "panicsift_offset_commit_errors_total 1",
                "panicsift_partitions{of=\"assigned\"} 4",
                "panicsift_partitions{of=\"topics\"} 4",
                "panicsift_rebalances_total 3",
                "panicsift_records_gone_total 40",
                "panicsift_skipped_offsets_total 7",
                "panicsift_source_errors_total{about=\"brokers\"} 5",
                "panicsift_source_on_hold 0",
            ],
        );
    }

    #[test]
    fn a_commit_counts_a_batch_and_its_time() {
        let recorder = PrometheusBuilder::new().set_buckets(&[0.01, 1.0]).unwrap().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            count_commit(Duration::from_millis(2));
            count_commit(Duration::from_millis(20));
        });
        let page = recorder.handle().render();
        for line in ["batches_total 2", "batch_seconds_bucket{le=\"0.01\"} 1", "batch_seconds_count 2"] {
            assert!(page.contains(&format!("panicsift_{line}\n")), "{page}");
        }
    }

    #[test]
    fn the_size_of_the_state_is_what_was_told_last() {
        check(
            || {
                gauge_state(&Size { cells: 1, clusters: 2, hostile: 1, benign: 0, open_alerts: 3 });
                gauge_state(&Size { cells: 40, clusters: 5, hostile: 1, benign: 2, open_alerts: 0 });
            },
            &[
                "panicsift_cells 40",
                "panicsift_clusters 5",
                "panicsift_clusters_by_verdict{verdict=\"benign\"} 2",
                "panicsift_clusters_by_verdict{verdict=\"hostile\"} 1",
                "panicsift_clusters_by_verdict{verdict=\"undecided\"} 2",
                "panicsift_open_alerts 0",
            ],
        );
    }
}
