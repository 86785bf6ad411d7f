//! A provider behind HTTP. Same wire as the client's: the bytes pass, only model name and auth change. Another wire:
//! the canon is written for it and its answer read back. Every answer is checked before it is believed.

use super::ask::Ask;
use super::auth::{Identity, Proof, Scheme};
use super::backend::{Backend, BoxFuture, CallTerms, Items, PassRequest, PassTerms, Reply, ReplyBody, Timing};
use super::frames::{FrameReader, RawStream};
use super::quota::{self, Quota};
use super::seals::SealWatch;
use super::trace::{CALL_ID, Outgoing, Trace};
use super::transport::{Body, Line, Transport};
use crate::clock;
use bytes::Bytes;
use canon::wire::{Protocol, Target, anthropic_messages, splice};
use canon::{Event, Fault, FaultKind, Loss};
use futures_util::stream;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Method, Request, Response, Uri};
use http_body_util::{BodyExt, Limited};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// Largest whole answer accepted, in bytes.
const MAX_ANSWER: usize = 64 * 1024 * 1024;
/// Largest error body read, in bytes.
const MAX_ERROR: usize = 256 * 1024;

/// What wiring knows of one deployment behind HTTP.
pub struct RemoteConfig {
    /// The wire to speak.
    pub protocol: &'static dyn Protocol,
    /// Base URL without a trailing slash.
    pub base_url: String,
    /// The model and the provider's deviations.
    pub target: Target,
    /// How the provider knows us.
    pub scheme: &'static dyn Scheme,
    /// Who we are there.
    pub identity: Identity,
    /// Headers of the row.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// A deployment behind HTTP.
pub struct Remote {
    config: RemoteConfig,
    proof: Proof,
    line: Line,
    /// Addresses for whole and streamed answers.
    whole: Uri,
    streamed: Uri,
    /// Where prompts are counted.
    count: Option<Uri>,
    /// Everything that is the same for every call.
    headers: HeaderMap,
    /// The model's name as JSON.
    model: Vec<u8>,
    /// Who can read the opaque blocks made there.
    signer: Arc<str>,
}

/// A row that no call could be made with.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The address is none.
    #[error("`{0}` is not a usable base URL: write it like `https://api.example.com/v1`")]
    Address(String),
    /// The key, a header or the server's name is none.
    #[error("{0}")]
    Header(Fault),
}

impl Remote {
    /// Prepares everything that is the same for every call.
    ///
    /// # Errors
    /// When the address or the key cannot be used.
    pub fn new(config: RemoteConfig, transport: &Transport) -> Result<Self, RemoteError> {
        let address = |path: String| {
            let text = format!("{}{path}", config.base_url.trim_end_matches('/'));
            match text.parse::<Uri>() {
                Ok(uri) if uri.host().is_some() && uri.scheme().is_some() => Ok(uri),
                _ => Err(RemoteError::Address(config.base_url.clone())),
            }
        };
        let (protocol, target) = (config.protocol, &config.target);
        let (whole, streamed) = (address(protocol.path(target, false))?, address(protocol.path(target, true))?);
        let count = protocol.count_path(target).map(address).transpose()?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in config.protocol.headers() {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        for (name, value) in &config.headers {
            headers.insert(name.clone(), value.clone());
        }
        let proof = config.scheme.proof(&config.identity, transport).map_err(RemoteError::Header)?;
        if let Proof::Headers(fixed) = &proof {
            headers.extend(fixed.clone());
        }
        let model = serde_json::Value::from(config.target.model.as_str()).to_string().into_bytes();
        let signer = Arc::from(config.target.signer.as_str());
        let line = transport.line(&whole).map_err(RemoteError::Header)?;
        Ok(Self { config, signer, proof, line, whole, streamed, count, headers, model })
    }

    fn is_same_wire(&self, ask: &Ask) -> bool {
        self.config.protocol.id() == ask.dialect.id()
    }

    /// Whether the client's own bytes will do.
    fn passes(&self, ask: &Ask) -> bool {
        self.is_same_wire(ask)
            && ask.is_as_it_came()
            && !ask.is_remade()
            && !ask.peek.accent
            && ask.sealed.fit(&self.signer)
            && !self.config.target.quirks.touch_requests()
            && self.config.protocol.takes(&ask.body, &self.config.target)
    }

    /// Whether the client may hear the provider's own bytes.
    fn answers_pass(&self, ask: &Ask) -> bool {
        self.is_same_wire(ask) && !ask.is_remade() && !ask.in_events
    }

    /// Who notes the opaque blocks of the answer.
    fn watch(&self, ask: &Ask) -> Option<SealWatch> {
        SealWatch::new(&ask.sealed, &self.signer, self.config.protocol)
    }

    /// The body to send, and what it could not say.
    fn body(&self, ask: &Ask) -> Result<(Bytes, Vec<Loss>), Fault> {
        if self.passes(ask) {
            return Ok((self.untouched(ask), Vec::new()));
        }
        let written = self.config.protocol.write_request(&*ask.told()?, &self.config.target);
        Ok((written.body.into(), written.losses))
    }

    /// The client's own bytes with our model name in them.
    fn untouched(&self, ask: &Ask) -> Bytes {
        let mut edits: Vec<_> = self.config.protocol.usage_edit(&ask.body, &ask.peek).into_iter().collect();
        if let Some(at) = &ask.peek.model_at
            && ask.peek.model.as_deref() != Some(self.config.target.model.as_str())
        {
            edits.push((at.clone(), self.model.clone()));
        }
        if edits.is_empty() { ask.body.clone() } else { splice(&ask.body, edits).into() }
    }

    async fn request(
        &self,
        ask: &Ask,
        body: Bytes,
        uri: &Uri,
        trace: Option<&Trace>,
    ) -> Result<Request<Outgoing>, Fault> {
        let outgoing = match trace {
            Some(trace) => Outgoing::traced(body.clone(), trace.clone()),
            None => Outgoing::from(body.clone()),
        };
        let mut request = Request::new(outgoing);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri.clone();
        *request.headers_mut() = self.headers.clone();
        if let Some(trace) = trace {
            request.headers_mut().insert(CALL_ID, trace.id().clone());
        }
        if self.is_same_wire(ask) {
            for name in self.config.protocol.pass_headers() {
                for value in ask.headers.get_all(*name) {
                    request.headers_mut().append(HeaderName::from_static(name), value.clone());
                }
            }
        }
        if ask.peek.stream {
            request.headers_mut().insert(ACCEPT, HeaderValue::from_static(self.config.protocol.framing().mime()));
        }
        if let Proof::Each(sign) = &self.proof {
            sign.sign(&mut request, &body).await?;
        }
        Ok(request)
    }

    /// Sends a request. A token may have been taken back before its end: where the provider does not believe it, one more
    /// is asked for and the request sent again, as OAuth clients do.
    async fn send(&self, ask: &Ask, body: Bytes, uri: &Uri, terms: &CallTerms) -> Result<Response<Body>, Fault> {
        let request = self.request(ask, body.clone(), uri, Some(&terms.trace)).await?;
        let response = self.line.send(request, terms.connect).await?;
        if response.status().as_u16() != 401 || !self.disbelieved() {
            return Ok(response);
        }
        let request = self.request(ask, body, uri, Some(&terms.trace)).await?;
        self.line.send(request, terms.connect).await
    }

    /// The provider did not believe us; whether another proof can be made.
    fn disbelieved(&self) -> bool {
        matches!(&self.proof, Proof::Each(sign) if sign.disbelieved())
    }

    /// The provider's own count, which it is asked for on the client's own wire only.
    async fn counted(&self, ask: &Ask, deadline: Instant) -> Result<Option<u64>, Fault> {
        let Some(uri) = self.count.as_ref().filter(|_| self.is_same_wire(ask) && ask.sealed.fit(&self.signer)) else {
            return Ok(None);
        };
        let answered = tokio::time::timeout_at(deadline.into(), async {
            let request = self.request(ask, self.untouched(ask), uri, None).await?;
            let left = deadline.saturating_duration_since(clock::now());
            let (head, body) = self.line.send(request, left).await?.into_parts();
            let body = Limited::new(body, MAX_ERROR).collect().await;
            let body =
                body.map_err(|error| Fault::provider(FaultKind::Cut, format!("the count broke off: {error}")))?;
            Ok((head.status, body.to_bytes()))
        });
        let late = || Fault::provider(FaultKind::Deadline, "the provider gave no count in time");
        let (status, body) = answered.await.unwrap_or_else(|_| Err(late()))?;
        if !status.is_success() {
            return Err(self.config.protocol.decode_fault(status.as_u16(), &body));
        }
        let value = serde_json::from_slice(&body).map_err(|error| malformed("", &format!("broken JSON ({error})")))?;
        Ok(self.config.protocol.decode_count(&value))
    }

    async fn exchange(&self, ask: &Ask, terms: CallTerms) -> Result<Reply, Fault> {
        let started = clock::now();
        let (body, losses) = self.body(ask)?;
        let uri = if ask.peek.stream { &self.streamed } else { &self.whole };
        let left = terms.deadline.saturating_duration_since(started);
        let (limit, late) = if terms.first_token < left {
            (terms.first_token, FaultKind::FirstTokenTimeout)
        } else {
            (left, FaultKind::Deadline)
        };
        let begun = tokio::time::timeout(limit, async {
            let response = self.send(ask, body, uri, &terms).await?;
            let (head, quota) = (clock::now() - started, quota::left(response.headers()));
            Ok((self.read(ask, response).await?, head, quota))
        });
        let (body, head, quota) = begun.await.unwrap_or_else(|_| {
            Err(Fault::provider(late, format!("the provider gave no answer within {} ms", limit.as_millis())))
        })?;
        let timing = Timing { head: Some(head), first_token: Some(clock::now() - started) };
        Ok(Reply { body, losses, timing, quota })
    }

    /// Checks an answer and brings it to its first real event.
    async fn read(&self, ask: &Ask, response: Response<Body>) -> Result<ReplyBody, Fault> {
        let (head, body) = response.into_parts();
        let protocol = self.config.protocol;
        if !head.status.is_success() {
            let status = head.status.as_u16();
            // An error without a readable body is still an error.
            let body = Limited::new(body, MAX_ERROR).collect().await.map(http_body_util::Collected::to_bytes);
            let body = body.unwrap_or_default();
            let named = protocol.fault_name().and_then(|name| head.headers.get(name)?.to_str().ok());
            let mut fault = match named {
                Some(name) => protocol.decode_named_fault(status, name, &body),
                None => protocol.decode_fault(status, &body),
            };
            // Body and headers may both say it; whoever waits the longer time has waited both.
            fault.retry_after = fault.retry_after.max(retry_after(&head.headers));
            if matches!(fault.kind, FaultKind::RateLimited | FaultKind::QuotaExhausted) {
                fault.retry_after =
                    fault.retry_after.or_else(|| quota::left(&head.headers).as_ref().and_then(Quota::wait));
            }
            ask.sealed.judge(&mut fault);
            return Err(fault);
        }
        let mime = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let is_stream = mime.starts_with(protocol.framing().mime());
        match (ask.peek.stream, is_stream) {
            (true, true) if self.answers_pass(ask) => {
                let terms = (ask.peek.facets.choices, !ask.peek.stream_usage);
                let stream = RawStream::open(body, protocol, terms, self.watch(ask)).await?;
                Ok(ReplyBody::RawStream(Box::new(stream)))
            }
            (true, true) => {
                let body = FrameReader::new(body, protocol.framing());
                let events = events(protocol, body, ask.peek.facets.choices, self.watch(ask)).await?;
                Ok(ReplyBody::Events(Box::new(events)))
            }
            (false, true) => Err(malformed(mime, "a stream where a whole answer was asked for")),
            (_, false) => self.read_whole(ask, mime, body).await,
        }
    }

    async fn read_whole(&self, ask: &Ask, mime: &str, body: Body) -> Result<ReplyBody, Fault> {
        let body = Limited::new(body, MAX_ANSWER).collect().await;
        let body =
            body.map_err(|error| Fault::provider(FaultKind::Cut, format!("the provider's answer broke: {error}")))?;
        let body = body.to_bytes();
        if !body.trim_ascii_start().starts_with(b"{") {
            return Err(malformed(mime, "no JSON object"));
        }
        if self.answers_pass(ask) && !ask.peek.stream {
            let seen = Box::new(self.config.protocol.scan_response(&body)?);
            if let Some(watch) = self.watch(ask) {
                watch.bytes(&body);
            }
            return Ok(ReplyBody::RawWhole { body, seen });
        }
        // Finds an error with a good status before the body is read as an answer.
        self.config.protocol.scan_response(&body)?;
        let value =
            serde_json::from_slice(&body).map_err(|error| malformed(mime, &format!("broken JSON ({error})")))?;
        let mut answer =
            self.config.protocol.decode_response(value).map_err(canon::fields::BadField::into_provider_fault)?;
        if let Some(watch) = self.watch(ask) {
            answer.choices.iter_mut().for_each(|choice| watch.parts(&mut choice.parts));
        }
        Ok(ReplyBody::Whole(Box::new(answer)))
    }
}

/// Headers of a client that end with us: those of its connection, its keys, and what we set ourselves.
const KEPT: [&str; 14] = [
    "host",
    "connection",
    "keep-alive",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "content-length",
    "cookie",
    "authorization",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
];

impl Remote {
    /// Passes a request on to an endpoint of the provider's own. Its base URL's own path may be said again.
    async fn passed(&self, asked: PassRequest<'_>, terms: PassTerms) -> Result<Response<Body>, Fault> {
        let base = self.config.base_url.trim_end_matches('/');
        let own = self.base_path();
        let target = asked.target.strip_prefix(own).filter(|rest| rest.starts_with('/')).unwrap_or(asked.target);
        let uri: Uri = format!("{base}{target}")
            .parse()
            .map_err(|_| Fault::client(FaultKind::Invalid, "the path holds characters that no address can carry"))?;
        let mut headers = asked.headers.clone();
        KEPT.iter().for_each(|name| drop(headers.remove(*name)));
        for (name, value) in &self.headers {
            let is_default = *name == CONTENT_TYPE
                || self.config.protocol.headers().iter().any(|(default, _)| name.as_str() == *default);
            if !(is_default && headers.contains_key(name)) {
                headers.insert(name.clone(), value.clone());
            }
        }
        if asked.body.is_empty() && !asked.headers.contains_key(CONTENT_TYPE) {
            headers.remove(CONTENT_TYPE);
        }
        headers.entry(CALL_ID).or_insert_with(|| terms.trace.id().clone());
        let mut request = Request::new(Outgoing::traced(asked.body.clone(), terms.trace.clone()));
        (*request.method_mut(), *request.uri_mut(), *request.headers_mut()) = (asked.method, uri, headers);
        let answered = tokio::time::timeout_at(terms.deadline.into(), async {
            if let Proof::Each(sign) = &self.proof {
                sign.sign(&mut request, &asked.body).await?;
            }
            self.line.send(request, terms.connect).await
        });
        let late = || Fault::provider(FaultKind::Deadline, "the provider gave no answer in time");
        let response = answered.await.unwrap_or_else(|_| Err(late()))?;
        // What is said of our own key stays here.
        let status = response.status().as_u16();
        if matches!(status, 401..=403) {
            if status == 401 {
                self.disbelieved();
            }
            let message = format!("the provider refused with status {status}");
            let mut fault = Fault::provider(Fault::kind_of_status(status), message);
            fault.status = Some(status);
            return Err(fault);
        }
        Ok(response)
    }

    /// The path of the base URL, e.g. `/v1`.
    fn base_path(&self) -> &str {
        let url = self.config.base_url.trim_end_matches('/');
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        rest.find('/').and_then(|at| rest.get(at..)).unwrap_or_default()
    }
}

impl Backend for Remote {
    fn protocol(&self) -> Option<&'static dyn Protocol> {
        Some(self.config.protocol)
    }

    fn losses(&self, ask: &Ask) -> Result<Vec<Loss>, Fault> {
        if self.passes(ask) {
            return Ok(Vec::new());
        }
        Ok(self.config.protocol.encode_request(&*ask.told()?, &self.config.target).losses)
    }

    fn call<'a>(&'a self, ask: &'a Arc<Ask>, terms: CallTerms) -> BoxFuture<'a, Result<Reply, Fault>> {
        Box::pin(self.exchange(ask, terms))
    }

    fn pass<'a>(&'a self, request: PassRequest<'a>, terms: PassTerms) -> BoxFuture<'a, Result<Response<Body>, Fault>> {
        Box::pin(self.passed(request, terms))
    }

    fn takes_prefill(&self) -> bool {
        let quirks = &self.config.target.quirks;
        (self.config.protocol.id() == anthropic_messages::ID && !quirks.no_prefill) || quirks.accepts("prefill")
    }

    fn count<'a>(&'a self, ask: &'a Arc<Ask>, deadline: Instant) -> BoxFuture<'a, Result<Option<u64>, Fault>> {
        Box::pin(self.counted(ask, deadline))
    }
}

fn malformed(mime: &str, what: &str) -> Fault {
    Fault::provider(FaultKind::Malformed, format!("the provider answered with {what} (content type `{mime}`)"))
}

/// How long a provider asks to wait: `retry-after-ms`, or `retry-after` in seconds or as a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    if let Some(millis) = text(HeaderName::from_static("retry-after-ms")).and_then(|text| text.parse::<f64>().ok()) {
        return Duration::try_from_secs_f64(millis / 1_000.0).ok();
    }
    let after = text(RETRY_AFTER)?;
    if let Ok(seconds) = after.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(after).ok()?;
    SystemTime::from(date).duration_since(SystemTime::now()).ok()
}

/// A stream of another wire as events, its first real one in hand.
async fn events(
    protocol: &'static dyn Protocol,
    body: FrameReader,
    choices: u32,
    watch: Option<SealWatch>,
) -> Result<Items, Fault> {
    let mut decoder = protocol.stream_decoder();
    decoder.expects(choices);
    let mut reader = EventReader { body, decoder, watch, finished: false };
    let mut first = Vec::new();
    while !first.iter().any(is_real) {
        if !reader.read(&mut first).await? {
            break;
        }
    }
    let rest = stream::try_unfold((reader, Vec::new().into_iter()), |(mut reader, mut held)| async move {
        loop {
            if let Some(event) = held.next() {
                return Ok(Some((event, (reader, held))));
            }
            let mut events = Vec::new();
            if !reader.read(&mut events).await? && events.is_empty() {
                return Ok(None);
            }
            held = events.into_iter();
        }
    });
    Ok(Items { first, rest: Box::pin(rest) })
}

/// Whether an event is something the user would see, or the end.
fn is_real(event: &Event) -> bool {
    !matches!(event, Event::Start(_) | Event::Usage(_) | Event::Native { .. })
}

struct EventReader {
    body: FrameReader,
    decoder: Box<dyn canon::wire::StreamDecoder>,
    watch: Option<SealWatch>,
    finished: bool,
}

impl EventReader {
    /// Reads some events; `false` at the end of a complete answer.
    async fn read(&mut self, out: &mut Vec<Event>) -> Result<bool, Fault> {
        let before = out.len();
        let more = self.frames(out).await;
        if !matches!(more, Ok(true)) {
            self.decoder.end(out);
        }
        if let (Some(watch), Some(events)) = (&self.watch, out.get_mut(before..)) {
            watch.events(events);
        }
        self.finished |= out.iter().skip(before).any(|event| matches!(event, Event::Finish(_)));
        match more {
            Ok(more) if more || self.finished => Ok(more),
            // Whatever comes behind its end does not make an answer less complete.
            Err(_) if self.finished => Ok(false),
            Ok(_) => Err(Fault::provider(FaultKind::Cut, "the provider's stream ended before the answer was complete")),
            Err(fault) => Err(fault),
        }
    }

    /// Reads the next frames; `false`: the bytes have ended.
    async fn frames(&mut self, out: &mut Vec<Event>) -> Result<bool, Fault> {
        let Some(frames) = self.body.next().await? else { return Ok(false) };
        for frame in frames {
            self.decoder.frame(frame, out)?;
        }
        Ok(true)
    }
}
