//! The same report for traffic that never passed us: what other tools recorded, read as flows. Every fact that the
//! source lacks stays unknown; what is inferred from names is marked so.

mod focus;
mod known;
mod logs;
mod otel;

pub(crate) use focus::charge;

use crate::Kind;
use ledger::flow::{Flow, FlowKey};
use ledger::record::Name;
use serde::Serialize;
use serde_json::Value;
use std::borrow::Cow;

/// What a file was read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// OpenTelemetry GenAI spans: OTLP JSON, one document or one per line.
    Otel,
    /// LiteLLM's spend logs: JSON lines, or one JSON list.
    Litellm,
    /// Helicone's request export: JSON, JSON lines or CSV.
    Helicone,
    /// Langfuse's observations export: JSON, JSON lines or CSV.
    Langfuse,
    /// A FOCUS cost and usage table: CSV.
    Focus,
}

impl Source {
    /// Its name for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Otel => "OpenTelemetry GenAI spans",
            Self::Litellm => "LiteLLM spend logs",
            Self::Helicone => "Helicone requests",
            Self::Langfuse => "Langfuse observations",
            Self::Focus => "FOCUS charges",
        }
    }
}

/// What was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Import {
    /// As what.
    pub source: Source,
    /// The traffic.
    pub flows: Vec<Flow>,
    /// Facts that were inferred from names.
    pub inferred: Vec<Kind>,
    /// Records that are no model calls.
    pub skipped: u64,
    /// What the reader should know.
    pub notes: Vec<String>,
}

/// Why a file could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// It is of no kind that is known.
    #[error(
        "the file is none of the kinds that can be imported: OTLP JSON, LiteLLM spend logs, Helicone or Langfuse exports, FOCUS CSV; export one of these"
    )]
    Unrecognised,
    /// A place in it cannot be read.
    #[error("record {record} cannot be read: {reason}; export the file again")]
    Broken {
        /// Its number, from 1.
        record: usize,
        /// Why.
        reason: String,
    },
    /// There is no model call in it.
    #[error("the file has no model call among its {skipped} records; export a window with traffic")]
    Empty {
        /// Records that are something else.
        skipped: u64,
    },
}

/// Reads `text`, whatever of the known kinds it is.
///
/// # Errors
/// It is of no known kind, damaged, or without a model call.
pub fn import(text: &str) -> Result<Import, ImportError> {
    let text = text.trim_start_matches('\u{feff}').trim();
    let is_json = text.starts_with(['{', '[']);
    let records = if is_json { json(text)? } else { table(text)? };
    let source = records.first().and_then(|first| recognise(first, is_json)).ok_or(ImportError::Unrecognised)?;
    let (calls, skipped) = match source {
        Source::Otel => otel::calls(&records),
        Source::Focus => focus::calls(&records),
        _ => logs::calls(source, &records),
    };
    let flows = Flow::merged(calls.into_iter().map(|call| call.flow(source)));
    if flows.is_empty() {
        return Err(ImportError::Empty { skipped });
    }
    let inferred = match source {
        Source::Focus => vec![Kind::Maker, Kind::Family],
        _ => vec![Kind::Maker, Kind::Host, Kind::Invoicer, Kind::Family],
    };
    let mut notes = vec![format!("read as {}; this traffic did not pass us", source.name())];
    let names: Vec<&str> = inferred.iter().map(|kind| kind.name()).collect();
    notes.push(format!("{} follow from names of models, addresses and providers", names.join(", ")));
    if skipped > 0 {
        notes.push(format!("{skipped} records are no answered model calls and count for nothing"));
    }
    if source == Source::Focus {
        notes.push("charges are not requests: a row counts as one, so that shares of requests say little".to_owned());
    }
    Ok(Import { source, flows, inferred, skipped, notes })
}

/// One record as far as it could be read.
#[derive(Debug, Default)]
pub(crate) struct Call {
    product: Option<String>,
    class: Option<String>,
    requested: Option<String>,
    pub(crate) model: Option<String>,
    provider: Option<String>,
    address: Option<String>,
    maker: Option<String>,
    host: Option<String>,
    invoicer: Option<String>,
    family: Option<String>,
    pub(crate) account: Option<String>,
    region: Option<String>,
    failed: bool,
    pub(crate) input: Option<u64>,
    pub(crate) output: Option<u64>,
    tokens: Option<u64>,
    pub(crate) dollars: Option<f64>,
    /// Unix microseconds.
    pub(crate) started: i64,
}

impl Call {
    fn flow(self, source: Source) -> Flow {
        let named = self.model.as_deref().or(self.requested.as_deref());
        let by_model = named.and_then(known::model);
        let by_place = self.address.as_deref().and_then(known::address);
        let by_place = by_place.or_else(|| self.provider.as_deref().and_then(known::provider));
        let or = |said: Option<String>, guess: Option<&'static str>| said.map(Name::from).or(guess.map(Name::from));
        let key = FlowKey {
            maker: or(self.maker, by_model.map(|(maker, _)| maker)),
            family: or(self.family, by_model.map(|(_, family)| family)),
            host: or(self.host, by_place.map(|(host, _)| host)),
            invoicer: or(self.invoicer, by_place.map(|(_, invoicer)| invoicer)),
            product: self.product.map(Name::from),
            class: self.class.map(Name::from),
            requested_model: self.requested.map(Name::from),
            model: self.model.map(Name::from),
            provider: self.provider.map(Name::from),
            account: self.account.map(Name::from),
            region: self.region.map(Name::from),
            ..FlowKey::default()
        };
        let answered = u64::from(!self.failed);
        let both = self.input.zip(self.output).map(|(input, output)| input.saturating_add(output));
        let tokens = both.or(self.tokens).or(self.input).or(self.output);
        let counted = both.or(self.tokens).is_some() || source == Source::Focus;
        Flow {
            key,
            attempts: 1,
            answered,
            tokens: tokens.unwrap_or(0),
            input: self.input.filter(|_| answered == 1).unwrap_or(0),
            cached: 0,
            output: self.output.filter(|_| answered == 1).unwrap_or(0),
            uncounted: if counted { 0 } else { answered },
            cost_nanodollars: self.dollars.map_or(0, nanodollars),
            unpriced: if self.dollars.is_some() { 0 } else { answered },
            largest: self.input,
            first: self.started,
            last: self.started,
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "bounded just before")]
pub(crate) fn nanodollars(dollars: f64) -> i64 {
    if dollars.is_finite() { (dollars.clamp(-1e9, 1e9) * 1e9).round() as i64 } else { 0 }
}

/// The records of a JSON document: a list, one object, or one per line; pages of `data` are unpacked.
fn json(text: &str) -> Result<Vec<Value>, ImportError> {
    let mut records = Vec::new();
    for mut document in documents(text)? {
        match document.get_mut("data").map(Value::take) {
            Some(Value::Array(list)) => records.extend(list),
            Some(other) => {
                document["data"] = other;
                records.push(document);
            }
            None => records.push(document),
        }
    }
    Ok(records)
}

/// The objects of a JSON document: a list, one, or one after the other.
pub(crate) fn documents(text: &str) -> Result<Vec<Value>, ImportError> {
    let mut documents = Vec::new();
    for (at, value) in serde_json::Deserializer::from_str(text).into_iter::<Value>().enumerate() {
        match value {
            Ok(Value::Array(list)) => documents.extend(list),
            Ok(Value::Object(object)) => documents.push(Value::Object(object)),
            Ok(_) => return Err(ImportError::Broken { record: at + 1, reason: "it is no object".to_owned() }),
            Err(error) => return Err(ImportError::Broken { record: at + 1, reason: error.to_string() }),
        }
    }
    Ok(documents)
}

/// The records of a CSV file, each an object of texts by column; empty cells are left out.
pub(crate) fn table(text: &str) -> Result<Vec<Value>, ImportError> {
    let mut reader = ::csv::ReaderBuilder::new().from_reader(text.as_bytes());
    let broken = |record: usize| move |error: ::csv::Error| ImportError::Broken { record, reason: error.to_string() };
    let head = reader.headers().map_err(broken(1))?.clone();
    let mut records = Vec::new();
    for (at, row) in reader.records().enumerate() {
        let row = row.map_err(broken(at + 2))?;
        let cells = head.iter().zip(&row).filter(|(_, cell)| !cell.is_empty());
        records.push(Value::Object(cells.map(|(column, cell)| (column.to_owned(), cell.into())).collect()));
    }
    Ok(records)
}

/// What a record says that only one kind of source says.
fn recognise(record: &Value, is_json: bool) -> Option<Source> {
    let has = |names: &[&str]| names.iter().all(|name| record.get(*name).is_some());
    if is_json && (has(&["resourceSpans"]) || has(&["resource_spans"])) {
        return Some(Source::Otel);
    }
    if has(&["BillingPeriodStart"]) || (has(&["BilledCost"]) && has(&["ChargePeriodStart"])) {
        return Some(Source::Focus);
    }
    if has(&["response_cost", "model", "call_type"]) {
        return Some(Source::Litellm);
    }
    if has(&["spend", "model"]) && (has(&["call_type"]) || has(&["api_key"]) || has(&["startTime"])) {
        return Some(Source::Litellm);
    }
    if has(&["request_created_at"]) || has(&["request_model"]) || has(&["response_status", "provider"]) {
        return Some(Source::Helicone);
    }
    let langfuse = ["traceId", "trace_id", "traceName", "usageDetails", "calculatedTotalCost"];
    let says = |name: &str| record.get(name).is_some();
    (record.get("type").is_some() && langfuse.iter().any(|name| says(name))).then_some(Source::Langfuse)
}

/// The first of `names` that says something, as text.
pub(crate) fn text(record: &Value, names: &[&str]) -> Option<String> {
    names.iter().find_map(|path| match &*at(record, path)? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    })
}

/// The first of `names` that says a number.
pub(crate) fn number(record: &Value, names: &[&str]) -> Option<f64> {
    names.iter().find_map(|path| match &*at(record, path)? {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded just before")]
pub(crate) fn whole(record: &Value, names: &[&str]) -> Option<u64> {
    number(record, names).filter(|count| *count >= 0.0 && *count < 1e18).map(|count| count as u64)
}

/// The first of `names` that says a moment, in Unix microseconds: RFC 3339 text (no zone means UTC), or seconds.
#[expect(clippy::cast_possible_truncation, reason = "bounded just before")]
pub(crate) fn moment(record: &Value, names: &[&str]) -> Option<i64> {
    names.iter().find_map(|path| match &*at(record, path)? {
        Value::String(text) => rfc3339(text),
        Value::Number(number) => number.as_f64().filter(|secs| secs.abs() < 1e11).map(|secs| (secs * 1e6) as i64),
        _ => None,
    })
}

/// What `path`, steps joined by `/`, leads to; a text that holds JSON is entered.
fn at<'v>(record: &'v Value, path: &str) -> Option<Cow<'v, Value>> {
    let enter = |value: Cow<'v, Value>, step: &str| match value {
        Cow::Borrowed(Value::String(text)) => {
            Some(Cow::Owned(serde_json::from_str::<Value>(text).ok()?.get_mut(step)?.take()))
        }
        Cow::Borrowed(value) => value.get(step).map(Cow::Borrowed),
        Cow::Owned(mut value) => value.get_mut(step).map(|inner| Cow::Owned(inner.take())),
    };
    path.split('/').try_fold(Cow::Borrowed(record), enter)
}

fn rfc3339(text: &str) -> Option<i64> {
    let (date, rest) = text.trim().split_once(['T', ' ']).unwrap_or((text.trim(), "00:00:00"));
    let day: crate::Day = date.parse().ok()?;
    let (clock, shift) = match rest.find(['Z', '+', '-']) {
        Some(end) => (&rest[..end], shift(rest[end..].trim_start_matches('Z').trim())?),
        None => (rest.trim_end_matches(" UTC"), 0),
    };
    let mut parts = clock.trim().split(':');
    let hours: i64 = parts.next()?.parse().ok()?;
    let minutes: i64 = parts.next()?.parse().ok()?;
    let seconds: f64 = parts.next().unwrap_or("0").parse().ok()?;
    let whole = day.wall().unix() + hours * 3_600 + minutes * 60 - shift;
    #[expect(clippy::cast_possible_truncation, reason = "below a minute")]
    let rest = (seconds.clamp(0.0, 61.0) * 1e6) as i64;
    whole.checked_mul(1_000_000)?.checked_add(rest)
}

/// Seconds that `+02:00` is ahead of UTC.
fn shift(zone: &str) -> Option<i64> {
    if zone.is_empty() {
        return Some(0);
    }
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let digits: String = zone.chars().filter(char::is_ascii_digit).collect();
    let hours: i64 = digits.get(..2)?.parse().ok()?;
    let minutes: i64 = digits.get(2..4).unwrap_or("0").parse().ok()?;
    Some(sign * (hours * 3_600 + minutes * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read() {
        assert_eq!(rfc3339("2026-11-23T00:00:00Z"), Some(1_795_392_000_000_000));
        assert_eq!(rfc3339("2026-11-23T02:00:00.250+02:00"), Some(1_795_392_000_250_000));
        assert_eq!(rfc3339("2026-11-22 23:30:00-0030"), Some(1_795_392_000_000_000));
        assert_eq!(rfc3339("2026-11-23"), Some(1_795_392_000_000_000));
        assert_eq!(rfc3339("2026-11-23 00:00:00.5 UTC"), Some(1_795_392_000_500_000));
        assert_eq!(rfc3339("yesterday"), None);
    }
}
