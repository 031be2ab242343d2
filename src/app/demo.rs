//! The main job shown on an embedded broker: nothing to install, nothing left running.
//!
//! Real events that the program carries (see `tests/data/demo`) go through a Kafka broker inside this process and the
//! whole service: consumer group, pipeline, store, outbox, destinations, all of them files in one folder. The broker is
//! librdkafka's mock cluster: it keeps 5 MiB a partition and no more, so records go in no faster than they are decided.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use flate2::read::GzDecoder;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::destinations::DeadLetterSink;
use super::engine::{Fates, RefusedShare};
use super::judgement::{self, Rhythm};
use super::key;
use super::service::{Service, Wiring};
use super::time_order::event_time;
use crate::config::{
    AlertFormat, AlertSettings, DeadLetterPlace, DeadLetterSettings, DestinationKind, DestinationSettings,
    LimitSettings, ModelSettings, RawBytes,
};
use crate::edge::admin::{Health, HealthLimits};
use crate::edge::kafka::embedded::{EmbeddedBroker, N_PARTITIONS, Outgoing};
use crate::edge::store::Store;
use crate::edge::tables::Tables;
use crate::secret::Secret;

/// Real panic recovery events of a shop's service, cut from a labelled set (CC BY 4.0, see `tests/data/demo/README.md`).
const EVENTS: &[u8] = include_bytes!("../../tests/data/demo/events.jsonl.gz");
/// The address table that covers them.
const ASN: &[u8] = include_bytes!("../../tests/data/demo/asn.mmdb");
/// The country table that covers them.
const COUNTRY: &[u8] = include_bytes!("../../tests/data/demo/country.mmdb");
/// A record that is no event, so that there is a dead letter to look at.
const BAD_RECORD: &[u8] = br#"{"event_id": "demo-bad-record", "ts": "yesterday", "service": "storefront-api"}"#;

/// The demo's events are public: its names need no secret, and are the same in every demo.
pub(super) const DEMO_SECRET: &str = "the events of the demo are public";

const TOPIC: &str = "panic-events";
/// Records that are sent at once. They are in the order of their time, and partitions are read in any order.
const SLICE: usize = 250;
/// How often the consumer is looked at.
const LOOK: Duration = Duration::from_millis(5);
/// The consumer cuts a batch after this: a slice of the demo comes all at once.
const BATCH_WAIT: Duration = Duration::from_millis(20);

/// What the demo leaves behind, for whoever prints it.
#[derive(Debug)]
pub struct Demo {
    /// The folder with the store, the alerts and the dead letters.
    pub dir: PathBuf,
    /// The store in it.
    pub store: PathBuf,
    /// What became of the records.
    pub fates: Fates,
}

/// Runs the main job once; its files go to `dir`, or to a new folder.
///
/// # Errors
/// A folder that cannot be written, or a fault of the service.
pub async fn demo(dir: Option<PathBuf>) -> Result<Demo> {
    let dir = match dir {
        Some(dir) => dir,
        None => tempfile::Builder::new().prefix("panicsift-demo-").tempdir()?.keep(),
    };
    std::fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
    let store_path = dir.join("state.db");
    let mut store = Store::open(&store_path)?;
    let keys = key::keys(Some(&Secret::new(DEMO_SECRET)), &store_path, &mut store)?;
    let tables = tables(&dir)?;
    let context =
        judgement::context(keys, tables, &ModelSettings::default(), &Rhythm::default(), &AlertSettings::default())?;
    let broker = EmbeddedBroker::start()?;
    broker.create_topic(TOPIC, N_PARTITIONS)?;
    let (_context, contexts) = watch::channel(Arc::new(context));
    let dead_letters = DeadLetterSink::file(&dir.join("dead-letters.ndjson"), RawBytes::Keep)?;
    let service = Service::build(wiring(&broker, &dir), store, &store_path, dead_letters, contexts)?;
    let fates = through(service, broker).await?;
    Ok(Demo { store: store_path, dir, fates })
}

/// Sends the events while the service reads them, and stops it when it has them all.
async fn through(service: Service, broker: EmbeddedBroker) -> Result<Fates> {
    let lines: Vec<Vec<u8>> =
        BufReader::new(GzDecoder::new(EVENTS)).split(b'\n').collect::<std::io::Result<Vec<_>>>()?;
    let n_records = lines.len() + 1;
    let bar = bar(n_records)?;
    let (watch, progress) = (service.watch(), bar.clone());
    let over = Arc::new(AtomicBool::new(false));
    let is_over = Arc::clone(&over);
    let produced = tokio::task::spawn_blocking(move || {
        let records: Vec<&[u8]> = lines.iter().map(Vec::as_slice).chain([BAD_RECORD]).collect();
        for (slice, number) in records.chunks(SLICE).zip(1..) {
            let next_decided = |partition| watch.next_decided(TOPIC, partition).unwrap_or(0);
            let outgoing = slice.iter().map(|payload| Outgoing { payload, time: event_time(payload) });
            broker.produce_all((TOPIC, N_PARTITIONS), outgoing, next_decided, |_| ())?;
            let until = records.len().min(SLICE * number);
            while decided(&watch) < until && !is_over.load(Ordering::Relaxed) {
                std::thread::sleep(LOOK);
            }
            progress.set_position(until as u64);
        }
        anyhow::Ok(broker)
    });
    let (keep, mut kept) = tokio::sync::mpsc::channel(1);
    let done = async move {
        match produced.await.map_err(anyhow::Error::from).flatten() {
            // The broker lives until the group is left.
            Ok(broker) => drop(keep.send(broker).await),
            Err(error) => tracing::error!("the demo's records could not be produced: {error:#}"),
        }
    };
    let health = Arc::new(Health::new(HealthLimits::default()));
    let fates = service.serve(health, JoinSet::new(), done).await;
    over.store(true, Ordering::Relaxed);
    drop(kept.try_recv());
    bar.finish_and_clear();
    fates
}

fn decided(watch: &crate::edge::kafka::source::SourceWatch) -> usize {
    let next = (0..N_PARTITIONS).filter_map(|partition| watch.next_decided(TOPIC, partition));
    usize::try_from(next.sum::<i64>()).unwrap_or(0)
}

fn wiring(broker: &EmbeddedBroker, dir: &Path) -> Wiring {
    let dead_letters = DeadLetterSettings {
        place: DeadLetterPlace::File(dir.join("dead-letters.ndjson")),
        raw: RawBytes::Keep,
        share_max: 1.0,
        window: Duration::from_mins(1),
        window_records_min: u64::MAX,
    };
    let alerts =
        DestinationKind::File { path: dir.join("alerts.ndjson"), format: AlertFormat::Native, rotate_bytes: 64 << 20 };
    let mut consumer = broker.consumer_settings(TOPIC, "panicsift-demo");
    consumer.batch.wait_max = BATCH_WAIT;
    Wiring {
        consumer,
        start: |checkpoint| EmbeddedBroker::start_positions(TOPIC, N_PARTITIONS, checkpoint),
        refused_share: RefusedShare::new(&dead_letters),
        destinations: vec![DestinationSettings { name: "alerts-file".to_owned(), kind: alerts }],
        limits: LimitSettings::default(),
        ends: true,
    }
}

/// The tables as files in the folder, where a configuration could name them too.
fn tables(dir: &Path) -> Result<Tables> {
    let (asn, country) = (dir.join("asn.mmdb"), dir.join("country.mmdb"));
    for (path, bytes) in [(&asn, ASN), (&country, COUNTRY)] {
        std::fs::write(path, bytes).with_context(|| path.display().to_string())?;
    }
    let (tables, faults) = Tables::open(Some(&asn), Some(&country));
    for fault in faults {
        tracing::warn!(error = %fault, "an address table is absent");
    }
    Ok(tables)
}

fn bar(n_records: usize) -> Result<ProgressBar> {
    let bar = ProgressBar::new(n_records as u64);
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos} of {len} records into Kafka, through the service")?);
    Ok(bar)
}
