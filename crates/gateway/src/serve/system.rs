//! What is not an answer of a model: health, readiness, metrics, lists of models, and paths that lead nowhere.

use super::admit;
use super::route::Place;
use crate::clock;
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
            text(StatusCode::OK, "application/openmetrics-text; version=1.0.0; charset=utf-8", &gateway.metrics.text())
        }
        Place::Models | Place::Model(_) => models(gateway, place, head, peer).unwrap_or_else(|fault| refuse(&fault)),
        Place::WrongMethod => {
            let message = format!("`{}` is not answered on `{}`", head.method, head.uri.path());
            refuse(&Fault::client(FaultKind::MethodNotAllowed, message))
        }
        Place::Answer { .. } | Place::Nowhere => {
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

fn models(
    gateway: &Gateway,
    place: &Place,
    head: &request::Parts,
    peer: SocketAddr,
) -> Result<Response<AnswerBody>, Fault> {
    let setup = gateway.setup();
    let micros = clock::unix_micros();
    let caller = admit::admit(&setup, &gateway.access, &head.headers, head.uri.query(), peer.ip(), micros)?;
    let product = setup.fleet.product(caller.product);
    let names = setup.fleet.names_of(product);
    let entry = |name: &&str| -> Value {
        let owner = setup
            .fleet
            .iter()
            .find(|(_, deployment)| deployment.answers_to(name))
            .map_or("autarky", |(_, deployment)| deployment.maker.as_str());
        json!({"id": name, "object": "model", "created": 0, "owned_by": owner})
    };
    if let Place::Model(wanted) = place {
        let Some(name) = names.iter().find(|name| *name == wanted) else {
            return Err(Fault::client(FaultKind::NotFound, format!("there is no model `{wanted}`")).at("model"));
        };
        return Ok(body(StatusCode::OK, &entry(name)));
    }
    let data: Vec<Value> = names.iter().map(entry).collect();
    Ok(body(StatusCode::OK, &json!({"object": "list", "data": data})))
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
