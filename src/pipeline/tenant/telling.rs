//! How a tenant's clusters are told: the portrait with all that a SOC wants to know, and how much a cluster matters.
//!
//! Reads the cells of a cluster and the summaries of its suspects; changes nothing. Costs the merge of these summaries
//! for each portrait; [`Tenant::impact`] keeps to the few that severity needs, since it is asked at every epoch.

use std::collections::BTreeSet;

use super::{Standing, Tenant};
use crate::pipeline::alert::{Change, Portrait};
use crate::pipeline::brief::severity::{Impact, Sureness, severity};
use crate::pipeline::brief::{self, Case, searches};
use crate::pipeline::cluster::identity::Cluster;
use crate::pipeline::judge::{Judgement, Weighed};
use crate::pipeline::life::Word;
use crate::pipeline::observation::Actor;
use crate::pipeline::portrait::Sitting;
use crate::pipeline::sample::Minutes;
use crate::pipeline::{Context, event::Id, event::Millis};

impl Tenant {
    /// What is said of a cluster that is hostile or has an open alert.
    pub(super) fn word(&self, context: &Context, cluster: &Cluster, judgement: &Judgement, holds: bool) -> Word {
        let impact = self.impact(cluster);
        let sureness = Sureness::of(judgement.points - super::threshold(context));
        Word {
            holds,
            severity: severity(impact.reach(&self.names, &context.scopes), sureness),
            last_event: impact.last.unwrap_or(Millis(i64::MIN)),
        }
    }

    /// What the cluster's severity is read from: of the same summaries as [`Tenant::sitting`].
    fn impact(&self, cluster: &Cluster) -> Impact {
        let mut impact = Impact::default();
        let mut sites: BTreeSet<Id> = BTreeSet::new();
        let suspects = cluster.suspects();
        for (key, cell, events) in self.cells_of(cluster) {
            impact.events += events;
            sites.insert(key.site);
            if suspects.is_empty() {
                impact.add(cell);
            }
        }
        impact.sites = sites.len() as u64;
        suspects.iter().filter_map(|actor| self.record.summary(actor)).for_each(|summary| impact.add(summary));
        impact
    }

    /// Everything that a portrait of clusters is drawn from. A cluster of suspects is described by what they did.
    pub(super) fn sitting(&self, clusters: &[&Cluster]) -> Sitting {
        let mut sitting = Sitting::default();
        let mut suspects: BTreeSet<Actor> = BTreeSet::new();
        for cluster in clusters {
            let own = cluster.suspects();
            for (key, cell, events) in self.cells_of(cluster) {
                *sitting.parts.entry(key).or_default() += events;
                if own.is_empty() {
                    sitting.summary.merge(cell);
                }
            }
            suspects.extend(own);
        }
        for summary in suspects.iter().filter_map(|actor| self.record.summary(actor)) {
            sitting.summary.merge(summary);
        }
        let services = sitting.parts.keys().map(|cell| cell.service);
        sitting.ordinary_traffic = self.record.hears_ordinary(services, sitting.summary.last);
        sitting
    }

    /// The portrait of a living cluster, for a report.
    pub fn portrait(&self, cluster: &Cluster) -> Portrait {
        match self.standings.get(&cluster.id) {
            Some(standing) => self.told(cluster, standing),
            None => self.sitting(&[cluster]).draw(&self.names),
        }
    }

    /// The portrait of a cluster for an alert on a change in its life: with searches, and the severity that is told.
    pub(super) fn portrait_for_alert(
        &self,
        context: &Context,
        change: Change,
        cluster: &Cluster,
        standing: &Standing,
    ) -> Portrait {
        let portrait = self.told(cluster, standing);
        let queries = searches::of(&context.places, change, &cluster.id.to_string(), &portrait);
        Portrait { severity: standing.life.told, queries: Some(queries), ..portrait }
    }

    /// When the events of a living cluster happened: by minute over the last hour before the newest, by hour over the
    /// last 48 hours.
    pub fn timeline(&self, cluster: &Cluster) -> Minutes {
        self.sitting(&[cluster]).summary.minutes
    }

    fn told(&self, cluster: &Cluster, standing: &Standing) -> Portrait {
        let sitting = self.sitting(&[cluster]);
        let portrait = complete(cluster, standing, sitting.draw(&self.names));
        let suspects = cluster.suspects();
        let tokens: BTreeSet<Id> = suspects.iter().filter_map(|actor| self.record.token(actor)).collect();
        let weighed = suspects.iter().filter_map(|actor| self.record.current_suspects().get(actor));
        let lead: Option<&Weighed> = weighed.max_by_key(|weighed| weighed.centipoints);
        brief::told(&Case { portrait: &portrait, lead, tokens: tokens.len() as u64, minutes: sitting.minutes() })
    }
}

/// The portrait with the judge's word on it.
fn complete(cluster: &Cluster, standing: &Standing, portrait: Portrait) -> Portrait {
    let Judgement { points, confidence, evidence, counter_evidence, .. } = standing.judgement.clone();
    let (verdict, overruled) = (standing.verdict(), standing.overruled.clone());
    let lineage = cluster.split_from.iter().chain(&cluster.merged).map(ToString::to_string).collect();
    let (threshold, model) = (standing.threshold, standing.model.clone());
    let severity = standing.severity.unwrap_or(portrait.severity);
    Portrait {
        verdict,
        points,
        threshold,
        overruled,
        severity,
        confidence,
        evidence,
        counter_evidence,
        lineage,
        model,
        ..portrait
    }
}
