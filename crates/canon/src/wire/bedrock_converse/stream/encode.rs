//! Events of the canon to messages of the wire. Blocks are written one at a time, and none that is empty; what stands
//! beside a part goes with its start or its first delta. Deltas are written without building a tree.

use crate::Extras;
use crate::event::{Event, Finish, Head, PartKind};
use crate::fault::Fault;
use crate::frame::{write_event, write_exception};
use crate::request::Seal;
use crate::usage::Usage;
use crate::wire::bedrock_converse::{ID, block, citation, fault, media, response};
use crate::wire::in_turn::InTurn;
use crate::wire::writer::join;
use crate::wire::{StreamEncoder, StreamTerms};
use serde_json::{Value, json};

/// Writes messages.
#[derive(Debug)]
pub(in crate::wire::bedrock_converse) struct Encoder {
    turns: InTurn,
    scribe: Scribe,
}

impl Encoder {
    pub(in crate::wire::bedrock_converse) fn new(terms: &StreamTerms) -> Self {
        Self { turns: InTurn::default(), scribe: Scribe { terms: terms.clone(), ..Scribe::default() } }
    }
}

impl StreamEncoder for Encoder {
    fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        let scribe = &mut self.scribe;
        self.turns.take(event, |event| scribe.event(event, out));
    }

    fn fault(&mut self, fault: &Fault, out: &mut Vec<u8>) {
        let body = json!({"message": fault.client_message()});
        write_exception(out, fault::stream_exception(fault), body.to_string().as_bytes());
    }
}

/// Writes what is in turn.
#[derive(Debug, Default)]
struct Scribe {
    terms: StreamTerms,
    started: bool,
    /// Whether the answer came from this very wire, so that its extras and blocks go home.
    home: bool,
    head: Extras,
    usage: Usage,
    open: Option<Open>,
    /// The index of the next block.
    next: usize,
    has_calls: bool,
}

/// The part that is open.
#[derive(Debug)]
struct Open {
    kind: PartKind,
    /// What waits for a start or a delta to go with.
    extras: Extras,
    /// The index of its block, once anything of it is written.
    index: Option<usize>,
    /// Whether words came.
    spoken: bool,
}

impl Scribe {
    fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        match event {
            Event::Start(Head { origin, extras, .. }) => {
                self.home = *origin == Some(ID);
                self.head = extras.clone();
                // It stands in no stream.
                self.head.shift_remove("output");
                self.start(out);
            }
            Event::PartStart { kind, .. } => {
                self.has_calls |= matches!(kind, PartKind::ToolCall { .. });
                self.open = Some(Open { kind: kind.clone(), extras: Extras::new(), index: None, spoken: false });
            }
            Event::PartExtras { extras, .. } if self.home => {
                if let Some(open) = &mut self.open {
                    join(&mut open.extras, extras);
                }
            }
            Event::Delta { text, .. } => self.words(text, out),
            Event::Citation { citation, .. } => {
                if matches!(self.open, Some(Open { kind: PartKind::Text, .. })) {
                    let citation = citation::encode(citation, self.home);
                    self.delta(Extras::from_iter([("citation".to_owned(), citation)]), out);
                }
            }
            Event::Seal { seal, .. } => self.seal(seal, out),
            Event::PartEnd { .. } => self.close(out),
            Event::Usage(usage) => self.usage.merge(usage),
            Event::Native { body: Value::Object(body) } if self.home => {
                for (name, payload) in body {
                    write_event(out, name, payload.to_string().as_bytes());
                }
            }
            // The extras and messages of another wire.
            Event::PartExtras { .. } | Event::Native { .. } => {}
            Event::Finish(finish) => self.finish(finish, out),
        }
    }

    fn start(&mut self, out: &mut Vec<u8>) {
        if self.started {
            return;
        }
        self.started = true;
        let mut body = Extras::from_iter([("role".to_owned(), "assistant".into())]);
        if self.home {
            join(&mut body, &self.head);
        }
        write(out, "messageStart", body);
    }

    /// The index of the open block, which begins now if it did not yet; only a call has a start of its own.
    fn begin(&mut self, out: &mut Vec<u8>) -> Option<usize> {
        let open = self.open.as_mut()?;
        if open.index.is_none() {
            let index = self.next;
            self.next += 1;
            open.index = Some(index);
            if let PartKind::ToolCall { call_id, name } = &open.kind {
                let id = response::call_id(call_id, index, &self.terms);
                let mut start = block::tool_use(&id, name, None);
                join(&mut start, &std::mem::take(&mut open.extras));
                write_start(index, start, out);
            }
        }
        open.index
    }

    /// A piece of words, thinking or arguments; the common case is copied nowhere.
    fn words(&mut self, text: &str, out: &mut Vec<u8>) {
        let Some(index) = self.begin(out).filter(|_| !text.is_empty()) else { return };
        let Some(open) = &mut self.open else { return };
        let (before, after) = match &open.kind {
            PartKind::Text | PartKind::Refusal => ("{\"text\":", "}"),
            PartKind::Reasoning { .. } => ("{\"reasoningContent\":{\"text\":", "}}"),
            PartKind::ToolCall { .. } => ("{\"toolUse\":{\"input\":", "}}"),
            PartKind::Media(_) | PartKind::Native(_) => return,
        };
        open.spoken = true;
        let mut piece = before.as_bytes().to_vec();
        // Writing a string into a Vec cannot fail.
        if serde_json::to_writer(&mut piece, text).is_err() {
            return;
        }
        piece.extend_from_slice(after.as_bytes());
        if open.extras.is_empty() {
            return write_delta(index, &piece, out);
        }
        if let Ok(Value::Object(body)) = serde_json::from_slice(&piece) {
            self.delta(body, out);
        }
    }

    /// A delta that is a tree, with what waits to go with one.
    fn delta(&mut self, mut body: Extras, out: &mut Vec<u8>) {
        let Some(index) = self.begin(out) else { return };
        if let Some(open) = &mut self.open {
            join(&mut body, &std::mem::take(&mut open.extras));
        }
        write_delta(index, Value::Object(body).to_string().as_bytes(), out);
    }

    fn seal(&mut self, seal: &Seal, out: &mut Vec<u8>) {
        let Some(Open { kind: PartKind::Reasoning { .. }, spoken, .. }) = &self.open else { return };
        let key = if seal.redacted && !spoken { "redactedContent" } else { "signature" };
        let data = response::for_client(seal, *spoken).data;
        self.delta(Extras::from_iter([("reasoningContent".to_owned(), json!({ key: data }))]), out);
    }

    /// Ends the part. Of words and thinking that never came nothing is written; a call and a whole block are.
    fn close(&mut self, out: &mut Vec<u8>) {
        let Some(open) = &self.open else { return };
        match &open.kind {
            // Clients read its input as JSON.
            PartKind::ToolCall { .. } if !open.spoken => self.words("{}", out),
            PartKind::Media(media) => {
                if let Some(mut body) = media::encode(media, self.home) {
                    join(&mut body, if self.home { &media.extras } else { &open.extras });
                    self.whole(body, out);
                }
            }
            PartKind::Native(Value::Object(body)) if self.home => {
                let body = body.clone();
                self.whole(body, out);
            }
            // What stands beside no words at all.
            PartKind::Text if !open.extras.is_empty() => {
                self.delta(Extras::from_iter([("text".to_owned(), "".into())]), out);
            }
            PartKind::Reasoning { .. } if !open.extras.is_empty() => {
                self.delta(Extras::from_iter([("reasoningContent".to_owned(), json!({"text": ""}))]), out);
            }
            _ => {}
        }
        if let Some(index) = self.open.take().and_then(|open| open.index) {
            write(out, "contentBlockStop", Extras::from_iter([("contentBlockIndex".to_owned(), index.into())]));
        }
    }

    /// A whole block; its bulk comes as a delta on this wire.
    fn whole(&mut self, mut body: Extras, out: &mut Vec<u8>) {
        let Some(index) = self.begin(out) else { return };
        let bulk = [("toolUse", "input"), ("toolResult", "content"), ("image", "source")].into_iter().find_map(
            |(key, field)| {
                let inner = body.get_mut(key)?.as_object_mut()?;
                Some(match (key, inner.shift_remove(field)?) {
                    ("toolUse", input) => json!({"toolUse": {"input": input.to_string()}}),
                    ("toolResult", content) => json!({"toolResult": content}),
                    (_, source) => json!({"image": {"source": source}}),
                })
            },
        );
        write_start(index, body, out);
        if let Some(bulk) = bulk {
            write_delta(index, bulk.to_string().as_bytes(), out);
        }
    }

    fn finish(&mut self, finish: &Finish, out: &mut Vec<u8>) {
        self.start(out);
        let mut rest = finish.extras.clone();
        let word = response::stop_word(finish.stops.first(), self.has_calls, self.home);
        let mut body = Extras::from_iter([("stopReason".to_owned(), word.into())]);
        if let Some(value) = rest.shift_remove("additionalModelResponseFields").filter(|_| self.home) {
            body.insert("additionalModelResponseFields".to_owned(), value);
        }
        write(out, "messageStop", body);
        let mut body = Extras::new();
        response::encode_end(&self.usage, &rest, self.home, &mut body);
        write(out, "metadata", body);
    }
}

fn write(out: &mut Vec<u8>, name: &str, body: Extras) {
    write_event(out, name, Value::Object(body).to_string().as_bytes());
}

fn write_start(index: usize, start: Extras, out: &mut Vec<u8>) {
    let body = [("start".to_owned(), Value::Object(start)), ("contentBlockIndex".to_owned(), index.into())];
    write(out, "contentBlockStart", Extras::from_iter(body));
}

fn write_delta(index: usize, delta: &[u8], out: &mut Vec<u8>) {
    let place = index.to_string();
    let body = [b"{\"contentBlockIndex\":", place.as_bytes(), b",\"delta\":", delta, b"}"].concat();
    write_event(out, "contentBlockDelta", &body);
}
