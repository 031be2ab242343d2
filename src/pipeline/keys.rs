//! Keyed names: how texts become ids that nobody outside can make or reverse.
//!
//! One deployment secret; each use derives a key of its own from it (BLAKE3 `derive_key`, one context string a use),
//! so that an id of one kind says nothing about an id of another. Names and contents go through SipHash-1-3, a keyed
//! function made for short hostile inputs; tokens and idempotency keys, which somebody may try to guess offline, through
//! keyed BLAKE3. Reads the secret once; gives [`Id`]s. Never keeps
//! or shows the secret: `Debug` prints nothing of it.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};

use siphasher::sip::SipHasher13;

use super::event::Id;

/// The keys of a deployment, derived from its secret.
#[derive(Clone)]
pub struct Keys {
    name: [u8; 16],
    content: [u8; 16],
    token: [u8; 32],
    idempotency: [u8; 32],
    shape: [u8; 32],
}

impl Keys {
    /// Derives all keys from `secret` (any length; 32 random bytes are right).
    pub fn derive(secret: &[u8]) -> Self {
        Self {
            name: first_half(blake3::derive_key("panicsift 2026-11 name v1", secret)),
            content: first_half(blake3::derive_key("panicsift 2026-11 content v1", secret)),
            token: blake3::derive_key("panicsift 2026-11 token v1", secret),
            idempotency: blake3::derive_key("panicsift 2026-11 idempotency key v1", secret),
            shape: blake3::derive_key("panicsift 2026-11 shape v1", secret),
        }
    }

    /// The id of a name: service, route, site, release, agent, field path, address (SipHash-1-3, some 15 ns).
    pub fn name(&self, text: &[u8]) -> Id {
        Id(SipHasher13::new_with_key(&self.name).hash(text))
    }

    /// The id of several names taken together; each is preceded by its length, so that no two lists collide.
    pub fn names(&self, parts: &[&[u8]]) -> Id {
        let mut hasher = SipHasher13::new_with_key(&self.name);
        for part in parts {
            hasher.write_usize(part.len());
            hasher.write(part);
        }
        Id(hasher.finish())
    }

    /// The id of a whole request, to tell an exact repeat from a new one (SipHash-1-3, some 0.5 ns a byte).
    pub fn content(&self, parts: &[&[u8]]) -> Id {
        let mut hasher = SipHasher13::new_with_key(&self.content);
        for part in parts {
            hasher.write_usize(part.len());
            hasher.write(part);
        }
        Id(hasher.finish())
    }

    /// The id of a token, from the producer's own hash of it (BLAKE3, some 100 ns).
    pub fn token(&self, id_hash: &[u8]) -> Id {
        id(&self.token, id_hash)
    }

    /// The id of an idempotency key (BLAKE3, some 100 ns).
    pub fn idempotency(&self, key: &[u8]) -> Id {
        id(&self.idempotency, key)
    }

    /// The key under which shapes and their sketches are hashed.
    pub fn shape(&self) -> &[u8; 32] {
        &self.shape
    }
}

/// Hashes keyed ids for tables: they are random to everybody outside, so folding their words together is enough.
/// Not for anything that a sender can choose.
#[derive(Debug, Clone, Copy, Default)]
pub struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let word = chunk.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
            self.write_u64(word);
        }
    }

    fn write_u64(&mut self, word: u64) {
        // Multiplier of `SplitMix64`.
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
}

/// A table by something made of keyed ids.
pub type IdMap<K, V> = HashMap<K, V, BuildHasherDefault<IdHasher>>;
/// A set of things made of keyed ids.
pub type IdSet<K> = HashSet<K, BuildHasherDefault<IdHasher>>;

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(***)")
    }
}

fn first_half(key: [u8; 32]) -> [u8; 16] {
    key.first_chunk().copied().unwrap_or_default()
}

fn id(key: &[u8; 32], text: &[u8]) -> Id {
    let hash = blake3::keyed_hash(key, text);
    Id(hash.as_bytes().first_chunk().map_or(0, |half| u64::from_le_bytes(*half)))
}
