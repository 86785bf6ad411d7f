//! Token counts as Responses reports them; `input_tokens` includes cached ones, as the canon does.

use crate::Extras;
use crate::fields::{BadField, Fields};
use crate::usage::Usage;
use crate::wire::openai;
use crate::wire::writer::{keep, put};
use serde_json::Value;

/// A service tier in this wire's words; `None`: it has none for it.
pub(super) fn tier(word: &str) -> Option<&str> {
    if word == "ultrafast" { Some(word) } else { openai::tier(word) }
}

/// Reads a `usage` object.
pub(super) fn decode(value: Value) -> Result<Usage, BadField> {
    let mut fields = Fields::of(value, "usage")?;
    let mut usage =
        Usage { input: fields.u64("input_tokens")?, output: fields.u64("output_tokens")?, ..Usage::default() };
    fields.take("total_tokens");
    if let Some(mut details) = fields.object("input_tokens_details")? {
        usage.cache_read = details.u64("cached_tokens")?;
        usage.cache_write = details.u64("cache_write_tokens")?;
        usage.audio_input = details.u64("audio_tokens")?;
        usage.image_input = details.u64("image_tokens")?;
        keep(&mut usage.extras, "input_tokens_details", details.rest());
    }
    if let Some(mut details) = fields.object("output_tokens_details")? {
        usage.reasoning = details.u64("reasoning_tokens")?;
        usage.audio_output = details.u64("audio_tokens")?;
        usage.image_output = details.u64("image_tokens")?;
        keep(&mut usage.extras, "output_tokens_details", details.rest());
    }
    usage.extras.extend(fields.rest());
    Ok(usage)
}

/// Writes a `usage` object, its extras only `home`; null when nobody counted, since 0 would be a count.
pub(super) fn encode(usage: &Usage, home: bool) -> Value {
    if usage.input.is_none() && usage.output.is_none() {
        return Value::Null;
    }
    let mut rest = if home { usage.extras.clone() } else { Extras::new() };
    // The wire's types demand these numbers.
    let mut input = Extras::new();
    input.insert("cached_tokens".to_owned(), usage.cache_read.unwrap_or(0).into());
    input.insert("cache_write_tokens".to_owned(), usage.cache_write.unwrap_or(0).into());
    put(&mut input, "audio_tokens", usage.audio_input);
    put(&mut input, "image_tokens", usage.image_input);
    let mut output = Extras::new();
    output.insert("reasoning_tokens".to_owned(), usage.reasoning.unwrap_or(0).into());
    put(&mut output, "audio_tokens", usage.audio_output);
    put(&mut output, "image_tokens", usage.image_output);
    for (key, details) in [("input_tokens_details", &mut input), ("output_tokens_details", &mut output)] {
        if let Some(Value::Object(more)) = rest.shift_remove(key) {
            details.extend(more);
        }
    }
    let (asked, answered) = (usage.input.unwrap_or(0), usage.output.unwrap_or(0));
    let mut body = Extras::new();
    body.insert("input_tokens".to_owned(), asked.into());
    body.insert("input_tokens_details".to_owned(), Value::Object(input));
    body.insert("output_tokens".to_owned(), answered.into());
    body.insert("output_tokens_details".to_owned(), Value::Object(output));
    body.insert("total_tokens".to_owned(), asked.saturating_add(answered).into());
    body.extend(rest);
    Value::Object(body)
}
