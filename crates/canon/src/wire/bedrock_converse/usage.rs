//! Token counts as Converse reports them. `inputTokens` leaves cached tokens out; the canon's `input` holds them, so
//! they are added on the way in and subtracted on the way out.

use crate::Extras;
use crate::fields::{BadField, Fields, whole};
use crate::usage::Usage;
use crate::wire::writer::{join, put};
use serde_json::{Value, json};

/// Service tiers of this wire.
pub(super) const TIERS: [&str; 4] = ["priority", "default", "flex", "reserved"];

/// Reads a `usage` object.
pub(super) fn decode(value: Value) -> Result<Usage, BadField> {
    let mut fields = Fields::of(value, "usage")?;
    let uncached = fields.u64("inputTokens")?;
    let mut usage = Usage {
        cache_read: fields.u64("cacheReadInputTokens")?,
        cache_write: fields.u64("cacheWriteInputTokens")?,
        output: fields.u64("outputTokens")?,
        ..Usage::default()
    };
    let cached = usage.cache_read.unwrap_or(0).saturating_add(usage.cache_write.unwrap_or(0));
    usage.input = uncached.map(|count| count.saturating_add(cached));
    // Goes home as it is; the canon takes a copy of one lifetime.
    let details = fields.peek("cacheDetails").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let long = details.iter().find(|detail| detail.get("ttl").and_then(Value::as_str) == Some("1h"));
    usage.cache_write_1h = long.and_then(|detail| whole(detail.get("inputTokens")?));
    // A total that is another sum than ours goes home, too.
    if let Some(total) = fields.u64("totalTokens")?.filter(|total| Some(*total) != usage.total()) {
        usage.extras.insert("totalTokens".to_owned(), total.into());
    }
    usage.extras.extend(fields.rest());
    Ok(usage)
}

/// Writes a `usage` object, its extras only `home`; the wire demands three of the counts.
pub(super) fn encode(usage: &Usage, home: bool) -> Value {
    let (input, output) = (usage.input.unwrap_or(0), usage.output.unwrap_or(0));
    let cached = usage.cache_read.unwrap_or(0).saturating_add(usage.cache_write.unwrap_or(0));
    let mut body = Extras::new();
    body.insert("inputTokens".to_owned(), input.saturating_sub(cached).into());
    body.insert("outputTokens".to_owned(), output.into());
    body.insert("totalTokens".to_owned(), input.saturating_add(output).into());
    put(&mut body, "cacheReadInputTokens", usage.cache_read);
    put(&mut body, "cacheWriteInputTokens", usage.cache_write);
    if home {
        join(&mut body, &usage.extras);
    } else if let Some(long) = usage.cache_write_1h {
        let short = usage.cache_write.unwrap_or(long).saturating_sub(long);
        body.insert(
            "cacheDetails".to_owned(),
            json!([{"ttl": "1h", "inputTokens": long}, {"ttl": "5m", "inputTokens": short}]),
        );
    }
    Value::Object(body)
}

/// The tier that served an answer, as this wire says it; another wire's word for its own tiers is none here.
pub(super) fn tier(usage: &Usage, home: bool) -> Option<Value> {
    let tier = usage.service_tier.as_deref()?;
    let told = match tier {
        _ if home => tier,
        "standard" => "default",
        _ => TIERS.iter().find(|known| **known == tier)?,
    };
    Some(json!({"type": told}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cached_tokens_are_added_in_and_taken_out() {
        let wire = json!({
            "inputTokens": 10, "outputTokens": 7, "totalTokens": 2317,
            "cacheReadInputTokens": 2000, "cacheWriteInputTokens": 300,
            "cacheDetails": [{"ttl": "1h", "inputTokens": 200}, {"ttl": "5m", "inputTokens": 100}],
        });
        let usage = decode(wire.clone()).expect("usage");
        assert_eq!((usage.input, usage.cache_read, usage.cache_write), (Some(2310), Some(2000), Some(300)));
        assert_eq!((usage.cache_write_1h, usage.extras.get("totalTokens")), (Some(200), None));
        assert_eq!(encode(&usage, true), wire);
        assert_eq!(encode(&usage, false), wire);
        let other = json!({"inputTokens": 10, "outputTokens": 7, "totalTokens": 17, "cacheReadInputTokens": 5});
        assert_eq!(encode(&decode(other.clone()).expect("usage"), true), other);
    }
}
