//! Installs what a data stream needs, and says what it found.
//!
//! Takes a client, the names and the retention; asks what the server is, then for each [`Part`] what stands there, and
//! writes only what is missing or of an earlier version. So a second run writes nothing. It never deletes, never writes
//! over what is not marked as panicsift's, never goes back to an earlier version, never touches the operator's
//! `@custom` component. At the end it looks as the lane does: a template that another one outranks is a failure.
//!
//! Templates are compared leaf by leaf: all that we would write must stand there, in the server's own spelling of
//! numbers and truth values. Lifecycle policies are compared by their mark (version and retention), since servers fill
//! in more of them; they could not be had for tests, and are tested against replies as documented.
//!
//! Some ten requests, one after the other; not for the loop.

use serde_json::Value;

use super::look::{self, Found, Namesake};
use super::outlet::look_at;
use super::template::{Kind, MANAGED_BY, Part, Product, TEMPLATE_VERSION, TemplateNames, parts};
use crate::edge::deliver::{HttpClient, Method, Reading, Reply, Request, words};

/// Beginning of the description of an ISM policy of ours, before its version.
const ISM_MARK: &str = "managed_by panicsift, version ";

/// Why a server could not be prepared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// No answer, or a certificate that does not verify, or a server in trouble.
    #[error("the server cannot be asked: {0}")]
    Unreachable(String),
    /// The login is not known there.
    #[error("the server does not accept the login: {0}")]
    Unauthorized(String),
    /// The login is known and may not.
    #[error(
        "the login may not do this to the {what}: {why}; setup needs the cluster rights to manage index templates and \
         lifecycle policies, which the service itself does not"
    )]
    Forbidden {
        /// What was asked for.
        what: String,
        /// The server's words.
        why: String,
    },
    /// It answers, and is neither of the two.
    #[error("this does not look like Elasticsearch or OpenSearch: {0}; if it is one, say which with --for")]
    OtherProduct(String),
    /// Something of the same name that is not ours.
    #[error(
        "the {what} {name} exists and is not panicsift's; it is left alone: rename it, or choose another data_stream"
    )]
    NotOurs {
        /// What it is.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// The server does not take what we write.
    #[error("the server refuses the {what}: {why}")]
    Refused {
        /// What was written or asked for.
        what: String,
        /// The server's words.
        why: String,
    },
    /// All is installed, and yet the lane would not write.
    #[error("all is installed, but {0}")]
    InTheWay(String),
}

/// What became of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// It was not there.
    Created,
    /// It was of an earlier version, or changed by hand.
    Updated,
    /// It is as it should be.
    Current,
    /// It is of a later version of panicsift, and left alone.
    Newer,
    /// It is the operator's, and left alone.
    Kept,
}

impl Done {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Current => "already current",
            Self::Newer => "newer, left alone",
            Self::Kept => "yours, left alone",
        }
    }
}

/// One part and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// What became of it.
    pub done: Done,
}

/// What a run did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// What the server is.
    pub product: Product,
    /// The parts, in order.
    pub steps: Vec<Step>,
    /// What the operator should know.
    pub notes: Vec<String>,
}

impl Installed {
    /// Whether nothing had to be written.
    pub fn is_current(&self) -> bool {
        self.steps.iter().all(|step| !matches!(step.done, Done::Created | Done::Updated))
    }
}

/// Prepares the server for a stream. `product` is asked for where it is not given.
pub async fn install(
    client: &HttpClient,
    names: &TemplateNames,
    product: Option<Product>,
    retention_days: u32,
) -> Result<Installed, SetupError> {
    let product = match product {
        Some(product) => product,
        None => identify(client).await?,
    };
    let mut notes = Vec::new();
    let retention = if has_lifecycle(client, names, product).await? {
        Some(retention_days)
    } else {
        notes.push(format!(
            "this {} has no lifecycle management: alerts stay until somebody deletes them",
            product.name()
        ));
        None
    };
    let mut steps = Vec::new();
    for part in parts(names, product, retention) {
        let done = settle(client, &part, product).await?;
        steps.push(Step { kind: part.kind, name: part.name, done });
    }
    match look_at(client, names).await.map_err(|reading| unanswered(&reading))? {
        Found::Ready | Found::Older(_) => {}
        Found::Missing(why) | Found::InTheWay(why) => return Err(SetupError::InTheWay(why)),
    }
    let installed = Installed { product, steps, notes };
    with_note_on_the_present_index(client, names, installed).await
}

/// A stream that exists already keeps the fields of its present index.
async fn with_note_on_the_present_index(
    client: &HttpClient,
    names: &TemplateNames,
    mut installed: Installed,
) -> Result<Installed, SetupError> {
    let namesake = client.exchange(&look::namesake(names)).await.map_err(|reading| unanswered(&reading))?;
    if look::read_namesake(&namesake, names) == Namesake::Stream && !installed.is_current() {
        installed.notes.push(format!(
            "{0} exists: its present index keeps its fields until it rolls over (POST {0}/_rollover does it now)",
            names.data_stream
        ));
    }
    Ok(installed)
}

/// Asks the server what it is: `GET /`, and where that is not served, its node.
async fn identify(client: &HttpClient) -> Result<Product, SetupError> {
    let root = get(client, "/").await?;
    if let Some(product) = json(&root).as_ref().and_then(read_root) {
        return Ok(product);
    }
    if matches!(root.status, 403 | 405) {
        let node = get(client, "/_nodes/_local/info?filter_path=nodes.*.version,nodes.*.build_*").await?;
        if let Some(product) = json(&node).as_ref().and_then(read_node) {
            return Ok(product);
        }
    }
    Err(match root.status {
        403 => refusal(&root, "server's name and version"),
        _ => SetupError::OtherProduct(told(&root)),
    })
}

/// What `GET /` says: OpenSearch names its distribution, Elasticsearch its build flavour.
fn read_root(root: &Value) -> Option<Product> {
    let version = root.get("version")?;
    match version.get("distribution").and_then(Value::as_str) {
        Some("opensearch") => Some(Product::OpenSearch),
        Some(_) => None,
        None => version.get("build_flavor").and(Some(Product::Elasticsearch)),
    }
}

/// What a node says of itself: only Elasticsearch has flavours.
fn read_node(info: &Value) -> Option<Product> {
    let node = info.get("nodes")?.as_object()?.values().next()?;
    node.get("version")?;
    Some(if node.get("build_flavor").is_some() { Product::Elasticsearch } else { Product::OpenSearch })
}

/// Whether the server knows lifecycle policies of its kind: some builds and hosted ones do not.
async fn has_lifecycle(client: &HttpClient, names: &TemplateNames, product: Product) -> Result<bool, SetupError> {
    let reply = get(client, &format!("/{}/{}", product.policies(), names.stem)).await?;
    match reply.status {
        200 | 404 => Ok(true),
        // "no handler found", a method that is not served, and Elastic's word for what its serverless form lacks.
        400 | 405 | 410 => Ok(false),
        _ => Err(refusal(&reply, "lifecycle policy")),
    }
}

/// Makes one part what it should be.
async fn settle(client: &HttpClient, part: &Part, product: Product) -> Result<Done, SetupError> {
    let what = format!("{} {}", part.kind.name(), part.name);
    let reply = get(client, &format!("/{}", part.path)).await?;
    let present = match reply.status {
        404 => None,
        200 => Some(json(&reply).and_then(|body| present(&body, part)).ok_or_else(|| refusal(&reply, &what))?),
        _ => return Err(refusal(&reply, &what)),
    };
    let path = match &present {
        None => part.path.clone(),
        Some(_) if part.kind == Kind::Custom => return Ok(Done::Kept),
        Some(present) => match compare(&present.body, part, product) {
            Compared::NotOurs => {
                return Err(SetupError::NotOurs { what: part.kind.name(), name: part.name.clone() });
            }
            Compared::Newer => return Ok(Done::Newer),
            Compared::Same => return Ok(Done::Current),
            Compared::Different => format!("{}{}", part.path, present.guard),
        },
    };
    let reply = put(client, &format!("/{path}"), &part.body).await?;
    match reply.status {
        200..=299 => Ok(if present.is_some() { Done::Updated } else { Done::Created }),
        _ => Err(refusal(&reply, &what)),
    }
}

/// What stands on the server.
struct Present {
    body: Value,
    /// What an update has to bring along, so that it writes over nothing that it has not seen.
    guard: String,
}

/// The part within the answer to its GET.
fn present(answer: &Value, part: &Part) -> Option<Present> {
    let unguarded = |body: &Value| Some(Present { body: body.clone(), guard: String::new() });
    match part.kind {
        Kind::Component | Kind::Custom => unguarded(answer.pointer("/component_templates/0/component_template")?),
        Kind::Template => unguarded(answer.pointer("/index_templates/0/index_template")?),
        Kind::Policy => {
            if let Some(policy) = answer.get(&part.name) {
                return unguarded(policy.get("policy")?);
            }
            let (seq_no, term) = (answer.get("_seq_no")?.as_u64()?, answer.get("_primary_term")?.as_u64()?);
            let guard = format!("?if_seq_no={seq_no}&if_primary_term={term}");
            Some(Present { body: answer.get("policy")?.clone(), guard })
        }
    }
}

/// What stands there against what should.
#[derive(Debug, PartialEq, Eq)]
enum Compared {
    NotOurs,
    Newer,
    Same,
    Different,
}

fn compare(present: &Value, part: &Part, product: Product) -> Compared {
    if part.kind == Kind::Policy && product == Product::OpenSearch {
        return compare_ism(present, part);
    }
    let is_ours = present.pointer("/_meta/managed_by").is_some_and(|mark| mark == MANAGED_BY);
    let version = if part.kind == Kind::Policy { present.pointer("/_meta/version") } else { present.get("version") };
    if !is_ours {
        return Compared::NotOurs;
    }
    if version.and_then(Value::as_u64).is_some_and(|version| version > TEMPLATE_VERSION) {
        return Compared::Newer;
    }
    let is_same = if part.kind == Kind::Policy {
        part.body.pointer("/policy/_meta").is_some_and(|mark| present.get("_meta").is_some_and(|it| holds(it, mark)))
    } else {
        holds(present, &part.body)
    };
    if is_same { Compared::Same } else { Compared::Different }
}

fn compare_ism(present: &Value, part: &Part) -> Compared {
    let description = |policy: &Value| policy.get("description").and_then(Value::as_str).map(str::to_owned);
    let Some(stands) = description(present) else { return Compared::NotOurs };
    let Some(rest) = stands.strip_prefix(ISM_MARK) else { return Compared::NotOurs };
    let version = rest.split(':').next().and_then(|version| version.parse::<u64>().ok());
    if version.is_some_and(|version| version > TEMPLATE_VERSION) {
        return Compared::Newer;
    }
    let wanted = part.body.get("policy").and_then(description);
    if wanted.as_ref() == Some(&stands) { Compared::Same } else { Compared::Different }
}

/// Whether all leaves of `wanted` stand in `present`; numbers and truth values may be spelt as texts. As deep as what
/// we want, which is our own.
fn holds(present: &Value, wanted: &Value) -> bool {
    let mut open = vec![(present, wanted)];
    while let Some((present, wanted)) = open.pop() {
        match (present, wanted) {
            (Value::Object(there), Value::Object(keys)) => {
                for (key, wanted) in keys {
                    let Some(present) = there.get(key) else { return false };
                    open.push((present, wanted));
                }
            }
            (Value::Array(there), Value::Array(items)) => {
                if there.len() != items.len() {
                    return false;
                }
                open.extend(there.iter().zip(items));
            }
            (there, leaf) if spelt(there) == spelt(leaf) => {}
            _ => return false,
        }
    }
    true
}

fn spelt(leaf: &Value) -> String {
    leaf.as_str().map_or_else(|| leaf.to_string(), str::to_owned)
}

async fn get(client: &HttpClient, path: &str) -> Result<Reply, SetupError> {
    let request = Request { method: Method::Get, path: path.to_owned(), ..Request::default() };
    exchange(client, &request).await
}

async fn put(client: &HttpClient, path: &str, body: &Value) -> Result<Reply, SetupError> {
    let request = Request {
        method: Method::Put,
        path: path.to_owned(),
        content_type: "application/json",
        body: body.to_string().into_bytes(),
        ..Request::default()
    };
    exchange(client, &request).await
}

/// One exchange; what no request of ours can mend is an error here already.
async fn exchange(client: &HttpClient, request: &Request) -> Result<Reply, SetupError> {
    let reply = client.exchange(request).await.map_err(|reading| unanswered(&reading))?;
    match reply.status {
        401 => Err(SetupError::Unauthorized(told(&reply))),
        408 | 429 | 500.. => Err(SetupError::Unreachable(told(&reply))),
        _ => Ok(reply),
    }
}

fn unanswered(reading: &Reading) -> SetupError {
    SetupError::Unreachable(reading.why().unwrap_or("no answer").to_owned())
}

fn refusal(reply: &Reply, what: &str) -> SetupError {
    let (what, why) = (what.to_owned(), told(reply));
    if reply.status == 403 { SetupError::Forbidden { what, why } } else { SetupError::Refused { what, why } }
}

fn told(reply: &Reply) -> String {
    format!("HTTP {}: {}", reply.status, words(&reply.body))
}

fn json(reply: &Reply) -> Option<Value> {
    (reply.status == 200).then(|| serde_json::from_slice(&reply.body).ok()).flatten()
}

#[cfg(test)]
mod tests;
