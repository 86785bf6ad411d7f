//! One part of a `Content`, shared by requests and answers.

use super::{names, seal};
use crate::Extras;
use crate::fields::{BadField, Fields};
use crate::media::{Media, MediaKind, Source};
use crate::request::{Part, Seal};
use serde_json::{Map, Value, json};

/// Before ids that we made because the wire gave none: such ids are never written on this wire.
const MADE: &str = "noid_";

/// An id for a call that has none; the same for the same call.
pub(super) fn made_id(of: impl std::fmt::Display) -> String {
    format!("{MADE}{of}")
}

/// The id as this wire is to see it: none where it gave none.
pub(super) fn wire_id(call_id: &str) -> Option<&str> {
    (!call_id.is_empty() && !call_id.starts_with(MADE)).then_some(call_id)
}

const KNOWN: &[&str] = &["inlineData", "fileData", "functionCall", "functionResponse", "thoughtSignature"];

/// Reads one part as an object.
pub(super) fn fields(value: Value, path: &str) -> Result<Fields, BadField> {
    names::read(value, path, KNOWN)
}

/// Reads one part; `id_for` makes an id for a call of the named function that has none.
pub(super) fn decode(mut fields: Fields, id_for: impl FnOnce(&str) -> String) -> Result<Part, BadField> {
    let thought = fields.peek("thought") == Some(&Value::Bool(true));
    let is = |key: &str| fields.has(key);
    if is("functionCall") {
        return decode_call(fields, id_for);
    }
    if (is("inlineData") || is("fileData")) && !thought {
        return decode_media(fields);
    }
    let is_text = is("text") || (is("thoughtSignature") && !is_other(&fields));
    if !is_text {
        return Ok(Part::Native { body: Value::Object(fields.rest()) });
    }
    fields.take("thought");
    let text = fields.string("text")?.unwrap_or_default();
    let seal = take_seal(&mut fields)?;
    let extras = fields.rest();
    Ok(if thought {
        Part::Reasoning { text, summary: true, seal, extras }
    } else {
        Part::Text { text, citations: Vec::new(), logprobs: Vec::new(), seal, cache: None, extras }
    })
}

/// Whether the part holds something beside words and what belongs to them.
fn is_other(fields: &Fields) -> bool {
    let own = ["text", "thought", "thoughtSignature", "partMetadata", "part_metadata"];
    fields.keys().any(|key| !own.contains(&key))
}

/// Takes the signature beside a part.
pub(super) fn take_seal(fields: &mut Fields) -> Result<Option<Seal>, BadField> {
    Ok(fields.string("thoughtSignature")?.map(seal::read))
}

fn decode_call(mut fields: Fields, id_for: impl FnOnce(&str) -> String) -> Result<Part, BadField> {
    let Some(mut call) = fields.object("functionCall")? else { return Err(fields.missing("functionCall")) };
    let name = call.need_string("name")?;
    let call_id = call.string("id")?.filter(|id| !id.is_empty()).unwrap_or_else(|| id_for(&name));
    let arguments = call.take("args").map(|args| args.to_string()).unwrap_or_default();
    let seal = take_seal(&mut fields)?;
    let extras = with_inner(fields, "functionCall", call);
    Ok(Part::ToolCall { call_id, name, arguments, seal, cache: None, extras })
}

/// What is left of a part, and of the object in it, whose fields are named with their path.
pub(super) fn with_inner(outer: Fields, key: &str, inner: Fields) -> Extras {
    let mut extras = outer.rest();
    extras.extend(inner.rest().into_iter().map(|(name, value)| (format!("{key}.{name}"), value)));
    extras
}

/// A part that is one object under `key`, with the extras of both.
pub(super) fn wrap(key: &str, mut inner: Extras, extras: Extras) -> Extras {
    let mut fields = Extras::new();
    fields.insert(key.to_owned(), Value::Null);
    for (name, value) in extras {
        match name.strip_prefix(key).and_then(|rest| rest.strip_prefix('.')) {
            Some(name) => inner.insert(name.to_owned(), value),
            None => fields.insert(name, value),
        };
    }
    fields.insert(key.to_owned(), Value::Object(inner));
    fields
}

/// Reads a part with `inlineData` or `fileData`.
pub(super) fn decode_media(mut fields: Fields) -> Result<Part, BadField> {
    let known = ["mimeType", "displayName", "fileUri"];
    if let Some(mut blob) = names::object(&mut fields, "inlineData", &known)? {
        let mime = blob.string("mimeType")?.unwrap_or_default();
        let data = seal::standard(blob.need_string("data")?);
        let name = blob.string("displayName")?;
        let kind = kind_of(&mime);
        let extras = with_inner(fields, "inlineData", blob);
        return Ok(Part::Media(Media {
            kind,
            source: Source::Base64 { mime, data },
            name,
            detail: None,
            cache: None,
            extras,
        }));
    }
    let Some(mut file) = names::object(&mut fields, "fileData", &known)? else {
        return Err(fields.missing("fileData"));
    };
    let (url, name) = (file.need_string("fileUri")?, file.string("displayName")?);
    let kind = kind_of(file.peek_str("mimeType").unwrap_or_default());
    let source =
        if is_kept(&url) { Source::File { id: url } } else { Source::Url { url, mime: file.string("mimeType")? } };
    let extras = with_inner(fields, "fileData", file);
    Ok(Part::Media(Media { kind, source, name, detail: None, cache: None, extras }))
}

/// Whether an address names something that only the provider can open.
fn is_kept(url: &str) -> bool {
    !(url.starts_with("https://") || url.starts_with("http://"))
        || url.contains("://generativelanguage.googleapis.com/")
}

fn kind_of(mime: &str) -> MediaKind {
    match mime.split('/').next().unwrap_or_default() {
        "image" => MediaKind::Image,
        "audio" => MediaKind::Audio,
        "video" => MediaKind::Video,
        _ => MediaKind::Document,
    }
}

/// The object `inlineData` or `fileData` of a medium with its key; `None`: this wire cannot say it. `home`: the medium
/// came from this wire, and nothing is guessed.
pub(super) fn encode_source(media: &Media, home: bool) -> Option<(&'static str, Extras)> {
    let (key, value) = match &media.source {
        Source::Base64 { mime, data } => ("inlineData", json!({"mimeType": mime, "data": data})),
        Source::Text { mime, text } => (
            "inlineData",
            json!({"mimeType": mime, "data": base64::Engine::encode(&base64::prelude::BASE64_STANDARD, text)}),
        ),
        Source::Url { url, mime: Some(mime) } => ("fileData", json!({"mimeType": mime, "fileUri": url})),
        Source::Url { url, mime: None } if home => ("fileData", json!({"fileUri": url})),
        Source::Url { url, mime: None } => ("fileData", json!({"mimeType": mime_of(url, media.kind), "fileUri": url})),
        Source::File { id } if home => ("fileData", json!({"fileUri": id})),
        Source::File { .. } => return None,
    };
    Some((key, object(value)))
}

/// The type that an address's ending names, else the commonest of its kind: the wire demands one.
fn mime_of(url: &str, kind: MediaKind) -> &'static str {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    match path.rsplit('.').next().unwrap_or_default().to_ascii_lowercase().as_str() {
        "png" => "image/png",
        "webp" => "image/webp",
        "heic" => "image/heic",
        "gif" => "image/gif",
        "wav" => "audio/wav",
        "ogg" => "audio/ogg",
        "flac" => "audio/flac",
        "webm" => "video/webm",
        "mov" => "video/quicktime",
        "txt" => "text/plain",
        "html" | "htm" => "text/html",
        "md" => "text/markdown",
        "csv" => "text/csv",
        _ => match kind {
            MediaKind::Image => "image/jpeg",
            MediaKind::Audio => "audio/mpeg",
            MediaKind::Document => "application/pdf",
            MediaKind::Video => "video/mp4",
        },
    }
}

/// Arguments as the object that this wire demands, and whether they were one.
pub(super) fn arguments(text: &str) -> (Value, bool) {
    match serde_json::from_str::<Value>(text) {
        Ok(value @ Value::Object(_)) => (value, true),
        _ if text.trim().is_empty() => (json!({}), true),
        _ => (json!({"arguments": text}), false),
    }
}

/// The map of an object.
pub(super) fn object(value: Value) -> Extras {
    if let Value::Object(fields) = value { fields } else { Map::new() }
}
