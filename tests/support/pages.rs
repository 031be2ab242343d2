//! Stores whose page is looked at: one in which a stranger chose every name, and one as large as a store gets.
//!
//! Observations are changed after they were decoded, so that names reach the store as they are, past everything that
//! would have neutralised them on the way.

use std::borrow::Cow;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;

use panicsift::edge::store::{Fate, Outbox, Settlement, Store};
use panicsift::pipeline::enrich::Network;
use panicsift::pipeline::event::{Checkpoint, Id, Millis, Position, RawRecord, ShapeId};
use panicsift::pipeline::fingerprint::Sketch;
use panicsift::pipeline::observation::{Actor, CellKey, Observation, Source};
use panicsift::pipeline::sample::mix;
use panicsift::pipeline::state::State;
use panicsift::pipeline::{Context, Memos, examine, fold};

/// What tries to become a part of the page, or to steer who reads it.
pub(crate) const CANARIES: [&str; 14] = [
    "<script>window.__canary=1</script>",
    "\"><img src=x onerror=window.__canary=1>",
    "'><svg onload=window.__canary=1>",
    "javascript:window.__canary=1",
    "</style><script>window.__canary=1</script>",
    "</script><script>window.__canary=1</script>",
    "</title></svg></details><script>window.__canary=1</script>",
    "--><script>window.__canary=1</script><!--",
    "]]><script>window.__canary=1</script>",
    "a\u{2028}b\u{2029}window.__canary=1",
    "\u{202e}evil\u{202d}\u{2066}\u{200f}",
    "`${window.__canary=1}`",
    "{{constructor.constructor('window.__canary=1')()}}",
    "&#60;script&#62;window.__canary=1&lt;/script&gt;",
];

/// Cells of the large store: the cap of a tenant.
pub(crate) const LARGE_CELLS: u64 = 8_192;

/// Shapes of one cluster of the large store.
const SHAPES_A_CLUSTER: u64 = 16;

/// Newest event of the large store.
pub(crate) const LARGE_END: Millis = Millis(1_789_000_000_000);

/// The demo's events.
fn lines() -> Vec<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/demo/events.jsonl.gz");
    let file = std::fs::File::open(path).unwrap();
    BufReader::new(flate2::read::GzDecoder::new(file)).split(b'\n').map(Result::unwrap).collect()
}

/// What `context` sees in the demo's first events.
fn observations<'l>(context: &Context, lines: &'l [Vec<u8>]) -> Vec<Observation<'l>> {
    let mut memos = Memos::default();
    let seen = lines.iter().enumerate().map(|(at, line)| {
        let position = Position { topic: "panic-events", partition: 0, offset: i64::try_from(at).unwrap() };
        let record = RawRecord { position, broker_time: None, headers: &[], payload: line };
        examine(context, &mut memos, record).into_observation().unwrap()
    });
    seen.collect()
}

/// Writes what comes of `seen` to a new store at `path`, in batches.
fn store(context: &Context, path: &Path, seen: Vec<Observation<'_>>) -> Store {
    let mut store = Store::open(path).unwrap();
    let mut state = State::new(&context.clustering);
    let mut batches = seen.into_iter().peekable();
    while batches.peek().is_some() {
        let step = fold(context, &mut state, batches.by_ref().take(2_000).collect::<Vec<_>>(), None);
        store.commit(&step.rows, &step.alerts, &Checkpoint::default()).unwrap();
    }
    let step = state.close_last(context);
    store.commit(&step.rows, &step.alerts, &Checkpoint::default()).unwrap();
    store
}

/// Settles the waiting alerts for a destination, in turn delivered, refused and left to wait.
fn settle(path: &Path, destination: &str, detail: &str) {
    let mut outbox = Outbox::open(path, destination).unwrap();
    for (at, pending) in outbox.pending(500, 1 << 24).unwrap().iter().enumerate() {
        let fate = match at % 3 {
            0 => Fate::Delivered,
            1 => Fate::Refused,
            _ => continue,
        };
        let settlement = Settlement { seq: pending.seq, fate, detail: detail.to_owned(), attempts: 2 };
        outbox.settle(&[settlement]).unwrap();
    }
}

/// A store of the demo's first `n_events`, as they are.
pub(crate) fn demo_store(context: &Context, path: &Path, n_events: usize) {
    let lines = lines();
    drop(store(context, path, observations(context, lines.get(..n_events).unwrap())));
    settle(path, "splunk", "HTTP 200");
}

/// The same with a canary for every name.
pub(crate) fn canary_store(context: &Context, path: &Path, n_events: usize) {
    let lines = lines();
    let mut seen = observations(context, lines.get(..n_events).unwrap());
    for (at, o) in (0_u64..).zip(&mut seen) {
        // By the id behind the name: the first name that is learnt for an id is the one that stays.
        let canary = |id: Id| {
            let n_canaries = u64::try_from(CANARIES.len()).unwrap();
            let canary = CANARIES[usize::try_from(mix(id.0) % n_canaries).unwrap()];
            format!("{canary}{:04x}", id.0 & 0xffff)
        };
        o.tenant = Cow::Owned(canary(o.cell.tenant));
        o.service = Cow::Owned(canary(o.cell.service));
        o.route = Cow::Owned(canary(o.cell.route));
        o.site = Arc::from(canary(o.cell.site));
        o.release = Some(Cow::Owned(canary(Id(at % 3))));
        o.event_id = Cow::Owned(canary(o.event));
        o.agent_name = Cow::Owned(canary(o.agent_family.unwrap_or(Id(1))));
        o.expected = (at % 50 == 0).then(|| Arc::from(canary(Id(at % 200))));
        if let Some(token) = &mut o.token {
            token.scopes = Arc::from(canary(Id(at % 5)));
        }
        let mut panic = (*o.panic).clone();
        panic.class = canary(Id(at % 7));
        o.panic = Arc::new(panic);
        if let Network { asn: Some(asn), organisation, .. } = &mut o.source.network {
            *organisation = Some(Arc::from(canary(Id(u64::from(*asn)))));
        }
        o.position.topic = CANARIES[1];
    }
    drop(store(context, path, seen));
    settle(path, CANARIES[0], CANARIES[1]);
    settle(path, "splunk", CANARIES[4]);
}

/// A store with all the cells that it may have and over 500 clusters, of 30 days; `name` says what things are called.
pub(crate) fn large_store(context: &Context, path: &Path, name: impl Fn(&str, u64) -> String) {
    let lines = lines();
    let real = observations(context, &lines[..1_500]);
    let n_real = {
        let mut keys: Vec<CellKey> = real.iter().map(|o| o.cell).collect();
        keys.sort_unstable();
        keys.dedup();
        u64::try_from(keys.len()).unwrap()
    };
    let model = real[0].clone();
    let mut seen: Vec<Observation<'_>> = Vec::new();
    for number in 0..LARGE_CELLS - n_real {
        let cell = large_cell(model.cell.tenant, number);
        let cluster = number / SHAPES_A_CLUSTER;
        // Some cells have lived for 30 days, all had events in the last 40 hours.
        let days = if number % 97 == 0 { 30 } else { 0 };
        let old = (1..=days).map(|day| LARGE_END.0 - day * Millis::DAY);
        // In steps of an hour: an epoch that has events is closed, and that takes its time.
        let fresh = (0..3_u64).map(|nth| {
            let hours = i64::try_from(mix(number * 3 + nth) % 40).unwrap();
            LARGE_END.0 - hours * Millis::HOUR
        });
        for (nth, time) in (0_u64..).zip(old.chain(fresh)) {
            let unique = mix(number * 64 + nth);
            seen.push(Observation {
                event: Id(unique),
                event_id: Cow::Owned(format!("event-{unique:016x}")),
                time: Millis(time),
                cell,
                actor: Actor::Prefix(Id(unique ^ 0x5a5a)),
                source: Source { prefix_id: Some(Id(unique ^ 0x5a5a)), ..model.source.clone() },
                service: Cow::Owned(name("service", cell.service.0 % 32)),
                route: Cow::Owned(name("route", cluster)),
                site: Arc::from(name("site", cluster)),
                sketch: large_sketch(cluster, number % SHAPES_A_CLUSTER),
                coarse: u16::try_from(number % 4_096).unwrap(),
                token: None,
                expected: None,
                ..model.clone()
            });
        }
    }
    // The real ones come first: an epoch is closed faster while there are few cells. Times keep their distances.
    let shift = LARGE_END.0 - 41 * Millis::HOUR - real.iter().map(|o| o.time.0).max().unwrap();
    seen.extend(real.into_iter().map(|o| Observation { time: Millis(o.time.0 + shift), ..o }));
    seen.sort_by_key(|o| o.time);
    drop(store(context, path, seen));
    settle(path, "splunk", "HTTP 200");
}

fn large_cell(tenant: Id, number: u64) -> CellKey {
    let cluster = number / SHAPES_A_CLUSTER;
    let id = |kind: u64, n: u64| Id(mix(kind << 40 | n));
    CellKey {
        tenant,
        service: id(1, cluster % 32),
        site: id(2, cluster),
        route: id(3, cluster),
        shape: ShapeId(u128::from(mix(number)) << 64 | u128::from(number)),
    }
}

/// Sketches of one cluster differ in a few slots.
fn large_sketch(cluster: u64, nth: u64) -> Sketch {
    let mut slots = [0_u8; 64];
    for (at, slot) in (0_u64..).zip(&mut slots) {
        let own = if at < 6 { nth + 1 } else { 0 };
        *slot = mix(cluster << 16 | at << 8 | own).to_le_bytes()[0];
    }
    Sketch(slots)
}
