//! Requests of OpenAI Chat: a look in place (`peek`), a full read (`decode`), and writing (`encode`).

mod decode;
mod encode;

pub(in crate::wire) use decode::decode_stop;
pub(super) use decode::{decode, read};

/// Pieces that answers share with requests, and wires that took them over with this one.
pub(in crate::wire) mod parts {
    pub(in crate::wire::openai_chat) use super::decode::take_reasoning;
    pub(in crate::wire) use super::decode::{decode_part, decode_tool, decode_tool_call};
    pub(in crate::wire) use super::encode::{encode_call, encode_media, object};
}
pub(super) use encode::encode;

use crate::facets::Peek;
use crate::fields::BadField;
use crate::wire::Edit;
use crate::wire::look::{self, Look};
use serde_json::{Map, Value};

/// Looks into a body in place.
pub(super) fn peek(body: &[u8]) -> Result<Peek, BadField> {
    let mut messages = false;
    let peek = look::request(body, Peek::default(), |key, value, peek| {
        match key {
            "messages" => {
                messages = true;
                if !value.raw().starts_with('[') {
                    return Err(BadField::new(key, "must be a list"));
                }
                // Mistral's clients number the calls of earlier turns.
                peek.accent |= value.mentions("\"index\"") || value.mentions("\"prefix\"");
                // Said by some providers in their answers, refused by others.
                peek.accent |= value.mentions("\"reasoning_content\"");
                peek.facets.images = value.mentions("\"image_url\"");
                peek.facets.audio = value.mentions("\"input_audio\"");
                peek.facets.documents = value.mentions("\"file_data\"") || value.mentions("\"file_id\"");
            }
            _ => setting(key, value, peek)?,
        }
        Ok(())
    })?;
    if !messages {
        return Err(BadField::new("messages", "is missing"));
    }
    Ok(peek)
}

fn setting(key: &str, value: &Look<'_>, peek: &mut Peek) -> Result<(), BadField> {
    let facets = &mut peek.facets;
    match key {
        "service_tier" => peek.facets.service_tier = look::class(value.string(key)?),
        "stream" => peek.stream = value.flag(key)?,
        "stream_options" => {
            peek.stream_options_at = Some(value.range());
            let raw: String = value.raw().split_whitespace().collect();
            peek.stream_usage = raw.contains("\"include_usage\":true");
        }
        "tools" | "functions" => facets.tools |= value.is_filled(),
        "response_format" => facets.structured = value.mentions("\"json_object\"") || value.mentions("\"json_schema\""),
        "reasoning_effort" => facets.reasoning = value.string(key)?.is_some_and(|effort| effort != "none"),
        // Mistral's clients again.
        "tool_choice" => peek.accent |= value.raw() == "\"any\"",
        "random_seed" => peek.accent = true,
        "logprobs" => facets.logprobs = value.flag(key)?,
        "n" => facets.choices = value.whole(key)?.and_then(|n| u32::try_from(n).ok()).unwrap_or(1),
        "max_tokens" | "max_completion_tokens" => {
            facets.max_output_tokens = value.whole(key)?.or(facets.max_output_tokens);
        }
        _ => {}
    }
    Ok(())
}

/// Asks for usage where the client did not: what it costs must be known, whether the client wants to hear of it or not.
pub(super) fn usage_edit(body: &[u8], peek: &Peek) -> Option<Edit> {
    if !peek.stream || peek.stream_usage {
        return None;
    }
    let Some(at) = &peek.stream_options_at else {
        let open = body.iter().position(|byte| *byte == b'{')?;
        return Some((open + 1..open + 1, b"\"stream_options\":{\"include_usage\":true},".to_vec()));
    };
    let said = serde_json::from_slice(body.get(at.clone())?).ok()?;
    let mut options = if let Value::Object(options) = said { options } else { Map::new() };
    options.insert("include_usage".to_owned(), true.into());
    Some((at.clone(), Value::Object(options).to_string().into_bytes()))
}
