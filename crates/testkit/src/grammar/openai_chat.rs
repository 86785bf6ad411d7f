//! The grammar of OpenAI Chat Completions streams, as the official Python and Node helpers (SDK 3.57.0) need it.
//! Pure.

use super::{Asked, Ended, Grammar, Heard, HeardCall, HeardChoice, sse};
use crate::provider::Counts;
use serde_json::{Map, Value};

/// The grammar.
#[derive(Debug)]
pub(super) struct OpenAiChat;

const FINISHES: [&str; 5] = ["stop", "length", "tool_calls", "content_filter", "function_call"];

impl Grammar for OpenAiChat {
    fn id(&self) -> &'static str {
        "openai-chat"
    }

    fn stream(&self, bytes: &[u8], asked: &Asked) -> Heard {
        let (events, slips) = sse::events(bytes);
        let mut ear = Ear { heard: Heard { violations: slips, ..Heard::default() }, ..Ear::default() };
        for (at, event) in events.iter().enumerate() {
            ear.frame = at;
            if let Some(data) = &event.data {
                ear.event(&event.name, data, asked);
            }
        }
        ear.close(asked);
        ear.heard
    }

    fn unary(&self, body: &[u8]) -> Heard {
        let mut heard = Heard::default();
        let Ok(Value::Object(body)) = serde_json::from_slice::<Value>(body) else {
            heard.slip(0, "the body is no JSON object");
            return heard;
        };
        if let Some(error) = body.get("error") {
            error_shape(&mut heard, 0, error);
            return heard;
        }
        let mut ear = Ear { heard, ..Ear::default() };
        ear.head(&body, "chat.completion");
        for choice in body.get("choices").and_then(Value::as_array).into_iter().flatten() {
            ear.whole(choice);
        }
        if ear.heard.choices.is_empty() {
            ear.slip("no choices");
        }
        match body.get("usage") {
            Some(Value::Object(usage)) => ear.usage(usage),
            None => {}
            Some(_) => ear.slip("`usage` is no object"),
        }
        for index in ear.heard.choices.keys().copied().collect::<Vec<_>>() {
            ear.finished(index);
        }
        ear.heard.ended = Ended::Complete;
        ear.heard
    }
}

#[derive(Debug, Default)]
struct Ear {
    heard: Heard,
    frame: usize,
    /// `id`, `created`, `model` of the first chunk.
    first: Option<[Value; 3]>,
    done: bool,
    failed: bool,
    usages: usize,
}

impl Ear {
    fn slip(&mut self, what: impl AsRef<str>) {
        self.heard.slip(self.frame, what);
    }

    fn event(&mut self, name: &str, data: &str, asked: &Asked) {
        if !name.is_empty() {
            self.slip(format!("an event name `{name}`; this wire has none"));
        }
        if self.done {
            self.slip("something after `[DONE]`");
        }
        if self.failed {
            self.slip("something after the error");
        }
        if data == "[DONE]" {
            self.done = true;
            return;
        }
        match serde_json::from_str::<Value>(data) {
            Ok(Value::Object(body)) => match body.get("error") {
                Some(error) => {
                    self.failed = true;
                    error_shape(&mut self.heard, self.frame, error);
                }
                None => self.chunk(&body, asked),
            },
            Ok(_) => self.slip("data is no object"),
            Err(error) => self.slip(format!("data is no JSON: {error}")),
        }
    }

    fn head(&mut self, body: &Map<String, Value>, object: &str) {
        let value = |key: &str| body.get(key).cloned().unwrap_or_default();
        if value("object") != object {
            self.slip(format!("`object` is not `{object}`"));
        }
        if value("id").as_str().is_none_or(str::is_empty) {
            self.slip("`id` is no string, or empty");
        }
        if !value("created").is_u64() {
            self.slip("`created` is no whole number");
        }
        if !value("model").is_string() {
            self.slip("`model` is no string");
        }
        let head = [value("id"), value("created"), value("model")];
        match &self.first {
            None => {
                self.heard.model = head[2].as_str().unwrap_or_default().to_owned();
                self.first = Some(head);
            }
            Some(first) if *first != head => self.slip("`id`, `created` or `model` is another than in the first chunk"),
            Some(_) => {}
        }
    }

    fn chunk(&mut self, body: &Map<String, Value>, asked: &Asked) {
        self.head(body, "chat.completion.chunk");
        let Some(choices) = body.get("choices").and_then(Value::as_array) else {
            self.slip("`choices` is no list");
            return;
        };
        match body.get("usage") {
            None | Some(Value::Null) => {
                if choices.is_empty() {
                    self.slip("neither choices nor usage");
                }
            }
            Some(Value::Object(usage)) => {
                if asked.usage == Some(false) {
                    self.slip("usage that was not asked for");
                }
                if !choices.is_empty() {
                    self.slip("usage beside choices");
                }
                if self.heard.choices.values().any(|choice| choice.finish.is_none()) || self.heard.choices.is_empty() {
                    self.slip("usage before the finish");
                }
                self.usages += 1;
                self.usage(usage);
            }
            Some(_) => self.slip("`usage` is no object"),
        }
        if self.usages > 0 && !choices.is_empty() {
            self.slip("choices after usage");
        }
        for choice in choices {
            self.choice(choice);
        }
    }

    fn choice(&mut self, choice: &Value) {
        let Some(index) = choice.get("index").and_then(Value::as_u64) else {
            self.slip("a choice without `index`");
            return;
        };
        let Some(delta) = choice.get("delta").and_then(Value::as_object) else {
            self.slip("`delta` is no object");
            return;
        };
        let opens = !self.heard.choices.contains_key(&index);
        if self.heard.choices.get(&index).is_some_and(|known| known.finish.is_some()) {
            self.slip("more of a choice after its finish");
        }
        match delta.get("role") {
            Some(Value::String(role)) if opens && role == "assistant" => {}
            None if !opens => {}
            Some(_) if opens => self.slip("the first delta's `role` is not `assistant`"),
            None => self.slip("the first delta has no `role`"),
            // Helpers add strings up: a second role would read `assistantassistant`.
            Some(_) => self.slip("`role` in a later delta"),
        }
        self.heard.choices.entry(index).or_default();
        self.words(index, delta);
        if let Some(calls) = delta.get("tool_calls") {
            match calls.as_array() {
                Some(calls) => calls.iter().for_each(|call| self.call(index, call)),
                None => self.slip("`tool_calls` is no list"),
            }
        }
        match choice.get("finish_reason") {
            Some(Value::Null) => {}
            None => self.slip("a choice without `finish_reason`"),
            Some(Value::String(reason)) if FINISHES.contains(&reason.as_str()) => {
                let says =
                    |key: &str| delta.get(key).is_some_and(|value| value.as_str().is_some_and(|text| !text.is_empty()));
                if says("content") || says("refusal") || delta.contains_key("tool_calls") {
                    self.slip("words or calls in the chunk that finishes");
                }
                self.with(index, |known| known.finish = Some(reason.clone()));
                self.finished(index);
            }
            Some(other) => self.slip(format!("`finish_reason` is {other}")),
        }
    }

    fn words(&mut self, index: u64, delta: &Map<String, Value>) {
        for key in ["content", "refusal", "reasoning_content", "reasoning"] {
            match delta.get(key) {
                None | Some(Value::Null) => {}
                Some(Value::String(text)) => self.with(index, |known| {
                    match key {
                        "content" => &mut known.text,
                        "refusal" => &mut known.refusal,
                        _ => &mut known.reasoning,
                    }
                    .push_str(text);
                }),
                Some(_) => self.slip(format!("`{key}` is no string")),
            }
        }
    }

    fn call(&mut self, index: u64, call: &Value) {
        let Some(at) = call.get("index").and_then(Value::as_u64).and_then(|at| usize::try_from(at).ok()) else {
            self.slip("a tool call without `index`");
            return;
        };
        let known = self.heard.choices.get(&index).map_or(0, |choice| choice.calls.len());
        let function = call.get("function").and_then(Value::as_object);
        let arguments = function.and_then(|function| function.get("arguments"));
        if at > known {
            self.slip(format!("tool call {at} comes before {known}: a gap"));
        } else if at == known {
            let id = call.get("id").and_then(Value::as_str).unwrap_or_default();
            let name = function.and_then(|function| function.get("name")).and_then(Value::as_str).unwrap_or_default();
            if id.is_empty() || name.is_empty() || call.get("type").and_then(Value::as_str) != Some("function") {
                self.slip(format!("the first delta of tool call {at} lacks `id`, `type` or `function.name`"));
            }
            if self.heard.choices.get(&index).is_some_and(|known| known.calls.iter().any(|call| call.id == id)) {
                self.slip(format!("two tool calls with the id `{id}`"));
            }
            let made = HeardCall { id: id.to_owned(), name: name.to_owned(), arguments: String::new() };
            self.with(index, |known| known.calls.push(made));
        } else {
            if at + 1 < known {
                self.slip(format!("more of tool call {at} after {} began", known - 1));
            }
            if call.get("id").is_some()
                || call.get("type").is_some()
                || function.is_some_and(|f| f.contains_key("name"))
            {
                self.slip(format!("`id`, `type` or `name` in a later delta of tool call {at}"));
            }
        }
        match arguments {
            Some(Value::String(text)) => self.with(index, |known| {
                if let Some(call) = known.calls.get_mut(at) {
                    call.arguments.push_str(text);
                }
            }),
            None if at == known => {}
            _ => self.slip(format!("`function.arguments` of tool call {at} is no string")),
        }
    }

    /// A choice of a whole answer.
    fn whole(&mut self, choice: &Value) {
        let Some(index) = choice.get("index").and_then(Value::as_u64) else {
            self.slip("a choice without `index`");
            return;
        };
        let Some(message) = choice.get("message").and_then(Value::as_object) else {
            self.slip("`message` is no object");
            return;
        };
        if message.get("role").and_then(Value::as_str) != Some("assistant") {
            self.slip("`role` is not `assistant`");
        }
        if !message.contains_key("content") {
            self.slip("no `content`");
        }
        self.heard.choices.entry(index).or_default();
        self.words(index, message);
        for call in message.get("tool_calls").and_then(Value::as_array).into_iter().flatten() {
            let text = |pointer: &str| call.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
            let made =
                HeardCall { id: text("/id"), name: text("/function/name"), arguments: text("/function/arguments") };
            if made.id.is_empty() || made.name.is_empty() || text("/type") != "function" {
                self.slip("a tool call without `id`, `type` or `function.name`");
            }
            self.with(index, |known| known.calls.push(made));
        }
        match choice.get("finish_reason").and_then(Value::as_str) {
            Some(reason) if FINISHES.contains(&reason) => {
                self.with(index, |known| known.finish = Some(reason.to_owned()));
            }
            _ => self.slip("`finish_reason` is none of the known words"),
        }
    }

    /// What must hold once a choice has its finish.
    fn finished(&mut self, index: u64) {
        let Some(choice) = self.heard.choices.get(&index).cloned() else { return };
        let reason = choice.finish.as_deref().unwrap_or_default();
        if choice.calls.is_empty() && reason == "tool_calls" {
            self.slip("`tool_calls` without a call");
        }
        if !choice.calls.is_empty() && reason == "stop" {
            self.slip("`stop` beside tool calls");
        }
        if reason == "tool_calls" {
            for (at, call) in choice.calls.iter().enumerate() {
                if serde_json::from_str::<Value>(&call.arguments).is_err() {
                    self.slip(format!("the arguments of tool call {at} are no JSON"));
                }
            }
        }
    }

    fn usage(&mut self, usage: &Map<String, Value>) {
        let count = |key: &str| usage.get(key).and_then(Value::as_u64);
        let detail = |group: &str, key: &str| {
            usage.get(group).and_then(|group| group.get(key)).and_then(Value::as_u64).unwrap_or(0)
        };
        let (input, output, total) = (count("prompt_tokens"), count("completion_tokens"), count("total_tokens"));
        let (Some(input), Some(output), Some(total)) = (input, output, total) else {
            self.slip("`usage` lacks a count");
            return;
        };
        if total != input + output {
            self.slip("`total_tokens` is not the sum");
        }
        let counts = Counts {
            input,
            output,
            cached: detail("prompt_tokens_details", "cached_tokens"),
            cache_write: detail("prompt_tokens_details", "cache_write_tokens"),
            reasoning: detail("completion_tokens_details", "reasoning_tokens"),
        };
        if counts.cached > input || counts.reasoning > output {
            self.slip("a share of the usage is larger than the whole");
        }
        self.heard.usage = Some(counts);
    }

    fn with(&mut self, index: u64, change: impl FnOnce(&mut HeardChoice)) {
        change(self.heard.choices.entry(index).or_default());
    }

    fn close(&mut self, asked: &Asked) {
        self.heard.ended = match (self.failed, self.done) {
            (true, _) => Ended::Error,
            (false, true) => Ended::Complete,
            (false, false) => Ended::Cut,
        };
        if self.heard.ended != Ended::Complete {
            return;
        }
        if self.heard.choices.is_empty() {
            self.slip("`[DONE]` without a choice");
        }
        if self.heard.choices.values().any(|choice| choice.finish.is_none()) {
            self.slip("`[DONE]` before every choice has its finish");
        }
        if asked.n.is_some_and(|n| n != self.heard.choices.len()) {
            self.slip(format!("{} choices, not as many as asked for", self.heard.choices.len()));
        }
        if self.usages > 1 {
            self.slip("usage more than once");
        }
        if asked.usage == Some(true) && self.usages == 0 {
            self.slip("no usage, though it was asked for");
        }
    }
}

/// Checks an error as both OpenAI wires tell it.
pub(super) fn error_shape(heard: &mut Heard, frame: usize, error: &Value) {
    heard.ended = Ended::Error;
    let message = error.get("message").and_then(Value::as_str);
    heard.error = Some(message.unwrap_or_default().to_owned());
    if message.is_none_or(str::is_empty) {
        heard.slip(frame, "an error without a message");
    }
    for key in ["type", "param", "code"] {
        match error.get(key) {
            Some(Value::String(_) | Value::Null) => {}
            Some(_) => heard.slip(frame, format!("an error whose `{key}` is no string")),
            None => heard.slip(frame, format!("an error without `{key}`")),
        }
    }
}
