//! What records are judged with, put together from settings: models, tables, keys.
//!
//! Reads model files and address tables; gives a [`Context`] to be swapped in as a whole. A model with a fault refuses
//! the whole context, with every fault named; a table that is absent does not (enrichment is then marked absent).

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::config::{AlertSettings, ClusteringSettings, ExpectedSettings, ModelSettings, Settings};
use crate::edge::tables::Tables;
use crate::pipeline::Context;
use crate::pipeline::classify::PanicModel;
use crate::pipeline::cluster::ClusteringModel;
use crate::pipeline::decode::Feeds;
use crate::pipeline::enrich::ScopeModel;
use crate::pipeline::event::Millis;
use crate::pipeline::expected::{Announcement, Expected};
use crate::pipeline::gather::GatherPolicy;
use crate::pipeline::judge::HostilityModel;
use crate::pipeline::keys::Keys;
use crate::pipeline::life::AlertPolicy;
use crate::pipeline::names::NAME_BYTES_MAX;
use crate::pipeline::neutral;

/// How records are read, when is clustered, and for how long is remembered.
#[derive(Debug, Clone, Default)]
pub(super) struct Rhythm {
    /// What is said of the topics.
    pub(super) feeds: Feeds,
    /// How long pieces of one panic wait for each other.
    pub(super) gathering: GatherPolicy,
    /// Epochs.
    pub(super) clustering: ClusteringSettings,
    /// How long a silent cell is kept; the clustering model's word when absent.
    pub(super) retention: Option<Duration>,
}

impl Rhythm {
    /// That of a service.
    pub(super) fn of(settings: &Settings) -> Self {
        let millis = |wait: Duration| i64::try_from(wait.as_millis()).unwrap_or(Millis::HOUR);
        let join_wait_millis = millis(settings.source.join_wait);
        let order_wait_millis = millis(settings.clustering.order_wait);
        Self {
            feeds: settings.source.feeds.clone(),
            gathering: GatherPolicy { join_wait_millis, order_wait_millis, ..GatherPolicy::FILES },
            clustering: settings.clustering.clone(),
            retention: Some(settings.state.retention),
        }
    }
}

/// Puts a context together.
pub(super) fn context(
    keys: Keys,
    tables: Tables,
    models: &ModelSettings,
    rhythm: &Rhythm,
    alerts: &AlertSettings,
) -> Result<Context> {
    let panics = match text(models.panics.as_deref())? {
        Some(text) => PanicModel::parse(&text),
        None => PanicModel::builtin(),
    }
    .context("the model of panic messages (models.panics)")?;
    let scopes = match text(models.scopes.as_deref())? {
        Some(text) => ScopeModel::parse(&text),
        None => ScopeModel::builtin(),
    }
    .context("the model of token scopes (models.scopes)")?;
    let mut clusters = match text(models.clustering.as_deref())? {
        Some(text) => ClusteringModel::parse(&text),
        None => ClusteringModel::builtin(),
    }
    .context("the clustering model (models.clustering)")?;
    let mut hostility = match text(models.hostility.as_deref())? {
        Some(text) => HostilityModel::parse(&text),
        None => HostilityModel::builtin(),
    }
    .and_then(|model| model.for_budget(models.false_alerts_a_day))
    .context("the hostility model (models.hostility)")?;
    clusters.epoch_secs = u32::try_from(rhythm.clustering.epoch.as_secs()).unwrap_or(u32::MAX);
    if let Some(retention) = rhythm.retention {
        clusters.memory.forget_after_hours = u32::try_from(retention.as_secs() / 3_600).unwrap_or(u32::MAX);
    }
    if let Some(points) = alerts.threshold {
        hostility.set_hostile_at(points);
    }
    let expected = announced(&keys, &alerts.expected);
    let version = version(&panics, &scopes, &clusters, &hostility);
    let (operations, places) = (alerts.operations.clone(), alerts.places.clone());
    let alerts = policy(alerts);
    Ok(Context {
        keys,
        feeds: rhythm.feeds.clone(),
        gathering: rhythm.gathering,
        panics,
        scopes,
        clustering: clusters,
        hostility,
        expected,
        alerts,
        places,
        operations,
        lookup: Arc::new(tables),
        version,
    })
}

fn text(path: Option<&Path>) -> Result<Option<String>> {
    path.map(|path| read(path).with_context(|| path.display().to_string())).transpose()
}

fn read(path: &Path) -> Result<String> {
    Ok(std::fs::read_to_string(path)?)
}

fn version(panics: &PanicModel, scopes: &ScopeModel, clusters: &ClusteringModel, hostility: &HostilityModel) -> String {
    format!("{} {} {} {}", panics.version(), scopes.version(), clusters.version, hostility.version)
}

/// Announced tests, their tokens by the ids that events have.
fn announced(keys: &Keys, settings: &[ExpectedSettings]) -> Expected {
    let announcements = settings.iter().map(|test| Announcement {
        reason: neutral::line(&test.reason, NAME_BYTES_MAX).into(),
        from: test.from,
        until: test.until,
        sources: test.sources.clone(),
        tokens: test.tokens.iter().map(|token| keys.token(token.as_bytes())).collect(),
        services: test.services.clone(),
        routes: test.routes.clone(),
    });
    Expected::new(announcements.collect())
}

/// The settings over the defaults.
fn policy(settings: &AlertSettings) -> AlertPolicy {
    let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(Millis::DAY);
    let usual = AlertPolicy::default();
    AlertPolicy {
        raise_millis: settings.cooldown.map_or(usual.raise_millis, millis),
        cooldown_millis: settings.cooldown.map_or(usual.cooldown_millis, millis),
        quiet_millis: settings.quiet.map_or(usual.quiet_millis, millis),
        digest_above: settings.digest_above.unwrap_or(usual.digest_above),
    }
}

#[cfg(test)]
mod tests;
