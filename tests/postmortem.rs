//! Post-mortems and the figures of a migration as a user meets them: over a store of the demo's events (and of the big
//! sets, where `PANICSIFT_TEST_SETS` names their folder), held against a second, naive count from the raw events.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

use panicsift::edge::store::{Fate, Outbox, Settlement, Store};
use panicsift::pipeline::event::{Batch, Checkpoint, Millis, Position};
use panicsift::pipeline::state::State;
use panicsift::pipeline::{Memos, examine, fold};
use panicsift::report::document::Form;
use panicsift::report::postmortem::{Question, document};
use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::context;
use crate::support::replay::{demo, demo_lines, json_lines, replay_with};

/// The demo's hours: the bad release comes at 10:05.
const PERIOD: [&str; 4] = ["--from", "2026-09-14T10:00:00Z", "--to", "2026-09-14T12:00:00Z"];
const BASELINE: &str = "2026-09-14T08:00:00Z..2026-09-14T10:00:00Z";

/// An event as it was written.
struct Raw {
    id: String,
    at: i64,
    facts: Value,
}

/// A replayed set: its store, its events, and the cluster of each.
struct Set {
    dir: TempDir,
    events: Vec<Raw>,
    clusters: BTreeMap<String, Value>,
}

impl Set {
    fn replayed(events: &Path, tables: &[PathBuf; 2]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let [asn, country] = tables.each_ref().map(|path| path.to_str().unwrap());
        let words = ["--asn", asn, "--country", country, "--store", "set.db", events.to_str().unwrap()];
        let replayed = replay_with(dir.path(), &words, b"");
        assert_eq!(replayed.code, Some(0), "{}", replayed.err);
        let lines = BufReader::new(flate2::read::GzDecoder::new(File::open(events).unwrap())).lines();
        let raw = |line: std::io::Result<String>| {
            let facts: Value = serde_json::from_str(&line.unwrap()).unwrap();
            let at = Millis::parse(facts["ts"].as_str().unwrap()).unwrap().0;
            Raw { id: facts["event_id"].as_str().unwrap().to_owned(), at, facts }
        };
        let mut events: Vec<Raw> = lines.map(raw).collect();
        events.sort_by(|a, b| (a.at, &a.id).cmp(&(b.at, &b.id)));
        let clusters = json_lines(&replayed.assignments)
            .into_iter()
            .map(|line| (line["event_id"].as_str().unwrap().to_owned(), line))
            .collect();
        Self { dir, events, clusters }
    }

    fn store(&self) -> PathBuf {
        self.dir.path().join("set.db")
    }

    fn between(&self, from: &str, to: &str) -> Vec<&Raw> {
        let [from, to] = [from, to].map(|at| Millis::parse(at).unwrap().0);
        self.events.iter().filter(|raw| raw.at >= from && raw.at < to).collect()
    }
}

static DEMO: LazyLock<Set> =
    LazyLock::new(|| Set::replayed(&demo("events.jsonl.gz"), &[demo("asn.mmdb"), demo("country.mmdb")]));

fn run(store: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_panicsift"));
    command.stdin(Stdio::null()).arg("report").args(arguments).arg("--store").arg(store).output().unwrap()
}

fn ask(store: &Path, arguments: &[&str]) -> String {
    let output = run(store, arguments);
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(0), "{arguments:?}\n{out}\n{err}");
    assert!(err.is_empty(), "{err}");
    assert!(!out.contains(|c: char| (c.is_control() && c != '\n') || c == '\u{202e}'), "{out:?}");
    out
}

fn refused(store: &Path, arguments: &[&str]) -> String {
    let output = run(store, arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
    assert!(output.stdout.is_empty());
    String::from_utf8(output.stderr).unwrap()
}

fn postmortem(set: &Set, more: &[&str]) -> Value {
    let words = [&["postmortem", "--format", "json"], more].concat();
    serde_json::from_str(&ask(&set.store(), &words)).unwrap()
}

fn rows<'v>(page: &'v Value, section: &str, table: &str) -> &'v [Value] {
    page["sections"][section]["tables"][table].as_array().map_or(&[], Vec::as_slice)
}

fn words(page: &Value, section: &str) -> String {
    let words = page["sections"][section]["words"].as_array().unwrap();
    words.iter().map(|one| one.as_str().unwrap()).collect::<Vec<_>>().join("\n")
}

// ------------------------------------------------------------------------------------------ the second, naive count

/// A count as a number.
fn real(n: impl TryInto<u32, Error: std::fmt::Debug>) -> f64 {
    f64::from(n.try_into().unwrap())
}

/// Wilson's interval, written down a second time.
fn wilson(hits: u64, cases: u64) -> [f64; 3] {
    let (z, n) = (1.959_963_984_540_054_f64, real(cases));
    let p = real(hits) / n;
    let middle = (p + z * z / (2.0 * n)) / (1.0 + z * z / n);
    let half = z / (1.0 + z * z / n) * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    let low = if hits == 0 { 0.0 } else { middle - half };
    [low, p, if hits == cases { 1.0 } else { middle + half }]
}

fn assert_interval(found: &Value, expected: [f64; 3]) {
    for (key, expected) in ["low", "estimate", "high"].into_iter().zip(expected) {
        let found = found[key].as_f64().unwrap();
        assert!((found - expected).abs() < 1e-12, "{key}: {found} is not {expected}");
    }
}

fn status(raw: &Raw) -> Option<u64> {
    raw.facts["status"].as_u64()
}

/// `recovered`, `degraded`, `escaped` or `unknown`, of an event that does not tell its recovery.
fn outcome(raw: &Raw) -> &'static str {
    match (raw.facts["handled"].as_bool(), status(raw)) {
        (Some(false), _) => "escaped",
        (Some(true), None) => "recovered",
        (_, Some(status)) if status < 500 => "recovered",
        (None, None | Some(502..=504)) => "unknown",
        (_, Some(_)) => "degraded",
    }
}

fn is_user_visible(raw: &Raw) -> bool {
    let made_good = raw.facts["retry"]["outcome"] == "succeeded";
    outcome(raw) == "escaped" || (status(raw).is_some_and(|status| status >= 500) && !made_good)
}

fn n(events: &[&Raw], wanted: impl Fn(&Raw) -> bool) -> u64 {
    events.iter().filter(|raw| wanted(raw)).count() as u64
}

/// Events that continue an earlier request: a later attempt, or a key that was seen within six hours.
fn continuing(set: &Set) -> BTreeSet<&str> {
    let mut seen: BTreeMap<(String, String), i64> = BTreeMap::new();
    let mut continuing = BTreeSet::new();
    for raw in &set.events {
        let later = raw.facts["request"]["attempt"].as_u64().is_some_and(|attempt| attempt > 1);
        let key = raw.facts["request"]["idempotency_key"].as_str().filter(|key| !key.is_empty());
        let known = key.is_some_and(|key| {
            let key = (raw.facts["service"].to_string(), key.to_owned());
            let last = seen.insert(key, raw.at);
            last.is_some_and(|last| raw.at - last <= 6 * 3_600_000)
        });
        if later || known {
            continuing.insert(raw.id.as_str());
        }
    }
    continuing
}

/// Holds a page against the raw events of its period and baseline.
fn check_against_raw_events(set: &Set, from: &str, to: &str, baseline: (&str, &str)) {
    let [before_from, before_to] = [baseline.0, baseline.1];
    let typed = format!("{before_from}..{before_to}");
    let page = postmortem(set, &["--from", from, "--to", to, "--baseline", &typed]);
    let (now, before) = (set.between(from, to), set.between(before_from, before_to));
    let summary = words(&page, "summary");
    let counted = format!("{} panics, {} of them user-visible", now.len(), n(&now, is_user_visible));
    assert!(
        summary.contains(&counted) && summary.contains(&format!("{} panics in the baseline", before.len())),
        "{summary}"
    );
    let continuing = continuing(set);
    let services: BTreeSet<&str> = now.iter().map(|raw| raw.facts["service"].as_str().unwrap()).collect();
    assert_eq!(rows(&page, "recovery", "recovery").len(), services.len());
    for service in services {
        let of: Vec<&Raw> = now.iter().copied().filter(|raw| raw.facts["service"] == service).collect();
        let row = rows(&page, "recovery", "recovery").iter().find(|row| row["service"] == service).unwrap();
        assert_eq!(row["events"], of.len() as u64);
        for name in ["recovered", "degraded", "escaped", "unknown"] {
            assert_eq!(row[name], n(&of, |raw| outcome(raw) == name), "{service} {name}");
        }
        assert_eq!(row["user_visible"], n(&of, is_user_visible));
        let handled = n(&of, |raw| raw.facts["handled"] == true);
        assert_interval(&row["handled"], wilson(handled, n(&of, |raw| raw.facts["handled"].is_boolean())));
        let known = n(&of, |raw| outcome(raw) != "unknown");
        assert_interval(&row["success"], wilson(n(&of, |raw| outcome(raw) == "recovered"), known));
        let row = rows(&page, "retries", "retries").iter().find(|row| row["service"] == service).unwrap();
        let told = |outcome: &str| n(&of, |raw| raw.facts["retry"]["outcome"] == outcome);
        for name in ["succeeded", "failed", "not_retried"] {
            assert_eq!(row[name], told(name), "{service} {name}");
        }
        assert_eq!(row["not_told"], of.len() as u64 - told("succeeded") - told("failed") - told("not_retried"));
        let originals = n(&of, |raw| !continuing.contains(raw.id.as_str()));
        assert_eq!(row["originals"], originals);
        let amplification = row["amplification"].as_f64().unwrap();
        assert!((amplification - real(of.len()) / real(originals)).abs() < 1e-12, "{row}");
    }
    check_releases(set, &page, &now);
    let millis = |from: &str, to: &str| Millis::parse(to).unwrap().since(Millis::parse(from).unwrap());
    let scale = real(millis(before_from, before_to)) / real(millis(from, to));
    check_clusters(set, &page, [&now, &before], scale);
}

fn check_releases(set: &Set, page: &Value, now: &[&Raw]) {
    let name = |raw: &Raw| {
        (raw.facts["service"].as_str().unwrap().to_owned(), raw.facts["release"].as_str().unwrap().to_owned())
    };
    let expected: BTreeSet<(String, String)> = now.iter().map(|raw| name(raw)).collect();
    let releases = rows(page, "releases", "releases");
    assert_eq!(releases.len(), expected.len());
    let page_of = |at: i64| Millis(at.div_euclid(300_000) * 300_000);
    for (service, release) in expected {
        let row = releases.iter().find(|row| row["service"] == service && row["release"] == release).unwrap();
        let of = |raw: &Raw| name(raw) == (service.clone(), release.clone());
        assert_eq!(row["events"], n(now, of));
        assert_eq!(row["user_visible"], n(now, |raw| of(raw) && is_user_visible(raw)));
        let first = set.events.iter().find(|raw| of(raw)).unwrap().at;
        let last = set.events.iter().rfind(|raw| of(raw)).unwrap().at;
        assert_eq!(row["first_seen"], page_of(first).to_string());
        assert_eq!(row["last_seen"], page_of(last).plus(300_000).to_string());
    }
}

/// Clusters by their events in period and baseline, as the replay's own list of events says; `scale` is how many times as
/// long the baseline is.
fn check_clusters(set: &Set, page: &Value, [now, before]: [&[&Raw]; 2], scale: f64) {
    let counted = |events: &[&Raw]| {
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        let of = |raw: &Raw| set.clusters.get(&raw.id).and_then(|line| line["cluster"].as_str());
        events.iter().filter_map(|raw| of(raw)).for_each(|cluster| *counts.entry(cluster).or_default() += 1);
        counts
    };
    let (now, before) = (counted(now), counted(before));
    let get =
        |counts: &BTreeMap<&str, u64>, row: &Value| counts.get(row["cluster"].as_str().unwrap()).copied().unwrap_or(0);
    // The replay puts a suspect's events beyond the cells of its ledger where the rest of it stands; its portrait, and
    // so the page, leaves them with everyone's. What differs so over all time is no measure for a part of it.
    let mut assigned: BTreeMap<&str, u64> = BTreeMap::new();
    let named = set.clusters.values().filter_map(|line| line["cluster"].as_str());
    named.for_each(|cluster| *assigned.entry(cluster).or_default() += 1);
    let listed: Value = serde_json::from_str(&ask(&set.store(), &["list", "--format", "json"])).unwrap();
    let alike: BTreeSet<&str> = listed
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| get(&assigned, row) == row["events"].as_u64().unwrap())
        .map(|row| row["cluster"].as_str().unwrap())
        .collect();
    let mut n_exact = 0;
    for kind in ["new", "grown", "vanished"] {
        for row in rows(page, "clusters", kind).iter().filter(|row| alike.contains(row["cluster"].as_str().unwrap())) {
            for (key, truth) in [("events", get(&now, row)), ("baseline_events", get(&before, row))] {
                if let Some(told) = row[key].as_u64() {
                    assert_eq!(told, truth, "{kind} {key} {row}");
                } else {
                    let [low, high] = ["low", "high"].map(|end| row[key][end].as_u64().unwrap());
                    assert!(low <= truth && truth <= high, "{kind} {key} {truth} {row}");
                }
                n_exact += u64::from(row[key].is_u64());
            }
            match kind {
                "new" => assert!(get(&before, row) == 0 && get(&now, row) > 0, "{row}"),
                "vanished" => assert!(get(&now, row) == 0 && get(&before, row) > 0, "{row}"),
                _ if row["events"].is_u64() && row["baseline_events"].is_u64() => {
                    let times = real(get(&now, row)) / real(get(&before, row)) * scale;
                    assert!((row["ratio"]["estimate"].as_f64().unwrap() - times).abs() < 1e-9, "{row}");
                }
                _ => {}
            }
        }
    }
    assert!(n_exact > 3, "too little was exact: {n_exact}");
    let told = words(page, "clusters");
    let number =
        |after: &str| -> u64 { told.split(after).next().unwrap().rsplit(' ').next().unwrap().parse().unwrap() };
    let [new, vanished] = [(&now, &before), (&before, &now)]
        .map(|(here, there)| here.keys().filter(|cluster| !there.contains_key(*cluster)).count() as u64);
    let open =
        told.lines().find_map(|line| line.split(": of ").nth(1)?.split(' ').next()?.parse::<u64>().ok()).unwrap_or(0);
    let [told_new, told_vanished] = [number(" new (nothing"), number(" vanished,")];
    // Clusters of nothing but what suspects sent beyond their ledgers: the page has them, the replay's list has not.
    let is_left = |row: &&Value| !assigned.contains_key(row["cluster"].as_str().unwrap());
    let left = listed.as_array().unwrap().iter().filter(is_left).count() as u64;
    for (told, truth, what) in [(told_new, new, "new"), (told_vanished, vanished, "vanished")] {
        let words = format!("{told} {what} of {truth}, {open} open, {left} left");
        assert!(told <= truth + left && truth <= told + open, "{words}");
    }
}

#[test]
fn every_figure_of_a_page_is_that_of_the_raw_events() {
    check_against_raw_events(
        &DEMO,
        "2026-09-14T10:00:00Z",
        "2026-09-14T12:00:00Z",
        ("2026-09-14T08:00:00Z", "2026-09-14T10:00:00Z"),
    );
}

#[test]
fn the_page_says_what_happened_first() {
    let page = ask(&DEMO.store(), &[&["postmortem"], &PERIOD[..], &["--baseline", BASELINE]].concat());
    let head: String = page.lines().take(14).collect::<Vec<_>>().join("\n");
    assert!(
        head.starts_with("# Post-mortem: 2026-09-14 10:00 to 2026-09-14 12:00 UTC (2 h 0 min)\n\n## Summary\n"),
        "{head}"
    );
    assert!(
        head.contains("Release `4.18.0` of `storefront-api` was first seen in the page from 2026-09-14 10:"),
        "{head}"
    );
    assert!(head.contains("no traffic feed"), "{head}");
    assert!(page.contains("| 2026-09-14 10:05:00 | Release `4.18.0`"), "{page}");
    // A service that is the only one changes nothing but the title.
    let service = ["--service", "storefront-api"];
    let of_one = ask(&DEMO.store(), &[&["postmortem"], &PERIOD[..], &["--baseline", BASELINE], &service].concat());
    assert_eq!(of_one.replacen(" of storefront-api", "", 1), page);
}

#[test]
fn the_same_question_has_the_same_bytes_and_the_three_forms_agree() {
    let dir = tempfile::tempdir().unwrap();
    for form in ["md", "html", "json"] {
        let asked = [&["postmortem", "--format", form], &PERIOD[..]].concat();
        let first = ask(&DEMO.store(), &asked);
        assert_eq!(first, ask(&DEMO.store(), &asked));
        let file = dir.path().join(form);
        assert!(ask(&DEMO.store(), &[&asked[..], &["--out", file.to_str().unwrap()]].concat()).is_empty());
        assert_eq!(std::fs::read_to_string(file).unwrap(), first);
    }
    let page = postmortem(&DEMO, &PERIOD);
    let markdown = ask(&DEMO.store(), &[&["postmortem", "--format", "md"], &PERIOD[..]].concat());
    let html = ask(&DEMO.store(), &[&["postmortem", "--format", "html"], &PERIOD[..]].concat());
    let unescaped =
        |text: &str| text.replace("&gt;", ">").replace("&lt;", "<").replace("&#39;", "'").replace("&amp;", "&");
    let plain_html = unescaped(&html.replace("<code>", "").replace("</code>", ""));
    let plain_markdown = markdown.replace(['`', '\\'], "");
    let mut n_rows = 0;
    for section in page["sections"].as_object().unwrap().values() {
        for one in section["words"].as_array().unwrap() {
            let one = one.as_str().unwrap();
            assert!(plain_html.contains(one), "{one}");
            assert!(plain_markdown.contains(&one.replace(['`', '\\'], "")), "{one}");
        }
        n_rows +=
            section["tables"].as_object().unwrap().values().map(|rows| rows.as_array().unwrap().len()).sum::<usize>();
    }
    assert_eq!(html.matches("<tr><td").count(), n_rows);
    let n_tables = markdown.lines().filter(|line| line.starts_with("| ---")).count();
    assert_eq!(markdown.lines().filter(|line| line.starts_with('|')).count(), n_rows + 2 * n_tables);
}

// ------------------------------------------------------------------------------------------ stores made event by event

/// Puts batches of lines into a new store at `path`.
fn write_store(path: &Path, batches: &[Vec<String>]) {
    let (mut store, context) = (Store::open(path).unwrap(), context());
    let (mut state, mut memos) = (State::new(&context.clustering), Memos::default());
    for lines in batches {
        let mut batch = Batch::default();
        // The same place for all: where an event stood is no part of a post-mortem.
        for line in lines {
            batch.push(Position { topic: "t", partition: 0, offset: 0 }, None, line.as_bytes());
        }
        let seen: Vec<_> =
            batch.iter().map(|record| examine(&context, &mut memos, record).into_observation().unwrap()).collect();
        let step = fold(&context, &mut state, seen, None);
        store.commit(&step.rows, &step.alerts, &Checkpoint::default()).unwrap();
    }
    let step = state.close_last(&context);
    store.commit(&step.rows, &step.alerts, &Checkpoint::default()).unwrap();
}

static LINES: LazyLock<Vec<String>> = LazyLock::new(|| demo_lines(600));

fn pages(batches: &[Vec<String>]) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.db");
    write_store(&path, batches);
    let question = Question { period: "2026-09-14T08:20:00Z..".parse().unwrap(), ..Question::default() };
    let page = document(&Store::open_read_only(&path).unwrap(), &question).unwrap();
    [Form::Markdown, Form::Html, Form::Json].map(|form| page.render(form)).to_vec()
}

static WHOLE: LazyLock<Vec<String>> = LazyLock::new(|| pages(std::slice::from_ref(&LINES)));

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn how_events_were_cut_and_in_which_order_each_batch_came_changes_nothing(
        cuts in proptest::collection::btree_set(1_usize..600, 0..6), seed in any::<u64>(),
    ) {
        let mut batches: Vec<Vec<String>> = Vec::new();
        let ends: Vec<usize> = cuts.into_iter().chain([LINES.len()]).collect();
        let mut start = 0;
        for end in ends {
            let mut batch = LINES[start..end].to_vec();
            batch.sort_by_key(|line| blake3::hash(format!("{seed}{line}").as_bytes()).to_hex().to_string());
            batches.push(batch);
            start = end;
        }
        prop_assert_eq!(&pages(&batches), &*WHOLE);
    }
}

/// What tries to leave its place in a terminal, in Markdown, or in HTML.
const HOSTILE: &str = "</code></td></table><script>alert(1)</script>|x|`[a](javascript:alert(2))<img src=x onerror=alert(3)>&lt;\\|\u{1b}]0;owned\u{7}\u{202e}\r\n# owned\n- @team https://evil.example";

/// Markdown without its code spans, in which nothing is markup: from a run of backticks to the next of its length.
fn without_code(markdown: &str) -> String {
    let (mut kept, mut rest) = (String::new(), markdown);
    while let Some(at) = rest.find('`') {
        let (before, code) = rest.split_at(at);
        kept.push_str(before);
        let fence: String = code.chars().take_while(|c| *c == '`').collect();
        let inside = code.split_at(fence.len()).1;
        let is_end = |at: &usize| {
            let (before, after) = inside.split_at(*at);
            !before.ends_with('`') && !after.split_at(fence.len()).1.starts_with('`')
        };
        let end = inside.match_indices(&fence).map(|(at, _)| at).find(is_end).expect("a code span is not closed");
        assert!(!inside.split_at(end).0.contains('\n'), "a code span goes over lines");
        rest = inside.split_at(end + fence.len()).1;
    }
    kept + rest
}

#[test]
fn names_that_strangers_chose_are_inert_in_all_three_forms() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.db");
    let mut lines = demo_lines(300);
    for (at, line) in demo_lines(340).split_off(300).iter().enumerate() {
        let mut event: Value = serde_json::from_str(line).unwrap();
        for key in ["service", "endpoint", "release"] {
            event[key] = format!("{at}{HOSTILE}").into();
        }
        event["panic"]["file"] = HOSTILE.into();
        event["panic"]["message"] = HOSTILE.into();
        event["panic"]["backtrace"] = json!([format!("evil::{HOSTILE}")]);
        event["recovery"] = json!({"outcome": "degraded", "boundary": HOSTILE, "latency_ms": 3});
        event["region"] = HOSTILE.into();
        lines.push(event.to_string());
    }
    write_store(&path, &[lines]);
    let asked = |form| ask(&path, &["postmortem", "--format", form]);
    let plain = ["<script", "<img", "onerror=alert(3)>", "](javascript"];

    let html = asked("html");
    assert!(html.contains("alert(1)"), "the names are shown");
    assert!(html.matches('<').count() == html.matches('>').count());
    let tags = regex::Regex::new(r"<[^>]*>").unwrap();
    let mut open: Vec<String> = Vec::new();
    let known = [
        "html", "head", "title", "style", "body", "h1", "h2", "p", "ul", "li", "div", "table", "thead", "tbody", "tr",
        "th", "td", "code",
    ];
    for tag in
        tags.find_iter(&html).map(|tag| tag.as_str()).filter(|tag| !tag.starts_with("<!") && !tag.starts_with("<meta"))
    {
        let name: String = tag.trim_start_matches(['<', '/']).chars().take_while(char::is_ascii_alphanumeric).collect();
        assert!(known.contains(&name.as_str()), "{tag}");
        if tag.starts_with("</") {
            assert_eq!(open.pop().as_deref(), Some(name.as_str()), "{tag}");
        } else {
            assert!(!tag.contains("on") || tag.contains("content"), "{tag}");
            open.push(name);
        }
    }
    assert!(open.is_empty());
    for mark in &plain[..2] {
        assert!(!html.contains(mark), "{mark}");
    }

    let markdown = asked("md");
    let cells = |row: &str| row.replace("\\\\", "").replace("\\|", "").matches('|').count();
    let mut width = 0;
    for line in markdown.lines() {
        if line.starts_with('|') {
            width = if width == 0 { cells(line) } else { width };
            assert_eq!(cells(line), width, "{line}");
        } else {
            width = 0;
            let begins = |c: char| c.is_ascii_alphanumeric() || "#-".contains(c);
            assert!(line.chars().next().is_none_or(begins), "{line}");
        }
        assert!(!line.starts_with("# owned") && !line.starts_with("- @team"), "{line}");
    }
    let markdown = without_code(&markdown);
    for mark in plain {
        assert!(!markdown.contains(mark), "{mark} in {markdown}");
    }
    let page: Value = serde_json::from_str(&asked("json")).unwrap();
    assert!(
        rows(&page, "recovery", "recovery")
            .iter()
            .any(|row| row["boundary"].as_str().is_some_and(|name| name.contains("<script>")))
    );
}

#[test]
fn what_destinations_took_is_told_with_when() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("set.db");
    std::fs::copy(DEMO.store(), &path).unwrap();
    let mut outbox = Outbox::open(&path, "splunk").unwrap();
    let pending = outbox.pending(1_000, 1 << 24).unwrap();
    assert!(pending.len() > 2);
    for (at, one) in pending.iter().enumerate().skip(1) {
        let fate = if at == 1 { Fate::Refused } else { Fate::Delivered };
        outbox.settle(&[Settlement { seq: one.seq, fate, detail: "no".to_owned(), attempts: 1 }]).unwrap();
    }
    drop(outbox);
    let page: Value = serde_json::from_str(&ask(&path, &["postmortem", "--format", "json"])).unwrap();
    let told = words(&page, "alerts");
    let n_delivered = pending.len() - 2;
    assert!(told.contains(&format!("splunk: {n_delivered} delivered, 1 refused")), "{told}");
    assert!(told.contains("still to come: 1 "), "{told}");
    let alerts = rows(&page, "alerts", "alerts");
    assert_eq!(
        alerts.iter().filter(|row| row["answers"].as_str().is_some_and(|told| told.contains(" delivered "))).count(),
        n_delivered.min(38)
    );
    let acknowledged = rows(&page, "timeline", "timeline")
        .iter()
        .filter(|row| row["what"].as_str().unwrap().contains("acknowledged by splunk"));
    assert!(acknowledged.count() > 0);
    for row in rows(&page, "times", "times") {
        let [first, alerted] = ["first_event", "alerted"].map(|key| Millis::parse(row[key].as_str().unwrap()).unwrap());
        assert_eq!(row["detection_ms"], alerted.since(first), "{row}");
    }
}

#[test]
fn what_cannot_be_answered_is_refused_with_the_reason() {
    let store = DEMO.store();
    let check = |arguments: &[&str], expected: &str| {
        let error = refused(&store, arguments);
        assert!(error.contains(expected), "{arguments:?}: {error}");
    };
    let turned = ["--from", "2026-09-14T12:00:00Z", "--to", "2026-09-14T10:00:00Z"];
    for question in ["postmortem", "kpi"] {
        check(&[&[question], &turned[..]].concat(), "not after its beginning");
        check(
            &[question, "--service", "storefrond"],
            "nothing is known of a service storefrond; there are storefront-api",
        );
        check(&[question, "--from", "2027-01-01T00:00:00Z"], "not after its beginning");
        check(
            &[question, "--from", "2027-01-01T00:00:00Z", "--to", "2027-01-02T00:00:00Z"],
            "nothing is known of 2027",
        );
        check(
            &[&[question], &PERIOD[..], &["--baseline", "2026-09-14T09:00:00Z..2026-09-14T11:00:00Z"]].concat(),
            "overlaps the period",
        );
        check(
            &[&[question], &PERIOD[..], &["--baseline", "2025-01-01T00:00:00Z..2025-01-02T00:00:00Z"]].concat(),
            "nothing is known of 2025",
        );
        check(&[question, "--format", "sarif"], "no answer in that form");
    }
    check(&["kpi", "--format", "html"], "no answer in that form");
    check(&["kpi", "--baseline-file", "/nowhere/kpi.json"], "/nowhere/kpi.json");
    check(&["postmortem", "--out", "/nowhere/page.md"], "/nowhere/page.md");
    let output = run(&store, &["kpi", "--baseline", BASELINE, "--baseline-file", "x"]);
    assert_eq!(output.status.code(), Some(2));
}

// ------------------------------------------------------------------------------------------------------------- figures

fn kpi<'v>(answer: &'v Value, name: &str) -> &'v Value {
    answer["kpis"].as_array().unwrap().iter().find(|kpi| kpi["name"] == name).unwrap()
}

#[test]
fn the_figures_of_a_migration_are_those_of_the_raw_events_and_a_file_says_the_same() {
    let store = DEMO.store();
    let ask_kpi = |more: &[&str]| ask(&store, &[&["kpi", "--format", "json"], more].concat());
    let text = ask_kpi(&[&PERIOD[..], &["--baseline", BASELINE]].concat());
    let answer: Value = serde_json::from_str(&text).unwrap();
    let (now, before) =
        (DEMO.between(PERIOD[1], PERIOD[3]), DEMO.between("2026-09-14T08:00:00Z", "2026-09-14T10:00:00Z"));
    for (measures, events) in [(&answer["period"], &now), (&answer["baseline"], &before)] {
        assert_eq!(measures["events"], events.len() as u64);
        assert_eq!(measures["user_visible"], n(events, is_user_visible));
        assert_eq!(measures["server_errors"], n(events, |raw| status(raw).is_some_and(|status| status >= 500)));
        assert_eq!(measures["isolate_told"], n(events, |raw| raw.facts["isolate"]["id"].is_string()));
        assert_eq!(
            (&measures["exposure"]["millis"], &measures["exposure"]["requests"]),
            (&json!(7_200_000), &json!(0))
        );
    }
    let visible = kpi(&answer, "user_visible_failures");
    let expected = 1.0 - real(n(&now, is_user_visible)) / real(n(&before, is_user_visible));
    assert!((visible["value"]["estimate"].as_f64().unwrap() - expected).abs() < 1e-12, "{visible}");
    assert_eq!(visible["per"], "time");
    assert_eq!(kpi(&answer, "circuit_breaker_activations")["standing"], "cannot_be_said");
    // The period begins after the baseline where nothing else is said.
    let rest: Value = serde_json::from_str(&ask_kpi(&["--baseline", BASELINE])).unwrap();
    assert_eq!(rest["period"]["from"], "2026-09-14T10:00:00.000Z");

    // Kept before the migration, and compared with later.
    let dir = tempfile::tempdir().unwrap();
    let kept = dir.path().join("kpi.json");
    std::fs::write(&kept, ask_kpi(&["--to", "2026-09-14T10:00:00Z"])).unwrap();
    let by_file = ask_kpi(&[&PERIOD[..], &["--baseline-file", kept.to_str().unwrap()]].concat());
    assert_eq!(by_file, text);
    std::fs::write(&kept, &text).unwrap();
    let overlapping = refused(&store, &[&["kpi"], &PERIOD[..], &["--baseline-file", kept.to_str().unwrap()]].concat());
    assert!(overlapping.contains("overlaps the period"), "{overlapping}");
    let alone: Value = serde_json::from_str(&ask_kpi(&PERIOD)).unwrap();
    assert_eq!(kpi(&alone, "user_visible_failures")["standing"], "no_baseline");
    assert!(ask(&store, &["kpi"]).contains("no baseline"));
}

// ------------------------------------------------------------------------------------------------------- the big sets

#[test]
#[expect(clippy::disallowed_methods, reason = "tests are told by the environment what there is")]
fn the_big_sets_are_told_as_their_raw_events_say() {
    let Some(sets) = std::env::var_os("PANICSIFT_TEST_SETS").map(PathBuf::from) else {
        eprintln!("SKIPPED: set PANICSIFT_TEST_SETS to the folder of the big sets");
        return;
    };
    let stretches = [
        (
            "clinic-ledger-quiet",
            ["2026-11-17T14:00:00Z", "2026-11-17T16:00:00Z"],
            ("2026-11-17T08:00:00Z", "2026-11-17T14:00:00Z"),
        ),
        (
            "clinic-ledger",
            ["2026-11-06T00:00:00Z", "2026-11-06T12:00:00Z"],
            ("2026-11-05T00:00:00Z", "2026-11-06T00:00:00Z"),
        ),
        (
            "storefront",
            ["2026-09-14T10:00:00Z", "2026-09-14T12:00:00Z"],
            ("2026-09-14T08:00:00Z", "2026-09-14T10:00:00Z"),
        ),
    ];
    let tables = || [sets.join("geo/asn.mmdb"), sets.join("geo/country.mmdb")];
    for (name, [from, to], baseline) in stretches {
        let set = Set::replayed(&sets.join(name).join("events.jsonl.gz"), &tables());
        check_against_raw_events(&set, from, to, baseline);
        let labels =
            BufReader::new(flate2::read::GzDecoder::new(File::open(sets.join(name).join("labels.jsonl.gz")).unwrap()));
        let labels: BTreeMap<String, Value> = labels
            .lines()
            .map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap())
            .map(|label| (label["event_id"].as_str().unwrap().to_owned(), label))
            .collect();
        let poisoned: Vec<&Raw> = set.events.iter().filter(|raw| labels[&raw.id]["cause"] == "poisoned_lock").collect();
        let isolates: BTreeSet<String> =
            poisoned.iter().map(|raw| format!("{} {}", raw.facts["service"], raw.facts["isolate"]["id"])).collect();
        let answer: Value = serde_json::from_str(&ask(&set.store(), &["kpi", "--format", "json"])).unwrap();
        assert_eq!(answer["period"]["poisoned"], poisoned.len() as u64, "{name}");
        assert_eq!(answer["period"]["poisoning_incidents"], isolates.len() as u64, "{name}");
    }
}
