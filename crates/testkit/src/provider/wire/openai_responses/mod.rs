//! OpenAI Responses, as OpenAI's server: strict in what it takes, exact in what it says. Pure. Errors outside of answers
//! are those of OpenAI Chat.

mod rules;
mod shapes;
mod write;

use super::openai_chat::OpenAiChat;
use super::{Demand, Incoming, Wire, Writing, items, json_body, named_event, on, prompt_tokens, takes_seal, text};
use crate::provider::ask::{Ask, Choice, Form, Offered, Speaker, Turn};
use crate::provider::fault::Trouble;
use crate::provider::shape::{Refusal, check};
use bytes::Bytes;
use serde_json::{Value, json};

/// The wire.
#[derive(Debug)]
pub struct OpenAiResponses;

/// Where prompts are counted.
const COUNT: &str = "/v1/responses/input_tokens";

impl Wire for OpenAiResponses {
    fn id(&self) -> &'static str {
        "openai-responses"
    }

    fn base(&self) -> &'static str {
        "/v1"
    }

    fn takes(&self, method: &str, path: &str) -> bool {
        method == "POST" && matches!(path, "/v1/responses" | COUNT)
    }

    fn brings_key(&self, incoming: &Incoming<'_>, key: &str) -> bool {
        OpenAiChat.brings_key(incoming, key)
    }

    fn read(&self, incoming: &Incoming<'_>) -> Result<Demand, Refusal> {
        let body = json_body(incoming)?;
        check(&body, &shapes::BODY, "")?;
        rules::check(&body)?;
        rules::seals(&body, |seal| takes_seal(incoming, self, seal))?;
        let ask = ask(&body);
        if incoming.path == COUNT {
            let input_tokens = prompt_tokens(&ask);
            let body = json!({"object": "response.input_tokens", "input_tokens": input_tokens});
            return Ok(Demand::Ready { model: ask.model, body, input_tokens });
        }
        Ok(Demand::Answer(Box::new(ask)))
    }

    fn may_hide_usage(&self) -> bool {
        true
    }

    fn refusal(&self, refusal: &Refusal) -> (u16, Value) {
        OpenAiChat.refusal(refusal)
    }

    fn trouble(&self, status: u16, trouble: Trouble, model: &str) -> Value {
        OpenAiChat.trouble(status, trouble, model)
    }

    fn unary(&self, writing: &Writing<'_>) -> Value {
        write::unary(writing)
    }

    fn stream(&self, writing: &Writing<'_>) -> Vec<Bytes> {
        write::stream(writing)
    }

    fn error_event(&self, trouble: Trouble, _model: &str) -> Bytes {
        let (code, message) = match trouble {
            Trouble::RateLimited => ("rate_limit_exceeded", "Rate limit reached."),
            Trouble::Quota => ("insufficient_quota", "You exceeded your current quota."),
            Trouble::Overloaded => ("server_is_overloaded", "Our servers are currently overloaded."),
            Trouble::ContextLength => ("context_length_exceeded", "Your input exceeds the context window."),
            Trouble::Invalid | Trouble::ContentFilter => ("invalid_prompt", "Your request was flagged."),
            _ => ("server_error", "The server had an error while processing your request. Sorry about that!"),
        };
        named_event(&json!({"type": "error", "sequence_number": 0, "code": code, "message": message, "param": null}))
    }

    fn malformed_event(&self) -> Bytes {
        Bytes::from_static(
            b"event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"del\n\n",
        )
    }

    fn headers(&self, serial: u64) -> Vec<(&'static str, String)> {
        OpenAiChat.headers(serial)
    }
}

/// The request in a checked body.
fn ask(body: &Value) -> Ask {
    let mut turns = Vec::new();
    if let Some(words) = body.get("instructions").and_then(Value::as_str) {
        turns.push(Turn { speaker: Speaker::System, text: words.to_owned() });
    }
    if let Some(words) = body.get("input").and_then(Value::as_str) {
        turns.push(Turn { speaker: Speaker::User, text: words.to_owned() });
    }
    turns.extend(items(body, "input").iter().filter_map(turn));
    let functions = items(body, "tools").iter().filter(|tool| text(tool, "type") == "function");
    let size = |key: &str| body.get(key).and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok());
    let choice = body.get("tool_choice").cloned().unwrap_or_default();
    let includes = |word: &str| items(body, "include").iter().any(|item| item == word);
    let logprobs = includes("message.output_text.logprobs");
    Ask {
        model: text(body, "model").to_owned(),
        stream: on(body, "stream"),
        stream_usage: true,
        turns,
        tools: functions
            .map(|tool| {
                let schema = tool.get("parameters").filter(|schema| schema.is_object()).cloned();
                let schema = schema.unwrap_or_else(|| json!({"type": "object"}));
                Offered { name: text(tool, "name").to_owned(), schema }
            })
            .collect(),
        choice: match (choice.as_str(), text(&choice, "type")) {
            (Some("none"), _) => Choice::None,
            (Some("required"), _) => Choice::Required,
            (None, "function") => Choice::Named(text(&choice, "name").to_owned()),
            _ => Choice::Auto,
        },
        parallel: body.get("parallel_tool_calls") != Some(&Value::Bool(false)),
        form: match body.pointer("/text/format/type").and_then(Value::as_str) {
            Some("json_object") => Form::Json,
            Some("json_schema") => Form::Schema(body["text"]["format"]["schema"].clone()),
            _ => Form::Text,
        },
        n: 1,
        logprobs: logprobs.then(|| size("top_logprobs").unwrap_or(0)),
        seals: includes("reasoning.encrypted_content"),
        max_tokens: size("max_output_tokens"),
        stop: Vec::new(),
    }
}

fn turn(item: &Value) -> Option<Turn> {
    let words = |key: &str| match item.get(key) {
        Some(Value::String(words)) => words.clone(),
        _ => items(item, key).iter().map(|part| text(part, "text")).collect(),
    };
    Some(match (rules::kind(item), text(item, "role")) {
        ("message", "assistant") => Turn { speaker: Speaker::Assistant, text: words("content") },
        ("message", "user") => Turn { speaker: Speaker::User, text: words("content") },
        ("message", _) => Turn { speaker: Speaker::System, text: words("content") },
        ("function_call_output" | "custom_tool_call_output", _) => {
            Turn { speaker: Speaker::Tool, text: words("output") }
        }
        _ => return None,
    })
}
