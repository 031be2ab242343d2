//! What a sender chose stays out of everything that is kept or told: payloads, tokens, idempotency keys, headers, queries
//! and the words of panics are in no store, outbox, alert, log, metric or report, byte for byte on the disk; only in dead
//! letters that keep bytes.
//!
//! Each place of a record has a canary of its own. The search is proved by the input and by the letters that keep bytes:
//! there every canary must be found by the same search.

use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use panicsift::secret::seal::{Identities, seal};
use serde_json::{Value, json};

use crate::support::embedded::Solo;
use crate::support::replay::replay_with;
use crate::support::service::{PAYLOAD_CANARY, TOKEN_CANARY, recent_events};

/// Events of a run: alerts are opened and raised among them.
const N_EVENTS: usize = 1_700;

/// One for each place that a sender fills; the words are found nowhere else.
const CANARIES: [&str; 9] = [
    PAYLOAD_CANARY,
    TOKEN_CANARY,
    "kanarienidempotenz",
    "kanarienkeks",
    "kanarienkopfzeile",
    "kanarienanfrage",
    "kanarienmeldung",
    "kanarienagent",
    "kanarienpfad",
];

/// Events with every canary.
fn events() -> Vec<Vec<u8>> {
    let [_, _, idempotency, cookie, header, query, message, agent, path] = CANARIES;
    let with_canaries = |(_, line): &(_, String)| {
        let mut event: Value = serde_json::from_str(line).unwrap();
        event["request"]["idempotency_key"] = format!("{idempotency}-{}", event["event_id"]).into();
        // No keys of the contract: they are counted and dropped.
        event["request"]["headers"] = json!({"cookie": format!("session={cookie}"), "x-api-key": header});
        event["cookies"] = json!([cookie]);
        event["query"] = json!([["q", query], ["next", format!("/{query}?a=1")]]);
        event["path"] = format!("/v1/{path}-7f3a/x").into();
        let words = event["panic"]["message"].as_str().unwrap().to_owned();
        event["panic"]["message"] = format!("{words}: invalid value: string \"{message}\", got `{message}`").into();
        event["client"]["user_agent"] = format!("Mozilla/5.0 ({agent}; rv:1.0) {agent}/2").into();
        event.to_string().into_bytes()
    };
    recent_events(N_EVENTS).iter().map(with_canaries).collect()
}

/// Records that are refused, for different reasons, with every canary in each.
fn refused() -> Vec<Vec<u8>> {
    let all = CANARIES.join(" ");
    vec![
        format!("not json: {all}").into_bytes(),
        format!(r#"{{"event_id":"{all}","ts":"{all}","service":"s","panic":{{"message":"{all}"}}}}"#).into_bytes(),
        format!(r#"{{"event_id":"e","ts":"2026-09-14T08:00:00Z","service":["{all}"],"panic":{{"message":"m"}}}}"#).into_bytes(),
        format!(r#"{{"event_id":"e","ts":"2026-09-14T08:00:00Z","service":"s","client":{{"ip":"{all}"}},"panic":{{"message":"m"}}}}"#)
            .into_bytes(),
        [all.as_bytes(), b"\xff\xfe"].concat(),
        format!(r#"{{"{all}":{{"{all}":"#).into_bytes(),
    ]
}

/// The canaries in some bytes: as they are, in capitals, in base64 (of any alignment) and in hexadecimal.
fn found(bytes: &[u8]) -> Vec<&'static str> {
    let folded = bytes.to_ascii_lowercase();
    let contains = |hay: &[u8], needle: &[u8]| hay.windows(needle.len()).any(|part| part == needle);
    let is_in = |canary: &&&'static str| {
        let hex = in_hex(canary);
        let in_base64 = (0..3).any(|shift| {
            let text = STANDARD.encode([&vec![b' '; shift][..], canary.as_bytes()].concat());
            // The first and the last digits depend on what stands beside it.
            contains(bytes, &text.as_bytes()[4 * usize::from(shift > 0)..text.len() - 4])
        });
        in_base64 || contains(&folded, canary.as_bytes()) || contains(&folded, hex.as_bytes())
    };
    CANARIES.iter().filter(is_in).copied().collect()
}

fn in_hex(text: &str) -> String {
    text.bytes().fold(String::new(), |mut hex, byte| {
        hex.extend(b"0123456789abcdef".get(usize::from(byte >> 4)).map(|digit| char::from(*digit)));
        hex.extend(b"0123456789abcdef".get(usize::from(byte & 15)).map(|digit| char::from(*digit)));
        hex
    })
}

#[test]
fn the_search_finds_a_canary_in_every_form() {
    let check = |bytes: &[u8]| assert_eq!(found(bytes), [CANARIES[3]], "{}", String::from_utf8_lossy(bytes));
    let canary = CANARIES[3];
    check(canary.as_bytes());
    check(format!("x{}y", canary.to_uppercase()).as_bytes());
    for before in ["", "a", "ab", "abc", "abcd"] {
        check(STANDARD.encode(format!("{before}{canary} and more")).as_bytes());
    }
    check(in_hex(canary).to_uppercase().as_bytes());
    assert_eq!(found(b"kanarien"), Vec::<&str>::new());
}

/// Looks through every file of a folder, but for those that are named; how many bytes were searched.
fn search(dir: &Path, except: &[&str]) -> usize {
    let mut n_bytes = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if !except.contains(&name.as_str()) {
            let bytes = std::fs::read(&path).unwrap();
            assert_eq!(found(&bytes), Vec::<&str>::new(), "in {name}");
            n_bytes += bytes.len();
        }
    }
    n_bytes
}

fn count(metrics: &str, series: &str) -> u64 {
    let lines = metrics.lines().filter(|line| line.starts_with(series));
    lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
}

/// Runs the service over everything; its folder is searched while it runs, too.
async fn run(dead_letters: &str, except: &[&str]) -> Solo {
    let solo = Solo::new(dead_letters);
    solo.send(&[events(), refused()].concat());
    let n_records = u64::try_from(N_EVENTS + refused().len()).unwrap();
    let metrics = solo
        .run_until(|metrics| {
            let n_alerts = count(metrics, "panicsift_alerts_total");
            let done = count(metrics, "panicsift_records_total") == n_records
                && n_alerts > 0
                && count(metrics, "panicsift_deliveries_total") >= n_alerts;
            if done {
                assert!(search(solo.dir.path(), except) > 100_000, "store, log and write-ahead log were not there");
            }
            done
        })
        .await;
    assert_eq!(found(metrics.as_bytes()), Vec::<&str>::new(), "in the metrics");
    assert_eq!(count(&metrics, "panicsift_records_total{fate=\"rejected\"}"), 6, "{metrics}");
    assert!(!std::fs::read(solo.path("alerts.jsonl")).unwrap().is_empty());
    let log = std::fs::read_to_string(solo.path("log")).unwrap();
    assert!(log.lines().count() > 3 && log.lines().all(|line| line.starts_with('{')), "{log}");
    search(solo.dir.path(), except);
    solo
}

/// Standard output and standard error of a command.
fn told(words: &[&str]) -> Vec<u8> {
    let output = Command::new(env!("CARGO_BIN_EXE_panicsift")).args(words).stdin(Stdio::null()).output().unwrap();
    assert!(
        output.status.success() && !output.stdout.is_empty(),
        "{words:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    [output.stdout, output.stderr].concat()
}

/// Asks everything that can be asked of the store, in every form.
fn ask_everything(solo: &Solo) {
    let store = solo.path("store.db");
    let store = store.to_str().unwrap();
    let list: Value = serde_json::from_slice(&told(&["report", "list", "--format", "json", "--store", store])).unwrap();
    let clusters: Vec<&str> = list.as_array().unwrap().iter().map(|it| it["cluster"].as_str().unwrap()).collect();
    let hostile = list.as_array().unwrap().iter().any(|it| it["verdict"] == "hostile");
    assert!(hostile && clusters.len() > 5, "{list}");
    for format in ["table", "json", "csv"] {
        let mut questions =
            vec![vec!["report", "list"], vec!["report", "export"], vec!["outbox", "list", "--fate", "delivered"]];
        for cluster in clusters.iter().take(4) {
            questions.push(vec!["report", "show", cluster]);
            questions.push(vec!["report", "explain", cluster]);
        }
        for mut words in questions {
            words.extend(["--format", format, "--store", store]);
            assert_eq!(found(&told(&words)), Vec::<&str>::new(), "{words:?}");
        }
        let dead = solo.path("dead.jsonl");
        let words = ["dead-letters", "list", "--format", format, "--file", dead.to_str().unwrap(), "--store", store];
        assert_eq!(found(&told(&words)), Vec::<&str>::new(), "{words:?}");
    }
}

#[test]
fn every_canary_is_in_every_input() {
    for record in refused() {
        assert_eq!(found(&record), CANARIES, "{}", String::from_utf8_lossy(&record));
    }
    let all = events().concat();
    assert_eq!(found(&all), CANARIES);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_keeps_and_tells_nothing_of_it_but_in_dead_letters_that_keep_bytes() {
    let solo = run("", &["dead.jsonl"]).await;
    ask_everything(&solo);
    // The same search finds all of it where it belongs.
    let letters = solo.dead_letters();
    assert_eq!(letters.len(), refused().len());
    for letter in letters {
        assert_eq!(found(letter["payload_base64"].as_str().unwrap().as_bytes()), CANARIES, "{letter}");
        let bare = json!({"detail": letter["detail"], "reason": letter["reason"], "topic": letter["topic"]});
        assert_eq!(found(bare.to_string().as_bytes()), Vec::<&str>::new(), "{bare}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_that_are_hashed_or_sealed_hold_nothing_that_can_be_read() {
    let solo = run("raw = \"hash\"", &[]).await;
    let hashes: Vec<Value> = solo.dead_letters().iter().map(|letter| letter["payload_blake3"].clone()).collect();
    for record in refused() {
        assert!(hashes.contains(&blake3::hash(&record).to_hex().to_string().into()), "{hashes:?}");
    }
    let key = age::x25519::Identity::generate();
    let toml = format!("raw = \"sealed\"\nrecipients = [\"{}\"]", key.to_public());
    let sealed = run(&toml, &[]).await;
    let text = age::secrecy::ExposeSecret::expose_secret(&key.to_string()).to_owned();
    let identities = Identities::parse(&panicsift::secret::Secret::new(text)).unwrap();
    let mut opened = Vec::new();
    for letter in sealed.dead_letters() {
        let bytes = STANDARD.decode(letter["payload_age_base64"].as_str().unwrap()).unwrap();
        opened.push(identities.open(&bytes, letter["payload_bytes"].as_u64().unwrap()).unwrap());
    }
    let mut expected = refused();
    opened.sort();
    expected.sort();
    assert_eq!(opened, expected);
    assert!(seal(&[], b"").is_err());
}

#[test]
fn a_replay_writes_and_tells_nothing_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let records = [events(), refused()].concat();
    let lines: Vec<u8> = records.iter().flat_map(|record| [&record[..], b"\n"].concat()).collect();
    std::fs::write(dir.path().join("events"), lines).unwrap();
    let replayed = replay_with(dir.path(), &["--log-level", "debug", "events"], b"");
    assert_eq!(replayed.code, Some(0), "{}", replayed.err);
    assert!(replayed.err.contains("a record is refused") && !replayed.alerts.is_empty(), "{}", replayed.err);
    for text in [&replayed.out, &replayed.err, &replayed.alerts] {
        assert_eq!(found(text.as_bytes()), Vec::<&str>::new());
    }
    search(dir.path(), &["events"]);
}
