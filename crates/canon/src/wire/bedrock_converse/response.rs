//! Whole answers of Converse: reading, writing, and a look in place at one that passes untouched. An answer says
//! neither its id nor its model.

use super::{ID, block, fault, media, usage};
use crate::Extras;
use crate::answer::{Choice, Response};
use crate::event::{Head, Stop, StopReason};
use crate::fault::{Fault, FaultKind};
use crate::fields::{BadField, Fields};
use crate::request::{Part, Seal};
use crate::wire::writer::{join, keep};
use crate::wire::{Seen, StreamTerms, calls, look};
use serde_json::{Value, json};
use std::borrow::Cow;

/// The words of `StopReason`.
const WORDS: [&str; 9] = [
    "end_turn",
    "tool_use",
    "max_tokens",
    "stop_sequence",
    "guardrail_intervened",
    "content_filtered",
    "malformed_model_output",
    "malformed_tool_use",
    "model_context_window_exceeded",
];

/// Reads a whole answer.
pub(super) fn decode(body: Value) -> Result<Response, BadField> {
    let mut fields = Fields::of(body, "")?;
    let mut output = fields.object("output")?.ok_or_else(|| fields.missing("output"))?;
    let mut message = output.object("message")?.ok_or_else(|| output.missing("message"))?;
    message.take("role");
    let parts = block::decode_list(message.list("content")?, "output.message.content")?;
    let word = fields.need_string("stopReason")?;
    let mut usage = fields.take("usage").map(usage::decode).transpose()?.unwrap_or_default();
    usage.service_tier = take_tier(&mut fields)?;
    let mut head = Head { origin: Some(ID), ..Head::default() };
    let mut rest = output.rest();
    keep(&mut rest, "message", message.rest());
    keep(&mut head.extras, "output", rest);
    let has_calls = parts.iter().any(|part| matches!(part, Part::ToolCall { .. }));
    let stop = decode_stop(word, has_calls);
    let choices = vec![Choice { parts, stop, extras: Extras::new() }];
    Ok(Response { head, choices, usage, finish_extras: fields.rest() })
}

/// Takes the tier that served the answer; one that says more than its type stays.
pub(super) fn take_tier(fields: &mut Fields) -> Result<Option<String>, BadField> {
    let is_plain = fields.peek("serviceTier").and_then(Value::as_object).is_some_and(|tier| tier.len() == 1);
    if !is_plain {
        return Ok(None);
    }
    fields.object("serviceTier")?.map_or(Ok(None), |mut tier| tier.string("type"))
}

/// A stop word in our words.
pub(super) fn decode_stop(word: String, has_calls: bool) -> Stop {
    let reason = match word.as_str() {
        // Calls win: some models end their turn beside them, and agents would end there.
        "end_turn" | "tool_use" if has_calls => StopReason::ToolCalls,
        "end_turn" => StopReason::End,
        "tool_use" => StopReason::ToolCalls,
        "max_tokens" => StopReason::Length,
        "stop_sequence" => StopReason::StopSequence,
        "guardrail_intervened" | "content_filtered" => StopReason::ContentFilter,
        "model_context_window_exceeded" => StopReason::Context,
        _ => StopReason::Other,
    };
    Stop { choice: 0, reason, raw: Some(word), sequence: None }
}

/// A stop's word on this wire; the provider's own where it came from here.
pub(super) fn stop_word<'a>(stop: Option<&'a Stop>, has_calls: bool, home: bool) -> Cow<'a, str> {
    // A word of another maker who finished the answer is none, and nor is one that agents would end at beside calls.
    let own = |stop: &'a Stop| {
        let word = stop.raw.as_deref().filter(|word| WORDS.contains(word))?;
        (decode_stop(word.to_owned(), false).reason == stop.reason).then_some(word)
    };
    if let Some(word) = stop.filter(|_| home).and_then(own) {
        return Cow::Borrowed(word);
    }
    Cow::Borrowed(match stop.map_or(StopReason::Other, |stop| stop.reason) {
        StopReason::Length => "max_tokens",
        StopReason::Context => "model_context_window_exceeded",
        StopReason::ContentFilter | StopReason::Refusal => "content_filtered",
        StopReason::StopSequence => "stop_sequence",
        StopReason::ToolCalls => "tool_use",
        StopReason::End | StopReason::Pause | StopReason::Other if has_calls => "tool_use",
        StopReason::End | StopReason::Pause | StopReason::Other => "end_turn",
    })
}

/// Writes a whole answer. The wire has room for one choice: the first.
pub(super) fn encode(answer: &Response, terms: &StreamTerms) -> Value {
    let home = answer.head.origin == Some(ID);
    let choice = answer.choices.first();
    let parts = choice.map(|choice| choice.parts.as_slice()).unwrap_or_default();
    let has_calls = parts.iter().any(|part| matches!(part, Part::ToolCall { .. }));
    let mut content = Vec::new();
    for part in parts {
        encode_part(part, terms, home, &mut content);
    }
    let mut body = Extras::new();
    body.insert("output".to_owned(), json!({"message": {"role": "assistant", "content": content}}));
    let stop = choice.map(|choice| &choice.stop);
    body.insert("stopReason".to_owned(), stop_word(stop, has_calls, home).into());
    if home {
        join(&mut body, &answer.head.extras);
    }
    encode_end(&answer.usage, &answer.finish_extras, home, &mut body);
    Value::Object(body)
}

/// What stands at the end of an answer, whole or streamed: counts, metrics, tier, and at home the rest.
pub(super) fn encode_end(counts: &crate::Usage, extras: &Extras, home: bool, body: &mut Extras) {
    if home {
        join(body, extras);
    }
    body.insert("usage".to_owned(), usage::encode(counts, home));
    if let Some(tier) = usage::tier(counts, home) {
        body.insert("serviceTier".to_owned(), tier);
    }
    // The wire demands it, and nobody else measures it.
    body.entry("metrics").or_insert_with(|| json!({"latencyMs": 0}));
}

/// The id of a call; engines that give none get one that is the answer's own.
pub(super) fn call_id<'a>(given: &'a str, place: usize, terms: &StreamTerms) -> Cow<'a, str> {
    if given.is_empty() { Cow::Owned(format!("tooluse_{}_{place}", terms.id)) } else { Cow::Borrowed(given) }
}

/// A seal as a client can send it back: a ciphertext is decoded by it.
pub(super) fn for_client(seal: &Seal, has_words: bool) -> Seal {
    let is_bytes = seal.redacted && !has_words;
    let data = if is_bytes { block::cipher_for_client(&seal.data) } else { seal.data.clone() };
    Seal { data, ..seal.clone() }
}

fn encode_part(part: &Part, terms: &StreamTerms, home: bool, content: &mut Vec<Value>) {
    let none = Extras::new();
    let (mut body, extras) = match part {
        // Sent back as history, an empty text would be refused.
        Part::Text { text, citations, .. } if text.is_empty() && citations.is_empty() && !home => return,
        Part::Text { text, citations, extras, .. } => (block::text(text, citations, extras, home), extras),
        Part::Refusal { text, .. } if text.is_empty() => return,
        Part::Refusal { text, extras } => (block::text(text, &[], extras, false), extras),
        Part::Reasoning { text, seal: None, .. } if text.is_empty() && !home => return,
        Part::Reasoning { text, seal, extras, .. } => {
            let seal = seal.as_ref().map(|seal| for_client(seal, !text.is_empty()));
            (block::thinking(text, seal.as_ref()), extras)
        }
        Part::ToolCall { call_id: id, name, arguments, extras, .. } => {
            let own = if home { serde_json::from_str(arguments).ok() } else { None };
            let input = own.unwrap_or_else(|| calls::input(arguments).unwrap_or_else(|wrapped| wrapped));
            (block::tool_use(&call_id(id, content.len(), terms), name, Some(input)), extras)
        }
        Part::Media(media) => match media::encode(media, home) {
            Some(body) => (body, &media.extras),
            None => return,
        },
        Part::Native { body: Value::Object(body) } if home => (body.clone(), &none),
        Part::Native { .. } | Part::ToolResult { .. } => return,
    };
    if home {
        join(&mut body, extras);
    }
    content.push(Value::Object(body));
}

/// Looks at a whole answer that passes untouched. An answer without a message is none.
pub(super) fn scan(body: &[u8]) -> Result<Seen, Fault> {
    let mut seen = Seen { ended: true, ..Seen::default() };
    let (mut has_output, mut has_calls, mut is_error, mut word, mut tier) = (false, false, false, None, None);
    look::top_level(body, |key, value| {
        match key {
            "output" => {
                has_output = value.mentions("\"message\"");
                has_calls = value.mentions("\"toolUse\"");
            }
            "stopReason" => word = value.string(key).unwrap_or_default(),
            "usage" => {
                if let Ok(counts) = serde_json::from_str(value.raw()) {
                    seen.usage = usage::decode(counts).unwrap_or_default();
                }
            }
            "serviceTier" => tier = serde_json::from_str::<Value>(value.raw()).ok(),
            "message" | "__type" => is_error = true,
            _ => {}
        }
        Ok(())
    })
    .map_err(BadField::into_provider_fault)?;
    if is_error && !has_output {
        return Err(fault::decode_error(200, body));
    }
    let Some(word) = word.filter(|_| has_output) else {
        return Err(Fault::provider(FaultKind::Malformed, "the provider's answer has no message or no stop reason"));
    };
    seen.usage.service_tier = tier.as_ref().and_then(|tier| tier.get("type")?.as_str()).map(str::to_owned);
    seen.stop = Some(decode_stop(word, has_calls).reason);
    Ok(seen)
}
