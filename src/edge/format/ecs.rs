//! An alert as a document of the Elastic Common Schema (ECS), version 9.0.
//!
//! Takes an alert, gives ECS's own fields where they mean the same ("ECS field reference", the pages Event, Rule,
//! Source, Related, Observer, Service, Threat, User agent; categories and types as "ECS categorization fields" allows them
//! together), and the whole alert under `panicsift`. `event.kind` is `alert`, which Elastic Security's external-alerts
//! rule picks up; it reads `event.severity` and `event.risk_score` on Elastic Security's scale. An operations alert
//! is for whoever is on call: its kind is `event`, so that no security rule takes it up, its category `web` with the
//! type `error`, its observer a `sensor`, and `rule.category` begins with `operations`. Borrows from the alert;
//! never invents a value: a time or an address that is none is absent, since one bad address would have the server
//! refuse the whole document.

use std::net::IpAddr;

use serde::Serialize;

use super::{Called, PRODUCT, VERSION, addresses, event_id, is_security, text};
use crate::pipeline::alert::{Alert, Change, Counted, Severity, Technique};

/// The version of ECS whose fields are used.
const ECS_VERSION: &str = "9.0.0";

/// `event.duration` counts nanoseconds.
const NANOS_A_MILLI: i64 = 1_000_000;

/// The document of an alert.
#[derive(Debug, Serialize)]
pub struct Document<'a> {
    #[serde(rename = "@timestamp", skip_serializing_if = "Option::is_none")]
    timestamp: Option<&'a str>,
    ecs: Version,
    message: &'a str,
    event: Event<'a>,
    rule: Rule<'a>,
    observer: Observer,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<Service<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<Source<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<Named<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    related: Option<Related>,
    #[serde(skip_serializing_if = "Option::is_none")]
    threat: Option<Threat<'a>>,
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
    category: &'static [&'static str],
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
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<i64>,
    reason: String,
}

#[derive(Debug, Serialize)]
struct Rule<'a> {
    id: &'a str,
    name: &'static str,
    category: &'static str,
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
struct Service<'a> {
    name: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    version: Vec<&'a str>,
}

#[derive(Debug, Serialize)]
struct Source<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ip: Vec<IpAddr>,
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
struct Related {
    ip: Vec<IpAddr>,
}

#[derive(Debug, Serialize)]
struct Threat<'a> {
    framework: &'static str,
    tactic: Entry<'a>,
    technique: AttackTechnique<'a>,
}

/// ECS's threat fields are arrays, since a rule may name several.
#[derive(Debug, Serialize)]
struct Entry<'a> {
    id: [&'a str; 1],
    name: [&'a str; 1],
}

#[derive(Debug, Serialize)]
struct AttackTechnique<'a> {
    #[serde(flatten)]
    own: Entry<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subtechnique: Option<Entry<'a>>,
}

#[derive(Debug, Serialize)]
struct DataStream<'a> {
    r#type: &'a str,
    dataset: &'a str,
    namespace: &'a str,
}

impl<'a> Document<'a> {
    /// The document of `alert` for the data stream of this name; without a name (or with one of another form) it has no
    /// `data_stream` fields.
    pub fn of(alert: &'a Alert, data_stream: &'a str) -> Self {
        let portrait = &alert.portrait;
        let ip: Vec<IpAddr> = addresses(alert).collect();
        let called = Called::of(alert);
        let observer = if is_security(alert) { "ids" } else { "sensor" };
        Self {
            timestamp: time(&alert.at),
            ecs: Version { version: ECS_VERSION },
            message: &portrait.title,
            event: event(alert),
            rule: Rule {
                id: &alert.cluster,
                name: called.rule,
                category: called.category,
                ruleset: PRODUCT,
                version: &portrait.model,
            },
            observer: Observer { name: PRODUCT, product: PRODUCT, vendor: PRODUCT, r#type: observer, version: VERSION },
            service: (!portrait.services.is_empty())
                .then(|| Service { name: names(&portrait.services), version: names(&portrait.releases) }),
            source: source(alert, &ip),
            user_agent: (!portrait.agents.is_empty()).then(|| Named { name: names(&portrait.agents) }),
            related: (!ip.is_empty()).then_some(Related { ip }),
            threat: portrait.technique.as_ref().map(threat),
            data_stream: split_name(data_stream),
            tags: [PRODUCT],
            panicsift: alert,
        }
    }
}

fn event(alert: &Alert) -> Event<'_> {
    let number = severity_number(alert.portrait.severity);
    let (first, last) = (&alert.portrait.first_event, &alert.portrait.last_event);
    let duration = text::millis(first).zip(text::millis(last)).map(|(first, last)| last.saturating_sub(first));
    let (kind, category, kind_of_event): (_, &[&str], _) = if is_security(alert) {
        ("alert", &["intrusion_detection", "web"], "info")
    } else {
        ("event", &["web"], "error")
    };
    Event {
        kind,
        category,
        r#type: [kind_of_event],
        id: &alert.alert_id,
        code: alert.change,
        action: event_id(alert),
        module: PRODUCT,
        dataset: "panicsift.alert",
        provider: PRODUCT,
        severity: number,
        risk_score: number,
        sequence: alert.ordinal,
        start: time(first),
        end: time(last),
        duration: duration.filter(|millis| *millis >= 0).map(|millis| millis.saturating_mul(NANOS_A_MILLI)),
        reason: text::reason(alert),
    }
}

/// The alert's own text of a time, where it is one.
fn time(text: &str) -> Option<&str> {
    text::millis(text).map(|_| text)
}

/// Elastic Security's numbers for its four words.
fn severity_number(severity: Severity) -> u8 {
    match severity {
        Severity::Low => 21,
        Severity::Medium => 47,
        Severity::High => 73,
        Severity::Critical => 99,
    }
}

fn names(counted: &[Counted]) -> Vec<&str> {
    counted.iter().map(|one| one.name.as_str()).collect()
}

fn source<'a>(alert: &'a Alert, ip: &[IpAddr]) -> Option<Source<'a>> {
    let number: Vec<u32> = alert.portrait.networks.iter().filter_map(|network| network.asn).collect();
    let name: Vec<&str> =
        alert.portrait.networks.iter().filter_map(|network| network.organisation.as_deref()).collect();
    let mut countries = names(&alert.portrait.countries);
    countries.sort_unstable();
    countries.dedup();
    if ip.is_empty() && number.is_empty() && countries.is_empty() {
        return None;
    }
    Some(Source {
        ip: ip.to_vec(),
        autonomous_system: (!number.is_empty()).then_some(AutonomousSystem { number, organization: Named { name } }),
        geo: (!countries.is_empty()).then_some(Geo { country_iso_code: countries }),
    })
}

fn threat(technique: &Technique) -> Threat<'_> {
    let entry = |(id, name)| Entry { id: [id], name: [name] };
    let (own, sub) = technique.parts();
    Threat {
        framework: "MITRE ATT&CK",
        tactic: entry((&technique.tactic_id, &technique.tactic)),
        technique: AttackTechnique { own: entry(own), subtechnique: sub.map(entry) },
    }
}

/// `logs-panicsift.alert-default` in its three parts; a stream of another form has none of these fields.
fn split_name(name: &str) -> Option<DataStream<'_>> {
    let (kind, rest) = name.split_once('-')?;
    let (dataset, namespace) = rest.split_once('-')?;
    Some(DataStream { r#type: kind, dataset, namespace })
}
