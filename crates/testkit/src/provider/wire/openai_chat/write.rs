//! Writes answers the way OpenAI Chat Completions does, whole and as a stream. Pure.

use crate::provider::reply::{Call, Counts, Said};
use crate::provider::script::StopKind;
use crate::provider::wire::Writing;
use bytes::Bytes;
use serde_json::{Map, Value, json};

/// A whole answer.
pub(super) fn unary(writing: &Writing<'_>) -> Value {
    let mut body = head(writing, "chat.completion");
    let choices: Vec<Value> =
        writing.reply.choices.iter().enumerate().map(|(index, said)| choice(writing, index, said)).collect();
    body.insert("choices".into(), choices.into());
    if writing.reply.reports_usage {
        body.insert("usage".into(), usage(&writing.reply.usage));
    }
    Value::Object(body)
}

fn head(writing: &Writing<'_>, object: &str) -> Map<String, Value> {
    let mut body = Map::new();
    body.insert("id".into(), format!("chatcmpl-{:029x}", writing.reply.serial).into());
    body.insert("object".into(), object.into());
    body.insert("created".into(), writing.now.into());
    body.insert("model".into(), writing.ask.model.clone().into());
    body.insert("service_tier".into(), "default".into());
    body.insert("system_fingerprint".into(), "fp_5c71ed7c4d".into());
    body
}

fn choice(writing: &Writing<'_>, index: usize, said: &Said) -> Value {
    let words = |tokens: &[String]| if tokens.is_empty() { Value::Null } else { tokens.concat().into() };
    let mut message = Map::new();
    message.insert("role".into(), "assistant".into());
    let speaks = said.calls.is_empty() && said.refusal.is_empty();
    let content = if speaks { said.text.concat().into() } else { words(&said.text) };
    message.insert("content".into(), content);
    message.insert("refusal".into(), words(&said.refusal));
    message.insert("annotations".into(), json!([]));
    if !said.reasoning.is_empty() {
        message.insert("reasoning_content".into(), said.reasoning.concat().into());
    }
    if !said.calls.is_empty() {
        let calls = said.calls.iter().enumerate().map(|(at, call)| {
            let id = call_id(writing, index, at, call);
            let arguments = call.arguments.concat();
            json!({"id": id, "type": "function", "function": {"name": call.name, "arguments": arguments}})
        });
        message.insert("tool_calls".into(), calls.collect::<Vec<_>>().into());
    }
    let logprobs = match writing.ask.logprobs {
        Some(top) => logprobs(said, top),
        None => Value::Null,
    };
    json!({"index": index, "message": message, "logprobs": logprobs, "finish_reason": finish(said)})
}

fn logprobs(said: &Said, top: usize) -> Value {
    let rows = |tokens: &[String]| -> Value {
        if tokens.is_empty() { Value::Null } else { tokens.iter().map(|token| logprob(token, top)).collect() }
    };
    json!({"content": rows(&said.text), "refusal": rows(&said.refusal)})
}

/// A token's probabilities: made up, but the same for the same token.
fn logprob(token: &str, top: usize) -> Value {
    #[expect(clippy::cast_precision_loss, reason = "a handful of bytes and ranks")]
    let value = |text: &str, rank: usize| -0.25 - text.len() as f64 / 64.0 - rank as f64;
    let row = |text: String, rank: usize| {
        let bytes = text.as_bytes().to_vec();
        json!({"token": text, "logprob": value(token, rank), "bytes": bytes})
    };
    let mut main = row(token.to_owned(), 0);
    let alternatives: Vec<Value> =
        (0..top).map(|rank| row(if rank == 0 { token.to_owned() } else { format!(" alt{rank}") }, rank)).collect();
    if let Some(main) = main.as_object_mut() {
        main.insert("top_logprobs".into(), alternatives.into());
    }
    main
}

fn call_id(writing: &Writing<'_>, choice: usize, at: usize, call: &Call) -> String {
    call.id.clone().unwrap_or_else(|| format!("call_{:016x}{choice:04x}{at:04x}", writing.reply.serial))
}

fn finish(said: &Said) -> &'static str {
    match said.stop {
        Some(StopKind::Length) => "length",
        Some(StopKind::ToolCalls) => "tool_calls",
        Some(StopKind::ContentFilter) => "content_filter",
        _ => "stop",
    }
}

fn usage(counts: &Counts) -> Value {
    json!({
        "prompt_tokens": counts.input,
        "completion_tokens": counts.output,
        "total_tokens": counts.input + counts.output,
        "prompt_tokens_details": {
            "cached_tokens": counts.cached, "audio_tokens": 0, "cache_write_tokens": counts.cache_write,
        },
        "completion_tokens_details": {
            "reasoning_tokens": counts.reasoning, "audio_tokens": 0,
            "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
        },
    })
}

/// An answer event by event.
pub(super) fn stream(writing: &Writing<'_>) -> Vec<Bytes> {
    let mut out = Vec::new();
    let mut pen = Pen { writing, out: &mut out };
    for (index, said) in writing.reply.choices.iter().enumerate() {
        pen.choice(index, said);
    }
    if writing.ask.stream_usage && writing.reply.reports_usage {
        pen.frame(vec![], Some(usage(&writing.reply.usage)));
    }
    out.push(Bytes::from_static(b"data: [DONE]\n\n"));
    out
}

struct Pen<'a> {
    writing: &'a Writing<'a>,
    out: &'a mut Vec<Bytes>,
}

impl Pen<'_> {
    fn choice(&mut self, index: usize, said: &Said) {
        let opening = if said.calls.is_empty() || !said.text.is_empty() { json!("") } else { Value::Null };
        self.delta(index, json!({"role": "assistant", "content": opening, "refusal": null}), &[], None);
        let step = self.writing.reply.tokens_per_event;
        for group in said.reasoning.chunks(step) {
            self.delta(index, json!({"reasoning_content": group.concat()}), &[], None);
        }
        for group in said.refusal.chunks(step) {
            self.delta(index, json!({"refusal": group.concat()}), &[], None);
        }
        for group in said.text.chunks(step) {
            self.delta(index, json!({"content": group.concat()}), group, None);
        }
        for (at, call) in said.calls.iter().enumerate() {
            let id = call_id(self.writing, index, at, call);
            let first =
                json!({"index": at, "id": id, "type": "function", "function": {"name": call.name, "arguments": ""}});
            self.delta(index, json!({"tool_calls": [first]}), &[], None);
            for group in call.arguments.chunks(step) {
                let more = json!({"index": at, "function": {"arguments": group.concat()}});
                self.delta(index, json!({"tool_calls": [more]}), &[], None);
            }
        }
        self.delta(index, json!({}), &[], Some(finish(said)));
    }

    fn delta(&mut self, index: usize, delta: Value, tokens: &[String], finish: Option<&str>) {
        let logprobs = match self.writing.ask.logprobs {
            Some(top) if !tokens.is_empty() => {
                let rows: Vec<Value> = tokens.iter().map(|token| logprob(token, top)).collect();
                json!({"content": rows, "refusal": null})
            }
            _ => Value::Null,
        };
        let choice = json!({"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish});
        self.frame(vec![choice], None);
    }

    fn frame(&mut self, choices: Vec<Value>, usage: Option<Value>) {
        let mut body = head(self.writing, "chat.completion.chunk");
        body.insert("choices".into(), choices.into());
        if self.writing.ask.stream_usage {
            body.insert("usage".into(), usage.unwrap_or(Value::Null));
        }
        self.out.push(Bytes::from(format!("data: {}\n\n", Value::Object(body))));
    }
}
