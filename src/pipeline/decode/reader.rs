//! One pass over a record's JSON into borrowed values, by hand-written serde seeds.
//!
//! Reads what `serde_json`'s deserializer hands over, gives values that borrow from the record, and remembers the place
//! so that a refusal can name the key. What makes it more than a derive: a text without escapes is borrowed also
//! inside an `Option`, a repeated key is seen, an unknown one is measured before it is dropped, and a lone surrogate
//! (`\ud800`, which JavaScript producers write for broken text) becomes U+FFFD instead of losing the event.
//!
//! Never: a value or a key of the record in a refusal's words, a recursion that the record steers, a
//! `serde_json::Value`. Cost: linear in the record; one allocation a list and one a text with escapes.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::list::{Item, ListSeed};
use super::trace::{Fault, Trace, measure, refuse_visits};

/// A text, a number or a truth value, and what it is turned into.
pub(super) trait Leaf<'de>: Copy {
    /// What comes out.
    type Out;
    /// What is asked for, in words that go before "is needed".
    const NEEDS: &'static str;
    /// Whether this is a text that may hold anything, lone surrogates too (see [`Trace::lenient`]).
    const IS_FREE_TEXT: bool = false;

    /// Takes a text.
    fn text(self, _text: Cow<'de, str>, _trace: &Trace) -> Result<Self::Out, Fault> {
        Err(Fault::Wrong("a text"))
    }
    /// Takes a truth value.
    fn truth(self, _truth: bool) -> Result<Self::Out, Fault> {
        Err(Fault::Wrong("a truth value"))
    }
    /// Takes a whole number from 0 up.
    fn whole(self, _number: u64) -> Result<Self::Out, Fault> {
        Err(Fault::Wrong("a number"))
    }
    /// Takes a number below 0, or one with a fraction or an exponent.
    fn number(self, _number: f64) -> Result<Self::Out, Fault> {
        Err(Fault::Wrong("a number"))
    }
}

/// Reads a leaf; `null` counts as absent.
pub(super) struct LeafSeed<'t, L> {
    /// Where the reading stands.
    pub(super) trace: &'t Trace,
    /// What takes the value.
    pub(super) leaf: L,
}

impl<'de, L: Leaf<'de>> DeserializeSeed<'de> for LeafSeed<'_, L> {
    type Value = Option<L::Out>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        let is_lenient = L::IS_FREE_TEXT && self.trace.is_lenient;
        if is_lenient { deserializer.deserialize_option(self) } else { deserializer.deserialize_any(self) }
    }
}

/// The JSON type that the parser found where it was asked for bytes, told from the first word of its complaint.
fn found_instead(complaint: &str) -> Option<&'static str> {
    let found = complaint.strip_prefix("invalid type: ")?;
    Some(match found.split([' ', ',']).next()? {
        "boolean" => "a truth value",
        "map" => "an object",
        _ => "a number",
    })
}

impl<'de, L: Leaf<'de>> LeafSeed<'_, L> {
    fn settle<E: Error>(&self, read: Result<L::Out, Fault>) -> Result<Option<L::Out>, E> {
        read.map(Some).map_err(|fault| self.trace.fault(L::NEEDS, &fault))
    }
}

/// The text of bytes that are UTF-8 but for lone surrogates, three bytes each, which become one U+FFFD each.
fn text_of(bytes: &[u8]) -> String {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return text.to_owned();
    }
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        // A surrogate is one lead byte, one byte that may not follow it, and one that may not stand alone.
        if chunk.invalid().first() == Some(&0xed) {
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
    text
}

impl<'de, L: Leaf<'de>> Visitor<'de> for LeafSeed<'_, L> {
    type Value = Option<L::Out>;

    refuse_visits!(L::NEEDS; visit_seq("an array"), visit_map("an object"));

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        self.settle(self.leaf.text(Cow::Borrowed(text), self.trace))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        self.settle(self.leaf.text(Cow::Owned(text.to_owned()), self.trace))
    }

    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    /// Asks for bytes: the parser refuses a lone surrogate in a text, and spells it out in bytes.
    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        let trace = self.trace;
        deserializer.deserialize_bytes(self).map_err(|error| {
            let is_told = trace.is_refused();
            let found = if is_told { None } else { found_instead(&error.to_string()) };
            found.map_or(error, |found| trace.wrong(L::NEEDS, found))
        })
    }

    fn visit_borrowed_bytes<E: Error>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
        let text = std::str::from_utf8(bytes).map_or_else(|_| Cow::Owned(text_of(bytes)), Cow::Borrowed);
        self.settle(self.leaf.text(text, self.trace))
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        self.settle(self.leaf.text(Cow::Owned(text_of(bytes)), self.trace))
    }

    fn visit_bool<E: Error>(self, truth: bool) -> Result<Self::Value, E> {
        self.settle(self.leaf.truth(truth))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        self.settle(self.leaf.whole(number))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        // Only negative numbers come this way, and no field takes one: the size is lost, the sign is not.
        self.settle(match u64::try_from(number) {
            Ok(number) => self.leaf.whole(number),
            Err(_) => self.leaf.number(-1.0),
        })
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        self.settle(self.leaf.number(number))
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// An object of the event: its place, its keys in the order in which producers write them, and what each fills.
pub(super) trait Object<'de> {
    /// Key path of the object; empty for the record itself, `name[]` for the items of a list.
    const AT: &'static str;
    /// The keys, at most 32.
    const KEYS: &'static [&'static str];

    /// Reads the value of `KEYS[key]`.
    fn read<A: MapAccess<'de>>(&mut self, key: usize, value: &mut Entry<'_, '_, A>) -> Result<(), A::Error>;
}

/// The value of the key that was just read.
pub(super) struct Entry<'t, 'm, A> {
    trace: &'t Trace,
    map: &'m mut A,
}

impl<'de, A: MapAccess<'de>> Entry<'_, '_, A> {
    /// Reads a leaf; `None` for `null`.
    pub(super) fn leaf<L: Leaf<'de>>(&mut self, leaf: L) -> Result<Option<L::Out>, A::Error> {
        self.map.next_value_seed(LeafSeed { trace: self.trace, leaf })
    }

    /// Fills an object; `false` for `null`.
    pub(super) fn object<T: Object<'de>>(&mut self, into: &mut T) -> Result<bool, A::Error> {
        self.map.next_value_seed(ObjectSeed { trace: self.trace, into })
    }

    /// Reads a list, keeping its first `n_max` items; `None` for `null`.
    pub(super) fn list<I: Item<'de>>(&mut self, item: I, n_max: usize) -> Result<Option<Vec<I::Out>>, A::Error> {
        let list = self.map.next_value_seed(ListSeed { trace: self.trace, item, n_max });
        self.trace.item.set(None);
        list
    }

    /// Takes a value as it stands, of any type and depth; `None` for `null`. What is not looked into costs no budget.
    pub(super) fn raw(&mut self) -> Result<Option<&'de str>, A::Error> {
        Ok(self.map.next_value::<Option<&'de RawValue>>()?.map(RawValue::get))
    }

    /// Measures a value and drops it.
    pub(super) fn skip(&mut self) -> Result<(), A::Error> {
        let value: &'de RawValue = self.map.next_value()?;
        measure(value, self.trace)
    }
}

/// The text of a JSON value that was taken as it stands; `None` where it is no text. Lone surrogates become U+FFFD.
/// Borrows where the text has no escapes.
pub(super) fn text_of_raw(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.trim_ascii().strip_prefix('"')?.strip_suffix('"')?;
    if !inner.as_bytes().contains(&b'\\') {
        return Some(Cow::Borrowed(inner));
    }
    let mut deserializer = serde_json::Deserializer::from_str(raw);
    deserializer.deserialize_bytes(RawText).ok().map(Cow::Owned)
}

struct RawText;

impl Visitor<'_> for RawText {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<String, E> {
        Ok(text_of(bytes))
    }
}

/// Fills an object in place.
pub(super) struct ObjectSeed<'t, 'i, T> {
    /// Where the reading stands.
    pub(super) trace: &'t Trace,
    /// What is filled.
    pub(super) into: &'i mut T,
}

impl<'de, T: Object<'de>> DeserializeSeed<'de> for ObjectSeed<'_, '_, T> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Object<'de>> Visitor<'de> for ObjectSeed<'_, '_, T> {
    type Value = bool;

    refuse_visits!("an object"; visit_bool("a truth value"), visit_u64("a number"), visit_i64("a number"),
        visit_f64("a number"), visit_str("a text"), visit_seq("an array"));

    fn visit_unit<E: Error>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        const { assert!(T::KEYS.len() <= 32, "one bit a key tells whether it was seen") };
        let trace = self.trace;
        let outer = (trace.object.get(), trace.key.get());
        let (mut seen, mut guess) = (0_u32, 0_usize);
        loop {
            trace.object.set(T::AT);
            trace.key.set("");
            let Some(key) = map.next_key_seed(KeySeed { keys: T::KEYS, guess, is_folded: trace.is_folded })? else {
                break;
            };
            trace.spend(2)?;
            let mut value = Entry { trace, map: &mut map };
            let Some((at, name)) = key else {
                trace.note(|notes| notes.n_unknown_keys = notes.n_unknown_keys.saturating_add(1));
                value.skip()?;
                continue;
            };
            trace.key.set(name);
            guess = at + 1;
            let bit = u32::try_from(at).ok().and_then(|at| 1_u32.checked_shl(at)).unwrap_or(0);
            if seen & bit != 0 {
                trace.note(|notes| notes.n_duplicate_keys = notes.n_duplicate_keys.saturating_add(1));
                value.skip()?;
                continue;
            }
            seen |= bit;
            self.into.read(at, &mut value)?;
        }
        trace.object.set(outer.0);
        trace.key.set(outer.1);
        Ok(true)
    }
}

/// Finds a key in an object's table. Producers write keys in one order, so the key after the last one is tried first.
struct KeySeed {
    keys: &'static [&'static str],
    guess: usize,
    is_folded: bool,
}

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Option<(usize, &'static str)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed {
    type Value = Option<(usize, &'static str)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        let is_key = |name: &str| if self.is_folded { name.eq_ignore_ascii_case(key) } else { name == key };
        if let Some(name) = self.keys.get(self.guess).filter(|name| is_key(name)) {
            return Ok(Some((self.guess, name)));
        }
        Ok(self.keys.iter().enumerate().find(|(_, name)| is_key(name)).map(|(at, name)| (at, *name)))
    }
}

/// Reads a whole record into `into`.
pub(super) fn read<'de, T: Object<'de>>(text: &'de str, trace: &Trace, into: &mut T) -> Result<(), serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    ObjectSeed { trace, into }.deserialize(&mut deserializer)?;
    deserializer.end()
}

/// The table of an object's keys, in the order in which producers write them.
macro_rules! keys {
    ($type:ty, $at:literal, |$into:ident, $value:ident| { $($key:literal => $read:expr,)* }) => {
        impl<'de> Object<'de> for $type {
            const AT: &'static str = $at;
            const KEYS: &'static [&'static str] = &[$($key),*];

            fn read<A: MapAccess<'de>>(&mut self, key: usize, $value: &mut Entry<'_, '_, A>) -> Result<(), A::Error> {
                let $into = self;
                let slot = 0_usize;
                $(
                    if key == slot {
                        $read;
                        return Ok(());
                    }
                    let slot = slot + 1;
                )*
                debug_assert_eq!(slot, Self::KEYS.len());
                $value.skip()
            }
        }
    };
}
pub(super) use keys;
