//! Bounded memory of answers that were worked out before.
//!
//! A memo never changes an answer, only its price; each worker has its own. When it is full it forgets everything:
//! no order of use to keep, and a flood of new keys costs one clearing in `capacity` inserts. Hashing is keyed at
//! random by the standard library, so chosen keys cannot make it slow.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

/// Answers by key, at most `capacity` of them.
#[derive(Debug, Clone)]
pub struct Memo<K, V> {
    answers: HashMap<K, V>,
    capacity: usize,
}

impl<K: Hash + Eq, V: Clone> Memo<K, V> {
    /// An empty memo.
    pub fn new(capacity: usize) -> Self {
        Self { answers: HashMap::new(), capacity }
    }

    /// The answer for `key`, if it is remembered.
    pub fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.answers.get(key).cloned()
    }

    /// Remembers `answer` and returns it.
    pub fn put(&mut self, key: K, answer: V) -> V {
        if self.answers.len() >= self.capacity {
            self.answers.clear();
        }
        self.answers.insert(key, answer.clone());
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_memo_forgets_and_goes_on() {
        let mut memo = Memo::new(2);
        memo.put("a".to_owned(), 1);
        memo.put("b".to_owned(), 2);
        assert_eq!(memo.get("a"), Some(1));
        memo.put("c".to_owned(), 3);
        assert_eq!((memo.get("a"), memo.get("c")), (None, Some(3)));
    }
}
