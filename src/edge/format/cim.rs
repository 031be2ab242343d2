//! An alert in the fields of Splunk's Common Information Model (CIM).
//!
//! Of the data models "Alerts" (tag `alert`) and "Intrusion Detection" (tags `ids`, `attack`), as `data_models/Alerts.json`
//! and `IDS_Attacks.json` of Splunk's pytest-splunk-addon list them: every field that they
//! require and that an alert can fill, with `ids_type = application`. The whole alert stands under `panicsift`. Fields
//! that are unknown are absent: the data models fill in `unknown` by themselves, except `user`, which Alerts wants and
//! no alert has (a token is a keyed hash before anything keeps it). Tags come from event types at search time: the
//! indexed field `category` is `hostile_input` for what belongs to both models. An operations alert belongs to Alerts alone,
//! so it has neither `ids_type` nor `action`. The technique's id stands in `mitre_technique_id`, which Alerts knows too.

use serde::Serialize;

use super::{Called, PRODUCT, event_name, is_security};
use crate::pipeline::alert::{Alert, Category, Change, Severity};

/// The `event` of an alert.
#[derive(Debug, Serialize)]
pub struct Event<'a> {
    app: &'static str,
    vendor_product: &'static str,
    dvc: &'static str,
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ids_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<&'static str>,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    mitre_technique_id: Option<&'a str>,
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
            ids_type: is_security(alert).then_some("application"),
            // The requests reached the code that panicked: nothing stood in their way.
            action: is_security(alert).then_some("allowed"),
            category: Called::of(alert).category,
            id: &alert.alert_id,
            signature: event_name(alert),
            signature_id: &alert.cluster,
            severity: portrait.severity,
            description: &portrait.title,
            subject: &portrait.title,
            src: &portrait.addresses,
            dest: portrait.services.iter().map(|service| service.name.as_str()).collect(),
            dest_type: "service",
            mitre_technique_id: portrait.technique.as_ref().map(|technique| technique.id.as_str()),
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
    category: Category,
    severity: Severity,
}

impl<'a> Fields<'a> {
    /// The indexed fields of `alert`.
    pub fn of(alert: &'a Alert) -> Self {
        Self {
            alert_id: &alert.alert_id,
            cluster: &alert.cluster,
            change: alert.change,
            category: alert.category,
            severity: alert.portrait.severity,
        }
    }
}
