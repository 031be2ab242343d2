//! Labelled sets: a folder with `events.jsonl` and `labels.jsonl` (plain, or packed with gzip or zstd), and perhaps
//! `samples.jsonl`, samples of the ordinary requests of the same time.
//!
//! Reads them through the sources that a replay has; gives records in the order of event time, and a label for each. A
//! set without events, an event without a label, a label that stands twice or has no event: an error that says which.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::app::samples::of_samples;
use crate::app::time_order::TimeOrder;
use crate::edge::files::FileSource;
use crate::edge::{Pull, Source};
use crate::pipeline::decode::{Feed, Feeds};
use crate::pipeline::event::Batch;
use crate::pipeline::observation::{Observation, OrdinaryRequest};
use crate::pipeline::{Context, Memos, examine};

/// Endings of the files of a set.
const ENDINGS: [&str; 3] = ["jsonl", "jsonl.gz", "jsonl.zst"];

/// What is known to be true of one event.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Label {
    pub(super) event_id: String,
    /// Somebody sent it to do harm.
    pub(super) hostile: bool,
    /// Which campaign, or which honest cause, it belongs to.
    pub(super) campaign: String,
    /// What kind of campaign or cause that is; empty where it is not said.
    #[serde(default)]
    pub(super) kind: String,
    /// The owner's own test: neither hostile nor honest.
    #[serde(default)]
    pub(super) authorised: bool,
}

/// A set in memory.
pub(super) struct Set {
    /// The folder's name.
    pub(super) name: String,
    batches: Vec<Batch>,
    samples: Vec<Batch>,
    labels: BTreeMap<String, Label>,
}

impl Set {
    /// Reads a folder, and the samples in it where they are asked for.
    pub(super) async fn read(folder: &Path, with_samples: bool) -> Result<Self> {
        let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let mut labels = BTreeMap::new();
        let path = find(folder, "labels")?;
        for batch in batches(FileSource::open(std::slice::from_ref(&path))?).await? {
            for record in batch.iter() {
                let label: Label = serde_json::from_slice(record.payload)
                    .with_context(|| format!("{}: line {}", path.display(), record.position.offset + 1))?;
                if let Some(twice) = labels.insert(label.event_id.clone(), label) {
                    bail!("{}: the label of event {} stands twice", path.display(), twice.event_id);
                }
            }
        }
        let events = FileSource::open(&[find(folder, "events")?])?;
        let batches = batches(TimeOrder::new(vec![events], &Feed::default())).await?;
        if batches.is_empty() {
            bail!("{}: there are no events", folder.display());
        }
        let mut samples = Vec::new();
        if let Some(path) = find(folder, "samples").ok().filter(|_| with_samples) {
            samples = self::batches(FileSource::open(&[path])?).await?;
        }
        Ok(Self { name, batches, samples, labels })
    }

    /// Its samples of ordinary requests in the order of time; those that cannot be read are told and left out.
    pub(super) fn ordinary(&self, context: &Context) -> Vec<OrdinaryRequest> {
        let feeds = Feeds::new(BTreeMap::new(), of_samples(&Feed::default()));
        let (context, mut memos) = (Context { feeds, ..context.clone() }, Memos::default());
        let (mut ordinary, mut n_refused) = (Vec::new(), 0_usize);
        for record in self.samples.iter().flat_map(Batch::iter) {
            let examined = examine(&context, &mut memos, record);
            ordinary.extend(examined.ordinary);
            n_refused += usize::from(examined.refusal.is_some());
        }
        if n_refused > 0 {
            tracing::warn!(set = self.name, records = n_refused, "samples are refused");
        }
        OrdinaryRequest::put_in_order(&mut ordinary);
        ordinary
    }

    /// The observations with their labels, in the order of time. A record that is refused leaves its label without an event.
    pub(super) fn observations(&self, context: &Context) -> Result<(Vec<Observation<'_>>, Vec<&Label>)> {
        let mut memos = Memos::default();
        let records = self.batches.iter().flat_map(Batch::iter);
        let mut seen: Vec<Observation<'_>> =
            records.filter_map(|record| examine(context, &mut memos, record).into_observation().ok()).collect();
        seen.sort_by_key(|observation| (observation.time, observation.event));
        if let Some(twice) = seen.iter().zip(seen.iter().skip(1)).find(|(a, b)| a.event == b.event) {
            bail!("{}: event {} stands twice", self.name, twice.0.event_id);
        }
        let mut labels = Vec::with_capacity(seen.len());
        for o in &seen {
            match self.labels.get(o.event_id.as_ref()) {
                Some(label) => labels.push(label),
                None => bail!("{}: event {} has no label", self.name, o.event_id),
            }
        }
        if labels.len() < self.labels.len() {
            let known: BTreeSet<&str> = labels.iter().map(|label| label.event_id.as_str()).collect();
            let lost = self.labels.keys().find(|id| !known.contains(id.as_str())).map_or("", String::as_str);
            let n_lost = self.labels.len() - labels.len();
            bail!("{}: {n_lost} labels have no event that can be read, such as {lost}", self.name);
        }
        Ok((seen, labels))
    }
}

fn find(folder: &Path, name: &str) -> Result<PathBuf> {
    let mut paths = ENDINGS.iter().map(|ending| folder.join(format!("{name}.{ending}")));
    paths.find(|path| path.exists()).with_context(|| format!("{}: there is no {name}.jsonl", folder.display()))
}

async fn batches(mut source: impl Source) -> Result<Vec<Batch>> {
    let mut batches = Vec::new();
    loop {
        match source.next().await? {
            Pull::Batch(batch) => batches.push(batch),
            Pull::Closed => return Ok(batches),
            Pull::Idle | Pull::Gap(_) => {}
        }
    }
}
