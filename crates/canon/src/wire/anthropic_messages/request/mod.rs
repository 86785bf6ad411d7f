//! Requests of Anthropic Messages: a look in place (`peek`), a full read (`decode`), and writing (`encode`).

mod decode;
mod encode;
mod ink;
mod messages;
mod settings;

pub(super) use decode::decode;
pub(super) use encode::encode;

use crate::facets::Peek;
use crate::fields::BadField;
use crate::wire::look::{self, Look};

/// Looks into a body in place.
pub(super) fn peek(body: &[u8]) -> Result<Peek, BadField> {
    // This wire reports usage in every stream, unasked.
    let mut peek = Peek { stream_usage: true, ..Peek::default() };
    peek.facets.choices = 1;
    peek.facets.input_tokens = look::estimate_tokens(body.len());
    let (mut messages, mut twice) = (false, false);
    look::top_level(body, |key, value| {
        match key {
            "model" => {
                twice |= peek.model_at.is_some();
                peek.model = value.string(key)?;
                peek.model_at = Some(value.range());
            }
            "messages" => {
                messages = true;
                if !value.raw().starts_with('[') {
                    return Err(BadField::new(key, "must be a list"));
                }
                peek.facets.images = value.mentions("\"image\"");
                peek.facets.documents = value.mentions("\"document\"");
                peek.facets.state |= value.mentions("\"file_id\"");
            }
            _ => setting(key, &value, &mut peek)?,
        }
        Ok(())
    })?;
    if twice {
        return Err(BadField::new("model", "appears twice"));
    }
    if peek.model.is_none() {
        return Err(BadField::new("model", "is missing: name a model, an alias of your product, or `auto`"));
    }
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
