//! Writing a request: what this wire can say is said, everything else becomes a named loss.

use super::super::{ID, citation, part};
use super::settings;
use crate::Extras;
use crate::media::MediaKind;
use crate::request::{CacheMark, Message, Part, Request, Role, Seal, Tool, ToolChoice};
use crate::wire::openai_chat::pieces;
use crate::wire::writer::{Writer, put};
use crate::wire::{Encoded, Target, orphans};
use serde_json::{Value, json};

pub(in crate::wire::cohere_v2) fn encode(request: &Request, target: &Target) -> Encoded {
    let mut pen = Writer::new(request.origin, ID);
    let request = &*orphans::mend(request, &mut pen);
    let mut body = Extras::new();
    body.insert("model".to_owned(), target.model.clone().into());
    let (mut messages, mut later) = (Vec::new(), Vec::new());
    for (index, message) in request.messages.iter().enumerate() {
        encode_message(message, &format!("messages[{index}]"), &mut pen, &mut messages, &mut later);
    }
    flush(&mut later, &mut messages);
    body.insert("messages".to_owned(), Value::Array(messages));
    encode_tools(request, &mut pen, &mut body);
    settings::sampling(&request.sampling, &mut pen, &mut body);
    settings::output(request, &mut pen, &mut body);
    if let Some(reasoning) = &request.reasoning {
        settings::thinking(reasoning, &mut pen, &mut body);
    }
    if request.stream {
        body.insert("stream".to_owned(), true.into());
    }
    settings::account(request, &mut pen);
    pen.extras(&request.extras, "", &mut body);
    pen.quirks(&target.quirks, &mut body);
    Encoded { body: Value::Object(body), losses: pen.losses() }
}

/// Pictures of results, once all results of the turn are said.
fn flush(later: &mut Vec<Value>, out: &mut Vec<Value>) {
    if !later.is_empty() {
        out.push(json!({"role": "user", "content": std::mem::take(later)}));
    }
}

fn encode_message(message: &Message, path: &str, pen: &mut Writer, out: &mut Vec<Value>, later: &mut Vec<Value>) {
    let mut rest = Vec::new();
    for (index, part) in message.parts.iter().enumerate() {
        let at = format!("{path}.content[{index}]");
        match part {
            Part::ToolResult { .. } => encode_result(message, part, &at, pen, out, later),
            other => rest.push((at, other)),
        }
    }
    if message.name.is_some() {
        pen.drop(format!("{path}.name"));
    }
    let mut extras = message.extras.clone();
    if pen.home && message.role == Role::Assistant {
        // They are written beside those of the words.
        extras.shift_remove("citations");
    }
    let mut fields = Extras::new();
    if message.role != Role::Tool && (!rest.is_empty() || message.parts.is_empty()) {
        if message.role != Role::User {
            flush(later, out);
        }
        encode_said(&rest, message, pen, later, &mut fields);
    } else {
        // Beside results the wire has no place for words of a tool.
        rest.iter().for_each(|(at, _)| pen.drop(at));
    }
    if fields.is_empty() {
        // Results alone, or nothing that could be said: the message itself is not.
        if message.role != Role::Tool {
            pen.extras(&extras, path, &mut Extras::new());
        }
        return;
    }
    pen.extras(&extras, path, &mut fields);
    out.push(Value::Object(fields));
}

/// Writes role and content; nothing where nothing is left, since an empty message would be refused.
fn encode_said(
    parts: &[(String, &Part)],
    message: &Message,
    pen: &mut Writer,
    later: &mut Vec<Value>,
    fields: &mut Extras,
) {
    let role = match message.role {
        Role::System | Role::Developer => "system",
        Role::Assistant => "assistant",
        Role::User | Role::Tool => "user",
    };
    if message.role == Role::Assistant {
        fields.insert("role".to_owned(), role.into());
        encode_assistant(parts, message, pen, fields);
        if fields.len() == 1 {
            fields.clear();
        }
        return;
    }
    let mut content = std::mem::take(later);
    content.extend(parts.iter().filter_map(|(at, part)| encode_content(part, message.role, at, pen)));
    if content.is_empty() && !message.parts.is_empty() {
        return;
    }
    fields.insert("role".to_owned(), role.into());
    fields.insert("content".to_owned(), string_or_list(content, message, pen.home));
}

/// One text alone is a string, as most clients write it; at home as it came.
fn string_or_list(mut content: Vec<Value>, message: &Message, home: bool) -> Value {
    let was_list = home && message.extras.contains_key(part::LIST);
    if let [Value::Object(only)] = content.as_mut_slice()
        && !was_list
        && only.len() == 2
        && only.get("type").and_then(Value::as_str) == Some("text")
    {
        return only.shift_remove("text").unwrap_or_default();
    }
    if content.is_empty() && !was_list { "".into() } else { Value::Array(content) }
}

/// Pictures may stand only in user messages: those of a tool's result move to one right after the results.
fn encode_result(
    message: &Message,
    part: &Part,
    path: &str,
    pen: &mut Writer,
    out: &mut Vec<Value>,
    later: &mut Vec<Value>,
) {
    let Part::ToolResult { call_id, content, is_error, cache, extras } = part else { return };
    let mut texts = Vec::new();
    for (index, part) in content.iter().enumerate() {
        let at = format!("{path}.content[{index}]");
        if matches!(part, Part::Media(_)) {
            if let Some(value) = encode_content(part, Role::User, &at, pen) {
                pen.emulate(at);
                later.push(value);
            }
        } else {
            texts.extend(encode_content(part, Role::Tool, &at, pen));
        }
    }
    if *is_error {
        pen.drop(format!("{path}.is_error"));
    }
    lose_marks(None, cache.as_ref(), path, pen);
    let mut fields = Extras::new();
    fields.insert("role".to_owned(), "tool".into());
    fields.insert("tool_call_id".to_owned(), call_id.clone().into());
    fields.insert("content".to_owned(), string_or_list(texts, message, pen.home));
    pen.extras(extras, path, &mut fields);
    if message.role == Role::Tool {
        pen.extras(&message.extras, path, &mut fields);
    }
    out.push(Value::Object(fields));
}

fn encode_assistant(parts: &[(String, &Part)], message: &Message, pen: &mut Writer, fields: &mut Extras) {
    let (mut content, mut calls, mut plan, mut citations) = (Vec::new(), Vec::new(), None::<String>, Vec::new());
    for (at, part) in parts {
        match part {
            Part::ToolCall { call_id, name, arguments, seal, cache, extras } => {
                lose_marks(seal.as_ref(), cache.as_ref(), at, pen);
                calls.push(pieces::encode_call(call_id, name, arguments, extras, at, pen));
            }
            Part::Reasoning { text, extras, .. } if pen.home && extras.contains_key(part::PLAN) => {
                plan.get_or_insert_default().push_str(text);
            }
            Part::Text { citations: own, .. } if pen.home => {
                citations.extend(own.iter().map(|own| citation::encode(own, content.len(), true)));
                content.extend(encode_content(part, Role::Assistant, at, pen));
            }
            other => content.extend(encode_content(other, Role::Assistant, at, pen)),
        }
    }
    if !content.is_empty() || (pen.home && calls.is_empty() && plan.is_none()) {
        fields.insert("content".to_owned(), string_or_list(content, message, pen.home));
    }
    put(fields, "tool_plan", plan);
    if !calls.is_empty() {
        fields.insert("tool_calls".to_owned(), Value::Array(calls));
    }
    if let Some(Value::Array(others)) = message.extras.get("citations").filter(|_| pen.home) {
        citations.extend(others.iter().cloned());
    }
    if !citations.is_empty() {
        fields.insert("citations".to_owned(), Value::Array(citations));
    }
}

fn encode_content(part: &Part, role: Role, path: &str, pen: &mut Writer) -> Option<Value> {
    let (mut body, extras) = match part {
        Part::Text { text, citations, logprobs, seal, cache, extras } => {
            lose_marks(seal.as_ref(), cache.as_ref(), path, pen);
            if !logprobs.is_empty() {
                pen.drop(format!("{path}.logprobs"));
            }
            if !citations.is_empty() && !pen.home {
                pen.drop(format!("{path}.citations"));
            }
            (part::text(text, extras, pen.home), extras)
        }
        Part::Refusal { text, extras } => {
            pen.weaken(path);
            (part::text(text, extras, false), extras)
        }
        Part::Reasoning { text, seal, extras, .. } => {
            lose_marks(seal.as_ref(), None, path, pen);
            if role != Role::Assistant || (text.is_empty() && !pen.home) {
                if !text.is_empty() || !extras.is_empty() {
                    pen.drop(path);
                }
                return None;
            }
            (part::thinking(text), extras)
        }
        Part::Media(media) if media.kind == MediaKind::Image && (pen.home || role == Role::User) => {
            lose_marks(None, media.cache.as_ref(), path, pen);
            return pieces::encode_media(media, path, pen);
        }
        Part::Native { body } if pen.home => return Some(body.clone()),
        Part::Media(_) | Part::Native { .. } | Part::ToolCall { .. } | Part::ToolResult { .. } => {
            pen.drop(path);
            return None;
        }
    };
    pen.extras(extras, path, &mut body);
    Some(Value::Object(body))
}

fn lose_marks(seal: Option<&Seal>, cache: Option<&CacheMark>, path: &str, pen: &mut Writer) {
    if seal.is_some() {
        pen.drop(format!("{path}.signature"));
    }
    if cache.is_some() {
        pen.drop(format!("{path}.cache_control"));
    }
}

fn encode_tools(request: &Request, pen: &mut Writer, body: &mut Extras) {
    let named = match &request.tool_choice {
        Some(ToolChoice::Function(name)) => Some(name),
        _ => None,
    };
    let (mut tools, mut strictness) = (Vec::new(), Vec::new());
    for (index, tool) in request.tools.iter().enumerate() {
        let path = format!("tools[{index}]");
        match tool {
            Tool::Function { name, description, parameters, strict, cache, extras } => {
                // The wire forces a call, but not of which tool: it is told of that one alone.
                if named.is_some_and(|named| named != name) {
                    pen.emulate(path);
                    continue;
                }
                lose_marks(None, cache.as_ref(), &path, pen);
                strictness.push(*strict);
                let mut function = Extras::new();
                function.insert("name".to_owned(), name.clone().into());
                put(&mut function, "description", description.clone());
                let empty = (!pen.home).then(|| json!({"type": "object", "properties": {}}));
                put(&mut function, "parameters", parameters.clone().or(empty));
                let mut fields = pieces::object(json!({"type": "function", "function": function}));
                pen.extras(extras, &path, &mut fields);
                tools.push(Value::Object(fields));
            }
            Tool::Native { body } if pen.home => tools.push(body.clone()),
            Tool::Native { .. } => pen.drop(path),
        }
    }
    if tools.is_empty() && !pen.home {
        if !matches!(request.tool_choice, None | Some(ToolChoice::Auto | ToolChoice::None)) {
            pen.drop("tool_choice");
        }
        return;
    }
    encode_strictness(&strictness, pen, body);
    if !tools.is_empty() {
        body.insert("tools".to_owned(), Value::Array(tools));
    }
    let word = match &request.tool_choice {
        None | Some(ToolChoice::Auto) => None,
        Some(ToolChoice::None) => Some("NONE".into()),
        Some(ToolChoice::Required) => Some("REQUIRED".into()),
        Some(ToolChoice::Function(_)) => {
            pen.emulate("tool_choice");
            Some("REQUIRED".into())
        }
        Some(ToolChoice::Native(value)) if pen.home => Some(value.clone()),
        Some(ToolChoice::Native(_)) => {
            pen.drop("tool_choice");
            None
        }
    };
    put(body, "tool_choice", word);
    if request.parallel_tool_calls == Some(false) {
        pen.drop("parallel_tool_calls");
    }
}

/// One word for all tools; where they differ none is strict.
fn encode_strictness(strictness: &[Option<bool>], pen: &mut Writer, body: &mut Extras) {
    let all = |word: bool| !strictness.is_empty() && strictness.iter().all(|strict| *strict == Some(word));
    if all(true) {
        body.insert("strict_tools".to_owned(), true.into());
    } else if all(false) && pen.home {
        body.insert("strict_tools".to_owned(), false.into());
    } else if strictness.contains(&Some(true)) {
        pen.weaken("tools.strict");
    }
}
