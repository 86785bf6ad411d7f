//! Token counts as OpenAI Chat reports them; `prompt_tokens` includes cached ones, as the canon does.

use crate::Extras;
use crate::fields::{BadField, Fields};
use crate::usage::Usage;
use crate::wire::writer::{keep, put};
use serde_json::Value;

/// Reads a `usage` object.
///
/// # Errors
/// When a count is no whole number.
pub fn decode_usage(value: Value) -> Result<Usage, BadField> {
    let mut fields = Fields::of(value, "usage")?;
    let mut usage =
        Usage { input: fields.u64("prompt_tokens")?, output: fields.u64("completion_tokens")?, ..Usage::default() };
    fields.take("total_tokens");
    if let Some(mut details) = fields.object("prompt_tokens_details")? {
        usage.cache_read = details.u64("cached_tokens")?;
        usage.cache_write = details.u64("cache_write_tokens")?;
        usage.audio_input = details.u64("audio_tokens")?;
        usage.image_input = details.u64("image_tokens")?;
        keep(&mut usage.extras, "prompt_tokens_details", details.rest());
    }
    if let Some(mut details) = fields.object("completion_tokens_details")? {
        usage.reasoning = details.u64("reasoning_tokens")?;
        usage.audio_output = details.u64("audio_tokens")?;
        usage.image_output = details.u64("image_tokens")?;
        keep(&mut usage.extras, "completion_tokens_details", details.rest());
    }
    usage.extras.extend(fields.rest());
    Ok(usage)
}

/// Writes a `usage` object, its extras only `home`; counts that nobody said are 0 only where the wire's types demand a
/// number.
#[must_use]
pub fn encode_usage(usage: &Usage, home: bool) -> Value {
    let (input, output) = (usage.input.unwrap_or(0), usage.output.unwrap_or(0));
    let mut body = Extras::new();
    body.insert("prompt_tokens".to_owned(), input.into());
    body.insert("completion_tokens".to_owned(), output.into());
    body.insert("total_tokens".to_owned(), input.saturating_add(output).into());
    let mut rest = if home { usage.extras.clone() } else { Extras::new() };
    let mut prompt = Extras::new();
    put(&mut prompt, "cached_tokens", usage.cache_read);
    put(&mut prompt, "cache_write_tokens", usage.cache_write);
    put(&mut prompt, "audio_tokens", usage.audio_input);
    put(&mut prompt, "image_tokens", usage.image_input);
    let mut completion = Extras::new();
    put(&mut completion, "reasoning_tokens", usage.reasoning);
    put(&mut completion, "audio_tokens", usage.audio_output);
    put(&mut completion, "image_tokens", usage.image_output);
    for (key, mut details) in [("prompt_tokens_details", prompt), ("completion_tokens_details", completion)] {
        if let Some(Value::Object(more)) = rest.shift_remove(key) {
            details.extend(more);
        }
        if !details.is_empty() {
            body.insert(key.to_owned(), Value::Object(details));
        }
    }
    body.extend(rest);
    Value::Object(body)
}
