//! Gemini's `generateContent` and `streamGenerateContent`, as Google's server: strict in what it takes, exact in what it
//! says. Pure. Errors are `google.rpc.Status`.

mod rules;
mod shapes;
mod write;

use super::{Demand, Incoming, Wire, Writing, items, json_body, problem_words, prompt_tokens, takes_seal, text};
use crate::provider::ask::{Ask, Choice, Form, Offered, Speaker, Turn};
use crate::provider::fault::Trouble;
use crate::provider::shape::{Refusal, check};
use bytes::Bytes;
use serde_json::{Value, json};

/// The wire.
#[derive(Debug)]
pub struct Gemini;

/// The model and the method that a path names.
fn place(path: &str) -> Option<(&str, &str)> {
    let rest = path.strip_prefix("/v1beta/")?;
    let (model, method) = rest.rsplit_once(':')?;
    Some((model.strip_prefix("models/").unwrap_or(model), method))
}

impl Wire for Gemini {
    fn id(&self) -> &'static str {
        "gemini"
    }

    fn base(&self) -> &'static str {
        "/v1beta"
    }

    fn takes(&self, method: &str, path: &str) -> bool {
        method == "POST"
            && place(path)
                .is_some_and(|(_, m)| matches!(m, "generateContent" | "streamGenerateContent" | "countTokens"))
    }

    fn brings_key(&self, incoming: &Incoming<'_>, key: &str) -> bool {
        let header = incoming.headers.get("x-goog-api-key").and_then(|value| value.to_str().ok());
        header == Some(key) || incoming.query.split('&').any(|pair| pair.strip_prefix("key=") == Some(key))
    }

    fn read(&self, incoming: &Incoming<'_>) -> Result<Demand, Refusal> {
        let body = in_camel_case(json_body(incoming)?);
        let (model, method) = place(incoming.path).unwrap_or_default();
        let stream = method == "streamGenerateContent";
        if stream && !incoming.query.split('&').any(|pair| pair == "alt=sse") {
            return Err(Refusal::rule("", "This server streams with `alt=sse` only.", None));
        }
        check(&body, &shapes::BODY, "")?;
        rules::check(&body, model)?;
        rules::seals(&body, |seal| takes_seal(incoming, self, seal))?;
        let ask = ask(&body, model, stream);
        if method == "countTokens" {
            let input_tokens = prompt_tokens(&ask);
            return Ok(Demand::Ready { model: ask.model, body: json!({"totalTokens": input_tokens}), input_tokens });
        }
        Ok(Demand::Answer(Box::new(ask)))
    }

    fn may_hide_usage(&self) -> bool {
        true
    }

    fn refusal(&self, refusal: &Refusal) -> (u16, Value) {
        let words = problem_words(refusal);
        let path = if refusal.path.is_empty() { String::new() } else { format!("at '{}': ", refusal.path) };
        let details = json!([{
            "@type": "type.googleapis.com/google.rpc.BadRequest",
            "fieldViolations": [{"field": refusal.path, "description": words}],
        }]);
        (400, error(400, &format!("Invalid JSON payload received. {path}{words}"), "INVALID_ARGUMENT", &details))
    }

    fn trouble(&self, status: u16, trouble: Trouble, model: &str) -> Value {
        let (words, word, details) = match trouble {
            Trouble::Invalid => ("Request contains an invalid argument.".to_owned(), "INVALID_ARGUMENT", json!([])),
            Trouble::RateLimited => (
                "You exceeded your current quota, please check your plan and billing details.".to_owned(),
                "RESOURCE_EXHAUSTED",
                json!([
                    quota("GenerateRequestsPerMinutePerProjectPerModel"),
                    {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "2s"},
                ]),
            ),
            Trouble::Quota => (
                "You exceeded your current quota, please check your plan and billing details.".to_owned(),
                "RESOURCE_EXHAUSTED",
                json!([quota("GenerateRequestsPerDayPerProjectPerModel")]),
            ),
            Trouble::Server => ("An internal error has occurred. Please retry.".to_owned(), "INTERNAL", json!([])),
            Trouble::Overloaded => {
                ("The model is overloaded. Please try again later.".to_owned(), "UNAVAILABLE", json!([]))
            }
            Trouble::Unauthenticated => (
                "API key not valid. Please pass a valid API key.".to_owned(),
                "INVALID_ARGUMENT",
                json!([{
                    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                    "reason": "API_KEY_INVALID", "domain": "googleapis.com",
                }]),
            ),
            Trouble::Forbidden => ("The caller does not have permission".to_owned(), "PERMISSION_DENIED", json!([])),
            Trouble::NotFound => {
                (format!("models/{model} is not found for API version v1beta."), "NOT_FOUND", json!([]))
            }
            Trouble::ContextLength => (
                "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).".to_owned(),
                "INVALID_ARGUMENT",
                json!([]),
            ),
            Trouble::ContentFilter => {
                ("The prompt could not be submitted. This prompt contains sensitive words that violate Google's Responsible AI practices.".to_owned(), "INVALID_ARGUMENT", json!([]))
            }
            Trouble::TooLarge => ("Request payload size exceeds the limit.".to_owned(), "INVALID_ARGUMENT", json!([])),
        };
        error(status, &words, word, &details)
    }

    fn unary(&self, writing: &Writing<'_>) -> Value {
        write::unary(writing)
    }

    fn stream(&self, writing: &Writing<'_>) -> Vec<Bytes> {
        write::stream(writing)
    }

    fn error_event(&self, trouble: Trouble, model: &str) -> Bytes {
        let status = if trouble == Trouble::RateLimited { 429 } else { 500 };
        Bytes::from(format!("data: {}\r\n\r\n", self.trouble(status, trouble, model)))
    }

    fn malformed_event(&self) -> Bytes {
        Bytes::from_static(b"data: {\"candidates\":[{\"content\":{\"par\r\n\r\n")
    }
}

/// What is a caller's own inside a body: its keys are no fields.
const FREE: [&str; 9] = [
    "args",
    "response",
    "parameters",
    "parametersJsonSchema",
    "responseSchema",
    "responseJsonSchema",
    "labels",
    "partMetadata",
    "videoMetadata",
];

/// Field names as the tables have them: Google's server also takes a field's original name (protocol buffers' JSON
/// mapping), and its SDK sends some so.
fn in_camel_case(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(in_camel_case).collect(),
        Value::Object(fields) => {
            let named = fields.into_iter().map(|(key, value)| {
                let key = camel(&key);
                let value = if FREE.contains(&key.as_str()) { value } else { in_camel_case(value) };
                (key, value)
            });
            Value::Object(named.collect())
        }
        other => other,
    }
}

fn camel(key: &str) -> String {
    let mut up = false;
    key.chars().fold(String::with_capacity(key.len()), |mut name, c| {
        if c != '_' {
            name.extend(if up { c.to_uppercase().next() } else { Some(c) });
        }
        up = c == '_';
        name
    })
}

fn quota(id: &str) -> Value {
    json!({"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": id}]})
}

fn error(code: u16, message: &str, status: &str, details: &Value) -> Value {
    json!({"error": {"code": code, "message": message, "status": status, "details": details}})
}

/// The request in a checked body.
fn ask(body: &Value, model: &str, stream: bool) -> Ask {
    let config = body.get("generationConfig").cloned().unwrap_or_default();
    let size = |key: &str| config.get(key).and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok());
    let calling = body.pointer("/toolConfig/functionCallingConfig").cloned().unwrap_or_default();
    let mut turns = Vec::new();
    turns.extend(body.get("systemInstruction").map(|content| Turn { speaker: Speaker::System, text: words(content) }));
    turns.extend(items(body, "contents").iter().map(turn));
    let schema = config.get("responseJsonSchema").or_else(|| config.get("responseSchema"));
    Ask {
        seals: true,
        model: model.to_owned(),
        stream,
        stream_usage: true,
        turns,
        tools: items(body, "tools").iter().flat_map(|tool| items(tool, "functionDeclarations")).map(offered).collect(),
        choice: match (text(&calling, "mode"), items(&calling, "allowedFunctionNames")) {
            ("NONE", _) => Choice::None,
            ("ANY", [name]) => Choice::Named(name.as_str().unwrap_or_default().to_owned()),
            ("ANY", _) => Choice::Required,
            _ => Choice::Auto,
        },
        parallel: true,
        form: match (schema, text(&config, "responseMimeType")) {
            (Some(schema), _) => Form::Schema(schema.clone()),
            (None, "application/json") => Form::Json,
            _ => Form::Text,
        },
        n: size("candidateCount").unwrap_or(1),
        logprobs: None,
        max_tokens: size("maxOutputTokens"),
        stop: items(&config, "stopSequences").iter().filter_map(Value::as_str).map(str::to_owned).collect(),
    }
}

fn words(content: &Value) -> String {
    items(content, "parts").iter().map(|part| text(part, "text")).collect()
}

fn turn(content: &Value) -> Turn {
    let results: Vec<String> = items(content, "parts")
        .iter()
        .filter_map(|part| part.pointer("/functionResponse/response"))
        .map(|response| match response.get("output").or_else(|| response.get("error")) {
            Some(Value::String(words)) => words.clone(),
            _ => response.to_string(),
        })
        .collect();
    let speaker = match text(content, "role") {
        _ if !results.is_empty() => Speaker::Tool,
        "model" => Speaker::Assistant,
        _ => Speaker::User,
    };
    Turn { speaker, text: if results.is_empty() { words(content) } else { results.concat() } }
}

fn offered(declaration: &Value) -> Offered {
    let schema = declaration.get("parametersJsonSchema").or_else(|| declaration.get("parameters")).cloned();
    Offered { name: text(declaration, "name").to_owned(), schema: schema.unwrap_or_else(|| json!({"type": "object"})) }
}
