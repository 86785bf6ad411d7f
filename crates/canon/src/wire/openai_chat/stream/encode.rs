//! Events to chunks. The fixed part of a chunk is rendered once; a delta is written without building a tree.

use crate::Extras;
use crate::event::{Event, Finish, Head, PartId, PartKind, TokenLogprob};
use crate::fault::Fault;
use crate::json;
use crate::usage::Usage;
use crate::wire::openai_chat::{ID, fault, logprobs, response, usage};
use crate::wire::writer::join;
use crate::wire::{StreamEncoder, StreamTerms};
use serde_json::Value;
use std::collections::BTreeMap;

/// Writes chunks.
#[derive(Debug)]
pub(in crate::wire::openai_chat) struct Encoder {
    terms: StreamTerms,
    /// Whether the answer came from this very wire, so that its extras go home.
    home: bool,
    /// `data: {"id":…,"object":…,"created":…,"model":…` up to the choices.
    prefix: Vec<u8>,
    parts: BTreeMap<PartId, Lane>,
    /// Choices that have said their role, with how many calls they have.
    choices: BTreeMap<u32, u32>,
    usage: Usage,
}

/// Where a part's deltas go.
#[derive(Debug, Clone, Copy)]
struct Lane {
    choice: u32,
    kind: LaneKind,
}

#[derive(Debug, Clone, Copy)]
enum LaneKind {
    Field(&'static str),
    Call(u32),
    Unsaid,
}

impl StreamEncoder for Encoder {
    fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        match event {
            Event::Start(head) => {
                self.home = head.origin == Some(ID);
                self.prefix = prefix(head, &self.terms);
            }
            Event::PartStart { at, choice, kind } => self.part_start(*at, *choice, kind, out),
            Event::Delta { at, text, logprobs } => self.delta(*at, text, logprobs, out),
            Event::Citation { at, citation } => {
                if let Some(lane) = self.parts.get(at).copied() {
                    let annotation = response::encode_annotation(citation, self.home).to_string();
                    self.chunk(lane.choice, &[b"\"annotations\":[", annotation.as_bytes(), b"]"], None, None, out);
                }
            }
            Event::Usage(usage) => self.usage.merge(usage),
            Event::Finish(finish) => self.finish(finish, out),
            Event::PartExtras { at, extras } if self.home => self.call_extras(*at, extras, out),
            Event::Seal { .. } | Event::PartExtras { .. } | Event::PartEnd { .. } | Event::Native { .. } => {}
        }
    }

    fn fault(&mut self, fault: &Fault, out: &mut Vec<u8>) {
        crate::frame::write_sse(out, "", fault::encode_error(fault).to_string().as_bytes());
    }
}

impl Encoder {
    pub(in crate::wire::openai_chat) fn new(terms: &StreamTerms) -> Self {
        Self {
            terms: terms.clone(),
            home: false,
            prefix: prefix(&Head::default(), terms),
            parts: BTreeMap::new(),
            choices: BTreeMap::new(),
            usage: Usage::default(),
        }
    }

    /// The first delta of a choice names the role.
    fn role(&mut self, choice: u32, out: &mut Vec<u8>) {
        if let std::collections::btree_map::Entry::Vacant(entry) = self.choices.entry(choice) {
            entry.insert(0);
            self.chunk(choice, &[b"\"role\":\"assistant\",\"content\":\"\""], None, None, out);
        }
    }

    fn part_start(&mut self, at: PartId, choice: u32, kind: &PartKind, out: &mut Vec<u8>) {
        self.role(choice, out);
        let kind = match kind {
            PartKind::Text => LaneKind::Field("content"),
            PartKind::Refusal => LaneKind::Field("refusal"),
            PartKind::Reasoning { .. } => LaneKind::Field("reasoning_content"),
            PartKind::ToolCall { call_id, name } => {
                let index = self.call_index(choice);
                let (place, id, name) = (index.to_string(), quoted(call_id), quoted(name));
                let pieces: [&[u8]; 7] = [
                    b"\"tool_calls\":[{\"index\":",
                    place.as_bytes(),
                    b",\"id\":",
                    &id,
                    b",\"type\":\"function\",\"function\":{\"name\":",
                    &name,
                    b",\"arguments\":\"\"}}]",
                ];
                self.chunk(choice, &pieces, None, None, out);
                LaneKind::Call(index)
            }
            // A call of a kind that only this wire knows.
            PartKind::Native(Value::Object(body)) if self.home => {
                let mut call = Extras::from_iter([("index".to_owned(), self.call_index(choice).into())]);
                call.extend(body.clone());
                self.call_piece(choice, call, out);
                LaneKind::Unsaid
            }
            PartKind::Media(_) | PartKind::Native(_) => LaneKind::Unsaid,
        };
        self.parts.insert(at, Lane { choice, kind });
    }

    /// The place of the next call of a choice.
    fn call_index(&mut self, choice: u32) -> u32 {
        let calls = self.choices.entry(choice).or_default();
        *calls += 1;
        *calls - 1
    }

    /// What stands beside a call.
    fn call_extras(&mut self, at: PartId, extras: &Extras, out: &mut Vec<u8>) {
        if let Some(Lane { choice, kind: LaneKind::Call(index) }) = self.parts.get(&at).copied() {
            let mut call = Extras::from_iter([("index".to_owned(), index.into())]);
            // Beside a function every later piece has arguments.
            call.insert("function".to_owned(), serde_json::json!({"arguments": ""}));
            join(&mut call, extras);
            self.call_piece(choice, call, out);
        }
    }

    fn call_piece(&mut self, choice: u32, call: Extras, out: &mut Vec<u8>) {
        let call = Value::Object(call).to_string();
        self.chunk(choice, &[b"\"tool_calls\":[", call.as_bytes(), b"]"], None, None, out);
    }

    fn delta(&mut self, at: PartId, text: &str, tokens: &[TokenLogprob], out: &mut Vec<u8>) {
        let Some(lane) = self.parts.get(&at).copied() else { return };
        let text = quoted(text);
        let probabilities = (!tokens.is_empty()).then(|| logprobs::encode(tokens).to_string());
        match lane.kind {
            LaneKind::Field(field) => {
                let pieces: [&[u8]; 4] = [b"\"", field.as_bytes(), b"\":", &text];
                self.chunk(lane.choice, &pieces, probabilities.as_deref(), None, out);
            }
            LaneKind::Call(index) => {
                let place = index.to_string();
                let pieces: [&[u8]; 5] =
                    [b"\"tool_calls\":[{\"index\":", place.as_bytes(), b",\"function\":{\"arguments\":", &text, b"}}]"];
                self.chunk(lane.choice, &pieces, None, None, out);
            }
            LaneKind::Unsaid => {}
        }
    }

    fn finish(&mut self, finish: &Finish, out: &mut Vec<u8>) {
        for stop in &finish.stops {
            self.role(stop.choice, out);
            let has_calls = self.choices.get(&stop.choice).is_some_and(|calls| *calls > 0);
            self.chunk(stop.choice, &[], None, Some(response::stop_word(stop, has_calls)), out);
        }
        if self.terms.usage {
            out.extend_from_slice(&self.prefix);
            out.extend_from_slice(b",\"choices\":[],\"usage\":");
            out.extend_from_slice(usage::encode_usage(&self.usage, self.home).to_string().as_bytes());
            out.extend_from_slice(b"}\n\n");
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }

    fn chunk(&self, choice: u32, delta: &[&[u8]], logprobs: Option<&str>, finish: Option<&str>, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.prefix);
        out.extend_from_slice(b",\"choices\":[{\"index\":");
        out.extend_from_slice(choice.to_string().as_bytes());
        out.extend_from_slice(b",\"delta\":{");
        for piece in delta {
            out.extend_from_slice(piece);
        }
        out.extend_from_slice(b"},\"logprobs\":");
        out.extend_from_slice(logprobs.unwrap_or("null").as_bytes());
        match finish {
            Some(word) => {
                out.extend_from_slice(b",\"finish_reason\":\"");
                out.extend_from_slice(word.as_bytes());
                out.extend_from_slice(b"\"}]}\n\n");
            }
            None => out.extend_from_slice(b",\"finish_reason\":null}]}\n\n"),
        }
    }
}

fn prefix(head: &Head, terms: &StreamTerms) -> Vec<u8> {
    let mut out = b"data: {\"id\":".to_vec();
    out.extend_from_slice(&quoted(&response::answer_id(head, terms)));
    out.extend_from_slice(b",\"object\":\"chat.completion.chunk\",\"created\":");
    out.extend_from_slice(head.created.unwrap_or(terms.created).to_string().as_bytes());
    out.extend_from_slice(b",\"model\":");
    out.extend_from_slice(&quoted(&response::model(head, terms)));
    out
}

/// `text` as a JSON string.
fn quoted(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 2);
    json::string(text, &mut out);
    out
}
