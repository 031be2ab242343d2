//! What may be typed after `panicsift outbox`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::app::outbox::{Operator, OutboxChoice};
use crate::config;
use crate::report::Format;
use crate::report::outbox::{Fate, OutboxQuestion};

/// Options of `outbox`.
#[derive(Debug, Args)]
pub struct OutboxArgs {
    /// What to do.
    #[command(subcommand)]
    pub deed: OutboxDeed,
    /// The store of the service
    #[arg(long, global = true, value_name = "PATH", default_value = "/var/lib/panicsift/panicsift.db")]
    pub store: PathBuf,
}

/// Deeds of `outbox`.
#[derive(Debug, Subcommand)]
pub enum OutboxDeed {
    /// Tell how many alerts wait for each destination, since when, and which were refused
    List(OutboxListArgs),
    /// Make refused alerts wait again, in the order of their clusters
    ///
    /// An alert whose destination already has a later change of the same cluster is left as it is, unless
    /// --out-of-order is given.
    Retry(OutboxRetryArgs),
    /// Give alerts up that wait or were refused; they stay in the store with the reason
    Drop(OutboxDropArgs),
}

/// Which alerts are meant: all that is named must fit.
#[derive(Debug, Clone, Args)]
pub struct OutboxChoiceArgs {
    /// Name of the destination
    #[arg(long, value_name = "NAME")]
    pub destination: Option<String>,
    /// Id of the cluster, or the beginning of it
    #[arg(long, value_name = "ID")]
    pub cluster: Option<String>,
    /// Id of the alert, or the beginning of it
    #[arg(long, value_name = "ID")]
    pub alert: Option<String>,
}

impl OutboxChoiceArgs {
    fn choice(self, standings: Vec<Option<Fate>>) -> OutboxChoice {
        OutboxChoice { destination: self.destination, cluster: self.cluster, alert: self.alert, standings }
    }
}

/// Options of `outbox list`.
#[derive(Debug, Args)]
pub struct OutboxListArgs {
    /// Which alerts to tell one by one.
    #[command(flatten)]
    pub choice: OutboxChoiceArgs,
    /// Tell alerts of this fate; may be given again [default: refused]
    #[arg(long = "fate", value_name = "FATE")]
    pub fates: Vec<FateArg>,
    /// Most alerts to tell [default: 20 as a table, else all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: Option<u32>,
    /// Form of the answer
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub format: Format,
}

impl OutboxListArgs {
    /// What was asked.
    pub fn question(self) -> OutboxQuestion {
        let mut standings: Vec<Option<Fate>> = self.fates.into_iter().map(FateArg::standing).collect();
        if standings.is_empty() {
            standings.push(Some(Fate::Refused));
        }
        let limit = self.limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
        OutboxQuestion { choice: self.choice.choice(standings), limit }
    }
}

/// Options of `outbox retry`.
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("retried").required(true).multiple(true)
    .args(["destination", "cluster", "alert", "all"])))]
pub struct OutboxRetryArgs {
    /// Which alerts.
    #[command(flatten)]
    pub choice: OutboxChoiceArgs,
    /// All that were refused
    #[arg(long)]
    pub all: bool,
    /// Those that were dropped, too
    #[arg(long)]
    pub dropped: bool,
    /// Send even what the destination will get after a later change of the same cluster
    #[arg(long)]
    pub out_of_order: bool,
    /// Reason, kept with the alerts
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub why: String,
    /// Tell what it would do, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

impl OutboxRetryArgs {
    /// Who does it, to which alerts, and whether out of order.
    pub fn deed(self, store: PathBuf) -> (Operator, OutboxChoice, bool) {
        let mut standings = vec![Some(Fate::Refused)];
        if self.dropped {
            standings.push(Some(Fate::Dropped));
        }
        let operator = Operator { store, who: config::operator_name(), why: self.why, dry_run: self.dry_run };
        (operator, self.choice.choice(standings), self.out_of_order)
    }
}

/// Options of `outbox drop`.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("dropped").required(true).multiple(true)
    .args(["destination", "cluster", "alert", "all"])))]
pub struct OutboxDropArgs {
    /// Which alerts.
    #[command(flatten)]
    pub choice: OutboxChoiceArgs,
    /// All that wait or were refused
    #[arg(long)]
    pub all: bool,
    /// Only those of this fate; may be given again [default: waiting and refused]
    #[arg(long = "fate", value_name = "FATE")]
    pub fates: Vec<FateArg>,
    /// Reason, kept with the alerts
    #[arg(long, value_name = "TEXT")]
    pub why: String,
    /// Yes, they are not to be delivered
    #[arg(long, required_unless_present = "dry_run")]
    pub yes: bool,
    /// Tell what it would do, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

impl OutboxDropArgs {
    /// Who does it, and to which alerts.
    pub fn deed(self, store: PathBuf) -> (Operator, OutboxChoice) {
        let mut standings: Vec<Option<Fate>> = self.fates.into_iter().map(FateArg::standing).collect();
        if standings.is_empty() {
            standings = vec![None, Some(Fate::Refused)];
        }
        let operator = Operator { store, who: config::operator_name(), why: self.why, dry_run: self.dry_run };
        (operator, self.choice.choice(standings))
    }
}

/// Fates, as they are typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FateArg {
    /// Not answered yet
    Waiting,
    /// Taken
    Delivered,
    /// It was there already, under the same id
    Repeated,
    /// Taken, but put aside by the destination
    Degraded,
    /// Refused for good
    Refused,
    /// A later change was told in its place
    Superseded,
    /// Given up by an operator
    Dropped,
}

impl FateArg {
    fn standing(self) -> Option<Fate> {
        match self {
            Self::Waiting => None,
            Self::Delivered => Some(Fate::Delivered),
            Self::Repeated => Some(Fate::Repeated),
            Self::Degraded => Some(Fate::Degraded),
            Self::Refused => Some(Fate::Refused),
            Self::Superseded => Some(Fate::Superseded),
            Self::Dropped => Some(Fate::Dropped),
        }
    }
}
