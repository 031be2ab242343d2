//! Retries and releases as a user meets them, over a replay of the demo's events, and by a second way of counting them.
//!
//! With `PANICSIFT_TEST_SETS=/path` the labelled sets in that folder are replayed, too: their bad releases must be told,
//! and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use panicsift::pipeline::classify::{Bucket, PanicModel, classify};
use panicsift::pipeline::event::Millis;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::replay::{demo, demo_lines, json_lines};

/// What a replay left behind.
struct Shelf {
    dir: TempDir,
    alerts: Vec<Value>,
}

static DEMO: LazyLock<Shelf> = LazyLock::new(|| Shelf::of(&demo("events.jsonl.gz")));

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_panicsift"));
    command.args(arguments).env("NO_COLOR", "1").output().unwrap()
}

impl Shelf {
    fn of(events: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (store, alerts) = (dir.path().join("store.db"), dir.path().join("alerts.jsonl"));
        let arguments = ["replay", "--store", store.to_str().unwrap(), "--alerts", alerts.to_str().unwrap()];
        let output = run(&[&arguments[..], &[events.to_str().unwrap()]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let alerts = json_lines(&std::fs::read_to_string(alerts).unwrap());
        Self { dir, alerts }
    }

    fn ask(&self, question: &[&str]) -> Output {
        let store = self.dir.path().join("store.db");
        run(&[&["report"], question, &["--store", store.to_str().unwrap()]].concat())
    }

    fn told(&self, question: &[&str]) -> String {
        let output = self.ask(question);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, question: &[&str]) -> Value {
        serde_json::from_str(&self.told(&[question, &["--format", "json"]].concat())).unwrap()
    }

    /// Category, change, title and time of the alerts for operations.
    fn operations(&self) -> Vec<(String, String, String, String)> {
        let text = |alert: &Value, key: &str| alert[key].as_str().unwrap().to_owned();
        let of = |category: &str| ["retry_cascade", "rollback"].contains(&category);
        let mine = self.alerts.iter().filter(|alert| alert["category"].as_str().is_some_and(of));
        mine.map(|alert| (text(alert, "category"), text(alert, "change"), text(alert, "title"), text(alert, "at")))
            .collect()
    }
}

/// An event with what a second reader makes of it.
struct Seen {
    at: i64,
    service: String,
    route: String,
    release: String,
    class: String,
    bucket: Bucket,
    key: Option<String>,
    attempt: u64,
    outcome: String,
    handled: bool,
    status: u64,
}

fn seen() -> Vec<Seen> {
    let model = PanicModel::builtin().unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let one = |line: String| {
        let event: Value = serde_json::from_str(&line).unwrap();
        let found = classify(&model, event["panic"]["message"].as_str().unwrap());
        Seen {
            at: Millis::parse(event["ts"].as_str().unwrap()).unwrap().0,
            service: text(&event["service"]),
            route: text(&event["endpoint"]),
            release: text(&event["release"]),
            class: found.class,
            bucket: found.bucket,
            key: event["request"]["idempotency_key"].as_str().map(str::to_owned),
            attempt: event["request"]["attempt"].as_u64().unwrap_or(1),
            outcome: text(&event["retry"]["outcome"]),
            handled: event["handled"].as_bool().unwrap(),
            status: event["status"].as_u64().unwrap(),
        }
    };
    let mut seen: Vec<Seen> = demo_lines(usize::MAX).into_iter().map(one).collect();
    seen.sort_by_key(|event| event.at);
    seen
}

/// The gate, written down a second time.
fn word(event: &Seen) -> &'static str {
    let idempotent = ["GET ", "PUT ", "DELETE ", "HEAD ", "OPTIONS "].iter().any(|m| event.route.starts_with(m));
    match event.bucket {
        Bucket::NeverRetry => "never",
        _ if !idempotent && event.key.is_none() => "never",
        Bucket::RetryAfterFix => "after_fix",
        _ if idempotent => "safe",
        _ => "safe_with_key",
    }
}

const STRICTNESS: [&str; 4] = ["safe", "safe_with_key", "after_fix", "never"];

#[derive(Default, Debug)]
struct Naive {
    events: u64,
    keyed: u64,
    words: BTreeMap<&'static str, u64>,
    strictest: BTreeMap<bool, usize>,
    retries: u64,
    hopeless: u64,
    unsafe_: u64,
    succeeded: u64,
    failed: u64,
    not_retried: u64,
    first: Option<i64>,
    last: Option<i64>,
}

/// The table of policies, and whether each event continues an earlier request.
fn naive(seen: &[Seen]) -> (BTreeMap<(String, String), Naive>, Vec<bool>) {
    let mut table: BTreeMap<(String, String), Naive> = BTreeMap::new();
    let mut chains: BTreeMap<&str, (i64, &'static str)> = BTreeMap::new();
    let mut continues = Vec::new();
    for event in seen {
        let said = word(event);
        let before = event.key.as_deref().and_then(|key| {
            let before = chains.get(key).filter(|(at, _)| event.at - at <= 6 * 3_600_000).map(|(_, said)| *said);
            chains.insert(key, (event.at, said));
            before
        });
        let is_retry = before.is_some() || event.attempt > 1;
        continues.push(is_retry);
        let row = table.entry((event.route.clone(), event.class.clone())).or_default();
        row.events += 1;
        row.keyed += u64::from(event.key.is_some());
        *row.words.entry(said).or_default() += 1;
        let strict = STRICTNESS.iter().position(|word| *word == said).unwrap();
        let mine = row.strictest.entry(event.key.is_some()).or_default();
        *mine = strict.max(*mine);
        if is_retry {
            row.retries += 1;
            row.unsafe_ += u64::from(before.unwrap_or(said) == "never");
            row.hopeless += u64::from(before.unwrap_or(said) == "after_fix");
        }
        row.succeeded += u64::from(event.outcome == "succeeded");
        row.failed += u64::from(event.outcome == "failed");
        row.not_retried += u64::from(event.outcome == "not_retried");
        row.first = row.first.or(Some(event.at));
        row.last = Some(event.at);
    }
    (table, continues)
}

#[test]
fn the_policy_is_what_a_second_reader_makes_of_the_events() {
    let answer = DEMO.json(&["retry-policy"]);
    let seen = seen();
    let (mut expected, _) = naive(&seen);
    assert!(expected.len() > 40 && expected.values().any(|row| row.unsafe_ > 0 && row.hopeless + row.succeeded > 0));
    for told in answer["policies"].as_array().unwrap() {
        let key = (told["route"].as_str().unwrap().to_owned(), told["class"].as_str().unwrap().to_owned());
        let row = expected.remove(&key).unwrap_or_else(|| panic!("{key:?} is not in the events"));
        let counts = ["events", "events_with_key", "retries", "retry_succeeded", "retry_failed", "not_retried"];
        let counts: Vec<u64> = counts.iter().map(|name| told[*name].as_u64().unwrap()).collect();
        let naive = [row.events, row.keyed, row.retries, row.succeeded, row.failed, row.not_retried];
        assert_eq!(counts, naive, "{key:?}");
        let harm = [&told["retried_unsafe"], &told["retried_hopeless"], &told["repeated_side_effects"]];
        assert_eq!(harm.map(|n| n.as_u64().unwrap()), [row.unsafe_, row.hopeless, 0], "{key:?}");
        for word in STRICTNESS {
            assert_eq!(told["words"][word].as_u64().unwrap(), row.words.get(word).copied().unwrap_or(0), "{key:?}");
        }
        let strict = |keyed: bool| row.strictest.get(&keyed).map(|at| STRICTNESS[*at]);
        assert_eq!((told["with_key"].as_str(), told["without_key"].as_str()), (strict(true), strict(false)), "{key:?}");
        let both = (row.strictest.get(&true), row.strictest.get(&false));
        let word = match both {
            (Some(with), Some(without)) if *with <= 1 && without > with => "safe_with_key",
            _ => STRICTNESS[*both.0.max(both.1).unwrap()],
        };
        assert_eq!(told["retry"], word, "{key:?}");
        let at = |millis: Option<i64>| Millis(millis.unwrap()).to_string();
        assert_eq!((&told["first_event"], &told["last_event"]), (&at(row.first).into(), &at(row.last).into()));
    }
    assert!(expected.is_empty(), "{expected:?}");
}

#[test]
fn releases_are_what_a_second_reader_makes_of_the_events() {
    let answer = DEMO.json(&["releases"]);
    let seen = seen();
    let (_, continues) = naive(&seen);
    let told = answer["releases"].as_array().unwrap();
    assert_eq!(told.len(), 2);
    for told in told {
        let of = |event: &&(&Seen, &bool)| told["release"] == event.0.release.as_str();
        let all: Vec<(&Seen, &bool)> = seen.iter().zip(&continues).collect();
        let count = |what: &dyn Fn(&Seen, bool) -> bool| {
            all.iter().filter(of).filter(|(event, continues)| what(event, **continues)).count() as u64
        };
        assert_eq!(told["panics"].as_u64().unwrap(), count(&|_, _| true));
        assert_eq!(told["handled"].as_u64().unwrap(), count(&|event, _| event.handled));
        assert_eq!(told["unhandled"].as_u64().unwrap(), count(&|event, _| !event.handled));
        assert_eq!(told["originals"].as_u64().unwrap(), count(&|_, continues| !continues));
        // Whom the judge held for hostile when they came is not known here, but all others are counted.
        let (honest, good) = (told["honest"].as_u64().unwrap(), told["made_good"].as_u64().unwrap());
        assert_eq!(told["real"].as_u64().unwrap() + good, honest);
        assert!(
            honest <= count(&|_, _| true)
                && good <= count(&|event, _| event.status < 500 || event.outcome == "succeeded")
        );
        let (n, k) = (count(&|_, _| true), count(&|_, continues| !continues));
        let estimate = told["amplification"]["estimate"].as_f64().unwrap();
        assert!((estimate - float(n) / float(k)).abs() < 1e-12, "{estimate}");
        check_wilson(&told["unhandled_share"], count(&|event, _| !event.handled), n);
        assert_eq!(told["service"], seen[0].service);
        assert!(told["requests"].is_null() && told["panic_share"].is_null());
        let page = |at: i64| Millis(at.div_euclid(300_000) * 300_000).to_string();
        let first = all.iter().find(of).unwrap().0.at;
        let last = all.iter().rfind(of).unwrap().0.at + 300_000;
        assert_eq!((told["seen_from"].clone(), told["seen_to"].clone()), (page(first).into(), page(last).into()));
    }
    assert!(answer["denominator"].as_str().unwrap().starts_with("no request totals are known"));
    assert_eq!((&told_before(&answer, "4.17.2"), &told_before(&answer, "4.18.0")), (&Value::Null, &"4.17.2".into()));
}

fn told_before(answer: &Value, release: &str) -> Value {
    let all = answer["releases"].as_array().unwrap();
    all.iter().find(|told| told["release"] == release).unwrap()["before"].clone()
}

fn float(n: u64) -> f64 {
    f64::from(u32::try_from(n).unwrap())
}

/// Wilson's interval as the roots of (p − k/n)² = z² p (1 − p) / n.
#[track_caller]
fn check_wilson(told: &Value, hits: u64, cases: u64) {
    let (share, z2) = (float(hits) / float(cases), 1.959_963_984_540_054_f64.powi(2) / float(cases));
    let (square, linear) = (1.0 + z2, -(2.0 * share + z2));
    let root = (linear * linear - 4.0 * square * share.powi(2)).sqrt();
    let ends = [("low", (-linear - root) / (2.0 * square)), ("high", (-linear + root) / (2.0 * square))];
    for (name, expected) in ends.into_iter().chain([("estimate", share)]) {
        let told = told[name].as_f64().unwrap();
        assert!((told - expected).abs() < 1e-9, "{name}: {told} {expected}");
    }
}

#[test]
fn the_bad_release_of_the_demo_is_told_while_it_runs_and_nothing_else_is() {
    let told = DEMO.operations();
    let rollbacks: Vec<_> = told.iter().filter(|(category, ..)| category == "rollback").collect();
    let (_, change, title, at) = rollbacks.first().unwrap();
    assert_eq!(change, "opened");
    assert!(title.contains("release 4.18.0 of storefront-api, after 4.17.2"), "{title}");
    // At first a scanner's panics on another route, whom nobody has recognised yet, are the worst.
    let raised = rollbacks.iter().find(|(_, change, ..)| change == "raised").unwrap();
    assert!(raised.2.contains("on POST /v1/pricing/quote"), "{told:?}");
    assert!(("2026-09-14T10:05".."2026-09-14T11:00").contains(&at.as_str()), "{at}");
    assert!(rollbacks.iter().all(|(_, _, title, _)| title.contains("4.18.0") || title.contains("gone")), "{told:?}");
    assert_eq!(rollbacks.last().unwrap().1, "closed");
    let alert = DEMO.alerts.iter().find(|alert| alert["category"] == "rollback").unwrap();
    assert_eq!(alert["findings"].as_array().unwrap().len(), 4);
    let met: Vec<_> = alert["findings"].as_array().unwrap().iter().filter(|finding| finding["met"] == true).collect();
    assert_eq!(met.iter().map(|finding| &finding["name"]).collect::<Vec<_>>(), ["panic_share"]);
    assert!(met[0]["words"].as_str().unwrap().contains("no request totals are known"));
    assert_eq!(alert["releases"][0]["name"], "4.18.0");
    let cascades: Vec<_> = told.iter().filter(|(category, ..)| category == "retry_cascade").collect();
    let changes: Vec<&str> = cascades.iter().map(|(_, change, ..)| change.as_str()).collect();
    assert_eq!(changes, ["opened", "closed"], "{told:?}");
    assert!(cascades[0].2.starts_with("retries of POST /v1/pricing/quote: 2.0 events for each original request"));
    let alert = DEMO.alerts.iter().find(|alert| alert["category"] == "retry_cascade").unwrap();
    let names: Vec<&str> = alert["findings"].as_array().unwrap().iter().map(|f| f["name"].as_str().unwrap()).collect();
    let own = ["amplification", "retry_growth", "retries", "repeated_side_effects"];
    assert_eq!(names, [&own[..], &["amplification", "panic_share", "unhandled_share", "recovery_share"]].concat());
}

#[test]
fn the_policy_file_says_what_the_table_says() {
    let text = DEMO.told(&["retry-policy", "--format", "toml"]);
    let file: toml::Table = text.parse().unwrap();
    let json = DEMO.json(&["retry-policy"]);
    let (file, json) = (file["policy"].as_array().unwrap().clone(), json["policies"].as_array().unwrap().clone());
    assert_eq!(file.len(), json.len());
    for (entry, told) in file.iter().zip(&json) {
        for key in ["tenant", "service", "route", "class", "retry", "with_key", "without_key", "reason", "why"] {
            assert_eq!(entry.get(key).and_then(toml::Value::as_str), told[key].as_str(), "{key}");
            assert!(text.lines().any(|line| line.starts_with('#') && line.contains(key)), "{key} is not explained");
        }
        let again = matches!(told["retry"].as_str().unwrap(), "safe" | "safe_with_key");
        assert_eq!(entry["attempts_max"].as_integer().unwrap(), if again { 2 } else { 1 });
    }
}

/// The fields of Envoy's `route_components.proto` (v3) and `string.proto`, `regex.proto`, `base.proto` that may stand
/// where they are met, by the field above them.
fn envoy_fields(above: &str) -> Option<&'static [&'static str]> {
    Some(match above {
        "" => &["routes"],
        "routes" => &["name", "match", "route", "metadata", "decorator", "redirect", "direct_response"],
        "match" => &["prefix", "path", "safe_regex", "case_sensitive", "headers", "query_parameters"],
        "safe_regex" => &["regex"],
        "headers" | "retriable_request_headers" => &["name", "string_match", "present_match", "invert_match"],
        "string_match" => &["exact", "prefix", "suffix", "safe_regex", "contains", "ignore_case"],
        "route" => &["cluster", "cluster_header", "weighted_clusters", "timeout", "retry_policy", "hedge_policy"],
        "retry_policy" => &[
            "retry_on",
            "num_retries",
            "per_try_timeout",
            "retry_priority",
            "retry_host_predicate",
            "host_selection_retry_max_attempts",
            "retriable_status_codes",
            "retry_back_off",
            "rate_limited_retry_back_off",
            "retriable_headers",
            "retriable_request_headers",
        ],
        "retry_back_off" => &["base_interval", "max_interval"],
        "metadata" => &["filter_metadata", "typed_filter_metadata"],
        // Any structure may stand below: it is ours.
        "filter_metadata" => return None,
        _ => &[],
    })
}

fn check_envoy(above: &str, value: &Value) {
    let Some(fields) = envoy_fields(above) else { return };
    match value {
        Value::Object(table) => {
            for (name, part) in table {
                assert!(fields.contains(&name.as_str()), "{name} is no field of {above:?}");
                check_envoy(name, part);
            }
        }
        Value::Array(parts) => parts.iter().for_each(|part| check_envoy(above, part)),
        _ => assert!(fields.is_empty() || above == "routes", "{above} is a table"),
    }
}

/// The conditions of Envoy's router filter (`x-envoy-retry-on`).
const RETRY_ON: [&str; 9] = [
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "envoy-ratelimited",
    "retriable-4xx",
    "refused-stream",
    "retriable-status-codes",
];

#[test]
fn envoy_gets_routes_of_documented_fields_and_retries_what_may_be_retried_alone() {
    let routes: Value = serde_json::from_str(&DEMO.told(&["retry-policy", "--format", "envoy"])).unwrap();
    check_envoy("", &routes);
    let json = DEMO.json(&["retry-policy"]);
    let strictest = |route: &str| {
        let mine = json["policies"].as_array().unwrap().iter().filter(|policy| policy["route"] == route);
        let at = |policy: &Value| STRICTNESS.iter().position(|word| policy["retry"] == *word).unwrap();
        STRICTNESS[mine.map(at).max().unwrap()]
    };
    let mut met = BTreeSet::new();
    for route in routes["routes"].as_array().unwrap() {
        let name = route["name"].as_str().unwrap().strip_prefix("storefront-api ").unwrap();
        let policy = &route["route"]["retry_policy"];
        let told = &route["metadata"]["filter_metadata"]["panicsift"];
        let word = strictest(name);
        assert_eq!(told["retry"], word);
        assert!(!told["why"].as_array().unwrap().is_empty());
        met.insert((word, policy.is_null()));
        if policy.is_null() {
            continue;
        }
        assert!(["safe", "safe_with_key"].contains(&word), "{name} is {word}");
        let on: Vec<&str> = policy["retry_on"].as_str().unwrap().split(',').collect();
        assert!(!on.is_empty() && on.iter().all(|condition| RETRY_ON.contains(condition)), "{on:?}");
        assert!(policy["num_retries"].as_u64().is_some_and(|n| n > 0));
        let codes = policy["retriable_status_codes"].as_array().unwrap();
        assert!(codes.iter().all(|code| (500..600).contains(&code.as_u64().unwrap())), "{codes:?}");
        let header = &policy["retriable_request_headers"][0];
        assert_eq!(header["present_match"] == true && header["name"] == "idempotency-key", word == "safe_with_key");
    }
    assert!(met.contains(&("never", true)), "{met:?}");
}

#[test]
fn what_cannot_be_answered_is_said() {
    let check = |question: &[&str], expected: &str| {
        let output = DEMO.ask(question);
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && told.contains(expected), "{question:?}: {told}");
        assert!(output.stdout.is_empty());
    };
    check(&["retry-policy", "--service", "shop"], "there is no service of this name; known here: storefront-api");
    check(
        &["releases", "--service", "shop"],
        "there is no service of this name in the period; known here: storefront-api",
    );
    check(&["releases", "--from", "2026-09-14T10:00:00Z", "--to", "2026-09-14T09:00:00Z"], "not after its beginning");
    check(&["releases", "--from", "2027-01-01T00:00:00Z", "--to", "2027-01-02T00:00:00Z"], "nothing is known of");
    check(&["releases", "--from", "yesterday"], "is no time");
    check(&["releases", "--format", "envoy"], "a table, as JSON or as CSV");
    check(&["retry-policy", "--format", "sarif"], "this question has no answer in that form");
    check(&["surfaces", "--format", "toml"], "this question has no answer in that form");
}

#[test]
fn answers_are_the_same_each_time_and_hold_what_people_need() {
    for question in
        [&["retry-policy"][..], &["releases"], &["retry-policy", "--format", "envoy"], &["releases", "--format", "csv"]]
    {
        assert_eq!(DEMO.told(question), DEMO.told(question), "{question:?}");
    }
    let unbroken = |question: &[&str]| DEMO.told(question).replace('\n', " ");
    let table = unbroken(&["releases", "--to", "2026-09-14T11:20:00Z"]);
    assert!(table.contains("storefront-api 4.18.0, after 4.17.2, at 2026-09-14T11:20Z:"), "{table}");
    assert!(table.contains("no release is known to have been there an hour before it"), "{table}");
    let table = unbroken(&["retry-policy"]);
    assert!(table.contains("although they must not be sent again"), "{table}");
}

#[test]
fn a_service_that_begins_is_told_with_all_that_a_sender_may_choose_made_harmless() {
    let escapes = "\u{1b}]0;owned\u{7}\u{202e}\r\n";
    let mut lines = demo_lines(60);
    for line in &mut lines {
        let mut event: Value = serde_json::from_str(line).unwrap();
        event["endpoint"] = format!("POST /v1/{{x}}\"}}]{escapes}").into();
        event["service"] = format!("=cmd|'/c calc'!A1{escapes}").into();
        event["release"] = format!("@SUM(1)\"\"\"{escapes}").into();
        event["request"]["attempt"] = u32::MAX.into();
        *line = event.to_string();
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.jsonl");
    std::fs::write(&path, lines.join("\n")).unwrap();
    let shelf = Shelf::of(&path);
    for form in ["table", "json", "csv", "toml", "envoy"] {
        let told = shelf.told(&["retry-policy", "--format", form]);
        assert!(!told.contains(['\u{1b}', '\u{7}', '\u{202e}', '\r']), "{form}: {told:?}");
        match form {
            "json" | "envoy" => drop(serde_json::from_str::<Value>(&told).unwrap()),
            "toml" => drop(told.parse::<toml::Table>().unwrap()),
            _ => {}
        }
    }
    let releases = shelf.told(&["releases"]).replace('\n', " ");
    assert!(!releases.contains(['\u{1b}', '\u{7}', '\u{202e}', '\r']) && releases.contains("no release is known"));
    assert_eq!(shelf.operations(), []);
}

#[test]
fn an_empty_store_is_said_to_be_empty() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("none.jsonl");
    std::fs::write(&path, "").unwrap();
    let shelf = Shelf::of(&path);
    for question in [&["retry-policy"], &["releases"]] {
        let output = shelf.ask(question);
        assert!(!output.status.success(), "{question:?}");
        assert!(String::from_utf8(output.stderr).unwrap().contains("no events to report on"), "{question:?}");
    }
}

/// The folder with the labelled sets, if there is one.
#[expect(clippy::disallowed_methods, reason = "the environment says where the sets are that this test is for")]
fn sets() -> Option<PathBuf> {
    let path = std::env::var_os("PANICSIFT_TEST_SETS").map(PathBuf::from);
    if path.is_none() {
        eprintln!("SKIPPED: PANICSIFT_TEST_SETS names no folder with labelled sets");
    }
    path
}

#[test]
fn the_bad_releases_of_the_labelled_sets_are_told_and_no_other() {
    let Some(sets) = sets() else { return };
    let check = |set: &str, bad: &[&str]| {
        let told = Shelf::of(&sets.join(set).join("events.jsonl.gz")).operations();
        let opened = told.iter().filter(|(category, change, ..)| category == "rollback" && change == "opened");
        let releases: BTreeSet<&str> = opened.filter_map(|(_, _, title, _)| title.split(' ').nth(1)).collect();
        assert_eq!(releases, bad.iter().copied().collect(), "{set}: {told:#?}");
    };
    check("storefront", &["4.18.0"]);
    check("clinic-ledger-quiet", &["2026.47.0"]);
    check("clinic-ledger", &["3.9.0", "2026.45.0"]);
}
