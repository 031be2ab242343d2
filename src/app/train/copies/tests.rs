use super::*;

#[test]
fn draws_are_repeated_by_number_and_name_alone() {
    let draws = |number, name| {
        let mut draws = Draws::of(Copy { number, dealt: true }, name);
        [draws.next(), draws.next()]
    };
    assert_eq!(draws(1, "scan"), draws(1, "scan"));
    assert_ne!(draws(1, "scan"), draws(2, "scan"));
    assert_ne!(draws(1, "scan"), draws(1, "spray"));
}

#[test]
fn draws_cover_the_whole_range_and_nothing_beyond() {
    let mut draws = Draws::of(Copy { number: 1, dealt: false }, "x");
    let all: Vec<f64> = (0..10_000).map(|_| draws.unit()).collect();
    assert!(all.iter().all(|x| (0.0..1.0).contains(x)));
    let mean = all.iter().sum::<f64>() / 10_000.0;
    assert!((0.48..0.52).contains(&mean), "{mean}");
    let seen: std::collections::BTreeSet<u32> = (0..200).filter_map(|_| draws.one_of(&[1, 2, 3]).copied()).collect();
    assert_eq!(seen.len(), 3);
    assert_eq!(draws.one_of::<u32>(&[]), None);
}
