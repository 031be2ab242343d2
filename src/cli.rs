//! The command line: what may be typed, and the help that teaches it.
//!
//! Only types and words; nothing here reads a file or does work. [`command`] is also what completions and manual pages
//! are made of, so that they never disagree with the help. Exit codes are in [`EXIT_CODES`].

mod dead_letters;
mod inspect;
mod outbox;
mod setup;

use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

pub use self::dead_letters::{
    DeadLettersArgs, DeadLettersDeed, LetterShowArgs, LettersListArgs, LettersPurgeArgs, LettersReplayArgs,
};
pub use self::inspect::{FeedArgs, InspectArgs};
pub use self::outbox::{OutboxArgs, OutboxDeed, OutboxDropArgs, OutboxListArgs, OutboxRetryArgs};
pub use self::setup::{SetupArgs, SetupTarget};
use crate::app::{Demo, ReplayOptions, TrainOptions};
use crate::config::{LogFormat, LogLevel, Settings};
use crate::pipeline::alert::Verdict;
use crate::report;
use crate::secret::Secret;

/// Exit code of a command that did what was asked. A reader that closes the pipe early is no failure.
pub const EXIT_DONE: u8 = 0;
/// Exit code of a command that failed.
pub const EXIT_FAILED: u8 = 1;
/// Exit code of a command line or a configuration that is not valid.
pub const EXIT_USAGE: u8 = 2;

/// The exit codes, as the help tells them.
pub const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 command line or configuration not valid.
Results are written to standard output, logs to standard error.";

/// Sifts hostile input out of the panics that Rust services survive.
///
/// Reads panic recovery events from Kafka or files, gathers them into clusters, judges which of these are hostile input,
/// and tells the SIEM once for each change.
#[derive(Debug, Parser)]
#[command(
    name = "panicsift",
    version,
    arg_required_else_help = true,
    after_long_help = format!("Begin with:\n  panicsift demo\n  panicsift help run\n\n{EXIT_CODES}")
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How it is told.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Options of every command.
#[derive(Debug, Clone, Copy, Args)]
pub struct OutputArgs {
    /// Least important level that is logged [default: info, or the configuration's]
    #[arg(long, global = true, value_name = "LEVEL", help_heading = "Log")]
    pub log_level: Option<LogLevel>,
    /// Form of a log line [default: text, or the configuration's]
    #[arg(long, global = true, value_name = "FORMAT", help_heading = "Log")]
    pub log_format: Option<LogFormat>,
    /// Write without colour; the environment variable `NO_COLOR` does the same
    #[arg(long, global = true, help_heading = "Log")]
    pub no_color: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the main job on an embedded broker and built-in events
    ///
    /// Starts a Kafka mock cluster inside the process, sends a few thousand real events through it and through the whole
    /// pipeline, delivers alerts to local files and ends with the cluster report. Nothing is left running.
    #[command(after_long_help = "Examples:\n  panicsift demo\n  panicsift demo --dir demo-out")]
    Demo(DemoArgs),
    /// Run the service: Kafka in, alerts out
    ///
    /// Runs until it is told to stop (SIGTERM or Ctrl-C); what is under way is finished first. Metrics and health are
    /// served at the address of `admin.listen`.
    #[command(after_long_help = "Examples:
  panicsift run --config /etc/panicsift/config.toml
  panicsift run --config config.toml --log-level debug --log-format json")]
    Run(RunArgs),
    /// Put event files through the whole pipeline, in event time
    ///
    /// Reads files of any carrier's records (lines, or one pretty-printed or binary record a file; plain or compressed
    /// with gzip or zstd; - is standard input) and writes what became of every event. The same input gives the same output, byte for byte.
    #[command(after_long_help = "Examples:
  panicsift replay events.jsonl.gz
  panicsift replay --asn asn.mmdb --assignments out.jsonl --alerts alerts.jsonl monday.jsonl.gz tuesday.jsonl.zst
  zcat events.jsonl.gz | panicsift replay --json -")]
    Replay(ReplayArgs),
    /// Learn weights of evidence from labelled sets
    #[command(after_long_help = "Examples:
  panicsift train sets/shop sets/clinic --reference sets/quiet-day --asn asn.mmdb --out hostility.toml
  panicsift train sets/shop sets/clinic --reference sets/quiet-day --asn asn.mmdb --validate

A set is a folder with events.jsonl and labels.jsonl (plain, or packed with gzip or zstd); a label has event_id, hostile
and campaign.")]
    Train(TrainArgs),
    /// See what the decoders make of records: run it on a dump of a topic first
    ///
    /// Writes one JSON line for each panic found: its carrier, its class and the event in canonical form; and one for
    /// each record that is refused, with the reason. What belongs together is put together as the service does. Bodies
    /// and other values are left out unless they are asked for. What became of all records is counted in the log.
    #[command(after_long_help = "Examples:
  panicsift inspect dump.jsonl
  panicsift inspect --carrier text --service checkout --all stderr.log
  kcat -b broker:9092 -t tail -e | panicsift inspect -

Carriers: canonical (panic-event.v1), cloudflare_tail, cloudflare_logpush, cloudflare_http_requests, sentry, otlp, text.")]
    Inspect(InspectArgs),
    /// Ask about clusters: list, show, explain, export; and where services panic: surfaces
    #[command(after_long_help = "Examples:
  panicsift report list
  panicsift report list --verdict hostile --limit 5
  panicsift report explain CLUSTER
  panicsift report export --format csv > clusters.csv
  panicsift report surfaces --service checkout --format sarif > panics.sarif

The store may be read while the service writes it.")]
    Report(ReportArgs),
    /// Look at alerts that wait or were refused; send them again, or give them up
    #[command(after_long_help = "Examples:
  panicsift outbox list
  panicsift outbox list --destination splunk --fate waiting --limit 50
  panicsift outbox retry --destination splunk --dry-run
  panicsift outbox retry --all
  panicsift outbox drop --destination old-siem --why decommissioned --yes

All of it may be done while the service runs.")]
    Outbox(OutboxArgs),
    /// Look at refused records; put them through the present version again, or take them out
    #[command(after_long_help = "Examples:
  panicsift dead-letters list --config /etc/panicsift/config.toml
  panicsift dead-letters show 3f1c --file dead-letters.jsonl
  panicsift dead-letters replay --config config.toml --reason bad_value --dry-run
  panicsift dead-letters replay --config config.toml --all
  panicsift dead-letters purge --config config.toml --replayed --older-than-days 30 --yes

Records go into their topic with their first time, so that event times still fit. A replay that breaks off is taken up
by the next one; what was produced twice by it counts once.")]
    DeadLetters(DeadLettersArgs),
    /// Prepare a destination for its first alert
    #[command(after_long_help = "Examples:
  panicsift setup elastic --config /etc/panicsift/config.toml
  panicsift setup elastic --print")]
    Setup(SetupArgs),
    /// Check a configuration and tell every fault at once
    ///
    /// Reads the secrets it names too. Prints the configuration in force, with defaults filled in and secrets as ***.
    #[command(after_long_help = "Examples:
  panicsift validate --config /etc/panicsift/config.toml
  panicsift validate --config config.toml --json

Exit codes: 0 valid, 2 not valid.")]
    Validate(ValidateArgs),
    /// Print or write the JSON Schemas of all contracts
    #[command(after_long_help = "Examples:
  panicsift schema
  panicsift schema config.v1
  panicsift schema --write schemas

Without a name the names are listed.")]
    Schema(SchemaArgs),
    /// Print completions for a shell
    #[command(after_long_help = "Examples:
  panicsift completions bash > /etc/bash_completion.d/panicsift
  panicsift completions fish > ~/.config/fish/completions/panicsift.fish")]
    Completions(CompletionsArgs),
    /// Print the manual page, or write all pages to a folder
    #[command(after_long_help = "Examples:
  panicsift man > panicsift.1
  panicsift man /usr/local/share/man/man1")]
    Man(ManArgs),
}

/// Options of `demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Folder for the store, the alerts and the dead letters of the demo [default: a new folder, whose name is told]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// What the demo says when it is done: what happened, and what to look at next.
pub fn after_demo(demo: &Demo) -> String {
    let Demo { dir, store, fates } = demo;
    let (dir, store) = (dir.display(), store.display());
    format!(
        "
{} events were observed and {} record was refused. What they left behind is in {dir}:
  alerts.ndjson         the alerts, as a destination got them
  dead-letters.ndjson   the refused record, with the reason and its very bytes
Ask on:
  panicsift report list --store {store} --verdict hostile
  panicsift report explain --store {store} CLUSTER
  panicsift help run
",
        fates.observed, fates.rejected
    )
}

/// Options of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
}

/// Options of `replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// Files of events; - is standard input
    #[arg(required = true, value_name = "INPUT")]
    pub inputs: Vec<PathBuf>,
    /// Address table with autonomous systems (an .mmdb file)
    #[arg(long, value_name = "FILE")]
    pub asn: Option<PathBuf>,
    /// Address table with countries (an .mmdb file)
    #[arg(long, value_name = "FILE")]
    pub country: Option<PathBuf>,
    /// What is known of the records.
    #[command(flatten)]
    pub feed: FeedArgs,
    /// Write one line for each event: its cluster, its verdict, and when it was first covered by an alert
    #[arg(long, value_name = "OUT")]
    pub assignments: Option<PathBuf>,
    /// Write one line for each alert
    #[arg(long, value_name = "OUT")]
    pub alerts: Option<PathBuf>,
    /// Print the clusters as JSON in place of a table
    #[arg(long)]
    pub json: bool,
    /// Configuration whose tables, models, clustering and alerts are used
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// File with the key of the names of tokens and structures, to get the names of a running service
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
}

impl ReplayArgs {
    /// What was typed, over what the configuration says.
    pub fn options(self, settings: Option<Settings>, key: Option<Secret>) -> ReplayOptions {
        let mut options = ReplayOptions {
            inputs: self.inputs,
            assignments: self.assignments,
            alerts_out: self.alerts,
            feed: self.feed.feed(),
            ..ReplayOptions::default()
        };
        if let Some(settings) = settings {
            options.privacy_key = settings.privacy_key;
            options.tables = settings.tables;
            options.models = settings.models;
            options.clustering = settings.clustering;
            options.alerts = settings.alerts;
        }
        options.privacy_key = key.or(options.privacy_key);
        options.tables.asn = self.asn.or(options.tables.asn);
        options.tables.country = self.country.or(options.tables.country);
        options
    }
}

/// Options of `train`.
#[derive(Debug, Args)]
pub struct TrainArgs {
    /// Folders of labelled sets
    #[arg(required = true, value_name = "SET")]
    pub sets: Vec<PathBuf>,
    /// Folder of a labelled set without hostile events: the threshold is set on it
    #[arg(long, value_name = "SET")]
    pub reference: PathBuf,
    /// False alarms a day that may be
    #[arg(long, value_name = "N", default_value_t = 1.0)]
    pub budget: f64,
    /// Print what such a model is worth on what it was not trained on
    #[arg(long)]
    pub validate: bool,
    /// Write the model to this file
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Version of the model that is written; it is stamped on every alert
    #[arg(long, value_name = "TEXT", default_value = "trained")]
    pub model_version: String,
    /// Address table with autonomous systems (an .mmdb file)
    #[arg(long, value_name = "FILE")]
    pub asn: Option<PathBuf>,
    /// Model to start from: its groups, caps and neighbours stay [default: the built-in one]
    #[arg(long, value_name = "FILE")]
    pub model: Option<PathBuf>,
}

impl TrainArgs {
    /// What was typed.
    pub fn options(self) -> TrainOptions {
        let mut options = TrainOptions {
            sets: self.sets,
            reference: self.reference,
            budget: self.budget,
            validate: self.validate,
            out: self.out,
            version: self.model_version,
            ..TrainOptions::default()
        };
        options.tables.asn = self.asn;
        options.models.hostility = self.model;
        options
    }
}

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
}

impl ReportForm {
    /// The form of an answer about clusters; `None` for SARIF, which has no words for them.
    pub fn of_clusters(self) -> Option<report::Format> {
        match self {
            Self::Table => Some(report::Format::Table),
            Self::Json => Some(report::Format::Json),
            Self::Csv => Some(report::Format::Csv),
            Self::Sarif => None,
        }
    }
}

impl From<ReportForm> for report::surfaces::Form {
    fn from(typed: ReportForm) -> Self {
        match typed {
            ReportForm::Table => Self::Table,
            ReportForm::Json => Self::Json,
            ReportForm::Csv => Self::Csv,
            ReportForm::Sarif => Self::Sarif,
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

/// Options of `validate`.
#[derive(Debug, Args)]
pub struct ValidateArgs {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Print faults as JSON
    #[arg(long)]
    pub json: bool,
}

/// Options of `schema`.
#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// Name of the schema to print
    #[arg(value_name = "NAME", conflicts_with = "write")]
    pub name: Option<String>,
    /// Write all schemas into this folder, as NAME.json
    #[arg(long, value_name = "DIR")]
    pub write: Option<PathBuf>,
}

/// Options of `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: clap_complete::Shell,
}

/// Options of `man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Folder to write one page for each command to; without it the main page is printed
    #[arg(value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// The command line as clap sees it: help, completions and manual pages come from it.
pub fn command() -> clap::Command {
    Cli::command()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_has_no_contradictions() {
        command().debug_assert();
    }

    #[test]
    fn every_command_tells_true_examples() {
        let mut examples = 0;
        for subcommand in command().get_subcommands() {
            let help = subcommand.get_after_long_help().map(ToString::to_string).unwrap_or_default();
            for line in
                help.lines().filter_map(|line| line.split("panicsift ").nth(1).filter(|_| line.starts_with("  ")))
            {
                let typed = line.split(" > ").next().unwrap_or_default();
                let words = std::iter::once("panicsift").chain(typed.split_whitespace());
                assert!(Cli::try_parse_from(words).is_ok(), "`panicsift {typed}` is refused");
                examples += 1;
            }
            assert!(help.contains("Examples:"), "{} has no example", subcommand.get_name());
        }
        assert!(examples > 15, "only {examples} examples were found");
    }
}
