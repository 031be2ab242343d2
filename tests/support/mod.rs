//! Servers, scripts and values that several test modules need.

pub(crate) mod bulk;
pub(crate) mod elastic;
pub(crate) mod embedded;
pub(crate) mod hec;
pub(crate) mod http;
pub(crate) mod kafka;
pub(crate) mod pages;
pub(crate) mod replay;
pub(crate) mod servers;
pub(crate) mod service;
pub(crate) mod tls;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use panicsift::app::engine::RefusedShare;
use panicsift::config::{DeadLetterPlace, DeadLetterSettings, RawBytes};
use panicsift::edge::tables::Tables;
use panicsift::pipeline::Context;
use panicsift::pipeline::alert::{Alert, Change};
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

/// The built-in models over the demo's address tables, under a key of the tests.
pub(crate) fn context() -> Context {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/demo");
    let (tables, faults) = Tables::open(Some(&demo.join("asn.mmdb")), Some(&demo.join("country.mmdb")));
    assert!(faults.is_empty(), "{faults:?}");
    Context {
        keys: Keys::derive(b"a secret of the tests"),
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
        version: "models of the tests".to_owned(),
    }
}

/// However many records are refused, the engine goes on.
pub(crate) fn any_refused_share() -> RefusedShare {
    RefusedShare::new(&DeadLetterSettings {
        place: DeadLetterPlace::File(PathBuf::new()),
        raw: RawBytes::Keep,
        share_max: 1.0,
        window: Duration::from_mins(1),
        window_records_min: u64::MAX,
    })
}

/// An alert with every key filled, of this id, cluster and change.
pub(crate) fn alert(id: &str, cluster: &str, change: Change) -> Alert {
    let mut alert: Alert = serde_json::from_str(include_str!("../data/alert.json")).unwrap();
    id.clone_into(&mut alert.alert_id);
    cluster.clone_into(&mut alert.cluster);
    alert.change = change;
    alert
}
