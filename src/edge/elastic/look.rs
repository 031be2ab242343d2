//! Whether a server is ready for a data stream: the question, and what its answers mean.
//!
//! A server that has no fitting template makes a plain index of whatever it is sent, and says 201: no lifecycle, mappings
//! by guess, and a name that is taken. So we look first. Asked is the list of all index templates, cut to what decides
//! (`_simulate_index` does not say on OpenSearch whether a data stream would come of it): the matching one with the
//! highest priority wins, on both servers. It must make a data stream and be composed of our mappings. The right that is
//! needed is the cluster right `indices:admin/index_template/get`, a name that both servers take.
//!
//! A plain index of the very name goes before any template. It is asked for too; a login that may not ask
//! (`view_index_metadata`) is no hindrance, the first answer would show it. Pure. Answers are bounded by the client,
//! patterns are matched without backtracking over more than one star.

use serde::Deserialize;

use super::template::{MANAGED_BY, TEMPLATE_VERSION, TemplateNames};
use crate::edge::deliver::{Reading, Reply, Request, words};

/// The fields of a template that decide.
const TEMPLATES_PATH: &str = "/_index_template?filter_path=index_templates.name,\
     index_templates.index_template.index_patterns,index_templates.index_template.priority,\
     index_templates.index_template.version,index_templates.index_template.composed_of,\
     index_templates.index_template.data_stream,index_templates.index_template._meta.managed_by";

/// What a look at a server found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// Our template wins.
    Ready,
    /// Our template wins, and is of an earlier version: what it does not know is kept and not indexed.
    Older(u64),
    /// A template of ours is missing: `setup` mends it.
    Missing(String),
    /// Another template or an index stands in the way: the operator has to decide.
    InTheWay(String),
}

/// The question for the templates.
pub(super) fn templates() -> Request {
    Request { method: crate::edge::deliver::Method::Get, path: TEMPLATES_PATH.to_owned(), ..Request::default() }
}

/// The question for what has the stream's name today.
pub(super) fn namesake(names: &TemplateNames) -> Request {
    let path = format!("/_resolve/index/{}", names.data_stream);
    Request { method: crate::edge::deliver::Method::Get, path, ..Request::default() }
}

#[derive(Deserialize)]
struct Listed {
    #[serde(default)]
    index_templates: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
    index_template: Template,
}

#[derive(Deserialize)]
struct Template {
    #[serde(default)]
    index_patterns: Vec<String>,
    #[serde(default)]
    priority: Option<i64>,
    #[serde(default)]
    version: Option<u64>,
    #[serde(default)]
    composed_of: Vec<String>,
    #[serde(default)]
    data_stream: Option<serde_json::Value>,
    #[serde(rename = "_meta", default)]
    meta: Option<Meta>,
}

#[derive(Deserialize)]
struct Meta {
    #[serde(default)]
    managed_by: Option<serde_json::Value>,
}

/// What the list of templates says; a reply that is no such list becomes the reading that a lane goes on by.
pub(super) fn read_templates(reply: &Reply, names: &TemplateNames) -> Result<Found, Reading> {
    let told = format!("HTTP {}: {}", reply.status, words(&reply.body));
    let hold = |what: &str| Err(Reading::Hold { why: format!("{what} ({told})") });
    match reply.status {
        200 => {}
        401 => return hold("the login is not accepted"),
        403 => {
            return hold(
                "the login may not read index templates, so that nobody knows whether the alerts would go into a data \
                 stream; give it the cluster right indices:admin/index_template/get, or set template_check = \"off\"",
            );
        }
        408 | 429 | 500.. => {
            let why = format!("index templates could not be looked at: {told}");
            return Err(Reading::Retry { why, after: None, slow_down: reply.status == 429 });
        }
        _ => return hold("index templates cannot be asked for here; is this Elasticsearch or OpenSearch?"),
    }
    match serde_json::from_slice::<Listed>(&reply.body) {
        Ok(listed) => Ok(judge(&listed.index_templates, names)),
        Err(_) => hold("this is no list of index templates; is this Elasticsearch or OpenSearch?"),
    }
}

fn judge(templates: &[Named], names: &TemplateNames) -> Found {
    let name = &names.data_stream;
    let matching =
        templates.iter().filter(|one| one.index_template.index_patterns.iter().any(|pattern| matches(pattern, name)));
    let Some(winner) = matching.max_by_key(|one| one.index_template.priority.unwrap_or(0)) else {
        return Found::Missing(format!(
            "no index template matches {name}: the server would silently make a plain index of the first alert"
        ));
    };
    let Named { name: by, index_template: template } = winner;
    let by = words(by.as_bytes());
    let is_ours = template.composed_of.contains(&names.mappings())
        || template.meta.as_ref().and_then(|meta| meta.managed_by.as_ref()).is_some_and(|mark| mark == MANAGED_BY);
    let priority = template.priority.unwrap_or(0);
    let ours_is_there = templates.iter().any(|one| one.name == names.stem);
    match (is_ours, &template.data_stream) {
        (true, Some(_)) => match template.version {
            Some(version) if version < TEMPLATE_VERSION => Found::Older(version),
            _ => Found::Ready,
        },
        (true, None) => Found::InTheWay(format!(
            "index template {by} (priority {priority}) wins for {name} and has no data_stream: the server would make a \
             plain index"
        )),
        (false, _) if !ours_is_there => Found::Missing(format!(
            "the index template of panicsift is missing; {by} (priority {priority}) would take {name} with other fields"
        )),
        (false, _) => Found::InTheWay(format!(
            "index template {by} (priority {priority}) takes {name} from panicsift's; lower its priority or narrow its \
             patterns, or add {} to its composed_of",
            names.mappings()
        )),
    }
}

#[derive(Deserialize)]
struct Resolved {
    #[serde(default)]
    indices: Vec<Resolution>,
    #[serde(default)]
    data_streams: Vec<Resolution>,
}

#[derive(Deserialize)]
struct Resolution {
    name: String,
}

/// What bears the stream's name today.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Namesake {
    /// A data stream.
    Stream,
    /// A plain index.
    Index,
    /// Nothing, or nothing that we are told of.
    Unknown,
}

pub(super) fn read_namesake(reply: &Reply, names: &TemplateNames) -> Namesake {
    let resolved: Option<Resolved> = (reply.status == 200).then(|| serde_json::from_slice(&reply.body).ok()).flatten();
    let is_it = |one: &Resolution| one.name == names.data_stream;
    match resolved {
        Some(resolved) if resolved.indices.iter().any(is_it) => Namesake::Index,
        Some(resolved) if resolved.data_streams.iter().any(is_it) => Namesake::Stream,
        _ => Namesake::Unknown,
    }
}

/// The words for a plain index in the way.
pub(super) fn index_in_the_way(names: &TemplateNames) -> Found {
    let name = &names.data_stream;
    Found::InTheWay(format!(
        "a plain index is called {name}: no data stream can be made; move it elsewhere (_reindex) and delete it, or \
         choose another data_stream"
    ))
}

/// Whether a pattern of a template takes a name: `*` stands for anything, everything else for itself.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests;
