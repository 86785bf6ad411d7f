//! Bedrock's Converse and ConverseStream, as Amazon's server: strict in what it takes, exact in what it says. Pure. Errors
//! are `{"message"}` under a status, named by a header.

mod rules;
mod shapes;
mod write;

use super::{Demand, Incoming, Wire, Writing, items, json_body, problem_words, takes_seal, text};
use crate::provider::ask::{Ask, Choice, Form, Offered, Speaker, Turn};
use crate::provider::fault::Trouble;
use crate::provider::shape::{Refusal, check};
use bytes::Bytes;
use hyper::header::AUTHORIZATION;
use serde_json::{Value, json};

/// The wire.
#[derive(Debug)]
pub struct BedrockConverse;

/// A binary message called `name`.
#[must_use]
pub fn event(name: &str, payload: &Value) -> Bytes {
    write::event(name, payload)
}

/// The model, percent-encoding kept, and the method that a path names.
fn place(path: &str) -> Option<(&str, &str)> {
    let (model, method) = path.strip_prefix("/model/")?.rsplit_once('/')?;
    (!model.is_empty() && !model.contains('/')).then_some((model, method))
}

/// A piece of a path without its escapes.
fn unescaped(piece: &str) -> String {
    let mut bytes = piece.bytes();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        let escaped = (byte == b'%').then(|| Some(digit(bytes.next())? * 16 + digit(bytes.next())?)).flatten();
        out.push(escaped.and_then(|code| u8::try_from(code).ok()).unwrap_or(byte));
    }
    String::from_utf8_lossy(&out).into_owned()
}

impl Wire for BedrockConverse {
    fn id(&self) -> &'static str {
        "bedrock-converse"
    }

    fn base(&self) -> &'static str {
        ""
    }

    fn takes(&self, method: &str, path: &str) -> bool {
        method == "POST" && place(path).is_some_and(|(_, method)| matches!(method, "converse" | "converse-stream"))
    }

    fn brings_key(&self, incoming: &Incoming<'_>, key: &str) -> bool {
        let header = incoming.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        header.and_then(|value| value.strip_prefix("Bearer ")) == Some(key)
    }

    fn read(&self, incoming: &Incoming<'_>) -> Result<Demand, Refusal> {
        let body = json_body(incoming)?;
        let (model, method) = place(incoming.path).unwrap_or_default();
        let (model, stream) = (unescaped(model), method == "converse-stream");
        check(&body, &shapes::BODY, "")?;
        rules::check(&body, &model, stream)?;
        rules::seals(&body, |seal| takes_seal(incoming, self, seal))?;
        Ok(Demand::Answer(Box::new(ask(&body, model, stream))))
    }

    fn refusal(&self, refusal: &Refusal) -> (u16, Value) {
        let words = problem_words(refusal);
        let path = if refusal.path.is_empty() { String::new() } else { format!("{}: ", refusal.path) };
        (400, json!({"message": format!("{path}{words}")}))
    }

    fn trouble(&self, _status: u16, trouble: Trouble, model: &str) -> Value {
        let words = match trouble {
            Trouble::Invalid => "The model returned the following errors: messages: field required".to_owned(),
            Trouble::RateLimited => "Too many requests, please wait before trying again.".to_owned(),
            Trouble::Quota => "Too many tokens per day, please wait before trying again.".to_owned(),
            Trouble::Server => {
                "The system encountered an unexpected error during processing. Try your request again.".to_owned()
            }
            Trouble::Overloaded => "Bedrock is unable to process your request.".to_owned(),
            Trouble::Unauthenticated => "The security token included in the request is invalid.".to_owned(),
            Trouble::Forbidden => {
                format!(
                    "User: arn:aws:iam::111122223333:user/x is not authorized to perform: bedrock:InvokeModel on resource: {model}"
                )
            }
            Trouble::NotFound => format!("Could not resolve the foundation model from the model identifier: {model}"),
            Trouble::ContextLength => "Input is too long for requested model.".to_owned(),
            Trouble::ContentFilter => {
                "The model returned the following errors: Output blocked by content filtering policy".to_owned()
            }
            Trouble::TooLarge => "Request body is larger than the maximum size.".to_owned(),
        };
        json!({"message": words})
    }

    fn trouble_header(&self, status: u16, trouble: Trouble) -> Option<(&'static str, &'static str)> {
        let name = match trouble {
            Trouble::Unauthenticated => "UnrecognizedClientException",
            Trouble::Forbidden => "AccessDeniedException",
            Trouble::NotFound => "ResourceNotFoundException",
            Trouble::RateLimited | Trouble::Quota => "ThrottlingException",
            Trouble::Overloaded => "ServiceUnavailableException",
            Trouble::Server if status == 408 => "ModelTimeoutException",
            Trouble::Server if status == 424 => "ModelErrorException",
            Trouble::Server => "InternalServerException",
            _ => "ValidationException",
        };
        Some(("x-amzn-errortype", name))
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

    fn stream_mime(&self) -> &'static str {
        "application/vnd.amazon.eventstream"
    }

    fn error_event(&self, trouble: Trouble, model: &str) -> Bytes {
        let name = match trouble {
            Trouble::RateLimited | Trouble::Quota => "throttlingException",
            Trouble::Overloaded => "serviceUnavailableException",
            Trouble::Server => "internalServerException",
            _ => "validationException",
        };
        write::message("exception", name, self.trouble(500, trouble, model).to_string().as_bytes())
    }

    fn malformed_event(&self) -> Bytes {
        write::message("event", "contentBlockDelta", b"{\"contentBlockIndex\":0,\"del")
    }

    fn headers(&self, serial: u64) -> Vec<(&'static str, String)> {
        vec![("x-amzn-requestid", format!("{:08x}-0000-4000-8000-{:012x}", serial >> 48, serial & ((1 << 48) - 1)))]
    }
}

/// The request in a checked body.
fn ask(body: &Value, model: String, stream: bool) -> Ask {
    let mut turns = Vec::new();
    if !items(body, "system").is_empty() {
        turns.push(Turn { speaker: Speaker::System, text: items(body, "system").iter().map(words).collect() });
    }
    items(body, "messages").iter().for_each(|message| turn(message, &mut turns));
    let config = body.get("toolConfig").cloned().unwrap_or_default();
    let specs = items(&config, "tools").iter().filter_map(|tool| tool.get("toolSpec"));
    let inference = body.get("inferenceConfig").cloned().unwrap_or_default();
    let choice = config.get("toolChoice").cloned().unwrap_or_default();
    let schema = body.pointer("/outputConfig/textFormat/structure/jsonSchema/schema").and_then(Value::as_str);
    let most = inference.get("maxTokens").and_then(Value::as_u64);
    Ask {
        model,
        stream,
        stream_usage: true,
        turns,
        tools: specs
            .map(|spec| Offered { name: text(spec, "name").to_owned(), schema: spec["inputSchema"]["json"].clone() })
            .collect(),
        choice: match (choice.get("any"), choice.get("tool")) {
            (Some(_), _) => Choice::Required,
            (_, Some(tool)) => Choice::Named(text(tool, "name").to_owned()),
            _ => Choice::Auto,
        },
        parallel: true,
        seals: true,
        form: schema.and_then(|schema| serde_json::from_str(schema).ok()).map_or(Form::Text, Form::Schema),
        n: 1,
        logprobs: None,
        max_tokens: most.and_then(|most| usize::try_from(most).ok()),
        stop: items(&inference, "stopSequences").iter().filter_map(Value::as_str).map(str::to_owned).collect(),
    }
}

/// The words of a block.
fn words(block: &Value) -> String {
    let cited =
        block.get("citationsContent").map(|cited| items(cited, "content").iter().map(words).collect::<String>());
    match (cited, block.get("json")) {
        (Some(words), _) => words,
        (None, Some(value)) => value.to_string(),
        (None, None) => text(block, "text").to_owned(),
    }
}

/// A message as turns: results of tools are turns of their own.
fn turn(message: &Value, turns: &mut Vec<Turn>) {
    let speaker = match text(message, "role") {
        "assistant" => Speaker::Assistant,
        "user" => Speaker::User,
        _ => Speaker::System,
    };
    let (results, said): (Vec<&Value>, Vec<&Value>) =
        // A mark says nothing.
        items(message, "content")
            .iter()
            .filter(|block| block.get("cachePoint").is_none())
            .partition(|block| block.get("toolResult").is_some());
    for result in results.iter().filter_map(|block| block.get("toolResult")) {
        turns.push(Turn { speaker: Speaker::Tool, text: items(result, "content").iter().map(words).collect() });
    }
    if results.is_empty() || !said.is_empty() {
        turns.push(Turn { speaker, text: said.into_iter().map(words).collect() });
    }
}
