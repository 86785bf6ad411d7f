//! The two roles of a wire, and what passes between a wire and whoever carries it.
//! Everything here is sans-I/O: stream decoders and encoders are objects, because streams have memory.

use super::{Edit, Loss, Quirks, WireId};
use crate::answer::Response;
use crate::event::Event;
use crate::facets::Peek;
use crate::fault::Fault;
use crate::fields::BadField;
use crate::frame::{EventStreamReader, Frame, SseReader};
use crate::json;
use crate::request::Request;
use crate::usage::Usage;
use bytes::Bytes;
use serde_json::Value;

/// What a route of a dialect is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RouteKind {
    /// Answer a conversation; the body says whether to stream.
    Generate,
    /// Answer a conversation as a stream; the path says so (Gemini, Converse).
    GenerateStream,
    /// Count a prompt's tokens.
    CountTokens,
}

/// One HTTP route of a dialect. `path` may hold one `{model}` placeholder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// HTTP method, e.g. `POST`.
    pub method: &'static str,
    /// Path, e.g. `/v1/chat/completions` or `/v1beta/models/{model}:generateContent`.
    pub path: &'static str,
    /// What it is for.
    pub kind: RouteKind,
}

/// What a request's path said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Params {
    /// The value of `{model}`.
    pub model: Option<String>,
    /// Whether the path demands a stream.
    pub stream: bool,
    /// What stands behind `?`; empty: nothing.
    pub query: String,
}

/// A wire that clients speak to us.
pub trait Dialect: Sync {
    /// Its name.
    fn id(&self) -> WireId;
    /// Where clients call it.
    fn routes(&self) -> &'static [Route];
    /// Looks into a body in place.
    ///
    /// # Errors
    /// When the body is not what the wire allows at its top level.
    fn peek(&self, params: &Params, body: &[u8]) -> Result<Peek, BadField>;
    /// Reads a body into the canon.
    ///
    /// # Errors
    /// When the body is not what the wire allows.
    fn decode_request(&self, params: &Params, body: Value) -> Result<Request, BadField>;
    /// [`Dialect::decode_request`] of bytes. A wire whose conversations are long reads them without a tree between.
    ///
    /// # Errors
    /// When the body is no JSON, or not what the wire allows.
    fn read_request(&self, params: &Params, body: &[u8]) -> Result<Request, BadField> {
        let body = serde_json::from_slice(body)
            .map_err(|error| BadField::new("body", format!("is not valid JSON: {error}")))?;
        self.decode_request(params, body)
    }
    /// Whether `body` holds opaque blocks that only their maker can read (see [`crate::Seal`]).
    fn mentions_seals(&self, _body: &[u8]) -> bool {
        false
    }
    /// Whether the client of `request` is shown the seals of thinking, to send them back with it.
    fn shows_seals(&self, _request: &Request) -> bool {
        false
    }
    /// Writes a whole answer.
    fn encode_response(&self, answer: &Response, terms: &StreamTerms) -> Value;
    /// Writes an answer event by event.
    fn stream_encoder(&self, terms: &StreamTerms) -> Box<dyn StreamEncoder>;
    /// MIME type of a streamed answer.
    fn stream_mime(&self) -> &'static str {
        Framing::Sse.mime()
    }
    /// Writes a count of a prompt's tokens.
    fn encode_count(&self, tokens: u64) -> Value {
        serde_json::json!({"input_tokens": tokens})
    }
    /// Writes a fault: HTTP status and body.
    fn encode_fault(&self, fault: &Fault) -> (u16, Value);
    /// The header that names a fault, where the wire does so outside the body.
    fn fault_header(&self, _fault: &Fault) -> Option<(&'static str, &'static str)> {
        None
    }
}

/// What the encoder of an answer must know of the request and of the gateway.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StreamTerms {
    /// The model's name to show to the client; empty: the one the answer brings.
    pub model: String,
    /// Whether the client wants usage in the stream.
    pub usage: bool,
    /// Whether the client wants the stream as one list.
    pub listed: bool,
    /// When the answer began, Unix seconds, for answers that do not say.
    pub created: i64,
    /// An id for answers that bring none; wires add their own prefix. One that has the wire's prefix already stands in
    /// the place of any that an answer brings.
    pub id: String,
    /// The request as read, where the wire echoes it in its answers (Responses).
    pub request: Option<std::sync::Arc<Request>>,
}

/// Writes an answer event by event.
pub trait StreamEncoder: Send {
    /// Appends what `event` is on this wire.
    fn event(&mut self, event: &Event, out: &mut Vec<u8>);
    /// Appends the wire's own error event; the stream ends after it, never with a clean end.
    fn fault(&mut self, fault: &Fault, out: &mut Vec<u8>);
}

/// How a protocol frames its streams.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Framing {
    /// Server-sent events.
    #[default]
    Sse,
    /// AWS binary event stream.
    AwsEventStream,
}

impl Framing {
    /// MIME type of streams framed so.
    #[must_use]
    pub const fn mime(self) -> &'static str {
        match self {
            Self::Sse => "text/event-stream",
            Self::AwsEventStream => "application/vnd.amazon.eventstream",
        }
    }
}

/// Who a request is written for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Target {
    /// The model in the provider's own words.
    pub model: String,
    /// Who can read opaque blocks made there (see [`crate::Seal`]).
    pub signer: String,
    /// How this provider deviates from the wire.
    pub quirks: Quirks,
}

/// A request written for a target.
#[derive(Debug, Clone, PartialEq)]
pub struct Encoded {
    /// The body.
    pub body: Value,
    /// What could not be said; empty when everything was.
    pub losses: Vec<Loss>,
}

/// [`Encoded`] as bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// The body.
    pub body: Vec<u8>,
    /// What could not be said; empty when everything was.
    pub losses: Vec<Loss>,
}

/// A request that a wire cannot say at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct EncodeError(pub String);

/// A wire that we speak to providers.
pub trait Protocol: Sync {
    /// Its name.
    fn id(&self) -> WireId;
    /// Path below the provider's base URL, e.g. `/chat/completions`.
    fn path(&self, target: &Target, stream: bool) -> String;
    /// Headers that the wire itself demands, e.g. `anthropic-version`.
    fn headers(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }
    /// Headers of a client of this very wire that belong to the request and go on with it, e.g. `anthropic-beta`.
    fn pass_headers(&self) -> &'static [&'static str] {
        &[]
    }
    /// Writes a request; what cannot be said is named, never dropped silently.
    fn encode_request(&self, request: &Request, target: &Target) -> Encoded;
    /// [`Protocol::encode_request`] as bytes. A wire that long conversations are brought to writes them without a tree
    /// between.
    fn write_request(&self, request: &Request, target: &Target) -> Written {
        let Encoded { body, losses } = self.encode_request(request, target);
        Written { body: json::text(&body), losses }
    }
    /// Whether a client's own bytes of this wire will do for `target`, as far as its model decides that.
    fn takes(&self, _body: &[u8], _target: &Target) -> bool {
        true
    }
    /// The edit that makes an untouched streaming request report its usage, where this wire must be asked for it and
    /// the client did not.
    fn usage_edit(&self, _body: &[u8], _peek: &Peek) -> Option<Edit> {
        None
    }
    /// Reads a whole answer.
    ///
    /// # Errors
    /// When the body is no answer of this wire.
    fn decode_response(&self, body: Value) -> Result<Response, BadField>;
    /// How streams are framed.
    fn framing(&self) -> Framing {
        Framing::Sse
    }
    /// Reads a stream.
    fn stream_decoder(&self) -> Box<dyn StreamDecoder>;
    /// Watches a stream whose bytes pass untouched.
    fn scan(&self) -> Box<dyn Scan>;
    /// Looks up the usage and the end of a whole answer whose bytes pass untouched.
    ///
    /// # Errors
    /// When the body is no complete answer of this wire, or is an error with a good status.
    fn scan_response(&self, body: &[u8]) -> Result<Seen, Fault>;
    /// Whether thinking in an answer to `request` comes with a seal at its end: without it, its maker does not take it
    /// back.
    fn seals_thinking(&self, _request: &Request) -> bool {
        false
    }
    /// The opaque blocks in a whole answer or in a frame's data that pass untouched, as a request would bring them.
    fn seals(&self, _body: &[u8]) -> Vec<String> {
        Vec::new()
    }
    /// Path below the provider's base URL that counts a prompt's tokens, where the wire has one.
    fn count_path(&self, _target: &Target) -> Option<String> {
        None
    }
    /// Reads such a count.
    fn decode_count(&self, body: &Value) -> Option<u64> {
        body.get("input_tokens").and_then(Value::as_u64)
    }
    /// Reads an upstream's error answer.
    fn decode_fault(&self, status: u16, body: &[u8]) -> Fault;
    /// The header that names an error, where the wire does so outside the body.
    fn fault_name(&self) -> Option<&'static str> {
        None
    }
    /// Reads an upstream's error answer whose header names it.
    fn decode_named_fault(&self, status: u16, _name: &str, body: &[u8]) -> Fault {
        self.decode_fault(status, body)
    }
}

/// Reads a stream frame by frame.
pub trait StreamDecoder: Send {
    /// Reads one frame, appending its events.
    ///
    /// # Errors
    /// When the frame is malformed or is the provider's error event.
    fn frame(&mut self, frame: &Frame, out: &mut Vec<Event>) -> Result<(), Fault>;
    /// The bytes ended; appends a held-back `Finish` where the wire has already given its own end.
    fn end(&mut self, out: &mut Vec<Event>);
    /// How many answers were asked for. A wire whose answers come one after the other is cut short where its bytes end,
    /// without its own end, before all of them came.
    fn expects(&mut self, _choices: u32) {}
}

/// Watches a stream whose bytes pass untouched: cheaper than decoding, and enough for the ledger and for faults.
pub trait Scan: Send {
    /// Looks at one frame.
    ///
    /// # Errors
    /// When the frame is malformed or is the provider's error event.
    fn frame(&mut self, frame: &Frame) -> Result<FrameNote, Fault>;
    /// What was seen so far.
    fn seen(&self) -> &Seen;
    /// The bytes ended. `Some`: the answer is complete, and these bytes (possibly none) are what the provider left
    /// out of its own end. `None`: the answer was cut short.
    fn close(&mut self) -> Option<&'static [u8]>;
    /// As [`StreamDecoder::expects`].
    fn expects(&mut self, _choices: u32) {}
}

/// What one frame was, for whoever carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FrameNote {
    /// Preamble or keep-alive: nothing the user would read.
    Quiet,
    /// A report of usage and nothing else; it is not passed on when only we asked for it.
    Report,
    /// Words, thinking or a call: the answer has begun.
    Content,
    /// The wire's own end: the answer is complete.
    End,
}

/// What was seen of an answer that passed untouched.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Seen {
    /// The provider's id of the answer.
    pub id: Option<String>,
    /// The model that answered, in the provider's words.
    pub model: Option<String>,
    /// Token counts.
    pub usage: Usage,
    /// Why the answer (choice 0) ended, in our words.
    pub stop: Option<crate::event::StopReason>,
    /// Whether the wire's own end was seen.
    pub ended: bool,
}

/// The frames in `bytes`, which hold whole ones; what is no frame is left out.
#[must_use]
pub fn frames_in(framing: Framing, bytes: Bytes) -> Vec<Frame> {
    let mut frames = Vec::new();
    match framing {
        Framing::Sse => {
            let mut reader = SseReader::default();
            // Too large a frame: what came before it stands.
            let _ = reader.push(bytes, &mut frames);
            reader.finish(&mut frames);
        }
        Framing::AwsEventStream => drop(EventStreamReader::default().push(bytes, &mut frames)),
    }
    frames
}

/// Decodes a whole recorded stream: for tests, replays and takeovers.
///
/// # Errors
/// When a frame is malformed or is the provider's error event.
pub fn decode_all(protocol: &dyn Protocol, frames: &[Frame]) -> Result<Vec<Event>, Fault> {
    let mut decoder = protocol.stream_decoder();
    let mut events = Vec::new();
    for frame in frames {
        decoder.frame(frame, &mut events)?;
    }
    decoder.end(&mut events);
    Ok(events)
}
