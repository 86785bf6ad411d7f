//! `prefer`: one word or a table of weights. Read by hand, so that an error names what was expected.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;

/// What to prefer among deployments that all rules allow.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Prefer {
    /// The order in which they are written.
    #[default]
    Order,
    /// A weighting of cost, quality and latency; `cost` alone is the weight 1 for cost.
    Weighted(Weights),
}

/// Weights of the three measures. They need not sum to 1.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Weights {
    /// Weight of a low expected cost.
    pub cost: f64,
    /// Weight of a high quality.
    pub quality: f64,
    /// Weight of a short time to the first token.
    pub latency: f64,
}

impl Weights {
    const COST: Self = Self { cost: 1.0, quality: 0.0, latency: 0.0 };
    const QUALITY: Self = Self { cost: 0.0, quality: 1.0, latency: 0.0 };
    const LATENCY: Self = Self { cost: 0.0, quality: 0.0, latency: 1.0 };

    /// Whether every weight is a number, none is negative and at least one counts.
    #[must_use]
    pub fn usable(&self) -> bool {
        let all = [self.cost, self.quality, self.latency];
        all.iter().all(|w| w.is_finite() && *w >= 0.0) && all.iter().any(|w| *w > 0.0)
    }
}

impl Prefer {
    /// Only cost counts.
    pub const COST: Self = Self::Weighted(Weights::COST);
    /// Only quality counts.
    pub const QUALITY: Self = Self::Weighted(Weights::QUALITY);
    /// Only latency counts.
    pub const LATENCY: Self = Self::Weighted(Weights::LATENCY);

    /// The word for it: `weights` where several measures count.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::COST => "cost",
            Self::QUALITY => "quality",
            Self::LATENCY => "latency",
            Self::Weighted(_) => "weights",
        }
    }
}

impl Serialize for Prefer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Weighted(weights) if self.name() == "weights" => weights.serialize(serializer),
            _ => serializer.serialize_str(self.name()),
        }
    }
}

impl<'de> Deserialize<'de> for Prefer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordOrTable;

        impl<'de> Visitor<'de> for WordOrTable {
            type Value = Prefer;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`order`, `cost`, `quality`, `latency` or weights such as { cost = 0.7, quality = 0.3 }")
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<Prefer, E> {
                match word {
                    "order" => Ok(Prefer::Order),
                    "cost" => Ok(Prefer::COST),
                    "quality" => Ok(Prefer::QUALITY),
                    "latency" => Ok(Prefer::LATENCY),
                    _ => Err(E::invalid_value(de::Unexpected::Str(word), &self)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Prefer, A::Error> {
                Weights::deserialize(MapAccessDeserializer::new(map)).map(Prefer::Weighted)
            }
        }

        deserializer.deserialize_any(WordOrTable)
    }
}

impl JsonSchema for Prefer {
    fn schema_name() -> Cow<'static, str> {
        "Prefer".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let weights = generator.subschema_for::<Weights>();
        json_schema!({
            "description": "What to prefer among deployments that all rules allow.",
            "anyOf": [{ "type": "string", "enum": ["order", "cost", "quality", "latency"] }, weights],
        })
    }
}
