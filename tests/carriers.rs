//! Every carrier by its captures in `tests/data/carriers`: told apart, and through the whole service to a cluster.
//!
//! A capture is one file; where its records end is told by its kind: an array, an envelope or a Protobuf file is one
//! record, of any other file a line is one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use panicsift::pipeline::decode::{Feed, Feeds, decode};
use panicsift::pipeline::event::{Carrier, Id, Millis, Position, RawRecord};
use panicsift::pipeline::gather::GatherPolicy;
use panicsift::pipeline::observation::Heard;
use panicsift::pipeline::sift::{Sift, Sifted};
use serde_json::Value;

use crate::support::context;
use crate::support::embedded::Solo;
use crate::support::service::panicsift;

/// A file of records that a real carrier brought.
struct Capture {
    name: String,
    carrier: Carrier,
    /// Lines that do not speak for themselves.
    is_plain: bool,
    records: Vec<Vec<u8>>,
}

impl Capture {
    fn read(path: &Path, root: &Path) -> Option<Self> {
        let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        let kind = path.extension().and_then(|kind| kind.to_str()).unwrap_or_default();
        let carrier = match name.as_str() {
            _ if kind == "md" => return None,
            name if name.starts_with("tail_") => Carrier::CloudflareTail,
            name if name.starts_with("cloudflare_logpush") => Carrier::CloudflareLogpush,
            name if name.starts_with("cloudflare_http_requests") => Carrier::CloudflareHttpRequests,
            name if name.starts_with("request_totals") => Carrier::RequestTotals,
            name if name.starts_with("request_sample") => Carrier::RequestSample,
            name if name.starts_with("sentry/") => Carrier::Sentry,
            name if name.starts_with("otlp/") => Carrier::Otlp,
            name if name.starts_with("text/") => Carrier::Text,
            name => panic!("{name}: of which carrier is it?"),
        };
        let whole = std::fs::read(path).unwrap();
        let is_one = matches!(kind, "json" | "pb") || name.starts_with("sentry/envelope");
        let records = if is_one {
            vec![whole]
        } else {
            whole.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect()
        };
        let is_plain = kind == "txt" && carrier == Carrier::Text;
        Some(Self { name, carrier, is_plain, records })
    }

    /// Its topic.
    fn topic(&self) -> String {
        self.name.replace(|c: char| !c.is_ascii_alphanumeric(), "-")
    }

    /// What a configuration says of its topic: a service for what names none, and of text, whose lines do not speak for
    /// themselves, that it is text.
    fn feed(&self) -> Feed {
        let carrier = Some(self.carrier).filter(|carrier| *carrier == Carrier::Text);
        Feed { carrier, service: self.topic(), ..Feed::default() }
    }

    fn raw<'a>(topic: &'a str, offset: usize, payload: &'a [u8]) -> RawRecord<'a> {
        let position = Position { topic, partition: 0, offset: i64::try_from(offset).unwrap() };
        RawRecord { position, broker_time: Some(Millis(1_795_400_000_000)), headers: &[], payload }
    }
}

fn captures() -> Vec<Capture> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/carriers");
    let mut folders = vec![root.clone()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.extend(Capture::read(&path, &root));
            }
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    let carriers: BTreeSet<Carrier> = found.iter().map(|capture| capture.carrier).collect();
    assert_eq!(carriers.len(), Carrier::ALL.len() - 1, "a capture of each carrier but the canonical one is needed");
    found
}

/// How the records of each carrier are told, without a word from header or configuration.
#[test]
fn no_record_of_one_carrier_is_taken_for_another_s() {
    let demo = include_str!("../schemas/examples/panic-event.json-body.json");
    let records = vec![demo.as_bytes().to_vec()];
    let canonical = Capture { name: "canonical".to_owned(), carrier: Carrier::Canonical, is_plain: false, records };
    let mut matrix: BTreeMap<(Carrier, Carrier), usize> = BTreeMap::new();
    for capture in captures().into_iter().chain([canonical]) {
        // Lines of text are text by their topic; whole blocks and envelopes speak for themselves.
        let joined = [capture.records.join(&b"\n"[..])];
        for (offset, record) in if capture.is_plain { &joined[..] } else { &capture.records[..] }.iter().enumerate() {
            let told = decode(&Feed::default(), Capture::raw("any", offset, record)).carrier;
            *matrix.entry((capture.carrier, told)).or_default() += 1;
            assert_eq!(told, capture.carrier, "{}, record {offset}", capture.name);
        }
    }
    assert_eq!(matrix.len(), Carrier::ALL.len(), "{matrix:?}");
}

/// Service of each event of a capture, as the first stage sees them. OTLP tells the same panics as JSON and as Protobuf,
/// which are the same events.
fn events(capture: &Capture) -> BTreeMap<Id, String> {
    let mut context = context();
    context.feeds = Feeds::new(BTreeMap::new(), capture.feed());
    context.gathering = GatherPolicy::FILES;
    let (mut sift, mut heard, topic) = (Sift::default(), Heard::default(), capture.topic());
    for (offset, record) in capture.records.iter().enumerate() {
        let told = sift.take(&context, Capture::raw(&topic, offset, record), &mut heard);
        assert!(!matches!(told, Sifted::Refused(..)), "{}, record {offset}: {told:?}", capture.name);
    }
    let mut rest = sift.flush();
    let mut seen = heard.panics;
    assert_eq!(sift.observe(&context, &mut rest, &mut seen), []);
    let n_seen = seen.len();
    let events: BTreeMap<Id, String> = seen.into_iter().map(|one| (one.event, one.service.into_owned())).collect();
    assert_eq!(events.len(), n_seen, "{}: an event comes twice", capture.name);
    events
}

#[tokio::test(flavor = "multi_thread")]
async fn every_capture_goes_from_its_topic_to_clusters() {
    let captures = captures();
    let topics: Vec<String> = captures.iter().map(Capture::topic).collect();
    let feed = |capture: &Capture| {
        let Feed { carrier, service, .. } = capture.feed();
        let carrier = carrier.map_or(String::new(), |carrier| format!("carrier = \"{}\"\n", carrier.name()));
        format!("[source.feed.{}]\n{carrier}service = \"{service}\"\n", capture.topic())
    };
    let feeds = captures.iter().map(feed).collect::<Vec<_>>().concat();
    let topics: Vec<(&str, i32)> = topics.iter().map(|topic| (topic.as_str(), 1)).collect();
    let solo = Solo::over(&topics, &feeds, "");
    let (mut n_records, mut distinct, mut telling) = (0, BTreeMap::new(), BTreeSet::new());
    for capture in &captures {
        solo.send_in_order(&capture.topic(), &capture.records);
        n_records += capture.records.len();
        let events = events(capture);
        telling.extend(Some(capture.carrier).filter(|_| !events.is_empty()));
        distinct.extend(events);
    }
    assert_eq!(
        telling.len(),
        Carrier::ALL.len() - 4,
        "all but request logs, totals and samples, and the canonical carrier, tell of panics"
    );
    let mut expected: BTreeMap<String, usize> = BTreeMap::new();
    for service in distinct.into_values() {
        *expected.entry(service).or_default() += 1;
    }
    let sum = |metrics: &str, series: &str| -> usize {
        let lines = metrics.lines().filter(|line| line.starts_with(series));
        lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<usize>().unwrap()).sum()
    };
    let store = solo.path("store.db");
    let found = || {
        let told = panicsift(&["report", "export", "--format", "json", "--store", store.to_str().unwrap()]);
        let mut found: BTreeMap<String, usize> = BTreeMap::new();
        for line in told.lines() {
            let cluster: Value = serde_json::from_str(line).unwrap();
            for service in cluster["services"].as_array().unwrap() {
                let events = usize::try_from(service["events"].as_u64().unwrap()).unwrap();
                *found.entry(service["name"].as_str().unwrap().to_owned()).or_default() += events;
            }
        }
        found
    };
    // The last block of a text is whole when time has passed after it, and an epoch ends when its time is over.
    solo.run_until(|metrics| {
        sum(metrics, "panicsift_records_total{") == n_records
            && found().values().sum::<usize>() == expected.values().sum::<usize>()
    })
    .await;
    assert_eq!(found(), expected);
    assert_eq!(solo.dead_letters(), Vec::<Value>::new());
}
