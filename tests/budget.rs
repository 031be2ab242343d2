//! Error budgets against a second, naive implementation over the raw events, and as alerts and reports meet a user.
//!
//! The naive one reads the events' JSON and the request totals line by line and knows no ledger, tiers aside: which pages
//! a window is made of is part of what a window says. What it takes from the pipeline is the judge's word at the time.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use panicsift::edge::store::Store;
use panicsift::pipeline::alert::{Alert, Category, Change, Severity, Verdict};
use panicsift::pipeline::cell::text_id;
use panicsift::pipeline::event::{Batch, Checkpoint, Id, Millis, Position};
use panicsift::pipeline::operations::Rules;
use panicsift::pipeline::operations::budget::slo::{AlarmRule, STORED_AS, Scope, Slo};
use panicsift::pipeline::operations::budget::{Figures, end_of_data};
use panicsift::pipeline::operations::ledger::{Demand, Ledger, Span, Tier};
use panicsift::pipeline::operations::owners::Owners;
use panicsift::pipeline::operations::tally::Burn;
use panicsift::pipeline::state::{State, StateRow};
use panicsift::pipeline::surfaces::ReleaseKey;
use panicsift::pipeline::{Context, Memos, examine, fold};
use panicsift::report::{self, Format};
use serde_json::{Value, json};

use crate::support::context;
use crate::support::replay::demo_lines;

/// Five minutes in milliseconds.
const PAGE: i64 = 300_000;

/// Names the folder of the data sets, to run the proof on them, too.
const SETS: &str = "PANICSIFT_TEST_SETS";

/// Names a folder where the stores of the data sets are left, to ask them by hand.
const KEEP: &str = "PANICSIFT_TEST_KEEP";

#[expect(clippy::disallowed_methods, reason = "the folders are named by whoever runs the tests")]
fn named(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).map(PathBuf::from)
}

fn slo(name: &str, service: &str, objective: f64) -> Slo {
    Slo {
        name: name.to_owned(),
        tenant: String::new(),
        service: service.to_owned(),
        routes: Vec::new(),
        budget_ppm: Slo::budget_of(objective).unwrap(),
        window_days: 30,
        counts: [Burn::Real].into(),
        alarm: Some(AlarmRule { limits: [None; 3], events_min: AlarmRule::EVENTS_MIN }),
    }
}

/// A line of a traffic feed.
#[derive(Debug, Clone)]
struct Asked {
    start: i64,
    route: String,
    release: String,
    requests: u64,
}

/// The feed of a data set.
fn traffic(path: &Path) -> Vec<Asked> {
    let bytes = std::fs::read(path).unwrap();
    let mut text = String::new();
    if path.extension().is_some_and(|extension| extension == "gz") {
        flate2::read::GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).unwrap();
    } else {
        text = String::from_utf8(bytes).unwrap();
    }
    let mut rows = csv::Reader::from_reader(text.as_bytes());
    let asked = rows.records().map(|row| {
        let row = row.unwrap();
        Asked {
            start: Millis::parse(&row[0]).unwrap().0,
            route: row[1].to_owned(),
            release: row[2].to_owned(),
            requests: row[3].parse().unwrap(),
        }
    });
    asked.collect()
}

/// A made-up feed for the demo's events: every route of theirs in most windows, never fewer requests than panics.
fn made_up_traffic(events: &[Value]) -> Vec<Asked> {
    let mut panics: BTreeMap<(i64, String), u64> = BTreeMap::new();
    let routes: BTreeSet<&str> = events.iter().map(|event| event["endpoint"].as_str().unwrap()).collect();
    let times = events.iter().map(time);
    let (first, last) = (times.clone().min().unwrap() / PAGE, times.max().unwrap() / PAGE);
    for event in events {
        *panics.entry((time(event) / PAGE, event["endpoint"].as_str().unwrap().to_owned())).or_default() += 1;
    }
    let mut asked = Vec::new();
    for page in first..=last {
        // Two gaps in the feed.
        if [3, 17, 18, 19].contains(&(page - first)) {
            continue;
        }
        for (n, route) in (0..).zip(&routes) {
            let panics = panics.get(&(page, (*route).to_owned())).copied().unwrap_or(0);
            let requests = panics * 3 + 7 + u64::try_from(page % 11).unwrap() * n;
            asked.push(Asked {
                start: page * PAGE,
                route: (*route).to_owned(),
                release: "4.17.2".to_owned(),
                requests,
            });
        }
    }
    asked
}

fn time(event: &Value) -> i64 {
    Millis::parse(event["ts"].as_str().unwrap()).unwrap().0
}

/// Rows of a ledger that knows of these requests and of nothing else.
fn rows_of(context: &Context, asked: &[Asked]) -> Vec<StateRow> {
    let (mut ledger, tenant) = (Ledger::default(), context.keys.name(b""));
    for one in asked {
        let release = ReleaseKey::One(text_id(tenant, &one.release));
        let demand = Demand { service: None, route: context.keys.name(one.route.as_bytes()), release };
        ledger.count_requests(Millis(one.start), demand, one.requests).unwrap();
    }
    let mut rows = Vec::new();
    for tier in Tier::ALL {
        let all = Span { from: Millis(i64::MIN), to: Millis(i64::MAX), tier };
        for (start, page) in ledger.pages(all) {
            let row = StateRow::of("ledger", &(tier, start), Some(page)).unwrap();
            rows.push(StateRow { key: [&tenant.0.to_be_bytes()[..], &row.key].concat(), ..row });
        }
    }
    rows
}

/// One event as the naive implementation sees it.
#[derive(Debug)]
struct Fact {
    time: i64,
    service: String,
    route: String,
    burn: usize,
}

/// What an event does to a budget, from its JSON and the judge's word: the place in [`Burn::ALL`].
fn burn(event: &Value, hostile: bool) -> usize {
    if hostile {
        return 2;
    }
    let (status, handled) = (event["status"].as_u64(), event["handled"].as_bool());
    let outcome = event["recovery"]["outcome"].as_str().unwrap_or(match (handled, status) {
        (Some(false), _) => "escaped",
        (Some(true), _) => "recovered",
        (None, Some(status)) if !(502..=504).contains(&status) => "recovered",
        (None, _) => "unknown",
    });
    let made_good = event["retry"]["outcome"] == "succeeded";
    let failed = status.is_some_and(|status| status >= 500);
    match outcome {
        "escaped" | "aborted" | "suspected_abort" => 0,
        _ if failed && !made_good => 0,
        "unknown" if status.is_none() => 4,
        _ => 1,
    }
}

/// A service that takes events in, with what its store would have.
struct Service {
    context: Context,
    state: State,
    memos: Memos,
    rows: BTreeMap<(&'static str, Vec<u8>), Vec<u8>>,
    alerts: Vec<Alert>,
    facts: Vec<Fact>,
    n_taken: i64,
}

impl Service {
    /// One that knows of all requests from the start.
    fn new(slos: Vec<Slo>, asked: &[Asked]) -> Self {
        let operations = Rules { slos, ..Rules::default() };
        let context = Context { operations, ..context() };
        let mut service = Self {
            state: State::new(&context.clustering),
            context,
            memos: Memos::default(),
            rows: BTreeMap::new(),
            alerts: Vec::new(),
            facts: Vec::new(),
            n_taken: 0,
        };
        service.keep(rows_of(&service.context, asked));
        service.restart();
        service
    }

    fn keep(&mut self, rows: Vec<StateRow>) {
        for StateRow { kind, key, value } in rows {
            match value {
                Some(value) => self.rows.insert((kind, key), value),
                None => self.rows.remove(&(kind, key)),
            };
        }
    }

    /// Forgets all but what is stored.
    fn restart(&mut self) {
        let rows = &self.rows;
        let load = |kind: &str| {
            let of_kind = rows.iter().filter(|((of, _), _)| *of == kind);
            Ok::<_, ()>(of_kind.map(|((_, key), value)| (key.clone(), value.clone())).collect())
        };
        let (state, n_unreadable) = State::restore(&self.context.clustering, load).unwrap();
        assert_eq!(n_unreadable, 0);
        self.state = state;
    }

    /// Takes events in, an epoch at a time, and notes what the judge thinks of each when it is counted.
    fn take(&mut self, lines: &[String]) {
        let mut batch = Batch::default();
        for line in lines {
            batch.push(Position { topic: "panics", partition: 0, offset: self.n_taken }, None, line.as_bytes());
            self.n_taken += 1;
        }
        let mut seen: Vec<_> = batch
            .iter()
            .zip(lines)
            .map(|(record, line)| {
                let event: Value = serde_json::from_str(line).unwrap();
                (examine(&self.context, &mut self.memos, record).into_observation().unwrap(), event)
            })
            .collect();
        seen.sort_by_key(|(o, _)| o.time);
        let epoch = i64::from(self.context.clustering.epoch_secs) * 1_000;
        while !seen.is_empty() {
            let begin = seen[0].0.time.0.div_euclid(epoch);
            let n = seen.iter().take_while(|(o, _)| o.time.0.div_euclid(epoch) == begin).count();
            let step = fold(&self.context, &mut self.state, Vec::new(), Some(seen[0].0.time));
            self.alerts.extend(step.alerts);
            self.keep(step.rows);
            let mut group = Vec::new();
            for (o, event) in seen.drain(..n) {
                let hostile = self.state.whereabouts(&o.cell, o.actor).verdict == Verdict::Hostile;
                let text = |key: &str| event[key].as_str().unwrap().to_owned();
                let (service, route) = (text("service"), text("endpoint"));
                self.facts.push(Fact { time: o.time.0, service, route, burn: burn(&event, hostile) });
                group.push(o);
            }
            let step = fold(&self.context, &mut self.state, group, None);
            assert!(step.duplicates.is_empty());
            self.alerts.extend(step.alerts);
            self.keep(step.rows);
        }
    }

    fn id(&self, text: &str) -> Id {
        self.context.keys.name(text.as_bytes())
    }

    fn ledger(&self) -> &Ledger {
        self.state.tenants().next().unwrap().1.operations().ledger()
    }

    fn budget_alerts(&self) -> Vec<&Alert> {
        self.alerts.iter().filter(|alert| alert.category == Category::ErrorBudget).collect()
    }

    /// A store of it, and the objectives in it.
    fn store(&self, path: &Path) {
        let mut store = Store::open(path).unwrap();
        let rows = self.rows.iter().map(|((kind, key), value)| StateRow {
            kind,
            key: key.clone(),
            value: Some(value.clone()),
        });
        store.commit(&rows.collect::<Vec<_>>(), &self.alerts, &Checkpoint::default()).unwrap();
        store.set_meta(STORED_AS, &serde_json::to_string(&self.context.operations.slos).unwrap()).unwrap();
    }
}

/// The naive figures of a window of `millis` up to `end` in pages of `page`: from, to, events, events beside requests,
/// requests.
fn naive(
    facts: &[Fact],
    asked: &[Asked],
    slo: &Slo,
    (millis, end, page): (i64, i64, i64),
) -> (i64, i64, [u64; 5], [u64; 5], u64) {
    let ours = |route: &String| slo.routes.is_empty() || slo.routes.contains(route);
    let (from, mut to) = ((end - millis) / page * page, end / page * page);
    if to < end {
        to += page;
    }
    let mut by_page: BTreeMap<i64, u64> = BTreeMap::new();
    for one in asked.iter().filter(|one| (from..to).contains(&one.start)) {
        *by_page.entry(one.start / page).or_default() += one.requests;
    }
    let (mut events, mut beside) = ([0; 5], [0; 5]);
    for fact in facts.iter().filter(|fact| (from..to).contains(&fact.time)) {
        if fact.service == slo.service && ours(&fact.route) {
            events[fact.burn] += 1;
            beside[fact.burn] += u64::from(by_page.get(&(fact.time / page)).is_some_and(|requests| *requests > 0));
        }
    }
    let requests = by_page.values().sum();
    (from, to, events, beside, requests)
}

/// Whether requests of a route are an objective's: the feed names no service, so they are of the one service that panics
/// there, or of the only one there is; where nobody panics, of an objective that names the route.
fn is_asked(facts: &[Fact], slo: &Slo, route: &str) -> bool {
    let there = |fact: &&Fact| fact.route == route;
    let others = |fact: &Fact| fact.service != slo.service;
    let named = slo.routes.iter().any(|one| one == route);
    if !slo.routes.is_empty() && !named {
        return false;
    }
    match (facts.iter().any(|fact| there(&fact)), facts.iter().filter(there).any(others)) {
        (true, shared) => !shared,
        (false, _) => named || !facts.iter().any(others),
    }
}

/// Holds all figures of an objective at a time against the naive ones; gives those of its own window.
#[track_caller]
fn prove(service: &Service, asked: &[Asked], slo: &Slo, at: i64) -> [u64; 5] {
    let routes = slo.routes.iter().map(|route| service.id(route)).collect();
    let scope = Scope::new(&Owners::of(service.ledger()), service.id(&slo.service), routes);
    let end = end_of_data(service.ledger(), &scope, Millis(at));
    let routes: BTreeSet<&String> = asked.iter().map(|one| &one.route).collect();
    let asks: BTreeSet<&String> = routes.into_iter().filter(|route| is_asked(&service.facts, slo, route)).collect();
    let asked: Vec<Asked> = asked.iter().filter(|one| asks.contains(&one.route)).cloned().collect();
    let over = at / PAGE * PAGE;
    let ends = asked.iter().map(|one| one.start + PAGE).filter(|end| *end <= over && over - *end < 3_600_000);
    assert_eq!(end.0, ends.max().unwrap_or(over));
    let figures = Figures::of(slo, &scope, service.ledger(), end);
    let mut own = [0; 5];
    assert_eq!(figures.windows.len(), 8);
    for window in &figures.windows {
        let page = if window.span.tier == Tier::Hours { 3_600_000 } else { PAGE };
        let (from, to, events, beside, requests) = naive(&service.facts, &asked, slo, (window.millis, end.0, page));
        assert_eq!((window.span.from.0, window.span.to.0), (from, to), "{window:?}");
        assert_eq!((Burn::ALL.map(|burn| window.events.get(burn)), window.requests), (events, requests), "{window:?}");
        assert_eq!(window.events.total(), events.iter().sum::<u64>());
        for (burn, n) in Burn::ALL.into_iter().zip(beside) {
            let n_all: u64 = beside.iter().sum();
            // Both products are whole numbers below 2^53, so that one division rounds once.
            let [n, requests_f64] = [n, requests].map(|n| f64::from(u32::try_from(n).unwrap()));
            let exact = n * 1e6 / (requests_f64 * f64::from(slo.budget_ppm));
            let expected = (requests > 0 && n_all <= requests).then_some(exact);
            assert_eq!(window.burn(slo, burn), expected, "{burn:?} {window:?}");
            if let Some(burn) = expected {
                let by_definition = n / requests_f64 / (1.0 - slo.objective());
                assert!((burn - by_definition).abs() <= 1e-9 * burn.max(1.0));
            }
        }
        own = events;
    }
    own
}

fn objectives(service: &str, routes: &[&str]) -> Vec<Slo> {
    let all = slo("all", service, 0.99);
    let some = Slo { routes: routes.iter().map(|route| (*route).to_owned()).collect(), ..slo("some", service, 0.995) };
    let both = Slo { counts: [Burn::Real, Burn::Hostile].into(), window_days: 7, ..slo("both", service, 0.999) };
    vec![all, some, both]
}

#[test]
fn the_figures_are_those_of_a_naive_count_over_the_demos_events() {
    let lines = demo_lines(usize::MAX);
    let events: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let asked = made_up_traffic(&events);
    let slos = objectives("storefront-api", &["POST /v1/orders", "GET /v1/search"]);
    let mut service = Service::new(slos.clone(), &asked);
    service.take(&lines);
    let last = time(events.last().unwrap());
    for at in
        [last / PAGE * PAGE + PAGE, last - 3_600_000, last - 4 * 3_600_000 + 17, last + 1_800_000, last + 86_400_000]
    {
        for slo in &slos {
            prove(&service, &asked, slo, at);
        }
    }
    let own = prove(&service, &asked, &slos[0], last / PAGE * PAGE + PAGE);
    assert_eq!(own.iter().sum::<u64>(), 4_386);
    assert!(own[0] > 0 && own[1] > 0 && own[2] > 0, "real, transient and hostile panics: {own:?}");
}

/// An event of the shop at `second`.
fn shop(n: usize, second: i64, status: u16) -> String {
    let ts = Millis(1_789_372_800_000 + second * 1_000).to_string();
    let event = json!({
        "event_id": format!("e-{n}"), "ts": ts, "service": "shop", "release": "2.0.0", "endpoint": "POST /cart",
        "method": "POST", "path": "/cart", "status": status, "handled": true,
        "panic": {"message": "index out of bounds: the len is 3 but the index is 9", "file": "shop/src/cart.rs",
                  "line": 4, "column": 2, "backtrace": ["core::panicking::panic_fmt", "shop::cart::put"]},
        "client": {"ip": format!("203.0.{}.{}", n / 200 % 200, n % 200 + 1), "user_agent": "app/1"},
        "request": {"payload": "{\"sku\":\"A\"}", "payload_encoding": "utf8"},
    });
    event.to_string()
}

/// Four hours of a shop: half of all requests fail in the second hour. A panic a minute besides, made good.
fn bad_hour() -> (Vec<String>, Vec<Asked>) {
    let base = 1_789_372_800_000;
    let (route, release) = ("POST /cart".to_owned(), "2.0.0".to_owned());
    let asked = (0..48).map(|page| Asked {
        start: base + page * PAGE,
        route: route.clone(),
        release: release.clone(),
        requests: 30,
    });
    let calm = (0..240).map(|minute| (minute * 60, 400));
    let failing = (0..180).map(|n| (3_600 + n * 20, 500));
    let mut seconds: Vec<(i64, u16)> = calm.chain(failing).collect();
    seconds.sort_unstable();
    let lines = seconds.into_iter().enumerate().map(|(n, (second, status))| shop(n, second, status));
    (lines.collect(), asked.collect())
}

#[test]
fn a_budget_that_burns_is_told_once_and_once_when_it_is_over() {
    let (lines, asked) = bad_hour();
    let mut service = Service::new(vec![slo("cart", "shop", 0.99)], &asked);
    service.take(&lines);
    let alerts = service.budget_alerts();
    let changes: Vec<Change> = alerts.iter().map(|alert| alert.change).collect();
    assert_eq!(changes, [Change::Opened, Change::Closed], "{alerts:#?}");
    let minute = |alert: &Alert| (Millis::parse(&alert.at).unwrap().0 - 1_789_372_800_000) / 60_000;
    let [opened, closed] = alerts.as_slice() else { unreachable!() };
    assert!((75..=95).contains(&minute(opened)) && (125..=165).contains(&minute(closed)), "{alerts:#?}");
    assert_eq!(opened.portrait.severity, Severity::Critical);
    assert!(opened.portrait.title.contains("of requests to shop failed (objective 99 %)"), "{}", opened.portrait.title);
    let long = opened.findings.iter().find(|finding| finding.name == "long_burn_1h").unwrap();
    assert!(long.met && long.limit == Some(14.4) && long.value.unwrap() > 14.4, "{long:?}");
    assert!(
        opened.findings.iter().any(|finding| finding.name == "not_counted_1h" && finding.words.contains("transient"))
    );
    assert_eq!(opened.portrait.routes[0].name, "POST /cart");
    assert_eq!(opened.portrait.releases[0].name, "2.0.0");
    assert!(opened.cluster.starts_with("budget-") && opened.cluster == closed.cluster);
}

#[test]
fn a_restart_after_every_batch_changes_no_alert() {
    let (lines, asked) = bad_hour();
    let mut straight = Service::new(vec![slo("cart", "shop", 0.99)], &asked);
    straight.take(&lines);
    let mut restarted = Service::new(vec![slo("cart", "shop", 0.99)], &asked);
    for lines in lines.chunks(23) {
        restarted.take(lines);
        restarted.restart();
    }
    assert_eq!(restarted.budget_alerts(), straight.budget_alerts());
    assert_eq!(restarted.ledger(), straight.ledger());
}

#[test]
fn an_objective_that_is_taken_away_closes_its_alert_and_one_without_alerts_has_none() {
    let (lines, asked) = bad_hour();
    let mut service = Service::new(vec![slo("cart", "shop", 0.99)], &asked);
    // To the middle of the bad hour: 90 calm panics and as many that fail.
    let (begin, rest) = lines.split_at(180);
    service.take(begin);
    assert_eq!(service.budget_alerts().len(), 1);
    service.context.operations.slos.clear();
    service.take(rest);
    let alerts = service.budget_alerts();
    assert_eq!(alerts.len(), 2);
    assert!(alerts[1].portrait.title.contains("not in the configuration any more"));
    for silent in
        [Slo { alarm: None, ..slo("cart", "shop", 0.99) }, slo("cart", "another", 0.99), slo("c", "shop", 0.3)]
    {
        let mut service = Service::new(vec![silent], &asked);
        service.take(&lines);
        assert!(service.budget_alerts().is_empty());
    }
    let mut blind = Service::new(vec![slo("cart", "shop", 0.99)], &[]);
    blind.take(&lines);
    assert!(blind.budget_alerts().is_empty(), "without requests nothing can be said");
}

fn ask(store: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_panicsift"));
    command.args(["report", "budget", "--store", store.to_str().unwrap()]).args(words).output().unwrap()
}

#[test]
fn the_report_tells_the_stores_objectives_in_three_forms() {
    let (lines, asked) = bad_hour();
    let mut service = Service::new(vec![slo("cart", "shop", 0.99)], &asked);
    service.take(&lines);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shop.db");
    service.store(&path);
    let told = |words: &[&str]| {
        let output = ask(&path, words);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let json = told(&["--format", "json"]);
    let mut again = Vec::new();
    let (question, slos) = (report::budget::Question::default(), &service.context.operations.slos);
    report::budget::tell(&service.state, &question, slos, Format::Json, &mut again).unwrap();
    assert_eq!(json.as_bytes(), again, "the store says what the state says");
    let value: Value = serde_json::from_str(&json).unwrap();
    let own = &value["slos"][0]["windows"][7];
    assert_eq!((own["window"].as_str(), own["requests"].as_u64()), (Some("30d"), Some(1_440)));
    assert_eq!((own["events"]["real"].as_u64(), own["events"]["transient"].as_u64()), (Some(180), Some(240)));
    // 180 of 1,440 fail where 14.4 may.
    assert_eq!(own["burn_rates"]["real"].as_f64(), Some(12.5));
    assert_eq!(value["slos"][0]["budget"]["used"].as_f64(), Some(12.5));
    let table = told(&[]);
    for line in [
        "cart: 99 % of requests to shop in 30 d",
        "budget: 180 of 14.4 failures that 1440 requests allow (1250.00 %), known for 4 h 0 min of 30 d",
        "alert: none is open",
    ] {
        assert!(table.contains(line), "{line} is not in\n{table}");
    }
    let csv = told(&["--format", "csv"]);
    assert_eq!((csv.lines().count(), csv.lines().next().unwrap().split(',').count()), (9, 23));
    let typed = told(&["--service", "shop", "--objective", "0.99", "--route", "POST /cart", "--format", "json"]);
    let typed: Value = serde_json::from_str(&typed).unwrap();
    assert_eq!(typed["slos"][0]["windows"], value["slos"][0]["windows"]);
    let earlier = told(&["--at", "2h", "--format", "json"]);
    let earlier: Value = serde_json::from_str(&earlier).unwrap();
    assert_eq!(earlier["slos"][0]["end"], "2026-09-14T10:00:00.000Z");
    assert_eq!(earlier["slos"][0]["alert"]["pairs"][0]["fires"], true);
}

#[test]
fn what_cannot_be_told_is_a_clear_error_or_a_clear_note() {
    let (lines, asked) = bad_hour();
    let mut service = Service::new(vec![slo("cart", "shop", 0.99), slo("other", "elsewhere", 0.9)], &asked);
    service.take(&lines);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shop.db");
    service.store(&path);
    let refused = |store: &Path, words: &[&str], expected: &str| {
        let output = ask(store, words);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && told.contains(expected), "{words:?}: {told}");
    };
    refused(&path, &["--slo", "nobody"], "there is no objective \"nobody\"; there are \"cart\", \"other\"");
    refused(&path, &["--service", "shp", "--objective", "0.9"], "the service \"shp\" is known; there is \"shop\"");
    let route = ["--service", "shop", "--objective", "0.9", "--route", "GET /cart"];
    refused(&path, &route, "the route \"GET /cart\" is known; there is \"POST /cart\"");
    refused(&path, &["--at", "2026-09-15T00:00:00Z"], "nothing is known of 2026-09-15T00:00:00.000Z");
    refused(&path, &["--service", "shop", "--objective", "1"], "is no objective");
    refused(&path, &["--service", "shop", "--objective", "0.9", "--window", "33d"], "is no window");
    refused(&path, &["--service", "shop"], "--objective");
    refused(&path, &["--format", "sarif"], "this question has no answer in that form");
    let empty = dir.path().join("empty.db");
    drop(Store::open(&empty).unwrap());
    refused(&empty, &[], "no objective is known");
    refused(&empty, &["--service", "shop", "--objective", "0.9"], "no events to report on yet");
    let told = String::from_utf8(ask(&path, &["--slo", "other"]).stdout).unwrap();
    assert!(told.contains("note: no event and no request of the service \"elsewhere\" is known"), "{told}");
    assert!(told.contains("budget: it cannot be said"), "{told}");
    let mut blind = Service::new(vec![slo("cart", "shop", 0.99)], &[]);
    blind.take(&lines);
    let path = dir.path().join("blind.db");
    blind.store(&path);
    let told = String::from_utf8(ask(&path, &[]).stdout).unwrap();
    assert!(told.contains("there is no denominator"), "{told}");
}

/// The proof on whole data sets: with `PANICSIFT_TEST_SETS=/path cargo test --test it budget -- --nocapture`.
#[test]
fn the_figures_of_whole_data_sets_are_those_of_a_naive_count() {
    let Some(sets) = named(SETS) else {
        eprintln!("skipped: {SETS} names no folder of data sets");
        return;
    };
    let mut n_sets = 0;
    for dir in std::fs::read_dir(&sets).unwrap().map(|entry| entry.unwrap().path()) {
        let feed = ["traffic_5min.csv", "traffic_5min.csv.gz"].map(|name| dir.join(name));
        let Some(feed) = feed.iter().find(|path| path.exists()) else { continue };
        let mut text = String::new();
        let file = std::fs::File::open(dir.join("events.jsonl.gz")).unwrap();
        flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let mut services: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
        for line in &lines {
            let event: Value = serde_json::from_str(line).unwrap();
            let text = |key: &str| event[key].as_str().unwrap().to_owned();
            *services.entry(text("service")).or_default().entry(text("endpoint")).or_default() += 1;
        }
        let asked = traffic(feed);
        let slos: Vec<Slo> = services
            .iter()
            .flat_map(|(name, routes)| {
                let busiest = routes.iter().max_by_key(|(_, n)| **n).unwrap().0;
                objectives(name, &[busiest])
                    .into_iter()
                    .map(move |slo| Slo { name: format!("{name}-{}", slo.name), ..slo })
            })
            .collect();
        let mut service = Service::new(slos.clone(), &asked);
        service.take(&lines);
        let last = service.facts.iter().map(|fact| fact.time).max().unwrap();
        for hours in 0..6 {
            for slo in &slos {
                let own = prove(&service, &asked, slo, last / PAGE * PAGE + PAGE - hours * 3_600_000);
                println!("{} {} −{hours} h: {own:?} {:?}", dir.display(), slo.name, Burn::ALL.map(Burn::name));
            }
        }
        for alert in service.budget_alerts() {
            println!("{} {:?} {:?} {}", alert.at, alert.change, alert.portrait.severity, alert.portrait.title);
        }
        let out = dir.file_name().unwrap().to_str().unwrap().to_owned();
        if let Some(kept) = named(KEEP) {
            service.store(&kept.join(format!("{out}.db")));
        }
        n_sets += 1;
    }
    assert!(n_sets > 0, "no data set in {}", sets.display());
}
