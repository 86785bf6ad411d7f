//! OpenAI Embeddings (`openai-embeddings`), both roles: texts in, vectors out. Layouts after the official SDK's types
//! (`openai` 3.57.0 for Python, `openai/types/embedding_create_params.py`). There is no conversation in it, and vectors
//! of one model say nothing to those of another, so nothing is ever translated: the bytes pass, and only who speaks
//! this very wire is asked (`Facets::purpose`). Whatever needs a conversation is refused here.

use super::look::{self, Look};
use super::{
    Dialect, Encoded, FrameNote, Params, Protocol, Route, RouteKind, Scan, Seen, StreamDecoder, StreamEncoder,
    StreamTerms, Target, WireId, openai_chat,
};
use crate::answer::Response;
use crate::event::Event;
use crate::facets::{Peek, Purpose};
use crate::fault::{Fault, FaultKind};
use crate::fields::BadField;
use crate::frame::Frame;
use crate::request::Request;
use serde_json::Value;

/// The wire's name.
pub const ID: WireId = WireId::new("openai-embeddings");

/// OpenAI Embeddings.
#[derive(Debug)]
pub struct OpenAiEmbeddings;

const ROUTES: &[Route] = &[Route { method: "POST", path: "/v1/embeddings", kind: RouteKind::Generate }];

impl Dialect for OpenAiEmbeddings {
    fn id(&self) -> WireId {
        ID
    }

    fn routes(&self) -> &'static [Route] {
        ROUTES
    }

    fn peek(&self, _params: &Params, body: &[u8]) -> Result<Peek, BadField> {
        peek(body)
    }

    fn decode_request(&self, _params: &Params, _body: Value) -> Result<Request, BadField> {
        Err(BadField::new("input", "is no conversation: vectors come only from who speaks `openai-embeddings`"))
    }

    fn encode_response(&self, _answer: &Response, _terms: &StreamTerms) -> Value {
        openai_chat::encode_error(&words())
    }

    fn stream_encoder(&self, _terms: &StreamTerms) -> Box<dyn StreamEncoder> {
        Box::new(NoStream::default())
    }

    fn encode_fault(&self, fault: &Fault) -> (u16, Value) {
        (fault.client_status(), openai_chat::encode_error(fault))
    }
}

impl Protocol for OpenAiEmbeddings {
    fn id(&self) -> WireId {
        ID
    }

    fn path(&self, _target: &Target, _stream: bool) -> String {
        "/embeddings".to_owned()
    }

    fn encode_request(&self, _request: &Request, target: &Target) -> Encoded {
        let losses = vec![super::Loss::dropped("messages")];
        Encoded { body: serde_json::json!({"model": target.model, "input": []}), losses }
    }

    fn decode_response(&self, _body: Value) -> Result<Response, BadField> {
        Err(BadField::new("data", "holds vectors, no words"))
    }

    fn stream_decoder(&self) -> Box<dyn StreamDecoder> {
        Box::new(NoStream::default())
    }

    fn scan(&self) -> Box<dyn Scan> {
        Box::new(NoStream::default())
    }

    fn scan_response(&self, body: &[u8]) -> Result<Seen, Fault> {
        scan(body)
    }

    fn decode_fault(&self, status: u16, body: &[u8]) -> Fault {
        openai_chat::decode_error(status, body)
    }
}

/// Looks into a request in place.
fn peek(body: &[u8]) -> Result<Peek, BadField> {
    let mut input = None;
    let mut peek = look::request(body, Peek::default(), |key, value, _| {
        match key {
            "input" => input = Some(check_input(value)?),
            "encoding_format" => {
                let format = value.string(key)?;
                if !matches!(format.as_deref(), None | Some("float" | "base64")) {
                    return Err(BadField::new(key, "must be `float` or `base64`"));
                }
            }
            "dimensions" if value.whole(key)? == Some(0) => return Err(BadField::new(key, "must be 1 or more")),
            _ => {}
        }
        Ok(())
    })?;
    let Some(bytes) = input else {
        return Err(BadField::new("input", "is missing: send a text or a list of texts"));
    };
    peek.facets.purpose = Purpose::Embedding;
    peek.facets.max_output_tokens = Some(0);
    peek.facets.input_tokens = look::estimate_tokens(bytes);
    Ok(peek)
}

/// The bytes of an input, which is a text, a list of texts, or lists of tokens, and not empty.
fn check_input(value: &Look<'_>) -> Result<usize, BadField> {
    let raw = value.raw();
    match raw.as_bytes().first() {
        Some(b'"' | b'[') if !value.is_filled() => Err(BadField::new("input", "must not be empty")),
        Some(b'"' | b'[') => Ok(raw.len()),
        _ => Err(BadField::new("input", "must be a text, a list of texts, or a list of tokens")),
    }
}

/// Looks at an answer that passes untouched.
fn scan(body: &[u8]) -> Result<Seen, Fault> {
    let mut seen = Seen { ended: true, ..Seen::default() };
    let (mut has_data, mut is_error) = (false, false);
    look::top_level(body, |key, value| {
        match key {
            "model" => seen.model = value.string(key).unwrap_or_default(),
            "usage" => {
                if let Ok(usage) = serde_json::from_str(value.raw()) {
                    seen.usage = openai_chat::decode_usage(usage).unwrap_or_default();
                }
            }
            "data" => has_data = value.raw().starts_with('[') && value.is_filled(),
            "error" => is_error = !value.is_null(),
            _ => {}
        }
        Ok(())
    })
    .map_err(BadField::into_provider_fault)?;
    if is_error {
        return Err(openai_chat::decode_error(200, body));
    }
    if !has_data {
        return Err(Fault::provider(FaultKind::Malformed, "the provider's answer has no vectors"));
    }
    // A vector is no tokens: that is known, not unsaid.
    seen.usage.output = seen.usage.output.or(Some(0));
    Ok(seen)
}

fn words() -> Fault {
    Fault::gateway(FaultKind::Internal, "vectors were asked for and words came back")
}

/// Vectors are never streamed: whoever streams them is no embedding server.
#[derive(Debug, Default)]
struct NoStream {
    seen: Seen,
}

fn streamed() -> Fault {
    Fault::provider(FaultKind::Malformed, "the provider streams where vectors were asked for")
}

impl StreamEncoder for NoStream {
    fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        if matches!(event, Event::Finish(_)) {
            self.fault(&words(), out);
        }
    }

    fn fault(&mut self, fault: &Fault, out: &mut Vec<u8>) {
        crate::frame::write_sse(out, "", openai_chat::encode_error(fault).to_string().as_bytes());
    }
}

impl StreamDecoder for NoStream {
    fn frame(&mut self, _frame: &Frame, _out: &mut Vec<Event>) -> Result<(), Fault> {
        Err(streamed())
    }

    fn end(&mut self, _out: &mut Vec<Event>) {}
}

impl Scan for NoStream {
    fn frame(&mut self, _frame: &Frame) -> Result<FrameNote, Fault> {
        Err(streamed())
    }

    fn seen(&self) -> &Seen {
        &self.seen
    }

    fn close(&mut self) -> Option<&'static [u8]> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_input_is_looked_into() {
        for input in ["\"a text\"", "[\"one\",\"two\"]", "[1,2,3]", "[[1],[2,3]]"] {
            let body = format!("{{\"input\":{input},\"model\":\"m\",\"encoding_format\":\"base64\",\"x\":1}}");
            let peek = peek(body.as_bytes()).expect(input);
            assert_eq!(peek.model.as_deref(), Some("m"));
            assert_eq!(&body[peek.model_at.expect("a place")], "\"m\"");
            assert_eq!(peek.facets.purpose, Purpose::Embedding);
            assert!(peek.facets.input_tokens > 0);
        }
        for (body, path) in [
            ("{\"model\":\"m\"}", "input"),
            ("{\"input\":\"\",\"model\":\"m\"}", "input"),
            ("{\"input\":[],\"model\":\"m\"}", "input"),
            ("{\"input\":7,\"model\":\"m\"}", "input"),
            ("{\"input\":\"a\"}", "model"),
            ("{\"input\":\"a\",\"model\":\"m\",\"model\":\"n\"}", "model"),
            ("{\"input\":\"a\",\"model\":\"m\",\"encoding_format\":\"hex\"}", "encoding_format"),
            ("{\"input\":\"a\",\"model\":\"m\",\"dimensions\":0}", "dimensions"),
        ] {
            assert_eq!(peek(body.as_bytes()).expect_err(body).path, path);
        }
    }

    #[test]
    fn an_answer_tells_its_usage_and_an_error_is_none() {
        let body = br#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5]}],"model":"m","usage":{"prompt_tokens":3,"total_tokens":3}}"#;
        let seen = scan(body).expect("an answer");
        assert_eq!((seen.usage.input, seen.usage.output, seen.model.as_deref()), (Some(3), Some(0), Some("m")));
        for broken in ["{\"data\":[]}", "{\"error\":{\"message\":\"no\"},\"data\":[1]}", "[]", "{\"data\":\"x\"}"] {
            assert!(scan(broken.as_bytes()).is_err(), "{broken}");
        }
    }
}
