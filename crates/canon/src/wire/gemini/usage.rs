//! Token counts as Gemini reports them. `promptTokenCount` includes cached tokens, as the canon's `input` does;
//! `candidatesTokenCount` does *not* include thinking, as the canon's `output` does; results of tools that the
//! provider ran are counted apart and belong to the input. Zero counts are left out by protobuf JSON.

use super::names;
use crate::Extras;
use crate::fields::{BadField, whole};
use crate::usage::Usage;
use crate::wire::writer::put;
use serde_json::{Value, json};

const KNOWN: &[&str] = &[
    "promptTokenCount",
    "cachedContentTokenCount",
    "candidatesTokenCount",
    "thoughtsTokenCount",
    "toolUsePromptTokenCount",
    "totalTokenCount",
    "promptTokensDetails",
    "candidatesTokensDetails",
    "serviceTier",
];

/// Reads a `usageMetadata` object.
pub(super) fn decode(value: Value) -> Result<Usage, BadField> {
    let mut fields = names::read(value, "usageMetadata", KNOWN)?;
    let prompt = fields.u64("promptTokenCount")?;
    let tools = fields.peek("toolUsePromptTokenCount").and_then(whole);
    let input = prompt.map(|prompt| prompt.saturating_add(tools.unwrap_or(0)));
    let (words, thoughts) = (fields.u64("candidatesTokenCount")?, fields.u64("thoughtsTokenCount")?);
    let total = fields.u64("totalTokenCount")?;
    let output = match (words, total, input) {
        (Some(words), _, _) => Some(words.saturating_add(thoughts.unwrap_or(0))),
        (None, Some(total), Some(input)) if total >= input => Some(total - input),
        _ => thoughts,
    };
    Ok(Usage {
        input,
        cache_read: fields.u64("cachedContentTokenCount")?,
        output,
        reasoning: thoughts,
        audio_input: of_kind("AUDIO", fields.peek("promptTokensDetails")),
        image_input: of_kind("IMAGE", fields.peek("promptTokensDetails")),
        audio_output: of_kind("AUDIO", fields.peek("candidatesTokensDetails")),
        image_output: of_kind("IMAGE", fields.peek("candidatesTokensDetails")),
        service_tier: fields.string("serviceTier")?,
        extras: fields.rest(),
        ..Usage::default()
    })
}

fn of_kind(kind: &str, details: Option<&Value>) -> Option<u64> {
    let is_kind = |item: &&Value| item.get("modality").and_then(Value::as_str) == Some(kind);
    details?.as_array()?.iter().find(is_kind)?.get("tokenCount").and_then(whole)
}

/// Writes a `usageMetadata` object; `home`: the answer came from this wire.
pub(super) fn encode(usage: &Usage, home: bool) -> Value {
    let mut body = Extras::new();
    let own = home.then_some(&usage.extras);
    let tools = own.and_then(|own| own.get("toolUsePromptTokenCount")).and_then(whole).unwrap_or(0);
    put(&mut body, "promptTokenCount", usage.input.map(|input| input.saturating_sub(tools)));
    put(&mut body, "cachedContentTokenCount", usage.cache_read);
    let thoughts = usage.reasoning.unwrap_or(0);
    put(&mut body, "candidatesTokenCount", usage.output.map(|output| output.saturating_sub(thoughts)));
    put(&mut body, "thoughtsTokenCount", usage.reasoning);
    put(&mut body, "totalTokenCount", usage.total());
    put(&mut body, "promptTokensDetails", details(usage.audio_input, usage.image_input));
    put(&mut body, "candidatesTokensDetails", details(usage.audio_output, usage.image_output));
    put(&mut body, "serviceTier", usage.service_tier.as_deref().and_then(|tier| told_tier(tier, home)));
    body.extend(own.cloned().unwrap_or_default());
    Value::Object(body)
}

fn details(audio: Option<u64>, image: Option<u64>) -> Option<Value> {
    let kinds = [("AUDIO", audio), ("IMAGE", image)].into_iter();
    let list: Vec<Value> =
        kinds.filter_map(|(kind, count)| Some(json!({"modality": kind, "tokenCount": count?}))).collect();
    (!list.is_empty()).then_some(Value::Array(list))
}

/// The tier that served an answer in this wire's words; another wire's word for its own tiers is none here.
fn told_tier(tier: &str, home: bool) -> Option<&str> {
    match tier {
        _ if home => Some(tier),
        "standard" | "flex" | "priority" => Some(tier),
        "default" => Some("standard"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinking_is_part_of_the_output_and_tool_results_of_the_input() {
        let theirs = json!({
            "promptTokenCount": 100, "cachedContentTokenCount": 60, "candidatesTokenCount": 20, "thoughtsTokenCount": 7,
            "toolUsePromptTokenCount": 5, "totalTokenCount": 132, "trafficType": "ON_DEMAND",
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 90}, {"modality": "AUDIO", "tokenCount": 10}],
        });
        let usage = decode(theirs.clone()).expect("valid");
        assert_eq!((usage.input, usage.output, usage.total()), (Some(105), Some(27), Some(132)));
        assert_eq!((usage.cache_read, usage.reasoning, usage.audio_input), (Some(60), Some(7), Some(10)));
        assert_eq!(encode(&usage, true), theirs);
    }

    #[test]
    fn a_zero_that_was_left_out_is_found_from_the_total() {
        let usage = decode(json!({"promptTokenCount": 9, "totalTokenCount": 9})).expect("valid");
        assert_eq!(usage.output, Some(0));
        let usage = decode(json!({"promptTokenCount": 9})).expect("valid");
        assert_eq!(usage.output, None);
    }
}
