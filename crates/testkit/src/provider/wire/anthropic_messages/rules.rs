//! The rules between fields that Anthropic Messages enforces and no type says, in the API's words. Pure.

use super::shapes::TOOL;
use crate::provider::shape::{Refusal, check as shape};
use crate::provider::wire::{items, on, text};
use serde_json::Value;

type Check = Result<(), Refusal>;

fn refuse<T>(path: impl Into<String>, message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::rule(path, message, None))
}

/// Checks the rules on a body whose shape is already right.
pub(super) fn check(body: &Value) -> Check {
    tools(body)?;
    thinking(body)?;
    conversation(body)?;
    if count_marks(body) > 4 {
        return refuse("cache_control", "A maximum of 4 blocks with cache_control may be provided.");
    }
    if items(body, "stop_sequences").iter().any(|stop| stop.as_str().is_some_and(|stop| stop.trim().is_empty())) {
        return refuse("stop_sequences", "each stop sequence must contain non-whitespace");
    }
    match body.pointer("/output_config/format/schema") {
        Some(schema) => closed(schema, "output_config.format.schema"),
        None => Ok(()),
    }
}

fn count_marks(value: &Value) -> usize {
    match value {
        Value::Object(map) => {
            let own = usize::from(map.get("cache_control").is_some_and(Value::is_object));
            own + map
                .iter()
                .filter(|(key, _)| !matches!(key.as_str(), "input" | "input_schema"))
                .map(|(_, inner)| count_marks(inner))
                .sum::<usize>()
        }
        Value::Array(list) => list.iter().map(count_marks).sum(),
        _ => 0,
    }
}

/// Every object closed.
pub(in crate::provider::wire) fn closed(schema: &Value, path: &str) -> Check {
    let Some(map) = schema.as_object() else { return Ok(()) };
    if map.contains_key("properties") && map.get("additionalProperties") != Some(&Value::Bool(false)) {
        return refuse(path, "For 'object' type, 'additionalProperties' must be explicitly set to false");
    }
    for key in ["properties", "$defs", "definitions"] {
        let inner = map.get(key).and_then(Value::as_object);
        inner.into_iter().flatten().try_for_each(|(_, inner)| closed(inner, path))?;
    }
    map.get("items").map_or(Ok(()), |inner| closed(inner, path))
}

fn tools(body: &Value) -> Check {
    let mut names = Vec::new();
    for (at, tool) in items(body, "tools").iter().enumerate() {
        let path = format!("tools.{at}");
        let kind = text(tool, "type");
        let native = kind.len() > 9 && kind.bytes().rev().take(8).all(|byte| byte.is_ascii_digit());
        if !native {
            shape(tool, &TOOL, &path)?;
            if tool.pointer("/input_schema/type").and_then(Value::as_str) != Some("object") {
                return refuse(format!("{path}.custom.input_schema.type"), "Input should be 'object'");
            }
            if on(tool, "strict") {
                closed(tool.get("input_schema").unwrap_or(&Value::Null), &path)?;
            }
        }
        let name = text(tool, "name");
        if names.contains(&name) {
            return refuse(path, "Tool names must be unique.");
        }
        if name.is_empty() || !is_plain(name) {
            return refuse(format!("{path}.name"), "String should match pattern '^[a-zA-Z0-9_-]{1,128}$'");
        }
        names.push(name);
    }
    let choice = body.get("tool_choice").cloned().unwrap_or_default();
    if names.is_empty() && choice.is_object() {
        return refuse("tool_choice", "tool_choice may only be specified while providing tools");
    }
    if text(&choice, "type") == "tool" && !names.contains(&text(&choice, "name")) {
        return refuse("tool_choice", format!("Tool '{}' not found in provided tools", text(&choice, "name")));
    }
    Ok(())
}

fn is_plain(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

fn thinking(body: &Value) -> Check {
    let thinking = body.get("thinking").cloned().unwrap_or_default();
    let kind = text(&thinking, "type");
    let number = |key: &str| body.get(key).and_then(Value::as_f64);
    if body.get("temperature").is_some() && body.get("top_p").is_some() {
        return refuse("", "`temperature` and `top_p` cannot both be specified for this model. Please use only one.");
    }
    if !matches!(kind, "enabled" | "adaptive") {
        return Ok(());
    }
    if number("temperature").is_some_and(|value| (value - 1.0).abs() > f64::EPSILON) {
        return refuse("temperature", "`temperature` may only be set to 1 when thinking is enabled.");
    }
    if number("top_p").is_some_and(|value| value < 0.95) {
        return refuse("top_p", "`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled.");
    }
    if body.get("top_k").is_some() {
        return refuse("top_k", "`top_k` must be unset when thinking is enabled.");
    }
    if kind != "enabled" {
        return Ok(());
    }
    if thinking.get("budget_tokens").and_then(Value::as_f64) >= number("max_tokens") {
        return refuse("max_tokens", "`max_tokens` must be greater than `thinking.budget_tokens`.");
    }
    if matches!(body.pointer("/tool_choice/type").and_then(Value::as_str), Some("any" | "tool")) {
        return refuse("tool_choice", "Thinking may not be enabled when tool_choice forces tool use.");
    }
    begins_with_thinking(body)
}

/// Signatures must be the server's own.
pub(super) fn seals(body: &Value, takes: impl Fn(&str) -> bool) -> Check {
    for (at, message) in items(body, "messages").iter().enumerate() {
        for (number, block) in blocks(message).iter().enumerate() {
            let key = match text(block, "type") {
                "thinking" => "signature",
                "redacted_thinking" => "data",
                _ => continue,
            };
            if !takes(text(block, key)) {
                let words = format!("Invalid `{key}` in `{}` block", text(block, "type"));
                return refuse(format!("messages.{at}.content.{number}"), words);
            }
        }
    }
    Ok(())
}

/// With thinking on, a turn that is amid its calls begins with its thinking.
fn begins_with_thinking(body: &Value) -> Check {
    let messages = items(body, "messages");
    let amid =
        messages.last().is_some_and(|last| blocks(last).iter().any(|block| text(block, "type") == "tool_result"));
    let turn = messages.iter().rposition(|message| text(message, "role") == "assistant");
    let (Some(at), true) = (turn, amid) else { return Ok(()) };
    let first =
        messages.get(at).map(blocks).and_then(|blocks| blocks.first().map(|block| text(block, "type").to_owned()));
    match first.as_deref() {
        Some("thinking" | "redacted_thinking") => Ok(()),
        found => {
            let words = format!(
                "Expected `thinking` or `redacted_thinking`, but found `{}`. When `thinking` is enabled, a final `assistant` message must start with a thinking block (preceeding the lastmost set of `tool_use` and `tool_result` blocks).",
                found.unwrap_or("nothing")
            );
            refuse(format!("messages.{at}.content.0.type"), words)
        }
    }
}

/// Blocks of a message, words alone as one.
pub(super) fn blocks(message: &Value) -> Vec<Value> {
    match message.get("content") {
        Some(Value::String(words)) => vec![serde_json::json!({"type": "text", "text": words})],
        Some(Value::Array(blocks)) => blocks.clone(),
        _ => Vec::new(),
    }
}

fn conversation(body: &Value) -> Check {
    let messages = items(body, "messages");
    let (mut open, mut seen): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    if messages.first().is_some_and(|message| text(message, "role") != "user") {
        return refuse("messages", "messages: first message must use the \"user\" role");
    }
    for (at, message) in messages.iter().enumerate() {
        let (role, path, blocks) = (text(message, "role"), format!("messages.{at}"), blocks(message));
        let last = at + 1 == messages.len();
        if blocks.is_empty() && !(last && role == "assistant") {
            return refuse(
                path,
                "all messages must have non-empty content except for the optional final assistant message",
            );
        }
        let results: Vec<&str> = blocks
            .iter()
            .filter(|block| text(block, "type") == "tool_result")
            .map(|block| text(block, "tool_use_id"))
            .collect();
        if let Some(id) = results.iter().find(|id| !open.iter().any(|call| call == *id)) {
            let words = format!(
                "unexpected `tool_use_id` found in `tool_result` blocks: {id}. Each `tool_result` block must have a corresponding `tool_use` block in the previous message."
            );
            return refuse(path, words);
        }
        if let Some(id) = open.iter().find(|id| !results.contains(&id.as_str())) {
            let words = format!(
                "`tool_use` ids were found without `tool_result` blocks immediately after: {id}. Each `tool_use` block must have a corresponding `tool_result` block in the next message."
            );
            return refuse(path, words);
        }
        open.clear();
        for (number, block) in blocks.iter().enumerate() {
            let path = format!("{path}.content.{number}");
            if text(block, "type") == "text" && text(block, "text").trim().is_empty() {
                return refuse(path, "text content blocks must contain non-whitespace text");
            }
            if text(block, "type") != "tool_use" {
                continue;
            }
            let id = text(block, "id").to_owned();
            if role != "assistant" || !is_plain(&id) || seen.contains(&id) {
                return refuse(
                    format!("{path}.tool_use.id"),
                    "`tool_use` ids must be unique, of the assistant, and match '^[a-zA-Z0-9_-]+$'",
                );
            }
            seen.push(id.clone());
            open.push(id);
        }
        if last
            && role == "assistant"
            && blocks.last().is_some_and(|block| text(block, "text").ends_with(char::is_whitespace))
        {
            return refuse("messages", "final assistant content cannot end with trailing whitespace");
        }
    }
    if !seen.is_empty() && items(body, "tools").is_empty() {
        return refuse("tools", "Requests which include `tool_use` or `tool_result` blocks must define tools.");
    }
    Ok(())
}
