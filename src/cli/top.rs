//! What may be typed after `panicsift top`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::app::{AdminPort, TopOptions};

/// Options of `top`.
#[derive(Debug, Clone, Args)]
pub struct TopArgs {
    /// The store of the service
    #[arg(long, value_name = "PATH", default_value = "/var/lib/panicsift/panicsift.db")]
    pub store: PathBuf,
    /// Where the service is asked for its lag and readiness: its `admin.listen`
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9464", value_parser = AdminPort::parse)]
    pub admin: AdminPort,
    /// Seconds from one look to the next
    #[arg(long, value_name = "SECS", default_value = "2", value_parser = clap::value_parser!(u32).range(1..=3_600))]
    pub interval: u32,
    /// Print one frame as text and end; needs no terminal
    #[arg(long)]
    pub once: bool,
}

impl TopArgs {
    /// What was typed; `color`: whether there may be colours.
    pub fn options(self, color: bool) -> TopOptions {
        let interval = Duration::from_secs(u64::from(self.interval));
        TopOptions { store: self.store, admin: self.admin, interval, once: self.once, color }
    }
}
