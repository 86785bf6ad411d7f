//! Writes answers the way Cohere's chat does, whole and as a stream. Pure.

use crate::provider::reply::{Call, Counts, Said};
use crate::provider::script::StopKind;
use crate::provider::wire::{Writing, named_event};
use bytes::Bytes;
use serde_json::{Value, json};

fn id(writing: &Writing<'_>) -> String {
    format!("{:08x}-0000-4000-8000-{:012x}", writing.reply.serial >> 48, writing.reply.serial & ((1 << 48) - 1))
}

fn words(said: &Said) -> Vec<String> {
    [said.refusal.clone(), said.text.clone()].concat()
}

/// What is thought before calls is the plan of them.
fn plans(said: &Said) -> bool {
    !said.calls.is_empty()
}

/// A whole answer.
pub(super) fn unary(writing: &Writing<'_>) -> Value {
    let said = writing.reply.choices.first().cloned().unwrap_or_default();
    let mut message = json!({"role": "assistant"});
    let mut content = Vec::new();
    let thoughts = said.reasoning.concat();
    if plans(&said) && !thoughts.is_empty() {
        message["tool_plan"] = thoughts.into();
    } else if !thoughts.is_empty() {
        content.push(json!({"type": "thinking", "thinking": thoughts}));
    }
    let words = words(&said).concat();
    if !words.is_empty() || (content.is_empty() && said.calls.is_empty()) {
        content.push(json!({"type": "text", "text": words}));
    }
    if !content.is_empty() {
        message["content"] = content.into();
    }
    if !said.calls.is_empty() {
        let call = |(at, made): (usize, &Call)| call(writing, at, made, made.arguments.concat());
        message["tool_calls"] = said.calls.iter().enumerate().map(call).collect();
    }
    json!({
        "id": id(writing), "message": message, "finish_reason": finish(&said), "usage": usage(&writing.reply.usage),
    })
}

fn call(writing: &Writing<'_>, at: usize, call: &Call, arguments: String) -> Value {
    let id = call.id.clone().unwrap_or_else(|| format!("{}_{:016x}{at:04x}", call.name, writing.reply.serial));
    json!({"id": id, "type": "function", "function": {"name": call.name, "arguments": arguments}})
}

fn finish(said: &Said) -> &'static str {
    match &said.stop {
        Some(StopKind::Length) => "MAX_TOKENS",
        Some(StopKind::ToolCalls) => "TOOL_CALL",
        Some(StopKind::ContentFilter) => "ERROR_TOXIC",
        Some(StopKind::Sequence(_)) => "STOP_SEQUENCE",
        _ => "COMPLETE",
    }
}

fn usage(counts: &Counts) -> Value {
    let both = json!({"input_tokens": counts.input, "output_tokens": counts.output});
    let mut body = json!({"billed_units": both, "tokens": both});
    if counts.cached > 0 {
        body["cached_tokens"] = counts.cached.into();
    }
    body
}

/// An answer event by event.
pub(super) fn stream(writing: &Writing<'_>) -> Vec<Bytes> {
    let said = writing.reply.choices.first().cloned().unwrap_or_default();
    let mut pen = Pen { out: Vec::new(), step: writing.reply.tokens_per_event, contents: 0 };
    let message = json!({"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []});
    pen.say(json!({"id": id(writing), "type": "message-start", "delta": {"message": message}}));
    if plans(&said) {
        for group in said.reasoning.chunks(pen.step) {
            pen.say(json!({"type": "tool-plan-delta", "delta": {"message": {"tool_plan": group.concat()}}}));
        }
    } else {
        pen.content("thinking", &said.reasoning);
    }
    pen.content("text", &words(&said));
    for (at, made) in said.calls.iter().enumerate() {
        let start = call(writing, at, made, String::new());
        pen.say(json!({"type": "tool-call-start", "index": at, "delta": {"message": {"tool_calls": start}}}));
        for group in made.arguments.chunks(pen.step) {
            let piece = json!({"function": {"arguments": group.concat()}});
            pen.say(json!({"type": "tool-call-delta", "index": at, "delta": {"message": {"tool_calls": piece}}}));
        }
        pen.say(json!({"type": "tool-call-end", "index": at}));
    }
    let delta = json!({"finish_reason": finish(&said), "usage": usage(&writing.reply.usage)});
    pen.say(json!({"type": "message-end", "delta": delta}));
    pen.out.push(Bytes::from_static(b"data: [DONE]\n\n"));
    pen.out
}

struct Pen {
    out: Vec<Bytes>,
    step: usize,
    contents: usize,
}

impl Pen {
    fn say(&mut self, body: Value) {
        self.out.push(named_event(&body));
    }

    fn content(&mut self, kind: &str, tokens: &[String]) {
        if tokens.is_empty() {
            return;
        }
        let index = self.contents;
        self.contents += 1;
        let start = json!({"type": kind, kind: ""});
        self.say(json!({"type": "content-start", "index": index, "delta": {"message": {"content": start}}}));
        for group in tokens.chunks(self.step) {
            let piece = json!({ kind: group.concat() });
            self.say(json!({"type": "content-delta", "index": index, "delta": {"message": {"content": piece}}}));
        }
        self.say(json!({"type": "content-end", "index": index}));
    }
}
