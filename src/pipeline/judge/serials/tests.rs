use super::*;

/// A repeatable spread of numbers over a range.
fn spread(n: u32, range: u32) -> u32 {
    (n.wrapping_mul(0x9E37_79B9) ^ (n >> 3).wrapping_mul(0x85EB_CA6B)) % range
}

/// How many of the last hundred numbers were told to follow strangers'.
fn told(numbers: impl Iterator<Item = (u32, u16)>) -> usize {
    let mut serials = Serials::default();
    let told: Vec<bool> = numbers.map(|(number, prefix)| serials.note(number, prefix) > 0).collect();
    told.iter().rev().take(100).filter(|told| **told).count()
}

#[test]
fn a_walk_from_many_addresses_among_honest_numbers_is_told() {
    let walk = (0..400_u32).map(|n| {
        let from = u16::try_from(n % 50).unwrap();
        if n % 3 == 0 { (spread(n, 500_000), from) } else { (700_000 + n, 1_000 + from) }
    });
    let n_told = told(walk);
    assert!((40..=67).contains(&n_told), "{n_told}");
}

#[test]
fn numbers_all_over_a_range_are_no_walk() {
    assert_eq!(told((0..400).map(|n| (spread(n, 1_000_000), u16::try_from(n).unwrap()))), 0);
}

#[test]
fn numbers_that_are_dense_by_nature_are_no_walk() {
    let n_told = told((0..400).map(|n| (spread(n, 600), u16::try_from(n).unwrap())));
    assert!(n_told <= 3, "{n_told}");
}

#[test]
fn one_address_that_counts_up_follows_nobody() {
    assert_eq!(told((0..400).map(|n| (n, 7))), 0);
}

#[test]
fn the_same_numbers_again_are_no_walk_and_the_memory_is_bounded() {
    let mut serials = Serials::default();
    for n in 0..10_000_u32 {
        serials.note(n % 40 * 3, u16::try_from(n % 500).unwrap());
    }
    assert_eq!(serials.note(3, 9), 0);
    for n in 0..10_000_u32 {
        serials.note(n.wrapping_mul(77_777), u16::try_from(n % 500).unwrap());
    }
    assert_eq!(serials.ring.len(), RECENT_MAX);
}
