//! The smallest value that satisfies a JSON schema, made from a word so that it can be recognised.
//! Pure. Covers what providers allow in structured output: types, enums, const, anyOf, $ref, ranges, lengths, formats.

use serde_json::{Map, Value, json};

/// Deepest nesting followed; beyond it optional fields and items are left out and the rest is null.
const DEEPEST: usize = 24;

/// The smallest instance of `schema`; free strings are `word`.
#[must_use]
pub fn instance(schema: &Value, word: &str) -> Value {
    Maker { root: schema, word }.make(schema, 0)
}

struct Maker<'a> {
    root: &'a Value,
    word: &'a str,
}

impl Maker<'_> {
    fn make(&self, schema: &Value, depth: usize) -> Value {
        if depth > DEEPEST {
            return Value::Null;
        }
        if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
            let pointer = target.trim_start_matches('#');
            return self.root.pointer(pointer).map_or(Value::Null, |found| self.make(found, depth + 1));
        }
        if let Some(fixed) = schema.get("const") {
            return fixed.clone();
        }
        if let Some(first) = schema.get("enum").and_then(Value::as_array).and_then(|items| items.first()) {
            return first.clone();
        }
        for key in ["anyOf", "oneOf"] {
            if let Some(first) = schema.get(key).and_then(Value::as_array).and_then(|items| items.first()) {
                return self.make(first, depth + 1);
            }
        }
        if let Some(parts) = schema.get("allOf").and_then(Value::as_array) {
            return self.all_of(parts, depth);
        }
        let kind = match schema.get("type") {
            Some(Value::String(kind)) => kind.as_str(),
            Some(Value::Array(kinds)) => kinds.first().and_then(Value::as_str).unwrap_or("null"),
            _ if schema.get("properties").is_some() => "object",
            _ => "string",
        };
        match kind {
            "object" => self.object(schema, depth),
            "array" => self.array(schema, depth),
            "integer" => json!(number(schema).ceil()).as_f64().map_or(Value::Null, whole),
            "number" => json!(number(schema)),
            "boolean" => Value::Bool(true),
            "null" => Value::Null,
            _ => Value::String(self.text(schema)),
        }
    }

    fn all_of(&self, parts: &[Value], depth: usize) -> Value {
        let mut merged = Map::new();
        for part in parts {
            match self.make(part, depth + 1) {
                Value::Object(fields) => merged.extend(fields),
                other => return other,
            }
        }
        Value::Object(merged)
    }

    fn object(&self, schema: &Value, depth: usize) -> Value {
        let mut out = Map::new();
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return Value::Object(out) };
        let required = schema.get("required").and_then(Value::as_array);
        for (name, inner) in properties {
            if required.is_some_and(|names| names.iter().any(|known| known == name)) {
                out.insert(name.clone(), self.make(inner, depth + 1));
            }
        }
        Value::Object(out)
    }

    fn array(&self, schema: &Value, depth: usize) -> Value {
        let least = schema.get("minItems").and_then(Value::as_u64).unwrap_or(1);
        let Some(items) = schema.get("items") else { return Value::Array(Vec::new()) };
        // One item by default, so that a client sees what items look like; none where nesting would not end.
        let count =
            if depth >= DEEPEST / 2 { schema.get("minItems").and_then(Value::as_u64).unwrap_or(0) } else { least };
        Value::Array((0..count.min(64)).map(|_| self.make(items, depth + 1)).collect())
    }

    fn text(&self, schema: &Value) -> String {
        match schema.get("format").and_then(Value::as_str) {
            Some("date-time") => return "2026-01-02T03:04:05Z".to_owned(),
            Some("date") => return "2026-01-02".to_owned(),
            Some("time") => return "03:04:05Z".to_owned(),
            Some("duration") => return "PT1S".to_owned(),
            Some("email") => return format!("{}@example.com", self.word),
            Some("hostname") => return "example.com".to_owned(),
            Some("ipv4") => return "192.0.2.1".to_owned(),
            Some("ipv6") => return "2001:db8::1".to_owned(),
            Some("uuid") => return "00000000-0000-4000-8000-000000000000".to_owned(),
            Some("uri") => return format!("https://example.com/{}", self.word),
            _ => {}
        }
        let size = |key: &str| schema.get(key).and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok());
        let mut text = self.word.to_owned();
        while text.chars().count() < size("minLength").unwrap_or(0) {
            text.push('x');
        }
        match size("maxLength") {
            Some(most) => text.chars().take(most).collect(),
            None => text,
        }
    }
}

fn number(schema: &Value) -> f64 {
    let at = |key: &str| schema.get(key).and_then(Value::as_f64);
    let step = at("multipleOf").unwrap_or(1.0);
    let least = at("minimum").or_else(|| at("exclusiveMinimum").map(|bound| bound + step));
    let most = at("maximum").or_else(|| at("exclusiveMaximum").map(|bound| bound - step));
    let wanted = least.or(most.map(|bound| bound.min(1.0))).unwrap_or(1.0);
    if schema.get("multipleOf").is_some() { (wanted / step).ceil() * step } else { wanted }
}

fn whole(number: f64) -> Value {
    #[expect(clippy::cast_possible_truncation, reason = "already whole; schemas of tests hold small numbers")]
    let number = number as i64;
    json!(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_satisfy_their_schemas() {
        let schema = json!({
            "type": "object", "required": ["name", "age", "tags", "kind", "next"], "additionalProperties": false,
            "properties": {
                "name": {"type": "string", "minLength": 8}, "age": {"type": "integer", "minimum": 3},
                "tags": {"type": "array", "items": {"type": "string", "maxLength": 2}, "minItems": 2},
                "kind": {"enum": ["a", "b"]}, "next": {"anyOf": [{"$ref": "#/$defs/leaf"}, {"type": "null"}]},
                "left": {"type": "string"}
            },
            "$defs": {"leaf": {"type": "object", "required": ["ok"], "properties": {"ok": {"type": "boolean"}}}}
        });
        let made = instance(&schema, "word");
        assert_eq!(
            made,
            json!({"name": "wordxxxx", "age": 3, "tags": ["wo", "wo"], "kind": "a", "next": {"ok": true}})
        );
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        let schema = json!({"type": "object", "required": ["next"], "properties": {"next": {"$ref": "#"}}});
        assert!(instance(&schema, "w").is_object());
    }
}
