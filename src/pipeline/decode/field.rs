//! What a single value of the record must be: names, free texts, times, addresses, numbers, list items.
//!
//! Each takes one JSON value and gives a domain value, or says what would be right. Two kinds of text: what the
//! *producer* writes (ids and names) is refused when it is too long, since a cut id is another id; what the *client* can
//! write (path, query, headers, message) is cut and counted, since otherwise a long header would be a way to stay
//! unseen. Never: the value in the words. Cost: linear in the value.

use std::borrow::Cow;
use std::net::IpAddr;

use serde::de::SeqAccess;

use super::list::{Item, Items};
use super::reader::Leaf;
use super::trace::{Fault, Trace};
use super::{FREE_TEXT_BYTES_MAX, LATENCY_MS_MAX, NAME_BYTES_MAX, SCOPES_MAX};
use crate::pipeline::event::{Millis, Reason, RecoveryOutcome};

/// A name that must say something.
#[derive(Clone, Copy)]
pub(super) struct Id;

impl<'de> Leaf<'de> for Id {
    type Out = Cow<'de, str>;
    const NEEDS: &'static str = "a text";

    fn text(self, text: Cow<'de, str>, trace: &Trace) -> Result<Self::Out, Fault> {
        if text.trim().is_empty() {
            return Err(Fault::Value("a text that is not empty is needed"));
        }
        Name.text(text, trace)
    }
}

/// A text that the producer writes.
#[derive(Clone, Copy)]
pub(super) struct Name;

impl<'de> Leaf<'de> for Name {
    type Out = Cow<'de, str>;
    const NEEDS: &'static str = "a text";

    fn text(self, text: Cow<'de, str>, _trace: &Trace) -> Result<Self::Out, Fault> {
        if text.len() > NAME_BYTES_MAX { Err(Fault::TooLong(NAME_BYTES_MAX)) } else { Ok(text) }
    }
}

/// A text that the client may have written.
#[derive(Clone, Copy)]
pub(super) struct FreeText;

impl<'de> Leaf<'de> for FreeText {
    type Out = Cow<'de, str>;
    const NEEDS: &'static str = "a text";
    const IS_FREE_TEXT: bool = true;

    fn text(self, text: Cow<'de, str>, trace: &Trace) -> Result<Self::Out, Fault> {
        if text.len() <= FREE_TEXT_BYTES_MAX {
            return Ok(text);
        }
        trace.note_cut();
        Ok(cut(text, FREE_TEXT_BYTES_MAX))
    }
}

/// The longest beginning of `text` of at most `bytes_max` bytes that ends between two characters.
pub(super) fn cut(text: Cow<'_, str>, bytes_max: usize) -> Cow<'_, str> {
    let end = text.floor_char_boundary(bytes_max);
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.get(..end).unwrap_or_default()),
        Cow::Owned(mut text) => {
            text.truncate(end);
            Cow::Owned(text)
        }
    }
}

/// A request body, bounded by the record alone.
#[derive(Clone, Copy)]
pub(super) struct Body;

impl<'de> Leaf<'de> for Body {
    type Out = Cow<'de, str>;
    const NEEDS: &'static str = "a text";
    const IS_FREE_TEXT: bool = true;

    fn text(self, text: Cow<'de, str>, _trace: &Trace) -> Result<Self::Out, Fault> {
        Ok(text)
    }
}

/// Whether the body is base64.
#[derive(Clone, Copy)]
pub(super) struct Encoding;

impl<'de> Leaf<'de> for Encoding {
    type Out = bool;
    const NEEDS: &'static str = "a text";

    fn text(self, text: Cow<'de, str>, _trace: &Trace) -> Result<bool, Fault> {
        match text.as_ref() {
            "utf8" => Ok(false),
            "base64" => Ok(true),
            _ => Err(Fault::Value("utf8 or base64 is needed")),
        }
    }
}

/// A date and time.
#[derive(Clone, Copy)]
pub(super) struct Time;

impl<'de> Leaf<'de> for Time {
    type Out = Millis;
    const NEEDS: &'static str = "a text";

    fn text(self, text: Cow<'de, str>, _trace: &Trace) -> Result<Millis, Fault> {
        Millis::parse(&text).ok_or(Fault::Value("an RFC 3339 date and time with an offset is needed"))
    }
}

/// An address. Zones (`%eth0`), ports and brackets are not part of one.
#[derive(Clone, Copy)]
pub(super) struct Address;

impl<'de> Leaf<'de> for Address {
    type Out = IpAddr;
    const NEEDS: &'static str = "a text";

    fn text(self, text: Cow<'de, str>, _trace: &Trace) -> Result<IpAddr, Fault> {
        let address = text.parse::<IpAddr>().map_err(|_| Fault::Value("an IPv4 or IPv6 address is needed"))?;
        Ok(address.to_canonical())
    }
}

/// What became of the fault.
#[derive(Clone, Copy)]
pub(super) struct Outcome;

impl<'de> Leaf<'de> for Outcome {
    type Out = RecoveryOutcome;
    const NEEDS: &'static str = "a text";

    fn text(self, text: Cow<'de, str>, _trace: &Trace) -> Result<RecoveryOutcome, Fault> {
        RecoveryOutcome::named(&text)
            .ok_or(Fault::Value("recovered, degraded, escaped, aborted, suspected_abort or unknown is needed"))
    }
}

/// True or false.
#[derive(Clone, Copy)]
pub(super) struct Truth;

impl Leaf<'_> for Truth {
    type Out = bool;
    const NEEDS: &'static str = "true or false";

    fn truth(self, truth: bool) -> Result<bool, Fault> {
        Ok(truth)
    }
}

/// An HTTP status. Some servers answer beyond 599 (999 is seen), none below 100.
#[derive(Clone, Copy)]
pub(super) struct Status;

const STATUS: Fault = Fault::Value("a whole number from 100 to 999 is needed");

impl Leaf<'_> for Status {
    type Out = u16;
    const NEEDS: &'static str = "a number";

    fn whole(self, number: u64) -> Result<u16, Fault> {
        u16::try_from(number).ok().filter(|status| (100..=999).contains(status)).ok_or(STATUS)
    }

    fn number(self, _number: f64) -> Result<u16, Fault> {
        Err(STATUS)
    }
}

/// A line, a column or an attempt.
#[derive(Clone, Copy)]
pub(super) struct Count32;

const COUNT_32: Fault = Fault::Value("a whole number from 0 to 4294967295 is needed");

impl Leaf<'_> for Count32 {
    type Out = u32;
    const NEEDS: &'static str = "a number";

    fn whole(self, number: u64) -> Result<u32, Fault> {
        u32::try_from(number).map_err(|_| COUNT_32)
    }

    fn number(self, _number: f64) -> Result<u32, Fault> {
        Err(COUNT_32)
    }
}

/// A length or a count.
#[derive(Clone, Copy)]
pub(super) struct Count64;

impl Leaf<'_> for Count64 {
    type Out = u64;
    const NEEDS: &'static str = "a number";

    fn whole(self, number: u64) -> Result<u64, Fault> {
        Ok(number)
    }

    fn number(self, _number: f64) -> Result<u64, Fault> {
        Err(Fault::Value("a whole number from 0 to 18446744073709551615 is needed"))
    }
}

/// Milliseconds that something took.
#[derive(Clone, Copy)]
pub(super) struct Latency;

impl Leaf<'_> for Latency {
    type Out = f64;
    const NEEDS: &'static str = "a number";

    fn whole(self, number: u64) -> Result<f64, Fault> {
        // Exact below 2^32, and everything above the limit is refused whatever it is rounded to.
        u32::try_from(number).map_err(|_| LATENCY).and_then(|number| self.number(f64::from(number)))
    }

    fn number(self, number: f64) -> Result<f64, Fault> {
        if (0.0..=LATENCY_MS_MAX).contains(&number) { Ok(number) } else { Err(LATENCY) }
    }
}

const LATENCY: Fault = Fault::Value("milliseconds from 0 to 2592000000 (30 days) are needed");

/// A function name of a backtrace.
#[derive(Clone, Copy)]
pub(super) struct Frame;

impl<'de> Item<'de> for Frame {
    type Out = Cow<'de, str>;
    const LIST: &'static str = "an array of texts";

    fn next<A: SeqAccess<'de>>(self, list: &mut Items<'_, '_, A>) -> Result<Option<Self::Out>, A::Error> {
        list.leaf(FreeText)
    }
}

/// A query pair; an object of texts is taken as well.
#[derive(Clone, Copy)]
pub(super) struct QueryPair;

impl<'de> Item<'de> for QueryPair {
    type Out = (Cow<'de, str>, Cow<'de, str>);
    const LIST: &'static str = "an array of pairs of texts";
    const IS_OBJECT_TAKEN: bool = true;

    fn next<A: SeqAccess<'de>>(self, list: &mut Items<'_, '_, A>) -> Result<Option<Self::Out>, A::Error> {
        list.pair(FreeText)
    }

    fn take_entry(self, key: Cow<'de, str>, value: Cow<'de, str>, trace: &Trace) -> Result<Self::Out, Fault> {
        Ok((FreeText.text(key, trace)?, FreeText.text(value, trace)?))
    }
}

/// A scope. A text is a list at spaces and commas (OAuth, GitHub); the texts of an array are whole, since Cloudflare's
/// permission names have spaces in them.
#[derive(Clone, Copy)]
pub(super) struct Scope;

impl<'de> Item<'de> for Scope {
    type Out = Cow<'de, str>;
    const LIST: &'static str = "a text or an array of texts";

    fn next<A: SeqAccess<'de>>(self, list: &mut Items<'_, '_, A>) -> Result<Option<Self::Out>, A::Error> {
        list.leaf(FreeText)
    }

    fn take_text(self, text: Cow<'de, str>, trace: &Trace) -> Result<Vec<Self::Out>, Fault> {
        let is_separator = |c: char| c == ',' || c.is_ascii_whitespace();
        let mut scopes: Vec<Self::Out> = match FreeText.text(text, trace)? {
            Cow::Borrowed(text) => {
                text.split(is_separator).filter(|scope| !scope.is_empty()).take(SCOPES_MAX + 1).map(Cow::from).collect()
            }
            Cow::Owned(text) => text
                .split(is_separator)
                .filter(|scope| !scope.is_empty())
                .take(SCOPES_MAX + 1)
                .map(|scope| Cow::from(scope.to_owned()))
                .collect(),
        };
        if scopes.len() > SCOPES_MAX {
            scopes.truncate(SCOPES_MAX);
            trace.note_cut();
        }
        Ok(scopes)
    }
}

/// A kind of side effect and how often it happened before the panic; once, where the producer does not count.
#[derive(Clone, Copy)]
pub(super) struct SideEffect;

impl<'de> Item<'de> for SideEffect {
    type Out = (Cow<'de, str>, u64);
    const LIST: &'static str = "an array of objects";

    fn next<A: SeqAccess<'de>>(self, list: &mut Items<'_, '_, A>) -> Result<Option<Self::Out>, A::Error> {
        let mut effect = SideEffectWire::default();
        if !list.object(&mut effect)? {
            return Ok(None);
        }
        match effect.kind {
            Some(kind) => Ok(Some((kind, effect.count.unwrap_or(1)))),
            None => Err(list.refuse(Reason::MissingKey, "an object with the key kind is needed")),
        }
    }
}

/// A side effect as it stands on the wire.
#[derive(Default)]
pub(super) struct SideEffectWire<'a> {
    /// What was changed.
    pub(super) kind: Option<Cow<'a, str>>,
    /// How often.
    pub(super) count: Option<u64>,
}
