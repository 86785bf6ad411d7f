//! The rules between fields that Cohere's chat enforces and no type says. Pure.

use crate::provider::shape::Refusal;
use crate::provider::wire::{items, text};
use serde_json::Value;

type Check = Result<(), Refusal>;

fn refuse(path: impl Into<String>, message: impl Into<String>) -> Check {
    Err(Refusal::rule(path, format!("invalid request: {}", message.into()), None))
}

/// Checks the rules on a body whose shape is already right.
pub(super) fn check(body: &Value) -> Check {
    tools(body)?;
    let is_json = body.pointer("/response_format/type").and_then(Value::as_str) == Some("json_object");
    if is_json && !(items(body, "tools").is_empty() && items(body, "documents").is_empty()) {
        return refuse("response_format", "cannot specify both response_format json_object and tools or documents.");
    }
    conversation(items(body, "messages"))
}

fn tools(body: &Value) -> Check {
    let mut names = Vec::new();
    for (at, tool) in items(body, "tools").iter().enumerate() {
        let function = tool.get("function").cloned().unwrap_or_default();
        let (name, path) = (text(&function, "name").to_owned(), format!("tools[{at}].function"));
        if !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')) {
            return refuse(path, format!("tool name '{name}' may hold letters, digits, underscores and hyphens only."));
        }
        if names.contains(&name) {
            return refuse(path, format!("duplicate tool name '{name}'."));
        }
        if function.get("parameters").is_some_and(|schema| text(schema, "type") != "object") {
            return refuse(path, "the parameters of a tool must be a JSON schema of the type object.");
        }
        names.push(name);
    }
    if text(body, "tool_choice") == "REQUIRED" && names.is_empty() {
        return refuse("tool_choice", "tool_choice REQUIRED needs tools.");
    }
    Ok(())
}

fn conversation(messages: &[Value]) -> Check {
    let (mut open, mut seen): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    for (at, message) in messages.iter().enumerate() {
        let (role, path) = (text(message, "role"), format!("messages[{at}]"));
        if role == "tool" {
            let id = text(message, "tool_call_id");
            let Some(place) = open.iter().position(|call| call == id) else {
                return refuse(path, format!("tool_call_id {id} not found in the previous assistant message."));
            };
            open.remove(place);
            continue;
        }
        if let Some(id) = open.first() {
            return refuse(path, format!("tool call id {id} is missing its tool message."));
        }
        let calls = items(message, "tool_calls");
        let is_blank = match message.get("content") {
            None | Some(Value::Null) => true,
            Some(content) => content.as_str().is_some_and(str::is_empty),
        };
        if is_blank && calls.is_empty() {
            return refuse(path, "all elements in messages must have non-empty content, or tool calls.");
        }
        for call in calls {
            let id = text(call, "id").to_owned();
            let arguments = call.pointer("/function/arguments").and_then(Value::as_str).unwrap_or_default();
            if !serde_json::from_str::<Value>(arguments).is_ok_and(|value| value.is_object()) {
                return refuse(path, format!("the arguments of tool call {id} are no JSON object."));
            }
            if seen.contains(&id) {
                return refuse(path, format!("duplicate tool call id {id}."));
            }
            seen.push(id.clone());
            open.push(id);
        }
    }
    match open.first() {
        Some(id) => refuse("messages", format!("tool call id {id} is missing its tool message.")),
        None => Ok(()),
    }
}
