//! Reading a request: known fields are taken, the rest stays as extras.

use super::super::{ID, part};
use super::settings::{SCHEMA_KEY, TEXT_FORMAT};
use crate::Extras;
use crate::fields::{BadField, Fields};
use crate::request::{Effort, Message, OutputFormat, Part, Reasoning, Request, Role, Sampling, Tool, ToolChoice};
use crate::wire::openai_chat::pieces;
use crate::wire::writer::keep;
use serde_json::Value;

pub(in crate::wire::cohere_v2) fn decode(body: Value) -> Result<Request, BadField> {
    let mut fields = Fields::of(body, "")?;
    let mut request = Request::new(ID, fields.need_string("model")?);
    if !fields.has("messages") {
        return Err(fields.missing("messages"));
    }
    for (index, message) in fields.list("messages")?.into_iter().enumerate() {
        request.messages.push(decode_message(message, format!("messages[{index}]"))?);
    }
    for (index, tool) in fields.list("tools")?.into_iter().enumerate() {
        request.tools.push(pieces::decode_tool(tool, &format!("tools[{index}]"))?);
    }
    decode_strictness(&mut fields, &mut request)?;
    request.tool_choice = fields.take("tool_choice").map(|value| match value.as_str() {
        Some("REQUIRED") => ToolChoice::Required,
        Some("NONE") => ToolChoice::None,
        _ => ToolChoice::Native(value),
    });
    request.sampling = decode_sampling(&mut fields)?;
    request.output = decode_output(&mut fields, &mut request.extras)?;
    request.reasoning = decode_reasoning(&mut fields)?;
    request.stream = fields.bool("stream")?.unwrap_or(false);
    request.stream_usage = request.stream;
    request.extras.extend(fields.rest());
    Ok(request)
}

fn decode_message(value: Value, path: String) -> Result<Message, BadField> {
    let mut fields = Fields::of(value, path)?;
    let word = fields.need_string("role")?;
    let is_list = fields.peek("content").is_some_and(Value::is_array);
    let (role, parts) = match word.as_str() {
        "system" => (Role::System, part::decode_content(&mut fields)?),
        "user" => (Role::User, part::decode_content(&mut fields)?),
        "assistant" => (Role::Assistant, part::decode_assistant(&mut fields)?),
        "tool" => {
            let call_id = fields.need_string("tool_call_id")?;
            let content = part::decode_content(&mut fields)?;
            let extras = Extras::new();
            (Role::Tool, vec![Part::ToolResult { call_id, content, is_error: false, cache: None, extras }])
        }
        _ => return Err(BadField::new(fields.path_of("role"), format!("is unknown: `{word}`"))),
    };
    let mut extras = fields.rest();
    if is_list {
        extras.insert(part::LIST.to_owned(), true.into());
    }
    Ok(Message { role, name: None, parts, extras })
}

/// The wire's one word on strictness is that of each tool.
fn decode_strictness(fields: &mut Fields, request: &mut Request) -> Result<(), BadField> {
    let functions = || request.tools.iter().filter(|tool| matches!(tool, Tool::Function { strict: None, .. }));
    if functions().count() == 0 || functions().count() < request.tools.len() {
        return Ok(());
    }
    if let Some(all) = fields.bool("strict_tools")? {
        for tool in &mut request.tools {
            if let Tool::Function { strict, .. } = tool {
                *strict = Some(all);
            }
        }
    }
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
        top_p: fields.f64("p")?,
        top_k: fields.u64("k")?,
        frequency_penalty: fields.f64("frequency_penalty")?,
        presence_penalty: fields.f64("presence_penalty")?,
        seed: fields.i64("seed")?,
        stop,
        logprobs: fields.bool("logprobs")?,
        ..Sampling::default()
    })
}

fn decode_output(fields: &mut Fields, extras: &mut Extras) -> Result<OutputFormat, BadField> {
    let Some(mut format) = fields.object("response_format")? else { return Ok(OutputFormat::Text) };
    let kind = format.need_string("type")?;
    let output = match kind.as_str() {
        "text" => {
            extras.insert(TEXT_FORMAT.to_owned(), true.into());
            OutputFormat::Text
        }
        "json_object" => {
            // The second is its older name.
            let key = if format.has("json_schema") { "json_schema" } else { "schema" };
            match format.take(key) {
                Some(schema) => {
                    if key == "schema" {
                        extras.insert(SCHEMA_KEY.to_owned(), true.into());
                    }
                    OutputFormat::Schema { name: None, description: None, schema, strict: None }
                }
                None => OutputFormat::Json,
            }
        }
        _ => {
            let problem = format!("is unknown: `{kind}`; known: text, json_object");
            return Err(BadField::new("response_format.type", problem));
        }
    };
    keep(extras, "response_format", format.rest());
    Ok(output)
}

/// Takes `thinking`; a form that we do not know stays where it is.
fn decode_reasoning(fields: &mut Fields) -> Result<Option<Reasoning>, BadField> {
    let kind = fields.peek("thinking").and_then(|thinking| thinking.get("type")).and_then(Value::as_str);
    if !matches!(kind, Some("enabled" | "disabled")) {
        return Ok(None);
    }
    let Some(mut thinking) = fields.object("thinking")? else { return Ok(None) };
    let is_on = thinking.string("type")?.as_deref() == Some("enabled");
    let budget_tokens = thinking.u64("token_budget")?;
    let mut reasoning = Reasoning { budget_tokens, adaptive: is_on && budget_tokens.is_none(), ..Reasoning::default() };
    if !is_on {
        reasoning.effort = Some(Effort::None);
    }
    keep(&mut reasoning.extras, "thinking", thinking.rest());
    Ok(Some(reasoning))
}
