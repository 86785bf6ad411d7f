//! The grammar of Gemini streams, as the official Python SDK (`google-genai` 3.6.1) needs it: chunks without names, each
//! a whole answer so far as it goes, and no end but the candidates' own. Pure.

use super::{Asked, Ended, Grammar, Heard, HeardCall, sse};
use crate::provider::Counts;
use serde_json::{Map, Value};

/// The grammar.
#[derive(Debug)]
pub(super) struct Gemini;

const FINISHES: [&str; 22] = [
    "STOP",
    "MAX_TOKENS",
    "SAFETY",
    "RECITATION",
    "LANGUAGE",
    "OTHER",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "MALFORMED_FUNCTION_CALL",
    "IMAGE_SAFETY",
    "IMAGE_PROHIBITED_CONTENT",
    "IMAGE_RECITATION",
    "IMAGE_OTHER",
    "NO_IMAGE",
    "UNEXPECTED_TOOL_CALL",
    "TOO_MANY_TOOL_CALLS",
    "MISSING_THOUGHT_SIGNATURE",
    "MALFORMED_RESPONSE",
    "MODEL_ARMOR",
    "JAILBREAK",
    "CONTINUATION",
];

/// What a part holds; exactly one of these.
const DATA: [&str; 6] = ["text", "inlineData", "fileData", "functionCall", "executableCode", "codeExecutionResult"];

impl Grammar for Gemini {
    fn id(&self) -> &'static str {
        "gemini"
    }

    fn stream(&self, bytes: &[u8], asked: &Asked) -> Heard {
        let (events, slips) = sse::events(bytes);
        let mut ear = Ear { heard: Heard { violations: slips, ..Heard::default() }, ..Ear::default() };
        for (at, event) in events.iter().enumerate() {
            ear.frame = at;
            if !event.name.is_empty() {
                ear.slip(format!("an event name `{}`; this wire has none", event.name));
            }
            match event.data.as_deref().map(serde_json::from_str::<Value>) {
                Some(Ok(Value::Object(body))) => ear.chunk(&body),
                Some(_) => ear.slip("data is no JSON object"),
                None => {}
            }
        }
        ear.close();
        if ear.heard.ended == Ended::Complete && asked.n.is_some_and(|n| n != ear.heard.choices.len()) {
            ear.slip(format!("{} candidates, not as many as asked for", ear.heard.choices.len()));
        }
        ear.heard
    }

    fn unary(&self, body: &[u8]) -> Heard {
        let mut ear = Ear::default();
        match serde_json::from_slice::<Value>(body) {
            Ok(Value::Object(body)) => ear.chunk(&body),
            _ => ear.slip("the body is no JSON object"),
        }
        ear.close();
        if ear.heard.ended == Ended::Cut {
            ear.slip("a candidate without its finish");
        }
        ear.heard
    }
}

#[derive(Debug, Default)]
struct Ear {
    heard: Heard,
    frame: usize,
    /// `responseId` and `modelVersion` of the first chunk.
    first: Option<[Value; 2]>,
    usage: Map<String, Value>,
    blocked: bool,
}

impl Ear {
    fn slip(&mut self, what: impl AsRef<str>) {
        self.heard.slip(self.frame, what);
    }

    fn chunk(&mut self, body: &Map<String, Value>) {
        if self.heard.ended == Ended::Error {
            self.slip("something after the error");
        }
        if let Some(error) = body.get("error") {
            return self.error(error);
        }
        let head = ["responseId", "modelVersion"].map(|key| body.get(key).cloned().unwrap_or_default());
        if head.iter().any(|value| !value.is_string()) {
            self.slip("`responseId` or `modelVersion` is no string");
        }
        match &self.first {
            Some(first) if *first != head => self.slip("`responseId` or `modelVersion` is another than before"),
            Some(_) => {}
            None => {
                head[1].as_str().unwrap_or_default().clone_into(&mut self.heard.model);
                self.first = Some(head);
            }
        }
        self.blocked |= body.get("promptFeedback").is_some_and(|feedback| feedback.get("blockReason").is_some());
        match body.get("candidates") {
            Some(Value::Array(candidates)) => candidates.iter().for_each(|candidate| self.candidate(candidate)),
            None => {}
            Some(_) => self.slip("`candidates` is no list"),
        }
        match body.get("usageMetadata") {
            Some(Value::Object(usage)) => self.usage.extend(usage.clone()),
            None => {}
            Some(_) => self.slip("`usageMetadata` is no object"),
        }
    }

    fn candidate(&mut self, candidate: &Value) {
        let index = candidate.get("index").map_or(Some(0), Value::as_u64);
        let Some(index) = index else { return self.slip("`index` is no whole number") };
        if self.heard.choices.get(&index).is_some_and(|known| known.finish.is_some()) {
            self.slip("more of a candidate after its finish");
        }
        self.heard.choices.entry(index).or_default();
        if let Some(content) = candidate.get("content") {
            if content.get("role").and_then(Value::as_str) != Some("model") {
                self.slip("`role` is not `model`");
            }
            match content.get("parts").and_then(Value::as_array).map(Vec::as_slice) {
                // The SDK's chats forget a turn without parts.
                None | Some([]) => self.slip("a content without parts"),
                Some(parts) => parts.iter().for_each(|part| self.part(index, part)),
            }
        }
        match candidate.get("finishReason") {
            None => {}
            Some(Value::String(word)) if FINISHES.contains(&word.as_str()) => {
                if let Some(choice) = self.heard.choices.get_mut(&index) {
                    choice.finish = Some(word.clone());
                }
            }
            Some(other) => self.slip(format!("`finishReason` is {other}")),
        }
    }

    fn part(&mut self, index: u64, part: &Value) {
        if DATA.iter().filter(|key| part.get(**key).is_some()).count() != 1 {
            self.slip("a part that does not hold exactly one thing");
        }
        if part.get("thoughtSignature").is_some_and(|seal| !is_bytes(seal)) {
            self.slip("`thoughtSignature` is no base64");
        }
        let text = part.get("text").map_or(Some(""), Value::as_str);
        let Some(text) = text else { return self.slip("`text` is no string") };
        let call = part.get("functionCall").map(|call| HeardCall {
            id: call.get("id").and_then(Value::as_str).unwrap_or_default().to_owned(),
            name: call.get("name").and_then(Value::as_str).unwrap_or_default().to_owned(),
            arguments: call.get("args").map_or_else(|| "{}".to_owned(), Value::to_string),
        });
        if part.get("functionCall").is_some_and(|call| call.get("args").is_some_and(|args| !args.is_object())) {
            self.slip("`args` is no object");
        }
        if call.as_ref().is_some_and(|call| call.name.is_empty()) {
            self.slip("a call without `name`");
        }
        let choice = self.heard.choices.entry(index).or_default();
        if part.get("thought") == Some(&Value::Bool(true)) {
            choice.reasoning.push_str(text);
        } else {
            choice.text.push_str(text);
        }
        choice.calls.extend(call);
    }

    fn close(&mut self) {
        if self.heard.ended == Ended::Error {
            return;
        }
        let told = !self.heard.choices.is_empty() || self.blocked;
        if told && self.heard.choices.values().all(|choice| choice.finish.is_some()) {
            self.heard.ended = Ended::Complete;
        }
        if self.usage.is_empty() {
            return;
        }
        let count = |key: &str| self.usage.get(key).and_then(Value::as_u64).unwrap_or(0);
        let reasoning = count("thoughtsTokenCount");
        let counts = Counts {
            input: count("promptTokenCount") + count("toolUsePromptTokenCount"),
            cached: count("cachedContentTokenCount"),
            cache_write: 0,
            output: count("candidatesTokenCount") + reasoning,
            reasoning,
        };
        let total = count("totalTokenCount");
        if self.heard.ended == Ended::Complete && total != counts.input + counts.output {
            self.slip("`totalTokenCount` is not the sum");
        }
        if counts.cached > counts.input {
            self.slip("a share of the usage is larger than the whole");
        }
        self.heard.usage = Some(counts);
    }

    fn error(&mut self, error: &Value) {
        self.heard.ended = Ended::Error;
        let message = error.get("message").and_then(Value::as_str).unwrap_or_default();
        self.heard.error = Some(message.to_owned());
        if message.is_empty() || !error.get("code").is_some_and(Value::is_u64) {
            self.slip("an error without `message` or `code`");
        }
        if error.get("status").and_then(Value::as_str).is_none_or(str::is_empty) {
            self.slip("an error without `status`");
        }
    }
}

fn is_bytes(value: &Value) -> bool {
    use base64::Engine as _;
    value.as_str().is_some_and(|text| base64::engine::general_purpose::STANDARD.decode(text).is_ok())
}
