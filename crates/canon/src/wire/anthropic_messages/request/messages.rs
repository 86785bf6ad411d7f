//! Writing the conversation: instructions on top, then turns of the user and the assistant.

use super::ink::Ink;
use crate::Extras;
use crate::json;
use crate::media::{Media, MediaKind, Source};
use crate::request::{Message, OutputFormat, Part, Request, Role, Seal};
use crate::wire::anthropic_messages::{ID, block};
use crate::wire::calls;
use crate::wire::turns::Turn;
use crate::wire::writer::put;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// Image types the wire takes.
const IMAGES: [&str; 4] = ["image/jpeg", "image/png", "image/gif", "image/webp"];

/// Writes every message: the blocks of `system`, and the turns.
pub(super) fn encode(request: &Request, ink: &mut Ink<'_>) -> (Vec<Value>, Vec<Turn>) {
    let (mut system, mut turns) = (Vec::new(), Vec::new());
    for (index, message) in request.messages.iter().enumerate() {
        let path = format!("messages[{index}]");
        match message.role {
            Role::System | Role::Developer => {
                if ink.pen.home && (index > 0 || !message.extras.is_empty()) {
                    encode_turn("system", message, &path, ink, &mut turns);
                    continue;
                }
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

/// A conversation from abroad that says nothing but words, in turns as the wire wants them: what the rules between turns
/// would leave as it is.
pub(super) struct WordsOnly<'a> {
    system: Vec<&'a str>,
    /// The user's and the assistant's, in turn.
    turns: Vec<&'a str>,
}

/// `request` as one, if it is one.
pub(super) fn words_only(request: &Request) -> Option<WordsOnly<'_>> {
    if request.origin == ID || request.output == OutputFormat::Json {
        return None;
    }
    let mut words = WordsOnly { system: Vec::new(), turns: Vec::with_capacity(request.messages.len()) };
    for message in &request.messages {
        let text = only_words(message)?;
        match message.role {
            Role::System | Role::Developer if words.turns.is_empty() => words.system.push(text),
            Role::User if words.turns.len().is_multiple_of(2) => words.turns.push(text),
            Role::Assistant if !words.turns.len().is_multiple_of(2) => words.turns.push(text),
            _ => return None,
        }
    }
    // An end of the assistant's own is to be gone on from, which not everybody can.
    (!words.turns.len().is_multiple_of(2)).then_some(words)
}

fn only_words(message: &Message) -> Option<&str> {
    let Message { name: None, parts, extras, .. } = message else { return None };
    match parts.as_slice() {
        [Part::Text { text, citations, logprobs, seal: None, cache: None, extras: beside }]
            if extras.is_empty() && beside.is_empty() && citations.is_empty() && logprobs.is_empty() =>
        {
            (!text.trim().is_empty()).then_some(text)
        }
        _ => None,
    }
}

impl WordsOnly<'_> {
    /// The instructions, as blocks.
    pub(super) fn system(&self) -> Vec<Value> {
        self.system.iter().map(|text| Value::Object(block::text(text, &[], false))).collect()
    }

    /// About how many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        self.turns.iter().map(|text| text.len() + text.len() / 16 + 40).sum()
    }

    /// Appends the messages.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        for (at, text) in self.turns.iter().enumerate() {
            out.push(if at == 0 { b'[' } else { b',' });
            let role = if at.is_multiple_of(2) { "user" } else { "assistant" };
            out.extend_from_slice(b"{\"role\":\"");
            out.extend_from_slice(role.as_bytes());
            out.extend_from_slice(b"\",\"content\":");
            json::string(text, out);
            out.push(b'}');
        }
        out.push(b']');
    }
}

fn encode_instructions(message: &Message, path: &str, ink: &mut Ink<'_>, system: &mut Vec<Value>) {
    for (index, part) in message.parts.iter().enumerate() {
        let at = format!("{path}.content[{index}]");
        match part {
            Part::Text { .. } => system.extend(encode_part(part, "system", &at, ink)),
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
        blocks.extend(encode_part(part, role, &format!("{path}.content[{index}]"), ink));
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
    body.insert("content".to_owned(), plain_or_list(turn.blocks));
    body.extend(turn.extras);
    Value::Object(body)
}

/// One text alone is written as a string, as most clients do.
pub(super) fn plain_or_list(mut blocks: Vec<Value>) -> Value {
    if let [Value::Object(only)] = blocks.as_mut_slice()
        && only.len() == 2
        && only.get("type").and_then(Value::as_str) == Some("text")
    {
        return only.shift_remove("text").unwrap_or_default();
    }
    if blocks.is_empty() { "".into() } else { Value::Array(blocks) }
}

fn encode_part(part: &Part, role: &str, path: &str, ink: &mut Ink<'_>) -> Option<Value> {
    match part {
        Part::Text { text, citations, logprobs, seal, cache, extras } => {
            if !logprobs.is_empty() {
                ink.pen.drop(format!("{path}.logprobs"));
            }
            if seal.is_some() {
                ink.pen.drop(format!("{path}.signature"));
            }
            if !ink.pen.home && text.trim().is_empty() {
                if !text.is_empty() || cache.is_some() {
                    ink.pen.drop(path);
                }
                return None;
            }
            if !ink.pen.home && !citations.is_empty() {
                // The wire takes back only citations that it made itself.
                ink.pen.drop(format!("{path}.citations"));
            }
            let body = block::text(text, if ink.pen.home { citations } else { &[] }, ink.pen.home);
            Some(ink.finish(body, cache.as_ref(), extras, path))
        }
        Part::Refusal { text, extras } => {
            ink.pen.weaken(path);
            (!text.trim().is_empty()).then(|| ink.finish(block::text(text, &[], ink.pen.home), None, extras, path))
        }
        Part::Reasoning { text, seal, extras, .. } => encode_reasoning(text, seal.as_ref(), extras, path, ink),
        Part::ToolCall { call_id, name, arguments, seal, cache, extras } => {
            if seal.is_some() {
                ink.pen.drop(format!("{path}.signature"));
            }
            let input = calls::input(arguments).unwrap_or_else(|wrapped| {
                ink.pen.emulate(format!("{path}.arguments"));
                wrapped
            });
            let id = ink.ids.call(call_id);
            Some(ink.finish(block::tool_use(&id, name, input), cache.as_ref(), extras, path))
        }
        Part::ToolResult { call_id, content, is_error, cache, extras } => {
            let mut body = block::typed("tool_result");
            body.insert("tool_use_id".to_owned(), ink.ids.result(call_id).into());
            let mut blocks = Vec::new();
            for (index, part) in content.iter().enumerate() {
                blocks.extend(encode_part(part, "user", &format!("{path}.content[{index}]"), ink));
            }
            if !blocks.is_empty() {
                body.insert("content".to_owned(), plain_or_list(blocks));
            }
            if *is_error {
                body.insert("is_error".to_owned(), true.into());
            }
            Some(ink.finish(body, cache.as_ref(), extras, path))
        }
        Part::Media(media) => {
            let body = encode_media(media, role, path, ink)?;
            Some(ink.finish(body, media.cache.as_ref(), &media.extras, path))
        }
        Part::Native { body } if ink.pen.home => Some(body.clone()),
        Part::Native { .. } => {
            ink.pen.drop(path);
            None
        }
    }
}

/// Thinking goes back only with a signature that the target made; a foreign one would be refused.
fn encode_reasoning(text: &str, seal: Option<&Seal>, extras: &Extras, path: &str, ink: &mut Ink<'_>) -> Option<Value> {
    let ours = seal.filter(|seal| match &seal.signer {
        Some(signer) => *signer == ink.target.signer,
        None => ink.pen.home,
    });
    if ours.is_some() {
        return Some(ink.finish(block::thinking(text, ours), None, extras, path));
    }
    if seal.is_some() {
        ink.pen.drop(format!("{path}.signature"));
    }
    if !text.is_empty() || !extras.is_empty() {
        ink.pen.drop(path);
    }
    None
}

fn encode_media(media: &Media, role: &str, path: &str, ink: &mut Ink<'_>) -> Option<Extras> {
    let source = (ink.pen.home || role == "user").then(|| encode_source(media, path, ink)).flatten();
    let Some(source) = source else {
        ink.pen.drop(path);
        return None;
    };
    let document = media.kind == MediaKind::Document;
    let mut body = block::typed(if document { "document" } else { "image" });
    body.insert("source".to_owned(), source);
    if document {
        put(&mut body, "title", media.name.clone());
    } else if media.name.is_some() {
        ink.pen.drop(format!("{path}.name"));
    }
    if media.detail.as_deref().is_some_and(|detail| detail != "auto") {
        ink.pen.drop(format!("{path}.detail"));
    }
    Some(body)
}

fn encode_source(media: &Media, path: &str, ink: &mut Ink<'_>) -> Option<Value> {
    match (media.kind, &media.source) {
        (MediaKind::Image | MediaKind::Document, Source::File { id }) if ink.pen.home => {
            Some(json!({"type": "file", "file_id": id}))
        }
        (MediaKind::Image | MediaKind::Document, Source::Url { url, .. })
            if ink.pen.home || url.starts_with("https://") || url.starts_with("http://") =>
        {
            Some(json!({"type": "url", "url": url}))
        }
        (MediaKind::Image | MediaKind::Document, Source::Base64 { mime, data }) if ink.pen.home => {
            Some(json!({"type": "base64", "media_type": mime, "data": data}))
        }
        (MediaKind::Image, Source::Base64 { mime, data }) => {
            let mime = if mime == "image/jpg" { "image/jpeg" } else { mime };
            IMAGES.contains(&mime).then(|| json!({"type": "base64", "media_type": mime, "data": data}))
        }
        (MediaKind::Document, Source::Base64 { mime, data }) if mime == "application/pdf" => {
            Some(json!({"type": "base64", "media_type": mime, "data": data}))
        }
        (MediaKind::Document, Source::Base64 { mime, data }) if mime.starts_with("text/") => {
            let text = String::from_utf8(STANDARD.decode(data).ok()?).ok()?;
            plain(mime, &text, path, ink)
        }
        (MediaKind::Document, Source::Text { mime, text }) => plain(mime, text, path, ink),
        _ => None,
    }
}

/// A document of text; the wire knows no other kind than plain.
fn plain(mime: &str, text: &str, path: &str, ink: &mut Ink<'_>) -> Option<Value> {
    let kind = if ink.pen.home { mime } else { "text/plain" };
    if kind != mime {
        ink.pen.weaken(format!("{path}.mime"));
    }
    Some(json!({"type": "text", "media_type": kind, "data": text}))
}
