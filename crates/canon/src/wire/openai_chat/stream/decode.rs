//! Chunks to events.

use super::lanes::{Lane, Lanes, Piece};
use crate::Extras;
use crate::event::{Event, Finish, PartId, PartKind, Stop};
use crate::fault::{Fault, FaultKind};
use crate::fields::{BadField, Fields};
use crate::frame::Frame;
use crate::wire::StreamDecoder;
use crate::wire::openai_chat::pieces::take_reasoning;
use crate::wire::openai_chat::usage::decode_usage;
use crate::wire::openai_chat::{fault, logprobs, response};
use crate::wire::writer::keep;
use serde_json::Value;
use std::collections::BTreeMap;

/// Reads chunks.
#[derive(Debug, Default)]
pub(in crate::wire::openai_chat) struct Decoder {
    started: bool,
    next: PartId,
    choices: BTreeMap<u32, Choice>,
    /// How many choices were asked for.
    expected: u32,
    finished: bool,
}

/// One choice so far.
#[derive(Debug)]
struct Choice {
    lanes: Lanes,
    stop: Option<Stop>,
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
        if self.choices.len() >= self.expected as usize {
            self.finish(out);
        }
    }

    fn expects(&mut self, choices: u32) {
        self.expected = choices;
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
        let index = fields.u32("index")?.unwrap_or(0);
        let word = fields.string("finish_reason")?;
        let probabilities = logprobs::decode(fields.take("logprobs"))?;
        let next = &mut self.next;
        let choice = self.choices.entry(index).or_insert_with(|| Choice { lanes: Lanes::new(index), stop: None });
        let lanes = &mut choice.lanes;
        if let Some(mut delta) = fields.object("delta")? {
            if let Some(text) = take_reasoning(&mut delta)? {
                let piece = Piece::Delta(text, Vec::new());
                lanes.say(Lane::Reasoning, &PartKind::Reasoning { summary: false }, piece, next, out);
            }
            let text = delta.string("content")?.unwrap_or_default();
            if !text.is_empty() || !probabilities.is_empty() {
                lanes.say(Lane::Text, &PartKind::Text, Piece::Delta(text, probabilities), next, out);
            }
            for item in delta.list("annotations")? {
                let citation = response::decode_annotation(item, path)?;
                lanes.say(Lane::Text, &PartKind::Text, Piece::Citation(citation), next, out);
            }
            if let Some(text) = delta.string("refusal")?.filter(|text| !text.is_empty()) {
                lanes.say(Lane::Refusal, &PartKind::Refusal, Piece::Delta(text, Vec::new()), next, out);
            }
            for (place, item) in delta.list("tool_calls")?.into_iter().enumerate() {
                let item = Fields::of(item, format!("{path}.delta.tool_calls[{place}]"))?;
                call(lanes, item, place, next, out)?;
            }
        }
        if let Some(word) = word {
            lanes.close(next, out);
            let reason = response::stop_reason(Some(&word), lanes.calls > 0);
            choice.stop = Some(Stop { choice: index, reason, raw: Some(word), sequence: None });
        }
        Ok(())
    }

    /// The wire's own end came, or the bytes ended: complete only when every choice said why it stopped.
    fn finish(&mut self, out: &mut Vec<Event>) {
        if self.finished || self.choices.is_empty() || self.choices.values().any(|choice| choice.stop.is_none()) {
            return;
        }
        self.finished = true;
        let stops = self.choices.values_mut().filter_map(|choice| choice.stop.take()).collect();
        out.push(Event::Finish(Finish { stops, extras: Extras::new() }));
    }
}

/// A piece of a call. What brings another id than the call of its index begins a new one: some engines count no calls.
fn call(
    lanes: &mut Lanes,
    mut fields: Fields,
    place: usize,
    next: &mut PartId,
    out: &mut Vec<Event>,
) -> Result<(), BadField> {
    let index = fields.u32("index")?.unwrap_or_else(|| u32::try_from(place).unwrap_or(u32::MAX));
    let id = fields.peek_str("id").unwrap_or_default();
    let known = lanes.known(index).filter(|(_, theirs)| id.is_empty() || theirs.is_empty() || id == *theirs);
    let known = known.map(|(native, _)| native);
    let is_native = known.unwrap_or_else(|| fields.peek_str("type").is_some_and(|kind| kind != "function"));
    if is_native {
        let mut body = fields.rest();
        if known.is_none() {
            lanes.native(index, body, next, out);
        } else {
            ["id", "type"].iter().for_each(|key| drop(body.shift_remove(*key)));
            lanes.more(index, Piece::Native(body), next, out);
        }
        return Ok(());
    }
    fields.take("type");
    let call_id = fields.string("id")?.unwrap_or_default();
    let (mut name, mut arguments, mut rest) = (String::new(), String::new(), Extras::new());
    if let Some(mut function) = fields.object("function")? {
        name = function.string("name")?.unwrap_or_default();
        arguments = match function.take("arguments") {
            Some(Value::String(text)) => text,
            Some(other) => other.to_string(),
            None => String::new(),
        };
        rest = function.rest();
    }
    if known.is_none() {
        match (name.is_empty(), arguments.trim().is_empty()) {
            (false, _) => lanes.call(index, PartKind::ToolCall { call_id, name }, next, out),
            // A blank after a call's end says nothing.
            (true, true) => return Ok(()),
            (true, false) => return Err(BadField::new(fields.path_of("function.name"), "is missing")),
        }
    }
    let mut extras = fields.rest();
    keep(&mut extras, "function", rest);
    if !extras.is_empty() {
        lanes.more(index, Piece::Extras(extras), next, out);
    }
    if !arguments.is_empty() {
        lanes.more(index, Piece::Delta(arguments, Vec::new()), next, out);
    }
    Ok(())
}
