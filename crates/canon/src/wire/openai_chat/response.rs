//! Whole answers of OpenAI Chat: reading, writing, and a look in place at one that passes untouched.

use super::pieces::{decode_tool_call, object, take_reasoning};
use super::usage::{decode_usage, encode_usage, look_usage};
use super::{ID, fault, logprobs};
use crate::Extras;
use crate::answer::{Choice, Response};
use crate::event::{Head, Stop, StopReason};
use crate::fault::{Fault, FaultKind};
use crate::fields::{BadField, Fields};
use crate::request::{Citation, Part};
use crate::usage::Usage;
use crate::wire::look::{self, Look};
use crate::wire::walk::Walk;
use crate::wire::writer::{join, keep, put};
use crate::wire::{Seen, StreamTerms, openai};
use serde_json::{Value, json};

/// Log probabilities as they came, in a choice's extras.
const LOGPROBS: &str = "~logprobs";

/// Reads a whole answer.
pub(super) fn decode(body: Value) -> Result<Response, BadField> {
    let mut fields = Fields::of(body, "")?;
    let head = decode_head(&mut fields)?;
    let mut usage = match fields.take("usage") {
        Some(value) => decode_usage(value)?,
        None => Usage::default(),
    };
    usage.service_tier = fields.string("service_tier")?;
    if !fields.has("choices") {
        return Err(fields.missing("choices"));
    }
    let choices = fields
        .list("choices")?
        .into_iter()
        .enumerate()
        .map(|(index, choice)| decode_choice(choice, &format!("choices[{index}]")))
        .collect::<Result<Vec<_>, _>>()?;
    if choices.is_empty() {
        return Err(BadField::new("choices", "is empty"));
    }
    let head = Head { extras: fields.rest(), ..head };
    Ok(Response { head, choices, usage, finish_extras: Extras::new() })
}

/// Takes id, model and time, and what only repeats the wire's name.
pub(super) fn decode_head(fields: &mut Fields) -> Result<Head, BadField> {
    fields.take("object");
    Ok(Head {
        origin: Some(ID),
        id: fields.string("id")?.unwrap_or_default(),
        model: fields.string("model")?.unwrap_or_default(),
        created: fields.i64("created")?,
        extras: Extras::new(),
    })
}

fn decode_choice(value: Value, path: &str) -> Result<Choice, BadField> {
    let mut fields = Fields::of(value, path)?;
    let index = fields.u32("index")?.unwrap_or(0);
    let word = fields.string("finish_reason")?;
    let spelled = fields.take("logprobs");
    let logprobs = logprobs::decode(spelled.clone())?;
    let mut message = fields.object("message")?.ok_or_else(|| fields.missing("message"))?;
    message.take("role");
    let mut parts = Vec::new();
    if let Some(text) = take_reasoning(&mut message)? {
        parts.push(Part::Reasoning { text, summary: false, seal: None, extras: Extras::new() });
    }
    let citations = decode_annotations(&mut message)?;
    let text = message.string("content")?.unwrap_or_default();
    let is_said = !(text.is_empty() && citations.is_empty() && logprobs.is_empty());
    let mut extras = fields.rest();
    // What the canon cannot keep of them: words for refusals, fields of engines.
    if let Some(spelled) = spelled.filter(|spelled| *spelled != logprobs::encode(&logprobs)) {
        extras.insert(LOGPROBS.to_owned(), spelled);
    }
    if is_said {
        parts.push(Part::Text { text, citations, logprobs, seal: None, cache: None, extras: Extras::new() });
    }
    if let Some(text) = message.string("refusal")? {
        parts.push(Part::Refusal { text, extras: Extras::new() });
    }
    let mut calls = 0;
    for (at, call) in message.list("tool_calls")?.into_iter().enumerate() {
        calls += 1;
        parts.push(decode_tool_call(call, &format!("{path}.message.tool_calls[{at}]"))?);
    }
    keep(&mut extras, "message", message.rest());
    let stop = Stop { choice: index, reason: stop_reason(word.as_deref(), calls > 0), raw: word, sequence: None };
    Ok(Choice { parts, stop, extras })
}

fn decode_annotations(message: &mut Fields) -> Result<Vec<Citation>, BadField> {
    let path = message.path_of("annotations");
    message.list("annotations")?.into_iter().map(|item| decode_annotation(item, &path)).collect()
}

/// Reads one annotation; one that is no address keeps its own form.
pub(super) fn decode_annotation(value: Value, path: &str) -> Result<Citation, BadField> {
    let mut fields = Fields::of(value, path)?;
    let Some(mut inner) = fields.object("url_citation")? else {
        return Ok(Citation { extras: fields.rest(), ..Citation::default() });
    };
    fields.take("type");
    let mut citation = Citation {
        url: inner.string("url")?,
        title: inner.string("title")?,
        quote: None,
        start: inner.u64("start_index")?,
        end: inner.u64("end_index")?,
        extras: fields.rest(),
    };
    keep(&mut citation.extras, "url_citation", inner.rest());
    Ok(citation)
}

/// Writes one annotation; `home`: it came from this wire.
pub(super) fn encode_annotation(citation: &Citation, home: bool) -> Value {
    if home && citation.extras.contains_key("type") {
        return Value::Object(citation.extras.clone());
    }
    let mut inner = Extras::new();
    put(&mut inner, "url", Some(citation.url.clone().unwrap_or_default()));
    put(&mut inner, "title", Some(citation.title.clone().unwrap_or_default()));
    put(&mut inner, "start_index", Some(citation.start.unwrap_or(0)));
    put(&mut inner, "end_index", Some(citation.end.unwrap_or(0)));
    let mut fields = Extras::new();
    fields.insert("type".to_owned(), "url_citation".into());
    fields.insert("url_citation".to_owned(), Value::Object(inner));
    if home {
        join(&mut fields, &citation.extras);
    }
    Value::Object(fields)
}

/// A finish word in our words. Calls win: engines say `stop` beside them, and agents would end there.
pub(super) fn stop_reason(word: Option<&str>, has_calls: bool) -> StopReason {
    match word {
        Some("stop" | "eos" | "eos_token") if has_calls => StopReason::ToolCalls,
        Some("stop" | "eos" | "eos_token") => StopReason::End,
        Some("length" | "max_tokens") => StopReason::Length,
        Some("tool_calls" | "function_call") => StopReason::ToolCalls,
        Some("content_filter") => StopReason::ContentFilter,
        Some("model_length") => StopReason::Context,
        _ => StopReason::Other,
    }
}

/// A finish word of this wire.
pub(super) fn stop_word(stop: &Stop, has_calls: bool) -> &'static str {
    match stop.reason {
        StopReason::Length | StopReason::Context => "length",
        StopReason::ContentFilter => "content_filter",
        StopReason::ToolCalls => "tool_calls",
        _ if has_calls => "tool_calls",
        StopReason::End | StopReason::StopSequence | StopReason::Refusal | StopReason::Pause | StopReason::Other => {
            "stop"
        }
    }
}

/// Writes a whole answer.
pub(super) fn encode(answer: &Response, terms: &StreamTerms) -> Value {
    let home = answer.head.origin == Some(ID);
    let mut body = Extras::new();
    body.insert("id".to_owned(), answer_id(&answer.head, terms).into());
    body.insert("object".to_owned(), "chat.completion".into());
    body.insert("created".to_owned(), answer.head.created.unwrap_or(terms.created).into());
    body.insert("model".to_owned(), model(&answer.head, terms).into());
    let choices = answer.choices.iter().map(|choice| encode_choice(choice, home)).collect();
    body.insert("choices".to_owned(), Value::Array(choices));
    body.insert("usage".to_owned(), encode_usage(&answer.usage, home));
    let tier = answer.usage.service_tier.as_deref();
    put(&mut body, "service_tier", tier.and_then(|tier| if home { Some(tier) } else { openai::tier(tier) }));
    if home {
        body.extend(answer.head.extras.clone());
    }
    Value::Object(body)
}

/// The answer's id as this wire spells ids.
pub(super) fn answer_id(head: &Head, terms: &StreamTerms) -> String {
    match (head.id.as_str(), terms.id.as_str()) {
        ("", ours) => format!("chatcmpl-{ours}"),
        (theirs, _) => theirs.to_owned(),
    }
}

/// The model's name to show.
pub(super) fn model(head: &Head, terms: &StreamTerms) -> String {
    if head.model.is_empty() { terms.model.clone() } else { head.model.clone() }
}

fn encode_choice(choice: &Choice, home: bool) -> Value {
    let mut message = Extras::new();
    message.insert("role".to_owned(), "assistant".into());
    let (mut text, mut thinking, mut refusal) = (None::<String>, String::new(), None::<String>);
    let (mut calls, mut annotations, mut probabilities) = (Vec::new(), Vec::new(), Vec::new());
    for part in &choice.parts {
        match part {
            Part::Text { text: words, citations, logprobs, .. } => {
                text.get_or_insert_default().push_str(words);
                annotations.extend(citations.iter().map(|citation| encode_annotation(citation, home)));
                probabilities.extend_from_slice(logprobs);
            }
            Part::Reasoning { text, .. } => thinking.push_str(text),
            Part::Refusal { text, .. } => refusal.get_or_insert_default().push_str(text),
            Part::ToolCall { call_id, name, arguments, extras, .. } => {
                let mut call = object(json!({
                    "id": call_id,
                    "type": "function",
                    "function": {"name": name, "arguments": if arguments.is_empty() { "{}" } else { arguments }},
                }));
                if home {
                    join(&mut call, extras);
                }
                calls.push(Value::Object(call));
            }
            // A call of a kind that only this wire knows.
            Part::Native { body } if home => calls.push(body.clone()),
            Part::Media(_) | Part::ToolResult { .. } | Part::Native { .. } => {}
        }
    }
    let has_calls = !calls.is_empty();
    let text = text.filter(|text| !text.is_empty() || !(has_calls || refusal.is_some()));
    let nothing_else = !has_calls && refusal.is_none();
    message.insert("content".to_owned(), text.map_or(if nothing_else { "".into() } else { Value::Null }, Value::from));
    message.insert("refusal".to_owned(), refusal.into());
    if !thinking.is_empty() {
        message.insert("reasoning_content".to_owned(), thinking.into());
    }
    if !annotations.is_empty() {
        message.insert("annotations".to_owned(), Value::Array(annotations));
    }
    if has_calls {
        message.insert("tool_calls".to_owned(), Value::Array(calls));
    }
    let own = choice.extras.get(LOGPROBS).filter(|_| home).cloned();
    let said = (!probabilities.is_empty()).then(|| logprobs::encode(&probabilities));
    let mut body = Extras::new();
    body.insert("index".to_owned(), choice.stop.choice.into());
    body.insert("message".to_owned(), Value::Object(message));
    body.insert("logprobs".to_owned(), own.or(said).unwrap_or_default());
    body.insert("finish_reason".to_owned(), stop_word(&choice.stop, has_calls).into());
    if home {
        join(&mut body, &choice.extras);
    }
    Value::Object(body)
}

/// Looks at a whole answer that passes untouched. An answer without a choice, or an error with a good status, is none.
pub(super) fn scan(body: &[u8]) -> Result<Seen, Fault> {
    let mut seen = Seen { ended: true, ..Seen::default() };
    let mut has_choice = false;
    let mut is_error = false;
    look::along(body, |key, walk| {
        match key {
            "id" => seen.id = Look::at(walk)?.string(key).unwrap_or_default(),
            "model" => seen.model = Look::at(walk)?.string(key).unwrap_or_default(),
            "usage" => seen.usage = look_usage(&Look::at(walk)?).unwrap_or_default(),
            "choices" if walk.begins(b'[') => (has_choice, seen.stop) = look_choices(walk)?,
            "choices" => (has_choice, seen.stop) = (Look::at(walk)?.is_filled(), None),
            "error" => is_error = !Look::at(walk)?.is_null(),
            _ => {}
        }
        Ok(())
    })
    .map_err(BadField::into_provider_fault)?;
    if is_error {
        return Err(fault::decode_error(200, body));
    }
    if !has_choice {
        return Err(Fault::provider(FaultKind::Malformed, "the provider's answer has no choice"));
    }
    Ok(seen)
}

/// Whether there is a choice, and why the first one stopped, where it says so in this wire's words.
fn look_choices(walk: &mut Walk<'_>) -> Result<(bool, Option<StopReason>), BadField> {
    let (mut any, mut word, mut has_calls, mut strange) = (false, None, false, false);
    walk.list(|walk| {
        if std::mem::replace(&mut any, true) {
            return Ok(());
        }
        if !walk.begins(b'{') {
            strange = true;
            return Ok(());
        }
        walk.object(|key, walk| {
            match key {
                "finish_reason" => match Look::at(walk)?.string(key) {
                    Ok(said) => word = said,
                    Err(_) => strange = true,
                },
                "message" if walk.begins(b'{') => walk.object(|key, walk| {
                    has_calls |= key == "tool_calls" && Look::at(walk)?.is_filled();
                    Ok(())
                })?,
                "message" => strange |= !Look::at(walk)?.is_null(),
                _ => {}
            }
            Ok(())
        })
    })?;
    let word = word.filter(|_| !strange);
    Ok((any, word.map(|word| stop_reason(Some(&word), has_calls))))
}
