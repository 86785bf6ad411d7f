//! Amazon Bedrock's Converse and ConverseStream (`bedrock-converse`), both roles. Layouts after the service model of
//! `bedrock-runtime` in `botocore` 1.44.8. The model stands in the path alone, streams are binary messages, and every
//! union is an object with one key. Knows no provider, but the families of models (`model`), whose own settings differ.
//! `refuses` of a quirk may name the forms `thinking.adaptive`, `thinking.enabled`, `thinking.disabled`.

mod block;
mod citation;
mod fault;
mod media;
mod model;
mod request;
mod response;
mod stream;
mod usage;

use super::{
    Dialect, Encoded, Framing, Params, Protocol, Route, RouteKind, Scan, Seen, StreamDecoder, StreamEncoder,
    StreamTerms, Target, WireId, seals,
};
use crate::answer::Response;
use crate::facets::Peek;
use crate::fault::Fault;
use crate::fields::BadField;
use crate::request::Request;
use serde_json::Value;

pub use fault::{decode_error, encode_error};

/// The wire's name.
pub const ID: WireId = WireId::new("bedrock-converse");

/// Bedrock's Converse.
#[derive(Debug)]
pub struct BedrockConverse;

/// Keys under which opaque blocks stand.
const SEALS: [&str; 2] = ["\"signature\"", "\"redactedContent\""];

const ROUTES: &[Route] = &[
    Route { method: "POST", path: "/model/{model}/converse", kind: RouteKind::Generate },
    Route { method: "POST", path: "/model/{model}/converse-stream", kind: RouteKind::GenerateStream },
];

impl Dialect for BedrockConverse {
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
        Box::new(stream::Encoder::new(terms))
    }

    fn stream_mime(&self) -> &'static str {
        Framing::AwsEventStream.mime()
    }

    fn encode_fault(&self, fault: &Fault) -> (u16, Value) {
        (fault.client_status(), encode_error(fault))
    }

    fn fault_header(&self, fault: &Fault) -> Option<(&'static str, &'static str)> {
        Some((fault::NAME, fault::exception(fault)))
    }
}

impl Protocol for BedrockConverse {
    fn id(&self) -> WireId {
        ID
    }

    fn path(&self, target: &Target, stream: bool) -> String {
        let method = if stream { "converse-stream" } else { "converse" };
        format!("/model/{}/{method}", model::in_path(&target.model))
    }

    fn encode_request(&self, request: &Request, target: &Target) -> Encoded {
        request::encode(request, target)
    }

    fn decode_response(&self, body: Value) -> Result<Response, BadField> {
        response::decode(body)
    }

    fn seals(&self, body: &[u8]) -> Vec<String> {
        let found = seals::find(body, &SEALS, |fields| {
            seals::text(fields, "signature").or_else(|| seals::text(fields, "redactedContent"))
        });
        found.into_iter().map(|data| block::cipher(data).data).collect()
    }

    fn framing(&self) -> Framing {
        Framing::AwsEventStream
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

    fn decode_fault(&self, status: u16, body: &[u8]) -> Fault {
        decode_error(status, body)
    }

    fn fault_name(&self) -> Option<&'static str> {
        Some(fault::NAME)
    }

    fn decode_named_fault(&self, status: u16, name: &str, body: &[u8]) -> Fault {
        fault::decode_named(status, name, body)
    }
}
