//! Token counts as Anthropic reports them. `input_tokens` leaves cached tokens out; the canon's `input` holds them, so
//! they are added on the way in and subtracted on the way out.

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
    let uncached = fields.u64("input_tokens")?;
    let mut usage = Usage {
        cache_read: fields.u64("cache_read_input_tokens")?,
        cache_write: fields.u64("cache_creation_input_tokens")?,
        output: fields.u64("output_tokens")?,
        service_tier: fields.string("service_tier")?,
        ..Usage::default()
    };
    if let Some(mut lives) = fields.object("cache_creation")? {
        let (short, long) = (lives.u64("ephemeral_5m_input_tokens")?, lives.u64("ephemeral_1h_input_tokens")?);
        usage.cache_write_1h = long;
        if usage.cache_write.is_none() && (short.is_some() || long.is_some()) {
            usage.cache_write = Some(short.unwrap_or(0).saturating_add(long.unwrap_or(0)));
        }
        keep(&mut usage.extras, "cache_creation", lives.rest());
    }
    if let Some(mut details) = fields.object("output_tokens_details")? {
        usage.reasoning = details.u64("thinking_tokens")?;
        keep(&mut usage.extras, "output_tokens_details", details.rest());
    }
    usage.input = uncached.map(|count| {
        count.saturating_add(usage.cache_read.unwrap_or(0)).saturating_add(usage.cache_write.unwrap_or(0))
    });
    usage.extras.extend(fields.rest().into_iter().filter(|(_, value)| !value.is_null()));
    Ok(usage)
}

/// Writes a `usage` object, its extras only `home`; counts that nobody said are 0 only where the wire's types demand a number.
#[must_use]
pub fn encode_usage(usage: &Usage, home: bool) -> Value {
    let cached = usage.cache_read.unwrap_or(0).saturating_add(usage.cache_write.unwrap_or(0));
    let mut body = Extras::new();
    body.insert("input_tokens".to_owned(), usage.input.unwrap_or(0).saturating_sub(cached).into());
    put(&mut body, "cache_creation_input_tokens", usage.cache_write);
    put(&mut body, "cache_read_input_tokens", usage.cache_read);
    let mut lives = Extras::new();
    if let Some(long) = usage.cache_write_1h {
        let all = usage.cache_write.unwrap_or(long);
        lives.insert("ephemeral_5m_input_tokens".to_owned(), all.saturating_sub(long).into());
        lives.insert("ephemeral_1h_input_tokens".to_owned(), long.into());
    }
    body.insert("output_tokens".to_owned(), usage.output.unwrap_or(0).into());
    let mut details = Extras::new();
    put(&mut details, "thinking_tokens", usage.reasoning);
    let mut rest = if home { usage.extras.clone() } else { Extras::new() };
    for (key, mut inner) in [("cache_creation", lives), ("output_tokens_details", details)] {
        if let Some(Value::Object(more)) = rest.shift_remove(key) {
            inner.extend(more);
        }
        if !inner.is_empty() {
            body.insert(key.to_owned(), Value::Object(inner));
        }
    }
    put(&mut body, "service_tier", usage.service_tier.as_deref().and_then(|tier| told_tier(tier, home)));
    super::add(&mut body, &rest);
    Value::Object(body)
}

/// The tier that served an answer in this wire's words; another wire's word for its own tiers is none here.
fn told_tier(tier: &str, home: bool) -> Option<&str> {
    match tier {
        _ if home => Some(tier),
        "standard" | "priority" | "batch" => Some(tier),
        "default" => Some("standard"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn cached_tokens_are_added_in_and_taken_out() {
        let wire = json!({
            "input_tokens": 10,
            "cache_creation_input_tokens": 300,
            "cache_read_input_tokens": 2000,
            "output_tokens": 7,
            "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200},
            "output_tokens_details": {"thinking_tokens": 3},
            "service_tier": "standard",
            "server_tool_use": {"web_search_requests": 1},
        });
        let usage = decode_usage(wire.clone()).expect("usage");
        assert_eq!((usage.input, usage.cache_read, usage.cache_write), (Some(2310), Some(2000), Some(300)));
        assert_eq!((usage.cache_write_1h, usage.reasoning), (Some(200), Some(3)));
        assert_eq!(encode_usage(&usage, true), wire);
    }

    #[test]
    fn a_count_that_nobody_said_is_not_zero() {
        let usage = decode_usage(json!({"output_tokens": 1, "cache_creation_input_tokens": null})).expect("usage");
        assert_eq!((usage.input, usage.cache_write), (None, None));
    }
}
