//! Which cluster is which: names that stay while their members come and go.
//!
//! Takes the assignments of the epoch before, the components of this one and their weights; gives the new assignments.
//! A cluster lives on in the component to which most of its weight went, if that is at least half of it (MONIC, Spiliopoulou
//! et al. 2006: overlap weighed by member, not counted). Where several live on in one component they have merged: the
//! oldest keeps its id, the others leave an alias for 48 hours. A component that nobody lives on in is a new
//! cluster; its id comes from its smallest row and the first event of that, not from a clock, so that a replay gives the same ids.
//!
//! A function of its arguments; the order of the components does not matter. Cost: linear in the rows, but for sorting.
//! Not kept: the history of a cluster before the last epoch (the alert's life cycle keeps what it needs), and aliases
//! after their time.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{ClusteringModel, RowKey};
use crate::pipeline::event::{Id, Millis};
use crate::pipeline::observation::Actor;

/// Name of a cluster, shown as `c-` and 16 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClusterId(pub Id);

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c-{}", self.0)
    }
}

impl ClusterId {
    /// The id that is shown so.
    pub fn named(shown: &str) -> Option<Self> {
        let digits = shown.strip_prefix("c-").filter(|digits| digits.len() == 16)?;
        u64::from_str_radix(digits, 16).ok().map(|id| Self(Id(id))).filter(|id| id.to_string() == shown)
    }
}

/// One row of a component.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Member {
    /// The row.
    pub key: RowKey,
    /// Its weight now; what is not finite or negative counts as 0.
    pub weight: f64,
    /// Its first event.
    pub first: Millis,
}

/// A living cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// Its name.
    pub id: ClusterId,
    /// First event of the rows from which it got its name.
    pub born: Millis,
    /// Its rows now, ascending.
    pub members: Vec<RowKey>,
    /// The cluster that it was a part of when it was born.
    pub split_from: Option<ClusterId>,
    /// Clusters that have merged into it and whose alias still leads here, ascending.
    pub merged: Vec<ClusterId>,
}

impl Cluster {
    /// The suspects that it is made of; none for one of cells.
    pub fn suspects(&self) -> BTreeSet<Actor> {
        self.members.iter().filter_map(RowKey::sender).copied().collect()
    }
}

/// Where a dead id leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alias {
    /// The cluster that took it in.
    pub into: ClusterId,
    /// Until when this is remembered.
    pub until: Millis,
}

/// All living clusters of a tenant, and which row is in which.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignments {
    clusters: BTreeMap<ClusterId, Cluster>,
    of: BTreeMap<RowKey, ClusterId>,
    aliases: BTreeMap<ClusterId, Alias>,
}

impl Assignments {
    /// The cluster of a row.
    pub fn of(&self, row: &RowKey) -> Option<ClusterId> {
        self.of.get(row).copied()
    }

    /// A living cluster by its id or by an alias of it.
    pub fn get(&self, id: ClusterId) -> Option<&Cluster> {
        self.clusters.get(&id).or_else(|| self.clusters.get(&self.aliases.get(&id)?.into))
    }

    /// Living clusters by ascending id.
    pub fn clusters(&self) -> impl ExactSizeIterator<Item = &Cluster> {
        self.clusters.values()
    }

    /// Aliases by ascending id.
    pub fn aliases(&self) -> impl ExactSizeIterator<Item = (ClusterId, Alias)> {
        self.aliases.iter().map(|(id, alias)| (*id, *alias))
    }

    /// The same with other row names, for cells that were folded since: `now` says what a row is called today. Rows
    /// that become one stay with the cluster that is older (then the smaller id).
    #[must_use]
    pub fn renamed(&self, now: impl Fn(&RowKey) -> RowKey) -> Self {
        let mut renamed = Self { aliases: self.aliases.clone(), ..Self::default() };
        for cluster in by_age(self.clusters.values()) {
            let mut members = BTreeSet::new();
            for row in cluster.members.iter().map(&now) {
                if *renamed.of.entry(row).or_insert(cluster.id) == cluster.id {
                    members.insert(row);
                }
            }
            let members = members.into_iter().collect();
            renamed.clusters.insert(cluster.id, Cluster { members, ..cluster.clone() });
        }
        renamed
    }

    /// Where a dead id leads, while that is remembered.
    pub fn alias(&self, id: ClusterId) -> Option<Alias> {
        self.aliases.get(&id).copied()
    }

    /// A row got another name because its cell was folded into another one: its cluster takes the new row in, unless
    /// that one stands somewhere already. Gives the cluster if it has no row left: it is no more, nor are its aliases.
    pub fn fold(&mut self, from: RowKey, to: RowKey) -> Option<ClusterId> {
        let id = self.of.remove(&from)?;
        let cluster = self.clusters.get_mut(&id)?;
        cluster.members.retain(|row| *row != from);
        if let std::collections::btree_map::Entry::Vacant(vacant) = self.of.entry(to) {
            vacant.insert(id);
            let at = cluster.members.partition_point(|row| *row < to);
            cluster.members.insert(at, to);
        }
        if !cluster.members.is_empty() {
            return None;
        }
        self.clusters.remove(&id);
        self.aliases.retain(|_, alias| alias.into != id);
        Some(id)
    }

    /// Identifies a part anew, the rest stays: `components` hold all rows of every cluster that has a row among them or
    /// among `gone`. Gives every id that was concerned, living or dead.
    pub fn update(
        &mut self,
        model: &ClusteringModel,
        gone: &BTreeSet<RowKey>,
        components: &[Vec<Member>],
        now: Millis,
    ) -> BTreeSet<ClusterId> {
        let rows = components.iter().flatten().map(|member| member.key).chain(gone.iter().copied());
        let mut concerned: BTreeSet<ClusterId> = rows.filter_map(|row| self.of(&row)).collect();
        let mut part = Self::default();
        for cluster in concerned.iter().filter_map(|id| self.clusters.remove(id)) {
            for row in &cluster.members {
                self.of.remove(row);
                part.of.insert(*row, cluster.id);
            }
            part.clusters.insert(cluster.id, cluster);
        }
        part.aliases = self.aliases.extract_if(.., |_, alias| concerned.contains(&alias.into)).collect();
        concerned.extend(part.aliases.keys());
        let elsewhere = |id: ClusterId| self.clusters.contains_key(&id) || self.aliases.contains_key(&id);
        let next = identify_part(model, &part, components, now, &elsewhere);
        concerned.extend(next.clusters.keys());
        self.clusters.extend(next.clusters);
        self.of.extend(next.of);
        self.aliases.extend(next.aliases);
        concerned
    }

    /// Rebuilds from stored clusters and aliases.
    pub fn restore(
        clusters: impl IntoIterator<Item = Cluster>,
        aliases: impl IntoIterator<Item = (ClusterId, Alias)>,
    ) -> Self {
        let clusters: BTreeMap<_, _> = clusters.into_iter().map(|cluster| (cluster.id, cluster)).collect();
        let of = clusters.values().flat_map(|c| c.members.iter().map(|row| (*row, c.id))).collect();
        Self { clusters, of, aliases: aliases.into_iter().collect() }
    }
}

/// Groups rows by the labels of [`super::components`] (label `i` belongs to row `i`); components in the order of their
/// labels, surplus rows or labels are left out.
pub fn group(labels: &[usize], members: &[Member]) -> Vec<Vec<Member>> {
    let mut groups: BTreeMap<usize, Vec<Member>> = BTreeMap::new();
    for (label, member) in labels.iter().zip(members) {
        groups.entry(*label).or_default().push(*member);
    }
    groups.into_values().collect()
}

/// The assignments of this epoch.
///
/// `components` are disjoint; a row that stands in two counts for the one with the smaller smallest row.
pub fn identify(
    model: &ClusteringModel,
    previous: &Assignments,
    components: &[Vec<Member>],
    now: Millis,
) -> Assignments {
    identify_part(model, previous, components, now, &|_| false)
}

/// As [`identify`], for a part: `elsewhere` says which ids are in use outside of it.
fn identify_part(
    model: &ClusteringModel,
    previous: &Assignments,
    components: &[Vec<Member>],
    now: Millis,
    elsewhere: &dyn Fn(ClusterId) -> bool,
) -> Assignments {
    let components = canonical(components);
    let claims = claims(model, previous, &components);
    let mut next = Assignments::default();
    let mut merged_into: BTreeMap<ClusterId, ClusterId> = BTreeMap::new();
    // All ids that live on come first, so that no new one can take a name that is still in use.
    let mut taken: BTreeSet<ClusterId> = previous.clusters.keys().chain(previous.aliases.keys()).copied().collect();
    for (number, component) in components.iter().enumerate() {
        let Some(first) = component.first() else { continue };
        let heirs = claims.lives_on.get(&number).map(Vec::as_slice).unwrap_or_default();
        let members: Vec<RowKey> = component.iter().map(|member| member.key).collect();
        let cluster = if let [oldest, others @ ..] = heirs {
            merged_into.extend(others.iter().map(|other| (other.id, oldest.id)));
            Cluster { members, merged: Vec::new(), ..(*oldest).clone() }
        } else {
            let split_from = claims.split_from.get(&number).copied();
            let id = new_id(first, &|id| taken.contains(&id) || elsewhere(id));
            taken.insert(id);
            Cluster { id, born: first.first, members, split_from, merged: Vec::new() }
        };
        next.of.extend(cluster.members.iter().map(|row| (*row, cluster.id)));
        next.clusters.insert(cluster.id, cluster);
    }
    keep_aliases(model, previous, &merged_into, &mut next, now);
    next
}

/// Components without repeats, each ascending by row, ascending by their smallest row.
fn canonical(components: &[Vec<Member>]) -> Vec<Vec<Member>> {
    let mut sorted: Vec<Vec<Member>> = components
        .iter()
        .map(|component| {
            let mut members = component.clone();
            members.sort_by_key(|member| member.key);
            members
        })
        .filter(|members| !members.is_empty())
        .collect();
    sorted.sort_by_key(|members| members.first().map(|member| member.key));
    let mut seen = BTreeSet::new();
    for members in &mut sorted {
        members.retain(|member| seen.insert(member.key));
    }
    sorted.retain(|members| !members.is_empty());
    sorted
}

/// Who claims which component.
struct Claims<'p> {
    /// By component: the clusters that live on in it, the oldest first.
    lives_on: BTreeMap<usize, Vec<&'p Cluster>>,
    /// By component: the cluster that it was split from.
    split_from: BTreeMap<usize, ClusterId>,
}

fn claims<'p>(model: &ClusteringModel, previous: &'p Assignments, components: &[Vec<Member>]) -> Claims<'p> {
    // Weight that went from each cluster to each component. Summed in ascending order of rows: floats add up to the
    // same bits every time.
    let mut went: BTreeMap<ClusterId, BTreeMap<usize, f64>> = BTreeMap::new();
    for (number, component) in components.iter().enumerate() {
        for member in component {
            if let Some(old) = previous.of(&member.key) {
                *went.entry(old).or_default().entry(number).or_default() += sound(member.weight);
            }
        }
    }
    let mut claims = Claims { lives_on: BTreeMap::new(), split_from: BTreeMap::new() };
    let mut best_split: BTreeMap<usize, f64> = BTreeMap::new();
    for cluster in by_age(previous.clusters.values()) {
        let Some(pieces) = went.get(&cluster.id) else { continue };
        let total: f64 = pieces.values().sum();
        // A cluster that has faded to nothing keeps its name where all its rows are in one place.
        let share = |weight: f64| if total > 0.0 { weight / total } else { 1.0 / f64_len(pieces.len()) };
        let best = pieces.iter().rev().max_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(number, _)| *number);
        for (number, weight) in pieces {
            let part = share(*weight);
            if best == Some(*number) && part >= model.identity.survive {
                claims.lives_on.entry(*number).or_default().push(cluster);
            } else if part >= model.identity.split && best_split.get(number).is_none_or(|w| w < weight) {
                best_split.insert(*number, *weight);
                claims.split_from.insert(*number, cluster.id);
            }
        }
    }
    claims
}

/// Moves aliases along with the clusters they lead to, drops those whose time is over, adds the new ones.
fn keep_aliases(
    model: &ClusteringModel,
    previous: &Assignments,
    merged_into: &BTreeMap<ClusterId, ClusterId>,
    next: &mut Assignments,
    now: Millis,
) {
    for (id, alias) in previous.aliases.iter().filter(|(_, alias)| alias.until > now) {
        let into = merged_into.get(&alias.into).copied().unwrap_or(alias.into);
        next.aliases.insert(*id, Alias { into, until: alias.until });
    }
    let until = now.plus(i64::from(model.memory.alias_hours).saturating_mul(Millis::HOUR));
    next.aliases.extend(merged_into.iter().map(|(id, into)| (*id, Alias { into: *into, until })));
    let (aliases, clusters) = (&mut next.aliases, &mut next.clusters);
    aliases.retain(|_, alias| clusters.contains_key(&alias.into));
    for (id, alias) in aliases.iter() {
        if let Some(cluster) = clusters.get_mut(&alias.into) {
            cluster.merged.push(*id);
        }
    }
}

fn by_age<'p>(clusters: impl Iterator<Item = &'p Cluster>) -> Vec<&'p Cluster> {
    let mut sorted: Vec<&Cluster> = clusters.collect();
    sorted.sort_by_key(|cluster| (cluster.born, cluster.id));
    sorted
}

/// The id of a new cluster: from its smallest row and the first event of that. Where the name is taken (a piece that
/// was split off may have the row that named the whole), the next one of a fixed sequence.
fn new_id(smallest: &Member, taken: &dyn Fn(ClusterId) -> bool) -> ClusterId {
    let mut hasher = blake3::Hasher::new_derive_key("panicsift 2026-11 cluster id v2");
    match smallest.key {
        RowKey::Cell(cell) => {
            for id in [cell.tenant, cell.service, cell.site, cell.route] {
                hasher.update(&id.0.to_le_bytes());
            }
            hasher.update(&cell.shape.0.to_le_bytes());
        }
        RowKey::Sender(tenant, actor) => {
            let (kind, id) = match actor {
                Actor::Token(id) => (1_u8, id),
                Actor::Prefix(id) => (2, id),
                Actor::Unknown => (3, Id(0)),
            };
            hasher.update(&tenant.0.to_le_bytes());
            hasher.update(&[kind]);
            hasher.update(&id.0.to_le_bytes());
        }
    }
    hasher.update(&smallest.first.0.to_le_bytes());
    let mut names = hasher.finalize_xof();
    loop {
        let mut name = [0; 8];
        names.fill(&mut name);
        let id = ClusterId(Id(u64::from_le_bytes(name)));
        if !taken(id) {
            return id;
        }
    }
}

fn sound(weight: f64) -> f64 {
    if weight.is_finite() { weight.max(0.0) } else { 0.0 }
}

fn f64_len(n: usize) -> f64 {
    u32::try_from(n).map_or(f64::from(u32::MAX), f64::from)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pipeline::cell::testing::key;

    fn model() -> ClusteringModel {
        ClusteringModel::builtin().unwrap()
    }

    /// A component of (row number, weight); row n was first seen at n.
    fn component(rows: &[(u64, f64)]) -> Vec<Member> {
        let member = |(n, weight): &(u64, f64)| Member {
            key: RowKey::Cell(key(1, 1, 1, *n)),
            weight: *weight,
            first: Millis(i64::try_from(*n).unwrap()),
        };
        rows.iter().map(member).collect()
    }

    fn row(n: u64) -> RowKey {
        component(&[(n, 0.0)])[0].key
    }

    fn step(previous: &Assignments, components: &[&[(u64, f64)]], now: i64) -> Assignments {
        let components: Vec<_> = components.iter().map(|c| component(c)).collect();
        identify(&model(), previous, &components, Millis(now))
    }

    #[test]
    fn an_id_is_c_and_sixteen_hex_digits_and_comes_from_content_alone() {
        let a = step(&Assignments::default(), &[&[(1, 1.0), (2, 1.0)]], 5);
        let b = step(&Assignments::default(), &[&[(2, 9.0), (1, 3.0)]], 99_999);
        assert_eq!(a.of(&row(1)), b.of(&row(1)));
        let text = a.of(&row(1)).unwrap().to_string();
        assert!(text.len() == 18 && text.starts_with("c-"), "{text}");
    }

    #[test]
    fn a_cluster_keeps_its_id_while_members_come_and_go() {
        let a = step(&Assignments::default(), &[&[(1, 1.0), (2, 1.0)]], 0);
        let b = step(&a, &[&[(2, 1.0), (3, 5.0), (4, 5.0)]], 1);
        assert_eq!(b.of(&row(4)), a.of(&row(1)));
        assert_eq!(b.clusters().len(), 1);
        assert_eq!(b.of(&row(1)), None);
    }

    #[test]
    fn a_split_off_piece_gets_a_new_id_and_says_where_it_comes_from() {
        let a = step(&Assignments::default(), &[&[(1, 1.0), (2, 1.0), (3, 1.0), (4, 1.0), (5, 1.0)]], 0);
        let old = a.of(&row(1)).unwrap();
        // Each row in turn leaves: one of them is the row that named the whole.
        for gone in 1..=5 {
            let rest: Vec<_> = (1..=5).filter(|n| *n != gone).map(|n| (n, 1.0)).collect();
            let b = step(&a, &[&[(gone, 1.0)], &rest], 1);
            assert_eq!(b.of(&row(rest[0].0)), Some(old));
            let piece = b.get(b.of(&row(gone)).unwrap()).unwrap();
            assert_ne!(piece.id, old);
            assert_eq!(piece.split_from, Some(old));
        }
    }

    #[test]
    fn a_small_piece_is_new_and_no_split() {
        let a = step(&Assignments::default(), &[&[(1, 9.0), (2, 1.0)]], 0);
        let b = step(&a, &[&[(1, 9.0)], &[(2, 1.0)]], 1);
        assert_eq!(b.get(b.of(&row(2)).unwrap()).unwrap().split_from, None);
    }

    #[test]
    fn a_cluster_in_three_equal_pieces_ends() {
        let a = step(&Assignments::default(), &[&[(1, 1.0), (2, 1.0), (3, 1.0)]], 0);
        let b = step(&a, &[&[(1, 1.0)], &[(2, 1.0)], &[(3, 1.0)]], 1);
        assert!(b.clusters().all(|c| Some(c.id) != a.of(&row(1)) && c.split_from == a.of(&row(1))));
        assert_eq!(b.clusters().len(), 3);
    }

    #[test]
    fn a_merger_keeps_the_oldest_id_and_an_alias_for_its_time() {
        let a = step(&Assignments::default(), &[&[(7, 1.0)], &[(3, 1.0)]], 0);
        let (older, younger) = (a.of(&row(3)).unwrap(), a.of(&row(7)).unwrap());
        let b = step(&a, &[&[(3, 1.0), (7, 100.0)]], 1);
        assert_eq!((b.of(&row(7)), b.get(younger).unwrap().id), (Some(older), older));
        assert_eq!(b.get(older).unwrap().merged, [younger]);
        let c = step(&b, &[&[(3, 1.0), (7, 1.0)]], 48 * Millis::HOUR);
        assert!(c.get(younger).is_some());
        let d = step(&c, &[&[(3, 1.0), (7, 1.0)]], 48 * Millis::HOUR + 1);
        assert!(d.get(younger).is_none());
        assert_eq!(d.get(older).unwrap().merged, []);
    }

    #[test]
    fn an_alias_follows_when_its_cluster_merges_too() {
        let a = step(&Assignments::default(), &[&[(1, 1.0)], &[(2, 1.0)], &[(3, 1.0)]], 0);
        let b = step(&a, &[&[(1, 1.0)], &[(2, 1.0), (3, 1.0)]], 1);
        let c = step(&b, &[&[(1, 1.0), (2, 1.0), (3, 1.0)]], 2);
        assert_eq!(c.get(a.of(&row(3)).unwrap()).unwrap().id, a.of(&row(1)).unwrap());
    }

    #[test]
    fn folded_rows_stay_with_the_older_cluster() {
        let a = step(&Assignments::default(), &[&[(5, 1.0)], &[(2, 1.0)]], 0);
        let folded = a.renamed(|_| row(9));
        assert_eq!(folded.of(&row(9)), a.of(&row(2)));
        let b = step(&folded, &[&[(9, 1.0)]], 1);
        assert_eq!(b.of(&row(9)), a.of(&row(2)));
    }

    #[test]
    fn a_cluster_whose_last_row_is_folded_into_anothers_is_no_more() {
        let mut a = step(&Assignments::default(), &[&[(5, 1.0)], &[(2, 1.0), (3, 1.0)]], 0);
        let (gone, heir) = (a.of(&row(5)), a.of(&row(2)));
        assert_eq!(a.fold(row(3), row(9)), None, "it keeps another row");
        assert_eq!(a.fold(row(5), row(2)), gone);
        assert_eq!((a.clusters().len(), a.of(&row(5)), a.of(&row(2))), (1, None, heir));
        assert_eq!(a.fold(row(2), row(7)), None, "it takes the new row in");
        assert_eq!((a.of(&row(7)), a.of(&row(9))), (heir, heir));
    }

    #[test]
    fn weights_that_are_none_harm_nothing() {
        let a = step(&Assignments::default(), &[&[(1, f64::NAN), (2, f64::INFINITY)]], 0);
        let b = step(&a, &[&[(1, f64::NAN), (2, -1.0)]], 1);
        assert_eq!(b.of(&row(1)), a.of(&row(1)));
        assert_eq!(step(&b, &[], 2).clusters().len(), 0);
    }

    proptest! {
        #[test]
        fn the_order_of_components_and_rows_does_not_matter(
            first in proptest::collection::vec(0_usize..5, 12), second in proptest::collection::vec(0_usize..5, 12),
        ) {
            let cut = |labels: &[usize], reverse: bool| {
                let mut groups = vec![Vec::new(); 5];
                for (n, label) in labels.iter().enumerate() {
                    groups[*label].push((n as u64, [1.0, 2.0, 3.0][n % 3]));
                }
                if reverse {
                    groups.reverse();
                    for group in &mut groups {
                        group.reverse();
                    }
                }
                groups
            };
            let run = |reverse| {
                let mut state = Assignments::default();
                for labels in [&first, &second, &first] {
                    let groups = cut(labels, reverse);
                    let groups: Vec<&[(u64, f64)]> = groups.iter().map(Vec::as_slice).collect();
                    state = step(&state, &groups, 1);
                }
                state
            };
            let state = run(false);
            prop_assert_eq!(&state, &run(true));
            prop_assert_eq!(&state, &Assignments::restore(state.clusters().cloned(), state.aliases()));
            for n in 0..12 {
                prop_assert!(state.get(state.of(&row(n)).unwrap()).unwrap().members.contains(&row(n)));
            }
        }
    }
}
