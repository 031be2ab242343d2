//! `dead-letters replay` and `purge`, and the reading that all of `dead-letters` does.
//!
//! Letters are read where the configuration (or a file's name) says: dead letter files with those that were set aside,
//! or a topic, from its beginning to the end that it has now.
//!
//! **What a replay promises.** Each chosen letter whose record this version would not refuse is written down in the
//! store as begun; then its very bytes are produced (`acks=all`, header `panicsift-replay`, the record's first broker
//! time as its timestamp); then it is written down as done. A letter that is done is never replayed again. One that is
//! begun and not done (the process or a broker broke off between the two) is produced again by the next replay: its
//! record may then stand in the topic twice, and counts once, as a duplicate, while its event id is remembered (the
//! last [`RECENT_MAX`](crate::pipeline::recent::RECENT_MAX) events). So: at least once, and once unless it broke off.
//! A record that would be refused again is left alone, or each replay would make letters of its letters.
//!
//! Memory is a batch of records ([`BATCH_BYTES_MAX`]) and the ids of the letters that were met.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use tokio::runtime::Handle;

use super::destinations::shared_with_producers;
use super::judgement::{self, Rhythm};
use super::plain;
use crate::config::{self, AlertSettings, DeadLetterPlace, ModelSettings, Settings};
use crate::edge::SourceError;
use crate::edge::files::letters;
use crate::edge::kafka::ProducerSettings;
use crate::edge::kafka::letters::read_topic;
use crate::edge::kafka::produce::{KafkaReplays, ReplayedRecord};
use crate::edge::store::{ReplayAccount, ReplayStanding, Store};
use crate::edge::tables::Tables;
use crate::pipeline::decode::contract::{DeadLetter, Kept};
use crate::pipeline::event::{Millis, Position, RawRecord, Reason};
use crate::pipeline::keys::Keys;
use crate::pipeline::{Context, Memos, examine, neutral};
use crate::secret::seal::Identities;

/// Records that are produced and accounted for together.
const BATCH_RECORDS_MAX: usize = 500;
/// Bytes of such a batch.
const BATCH_BYTES_MAX: usize = 8 << 20;
/// Longest line that is told of a letter, in bytes.
const LINE_BYTES_MAX: usize = 400;
/// A key for examining what is thrown away: whether a record is refused does not depend on it.
const NO_SECRET: &[u8] = b"dead letters are examined, not named";

/// Which letters are meant. All that is named must fit; nothing named means all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LetterFilter {
    /// Any of these reasons.
    pub reasons: Vec<Reason>,
    /// The topic that the record came from.
    pub topic: Option<String>,
    /// Refused at this time or later (wall clock).
    pub since: Option<Millis>,
    /// Refused before this time (wall clock).
    pub until: Option<Millis>,
    /// The letter's id, or its beginning.
    pub letter: Option<String>,
}

impl LetterFilter {
    /// Whether a letter fits. One without a time of its own fits no time.
    pub fn fits(&self, letter: &DeadLetter) -> bool {
        let at = letter.refused_at.as_ref().or(letter.broker_time.as_ref()).and_then(|text| Millis::parse(text));
        (self.reasons.is_empty() || self.reasons.contains(&letter.reason))
            && self.topic.as_ref().is_none_or(|topic| *topic == letter.topic)
            && self.since.is_none_or(|since| at.is_some_and(|at| since <= at))
            && self.until.is_none_or(|until| at.is_some_and(|at| at < until))
            && self.letter.as_ref().is_none_or(|id| letter.id().starts_with(id.as_str()))
    }
}

/// Where dead letters are, and what belongs to them.
pub struct LetterBox {
    place: DeadLetterPlace,
    settings: Option<Settings>,
    store: Option<PathBuf>,
}

impl LetterBox {
    /// The place that the settings name, or the file that was named in its stead; the store likewise.
    ///
    /// # Errors
    /// Neither is named.
    pub fn new(settings: Option<Settings>, file: Option<PathBuf>, store: Option<PathBuf>) -> Result<Self> {
        let place = match (file, &settings) {
            (Some(file), _) => DeadLetterPlace::File(file),
            (None, Some(settings)) => settings.dead_letters.place.clone(),
            (None, None) => bail!("where the dead letters are must be named: --config or --file"),
        };
        let store = store.or_else(|| settings.as_ref().map(|settings| settings.state.path.clone()));
        Ok(Self { place, settings, store })
    }

    /// Hands the letters that fit to `each`, with where they are; gives the number of lines or records that are none.
    ///
    /// # Errors
    /// The place cannot be read; what `each` says.
    pub fn read(&self, filter: &LetterFilter, mut each: impl FnMut(&str, DeadLetter) -> Result<()>) -> Result<u64> {
        let mut n_unreadable = 0;
        let mut take = |place: &str, bytes: &[u8]| match serde_json::from_slice::<DeadLetter>(bytes) {
            Ok(letter) if filter.fits(&letter) => each(place, letter),
            Ok(_) => Ok(()),
            Err(_) => {
                n_unreadable += 1;
                Ok(())
            }
        };
        match (&self.place, &self.settings) {
            (DeadLetterPlace::File(path), _) => {
                if letters::letter_files(path).is_ok_and(|files| files.is_empty()) && self.settings.is_none() {
                    bail!("{}: there is no such file", path.display());
                }
                letters::read_files(path, |line| {
                    take(&format!("{}:{}", line.path.display(), line.number), line.bytes)
                })?;
            }
            (DeadLetterPlace::Topic(topic), Some(settings)) => {
                let access = shared_with_producers(&settings.source.properties);
                read_topic::<Broken>(&settings.source.brokers, topic, &access, |partition, offset, bytes| {
                    take(&format!("{topic} {partition}@{offset}"), bytes).map_err(Broken)
                })
                .map_err(|Broken(error)| error)?;
            }
            (DeadLetterPlace::Topic(_), None) => bail!("a topic is read with --config"),
        }
        Ok(n_unreadable)
    }

    /// The one letter that is meant, and where it is.
    ///
    /// # Errors
    /// There is none, or more than one.
    pub fn find(&self, id: &str) -> Result<(String, DeadLetter)> {
        let filter = LetterFilter { letter: Some(id.to_owned()), ..LetterFilter::default() };
        let mut found: BTreeMap<String, (String, DeadLetter)> = BTreeMap::new();
        self.read(&filter, |place, letter| {
            // Enough to know that the beginning of an id is too short.
            if found.len() < 2 {
                found.insert(letter.id(), (place.to_owned(), letter));
            }
            Ok(())
        })?;
        let shown = neutral::line(id, LINE_BYTES_MAX).into_owned();
        match (found.pop_first(), found.is_empty()) {
            (Some((_, found)), true) => Ok(found),
            (Some(_), false) => bail!("more than one dead letter begins with {shown}; type more of its id"),
            (None, _) => bail!("no dead letter is called {shown}; `panicsift dead-letters list` tells which there are"),
        }
    }

    /// Ids of the letters that were replayed; none where there is no store.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn replayed(&self) -> Result<BTreeSet<String>> {
        match self.store.as_deref().filter(|store| store.exists()) {
            Some(store) => Ok(Store::open_read_only(store)?.replayed_letters()?),
            None => Ok(BTreeSet::new()),
        }
    }
}

/// An error of any kind on its way through a reader.
struct Broken(anyhow::Error);

impl From<SourceError> for Broken {
    fn from(error: SourceError) -> Self {
        Self(error.into())
    }
}

/// The identities of a file that was named.
///
/// # Errors
/// It cannot be read, or holds none.
pub fn identities(path: Option<&Path>) -> Result<Option<Identities>> {
    let Some(path) = path else { return Ok(None) };
    let text = config::read_identity_file(path)?;
    Ok(Some(Identities::parse(&text).with_context(|| path.display().to_string())?))
}

/// The record's very bytes.
///
/// # Errors
/// They are sealed and there is no identity, or not the right one; they were not kept; the letter is damaged.
pub fn payload(letter: &DeadLetter, identities: Option<&Identities>) -> Result<Vec<u8>> {
    match (letter.kept(), identities) {
        (Kept::Bytes(bytes), _) => Ok(bytes),
        (Kept::Sealed(sealed), Some(identities)) => {
            let bytes = identities.open(&sealed, letter.payload_bytes)?;
            if u64::try_from(bytes.len()).is_ok_and(|n_bytes| n_bytes == letter.payload_bytes) {
                return Ok(bytes);
            }
            bail!("the letter is damaged: what was sealed has another size");
        }
        (Kept::Sealed(_), None) => bail!("its bytes are sealed: --identity FILE opens them"),
        (Kept::Nothing, _) => bail!("its bytes were not kept; they may still be at its position"),
        (Kept::Damaged, _) => bail!("the letter is damaged"),
    }
}

/// How letters are replayed.
#[derive(Default)]
pub struct ReplayOrder {
    /// Which letters.
    pub filter: LetterFilter,
    /// What opens sealed ones.
    pub identities: Option<Identities>,
    /// A file that the records go to, a line each, in place of their topics.
    pub to: Option<PathBuf>,
    /// Tell what would become of each, and do nothing.
    pub dry_run: bool,
    /// Who, as far as is known.
    pub who: Option<String>,
}

/// What became of a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Replayed,
    ReplayedAgain,
    Already,
    StillRefused,
    WithoutBytes,
    NotReplayable,
}

impl Outcome {
    fn words(self) -> &'static str {
        match self {
            Self::Replayed => "replayed",
            Self::ReplayedAgain => "replayed again, since an earlier replay broke off",
            Self::Already => "left: replayed before",
            Self::StillRefused => "left: still refused by this version",
            Self::WithoutBytes => "left: the bytes cannot be had",
            Self::NotReplayable => "left: cannot be replayed there",
        }
    }
}

/// Replays letters, or tells what would become of each. Blocks; `runtime` is where what is produced is awaited, and must
/// not be the one that calls.
///
/// # Errors
/// The place, the store or the target cannot be read or written. What was done before is done, and in the account.
pub fn replay(letters: &LetterBox, order: ReplayOrder, runtime: &Handle, out: &mut dyn Write) -> Result<()> {
    let named = order.filter.letter.is_some();
    let filter = order.filter.clone();
    let mut run = Replay::begin(letters, order, runtime, out)?;
    let n_unreadable = letters.read(&filter, |place, letter| run.take(place, &letter))?;
    run.flush()?;
    if named && run.counts.is_empty() {
        bail!("no dead letter fits; `panicsift dead-letters list` tells which there are");
    }
    let dry = run.order.dry_run;
    for (outcome, n) in &run.counts {
        writeln!(run.out, "{n} letters {}{}", if dry { "would be " } else { "" }, outcome.words())?;
    }
    if run.counts.is_empty() {
        writeln!(run.out, "no dead letter fits")?;
    }
    if n_unreadable > 0 {
        writeln!(run.out, "{n_unreadable} lines or records are no dead letters")?;
    }
    Ok(())
}

/// A replay under way.
struct Replay<'r> {
    order: ReplayOrder,
    out: &'r mut dyn Write,
    context: Context,
    memos: Memos,
    account: Option<ReplayAccount>,
    target: Target,
    waiting: Vec<(String, ReplayedRecord)>,
    n_waiting_bytes: usize,
    met: BTreeSet<String>,
    counts: BTreeMap<Outcome, u64>,
}

/// Where records go.
enum Target {
    /// Lines of a file.
    File(PathBuf, File),
    /// The topics that they came from, where those are read.
    Topics { settings: Box<Settings>, producers: BTreeMap<String, KafkaReplays>, runtime: Handle },
    /// Nowhere: a dry run.
    Nowhere,
}

impl<'r> Replay<'r> {
    fn begin(letters: &LetterBox, order: ReplayOrder, runtime: &Handle, out: &'r mut dyn Write) -> Result<Self> {
        let models = letters.settings.as_ref().map_or_else(ModelSettings::default, |settings| settings.models.clone());
        let (tables, _) = Tables::open(None, None);
        let keys = Keys::derive(NO_SECRET);
        let rhythm = letters.settings.as_ref().map_or_else(Rhythm::default, Rhythm::of);
        let context = judgement::context(keys, tables, &models, &rhythm, &AlertSettings::default())?;
        let target = match (&order.to, &letters.settings) {
            _ if order.dry_run => Target::Nowhere,
            (Some(path), _) => {
                let file = OpenOptions::new().append(true).create(true).open(path);
                Target::File(path.clone(), file.with_context(|| path.display().to_string())?)
            }
            (None, Some(settings)) => Target::Topics {
                settings: Box::new(settings.clone()),
                producers: BTreeMap::new(),
                runtime: runtime.clone(),
            },
            (None, None) => bail!("where the records go must be named: --config for their topics, or --to FILE"),
        };
        let store = letters.store.as_deref();
        let account = match (store, order.dry_run) {
            (Some(store), true) if !store.exists() => None,
            (Some(store), _) => Some(ReplayAccount::open(store)?),
            (None, true) => None,
            (None, false) => bail!("the store that keeps the account must be named: --config or --store"),
        };
        Ok(Self {
            order,
            out,
            context,
            memos: Memos::default(),
            account,
            target,
            waiting: Vec::new(),
            n_waiting_bytes: 0,
            met: BTreeSet::new(),
            counts: BTreeMap::new(),
        })
    }

    /// One letter: decided at once, produced with its batch.
    fn take(&mut self, place: &str, letter: &DeadLetter) -> Result<()> {
        let id = letter.id();
        // A letter that was written twice is one letter.
        if !self.met.insert(id.clone()) {
            return Ok(());
        }
        let (outcome, why, payload) = self.decide(&id, letter)?;
        let why = if why.is_empty() { String::new() } else { format!(" ({why})") };
        let is_exception = !matches!(outcome, Outcome::Replayed | Outcome::Already);
        if self.order.dry_run || is_exception {
            let would = if self.order.dry_run { "would be " } else { "" };
            let line = format!("{id} at {place}, {}: {would}{}{why}", letter.reason.name(), outcome.words());
            writeln!(self.out, "{}", neutral::line(&line, LINE_BYTES_MAX))?;
        }
        *self.counts.entry(outcome).or_default() += 1;
        if let Some(payload) = payload.filter(|_| !self.order.dry_run) {
            let broker_time_ms = letter.broker_time.as_deref().and_then(Millis::parse).map(|time| time.0);
            self.n_waiting_bytes += payload.len();
            self.waiting.push((
                letter.topic.clone(),
                ReplayedRecord { letter: id, headers: letter.headers.clone(), payload, broker_time_ms },
            ));
            if self.waiting.len() >= BATCH_RECORDS_MAX || self.n_waiting_bytes >= BATCH_BYTES_MAX {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// What is to become of a letter, why, and the bytes where they are to be replayed.
    fn decide(&mut self, id: &str, letter: &DeadLetter) -> Result<(Outcome, String, Option<Vec<u8>>)> {
        let standing = match &self.account {
            Some(account) => account.standing(id)?,
            None => ReplayStanding::New,
        };
        if standing == ReplayStanding::Done {
            return Ok((Outcome::Already, String::new(), None));
        }
        let payload = match payload(letter, self.order.identities.as_ref()) {
            Ok(payload) => payload,
            Err(error) => return Ok((Outcome::WithoutBytes, error.to_string(), None)),
        };
        let position = Position { topic: &letter.topic, partition: letter.partition, offset: letter.offset };
        let broker_time = letter.broker_time.as_deref().and_then(Millis::parse);
        let record = RawRecord { position, broker_time, headers: &letter.headers, payload: &payload };
        if let Some(refusal) = examine(&self.context, &mut self.memos, record).refusal {
            let why = format!("{}: {}", refusal.reason.name(), refusal.detail);
            return Ok((Outcome::StillRefused, why, None));
        }
        let obstacle = match &self.target {
            Target::File(..) if payload.contains(&b'\n') => Some("its bytes hold a line feed, and a file has lines"),
            Target::Topics { settings, .. } if !settings.source.topics.contains(&letter.topic) => {
                Some("its topic is none that the configuration reads")
            }
            _ => None,
        };
        if let Some(obstacle) = obstacle {
            return Ok((Outcome::NotReplayable, obstacle.to_owned(), None));
        }
        let outcome = if standing == ReplayStanding::Begun { Outcome::ReplayedAgain } else { Outcome::Replayed };
        Ok((outcome, String::new(), Some(payload)))
    }

    /// Begun, produced, done: in this order, each durable before the next.
    fn flush(&mut self) -> Result<()> {
        let batch = std::mem::take(&mut self.waiting);
        self.n_waiting_bytes = 0;
        let Some(account) = self.account.as_mut().filter(|_| !batch.is_empty()) else { return Ok(()) };
        let ids: Vec<&str> = batch.iter().map(|(_, record)| record.letter.as_str()).collect();
        let who = neutral::line(self.order.who.as_deref().unwrap_or_default(), LINE_BYTES_MAX).into_owned();
        account.begin(&ids, &self.target.name(), &who)?;
        self.target.produce(&batch)?;
        Ok(account.end(&ids)?)
    }
}

impl Target {
    fn name(&self) -> String {
        match self {
            Self::File(path, _) => format!("file {}", path.display()),
            Self::Topics { .. } => "their topics".to_owned(),
            Self::Nowhere => String::new(),
        }
    }

    fn produce(&mut self, batch: &[(String, ReplayedRecord)]) -> Result<()> {
        match self {
            Self::Nowhere => Ok(()),
            Self::File(path, file) => {
                let lines: Vec<u8> =
                    batch.iter().flat_map(|(_, record)| [&record.payload[..], b"\n"].concat()).collect();
                let written = file.write_all(&lines).and_then(|()| file.sync_data());
                written.with_context(|| path.display().to_string())
            }
            Self::Topics { settings, producers, runtime } => {
                let _entered = runtime.enter();
                let mut by_topic: BTreeMap<&str, Vec<ReplayedRecord>> = BTreeMap::new();
                for (topic, record) in batch {
                    by_topic.entry(topic).or_default().push(record.clone());
                }
                for (topic, records) in by_topic {
                    if !producers.contains_key(topic) {
                        let mut producer = ProducerSettings::new(settings.source.brokers.clone(), topic.to_owned());
                        producer.properties = shared_with_producers(&settings.source.properties);
                        producers.insert(topic.to_owned(), KafkaReplays::start(&producer)?);
                    }
                    if let Some(producer) = producers.get_mut(topic) {
                        runtime.block_on(producer.send(&records))?;
                    }
                }
                Ok(())
            }
        }
    }
}

/// How letters are taken out for good.
#[derive(Debug, Clone, Default)]
pub struct PurgeOrder {
    /// Which letters.
    pub filter: LetterFilter,
    /// Only those that were replayed.
    pub replayed: bool,
    /// Tell how many, and do nothing.
    pub dry_run: bool,
}

/// Takes letters out of dead letter files for good.
///
/// # Errors
/// The letters are in a topic, whose retention does it; a file cannot be read or written.
pub fn purge(letters: &LetterBox, order: &PurgeOrder, out: &mut dyn Write) -> Result<()> {
    let path: &Path = match &letters.place {
        DeadLetterPlace::File(path) => path,
        DeadLetterPlace::Topic(topic) => bail!(
            "the dead letters are in topic `{}`: Kafka takes them out by the topic's retention.ms and retention.bytes",
            plain(topic)
        ),
    };
    let replayed = if order.replayed { letters.replayed()? } else { BTreeSet::new() };
    let is_unwanted = |line: letters::LetterLine<'_>| {
        serde_json::from_slice::<DeadLetter>(line.bytes)
            .is_ok_and(|letter| order.filter.fits(&letter) && (!order.replayed || replayed.contains(&letter.id())))
    };
    let purged = letters::purge_files(path, order.dry_run, is_unwanted).with_context(|| path.display().to_string())?;
    let would = if order.dry_run { "would be " } else { "" };
    writeln!(out, "{} letters {would}taken out, {} stay", purged.n_taken, purged.n_kept)?;
    for (path, n) in &purged.in_use {
        let path = path.display().to_string();
        writeln!(out, "{n} of those stay in {}: a service has it open; stop it, or wait", plain(&path))?;
    }
    Ok(())
}
