//! Whole answers of Anthropic Messages: reading, writing, and a look in place at one that passes untouched.

use super::usage::{decode_usage, encode_usage};
use super::{ID, add, block, fault};
use crate::Extras;
use crate::answer::{Choice, Response};
use crate::event::{Head, Stop, StopReason};
use crate::fault::{Fault, FaultKind};
use crate::fields::{BadField, Fields};
use crate::request::Part;
use crate::usage::Usage;
use crate::wire::{Seen, StreamTerms, calls, look};
use serde_json::Value;
use std::borrow::Cow;

/// What a whole answer says on top and a stream says at its end.
const END_FIELDS: [&str; 4] = ["stop_details", "container", "context_management", "input_transformations"];

/// Reads a whole answer.
pub(super) fn decode(body: Value) -> Result<Response, BadField> {
    let mut fields = Fields::of(body, "")?;
    if fields.peek_str("type") == Some("error") {
        return Err(BadField::new("type", "is `error`, not `message`"));
    }
    if !fields.has("content") {
        return Err(fields.missing("content"));
    }
    let parts = block::decode_content(fields.take("content"), "content")?;
    let word = fields.string("stop_reason")?;
    let sequence = fields.string("stop_sequence")?;
    let usage = fields.take("usage").map(decode_usage).transpose()?.unwrap_or_default();
    let (head, finish_extras) = decode_head(fields)?;
    let has_calls = parts.iter().any(|part| matches!(part, Part::ToolCall { .. }));
    let stop = decode_stop(word, sequence, has_calls);
    let choices = vec![Choice { parts, stop, extras: Extras::new() }];
    Ok(Response { head, choices, usage, finish_extras })
}

/// Takes id and model; gives the rest as the head's extras, but for what belongs to the end.
pub(super) fn decode_head(mut fields: Fields) -> Result<(Head, Extras), BadField> {
    fields.take("type");
    fields.take("role");
    let (id, model) = (fields.string("id")?.unwrap_or_default(), fields.string("model")?.unwrap_or_default());
    let mut end = Extras::new();
    for key in END_FIELDS {
        if let Some(value) = fields.take(key) {
            end.insert(key.to_owned(), value);
        }
    }
    Ok((Head { origin: Some(ID), id, model, created: None, extras: fields.rest() }, end))
}

/// A stop word in our words. Calls win: compatible engines say `end_turn` beside them, and agents would end there.
pub(super) fn decode_stop(word: Option<String>, sequence: Option<String>, has_calls: bool) -> Stop {
    let reason = match word.as_deref() {
        Some("end_turn" | "tool_use") if has_calls => StopReason::ToolCalls,
        Some("end_turn") => StopReason::End,
        Some("tool_use") => StopReason::ToolCalls,
        Some("max_tokens") => StopReason::Length,
        Some("stop_sequence") => StopReason::StopSequence,
        Some("refusal") => StopReason::Refusal,
        Some("pause_turn") => StopReason::Pause,
        Some("model_context_window_exceeded") => StopReason::Context,
        _ => StopReason::Other,
    };
    Stop { choice: 0, reason, raw: word, sequence }
}

/// A stop word of this wire.
pub(super) fn stop_word(reason: StopReason, has_calls: bool, has_refusal: bool) -> &'static str {
    match reason {
        StopReason::Length => "max_tokens",
        StopReason::Context => "model_context_window_exceeded",
        StopReason::ContentFilter | StopReason::Refusal => "refusal",
        StopReason::Pause => "pause_turn",
        StopReason::StopSequence => "stop_sequence",
        StopReason::ToolCalls => "tool_use",
        StopReason::End | StopReason::Other if has_calls => "tool_use",
        StopReason::End | StopReason::Other if has_refusal => "refusal",
        StopReason::End | StopReason::Other => "end_turn",
    }
}

/// Writes a whole answer. The wire has room for one choice: the first.
pub(super) fn encode(answer: &Response, terms: &StreamTerms) -> Value {
    let home = answer.head.origin == Some(ID);
    let choice = answer.choices.first();
    let parts = choice.map(|choice| choice.parts.as_slice()).unwrap_or_default();
    let has_calls = parts.iter().any(|part| matches!(part, Part::ToolCall { .. }));
    let has_refusal = parts.iter().any(|part| matches!(part, Part::Refusal { .. }));
    let mut content: Vec<Value> = Vec::new();
    for part in parts {
        content.extend(encode_part(part, content.len(), terms, home).map(Value::Object));
    }
    let mut body = encode_head(&answer.head, terms, content);
    let reason = choice.map_or(StopReason::Other, |choice| choice.stop.reason);
    body.insert("stop_reason".to_owned(), stop_word(reason, has_calls, has_refusal).into());
    body.insert("stop_sequence".to_owned(), choice.and_then(|choice| choice.stop.sequence.clone()).into());
    body.insert("usage".to_owned(), encode_usage(&answer.usage, home));
    if home {
        add(&mut body, &answer.head.extras);
        add(&mut body, &answer.finish_extras);
    }
    Value::Object(body)
}

/// An answer's fields before its stop, without extras.
pub(super) fn encode_head(head: &Head, terms: &StreamTerms, content: Vec<Value>) -> Extras {
    let id = if head.id.is_empty() { format!("msg_{}", terms.id) } else { head.id.clone() };
    let model = if head.model.is_empty() { terms.model.clone() } else { head.model.clone() };
    let mut body = Extras::new();
    body.insert("id".to_owned(), id.into());
    body.insert("type".to_owned(), "message".into());
    body.insert("role".to_owned(), "assistant".into());
    body.insert("model".to_owned(), model.into());
    body.insert("content".to_owned(), Value::Array(content));
    body
}

/// The id of a call; engines that give none get one that is the answer's own.
pub(super) fn call_id<'a>(given: &'a str, place: usize, terms: &StreamTerms) -> Cow<'a, str> {
    if given.is_empty() { Cow::Owned(format!("toolu_{}_{place}", terms.id)) } else { Cow::Borrowed(given) }
}

fn encode_part(part: &Part, place: usize, terms: &StreamTerms, home: bool) -> Option<Extras> {
    let (mut body, extras) = match part {
        // Sent back as history, an empty text would be refused.
        Part::Text { text, citations, .. } if text.is_empty() && citations.is_empty() => return None,
        Part::Text { text, citations, extras, .. } => (block::text(text, citations, home), extras),
        Part::Refusal { text, extras } => (block::text(text, &[], home), extras),
        Part::Reasoning { text, seal: None, .. } if text.is_empty() => return None,
        Part::Reasoning { text, seal, extras, .. } => (block::thinking(text, seal.as_ref()), extras),
        Part::ToolCall { call_id: id, name, arguments, extras, .. } => {
            let input = calls::input(arguments).unwrap_or_else(|wrapped| wrapped);
            (block::tool_use(&call_id(id, place, terms), name, input), extras)
        }
        Part::Native { body } if home => return body.as_object().cloned(),
        Part::Native { .. } | Part::Media(_) | Part::ToolResult { .. } => return None,
    };
    if home {
        add(&mut body, extras);
    }
    Some(body)
}

/// Looks at a whole answer that passes untouched. An answer without content, or an error with a good status, is none.
pub(super) fn scan(body: &[u8]) -> Result<Seen, Fault> {
    let mut seen = Seen { ended: true, ..Seen::default() };
    let (mut has_content, mut is_error, mut has_calls) = (false, false, false);
    let mut word = None;
    look::top_level(body, |key, value| {
        match key {
            "type" => is_error |= value.raw() == "\"error\"",
            "error" => is_error |= !value.is_null(),
            "id" => seen.id = value.string(key).unwrap_or_default(),
            "model" => seen.model = value.string(key).unwrap_or_default(),
            "stop_reason" => word = value.string(key).unwrap_or_default(),
            "content" => {
                has_content = value.raw().starts_with('[');
                has_calls = value.mentions("\"tool_use\"");
            }
            "usage" => {
                if let Ok(usage) = serde_json::from_str(value.raw()) {
                    seen.usage = decode_usage(usage).unwrap_or_else(|_| Usage::default());
                }
            }
            _ => {}
        }
        Ok(())
    })
    .map_err(BadField::into_provider_fault)?;
    if is_error {
        return Err(fault::decode_error(200, body));
    }
    if !has_content {
        return Err(Fault::provider(FaultKind::Malformed, "the provider's answer has no content"));
    }
    seen.stop = word.map(|word| decode_stop(Some(word), None, has_calls).reason);
    Ok(seen)
}
