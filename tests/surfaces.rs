//! The surface inventory as a user meets it, and consequences of panics: over a store of events, in all four forms.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

use panicsift::edge::store::Store;
use panicsift::pipeline::alert::{Alert, Category};
use panicsift::pipeline::event::{Batch, Checkpoint, Millis, Position};
use panicsift::pipeline::state::State;
use panicsift::pipeline::surfaces::ROWS_MAX;
use panicsift::pipeline::{Context, Memos, examine, fold};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::context;
use crate::support::replay::demo_lines;

/// Events of the demo in the store.
const N_DEMO: usize = 400;

/// What tries to be a command of a terminal, a spreadsheet or a code host.
const ESCAPES: &str = "\u{1b}]0;owned\u{7}\u{202e}\r\n";
const FORMULA: &str = "=cmd|'/c calc'!A1";
const MARKUP: &str = "[click](https://evil.example){0}<script>";

/// An event at `second`; `facts` go over its own.
fn event(n: usize, second: i64, facts: &Value) -> String {
    let ts = Millis(1_789_372_800_000 + second * 1_000).to_string();
    let mut event = json!({
        "event_id": format!("e-{n}"), "ts": ts, "service": "shop", "release": "2.0.0", "endpoint": "POST /cart",
        "method": "POST", "path": "/cart", "status": 500, "handled": true,
        "panic": {"message": "index out of bounds: the len is 3 but the index is 9", "file": "shop/src/cart.rs",
                  "line": 4, "column": 2, "backtrace": ["core::panicking::panic_fmt", "shop::cart::put::{{closure}}"]},
        "client": {"ip": format!("203.0.{}.{}", n / 200 % 200, n % 200 + 1), "user_agent": "app/1"},
        "request": {"payload": format!("{{\"sku\":\"A-{n}\"}}"), "payload_encoding": "utf8"},
    });
    merge(&mut event, facts);
    event.to_string()
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}

/// A state that takes lines in.
struct Service {
    context: Context,
    state: State,
    memos: Memos,
    taken: i64,
}

impl Service {
    fn new() -> Self {
        let context = context();
        let state = State::new(&context.clustering);
        Self { context, state, memos: Memos::default(), taken: 0 }
    }

    /// Folds one batch; gives its alerts, and its rows to `store`.
    fn take(&mut self, lines: &[String], store: Option<&mut Store>) -> Vec<Alert> {
        let mut batch = Batch::default();
        for line in lines {
            batch.push(Position { topic: "panics", partition: 0, offset: self.taken }, None, line.as_bytes());
            self.taken += 1;
        }
        let seen: Vec<_> = batch
            .iter()
            .map(|record| examine(&self.context, &mut self.memos, record).into_observation().unwrap())
            .collect();
        let step = fold(&self.context, &mut self.state, seen, None);
        if let Some(store) = store {
            store.commit(&step.rows, &step.alerts, &Checkpoint::default()).unwrap();
        }
        step.alerts
    }

    fn close(&mut self, store: &mut Store) -> Vec<Alert> {
        let step = self.state.close_last(&self.context);
        store.commit(&step.rows, &step.alerts, &Checkpoint::default()).unwrap();
        step.alerts
    }
}

/// The store of the tests: the demo's beginning, a cart that panics in two releases, and a producer who chose every
/// text that he can.
static STORE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut lines = demo_lines(N_DEMO);
    let beyond = json!({"release": "1.9.9", "status": 422, "handled": true});
    lines.extend((0..30).map(|n| event(n, 10 + i64::try_from(n).unwrap(), &json!({}))));
    lines.extend((30..40).map(|n| event(n, 60 + i64::try_from(n).unwrap(), &beyond)));
    lines.push(event(40, 200, &json!({"status": null, "handled": false, "recovery": {"outcome": "aborted"}})));
    let files = [
        "../../../etc/passwd",
        "/builds/ci/work/shop/src/pay.rs",
        "C:\\ci\\shop\\src\\pay.rs",
        "https://evil.example/x.rs?q#f",
        "javascript:alert(1).rs",
        "/rustc/59807616/library/core/src/option.rs",
        "src/\u{202e}sr.txe/%2e%2e/ü x.rs",
    ];
    for (at, file) in files.iter().enumerate() {
        let facts = json!({
            "service": format!("{FORMULA}{ESCAPES}{MARKUP}"), "release": format!("@SUM(1){ESCAPES}{MARKUP}"),
            "endpoint": format!("{FORMULA}{ESCAPES}"),
            "panic": {"file": file, "backtrace": [format!("evil::{MARKUP}{ESCAPES}")]},
        });
        lines.push(event(50 + at, 300, &facts));
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("panicsift.db");
    let (mut store, mut service) = (Store::open(&path).unwrap(), Service::new());
    lines.chunks(100).for_each(|lines| drop(service.take(lines, Some(&mut store))));
    service.close(&mut store);
    drop(store);
    std::fs::read(path).unwrap()
});

const N_EVENTS: u64 = N_DEMO as u64 + 41 + 7;

/// A store in a folder of its own.
struct Shelf {
    dir: TempDir,
}

impl Shelf {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("panicsift.db"), STORE.as_slice()).unwrap();
        Self { dir }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("panicsift.db")
    }

    fn ask(&self, arguments: &[&str]) -> String {
        ask(&self.path(), arguments)
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.ask(&[arguments, &["--format", "json"]].concat())).unwrap()
    }
}

fn run(store: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_panicsift"));
    command.stdin(Stdio::null()).arg("report").args(arguments).arg("--store").arg(store).output().unwrap()
}

/// Asks; gives standard output. Nothing in it may steer a terminal.
fn ask(store: &Path, arguments: &[&str]) -> String {
    let output = run(store, arguments);
    let out = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{arguments:?}\n{out}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!out.contains(|c: char| (c.is_control() && c != '\n') || c == '\u{202e}'), "{out:?}");
    out
}

fn rows(inventory: &Value) -> &[Value] {
    inventory["rows"].as_array().unwrap()
}

fn sum(rows: &[Value], key: &str) -> u64 {
    rows.iter().map(|row| row[key].as_u64().unwrap()).sum()
}

#[test]
fn every_event_is_in_one_row_with_what_became_of_it() {
    let shelf = Shelf::new();
    let inventory = shelf.json(&["surfaces"]);
    let rows = rows(&inventory);
    assert_eq!(sum(rows, "events"), N_EVENTS);
    let outcomes = ["recovered", "degraded", "escaped", "aborted", "suspected_abort", "unknown"];
    assert_eq!(outcomes.iter().map(|outcome| sum(rows, outcome)).sum::<u64>(), N_EVENTS);
    let cart: Vec<&Value> = rows.iter().filter(|row| row["service"] == "shop").collect();
    assert_eq!(cart.len(), 2, "{cart:#?}");
    let now = cart.iter().find(|row| row["release"] == "2.0.0").unwrap();
    assert_eq!((&now["surface"], &now["class"]), (&json!("bounds"), &json!("index_oob")));
    assert_eq!(now["site"], "shop::cart::put::{{closure}} (shop/src/cart.rs)");
    assert_eq!((now["events"].as_u64(), now["aborted"].as_u64(), now["routes"].as_u64()), (Some(31), Some(1), Some(1)));
    assert_eq!((&now["first_seen"], &now["statuses"]), (&json!("2026-09-14T08:00:10.000Z"), &json!({"500": 30})));
    // The class says 422 and no retry of the same request: 500 contradicts both.
    let expected = json!({"blames_service": 30, "blames_client": 0, "retry_invited": 30});
    assert_eq!(now["contradictions"], expected);
    let before = cart.iter().find(|row| row["release"] == "1.9.9").unwrap();
    let expected = json!({"blames_service": 0, "blames_client": 0, "retry_invited": 0});
    assert_eq!(before["contradictions"], expected);
    let said = inventory["classes"].as_array().unwrap().iter().find(|said| said["class"] == "index_oob").unwrap();
    assert_eq!((&said["suggested"]["status"], &said["suggested"]["retry"]), (&json!(422), &json!("after_change")));
    assert!(said["suggested"]["problem_type"].as_str().unwrap().starts_with("urn:"), "{said}");
    assert!(said["phase1"].as_str().unwrap().contains("get(i)"), "{said}");
}

#[test]
fn rows_are_chosen_by_service_release_and_number() {
    let shelf = Shelf::new();
    let check = |arguments: &[&str], n_rows: usize, n_events: u64| {
        let inventory = shelf.json(&[&["surfaces"], arguments].concat());
        assert_eq!((rows(&inventory).len(), sum(rows(&inventory), "events")), (n_rows, n_events), "{arguments:?}");
    };
    check(&["--service", "shop"], 2, 41);
    check(&["--service", "shop", "--release", "1.9.9"], 1, 10);
    check(&["--release", "1.9.9"], 1, 10);
    check(&["--service", "sho"], 0, 0);
    // What ended a process comes first.
    check(&["--service", "shop", "--limit", "1"], 1, 31);
    assert!(shelf.ask(&["surfaces", "--service", "sho"]).starts_with("no panics are in the inventory"));
}

#[test]
fn the_table_fits_a_screen_and_says_what_to_write() {
    let shelf = Shelf::new();
    let table = shelf.ask(&["surfaces", "--service", "shop"]);
    assert!(table.lines().all(|line| line.chars().count() <= 120), "{table}");
    for expected in ["1 aborted, 30 degraded", "422, retry after change", "`get(i)` in place of `[i]`", "e.g."] {
        assert!(table.contains(expected), "{expected}\n{table}");
    }
    let last = table.split("\n\n").last().unwrap().replace('\n', " ");
    assert!(last.starts_with("2 of 2 rows, 41 events; 30 answered 5xx where the class says 4xx"), "{last}");
    let all = shelf.ask(&["surfaces"]);
    assert!(all.lines().all(|line| line.chars().count() <= 120), "{all}");
    assert!(all.contains("(--limit N for more)"), "{all}");
}

#[test]
fn a_spreadsheet_computes_nothing_of_it() {
    let csv = Shelf::new().ask(&["surfaces", "--format", "csv"]);
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    assert_eq!(reader.headers().unwrap().len(), 27);
    let mut n_events = 0;
    let mut hostile = 0;
    for record in reader.records() {
        let record = record.unwrap();
        assert!(record.iter().all(|field| !field.starts_with(['=', '+', '-', '@', '|', '%'])), "{record:?}");
        n_events += record[9].parse::<u64>().unwrap();
        hostile += usize::from(record[1].starts_with("'=cmd"));
    }
    assert_eq!((n_events, hostile), (N_EVENTS, 7));
}

/// The published schema. One of its patterns, that of `language`, has an unescaped `]`, which only lenient dialects of
/// regular expressions take for itself; the same pattern with the bracket escaped is read in its place.
fn sarif_schema() -> jsonschema::Validator {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/sarif/sarif-schema-2.1.0.json");
    let mut schema: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    for definition in ["run", "toolComponent"] {
        let pattern = format!("/definitions/{definition}/properties/language/pattern");
        *schema.pointer_mut(&pattern).unwrap() = json!(r"^[a-zA-Z]{2}|^[a-zA-Z]{2}-[a-zA-Z]{2}\]?$");
    }
    jsonschema::validator_for(&schema).unwrap()
}

fn faults(log: &Value) -> Vec<String> {
    sarif_schema().iter_errors(log).map(|fault| format!("{}: {fault}", fault.instance_path())).collect()
}

#[test]
fn the_log_is_sarif_with_a_rule_for_each_class_and_a_result_for_each_site() {
    let shelf = Shelf::new();
    let log: Value = serde_json::from_str(&shelf.ask(&["surfaces", "--format", "sarif"])).unwrap();
    assert_eq!(faults(&log), [""; 0]);
    let run = &log["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    let results = run["results"].as_array().unwrap();
    let n_events: u64 = results.iter().map(|result| result["occurrenceCount"].as_u64().unwrap()).sum();
    assert_eq!(n_events, N_EVENTS);
    let ids: BTreeSet<&str> = rules.iter().map(|rule| rule["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), rules.len());
    let (mut prints, mut n_with_line) = (BTreeMap::new(), 0);
    for result in results {
        let rule = &rules[usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap()];
        assert_eq!(rule["id"], result["ruleId"]);
        assert!(rule["help"]["text"].as_str().unwrap().starts_with("Phase 1: "), "{rule}");
        prints.insert(result["partialFingerprints"]["panicsiftSite/v1"].as_str().unwrap(), result);
        let physical = &result["locations"][0]["physicalLocation"];
        let line = physical["region"]["startLine"].as_u64();
        assert!(line.is_some_and(|line| line > 0) || physical.is_null(), "{result}");
        n_with_line += usize::from(line.is_some());
        // Nothing that a producer chose is in a message, and nothing in it is a link or a placeholder.
        let message = result["message"]["text"].as_str().unwrap();
        assert!(!message.contains("evil") && !message.contains("]("), "{message}");
        let bare = message.replace("{{", "").replace("}}", "");
        assert!(!bare.contains(['{', '}']), "{message}");
    }
    assert_eq!(prints.len(), results.len());
    assert!(n_with_line > 0, "code hosts need a line");
    let cart = results.iter().find(|result| result["properties"]["service"] == "shop").unwrap();
    assert_eq!((&cart["level"], &cart["occurrenceCount"]), (&json!("error"), &json!(41)));
    assert_eq!(cart["properties"]["releases"], json!(["1.9.9", "2.0.0"]));
    let place = &cart["locations"][0];
    assert_eq!(place["physicalLocation"]["artifactLocation"]["uri"], "shop/src/cart.rs");
    assert_eq!(place["logicalLocations"][0]["fullyQualifiedName"], "shop::cart::put::{{closure}}");
    // Again: the same bytes.
    let again: Value = serde_json::from_str(&shelf.ask(&["surfaces", "--format", "sarif"])).unwrap();
    assert_eq!(again, log);
}

#[test]
fn no_location_leads_out_of_the_repository() {
    let log: Value = serde_json::from_str(&Shelf::new().ask(&["surfaces", "--format", "sarif"])).unwrap();
    let results = log["runs"][0]["results"].as_array().unwrap();
    let hostile = results.iter().filter(|result| result["properties"]["service"].as_str().unwrap().contains("cmd|"));
    let uri = |result: &Value| {
        result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"].as_str().unwrap_or("none").to_owned()
    };
    let uris: BTreeSet<String> = hostile.map(uri).collect();
    let expected =
        ["etc/passwd", "https%3A/evil.example/x.rs%3Fq%23f", "javascript%3Aalert%281%29.rs", "none", "src/pay.rs"];
    let told: BTreeSet<&str> = uris.iter().map(String::as_str).filter(|uri| !uri.contains("%252e")).collect();
    assert_eq!(told, expected.into());
    assert_eq!(uris.len(), expected.len() + 1);
    for uri in results.iter().map(uri) {
        assert!(!uri.starts_with('/') && !uri.contains(':') && uri.split('/').all(|part| part != ".."), "{uri}");
    }
}

#[test]
fn the_schema_refuses_what_is_no_sarif() {
    let log: Value = serde_json::from_str(&Shelf::new().ask(&["surfaces", "--format", "sarif"])).unwrap();
    let check = |pointer: &str, value: Value| {
        let mut broken = log.clone();
        *broken.pointer_mut(pointer).unwrap() = value;
        assert!(!faults(&broken).is_empty(), "{pointer}");
    };
    check("/version", json!("2.0.0"));
    check("/runs/0/results/0/level", json!("fatal"));
    check("/runs/0/results/0/message", json!({}));
    check("/runs/0/tool/driver/name", Value::Null);
}

#[test]
fn models_of_a_configuration_are_used_and_their_faults_told() {
    let shelf = Shelf::new();
    let config = shelf.dir.path().join("config.toml");
    let write = |replacements: &str| {
        std::fs::write(shelf.dir.path().join("replacements.toml"), replacements).unwrap();
        let text = format!(
            "[source]\nbrokers = [\"k:9092\"]\ntopics = [\"panics\"]\n[privacy]\nkey = {{ file = {:?} }}\n\
             [models]\nreplacements = {:?}\n[dead_letters]\npath = {:?}\n",
            shelf.dir.path().join("key"),
            shelf.dir.path().join("replacements.toml"),
            shelf.dir.path().join("letters")
        );
        std::fs::write(&config, text).unwrap();
    };
    std::fs::write(shelf.dir.path().join("key"), "0123456789abcdef0123456789abcdef").unwrap();
    let built_in = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("models/replacements.toml"));
    write(&built_in.unwrap().replace("`get(i)` in place of `[i]`", "ask our library of rows"));
    let arguments = ["surfaces", "--service", "shop", "--config", config.to_str().unwrap()];
    let table = shelf.ask(&arguments);
    assert!(table.contains("ask our library of rows"), "{table}");
    write("version = \"1\"");
    let output = run(&shelf.path(), &arguments);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("models.replacements") && told.contains("an entry for bounds is missing"), "{told}");
}

#[test]
fn only_surfaces_are_told_in_sarif() {
    let shelf = Shelf::new();
    let output = run(&shelf.path(), &["list", "--format", "sarif"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("sarif is for `report surfaces`"));
}

#[test]
fn a_full_inventory_is_told_whole_and_soon() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("panicsift.db");
    let (mut store, mut service) = (Store::open(&path).unwrap(), Service::new());
    let lines: Vec<String> = (0..4_600)
        .map(|n| {
            let facts =
                json!({"release": format!("1.{}", n / 92), "panic": {"file": format!("shop/src/f{}.rs", n % 92)}});
            event(n, i64::try_from(n / 10).unwrap(), &facts)
        })
        .collect();
    lines.chunks(1_000).for_each(|lines| drop(service.take(lines, Some(&mut store))));
    service.close(&mut store);
    let bytes = |kind: &str| {
        let rows = store.load_state(kind).unwrap();
        (rows.len(), rows.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>())
    };
    let (n_rows, n_bytes) = bytes("surface");
    assert!(n_rows <= ROWS_MAX && n_rows > ROWS_MAX / 3, "{n_rows}");
    println!("{n_rows} rows, {n_bytes} bytes");
    drop(store);
    let inventory: Value = serde_json::from_str(&ask(&path, &["surfaces", "--format", "json"])).unwrap();
    assert_eq!((rows(&inventory).len(), sum(rows(&inventory), "events")), (n_rows, 4_600));
    // All sites are there, with their later releases told together where there was no room.
    let sites: BTreeSet<&str> = rows(&inventory).iter().map(|row| row["site"].as_str().unwrap()).collect();
    assert_eq!(sites.len(), 92);
    let log: Value = serde_json::from_str(&ask(&path, &["surfaces", "--format", "sarif"])).unwrap();
    assert_eq!(log["runs"][0]["results"].as_array().unwrap().len(), 92);
}

/// What a request that meets a poisoned lock looks like; the payload is odd, and its sender always another one.
fn poisoned(n: usize, second: i64, isolate: Option<&str>) -> String {
    let odd = ["' OR 1=1 --", "../../etc/passwd", "${jndi:ldap://x}", "<script>", "%00"][n % 5];
    event(
        n,
        second,
        &json!({
            "isolate": isolate.map(|id| json!({"id": id})),
            "client": {"ip": format!("198.51.{}.7", n % 50), "user_agent": format!("{odd}/{n}")},
            "endpoint": format!("POST /stock/{}", n % 7),
            "panic": {"message": "called `Result::unwrap()` on an `Err` value: PoisonError { .. }",
                      "file": "shop/src/stock.rs", "backtrace": ["shop::stock::reserve"]},
            "token": {"id_hash": format!("{n:016x}"), "scope": "admin:*", "valid": false},
            "request": {"payload": format!("{{\"a{n}\":\"{odd}\",\"b\":[{n},{{\"c\":\"{odd}{odd}\"}}]}}")},
        }),
    )
}

#[test]
fn a_storm_after_one_panic_raises_no_alert_and_is_told_as_its_consequence() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("panicsift.db");
    let (mut store, mut service) = (Store::open(&path).unwrap(), Service::new());
    let day: Vec<String> = (0..300).map(|n| event(n, 20 * i64::try_from(n).unwrap(), &json!({}))).collect();
    let mut alerts = service.take(&day, Some(&mut store));
    let isolate = json!({"isolate": {"id": "iso-1"}});
    alerts.extend(service.take(&[event(1_000, 6_100, &isolate)], Some(&mut store)));
    let second = |n: usize| 6_101 + i64::try_from(n / 4).unwrap();
    let rush: Vec<String> = (0..600).map(|n| poisoned(2_000 + n, second(n), (n % 10 > 0).then_some("iso-1"))).collect();
    for part in rush.chunks(50) {
        alerts.extend(service.take(part, Some(&mut store)));
    }
    alerts.extend(service.close(&mut store));
    drop(store);
    assert!(alerts.iter().all(|alert| alert.category != Category::HostileInput), "{alerts:?}");
    let [told] = alerts.as_slice() else { panic!("one storm is told: {alerts:?}") };
    assert!(told.category == Category::Storm && told.portrait.title.contains("fail together"), "{told:?}");
    let list: Value = serde_json::from_str(&ask(&path, &["list", "--format", "json"])).unwrap();
    let list = list.as_array().unwrap();
    assert!(list.iter().all(|row| row["verdict"] != "hostile" && row["points"].as_f64() <= Some(0.0)), "{list:?}");
    let export = ask(&path, &["export", "--format", "json"]);
    let clusters: Vec<Value> = export.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (secondary, others): (Vec<&Value>, Vec<&Value>) =
        clusters.iter().partition(|cluster| cluster["consequence"].is_object());
    assert!(!secondary.is_empty() && !others.is_empty());
    let total = |key: &str| secondary.iter().map(|cluster| cluster["consequence"][key].as_u64().unwrap()).sum::<u64>();
    assert_eq!((total("n_secondary"), total("n_known")), (600, 540));
    let cause = &secondary[0]["consequence"]["causes"][0];
    assert_eq!(cause["site"], "shop::cart::put::{{closure}} (shop/src/cart.rs)");
    assert!(others.iter().any(|cluster| cluster["cluster"] == cause["clusters"][0]), "{cause}");
    let id = secondary[0]["cluster"].as_str().unwrap();
    let shown = ask(&path, &["show", id]).replace('\n', " ");
    assert!(shown.contains("consequence of shop::cart::put::{{closure}} (shop/src/cart.rs) in c-"), "{shown}");
    assert!(shown.contains("cause unknown for "), "{shown}");
    let csv = ask(&path, &["show", id, "--format", "csv"]);
    assert!(csv.contains("consequence of,"), "{csv}");
}
