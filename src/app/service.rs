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

use anyhow::{Result, anyhow, bail};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::destinations::{self, DeadLetterSink};
use super::engine::{Engine, Fates, Parts, RefusedShare, Turn};
use super::idle::{IdleClock, Reading};
use super::judgement::{self, Rhythm};
use super::reload::Reload;
use super::watchdog::{Advice, Sight, Watchdog};
use super::{key, steady_clock, wall_clock};
use crate::config::{DestinationSettings, LimitSettings, Settings};
use crate::edge::admin::{self, Health, HealthLimits, SourceCounts, SourceState};
use crate::edge::deliver::{self, Lane};
use crate::edge::kafka::ConsumerSettings;
use crate::edge::kafka::source::{KafkaSource, SourceWatch};
use crate::edge::kafka::status::{Brokers, PartitionStatus, SourceStatus};
use crate::edge::store::Store;
use crate::edge::tables::Tables;
use crate::edge::{DeadLetters, Source};
use crate::pipeline::Context;
use crate::pipeline::decode::Feeds;
use crate::pipeline::event::{Carrier, Checkpoint, Millis};
use crate::pipeline::operations::budget::slo::{STORED_AS, Slo};

/// How long the group may take to be left: a broker's answer can hold the poll thread for five seconds.
const LEAVE_WAIT: Duration = Duration::from_secs(12);
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
    store_objectives(&mut store, &settings.alerts.operations.slos)?;
    let keys = key::keys(settings.privacy_key.as_ref(), &settings.state.path, &mut store)?;
    let health = Arc::new(Health::new(health_limits(&settings.limits)));
    let (tables, faults) = Tables::open(settings.tables.asn.as_deref(), settings.tables.country.as_deref());
    for fault in faults {
        tracing::warn!(error = %fault, "an address table is absent");
    }
    let reload = Reload::new(&settings, keys.clone(), tables.clone(), &health);
    let rhythm = Rhythm::of(&settings);
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
        request_totals = fates.counted,
        request_samples = fates.sampled,
        "the service has stopped"
    );
    Ok(())
}

/// Leaves the objectives that are watched for the report.
pub(super) fn store_objectives(store: &mut Store, slos: &[Slo]) -> Result<()> {
    Ok(store.set_meta(STORED_AS, &serde_json::to_string(slos)?)?)
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
        let checkpoint = (wiring.start)(store.load_checkpoint()?);
        let lanes = wiring.destinations.iter().map(|settings| destinations::lane(settings, store_path));
        let lanes = lanes.collect::<Result<Vec<_>>>()?;
        let source = KafkaSource::start(&wiring.consumer, checkpoint.clone())?;
        let refused_share = wiring.refused_share;
        let engine = Engine::start(Parts { source, dead_letters, store, checkpoint, context, refused_share })?;
        let alerts = engine.new_alerts();
        let lane_names = wiring.destinations.into_iter().map(|destination| destination.name).collect();
        let (store_path, limits, ends) = (store_path.to_owned(), wiring.limits, wiring.ends);
        Ok(Self { engine, lanes, lane_names, alerts, store_path, limits, ends })
    }

    /// A look at the source from outside.
    pub(super) fn watch(&self) -> SourceWatch {
        self.engine.source().watch()
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
        let stop_source = engine.source().stop_handle();
        let outcome = {
            let watch = engine.source().watch();
            let bounds = Bounds { ends, outbox_alerts_max: limits.outbox_alerts_max, stall: limits.stall };
            let looping = run_loop(&mut engine, &watch, &health, &lane_names, bounds);
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
        let fates = engine.fates();
        if !engine.into_source().close(LEAVE_WAIT).await {
            tracing::warn!("the group was not left in time; the brokers will notice after the session's time-out");
        }
        outcome.map(|()| fates)
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
    /// Time without progress after which the group is joined anew; after as much again the process ends.
    stall: Duration,
}

/// What the loop sees of the source beside its records.
trait Overseen {
    /// How it is.
    fn status(&self) -> SourceStatus;
    /// Joins the group anew.
    fn reassign(&self);
}

impl Overseen for SourceWatch {
    fn status(&self) -> SourceStatus {
        self.status()
    }

    fn reassign(&self) {
        self.reassign();
    }
}

/// Turns until the source is at its end.
async fn run_loop<S: Source, D: DeadLetters>(
    engine: &mut Engine<S, D>,
    source: &impl Overseen,
    health: &Health,
    lanes: &[String],
    bounds: Bounds,
) -> Result<()> {
    let began = steady_clock();
    let read_clocks = || Reading { wall: wall_clock(), steady: steady_clock().saturating_duration_since(began) };
    let (mut watchdog, mut idle_clock) = (Watchdog::new(bounds.stall), IdleClock::default());
    idle_clock.heard(read_clocks(), engine.epoch());
    let mut turns: u64 = 0;
    loop {
        health.turned();
        let (at, status) = (read_clocks(), source.status());
        if let Some(step) = idle_clock.look(at) {
            tracing::warn!(
                by_millis = step,
                "the system's clock was set; until events agree with it, epochs close by events"
            );
        }
        let advice = watchdog.look(at.steady, sight(&status), engine.fates().total());
        tell_source(health, &status, watchdog.still_for(at.steady));
        heed(advice, source)?;
        // While batches are always at hand nothing in a turn waits, and nobody would look whether we are told to stop or
        // whether another task has failed.
        tokio::task::yield_now().await;
        if turns.is_multiple_of(OUTBOX_TURNS) && await_room(engine, health, lanes, bounds.outbox_alerts_max).await? {
            // That was no standstill of the source.
            watchdog = Watchdog::new(bounds.stall);
        }
        turns += 1;
        let context = engine.context();
        let until = || idle_clock.until().filter(|_| !bounds.ends && is_caught_up(&source.status(), &context.feeds));
        match engine.turn(at.wall, until).await? {
            Turn::Decided => {
                health.progressed();
                idle_clock.heard(read_clocks(), engine.epoch());
            }
            Turn::Jumped => health.gone(engine.gone().unwrap_or_default()),
            Turn::Idle => {}
            Turn::AtEnd => break,
        }
    }
    health.source(SourceState::Closed);
    Ok(())
}

/// While more alerts wait than may, nothing is read: an alert is never dropped for want of room. Whether there was none.
async fn await_room<S: Source, D: DeadLetters>(
    engine: &mut Engine<S, D>,
    health: &Health,
    lanes: &[String],
    alerts_max: u64,
) -> Result<bool> {
    let mut waited = false;
    let names: Vec<&str> = lanes.iter().map(String::as_str).collect();
    engine.store_mut().prune(&names, wall_clock().plus(-ALERTS_KEPT_MILLIS).0)?;
    loop {
        let waiting = lanes.iter().map(|lane| engine.store_mut().n_waiting(lane)).collect::<Result<Vec<_>, _>>()?;
        let full = waiting.into_iter().max().unwrap_or(0) >= alerts_max;
        health.outbox_full(full);
        if !full {
            return Ok(waited);
        }
        waited = true;
        health.turned();
        tokio::time::sleep(OUTBOX_LOOK).await;
    }
}

/// Does what the watchdog advises.
fn heed(advice: Advice, source: &impl Overseen) -> Result<()> {
    match advice {
        Advice::GoOn => {}
        Advice::Reassign => {
            tracing::error!("records wait and nothing comes, joining the group anew");
            source.reassign();
        }
        Advice::GiveUp(silence) => bail!(
            "records wait and nothing was decided for {} s, also after the group was joined anew; the service ends so \
             that it is started again (limits.stall_secs)",
            silence.as_secs()
        ),
    }
    Ok(())
}

/// What the watchdog is to think of a status.
fn sight(status: &SourceStatus) -> Sight {
    let readable = || status.partitions.iter().filter(|partition| !partition.leader_lost);
    if status.brokers == Brokers::Down || status.hold.is_some() {
        Sight::AtRest
    } else if status.partitions.is_empty() {
        Sight::Away
    } else if readable().all(|partition| partition.lag() == Some(0)) {
        Sight::AtRest
    } else {
        Sight::Waiting
    }
}

/// Records that wait; `None` while that is not known of every partition.
fn lag(status: &SourceStatus) -> Option<u64> {
    status.partitions.iter().map(PartitionStatus::lag).sum()
}

fn tell_source(health: &Health, status: &SourceStatus, still_for: Option<Duration>) {
    health.lag(lag(status));
    let leaderless = status.partitions.iter().filter(|partition| partition.leader_lost).count();
    health.source(match (status.brokers, status.partitions.len()) {
        (Brokers::Down, _) => SourceState::Waiting("no broker answers".to_owned()),
        _ if status.hold.is_some() => SourceState::Waiting(status.hold.clone().unwrap_or_default()),
        (_, 0) => SourceState::Waiting("no partition is assigned".to_owned()),
        (_, n) if 0 < leaderless => {
            SourceState::Waiting(format!("the leaders of {leaderless} of {n} partitions do not answer"))
        }
        (_, partitions) => match still_for {
            Some(silence) => SourceState::Waiting(format!("it stands still for {} s", silence.as_secs())),
            None => SourceState::Reading(partitions),
        },
    });
    admin::show_source(&SourceCounts {
        assigned: status.partitions.len(),
        partitions: status.n_partitions,
        on_hold: status.hold.is_some(),
        rebalances: status.n_rebalances,
        commit_errors: status.n_commit_errors,
        skipped: status.n_skipped_offsets,
        errors: status.n_errors.iter().map(|(kind, n)| (kind.name(), *n)).collect(),
    });
}

/// Whether nothing waits, as far as the brokers tell: then no further event is expected for now. Samples of ordinary
/// requests come all the time, and no panic is among them. Where a leader is lost nobody tells.
fn is_caught_up(status: &SourceStatus, feeds: &Feeds) -> bool {
    let awaited = |topic: &str| feeds.of(topic).carrier != Some(Carrier::RequestSample);
    let mut lags = status.partitions.iter().filter(|p| awaited(&p.topic)).map(PartitionStatus::lag).peekable();
    let caught_up = lags.peek().is_some() && lags.all(|lag| lag == Some(0));
    let all_told = status.partitions.iter().all(|partition| !partition.leader_lost);
    status.brokers == Brokers::Up && status.hold.is_none() && all_told && caught_up
}

#[cfg(test)]
mod tests;
