//! The inventory as SARIF 2.1.0 (OASIS Standard, 27 March 2020), for code hosts.
//!
//! One rule for each class of panic, whose help is the replacement in two phases; one result for each site and class,
//! over all releases, with `occurrenceCount`. Its line is that of the latest panic: lines move with each release. What comes from producers stands in property bags, in a percent-encoded URI and in
//! a logical location; messages are made of numbers and the model's own words, with the characters that SARIF gives a
//! meaning (§3.11.5, §3.11.6) escaped.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::place::SitePlace;
use super::row::{Contradictions, Releases, Row};
use super::{Explained, Knowledge, became, explained};
use crate::pipeline::classify::Surface;
use crate::pipeline::event::Millis;
use crate::pipeline::surfaces::SurfaceCounts;
use crate::pipeline::surfaces::replacements::surface_name;
use crate::report::sheet::printable;

/// The published schema.
const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// Releases of a result that are named; all are counted.
const RELEASES_MAX: usize = 20;

/// All releases of one site.
struct Finding<'r> {
    first_row: &'r Row,
    class: &'r str,
    surface: Surface,
    counts: SurfaceCounts,
    contradictions: Contradictions,
    releases: BTreeSet<&'r str>,
    /// Whether some releases have no row of their own.
    more_releases: bool,
}

/// What a finding is about.
type FindingKey<'r> = (&'r str, Option<&'r str>, &'r str, &'r str);

/// The log with one run. `rows` in their order; the first row of a site says where its result stands.
pub(super) fn log(rows: &[Row], knowledge: &Knowledge) -> Value {
    let findings = findings(rows);
    let mut rules: Vec<Value> = Vec::new();
    let mut rule_of: BTreeMap<(&str, Surface), usize> = BTreeMap::new();
    let mut results = Vec::new();
    for finding in &findings {
        let said = explained(finding.class, finding.surface, knowledge);
        let at = *rule_of.entry((finding.class, finding.surface)).or_insert_with(|| {
            rules.push(rule(&said));
            rules.len() - 1
        });
        results.push(result(finding, &said, at));
    }
    let elsewhere: u64 = rows.iter().filter(|row| row.site_id.is_none()).map(|row| row.events).sum();
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "panicsift",
                "version": env!("CARGO_PKG_VERSION"),
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "automationDetails": {"id": "panicsift/surfaces/"},
            "results": results,
            "properties": {
                "panicsModel": printable(knowledge.panics.version()),
                "replacementsModel": printable(knowledge.replacements.version()),
                "eventsOfFurtherSites": elsewhere,
            },
        }],
    })
}

fn findings(rows: &[Row]) -> Vec<Finding<'_>> {
    let mut findings: Vec<Finding<'_>> = Vec::new();
    let mut known: BTreeMap<(FindingKey<'_>, Surface), usize> = BTreeMap::new();
    for row in rows {
        let (Some(class), Some(surface), Some(site)) = (row.class.as_deref(), row.surface, row.site_id.as_deref())
        else {
            continue;
        };
        let key = ((row.tenant.as_str(), row.service.as_deref(), class, site), surface);
        let at = *known.entry(key).or_insert_with(|| {
            findings.push(Finding {
                first_row: row,
                class,
                surface,
                counts: SurfaceCounts::default(),
                contradictions: Contradictions::default(),
                releases: BTreeSet::new(),
                more_releases: false,
            });
            findings.len() - 1
        });
        if let Some(finding) = findings.get_mut(at) {
            finding.counts.merge(&row.counts);
            finding.contradictions.add(row.contradictions);
            finding.releases.extend(row.release.as_deref());
            finding.more_releases |= row.releases == Releases::Others;
        }
    }
    findings
}

fn rule(said: &Explained) -> Value {
    let name = said.class.split('_').map(capitalised).collect::<String>();
    let answer = said.suggested.as_ref().map_or(String::new(), |suggested| {
        let retry = suggested.retry.replace('_', " ");
        format!("Answer: {} ({}), retry {retry}, {}. ", suggested.status, suggested.title, suggested.problem_type)
    });
    let text = format!("Phase 1: {}. Phase 2: {}. Example: {}. {answer}", said.phase1, said.phase2, said.example);
    let markdown = format!(
        "**Phase 1:** {}\n\n**Phase 2:** {}\n\n**Example:** {}\n\n{answer}",
        said.phase1, said.phase2, said.example
    );
    json!({
        "id": said.class,
        "name": name,
        "shortDescription": {"text": message(&format!("Panic of the class {}", said.class))},
        "fullDescription": {"text": message(&format!(
            "Code of the surface {} that panics in production, seen by panicsift as {}.", said.surface, said.class))},
        "help": {"text": message(text.trim_end()), "markdown": message(markdown.trim_end())},
        "defaultConfiguration": {"level": "warning"},
        "properties": {"tags": ["panic", said.surface]},
    })
}

fn capitalised(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(chars).collect()
}

fn result(finding: &Finding<'_>, said: &Explained, rule: usize) -> Value {
    let row = finding.first_row;
    let place = SitePlace::of(row.site.as_deref().unwrap_or_default());
    let [recovered, degraded, escaped, aborted, suspected_abort, unknown] = finding.counts.recoveries;
    let level = match (escaped.max(aborted).max(suspected_abort), degraded.max(unknown)) {
        (0, 0) => "note",
        (0, _) => "warning",
        _ => "error",
    };
    let site = row.site_id.as_deref().unwrap_or_default();
    let mut properties = json!({
        "tenant": printable(&row.tenant),
        "service": row.service.as_deref().map(printable),
        "surface": surface_name(finding.surface),
        "firstSeen": finding.counts.first.to_string(),
        "lastSeen": finding.counts.last.to_string(),
        "events": finding.counts.n,
        "recovered": recovered, "degraded": degraded, "escaped": escaped, "aborted": aborted,
        "suspectedAbort": suspected_abort, "unknown": unknown,
        "routes": finding.counts.routes.len_estimate(),
        "releases": finding.releases.iter().take(RELEASES_MAX).map(|release| printable(release)).collect::<Vec<_>>(),
        "releaseCount": finding.releases.len(), "furtherReleases": finding.more_releases,
        "contradictions": finding.contradictions,
        "pathShortened": place.shortened,
    });
    if let (Some(suggested), Value::Object(properties)) = (&said.suggested, &mut properties) {
        properties.insert("suggestedStatus".to_owned(), suggested.status.into());
        properties.insert("suggestedRetry".to_owned(), suggested.retry.into());
        properties.insert("suggestedProblemType".to_owned(), suggested.problem_type.as_str().into());
    }
    let mut result = json!({
        "ruleId": finding.class,
        "ruleIndex": rule,
        "level": level,
        "message": {"text": message(&words(finding, said))},
        "partialFingerprints": {"panicsiftSite/v1": format!("{site}:{}", finding.class)},
        "occurrenceCount": finding.counts.n,
        "properties": properties,
    });
    if let (Some(location), Value::Object(result)) = (location(&place, finding.counts.line), &mut result) {
        result.insert("locations".to_owned(), json!([location]));
    }
    result
}

/// Where it is, as far as that is known.
fn location(place: &SitePlace, line: Option<(Millis, u32)>) -> Option<Value> {
    let mut location = Map::new();
    if let Some(uri) = &place.uri {
        let mut physical = json!({"artifactLocation": {"uri": uri, "uriBaseId": "%SRCROOT%"}});
        if let (Some((_, line)), Value::Object(physical)) = (line.filter(|(_, line)| *line > 0), &mut physical) {
            physical.insert("region".to_owned(), json!({"startLine": line}));
        }
        location.insert("physicalLocation".to_owned(), physical);
    }
    if let Some(function) = &place.function {
        let function = json!([{"fullyQualifiedName": printable(function), "kind": "function"}]);
        location.insert("logicalLocations".to_owned(), function);
    }
    (!location.is_empty()).then_some(Value::Object(location))
}

/// The result in numbers and the model's words; nothing in it is a producer's.
fn words(finding: &Finding<'_>, said: &Explained) -> String {
    let answered = match (&said.suggested, finding.contradictions.n_most()) {
        (Some(suggested), n) if n > 0 => {
            format!(" {n} answers contradict the class, which says {}.", suggested.status)
        }
        _ => String::new(),
    };
    let (n, became) = (finding.counts.n, became(finding.counts.recoveries));
    format!("{n} panics of the class {} at this site: {became}.{answered} Replace: {}.", finding.class, said.phase1)
}

/// A text in which nothing is a placeholder or a link.
fn message(text: &str) -> String {
    printable_lines(text).replace('{', "{{").replace('}', "}}").replace("](", "] (")
}

/// One printable line for each line.
fn printable_lines(text: &str) -> String {
    text.split('\n').map(printable).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_no_placeholder_no_link_and_no_steering() {
        let check = |text: &str, expected: &str| assert_eq!(message(text), expected);
        check("plain, with `get(i)`", "plain, with `get(i)`");
        check("`let [a, ..] = b else { return };`", "`let [a, ..] = b else {{ return }};`");
        check("[click](https://evil.example) {0}", "[click] (https://evil.example) {{0}}");
        check("one\ntwo\u{1b}[2J", "one\ntwo\\u{{1b}}[2J");
    }

    #[test]
    fn names_of_rules_are_in_camel_case() {
        let check = |id: &str, expected: &str| {
            assert_eq!(id.split('_').map(capitalised).collect::<String>(), expected);
        };
        check("index_oob", "IndexOob");
        check("custom", "Custom");
        check("_", "");
    }
}
