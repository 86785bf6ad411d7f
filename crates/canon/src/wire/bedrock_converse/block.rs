//! Content blocks: the pieces that requests and answers share. Each is an object whose one key names its kind. Reading
//! gives canon parts, a cache point becomes the mark of the part before it; writing gives the bare block.

use super::{citation, media};
use crate::Extras;
use crate::fields::{BadField, Fields};
use crate::request::{CacheMark, Citation, Part, Seal};
use crate::wire::turns::{Blocks, Kind};
use crate::wire::writer::{keep, put};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// In a text's extras: the pieces as they were cited, where they are not one text with citations.
const PIECES: &str = "~content";
/// In a text's extras: it is a result's JSON.
const JSON: &str = "~json";
/// In a result's extras: its word for success.
const STATUS: &str = "~status";
/// Before a foreign ciphertext, inside the base64 that clients decode.
const FOREIGN: &str = "redacted:";

/// Reads a list of blocks.
pub(super) fn decode_list(items: Vec<Value>, path: &str) -> Result<Vec<Part>, BadField> {
    let mut parts: Vec<Part> = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        let mark = cache_point(&item);
        match parts.last_mut().and_then(cache_slot) {
            Some(slot @ None) if mark.is_some() => *slot = mark,
            _ => parts.push(decode(item, &format!("{path}[{index}]"))?),
        }
    }
    Ok(parts)
}

/// The mark that a cache point is, if the canon can hold all of it.
pub(super) fn cache_point(block: &Value) -> Option<CacheMark> {
    let outer = block.as_object().filter(|outer| outer.len() == 1)?;
    let point = outer.get("cachePoint")?.as_object()?;
    let is_known = point.iter().all(|(key, value)| matches!(key.as_str(), "type" | "ttl") && value.is_string());
    let is_default = point.get("type").and_then(Value::as_str) == Some("default");
    let ttl = point.get("ttl").and_then(Value::as_str).map(str::to_owned);
    (is_known && is_default).then_some(CacheMark { ttl })
}

/// Writes a cache point.
pub(super) fn write_cache_point(mark: &CacheMark) -> Value {
    let mut point = Extras::from_iter([("type".to_owned(), "default".into())]);
    put(&mut point, "ttl", mark.ttl.clone());
    json!({"cachePoint": point})
}

fn cache_slot(part: &mut Part) -> Option<&mut Option<CacheMark>> {
    match part {
        Part::Text { cache, .. } | Part::ToolCall { cache, .. } | Part::ToolResult { cache, .. } => Some(cache),
        Part::Media(media) => Some(&mut media.cache),
        Part::Refusal { .. } | Part::Reasoning { .. } | Part::Native { .. } => None,
    }
}

/// Reads one block. A block that only this wire knows stays whole.
pub(super) fn decode(value: Value, path: &str) -> Result<Part, BadField> {
    const KNOWN: [&str; 9] = [
        "text",
        "toolUse",
        "toolResult",
        "reasoningContent",
        "citationsContent",
        "image",
        "document",
        "video",
        "audio",
    ];
    let mut fields = Fields::of(value, path)?;
    let key = KNOWN.into_iter().find(|key| fields.has(key)).unwrap_or_default();
    match key {
        "text" => {
            let text = fields.need_string("text")?;
            Ok(text_part(text, Vec::new(), fields.rest()))
        }
        "toolUse" => decode_call(fields),
        "toolResult" => decode_result(fields),
        "reasoningContent" => decode_reasoning(fields),
        "citationsContent" => decode_cited(fields),
        key => match media::kind_of(key) {
            Some(kind) => media::decode(fields, kind),
            None => Ok(Part::Native { body: Value::Object(fields.rest()) }),
        },
    }
}

fn text_part(text: String, citations: Vec<Citation>, extras: Extras) -> Part {
    Part::Text { text, citations, logprobs: Vec::new(), seal: None, cache: None, extras }
}

/// A call; one that the provider itself runs stays whole.
fn decode_call(mut fields: Fields) -> Result<Part, BadField> {
    if fields.peek("toolUse").is_some_and(|call| call.get("type").is_some()) {
        return Ok(Part::Native { body: Value::Object(fields.rest()) });
    }
    let mut inner = fields.object("toolUse")?.ok_or_else(|| fields.missing("toolUse"))?;
    let call_id = inner.need_string("toolUseId")?;
    let name = inner.need_string("name")?;
    let arguments = inner.take("input").map_or_else(|| "{}".to_owned(), |input| input.to_string());
    let mut extras = fields.rest();
    keep(&mut extras, "toolUse", inner.rest());
    Ok(Part::ToolCall { call_id, name, arguments, seal: None, cache: None, extras })
}

/// A result; one of a call that the provider itself ran stays whole.
fn decode_result(mut fields: Fields) -> Result<Part, BadField> {
    if fields.peek("toolResult").is_some_and(|result| result.get("type").is_some()) {
        return Ok(Part::Native { body: Value::Object(fields.rest()) });
    }
    let mut inner = fields.object("toolResult")?.ok_or_else(|| fields.missing("toolResult"))?;
    let call_id = inner.need_string("toolUseId")?;
    let path = inner.path_of("content");
    let mut content = Vec::new();
    for (index, item) in inner.list("content")?.into_iter().enumerate() {
        let path = format!("{path}[{index}]");
        let mut block = Fields::of(item, path.clone())?;
        content.push(match block.take("json") {
            Some(value) => {
                let mut extras = block.rest();
                extras.insert(JSON.to_owned(), true.into());
                text_part(value.to_string(), Vec::new(), extras)
            }
            None => decode(Value::Object(block.rest()), &path)?,
        });
    }
    let word = inner.peek_str("status").filter(|word| matches!(*word, "success" | "error")).map(str::to_owned);
    if word.is_some() {
        inner.take("status");
    }
    let is_error = word.as_deref() == Some("error");
    let mut extras = fields.rest();
    keep(&mut extras, "toolResult", inner.rest());
    if let Some(word) = word.filter(|_| !is_error) {
        extras.insert(STATUS.to_owned(), word.into());
    }
    Ok(Part::ToolResult { call_id, content, is_error, cache: None, extras })
}

fn decode_reasoning(mut fields: Fields) -> Result<Part, BadField> {
    let inner = fields.peek("reasoningContent");
    let has = |key: &str| inner.and_then(|inner| inner.get(key)).is_some_and(|value| !value.is_null());
    let (has_words, has_cipher) = (has("reasoningText"), has("redactedContent"));
    if !has_words && !has_cipher {
        return Ok(Part::Native { body: Value::Object(fields.rest()) });
    }
    let mut inner = fields.object("reasoningContent")?.ok_or_else(|| fields.missing("reasoningContent"))?;
    let (mut text, mut seal, mut words_rest) = (String::new(), None, Extras::new());
    if has_words {
        let mut words = inner.object("reasoningText")?.ok_or_else(|| inner.missing("reasoningText"))?;
        text = words.string("text")?.unwrap_or_default();
        if words.peek_str("signature") != Some("") {
            seal = words.string("signature")?.map(|data| Seal { data, redacted: false, signer: None });
        }
        words_rest = words.rest();
    } else if let Some(data) = inner.string("redactedContent")? {
        seal = Some(cipher(data));
    }
    let mut rest = inner.rest();
    keep(&mut rest, "reasoningText", words_rest);
    let mut extras = fields.rest();
    keep(&mut extras, "reasoningContent", rest);
    Ok(Part::Reasoning { text, summary: false, seal, extras })
}

/// A ciphertext. The field holds bytes, so one of another maker travels to the client in a wrapping.
pub(super) fn cipher(data: String) -> Seal {
    let inner = STANDARD.decode(&data).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let theirs = inner.as_deref().and_then(|inner| inner.strip_prefix(FOREIGN)).map(str::to_owned);
    Seal { data: theirs.unwrap_or(data), redacted: true, signer: None }
}

/// A ciphertext of any maker for a client that decodes base64.
pub(super) fn cipher_for_client(data: &str) -> String {
    if STANDARD.decode(data).is_ok() { data.to_owned() } else { STANDARD.encode(format!("{FOREIGN}{data}")) }
}

fn decode_cited(mut fields: Fields) -> Result<Part, BadField> {
    let mut inner = fields.object("citationsContent")?.ok_or_else(|| fields.missing("citationsContent"))?;
    let path = inner.path_of("citations");
    let is_empty = inner.peek("citations").and_then(Value::as_array).is_some_and(Vec::is_empty);
    let cited = if is_empty { Vec::new() } else { inner.list("citations")? };
    let citations = cited.into_iter().map(|item| citation::decode(item, &path)).collect::<Result<Vec<_>, _>>()?;
    let pieces = Value::Array(inner.list("content")?);
    let words = pieces.as_array().map(Vec::as_slice).unwrap_or_default();
    let text: String = words.iter().filter_map(|piece| piece.get("text")?.as_str()).collect();
    let is_plain = pieces == json!([{"text": text}]) && !citations.is_empty();
    let is_text = |piece: &Value| piece.as_object().is_some_and(|piece| piece.len() == 1 && piece.contains_key("text"));
    let says_more = !words.iter().all(is_text);
    let (mut extras, mut rest) = (fields.rest(), inner.rest());
    if says_more {
        rest.insert("content".to_owned(), pieces);
    } else if !is_plain {
        extras.insert(PIECES.to_owned(), pieces);
    }
    keep(&mut extras, "citationsContent", rest);
    Ok(text_part(text, citations, extras))
}

/// Writes words. `extras` of home say whether they were cited or a result's JSON.
pub(super) fn text(text: &str, citations: &[Citation], extras: &Extras, home: bool) -> Extras {
    let whole = || extras.get("citationsContent").and_then(|cited| cited.get("content"));
    let pieces = extras.get(PIECES).or_else(whole).filter(|_| home);
    let parsed = (home && extras.contains_key(JSON)).then(|| serde_json::from_str(text).ok()).flatten();
    let mut body = Extras::new();
    if let Some(value) = parsed {
        body.insert("json".to_owned(), value);
    } else if pieces.is_none() && citations.is_empty() {
        body.insert("text".to_owned(), text.into());
    } else {
        let pieces = pieces.cloned().unwrap_or_else(|| json!([{"text": text}]));
        let mut inner = Extras::from_iter([("content".to_owned(), pieces)]);
        if !citations.is_empty() {
            inner.insert("citations".to_owned(), citations.iter().map(|one| citation::encode(one, home)).collect());
        }
        body.insert("citationsContent".to_owned(), Value::Object(inner));
    }
    body
}

/// Writes thinking with the seal it has, in the wire's own spelling.
pub(super) fn thinking(text: &str, seal: Option<&Seal>) -> Extras {
    let inner = match seal {
        Some(seal) if seal.redacted && text.is_empty() => json!({"redactedContent": seal.data}),
        Some(seal) => json!({"reasoningText": {"text": text, "signature": seal.data}}),
        None => json!({"reasoningText": {"text": text}}),
    };
    Extras::from_iter([("reasoningContent".to_owned(), inner)])
}

/// Writes a call.
pub(super) fn tool_use(call_id: &str, name: &str, input: Option<Value>) -> Extras {
    let mut inner = Extras::new();
    inner.insert("toolUseId".to_owned(), call_id.into());
    inner.insert("name".to_owned(), name.into());
    put(&mut inner, "input", input);
    Extras::from_iter([("toolUse".to_owned(), Value::Object(inner))])
}

/// Writes a result.
pub(super) fn tool_result(call_id: &str, content: Vec<Value>, is_error: bool, extras: &Extras) -> Extras {
    let mut inner = Extras::new();
    inner.insert("toolUseId".to_owned(), call_id.into());
    inner.insert("content".to_owned(), Value::Array(content));
    if is_error {
        inner.insert("status".to_owned(), "error".into());
    } else {
        put(&mut inner, "status", extras.get(STATUS).cloned());
    }
    Extras::from_iter([("toolResult".to_owned(), Value::Object(inner))])
}

/// The blocks of this wire, for the rules between turns.
pub(super) struct Converse;

impl Blocks for Converse {
    fn kind(block: &Value) -> Kind {
        let table = [
            ("text", Kind::Text),
            ("citationsContent", Kind::Text),
            ("reasoningContent", Kind::Thinking),
            ("toolUse", Kind::Call),
            ("toolResult", Kind::Result),
        ];
        table.iter().find(|(key, _)| block.get(*key).is_some()).map_or(Kind::Other, |(_, kind)| *kind)
    }

    fn id(block: &Value) -> Option<&str> {
        block.get("toolUse").or_else(|| block.get("toolResult"))?.get("toolUseId")?.as_str()
    }

    fn name(block: &Value) -> Option<&str> {
        block.get("toolUse")?.get("name")?.as_str()
    }

    fn text(words: &str) -> Value {
        json!({"text": words})
    }

    fn failure(id: &str, words: &str) -> Value {
        Value::Object(tool_result(id, vec![json!({"text": words})], true, &Extras::new()))
    }

    fn words(result: &Value) -> String {
        let content = result.pointer("/toolResult/content").and_then(Value::as_array);
        let texts = content.into_iter().flatten().filter_map(|block| block.get("text")?.as_str());
        texts.collect::<Vec<_>>().join("\n")
    }
}
