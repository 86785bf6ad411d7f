//! JSON schemas for wires whose structured output demands closed objects and knows only a part of JSON Schema, and
//! what stands in for a JSON mode where a wire has none.

use super::writer::Writer;
use crate::Extras;
use serde_json::Value;

/// The instruction that stands in for a JSON mode.
pub(super) const JSON_MODE: &str = "Answer with one JSON object and nothing else: no prose, no code fence.";

/// Keywords that such wires refuse; their meaning moves into the description, where the model may heed it.
const REFUSED: [&str; 14] = [
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
    "patternProperties",
    "propertyNames",
];

/// Closes every object of `schema` and moves what is refused; whether anything changed.
pub(super) fn close(schema: &mut Value) -> bool {
    let Value::Object(map) = schema else { return false };
    let mut changed = false;
    if is_object(map) && map.get("additionalProperties") != Some(&Value::Bool(false)) {
        map.insert("additionalProperties".to_owned(), false.into());
        changed = true;
    }
    let mut moved = Extras::new();
    for key in REFUSED {
        if let Some(value) = map.shift_remove(key) {
            moved.insert(key.to_owned(), value);
        }
    }
    // Fewer than two items can be demanded.
    if map.get("minItems").and_then(Value::as_u64).is_some_and(|least| least > 1)
        && let Some(value) = map.shift_remove("minItems")
    {
        moved.insert("minItems".to_owned(), value);
    }
    if !moved.is_empty() {
        let note = Value::Object(moved).to_string();
        let text = match map.get("description").and_then(Value::as_str) {
            Some(text) => format!("{text}\n{note}"),
            None => note,
        };
        map.insert("description".to_owned(), text.into());
        changed = true;
    }
    for (key, value) in map.iter_mut() {
        changed |= match key.as_str() {
            "properties" | "$defs" | "definitions" => close_each(value),
            "anyOf" | "oneOf" | "allOf" | "prefixItems" => close_list(value),
            "items" | "not" => close(value),
            _ => false,
        };
    }
    changed
}

/// Whether every object of `schema` is closed, and with `complete` every property required: what wires demand of a
/// schema that is to be kept strictly.
pub(super) fn is_closed(schema: &Value, complete: bool) -> bool {
    let Value::Object(map) = schema else { return true };
    let open = is_object(map) && map.get("additionalProperties") != Some(&Value::Bool(false));
    let properties = map.get("properties").and_then(Value::as_object);
    let required = map.get("required").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let lacks = |name: &String| !required.iter().any(|known| known == name);
    if open || (complete && properties.is_some_and(|properties| properties.keys().any(lacks))) {
        return false;
    }
    map.iter().all(|(key, value)| match key.as_str() {
        "properties" | "$defs" | "definitions" => {
            value.as_object().is_none_or(|parts| parts.values().all(|part| is_closed(part, complete)))
        }
        "anyOf" | "oneOf" | "allOf" | "prefixItems" => {
            value.as_array().is_none_or(|parts| parts.iter().all(|part| is_closed(part, complete)))
        }
        "items" | "not" => is_closed(value, complete),
        _ => true,
    })
}

/// Whether a tool's arguments are to match `schema` exactly, as a wire may say it that demands closed schemas for that: of
/// a schema from abroad that is none, it is not said, and that is named.
pub(super) fn strictness(
    strict: Option<bool>,
    schema: Option<&Value>,
    complete: bool,
    path: &str,
    pen: &mut Writer,
) -> Option<bool> {
    if pen.home || strict != Some(true) || schema.is_some_and(|schema| is_closed(schema, complete)) {
        return strict;
    }
    pen.weaken(format!("{path}.strict"));
    None
}

/// Puts name and description, for which a wire has no field, into the schema: it may name itself.
pub(super) fn name_itself(schema: &mut Value, name: Option<&str>, description: Option<&str>, pen: &mut Writer) {
    for (key, field, words) in [("title", "name", name), ("description", "description", description)] {
        let (Some(words), Value::Object(map)) = (words, &mut *schema) else { continue };
        match map.get(key) {
            None => {
                map.insert(key.to_owned(), words.into());
            }
            Some(own) if own == words => {}
            Some(_) => pen.drop(format!("response_format.{field}")),
        }
    }
}

fn is_object(map: &Extras) -> bool {
    match map.get("type") {
        Some(Value::String(kind)) => kind == "object",
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "object"),
        _ => map.contains_key("properties"),
    }
}

fn close_each(value: &mut Value) -> bool {
    let Value::Object(map) = value else { return false };
    map.values_mut().fold(false, |changed, schema| close(schema) | changed)
}

fn close_list(value: &mut Value) -> bool {
    let Value::Array(list) = value else { return false };
    list.iter_mut().fold(false, |changed, schema| close(schema) | changed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_closed_schema_stays_as_it_is() {
        let mut schema = json!({
            "type": "object",
            "properties": {"minimum": {"type": "string"}, "n": {"type": "array", "items": {"type": "integer"}, "minItems": 1}},
            "required": ["n"],
            "additionalProperties": false,
        });
        let before = schema.clone();
        assert!(is_closed(&schema, false) && !is_closed(&schema, true));
        assert!(!close(&mut schema));
        assert_eq!(schema, before);
    }

    #[test]
    fn objects_close_everywhere_and_limits_become_words() {
        let mut schema = json!({
            "type": "object",
            "properties": {"age": {"type": "integer", "minimum": 0, "description": "Years."}},
            "$defs": {"P": {"properties": {}}},
            "anyOf": [{"type": ["object", "null"], "additionalProperties": true}],
        });
        assert!(!is_closed(&schema, false));
        assert!(close(&mut schema));
        assert!(is_closed(&schema, false));
        assert_eq!(schema["additionalProperties"], false);
        assert_eq!(schema["$defs"]["P"]["additionalProperties"], false);
        assert_eq!(schema["anyOf"][0]["additionalProperties"], false);
        assert_eq!(schema["properties"]["age"], json!({"type": "integer", "description": "Years.\n{\"minimum\":0}"}));
    }
}
