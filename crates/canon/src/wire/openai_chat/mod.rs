//! OpenAI Chat Completions (`openai-chat`), both roles. Layouts after the official SDK's types
//! (`openai` for Python, `openai/types/chat`), with the fields that compatible engines add
//! (`reasoning_content`, `top_k`, `min_p`). Knows no provider: deviations arrive as `Quirks`.

mod fault;
pub(super) mod logprobs;
mod request;
pub(super) use request::decode_stop;
pub(super) use request::parts as pieces;
mod response;
mod stream;
mod usage;

use super::{
    Dialect, Edit, Encoded, Params, Protocol, Route, RouteKind, Scan, Seen, StreamDecoder, StreamEncoder, StreamTerms,
    Target, WireId,
};
use crate::answer::Response;
use crate::facets::Peek;
use crate::fault::Fault;
use crate::fields::BadField;
use crate::request::Request;
use serde_json::Value;

pub use fault::{decode_error, encode_error};
pub use usage::{decode_usage, encode_usage};

/// The wire's name.
pub const ID: WireId = WireId::new("openai-chat");

/// OpenAI Chat Completions.
#[derive(Debug)]
pub struct OpenAiChat;

const ROUTES: &[Route] = &[Route { method: "POST", path: "/v1/chat/completions", kind: RouteKind::Generate }];

impl Dialect for OpenAiChat {
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

    fn read_request(&self, _params: &Params, body: &[u8]) -> Result<Request, BadField> {
        request::read(body)
    }

    fn encode_response(&self, answer: &Response, terms: &StreamTerms) -> Value {
        response::encode(answer, terms)
    }

    fn stream_encoder(&self, terms: &StreamTerms) -> Box<dyn StreamEncoder> {
        Box::new(stream::Encoder::new(terms))
    }

    fn encode_fault(&self, fault: &Fault) -> (u16, Value) {
        (fault.client_status(), encode_error(fault))
    }
}

impl Protocol for OpenAiChat {
    fn id(&self) -> WireId {
        ID
    }

    fn path(&self, _target: &Target, _stream: bool) -> String {
        "/chat/completions".to_owned()
    }

    fn encode_request(&self, request: &Request, target: &Target) -> Encoded {
        request::encode(request, target)
    }

    fn usage_edit(&self, body: &[u8], peek: &Peek) -> Option<Edit> {
        request::usage_edit(body, peek)
    }

    fn decode_response(&self, body: Value) -> Result<Response, BadField> {
        response::decode(body)
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

    fn decode_fault(&self, status: u16, body: &[u8]) -> Fault {
        decode_error(status, body)
    }
}
