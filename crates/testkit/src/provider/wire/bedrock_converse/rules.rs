//! The rules between fields that Converse enforces and no type says, in the service's words where they are known. Pure.

use crate::provider::shape::Refusal;
use crate::provider::wire::anthropic_messages::closed;
use crate::provider::wire::{items, on, text};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::collections::BTreeSet;

type Check = Result<(), Refusal>;

fn refuse(path: impl Into<String>, message: impl Into<String>) -> Check {
    Err(Refusal::rule(path, message, None))
}

/// Checks the rules on a body whose shape is already right, for `model`, streamed or not.
pub(super) fn check(body: &Value, model: &str, stream: bool) -> Check {
    if !stream && body.pointer("/guardrailConfig/streamProcessingMode").is_some() {
        return refuse("guardrailConfig", "extraneous key [streamProcessingMode] is not permitted");
    }
    let names = tools(body)?;
    conversation(body, &names)?;
    labels(body)?;
    if count_points(body) > 4 {
        return refuse("", "A maximum of 4 cache points may be provided.");
    }
    if items(body.get("inferenceConfig").unwrap_or(&Value::Null), "stopSequences")
        .iter()
        .any(|stop| stop.as_str().is_some_and(|stop| stop.trim().is_empty()))
    {
        return refuse("inferenceConfig.stopSequences", "each stop sequence must contain non-whitespace");
    }
    if let Some(spelled) = body.pointer("/outputConfig/textFormat/structure/jsonSchema/schema").and_then(Value::as_str)
    {
        let Ok(schema) = serde_json::from_str(spelled) else {
            return refuse("outputConfig.textFormat", "The schema is not valid JSON.");
        };
        closed(&schema, "outputConfig.textFormat.structure.jsonSchema.schema")?;
    }
    if model.contains("claude") { claude(body) } else { Ok(()) }
}

fn is_of(text: &str, further: &[char]) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || further.contains(&c))
}

/// The tools' names.
fn tools(body: &Value) -> Result<Vec<String>, Refusal> {
    let config = body.get("toolConfig").cloned().unwrap_or_default();
    let mut names: Vec<String> = Vec::new();
    for (at, tool) in items(&config, "tools").iter().enumerate() {
        let path = format!("toolConfig.tools.{at}");
        let Some(tool) = tool.get("toolSpec").or_else(|| tool.get("systemTool")) else { continue };
        let name = text(tool, "name");
        let wrong = if !is_of(name, &['_', '-']) {
            Some("Value must match the pattern [a-zA-Z0-9_-]+.".to_owned())
        } else if names.iter().any(|known| known == name) {
            Some(format!("The tool name {name} is used more than once."))
        } else if tool.pointer("/inputSchema/json").is_some_and(|schema| text(schema, "type") != "object") {
            Some("The inputSchema's json must have the type object.".to_owned())
        } else {
            None
        };
        if let Some(message) = wrong {
            return Err(Refusal::rule(path, message, None));
        }
        if on(tool, "strict") {
            closed(tool.pointer("/inputSchema/json").unwrap_or(&Value::Null), &path)?;
        }
        names.push(name.to_owned());
    }
    let wanted = config.pointer("/toolChoice/tool/name").and_then(Value::as_str);
    match wanted.filter(|wanted| !names.iter().any(|name| name == wanted)) {
        Some(wanted) => {
            Err(Refusal::rule("toolConfig.toolChoice", format!("The tool {wanted} is not among the tools."), None))
        }
        None => Ok(names),
    }
}

fn conversation(body: &Value, tools: &[String]) -> Check {
    let messages = items(body, "messages");
    if messages.is_empty() && body.get("promptVariables").is_none() {
        return refuse("messages", "messages: at least one message is required");
    }
    let (mut open, mut seen, mut documents) = (Vec::<String>::new(), BTreeSet::new(), BTreeSet::new());
    let mut before = "";
    for (at, message) in messages.iter().enumerate() {
        let (role, path) = (text(message, "role"), format!("messages.{at}.content"));
        if at == 0 && role == "assistant" {
            return refuse(
                "messages",
                "A conversation must start with a user message. Try again with a conversation that starts with a user message.",
            );
        }
        if role == before {
            return refuse(
                "messages",
                "A conversation must alternate between user and assistant roles. Make sure the conversation alternates between user and assistant roles and try again.",
            );
        }
        before = role;
        let content = items(message, "content");
        if content.is_empty() {
            return refuse(
                path,
                format!(
                    "The content field in the Message object at messages.{at} is empty. Add a ContentBlock object to the content field and try again."
                ),
            );
        }
        results(content, &mut open, &path)?;
        for (number, block) in content.iter().enumerate() {
            one(block, role, &format!("{path}.{number}"), &mut documents)?;
            let Some(call) = own(block, "toolUse") else { continue };
            let id = text(call, "toolUseId").to_owned();
            if role != "assistant" || !seen.insert(id.clone()) {
                return refuse(
                    format!("{path}.{number}"),
                    format!("The toolUse block {id} is not the assistant's, or its id is used twice."),
                );
            }
            open.push(id);
        }
        let has = |key: &str| content.iter().any(|block| block.get(key).is_some());
        if has("document") && !has("text") {
            return refuse(path, "A text block must be included with a document block.");
        }
        let last = content.last().map(|block| text(block, "text")).unwrap_or_default();
        if role == "assistant" && at + 1 == messages.len() && last.ends_with(char::is_whitespace) {
            return refuse(path, "final assistant content cannot end with trailing whitespace");
        }
    }
    let used = !seen.is_empty();
    if used && tools.is_empty() {
        return refuse(
            "toolConfig",
            "The toolConfig field must be defined when using toolUse and toolResult content blocks.",
        );
    }
    Ok(())
}

/// A call or a result that is not the service's own.
fn own<'a>(block: &'a Value, key: &str) -> Option<&'a Value> {
    block.get(key).filter(|inner| inner.get("type").is_none())
}

/// Every call of the turn before is answered here, and nothing else is.
fn results(content: &[Value], open: &mut Vec<String>, path: &str) -> Check {
    let found: Vec<&str> =
        content.iter().filter_map(|block| own(block, "toolResult")).map(|result| text(result, "toolUseId")).collect();
    if found.len() > open.len() || found.iter().any(|id| !open.iter().any(|call| call == id)) {
        let message =
            format!("The number of toolResult blocks at {path} exceeds the number of toolUse blocks of previous turn.");
        return refuse(path, message);
    }
    let missing: Vec<&String> = open.iter().filter(|call| !found.contains(&call.as_str())).collect();
    if !missing.is_empty() {
        return refuse(path, format!("Expected toolResult blocks at {path} for the following Ids: {missing:?}"));
    }
    open.clear();
    Ok(())
}

fn one(block: &Value, role: &str, path: &str, documents: &mut BTreeSet<String>) -> Check {
    if let Some(words) = block.get("text").and_then(Value::as_str)
        && words.trim().is_empty()
    {
        return refuse(
            path,
            format!(
                "The text field in the ContentBlock object at {path} is blank. Add text to the text field, and try again."
            ),
        );
    }
    for key in ["image", "document", "video", "audio"] {
        let Some(medium) = block.get(key) else { continue };
        if role != "user" {
            return refuse(path, format!("The {key} block may stand in a message of the user only."));
        }
        let bytes = medium.pointer("/source/bytes").and_then(Value::as_str);
        if bytes.is_some_and(|bytes| STANDARD.decode(bytes).is_err()) {
            return refuse(path, "the bytes are not base64");
        }
    }
    if let Some(document) = block.get("document") {
        let name = text(document, "name");
        if !is_of(name, &[' ', '-', '(', ')', '[', ']']) || name.contains("  ") || !documents.insert(name.to_owned()) {
            return refuse(
                path,
                "The document file name can only contain alphanumeric characters, whitespace characters, hyphens, parentheses, and square brackets. The name can't contain more than one consecutive whitespace character, and no two documents may have one name.",
            );
        }
    }
    for (key, field) in [("toolUse", "toolUseId"), ("toolResult", "toolUseId"), ("toolUse", "name")] {
        let Some(value) = block.get(key).map(|inner| text(inner, field)) else { continue };
        let further: &[char] = if field == "name" { &['_', '-'] } else { &['_', '.', ':', '-'] };
        if !is_of(value, further) {
            return refuse(format!("{path}.{key}.{field}"), "the value does not match the field's pattern");
        }
    }
    match block.get("toolUse").and_then(|call| call.get("input")) {
        Some(input) if !input.is_object() => refuse(
            path,
            "The format of the value at toolUse.input is invalid. Provide a json object for the field and try again.",
        ),
        _ => Ok(()),
    }
}

fn labels(body: &Value) -> Check {
    let Some(labels) = body.get("requestMetadata").and_then(Value::as_object) else { return Ok(()) };
    let further = [' ', ':', '_', '@', '$', '#', '=', '/', '+', ',', '-', '.'];
    let well = |text: &str| is_of(text, &further);
    if labels.is_empty() || labels.len() > 16 {
        return refuse("requestMetadata", "requestMetadata must have 1 to 16 entries");
    }
    match labels.iter().find(|(key, value)| key.is_empty() || !well(key) || !value.as_str().is_some_and(well)) {
        Some((key, _)) => refuse("requestMetadata", format!("the entry `{key}` does not match the field's pattern")),
        None => Ok(()),
    }
}

fn count_points(value: &Value) -> usize {
    match value {
        Value::Object(map) => {
            usize::from(map.contains_key("cachePoint"))
                + map
                    .iter()
                    .filter(|(key, _)| !matches!(key.as_str(), "input" | "json"))
                    .map(|(_, inner)| count_points(inner))
                    .sum::<usize>()
        }
        Value::Array(list) => list.iter().map(count_points).sum(),
        _ => 0,
    }
}

/// Signatures must be the server's own.
pub(super) fn seals(body: &Value, takes: impl Fn(&str) -> bool) -> Check {
    for (at, message) in items(body, "messages").iter().enumerate() {
        for thinking in items(message, "content").iter().filter_map(|block| block.get("reasoningContent")) {
            let signature = thinking.pointer("/reasoningText/signature").or_else(|| thinking.get("redactedContent"));
            // Models that sign nothing are sent back nothing.
            if signature.and_then(Value::as_str).is_some_and(|signature| !takes(signature)) {
                let words = "The model returned the following errors: Invalid `signature` in `thinking` block";
                return refuse(format!("messages.{at}"), words);
            }
        }
    }
    Ok(())
}

/// With thinking on, a turn that is amid its calls begins with its thinking.
fn begins_with_thinking(body: &Value) -> Check {
    let messages = items(body, "messages");
    let has = |message: &Value, key: &str| items(message, "content").iter().any(|block| block.get(key).is_some());
    let amid = messages.last().is_some_and(|last| has(last, "toolResult"));
    let turn = messages.iter().rfind(|message| text(message, "role") == "assistant").filter(|_| amid);
    let first = turn.and_then(|turn| items(turn, "content").first());
    match first.filter(|first| first.get("reasoningContent").is_none()) {
        Some(_) => refuse(
            "messages",
            "Expected `thinking` or `redacted_thinking`. When `thinking` is enabled, a final `assistant` message must start with a thinking block.",
        ),
        None => Ok(()),
    }
}

/// What Anthropic's models demand of their own settings.
fn claude(body: &Value) -> Check {
    let more = body.get("additionalModelRequestFields").cloned().unwrap_or_default();
    let config = body.get("inferenceConfig").cloned().unwrap_or_default();
    let kind = more.pointer("/thinking/type").and_then(Value::as_str).unwrap_or_default();
    let number = |key: &str| config.get(key).and_then(Value::as_f64);
    if number("temperature").is_some() && number("topP").is_some() {
        return refuse(
            "inferenceConfig",
            "`temperature` and `top_p` cannot both be specified for this model. Please use only one.",
        );
    }
    if !matches!(kind, "enabled" | "adaptive") {
        return Ok(());
    }
    if number("temperature").is_some_and(|value| (value - 1.0).abs() > f64::EPSILON) {
        return refuse("inferenceConfig.temperature", "`temperature` may only be set to 1 when thinking is enabled.");
    }
    let forced = body.pointer("/toolConfig/toolChoice").is_some_and(|choice| choice.get("auto").is_none());
    if kind == "enabled" && forced {
        return refuse("toolConfig.toolChoice", "Thinking may not be enabled when tool_choice forces tool use.");
    }
    let budget = more.pointer("/thinking/budget_tokens").and_then(Value::as_f64);
    if kind == "enabled" && number("maxTokens").is_some_and(|most| budget.is_none_or(|budget| budget >= most)) {
        return refuse("inferenceConfig.maxTokens", "`max_tokens` must be greater than `thinking.budget_tokens`.");
    }
    begins_with_thinking(body)
}
