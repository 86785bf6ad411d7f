//! The wire's events to ours. Each finished item is told whole, so it is read like one of a whole answer, and what the
//! deltas have not said yet is said then: a stream and its unary twin cannot differ.

use crate::Extras;
use crate::event::{Event, Finish, Head, PartId, PartKind, TokenLogprob};
use crate::fault::{Fault, FaultKind};
use crate::fields::{BadField, Fields};
use crate::frame::Frame;
use crate::request::Part;
use crate::wire::StreamDecoder;
use crate::wire::openai_responses::fault::decode_failed;
use crate::wire::openai_responses::items::{HOME, decode_citation, decode_part, home_of};
use crate::wire::openai_responses::logprobs;
use crate::wire::openai_responses::{ID, response};
use serde_json::Value;
use std::collections::BTreeMap;

/// Reads the wire's events.
#[derive(Debug, Default)]
pub(in crate::wire::openai_responses) struct Decoder {
    started: bool,
    finished: bool,
    next: PartId,
    /// Items by the wire's own index.
    items: BTreeMap<u32, Item>,
    /// Whole items that wait for an open one.
    held: Vec<(u32, Value)>,
    /// Whether a call and a refusal were told, which decide why the answer ended.
    calls: bool,
    refused: bool,
}

/// One item of the answer.
#[derive(Debug, Default)]
struct Item {
    /// Its bookkeeping, told with the first part.
    home: Extras,
    /// Its parts in order of appearance.
    parts: Vec<(Place, Told)>,
    /// Whether it began while another one was open: it is told whole, when that one is done.
    waits: bool,
    /// Whether it was told whole.
    done: bool,
}

/// Where in its item a part stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Content(u32),
    Summary(u32),
    Call,
}

/// What of a part was told.
#[derive(Debug, Clone)]
struct Told {
    at: PartId,
    text: usize,
    logprobs: usize,
    citations: usize,
    home: bool,
    ended: bool,
}

impl StreamDecoder for Decoder {
    fn frame(&mut self, frame: &Frame, out: &mut Vec<Event>) -> Result<(), Fault> {
        let data = frame.data.trim_ascii();
        if self.finished || data.is_empty() || data == b"[DONE]" {
            return Ok(());
        }
        let value: Value = serde_json::from_slice(data).map_err(|error| {
            Fault::provider(FaultKind::Malformed, format!("an event of the provider's stream is no JSON: {error}"))
        })?;
        let name = value.get("type").and_then(Value::as_str).map(str::to_owned);
        let name = name.unwrap_or_else(|| String::from_utf8_lossy(&frame.event).into_owned());
        let is_error = name.is_empty() && value.get("error").is_some_and(|error| !error.is_null());
        if is_error || matches!(name.as_str(), "error" | "response.failed") {
            return Err(decode_failed(data));
        }
        self.event(&name, value, out).map_err(BadField::into_provider_fault)
    }

    fn end(&mut self, _out: &mut Vec<Event>) {}
}

impl Decoder {
    fn event(&mut self, name: &str, value: Value, out: &mut Vec<Event>) -> Result<(), BadField> {
        // An event that the canon does not model keeps its whole body.
        if !is_known(name, &value) {
            self.start(Head::default(), out);
            out.push(Event::Native { body: value });
            return Ok(());
        }
        let mut fields = Fields::of(value, name)?;
        if let Some(response) = fields.object("response")? {
            return self.response(name, response, out);
        }
        self.start(Head::default(), out);
        let index = fields.u32("output_index")?.unwrap_or(0);
        if !self.items.contains_key(&index) && self.is_busy(index) {
            self.items.insert(index, Item { waits: true, ..Item::default() });
        }
        if name != "response.output_item.done" && self.items.get(&index).is_some_and(|item| item.waits) {
            return Ok(());
        }
        match name {
            "response.output_item.added" => {
                let item = fields.object("item")?.ok_or_else(|| fields.missing("item"))?;
                self.item_added(index, item, out)
            }
            "response.output_item.done" => {
                let item = fields.take("item").ok_or_else(|| fields.missing("item"))?;
                self.held.push((index, item));
                if self.is_busy(index) { Ok(()) } else { self.tell_held(out) }
            }
            "response.content_part.added" | "response.content_part.done" => {
                let place = Place::Content(fields.u32("content_index")?.unwrap_or(0));
                match fields.take("part") {
                    Some(part) => self.content_part(index, place, part, name.ends_with("done"), out),
                    None => Ok(()),
                }
            }
            "response.reasoning_summary_part.added" => {
                let place = Place::Summary(fields.u32("summary_index")?.unwrap_or(0));
                self.part(index, place, &PartKind::Reasoning { summary: true }, out);
                Ok(())
            }
            "response.output_text.annotation.added" => {
                let place = Place::Content(fields.u32("content_index")?.unwrap_or(0));
                let Some(annotation) = fields.take("annotation") else { return Ok(()) };
                let citation = decode_citation(annotation, name)?;
                let told = self.part(index, place, &PartKind::Text, out);
                told.citations += 1;
                out.push(Event::Citation { at: told.at, citation });
                Ok(())
            }
            _ => self.words(name, index, &mut fields, out),
        }
    }

    /// More words of a part, or all of them.
    fn words(&mut self, name: &str, index: u32, fields: &mut Fields, out: &mut Vec<Event>) -> Result<(), BadField> {
        let content = Place::Content(fields.u32("content_index")?.unwrap_or(0));
        let summary = Place::Summary(fields.u32("summary_index")?.unwrap_or(0));
        let (place, kind, whole) = match name.rsplit_once('.') {
            Some(("response.output_text", _)) => (content, PartKind::Text, "text"),
            Some(("response.refusal", _)) => (content, PartKind::Refusal, "refusal"),
            Some(("response.reasoning_text", _)) => (content, PartKind::Reasoning { summary: false }, "text"),
            Some(("response.reasoning_summary_text", _)) => (summary, PartKind::Reasoning { summary: true }, "text"),
            Some(("response.function_call_arguments", _)) => {
                let call = PartKind::ToolCall { call_id: String::new(), name: String::new() };
                (Place::Call, call, "arguments")
            }
            _ => return Ok(()),
        };
        // A call's name comes with its item; without it, its arguments wait for the item told whole.
        if place == Place::Call && self.items.get(&index).is_none_or(|item| item.place(place).is_none()) {
            return Ok(());
        }
        let is_done = name.ends_with(".done");
        let text = fields.string(if is_done { whole } else { "delta" })?.unwrap_or_default();
        let told = self.part(index, place, &kind, out);
        if is_done {
            told.rest(&text, &[], out);
            return Ok(());
        }
        let logprobs = logprobs::decode(fields.list("logprobs")?)?;
        told.more(text, logprobs, out);
        Ok(())
    }

    fn start(&mut self, head: Head, out: &mut Vec<Event>) {
        if !self.started {
            self.started = true;
            out.push(Event::Start(Head { origin: Some(ID), ..head }));
        }
    }

    fn response(&mut self, name: &str, mut fields: Fields, out: &mut Vec<Event>) -> Result<(), BadField> {
        let head = response::decode_head(&mut fields)?;
        self.start(head, out);
        if !matches!(name, "response.completed" | "response.incomplete") {
            return Ok(());
        }
        fields.take("error");
        for (index, item) in (0_u32..).zip(fields.list("output")?) {
            if !self.items.get(&index).is_some_and(|known| known.done) {
                self.item_done(index, item, out)?;
            }
        }
        self.tell_held(out)?;
        for item in self.items.values_mut() {
            item.end_open(out);
        }
        let end = response::decode_end(&mut fields)?;
        let stop = end.stop_of(self.calls, self.refused);
        let mut extras = fields.rest();
        extras.extend(end.extras);
        out.push(Event::Usage(end.usage));
        out.push(Event::Finish(Finish { stops: vec![stop], extras }));
        self.finished = true;
        Ok(())
    }

    fn item_added(&mut self, index: u32, mut fields: Fields, out: &mut Vec<Event>) -> Result<(), BadField> {
        let mut home = Extras::new();
        if let Some(id) = fields.string("id")? {
            home.insert("id".to_owned(), id.into());
        }
        let is_call = fields.peek_str("type") == Some("function_call");
        self.items.insert(index, Item { home, ..Item::default() });
        if is_call {
            let kind =
                PartKind::ToolCall { call_id: fields.need_string("call_id")?, name: fields.need_string("name")? };
            let arguments = fields.string("arguments")?.unwrap_or_default();
            self.part(index, Place::Call, &kind, out).rest(&arguments, &[], out);
        }
        Ok(())
    }

    /// A part of an item begins, or is told whole.
    fn content_part(
        &mut self,
        index: u32,
        place: Place,
        part: Value,
        done: bool,
        out: &mut Vec<Event>,
    ) -> Result<(), BadField> {
        let kind = match part.get("type").and_then(Value::as_str) {
            Some("output_text") => PartKind::Text,
            Some("refusal") => PartKind::Refusal,
            Some("reasoning_text") => PartKind::Reasoning { summary: false },
            _ => return Ok(()),
        };
        self.part(index, place, &kind, out);
        if done && kind != (PartKind::Reasoning { summary: false }) {
            let part = decode_part(part, "part")?;
            self.told(index, place, &part, out);
        }
        Ok(())
    }

    /// Whether another item than `index` is open: the canon tells one after the other.
    fn is_busy(&self, index: u32) -> bool {
        self.items.iter().any(|(at, item)| *at != index && item.parts.last().is_some_and(|(_, told)| !told.ended))
    }

    fn tell_held(&mut self, out: &mut Vec<Event>) -> Result<(), BadField> {
        let mut held = std::mem::take(&mut self.held);
        held.retain(|(index, _)| !self.items.get(index).is_some_and(|item| item.done));
        held.sort_by_key(|(index, _)| *index);
        held.into_iter().try_for_each(|(index, item)| self.item_done(index, item, out))
    }

    /// An item told whole: what the deltas did not say is said now.
    fn item_done(&mut self, index: u32, item: Value, out: &mut Vec<Event>) -> Result<(), BadField> {
        let parts = response::decode_output_item(item, &format!("output[{index}]"))?;
        let (mut contents, mut summaries) = (0, 0);
        for part in &parts {
            let count = |n: &mut u32| std::mem::replace(n, *n + 1);
            let place = match part {
                Part::Reasoning { summary: true, .. } => Place::Summary(count(&mut summaries)),
                Part::ToolCall { .. } => Place::Call,
                _ => Place::Content(count(&mut contents)),
            };
            self.told(index, place, part, out);
        }
        let item = self.items.entry(index).or_default();
        item.end_open(out);
        item.done = true;
        Ok(())
    }

    /// Tells what is still untold of a part that is whole.
    fn told(&mut self, index: u32, place: Place, part: &Part, out: &mut Vec<Event>) {
        self.calls |= matches!(part, Part::ToolCall { .. });
        self.refused |= matches!(part, Part::Refusal { .. });
        let kind = match part {
            Part::Text { .. } => PartKind::Text,
            Part::Refusal { .. } => PartKind::Refusal,
            Part::Reasoning { summary, .. } => PartKind::Reasoning { summary: *summary },
            Part::ToolCall { call_id, name, .. } => PartKind::ToolCall { call_id: call_id.clone(), name: name.clone() },
            Part::Native { body } => PartKind::Native(body.clone()),
            Part::Media(_) | Part::ToolResult { .. } => return,
        };
        // A part that was not begun knows its bookkeeping by itself.
        let item = self.items.entry(index).or_default();
        if item.parts.is_empty()
            && let Some(home) = home_of(part)
        {
            item.home.clone_from(home);
        }
        let told = self.part(index, place, &kind, out);
        if told.ended {
            return;
        }
        match part {
            Part::Text { text, logprobs, citations, .. } => {
                told.rest(text, logprobs, out);
                for citation in citations.iter().skip(told.citations) {
                    out.push(Event::Citation { at: told.at, citation: citation.clone() });
                }
                told.citations = told.citations.max(citations.len());
            }
            Part::Refusal { text, .. } => told.rest(text, &[], out),
            Part::Reasoning { text, seal, .. } => {
                told.rest(text, &[], out);
                if let Some(seal) = seal {
                    out.push(Event::Seal { at: told.at, seal: seal.clone() });
                }
            }
            Part::ToolCall { arguments, .. } => told.rest(arguments, &[], out),
            Part::Media(_) | Part::ToolResult { .. } | Part::Native { .. } => {}
        }
        let mut extras = part.extras().cloned().unwrap_or_default();
        if told.home {
            extras.shift_remove(HOME);
        }
        if !extras.is_empty() {
            out.push(Event::PartExtras { at: told.at, extras });
        }
    }

    /// The part at `place`, begun (and its predecessor ended) when it is new.
    fn part(&mut self, index: u32, place: Place, kind: &PartKind, out: &mut Vec<Event>) -> &mut Told {
        let item = self.items.entry(index).or_default();
        let known = item.place(place);
        let slot = known.unwrap_or(item.parts.len());
        if known.is_none() {
            item.end_open(out);
            let at = self.next;
            self.next += 1;
            out.push(Event::PartStart { at, choice: 0, kind: kind.clone() });
            // A call's part is its item: bookkeeping is told where there is some.
            let whole = matches!(kind, PartKind::Native(_));
            let home = slot == 0 && !whole && (place != Place::Call || !item.home.is_empty());
            if home {
                let extras = Extras::from_iter([(HOME.to_owned(), Value::Object(item.home.clone()))]);
                out.push(Event::PartExtras { at, extras });
            }
            let told = Told { at, text: 0, logprobs: 0, citations: 0, home, ended: false };
            item.parts.push((place, told));
        }
        &mut item.parts[slot].1
    }
}

impl Item {
    fn place(&self, place: Place) -> Option<usize> {
        self.parts.iter().position(|(known, _)| *known == place)
    }

    /// Ends the part that is still open: all before it were ended when their successor began.
    fn end_open(&mut self, out: &mut Vec<Event>) {
        if let Some((_, told)) = self.parts.last_mut().filter(|(_, told)| !told.ended) {
            told.ended = true;
            out.push(Event::PartEnd { at: told.at });
        }
    }
}

impl Told {
    fn more(&mut self, text: String, logprobs: Vec<TokenLogprob>, out: &mut Vec<Event>) {
        if self.ended || (text.is_empty() && logprobs.is_empty()) {
            return;
        }
        self.text += text.len();
        self.logprobs += logprobs.len();
        out.push(Event::Delta { at: self.at, text, logprobs });
    }

    /// What `text` says beyond the deltas.
    fn rest(&mut self, text: &str, logprobs: &[TokenLogprob], out: &mut Vec<Event>) {
        let more = text.get(self.text..).unwrap_or_default().to_owned();
        let tokens = logprobs.get(self.logprobs..).unwrap_or_default().to_vec();
        self.more(more, tokens, out);
    }
}

/// Whether the canon models the event. A hosted tool's item and everything about it goes home as it is.
fn is_known(name: &str, value: &Value) -> bool {
    match name {
        "response.output_item.added" => {
            let kind = value.pointer("/item/type").and_then(Value::as_str);
            matches!(kind, Some("message" | "reasoning" | "function_call"))
        }
        "response.created"
        | "response.in_progress"
        | "response.queued"
        | "response.completed"
        | "response.incomplete"
        | "response.output_item.done"
        | "response.content_part.added"
        | "response.content_part.done"
        | "response.output_text.delta"
        | "response.output_text.done"
        | "response.output_text.annotation.added"
        | "response.refusal.delta"
        | "response.refusal.done"
        | "response.function_call_arguments.delta"
        | "response.function_call_arguments.done"
        | "response.reasoning_summary_part.added"
        | "response.reasoning_summary_part.done"
        | "response.reasoning_summary_text.delta"
        | "response.reasoning_summary_text.done"
        | "response.reasoning_text.delta"
        | "response.reasoning_text.done" => true,
        _ => false,
    }
}
