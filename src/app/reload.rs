//! Fresh judgement while the service runs: tables whose files changed, models on SIGHUP.
//!
//! A new context is put together beside the running one and swapped in as a whole, between two batches. What cannot be
//! loaded keeps the old one and says so, in the log, in metrics and in readiness.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::judgement::{self, Rhythm};
use crate::config::{AlertSettings, ModelSettings, Settings};
use crate::edge::admin::Health;
use crate::edge::tables::Tables;
use crate::pipeline::Context;
use crate::pipeline::keys::Keys;

/// All that a new context is made from.
pub(super) struct Reload {
    keys: Keys,
    tables: Tables,
    models: ModelSettings,
    rhythm: Rhythm,
    alerts: AlertSettings,
    check_interval: Duration,
    health: Arc<Health>,
}

impl Reload {
    pub(super) fn new(settings: &Settings, keys: Keys, tables: Tables, health: &Arc<Health>) -> Self {
        let reload = Self {
            keys,
            tables,
            models: settings.models.clone(),
            rhythm: Rhythm::of(settings),
            alerts: settings.alerts.clone(),
            check_interval: settings.tables.check_interval,
            health: Arc::clone(health),
        };
        reload.tell_tables();
        reload
    }

    /// Looks at the tables every so often and waits for SIGHUP; never ends by itself.
    pub(super) async fn run(mut self, context: watch::Sender<Arc<Context>>) -> Result<()> {
        let mut hangup = signal(SignalKind::hangup())?;
        let mut check = tokio::time::interval(self.check_interval);
        loop {
            let fresh = tokio::select! {
                _ = check.tick() => self.fresh_tables().then(|| self.context()),
                _ = hangup.recv() => {
                    self.fresh_tables();
                    Some(self.context())
                }
            };
            match fresh {
                Some(Ok(fresh)) => {
                    tracing::info!(model = fresh.version, "judgement was reloaded");
                    context.send_replace(Arc::new(fresh));
                }
                Some(Err(error)) => tracing::error!("judgement stays as it was: {error:#}"),
                None => {}
            }
        }
    }

    /// Whether the tables were replaced by newer ones.
    fn fresh_tables(&mut self) -> bool {
        let looked = tokio::task::block_in_place(|| self.tables.reload_if_changed());
        let replaced = match looked {
            Some(Ok(tables)) => {
                self.tables = tables;
                true
            }
            Some(Err(error)) => {
                tracing::error!(%error, "an address table stays as it was");
                false
            }
            None => return false,
        };
        self.tell_tables();
        replaced
    }

    fn tell_tables(&self) {
        for (name, status) in ["asn", "country"].into_iter().zip(self.tables.status()) {
            let absent = (!status.present).then(|| status.error.unwrap_or_else(|| "none is configured".to_owned()));
            self.health.table(name, absent);
        }
    }

    fn context(&self) -> Result<Context> {
        let (keys, tables) = (self.keys.clone(), self.tables.clone());
        judgement::context(keys, tables, &self.models, &self.rhythm, &self.alerts)
    }
}
