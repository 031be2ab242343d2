//! To whom a word reaches: the rule of the module's head, sentence by sentence, on clusters that split and merge.

use proptest::prelude::*;

use super::*;
use crate::pipeline::cell::testing::key;
use crate::pipeline::cluster::identity::{Cluster, Member};
use crate::pipeline::cluster::{ClusteringModel, RowKey};

/// Clusters of rows 0 to 11, a word or none on some of them, and the verdicts that held until now.
#[derive(Default)]
struct World {
    clusters: Assignments,
    descents: Descents,
    rulings: Rulings,
    judge: BTreeMap<ClusterId, Verdict>,
    now: i64,
}

fn row(n: u64) -> RowKey {
    RowKey::Cell(key(1, 1, 1, n))
}

impl World {
    /// The rows of each component, from now on. What is not named is gone. A row is as old as its last digit is small.
    fn cut(&mut self, components: &[&[u64]]) {
        self.now += 1;
        let member = |n: &u64| Member { key: row(*n), weight: 1.0, first: Millis(i64::try_from(*n % 10).unwrap()) };
        let components: Vec<Vec<Member>> = components.iter().map(|rows| rows.iter().map(member).collect()).collect();
        let all = (0..12).map(row).collect();
        let model = ClusteringModel::builtin().unwrap();
        let concerned = self.clusters.update(&model, &all, &components, Millis(self.now));
        let before = |id| self.judge.get(&id).copied();
        self.descents.follow(&self.clusters, &concerned, &self.rulings, before);
        let judged: Vec<(ClusterId, Verdict)> = self.clusters.clusters().map(|c| (c.id, self.verdict(c))).collect();
        self.judge = judged.into_iter().collect();
    }

    /// Everybody is undecided but where a word holds; row 11 makes its cluster hostile, row 10 benign.
    fn verdict(&self, cluster: &Cluster) -> Verdict {
        let word = self.descents.origin(cluster.id, &self.rulings).and_then(|id| self.rulings.get(id));
        let judge = match cluster.members.as_slice() {
            rows if rows.contains(&row(11)) => Verdict::Hostile,
            rows if rows.contains(&row(10)) => Verdict::Benign,
            _ => Verdict::Undecided,
        };
        word.map_or(judge, |word| word.call.verdict())
    }

    fn of(&self, n: u64) -> ClusterId {
        self.clusters.of(&row(n)).unwrap()
    }

    fn say(&mut self, id: ClusterId, call: Option<Call>) {
        let said = call.map(|call| Ruling { call, why: "w".into(), by: "alice".into(), at: Millis(7) });
        let others = self.rulings.iter().filter(|(of, _)| *of != id).map(|(of, ruling)| (of, ruling.clone()));
        self.rulings = others.chain(said.map(|said| (id, said))).collect();
    }

    /// The word that holds for the cluster of a row.
    fn word(&self, n: u64) -> Option<Call> {
        Some(self.rulings.get(self.descents.origin(self.of(n), &self.rulings)?)?.call)
    }
}

const HOSTILE: Option<Call> = Some(Call::Hostile);
const BENIGN: Option<Call> = Some(Call::Benign);

#[test]
fn a_word_holds_for_its_cluster_and_for_no_other_until_it_is_taken_back() {
    let mut world = World::default();
    world.cut(&[&[0, 1, 2], &[5, 6]]);
    assert_eq!((world.word(0), world.word(5)), (None, None));
    world.say(world.of(0), BENIGN);
    assert_eq!((world.word(0), world.word(5)), (BENIGN, None));
    world.say(world.of(0), HOSTILE);
    assert_eq!(world.word(0), HOSTILE);
    let told = world.descents.overruled(world.of(0), &world.rulings, Verdict::Undecided).unwrap();
    assert_eq!((told.word, told.judge), (Verdict::Hostile, Verdict::Undecided));
    assert_eq!((told.why.as_str(), told.by.as_str(), told.cluster), ("w", "alice", world.of(0).to_string()));
    world.say(world.of(0), None);
    assert_eq!(world.word(0), None);
}

#[test]
fn pieces_have_the_word_of_the_whole_and_of_its_whole_whenever_it_is_said() {
    let mut world = World::default();
    world.cut(&[&[0, 1, 2, 3, 4, 5, 6]]);
    let whole = world.of(6);
    world.cut(&[&[0, 1, 2], &[3, 4, 5, 6]]);
    let piece = world.of(0);
    world.cut(&[&[0], &[1, 2], &[3, 4, 5, 6]]);
    let crumb = world.of(0);
    assert!(world.of(6) == whole && world.of(1) == piece && ![whole, piece].contains(&crumb));
    world.say(whole, BENIGN);
    assert_eq!([6, 1, 0].map(|n| world.word(n)), [BENIGN; 3]);
    // The nearest word holds, and another one on itself.
    world.say(piece, HOSTILE);
    assert_eq!([6, 1, 0].map(|n| world.word(n)), [BENIGN, HOSTILE, HOSTILE]);
    world.say(crumb, BENIGN);
    assert_eq!([6, 1, 0].map(|n| world.word(n)), [BENIGN, HOSTILE, BENIGN]);
    // The whole is gone, and what was said of it still holds for what came from it.
    world.say(crumb, None);
    world.say(piece, None);
    world.cut(&[&[0], &[1, 2]]);
    assert_eq!([1, 0].map(|n| world.word(n)), [BENIGN; 2]);
    assert!(world.descents.get(whole).is_none(), "what is gone is forgotten");
}

#[test]
fn a_word_goes_along_into_the_cluster_that_takes_its_cluster_in_and_back_out_with_pieces() {
    let mut world = World::default();
    world.cut(&[&[0, 1, 2, 3], &[5, 6]]);
    let (heir, gone) = (world.of(0), world.of(5));
    world.say(gone, HOSTILE);
    world.cut(&[&[0, 1, 2, 3, 5, 6]]);
    assert_eq!((world.of(5), world.word(0)), (heir, HOSTILE));
    // Also long after the alias is forgotten, and for a piece of the heir.
    world.now += 1_000 * Millis::HOUR;
    world.cut(&[&[0, 1, 5, 6], &[2, 3]]);
    assert_eq!((world.word(0), world.word(2)), (HOSTILE, HOSTILE));
    world.say(gone, None);
    assert_eq!((world.word(0), world.word(2)), (None, None));
}

#[test]
fn a_word_does_not_go_along_where_anything_contradicts() {
    let check = |said: &[(u64, Option<Call>)], before: &[&[u64]], expected: Option<Call>| {
        let mut world = World::default();
        world.cut(before);
        for (n, call) in said {
            world.say(world.of(*n), *call);
        }
        // Words are applied before anything merges.
        world.cut(before);
        world.cut(&[&before.concat()]);
        assert_eq!(world.word(0), expected, "{said:?} {before:?}");
    };
    check(&[(5, BENIGN)], &[&[0, 1, 2], &[5, 6]], BENIGN);
    check(&[(0, HOSTILE), (5, BENIGN)], &[&[0, 1, 2], &[5, 6]], HOSTILE);
    check(&[(0, BENIGN), (5, BENIGN)], &[&[0, 1, 2], &[5, 6]], BENIGN);
    // The judge's own verdict on the one that takes it in.
    check(&[(5, BENIGN)], &[&[0, 1, 11], &[5, 6]], None);
    check(&[(5, HOSTILE)], &[&[0, 1, 11], &[5, 6]], HOSTILE);
    check(&[(5, HOSTILE)], &[&[0, 1, 10], &[5, 6]], None);
    // Two that come at once.
    check(&[(5, BENIGN), (7, BENIGN)], &[&[0, 1, 2], &[5, 6], &[7, 8]], BENIGN);
    check(&[(5, BENIGN), (7, HOSTILE)], &[&[0, 1, 2], &[5, 6], &[7, 8]], None);
}

#[test]
fn words_that_contradict_each_other_go_on_doing_so_in_the_next_cluster() {
    let mut world = World::default();
    world.cut(&[&[0, 1, 2], &[3, 4], &[5, 6], &[7, 8]]);
    world.say(world.of(5), BENIGN);
    world.say(world.of(7), HOSTILE);
    let benign = world.of(5);
    world.cut(&[&[0, 1, 2], &[3, 4, 5, 6, 7, 8]]);
    assert_eq!(world.word(3), None);
    world.cut(&[&[0, 1, 2, 3, 4, 5, 6, 7, 8]]);
    assert_eq!(world.word(0), None);
    // One of them is taken back: the other holds.
    world.say(benign, None);
    assert_eq!(world.word(0), HOSTILE);
}

#[test]
fn a_piece_of_one_epoch_has_nothing_of_what_the_whole_takes_in_at_the_same_time() {
    let mut world = World::default();
    world.cut(&[&[0, 1, 2, 3], &[5, 6]]);
    world.say(world.of(5), HOSTILE);
    world.cut(&[&[0, 1, 5, 6], &[2, 3]]);
    assert_eq!((world.word(0), world.word(2)), (HOSTILE, None));
}

#[test]
fn lineage_is_bounded_however_long_it_is() {
    let mut descents = Descents::default();
    let id = |n: u64| ClusterId(crate::pipeline::event::Id(n));
    for n in 1..100 {
        let piece = descents.of_piece(id(n - 1));
        descents.0.insert(id(n), piece);
    }
    let last = descents.get(id(99)).unwrap();
    assert_eq!((last.ancestors.len(), last.ancestors[0]), (ANCESTORS_MAX, id(98)));
    let said = |n| (id(n), Ruling { call: Call::Benign, why: String::new(), by: String::new(), at: Millis(0) });
    let rulings: Rulings = (0..100).map(said).collect();
    descents.take_in(id(200), (0..100).map(id).collect(), &rulings, None);
    assert_eq!(descents.get(id(200)).unwrap().absorbed.len(), ABSORBED_MAX);
}

proptest! {
    /// However clusters split and merge: without a word none holds, what is stored is what is known, nothing is kept of
    /// what is gone, and what was taken back has no effect on anybody.
    #[test]
    fn words_and_lineage_stay_sound(
        cuts in proptest::collection::vec(proptest::collection::vec(0_usize..4, 10), 1..8),
        said in proptest::collection::vec((0_u64..10, any::<bool>()), 0..6),
    ) {
        let mut world = World::default();
        let mut silent = World::default();
        for (number, labels) in cuts.iter().enumerate() {
            let mut groups = vec![Vec::new(); 4];
            for (n, label) in (0_u64..).zip(labels) {
                groups[*label].push(n);
            }
            let groups: Vec<&[u64]> = groups.iter().map(Vec::as_slice).filter(|group| !group.is_empty()).collect();
            world.cut(&groups);
            silent.cut(&groups);
            if let Some((n, hostile)) = said.get(number) {
                world.say(world.of(*n), if *hostile { HOSTILE } else { BENIGN });
            }
        }
        prop_assert_eq!(&world.clusters, &silent.clusters);
        for n in 0..10 {
            prop_assert_eq!(silent.word(n), None);
            if world.word(n).is_some() {
                let origin = world.descents.origin(world.of(n), &world.rulings).unwrap();
                prop_assert!(world.descents.reaches(origin, world.of(n)));
            }
        }
        let kept: Vec<(ClusterId, Descent)> = world.descents.0.clone().into_iter().collect();
        prop_assert!(kept.iter().all(|(id, _)| world.clusters.get(*id).is_some_and(|cluster| cluster.id == *id)));
        prop_assert_eq!(&Descents::restore(kept), &world.descents);
        for (id, _) in world.rulings.clone().iter() {
            world.say(id, None);
        }
        for n in 0..10 {
            prop_assert_eq!(world.word(n), None);
        }
    }
}
