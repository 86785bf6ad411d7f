//! The wire's older schema form (a subset of OpenAPI 3.0: types in capitals, `nullable`) as JSON schema, which every
//! other wire speaks.

use super::names::camel;
use crate::Extras;
use serde_json::{Value, json};

/// `schema` as JSON schema.
pub(super) fn to_json_schema(schema: Value) -> Value {
    let Value::Object(map) = schema else { return schema };
    let mut out = Extras::new();
    let (mut nullable, mut order) = (false, Vec::new());
    for (key, value) in map {
        let key = camel(&key);
        match (key.as_str(), value) {
            ("type", Value::String(word)) => {
                if !word.eq_ignore_ascii_case("TYPE_UNSPECIFIED") {
                    out.insert(key, word.to_ascii_lowercase().into());
                }
            }
            ("nullable", Value::Bool(flag)) => nullable = flag,
            ("propertyOrdering", Value::Array(names)) => order = names,
            ("properties", Value::Object(map)) => {
                out.insert(key, Value::Object(each(map)));
            }
            ("defs" | "$defs", Value::Object(map)) => {
                out.insert("$defs".to_owned(), Value::Object(each(map)));
            }
            ("ref", value) => {
                out.insert("$ref".to_owned(), value);
            }
            ("items" | "additionalProperties", value) => {
                out.insert(key, to_json_schema(value));
            }
            ("anyOf", Value::Array(items)) => {
                out.insert(key, Value::Array(items.into_iter().map(to_json_schema).collect()));
            }
            ("example", value) => {
                out.insert("examples".to_owned(), json!([value]));
            }
            // Words of the wire that JSON schema's `format` does not know; the type says as much.
            ("format", Value::String(word))
                if matches!(word.as_str(), "enum" | "int32" | "int64" | "float" | "double") => {}
            (name, Value::String(digits)) if name.starts_with("min") || name.starts_with("max") => {
                // 64-bit numbers are strings in protobuf JSON.
                out.insert(key, digits.parse::<u64>().map_or(Value::String(digits), Value::from));
            }
            (_, value) => {
                out.insert(key, value);
            }
        }
    }
    if !order.is_empty() {
        sort(&mut out, &order);
    }
    if nullable {
        allow_null(&mut out);
    }
    Value::Object(out)
}

fn each(map: Extras) -> Extras {
    map.into_iter().map(|(name, schema)| (name, to_json_schema(schema))).collect()
}

/// Puts the properties in the order in which the model is to write them.
fn sort(schema: &mut Extras, order: &[Value]) {
    let Some(Value::Object(properties)) = schema.get_mut("properties") else { return };
    let mut rest = std::mem::take(properties);
    for name in order.iter().filter_map(Value::as_str) {
        if let Some(value) = rest.shift_remove(name) {
            properties.insert(name.to_owned(), value);
        }
    }
    properties.extend(rest);
}

fn allow_null(schema: &mut Extras) {
    if let Some(kind @ Value::String(_)) = schema.get("type").cloned() {
        schema.insert("type".to_owned(), json!([kind, "null"]));
    } else if let Some(Value::Array(items)) = schema.get_mut("anyOf") {
        items.push(json!({"type": "null"}));
    }
    if let Some(Value::Array(items)) = schema.get_mut("enum")
        && !items.contains(&Value::Null)
    {
        items.push(Value::Null);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openapi_becomes_json_schema() {
        let theirs = json!({
            "type": "OBJECT", "property_ordering": ["b", "a"], "required": ["b"],
            "properties": {
                "a": {"type": "STRING", "nullable": true, "format": "enum", "enum": ["x"]},
                "b": {"type": "ARRAY", "items": {"type": "INTEGER", "format": "int32"}, "max_items": "3"},
                "max_items": {"anyOf": [{"type": "NUMBER"}], "nullable": true},
            },
        });
        let ours = to_json_schema(theirs);
        assert_eq!(
            ours,
            json!({
                "type": "object", "required": ["b"],
                "properties": {
                    "b": {"type": "array", "items": {"type": "integer"}, "maxItems": 3},
                    "a": {"type": ["string", "null"], "enum": ["x", null]},
                    "max_items": {"anyOf": [{"type": "number"}, {"type": "null"}]},
                },
            })
        );
        let names: Vec<&String> = ours["properties"].as_object().expect("object").keys().collect();
        assert_eq!(names, ["b", "a", "max_items"]);
    }
}
