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
use std::cell::{Cell, RefCell};
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{DEPTH_MAX, NODES_MAX, Refusal};
use crate::pipeline::event::{DecodeNotes, Reason};

/// What was read so far and where the reading stands. One a record, shared by all seeds.
#[derive(Debug, Default)]
pub(super) struct Trace {
    object: Cell<&'static str>,
    key: Cell<&'static str>,
    item: Cell<Option<usize>>,
    n_nodes: Cell<usize>,
    notes: Cell<DecodeNotes>,
    refusal: RefCell<Option<Refusal>>,
    is_lenient: bool,
}

impl Trace {
    /// A trace for a second reading that takes lone surrogates (and raw control characters) in what the client wrote.
    /// The strict reading comes first because it is faster and nearly always enough.
    pub(super) fn lenient() -> Self {
        Self { is_lenient: true, ..Self::default() }
    }

    /// The place being read, as a key path: `client.ip`, `panic.backtrace[3]`, `side_effects[0].kind`.
    pub(super) fn path(&self) -> String {
        let (object, key, item) = (self.object.get(), self.key.get(), self.item.get());
        let joint = if object.is_empty() || key.is_empty() { "" } else { "." };
        match item {
            Some(item) if object.ends_with("[]") => {
                format!("{}[{item}]{joint}{key}", object.trim_end_matches("[]"))
            }
            Some(item) => format!("{object}{joint}{key}[{item}]"),
            None if object.is_empty() && key.is_empty() => "the record".to_owned(),
            None => format!("{object}{joint}{key}"),
        }
    }

    /// What was noticed and not refused.
    pub(super) fn notes(&self) -> DecodeNotes {
        self.notes.get()
    }

    /// The refusal that stopped the reading, if it was one of ours.
    pub(super) fn take_refusal(&self) -> Option<Refusal> {
        self.refusal.take()
    }

    /// Counts something that was cut to its limit.
    pub(super) fn note_cut(&self) {
        self.note(|notes| notes.n_cut = notes.n_cut.saturating_add(1));
    }

    fn note(&self, change: impl FnOnce(&mut DecodeNotes)) {
        let mut notes = self.notes.get();
        change(&mut notes);
        self.notes.set(notes);
    }

    fn refuse<E: Error>(&self, reason: Reason, words: &str) -> E {
        let refusal = Refusal { reason, detail: format!("{}: {words}", self.path()) };
        self.refusal.replace(Some(refusal));
        E::custom("refused")
    }

    fn wrong<E: Error>(&self, needed: &str, found: &str) -> E {
        self.refuse(Reason::WrongType, &format!("{needed} is needed, found {found}"))
    }

    fn fault<E: Error>(&self, needed: &str, fault: &Fault) -> E {
        match fault {
            Fault::Wrong(found) => self.wrong(needed, found),
            Fault::Value(words) => self.refuse(Reason::BadValue, words),
            Fault::TooLong(bytes_max) => self.refuse(Reason::TooLong, &format!("at most {bytes_max} bytes are taken")),
        }
    }

    /// Spends `n` of the record's budget of keys and values.
    fn spend<E: Error>(&self, n: usize) -> Result<(), E> {
        let n_nodes = self.n_nodes.get().saturating_add(n);
        self.n_nodes.set(n_nodes);
        if n_nodes > NODES_MAX {
            return Err(self.refuse(Reason::TooManyNodes, &format!("at most {NODES_MAX} keys and values are read")));
        }
        Ok(())
    }
}

/// Why a leaf does not take a value.
pub(super) enum Fault {
    /// Another JSON type, named.
    Wrong(&'static str),
    /// The right type and not an allowed value: what would be right.
    Value(&'static str),
    /// More bytes than the field may have.
    TooLong(usize),
}

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
struct LeafSeed<'t, L> {
    trace: &'t Trace,
    leaf: L,
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

/// The visits that a seed does not take, each refused by the name of what was found.
macro_rules! refuse_visits {
    ($needed:expr; $($visit:ident($found:literal)),*) => {
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str($needed)
        }
        $(refuse_visits!(@ $needed, $visit, $found);)*
    };
    (@ $needed:expr, visit_bool, $found:literal) => { refuse_visits!(@@ $needed, visit_bool(bool), $found); };
    (@ $needed:expr, visit_u64, $found:literal) => { refuse_visits!(@@ $needed, visit_u64(u64), $found); };
    (@ $needed:expr, visit_i64, $found:literal) => { refuse_visits!(@@ $needed, visit_i64(i64), $found); };
    (@ $needed:expr, visit_f64, $found:literal) => { refuse_visits!(@@ $needed, visit_f64(f64), $found); };
    (@ $needed:expr, visit_str, $found:literal) => { refuse_visits!(@@ $needed, visit_str(&str), $found); };
    (@ $needed:expr, visit_seq, $found:literal) => {
        fn visit_seq<A: SeqAccess<'de>>(self, _list: A) -> Result<Self::Value, A::Error> {
            Err(self.trace.wrong($needed, $found))
        }
    };
    (@ $needed:expr, visit_map, $found:literal) => {
        fn visit_map<A: MapAccess<'de>>(self, _map: A) -> Result<Self::Value, A::Error> {
            Err(self.trace.wrong($needed, $found))
        }
    };
    (@@ $needed:expr, $visit:ident($kind:ty), $found:literal) => {
        fn $visit<E: Error>(self, _value: $kind) -> Result<Self::Value, E> {
            Err(self.trace.wrong($needed, $found))
        }
    };
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
            let is_told = trace.refusal.borrow().is_some();
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

    /// Measures a value and drops it.
    pub(super) fn skip(&mut self) -> Result<(), A::Error> {
        let value: &'de RawValue = self.map.next_value()?;
        measure(value, self.trace)
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
        let trace = self.trace;
        let outer = (trace.object.get(), trace.key.get());
        let (mut seen, mut guess) = (0_u32, 0_usize);
        loop {
            trace.object.set(T::AT);
            trace.key.set("");
            let Some(key) = map.next_key_seed(KeySeed { keys: T::KEYS, guess })? else { break };
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
        if let Some(name) = self.keys.get(self.guess).filter(|name| **name == key) {
            return Ok(Some((self.guess, name)));
        }
        Ok(self.keys.iter().position(|name| *name == key).zip(self.keys.iter().find(|name| **name == key).copied()))
    }
}

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

struct ListSeed<'t, I> {
    trace: &'t Trace,
    item: I,
    n_max: usize,
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

/// Counts the nodes and the depth of a value that is dropped. The JSON is known to be well-formed by then, so that
/// brackets outside texts tell the depth and commas and brackets tell the nodes: no stack is needed.
fn measure<E: Error>(value: &RawValue, trace: &Trace) -> Result<(), E> {
    let (mut depth, mut n_nodes) = (0_usize, 1_usize);
    let (mut in_text, mut is_escaped) = (false, false);
    for byte in value.get().bytes() {
        if in_text {
            in_text = is_escaped || byte != b'"';
            is_escaped = !is_escaped && byte == b'\\';
            continue;
        }
        match byte {
            b'"' => in_text = true,
            b'{' | b'[' => {
                depth += 1;
                n_nodes += 1;
                if depth > DEPTH_MAX {
                    return Err(trace.refuse(Reason::TooDeep, &format!("at most {DEPTH_MAX} levels are read")));
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' | b':' => n_nodes += 1,
            _ => {}
        }
    }
    trace.spend(n_nodes)
}

/// Reads a whole record into `into`.
pub(super) fn read<'de, T: Object<'de>>(text: &'de str, trace: &Trace, into: &mut T) -> Result<(), serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    ObjectSeed { trace, into }.deserialize(&mut deserializer)?;
    deserializer.end()
}
