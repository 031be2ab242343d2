//! Analysts' words on clusters, and to whom each reaches.
//!
//! Reads the words that stand ([`Rulings`], an input like any other: the pipeline never asks where they come from) and
//! the lineage of clusters; gives the one word that holds for a cluster, if any. A word is applied where the verdict is
//! spoken: it opens and closes alerts, and points, suspects, trust and the learned normal stay what the judge made them.
//!
//! **The rule.** A word is said of one cluster and follows that cluster's events:
//!
//! 1. What was said of the cluster itself holds.
//! 2. Else what was said of the nearest cluster that it was split from. A piece also takes along what had come to the
//!    whole by 3.
//! 3. Else what came with clusters that became part of it: the word that held for each when it ended. It comes along
//!    only where nothing contradicts: not to a cluster of which the opposite held until then, whoever said so (the analyst
//!    has not seen what else is in there), and of two that came and differ neither holds.
//!
//! A word that is taken back, or replaced, is so for all whom it reached.
//!
//! Bounds: [`ANCESTORS_MAX`] and [`ABSORBED_MAX`] ids a cluster, the nearest and the smallest ones. Costs a few look-ups
//! a cluster that is judged. Never here: a clock; the time of a word is shown and decides nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::alert::{Overruled, Verdict};
use super::cluster::identity::{Assignments, ClusterId};
use super::event::Millis;

/// Clusters that a cluster was split from, one after the other, that are remembered: a life has two or three.
const ANCESTORS_MAX: usize = 16;

/// Clusters that became part of a cluster, and brought a word, that are remembered.
const ABSORBED_MAX: usize = 16;

/// What an analyst may say of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Call {
    /// Somebody feels for the edge of an exploit.
    Hostile,
    /// An honest fault.
    Benign,
}

impl Call {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Hostile, Self::Benign];

    /// The verdict that it is.
    pub fn verdict(self) -> Verdict {
        match self {
            Self::Hostile => Verdict::Hostile,
            Self::Benign => Verdict::Benign,
        }
    }

    fn opposite(self) -> Self {
        match self {
            Self::Hostile => Self::Benign,
            Self::Benign => Self::Hostile,
        }
    }

    /// `hostile` or `benign`.
    pub fn name(self) -> &'static str {
        self.verdict().name()
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|call| call.name() == name)
    }
}

/// A word that stands. Its texts are neutralised and bounded by whoever made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruling {
    /// The word.
    pub call: Call,
    /// Why.
    pub why: String,
    /// Who said it.
    pub by: String,
    /// When it was said (wall clock): shown, never decided by.
    pub at: Millis,
}

/// The words that stand, by the cluster that each was said of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rulings(BTreeMap<ClusterId, Ruling>);

impl FromIterator<(ClusterId, Ruling)> for Rulings {
    fn from_iter<I: IntoIterator<Item = (ClusterId, Ruling)>>(rulings: I) -> Self {
        Self(rulings.into_iter().collect())
    }
}

impl Rulings {
    /// What was said of this very cluster.
    pub fn get(&self, id: ClusterId) -> Option<&Ruling> {
        self.0.get(&id)
    }

    /// All of them, by cluster.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (ClusterId, &Ruling)> {
        self.0.iter().map(|(id, ruling)| (*id, ruling))
    }
}

/// Where a cluster comes from, as far as words go.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descent {
    /// Clusters that it was split from, the nearest first.
    ancestors: Vec<ClusterId>,
    /// Clusters whose words came along when others became part of it.
    absorbed: BTreeSet<ClusterId>,
}

/// Where all living clusters of a tenant come from; those that come from nowhere are not in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Descents(BTreeMap<ClusterId, Descent>);

impl Descents {
    /// Rebuilds from stored rows.
    pub fn restore(rows: impl IntoIterator<Item = (ClusterId, Descent)>) -> Self {
        Self(rows.into_iter().collect())
    }

    /// Where a cluster comes from.
    pub fn get(&self, id: ClusterId) -> Option<&Descent> {
        self.0.get(&id)
    }

    /// The cluster whose word holds for `id`, by the rule above.
    pub fn origin(&self, id: ClusterId, rulings: &Rulings) -> Option<ClusterId> {
        if rulings.get(id).is_some() {
            return Some(id);
        }
        let descent = self.0.get(&id)?;
        let inherited = descent.ancestors.iter().find(|ancestor| rulings.get(**ancestor).is_some());
        inherited.copied().or_else(|| {
            let mut came = descent.absorbed.iter().filter_map(|from| Some((*from, rulings.get(*from)?.call)));
            let (first, call) = came.next()?;
            came.all(|(_, other)| other == call).then_some(first)
        })
    }

    /// What holds for a cluster that the judge holds for `judge`, as an alert tells it.
    pub fn overruled(&self, id: ClusterId, rulings: &Rulings, judge: Verdict) -> Option<Overruled> {
        let origin = self.origin(id, rulings)?;
        let Ruling { call, why, by, at } = rulings.get(origin)?.clone();
        Some(Overruled { word: call.verdict(), judge, why, by, at: at.to_string(), cluster: origin.to_string() })
    }

    /// Whether a word that is said of `id` reaches the living cluster `of`, unless a nearer one is said.
    pub fn reaches(&self, id: ClusterId, of: ClusterId) -> bool {
        id == of || self.0.get(&of).is_some_and(|d| d.ancestors.contains(&id) || d.absorbed.contains(&id))
    }

    /// Follows what the clustering did to the `concerned` ones; `before` is the verdict that a cluster had until now,
    /// nothing for one that is new. Gives nothing; rows of all concerned ones are the caller's to store.
    pub fn follow(
        &mut self,
        clusters: &Assignments,
        concerned: &BTreeSet<ClusterId>,
        rulings: &Rulings,
        before: impl Fn(ClusterId) -> Option<Verdict>,
    ) {
        let living = |id: ClusterId| clusters.get(id).filter(|cluster| cluster.id == id);
        // Pieces first: they take what the whole had before this epoch brought it anything.
        let born: Vec<(ClusterId, Descent)> = concerned
            .iter()
            .filter(|id| !self.0.contains_key(id))
            .filter_map(|id| Some((*id, self.of_piece(living(*id)?.split_from?))))
            .collect();
        self.0.extend(born);
        for id in concerned.iter().filter(|id| living(**id).is_none()) {
            // Ids that ended long ago are concerned, too; they have brought what they had.
            let ended_now = before(*id).is_some();
            let brought = if ended_now { self.brought(*id, rulings) } else { BTreeSet::new() };
            self.0.remove(id);
            if let Some(heir) = clusters.get(*id).filter(|_| !brought.is_empty()) {
                self.take_in(heir.id, brought, rulings, before(heir.id));
            }
        }
    }

    fn of_piece(&self, whole: ClusterId) -> Descent {
        let known = self.0.get(&whole).cloned().unwrap_or_default();
        let ancestors = std::iter::once(whole).chain(known.ancestors).take(ANCESTORS_MAX).collect();
        Descent { ancestors, absorbed: known.absorbed }
    }

    /// Whose words a cluster that ends brings along: the one that holds for it, or those that contradict each other.
    fn brought(&self, id: ClusterId, rulings: &Rulings) -> BTreeSet<ClusterId> {
        match self.origin(id, rulings) {
            Some(origin) => BTreeSet::from([origin]),
            None => self.0.get(&id).map(|descent| descent.absorbed.clone()).unwrap_or_default(),
        }
    }

    fn take_in(
        &mut self,
        heir: ClusterId,
        brought: BTreeSet<ClusterId>,
        rulings: &Rulings,
        heir_before: Option<Verdict>,
    ) {
        let comes = |from: &ClusterId| {
            rulings.get(*from).is_some_and(|word| heir_before != Some(word.call.opposite().verdict()))
        };
        let brought: Vec<ClusterId> = brought.into_iter().filter(comes).collect();
        if brought.is_empty() {
            return;
        }
        let absorbed = &mut self.0.entry(heir).or_default().absorbed;
        absorbed.extend(brought);
        while absorbed.len() > ABSORBED_MAX {
            absorbed.pop_last();
        }
    }
}

#[cfg(test)]
mod tests;
