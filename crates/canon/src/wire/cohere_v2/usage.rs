//! Token counts as Cohere reports them: `tokens` are those of the model, `billed_units` those that cost something. The
//! canon holds the first, and the second goes home as it is.

use crate::Extras;
use crate::fields::{BadField, Fields, whole};
use crate::usage::Usage;
use crate::wire::writer::{join, keep, put};
use serde_json::{Value, json};

/// In the extras: the counts are those of `billed_units`, there were no others.
const BILLED: &str = "~billed";

/// Reads a `usage` object.
pub(super) fn decode(value: Value) -> Result<Usage, BadField> {
    let mut fields = Fields::of(value, "usage")?;
    let mut usage = Usage { cache_read: fields.u64("cached_tokens")?, ..Usage::default() };
    if let Some(mut tokens) = fields.object("tokens")? {
        usage.input = tokens.u64("input_tokens")?;
        usage.output = tokens.u64("output_tokens")?;
        keep(&mut usage.extras, "tokens", tokens.rest());
    } else if let Some(billed) = fields.peek("billed_units") {
        usage.input = billed.get("input_tokens").and_then(whole);
        usage.output = billed.get("output_tokens").and_then(whole);
        usage.extras.insert(BILLED.to_owned(), true.into());
    }
    usage.extras.extend(fields.rest());
    Ok(usage)
}

/// Writes a `usage` object, its extras only `home`. Clients read either of the two counts.
pub(super) fn encode(usage: &Usage, home: bool) -> Value {
    let mut tokens = Extras::new();
    put(&mut tokens, "input_tokens", usage.input);
    put(&mut tokens, "output_tokens", usage.output);
    let mut body = Extras::new();
    if !home {
        body.insert("billed_units".to_owned(), json!(tokens));
    }
    let unsaid = tokens.is_empty() || (home && usage.extras.contains_key(BILLED));
    if !unsaid {
        body.insert("tokens".to_owned(), Value::Object(tokens));
    }
    put(&mut body, "cached_tokens", usage.cache_read);
    if home {
        join(&mut body, &usage.extras);
    }
    Value::Object(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_counts_come_home() {
        let both = json!({
            "billed_units": {"input_tokens": 17, "output_tokens": 12, "search_units": 1},
            "tokens": {"input_tokens": 215, "output_tokens": 12}, "cached_tokens": 100,
        });
        let usage = decode(both.clone()).expect("usage");
        assert_eq!((usage.input, usage.output, usage.cache_read), (Some(215), Some(12), Some(100)));
        assert_eq!(encode(&usage, true), both);
        let billed = json!({"billed_units": {"input_tokens": 17.0, "output_tokens": 12}});
        let usage = decode(billed.clone()).expect("usage");
        assert_eq!((usage.input, encode(&usage, true)), (Some(17), billed));
        let told = encode(&Usage { input: Some(3), output: Some(1), ..Usage::default() }, false);
        assert_eq!(told["billed_units"], json!({"input_tokens": 3, "output_tokens": 1}));
        assert_eq!(told["tokens"], told["billed_units"]);
    }
}
