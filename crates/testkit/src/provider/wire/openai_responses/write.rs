//! Writes answers the way OpenAI Responses does, whole and as a stream. Pure.

use crate::provider::reply::{Call, Counts, Said};
use crate::provider::script::StopKind;
use crate::provider::wire::{Wire as _, Writing, named_event, seal};
use bytes::Bytes;
use serde_json::{Value, json};

/// A whole answer; the wire gives one.
pub(super) fn unary(writing: &Writing<'_>) -> Value {
    let said = writing.reply.choices.first().cloned().unwrap_or_default();
    let output: Vec<Value> = pieces(writing, &said).iter().map(|piece| piece.item(&piece.tokens.concat())).collect();
    ended(writing, &said, output)
}

/// The response object before its end.
fn open(writing: &Writing<'_>) -> Value {
    json!({
        "id": format!("resp_{:032x}", writing.reply.serial), "object": "response", "created_at": writing.now,
        "status": "in_progress", "background": false, "error": null, "incomplete_details": null,
        "instructions": null, "max_output_tokens": null, "model": writing.ask.model, "output": [],
        "parallel_tool_calls": writing.ask.parallel, "previous_response_id": null, "reasoning": {"effort": null, "summary": null},
        "service_tier": "default", "store": false, "temperature": 1.0, "text": {"format": {"type": "text"}},
        "tool_choice": "auto", "tools": [], "top_p": 1.0, "truncation": "disabled", "usage": null, "metadata": {},
    })
}

fn ended(writing: &Writing<'_>, said: &Said, output: Vec<Value>) -> Value {
    let mut body = open(writing);
    let reason = match said.stop {
        Some(StopKind::Length) => Some("max_output_tokens"),
        Some(StopKind::ContentFilter) => Some("content_filter"),
        _ => None,
    };
    body["status"] = if reason.is_some() { "incomplete".into() } else { "completed".into() };
    body["incomplete_details"] = reason.map_or(Value::Null, |reason| json!({"reason": reason}));
    body["output"] = output.into();
    if writing.reply.reports_usage {
        body["usage"] = usage(&writing.reply.usage);
    }
    body
}

fn usage(counts: &Counts) -> Value {
    json!({
        "input_tokens": counts.input,
        "input_tokens_details": {"cached_tokens": counts.cached, "cache_write_tokens": counts.cache_write},
        "output_tokens": counts.output,
        "output_tokens_details": {"reasoning_tokens": counts.reasoning},
        "total_tokens": counts.input + counts.output,
    })
}

/// One item, which has one part here.
struct Piece {
    id: String,
    kind: PieceKind,
    tokens: Vec<String>,
    /// What only this server can read of its thinking.
    seal: Option<String>,
}

enum PieceKind {
    Reasoning,
    Refusal,
    Text,
    Call { id: String, name: String },
}

fn pieces(writing: &Writing<'_>, said: &Said) -> Vec<Piece> {
    let serial = writing.reply.serial;
    let id = |prefix: &str, at: usize| format!("{prefix}_{serial:028x}{at:04x}");
    let mut out = Vec::new();
    if !said.reasoning.is_empty() {
        let seal = writing.ask.seals.then(|| seal(super::OpenAiResponses.id(), serial));
        out.push(Piece { id: id("rs", 0), kind: PieceKind::Reasoning, tokens: said.reasoning.clone(), seal });
    }
    if !said.refusal.is_empty() {
        out.push(Piece { id: id("msg", 0), kind: PieceKind::Refusal, tokens: said.refusal.clone(), seal: None });
    }
    if !said.text.is_empty() {
        out.push(Piece { id: id("msg", 1), kind: PieceKind::Text, tokens: said.text.clone(), seal: None });
    }
    for (at, call) in said.calls.iter().enumerate() {
        let kind = PieceKind::Call { id: call_id(serial, at, call), name: call.name.clone() };
        out.push(Piece { id: id("fc", at), kind, tokens: call.arguments.clone(), seal: None });
    }
    out
}

fn call_id(serial: u64, at: usize, call: &Call) -> String {
    call.id.clone().unwrap_or_else(|| format!("call_{serial:016x}{at:04x}"))
}

impl Piece {
    /// The part that says `text`.
    fn part(&self, text: &str) -> Value {
        match self.kind {
            PieceKind::Reasoning => json!({"type": "summary_text", "text": text}),
            PieceKind::Refusal => json!({"type": "refusal", "refusal": text}),
            _ => json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []}),
        }
    }

    /// The item, done, with `text`.
    fn item(&self, text: &str) -> Value {
        match &self.kind {
            PieceKind::Reasoning => {
                let mut item = json!({"type": "reasoning", "id": self.id, "summary": [self.part(text)]});
                if let Some(seal) = &self.seal {
                    item["encrypted_content"] = seal.clone().into();
                }
                item
            }
            PieceKind::Call { id, name } => json!({
                "type": "function_call", "id": self.id, "call_id": id, "name": name, "arguments": text, "status": "completed",
            }),
            _ => json!({
                "type": "message", "id": self.id, "role": "assistant", "status": "completed", "content": [self.part(text)],
            }),
        }
    }

    /// The item as it begins.
    fn begun(&self) -> Value {
        let mut item = self.item("");
        for (key, empty) in [("content", json!([])), ("summary", json!([])), ("status", json!("in_progress"))] {
            if item.get(key).is_some() {
                item[key] = empty;
            }
        }
        item
    }

    /// Names of its deltas, its part's events, the key of its index, and the key of its whole words.
    fn names(&self) -> (&'static str, Option<&'static str>, &'static str, &'static str) {
        match self.kind {
            PieceKind::Reasoning => {
                ("response.reasoning_summary_text", Some("response.reasoning_summary_part"), "summary_index", "text")
            }
            PieceKind::Refusal => ("response.refusal", Some("response.content_part"), "content_index", "refusal"),
            PieceKind::Text => ("response.output_text", Some("response.content_part"), "content_index", "text"),
            PieceKind::Call { .. } => ("response.function_call_arguments", None, "", "arguments"),
        }
    }
}

/// An answer event by event.
pub(super) fn stream(writing: &Writing<'_>) -> Vec<Bytes> {
    let said = writing.reply.choices.first().cloned().unwrap_or_default();
    let mut pen = Pen { out: Vec::new() };
    pen.say("response.created", json!({"response": open(writing)}));
    pen.say("response.in_progress", json!({"response": open(writing)}));
    let mut output = Vec::new();
    for (index, piece) in pieces(writing, &said).iter().enumerate() {
        output.push(pen.piece(index, piece, writing.reply.tokens_per_event));
    }
    let response = ended(writing, &said, output);
    let name = if response["status"] == "incomplete" { "response.incomplete" } else { "response.completed" };
    pen.say(name, json!({"response": response}));
    pen.out
}

struct Pen {
    out: Vec<Bytes>,
}

impl Pen {
    fn say(&mut self, name: &str, mut body: Value) {
        body["type"] = name.into();
        body["sequence_number"] = self.out.len().into();
        self.out.push(named_event(&body));
    }

    fn piece(&mut self, index: usize, piece: &Piece, step: usize) -> Value {
        let whole = piece.tokens.concat();
        let (words, part, key, field) = piece.names();
        let within = |mut body: Value| {
            body["item_id"] = piece.id.clone().into();
            body["output_index"] = index.into();
            if !key.is_empty() {
                body[key] = 0.into();
            }
            body
        };
        self.say("response.output_item.added", json!({"output_index": index, "item": piece.begun()}));
        if let Some(part) = part {
            self.say(&format!("{part}.added"), within(json!({"part": piece.part("")})));
        }
        for group in piece.tokens.chunks(step) {
            self.say(&format!("{words}.delta"), within(json!({"delta": group.concat()})));
        }
        self.say(&format!("{words}.done"), within(json!({field: whole})));
        if let Some(part) = part {
            self.say(&format!("{part}.done"), within(json!({"part": piece.part(&whole)})));
        }
        let item = piece.item(&whole);
        self.say("response.output_item.done", json!({"output_index": index, "item": item}));
        item
    }
}
