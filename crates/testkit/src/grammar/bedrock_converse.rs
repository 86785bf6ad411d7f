//! The grammar of Converse's streams, as the service model of `bedrock-runtime` in `botocore` 1.44.8 has it: binary
//! messages, one block at a time, numbered from 0, the counts last. Pure.

use super::{Asked, Ended, Grammar, Heard, HeardCall, HeardChoice, event_stream};
use crate::provider::Counts;
use serde_json::{Map, Value};

/// The grammar.
#[derive(Debug)]
pub(super) struct BedrockConverse;

const STOPS: [&str; 7] = [
    "end_turn",
    "tool_use",
    "max_tokens",
    "stop_sequence",
    "guardrail_intervened",
    "content_filtered",
    "model_context_window_exceeded",
];

/// Further words of the type `StopReason`.
const MALFORMED: [&str; 2] = ["malformed_model_output", "malformed_tool_use"];

impl Grammar for BedrockConverse {
    fn id(&self) -> &'static str {
        "bedrock-converse"
    }

    fn stream(&self, bytes: &[u8], asked: &Asked) -> Heard {
        let (messages, slips) = event_stream::messages(bytes);
        let mut ear = Ear { heard: Heard { violations: slips, ..Heard::default() }, ..Ear::default() };
        for (at, message) in messages.iter().enumerate() {
            ear.frame = at;
            ear.message(message);
        }
        if ear.heard.ended == Ended::Cut && ear.choice.finish.is_some() {
            // `messageStop` says why it stopped; what follows only reports.
            ear.heard.ended = Ended::Complete;
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
        if !body.contains_key("output") {
            ear.error(&Value::Object(body));
            return ear.heard;
        }
        let message = body.get("output").and_then(|output| output.get("message")).cloned().unwrap_or_default();
        ear.role(&message);
        match message.get("content").and_then(Value::as_array) {
            Some(content) => content.iter().for_each(|block| ear.block(block)),
            None => ear.slip("`content` is no list"),
        }
        ear.stop(body.get("stopReason"));
        ear.counts(&body);
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
    /// What the open block is by its first message.
    open: Option<String>,
    next: u64,
    started: bool,
}

/// The one key of a union, and what stands under it.
fn only(value: &Value) -> Option<(&str, &Value)> {
    let map = value.as_object().filter(|map| map.len() == 1)?;
    map.iter().next().map(|(key, inner)| (key.as_str(), inner))
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

impl Ear {
    fn slip(&mut self, what: impl AsRef<str>) {
        self.heard.slip(self.frame, what);
    }

    fn message(&mut self, message: &event_stream::Message) {
        if self.heard.ended != Ended::Cut {
            self.slip("something after the end");
        }
        let Ok(body) = serde_json::from_slice::<Value>(&message.payload) else {
            return self.slip("a payload that is no JSON");
        };
        if message.kind != "event" {
            const EXCEPTIONS: [&str; 5] = [
                "internalServerException",
                "modelStreamErrorException",
                "validationException",
                "throttlingException",
                "serviceUnavailableException",
            ];
            if !EXCEPTIONS.contains(&message.name.as_str()) {
                self.slip(format!("an unknown exception `{}`", message.name));
            }
            return self.error(&body);
        }
        if !self.started && message.name != "messageStart" {
            self.slip(format!("`{}` before `messageStart`", message.name));
        }
        if self.choice.finish.is_some() && message.name != "metadata" {
            self.slip(format!("`{}` after `messageStop`", message.name));
        }
        match message.name.as_str() {
            "messageStart" => {
                if std::mem::replace(&mut self.started, true) {
                    self.slip("`messageStart` for the second time");
                }
                self.role(&body);
            }
            "contentBlockStart" => self.block_start(&body),
            "contentBlockDelta" => self.block_delta(&body),
            "contentBlockStop" => {
                self.index(&body);
                if self.open.is_none() {
                    self.slip("the end of no block");
                }
                self.close_block();
                self.next += 1;
            }
            "messageStop" => {
                if self.open.is_some() {
                    self.slip("`messageStop` while a block is open");
                }
                self.stop(body.get("stopReason"));
            }
            "metadata" => {
                if self.choice.finish.is_none() {
                    self.slip("`metadata` before `messageStop`");
                }
                self.counts(body.as_object().unwrap_or(&Map::new()));
                self.heard.ended = Ended::Complete;
            }
            name => self.slip(format!("an unknown event `{name}`")),
        }
    }

    fn role(&mut self, message: &Value) {
        if text(message, "role") != "assistant" {
            self.slip("`role` is not `assistant`");
        }
    }

    fn index(&mut self, body: &Value) {
        if body.get("contentBlockIndex").and_then(Value::as_u64) != Some(self.next) {
            self.slip("`contentBlockIndex` is not the block's");
        }
    }

    fn block_start(&mut self, body: &Value) {
        if self.open.is_some() {
            self.slip("a block begins while another is open");
        }
        self.index(body);
        let start = body.get("start").cloned().unwrap_or_default();
        match only(&start) {
            Some(("toolUse", call)) if call.get("type").is_some() => self.open = Some("native".to_owned()),
            Some(("toolUse", call)) => {
                self.call(call, String::new());
                self.open = Some("toolUse".to_owned());
            }
            Some(("toolResult" | "image", _)) => self.open = Some("native".to_owned()),
            _ => self.slip("`start` is not one of a call, a result, an image"),
        }
    }

    fn call(&mut self, call: &Value, arguments: String) {
        let (id, name) = (text(call, "toolUseId").to_owned(), text(call, "name").to_owned());
        if id.is_empty() || name.is_empty() {
            self.slip("a call without `toolUseId` or `name`");
        }
        if self.choice.calls.iter().any(|call| call.id == id) {
            self.slip(format!("two calls with the id `{id}`"));
        }
        self.choice.calls.push(HeardCall { id, name, arguments });
    }

    fn block_delta(&mut self, body: &Value) {
        self.index(body);
        let delta = body.get("delta").cloned().unwrap_or_default();
        let Some((kind, inner)) = only(&delta) else {
            return self.slip("a delta that does not hold exactly one thing");
        };
        let of = match kind {
            "text" | "citation" => "text",
            "reasoningContent" => "reasoning",
            "toolUse" if self.open.as_deref() == Some("native") => "native",
            "toolUse" => "toolUse",
            _ => "native",
        };
        if self.open.is_none() && matches!(of, "toolUse" | "native") {
            self.slip(format!("`{kind}` of a block that had no start"));
        }
        // Words and thinking have no start of their own.
        let open = self.open.get_or_insert_with(|| of.to_owned()).clone();
        if open != of {
            self.slip(format!("`{kind}` in a block of `{open}`"));
        }
        let said = match kind {
            "text" => inner.as_str().map(|words| self.choice.text.push_str(words)),
            "reasoningContent" => match only(inner) {
                Some(("text", Value::String(words))) => {
                    self.choice.reasoning.push_str(words);
                    Some(())
                }
                Some(("signature" | "redactedContent", Value::String(_))) => Some(()),
                _ => None,
            },
            "toolUse" => inner.get("input").and_then(Value::as_str).map(|piece| {
                if let Some(call) = self.choice.calls.last_mut().filter(|_| of == "toolUse") {
                    call.arguments.push_str(piece);
                }
            }),
            "citation" | "image" => inner.as_object().map(drop),
            "toolResult" => inner.as_array().map(drop),
            _ => None,
        };
        if said.is_none() {
            self.slip(format!("`{kind}` without what it brings"));
        }
    }

    fn close_block(&mut self) {
        if self.open.take().as_deref() != Some("toolUse") {
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

    /// A block of a whole answer.
    fn block(&mut self, block: &Value) {
        match only(block) {
            Some(("text", Value::String(words))) => self.choice.text.push_str(words),
            Some(("citationsContent", cited)) => {
                let pieces = cited.get("content").and_then(Value::as_array).into_iter().flatten();
                let words: String = pieces.map(|piece| text(piece, "text")).collect();
                self.choice.text.push_str(&words);
            }
            Some(("reasoningContent", thinking)) => match only(thinking) {
                Some(("reasoningText", words)) if words.get("text").is_some_and(Value::is_string) => {
                    self.choice.reasoning.push_str(text(words, "text"));
                }
                Some(("redactedContent", Value::String(_))) => {}
                _ => self.slip("thinking without `text` or `redactedContent`"),
            },
            Some(("toolUse", call)) if call.get("type").is_some() => {}
            Some(("toolUse", call)) => {
                if !call.get("input").is_some_and(Value::is_object) {
                    self.slip("the input of a call is no JSON object");
                }
                self.call(call, call.get("input").map(Value::to_string).unwrap_or_default());
            }
            Some(("toolResult" | "image" | "document" | "video" | "audio" | "guardContent" | "searchResult", _)) => {}
            _ => self.slip("a block that does not hold exactly one known thing"),
        }
    }

    fn stop(&mut self, word: Option<&Value>) {
        match word.and_then(Value::as_str).filter(|word| STOPS.contains(word) || MALFORMED.contains(word)) {
            Some(word) => self.choice.finish = Some(word.to_owned()),
            None => self.slip("`stopReason` is none of the known words"),
        }
    }

    fn counts(&mut self, body: &Map<String, Value>) {
        let usage = body.get("usage").cloned().unwrap_or_default();
        for key in ["inputTokens", "outputTokens", "totalTokens"] {
            if !usage.get(key).is_some_and(Value::is_u64) {
                self.slip(format!("`usage.{key}` is no whole number"));
            }
        }
        if !body.get("metrics").and_then(|metrics| metrics.get("latencyMs")).is_some_and(Value::is_u64) {
            self.slip("`metrics.latencyMs` is no whole number");
        }
        let count = |key: &str| usage.get(key).and_then(Value::as_u64).unwrap_or(0);
        let (cached, cache_write) = (count("cacheReadInputTokens"), count("cacheWriteInputTokens"));
        let input = count("inputTokens") + cached + cache_write;
        self.heard.usage = Some(Counts { input, cached, cache_write, output: count("outputTokens"), reasoning: 0 });
    }

    fn end(&mut self) {
        let calls = !self.choice.calls.is_empty();
        match self.choice.finish.as_deref() {
            Some("tool_use") if !calls => self.slip("`tool_use` without a call"),
            Some("end_turn") if calls => self.slip("`end_turn` beside calls"),
            _ => {}
        }
        self.heard.choices.insert(0, std::mem::take(&mut self.choice));
    }

    fn error(&mut self, body: &Value) {
        self.heard.ended = Ended::Error;
        self.heard.error = Some(text(body, "message").to_owned());
        if text(body, "message").is_empty() {
            self.slip("an error without `message`");
        }
    }
}
