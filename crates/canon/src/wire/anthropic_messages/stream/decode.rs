//! Events of the wire to events of the canon.

use super::{Reports, words_at};
use crate::Extras;
use crate::event::{Event, Finish, PartId, PartKind, Stop};
use crate::fault::{Fault, FaultKind};
use crate::fields::{BadField, Fields};
use crate::frame::Frame;
use crate::request::{Part, Seal};
use crate::wire::StreamDecoder;
use crate::wire::alike::Alike;
use crate::wire::anthropic_messages::{block, citation, fault, response};
use serde_json::Value;
use std::collections::BTreeMap;

/// Reads events.
#[derive(Debug, Default)]
pub(in crate::wire::anthropic_messages) struct Decoder {
    started: bool,
    next: PartId,
    /// Open blocks by the wire's own index.
    open: BTreeMap<u64, Block>,
    has_calls: bool,
    reports: Reports,
    stop: Option<Stop>,
    end: Extras,
    finished: bool,
    /// The event before, if it was a delta of words, and the part that they belong to: one that differs from it in
    /// nothing else is more of that.
    alike: Alike,
    last: PartId,
}

/// An open block.
#[derive(Debug)]
enum Block {
    /// A part of the canon.
    Part { at: PartId, kind: Kind },
    /// A block that is handed out whole at its end, with the JSON of its input so far.
    Native { body: Extras, input: String },
}

#[derive(Debug)]
enum Kind {
    Words,
    /// Thinking, with its signature so far.
    Thinking(String),
    /// A call, with the input that came with its start, for the case that nothing follows.
    Call {
        input: String,
        begun: bool,
    },
}

impl StreamDecoder for Decoder {
    fn frame(&mut self, frame: &Frame, out: &mut Vec<Event>) -> Result<(), Fault> {
        let data = frame.data.trim_ascii();
        if data.is_empty() || data == b"[DONE]" {
            return Ok(());
        }
        if frame.event.as_ref() != b"error"
            && let Some(words) = self.alike.words(data)
        {
            out.push(Event::Delta { at: self.last, text: words.to_owned(), logprobs: Vec::new() });
            return Ok(());
        }
        self.alike.forget();
        let value: Value = serde_json::from_slice(data).map_err(|error| {
            Fault::provider(FaultKind::Malformed, format!("an event of the provider's stream is no JSON: {error}"))
        })?;
        let kind = value.get("type").and_then(Value::as_str).unwrap_or_default();
        if kind == "error" || frame.event.as_ref() == b"error" {
            return Err(fault::decode_error(200, data));
        }
        let (kind, before) = (kind.to_owned(), out.len());
        self.event(&kind, value, out).map_err(BadField::into_provider_fault)?;
        if kind == "content_block_delta"
            && let Some([Event::Delta { at, .. }]) = out.get(before..)
            && let Some(words) = words_at(data)
        {
            self.last = *at;
            self.alike.remember(data, &words);
        }
        Ok(())
    }

    /// Nothing is held back: `message_stop` alone makes an answer complete.
    fn end(&mut self, _out: &mut Vec<Event>) {}
}

impl Decoder {
    fn event(&mut self, kind: &str, value: Value, out: &mut Vec<Event>) -> Result<(), BadField> {
        if kind == "ping" {
            return Ok(());
        }
        if !self.started && kind != "message_start" {
            return Err(BadField::new("type", format!("is `{kind}` before `message_start`")));
        }
        match kind {
            "message_start" => self.start(Fields::of(value, "")?, out),
            "content_block_start" => self.block_start(Fields::of(value, "")?, out),
            "content_block_delta" => self.block_delta(Fields::of(value, "")?, out),
            "content_block_stop" => {
                let index = index(&mut Fields::of(value, "")?)?;
                let block = self.open.remove(&index).ok_or_else(|| BadField::new("index", "names no open block"))?;
                self.block_stop(block, out)
            }
            "message_delta" => self.message_delta(Fields::of(value, "")?, out),
            "message_stop" => self.message_stop(out),
            _ => {
                out.push(Event::Native { body: value });
                Ok(())
            }
        }
    }

    fn start(&mut self, mut fields: Fields, out: &mut Vec<Event>) -> Result<(), BadField> {
        if self.started {
            return Err(BadField::new("type", "is `message_start` for the second time"));
        }
        let mut message = fields.object("message")?.ok_or_else(|| fields.missing("message"))?;
        for key in ["content", "stop_reason", "stop_sequence"] {
            message.take(key);
        }
        let usage = message.take("usage");
        let (head, end) = response::decode_head(message)?;
        self.started = true;
        self.end = end;
        out.push(Event::Start(head));
        if let Some(usage) = usage {
            out.push(Event::Usage(self.reports.join(usage)?));
        }
        Ok(())
    }

    fn block_start(&mut self, mut fields: Fields, out: &mut Vec<Event>) -> Result<(), BadField> {
        let index = index(&mut fields)?;
        let value = fields.take("content_block").ok_or_else(|| fields.missing("content_block"))?;
        let block = match block::decode(value, "content_block")? {
            Part::Native { body: Value::Object(body) } => Block::Native { body, input: String::new() },
            part => self.part_start(part, out),
        };
        if let Some(before) = self.open.insert(index, block) {
            self.block_stop(before, out)?;
        }
        Ok(())
    }

    /// Begins a part of the canon; what its start already says comes at once.
    fn part_start(&mut self, part: Part, out: &mut Vec<Event>) -> Block {
        let at = self.next;
        self.next += 1;
        let mut later = Vec::new();
        let (kind, opened, extras) = match part {
            Part::Text { text, citations, extras, .. } => {
                if !text.is_empty() {
                    later.push(Event::Delta { at, text, logprobs: Vec::new() });
                }
                later.extend(citations.into_iter().map(|citation| Event::Citation { at, citation }));
                (PartKind::Text, Kind::Words, extras)
            }
            Part::Reasoning { text, seal, extras, .. } => {
                if !text.is_empty() {
                    later.push(Event::Delta { at, text, logprobs: Vec::new() });
                }
                let signature = match seal {
                    Some(seal) if !seal.redacted => seal.data,
                    Some(seal) => {
                        later.push(Event::Seal { at, seal });
                        String::new()
                    }
                    None => String::new(),
                };
                (PartKind::Reasoning { summary: false }, Kind::Thinking(signature), extras)
            }
            Part::ToolCall { call_id, name, arguments, extras, .. } => {
                self.has_calls = true;
                (PartKind::ToolCall { call_id, name }, Kind::Call { input: arguments, begun: false }, extras)
            }
            Part::Media(media) => (PartKind::Media(Box::new(media)), Kind::Words, Extras::new()),
            // No answer holds these two as canon parts: the first is part of a request only.
            Part::ToolResult { extras, .. } | Part::Refusal { extras, .. } => (PartKind::Text, Kind::Words, extras),
            Part::Native { body } => (PartKind::Native(body), Kind::Words, Extras::new()),
        };
        out.push(Event::PartStart { at, choice: 0, kind });
        if !extras.is_empty() {
            out.push(Event::PartExtras { at, extras });
        }
        out.append(&mut later);
        Block::Part { at, kind: opened }
    }

    fn block_delta(&mut self, mut fields: Fields, out: &mut Vec<Event>) -> Result<(), BadField> {
        let index = index(&mut fields)?;
        let mut delta = fields.object("delta")?.ok_or_else(|| fields.missing("delta"))?;
        let block = self.open.get_mut(&index).ok_or_else(|| BadField::new("index", "names no open block"))?;
        let word = delta.string("type")?.unwrap_or_default();
        match block {
            Block::Native { body, input } => grow(body, input, &word, delta),
            Block::Part { at, kind } => part_delta(*at, kind, &word, delta, out),
        }
    }

    fn block_stop(&mut self, block: Block, out: &mut Vec<Event>) -> Result<(), BadField> {
        let at = match block {
            Block::Part { at, kind } => {
                match kind {
                    Kind::Thinking(data) if !data.is_empty() => {
                        out.push(Event::Seal { at, seal: Seal { data, redacted: false, signer: None } });
                    }
                    // A call that needs nothing has no deltas.
                    Kind::Call { input, begun: false } => {
                        out.push(Event::Delta { at, text: input, logprobs: Vec::new() });
                    }
                    Kind::Words | Kind::Thinking(_) | Kind::Call { .. } => {}
                }
                at
            }
            Block::Native { mut body, input } => {
                if !input.is_empty() {
                    let value = serde_json::from_str(&input)
                        .map_err(|_| BadField::new("partial_json", "does not add up to JSON"))?;
                    body.insert("input".to_owned(), value);
                }
                let at = self.next;
                self.next += 1;
                out.push(Event::PartStart { at, choice: 0, kind: PartKind::Native(Value::Object(body)) });
                at
            }
        };
        out.push(Event::PartEnd { at });
        Ok(())
    }

    fn message_delta(&mut self, mut fields: Fields, out: &mut Vec<Event>) -> Result<(), BadField> {
        fields.take("type");
        if let Some(mut delta) = fields.object("delta")? {
            let sequence = delta.string("stop_sequence")?;
            if let Some(word) = delta.string("stop_reason")? {
                self.stop = Some(response::decode_stop(Some(word), sequence, self.has_calls));
            }
            self.end.extend(delta.rest().into_iter().filter(|(_, value)| !value.is_null()));
        }
        if let Some(usage) = fields.take("usage") {
            out.push(Event::Usage(self.reports.join(usage)?));
        }
        self.end.extend(fields.rest().into_iter().filter(|(_, value)| !value.is_null()));
        Ok(())
    }

    /// The wire's own end: complete only when the answer said why it stopped.
    fn message_stop(&mut self, out: &mut Vec<Event>) -> Result<(), BadField> {
        if self.finished {
            return Ok(());
        }
        let stop =
            self.stop.take().ok_or_else(|| BadField::new("stop_reason", "was not said before `message_stop`"))?;
        while let Some((_, block)) = self.open.pop_first() {
            self.block_stop(block, out)?;
        }
        self.finished = true;
        out.push(Event::Finish(Finish { stops: vec![stop], extras: std::mem::take(&mut self.end) }));
        Ok(())
    }
}

fn index(fields: &mut Fields) -> Result<u64, BadField> {
    fields.take("type");
    fields.u64("index")?.ok_or_else(|| fields.missing("index"))
}

fn part_delta(
    at: PartId,
    kind: &mut Kind,
    word: &str,
    mut delta: Fields,
    out: &mut Vec<Event>,
) -> Result<(), BadField> {
    let text = match word {
        "text_delta" => delta.string("text")?,
        "thinking_delta" => delta.string("thinking")?,
        "input_json_delta" => {
            let text = delta.string("partial_json")?.filter(|text| !text.is_empty());
            if let (Kind::Call { begun, .. }, Some(_)) = (&mut *kind, &text) {
                *begun = true;
            }
            text
        }
        "signature_delta" => {
            if let (Kind::Thinking(signature), Some(more)) = (kind, delta.string("signature")?) {
                signature.push_str(&more);
            }
            None
        }
        "citations_delta" => {
            if let Some(citation) = delta.take("citation") {
                out.push(Event::Citation { at, citation: citation::decode(citation, "delta.citation")? });
            }
            None
        }
        // A newer kind of delta: its fields belong to the part.
        _ => {
            let extras = delta.rest();
            if !extras.is_empty() {
                out.push(Event::PartExtras { at, extras });
            }
            None
        }
    };
    if let Some(text) = text.filter(|text| !text.is_empty()) {
        out.push(Event::Delta { at, text, logprobs: Vec::new() });
    }
    Ok(())
}

/// Grows a block that stays whole: JSON of its input is collected, text is added to text, everything else is set.
fn grow(body: &mut Extras, input: &mut String, word: &str, mut delta: Fields) -> Result<(), BadField> {
    if word == "input_json_delta" {
        input.push_str(&delta.string("partial_json")?.unwrap_or_default());
        return Ok(());
    }
    for (key, value) in delta.rest() {
        match (body.get_mut(&key), value) {
            (Some(Value::String(mine)), Value::String(more)) => mine.push_str(&more),
            (_, Value::Null) => {}
            (_, value) => {
                body.insert(key, value);
            }
        }
    }
    Ok(())
}
