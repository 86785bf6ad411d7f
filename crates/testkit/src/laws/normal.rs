//! Forms that mean the same on their wire, brought to one form, so that home again only what means something counts.
//! A field that no wire knows is never touched here.

use serde_json::{Map, Value, json};

/// Brings a request body of `wire` to its normal form.
pub(super) fn request(wire: &str, body: &mut Value) {
    drop_nulls(body);
    if let Some((_, normal)) = NORMALS.iter().find(|(name, _)| *name == wire) {
        normal(body);
    }
}

/// Brings a body to its normal form.
type Normal = fn(&mut Value);

/// One line per wire that can say one thing in two ways.
static NORMALS: &[(&str, Normal)] =
    &[("openai-chat", openai_chat), ("openai-responses", openai_responses), ("anthropic-messages", anthropic_messages)];

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|key, inner| !inner.is_null() || key.starts_with("x_planted_"));
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// `max_tokens` is the old name of `max_completion_tokens`; text is the default form; one stop text is a list of one;
/// usage is asked for in every stream; words alone are a string; a part that declines is the field that declines.
fn openai_chat(body: &mut Value) {
    let Some(map) = body.as_object_mut() else { return };
    if let Some(limit) = map.remove("max_tokens") {
        map.insert("max_completion_tokens".to_owned(), limit);
    }
    if map.get("response_format") == Some(&json!({"type": "text"})) {
        map.remove("response_format");
    }
    if let Some(Value::String(stop)) = map.get("stop").cloned() {
        map.insert("stop".to_owned(), json!([stop]));
    }
    if map.get("stream") == Some(&Value::Bool(true)) {
        let options = map.entry("stream_options").or_insert_with(|| json!({}));
        if let Some(options) = options.as_object_mut() {
            options.entry("include_usage").or_insert(Value::Bool(true));
        }
    }
    for message in map.get_mut("messages").and_then(Value::as_array_mut).into_iter().flatten() {
        openai_chat_message(message);
    }
}

fn openai_chat_message(message: &mut Value) {
    let Some(map) = message.as_object_mut() else { return };
    if let Some([one]) = map.get("content").and_then(Value::as_array).map(Vec::as_slice) {
        let field = |key: &str| {
            one.get(key).and_then(Value::as_str).filter(|_| one.as_object().is_some_and(|part| part.len() == 2))
        };
        if let Some(text) = field("text").map(str::to_owned) {
            map.insert("content".to_owned(), text.into());
        } else if let Some(text) = field("refusal").map(str::to_owned) {
            map.insert("refusal".to_owned(), text.into());
            map.remove("content");
        }
    }
    if map.get("content") == Some(&json!("")) && map.get("role") == Some(&json!("assistant")) {
        map.remove("content");
    }
}

/// An input of words is a message of the user; an item with a role is a message; words alone are a string; pictures are
/// looked at as closely as the provider likes.
fn openai_responses(body: &mut Value) {
    let Some(map) = body.as_object_mut() else { return };
    if let Some(words @ Value::String(_)) = map.get("input").cloned() {
        map.insert("input".to_owned(), json!([{"type": "message", "role": "user", "content": words}]));
    }
    for item in map.get_mut("input").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(item) = item.as_object_mut() else { continue };
        if item.contains_key("role") {
            item.entry("type").or_insert_with(|| "message".into());
        }
        for key in ["content", "output"] {
            one_text(item, key, "input_text");
            for part in item.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten() {
                if part.get("type") == Some(&json!("input_image"))
                    && let Some(part) = part.as_object_mut()
                {
                    part.entry("detail").or_insert_with(|| "auto".into());
                }
            }
        }
    }
}

/// Words alone are a string, on top and in results.
fn anthropic_messages(body: &mut Value) {
    let Some(map) = body.as_object_mut() else { return };
    one_text(map, "system", "text");
    for message in map.get_mut("messages").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(message) = message.as_object_mut() else { continue };
        for block in message.get_mut("content").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(block) = block.as_object_mut() {
                one_text(block, "content", "text");
            }
        }
        one_text(message, "content", "text");
    }
}

/// Brings a list of one plain part of `kind` under `key` to the string that it is.
fn one_text(map: &mut Map<String, Value>, key: &str, kind: &str) {
    let Some([one]) = map.get(key).and_then(Value::as_array).map(Vec::as_slice) else { return };
    let plain = one.as_object().is_some_and(|part| part.len() == 2) && one.get("type").is_some_and(|word| word == kind);
    if let Some(text) = one.get("text").filter(|text| plain && text.is_string()).cloned() {
        map.insert(key.to_owned(), text);
    }
}
