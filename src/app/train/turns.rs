//! Which campaigns are left out together.
//!
//! Reads the labels of all sets; gives each campaign a turn, by its name alone: those of one name in all sets are left
//! out together, since a set and its reference may have honest causes in common.

use std::collections::{BTreeMap, BTreeSet};

use super::Course;

/// Turns in which campaigns are left out.
pub(super) const TURNS: u64 = 5;

/// Turns of all campaigns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Turns {
    /// How many there are.
    pub(super) n: u64,
    of: BTreeMap<String, u64>,
}

impl Turns {
    /// Campaigns dealt out over [`TURNS`]; every seed deals them otherwise.
    pub(super) fn by_campaign(courses: &[&Course<'_>], seed: u64) -> Self {
        let of = labels(courses).map(|(_, campaign, _)| (campaign.to_owned(), drawn(campaign, seed)));
        Self { n: TURNS, of: of.collect() }
    }

    /// Whole kinds: one kind of hostile campaigns a turn, and the kinds of honest ones over all turns. `None` where
    /// fewer than two kinds of hostile campaigns are labelled: nothing would be left to learn from.
    pub(super) fn by_kind(courses: &[&Course<'_>]) -> Option<Self> {
        let kinds = |hostile: bool| -> BTreeSet<&str> {
            labels(courses).filter(|label| label.0 == hostile).map(|(_, _, kind)| kind).collect()
        };
        let hostile = kinds(true);
        let n = u64::try_from(hostile.len()).ok().filter(|n| *n >= 2)?;
        let honest = kinds(false);
        let turns: BTreeMap<(bool, &str), u64> = (hostile.iter().zip(0..).map(|(kind, at)| ((true, *kind), at)))
            .chain(honest.iter().zip((0..n).cycle()).map(|(kind, at)| ((false, *kind), at)))
            .collect();
        let turn = |(hostile, campaign, kind): (bool, &str, &str)| {
            Some((campaign.to_owned(), turns.get(&(hostile, kind)).copied()?))
        };
        Some(Self { n, of: labels(courses).filter_map(turn).collect() })
    }

    /// The turn in which a campaign is left out.
    pub(super) fn of(&self, campaign: &str) -> Option<u64> {
        self.of.get(campaign).copied()
    }
}

/// Whether hostile, campaign and kind, of each campaign of each set.
fn labels<'c>(courses: &[&'c Course<'_>]) -> impl Iterator<Item = (bool, &'c str, &'c str)> {
    let labels = courses.iter().flat_map(|course| &course.labels);
    let all: BTreeSet<(bool, &str, &str)> =
        labels.map(|label| (label.hostile, label.campaign.as_str(), label.kind.as_str())).collect();
    all.into_iter()
}

/// A turn by name and seed (FNV-1a, begun with the seed).
fn drawn(campaign: &str, seed: u64) -> u64 {
    let fnv = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
    campaign.bytes().fold(0xCBF2_9CE4_8422_2325 ^ seed.wrapping_mul(0x9E37_79B9_7F4A_7C15), fnv) % TURNS
}

#[cfg(test)]
mod tests;
