//! Items, the units of this wire's input and output, read for both. One item is one or more parts: its id and state
//! go as bookkeeping ([`HOME`]) on the first of them, its unknown fields below [`ITEM`] on the last, so that the
//! parts find back into the item they came from.

use crate::Extras;
use crate::fields::{BadField, Fields};
use crate::media::{Media, MediaKind, Source};
use crate::request::{CacheMark, Citation, Message, Part, Role, Seal};
use crate::wire::openai_responses::logprobs;
use serde_json::Value;

/// Key in extras for bookkeeping: ids, states and defaults, which go home and mean nothing abroad.
pub(super) const HOME: &str = "~home";

/// Key in a part's extras for what its item said beside its parts.
pub(super) const ITEM: &str = "item";

/// MIME type of a file whose bytes come without one.
const PLAIN_FILE: &str = "application/pdf";

/// One item.
#[derive(Debug)]
pub(super) enum Item {
    /// A message of someone else than the model, or a tool's result.
    Said(Message),
    /// What the model thought, said or called.
    Turn(Vec<Part>),
    /// An item that the canon does not model.
    Native(Value),
}

/// Reads one item.
pub(super) fn decode(value: Value, path: &str) -> Result<Item, BadField> {
    let mut fields = Fields::of(value, path)?;
    let kind = fields.peek_str("type").map(str::to_owned);
    match kind.as_deref() {
        Some("message") => decode_message(fields),
        None if fields.has("role") => decode_message(fields),
        Some("reasoning") => decode_reasoning(fields).map(Item::Turn),
        Some("function_call") => decode_call(fields).map(|part| Item::Turn(vec![part])),
        Some("function_call_output") if fields.has("call_id") => decode_result(fields).map(Item::Said),
        Some(_) => Ok(Item::Native(Value::Object(fields.rest()))),
        // A reference to a stored item may leave its type out.
        None if fields.has("id") => Ok(Item::Native(Value::Object(fields.rest()))),
        None => {
            fields.take("type");
            Err(fields.missing("type"))
        }
    }
}

/// Takes an item's id and state.
fn take_home(fields: &mut Fields) -> Result<Extras, BadField> {
    let mut home = Extras::new();
    for key in ["id", "status"] {
        if let Some(text) = fields.string(key)? {
            home.insert(key.to_owned(), text.into());
        }
    }
    Ok(home)
}

fn decode_message(mut fields: Fields) -> Result<Item, BadField> {
    let word = fields.need_string("role")?;
    let role = match word.as_str() {
        "system" => Role::System,
        "developer" => Role::Developer,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        _ => return Err(BadField::new(fields.path_of("role"), format!("is unknown: `{word}`"))),
    };
    if role == Role::Assistant && !fields.peek("content").is_none_or(is_modelled) {
        let mut body = fields.rest();
        body.insert("role".to_owned(), word.into());
        return Ok(Item::Native(Value::Object(body)));
    }
    fields.take("type");
    let home = take_home(&mut fields)?;
    let mut parts = decode_content(&mut fields, "content")?;
    let mut extras = fields.rest();
    if role == Role::Assistant {
        stamp(&mut parts, home, extras);
        return Ok(Item::Turn(parts));
    }
    if !home.is_empty() {
        extras.insert(HOME.to_owned(), Value::Object(home));
    }
    Ok(Item::Said(Message { role, name: None, parts, extras }))
}

/// Whether the canon knows every part: within a turn, a part it does not know could not be told from an item.
fn is_modelled(content: &Value) -> bool {
    let Some(parts) = content.as_array() else { return true };
    parts.iter().filter_map(|part| part.get("type")?.as_str()).all(|kind| {
        matches!(kind, "input_text" | "output_text" | "text" | "refusal" | "input_image" | "input_file" | "input_audio")
    })
}

/// Puts the item's bookkeeping on its first part and its unknown fields on its last.
fn stamp(parts: &mut [Part], home: Extras, rest: Extras) {
    if let Some(extras) = parts.first_mut().and_then(Part::extras_mut) {
        extras.insert(HOME.to_owned(), Value::Object(home));
    }
    if !rest.is_empty()
        && let Some(extras) = parts.last_mut().and_then(Part::extras_mut)
    {
        extras.insert(ITEM.to_owned(), Value::Object(rest));
    }
}

/// The bookkeeping on a part, where it is the first of an item.
pub(super) fn home_of(part: &Part) -> Option<&Extras> {
    part.extras()?.get(HOME)?.as_object()
}

/// A string of the bookkeeping.
pub(super) fn home_str<'a>(home: Option<&'a Extras>, key: &str) -> Option<&'a str> {
    home?.get(key)?.as_str()
}

/// Whether `next` goes on with the item that `last` is part of.
pub(super) fn same_item(last: &Part, next: &Part) -> bool {
    let joins = match (last, next) {
        (
            Part::Text { .. } | Part::Refusal { .. } | Part::Media(_),
            Part::Text { .. } | Part::Refusal { .. } | Part::Media(_),
        ) => true,
        (Part::Reasoning { seal, .. }, Part::Reasoning { .. }) => seal.is_none(),
        _ => false,
    };
    joins && home_of(next).is_none()
}

/// Thinking: each summary and each text is a part; what only OpenAI can read goes on the last. Where the thinking
/// itself is there, the opaque block proves it, else it replaces it.
fn decode_reasoning(mut fields: Fields) -> Result<Vec<Part>, BadField> {
    fields.take("type");
    let home = take_home(&mut fields)?;
    let mut parts = Vec::new();
    for (key, summary) in [("summary", true), ("content", false)] {
        let path = fields.path_of(key);
        for (index, item) in fields.list(key)?.into_iter().enumerate() {
            let mut piece = Fields::of(item, format!("{path}[{index}]"))?;
            piece.take("type");
            let text = piece.need_string("text")?;
            parts.push(Part::Reasoning { text, summary, seal: None, extras: piece.rest() });
        }
    }
    let shown = parts.iter().any(|part| matches!(part, Part::Reasoning { summary: false, .. }));
    let block = fields.string("encrypted_content")?;
    if parts.is_empty() {
        parts.push(Part::Reasoning { text: String::new(), summary: true, seal: None, extras: Extras::new() });
    }
    if let (Some(data), Some(Part::Reasoning { seal, .. })) = (block, parts.last_mut()) {
        *seal = Some(Seal { data, redacted: !shown, signer: None });
    }
    stamp(&mut parts, home, fields.rest());
    Ok(parts)
}

fn decode_call(mut fields: Fields) -> Result<Part, BadField> {
    fields.take("type");
    let home = take_home(&mut fields)?;
    let call_id = fields.need_string("call_id")?;
    let name = fields.need_string("name")?;
    let arguments = match fields.take("arguments") {
        None => String::new(),
        Some(Value::String(text)) => text,
        // Some engines send the object itself.
        Some(other) => other.to_string(),
    };
    let mut extras = fields.rest();
    if !home.is_empty() {
        extras.insert(HOME.to_owned(), Value::Object(home));
    }
    Ok(Part::ToolCall { call_id, name, arguments, seal: None, cache: None, extras })
}

fn decode_result(mut fields: Fields) -> Result<Message, BadField> {
    fields.take("type");
    let home = take_home(&mut fields)?;
    let call_id = fields.need_string("call_id")?;
    let content = decode_content(&mut fields, "output")?;
    let mut extras = fields.rest();
    if !home.is_empty() {
        extras.insert(HOME.to_owned(), Value::Object(home));
    }
    let part = Part::ToolResult { call_id, content, is_error: false, cache: None, extras };
    Ok(Message::new(Role::Tool, vec![part]))
}

fn decode_content(fields: &mut Fields, key: &str) -> Result<Vec<Part>, BadField> {
    let path = fields.path_of(key);
    match fields.take(key) {
        None => Ok(Vec::new()),
        Some(Value::String(text)) if text.is_empty() => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(vec![Part::text(text)]),
        Some(Value::Array(items)) => {
            items.into_iter().enumerate().map(|(index, item)| decode_part(item, &format!("{path}[{index}]"))).collect()
        }
        Some(_) => Err(BadField::new(path, "must be a string or a list of parts")),
    }
}

/// Reads one part of a message or of a tool's output.
pub(super) fn decode_part(value: Value, path: &str) -> Result<Part, BadField> {
    let mut fields = Fields::of(value, path)?;
    let kind = fields.peek_str("type").unwrap_or_default().to_owned();
    match kind.as_str() {
        "input_text" | "output_text" | "text" => {
            fields.take("type");
            let text = fields.need_string("text")?;
            let citations = fields
                .list("annotations")?
                .into_iter()
                .map(|item| decode_citation(item, path))
                .collect::<Result<_, _>>()?;
            let logprobs = logprobs::decode(fields.list("logprobs")?)?;
            let cache = decode_cache(&mut fields)?;
            Ok(Part::Text { text, citations, logprobs, seal: None, cache, extras: fields.rest() })
        }
        "refusal" => {
            fields.take("type");
            Ok(Part::Refusal { text: fields.need_string("refusal")?, extras: fields.rest() })
        }
        "input_image" => {
            let detail = fields.string("detail")?;
            let source = decode_source(&mut fields, "image_url", None)?;
            decode_media(MediaKind::Image, source, None, detail, fields)
        }
        "input_file" => {
            let (name, detail) = (fields.string("filename")?, fields.string("detail")?);
            let source = decode_source(&mut fields, "file_url", Some("file_data"))?;
            decode_media(MediaKind::Document, source, name, detail, fields)
        }
        "input_audio" => {
            let mut inner = fields.object("input_audio")?.ok_or_else(|| fields.missing("input_audio"))?;
            let mime = format!("audio/{}", inner.need_string("format")?);
            let source = Source::Base64 { mime, data: inner.need_string("data")? };
            let rest = inner.rest();
            let mut part = decode_media(MediaKind::Audio, source, None, None, fields)?;
            if !rest.is_empty()
                && let Some(extras) = part.extras_mut()
            {
                extras.insert("input_audio".to_owned(), Value::Object(rest));
            }
            Ok(part)
        }
        "" => Err(fields.missing("type")),
        _ => Ok(Part::Native { body: Value::Object(fields.rest()) }),
    }
}

fn decode_source(fields: &mut Fields, url: &str, data: Option<&str>) -> Result<Source, BadField> {
    let bytes = match data {
        Some(key) => fields.string(key)?,
        None => None,
    };
    let (address, file) = (fields.string(url)?, fields.string("file_id")?);
    match (bytes, address, file) {
        (Some(bytes), _, _) if bytes.starts_with("data:") => Ok(Source::from_url(&bytes)),
        (Some(data), _, _) => Ok(Source::Base64 { mime: PLAIN_FILE.to_owned(), data }),
        (None, Some(address), _) => Ok(Source::from_url(&address)),
        (None, None, Some(id)) => Ok(Source::File { id }),
        (None, None, None) => Err(BadField::new(fields.path(), format!("needs `{url}` or `file_id`"))),
    }
}

fn decode_media(
    kind: MediaKind,
    source: Source,
    name: Option<String>,
    detail: Option<String>,
    mut fields: Fields,
) -> Result<Part, BadField> {
    fields.take("type");
    let cache = decode_cache(&mut fields)?;
    Ok(Part::Media(Media { kind, source, name, detail, cache, extras: fields.rest() }))
}

fn decode_cache(fields: &mut Fields) -> Result<Option<CacheMark>, BadField> {
    let Some(Value::Object(mark)) = fields.peek("prompt_cache_breakpoint") else { return Ok(None) };
    if mark.get("mode").and_then(Value::as_str) != Some("explicit") || mark.keys().any(|key| !is_mark(key)) {
        return Ok(None);
    }
    let Some(mut mark) = fields.object("prompt_cache_breakpoint")? else { return Ok(None) };
    Ok(Some(CacheMark { ttl: mark.string("ttl")? }))
}

/// A breakpoint that says more than the canon knows stays as it is.
fn is_mark(key: &str) -> bool {
    matches!(key, "mode" | "ttl")
}

/// Reads one annotation; those that are no address keep their own form.
pub(super) fn decode_citation(value: Value, path: &str) -> Result<Citation, BadField> {
    let mut fields = Fields::of(value, format!("{path}.annotations"))?;
    if fields.peek_str("type") != Some("url_citation") {
        return Ok(Citation { extras: fields.rest(), ..Citation::default() });
    }
    fields.take("type");
    Ok(Citation {
        url: fields.string("url")?,
        title: fields.string("title")?,
        quote: None,
        start: fields.u64("start_index")?,
        end: fields.u64("end_index")?,
        extras: fields.rest(),
    })
}
