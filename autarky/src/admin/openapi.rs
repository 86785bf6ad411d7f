//! The OpenAPI document (3.1) of the admin API, written from the list of operations and the types they take and give.

use super::OPERATIONS;
use super::operation::{Refusal, Route};
use http::StatusCode;
use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

/// Where it is served, to everybody: it says nothing that the source does not.
pub(super) const PATH: &str = "/admin/openapi.json";

const ABOUT: &str = "Keys, usage, budgets, plans and reloads of autarky. It listens on an address of its own (`admin.listen`), never \
on the one for products. Errors have a stable `code`, words for people, and often a `hint` on what to do.";

/// What every operation may refuse with.
const COMMON: [(StatusCode, &str); 3] = [
    (StatusCode::BAD_REQUEST, "Something that was said cannot be understood."),
    (StatusCode::UNAUTHORIZED, "No key of the admin API, or one that is not good any more."),
    (StatusCode::FORBIDDEN, "The key may read only, or may not be used from this address."),
];

/// What those that take a body may refuse with besides.
const WITH_BODY: [(StatusCode, &str); 2] = [
    (StatusCode::PAYLOAD_TOO_LARGE, "The body is too large."),
    (StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body is not called JSON."),
];

/// The document.
pub(crate) fn document() -> Value {
    let read = SchemaSettings::draft2020_12().with(|settings| settings.definitions_path = "/components/schemas".into());
    // Written out where it is taken: a type that is also given may look different there, under the same name.
    let mut takes = read.clone().with(|settings| settings.inline_subschemas = true).for_deserialize().into_generator();
    let mut gives = read.for_serialize().into_generator();
    let refusal = gives.subschema_for::<Refusal>();
    let mut paths: Map<String, Value> = Map::new();
    for route in OPERATIONS {
        let operation = operation(route, &mut takes, &mut gives, &refusal);
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method.as_str().to_lowercase()] = operation;
    }
    let schemas = gives.take_definitions(true);
    json!({
        "openapi": "3.1.0",
        "info": {"title": "autarky admin API", "version": env!("CARGO_PKG_VERSION"), "description": ABOUT},
        "security": [{"key": []}, {}],
        "paths": paths,
        "components": {
            "securitySchemes": {"key": {
                "type": "http",
                "scheme": "bearer",
                "description": "A key of the admin API (`autarky keys admin NAME`). As long as none was ever made, the \
                                machine itself may read without one.",
            }},
            "schemas": schemas,
        },
    })
}

fn operation(route: &Route, takes: &mut SchemaGenerator, gives: &mut SchemaGenerator, refusal: &Schema) -> Value {
    let content = |schema: &Schema| json!({"application/json": {"schema": schema}});
    let body = (route.body)(takes);
    let mut responses = Map::new();
    responses.insert(
        route.status.as_str().to_owned(),
        json!({"description": "Done.", "content": content(&(route.answer)(gives))}),
    );
    let with_body = WITH_BODY.iter().filter(|_| body.is_some());
    for (status, reason) in COMMON.iter().chain(with_body).chain(route.refusals) {
        responses.insert(status.as_str().to_owned(), json!({"description": reason, "content": content(refusal)}));
    }
    let mut operation = json!({
        "operationId": route.name,
        "summary": route.summary,
        "parameters": parameters(route, takes),
        "responses": responses,
    });
    if let Some(body) = body {
        operation["requestBody"] = json!({"required": true, "content": content(&body)});
    }
    operation
}

/// Each field of the parameters' struct: in the path where the path names it, else in the query.
fn parameters(route: &Route, takes: &mut SchemaGenerator) -> Vec<Value> {
    let schema = (route.params)(takes).to_value();
    let fields = schema["properties"].as_object().cloned().unwrap_or_default();
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let parameter = |(name, mut field): (String, Value)| {
        let in_path = route.path.contains(&format!("{{{name}}}"));
        let description = field.as_object_mut().and_then(|field| field.remove("description"));
        never_null(&mut field);
        json!({
            "name": name,
            "in": if in_path { "path" } else { "query" },
            "required": in_path || required.contains(&json!(name)),
            "description": description,
            "schema": field,
        })
    };
    fields.into_iter().map(parameter).collect()
}

/// A query cannot say null: what may be left out is left out.
fn never_null(field: &mut Value) {
    if let Some(types) = field["type"].as_array() {
        let kept: Vec<Value> = types.iter().filter(|kind| **kind != "null").cloned().collect();
        field["type"] = match kept.as_slice() {
            [one] => one.clone(),
            _ => kept.into(),
        };
    }
    if let Some(choice) = field.as_object_mut().and_then(|field| field.remove("anyOf")) {
        let first = choice.as_array().and_then(|of| of.iter().find(|one| one["type"] != "null")).cloned();
        if let (Some(Value::Object(first)), Some(field)) = (first, field.as_object_mut()) {
            field.extend(first);
        }
    }
    if let Some(field) = field.as_object_mut() {
        field.retain(|name, value| !(value.is_null() && matches!(name.as_str(), "default" | "type")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_whole() {
        let document = document();
        let text = document.to_string();
        for reference in text.split("\"$ref\":\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(document.pointer(reference).is_some(), "nothing at `{reference}`");
        }
        for route in OPERATIONS {
            let operation = &document["paths"][route.path][route.method.as_str().to_lowercase()];
            assert_eq!(operation["operationId"], route.name);
            for name in route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')) {
                let parameters = operation["parameters"].as_array().expect("a list");
                assert!(parameters.iter().any(|one| one["name"] == name && one["in"] == "path"), "{name}");
            }
        }
    }
}
