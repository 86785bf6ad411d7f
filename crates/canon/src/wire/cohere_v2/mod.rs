//! Cohere's chat, version 2 (`cohere-v2`), both roles. Layouts after the official SDK's types (`cohere` for Python
//! 7.3.1, `cohere/types` and `cohere/v2/types`). Calls, tools and pictures are those of OpenAI Chat; the plan that a
//! model makes of its calls (`tool_plan`) is thinking. Knows no provider: deviations arrive as `Quirks`.

mod citation;
mod fault;
mod part;
mod request;
mod response;
mod stream;
mod usage;

use super::{
    Dialect, Encoded, Params, Protocol, Route, RouteKind, Scan, Seen, StreamDecoder, StreamEncoder, StreamTerms,
    Target, WireId,
};
use crate::answer::Response;
use crate::facets::Peek;
use crate::fault::Fault;
use crate::fields::BadField;
use crate::request::Request;
use serde_json::Value;

pub use fault::{decode_error, encode_error};

/// The wire's name.
pub const ID: WireId = WireId::new("cohere-v2");

/// Cohere's chat.
#[derive(Debug)]
pub struct CohereV2;

const ROUTES: &[Route] = &[Route { method: "POST", path: "/v2/chat", kind: RouteKind::Generate }];

impl Dialect for CohereV2 {
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
        (fault.client_status(), encode_error(fault))
    }
}

impl Protocol for CohereV2 {
    fn id(&self) -> WireId {
        ID
    }

    fn path(&self, _target: &Target, _stream: bool) -> String {
        "/chat".to_owned()
    }

    fn encode_request(&self, request: &Request, target: &Target) -> Encoded {
        request::encode(request, target)
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
