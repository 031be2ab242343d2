//! `setup`: prepares Elasticsearch and OpenSearch destinations for their first alert, or prints how.
//!
//! Takes checked settings and the name of a destination, if one is meant; gives the lines that are told. Every
//! destination is tried: a server that fails does not keep the others from being prepared, and makes the command fail
//! at the end.

use std::fmt::Write as _;

use anyhow::{Result, bail};

use super::destinations::elastic_client;
use crate::config::{
    DEFAULT_DATA_STREAM, DEFAULT_RETENTION_DAYS, DestinationKind, DestinationSettings, ElasticLogin, HttpSettings,
    Settings,
};
use crate::edge::elastic::{Installed, Product, TemplateNames, install, parts, render};

/// An Elastic destination as far as `setup` goes.
struct Chosen<'a> {
    name: &'a str,
    http: &'a HttpSettings,
    login: &'a ElasticLogin,
    data_stream: &'a str,
    retention_days: u32,
}

/// Installs what the destinations need and writes to `told` what was done. What failed is in the error.
pub async fn setup_elastic(
    settings: &Settings,
    destination: Option<&str>,
    product: Option<Product>,
    told: &mut String,
) -> Result<()> {
    let mut failures = Vec::new();
    for chosen in choose(settings, destination)? {
        let names = TemplateNames::of(chosen.data_stream);
        let client = elastic_client(chosen.name, chosen.http, chosen.login)?;
        match install(&client, &names, product, chosen.retention_days).await {
            Ok(installed) => tell(told, &chosen, &installed)?,
            Err(error) => failures.push(format!("destination {}: {error}", chosen.name)),
        }
    }
    if failures.is_empty() { Ok(()) } else { bail!("{}", failures.join("; ")) }
}

/// The requests that `setup` would send, for one product or both; without settings for the default stream.
pub fn print_elastic(
    settings: Option<&Settings>,
    destination: Option<&str>,
    product: Option<Product>,
) -> Result<String> {
    let streams = match settings {
        Some(settings) => choose(settings, destination)?
            .into_iter()
            .map(|chosen| (chosen.data_stream, chosen.retention_days))
            .collect(),
        None => vec![(DEFAULT_DATA_STREAM, DEFAULT_RETENTION_DAYS)],
    };
    let mut text = String::new();
    for (data_stream, days) in streams {
        for flavour in [Product::Elasticsearch, Product::OpenSearch] {
            if product.is_none_or(|product| product == flavour) {
                let requests = render(&parts(&TemplateNames::of(data_stream), flavour, Some(days)));
                write!(text, "# {}, data stream {data_stream}\n\n{requests}", flavour.name())?;
            }
        }
    }
    Ok(text)
}

/// The destination of this name, or all of the kind.
fn choose<'a>(settings: &'a Settings, destination: Option<&str>) -> Result<Vec<Chosen<'a>>> {
    let is_meant = |one: &&DestinationSettings| destination.is_none_or(|name| one.name == name);
    let meant: Vec<&DestinationSettings> = settings.destinations.iter().filter(is_meant).collect();
    let chosen: Vec<Chosen<'_>> = meant.iter().filter_map(|one| elastic(one)).collect();
    match (destination, meant.is_empty(), chosen.is_empty()) {
        (Some(_), true, _) => {
            let known: Vec<&str> = settings.destinations.iter().map(|one| one.name.as_str()).collect();
            bail!("there is no destination of this name; known here: {}", known.join(", "))
        }
        (Some(name), _, true) => bail!("destination {name} is not of kind elastic: there is nothing to prepare"),
        (None, _, true) => bail!("the configuration has no destination of kind elastic"),
        _ => Ok(chosen),
    }
}

fn elastic(settings: &DestinationSettings) -> Option<Chosen<'_>> {
    match &settings.kind {
        DestinationKind::Elastic { http, login, data_stream, retention_days, .. } => {
            Some(Chosen { name: &settings.name, http, login, data_stream, retention_days: *retention_days })
        }
        _ => None,
    }
}

fn tell(told: &mut String, chosen: &Chosen<'_>, installed: &Installed) -> Result<()> {
    let state = if installed.is_current() { "already current" } else { "installed" };
    let product = installed.product.name();
    writeln!(told, "{}: {state} ({product}, data stream {})", chosen.name, chosen.data_stream)?;
    for step in &installed.steps {
        writeln!(told, "  {:<18} {:<18} {}", step.done.name(), step.kind.name(), step.name)?;
    }
    for note in &installed.notes {
        writeln!(told, "  note: {note}")?;
    }
    Ok(())
}
