//! Events of the canon to events of the wire. Blocks are written one at a time: parts that begin while another is
//! open wait for its end. A block is opened only when something of it is known, so that none is empty, and what stands
//! beside a part stands where its block begins. Deltas are written without building a tree.

use crate::Extras;
use crate::event::{Event, Finish, Head, PartId, PartKind};
use crate::fault::Fault;
use crate::frame::write_sse;
use crate::request::Seal;
use crate::usage::Usage;
use crate::wire::anthropic_messages::usage::encode_usage;
use crate::wire::anthropic_messages::{ID, add, block, citation, fault, response};
use crate::wire::{StreamEncoder, StreamTerms};
use serde_json::{Value, json};
use std::collections::VecDeque;

/// Writes events.
#[derive(Debug)]
pub(in crate::wire::anthropic_messages) struct Encoder {
    terms: StreamTerms,
    /// The head, until `message_start` is written: a usage report that follows at once belongs into it.
    head: Option<Head>,
    started: bool,
    /// Whether the answer came from this very wire, so that its extras and blocks go home.
    home: bool,
    usage: Usage,
    /// Parts in order of appearance; the first is the one that may write.
    lanes: VecDeque<Lane>,
    /// The index of the next block.
    next: usize,
    has_calls: bool,
    has_refusal: bool,
}

/// One part on its way.
#[derive(Debug)]
struct Lane {
    at: PartId,
    kind: PartKind,
    extras: Extras,
    /// The index of its block, once that is open.
    block: Option<usize>,
    /// What waits for its turn.
    waiting: Vec<Step>,
    ended: bool,
}

/// What may happen to a part.
#[derive(Debug)]
enum Step {
    Words(String),
    Citation(Value),
    Seal(Seal),
}

impl StreamEncoder for Encoder {
    fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        match event {
            Event::Start(head) => {
                self.home = head.origin == Some(ID);
                self.head = Some(head.clone());
            }
            Event::Usage(usage) => self.usage.merge(usage),
            Event::PartStart { at, choice: 0, kind } => {
                self.start(out);
                self.part_start(*at, kind);
            }
            // The wire has room for one choice.
            Event::PartStart { .. } => {}
            Event::Delta { at, text, .. } => self.delta(*at, text, out),
            Event::Citation { at, citation } => {
                self.step(*at, Step::Citation(citation::encode(citation, self.home)), out)
            }
            Event::Seal { at, seal } => self.step(*at, Step::Seal(seal.clone()), out),
            Event::PartExtras { at, extras } if self.home => {
                if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.at == *at) {
                    lane.extras.extend(extras.clone());
                }
            }
            Event::PartEnd { at } => {
                if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.at == *at) {
                    lane.ended = true;
                    self.drain(out);
                }
            }
            Event::Native { body } if self.home => {
                let kind = body.get("type").and_then(Value::as_str).unwrap_or_default();
                if !kind.is_empty() && kind.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') {
                    self.start(out);
                    write_sse(out, kind, body.to_string().as_bytes());
                }
            }
            // The extras and frames of another wire.
            Event::PartExtras { .. } | Event::Native { .. } => {}
            Event::Finish(finish) => self.finish(finish, out),
        }
    }

    fn fault(&mut self, fault: &Fault, out: &mut Vec<u8>) {
        let id = Some(self.terms.id.as_str()).filter(|id| !id.is_empty());
        write_sse(out, "error", fault::encode_error(fault, id).to_string().as_bytes());
    }
}

impl Encoder {
    pub(in crate::wire::anthropic_messages) fn new(terms: &StreamTerms) -> Self {
        Self {
            terms: terms.clone(),
            head: None,
            started: false,
            home: false,
            usage: Usage::default(),
            lanes: VecDeque::new(),
            next: 0,
            has_calls: false,
            has_refusal: false,
        }
    }

    /// Writes `message_start`, once.
    fn start(&mut self, out: &mut Vec<u8>) {
        if self.started {
            return;
        }
        self.started = true;
        let head = self.head.take().unwrap_or_default();
        let mut message = response::encode_head(&head, &self.terms, Vec::new());
        message.insert("stop_reason".to_owned(), Value::Null);
        message.insert("stop_sequence".to_owned(), Value::Null);
        message.insert("usage".to_owned(), encode_usage(&self.usage, self.home));
        if self.home {
            add(&mut message, &head.extras);
        }
        let body = json!({"type": "message_start", "message": message});
        write_sse(out, "message_start", body.to_string().as_bytes());
    }

    fn part_start(&mut self, at: PartId, kind: &PartKind) {
        self.has_calls |= matches!(kind, PartKind::ToolCall { .. });
        self.has_refusal |= matches!(kind, PartKind::Refusal);
        self.lanes.push_back(Lane {
            at,
            kind: kind.clone(),
            extras: Extras::new(),
            block: None,
            waiting: Vec::new(),
            ended: false,
        });
    }

    /// The common case, a piece of the part whose block is open, is written at once and copied nowhere.
    fn delta(&mut self, at: PartId, text: &str, out: &mut Vec<u8>) {
        if text.is_empty() {
            return;
        }
        match self.lanes.front() {
            Some(Lane { at: front, block: Some(index), kind, .. }) if *front == at => {
                write_words(*index, kind, text, out);
            }
            _ => self.step(at, Step::Words(text.to_owned()), out),
        }
    }

    fn step(&mut self, at: PartId, step: Step, out: &mut Vec<u8>) {
        if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.at == at) {
            lane.waiting.push(step);
            self.drain(out);
        }
    }

    /// Writes what the first part has, and goes on to the next one where it has ended.
    fn drain(&mut self, out: &mut Vec<u8>) {
        while let Some(lane) = self.lanes.front_mut() {
            let steps = std::mem::take(&mut lane.waiting);
            for step in steps {
                lane.write(step, &mut self.next, &self.terms, out);
            }
            if !lane.ended {
                return;
            }
            lane.close(self.home, &mut self.next, &self.terms, out);
            self.lanes.pop_front();
        }
    }

    fn finish(&mut self, finish: &Finish, out: &mut Vec<u8>) {
        self.start(out);
        for lane in &mut self.lanes {
            lane.ended = true;
        }
        self.drain(out);
        let stop = finish.stops.first();
        let reason = stop.map_or(crate::event::StopReason::Other, |stop| stop.reason);
        let mut delta = Extras::new();
        let word = response::stop_word(reason, self.has_calls, self.has_refusal);
        delta.insert("stop_reason".to_owned(), word.into());
        delta.insert("stop_sequence".to_owned(), stop.and_then(|stop| stop.sequence.clone()).into());
        let mut body = Extras::new();
        body.insert("type".to_owned(), "message_delta".into());
        let mut rest = if self.home { finish.extras.clone() } else { Extras::new() };
        for key in ["stop_details", "container"] {
            if let Some(value) = rest.shift_remove(key) {
                delta.insert(key.to_owned(), value);
            }
        }
        body.insert("delta".to_owned(), Value::Object(delta));
        body.insert("usage".to_owned(), encode_usage(&self.usage, self.home));
        add(&mut body, &rest);
        write_sse(out, "message_delta", Value::Object(body).to_string().as_bytes());
        write_sse(out, "message_stop", br#"{"type":"message_stop"}"#);
    }
}

impl Lane {
    fn write(&mut self, step: Step, next: &mut usize, terms: &StreamTerms, out: &mut Vec<u8>) {
        match step {
            // Whole parts have no words.
            Step::Words(_) if matches!(self.kind, PartKind::Media(_) | PartKind::Native(_)) => {}
            Step::Words(text) => {
                let index = self.open(None, next, terms, out);
                write_words(index, &self.kind, &text, out);
            }
            Step::Citation(value) => {
                if matches!(self.kind, PartKind::Text) {
                    let index = self.open(None, next, terms, out);
                    write_delta(index, &json!({"type": "citations_delta", "citation": value}), out);
                }
            }
            Step::Seal(seal) => {
                if matches!(self.kind, PartKind::Reasoning { .. }) {
                    let whole = seal.redacted && self.block.is_none();
                    let index = self.open(Some(&seal), next, terms, out);
                    if !whole {
                        write_delta(index, &json!({"type": "signature_delta", "signature": seal.data}), out);
                    }
                }
            }
        }
    }

    /// The index of the block, which is opened when it is not yet.
    fn open(&mut self, seal: Option<&Seal>, next: &mut usize, terms: &StreamTerms, out: &mut Vec<u8>) -> usize {
        if let Some(index) = self.block {
            return index;
        }
        let index = *next;
        *next += 1;
        self.block = Some(index);
        let mut body = match &self.kind {
            PartKind::Reasoning { .. } => block::thinking("", seal.filter(|seal| seal.redacted)),
            PartKind::ToolCall { call_id, name } => {
                let id = response::call_id(call_id, index, terms);
                block::tool_use(&id, name, Value::Object(Extras::new()))
            }
            PartKind::Native(Value::Object(body)) => body.clone(),
            PartKind::Text | PartKind::Refusal | PartKind::Media(_) | PartKind::Native(_) => {
                block::text("", &[], false)
            }
        };
        add(&mut body, &self.extras);
        let event = json!({"type": "content_block_start", "index": index, "content_block": body});
        write_sse(out, "content_block_start", event.to_string().as_bytes());
        index
    }

    /// Ends the part. Of words and thinking that never came nothing is written; a call and a whole block are.
    fn close(&mut self, home: bool, next: &mut usize, terms: &StreamTerms, out: &mut Vec<u8>) {
        match &self.kind {
            PartKind::ToolCall { .. } => {
                self.open(None, next, terms, out);
            }
            PartKind::Native(body) => {
                let Some(body) = body.as_object().filter(|_| home) else { return };
                self.open_native(body.clone(), next, terms, out);
            }
            PartKind::Text | PartKind::Refusal | PartKind::Reasoning { .. } | PartKind::Media(_) => {}
        }
        if let Some(index) = self.block {
            let event = format!("{{\"type\":\"content_block_stop\",\"index\":{index}}}");
            write_sse(out, "content_block_stop", event.as_bytes());
        }
    }

    /// A whole block; the input of a server's call comes as deltas on this wire.
    fn open_native(&mut self, mut body: Extras, next: &mut usize, terms: &StreamTerms, out: &mut Vec<u8>) {
        let called = body.get("type").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("_tool_use"));
        let input = match body.get_mut("input") {
            Some(Value::Object(input)) if called && !input.is_empty() => Some(Value::Object(std::mem::take(input))),
            _ => None,
        };
        self.kind = PartKind::Native(Value::Object(body));
        let index = self.open(None, next, terms, out);
        if let Some(input) = input {
            write_delta(index, &json!({"type": "input_json_delta", "partial_json": input.to_string()}), out);
        }
    }
}

fn write_delta(index: usize, delta: &Value, out: &mut Vec<u8>) {
    let event = json!({"type": "content_block_delta", "index": index, "delta": delta});
    write_sse(out, "content_block_delta", event.to_string().as_bytes());
}

/// Writes a piece of words, thinking or arguments.
fn write_words(index: usize, kind: &PartKind, text: &str, out: &mut Vec<u8>) {
    let field: &[u8] = match kind {
        PartKind::Text | PartKind::Refusal => b"text_delta\",\"text\":",
        PartKind::Reasoning { .. } => b"thinking_delta\",\"thinking\":",
        PartKind::ToolCall { .. } => b"input_json_delta\",\"partial_json\":",
        PartKind::Media(_) | PartKind::Native(_) => return,
    };
    let place = index.to_string();
    out.extend_from_slice(b"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":");
    out.extend_from_slice(place.as_bytes());
    out.extend_from_slice(b",\"delta\":{\"type\":\"");
    out.extend_from_slice(field);
    let at = out.len();
    // Writing a string into a Vec cannot fail.
    if serde_json::to_writer(&mut *out, text).is_err() {
        out.truncate(at);
        out.extend_from_slice(b"\"\"");
    }
    out.extend_from_slice(b"}}\n\n");
}
