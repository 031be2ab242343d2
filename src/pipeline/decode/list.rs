//! Lists of a record: frames, query pairs, scopes, side effects.
//!
//! Reads the items through the seeds of [`super::reader`], keeps the first ones and measures the rest. A list is cut and
//! not refused, since what fills it may come from the client. Never: more than its limit in memory. Cost: linear, one
//! allocation.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::reader::{Leaf, LeafSeed, Object, ObjectSeed};
use super::trace::{Fault, Trace, measure, refuse_visits};
use crate::pipeline::event::Reason;

/// What the items of a list are turned into.
pub(super) trait Item<'de>: Copy {
    /// One item.
    type Out;
    /// The whole list, in words that go before "is needed".
    const LIST: &'static str;
    /// Whether an object of texts may stand in place of the list.
    const IS_OBJECT_TAKEN: bool = false;

    /// Reads the next item; `None` at the end of the list.
    fn next<A: SeqAccess<'de>>(self, list: &mut Items<'_, '_, A>) -> Result<Option<Self::Out>, A::Error>;

    /// Takes a text in place of a list, where the key allows one.
    fn take_text(self, _text: Cow<'de, str>, _trace: &Trace) -> Result<Vec<Self::Out>, Fault> {
        Err(Fault::Wrong("a text"))
    }

    /// Takes an entry of an object in place of a list, where the key allows one.
    fn take_entry(self, _key: Cow<'de, str>, _value: Cow<'de, str>, _trace: &Trace) -> Result<Self::Out, Fault> {
        Err(Fault::Wrong("an object"))
    }
}

/// The items of a list as they come.
pub(super) struct Items<'t, 's, A> {
    /// Where the reading stands.
    pub(super) trace: &'t Trace,
    list: &'s mut A,
}

/// Items do not have the excuse of an optional key: a `null` among them is refused.
impl<'de, A: SeqAccess<'de>> Items<'_, '_, A> {
    /// Reads a leaf.
    pub(super) fn leaf<L: Leaf<'de>>(&mut self, leaf: L) -> Result<Option<L::Out>, A::Error> {
        match self.list.next_element_seed(LeafSeed { trace: self.trace, leaf })? {
            Some(None) => Err(self.trace.wrong(L::NEEDS, "null")),
            Some(item) => Ok(item),
            None => Ok(None),
        }
    }

    /// Fills an object; `false` at the end of the list.
    pub(super) fn object<T: Object<'de>>(&mut self, into: &mut T) -> Result<bool, A::Error> {
        match self.list.next_element_seed(ObjectSeed { trace: self.trace, into })? {
            Some(false) => Err(self.trace.wrong("an object", "null")),
            Some(true) => Ok(true),
            None => Ok(false),
        }
    }

    /// Reads a list of exactly two leaves.
    pub(super) fn pair<L: Leaf<'de>>(&mut self, leaf: L) -> Result<Option<Pair<L::Out>>, A::Error> {
        self.list.next_element_seed(PairSeed { trace: self.trace, leaf })
    }

    /// Refuses the item as one that lacks something: what would be right.
    pub(super) fn refuse(&self, reason: Reason, words: &str) -> A::Error {
        self.trace.refuse(reason, words)
    }
}

/// Two of a kind.
pub(super) type Pair<T> = (T, T);

/// Reads a list, keeping its first `n_max` items; `null` counts as absent.
pub(super) struct ListSeed<'t, I> {
    /// Where the reading stands.
    pub(super) trace: &'t Trace,
    /// What the items are.
    pub(super) item: I,
    /// Most items that are kept.
    pub(super) n_max: usize,
}

impl<'de, I: Item<'de>> DeserializeSeed<'de> for ListSeed<'_, I> {
    type Value = Option<Vec<I::Out>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, I: Item<'de>> Visitor<'de> for ListSeed<'_, I> {
    type Value = Option<Vec<I::Out>>;

    refuse_visits!(I::LIST; visit_bool("a truth value"), visit_u64("a number"), visit_i64("a number"),
        visit_f64("a number"));

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        let read = self.item.take_text(Cow::Borrowed(text), self.trace);
        read.map(Some).map_err(|fault| self.trace.fault(I::LIST, &fault))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        let read = self.item.take_text(Cow::Owned(text.to_owned()), self.trace);
        read.map(Some).map_err(|fault| self.trace.fault(I::LIST, &fault))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        loop {
            self.trace.item.set(Some(items.len()));
            if items.len() == self.n_max {
                break;
            }
            let mut rest = Items { trace: self.trace, list: &mut list };
            let Some(item) = self.item.next(&mut rest)? else { break };
            self.trace.spend(1)?;
            items.push(item);
        }
        let mut is_cut = false;
        while items.len() == self.n_max {
            let Some(value) = list.next_element::<&'de RawValue>()? else { break };
            measure(value, self.trace)?;
            is_cut = true;
        }
        if is_cut {
            self.trace.note_cut();
        }
        Ok(Some(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        if !I::IS_OBJECT_TAKEN {
            return Err(self.trace.wrong(I::LIST, "an object"));
        }
        let mut items = Vec::new();
        let text = LooseText;
        while let Some(key) = map.next_key_seed(LeafSeed { trace: self.trace, leaf: text })? {
            self.trace.spend(2)?;
            if items.len() == self.n_max {
                self.trace.note_cut();
                let value: &'de RawValue = map.next_value()?;
                measure(value, self.trace)?;
                continue;
            }
            let value = map.next_value_seed(LeafSeed { trace: self.trace, leaf: text })?;
            let item = self.item.take_entry(key.unwrap_or_default(), value.unwrap_or_default(), self.trace);
            items.push(item.map_err(|fault| self.trace.fault(I::LIST, &fault))?);
        }
        Ok(Some(items))
    }
}

/// A text of an object that stands for a list; what bounds it is the record's own limit.
#[derive(Clone, Copy)]
struct LooseText;

impl<'de> Leaf<'de> for LooseText {
    type Out = Cow<'de, str>;
    const NEEDS: &'static str = "a text";

    fn text(self, text: Cow<'de, str>, _trace: &Trace) -> Result<Self::Out, Fault> {
        Ok(text)
    }
}

struct PairSeed<'t, L> {
    trace: &'t Trace,
    leaf: L,
}

const PAIR: &str = "a pair of two texts";

impl<'de, L: Leaf<'de>> DeserializeSeed<'de> for PairSeed<'_, L> {
    type Value = Pair<L::Out>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, L: Leaf<'de>> Visitor<'de> for PairSeed<'_, L> {
    type Value = Pair<L::Out>;

    refuse_visits!(PAIR; visit_bool("a truth value"), visit_u64("a number"), visit_i64("a number"),
        visit_f64("a number"), visit_str("a text"), visit_map("an object"));

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Err(self.trace.wrong(PAIR, "null"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut next = || list.next_element_seed(LeafSeed { trace: self.trace, leaf: self.leaf });
        let (first, second) = (next()?, next()?);
        let (Some(Some(first)), Some(Some(second))) = (first, second) else {
            return Err(self.trace.wrong(PAIR, "less"));
        };
        if list.next_element::<&'de RawValue>()?.is_some() {
            return Err(self.trace.wrong(PAIR, "more"));
        }
        Ok((first, second))
    }
}
