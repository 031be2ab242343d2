//! What goes in: a stream that a seed determines, of the demo's events under new ids, with repeats and bad records in it,
//! and a count of it that knows nothing of the program.

use std::collections::BTreeMap;

use panicsift::pipeline::event::Millis;
use serde_json::Value;

use crate::support::replay::demo_lines;

/// Most event time between two records: so much that campaigns pause for longer than an alert stays open, and come again.
const STEP_MILLIS_MAX: i64 = 2_000;
/// Most event time of the stream: nothing in it is so old that it is forgotten.
const SPAN_MILLIS_MAX: i64 = 40 * Millis::HOUR;
/// A repeat is of one of so many records before it.
const REPEATED_BACK: u64 = 200;
/// Of a thousand records so many are bad, so many repeats.
const BAD_PER_MILLE: u64 = 40;
const REPEATS_PER_MILLE: u64 = 30;

/// Numbers that a seed determines (`SplitMix64`, Steele, Lea and Flood 2014).
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// Whether it is one time in `n`.
    pub(super) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// Where an event is counted: service, route, file of the panic.
pub(super) type Spot = [String; 3];

/// What a record is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// An event that was not there before.
    New(Spot),
    /// The same bytes as a record before it.
    Repeat,
    /// No event.
    Bad,
}

/// A record of the stream.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) partition: i32,
    pub(super) time: i64,
    pub(super) value: Vec<u8>,
    pub(super) kind: Kind,
}

/// `n` records over `n_partitions`. The first is of now, and time goes on faster than any clock: a service that has caught
/// up closes epochs up to a minute ago by the clock, and events behind that would be late and raise no alert.
#[expect(clippy::disallowed_methods, reason = "the service closes epochs by the clock, so its events are of today")]
pub(super) fn generate(n: usize, n_partitions: i32, seed: u64) -> Vec<Record> {
    let mut dice = Dice::new(seed);
    let demo: Vec<Value> = demo_lines(usize::MAX).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    let n_steps = i64::try_from(n).unwrap();
    let step = STEP_MILLIS_MAX.min(SPAN_MILLIS_MAX / n_steps);
    let first = i64::try_from(now).unwrap();
    let mut records: Vec<Record> = Vec::with_capacity(n);
    for (at, template) in demo.iter().cycle().take(n).enumerate() {
        let time = first + i64::try_from(at).unwrap() * step;
        let partition = i32::try_from(dice.below(u64::try_from(n_partitions).unwrap())).unwrap();
        let (value, spot) = event(template, &format!("crash-{seed}-{at}"), time);
        let roll = dice.below(1_000);
        let record = if roll < BAD_PER_MILLE {
            Record { partition, time, value: bad(&value, dice.below(7)), kind: Kind::Bad }
        } else if roll < BAD_PER_MILLE + REPEATS_PER_MILLE {
            let back = usize::try_from(1 + dice.below(REPEATED_BACK)).unwrap();
            match records.get(at.wrapping_sub(back)).filter(|record| matches!(record.kind, Kind::New(_))) {
                Some(repeated) => Record { kind: Kind::Repeat, ..repeated.clone() },
                None => Record { partition, time, value, kind: Kind::New(spot) },
            }
        } else {
            Record { partition, time, value, kind: Kind::New(spot) }
        };
        records.push(record);
    }
    records
}

/// An event of the demo as another one of today. Services are told apart by the length of the route's name, so that each
/// has routes of its own.
fn event(template: &Value, id: &str, time: i64) -> (Vec<u8>, Spot) {
    let mut event = template.clone();
    let route = event["endpoint"].as_str().unwrap().to_owned();
    let service = ["storefront-api", "storefront-eu", "billing-api"][route.len() % 3].to_owned();
    let file = event["panic"]["file"].as_str().unwrap_or_default().to_owned();
    event["event_id"] = id.into();
    event["ts"] = Millis(time).to_string().into();
    event["service"] = service.clone().into();
    (event.to_string().into_bytes(), [service, route, file])
}

/// Something that is no event, made of one where it can be.
fn bad(event: &[u8], how: u64) -> Vec<u8> {
    match how {
        0 => b"<html>502 Bad Gateway</html>".to_vec(),
        1 => event[..event.len() / 2].to_vec(),
        2 => [br#"{"event_id":""#.as_slice(), &[0xff, 0xfe], br#""}"#].concat(),
        3 => Vec::new(),
        4 => br#"{"event_id":["a"],"ts":1,"service":null}"#.to_vec(),
        5 => String::from_utf8_lossy(event).replacen("\"event_id\"", "\"event\"", 1).into_bytes(),
        _ => format!("{{\"deep\":{}{}}}", "[".repeat(500), "]".repeat(500)).into_bytes(),
    }
}

/// How many events each spot has: each event once, however often it was sent.
pub(super) fn count(records: &[Record]) -> BTreeMap<Spot, u64> {
    let mut counts = BTreeMap::new();
    for record in records {
        if let Kind::New(spot) = &record.kind {
            *counts.entry(spot.clone()).or_default() += 1;
        }
    }
    counts
}

/// Partition and offset of each bad record: offsets count the records of a partition in the order of the stream.
pub(super) fn bad_positions(records: &[Record]) -> BTreeMap<(i32, i64), Vec<u8>> {
    let mut ends: BTreeMap<i32, i64> = BTreeMap::new();
    let mut bad = BTreeMap::new();
    for record in records {
        let offset = ends.entry(record.partition).or_default();
        if record.kind == Kind::Bad {
            bad.insert((record.partition, *offset), record.value.clone());
        }
        *offset += 1;
    }
    bad
}

/// The end of each partition.
pub(super) fn ends(records: &[Record], n_partitions: i32) -> Vec<i64> {
    let of = |partition| records.iter().filter(|record| record.partition == partition).count();
    (0..n_partitions).map(|partition| i64::try_from(of(partition)).unwrap()).collect()
}
