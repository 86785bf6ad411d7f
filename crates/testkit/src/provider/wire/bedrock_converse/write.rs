//! Writes answers the way Converse does, whole and as binary messages. Pure. The writer of messages is the provider's
//! own, apart from the canon's, which is under test.

use crate::provider::reply::{Call, Counts, Said};
use crate::provider::script::StopKind;
use crate::provider::wire::{Wire as _, Writing, seal as made_here};
use bytes::Bytes;
use serde_json::{Value, json};

/// A message of the type `kind`, called `name`.
pub(super) fn message(kind: &str, name: &str, payload: &[u8]) -> Bytes {
    let key = if kind == "event" { ":event-type" } else { ":exception-type" };
    let mut headers = Vec::new();
    for (key, value) in [(key, name), (":content-type", "application/json"), (":message-type", kind)] {
        headers.push(u8::try_from(key.len()).unwrap_or(u8::MAX));
        headers.extend_from_slice(key.as_bytes());
        headers.push(7);
        headers.extend_from_slice(&u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes());
        headers.extend_from_slice(value.as_bytes());
    }
    let size = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    let mut out = [size(16 + headers.len() + payload.len()), size(headers.len())].concat();
    out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
    out.extend_from_slice(&headers);
    out.extend_from_slice(payload);
    out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
    Bytes::from(out)
}

/// An event with its payload.
pub(super) fn event(name: &str, payload: &Value) -> Bytes {
    message("event", name, payload.to_string().as_bytes())
}

/// A whole answer.
pub(super) fn unary(writing: &Writing<'_>) -> Value {
    let said = writing.reply.choices.first().cloned().unwrap_or_default();
    let mut content = Vec::new();
    if !said.reasoning.is_empty() {
        let words = json!({"text": said.reasoning.concat(), "signature": seal(writing)});
        content.push(json!({"reasoningContent": {"reasoningText": words}}));
    }
    let words = words(&said).concat();
    if !words.is_empty() {
        content.push(json!({"text": words}));
    }
    for (at, call) in said.calls.iter().enumerate() {
        let input: Value = serde_json::from_str(&call.arguments.concat()).unwrap_or_else(|_| json!({}));
        let id = call_id(writing, at, call);
        content.push(json!({"toolUse": {"toolUseId": id, "name": call.name, "input": input}}));
    }
    json!({
        "metrics": {"latencyMs": 1}, "output": {"message": {"content": content, "role": "assistant"}},
        "stopReason": stop(&said), "usage": usage(&writing.reply.usage),
    })
}

fn words(said: &Said) -> Vec<String> {
    [said.refusal.clone(), said.text.clone()].concat()
}

fn seal(writing: &Writing<'_>) -> String {
    made_here(super::BedrockConverse.id(), writing.reply.serial)
}

fn call_id(writing: &Writing<'_>, at: usize, call: &Call) -> String {
    call.id.clone().unwrap_or_else(|| format!("tooluse_{:016x}{at:04x}", writing.reply.serial))
}

fn stop(said: &Said) -> &'static str {
    match &said.stop {
        Some(StopKind::Length) => "max_tokens",
        Some(StopKind::ToolCalls) => "tool_use",
        Some(StopKind::ContentFilter) => "content_filtered",
        Some(StopKind::Sequence(_)) => "stop_sequence",
        _ if !said.refusal.is_empty() => "guardrail_intervened",
        _ => "end_turn",
    }
}

fn usage(counts: &Counts) -> Value {
    let mut body = json!({
        "inputTokens": counts.input.saturating_sub(counts.cached + counts.cache_write),
        "outputTokens": counts.output, "totalTokens": counts.input + counts.output,
    });
    if counts.cached + counts.cache_write > 0 {
        body["cacheReadInputTokens"] = counts.cached.into();
        body["cacheWriteInputTokens"] = counts.cache_write.into();
    }
    body
}

/// An answer message by message. Each has the padding that hides how long its words are.
pub(super) fn stream(writing: &Writing<'_>) -> Vec<Bytes> {
    let said = writing.reply.choices.first().cloned().unwrap_or_default();
    let mut pen = Pen { out: Vec::new(), step: writing.reply.tokens_per_event, next: 0 };
    pen.say("messageStart", json!({"role": "assistant"}));
    if !said.reasoning.is_empty() {
        let seal = json!({"reasoningContent": {"signature": seal(writing)}});
        pen.block(None, &said.reasoning, |words| json!({"reasoningContent": {"text": words}}), Some(seal));
    }
    let words = words(&said);
    if !words.is_empty() {
        pen.block(None, &words, |words| json!({"text": words}), None);
    }
    for (at, call) in said.calls.iter().enumerate() {
        let start = json!({"toolUse": {"toolUseId": call_id(writing, at, call), "name": call.name}});
        pen.block(Some(start), &call.arguments, |piece| json!({"toolUse": {"input": piece}}), None);
    }
    pen.say("messageStop", json!({"stopReason": stop(&said)}));
    pen.say("metadata", json!({"usage": usage(&writing.reply.usage), "metrics": {"latencyMs": 1}}));
    pen.out
}

struct Pen {
    out: Vec<Bytes>,
    step: usize,
    next: usize,
}

impl Pen {
    fn say(&mut self, name: &str, mut body: Value) {
        let padding: String = ('a'..='z').take(1 + self.out.len() % 26).collect();
        body["p"] = padding.into();
        self.out.push(event(name, &body));
    }

    fn block(&mut self, start: Option<Value>, tokens: &[String], delta: impl Fn(String) -> Value, last: Option<Value>) {
        let index = self.next;
        self.next += 1;
        if let Some(start) = start {
            self.say("contentBlockStart", json!({"contentBlockIndex": index, "start": start}));
        }
        for piece in tokens.chunks(self.step).map(|group| delta(group.concat())).chain(last) {
            self.say("contentBlockDelta", json!({"contentBlockIndex": index, "delta": piece}));
        }
        self.say("contentBlockStop", json!({"contentBlockIndex": index}));
    }
}
