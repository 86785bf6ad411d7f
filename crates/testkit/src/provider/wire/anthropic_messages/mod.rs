//! Anthropic Messages, as Anthropic's server: strict in what it takes, exact in what it says. Pure. Errors have
//! Anthropic's words and types.

mod rules;
mod shapes;
mod write;

pub(super) use rules::closed;

use super::{
    Demand, Incoming, Wire, Writing, items, json_body, named_event, on, problem_words, prompt_tokens, takes_seal, text,
};
use crate::provider::ask::{Ask, Choice, Form, Offered, Speaker, Turn};
use crate::provider::fault::Trouble;
use crate::provider::shape::{Refusal, check};
use bytes::Bytes;
use serde_json::{Value, json};

/// The wire.
#[derive(Debug)]
pub struct AnthropicMessages;

/// Where prompts are counted.
const COUNT: &str = "/v1/messages/count_tokens";

/// The model and whether a stream is wanted, where the path is Vertex's (official SDK `anthropic` 2.13.0, `lib/vertex`).
fn vertex(path: &str) -> Option<(&str, bool)> {
    let (_, last) = path.split_once("/publishers/anthropic/models/")?;
    let (model, method) = last.rsplit_once(':')?;
    match method {
        "rawPredict" => Some((model, false)),
        "streamRawPredict" => Some((model, true)),
        _ => None,
    }
}

/// A body as Vertex wants it, as the one that Anthropic itself would get.
fn at_vertex(mut body: Value, (model, stream): (&str, bool)) -> Result<Value, Refusal> {
    if text(&body, "anthropic_version") != "vertex-2023-10-16" {
        return Err(Refusal::rule("anthropic_version", "Field required", None));
    }
    if on(&body, "stream") != stream {
        return Err(Refusal::rule("stream", "does not fit the method", None));
    }
    if let Some(fields) = body.as_object_mut() {
        fields.remove("anthropic_version");
        if fields.insert("model".to_owned(), model.into()).is_some() {
            return Err(Refusal::rule("model", "Extra inputs are not permitted", None));
        }
    }
    Ok(body)
}

impl Wire for AnthropicMessages {
    fn id(&self) -> &'static str {
        "anthropic-messages"
    }

    fn base(&self) -> &'static str {
        "/v1"
    }

    fn takes(&self, method: &str, path: &str) -> bool {
        method == "POST" && (matches!(path, "/v1/messages" | COUNT) || vertex(path).is_some())
    }

    fn brings_key(&self, incoming: &Incoming<'_>, key: &str) -> bool {
        incoming.headers.get("x-api-key").and_then(|value| value.to_str().ok()) == Some(key)
    }

    fn read(&self, incoming: &Incoming<'_>) -> Result<Demand, Refusal> {
        let mut body = json_body(incoming)?;
        if let Some(place) = vertex(incoming.path) {
            body = at_vertex(body, place)?;
        } else if !incoming.headers.contains_key("anthropic-version") {
            return Err(Refusal::rule("", "anthropic-version: header is required", None));
        }
        if incoming.path == COUNT {
            for field in ["max_tokens", "stream", "temperature", "metadata"] {
                if body.get(field).is_some() {
                    return Err(Refusal::rule(field, "Extra inputs are not permitted", None));
                }
            }
            // All else is as in a request for an answer, which must name a limit.
            if let Some(fields) = body.as_object_mut() {
                fields.insert("max_tokens".to_owned(), 32_000.into());
            }
        }
        check(&body, &shapes::BODY, "")?;
        rules::check(&body)?;
        rules::seals(&body, |seal| takes_seal(incoming, self, seal))?;
        let ask = ask(&body);
        if incoming.path == COUNT {
            let input_tokens = prompt_tokens(&ask);
            return Ok(Demand::Ready { model: ask.model, body: json!({"input_tokens": input_tokens}), input_tokens });
        }
        Ok(Demand::Answer(Box::new(ask)))
    }

    fn events_behind_usage(&self) -> usize {
        1
    }

    fn refusal(&self, refusal: &Refusal) -> (u16, Value) {
        let words = problem_words(refusal);
        let path = if refusal.path.is_empty() { String::new() } else { format!("{}: ", refusal.path) };
        (400, error("invalid_request_error", &format!("{path}{words}")))
    }

    fn trouble(&self, _status: u16, trouble: Trouble, model: &str) -> Value {
        let (kind, words) = match trouble {
            Trouble::Invalid => ("invalid_request_error", "messages: Field required".to_owned()),
            Trouble::RateLimited => (
                "rate_limit_error",
                "This request would exceed your organization's rate limit of 50 requests per minute.".to_owned(),
            ),
            Trouble::Quota => (
                "rate_limit_error",
                "You have reached your specified API usage limits. You will regain access on 2027-01-01 at 00:00 UTC."
                    .to_owned(),
            ),
            Trouble::Server => ("api_error", "Internal server error".to_owned()),
            Trouble::Overloaded => ("overloaded_error", "Overloaded".to_owned()),
            Trouble::Unauthenticated => ("authentication_error", "invalid x-api-key".to_owned()),
            Trouble::Forbidden => ("permission_error", "Your API key does not have permission to use this.".to_owned()),
            Trouble::NotFound => ("not_found_error", format!("model: {model}")),
            Trouble::ContextLength => {
                ("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum".to_owned())
            }
            Trouble::ContentFilter => {
                ("invalid_request_error", "Output blocked by content filtering policy".to_owned())
            }
            Trouble::TooLarge => ("request_too_large", "Request exceeds the maximum size".to_owned()),
        };
        error(kind, &words)
    }

    fn unary(&self, writing: &Writing<'_>) -> Value {
        write::unary(writing)
    }

    fn stream(&self, writing: &Writing<'_>) -> Vec<Bytes> {
        write::stream(writing)
    }

    fn terminators(&self) -> usize {
        2
    }

    fn error_event(&self, trouble: Trouble, model: &str) -> Bytes {
        named_event(&self.trouble(500, trouble, model))
    }

    fn malformed_event(&self) -> Bytes {
        Bytes::from_static(b"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"del\n\n")
    }

    fn headers(&self, serial: u64) -> Vec<(&'static str, String)> {
        vec![("request-id", format!("req_{serial:024x}"))]
    }
}

fn error(kind: &str, message: &str) -> Value {
    json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_scripted"})
}

/// The request in a checked body.
fn ask(body: &Value) -> Ask {
    let mut turns = vec![];
    let system = rules::blocks(&json!({"content": body.get("system")}));
    if !system.is_empty() {
        turns.push(Turn { speaker: Speaker::System, text: system.iter().map(|block| text(block, "text")).collect() });
    }
    for message in items(body, "messages") {
        turn(message, &mut turns);
    }
    let tools = items(body, "tools").iter().filter(|tool| tool.get("input_schema").is_some());
    let choice = body.get("tool_choice").cloned().unwrap_or_default();
    let size = |key: &str| body.get(key).and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok());
    Ask {
        model: text(body, "model").to_owned(),
        stream: on(body, "stream"),
        stream_usage: true,
        turns,
        tools: tools
            .map(|tool| Offered { name: text(tool, "name").to_owned(), schema: tool["input_schema"].clone() })
            .collect(),
        choice: match text(&choice, "type") {
            "none" => Choice::None,
            "any" => Choice::Required,
            "tool" => Choice::Named(text(&choice, "name").to_owned()),
            _ => Choice::Auto,
        },
        parallel: !on(&choice, "disable_parallel_tool_use"),
        form: body.pointer("/output_config/format/schema").map_or(Form::Text, |schema| Form::Schema(schema.clone())),
        n: 1,
        logprobs: None,
        seals: true,
        max_tokens: size("max_tokens"),
        stop: items(body, "stop_sequences").iter().filter_map(Value::as_str).map(str::to_owned).collect(),
    }
}

/// A message as turns: results of tools are turns of their own.
fn turn(message: &Value, turns: &mut Vec<Turn>) {
    let speaker = match text(message, "role") {
        "assistant" => Speaker::Assistant,
        "user" => Speaker::User,
        _ => Speaker::System,
    };
    let blocks = rules::blocks(message);
    let (results, said): (Vec<&Value>, Vec<&Value>) =
        blocks.iter().partition(|block| text(block, "type") == "tool_result");
    for result in &results {
        let text = rules::blocks(result).iter().map(|block| text(block, "text").to_owned()).collect();
        turns.push(Turn { speaker: Speaker::Tool, text });
    }
    if results.is_empty() || !said.is_empty() {
        turns.push(Turn { speaker, text: said.iter().map(|block| text(block, "text")).collect() });
    }
}
