//! From the outbox to a local collector that acknowledges: alerts a second, and how soon a full outbox begins to move.
//!
//! `cargo bench --bench delivery --no-run`, then `taskset -c 1` on the binary that it names: lane, store (a file) and
//! receiver on one core. [`N_ALERTS`] alerts of as many clusters wait when the lane starts. Prints the time from the
//! lane's start to the first request, the alerts a second until each has its acknowledgement written down, and the
//! process's largest resident size before and after.

fn main() {
    #[cfg(test)]
    delivery::run();
}

/// `cfg(test)` tells the linter that this is no part of the program.
#[cfg(test)]
mod delivery {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Arc, OnceLock};
    use std::time::{Duration, Instant};

    use axum::Router;
    use axum::body::Bytes;
    use axum::extract::State;
    use axum::routing::post;
    use panicsift::edge::admin::{Health, HealthLimits};
    use panicsift::edge::deliver::{HttpClient, HttpSettings, Lane, deliver, drained};
    use panicsift::edge::splunk::{self, AckMode, AckTimes, SplunkOutlet, SplunkSettings, SplunkWire};
    use panicsift::edge::store::Store;
    use panicsift::pipeline::alert::Alert;
    use panicsift::pipeline::event::Checkpoint;
    use panicsift::secret::Credential;
    use tokio::sync::watch;
    use tokio::task::JoinSet;

    /// As many as the bound of the outbox's start allows for.
    const N_ALERTS: usize = 100_000;
    /// Alerts in one transaction of the store.
    const N_PUT: usize = 5_000;

    /// Takes everything, and acknowledges it when it is asked.
    #[derive(Default)]
    struct Receiver {
        first_request: OnceLock<Instant>,
        n_requests: AtomicU64,
    }

    #[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
    fn now() -> Instant {
        Instant::now()
    }

    async fn take(State(receiver): State<Arc<Receiver>>, _: Bytes) -> String {
        receiver.first_request.get_or_init(now);
        let id = receiver.n_requests.fetch_add(1, Ordering::Relaxed);
        format!(r#"{{"text":"Success","code":0,"ackId":{id}}}"#)
    }

    async fn acknowledge(body: Bytes) -> String {
        let asked: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let told = asked["acks"].as_array().unwrap().iter().map(|id| (id.to_string(), true.into()));
        serde_json::json!({"acks": told.collect::<serde_json::Map<_, _>>()}).to_string()
    }

    /// Largest resident size so far, in KiB.
    fn memory_kib() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    fn fill(store: &mut Store) {
        let model: Alert = serde_json::from_str(include_str!("../data/alert.json")).unwrap();
        for start in (0..N_ALERTS).step_by(N_PUT) {
            let alert = |n: usize| Alert { alert_id: format!("a-{n}"), cluster: format!("c-{n}"), ..model.clone() };
            let alerts: Vec<Alert> = (start..start + N_PUT).map(alert).collect();
            store.commit(&[], &alerts, &Checkpoint::default()).unwrap();
        }
    }

    fn outlet(url: &str) -> SplunkOutlet {
        let wire = SplunkWire::new(SplunkSettings {
            index: None,
            host: None,
            source: "panicsift".to_owned(),
            sourcetype: "panicsift:alert".to_owned(),
        });
        let login = splunk::login(Credential::fixed("token"));
        let client = HttpClient::new("splunk", &[url.to_owned()], login, &HttpSettings::default()).unwrap();
        let times = AckTimes { poll: Duration::from_millis(50), ..AckTimes::default() };
        SplunkOutlet::new("splunk", wire, client, (AckMode::Required, times))
    }

    pub(super) fn run() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(measure());
    }

    async fn measure() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.db");
        let mut store = Store::open(&path).unwrap();
        fill(&mut store);
        let receiver = Arc::new(Receiver::default());
        let router = Router::new()
            .route("/services/collector/event", post(take))
            .route("/services/collector/ack", post(acknowledge))
            .with_state(Arc::clone(&receiver));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
        let (wakeup, shutdown) = (watch::Sender::new(0_u64), watch::Sender::new(false));
        let health = Arc::new(Health::new(HealthLimits::default()));
        let before_kib = memory_kib();
        let start = now();
        let lanes = vec![Lane::new("splunk", &path, Box::new(outlet(&url)))];
        let mut lane = JoinSet::new();
        lane.spawn(deliver(lanes, health, wakeup.subscribe(), shutdown.subscribe()));
        assert!(drained(&path, &["splunk"], Duration::from_mins(10)).await.unwrap());
        let took = start.elapsed();
        let first = receiver.first_request.get().unwrap().duration_since(start);
        let rate = f64::from(u32::try_from(N_ALERTS).unwrap()) / took.as_secs_f64();
        println!("{N_ALERTS} alerts wait: first request after {} ms", first.as_millis());
        println!(
            "acknowledged and written down: {rate:.0} alerts/s, {} requests",
            receiver.n_requests.load(Ordering::Relaxed)
        );
        println!("largest resident size: {before_kib} KiB before the lane, {} KiB after", memory_kib());
        shutdown.send_replace(true);
        lane.join_next().await.unwrap().unwrap().unwrap();
    }
}
