//! The service: its tasks, its start, its end.
//!
//! Four tasks beside the loop's own: delivery (a lane a destination), the admin endpoint, and the watch over tables and
//! models. The first one that cannot go on ends all, with an exit code that makes the orchestrator start again. The end
//! has phases: the source is stopped, the batch in flight is finished and committed, deliveries get their grace, offsets
//! are told and the group is left.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::destinations::{self, DeadLetterSink};
use super::engine::{Engine, Fates, RefusedShare, Turn};
use super::judgement::{self, Rhythm};
use super::reload::Reload;
use super::{key, wall_clock};
use crate::config::{DestinationSettings, LimitSettings, Settings};
use crate::edge::admin::{self, Health, HealthLimits, SourceState};
use crate::edge::deliver::{self, Lane};
use crate::edge::kafka::ConsumerSettings;
use crate::edge::kafka::source::{KafkaSource, SourceWatch};
use crate::edge::kafka::status::{Brokers, PartitionStatus};
use crate::edge::store::Store;
use crate::edge::tables::Tables;
use crate::pipeline::Context;
use crate::pipeline::event::{Checkpoint, Millis};
use crate::pipeline::state::State;

/// How long the group may take to be left: a broker's answer can hold the poll thread for five seconds.
const LEAVE_WAIT: Duration = Duration::from_secs(12);
/// When nothing comes, epochs are closed up to this long ago: events that are under way still find theirs open.
const IDLE_GRACE_MILLIS: i64 = Millis::MINUTE;
/// How often a full outbox is looked at again.
const OUTBOX_LOOK: Duration = Duration::from_secs(1);
/// Turns of the loop between two looks at the outbox's size.
const OUTBOX_TURNS: u64 = 64;
/// Delivered alerts are kept this long, for the report.
const ALERTS_KEPT_MILLIS: i64 = 30 * Millis::DAY;

/// Runs the service until it is told to stop (SIGTERM or Ctrl-C).
///
/// # Errors
/// What cannot be mended by going on: a store that is refused, a broker that refuses us for good, a share of refused
/// records over its bound. The exit code is then not zero.
pub async fn run(settings: Settings) -> Result<()> {
    let (metrics, listener) = (admin::install_metrics()?, admin::bind(settings.admin_listen).await?);
    let mut store = Store::open(&settings.state.path)?;
    let keys = key::keys(settings.privacy_key.as_ref(), &settings.state.path, &mut store)?;
    let health = Arc::new(Health::new(health_limits(&settings.limits)));
    let (tables, faults) = Tables::open(settings.tables.asn.as_deref(), settings.tables.country.as_deref());
    for fault in faults {
        tracing::warn!(error = %fault, "an address table is absent");
    }
    let reload = Reload::new(&settings, keys.clone(), tables.clone(), &health);
    let rhythm = Rhythm { clustering: settings.clustering.clone(), retention: Some(settings.state.retention) };
    let context = judgement::context(keys, tables, &settings.models, &rhythm, &settings.alerts)?;
    let dead_letters = DeadLetterSink::open(&settings)?;
    let wiring = Wiring {
        consumer: destinations::consumer(&settings.source),
        start: |checkpoint| checkpoint,
        refused_share: RefusedShare::new(&settings.dead_letters),
        destinations: settings.destinations.clone(),
        limits: settings.limits.clone(),
        ends: false,
    };
    let (context, contexts) = watch::channel(Arc::new(context));
    let service = Service::build(wiring, store, &settings.state.path, dead_letters, contexts)?;
    let mut tasks = JoinSet::new();
    let (_stopping, stop) = watch::channel(false);
    let (health_of_admin, stop_admin) = (Arc::clone(&health), stop.clone());
    tasks.spawn(async move { Ok(admin::serve(listener, health_of_admin, metrics, stop_admin).await?) });
    tasks.spawn(reload.run(context));
    tracing::info!(store = %settings.state.path.display(), "the service has started");
    let fates = service.serve(health, tasks, stop_signal()?).await?;
    tracing::info!(
        observed = fates.observed,
        duplicate = fates.duplicate,
        rejected = fates.rejected,
        covered = fates.covered,
        "the service has stopped"
    );
    Ok(())
}

fn health_limits(limits: &LimitSettings) -> HealthLimits {
    HealthLimits { progress_max: limits.stall, ..HealthLimits::default() }
}

/// Resolves when the process is told to end.
fn stop_signal() -> Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("told to stop (SIGTERM)"),
            _ = interrupt.recv() => tracing::info!("told to stop (Ctrl-C)"),
        }
    })
}

/// What a service is made of, beyond what is open already.
pub(super) struct Wiring {
    /// The input.
    pub(super) consumer: ConsumerSettings,
    /// Where to start, given the store's checkpoint.
    pub(super) start: fn(Checkpoint) -> Checkpoint,
    /// Bound on refused records.
    pub(super) refused_share: RefusedShare,
    /// Where alerts go.
    pub(super) destinations: Vec<DestinationSettings>,
    /// Bounds.
    pub(super) limits: LimitSettings,
    /// Whether the end of the source is the end of the events: then the last epoch is closed.
    pub(super) ends: bool,
}

/// A service that is about to run.
pub(super) struct Service {
    engine: Engine<KafkaSource, DeadLetterSink>,
    lanes: Vec<Lane>,
    lane_names: Vec<String>,
    alerts: watch::Receiver<u64>,
    store_path: PathBuf,
    limits: LimitSettings,
    ends: bool,
}

impl Service {
    /// Opens the source and the lanes; the state comes from the store.
    pub(super) fn build(
        wiring: Wiring,
        store: Store,
        store_path: &Path,
        dead_letters: DeadLetterSink,
        context: watch::Receiver<Arc<Context>>,
    ) -> Result<Self> {
        let clustering = context.borrow().clustering.clone();
        let (state, n_unreadable) = State::restore(&clustering, |kind| store.load_state(kind))?;
        if n_unreadable > 0 {
            tracing::error!(rows = n_unreadable, "rows of the store could not be read and are left out");
        }
        let checkpoint = (wiring.start)(store.load_checkpoint()?);
        let lanes = wiring.destinations.iter().map(|settings| destinations::lane(settings, store_path));
        let lanes = lanes.collect::<Result<Vec<_>>>()?;
        let (new_alerts, alerts) = watch::channel(0);
        let engine = Engine {
            source: KafkaSource::start(&wiring.consumer, checkpoint.clone())?,
            dead_letters,
            store,
            state,
            checkpoint,
            context,
            new_alerts,
            refused_share: wiring.refused_share,
            memos: crate::pipeline::Memos::default(),
            fates: Fates::default(),
        };
        let lane_names = wiring.destinations.into_iter().map(|destination| destination.name).collect();
        let (store_path, limits, ends) = (store_path.to_owned(), wiring.limits, wiring.ends);
        Ok(Self { engine, lanes, lane_names, alerts, store_path, limits, ends })
    }

    /// A look at the source from outside.
    pub(super) fn watch(&self) -> SourceWatch {
        self.engine.source.watch()
    }

    /// Runs until the source ends, `stop` resolves, or a task fails; then goes through the phases of the end.
    pub(super) async fn serve(
        self,
        health: Arc<Health>,
        mut tasks: JoinSet<Result<()>>,
        stop: impl Future<Output = ()>,
    ) -> Result<Fates> {
        let Self { mut engine, lanes, lane_names, alerts, store_path, limits, ends } = self;
        let (stop_lanes, lanes_stopped) = watch::channel(false);
        let mut delivery = JoinSet::new();
        if !lanes.is_empty() {
            delivery.spawn(deliver::deliver(lanes, Arc::clone(&health), alerts, lanes_stopped));
        }
        let stop_source = engine.source.stop_handle();
        let outcome = {
            let looping = run_loop(
                &mut engine,
                &health,
                &lane_names,
                Bounds { ends, outbox_alerts_max: limits.outbox_alerts_max },
            );
            tokio::pin!(looping, stop);
            let mut stopped = false;
            let mut failed = None;
            loop {
                tokio::select! {
                    done = &mut looping => break failed.map_or(done, Err),
                    () = &mut stop, if !stopped => stopped = true,
                    Some(ended) = tasks.join_next() => failed = failed.or(Some(ended_early(ended))),
                    Some(ended) = delivery.join_next() => {
                        let ended = ended.map(|lanes| lanes.map_err(anyhow::Error::from));
                        failed = failed.or(Some(ended_early(ended)));
                    }
                }
                stop_source.stop();
            }
        };
        if outcome.is_ok() {
            if ends {
                engine.close()?;
            }
            let names: Vec<&str> = lane_names.iter().map(String::as_str).collect();
            if !deliver::drained(&store_path, &names, limits.shutdown).await? {
                tracing::warn!("alerts are still waiting; they are in the outbox and go out after the next start");
            }
        }
        // The lanes may be gone already; then nobody listens.
        stop_lanes.send_replace(true);
        drop(tokio::time::timeout(limits.shutdown, delivery.join_all()).await);
        tasks.abort_all();
        if !engine.source.close(LEAVE_WAIT).await {
            tracing::warn!("the group was not left in time; the brokers will notice after the session's time-out");
        }
        outcome.map(|()| engine.fates)
    }
}

/// A task that ends while the loop runs has failed, whatever it says.
fn ended_early(ended: Result<Result<()>, tokio::task::JoinError>) -> anyhow::Error {
    match ended {
        Ok(Ok(())) => anyhow!("a task ended although nobody told it to"),
        Ok(Err(error)) => error,
        Err(error) => anyhow!(error).context("a task died"),
    }
}

/// What the loop keeps to.
#[derive(Clone, Copy)]
struct Bounds {
    /// Time passes with events alone: they are from another day.
    ends: bool,
    outbox_alerts_max: u64,
}

/// Turns until the source is at its end.
async fn run_loop(
    engine: &mut Engine<KafkaSource, DeadLetterSink>,
    health: &Health,
    lanes: &[String],
    bounds: Bounds,
) -> Result<()> {
    let watch = engine.source.watch();
    let mut turns: u64 = 0;
    loop {
        health.turned();
        tell_source(health, &watch);
        // While batches are always at hand nothing in a turn waits, and nobody would look whether we are told to stop or
        // whether another task has failed.
        tokio::task::yield_now().await;
        if turns.is_multiple_of(OUTBOX_TURNS) {
            await_room(engine, health, lanes, bounds.outbox_alerts_max).await?;
        }
        turns += 1;
        match engine.turn(wall_clock(), || idle_until(&watch).filter(|_| !bounds.ends)).await? {
            Turn::Decided => health.progressed(),
            Turn::Idle => {}
            Turn::AtEnd => break,
        }
    }
    health.source(SourceState::Closed);
    Ok(())
}

/// While more alerts wait than may, nothing is read: an alert is never dropped for want of room.
async fn await_room(
    engine: &mut Engine<KafkaSource, DeadLetterSink>,
    health: &Health,
    lanes: &[String],
    alerts_max: u64,
) -> Result<()> {
    let names: Vec<&str> = lanes.iter().map(String::as_str).collect();
    engine.store.prune(&names, wall_clock().plus(-ALERTS_KEPT_MILLIS).0)?;
    loop {
        let waiting = lanes.iter().map(|lane| engine.store.n_waiting(lane)).collect::<Result<Vec<_>, _>>()?;
        let full = waiting.into_iter().max().unwrap_or(0) >= alerts_max;
        health.outbox_full(full);
        if !full {
            return Ok(());
        }
        health.turned();
        tokio::time::sleep(OUTBOX_LOOK).await;
    }
}

fn tell_source(health: &Health, watch: &SourceWatch) {
    let status = watch.status();
    health.lag(status.partitions.iter().map(PartitionStatus::lag).sum());
    health.source(match (status.brokers, status.partitions.len()) {
        (Brokers::Down, _) => SourceState::Waiting("no broker answers".to_owned()),
        (_, 0) => SourceState::Waiting("no partition is assigned".to_owned()),
        (_, partitions) => SourceState::Reading(partitions),
    });
}

/// Up to when no further event is expected: known only while the brokers answer and nothing waits.
fn idle_until(watch: &SourceWatch) -> Option<Millis> {
    let status = watch.status();
    let caught_up = !status.partitions.is_empty() && status.partitions.iter().all(|p| p.lag().is_some_and(|n| n == 0));
    (status.brokers == Brokers::Up && caught_up).then(|| wall_clock().plus(-IDLE_GRACE_MILLIS))
}
