//! Content blocks: the pieces that requests and answers share. Reading gives canon parts; writing gives the bare
//! block, to which the caller adds cache marks and extras.

use super::citation;
use crate::Extras;
use crate::fields::{BadField, Fields};
use crate::media::{Media, MediaKind, Source};
use crate::request::{CacheMark, Citation, Part, Seal};
use crate::wire::turns::{Blocks, Kind};
use serde_json::{Value, json};

/// Reads content: a string, or a list of blocks.
pub(super) fn decode_content(value: Option<Value>, path: &str) -> Result<Vec<Part>, BadField> {
    match value {
        None => Ok(Vec::new()),
        Some(Value::String(text)) if text.is_empty() => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(vec![Part::text(text)]),
        Some(Value::Array(items)) => {
            items.into_iter().enumerate().map(|(index, item)| decode(item, &format!("{path}[{index}]"))).collect()
        }
        Some(_) => Err(BadField::new(path, "must be a string or a list of blocks")),
    }
}

/// Reads one block. A block that only this wire knows stays whole.
pub(super) fn decode(value: Value, path: &str) -> Result<Part, BadField> {
    let mut fields = Fields::of(value, path)?;
    let kind = fields.peek_str("type").ok_or_else(|| fields.missing("type"))?.to_owned();
    match kind.as_str() {
        "text" => decode_text(fields),
        "thinking" => {
            fields.take("type");
            let text = fields.string("thinking")?.unwrap_or_default();
            let data = fields.string("signature")?.filter(|data| !data.is_empty());
            let seal = data.map(|data| Seal { data, redacted: false, signer: None });
            Ok(Part::Reasoning { text, summary: false, seal, extras: fields.rest() })
        }
        "redacted_thinking" => {
            fields.take("type");
            let seal = Some(Seal { data: fields.need_string("data")?, redacted: true, signer: None });
            Ok(Part::Reasoning { text: String::new(), summary: false, seal, extras: fields.rest() })
        }
        "tool_use" => {
            fields.take("type");
            let call_id = fields.need_string("id")?;
            let name = fields.need_string("name")?;
            let arguments = match fields.take("input") {
                None => "{}".to_owned(),
                Some(Value::String(text)) => text,
                Some(input @ Value::Object(_)) => input.to_string(),
                Some(_) => return Err(BadField::new(fields.path_of("input"), "must be an object")),
            };
            let (cache, extras) = finish(fields)?;
            Ok(Part::ToolCall { call_id, name, arguments, seal: None, cache, extras })
        }
        "tool_result" => {
            fields.take("type");
            let call_id = fields.need_string("tool_use_id")?;
            let inner = fields.path_of("content");
            let content = decode_content(fields.take("content"), &inner)?;
            let is_error = fields.bool("is_error")?.unwrap_or(false);
            let (cache, extras) = finish(fields)?;
            Ok(Part::ToolResult { call_id, content, is_error, cache, extras })
        }
        "image" => decode_media(fields, MediaKind::Image),
        "document" => decode_media(fields, MediaKind::Document),
        _ => Ok(Part::Native { body: Value::Object(fields.rest()) }),
    }
}

fn decode_text(mut fields: Fields) -> Result<Part, BadField> {
    fields.take("type");
    let text = fields.need_string("text")?;
    let path = fields.path_of("citations");
    let citations =
        fields.list("citations")?.into_iter().map(|item| citation::decode(item, &path)).collect::<Result<_, _>>()?;
    let (cache, extras) = finish(fields)?;
    Ok(Part::Text { text, citations, logprobs: Vec::new(), seal: None, cache, extras })
}

fn decode_media(mut fields: Fields, kind: MediaKind) -> Result<Part, BadField> {
    let form = fields.peek("source").and_then(|source| source.get("type")).and_then(Value::as_str);
    if !matches!(form, Some("base64" | "url" | "file" | "text")) {
        return Ok(Part::Native { body: Value::Object(fields.rest()) });
    }
    fields.take("type");
    let mut inner = fields.object("source")?.ok_or_else(|| fields.missing("source"))?;
    let source = match inner.string("type")?.unwrap_or_default().as_str() {
        "base64" => Source::Base64 { mime: inner.need_string("media_type")?, data: inner.need_string("data")? },
        "url" => Source::Url { url: inner.need_string("url")?, mime: None },
        "file" => Source::File { id: inner.need_string("file_id")? },
        _ => Source::Text { mime: inner.need_string("media_type")?, text: inner.need_string("data")? },
    };
    let name = if kind == MediaKind::Document { fields.string("title")? } else { None };
    let (cache, mut extras) = finish(fields)?;
    let rest = inner.rest();
    if !rest.is_empty() {
        extras.insert("source".to_owned(), Value::Object(rest));
    }
    Ok(Part::Media(Media { kind, source, name, detail: None, cache, extras }))
}

/// The last of a block: its cache mark and what nobody took.
fn finish(mut fields: Fields) -> Result<(Option<CacheMark>, Extras), BadField> {
    let (cache, rest) = decode_cache(&mut fields)?;
    let mut extras = fields.rest();
    if !rest.is_empty() {
        extras.insert("cache_control".to_owned(), Value::Object(rest));
    }
    Ok((cache, extras))
}

/// Takes a cache mark, and what stands beside its lifetime (which goes home as `cache_control` in the extras).
pub(super) fn decode_cache(fields: &mut Fields) -> Result<(Option<CacheMark>, Extras), BadField> {
    let kind = fields.peek("cache_control").and_then(|mark| mark.get("type")).and_then(Value::as_str);
    if kind != Some("ephemeral") {
        return Ok((None, Extras::new()));
    }
    let Some(mut mark) = fields.object("cache_control")? else { return Ok((None, Extras::new())) };
    mark.take("type");
    let ttl = mark.string("ttl")?;
    Ok((Some(CacheMark { ttl }), mark.rest()))
}

/// Writes words; `home`: they came from this wire.
pub(super) fn text(text: &str, citations: &[Citation], home: bool) -> Extras {
    let mut body = typed("text");
    body.insert("text".to_owned(), text.into());
    if !citations.is_empty() {
        body.insert(
            "citations".to_owned(),
            citations.iter().map(|citation| citation::encode(citation, home)).collect(),
        );
    }
    body
}

/// Writes thinking. A ciphertext without words is a redacted block; everything else has its signature, empty if need be.
pub(super) fn thinking(text: &str, seal: Option<&Seal>) -> Extras {
    if let Some(seal) = seal.filter(|seal| seal.redacted && text.is_empty()) {
        let mut body = typed("redacted_thinking");
        body.insert("data".to_owned(), seal.data.clone().into());
        return body;
    }
    let mut body = typed("thinking");
    body.insert("thinking".to_owned(), text.into());
    body.insert("signature".to_owned(), seal.map(|seal| seal.data.as_str()).unwrap_or_default().into());
    body
}

/// Writes a call.
pub(super) fn tool_use(call_id: &str, name: &str, input: Value) -> Extras {
    let mut body = typed("tool_use");
    body.insert("id".to_owned(), call_id.into());
    body.insert("name".to_owned(), name.into());
    body.insert("input".to_owned(), input);
    body
}

/// A block of `kind` and nothing else.
pub(super) fn typed(kind: &str) -> Extras {
    let mut body = Extras::new();
    body.insert("type".to_owned(), kind.into());
    body
}

/// The blocks of this wire, for the rules between turns.
pub(super) struct Anthropic;

impl Blocks for Anthropic {
    fn kind(block: &Value) -> Kind {
        match block.get("type").and_then(Value::as_str) {
            Some("text") => Kind::Text,
            Some("thinking" | "redacted_thinking") => Kind::Thinking,
            Some("tool_use") => Kind::Call,
            Some("tool_result") => Kind::Result,
            _ => Kind::Other,
        }
    }

    fn id(block: &Value) -> Option<&str> {
        block.get("id").or_else(|| block.get("tool_use_id"))?.as_str()
    }

    fn name(block: &Value) -> Option<&str> {
        block.get("name")?.as_str()
    }

    fn text(words: &str) -> Value {
        Value::Object(text(words, &[], false))
    }

    fn failure(id: &str, words: &str) -> Value {
        json!({"type": "tool_result", "tool_use_id": id, "content": words, "is_error": true})
    }

    fn words(result: &Value) -> String {
        match result.get("content") {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Array(blocks)) => {
                blocks.iter().filter_map(|block| block.get("text")?.as_str()).collect::<Vec<_>>().join("\n")
            }
            _ => String::new(),
        }
    }
}
