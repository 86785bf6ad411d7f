//! Reading a request: known fields are taken, the rest stays as extras.

use super::super::{ID, block};
use super::{messages, settings};
use crate::fields::{BadField, Fields};
use crate::request::{Effort, Message, OutputFormat, Reasoning, Request, Role, Tool, ToolChoice};
use crate::wire::Params;
use crate::wire::writer::keep;
use serde_json::Value;

pub(in crate::wire::bedrock_converse) fn decode(params: &Params, body: Value) -> Result<Request, BadField> {
    let mut fields = Fields::of(body, "")?;
    let mut request = Request::new(ID, super::path_model(params)?);
    let system = block::decode_list(fields.list("system")?, "system")?;
    if !system.is_empty() {
        request.messages.push(Message::new(Role::System, system));
    }
    for (index, message) in fields.list("messages")?.into_iter().enumerate() {
        request.messages.push(decode_message(message, format!("messages[{index}]"))?);
    }
    decode_tools(&mut fields, &mut request)?;
    decode_inference(&mut fields, &mut request)?;
    decode_output(&mut fields, &mut request)?;
    request.stream = params.stream;
    request.stream_usage = params.stream;
    if let Some(mut tier) = fields.object("serviceTier")? {
        request.service_tier = tier.string("type")?;
        keep(&mut request.extras, "serviceTier", tier.rest());
    }
    request.metadata = fields.map("requestMetadata")?;
    request.extras.extend(fields.rest());
    Ok(request)
}

fn decode_message(value: Value, path: String) -> Result<Message, BadField> {
    let mut fields = Fields::of(value, path)?;
    let word = fields.need_string("role")?;
    let role = match word.as_str() {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" => Role::System,
        _ => return Err(BadField::new(fields.path_of("role"), format!("is unknown: `{word}`"))),
    };
    let path = fields.path_of("content");
    let parts = block::decode_list(fields.list("content")?, &path)?;
    let mut extras = fields.rest();
    if role == Role::System {
        extras.insert(messages::TURN.to_owned(), true.into());
    }
    Ok(Message { role, name: None, parts, extras })
}

fn decode_tools(fields: &mut Fields, request: &mut Request) -> Result<(), BadField> {
    let Some(mut config) = fields.object("toolConfig")? else { return Ok(()) };
    for (index, tool) in config.list("tools")?.into_iter().enumerate() {
        match (request.tools.last_mut(), block::cache_point(&tool)) {
            (Some(Tool::Function { cache: cache @ None, .. }), Some(mark)) => *cache = Some(mark),
            _ => request.tools.push(decode_tool(tool, &format!("toolConfig.tools[{index}]"))?),
        }
    }
    decode_tool_choice(&mut config, request)?;
    keep(&mut request.extras, "toolConfig", config.rest());
    Ok(())
}

fn decode_tool(value: Value, path: &str) -> Result<Tool, BadField> {
    let mut fields = Fields::of(value, path)?;
    let Some(mut spec) = fields.object("toolSpec")? else {
        return Ok(Tool::Native { body: Value::Object(fields.rest()) });
    };
    let name = spec.need_string("name")?;
    let description = spec.string("description")?;
    let strict = spec.bool("strict")?;
    let (mut parameters, mut schema_rest) = (None, crate::Extras::new());
    if let Some(mut schema) = spec.object("inputSchema")? {
        parameters = schema.take("json");
        schema_rest = schema.rest();
    }
    let mut rest = spec.rest();
    keep(&mut rest, "inputSchema", schema_rest);
    let mut extras = fields.rest();
    keep(&mut extras, "toolSpec", rest);
    Ok(Tool::Function { name, description, parameters, strict, cache: None, extras })
}

/// A choice is an object with one key; one that says more goes home as it is.
fn decode_tool_choice(config: &mut Fields, request: &mut Request) -> Result<(), BadField> {
    let Some(choice) = config.take("toolChoice") else { return Ok(()) };
    let only = choice.as_object().filter(|choice| choice.len() == 1).and_then(|choice| choice.iter().next());
    let known = match only {
        Some((key, Value::Object(inner))) => match (key.as_str(), inner.len()) {
            ("auto", 0) => Some(ToolChoice::Auto),
            ("any", 0) => Some(ToolChoice::Required),
            ("tool", 1) => inner.get("name").and_then(Value::as_str).map(|name| ToolChoice::Function(name.to_owned())),
            _ => None,
        },
        _ => None,
    };
    request.tool_choice = Some(known.unwrap_or(ToolChoice::Native(choice)));
    Ok(())
}

/// Takes `inferenceConfig`, and of the model's own settings those that other wires can say.
fn decode_inference(fields: &mut Fields, request: &mut Request) -> Result<(), BadField> {
    let sampling = &mut request.sampling;
    if let Some(mut config) = fields.object("inferenceConfig")? {
        sampling.max_output_tokens = config.u64("maxTokens")?;
        sampling.temperature = config.f64("temperature")?;
        sampling.top_p = config.f64("topP")?;
        let path = config.path_of("stopSequences");
        for item in config.list("stopSequences")? {
            match item {
                Value::String(text) => sampling.stop.push(text),
                _ => return Err(BadField::new(path, "must be a list of strings")),
            }
        }
        keep(&mut request.extras, "inferenceConfig", config.rest());
    }
    let Some(mut more) = fields.object("additionalModelRequestFields")? else { return Ok(()) };
    if more.peek("top_k").is_some_and(Value::is_u64) {
        sampling.top_k = more.u64("top_k")?;
    }
    request.reasoning = decode_thinking(&mut more)?;
    keep(&mut request.extras, "additionalModelRequestFields", more.rest());
    Ok(())
}

/// Takes Claude's `thinking`; a form that we do not know stays where it is.
fn decode_thinking(more: &mut Fields) -> Result<Option<Reasoning>, BadField> {
    let kind = more.peek("thinking").and_then(|thinking| thinking.get("type")).and_then(Value::as_str);
    if !matches!(kind, Some("enabled" | "adaptive" | "disabled")) {
        return Ok(None);
    }
    let Some(mut thinking) = more.object("thinking")? else { return Ok(None) };
    let mut reasoning = Reasoning::default();
    match thinking.string("type")?.as_deref() {
        Some("enabled") => reasoning.budget_tokens = thinking.u64("budget_tokens")?,
        Some("adaptive") => reasoning.adaptive = true,
        _ => reasoning.effort = Some(Effort::None),
    }
    reasoning.include = match thinking.peek_str("display") {
        Some("summarized") => Some(true),
        Some("omitted") => Some(false),
        _ => None,
    };
    if reasoning.include.is_some() {
        thinking.take("display");
    }
    keep(&mut reasoning.extras, "thinking", thinking.rest());
    Ok(Some(reasoning))
}

/// Takes `outputConfig`: a demanded schema, and the effort.
fn decode_output(fields: &mut Fields, request: &mut Request) -> Result<(), BadField> {
    let Some(mut config) = fields.object("outputConfig")? else { return Ok(()) };
    if let Some(effort) = config.peek_str("effort").and_then(settings::effort_of) {
        let word = config.need_string("effort")?;
        let reasoning = request.reasoning.get_or_insert_default();
        // Off wins; the effort that the answer itself gets is home's own.
        reasoning.effort = reasoning.effort.or(Some(effort));
        reasoning.extras.insert(settings::EFFORT.to_owned(), word.into());
    }
    let mut rest_of_format = None;
    if config.peek("textFormat").and_then(|format| format.get("type")).and_then(Value::as_str) == Some("json_schema")
        && let Some(mut format) = config.object("textFormat")?
    {
        format.take("type");
        let mut structure = format.object("structure")?.ok_or_else(|| format.missing("structure"))?;
        let mut inner = structure.object("jsonSchema")?.ok_or_else(|| structure.missing("jsonSchema"))?;
        let text = inner.need_string("schema")?;
        let schema: Value = serde_json::from_str(&text).map_err(|error| {
            BadField::new(inner.path_of("schema"), format!("must be the text of a schema: {error}"))
        })?;
        let plain = schema.to_string();
        if plain != text {
            request.extras.insert(settings::SCHEMA.to_owned(), text.into());
        }
        let (name, description) = (inner.string("name")?, inner.string("description")?);
        request.output = OutputFormat::Schema { name, description, schema, strict: None };
        let mut rest = structure.rest();
        keep(&mut rest, "jsonSchema", inner.rest());
        let mut outer = format.rest();
        keep(&mut outer, "structure", rest);
        rest_of_format = Some(outer);
    }
    let mut rest = config.rest();
    keep(&mut rest, "textFormat", rest_of_format.unwrap_or_default());
    keep(&mut request.extras, "outputConfig", rest);
    Ok(())
}
