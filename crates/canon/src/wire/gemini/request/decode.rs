//! Reading a request: contents, instructions and tools; the settings are read next door.

use super::settings;
use crate::Extras;
use crate::fields::{BadField, Fields};
use crate::request::{Message, Part, Request, Role, Tool, ToolChoice};
use crate::wire::Params;
use crate::wire::gemini::{ID, names, part, schema};
use serde_json::Value;

const KNOWN: &[&str] = &[
    "systemInstruction",
    "generationConfig",
    "toolConfig",
    "safetySettings",
    "cachedContent",
    "serviceTier",
    "generateContentRequest",
];

pub(in crate::wire::gemini) fn decode(params: &Params, body: Value) -> Result<Request, BadField> {
    let mut fields = names::read(body, "", KNOWN)?;
    // `countTokens` may wrap the request whose tokens it counts.
    if let Some(inner) = fields.take("generateContentRequest") {
        fields = names::read(inner, "", KNOWN)?;
    }
    let named = fields.string("model")?;
    let Some(model) = params.model.clone().or(named) else { return Err(fields.missing("model")) };
    let mut request = Request::new(ID, model);
    (request.stream, request.stream_usage) = (params.stream, true);
    if !fields.has("contents") {
        return Err(fields.missing("contents"));
    }
    if let Some(system) = fields.take("systemInstruction") {
        let mut calls = Calls::default();
        let mut message = decode_content(system, 0, "systemInstruction", &mut calls)?;
        message.role = Role::System;
        request.messages.push(message);
    }
    let mut calls = Calls::default();
    for (index, content) in fields.list("contents")?.into_iter().enumerate() {
        request.messages.push(decode_content(content, index, &format!("contents[{index}]"), &mut calls)?);
    }
    for (index, tool) in fields.list("tools")?.into_iter().enumerate() {
        decode_tool(tool, index, &mut request.tools)?;
    }
    if let Some(config) = fields.take("toolConfig") {
        decode_tool_config(config, &mut request)?;
    }
    if let Some(config) = fields.take("generationConfig") {
        settings::decode(config, &mut request)?;
    }
    request.service_tier = fields.string("serviceTier")?;
    request.state.store = fields.bool("store")?;
    request.extras.extend(fields.rest());
    Ok(request)
}

/// The calls of a conversation, so that results without an id find theirs by name.
#[derive(Default)]
struct Calls {
    /// Id, name, and whether a result came.
    seen: Vec<(String, String, bool)>,
}

impl Calls {
    fn answer(&mut self, id: Option<&str>, name: &str) -> Option<String> {
        let found = self.seen.iter_mut().find(|(theirs, called, answered)| match id {
            Some(id) => theirs == id,
            None => called == name && !*answered,
        })?;
        found.2 = true;
        Some(found.0.clone())
    }

    fn name_of(&self, id: &str) -> Option<&str> {
        self.seen.iter().rev().find(|(theirs, _, _)| theirs == id).map(|(_, name, _)| name.as_str())
    }
}

fn decode_content(value: Value, index: usize, path: &str, calls: &mut Calls) -> Result<Message, BadField> {
    let mut fields = Fields::of(value, path)?;
    let word = fields.string("role")?;
    let role = match word.as_deref() {
        None | Some("user" | "system") => Role::User,
        Some("model") => Role::Assistant,
        Some("function" | "tool") => Role::Tool,
        Some(word) => return Err(BadField::new(fields.path_of("role"), format!("is unknown: `{word}`"))),
    };
    let mut parts = Vec::new();
    for (at, item) in fields.list("parts")?.into_iter().enumerate() {
        let item = part::fields(item, &format!("{path}.parts[{at}]"))?;
        let made = || part::made_id(format_args!("{index}_{at}"));
        if item.has("functionResponse") {
            parts.push(decode_result(item, made, calls)?);
            continue;
        }
        let part = part::decode(item, |_| made())?;
        if let Part::ToolCall { call_id, name, .. } = &part {
            calls.seen.push((call_id.clone(), name.clone(), false));
        }
        parts.push(part);
    }
    let mut extras = fields.rest();
    if let Some(word) = word.filter(|word| !matches!(word.as_str(), "user" | "model") || path == "systemInstruction") {
        extras.insert("~role".to_owned(), word.into());
    }
    Ok(Message { role, name: None, parts, extras })
}

fn decode_result(mut fields: Fields, made: impl FnOnce() -> String, calls: &mut Calls) -> Result<Part, BadField> {
    let Some(mut result) = fields.object("functionResponse")? else { return Err(fields.missing("functionResponse")) };
    let (id, name) = (result.string("id")?, result.string("name")?.unwrap_or_default());
    let call = calls.answer(id.as_deref(), &name);
    let call_id = id.or(call).unwrap_or_else(made);
    let (mut content, is_error) = decode_response(result.take("response"));
    let path = result.path_of("parts");
    for (index, item) in result.list("parts")?.into_iter().enumerate() {
        let item = part::fields(item, &format!("{path}[{index}]"))?;
        content.push(if item.has("inlineData") || item.has("fileData") {
            part::decode_media(item)?
        } else {
            Part::Native { body: Value::Object(item.rest()) }
        });
    }
    let mut extras = part::with_inner(fields, "functionResponse", result);
    if calls.name_of(&call_id) != Some(name.as_str()) {
        extras.insert("~name".to_owned(), name.into());
    }
    Ok(Part::ToolResult { call_id, content, is_error, cache: None, extras })
}

/// A result is an object on this wire: `output` alone holds words, `error` those of a failure, anything else is the
/// result itself.
fn decode_response(response: Option<Value>) -> (Vec<Part>, bool) {
    let Some(response) = response else { return (Vec::new(), false) };
    let failed = response.get("error").is_some_and(|error| !error.is_null());
    let text = match super::words(&response) {
        Some(words) => words.to_owned(),
        None => response.to_string(),
    };
    (vec![Part::text(text)], failed)
}

fn decode_tool(value: Value, group: usize, tools: &mut Vec<Tool>) -> Result<(), BadField> {
    let path = format!("tools[{group}]");
    let mut fields = names::read(value, &path, &["functionDeclarations"])?;
    let is_mixed = fields.has("functionDeclarations");
    for (index, item) in fields.list("functionDeclarations")?.into_iter().enumerate() {
        let path = format!("{path}.functionDeclarations[{index}]");
        let mut fields = names::read(item, path, &["parametersJsonSchema", "responseJsonSchema"])?;
        let (name, description) = (fields.need_string("name")?, fields.string("description")?);
        let mut parameters = fields.take("parametersJsonSchema");
        let mut extras = Extras::new();
        if let (None, Some(theirs)) = (&parameters, fields.take("parameters")) {
            parameters = Some(schema::to_json_schema(theirs.clone()));
            extras.insert("~parameters".to_owned(), theirs);
        }
        extras.extend(fields.rest());
        if group > 0 {
            extras.insert("~group".to_owned(), group.into());
        }
        tools.push(Tool::Function { name, description, parameters, strict: None, cache: None, extras });
    }
    let mut rest = fields.rest();
    if !rest.is_empty() || !is_mixed {
        if is_mixed {
            rest.insert("~group".to_owned(), group.into());
        }
        tools.push(Tool::Native { body: Value::Object(rest) });
    }
    Ok(())
}

fn decode_tool_config(value: Value, request: &mut Request) -> Result<(), BadField> {
    let known = ["functionCallingConfig", "retrievalConfig"];
    let mut fields = names::read(value, "toolConfig", &known)?;
    if let Some(config) = fields.take("functionCallingConfig") {
        let mut config = names::read(config, "toolConfig.functionCallingConfig", &["allowedFunctionNames"])?;
        let mode = config.string("mode")?;
        let allowed = config.list("allowedFunctionNames")?;
        request.tool_choice = match (mode.as_deref().map(str::to_ascii_uppercase).as_deref(), allowed.as_slice()) {
            (Some("AUTO"), []) => Some(ToolChoice::Auto),
            (Some("NONE"), []) => Some(ToolChoice::None),
            (Some("ANY"), []) => Some(ToolChoice::Required),
            (Some("ANY"), [Value::String(name)]) => Some(ToolChoice::Function(name.clone())),
            (None, []) => None,
            _ => {
                let mut native = Extras::new();
                native.extend(mode.map(|mode| ("mode".to_owned(), mode.into())));
                if !allowed.is_empty() {
                    native.insert("allowedFunctionNames".to_owned(), Value::Array(allowed));
                }
                Some(ToolChoice::Native(Value::Object(native)))
            }
        };
        for (key, value) in config.rest() {
            request.extras.insert(format!("toolConfig.functionCallingConfig.{key}"), value);
        }
    }
    for (key, value) in fields.rest() {
        request.extras.insert(format!("toolConfig.{key}"), value);
    }
    Ok(())
}
