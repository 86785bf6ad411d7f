//! The models that a caller may name, in the shape of whoever's client asks.

use super::admit;
use crate::clock;
use crate::setup::{Gateway, Setup};
use canon::wire::{anthropic_messages, gemini, openai_chat};
use canon::{Fault, FaultKind};
use http::{HeaderMap, request};
use serde_json::{Value, json};
use std::net::SocketAddr;

/// Whose list it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// OpenAI's.
    OpenAi,
    /// Anthropic's.
    Anthropic,
    /// Google's.
    Gemini,
}

impl Shape {
    /// All three makers' clients may ask on `/v1/models`: their headers tell whose they are.
    fn of(self, headers: &HeaderMap) -> Self {
        match self {
            Self::OpenAi if headers.contains_key("anthropic-version") => Self::Anthropic,
            Self::OpenAi if headers.contains_key("x-goog-api-key") => Self::Gemini,
            said => said,
        }
    }
}

/// All models, or the one called `wanted`.
///
/// # Errors
/// No key, or no such model.
pub(super) fn list(
    gateway: &Gateway,
    shape: Shape,
    wanted: Option<&str>,
    head: &request::Parts,
    peer: SocketAddr,
) -> Result<Value, (Shape, Fault)> {
    let shape = shape.of(&head.headers);
    let setup = gateway.setup();
    let micros = clock::unix_micros();
    let caller = admit::admit(&setup, &gateway.access, &head.headers, head.uri.query(), peer.ip(), micros)
        .map_err(|fault| (shape, fault))?;
    let names = setup.fleet.names_of(setup.fleet.product(caller.product));
    let Some(wanted) = wanted else {
        return Ok(all(shape, names.iter().map(|name| entry(shape, &setup, name)).collect()));
    };
    let Some(name) = names.iter().find(|name| **name == wanted) else {
        let fault = Fault::client(FaultKind::NotFound, format!("there is no model `{wanted}`")).at("model");
        return Err((shape, fault));
    };
    Ok(entry(shape, &setup, name))
}

/// Status and body of a refusal.
pub(super) fn refusal((shape, fault): &(Shape, Fault)) -> (u16, Value) {
    let value = match shape {
        Shape::OpenAi => openai_chat::encode_error(fault),
        Shape::Anthropic => anthropic_messages::encode_error(fault, None),
        Shape::Gemini => gemini::encode_error(fault),
    };
    (fault.client_status(), value)
}

fn entry(shape: Shape, setup: &Setup, name: &str) -> Value {
    let owner = setup.fleet.iter().find(|(_, deployment)| deployment.answers_to(name));
    let owner = owner.map_or("autarky", |(_, deployment)| deployment.maker.as_str());
    match shape {
        Shape::OpenAi => json!({"id": name, "object": "model", "created": 0, "owned_by": owner}),
        // The API wants a time; what it cannot know it calls the epoch.
        Shape::Anthropic => {
            json!({"type": "model", "id": name, "display_name": name, "created_at": "1970-01-01T00:00:00Z"})
        }
        Shape::Gemini => json!({
            "name": format!("models/{name}"),
            "displayName": name,
            "supportedGenerationMethods": ["generateContent", "streamGenerateContent", "countTokens"],
        }),
    }
}

fn all(shape: Shape, entries: Vec<Value>) -> Value {
    match shape {
        Shape::OpenAi => json!({"object": "list", "data": entries}),
        Shape::Anthropic => {
            let id = |entry: Option<&Value>| entry.map_or(Value::Null, |entry| entry["id"].clone());
            let (first, last) = (id(entries.first()), id(entries.last()));
            json!({"data": entries, "has_more": false, "first_id": first, "last_id": last})
        }
        Shape::Gemini => json!({"models": entries}),
    }
}
