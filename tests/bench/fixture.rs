//! What every benchmark runs on: the demo's events, and the models and address tables that they are judged with.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use panicsift::edge::tables::Tables;
use panicsift::pipeline::Context;
use panicsift::pipeline::brief::searches::Places;
use panicsift::pipeline::classify::PanicModel;
use panicsift::pipeline::cluster::ClusteringModel;
use panicsift::pipeline::decode::Feeds;
use panicsift::pipeline::enrich::ScopeModel;
use panicsift::pipeline::expected::Expected;
use panicsift::pipeline::gather::GatherPolicy;
use panicsift::pipeline::judge::HostilityModel;
use panicsift::pipeline::keys::Keys;
use panicsift::pipeline::life::AlertPolicy;
use panicsift::pipeline::operations::Rules;

fn demo(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/demo").join(name)
}

/// The demo's events: 4,386 of 1.2 kB.
pub(crate) fn lines() -> Vec<Vec<u8>> {
    let file = std::fs::File::open(demo("events.jsonl.gz")).unwrap();
    BufReader::new(flate2::read::GzDecoder::new(file)).split(b'\n').map(Result::unwrap).collect()
}

/// The models that the program ships, and the demo's address tables.
pub(crate) fn context() -> Context {
    let (tables, faults) = Tables::open(Some(&demo("asn.mmdb")), Some(&demo("country.mmdb")));
    assert!(faults.is_empty(), "{faults:?}");
    Context {
        keys: Keys::derive(b"benchmark"),
        feeds: Feeds::default(),
        gathering: GatherPolicy::default(),
        panics: PanicModel::builtin().unwrap(),
        scopes: ScopeModel::builtin().unwrap(),
        clustering: ClusteringModel::builtin().unwrap(),
        hostility: HostilityModel::builtin().unwrap(),
        expected: Expected::default(),
        alerts: AlertPolicy::default(),
        places: Places::default(),
        operations: Rules::default(),
        lookup: Arc::new(tables),
        version: "benchmark".to_owned(),
    }
}
