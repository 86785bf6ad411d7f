//! Requests of Responses: a look in place (`peek`), a full read (`decode`), and writing (`encode`).

pub(super) mod decode;
mod encode;
mod parts;
mod settings;

pub(super) use decode::decode;
pub(super) use encode::{encode, is_instructions};
pub(super) use settings::{asks_for_seals, settings};

/// Pieces that answers share with requests.
pub(super) mod pieces {
    pub(in crate::wire::openai_responses) use super::parts::{encode_citation, encode_said};
}

use crate::facets::{Peek, Recall};
use crate::fields::BadField;
use crate::wire::look::{self, Look};

/// Fields besides `input` from which a provider may take the whole conversation.
pub(super) const STANDS_FOR_INPUT: [&str; 3] = ["previous_response_id", "conversation", "prompt"];

/// Looks into a body in place. Streams report their usage unasked on this wire.
pub(super) fn peek(body: &[u8]) -> Result<Peek, BadField> {
    let mut recall = Recall::default();
    let mut input = false;
    let mut peek = look::request(body, Peek { stream_usage: true, ..Peek::default() }, |key, value, peek| {
        match key {
            "input" if !value.is_null() => {
                input = true;
                if !value.raw().starts_with(['[', '"']) {
                    return Err(BadField::new(key, "must be a string or a list of items"));
                }
                peek.facets.images = value.mentions("\"input_image\"");
                peek.facets.audio = value.mentions("\"input_audio\"");
                peek.facets.documents = value.mentions("\"input_file\"");
                recall.names_items = value.mentions("\"item_reference\"");
                peek.facets.state |= recall.names_items;
            }
            key if STANDS_FOR_INPUT.contains(&key) && !value.is_null() => {
                input = true;
                peek.facets.state = true;
                match key {
                    "previous_response_id" => recall.previous = value.string(key)?,
                    "conversation" => recall.conversation = Some(conversation_id(value)?),
                    _ => {}
                }
            }
            "store" if !value.is_null() => recall.store = Some(value.flag(key)?),
            "background" => {
                recall.background = value.flag(key)?;
                peek.facets.state |= recall.background;
            }
            _ => setting(key, value, peek)?,
        }
        Ok(())
    })?;
    if !input {
        return Err(no_input());
    }
    if recall.previous.is_some() && recall.conversation.is_some() {
        return Err(BadField::new("conversation", "cannot stand beside `previous_response_id`: send one of them"));
    }
    peek.recall = Some(recall);
    Ok(peek)
}

/// A conversation is named by its id, or by an object that holds it.
fn conversation_id(value: &Look<'_>) -> Result<String, BadField> {
    let wrong = || BadField::new("conversation", "must be an id or an object with an `id`");
    let named: serde_json::Value = serde_json::from_str(value.raw()).map_err(|_| wrong())?;
    named.as_str().or_else(|| named.get("id")?.as_str()).map(str::to_owned).ok_or_else(wrong)
}

/// Nothing was said.
pub(super) fn no_input() -> BadField {
    BadField::new("input", "is missing: send a string, a list of items, or `previous_response_id`")
}

fn setting(key: &str, value: &Look<'_>, peek: &mut Peek) -> Result<(), BadField> {
    let facets = &mut peek.facets;
    match key {
        "service_tier" => peek.facets.service_tier = look::class(value.string(key)?),
        "stream" => peek.stream = value.flag(key)?,
        "tools" => facets.tools = value.is_filled(),
        "text" => facets.structured = value.mentions("\"json_schema\"") || value.mentions("\"json_object\""),
        "reasoning" => facets.reasoning = value.is_filled() && !value.mentions("\"none\""),
        "include" => facets.logprobs = value.mentions("\"message.output_text.logprobs\""),
        "max_output_tokens" => facets.max_output_tokens = value.whole(key)?,
        _ => {}
    }
    Ok(())
}
