//! An alert in the fields of Splunk's Common Information Model (CIM).
//!
//! Of the data models "Alerts" (tag `alert`) and "Intrusion Detection" (tags `ids`, `attack`), as `data_models/Alerts.json`
//! and `IDS_Attacks.json` of Splunk's pytest-splunk-addon list them: every field that they
//! require and that an alert can fill, with `ids_type = application`. The whole alert stands under `panicsift`. Fields
//! that are unknown are absent: the data models fill in `unknown` by themselves, except `user`, which Alerts wants and
//! no alert has (a token is a keyed hash before anything keeps it). Tags come from event types at search time.

use serde::Serialize;

use super::{PRODUCT, event_name};
use crate::pipeline::alert::{Alert, Change, Severity};

/// The `event` of an alert.
#[derive(Debug, Serialize)]
pub struct Event<'a> {
    app: &'static str,
    vendor_product: &'static str,
    dvc: &'static str,
    r#type: &'static str,
    ids_type: &'static str,
    action: &'static str,
    category: &'static str,
    id: &'a str,
    signature: &'static str,
    signature_id: &'a str,
    severity: Severity,
    description: &'a str,
    subject: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    src: &'a [String],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dest: Vec<&'a str>,
    dest_type: &'static str,
    user: &'static str,
    panicsift: &'a Alert,
}

impl<'a> Event<'a> {
    /// The event of `alert`.
    pub fn of(alert: &'a Alert) -> Self {
        let portrait = &alert.portrait;
        Self {
            app: PRODUCT,
            vendor_product: PRODUCT,
            dvc: PRODUCT,
            r#type: "alert",
            ids_type: "application",
            // The requests reached the code that panicked: nothing stood in their way.
            action: "allowed",
            category: "hostile input",
            id: &alert.alert_id,
            signature: event_name(alert.change),
            signature_id: &alert.cluster,
            severity: portrait.severity,
            description: &portrait.title,
            subject: &portrait.title,
            src: &portrait.addresses,
            dest: portrait.services.iter().map(|service| service.name.as_str()).collect(),
            dest_type: "service",
            user: "unknown",
            panicsift: alert,
        }
    }
}

/// Indexed fields (HEC's `fields`, flat): what an analyst searches and folds by.
#[derive(Debug, Serialize)]
pub struct Fields<'a> {
    alert_id: &'a str,
    cluster: &'a str,
    change: Change,
    severity: Severity,
}

impl<'a> Fields<'a> {
    /// The indexed fields of `alert`.
    pub fn of(alert: &'a Alert) -> Self {
        Self {
            alert_id: &alert.alert_id,
            cluster: &alert.cluster,
            change: alert.change,
            severity: alert.portrait.severity,
        }
    }
}
