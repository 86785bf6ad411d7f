//! Anthropic Messages (`anthropic-messages`), both roles. Layouts after the official SDK's types (`anthropic` for
//! Python 2.13.0, `anthropic/types` and the fields of `types/beta` that agents send). Counting tokens takes the same
//! body. Knows no provider: deviations arrive as `Quirks`; beside top-level fields, `refuses` may name the forms
//! `thinking.adaptive` (older models), `thinking.enabled` and `thinking.disabled` (newer ones).

mod block;
mod citation;
mod fault;
mod request;
mod response;
mod stream;
mod usage;

use super::{
    Dialect, Encoded, Params, Protocol, Route, RouteKind, Scan, Seen, StreamDecoder, StreamEncoder, StreamTerms,
    Target, WireId, Written, seals,
};
use crate::Extras;
use crate::answer::Response;
use crate::facets::Peek;
use crate::fault::Fault;
use crate::fields::BadField;
use crate::request::Request;
use serde_json::Value;

pub use fault::{decode_error, encode_error};
pub use usage::{decode_usage, encode_usage};

/// The wire's name.
pub const ID: WireId = WireId::new("anthropic-messages");

/// The version that Vertex wants in the body (official SDK `anthropic` 2.13.0, `lib/vertex`).
const VERTEX_VERSION: &str = "vertex-2023-10-16";

/// Anthropic Messages.
#[derive(Debug)]
pub struct AnthropicMessages;

/// Where opaque blocks stand.
const SEALS: [&str; 2] = ["\"signature\"", "\"redacted_thinking\""];

const ROUTES: &[Route] = &[
    Route { method: "POST", path: "/v1/messages", kind: RouteKind::Generate },
    Route { method: "POST", path: "/v1/messages/count_tokens", kind: RouteKind::CountTokens },
];

impl Dialect for AnthropicMessages {
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

    fn shows_seals(&self, _request: &Request) -> bool {
        true
    }

    fn encode_response(&self, answer: &Response, terms: &StreamTerms) -> Value {
        response::encode(answer, terms)
    }

    fn stream_encoder(&self, terms: &StreamTerms) -> Box<dyn StreamEncoder> {
        Box::new(stream::Encoder::new(terms))
    }

    fn encode_fault(&self, fault: &Fault) -> (u16, Value) {
        (fault.client_status(), encode_error(fault, None))
    }
}

impl Protocol for AnthropicMessages {
    fn id(&self) -> WireId {
        ID
    }

    fn path(&self, target: &Target, stream: bool) -> String {
        match (target.quirks.model_in_path, stream) {
            (true, true) => format!("/{}:streamRawPredict", target.model),
            (true, false) => format!("/{}:rawPredict", target.model),
            (false, _) => "/messages".to_owned(),
        }
    }

    fn headers(&self) -> &'static [(&'static str, &'static str)] {
        &[("anthropic-version", "2023-06-01")]
    }

    fn pass_headers(&self) -> &'static [&'static str] {
        &["anthropic-beta"]
    }

    fn write_request(&self, request: &Request, target: &Target) -> Written {
        request::write(request, target)
    }

    fn encode_request(&self, request: &Request, target: &Target) -> Encoded {
        request::encode(request, target)
    }

    fn decode_response(&self, body: Value) -> Result<Response, BadField> {
        response::decode(body)
    }

    fn seals(&self, body: &[u8]) -> Vec<String> {
        seals::find(body, &SEALS, |fields| match seals::text(fields, "type") {
            Some("thinking" | "signature_delta") => seals::text(fields, "signature"),
            Some("redacted_thinking") => seals::text(fields, "data"),
            _ => None,
        })
    }

    fn seals_thinking(&self, _request: &Request) -> bool {
        true
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

    fn count_path(&self, target: &Target) -> Option<String> {
        (!target.quirks.model_in_path).then(|| "/messages/count_tokens".to_owned())
    }

    fn decode_fault(&self, status: u16, body: &[u8]) -> Fault {
        decode_error(status, body)
    }
}

/// Adds `more` to `body`; what the wire itself wrote stays.
fn add(body: &mut Extras, more: &Extras) {
    for (key, value) in more {
        if !body.contains_key(key) {
            body.insert(key.clone(), value.clone());
        }
    }
}
