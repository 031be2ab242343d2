//! Files through the whole pipeline, in event time: the same input gives the same output, byte for byte.
//!
//! Reads files of events; gives the clusters, and on request one line an event and one line an alert. No store, no
//! clock, no network. Memory is that of the state: what the event lines need later (event id, cell, sender) waits in a
//! temporary file beside the output.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};

use super::judgement::{self, Rhythm};
use super::samples::{self, HeldSamples};
use super::service::store_objectives;
use super::time_order::TimeOrder;
use super::traffic::TrafficFeed;
use crate::config::{AlertSettings, ClusteringSettings, ModelSettings, TableSettings};
use crate::edge::files::{FileSource, Framing, Progress};
use crate::edge::store::Store;
use crate::edge::tables::Tables;
use crate::edge::{Pull, Source};
use crate::pipeline::alert::Verdict;
use crate::pipeline::decode::Feed;
use crate::pipeline::event::{Batch, Checkpoint, Millis};
use crate::pipeline::gather::GatherPolicy;
use crate::pipeline::keys::Keys;
use crate::pipeline::observation::{Actor, CellKey, Heard, Observation, OrdinaryRequest};
use crate::pipeline::operations::budget::slo::Slo;
use crate::pipeline::sift::{Sift, Sifted, Whole};
use crate::pipeline::state::State;
use crate::pipeline::{Context, Step, fold};
use crate::secret::Secret;

/// The secret of a replay without a key file. Files have no service whose names must stay secret, and a replay must
/// give the same names wherever it is run.
pub(super) const REPLAY_SECRET: &[u8] = b"panicsift replay";

/// Refused records that are told of in full.
const REFUSALS_TOLD_MAX: u64 = 10;

/// What a replay reads and writes, and how it judges.
#[derive(Debug, Default)]
pub struct ReplayOptions {
    /// Files of events; `-` is standard input.
    pub inputs: Vec<PathBuf>,
    /// What is known of the records.
    pub feed: Feed,
    /// Files of request totals (CSV).
    pub traffic: Vec<PathBuf>,
    /// Files of samples of ordinary requests.
    pub samples: Vec<PathBuf>,
    /// Where to write one line for each event.
    pub assignments: Option<PathBuf>,
    /// Where to write one line for each alert.
    pub alerts_out: Option<PathBuf>,
    /// Where to make a store of what is remembered, for reports; nothing is there yet.
    pub store: Option<PathBuf>,
    /// Store whose analysts' words hold, from the first event on.
    pub labels: Option<PathBuf>,
    /// Key of the names; `None`: a fixed key, since files have no service.
    pub privacy_key: Option<Secret>,
    /// Address tables.
    pub tables: TableSettings,
    /// Models.
    pub models: ModelSettings,
    /// Rhythm of clustering.
    pub clustering: ClusteringSettings,
    /// When an alert is raised.
    pub alerts: AlertSettings,
}

/// Puts files through the pipeline and gives the state at their end, for the report.
///
/// # Errors
/// A file that cannot be read or written, or a model with a fault. An address table that is absent is a warning.
pub async fn replay(options: ReplayOptions) -> Result<State> {
    let (tables, faults) = Tables::open(options.tables.asn.as_deref(), options.tables.country.as_deref());
    for fault in faults {
        tracing::warn!(error = %fault, "an address table is absent");
    }
    let feeds = samples::feeds(&options.samples, &options.feed);
    let gathering = GatherPolicy::FILES;
    let rhythm = Rhythm { feeds, gathering, clustering: options.clustering.clone(), retention: None };
    let keys = Keys::derive(options.privacy_key.as_ref().map_or(REPLAY_SECRET, |key| key.expose().as_bytes()));
    let context = judgement::context(keys, tables, &options.models, &rhythm, &options.alerts)?;

    let one = |input: &PathBuf| FileSource::open_framed(std::slice::from_ref(input), Framing::Told);
    let open = |paths: &[PathBuf]| paths.iter().map(one).collect::<Result<Vec<_>, _>>();
    let (files, sampled) = (open(&options.inputs)?, open(&options.samples)?);
    let bar = Bar::over(files.iter().chain(&sampled).map(FileSource::progress).collect());
    let mut source = TimeOrder::new(files, &options.feed).and(sampled, &samples::of_samples(&options.feed));
    let traffic = TrafficFeed::read(&options.traffic, &options.feed.tenant)?;
    let mut run = Run::begin(&context, &options, traffic)?;
    if let Some(labels) = &options.labels {
        run.hear(&Store::open_read_only(labels)?)?;
    }
    while let Pull::Batch(batch) = source.next().await? {
        run.take(&batch)?;
        bar.show();
    }
    run.take_rest()?;
    run.traffic.count_due(&context, &mut run.state, Millis(i64::MAX));
    run.close()?;
    bar.clear();
    run.finish(&options)
}

/// A replay under way.
struct Run<'c> {
    context: &'c Context,
    state: State,
    sift: Sift,
    traffic: TrafficFeed,
    samples: HeldSamples,
    alerts: Option<BufWriter<File>>,
    store: Option<Store>,
    whereabouts: Option<Spill>,
    n_observed: u64,
    n_duplicate: u64,
    n_refused: u64,
    n_silent: u64,
    n_alerts: u64,
}

impl<'c> Run<'c> {
    fn begin(context: &'c Context, options: &ReplayOptions, traffic: TrafficFeed) -> Result<Self> {
        let create = |path: &PathBuf| File::create(path).with_context(|| path.display().to_string());
        Ok(Self {
            context,
            state: State::new(&context.clustering),
            sift: Sift::default(),
            traffic,
            samples: HeldSamples::default(),
            alerts: options.alerts_out.as_ref().map(create).transpose()?.map(BufWriter::new),
            store: options.store.as_deref().map(|path| new_store(path, &options.alerts.operations.slos)).transpose()?,
            whereabouts: options.assignments.as_deref().map(Spill::beside).transpose()?,
            n_observed: 0,
            n_duplicate: 0,
            n_refused: 0,
            n_silent: 0,
            n_alerts: 0,
        })
    }

    /// Takes up the words of another store, and keeps them in the new one.
    fn hear(&mut self, labels: &Store) -> Result<()> {
        self.state.take_up(labels.rulings()?);
        Ok(self.store.as_mut().map_or(Ok(()), |store| store.copy_labels(&labels.labels()?))?)
    }

    fn take(&mut self, batch: &Batch) -> Result<()> {
        let mut heard = Heard::default();
        for record in batch.iter() {
            match self.sift.take(self.context, record, &mut heard) {
                Sifted::Seen(_) | Sifted::Gathered | Sifted::Totals | Sifted::Sampled => {}
                Sifted::Silent => self.n_silent += 1,
                Sifted::Refused(refusal) => {
                    self.n_refused += 1;
                    if self.n_refused <= REFUSALS_TOLD_MAX {
                        tracing::warn!(
                            position = %record.position, reason = refusal.reason.name(), detail = refusal.detail,
                            "a record is refused"
                        );
                    }
                }
            }
        }
        for total in self.sift.take_totals() {
            self.traffic.count(self.context, &mut self.state, &total);
        }
        let mut whole = self.sift.whole(None);
        self.samples.hold(heard.ordinary);
        self.fold(&mut whole, heard.panics)
    }

    /// The events that still wait for what belongs to them, at the end.
    fn take_rest(&mut self) -> Result<()> {
        let mut whole = self.sift.flush();
        self.fold(&mut whole, Vec::new())
    }

    fn fold<'b>(&mut self, whole: &'b mut Whole, mut seen: Vec<Observation<'b>>) -> Result<()> {
        for refusal in self.sift.observe(self.context, whole, &mut seen) {
            tracing::error!(detail = refusal.detail, "an event that was put together of several records is lost");
        }
        // What looks at rates is to meet the totals of a window when it is over, as in a service.
        while let Some(end) = self.traffic.next_end() {
            seen.sort_by_key(|observation| observation.time);
            let after = seen.split_off(seen.partition_point(|observation| observation.time < end));
            if after.is_empty() {
                break;
            }
            self.fold_part(std::mem::replace(&mut seen, after))?;
            self.traffic.count_due(self.context, &mut self.state, end);
        }
        self.fold_part(seen)
    }

    fn fold_part(&mut self, seen: Vec<Observation<'_>>) -> Result<()> {
        let n_seen = seen.len();
        let waiting: Vec<Whereabout> = self.whereabouts.iter().flat_map(|_| seen.iter().map(Whereabout::of)).collect();
        let newest = seen.iter().map(|observation| observation.time).max();
        let ordinary = self.samples.before(newest.unwrap_or(Millis(i64::MIN)));
        let step = fold(self.context, &mut self.state, Heard { panics: seen, ordinary }, None);
        self.n_duplicate += step.duplicates.len() as u64;
        self.n_observed += (n_seen - step.duplicates.len()) as u64;
        if let Some(spill) = &mut self.whereabouts {
            // A file that is given twice has each place twice, and one of the two counts.
            let mut repeated: BTreeMap<&(String, i32, i64), u64> = BTreeMap::new();
            step.duplicates.iter().for_each(|place| *repeated.entry(place).or_default() += 1);
            spill.take(waiting.into_iter().filter(|event| match repeated.get_mut(&event.position) {
                Some(n) if *n > 0 => {
                    *n -= 1;
                    false
                }
                _ => true,
            }))?;
        }
        self.tell(&step)
    }

    /// Closes the last epoch; samples that are later are still learned, for whoever goes on from the store.
    fn close(&mut self) -> Result<()> {
        let due = self.samples.before(self.state.epoch_end(self.context));
        self.learn(due)?;
        let step = self.state.close_last(self.context);
        self.tell(&step)?;
        let rest = self.samples.before(Millis(i64::MAX));
        self.learn(rest)
    }

    fn learn(&mut self, ordinary: Vec<OrdinaryRequest>) -> Result<()> {
        let step = fold(self.context, &mut self.state, Heard { panics: Vec::new(), ordinary }, None);
        self.tell(&step)
    }

    fn tell(&mut self, step: &Step) -> Result<()> {
        self.n_alerts += step.alerts.len() as u64;
        if let Some(store) = &mut self.store {
            store.commit(&step.rows, &step.alerts, &Checkpoint::default())?;
        }
        if let Some(file) = &mut self.alerts {
            for alert in &step.alerts {
                serde_json::to_writer(&mut *file, alert)?;
                file.write_all(b"\n")?;
            }
        }
        Ok(())
    }

    fn finish(mut self, options: &ReplayOptions) -> Result<State> {
        if let Some(file) = &mut self.alerts {
            file.flush()?;
        }
        if let (Some(spill), Some(path)) = (self.whereabouts.take(), &options.assignments) {
            spill.write_out(&self.state, path)?;
        }
        tracing::info!(
            observed = self.n_observed,
            duplicate = self.n_duplicate,
            refused = self.n_refused,
            without_panic = self.n_silent,
            alerts = self.n_alerts,
            request_totals = self.traffic.n_counted,
            request_totals_repeated = self.traffic.n_repeated,
            request_totals_refused = self.traffic.n_refused,
            request_samples = self.samples.n_taken,
            "the replay is done"
        );
        Ok(self.state)
    }
}

/// A store where nothing is yet: a replay has all that it remembers from its inputs, and adds to nobody else's.
fn new_store(path: &Path, slos: &[Slo]) -> Result<Store> {
    if path.exists() {
        bail!("{}: there is a file already; a replay makes a new store, name another path", path.display());
    }
    let mut store = Store::open(path)?;
    store_objectives(&mut store, slos)?;
    Ok(store)
}

/// What an event's line needs at the end.
#[derive(Serialize, Deserialize)]
struct Whereabout {
    event_id: String,
    cell: CellKey,
    actor: Actor,
    #[serde(skip)]
    position: (String, i32, i64),
}

impl Whereabout {
    fn of(o: &Observation<'_>) -> Self {
        let position = (o.position.topic.to_owned(), o.position.partition, o.position.offset);
        Self { event_id: o.event_id.to_string(), cell: o.cell, actor: o.actor, position }
    }
}

/// The line of an event.
#[derive(Serialize)]
struct Assignment<'a> {
    event_id: &'a str,
    cluster: Option<String>,
    verdict: Verdict,
    alerted_at: Option<String>,
}

/// Events that wait for the end of the replay, in a temporary file.
struct Spill {
    file: BufWriter<File>,
    buffer: Vec<u8>,
}

impl Spill {
    fn beside(path: &Path) -> Result<Self> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let file = tempfile::tempfile_in(folder).with_context(|| folder.display().to_string())?;
        Ok(Self { file: BufWriter::new(file), buffer: Vec::new() })
    }

    fn take(&mut self, events: impl Iterator<Item = Whereabout>) -> Result<()> {
        for waiting in events {
            self.buffer = postcard::to_extend(&waiting, std::mem::take(&mut self.buffer))?;
            self.file.write_all(&u32::try_from(self.buffer.len())?.to_le_bytes())?;
            self.file.write_all(&self.buffer)?;
            self.buffer.clear();
        }
        Ok(())
    }

    fn write_out(self, state: &State, path: &Path) -> Result<()> {
        let mut file = self.file.into_inner()?;
        file.rewind()?;
        let mut waiting = BufReader::new(file);
        let mut out = BufWriter::new(File::create(path).with_context(|| path.display().to_string())?);
        let mut bytes = self.buffer;
        loop {
            let mut length = [0; 4];
            match waiting.read_exact(&mut length) {
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => break,
                other => other?,
            }
            bytes.resize(usize::try_from(u32::from_le_bytes(length))?, 0);
            waiting.read_exact(&mut bytes)?;
            let event: Whereabout = postcard::from_bytes(&bytes)?;
            let now = state.whereabouts(&event.cell, event.actor);
            let line = Assignment {
                event_id: &event.event_id,
                cluster: now.cluster.map(|id| id.to_string()),
                verdict: now.verdict,
                alerted_at: now.alerted_at.map(|at| at.to_string()),
            };
            serde_json::to_writer(&mut out, &line)?;
            out.write_all(b"\n")?;
        }
        Ok(out.flush()?)
    }
}

/// A progress bar on standard error; nothing where that is no terminal.
struct Bar {
    bar: ProgressBar,
    inputs: Vec<Progress>,
}

impl Bar {
    fn over(inputs: Vec<Progress>) -> Self {
        let total: Option<u64> = inputs.iter().map(Progress::n_bytes_total).sum();
        let bar = total.map_or_else(ProgressBar::no_length, ProgressBar::new);
        let template = if total.is_some() { "{bar:40} {bytes} of {total_bytes}, {eta} left" } else { "{bytes} read" };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self { bar, inputs }
    }

    fn show(&self) {
        self.bar.set_position(self.inputs.iter().map(Progress::n_bytes_read).sum());
    }

    fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
