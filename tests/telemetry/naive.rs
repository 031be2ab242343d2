//! The same figures once more, from the raw events and the raw feed, as plainly as can be.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;

use panicsift::pipeline::classify::{PanicModel, classify};
use panicsift::pipeline::decode::derive_recovery;
use panicsift::pipeline::event::Millis;
use serde_json::Value;

/// Milliseconds of a window.
const WINDOW: i64 = 300_000;

/// One event, in the words of the report.
#[derive(Debug, Clone)]
pub(super) struct Event {
    pub(super) window: i64,
    pub(super) service: String,
    pub(super) endpoint: String,
    pub(super) release: String,
    pub(super) boundary: String,
    pub(super) class: String,
    pub(super) surface: String,
    pub(super) outcome: String,
    pub(super) handled: Option<bool>,
    pub(super) retry: String,
    pub(super) attempt: u64,
    pub(super) latency: Option<u64>,
}

/// One row of a feed that names no service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Total {
    pub(super) start: String,
    pub(super) endpoint: String,
    pub(super) release: String,
    pub(super) n: u64,
}

/// The text of a file, unpacked where it is packed.
pub(super) fn text(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap();
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return String::from_utf8(bytes).unwrap();
    }
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(bytes.as_slice()).read_to_string(&mut text).unwrap();
    text
}

fn word(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// Every event once.
pub(super) fn events(text: &str) -> Vec<Event> {
    let model = PanicModel::builtin().unwrap();
    let mut seen = BTreeSet::new();
    let mut events = Vec::new();
    for line in text.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        let service = word(&event["service"]).unwrap();
        if !seen.insert((service.clone(), word(&event["event_id"]).unwrap())) {
            continue;
        }
        let class = classify(&model, event["panic"]["message"].as_str().unwrap());
        let status = event["status"].as_u64().map(|status| u16::try_from(status).unwrap());
        let derived = serde_json::to_value(derive_recovery(event["handled"].as_bool(), status)).unwrap();
        let outcome = word(&event["recovery"]["outcome"]).unwrap_or_else(|| word(&derived).unwrap());
        let by_outcome = match outcome.as_str() {
            "recovered" | "degraded" => Some(true),
            "unknown" => None,
            _ => Some(false),
        };
        let endpoint = word(&event["endpoint"]).expect("the sets name every route");
        let method = word(&event["method"]).unwrap_or_default();
        assert!(endpoint.starts_with(&method));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "latencies of the sets are small")]
        let latency = event["latency_ms"].as_f64().map(|ms| ms.round() as u64);
        events.push(Event {
            window: Millis::parse(event["ts"].as_str().unwrap()).unwrap().0 / WINDOW * WINDOW,
            service,
            endpoint,
            release: word(&event["release"]).unwrap_or_else(|| "untold".to_owned()),
            boundary: word(&event["recovery"]["boundary"]).unwrap_or_else(|| "untold".to_owned()),
            class: class.class,
            surface: word(&serde_json::to_value(class.surface).unwrap()).unwrap(),
            outcome,
            handled: event["handled"].as_bool().or(by_outcome),
            retry: match event["retry"]["outcome"].as_str() {
                Some(word @ ("succeeded" | "failed" | "not_retried")) => word.to_owned(),
                _ => "unknown".to_owned(),
            },
            attempt: event["request"]["attempt"].as_u64().unwrap_or(1),
            latency,
        });
    }
    events
}

/// The rows of a feed as the sets have it: `window_start,endpoint,release,requests`, nothing quoted.
pub(super) fn totals(text: &str) -> Vec<Total> {
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("window_start,endpoint,release,requests"));
    let total = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        let [start, endpoint, release, n] = cells[..] else { panic!("{line}") };
        let owned = str::to_owned;
        Total { start: owned(start), endpoint: owned(endpoint), release: owned(release), n: n.parse().unwrap() }
    };
    lines.map(total).collect()
}

/// What one row says.
#[derive(Debug, Clone, Default)]
pub(super) struct Row {
    pub(super) panics: u64,
    pub(super) counts: BTreeMap<String, u64>,
    pub(super) latencies: Vec<u64>,
    pub(super) windows: BTreeSet<i64>,
    pub(super) windows_covered: u64,
    pub(super) panics_covered: u64,
    pub(super) requests: Option<u64>,
}

/// Rows by service (where they are a service's) and name.
pub(super) type Rows = BTreeMap<(Option<String>, String), Row>;

fn key(by: &str, event: &Event) -> (Option<String>, String) {
    let service = Some(event.service.clone());
    match by {
        "endpoint" => (service, event.endpoint.clone()),
        "release" => (service, event.release.clone()),
        "service" => (service, event.service.clone()),
        "outcome" => (None, event.outcome.clone()),
        "surface" => (None, event.surface.clone()),
        "class" => (None, event.class.clone()),
        "boundary" => (None, event.boundary.clone()),
        _ => panic!("{by}"),
    }
}

/// The rows of a report `by` something.
pub(super) fn rows(by: &str, events: &[Event], totals: &[Total]) -> Rows {
    let mut services_of: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for event in events {
        services_of.entry(&event.endpoint).or_default().insert(&event.service);
    }
    let all: BTreeSet<&str> = events.iter().map(|event| event.service.as_str()).collect();
    let owner = |endpoint: &str| match services_of.get(endpoint) {
        Some(services) if services.len() == 1 => services.first().copied(),
        _ if all.len() == 1 => all.first().copied(),
        _ => None,
    };
    let of_services = ["endpoint", "release", "service"].contains(&by);
    // Window, service, route, release → requests; the release counts where rows are releases.
    let mut routes = BTreeSet::new();
    let mut keys: BTreeMap<(i64, (Option<String>, String)), u64> = BTreeMap::new();
    let mut requests_of_all = None;
    for total in totals {
        let window = Millis::parse(&total.start).unwrap().0;
        let service = owner(&total.endpoint).map(str::to_owned);
        let release = if by == "release" { total.release.clone() } else { String::new() };
        routes.insert((window, service.clone(), total.endpoint.clone(), release));
        *requests_of_all.get_or_insert(0) += total.n;
        let name = match by {
            "endpoint" => total.endpoint.clone(),
            "release" => total.release.clone(),
            _ => service.clone().unwrap_or_default(),
        };
        if of_services && service.is_some() {
            *keys.entry((window, (service, name))).or_default() += total.n;
        }
    }
    let windows_with_totals: BTreeSet<i64> =
        totals.iter().map(|total| Millis::parse(&total.start).unwrap().0).collect();
    let mut rows = Rows::new();
    for ((_, key), n) in &keys {
        *rows.entry(key.clone()).or_default().requests.get_or_insert(0) += n;
    }
    for event in events {
        let row = rows.entry(key(by, event)).or_default();
        row.add(event);
        row.windows.insert(event.window);
        let release = if by == "release" { event.release.clone() } else { String::new() };
        let has = |service| routes.contains(&(event.window, service, event.endpoint.clone(), release.clone()));
        row.panics_covered += u64::from(has(Some(event.service.clone())) || (!of_services && has(None)));
    }
    for (key, row) in &mut rows {
        let has_own = |window: i64| keys.contains_key(&(window, key.clone()));
        let is_covered =
            |window: &&i64| if of_services { has_own(**window) } else { windows_with_totals.contains(window) };
        row.windows_covered = row.windows.iter().filter(is_covered).count() as u64;
        if !of_services {
            row.requests = requests_of_all;
        }
    }
    rows
}

impl Row {
    fn add(&mut self, event: &Event) {
        self.panics += 1;
        let handled = match event.handled {
            Some(true) => "handled",
            Some(false) => "unhandled",
            None => "handled_untold",
        };
        let outcome = if event.outcome == "unknown" { "recovery_unknown" } else { &event.outcome };
        let retry = match event.retry.as_str() {
            "not_retried" => "not_retried".to_owned(),
            word => format!("retry_{word}"),
        };
        let attempt = match event.attempt {
            n @ 0..=3 => format!("attempt_{}", n.max(1)),
            _ => "attempt_later".to_owned(),
        };
        for name in [handled, outcome, &retry, &attempt] {
            *self.counts.entry(name.to_owned()).or_default() += 1;
        }
        self.latencies.extend(event.latency);
    }

    /// Lower bound of the bin of a point of the latencies: four bins in each doubling, one for each of 0 to 3.
    pub(super) fn quantile(&self, permille: u64) -> Option<u64> {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() as u64 * permille).div_ceil(1_000).max(1);
        let value = *sorted.get(usize::try_from(rank).unwrap() - 1)?;
        let octave = value.checked_ilog2().filter(|octave| *octave >= 2);
        Some(octave.map_or(value, |octave| value / (1 << (octave - 2)) * (1 << (octave - 2))))
    }

    /// Panics in 10,000 requests with the ends of its interval, where that can be told.
    pub(super) fn rate(&self) -> Option<[f64; 3]> {
        let requests = self.requests.filter(|n| *n > 0 && self.panics_covered <= *n)?;
        let told = self.panics == 0 || self.panics_covered > 0;
        told.then(|| wilson(self.panics_covered, requests).map(|share| share * 10_000.0))
    }

    /// The share of panics that were caught, with the ends of its interval.
    pub(super) fn caught(&self) -> Option<[f64; 3]> {
        let n = |name: &str| self.counts.get(name).copied().unwrap_or(0);
        let (handled, all) = (n("handled"), n("handled") + n("unhandled"));
        (all > 0).then(|| wilson(handled, all))
    }
}

/// Estimate, lower and upper end of Wilson's interval of 95 %, as the roots of its quadratic equation.
#[expect(clippy::cast_precision_loss, reason = "counts of tests are small")]
fn wilson(k: u64, n: u64) -> [f64; 3] {
    const Z: f64 = 1.959_963_984_540_054;
    let (hits, cases) = (k as f64, n as f64);
    let share = hits / cases;
    // square·x² + linear·x + rest = 0
    let (square, linear, rest) = (1.0 + Z * Z / cases, -(2.0 * share + Z * Z / cases), share * share);
    let root = (linear * linear - 4.0 * square * rest).max(0.0).sqrt();
    [share, ((-linear - root) / (2.0 * square)).max(0.0), ((-linear + root) / (2.0 * square)).min(1.0)]
}
