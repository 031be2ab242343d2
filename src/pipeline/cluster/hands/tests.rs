use proptest::prelude::*;

use super::*;
use crate::pipeline::cluster::ClusteringModel;

fn rules() -> HandRules {
    ClusteringModel::builtin().unwrap().hands
}

/// A suspect of this number who did something from one minute to another: (site, route, program).
fn suspect(n: u64, minutes: (i64, i64), visits: &[(u64, u64, u64)]) -> Suspect {
    let span = Span { first: Millis(minutes.0 * Millis::MINUTE), last: Millis(minutes.1 * Millis::MINUTE) };
    let visit = |(site, route, program): &(u64, u64, u64)| {
        let id = |n: u64| Id(mix(n));
        Visit { site: id(*site), route: id(*route), program: id(*program), span }
    };
    Suspect {
        actor: Actor::Prefix(Id(n)),
        events: 33,
        span,
        token: None,
        addresses: vec![Id(1_000 + n)],
        networks: vec![Id(2_000 + n)],
        visits: visits.iter().map(visit).collect(),
    }
}

/// A hand as the numbers of its suspects and the kinds of its ties.
type Told = (Vec<u64>, Vec<(Tie, u32)>);

fn told(suspects: &[Suspect]) -> Vec<Told> {
    let number = |actor: &Actor| match actor {
        Actor::Prefix(id) | Actor::Token(id) => id.0,
        Actor::Unknown => 0,
    };
    let all = hands(&rules(), suspects);
    all.into_iter().map(|hand| (hand.actors.iter().map(number).collect(), hand.ties.into_iter().collect())).collect()
}

#[track_caller]
fn check(one: Suspect, other: Suspect, tie: Option<Tie>) {
    let expected = match tie {
        Some(tie) => vec![(vec![1, 2], vec![(tie, 1)])],
        None => vec![(vec![1], vec![]), (vec![2], vec![])],
    };
    assert_eq!(told(&[one.clone(), other.clone()]), expected);
    assert_eq!(told(&[other, one]), expected);
}

const HERE: (u64, u64, u64) = (1, 1, 1);

#[test]
fn strangers_are_hands_of_their_own_even_at_one_panic_site() {
    check(suspect(1, (0, 9), &[HERE]), suspect(2, (0, 9), &[(1, 1, 2)]), None);
    check(suspect(1, (0, 9), &[]), suspect(2, (0, 9), &[]), None);
    assert_eq!(told(&[]), []);
}

#[test]
fn a_token_is_one_hand_whenever_it_is_used() {
    let bearer = |n, at| Suspect { token: Some(Id(7)), ..suspect(n, at, &[]) };
    check(bearer(1, (0, 9)), bearer(2, (90_000, 90_001)), Some(Tie::Token));
}

#[test]
fn an_address_is_one_hand_within_its_time() {
    let at = |n, minutes| Suspect { addresses: vec![Id(n), Id(7)], ..suspect(n, minutes, &[]) };
    check(at(1, (0, 9)), at(2, (369, 400)), Some(Tie::Address));
    check(at(1, (0, 9)), at(2, (370, 400)), None);
}

#[test]
fn a_program_in_a_network_is_one_hand_on_one_route_within_its_time() {
    let there = |n, minutes, visit| Suspect { networks: vec![Id(7)], ..suspect(n, minutes, &[visit]) };
    check(there(1, (0, 9), HERE), there(2, (69, 70), (2, 1, 1)), Some(Tie::Network));
    check(there(1, (0, 9), HERE), there(2, (70, 71), (2, 1, 1)), None);
    check(there(1, (0, 9), HERE), there(2, (0, 9), (2, 2, 1)), None);
    check(there(1, (0, 9), HERE), there(2, (0, 9), (2, 1, 2)), None);
}

#[test]
fn nodes_that_do_the_same_are_one_hand_and_a_scanner_of_everything_is_not_of_it() {
    check(suspect(1, (0, 9), &[HERE, (2, 2, 1)]), suspect(2, (60, 61), &[HERE]), Some(Tie::Conduct));
    check(suspect(1, (0, 9), &[HERE]), suspect(2, (70, 71), &[HERE]), None);
    let everywhere: Vec<(u64, u64, u64)> = (0..30).map(|n| (n, n, 1)).collect();
    check(suspect(1, (0, 9), &everywhere), suspect(2, (0, 9), &[HERE, (2, 2, 1)]), None);
}

#[test]
fn a_thin_hand_goes_with_the_likest_and_joins_no_two_that_stand_by_themselves() {
    let thin = |n, minutes, visits: &[_]| Suspect { events: 32, ..suspect(n, minutes, visits) };
    check(thin(1, (0, 9), &[HERE]), suspect(2, (369, 400), &[(2, 1, 1)]), Some(Tie::Company));
    check(thin(1, (0, 9), &[HERE]), suspect(2, (370, 400), &[(2, 1, 1)]), None);
    check(thin(1, (0, 9), &[HERE]), suspect(2, (0, 9), &[(1, 1, 2)]), None);
    check(thin(1, (0, 9), &[HERE]), suspect(2, (0, 9), &[(1, 2, 1)]), None);
    check(thin(1, (0, 9), &[HERE]), thin(2, (300, 301), &[(2, 1, 1)]), Some(Tie::Company));
    let everywhere: Vec<(u64, u64, u64)> = (1..30).map(|n| (n, n, 1)).collect();
    let elsewhere: Vec<(u64, u64, u64)> = (1..30).map(|n| (n + 100, n, 1)).collect();
    let between = thin(3, (100, 101), &[HERE]);
    let hands = told(&[suspect(1, (0, 9), &everywhere), suspect(2, (90, 99), &elsewhere), between]);
    assert_eq!(hands, [(vec![1, 3], vec![(Tie::Company, 1)]), (vec![2], vec![])]);
}

#[test]
fn a_chain_of_neighbours_is_one_hand_with_as_many_ties_as_it_needs() {
    let nodes: Vec<Suspect> = (0..100)
        .map(|n| suspect(n, (i64::try_from(n).unwrap() * 50, i64::try_from(n).unwrap() * 50), &[HERE]))
        .collect();
    assert_eq!(told(&nodes), [((0..100).collect(), vec![(Tie::Conduct, 99)])]);
}

#[test]
fn four_thousand_suspects_who_were_everywhere_take_no_quadratic_time() {
    let everywhere: Vec<(u64, u64, u64)> = (0..64).map(|n| (n, n, 1)).collect();
    let nodes: Vec<Suspect> = (0..4_096).map(|n| suspect(n, (0, 9), &everywhere)).collect();
    assert_eq!(told(&nodes).len(), 1);
    let apart = |n: u64| (0..64).map(|i| (if i < 8 { i } else { n * 64 + i }, 1, 1)).collect::<Vec<_>>();
    let nodes: Vec<Suspect> = (0..4_096).map(|n| suspect(n, (0, 9), &apart(n))).collect();
    assert_eq!(told(&nodes).len(), 4_096);
}

fn crowd() -> impl Strategy<Value = Vec<Suspect>> {
    let visits = proptest::collection::vec((0_u64..6, 0_u64..4, 0_u64..3), 0..6);
    let one = (0_i64..900, 0_i64..60, visits, 0_u64..12, 0_u64..30, 0_u64..5);
    proptest::collection::vec(one, 0..60).prop_map(|all| {
        let make =
            |(n, (first, length, visits, token, address, network)): (u64, (_, _, Vec<_>, u64, u64, u64))| Suspect {
                token: Some(Id(token)).filter(|_| token < 3),
                addresses: vec![Id(address)],
                networks: vec![Id(network)],
                ..suspect(n, (first, first + length), &visits)
            };
        (0..).zip(all).map(make).collect()
    })
}

proptest! {
    /// The bits that are looked at first rule out nothing that is there.
    #[test]
    fn what_two_have_in_common_is_counted_whole(
        ours in proptest::collection::vec((0_u64..40, 0_i64..200), 0..64),
        theirs in proptest::collection::vec((0_u64..40, 0_i64..200), 0..64),
        least in 0_u32..30,
    ) {
        let visitor = |visits: &[(u64, i64)]| {
            let visit = |(site, minute): &(u64, i64)| {
                let at = Millis(minute * Millis::MINUTE);
                Visit { site: Id(mix(*site)), route: Id(1), program: Id(1), span: Span { first: at, last: at } }
            };
            Suspect { visits: visits.iter().map(visit).collect(), ..suspect(1, (0, 9), &[]) }
        };
        let (one, other) = (visitor(&ours), visitor(&theirs));
        let when = |suspect: &Suspect, site: Id| {
            let spans = suspect.visits.iter().filter(|visit| visit.site == site).map(|visit| visit.span);
            spans.reduce(Span::with)
        };
        let near = |site: u64| Some(when(&one, Id(mix(site)))?.gap(when(&other, Id(mix(site)))?) <= 60 * Millis::MINUTE);
        let n = u32::try_from((0..40).filter(|site| near(*site) == Some(true)).count()).unwrap();
        let found = Profile::of(&one).common(&Profile::of(&other), 60 * Millis::MINUTE, least);
        prop_assert_eq!(found, Some(n).filter(|n| *n >= least));
    }

    /// Every suspect is of one hand; a hand of n has n - 1 ties; the order in which they are told does not matter; and
    /// where no tie but the first three could hold, the hands are those that every pair would give.
    #[test]
    fn hands_depend_on_the_suspects_alone(suspects in crowd(), seed: u64) {
        let all = hands(&rules(), &suspects);
        let mut shuffled = suspects.clone();
        shuffled.sort_by_key(|suspect| mix(suspect.span.first.0.unsigned_abs() ^ seed));
        prop_assert_eq!(&all, &hands(&rules(), &shuffled));
        let mut actors: Vec<Actor> = all.iter().flat_map(|hand| hand.actors.iter().copied()).collect();
        actors.sort_unstable();
        let mut known: Vec<Actor> = suspects.iter().map(|suspect| suspect.actor).collect();
        known.sort_unstable();
        prop_assert_eq!(actors, known);
        for hand in &all {
            prop_assert_eq!(hand.ties.values().sum::<u32>() as usize + 1, hand.actors.len());
        }
    }

    #[test]
    fn the_sweep_finds_what_every_pair_would_give(suspects in crowd()) {
        let rules = HandRules { alike: 1.0, ..rules() };
        let lone: Vec<Suspect> = (0..).zip(suspects).map(|(n, suspect)| {
            // A site of one's own leaves nobody alike.
            let visits = suspect.visits.iter().map(|visit| Visit { site: Id(9_000 + n), ..*visit }).collect();
            Suspect { visits, ..suspect }
        }).collect();
        let reach = |minutes: u32| i64::from(minutes) * Millis::MINUTE;
        let near = |a: &Suspect, b: &Suspect| {
            let address = a.addresses == b.addresses && a.span.gap(b.span) <= reach(rules.address_minutes);
            let same = |x: &Visit, y: &Visit| x.route == y.route && x.program == y.program;
            let program = a.networks == b.networks
                && a.span.gap(b.span) <= reach(rules.conduct_minutes)
                && a.visits.iter().any(|x| b.visits.iter().any(|y| same(x, y)));
            (a.token.is_some() && a.token == b.token) || address || program
        };
        let mut label: Vec<usize> = (0..lone.len()).collect();
        for i in 0..lone.len() {
            for j in 0..i {
                if near(&lone[i], &lone[j]) && label[i] != label[j] {
                    let (from, to) = (label[i], label[j]);
                    label.iter_mut().filter(|l| **l == from).for_each(|l| *l = to);
                }
            }
        }
        let found = hands(&rules, &lone);
        let of = |suspect: &Suspect| found.iter().position(|hand| hand.actors.contains(&suspect.actor));
        for i in 0..lone.len() {
            for j in 0..i {
                prop_assert_eq!(label[i] == label[j], of(&lone[i]) == of(&lone[j]), "{:?} {:?}", &lone[i], &lone[j]);
            }
        }
    }
}
