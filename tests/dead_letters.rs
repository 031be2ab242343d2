//! `panicsift dead-letters` as an operator meets it, over files and over a topic of the embedded broker; and the bound
//! on the share of refused records.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use age::secrecy::ExposeSecret;
use panicsift::edge::kafka::ProducerSettings;
use panicsift::edge::kafka::embedded::EmbeddedBroker;
use panicsift::edge::kafka::produce::{KafkaReplays, ReplayedRecord};
use panicsift::edge::store::{ReplayAccount, ReplayStanding, Store};
use panicsift::pipeline::decode::contract::DeadLetter;
use panicsift::pipeline::event::{Millis, Position, RawRecord, Reason, Rejection};
use panicsift::secret::seal::{Recipient, seal};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::embedded::Solo;
use crate::support::kafka::read_back;

/// A record that the present version takes: as if an older one had refused it.
fn good(id: &str) -> Vec<u8> {
    let text =
        format!(r#"{{"event_id":"{id}","ts":"2026-09-14T08:00:00Z","service":"shop","panic":{{"message":"boom"}}}}"#);
    text.into_bytes()
}

/// One that it refuses, too: escapes for a terminal, and no event.
const BAD: &[u8] = b"\x1b[2J\xff not json\n";

fn letter(offset: i64, reason: Reason, payload: &[u8]) -> DeadLetter {
    let position = Position { topic: "panics", partition: 3, offset };
    let broker_time = Millis::parse("2026-09-14T08:00:01Z");
    let record = RawRecord { position, broker_time, headers: &[], payload };
    let rejection = Rejection { record, reason, detail: "client.ip: an address is expected".to_owned() };
    DeadLetter::new(&rejection, Millis::parse("2026-09-14T08:00:02Z").map(|at| at.plus(offset * 1_000)))
}

/// A folder with dead letters and a store.
struct Bench {
    dir: TempDir,
}

impl Bench {
    fn new(letters: &[DeadLetter]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let lines: Vec<String> = letters.iter().map(|letter| serde_json::to_string(letter).unwrap() + "\n").collect();
        std::fs::write(dir.path().join("dead.jsonl"), lines.concat()).unwrap();
        drop(Store::open(&dir.path().join("store.db")).unwrap());
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn run(&self, words: &[&str]) -> (i32, Vec<u8>, String) {
        let place = [self.path("dead.jsonl"), self.path("store.db")];
        run(&[words, &["--file", place[0].to_str().unwrap(), "--store", place[1].to_str().unwrap()]].concat())
    }

    fn done(&self, words: &[&str]) -> String {
        let (code, out, err) = self.run(words);
        assert_eq!((code, err.as_str()), (0, ""), "{words:?}");
        String::from_utf8(out).unwrap()
    }

    fn refused(&self, words: &[&str], code: i32, said: &str) {
        let (found, _, err) = self.run(words);
        assert!(found == code && err.contains(said), "{words:?}: {found} {err}");
    }
}

fn run(words: &[&str]) -> (i32, Vec<u8>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_panicsift"));
    let output = command.arg("dead-letters").args(words).stdin(Stdio::null()).output().unwrap();
    (output.status.code().unwrap(), output.stdout, String::from_utf8(output.stderr).unwrap())
}

/// A key pair: the file with the identity, and the recipient.
fn key_pair(dir: &Path) -> (String, String) {
    let key = age::x25519::Identity::generate();
    let path = dir.join("identity.txt");
    std::fs::write(&path, format!("# a key\n{}\n", key.to_string().expose_secret())).unwrap();
    (path.to_str().unwrap().to_owned(), key.to_public().to_string())
}

fn sealed(letter: DeadLetter, payload: &[u8], recipient: &str) -> DeadLetter {
    letter.sealed(&seal(&[Recipient::parse(recipient).unwrap()], payload).unwrap())
}

#[test]
fn letters_are_counted_by_reason_and_chosen_by_reason_topic_and_time() {
    let bench = Bench::new(&[
        letter(1, Reason::NotJson, BAD),
        letter(2, Reason::BadValue, &good("a")),
        letter(3, Reason::NotJson, b"{").hashed(b"{"),
    ]);
    let check = |words: &[&str], offsets: &[&str]| {
        let told: Value = serde_json::from_str(&bench.done(&[&["list", "--format", "json"], words].concat())).unwrap();
        let found: Vec<&str> =
            told["newest"].as_array().unwrap().iter().map(|it| it["offset"].as_str().unwrap()).collect();
        assert_eq!((found.as_slice(), &told["letters"]), (offsets, &Value::from(offsets.len())), "{words:?}");
    };
    check(&[], &["1", "2", "3"]);
    check(&["--reason", "not_json"], &["1", "3"]);
    check(&["--reason", "not_json", "--reason", "bad_value"], &["1", "2", "3"]);
    check(&["--topic", "others"], &[]);
    check(&["--since", "2026-09-14T08:00:04Z"], &["2", "3"]);
    check(&["--until", "2026-09-14T08:00:04Z"], &["1"]);
    let table = bench.done(&["list", "--limit", "1"]);
    assert!(table.contains("2  not_json") && table.contains("1 of 3 letters"), "{table}");
    assert!(table.contains("panics 3@3, 1 bytes (hash)") && !table.contains("3@1"), "{table}");
    assert_eq!(bench.done(&["list", "--format", "csv"]).lines().count(), 4);
    bench.refused(&["list", "--reason", "rain"], 2, "reasons are empty, too_large");
    let none = Bench::new(&[]);
    assert_eq!(none.done(&["list"]), "no dead letters\n");
}

#[test]
fn a_letter_is_shown_with_its_bytes_escaped_or_raw() {
    let bench = Bench::new(&[letter(1, Reason::NotJson, BAD), letter(2, Reason::NotJson, b"{").hashed(b"{")]);
    let [first, second] = [letter(1, Reason::NotJson, BAD).id(), letter(2, Reason::NotJson, b"{").id()];
    let shown = bench.done(&["show", first.get(..8).unwrap()]);
    assert!(shown.contains("\\x1b[2J\\xff not json\\n") && shown.contains("panics 3@1"), "{shown}");
    assert!(shown.contains("client.ip: an address is expected") && !shown.contains('\u{1b}'), "{shown}");
    let (code, raw, _) = bench.run(&["show", "--raw", &first]);
    assert_eq!((code, raw.as_slice()), (0, BAD));
    let hashed = bench.done(&["show", &second]);
    assert!(hashed.contains(&blake3::hash(b"{").to_hex().to_string()) && hashed.contains("no bytes:"), "{hashed}");
    bench.refused(&["show", "--raw", &second], 1, "not kept");
    bench.refused(&["show", "zz"], 1, "no dead letter is called zz");
    bench.refused(&["show", ""], 1, "more than one");
}

#[test]
fn only_the_identity_opens_a_sealed_letter() {
    let dir = tempfile::tempdir().unwrap();
    let (identity, recipient) = key_pair(dir.path());
    let payload = good("canary");
    let one = sealed(letter(1, Reason::BadValue, &payload), &payload, &recipient);
    let bench = Bench::new(std::slice::from_ref(&one));
    let text = std::fs::read_to_string(bench.path("dead.jsonl")).unwrap();
    assert!(one.payload_base64.is_empty() && !text.contains("payload_blake3"), "{text}");
    bench.refused(&["show", "--raw", &one.id()], 1, "sealed");
    let (code, raw, err) = bench.run(&["show", "--raw", &one.id(), "--identity", &identity]);
    assert_eq!((code, raw), (0, payload), "{err}");
    let other = tempfile::tempdir().unwrap();
    bench.refused(&["show", "--raw", &one.id(), "--identity", &key_pair(other.path()).0], 1, "cannot be opened");
    let out = bench.path("out");
    let to = ["replay", "--all", "--to", out.to_str().unwrap()];
    assert!(bench.done(&to).contains("1 letters left: the bytes cannot be had"));
    assert!(bench.done(&[&to[..], &["--identity", &identity]].concat()).contains("1 letters replayed"));
    assert_eq!(std::fs::read(out).unwrap(), [good("canary"), b"\n".to_vec()].concat());
}

#[test]
fn a_letter_is_replayed_once_and_one_that_would_be_refused_again_is_left() {
    let bench = Bench::new(&[
        letter(1, Reason::BadValue, &good("a")),
        letter(1, Reason::BadValue, &good("a")),
        letter(2, Reason::NotJson, BAD),
        letter(3, Reason::BadValue, b"{\n}"),
        letter(4, Reason::BadValue, &good("b")),
        letter(5, Reason::BadValue, &good("c")).hashed(b"c"),
    ]);
    let out = bench.path("out");
    let to = ["replay", "--to", out.to_str().unwrap()];
    let dry = bench.done(&[&to[..], &["--all", "--dry-run"]].concat());
    assert!(
        dry.contains("2 letters would be replayed") && dry.contains("still refused by this version (not_utf8"),
        "{dry}"
    );
    assert!(!out.exists(), "a dry run writes nothing");
    let first = bench.done(&[&to[..], &["--letter", &letter(1, Reason::BadValue, &good("a")).id()]].concat());
    assert!(first.contains("1 letters replayed"), "{first}");
    let all = bench.done(&[&to[..], &["--all"]].concat());
    for told in [
        "1 letters replayed",
        "1 letters left: replayed before",
        "2 letters left: still refused",
        "1 letters left: the bytes",
    ] {
        assert!(all.contains(told), "{told} is missing in\n{all}");
    }
    let again = bench.done(&[&to[..], &["--all"]].concat());
    assert!(again.contains("2 letters left: replayed before") && !again.contains("letters replayed\n"), "{again}");
    assert_eq!(std::fs::read(&out).unwrap(), [good("a"), b"\n".to_vec(), good("b"), b"\n".to_vec()].concat());
    assert!(bench.done(&["list"]).contains("(bytes, replayed)"));
    bench.refused(&["replay", "--all"], 1, "--to FILE");
    bench.refused(&["replay", "--to", "x"], 2, "--all");
}

#[test]
fn a_replay_that_broke_off_is_taken_up_and_said() {
    let bench = Bench::new(&[letter(1, Reason::BadValue, &good("a")), letter(2, Reason::BadValue, &good("b"))]);
    let id = letter(1, Reason::BadValue, &good("a")).id();
    // As if the process had ended between the account and the end of the produce call.
    ReplayAccount::open(&bench.path("store.db")).unwrap().begin(&[&id], "panics", "bob").unwrap();
    let out = bench.path("out");
    let told = bench.done(&["replay", "--all", "--to", out.to_str().unwrap()]);
    assert!(told.contains("1 letters replayed again, since an earlier replay broke off"), "{told}");
    let account = ReplayAccount::open(&bench.path("store.db")).unwrap();
    assert_eq!(account.standing(&id).unwrap(), ReplayStanding::Done);
    let busy = bench.run(&["replay", "--all", "--to", out.to_str().unwrap()]);
    assert!(busy.0 == 1 && busy.2.contains("another replay"), "{busy:?}");
    drop(account);
    // What cannot be written stays begun, and is not done.
    let fresh = Bench::new(&[letter(1, Reason::BadValue, &good("a"))]);
    let full = fresh.run(&["replay", "--all", "--to", "/dev/full"]);
    assert_eq!(full.0, 1, "{full:?}");
    let account = ReplayAccount::open(&fresh.path("store.db")).unwrap();
    assert_eq!(account.standing(&id).unwrap(), ReplayStanding::Begun);
}

#[test]
fn a_purge_needs_a_choice_and_a_yes_and_takes_what_was_chosen() {
    let bench = Bench::new(&[
        letter(1, Reason::BadValue, &good("a")),
        letter(2, Reason::NotJson, BAD),
        letter(3, Reason::BadValue, &good("b")),
    ]);
    bench.refused(&["purge", "--yes"], 2, "--replayed");
    bench.refused(&["purge", "--reason", "not_json"], 2, "--yes");
    assert!(
        bench.done(&["purge", "--reason", "not_json", "--dry-run"]).contains("1 letters would be taken out, 2 stay")
    );
    assert!(bench.done(&["purge", "--older-than-days", "36500", "--yes"]).contains("0 letters taken out, 3 stay"));
    let id = letter(3, Reason::BadValue, &good("b")).id();
    bench.done(&["replay", "--letter", &id, "--to", bench.path("out").to_str().unwrap()]);
    assert!(bench.done(&["purge", "--replayed", "--yes"]).contains("1 letters taken out, 2 stay"));
    assert!(bench.done(&["purge", "--reason", "not_json", "--yes"]).contains("1 letters taken out, 1 stay"));
    let told: Value = serde_json::from_str(&bench.done(&["list", "--format", "json"])).unwrap();
    assert_eq!((&told["letters"], &told["newest"][0]["offset"]), (&1.into(), &"1".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_of_a_topic_are_listed_shown_and_replayed_into_their_topic_with_their_time() {
    let broker = EmbeddedBroker::start().unwrap();
    broker.create_topic("panics", 1).unwrap();
    broker.create_topic("dead", 2).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("config.toml");
    let toml = format!(
        "[source]\nbrokers = [\"{}\"]\ntopics = [\"panics\"]\n[state]\npath = \"store.db\"\n[dead_letters]\ntopic = \"dead\"\n",
        broker.brokers()
    );
    std::fs::write(&config, toml).unwrap();
    drop(Store::open(&dir.path().join("store.db")).unwrap());
    let settings = ProducerSettings::new(vec![broker.brokers().to_owned()], "dead".into());
    let letters = [letter(1, Reason::BadValue, &good("a")), letter(2, Reason::NotJson, BAD)];
    let records = letters.iter().map(|one| ReplayedRecord {
        letter: one.id(),
        headers: Vec::new(),
        payload: serde_json::to_vec(one).unwrap(),
        broker_time_ms: None,
    });
    KafkaReplays::start(&settings).unwrap().send(&records.collect::<Vec<_>>()).await.unwrap();
    let ask = |words: &[&str]| {
        let (code, out, err) = run(&[words, &["--config", config.to_str().unwrap()]].concat());
        (code, String::from_utf8(out).unwrap(), err)
    };
    let (code, listed, err) = ask(&["list"]);
    assert!(code == 0 && listed.contains("2 of 2 letters") && listed.contains("1  bad_value"), "{listed} {err}");
    let (code, shown, _) = ask(&["show", &letters[1].id()]);
    assert!(code == 0 && shown.contains("\\x1b[2J"), "{shown}");
    let (code, replayed, err) = ask(&["replay", "--all"]);
    assert!(code == 0 && replayed.contains("1 letters replayed\n"), "{replayed} {err}");
    let (code, again, _) = ask(&["replay", "--all"]);
    assert!(code == 0 && again.contains("1 letters left: replayed before"), "{again}");
    let stored = read_back(broker.brokers(), "panics");
    assert_eq!(stored.len(), 1);
    assert_eq!((&stored[0].value, &stored[0].key), (&good("a"), &letters[0].id()));
    let header = stored[0].headers.iter().find(|(key, _)| key.as_str() == "panicsift-replay").unwrap();
    assert_eq!(header.1.as_str(), letters[0].id());
    let (code, _, err) = ask(&["purge", "--replayed", "--yes"]);
    assert!(code == 1 && err.contains("retention.ms"), "{err}");
}

/// The service, the broker and everything between them: what was refused by it is found, opened and replayed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_of_another_format_stops_the_service_and_is_not_dead_lettered_whole() {
    let solo = Solo::new("share_max = 0.5\nwindow_records_min = 50");
    let records: Vec<Vec<u8>> =
        (0..200).map(|n| if n % 3 == 0 { good(&n.to_string()) } else { BAD.to_vec() }).collect();
    solo.send(&records);
    let (code, log) = solo.run_until_it_ends().await;
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("records were refused within the window") && log.contains("dead_letters.share_max"), "{log}");
    assert!(!solo.dead_letters().is_empty());
}
