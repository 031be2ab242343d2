//! What may be typed after `panicsift dead-letters`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::app::dead_letters::{LetterFilter, PurgeOrder, ReplayOrder};
use crate::config;
use crate::pipeline::event::{Millis, Reason};
use crate::report::Format;
use crate::secret::seal::Identities;

/// Options of `dead-letters`.
#[derive(Debug, Args)]
pub struct DeadLettersArgs {
    /// What to do.
    #[command(subcommand)]
    pub deed: DeadLettersDeed,
    /// Configuration that names where dead letters go
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Dead letter file, in place of what the configuration names; those that were set aside (FILE.1, …) belong to it
    #[arg(long, global = true, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Store that keeps account of replays, in place of the configuration's
    #[arg(long, global = true, value_name = "PATH")]
    pub store: Option<PathBuf>,
}

/// Deeds of `dead-letters`.
#[derive(Debug, Subcommand)]
pub enum DeadLettersDeed {
    /// Count refused records by reason, and tell the newest
    List(LettersListArgs),
    /// Show one refused record: reason, place, bytes as escaped text
    Show(LetterShowArgs),
    /// Put the very bytes of refused records through the present version
    ///
    /// They go into their topic again, or to a file. Account is kept in the store: nothing is replayed twice. What this
    /// version would refuse again is left.
    Replay(LettersReplayArgs),
    /// Take letters out of dead letter files for good
    Purge(LettersPurgeArgs),
}

/// Which letters are meant: all that is named must fit.
#[derive(Debug, Clone, Default, Args)]
pub struct LetterFilterArgs {
    /// Refused for this reason; may be given again
    #[arg(long, value_name = "REASON", value_parser = reason)]
    pub reason: Vec<Reason>,
    /// The record came from this topic
    #[arg(long, value_name = "TOPIC")]
    pub topic: Option<String>,
    /// Refused at this time or later (RFC 3339)
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub since: Option<Millis>,
    /// Refused before this time (RFC 3339)
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub until: Option<Millis>,
    /// Id of the letter, or the beginning of it
    #[arg(long, value_name = "ID")]
    pub letter: Option<String>,
}

impl From<LetterFilterArgs> for LetterFilter {
    fn from(typed: LetterFilterArgs) -> Self {
        let LetterFilterArgs { reason, topic, since, until, letter } = typed;
        Self { reasons: reason, topic, since, until, letter }
    }
}

fn reason(typed: &str) -> Result<Reason, String> {
    let names = || Reason::ALL.map(Reason::name).join(", ");
    Reason::ALL.into_iter().find(|reason| reason.name() == typed).ok_or_else(|| format!("reasons are {}", names()))
}

fn time(typed: &str) -> Result<Millis, String> {
    Millis::parse(typed).ok_or_else(|| "a time such as 2026-09-14T08:00:00Z is expected".to_owned())
}

/// Options of `dead-letters list`.
#[derive(Debug, Args)]
pub struct LettersListArgs {
    /// Which letters.
    #[command(flatten)]
    pub filter: LetterFilterArgs,
    /// Most letters to tell one by one [default: 20 as a table, else 10000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: Option<u32>,
    /// Form of the answer
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub format: Format,
}

/// Options of `dead-letters show`.
#[derive(Debug, Args)]
pub struct LetterShowArgs {
    /// Id of the letter, or the beginning of it
    #[arg(value_name = "LETTER")]
    pub letter: String,
    /// Write the very bytes, and nothing else
    #[arg(long)]
    pub raw: bool,
    /// File with the age identity that opens sealed letters
    #[arg(long, value_name = "FILE")]
    pub identity: Option<PathBuf>,
}

/// Options of `dead-letters replay`.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("replayed_letters").required(true).multiple(true)
    .args(["reason", "topic", "since", "until", "letter", "all"])))]
pub struct LettersReplayArgs {
    /// Which letters.
    #[command(flatten)]
    pub filter: LetterFilterArgs,
    /// All letters
    #[arg(long)]
    pub all: bool,
    /// File with the age identity that opens sealed letters
    #[arg(long, value_name = "FILE")]
    pub identity: Option<PathBuf>,
    /// Write the records to this file, a line each, in place of their topics (`panicsift replay` reads it)
    #[arg(long, value_name = "FILE")]
    pub to: Option<PathBuf>,
    /// Tell what would become of each, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

impl LettersReplayArgs {
    /// What is to be done, with the identities that were read.
    pub fn order(self, identities: Option<Identities>) -> ReplayOrder {
        let who = config::operator_name();
        ReplayOrder { filter: self.filter.into(), identities, to: self.to, dry_run: self.dry_run, who }
    }
}

/// Options of `dead-letters purge`.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("purged").required(true).multiple(true)
    .args(["reason", "topic", "since", "until", "letter", "older_than_days", "replayed"])))]
pub struct LettersPurgeArgs {
    /// Which letters.
    #[command(flatten)]
    pub filter: LetterFilterArgs,
    /// Refused longer ago than this
    #[arg(long, value_name = "DAYS", conflicts_with = "until", value_parser = clap::value_parser!(u32).range(..=36_500))]
    pub older_than_days: Option<u32>,
    /// Only those that were replayed
    #[arg(long)]
    pub replayed: bool,
    /// Yes, they are not needed again
    #[arg(long, required_unless_present = "dry_run")]
    pub yes: bool,
    /// Tell how many, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

impl LettersPurgeArgs {
    /// What is to be done; `now` is the wall clock.
    pub fn order(self, now: Millis) -> PurgeOrder {
        let mut filter = LetterFilter::from(self.filter);
        if let Some(days) = self.older_than_days {
            filter.until = Some(now.plus(-i64::from(days).saturating_mul(Millis::DAY)));
        }
        PurgeOrder { filter, replayed: self.replayed, dry_run: self.dry_run }
    }
}
