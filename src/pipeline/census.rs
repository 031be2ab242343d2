//! What the memory of a tenant says as a whole, beside its clusters: events, times, networks, and shapes side by side.
//!
//! Reads cells and the suspects' summaries, gives plain counts for a report. Sums are exact where cells are: a cell
//! names sixteen networks, and the events of further ones are counted as [`Census::n_network_unnamed`]. Costs one pass
//! over the cells (some milliseconds for 8,192); [`Tenant::shapes_of`] one over the rows of a cluster.

use std::collections::{BTreeMap, BTreeSet};

use super::cell::Cell;
use super::cells::is_overflow;
use super::cluster::identity::Cluster;
use super::event::{Millis, RecoveryOutcome, ShapeId};
use super::fingerprint::{Format, Sketch};
use super::portrait::asn_name_id;
use super::sample::Minutes;
use super::tenant::Tenant;

/// All cells of a tenant together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Census {
    /// Cells.
    pub n_cells: usize,
    /// Events that are still remembered.
    pub n_events: u64,
    /// Senders that are suspects now.
    pub n_suspects: usize,
    /// Event time of the first and of the last event; nothing where there is none.
    pub span: Option<(Millis, Millis)>,
    /// When.
    pub minutes: Minutes,
    /// Events by recovery outcome, in the order of [`RecoveryOutcome`].
    pub recoveries: [u64; 6],
    /// Networks by their autonomous system number.
    pub networks: BTreeMap<u64, NetworkSeen>,
    /// Events of networks that the cells do not name one by one.
    pub n_network_unnamed: u64,
    /// Events whose network the tables do not know.
    pub n_network_unknown: u64,
}

/// What came from one network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkSeen {
    /// The organisation, where the tables name it.
    pub organisation: Option<String>,
    /// Events, as far as cells name the network.
    pub events: u64,
    /// Events of suspects, over all that they sent.
    pub of_suspects: u64,
}

/// One shape of a cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct ShapeSeen {
    /// Its name; that of an overflow cell where many shapes were folded into one.
    pub shape: ShapeId,
    /// Events of the cluster that have it.
    pub events: u64,
    /// What the body is.
    pub format: Option<Format>,
    /// Depth, keys and nodes in a number; see [`coarse_words`](super::fingerprint::coarse_words).
    pub coarse: u16,
    /// Likeness to the cluster's most frequent shape, 0 to 1; an estimate of their sketches.
    pub likeness: f64,
    /// Whether many shapes stand behind it.
    pub is_folded: bool,
}

impl Census {
    fn add(&mut self, cell: &Cell) {
        self.n_cells = self.n_cells.saturating_add(1);
        self.n_events = self.n_events.saturating_add(cell.n);
        let (first, last) = self.span.unwrap_or((cell.first, cell.last));
        self.span = Some((first.min(cell.first), last.max(cell.last)));
        self.minutes.merge(&cell.minutes);
        for (sum, count) in self.recoveries.iter_mut().zip(cell.recoveries) {
            *sum = sum.saturating_add(count);
        }
        for (asn, events) in cell.asns.iter() {
            let seen = self.networks.entry(asn).or_default();
            seen.events = seen.events.saturating_add(events);
        }
        self.n_network_unnamed = self.n_network_unnamed.saturating_add(cell.asns.other());
        self.n_network_unknown = self.n_network_unknown.saturating_add(cell.n.saturating_sub(cell.asns.total()));
    }

    /// Adds another tenant's.
    pub fn merge(&mut self, other: Self) {
        self.n_cells = self.n_cells.saturating_add(other.n_cells);
        self.n_events = self.n_events.saturating_add(other.n_events);
        self.n_suspects = self.n_suspects.saturating_add(other.n_suspects);
        self.span = match (self.span, other.span) {
            (Some((first, last)), Some((earlier, later))) => Some((first.min(earlier), last.max(later))),
            (span, None) | (None, span) => span,
        };
        self.minutes.merge(&other.minutes);
        for (sum, count) in self.recoveries.iter_mut().zip(other.recoveries) {
            *sum = sum.saturating_add(count);
        }
        for (asn, theirs) in other.networks {
            let seen = self.networks.entry(asn).or_default();
            seen.organisation = seen.organisation.take().or(theirs.organisation);
            seen.events = seen.events.saturating_add(theirs.events);
            seen.of_suspects = seen.of_suspects.saturating_add(theirs.of_suspects);
        }
        self.n_network_unnamed = self.n_network_unnamed.saturating_add(other.n_network_unnamed);
        self.n_network_unknown = self.n_network_unknown.saturating_add(other.n_network_unknown);
    }

    /// Events with their recovery outcomes, none left out.
    pub fn recovered(&self) -> impl Iterator<Item = (RecoveryOutcome, u64)> {
        RECOVERIES.into_iter().zip(self.recoveries)
    }
}

/// Recovery outcomes in the order in which cells count them.
const RECOVERIES: [RecoveryOutcome; 6] = [
    RecoveryOutcome::Recovered,
    RecoveryOutcome::Degraded,
    RecoveryOutcome::Escaped,
    RecoveryOutcome::Aborted,
    RecoveryOutcome::SuspectedAbort,
    RecoveryOutcome::Unknown,
];

impl Tenant {
    /// All cells and suspects together.
    pub fn census(&self) -> Census {
        let mut census = Census { n_suspects: self.suspect_since.len(), ..Census::default() };
        self.cells.iter().for_each(|(_, cell)| census.add(cell));
        for summary in self.suspect_since.keys().filter_map(|suspect| self.record.summary(suspect)) {
            for (asn, events) in summary.asns.iter() {
                let seen = census.networks.entry(asn).or_default();
                seen.of_suspects = seen.of_suspects.saturating_add(events);
            }
        }
        for (asn, seen) in &mut census.networks {
            seen.organisation = Some(asn_name_id(*asn)).filter(|id| self.names.knows(*id)).map(|id| self.name(id));
        }
        census
    }

    /// The networks from which a living cluster's events came: of its suspects, each over all that it sent, or where it
    /// has none of its cells; as far as these name them.
    pub fn networks_of(&self, cluster: &Cluster) -> BTreeSet<u64> {
        let suspects = cluster.suspects();
        let summaries = suspects.iter().filter_map(|suspect| self.record.summary(suspect));
        let cells = self.cells_of(cluster).map(|(_, cell, _)| cell).filter(|_| suspects.is_empty());
        summaries.chain(cells).flat_map(|cell| cell.asns.iter()).map(|(asn, _)| asn).collect()
    }

    /// The shapes of a living cluster, the most frequent first (then by name).
    pub fn shapes_of(&self, cluster: &Cluster) -> Vec<ShapeSeen> {
        let mut shapes: BTreeMap<ShapeId, (ShapeSeen, Sketch)> = BTreeMap::new();
        for (key, cell, events) in self.cells_of(cluster) {
            let shape = key.shape;
            let seen = ShapeSeen {
                shape,
                events: 0,
                format: cell.format,
                coarse: cell.coarse,
                likeness: 1.0,
                is_folded: is_overflow(&key),
            };
            let (seen, _) = shapes.entry(shape).or_insert((seen, cell.sketch));
            seen.events = seen.events.saturating_add(events);
        }
        let mut shapes: Vec<(ShapeSeen, Sketch)> = shapes.into_values().collect();
        shapes.sort_by_key(|(seen, _)| (std::cmp::Reverse(seen.events), seen.shape));
        let main = shapes.first().map(|(_, sketch)| *sketch);
        let likened = shapes.into_iter().map(|(mut seen, sketch)| {
            seen.likeness = main.map_or(1.0, |main| main.similarity(&sketch));
            seen
        });
        likened.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::cell::testing::{event, key};
    use crate::pipeline::cells::CellLimits;

    fn tenant(n: u64) -> Tenant {
        let mut tenant = Tenant::new(CellLimits::default());
        for at in 0..n {
            tenant.observe(&event(at, key(at % 3, at % 5, 0, at % 7)));
        }
        tenant
    }

    #[test]
    fn the_census_counts_every_event_once() {
        let check = |n: u64| {
            let census = tenant(n).census();
            assert_eq!(census.n_events, n);
            assert_eq!(census.recoveries.iter().sum::<u64>(), n);
            let named: u64 = census.networks.values().map(|seen| seen.events).sum();
            assert_eq!(named + census.n_network_unnamed + census.n_network_unknown, n);
            assert_eq!(census.span.is_none(), n == 0);
        };
        check(0);
        check(1);
        check(2_000);
    }

    #[test]
    fn merging_is_the_same_as_counting_together() {
        let mut merged = tenant(100).census();
        merged.merge(Census::default());
        assert_eq!(merged, tenant(100).census());
        merged.merge(tenant(50).census());
        assert_eq!(merged.n_events, 150);
        assert_eq!(merged.span, tenant(100).census().span);
    }
}
