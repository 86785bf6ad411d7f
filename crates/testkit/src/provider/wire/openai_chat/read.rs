//! Reads a checked body into what the provider composes answers from. Pure.

use super::rules::{on, set};
use crate::provider::ask::{Ask, Choice, Form, Offered, Speaker, Turn};
use serde_json::{Value, json};

/// The request in a checked body.
pub(super) fn ask(body: &Value) -> Ask {
    let list = |key: &str| body.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let size = |key: &str| set(body, key).and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok());
    Ask {
        seals: false,
        model: text(body, "model"),
        stream: on(body, "stream"),
        stream_usage: body.get("stream_options").is_some_and(|options| on(options, "include_usage")),
        turns: list("messages").iter().map(turn).collect(),
        tools: list("tools").iter().filter_map(offered).collect(),
        choice: choice(body.get("tool_choice")),
        parallel: body.get("parallel_tool_calls") != Some(&Value::Bool(false)),
        form: form(body.get("response_format")),
        n: size("n").unwrap_or(1),
        logprobs: on(body, "logprobs").then(|| size("top_logprobs").unwrap_or(0)),
        max_tokens: size("max_completion_tokens").or_else(|| size("max_tokens")),
        stop: match body.get("stop") {
            Some(Value::String(word)) => vec![word.clone()],
            Some(Value::Array(words)) => words.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => Vec::new(),
        },
    }
}

fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn turn(message: &Value) -> Turn {
    let speaker = match message.get("role").and_then(Value::as_str) {
        Some("assistant") => Speaker::Assistant,
        Some("user") => Speaker::User,
        Some("tool" | "function") => Speaker::Tool,
        _ => Speaker::System,
    };
    let text = match message.get("content") {
        Some(Value::String(words)) => words.clone(),
        Some(Value::Array(parts)) => parts.iter().map(|part| text(part, "text")).collect(),
        _ => String::new(),
    };
    Turn { speaker, text }
}

fn offered(tool: &Value) -> Option<Offered> {
    let function = tool.get("function")?;
    let schema = function.get("parameters").cloned().unwrap_or_else(|| json!({"type": "object"}));
    Some(Offered { name: text(function, "name"), schema })
}

fn choice(choice: Option<&Value>) -> Choice {
    let word = |word: &str| match word {
        "none" => Choice::None,
        "required" => Choice::Required,
        _ => Choice::Auto,
    };
    match choice {
        Some(Value::String(said)) => word(said),
        Some(named) => match (named.pointer("/function/name"), named.pointer("/allowed_tools/mode")) {
            (Some(name), _) => Choice::Named(name.as_str().unwrap_or_default().to_owned()),
            (None, Some(mode)) => word(mode.as_str().unwrap_or_default()),
            (None, None) => Choice::Auto,
        },
        None => Choice::Auto,
    }
}

fn form(format: Option<&Value>) -> Form {
    match format.and_then(|format| format.get("type")).and_then(Value::as_str) {
        Some("json_object") => Form::Json,
        Some("json_schema") => {
            Form::Schema(format.and_then(|format| format.pointer("/json_schema/schema")).cloned().unwrap_or_default())
        }
        _ => Form::Text,
    }
}
