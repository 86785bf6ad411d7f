//! Writing the conversation: instructions on top, then turns of the user and the assistant.

use super::ink::Ink;
use crate::Extras;
use crate::media::{Media, MediaKind, Source};
use crate::request::{Message, Part, Request, Role, Seal};
use crate::wire::bedrock_converse::{block, media};
use crate::wire::calls;
use crate::wire::turns::{Blocks, Kind, Turn};
use crate::wire::writer::Writer;
use serde_json::Value;

/// In the extras of a message of the system: it stands among the turns, not on top.
pub(super) const TURN: &str = "~turn";

/// What stands beside documents that came without a word: the wire demands one.
const BESIDE_DOCUMENTS: &str = "(See the document.)";

/// Writes every message: the blocks of `system`, and the turns.
pub(super) fn encode(request: &Request, ink: &mut Ink<'_>) -> (Vec<Value>, Vec<Turn>) {
    let (mut system, mut turns) = (Vec::new(), Vec::new());
    for (index, message) in request.messages.iter().enumerate() {
        let path = format!("messages[{index}]");
        match message.role {
            Role::System | Role::Developer if ink.pen.home && message.extras.contains_key(TURN) => {
                encode_turn("system", message, &path, ink, &mut turns);
            }
            Role::System | Role::Developer => {
                if !turns.is_empty() {
                    // Instructions stand on top only: which turn they came after is lost.
                    ink.pen.weaken(path.clone());
                }
                encode_instructions(message, &path, ink, &mut system);
            }
            Role::User | Role::Tool => encode_turn("user", message, &path, ink, &mut turns),
            Role::Assistant => encode_turn("assistant", message, &path, ink, &mut turns),
        }
    }
    (system, turns)
}

fn encode_instructions(message: &Message, path: &str, ink: &mut Ink<'_>, system: &mut Vec<Value>) {
    for (index, part) in message.parts.iter().enumerate() {
        let at = format!("{path}.content[{index}]");
        match part {
            Part::Text { .. } => encode_part(part, "system", &at, ink, system),
            Part::Native { body } if ink.pen.home => system.push(body.clone()),
            _ => ink.pen.drop(at),
        }
    }
    lose_speaker(message, path, ink);
    ink.pen.extras(&message.extras, path, &mut Extras::new());
}

fn lose_speaker(message: &Message, path: &str, ink: &mut Ink<'_>) {
    if message.name.is_some() {
        ink.pen.drop(format!("{path}.name"));
    }
}

fn encode_turn(role: &'static str, message: &Message, path: &str, ink: &mut Ink<'_>, turns: &mut Vec<Turn>) {
    let mut blocks = Vec::new();
    for (index, part) in message.parts.iter().enumerate() {
        encode_part(part, role, &format!("{path}.content[{index}]"), ink, &mut blocks);
    }
    lose_speaker(message, path, ink);
    let mut extras = Extras::new();
    ink.pen.extras(&message.extras, path, &mut extras);
    // A message of which nothing is left would be refused; one that the client sent empty is its own affair.
    if blocks.is_empty() && !(ink.pen.home && message.parts.is_empty()) {
        return;
    }
    turns.push(Turn { role, blocks, extras });
}

/// A turn as a message.
pub(super) fn into_value(turn: Turn) -> Value {
    let mut body = Extras::new();
    body.insert("role".to_owned(), turn.role.into());
    body.insert("content".to_owned(), Value::Array(turn.blocks));
    body.extend(turn.extras);
    Value::Object(body)
}

/// Words beside documents that have none.
pub(super) fn accompany(turns: &mut [Turn], pen: &mut Writer) {
    for (index, turn) in turns.iter_mut().enumerate() {
        let has_document = turn.blocks.iter().any(|block| block.get("document").is_some());
        if has_document && !turn.blocks.iter().any(|block| block::Converse::kind(block) == Kind::Text) {
            pen.emulate(format!("messages[{index}]"));
            turn.blocks.push(block::Converse::text(BESIDE_DOCUMENTS));
        }
    }
}

fn encode_part(part: &Part, role: &str, path: &str, ink: &mut Ink<'_>, out: &mut Vec<Value>) {
    match part {
        Part::Text { text, citations, logprobs, seal, cache, extras } => {
            if !logprobs.is_empty() {
                ink.pen.drop(format!("{path}.logprobs"));
            }
            lose_seal(seal.as_ref(), path, ink);
            if !ink.pen.home && text.trim().is_empty() {
                if !text.is_empty() || cache.is_some() {
                    ink.pen.drop(path);
                }
                return;
            }
            if !ink.pen.home && !citations.is_empty() {
                // The wire takes back only citations that it made itself.
                ink.pen.drop(format!("{path}.citations"));
            }
            let citations = if ink.pen.home { citations.as_slice() } else { &[] };
            ink.finish(block::text(text, citations, extras, ink.pen.home), cache.as_ref(), extras, path, out);
        }
        Part::Refusal { text, extras } => {
            ink.pen.weaken(path);
            if !text.trim().is_empty() {
                ink.finish(block::text(text, &[], extras, false), None, extras, path, out);
            }
        }
        Part::Reasoning { text, seal, extras, .. } => encode_reasoning(text, seal.as_ref(), extras, path, ink, out),
        Part::ToolCall { call_id, name, arguments, seal, cache, extras } => {
            lose_seal(seal.as_ref(), path, ink);
            let input = call_input(arguments, path, ink);
            let id = ink.call(call_id);
            ink.finish(block::tool_use(&id, name, Some(input)), cache.as_ref(), extras, path, out);
        }
        Part::ToolResult { call_id, content, is_error, cache, extras } => {
            let mut blocks = Vec::new();
            for (index, part) in content.iter().enumerate() {
                encode_part(part, "user", &format!("{path}.content[{index}]"), ink, &mut blocks);
            }
            let id = ink.result(call_id);
            ink.finish(block::tool_result(&id, blocks, *is_error, extras), cache.as_ref(), extras, path, out);
        }
        Part::Media(media) => {
            if let Some(body) = encode_media(media, role, path, ink) {
                ink.finish(body, media.cache.as_ref(), &media.extras, path, out);
            }
        }
        Part::Native { body } if ink.pen.home => out.push(body.clone()),
        Part::Native { .. } => ink.pen.drop(path),
    }
}

fn lose_seal(seal: Option<&Seal>, path: &str, ink: &mut Ink<'_>) {
    if seal.is_some() {
        ink.pen.drop(format!("{path}.signature"));
    }
}

/// At home a document of any kind; from abroad an object.
fn call_input(arguments: &str, path: &str, ink: &mut Ink<'_>) -> Value {
    if ink.pen.home
        && let Ok(input) = serde_json::from_str(arguments)
    {
        return input;
    }
    calls::input(arguments).unwrap_or_else(|wrapped| {
        ink.pen.emulate(format!("{path}.arguments"));
        wrapped
    })
}

/// Thinking goes back only with a signature that the target made; a foreign one would be refused. At home there is
/// thinking without: models that sign nothing.
fn encode_reasoning(
    text: &str,
    seal: Option<&Seal>,
    extras: &Extras,
    path: &str,
    ink: &mut Ink<'_>,
    out: &mut Vec<Value>,
) {
    let ours = seal.filter(|seal| match &seal.signer {
        Some(signer) => *signer == ink.target.signer,
        None => ink.pen.home,
    });
    if ours.is_some() || (ink.pen.home && seal.is_none()) {
        return ink.finish(block::thinking(text, ours), None, extras, path, out);
    }
    lose_seal(seal, path, ink);
    if !text.is_empty() || !extras.is_empty() {
        ink.pen.drop(path);
    }
}

fn encode_media(media: &Media, role: &str, path: &str, ink: &mut Ink<'_>) -> Option<Extras> {
    let said = ink.pen.home || role == "user";
    let Some(mut body) = said.then(|| media::encode(media, ink.pen.home)).flatten() else {
        ink.pen.drop(path);
        return None;
    };
    if media.kind == MediaKind::Document {
        if let Source::Text { mime, .. } = &media.source
            && media::format_of(media.kind, mime).is_none()
        {
            ink.pen.weaken(format!("{path}.mime"));
        }
        if let Some(Value::Object(inner)) = body.get_mut("document") {
            inner.insert("name".to_owned(), ink.document_name(media.name.as_deref(), path).into());
        }
    } else if media.name.is_some() {
        ink.pen.drop(format!("{path}.name"));
    }
    if media.detail.as_deref().is_some_and(|detail| detail != "auto") {
        ink.pen.drop(format!("{path}.detail"));
    }
    Some(body)
}
