//! Requests of Anthropic Messages: a look in place (`peek`), a full read (`decode`), and writing (`encode`).

mod decode;
mod encode;
mod ink;
mod messages;
mod settings;

pub(super) use decode::decode;
pub(super) use encode::{encode, write};

use crate::facets::Peek;
use crate::fields::BadField;
use crate::wire::look::{self, Look};

/// Looks into a body in place.
pub(super) fn peek(body: &[u8]) -> Result<Peek, BadField> {
    // This wire reports usage in every stream, unasked.
    let mut messages = false;
    let peek = look::request(body, Peek { stream_usage: true, ..Peek::default() }, |key, value, peek| {
        match key {
            "messages" => {
                messages = true;
                if !value.raw().starts_with('[') {
                    return Err(BadField::new(key, "must be a list"));
                }
                peek.facets.images = value.mentions("\"image\"");
                peek.facets.documents = value.mentions("\"document\"");
                peek.facets.state |= value.mentions("\"file_id\"");
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
        "tools" => facets.tools = value.is_filled(),
        "output_config" | "output_format" => facets.structured |= value.mentions("\"json_schema\""),
        "thinking" => facets.reasoning = value.is_filled() && !value.mentions("\"disabled\""),
        "max_tokens" => facets.max_output_tokens = value.whole(key)?,
        "container" | "thread" => facets.state |= !value.is_null(),
        _ => {}
    }
    Ok(())
}
