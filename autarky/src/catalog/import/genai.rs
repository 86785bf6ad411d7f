//! What `scripts/genai-prices` says: prices by provider and model, by day, hour, size and class, in dollars per unit.

use super::super::row::{ModelRow, PeriodRow, PriceRow, RateRow};
use super::{ImportError, Imported, names};
use policy::NanoUsd;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

type Units = Map<String, Value>;

/// Reads the file over what is there; returns the package's version.
pub(super) fn read(file: &Value, imported: &mut Imported) -> Result<String, ImportError> {
    let shape = |why: &str| ImportError::Shape {
        file: "--genai-prices",
        what: "output of `scripts/genai-prices`",
        why: why.to_owned(),
    };
    let version = file.get("version").and_then(Value::as_str).ok_or_else(|| shape("it has no `version`"))?;
    let providers = file.get("providers").and_then(Value::as_object).ok_or_else(|| shape("it has no `providers`"))?;
    for (provider, said) in providers {
        let models =
            said.get("models").and_then(Value::as_object).ok_or_else(|| shape("a provider has no `models`"))?;
        for (name, facts) in models {
            one(provider, &name.to_ascii_lowercase(), facts, imported);
        }
    }
    Ok(version.to_owned())
}

fn one(provider: &str, name: &str, facts: &Value, imported: &mut Imported) {
    let periods = facts.get("prices").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let Some(periods) = periods.iter().map(period).collect::<Option<Vec<_>>>().filter(|all| !all.is_empty()) else {
        return imported.leave_out("price by another unit than tokens, or none");
    };
    let row = PriceRow { periods, source: Some("genai-prices".to_owned()) };
    let context = facts.get("context").and_then(Value::as_u64);
    for (at, host) in names::hosts_of_genai(provider).into_iter().enumerate() {
        let key = format!("{host}/{name}");
        // A host's region has its own prices in the other file.
        let regional = matches!(host, "azure" | "azure-ai" | "aws") && name.contains('/');
        if regional || at > 0 && !imported.models.contains_key(&key) {
            continue;
        }
        let model = imported.models.entry(key.clone()).or_insert_with(|| ModelRow {
            maker: names::maker(name).map(str::to_owned),
            family: Some(names::family(name)),
            source: Some("genai-prices".to_owned()),
            ..ModelRow::default()
        });
        model.context = model.context.max(context);
        imported.prices.insert(key, row.clone());
    }
}

fn period(said: &Value) -> Option<PeriodRow> {
    let text = |field: &str| said.get(field).and_then(Value::as_str).map(str::to_owned);
    let hours = said.get("hours").and_then(Value::as_array);
    let hours = hours.and_then(|hours| Some(format!("{}-{}", hours.first()?.as_str()?, hours.get(1)?.as_str()?)));
    let standard = steps(said.get("standard")?.as_object()?)?;
    let classes = ["batch", "flex", "priority", "fast"].into_iter();
    let classes = classes.filter_map(|class| Some((class.to_owned(), steps(said.get(class)?.as_object()?)?)));
    Some(PeriodRow {
        from: text("from"),
        hours,
        classes: classes.filter(|(_, steps)| *steps != standard).collect(),
        standard,
    })
}

fn steps(units: &Units) -> Option<Vec<RateRow>> {
    let thresholds: BTreeSet<u64> = units.values().flat_map(tiers).map(|(start, _)| start).collect();
    let base = rate(units, None)?;
    let above = thresholds.into_iter().filter_map(|start| rate(units, Some(start)));
    Some(std::iter::once(base).chain(above).collect())
}

fn tiers(price: &Value) -> impl Iterator<Item = (u64, &Value)> {
    let tiers = price.get("tiers").and_then(Value::as_array).into_iter().flatten();
    tiers.filter_map(|tier| Some((tier.get(0)?.as_u64()?, tier.get(1)?)))
}

/// The price of prompts with more tokens than `above`; `None` where there is none for tokens.
fn rate(units: &Units, above: Option<u64>) -> Option<RateRow> {
    let dollars = |unit: &str| {
        let price = units.get(unit)?;
        let base = price.get("base").unwrap_or(price);
        let tier = above.and_then(|above| tiers(price).filter(|(start, _)| *start <= above).last());
        tier.map_or(base, |(_, price)| price).as_str()?.parse::<f64>().ok().and_then(exact)
    };
    let input = dollars("input_mtok")?;
    Some(RateRow {
        above,
        input,
        output: dollars("output_mtok").unwrap_or_default(),
        cache_read: dollars("cache_read_mtok"),
        cache_write: dollars("cache_write_mtok"),
        cache_write_1h: dollars("cache_write_1h_mtok"),
        audio_input: dollars("input_audio_mtok"),
        image_input: dollars("input_image_mtok"),
        reasoning: dollars("output_reasoning_mtok"),
        audio_output: dollars("output_audio_mtok"),
        image_output: dollars("output_image_mtok"),
        // Said for a thousand.
        requests: dollars("requests_kcount").map(|each| NanoUsd(each.0.saturating_mul(1_000))),
    })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded just before")]
fn exact(dollars: f64) -> Option<NanoUsd> {
    (0.0..1e9).contains(&dollars).then(|| NanoUsd((dollars * 1e9).round() as u64))
}
