//! The way of one request through the provider: read, check, ask the script, answer or go wrong, log.

use super::ask::{Ask, Speaker};
use super::body::{Body, Exchange, micros};
use super::fault::{Fault, Spoiled, Step, Trouble, paced, steps};
use super::log::{Arrival, Log, Outcome};
use super::reply::{Counts, compose, hex};
use super::script::{Facts, Last, Orders, Raw, Running};
use super::shape::Refusal;
use super::socket::Tap;
use super::wire::{Demand, Incoming, WIRES, Wire, Writing};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming as RequestBody;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Request, Response};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::future::pending;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Largest request body read, bytes.
const MAX_BODY: usize = 64 * 1024 * 1024;

/// The connection ends without an answer.
#[derive(Debug)]
pub(super) struct Gone;

impl std::fmt::Display for Gone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("no answer, as the script says")
    }
}

impl std::error::Error for Gone {}

/// What all connections share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) began: Instant,
    pub(super) log: Arc<Log>,
    pub(super) keep_bodies: bool,
    /// Makes ids of different providers differ.
    pub(super) salt: u64,
    pub(super) open: Arc<AtomicU64>,
    pub(super) outage: tokio::sync::watch::Sender<Option<Instant>>,
    running: Mutex<(Arc<Running>, Instant)>,
}

impl Shared {
    pub(super) fn new(log: Log, keep_bodies: bool, salt: u64, running: Running) -> Self {
        let now = Instant::now();
        Self {
            began: now,
            log: Arc::new(log),
            keep_bodies,
            salt,
            open: Arc::default(),
            outage: tokio::sync::watch::Sender::new(None),
            running: Mutex::new((Arc::new(running), now)),
        }
    }

    /// The script in force, and since when.
    pub(super) fn running(&self) -> (Arc<Running>, Instant) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts another script in force.
    pub(super) fn run(&self, running: Running) {
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = (Arc::new(running), Instant::now());
    }
}

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) number: u64,
    pub(super) tap: Arc<Tap>,
    pub(super) served: AtomicU64,
}

/// Answers one request, or fails it.
pub(super) async fn answer(
    shared: Arc<Shared>,
    connection: Arc<Connection>,
    request: Request<RequestBody>,
) -> Result<Response<Body>, Gone> {
    let (parts, body) = request.into_parts();
    if parts.uri.path().starts_with("/__") {
        let bytes = body.collect().await.map_err(|_| Gone)?.to_bytes();
        return Ok(super::control::answer(&shared, &parts, &bytes));
    }
    let at_us = micros(shared.began);
    let body = http_body_util::Limited::new(body, MAX_BODY).collect().await.map(|body| body.to_bytes());
    let (running, since) = shared.running();
    let unread = body.is_err();
    let body = body.unwrap_or_default();
    let judged = judge(&parts, &body, (&running, shared.salt), since);
    let mut arrival = arrival(&shared, &connection, &parts, &body, &judged);
    arrival.at_us = at_us;
    if unread {
        "body not read to its end".clone_into(&mut arrival.verdict);
    }
    let seq = shared.log.arrive(arrival);
    shared.open.fetch_add(1, Ordering::AcqRel);
    let served = connection.served.fetch_add(1, Ordering::AcqRel) + 1;
    let exchange = Exchange {
        seq,
        log: Arc::clone(&shared.log),
        began: shared.began,
        tap: Arc::clone(&connection.tap),
        closes: running.script.requests_per_connection.is_some_and(|most| served >= most),
        status: None,
        usage: None,
        tells_at: u64::MAX,
        outcome: Outcome::Open,
        events: 0,
        bytes: 0,
        open: Arc::clone(&shared.open),
    };
    if unread {
        return Err(Gone);
    }
    reply(exchange, judged, shared.salt ^ seq).await
}

/// What a request is, and what is to become of it.
struct Judged {
    wire: Option<&'static dyn Wire>,
    model: String,
    stream: bool,
    kind: Judgement,
    orders: Orders,
}

enum Judgement {
    /// No wire has this path.
    NoRoute,
    /// The key is missing or wrong.
    NoKey,
    /// No such model.
    NoModel,
    Refused(Refusal),
    Answer(Box<Ask>),
    Ready(Value, u64),
}

impl Judgement {
    fn verdict(&self) -> String {
        match self {
            Self::NoRoute => "no such route".to_owned(),
            Self::NoKey => "no key, or a wrong one".to_owned(),
            Self::NoModel => "no such model".to_owned(),
            Self::Refused(refusal) => format!("{}: {:?}", refusal.path, refusal.problem),
            Self::Answer(_) | Self::Ready(..) => "ok".to_owned(),
        }
    }
}

fn judge(parts: &Parts, body: &[u8], (running, salt): (&Running, u64), since: Instant) -> Judged {
    let script = &running.script;
    let (method, path) = (parts.method.as_str(), parts.uri.path());
    let query = parts.uri.query().unwrap_or_default();
    let incoming =
        Incoming { method, path, query, headers: &parts.headers, body, models: &script.models, sealed_by: Some(salt) };
    let Some(wire) = WIRES.iter().copied().find(|wire| wire.takes(method, path)) else {
        let (model, orders) = (String::new(), Orders::default());
        return Judged { wire: None, model, stream: false, kind: Judgement::NoRoute, orders };
    };
    let known = |model: &str| model.is_empty() || script.models.is_empty() || script.models.iter().any(|m| m == model);
    let (model, stream, last, kind) = match wire.read(&incoming) {
        _ if script.key.as_ref().is_some_and(|key| !wire.brings_key(&incoming, key)) => {
            (String::new(), false, None, Judgement::NoKey)
        }
        Err(refusal) => (String::new(), false, None, Judgement::Refused(refusal)),
        Ok(Demand::Ready { model, .. }) if !known(&model) => (model, false, None, Judgement::NoModel),
        Ok(Demand::Ready { model, body, input_tokens }) => (model, false, None, Judgement::Ready(body, input_tokens)),
        Ok(Demand::Answer(ask)) => {
            let (model, stream, last) = (ask.model.clone(), ask.stream, last(&ask));
            let refused = script.refuse_prefill && wire.is_prefill(&ask);
            let kind = match ask {
                _ if !known(&model) => Judgement::NoModel,
                _ if refused => Judgement::Refused(Refusal::rule(
                    "messages",
                    "This model does not support assistant message prefill. The conversation must end with a user message.",
                    None,
                )),
                ask => Judgement::Answer(ask),
            };
            (model, stream, last, kind)
        }
    };
    let at_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
    let orders = running.orders(&Facts { wire: wire.id(), model: &model, stream, last, at_ms });
    Judged { wire: Some(wire), model, stream, kind, orders }
}

fn last(ask: &Ask) -> Option<Last> {
    match ask.turns.last()?.speaker {
        Speaker::User => Some(Last::User),
        Speaker::Assistant => Some(Last::Assistant),
        Speaker::Tool => Some(Last::Tool),
        Speaker::System => None,
    }
}

fn arrival(shared: &Shared, connection: &Connection, parts: &Parts, body: &[u8], judged: &Judged) -> Arrival {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Arrival {
        at_us: 0,
        unix_ms: u64::try_from(unix.as_millis()).unwrap_or(u64::MAX),
        conn: connection.number,
        method: parts.method.to_string(),
        path: parts.uri.path_and_query().map_or_else(String::new, ToString::to_string),
        headers: headers(&parts.headers),
        wire: judged.wire.map(|wire| wire.id().to_owned()),
        model: Some(judged.model.clone()).filter(|model| !model.is_empty()),
        stream: judged.stream,
        body_bytes: body.len(),
        body: shared.keep_bodies.then(|| String::from_utf8_lossy(body).into_owned()),
        verdict: judged.kind.verdict(),
        fault: judged.orders.fault.as_ref().map(Fault::name),
    }
}

/// Headers as the log keeps them: no key in it.
fn headers(headers: &HeaderMap) -> BTreeMap<String, String> {
    let secret = ["authorization", "x-api-key", "api-key", "x-goog-api-key", "x-amz-security-token"];
    let shown = |name: &str, value: &HeaderValue| {
        if secret.contains(&name) {
            format!("sha256:{}", hex(&Sha256::digest(value.as_bytes()), 6))
        } else {
            String::from_utf8_lossy(value.as_bytes()).into_owned()
        }
    };
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), shown(name.as_str(), value))).collect()
}

async fn reply(mut exchange: Exchange, judged: Judged, serial: u64) -> Result<Response<Body>, Gone> {
    let Some(wire) = judged.wire else {
        let body = serde_json::json!({"error": {"message": "Invalid URL", "type": "invalid_request_error", "param": null, "code": null}});
        return Ok(whole(exchange, 404, "application/json", &body.to_string()));
    };
    match &judged.orders.fault {
        Some(Fault::Reset) => {
            exchange.tap.reset();
            exchange.outcome = Outcome::Cut;
            return Err(Gone);
        }
        Some(Fault::Close) => {
            exchange.outcome = Outcome::Cut;
            return Err(Gone);
        }
        Some(Fault::Silent) => {
            // The exchange lives here until the client leaves and hyper drops this future.
            pending::<()>().await;
        }
        Some(Fault::Status { status, retry_after, trouble }) => {
            let trouble = trouble.unwrap_or(Trouble::of(*status));
            let mut response = troubled(exchange, wire, (*status, trouble), &judged.model);
            dress(&mut response, wire, serial, &judged.orders);
            if let Some(seconds) = retry_after
                && let Ok(value) = HeaderValue::from_str(&seconds.to_string())
            {
                response.headers_mut().insert(RETRY_AFTER, value);
            }
            return Ok(response);
        }
        _ => {}
    }
    let mut response = match &judged.kind {
        Judgement::NoRoute | Judgement::NoKey => {
            troubled(exchange, wire, (401, Trouble::Unauthenticated), &judged.model)
        }
        Judgement::NoModel => troubled(exchange, wire, (404, Trouble::NotFound), &judged.model),
        Judgement::Refused(refusal) => {
            let (status, body) = wire.refusal(refusal);
            let mut response = whole(exchange, status, "application/json", &body.to_string());
            name_trouble(&mut response, wire, status, Trouble::Invalid);
            response
        }
        Judgement::Ready(body, input) => {
            exchange.usage = Some(Counts { input: *input, ..Counts::default() });
            let events = vec![Bytes::from(body.to_string())];
            send(exchange, wire, &judged, events, "application/json").await
        }
        Judgement::Answer(ask) => said(exchange, wire, &judged, ask, serial).await,
    };
    dress(&mut response, wire, serial, &judged.orders);
    Ok(response)
}

/// An error of the wire's own.
fn troubled(exchange: Exchange, wire: &dyn Wire, (status, trouble): (u16, Trouble), model: &str) -> Response<Body> {
    let body = wire.trouble(status, trouble, model).to_string();
    let mut response = whole(exchange, status, "application/json", &body);
    name_trouble(&mut response, wire, status, trouble);
    response
}

fn name_trouble(response: &mut Response<Body>, wire: &dyn Wire, status: u16, trouble: Trouble) {
    if let Some((name, value)) = wire.trouble_header(status, trouble) {
        set(response.headers_mut(), hyper::header::HeaderName::from_static(name), value);
    }
}

async fn said(
    mut exchange: Exchange,
    wire: &'static dyn Wire,
    judged: &Judged,
    ask: &Ask,
    serial: u64,
) -> Response<Body> {
    let mime = if ask.stream { wire.stream_mime() } else { "application/json" };
    if let Some(raw) = &judged.orders.answer.raw {
        return raw_answer(exchange, wire, judged, raw, mime).await;
    }
    let reply = compose(ask, &judged.orders.answer, serial);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let writing = Writing { ask, reply: &reply, now: i64::try_from(now).unwrap_or(i64::MAX) };
    let reports = reply.reports_usage || !wire.may_hide_usage();
    exchange.usage = Some(reply.usage).filter(|_| reports && wire.tells_usage(ask));
    let events = if ask.stream { wire.stream(&writing) } else { vec![Bytes::from(wire.unary(&writing).to_string())] };
    send(exchange, wire, judged, events, mime).await
}

async fn raw_answer(
    exchange: Exchange,
    wire: &'static dyn Wire,
    judged: &Judged,
    raw: &Raw,
    mime: &str,
) -> Response<Body> {
    let events = match &raw.body {
        Some(body) => vec![Bytes::from(body.clone())],
        None => raw.events.iter().cloned().map(Bytes::from).collect(),
    };
    let mime = raw.content_type.as_deref().unwrap_or(mime).to_owned();
    let mut response = send(exchange, wire, judged, events, &mime).await;
    if let Ok(status) = hyper::StatusCode::from_u16(raw.status) {
        *response.status_mut() = status;
    }
    response
}

/// Sends `events`, spoiled by the fault ordered.
async fn send(
    mut exchange: Exchange,
    wire: &'static dyn Wire,
    judged: &Judged,
    mut events: Vec<Bytes>,
    mime: &str,
) -> Response<Body> {
    let fault = judged.orders.fault.as_ref();
    let pace = judged.orders.pace;
    let mut first = Duration::from_millis(pace.first_ms);
    match fault {
        Some(Fault::Html) => {
            let page =
                "<!DOCTYPE html><html><head><title>Service</title></head><body><h1>Bad gateway</h1></body></html>\n";
            return whole(exchange, 200, "text/html; charset=utf-8", page);
        }
        Some(Fault::Empty) => return whole(exchange, 200, mime, ""),
        Some(Fault::SlowFirst { ms, headers }) => {
            first = Duration::from_millis(*ms);
            if *headers {
                tokio::time::sleep(std::mem::take(&mut first)).await;
            }
        }
        Some(Fault::ErrorEvent { trouble, .. }) if !judged.stream => {
            let body = wire.trouble(500, *trouble, &judged.model).to_string();
            return whole(exchange, 200, "application/json", &body);
        }
        _ => {}
    }
    if !judged.stream && !first.is_zero() {
        tokio::time::sleep(std::mem::take(&mut first)).await;
    }
    let mime = match fault {
        Some(Fault::WrongType { content_type }) => content_type,
        _ => mime,
    };
    let total: usize = events.iter().map(Bytes::len).sum();
    let error = match fault {
        Some(Fault::ErrorEvent { trouble, .. }) => wire.error_event(*trouble, &judged.model),
        _ => Bytes::new(),
    };
    let mut spoiled = Spoiled { malformed: wire.malformed_event(), error, terminators: wire.terminators() };
    if !judged.stream && fault.is_some() {
        events = halves(events);
        spoiled.malformed = Bytes::from_static(b"}]\"{");
        spoiled.terminators = 1;
    }
    let behind = if judged.stream { wire.events_behind_usage() } else { 0 };
    let (told, last) = (events.len().saturating_sub(behind) as u64, events.len().saturating_sub(1));
    exchange.tells_at = match fault {
        Some(Fault::Malformed { after }) if (*after).min(last) as u64 >= told => told,
        Some(Fault::Malformed { .. }) => told + 1,
        Some(Fault::ErrorEvent { after, .. }) if ((*after).min(last) as u64) < told => u64::MAX,
        _ => told,
    };
    let steps = paced(steps(events, fault, &spoiled), first, Duration::from_millis(pace.event_ms));
    exchange.status = Some(200);
    let length = if judged.stream { None } else { length(&steps, total) };
    let mut response = Response::new(Body::new(steps, length, exchange));
    set(response.headers_mut(), CONTENT_TYPE, mime);
    response
}

/// The `Content-Length` of a unary body: the whole one where the connection breaks on the way, else what is sent.
fn length(steps: &[Step], total: usize) -> Option<u64> {
    let sent = |step: &Step| match step {
        Step::Event(bytes) | Step::Bytes(bytes) => bytes.len(),
        _ => 0,
    };
    let breaks = steps.iter().any(|step| matches!(step, Step::Cut { .. } | Step::Hang));
    u64::try_from(if breaks { total } else { steps.iter().map(sent).sum() }).ok()
}

/// A unary body as two events, so that faults have a middle.
fn halves(events: Vec<Bytes>) -> Vec<Bytes> {
    let whole: Bytes = events.concat().into();
    let middle = whole.len() / 2;
    vec![whole.slice(..middle), whole.slice(middle..)]
}

fn whole(mut exchange: Exchange, status: u16, mime: &str, body: &str) -> Response<Body> {
    exchange.status = Some(status);
    exchange.usage = None;
    let body = Bytes::from(body.to_owned());
    let length = Some(body.len() as u64);
    if body.is_empty() {
        exchange.outcome = Outcome::Finished;
    }
    let steps = if body.is_empty() { Vec::new() } else { vec![Step::Event(body)] };
    let mut response = Response::new(Body::new(steps, length, exchange));
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or_default();
    set(response.headers_mut(), CONTENT_TYPE, mime);
    response
}

/// Puts on the headers of the wire and of the script.
fn dress(response: &mut Response<Body>, wire: &dyn Wire, serial: u64, orders: &Orders) {
    let headers = response.headers_mut();
    for (name, value) in wire.headers(serial) {
        set(headers, hyper::header::HeaderName::from_static(name), &value);
    }
    for (name, value) in &orders.headers {
        if let Ok(name) = hyper::header::HeaderName::from_bytes(name.as_bytes()) {
            set(headers, name, value);
        }
    }
}

pub(super) fn set(headers: &mut HeaderMap, name: hyper::header::HeaderName, value: &str) {
    debug_assert!(name != CONTENT_LENGTH, "the body says its own length");
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
