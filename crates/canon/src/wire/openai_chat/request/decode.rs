//! Reading a request: known fields are taken, the rest stays as extras.

use super::super::ID;
use crate::Extras;
use crate::fields::{self, BadField, Fields};
use crate::media::{Media, MediaKind, Source};
use crate::request::{
    CacheMark, Effort, Message, OutputFormat, Part, Reasoning, Request, Role, Sampling, Tool, ToolChoice,
};
use crate::wire::look::{self, Look};
use crate::wire::openai;
use crate::wire::walk::Walk;
use crate::wire::writer::keep;
use serde_json::Value;

/// The client's own word for an effort.
pub(super) const EFFORT: &str = "~effort";

pub(in crate::wire::openai_chat) fn decode(body: Value) -> Result<Request, BadField> {
    let mut fields = Fields::of(body, "")?;
    let mut request = Request::new(ID, fields.need_string("model")?);
    if !fields.has("messages") {
        return Err(fields.missing("messages"));
    }
    for (index, message) in fields.list("messages")?.into_iter().enumerate() {
        request.messages.push(decode_message(message, format!("messages[{index}]"))?);
    }
    settings(fields, request)
}

/// Reads bytes: messages of nothing but words, most of any long conversation, go from the text straight to the canon.
pub(in crate::wire::openai_chat) fn read(body: &[u8]) -> Result<Request, BadField> {
    let mut messages = None;
    let mut rest = Extras::new();
    look::along(body, |key, walk| {
        if key == "messages" && !walk.begins(b'n') {
            messages = Some(read_messages(walk)?);
        } else {
            rest.insert(key.to_owned(), tree(Look::at(walk)?.raw(), key)?);
        }
        Ok(())
    })?;
    let mut fields = Fields::of(Value::Object(rest), "")?;
    let mut request = Request::new(ID, fields.need_string("model")?);
    request.messages = messages.ok_or_else(|| fields.missing("messages"))?;
    fields.take("messages");
    settings(fields, request)
}

fn read_messages(walk: &mut Walk<'_>) -> Result<Vec<Message>, BadField> {
    if !walk.begins(b'[') {
        let value = tree(Look::at(walk)?.raw(), "messages")?;
        return Err(BadField::new("messages", format!("must be a list, not {}", fields::kind(&value))));
    }
    let mut messages = Vec::new();
    walk.list(|walk| {
        let from = walk.place();
        let message = match words_only(walk)? {
            Some(message) => message,
            None => {
                let path = format!("messages[{}]", messages.len());
                decode_message(tree(walk.since(from), &path)?, path)?
            }
        };
        messages.push(message);
        Ok(())
    })?;
    Ok(messages)
}

/// Passes over a message; gives it where it says who speaks and what, once each, and nothing else.
fn words_only(walk: &mut Walk<'_>) -> Result<Option<Message>, BadField> {
    if !walk.begins(b'{') {
        return Look::at(walk).map(|_| None);
    }
    let (mut role, mut words, mut plain) = (None, None, true);
    walk.object(|key, walk| {
        match key {
            "role" if role.is_none() => role = role_named(Look::at(walk)?.raw()),
            "content" if words.is_none() && walk.begins(b'"') => {
                words = Look::at(walk)?.string(key).unwrap_or_default();
                plain &= words.is_some();
            }
            _ => plain = false,
        }
        Ok(())
    })?;
    let words = words.filter(|words| plain && !words.is_empty());
    Ok(words.zip(role).map(|(words, role)| Message::text(role, words)))
}

/// The role, as it stands in its quotes, of a message that may be words alone.
fn role_named(quoted: &str) -> Option<Role> {
    Some(match quoted {
        "\"system\"" => Role::System,
        "\"developer\"" => Role::Developer,
        "\"user\"" => Role::User,
        "\"assistant\"" => Role::Assistant,
        _ => return None,
    })
}

fn tree(raw: &str, path: &str) -> Result<Value, BadField> {
    serde_json::from_str(raw).map_err(|error| BadField::new(path, format!("is not valid JSON: {error}")))
}

/// Reads everything beside the messages.
fn settings(mut fields: Fields, mut request: Request) -> Result<Request, BadField> {
    for (index, tool) in fields.list("tools")?.into_iter().enumerate() {
        request.tools.push(decode_tool(tool, &format!("tools[{index}]"))?);
    }
    request.tool_choice = decode_tool_choice(&mut fields, &mut request.extras)?;
    request.parallel_tool_calls = fields.bool("parallel_tool_calls")?;
    request.sampling = decode_sampling(&mut fields)?;
    request.output = decode_output(&mut fields, &mut request.extras)?;
    request.reasoning = decode_reasoning(&mut fields)?;
    request.stream = fields.bool("stream")?.unwrap_or(false);
    if let Some(mut options) = fields.object("stream_options")? {
        request.stream_usage = options.bool("include_usage")?.unwrap_or(false);
        keep(&mut request.extras, "stream_options", options.rest());
    }
    request.service_tier = fields.string("service_tier")?;
    request.user = fields.string("user")?;
    request.metadata = fields.map("metadata")?;
    request.state.store = fields.bool("store")?;
    request.extras.extend(fields.rest());
    Ok(request)
}

fn decode_reasoning(fields: &mut Fields) -> Result<Option<Reasoning>, BadField> {
    let Some(word) = fields.string("reasoning_effort")? else { return Ok(None) };
    let effort = openai::decode_effort(&word, "reasoning_effort")?;
    let mut reasoning = Reasoning { effort: Some(effort), ..Reasoning::default() };
    // Two words for the most effort: the client's own goes home.
    if effort == Effort::Max {
        reasoning.extras.insert(EFFORT.to_owned(), word.into());
    }
    Ok(Some(reasoning))
}

fn decode_sampling(fields: &mut Fields) -> Result<Sampling, BadField> {
    let (newer, older) = (fields.u64("max_completion_tokens")?, fields.u64("max_tokens")?);
    Ok(Sampling {
        max_output_tokens: newer.or(older),
        temperature: fields.f64("temperature")?,
        top_p: fields.f64("top_p")?,
        top_k: fields.u64("top_k")?,
        min_p: fields.f64("min_p")?,
        frequency_penalty: fields.f64("frequency_penalty")?,
        presence_penalty: fields.f64("presence_penalty")?,
        seed: fields.i64("seed")?.or(fields.i64("random_seed")?),
        stop: decode_stop(fields)?,
        n: fields.u32("n")?,
        logprobs: fields.bool("logprobs")?,
        top_logprobs: fields.u32("top_logprobs")?,
    })
}

pub(in crate::wire) fn decode_stop(fields: &mut Fields) -> Result<Vec<String>, BadField> {
    match fields.peek("stop") {
        Some(Value::Array(_)) => fields
            .list("stop")?
            .into_iter()
            .map(|item| match item {
                Value::String(text) => Ok(text),
                _ => Err(BadField::new("stop", "must be a string or a list of strings")),
            })
            .collect(),
        _ => Ok(fields.string("stop")?.into_iter().collect()),
    }
}

fn decode_message(value: Value, path: String) -> Result<Message, BadField> {
    let mut fields = Fields::of(value, path)?;
    let word = fields.need_string("role")?;
    let role = match word.as_str() {
        "system" => Role::System,
        "developer" => Role::Developer,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" => Role::Tool,
        "function" => return Ok(legacy_function(fields)),
        _ => return Err(BadField::new(fields.path_of("role"), format!("is unknown: `{word}`"))),
    };
    let name = fields.string("name")?;
    let parts = match role {
        Role::Tool => vec![Part::ToolResult {
            call_id: fields.need_string("tool_call_id")?,
            content: decode_content(&mut fields)?,
            is_error: false,
            cache: None,
            extras: Extras::new(),
        }],
        Role::Assistant => decode_assistant(&mut fields)?,
        _ => decode_content(&mut fields)?,
    };
    Ok(Message { role, name, parts, extras: fields.rest() })
}

/// The retired `function` role: no other wire knows it.
fn legacy_function(fields: Fields) -> Message {
    let mut body = fields.rest();
    body.insert("role".to_owned(), "function".into());
    Message::new(Role::Tool, vec![Part::Native { body: Value::Object(body) }])
}

fn decode_assistant(fields: &mut Fields) -> Result<Vec<Part>, BadField> {
    let mut parts = Vec::new();
    // Mistral's clients say it of every turn.
    if fields.peek("prefix") == Some(&Value::Bool(false)) {
        fields.take("prefix");
    }
    if let Some(text) = take_reasoning(fields)? {
        parts.push(Part::Reasoning { text, summary: false, seal: None, extras: Extras::new() });
    }
    parts.extend(decode_content(fields)?);
    if let Some(text) = fields.string("refusal")? {
        parts.push(Part::Refusal { text, extras: Extras::new() });
    }
    let path = fields.path_of("tool_calls");
    for (index, call) in fields.list("tool_calls")?.into_iter().enumerate() {
        parts.push(decode_tool_call(call, &format!("{path}[{index}]"))?);
    }
    Ok(parts)
}

/// Thinking under either name that compatible engines use.
pub(in crate::wire::openai_chat) fn take_reasoning(fields: &mut Fields) -> Result<Option<String>, BadField> {
    let text = match fields.string("reasoning_content")? {
        Some(text) => Some(text),
        None if matches!(fields.peek("reasoning"), Some(Value::String(_))) => fields.string("reasoning")?,
        None => None,
    };
    Ok(text.filter(|text| !text.is_empty()))
}

/// Reads one call.
pub(in crate::wire) fn decode_tool_call(value: Value, path: &str) -> Result<Part, BadField> {
    let mut fields = Fields::of(value, path)?;
    if fields.peek_str("type").is_some_and(|kind| kind != "function") {
        return Ok(Part::Native { body: Value::Object(fields.rest()) });
    }
    fields.take("type");
    fields.take("index");
    let call_id = fields.need_string("id")?;
    let mut function =
        fields.object("function")?.ok_or_else(|| BadField::new(format!("{path}.function"), "is missing"))?;
    let name = function.need_string("name")?;
    let arguments = match function.take("arguments") {
        None => String::new(),
        Some(Value::String(text)) => text,
        // Some engines send the object itself.
        Some(other) => other.to_string(),
    };
    let mut extras = fields.rest();
    keep(&mut extras, "function", function.rest());
    Ok(Part::ToolCall { call_id, name, arguments, seal: None, cache: None, extras })
}

fn decode_content(fields: &mut Fields) -> Result<Vec<Part>, BadField> {
    match fields.take("content") {
        None => Ok(Vec::new()),
        Some(Value::String(text)) if text.is_empty() => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(vec![Part::text(text)]),
        Some(Value::Array(items)) => {
            let path = fields.path_of("content");
            items.into_iter().enumerate().map(|(index, item)| decode_part(item, &format!("{path}[{index}]"))).collect()
        }
        Some(_) => Err(BadField::new(fields.path_of("content"), "must be a string or a list of parts")),
    }
}

/// Reads one part of a content.
pub(in crate::wire) fn decode_part(value: Value, path: &str) -> Result<Part, BadField> {
    let mut fields = Fields::of(value, path)?;
    let kind = fields.peek_str("type").unwrap_or_default().to_owned();
    match kind.as_str() {
        "text" => {
            fields.take("type");
            let text = fields.need_string("text")?;
            let cache = decode_cache(&mut fields)?;
            Ok(Part::Text {
                text,
                citations: Vec::new(),
                logprobs: Vec::new(),
                seal: None,
                cache,
                extras: fields.rest(),
            })
        }
        "refusal" => {
            fields.take("type");
            Ok(Part::Refusal { text: fields.need_string("refusal")?, extras: fields.rest() })
        }
        "image_url" => {
            let mut inner = inner(&mut fields, "image_url")?;
            let source = Source::from_url(&inner.need_string("url")?);
            let detail = inner.string("detail")?;
            media(MediaKind::Image, source, None, detail, fields, ("image_url", inner))
        }
        "input_audio" => {
            let mut inner = inner(&mut fields, "input_audio")?;
            let mime = format!("audio/{}", inner.need_string("format")?);
            let source = Source::Base64 { mime, data: inner.need_string("data")? };
            media(MediaKind::Audio, source, None, None, fields, ("input_audio", inner))
        }
        "file" => {
            let mut inner = inner(&mut fields, "file")?;
            let name = inner.string("filename")?;
            let source = match (inner.string("file_id")?, inner.string("file_data")?) {
                (Some(id), _) => Source::File { id },
                (None, Some(data)) => Source::from_url(&data),
                (None, None) => return Err(BadField::new(inner.path(), "needs `file_data` or `file_id`")),
            };
            media(MediaKind::Document, source, name, None, fields, ("file", inner))
        }
        "" => Err(fields.missing("type")),
        _ => Ok(Part::Native { body: Value::Object(fields.rest()) }),
    }
}

fn inner(fields: &mut Fields, key: &str) -> Result<Fields, BadField> {
    fields.take("type");
    fields.object(key)?.ok_or_else(|| fields.missing(key))
}

fn media(
    kind: MediaKind,
    source: Source,
    name: Option<String>,
    detail: Option<String>,
    mut outer: Fields,
    (key, inner): (&str, Fields),
) -> Result<Part, BadField> {
    let cache = decode_cache(&mut outer)?;
    let mut extras = outer.rest();
    keep(&mut extras, key, inner.rest());
    Ok(Part::Media(Media { kind, source, name, detail, cache, extras }))
}

/// A cache breakpoint in the form that routers to Anthropic take on this wire.
fn decode_cache(fields: &mut Fields) -> Result<Option<CacheMark>, BadField> {
    let Some(Value::Object(mark)) = fields.peek("cache_control") else { return Ok(None) };
    // One that says more than the canon knows stays as it is.
    let is_known = mark.keys().all(|key| matches!(key.as_str(), "type" | "ttl"));
    if mark.get("type").and_then(Value::as_str) != Some("ephemeral") || !is_known {
        return Ok(None);
    }
    let mut mark = Fields::of(fields.take("cache_control").unwrap_or_default(), fields.path_of("cache_control"))?;
    Ok(Some(CacheMark { ttl: mark.string("ttl")? }))
}

/// Reads one tool.
pub(in crate::wire) fn decode_tool(value: Value, path: &str) -> Result<Tool, BadField> {
    let mut fields = Fields::of(value, path)?;
    if fields.peek_str("type") != Some("function") {
        return Ok(Tool::Native { body: Value::Object(fields.rest()) });
    }
    fields.take("type");
    let mut function = fields.object("function")?.ok_or_else(|| fields.missing("function"))?;
    let cache = decode_cache(&mut fields)?;
    let mut extras = fields.rest();
    let name = function.need_string("name")?;
    let description = function.string("description")?;
    let parameters = function.take("parameters");
    let strict = function.bool("strict")?;
    keep(&mut extras, "function", function.rest());
    Ok(Tool::Function { name, description, parameters, strict, cache, extras })
}

fn decode_tool_choice(fields: &mut Fields, extras: &mut Extras) -> Result<Option<ToolChoice>, BadField> {
    let Some(value) = fields.peek("tool_choice") else { return Ok(None) };
    let is_named = value.get("type").and_then(Value::as_str) == Some("function")
        && value.get("function").and_then(|function| function.get("name")).is_some_and(Value::is_string);
    if !is_named {
        return Ok(fields.take("tool_choice").map(|value| match value.as_str() {
            Some("auto") => ToolChoice::Auto,
            Some("none") => ToolChoice::None,
            Some("required" | "any") => ToolChoice::Required,
            _ => ToolChoice::Native(value),
        }));
    }
    let Some(mut choice) = fields.object("tool_choice")? else { return Ok(None) };
    choice.take("type");
    let mut function = choice.object("function")?.ok_or_else(|| choice.missing("function"))?;
    let name = function.need_string("name")?;
    let mut rest = choice.rest();
    keep(&mut rest, "function", function.rest());
    keep(extras, "tool_choice", rest);
    Ok(Some(ToolChoice::Function(name)))
}

fn decode_output(fields: &mut Fields, extras: &mut Extras) -> Result<OutputFormat, BadField> {
    let Some(mut format) = fields.object("response_format")? else { return Ok(OutputFormat::Text) };
    let kind = format.need_string("type")?;
    let mut inner = Extras::new();
    let output = match kind.as_str() {
        "text" => OutputFormat::Text,
        "json_object" => OutputFormat::Json,
        "json_schema" => {
            let mut schema = format.object("json_schema")?.ok_or_else(|| format.missing("json_schema"))?;
            let output = OutputFormat::Schema {
                name: schema.string("name")?,
                description: schema.string("description")?,
                schema: schema.take("schema").unwrap_or_else(|| Value::Object(Extras::new())),
                strict: schema.bool("strict")?,
            };
            inner = schema.rest();
            output
        }
        _ => {
            let problem = format!("is unknown: `{kind}`; known: text, json_object, json_schema");
            return Err(BadField::new("response_format.type", problem));
        }
    };
    let mut rest = format.rest();
    keep(&mut rest, "json_schema", inner);
    keep(extras, "response_format", rest);
    Ok(output)
}
