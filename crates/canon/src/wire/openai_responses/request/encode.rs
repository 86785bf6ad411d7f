//! Writing a request: what this wire can say is said, everything else becomes a named loss.

use super::parts::{encode_citation, encode_input, encode_media, encode_said, own, typed};
use super::settings::settings;
use crate::Extras;
use crate::request::{Message, Part, Request, Role, Seal};
use crate::wire::openai_responses::items::{HOME, ITEM, home_of, home_str, same_item};
use crate::wire::openai_responses::{ID, ids};
use crate::wire::writer::{Writer, put};
use crate::wire::{Encoded, Target, orphans};
use serde_json::{Value, json};

/// What a provider that takes thinking back in plain words is said to accept.
const PLAIN_REASONING: &str = "reasoning_content";

pub(in crate::wire::openai_responses) fn encode(request: &Request, target: &Target) -> Encoded {
    let mut pen = Writer::new(request.origin, ID);
    let request = &*orphans::mend(request, &mut pen);
    let mut body = Extras::new();
    body.insert("model".to_owned(), target.model.clone().into());
    let mut items = Vec::new();
    for (index, message) in request.messages.iter().enumerate() {
        if is_instructions(message) {
            let text: String = message.parts.iter().filter_map(Part::as_text).collect();
            body.insert("instructions".to_owned(), text.into());
        } else {
            encode_message(message, &format!("messages[{index}]"), target, &mut pen, &mut items);
        }
    }
    if !items.is_empty() || !has_state(request) {
        body.insert("input".to_owned(), plain_input(items));
    }
    settings(request, target, &mut pen, &mut body);
    if request.stream {
        body.insert("stream".to_owned(), true.into());
    }
    pen.quirks(&target.quirks, &mut body);
    Encoded { body: Value::Object(body), losses: pen.losses() }
}

/// Whether the message came as `instructions`.
pub(in crate::wire::openai_responses) fn is_instructions(message: &Message) -> bool {
    message.extras.get(HOME).and_then(|home| home.get("instructions")).is_some()
}

fn has_state(request: &Request) -> bool {
    request.state.previous.is_some() || request.state.conversation.is_some() || request.extras.contains_key("prompt")
}

/// One plain text of the user alone is written as a string.
fn plain_input(items: Vec<Value>) -> Value {
    if let [Value::Object(only)] = items.as_slice()
        && only.len() == 3
        && only.get("role").and_then(Value::as_str) == Some("user")
        && let Some(Value::String(text)) = only.get("content")
    {
        return text.clone().into();
    }
    Value::Array(items)
}

fn encode_message(message: &Message, path: &str, target: &Target, pen: &mut Writer, out: &mut Vec<Value>) {
    if message.role == Role::Assistant {
        return encode_turn(message, path, target, pen, out);
    }
    let mut said = Vec::new();
    for (index, part) in message.parts.iter().enumerate() {
        let at = format!("{path}.content[{index}]");
        match part {
            Part::ToolResult { .. } => encode_result(part, &at, target, pen, out),
            Part::Native { body } if message.role == Role::Tool && pen.home => out.push(body.clone()),
            other if message.role != Role::Tool => said.extend(encode_input(other, &at, target, pen)),
            _ => pen.drop(at),
        }
    }
    if message.name.is_some() {
        pen.drop(format!("{path}.name"));
    }
    if message.role == Role::Tool || (said.is_empty() && !message.parts.is_empty()) {
        return pen.extras(&message.extras, path, &mut Extras::new());
    }
    let mut fields = typed("message");
    let home = message.extras.get(HOME).and_then(Value::as_object).filter(|_| pen.home);
    bookkeeping(home, "msg", &mut fields);
    fields.insert("role".to_owned(), role(message.role, target).into());
    fields.insert("content".to_owned(), plain_or_list(said));
    pen.extras(&message.extras, path, &mut fields);
    out.push(Value::Object(fields));
}

fn role(role: Role, target: &Target) -> &'static str {
    match role {
        Role::Developer if !target.quirks.no_developer_role => "developer",
        Role::System | Role::Developer => "system",
        Role::User | Role::Tool => "user",
        Role::Assistant => "assistant",
    }
}

/// Puts back an item's id and state; an id with a prefix not its own, or one that we made, would be refused.
fn bookkeeping(home: Option<&Extras>, prefix: &str, fields: &mut Extras) {
    put(fields, "id", home_str(home, "id").filter(|id| ids::is_theirs(prefix, id)));
    put(fields, "status", home_str(home, "status"));
}

/// One plain text is written as a string.
fn plain_or_list(mut parts: Vec<Value>) -> Value {
    if let [Value::Object(only)] = parts.as_mut_slice()
        && only.len() == 2
        && only.get("type").and_then(Value::as_str) == Some("input_text")
    {
        return only.shift_remove("text").unwrap_or_default();
    }
    if parts.is_empty() { "".into() } else { Value::Array(parts) }
}

fn encode_result(part: &Part, path: &str, target: &Target, pen: &mut Writer, out: &mut Vec<Value>) {
    let Part::ToolResult { call_id, content, is_error, cache, extras } = part else { return };
    let parts = content
        .iter()
        .enumerate()
        .filter_map(|(index, part)| encode_input(part, &format!("{path}.content[{index}]"), target, pen))
        .collect();
    if *is_error {
        pen.drop(format!("{path}.is_error"));
    }
    if cache.is_some() {
        pen.drop(format!("{path}.cache_control"));
    }
    let mut fields = typed("function_call_output");
    let home = home_of(part).filter(|_| pen.home);
    put(&mut fields, "id", home_str(home, "id").filter(|id| !ids::is_made(id)));
    fields.insert("call_id".to_owned(), ids::call_id(call_id).into());
    fields.insert("output".to_owned(), plain_or_list(parts));
    put(&mut fields, "status", home_str(home, "status"));
    pen.extras(extras, path, &mut fields);
    out.push(Value::Object(fields));
}

/// A turn of the model: its parts go back into the items they came from.
fn encode_turn(message: &Message, path: &str, target: &Target, pen: &mut Writer, out: &mut Vec<Value>) {
    let mut index = 0;
    for parts in message.parts.chunk_by(same_item) {
        let at = |offset: usize| format!("{path}.content[{}]", index + offset);
        match parts {
            [part @ Part::ToolCall { .. }] => out.push(encode_call(part, &at(0), pen)),
            [part @ Part::ToolResult { .. }] => encode_result(part, &at(0), target, pen, out),
            [Part::Native { body }] if pen.home => out.push(body.clone()),
            [Part::Native { .. }] => pen.drop(at(0)),
            [Part::Reasoning { .. }, ..] => encode_thinking(parts, at, target, pen, out),
            _ => encode_said_item(parts, at, target, pen, out),
        }
        index += parts.len();
    }
    if message.name.is_some() {
        pen.drop(format!("{path}.name"));
    }
    pen.extras(&message.extras, path, &mut Extras::new());
}

fn encode_call(part: &Part, path: &str, pen: &mut Writer) -> Value {
    let mut fields = typed("function_call");
    bookkeeping(home_of(part).filter(|_| pen.home), "fc", &mut fields);
    if let Part::ToolCall { call_id, name, arguments, seal, cache, extras } = part {
        if seal.is_some() {
            pen.drop(format!("{path}.signature"));
        }
        if cache.is_some() {
            pen.drop(format!("{path}.cache_control"));
        }
        fields.insert("call_id".to_owned(), ids::call_id(call_id).into());
        fields.insert("name".to_owned(), name.clone().into());
        // No arguments is `{}` on this wire: an empty text is no JSON.
        fields.insert("arguments".to_owned(), if arguments.is_empty() { "{}" } else { arguments }.into());
        pen.extras(extras, path, &mut fields);
    }
    Value::Object(fields)
}

/// A message of the model. Plain words need no id and no list; everything else is an output message, which has both.
fn encode_said_item(
    parts: &[Part],
    at: impl Fn(usize) -> String,
    target: &Target,
    pen: &mut Writer,
    out: &mut Vec<Value>,
) {
    let home = parts.first().and_then(home_of).filter(|_| pen.home);
    if home.is_none_or(Extras::is_empty) && parts.iter().all(|part| is_plain(part, pen.home)) {
        for (offset, part) in parts.iter().enumerate() {
            lose_abroad(part, &at(offset), pen);
            if let Some(text) = part.as_text().filter(|text| !text.is_empty()) {
                out.push(json!({"type": "message", "role": "assistant", "content": text}));
            }
        }
        return;
    }
    let mut content = Vec::new();
    let mut rest = Extras::new();
    for (offset, part) in parts.iter().enumerate() {
        let path = at(offset);
        if let Part::Media(media) = part {
            // The wire's types know no picture of the model here; only what came so goes back so.
            if pen.home {
                content.extend(encode_media(media, &path, target, pen));
            } else {
                pen.drop(path.clone());
            }
        } else if let Some(fields) = encode_said(part, pen.home) {
            content.push(Value::Object(fields));
            lose_abroad(part, &path, pen);
        }
        if let Some(Value::Object(more)) = part.extras().and_then(|extras| extras.get(ITEM)) {
            rest.extend(more.clone());
        }
    }
    if content.is_empty() {
        return;
    }
    let mut fields = typed("message");
    let id = home_str(home, "id").filter(|id| ids::is_theirs("msg", id));
    let id = id.map_or_else(|| ids::made("msg", "", out.len()), str::to_owned);
    fields.insert("id".to_owned(), id.into());
    fields.insert("role".to_owned(), "assistant".into());
    fields.insert("status".to_owned(), home_str(home, "status").unwrap_or("completed").into());
    fields.insert("content".to_owned(), Value::Array(content));
    if pen.home {
        fields.extend(rest);
    }
    out.push(Value::Object(fields));
}

/// Whether a part is words and nothing else that the wire could say.
fn is_plain(part: &Part, home: bool) -> bool {
    match part {
        Part::Text { citations, logprobs, extras, .. } => {
            citations.iter().all(|citation| encode_citation(citation, home).is_none())
                && logprobs.is_empty()
                && (!home || extras.keys().all(|key| key == HOME))
        }
        _ => false,
    }
}

/// Names what a text of the model brings from another wire and an output text cannot say.
fn lose_abroad(part: &Part, path: &str, pen: &mut Writer) {
    if let Part::Text { cache, citations, seal, .. } = part {
        if seal.is_some() {
            pen.drop(format!("{path}.signature"));
        }
        if cache.is_some() {
            pen.drop(format!("{path}.cache_control"));
        }
        if citations.iter().any(|citation| encode_citation(citation, pen.home).is_none()) {
            pen.drop(format!("{path}.citations"));
        } else if !pen.home && citations.iter().any(|citation| !citation.extras.is_empty()) {
            // What the other wire says of its sources beside address and title.
            pen.weaken(format!("{path}.citations"));
        }
    }
    if !pen.home
        && let Some(extras) = part.extras()
    {
        pen.extras(extras, path, &mut Extras::new());
    }
}

/// Whether the target can read the seal.
fn can_read(seal: &Seal, target: &Target, pen: &Writer) -> bool {
    match &seal.signer {
        Some(signer) => *signer == target.signer,
        None => pen.home,
    }
}

/// Thinking. Sealed by another maker it would be refused, and the words without their seal as well.
fn encode_thinking(
    parts: &[Part],
    at: impl Fn(usize) -> String,
    target: &Target,
    pen: &mut Writer,
    out: &mut Vec<Value>,
) {
    let home = parts.first().and_then(home_of).filter(|_| pen.home);
    let seal = parts.last().and_then(|part| if let Part::Reasoning { seal, .. } = part { seal.as_ref() } else { None });
    let id = home_str(home, "id");
    let stored = pen.home && !id.is_some_and(ids::is_made);
    let said = match seal {
        Some(seal) if can_read(seal, target, pen) => true,
        Some(_) => {
            pen.drop(format!("{}.signature", at(parts.len() - 1)));
            false
        }
        None => stored || target.quirks.accepts(PLAIN_REASONING),
    };
    if !said {
        return (0..parts.len()).for_each(|offset| pen.drop(at(offset)));
    }
    let (mut summary, mut content, mut rest) = (Vec::new(), Vec::new(), Extras::new());
    for (offset, part) in parts.iter().enumerate() {
        let Part::Reasoning { text, summary: is_summary, extras, .. } = part else { continue };
        if let Some(Value::Object(more)) = extras.get(ITEM) {
            rest.extend(more.clone());
        }
        if text.is_empty() {
            continue;
        }
        // Beside a seal only summaries are taken back; from another wire the words are one.
        let is_summary = *is_summary || (seal.is_some() && !pen.home);
        let mut piece = typed(if is_summary { "summary_text" } else { "reasoning_text" });
        piece.insert("text".to_owned(), text.clone().into());
        pen.extras(&own(extras), &at(offset), &mut piece);
        if is_summary { &mut summary } else { &mut content }.push(Value::Object(piece));
    }
    let mut fields = typed("reasoning");
    bookkeeping(home, "rs", &mut fields);
    fields.insert("summary".to_owned(), Value::Array(summary));
    if !content.is_empty() {
        fields.insert("content".to_owned(), Value::Array(content));
    }
    // A mere reference is said by the id.
    let block = seal.map(|seal| seal.data.clone()).filter(|data| Some(data.as_str()) != id);
    put(&mut fields, "encrypted_content", block);
    pen.extras(&rest, &at(parts.len() - 1), &mut fields);
    out.push(Value::Object(fields));
}
