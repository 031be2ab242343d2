//! Hash tables over ids that need no second hash.
//!
//! An [`Id`] is the output of a keyed function (see [`keys`](crate::pipeline::keys)), or such outputs mixed: nobody
//! outside can choose which bucket it falls into, so its own 64 bits serve as its hash. Only for keys of that kind:
//! a table over texts or numbers that a sender can choose needs the standard library's hasher.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

use crate::pipeline::event::Id;

/// A table by id; one look-up costs a few nanoseconds.
pub type IdMap<V> = HashMap<Id, V, BuildHasherDefault<IdHasher>>;
/// A set of the short hashes of actors.
pub type ShortSet = HashSet<u32, BuildHasherDefault<IdHasher>>;

/// Takes the bits of an id for its hash.
#[derive(Debug, Default)]
pub struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, id: u64) {
        self.0 ^= id;
    }

    fn write_u32(&mut self, short: u32) {
        // The table reads both ends of the hash: the upper half must not be empty.
        self.write_u64(u64::from(short).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    }

    fn write(&mut self, bytes: &[u8]) {
        // Ids and short hashes come by the functions above; any other key is still told apart.
        for byte in bytes {
            self.0 = (self.0.rotate_left(8) ^ u64::from(*byte)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        }
    }
}
