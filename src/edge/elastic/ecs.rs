//! An alert as an ECS document.
//!
//! Takes an alert, gives what is written to the data stream: ECS's own fields where they mean the same, and the whole
//! alert under `panicsift`. `event.kind` is `alert`, which Elastic Security's external-alerts rule picks up. Borrows
//! from the alert; never invents a value.

use serde::Serialize;

use super::{action, severity_number};
use crate::pipeline::alert::{Alert, Change};

/// The version of ECS whose fields are used.
const ECS_VERSION: &str = "9.0.0";

/// The document of an alert.
#[derive(Debug, Serialize)]
pub struct Document<'a> {
    #[serde(rename = "@timestamp")]
    timestamp: &'a str,
    ecs: Version,
    message: &'a str,
    event: Event<'a>,
    rule: Rule<'a>,
    observer: Observer,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<Named<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<Source<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    related: Option<Related<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_stream: Option<DataStream<'a>>,
    tags: [&'static str; 1],
    panicsift: &'a Alert,
}

#[derive(Debug, Serialize)]
struct Version {
    version: &'static str,
}

#[derive(Debug, Serialize)]
struct Event<'a> {
    kind: &'static str,
    category: [&'static str; 2],
    r#type: [&'static str; 1],
    id: &'a str,
    code: Change,
    action: &'static str,
    module: &'static str,
    dataset: &'static str,
    provider: &'static str,
    severity: u8,
    risk_score: u8,
    sequence: u32,
    start: &'a str,
    end: &'a str,
    reason: String,
}

#[derive(Debug, Serialize)]
struct Rule<'a> {
    id: &'a str,
    name: &'static str,
    ruleset: &'static str,
    version: &'a str,
}

#[derive(Debug, Serialize)]
struct Observer {
    name: &'static str,
    product: &'static str,
    vendor: &'static str,
    r#type: &'static str,
    version: &'static str,
}

#[derive(Debug, Serialize)]
struct Named<'a> {
    name: Vec<&'a str>,
}

#[derive(Debug, Serialize)]
struct Source<'a> {
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    ip: &'a [String],
    #[serde(rename = "as", skip_serializing_if = "Option::is_none")]
    autonomous_system: Option<AutonomousSystem<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    geo: Option<Geo<'a>>,
}

#[derive(Debug, Serialize)]
struct AutonomousSystem<'a> {
    number: Vec<u32>,
    organization: Named<'a>,
}

#[derive(Debug, Serialize)]
struct Geo<'a> {
    country_iso_code: Vec<&'a str>,
}

#[derive(Debug, Serialize)]
struct Related<'a> {
    ip: &'a [String],
}

#[derive(Debug, Serialize)]
struct DataStream<'a> {
    r#type: &'a str,
    dataset: &'a str,
    namespace: &'a str,
}

impl<'a> Document<'a> {
    /// The document of `alert` for the stream of this name.
    pub fn of(alert: &'a Alert, data_stream: &'a str) -> Self {
        let number = severity_number(alert.portrait.severity);
        Self {
            timestamp: &alert.at,
            ecs: Version { version: ECS_VERSION },
            message: &alert.portrait.title,
            event: Event {
                kind: "alert",
                category: ["intrusion_detection", "web"],
                r#type: ["info"],
                id: &alert.alert_id,
                code: alert.change,
                action: action(alert.change),
                module: "panicsift",
                dataset: "panicsift.alert",
                provider: "panicsift",
                severity: number,
                risk_score: number,
                sequence: alert.ordinal,
                start: &alert.portrait.first_event,
                end: &alert.portrait.last_event,
                reason: reason(alert),
            },
            rule: Rule {
                id: &alert.cluster,
                name: "hostile panic cluster",
                ruleset: "panicsift",
                version: &alert.portrait.model,
            },
            observer: Observer {
                name: "panicsift",
                product: "panicsift",
                vendor: "panicsift",
                r#type: "ids",
                version: env!("CARGO_PKG_VERSION"),
            },
            service: some_names(alert.portrait.services.iter().map(|service| service.name.as_str()).collect()),
            source: source(alert),
            related: (!alert.portrait.addresses.is_empty()).then_some(Related { ip: &alert.portrait.addresses }),
            data_stream: split_name(data_stream),
            tags: ["panicsift"],
            panicsift: alert,
        }
    }
}

/// The weightiest evidence in words.
fn reason(alert: &Alert) -> String {
    let words: Vec<&str> = alert.portrait.evidence.iter().take(3).map(|evidence| evidence.words.as_str()).collect();
    words.join("; ")
}

fn some_names(name: Vec<&str>) -> Option<Named<'_>> {
    (!name.is_empty()).then_some(Named { name })
}

fn source(alert: &Alert) -> Option<Source<'_>> {
    let number: Vec<u32> = alert.portrait.networks.iter().filter_map(|network| network.asn).collect();
    let name: Vec<&str> =
        alert.portrait.networks.iter().filter_map(|network| network.organisation.as_deref()).collect();
    let mut countries: Vec<&str> = alert.portrait.countries.iter().map(|country| country.name.as_str()).collect();
    countries.sort_unstable();
    countries.dedup();
    if alert.portrait.addresses.is_empty() && number.is_empty() && countries.is_empty() {
        return None;
    }
    Some(Source {
        ip: &alert.portrait.addresses,
        autonomous_system: (!number.is_empty()).then_some(AutonomousSystem { number, organization: Named { name } }),
        geo: (!countries.is_empty()).then_some(Geo { country_iso_code: countries }),
    })
}

/// `logs-panicsift.alert-default` in its three parts; a stream of another form has none of these fields.
fn split_name(name: &str) -> Option<DataStream<'_>> {
    let (kind, rest) = name.split_once('-')?;
    let (dataset, namespace) = rest.split_once('-')?;
    Some(DataStream { r#type: kind, dataset, namespace })
}
