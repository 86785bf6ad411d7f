//! The grammar of Anthropic Messages streams, as the official Python and TypeScript helpers (SDK 2.13.0) need it:
//! named events, one block at a time, numbered from 0. Pure.

use super::{Asked, Ended, Grammar, Heard, HeardCall, HeardChoice, sse};
use crate::provider::Counts;
use serde_json::{Map, Value};

/// The grammar.
#[derive(Debug)]
pub(super) struct AnthropicMessages;

const STOPS: [&str; 7] =
    ["end_turn", "max_tokens", "stop_sequence", "tool_use", "pause_turn", "refusal", "model_context_window_exceeded"];

/// The kinds of delta that a kind of block may have.
const DELTAS: [(&str, &[&str]); 3] = [
    ("text", &["text_delta", "citations_delta"]),
    ("thinking", &["thinking_delta", "signature_delta"]),
    ("tool_use", &["input_json_delta"]),
];

impl Grammar for AnthropicMessages {
    fn id(&self) -> &'static str {
        "anthropic-messages"
    }

    fn stream(&self, bytes: &[u8], asked: &Asked) -> Heard {
        let (events, slips) = sse::events(bytes);
        let mut ear = Ear { heard: Heard { violations: slips, ..Heard::default() }, ..Ear::default() };
        for (at, event) in events.iter().enumerate() {
            ear.frame = at;
            if let Some(data) = &event.data {
                ear.event(&event.name, data);
            }
        }
        if ear.heard.ended == Ended::Complete {
            ear.end();
            if asked.n.is_some_and(|n| n != 1) {
                ear.slip("one choice, not as many as asked for");
            }
        }
        ear.heard
    }

    fn unary(&self, body: &[u8]) -> Heard {
        let mut ear = Ear::default();
        let Ok(Value::Object(body)) = serde_json::from_slice::<Value>(body) else {
            ear.slip("the body is no JSON object");
            return ear.heard;
        };
        if body.get("type").and_then(Value::as_str) == Some("error") {
            ear.error(&body);
            return ear.heard;
        }
        ear.head(&body);
        for block in body.get("content").and_then(Value::as_array).into_iter().flatten() {
            ear.block(block);
            ear.close_block();
        }
        ear.stop(body.get("stop_reason"));
        ear.end();
        ear.heard.ended = Ended::Complete;
        ear.heard
    }
}

#[derive(Debug, Default)]
struct Ear {
    heard: Heard,
    frame: usize,
    choice: HeardChoice,
    /// The kind of the open block.
    open: Option<String>,
    next: u64,
    started: bool,
    usage: Map<String, Value>,
}

impl Ear {
    fn slip(&mut self, what: impl AsRef<str>) {
        self.heard.slip(self.frame, what);
    }

    fn event(&mut self, name: &str, data: &str) {
        if self.heard.ended != Ended::Cut {
            self.slip("something after the end");
        }
        let Ok(Value::Object(body)) = serde_json::from_str::<Value>(data) else {
            return self.slip("data is no JSON object");
        };
        let kind = body.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
        if kind != name {
            self.slip(format!("the event `{name}` has the type `{kind}`"));
        }
        if !self.started && !matches!(kind.as_str(), "message_start" | "ping" | "error") {
            self.slip(format!("`{kind}` before `message_start`"));
        }
        match kind.as_str() {
            "ping" => {}
            "error" => self.error(&body),
            "message_start" => self.start(&body),
            "content_block_start" => self.block_start(&body),
            "content_block_delta" => self.block_delta(&body),
            "content_block_stop" => {
                self.index(&body, true);
                if self.open.is_none() {
                    self.slip("the end of no block");
                }
                self.close_block();
                self.next += 1;
            }
            "message_delta" => self.message_delta(&body),
            "message_stop" => {
                if self.choice.finish.is_none() {
                    self.slip("`message_stop` without a stop reason");
                }
                self.heard.ended = Ended::Complete;
            }
            _ => self.slip(format!("an unknown event `{kind}`")),
        }
    }

    fn start(&mut self, body: &Map<String, Value>) {
        if std::mem::replace(&mut self.started, true) {
            self.slip("`message_start` for the second time");
        }
        let Some(message) = body.get("message").and_then(Value::as_object) else {
            return self.slip("`message` is no object");
        };
        self.head(message);
        if message.get("content").and_then(Value::as_array).is_none_or(|content| !content.is_empty()) {
            self.slip("`message_start` with content");
        }
        if message.get("stop_reason") != Some(&Value::Null) {
            self.slip("`message_start` with a stop reason");
        }
    }

    fn head(&mut self, message: &Map<String, Value>) {
        let text = |key: &str| message.get(key).and_then(Value::as_str).unwrap_or_default();
        if text("id").is_empty() {
            self.slip("`id` is no string, or empty");
        }
        if text("type") != "message" || text("role") != "assistant" {
            self.slip("no `message` of the `assistant`");
        }
        if !message.get("model").is_some_and(Value::is_string) {
            self.slip("`model` is no string");
        }
        if !message.get("content").is_some_and(Value::is_array) {
            self.slip("`content` is no list");
        }
        text("model").clone_into(&mut self.heard.model);
        self.counts(message.get("usage"), &["input_tokens", "output_tokens"]);
    }

    fn counts(&mut self, usage: Option<&Value>, needed: &[&str]) {
        let Some(usage) = usage.and_then(Value::as_object) else { return self.slip("`usage` is no object") };
        for key in needed {
            if !usage.get(*key).is_some_and(Value::is_u64) {
                self.slip(format!("`usage.{key}` is no whole number"));
            }
        }
        self.usage.extend(usage.iter().filter(|(_, count)| !count.is_null()).map(|(k, v)| (k.clone(), v.clone())));
    }

    fn index(&mut self, body: &Map<String, Value>, within: bool) {
        if body.get("index").and_then(Value::as_u64) != Some(self.next) {
            let what = if within { "is not the open block's" } else { "is not the next one" };
            self.slip(format!("`index` {what}"));
        }
    }

    fn block_start(&mut self, body: &Map<String, Value>) {
        if self.open.is_some() {
            self.slip("a block begins while another is open");
        }
        self.index(body, false);
        match body.get("content_block") {
            Some(block) => self.block(block),
            None => self.slip("no `content_block`"),
        }
    }

    /// Reads what a block says where it begins; in a whole answer that is all of it.
    fn block(&mut self, block: &Value) {
        let text = |key: &str| block.get(key).and_then(Value::as_str).unwrap_or_default();
        let kind = text("type");
        let whole = |key: &str| block.get(key).is_some_and(Value::is_string);
        match kind {
            "text" => {
                if !whole("text") {
                    self.slip("a `text` block without `text`");
                }
                self.choice.text.push_str(text("text"));
            }
            "thinking" => {
                if !whole("thinking") || !whole("signature") {
                    self.slip("a `thinking` block without `thinking` or `signature`");
                }
                self.choice.reasoning.push_str(text("thinking"));
            }
            "redacted_thinking" if text("data").is_empty() => self.slip("a `redacted_thinking` block without `data`"),
            "tool_use" => self.call(block),
            "" => self.slip("a block without `type`"),
            _ => {}
        }
        self.open = Some(kind.to_owned());
    }

    fn call(&mut self, block: &Value) {
        let text = |key: &str| block.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let input = block.get("input").and_then(Value::as_object);
        let arguments = input.filter(|input| !input.is_empty()).map(|_| block["input"].to_string());
        if text("id").is_empty() || text("name").is_empty() || input.is_none() {
            self.slip("a `tool_use` block without `id`, `name` or `input`");
        }
        if self.choice.calls.iter().any(|call| call.id == text("id")) {
            self.slip(format!("two calls with the id `{}`", text("id")));
        }
        self.choice.calls.push(HeardCall {
            id: text("id"),
            name: text("name"),
            arguments: arguments.unwrap_or_default(),
        });
    }

    fn block_delta(&mut self, body: &Map<String, Value>) {
        self.index(body, true);
        let delta = body.get("delta").cloned().unwrap_or_default();
        let text = |key: &str| delta.get(key).and_then(Value::as_str);
        let (kind, block) = (text("type").unwrap_or_default(), self.open.clone().unwrap_or_default());
        match DELTAS.iter().find(|(known, _)| *known == block) {
            Some((_, allowed)) if !allowed.contains(&kind) => self.slip(format!("`{kind}` in a `{block}` block")),
            None if block.is_empty() => self.slip("a delta of no block"),
            _ => {}
        }
        let said = match kind {
            "text_delta" => text("text").map(|text| self.choice.text.push_str(text)),
            "thinking_delta" => text("thinking").map(|text| self.choice.reasoning.push_str(text)),
            "input_json_delta" => text("partial_json").map(|text| {
                if let Some(call) = self.choice.calls.last_mut().filter(|_| block == "tool_use") {
                    call.arguments.push_str(text);
                }
            }),
            "signature_delta" => text("signature").map(drop),
            "citations_delta" => delta.get("citation").filter(|citation| citation.is_object()).map(drop),
            _ => None,
        };
        if said.is_none() {
            self.slip(format!("`{kind}` without what it brings"));
        }
    }

    fn close_block(&mut self) {
        if self.open.take().as_deref() != Some("tool_use") {
            return;
        }
        if let Some(call) = self.choice.calls.last_mut() {
            if call.arguments.is_empty() {
                "{}".clone_into(&mut call.arguments);
            }
            match serde_json::from_str::<Value>(&call.arguments) {
                Ok(Value::Object(input)) => call.arguments = Value::Object(input).to_string(),
                _ => self.slip("the input of a call is no JSON object"),
            }
        }
    }

    fn message_delta(&mut self, body: &Map<String, Value>) {
        if self.open.is_some() {
            self.slip("`message_delta` while a block is open");
        }
        if self.choice.finish.is_some() {
            self.slip("`message_delta` for the second time");
        }
        self.stop(body.get("delta").and_then(|delta| delta.get("stop_reason")));
        self.counts(body.get("usage"), &["output_tokens"]);
    }

    fn stop(&mut self, word: Option<&Value>) {
        match word.and_then(Value::as_str).filter(|word| STOPS.contains(word)) {
            Some(word) => self.choice.finish = Some(word.to_owned()),
            None => self.slip("`stop_reason` is none of the known words"),
        }
    }

    fn end(&mut self) {
        let calls = !self.choice.calls.is_empty();
        match self.choice.finish.as_deref() {
            Some("tool_use") if !calls => self.slip("`tool_use` without a call"),
            Some("end_turn") if calls => self.slip("`end_turn` beside calls"),
            _ => {}
        }
        let count = |key: &str| self.usage.get(key).and_then(Value::as_u64).unwrap_or(0);
        let thinking = self.usage.get("output_tokens_details").and_then(|details| details.get("thinking_tokens"));
        let (cached, cache_write) = (count("cache_read_input_tokens"), count("cache_creation_input_tokens"));
        let counts = Counts {
            input: count("input_tokens") + cached + cache_write,
            cached,
            cache_write,
            output: count("output_tokens"),
            reasoning: thinking.and_then(Value::as_u64).unwrap_or(0),
        };
        if counts.reasoning > counts.output {
            self.slip("a share of the usage is larger than the whole");
        }
        self.heard.usage = Some(counts);
        self.heard.choices.insert(0, std::mem::take(&mut self.choice));
    }

    fn error(&mut self, body: &Map<String, Value>) {
        self.heard.ended = Ended::Error;
        let text = |key: &str| body.get("error").and_then(|error| error.get(key)).and_then(Value::as_str);
        let (kind, message) = (text("type").unwrap_or_default(), text("message").unwrap_or_default());
        self.heard.error = Some(message.to_owned());
        if kind.is_empty() || message.is_empty() {
            self.slip("an error without `type` or `message`");
        }
    }
}
