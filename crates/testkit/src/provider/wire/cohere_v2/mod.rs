//! Cohere's chat of version 2, as Cohere's server: strict in what it takes, exact in what it says. Pure. Errors are
//! `{"id", "message"}` under a status.

mod rules;
mod shapes;
mod write;

use super::{Demand, Incoming, Wire, Writing, items, json_body, named_event, on, problem_words, text};
use crate::provider::ask::{Ask, Choice, Form, Offered, Speaker, Turn};
use crate::provider::fault::Trouble;
use crate::provider::shape::{Refusal, check};
use bytes::Bytes;
use hyper::header::AUTHORIZATION;
use serde_json::{Value, json};

/// The wire.
#[derive(Debug)]
pub struct CohereV2;

impl Wire for CohereV2 {
    fn id(&self) -> &'static str {
        "cohere-v2"
    }

    fn base(&self) -> &'static str {
        "/v2"
    }

    fn takes(&self, method: &str, path: &str) -> bool {
        method == "POST" && path == "/v2/chat"
    }

    fn brings_key(&self, incoming: &Incoming<'_>, key: &str) -> bool {
        let header = incoming.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        header.and_then(|value| value.strip_prefix("Bearer ")) == Some(key)
    }

    fn read(&self, incoming: &Incoming<'_>) -> Result<Demand, Refusal> {
        let body = json_body(incoming)?;
        check(&body, &shapes::BODY, "")?;
        rules::check(&body)?;
        Ok(Demand::Answer(Box::new(ask(&body))))
    }

    fn events_behind_usage(&self) -> usize {
        1
    }

    fn refusal(&self, refusal: &Refusal) -> (u16, Value) {
        let words = problem_words(refusal);
        let path = if refusal.path.is_empty() { String::new() } else { format!("{}: ", refusal.path) };
        (400, error(&format!("{path}{words}")))
    }

    fn trouble(&self, _status: u16, trouble: Trouble, model: &str) -> Value {
        error(&match trouble {
            Trouble::Invalid => "invalid request: all elements in messages must have non-empty content.".to_owned(),
            Trouble::RateLimited => {
                "You are past the per minute request limit, please wait and try again later.".to_owned()
            }
            Trouble::Quota => "You are using a Trial key, which is limited to 1000 API calls / month.".to_owned(),
            Trouble::Server => "internal server error, this has been reported to our developers.".to_owned(),
            Trouble::Overloaded => "the service is temporarily unavailable, please try again.".to_owned(),
            Trouble::Unauthenticated => "invalid api token".to_owned(),
            Trouble::Forbidden => "you do not have permission to use this endpoint".to_owned(),
            Trouble::NotFound => format!("model '{model}' not found, make sure the correct model ID was used"),
            Trouble::ContextLength => {
                "too many tokens: total number of tokens in the prompt cannot exceed 128000 - received 130000."
                    .to_owned()
            }
            Trouble::ContentFilter => "invalid request: the prompt was blocked by the content filter.".to_owned(),
            Trouble::TooLarge => "request body too large".to_owned(),
        })
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

    /// The wire tells of an error where the answer would end.
    fn error_event(&self, trouble: Trouble, model: &str) -> Bytes {
        let words = self.trouble(500, trouble, model);
        named_event(&json!({
            "type": "message-end", "delta": {"finish_reason": "ERROR", "error": text(&words, "message")},
        }))
    }

    fn malformed_event(&self) -> Bytes {
        Bytes::from_static(b"event: content-delta\ndata: {\"type\":\"content-delta\",\"index\":0,\"del\n\n")
    }
}

fn error(message: &str) -> Value {
    json!({"id": "00000000-0000-4000-8000-000000000000", "message": message})
}

/// The request in a checked body.
fn ask(body: &Value) -> Ask {
    let size = |key: &str| body.get(key).and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok());
    let functions = items(body, "tools").iter().filter_map(|tool| tool.get("function"));
    let format = body.get("response_format").cloned().unwrap_or_default();
    let schema = format.get("json_schema").or_else(|| format.get("schema"));
    Ask {
        model: text(body, "model").to_owned(),
        stream: on(body, "stream"),
        stream_usage: true,
        turns: items(body, "messages").iter().map(turn).collect(),
        tools: functions
            .map(|tool| Offered { name: text(tool, "name").to_owned(), schema: tool["parameters"].clone() })
            .collect(),
        choice: match text(body, "tool_choice") {
            "REQUIRED" => Choice::Required,
            "NONE" => Choice::None,
            _ => Choice::Auto,
        },
        parallel: true,
        seals: false,
        form: match (schema, text(&format, "type")) {
            (Some(schema), _) => Form::Schema(schema.clone()),
            (None, "json_object") => Form::Json,
            _ => Form::Text,
        },
        n: 1,
        logprobs: None,
        max_tokens: size("max_tokens"),
        stop: items(body, "stop_sequences").iter().filter_map(Value::as_str).map(str::to_owned).collect(),
    }
}

fn turn(message: &Value) -> Turn {
    let speaker = match text(message, "role") {
        "system" => Speaker::System,
        "assistant" => Speaker::Assistant,
        "tool" => Speaker::Tool,
        _ => Speaker::User,
    };
    let text = match message.get("content") {
        Some(Value::String(words)) => words.clone(),
        _ => items(message, "content").iter().map(words).collect(),
    };
    Turn { speaker, text }
}

/// The words of a part; a document's are its data.
fn words(part: &Value) -> String {
    match part.pointer("/document/data") {
        Some(Value::String(words)) => words.clone(),
        Some(data) => data.to_string(),
        None => text(part, "text").to_owned(),
    }
}
