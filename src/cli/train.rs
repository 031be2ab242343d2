//! What may be typed after `panicsift train`.

use std::path::PathBuf;

use clap::Args;

use crate::app::{Protocol, TrainOptions};

/// Options of `train`.
#[derive(Debug, Args)]
pub struct TrainArgs {
    /// Folders of labelled sets
    #[arg(required = true, value_name = "SET")]
    pub sets: Vec<PathBuf>,
    /// Folder of a labelled set without hostile events: the threshold is set on it
    #[arg(long, value_name = "SET")]
    pub reference: PathBuf,
    /// Leave out the samples of ordinary requests (samples.jsonl) that lie in the folders
    #[arg(long)]
    pub without_samples: bool,
    /// Print what such a model is worth on what it was not trained on, by these protocols [default: all; many minutes]
    #[arg(long, value_name = "PROTOCOLS", value_enum, value_delimiter = ',', num_args = 0..=1, require_equals = true,
          default_missing_values = ["shipped", "across", "campaigns", "kinds", "altered", "samples"])]
    pub validate: Vec<Protocol>,
    /// Write the figures that are printed to this file, one JSON object a line
    #[arg(long, value_name = "FILE")]
    pub figures: Option<PathBuf>,
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
            without_samples: self.without_samples,
            validate: self.validate,
            figures: self.figures,
            out: self.out,
            version: self.model_version,
            ..TrainOptions::default()
        };
        options.tables.asn = self.asn;
        options.models.hostility = self.model;
        options
    }
}
