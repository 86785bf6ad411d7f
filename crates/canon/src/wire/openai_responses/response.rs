//! Whole answers of Responses: reading, writing, and a look in place at one that passes untouched.

use super::echo::{Echo, State, status};
use super::items::{self, HOME, Item};
use super::output::{Kind, encode_item, same_output_item};
use super::{ID, fault, usage};
use crate::Extras;
use crate::answer::{Choice, Response};
use crate::event::{Head, Stop, StopReason};
use crate::fault::{Fault, FaultKind};
use crate::fields::{BadField, Fields};
use crate::request::Part;
use crate::usage::Usage;
use crate::wire::{Seen, StreamTerms, look};
use serde_json::Value;

/// Reads a whole answer.
pub(super) fn decode(body: Value) -> Result<Response, BadField> {
    let mut fields = Fields::of(body, "")?;
    if let Some(error) = fields.take("error") {
        let message = error.get("message").and_then(Value::as_str).unwrap_or("no reason given");
        return Err(BadField::new("error", format!("says that the answer failed: {message}")));
    }
    let head = decode_head(&mut fields)?;
    if !fields.has("output") {
        return Err(fields.missing("output"));
    }
    let mut parts = Vec::new();
    for (index, item) in fields.list("output")?.into_iter().enumerate() {
        parts.extend(decode_output_item(item, &format!("output[{index}]"))?);
    }
    let end = decode_end(&mut fields)?;
    let stop = end.stop(&parts);
    let choice = Choice { parts, stop, extras: Extras::new() };
    let mut finish_extras = fields.rest();
    finish_extras.extend(end.extras);
    Ok(Response { head, choices: vec![choice], usage: end.usage, finish_extras })
}

/// Takes id, model and time. What else the object says may change until the end, and belongs there.
pub(super) fn decode_head(fields: &mut Fields) -> Result<Head, BadField> {
    fields.take("object");
    #[expect(clippy::cast_possible_truncation, reason = "seconds; the wire's types allow a fraction")]
    let created = fields.f64("created_at")?.map(|seconds| seconds as i64);
    Ok(Head {
        origin: Some(ID),
        id: fields.string("id")?.unwrap_or_default(),
        model: fields.string("model")?.unwrap_or_default(),
        created,
        extras: Extras::new(),
    })
}

/// Reads one output item.
pub(super) fn decode_output_item(value: Value, path: &str) -> Result<Vec<Part>, BadField> {
    let kind = value.get("type").and_then(Value::as_str).unwrap_or_default();
    if !matches!(kind, "message" | "reasoning" | "function_call") {
        return Ok(vec![Part::Native { body: value }]);
    }
    match items::decode(value, path)? {
        Item::Turn(mut parts) => {
            let home = parts.first_mut().and_then(Part::extras_mut).and_then(|extras| extras.get_mut(HOME));
            // An item's state is said by the answer's.
            if let Some(Value::Object(home)) = home {
                home.shift_remove("status");
            }
            Ok(parts)
        }
        Item::Native(body) => Ok(vec![Part::Native { body }]),
        Item::Said(message) => Err(BadField::new(path, format!("is a message of `{:?}` in an answer", message.role))),
    }
}

/// How an answer ended, as its response object says.
#[derive(Debug, Default)]
pub(super) struct End {
    status: String,
    reason: Option<String>,
    pub(super) usage: Usage,
    pub(super) extras: Extras,
}

/// Takes what says how the answer ended.
pub(super) fn decode_end(fields: &mut Fields) -> Result<End, BadField> {
    let mut end = End { status: fields.string("status")?.unwrap_or_else(|| "completed".to_owned()), ..End::default() };
    if !matches!(end.status.as_str(), "completed" | "incomplete") {
        return Err(BadField::new("status", format!("is `{}`: the answer is not complete", end.status)));
    }
    if let Some(mut details) = fields.object("incomplete_details")? {
        end.reason = details.string("reason")?;
        let rest = details.rest();
        if !rest.is_empty() {
            end.extras.insert("incomplete_details".to_owned(), Value::Object(rest));
        }
    }
    if let Some(value) = fields.take("usage") {
        end.usage = usage::decode(value)?;
    }
    end.usage.service_tier = fields.string("service_tier")?;
    Ok(end)
}

impl End {
    /// Why an answer of `parts` ended.
    pub(super) fn stop(&self, parts: &[Part]) -> Stop {
        let has = |wanted: fn(&Part) -> bool| parts.iter().any(wanted);
        let calls = has(|part| matches!(part, Part::ToolCall { .. }));
        let refused = has(|part| matches!(part, Part::Refusal { .. }));
        self.stop_of(calls, refused)
    }

    /// Why an answer ended that holds calls or a refusal.
    pub(super) fn stop_of(&self, calls: bool, refused: bool) -> Stop {
        let raw = if self.status == "incomplete" { self.reason.clone() } else { Some(self.status.clone()) };
        Stop { raw, ..Stop::because(stop_reason(&self.status, self.reason.as_deref(), calls, refused)) }
    }
}

/// Status and reason in our words.
fn stop_reason(status: &str, reason: Option<&str>, calls: bool, refused: bool) -> StopReason {
    match (status, reason) {
        ("incomplete", Some("max_output_tokens")) => StopReason::Length,
        ("incomplete", Some("content_filter")) => StopReason::ContentFilter,
        ("completed", _) if calls => StopReason::ToolCalls,
        ("completed", _) if refused => StopReason::Refusal,
        ("completed", _) => StopReason::End,
        _ => StopReason::Other,
    }
}

/// Writes a whole answer; the wire gives one, so only the first choice is said.
pub(super) fn encode(answer: &Response, terms: &StreamTerms) -> Value {
    let echo = Echo::new(&answer.head, terms);
    let choice = answer.choices.first();
    let (status, reason) = status(choice.map(|choice| &choice.stop));
    let mut output = Vec::new();
    let parts = choice.map(|choice| choice.parts.as_slice()).unwrap_or_default();
    let mut rest = parts.chunk_by(same_output_item).peekable();
    while let Some(parts) = rest.next() {
        let Some(first) = parts.first() else { continue };
        let Some(kind) = Kind::of(first, echo.home) else { continue };
        // Only what came last can have been cut short.
        let state = if rest.peek().is_some() { "completed" } else { status };
        let id = kind.id(first, echo.home, &echo.id, output.len());
        output.push(encode_item(kind, parts, &id, state, echo.home));
    }
    let extras = Some(&answer.finish_extras);
    echo.object(State { status, reason, error: None, output, usage: Some(&answer.usage), extras })
}

/// Looks at a whole answer that passes untouched. One that is not complete, or an error with a good status, is none.
pub(super) fn scan(body: &[u8]) -> Result<Seen, Fault> {
    let (seen, outcome) = scan_object(body)?;
    match outcome {
        Outcome::Failed => Err(fault::decode_failed(body)),
        Outcome::Unfinished => Err(Fault::provider(FaultKind::Malformed, "the provider's answer is not complete")),
        Outcome::Ended => Ok(seen),
    }
}

/// How a response object stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Complete, or cut by a limit that it names.
    Ended,
    /// It failed, and says why.
    Failed,
    /// Neither.
    Unfinished,
}

/// Looks at a response object.
pub(super) fn scan_object(body: &[u8]) -> Result<(Seen, Outcome), Fault> {
    let mut seen = Seen::default();
    let (mut end, mut failed, mut has_output, mut calls, mut refused) = (End::default(), false, false, false, false);
    let mut tier = None;
    "completed".clone_into(&mut end.status);
    look::top_level(body, |key, value| {
        match key {
            "id" => seen.id = value.string(key)?,
            "model" => seen.model = value.string(key)?,
            "status" => end.status = value.string(key)?.unwrap_or_default(),
            "service_tier" => tier = value.string(key)?,
            "incomplete_details" => {
                let details: Option<Value> = serde_json::from_str(value.raw()).ok();
                end.reason = details.and_then(|details| Some(details.get("reason")?.as_str()?.to_owned()));
            }
            "usage" if !value.is_null() => {
                if let Ok(counts) = serde_json::from_str(value.raw()) {
                    seen.usage = usage::decode(counts)?;
                }
            }
            "output" => {
                has_output = !value.is_null();
                calls = value.mentions("\"function_call\"");
                refused = value.mentions("\"refusal\"");
            }
            "error" => failed = !value.is_null(),
            _ => {}
        }
        Ok(())
    })
    .map_err(BadField::into_provider_fault)?;
    seen.usage.service_tier = tier;
    if failed || end.status == "failed" {
        return Ok((seen, Outcome::Failed));
    }
    if !has_output || !matches!(end.status.as_str(), "completed" | "incomplete") {
        return Ok((seen, Outcome::Unfinished));
    }
    seen.ended = true;
    seen.stop = Some(stop_reason(&end.status, end.reason.as_deref(), calls, refused));
    Ok((seen, Outcome::Ended))
}
