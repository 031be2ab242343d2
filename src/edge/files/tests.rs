use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use super::*;
use crate::pipeline::event::{RawRecord, Reason};

fn lines_of(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut reader = Cursor::new(bytes);
    let mut lines = Vec::new();
    loop {
        let mut line = Vec::new();
        match read_line(&mut reader, &mut line).unwrap() {
            Ended::AtTheEnd => return lines,
            Ended::Line => lines.push(line),
        }
    }
}

fn check_lines(bytes: &[u8], expected: &[&str]) {
    let expected: Vec<Vec<u8>> = expected.iter().map(|line| line.as_bytes().to_vec()).collect();
    assert_eq!(lines_of(bytes), expected);
}

#[test]
fn lines_end_at_a_line_feed_or_the_end_of_the_file() {
    check_lines(b"", &[]);
    check_lines(b"a", &["a"]);
    check_lines(b"a\n", &["a"]);
    check_lines(b"a\n\nb", &["a", "", "b"]);
    check_lines(b"\n", &[""]);
    check_lines(b"a\r\n", &["a\r"]);
}

#[test]
fn a_line_of_four_mebibytes_is_whole_and_a_longer_one_is_cut_to_be_refused_by_size() {
    let check = |n_bytes: usize, expected: usize| {
        let mut bytes = vec![b'x'; n_bytes];
        bytes.extend_from_slice(b"\nnext\n");
        let lines = lines_of(&bytes);
        assert_eq!(lines.iter().map(Vec::len).collect::<Vec<_>>(), [expected, 4], "{n_bytes}");
    };
    check(LINE_BYTES_MAX, LINE_BYTES_MAX);
    check(LINE_BYTES_MAX + 1, CUT_BYTES);
    check(3 * LINE_BYTES_MAX, CUT_BYTES);
}

async fn read_all(inputs: &[PathBuf]) -> (Vec<(String, i64, Vec<u8>)>, Option<String>) {
    let mut source = FileSource::open(inputs).unwrap();
    let mut records = Vec::new();
    loop {
        match source.next().await {
            Ok(Pull::Batch(batch)) => records.extend(
                batch
                    .iter()
                    .map(|record| (record.position.topic.to_owned(), record.position.offset, record.payload.to_vec())),
            ),
            Ok(Pull::Idle | Pull::Gap(_)) => {}
            Ok(Pull::Closed) => return (records, None),
            Err(error) => return (records, Some(error.to_string())),
        }
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

#[tokio::test]
async fn plain_gzip_and_zstd_inputs_are_read_in_the_order_given_whatever_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let mut two_members = gzip(b"b0\nb1\n");
    two_members.extend(gzip(b"b2\n"));
    let inputs = [
        write("a.jsonl", b"a0\na1\n"),
        write("b.txt", &two_members),
        write("c", &zstd::encode_all(&b"c0\nc1"[..], 1).unwrap()),
        write("empty.gz", b""),
    ];
    let (records, error) = read_all(&inputs).await;
    assert_eq!(error, None);
    let read: Vec<(&str, i64)> =
        records.iter().map(|(_, offset, line)| (std::str::from_utf8(line).unwrap(), *offset)).collect();
    assert_eq!(read, [("a0", 0), ("a1", 1), ("b0", 0), ("b1", 1), ("b2", 2), ("c0", 0), ("c1", 1)]);
    assert!(records[2].0.ends_with("b.txt"));
}

#[tokio::test]
async fn the_good_lines_of_a_torn_gzip_come_before_an_error_that_names_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("torn.gz");
    let lines: Vec<String> = (0..20_000).map(|n| format!("{{\"n\":{}}}", n * 7919 % 10_007)).collect();
    let whole = gzip(lines.join("\n").as_bytes());
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let (records, error) = read_all(&[path]).await;
    let error = error.unwrap();
    assert!(1_000 < records.len() && records.len() < 20_000, "{}", records.len());
    assert_eq!(records[999].2, lines[999].as_bytes());
    assert!(error.contains("torn.gz"), "{error}");
    assert!(error.contains(&format!("the {} lines before it were read", records.len())), "{error}");
}

#[tokio::test]
async fn progress_reaches_the_total() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.jsonl");
    std::fs::write(&path, "x\n".repeat(50_000)).unwrap();
    let mut source = FileSource::open(&[path]).unwrap();
    let progress = source.progress();
    while !matches!(source.next().await.unwrap(), Pull::Closed) {}
    assert_eq!((progress.n_bytes_read(), progress.n_bytes_total()), (100_000, Some(100_000)));
}

#[test]
fn an_input_that_is_not_there_or_a_folder_is_told_at_once() {
    let check = |path: &Path| {
        let error = FileSource::open(&[path.to_owned()]).err().unwrap().to_string();
        assert!(error.contains(&path.display().to_string()), "{error}");
    };
    let folder = tempfile::tempdir().unwrap();
    check(&folder.path().join("missing.jsonl"));
    check(folder.path());
}

fn letter(offset: i64) -> Rejection<'static> {
    let position = Position { topic: "t", partition: 0, offset };
    let record = RawRecord { position, broker_time: None, headers: &[], payload: b"bad" };
    Rejection { record, reason: Reason::NotJson, detail: String::new() }
}

fn encode(rejection: &Rejection<'_>) -> Vec<u8> {
    format!("{{\"at\":\"{}\"}}", rejection.record.position).into_bytes()
}

#[tokio::test]
async fn dead_letters_are_appended_rotated_by_size_and_never_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dead.ndjson");
    for round in 0..3 {
        // Opened anew each time: what is there stays.
        let mut letters = FileDeadLetters::open(&path, 40, encode).unwrap();
        letters.write(&[letter(2 * round), letter(2 * round + 1)]).await.unwrap();
        letters.write(&[]).await.unwrap();
    }
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!(read("dead.ndjson.1"), "{\"at\":\"t[0]@0\"}\n{\"at\":\"t[0]@1\"}\n");
    assert_eq!(read("dead.ndjson.2"), "{\"at\":\"t[0]@2\"}\n{\"at\":\"t[0]@3\"}\n");
    assert_eq!(read("dead.ndjson"), "{\"at\":\"t[0]@4\"}\n{\"at\":\"t[0]@5\"}\n");
}

#[tokio::test]
async fn half_a_letter_left_by_a_crash_is_cut_off() {
    let check = async |before: &str, expected: &str| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dead.ndjson");
        std::fs::write(&path, before).unwrap();
        let mut letters = FileDeadLetters::open(&path, 1 << 30, encode).unwrap();
        letters.write(&[letter(7)]).await.unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
    };
    check("", "{\"at\":\"t[0]@7\"}\n").await;
    check("{}\n{\"at\":\"t[", "{}\n{\"at\":\"t[0]@7\"}\n").await;
    check("{\"at\":\"t[", "{\"at\":\"t[0]@7\"}\n").await;
    let long = format!("{{}}\n{}", "x".repeat(READ_BYTES * 2 + 5));
    check(&long, "{}\n{\"at\":\"t[0]@7\"}\n").await;
}

#[test]
fn dead_letters_in_a_folder_that_is_not_there_are_an_error_that_names_it() {
    let error = FileDeadLetters::open(Path::new("/nowhere/at/all/dead.ndjson"), 1, encode).err().unwrap();
    assert!(error.to_string().contains("/nowhere/at/all/dead.ndjson"), "{error}");
}

#[tokio::test]
async fn a_slow_disk_holds_up_no_other_task_and_a_write_that_nobody_waits_for_ends_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dead.ndjson");
    let mut letters = FileDeadLetters::open(&path, 1 << 30, encode).unwrap();
    let log = Arc::clone(&letters.log);
    let (slow, is_slow) = std::sync::mpsc::sync_channel(1);
    let (go_on, may_go_on) = std::sync::mpsc::sync_channel::<()>(1);
    let disk = std::thread::spawn(move || {
        let _held = log.lock().unwrap();
        slow.send(()).unwrap();
        // Ends by itself, so that a write on this thread fails the test below and does not hang it.
        may_go_on.recv_timeout(Duration::from_secs(5)).is_ok()
    });
    is_slow.recv().unwrap();
    let waited = tokio::time::timeout(Duration::from_millis(50), letters.write(&[letter(1)])).await;
    assert!(waited.is_err(), "this thread was held up by the disk");
    go_on.send(()).unwrap();
    assert!(disk.join().unwrap());
    letters.write(&[letter(2)]).await.unwrap();
    let mut lines: Vec<String> = std::fs::read_to_string(&path).unwrap().lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["{\"at\":\"t[0]@1\"}", "{\"at\":\"t[0]@2\"}"]);
}
