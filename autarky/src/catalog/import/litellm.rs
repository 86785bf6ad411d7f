//! LiteLLM's `model_prices_and_context_window.json`: one object per model, prices in dollars per token.

use super::super::row::{ModelRow, PeriodRow, PriceRow, RateRow, Retirement};
use super::{ImportError, Imported, names};
use policy::NanoUsd;
use serde_json::{Map, Value};
use std::collections::btree_map::Entry;

/// What a deployment can be asked for.
const MODES: &[&str] =
    &["chat", "responses", "completion", "embedding", "realtime", "audio_transcription", "audio_speech"];
/// Its words for our capabilities.
const CAPS: &[(&str, &str)] = &[
    ("supports_function_calling", "tools"),
    ("supports_vision", "images"),
    ("supports_audio_input", "audio"),
    ("supports_pdf_input", "documents"),
    ("supports_response_schema", "structured"),
    ("supports_reasoning", "reasoning"),
];
/// Its words for classes of service, and ours.
const CLASSES: &[(&str, &str)] = &[("_batches", "batch"), ("_flex", "flex"), ("_priority", "priority")];

type Facts = Map<String, Value>;

/// Reads the file.
pub(super) fn read(file: &Value, imported: &mut Imported) -> Result<(), ImportError> {
    let models = file.as_object().ok_or_else(|| ImportError::Shape {
        file: "--litellm",
        what: "price file of LiteLLM",
        why: "it is no object".to_owned(),
    })?;
    for (key, facts) in models {
        let Some(facts) = facts.as_object().filter(|_| key != "sample_spec") else { continue };
        let Some(provider) = text(facts, "litellm_provider") else {
            imported.leave_out("no provider named");
            continue;
        };
        let name = names::at_host(key, provider).to_ascii_lowercase();
        let key = format!("{}/{name}", names::host(provider));
        if let Some(retirement) = retirement(facts)
            && imported.calendar.insert(key.clone(), retirement).is_some()
        {
            imported.leave_out("retirement of a name that stands there twice");
        }
        let mode = text(facts, "mode").unwrap_or_default();
        if !MODES.contains(&mode) {
            imported.leave_out("what we do not serve");
            continue;
        }
        let Entry::Vacant(place) = imported.models.entry(key.clone()) else {
            imported.leave_out("name that stands there twice");
            continue;
        };
        place.insert(model(&name, mode, facts));
        match price(mode, facts) {
            Some(price) => drop(imported.prices.insert(key, price)),
            None => imported.leave_out("price by another unit than tokens, or none"),
        }
    }
    Ok(())
}

fn text<'a>(facts: &'a Facts, field: &str) -> Option<&'a str> {
    facts.get(field)?.as_str().filter(|text| !text.is_empty())
}

fn retirement(facts: &Facts) -> Option<Retirement> {
    let owned = |field| text(facts, field).map(str::to_owned);
    Some(Retirement {
        on: owned("deprecation_date")?,
        mode: owned("mode"),
        successor: owned("successor_model"),
        said: owned("deprecation_source"),
        source: Some("litellm".to_owned()),
    })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded just before")]
fn whole(facts: &Facts, field: &str) -> Option<u64> {
    let value = facts.get(field)?;
    value.as_u64().or_else(|| value.as_f64().filter(|n| (1.0..1e12).contains(n)).map(|n| n as u64))
}

fn model(name: &str, mode: &str, facts: &Facts) -> ModelRow {
    let said = |yes: bool| {
        let words = CAPS.iter().filter(|(field, _)| facts.get(*field).and_then(Value::as_bool) == Some(yes));
        words.map(|(_, word)| (*word).to_owned()).collect()
    };
    ModelRow {
        maker: names::maker(name).map(str::to_owned),
        family: Some(names::family(name)),
        mode: Some(mode.to_owned()),
        context: whole(facts, "max_input_tokens").or_else(|| whole(facts, "max_tokens")),
        output: whole(facts, "max_output_tokens"),
        has: said(true),
        lacks: said(false),
        quality: None,
        source: Some("litellm".to_owned()),
    }
}

fn price(mode: &str, facts: &Facts) -> Option<PriceRow> {
    let base = rate(facts, "", "")?;
    let least = if mode == "embedding" { base.input } else { base.output };
    // A list price of nothing is a price that nobody knows.
    if least == NanoUsd::ZERO {
        return None;
    }
    let standard = steps(facts, base, "");
    let classes = CLASSES.iter().filter_map(|(suffix, name)| {
        let class = overlaid(facts, &base, "", suffix)?;
        Some(((*name).to_owned(), steps(facts, class, suffix)))
    });
    let period = PeriodRow { standard, classes: classes.collect(), ..PeriodRow::default() };
    Some(PriceRow { periods: vec![period], source: Some("litellm".to_owned()) })
}

/// A class's prices: for prompts of any size, and past each threshold that the file has a price for.
fn steps(facts: &Facts, base: RateRow, class: &str) -> Vec<RateRow> {
    let mut all = vec![base];
    let mut thresholds: Vec<u64> = facts.keys().filter_map(|field| threshold(field)).collect();
    thresholds.sort_unstable();
    thresholds.dedup();
    for thousands in thresholds {
        if let Some(rate) = overlaid(facts, &base, &format!("_above_{thousands}k_tokens"), class) {
            all.push(RateRow { above: Some(thousands * 1_000), ..rate });
        }
    }
    all
}

fn threshold(field: &str) -> Option<u64> {
    field.strip_prefix("input_cost_per_token_above_")?.split_once("k_tokens")?.0.parse().ok()
}

/// `base` with what the file says for that size and class laid over it; `None` where it says nothing.
fn overlaid(facts: &Facts, base: &RateRow, above: &str, class: &str) -> Option<RateRow> {
    let said = rate(facts, above, class)?;
    Some(RateRow {
        above: None,
        input: said.input,
        output: if said.output == NanoUsd::ZERO { base.output } else { said.output },
        cache_read: said.cache_read.or(base.cache_read),
        cache_write: said.cache_write.or(base.cache_write),
        cache_write_1h: said.cache_write_1h.or(base.cache_write_1h),
        audio_input: said.audio_input.or(base.audio_input),
        image_input: said.image_input.or(base.image_input),
        reasoning: said.reasoning.or(base.reasoning),
        audio_output: said.audio_output.or(base.audio_output),
        image_output: said.image_output.or(base.image_output),
        requests: None,
    })
}

fn rate(facts: &Facts, above: &str, class: &str) -> Option<RateRow> {
    let dollars = |field: &str| facts.get(&format!("{field}{above}{class}")).and_then(per_million);
    Some(RateRow {
        above: None,
        input: dollars("input_cost_per_token")?,
        output: dollars("output_cost_per_token").unwrap_or_default(),
        cache_read: dollars("cache_read_input_token_cost"),
        cache_write: dollars("cache_creation_input_token_cost"),
        cache_write_1h: dollars("cache_creation_input_token_cost_above_1hr"),
        audio_input: dollars("input_cost_per_audio_token"),
        image_input: dollars("input_cost_per_image_token"),
        reasoning: dollars("output_cost_per_reasoning_token"),
        audio_output: dollars("output_cost_per_audio_token"),
        image_output: dollars("output_cost_per_image_token"),
        requests: None,
    })
}

/// Dollars per token as billionths of a dollar per million tokens.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded just before")]
fn per_million(value: &Value) -> Option<NanoUsd> {
    let dollars = value.as_f64().filter(|dollars| (0.0..1.0).contains(dollars))?;
    Some(NanoUsd((dollars * 1e15).round() as u64))
}
