//! What may be asked of a store: `panicsift report`.
//!
//! Only types and words, as all of [`super`]: which question was typed, in which form it is to be answered, and which
//! forms a question has.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{BudgetArgs, HtmlArgs, KpiArgs, PostmortemArgs, ReleasesArgs, RetryPolicyArgs, TelemetryArgs};
use crate::pipeline::alert::Verdict;
use crate::report;

/// Options of `report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// What to ask.
    #[command(subcommand)]
    pub question: Question,
    /// The store of the service
    #[arg(long, global = true, value_name = "PATH", default_value = "/var/lib/panicsift/panicsift.db")]
    pub store: PathBuf,
    /// Form of the answer
    #[arg(long, global = true, value_name = "FORMAT", default_value = "table")]
    pub format: ReportForm,
}

/// Forms of an answer of `report`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReportForm {
    /// For people
    Table,
    /// For machines; one object a line for export
    Json,
    /// For spreadsheets
    Csv,
    /// For code hosts (SARIF 2.1.0); surfaces only
    Sarif,
    /// A policy file for clients; retry-policy only
    Toml,
    /// Routes for an Envoy proxy; retry-policy only
    Envoy,
    /// For tickets (Markdown); post-mortems only, and what they are written in unless another form is asked for
    Md,
    /// For browsers, one page; post-mortems only
    Html,
}

impl ReportForm {
    /// The form of an answer that is told in rows; `None` for the forms of single questions.
    pub fn of_rows(self) -> Option<report::Format> {
        match self {
            Self::Table => Some(report::Format::Table),
            Self::Json => Some(report::Format::Json),
            Self::Csv => Some(report::Format::Csv),
            Self::Sarif | Self::Toml | Self::Envoy | Self::Md | Self::Html => None,
        }
    }

    /// The form of an answer about surfaces; `None` for those of other questions.
    pub fn of_surfaces(self) -> Option<report::surfaces::Form> {
        match self {
            Self::Table => Some(report::surfaces::Form::Table),
            Self::Json => Some(report::surfaces::Form::Json),
            Self::Csv => Some(report::surfaces::Form::Csv),
            Self::Sarif => Some(report::surfaces::Form::Sarif),
            Self::Toml | Self::Envoy | Self::Md | Self::Html => None,
        }
    }

    /// The form of a retry policy; `None` for those of other questions.
    pub fn of_retry_policy(self) -> Option<report::retry_policy::Form> {
        match self {
            Self::Toml => Some(report::retry_policy::Form::Toml),
            Self::Envoy => Some(report::retry_policy::Form::Envoy),
            other => other.of_rows().map(report::retry_policy::Form::Told),
        }
    }

    /// The form of a document; `None` for those that have no words for one.
    pub fn of_document(self) -> Option<report::document::Form> {
        match self {
            Self::Md | Self::Table => Some(report::document::Form::Markdown),
            Self::Html => Some(report::document::Form::Html),
            Self::Json => Some(report::document::Form::Json),
            Self::Csv | Self::Sarif | Self::Toml | Self::Envoy => None,
        }
    }
}

/// Questions of `report`.
#[derive(Debug, Subcommand)]
pub enum Question {
    /// About clusters.
    #[command(flatten)]
    Clusters(ClusterQuestion),
    /// Tell where services panic, by surface, class, site and release, and what to write there instead
    Surfaces(SurfacesArgs),
    /// Count panics over time by endpoint, release, service, outcome, surface, class or boundary, with rates where a
    /// traffic feed tells how many requests there were
    Telemetry(TelemetryArgs),
    /// Tell which requests may be sent again, by route and panic class, and what retries really did
    RetryPolicy(RetryPolicyArgs),
    /// Hold releases against each other, with intervals, and against the rollback criteria
    Releases(ReleasesArgs),
    /// Tell how error budgets stand: what burns them, how fast, how long they last
    #[command(after_long_help = "Examples:
  panicsift report budget
  panicsift report budget --slo checkout --at 6h --format json
  panicsift report budget --config /etc/panicsift/config.toml
  panicsift report budget --service checkout --route 'POST /v1/orders' --objective 0.999 --window 30d

Rates need the request totals of a traffic feed; without it there are counts alone.")]
    Budget(BudgetArgs),
    /// Write what happened in a stretch of time as one page: Markdown, HTML or JSON
    Postmortem(PostmortemArgs),
    /// Tell whether the goals of a migration are met, against a baseline
    Kpi(KpiArgs),
    /// Write all of it as one HTML page: overview, clusters with timelines and evidence, networks, shapes, alerts
    ///
    /// One self-contained file that asks nothing of any network, to be looked at, printed and sent on. The same store
    /// gives the same page.
    #[command(after_long_help = "Examples:
  panicsift report html --out report.html")]
    Html(HtmlArgs),
}

/// Options of `report surfaces`.
#[derive(Debug, Args)]
pub struct SurfacesArgs {
    /// Only this service
    #[arg(long, value_name = "NAME")]
    pub service: Option<String>,
    /// Only this release
    #[arg(long, value_name = "NAME")]
    pub release: Option<String>,
    /// Most rows to tell, those that hurt most [default: 20 as a table, else all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: Option<u32>,
    /// Configuration whose models of panics and replacements are used [default: the built-in ones]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

impl From<SurfacesArgs> for report::surfaces::Selection {
    fn from(typed: SurfacesArgs) -> Self {
        let limit = typed.limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
        Self { service: typed.service, release: typed.release, limit }
    }
}

/// Questions about clusters.
#[derive(Debug, Subcommand)]
pub enum ClusterQuestion {
    /// Rank the clusters
    List(Selection),
    /// Show one cluster: timeline, members, networks, scopes, shapes, sites, releases
    Show {
        /// The cluster's id, or the beginning of it; an id that became part of another cluster is followed
        cluster: String,
    },
    /// Add up why a cluster got its verdict
    Explain {
        /// The cluster's id, or the beginning of it; an id that became part of another cluster is followed
        cluster: String,
    },
    /// Write out all clusters with all they hold: JSON, one object a line, or CSV, one row a cluster
    Export(Selection),
}

/// Which clusters are meant.
#[derive(Debug, Clone, Args)]
pub struct Selection {
    /// Most clusters to tell [default: 20 for list as a table, else all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: Option<u32>,
    /// Only clusters with this verdict
    #[arg(long, value_name = "VERDICT")]
    pub verdict: Option<VerdictArg>,
}

/// Verdicts, as they are typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum VerdictArg {
    /// Somebody feels for the edge of an exploit
    Hostile,
    /// An honest fault
    Benign,
    /// Not enough evidence for either
    Undecided,
}

impl From<Selection> for report::Selection {
    fn from(typed: Selection) -> Self {
        let verdict = typed.verdict.map(|verdict| match verdict {
            VerdictArg::Hostile => Verdict::Hostile,
            VerdictArg::Benign => Verdict::Benign,
            VerdictArg::Undecided => Verdict::Undecided,
        });
        Self { limit: typed.limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX)), verdict }
    }
}

impl From<ClusterQuestion> for report::Question {
    fn from(typed: ClusterQuestion) -> Self {
        match typed {
            ClusterQuestion::List(selection) => Self::List(selection.into()),
            ClusterQuestion::Show { cluster } => Self::Show(cluster),
            ClusterQuestion::Explain { cluster } => Self::Explain(cluster),
            ClusterQuestion::Export(selection) => Self::Export(selection.into()),
        }
    }
}
