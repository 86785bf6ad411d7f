//! Writes answers the way Anthropic Messages does, whole and as a stream. Pure.

use crate::provider::reply::{Call, Counts, Said};
use crate::provider::script::StopKind;
use crate::provider::wire::{Wire as _, Writing, named_event, seal as made_here};
use bytes::Bytes;
use serde_json::{Value, json};

/// A whole answer; the wire gives one.
pub(super) fn unary(writing: &Writing<'_>) -> Value {
    let said = writing.reply.choices.first().cloned().unwrap_or_default();
    let mut content = Vec::new();
    if !said.reasoning.is_empty() {
        content.push(json!({"type": "thinking", "thinking": said.reasoning.concat(), "signature": seal(writing)}));
    }
    let words = [said.refusal.concat(), said.text.concat()].concat();
    if !words.is_empty() {
        content.push(json!({"type": "text", "text": words}));
    }
    for (at, call) in said.calls.iter().enumerate() {
        let input: Value = serde_json::from_str(&call.arguments.concat()).unwrap_or_else(|_| json!({}));
        content.push(json!({"type": "tool_use", "id": call_id(writing, at, call), "name": call.name, "input": input}));
    }
    let (word, sequence) = stop(&said);
    let mut body = head(writing);
    body["content"] = content.into();
    body["stop_reason"] = word.into();
    body["stop_sequence"] = sequence;
    body["usage"] = usage(&writing.reply.usage);
    body
}

fn head(writing: &Writing<'_>) -> Value {
    json!({
        "id": format!("msg_{:024x}", writing.reply.serial), "type": "message", "role": "assistant",
        "model": writing.ask.model, "content": [], "stop_reason": null, "stop_sequence": null,
        "usage": {"input_tokens": writing.reply.usage.input, "output_tokens": 1},
    })
}

fn seal(writing: &Writing<'_>) -> String {
    made_here(super::AnthropicMessages.id(), writing.reply.serial)
}

fn call_id(writing: &Writing<'_>, at: usize, call: &Call) -> String {
    call.id.clone().unwrap_or_else(|| format!("toolu_{:016x}{at:04x}", writing.reply.serial))
}

fn stop(said: &Said) -> (&'static str, Value) {
    match &said.stop {
        Some(StopKind::Length) => ("max_tokens", Value::Null),
        Some(StopKind::ToolCalls) => ("tool_use", Value::Null),
        Some(StopKind::ContentFilter) => ("refusal", Value::Null),
        Some(StopKind::Sequence(word)) => ("stop_sequence", word.clone().into()),
        _ if !said.refusal.is_empty() => ("refusal", Value::Null),
        _ => ("end_turn", Value::Null),
    }
}

fn usage(counts: &Counts) -> Value {
    json!({
        "input_tokens": counts.input.saturating_sub(counts.cached + counts.cache_write),
        "cache_read_input_tokens": counts.cached,
        "cache_creation_input_tokens": counts.cache_write,
        "output_tokens": counts.output,
        "output_tokens_details": {"thinking_tokens": counts.reasoning},
        "service_tier": "standard",
    })
}

/// An answer event by event.
pub(super) fn stream(writing: &Writing<'_>) -> Vec<Bytes> {
    let said = writing.reply.choices.first().cloned().unwrap_or_default();
    let mut pen = Pen { out: Vec::new(), step: writing.reply.tokens_per_event, next: 0 };
    let mut start = head(writing);
    start["usage"] = usage(&Counts { output: 1, reasoning: 0, ..writing.reply.usage });
    pen.say(json!({"type": "message_start", "message": start}));
    if !said.reasoning.is_empty() {
        let block = json!({"type": "thinking", "thinking": "", "signature": ""});
        pen.block(block, ("thinking_delta", "thinking"), &said.reasoning, Some(seal(writing)));
    }
    let words = [said.refusal.clone(), said.text.clone()].concat();
    if !words.is_empty() {
        pen.block(json!({"type": "text", "text": ""}), ("text_delta", "text"), &words, None);
    }
    for (at, call) in said.calls.iter().enumerate() {
        let block = json!({"type": "tool_use", "id": call_id(writing, at, call), "name": call.name, "input": {}});
        pen.block(block, ("input_json_delta", "partial_json"), &call.arguments, None);
    }
    let (word, sequence) = stop(&said);
    let delta = json!({"stop_reason": word, "stop_sequence": sequence});
    pen.say(json!({"type": "message_delta", "delta": delta, "usage": usage(&writing.reply.usage)}));
    pen.say(json!({"type": "message_stop"}));
    pen.out
}

struct Pen {
    out: Vec<Bytes>,
    step: usize,
    next: usize,
}

impl Pen {
    fn say(&mut self, body: Value) {
        self.out.push(named_event(&body));
    }

    fn block(&mut self, block: Value, (kind, key): (&str, &str), tokens: &[String], seal: Option<String>) {
        let index = self.next;
        self.next += 1;
        self.say(json!({"type": "content_block_start", "index": index, "content_block": block}));
        for group in tokens.chunks(self.step) {
            let delta = json!({"type": kind, key: group.concat()});
            self.say(json!({"type": "content_block_delta", "index": index, "delta": delta}));
        }
        if let Some(seal) = seal {
            let delta = json!({"type": "signature_delta", "signature": seal});
            self.say(json!({"type": "content_block_delta", "index": index, "delta": delta}));
        }
        self.say(json!({"type": "content_block_stop", "index": index}));
    }
}
