//! The grammar of Cohere's streams, as the official Python SDK (`cohere` 7.3.1) needs it: named events; contents, calls
//! and citations each numbered from 0, one open at a time. Pure.

use super::{Asked, Ended, Grammar, Heard, HeardCall, HeardChoice, sse};
use crate::provider::Counts;
use serde_json::Value;

/// The grammar.
#[derive(Debug)]
pub(super) struct CohereV2;

/// Words of `ChatFinishReason` for an answer that came through, and two of the API's first version that it still has
/// for answers cut off by the context's end and by the safety filter.
const FINISHES: [&str; 6] = ["COMPLETE", "STOP_SEQUENCE", "MAX_TOKENS", "TOOL_CALL", "ERROR_LIMIT", "ERROR_TOXIC"];

impl Grammar for CohereV2 {
    fn id(&self) -> &'static str {
        "cohere-v2"
    }

    fn stream(&self, bytes: &[u8], asked: &Asked) -> Heard {
        let (events, slips) = sse::events(bytes);
        let mut ear = Ear { heard: Heard { violations: slips, ..Heard::default() }, ..Ear::default() };
        for (at, event) in events.iter().enumerate() {
            ear.frame = at;
            match event.data.as_deref() {
                Some("[DONE]") if ear.heard.ended != Ended::Complete => ear.slip("`[DONE]` before `message-end`"),
                Some("[DONE]") | None => {}
                Some(data) => ear.event(&event.name, data),
            }
        }
        if ear.heard.ended == Ended::Complete && asked.n.is_some_and(|n| n != 1) {
            ear.slip("one choice, not as many as asked for");
        }
        ear.heard
    }

    fn unary(&self, body: &[u8]) -> Heard {
        let mut ear = Ear::default();
        let Ok(body @ Value::Object(_)) = serde_json::from_slice::<Value>(body) else {
            ear.slip("the body is no JSON object");
            return ear.heard;
        };
        if let Some(Value::String(message)) = body.get("message") {
            ear.error(message);
            return ear.heard;
        }
        ear.id(&body);
        let message = body.get("message").cloned().unwrap_or_default();
        ear.role(&message);
        for content in list(&message, "content") {
            ear.content(content, true);
        }
        ear.choice.reasoning.push_str(text(&message, "/tool_plan"));
        for call in list(&message, "tool_calls") {
            ear.call(call);
            ear.close_call();
        }
        ear.finish(&body);
        ear.heard
    }
}

/// What is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Words,
    Thinking,
    Call,
}

#[derive(Debug, Default)]
struct Ear {
    heard: Heard,
    frame: usize,
    choice: HeardChoice,
    open: Option<Open>,
    contents: u64,
    calls: u64,
    citations: u64,
    cites: bool,
    started: bool,
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

impl Ear {
    fn slip(&mut self, what: impl AsRef<str>) {
        self.heard.slip(self.frame, what);
    }

    fn event(&mut self, name: &str, data: &str) {
        if self.heard.ended != Ended::Cut {
            self.slip("something after the end");
        }
        let Ok(body) = serde_json::from_str::<Value>(data) else { return self.slip("data is no JSON") };
        let kind = text(&body, "/type").to_owned();
        if kind != name {
            self.slip(format!("the event `{name}` has the type `{kind}`"));
        }
        if !self.started && kind != "message-start" && text(&body, "/delta/finish_reason") != "ERROR" {
            self.slip(format!("`{kind}` before `message-start`"));
        }
        let message = body.pointer("/delta/message").cloned().unwrap_or_default();
        match kind.as_str() {
            "message-start" => {
                if std::mem::replace(&mut self.started, true) {
                    self.slip("`message-start` for the second time");
                }
                self.id(&body);
                self.role(&message);
            }
            "content-start" => {
                self.begin(&body, self.contents);
                self.content(message.get("content").unwrap_or(&Value::Null), false);
            }
            "content-delta" => self.content_delta(&body, &message),
            "content-end" => {
                self.within(&body, self.contents, &[Open::Words, Open::Thinking]);
                self.open = None;
                self.contents += 1;
            }
            "tool-plan-delta" => match message.get("tool_plan") {
                Some(Value::String(plan)) => self.choice.reasoning.push_str(plan),
                _ => self.slip("`tool_plan` is no string"),
            },
            "tool-call-start" => {
                self.begin(&body, self.calls);
                self.call(message.get("tool_calls").unwrap_or(&Value::Null));
                self.open = Some(Open::Call);
            }
            "tool-call-delta" => {
                self.within(&body, self.calls, &[Open::Call]);
                match (message.pointer("/tool_calls/function/arguments"), self.choice.calls.last_mut()) {
                    (Some(Value::String(piece)), Some(call)) => call.arguments.push_str(piece),
                    _ => self.slip("`arguments` is no string"),
                }
            }
            "tool-call-end" => {
                self.within(&body, self.calls, &[Open::Call]);
                self.open = None;
                self.calls += 1;
                self.close_call();
            }
            "citation-start" => {
                if std::mem::replace(&mut self.cites, true) || index(&body) != Some(self.citations) {
                    self.slip("a citation that is not the next one");
                }
                if !message.get("citations").is_some_and(Value::is_object) {
                    self.slip("`citations` is no object");
                }
            }
            "citation-end" => {
                if !std::mem::replace(&mut self.cites, false) || index(&body) != Some(self.citations) {
                    self.slip("the end of no citation");
                }
                self.citations += 1;
            }
            "message-end" => self.message_end(&body),
            _ => self.slip(format!("an unknown event `{kind}`")),
        }
    }

    fn id(&mut self, body: &Value) {
        if text(body, "/id").is_empty() {
            self.slip("`id` is no string, or empty");
        }
    }

    fn role(&mut self, message: &Value) {
        if text(message, "/role") != "assistant" {
            self.slip("`role` is not `assistant`");
        }
    }

    fn begin(&mut self, body: &Value, next: u64) {
        if self.open.is_some() {
            self.slip("something begins while something else is open");
        }
        if index(body) != Some(next) {
            self.slip("`index` is not the next one");
        }
    }

    fn within(&mut self, body: &Value, now: u64, kinds: &[Open]) {
        if !self.open.is_some_and(|open| kinds.contains(&open)) {
            self.slip("a piece or an end of what is not open");
        }
        if index(body) != Some(now) {
            self.slip("`index` is not that of what is open");
        }
    }

    /// One content: all of it in a whole answer, its beginning in a stream.
    fn content(&mut self, content: &Value, whole: bool) {
        match (text(content, "/type"), content.get("text"), content.get("thinking")) {
            ("text", Some(Value::String(words)), _) => {
                self.choice.text.push_str(words);
                self.open = Some(Open::Words);
            }
            ("thinking", _, Some(Value::String(words))) => {
                self.choice.reasoning.push_str(words);
                self.open = Some(Open::Thinking);
            }
            (kind, ..) => self.slip(format!("a content of the type `{kind}` without its words")),
        }
        if whole {
            self.open = None;
        }
    }

    fn content_delta(&mut self, body: &Value, message: &Value) {
        self.within(body, self.contents, &[Open::Words, Open::Thinking]);
        let content = message.get("content").cloned().unwrap_or_default();
        match (self.open, content.get("text"), content.get("thinking")) {
            (Some(Open::Words), Some(Value::String(words)), None) => self.choice.text.push_str(words),
            (Some(Open::Thinking), None, Some(Value::String(words))) => self.choice.reasoning.push_str(words),
            _ => self.slip("a piece of another kind than what is open"),
        }
    }

    fn call(&mut self, call: &Value) {
        let (id, name) = (text(call, "/id").to_owned(), text(call, "/function/name").to_owned());
        if id.is_empty() || name.is_empty() || text(call, "/type") != "function" {
            self.slip("a call without `id`, `type` or `function.name`");
        }
        if self.choice.calls.iter().any(|call| call.id == id) {
            self.slip(format!("two calls with the id `{id}`"));
        }
        let Some(Value::String(arguments)) = call.pointer("/function/arguments") else {
            return self.slip("`arguments` is no string");
        };
        self.choice.calls.push(HeardCall { id, name, arguments: arguments.clone() });
    }

    fn close_call(&mut self) {
        let Some(call) = self.choice.calls.last_mut() else { return };
        if call.arguments.is_empty() {
            "{}".clone_into(&mut call.arguments);
        }
        match serde_json::from_str::<Value>(&call.arguments) {
            Ok(arguments @ Value::Object(_)) => call.arguments = arguments.to_string(),
            _ => self.slip("the arguments of a call are no JSON object"),
        }
    }

    fn message_end(&mut self, body: &Value) {
        let delta = body.get("delta").cloned().unwrap_or_default();
        if matches!(text(&delta, "/finish_reason"), "ERROR" | "TIMEOUT") {
            return self.error(text(&delta, "/error"));
        }
        if self.open.is_some() || self.cites {
            self.slip("`message-end` while something is open");
        }
        self.finish(&delta);
    }

    /// The finish word and the counts, which stand in one place whole and streamed.
    fn finish(&mut self, body: &Value) {
        let word = text(body, "/finish_reason");
        let calls = !self.choice.calls.is_empty();
        if !FINISHES.contains(&word) {
            self.slip(format!("`finish_reason` is `{word}`"));
        }
        match word {
            "TOOL_CALL" if !calls => self.slip("`TOOL_CALL` without a call"),
            "COMPLETE" if calls => self.slip("`COMPLETE` beside calls"),
            _ => {}
        }
        self.choice.finish = Some(word.to_owned());
        if let Some(usage) = body.get("usage") {
            // Whole numbers are written as such, or as decimals.
            let number = |pointer: &str| usage.pointer(pointer).and_then(Value::as_f64);
            let count = |key: &str| {
                let told = number(&format!("/tokens/{key}")).or_else(|| number(&format!("/billed_units/{key}")));
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts are small")]
                let whole = told.unwrap_or(0.0) as u64;
                whole
            };
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts are small")]
            let cached = number("/cached_tokens").unwrap_or(0.0) as u64;
            let (input, output) = (count("input_tokens"), count("output_tokens"));
            self.heard.usage = Some(Counts { input, cached, cache_write: 0, output, reasoning: 0 });
            if !usage.is_object() || cached > input {
                self.slip("`usage` is no object, or a share of it larger than the whole");
            }
        }
        self.heard.ended = Ended::Complete;
        self.heard.choices.insert(0, std::mem::take(&mut self.choice));
    }

    fn error(&mut self, message: &str) {
        self.heard.ended = Ended::Error;
        self.heard.error = Some(message.to_owned());
        if message.is_empty() {
            self.slip("an error without words");
        }
    }
}

fn index(body: &Value) -> Option<u64> {
    body.get("index").and_then(Value::as_u64)
}
