//! The response object: what the answer is, and the request's settings, which this wire repeats in every answer.

use super::request::settings;
use super::{ID, ids, usage};
use crate::event::{Head, Stop, StopReason};
use crate::request::Part;
use crate::usage::Usage;
use crate::wire::writer::Writer;
use crate::wire::{StreamTerms, Target};
use crate::{Extras, Request};
use serde_json::{Value, json};

/// What answers say of kept turns.
const STATE: [&str; 4] = ["background", "store", "previous_response_id", "conversation"];

/// Writes response objects of one answer.
#[derive(Debug)]
pub(super) struct Echo {
    /// The answer's id.
    pub(super) id: String,
    model: String,
    created: i64,
    /// Whether the answer came from this very wire, so that its extras go home.
    pub(super) home: bool,
    /// Whether the gateway keeps the turns, so that what the provider says of kept ones is not the client's business.
    kept: bool,
    settings: Extras,
    tier: Option<String>,
}

/// How an answer stands.
#[derive(Debug, Default)]
pub(super) struct State<'a> {
    /// The wire's word.
    pub(super) status: &'a str,
    /// Why it is incomplete.
    pub(super) reason: Option<&'a str>,
    /// Why it failed.
    pub(super) error: Option<Value>,
    /// Output items.
    pub(super) output: Vec<Value>,
    /// Token counts, once known.
    pub(super) usage: Option<&'a Usage>,
    /// What the origin wire said about the end.
    pub(super) extras: Option<&'a Extras>,
}

impl Echo {
    pub(super) fn new(head: &Head, terms: &StreamTerms) -> Self {
        let request = terms.request.as_deref();
        let mut echo = Self {
            id: String::new(),
            model: String::new(),
            created: 0,
            home: false,
            kept: false,
            settings: echoed(request),
            tier: request.and_then(|request| request.service_tier.clone()),
        };
        echo.begin(head, terms);
        echo
    }

    /// Takes the answer's head, once it is known.
    pub(super) fn begin(&mut self, head: &Head, terms: &StreamTerms) {
        self.id = ids::answer_id(head, terms);
        self.model = if head.model.is_empty() { terms.model.clone() } else { head.model.clone() };
        self.created = head.created.unwrap_or(terms.created);
        self.home = head.origin == Some(ID);
        self.kept = ids::is_kept(terms);
    }

    /// The response object in `state`.
    pub(super) fn object(&self, state: State<'_>) -> Value {
        let served = state.usage.and_then(|usage| usage.service_tier.as_deref());
        // Another wire's word for its tiers is none here.
        let tier =
            served.and_then(|tier| if self.home { Some(tier) } else { usage::tier(tier) }).or(self.tier.as_deref());
        let counts = state.usage.map_or(Value::Null, |counts| usage::encode(counts, self.home));
        let mut body = Extras::new();
        let mut say = |key: &str, value: Value| body.insert(key.to_owned(), value);
        say("id", self.id.clone().into());
        say("object", "response".into());
        say("created_at", self.created.into());
        say("status", state.status.into());
        say("error", state.error.unwrap_or_default());
        say("incomplete_details", state.reason.map_or(Value::Null, |reason| json!({"reason": reason})));
        say("model", self.model.clone().into());
        say("output", Value::Array(state.output));
        say("usage", counts);
        if let Some(tier) = tier {
            say("service_tier", tier.into());
        }
        body.extend(self.settings.clone());
        for (key, value) in state.extras.filter(|_| self.home).into_iter().flatten() {
            if self.kept && STATE.contains(&key.as_str()) {
                continue;
            }
            match (body.get_mut(key), value) {
                (Some(Value::Object(mine)), Value::Object(more)) if key == "incomplete_details" => {
                    mine.extend(more.clone());
                }
                _ => {
                    body.insert(key.clone(), value.clone());
                }
            }
        }
        Value::Object(body)
    }
}

/// The settings as an answer repeats them, in defaults where the request said nothing.
fn echoed(request: Option<&Request>) -> Extras {
    let mut said = Extras::new();
    if let Some(request) = request {
        settings(request, &Target::default(), &mut Writer::new(request.origin, ID), &mut said);
        let instructions = request.messages.iter().find(|message| super::request::is_instructions(message));
        if let Some(message) = instructions {
            let text: String = message.parts.iter().filter_map(Part::as_text).collect();
            said.insert("instructions".to_owned(), text.into());
        }
    }
    let defaults = [
        ("background", json!(false)),
        ("instructions", Value::Null),
        ("max_output_tokens", Value::Null),
        ("max_tool_calls", Value::Null),
        ("metadata", json!({})),
        ("parallel_tool_calls", json!(true)),
        ("previous_response_id", Value::Null),
        ("prompt_cache_key", Value::Null),
        ("reasoning", json!({"effort": null, "summary": null})),
        ("safety_identifier", Value::Null),
        ("store", json!(true)),
        ("temperature", Value::Null),
        ("text", json!({"format": {"type": "text"}})),
        ("tool_choice", json!("auto")),
        ("tools", json!([])),
        ("top_logprobs", Value::Null),
        ("top_p", Value::Null),
        ("truncation", json!("disabled")),
        ("user", Value::Null),
    ];
    let mut echo = Extras::new();
    for (key, default) in defaults {
        let value = match (said.shift_remove(key), default) {
            (Some(Value::Object(said)), Value::Object(mut defaults)) => {
                defaults.extend(said);
                Value::Object(defaults)
            }
            (Some(said), _) => said,
            (None, default) => default,
        };
        echo.insert(key.to_owned(), value);
    }
    match said.shift_remove("conversation") {
        Some(Value::String(id)) => echo.insert("conversation".to_owned(), json!({"id": id})),
        Some(conversation) => echo.insert("conversation".to_owned(), conversation),
        None => None,
    };
    echo
}

/// Status and reason as this wire says how an answer ended.
pub(super) fn status(stop: Option<&Stop>) -> (&'static str, Option<&str>) {
    let Some(stop) = stop else { return ("completed", None) };
    match (stop.reason, stop.raw.as_deref()) {
        (StopReason::Length | StopReason::Context, _) => ("incomplete", Some("max_output_tokens")),
        (StopReason::ContentFilter, _) => ("incomplete", Some("content_filter")),
        (StopReason::Other, Some(reason @ ("max_messages" | "steered"))) => ("incomplete", Some(reason)),
        _ => ("completed", None),
    }
}
