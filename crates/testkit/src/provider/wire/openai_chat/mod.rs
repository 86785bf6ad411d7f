//! OpenAI Chat Completions, embeddings and the list of models, as OpenAI's server: strict in what it takes, exact in what it says.
//! Pure. Errors have OpenAI's words, types and codes.

mod embeddings;
mod read;
mod rules;
mod shapes;
mod write;

pub(super) use rules::closed;

use super::{Demand, Incoming, Wire, Writing};
use crate::provider::ask::Ask;
use crate::provider::fault::Trouble;
use crate::provider::shape::{Problem, Refusal, check};
use bytes::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use serde_json::{Value, json};

/// Where vectors are made.
const EMBEDDINGS: &str = "/v1/embeddings";

/// The wire.
#[derive(Debug)]
pub struct OpenAiChat;

impl Wire for OpenAiChat {
    fn id(&self) -> &'static str {
        "openai-chat"
    }

    fn base(&self) -> &'static str {
        "/v1"
    }

    fn takes(&self, method: &str, path: &str) -> bool {
        (method == "POST" && matches!(path, "/v1/chat/completions" | EMBEDDINGS))
            || (method == "GET" && path == "/v1/models")
    }

    fn brings_key(&self, incoming: &Incoming<'_>, key: &str) -> bool {
        let header = incoming.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        header.and_then(|value| value.strip_prefix("Bearer ")).is_some_and(|brought| brought == key)
    }

    fn read(&self, incoming: &Incoming<'_>) -> Result<Demand, Refusal> {
        if incoming.method == "GET" {
            return Ok(models(incoming.models));
        }
        let mime = incoming.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !mime.starts_with("application/json") {
            let message = format!(
                "Unsupported content type: '{mime}'. This API method only accepts 'application/json' requests, but you specified the header 'Content-Type: {mime}'. Please try again with a supported content type."
            );
            return Err(Refusal::rule("", message, Some("unsupported_content_type")));
        }
        let body: Value = serde_json::from_slice(incoming.body).map_err(|_| {
            let message = "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON.)";
            Refusal::rule("", message, None)
        })?;
        if incoming.path == EMBEDDINGS {
            return embeddings::answer(&body);
        }
        check(&body, &shapes::BODY, "")?;
        rules::check(&body)?;
        Ok(Demand::Answer(Box::new(read::ask(&body))))
    }

    fn tells_usage(&self, ask: &Ask) -> bool {
        !ask.stream || ask.stream_usage
    }

    fn may_hide_usage(&self) -> bool {
        true
    }

    fn events_behind_usage(&self) -> usize {
        1
    }

    fn refusal(&self, refusal: &Refusal) -> (u16, Value) {
        let (message, code) = words(refusal);
        let param = if refusal.path.is_empty() { Value::Null } else { refusal.path.clone().into() };
        (400, error(&message, "invalid_request_error".into(), param, code.map_or(Value::Null, Value::from)))
    }

    fn trouble(&self, status: u16, trouble: Trouble, model: &str) -> Value {
        let invalid = || Value::from("invalid_request_error");
        let none = Value::Null;
        match trouble {
            Trouble::Invalid => error("The request is invalid.", invalid(), none.clone(), none),
            Trouble::RateLimited => error(
                &format!(
                    "Rate limit reached for {model} in organization org-scripted on requests per min (RPM): Limit 500, Used 500, Requested 1. Please try again in 120ms."
                ),
                "requests".into(),
                none,
                "rate_limit_exceeded".into(),
            ),
            Trouble::Quota => error(
                "You exceeded your current quota, please check your plan and billing details.",
                "insufficient_quota".into(),
                none,
                "insufficient_quota".into(),
            ),
            Trouble::Server => error(
                "The server had an error while processing your request. Sorry about that!",
                "server_error".into(),
                none.clone(),
                none,
            ),
            Trouble::Overloaded => error(
                "The engine is currently overloaded, please try again later",
                if status == 529 { "overloaded_error".into() } else { "server_error".into() },
                none.clone(),
                none,
            ),
            Trouble::Unauthenticated => error(
                "Incorrect API key provided: sk-****. You can find your API key at https://platform.openai.com/account/api-keys.",
                invalid(),
                none,
                "invalid_api_key".into(),
            ),
            Trouble::Forbidden => error("You are not allowed to sample from this model", invalid(), none.clone(), none),
            Trouble::NotFound => error(
                &format!("The model `{model}` does not exist or you do not have access to it."),
                invalid(),
                none,
                "model_not_found".into(),
            ),
            Trouble::ContextLength => error(
                "This model's maximum context length is 8192 tokens. However, your messages resulted in 9041 tokens. Please reduce the length of the messages.",
                invalid(),
                "messages".into(),
                "context_length_exceeded".into(),
            ),
            Trouble::ContentFilter => error(
                "The response was filtered due to the prompt triggering the content management policy. Please modify your prompt and retry.",
                invalid(),
                "prompt".into(),
                "content_filter".into(),
            ),
            Trouble::TooLarge => error("Request body is too large.", invalid(), none.clone(), none),
        }
    }

    fn unary(&self, writing: &Writing<'_>) -> Value {
        write::unary(writing)
    }

    fn stream(&self, writing: &Writing<'_>) -> Vec<Bytes> {
        write::stream(writing)
    }

    fn error_event(&self, trouble: Trouble, model: &str) -> Bytes {
        Bytes::from(format!("data: {}\n\n", self.trouble(500, trouble, model)))
    }

    fn malformed_event(&self) -> Bytes {
        Bytes::from_static(b"data: {\"id\":\"chatcmpl-broken\",\"choices\":[{\"index\":0,\"del\n\n")
    }

    fn headers(&self, serial: u64) -> Vec<(&'static str, String)> {
        vec![
            ("x-request-id", format!("req_{serial:032x}")),
            ("openai-version", "2020-10-01".to_owned()),
            ("openai-processing-ms", "1".to_owned()),
        ]
    }
}

fn error(message: &str, kind: Value, param: Value, code: Value) -> Value {
    json!({"error": {"message": message, "type": kind, "param": param, "code": code}})
}

fn models(names: &[String]) -> Demand {
    let row = |name: &String| json!({"id": name, "object": "model", "created": 1_735_689_600, "owned_by": "system"});
    let data: Vec<Value> = names.iter().map(row).collect();
    Demand::Ready { model: String::new(), body: json!({"object": "list", "data": data}), input_tokens: 0 }
}

/// OpenAI's words and code for a refusal.
fn words(refusal: &Refusal) -> (String, Option<&'static str>) {
    let path = if refusal.path.is_empty() { "body" } else { refusal.path.as_str() };
    match &refusal.problem {
        Problem::Unknown => (format!("Unknown parameter: '{path}'."), Some("unknown_parameter")),
        Problem::Missing => (format!("Missing required parameter: '{path}'."), Some("missing_required_parameter")),
        Problem::Type { expected, got } => {
            (format!("Invalid type for '{path}': expected {expected}, but got {got} instead."), Some("invalid_type"))
        }
        Problem::Word { got, known } => {
            let known: Vec<String> = known.iter().map(|word| format!("'{word}'")).collect();
            (format!("Invalid value: '{got}'. Supported values are: {}.", known.join(", ")), Some("invalid_value"))
        }
        Problem::Below { min, got, whole } => (
            format!(
                "Invalid '{path}': {} below minimum value. Expected a value >= {min}, but got {got} instead.",
                number(*whole)
            ),
            Some(if *whole { "integer_below_min_value" } else { "decimal_below_min_value" }),
        ),
        Problem::Above { max, got, whole } => (
            format!(
                "Invalid '{path}': {} above maximum value. Expected a value <= {max}, but got {got} instead.",
                number(*whole)
            ),
            Some(if *whole { "integer_above_max_value" } else { "decimal_above_max_value" }),
        ),
        Problem::Short { min, got: 0, of: "array" } => (
            format!(
                "Invalid '{path}': empty array. Expected an array with minimum length {min}, but got an empty array instead."
            ),
            Some("empty_array"),
        ),
        Problem::Short { min, got, of } => (
            format!("Invalid '{path}': {of} too short. Expected a length of at least {min}, but got {got} instead."),
            Some(if *of == "array" { "array_below_min_length" } else { "string_below_min_length" }),
        ),
        Problem::Long { max, got, of } => (
            format!(
                "Invalid '{path}': {of} too long. Expected {} {of} with maximum length {max}, but got {} {of} with length {got} instead.",
                article(of),
                article(of)
            ),
            Some(if *of == "array" { "array_above_max_length" } else { "string_above_max_length" }),
        ),
        Problem::Rule { message, code } => (message.clone(), *code),
    }
}

fn number(whole: bool) -> &'static str {
    if whole { "integer" } else { "decimal" }
}

fn article(of: &str) -> &'static str {
    if of == "array" { "an" } else { "a" }
}
