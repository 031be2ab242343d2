//! From what was typed to a cluster: an id, the beginning of one, or the id of a cluster that became part of another.
//!
//! Reads ids alone. One pass over the clusters and aliases of all tenants.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, anyhow, bail};

use super::Selection;
use super::list::ranked;
use super::sheet::printable;
use crate::pipeline::alert::Category;
use crate::pipeline::cluster::identity::{Cluster, ClusterId};
use crate::pipeline::state::State;
use crate::pipeline::tenant::{Standing, Tenant};

/// Ids that a fault names.
const CANDIDATES_MAX: usize = 8;

/// The cluster that was meant.
pub(super) struct Found<'s> {
    pub(super) tenant: &'s Tenant,
    pub(super) cluster: &'s Cluster,
    pub(super) standing: Option<&'s Standing>,
    /// The id that was asked for, where it leads here as an alias.
    pub(super) alias: Option<ClusterId>,
}

impl Found<'_> {
    /// What is to be said of an alias.
    pub(super) fn alias_line(&self) -> Option<String> {
        Some(format!("{} became part of {}", self.alias?, self.cluster.id))
    }
}

/// What an id begins with that was typed so.
pub(super) fn wanted(asked: &str) -> String {
    let typed = asked.trim().to_ascii_lowercase();
    if typed.starts_with("c-") { typed } else { format!("c-{typed}") }
}

/// The one cluster whose id, or an alias of it, is or begins with `asked`; `c-` may be left out.
pub(super) fn find<'s>(state: &'s State, asked: &str) -> Result<Found<'s>> {
    let wanted = wanted(asked);
    let mut matches: BTreeMap<String, (ClusterId, ClusterId)> = BTreeMap::new();
    for (_, tenant) in state.tenants() {
        let living = tenant.clusters().map(|(cluster, _)| (cluster.id, cluster.id));
        let merged = tenant.aliases().map(|(id, alias)| (id, alias.into));
        for (id, leads_to) in living.chain(merged) {
            let text = id.to_string();
            if text.starts_with(&wanted) {
                matches.insert(text, (id, leads_to));
            }
        }
    }
    let targets: BTreeSet<ClusterId> = matches.values().map(|(_, target)| *target).collect();
    let shown = printable(asked);
    let Some(target) = targets.first() else {
        if asked.trim().starts_with("digest") {
            bail!("{shown} is no cluster but a digest of many: `panicsift report list --verdict hostile` ranks them");
        }
        // Operations alerts bear the names of situations where others bear clusters'.
        if Category::ALL.iter().any(|one| *one != Category::HostileInput && asked.trim().starts_with(one.prefix())) {
            bail!(
                "{shown} is no cluster but a situation that operations are alerted on: `panicsift triage` tells of it"
            );
        }
        let (ranked, n_all) = ranked(state, Selection::default());
        let known = listed(ranked.iter().map(|ranked| ranked.cluster.id.to_string()), n_all);
        let known = if n_all == 0 { "there are no clusters yet".to_owned() } else { format!("there are {known}") };
        bail!("no cluster is called {shown}: {known}; `panicsift report list` ranks them");
    };
    if targets.len() > 1 {
        let n_matches = matches.len();
        bail!(
            "{n_matches} clusters begin with {shown}: {}; type more of the id",
            listed(matches.into_keys(), n_matches)
        );
    }
    let alias = matches.values().next().map(|(id, _)| *id).filter(|_| matches.values().all(|(id, _)| id != target));
    let (tenant, (cluster, standing)) = state
        .tenants()
        .find_map(|(_, tenant)| Some((tenant, tenant.clusters().find(|(cluster, _)| cluster.id == *target)?)))
        .ok_or_else(|| anyhow!("{shown} became part of {target}, which is not known any more"))?;
    Ok(Found { tenant, cluster, standing, alias })
}

fn listed(ids: impl Iterator<Item = String>, n_all: usize) -> String {
    let named: Vec<String> = ids.take(CANDIDATES_MAX).collect();
    let more = n_all.saturating_sub(named.len());
    let rest = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("{}{rest}", named.join(", "))
}
