//! Writing the answer: headers that say who answered and at what loss, and the body in the client's own wire.

use crate::clock;
use crate::load::Place;
use crate::outbox::{AnswerBody, Outbox};
use crate::run::{Begun, Carry, Unanswered, Underway};
use crate::turns::Scribe;
use crate::upstream::{Ask, ReplyBody};
use canon::json;
use canon::wire::{Dialect, StreamTerms};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use ledger::RequestId;
use std::sync::Arc;

pub(super) const DEPLOYMENT: HeaderName = HeaderName::from_static("x-autarky-deployment");
const DEGRADED: HeaderName = HeaderName::from_static("x-autarky-degraded");
const LOSSES: HeaderName = HeaderName::from_static("x-autarky-losses");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-autarky-request-id");
const ATTEMPTS: HeaderName = HeaderName::from_static("x-autarky-attempts");

/// Longest list of losses in a header, in bytes.
const LOSSES_BYTES: usize = 2_000;

/// Writes a begun answer.
pub(super) async fn reply(
    mut underway: Underway,
    (id, scribe): (RequestId, Option<Scribe>),
    place: Place,
) -> Response<AnswerBody> {
    let attempts = underway.attempts();
    let ask = Arc::clone(&underway.run.ask);
    let mut headers = HeaderMap::with_capacity(8);
    describe(&underway.begun, &mut headers);
    // Bytes that pass name the provider's model, and so must whatever has to be written behind them.
    let raw = matches!(underway.begun.body, ReplyBody::RawWhole { .. } | ReplyBody::RawStream(_));
    let terms = || terms(&ask, raw, id);
    let body = match underway.begun.body {
        ReplyBody::RawWhole { body, seen } => {
            underway.begun.watched.sent(body.len());
            let protocol = canon::wire::protocol(ask.dialect.id().name());
            underway.begun.watched.complete_whole(&seen, &body, protocol);
            keep(scribe, &body).await;
            in_json(body, &mut headers)
        }
        ReplyBody::Whole(answer) if !ask.peek.stream => {
            let body = json::text(&ask.dialect.encode_response(&answer, &terms()));
            underway.begun.watched.sent(body.len());
            underway.begun.watched.complete(&answer);
            keep(scribe, &body).await;
            in_json(body, &mut headers)
        }
        _ => {
            headers.insert(
                CONTENT_TYPE,
                HeaderValue::from_static(if ask.peek.listed { "application/json" } else { ask.dialect.stream_mime() }),
            );
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
            let terms = terms();
            AnswerBody::stream(move |outbox: Outbox| {
                let (carry, body) = Carry::new(underway, terms, outbox.seen_by(scribe));
                Box::pin(async move {
                    let _place = place;
                    carry.carry(body).await;
                })
            })
        }
    };
    finish(StatusCode::OK, headers, (id, attempts), body)
}

/// Has a whole answer kept, where it is to be.
async fn keep(scribe: Option<Scribe>, body: &[u8]) {
    if let Some(scribe) = scribe {
        scribe.whole(body).await;
    }
}

/// What the answer's encoder must know. `raw`: it only writes what stands behind bytes that passed.
pub(super) fn terms(ask: &Ask, raw: bool, id: RequestId) -> StreamTerms {
    let own = id.text();
    let own = own.trim_start_matches("req_");
    StreamTerms {
        model: if raw { String::new() } else { ask.peek.model.clone().unwrap_or_default() },
        usage: ask.peek.stream_usage,
        listed: ask.peek.listed,
        created: clock::unix_micros() / 1_000_000,
        // What is kept, is kept under an id of ours; in bytes that pass it has the provider's.
        id: if ask.turn.is_some() && !raw { format!("resp_{own}") } else { own.to_owned() },
        // Only an answer that we write ourselves can echo the request.
        request: if raw || ask.peek.stream { None } else { ask.echo().ok() },
    }
}

fn in_json(body: impl Into<bytes::Bytes>, headers: &mut HeaderMap) -> AnswerBody {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    AnswerBody::whole(body)
}

fn describe(begun: &Begun, headers: &mut HeaderMap) {
    put(headers, DEPLOYMENT, &begun.deployment);
    if let Some(degraded) = begun.degraded {
        put(headers, DEGRADED, degraded.name());
    }
    if !begun.losses.is_empty() {
        let mut list = String::new();
        for loss in &begun.losses {
            let loss = loss.to_string();
            if list.len() + loss.len() > LOSSES_BYTES {
                list.push_str(", …");
                break;
            }
            if !list.is_empty() {
                list.push_str(", ");
            }
            list.push_str(&loss);
        }
        put(headers, LOSSES, &list);
    }
}

/// An answer that no attempt was made for.
pub(super) fn ready(mut headers: HeaderMap, id: RequestId, body: String) -> Response<AnswerBody> {
    let body = in_json(body, &mut headers);
    finish(StatusCode::OK, headers, (id, 0), body)
}

pub(super) fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
        headers.insert(name, value);
    }
}

/// Writes a fault in the client's own wire.
pub(super) fn fault(dialect: &'static dyn Dialect, unanswered: &Unanswered, id: RequestId) -> Response<AnswerBody> {
    let Unanswered { fault, attempts } = unanswered;
    let (status, body) = dialect.encode_fault(fault);
    let mut headers = HeaderMap::with_capacity(4);
    if let Some(wait) = fault.retry_after {
        // Whole seconds, never less than asked for.
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
    if let Some((name, value)) = dialect.fault_header(fault) {
        put(&mut headers, HeaderName::from_static(name), value);
    }
    let body = in_json(body.to_string(), &mut headers);
    finish(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), headers, (id, *attempts), body)
}

/// The headers that every answer has.
pub(super) fn finish(
    status: StatusCode,
    mut headers: HeaderMap,
    (id, attempts): (RequestId, u32),
    body: AnswerBody,
) -> Response<AnswerBody> {
    if let Ok(id) = HeaderValue::from_bytes(&id.signs()) {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(ATTEMPTS, HeaderValue::from(attempts));
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}
