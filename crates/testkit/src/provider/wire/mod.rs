//! The wires a scripted provider speaks. To add one: a folder that implements `Wire`, and a line in `WIRES`.
//! Pure: bodies in, bodies out. A wire refuses what the real API refuses and says everything in the API's own shape.

pub mod anthropic_messages;
pub mod bedrock_converse;
pub mod cohere_v2;
pub mod gemini;
pub mod openai_chat;
pub mod openai_responses;

use super::ask::Ask;
use super::fault::Trouble;
use super::reply::{Reply, split_tokens};
use super::seal::{is_own, seal};
use super::shape::{Problem, Refusal};
use bytes::Bytes;
use hyper::HeaderMap;
use hyper::header::CONTENT_TYPE;
use serde_json::Value;

/// Every wire.
pub static WIRES: &[&dyn Wire] = &[
    &openai_chat::OpenAiChat,
    &openai_responses::OpenAiResponses,
    &anthropic_messages::AnthropicMessages,
    &gemini::Gemini,
    &bedrock_converse::BedrockConverse,
    &cohere_v2::CohereV2,
];

/// The wire called `name`.
#[must_use]
pub fn wire(name: &str) -> Option<&'static dyn Wire> {
    WIRES.iter().copied().find(|wire| wire.id() == name)
}

/// One request as it came.
#[derive(Debug, Clone, Copy)]
pub struct Incoming<'a> {
    /// HTTP method.
    pub method: &'a str,
    /// Path without query, percent-encoding kept.
    pub path: &'a str,
    /// What stands behind `?`, empty when nothing.
    pub query: &'a str,
    /// Headers.
    pub headers: &'a HeaderMap,
    /// The body.
    pub body: &'a [u8],
    /// The models served; empty: every name.
    pub models: &'a [String],
    /// Whose opaque blocks are taken; `None`: anybody's, they are not looked at.
    pub sealed_by: Option<u64>,
}

/// What a request wants.
#[derive(Debug, Clone)]
pub enum Demand {
    /// An answer.
    Answer(Box<Ask>),
    /// Something that is ready at once: a list of models, a count of tokens, an embedding.
    Ready {
        /// The model asked, empty when none.
        model: String,
        /// The body.
        body: Value,
        /// The tokens of the prompt.
        input_tokens: u64,
    },
}

/// What an answer is written with.
#[derive(Debug, Clone, Copy)]
pub struct Writing<'a> {
    /// The request.
    pub ask: &'a Ask,
    /// The answer.
    pub reply: &'a Reply,
    /// Unix seconds.
    pub now: i64,
}

/// One API, as its provider's server.
pub trait Wire: Sync {
    /// Its name, e.g. `openai-chat`.
    fn id(&self) -> &'static str;
    /// The path that the provider's base URL ends with, e.g. `/v1`.
    fn base(&self) -> &'static str;
    /// Whether `method` and `path` are this wire's.
    fn takes(&self, method: &str, path: &str) -> bool;
    /// Whether the request brings `key` the way the API wants it.
    fn brings_key(&self, incoming: &Incoming<'_>, key: &str) -> bool;
    /// Checks a request as strictly as the API does.
    ///
    /// # Errors
    /// What the API refuses.
    fn read(&self, incoming: &Incoming<'_>) -> Result<Demand, Refusal>;
    /// Whether the conversation ends with the model's own turn, to be continued.
    fn is_prefill(&self, ask: &Ask) -> bool {
        ask.turns.last().is_some_and(|turn| turn.speaker == super::ask::Speaker::Assistant)
    }
    /// Whether an answer to `ask` tells its usage.
    fn tells_usage(&self, _ask: &Ask) -> bool {
        true
    }
    /// Whether an answer of this wire may leave its usage out.
    fn may_hide_usage(&self) -> bool {
        false
    }
    /// How many events of a stream come behind the one that tells its usage.
    fn events_behind_usage(&self) -> usize {
        0
    }
    /// Status and body for a refused request.
    fn refusal(&self, refusal: &Refusal) -> (u16, Value);
    /// The body of an error with `status`.
    fn trouble(&self, status: u16, trouble: Trouble, model: &str) -> Value;
    /// A header that names an error, where the wire does so outside the body.
    fn trouble_header(&self, _status: u16, _trouble: Trouble) -> Option<(&'static str, &'static str)> {
        None
    }
    /// A whole answer.
    fn unary(&self, writing: &Writing<'_>) -> Value;
    /// An answer event by event, framing included, the wire's own end last.
    fn stream(&self, writing: &Writing<'_>) -> Vec<Bytes>;
    /// How many events at the end of `stream` are the wire's own end.
    fn terminators(&self) -> usize {
        1
    }
    /// MIME type of streams.
    fn stream_mime(&self) -> &'static str {
        "text/event-stream; charset=utf-8"
    }
    /// The error event inside a stream.
    fn error_event(&self, trouble: Trouble, model: &str) -> Bytes;
    /// An event that no client can read.
    fn malformed_event(&self) -> Bytes;
    /// Headers of every answer.
    fn headers(&self, serial: u64) -> Vec<(&'static str, String)> {
        vec![("x-request-id", format!("req_{serial:032x}"))]
    }
}

/// The tokens of a prompt, as every wire of this provider counts them.
fn prompt_tokens(ask: &Ask) -> u64 {
    ask.turns.iter().map(|turn| split_tokens(&turn.text).len() as u64).sum()
}

/// The body of a request, as JSON.
fn json_body(incoming: &Incoming<'_>) -> Result<Value, Refusal> {
    let mime = incoming.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !mime.starts_with("application/json") {
        return Err(Refusal::rule("", format!("content-type: must be application/json, not '{mime}'"), None));
    }
    serde_json::from_slice(incoming.body)
        .map_err(|error| Refusal::rule("", format!("The request body is not valid JSON: {error}"), None))
}

/// A refusal in plain words, for APIs whose own words are free.
fn problem_words(refusal: &Refusal) -> String {
    match &refusal.problem {
        Problem::Unknown => "Extra inputs are not permitted".to_owned(),
        Problem::Missing => "Field required".to_owned(),
        Problem::Type { expected, got } => format!("Input should be {expected}, not {got}"),
        Problem::Word { got, known } => format!("Input '{got}' should be one of {}", known.join(", ")),
        Problem::Below { min, .. } => format!("Input should be greater than or equal to {min}"),
        Problem::Above { max, .. } => format!("Input should be less than or equal to {max}"),
        Problem::Long { max, .. } => format!("Input should have at most {max} items"),
        Problem::Short { min, .. } => format!("Input should have at least {min} items"),
        Problem::Rule { message, .. } => message.clone(),
    }
}

/// A server-sent event named by its own `type`.
fn named_event(body: &Value) -> Bytes {
    Bytes::from(format!("event: {}\ndata: {body}\n\n", text(body, "type")))
}

/// The string under `key`; empty when there is none.
fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Whether an opaque block in a request to `wire` may be taken.
fn takes_seal(incoming: &Incoming<'_>, wire: &dyn Wire, seal: &str) -> bool {
    incoming.sealed_by.is_none_or(|salt| is_own(seal, wire.id(), salt))
}

/// The list under `key`; empty when there is none.
fn items<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// Whether `key` is true.
fn on(value: &Value, key: &str) -> bool {
    value.get(key) == Some(&Value::Bool(true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grammar::{Asked, grammar};
    use crate::provider::ask::{Choice, Offered, Speaker, Turn};
    use crate::provider::reply::compose;
    use crate::provider::script::{Answer, StopKind};
    use serde_json::json;

    #[test]
    fn what_is_answered_keeps_the_wires_grammar() {
        let schema = json!({"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}});
        let turns = vec![Turn { speaker: Speaker::User, text: "hello nonce-1".to_owned() }];
        let tools = vec![Offered { name: "weather".to_owned(), schema }];
        let plain =
            Ask { model: "m".to_owned(), turns, tools, n: 1, stream: true, stream_usage: true, ..Ask::default() };
        let forced = Ask { choice: Choice::Required, ..plain.clone() };
        let cases = [
            (&plain, Answer::default()),
            (&plain, Answer { reasoning: Some("I think so.".to_owned()), ..Answer::default() }),
            (&plain, Answer { refusal: Some("I cannot do that.".to_owned()), ..Answer::default() }),
            (&plain, Answer { stop: Some(StopKind::Length), ..Answer::default() }),
            (&forced, Answer { preamble: Some("Let me see.".to_owned()), ..Answer::default() }),
        ];
        for wire in WIRES {
            let grammar = grammar(wire.id()).expect("grammar");
            for (ask, answer) in &cases {
                let reply = compose(ask, answer, 7);
                let writing = Writing { ask, reply: &reply, now: 1 };
                let stream = grammar.stream(&wire.stream(&writing).concat(), &Asked { usage: Some(true), n: Some(1) });
                let whole = grammar.unary(wire.unary(&writing).to_string().as_bytes());
                assert!(stream.is_well() && whole.is_well(), "{}: {stream:?} {whole:?}", wire.id());
                assert_eq!((&stream.choices, stream.usage), (&whole.choices, whole.usage), "{}", wire.id());
                assert_eq!(whole.choices[&0].calls.len(), usize::from(ask.choice == Choice::Required));
            }
        }
    }
}
