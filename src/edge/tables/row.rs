//! Rows of address tables in every layout that vendors ship.
//!
//! Fields are read as whatever they are and understood afterwards: a field of an unexpected type (a number of another
//! width, a list) must not cost the row's other facts, as it would with a typed decoder.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A row of an ASN table.
#[derive(Debug, serde::Deserialize)]
pub(super) struct AsnRow<'a> {
    #[serde(borrow, default, rename = "autonomous_system_number")]
    flat_number: Field<'a>,
    #[serde(borrow, default, rename = "autonomous_system_organization")]
    flat_name: Field<'a>,
    #[serde(borrow, default)]
    asn: Field<'a>,
    #[serde(borrow, default)]
    as_name: Field<'a>,
    #[serde(borrow, default)]
    name: Field<'a>,
}

impl<'a> AsnRow<'a> {
    /// The AS number, also out of `AS64500` and `"64500"`; 0 is reserved (RFC 7607) and none.
    pub(super) fn number(&self) -> Option<u32> {
        let number = |field: &Field<'_>| match field {
            Field::Number(number) => u32::try_from(*number).ok(),
            Field::Text(text) => text.strip_prefix("AS").unwrap_or(text).parse().ok(),
            _ => None,
        };
        number(&self.flat_number).or_else(|| number(&self.asn)).filter(|number| *number != 0)
    }

    /// The organisation's name as it stands.
    pub(super) fn organisation(&self) -> Option<&'a str> {
        [&self.flat_name, &self.as_name, &self.name].into_iter().find_map(Field::text).filter(|name| !name.is_empty())
    }
}

/// A row of a country table.
#[derive(Debug, serde::Deserialize)]
pub(super) struct CountryRow<'a> {
    #[serde(borrow, default)]
    country: Field<'a>,
    #[serde(borrow, default)]
    country_code: Field<'a>,
}

impl CountryRow<'_> {
    /// ISO 3166 letters in upper case, if any of the fields holds two letters.
    pub(super) fn code(&self) -> Option<[u8; 2]> {
        let letters = |field: &Field<'_>| match field {
            Field::Text(text) | Field::IsoCode(text) => {
                let code: [u8; 2] = text.as_bytes().try_into().ok()?;
                code.iter().all(u8::is_ascii_alphabetic).then(|| code.map(|b| b.to_ascii_uppercase()))
            }
            _ => None,
        };
        letters(&self.country_code).or_else(|| letters(&self.country))
    }
}

/// A field of any type.
#[derive(Debug, Default)]
enum Field<'a> {
    /// Absent, or of a type that says nothing here.
    #[default]
    Other,
    Number(u64),
    Text(&'a str),
    /// `iso_code` of a map.
    IsoCode(&'a str),
}

impl<'a> Field<'a> {
    fn text(&self) -> Option<&'a str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Field<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyField)
    }
}

struct AnyField;

impl<'de> Visitor<'de> for AnyField {
    type Value = Field<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Field::Other)
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(u64::try_from(number).map_or(Field::Other, Field::Number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Field::Number(number))
    }

    fn visit_u128<E>(self, number: u128) -> Result<Self::Value, E> {
        Ok(u64::try_from(number).map_or(Field::Other, Field::Number))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Field::Other)
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Field::Text(text))
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(Field::Other)
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<Self::Value, E> {
        Ok(Field::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Field::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut field = Field::Other;
        while let Some(key) = map.next_key::<&str>()? {
            if key != "iso_code" {
                map.next_value::<IgnoredAny>()?;
            } else if let Scalar(Some(text)) = map.next_value()? {
                field = Field::IsoCode(text);
            }
        }
        Ok(field)
    }
}

/// A text, or `None` for anything else. Apart from [`Field`], so that maps within maps do not recurse through it.
struct Scalar<'a>(Option<&'a str>);

impl<'de: 'a, 'a> Deserialize<'de> for Scalar<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(ScalarText).map(Scalar)
    }
}

struct ScalarText;

impl<'de> Visitor<'de> for ScalarText {
    type Value = Option<&'de str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Some(text))
    }
}
