//! Messages of the wire to events of the canon. A block of words begins with its first delta; the end of the answer is
//! held back until the report of usage, which follows it.

use super::{fault_of, no_json};
use crate::Extras;
use crate::event::{Event, Finish, Head, PartId, PartKind, Stop};
use crate::fault::Fault;
use crate::fields::{BadField, Fields};
use crate::frame::Frame;
use crate::request::{Part, Seal};
use crate::wire::StreamDecoder;
use crate::wire::bedrock_converse::{ID, block, citation, response, usage};
use crate::wire::writer::{join, keep};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Padding against traffic analysis; each message has its own.
const PADDING: &str = "p";

/// Reads messages.
#[derive(Debug, Default)]
pub(in crate::wire::bedrock_converse) struct Decoder {
    started: bool,
    next: PartId,
    /// Open blocks by the wire's own index.
    open: BTreeMap<u64, Block>,
    has_calls: bool,
    stop: Option<Stop>,
    end: Extras,
    finished: bool,
}

/// An open block.
#[derive(Debug)]
enum Block {
    Words(PartId),
    /// Thinking, with its signature so far.
    Thinking(PartId, String),
    /// A call, and whether anything of its input came.
    Call(PartId, bool),
    /// A block that is handed out whole at its end, with the JSON of its input so far.
    Whole(Extras, String),
}

impl StreamDecoder for Decoder {
    fn frame(&mut self, frame: &Frame, out: &mut Vec<Event>) -> Result<(), Fault> {
        if let Some(fault) = fault_of(frame) {
            return Err(fault);
        }
        let value: Value = serde_json::from_slice(&frame.data).map_err(|error| no_json(&error))?;
        let name = String::from_utf8_lossy(&frame.event);
        Fields::of(value, "").and_then(|fields| self.message(&name, fields, out)).map_err(BadField::into_provider_fault)
    }

    fn end(&mut self, out: &mut Vec<Event>) {
        self.finish(out);
    }
}

impl Decoder {
    fn message(&mut self, name: &str, mut fields: Fields, out: &mut Vec<Event>) -> Result<(), BadField> {
        fields.take(PADDING);
        if self.started == (name == "messageStart") {
            let problem = if self.started { "came twice" } else { "did not come first" };
            return Err(BadField::new("messageStart", problem));
        }
        match name {
            "messageStart" => {
                self.started = true;
                fields.take("role");
                out.push(Event::Start(Head { origin: Some(ID), extras: fields.rest(), ..Head::default() }));
            }
            "contentBlockStart" => {
                let index = index(&mut fields)?;
                let start = fields.map("start")?;
                self.close(index, out)?;
                // One that names nothing opens words: their first delta does.
                if !start.is_empty() {
                    let block = self.block_start(start, out)?;
                    self.open.insert(index, block);
                }
            }
            "contentBlockDelta" => {
                let index = index(&mut fields)?;
                let delta = fields.object("delta")?.ok_or_else(|| fields.missing("delta"))?;
                self.block_delta(index, delta, out)?;
            }
            "contentBlockStop" => {
                let index = index(&mut fields)?;
                self.close(index, out)?;
            }
            "messageStop" => {
                self.stop = Some(response::decode_stop(fields.need_string("stopReason")?, self.has_calls));
                self.end.extend(fields.rest());
            }
            "metadata" => {
                let mut counts = fields.take("usage").map(usage::decode).transpose()?.unwrap_or_default();
                counts.service_tier = response::take_tier(&mut fields)?;
                self.end.extend(fields.rest());
                out.push(Event::Usage(counts));
                self.finish(out);
            }
            _ => out.push(Event::Native { body: json!({ name: fields.rest() }) }),
        }
        Ok(())
    }

    fn part_start(&mut self, kind: PartKind, out: &mut Vec<Event>) -> PartId {
        let at = self.next;
        self.next += 1;
        out.push(Event::PartStart { at, choice: 0, kind });
        at
    }

    /// A start names what is no words: calls, results and pictures that the provider itself makes.
    fn block_start(&mut self, start: Extras, out: &mut Vec<Event>) -> Result<Block, BadField> {
        if !start.contains_key("toolUse") {
            return Ok(Block::Whole(start, String::new()));
        }
        Ok(match block::decode(Value::Object(start), "start")? {
            Part::ToolCall { call_id, name, extras, .. } => {
                self.has_calls = true;
                let at = self.part_start(PartKind::ToolCall { call_id, name }, out);
                if !extras.is_empty() {
                    out.push(Event::PartExtras { at, extras });
                }
                Block::Call(at, false)
            }
            Part::Native { body } => Block::Whole(Fields::of(body, "start")?.rest(), String::new()),
            _ => return Err(BadField::new("start", "is of two kinds")),
        })
    }

    fn block_delta(&mut self, index: u64, mut delta: Fields, out: &mut Vec<Event>) -> Result<(), BadField> {
        if let Some(Block::Whole(body, input)) = self.open.get_mut(&index) {
            return grow(body, input, delta);
        }
        let mut extras = Extras::new();
        let at = if let Some(mut inner) = delta.object("reasoningContent")? {
            let at = self.thinking(index, &mut inner, out)?;
            keep(&mut extras, "reasoningContent", inner.rest());
            at
        } else if let Some(mut call) = delta.object("toolUse")? {
            let Some(Block::Call(at, begun)) = self.open.get_mut(&index) else {
                return Err(BadField::new("contentBlockIndex", "names no open call"));
            };
            let text = call.string("input")?.filter(|text| !text.is_empty());
            *begun |= text.is_some();
            out.extend(text.map(|text| Event::Delta { at: *at, text, logprobs: Vec::new() }));
            keep(&mut extras, "toolUse", call.rest());
            *at
        } else {
            self.words(index, &mut delta, out)?
        };
        extras.extend(delta.rest());
        if !extras.is_empty() {
            out.push(Event::PartExtras { at, extras });
        }
        Ok(())
    }

    /// A piece of words, or a source of them.
    fn words(&mut self, index: u64, delta: &mut Fields, out: &mut Vec<Event>) -> Result<PartId, BadField> {
        let at = match self.open.get(&index) {
            Some(Block::Words(at)) => *at,
            _ => {
                self.close(index, out)?;
                let at = self.part_start(PartKind::Text, out);
                self.open.insert(index, Block::Words(at));
                at
            }
        };
        if let Some(text) = delta.string("text")?.filter(|text| !text.is_empty()) {
            out.push(Event::Delta { at, text, logprobs: Vec::new() });
        }
        if let Some(value) = delta.take("citation") {
            out.push(Event::Citation { at, citation: citation::decode(value, "delta.citation")? });
        }
        Ok(at)
    }

    fn thinking(&mut self, index: u64, inner: &mut Fields, out: &mut Vec<Event>) -> Result<PartId, BadField> {
        if !matches!(self.open.get(&index), Some(Block::Thinking(..))) {
            self.close(index, out)?;
            let at = self.part_start(PartKind::Reasoning { summary: false }, out);
            self.open.insert(index, Block::Thinking(at, String::new()));
        }
        let Some(Block::Thinking(at, signature)) = self.open.get_mut(&index) else {
            return Err(BadField::new("contentBlockIndex", "names no open block"));
        };
        if let Some(text) = inner.string("text")?.filter(|text| !text.is_empty()) {
            out.push(Event::Delta { at: *at, text, logprobs: Vec::new() });
        }
        signature.push_str(&inner.string("signature")?.unwrap_or_default());
        if let Some(data) = inner.string("redactedContent")? {
            out.push(Event::Seal { at: *at, seal: block::cipher(data) });
        }
        Ok(*at)
    }

    /// Ends the block of `index`, if there is one: a block of which nothing came has no start either.
    fn close(&mut self, index: u64, out: &mut Vec<Event>) -> Result<(), BadField> {
        let at = match self.open.remove(&index) {
            None => return Ok(()),
            Some(Block::Words(at)) => at,
            Some(Block::Thinking(at, data)) => {
                if !data.is_empty() {
                    out.push(Event::Seal { at, seal: Seal { data, redacted: false, signer: None } });
                }
                at
            }
            Some(Block::Call(at, begun)) => {
                // A call that needs nothing has no deltas.
                if !begun {
                    out.push(Event::Delta { at, text: "{}".to_owned(), logprobs: Vec::new() });
                }
                at
            }
            Some(Block::Whole(body, input)) => {
                let part = whole(body, &input)?;
                let kind = match part {
                    Part::Media(media) => PartKind::Media(Box::new(media)),
                    Part::Native { body } => PartKind::Native(body),
                    _ => return Ok(()),
                };
                self.part_start(kind, out)
            }
        };
        out.push(Event::PartEnd { at });
        Ok(())
    }

    /// The stop was said: with the report, or where the bytes end, the answer is complete.
    fn finish(&mut self, out: &mut Vec<Event>) {
        if self.finished {
            return;
        }
        let Some(stop) = self.stop.take() else { return };
        let open: Vec<u64> = self.open.keys().copied().collect();
        for index in open {
            // A block that does not add up is left out: the provider itself said that the answer ended well.
            let _ = self.close(index, out);
        }
        self.finished = true;
        out.push(Event::Finish(Finish { stops: vec![stop], extras: std::mem::take(&mut self.end) }));
    }
}

fn index(fields: &mut Fields) -> Result<u64, BadField> {
    fields.u64("contentBlockIndex")?.ok_or_else(|| fields.missing("contentBlockIndex"))
}

/// Grows a block that stays whole: JSON of an input is collected, content is added to content, a picture's bytes are set.
fn grow(body: &mut Extras, input: &mut String, mut delta: Fields) -> Result<(), BadField> {
    if let Some(mut call) = delta.object("toolUse")? {
        input.push_str(&call.string("input")?.unwrap_or_default());
        return Ok(());
    }
    let mut pieces = delta.list("toolResult")?;
    if !pieces.is_empty()
        && let Some(Value::Object(result)) = body.get_mut("toolResult")
        && let Value::Array(content) = result.entry("content").or_insert_with(|| Value::Array(Vec::new()))
    {
        content.append(&mut pieces);
    }
    join(body, &delta.rest());
    Ok(())
}

/// The part that a whole block is.
fn whole(mut body: Extras, input: &str) -> Result<Part, BadField> {
    if let (false, Some(Value::Object(call))) = (input.is_empty(), body.get_mut("toolUse")) {
        let value = serde_json::from_str(input).map_err(|_| BadField::new("input", "does not add up to JSON"))?;
        call.insert("input".to_owned(), value);
    }
    if body.contains_key("image") {
        return block::decode(Value::Object(body), "start");
    }
    Ok(Part::Native { body: Value::Object(body) })
}
