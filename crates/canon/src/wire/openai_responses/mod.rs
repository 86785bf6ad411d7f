//! OpenAI Responses (`openai-responses`), both roles. Layouts after the official SDK's types (`openai` 3.57 for
//! Python, `openai/types/responses`). Items of the model's own (reasoning, messages, calls) that follow each other are
//! one assistant turn of the canon. What is stored between turns is the gateway's business; how it is said is `kept`.

pub mod kept;

mod echo;
mod fault;
mod ids;
mod items;
mod logprobs;
mod output;
mod request;
mod response;
mod stream;
mod usage;

use super::{
    Dialect, Encoded, Params, Protocol, Route, RouteKind, Scan, Seen, StreamDecoder, StreamEncoder, StreamTerms,
    Target, WireId, seals,
};
use crate::answer::Response;
use crate::facets::Peek;
use crate::fault::Fault;
use crate::fields::BadField;
use crate::request::Request;
use serde_json::Value;

/// The wire's name.
pub const ID: WireId = WireId::new("openai-responses");

/// OpenAI Responses.
#[derive(Debug)]
pub struct OpenAiResponses;

/// Where opaque blocks stand; thinking without one is known to its maker by its id.
const SEALS: [&str; 2] = ["\"encrypted_content\"", "\"rs_"];

const ROUTES: &[Route] = &[
    Route { method: "POST", path: "/v1/responses", kind: RouteKind::Generate },
    Route { method: "POST", path: "/v1/responses/input_tokens", kind: RouteKind::CountTokens },
];

impl Dialect for OpenAiResponses {
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

    fn mentions_seals(&self, body: &[u8]) -> bool {
        seals::mentions(body, &SEALS)
    }

    fn shows_seals(&self, request: &Request) -> bool {
        request::asks_for_seals(request)
    }

    fn encode_response(&self, answer: &Response, terms: &StreamTerms) -> Value {
        response::encode(answer, terms)
    }

    fn stream_encoder(&self, terms: &StreamTerms) -> Box<dyn StreamEncoder> {
        Box::new(stream::Encoder::new(terms))
    }

    fn encode_count(&self, tokens: u64) -> Value {
        serde_json::json!({"object": "response.input_tokens", "input_tokens": tokens})
    }

    fn encode_fault(&self, fault: &Fault) -> (u16, Value) {
        (fault.client_status(), super::openai_chat::encode_error(fault))
    }
}

impl Protocol for OpenAiResponses {
    fn id(&self) -> WireId {
        ID
    }

    fn path(&self, _target: &Target, _stream: bool) -> String {
        "/responses".to_owned()
    }

    fn encode_request(&self, request: &Request, target: &Target) -> Encoded {
        request::encode(request, target)
    }

    fn decode_response(&self, body: Value) -> Result<Response, BadField> {
        response::decode(body)
    }

    fn seals(&self, body: &[u8]) -> Vec<String> {
        seals::find(body, &SEALS, |fields| {
            let thinking = || seals::text(fields, "type").filter(|kind| *kind == "reasoning");
            seals::text(fields, "encrypted_content").or_else(|| thinking().and_then(|_| seals::text(fields, "id")))
        })
    }

    fn seals_thinking(&self, request: &Request) -> bool {
        request::asks_for_seals(request)
    }

    fn stream_decoder(&self) -> Box<dyn StreamDecoder> {
        Box::new(stream::Decoder::default())
    }

    fn scan(&self) -> Box<dyn Scan> {
        Box::new(stream::Watch::default())
    }

    fn scan_response(&self, body: &[u8]) -> Result<Seen, Fault> {
        response::scan(body)
    }

    fn count_path(&self, _target: &Target) -> Option<String> {
        Some("/responses/input_tokens".to_owned())
    }

    fn decode_fault(&self, status: u16, body: &[u8]) -> Fault {
        super::openai_chat::decode_error(status, body)
    }
}
