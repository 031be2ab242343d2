//! JSON that somebody else's program wrote: one pass into borrowed values, and no value of an unexpected type a fault.
//!
//! Carriers differ from release to release in what they write as a number or as a text, and only few of their keys are
//! needed here. So a leaf takes any JSON value ([`Value`]), an object's keys are those of its table (see [`object!`])
//! and all others are skipped, a list keeps the items that say something ([`List`]). Of a repeated key the first one
//! counts. What is left as a fault is broken JSON; a carrier asks `is_wrong` where a wrong type breaks its own contract.
//!
//! A lone surrogate (`\ud800`), which any client can bring into a message, makes the parser refuse the whole text: such
//! a text is read again with U+FFFD in its place ([`read_mended`]).
//!
//! Never: a recursion that the record steers: the types below are of fixed depth, and what is skipped is skipped without
//! a stack. Cost: linear, an allocation for each list and each text with escapes.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::field::cut;
use super::found::Find;
use super::trace::Trace;
use super::{FREE_TEXT_BYTES_MAX, NAME_BYTES_MAX, Refusal, SCOPES_MAX, foreign};
use crate::pipeline::event::Millis;
use crate::pipeline::event::owned::owned;

/// Most items of a list that are kept, and most pairs: far above what any SDK sends in a request (512 by default).
pub(super) const KEPT_MAX: usize = 4_096;

/// The visits that a reader has no use for: they skip the value and give `$wrong`.
macro_rules! other_visits {
    ($wrong:expr; $($more:ident)*) => {
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("any value")
        }
        fn visit_bool<E: serde::de::Error>(self, _truth: bool) -> Result<Self::Value, E> { Ok($wrong) }
        fn visit_u64<E: serde::de::Error>(self, _number: u64) -> Result<Self::Value, E> { Ok($wrong) }
        fn visit_i64<E: serde::de::Error>(self, _number: i64) -> Result<Self::Value, E> { Ok($wrong) }
        fn visit_f64<E: serde::de::Error>(self, _number: f64) -> Result<Self::Value, E> { Ok($wrong) }
        fn visit_unit<E: serde::de::Error>(self) -> Result<Self::Value, E> { Ok(Default::default()) }
        $($crate::pipeline::decode::loose::other_visits!(@ $more $wrong);)*
    };
    (@ text $wrong:expr) => {
        fn visit_str<E: serde::de::Error>(self, _text: &str) -> Result<Self::Value, E> { Ok($wrong) }
    };
    (@ seq $wrong:expr) => {
        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            $crate::pipeline::decode::loose::skip_items(&mut list)?;
            Ok($wrong)
        }
    };
    (@ map $wrong:expr) => {
        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            $crate::pipeline::decode::loose::skip_entries(&mut map)?;
            Ok($wrong)
        }
    };
}
pub(super) use other_visits;

/// A leaf, whatever its JSON type.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) enum Value<'a> {
    /// Null, an object, or not there.
    #[default]
    Nothing,
    /// A text.
    Text(Cow<'a, str>),
    /// A whole number from 0 up.
    Whole(u64),
    /// Any other number.
    Number(f64),
    /// A truth value.
    Truth(bool),
    /// The texts of a list.
    List(Vec<Cow<'a, str>>),
}

impl<'a> Value<'a> {
    /// The same with texts of its own.
    pub(super) fn into_owned(self) -> Value<'static> {
        match self {
            Self::Nothing => Value::Nothing,
            Self::Text(text) => Value::Text(owned(text)),
            Self::Whole(number) => Value::Whole(number),
            Self::Number(number) => Value::Number(number),
            Self::Truth(truth) => Value::Truth(truth),
            Self::List(texts) => Value::List(texts.into_iter().map(owned).collect()),
        }
    }

    /// A text that the client may have written: cut to what is kept of it. Of a list its first text.
    pub(super) fn free_text(&self) -> Option<Cow<'a, str>> {
        match self {
            Self::Text(text) => Some(cut(text.clone(), FREE_TEXT_BYTES_MAX)),
            Self::Whole(number) => Some(Cow::Owned(number.to_string())),
            Self::List(texts) => texts.first().map(|text| cut(text.clone(), FREE_TEXT_BYTES_MAX)),
            Self::Nothing | Self::Number(_) | Self::Truth(_) => None,
        }
    }

    /// A body: bounded by the record alone.
    pub(super) fn body(&self) -> Option<Cow<'a, str>> {
        if let Self::Text(text) = self { Some(text.clone()) } else { None }
    }

    /// A name or id; `None` for one that says nothing or is longer than any, since a cut id is another id.
    pub(super) fn name(&self) -> Option<Cow<'a, str>> {
        self.free_text().filter(|text| !text.trim().is_empty() && text.len() <= NAME_BYTES_MAX)
    }

    /// A whole number from 0 up, as a number or as a text.
    pub(super) fn whole(&self) -> Option<u64> {
        match self {
            Self::Whole(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok(),
            Self::List(texts) => texts.first()?.trim().parse().ok(),
            Self::Nothing | Self::Number(_) | Self::Truth(_) => None,
        }
    }

    /// The same, where it fits.
    pub(super) fn whole_32(&self) -> Option<u32> {
        self.whole().and_then(|number| u32::try_from(number).ok())
    }

    /// An HTTP status.
    pub(super) fn status(&self) -> Option<u16> {
        self.whole().and_then(|number| u16::try_from(number).ok()).filter(|status| (100..=999).contains(status))
    }

    /// Any finite number.
    pub(super) fn number(&self) -> Option<f64> {
        let number = match self {
            Self::Whole(number) => u32::try_from(*number).map(f64::from).ok(),
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok(),
            Self::Nothing | Self::Truth(_) | Self::List(_) => None,
        };
        number.filter(|number| number.is_finite())
    }

    /// A truth value, as one or as a text.
    pub(super) fn truth(&self) -> Option<bool> {
        match self {
            Self::Truth(truth) => Some(*truth),
            Self::Text(text) if text.eq_ignore_ascii_case("true") => Some(true),
            Self::Text(text) if text.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        }
    }

    /// Scopes: a text is split at spaces and commas, the texts of a list are whole.
    pub(super) fn scopes(&self) -> Vec<Cow<'a, str>> {
        let is_separator = |c: char| c == ',' || c.is_ascii_whitespace();
        match self {
            Self::Text(Cow::Borrowed(text)) => {
                text.split(is_separator).filter(|scope| !scope.is_empty()).take(SCOPES_MAX).map(Cow::from).collect()
            }
            Self::Text(Cow::Owned(text)) => {
                let scopes = text.split(is_separator).filter(|scope| !scope.is_empty()).take(SCOPES_MAX);
                scopes.map(|scope| Cow::from(scope.to_owned())).collect()
            }
            Self::List(texts) => texts.iter().take(SCOPES_MAX).cloned().collect(),
            _ => Vec::new(),
        }
    }

    /// A time: RFC 3339, or seconds since 1970 as a number or a text; 0 says nothing.
    pub(super) fn time(&self) -> Option<Millis> {
        match self {
            Self::Text(text) if text.contains('T') => Millis::parse(text),
            Self::Text(text) => seconds(text.trim().parse().ok()?),
            Self::Whole(number) => {
                i64::try_from(*number).ok()?.checked_mul(Millis::SECOND).filter(|millis| *millis > 0).map(Millis)
            }
            Self::Number(number) => seconds(*number),
            Self::Nothing | Self::Truth(_) | Self::List(_) => None,
        }
    }
}

/// Seconds since 1970 with a fraction, as a time.
fn seconds(seconds: f64) -> Option<Millis> {
    /// The year 9999: a number beyond is no time in seconds.
    const SECONDS_MAX: f64 = 253_402_300_799.0;
    if !(seconds > 0.0 && seconds <= SECONDS_MAX) {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "within 0 and 253,402,300,799,000 by the check above")]
    Some(Millis((seconds * 1_000.0).round() as i64))
}

/// The visits of a leaf that are told by their type alone.
struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }
    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Value::Text(Cow::Borrowed(text)))
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Value::Text(Cow::Owned(text.to_owned())))
    }
    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Value::Whole(number))
    }
    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        // Only negative numbers come this way, and no field takes one: the size is lost, the sign is not.
        Ok(u64::try_from(number).map_or(Value::Number(-1.0), Value::Whole))
    }
    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Value::Number(number))
    }
    fn visit_bool<E: Error>(self, truth: bool) -> Result<Self::Value, E> {
        Ok(Value::Truth(truth))
    }
    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Value::Nothing)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut texts = Vec::new();
        while texts.len() < SCOPES_MAX {
            match list.next_element::<Flat<'de>>()? {
                Some(Flat(Some(text))) => texts.push(text),
                Some(Flat(None)) => {}
                None => return Ok(Value::List(texts)),
            }
        }
        skip_items(&mut list)?;
        Ok(Value::List(texts))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        skip_entries(&mut map)?;
        Ok(Value::Nothing)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Value<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

/// An item of a leaf's list: a text, or nothing.
#[derive(Default)]
struct Flat<'a>(Option<Cow<'a, str>>);

impl<'de: 'a, 'a> Deserialize<'de> for Flat<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FlatVisitor)
    }
}

struct FlatVisitor;

impl<'de> Visitor<'de> for FlatVisitor {
    type Value = Flat<'de>;

    other_visits!(Flat(None); seq map);

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Flat(Some(Cow::Borrowed(text))))
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Flat(Some(Cow::Owned(text.to_owned()))))
    }
}

/// Skips what is left of a list.
pub(super) fn skip_items<'de, A: SeqAccess<'de>>(list: &mut A) -> Result<(), A::Error> {
    while list.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}

/// Skips what is left of an object.
pub(super) fn skip_entries<'de, A: MapAccess<'de>>(map: &mut A) -> Result<(), A::Error> {
    while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
    Ok(())
}

/// An object and the keys of it that are read, each with its other spellings: `NAME<'a> { field: TYPE = "key" | "Key" }`.
/// All values are optional; `is_wrong` tells that something else than an object stood there. `idle` names what tells
/// an object that need not be kept in a list.
macro_rules! object {
    ($(#[$meta:meta])* $name:ident<$lt:lifetime> {
        $($field:ident: $type:ty = $key:literal $(| $other:literal)*),+ $(,)?
    } $(idle $idle:path)?) => {
        $(#[$meta])*
        #[derive(Debug, Default)]
        struct $name<$lt> {
            $($field: $type,)+
            is_wrong: bool,
            lifetime: std::marker::PhantomData<&$lt ()>,
        }

        impl<$lt> serde::Deserialize<$lt> for $name<$lt> {
            fn deserialize<D: serde::Deserializer<$lt>>(deserializer: D) -> Result<Self, D::Error> {
                struct Keys;
                impl<'de> serde::de::Visitor<'de> for Keys {
                    type Value = $name<'de>;

                    $crate::pipeline::decode::loose::other_visits!(
                        $name { is_wrong: true, ..Default::default() }; text seq
                    );

                    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                        $(let mut $field = None;)+
                        while let Some(key) = map.next_key::<$crate::pipeline::decode::loose::Key<'de>>()? {
                            match key.0.as_ref() {
                                $($key $(| $other)* if $field.is_none() => $field = Some(map.next_value()?),)+
                                _ => {
                                    map.next_value::<serde::de::IgnoredAny>()?;
                                }
                            }
                        }
                        Ok($name {
                            $($field: $field.unwrap_or_default(),)+
                            is_wrong: false,
                            lifetime: std::marker::PhantomData,
                        })
                    }
                }
                deserializer.deserialize_any(Keys)
            }
        }

        impl $crate::pipeline::decode::loose::Item for $name<'_> {
            fn is_wrong(&self) -> bool {
                self.is_wrong
            }

            $(fn is_idle(&self) -> bool {
                $idle(self)
            })?
        }
    };
}
pub(super) use object;

/// A key, borrowed where it has no escapes.
pub(super) struct Key<'a>(pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Key<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let key = deserializer.deserialize_str(FlatVisitor)?;
        Ok(Self(key.0.unwrap_or_default()))
    }
}

/// An item of a [`List`].
pub(super) trait Item {
    /// Something else stood in its place.
    fn is_wrong(&self) -> bool;

    /// It says nothing that is needed, and need not be kept.
    fn is_idle(&self) -> bool {
        false
    }
}

/// A list of objects: those that say something, with their places.
#[derive(Debug)]
pub(super) struct List<T> {
    /// Its items, at most [`KEPT_MAX`].
    pub(super) items: Vec<T>,
    /// The first item that is no object.
    pub(super) wrong_item: Option<usize>,
    /// Items beyond the limit were dropped.
    pub(super) is_cut: bool,
    /// Something else than a list stood there.
    pub(super) is_wrong: bool,
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self { items: Vec::new(), wrong_item: None, is_cut: false, is_wrong: false }
    }
}

struct ListVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de> + Item> Visitor<'de> for ListVisitor<T> {
    type Value = List<T>;

    other_visits!(List { is_wrong: true, ..List::default() }; text map);

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut read = List::default();
        let mut at = 0;
        while let Some(item) = list.next_element::<T>()? {
            if item.is_wrong() {
                read.wrong_item.get_or_insert(at);
            } else if !item.is_idle() {
                read.items.push(item);
            }
            at += 1;
            if read.items.len() == KEPT_MAX {
                read.is_cut = list.next_element::<IgnoredAny>()?.is_some();
                skip_items(&mut list)?;
                break;
            }
        }
        Ok(read)
    }
}

impl<'de, T: Deserialize<'de> + Item> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ListVisitor(PhantomData))
    }
}

/// Names and values: an object, or a list of pairs.
#[derive(Debug, Default)]
pub(super) struct Pairs<'a>(pub(super) Vec<(Cow<'a, str>, Value<'a>)>);

impl<'a> Pairs<'a> {
    /// The value of a name, whatever the case of its letters.
    pub(super) fn get(&self, name: &str) -> Option<&Value<'a>> {
        self.0.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// A pair of a list of pairs.
#[derive(Default)]
struct PairOf<'a>(Option<(Cow<'a, str>, Value<'a>)>);

struct PairVisitor;

impl<'de> Visitor<'de> for PairVisitor {
    type Value = PairOf<'de>;

    other_visits!(PairOf(None); text map);

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let Some(key) = list.next_element::<Flat<'de>>()? else { return Ok(PairOf(None)) };
        let Some(value) = list.next_element::<Value<'de>>()? else { return Ok(PairOf(None)) };
        skip_items(&mut list)?;
        Ok(PairOf(key.0.map(|key| (key, value))))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for PairOf<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PairVisitor)
    }
}

struct PairsVisitor;

impl<'de> Visitor<'de> for PairsVisitor {
    type Value = Pairs<'de>;

    other_visits!(Pairs::default(); text);

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Pairs::default();
        while pairs.0.len() < KEPT_MAX {
            let Some(key) = map.next_key::<Key<'de>>()? else { return Ok(pairs) };
            pairs.0.push((key.0, map.next_value()?));
        }
        skip_entries(&mut map)?;
        Ok(pairs)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Pairs::default();
        while pairs.0.len() < KEPT_MAX {
            let Some(pair) = list.next_element::<PairOf<'de>>()? else { return Ok(pairs) };
            pairs.0.extend(pair.0);
        }
        skip_items(&mut list)?;
        Ok(pairs)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PairsVisitor)
    }
}

/// Why a text was not read.
#[derive(Debug)]
pub(super) enum Broken {
    /// It is no JSON.
    Json(serde_json::Error),
    /// It is refused.
    Refused(Refusal),
}

impl From<serde_json::Error> for Broken {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(error)
    }
}

impl From<Refusal> for Broken {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Reads a text by `read`, and once more with its lone surrogates mended where they are what it breaks at. `read` adds
/// to its finds only when the whole text was read.
pub(super) fn read_mended<'a>(
    text: &'a str,
    find: &mut Find<'_, 'a>,
    read: for<'r, 'x> fn(&'x str, &mut Find<'r, 'x>) -> Result<(), Broken>,
) -> Result<(), Refusal> {
    match read(text, find) {
        Ok(()) => Ok(()),
        Err(Broken::Refused(refusal)) => Err(refusal),
        Err(Broken::Json(error)) if foreign::is_lone_surrogate(&error) => {
            let mended = mended(text);
            let mut inner = find.inner();
            let read = read(&mended, &mut inner);
            find.absorb(inner);
            read.map_err(|broken| match broken {
                Broken::Refused(refusal) => refusal,
                Broken::Json(error) => explained(&error, text),
            })
        }
        Err(Broken::Json(error)) => Err(explained(&error, text)),
    }
}

/// A parser's fault in our words.
pub(super) fn explained(error: &serde_json::Error, text: &str) -> Refusal {
    foreign::explain(error, &Trace::default(), text)
}

/// JSON with U+FFFD for every half of a surrogate pair that stands alone.
pub(super) fn mended(text: &str) -> String {
    let mut mended = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, escape)) = rest.split_once('\\') {
        mended.push_str(before);
        let (n_bytes, is_whole) = match unit(escape) {
            Some(0xd800..=0xdbff) => {
                let low = escape.get(5..).and_then(|next| next.strip_prefix('\\')).and_then(unit);
                if matches!(low, Some(0xdc00..=0xdfff)) { (11, true) } else { (5, false) }
            }
            Some(0xdc00..=0xdfff) => (5, false),
            _ => (escape.chars().next().map_or(0, char::len_utf8), true),
        };
        let (escaped, after) = escape.split_at_checked(n_bytes).unwrap_or((escape, ""));
        mended.push('\\');
        mended.push_str(if is_whole { escaped } else { "ufffd" });
        rest = after;
    }
    mended.push_str(rest);
    mended
}

/// The UTF-16 unit of an escape `uXXXX`, its backslash taken off.
fn unit(escape: &str) -> Option<u16> {
    let digits = escape.strip_prefix('u')?.get(..4)?;
    digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u16::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests;
