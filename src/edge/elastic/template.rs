//! What a server must hold before the first alert: lifecycle policy, component templates, index template.
//!
//! Gives the requests that make them, for either server; takes the name of the data stream and how long alerts are
//! kept. Pure. All names come from the stream's: for `logs-panicsift.alert-default` the stem is `logs-panicsift.alert`,
//! the index template of that name takes every namespace (`logs-panicsift.alert-*`), and it is composed of
//! `…@mappings`, `…@settings` and `…@custom`. The last is the operator's: made empty where it is missing, and never
//! touched again. A name of another form is its own stem and matches itself alone.
//!
//! Elasticsearch gets an ILM policy that the settings name; OpenSearch an ISM policy that finds its streams by itself
//! (it compares patterns with the name of the data stream, not of the hidden index behind it: `ISMTemplateService` of
//! its index-management plugin). Both roll over after 30 days or 50 GB; after a rollover an alert that is sent again
//! becomes a second document, so that it is not done more often.

use serde_json::{Value, json};

use super::fields;

/// Counted up with every change of what is written here, so that `setup` knows what is older and what is newer.
pub const TEMPLATE_VERSION: u64 = 3;

/// Who wrote a template: the mark in its `_meta`.
pub(super) const MANAGED_BY: &str = "panicsift";

/// Above Elastic's own `logs-*-*` (100) and its integrations (200).
const PRIORITY: u64 = 250;

/// Age at which a new index is begun.
const ROLLOVER_AGE: &str = "30d";

/// Size of a primary shard at which a new index is begun: what both vendors advise.
const ROLLOVER_SIZE: &str = "50gb";

/// What the server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Product {
    /// Elasticsearch.
    Elasticsearch,
    /// OpenSearch.
    OpenSearch,
}

impl Product {
    /// The name as it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Elasticsearch => "Elasticsearch",
            Self::OpenSearch => "OpenSearch",
        }
    }

    /// The path of lifecycle policies.
    pub(super) fn policies(self) -> &'static str {
        match self {
            Self::Elasticsearch => "_ilm/policy",
            Self::OpenSearch => "_plugins/_ism/policies",
        }
    }
}

/// The names that follow from that of a data stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateNames {
    /// Name of the data stream.
    pub data_stream: String,
    /// Name of index template and lifecycle policy, and beginning of the components' names.
    pub stem: String,
    /// The names of streams that the index template takes.
    pub pattern: String,
}

impl TemplateNames {
    /// The names for this data stream.
    pub fn of(data_stream: &str) -> Self {
        let mut parts = data_stream.splitn(3, '-');
        let (stem, pattern) = match (parts.next(), parts.next(), parts.next()) {
            (Some(kind), Some(dataset), Some(namespace)) if ![kind, dataset, namespace].contains(&"") => {
                (format!("{kind}-{dataset}"), format!("{kind}-{dataset}-*"))
            }
            _ => (data_stream.to_owned(), data_stream.to_owned()),
        };
        Self { data_stream: data_stream.to_owned(), stem, pattern }
    }

    /// The component with the mappings: an index template that has it is as good as ours.
    pub fn mappings(&self) -> String {
        format!("{}@mappings", self.stem)
    }

    fn settings(&self) -> String {
        format!("{}@settings", self.stem)
    }

    fn custom(&self) -> String {
        format!("{}@custom", self.stem)
    }
}

/// What a thing is that is installed, in the order of installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// ILM or ISM policy.
    Policy,
    /// Component template of ours.
    Component,
    /// Component template of the operator's.
    Custom,
    /// Index template.
    Template,
}

impl Kind {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Policy => "lifecycle policy",
            Self::Component | Self::Custom => "component template",
            Self::Template => "index template",
        }
    }
}

/// One thing that is installed.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Path of its requests, without a leading slash.
    pub path: String,
    /// Body of the PUT that makes it.
    pub body: Value,
}

/// Everything that a stream needs, in the order in which it can be made. `retention_days` is `None` where the server
/// has no lifecycle management (some builds, some hosted ones): then nothing names a policy.
pub fn parts(names: &TemplateNames, product: Product, retention_days: Option<u32>) -> Vec<Part> {
    let component = |kind, name: String, body| Part { kind, path: format!("_component_template/{name}"), name, body };
    let mut parts = Vec::new();
    if let Some(days) = retention_days {
        let body = match product {
            Product::Elasticsearch => ilm_policy(days),
            Product::OpenSearch => ism_policy(names, days),
        };
        let path = format!("{}/{}", product.policies(), names.stem);
        parts.push(Part { kind: Kind::Policy, name: names.stem.clone(), path, body });
    }
    let mappings = templated("fields of panicsift's alerts", &json!({"mappings": fields::mappings()}));
    let names_a_policy = retention_days.is_some() && product == Product::Elasticsearch;
    let settings = templated(
        "settings of panicsift's alerts; change them in the component that ends in @custom",
        &json!({"settings": settings(names_a_policy.then_some(&names.stem))}),
    );
    let custom = json!({
        "template": {},
        "_meta": {"description": "yours: panicsift made it empty and never writes to it"}
    });
    parts.push(component(Kind::Component, names.mappings(), mappings));
    parts.push(component(Kind::Component, names.settings(), settings));
    parts.push(component(Kind::Custom, names.custom(), custom));
    let template = json!({
        "index_patterns": [names.pattern],
        "data_stream": {},
        "composed_of": [names.mappings(), names.settings(), names.custom()],
        "priority": PRIORITY,
        "version": TEMPLATE_VERSION,
        "_meta": meta("panicsift's alerts")
    });
    let path = format!("_index_template/{}", names.stem);
    parts.push(Part { kind: Kind::Template, name: names.stem.clone(), path, body: template });
    parts
}

/// The same for a person: requests as the consoles of Kibana and OpenSearch Dashboards take them.
pub fn render(parts: &[Part]) -> String {
    let requests: Vec<String> = parts.iter().map(|part| format!("PUT {}\n{:#}\n\n", part.path, part.body)).collect();
    requests.concat()
}

fn meta(description: &str) -> Value {
    json!({"managed_by": MANAGED_BY, "description": description})
}

fn templated(description: &str, template: &Value) -> Value {
    json!({"template": template, "version": TEMPLATE_VERSION, "_meta": meta(description)})
}

/// In the form in which servers give settings back: nested below `index`, every value a text.
fn settings(policy: Option<&String>) -> Value {
    let mut index = json!({"mapping": {"ignore_malformed": "true"}});
    if let (Some(policy), Some(index)) = (policy, index.as_object_mut()) {
        index.insert("lifecycle".to_owned(), json!({"name": policy}));
    }
    json!({"index": index})
}

fn ilm_policy(retention_days: u32) -> Value {
    json!({"policy": {
        "_meta": {
            "managed_by": MANAGED_BY,
            "description": "panicsift's alerts",
            "version": TEMPLATE_VERSION,
            "retention_days": retention_days
        },
        "phases": {
            "hot": {
                "min_age": "0ms",
                "actions": {"rollover": {"max_age": ROLLOVER_AGE, "max_primary_shard_size": ROLLOVER_SIZE}}
            },
            "delete": {"min_age": format!("{retention_days}d"), "actions": {"delete": {}}}
        }
    }})
}

/// ISM policies have no `_meta`: the mark is in the description.
fn ism_policy(names: &TemplateNames, retention_days: u32) -> Value {
    json!({"policy": {
        "description": format!(
            "managed_by {MANAGED_BY}, version {TEMPLATE_VERSION}: alerts are deleted {retention_days} days after rollover"
        ),
        "default_state": "hot",
        "states": [
            {
                "name": "hot",
                "actions": [{"rollover": {"min_index_age": ROLLOVER_AGE, "min_primary_shard_size": ROLLOVER_SIZE}}],
                "transitions": [
                    {"state_name": "delete", "conditions": {"min_rollover_age": format!("{retention_days}d")}}
                ]
            },
            {"name": "delete", "actions": [{"delete": {}}], "transitions": []}
        ],
        "ism_template": [{"index_patterns": [names.pattern], "priority": PRIORITY}]
    }})
}

#[cfg(test)]
mod tests;
