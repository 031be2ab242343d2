//! The admin endpoint: `/metrics`, `/livez`, `/readyz`; and the one place where metrics have their names.
//!
//! [`Health`] is told by the loop, the source, the store, the tables and the lanes how they do, and answers whether the
//! service makes **progress**: a consumer that is present and stuck is not ready. What is merely poorer (a table that is
//! absent) is said and does not make it unready. Labels are bounded: destinations, fates, reasons and tables, and the few
//! names of services, releases, routes and classes that `telemetry` has room for; never an address, a cluster or an id.
//!
//! Imports no other edge: what is counted comes as plain numbers, labels and words of the pipeline.
//!
//! The endpoint has no secret and changes nothing; bind it to where only operators reach. Costs a lock for a few
//! nanoseconds a call.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metrics::gauge;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tokio::sync::watch;

mod ask;
mod budget;
mod count;
mod health;
mod labels;
mod telemetry;

pub use self::ask::{AdminPort, Answer, AskError};
pub use self::budget::show_budget;
pub use self::count::{
    BatchCounts, SourceCounts, count_acknowledgement, count_batch, count_commit, count_fate, count_gathered,
    count_gone, count_request, gauge_splunk_ack, gauge_state, show_source,
};
pub use self::health::{Health, HealthLimits, HealthReport, LaneReport, LaneState, SourceState};
pub use self::telemetry::{Telemetry, count_detections};

/// Records, by `fate` (observed, duplicate, rejected, covered, silent, gathered, counted, sampled).
pub const RECORDS: &str = "panicsift_records_total";
/// Refused records, by `reason`.
pub const REJECTIONS: &str = "panicsift_rejections_total";
/// Batches that were committed to the store.
pub const BATCHES: &str = "panicsift_batches_total";
/// Seconds from a batch's arrival to its commit.
pub const BATCH_SECONDS: &str = "panicsift_batch_seconds";
/// Records between the place of the service and the end of the topic.
pub const LAG: &str = "panicsift_lag_records";
/// Panics and request logs that waited for each other, by `outcome`.
pub const GATHERED: &str = "panicsift_gathered_total";
/// Records that were gone before they were read.
pub const RECORDS_GONE: &str = "panicsift_records_gone_total";
/// Partitions, by `of`: those assigned to this process, and those that the topics have.
pub const PARTITIONS: &str = "panicsift_partitions";
/// 1 while nothing is read because another member of the group has partitions.
pub const SOURCE_ON_HOLD: &str = "panicsift_source_on_hold";
/// Assignments and revocations of partitions.
pub const REBALANCES: &str = "panicsift_rebalances_total";
/// Offset commits that a broker refused; the store has them all the same.
pub const COMMIT_ERRORS: &str = "panicsift_offset_commit_errors_total";
/// Offsets that were jumped over: compacted, or marks of transactions.
pub const OFFSETS_SKIPPED: &str = "panicsift_skipped_offsets_total";
/// Errors that the source met, by what they were `about`.
pub const SOURCE_ERRORS: &str = "panicsift_source_errors_total";
/// Events of an epoch that was closed already.
pub const LATE: &str = "panicsift_late_events_total";
/// Epochs closed.
pub const EPOCHS: &str = "panicsift_epochs_total";
/// Rows that went through the clustering.
pub const ROWS_CLUSTERED: &str = "panicsift_rows_clustered_total";
/// Clusterings that failed and fell back to exact keys.
pub const FALLBACKS: &str = "panicsift_clustering_fallbacks_total";
/// Cells in memory.
pub const CELLS: &str = "panicsift_cells";
/// Clusters in memory.
pub const CLUSTERS: &str = "panicsift_clusters";
/// Clusters whose alert is open.
pub const OPEN_ALERTS: &str = "panicsift_open_alerts";
/// Clusters in memory, by `verdict`.
pub const CLUSTERS_BY_VERDICT: &str = "panicsift_clusters_by_verdict";
/// Panics, by `service`, `release`, `route` and `handled` (true, false, unknown).
pub const PANICS: &str = "panicsift_panics_total";
/// Panics, by `service`, `surface` and `class`.
pub const PANICS_BY_CLASS: &str = "panicsift_panics_by_class_total";
/// Panics, by `service`, `release` and recovery `outcome`.
pub const RECOVERIES: &str = "panicsift_recoveries_total";
/// Panics, by `service`, `release` and retry `outcome`.
pub const RETRIES: &str = "panicsift_retries_total";
/// Seconds that panicking requests took, by `service` and `release`.
pub const PANIC_LATENCY: &str = "panicsift_panic_latency_seconds";
/// Requests that the traffic feed told of, by `service`, `release` and `route`.
pub const REQUESTS: &str = "panicsift_requests_total";
/// Seconds of event time from a hostile cluster's first event to its alert.
pub const DETECTION_DELAY: &str = "panicsift_detection_delay_seconds";
/// Alerts decided, by `category`, `change` (opened, raised, closed) and `severity`.
pub const ALERTS: &str = "panicsift_alerts_total";
/// Age of an address table in seconds, by `table`.
pub const TABLE_AGE_SECONDS: &str = "panicsift_table_age_seconds";
/// Reloads of an address table, by `table` and `result` (taken, refused).
pub const TABLE_RELOADS: &str = "panicsift_table_reloads_total";
/// Final answers of destinations, by `destination` and `fate`.
pub const DELIVERIES: &str = "panicsift_deliveries_total";
/// Requests to destinations, by `destination` and `outcome`.
pub const DELIVERY_REQUESTS: &str = "panicsift_delivery_requests_total";
/// Acknowledgements of requests that were handed over, by `destination` and `outcome`.
pub const ACKNOWLEDGEMENTS: &str = "panicsift_acknowledgements_total";
/// 1 while a Splunk token acknowledges what it indexed, 0 where it does not, by `destination`.
pub const SPLUNK_ACK: &str = "panicsift_splunk_ack";
/// Alerts that wait, by `destination`.
pub const OUTBOX_WAITING: &str = "panicsift_outbox_waiting";
/// 1 while a lane is on hold, by `destination`.
pub const LANE_ON_HOLD: &str = "panicsift_lane_on_hold";
/// 1 while the service is ready.
pub const READY: &str = "panicsift_ready";

/// Bounds of the histogram of batches, in seconds: from an idle poll to a batch that is too slow.
const BATCH_SECONDS_BOUNDS: [f64; 10] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// Bounds of the histogram of panicking requests, in seconds: from a cache's answer to what a client gives up on.
const PANIC_LATENCY_BOUNDS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Bounds of the histogram of detections, in seconds: from an epoch of ten seconds to an attack that hid for hours.
const DETECTION_DELAY_BOUNDS: [f64; 9] = [10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0, 14_400.0];

/// Histograms are folded, and `ready` is measured, this often.
const UPKEEP: Duration = Duration::from_secs(5);

/// The endpoint cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The address is taken or not ours.
    #[error("the admin endpoint cannot listen on {listen}: {error}; name another address")]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// What the system said.
        error: std::io::Error,
    },
    /// Metrics were installed twice in this process, or not accepted.
    #[error("metrics cannot be recorded: {0}")]
    Recorder(String),
    /// The endpoint ended.
    #[error("the admin endpoint ended: {0}")]
    Ended(std::io::Error),
}

/// Makes the process record metrics. Once a process; before the first metric.
pub fn install_metrics() -> Result<PrometheusHandle, AdminError> {
    let failed = |error: metrics_exporter_prometheus::BuildError| AdminError::Recorder(error.to_string());
    let whole = |name: &str| Matcher::Full(name.to_owned());
    let handle = PrometheusBuilder::new()
        .set_buckets(&BATCH_SECONDS_BOUNDS)
        .and_then(|builder| builder.set_buckets_for_metric(whole(PANIC_LATENCY), &PANIC_LATENCY_BOUNDS))
        .and_then(|builder| builder.set_buckets_for_metric(whole(DETECTION_DELAY), &DETECTION_DELAY_BOUNDS))
        .map_err(failed)?
        .install_recorder()
        .map_err(failed)?;
    describe();
    Ok(handle)
}

fn describe() {
    use metrics::{describe_counter, describe_gauge, describe_histogram};
    describe_counter!(RECORDS, "records by their fate");
    describe_counter!(REJECTIONS, "refused records by reason");
    describe_counter!(BATCHES, "batches committed to the store");
    describe_histogram!(BATCH_SECONDS, "seconds from a batch's arrival to its commit");
    describe_gauge!(LAG, "records between the service and the end of the topic");
    describe_counter!(GATHERED, "panics and request logs that waited for each other, by outcome");
    describe_counter!(RECORDS_GONE, "records that were gone before they were read");
    describe_gauge!(PARTITIONS, "partitions that are ours, and partitions of the topics");
    describe_gauge!(SOURCE_ON_HOLD, "1 while another member of the group has partitions, so that nothing is read");
    describe_counter!(REBALANCES, "assignments and revocations of partitions");
    describe_counter!(COMMIT_ERRORS, "offset commits that a broker refused");
    describe_counter!(OFFSETS_SKIPPED, "offsets that were jumped over");
    describe_counter!(SOURCE_ERRORS, "errors that the source met, by what they were about");
    describe_counter!(LATE, "events of an epoch that was closed already");
    describe_counter!(EPOCHS, "epochs closed");
    describe_counter!(ROWS_CLUSTERED, "rows that went through the clustering");
    describe_counter!(FALLBACKS, "clusterings that failed and fell back to exact keys");
    describe_gauge!(CELLS, "cells in memory");
    describe_gauge!(CLUSTERS, "clusters in memory");
    describe_gauge!(OPEN_ALERTS, "clusters whose alert is open");
    describe_gauge!(CLUSTERS_BY_VERDICT, "clusters in memory by verdict");
    describe_counter!(PANICS, "panics by service, release, route and whether they were caught");
    describe_counter!(PANICS_BY_CLASS, "panics by service, surface and class");
    describe_counter!(RECOVERIES, "panics by service, release and what became of the fault");
    describe_counter!(RETRIES, "panics by service, release and what became of retries");
    describe_histogram!(PANIC_LATENCY, "seconds that panicking requests took");
    describe_counter!(REQUESTS, "requests that the traffic feed told of");
    describe_histogram!(DETECTION_DELAY, "seconds of event time from a hostile cluster's first event to its alert");
    describe_counter!(ALERTS, "alerts decided, by category, change and severity");
    describe_gauge!(TABLE_AGE_SECONDS, "age of an address table in seconds");
    describe_counter!(TABLE_RELOADS, "reloads of an address table by result");
    describe_counter!(DELIVERIES, "final answers of destinations by fate");
    describe_counter!(DELIVERY_REQUESTS, "requests to destinations by outcome");
    describe_counter!(ACKNOWLEDGEMENTS, "acknowledgements of requests that were handed over, by outcome");
    describe_gauge!(SPLUNK_ACK, "1 while a Splunk token acknowledges what it indexed");
    describe_gauge!(OUTBOX_WAITING, "alerts that wait for a destination");
    describe_gauge!(LANE_ON_HOLD, "1 while a destination is on hold");
    describe_gauge!(READY, "1 while the service is ready");
    budget::describe();
}

/// Takes the address for the endpoint; port 0 takes a free one.
pub async fn bind(listen: SocketAddr) -> Result<TcpListener, AdminError> {
    TcpListener::bind(listen).await.map_err(|error| AdminError::Listen { listen, error })
}

/// Serves until `shutdown` turns true or its sender is gone.
pub async fn serve(
    listener: TcpListener,
    health: Arc<Health>,
    metrics: PrometheusHandle,
    mut shutdown: watch::Receiver<bool>,
) -> Result<(), AdminError> {
    let mut stop = shutdown.clone();
    let upkeep = async {
        let mut tick = tokio::time::interval(UPKEEP);
        while !*shutdown.borrow() {
            tokio::select! {
                _ = tick.tick() => {}
                changed = shutdown.changed() => if changed.is_err() { return },
            }
            metrics.run_upkeep();
            gauge!(READY).set(if health.report().ready { 1.0 } else { 0.0 });
        }
    };
    let server =
        axum::serve(listener, router(Arc::clone(&health), metrics.clone())).with_graceful_shutdown(async move {
            drop(stop.wait_for(|stop| *stop).await);
        });
    let (ended, ()) = tokio::join!(server.into_future(), upkeep);
    ended.map_err(AdminError::Ended)
}

/// The routes.
pub fn router(health: Arc<Health>, metrics: PrometheusHandle) -> Router {
    Router::new()
        .route("/metrics", get(move || std::future::ready(render(&metrics))))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .with_state(health)
}

fn render(metrics: &PrometheusHandle) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.render()).into_response()
}

async fn livez(State(health): State<Arc<Health>>) -> Response {
    if health.is_alive() {
        (StatusCode::OK, "alive\n").into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the loop stands still\n").into_response()
    }
}

async fn readyz(State(health): State<Arc<Health>>) -> Response {
    let report = health.report();
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    match serde_json::to_string_pretty(&report) {
        Ok(body) => (status, [(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
