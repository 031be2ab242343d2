//! What may be typed after `panicsift label`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::FeedArgs;
use crate::app::label::{Call, ExportOrder, LabelOrder};
use crate::config::{self, Settings};
use crate::report::Format;
use crate::secret::Secret;

/// Options of `label`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct LabelArgs {
    /// Something other than a word.
    #[command(subcommand)]
    pub deed: Option<LabelDeed>,
    /// What is said.
    #[command(flatten)]
    pub word: LabelWordArgs,
    /// The store of the service, or of a replay
    #[arg(long, global = true, value_name = "PATH", default_value = "/var/lib/panicsift/panicsift.db")]
    pub store: PathBuf,
}

/// What may be done with words beside saying them.
#[derive(Debug, Subcommand)]
pub enum LabelDeed {
    /// Write the events of labelled clusters as a set for `panicsift train`
    ///
    /// Reads the events again, from the files that they are in, and finds the cluster of each in the store. Names are
    /// keyed: key, tables and models must be those that the store was made with. The set holds the events as they were.
    Export(LabelExportArgs),
}

/// What is said of a cluster; nothing: all words are told.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("said").args(["call", "withdraw"])))]
pub struct LabelWordArgs {
    /// Id of the cluster, or the beginning of it; without it all words are told
    #[arg(value_name = "CLUSTER", requires_all = ["said", "why"])]
    pub cluster: Option<String>,
    /// The word
    #[arg(value_name = "WORD")]
    pub call: Option<CallArg>,
    /// Take the word back that stands
    #[arg(long, requires = "cluster")]
    pub withdraw: bool,
    /// Reason, kept with the word and told in the alerts of the cluster
    #[arg(long, value_name = "TEXT", requires = "cluster")]
    pub why: Option<String>,
    /// Who says it [default: the name of the login]
    #[arg(long, value_name = "NAME", requires = "cluster")]
    pub by: Option<String>,
    /// Tell what it would do, and do nothing
    #[arg(long, requires = "cluster")]
    pub dry_run: bool,
    /// Tell all words, as without a cluster
    #[arg(long, conflicts_with = "cluster")]
    pub list: bool,
    /// Form of the words that are told
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub format: Format,
}

impl LabelWordArgs {
    /// Of which cluster something is said, and what; `None`: words are asked for.
    pub fn order(self, store: PathBuf) -> Option<(String, LabelOrder)> {
        let call = self.call.map(|call| match call {
            CallArg::Hostile => Call::Hostile,
            CallArg::Benign => Call::Benign,
        });
        let by = self.by.or_else(config::operator_name);
        let order = LabelOrder { store, call, why: self.why.unwrap_or_default(), by, dry_run: self.dry_run };
        Some((self.cluster?, order))
    }
}

/// Words, as they are typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CallArg {
    /// Somebody feels for the edge of an exploit
    Hostile,
    /// An honest fault
    Benign,
}

/// Options of `label export`.
#[derive(Debug, Args)]
pub struct LabelExportArgs {
    /// Files of events, one a line, plain or compressed; - is standard input
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    pub events: Vec<PathBuf>,
    /// Folder of the set; it is made if need be
    #[arg(long, value_name = "SETDIR")]
    pub out: PathBuf,
    /// What is known of the records.
    #[command(flatten)]
    pub feed: FeedArgs,
    /// Address table with autonomous systems (an .mmdb file)
    #[arg(long, value_name = "FILE")]
    pub asn: Option<PathBuf>,
    /// Address table with countries (an .mmdb file)
    #[arg(long, value_name = "FILE")]
    pub country: Option<PathBuf>,
    /// Configuration whose key, tables and models are used
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// File with the key of the names [default: the key beside the store]
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
}

impl LabelExportArgs {
    /// What was typed, over what the configuration says.
    pub fn order(self, store: PathBuf, settings: Option<Settings>, key: Option<Secret>) -> ExportOrder {
        let mut order =
            ExportOrder { store, inputs: self.events, feed: self.feed.feed(), out: self.out, ..ExportOrder::default() };
        if let Some(settings) = settings {
            order.privacy_key = settings.privacy_key;
            order.tables = settings.tables;
            order.models = settings.models;
        }
        order.privacy_key = key.or(order.privacy_key);
        order.tables.asn = self.asn.or(order.tables.asn);
        order.tables.country = self.country.or(order.tables.country);
        order
    }
}
