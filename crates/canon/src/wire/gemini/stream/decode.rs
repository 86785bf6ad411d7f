//! Chunks to events.

use super::partial::{self, Partial};
use crate::Extras;
use crate::event::{Event, Head, PartId, PartKind, Stop};
use crate::fault::{Fault, FaultKind};
use crate::fields::{BadField, Fields};
use crate::frame::Frame;
use crate::request::{Part, Seal};
use crate::wire::StreamDecoder;
use crate::wire::gemini::{ID, fault, grounding, logprobs, names, part, response, usage};
use serde_json::Value;
use std::collections::BTreeMap;

/// Reads chunks.
#[derive(Debug, Default)]
pub(in crate::wire::gemini) struct Decoder {
    started: bool,
    /// The answer's id, of which ids for calls are made.
    id: String,
    next: PartId,
    choices: BTreeMap<u32, Open>,
    /// Counts as reported so far: later reports may leave out what stays as it was.
    usage: Extras,
    extras: Extras,
    finished: bool,
}

/// One candidate so far.
#[derive(Debug, Default)]
struct Open {
    current: Option<Lane>,
    /// The words of the current part, by which sources are placed.
    text: String,
    calls: u32,
    /// A call whose arguments still come.
    partial: Option<Partial>,
    stop: Option<Stop>,
    extras: Extras,
}

/// The part that a run of words belongs to.
#[derive(Debug, Clone, Copy)]
struct Lane {
    at: PartId,
    thought: bool,
    sealed: bool,
}

const KNOWN: &[&str] = &["candidates", "promptFeedback", "usageMetadata", "modelVersion", "responseId"];
const CANDIDATE: &[&str] =
    &["content", "finishReason", "logprobsResult", "groundingMetadata", "citationMetadata", "finishMessage"];

impl StreamDecoder for Decoder {
    fn frame(&mut self, frame: &Frame, out: &mut Vec<Event>) -> Result<(), Fault> {
        let data = frame.data.trim_ascii();
        if data.is_empty() {
            return bare_error(&frame.raw).map_or(Ok(()), Err);
        }
        let value: Value = serde_json::from_slice(data).map_err(|error| {
            Fault::provider(FaultKind::Malformed, format!("a chunk of the provider's stream is no JSON: {error}"))
        })?;
        if is_error(&value) {
            return Err(fault::decode_error(200, data));
        }
        self.chunk(value, out).map_err(BadField::into_provider_fault)
    }

    fn end(&mut self, out: &mut Vec<Event>) {
        self.close(out);
    }
}

fn is_error(value: &Value) -> bool {
    value.get(0).unwrap_or(value).get("error").is_some_and(|error| !error.is_null())
}

/// An error that was put into the stream as bare JSON, without the form of an event.
pub(super) fn bare_error(raw: &[u8]) -> Option<Fault> {
    let raw = raw.trim_ascii();
    if !raw.starts_with(b"{") && !raw.starts_with(b"[") {
        return None;
    }
    let value: Value = serde_json::from_slice(raw).ok()?;
    is_error(&value).then(|| fault::decode_error(200, raw))
}

impl Decoder {
    /// Reads one chunk; a whole answer is one, too.
    pub(in crate::wire::gemini) fn chunk(&mut self, value: Value, out: &mut Vec<Event>) -> Result<(), BadField> {
        let mut fields = names::read(value, "", KNOWN)?;
        let (id, model) = (fields.string("responseId")?, fields.string("modelVersion")?);
        if !self.started {
            self.started = true;
            self.id = id.unwrap_or_default();
            let (id, model) = (self.id.clone(), model.unwrap_or_default());
            out.push(Event::Start(Head { origin: Some(ID), id, model, ..Head::default() }));
        }
        let counts = fields.map("usageMetadata")?;
        let candidates = fields.list("candidates")?;
        if candidates.is_empty() {
            self.blocked(fields.peek("promptFeedback"));
        }
        merge(&mut self.extras, fields.rest());
        for (index, candidate) in candidates.into_iter().enumerate() {
            self.candidate(candidate, &format!("candidates[{index}]"), out)?;
        }
        if !counts.is_empty() {
            self.usage.extend(counts);
            out.push(Event::Usage(usage::decode(Value::Object(self.usage.clone()))?));
        }
        Ok(())
    }

    /// No candidate comes when the prompt itself was refused.
    fn blocked(&mut self, feedback: Option<&Value>) {
        let reason = feedback.and_then(|feedback| feedback.get("blockReason").or_else(|| feedback.get("block_reason")));
        if let Some(word) = reason.and_then(Value::as_str) {
            self.choices.entry(0).or_default().stop =
                Some(Stop { raw: Some(word.to_owned()), ..Stop::because(crate::event::StopReason::ContentFilter) });
        }
    }

    fn candidate(&mut self, value: Value, path: &str, out: &mut Vec<Event>) -> Result<(), BadField> {
        let mut fields = names::read(value, path, CANDIDATE)?;
        let choice = fields.u32("index")?.unwrap_or(0);
        self.choices.entry(choice).or_default();
        let word = fields.string("finishReason")?.unwrap_or_default();
        let raw = fields.take("logprobsResult");
        let mut tokens = logprobs::decode(raw.clone())?;
        let mut rest = Extras::new();
        if let Some(mut content) = fields.object("content")? {
            for (index, item) in content.list("parts")?.into_iter().enumerate() {
                self.part(choice, item, &format!("{path}.content.parts[{index}]"), &mut tokens, out)?;
            }
            content.take("role");
            let more = content.rest();
            if !more.is_empty() {
                rest.insert("content".to_owned(), Value::Object(more));
            }
        }
        if !tokens.is_empty() {
            let at = self.lane(choice, false, false, out);
            out.push(Event::Delta { at, text: String::new(), logprobs: tokens });
        }
        let open = self.choices.entry(choice).or_default();
        rest.extend(fields.rest());
        // It says more than the canon holds (the tokens' numbers).
        rest.extend(raw.map(|raw| (LOGPROBS.to_owned(), raw)));
        merge(&mut open.extras, rest);
        if let Some(reason) = response::stop_reason(&word, open.calls > 0 || open.partial.is_some()) {
            open.stop = Some(Stop { choice, reason, raw: Some(word), sequence: None });
        }
        Ok(())
    }

    fn part(
        &mut self,
        choice: u32,
        value: Value,
        path: &str,
        tokens: &mut Vec<crate::event::TokenLogprob>,
        out: &mut Vec<Event>,
    ) -> Result<(), BadField> {
        let mut fields: Fields = part::fields(value, path)?;
        let answer = &self.id;
        let open = self.choices.entry(choice).or_default();
        let nth = open.calls;
        let made = |name: &str| part::made_id(format_args!("{:016x}", hash(answer, choice, nth, name)));
        let part = if partial::is_piece(&fields, open.partial.as_ref()) {
            match partial::take(&mut fields, &mut open.partial, made)? {
                Some(part) => part,
                None => return Ok(()),
            }
        } else {
            part::decode(fields, made)?
        };
        self.decoded(choice, part, tokens, out);
        Ok(())
    }

    /// A part as events.
    fn decoded(&mut self, choice: u32, part: Part, tokens: &mut Vec<crate::event::TokenLogprob>, out: &mut Vec<Event>) {
        match part {
            Part::Text { text, seal, extras, .. } => {
                let tokens = if text.is_empty() { Vec::new() } else { std::mem::take(tokens) };
                self.words(choice, false, (text, tokens), seal, extras, out);
            }
            Part::Reasoning { text, seal, extras, .. } => {
                self.words(choice, true, (text, Vec::new()), seal, extras, out);
            }
            Part::ToolCall { call_id, name, arguments, seal, extras, .. } => {
                self.choices.entry(choice).or_default().calls += 1;
                let at = self.start(choice, PartKind::ToolCall { call_id, name }, out);
                if !arguments.is_empty() {
                    out.push(Event::Delta { at, text: arguments, logprobs: Vec::new() });
                }
                out.extend(seal.map(|seal| Event::Seal { at, seal }));
                out.extend((!extras.is_empty()).then_some(Event::PartExtras { at, extras }));
                out.push(Event::PartEnd { at });
            }
            Part::Media(media) => {
                let at = self.start(choice, PartKind::Media(Box::new(media)), out);
                out.push(Event::PartEnd { at });
            }
            Part::Native { body } => {
                let at = self.start(choice, PartKind::Native(body), out);
                out.push(Event::PartEnd { at });
            }
            Part::Refusal { .. } | Part::ToolResult { .. } => {}
        }
    }

    fn words(
        &mut self,
        choice: u32,
        thought: bool,
        (text, tokens): (String, Vec<crate::event::TokenLogprob>),
        seal: Option<Seal>,
        extras: Extras,
        out: &mut Vec<Event>,
    ) {
        if text.is_empty() && seal.is_none() && extras.is_empty() {
            return;
        }
        let at = self.lane(choice, thought, seal.is_some(), out);
        if let Some(open) = self.choices.get_mut(&choice).filter(|_| !thought) {
            open.text.push_str(&text);
        }
        if !text.is_empty() {
            out.push(Event::Delta { at, text, logprobs: tokens });
        }
        out.extend(seal.map(|seal| Event::Seal { at, seal }));
        out.extend((!extras.is_empty()).then_some(Event::PartExtras { at, extras }));
    }

    /// The part that words of this kind belong to. A part has one seal: a second one begins another part.
    fn lane(&mut self, choice: u32, thought: bool, sealed: bool, out: &mut Vec<Event>) -> PartId {
        let open = self.choices.entry(choice).or_default();
        if let Some(lane) = &mut open.current
            && lane.thought == thought
            && !(lane.sealed && sealed)
        {
            lane.sealed |= sealed;
            return lane.at;
        }
        let kind = if thought { PartKind::Reasoning { summary: true } } else { PartKind::Text };
        let at = self.start(choice, kind, out);
        let open = self.choices.entry(choice).or_default();
        open.text.clear();
        open.current = Some(Lane { at, thought, sealed });
        at
    }

    /// Begins a part, ending the one before it.
    fn start(&mut self, choice: u32, kind: PartKind, out: &mut Vec<Event>) -> PartId {
        if let Some(lane) = self.choices.get_mut(&choice).and_then(|open| open.current.take()) {
            out.push(Event::PartEnd { at: lane.at });
        }
        let at = self.next;
        self.next += 1;
        out.push(Event::PartStart { at, choice, kind });
        at
    }

    /// The bytes ended: complete only when every candidate said why it stopped.
    pub(in crate::wire::gemini) fn close(&mut self, out: &mut Vec<Event>) {
        if self.finished || self.choices.is_empty() || self.choices.values().any(|open| open.stop.is_none()) {
            return;
        }
        self.finished = true;
        let open: Vec<(u32, Partial)> =
            self.choices.iter_mut().filter_map(|(choice, open)| Some((*choice, open.partial.take()?))).collect();
        for (choice, partial) in open {
            self.decoded(choice, partial.into_part(), &mut Vec::new(), out);
        }
        let (mut stops, mut candidates) = (Vec::new(), Vec::new());
        for open in std::mem::take(&mut self.choices).into_values() {
            if let Some(lane) = open.current {
                if !lane.thought {
                    let citations = grounding::decode(&open.extras, &open.text);
                    out.extend(citations.into_iter().map(|citation| Event::Citation { at: lane.at, citation }));
                }
                out.push(Event::PartEnd { at: lane.at });
            }
            stops.extend(open.stop);
            candidates.push(open.extras);
        }
        out.push(Event::Finish(response::finish(stops, candidates, std::mem::take(&mut self.extras))));
    }
}

/// The field whose lists grow from chunk to chunk.
pub(super) const LOGPROBS: &str = "logprobsResult";

/// Takes over what a later chunk says; objects grow field by field.
fn merge(known: &mut Extras, later: Extras) {
    for (key, value) in later {
        match (known.get_mut(&key), value) {
            (Some(Value::Object(mine)), Value::Object(theirs)) if key == LOGPROBS => {
                for (key, value) in theirs {
                    match (mine.get_mut(&key), value) {
                        (Some(Value::Array(mine)), Value::Array(theirs)) => mine.extend(theirs),
                        (_, value) => {
                            mine.insert(key, value);
                        }
                    }
                }
            }
            (Some(Value::Object(mine)), Value::Object(theirs)) => mine.extend(theirs),
            (_, value) => {
                known.insert(key, value);
            }
        }
    }
}

/// FNV-1a over what tells one call from another.
fn hash(answer: &str, choice: u32, nth: u32, name: &str) -> u64 {
    let place = [choice.to_le_bytes(), nth.to_le_bytes()].concat();
    let bytes = answer.bytes().chain(place).chain(name.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
