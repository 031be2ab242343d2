//! `setup`: prepares Elasticsearch and OpenSearch destinations for their first alert, or prints how.
//!
//! Takes checked settings and the name of a destination, if one is meant; gives the lines that are told. Every
//! destination is tried: a server that fails does not keep the others from being prepared, and makes the command fail
//! at the end.

use std::fmt::Write as _;

use anyhow::{Result, bail};

use super::destinations::elastic_client;
use crate::config::{DEFAULT_DATA_STREAM, DEFAULT_RETENTION_DAYS, DestinationKind, DestinationSettings, Settings};
use crate::edge::elastic::{Installed, Product, TemplateNames, install, parts, render};

/// Installs what the destinations need; gives what was done, in lines. What failed is told in the error, after the lines
/// of what did not.
pub async fn setup_elastic(
    settings: &Settings,
    destination: Option<&str>,
    product: Option<Product>,
    told: &mut String,
) -> Result<()> {
    let mut failures = Vec::new();
    for chosen in chosen(settings, destination)? {
        let DestinationKind::Elastic { http, login, data_stream, retention_days, .. } = &chosen.kind else { continue };
        let names = TemplateNames::of(data_stream);
        let client = elastic_client(&chosen.name, http, login)?;
        match install(&client, &names, product, *retention_days).await {
            Ok(installed) => tell(told, &chosen.name, data_stream, &installed)?,
            Err(error) => failures.push(format!("destination {}: {error}", chosen.name)),
        }
    }
    if !failures.is_empty() {
        bail!("{}", failures.join("; "));
    }
    Ok(())
}

/// The requests that `setup` would send, for one product or both; without settings for the default stream.
pub fn print_elastic(
    settings: Option<&Settings>,
    destination: Option<&str>,
    product: Option<Product>,
) -> Result<String> {
    let mut streams = Vec::new();
    if let Some(settings) = settings {
        for chosen in chosen(settings, destination)? {
            if let DestinationKind::Elastic { data_stream, retention_days, .. } = &chosen.kind {
                streams.push((data_stream.as_str(), *retention_days));
            }
        }
    } else {
        streams.push((DEFAULT_DATA_STREAM, DEFAULT_RETENTION_DAYS));
    }
    let mut text = String::new();
    for product in [Product::Elasticsearch, Product::OpenSearch] {
        if !asked_for(product) {
            continue;
        }
    }
    Ok(text)
}
