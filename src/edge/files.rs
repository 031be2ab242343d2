//! Records from files, and dead letters to one.
//!
//! [`FileSource`] reads inputs one after another, in the order given: plain lines, gzip or zstd, told by their first
//! bytes, `-` for standard input. A record's position is (path, 0, line from 0). A thread reads and unpacks ahead, at
//! most [`QUEUE_BATCHES_MAX`] batches. Bound: a line keeps at most [`LINE_BYTES_MAX`] bytes while it is read, and what
//! is longer is handed over as [`CUT_BYTES`] bytes, which the decoder refuses by size.
//!
//! [`FileDeadLetters`] appends lines and syncs them to disk before it returns; full files are set aside, never deleted.
//!
//! [`letters`] reads them again and takes out what is no longer wanted; [`whole`] reads a file at once.
//!
//! Cost: the loop waits for the disk while dead letters are written; other tasks do not, that is a thread of its own.

pub mod letters;
pub mod whole;

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;

use super::{DeadLetterError, DeadLetters, EncodeLetter, Pull, Source, SourceError};
use crate::pipeline::event::{Batch, Checkpoint, Position, Rejection};

/// Batches read ahead.
const QUEUE_BATCHES_MAX: usize = 1;
/// Records in a batch: as many as one from Kafka.
const BATCH_RECORDS_MAX: usize = 10_000;
/// Bytes in a batch.
const BATCH_BYTES_MAX: usize = 8 << 20;
/// Bytes of a line that are kept while its end is looked for.
const LINE_BYTES_MAX: usize = 4 << 20;
/// Bytes of a longer line that are handed over: one more than a record may have, so that it is refused by size.
const CUT_BYTES: usize = (1 << 20) + 1;
/// Bytes by which it is told whether a file is one record.
const HEAD_BYTES: u64 = 64 << 10;
/// Bytes read from the disk at once.
const READ_BYTES: usize = 256 << 10;
/// Time without a line after which the source says `Idle` (standard input, slow disks).
const IDLE_AFTER: Duration = Duration::from_millis(500);

/// How much of the inputs was read, for a progress bar.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    n_read: Arc<AtomicU64>,
    n_total: Option<u64>,
}

impl Progress {
    /// Bytes read from disk so far (packed bytes where the input is packed).
    pub fn n_bytes_read(&self) -> u64 {
        self.n_read.load(Ordering::Relaxed)
    }

    /// Bytes of all inputs; `None` when one of them is standard input or a pipe.
    pub fn n_bytes_total(&self) -> Option<u64> {
        self.n_total
    }
}

/// Where records end in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Framing {
    /// A line is a record.
    #[default]
    Lines,
    /// Told by the first bytes: a file that begins with JSON over several lines, with a Sentry envelope or with binary
    /// bytes is one record; of any other a line is one.
    Told,
}

/// Files as records.
pub struct FileSource {
    batches: mpsc::Receiver<Result<Batch, SourceError>>,
    progress: Progress,
}

impl FileSource {
    /// Opens all inputs, so that a name that is wrong is told before any work is done, and begins to read lines.
    ///
    /// # Errors
    /// [`SourceError::File`] for the first input that cannot be opened.
    pub fn open(inputs: &[PathBuf]) -> Result<Self, SourceError> {
        Self::open_framed(inputs, Framing::Lines)
    }

    /// The same, with records that end as `framing` says.
    ///
    /// # Errors
    /// As [`FileSource::open`].
    pub fn open_framed(inputs: &[PathBuf], framing: Framing) -> Result<Self, SourceError> {
        let mut n_total = Some(0_u64);
        let mut opened = Vec::with_capacity(inputs.len());
        for path in inputs {
            let input = Input::open(path).map_err(|error| file_error(path, error))?;
            n_total = n_total.zip(input.n_bytes).map(|(sum, n_bytes)| sum.saturating_add(n_bytes));
            opened.push(input);
        }
        let progress = Progress { n_read: Arc::default(), n_total };
        let (sender, batches) = mpsc::channel(QUEUE_BATCHES_MAX);
        let n_read = Arc::clone(&progress.n_read);
        std::thread::Builder::new()
            .name("file-read".into())
            .spawn(move || read_inputs(opened, framing, &n_read, &sender))
            .map_err(|error| file_error(Path::new("-"), error))?;
        Ok(Self { batches, progress })
    }

    /// How much was read; the handle stays live.
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }
}

impl Source for FileSource {
    async fn next(&mut self) -> Result<Pull, SourceError> {
        match tokio::time::timeout(IDLE_AFTER, self.batches.recv()).await {
            Ok(Some(batch)) => batch.map(Pull::Batch),
            Ok(None) => Ok(Pull::Closed),
            Err(_) => Ok(Pull::Idle),
        }
    }

    /// Does nothing: a file has nowhere to remember it.
    fn commit(&mut self, _stored: &Checkpoint, _decided: &Checkpoint) -> Result<(), SourceError> {
        Ok(())
    }
}

fn file_error(path: &Path, error: io::Error) -> SourceError {
    SourceError::File { path: path.display().to_string(), error }
}

struct Input {
    path: PathBuf,
    bytes: Box<dyn Read + Send>,
    n_bytes: Option<u64>,
}

impl Input {
    fn open(path: &Path) -> io::Result<Self> {
        if path.as_os_str() == "-" {
            return Ok(Self { path: path.to_owned(), bytes: Box::new(io::stdin()), n_bytes: None });
        }
        let file = File::open(path)?;
        let facts = file.metadata()?;
        if facts.is_dir() {
            return Err(io::Error::new(io::ErrorKind::IsADirectory, "is a folder; name its files"));
        }
        let n_bytes = facts.is_file().then_some(facts.len());
        Ok(Self { path: path.to_owned(), bytes: Box::new(file), n_bytes })
    }
}

/// Counts the bytes that pass.
struct Counted<R> {
    bytes: R,
    n_read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n_bytes = self.bytes.read(into)?;
        self.n_read.fetch_add(n_bytes as u64, Ordering::Relaxed);
        Ok(n_bytes)
    }
}

type Sender = mpsc::Sender<Result<Batch, SourceError>>;

fn read_inputs(inputs: Vec<Input>, framing: Framing, n_read: &Arc<AtomicU64>, sender: &Sender) {
    for input in inputs {
        let name = input.path.display().to_string();
        let bytes = Counted { bytes: input.bytes, n_read: Arc::clone(n_read) };
        match unpack(bytes).and_then(|bytes| read_records(bytes, framing, &name, sender)) {
            Ok(Next::GoOn) => {}
            Ok(Next::NobodyListens) => return,
            Err(error) => {
                // Nobody is left to tell when this send fails.
                drop(sender.blocking_send(Err(SourceError::File { path: name, error })));
                return;
            }
        }
    }
}

/// Tells by the first bytes how the input is packed, since names lie and standard input has none.
fn unpack(bytes: impl Read + Send + 'static) -> io::Result<Box<dyn BufRead>> {
    let mut packed = BufReader::with_capacity(READ_BYTES, bytes);
    let head = first_bytes(&mut packed)?;
    let whole = io::Cursor::new(head.clone()).chain(packed);
    Ok(match head.as_slice() {
        [0x1f, 0x8b, ..] => Box::new(BufReader::with_capacity(READ_BYTES, flate2::bufread::MultiGzDecoder::new(whole))),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            Box::new(BufReader::with_capacity(READ_BYTES, zstd::stream::read::Decoder::with_buffer(whole)?))
        }
        _ => Box::new(whole),
    })
}

fn first_bytes(bytes: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    bytes.by_ref().take(4).read_to_end(&mut head)?;
    Ok(head)
}

enum Next {
    GoOn,
    NobodyListens,
}

fn read_records(mut bytes: Box<dyn BufRead>, framing: Framing, name: &str, sender: &Sender) -> io::Result<Next> {
    if framing == Framing::Lines {
        return read_lines(bytes, name, sender);
    }
    let mut whole = Vec::new();
    bytes.by_ref().take(HEAD_BYTES).read_to_end(&mut whole)?;
    if !is_one_record(&whole) {
        return read_lines(Box::new(io::Cursor::new(whole).chain(bytes)), name, sender);
    }
    let mut batch = Batch::default();
    bytes.take(CUT_BYTES as u64 - HEAD_BYTES).read_to_end(&mut whole)?;
    batch.push(Position { topic: name, partition: 0, offset: 0 }, None, &whole);
    Ok(if sender.blocking_send(Ok(batch)).is_ok() { Next::GoOn } else { Next::NobodyListens })
}

/// Whether a file that begins with `head` is one record: binary, JSON that goes on behind its first line, or an
/// envelope, whose second line says what its third is.
fn is_one_record(head: &[u8]) -> bool {
    let is_binary = head.iter().take(64).any(|byte| byte.is_ascii_control() && !byte.is_ascii_whitespace());
    let mut lines = head.trim_ascii_start().split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let (first, second) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let goes_on = matches!(first.first(), Some(b'{' | b'[')) && matches!(first.last(), Some(b'{' | b'[' | b','));
    is_binary || goes_on || (first.starts_with(b"{") && second.starts_with(b"{\"type\":"))
}

/// Lines up to the first error are handed over before it is told.
fn read_lines(mut lines: Box<dyn BufRead>, name: &str, sender: &Sender) -> io::Result<Next> {
    let mut batch = Batch::default();
    let mut line = Vec::new();
    let mut n_lines = 0_i64;
    let failed = loop {
        line.clear();
        match read_line(&mut lines, &mut line) {
            Ok(Ended::AtTheEnd) => break None,
            Ok(Ended::Line) => {}
            Err(error) => break Some(error),
        }
        batch.push(Position { topic: name, partition: 0, offset: n_lines }, None, &line);
        n_lines += 1;
        let is_full = BATCH_RECORDS_MAX <= batch.len() || BATCH_BYTES_MAX <= batch.n_bytes();
        if is_full && sender.blocking_send(Ok(std::mem::take(&mut batch))).is_err() {
            return Ok(Next::NobodyListens);
        }
    };
    if !batch.is_empty() && sender.blocking_send(Ok(batch)).is_err() {
        return Ok(Next::NobodyListens);
    }
    match failed {
        None => Ok(Next::GoOn),
        Some(error) => Err(io::Error::new(
            error.kind(),
            format!("line {} cannot be read ({error}); the {n_lines} lines before it were read", n_lines + 1),
        )),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Ended {
    Line,
    AtTheEnd,
}

/// Reads up to the next line feed, which is not kept. Never holds more than [`LINE_BYTES_MAX`] bytes and a buffer.
fn read_line(lines: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Ended> {
    let mut n_seen = 0_usize;
    loop {
        let buffer = match lines.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        if buffer.is_empty() {
            let ended = if n_seen == 0 { Ended::AtTheEnd } else { Ended::Line };
            cut(line, n_seen);
            return Ok(ended);
        }
        let until = buffer.iter().position(|byte| *byte == b'\n');
        let part = until.map_or(buffer, |at| buffer.get(..at).unwrap_or_default());
        if line.len() < LINE_BYTES_MAX {
            line.extend(part.iter().take(LINE_BYTES_MAX - line.len()));
        }
        n_seen = n_seen.saturating_add(part.len());
        let n_consumed = part.len() + usize::from(until.is_some());
        lines.consume(n_consumed);
        if until.is_some() {
            cut(line, n_seen);
            return Ok(Ended::Line);
        }
    }
}

fn cut(line: &mut Vec<u8>, n_seen: usize) {
    if LINE_BYTES_MAX < n_seen {
        line.truncate(CUT_BYTES);
    }
}

/// Dead letters as lines of a file.
pub struct FileDeadLetters {
    path: PathBuf,
    encode: EncodeLetter,
    /// Shared with the thread that writes. A write whose caller is gone still ends, and no other comes into its lines.
    log: Arc<Mutex<Log>>,
}

/// A file of lines that is set aside when it is full.
struct Log {
    path: PathBuf,
    file: File,
    n_bytes: u64,
    n_bytes_max: u64,
}

impl FileDeadLetters {
    /// Opens `path` for appending, making it if need be. Half a line at its end (the machine stopped while it was
    /// written, so its batch was not committed and comes again) is cut off. A file that would grow over `n_bytes_max`
    /// is renamed to `path.1`, `path.2`, … and a new one begun; none is ever deleted.
    ///
    /// # Errors
    /// [`DeadLetterError`] with the path and what the system said.
    pub fn open(
        path: &Path,
        n_bytes_max: u64,
        encode: impl Fn(&Rejection<'_>) -> Vec<u8> + Send + Sync + 'static,
    ) -> Result<Self, DeadLetterError> {
        let (file, n_bytes) = open_log(path).map_err(|error| letter_error(path, &error))?;
        let log = Log { path: path.to_owned(), file, n_bytes, n_bytes_max };
        Ok(Self { path: path.to_owned(), encode: Box::new(encode), log: Arc::new(Mutex::new(log)) })
    }
}

impl Log {
    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let n_new = lines.len() as u64;
        if 0 < self.n_bytes && self.n_bytes_max < self.n_bytes.saturating_add(n_new) {
            self.rotate()?;
        }
        let written = self.file.write_all(lines).and_then(|()| self.file.sync_data());
        if written.is_err() {
            // A full disk must not leave half a line: the batch is written again as a whole.
            self.file.set_len(self.n_bytes)?;
            return written;
        }
        self.n_bytes = self.n_bytes.saturating_add(n_new);
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        let mut number = 1_u32;
        let aside = loop {
            let mut name = self.path.clone().into_os_string();
            name.push(format!(".{number}"));
            let aside = PathBuf::from(name);
            if !aside.try_exists()? {
                break aside;
            }
            number = number.checked_add(1).ok_or_else(|| io::Error::other("too many rotated files"))?;
        };
        std::fs::rename(&self.path, aside)?;
        (self.file, self.n_bytes) = open_log(&self.path)?;
        Ok(())
    }
}

impl DeadLetters for FileDeadLetters {
    async fn write(&mut self, rejections: &[Rejection<'_>]) -> Result<(), DeadLetterError> {
        if rejections.is_empty() {
            return Ok(());
        }
        let mut lines = Vec::new();
        for rejection in rejections {
            lines.extend_from_slice(&(self.encode)(rejection));
            lines.push(b'\n');
        }
        let log = Arc::clone(&self.log);
        let append = move || log.lock().unwrap_or_else(PoisonError::into_inner).append(&lines);
        let written = tokio::task::spawn_blocking(append).await.unwrap_or_else(|died| Err(io::Error::other(died)));
        written.map_err(|error| letter_error(&self.path, &error))
    }
}

fn letter_error(path: &Path, error: &io::Error) -> DeadLetterError {
    DeadLetterError { place: path.display().to_string(), error: error.to_string() }
}

/// The file open for appending, and its size. It is locked (shared) as long as it is open, so that nobody rewrites it
/// while we append to it; one that was rewritten while we waited for the lock is another file by now.
fn open_log(path: &Path) -> io::Result<(File, u64)> {
    let mut file = loop {
        let file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        file.lock_shared()?;
        if is_at(&file, path)? {
            break file;
        }
    };
    let n_bytes = end_of_last_line(&mut file)?;
    file.set_len(n_bytes)?;
    file.sync_all()?;
    // The name is durable only when its folder is.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()?;
    Ok((file, n_bytes))
}

/// Whether this open file is the one that the name stands for.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let (open, named) = (file.metadata()?, std::fs::metadata(path));
    Ok(named.is_ok_and(|named| (open.dev(), open.ino()) == (named.dev(), named.ino())))
}

fn end_of_last_line(file: &mut File) -> io::Result<u64> {
    let mut end = file.metadata()?.len();
    let mut buffer = Vec::new();
    while 0 < end {
        let start = end.saturating_sub(READ_BYTES as u64);
        file.seek(SeekFrom::Start(start))?;
        buffer.clear();
        file.take(end - start).read_to_end(&mut buffer)?;
        if let Some(at) = buffer.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests;
