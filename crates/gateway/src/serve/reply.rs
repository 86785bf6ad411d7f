//! Writing the answer: headers that say who answered and at what loss, and the body in the client's own wire.

use crate::clock;
use crate::outbox::{AnswerBody, Outbox};
use crate::run::pump::Carry;
use crate::run::{Begun, Unanswered, pump_events, pump_raw};
use crate::setup::{Gateway, Place, Setup};
use crate::turns::Scribe;
use crate::upstream::{Ask, Items, ReplyBody};
use canon::Response as Answer;
use canon::wire::{Dialect, StreamTerms};
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use ledger::RequestId;
use std::sync::Arc;

/// Longest list of losses in a header, in bytes.
const LOSSES_BYTES: usize = 2_000;

/// Writes a begun answer.
pub(super) async fn reply(
    gateway: &Arc<Gateway>,
    setup: &Arc<Setup>,
    ask: &Arc<Ask>,
    begun: Begun,
    (id, scribe): (RequestId, Option<Scribe>),
    place: Place,
) -> Response<AnswerBody> {
    let attempts = begun.attempts;
    let mut headers = HeaderMap::with_capacity(8);
    describe(&begun, &mut headers);
    let terms = terms(ask, &begun.body, id);
    let Begun { body, mut watched, .. } = begun;
    let body = match body {
        ReplyBody::RawWhole { body, seen } => {
            watched.entry.sent(body.len());
            watched.entry.complete_raw(&seen);
            keep(scribe, &body).await;
            json(body, &mut headers)
        }
        ReplyBody::Whole(answer) if !ask.peek.stream => {
            let body = ask.dialect.encode_response(&answer, &terms).to_string();
            watched.entry.sent(body.len());
            watched.entry.complete(&answer);
            keep(scribe, body.as_bytes()).await;
            json(body, &mut headers)
        }
        body => {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(ask.dialect.stream_mime()));
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
            let encoder = ask.dialect.stream_encoder(&terms);
            let (live, clock) = (Arc::clone(&setup.live), gateway.clock);
            AnswerBody::stream(move |outbox: Outbox| {
                let outbox = outbox.seen_by(scribe);
                let carry = Carry { watched, live, clock, encoder, outbox };
                match body {
                    ReplyBody::RawStream(stream) => Box::pin(async move {
                        let _place = place;
                        pump_raw(carry, *stream).await;
                    }),
                    ReplyBody::Events(items) => Box::pin(async move {
                        let _place = place;
                        pump_events(carry, *items).await;
                    }),
                    ReplyBody::Whole(answer) => Box::pin(async move {
                        let _place = place;
                        pump_events(carry, unfolded(&answer)).await;
                    }),
                    ReplyBody::RawWhole { .. } => Box::pin(std::future::ready(())),
                }
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

/// A whole answer as a stream, for providers that do not stream.
fn unfolded(answer: &Answer) -> Items {
    Items { first: answer.unfold(), rest: Box::pin(stream::empty()) }
}

fn terms(ask: &Ask, body: &ReplyBody, id: RequestId) -> StreamTerms {
    // Only an answer that we write ourselves can echo the request.
    let raw = matches!(body, ReplyBody::RawWhole { .. } | ReplyBody::RawStream(_));
    let own = id.text();
    let own = own.trim_start_matches("req_");
    StreamTerms {
        model: ask.peek.model.clone().unwrap_or_default(),
        usage: ask.peek.stream_usage,
        created: clock::unix_micros() / 1_000_000,
        // What is kept, is kept under an id of ours.
        id: if ask.turn.is_some() { format!("resp_{own}") } else { own.to_owned() },
        request: if raw { None } else { ask.echo().ok() },
    }
}

fn json(body: impl Into<bytes::Bytes>, headers: &mut HeaderMap) -> AnswerBody {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    AnswerBody::whole(body)
}

fn describe(begun: &Begun, headers: &mut HeaderMap) {
    put(headers, "x-autarky-deployment", &begun.deployment);
    if let Some(degraded) = begun.degraded {
        put(headers, "x-autarky-degraded", degraded.name());
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
        put(headers, "x-autarky-losses", &list);
    }
}

/// An answer that no attempt was made for.
pub(super) fn ready(mut headers: HeaderMap, id: RequestId, body: String) -> Response<AnswerBody> {
    let body = json(body, &mut headers);
    finish(StatusCode::OK, headers, (id, 0), body)
}

pub(super) fn put(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
        headers.insert(HeaderName::from_static(name), value);
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
    let body = json(body.to_string(), &mut headers);
    finish(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), headers, (id, *attempts), body)
}

/// The headers that every answer has.
pub(super) fn finish(
    status: StatusCode,
    mut headers: HeaderMap,
    (id, attempts): (RequestId, u32),
    body: AnswerBody,
) -> Response<AnswerBody> {
    put(&mut headers, "x-autarky-request-id", &id.text());
    headers.insert(HeaderName::from_static("x-autarky-attempts"), HeaderValue::from(attempts));
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}
