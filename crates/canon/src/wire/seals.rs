//! Opaque blocks inside bytes that nobody else reads: found by the keys under which a wire writes them. Bytes that
//! hold none of the keys cost one search each.

use crate::Extras;
use serde_json::Value;

/// Whether `body` holds one of `keys`, which stand in their quotes: words that merely mention one have theirs escaped.
pub(super) fn mentions(body: &[u8], keys: &[&str]) -> bool {
    keys.iter().any(|key| memchr::memmem::find(body, key.as_bytes()).is_some())
}

/// What `read` finds in each object of `body`, however deep; nothing is parsed where none of `keys` is there.
pub(super) fn find(body: &[u8], keys: &[&str], read: impl Fn(&Extras) -> Option<&str>) -> Vec<String> {
    let mut found = Vec::new();
    if mentions(body, keys)
        && let Ok(tree) = serde_json::from_slice(body)
    {
        walk(&tree, &read, &mut found);
    }
    found
}

fn walk(value: &Value, read: &impl Fn(&Extras) -> Option<&str>, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            found.extend(read(fields).filter(|seal| !seal.is_empty()).map(str::to_owned));
            fields.values().for_each(|inner| walk(inner, read, found));
        }
        Value::Array(items) => items.iter().for_each(|inner| walk(inner, read, found)),
        _ => {}
    }
}

/// The string under `key`.
pub(super) fn text<'a>(fields: &'a Extras, key: &str) -> Option<&'a str> {
    fields.get(key)?.as_str()
}
