//! admin.md and admin.openapi.json: the operations of the admin API, from its own document.

use super::markdown::{Markdown, code, sentence};
use crate::admin;
use serde_json::Value;

const ABOUT: &str = "\
The admin API listens on an address of its own (`[admin] listen`), never on the one for clients. It wants a key made by
`autarky keys admin NAME`, as `Authorization: Bearer ak-admin-…` or `x-api-key`; one made with `--read-only` opens what is
read. As long as no such key was ever made, this machine itself (loopback) may read and nobody may write. Bodies and answers are
JSON. An error has a stable code, words, and often a hint: `{\"error\": {\"code\": …, \"message\": …, \"hint\": …}}`. The whole
contract is [admin.openapi.json](admin.openapi.json) (OpenAPI 3.1), served as `GET /admin/openapi.json`.";

/// The document itself.
pub(super) fn document() -> String {
    format!("{:#}\n", admin::document())
}

/// The page.
pub(super) fn page() -> String {
    let document = admin::document();
    let mut page = Markdown::new("Admin API", ABOUT);
    let mut all: Vec<[String; 2]> = Vec::new();
    for (path, methods) in document["paths"].as_object().into_iter().flatten() {
        for (method, operation) in methods.as_object().into_iter().flatten() {
            let names = operation["parameters"].as_array().into_iter().flatten();
            let query = names.filter(|one| one["in"] == "query").filter_map(|one| one["name"].as_str());
            let query: Vec<String> = query.map(code).collect();
            let mut what = sentence(operation["summary"].as_str().unwrap_or_default());
            if !query.is_empty() {
                what.push_str(&format!(" Query: {}.", query.join(", ")));
            }
            if let Some(body) = body(&document, operation) {
                what.push_str(&format!(" Body: {body}."));
            }
            all.push([code(&format!("{} {path}", method.to_uppercase())), what]);
        }
    }
    page.table(["operation", "what it does"], &all);
    page.finish()
}

/// The fields of an operation's body.
fn body(document: &Value, operation: &Value) -> Option<String> {
    let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
    let schema = match schema["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#'))?,
        None => schema,
    };
    let names: Vec<String> = schema["properties"].as_object()?.keys().map(|name| code(name)).collect();
    Some(names.join(", "))
}
