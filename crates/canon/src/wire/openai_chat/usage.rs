//! Token counts as OpenAI Chat reports them; `prompt_tokens` includes cached ones, as the canon does.

use crate::Extras;
use crate::fields::{BadField, Fields};
use crate::usage::Usage;
use crate::wire::look::Look;
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

/// [`decode_usage`] of a `usage` object that was not read into a tree.
///
/// # Errors
/// When a count is no whole number.
pub(super) fn look_usage(looked: &Look<'_>) -> Result<Usage, BadField> {
    let mut usage = Usage::default();
    let mut rest = Extras::new();
    let keep_as_it_is = |rest: &mut Extras, key: &str, value: &Look<'_>| {
        let read = serde_json::from_str(value.raw());
        read.map(|value| drop(rest.insert(key.to_owned(), value)))
            .map_err(|_| BadField::new(format!("usage.{key}"), "is not valid JSON"))
    };
    looked.fields(|key, value| {
        match key {
            "prompt_tokens" => usage.input = value.whole(key)?,
            "completion_tokens" => usage.output = value.whole(key)?,
            "total_tokens" => {}
            "prompt_tokens_details" | "completion_tokens_details" if value.is_null() => {}
            "prompt_tokens_details" | "completion_tokens_details" => {
                let is_prompt = key == "prompt_tokens_details";
                let mut details = Extras::new();
                value.fields(|inner, value| {
                    match (inner, is_prompt) {
                        ("cached_tokens", true) => usage.cache_read = value.whole(inner)?,
                        ("cache_write_tokens", true) => usage.cache_write = value.whole(inner)?,
                        ("audio_tokens", true) => usage.audio_input = value.whole(inner)?,
                        ("image_tokens", true) => usage.image_input = value.whole(inner)?,
                        ("reasoning_tokens", false) => usage.reasoning = value.whole(inner)?,
                        ("audio_tokens", false) => usage.audio_output = value.whole(inner)?,
                        ("image_tokens", false) => usage.image_output = value.whole(inner)?,
                        _ => keep_as_it_is(&mut details, inner, &value)?,
                    }
                    Ok(())
                })?;
                keep(&mut usage.extras, key, details);
            }
            _ => keep_as_it_is(&mut rest, key, &value)?,
        }
        Ok(())
    })?;
    usage.extras.extend(rest);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::look;

    #[test]
    fn a_look_finds_what_a_full_read_finds() {
        for text in [
            "{}",
            r#"{"prompt_tokens":200,"completion_tokens":100,"total_tokens":300}"#,
            r#"{"prompt_tokens":2e2,"completion_tokens":null,"x":{"y":[1.50]},"total_tokens":"?"}"#,
            r#"{"prompt_tokens_details":{"cached_tokens":7,"audio_tokens":0,"z":null},"completion_tokens_details":
                {"reasoning_tokens":5,"accepted_prediction_tokens":0,"audio_tokens":1,"image_tokens":2},"prompt_tokens":9}"#,
            r#"{"prompt_tokens_details":null,"completion_tokens_details":{}}"#,
            r#"{"prompt_tokens":-1}"#,
            r#"{"prompt_tokens":"1"}"#,
            r#"{"prompt_tokens_details":3}"#,
            "[]",
        ] {
            let full = decode_usage(serde_json::from_str(text).expect("JSON")).ok();
            let (mut looked, body) = (None, format!("{{\"usage\":{text}}}"));
            let seen = look::top_level(body.as_bytes(), |_, value| {
                looked = look_usage(&value).ok();
                Ok(())
            });
            assert!(seen.is_ok());
            assert_eq!(looked, full, "{text}");
        }
    }
}
