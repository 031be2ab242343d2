//! The file destination: one alert a line (NDJSON), rotated by size, on the disk before it counts as delivered.
//!
//! Takes alerts, appends their JSON, syncs. At `rotate_bytes` the file is renamed to `NAME.<first free number>` and a new one
//! begun; old ones are never deleted, that is for whoever reads them. A line that a crash cut short is ended with a
//! newline before the next one is written, so that it costs no other line. JSON escapes everything that could break a
//! line or a terminal below U+0020; texts were neutralised before.
//!
//! A file that cannot be written is retried like a destination that is down. Costs one `fsync` a batch.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::{Outlet, Reading, Sending};
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

/// An NDJSON file that alerts are appended to.
#[derive(Debug)]
pub struct NdjsonFile {
    path: PathBuf,
    rotate_bytes: u64,
}

impl NdjsonFile {
    /// A destination that opens its file with the first batch and anew with each (so that a file moved away by
    /// somebody else is not written to any longer).
    pub fn new(settings: &FileSettings) -> Self {
        Self { path: settings.path.clone(), rotate_bytes: settings.rotate_bytes }
    }
}

impl Outlet for NdjsonFile {
    fn send<'a>(&'a mut self, alerts: &'a [Alert]) -> Sending<'a> {
        Box::pin(async move {
            let mut lines = Vec::new();
            for alert in alerts {
                if let Err(error) = serde_json::to_writer(&mut lines, alert) {
                    return Reading::Poison { suspect: None, why: error.to_string() };
                }
                lines.push(b'\n');
            }
            let (path, rotate_bytes) = (self.path.clone(), self.rotate_bytes);
            let written = tokio::task::spawn_blocking(move || append(&path, rotate_bytes, &lines)).await;
            let why = match written {
                Ok(Ok(())) => return Reading::Accepted { slow_down: false, receipt: String::new() },
                Ok(Err(error)) => error.to_string(),
                Err(error) => error.to_string(),
            };
            Reading::Retry { why: format!("{}: {why}", self.path.display()), after: None, slow_down: false }
        })
    }
}

/// Appends whole lines and syncs; rotates before, when the file is full.
fn append(path: &Path, rotate_bytes: u64, lines: &[u8]) -> io::Result<()> {
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
    } else if last_byte(&mut file)? != Some(b'\n') {
        file.write_all(b"\n")?;
    }
    file.write_all(lines)?;
    file.sync_data()
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).read(true).append(true).open(path)
}

fn last_byte(file: &mut File) -> io::Result<Option<u8>> {
    file.seek(SeekFrom::End(-1))?;
    let mut byte = [0];
    file.read_exact(&mut byte)?;
    Ok(byte.first().copied())
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
        append(&path, rotate_bytes, b"{}\n").unwrap();
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
        check(b"", 0, &[("alerts.jsonl", "{}\n")]);
        check(b"[]\n", 0, &[("alerts.jsonl", "[]\n{}\n")]);
    }

    #[test]
    fn a_full_file_is_rotated_away() {
        check(b"[]\n", 3, &[("alerts.jsonl", "{}\n"), ("alerts.jsonl.1", "[]\n")]);
        check(b"[]\n", 4, &[("alerts.jsonl", "[]\n{}\n")]);
    }

    #[test]
    fn a_line_that_a_crash_cut_short_costs_no_other_line() {
        check(b"{}\n{\"cu", 0, &[("alerts.jsonl", "{}\n{\"cu\n{}\n")]);
    }

    #[test]
    fn rotation_takes_the_first_free_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        for _ in 0..3 {
            append(&path, 1, b"{}\n").unwrap();
        }
        assert!(dir.path().join("a.1").exists() && dir.path().join("a.2").exists() && !dir.path().join("a.3").exists());
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error_and_not_a_loss() {
        assert!(append(Path::new("/nonexistent/alerts.jsonl"), 0, b"{}\n").is_err());
    }
}
