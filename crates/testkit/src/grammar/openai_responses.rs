//! The grammar of OpenAI Responses streams, as the official Python and Node helpers (SDK 3.57.0) need it: numbered
//! events, items and their parts one inside the other, and everything told again at the end. Pure.

use super::openai_chat::error_shape;
use super::{Asked, Ended, Grammar, Heard, HeardCall, HeardChoice, sse};
use crate::provider::Counts;
use serde_json::{Map, Value};

/// The grammar.
#[derive(Debug)]
pub(super) struct OpenAiResponses;

/// Fields that every response object has.
const FIELDS: [&str; 10] = [
    "id",
    "object",
    "created_at",
    "model",
    "output",
    "parallel_tool_calls",
    "tool_choice",
    "tools",
    "error",
    "incomplete_details",
];

impl Grammar for OpenAiResponses {
    fn id(&self) -> &'static str {
        "openai-responses"
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
        if ear.heard.ended == Ended::Complete && asked.n.is_some_and(|n| n != 1) {
            ear.slip("one answer, not as many as asked for");
        }
        ear.heard
    }

    fn unary(&self, body: &[u8]) -> Heard {
        let mut ear = Ear::default();
        let Ok(Value::Object(body)) = serde_json::from_slice::<Value>(body) else {
            ear.slip("the body is no JSON object");
            return ear.heard;
        };
        if let (Some(error), false) = (body.get("error"), body.contains_key("output")) {
            error_shape(&mut ear.heard, 0, error);
            return ear.heard;
        }
        ear.last(&Value::Object(body));
        ear.heard
    }
}

#[derive(Debug, Default)]
struct Ear {
    heard: Heard,
    frame: usize,
    number: u64,
    started: bool,
    id: Value,
    /// The open item, with the words of its open part so far.
    open: Option<Item>,
    /// Items told whole.
    done: Vec<Value>,
}

#[derive(Debug)]
struct Item {
    id: Value,
    kind: String,
    /// The part that deltas go to, with its words.
    part: Option<String>,
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
        if body.get("sequence_number").and_then(Value::as_u64) != Some(self.number) {
            self.slip(format!("`sequence_number` is not {}", self.number));
        }
        self.number += 1;
        if !std::mem::replace(&mut self.started, true) && !matches!(kind.as_str(), "response.created" | "error") {
            self.slip(format!("`{kind}` before `response.created`"));
        }
        let response = body.get("response").cloned().unwrap_or_default();
        match kind.as_str() {
            "response.created" => {
                self.id = response.get("id").cloned().unwrap_or_default();
                self.response(&response, "in_progress");
            }
            "response.in_progress" | "response.queued" => self.response(&response, "in_progress"),
            "response.completed" | "response.incomplete" => self.last(&response),
            "response.failed" => {
                self.response(&response, "failed");
                self.failed(response.get("error").cloned().unwrap_or_default());
            }
            "error" => self.failed(Value::Object(body)),
            "response.output_item.added" => self.item_added(&body),
            "response.output_item.done" => self.item_done(&body),
            _ => self.within(&kind, &body),
        }
    }

    fn failed(&mut self, error: Value) {
        self.heard.ended = Ended::Error;
        let text = |key: &str| error.get(key).and_then(Value::as_str).unwrap_or_default();
        self.heard.error = Some(text("message").to_owned());
        if text("message").is_empty() || text("code").is_empty() {
            self.slip("an error without `message` or `code`");
        }
    }

    /// The response object in any state.
    fn response(&mut self, response: &Value, status: &str) {
        for key in FIELDS {
            if response.get(key).is_none() {
                self.slip(format!("a response without `{key}`"));
            }
        }
        let text = |key: &str| response.get(key).and_then(Value::as_str).unwrap_or_default();
        if text("object") != "response" || text("id").is_empty() {
            self.slip("no response object with an id");
        }
        if self.id.is_string() && response.get("id") != Some(&self.id) {
            self.slip("`id` is another than in `response.created`");
        }
        if !response.get("created_at").is_some_and(Value::is_number) {
            self.slip("`created_at` is no number");
        }
        if text("status") != status {
            self.slip(format!("`status` is not `{status}`"));
        }
        text("model").clone_into(&mut self.heard.model);
    }

    /// The response object that ends an answer, whole.
    fn last(&mut self, response: &Value) {
        let status = response.get("status").and_then(Value::as_str).unwrap_or_default();
        if !matches!(status, "completed" | "incomplete") {
            self.slip(format!("the answer ends as `{status}`"));
        }
        self.response(response, status);
        if self.open.is_some() {
            self.slip("the end while an item is open");
        }
        let output = response.get("output").and_then(Value::as_array).cloned().unwrap_or_default();
        if self.number > 0 && output != self.done {
            self.slip("the items at the end are not those that were told");
        }
        let mut choice = HeardChoice::default();
        output.iter().for_each(|item| self.item(item, &mut choice));
        let reason = response.pointer("/incomplete_details/reason").and_then(Value::as_str);
        if (status == "incomplete") != reason.is_some() {
            self.slip("`incomplete_details` does not go with `status`");
        }
        choice.finish = Some(reason.unwrap_or(status).to_owned());
        self.heard.choices.insert(0, choice);
        if let Some(usage) = response.get("usage").filter(|usage| !usage.is_null()) {
            self.usage(usage);
        }
        self.heard.ended = Ended::Complete;
    }

    fn item(&mut self, item: &Value, choice: &mut HeardChoice) {
        let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        if text(item, "id").is_empty() {
            self.slip("an item without `id`");
        }
        let list = |key: &str| item.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
        match text(item, "type").as_str() {
            "message" => {
                if text(item, "role") != "assistant" || text(item, "status").is_empty() {
                    self.slip("a message without `role` or `status`");
                }
                for part in list("content") {
                    match text(&part, "type").as_str() {
                        "output_text" => {
                            if !part.get("annotations").is_some_and(Value::is_array) {
                                self.slip("`annotations` is no list");
                            }
                            choice.text.push_str(&text(&part, "text"));
                        }
                        "refusal" => choice.refusal.push_str(&text(&part, "refusal")),
                        other => self.slip(format!("a part of type `{other}` in a message")),
                    }
                }
            }
            "reasoning" => {
                if !item.get("summary").is_some_and(Value::is_array) {
                    self.slip("`summary` is no list");
                }
                let words = list("summary").into_iter().chain(list("content"));
                words.for_each(|part| choice.reasoning.push_str(&text(&part, "text")));
            }
            "function_call" => {
                let call = HeardCall {
                    id: text(item, "call_id"),
                    name: text(item, "name"),
                    arguments: text(item, "arguments"),
                };
                if call.id.is_empty() || call.name.is_empty() {
                    self.slip("a call without `call_id` or `name`");
                }
                if text(item, "status") == "completed" && serde_json::from_str::<Value>(&call.arguments).is_err() {
                    self.slip("the arguments of a call are no JSON");
                }
                if choice.calls.iter().any(|known| known.id == call.id) {
                    self.slip(format!("two calls with the id `{}`", call.id));
                }
                choice.calls.push(call);
            }
            "" => self.slip("an item without `type`"),
            _ => {}
        }
    }

    fn item_added(&mut self, body: &Map<String, Value>) {
        if self.open.is_some() {
            self.slip("an item begins while another is open");
        }
        if body.get("output_index").and_then(Value::as_u64) != Some(self.done.len() as u64) {
            self.slip("`output_index` is not the next one");
        }
        let item = body.get("item").cloned().unwrap_or_default();
        let kind = item.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
        let part = (kind == "function_call").then(String::new);
        self.open = Some(Item { id: item.get("id").cloned().unwrap_or_default(), kind, part });
    }

    fn item_done(&mut self, body: &Map<String, Value>) {
        let item = body.get("item").cloned().unwrap_or_default();
        match self.open.take() {
            Some(open) if item.get("id") == Some(&open.id) => {
                if open.part.is_some() && open.kind != "function_call" {
                    self.slip("the end of an item whose part is open");
                }
            }
            Some(_) => self.slip("the end of another item than the open one"),
            None => self.slip("the end of no item"),
        }
        self.done.push(item);
    }

    /// An event inside an item.
    fn within(&mut self, kind: &str, body: &Map<String, Value>) {
        let Some(open) = &mut self.open else { return self.slip(format!("`{kind}` outside an item")) };
        if body.get("item_id").is_some_and(|id| *id != open.id) {
            return self.slip(format!("`{kind}` of another item than the open one"));
        }
        let text = |key: &str| body.get(key).and_then(Value::as_str);
        let (whole, slip) = match kind.rsplit_once('.') {
            Some(("response.content_part" | "response.reasoning_summary_part", "added")) => {
                (None, open.part.replace(String::new()).map(|_| "a part begins while another is open"))
            }
            Some(("response.content_part" | "response.reasoning_summary_part", "done")) => {
                (None, open.part.take().is_none().then_some("the end of no part"))
            }
            Some(("response.output_text" | "response.refusal" | "response.function_call_arguments", "delta"))
            | Some(("response.reasoning_text" | "response.reasoning_summary_text", "delta")) => {
                match (&mut open.part, text("delta")) {
                    (Some(part), Some(more)) => {
                        part.push_str(more);
                        (None, None)
                    }
                    _ => (None, Some("a delta of no part, or without `delta`")),
                }
            }
            Some(("response.refusal", "done")) => (Some("refusal"), None),
            Some(("response.function_call_arguments", "done")) => (Some("arguments"), None),
            Some(("response.output_text" | "response.reasoning_text" | "response.reasoning_summary_text", "done")) => {
                (Some("text"), None)
            }
            // Annotations, and what hosted tools say of themselves.
            _ => (None, None),
        };
        // A call whose arguments are left out is told as `{}`.
        let differs = whole.is_some_and(|key| {
            let said = open.part.as_deref().unwrap_or_default();
            text(key) != Some(said) && !(said.is_empty() && text(key) == Some("{}"))
        });
        if differs {
            self.slip(format!("`{kind}` tells other words than its deltas"));
        }
        if let Some(slip) = slip {
            self.slip(slip);
        }
    }

    fn usage(&mut self, usage: &Value) {
        let count = |pointer: &str| usage.pointer(pointer).and_then(Value::as_u64);
        let (input, output, total) = (count("/input_tokens"), count("/output_tokens"), count("/total_tokens"));
        let (cached, reasoning) =
            (count("/input_tokens_details/cached_tokens"), count("/output_tokens_details/reasoning_tokens"));
        let (Some(input), Some(output), Some(total), Some(cached), Some(reasoning)) =
            (input, output, total, cached, reasoning)
        else {
            return self.slip("`usage` lacks a count");
        };
        if total != input + output {
            self.slip("`total_tokens` is not the sum");
        }
        if cached > input || reasoning > output {
            self.slip("a share of the usage is larger than the whole");
        }
        let cache_write = count("/input_tokens_details/cache_write_tokens").unwrap_or(0);
        self.heard.usage = Some(Counts { input, cached, cache_write, output, reasoning });
    }
}
