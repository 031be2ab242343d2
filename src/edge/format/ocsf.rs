//! An alert as a Detection Finding of the Open Cybersecurity Schema Framework (OCSF), version 1.8.0.
//!
//! Class `detection_finding`, uid 2004, of category Findings: `events/findings/detection_finding.json`,
//! `events/findings/finding.json` and the objects `finding_info`, `evidences`, `observable`, `resource_details`,
//! `metadata`, `product`, `attack` and `remediation` of the published schema; `confidence_score` is per cent. A cluster's life is a finding's: opened creates it, raised updates
//! it, closed closes it, and `finding_info.uid` is the cluster all along. `status_id` is New until it is closed, since
//! nobody has reviewed it here, then Resolved.
//!
//! An operations alert is a Detection Finding too: an engine detected it, and no other class of OCSF that is not about
//! security has a life of create, update and close (Application Error, 6008, is about the producer of OCSF events).
//! `finding_info.types` says `operations: …`, and there are no evidences and no observables.
//!
//! What OCSF has no place for (points, evidence, routes, panic sites, shapes) is the whole alert, under `unmapped`.

use std::net::IpAddr;

use serde::Serialize;

use super::{Called, PRODUCT, VERSION, addresses, event_id, text};
use crate::pipeline::alert::{Alert, Change, Severity, Technique};

/// The version of the schema whose attributes are used.
const OCSF_VERSION: &str = "1.8.0";

const CATEGORY_UID: u32 = 2;
const CLASS_UID: u32 = 2004;
/// `type_uid` is the class in hundreds and the activity.
const TYPE_UID_BASE: u32 = CLASS_UID * 100;

/// The statistical kind of analytic: points are log odds against what is normal for a route.
const ANALYTIC_STATISTICAL: u32 = 3;
/// An IP address, of the observables.
const OBSERVABLE_IP: u32 = 2;

/// The finding.
#[derive(Debug, Serialize)]
pub struct DetectionFinding<'a> {
    activity_id: u32,
    activity_name: &'static str,
    category_uid: u32,
    category_name: &'static str,
    class_uid: u32,
    class_name: &'static str,
    type_uid: u32,
    type_name: &'static str,
    severity_id: u32,
    severity: &'static str,
    status_id: u32,
    status: &'static str,
    is_alert: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    confidence_score: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remediation: Option<Remediation<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_time: Option<i64>,
    count: i32,
    message: &'a str,
    metadata: Metadata<'a>,
    finding_info: FindingInfo<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    evidences: Vec<Evidence>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    resources: Vec<Resource<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    observables: Vec<Observable>,
    unmapped: Unmapped<'a>,
}

#[derive(Debug, Serialize)]
struct Metadata<'a> {
    version: &'static str,
    uid: &'a str,
    event_code: &'static str,
    sequence: u32,
    product: Product,
}

#[derive(Debug, Serialize)]
struct Product {
    name: &'static str,
    vendor_name: &'static str,
    version: &'static str,
}

#[derive(Debug, Serialize)]
struct FindingInfo<'a> {
    uid: &'a str,
    title: &'a str,
    desc: String,
    analytic: Analytic<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    modified_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_seen_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_seen_time: Option<i64>,
    related_events_count: i32,
    types: [&'static str; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    attacks: Option<[Attack<'a>; 1]>,
}

#[derive(Debug, Serialize)]
struct Attack<'a> {
    tactic: Entry<'a>,
    technique: Entry<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_technique: Option<Entry<'a>>,
}

#[derive(Debug, Serialize)]
struct Entry<'a> {
    uid: &'a str,
    name: &'a str,
}

#[derive(Debug, Serialize)]
struct Remediation<'a> {
    desc: &'a str,
}

#[derive(Debug, Serialize)]
struct Analytic<'a> {
    type_id: u32,
    r#type: &'static str,
    name: &'static str,
    version: &'a str,
}

#[derive(Debug, Serialize)]
struct Evidence {
    src_endpoint: Endpoint,
}

#[derive(Debug, Serialize)]
struct Endpoint {
    ip: IpAddr,
}

#[derive(Debug, Serialize)]
struct Resource<'a> {
    name: &'a str,
    r#type: &'static str,
}

#[derive(Debug, Serialize)]
struct Observable {
    name: &'static str,
    type_id: u32,
    r#type: &'static str,
    value: IpAddr,
}

#[derive(Debug, Serialize)]
struct Unmapped<'a> {
    panicsift: &'a Alert,
}

impl<'a> DetectionFinding<'a> {
    /// The finding of `alert`.
    pub fn of(alert: &'a Alert) -> Self {
        let portrait = &alert.portrait;
        let (activity_id, activity_name, type_name) = activity(alert.change);
        let (severity_id, severity) = severity(portrait.severity);
        let (status_id, status) = status(alert.change);
        Self {
            activity_id,
            activity_name,
            category_uid: CATEGORY_UID,
            category_name: "Findings",
            class_uid: CLASS_UID,
            class_name: "Detection Finding",
            type_uid: TYPE_UID_BASE + activity_id,
            type_name,
            severity_id,
            severity,
            status_id,
            status,
            is_alert: alert.change != Change::Closed,
            confidence_score: portrait.confidence.and_then(score),
            remediation: (!portrait.next_step.is_empty()).then_some(Remediation { desc: &portrait.next_step }),
            time: text::millis(&alert.at),
            start_time: text::millis(&portrait.first_event),
            end_time: text::millis(&portrait.last_event),
            count: events(alert),
            message: &portrait.title,
            metadata: Metadata {
                version: OCSF_VERSION,
                uid: &alert.alert_id,
                event_code: event_id(alert),
                sequence: alert.ordinal,
                product: Product { name: PRODUCT, vendor_name: PRODUCT, version: VERSION },
            },
            finding_info: finding_info(alert),
            evidences: addresses(alert).map(|ip| Evidence { src_endpoint: Endpoint { ip } }).collect(),
            resources: portrait.services.iter().map(|one| Resource { name: &one.name, r#type: "service" }).collect(),
            observables: addresses(alert)
                .map(|value| Observable {
                    name: "evidences[].src_endpoint.ip",
                    type_id: OBSERVABLE_IP,
                    r#type: "IP Address",
                    value,
                })
                .collect(),
            unmapped: Unmapped { panicsift: alert },
        }
    }
}

fn finding_info(alert: &Alert) -> FindingInfo<'_> {
    let portrait = &alert.portrait;
    let decided = text::millis(&alert.at);
    FindingInfo {
        uid: &alert.cluster,
        title: &portrait.title,
        desc: text::reason(alert),
        analytic: Analytic {
            type_id: ANALYTIC_STATISTICAL,
            r#type: "Statistical",
            name: Called::of(alert).rule,
            version: &portrait.model,
        },
        // Later changes do not know when the first one was.
        created_time: decided.filter(|_| alert.change == Change::Opened),
        modified_time: decided.filter(|_| alert.change != Change::Opened),
        first_seen_time: text::millis(&portrait.first_event),
        last_seen_time: text::millis(&portrait.last_event),
        related_events_count: events(alert),
        types: [Called::of(alert).category],
        attacks: portrait.technique.as_ref().map(|technique| [attack(technique)]),
    }
}

fn attack(technique: &Technique) -> Attack<'_> {
    let entry = |(uid, name)| Entry { uid, name };
    let (own, sub) = technique.parts();
    let tactic = entry((technique.tactic_id.as_str(), technique.tactic.as_str()));
    Attack { tactic, technique: entry(own), sub_technique: sub.map(entry) }
}

/// Per cent; `None` where an alert holds no probability, which none of ours does.
fn score(confidence: f64) -> Option<u32> {
    let is_probability = (0.0..=1.0).contains(&confidence);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 100")]
    let score = (confidence * 100.0).round() as u32;
    is_probability.then_some(score)
}

/// OCSF's integers have 32 bits with a sign.
fn events(alert: &Alert) -> i32 {
    i32::try_from(alert.portrait.counts.events).unwrap_or(i32::MAX)
}

fn activity(change: Change) -> (u32, &'static str, &'static str) {
    match change {
        Change::Opened => (1, "Create", "Detection Finding: Create"),
        Change::Raised => (2, "Update", "Detection Finding: Update"),
        Change::Closed => (3, "Close", "Detection Finding: Close"),
    }
}

fn severity(severity: Severity) -> (u32, &'static str) {
    match severity {
        Severity::Low => (2, "Low"),
        Severity::Medium => (3, "Medium"),
        Severity::High => (4, "High"),
        Severity::Critical => (5, "Critical"),
    }
}

fn status(change: Change) -> (u32, &'static str) {
    match change {
        Change::Opened | Change::Raised => (1, "New"),
        Change::Closed => (4, "Resolved"),
    }
}
