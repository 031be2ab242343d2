//! The retry policy as routes of an Envoy proxy.
//!
//! Pure: rows in, one JSON document out: a list of `envoy.config.route.v3.Route`, to be put into a virtual host. JSON is
//! what Envoy reads itself, and YAML too. A proxy sees answers and not panic classes, so a route's word is the strictest
//! over its classes; a route that must not be retried stands there without a `retry_policy`, and every route says why in
//! its metadata. Routes of guessed paths and rests are left out: nothing can be matched by them.
//!
//! Fields are those of `api/envoy/config/route/v3/route_components.proto`. `retriable_request_headers` names headers that
//! a request must have to be retried: there the idempotency key goes. The cluster is called as the service.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::Row;
use crate::pipeline::operations::gate::Gate;
use crate::report::sheet::printable;

/// The header of draft-ietf-httpapi-idempotency-key-header-07 §2.1, in lower case as HTTP/2 has it.
const KEY_HEADER: &str = "idempotency-key";

/// Retries: Envoy's own default. More add to the load of a service that is in trouble.
const NUM_RETRIES: u32 = 1;

/// First pause before a retry; Envoy's own default of 25 ms is too short for an isolate to be replaced.
const BASE_INTERVAL: &str = "0.100s";

/// Longest pause before a retry.
const MAX_INTERVAL: &str = "1s";

/// What the rows of one route come to.
#[derive(Default)]
struct Route {
    gate: Option<Gate>,
    why: BTreeSet<String>,
    statuses: BTreeSet<u16>,
    unanswered: u64,
    events: u64,
}

/// The document.
pub(super) fn routes(rows: &[Row]) -> Value {
    let mut routes: BTreeMap<(&str, &str), Route> = BTreeMap::new();
    for row in rows {
        let Some(name) = row.route.as_deref().filter(|_| row.is_named) else { continue };
        let route = routes.entry((row.service.as_str(), name)).or_default();
        let class = row.class.as_deref().map_or_else(|| "any class".to_owned(), printable);
        route.why.insert(format!("{class}: {}: {}", row.word.gate.name(), row.why()));
        route.gate = route.gate.max(Some(row.word.gate));
        route.statuses.extend(row.policy.statuses.keys());
        route.unanswered += row.policy.unanswered;
        route.events += row.policy.events();
    }
    // Of two templates the one with fewer parameters goes first: Envoy takes the first that fits.
    let mut ordered: Vec<_> = routes.into_iter().collect();
    ordered.sort_by_key(|((service, route), _)| (*service, route.matches('{').count(), *route));
    let routes = ordered.iter().filter_map(|((service, name), route)| route.entry(service, name));
    json!({"routes": routes.collect::<Vec<_>>()})
}

impl Route {
    /// The route; `None` where its name is no method and path.
    fn entry(&self, service: &str, name: &str) -> Option<Value> {
        let (method, path) = name.split_once(' ').filter(|(_, path)| path.starts_with('/'))?;
        let retry = self.gate.filter(|gate| *gate <= Gate::SafeWithKey).map(|gate| self.retry_policy(gate));
        let retry = retry.filter(|policy| !policy.is_null());
        let words = match (&retry, self.gate) {
            (Some(_), _) => "retried",
            (None, Some(Gate::Safe | Gate::SafeWithKey)) => {
                "not retried: its panics are answered below 500, which is no failure to a proxy"
            }
            (None, _) => "not retried",
        };
        let mut action = json!({"cluster": printable(service)});
        if let (Some(policy), Some(action)) = (retry, action.as_object_mut()) {
            action.insert("retry_policy".to_owned(), policy);
        }
        let told = json!({
            "retry": self.gate.map(Gate::name),
            "words": words,
            "why": self.why,
            "events": self.events,
        });
        let mut matched = matched(path);
        if let Some(matched) = matched.as_object_mut() {
            let method = json!([{"name": ":method", "string_match": {"exact": printable(method)}}]);
            matched.insert("headers".to_owned(), method);
        }
        Some(json!({
            "name": printable(&format!("{service} {name}")),
            "match": matched,
            "route": action,
            "metadata": {"filter_metadata": {"panicsift": told}},
        }))
    }

    /// `Null` where there is nothing that a proxy could see.
    fn retry_policy(&self, gate: Gate) -> Value {
        let mut on: Vec<&str> = Vec::new();
        if !self.statuses.is_empty() {
            on.push("retriable-status-codes");
        }
        if self.unanswered > 0 {
            on.push("reset");
        }
        if on.is_empty() {
            return Value::Null;
        }
        let mut policy = json!({
            "retry_on": on.join(","),
            "num_retries": NUM_RETRIES,
            "retry_back_off": {"base_interval": BASE_INTERVAL, "max_interval": MAX_INTERVAL},
        });
        if let Some(policy) = policy.as_object_mut() {
            if !self.statuses.is_empty() {
                policy.insert("retriable_status_codes".to_owned(), json!(self.statuses));
            }
            if gate == Gate::SafeWithKey {
                let header = json!([{"name": KEY_HEADER, "present_match": true}]);
                policy.insert("retriable_request_headers".to_owned(), header);
            }
        }
        policy
    }
}

/// The path as it is, or as a regular expression where it has parameters.
fn matched(path: &str) -> Value {
    if !path.contains('{') {
        return json!({"path": printable(path)});
    }
    let segment = |segment: &str| {
        let parameter = segment.starts_with('{') && segment.ends_with('}');
        if parameter { "[^/]+".to_owned() } else { pieces(segment) }
    };
    let regex: Vec<String> = path.split('/').map(segment).collect();
    json!({"safe_regex": {"regex": printable(&regex.join("/"))}})
}

/// A segment with parameters inside it, such as `{id}.json`; what is not a parameter stands for itself.
fn pieces(segment: &str) -> String {
    let mut regex = String::new();
    let mut rest = segment;
    while let Some((text, after)) = rest.split_once('{') {
        regex.push_str(&regex::escape(text));
        let parameter = after.split_once('}').map(|(_, after)| after);
        regex.push_str(if parameter.is_some() { "[^/]+" } else { "\\{" });
        rest = parameter.unwrap_or(after);
    }
    regex.push_str(&regex::escape(rest));
    regex
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_becomes_an_expression_that_fits_its_paths_alone() {
        let check = |template: &str, path: &str, expected: bool| {
            let matched = matched(template);
            let fits = matched["safe_regex"]["regex"].as_str().map_or_else(
                || matched["path"] == path,
                |text| regex::Regex::new(&format!("^(?:{text})$")).unwrap().is_match(path),
            );
            assert_eq!(fits, expected, "{template} {path} {matched}");
        };
        check("/v1/orders", "/v1/orders", true);
        check("/v1/orders", "/v1/orders/7", false);
        check("/v1/orders/{id}", "/v1/orders/7", true);
        check("/v1/orders/{id}", "/v1/orders/7/cancel", false);
        check("/v1/orders/{id}.json", "/v1/orders/7xjson", false);
        check("/v1/orders/{id}.json", "/v1/orders/7.json", true);
        check("/v1/a{b/{id}", "/v1/a{b/7", true);
        check("/v1/(x+)+/{id}", "/v1/(x+)+/7", true);
        check("/v1/(x+)+/{id}", "/v1/xx/7", false);
    }
}
