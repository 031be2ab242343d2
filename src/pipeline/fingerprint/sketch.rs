//! How near two structures are: 64 MinHash slots over the windows of a term.
//!
//! A window is (grandparent's label, parent's label, label, tag) of one node: an edit changes the windows around it
//! and leaves the rest. Windows are hashed under the deployment's key, so nobody outside can aim at a slot. Also the
//! coarse class of a term. Both are functions of the term alone, worked out once per structure. Cost: one
//! keyed hash and 64 mixings a window.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

use super::Sketch;
use super::label::n_following;
use super::outline::{Tag, bit_length};

/// Windows that enter a sketch.
const WINDOWS_MAX: usize = 512;
/// Bytes of a container's flags and length.
const HEAD_BYTES: usize = 5;

impl Sketch {
    /// Number of equal slots, 0 to 64.
    pub fn matches(&self, other: &Self) -> u32 {
        self.0.iter().zip(&other.0).map(|(a, b)| u32::from(a == b)).sum()
    }

    /// Estimate of the Jaccard similarity of the two structures' windows, 0 to 1: slots agree by chance once in 256,
    /// which is taken out. Standard error .06 at .5.
    pub fn similarity(&self, other: &Self) -> f64 {
        const CHANCE: f64 = 1.0 / 256.0;
        let share = f64::from(self.matches(other)) / 64.0;
        ((share - CHANCE) / (1.0 - CHANCE)).max(0.0)
    }
}

/// One node as the walk sees it.
struct Window<'t> {
    grandparent: &'t [u8],
    parent: &'t [u8],
    label: &'t [u8],
    tag: &'t [u8],
    depth: usize,
}

/// Visits the nodes of a term that [`super::outline`] wrote, at most [`WINDOWS_MAX`]; stops at what is not a term.
fn walk<'t>(term: &'t [u8], mut visit: impl FnMut(&Window<'t>)) {
    let mut open: Vec<(usize, &[u8])> = Vec::new();
    let mut at = 0;
    for _ in 0..WINDOWS_MAX {
        while open.last().is_some_and(|(end, _)| at >= *end) {
            open.pop();
        }
        let Some(first) = term.get(at) else { return };
        let label_end = at + 1 + n_following(*first);
        let (Some(label), Some(tag)) = (term.get(at..label_end), term.get(label_end)) else { return };
        let mut parents = open.iter().rev().map(|(_, label)| *label);
        let (parent, grandparent) = (parents.next().unwrap_or_default(), parents.next().unwrap_or_default());
        let children = label_end + 1 + HEAD_BYTES;
        let head = term.get(label_end + 1..children);
        let tag_end = if Tag::is_container(*tag) { label_end + 2 } else { label_end + 1 };
        let tag_bytes = term.get(label_end..tag_end).unwrap_or_default();
        visit(&Window { grandparent, parent, label, tag: tag_bytes, depth: open.len() });
        at = label_end + 1;
        if Tag::is_container(*tag) {
            let Some([_, length @ ..]) = head else { return };
            let length = <[u8; 4]>::try_from(length).map_or(0, u32::from_le_bytes);
            open.push((children.saturating_add(usize::try_from(length).unwrap_or(usize::MAX)), label));
            at = children;
        }
    }
}

/// The sketch of a term under a key.
pub(super) fn sketch(term: &[u8], key: &[u8; 16]) -> Sketch {
    let mut slots = [u64::MAX; 64];
    walk(term, |window| {
        let mut hasher = SipHasher13::new_with_key(key);
        for piece in [window.grandparent, window.parent, window.label, window.tag] {
            hasher.write_usize(piece.len());
            hasher.write(piece);
        }
        let hash = hasher.finish();
        let mut seed = 0_u64;
        for slot in &mut slots {
            seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
            *slot = (*slot).min(mixed(hash ^ mixed(seed)));
        }
    });
    // The low byte: a minimum's high bytes are nearly always zero.
    Sketch(slots.map(|slot| slot.to_le_bytes().first().copied().unwrap_or(0)))
}

/// A bijective mixer of 64 bits (the finaliser of `SplitMix64`).
fn mixed(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// Twelve bits: depth (3), keys (3), nodes (3), and three flags handed in.
pub(super) fn coarse(term: &[u8], flags: u16) -> u16 {
    let (mut depth, mut n_keys, mut n_nodes) = (0, 0_usize, 0_usize);
    walk(term, |window| {
        depth = depth.max(window.depth);
        n_nodes += 1;
        n_keys += usize::from(window.label.len() > 1);
    });
    let depth = u16::try_from(match depth {
        0..=4 => depth,
        5..=6 => 5,
        7..=10 => 6,
        _ => 7,
    })
    .unwrap_or(7);
    let bucket = |n: usize| u16::from(bit_length(n).min(7));
    (depth << 9) | (bucket(n_keys / 2) << 6) | (bucket(n_nodes / 2) << 3) | (flags & 7)
}

/// A coarse class in words: `depth 2, 8 to 15 keys, 16 to 31 nodes, cut short`.
pub fn coarse_words(coarse: u16) -> String {
    let range = |bucket: u16, what: &str| match bucket & 7 {
        0 => format!("at most 1 {what}"),
        7 => format!("128 or more {what}s"),
        bucket => format!("{} to {} {what}s", 1_u32 << bucket, (2_u32 << bucket) - 1),
    };
    let depth = match coarse >> 9 & 7 {
        5 => "5 or 6".to_owned(),
        6 => "7 to 10".to_owned(),
        7 => "11 or more".to_owned(),
        depth => depth.to_string(),
    };
    let mut words = format!("depth {depth}, {}, {}", range(coarse >> 6, "key"), range(coarse >> 3, "node"));
    for (bit, told) in [(1, "faulty"), (2, "cut short"), (4, "withheld")] {
        if coarse & bit != 0 {
            words.push_str(", ");
            words.push_str(told);
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coarse_class_is_told_in_words() {
        let check = |coarse: u16, expected: &str| assert_eq!(coarse_words(coarse), expected, "{coarse:#b}");
        check(0, "depth 0, at most 1 key, at most 1 node");
        check(coarse(&[], 2), "depth 0, at most 1 key, at most 1 node, cut short");
        check((2 << 9) | (3 << 6) | (4 << 3), "depth 2, 8 to 15 keys, 16 to 31 nodes");
        check((5 << 9) | (7 << 6) | (1 << 3) | 5, "depth 5 or 6, 128 or more keys, 2 to 3 nodes, faulty, withheld");
        check((6 << 9) | (6 << 6) | (7 << 3), "depth 7 to 10, 64 to 127 keys, 128 or more nodes");
    }
}
