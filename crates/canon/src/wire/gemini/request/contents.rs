//! Writing the conversation. The wire knows two speakers, `user` and `model`; instructions stand apart, results of
//! tools are the user's and must follow their calls at once, all in one turn. At home every turn is written as it was
//! read; abroad results of one turn are gathered.

use super::words;
use crate::Extras;
use crate::media::Media;
use crate::request::{CacheMark, Message, Part, Request, Role};
use crate::wire::Target;
use crate::wire::gemini::{model, part, seal};
use crate::wire::writer::{Writer, put};
use serde_json::{Value, json};

/// What the maker documents for calls that its models did not sign.
const UNSIGNED: &str = "skip_thought_signature_validator";

/// Writes instructions and contents.
pub(super) fn encode(request: &Request, target: &Target, pen: &mut Writer) -> (Option<Value>, Vec<Value>) {
    let mut room =
        Room { request, target, pen, third: model::of(&target.model).third, turns: Vec::new(), later: Vec::new() };
    let mut system: Option<Extras> = None;
    for (index, message) in request.messages.iter().enumerate() {
        let path = format!("messages[{index}]");
        let is_instruction = matches!(message.role, Role::System | Role::Developer);
        if is_instruction && room.turns.is_empty() {
            let content = room.content(message, index, &path, "");
            match &mut system {
                None => system = Some(content),
                Some(system) => append(system, content),
            }
            continue;
        }
        if is_instruction {
            // Instructions stand only at the start; here they keep their place, not their rank.
            room.pen.weaken(format!("{path}.role"));
        }
        room.turn(message, index, &path);
    }
    room.flush();
    let mut turns = room.turns;
    if !pen.home && turns.is_empty() {
        // A conversation may not be empty on this wire.
        if let Some(content) = system.take_if(|content| has_parts(content)) {
            pen.weaken("messages[0].role");
            let mut fields = part::object(json!({"role": "user"}));
            fields.extend(content);
            turns.push(Turn { fields, results: false });
        }
    }
    let system = system.filter(|content| pen.home || has_parts(content));
    (system.map(Value::Object), turns.into_iter().map(|turn| Value::Object(turn.fields)).collect())
}

struct Turn {
    fields: Extras,
    /// Whether it holds results of tools and nothing else.
    results: bool,
}

struct Room<'a> {
    request: &'a Request,
    target: &'a Target,
    pen: &'a mut Writer,
    third: bool,
    turns: Vec<Turn>,
    /// Media of results, for models that take none in a result: they follow in a turn of their own.
    later: Vec<Value>,
}

fn has_parts(content: &Extras) -> bool {
    content.get("parts").and_then(Value::as_array).is_some_and(|parts| !parts.is_empty())
}

fn append(content: &mut Extras, more: Extras) {
    for (key, value) in more {
        match (content.get_mut(&key), value) {
            (Some(Value::Array(parts)), Value::Array(more)) => parts.extend(more),
            (_, value) => {
                content.insert(key, value);
            }
        }
    }
}

impl Room<'_> {
    fn turn(&mut self, message: &Message, index: usize, path: &str) {
        let role = if message.role == Role::Assistant { "model" } else { "user" };
        if self.pen.home {
            let content = self.content(message, index, path, role);
            self.turns.push(Turn { fields: content, results: false });
            return;
        }
        let is_result = |part: &&Part| matches!(part, Part::ToolResult { .. });
        let mut results: Vec<Value> = Vec::new();
        for (at, part) in message.parts.iter().enumerate().filter(|(_, part)| is_result(part)) {
            results.extend(self.result(part, index, &format!("{path}.content[{at}]")));
        }
        if !results.is_empty() {
            match self.turns.last_mut() {
                Some(Turn { fields, results: true }) => append(fields, part::object(json!({"parts": results}))),
                _ => {
                    let fields = part::object(json!({"role": "user", "parts": results}));
                    self.turns.push(Turn { fields, results: true });
                }
            }
        }
        if message.parts.iter().all(|part| is_result(&part)) && !message.parts.is_empty() {
            self.pen.extras(&message.extras, path, &mut Extras::new());
            return;
        }
        let content = self.content(message, index, path, role);
        if has_parts(&content) {
            self.flush();
            self.turns.push(Turn { fields: content, results: false });
        }
    }

    fn flush(&mut self) {
        if !self.later.is_empty() {
            let parts = std::mem::take(&mut self.later);
            self.turns.push(Turn { fields: part::object(json!({"role": "user", "parts": parts})), results: false });
        }
    }

    /// One content with the parts of `message` (abroad without its results); no role where `role` is empty.
    fn content(&mut self, message: &Message, index: usize, path: &str, role: &str) -> Extras {
        let mut content = Extras::new();
        put(&mut content, "role", Some(role).filter(|role| !role.is_empty()));
        if let Some(word) = message.extras.get("~role").filter(|_| self.pen.home) {
            content.insert("role".to_owned(), word.clone());
        }
        if message.name.is_some() {
            self.pen.drop(format!("{path}.name"));
        }
        let mut parts = Vec::new();
        for (at, part) in message.parts.iter().enumerate() {
            let path = format!("{path}.content[{at}]");
            if let Part::ToolResult { .. } = part {
                if self.pen.home {
                    parts.extend(self.result(part, index, &path));
                }
            } else {
                parts.extend(self.part(part, &path));
            }
        }
        if self.third {
            sign(&mut parts);
        }
        content.insert("parts".to_owned(), Value::Array(parts));
        self.pen.extras(&message.extras, path, &mut content);
        content
    }

    fn part(&mut self, part: &Part, path: &str) -> Option<Value> {
        let mut fields = Extras::new();
        match part {
            Part::Text { text, citations, logprobs, seal, cache, extras } => {
                if !logprobs.is_empty() {
                    self.pen.drop(format!("{path}.logprobs"));
                }
                if !citations.is_empty() {
                    self.pen.drop(format!("{path}.citations"));
                }
                self.lose_cache(cache.as_ref(), path);
                let signature = seal.as_ref().and_then(|seal| self.signature(seal, path));
                if text.is_empty() && signature.is_none() && !self.pen.home {
                    return None;
                }
                fields.insert("text".to_owned(), text.clone().into());
                put(&mut fields, "thoughtSignature", signature);
                self.pen.extras(extras, path, &mut fields);
            }
            Part::Refusal { text, extras } => {
                self.pen.weaken(path);
                fields.insert("text".to_owned(), text.clone().into());
                self.pen.extras(extras, path, &mut fields);
            }
            Part::Reasoning { text, seal, extras, .. } => {
                let signature = seal.as_ref().and_then(|seal| self.signature(seal, path));
                let unreadable = signature.is_none() && seal.as_ref().is_some_and(|seal| seal.redacted);
                if unreadable || (text.is_empty() && signature.is_none() && !self.pen.home) {
                    self.pen.drop(path);
                    return None;
                }
                fields.insert("text".to_owned(), text.clone().into());
                fields.insert("thought".to_owned(), true.into());
                put(&mut fields, "thoughtSignature", signature);
                self.pen.extras(extras, path, &mut fields);
            }
            Part::Media(media) => return self.media(media, path),
            Part::ToolCall { .. } => self.call(part, path, &mut fields),
            Part::Native { body } if self.pen.home => return Some(body.clone()),
            Part::Native { .. } | Part::ToolResult { .. } => {
                self.pen.drop(path);
                return None;
            }
        }
        Some(Value::Object(fields))
    }

    fn signature(&mut self, seal: &crate::Seal, path: &str) -> Option<String> {
        if seal::readable(seal, self.pen.home, self.target) {
            return Some(seal.data.clone());
        }
        self.pen.drop(format!("{path}.signature"));
        None
    }

    /// Names what stands beside words of a result, which are one text on this wire.
    fn lose_beside(&mut self, part: &Part, path: &str) {
        if let Part::Text { citations, logprobs, cache, .. } = part {
            for (key, said) in [("citations", !citations.is_empty()), ("logprobs", !logprobs.is_empty())] {
                if said {
                    self.pen.drop(format!("{path}.{key}"));
                }
            }
            self.lose_cache(cache.as_ref(), path);
        }
        if let Some(extras) = part.extras() {
            self.pen.extras(extras, path, &mut Extras::new());
        }
    }

    fn lose_cache(&mut self, cache: Option<&CacheMark>, path: &str) {
        if cache.is_some() {
            self.pen.drop(format!("{path}.cache_control"));
        }
    }

    fn media(&mut self, media: &Media, path: &str) -> Option<Value> {
        let home = self.pen.home;
        let Some((key, mut inner)) = part::encode_source(media, home) else {
            self.pen.drop(path);
            return None;
        };
        if home {
            put(&mut inner, "displayName", media.name.clone());
        } else if media.name.is_some() {
            self.pen.drop(format!("{path}.name"));
        }
        if media.detail.as_deref().is_some_and(|detail| detail != "auto") {
            self.pen.drop(format!("{path}.detail"));
        }
        self.lose_cache(media.cache.as_ref(), path);
        Some(Value::Object(self.wrapped(key, inner, &media.extras, path)))
    }

    /// A part that is one object under `key`, with the extras of both.
    fn wrapped(&mut self, key: &str, inner: Extras, extras: &Extras, path: &str) -> Extras {
        let mut flat = Extras::new();
        self.pen.extras(extras, path, &mut flat);
        part::wrap(key, inner, flat)
    }

    fn call(&mut self, part: &Part, path: &str, fields: &mut Extras) {
        let Part::ToolCall { call_id, name, arguments, seal, cache, extras } = part else { return };
        let signature = seal.as_ref().and_then(|seal| self.signature(seal, path));
        self.lose_cache(cache.as_ref(), path);
        let mut call = Extras::new();
        put(&mut call, "id", part::wire_id(call_id));
        call.insert("name".to_owned(), name.clone().into());
        if !(self.pen.home && arguments.is_empty()) {
            let (args, whole) = part::arguments(arguments);
            if !whole {
                self.pen.weaken(format!("{path}.arguments"));
            }
            call.insert("args".to_owned(), args);
        }
        *fields = self.wrapped("functionCall", call, extras, path);
        put(fields, "thoughtSignature", signature);
    }

    fn result(&mut self, part: &Part, index: usize, path: &str) -> Option<Value> {
        let Part::ToolResult { call_id, content, is_error, cache, extras } = part else { return None };
        self.lose_cache(cache.as_ref(), path);
        let mut texts: Vec<&str> = Vec::new();
        let mut media = Vec::new();
        for (at, item) in content.iter().enumerate() {
            let path = format!("{path}.content[{at}]");
            match item {
                Part::Text { text, .. } | Part::Refusal { text, .. } => {
                    texts.push(text);
                    self.lose_beside(item, &path);
                }
                Part::Media(item) => {
                    let Some(value) = self.media(item, &path) else { continue };
                    if self.third || self.pen.home {
                        media.push(value);
                    } else {
                        self.pen.emulate(path);
                        self.later.push(value);
                    }
                }
                Part::Native { body } if self.pen.home => media.push(body.clone()),
                _ => self.pen.drop(path),
            }
        }
        let mut result = Extras::new();
        put(&mut result, "id", part::wire_id(call_id));
        let name = extras.get("~name").and_then(Value::as_str).filter(|_| self.pen.home);
        result.insert("name".to_owned(), name.unwrap_or_else(|| self.name_of(call_id, index)).into());
        if !(self.pen.home && texts.is_empty()) {
            result.insert("response".to_owned(), response(&texts.join("\n"), *is_error));
        }
        if !media.is_empty() {
            result.insert("parts".to_owned(), Value::Array(media));
        }
        Some(Value::Object(self.wrapped("functionResponse", result, extras, path)))
    }

    /// The function that a result answers: this wire demands its name, the canon knows only the call.
    fn name_of(&self, id: &str, before: usize) -> &str {
        let earlier = self.request.messages.iter().take(before).rev().flat_map(|message| &message.parts);
        let mut names = earlier.filter_map(|part| match part {
            Part::ToolCall { call_id, name, .. } if call_id == id => Some(name.as_str()),
            _ => None,
        });
        let message = self.request.messages.get(before);
        names.next().or_else(|| message.and_then(|message| message.name.as_deref())).unwrap_or("unknown")
    }
}

/// A result as the object that this wire demands: words in `output` or `error`, an object as itself.
fn response(text: &str, is_error: bool) -> Value {
    if let Ok(value @ Value::Object(_)) = serde_json::from_str::<Value>(text)
        && words(&value).is_none()
        && (!is_error || value.get("error").is_some_and(|error| !error.is_null()))
    {
        return value;
    }
    if is_error { json!({"error": text}) } else { json!({"output": text}) }
}

/// Whether no turn in `body` calls without a signature. Either spelling of the fields is looked for.
pub(in crate::wire::gemini) fn is_signed(body: &[u8]) -> bool {
    let calls = [b"\"functionCall\"".as_slice(), b"\"function_call\""];
    if calls.iter().all(|call| memchr::memmem::find(body, call).is_none()) {
        return true;
    }
    let Ok(body) = serde_json::from_slice::<Value>(body) else { return true };
    let contents = body.get("contents").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    contents.iter().filter_map(|content| content.get("parts")?.as_array()).all(|parts| {
        let first = parts.iter().find(|part| has(part, "functionCall", "function_call"));
        first.is_none_or(|first| has(first, "thoughtSignature", "thought_signature"))
    })
}

fn has(part: &Value, key: &str, or: &str) -> bool {
    part.get(key).or_else(|| part.get(or)).is_some()
}

/// Models of the third generation refuse a turn whose first call has no signature.
fn sign(parts: &mut [Value]) {
    if let Some(Value::Object(first)) = parts.iter_mut().find(|part| part.get("functionCall").is_some()) {
        first.entry("thoughtSignature").or_insert_with(|| UNSIGNED.into());
    }
}
