//! Dead letter files, read again: the one that is written and those that were set aside; and taking letters out.
//!
//! [`read_files`] hands over line by line and changes nothing, also while a service appends. [`purge_files`] rewrites
//! each file that loses a line: a new file beside it is written and synced, then takes its name, so that a crash leaves
//! the one or the other. A file that a service has open is left alone: what it appended meanwhile would be lost.
//!
//! Memory is one line, at most [`LINE_BYTES_MAX`]: a letter is its record and a third, and a record that is kept has at
//! most 4 MiB.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// Bytes of a line; what is longer is handed over cut, and is then no letter.
const LINE_BYTES_MAX: u64 = 16 << 20;

/// A line of a dead letter file.
#[derive(Debug, Clone, Copy)]
pub struct LetterLine<'l> {
    /// The file.
    pub path: &'l Path,
    /// Its number, from 1.
    pub number: u64,
    /// Its bytes, without the line feed.
    pub bytes: &'l [u8],
}

/// What a purge came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Purged {
    /// Lines that were taken out.
    pub n_taken: u64,
    /// Lines that stay.
    pub n_kept: u64,
    /// Files that were left alone, since a service has them open, and the lines in them that would have been taken.
    pub in_use: Vec<(PathBuf, u64)>,
}

/// The files that hold dead letters, the oldest first: `path.1`, `path.2`, …, `path`. Those that are not there are not
/// among them.
///
/// # Errors
/// The folder cannot be read.
pub fn letter_files(path: &Path) -> io::Result<Vec<PathBuf>> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return Ok(Vec::new()) };
    let mut numbered: Vec<(u32, PathBuf)> = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let file_name = entry.file_name();
        let number = file_name.to_str().and_then(|other| other.strip_prefix(name)?.strip_prefix('.')?.parse().ok());
        numbered.extend(number.map(|number| (number, entry.path())));
    }
    numbered.sort();
    let mut files: Vec<PathBuf> = numbered.into_iter().map(|(_, path)| path).collect();
    if path.try_exists()? {
        files.push(path.to_owned());
    }
    Ok(files)
}

/// Hands every line of the dead letter files of `path` to `each`. Half a line at the end of a file is none yet.
///
/// # Errors
/// A file cannot be read (none at all is no error); what `each` says.
pub fn read_files<E: From<io::Error>>(
    path: &Path,
    mut each: impl FnMut(LetterLine<'_>) -> Result<(), E>,
) -> Result<(), E> {
    for path in letter_files(path)? {
        read_lines(&path, &mut each)?;
    }
    Ok(())
}

fn read_lines<E: From<io::Error>>(
    path: &Path,
    each: &mut impl FnMut(LetterLine<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut lines = BufReader::new(File::open(path)?);
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        lines.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
        let is_whole = line.pop_if(|byte| *byte == b'\n').is_some();
        if !is_whole {
            if u64::try_from(line.len()).unwrap_or(u64::MAX) < LINE_BYTES_MAX {
                break;
            }
            skip_line(&mut lines)?;
        }
        if !line.is_empty() {
            each(LetterLine { path, number, bytes: &line })?;
        }
    }
    Ok(())
}

/// Reads on to the next line feed, keeping nothing.
fn skip_line(lines: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = lines.fill_buf()?;
        if buffer.is_empty() {
            return Ok(());
        }
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let n_bytes = end.map_or(buffer.len(), |at| at + 1);
        lines.consume(n_bytes);
        if end.is_some() {
            return Ok(());
        }
    }
}

/// Takes the lines out that `is_unwanted` names; where `dry_run`, counts them only.
///
/// # Errors
/// A file cannot be read or written; files before it are done, it and those after it are as they were.
pub fn purge_files(
    path: &Path,
    dry_run: bool,
    mut is_unwanted: impl FnMut(LetterLine<'_>) -> bool,
) -> io::Result<Purged> {
    let mut purged = Purged::default();
    for path in letter_files(path)? {
        let held = OpenOptions::new().read(true).append(true).open(&path)?;
        let is_free = match held.try_lock() {
            Ok(()) => true,
            Err(TryLockError::WouldBlock) => false,
            Err(TryLockError::Error(error)) => return Err(error),
        };
        let (mut n_taken, mut n_lines) = (0_u64, 0_u64);
        read_lines(&path, &mut |line| {
            n_lines += 1;
            n_taken += u64::from(is_unwanted(line));
            Ok::<(), io::Error>(())
        })?;
        if n_taken == 0 {
            purged.n_kept += n_lines;
        } else if !is_free {
            purged.n_kept += n_lines;
            purged.in_use.push((path, n_taken));
        } else {
            if !dry_run {
                rewrite(&path, &mut is_unwanted)?;
            }
            purged.n_taken += n_taken;
            purged.n_kept += n_lines - n_taken;
        }
    }
    Ok(purged)
}

/// The wanted lines in a new file, which takes the name of the old one. A file without lines stays: its number is not
/// given again, so that the files keep their order.
fn rewrite(path: &Path, is_unwanted: &mut impl FnMut(LetterLine<'_>) -> bool) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut fresh = tempfile::NamedTempFile::new_in(folder)?;
    fresh.as_file().set_permissions(std::fs::metadata(path)?.permissions())?;
    {
        let mut out = BufWriter::new(fresh.as_file_mut());
        read_lines(path, &mut |line| {
            if is_unwanted(line) {
                return Ok(());
            }
            out.write_all(line.bytes)?;
            out.write_all(b"\n")
        })?;
        out.flush()?;
    }
    fresh.as_file().sync_all()?;
    fresh.persist(path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(files: &[(&str, &str)]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let path = dir.path().join("dead.jsonl");
        (dir, path)
    }

    fn lines(path: &Path) -> Vec<String> {
        let mut found = Vec::new();
        read_files(path, |line| {
            found.push(String::from_utf8(line.bytes.to_vec()).unwrap());
            Ok::<(), io::Error>(())
        })
        .unwrap();
        found
    }

    #[test]
    fn files_are_read_oldest_first_and_half_a_line_is_none() {
        let check = |files: &[(&str, &str)], expected: &[&str]| {
            let (_dir, path) = place(files);
            assert_eq!(lines(&path), expected);
        };
        check(&[], &[]);
        check(&[("dead.jsonl", "")], &[]);
        check(&[("dead.jsonl", "a\nhalf")], &["a"]);
        check(
            &[("dead.jsonl", "d\n"), ("dead.jsonl.10", "c\n"), ("dead.jsonl.2", "b\n"), ("dead.jsonl.1", "a\n")],
            &["a", "b", "c", "d"],
        );
        check(&[("dead.jsonl.x", "no\n"), ("dead.jsonl.1.gz", "no\n"), ("other.1", "no\n")], &[]);
    }

    #[test]
    fn a_line_that_is_too_long_is_cut_and_the_next_one_is_whole() {
        let (_dir, path) = place(&[]);
        let mut bytes = vec![b'x'; usize::try_from(LINE_BYTES_MAX).unwrap() + 9];
        bytes.extend_from_slice(b"\nnext\n");
        std::fs::write(&path, bytes).unwrap();
        let found = lines(&path);
        assert_eq!((found.len(), found[1].as_str()), (2, "next"));
    }

    #[test]
    fn a_purge_takes_out_what_is_unwanted_and_nothing_else() {
        let (dir, path) = place(&[("dead.jsonl.1", "a\nb\n"), ("dead.jsonl", "b\nc\nhalf")]);
        let unwanted = |line: LetterLine<'_>| line.bytes == b"b";
        let dry = purge_files(&path, true, unwanted).unwrap();
        assert_eq!((dry.n_taken, dry.n_kept, lines(&path).len()), (2, 2, 4));
        assert_eq!(purge_files(&path, false, unwanted).unwrap(), dry);
        assert_eq!(lines(&path), ["a", "c"]);
        let all = purge_files(&path, false, |_| true).unwrap();
        assert_eq!((all.n_taken, all.n_kept), (2, 0));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "numbers are not given again");
    }

    #[test]
    fn a_file_that_a_service_has_open_is_left_alone() {
        use crate::edge::DeadLetters;
        use crate::pipeline::event::{Position, RawRecord, Reason, Rejection};

        let (_dir, path) = place(&[("dead.jsonl.1", "b\n"), ("dead.jsonl", "b\n")]);
        let mut service = super::super::FileDeadLetters::open(&path, 1 << 20, |_| b"appended".to_vec()).unwrap();
        let purged = purge_files(&path, false, |line| line.bytes == b"b").unwrap();
        assert_eq!((purged.n_taken, purged.n_kept), (1, 1));
        assert_eq!(purged.in_use, vec![(path.clone(), 1)]);
        let position = Position { topic: "t", partition: 0, offset: 0 };
        let record = RawRecord { position, broker_time: None, headers: &[], payload: b"" };
        let rejection = Rejection { record, reason: Reason::Empty, detail: String::new() };
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(service.write(&[rejection])).unwrap();
        assert_eq!(lines(&path), ["b", "appended"]);
        drop(service);
        assert_eq!(purge_files(&path, false, |line| line.bytes == b"b").unwrap().n_taken, 1);
        assert_eq!(lines(&path), ["appended"]);
    }
}
