//! Whatever error a provider shows, on whichever wire, its client hears it in its own API's shape: status, type, code and
//! the time to wait, and nothing that is not the client's to know. One request per cell of the table, to a deployment
//! and an account of its own, so that no breaker speaks for another.

use crate::stage::{ANONYMOUS, Stage};
use serde_json::{Value, json};
use std::fmt::Write as _;
use testkit::process::Answer;
use testkit::provider::{Fault, Provider, Rule, Script, Trouble, WIRES, When};

/// What a provider shows, and what becomes of it: our code, the status that the client sees.
const TABLE: &[(&str, u16, Trouble, &str, u16)] = &[
    ("invalid", 400, Trouble::Invalid, "invalid_request", 400),
    ("context", 400, Trouble::ContextLength, "context_length_exceeded", 400),
    ("filter", 400, Trouble::ContentFilter, "content_filter", 400),
    ("large", 413, Trouble::TooLarge, "request_too_large", 413),
    ("missing", 404, Trouble::NotFound, "not_found", 404),
    ("rate", 429, Trouble::RateLimited, "rate_limit_exceeded", 429),
    ("quota", 429, Trouble::Quota, "insufficient_quota", 429),
    ("server", 500, Trouble::Server, "server_error", 502),
    ("busy", 503, Trouble::Overloaded, "overloaded", 503),
    // Our own key and account are not the client's.
    ("key", 401, Trouble::Unauthenticated, "invalid_api_key", 502),
    ("rights", 403, Trouble::Forbidden, "permission_denied", 502),
];

/// Seconds that the provider asks to wait where it does; whole ones are passed on, others rounded up.
const WAIT: f64 = 7.3;

/// What clients of `dialect` send to `model`: path and body.
fn asked(dialect: &str, model: &str) -> (String, Value) {
    let messages = json!([{"role": "user", "content": "hi"}]);
    match dialect {
        "openai-chat" => ("/v1/chat/completions".to_owned(), json!({"model": model, "messages": messages})),
        "openai-responses" => ("/v1/responses".to_owned(), json!({"model": model, "input": "hi"})),
        "anthropic-messages" => {
            ("/v1/messages".to_owned(), json!({"model": model, "max_tokens": 9, "messages": messages}))
        }
        "gemini" => (
            format!("/v1beta/models/{model}:generateContent"),
            json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}),
        ),
        "bedrock-converse" => {
            (format!("/model/{model}/converse"), json!({"messages": [{"role": "user", "content": [{"text": "hi"}]}]}))
        }
        "cohere-v2" => ("/v2/chat".to_owned(), json!({"model": model, "messages": messages})),
        other => unreachable!("this test must learn the dialect `{other}`"),
    }
}

/// Type and code as `dialect` writes them, for our `code` with `status`.
fn expected(dialect: &str, code: &str, status: u16) -> (Value, Value) {
    match dialect {
        "openai-chat" | "openai-responses" => {
            let word = match (status, code) {
                (429, "insufficient_quota") => "insufficient_quota",
                (429, _) => "rate_limit_error",
                (500.., _) => "server_error",
                _ => "invalid_request_error",
            };
            (json!(word), json!(code))
        }
        "anthropic-messages" => {
            let word = match (status, code) {
                (_, "overloaded") => "overloaded_error",
                (404, _) => "not_found_error",
                (413, _) => "request_too_large",
                (429, _) => "rate_limit_error",
                (500.., _) => "api_error",
                _ => "invalid_request_error",
            };
            (json!(word), json!(code))
        }
        "gemini" => {
            let word = match status {
                404 => "NOT_FOUND",
                429 => "RESOURCE_EXHAUSTED",
                500.. => "UNAVAILABLE",
                _ => "INVALID_ARGUMENT",
            };
            (json!(word), json!(code.to_ascii_uppercase()))
        }
        "bedrock-converse" => {
            let word = match status {
                404 => "ResourceNotFoundException",
                429 => "ThrottlingException",
                503 => "ServiceUnavailableException",
                500.. => "InternalServerException",
                _ => "ValidationException",
            };
            (json!(word), json!(code))
        }
        // The status alone says what it is.
        "cohere-v2" => (Value::Null, json!(code)),
        other => unreachable!("this test must learn the dialect `{other}`"),
    }
}

/// Type, code and message in an error of `dialect`, whose shape is checked on the way.
fn heard(dialect: &str, answer: &Answer) -> (Value, Value, String) {
    let body = answer.json();
    let error = body["error"].clone();
    let message = error["message"].as_str().unwrap_or_default().to_owned();
    match dialect {
        "anthropic-messages" => {
            assert_eq!(body["type"], json!("error"), "{body}");
            (error["type"].clone(), error["code"].clone(), message)
        }
        "gemini" => {
            assert_eq!(error["code"], json!(answer.status), "{body}");
            (error["status"].clone(), error["details"][0]["reason"].clone(), message)
        }
        "bedrock-converse" | "cohere-v2" => {
            let header = answer.headers.get("x-amzn-errortype").and_then(|value| value.to_str().ok());
            // What the header names, the body names too.
            assert_eq!(header, body.get("__type").and_then(Value::as_str), "{body}");
            let message = body["message"].as_str().unwrap_or_default().to_owned();
            (header.map_or(Value::Null, Value::from), body["code"].clone(), message)
        }
        _ => {
            assert!(error.get("param").is_some(), "{body}");
            (error["type"].clone(), error["code"].clone(), message)
        }
    }
}

/// A deployment per cell, called after it, and what the provider shows to each.
fn cells(provider: &Provider) -> (String, Vec<Rule>) {
    let mut config = format!("{ANONYMOUS}last_resort = []\nretries = {{ attempts = 1 }}\n");
    let mut rules = Vec::new();
    for (name, status, trouble, ..) in TABLE {
        for wire in WIRES {
            let waits = matches!(trouble, Trouble::RateLimited | Trouble::Overloaded);
            let fault = Fault::Status { status: *status, retry_after: waits.then_some(WAIT), trouble: Some(*trouble) };
            let model = format!("{name}-{}", wire.id());
            let when = When { model: Some(model.clone()), ..When::default() };
            rules.push(Rule { when, fault: Some(fault), ..Rule::default() });
            for dialect in canon::wire::DIALECTS {
                let cell = format!("{model}-to-{}", dialect.id());
                write!(
                    config,
                    "[provider.{cell}]\nbase_url = \"http://{}{}\"\nauth = \"none\"\nwires = [\"{}\"]\n\
                     [deployment.{cell}]\nprovider = \"{cell}\"\nmodel = \"{model}\"\n",
                    provider.addr(),
                    wire.base(),
                    wire.id()
                )
                .expect("a string takes it");
            }
        }
    }
    (config, rules)
}

#[tokio::test]
async fn every_error_of_every_wire_is_told_in_every_dialect() {
    let provider = Provider::start(Script::default()).await.expect("a provider");
    let (config, rules) = cells(&provider);
    provider.script(Script { rules, ..Script::default() });
    let stage = Stage::start(&config);
    let mut client = stage.client();
    for (name, shown, trouble, code, status) in TABLE {
        for wire in WIRES {
            for dialect in canon::wire::DIALECTS.iter().map(|dialect| dialect.id().name()) {
                let cell = format!("{name}-{}-to-{dialect}", wire.id());
                let (path, body) = asked(dialect, &cell);
                let answer = client.post(&path, "", &body).await.expect("an answer");
                let (word, own, message) = heard(dialect, &answer);
                assert_eq!(
                    (answer.status, (word, own)),
                    (*status, expected(dialect, code, *status)),
                    "{cell}: {}",
                    answer.json()
                );
                let waits = matches!(trouble, Trouble::RateLimited | Trouble::Overloaded);
                let wait = answer.headers.get("retry-after").and_then(|value| value.to_str().ok());
                assert_eq!(wait, waits.then_some("8"), "{cell}");
                assert!(!message.is_empty() && answer.header("x-autarky-request-id").starts_with("req_"), "{cell}");
                if matches!(shown, 401 | 403) {
                    // What a provider says of our key may hold a piece of it.
                    assert!(
                        message.contains("gateway's own credentials") && !message.contains("sk-"),
                        "{cell}: {message}"
                    );
                }
            }
        }
    }
}
