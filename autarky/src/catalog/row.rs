//! The catalog's entries as written, and what they mean. Prices are in US dollars per million tokens.

use policy::fleet::{Cap, Caps};
use policy::price::{Period, Price, Steps, Tariff};
use policy::{NanoUsd, Wall};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where values come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Source {
    /// Of what.
    pub(crate) name: String,
    /// Its version.
    pub(crate) version: String,
    /// The day on which it was read, `YYYY-MM-DD`.
    pub(crate) read: String,
}

/// A model at a host.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ModelRow {
    /// Who trained it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) maker: Option<String>,
    /// What it is, whatever the host calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) family: Option<String>,
    /// What it is asked for: `chat`, `responses`, `embedding`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mode: Option<String>,
    /// Context window in tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) context: Option<u64>,
    /// Most tokens of an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) output: Option<u64>,
    /// What it can do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) has: Vec<String>,
    /// What it cannot do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) lacks: Vec<String>,
    /// Quality, 0 to 1, until the company has evaluated it itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) quality: Option<f64>,
    /// Where it comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) source: Option<String>,
}

/// Until when a host offers a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Retirement {
    /// The day, `YYYY-MM-DD`.
    pub(crate) on: String,
    /// What the model is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mode: Option<String>,
    /// What the host says comes after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) successor: Option<String>,
    /// Where the host says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) said: Option<String>,
    /// Where it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) source: Option<String>,
}

/// What a model costs at a host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PriceRow {
    /// By day and hour, the later over the earlier.
    pub(crate) periods: Vec<PeriodRow>,
    /// Where it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) source: Option<String>,
}

/// What holds from some day on, at some hours.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PeriodRow {
    /// Its first day (UTC), `YYYY-MM-DD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) from: Option<String>,
    /// Between which times of the day (UTC), `HH:MM-HH:MM`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) hours: Option<String>,
    /// What is charged usually: the first price for prompts of any size, the others `above` so many tokens.
    pub(crate) standard: Vec<RateRow>,
    /// The same for other classes of service: `batch`, `flex`, `priority`, …
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) classes: BTreeMap<String, Vec<RateRow>>,
}

/// A price in US dollars per million tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RateRow {
    /// Holds for requests with more prompt tokens than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) above: Option<u64>,
    /// Of the prompt.
    pub(crate) input: NanoUsd,
    /// Of prompt tokens read from the cache. Default: as `input`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cache_read: Option<NanoUsd>,
    /// Of prompt tokens written to the cache. Default: as `input`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cache_write: Option<NanoUsd>,
    /// Of prompt tokens written to the cache for an hour. Default: as `cache_write`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cache_write_1h: Option<NanoUsd>,
    /// Of sound in the prompt. Default: as `input`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) audio_input: Option<NanoUsd>,
    /// Of pictures in the prompt. Default: as `input`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) image_input: Option<NanoUsd>,
    /// Of the answer.
    pub(crate) output: NanoUsd,
    /// Of thinking. Default: as `output`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reasoning: Option<NanoUsd>,
    /// Of sound in the answer. Default: as `output`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) audio_output: Option<NanoUsd>,
    /// Of pictures in the answer. Default: as `output`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) image_output: Option<NanoUsd>,
    /// Of a million requests, whatever their size. Default: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) requests: Option<NanoUsd>,
}

impl RateRow {
    /// The price, with every default filled in.
    pub(crate) fn price(&self) -> Price {
        let cache_write = self.cache_write.unwrap_or(self.input);
        Price {
            input: self.input,
            cache_read: self.cache_read.unwrap_or(self.input),
            cache_write,
            cache_write_1h: self.cache_write_1h.unwrap_or(cache_write),
            audio_input: self.audio_input.unwrap_or(self.input),
            image_input: self.image_input.unwrap_or(self.input),
            output: self.output,
            reasoning: self.reasoning.unwrap_or(self.output),
            audio_output: self.audio_output.unwrap_or(self.output),
            image_output: self.image_output.unwrap_or(self.output),
            request: self.requests.unwrap_or_default(),
        }
    }
}

impl PriceRow {
    /// The price list, in the ledger called by its source and by its name in the catalog.
    ///
    /// # Errors
    /// What is wrong with the entry called `key`.
    pub(crate) fn tariff(&self, key: &str) -> Result<Tariff, String> {
        let periods: Vec<Period> = self.periods.iter().map(|row| period(key, row)).collect::<Result<_, _>>()?;
        let version = format!("{}:{key}", self.source.as_deref().unwrap_or("own"));
        Tariff::new(&version, periods).ok_or_else(|| format!("the price of `{key}` has no period"))
    }
}

fn period(key: &str, row: &PeriodRow) -> Result<Period, String> {
    let from = row.from.as_deref().map(|day| date(day).ok_or_else(|| format!("`{day}` of `{key}` is no date")));
    let hours = row.hours.as_deref().map(|text| hours(text).ok_or_else(|| format!("`{text}` of `{key}` is no time")));
    let classes = row.classes.iter().map(|(name, rates)| Ok((name.as_str().into(), steps(key, rates)?)));
    Ok(Period {
        from: from.transpose()?,
        hours: hours.transpose()?,
        standard: steps(key, &row.standard)?,
        classes: classes.collect::<Result<_, String>>()?,
    })
}

fn steps(key: &str, rates: &[RateRow]) -> Result<Steps, String> {
    let (base, above) = match rates.split_first() {
        Some((first, rest)) if first.above.is_none() => (first.price(), rest),
        _ => return Err(format!("the first price of `{key}` must hold for prompts of every size")),
    };
    let above: Option<Vec<_>> = above.iter().map(|rate| Some((rate.above?, rate.price()))).collect();
    match above {
        Some(above) if above.is_sorted_by(|a, b| a.0 < b.0) => Ok(Steps { base, above }),
        _ => Err(format!("the prices of `{key}` after the first must say `above`, the lowest first")),
    }
}

impl Retirement {
    /// The day.
    pub(crate) fn day(&self) -> Option<Wall> {
        date(&self.on)
    }
}

/// Midnight UTC of `YYYY-MM-DD`.
pub(crate) fn date(text: &str) -> Option<Wall> {
    let date: jiff::civil::Date = text.parse().ok()?;
    Some(Wall::from_date(i64::from(date.year()), u8::try_from(date.month()).ok()?, u8::try_from(date.day()).ok()?))
}

/// `HH:MM-HH:MM` in seconds of the day.
fn hours(text: &str) -> Option<(u32, u32)> {
    let second = |text: &str| {
        let time: jiff::civil::Time = format!("{text}:00").parse().ok()?;
        u32::try_from(i32::from(time.hour()) * 3_600 + i32::from(time.minute()) * 60).ok()
    };
    let (begin, end) = text.split_once('-')?;
    Some((second(begin)?, second(end)?))
}

/// The capabilities of those names; what we have no word for is left out.
pub(crate) fn caps(words: &[String]) -> Caps {
    Cap::ALL.into_iter().filter(|cap| words.iter().any(|word| word == cap.name())).collect()
}
