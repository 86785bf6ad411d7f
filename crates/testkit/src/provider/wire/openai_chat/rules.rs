//! The rules between fields that OpenAI Chat Completions enforces and no type says: what goes with what, which
//! message may follow which, what a strict schema must look like, what reasoning models refuse. Pure.

use crate::provider::shape::Refusal;
use serde_json::Value;

type Check = Result<(), Refusal>;

/// Checks the rules on a body whose shape is already right.
pub(super) fn check(body: &Value) -> Check {
    options(body)?;
    tools(body)?;
    format(body)?;
    model_rules(body)?;
    conversation(body.get("messages").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default())
}

/// The value of `key` when it is there and not null.
pub(super) fn set<'a>(body: &'a Value, key: &str) -> Option<&'a Value> {
    body.get(key).filter(|value| !value.is_null())
}

/// Whether `key` is true.
pub(super) fn on(body: &Value, key: &str) -> bool {
    body.get(key) == Some(&Value::Bool(true))
}

fn needs(body: &Value, key: &str, holds: bool, message: &str) -> Check {
    if set(body, key).is_some() && !holds {
        return Err(Refusal::rule(key, message, None));
    }
    Ok(())
}

fn options(body: &Value) -> Check {
    needs(
        body,
        "stream_options",
        on(body, "stream"),
        "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
    )?;
    needs(body, "metadata", on(body, "store"), "The 'metadata' parameter is only allowed when 'store' is enabled.")?;
    needs(
        body,
        "top_logprobs",
        on(body, "logprobs"),
        "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.",
    )?;
    if let Some(labels) = set(body, "metadata").and_then(Value::as_object) {
        if labels.len() > 16 {
            let message = format!(
                "Invalid 'metadata': too many properties. Expected an object with at most 16 properties, but got an object with {} properties instead.",
                labels.len()
            );
            return Err(Refusal::rule("metadata", message, Some("object_above_max_properties")));
        }
        if let Some(long) = labels.keys().find(|key| key.len() > 64) {
            let message = format!(
                "Invalid 'metadata': string too long. Expected a string with maximum length 64, but got a string with length {} instead.",
                long.len()
            );
            return Err(Refusal::rule("metadata", message, Some("string_above_max_length")));
        }
    }
    if set(body, "max_tokens").is_some() && set(body, "max_completion_tokens").is_some() {
        let message = "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.";
        return Err(Refusal::rule("max_tokens", message, Some("invalid_parameter_combination")));
    }
    let wants_audio = |kinds: &Value| kinds.as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == "audio"));
    if set(body, "modalities").is_some_and(wants_audio) && set(body, "audio").is_none() {
        return Err(Refusal::rule(
            "audio",
            "The 'audio' parameter is required when audio output is requested with modalities.",
            None,
        ));
    }
    Ok(())
}

fn tools(body: &Value) -> Check {
    let offered = set(body, "tools").is_some();
    needs(
        body,
        "tool_choice",
        offered,
        "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified.",
    )?;
    needs(
        body,
        "parallel_tool_calls",
        offered,
        "Invalid value for 'parallel_tool_calls': 'parallel_tool_calls' is only allowed when 'tools' are specified.",
    )?;
    needs(
        body,
        "function_call",
        set(body, "functions").is_some(),
        "Invalid value for 'function_call': 'function_call' is only allowed when 'functions' are specified.",
    )?;
    let list = body.get("tools").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for (at, tool) in list.iter().enumerate() {
        let kind = tool.get("type").and_then(Value::as_str).unwrap_or_default();
        let Some(inner) = tool.get(kind) else { continue };
        let path = format!("tools[{at}].{kind}");
        well_named(inner, &path)?;
        if on(inner, "strict") {
            let empty = Value::Null;
            closed(inner.get("parameters").unwrap_or(&empty), &format!("{path}.parameters"))?;
        }
    }
    chosen(body, list)
}

fn chosen(body: &Value, tools: &[Value]) -> Check {
    let Some(choice) = body.get("tool_choice").filter(|choice| choice.is_object()) else { return Ok(()) };
    let kind = choice.get("type").and_then(Value::as_str).unwrap_or_default();
    let Some(name) = choice.pointer(&format!("/{kind}/name")) else { return Ok(()) };
    if tools.iter().any(|tool| tool.pointer(&format!("/{kind}/name")) == Some(name)) {
        return Ok(());
    }
    let message = format!("Tool choice {name} not found in 'tools' parameter.");
    Err(Refusal::rule("tool_choice", message, None))
}

fn well_named(inner: &Value, path: &str) -> Check {
    let name = inner.get("name").and_then(Value::as_str).unwrap_or_default();
    if name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') {
        return Ok(());
    }
    let message = format!(
        "Invalid '{path}.name': string does not match pattern. Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'."
    );
    Err(Refusal::rule(format!("{path}.name"), message, Some("invalid_value")))
}

fn format(body: &Value) -> Check {
    let Some(format) = set(body, "response_format") else { return Ok(()) };
    match format.get("type").and_then(Value::as_str) {
        Some("json_object") => {
            let said = body.get("messages").map(Value::to_string).unwrap_or_default().to_lowercase();
            if said.contains("json") {
                return Ok(());
            }
            let message =
                "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.";
            Err(Refusal::rule("messages", message, None))
        }
        Some("json_schema") => {
            let inner = format.get("json_schema").unwrap_or(&Value::Null);
            well_named(inner, "response_format.json_schema")?;
            match (on(inner, "strict"), inner.get("schema")) {
                (true, Some(schema)) => closed(schema, "response_format"),
                (true, None) => Err(Refusal::rule(
                    "response_format",
                    "Missing required parameter: 'response_format.json_schema.schema'.",
                    Some("missing_required_parameter"),
                )),
                (false, _) => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

/// A strict schema: every object closed, every property required.
pub(in crate::provider::wire) fn closed(schema: &Value, path: &str) -> Check {
    let bad = |why: String| {
        let message = format!("Invalid schema for '{path}': {why}");
        Err(Refusal::rule(path, message, Some("invalid_json_schema")))
    };
    let Some(map) = schema.as_object() else {
        return bad("schema must be a JSON Schema of 'type: \"object\"'.".to_owned());
    };
    if let Some(properties) = map.get("properties").and_then(Value::as_object) {
        if map.get("additionalProperties") != Some(&Value::Bool(false)) {
            return bad("'additionalProperties' is required to be supplied and to be false.".to_owned());
        }
        let required = map.get("required").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        if let Some(left_out) = properties.keys().find(|key| !required.iter().any(|name| name == *key)) {
            return bad(format!(
                "'required' is required to be supplied and to be an array including every key in properties. Missing '{left_out}'."
            ));
        }
        properties.values().try_for_each(|inner| closed(inner, path))?;
    }
    for key in ["$defs", "definitions"] {
        let parts = map.get(key).and_then(Value::as_object);
        parts.into_iter().flatten().try_for_each(|(_, inner)| closed(inner, path))?;
    }
    let choices = map.get("anyOf").and_then(Value::as_array);
    choices.into_iter().flatten().try_for_each(|inner| closed(inner, path))?;
    map.get("items").map_or(Ok(()), |inner| closed(inner, path))
}

/// Names of models that think before they speak and refuse what is meant for the others.
fn thinks(model: &str) -> bool {
    let generation = |prefix: &str| model.strip_prefix(prefix).is_some_and(|rest| !rest.starts_with("-chat"));
    ["o1", "o3", "o4", "gpt-5"].into_iter().any(generation) && !model.contains("-chat")
}

fn model_rules(body: &Value) -> Check {
    let model = body.get("model").and_then(Value::as_str).unwrap_or_default();
    if !thinks(model) {
        let plain = model.starts_with("gpt-3") || model.starts_with("gpt-4");
        if plain && set(body, "reasoning_effort").is_some() {
            return Err(Refusal::rule(
                "reasoning_effort",
                "Unrecognized request argument supplied: reasoning_effort",
                None,
            ));
        }
        return Ok(());
    }
    if set(body, "max_tokens").is_some() {
        let message = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.";
        return Err(Refusal::rule("max_tokens", message, Some("unsupported_parameter")));
    }
    // From gpt-5.1 on, sampling may be set when thinking is off.
    if model.starts_with("gpt-5.") && body.get("reasoning_effort").is_some_and(|effort| effort == "none") {
        return Ok(());
    }
    for key in ["temperature", "top_p"] {
        if set(body, key).and_then(Value::as_f64).is_some_and(|value| (value - 1.0).abs() > f64::EPSILON) {
            let message = format!(
                "Unsupported value: '{key}' does not support {} with this model. Only the default (1) value is supported.",
                body.get(key).unwrap_or(&Value::Null)
            );
            return Err(Refusal::rule(key, message, Some("unsupported_value")));
        }
    }
    for key in ["logprobs", "presence_penalty", "frequency_penalty"] {
        if set(body, key).is_some_and(|value| value != &Value::Bool(false) && value.as_f64() != Some(0.0)) {
            let message = format!("Unsupported parameter: '{key}' is not supported with this model.");
            return Err(Refusal::rule(key, message, Some("unsupported_parameter")));
        }
    }
    Ok(())
}

/// Calls are answered at once and completely; nothing else is answered.
fn conversation(messages: &[Value]) -> Check {
    let mut open: Vec<&str> = Vec::new();
    for (at, message) in messages.iter().enumerate() {
        let role = message.get("role").and_then(Value::as_str).unwrap_or_default();
        if role == "tool" {
            let id = message.get("tool_call_id").and_then(Value::as_str).unwrap_or_default();
            if open.is_empty() && !answers_before(messages, at) {
                let message = "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'.";
                return Err(Refusal::rule(format!("messages[{at}].role"), message, None));
            }
            let Some(found) = open.iter().position(|call| *call == id) else {
                let message = format!(
                    "Invalid parameter: 'tool_call_id' of '{id}' not found in 'tool_calls' of previous message."
                );
                return Err(Refusal::rule(format!("messages[{at}].tool_call_id"), message, None));
            };
            open.remove(found);
            continue;
        }
        unanswered(&open, at)?;
        if role == "assistant" {
            open = calls_of(message, at)?;
        } else if role == "user" {
            media(message, at)?;
        }
    }
    unanswered(&open, messages.len())
}

/// Whether the messages just before `at` are results of one turn's calls.
fn answers_before(messages: &[Value], at: usize) -> bool {
    let role = |index: usize| messages.get(index).and_then(|message| message.get("role")).and_then(Value::as_str);
    at > 0 && role(at - 1) == Some("tool")
}

fn unanswered(open: &[&str], at: usize) -> Check {
    if open.is_empty() {
        return Ok(());
    }
    let message = format!(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. The following tool_call_ids did not have response messages: {}",
        open.join(", ")
    );
    Err(Refusal::rule(format!("messages[{at}].role"), message, None))
}

fn calls_of(message: &Value, at: usize) -> Result<Vec<&str>, Refusal> {
    let calls = message.get("tool_calls").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let says = ["content", "refusal", "function_call", "audio"].iter().any(|key| set(message, key).is_some());
    if calls.is_empty() && !says {
        let words = "Invalid value for 'content': expected a string, got null.";
        return Err(Refusal::rule(format!("messages[{at}].content"), words, None));
    }
    let mut ids: Vec<&str> = Vec::new();
    for (number, call) in calls.iter().enumerate() {
        let id = call.get("id").and_then(Value::as_str).unwrap_or_default();
        if ids.contains(&id) {
            let words = format!("Duplicate value for 'tool_call_id' of '{id}' in message[{at}].");
            return Err(Refusal::rule(format!("messages[{at}].tool_calls[{number}].id"), words, None));
        }
        ids.push(id);
    }
    Ok(ids)
}

/// Images are addresses or data, files have a name with their data.
fn media(message: &Value, at: usize) -> Check {
    let parts = message.get("content").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for (number, part) in parts.iter().enumerate() {
        let path = format!("messages[{at}].content[{number}]");
        if let Some(url) = part.pointer("/image_url/url").and_then(Value::as_str) {
            let good = url.starts_with("https://") || url.starts_with("http://") || is_image_data(url);
            if !good {
                let words =
                    format!("Invalid '{path}.image_url.url'. Expected a valid URL or base64-encoded image data.");
                return Err(Refusal::rule(format!("{path}.image_url.url"), words, Some("invalid_value")));
            }
        }
        if let Some(file) = part.get("file") {
            let has = |key: &str| file.get(key).is_some();
            if !(has("file_id") || has("file_data") && has("filename")) {
                let words = "Missing required parameter: 'file_id', or 'file_data' with 'filename'.";
                return Err(Refusal::rule(format!("{path}.file"), words, Some("missing_required_parameter")));
            }
        }
    }
    Ok(())
}

fn is_image_data(url: &str) -> bool {
    use base64::Engine as _;
    let Some((head, data)) = url.split_once(',') else { return false };
    head.starts_with("data:image/")
        && head.ends_with(";base64")
        && base64::engine::general_purpose::STANDARD.decode(data).is_ok_and(|bytes| !bytes.is_empty())
}
