//! The service: tasks, the loop, shutdown.
//!
//! Takes checked settings from `main`; knows nothing of the command line.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Result, anyhow};

use crate::config::{AlertSettings, ClusteringSettings, ModelSettings, Settings, TableSettings};

/// What a replay reads and writes, and how it judges.
#[derive(Debug, Default)]
pub struct ReplayOptions {
    /// Files of events; `-` is standard input.
    pub inputs: Vec<PathBuf>,
    /// Where to write one line for each event.
    pub assignments: Option<PathBuf>,
    /// Where to write one line for each alert.
    pub alerts_out: Option<PathBuf>,
    /// Whether the clusters are printed as JSON.
    pub json: bool,
    /// Key of the names; `None`: a fixed key, since files have no service.
    pub privacy_key: Option<crate::secret::Secret>,
    /// Address tables.
    pub tables: TableSettings,
    /// Models.
    pub models: ModelSettings,
    /// Rhythm of clustering.
    pub clustering: ClusteringSettings,
    /// When an alert is raised.
    pub alerts: AlertSettings,
}

/// Runs the service until it is told to stop.
#[expect(clippy::unused_async, reason = "the loop awaits its source")]
pub async fn run(settings: Settings) -> Result<()> {
    Err(anyhow!("the service is not wired in this build ({} destinations)", settings.destinations.len()))
}

/// Puts files through the pipeline; clusters are printed to `out`.
#[expect(clippy::unused_async, reason = "the loop awaits its source")]
pub async fn replay(options: ReplayOptions, _out: &mut (dyn Write + Send)) -> Result<()> {
    Err(anyhow!("replay is not wired in this build ({} inputs)", options.inputs.len()))
}

/// Shows the main job; its files go to `dir`, or to a new folder whose name is told.
#[expect(clippy::unused_async, reason = "the loop awaits its source")]
pub async fn demo(dir: Option<PathBuf>, _out: &mut (dyn Write + Send)) -> Result<()> {
    Err(anyhow!("the demo is not wired in this build ({dir:?})"))
}
