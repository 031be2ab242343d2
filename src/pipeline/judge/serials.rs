//! Numbers that strangers send one after another: somebody walks through identifiers from many addresses.
//!
//! A field of a route remembers the last [`RECENT_MAX`] different numbers (shifted by a keyed offset) and the prefix of
//! each. A number that nobody sent lately is near to its kind when several of the latest ones from elsewhere lie close
//! to it, and many more than lie further around it: ids that are dense by nature and old links that many follow are not.
//!
//! Where ids are given out in order, honest strangers' new ones follow each other as well, and after a bad release
//! without a gap. They are the greatest that the field knows; so numbers at that front say nothing, and who walks
//! upwards from the greatest number known is not seen here. Bound: 8 bytes a number; one pass over the ring a field.

use serde::{Deserialize, Serialize};

/// Numbers that a field remembers.
const RECENT_MAX: usize = 256;
/// The latest of them, among which neighbours are looked for.
const LATEST: usize = 64;
/// So far away is near.
const NEAR: u32 = 16;
/// So far away is around.
const AROUND: u32 = 512;
/// Neighbours that make a walk: two may be chance.
const NEIGHBOURS_MIN: u32 = 3;
/// Numbers well above it from which it is not at the front, where new ids are given out: some out of order are.
const ABOVE_MIN: u32 = 8;
/// And this share of all: one in so many.
const ABOVE_ONE_IN: u32 = 8;
/// How much denser it is near than around.
const TIMES_DENSER_MIN: f64 = 4.0;

/// The numbers that were lately sent in one field.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Serials {
    /// The number and the prefix that sent it, by turns overwritten.
    ring: Vec<(u32, u16)>,
    /// Where the next one goes once the ring is full.
    next: u16,
}

impl Serials {
    /// Notes a number; gives how much denser numbers of others lie near it than around it, in hundredths of a doubling,
    /// 0 where that is nothing special.
    pub fn note(&mut self, number: u32, prefix: u16) -> u16 {
        let (mut near, mut around, mut above, mut known) = (0_u32, 0_u32, 0_u32, false);
        let len = self.ring.len();
        let next = usize::from(self.next);
        for (at, (other, from)) in self.ring.iter().enumerate() {
            let distance = other.wrapping_sub(number).min(number.wrapping_sub(*other));
            known |= distance == 0;
            // Differences are of numbers far below 2^31, whatever the offset made of them.
            above += u32::from(distance > NEAR && distance == other.wrapping_sub(number));
            let elsewhere = *from != prefix && distance <= AROUND;
            around += u32::from(elsewhere);
            let age = (next + len - 1 - at) % len.max(1);
            near += u32::from(elsewhere && distance <= NEAR && age < LATEST);
        }
        if known {
            return 0;
        }
        if len < RECENT_MAX {
            self.ring.push((number, prefix));
        } else if let Some(slot) = self.ring.get_mut(next) {
            *slot = (number, prefix);
            self.next = u16::try_from((next + 1) % RECENT_MAX).unwrap_or(0);
        }
        let share =
            f64::from(u32::try_from(LATEST.min(len)).unwrap_or(0)) / f64::from(u32::try_from(len.max(1)).unwrap_or(1));
        let expected = f64::from(around) * f64::from(NEAR) / f64::from(AROUND) * share;
        let denser = (f64::from(near) + 0.5) / (expected + 0.5);
        let at_front = above < ABOVE_MIN.max(u32::try_from(len).unwrap_or(u32::MAX) / ABOVE_ONE_IN);
        if near < NEIGHBOURS_MIN || denser < TIMES_DENSER_MIN || at_front {
            return 0;
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 100 doublings of 64")]
        let doublings = (denser.log2() * 100.0).round() as u16;
        doublings
    }
}

#[cfg(test)]
mod tests;
