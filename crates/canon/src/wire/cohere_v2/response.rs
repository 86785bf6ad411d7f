//! Whole answers of Cohere's chat: reading, writing, and a look in place at one that passes untouched. An answer does
//! not say its model.

use super::{ID, citation, fault, part, usage};
use crate::Extras;
use crate::answer::{Choice, Response};
use crate::event::{Head, Stop, StopReason, TokenLogprob};
use crate::fault::{Fault, FaultKind};
use crate::fields::{BadField, Fields};
use crate::request::Part;
use crate::wire::openai_chat::pieces;
use crate::wire::writer::{join, keep};
use crate::wire::{Seen, StreamTerms, look};
use serde_json::{Value, json};

/// In a choice's extras: log probabilities as they came, with their token ids.
const LOGPROBS: &str = "~logprobs";

/// The words of `ChatFinishReason` for an answer that came through, and two of the API's first version.
const WORDS: [&str; 7] =
    ["COMPLETE", "STOP_SEQUENCE", "MAX_TOKENS", "TOOL_CALL", "ERROR_LIMIT", "ERROR_TOXIC", "USER_CANCEL"];

/// Reads a whole answer.
pub(super) fn decode(body: Value) -> Result<Response, BadField> {
    let mut fields = Fields::of(body, "")?;
    let mut message = fields.object("message")?.ok_or_else(|| fields.missing("message"))?;
    message.take("role");
    let word = fields.need_string("finish_reason")?;
    if let Some(fault) = fault::of_finish(&word, None) {
        return Err(BadField::new("finish_reason", format!("is `{word}`: {fault}")));
    }
    let mut parts = part::decode_assistant(&mut message)?;
    let mut extras = Extras::new();
    if let Some(spelled) = fields.take("logprobs") {
        let tokens = decode_logprobs(&spelled)?;
        if let Some(Part::Text { logprobs, .. }) = parts.iter_mut().find(|part| matches!(part, Part::Text { .. })) {
            *logprobs = tokens;
        }
        extras.insert(LOGPROBS.to_owned(), spelled);
    }
    let usage = fields.take("usage").map(usage::decode).transpose()?.unwrap_or_default();
    let id = fields.string("id")?.unwrap_or_default();
    let mut rest = fields.rest();
    keep(&mut rest, "message", message.rest());
    let head = Head { origin: Some(ID), id, extras: rest, ..Head::default() };
    let has_calls = parts.iter().any(|part| matches!(part, Part::ToolCall { .. }));
    let choices = vec![Choice { parts, stop: decode_stop(word, has_calls), extras }];
    Ok(Response { head, choices, usage, finish_extras: Extras::new() })
}

/// Reads log probabilities: pieces of text, each of one token or several.
pub(super) fn decode_logprobs(value: &Value) -> Result<Vec<TokenLogprob>, BadField> {
    let bad = |problem: &str| BadField::new("logprobs", problem);
    let items = value.as_array().ok_or_else(|| bad("must be a list"))?;
    items.iter().map(|item| decode_logprob(item).ok_or_else(|| bad("must hold objects"))).collect()
}

/// Reads one piece of text with its log probabilities, which add up.
pub(super) fn decode_logprob(item: &Value) -> Option<TokenLogprob> {
    let item = item.as_object()?;
    let token = item.get("text").and_then(Value::as_str).unwrap_or_default().to_owned();
    let each = item.get("logprobs").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let logprob = each.iter().filter_map(Value::as_f64).sum();
    Some(TokenLogprob { token, logprob, bytes: None, top: Vec::new() })
}

/// Writes one piece of text; ids of tokens are the model's own.
pub(super) fn encode_logprob(token: &TokenLogprob) -> Value {
    json!({"text": token.token, "token_ids": [], "logprobs": [token.logprob]})
}

/// A finish word in our words.
pub(super) fn decode_stop(word: String, has_calls: bool) -> Stop {
    let reason = match word.as_str() {
        "COMPLETE" if has_calls => StopReason::ToolCalls,
        "COMPLETE" => StopReason::End,
        "STOP_SEQUENCE" => StopReason::StopSequence,
        "MAX_TOKENS" => StopReason::Length,
        "TOOL_CALL" => StopReason::ToolCalls,
        "ERROR_LIMIT" => StopReason::Context,
        "ERROR_TOXIC" => StopReason::ContentFilter,
        _ => StopReason::Other,
    };
    Stop { choice: 0, reason, raw: Some(word), sequence: None }
}

/// A stop's word on this wire; the provider's own where it came from here.
pub(super) fn stop_word(stop: Option<&Stop>, has_calls: bool, home: bool) -> &str {
    // A word of another maker who finished the answer is none, and nor is one that agents would end at beside calls.
    let own = |stop: &Stop| {
        let word = WORDS.into_iter().find(|word| stop.raw.as_deref() == Some(word))?;
        (decode_stop(word.to_owned(), false).reason == stop.reason).then_some(word)
    };
    if let Some(word) = stop.filter(|_| home).and_then(own) {
        return word;
    }
    match stop.map_or(StopReason::Other, |stop| stop.reason) {
        StopReason::Length | StopReason::Context => "MAX_TOKENS",
        StopReason::StopSequence => "STOP_SEQUENCE",
        StopReason::ToolCalls => "TOOL_CALL",
        // The older word is plainer than `ERROR`, which says that there is no answer at all.
        StopReason::ContentFilter => "ERROR_TOXIC",
        _ if has_calls => "TOOL_CALL",
        StopReason::End | StopReason::Refusal | StopReason::Pause | StopReason::Other => "COMPLETE",
    }
}

/// The answer's id.
pub(super) fn answer_id(head: &Head, terms: &StreamTerms) -> String {
    if head.id.is_empty() { terms.id.clone() } else { head.id.clone() }
}

/// Writes a whole answer. The wire has room for one choice: the first.
pub(super) fn encode(answer: &Response, terms: &StreamTerms) -> Value {
    let home = answer.head.origin == Some(ID);
    let choice = answer.choices.first();
    let parts = choice.map(|choice| choice.parts.as_slice()).unwrap_or_default();
    let (mut content, mut calls, mut citations, mut tokens) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut message = pieces::object(json!({"role": "assistant"}));
    for part in parts {
        let (mut body, extras) = match part {
            Part::Reasoning { text, extras, .. } if home && extras.contains_key(part::PLAN) => {
                message.insert("tool_plan".to_owned(), text.clone().into());
                continue;
            }
            Part::Reasoning { text, .. } if text.is_empty() && !home => continue,
            Part::Reasoning { text, extras, .. } => (part::thinking(text), extras),
            Part::Text { text, citations: own, logprobs, extras, .. } => {
                citations.extend(own.iter().map(|own| citation::encode(own, content.len(), home)));
                tokens.extend(logprobs.iter().map(encode_logprob));
                (part::text(text, extras, home), extras)
            }
            Part::Refusal { text, extras } => (part::text(text, extras, false), extras),
            Part::ToolCall { .. } => {
                calls.push(encode_call(part, calls.len(), terms, home));
                continue;
            }
            Part::Native { body: Value::Object(body) } if home => {
                let is_call = body.contains_key("id");
                if is_call { &mut calls } else { &mut content }.push(Value::Object(body.clone()));
                continue;
            }
            Part::Native { .. } | Part::Media(_) | Part::ToolResult { .. } => continue,
        };
        if home {
            join(&mut body, extras);
        }
        content.push(Value::Object(body));
    }
    let has_calls = !calls.is_empty();
    for (key, list) in [("content", content), ("tool_calls", calls), ("citations", citations)] {
        if !list.is_empty() {
            message.insert(key.to_owned(), Value::Array(list));
        }
    }
    let mut body = Extras::new();
    body.insert("id".to_owned(), answer_id(&answer.head, terms).into());
    body.insert("message".to_owned(), Value::Object(message));
    body.insert("finish_reason".to_owned(), stop_word(choice.map(|choice| &choice.stop), has_calls, home).into());
    body.insert("usage".to_owned(), usage::encode(&answer.usage, home));
    let own = choice.and_then(|choice| choice.extras.get(LOGPROBS)).filter(|_| home).cloned();
    if let Some(list) = own.or((!tokens.is_empty()).then_some(Value::Array(tokens))) {
        body.insert("logprobs".to_owned(), list);
    }
    if home {
        let mut rest = answer.head.extras.clone();
        restore(&mut rest, &mut body);
        join(&mut body, &rest);
    }
    Value::Object(body)
}

/// Citations of what is no words stand beside the others in one list.
fn restore(rest: &mut Extras, body: &mut Extras) {
    let Some(Value::Object(mine)) = body.get_mut("message") else { return };
    let Some(Value::Object(theirs)) = rest.get_mut("message") else { return };
    if let Some(Value::Array(others)) = theirs.shift_remove("citations")
        && let Value::Array(list) = mine.entry("citations").or_insert_with(|| Value::Array(Vec::new()))
    {
        list.extend(others);
    }
}

/// The id of a call; engines that give it none get one that is the answer's own.
pub(super) fn call_id(given: &str, name: &str, place: usize, terms: &StreamTerms) -> String {
    if given.is_empty() { format!("{name}_{}_{place}", terms.id) } else { given.to_owned() }
}

fn encode_call(part: &Part, place: usize, terms: &StreamTerms, home: bool) -> Value {
    let Part::ToolCall { call_id, name, arguments, extras, .. } = part else { return Value::Null };
    let id = self::call_id(call_id, name, place, terms);
    let function = json!({"name": name, "arguments": if arguments.is_empty() { "{}" } else { arguments }});
    let mut body = pieces::object(json!({"id": id, "type": "function", "function": function}));
    if home {
        join(&mut body, extras);
    }
    Value::Object(body)
}

/// Looks at a whole answer that passes untouched. An answer without a message is none; one that ended with an error is
/// a fault.
pub(super) fn scan(body: &[u8]) -> Result<Seen, Fault> {
    let mut seen = Seen { ended: true, ..Seen::default() };
    let (mut has_message, mut has_calls, mut is_error, mut word) = (false, false, false, None);
    look::top_level(body, |key, value| {
        match key {
            "id" => seen.id = value.string(key).unwrap_or_default(),
            // An object in an answer, a string in an error.
            "message" => {
                has_message = value.raw().starts_with('{');
                is_error = value.raw().starts_with('"');
                has_calls = value.mentions("\"tool_calls\"") && value.mentions("\"function\"");
            }
            "finish_reason" => word = value.string(key).unwrap_or_default(),
            "usage" => {
                if let Ok(counts) = serde_json::from_str(value.raw()) {
                    seen.usage = usage::decode(counts).unwrap_or_default();
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
    let Some(word) = word.filter(|_| has_message) else {
        return Err(Fault::provider(FaultKind::Malformed, "the provider's answer has no message or no finish reason"));
    };
    if let Some(fault) = fault::of_finish(&word, None) {
        return Err(fault);
    }
    seen.stop = Some(decode_stop(word, has_calls).reason);
    Ok(seen)
}
