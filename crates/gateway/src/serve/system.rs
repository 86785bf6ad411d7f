//! What is not an answer of a model: health, readiness, metrics, lists of models, and paths that lead nowhere.

use super::route::Place;
use super::{health, models};
use crate::outbox::AnswerBody;
use crate::setup::Gateway;
use canon::wire::openai_chat::encode_error;
use canon::{Fault, FaultKind};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode, request};
use serde_json::{Value, json};
use std::net::SocketAddr;

/// Answers `place`.
pub(super) fn answer(
    gateway: &Gateway,
    place: &Place,
    head: &request::Parts,
    peer: SocketAddr,
) -> Response<AnswerBody> {
    match place {
        Place::Health => text(StatusCode::OK, "text/plain; charset=utf-8", "ok\n"),
        Place::Ready => ready(gateway),
        Place::Metrics => {
            gateway.metrics.bookkeeping(&gateway.journal.status());
            text(StatusCode::OK, "application/openmetrics-text; version=1.0.0; charset=utf-8", &gateway.metrics.text())
        }
        Place::Breakers => {
            health::breakers(gateway, peer).map_or_else(|fault| refuse(&fault), |value| body(StatusCode::OK, &value))
        }
        Place::Models(shape, wanted) => {
            let listed = models::list(gateway, *shape, wanted.as_deref(), head, peer);
            listed.map_or_else(
                |refused| {
                    let (status, value) = models::refusal(&refused);
                    body(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), &value)
                },
                |value| body(StatusCode::OK, &value),
            )
        }
        Place::WrongMethod => {
            let message = format!("`{}` is not answered on `{}`", head.method, head.uri.path());
            refuse(&Fault::client(FaultKind::MethodNotAllowed, message))
        }
        Place::Answer { .. } | Place::Kept(_) | Place::Provider { .. } | Place::Nowhere => {
            let message =
                format!("nothing is served on `{}`; see the reference for the paths there are", head.uri.path());
            refuse(&Fault::client(FaultKind::NotFound, message))
        }
    }
}

fn ready(gateway: &Gateway) -> Response<AnswerBody> {
    let missing = gateway.missing();
    let status = if missing.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    body(status, &json!({"ready": missing.is_empty(), "missing": missing}))
}

fn refuse(fault: &Fault) -> Response<AnswerBody> {
    let status = StatusCode::from_u16(fault.client_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    body(status, &encode_error(fault))
}

fn body(status: StatusCode, value: &Value) -> Response<AnswerBody> {
    text(status, "application/json", &value.to_string())
}

fn text(status: StatusCode, mime: &'static str, text: &str) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::whole(text.to_owned()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(mime));
    response
}
