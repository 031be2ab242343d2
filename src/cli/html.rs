//! What may be typed after `report html`.

use std::path::{Path, PathBuf};

use clap::Args;

/// Options of `report html`.
#[derive(Debug, Args)]
pub struct HtmlArgs {
    /// File to write, as a whole or not at all; - is standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub out: PathBuf,
    /// Most clusters to tell, those of the highest rank; of these the first hundred are shown in full
    #[arg(long, value_name = "N", default_value = "500", value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
}

impl HtmlArgs {
    /// Most clusters to tell.
    pub fn n_max(&self) -> usize {
        usize::try_from(self.limit).unwrap_or(usize::MAX)
    }

    /// The file; `None` for standard output.
    pub fn file(&self) -> Option<&Path> {
        Some(self.out.as_path()).filter(|path| *path != Path::new("-"))
    }
}
