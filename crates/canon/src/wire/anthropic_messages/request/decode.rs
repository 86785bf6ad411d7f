//! Reading a request: known fields are taken, the rest stays as extras.

use super::super::{ID, block};
use crate::Extras;
use crate::fields::{BadField, Fields};
use crate::request::{Effort, Message, OutputFormat, Reasoning, Request, Role, Sampling, Tool, ToolChoice};
use crate::wire::writer::keep;
use serde_json::Value;

pub(in crate::wire::anthropic_messages) fn decode(body: Value) -> Result<Request, BadField> {
    let mut fields = Fields::of(body, "")?;
    let mut request = Request::new(ID, fields.need_string("model")?);
    let system = block::decode_content(fields.take("system"), "system")?;
    if !system.is_empty() {
        request.messages.push(Message::new(Role::System, system));
    }
    if !fields.has("messages") {
        return Err(fields.missing("messages"));
    }
    for (index, message) in fields.list("messages")?.into_iter().enumerate() {
        request.messages.push(decode_message(message, format!("messages[{index}]"))?);
    }
    for (index, tool) in fields.list("tools")?.into_iter().enumerate() {
        request.tools.push(decode_tool(tool, &format!("tools[{index}]"))?);
    }
    decode_tool_choice(&mut fields, &mut request)?;
    request.sampling = decode_sampling(&mut fields)?;
    let effort = decode_output(&mut fields, &mut request)?;
    request.reasoning = decode_reasoning(&mut fields, effort, &mut request.extras)?;
    request.stream = fields.bool("stream")?.unwrap_or(false);
    request.stream_usage = request.stream;
    request.service_tier = fields.string("service_tier")?;
    if let Some(mut metadata) = fields.object("metadata")? {
        request.user = metadata.string("user_id")?;
        request.metadata = metadata.rest();
    }
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
    if !fields.has("content") {
        return Err(fields.missing("content"));
    }
    let path = fields.path_of("content");
    let parts = block::decode_content(fields.take("content"), &path)?;
    Ok(Message { role, name: None, parts, extras: fields.rest() })
}

/// A tool without a `type` is the client's own; every other type names one that Anthropic defines.
fn decode_tool(value: Value, path: &str) -> Result<Tool, BadField> {
    let mut fields = Fields::of(value, path)?;
    if fields.has("type") && fields.peek_str("type") != Some("custom") {
        return Ok(Tool::Native { body: Value::Object(fields.rest()) });
    }
    fields.take("type");
    let (cache, rest) = block::decode_cache(&mut fields)?;
    let name = fields.need_string("name")?;
    let description = fields.string("description")?;
    let parameters = fields.take("input_schema");
    let strict = fields.bool("strict")?;
    let mut extras = fields.rest();
    if !rest.is_empty() {
        extras.insert("cache_control".to_owned(), Value::Object(rest));
    }
    Ok(Tool::Function { name, description, parameters, strict, cache, extras })
}

fn decode_tool_choice(fields: &mut Fields, request: &mut Request) -> Result<(), BadField> {
    let kind = fields.peek("tool_choice").and_then(|choice| choice.get("type")).and_then(Value::as_str);
    if !matches!(kind, Some("auto" | "any" | "tool" | "none")) {
        request.tool_choice = fields.take("tool_choice").map(ToolChoice::Native);
        return Ok(());
    }
    let Some(mut choice) = fields.object("tool_choice")? else { return Ok(()) };
    request.tool_choice = Some(match choice.string("type")?.as_deref() {
        Some("none") => ToolChoice::None,
        Some("any") => ToolChoice::Required,
        Some("tool") => ToolChoice::Function(choice.need_string("name")?),
        _ => ToolChoice::Auto,
    });
    request.parallel_tool_calls = choice.bool("disable_parallel_tool_use")?.map(|disabled| !disabled);
    keep(&mut request.extras, "tool_choice", choice.rest());
    Ok(())
}

fn decode_sampling(fields: &mut Fields) -> Result<Sampling, BadField> {
    let stop = fields
        .list("stop_sequences")?
        .into_iter()
        .map(|item| match item {
            Value::String(text) => Ok(text),
            _ => Err(BadField::new("stop_sequences", "must be a list of strings")),
        })
        .collect::<Result<_, _>>()?;
    Ok(Sampling {
        max_output_tokens: fields.u64("max_tokens")?,
        temperature: fields.f64("temperature")?,
        top_p: fields.f64("top_p")?,
        top_k: fields.u64("top_k")?,
        stop,
        ..Sampling::default()
    })
}

/// Takes `output_config` and `output_format` (its name while in beta); gives back the effort's word.
fn decode_output(fields: &mut Fields, request: &mut Request) -> Result<Option<String>, BadField> {
    let mut config = fields.object("output_config")?;
    let effort = match &mut config {
        Some(config) => config.string("effort")?,
        None => None,
    };
    let newer = config.as_mut().map(|config| config.object("format")).transpose()?.flatten();
    let format = match newer {
        Some(format) => Some(format),
        None => fields.object("output_format")?,
    };
    let mut rest = config.map(Fields::rest).unwrap_or_default();
    if let Some(mut format) = format {
        if format.peek_str("type") != Some("json_schema") {
            return Err(BadField::new(format.path_of("type"), "is unknown; known: json_schema"));
        }
        format.take("type");
        let schema = format.take("schema").ok_or_else(|| format.missing("schema"))?;
        request.output = OutputFormat::Schema { name: None, description: None, schema, strict: None };
        keep(&mut rest, "format", format.rest());
    }
    keep(&mut request.extras, "output_config", rest);
    Ok(effort)
}

/// Joins `thinking` and the effort's word.
fn decode_reasoning(
    fields: &mut Fields,
    effort: Option<String>,
    extras: &mut Extras,
) -> Result<Option<Reasoning>, BadField> {
    let thinking = fields.object("thinking")?;
    if thinking.is_none() && effort.is_none() {
        return Ok(None);
    }
    let mut reasoning = Reasoning::default();
    if let Some(word) = effort.as_deref() {
        reasoning.effort = Some(match word {
            "low" => Effort::Low,
            "medium" => Effort::Medium,
            "high" => Effort::High,
            "xhigh" | "max" => Effort::Max,
            _ => {
                let known = "low, medium, high, xhigh, max";
                return Err(BadField::new("output_config.effort", format!("is unknown: `{word}`; known: {known}")));
            }
        });
        // One step above what other wires can say.
        if word == "max" {
            reasoning.extras.insert("effort".to_owned(), word.into());
        }
    }
    let Some(mut thinking) = thinking else { return Ok(Some(reasoning)) };
    match thinking.peek_str("type") {
        Some("enabled") => {
            reasoning.budget_tokens = thinking.u64("budget_tokens")?;
            if reasoning.budget_tokens.is_none() {
                return Err(thinking.missing("budget_tokens"));
            }
        }
        Some("adaptive") => reasoning.adaptive = true,
        Some("disabled") => {
            if let Some(word) = effort {
                // Off wins; the effort that the answer itself gets is home's own.
                let config = extras.entry("output_config").or_insert_with(|| Value::Object(Extras::new()));
                if let Value::Object(config) = config {
                    config.insert("effort".to_owned(), word.into());
                }
                reasoning.extras.shift_remove("effort");
            }
            reasoning.effort = Some(Effort::None);
        }
        Some(_) => {
            keep(&mut reasoning.extras, "thinking", thinking.rest());
            return Ok(Some(reasoning));
        }
        None => return Err(thinking.missing("type")),
    }
    thinking.take("type");
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
