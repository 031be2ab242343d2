//! The file destination: one alert a line, rotated by size, on the disk before it counts as delivered.
//!
//! Takes alerts, appends a line of the chosen format for each, syncs. At `rotate_bytes` the file is renamed to
//! `NAME.<first free number>` and a new one begun; old ones are never deleted, that is for whoever reads them. The proof
//! of a delivery is `PATH@BYTE`, where the line begins, under the name that the file had then.
//!
//! A line that was cut short is mended. By a write that failed: what it had written is taken away at once. By a crash:
//! the alert of the cut line was not delivered, so it comes again, mostly in the first batch; then the piece is its
//! line's beginning, and is taken away. A piece that is the beginning of no line of the batch may be somebody else's: it
//! is kept and ended with a newline, so that it costs no other line. No format lets a text break a line or a terminal.
//!
//! A file that cannot be written is retried like a destination that is down. Costs one `fsync` a batch.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::{Fate, Outlet, Reading, Sending, Word, words};
use crate::edge::format::{Format, FormatError, encode};
use crate::pipeline::alert::Alert;

/// Rotated files beside the present one; the lane waits when there are more, and says so.
const ROTATED_FILES_MAX: u32 = 100_000;

/// Settings of a file destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSettings {
    /// Name of the destination.
    pub name: String,
    /// The file that is appended to.
    pub path: PathBuf,
    /// A file of this size or more is rotated away; 0 never rotates.
    pub rotate_bytes: u64,
}

/// A file that alerts are appended to, one a line.
#[derive(Debug)]
pub struct NdjsonFile {
    path: PathBuf,
    rotate_bytes: u64,
    format: Format,
}

impl NdjsonFile {
    /// A destination for `alert.v1` that opens its file with the first batch and anew with each (so that a file moved
    /// away by somebody else is not written to any longer).
    pub fn new(settings: &FileSettings) -> Self {
        Self { path: settings.path.clone(), rotate_bytes: settings.rotate_bytes, format: Format::default() }
    }

    /// The same in another format.
    #[must_use]
    pub fn with_format(mut self, format: Format) -> Self {
        self.format = format;
        self
    }
}

impl Outlet for NdjsonFile {
    fn send<'a>(&'a mut self, alerts: &'a [Alert]) -> Sending<'a> {
        Box::pin(async move {
            let mut lines = Vec::with_capacity(alerts.len());
            for (at, alert) in alerts.iter().enumerate() {
                match line(self.format, alert) {
                    Ok(line) => lines.push(line),
                    Err(error) => {
                        return Reading::Poison { suspect: Some(at), why: words(error.to_string().as_bytes()) };
                    }
                }
            }
            let (path, rotate_bytes) = (self.path.clone(), self.rotate_bytes);
            let written = tokio::task::spawn_blocking(move || append(&path, rotate_bytes, &lines)).await;
            let why = match written {
                Ok(Ok(begins)) => return Reading::Words(begins.iter().map(|at| self.taken(*at)).collect()),
                Ok(Err(error)) => error.to_string(),
                Err(error) => error.to_string(),
            };
            Reading::Retry { why: format!("{}: {why}", self.path.display()), after: None, slow_down: false }
        })
    }
}

impl NdjsonFile {
    fn taken(&self, begin: u64) -> Word {
        Word::Final(Fate::Delivered, words(format!("{}@{begin}", self.path.display()).as_bytes()))
    }
}

fn line(format: Format, alert: &Alert) -> Result<Vec<u8>, FormatError> {
    let mut line = Vec::new();
    encode(format, alert, &mut line)?;
    line.push(b'\n');
    Ok(line)
}

/// Appends whole lines and syncs, or leaves the file as it was where it can; rotates before, when the file is full.
/// Returns where each line begins.
fn append(path: &Path, rotate_bytes: u64, lines: &[Vec<u8>]) -> io::Result<Vec<u64>> {
    let mut file = open(path)?;
    let mut n_bytes = file.metadata()?.len();
    if rotate_bytes > 0 && n_bytes >= rotate_bytes {
        drop(file);
        std::fs::rename(path, free_name(path)?)?;
        file = open(path)?;
        n_bytes = 0;
    }
    if n_bytes == 0 {
        sync_directory(path)?;
    } else {
        n_bytes = mend(&mut file, n_bytes, lines)?;
    }
    let written = file.write_all(&lines.concat()).and_then(|()| file.sync_data());
    if let Err(error) = written {
        // If this fails too, the piece is mended by the next batch.
        file.set_len(n_bytes).unwrap_or_default();
        return Err(error);
    }
    let begins = lines.iter().scan(n_bytes, |next, line| {
        let begin = *next;
        *next = next.saturating_add(line.len() as u64);
        Some(begin)
    });
    Ok(begins.collect())
}

/// Takes away the piece of a line at the end of the file, or ends it; returns the file's length then.
fn mend(file: &mut File, n_bytes: u64, lines: &[Vec<u8>]) -> io::Result<u64> {
    // A piece that is longer than every line is the beginning of none.
    let longest = lines.iter().map(Vec::len).max().unwrap_or(0) as u64;
    let mut end = Vec::new();
    file.seek(SeekFrom::Start(n_bytes.saturating_sub(longest)))?;
    file.take(longest).read_to_end(&mut end)?;
    let piece = end.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    if piece.is_empty() {
        return Ok(n_bytes);
    }
    if lines.iter().any(|line| line.starts_with(piece)) {
        let whole = n_bytes.saturating_sub(piece.len() as u64);
        file.set_len(whole)?;
        return Ok(whole);
    }
    file.write_all(b"\n")?;
    Ok(n_bytes.saturating_add(1))
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).read(true).append(true).open(path)
}

/// The new name must be on the disk too, or the file is there and cannot be found after a power failure.
fn sync_directory(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}

/// `alerts.jsonl.1`, `.2`, …: the first that is free. A number whose file was moved away may come again.
fn free_name(path: &Path) -> io::Result<PathBuf> {
    for n in 1..=ROTATED_FILES_MAX {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{n}"));
        let name = PathBuf::from(name);
        if !name.try_exists()? {
            return Ok(name);
        }
    }
    Err(io::Error::other(format!("{ROTATED_FILES_MAX} rotated files are here already; move some away")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(before: &[u8], rotate_bytes: u64, expected: &[(&str, &str)]) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("alerts.jsonl");
        std::fs::write(&path, before).unwrap();
        append(&path, rotate_bytes, &[b"{}\n".to_vec(), b"{\"a\":1}\n".to_vec()]).unwrap();
        let mut found: Vec<(String, String)> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read_to_string(entry.path()).unwrap()))
            .collect();
        found.sort();
        let expected: Vec<(String, String)> =
            expected.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn lines_are_appended() {
        check(b"", 0, &[("alerts.jsonl", "{}\n{\"a\":1}\n")]);
        check(b"[]\n", 0, &[("alerts.jsonl", "[]\n{}\n{\"a\":1}\n")]);
    }

    #[test]
    fn a_full_file_is_rotated_away() {
        check(b"[]\n", 3, &[("alerts.jsonl", "{}\n{\"a\":1}\n"), ("alerts.jsonl.1", "[]\n")]);
        check(b"[]\n", 4, &[("alerts.jsonl", "[]\n{}\n{\"a\":1}\n")]);
    }

    #[test]
    fn a_line_that_a_crash_cut_short_is_written_whole_and_once() {
        check(b"[]\n{\"a", 0, &[("alerts.jsonl", "[]\n{}\n{\"a\":1}\n")]);
        check(b"{\"a\":1}", 0, &[("alerts.jsonl", "{}\n{\"a\":1}\n")]);
        check(b"{", 0, &[("alerts.jsonl", "{}\n{\"a\":1}\n")]);
    }

    #[test]
    fn a_piece_that_is_not_known_is_kept_and_costs_no_other_line() {
        check(b"[]\n{\"cu", 0, &[("alerts.jsonl", "[]\n{\"cu\n{}\n{\"a\":1}\n")]);
        // Longer than what is looked at, and its end would be a beginning.
        check(b"[1,2,3,4,5,6,7,8,9,{", 0, &[("alerts.jsonl", "[1,2,3,4,5,6,7,8,9,{\n{}\n{\"a\":1}\n")]);
        check(b"[1,2,3,{\"a\":1}", 0, &[("alerts.jsonl", "[1,2,3,{\"a\":1}\n{}\n{\"a\":1}\n")]);
    }

    #[test]
    fn each_line_is_told_where_it_begins() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let lines = [b"one\n".to_vec(), "zwölf\n".into(), b"3\n".to_vec()];
        assert_eq!(append(&path, 0, &lines).unwrap(), [0, 4, 11]);
        assert_eq!(append(&path, 0, &lines).unwrap(), [13, 17, 24]);
        std::fs::write(&path, "one\n?").unwrap();
        assert_eq!(append(&path, 0, &lines).unwrap(), [6, 10, 17]);
        assert_eq!(append(&path, 1, &lines).unwrap(), [0, 4, 11]);
    }

    #[test]
    fn rotation_takes_the_first_free_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        for _ in 0..3 {
            append(&path, 1, &[b"{}\n".to_vec()]).unwrap();
        }
        assert!(dir.path().join("a.1").exists() && dir.path().join("a.2").exists() && !dir.path().join("a.3").exists());
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error_and_not_a_loss() {
        assert!(append(Path::new("/nonexistent/alerts.jsonl"), 0, &[b"{}\n".to_vec()]).is_err());
    }

    #[test]
    fn a_full_disk_is_an_error_and_not_a_loss() {
        // The one file of a usual system that takes an open and refuses the bytes.
        if Path::new("/dev/full").exists() {
            assert!(append(Path::new("/dev/full"), 0, &[b"{}\n".to_vec()]).is_err());
        }
    }
}
