//! config.md and config.schema.json: every key of the configuration, from the schema that its types describe.

use super::markdown::{Markdown, code, sentence};
use crate::config::file::ConfigFile;
use serde_json::{Map, Value};

const ABOUT: &str = "\
One TOML file. `autarky serve` writes a commented one when there is none, reads it again on every change, and refuses one
with errors while the running one stays; `autarky check` tells every problem with its line and what to do. Unknown keys are
errors. Keys of providers are never written into the file, only references to them: `env:NAME` or `file:/path`. Editors
that know JSON schema can use [config.schema.json](config.schema.json).";

/// The schema itself.
pub(super) fn schema() -> String {
    format!("{:#}\n", schemars::schema_for!(ConfigFile).to_value())
}

/// The page.
pub(super) fn page() -> String {
    let root = schemars::schema_for!(ConfigFile).to_value();
    let mut writer = Writer { root: &root, page: Markdown::new("Configuration", ABOUT) };
    for (name, field) in properties(&root).into_iter().flatten() {
        match writer.table_of(field) {
            Some((table, true)) => writer.section(&format!("{name}.NAME"), field, table),
            Some((table, false)) => writer.section(name, field, table),
            None => {}
        }
    }
    writer.page.finish()
}

struct Writer<'a> {
    root: &'a Value,
    page: Markdown,
}

impl<'a> Writer<'a> {
    /// The table `[path]` and those inside it.
    fn section(&mut self, path: &str, field: &Value, table: &'a Value) {
        self.page.heading(2, &code(&format!("[{path}]")));
        let texts = [field, table].map(|schema| schema["description"].as_str().unwrap_or_default());
        self.page.paragraph(&sentence(texts.into_iter().max_by_key(|text| text.len()).unwrap_or_default()));
        let required: Vec<&str> =
            table["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let mut rows = Vec::new();
        let mut inner = Vec::new();
        for (name, field) in properties(table).into_iter().flatten() {
            let default =
                if required.contains(&name.as_str()) { "required".to_owned() } else { default(&field["default"]) };
            let mut meaning = sentence(field["description"].as_str().unwrap_or_default());
            let kind = match self.table_of(field) {
                Some((table, many)) => {
                    let path = format!("{path}.{name}{}", if many { ".NAME" } else { "" });
                    let link = format!("[table](#{})", anchor(&path));
                    inner.push((path, field, table));
                    link
                }
                None => self.kind(field),
            };
            for (word, text) in self.words(field) {
                if text.is_empty() && meaning.contains(&format!("`\"{word}\"`")) {
                    continue;
                }
                meaning
                    .push_str(&format!("<br>`\"{word}\"`{}", if text.is_empty() { text } else { format!(": {text}") }));
            }
            rows.push([code(name), kind, default, meaning]);
        }
        self.page.table(["key", "type", "default", "meaning"], &rows);
        for (path, field, table) in inner {
            self.section(&path, field, table);
        }
    }

    /// The table with keys of its own that `field` holds, and whether it holds many under names of the user's.
    fn table_of(&self, field: &'a Value) -> Option<(&'a Value, bool)> {
        let field = self.resolve(field);
        let values = &field["additionalProperties"];
        if properties(field).is_some() {
            Some((field, false))
        } else if values.is_object() && properties(self.resolve(values)).is_some() {
            Some((self.resolve(values), true))
        } else {
            None
        }
    }

    /// What a value of `schema` is written as.
    fn kind(&self, schema: &'a Value) -> String {
        let schema = self.resolve(schema);
        if let Some(list) = schema["anyOf"].as_array() {
            return list.iter().map(|one| self.kind(one)).collect::<Vec<_>>().join(" or ");
        }
        let kind = match &schema["type"] {
            Value::Array(list) => list.iter().find_map(|one| one.as_str().filter(|one| *one != "null")),
            one => one.as_str(),
        };
        match kind {
            Some("string") if schema["enum"].is_array() => "word".to_owned(),
            Some("string") => "text".to_owned(),
            None if schema["oneOf"].is_array() => "word".to_owned(),
            Some("integer") => "whole number".to_owned(),
            Some("number") => "number".to_owned(),
            Some("boolean") => "`true` or `false`".to_owned(),
            Some("array") if schema["items"].is_object() => format!("list of {}", plural(&self.kind(&schema["items"]))),
            Some("object") if schema["additionalProperties"].is_object() => {
                format!("table of {} by name", plural(&self.kind(&schema["additionalProperties"])))
            }
            Some("object") => match properties(schema) {
                Some(keys) => format!("table of {}", keys.keys().map(|key| code(key)).collect::<Vec<_>>().join(", ")),
                None => "table".to_owned(),
            },
            _ => "any".to_owned(),
        }
    }

    /// The words that a value of `schema` may be, or may be a list of, each with its meaning.
    fn words(&self, schema: &'a Value) -> Vec<(&'a str, String)> {
        let schema = self.resolve(schema);
        let mut words = Vec::new();
        for word in schema["enum"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            words.push((word, String::new()));
        }
        for list in [&schema["oneOf"], &schema["anyOf"]] {
            for one in list.as_array().into_iter().flatten() {
                match one["const"].as_str() {
                    Some(word) => words.push((word, sentence(one["description"].as_str().unwrap_or_default()))),
                    None => words.extend(self.words(one)),
                }
            }
        }
        if schema["items"].is_object() {
            words.extend(self.words(&schema["items"]));
        }
        words
    }

    /// What `schema` means once references are followed and a possible absence is left out.
    fn resolve(&self, schema: &'a Value) -> &'a Value {
        if let Some(target) = schema["$ref"].as_str().and_then(|path| self.root.pointer(path.trim_start_matches('#'))) {
            return self.resolve(target);
        }
        let present: Vec<&Value> =
            schema["anyOf"].as_array().into_iter().flatten().filter(|one| one["type"] != "null").collect();
        match present.as_slice() {
            [one] => self.resolve(one),
            _ => schema,
        }
    }
}

fn properties(schema: &Value) -> Option<&Map<String, Value>> {
    schema["properties"].as_object()
}

fn default(value: &Value) -> String {
    match value {
        Value::Null | Value::Object(_) => String::new(),
        value => code(&value.to_string().replace("\",\"", "\", \"")),
    }
}

fn plural(kind: &str) -> String {
    match kind {
        "text" => "texts".to_owned(),
        "word" => "words".to_owned(),
        "number" => "numbers".to_owned(),
        "whole number" => "whole numbers".to_owned(),
        other => other.to_owned(),
    }
}

/// The anchor that Markdown makes of the heading `[path]`.
fn anchor(path: &str) -> String {
    path.chars().filter(|c| c.is_alphanumeric() || matches!(c, '_' | '-')).collect::<String>().to_lowercase()
}
