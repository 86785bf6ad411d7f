//! Our events to the wire's, in the order that its clients act on: the response, its items one after the other, the
//! parts of each, and the whole response again.

use super::line::Line;
use crate::Extras;
use crate::answer::{empty_part, grow};
use crate::event::{Event, Finish, Head, PartId, PartKind, TokenLogprob};
use crate::fault::Fault;
use crate::request::{Citation, Part};
use crate::usage::Usage;
use crate::wire::openai_responses::echo::{Echo, State, status};
use crate::wire::openai_responses::fault;
use crate::wire::openai_responses::items::HOME;
use crate::wire::openai_responses::logprobs;
use crate::wire::openai_responses::output::{Kind, call_arguments, encode_item, same_output_item};
use crate::wire::openai_responses::request::pieces::{encode_citation, encode_said};
use crate::wire::{StreamEncoder, StreamTerms};
use serde_json::{Value, json};

/// Writes the wire's events.
#[derive(Debug)]
pub(in crate::wire::openai_responses) struct Encoder {
    terms: StreamTerms,
    echo: Echo,
    started: bool,
    sequence: u64,
    /// Finished items.
    output: Vec<Value>,
    item: Option<Open>,
    /// A part that has begun; whether it begins an item of its own is known with its next event.
    waiting: Option<(PartId, PartKind)>,
    /// Whether a native item was announced by a frame of its own.
    announced: bool,
    usage: Usage,
}

/// The item that is being written.
#[derive(Debug)]
struct Open {
    kind: Kind,
    id: String,
    parts: Vec<Part>,
    /// The part that deltas belong to, while it is open.
    current: Option<PartId>,
    /// Summaries and texts of thinking that were begun.
    pieces: [usize; 2],
    /// Whether the current part has words that the client saw begin.
    begun: bool,
}

impl StreamEncoder for Encoder {
    fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        match event {
            Event::Start(head) => self.start(head, out),
            Event::PartStart { at, choice: 0, kind } => {
                self.flush(out);
                self.waiting = Some((*at, kind.clone()));
            }
            Event::PartStart { .. } => {}
            Event::Delta { at, text, logprobs } => {
                if self.reach(*at, None, out) {
                    self.delta(text, logprobs, out);
                }
            }
            Event::Citation { at, citation } => {
                if self.reach(*at, None, out) {
                    self.citation(citation, out);
                }
            }
            Event::Seal { at, seal } => {
                if self.reach(*at, None, out)
                    && let Some(Part::Reasoning { seal: mine, .. }) = self.part()
                {
                    *mine = Some(seal.clone());
                }
            }
            Event::PartExtras { at, extras } => {
                if self.reach(*at, extras.get(HOME), out)
                    && let Some(mine) = self.part().and_then(Part::extras_mut)
                {
                    mine.extend(extras.clone());
                }
            }
            Event::PartEnd { at } => {
                if self.reach(*at, None, out) {
                    self.part_end(out);
                }
            }
            Event::Usage(usage) => self.usage.merge(usage),
            Event::Finish(finish) => self.finish(finish, out),
            Event::Native { body } => self.native_frame(body, out),
        }
    }

    fn fault(&mut self, fault: &Fault, out: &mut Vec<u8>) {
        self.start(&Head::default(), out);
        let state = State {
            status: "failed",
            error: Some(fault::encode_failed(fault)),
            output: self.output.clone(),
            usage: Some(&self.usage),
            ..State::default()
        };
        let response = self.echo.object(state);
        self.line("response.failed", out).say("response", &response).end();
    }
}

impl Encoder {
    pub(in crate::wire::openai_responses) fn new(terms: &StreamTerms) -> Self {
        Self {
            terms: terms.clone(),
            echo: Echo::new(&Head::default(), terms),
            started: false,
            sequence: 0,
            output: Vec::new(),
            item: None,
            waiting: None,
            announced: false,
            usage: Usage::default(),
        }
    }

    fn line<'a>(&mut self, name: &str, out: &'a mut Vec<u8>) -> Line<'a> {
        let sequence = self.sequence;
        self.sequence += 1;
        Line::new(out, name, sequence)
    }

    /// An event about the open item.
    fn item_line<'a>(&mut self, name: &str, out: &'a mut Vec<u8>) -> Line<'a> {
        let index = self.output.len();
        let line = self.line(name, out);
        let id = self.item.as_ref().map(|item| item.id.as_str()).unwrap_or_default();
        line.say("item_id", id).say("output_index", &index)
    }

    fn start(&mut self, head: &Head, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        self.echo.begin(head, &self.terms);
        let response = self.echo.object(State { status: "in_progress", ..State::default() });
        for name in ["response.created", "response.in_progress"] {
            self.line(name, out).say("response", &response).end();
        }
    }

    /// The current part.
    fn part(&mut self) -> Option<&mut Part> {
        self.item.as_mut().and_then(|item| item.parts.last_mut())
    }

    /// Opens the waiting part, where there is one.
    fn flush(&mut self, out: &mut Vec<u8>) {
        if let Some((at, kind)) = self.waiting.take() {
            self.open(at, &kind, None, out);
        }
    }

    /// Whether `at` is the current part; it is opened when it waits. `home`: it begins an item, with this bookkeeping.
    fn reach(&mut self, at: PartId, home: Option<&Value>, out: &mut Vec<u8>) -> bool {
        if let Some((_, kind)) = self.waiting.take_if(|(waiting, _)| *waiting == at) {
            self.open(at, &kind, home, out);
        }
        self.item.as_ref().is_some_and(|item| item.current == Some(at))
    }

    fn open(&mut self, at: PartId, kind: &PartKind, home: Option<&Value>, out: &mut Vec<u8>) {
        let mut part = empty_part(kind);
        if let (Some(home), Some(extras)) = (home, part.extras_mut()) {
            extras.insert(HOME.to_owned(), home.clone());
        }
        let Some(kind) = Kind::of(&part, self.echo.home) else { return };
        self.content_end(out);
        let last = self.item.as_ref().and_then(|item| item.parts.last());
        if !last.is_some_and(|last| same_output_item(last, &part)) {
            self.item_end("completed", out);
            self.item_start(kind, &part, out);
        }
        if let Some(item) = &mut self.item {
            item.parts.push(part);
            item.current = Some(at);
            item.begun = false;
        }
        match kind {
            Kind::Message => self.content_start(out),
            Kind::Native | Kind::Picture => self.item_end("completed", out),
            _ => {}
        }
    }

    fn item_start(&mut self, kind: Kind, first: &Part, out: &mut Vec<u8>) {
        let (home, place) = (self.echo.home, self.output.len());
        let id = kind.id(first, home, &self.echo.id, place);
        if !std::mem::take(&mut self.announced) {
            let parts = if matches!(kind, Kind::Message | Kind::Reasoning) {
                [].as_slice()
            } else {
                std::slice::from_ref(first)
            };
            let mut item = encode_item(kind, parts, &id, "in_progress", home);
            if let (Kind::Picture, Value::Object(fields)) = (kind, &mut item) {
                fields.insert("result".to_owned(), Value::Null);
            }
            self.line("response.output_item.added", out).say("output_index", &place).say("item", &item).end();
        }
        self.item = Some(Open { kind, id, parts: Vec::new(), current: None, pieces: [0; 2], begun: false });
    }

    fn item_end(&mut self, status: &str, out: &mut Vec<u8>) {
        self.content_end(out);
        let Some(item) = self.item.take() else { return };
        let value = encode_item(item.kind, &item.parts, &item.id, status, self.echo.home);
        let place = self.output.len();
        self.line("response.output_item.done", out).say("output_index", &place).say("item", &value).end();
        self.output.push(value);
    }

    /// Begins the words of the current part.
    fn content_start(&mut self, out: &mut Vec<u8>) {
        let Some(item) = &mut self.item else { return };
        item.begun = true;
        let Some(part) = item.parts.last() else { return };
        if let Part::Reasoning { summary, .. } = part {
            let (kind, at) = if *summary { ("summary_text", 0) } else { ("reasoning_text", 1) };
            item.pieces[at] += 1;
            let index = item.pieces[at] - 1;
            let name = if *summary { "response.reasoning_summary_part.added" } else { "response.content_part.added" };
            let key = index_key(*summary);
            let piece = json!({"type": kind, "text": ""});
            self.item_line(name, out).say(key, &index).say("part", &piece).end();
        } else if let Some(piece) = encode_said(part, false) {
            let index = item.parts.len() - 1;
            self.item_line("response.content_part.added", out).say("content_index", &index).say("part", &piece).end();
        }
    }

    fn delta(&mut self, text: &str, tokens: &[TokenLogprob], out: &mut Vec<u8>) {
        let Some(part) = self.part() else { return };
        grow(part, text, tokens);
        if text.is_empty() && tokens.is_empty() {
            return;
        }
        if self.item.as_ref().is_some_and(|item| !item.begun) {
            self.content_start(out);
        }
        let Some((name, index)) = self.item.as_ref().and_then(Open::delta_name) else { return };
        let line = self.item_line(name, out);
        let line = if let Some((key, index)) = index { line.say(key, &index) } else { line };
        let line = line.say("delta", text);
        if name == "response.output_text.delta" {
            line.say("logprobs", &logprobs::encode(tokens)).end();
        } else {
            line.end();
        }
    }

    fn citation(&mut self, citation: &Citation, out: &mut Vec<u8>) {
        let Some(annotation) = encode_citation(citation, self.echo.home) else { return };
        let parts = self.item.as_ref().map_or(0, |item| item.parts.len());
        let Some(Part::Text { citations, .. }) = self.part() else { return };
        citations.push(citation.clone());
        let place = citations.len() - 1;
        self.item_line("response.output_text.annotation.added", out)
            .say("content_index", &(parts - 1))
            .say("annotation_index", &place)
            .say("annotation", &annotation)
            .end();
    }

    /// The current part is complete; so is its item where nothing may follow in it.
    fn part_end(&mut self, out: &mut Vec<u8>) {
        self.content_end(out);
        let whole = self.item.as_ref().is_some_and(|item| {
            item.kind == Kind::Call || matches!(item.parts.last(), Some(Part::Reasoning { seal: Some(_), .. }))
        });
        if whole {
            self.item_end("completed", out);
        }
    }

    /// Ends the words of the current part.
    fn content_end(&mut self, out: &mut Vec<u8>) {
        let home = self.echo.home;
        let Some(item) = self.item.as_mut() else { return };
        if item.current.take().is_none() || !(item.begun || item.kind == Kind::Call) {
            return;
        }
        let (last, pieces) = (item.parts.len().saturating_sub(1), item.pieces);
        let Some(part) = item.parts.last().cloned() else { return };
        match &part {
            Part::Text { text, logprobs: tokens, .. } => {
                self.item_line("response.output_text.done", out)
                    .say("content_index", &last)
                    .say("text", text)
                    .say("logprobs", &logprobs::encode(tokens))
                    .end();
            }
            Part::Refusal { text, .. } => {
                self.item_line("response.refusal.done", out).say("content_index", &last).say("refusal", text).end();
            }
            Part::Reasoning { text, summary, .. } => {
                let index = pieces[usize::from(!summary)].saturating_sub(1);
                return self.thinking_end(text, *summary, index, out);
            }
            Part::ToolCall { arguments, .. } => {
                let arguments = call_arguments(arguments, "completed");
                return self.item_line("response.function_call_arguments.done", out).say("arguments", arguments).end();
            }
            Part::Media(_) | Part::ToolResult { .. } | Part::Native { .. } => return,
        }
        if let Some(piece) = encode_said(&part, home) {
            self.item_line("response.content_part.done", out).say("content_index", &last).say("part", &piece).end();
        }
    }

    fn thinking_end(&mut self, text: &str, summary: bool, index: usize, out: &mut Vec<u8>) {
        let (kind, done, part_done) = if summary {
            ("summary_text", "response.reasoning_summary_text.done", "response.reasoning_summary_part.done")
        } else {
            ("reasoning_text", "response.reasoning_text.done", "response.content_part.done")
        };
        let key = index_key(summary);
        self.item_line(done, out).say(key, &index).say("text", text).end();
        let piece = json!({"type": kind, "text": text});
        self.item_line(part_done, out).say(key, &index).say("part", &piece).end();
    }

    /// A frame that only this wire knows goes home in its place.
    fn native_frame(&mut self, body: &Value, out: &mut Vec<u8>) {
        let (true, Some(fields)) = (self.echo.home, body.as_object()) else { return };
        let Some(name) = fields.get("type").and_then(Value::as_str).filter(|name| is_event_name(name)) else { return };
        if name == "response.output_item.added" {
            self.flush(out);
            self.item_end("completed", out);
            self.announced = true;
        }
        let rest: Extras = fields
            .iter()
            .filter(|(key, _)| !matches!(key.as_str(), "type" | "sequence_number"))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        let mut line = self.line(name, out);
        for (key, value) in &rest {
            line = line.say(key, value);
        }
        line.end();
    }

    fn finish(&mut self, finish: &Finish, out: &mut Vec<u8>) {
        let (status, reason) = status(finish.stops.first());
        self.flush(out);
        self.item_end(status, out);
        let output = std::mem::take(&mut self.output);
        let extras = Some(&finish.extras);
        let response =
            self.echo.object(State { status, reason, error: None, output, usage: Some(&self.usage), extras });
        let name = if status == "incomplete" { "response.incomplete" } else { "response.completed" };
        self.line(name, out).say("response", &response).end();
    }
}

impl Open {
    /// The event that more of the current part is, with its place in the item.
    fn delta_name(&self) -> Option<(&'static str, Option<(&'static str, usize)>)> {
        let content = Some(("content_index", self.parts.len().saturating_sub(1)));
        Some(match self.parts.last()? {
            Part::Text { .. } => ("response.output_text.delta", content),
            Part::Refusal { .. } => ("response.refusal.delta", content),
            Part::Reasoning { summary: true, .. } => {
                ("response.reasoning_summary_text.delta", Some(("summary_index", self.pieces[0].saturating_sub(1))))
            }
            Part::Reasoning { summary: false, .. } => {
                ("response.reasoning_text.delta", Some(("content_index", self.pieces[1].saturating_sub(1))))
            }
            Part::ToolCall { .. } => ("response.function_call_arguments.delta", None),
            Part::Media(_) | Part::ToolResult { .. } | Part::Native { .. } => return None,
        })
    }
}

/// Whether a name can stand on an event's line as it is.
fn is_event_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

/// The name under which the wire counts a piece of thinking.
fn index_key(summary: bool) -> &'static str {
    if summary { "summary_index" } else { "content_index" }
}
