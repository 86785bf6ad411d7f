//! Events of the wire to events of the canon. A part stays open until another begins: citations may follow its end.

use super::{data_of, parse};
use crate::Extras;
use crate::event::{Event, Finish, Head, PartId, PartKind};
use crate::fault::Fault;
use crate::fields::{BadField, Fields};
use crate::frame::Frame;
use crate::wire::StreamDecoder;
use crate::wire::cohere_v2::{ID, citation, fault, part, response, usage};
use crate::wire::writer::keep;
use serde_json::Value;

/// Reads events.
#[derive(Debug, Default)]
pub(in crate::wire::cohere_v2) struct Decoder {
    started: bool,
    finished: bool,
    next: PartId,
    open: Option<Open>,
    has_calls: bool,
}

/// The part that is open.
#[derive(Debug)]
struct Open {
    at: PartId,
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Words,
    Thinking,
    Plan,
    /// A call, and whether any of its arguments came.
    Call(bool),
}

impl StreamDecoder for Decoder {
    fn frame(&mut self, frame: &Frame, out: &mut Vec<Event>) -> Result<(), Fault> {
        let Some(data) = data_of(frame) else { return Ok(()) };
        let value = parse(data)?;
        let Some(kind) = value.get("type").and_then(Value::as_str).map(str::to_owned) else {
            return Err(match value.get("message") {
                Some(Value::String(_)) => fault::decode_error(200, data),
                _ => BadField::new("type", "is missing").into_provider_fault(),
            });
        };
        // What stands behind the end says nothing more.
        if self.finished {
            return Ok(());
        }
        if kind == "message-end" {
            return self.message_end(value, out);
        }
        self.event(&kind, value, out).map_err(BadField::into_provider_fault)
    }

    /// Nothing is held back: `message-end` alone makes an answer complete.
    fn end(&mut self, _out: &mut Vec<Event>) {}
}

impl Decoder {
    fn event(&mut self, kind: &str, value: Value, out: &mut Vec<Event>) -> Result<(), BadField> {
        if self.started == (kind == "message-start") {
            let problem = if self.started { "came twice" } else { "did not come first" };
            return Err(BadField::new("message-start", problem));
        }
        let mut fields = Fields::of(value, "")?;
        fields.take("type");
        match kind {
            "message-start" => {
                self.started = true;
                let id = fields.string("id")?.unwrap_or_default();
                out.push(Event::Start(Head { origin: Some(ID), id, ..Head::default() }));
            }
            "content-start" => self.content_start(message(&mut fields)?, out)?,
            "content-delta" => {
                let probabilities = fields.take("logprobs");
                self.content_delta(message(&mut fields)?, probabilities, out)?;
            }
            "tool-plan-delta" => {
                let text = message(&mut fields)?.string("tool_plan")?.unwrap_or_default();
                let at = self.go_on(What::Plan, out);
                out.extend(delta(at, text));
            }
            "tool-call-start" => self.call_start(message(&mut fields)?, out)?,
            "tool-call-delta" => self.call_delta(message(&mut fields)?, out)?,
            "citation-start" => self.citation(message(&mut fields)?, out)?,
            "content-end" | "tool-call-end" | "citation-end" => {}
            _ => out.push(Event::Native { body: Value::Object(typed(kind, fields.rest())) }),
        }
        Ok(())
    }

    /// Begins a part; the one before ends.
    fn begin(&mut self, what: What, kind: PartKind, extras: Extras, out: &mut Vec<Event>) -> PartId {
        self.close(out);
        let at = self.next;
        self.next += 1;
        self.open = Some(Open { at, what });
        out.push(Event::PartStart { at, choice: 0, kind });
        if !extras.is_empty() {
            out.push(Event::PartExtras { at, extras });
        }
        at
    }

    /// The open part if it is such a one, else a new one.
    fn go_on(&mut self, what: What, out: &mut Vec<Event>) -> PartId {
        if let Some(open) = self.open.as_ref().filter(|open| open.what == what) {
            return open.at;
        }
        let (kind, extras) = match what {
            What::Plan => (PartKind::Reasoning { summary: false }, part::plan()),
            What::Thinking => (PartKind::Reasoning { summary: false }, Extras::new()),
            What::Words | What::Call(_) => (PartKind::Text, Extras::new()),
        };
        self.begin(what, kind, extras, out)
    }

    fn close(&mut self, out: &mut Vec<Event>) {
        let Some(open) = self.open.take() else { return };
        // A call that needs nothing may have no deltas.
        if open.what == What::Call(false) {
            out.extend(delta(open.at, "{}".to_owned()));
        }
        out.push(Event::PartEnd { at: open.at });
    }

    fn content_start(&mut self, mut message: Fields, out: &mut Vec<Event>) -> Result<(), BadField> {
        let Some(mut content) = message.object("content")? else { return Ok(()) };
        let (text, thinking) = (content.string("text")?, content.string("thinking")?);
        let is_thinking = match content.string("type")?.as_deref() {
            Some(kind) => kind == "thinking",
            None => thinking.is_some(),
        };
        let (what, kind) = if is_thinking {
            (What::Thinking, PartKind::Reasoning { summary: false })
        } else {
            (What::Words, PartKind::Text)
        };
        let at = self.begin(what, kind, content.rest(), out);
        out.extend(delta(at, if is_thinking { thinking } else { text }.unwrap_or_default()));
        Ok(())
    }

    fn content_delta(
        &mut self,
        mut message: Fields,
        probabilities: Option<Value>,
        out: &mut Vec<Event>,
    ) -> Result<(), BadField> {
        let Some(mut content) = message.object("content")? else { return Ok(()) };
        if let Some(text) = content.string("thinking")? {
            let at = self.go_on(What::Thinking, out);
            out.extend(delta(at, text));
        }
        let text = content.string("text")?.unwrap_or_default();
        let logprobs: Vec<_> = probabilities.as_ref().and_then(response::decode_logprob).into_iter().collect();
        if !text.is_empty() || !logprobs.is_empty() {
            let at = self.go_on(What::Words, out);
            out.push(Event::Delta { at, text, logprobs });
        }
        Ok(())
    }

    fn call_start(&mut self, mut message: Fields, out: &mut Vec<Event>) -> Result<(), BadField> {
        let mut call = message.object("tool_calls")?.ok_or_else(|| message.missing("tool_calls"))?;
        call.take("type");
        let call_id = call.string("id")?.unwrap_or_default();
        let mut function = call.object("function")?.ok_or_else(|| call.missing("function"))?;
        let name = function.need_string("name")?;
        let arguments = function.string("arguments")?.unwrap_or_default();
        let mut extras = call.rest();
        keep(&mut extras, "function", function.rest());
        self.has_calls = true;
        let at = self.begin(What::Call(!arguments.is_empty()), PartKind::ToolCall { call_id, name }, extras, out);
        out.extend(delta(at, arguments));
        Ok(())
    }

    fn call_delta(&mut self, mut message: Fields, out: &mut Vec<Event>) -> Result<(), BadField> {
        let mut call = message.object("tool_calls")?.ok_or_else(|| message.missing("tool_calls"))?;
        let Some(mut function) = call.object("function")? else { return Ok(()) };
        let text = function.string("arguments")?.unwrap_or_default();
        let Some(Open { at, what: What::Call(begun) }) = &mut self.open else {
            return Err(BadField::new("tool_calls", "go on where no call is open"));
        };
        *begun |= !text.is_empty();
        out.extend(delta(*at, text));
        Ok(())
    }

    /// A source of the words; one of thinking or of a plan has no place in the canon and passes whole.
    fn citation(&mut self, mut message: Fields, out: &mut Vec<Event>) -> Result<(), BadField> {
        let Some(value) = message.take("citations") else { return Ok(()) };
        match &self.open {
            Some(Open { at, what: What::Words }) if citation::is_of_words(&value) => {
                out.push(Event::Citation { at: *at, citation: citation::decode(value, "delta.message.citations")? });
            }
            _ => {
                let delta = serde_json::json!({"message": {"citations": value}});
                let rest = Extras::from_iter([("delta".to_owned(), delta)]);
                out.push(Event::Native { body: Value::Object(typed("citation-start", rest)) });
            }
        }
        Ok(())
    }

    fn message_end(&mut self, value: Value, out: &mut Vec<Event>) -> Result<(), Fault> {
        let bad = BadField::into_provider_fault;
        if !self.started {
            return Err(bad(BadField::new("message-start", "did not come first")));
        }
        let mut fields = Fields::of(value, "").map_err(bad)?;
        let mut delta = fields.object("delta").map_err(bad)?.ok_or_else(|| bad(fields.missing("delta")))?;
        let error = delta.string("error").map_err(bad)?;
        let word = delta.need_string("finish_reason").map_err(bad)?;
        if let Some(fault) = fault::of_finish(&word, error.as_deref()) {
            return Err(fault);
        }
        self.close(out);
        if let Some(counts) = delta.take("usage") {
            out.push(Event::Usage(usage::decode(counts).map_err(bad)?));
        }
        self.finished = true;
        let stops = vec![response::decode_stop(word, self.has_calls)];
        out.push(Event::Finish(Finish { stops, extras: delta.rest() }));
        Ok(())
    }
}

/// The message inside an event's delta.
fn message(fields: &mut Fields) -> Result<Fields, BadField> {
    let mut delta = fields.object("delta")?.ok_or_else(|| fields.missing("delta"))?;
    delta.object("message")?.ok_or_else(|| delta.missing("message"))
}

fn delta(at: PartId, text: String) -> Option<Event> {
    (!text.is_empty()).then(|| Event::Delta { at, text, logprobs: Vec::new() })
}

/// An event with its type in front again.
fn typed(kind: &str, rest: Extras) -> Extras {
    let mut body = Extras::from_iter([("type".to_owned(), kind.into())]);
    body.extend(rest);
    body
}
