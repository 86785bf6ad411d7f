//! Writing parts: what stands inside a message or a tool's output, and what the model said.

use crate::Extras;
use crate::media::{Media, MediaKind, Source};
use crate::request::{CacheMark, Citation, Part};
use crate::wire::openai_responses::items::{HOME, ITEM};
use crate::wire::openai_responses::logprobs;
use crate::wire::writer::{Writer, put};
use crate::wire::{Target, openai};
use serde_json::{Value, json};

/// Lifetimes of a cache entry that the wire knows.
const LIFETIMES: [&str; 2] = ["30m", "12h"];

/// A part of what someone else than the model says, or of a tool's output.
pub(super) fn encode_input(part: &Part, path: &str, target: &Target, pen: &mut Writer) -> Option<Value> {
    match part {
        Part::Text { text, citations, logprobs, seal, cache, extras } => {
            if !logprobs.is_empty() {
                pen.drop(format!("{path}.logprobs"));
            }
            if seal.is_some() {
                pen.drop(format!("{path}.signature"));
            }
            if !citations.is_empty() {
                pen.drop(format!("{path}.citations"));
            }
            let mut fields = typed("input_text");
            fields.insert("text".to_owned(), text.clone().into());
            encode_cache(cache.as_ref(), path, target, pen, &mut fields);
            pen.extras(extras, path, &mut fields);
            Some(Value::Object(fields))
        }
        Part::Refusal { text, extras } => {
            let mut fields = typed("refusal");
            fields.insert("refusal".to_owned(), text.clone().into());
            pen.extras(extras, path, &mut fields);
            Some(Value::Object(fields))
        }
        Part::Media(media) => encode_media(media, path, target, pen),
        Part::Native { body } if pen.home => Some(body.clone()),
        Part::Native { .. } | Part::Reasoning { .. } | Part::ToolCall { .. } | Part::ToolResult { .. } => {
            pen.drop(path);
            None
        }
    }
}

/// A text or refusal of the model; its extras only `home`. `None`: it is neither.
pub(in crate::wire::openai_responses) fn encode_said(part: &Part, home: bool) -> Option<Extras> {
    let (mut fields, extras) = match part {
        Part::Text { text, citations, logprobs: tokens, extras, .. } => {
            let mut fields = typed("output_text");
            fields.insert("text".to_owned(), text.clone().into());
            let citations = citations.iter().filter_map(|citation| encode_citation(citation, home)).collect();
            fields.insert("annotations".to_owned(), Value::Array(citations));
            fields.insert("logprobs".to_owned(), Value::Array(logprobs::encode(tokens)));
            (fields, extras)
        }
        Part::Refusal { text, extras } => {
            let mut fields = typed("refusal");
            fields.insert("refusal".to_owned(), text.clone().into());
            (fields, extras)
        }
        _ => return None,
    };
    if home {
        fields.extend(own(extras));
    }
    Some(fields)
}

/// A part's extras without what belongs to its item.
pub(super) fn own(extras: &Extras) -> Extras {
    extras
        .iter()
        .filter(|(key, _)| *key != HOME && *key != ITEM)
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// Writes one annotation; home, one that is no address keeps its own form. `None`: the wire has no words for it.
pub(in crate::wire::openai_responses) fn encode_citation(citation: &Citation, home: bool) -> Option<Value> {
    if home && citation.extras.contains_key("type") {
        return Some(Value::Object(citation.extras.clone()));
    }
    let mut fields = typed("url_citation");
    fields.insert("url".to_owned(), citation.url.clone().or_else(|| home.then(String::new))?.into());
    fields.insert("title".to_owned(), citation.title.clone().unwrap_or_default().into());
    fields.insert("start_index".to_owned(), citation.start.unwrap_or(0).into());
    fields.insert("end_index".to_owned(), citation.end.unwrap_or(0).into());
    if home {
        fields.extend(citation.extras.clone());
    }
    Some(Value::Object(fields))
}

/// An object with its `type`.
pub(super) fn typed(kind: &str) -> Extras {
    Extras::from_iter([("type".to_owned(), kind.into())])
}

/// Writes a file. A file kept by a provider means something only there.
pub(super) fn encode_media(media: &Media, path: &str, target: &Target, pen: &mut Writer) -> Option<Value> {
    let mut fields = match (media.kind, &media.source) {
        (MediaKind::Image | MediaKind::Document, Source::File { id }) if pen.home => {
            let mut fields = typed(if media.kind == MediaKind::Image { "input_image" } else { "input_file" });
            fields.insert("file_id".to_owned(), id.clone().into());
            fields
        }
        (MediaKind::Image, source @ (Source::Url { .. } | Source::Base64 { .. })) => {
            let mut fields = typed("input_image");
            put(&mut fields, "image_url", source.to_url());
            fields
        }
        (MediaKind::Document, Source::Url { url, .. }) => {
            let mut fields = typed("input_file");
            fields.insert("file_url".to_owned(), url.clone().into());
            fields
        }
        (MediaKind::Document, source @ Source::Base64 { .. }) => {
            let mut fields = typed("input_file");
            put(&mut fields, "file_data", source.to_url());
            fields
        }
        (MediaKind::Document, Source::Text { text, .. }) => {
            pen.emulate(path);
            let mut fields = typed("input_text");
            fields.insert("text".to_owned(), text.clone().into());
            return Some(Value::Object(fields));
        }
        (MediaKind::Audio, Source::Base64 { mime, data }) if pen.home || target.quirks.accepts("input_audio") => {
            let mut fields = typed("input_audio");
            fields.insert("input_audio".to_owned(), json!({"data": data, "format": openai::sound(mime)}));
            fields
        }
        _ => {
            pen.drop(path);
            return None;
        }
    };
    match media.kind {
        MediaKind::Image => put(&mut fields, "detail", Some(media.detail.as_deref().unwrap_or("auto"))),
        MediaKind::Document => {
            put(&mut fields, "detail", media.detail.clone());
            // Bytes without a name are refused.
            let unnamed = fields.contains_key("file_data").then(|| openai::file_name(&media.source));
            put(&mut fields, "filename", media.name.clone().or(unnamed.filter(|_| !pen.home)));
        }
        MediaKind::Audio | MediaKind::Video => {}
    }
    if media.name.is_some() && media.kind != MediaKind::Document {
        pen.drop(format!("{path}.name"));
    }
    encode_cache(media.cache.as_ref(), path, target, pen, &mut fields);
    let mut extras = own(&media.extras);
    if pen.home
        && let (Some(Value::Object(more)), Some(Value::Object(inner))) =
            (extras.get("input_audio").cloned(), fields.get_mut("input_audio"))
    {
        inner.extend(more);
        extras.shift_remove("input_audio");
    }
    pen.extras(&extras, path, &mut fields);
    Some(Value::Object(fields))
}

fn encode_cache(cache: Option<&CacheMark>, path: &str, target: &Target, pen: &mut Writer, fields: &mut Extras) {
    let Some(mark) = cache else { return };
    if !pen.home && !target.quirks.accepts("prompt_cache_breakpoint") {
        return pen.drop(format!("{path}.cache_control"));
    }
    let mut value = Extras::from_iter([("mode".to_owned(), "explicit".into())]);
    let known = mark.ttl.as_deref().filter(|ttl| pen.home || LIFETIMES.contains(ttl));
    if known.is_none() && mark.ttl.is_some() {
        pen.weaken(format!("{path}.cache_control.ttl"));
    }
    put(&mut value, "ttl", known);
    fields.insert("prompt_cache_breakpoint".to_owned(), Value::Object(value));
}
