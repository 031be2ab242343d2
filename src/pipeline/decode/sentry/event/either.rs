//! Values of an event that come in two forms: exceptions as an object, an array or one alone; a body as a text or as
//! JSON; a query as a text or as pairs.

use std::borrow::Cow;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::super::super::loose::{List, Pairs, Value, mended, other_visits};
use super::super::super::url::{self, QueryPairs};
use super::{Exception, ExceptionObject};

/// The exceptions, oldest first.
#[derive(Debug, Default)]
pub(super) struct Exceptions<'a>(pub(super) List<Exception<'a>>);

struct ExceptionsVisitor;

impl<'de> Visitor<'de> for ExceptionsVisitor {
    type Value = Exceptions<'de>;

    other_visits!(Exceptions(List { is_wrong: true, ..List::default() }); text);

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        List::deserialize(SeqAccessDeserializer::new(list)).map(Exceptions)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        let object = ExceptionObject::deserialize(MapAccessDeserializer::new(map))?;
        let ExceptionObject { mut values, kind, value, mechanism, stacktrace, .. } = object;
        if value != Value::Nothing || kind != Value::Nothing {
            values.items.push(Exception { kind, value, mechanism, stacktrace, ..Exception::default() });
        }
        Ok(Exceptions(values))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Exceptions<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ExceptionsVisitor)
    }
}

/// A body: a text's content, or JSON as it stands.
#[derive(Debug, Default)]
pub(super) struct Body<'a>(pub(super) Option<Cow<'a, str>>);

impl<'de: 'a, 'a> Deserialize<'de> for Body<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&'de RawValue>::deserialize(deserializer)?.get();
        let text: Value<'de> = if raw.starts_with('"') {
            // The one thing that can be wrong with it is half of a surrogate pair.
            serde_json::from_str(raw)
                .or_else(|_| serde_json::from_str(&mended(raw)).map(Value::into_owned))
                .unwrap_or_default()
        } else if raw == "null" {
            Value::Nothing
        } else {
            Value::Text(Cow::Borrowed(raw))
        };
        Ok(Self(text.body()))
    }
}

/// A query.
#[derive(Debug, Default)]
pub(super) enum Query<'a> {
    /// None.
    #[default]
    Nothing,
    /// As it stands in a URL.
    Text(Cow<'a, str>),
    /// Decoded pairs.
    Pairs(Pairs<'a>),
}

impl<'a> Query<'a> {
    /// Its pairs, decoded.
    pub(super) fn pairs(&self) -> QueryPairs<'a> {
        match self {
            Self::Nothing => Vec::new(),
            Self::Text(text) => url::query(text),
            Self::Pairs(Pairs(pairs)) => {
                let pairs = pairs.iter().map(|(name, value)| (name.clone(), value.free_text().unwrap_or_default()));
                pairs.take(super::super::super::QUERY_PAIRS_MAX).collect()
            }
        }
    }
}

struct QueryVisitor;

impl<'de> Visitor<'de> for QueryVisitor {
    type Value = Query<'de>;

    other_visits!(Query::Nothing;);

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Query::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Query::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        Pairs::deserialize(SeqAccessDeserializer::new(list)).map(Query::Pairs)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        Pairs::deserialize(MapAccessDeserializer::new(map)).map(Query::Pairs)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Query<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(QueryVisitor)
    }
}
