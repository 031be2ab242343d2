//! Servers, scripts and values that several test modules need.

pub(crate) mod bulk;
pub(crate) mod hec;
pub(crate) mod http;
pub(crate) mod kafka;
pub(crate) mod replay;
pub(crate) mod servers;
pub(crate) mod service;
pub(crate) mod tls;

use panicsift::pipeline::alert::{Alert, Change};

/// An alert with every key filled, of this id, cluster and change.
pub(crate) fn alert(id: &str, cluster: &str, change: Change) -> Alert {
    let mut alert: Alert = serde_json::from_str(include_str!("../data/alert.json")).unwrap();
    id.clone_into(&mut alert.alert_id);
    cluster.clone_into(&mut alert.cluster);
    alert.change = change;
    alert
}
