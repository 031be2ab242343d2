//! A change in a cluster's life, as it is told to the SIEM.
//!
//! Only the words of the contract: when a change is told is [`super::life`]'s business, how a cluster is described
//! [`super::portrait`]'s, how a destination writes it down that destination's. Every text that came from outside is neutralised
//! before it gets here: masked, one line, printable, bounded.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::event::Millis;
use super::operations::alarms::Told;

/// What happened in the cluster's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It became hostile.
    Opened,
    /// It grew by a level of severity.
    Raised,
    /// It is no longer hostile, or has been silent for long.
    Closed,
}

/// What an alert is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    /// A cluster of hostile input: for the SOC.
    #[default]
    HostileInput,
    /// A burst of contained panics: for whoever is on call, as all that follow.
    Storm,
    /// Retries that breed panics.
    RetryCascade,
    /// A release that meets the criteria for a rollback.
    Rollback,
    /// An error budget that burns too fast.
    ErrorBudget,
}

impl Category {
    /// Every category.
    pub const ALL: [Self; 5] = [Self::HostileInput, Self::Storm, Self::RetryCascade, Self::Rollback, Self::ErrorBudget];

    /// `hostile_input`, `storm`, `retry_cascade`, `rollback` or `error_budget`.
    pub fn name(self) -> &'static str {
        match self {
            Self::HostileInput => "hostile_input",
            Self::Storm => "storm",
            Self::RetryCascade => "retry_cascade",
            Self::Rollback => "rollback",
            Self::ErrorBudget => "error_budget",
        }
    }

    /// What the names of such situations begin with.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::HostileInput => "c",
            Self::Storm => "storm",
            Self::RetryCascade => "cascade",
            Self::Rollback => "rollback",
            Self::ErrorBudget => "budget",
        }
    }
}

/// A number that an operations alert rests on, or a cluster of a digest with its points, with its limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// What was measured, such as `amplification`.
    pub name: String,
    /// The measure; `null` where there is not enough data to say.
    pub value: Option<f64>,
    /// The limit that it is held against, where there is one.
    pub limit: Option<f64>,
    /// Whether the limit is passed.
    pub met: bool,
    /// The same in words, with all numbers.
    pub words: String,
}

/// The judge's word on a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Somebody feels for the edge of an exploit.
    Hostile,
    /// An honest fault.
    Benign,
    /// Not enough evidence for either.
    #[default]
    Undecided,
}

/// An analyst's word that holds for a cluster, and the judge's own beside it. Where both agree, nobody is overruled, and
/// the word still holds if the judge thinks otherwise later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Overruled {
    /// The analyst's word: `hostile` or `benign`. It is the verdict.
    pub word: Verdict,
    /// The judge's own verdict; the points are the judge's, too.
    pub judge: Verdict,
    /// The analyst's reason.
    pub why: String,
    /// Who said it.
    pub by: String,
    /// When it was said (wall clock, RFC 3339).
    pub at: String,
    /// Id of the cluster that it was said of: this one, or one that this one comes from.
    pub cluster: String,
}

impl Overruled {
    /// `analyst: benign (by X: why), the judge says hostile at 4.20 points`, for the cluster `id` with the judge's points.
    pub fn sentence(&self, id: &str, points: f64) -> String {
        let Self { word, judge, why, by, cluster, .. } = self;
        let of = if cluster == id { String::new() } else { format!(" of {cluster}, from which this one comes") };
        format!("analyst: {} (by {by}{of}: {why}), the judge says {} at {points:.2} points", word.name(), judge.name())
    }
}

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth a look.
    #[default]
    Low,
    /// Look today.
    Medium,
    /// Look now.
    High,
    /// Wake somebody.
    Critical,
}

/// One named piece of evidence: the points add up to the verdict's points.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// Name of the weight in `models/hostility.toml`.
    pub name: String,
    /// Points (log odds, natural); negative speaks for the defence.
    pub points: f64,
    /// The same in words, with its numbers.
    pub words: String,
}

/// A name and how many events bear it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Counted {
    /// The name.
    pub name: String,
    /// Events.
    pub events: u64,
}

/// A network and how many events came from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NetworkCount {
    /// Autonomous system number; `null` where the tables do not know.
    pub asn: Option<u32>,
    /// Its organisation.
    pub organisation: Option<String>,
    /// Events.
    pub events: u64,
}

/// An event to look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Example {
    /// The producer's event id.
    pub event_id: String,
    /// Topic, or the file that was replayed.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset, or the line number from 0.
    pub offset: i64,
}

/// Counts of a cluster at the time of the change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Counts {
    /// Events.
    pub events: u64,
    /// Distinct actors (tokens, or source prefixes).
    pub actors: u64,
    /// Distinct source addresses.
    pub addresses: u64,
    /// Distinct payload shapes.
    pub shapes: u64,
    /// Distinct panic sites.
    pub sites: u64,
    /// Distinct routes.
    pub routes: u64,
}

/// A technique of MITRE ATT&CK (Enterprise) that the evidence speaks of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Technique {
    /// Its id, `T1595.002` for a sub-technique.
    pub id: String,
    /// Its name; a sub-technique's begins with that of its technique and a colon.
    pub name: String,
    /// Id of the tactic that it serves here.
    pub tactic_id: String,
    /// Name of that tactic.
    pub tactic: String,
    /// The numbers that speak for it, in words.
    pub reason: String,
}

/// Searches of one language, ready to paste.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Searches {
    /// Every alert of this cluster and of those that became part of it.
    pub alerts: String,
    /// What the shown addresses did at that time in whatever else is there; empty where no address is known.
    pub events: String,
}

/// Where to see the rest.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Queries {
    /// In Splunk's search language.
    pub spl: Searches,
    /// In Elasticsearch's ES|QL.
    pub esql: Searches,
}

/// What a cluster looks like: the part that an alert and a report have in common.
///
/// `counts.events`, sites, routes, shapes and services are of the events in the cluster. A cluster of suspects is a share
/// of cells that others use too, so its classes, networks, countries, addresses, agents, scopes, releases, recovery and
/// examples are those of the suspects over all that they sent, which can be more than the share.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Portrait {
    /// What it is, in a line.
    pub title: String,
    /// The judge's word, or the analyst's where one holds (`overruled`).
    pub verdict: Verdict,
    /// Sum of all evidence (log odds, natural).
    pub points: f64,
    /// The points that a cluster needs to be called hostile, under this model.
    pub threshold: f64,
    /// The analyst's word that holds, and the judge's own beside it; `null` where none does.
    #[serde(default)]
    pub overruled: Option<Overruled>,
    /// How much it matters: of a hostile cluster impact times confidence, else impact alone.
    pub severity: Severity,
    /// The probability that it is hostile, from 0.001 to 0.999: the model's map of the points, learned on campaigns that
    /// the weights had not seen; `null` where nobody is suspect.
    #[serde(default)]
    pub confidence: Option<f64>,
    /// The technique that the evidence speaks of; `null` where it speaks of none.
    #[serde(default)]
    pub technique: Option<Technique>,
    /// What to do first, in a sentence; empty where the cluster is not hostile.
    #[serde(default)]
    pub next_step: String,
    /// Where to see the rest; `null` outside alerts on hostile clusters.
    #[serde(default)]
    pub queries: Option<Queries>,
    /// Evidence, the weightiest first.
    pub evidence: Vec<Evidence>,
    /// Evidence for the defence, the weightiest first.
    pub counter_evidence: Vec<Evidence>,
    /// Event time of the first event (RFC 3339).
    pub first_event: String,
    /// Event time of the last event (RFC 3339).
    pub last_event: String,
    /// Counts.
    pub counts: Counts,
    /// Tenant; empty for the default one.
    pub tenant: String,
    /// Services.
    pub services: Vec<Counted>,
    /// Panic sites.
    pub sites: Vec<Counted>,
    /// Routes.
    pub routes: Vec<Counted>,
    /// Payload shapes.
    pub shapes: Vec<Counted>,
    /// Panic classes.
    pub classes: Vec<Counted>,
    /// Networks.
    pub networks: Vec<NetworkCount>,
    /// Countries of the addresses (ISO 3166, two letters).
    pub countries: Vec<Counted>,
    /// Source addresses, a bounded sample.
    pub addresses: Vec<String>,
    /// User agents by their first product name.
    pub agents: Vec<Counted>,
    /// Token scopes.
    pub token_scopes: Vec<Counted>,
    /// Releases.
    pub releases: Vec<Counted>,
    /// Announced tests (`[[expected]]` in the configuration) and how many events came under each.
    #[serde(default)]
    pub expected: Vec<Counted>,
    /// Ordinary traffic was there to judge by: samples of requests to each of its services that did not panic were heard in
    /// the day before its last event.
    #[serde(default)]
    pub ordinary_traffic: bool,
    /// Recovery outcomes.
    pub recovery: Vec<Counted>,
    /// Events to look at.
    pub examples: Vec<Example>,
    /// Clusters that became part of this one, or that this one came from.
    pub lineage: Vec<String>,
    /// Version of the models that judged.
    pub model: String,
}

/// One change in a cluster's life: the contract `schemas/alert.v1.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "panicsift alert, version 1")]
pub struct Alert {
    /// Always `alert.v1`.
    pub schema: String,
    /// Unique and reproducible: the hash of cluster, ordinal and change. Resending is harmless.
    pub alert_id: String,
    /// What happened.
    pub change: Change,
    /// What it is about.
    #[serde(default)]
    pub category: Category,
    /// Id of the cluster, or of the situation on which operations are alerted; the same over its whole life.
    pub cluster: String,
    /// Ordinal of the change in the cluster's life, from 0.
    pub ordinal: u32,
    /// Event time at which the change was decided (RFC 3339).
    pub at: String,
    /// The numbers that an operations alert rests on, and the clusters that a digest tells.
    #[serde(default)]
    pub findings: Vec<Finding>,
    /// What the cluster, or the situation, looked like then.
    #[serde(flatten)]
    pub portrait: Portrait,
}

impl Alert {
    /// The value of [`Alert::schema`].
    pub const SCHEMA: &'static str = "alert.v1";

    /// The alert for a change that was decided at `at`; its id follows from cluster, ordinal and change.
    pub fn of(change: Change, cluster: &str, ordinal: u32, at: Millis, portrait: Portrait) -> Self {
        let hash = blake3::hash(format!("{cluster} {ordinal} {}", change.name()).as_bytes());
        let alert_id = hash.to_hex().chars().take(32).collect();
        let at = at.to_string();
        let (schema, cluster) = (Self::SCHEMA.to_owned(), cluster.to_owned());
        let category = Category::HostileInput;
        Self { schema, alert_id, change, category, cluster, ordinal, at, findings: Vec::new(), portrait }
    }

    /// The alert for a change in a situation that concerns operations.
    pub fn of_operations(
        category: Category,
        told: &Told,
        at: Millis,
        portrait: Portrait,
        findings: Vec<Finding>,
    ) -> Self {
        Self { category, findings, ..Self::of(told.change, &told.name, told.ordinal, at, portrait) }
    }
}

impl Technique {
    /// Id and name of the technique itself, and those of its sub-technique where it is one.
    pub fn parts(&self) -> ((&str, &str), Option<(&str, &str)>) {
        let own = (self.id.as_str(), self.name.as_str());
        match (self.id.split_once('.'), self.name.split_once(": ")) {
            (Some((id, _)), Some((name, sub))) => ((id, name), Some((own.0, sub))),
            _ => (own, None),
        }
    }
}

impl Change {
    /// `opened`, `raised` or `closed`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Raised => "raised",
            Self::Closed => "closed",
        }
    }
}

impl Verdict {
    /// `hostile`, `benign` or `undecided`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hostile => "hostile",
            Self::Benign => "benign",
            Self::Undecided => "undecided",
        }
    }
}

impl Severity {
    /// `low`, `medium`, `high` or `critical`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}
