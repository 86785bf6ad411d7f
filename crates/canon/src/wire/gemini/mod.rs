//! Gemini (`gemini`), both roles: `generateContent`, `streamGenerateContent`, `countTokens`. Layouts after the types
//! of Google's SDK (`google-genai` 3.6.1 for Python, `google/genai/types.py`), which the Gemini API and Vertex AI
//! share. Knows no provider, but the generations of the wire's own models (`model`), which take different words.

mod fault;
mod grounding;
mod logprobs;
mod model;
mod names;
mod part;
mod request;
mod response;
mod schema;
mod seal;
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

pub use fault::{decode_error, encode_error};

/// The wire's name.
pub const ID: WireId = WireId::new("gemini");

/// Gemini.
#[derive(Debug)]
pub struct Gemini;

/// Where opaque blocks stand; requests may spell fields either way.
const SEALS: [&str; 2] = ["\"thoughtSignature\"", "\"thought_signature\""];

const ROUTES: &[Route] = &[
    Route { method: "POST", path: "/v1beta/models/{model}:generateContent", kind: RouteKind::Generate },
    Route { method: "POST", path: "/v1beta/models/{model}:streamGenerateContent", kind: RouteKind::GenerateStream },
    Route { method: "POST", path: "/v1beta/models/{model}:countTokens", kind: RouteKind::CountTokens },
    Route { method: "POST", path: "/v1/models/{model}:generateContent", kind: RouteKind::Generate },
    Route { method: "POST", path: "/v1/models/{model}:streamGenerateContent", kind: RouteKind::GenerateStream },
    Route { method: "POST", path: "/v1/models/{model}:countTokens", kind: RouteKind::CountTokens },
];

impl Dialect for Gemini {
    fn id(&self) -> WireId {
        ID
    }

    fn routes(&self) -> &'static [Route] {
        ROUTES
    }

    fn peek(&self, params: &Params, body: &[u8]) -> Result<Peek, BadField> {
        request::peek(params, body)
    }

    fn decode_request(&self, params: &Params, body: Value) -> Result<Request, BadField> {
        request::decode(params, body)
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
        let events = Box::new(stream::Encoder::new(terms));
        if terms.listed { Box::new(stream::Listed::new(events)) } else { events }
    }

    fn encode_count(&self, tokens: u64) -> Value {
        serde_json::json!({"totalTokens": tokens})
    }

    fn encode_fault(&self, fault: &Fault) -> (u16, Value) {
        (fault.client_status(), encode_error(fault))
    }
}

/// Where a model's method lies; a name with a folder of its own keeps it.
fn place(target: &Target, method: &str) -> String {
    let folder = if target.model.contains('/') { "" } else { "models/" };
    format!("/{folder}{}:{method}", target.model)
}

impl Protocol for Gemini {
    fn id(&self) -> WireId {
        ID
    }

    /// A model with its own path (`tunedModels/x`) stands for itself.
    fn path(&self, target: &Target, stream: bool) -> String {
        place(target, if stream { "streamGenerateContent?alt=sse" } else { "generateContent" })
    }

    fn encode_request(&self, request: &Request, target: &Target) -> Encoded {
        request::encode(request, target)
    }

    /// Calls that another maker's model made bring no signature, which the third generation demands.
    fn takes(&self, body: &[u8], target: &Target) -> bool {
        !model::of(&target.model).third || request::is_signed(body)
    }

    fn decode_response(&self, body: Value) -> Result<Response, BadField> {
        response::decode(body)
    }

    fn seals(&self, body: &[u8]) -> Vec<String> {
        let found = seals::find(body, &SEALS, |fields| seals::text(fields, "thoughtSignature"));
        found.into_iter().map(|text| seal::read(text).data).collect()
    }

    fn stream_decoder(&self) -> Box<dyn StreamDecoder> {
        Box::new(stream::Decoder::default())
    }

    fn scan(&self) -> Box<dyn Scan> {
        Box::new(stream::Watch::default())
    }

    fn scan_response(&self, body: &[u8]) -> Result<Seen, Fault> {
        stream::scan(body)
    }

    fn count_path(&self, target: &Target) -> Option<String> {
        Some(place(target, "countTokens"))
    }

    fn decode_count(&self, body: &Value) -> Option<u64> {
        body.get("totalTokens").and_then(Value::as_u64)
    }

    fn decode_fault(&self, status: u16, body: &[u8]) -> Fault {
        decode_error(status, body)
    }
}
