//! OpenAI Completions (`openai-completions`), the retired API that prompts with one text: spoken by clients only, since
//! whoever has it has a conversation's wire too. Layouts after the official SDK's types (`openai` 3.57.0 for Python,
//! `openai/types/completion_create_params.py`, `completion.py`). The prompt becomes the one turn of a conversation. What
//! a conversation cannot stand for (several prompts, tokens for text, `suffix`, `best_of`) is refused, never guessed.

mod request;
mod response;
mod stream;

use super::{Dialect, Params, Route, RouteKind, StreamEncoder, StreamTerms, WireId, openai_chat};
use crate::answer::Response;
use crate::facets::Peek;
use crate::fault::Fault;
use crate::fields::BadField;
use crate::request::Request;
use serde_json::Value;

/// The wire's name.
pub const ID: WireId = WireId::new("openai-completions");

/// OpenAI Completions.
#[derive(Debug)]
pub struct OpenAiCompletions;

const ROUTES: &[Route] = &[Route { method: "POST", path: "/v1/completions", kind: RouteKind::Generate }];

impl Dialect for OpenAiCompletions {
    fn id(&self) -> WireId {
        ID
    }

    fn routes(&self) -> &'static [Route] {
        ROUTES
    }

    fn peek(&self, _params: &Params, body: &[u8]) -> Result<Peek, BadField> {
        request::peek(body)
    }

    fn decode_request(&self, _params: &Params, body: Value) -> Result<Request, BadField> {
        request::decode(body)
    }

    fn encode_response(&self, answer: &Response, terms: &StreamTerms) -> Value {
        response::encode(answer, terms)
    }

    fn stream_encoder(&self, terms: &StreamTerms) -> Box<dyn StreamEncoder> {
        Box::new(stream::Encoder::new(terms))
    }

    fn encode_fault(&self, fault: &Fault) -> (u16, Value) {
        (fault.client_status(), openai_chat::encode_error(fault))
    }
}

/// What `request` wants to hear before the answer: its own prompt, where it said `echo`.
fn echo(terms: &StreamTerms) -> &str {
    let Some(request) = terms.request.as_deref() else { return "" };
    let wanted = request.extras.get(request::ECHO).and_then(Value::as_bool).unwrap_or(false);
    let prompt = || request.messages.first()?.parts.first()?.as_text();
    if wanted { prompt().unwrap_or_default() } else { "" }
}
