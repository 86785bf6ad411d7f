//! Chunks to events.

use crate::event::{Event, Finish, PartId, PartKind, Stop};
use crate::fault::{Fault, FaultKind};
use crate::fields::{BadField, Fields};
use crate::frame::Frame;
use crate::wire::StreamDecoder;
use crate::wire::openai_chat::request_parts::take_reasoning;
use crate::wire::openai_chat::usage::decode_usage;
use crate::wire::openai_chat::{fault, logprobs, response};
use serde_json::Value;
use std::collections::BTreeMap;

/// Reads chunks.
#[derive(Debug, Default)]
pub(in crate::wire::openai_chat) struct Decoder {
    started: bool,
    next: PartId,
    choices: BTreeMap<u32, Open>,
    finished: bool,
}

/// The open parts of one choice.
#[derive(Debug, Default)]
struct Open {
    current: Option<(Lane, PartId)>,
    /// Tool calls by the wire's own index.
    calls: BTreeMap<u32, PartId>,
    stop: Option<Stop>,
}

/// What a run of deltas is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lane {
    Text,
    Refusal,
    Reasoning,
    Call(u32),
}

impl StreamDecoder for Decoder {
    fn frame(&mut self, frame: &Frame, out: &mut Vec<Event>) -> Result<(), Fault> {
        let data = frame.data.trim_ascii();
        if data.is_empty() {
            return Ok(());
        }
        if data == b"[DONE]" {
            self.finish(out);
            return Ok(());
        }
        let value: Value = serde_json::from_slice(data).map_err(|error| {
            Fault::provider(FaultKind::Malformed, format!("a chunk of the provider's stream is no JSON: {error}"))
        })?;
        if value.get("error").is_some_and(|error| !error.is_null()) || frame.event.as_ref() == b"error" {
            return Err(fault::decode_error(200, data));
        }
        self.chunk(value, out).map_err(BadField::into_provider_fault)
    }

    fn end(&mut self, out: &mut Vec<Event>) {
        self.finish(out);
    }
}

impl Decoder {
    fn chunk(&mut self, value: Value, out: &mut Vec<Event>) -> Result<(), BadField> {
        let mut fields = Fields::of(value, "")?;
        let mut head = response::decode_head(&mut fields)?;
        let usage = fields.take("usage");
        let tier = fields.string("service_tier")?;
        let choices = fields.list("choices")?;
        if !self.started {
            self.started = true;
            head.extras = fields.rest();
            // Padding against traffic analysis; each chunk has its own.
            head.extras.shift_remove("obfuscation");
            out.push(Event::Start(head));
        }
        for (index, choice) in choices.into_iter().enumerate() {
            self.choice(choice, &format!("choices[{index}]"), out)?;
        }
        if usage.is_some() || tier.is_some() {
            let mut usage = usage.map(decode_usage).transpose()?.unwrap_or_default();
            usage.service_tier = tier;
            out.push(Event::Usage(usage));
        }
        Ok(())
    }

    fn choice(&mut self, value: Value, path: &str, out: &mut Vec<Event>) -> Result<(), BadField> {
        let mut fields = Fields::of(value, path)?;
        let choice = fields.u32("index")?.unwrap_or(0);
        let word = fields.string("finish_reason")?;
        let probabilities = logprobs::decode(fields.take("logprobs"))?;
        if let Some(mut delta) = fields.object("delta")? {
            if let Some(text) = take_reasoning(&mut delta)? {
                let at = self.lane(choice, Lane::Reasoning, PartKind::Reasoning { summary: false }, out);
                out.push(Event::Delta { at, text, logprobs: Vec::new() });
            }
            let text = delta.string("content")?.unwrap_or_default();
            if !text.is_empty() || !probabilities.is_empty() {
                let at = self.lane(choice, Lane::Text, PartKind::Text, out);
                out.push(Event::Delta { at, text, logprobs: probabilities });
            }
            for item in delta.list("annotations")? {
                let citation = response::decode_annotation(item, path)?;
                let at = self.lane(choice, Lane::Text, PartKind::Text, out);
                out.push(Event::Citation { at, citation });
            }
            if let Some(text) = delta.string("refusal")?.filter(|text| !text.is_empty()) {
                let at = self.lane(choice, Lane::Refusal, PartKind::Refusal, out);
                out.push(Event::Delta { at, text, logprobs: Vec::new() });
            }
            for (place, call) in delta.list("tool_calls")?.into_iter().enumerate() {
                self.call(choice, call, place, path, out)?;
            }
        }
        if let Some(word) = word {
            let open = self.choices.entry(choice).or_default();
            close(&mut open.current, out);
            let reason = response::stop_reason(Some(&word), !open.calls.is_empty());
            open.stop = Some(Stop { choice, reason, raw: Some(word), sequence: None });
        }
        Ok(())
    }

    /// The open part of `lane`, opened (and its predecessor closed) when it is not the current one.
    fn lane(&mut self, choice: u32, lane: Lane, kind: PartKind, out: &mut Vec<Event>) -> PartId {
        let open = self.choices.entry(choice).or_default();
        if let Some((current, at)) = open.current
            && current == lane
        {
            return at;
        }
        close(&mut open.current, out);
        let at = self.next;
        self.next += 1;
        open.current = Some((lane, at));
        out.push(Event::PartStart { at, choice, kind });
        at
    }

    fn call(
        &mut self,
        choice: u32,
        value: Value,
        place: usize,
        path: &str,
        out: &mut Vec<Event>,
    ) -> Result<(), BadField> {
        let mut fields = Fields::of(value, format!("{path}.delta.tool_calls[{place}]"))?;
        let place = u32::try_from(place).unwrap_or(u32::MAX);
        let index = fields.u32("index")?.unwrap_or(place);
        let id = fields.string("id")?.unwrap_or_default();
        let mut function = match fields.object("function")? {
            Some(function) => function,
            None => return Ok(()),
        };
        let name = function.string("name")?.unwrap_or_default();
        let arguments = match function.take("arguments") {
            Some(Value::String(text)) => text,
            Some(other) => other.to_string(),
            None => String::new(),
        };
        let known = self.choices.get(&choice).and_then(|open| open.calls.get(&index)).copied();
        let at = match known {
            Some(at) => at,
            None if name.is_empty() => return Err(function.missing("name")),
            None => {
                let kind = PartKind::ToolCall { call_id: id, name };
                let at = self.lane(choice, Lane::Call(index), kind, out);
                self.choices.entry(choice).or_default().calls.insert(index, at);
                at
            }
        };
        if !arguments.is_empty() {
            out.push(Event::Delta { at, text: arguments, logprobs: Vec::new() });
        }
        Ok(())
    }

    /// The wire's own end came, or the bytes ended: complete only when every choice said why it stopped.
    fn finish(&mut self, out: &mut Vec<Event>) {
        if self.finished || self.choices.is_empty() || self.choices.values().any(|open| open.stop.is_none()) {
            return;
        }
        self.finished = true;
        let stops = self.choices.values_mut().filter_map(|open| open.stop.take()).collect();
        out.push(Event::Finish(Finish { stops, extras: crate::Extras::new() }));
    }
}

fn close(current: &mut Option<(Lane, PartId)>, out: &mut Vec<Event>) {
    if let Some((_, at)) = current.take() {
        out.push(Event::PartEnd { at });
    }
}
