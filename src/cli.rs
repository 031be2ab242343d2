//! The command line: what may be typed, and the help that teaches it.
//!
//! Only types and words; nothing here reads a file or does work. [`command`] is also what completions and manual pages
//! are made of, so that they never disagree with the help. Exit codes are in [`EXIT_CODES`].

mod budget;
mod dead_letters;
mod html;
mod inspect;
mod label;
mod outbox;
mod postmortem;
mod report;
mod retries;
mod setup;
mod telemetry;
mod top;
mod train;
mod triage;

use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand};

pub use self::budget::BudgetArgs;
pub use self::dead_letters::{
    DeadLettersArgs, DeadLettersDeed, LetterShowArgs, LettersListArgs, LettersPurgeArgs, LettersReplayArgs,
};
pub use self::html::HtmlArgs;
pub use self::inspect::{FeedArgs, InspectArgs};
pub use self::label::{CallArg, LabelArgs, LabelDeed, LabelExportArgs, LabelWordArgs};
pub use self::outbox::{OutboxArgs, OutboxDeed, OutboxDropArgs, OutboxListArgs, OutboxRetryArgs};
pub use self::postmortem::{KpiArgs, PeriodArgs, PostmortemArgs};
pub use self::report::{ClusterQuestion, Question, ReportArgs, ReportForm, Selection, SurfacesArgs, VerdictArg};
pub use self::retries::{ReleasesArgs, RetryPolicyArgs};
pub use self::setup::{SetupArgs, SetupTarget};
pub use self::telemetry::{ByArg, TelemetryArgs};
pub use self::top::TopArgs;
pub use self::train::TrainArgs;
pub use self::triage::TriageArgs;
use crate::app::{Demo, ReplayOptions};
use crate::config::{LogFormat, LogLevel, Settings};
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
  panicsift replay --store monday.db monday.jsonl.gz && panicsift report list --store monday.db
  panicsift replay monday.jsonl.gz --traffic traffic_5min.csv.gz --store monday.db
  panicsift replay monday.jsonl.gz --samples samples.jsonl.gz
  panicsift replay --asn asn.mmdb --assignments out.jsonl --alerts alerts.jsonl monday.jsonl.gz tuesday.jsonl.zst
  zcat events.jsonl.gz | panicsift replay --json -")]
    Replay(ReplayArgs),
    /// Learn weights of evidence from labelled sets
    #[command(after_long_help = "Examples:
  panicsift train sets/shop sets/clinic --reference sets/quiet-day --asn asn.mmdb --out hostility.toml
  panicsift train sets/shop sets/clinic --reference sets/quiet-day --asn asn.mmdb --validate --figures figures.jsonl
  panicsift train sets/shop sets/clinic --reference sets/quiet-day --asn asn.mmdb --validate=across,kinds

A set is a folder with events.jsonl and labels.jsonl (plain, or packed with gzip or zstd); a label has event_id, hostile
and campaign, and may have kind. Samples of ordinary requests of the same time (samples.jsonl) are heard where they lie
in it.")]
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

Carriers: canonical (panic-event.v1), cloudflare_tail, cloudflare_logpush, cloudflare_http_requests, sentry, otlp, text,
request_totals, request_sample.")]
    Inspect(InspectArgs),
    /// Ask about clusters, about where services panic, and what operations ask: retries, releases, budgets, incidents
    #[command(after_long_help = "Examples:
  panicsift report list
  panicsift report list --verdict hostile --limit 5
  panicsift report explain CLUSTER
  panicsift report export --format csv > clusters.csv
  panicsift report surfaces --service checkout --format sarif > panics.sarif
  panicsift report postmortem --from 2026-11-17T14:00:00Z --to 2026-11-17T15:30:00Z --format md
  panicsift report postmortem --from 2h --service checkout --format html --out night.html
  panicsift report kpi --baseline 2026-09-01T00:00:00Z..2026-10-01T00:00:00Z --from 30d
  panicsift report retry-policy --service checkout --format envoy > routes.json
  panicsift report releases --from 6h --service checkout
  panicsift report budget --service checkout --objective 0.999
  panicsift report html --out report.html
  panicsift report telemetry --by release --since 6h

The store may be read while the service writes it.")]
    Report(ReportArgs),
    /// Watch a running service in the terminal: clusters, storms, lag, destinations
    ///
    /// Reads the store while the service writes it, and asks the service's admin port for what is not in the store. Keys
    /// are listed at the foot of the screen and, in full, on the page that ? opens. Changes nothing.
    #[command(after_long_help = "Examples:
  panicsift top
  panicsift top --store /var/lib/panicsift/panicsift.db --admin http://127.0.0.1:9464 --interval 5
  panicsift top --once > frame.txt

A store that takes long to read is read less often, so that reading takes at most a tenth of the time.")]
    Top(TopArgs),
    /// See what is happening now, in one screen: storms, cascades, rollbacks, budgets, and what to do next
    #[command(after_long_help = "Examples:
  panicsift triage
  panicsift triage --watch
  panicsift triage --since 2h --format json

Times are event times. The store may be read while the service writes it; --watch goes on when it is busy or replaced.
JSON is one object a look, schema `triage.v1`: at, since, open, recent, hostile_clusters, last_hour.")]
    Triage(TriageArgs),
    /// Say what a cluster is: an analyst's word goes before the judge's
    ///
    /// The word opens or closes the alert of the cluster and of those that come from it, within an epoch, and stays until
    /// it is taken back. Saying it again replaces it; who said what stays known. Nobody's points change: what the judge
    /// thinks is told beside it. A word opens no alert for a cluster that has been silent for `alerts.quiet_secs`. Without
    /// a cluster all words are told.
    #[command(after_long_help = "Examples:
  panicsift label c-0123456789abcdef benign --why ticket-4711:our-own-load-test
  panicsift label c-0123456789abcdef hostile --why same-tool-as-yesterday --by alice --dry-run
  panicsift label c-0123456789abcdef --withdraw --why mistaken
  panicsift label --list --format json
  panicsift label export --events monday.jsonl.gz tuesday.jsonl.gz --asn asn.mmdb --out sets/ours

All of it may be done while the service runs.")]
    Label(LabelArgs),
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
  panicsift triage --store {store}
  panicsift report html --store {store} --out report.html
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
    /// Request totals for rates: CSV with the columns `window_start`, `endpoint`, `requests` and, if need be, `release`,
    /// `service`, `tenant`; windows of five minutes; plain or compressed
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub traffic: Vec<PathBuf>,
    /// Samples of ordinary requests (request-sample.v1): what is usual, and who is served; plain or compressed
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub samples: Vec<PathBuf>,
    /// Write one line for each event: its cluster, its verdict, and when it was first covered by an alert
    #[arg(long, value_name = "OUT")]
    pub assignments: Option<PathBuf>,
    /// Write one line for each alert
    #[arg(long, value_name = "OUT")]
    pub alerts: Option<PathBuf>,
    /// Make a store of what is remembered, for `panicsift report`
    #[arg(long, value_name = "OUT")]
    pub store: Option<PathBuf>,
    /// Print the clusters as JSON in place of a table
    #[arg(long)]
    pub json: bool,
    /// Store whose analysts' words (`panicsift label`) hold, from the first event on
    #[arg(long, value_name = "PATH")]
    pub labels: Option<PathBuf>,
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
            store: self.store,
            labels: self.labels,
            feed: self.feed.feed(),
            traffic: self.traffic,
            samples: self.samples,
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
