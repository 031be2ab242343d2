//! Panics over time as a user asks for them and as a scraper reads them, against a second, naive count.
//!
//! The big sets are not in the repository: `PANICSIFT_TEST_SETS` names a folder with some, each with its
//! `events.jsonl.gz` and `traffic_5min.csv`, packed or not.

mod naive;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

use naive::{Event, Row, Rows, Total};
use panicsift::pipeline::event::Millis;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::embedded::Solo;
use crate::support::replay::{demo, demo_lines};

const BY: [&str; 7] = ["endpoint", "release", "service", "outcome", "surface", "class", "boundary"];

/// Columns that count events by what is known of them.
const COUNTS: [&str; 17] = [
    "handled",
    "unhandled",
    "handled_untold",
    "recovered",
    "degraded",
    "escaped",
    "aborted",
    "suspected_abort",
    "recovery_unknown",
    "retry_succeeded",
    "retry_failed",
    "not_retried",
    "retry_unknown",
    "attempt_1",
    "attempt_2",
    "attempt_3",
    "attempt_later",
];

fn panicsift(dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_panicsift"));
    command.current_dir(dir).stdin(Stdio::null()).args(["--log-format", "json"]).args(arguments).output().unwrap()
}

/// Replays `events` with these feeds into a store of that name; gives the log.
fn replay(dir: &Path, store: &str, events: &Path, feeds: &[&str]) -> String {
    let mut arguments = vec!["replay", events.to_str().unwrap(), "--store", store];
    if !feeds.is_empty() {
        arguments.push("--traffic");
        arguments.extend(feeds);
    }
    let output = panicsift(dir, &arguments);
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{log}");
    log
}

/// Asks; gives standard output.
fn ask(dir: &Path, store: &str, arguments: &[&str]) -> String {
    let output = panicsift(dir, &[&["report", "telemetry", "--store", store], arguments].concat());
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && told.is_empty(), "{arguments:?}: {told}");
    String::from_utf8(output.stdout).unwrap()
}

fn refused(dir: &Path, arguments: &[&str]) -> String {
    let output = panicsift(dir, arguments);
    assert!(!output.status.success(), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// Adds to what a replay says of its end.
fn told_at_the_end(log: &str, key: &str) -> u64 {
    let mut lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let last = lines.rfind(|line| line.to_string().contains("the replay is done")).unwrap();
    let find = |value: &Value| value[key].as_u64().or_else(|| value["fields"][key].as_u64());
    find(&last).unwrap_or_else(|| panic!("{key}: {last}"))
}

/// The demo's events, in three stores: without a feed, with the whole one, and with one that has gaps.
struct Shelf {
    dir: TempDir,
    events: Vec<Event>,
    whole: Vec<Total>,
    gappy: Vec<Total>,
    gappy_log: String,
}

static SHELF: LazyLock<Shelf> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let events = naive::events(&naive::text(&demo("events.jsonl.gz")));
    let (feed, path) = (demo("traffic_5min.csv.gz"), demo("events.jsonl.gz"));
    let whole = naive::totals(&naive::text(&feed));
    replay(dir.path(), "bare.db", &path, &[]);
    replay(dir.path(), "whole.db", &path, &[feed.to_str().unwrap()]);
    let gappy = with_gaps(&whole);
    std::fs::write(dir.path().join("gappy.csv"), written_otherwise(&gappy)).unwrap();
    let gappy_log = replay(dir.path(), "gappy.db", &path, &["gappy.csv"]);
    Shelf { dir, events, whole, gappy, gappy_log }
});

/// The feed without four of its windows, without a route for half of the time, and without a release in one window.
fn with_gaps(whole: &[Total]) -> Vec<Total> {
    let gone = ["08:15", "08:20", "11:00", "13:55"].map(|minute| format!("2026-09-14T{minute}:00.000Z"));
    let is_kept = |total: &&Total| {
        let afternoon = total.start.as_str() > "2026-09-14T11";
        let is_search = afternoon && total.endpoint == "GET /v1/search";
        let is_new = total.start.contains("T12:00") && total.release == "4.18.0";
        !(gone.contains(&total.start) || is_search || is_new)
    };
    whole.iter().filter(is_kept).cloned().collect()
}

/// The same rows in another order, with columns in another order and one that nobody reads; some rows twice, some with
/// another number the second time, and between them what is no total at all.
fn written_otherwise(totals: &[Total]) -> String {
    let mut file = "requests,zone,endpoint,window_secs,release,window_start\r\n".to_owned();
    let row =
        |total: &Total, n: &str| format!("{n},eu,\"{}\",300,{},{}\r\n", total.endpoint, total.release, total.start);
    for (at, total) in totals.iter().rev().enumerate() {
        file.push_str(&row(total, &total.n.to_string()));
        match at % 100 {
            7 => file.push_str(&row(total, &total.n.to_string())),
            11 => file.push_str(&row(total, &(total.n + 1).to_string())),
            13 => file.push_str(&row(total, "-4")),
            17 => file.push_str(&row(total, "NaN")),
            19 => file.push_str(&row(total, "99999999999999999999999")),
            23 => file.push_str("1,eu,GET /x,60,4.17.2,2026-09-14T08:00:00Z\r\n"),
            29 => file.push_str("1,eu,GET /x,300,4.17.2,2026-09-14T08:00:01Z\r\n"),
            31 => file.push_str("half,a,row\r\n"),
            _ => {}
        }
    }
    file
}

/// Whether two numbers are the same to the last digit that a double can tell after a handful of operations.
fn is_same(a: Option<f64>, b: Option<f64>) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => (a - b).abs() <= 1e-10 * a.abs().max(b.abs()).max(1e-3),
        _ => false,
    }
}

fn check_row(told: &Value, expected: &Row, is_part: bool, what: &str) {
    let n = |key: &str| told[key].as_u64();
    assert_eq!(n("panics"), Some(expected.panics), "{what}: panics");
    if is_part {
        assert!(COUNTS.iter().all(|count| told[count].is_null()) && told["p50_ms"].is_null(), "{what}: {told}");
    } else {
        for count in COUNTS {
            assert_eq!(n(count), Some(expected.counts.get(count).copied().unwrap_or(0)), "{what}: {count}");
        }
        assert_eq!(n("latencies"), Some(expected.latencies.len() as u64), "{what}");
        for (key, permille) in [("p50_ms", 500), ("p95_ms", 950), ("p99_ms", 990)] {
            assert_eq!(n(key), expected.quantile(permille), "{what}: {key}");
        }
        let keys = ["handled_share", "handled_low", "handled_high"];
        for (at, key) in keys.into_iter().enumerate() {
            assert!(is_same(told[key].as_f64(), expected.caught().map(|it| it[at])), "{what}: {key} {told}");
        }
    }
    assert_eq!(n("windows_with_panics"), Some(expected.windows.len() as u64), "{what}: windows");
    assert_eq!(n("windows_covered"), Some(expected.windows_covered), "{what}: windows covered");
    assert_eq!(n("panics_covered"), Some(expected.panics_covered), "{what}: panics covered");
    assert_eq!(n("requests"), expected.requests, "{what}: requests");
    for (at, key) in ["per_10000", "per_10000_low", "per_10000_high"].into_iter().enumerate() {
        assert!(is_same(told[key].as_f64(), expected.rate().map(|it| it[at])), "{what}: {key} {told} {expected:?}");
    }
    assert_eq!(told["rate_absent_because"].is_null(), expected.rate().is_some(), "{what}: {told}");
}

/// Holds the report of a store against the naive count, by everything.
fn check(dir: &Path, store: &str, events: &[Event], totals: &[Total]) {
    for by in BY {
        let told: Value = serde_json::from_str(&ask(dir, store, &["--by", by, "--format", "json"])).unwrap();
        let expected: Rows = naive::rows(by, events, totals);
        let rows = told["tenants"][0]["rows"].as_array().unwrap();
        let of = |row: &Value| (row["service"].as_str().map(str::to_owned), row["name"].as_str().unwrap().to_owned());
        let names: BTreeMap<_, _> = rows.iter().map(|row| (of(row), row)).collect();
        assert_eq!(names.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{store} by {by}");
        let is_part = ["outcome", "surface", "class"].contains(&by);
        for (key, row) in &expected {
            check_row(names[key], row, is_part, &format!("{store} by {by}: {key:?}"));
        }
        assert!(rows.windows(2).all(|pair| pair[0]["panics"].as_u64() >= pair[1]["panics"].as_u64()), "{by}");
        assert_eq!(rows.iter().map(|row| row["panics"].as_u64().unwrap()).sum::<u64>(), events.len() as u64);
        assert_eq!(told["tenants"][0]["all"]["panics"], events.len() as u64);
        let csv = ask(dir, store, &["--by", by, "--format", "csv"]);
        assert_eq!(csv::Reader::from_reader(csv.as_bytes()).records().count(), rows.len(), "{csv}");
    }
}

#[test]
fn every_figure_is_that_of_a_naive_count_and_without_a_feed_there_is_no_rate() {
    let Shelf { dir, events, .. } = &*SHELF;
    check(dir.path(), "bare.db", events, &[]);
    let table = ask(dir.path(), "bare.db", &[]);
    assert!(table.contains("no denominator: no total of requests covers this time"), "{table}");
    assert!(table.lines().all(|line| line.chars().count() <= 120), "{table}");
}

#[test]
fn every_rate_is_that_of_a_naive_count_over_the_whole_feed() {
    let Shelf { dir, events, whole, .. } = &*SHELF;
    check(dir.path(), "whole.db", events, whole);
    let table = ask(dir.path(), "whole.db", &["--by", "release"]);
    let requests: u64 = whole.iter().map(|total| total.n).sum();
    assert!(
        table.contains(&format!("denominator covers 72 of 72 windows with panics, {requests} requests")),
        "{table}"
    );
    assert!(table.lines().all(|line| line.chars().count() <= 120), "{table}");
}

#[test]
fn rates_are_of_the_windows_that_a_feed_with_gaps_covers() {
    let Shelf { dir, events, gappy, gappy_log, .. } = &*SHELF;
    check(dir.path(), "gappy.db", events, gappy);
    let table = ask(dir.path(), "gappy.db", &[]).replace('\n', " ");
    assert!(table.contains("denominator covers 68 of 72 windows with panics"), "{table}");
    assert!(table.contains("panics are left out of the rates"), "{table}");
    let n = gappy.len() as u64;
    let of = |at: u64| (n + 99 - at) / 100;
    assert_eq!(told_at_the_end(gappy_log, "request_totals"), n);
    assert_eq!(told_at_the_end(gappy_log, "request_totals_repeated"), of(7));
    let bad: u64 = [11, 13, 17, 19, 23, 29, 31].map(of).iter().sum();
    assert_eq!(told_at_the_end(gappy_log, "request_totals_refused"), bad);
    for words in ["columns that are not read", "zone", "gappy.csv:17", "a whole number from 0 to 1000000000000"] {
        assert!(gappy_log.contains(words), "{words}: {gappy_log}");
    }
}

#[test]
fn a_period_and_a_service_are_a_part_of_the_whole() {
    let Shelf { dir, events, whole, .. } = &*SHELF;
    let (from, to) = ("2026-09-14T09:00:00.000Z", "2026-09-14T10:30:00.000Z");
    let is_in = |at: i64| (Millis::parse(from).unwrap().0..Millis::parse(to).unwrap().0).contains(&at);
    let events: Vec<Event> = events.iter().filter(|event| is_in(event.window)).cloned().collect();
    let totals = whole.iter().filter(|total| is_in(Millis::parse(&total.start).unwrap().0)).cloned();
    let expected = naive::rows("release", &events, &totals.collect::<Vec<_>>());
    let arguments = ["--by", "release", "--from", from, "--to", to, "--service", "storefront-api", "--format", "json"];
    let told: Value = serde_json::from_str(&ask(dir.path(), "whole.db", &arguments)).unwrap();
    let rows = told["tenants"][0]["rows"].as_array().unwrap();
    assert_eq!(rows.len(), expected.len());
    for row in rows {
        let key = (Some("storefront-api".to_owned()), row["name"].as_str().unwrap().to_owned());
        check_row(row, &expected[&key], false, &format!("{key:?}"));
    }
    assert_eq!((&told["tenants"][0]["from"], &told["tenants"][0]["to"]), (&from.into(), &to.into()));
    let since = ask(dir.path(), "whole.db", &["--since", "30m", "--limit", "2", "--format", "json"]);
    let since: Value = serde_json::from_str(&since).unwrap();
    assert_eq!(since["tenants"][0]["from"], "2026-09-14T13:30:00.000Z");
    assert_eq!(since["tenants"][0]["rows"].as_array().unwrap().len(), 2);
}

#[test]
fn the_same_question_has_the_same_answer_to_the_byte() {
    let Shelf { dir, .. } = &*SHELF;
    for arguments in [&["--by", "class"][..], &["--by", "endpoint", "--format", "json"], &["--format", "csv"]] {
        assert_eq!(ask(dir.path(), "gappy.db", arguments), ask(dir.path(), "gappy.db", arguments));
    }
}

#[test]
fn what_cannot_be_asked_is_said() {
    let Shelf { dir, .. } = &*SHELF;
    let check = |arguments: &[&str], expected: &str| {
        let told = refused(dir.path(), &[&["report", "telemetry", "--store", "bare.db"], arguments].concat());
        assert!(told.contains(expected), "{arguments:?}: {told}");
    };
    check(&["--service", "shop"], "no service \"shop\" has panicked; there are storefront-api");
    check(&["--from", "2026-09-14T10:00:00Z", "--to", "2026-09-14T09:00:00Z"], "not after its beginning");
    check(&["--from", "2027-01-01T00:00:00Z", "--to", "2027-01-02T00:00:00Z"], "nothing is known");
    check(&["--since", "yesterday"], "is no time");
    check(&["--by", "colour"], "invalid value");
    check(&["--format", "sarif"], "this question has no answer in that form");
}

/// A replay of a few events with a feed of these bytes: its exit code and its log.
fn replay_with_feed(feed: &[u8]) -> (TempDir, Output) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("events.jsonl"), demo_lines(60).join("\n")).unwrap();
    std::fs::write(dir.path().join("feed"), feed).unwrap();
    let output = panicsift(dir.path(), &["replay", "events.jsonl", "--store", "s.db", "--traffic", "feed"]);
    (dir, output)
}

#[test]
fn a_feed_counts_the_same_packed_or_plain() {
    let plain = naive::text(&demo("traffic_5min.csv.gz"));
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(plain.as_bytes()).unwrap();
    let answers = [plain.clone().into_bytes(), packed.finish().unwrap()].map(|feed| {
        let (dir, output) = replay_with_feed(&feed);
        assert!(output.status.success());
        ask(dir.path(), "s.db", &["--format", "json"])
    });
    assert_eq!(answers[0], answers[1]);
    assert!(answers[0].contains("\"per_10000\": "), "{}", answers[0]);
}

#[test]
fn a_feed_that_is_none_ends_the_replay_before_it_begins() {
    let check = |feed: &[u8], expected: &str| {
        let (dir, output) = replay_with_feed(feed);
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{log}");
        assert!(log.contains("the traffic feed feed") && log.contains(expected), "{log}");
        drop(dir);
    };
    check(b"", "window_start, endpoint, requests is missing");
    check(b"window_start,route,release,requests\n", "and endpoint is missing");
    check(b"window_start,endpoint,requests,endpoint\n", "a column stands in it twice");
    check(b"\x1f\x8b\x08 half a gzip", "feed");
    check(&[0xff; 64], "is missing");
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("events.jsonl"), demo_lines(3).join("\n")).unwrap();
    let told = refused(dir.path(), &["replay", "events.jsonl", "--traffic", "nowhere.csv"]);
    assert!(told.contains("nowhere.csv"), "{told}");
}

#[test]
fn more_panics_than_requests_make_no_rate() {
    let feed = "window_start,endpoint,requests\n2026-09-14T08:00:00Z,POST /v1/orders,1\n";
    let (dir, output) = replay_with_feed(feed.as_bytes());
    assert!(output.status.success());
    let told: Value = serde_json::from_str(&ask(dir.path(), "s.db", &["--format", "json"])).unwrap();
    let rows = told["tenants"][0]["rows"].as_array().unwrap();
    let orders = rows.iter().find(|row| row["name"] == "POST /v1/orders").unwrap();
    assert!(orders["panics"].as_u64() > Some(1), "{orders}");
    assert_eq!((&orders["requests"], &orders["per_10000"]), (&1.into(), &Value::Null));
    assert!(orders["rate_absent_because"].as_str().unwrap().contains("fewer requests than panics"), "{orders}");
}

/// The sum of the series that begin so and have all of these labels.
fn sum(page: &str, series: &str, labels: &[(&str, &str)]) -> u64 {
    let has = |line: &&str| labels.iter().all(|(name, value)| line.contains(&format!("{name}=\"{value}\"")));
    let lines = page.lines().filter(|line| line.starts_with(&format!("{series}{{"))).filter(has);
    lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
}

fn check_series(page: &str, events: &[Event]) {
    let n = |is: &dyn Fn(&Event) -> bool| events.iter().filter(|event| is(event)).count() as u64;
    for event in events {
        let (service, release, route) = (&event.service, &event.release, &event.endpoint);
        let place = [("service", service.as_str()), ("release", release.as_str())];
        let with = |more: &[(&'static str, &str)], series: &str| {
            let more: Vec<(&str, &str)> = place.iter().copied().chain(more.iter().copied()).collect();
            sum(page, series, &more)
        };
        let here = |other: &Event| other.service == *service && other.release == *release;
        let handled = event.handled.map_or("unknown", |handled| if handled { "true" } else { "false" });
        let expected = n(&|e| here(e) && e.endpoint == *route && e.handled == event.handled);
        assert_eq!(with(&[("route", route), ("handled", handled)], "panicsift_panics_total"), expected, "{route}");
        let expected = n(&|e| here(e) && e.outcome == event.outcome);
        assert_eq!(with(&[("outcome", &event.outcome)], "panicsift_recoveries_total"), expected);
        let expected = n(&|e| here(e) && e.retry == event.retry);
        assert_eq!(with(&[("outcome", &event.retry)], "panicsift_retries_total"), expected);
        let class = [("service", service.as_str()), ("surface", &event.surface), ("class", &event.class)];
        let expected = n(&|e| e.service == *service && e.surface == event.surface && e.class == event.class);
        assert_eq!(sum(page, "panicsift_panics_by_class_total", &class), expected, "{}", event.class);
        for (bound, ms) in [("0.005", 5), ("0.025", 25), ("0.1", 100), ("+Inf", u64::MAX)] {
            let expected = n(&|e| here(e) && e.latency.is_some_and(|latency| latency <= ms));
            assert_eq!(with(&[("le", bound)], "panicsift_panic_latency_seconds_bucket"), expected, "{bound}");
        }
    }
    for series in ["panicsift_panics_total", "panicsift_recoveries_total", "panicsift_panics_by_class_total"] {
        assert_eq!(sum(page, series, &[]), events.len() as u64, "{series}");
    }
}

fn total_record(total: &Total) -> Vec<u8> {
    let Total { start, endpoint, release, n } = total;
    serde_json::json!({"window_start": start, "endpoint": endpoint, "release": release, "requests": n})
        .to_string()
        .into_bytes()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_series_of_a_running_service_are_those_of_a_naive_count() {
    // Told by its topic, and from the record itself.
    for feeds in ["[source.feed.totals]\ncarrier = \"request_totals\"\nservice = \"storefront-api\"\n", ""] {
        let solo = Solo::over(&[("panics", 1), ("totals", 1)], feeds, "share_max = 1.0");
        let lines = demo_lines(500);
        let events = naive::events(&lines.join("\n"));
        let mut panics: Vec<Vec<u8>> = lines.iter().map(|line| line.clone().into_bytes()).collect();
        // Repetitions count once.
        panics.extend(lines.iter().take(40).map(|line| line.clone().into_bytes()));
        let totals = naive::totals(&naive::text(&demo("traffic_5min.csv.gz")));
        let totals: Vec<Total> = totals.into_iter().take(120).collect();
        let mut records: Vec<Vec<u8>> = totals.iter().map(total_record).collect();
        records.extend(totals.iter().take(5).map(total_record));
        records.push(total_record(&Total { n: totals[0].n + 1, ..totals[0].clone() }));
        records.push(total_record(&Total { start: "2026-09-14T08:00:01Z".to_owned(), ..totals[0].clone() }));
        let n_records = panics.len() + records.len();
        solo.send_in_order("panics", &panics);
        let records_of = |page: &str| sum(page, "panicsift_records_total", &[]);
        if feeds.is_empty() {
            // Whose route it is says the panic: the totals come when it is known.
            solo.run_until(|page| records_of(page) >= 540).await;
            solo.send_in_order("totals", &records);
            let page = solo.run_until(|page| records_of(page) >= 127).await;
            check_totals(&page, &totals);
            assert!(sum(&page, "panicsift_panics_total", &[]) == 0, "counters begin at 0 with the process");
            continue;
        }
        solo.send_in_order("totals", &records);
        let page = solo.run_until(|page| records_of(page) >= n_records as u64).await;
        let fate = |name: &str| sum(&page, "panicsift_records_total", &[("fate", name)]);
        assert_eq!(["observed", "duplicate", "counted", "rejected"].map(fate), [500, 45, 120, 2]);
        check_series(&page, &events);
        check_totals(&page, &totals);
        let letters = solo.dead_letters();
        let reasons: Vec<&str> = letters.iter().map(|letter| letter["reason"].as_str().unwrap()).collect();
        assert_eq!(reasons.iter().filter(|reason| **reason == "not_counted").count(), 1, "{reasons:?}");
        assert_eq!(reasons.iter().filter(|reason| **reason == "bad_value").count(), 1, "{reasons:?}");
        assert!(letters.iter().any(|letter| letter["detail"].as_str().unwrap().contains("another total was counted")));
    }
}

fn check_totals(page: &str, totals: &[Total]) {
    assert_eq!(
        sum(page, "panicsift_requests_total", &[("service", "storefront-api")]),
        totals.iter().map(|total| total.n).sum::<u64>(),
        "{page}"
    );
}

/// The data sets under `PANICSIFT_TEST_SETS`, with their feeds.
#[expect(clippy::disallowed_methods, reason = "where the big sets are is told to the tests by the environment")]
fn sets() -> Vec<(PathBuf, PathBuf)> {
    let Some(root) = std::env::var_os("PANICSIFT_TEST_SETS") else {
        eprintln!("SKIPPED: PANICSIFT_TEST_SETS names no folder with data sets");
        return Vec::new();
    };
    let folders = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
    let feed = |folder: &Path| {
        ["traffic_5min.csv", "traffic_5min.csv.gz"].into_iter().map(|name| folder.join(name)).find(|path| path.exists())
    };
    let set = |folder: PathBuf| Some((folder.join("events.jsonl.gz"), feed(&folder)?));
    let mut sets: Vec<_> = folders.filter_map(set).collect();
    sets.sort();
    sets
}

#[test]
fn the_figures_of_the_big_sets_are_those_of_a_naive_count() {
    for (events, feed) in sets() {
        let dir = tempfile::tempdir().unwrap();
        replay(dir.path(), "set.db", &events, &[feed.to_str().unwrap()]);
        let (events, totals) = (naive::events(&naive::text(&events)), naive::totals(&naive::text(&feed)));
        check(dir.path(), "set.db", &events, &totals);
        eprintln!("{}: {} events, {} totals", feed.display(), events.len(), totals.len());
    }
}
