//! Writing a request: what this wire can say is said, everything else becomes a named loss.

use super::super::ID;
use super::decode::EFFORT;
use crate::Extras;
use crate::media::{Media, MediaKind, Source};
use crate::request::{CacheMark, Message, OutputFormat, Part, Reasoning, Request, Role, Sampling, Tool, ToolChoice};
use crate::wire::writer::{Writer, put};
use crate::wire::{Encoded, Target, closed, openai, orphans};
use serde_json::{Value, json};

/// Forms of sound that the wire takes.
const SOUNDS: [&str; 2] = ["wav", "mp3"];

/// Most stop texts the wire takes.
const MOST_STOPS: usize = 4;

/// What a provider that takes thinking back in plain words is said to accept.
const THINKING: &str = "reasoning_content";

pub(in crate::wire::openai_chat) fn encode(request: &Request, target: &Target) -> Encoded {
    let mut pen = Writer::new(request.origin, ID);
    let request = &*orphans::mend(request, &mut pen);
    let mut body = Extras::new();
    body.insert("model".to_owned(), target.model.clone().into());
    let (mut messages, mut later_media) = (Vec::new(), Vec::new());
    for (index, message) in request.messages.iter().enumerate() {
        encode_message(message, &format!("messages[{index}]"), target, &mut pen, &mut messages, &mut later_media);
    }
    flush(&mut later_media, &mut messages);
    body.insert("messages".to_owned(), Value::Array(messages));
    encode_tools(request, target, &mut pen, &mut body);
    encode_sampling(&request.sampling, target, &mut pen, &mut body);
    encode_output(&request.output, &mut body);
    if let Some(reasoning) = &request.reasoning {
        encode_reasoning(reasoning, &mut pen, &mut body);
    }
    if request.stream {
        body.insert("stream".to_owned(), true.into());
        if !target.quirks.no_stream_options {
            body.insert("stream_options".to_owned(), json!({"include_usage": true}));
        }
    }
    if let Some(said) = request.service_tier.as_deref() {
        match if pen.home { Some(said) } else { openai::tier(said) } {
            Some(tier) => put(&mut body, "service_tier", Some(tier)),
            None => pen.drop("service_tier"),
        }
    }
    put(&mut body, "user", request.user.clone());
    encode_state(request, &mut pen, &mut body);
    encode_extras(request, &mut pen, &mut body);
    pen.quirks(&target.quirks, &mut body);
    Encoded { body: Value::Object(body), losses: pen.losses() }
}

fn encode_extras(request: &Request, pen: &mut Writer, body: &mut Extras) {
    let mut rest = request.extras.clone();
    openai::take_shared(request.origin, &mut rest, body);
    pen.extras(&rest, "", body);
    if let Some(Value::Object(format)) = body.get_mut("response_format") {
        // What stood beside the default form.
        format.entry("type").or_insert_with(|| "text".into());
    }
}

fn encode_state(request: &Request, pen: &mut Writer, body: &mut Extras) {
    if pen.home {
        put(body, "store", request.state.store);
        if !request.metadata.is_empty() {
            body.insert("metadata".to_owned(), Value::Object(request.metadata.clone()));
        }
    } else if !request.metadata.is_empty() {
        // The wire takes metadata only beside `store`, and storing is not ours to switch on.
        pen.drop("metadata");
    }
    if request.state.previous.is_some() {
        pen.drop("previous_response_id");
    }
    if request.state.conversation.is_some() {
        pen.drop("conversation");
    }
}

/// Media of results, once all results of the turn are said.
fn flush(later_media: &mut Vec<Value>, out: &mut Vec<Value>) {
    if !later_media.is_empty() {
        out.push(json!({"role": "user", "content": std::mem::take(later_media)}));
    }
}

fn encode_message(
    message: &Message,
    path: &str,
    target: &Target,
    pen: &mut Writer,
    out: &mut Vec<Value>,
    later_media: &mut Vec<Value>,
) {
    if let [Part::Native { body }] = message.parts.as_slice()
        && message.role == Role::Tool
    {
        if pen.home {
            out.push(body.clone())
        } else {
            pen.drop(path)
        }
        return;
    }
    let mut rest = Vec::new();
    for (index, part) in message.parts.iter().enumerate() {
        match part {
            Part::ToolResult { .. } => {
                encode_tool_result(message, part, &format!("{path}.content[{index}]"), pen, out, later_media);
            }
            other => rest.push((index, other)),
        }
    }
    if message.role != Role::Tool && (!rest.is_empty() || message.parts.is_empty()) {
        let mut fields = Extras::new();
        fields.insert("role".to_owned(), role(message.role, target).into());
        put(&mut fields, "name", message.name.clone());
        if message.role == Role::Assistant {
            flush(later_media, out);
            encode_assistant(&rest, path, target, pen, &mut fields);
        } else {
            if message.role != Role::User {
                flush(later_media, out);
            }
            let mut parts = std::mem::take(later_media);
            parts.extend(
                rest.iter().filter_map(|(at, part)| encode_part(part, &format!("{path}.content[{at}]"), target, pen)),
            );
            fields.insert("content".to_owned(), plain_or_list(parts));
        }
        pen.extras(&message.extras, path, &mut fields);
        out.push(Value::Object(fields));
    } else if message.role != Role::Tool {
        // Results alone: the message itself is not said on this wire.
        pen.extras(&message.extras, path, &mut Extras::new());
    }
}

fn role(role: Role, target: &Target) -> &'static str {
    match role {
        Role::Developer if !target.quirks.no_developer_role => "developer",
        Role::System | Role::Developer => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    }
}

/// One text alone is written as a string, as most clients do and all engines take.
fn plain_or_list(mut parts: Vec<Value>) -> Value {
    if let [Value::Object(only)] = parts.as_mut_slice()
        && only.len() == 2
        && only.get("type").and_then(Value::as_str) == Some("text")
    {
        return only.shift_remove("text").unwrap_or_default();
    }
    if parts.is_empty() { "".into() } else { Value::Array(parts) }
}

/// Images may stand only in user messages: those of a tool's result move to one right after the results.
fn encode_tool_result(
    message: &Message,
    part: &Part,
    path: &str,
    pen: &mut Writer,
    out: &mut Vec<Value>,
    later_media: &mut Vec<Value>,
) {
    let Part::ToolResult { call_id, content, is_error, cache, extras } = part else { return };
    let mut texts = Vec::new();
    for (index, part) in content.iter().enumerate() {
        let at = format!("{path}.content[{index}]");
        if let Part::Media(media) = part {
            if let Some(value) = encode_media(media, &at, pen) {
                pen.emulate(at);
                later_media.push(value);
            }
        } else if let Some(value) = encode_part(part, &at, &Target::default(), pen) {
            texts.push(value);
        }
    }
    if *is_error {
        pen.drop(format!("{path}.is_error"));
    }
    lose_cache(cache.as_ref(), path, pen);
    let mut fields = Extras::new();
    fields.insert("role".to_owned(), "tool".into());
    put(&mut fields, "name", message.name.clone());
    fields.insert("tool_call_id".to_owned(), call_id.clone().into());
    fields.insert("content".to_owned(), plain_or_list(texts));
    pen.extras(extras, path, &mut fields);
    if message.role == Role::Tool {
        pen.extras(&message.extras, path, &mut fields);
    }
    out.push(Value::Object(fields));
}

fn encode_assistant(parts: &[(usize, &Part)], path: &str, target: &Target, pen: &mut Writer, fields: &mut Extras) {
    let (mut content, mut calls, mut refusals) = (Vec::new(), Vec::new(), Vec::new());
    for (index, part) in parts {
        let at = format!("{path}.content[{index}]");
        match part {
            Part::ToolCall { call_id, name, arguments, seal, cache, extras } => {
                if seal.is_some() {
                    pen.drop(format!("{at}.signature"));
                }
                lose_cache(cache.as_ref(), &at, pen);
                calls.push(encode_call(call_id, name, arguments, extras, &at, pen));
            }
            Part::Native { body } if pen.home && body.get("id").is_some() => calls.push(body.clone()),
            Part::Refusal { text, extras } if extras.is_empty() => refusals.push(text.clone()),
            Part::Reasoning { text, seal, extras, .. } => {
                if seal.is_some() {
                    pen.drop(format!("{at}.signature"));
                }
                // At home as well: one provider says it, another one of the same wire refuses to hear it.
                if target.quirks.accepts(THINKING) && !text.is_empty() {
                    fields.insert("reasoning_content".to_owned(), text.clone().into());
                } else {
                    pen.drop(at.clone());
                }
                pen.extras(extras, &at, fields);
            }
            other => content.extend(encode_part(other, &at, target, pen)),
        }
    }
    let content = if content.is_empty() { Value::Null } else { plain_or_list(content) };
    fields.insert(
        "content".to_owned(),
        if calls.is_empty() && refusals.is_empty() && content.is_null() { "".into() } else { content },
    );
    if !refusals.is_empty() {
        fields.insert("refusal".to_owned(), refusals.concat().into());
    }
    if !calls.is_empty() {
        fields.insert("tool_calls".to_owned(), Value::Array(calls));
    }
}

/// Writes a call.
pub(in crate::wire) fn encode_call(
    id: &str,
    name: &str,
    arguments: &str,
    extras: &Extras,
    path: &str,
    pen: &mut Writer,
) -> Value {
    let mut function = Extras::new();
    function.insert("name".to_owned(), name.into());
    // No arguments is `{}` on this wire: an empty text is no JSON.
    function.insert("arguments".to_owned(), if arguments.is_empty() { "{}" } else { arguments }.into());
    let mut call = Extras::new();
    call.insert("id".to_owned(), id.into());
    call.insert("type".to_owned(), "function".into());
    call.insert("function".to_owned(), Value::Object(function));
    pen.extras(extras, path, &mut call);
    Value::Object(call)
}

fn encode_part(part: &Part, path: &str, target: &Target, pen: &mut Writer) -> Option<Value> {
    match part {
        Part::Text { text, citations, logprobs, seal, cache, extras } => {
            if seal.is_some() {
                pen.drop(format!("{path}.signature"));
            }
            if !logprobs.is_empty() {
                pen.drop(format!("{path}.logprobs"));
            }
            if !citations.is_empty() {
                pen.drop(format!("{path}.citations"));
            }
            let mut fields = Extras::new();
            fields.insert("type".to_owned(), "text".into());
            fields.insert("text".to_owned(), text.clone().into());
            encode_cache(cache.as_ref(), path, target, pen, &mut fields);
            pen.extras(extras, path, &mut fields);
            Some(Value::Object(fields))
        }
        Part::Refusal { text, extras } => {
            let mut fields = Extras::new();
            fields.insert("type".to_owned(), "refusal".into());
            fields.insert("refusal".to_owned(), text.clone().into());
            pen.extras(extras, path, &mut fields);
            Some(Value::Object(fields))
        }
        Part::Media(media) => {
            let mut value = encode_media(media, path, pen)?;
            if let Value::Object(fields) = &mut value {
                encode_cache(media.cache.as_ref(), path, target, pen, fields);
            }
            Some(value)
        }
        Part::Native { body } if pen.home => Some(body.clone()),
        Part::Native { .. } | Part::Reasoning { .. } | Part::ToolCall { .. } | Part::ToolResult { .. } => {
            pen.drop(path);
            None
        }
    }
}

/// Writes a media part; one that the wire cannot say is named.
pub(in crate::wire) fn encode_media(media: &Media, path: &str, pen: &mut Writer) -> Option<Value> {
    let (key, mut inner) = match (media.kind, &media.source) {
        (MediaKind::Image, source @ (Source::Url { .. } | Source::Base64 { .. })) => {
            ("image_url", object(json!({"url": source.to_url()})))
        }
        (MediaKind::Audio, Source::Base64 { mime, data }) if pen.home || SOUNDS.contains(&openai::sound(mime)) => {
            ("input_audio", object(json!({"data": data, "format": openai::sound(mime)})))
        }
        (MediaKind::Document, Source::File { id }) if pen.home => ("file", object(json!({"file_id": id}))),
        (MediaKind::Document, source @ Source::Base64 { .. }) => {
            ("file", object(json!({"file_data": source.to_url()})))
        }
        (MediaKind::Document, Source::Text { text, .. }) => {
            pen.emulate(path);
            return Some(json!({"type": "text", "text": text}));
        }
        _ => {
            pen.drop(path);
            return None;
        }
    };
    if key == "image_url" {
        put(&mut inner, "detail", media.detail.clone());
    } else if media.detail.as_deref().is_some_and(|detail| detail != "auto") {
        pen.drop(format!("{path}.detail"));
    }
    if key == "file" {
        // Bytes without a name are refused.
        let unnamed = inner.contains_key("file_data").then(|| openai::file_name(&media.source));
        put(&mut inner, "filename", media.name.clone().or(unnamed.filter(|_| !pen.home)));
    } else if media.name.is_some() {
        pen.drop(format!("{path}.name"));
    }
    let mut fields = Extras::new();
    fields.insert("type".to_owned(), key.into());
    fields.insert(key.to_owned(), Value::Object(inner));
    pen.extras(&media.extras, path, &mut fields);
    Some(Value::Object(fields))
}

/// The map of an object.
pub(in crate::wire) fn object(value: Value) -> Extras {
    if let Value::Object(fields) = value { fields } else { Extras::new() }
}

fn encode_cache(cache: Option<&CacheMark>, path: &str, target: &Target, pen: &mut Writer, fields: &mut Extras) {
    let Some(mark) = cache else { return };
    if pen.home || target.quirks.accepts("cache_control") {
        let mut value = object(json!({"type": "ephemeral"}));
        put(&mut value, "ttl", mark.ttl.clone());
        fields.insert("cache_control".to_owned(), Value::Object(value));
    } else {
        lose_cache(cache, path, pen);
    }
}

fn lose_cache(cache: Option<&CacheMark>, path: &str, pen: &mut Writer) {
    if cache.is_some() {
        pen.drop(format!("{path}.cache_control"));
    }
}

fn encode_tools(request: &Request, target: &Target, pen: &mut Writer, body: &mut Extras) {
    let mut tools = Vec::new();
    for (index, tool) in request.tools.iter().enumerate() {
        let path = format!("tools[{index}]");
        match tool {
            Tool::Function { name, description, parameters, strict, cache, extras } => {
                let mut function = Extras::new();
                function.insert("name".to_owned(), name.clone().into());
                put(&mut function, "description", description.clone());
                put(&mut function, "parameters", parameters.clone());
                put(&mut function, "strict", closed::strictness(*strict, parameters.as_ref(), true, &path, pen));
                let mut fields = Extras::new();
                fields.insert("type".to_owned(), "function".into());
                fields.insert("function".to_owned(), Value::Object(function));
                encode_cache(cache.as_ref(), &path, target, pen, &mut fields);
                pen.extras(extras, &path, &mut fields);
                tools.push(Value::Object(fields));
            }
            Tool::Native { body } if pen.home => tools.push(body.clone()),
            Tool::Native { .. } => pen.drop(path),
        }
    }
    if !tools.is_empty() {
        body.insert("tools".to_owned(), Value::Array(tools));
    } else if !pen.home {
        // Both are refused beside no tools.
        if !matches!(request.tool_choice, None | Some(ToolChoice::Auto | ToolChoice::None)) {
            pen.drop("tool_choice");
        }
        return;
    }
    if let Some(choice) = &request.tool_choice {
        match choice {
            ToolChoice::Auto => put(body, "tool_choice", Some("auto")),
            ToolChoice::None => put(body, "tool_choice", Some("none")),
            ToolChoice::Required if target.quirks.tool_choice_any => put(body, "tool_choice", Some("any")),
            ToolChoice::Required => put(body, "tool_choice", Some("required")),
            ToolChoice::Function(name) => {
                put(body, "tool_choice", Some(json!({"type": "function", "function": {"name": name}})));
            }
            ToolChoice::Native(value) if pen.home => put(body, "tool_choice", Some(value.clone())),
            ToolChoice::Native(_) => pen.drop("tool_choice"),
        }
    }
    put(body, "parallel_tool_calls", request.parallel_tool_calls);
}

fn encode_sampling(sampling: &Sampling, target: &Target, pen: &mut Writer, body: &mut Extras) {
    put(body, "max_completion_tokens", sampling.max_output_tokens);
    put(body, "temperature", sampling.temperature);
    put(body, "top_p", sampling.top_p);
    for (key, value) in [("top_k", sampling.top_k.map(Value::from)), ("min_p", sampling.min_p.map(Value::from))] {
        if value.is_some() && !pen.home && !target.quirks.accepts(key) {
            pen.drop(key);
        } else {
            put(body, key, value);
        }
    }
    put(body, "frequency_penalty", sampling.frequency_penalty);
    put(body, "presence_penalty", sampling.presence_penalty);
    put(body, "seed", sampling.seed);
    put(body, "n", sampling.n);
    put(body, "logprobs", sampling.logprobs);
    put(body, "top_logprobs", sampling.top_logprobs);
    match sampling.stop.as_slice() {
        [] => {}
        [one] => put(body, "stop", Some(one.clone())),
        many if pen.home || many.len() <= MOST_STOPS => put(body, "stop", Some(many.to_vec())),
        many => {
            pen.weaken("stop");
            put(body, "stop", many.get(..MOST_STOPS).map(<[String]>::to_vec));
        }
    }
}

fn encode_output(output: &OutputFormat, body: &mut Extras) {
    match output {
        OutputFormat::Text => {}
        OutputFormat::Json => put(body, "response_format", Some(json!({"type": "json_object"}))),
        OutputFormat::Schema { name, description, schema, strict } => {
            let mut inner = Extras::new();
            // The wire demands a name.
            inner.insert("name".to_owned(), name.as_deref().unwrap_or("answer").into());
            put(&mut inner, "description", description.clone());
            inner.insert("schema".to_owned(), schema.clone());
            put(&mut inner, "strict", *strict);
            put(body, "response_format", Some(json!({"type": "json_schema", "json_schema": inner})));
        }
    }
}

fn encode_reasoning(reasoning: &Reasoning, pen: &mut Writer, body: &mut Extras) {
    let word = openai::effort(reasoning, pen).map(openai::effort_word);
    let own = reasoning.extras.get(EFFORT).and_then(Value::as_str).filter(|_| pen.home);
    put(body, "reasoning_effort", own.or(word));
    if reasoning.summary.is_some() {
        pen.drop("reasoning.summary");
    }
    if reasoning.include.is_some() {
        pen.drop("reasoning.include");
    }
    pen.extras(&reasoning.extras, "reasoning", body);
}
