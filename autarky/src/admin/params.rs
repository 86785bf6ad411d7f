//! What a path and a query say, read into a struct: text becomes what the field wants to be. Unknown names are refused,
//! and so is one that is said twice.

use ledger::named::Named;
use percent_encoding::percent_decode_str;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::{Error, MapDeserializer};
use serde::de::{DeserializeOwned, Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;
use std::borrow::Cow;

/// One of the ledger's own words.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Word<T>(pub(super) T);

impl<T: Named> JsonSchema for Word<T> {
    fn schema_name() -> Cow<'static, str> {
        T::WHAT.into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names: Vec<&str> = T::MEMBERS.iter().map(|member| member.name()).collect();
        json_schema!({"type": "string", "enum": names})
    }

    fn inline_schema() -> bool {
        true
    }
}

/// Names and what is said of each, decoded.
pub(super) type Pairs = Vec<(String, String)>;

/// The pairs of a query.
pub(super) fn of_query(query: &str) -> Result<Pairs, String> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decoded(&name.replace('+', " "))?, decoded(&value.replace('+', " "))?))
        })
        .collect()
}

/// `text` with its `%` signs read.
pub(super) fn decoded(text: &str) -> Result<String, String> {
    let text = percent_decode_str(text).decode_utf8().map_err(|_| "the path or the query is no UTF-8".to_owned())?;
    Ok(text.into_owned())
}

/// The struct that `pairs` say.
pub(super) fn read<T: DeserializeOwned>(pairs: &Pairs) -> Result<T, String> {
    let parts = pairs.iter().map(|(name, text)| (name.as_str(), Part(name, text)));
    T::deserialize(MapDeserializer::new(parts)).map_err(|error: Error| error.to_string())
}

/// One value, not yet known to be of which kind.
struct Part<'a>(&'a str, &'a str);

impl<'de> IntoDeserializer<'de, Error> for Part<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl Part<'_> {
    fn parse<T: std::str::FromStr>(&self, wanted: &str) -> Result<T, Error> {
        let wrong = || serde::de::Error::custom(format!("`{}` is to be {wanted}, not `{}`", self.0, self.1));
        self.1.parse().map_err(|_| wrong())
    }
}

impl<'de> Deserializer<'de> for Part<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_borrowed_str(self.1)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_bool(self.parse("`true` or `false`")?)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_u32(self.parse("a whole number")?)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.1.into_deserializer().deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 u8 u16 u64 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map
        struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Said {
        id: String,
        limit: Option<u32>,
        #[serde(default)]
        all: bool,
    }

    fn said(query: &str) -> Result<Said, String> {
        read(&of_query(query)?)
    }

    #[test]
    fn text_becomes_what_the_field_wants() {
        assert_eq!(said("id=a+b%2Fc&limit=7&all=true"), Ok(Said { id: "a b/c".into(), limit: Some(7), all: true }));
        assert_eq!(said("id=%F0%9F%94%8D"), Ok(Said { id: "\u{1f50d}".into(), limit: None, all: false }));
        for (query, word) in [
            ("limit=1", "missing field `id`"),
            ("id=a&limit=-1", "`limit` is to be a whole number, not `-1`"),
            ("id=a&all=yes", "`true` or `false`"),
            ("id=a&more=1", "unknown field `more`"),
            ("id=a&id=b", "duplicate field `id`"),
            ("id=%ff", "UTF-8"),
        ] {
            let error = said(query).expect_err(query);
            assert!(error.contains(word), "{query}: {error}");
        }
    }
}
