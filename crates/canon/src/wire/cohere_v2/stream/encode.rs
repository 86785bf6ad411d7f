//! Events of the canon to events of the wire. Parts are written one at a time, and none that is empty; what stands
//! beside a part stands where it starts. Deltas are written without building a tree.

use crate::Extras;
use crate::event::{Event, Finish, Head, PartKind, TokenLogprob};
use crate::fault::Fault;
use crate::frame::write_sse;
use crate::request::Citation;
use crate::usage::Usage;
use crate::wire::cohere_v2::{ID, citation, part, response, usage};
use crate::wire::in_turn::InTurn;
use crate::wire::openai_chat::pieces;
use crate::wire::writer::join;
use crate::wire::{StreamEncoder, StreamTerms};
use serde_json::{Value, json};

/// Writes events.
#[derive(Debug)]
pub(in crate::wire::cohere_v2) struct Encoder {
    turns: InTurn,
    scribe: Scribe,
}

impl Encoder {
    pub(in crate::wire::cohere_v2) fn new(terms: &StreamTerms) -> Self {
        Self { turns: InTurn::default(), scribe: Scribe { terms: terms.clone(), ..Scribe::default() } }
    }
}

impl StreamEncoder for Encoder {
    fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        let scribe = &mut self.scribe;
        self.turns.take(event, |event| scribe.event(event, out));
    }

    fn fault(&mut self, fault: &Fault, out: &mut Vec<u8>) {
        let delta = json!({"finish_reason": "ERROR", "error": fault.client_message()});
        write(out, &json!({"type": "message-end", "delta": delta}));
    }
}

/// Writes what is in turn.
#[derive(Debug, Default)]
struct Scribe {
    terms: StreamTerms,
    started: bool,
    /// Whether the answer came from this very wire, so that its extras and events go home.
    home: bool,
    head: Head,
    usage: Usage,
    open: Option<Open>,
    contents: usize,
    calls: usize,
    citations: usize,
}

/// The part that is open.
#[derive(Debug)]
struct Open {
    kind: PartKind,
    extras: Extras,
    /// The number of its content or call, once anything of it is written.
    index: Option<usize>,
    spoken: bool,
}

impl Open {
    fn is_plan(&self) -> bool {
        self.extras.contains_key(part::PLAN)
    }
}

impl Scribe {
    fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        match event {
            Event::Start(head) => {
                self.home = head.origin == Some(ID);
                self.head = head.clone();
                self.start(out);
            }
            Event::PartStart { kind, .. } => {
                self.open = Some(Open { kind: kind.clone(), extras: Extras::new(), index: None, spoken: false });
            }
            Event::PartExtras { extras, .. } if self.home => {
                if let Some(open) = &mut self.open {
                    // Marks of our own included: one says that it is a plan.
                    open.extras.extend(extras.clone());
                }
            }
            Event::Delta { text, logprobs, .. } => self.words(text, logprobs, out),
            Event::Citation { citation, .. } => self.citation(citation, out),
            Event::PartEnd { .. } => self.close(out),
            Event::Usage(usage) => self.usage.merge(usage),
            Event::Native { body } if self.home => write(out, body),
            // The wire has no place for proofs, nor for what another wire said beside.
            Event::Seal { .. } | Event::PartExtras { .. } | Event::Native { .. } => {}
            Event::Finish(finish) => self.finish(finish, out),
        }
    }

    fn start(&mut self, out: &mut Vec<u8>) {
        if self.started {
            return;
        }
        self.started = true;
        let message = json!({"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []});
        let id = response::answer_id(&self.head, &self.terms);
        write(out, &json!({"id": id, "type": "message-start", "delta": {"message": message}}));
    }

    /// The number of the open part, which begins now if it did not yet; a plan has neither.
    fn begin(&mut self, out: &mut Vec<u8>) -> Option<usize> {
        let open = self.open.as_mut()?;
        if open.index.is_some() || open.is_plan() {
            return open.index;
        }
        let is_call = matches!(open.kind, PartKind::ToolCall { .. });
        let count = if is_call { &mut self.calls } else { &mut self.contents };
        let index = *count;
        let (event, key, mut body) = match &open.kind {
            PartKind::Text | PartKind::Refusal => ("content-start", "content", json!({"type": "text", "text": ""})),
            PartKind::Reasoning { .. } => ("content-start", "content", json!({"type": "thinking", "thinking": ""})),
            PartKind::ToolCall { call_id, name } => {
                let id = response::call_id(call_id, name, index, &self.terms);
                let function = json!({"name": name, "arguments": ""});
                ("tool-call-start", "tool_calls", json!({"id": id, "type": "function", "function": function}))
            }
            PartKind::Media(_) | PartKind::Native(_) => return None,
        };
        *count += 1;
        open.index = Some(index);
        if let Value::Object(body) = &mut body {
            join(body, &open.extras);
        }
        write(out, &json!({"type": event, "index": index, "delta": {"message": {key: body}}}));
        Some(index)
    }

    /// A piece of words, thinking, a plan or arguments.
    fn words(&mut self, text: &str, logprobs: &[TokenLogprob], out: &mut Vec<u8>) {
        if text.is_empty() && logprobs.is_empty() {
            return;
        }
        let index = self.begin(out);
        let Some(open) = &mut self.open else { return };
        let (event, before, after) = match &open.kind {
            PartKind::Reasoning { .. } if open.is_plan() => ("tool-plan-delta", "\"tool_plan\":", ""),
            PartKind::Text | PartKind::Refusal => ("content-delta", "\"content\":{\"text\":", "}"),
            PartKind::Reasoning { .. } => ("content-delta", "\"content\":{\"thinking\":", "}"),
            PartKind::ToolCall { .. } => ("tool-call-delta", "\"tool_calls\":{\"function\":{\"arguments\":", "}}"),
            PartKind::Media(_) | PartKind::Native(_) => return,
        };
        open.spoken = true;
        let place = index.map(|index| format!(",\"index\":{index}")).unwrap_or_default();
        let mut body = format!("{{\"type\":\"{event}\"{place},\"delta\":{{\"message\":{{{before}").into_bytes();
        // Writing a string into a Vec cannot fail.
        if serde_json::to_writer(&mut body, text).is_err() {
            return;
        }
        body.extend_from_slice(after.as_bytes());
        body.extend_from_slice(b"}}");
        if let Some(token) = logprobs.first() {
            // One piece of text a delta.
            let all = TokenLogprob {
                token: logprobs.iter().map(|token| token.token.as_str()).collect(),
                logprob: logprobs.iter().map(|token| token.logprob).sum(),
                ..token.clone()
            };
            body.extend_from_slice(b",\"logprobs\":");
            body.extend_from_slice(response::encode_logprob(&all).to_string().as_bytes());
        }
        body.push(b'}');
        write_sse(out, event, &body);
    }

    fn citation(&mut self, citation: &Citation, out: &mut Vec<u8>) {
        if !matches!(self.open, Some(Open { kind: PartKind::Text, .. })) {
            return;
        }
        let Some(place) = self.begin(out) else { return };
        let index = self.citations;
        self.citations += 1;
        let body = citation::encode(citation, place, self.home);
        write(out, &json!({"type": "citation-start", "index": index, "delta": {"message": {"citations": body}}}));
        write(out, &json!({"type": "citation-end", "index": index}));
    }

    /// Ends the part. Of words and thinking that never came nothing is written; a call is.
    fn close(&mut self, out: &mut Vec<u8>) {
        let Some(open) = &self.open else { return };
        let is_call = matches!(open.kind, PartKind::ToolCall { .. });
        if is_call && !open.spoken {
            // Clients read its arguments as JSON.
            self.words("{}", &[], out);
        } else if !open.spoken && open.extras.keys().any(|key| !key.starts_with('~')) {
            self.begin(out);
        }
        if let Some(index) = self.open.take().and_then(|open| open.index) {
            write(out, &json!({"type": if is_call { "tool-call-end" } else { "content-end" }, "index": index}));
        }
    }

    fn finish(&mut self, finish: &Finish, out: &mut Vec<u8>) {
        self.start(out);
        let word = response::stop_word(finish.stops.first(), self.calls > 0, self.home);
        let mut delta = pieces::object(json!({"finish_reason": word, "usage": usage::encode(&self.usage, self.home)}));
        if self.home {
            join(&mut delta, &finish.extras);
        }
        let id = response::answer_id(&self.head, &self.terms);
        write(out, &json!({"id": id, "type": "message-end", "delta": delta}));
        out.extend_from_slice(b"data: [DONE]\n\n");
    }
}

/// Writes an event under its own type's name.
fn write(out: &mut Vec<u8>, body: &Value) {
    let kind = body.get("type").and_then(Value::as_str).unwrap_or_default();
    // A name of a stranger breaks no line.
    let name = if kind.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-') { kind } else { "" };
    write_sse(out, name, body.to_string().as_bytes());
}
