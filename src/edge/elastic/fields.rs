//! The fields of our documents with their types: ECS's own, and the alert's under `panicsift`.
//!
//! Gives the mappings of the data stream. Every field that a document has stands here by name; a test holds that. What
//! stands nowhere is kept in the document and not indexed (`dynamic: false`), so that no text of an attacker can ever
//! make a field or fail a document. Types are those of ECS 9.0 with two exceptions, for OpenSearch's sake and because
//! both answer the same queries: `keyword` in place of `constant_keyword` and `wildcard`, `text` in place of
//! `match_only_text`. More of ECS stands here than is used today: a field that is added later is then indexed in the
//! streams of yesterday too.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// Bytes of a keyword beyond which it is kept but not indexed: ECS's own bound.
const IGNORE_ABOVE: u32 = 1_024;

/// The types that are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Boolean,
    Keyword,
    Text,
    Date,
    Ip,
    Long,
    Float,
    Double,
}

use Type::{Boolean, Date, Double, Float, Ip, Keyword, Long, Text};

/// Fields of ECS by group: the object they stand in (empty: at the top), their names, their type.
const ECS: &[(&str, &[&str], Type)] = &[
    ("", &["message"], Text),
    ("", &["tags"], Keyword),
    ("ecs", &["version"], Keyword),
    ("data_stream", &["type", "dataset", "namespace"], Keyword),
    ("event", &["kind", "category", "type", "id", "code", "action", "outcome", "reason", "hash", "url"], Keyword),
    ("event", &["module", "dataset", "provider", "reference", "timezone"], Keyword),
    ("event", &["severity", "sequence", "duration"], Long),
    ("event", &["risk_score", "risk_score_norm"], Float),
    ("event", &["start", "end", "created", "ingested"], Date),
    ("error", &["id", "code", "type"], Keyword),
    ("error", &["message"], Text),
    ("rule", &["id", "uuid", "name", "version", "category", "description", "ruleset", "reference"], Keyword),
    ("threat", &["framework"], Keyword),
    ("threat.tactic", &["id", "name", "reference"], Keyword),
    ("threat.technique", &["id", "name", "reference"], Keyword),
    ("threat.technique.subtechnique", &["id", "name", "reference"], Keyword),
    ("observer", &["name", "product", "vendor", "type", "version", "hostname"], Keyword),
    ("service", &["name", "version", "environment", "type", "id"], Keyword),
    ("service.node", &["name"], Keyword),
    ("source", &["address"], Keyword),
    ("source", &["ip"], Ip),
    ("source.as", &["number"], Long),
    ("source.as.organization", &["name"], Keyword),
    ("source.geo", &["country_iso_code", "country_name"], Keyword),
    ("related", &["ip"], Ip),
    ("related", &["user", "hash", "hosts"], Keyword),
    ("url", &["original", "full", "domain", "path"], Keyword),
    ("http", &["version"], Keyword),
    ("http.request", &["method", "id"], Keyword),
    ("http.response", &["status_code"], Long),
    ("user_agent", &["original", "name", "version"], Keyword),
];

/// Fields of the alert, below `panicsift`.
const OWN: &[(&str, &[&str], Type)] = &[
    (
        "",
        &["schema", "alert_id", "change", "category", "cluster", "verdict", "severity", "tenant", "lineage", "model"],
        Keyword,
    ),
    ("", &["title", "next_step"], Text),
    ("", &["at", "first_event", "last_event"], Date),
    ("", &["ordinal"], Long),
    ("", &["points", "threshold", "confidence"], Double),
    ("", &["ordinary_traffic"], Boolean),
    ("technique", &["id", "name", "tactic_id", "tactic"], Keyword),
    ("technique", &["reason"], Text),
    // To be read and pasted, not to be found by: longer than a keyword that is indexed.
    ("queries.spl", &["alerts", "events"], Keyword),
    ("queries.esql", &["alerts", "events"], Keyword),
    ("", &["addresses"], Ip),
    ("counts", &["events", "actors", "addresses", "shapes", "sites", "routes"], Long),
    ("overruled", &["word", "judge", "by", "cluster"], Keyword),
    ("overruled", &["why"], Text),
    ("overruled", &["at"], Date),
    ("networks", &["asn", "events"], Long),
    ("networks", &["organisation"], Keyword),
    ("findings", &["name"], Keyword),
    ("findings", &["value", "limit"], Double),
    ("findings", &["met"], Boolean),
    ("findings", &["words"], Text),
    ("examples", &["event_id", "topic"], Keyword),
    ("examples", &["partition", "offset"], Long),
];

/// Lists of names with counts, below `panicsift`.
const COUNTED: [&str; 11] = [
    "services",
    "sites",
    "routes",
    "shapes",
    "classes",
    "countries",
    "agents",
    "token_scopes",
    "releases",
    "expected",
    "recovery",
];

/// Lists of evidence, below `panicsift`.
const WEIGHED: [&str; 2] = ["evidence", "counter_evidence"];

/// The mappings of the data stream.
pub(super) fn mappings() -> Value {
    let (mut top, mut own) = (Node::default(), Node::default());
    top.put_all(ECS);
    own.put_all(OWN);
    for list in COUNTED {
        own.put_all(&[(list, &["name"], Keyword), (list, &["events"], Long)]);
    }
    for list in WEIGHED {
        own.put_all(&[(list, &["name"], Keyword), (list, &["points"], Double), (list, &["words"], Text)]);
    }
    let mut properties = top.properties();
    // The one field that a data stream cannot do without: a document with a bad one must not slip in unseen.
    properties.insert("@timestamp".to_owned(), json!({"type": "date", "ignore_malformed": false}));
    let own = own.properties();
    properties.insert("panicsift".to_owned(), json!({"type": "object", "dynamic": false, "properties": own}));
    json!({"dynamic": false, "properties": properties})
}

/// A field, or an object with fields below it.
#[derive(Debug, Default)]
struct Node {
    kind: Option<Type>,
    below: BTreeMap<&'static str, Self>,
}

impl Node {
    fn put_all(&mut self, groups: &[(&'static str, &[&'static str], Type)]) {
        for (object, names, kind) in groups {
            let mut at = &mut *self;
            for step in object.split('.').filter(|step| !step.is_empty()) {
                at = at.below.entry(step).or_default();
            }
            for name in *names {
                at.below.entry(name).or_default().kind = Some(*kind);
            }
        }
    }

    /// As deep as the tables above are.
    fn properties(&self) -> Map<String, Value> {
        let mapping = |node: &Self| node.kind.map_or_else(|| json!({"properties": node.properties()}), mapping_of);
        self.below.iter().map(|(name, node)| ((*name).to_owned(), mapping(node))).collect()
    }
}

fn mapping_of(kind: Type) -> Value {
    let name = match kind {
        Keyword => return json!({"type": "keyword", "ignore_above": IGNORE_ABOVE}),
        Text => return json!({"type": "text", "norms": false}),
        Boolean => "boolean",
        Date => "date",
        Ip => "ip",
        Long => "long",
        Float => "float",
        Double => "double",
    };
    json!({"type": name})
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::edge::elastic::Document;
    use crate::pipeline::alert::{Alert, Overruled, Verdict};

    /// Paths of all fields of a document; lists count as what they hold.
    fn paths(value: &Value, at: &str, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(keys) => {
                for (key, value) in keys {
                    paths(value, &if at.is_empty() { key.clone() } else { format!("{at}.{key}") }, found);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| paths(item, at, found)),
            _ => {
                found.insert(at.to_owned());
            }
        }
    }

    /// The mapping of a path, if it has one.
    fn mapped<'a>(mappings: &'a Value, path: &str) -> Option<&'a Value> {
        path.split('.')
            .try_fold(mappings, |at, step| at.get("properties")?.get(step))
            .filter(|at| at.get("type").is_some())
    }

    #[test]
    fn every_field_of_a_document_is_mapped_by_name() {
        let mut alert: Alert = serde_json::from_str(include_str!("../../../tests/data/alert.json")).unwrap();
        alert.portrait.overruled = Some(Overruled {
            word: Verdict::Benign,
            judge: Verdict::Hostile,
            why: "our own test".to_owned(),
            by: "alice".to_owned(),
            at: alert.at.clone(),
            cluster: alert.cluster.clone(),
        });
        let document = serde_json::to_value(Document::of(&alert, "logs-panicsift.alert-default")).unwrap();
        let mut found = BTreeSet::new();
        paths(&document, "", &mut found);
        assert!(found.len() > 80, "only {} fields were met", found.len());
        let mappings = mappings();
        let unmapped: Vec<&String> = found.iter().filter(|path| mapped(&mappings, path).is_none()).collect();
        assert!(unmapped.is_empty(), "{unmapped:?} stand in a document and in no mapping");
    }

    /// An alert of the tests may leave a list empty; the contract names all of them.
    #[test]
    fn every_key_of_the_alert_s_contract_is_mapped() {
        let contract: Value = serde_json::from_str(include_str!("../../../schemas/alert.v1.json")).unwrap();
        let keys = contract["properties"].as_object().unwrap();
        assert!(keys.len() > 30, "only {} keys were met", keys.len());
        let mappings = mappings();
        let own = &mappings["properties"]["panicsift"]["properties"];
        let unmapped: Vec<&String> = keys.keys().filter(|key| own.get(key.as_str()).is_none()).collect();
        assert!(unmapped.is_empty(), "{unmapped:?} stand in the contract and in no mapping");
    }

    #[test]
    fn fields_that_queries_are_made_of_have_ecs_s_types() {
        let mappings = mappings();
        for (path, kind) in [
            ("@timestamp", "date"),
            ("event.kind", "keyword"),
            ("event.severity", "long"),
            ("event.risk_score", "float"),
            ("source.ip", "ip"),
            ("source.as.organization.name", "keyword"),
            ("threat.technique.subtechnique.id", "keyword"),
            ("panicsift.points", "double"),
            ("panicsift.evidence.words", "text"),
            ("panicsift.overruled.word", "keyword"),
            ("panicsift.recovery.events", "long"),
        ] {
            assert_eq!(mapped(&mappings, path).unwrap()["type"], kind, "{path}");
        }
        assert_eq!(mappings["dynamic"], false);
        assert_eq!(mappings["properties"]["panicsift"]["dynamic"], false);
        assert!(mapped(&mappings, "panicsift.nothing").is_none());
    }
}
