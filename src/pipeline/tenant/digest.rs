//! The digest of a tenant as an alert: how many clusters it tells, how much of everything, and the strongest of them.
//!
//! Reads the clusters whose life says that the digest tells them; their portraits are drawn as one. Costs the merge of
//! all their summaries, and is paid when the digest is told: when it is opened, at each doubling, never at each epoch.

use super::{Standing, Tenant, threshold};
use crate::pipeline::alert::{Alert, Change, Finding, Portrait, Severity, Verdict};
use crate::pipeline::brief::searches;
use crate::pipeline::cluster::identity::{Cluster, ClusterId};
use crate::pipeline::event::Millis;
use crate::pipeline::life::AlertPolicy;
use crate::pipeline::portrait::plural;
use crate::pipeline::sample::mix;
use crate::pipeline::{Context, Step};

/// Clusters that a digest names, the strongest.
const NAMED_MAX: usize = 5;

impl Tenant {
    /// The name of the digest that tells a cluster; `None` where it has an alert of its own, or none.
    pub fn digest_of(&self, cluster: ClusterId) -> Option<&str> {
        let standing = self.standings.get(&cluster)?;
        self.digest.name.as_deref().filter(|_| standing.life.in_digest)
    }

    /// Tells the change in the digest's life, at the end of an epoch.
    pub(super) fn tell_digest(&mut self, context: &Context, now: Millis, step: &mut Step) {
        let Some((change, ordinal)) = self.digest.change() else { return };
        let members = self.told_by_digest();
        let worst = members.iter().filter_map(|(_, standing)| standing.severity).max().unwrap_or(Severity::Low);
        let severity = self.digest.severity.max(worst);
        let first = members.first().map(|(cluster, _)| cluster.id);
        let name = self.digest.name.clone().unwrap_or_else(|| name(first, now));
        let portrait = self.portrait_of_digest(context, &members);
        let findings = findings(&context.alerts, self.digest.n_ever, &members, self);
        let queries = Some(searches::of(&context.places, change, &name, &portrait));
        let portrait = Portrait { severity, queries, ..portrait };
        step.alerts.push(Alert { findings, ..Alert::of(change, &name, ordinal, now, portrait) });
        (self.digest.severity, self.digest.name) = (severity, Some(name));
        if change == Change::Closed {
            self.digest.end();
        }
    }

    /// The clusters that the digest tells, the strongest first.
    fn told_by_digest(&self) -> Vec<(&Cluster, &Standing)> {
        let mut members: Vec<(&Cluster, &Standing)> = self
            .standings
            .iter()
            .filter(|(_, standing)| standing.life.in_digest)
            .filter_map(|(id, standing)| Some((self.clusters.get(*id)?, standing)))
            .collect();
        members.sort_by(|(a, a_stands), (b, b_stands)| {
            let points = b_stands.judgement.points.total_cmp(&a_stands.judgement.points);
            b_stands.severity.cmp(&a_stands.severity).then(points).then(a.id.cmp(&b.id))
        });
        members
    }

    fn portrait_of_digest(&self, context: &Context, members: &[(&Cluster, &Standing)]) -> Portrait {
        let n_ever = u64::from(self.digest.n_ever);
        let Some((strongest, standing)) = members.first() else {
            let title = format!("digest of {}: no alert of them is open any more", plural(n_ever, "cluster"));
            return Portrait { title, model: context.version.clone(), ..Portrait::default() };
        };
        let clusters: Vec<&Cluster> = members.iter().map(|(cluster, _)| *cluster).collect();
        let portrait = self.sitting(&clusters).draw(&self.names);
        let counts = portrait.counts;
        let named: Vec<String> = clusters.iter().take(NAMED_MAX).map(|cluster| cluster.id.to_string()).collect();
        let networks = match portrait.networks.len() as u64 {
            0 | 1 => String::new(),
            n => format!(" of {}", plural(n, "network")),
        };
        let title = format!(
            "{}: {}{networks} on {}, {}; the strongest: {}",
            plural(n_ever, "further hostile cluster"),
            plural(counts.addresses, "address"),
            plural(counts.routes, "route"),
            plural(counts.events, "event"),
            named.join(", ")
        );
        let next_step = format!(
            "look at {} first (panicsift report explain {}), then at the others: panicsift report list --verdict hostile",
            strongest.id, strongest.id
        );
        Portrait {
            title,
            verdict: Verdict::Hostile,
            points: standing.judgement.points,
            threshold: threshold(context),
            confidence: standing.judgement.confidence,
            next_step,
            model: context.version.clone(),
            ..portrait
        }
    }
}

/// How many there are, and the strongest of them with their points.
fn findings(policy: &AlertPolicy, n_ever: u32, members: &[(&Cluster, &Standing)], tenant: &Tenant) -> Vec<Finding> {
    let many = Finding {
        name: "clusters".to_owned(),
        value: Some(f64::from(n_ever)),
        limit: None,
        met: true,
        words: format!(
            "{} beyond the {} of an hour that have an alert each; {} open now",
            plural(u64::from(n_ever), "hostile cluster"),
            policy.digest_above,
            members.len()
        ),
    };
    let named = members.iter().take(NAMED_MAX).map(|(cluster, standing)| Finding {
        name: cluster.id.to_string(),
        value: Some(standing.judgement.points),
        limit: Some(standing.threshold),
        met: standing.verdict() == Verdict::Hostile,
        words: format!("{}: {}", cluster.id, tenant.portrait(cluster).title),
    });
    std::iter::once(many).chain(named).collect()
}

/// `digest-` and 16 hex digits that follow from its first cluster and when it was opened.
fn name(first: Option<ClusterId>, now: Millis) -> String {
    let first = first.map_or(0, |id| id.0.0);
    format!("digest-{:016x}", mix(first ^ mix(now.0.unsigned_abs())))
}
