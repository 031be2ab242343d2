//! A map of a few entries that takes no more memory than these: pairs in one piece, ascending by key.
//!
//! A tenant holds thousands of maps with one to three entries each; a node of a B-tree has room for eleven, and is
//! allocated whole. Stored as a map is (length, then key and value of each), so that either reads the other's rows.
//!
//! For at most some sixty entries: a look-up is a binary search, an insert moves what comes after. Room grows by
//! doubling, from one.

use serde::{Deserialize, Serialize};

/// Entries by ascending key, each key once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ShortMap<K, V>(Vec<(K, V)>);

impl<K, V> Default for ShortMap<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: Ord, V> ShortMap<K, V> {
    /// Number of entries.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of a key, to be changed.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let at = self.at(key).ok()?;
        self.0.get_mut(at).map(|(_, value)| value)
    }

    /// Puts a value in; gives the one that it takes the place of.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.at(&key) {
            Ok(at) => self.0.get_mut(at).map(|(_, known)| std::mem::replace(known, value)),
            Err(at) => {
                grow(&mut self.0);
                self.0.insert(at, (key, value));
                None
            }
        }
    }

    /// Takes the entry with the greatest key out.
    pub fn pop_last(&mut self) -> Option<(K, V)> {
        self.0.pop()
    }

    /// The greatest key.
    pub fn last_key(&self) -> Option<&K> {
        self.0.last().map(|(key, _)| key)
    }

    /// The entries, ascending.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&K, &V)> + Clone {
        self.0.iter().map(|(key, value)| (key, value))
    }

    /// The keys, ascending.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &K> + Clone {
        self.0.iter().map(|(key, _)| key)
    }

    /// The values, by ascending key.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &V> + Clone {
        self.0.iter().map(|(_, value)| value)
    }

    fn at(&self, key: &K) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| known.cmp(key))
    }
}

/// Makes room for one more, twice as much as there was: a vector by itself begins with room for four.
pub fn grow<T>(entries: &mut Vec<T>) {
    if entries.len() == entries.capacity() {
        entries.reserve_exact(entries.len().max(1));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_entry_takes_the_room_of_one() {
        let mut map = ShortMap::default();
        assert!(map.insert(7, "a").is_none() && !map.is_empty());
        assert_eq!(map.0.capacity(), 1);
        assert_eq!(map.insert(7, "b"), Some("a"));
        assert_eq!(map.0.capacity(), 1);
    }

    proptest! {
        /// Whatever is done to it, it is the map of the standard library, in memory and in a row.
        #[test]
        fn it_is_a_map(deeds in proptest::collection::vec((0_u8..4, 0_u64..20, 0_u64..9), 0..80)) {
            let (mut short, mut map) = (ShortMap::default(), BTreeMap::new());
            for (deed, key, value) in deeds {
                match deed {
                    0 => prop_assert_eq!(short.pop_last(), map.pop_last()),
                    1 => prop_assert_eq!(short.get_mut(&key).map(|v| *v += 1), map.get_mut(&key).map(|v| *v += 1)),
                    _ => prop_assert_eq!(short.insert(key, value), map.insert(key, value)),
                }
                prop_assert_eq!(short.last_key(), map.last_key_value().map(|(key, _)| key));
                prop_assert_eq!((short.len(), short.is_empty()), (map.len(), map.is_empty()));
            }
            prop_assert!(short.iter().eq(&map) && short.keys().eq(map.keys()) && short.values().eq(map.values()));
            let row = postcard::to_stdvec(&map).unwrap();
            prop_assert_eq!(&postcard::to_stdvec(&short).unwrap(), &row);
            prop_assert_eq!(postcard::from_bytes::<ShortMap<u64, u64>>(&row).unwrap(), short);
        }
    }
}
