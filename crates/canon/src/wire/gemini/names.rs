//! Names of fields: the wire writes `camelCase` and reads `snake_case` too, as every protobuf JSON does. Only known
//! fields are renamed; what we do not know stays as it was spelled.

use crate::Extras;
use crate::fields::{BadField, Fields};
use serde_json::Value;

/// Reads `value` at `path` as an object whose `known` fields may come in either spelling.
pub(super) fn read(value: Value, path: impl Into<String>, known: &[&str]) -> Result<Fields, BadField> {
    Fields::of(respell(value, known), path)
}

/// Takes the object under `key`, whose `known` fields may come in either spelling.
pub(super) fn object(fields: &mut Fields, key: &str, known: &[&str]) -> Result<Option<Fields>, BadField> {
    let path = fields.path_of(key);
    fields.take(key).map(|value| read(value, path, known)).transpose()
}

fn respell(value: Value, known: &[&str]) -> Value {
    match value {
        Value::Object(map) if map.keys().any(|key| key.contains('_')) => {
            let taken: Vec<String> = map.keys().filter(|key| !key.contains('_')).cloned().collect();
            let respelled = map.into_iter().map(|(key, value)| {
                let camel = camel(&key);
                if known.contains(&camel.as_str()) && !taken.contains(&camel) { (camel, value) } else { (key, value) }
            });
            Value::Object(respelled.collect::<Extras>())
        }
        other => other,
    }
}

/// `snake_case` as `camelCase`.
pub(super) fn camel(key: &str) -> String {
    let mut out = String::with_capacity(key.len());
    let mut up = false;
    for letter in key.chars() {
        if letter == '_' && !out.is_empty() {
            up = true;
        } else if up {
            out.push(letter.to_ascii_uppercase());
            up = false;
        } else {
            out.push(letter);
        }
    }
    out
}
