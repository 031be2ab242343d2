//! The words of `setup`: prepare a destination for its first alert.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::app::Product;

/// Options of `setup`.
#[derive(Debug, Args)]
pub struct SetupArgs {
    /// What is prepared.
    #[command(subcommand)]
    pub target: SetupTarget,
}

/// What can be prepared.
#[derive(Debug, Subcommand)]
pub enum SetupTarget {
    /// Install index template and lifecycle policy for Elasticsearch or OpenSearch destinations
    ///
    /// Writes what is missing or of an earlier version: lifecycle policy, component templates, index template. Run again,
    /// it says "already current". It deletes nothing and writes over nothing that is not marked as panicsift's. The
    /// component template that ends in @custom is yours: it is made empty, and what you put there is kept.
    ///
    /// The login needs the cluster rights to manage index templates and lifecycle policies (Elasticsearch:
    /// `manage_index_templates` and `manage_ilm`). The service itself needs less: to create documents, and the cluster
    /// right `indices:admin/index_template/get` to see that the template is there.
    #[command(after_long_help = "Examples:
  panicsift setup elastic --config /etc/panicsift/config.toml
  panicsift setup elastic --config config.toml --destination elastic
  panicsift setup elastic --print --for opensearch

Exit codes: 0 installed or already current, 1 failed, 2 command line or configuration not valid.")]
    Elastic(SetupElasticArgs),
}

/// Options of `setup elastic`.
#[derive(Debug, Args)]
pub struct SetupElasticArgs {
    /// Configuration file
    #[arg(long, value_name = "FILE", required_unless_present = "print")]
    pub config: Option<PathBuf>,
    /// Only the destination of this name [default: all of kind elastic]
    #[arg(long, value_name = "NAME", requires = "config")]
    pub destination: Option<String>,
    /// Print the requests in place of sending them; needs no server, and without --config no configuration
    #[arg(long)]
    pub print: bool,
    /// What the server is [default: what it says; with --print both]
    #[arg(long = "for", value_name = "PRODUCT")]
    pub product: Option<ProductArg>,
}

/// Servers, as they are typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProductArg {
    /// Elasticsearch
    Elasticsearch,
    /// OpenSearch
    Opensearch,
}

impl From<ProductArg> for Product {
    fn from(typed: ProductArg) -> Self {
        match typed {
            ProductArg::Elasticsearch => Self::Elasticsearch,
            ProductArg::Opensearch => Self::OpenSearch,
        }
    }
}
