//! A lane that runs beside the test, and what may be seen of it: health, fates, and every reading of a reply.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use panicsift::edge::admin::{Health, HealthLimits};
use panicsift::edge::deliver::{
    BatchLimits, HttpClient, Lane, LaneError, Outlet, PaceLimits, Reading, Sending as Sent, deliver,
};
use panicsift::edge::elastic::{ElasticOutlet, ElasticSettings};
use panicsift::edge::store::{Fate, Store};
use panicsift::pipeline::alert::{Alert, Change};
use panicsift::pipeline::event::Checkpoint;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::node::Way;
use crate::support::alert;

/// Far more than any of these tests takes.
const PATIENCE: Duration = Duration::from_secs(40);

/// Quick enough for a test, slow enough to be seen.
const PACE: PaceLimits = PaceLimits {
    delay_min: Duration::from_millis(100),
    delay_max: Duration::from_millis(400),
    hold: Duration::from_millis(300),
};

/// What a request carried, and how its reply was read.
type Readings = Arc<Mutex<Vec<(usize, Reading)>>>;

/// An outlet that remembers.
struct Watched<O> {
    outlet: O,
    readings: Readings,
}

impl<O: Outlet> Outlet for Watched<O> {
    fn send<'a>(&'a mut self, alerts: &'a [Alert]) -> Sent<'a> {
        Box::pin(async move {
            let reading = self.outlet.send(alerts).await;
            self.readings.lock().unwrap().push((alerts.len(), reading.clone()));
            reading
        })
    }
}

/// Alerts that wait in a store, and the lane that delivers them.
pub(super) struct Sending {
    dir: TempDir,
    store: Store,
    name: &'static str,
    put: BTreeSet<String>,
    health: Arc<Health>,
    readings: Readings,
    wakeup: watch::Sender<u64>,
    shutdown: watch::Sender<bool>,
    tasks: JoinSet<Result<(), LaneError>>,
}

impl Sending {
    /// Nothing waits, and nothing runs yet.
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store.db")).unwrap();
        Self {
            dir,
            store,
            name: "elastic",
            put: BTreeSet::new(),
            health: Arc::new(Health::new(HealthLimits::default())),
            readings: Readings::default(),
            wakeup: watch::Sender::new(0),
            shutdown: watch::Sender::new(false),
            tasks: JoinSet::new(),
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("store.db")
    }

    /// Puts alerts with these numbers as ids, one a cluster.
    pub(super) fn put(&mut self, numbers: std::ops::Range<usize>) {
        let ids: Vec<String> = numbers.map(|n| format!("{n:05}")).collect();
        let alerts: Vec<Alert> = ids.iter().map(|id| alert(id, &format!("c-{id}"), Change::Opened)).collect();
        self.put_alerts(&alerts);
    }

    /// Puts these alerts.
    pub(super) fn put_alerts(&mut self, alerts: &[Alert]) {
        self.put.extend(alerts.iter().map(|alert| alert.alert_id.clone()));
        self.store.commit(&[], alerts, &Checkpoint::default()).unwrap();
        self.wakeup.send_modify(|n| *n += 1);
    }

    /// Ids of all that was put.
    pub(super) fn ids(&self) -> Vec<String> {
        self.put.iter().cloned().collect()
    }

    /// Starts delivery.
    pub(super) fn start(&mut self, way: &Way) {
        self.start_as("elastic", way, 200);
    }

    /// The same under another name, with at most so many alerts a request.
    pub(super) fn start_as(&mut self, name: &'static str, way: &Way, alerts_max: usize) {
        let client = HttpClient::new(name, std::slice::from_ref(&way.url), way.login.clone(), &way.http).unwrap();
        let settings = ElasticSettings { data_stream: way.stream.clone() };
        let outlet = ElasticOutlet::new(name, client, &settings, way.check);
        let watched = Watched { outlet, readings: Arc::clone(&self.readings) };
        let batch = BatchLimits { alerts_max, ..BatchLimits::default() };
        let lane = Lane::new(name, self.path(), Box::new(watched)).with_limits(batch, PACE);
        self.name = name;
        let (health, wakeup) = (Arc::clone(&self.health), self.wakeup.subscribe());
        self.tasks.spawn(deliver(vec![lane], health, wakeup, self.shutdown.subscribe()));
    }

    /// Ends delivery as a shutdown does.
    pub(super) async fn stop(&mut self) {
        self.shutdown.send_replace(true);
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap().unwrap();
        }
        self.shutdown.send_replace(false);
    }

    async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let waited = tokio::time::timeout(PATIENCE, async {
            while !is_so(self) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        let is_so = waited.await.is_ok();
        assert!(is_so, "never {what}: {:?} {:#?}", self.health.report(), self.last_readings());
    }

    fn last_readings(&self) -> Vec<(usize, Reading)> {
        let readings = self.readings.lock().unwrap();
        readings.iter().rev().take(5).cloned().collect()
    }

    /// What is said to whoever asks for the health.
    fn said(&self) -> String {
        let report = self.health.report();
        let all: Vec<String> = report.reasons.into_iter().chain(report.notes).collect();
        all.join("\n")
    }

    /// Waits until health says each of these words at once.
    pub(super) async fn until_it_says(&self, words: &[&str]) {
        self.until(&format!("said {words:?}"), |it| {
            let said = it.said();
            words.iter().all(|words| said.contains(words))
        })
        .await;
    }

    /// Waits until so many requests were answered.
    pub(super) async fn until_requests(&self, n_requests: usize) {
        self.until(&format!("sent {n_requests} requests"), |it| it.n_requests() >= n_requests).await;
    }

    /// Waits until a reply was read like this.
    pub(super) async fn until_read(&self, what: &str, is_it: impl Fn(&Reading) -> bool) {
        self.until(&format!("read {what}"), |it| it.readings.lock().unwrap().iter().any(|(_, read)| is_it(read))).await;
    }

    /// The lane is on hold with these words, asks no more often than a hold may, and settles nothing meanwhile.
    pub(super) async fn holds(&self, words: &[&str]) {
        let hold = format!("destination {} is on hold: ", self.name);
        let all: Vec<&str> = words.iter().copied().chain([hold.as_str()]).collect();
        self.until_it_says(&all).await;
        let n_waiting = self.n_waiting();
        assert!(n_waiting > 0, "nothing waits: {:?}", self.health.report());
        let n_before = self.n_requests();
        tokio::time::sleep(PACE.hold * 4).await;
        let n_probes = self.n_requests() - n_before;
        assert!(n_probes <= 5, "{n_probes} requests in four times the pause of a hold");
        // It does ask again, however slowly a server answers that checks a password.
        self.until_requests(n_before + 1).await;
        assert_eq!(self.n_waiting(), n_waiting, "{:?}", self.last_readings());
        self.until_it_says(&all).await;
    }

    /// Waits until nothing waits.
    pub(super) async fn drained(&self) {
        self.until("drained", |it| it.n_waiting() == 0).await;
    }

    /// Waits until nothing waits, and ends delivery: it was `fate` for every alert.
    pub(super) async fn ends_with_all(&mut self, fate: Fate) {
        self.drained().await;
        self.stop().await;
        for id in self.ids() {
            assert_eq!(self.fate(&id).0, fate, "{id}: {:?}", self.fate(&id));
        }
    }

    /// Fate of an alert and the destination's words.
    pub(super) fn fate(&self, alert_id: &str) -> (Fate, String) {
        let deliveries = self.store.deliveries_of(alert_id).unwrap();
        let ours = deliveries.into_iter().find(|one| one.destination == self.name).unwrap();
        (ours.fate, ours.detail)
    }

    /// Alerts that wait.
    pub(super) fn n_waiting(&self) -> u64 {
        self.store.n_waiting(self.name).unwrap()
    }

    /// Requests so far.
    pub(super) fn n_requests(&self) -> usize {
        self.readings.lock().unwrap().len()
    }

    /// How many alerts each request carried, so far.
    pub(super) fn widths(&self) -> Vec<usize> {
        self.readings.lock().unwrap().iter().map(|(width, _)| *width).collect()
    }
}
