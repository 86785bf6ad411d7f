//! Writes answers the way Gemini does, whole and as a stream. Pure.

use crate::provider::reply::{Counts, Said};
use crate::provider::script::StopKind;
use crate::provider::wire::{Wire as _, Writing, seal};
use bytes::Bytes;
use serde_json::{Value, json};

/// A whole answer.
pub(super) fn unary(writing: &Writing<'_>) -> Value {
    let candidates = writing.reply.choices.iter().enumerate().map(|(index, said)| {
        let mut parts = Vec::new();
        if !said.reasoning.is_empty() {
            parts.push(json!({"text": said.reasoning.concat(), "thought": true}));
        }
        let words = [said.refusal.concat(), said.text.concat()].concat();
        if !words.is_empty() || said.calls.is_empty() {
            parts.push(json!({"text": words}));
        }
        parts.extend(calls(writing, said));
        if said.calls.is_empty()
            && let (Some(last), Some(seal)) = (parts.last_mut(), sealed(writing, said))
        {
            last["thoughtSignature"] = seal.into();
        }
        candidate(index, parts, Some(finish(said)))
    });
    chunk(writing, candidates.collect(), true)
}

fn chunk(writing: &Writing<'_>, candidates: Vec<Value>, last: bool) -> Value {
    let mut body = json!({
        "candidates": candidates, "modelVersion": writing.ask.model, "responseId": format!("g{:016x}", writing.reply.serial),
    });
    if writing.reply.reports_usage {
        let counts = writing.reply.usage;
        body["usageMetadata"] = usage(&if last { counts } else { Counts { output: 0, reasoning: 0, ..counts } });
    }
    body
}

fn candidate(index: usize, parts: Vec<Value>, finish: Option<&str>) -> Value {
    let mut body = json!({"content": {"parts": parts, "role": "model"}, "index": index});
    if let Some(word) = finish {
        body["finishReason"] = word.into();
    }
    body
}

/// The signature of an answer's thought: on its first call, else on its last words.
fn sealed(writing: &Writing<'_>, said: &Said) -> Option<String> {
    (!said.reasoning.is_empty()).then(|| seal(super::Gemini.id(), writing.reply.serial))
}

fn calls(writing: &Writing<'_>, said: &Said) -> impl Iterator<Item = Value> {
    let mut seal = sealed(writing, said);
    said.calls.iter().map(move |call| {
        let args: Value = serde_json::from_str(&call.arguments.concat()).unwrap_or_else(|_| json!({}));
        let mut inner = json!({"name": call.name, "args": args});
        if let Some(id) = &call.id {
            inner["id"] = id.clone().into();
        }
        let mut part = json!({"functionCall": inner});
        if let Some(seal) = seal.take() {
            part["thoughtSignature"] = seal.into();
        }
        part
    })
}

fn finish(said: &Said) -> &'static str {
    match said.stop {
        Some(StopKind::Length) => "MAX_TOKENS",
        Some(StopKind::ContentFilter) => "SAFETY",
        _ if !said.refusal.is_empty() => "SAFETY",
        _ => "STOP",
    }
}

fn usage(counts: &Counts) -> Value {
    let mut body = json!({
        "promptTokenCount": counts.input, "candidatesTokenCount": counts.output.saturating_sub(counts.reasoning),
        "totalTokenCount": counts.input + counts.output,
    });
    // Zero counts are left out.
    for (key, count) in [("thoughtsTokenCount", counts.reasoning), ("cachedContentTokenCount", counts.cached)] {
        if count > 0 {
            body[key] = count.into();
        }
    }
    body
}

/// An answer event by event. The wire has no end of its own but the candidates' finish, which comes last.
pub(super) fn stream(writing: &Writing<'_>) -> Vec<Bytes> {
    let mut chunks: Vec<Value> = Vec::new();
    for (index, said) in writing.reply.choices.iter().enumerate() {
        let step = writing.reply.tokens_per_event;
        let mut say = |part: Value| chunks.push(candidate(index, vec![part], None));
        said.reasoning.chunks(step).for_each(|group| say(json!({"text": group.concat(), "thought": true})));
        let words = [said.refusal.clone(), said.text.clone()].concat();
        words.chunks(step).for_each(|group| say(json!({"text": group.concat()})));
        calls(writing, said).for_each(&mut say);
    }
    let ends = writing.reply.choices.iter().enumerate();
    let end = |(index, said): (usize, &Said)| {
        let mut part = json!({"text": ""});
        if said.calls.is_empty()
            && let Some(seal) = sealed(writing, said)
        {
            part["thoughtSignature"] = seal.into();
        }
        candidate(index, vec![part], Some(finish(said)))
    };
    let ends: Vec<Value> = ends.map(end).collect();
    let body = chunks.into_iter().map(|one| chunk(writing, vec![one], false));
    body.chain([chunk(writing, ends, true)]).map(|chunk| Bytes::from(format!("data: {chunk}\r\n\r\n"))).collect()
}
