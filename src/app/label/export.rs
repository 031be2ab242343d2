//! `label export`: the events of labelled clusters as a set that `train` reads.
//!
//! Reads a store and the files that its events are in, in the order of event time; asks the store's state, which cluster
//! holds each event, as the assignments of a replay do, and by the rule of [`rulings`](crate::pipeline::rulings) whose
//! word holds for it. Writes `events.jsonl.gz`, the lines as they were, and `labels.jsonl.gz`. Events that no word
//! reaches, or that the store never counted, are left out, and so is whatever tells of more or less than one whole
//! event in a line, since a label names one.
//!
//! The lines hold what senders sent: the files are readable by their owner alone. They are whole or not there: each is
//! written beside its place and moved. Memory: the state, and 16 bytes an event that is written.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;
use tempfile::NamedTempFile;

use crate::app::judgement::{self, Rhythm};
use crate::app::key;
use crate::app::time_order::TimeOrder;
use crate::config::{AlertSettings, ModelSettings, TableSettings};
use crate::edge::files::FileSource;
use crate::edge::store::Store;
use crate::edge::tables::Tables;
use crate::edge::{Pull, Source};
use crate::pipeline::cluster::ClusteringModel;
use crate::pipeline::cluster::identity::ClusterId;
use crate::pipeline::decode::{Feed, Feeds};
use crate::pipeline::event::{Id, RawRecord};
use crate::pipeline::rulings::Call;
use crate::pipeline::state::State;
use crate::pipeline::{Context, Memos, examine};
use crate::secret::Secret;

/// The files of a set.
const FILES: [&str; 2] = ["events.jsonl.gz", "labels.jsonl.gz"];

/// What an export reads and writes.
#[derive(Debug, Default)]
pub struct ExportOrder {
    /// The store.
    pub store: PathBuf,
    /// Files of events.
    pub inputs: Vec<PathBuf>,
    /// What is known of the records.
    pub feed: Feed,
    /// The folder of the set.
    pub out: PathBuf,
    /// Key of the names; `None`: the one beside the store, or a replay's.
    pub privacy_key: Option<Secret>,
    /// Address tables: those that the store's events were enriched by.
    pub tables: TableSettings,
    /// Models: likewise.
    pub models: ModelSettings,
}

/// Writes the events of labelled clusters with their labels; tells how many.
///
/// # Errors
/// A store or a file that cannot be read, another key than the store's, no words, no event that a word reaches, a set
/// that is there already or cannot be written. No set is there then.
pub async fn export(order: ExportOrder, out: &mut dyn Write) -> Result<()> {
    for path in FILES.map(|name| order.out.join(name)) {
        if path.exists() {
            bail!("{}: there is a set already; name another folder", path.display());
        }
    }
    let (state, context) = open(&order)?;
    if state.rulings().iter().len() == 0 {
        bail!("no word stands: panicsift label CLUSTER hostile|benign --why TEXT");
    }
    let files = order.inputs.iter().map(|input| FileSource::open(std::slice::from_ref(input)));
    let mut source = TimeOrder::new(files.collect::<Result<Vec<_>, _>>()?, &order.feed);
    std::fs::create_dir_all(&order.out).with_context(|| order.out.display().to_string())?;
    let mut set = Set::beside(&order.out)?;
    let mut memos = Memos::default();
    while let Pull::Batch(batch) = source.next().await? {
        for record in batch.iter() {
            set.take(&state, &context, &mut memos, record)?;
        }
    }
    let account = set.finish(&order.out)?;
    tell(&account, &state, &order, out)
}

/// The state of the store with the words that stand now, and what its events were judged with.
fn open(order: &ExportOrder) -> Result<(State, Context)> {
    let store = Store::open_read_only(&order.store)?;
    let keys = key::of_store(order.privacy_key.as_ref(), &order.store, &store)?;
    let model = ClusteringModel::uncapped()?;
    let (mut state, n_unreadable) = State::restore(&model, |kind| store.load_state(kind))?;
    if n_unreadable > 0 {
        tracing::warn!(rows = n_unreadable, "rows of the store could not be read and are left out");
    }
    state.take_up(store.rulings()?);
    let (tables, faults) = Tables::open(order.tables.asn.as_deref(), order.tables.country.as_deref());
    for fault in faults {
        tracing::warn!(error = %fault, "an address table is absent");
    }
    let rhythm = Rhythm { feeds: Feeds::new(BTreeMap::new(), order.feed.clone()), ..Rhythm::default() };
    let context = judgement::context(keys, tables, &order.models, &rhythm, &AlertSettings::default())?;
    Ok((state, context))
}

/// What a line of labels says.
#[derive(Serialize)]
struct Label<'a> {
    event_id: &'a str,
    hostile: bool,
    campaign: String,
    kind: &'static str,
}

/// A packed file that is not in its place yet.
type Packed = GzEncoder<BufWriter<NamedTempFile>>;

/// A set in the making.
struct Set {
    events: Packed,
    labels: Packed,
    account: Account,
    written: BTreeSet<Id>,
}

/// What was read and written.
#[derive(Default)]
struct Account {
    /// Events by the cluster that holds them, and the cluster whose word it is.
    of: BTreeMap<(ClusterId, ClusterId), (Call, u64)>,
    /// Events that no word reaches, or that the store does not know.
    n_unlabelled: u64,
    /// Events that were there already.
    n_repeated: u64,
    /// Lines that are refused, or tell of no, a part of, or several events.
    n_other: u64,
}

impl Account {
    fn n_events(&self) -> u64 {
        self.of.values().map(|(_, n)| n).sum()
    }
}

impl Set {
    fn beside(folder: &Path) -> Result<Self> {
        let packed = || -> Result<Packed> {
            let file = NamedTempFile::new_in(folder).with_context(|| folder.display().to_string())?;
            Ok(GzEncoder::new(BufWriter::new(file), Compression::default()))
        };
        Ok(Self { events: packed()?, labels: packed()?, account: Account::default(), written: BTreeSet::new() })
    }

    fn take(&mut self, state: &State, context: &Context, memos: &mut Memos, record: RawRecord<'_>) -> Result<()> {
        let Ok(o) = examine(context, memos, record).into_observation() else {
            self.account.n_other += 1;
            return Ok(());
        };
        let ruled = state.tenant(o.cell.tenant).and_then(|tenant| tenant.ruled(&o.cell, o.actor, o.time));
        let Some((cluster, origin, call)) = ruled
            .and_then(|(cluster, origin)| Some((cluster, origin, state.rulings().get(origin)?.call)))
            .filter(|_| !record.payload.contains(&b'\n'))
        else {
            self.account.n_unlabelled += 1;
            return Ok(());
        };
        if !self.written.insert(o.event) {
            self.account.n_repeated += 1;
            return Ok(());
        }
        self.events.write_all(record.payload)?;
        self.events.write_all(b"\n")?;
        let hostile = call == Call::Hostile;
        let label = Label { event_id: &o.event_id, hostile, campaign: cluster.to_string(), kind: "labelled" };
        serde_json::to_writer(&mut self.labels, &label)?;
        self.labels.write_all(b"\n")?;
        self.account.of.entry((cluster, origin)).or_insert((call, 0)).1 += 1;
        Ok(())
    }

    fn finish(self, folder: &Path) -> Result<Account> {
        if self.account.n_events() == 0 {
            bail!(
                "no event of the files is in a cluster that has a word, of {} that could be read: are these the store's \
                 events, and are key (--key-file) and tables (--asn, --country) those that it was made with?",
                self.account.n_unlabelled
            );
        }
        for (packed, name) in [self.events, self.labels].into_iter().zip(FILES) {
            let path = folder.join(name);
            let place = || path.display().to_string();
            let file: NamedTempFile =
                packed.finish()?.into_inner().map_err(std::io::IntoInnerError::into_error).with_context(place)?;
            let file: File = file.persist_noclobber(&path).with_context(place)?;
            file.sync_all().with_context(place)?;
        }
        Ok(self.account)
    }
}

fn tell(account: &Account, state: &State, order: &ExportOrder, out: &mut dyn Write) -> Result<()> {
    let clusters: BTreeSet<ClusterId> = account.of.keys().map(|(cluster, _)| *cluster).collect();
    writeln!(out, "{} events of {} clusters are in {}", account.n_events(), clusters.len(), order.out.display())?;
    for ((cluster, origin), (call, n)) in &account.of {
        let of = if cluster == origin { String::new() } else { format!(", by the word on {origin}") };
        writeln!(out, "{cluster}: {n} events are {}{of}", call.name())?;
    }
    let used: BTreeSet<ClusterId> = account.of.keys().map(|(_, origin)| *origin).collect();
    for (id, ruling) in state.rulings().iter().filter(|(id, _)| !used.contains(id)) {
        writeln!(out, "{id}: no event is {} by this word", ruling.call.name())?;
    }
    let Account { n_unlabelled, n_repeated, n_other, .. } = account;
    Ok(writeln!(
        out,
        "left out: {n_unlabelled} events that no word reaches, {n_repeated} repeated ones, {n_other} lines that are not \
         one whole event"
    )?)
}
