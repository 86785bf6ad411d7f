//! Reading a request: known fields are taken, the rest stays as extras.

use crate::Extras;
use crate::fields::{BadField, Fields};
use crate::request::{Effort, Message, OutputFormat, Part, Reasoning, Request, Role, Sampling, Seal, Tool, ToolChoice};
use crate::wire::openai;
use crate::wire::openai_responses::items::{self, HOME, Item};
use crate::wire::openai_responses::{ID, ids};
use serde_json::{Value, json};

/// What in `include` asks for log probabilities.
pub(super) const LOGPROBS: &str = "message.output_text.logprobs";

/// What in `include` asks for reasoning that can be sent back. Every wire with such blocks sends them unasked, so it
/// is bookkeeping abroad.
pub(in crate::wire::openai_responses) const ENCRYPTED: &str = "reasoning.encrypted_content";

pub(in crate::wire::openai_responses) fn decode(body: Value) -> Result<Request, BadField> {
    let mut fields = Fields::of(body, "")?;
    if !fields.has("input") && !super::STANDS_FOR_INPUT.iter().any(|key| fields.has(key)) {
        return Err(super::no_input());
    }
    let mut request = Request::new(ID, fields.need_string("model")?);
    if let Some(text) = fields.string("instructions")? {
        let mut message = Message::text(Role::System, text);
        message.extras.insert(HOME.to_owned(), json!({"instructions": true}));
        request.messages.push(message);
    }
    decode_input(&mut fields, &mut request.messages)?;
    for (index, tool) in fields.list("tools")?.into_iter().enumerate() {
        request.tools.push(decode_tool(tool, &format!("tools[{index}]"))?);
    }
    request.tool_choice = fields.take("tool_choice").map(decode_tool_choice);
    request.parallel_tool_calls = fields.bool("parallel_tool_calls")?;
    request.sampling = Sampling {
        max_output_tokens: fields.u64("max_output_tokens")?,
        temperature: fields.f64("temperature")?,
        top_p: fields.f64("top_p")?,
        ..Sampling::default()
    };
    let mut home = Extras::new();
    decode_include(&mut fields, &mut request, &mut home)?;
    decode_text(&mut fields, &mut request)?;
    request.reasoning = decode_reasoning(&mut fields)?;
    request.stream = fields.bool("stream")?.unwrap_or(false);
    request.stream_usage = true;
    request.service_tier = fields.string("service_tier")?;
    request.user = fields.string("user")?;
    request.metadata = fields.map("metadata")?;
    request.state.store = fields.bool("store")?;
    request.state.previous = fields.string("previous_response_id")?;
    request.state.conversation = fields.take("conversation");
    take_defaults(&mut fields, &mut home);
    if !home.is_empty() {
        request.extras.insert(HOME.to_owned(), Value::Object(home));
    }
    request.extras.extend(fields.rest());
    Ok(request)
}

/// What merely says the default, or is about padding, asks nothing of another wire.
fn take_defaults(fields: &mut Fields, home: &mut Extras) {
    for (key, default) in [("truncation", json!("disabled")), ("background", json!(false))] {
        if fields.peek(key) == Some(&default) {
            fields.take(key);
            home.insert(key.to_owned(), default);
        }
    }
    let padding =
        |options: &Value| options.as_object().is_some_and(|o| o.keys().all(|key| key == "include_obfuscation"));
    if fields.peek("stream_options").is_some_and(padding)
        && let Some(options) = fields.take("stream_options")
    {
        home.insert("stream_options".to_owned(), options);
    }
}

fn decode_input(fields: &mut Fields, messages: &mut Vec<Message>) -> Result<(), BadField> {
    match fields.take("input") {
        None => {}
        Some(Value::String(text)) => messages.push(Message::text(Role::User, text)),
        Some(Value::Array(list)) => {
            for (index, item) in list.into_iter().enumerate() {
                push(items::decode(item, &format!("input[{index}]"))?, messages);
            }
        }
        Some(_) => return Err(BadField::new("input", "must be a string or a list of items")),
    }
    Ok(())
}

/// Adds an item to the conversation: the model's own items that follow each other are one turn.
fn push(item: Item, messages: &mut Vec<Message>) {
    let parts = match item {
        Item::Said(message) => return messages.push(message),
        Item::Turn(parts) => referred(parts),
        Item::Native(body) => {
            let in_turn = messages.last().is_some_and(|last| last.role == Role::Assistant) && !answers_a_call(&body);
            let part = Part::Native { body };
            if !in_turn {
                return messages.push(Message::new(Role::Tool, vec![part]));
            }
            vec![part]
        }
    };
    match messages.last_mut() {
        Some(last) if last.role == Role::Assistant => last.parts.extend(parts),
        _ => messages.push(Message::new(Role::Assistant, parts)),
    }
}

/// Thinking without its encrypted form stands for what its maker keeps under its id: nobody else can read that.
fn referred(mut parts: Vec<Part>) -> Vec<Part> {
    let id = parts.first().and_then(items::home_of).and_then(|home| items::home_str(Some(home), "id"));
    let Some(id) = id.filter(|id| ids::is_theirs("rs", id)).map(str::to_owned) else { return parts };
    if let Some(Part::Reasoning { seal: seal @ None, .. }) = parts.last_mut() {
        *seal = Some(Seal { data: id, redacted: true, signer: None });
    }
    parts
}

/// Whether an item that we do not model is the client's answer to a call, which ends the model's turn.
fn answers_a_call(item: &Value) -> bool {
    let kind = item.get("type").and_then(Value::as_str).unwrap_or_default();
    kind.ends_with("_output") || kind.ends_with("_response")
}

fn decode_include(fields: &mut Fields, request: &mut Request, home: &mut Extras) -> Result<(), BadField> {
    let all = fields.list("include")?;
    let mut rest = Vec::new();
    for item in &all {
        match item.as_str() {
            Some(LOGPROBS) => request.sampling.logprobs = Some(true),
            Some(ENCRYPTED) => {}
            _ => rest.push(item.clone()),
        }
    }
    if request.sampling.logprobs.is_some() {
        request.sampling.top_logprobs = fields.u32("top_logprobs")?;
    }
    if !all.is_empty() {
        home.insert("include".to_owned(), Value::Array(all));
    }
    if !rest.is_empty() {
        request.extras.insert("include".to_owned(), Value::Array(rest));
    }
    Ok(())
}

fn decode_text(fields: &mut Fields, request: &mut Request) -> Result<(), BadField> {
    let Some(mut text) = fields.object("text")? else { return Ok(()) };
    let mut rest = Extras::new();
    match text.peek("format").and_then(|format| format.get("type")).and_then(Value::as_str) {
        Some("text" | "json_object" | "json_schema") => {
            if let Some(mut format) = text.object("format")? {
                request.output = decode_format(&mut format)?;
                let more = format.rest();
                if !more.is_empty() {
                    rest.insert("format".to_owned(), Value::Object(more));
                }
            }
        }
        // A form of answer that the canon does not know goes home whole.
        Some(_) => {}
        None if text.has("format") => return Err(BadField::new("text.format.type", "is missing")),
        None => {}
    }
    if let Some(verbosity) = text.take("verbosity") {
        request.extras.insert("verbosity".to_owned(), verbosity);
    }
    rest.extend(text.rest());
    if !rest.is_empty() {
        request.extras.insert("text".to_owned(), Value::Object(rest));
    }
    Ok(())
}

fn decode_format(format: &mut Fields) -> Result<OutputFormat, BadField> {
    let kind = format.need_string("type")?;
    Ok(match kind.as_str() {
        "json_object" => OutputFormat::Json,
        "json_schema" => OutputFormat::Schema {
            name: format.string("name")?,
            description: format.string("description")?,
            schema: format.take("schema").ok_or_else(|| format.missing("schema"))?,
            strict: format.bool("strict")?,
        },
        _ => OutputFormat::Text,
    })
}

fn decode_reasoning(fields: &mut Fields) -> Result<Option<Reasoning>, BadField> {
    let Some(mut inner) = fields.object("reasoning")? else { return Ok(None) };
    let mut reasoning = Reasoning::default();
    let mut home = Extras::new();
    if let Some(word) = inner.string("effort")? {
        let effort = openai::decode_effort(&word, "reasoning.effort")?;
        // Two words for the most effort: the client's own goes home.
        if effort == Effort::Max {
            home.insert("effort".to_owned(), word.into());
        }
        reasoning.effort = Some(effort);
    }
    reasoning.summary = inner.string("summary")?;
    if reasoning.summary.is_none() {
        // The retired name.
        reasoning.summary = inner.string("generate_summary")?;
    }
    reasoning.extras = inner.rest();
    if !home.is_empty() {
        reasoning.extras.insert(HOME.to_owned(), Value::Object(home));
    }
    Ok(Some(reasoning))
}

fn decode_tool(value: Value, path: &str) -> Result<Tool, BadField> {
    let mut fields = Fields::of(value, path)?;
    match fields.peek_str("type") {
        Some("function") => {}
        Some(_) => return Ok(Tool::Native { body: Value::Object(fields.rest()) }),
        None => {
            fields.take("type");
            return Err(fields.missing("type"));
        }
    }
    fields.take("type");
    Ok(Tool::Function {
        name: fields.need_string("name")?,
        description: fields.string("description")?,
        parameters: fields.take("parameters"),
        strict: fields.bool("strict")?,
        cache: None,
        extras: fields.rest(),
    })
}

fn decode_tool_choice(value: Value) -> ToolChoice {
    match value.as_str() {
        Some("auto") => return ToolChoice::Auto,
        Some("none") => return ToolChoice::None,
        Some("required") => return ToolChoice::Required,
        _ => {}
    }
    match (value.get("type").and_then(Value::as_str), value.get("name").and_then(Value::as_str)) {
        (Some("function"), Some(name)) if value.as_object().is_some_and(|fields| fields.len() == 2) => {
            ToolChoice::Function(name.to_owned())
        }
        _ => ToolChoice::Native(value),
    }
}
